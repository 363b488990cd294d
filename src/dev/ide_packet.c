/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_packet.c - CD drives on the IDE channels: the PACKET command.
 *
 * The CDB goes to the SCSI unit, whose answer is gathered in 'buf' and crosses the data port in
 * parts of the size that the host allows, or moves to guest memory.  Commands that send data are
 * not there. Spec: ATA/ATAPI-6, 8.23 and 9.8. */
#include "dev/ide_channel.h"

#define PACKET_SIZE 12

void ide_packet(struct ide_channel *c, unsigned flags)
{
    if (!is_packet_drive(selected(c))) {
        ide_fail(c, ATA_ABRT);
        return;
    }
    c->dma = c->features[0] & 1;
    c->prd_at = c->prd_off = 0;
    c->phase = IDE_PACKET;
    c->at = 0;
    c->size = PACKET_SIZE;
    c->count[0] = ATAPI_CD;
    c->status = ATA_DRDY | ATA_DRQ;
}

/* ATAPI hands no sense data over with a command's end: the host asks for it next (SPC-4 6.39). */
static void give_sense(struct ide_channel *c, struct ide_drive *d)
{
    memcpy(c->buf, d->sense, SCSI_SENSE_LEN);
    c->rq.status = SCSI_GOOD;
    c->rq.moved = MIN(c->rq.cdb[4], SCSI_SENSE_LEN);
    d->sense[0] = 0;
    ide_packet_done(c);
}

void ide_packet_start(struct ide_channel *c)
{
    struct ide_drive *d = selected(c);

    memset(c->rq.cdb, 0, sizeof c->rq.cdb);
    memcpy(c->rq.cdb, c->buf, PACKET_SIZE);
    c->iov[0] = (struct iovec){ c->buf, IDE_BUFFER };
    c->rq.iov = c->iov;
    c->rq.n_iov = 1;
    c->rq.len = IDE_BUFFER;
    c->rq.initiator = 1;
    memset(c->buf, 0, PACKET_SIZE);
    if (c->rq.cdb[0] == REQUEST_SENSE && d->sense[0]) {
        give_sense(c, d);
        return;
    }
    d->sense[0] = 0;
    ide_submit_packet(c);
}

static void packet_end(struct ide_channel *c)
{
    c->count[0] = ATAPI_CD | ATAPI_IO;
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    ide_complete(c);
}

/* Announce the next part of a PIO answer: no more than the host's byte count limit. */
static void packet_offer(struct ide_channel *c)
{
    uint32_t limit = (uint32_t)c->lba_high[1] << 8 | c->lba_mid[1];
    uint32_t n = c->atapi_left;

    limit = limit ? limit : 0xfffe;
    if (n > limit)
        n = limit & ~1u ? limit & ~1u : 2;
    c->count[0] = ATAPI_IO;
    c->lba_mid[0] = (uint8_t)n;
    c->lba_high[0] = (uint8_t)(n >> 8);
    c->phase = IDE_PIO_IN;
    c->size = c->at + n;
    c->atapi_left -= MIN(n, c->atapi_left);
    c->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    ide_irq(c, true);
}

static bool packet_dma(struct ide_channel *c, uint32_t n)
{
    uint32_t at = 0;

    while (at < n) {
        if (!ide_gather(c, MIN(n - at, DMA_PIECE)))
            return false;
        for (unsigned i = 0; i < c->n_iov; at += (uint32_t)c->iov[i++].iov_len)
            memcpy(c->iov[i].iov_base, c->buf + at, c->iov[i].iov_len);
        ide_mark_written(c);
    }
    return true;
}

void ide_packet_done(struct ide_channel *c)
{
    uint32_t n = c->rq.moved;

    if (c->rq.status != SCSI_GOOD) {
        c->count[0] = ATAPI_CD | ATAPI_IO;
        if (c->rq.sense_len)
            memcpy(selected(c)->sense, c->rq.sense, SCSI_SENSE_LEN);
        ide_fail(c, (uint8_t)((c->rq.sense_len ? c->rq.sense[2] & 15 : SENSE_ABORTED_COMMAND) << 4 |
                              ATA_ABRT));
        return;
    }
    if (!n) {
        packet_end(c);
    } else if (c->dma) {
        if (packet_dma(c, n))
            packet_end(c);
        else
            ide_dma_error(c);
    } else {
        c->lba_mid[1] = c->lba_mid[0]; /* the host's limit, kept while we announce our own counts */
        c->lba_high[1] = c->lba_high[0];
        c->at = 0;
        c->atapi_left = (n + 1) & ~1u;
        packet_offer(c);
    }
}

void ide_packet_more(struct ide_channel *c)
{
    if (c->atapi_left)
        packet_offer(c);
    else
        packet_end(c);
}
