/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_dma.c - the IDE channels' way to the disk, and to guest memory (bus master).
 *
 * A request is submitted on the loop's thread without the bus lock, and comes back there.  One a
 * channel is in flight; a reset makes its answer void (generation).
 * Spec: Intel 82371AB, section 6.6; SFF-8038i 1.1 (PRD tables). */
#include <assert.h>

#include "base/bytes.h"
#include "dev/ide_channel.h"

#define PRD_ENTRIES 8192u /* a table lies inside 64 KiB */
#define PRD_LAST    0x80000000u

/* ---- to the disk and back ------------------------------------------------------------------- */

static void launch(struct ide_channel *c)
{
    assert(!c->in_flight);
    c->phase = IDE_BUSY;
    c->status = ATA_BSY;
    c->in_flight = true;
    c->rq_drive = selected(c); /* a reset selects the first one */
    c->rq_generation = c->generation;
    c->ide->n_busy++;
    loop_post(c->ide->bus->loop, &c->start);
}

/* On the loop's thread, no lock held: the disk may call back at once. */
static void start_work(struct work *w)
{
    struct ide_channel *c = container_of(w, struct ide_channel, start);

    if (c->disk_direct)
        disk_submit(scsi_unit_disk(c->rq_drive->unit), &c->disk_rq);
    else
        scsi_exec(c->rq_drive->unit, &c->rq);
}

static void came_back(struct ide_channel *c, int err)
{
    struct ide *ide = c->ide;
    bool now_quiet;

    bus_lock(ide->bus);
    c->in_flight = false;
    now_quiet = --ide->n_busy == 0;
    if (c->rq_generation == c->generation) {
        if (c->disk_direct)
            ide_piece_done(c, err);
        else
            ide_packet_done(c);
    } else if (!(c->control & ATA_SRST)) {
        c->status = c->reset_status;
    }
    bus_unlock(ide->bus);
    if (now_quiet && ide->quiet)
        ide->quiet(ide->quiet_owner);
}

static void on_disk_done(struct disk_rq *rq, int err)
{
    came_back(container_of(rq, struct ide_channel, disk_rq), err);
}

static void on_scsi_done(struct scsi_rq *rq)
{
    came_back(container_of(rq, struct ide_channel, rq), 0);
}

void ide_submit(struct ide_channel *c, enum disk_op op, uint64_t off, uint64_t len, unsigned n_iov,
                uint32_t flags)
{
    c->disk_rq.op = op;
    c->disk_rq.off = off;
    c->disk_rq.len = len;
    c->disk_rq.iov = c->iov;
    c->disk_rq.n_iov = n_iov;
    c->disk_rq.flags = flags;
    c->disk_rq.done = on_disk_done;
    c->disk_direct = true;
    launch(c);
}

void ide_submit_packet(struct ide_channel *c)
{
    c->rq.done = on_scsi_done;
    c->disk_direct = false;
    launch(c);
}

void ide_abandon(struct ide_channel *c, uint8_t status)
{
    c->generation++;
    c->phase = IDE_IDLE;
    c->at = c->size = c->left = c->atapi_left = 0;
    c->reset_status = status;
    c->status = c->in_flight ? ATA_BSY : status;
}

void ide_work_init(struct ide_channel *c)
{
    c->start.run = start_work;
}

/* ---- guest memory by the PRD table ---------------------------------------------------------- */

bool ide_gather(struct ide_channel *c, uint32_t want)
{
    c->n_iov = 0;
    c->dma_bytes = 0;
    while (c->dma_bytes < want && c->n_iov < IDE_IOV_MAX) {
        uint8_t raw[8];
        gpa_t at = GPA((c->bm_prdt & ~3u) + 8ull * c->prd_at);
        if (c->prd_at >= PRD_ENTRIES || gmem_read(c->ide->gmem, at, raw, sizeof raw) < 0)
            return false;
        uint32_t addr = get_le32(raw) & ~1u, word = get_le32(raw + 4);
        uint32_t size = word & 0xfffe ? word & 0xfffe : 0x10000;
        uint32_t n = MIN(size - c->prd_off, want - c->dma_bytes);
        gpa_t from = GPA((uint64_t)addr + c->prd_off);
        void *host = gmem_host(c->ide->gmem, from, n);
        if (!host)
            return false;
        c->iov[c->n_iov] = (struct iovec){ host, n };
        c->prd_gpa[c->n_iov++] = from.v;
        c->dma_bytes += n;
        c->prd_off += n;
        if (c->prd_off < size)
            continue;
        c->prd_off = 0;
        c->prd_at++;
        if ((word & PRD_LAST) && c->dma_bytes < want)
            return false;
    }
    /* Disks take whole sectors: give back what is over. */
    uint32_t over = c->dma_bytes % SECTOR;
    if (over && c->dma_bytes < want) {
        struct iovec *last = &c->iov[c->n_iov - 1];
        if (last->iov_len <= over)
            return false;
        last->iov_len -= over;
        c->dma_bytes -= over;
        if (c->prd_off)
            c->prd_off -= over;
        else
            return false;
    }
    return c->dma_bytes > 0;
}

void ide_mark_written(struct ide_channel *c)
{
    for (unsigned i = 0; i < c->n_iov; i++)
        gmem_wrote(c->ide->gmem, GPA(c->prd_gpa[i]), c->iov[i].iov_len);
}
