/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8259.c - the PC's pair of interrupt controllers at ports 0x20 and 0xa0, ELCR at 0x4d0.
 *
 * Spec:   Intel 8259A data sheet; 82371AB (PIIX4) 4.1.7 (initialisation and operation command
 *         words), 4.1.8 (ELCR).
 * Models: both edge and level pins, all rotations, special mask, poll, automatic EOI, special
 *         fully nested mode.
 * Not:    8080 vectors, buffered mode.  A request that goes away before the processor takes it
 *         takes its INT along, so there is no spurious IRQ 7; only a poll sees that none is left.
 * Called: by ports on VP threads, by lines from everywhere, i8259_ack() from the engine's exit. */
#include "dev/i8259.h"

#include "base/trace.h"

#define CASCADE 2 /* the master's pin that the slave drives */

/* ICW1, OCW2, OCW3 share the even port. */
#define ICW1        0x10
#define ICW1_SINGLE 0x02
#define ICW1_ICW4   0x01
#define ICW4_NESTED   0x10
#define ICW4_AUTO_EOI 0x02
#define OCW3        0x08
#define OCW3_SMM_SET 0x40
#define OCW3_SMM     0x20
#define OCW3_POLL    0x04
#define OCW3_RR      0x02
#define OCW3_RIS     0x01
#define POLL_REQUEST 0x80

/* IRQ 0, 1, 2, 8 and 13 cannot be level triggered. */
static const uint8_t elcr_mask[2] = { 0xf8, 0xde };

/* Pin with the highest priority in 'pins'; 8: none.  Distance from there is *ret_rank. */
static unsigned highest(const struct i8259_half *h, uint8_t pins, unsigned *ret_rank)
{
    for (unsigned rank = 0; rank < 8; rank++) {
        unsigned pin = (h->lowest + 1u + rank) & 7;
        if (pins >> pin & 1) {
            *ret_rank = rank;
            return pin;
        }
    }
    *ret_rank = 8;
    return 8;
}

/* The pin that asks and may; 8: none. */
static unsigned requested(const struct i8259 *p, unsigned i)
{
    const struct i8259_half *h = &p->half[i];
    uint8_t serving = h->isr;
    unsigned rank, in_service;
    unsigned pin = highest(h, h->irr & (uint8_t)~h->imr, &rank);

    if (h->special_mask)
        serving &= (uint8_t)~h->imr;
    /* In special fully nested mode the slave may interrupt its own service. */
    if (h->nested && i == 0)
        serving &= (uint8_t)~(1u << CASCADE);
    highest(h, serving, &in_service);
    return rank < in_service ? pin : 8;
}

static void pin_set(struct i8259_half *h, unsigned pin, bool level)
{
    uint8_t bit = (uint8_t)(1u << pin);

    if (h->elcr & bit)
        h->irr = level ? h->irr | bit : h->irr & (uint8_t)~bit;
    else if (level && !(h->level & bit))
        h->irr |= bit;
    h->level = level ? h->level | bit : h->level & (uint8_t)~bit;
}

/* Bring the cascade and INT up to date. */
static void update(struct i8259 *p)
{
    struct i8259_half *m = &p->half[0];
    uint8_t bit = 1u << CASCADE;

    /* Not latched: it follows the slave, and asks again for the slave's next one. */
    bool slave = requested(p, 1) < 8;
    m->level = slave ? m->level | bit : m->level & (uint8_t)~bit;
    m->irr = slave ? m->irr | bit : m->irr & (uint8_t)~bit;
    p->out = requested(p, 0) < 8;
    irq_set(&p->intr, p->out);
}

static void pins_set(void *owner, unsigned n, bool level)
{
    struct i8259 *p = owner;
    struct i8259_half *h = &p->half[n >> 3 & 1];
    bool was = h->level >> (n & 7) & 1;

    if (n >= I8259_PINS || n == CASCADE || was == level)
        return;
    pin_set(h, n & 7, level);
    update(p);
}

struct irq_line i8259_pins(struct i8259 *p)
{
    return (struct irq_line){ pins_set, p, 0 };
}

static void take(struct i8259_half *h, unsigned pin)
{
    uint8_t bit = (uint8_t)(1u << pin);

    if (!(h->elcr & bit))
        h->irr &= (uint8_t)~bit;
    if (!h->auto_eoi)
        h->isr |= bit;
    else if (h->auto_rotate)
        h->lowest = (uint8_t)pin;
}

int i8259_ack(struct i8259 *p)
{
    unsigned pin = requested(p, 0), of_slave = 8;
    int vector;

    if (pin == 8)
        return -1;
    if (pin == CASCADE)
        of_slave = requested(p, 1);
    take(&p->half[0], pin);
    if (of_slave < 8) {
        take(&p->half[1], of_slave);
        vector = p->half[1].base + (int)of_slave;
    } else {
        vector = p->half[0].base + (int)pin;
    }
    update(p);
    TRACE("dev", "pic_ack", "vector %#x", (unsigned)vector);
    return vector;
}

/* ---- command words --------------------------------------------------------------------------- */

static void initialise(struct i8259 *p, unsigned i, uint8_t value)
{
    struct i8259_half *h = &p->half[i];

    /* A pin that is high now must fall and rise to be seen; level pins are seen at once. */
    *h = (struct i8259_half){
        .level = h->level, .elcr = h->elcr, .irr = h->level & h->elcr, .lowest = 7,
        .icw = 2, .icw4 = value & ICW1_ICW4, .single = !!(value & ICW1_SINGLE),
    };
    update(p);
}

static void end_of_interrupt(struct i8259_half *h, unsigned pin, bool rotate)
{
    h->isr &= (uint8_t)~(1u << pin);
    if (rotate)
        h->lowest = (uint8_t)pin;
}

static void ocw2(struct i8259 *p, unsigned i, uint8_t value)
{
    struct i8259_half *h = &p->half[i];
    unsigned rank, pin;

    switch (value >> 5) {
    case 0: /* rotation under automatic EOI: off, on */
    case 4:
        h->auto_rotate = value >> 7;
        break;
    case 1: /* EOI of the highest in service, 5: and it becomes the lowest */
    case 5:
        pin = highest(h, h->special_mask ? h->isr & (uint8_t)~h->imr : h->isr, &rank);
        if (pin < 8)
            end_of_interrupt(h, pin, value >> 7);
        break;
    case 3: /* EOI of the one named, 7: and it becomes the lowest */
    case 7:
        end_of_interrupt(h, value & 7, value >> 7);
        break;
    case 6:
        h->lowest = value & 7;
        break;
    default: /* 2: no operation */
        return;
    }
    update(p);
}

static void ocw3(struct i8259 *p, unsigned i, uint8_t value)
{
    struct i8259_half *h = &p->half[i];

    if (value & OCW3_POLL)
        h->poll = 1;
    if (value & OCW3_RR)
        h->read_isr = value & OCW3_RIS;
    if (value & OCW3_SMM_SET) {
        h->special_mask = !!(value & OCW3_SMM);
        update(p);
    }
}

static void odd_write(struct i8259 *p, unsigned i, uint8_t value)
{
    struct i8259_half *h = &p->half[i];

    switch (h->icw) {
    case 2:
        h->base = value & 0xf8;
        h->icw = !h->single ? 3 : h->icw4 ? 4 : 0;
        break;
    case 3: /* the wiring of the cascade is what it is */
        h->icw = h->icw4 ? 4 : 0;
        break;
    case 4:
        h->nested = !!(value & ICW4_NESTED);
        h->auto_eoi = !!(value & ICW4_AUTO_EOI);
        h->icw = 0;
        break;
    default:
        h->imr = value;
        update(p);
    }
}

/* ---- ports ----------------------------------------------------------------------------------- */

static uint8_t poll(struct i8259 *p, unsigned i)
{
    unsigned pin = requested(p, i);

    p->half[i].poll = 0;
    if (pin == 8)
        return 0;
    take(&p->half[i], pin);
    update(p);
    return (uint8_t)(POLL_REQUEST | pin);
}

static uint64_t port_read(struct i8259 *p, unsigned i, uint64_t off)
{
    const struct i8259_half *h = &p->half[i];

    if (h->poll)
        return poll(p, i);
    if (off)
        return h->imr;
    return h->read_isr ? h->isr : h->irr;
}

static void port_write(struct i8259 *p, unsigned i, uint64_t off, uint64_t value)
{
    uint8_t byte = (uint8_t)value;

    TRACE("dev", "pic_write", "chip %u a0 %u value %#x", i, (unsigned)off, byte);
    if (off)
        odd_write(p, i, byte);
    else if (byte & ICW1)
        initialise(p, i, byte);
    else if (byte & OCW3)
        ocw3(p, i, byte);
    else
        ocw2(p, i, byte);
}

static uint64_t master_read(void *owner, uint64_t off, unsigned size)
{
    return port_read(owner, 0, off);
}

static void master_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    port_write(owner, 0, off, value);
}

static uint64_t slave_read(void *owner, uint64_t off, unsigned size)
{
    return port_read(owner, 1, off);
}

static void slave_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    port_write(owner, 1, off, value);
}

static uint64_t elcr_read(void *owner, uint64_t off, unsigned size)
{
    const struct i8259 *p = owner;

    return p->half[off].elcr;
}

static void elcr_set(struct i8259_half *h, uint8_t elcr)
{
    uint8_t now_level = elcr & (uint8_t)~h->elcr, now_edge = h->elcr & (uint8_t)~elcr;

    h->elcr = elcr;
    h->irr &= (uint8_t)~(now_edge | now_level);
    h->irr |= h->level & now_level;
}

static void elcr_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct i8259 *p = owner;

    elcr_set(&p->half[off], (uint8_t)value & elcr_mask[off]);
    update(p);
}

static const struct io_ops io_ops[] = {
    { master_read, master_write, 1 },
    { slave_read, slave_write, 1 },
    { elcr_read, elcr_write, 1 },
};

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct i8259 *p = chip;

    for (unsigned i = 0; i < 2; i++) {
        struct i8259_half *h = &p->half[i];
        uint8_t elcr = (uint8_t)(p->elcr_at_reset >> (8 * i)) & elcr_mask[i];
        *h = (struct i8259_half){ .level = h->level, .elcr = elcr, .irr = h->level & elcr,
                                  .imr = 0xff, .lowest = 7 };
    }
    update(p);
}

static void restored(void *chip)
{
    update(chip);
}

static bool half_check(const struct i8259_half *h, uint8_t mask)
{
    return !(h->elcr & ~mask) && h->lowest <= 7 && !(h->base & 7) && h->icw != 1 && h->icw <= 4 &&
           (h->icw4 | h->single | h->read_isr | h->poll | h->special_mask | h->auto_eoi |
            h->auto_rotate | h->nested) <= 1;
}

static bool check(void *chip)
{
    const struct i8259 *p = chip;

    return half_check(&p->half[0], elcr_mask[0]) && half_check(&p->half[1], elcr_mask[1]);
}

#define F(member) STATE(struct i8259_half, member)
static const struct state_field half_fields[] = {
    F(irr), F(isr), F(imr), F(level), F(elcr), F(lowest), F(base), F(icw), F(icw4), F(single),
    F(read_isr), F(poll), F(special_mask), F(auto_eoi), F(auto_rotate), F(nested),
};
#undef F
static const struct state_desc half_state = STATE_DESC("half", 1, half_fields);
static const struct state_field fields[] = { STATE_ARRAY(struct i8259, half, half_state) };
static const struct state_desc state = {
    .name = "i8259", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields), .check = check,
};
const struct device_ops i8259_device = { .state = &state, .reset = reset, .restored = restored };

void i8259_init(struct i8259 *p, struct bus *bus, struct irq_line intr, uint16_t elcr_at_reset)
{
    static const uint16_t ports[] = { 0x20, 0xa0, 0x4d0 };

    *p = (struct i8259){ .bus = bus, .intr = intr, .elcr_at_reset = elcr_at_reset };
    for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
        p->io[i] = (struct io_range){ .base = ports[i], .len = 2, .ops = &io_ops[i], .owner = p };
        pio_add(bus, &p->io[i]);
    }
    reset(p);
}

void i8259_done(struct i8259 *p)
{
    for (unsigned i = 0; i < ARRAY_LEN(p->io); i++)
        pio_remove(p->bus, &p->io[i]);
}
