/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vga.c - see vga.h.
 *
 * Spec:   IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem" (VGA); as a PCI function
 *         the adapter of Hyper-V's generation 1, without its frame buffer.
 * Models: all registers at 0x3b0-0x3df, 256 KiB in four planes with every read and write mode, text
 *         modes as characters for a person; a beam that moves with the machine's clock.
 * Not:    graphics for a person, line compare, the frame buffer (VBE), palettes of text.
 * Called: by ports and memory on VP threads; vga_read_text() by who draws. */
#include "dev/vga.h"

/* ---- registers by name ----------------------------------------------------------------------- */

#define MISC_COLOUR   0x01 /* CRTC at 0x3d4, not 0x3b4 */
#define MISC_RAM      0x02

enum { SEQ_CLOCKING = 1, SEQ_MAP_MASK = 2, SEQ_MEMORY = 4 };
#define CLOCKING_OFF      0x20
#define MEMORY_SEQUENTIAL 0x04 /* no odd/even */
#define MEMORY_CHAIN4     0x08

enum {
    GFX_SET = 0, GFX_SET_ENABLE = 1, GFX_COMPARE = 2, GFX_FUNCTION = 3, GFX_READ_MAP = 4,
    GFX_MODE = 5, GFX_MISC = 6, GFX_CARE = 7, GFX_BIT_MASK = 8,
};
#define MODE_READ_COMPARE 0x08
#define MODE_ODD_EVEN     0x10
#define GFX_MISC_GRAPHICS 0x01

enum {
    CRTC_COLS = 0x01, CRTC_OVERFLOW = 0x07, CRTC_CELL = 0x09, CRTC_CURSOR_START = 0x0a,
    CRTC_CURSOR_END = 0x0b, CRTC_START = 0x0c, CRTC_CURSOR = 0x0e, CRTC_PROTECT = 0x11,
    CRTC_LINES = 0x12, CRTC_PITCH = 0x13, CRTC_UNDERLINE = 0x14, CRTC_MODE = 0x17,
};
#define OVERFLOW_COMPARE  0x10
#define CELL_DOUBLE       0x80
#define CURSOR_OFF        0x20
#define PROTECT           0x80
#define UNDERLINE_DWORD   0x40
#define CRTC_MODE_BYTE    0x40

#define ATTR_MODE       0x10
#define ATTR_MODE_BLINK 0x08
#define ATTR_SCREEN_ON  0x20 /* in the index */

/* What a write can change. */
static const uint8_t seq_mask[5] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e };
static const uint8_t gfx_mask[9] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const uint8_t attr_mask[21] = {
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f,
};

/* ---- the beam -------------------------------------------------------------------------------- */

#define FRAME_NS   UINT64_C(14268000) /* 449 lines of 31.78 us: 70 Hz */
#define PICTURE_NS UINT64_C(12711000) /* 400 of them are seen */
#define LINE_NS    UINT64_C(31778)
#define DOTS_NS    UINT64_C(25422)
#define STATUS_BLANK 0x01
#define STATUS_RETRACE 0x08

static uint8_t read_status(struct vga *v)
{
    uint64_t at = bus_now_ns(v->bus) % FRAME_NS;

    v->attr_data = 0;
    if (at >= PICTURE_NS)
        return STATUS_BLANK | STATUS_RETRACE;
    return at % LINE_NS >= DOTS_NS ? STATUS_BLANK : 0;
}

/* ---- register files -------------------------------------------------------------------------- */

static void write_attr(struct vga *v, uint8_t value)
{
    unsigned i = v->attr_index & 0x1f;

    if (!v->attr_data)
        v->attr_index = value & (ATTR_SCREEN_ON | 0x1f);
    else if (i < ARRAY_LEN(v->attr))
        v->attr[i] = value & attr_mask[i];
    v->attr_data ^= 1;
}

static uint8_t read_attr(const struct vga *v)
{
    unsigned i = v->attr_index & 0x1f;

    return i < ARRAY_LEN(v->attr) ? v->attr[i] : 0;
}

static void write_crtc(struct vga *v, uint8_t value)
{
    unsigned i = v->crtc_index;

    if (i >= ARRAY_LEN(v->crtc))
        return;
    if (i <= CRTC_OVERFLOW && (v->crtc[CRTC_PROTECT] & PROTECT)) {
        if (i != CRTC_OVERFLOW)
            return;
        value = (uint8_t)((v->crtc[i] & ~OVERFLOW_COMPARE) | (value & OVERFLOW_COMPARE));
    }
    v->crtc[i] = value;
}

static void select_colour(struct vga *v, uint8_t index, bool reads)
{
    v->dac_index = index;
    v->dac_part = 0;
    v->dac_reads = reads;
}

/* The next of three parts; behind blue comes the next colour. */
static uint8_t *colour_part(struct vga *v)
{
    uint8_t *p = &v->dac[v->dac_index][v->dac_part++];

    if (v->dac_part == 3) {
        v->dac_part = 0;
        v->dac_index++;
    }
    return p;
}

/* ---- ports: 0x3b0 + off ---------------------------------------------------------------------- */

/* Does the CRTC's side, which is there once, answer at this port? */
static bool crtc_is_here(const struct vga *v, unsigned port)
{
    return (port >= 0x3d0) == (v->misc & MISC_COLOUR);
}

static uint8_t port_read(struct vga *v, unsigned port)
{
    switch (port) {
    case 0x3c0: return v->attr_index;
    case 0x3c1: return read_attr(v);
    case 0x3c2: return 0x10; /* a monitor senses the load */
    case 0x3c3: return 0x01;
    case 0x3c4: return v->seq_index;
    case 0x3c5: return v->seq_index < ARRAY_LEN(v->seq) ? v->seq[v->seq_index] : 0;
    case 0x3c6: return v->dac_mask;
    case 0x3c7: return v->dac_reads ? 3 : 0;
    case 0x3c8: return v->dac_index;
    case 0x3c9: return *colour_part(v);
    case 0x3ca: return v->feature;
    case 0x3cc: return v->misc;
    case 0x3ce: return v->gfx_index;
    case 0x3cf: return v->gfx_index < ARRAY_LEN(v->gfx) ? v->gfx[v->gfx_index] : 0;
    }
    if (!crtc_is_here(v, port))
        return 0xff;
    switch (port & 0xf) {
    case 0x4: return v->crtc_index;
    case 0x5: return v->crtc_index < ARRAY_LEN(v->crtc) ? v->crtc[v->crtc_index] : 0;
    case 0xa: return read_status(v);
    }
    return 0xff;
}

static void port_write(struct vga *v, unsigned port, uint8_t value)
{
    switch (port) {
    case 0x3c0: write_attr(v, value); return;
    case 0x3c2: v->misc = value & 0xef; return;
    case 0x3c4: v->seq_index = value & 7; return;
    case 0x3c5:
        if (v->seq_index < ARRAY_LEN(v->seq))
            v->seq[v->seq_index] = value & seq_mask[v->seq_index];
        return;
    case 0x3c6: v->dac_mask = value; return;
    case 0x3c7: select_colour(v, value, true); return;
    case 0x3c8: select_colour(v, value, false); return;
    case 0x3c9: *colour_part(v) = value & 0x3f; return;
    case 0x3ce: v->gfx_index = value & 0xf; return;
    case 0x3cf:
        if (v->gfx_index < ARRAY_LEN(v->gfx))
            v->gfx[v->gfx_index] = value & gfx_mask[v->gfx_index];
        return;
    }
    if (!crtc_is_here(v, port))
        return;
    switch (port & 0xf) {
    case 0x4: v->crtc_index = value & 0x3f; break;
    case 0x5: write_crtc(v, value); break;
    case 0xa: v->feature = value; break;
    }
}

static uint64_t ports_read(void *owner, uint64_t off, unsigned size)
{
    struct vga *v = owner;

    return v->pci.config[PCI_COMMAND] & PCI_COMMAND_IO ? port_read(v, 0x3b0 + (unsigned)off) : 0xff;
}

static void ports_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct vga *v = owner;

    if (v->pci.config[PCI_COMMAND] & PCI_COMMAND_IO)
        port_write(v, 0x3b0 + (unsigned)off, (uint8_t)value);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* The byte of the window at 0xa0000 that is meant, counted from where the adapter answers; false: it
 * does not answer there. */
static bool decode(const struct vga *v, uint64_t *off)
{
    static const struct { uint32_t from, len; } map[4] = {
        { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 },
    };
    unsigned i = v->gfx[GFX_MISC] >> 2 & 3;

    if (!(v->pci.config[PCI_COMMAND] & PCI_COMMAND_MEMORY) || !(v->misc & MISC_RAM) ||
        *off < map[i].from || *off - map[i].from >= map[i].len)
        return false;
    *off -= map[i].from;
    return true;
}

static uint8_t fill(bool on)
{
    return on ? 0xff : 0;
}

static uint8_t read_compare(const struct vga *v)
{
    uint8_t same = 0xff;

    for (unsigned p = 0; p < 4; p++)
        if (v->gfx[GFX_CARE] >> p & 1)
            same &= (uint8_t)~(v->latch[p] ^ fill(v->gfx[GFX_COMPARE] >> p & 1));
    return same;
}

static uint64_t memory_read(void *owner, uint64_t off, unsigned size)
{
    struct vga *v = owner;
    unsigned plane = v->gfx[GFX_READ_MAP];

    if (!decode(v, &off))
        return 0xff;
    if (v->seq[SEQ_MEMORY] & MEMORY_CHAIN4) {
        plane = off & 3;
        off &= ~UINT64_C(3);
    } else if (v->gfx[GFX_MODE] & MODE_ODD_EVEN) {
        plane = (plane & 2) | (off & 1);
        off &= ~UINT64_C(1);
    }
    off %= VGA_PLANE;
    for (unsigned p = 0; p < 4; p++)
        v->latch[p] = v->plane[p][off];
    return v->gfx[GFX_MODE] & MODE_READ_COMPARE ? read_compare(v) : v->latch[plane];
}

static uint8_t rotate(const struct vga *v, uint8_t value)
{
    unsigned n = v->gfx[GFX_FUNCTION] & 7;

    return (uint8_t)(value >> n | value << (8 - n));
}

static uint8_t combine(const struct vga *v, uint8_t value, uint8_t latch)
{
    switch (v->gfx[GFX_FUNCTION] >> 3) {
    case 1: return value & latch;
    case 2: return value | latch;
    case 3: return value ^ latch;
    }
    return value;
}

/* What the write modes make of the byte for plane 'p'. */
static uint8_t plane_value(const struct vga *v, unsigned p, uint8_t value)
{
    unsigned mode = v->gfx[GFX_MODE] & 3;
    uint8_t mask = v->gfx[GFX_BIT_MASK], set = fill(v->gfx[GFX_SET] >> p & 1), data = set;

    if (mode == 1)
        return v->latch[p];
    if (mode == 0 && !(v->gfx[GFX_SET_ENABLE] >> p & 1))
        data = rotate(v, value);
    else if (mode == 2)
        data = fill(value >> p & 1);
    else if (mode == 3)
        mask &= rotate(v, value);
    return (uint8_t)((combine(v, data, v->latch[p]) & mask) | (v->latch[p] & ~mask));
}

static void memory_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct vga *v = owner;
    unsigned planes = v->seq[SEQ_MAP_MASK];

    if (!decode(v, &off))
        return;
    if (v->seq[SEQ_MEMORY] & MEMORY_CHAIN4) {
        planes &= 1u << (off & 3);
        off &= ~UINT64_C(3);
    } else if (!(v->seq[SEQ_MEMORY] & MEMORY_SEQUENTIAL)) {
        planes &= off & 1 ? 0xa : 0x5;
        off &= ~UINT64_C(1);
    }
    off %= VGA_PLANE;
    for (unsigned p = 0; p < 4; p++)
        if (planes >> p & 1)
            v->plane[p][off] = plane_value(v, p, (uint8_t)value);
}

/* ---- what is to be seen ---------------------------------------------------------------------- */

static unsigned crtc_word(const struct vga *v, unsigned high)
{
    return (unsigned)v->crtc[high] << 8 | v->crtc[high + 1];
}

/* The counter's steps are bytes, words or double words of a plane. */
static unsigned counter_shift(const struct vga *v)
{
    if (v->crtc[CRTC_UNDERLINE] & UNDERLINE_DWORD)
        return 2;
    return v->crtc[CRTC_MODE] & CRTC_MODE_BYTE ? 0 : 1;
}

static unsigned lines(const struct vga *v)
{
    unsigned over = v->crtc[CRTC_OVERFLOW];
    unsigned n = (v->crtc[CRTC_LINES] | (over & 0x02) << 7 | (over & 0x40) << 3) + 1;

    return v->crtc[CRTC_CELL] & CELL_DOUBLE ? n / 2 : n;
}

static bool is_dark(const struct vga *v)
{
    return (v->seq[SEQ_CLOCKING] & CLOCKING_OFF) || !(v->attr_index & ATTR_SCREEN_ON) ||
           !v->crtc[CRTC_COLS];
}

static void read_cursor(const struct vga *v, struct vga_text *t, unsigned start, unsigned pitch)
{
    unsigned at = (crtc_word(v, CRTC_CURSOR) - start) & 0xffff;

    t->cursor_x = at % pitch;
    t->cursor_y = at / pitch;
    t->cursor = !(v->crtc[CRTC_CURSOR_START] & CURSOR_OFF) &&
                (v->crtc[CRTC_CURSOR_START] & 0x1f) <= (v->crtc[CRTC_CURSOR_END] & 0x1f) &&
                t->cursor_x < t->cols && t->cursor_y < t->rows;
}

void vga_read_text(const struct vga *v, struct vga_text *t)
{
    unsigned start = crtc_word(v, CRTC_START), pitch = v->crtc[CRTC_PITCH] * 2u;
    unsigned shift = counter_shift(v);

    memset(t, 0, offsetof(struct vga_text, cell));
    if (is_dark(v))
        return;
    t->cols = v->crtc[CRTC_COLS] + 1u;
    t->graphics = v->gfx[GFX_MISC] & GFX_MISC_GRAPHICS;
    t->rows = t->graphics ? lines(v) : lines(v) / ((v->crtc[CRTC_CELL] & 0x1f) + 1u);
    if (t->graphics) {
        t->cols *= 8;
        return;
    }
    if (!pitch || t->cols * t->rows > VGA_TEXT_CELLS) {
        t->cols = t->rows = 0;
        return;
    }
    t->blinks = v->attr[ATTR_MODE] & ATTR_MODE_BLINK;
    for (unsigned i = 0; i < t->cols * t->rows; i++) {
        unsigned at = (start + i / t->cols * pitch + i % t->cols) << shift;
        t->cell[i] = (struct vga_cell){ v->plane[0][at % VGA_PLANE], v->plane[1][at % VGA_PLANE] };
    }
    read_cursor(v, t, start, pitch);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct vga *v = chip;

    memset(&v->misc, 0, offsetof(struct vga, ports) - offsetof(struct vga, misc));
    v->misc = MISC_COLOUR;
    v->dac_mask = 0xff;
    pci_dev_reset(&v->pci);
}

static bool check(void *chip)
{
    const struct vga *v = chip;
    bool ok = v->seq_index <= 7 && v->gfx_index <= 0xf && v->crtc_index <= 0x3f &&
              !(v->attr_index & ~0x3f) && v->attr_data <= 1 && v->dac_part <= 2 && v->dac_reads <= 1;

    for (unsigned i = 0; i < ARRAY_LEN(v->seq); i++)
        ok &= !(v->seq[i] & ~seq_mask[i]);
    for (unsigned i = 0; i < ARRAY_LEN(v->gfx); i++)
        ok &= !(v->gfx[i] & ~gfx_mask[i]);
    return ok;
}

static void restored(void *chip)
{
    struct vga *v = chip;

    pci_dev_restored(&v->pci);
}

#define F(member) STATE(struct vga, member)
static const struct state_field fields[] = {
    STATE_STRUCT(struct vga, pci, pci_dev_state),
    F(misc), F(feature), F(seq_index), F(seq), F(crtc_index), F(crtc), F(gfx_index), F(gfx),
    F(attr_index), F(attr_data), F(attr), F(dac_mask), F(dac_index), F(dac_part), F(dac_reads),
    F(dac), F(latch), F(plane),
};
#undef F
static const struct state_desc state = {
    .name = "vga", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields), .check = check,
};
const struct device_ops vga_device = { .state = &state, .reset = reset, .restored = restored };

void vga_init(struct vga *v, struct pci_bus *pci, uint8_t devfn)
{
    static const struct io_ops port_ops = { ports_read, ports_write, 1 };
    static const struct io_ops memory_ops = { memory_read, memory_write, 1 };

    *v = (struct vga){
        .bus = pci->bus,
        .ports = { .base = 0x3b0, .len = 0x30, .ops = &port_ops, .owner = v },
        .memory = { .base = VGA_WINDOW, .len = VGA_WINDOW_SIZE, .ops = &memory_ops, .owner = v },
    };
    pci_dev_init(&v->pci, NULL, PCI_VENDOR_MICROSOFT, PCI_DEVICE_HYPERV_VIDEO, PCI_CLASS_VGA, 0);
    pci_add(pci, &v->pci, devfn);
    pio_add(v->bus, &v->ports);
    mmio_add(v->bus, &v->memory);
    reset(v);
}

void vga_done(struct vga *v)
{
    mmio_remove(v->bus, &v->memory);
    pio_remove(v->bus, &v->ports);
    pci_remove(&v->pci);
}
