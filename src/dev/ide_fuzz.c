/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_fuzz.c - a hostile guest at the IDE function: any access to its ports, PRD tables anywhere, disks
 * that answer late or fail, media that change, resets, and saved states, whole and damaged.
 *
 * The input is a list of actions: a byte says which, its parameters follow. */
#include "base/bytes.h"
#include "dev/ide_model.h"

#define PRDT 0x1000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Registers in both channels' blocks, and the bus master's. */
static uint16_t port_of(uint8_t what)
{
    unsigned ch = what >> 4 & 1, reg = what & 15;

    if (reg < 8)
        return (uint16_t)((ch ? 0x170 : 0x1f0) + reg);
    if (reg == 8)
        return ch ? 0x376 : 0x3f6;
    return (uint16_t)(IDE_MODEL_BM + ch * 8 + (reg - 8));
}

/* A whole command: task file, PRD table, start. */
static void command(struct ide_model *b, struct bytes *in)
{
    static const uint8_t known[] = {
        0x06, 0x08, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x3d, 0x42, 0x90, 0x91, 0xa0,
        0xa1, 0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe7, 0xea, 0xec, 0xef, 0x27, 0xf8,
    };
    uint8_t p[10] = { 0 }, raw[16];

    bytes_copy(in, p, MIN(in->n, sizeof p));
    unsigned base = p[0] & 1 ? 0x170 : 0x1f0, bm = IDE_MODEL_BM + (p[0] & 1) * 8;
    put_le32(raw, (uint32_t)p[1] << 14 | p[2]);
    put_le32(raw + 4, p[3] * 256u);
    put_le32(raw + 8, (uint32_t)p[2] << 14 | p[1]);
    put_le32(raw + 12, 0x80000000u | p[4] * 512u);
    gmem_write(b->gmem, GPA(PRDT), raw, sizeof raw);
    pio_write(&b->t.bus, (uint16_t)(bm + BM_PRDT), 4, PRDT);
    out8(&b->t, base + ATA_DEVICE, ATA_LBA | (p[0] & ATA_DEV));
    out8(&b->t, base + ATA_FEATURES, p[5]);
    out8(&b->t, base + ATA_COUNT, p[0] >> 7);
    out8(&b->t, base + ATA_COUNT, p[6]);
    out8(&b->t, base + ATA_LBA_LOW, 0);
    out8(&b->t, base + ATA_LBA_LOW, p[7]);
    out8(&b->t, base + ATA_LBA_MID, p[8]);
    out8(&b->t, base + ATA_LBA_HIGH, p[8] & 7);
    out8(&b->t, base + ATA_COMMAND, known[p[9] % ARRAY_LEN(known)]);
    if (p[0] & 2)
        out8(&b->t, bm + BM_COMMAND, p[0] & 4 ? 0 : BM_START);
}

/* Words through the data port: a packet's CDB, or the data of a write. */
static void data(struct ide_model *b, uint16_t port, unsigned n, struct bytes *in)
{
    uint8_t first[12] = { 0 };

    bytes_copy(in, first, MIN(in->n, sizeof first));
    for (unsigned i = 0; i < n; i++)
        pio_write(&b->t.bus, port, 2, get_le16(first + i * 2 % 12));
}

static void settle(struct ide_model *b)
{
    while (ide_busy(&b->ide)) {
        for (unsigned i = 0; i < IDE_MODEL_UNITS; i++)
            mem_disk_answer(&b->disk[i], UINT32_MAX);
        loop_poll(b->t.loop);
    }
}

static int load(struct ide_model *b, const struct buf *state)
{
    struct bytes from = bytes_of(state->p, state->n);

    return state_load(&from, "ide", ide_device.state, &b->ide, NULL);
}

/* What was saved is taken back whole; a damaged state is refused or does no harm. */
static void reload(struct ide_model *b, struct bytes *in)
{
    struct buf state = { 0 }, damaged = { 0 };
    uint16_t at;
    uint8_t n = 0, v;

    settle(b);
    state_save(&state, "ide", ide_device.state, &b->ide);
    buf_add(&damaged, state.p, state.n);
    bytes_u8(in, &n);
    for (n %= 8; n && bytes_le16(in, &at) && bytes_u8(in, &v); n--)
        damaged.p[at % MIN(state.n, 3000)] = v; /* not in the data buffer only */
    if (load(b, &damaged) < 0 && load(b, &state) < 0)
        abort();
    ide_device.restored(&b->ide);
    buf_done(&state);
    buf_done(&damaged);
}

static void hide_or_show(struct ide_model *b, uint8_t arg)
{
    unsigned channel = arg >> 1 & 1, drive = arg >> 2 & 1;

    if (arg & 1)
        ide_hide(&b->ide, channel, drive);
    else
        ide_show(&b->ide, channel, drive);
}

static void act(struct ide_model *b, uint8_t what, struct bytes *in)
{
    uint8_t arg = 0;
    unsigned size;

    bytes_u8(in, &arg);
    size = 1u << arg % 3;
    switch (what >> 5) {
    case 0:
    case 1: pio_write(&b->t.bus, port_of(what), 1, arg); break;
    case 2: pio_read(&b->t.bus, port_of(what), size); break;
    case 3: data(b, what & 1 ? 0x170 : 0x1f0, what & 2 ? 6 : arg * 8, in); break;
    case 4:
        for (unsigned i = 0; i < arg * 8u; i++)
            pio_read(&b->t.bus, what & 1 ? 0x170 : 0x1f0, size);
        break;
    case 5: command(b, in); break;
    case 6: {
        struct mem_disk *d = &b->disk[arg % IDE_MODEL_UNITS];
        d->hold = what & 1;
        d->err = what & 2 ? -5 : 0;
        loop_poll(b->t.loop);
        mem_disk_answer(d, what & 4 ? UINT32_MAX : 0);
        break;
    }
    default:
        if (what & 1)
            reload(b, in);
        else if (what & 2 && !scsi_unit_inflight(b->unit[IDE_MODEL_CD]))
            scsi_optical_change(b->unit[IDE_MODEL_CD], arg & 1 ? &b->disk[IDE_MODEL_CD].disk : NULL,
                                true);
        else if (what & 4)
            gmem_write(b->gmem, GPA(arg * 256u), in->p, MIN(in->n, 64));
        else if (what & 8) /* the disk's other way comes and goes */
            hide_or_show(b, arg);
        else if (arg == 77)
            ide_device.reset(&b->ide);
        else
            loop_poll(b->t.loop);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct ide_model b;
    struct bytes in = bytes_of(p, n);
    uint8_t what;

    ide_model_init(&b);
    while (bytes_u8(&in, &what))
        act(&b, what, &in);
    ide_model_done(&b);
    return 0;
}
