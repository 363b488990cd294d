/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unit.c - what every logical unit does with a command before and after its own part. */
#include "scsi/unit.h"

#include <assert.h>
#include <errno.h>

#include "base/bytes.h"
#include "base/state.h"
#include "base/trace.h"

/* ---- buffers --------------------------------------------------------------------------------- */

static uint32_t copy_to_buffer(struct scsi_rq *rq, const uint8_t *from, size_t n)
{
    uint32_t moved = 0;

    for (unsigned i = 0; i < rq->n_iov && moved < n; i++) {
        size_t here = MIN(rq->iov[i].iov_len, n - moved);
        memcpy(rq->iov[i].iov_base, from + moved, here);
        moved += (uint32_t)here;
    }
    return moved;
}

bool unit_parameters(struct scsi_rq *rq, uint32_t n)
{
    uint32_t got = 0;

    if (n > rq->len || n > sizeof rq->reply) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
        return false;
    }
    for (unsigned i = 0; i < rq->n_iov && got < n; i++) {
        size_t here = MIN(rq->iov[i].iov_len, n - got);
        memcpy(rq->reply + got, rq->iov[i].iov_base, here);
        got += (uint32_t)here;
    }
    rq->moved = got;
    return true;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void finish(struct scsi_rq *rq)
{
    free(rq->bounce);
    rq->bounce = NULL;
    if (rq->unit)
        rq->unit->inflight--;
    TRACE("scsi", "done", "op %#x status %#x sense %x/%02x%02x moved %u", rq->cdb[0], rq->status,
          rq->sense_len ? rq->sense[2] : 0, rq->sense[12], rq->sense[13], rq->moved);
    rq->done(rq);
}

void unit_good(struct scsi_rq *rq)
{
    rq->status = SCSI_GOOD;
    finish(rq);
}

void unit_status(struct scsi_rq *rq, enum scsi_status status)
{
    rq->status = (uint8_t)status;
    rq->moved = 0;
    finish(rq);
}

static void put_sense(uint8_t *s, enum scsi_sense_key key, unsigned asc)
{
    memset(s, 0, SCSI_SENSE_LEN);
    s[0] = 0x70; /* current error, fixed format */
    s[2] = (uint8_t)key;
    s[7] = SCSI_SENSE_LEN - 8;
    s[12] = (uint8_t)(asc >> 8);
    s[13] = (uint8_t)asc;
}

void unit_sense(struct scsi_rq *rq, enum scsi_sense_key key, enum scsi_asc asc)
{
    put_sense(rq->sense, key, asc);
    rq->sense_len = SCSI_SENSE_LEN;
    unit_status(rq, SCSI_CHECK_CONDITION);
}

/* Sense-key specific field pointer: SPC-4 4.5.2.4.2. */
static void bad_field(struct scsi_rq *rq, unsigned at, bool in_cdb)
{
    put_sense(rq->sense, SENSE_ILLEGAL_REQUEST,
              in_cdb ? ASC_INVALID_FIELD_IN_CDB : ASC_INVALID_FIELD_IN_PARAMETERS);
    rq->sense[15] = in_cdb ? 0xc0 : 0x80;
    put_be16(rq->sense + 16, (uint16_t)at);
    rq->sense_len = SCSI_SENSE_LEN;
    unit_status(rq, SCSI_CHECK_CONDITION);
}

void unit_bad_cdb(struct scsi_rq *rq, unsigned at)
{
    bad_field(rq, at, true);
}

void unit_bad_parameter(struct scsi_rq *rq, unsigned at)
{
    bad_field(rq, at, false);
}

void unit_reply(struct scsi_rq *rq, size_t n, uint32_t alloc)
{
    rq->moved = copy_to_buffer(rq, rq->reply, MIN(n, alloc));
    unit_good(rq);
}

void unit_disk_result(struct scsi_rq *rq, int err, enum scsi_asc on_error)
{
    switch (err) {
    case 0: unit_good(rq); break;
    case -EROFS: unit_sense(rq, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED); break;
    case -ENOSPC: unit_sense(rq, SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION); break;
    case -ENOMEM:
    case -EAGAIN: unit_status(rq, SCSI_BUSY); break;
    default: unit_sense(rq, SENSE_MEDIUM_ERROR, on_error); break;
    }
}

/* ---- unit attentions ------------------------------------------------------------------------- */

static struct scsi_attention *attention_of(struct scsi_unit *u, uint64_t initiator)
{
    struct scsi_attention *empty = &u->attention[0];

    for (unsigned i = 0; i < SCSI_ATTENTIONS_MAX; i++) {
        if (u->attention[i].initiator == initiator)
            return &u->attention[i];
        if (!u->attention[i].initiator)
            empty = &u->attention[i];
    }
    /* Not seen yet (or the table is full: the oldest forgets what it was owed). */
    *empty = (struct scsi_attention){ initiator, u->attention_all };
    return empty;
}

void unit_attention(struct scsi_unit *u, uint64_t initiator, enum scsi_asc asc)
{
    if (initiator) {
        attention_of(u, initiator)->asc = (uint16_t)asc;
        return;
    }
    for (unsigned i = 0; i < SCSI_ATTENTIONS_MAX; i++)
        u->attention[i].asc = (uint16_t)asc;
}

void unit_attention_but(struct scsi_unit *u, uint64_t spared, enum scsi_asc asc)
{
    for (unsigned i = 0; i < SCSI_ATTENTIONS_MAX; i++)
        if (u->attention[i].initiator != spared)
            u->attention[i].asc = (uint16_t)asc;
}

/* These are answered whatever attention is pending (SPC-4 5.14). */
static bool ignores_attention(uint8_t opcode)
{
    return opcode == INQUIRY || opcode == REPORT_LUNS || opcode == REQUEST_SENSE ||
           opcode == GET_CONFIGURATION || opcode == GET_EVENT_STATUS;
}

static void request_sense(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    struct scsi_attention *a = attention_of(u, rq->initiator);

    if (c->cdb[1] & 1) { /* descriptor format */
        unit_bad_cdb(rq, 1);
        return;
    }
    put_sense(rq->reply, a->asc ? SENSE_UNIT_ATTENTION : SENSE_NONE, a->asc);
    a->asc = 0;
    unit_reply(rq, SCSI_SENSE_LEN, c->alloc);
}

/* ---- the way in ------------------------------------------------------------------------------ */

static bool knows(const struct scsi_unit *u, uint8_t opcode)
{
    return u->type == 5 ? optical_knows(opcode) : hard_disk_knows(opcode);
}

void scsi_exec(struct scsi_unit *u, struct scsi_rq *rq)
{
    struct scsi_cmd c;

    assert(rq->done && rq->initiator);
    rq->unit = u;
    rq->status = SCSI_GOOD;
    rq->sense_len = 0;
    rq->moved = 0;
    rq->bounce = NULL;
    u->inflight++;
    TRACE("scsi", "exec", "op %#x len %u", rq->cdb[0], rq->len);
    if (!scsi_cmd_decode(rq->cdb, &c) || !knows(u, c.opcode)) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
        return;
    }
    if (c.control & 0x04) { /* NACA: we do not keep auto-contingent allegiance */
        unit_bad_cdb(rq, c.control_at);
        return;
    }
    struct scsi_attention *a = attention_of(u, rq->initiator);
    if (a->asc && !ignores_attention(c.opcode)) {
        unsigned asc = a->asc;
        a->asc = 0;
        unit_sense(rq, SENSE_UNIT_ATTENTION, asc);
        return;
    }
    if (!reserve_allows(&u->reservations, rq->initiator, &c)) {
        unit_status(rq, SCSI_RESERVATION_CONFLICT);
        return;
    }
    switch (c.opcode) {
    case INQUIRY: unit_inquiry(u, rq, &c); break;
    case REQUEST_SENSE: request_sense(u, rq, &c); break;
    case MODE_SENSE_6:
    case MODE_SENSE_10: unit_mode_sense(u, rq, &c); break;
    case MODE_SELECT_6:
    case MODE_SELECT_10: unit_mode_select(u, rq, &c); break;
    case MAINTENANCE_IN: unit_supported_opcodes(u, rq, &c); break;
    default: u->exec(u, rq, &c); break;
    }
}

/* REPORT SUPPORTED OPERATION CODES, SPC-4 6.35: all commands, or one. */
void unit_supported_opcodes(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    unsigned how = c->cdb[2] & 7, want = c->cdb[3];
    const struct scsi_cmd_info *f;
    size_t n = 4;

    if (c->cdb[2] & 0x80 || how > 2) {
        unit_bad_cdb(rq, 2);
        return;
    }
    memset(rq->reply, 0, 64);
    for (unsigned i = 0; (f = scsi_cmd_info(i)) != NULL; i++) {
        if (!knows(u, f->opcode))
            continue;
        if (how == 0) {
            uint8_t *d = rq->reply + n;
            memset(d, 0, 8);
            d[0] = f->opcode;
            put_be16(d + 2, f->has_service ? f->service : 0);
            d[5] = f->has_service;
            put_be16(d + 6, f->len);
            n += 8;
        } else if (f->opcode == want &&
                   (how == 1 || f->service == (uint8_t)get_be16(c->cdb + 4))) {
            rq->reply[1] = 3; /* supported as the standard says */
            put_be16(rq->reply + 2, f->len);
            memset(rq->reply + 4, 0xff, f->len);
            rq->reply[4] = f->opcode;
            unit_reply(rq, 4u + f->len, c->alloc);
            return;
        }
    }
    if (how == 0) {
        put_be32(rq->reply, (uint32_t)(n - 4));
        unit_reply(rq, n, c->alloc);
        return;
    }
    rq->reply[1] = 1; /* not supported */
    unit_reply(rq, 4, c->alloc);
}

/* ---- nobody there, and who is there ---------------------------------------------------------- */

void scsi_exec_absent(struct scsi_rq *rq)
{
    rq->unit = NULL;
    rq->bounce = NULL;
    rq->moved = 0;
    rq->sense_len = 0;
    if (rq->cdb[0] != INQUIRY || (rq->cdb[1] & 1)) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_LUN_NOT_SUPPORTED);
        return;
    }
    memset(rq->reply, 0, 36);
    rq->reply[0] = 0x7f; /* no device can be here */
    rq->reply[4] = 31;
    unit_reply(rq, 36, get_be16(rq->cdb + 3));
}

void scsi_exec_report_luns(struct scsi_rq *rq, const uint8_t *lun, unsigned n)
{
    size_t size = 8;

    rq->unit = NULL;
    rq->bounce = NULL;
    rq->moved = 0;
    rq->sense_len = 0;
    memset(rq->reply, 0, 8);
    for (unsigned i = 0; i < n && size + 8 <= sizeof rq->reply; i++, size += 8) {
        memset(rq->reply + size, 0, 8);
        rq->reply[size + 1] = lun[i]; /* peripheral device addressing */
    }
    put_be32(rq->reply, (uint32_t)(size - 8));
    unit_reply(rq, size, get_be32(rq->cdb + 6));
}

/* ---- lifecycle ------------------------------------------------------------------------------- */

static uint64_t fnv(uint64_t h, const void *p, size_t n)
{
    for (const uint8_t *b = p; n--; b++)
        h = (h ^ *b) * UINT64_C(0x100000001b3);
    return h;
}

void scsi_identity_make(struct scsi_identity *id, const struct disk *d, const char *name)
{
    static const uint8_t none[16];
    uint64_t h[2] = { UINT64_C(0xcbf29ce484222325), UINT64_C(0x84222325cbf29ce4) };
    uint8_t guid[16];

    if (d && memcmp(d->guid, none, 16) != 0) {
        memcpy(guid, d->guid, 16);
    } else {
        h[0] = fnv(h[0], name, strlen(name));
        h[1] = fnv(h[1] ^ h[0], name, strlen(name));
        memcpy(guid, h, 16);
    }
    for (unsigned i = 0; i < 16; i++)
        snprintf(id->serial + 2 * i, 3, "%02x", guid[i]);
    /* NAA 3 is locally assigned: 60 bits of the GUID, folded. */
    for (unsigned i = 0; i < 8; i++)
        id->naa[i] = guid[i] ^ guid[i + 8];
    id->naa[0] = 0x30 | (id->naa[0] & 0x0f);
}

void scsi_unit_free(struct scsi_unit *u)
{
    assert(!u || !u->inflight);
    free(u);
}

uint8_t scsi_unit_type(const struct scsi_unit *u)
{
    return u->type;
}

struct disk *scsi_unit_disk(const struct scsi_unit *u)
{
    return u->disk;
}

unsigned scsi_unit_inflight(const struct scsi_unit *u)
{
    return u->inflight;
}

void scsi_unit_resized(struct scsi_unit *u)
{
    u->attention_all = ASC_CAPACITY_CHANGED;
    unit_attention(u, 0, ASC_CAPACITY_CHANGED);
}

static const struct state_field attention_fields[] = {
    STATE(struct scsi_attention, initiator),
    STATE(struct scsi_attention, asc),
};
static const struct state_desc attention_state = STATE_DESC("attention", 1, attention_fields);

static const struct state_field unit_fields[] = {
    STATE_ARRAY(struct scsi_unit, attention, attention_state),
    STATE(struct scsi_unit, attention_all),
    STATE_STRUCT(struct scsi_unit, reservations, reservations_state),
    STATE(struct scsi_unit, write_cache),
    STATE(struct scsi_unit, stopped),
    STATE(struct scsi_unit, prevented),
    STATE(struct scsi_unit, tray_open),
    STATE(struct scsi_unit, media_event),
};
const struct state_desc scsi_unit_state = STATE_DESC("scsi_unit", 1, unit_fields);
