/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide.c - see ide.h.
 *
 * A command's way: a write to the command register finds a row of commands[]; the row's function
 * sets up a transfer, which goes in pieces: the piece is handed to the disk on the loop's thread
 * (start_work), comes back there (piece_done), and data then crosses the data port (PIO) or was
 * already moved in guest memory (DMA).  One request a channel is in flight, as on the real thing. */
#include "dev/ide.h"

#include <assert.h>
#include <errno.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "dev/ide_identify.h"

#define SECTOR      512u
#define PRD_ENTRIES 8192u        /* a table lies inside 64 KiB */
#define PRD_LAST    0x80000000u
#define DMA_PIECE   (1u << 20)   /* bytes handed to the disk at once */
#define TRIM_ENTRIES (SECTOR / 8)

static struct ide_drive *selected(struct ide_channel *c)
{
    return &c->drive[(c->device & ATA_DEV) != 0];
}

static struct disk *disk_of(struct ide_channel *c)
{
    return scsi_unit_disk(selected(c)->unit);
}

static bool is_packet_drive(const struct ide_drive *d)
{
    return d->unit && scsi_unit_type(d->unit) == 5;
}

/* ---- status and interrupt --------------------------------------------------------------------------- */

static void irq(struct ide_channel *c, bool level)
{
    if (level)
        c->bm_status |= BM_INTERRUPT;
    irq_set(&c->irq, level && !(c->control & ATA_NIEN));
}

static void complete(struct ide_channel *c)
{
    c->phase = IDE_IDLE;
    c->status = ATA_DRDY | ATA_DSC;
    c->error = 0;
    irq(c, true);
}

static void fail(struct ide_channel *c, uint8_t error)
{
    c->phase = IDE_IDLE;
    c->status = ATA_DRDY | ATA_DSC | ATA_ERR;
    c->error = error;
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    irq(c, true);
}

/* What a drive leaves in its registers after a reset: ATA-6 9.12. */
static void put_signature(struct ide_channel *c, unsigned drive)
{
    bool packet = is_packet_drive(&c->drive[drive]);

    c->count[0] = c->lba_low[0] = 1;
    c->lba_mid[0] = packet ? 0x14 : 0;
    c->lba_high[0] = packet ? 0xeb : 0;
    c->device &= ATA_DEV;
}

static bool present(const struct ide_channel *c)
{
    return c->drive[0].unit || c->drive[1].unit;
}

/* ---- addresses ------------------------------------------------------------------------------------------- */

static uint64_t task_lba(struct ide_channel *c)
{
    struct ide_drive *d = selected(c);

    if (c->ext)
        return (uint64_t)c->lba_high[1] << 40 | (uint64_t)c->lba_mid[1] << 32 |
               (uint64_t)c->lba_low[1] << 24 | (uint64_t)c->lba_high[0] << 16 |
               (uint64_t)c->lba_mid[0] << 8 | c->lba_low[0];
    if (c->device & ATA_LBA)
        return (uint64_t)(c->device & 15) << 24 | (uint64_t)c->lba_high[0] << 16 |
               (uint64_t)c->lba_mid[0] << 8 | c->lba_low[0];
    uint64_t cyl = (uint64_t)c->lba_high[0] << 8 | c->lba_mid[0];
    if (!c->lba_low[0])
        return UINT64_MAX; /* sectors count from 1 */
    return (cyl * d->heads + (c->device & 15)) * d->sectors + c->lba_low[0] - 1u;
}

static void set_task_lba(struct ide_channel *c, uint64_t lba)
{
    struct ide_drive *d = selected(c);

    if (!c->ext && !(c->device & ATA_LBA)) {
        uint64_t cyl = lba / ((uint64_t)d->heads * d->sectors);
        c->lba_low[0] = (uint8_t)(lba % d->sectors + 1);
        c->device = (uint8_t)((c->device & 0xf0) | (lba / d->sectors % d->heads));
        c->lba_mid[0] = (uint8_t)cyl;
        c->lba_high[0] = (uint8_t)(cyl >> 8);
        return;
    }
    c->lba_low[0] = (uint8_t)lba;
    c->lba_mid[0] = (uint8_t)(lba >> 8);
    c->lba_high[0] = (uint8_t)(lba >> 16);
    if (c->ext) {
        c->lba_low[1] = (uint8_t)(lba >> 24);
        c->lba_mid[1] = (uint8_t)(lba >> 32);
        c->lba_high[1] = (uint8_t)(lba >> 40);
    } else {
        c->device = (uint8_t)((c->device & 0xf0) | (lba >> 24 & 15));
    }
}

static uint32_t task_count(const struct ide_channel *c)
{
    uint32_t n = c->ext ? (uint32_t)c->count[1] << 8 | c->count[0] : c->count[0];

    return n ? n : c->ext ? 65536 : 256;
}

/* ---- handing work to the disk ---------------------------------------------------------------------------- */

static void launch(struct ide_channel *c)
{
    c->phase = IDE_BUSY;
    c->status = ATA_BSY;
    if (c->in_flight) { /* a reset overtook the old request: wait for it */
        c->restart = true;
        return;
    }
    c->in_flight = true;
    c->rq_generation = c->generation;
    c->ide->n_busy++;
    loop_post(c->ide->bus->loop, &c->start);
}

/* On the loop's thread, no lock held: the disk may call back at once. */
static void start_work(struct work *w)
{
    struct ide_channel *c = container_of(w, struct ide_channel, start);

    if (c->disk_direct)
        disk_submit(disk_of(c), &c->disk_rq);
    else
        scsi_exec(selected(c)->unit, &c->rq);
}

static void piece_done(struct ide_channel *c, int err);
static void packet_done(struct ide_channel *c);

static void came_back(struct ide_channel *c, int err)
{
    struct ide *ide = c->ide;
    bool now_quiet;

    bus_lock(ide->bus);
    c->in_flight = false;
    now_quiet = --ide->n_busy == 0;
    if (c->rq_generation == c->generation) {
        if (c->disk_direct)
            piece_done(c, err);
        else
            packet_done(c);
    } else if (c->restart) {
        c->restart = false;
        launch(c);
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

static void submit(struct ide_channel *c, enum disk_op op, uint64_t off, uint64_t len,
                   unsigned n_iov, uint32_t flags)
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

/* ---- bus master DMA: the next pieces of guest memory from the PRD table --------------------------------------- */

/* Collect up to 'want' bytes into c->iov.  false: the table names no memory, or ends too early. */
static bool gather_prds(struct ide_channel *c, uint32_t want)
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

static void mark_written(struct ide_channel *c)
{
    for (unsigned i = 0; i < c->n_iov; i++)
        gmem_wrote(c->ide->gmem, GPA(c->prd_gpa[i]), c->iov[i].iov_len);
}

static void dma_error(struct ide_channel *c)
{
    c->bm_status |= BM_ERROR;
    fail(c, ATA_ABRT);
}

/* ---- disk transfers ------------------------------------------------------------------------------------------------ */

static bool lba_ok(struct ide_channel *c)
{
    return range_ok(c->lba, c->left, disk_of(c)->size / SECTOR);
}

/* Sectors of the next PIO block. */
static uint32_t pio_block(const struct ide_channel *c)
{
    return MIN(c->left, c->per_irq);
}

static void next_piece(struct ide_channel *c)
{
    uint32_t n;

    if (c->dma) {
        if (!gather_prds(c, MIN(c->left, DMA_PIECE / SECTOR) * SECTOR)) {
            dma_error(c);
            return;
        }
        n = c->dma_bytes;
    } else {
        n = pio_block(c) * SECTOR;
        c->iov[0] = (struct iovec){ c->buf, n };
        c->n_iov = 1;
    }
    submit(c, c->write ? DISK_WRITE : DISK_READ, c->lba * SECTOR, n, c->n_iov,
           c->write && (c->fua || !selected(c)->write_cache) ? DISK_FUA : 0);
}

/* The host may fill the buffer; 'first' block of a command comes without an interrupt. */
static void want_pio_out(struct ide_channel *c, bool first)
{
    c->phase = IDE_PIO_OUT;
    c->at = 0;
    c->size = pio_block(c) * SECTOR;
    c->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (!first)
        irq(c, true);
}

static void offer_pio_in(struct ide_channel *c, uint32_t size)
{
    c->phase = IDE_PIO_IN;
    c->at = 0;
    c->size = size;
    c->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    irq(c, true);
}

static void piece_done(struct ide_channel *c, int err)
{
    uint32_t n = (uint32_t)(c->disk_rq.len / SECTOR);
    enum disk_op op = c->disk_rq.op;

    if (err) {
        set_task_lba(c, c->lba);
        if (c->dma)
            dma_error(c);
        else
            fail(c, err == -EROFS ? ATA_ABRT : ATA_UNC);
        return;
    }
    if (op != DISK_READ && op != DISK_WRITE) { /* flush, trim */
        complete(c);
        return;
    }
    if (c->dma && !c->write)
        mark_written(c);
    c->lba += n;
    c->left -= n;
    if (op == DISK_READ && !c->dma) {
        offer_pio_in(c, n * SECTOR);
        return;
    }
    if (c->left && c->dma) {
        next_piece(c);
        return;
    }
    if (c->left) {
        want_pio_out(c, false);
        return;
    }
    set_task_lba(c, c->lba - 1);
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    complete(c);
}

/* ---- commands of disks -------------------------------------------------------------------------------------------------- */

enum transfer_flag { T_WRITE = 1, T_DMA = 2, T_EXT = 4, T_MULTIPLE = 8, T_FUA = 16 };

static void cmd_transfer(struct ide_channel *c, unsigned flags)
{
    struct ide_drive *d = selected(c);

    c->write = (flags & T_WRITE) != 0;
    c->ext = (flags & T_EXT) != 0;
    c->dma = (flags & T_DMA) != 0;
    c->fua = (flags & T_FUA) != 0;
    c->lba = task_lba(c);
    c->left = task_count(c);
    c->per_irq = flags & T_MULTIPLE ? d->multiple : 1;
    if (!c->per_irq || (c->write && disk_of(c)->read_only)) {
        fail(c, ATA_ABRT);
        return;
    }
    if (!lba_ok(c)) {
        fail(c, ATA_IDNF);
        return;
    }
    if (c->dma) {
        c->prd_at = c->prd_off = 0;
        c->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
        c->phase = IDE_WAIT_DMA;
        if (c->bm_command & BM_START)
            next_piece(c);
    } else if (c->write) {
        want_pio_out(c, true);
    } else {
        next_piece(c);
    }
}

static void cmd_verify(struct ide_channel *c, unsigned flags)
{
    c->ext = (flags & T_EXT) != 0;
    c->lba = task_lba(c);
    c->left = task_count(c);
    if (lba_ok(c))
        complete(c);
    else
        fail(c, ATA_IDNF);
}

static void cmd_flush(struct ide_channel *c, unsigned flags)
{
    c->dma = 0;
    submit(c, DISK_FLUSH, 0, 0, 0, 0);
}

/* DATA SET MANAGEMENT with TRIM: one sector of ranges by DMA; done range after range would need a
 * queue, so ranges that touch become one and the first is done: trimming is advice. */
static void cmd_trim(struct ide_channel *c, unsigned flags)
{
    uint8_t list[SECTOR];
    uint64_t lba = 0, n = 0;
    uint32_t at = 0;

    if (c->features[0] != 1 || task_count(c) != 1 || !disk_of(c)->discard_block) {
        fail(c, ATA_ABRT);
        return;
    }
    c->prd_at = c->prd_off = 0;
    c->dma = 1;
    if (!gather_prds(c, SECTOR)) {
        dma_error(c);
        return;
    }
    for (unsigned i = 0; i < c->n_iov; at += (uint32_t)c->iov[i++].iov_len)
        memcpy(list + at, c->iov[i].iov_base, c->iov[i].iov_len);
    for (unsigned i = 0; i < TRIM_ENTRIES; i++) {
        uint64_t e = get_le64(list + 8 * i), from = e & 0xffffffffffff, len = e >> 48;
        if (!len || (n && from != lba + n))
            break;
        lba = n ? lba : from;
        n += len;
    }
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    if (!range_ok(lba, n, disk_of(c)->size / SECTOR)) {
        fail(c, ATA_ABRT);
        return;
    }
    if (!n) {
        complete(c);
        return;
    }
    submit(c, DISK_DISCARD, lba * SECTOR, n * SECTOR, 0, 0);
}

static void cmd_trim_start(struct ide_channel *c, unsigned flags)
{
    c->phase = IDE_WAIT_DMA;
    c->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (c->bm_command & BM_START)
        cmd_trim(c, flags);
}

static void cmd_identify(struct ide_channel *c, unsigned flags)
{
    struct ide_drive *d = selected(c);

    if (is_packet_drive(d)) { /* the way in which a CD drive says that it is none of these */
        put_signature(c, (c->device & ATA_DEV) != 0);
        fail(c, ATA_ABRT);
        return;
    }
    ide_identify_disk(d, disk_of(c), c->buf);
    c->left = 0;
    c->atapi_left = 0;
    offer_pio_in(c, SECTOR);
}

static void cmd_identify_packet(struct ide_channel *c, unsigned flags)
{
    if (!is_packet_drive(selected(c))) {
        fail(c, ATA_ABRT);
        return;
    }
    ide_identify_packet(selected(c), c->buf);
    c->left = 0;
    c->atapi_left = 0;
    offer_pio_in(c, SECTOR);
}

static void cmd_set_multiple(struct ide_channel *c, unsigned flags)
{
    if (c->count[0] > IDE_MULTIPLE_MAX || (c->count[0] & (c->count[0] - 1))) {
        fail(c, ATA_ABRT);
        return;
    }
    selected(c)->multiple = c->count[0];
    complete(c);
}

static void cmd_init_params(struct ide_channel *c, unsigned flags)
{
    struct ide_drive *d = selected(c);

    if (!c->count[0]) {
        fail(c, ATA_ABRT);
        return;
    }
    d->heads = (uint8_t)((c->device & 15) + 1);
    d->sectors = c->count[0];
    complete(c);
}

static void cmd_read_max(struct ide_channel *c, unsigned flags)
{
    uint64_t last = disk_of(c)->size / SECTOR - 1;

    c->ext = (flags & T_EXT) != 0;
    c->device |= ATA_LBA;
    set_task_lba(c, c->ext ? last : MIN(last, 0xfffffff));
    complete(c);
}

static void cmd_set_features(struct ide_channel *c, unsigned flags)
{
    struct ide_drive *d = selected(c);

    switch (c->features[0]) {
    case 0x02: d->write_cache = 1; break;
    case 0x82: d->write_cache = 0; break;
    case 0x03: /* transfer mode */
        if (c->count[0] >= 0x20)
            d->dma_mode = c->count[0];
        break;
    case 0x55: /* look-ahead and defaults: nothing to do */
    case 0xaa:
    case 0x66:
    case 0xcc: break;
    default: fail(c, ATA_ABRT); return;
    }
    complete(c);
}

static void cmd_nothing(struct ide_channel *c, unsigned flags)
{
    complete(c);
}

static void cmd_check_power(struct ide_channel *c, unsigned flags)
{
    c->count[0] = 0xff; /* active */
    complete(c);
}

static void cmd_nop(struct ide_channel *c, unsigned flags)
{
    fail(c, ATA_ABRT);
}

static void cmd_diagnostic(struct ide_channel *c, unsigned flags)
{
    c->device = 0;
    put_signature(c, 0);
    complete(c);
    c->error = 1; /* passed */
}

/* DEVICE RESET: CD drives only, no interrupt. */
static void cmd_device_reset(struct ide_channel *c, unsigned flags)
{
    if (!is_packet_drive(selected(c))) {
        fail(c, ATA_ABRT);
        return;
    }
    c->generation++;
    c->phase = IDE_IDLE;
    put_signature(c, (c->device & ATA_DEV) != 0);
    c->status = 0;
    c->error = 1;
}

/* ---- PACKET ------------------------------------------------------------------------------------------------------------------ */

#define PACKET_SIZE 12

static void cmd_packet(struct ide_channel *c, unsigned flags)
{
    if (!is_packet_drive(selected(c))) {
        fail(c, ATA_ABRT);
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

static void start_packet(struct ide_channel *c)
{
    memset(c->rq.cdb, 0, sizeof c->rq.cdb);
    memcpy(c->rq.cdb, c->buf, PACKET_SIZE);
    c->iov[0] = (struct iovec){ c->buf, IDE_BUFFER };
    c->rq.iov = c->iov;
    c->rq.n_iov = 1;
    c->rq.len = IDE_BUFFER;
    c->rq.initiator = 1;
    c->rq.done = on_scsi_done;
    c->disk_direct = false;
    memset(c->buf, 0, PACKET_SIZE);
    launch(c);
}

static void packet_end(struct ide_channel *c)
{
    c->count[0] = ATAPI_CD | ATAPI_IO;
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    complete(c);
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
    irq(c, true);
}

static bool packet_dma(struct ide_channel *c, uint32_t n)
{
    uint32_t at = 0;

    while (at < n) {
        if (!gather_prds(c, MIN(n - at, DMA_PIECE)))
            return false;
        for (unsigned i = 0; i < c->n_iov; at += (uint32_t)c->iov[i++].iov_len)
            memcpy(c->iov[i].iov_base, c->buf + at, c->iov[i].iov_len);
        mark_written(c);
    }
    return true;
}

static void packet_done(struct ide_channel *c)
{
    uint32_t n = c->rq.moved;

    if (c->rq.status != SCSI_GOOD) {
        c->count[0] = ATAPI_CD | ATAPI_IO;
        fail(c, (uint8_t)((c->rq.sense_len ? c->rq.sense[2] & 15 : SENSE_ABORTED_COMMAND) << 4 |
                          ATA_ABRT));
        return;
    }
    if (!n) {
        packet_end(c);
    } else if (c->dma) {
        if (packet_dma(c, n))
            packet_end(c);
        else
            dma_error(c);
    } else {
        c->lba_mid[1] = c->lba_mid[0]; /* the host's limit, kept while we announce our own counts */
        c->lba_high[1] = c->lba_high[0];
        c->at = 0;
        c->atapi_left = (n + 1) & ~1u;
        packet_offer(c);
    }
}

/* ---- the data port ---------------------------------------------------------------------------------------------------------------- */

static void pio_in_end(struct ide_channel *c)
{
    if (c->command == ATA_PACKET) {
        if (c->atapi_left)
            packet_offer(c);
        else
            packet_end(c);
        return;
    }
    c->phase = IDE_IDLE;
    c->status = ATA_DRDY | ATA_DSC;
    if (c->left)
        next_piece(c);
}

static void pio_out_end(struct ide_channel *c)
{
    if (c->phase == IDE_PACKET)
        start_packet(c);
    else
        next_piece(c);
}

static uint64_t data_read(struct ide_channel *c, unsigned size)
{
    uint64_t v = 0;

    if (c->phase != IDE_PIO_IN)
        return 0;
    unsigned n = MIN(size, c->size - c->at);
    memcpy(&v, c->buf + c->at, n);
    c->at += n;
    if (c->at >= c->size)
        pio_in_end(c);
    return v;
}

static void data_write(struct ide_channel *c, unsigned size, uint64_t v)
{
    if (c->phase != IDE_PIO_OUT && c->phase != IDE_PACKET)
        return;
    unsigned n = MIN(size, c->size - c->at);
    memcpy(c->buf + c->at, &v, n);
    c->at += n;
    if (c->at >= c->size)
        pio_out_end(c);
}

/* ---- the task file -------------------------------------------------------------------------------------------------------------------- */

struct command {
    void (*run)(struct ide_channel *c, unsigned flags);
    unsigned flags;
    bool packet_too; /* CD drives know it */
};

static const struct command commands[256] = {
    [ATA_NOP] = { cmd_nop, 0, true },
    [ATA_DATA_SET_MANAGEMENT] = { cmd_trim_start, 0, false },
    [ATA_DEVICE_RESET] = { cmd_device_reset, 0, true },
    [ATA_READ_SECTORS] = { cmd_transfer, 0, false },
    [ATA_READ_SECTORS_NR] = { cmd_transfer, 0, false },
    [ATA_READ_SECTORS_EXT] = { cmd_transfer, T_EXT, false },
    [ATA_READ_DMA] = { cmd_transfer, T_DMA, false },
    [ATA_READ_DMA_EXT] = { cmd_transfer, T_DMA | T_EXT, false },
    [ATA_READ_MULTIPLE] = { cmd_transfer, T_MULTIPLE, false },
    [ATA_READ_MULTIPLE_EXT] = { cmd_transfer, T_MULTIPLE | T_EXT, false },
    [ATA_WRITE_SECTORS] = { cmd_transfer, T_WRITE, false },
    [ATA_WRITE_SECTORS_NR] = { cmd_transfer, T_WRITE, false },
    [ATA_WRITE_SECTORS_EXT] = { cmd_transfer, T_WRITE | T_EXT, false },
    [ATA_WRITE_DMA] = { cmd_transfer, T_WRITE | T_DMA, false },
    [ATA_WRITE_DMA_EXT] = { cmd_transfer, T_WRITE | T_DMA | T_EXT, false },
    [ATA_WRITE_DMA_FUA_EXT] = { cmd_transfer, T_WRITE | T_DMA | T_EXT | T_FUA, false },
    [ATA_WRITE_MULTIPLE] = { cmd_transfer, T_WRITE | T_MULTIPLE, false },
    [ATA_WRITE_MULTIPLE_EXT] = { cmd_transfer, T_WRITE | T_MULTIPLE | T_EXT, false },
    [ATA_VERIFY] = { cmd_verify, 0, false },
    [ATA_VERIFY_EXT] = { cmd_verify, T_EXT, false },
    [ATA_DIAGNOSTIC] = { cmd_diagnostic, 0, true },
    [ATA_INIT_PARAMS] = { cmd_init_params, 0, false },
    [ATA_PACKET] = { cmd_packet, 0, true },
    [ATA_IDENTIFY_PACKET] = { cmd_identify_packet, 0, true },
    [ATA_SET_MULTIPLE] = { cmd_set_multiple, 0, false },
    [ATA_STANDBY_NOW] = { cmd_flush, 0, false },
    [ATA_IDLE_NOW] = { cmd_nothing, 0, true },
    [ATA_STANDBY] = { cmd_flush, 0, false },
    [ATA_IDLE] = { cmd_nothing, 0, true },
    [ATA_CHECK_POWER] = { cmd_check_power, 0, true },
    [ATA_SLEEP] = { cmd_flush, 0, false },
    [ATA_FLUSH] = { cmd_flush, 0, false },
    [ATA_FLUSH_EXT] = { cmd_flush, 0, false },
    [ATA_IDENTIFY] = { cmd_identify, 0, true },
    [ATA_SET_FEATURES] = { cmd_set_features, 0, true },
    [ATA_READ_MAX] = { cmd_read_max, 0, false },
    [ATA_READ_MAX_EXT] = { cmd_read_max, T_EXT, false },
};

static void run_command(struct ide_channel *c, uint8_t code)
{
    const struct command *cmd = &commands[code];
    struct ide_drive *d = selected(c);

    TRACE("ide", "command", "channel %u device %#x command %#x", c->index, c->device, code);
    if (!d->unit && code != ATA_DIAGNOSTIC)
        return;
    if ((c->status & (ATA_BSY | ATA_DRQ)) && code != ATA_DEVICE_RESET)
        return;
    irq(c, false);
    c->command = code;
    c->error = 0;
    if (!cmd->run || (is_packet_drive(d) && !cmd->packet_too))
        fail(c, ATA_ABRT);
    else
        cmd->run(c, cmd->flags);
}

/* Writes go to both drives of the channel; the previous value of a register is kept for LBA48. */
static void push(uint8_t reg[2], uint8_t v)
{
    reg[1] = reg[0];
    reg[0] = v;
}

static void command_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct ide_channel *c = owner;
    uint8_t v = (uint8_t)value;

    if (off == ATA_DATA) {
        data_write(c, size, value);
        return;
    }
    if (size != 1)
        return;
    if (off == ATA_COMMAND) {
        run_command(c, v);
        return;
    }
    if (c->status & ATA_BSY)
        return;
    c->control &= (uint8_t)~ATA_HOB;
    switch (off) {
    case ATA_FEATURES: push(c->features, v); break;
    case ATA_COUNT: push(c->count, v); break;
    case ATA_LBA_LOW: push(c->lba_low, v); break;
    case ATA_LBA_MID: push(c->lba_mid, v); break;
    case ATA_LBA_HIGH: push(c->lba_high, v); break;
    case ATA_DEVICE:
        c->device = v;
        if (!(c->status & ATA_DRQ))
            c->status = selected(c)->unit ? (c->status | ATA_DRDY | ATA_DSC) : 0;
        break;
    default: break;
    }
}

static uint64_t command_read(void *owner, uint64_t off, unsigned size)
{
    struct ide_channel *c = owner;
    bool hob = (c->control & ATA_HOB) != 0;

    if (off == ATA_DATA)
        return data_read(c, size);
    if (!present(c))
        return off == ATA_STATUS ? 0 : 0xff;
    switch (off) {
    case ATA_ERROR: return c->error;
    case ATA_COUNT: return c->count[hob];
    case ATA_LBA_LOW: return c->lba_low[hob];
    case ATA_LBA_MID: return c->lba_mid[hob];
    case ATA_LBA_HIGH: return c->lba_high[hob];
    case ATA_DEVICE: return c->device | 0xa0;
    default:
        irq_set(&c->irq, false); /* reading the status acknowledges */
        return selected(c)->unit ? c->status : 0;
    }
}

static const struct io_ops command_ops = { command_read, command_write, 1 | 2 | 4 };

static void soft_reset(struct ide_channel *c)
{
    c->generation++; /* an answer on its way is void */
    c->restart = false;
    c->phase = IDE_IDLE;
    c->device = 0;
    put_signature(c, 0);
    c->error = 1;
    c->status = c->drive[0].unit ? ATA_DRDY | ATA_DSC : 0;
    irq_set(&c->irq, false);
}

static void control_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct ide_channel *c = owner;
    uint8_t old = c->control;

    c->control = (uint8_t)value;
    if ((value & ATA_SRST) && !(old & ATA_SRST)) {
        c->generation++;
        c->status = ATA_BSY;
        c->phase = IDE_IDLE;
    } else if (!(value & ATA_SRST) && (old & ATA_SRST)) {
        soft_reset(c);
    }
    if (value & ATA_NIEN)
        irq_set(&c->irq, false);
}

static uint64_t control_read(void *owner, uint64_t off, unsigned size)
{
    struct ide_channel *c = owner;

    return present(c) && selected(c)->unit ? c->status : 0;
}

static const struct io_ops control_ops = { control_read, control_write, 1 };

/* ---- bus master registers -------------------------------------------------------------------------------------------------------------------- */

static void bm_start(struct ide_channel *c)
{
    c->bm_status |= BM_ACTIVE;
    if (c->phase != IDE_WAIT_DMA)
        return;
    if (c->command == ATA_DATA_SET_MANAGEMENT)
        cmd_trim(c, 0);
    else
        next_piece(c);
}

static void bm_write_command(struct ide_channel *c, uint8_t v)
{
    uint8_t old = c->bm_command;

    c->bm_command = v & (BM_START | BM_TO_MEMORY);
    if ((v & BM_START) && !(old & BM_START))
        bm_start(c);
    else if (!(v & BM_START))
        c->bm_status &= (uint8_t)~BM_ACTIVE; /* a request in flight ends by itself */
}

static uint64_t bm_read(void *owner, uint64_t off, unsigned size)
{
    struct ide *ide = owner;
    struct ide_channel *c = &ide->channel[off >> 3 & 1];

    switch (off & 7) {
    case BM_COMMAND: return c->bm_command;
    case BM_STATUS: return c->bm_status;
    case BM_PRDT: return size == 4 ? c->bm_prdt : (uint8_t)c->bm_prdt;
    case 5: return (uint8_t)(c->bm_prdt >> 8);
    case 6: return (uint8_t)(c->bm_prdt >> 16);
    case 7: return (uint8_t)(c->bm_prdt >> 24);
    default: return 0;
    }
}

static void bm_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct ide *ide = owner;
    struct ide_channel *c = &ide->channel[off >> 3 & 1];
    unsigned at = off & 7;
    uint8_t v = (uint8_t)value;

    if (at == BM_PRDT && size == 4) {
        c->bm_prdt = (uint32_t)value & ~3u;
    } else if (at == BM_COMMAND) {
        bm_write_command(c, v);
    } else if (at == BM_STATUS) {
        c->bm_status &= (uint8_t)~(v & (BM_INTERRUPT | BM_ERROR));
        c->bm_status = (uint8_t)((c->bm_status & ~BM_CAPABLE) | (v & BM_CAPABLE));
    } else if (at >= BM_PRDT) {
        unsigned shift = 8 * (at - BM_PRDT);
        c->bm_prdt = ((c->bm_prdt & ~(0xffu << shift)) | (uint32_t)v << shift) & ~3u;
    }
}

static const struct io_ops bm_ops = { bm_read, bm_write, 1 | 4 };

/* ---- life --------------------------------------------------------------------------------------------------------------------------------------- */

static void reset_drive(struct ide_drive *d)
{
    struct disk *disk = d->unit ? scsi_unit_disk(d->unit) : NULL;

    d->multiple = 0;
    d->dma_mode = 0;
    d->write_cache = 1;
    d->heads = 16;
    d->sectors = 63;
    d->cyls = disk ? (uint16_t)MIN(disk->size / SECTOR / (16 * 63), 16383) : 0;
}

static void ide_reset(void *chip)
{
    struct ide *ide = chip;

    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *c = &ide->channel[i];
        for (unsigned k = 0; k < IDE_DRIVES; k++)
            reset_drive(&c->drive[k]);
        c->control = 0;
        c->bm_command = c->bm_status = 0;
        c->bm_prdt = 0;
        soft_reset(c);
    }
    pci_dev_reset(&ide->pci);
}

static void ide_restored(void *chip)
{
    struct ide *ide = chip;

    pci_dev_restored(&ide->pci);
}

static const struct state_field drive_fields[] = {
    STATE(struct ide_drive, multiple), STATE(struct ide_drive, cyls),
    STATE(struct ide_drive, heads),    STATE(struct ide_drive, sectors),
    STATE(struct ide_drive, dma_mode), STATE(struct ide_drive, write_cache),
};
static bool drive_check(void *obj)
{
    struct ide_drive *d = obj;

    return d->heads && d->sectors && d->multiple <= IDE_MULTIPLE_MAX;
}
static const struct state_desc drive_state = { "drive", 1, drive_fields, ARRAY_LEN(drive_fields),
                                               drive_check };

static const struct state_field channel_fields[] = {
    STATE_ARRAY(struct ide_channel, drive, drive_state),
    STATE(struct ide_channel, features),   STATE(struct ide_channel, count),
    STATE(struct ide_channel, lba_low),    STATE(struct ide_channel, lba_mid),
    STATE(struct ide_channel, lba_high),   STATE(struct ide_channel, device),
    STATE(struct ide_channel, status),     STATE(struct ide_channel, error),
    STATE(struct ide_channel, control),    STATE(struct ide_channel, command),
    STATE(struct ide_channel, phase),      STATE(struct ide_channel, write),
    STATE(struct ide_channel, ext),        STATE(struct ide_channel, dma),
    STATE(struct ide_channel, fua),        STATE(struct ide_channel, lba),
    STATE(struct ide_channel, left),       STATE(struct ide_channel, per_irq),
    STATE(struct ide_channel, at),         STATE(struct ide_channel, size),
    STATE(struct ide_channel, atapi_left), STATE(struct ide_channel, bm_command),
    STATE(struct ide_channel, bm_status),  STATE(struct ide_channel, bm_prdt),
    STATE(struct ide_channel, prd_at),     STATE(struct ide_channel, prd_off),
    STATE(struct ide_channel, buf),
};
static const struct state_desc channel_state = STATE_DESC("channel", 1, channel_fields);

static const struct state_field ide_fields[] = {
    STATE_STRUCT(struct ide, pci, pci_dev_state),
    STATE_ARRAY(struct ide, channel, channel_state),
};

/* Saved with nothing in flight; positions must lie inside the buffer. */
static bool ide_check(void *obj)
{
    struct ide *ide = obj;

    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        const struct ide_channel *c = &ide->channel[i];
        if (c->phase >= IDE_BUSY || c->size > IDE_BUFFER || c->at > c->size ||
            c->per_irq > IDE_MULTIPLE_MAX || c->atapi_left > IDE_BUFFER - c->size)
            return false;
    }
    return true;
}
static const struct state_desc ide_state = { "ide", 1, ide_fields, ARRAY_LEN(ide_fields),
                                             ide_check };

const struct device_ops ide_device = {
    .state = &ide_state,
    .reset = ide_reset,
    .restored = ide_restored,
};

static void add_range(struct io_range *r, struct bus *bus, uint64_t base, uint64_t len,
                      const struct io_ops *ops, void *owner)
{
    *r = (struct io_range){ .base = base, .len = len, .ops = ops, .owner = owner };
    pio_add(bus, r);
}

void ide_init(struct ide *ide, struct pci_bus *pci, uint8_t devfn, struct gmem *gmem,
             const struct irq_line irq_lines[IDE_CHANNELS])
{
    static const uint16_t command_port[] = { 0x1f0, 0x170 }, control_port[] = { 0x3f6, 0x376 };

    memset(ide, 0, sizeof *ide);
    ide->bus = pci->bus;
    ide->gmem = gmem;
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *c = &ide->channel[i];
        c->ide = ide;
        c->index = i;
        c->irq = irq_lines[i];
        c->start.run = start_work;
        add_range(&c->command_io, ide->bus, command_port[i], 8, &command_ops, c);
        add_range(&c->control_io, ide->bus, control_port[i], 1, &control_ops, c);
    }
    /* Class 0101, programming interface 80: compatibility mode, bus master. */
    pci_dev_init(&ide->pci, NULL, PCI_VENDOR_INTEL, PCI_DEVICE_PIIX4_IDE, 0x0101, 1);
    ide->pci.config[PCI_CLASS_PROG] = 0x80;
    for (unsigned at = 0x40; at < 0x4c; at++)
        ide->pci.writable[at] = 0xff; /* timings: kept, without effect */
    ide->pci.config[0x41] = ide->pci.config[0x43] = 0x80; /* both channels decode */
    pci_set_bar(&ide->pci, 4, PCI_BAR_IO, 16, &bm_ops, ide);
    pci_add(pci, &ide->pci, devfn);
    ide_reset(ide);
}

void ide_done(struct ide *ide)
{
    assert(!ide->n_busy);
    pci_remove(&ide->pci);
    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        pio_remove(ide->bus, &ide->channel[i].command_io);
        pio_remove(ide->bus, &ide->channel[i].control_io);
    }
}

void ide_attach(struct ide *ide, unsigned channel, unsigned drive, struct scsi_unit *u,
                const char *serial)
{
    struct ide_channel *c = &ide->channel[channel];
    struct ide_drive *d = &c->drive[drive];

    d->unit = u;
    snprintf(d->serial, sizeof d->serial, "%s", serial);
    reset_drive(d);
    soft_reset(c);
}

bool ide_busy(const struct ide *ide)
{
    return ide->n_busy != 0;
}
