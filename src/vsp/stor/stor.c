/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor.c - the storage provider: packets in, SCSI commands out, answers back.
 *
 * A request's way: on_packet() -> stor_decode() -> start_srb() -> scsi_exec() ... on_scsi_done() ->
 * channel_complete().  Data moves between the disk and the guest's pages without a copy: the iovec
 * points into guest memory.
 *
 * Peer: Linux drivers/scsi/storvsc_drv.c; what it insists on stands at the places. */
#include "vsp/stor/stor.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "base/trace.h"
#include "vsp/stor/stor_wire.h"

#define IOV_MAX_OP    (STOR_TRANSFER_MAX / PAGE_SIZE + 2)
#define OPS_KEPT      256 /* freed operations that are kept for the next */

struct stor_channel {
    struct stor *stor;
    struct channel *ch;
    unsigned inflight;
    bool closing; /* channel_closed() is owed when nothing is in flight */
};

struct stor_op {
    struct stor_channel *c;
    struct stor_op *next;  /* in the list of kept ones */
    uint64_t id;
    bool wants_answer;
    uint8_t lun;           /* of the unit that it holds; STOR_LUNS: none */
    bool guest_written;    /* the disk wrote into guest memory */
    uint8_t raw[STOR_PACKET_SIZE];
    struct scsi_rq rq;
    struct gpa_range range;
    uint64_t pfn[IOV_MAX_OP];
    struct iovec iov[IOV_MAX_OP];
};

struct stor_unit {
    struct scsi_unit *u;
    void (*gone)(void *owner, struct scsi_unit *u); /* being detached */
    void *gone_owner;
    unsigned inflight;
};

enum stor_phase { PHASE_CLOSED, PHASE_INIT, PHASE_READY };

struct stor {
    struct stor_config cfg;
    struct stor_channel primary, sub[STOR_SUB_CHANNELS];
    uint16_t subs;    /* bit i: sub[i] is there */
    uint8_t phase;    /* enum stor_phase */
    bool denied;      /* ready, but somebody else has the units */
    uint16_t version; /* agreed on */
    struct stor_unit unit[STOR_LUNS];
    unsigned n_ops;
    struct stor_op *kept;
    unsigned n_kept;
};

/* ---- operations ------------------------------------------------------------------------------ */

static struct stor_op *op_new(struct stor *s)
{
    struct stor_op *op = s->kept;

    if (s->n_ops >= STOR_OPS_MAX)
        return NULL;
    if (op) {
        s->kept = op->next;
        s->n_kept--;
    } else {
        op = calloc(1, sizeof *op);
    }
    if (op)
        s->n_ops++;
    return op;
}

static void op_free(struct stor *s, struct stor_op *op)
{
    s->n_ops--;
    if (s->n_kept == OPS_KEPT) {
        free(op);
        return;
    }
    op->next = s->kept;
    s->kept = op;
    s->n_kept++;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(struct stor_channel *c, uint64_t id, const uint8_t packet[STOR_PACKET_SIZE])
{
    int r = channel_complete(c->ch, id, packet, STOR_PACKET_SIZE);

    if (r < 0)
        TRACE("stor", "lost", "answer %#llx: %d", (unsigned long long)id, r);
}

static void refuse(struct stor_channel *c, const struct packet *p, uint32_t status)
{
    uint8_t raw[STOR_PACKET_SIZE] = { 0 }, out[STOR_PACKET_SIZE];

    if (!p->wants_completion)
        return;
    memcpy(raw, p->payload, MIN(p->size, sizeof raw));
    stor_encode_answer(out, raw, status);
    answer(c, p->id, out);
}

/* A request that was not started: Linux looks at the status of the SRB. */
static void refuse_srb(struct stor_channel *c, const struct packet *p, uint32_t status,
                       uint8_t srb_status, uint8_t scsi_status)
{
    uint8_t raw[STOR_PACKET_SIZE] = { 0 }, out[STOR_PACKET_SIZE];
    const struct stor_result r = { .srb_status = srb_status, .scsi_status = scsi_status };

    if (!p->wants_completion)
        return;
    memcpy(raw, p->payload, MIN(p->size, sizeof raw));
    stor_encode_result(out, raw, &r);
    stor_encode_answer(out, out, status);
    answer(c, p->id, out);
}

/* ---- EXECUTE_SRB ----------------------------------------------------------------------------- */

static void unit_released(struct stor *s, unsigned lun)
{
    struct stor_unit *su = &s->unit[lun];

    if (!su->gone || su->inflight)
        return;
    struct stor_unit old = *su;
    *su = (struct stor_unit){ 0 };
    old.gone(old.gone_owner, old.u);
}

/* Answered, or nobody waits for it any more; guest memory is not used for it from here on. */
static void op_end(struct stor_op *op)
{
    struct stor_channel *c = op->c;
    struct stor *s = c->stor;
    unsigned lun = op->lun;

    op_free(s, op);
    c->inflight--;
    if (lun < STOR_LUNS) {
        s->unit[lun].inflight--;
        unit_released(s, lun);
    }
    if (c->closing && !c->inflight) {
        c->closing = false;
        channel_closed(c->ch);
    }
}

/* A channel that was closed since keeps closing until we are through: it cannot be open again. */
static void op_answer(struct stor_op *op, const struct stor_result *r)
{
    struct stor_channel *c = op->c;
    uint8_t out[STOR_PACKET_SIZE];

    if (op->wants_answer && channel_is_open(c->ch)) {
        stor_encode_result(out, op->raw, r);
        answer(c, op->id, out);
    }
    op_end(op);
}

static uint8_t srb_status_of(const struct scsi_rq *rq)
{
    if (rq->status == SCSI_CHECK_CONDITION)
        return SRB_ERROR | SRB_AUTOSENSE_VALID;
    return SRB_SUCCESS; /* BUSY and conflicts are the SCSI status's business */
}

static void on_scsi_done(struct scsi_rq *rq)
{
    struct stor_op *op = container_of(rq, struct stor_op, rq);
    struct stor_result r = {
        .srb_status = srb_status_of(rq), .scsi_status = rq->status, .moved = rq->moved,
        .sense_len = rq->sense_len, .sense = rq->sense,
    };

    if (op->guest_written && rq->moved)
        gpa_range_wrote(vmbus_gmem(op->c->stor->cfg.bus), &op->range, 0, rq->moved);
    op_answer(op, &r);
}

/* The guest's buffer as host addresses.  -EFAULT and the like: the guest named no memory. */
static int map_buffer(struct stor *s, struct stor_op *op, const struct packet *p,
                      const struct stor_srb *srb)
{
    int n;

    op->rq.iov = op->iov;
    op->rq.n_iov = 0;
    op->rq.len = 0;
    op->guest_written = false;
    if (srb->data == STOR_DATA_NONE || !srb->data_len)
        return 0;
    if (!p->n_ranges || srb->data_len > STOR_TRANSFER_MAX || srb->data_len > p->range[0].size)
        return -EINVAL;
    uint64_t pages = gpa_range_pages(srb->data_len, p->range[0].offset);
    if (pages > ARRAY_LEN(op->pfn))
        return -EINVAL;
    memcpy(op->pfn, p->range[0].pfn, pages * sizeof op->pfn[0]);
    op->range = (struct gpa_range){ srb->data_len, p->range[0].offset, op->pfn };
    n = gpa_range_iov(vmbus_gmem(s->cfg.bus), &op->range, 0, srb->data_len, op->iov,
                      ARRAY_LEN(op->iov));
    if (n < 0)
        return n;
    op->rq.n_iov = (unsigned)n;
    op->rq.len = srb->data_len;
    op->guest_written = srb->data == STOR_DATA_IN;
    return 0;
}

/* The unit that the address means, or NULL.  Sets *ret_lun for a unit that is there. */
static struct scsi_unit *find_unit(struct stor *s, const struct stor_srb *srb, uint8_t *ret_lun)
{
    uint8_t lun = srb->lun;

    *ret_lun = STOR_LUNS;
    if (s->cfg.kind == STOR_IDE_ACCELERATOR) {
        /* One disk; Linux takes the target from the instance GUID. */
        if (srb->path || srb->target != s->cfg.device || lun)
            return NULL;
    } else if (srb->path || srb->target || lun >= STOR_LUNS) {
        return NULL;
    }
    if (!s->unit[lun].u || s->unit[lun].gone || s->denied)
        return NULL;
    *ret_lun = lun;
    return s->unit[lun].u;
}

/* Every path and target must answer REPORT LUNS, or Linux probes 254 LUNs one by one. */
static void report_luns(struct stor *s, struct stor_op *op, const struct stor_srb *srb)
{
    uint8_t luns[STOR_LUNS];
    unsigned n = 0;
    bool here = !srb->path && !s->denied &&
                srb->target == (s->cfg.kind == STOR_IDE_ACCELERATOR ? s->cfg.device : 0);

    for (unsigned i = 0; here && i < STOR_LUNS; i++)
        if (s->unit[i].u && !s->unit[i].gone)
            luns[n++] = (uint8_t)i;
    scsi_exec_report_luns(&op->rq, luns, n);
}

/* Only INQUIRY has an answer from an absent unit; for anything else Linux drops the device when it
 * sees this status. */
static void absent(struct stor_op *op)
{
    const struct stor_result r = { .srb_status = SRB_INVALID_LUN };

    if (op->rq.cdb[0] == INQUIRY)
        scsi_exec_absent(&op->rq);
    else
        op_answer(op, &r);
}

static void start_srb(struct stor_channel *c, const struct packet *p, const struct stor_srb *srb)
{
    struct stor *s = c->stor;
    struct stor_op *op = op_new(s);
    struct scsi_unit *u;

    if (!op) { /* the guest sends it again */
        refuse_srb(c, p, STOR_SUCCESS, SRB_SUCCESS, SCSI_BUSY);
        return;
    }
    op->c = c;
    op->id = p->id;
    op->wants_answer = p->wants_completion;
    memset(op->raw, 0, sizeof op->raw);
    memcpy(op->raw, p->payload, MIN(p->size, sizeof op->raw));
    if (map_buffer(s, op, p, srb) < 0) {
        op_free(s, op);
        refuse_srb(c, p, STOR_INVALID_REQUEST, SRB_INVALID_REQUEST, SCSI_GOOD);
        return;
    }
    memset(op->rq.cdb, 0, sizeof op->rq.cdb);
    memcpy(op->rq.cdb, srb->cdb, srb->cdb_len);
    op->rq.initiator = s->cfg.initiator;
    op->rq.done = on_scsi_done;
    u = find_unit(s, srb, &op->lun);
    c->inflight++;
    if (op->rq.cdb[0] == REPORT_LUNS) {
        op->lun = STOR_LUNS;
        report_luns(s, op, srb);
    } else if (!u) {
        absent(op);
    } else {
        s->unit[op->lun].inflight++;
        scsi_exec(u, &op->rq);
    }
}

/* ---- the other operations -------------------------------------------------------------------- */

static void set_phase(struct stor *s, enum stor_phase phase)
{
    bool was = s->phase == PHASE_READY, is = phase == PHASE_READY;

    s->phase = (uint8_t)phase;
    if (!s->cfg.claim || was == is)
        return;
    if (is)
        s->denied = !s->cfg.claim(s->cfg.owner, true);
    else if (!s->denied)
        s->cfg.claim(s->cfg.owner, false);
}

static bool version_known(uint16_t v)
{
    return v == STOR_V4_2 || v == STOR_V5_1 || v == STOR_V6_0 || v == STOR_V6_2;
}

static unsigned max_sub_channels(const struct stor *s)
{
    unsigned n = vmbus_n_vps(s->cfg.bus) - 1;

    return s->cfg.kind == STOR_SCSI ? MIN(n, STOR_SUB_CHANNELS) : 0;
}

static int add_sub_channel(struct stor *s, unsigned i, struct err *err)
{
    struct stor_channel *c = &s->sub[i];
    int r;

    *c = (struct stor_channel){ .stor = s };
    r = channel_offer_sub(s->primary.ch, i + 1, c, &c->ch, err);
    if (r == 0)
        s->subs |= (uint16_t)(1u << i);
    return r;
}

static uint32_t create_sub_channels(struct stor *s, unsigned n)
{
    struct err err;

    if (s->phase != PHASE_READY || n > max_sub_channels(s) || s->subs)
        return STOR_INVALID_REQUEST;
    for (unsigned i = 0; i < n; i++) {
        if (add_sub_channel(s, i, &err) < 0) {
            log_warn("storage: %s", err.text);
            break; /* the guest uses what arrives */
        }
    }
    return STOR_SUCCESS;
}

/* Operations answered at once. */
static uint32_t control(struct stor *s, const struct stor_request *rq)
{
    switch (rq->operation) {
    case STOR_BEGIN_INIT:
        set_phase(s, PHASE_INIT);
        s->version = 0;
        return STOR_SUCCESS;
    case STOR_END_INIT:
        if (s->phase != PHASE_INIT || !s->version)
            return STOR_INVALID_REQUEST;
        set_phase(s, PHASE_READY);
        return STOR_SUCCESS;
    case STOR_QUERY_VERSION:
        if (s->phase != PHASE_INIT)
            return STOR_INVALID_REQUEST;
        if (!version_known(rq->version))
            return STOR_REVISION_MISMATCH;
        s->version = rq->version;
        return STOR_SUCCESS;
    case STOR_CREATE_SUB_CHANNELS: return create_sub_channels(s, rq->n_sub_channels);
    case STOR_RESET_LUN:
    case STOR_RESET_ADAPTER:
    case STOR_RESET_BUS: return STOR_SUCCESS; /* requests in flight end by themselves */
    default: return STOR_INVALID_REQUEST;
    }
}

static void on_packet(struct channel *ch, const struct packet *p)
{
    struct stor_channel *c = channel_owner(ch);
    struct stor *s = c->stor;
    struct stor_request rq;
    uint8_t raw[STOR_PACKET_SIZE] = { 0 }, out[STOR_PACKET_SIZE];

    if (stor_decode(p->payload, p->size, &rq) < 0) {
        refuse(c, p, STOR_INVALID_REQUEST);
        return;
    }
    TRACE("stor", "packet", "op %u id %#llx", rq.operation, (unsigned long long)p->id);
    if (rq.operation == STOR_EXECUTE_SRB) {
        if (s->phase == PHASE_READY)
            start_srb(c, p, &rq.srb);
        else
            refuse_srb(c, p, STOR_INVALID_REQUEST, SRB_INVALID_REQUEST, SCSI_GOOD);
        return;
    }
    if (c != &s->primary) {
        refuse(c, p, STOR_INVALID_REQUEST);
        return;
    }
    memcpy(raw, p->payload, MIN(p->size, sizeof raw));
    if (rq.operation == STOR_QUERY_PROPERTIES && s->phase == PHASE_INIT && s->version) {
        struct stor_properties props = { (uint16_t)max_sub_channels(s), STOR_TRANSFER_MAX };
        stor_encode_properties(out, raw, &props);
    } else {
        stor_encode_answer(out, raw, control(s, &rq));
    }
    if (p->wants_completion)
        answer(c, p->id, out);
}

/* ---- channel life ---------------------------------------------------------------------------- */

static int on_open(struct channel *ch)
{
    struct stor_channel *c = channel_owner(ch);

    if (c == &c->stor->primary) {
        set_phase(c->stor, PHASE_CLOSED);
        c->stor->version = 0;
    }
    return 0;
}

/* A driver that starts anew asks for its sub-channels anew; Linux has released them by now. */
static void drop_sub_channels(struct stor *s)
{
    for (unsigned i = 0; i < STOR_SUB_CHANNELS; i++)
        if (s->sub[i].ch)
            channel_rescind(s->sub[i].ch);
}

static bool on_close(struct channel *ch)
{
    struct stor_channel *c = channel_owner(ch);

    if (c == &c->stor->primary) {
        set_phase(c->stor, PHASE_CLOSED);
        drop_sub_channels(c->stor);
    }
    c->closing = c->inflight != 0;
    return !c->closing;
}

static void on_removed(struct channel *ch)
{
    struct stor_channel *c = channel_owner(ch);
    struct stor *s = c->stor;

    c->ch = NULL;
    if (c != &s->primary)
        s->subs &= (uint16_t)~(1u << (c - s->sub));
}

static const struct state_field stor_fields[] = {
    STATE(struct stor, phase),
    STATE(struct stor, version),
    STATE_SINCE(struct stor, subs, 2),
};
static bool stor_check(void *obj)
{
    const struct stor *s = obj;

    return s->phase <= PHASE_READY && !(s->subs >> max_sub_channels(s)) &&
           (!s->subs || s->phase != PHASE_CLOSED);
}
static const struct state_desc stor_state = { "stor", 2, stor_fields, ARRAY_LEN(stor_fields),
                                              stor_check };

static void on_save(struct channel *ch, struct buf *to)
{
    struct stor_channel *c = channel_owner(ch);

    assert(!c->inflight); /* the machine drained us */
    if (c == &c->stor->primary)
        state_save(to, "stor", &stor_state, c->stor);
}

/* The bus looks for the sub-channels after their primary: it finds what we make here. */
static int on_load(struct channel *ch, struct bytes *from, struct err *err)
{
    struct stor_channel *c = channel_owner(ch);
    struct stor *s = c->stor;
    unsigned subs;
    int r;

    if (c != &s->primary)
        return 0;
    r = state_load(from, "stor", &stor_state, s, err);
    if (r == 0 && s->cfg.claim && s->phase == PHASE_READY)
        s->denied = !s->cfg.claim(s->cfg.owner, true);
    subs = s->subs;
    s->subs = 0;
    for (unsigned i = 0; r == 0 && i < STOR_SUB_CHANNELS; i++)
        if (subs & 1u << i)
            r = add_sub_channel(s, i, err);
    return r;
}

static const struct channel_ops stor_ops = {
    .name = "storage",
    .open = on_open,
    .packet = on_packet,
    .close = on_close,
    .removed = on_removed,
    .save = on_save,
    .load = on_load,
};

/* ---- units ----------------------------------------------------------------------------------- */

static void tell_guest(struct stor *s)
{
    uint8_t out[STOR_PACKET_SIZE];

    if (s->phase != PHASE_READY || !channel_is_open(s->primary.ch))
        return;
    stor_encode_enumerate(out);
    channel_send(s->primary.ch, 0, false, out, sizeof out);
}

int stor_attach(struct stor *s, unsigned lun, struct scsi_unit *u)
{
    assert(lun < STOR_LUNS);
    if (s->unit[lun].u)
        return -EBUSY;
    s->unit[lun].u = u;
    tell_guest(s);
    return 0;
}

int stor_detach(struct stor *s, unsigned lun, void (*gone)(void *owner, struct scsi_unit *u),
                void *owner)
{
    struct stor_unit *su = &s->unit[lun];

    assert(lun < STOR_LUNS);
    if (!su->u)
        return -ENOENT;
    if (su->gone)
        return -EBUSY;
    su->gone = gone;
    su->gone_owner = owner;
    tell_guest(s);
    unit_released(s, lun);
    return 0;
}

unsigned stor_inflight(const struct stor *s)
{
    return s->n_ops;
}

void stor_set_initiator(struct stor *s, uint64_t initiator)
{
    assert(initiator);
    s->cfg.initiator = initiator;
}

bool stor_ready(const struct stor *s)
{
    return s->phase == PHASE_READY;
}

/* ---- made and freed -------------------------------------------------------------------------- */

static const struct guid scsi_class = GUID(0xba6163d9, 0x04a1, 0x4d29, 0xb605, 0x72e2ffb1dc7f);
static const struct guid ide_class = GUID(0x32412632, 0x86cb, 0x44a2, 0x9b5c, 0x50d1417354f5);

static void make_offer(const struct stor_config *cfg, struct channel_offer *o)
{
    *o = (struct channel_offer){ .type = cfg->kind == STOR_SCSI ? scsi_class : ide_class };
    if (cfg->kind == STOR_SCSI) {
        o->instance = (struct guid)GUID(0xb1d2a7c0, 0x5ca1, 0x4e6f, 0x9a3b, 0x76657264696e);
        o->instance.a += cfg->controller;
        return;
    }
    /* Channel and device in the places where guests look for them; flags 2: boot fast path. */
    o->flags = VMBUS_OFFER_ENUMERATE;
    o->instance = (struct guid){ .a = cfg->controller, .b = (uint16_t)cfg->device, .c = 0x8899 };
    o->user[2] = (uint8_t)cfg->controller;
    o->user[3] = (uint8_t)cfg->device;
    o->user[8] = 2;
}

int stor_new(const struct stor_config *cfg, struct stor **ret, struct err *err)
{
    struct stor *s = calloc(1, sizeof *s);
    struct channel_offer o;
    int r;

    assert(cfg->initiator);
    if (!s)
        return err_set(err, ENOMEM, "out of memory");
    s->cfg = *cfg;
    s->primary.stor = s;
    make_offer(cfg, &o);
    r = channel_offer(cfg->bus, &o, &stor_ops, &s->primary, &s->primary.ch, err);
    if (r < 0) {
        free(s);
        return err_wrap(err, "storage controller %u", cfg->controller);
    }
    *ret = s;
    return 0;
}

void stor_free(struct stor *s)
{
    if (!s)
        return;
    assert(!s->n_ops);
    while (s->kept) {
        struct stor_op *op = s->kept;
        s->kept = op->next;
        free(op);
    }
    free(s);
}
