/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8254.c - the PC interval timer: three counters at ports 0x40-0x43, port 0x61.
 *
 * Spec:   Intel 8254 data sheet; 82371AB (PIIX4) 4.1.5 and 4.1.10 (NMI status and control).
 * Models: all six modes, BCD, latch, read-back, gate of channel 2, refresh toggle.  Nothing counts:
 *         each value follows from the ticks since the start.
 * Not:    a count written in modes 2 and 3 takes effect at once, not at the end of the period;
 *         edges that come late are not made up for; no speaker.
 * Called: by ports on VP threads, by its timer on the loop's thread. */
#include "dev/i8254.h"

/* A hostile count must not keep the loop's thread busy. */
#define EDGES_APART_NS (100 * NS_PER_US)

#define PORT61_GATE     0x01
#define PORT61_WRITABLE 0x0f
#define PORT61_REFRESH  0x10
#define PORT61_OUT2     0x20
#define REFRESH_NS      15085u

static uint64_t ticks_now(const struct i8254 *p)
{
    return mul_div(bus_now_ns(p->bus), I8254_HZ, NS_PER_S);
}

static bool periodic(const struct i8254_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Ticks counted so far. */
static uint64_t elapsed(const struct i8254_channel *c, uint64_t now)
{
    return c->gate || c->mode == 1 || c->mode == 5 ? ns_since(now, c->start) : c->frozen;
}

static bool out(const struct i8254_channel *c, uint64_t now)
{
    uint64_t t = elapsed(c, now);

    switch (c->mode) {
    case 0: return c->running && t >= c->count;
    case 1: return !c->running || t >= c->count;
    case 2: return !c->running || !c->gate || t % c->count != c->count - 1;
    case 3: return !c->running || !c->gate || t % c->count < (c->count + 1) / 2;
    default: return !c->running || t != c->count; /* 4, 5: low for one tick */
    }
}

/* The counting element, as binary. */
static uint16_t counter(const struct i8254_channel *c, uint64_t now)
{
    uint64_t t = elapsed(c, now), wrap = c->bcd ? 10000 : 0x10000;

    if (!c->running)
        return (uint16_t)(c->count % wrap);
    switch (c->mode) {
    case 2:
        t = c->count - t % c->count;
        break;
    case 3: /* by twos, twice a period; odd counts: even values only */
        t = (c->count & ~1u) - (2 * (t % c->count)) % MAX(c->count & ~1u, 2u);
        break;
    default: /* runs on below zero */
        t = (c->count + wrap - t % wrap) % wrap;
    }
    return (uint16_t)(t % wrap);
}

static uint16_t to_bcd(uint16_t v)
{
    return (uint16_t)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint16_t v)
{
    return (v & 15u) + 10u * (v >> 4 & 15) + 100u * (v >> 8 & 15) + 1000u * (v >> 12);
}

static uint16_t visible_counter(const struct i8254_channel *c, uint64_t now)
{
    return c->bcd ? to_bcd(counter(c, now)) : counter(c, now);
}

/* ---- channel 0's line ------------------------------------------------------------------------ */

/* The tick of the next rising edge of OUT after 'now'; UINT64_MAX: none comes. */
static uint64_t next_edge(const struct i8254_channel *c, uint64_t now)
{
    uint64_t t = elapsed(c, now);

    if (!c->running)
        return UINT64_MAX;
    if (periodic(c))
        return c->gate ? now + (c->count - t % c->count) : UINT64_MAX;
    uint64_t at = c->mode >= 4 ? c->count + UINT64_C(1) : c->count;
    return c->gate && t < at ? now + (at - t) : UINT64_MAX;
}

static void arm(struct i8254 *p, uint64_t not_before_ns)
{
    uint64_t tick = next_edge(&p->channel[0], ticks_now(p));

    if (tick == UINT64_MAX) {
        bus_timer_disarm(&p->timer);
        return;
    }
    bus_timer_arm(&p->timer, MAX(mul_div_up(tick, NS_PER_S, I8254_HZ), not_before_ns));
}

static void set_line(struct i8254 *p, bool level)
{
    p->line = level;
    irq_set(&p->out0, level);
}

static void on_timer(struct bus_timer *t)
{
    struct i8254 *p = container_of(t, struct i8254, timer);

    /* Where the low phase was short or not seen, the edge is made visible. */
    set_line(p, false);
    set_line(p, true);
    arm(p, bus_now_ns(p->bus) + EDGES_APART_NS);
}

/* Something about channel 0 changed. */
static void update(struct i8254 *p)
{
    set_line(p, out(&p->channel[0], ticks_now(p)));
    arm(p, 0);
}

/* ---- programming ----------------------------------------------------------------------------- */

static void start(struct i8254_channel *c, uint64_t now)
{
    c->start = now;
    c->frozen = 0;
    c->running = 1;
}

static void load(struct i8254 *p, struct i8254_channel *c, uint16_t value)
{
    uint32_t count = c->bcd ? from_bcd(value) : value;

    c->count = count ? count : c->bcd ? 10000 : 0x10000;
    /* 1 is illegal there and stops real chips. */
    if (periodic(c) && c->count == 1)
        c->count = 2;
    c->null_count = 0;
    if (c->mode != 1 && c->mode != 5)
        start(c, ticks_now(p));
}

static void set_mode(struct i8254_channel *c, uint8_t value)
{
    unsigned mode = value >> 1 & 7;

    c->mode = (uint8_t)(mode > 5 ? mode - 4 : mode);
    c->access = value >> 4 & 3;
    c->bcd = value & 1;
    c->running = 0;
    c->null_count = 1;
    c->high_next_read = c->high_next_write = 0;
    c->latched = c->status_latched = 0;
}

static void latch_count(struct i8254_channel *c, uint64_t now)
{
    if (c->latched)
        return;
    c->latch = visible_counter(c, now);
    c->latched = c->access == 3 ? 2 : 1;
}

static void latch_status(struct i8254_channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    c->status = (uint8_t)(out(c, now) << 7 | c->null_count << 6 | c->access << 4 | c->mode << 1 |
                          c->bcd);
    c->status_latched = 1;
}

static void control(struct i8254 *p, uint8_t value)
{
    uint64_t now = ticks_now(p);
    unsigned n = value >> 6;

    if (n == 3) { /* read-back: bits 1 .. 3 name channels, 4 and 5 are active low */
        for (unsigned i = 0; i < 3; i++) {
            if (!(value >> (i + 1) & 1))
                continue;
            if (!(value & 0x20))
                latch_count(&p->channel[i], now);
            if (!(value & 0x10))
                latch_status(&p->channel[i], now);
        }
        return;
    }
    if (!(value & 0x30)) {
        latch_count(&p->channel[n], now);
        return;
    }
    set_mode(&p->channel[n], value);
    if (n == 0)
        update(p);
}

static void data_write(struct i8254 *p, unsigned n, uint8_t value)
{
    struct i8254_channel *c = &p->channel[n];

    switch (c->access) {
    case 1:
        load(p, c, value);
        break;
    case 2:
        load(p, c, (uint16_t)(value << 8));
        break;
    default:
        c->high_next_write ^= 1;
        if (c->high_next_write) {
            c->write_low = value;
            if (c->mode == 0)
                c->running = 0; /* the first byte stops it and OUT falls */
        } else {
            load(p, c, (uint16_t)(value << 8 | c->write_low));
        }
    }
    if (n == 0)
        update(p);
}

static uint8_t data_read(struct i8254 *p, unsigned n)
{
    struct i8254_channel *c = &p->channel[n];
    uint16_t v;

    if (c->status_latched) {
        c->status_latched = 0;
        return c->status;
    }
    if (c->latched) {
        bool high = c->access == 2 || (c->access == 3 && c->latched == 1);
        c->latched--;
        return (uint8_t)(high ? c->latch >> 8 : c->latch);
    }
    v = visible_counter(c, ticks_now(p));
    if (c->access == 3)
        c->high_next_read ^= 1;
    bool high = c->access == 2 || (c->access == 3 && !c->high_next_read);
    return (uint8_t)(high ? v >> 8 : v);
}

static void set_gate(struct i8254 *p, struct i8254_channel *c, bool gate)
{
    uint64_t now = ticks_now(p);

    if (c->gate == gate)
        return;
    if (!gate) {
        c->frozen = elapsed(c, now);
        c->gate = 0;
        return;
    }
    c->gate = 1;
    switch (c->mode) {
    case 0: /* goes on; start lies before the machine's birth when it had counted long */
    case 4:
        c->start = now > c->frozen ? now - c->frozen : 0;
        break;
    default: /* a rising gate starts (anew) */
        if (!c->null_count)
            start(c, now);
    }
}

/* ---- ports ----------------------------------------------------------------------------------- */

static uint64_t port_read(void *owner, uint64_t off, unsigned size)
{
    return off < 3 ? data_read(owner, (unsigned)off) : 0xff;
}

static void port_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    if (off < 3)
        data_write(owner, (unsigned)off, (uint8_t)value);
    else
        control(owner, (uint8_t)value);
}

static uint64_t port61_read(void *owner, uint64_t off, unsigned size)
{
    const struct i8254 *p = owner;
    uint64_t now = bus_now_ns(p->bus);

    return p->port61 | (now / REFRESH_NS & 1 ? PORT61_REFRESH : 0u) |
           (out(&p->channel[2], ticks_now(p)) ? PORT61_OUT2 : 0u);
}

static void port61_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct i8254 *p = owner;

    p->port61 = value & PORT61_WRITABLE;
    set_gate(p, &p->channel[2], value & PORT61_GATE);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct i8254 *p = chip;

    for (unsigned i = 0; i < 3; i++)
        p->channel[i] = (struct i8254_channel){ .count = 0x10000, .mode = 3, .access = 3,
                                                .gate = i != 2, .null_count = 1 };
    p->port61 = 0;
    bus_timer_disarm(&p->timer);
    set_line(p, false);
}

static void restored(void *chip)
{
    struct i8254 *p = chip;

    set_line(p, p->line);
    arm(p, 0);
}

static bool check(void *chip)
{
    const struct i8254 *p = chip;

    for (unsigned i = 0; i < 3; i++) {
        const struct i8254_channel *c = &p->channel[i];
        if (c->count < (periodic(c) ? 2 : 1) || c->count > 0x10000 || c->mode > 5 ||
            c->access > 3 || c->latched > 2 || c->status_latched > 1 || c->high_next_read > 1 ||
            c->high_next_write > 1 || c->bcd > 1 || c->gate > 1 || c->running > 1 ||
            c->null_count > 1)
            return false;
    }
    return p->line <= 1 && !(p->port61 & ~PORT61_WRITABLE) &&
           p->channel[0].gate && p->channel[1].gate &&
           p->channel[2].gate == (p->port61 & PORT61_GATE);
}

#define F(member) STATE(struct i8254_channel, member)
static const struct state_field channel_fields[] = {
    F(start), F(frozen), F(count), F(latch), F(write_low), F(status), F(mode), F(access), F(bcd),
    F(gate), F(running), F(null_count), F(high_next_write), F(high_next_read), F(latched),
    F(status_latched),
};
#undef F
static const struct state_desc channel_state = STATE_DESC("channel", 1, channel_fields);
static const struct state_field fields[] = {
    STATE_ARRAY(struct i8254, channel, channel_state),
    STATE(struct i8254, port61),
    STATE(struct i8254, line),
};
static const struct state_desc state = {
    .name = "i8254", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields), .check = check,
};
const struct device_ops i8254_device = { .state = &state, .reset = reset, .restored = restored };

void i8254_init(struct i8254 *p, struct bus *bus, struct irq_line out0)
{
    static const struct io_ops ops = { port_read, port_write, 1 };
    static const struct io_ops ops61 = { port61_read, port61_write, 1 };

    *p = (struct i8254){
        .bus = bus, .out0 = out0,
        .io = { .base = 0x40, .len = 4, .ops = &ops, .owner = p },
        .io61 = { .base = 0x61, .len = 1, .ops = &ops61, .owner = p },
    };
    bus_timer_init(&p->timer, bus, on_timer);
    pio_add(bus, &p->io);
    pio_add(bus, &p->io61);
    reset(p);
}

void i8254_done(struct i8254 *p)
{
    bus_timer_disarm(&p->timer);
    pio_remove(p->bus, &p->io);
    pio_remove(p->bus, &p->io61);
}
