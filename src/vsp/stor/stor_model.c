/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_model.c - see stor_model.h. */
#include "vsp/stor/stor_model.h"

#include <assert.h>

#define INITIATOR  0x5e1f
#define TAKE_TURNS 20 /* of the loop: a full ring is more than one turn */

/* ---- the machine ----------------------------------------------------------------------------- */

static bool on_claim(void *owner, bool on)
{
    struct stor_model *m = owner;

    if (on && m->taken)
        return false;
    m->claims += on ? 1u : -1u;
    return true;
}

static void make_stor(struct stor_model *m)
{
    struct stor_config cfg = { .bus = m->b.bus, .kind = STOR_SCSI, .initiator = INITIATOR,
                               .claim = on_claim, .owner = m };

    if (stor_new(&cfg, &m->stor, NULL) < 0)
        abort();
    for (unsigned i = 0; i < STOR_MODEL_DISKS; i++)
        if (m->unit[i])
            stor_attach(m->stor, stor_model_lun[i], m->unit[i]);
}

static void make_unit(struct stor_model *m, unsigned i)
{
    struct scsi_identity id;

    scsi_identity_make(&id, &m->disk[i].disk, i ? "two" : "one");
    m->unit[i] = scsi_hard_disk_new(&m->disk[i].disk, &id);
    if (!m->unit[i])
        abort();
}

void stor_model_init(struct stor_model *m, unsigned n_vps)
{
    *m = (struct stor_model){ 0 };
    bus_model_init(&m->b, n_vps, false);
    m->io = disk_io_new(m->b.loop, DISK_IO_AUTO, NULL);
    if (!m->io)
        abort();
    for (unsigned i = 0; i < STOR_MODEL_DISKS; i++) {
        mem_disk_init(&m->disk[i], m->io, STOR_MODEL_SIZE);
        make_unit(m, i);
    }
    make_stor(m);
    vsc_pages(&m->b.g, m->pfn, STOR_MODEL_PAGES);
}

static void answer_all(struct stor_model *m)
{
    for (unsigned i = 0; i < STOR_MODEL_DISKS; i++) {
        m->disk[i].hold = false;
        mem_disk_answer(&m->disk[i], UINT32_MAX);
    }
}

void stor_model_done(struct stor_model *m)
{
    while (!vmbus_reset(m->b.bus) || stor_inflight(m->stor)) {
        answer_all(m);
        loop_poll(m->b.loop);
    }
    vmbus_free(m->b.bus);
    m->b.bus = NULL;
    stor_free(m->stor);
    for (unsigned i = 0; i < STOR_MODEL_DISKS; i++) {
        scsi_unit_free(m->unit[i]);
        mem_disk_done(&m->disk[i]);
    }
    disk_io_free(m->io);
    bus_model_done(&m->b);
}

int stor_model_save(struct stor_model *m, struct buf *state, struct err *err)
{
    for (unsigned i = 0; i < STOR_MODEL_DISKS; i++)
        if (m->unit[i])
            state_save(state, "unit", &scsi_unit_state, m->unit[i]);
    hv_save(m->b.m.hv, state);
    return vmbus_save(m->b.bus, state, err);
}

int stor_model_load(struct stor_model *m, const struct buf *state, struct err *err)
{
    struct bytes from = bytes_of(state->p, state->n);
    int r = 0;

    bus_model_renew(&m->b);
    stor_free(m->stor);
    m->claims = 0;
    for (unsigned i = 0; r == 0 && i < STOR_MODEL_DISKS; i++) {
        if (!m->unit[i])
            continue;
        scsi_unit_free(m->unit[i]);
        make_unit(m, i);
        r = state_load(&from, "unit", &scsi_unit_state, m->unit[i], err);
    }
    make_stor(m);
    if (r == 0)
        r = hv_load(m->b.m.hv, &from, err);
    if (r == 0)
        r = vmbus_load(m->b.bus, &from, err);
    return r;
}

int stor_model_move(struct stor_model *m, struct buf *state, struct err *err)
{
    int r = stor_model_save(m, state, err);

    return r < 0 ? r : stor_model_load(m, state, err);
}

/* ---- the guest ------------------------------------------------------------------------------- */

void stor_model_open(struct stor_model *m, unsigned pages)
{
    if (!vsc_connect(&m->b.g, VMBUS_V5_3) || m->b.g.n_offers != 1 ||
        vsc_open(&m->b.g, &m->ch[0], &m->b.g.offer[0], pages, 0) != 0)
        abort();
}

uint32_t stor_model_start(struct stor_model *m, unsigned pages)
{
    const struct stor_ask asks[] = {
        stor_model_op(STOR_BEGIN_INIT, 0),
        stor_model_op(STOR_QUERY_VERSION, STOR_V6_2),
        stor_model_op(STOR_QUERY_PROPERTIES, 0),
        stor_model_op(STOR_END_INIT, 0),
    };
    uint32_t status = 0;

    stor_model_open(m, pages);
    for (unsigned i = 0; status == 0 && i < ARRAY_LEN(asks); i++)
        status = stor_model_status(m, &asks[i]);
    return status;
}

struct stor_ask stor_model_op(uint32_t operation, uint16_t word)
{
    struct stor_ask a = { .n = STOR_PACKET_SIZE };

    put_le32(a.raw, operation);
    put_le32(a.raw + 4, 1); /* completion requested */
    put_le16(a.raw + 12, word);
    return a;
}

struct stor_ask stor_model_srb(struct stor_model *m, uint8_t lun, enum stor_data dir,
                               const void *cdb, size_t n_cdb, uint32_t offset, uint32_t len)
{
    struct stor_ask a = stor_model_op(STOR_EXECUTE_SRB, 52);

    assert(n_cdb <= 16);
    a.raw[19] = lun;
    a.raw[20] = (uint8_t)n_cdb;
    a.raw[21] = STOR_SENSE_MAX;
    a.raw[22] = (uint8_t)dir;
    put_le32(a.raw + 24, len);
    memcpy(a.raw + 28, cdb, n_cdb);
    a.buffer = len != 0;
    a.size = len;
    a.offset = offset;
    a.pfn = m->pfn;
    return a;
}

struct stor_ask stor_model_rw(struct stor_model *m, uint8_t lun, bool write, uint32_t lba,
                              uint16_t blocks)
{
    uint8_t cdb[10] = { write ? WRITE_10 : READ_10 };

    put_be32(cdb + 2, lba);
    put_be16(cdb + 7, blocks);
    return stor_model_srb(m, lun, write ? STOR_DATA_OUT : STOR_DATA_IN, cdb, sizeof cdb, 0,
                          blocks * 512u);
}

int stor_model_send(struct stor_model *m, unsigned ch, uint64_t id, const struct stor_ask *a)
{
    uint64_t head[2 + STOR_MODEL_PAGES];
    uint64_t pages = a->buffer ? gpa_range_pages(a->size, a->offset) : 0;

    if (!a->buffer)
        return vsc_send(&m->ch[ch], VMBUS_PACKET_INBAND, id, !a->no_completion, NULL, 0, a->raw,
                        a->n);
    assert(pages <= STOR_MODEL_PAGES);
    head[0] = UINT64_C(1) << 32; /* reserved, one range */
    head[1] = (uint64_t)a->offset << 32 | a->size;
    memcpy(head + 2, a->pfn, pages * 8);
    return vsc_send(&m->ch[ch], VMBUS_PACKET_GPA_DIRECT, id, !a->no_completion, head,
                    16 + pages * 8, a->raw, a->n);
}

unsigned stor_model_take(struct stor_model *m, unsigned ch, uint64_t *ret_id,
                         uint8_t out[STOR_PACKET_SIZE])
{
    struct vmbus_packet h;
    uint8_t buf[4096] = { 0 };
    int n = vsc_recv(&m->ch[ch], buf, sizeof buf);

    for (unsigned i = 0; n == 0 && i < TAKE_TURNS; i++) {
        loop_poll(m->b.loop);
        n = vsc_recv(&m->ch[ch], buf, sizeof buf);
    }
    if (n == 0)
        return 0;
    vsc_done(&m->ch[ch]);
    memcpy(&h, buf, sizeof h);
    assert(n == (int)(sizeof h + STOR_PACKET_SIZE));
    *ret_id = h.id;
    memcpy(out, buf + sizeof h, STOR_PACKET_SIZE);
    return h.type;
}

bool stor_model_do(struct stor_model *m, unsigned ch, uint64_t id, const struct stor_ask *a,
                   uint8_t out[STOR_PACKET_SIZE])
{
    uint64_t got;

    return stor_model_send(m, ch, id, a) == 0 &&
           stor_model_take(m, ch, &got, out) == VMBUS_PACKET_COMPLETION && got == id;
}

uint32_t stor_model_status(struct stor_model *m, const struct stor_ask *a)
{
    uint8_t out[STOR_PACKET_SIZE];

    if (!stor_model_do(m, 0, 0xfffffffffffffffd, a, out) || get_le32(out) != STOR_COMPLETE_IO)
        return UINT32_MAX;
    return get_le32(out + 8);
}
