/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi_model.c - see scsi_model.h. */
#include "scsi/scsi_model.h"

#include <assert.h>

void scsi_model_renew(struct scsi_model *m, bool optical)
{
    struct scsi_identity id;

    scsi_identity_make(&id, &m->disk.disk, "model");
    scsi_unit_free(m->unit);
    m->unit = optical ? scsi_optical_new(&m->disk.disk, &id)
                      : scsi_hard_disk_new(&m->disk.disk, &id);
    if (!m->unit)
        abort();
}

struct scsi_model *scsi_model_new(bool optical)
{
    struct scsi_model *m = calloc(1, sizeof *m);

    if (!m)
        abort();
    clock_init_manual(&m->clock);
    m->loop = loop_new(&m->clock);
    m->io = m->loop ? disk_io_new(m->loop, DISK_IO_AUTO, NULL) : NULL;
    if (!m->io)
        abort();
    mem_disk_init(&m->disk, m->io, SCSI_MODEL_BLOCKS * 512);
    for (unsigned i = 0; i < 16; i++)
        m->disk.disk.guid[i] = (uint8_t)(0xa0 + i);
    scsi_model_renew(m, optical);
    return m;
}

void scsi_model_free(struct scsi_model *m)
{
    scsi_unit_free(m->unit);
    mem_disk_done(&m->disk);
    disk_io_free(m->io);
    loop_free(m->loop);
    free(m);
}

static void on_done(struct scsi_rq *rq)
{
    struct scsi_model *m = container_of(rq, struct scsi_model, rq);

    m->n_done++;
    assert(m->n_done == 1);
    assert(rq->moved <= rq->len);
    assert(rq->status == SCSI_CHECK_CONDITION ? rq->sense_len == SCSI_SENSE_LEN : !rq->sense_len);
}

unsigned scsi_model_run(struct scsi_model *m, uint64_t initiator, const void *cdb, size_t n,
                        uint32_t len)
{
    uint32_t a = len / 3, b = len / 2;

    assert(n <= SCSI_CDB_MAX && len <= sizeof m->data);
    memset(m->rq.cdb, 0, sizeof m->rq.cdb);
    memcpy(m->rq.cdb, cdb, n);
    m->rq.initiator = initiator;
    m->iov[0] = (struct iovec){ m->data, a };
    m->iov[1] = (struct iovec){ m->data + a, b - a };
    m->iov[2] = (struct iovec){ m->data + b, len - b };
    m->rq.iov = m->iov;
    m->rq.n_iov = len ? 3 : 0;
    m->rq.len = len;
    m->rq.done = on_done;
    m->n_done = 0;
    scsi_exec(m->unit, &m->rq);
    while (!m->n_done)
        loop_poll(m->loop);
    assert(!scsi_unit_inflight(m->unit));
    return m->rq.status;
}

unsigned scsi_model_sense(const struct scsi_model *m)
{
    const uint8_t *s = m->rq.sense;

    if (!m->rq.sense_len)
        return 0;
    /* Fixed format, current error, and nothing where nothing belongs. */
    assert(s[0] == 0x70 && s[1] == 0 && s[7] == SCSI_SENSE_LEN - 8 && s[14] == 0);
    assert(!get_be32(s + 3) && !get_be32(s + 8));
    return (unsigned)s[2] << 16 | get_be16(s + 12);
}

int scsi_model_field(const struct scsi_model *m)
{
    const uint8_t *s = m->rq.sense;

    if (!(s[15] & 0x80))
        return -1;
    return s[15] & 0x40 ? get_be16(s + 16) : 0x8000 + get_be16(s + 16);
}
