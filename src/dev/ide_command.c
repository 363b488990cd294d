/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_command.c - the ATA commands of the IDE function's drives.
 *
 * A command's way: a write to the command register finds a row of commands[]; the row's function
 * sets up a transfer, which goes in pieces: next_piece() hands one to the disk, ide_piece_done()
 * takes it back, and its data then crosses the data port (PIO) or is in guest memory already (DMA).
 * Spec: ATA/ATAPI-6, 8. */
#include <errno.h>

#include "base/bytes.h"
#include "base/trace.h"
#include "dev/ide_channel.h"
#include "dev/ide_identify.h"

#define TRIM_ENTRIES (SECTOR / 8)

/* ---- how a command ends --------------------------------------------------------------------- */

void ide_irq(struct ide_channel *c, bool level)
{
    if (level)
        c->bm_status |= BM_INTERRUPT;
    ide_line(c, level && !(c->control & ATA_NIEN));
}

void ide_complete(struct ide_channel *c)
{
    c->phase = IDE_IDLE;
    c->status = ATA_DRDY | ATA_DSC;
    c->error = 0;
    ide_irq(c, true);
}

void ide_fail(struct ide_channel *c, uint8_t error)
{
    c->phase = IDE_IDLE;
    c->status = ATA_DRDY | ATA_DSC | ATA_ERR;
    c->error = error;
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    ide_irq(c, true);
}

/* What a drive leaves in its registers after a reset: ATA-6 9.12. */
void ide_put_signature(struct ide_channel *c, unsigned drive)
{
    bool packet = is_packet_drive(&c->drive[drive]);

    c->count[0] = c->lba_low[0] = 1;
    c->lba_mid[0] = packet ? 0x14 : 0;
    c->lba_high[0] = packet ? 0xeb : 0;
    c->device &= ATA_DEV;
}

void ide_dma_error(struct ide_channel *c)
{
    c->bm_status |= BM_ERROR;
    ide_fail(c, ATA_ABRT);
}

/* ---- addresses ------------------------------------------------------------------------------ */

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

/* ---- transfers of disks --------------------------------------------------------------------- */

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
        if (!ide_gather(c, MIN(c->left, DMA_PIECE / SECTOR) * SECTOR)) {
            ide_dma_error(c);
            return;
        }
        n = c->dma_bytes;
    } else {
        n = pio_block(c) * SECTOR;
        c->iov[0] = (struct iovec){ c->buf, n };
        c->n_iov = 1;
    }
    ide_submit(c, c->write ? DISK_WRITE : DISK_READ, c->lba * SECTOR, n, c->n_iov,
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
        ide_irq(c, true);
}

static void offer_pio_in(struct ide_channel *c, uint32_t size)
{
    c->phase = IDE_PIO_IN;
    c->at = 0;
    c->size = size;
    c->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    ide_irq(c, true);
}

static void next_trim(struct ide_channel *c);

void ide_piece_done(struct ide_channel *c, int err)
{
    uint32_t n = (uint32_t)(c->disk_rq.len / SECTOR);
    enum disk_op op = c->disk_rq.op;

    if (err) {
        set_task_lba(c, c->lba);
        if (c->dma)
            ide_dma_error(c);
        else
            ide_fail(c, err == -EROFS ? ATA_ABRT : ATA_UNC);
        return;
    }
    if (op == DISK_DISCARD) {
        next_trim(c);
        return;
    }
    if (op == DISK_FLUSH) {
        ide_complete(c);
        return;
    }
    if (c->dma && !c->write)
        ide_mark_written(c);
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
    ide_complete(c);
}

void ide_pio_in_end(struct ide_channel *c)
{
    if (c->command == ATA_PACKET) {
        ide_packet_more(c);
        return;
    }
    c->phase = IDE_IDLE;
    c->status = ATA_DRDY | ATA_DSC;
    if (c->left)
        next_piece(c);
}

void ide_pio_out_end(struct ide_channel *c)
{
    if (c->phase == IDE_PACKET)
        ide_packet_start(c);
    else
        next_piece(c);
}

/* ---- the commands --------------------------------------------------------------------------- */

enum transfer_flag { T_WRITE = 1, T_DMA = 2, T_EXT = 4, T_MULTIPLE = 8, T_FUA = 16 };

static void await_dma(struct ide_channel *c)
{
    c->dma = 1;
    c->prd_at = c->prd_off = 0;
    c->status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    c->phase = IDE_WAIT_DMA;
    if (c->bm_command & BM_START)
        ide_dma_started(c);
}

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
        ide_fail(c, ATA_ABRT);
        return;
    }
    if (!lba_ok(c)) {
        ide_fail(c, ATA_IDNF);
        return;
    }
    if (c->dma) {
        await_dma(c);
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
        ide_complete(c);
    else
        ide_fail(c, ATA_IDNF);
}

static void cmd_flush(struct ide_channel *c, unsigned flags)
{
    c->dma = 0;
    ide_submit(c, DISK_FLUSH, 0, 0, 0, 0);
}

/* DATA SET MANAGEMENT with TRIM: a sector of ranges comes by DMA and stays in 'buf' while they are
 * done one after the other; neighbours become one. */
static void next_trim(struct ide_channel *c)
{
    uint64_t lba = 0, n = 0, sectors = disk_of(c)->size / SECTOR;

    for (; c->at < SECTOR; c->at += 8) {
        uint64_t e = get_le64(c->buf + c->at), from = e & 0xffffffffffff, len = e >> 48;
        if (n && len && from != lba + n)
            break;
        if (!len)
            continue;
        lba = n ? lba : from;
        n += len;
    }
    if (!n)
        ide_complete(c);
    else if (!range_ok(lba, n, sectors))
        ide_fail(c, ATA_ABRT);
    else
        ide_submit(c, DISK_DISCARD, lba * SECTOR, n * SECTOR, 0, 0);
}

static void start_trim(struct ide_channel *c)
{
    uint32_t at = 0;

    if (!ide_gather(c, SECTOR)) {
        ide_dma_error(c);
        return;
    }
    for (unsigned i = 0; i < c->n_iov; at += (uint32_t)c->iov[i++].iov_len)
        memcpy(c->buf + at, c->iov[i].iov_base, c->iov[i].iov_len);
    c->bm_status &= (uint8_t)~BM_ACTIVE;
    c->at = 0;
    c->size = SECTOR; /* 'at' stays below it: ide_check() */
    next_trim(c);
}

static void cmd_trim(struct ide_channel *c, unsigned flags)
{
    c->ext = 1;
    if (c->features[0] != 1 || task_count(c) != 1 || !disk_of(c)->discard_block) {
        ide_fail(c, ATA_ABRT);
        return;
    }
    await_dma(c);
}

static void cmd_identify(struct ide_channel *c, unsigned flags)
{
    struct ide_drive *d = selected(c);

    if (is_packet_drive(d)) { /* the way in which a CD drive says that it is none of these */
        ide_put_signature(c, (c->device & ATA_DEV) != 0);
        ide_fail(c, ATA_ABRT);
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
        ide_fail(c, ATA_ABRT);
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
        ide_fail(c, ATA_ABRT);
        return;
    }
    selected(c)->multiple = c->count[0];
    ide_complete(c);
}

static void cmd_init_params(struct ide_channel *c, unsigned flags)
{
    struct ide_drive *d = selected(c);

    if (!c->count[0]) {
        ide_fail(c, ATA_ABRT);
        return;
    }
    d->heads = (uint8_t)((c->device & 15) + 1);
    d->sectors = c->count[0];
    ide_complete(c);
}

static void cmd_read_max(struct ide_channel *c, unsigned flags)
{
    uint64_t last = disk_of(c)->size / SECTOR - 1;

    c->ext = (flags & T_EXT) != 0;
    c->device |= ATA_LBA;
    set_task_lba(c, c->ext ? last : MIN(last, 0xfffffff));
    ide_complete(c);
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
        d->driven = 1;
        break;
    case 0x55: /* look-ahead and defaults: nothing to do */
    case 0xaa:
    case 0x66:
    case 0xcc: break;
    default: ide_fail(c, ATA_ABRT); return;
    }
    ide_complete(c);
}

static void cmd_nothing(struct ide_channel *c, unsigned flags)
{
    ide_complete(c);
}

static void cmd_check_power(struct ide_channel *c, unsigned flags)
{
    c->count[0] = 0xff; /* active */
    ide_complete(c);
}

static void cmd_nop(struct ide_channel *c, unsigned flags)
{
    ide_fail(c, ATA_ABRT);
}

static void cmd_diagnostic(struct ide_channel *c, unsigned flags)
{
    c->device = 0;
    ide_put_signature(c, 0);
    ide_complete(c);
    c->error = 1; /* passed */
}

/* DEVICE RESET: CD drives only, no interrupt. */
static void cmd_device_reset(struct ide_channel *c, unsigned flags)
{
    if (!is_packet_drive(selected(c))) {
        ide_fail(c, ATA_ABRT);
        return;
    }
    ide_put_signature(c, (c->device & ATA_DEV) != 0);
    c->error = 1;
    ide_abandon(c, 0);
}

void ide_dma_started(struct ide_channel *c)
{
    if (c->command == ATA_DATA_SET_MANAGEMENT)
        start_trim(c);
    else
        next_piece(c);
}

/* ---- the table ------------------------------------------------------------------------------ */

struct command {
    void (*run)(struct ide_channel *c, unsigned flags);
    unsigned flags;
    bool packet_too; /* CD drives know it */
};

static const struct command commands[256] = {
    [ATA_NOP] = { cmd_nop, 0, true },
    [ATA_DATA_SET_MANAGEMENT] = { cmd_trim, 0, false },
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
    [ATA_PACKET] = { ide_packet, 0, true },
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

void ide_run_command(struct ide_channel *c, uint8_t code)
{
    const struct command *cmd = &commands[code];
    struct ide_drive *d = selected(c);

    TRACE("ide", "command", "channel %u device %#x command %#x", c->index, c->device, code);
    if (!d->unit && code != ATA_DIAGNOSTIC)
        return;
    if ((c->status & (ATA_BSY | ATA_DRQ)) &&
        (code != ATA_DEVICE_RESET || !is_packet_drive(d) || (c->control & ATA_SRST)))
        return;
    ide_irq(c, false);
    c->command = code;
    c->error = 0;
    if (!cmd->run || (is_packet_drive(d) && !cmd->packet_too))
        ide_fail(c, ATA_ABRT);
    else
        cmd->run(c, cmd->flags);
}
