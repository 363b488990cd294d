/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reserve.c - see reserve.h; section numbers are those of SPC-4.
 *
 * Registrations live as long as the unit (APTPL, persistence through power loss, is refused). */
#include "scsi/reserve.h"

#include "base/bytes.h"
#include "base/state.h"
#include "scsi/unit.h"

static bool type_valid(unsigned t)
{
    return t == RES_WRITE_EXCLUSIVE || t == RES_EXCLUSIVE_ACCESS ||
           (t >= RES_WRITE_EXCLUSIVE_REGISTRANTS && t <= RES_EXCLUSIVE_ACCESS_ALL);
}

static bool type_all(unsigned t)
{
    return t == RES_WRITE_EXCLUSIVE_ALL || t == RES_EXCLUSIVE_ACCESS_ALL;
}

static bool type_registrants(unsigned t)
{
    return t >= RES_WRITE_EXCLUSIVE_REGISTRANTS;
}

static bool type_write_exclusive(unsigned t)
{
    return t == RES_WRITE_EXCLUSIVE || t == RES_WRITE_EXCLUSIVE_REGISTRANTS ||
           t == RES_WRITE_EXCLUSIVE_ALL;
}

static struct registration *find(struct reservations *r, uint64_t initiator)
{
    for (unsigned i = 0; i < REGISTRATIONS_MAX; i++)
        if (r->reg[i].key && r->reg[i].initiator == initiator)
            return &r->reg[i];
    return NULL;
}

static bool holds(struct reservations *r, uint64_t initiator)
{
    return r->type && (type_all(r->type) ? find(r, initiator) != NULL : r->holder == initiator);
}

/* ---- may a command run?  Table 35. ----------------------------------------------------------- */

/* Commands that no reservation stops. */
static bool always_allowed(const struct scsi_cmd *c)
{
    switch (c->opcode) {
    case INQUIRY:
    case REPORT_LUNS:
    case REQUEST_SENSE:
    case TEST_UNIT_READY:
    case READ_CAPACITY_10:
    case SERVICE_ACTION_IN_16:
    case MAINTENANCE_IN:
    case PERSISTENT_RESERVE_IN:
    case PERSISTENT_RESERVE_OUT: /* checks by itself */
    case GET_CONFIGURATION:
    case GET_EVENT_STATUS:
    case RELEASE_6: return true;
    case PREVENT_ALLOW_REMOVAL: return !(c->cdb[4] & 1);
    default: return false;
    }
}

static bool only_reads(const struct scsi_cmd *c)
{
    switch (c->opcode) {
    case READ_6:
    case READ_10:
    case READ_12:
    case READ_16:
    case VERIFY_10:
    case VERIFY_12:
    case VERIFY_16:
    case READ_TOC:
    case READ_DISC_INFORMATION: return true;
    default: return false;
    }
}

bool reserve_allows(const struct reservations *cr, uint64_t initiator, const struct scsi_cmd *c)
{
    struct reservations *r = (struct reservations *)(uintptr_t)cr;

    if (always_allowed(c))
        return true;
    if (r->old && r->old != initiator)
        return false;
    if (!r->type || holds(r, initiator))
        return true;
    if (type_registrants(r->type) && find(r, initiator))
        return true;
    return type_write_exclusive(r->type) && only_reads(c);
}

/* ---- PERSISTENT RESERVE IN: 6.15 ------------------------------------------------------------- */

enum { PRIN_READ_KEYS, PRIN_READ_RESERVATION, PRIN_CAPABILITIES, PRIN_FULL_STATUS };

static size_t read_keys(struct reservations *r, uint8_t *p)
{
    size_t n = 8;

    for (unsigned i = 0; i < REGISTRATIONS_MAX; i++) {
        if (r->reg[i].key) {
            put_be64(p + n, r->reg[i].key);
            n += 8;
        }
    }
    return n;
}

static size_t read_reservation(struct reservations *r, uint8_t *p)
{
    struct registration *reg = find(r, r->holder);

    if (!r->type)
        return 8;
    memset(p + 8, 0, 16);
    put_be64(p + 8, type_all(r->type) || !reg ? 0 : reg->key);
    p[8 + 13] = r->type;
    return 24;
}

static size_t full_status(struct reservations *r, uint8_t *p)
{
    size_t n = 8;

    for (unsigned i = 0; i < REGISTRATIONS_MAX; i++) {
        struct registration *reg = &r->reg[i];
        uint8_t *d = p + n;
        if (!reg->key)
            continue;
        memset(d, 0, 48);
        put_be64(d, reg->key);
        if (holds(r, reg->initiator)) {
            d[12] = 1; /* holder */
            d[13] = r->type;
        }
        put_be16(d + 18, 1);            /* relative target port */
        put_be32(d + 20, 24);           /* transport id: SAS format carries our initiator number */
        d[24] = 0x06;
        put_be64(d + 28, reg->initiator);
        n += 48;
    }
    return n;
}

void reserve_in(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    struct reservations *r = &u->reservations;
    uint8_t *p = rq->reply;
    size_t n;

    memset(p, 0, 8);
    switch (c->service) {
    case PRIN_READ_KEYS: n = read_keys(r, p); break;
    case PRIN_READ_RESERVATION: n = read_reservation(r, p); break;
    case PRIN_FULL_STATUS: n = full_status(r, p); break;
    case PRIN_CAPABILITIES:
        put_be16(p, 8);
        p[3] = 0x80;             /* the type mask is valid */
        put_be16(p + 4, 0xea01); /* all six types */
        unit_reply(rq, 8, c->alloc);
        return;
    default: unit_bad_cdb(rq, 1); return;
    }
    put_be32(p, r->generation);
    put_be32(p + 4, (uint32_t)(n - 8));
    unit_reply(rq, n, c->alloc);
}

/* ---- PERSISTENT RESERVE OUT: 6.16 ------------------------------------------------------------ */

enum {
    PROUT_REGISTER, PROUT_RESERVE, PROUT_RELEASE, PROUT_CLEAR, PROUT_PREEMPT, PROUT_PREEMPT_ABORT,
    PROUT_REGISTER_IGNORE,
};

static void tell_registrants(struct scsi_unit *u, uint64_t spared, enum scsi_asc asc)
{
    const struct reservations *r = &u->reservations;

    for (unsigned i = 0; i < REGISTRATIONS_MAX; i++)
        if (r->reg[i].key && r->reg[i].initiator != spared)
            unit_attention(u, r->reg[i].initiator, asc);
}

/* The reservation ends; those who shared it hear of it (5.12.11.2). */
static void release(struct scsi_unit *u, uint64_t spared)
{
    struct reservations *r = &u->reservations;

    if (type_registrants(r->type))
        tell_registrants(u, spared, ASC_RESERVATIONS_RELEASED);
    r->type = RES_NONE;
    r->holder = 0;
}

static unsigned n_registered(const struct reservations *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < REGISTRATIONS_MAX; i++)
        n += r->reg[i].key != 0;
    return n;
}

static void do_register(struct scsi_unit *u, struct scsi_rq *rq, uint64_t key, uint64_t new_key,
                        bool ignore)
{
    struct reservations *r = &u->reservations;
    struct registration *reg = find(r, rq->initiator);

    if (!ignore && key != (reg ? reg->key : 0)) {
        unit_status(rq, SCSI_RESERVATION_CONFLICT);
        return;
    }
    if (reg && !new_key) {
        bool held = holds(r, rq->initiator);
        reg->key = 0;
        if (held && (!type_all(r->type) || n_registered(r) == 0))
            release(u, rq->initiator);
    } else if (reg) {
        reg->key = new_key;
    } else if (new_key) {
        unsigned i = 0;
        while (i < REGISTRATIONS_MAX && r->reg[i].key)
            i++;
        if (i == REGISTRATIONS_MAX) {
            unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_INSUFFICIENT_REGISTRATIONS);
            return;
        }
        r->reg[i] = (struct registration){ rq->initiator, new_key };
    }
    r->generation++;
    unit_good(rq);
}

static void do_reserve(struct scsi_unit *u, struct scsi_rq *rq, unsigned type)
{
    struct reservations *r = &u->reservations;

    if (!type_valid(type)) {
        unit_bad_cdb(rq, 2);
        return;
    }
    if (r->type && (!holds(r, rq->initiator) || r->type != type)) {
        unit_status(rq, SCSI_RESERVATION_CONFLICT);
        return;
    }
    r->type = (uint8_t)type;
    r->holder = rq->initiator;
    unit_good(rq);
}

static void do_release(struct scsi_unit *u, struct scsi_rq *rq, unsigned type)
{
    struct reservations *r = &u->reservations;

    if (holds(r, rq->initiator)) {
        if (r->type != type) {
            unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_INVALID_RELEASE);
            return;
        }
        release(u, rq->initiator);
    }
    unit_good(rq);
}

static void do_clear(struct scsi_unit *u, struct scsi_rq *rq)
{
    struct reservations *r = &u->reservations;

    for (unsigned i = 0; i < REGISTRATIONS_MAX; i++) {
        if (r->reg[i].key && r->reg[i].initiator != rq->initiator)
            unit_attention(u, r->reg[i].initiator, ASC_RESERVATIONS_PREEMPTED);
        r->reg[i].key = 0;
    }
    r->type = RES_NONE;
    r->generation++;
    unit_good(rq);
}

/* 5.12.11.4: remove the registrations with 'victim'; take the reservation when it was theirs. */
static void do_preempt(struct scsi_unit *u, struct scsi_rq *rq, uint64_t victim, unsigned type)
{
    struct reservations *r = &u->reservations;
    struct registration *holder = find(r, r->holder);
    bool take = r->type && (type_all(r->type) ? victim == 0 : holder && holder->key == victim);
    bool any = take && !victim; /* whoever the others are, there may be none */

    if (!victim && !(r->type && type_all(r->type))) {
        unit_bad_parameter(rq, 8);
        return;
    }
    if (take && !type_valid(type)) {
        unit_bad_cdb(rq, 2);
        return;
    }
    for (unsigned i = 0; i < REGISTRATIONS_MAX; i++) {
        struct registration *reg = &r->reg[i];
        bool mine = reg->initiator == rq->initiator;
        if (!reg->key || (victim ? reg->key != victim : mine))
            continue;
        any = true;
        if (mine)
            continue; /* our own key: the reservation is taken anew, the registration stays */
        reg->key = 0;
        unit_attention(u, reg->initiator, ASC_REGISTRATIONS_PREEMPTED);
    }
    if (!any) {
        unit_status(rq, SCSI_RESERVATION_CONFLICT);
        return;
    }
    if (take) {
        if (r->type != type)
            tell_registrants(u, rq->initiator, ASC_RESERVATIONS_RELEASED);
        r->type = (uint8_t)type;
        r->holder = rq->initiator;
    }
    r->generation++;
    unit_good(rq);
}

void reserve_out(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    struct reservations *r = &u->reservations;
    unsigned type = c->cdb[2] & 15;
    bool has_scope = c->service == PROUT_RESERVE || c->service == PROUT_RELEASE ||
                     c->service == PROUT_PREEMPT || c->service == PROUT_PREEMPT_ABORT;

    if (c->service > PROUT_REGISTER_IGNORE) {
        unit_bad_cdb(rq, 1);
        return;
    }
    if (has_scope && c->cdb[2] >> 4) { /* only the logical unit */
        unit_bad_cdb(rq, 2);
        return;
    }
    if (c->alloc != 24) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
        return;
    }
    if (!unit_parameters(rq, 24))
        return;
    rq->moved = 24;
    uint64_t key = get_be64(rq->reply), action_key = get_be64(rq->reply + 8);
    if (rq->reply[20] & 0x0d) { /* SPEC_I_PT, ALL_TG_PT, APTPL */
        unit_bad_parameter(rq, 20);
        return;
    }
    if (r->old && r->old != rq->initiator) {
        unit_status(rq, SCSI_RESERVATION_CONFLICT);
        return;
    }
    if (c->service != PROUT_REGISTER && c->service != PROUT_REGISTER_IGNORE) {
        struct registration *reg = find(r, rq->initiator);
        if (!reg || reg->key != key) {
            unit_status(rq, SCSI_RESERVATION_CONFLICT);
            return;
        }
    }
    switch (c->service) {
    case PROUT_REGISTER: do_register(u, rq, key, action_key, false); break;
    case PROUT_REGISTER_IGNORE: do_register(u, rq, key, action_key, true); break;
    case PROUT_RESERVE: do_reserve(u, rq, type); break;
    case PROUT_RELEASE: do_release(u, rq, type); break;
    case PROUT_CLEAR: do_clear(u, rq); break;
    default: do_preempt(u, rq, action_key, type); break;
    }
}

/* RESERVE(6) and RELEASE(6), SPC-2 7.21: the whole unit for one initiator. */
void reserve_6(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    struct reservations *r = &u->reservations;

    if (n_registered(r)) {
        unit_status(rq, SCSI_RESERVATION_CONFLICT);
        return;
    }
    if (c->opcode == RESERVE_6)
        r->old = rq->initiator;
    else if (r->old == rq->initiator)
        r->old = 0;
    unit_good(rq);
}

static const struct state_field registration_fields[] = {
    STATE(struct registration, initiator),
    STATE(struct registration, key),
};
static const struct state_desc registration_state =
    STATE_DESC("registration", 1, registration_fields);

static const struct state_field reservations_fields[] = {
    STATE_ARRAY(struct reservations, reg, registration_state),
    STATE(struct reservations, generation),
    STATE(struct reservations, type),
    STATE(struct reservations, holder),
    STATE(struct reservations, old),
};

static bool reservations_check(void *obj)
{
    struct reservations *r = obj;

    return r->type == RES_NONE || type_valid(r->type);
}

const struct state_desc reservations_state = {
    .name = "reservations",
    .version = 1,
    .fields = reservations_fields,
    .n_fields = ARRAY_LEN(reservations_fields),
    .check = reservations_check,
};
