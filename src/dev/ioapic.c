/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ioapic.c - the I/O interrupt controller.
 *
 * Spec:   Intel 82093AA data sheet, 3; the EOI register of version 0x20 from the ICH data sheets.
 * Models: edge and level pins, remote IRR, EOI by message and by register.
 * Not:    polarity (a line says whether it is asserted, not its voltage), interrupt remapping.
 * Called: by its page on VP threads, by lines from everywhere, ioapic_eoi() from engine exits. */
#include "dev/ioapic.h"

#include "base/trace.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define REG_EOI    0x40

#define INDEX_ID      0x00
#define INDEX_VERSION 0x01
#define INDEX_ARB     0x02
#define INDEX_TABLE   0x10

#define VERSION (0x20 | (IOAPIC_N_PINS - 1) << 16)
#define ID_MASK 0x0f000000u

/* A table entry. */
#define E_VECTOR     0xffu
#define E_MODE       (7u << 8)
#define E_LOGICAL    (1u << 11)
#define E_PENDING    (1u << 12)
#define E_REMOTE_IRR (1u << 14)
#define E_LEVEL      (1u << 15)
#define E_MASKED     (1u << 16)
#define E_WRITABLE   UINT64_C(0xff0000000001afff)
#define E_STATE      E_REMOTE_IRR
#define E_RESET      ((uint64_t)E_MASKED)

#define MODE_FIXED  0
#define MODE_LOWEST (1u << 8)

#define MSI_BASE    0xfee00000u
#define MSI_LOGICAL (1u << 2)
#define MSI_ASSERT  (1u << 14)
#define MSI_LEVEL   (1u << 15)

/* Only these wait for an EOI. */
static bool waits_for_eoi(uint64_t e)
{
    uint32_t mode = (uint32_t)e & E_MODE;

    return (e & E_LEVEL) && (mode == MODE_FIXED || mode == MODE_LOWEST);
}

static void emit(struct ioapic *a, unsigned pin)
{
    uint64_t e = a->entry[pin];
    uint64_t addr = MSI_BASE | e >> 56 << 12 | (e & E_LOGICAL ? MSI_LOGICAL : 0);
    uint32_t data = (uint32_t)e & (E_VECTOR | E_MODE);

    if (waits_for_eoi(e)) {
        data |= MSI_LEVEL | MSI_ASSERT;
        a->entry[pin] |= E_REMOTE_IRR;
    }
    TRACE("dev", "ioapic", "pin %u addr %#llx data %#x", pin, (unsigned long long)addr, data);
    msi_send(&a->out, addr, data);
}

/* A level pin that may send does so now. */
static void service(struct ioapic *a, unsigned pin)
{
    uint64_t e = a->entry[pin];

    if ((a->level >> pin & 1) && (e & E_LEVEL) && !(e & (E_MASKED | E_REMOTE_IRR)))
        emit(a, pin);
}

static void pins_set(void *owner, unsigned n, bool level)
{
    struct ioapic *a = owner;

    if (n >= IOAPIC_N_PINS || (a->level >> n & 1) == level)
        return;
    a->level ^= 1u << n;
    if (!level)
        return;
    if (a->entry[n] & E_LEVEL)
        service(a, n);
    else if (!(a->entry[n] & E_MASKED)) /* an edge on a masked pin is lost */
        emit(a, n);
}

struct irq_line ioapic_pins(struct ioapic *a)
{
    return (struct irq_line){ pins_set, a, 0 };
}

void ioapic_eoi(struct ioapic *a, uint8_t vector)
{
    for (unsigned i = 0; i < IOAPIC_N_PINS; i++) {
        if ((a->entry[i] & E_VECTOR) != vector || !(a->entry[i] & E_REMOTE_IRR))
            continue;
        a->entry[i] &= ~(uint64_t)E_REMOTE_IRR;
        service(a, i);
    }
}

/* ---- registers ------------------------------------------------------------------------------- */

static uint32_t window_read(const struct ioapic *a)
{
    unsigned i = a->select;

    switch (i) {
    case INDEX_ID:
    case INDEX_ARB: return a->id;
    case INDEX_VERSION: return VERSION;
    }
    if (i < INDEX_TABLE || i - INDEX_TABLE >= 2 * IOAPIC_N_PINS)
        return 0;
    i -= INDEX_TABLE;
    return (uint32_t)(a->entry[i / 2] >> (32 * (i & 1)));
}

static void entry_write(struct ioapic *a, unsigned pin, unsigned high, uint32_t value)
{
    uint64_t old = a->entry[pin];
    uint64_t e = high ? (old & UINT32_MAX) | (uint64_t)value << 32
                      : (old & ~(uint64_t)UINT32_MAX) | value;

    e = (e & E_WRITABLE) | (old & E_STATE);
    /* How old kernels forget an unfinished level interrupt: to edge and back. */
    if (!(e & E_LEVEL))
        e &= ~(uint64_t)E_REMOTE_IRR;
    a->entry[pin] = e;
    service(a, pin);
}

static void window_write(struct ioapic *a, uint32_t value)
{
    unsigned i = a->select;

    TRACE("dev", "ioapic_write", "index %#x value %#x", i, value);
    if (i == INDEX_ID)
        a->id = value & ID_MASK;
    else if (i >= INDEX_TABLE && i - INDEX_TABLE < 2 * IOAPIC_N_PINS)
        entry_write(a, (i - INDEX_TABLE) / 2, i & 1, value);
}

static uint64_t page_read(void *owner, uint64_t off, unsigned size)
{
    const struct ioapic *a = owner;

    switch (off) {
    case REG_SELECT: return a->select;
    case REG_WINDOW: return window_read(a);
    }
    return 0;
}

static void page_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct ioapic *a = owner;

    switch (off) {
    case REG_SELECT: a->select = value & 0xff; break;
    case REG_WINDOW: window_write(a, (uint32_t)value); break;
    case REG_EOI: ioapic_eoi(a, (uint8_t)value); break;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct ioapic *a = chip;

    a->select = 0;
    a->id = 0;
    a->level &= (1u << IOAPIC_N_PINS) - 1; /* a failed restore may have left anything */
    for (unsigned i = 0; i < IOAPIC_N_PINS; i++)
        a->entry[i] = E_RESET;
}

static bool check(void *chip)
{
    const struct ioapic *a = chip;

    for (unsigned i = 0; i < IOAPIC_N_PINS; i++)
        if (a->entry[i] & ~(E_WRITABLE | E_STATE))
            return false;
    return a->select <= 0xff && !(a->id & ~ID_MASK) && !(a->level >> IOAPIC_N_PINS);
}

static const struct state_field fields[] = {
    STATE(struct ioapic, select),
    STATE(struct ioapic, id),
    STATE(struct ioapic, level),
    STATE(struct ioapic, entry),
};
static const struct state_desc state = {
    .name = "ioapic", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields),
    .check = check,
};
const struct device_ops ioapic_device = { .state = &state, .reset = reset };

void ioapic_init(struct ioapic *a, struct bus *bus, uint64_t gpa, struct msi_sink out)
{
    static const struct io_ops ops = { page_read, page_write, 1 | 2 | 4 };

    *a = (struct ioapic){
        .bus = bus, .out = out,
        .io = { .base = gpa, .len = 0x1000, .ops = &ops, .owner = a },
    };
    reset(a);
    mmio_add(bus, &a->io);
}

void ioapic_done(struct ioapic *a)
{
    mmio_remove(a->bus, &a->io);
}
