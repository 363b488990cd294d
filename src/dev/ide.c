/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide.c - the chip: see ide.h.  Its registers, its life; ide_command.c does what they ask. */
#include <assert.h>

#include "dev/ide_channel.h"

static bool present(const struct ide_channel *c)
{
    return c->drive[0].unit || c->drive[1].unit;
}

/* A drive that is not there shows nothing; while the channel resets both are busy. */
static uint8_t shown_status(struct ide_channel *c)
{
    return selected(c)->unit || (present(c) && (c->status & ATA_BSY)) ? c->status : 0;
}

/* ---- the data port -------------------------------------------------------------------------- */

static uint64_t data_read(struct ide_channel *c, unsigned size)
{
    uint64_t v = 0;

    if (c->phase != IDE_PIO_IN)
        return 0;
    unsigned n = MIN(size, c->size - c->at);
    memcpy(&v, c->buf + c->at, n);
    c->at += n;
    if (c->at >= c->size)
        ide_pio_in_end(c);
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
        ide_pio_out_end(c);
}

/* ---- the task file -------------------------------------------------------------------------- */

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
        ide_run_command(c, v);
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
    case ATA_DEVICE: /* not while a command waits for its data: ATA-6 7.7.2 */
        if (c->status & ATA_DRQ)
            break;
        c->device = v;
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
        ide_line(c, false); /* reading the status acknowledges */
        return shown_status(c);
    }
}

static const struct io_ops command_ops = { command_read, command_write, 1 | 2 | 4 };

static void soft_reset(struct ide_channel *c)
{
    c->device = 0;
    ide_put_signature(c, 0);
    c->error = 1;
    for (unsigned i = 0; i < IDE_DRIVES; i++)
        c->drive[i].driven = 0;
    ide_abandon(c, c->drive[0].unit ? ATA_DRDY | ATA_DSC : 0);
    ide_line(c, false);
}

static void control_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct ide_channel *c = owner;
    uint8_t old = c->control;

    c->control = (uint8_t)value;
    if ((value & ATA_SRST) && !(old & ATA_SRST)) {
        ide_abandon(c, ATA_BSY);
    } else if (!(value & ATA_SRST) && (old & ATA_SRST)) {
        soft_reset(c);
    }
    if (value & ATA_NIEN)
        ide_line(c, false);
}

static uint64_t control_read(void *owner, uint64_t off, unsigned size)
{
    struct ide_channel *c = owner;

    return shown_status(c);
}

static const struct io_ops control_ops = { control_read, control_write, 1 };

/* ---- bus master registers ------------------------------------------------------------------- */

static void bm_start(struct ide_channel *c)
{
    c->bm_status |= BM_ACTIVE;
    if (c->phase == IDE_WAIT_DMA)
        ide_dma_started(c);
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
        c->bm_status &= (uint8_t) ~(v & (BM_INTERRUPT | BM_ERROR));
        c->bm_status = (uint8_t)((c->bm_status & ~BM_CAPABLE) | (v & BM_CAPABLE));
    } else if (at >= BM_PRDT) {
        unsigned shift = 8 * (at - BM_PRDT);
        c->bm_prdt = ((c->bm_prdt & ~(0xffu << shift)) | (uint32_t)v << shift) & ~3u;
    }
}

static const struct io_ops bm_ops = { bm_read, bm_write, 1 | 4 };

/* ---- life ----------------------------------------------------------------------------------- */

static void reset_drive(struct ide_drive *d)
{
    struct disk *disk = d->unit ? scsi_unit_disk(d->unit) : NULL;

    d->multiple = 0;
    d->dma_mode = 0;
    d->sense[0] = 0;
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
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        ide_line(&ide->channel[i], ide->channel[i].line);
}

static const struct state_field drive_fields[] = {
    STATE(struct ide_drive, multiple), STATE(struct ide_drive, cyls),
    STATE(struct ide_drive, heads),    STATE(struct ide_drive, sectors),
    STATE(struct ide_drive, dma_mode), STATE(struct ide_drive, write_cache),
    STATE_SINCE(struct ide_drive, driven, 2),
    STATE_SINCE(struct ide_drive, sense, 2),
};
static bool drive_check(void *obj)
{
    struct ide_drive *d = obj;

    return d->heads && d->sectors && d->multiple <= IDE_MULTIPLE_MAX;
}
static const struct state_desc drive_state = { "drive", 2, drive_fields, ARRAY_LEN(drive_fields),
                                               drive_check };

static const struct state_field channel_fields[] = {
    STATE_ARRAY(struct ide_channel, drive, drive_state),
    STATE(struct ide_channel, features),
    STATE(struct ide_channel, count),
    STATE(struct ide_channel, lba_low),
    STATE(struct ide_channel, lba_mid),
    STATE(struct ide_channel, lba_high),
    STATE(struct ide_channel, device),
    STATE(struct ide_channel, status),
    STATE(struct ide_channel, error),
    STATE(struct ide_channel, control),
    STATE(struct ide_channel, command),
    STATE(struct ide_channel, phase),
    STATE(struct ide_channel, write),
    STATE(struct ide_channel, ext),
    STATE(struct ide_channel, dma),
    STATE(struct ide_channel, fua),
    STATE(struct ide_channel, lba),
    STATE(struct ide_channel, left),
    STATE(struct ide_channel, per_irq),
    STATE(struct ide_channel, at),
    STATE(struct ide_channel, size),
    STATE(struct ide_channel, atapi_left),
    STATE(struct ide_channel, bm_command),
    STATE(struct ide_channel, bm_status),
    STATE(struct ide_channel, bm_prdt),
    STATE(struct ide_channel, prd_at),
    STATE(struct ide_channel, prd_off),
    STATE(struct ide_channel, buf),
    STATE_SINCE(struct ide_channel, line, 2),
};
static const struct state_desc channel_state = STATE_DESC("channel", 2, channel_fields);

static const struct state_field ide_fields[] = {
    STATE_STRUCT(struct ide, pci, pci_dev_state),
    STATE_ARRAY(struct ide, channel, channel_state),
};

/* A command that goes on must be one of its drive's kind. */
static bool phase_ok(struct ide_channel *c)
{
    const struct ide_drive *d = selected(c);
    bool packet = c->command == ATA_PACKET;

    switch (c->phase) {
    case IDE_IDLE: return true;
    case IDE_PIO_IN: return d->unit && (is_packet_drive(d) ? packet || !c->left : !packet);
    case IDE_PIO_OUT:
    case IDE_WAIT_DMA: return d->unit && !is_packet_drive(d);
    case IDE_PACKET: return is_packet_drive(d);
    default: return false; /* saved with nothing in flight */
    }
}

/* Positions must lie inside the buffer. */
static bool ide_check(void *obj)
{
    struct ide *ide = obj;

    for (unsigned i = 0; i < IDE_CHANNELS; i++) {
        struct ide_channel *c = &ide->channel[i];
        if (!phase_ok(c) || c->size > IDE_BUFFER || c->at > c->size ||
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
        ide_work_init(c);
        add_range(&c->command_io, ide->bus, command_port[i], 8, &command_ops, c);
        add_range(&c->control_io, ide->bus, control_port[i], 1, &control_ops, c);
    }
    /* Class 0101, programming interface 80: compatibility mode, bus master. */
    pci_dev_init(&ide->pci, NULL, PCI_VENDOR_INTEL, PCI_DEVICE_PIIX4_IDE, 0x0101, 1);
    ide->pci.config[PCI_CLASS_PROG] = 0x80;
    for (unsigned at = 0x40; at < 0x4c; at++)
        ide->pci.writable[at] = 0xff;                     /* timings: kept, without effect */
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

/* Is a command of this drive under way? */
static bool drive_busy(struct ide_channel *c, const struct ide_drive *d)
{
    return (c->in_flight && c->rq_drive == d) || (c->phase != IDE_IDLE && selected(c) == d);
}

static void swap_unit(struct ide_channel *c, struct ide_drive *d, struct scsi_unit *unit,
                      struct scsi_unit *hidden)
{
    d->unit = unit;
    d->hidden = hidden;
    reset_drive(d);
    d->driven = 0;
    if (selected(c) != d)
        return;
    c->reset_status = unit ? ATA_DRDY | ATA_DSC : 0;
    if (!c->in_flight && !(c->control & ATA_SRST)) /* else the channel stays busy, see ide_abandon() */
        c->status = c->reset_status;
}

bool ide_hide(struct ide *ide, unsigned channel, unsigned drive)
{
    struct ide_channel *c = &ide->channel[channel];
    struct ide_drive *d = &c->drive[drive];

    bus_lock(ide->bus);
    bool ok = !d->driven && !drive_busy(c, d);
    if (ok && d->unit)
        swap_unit(c, d, NULL, d->unit);
    bus_unlock(ide->bus);
    return ok;
}

void ide_show(struct ide *ide, unsigned channel, unsigned drive)
{
    struct ide_channel *c = &ide->channel[channel];
    struct ide_drive *d = &c->drive[drive];

    bus_lock(ide->bus);
    if (d->hidden)
        swap_unit(c, d, d->hidden, NULL);
    bus_unlock(ide->bus);
}
