/* SPDX-License-Identifier: GPL-2.0-or-later */
/* testbed.h - for tests of chips: a bus on a clock that the test moves, and a board that counts. */
#pragma once

#include "base/test.h"
#include "bus/bus.h"
#include "dev/board.h"

struct testbed {
    struct clock clock;
    struct loop *loop;
    struct bus bus;
    unsigned resets, power_offs, exits, exit_code;
};

/* A line's end: how often it rose, where it stands. */
struct test_line {
    unsigned n_rises, n_calls;
    uint32_t level; /* bit per pin */
};

static inline void testbed_init(struct testbed *t)
{
    *t = (struct testbed){ 0 };
    clock_init_manual(&t->clock);
    t->loop = loop_new(&t->clock);
    bus_init(&t->bus, t->loop);
}

static inline void testbed_done(struct testbed *t)
{
    bus_done(&t->bus);
    loop_free(t->loop);
}

/* Let time pass in steps, timers running as they come due. */
static inline void testbed_advance(struct testbed *t, uint64_t ns, uint64_t step)
{
    while (ns) {
        uint64_t n = MIN(ns, step);
        clock_advance(&t->clock, n);
        loop_poll(t->loop);
        ns -= n;
    }
}

static inline void out8(struct testbed *t, unsigned port, unsigned value)
{
    pio_write(&t->bus, (uint16_t)port, 1, value);
}

static inline uint8_t in8(struct testbed *t, unsigned port)
{
    return (uint8_t)pio_read(&t->bus, (uint16_t)port, 1);
}

static inline void test_line_set(void *owner, unsigned n, bool level)
{
    struct test_line *l = owner;
    uint32_t bit = 1u << n % 32;

    l->n_calls++;
    l->n_rises += level && !(l->level & bit);
    l->level = level ? l->level | bit : l->level & ~bit;
}

static inline struct irq_line test_line(struct test_line *l)
{
    return (struct irq_line){ test_line_set, l, 0 };
}

static inline void testbed_reset(void *owner, const char *who)
{
    ((struct testbed *)owner)->resets++;
}

static inline void testbed_power_off(void *owner)
{
    ((struct testbed *)owner)->power_offs++;
}

static inline void testbed_exit(void *owner, unsigned code)
{
    struct testbed *t = owner;

    t->exits++;
    t->exit_code = code;
}

static inline struct board testbed_board(struct testbed *t)
{
    static const struct board_ops ops = { testbed_reset, testbed_power_off, testbed_exit };

    return (struct board){ &ops, t };
}

/* Save 'from' and load it into 'to', a chip of the same kind on another bed. */
static inline void testbed_move(struct testbed *a, void *from, struct testbed *b, void *to,
                                const struct device_ops *ops)
{
    struct device d[2] = { { "chip", ops, from }, { "chip", ops, to } };
    struct buf buf = { 0 };
    struct err err = { 0 };

    clock_set_ns(&b->clock, clock_now_ns(&a->clock));
    devices_save(&a->bus, &d[0], 1, &buf);
    struct bytes bytes = bytes_of(buf.p, buf.n);
    EXPECT_EQ(devices_load(&b->bus, &d[1], 1, &bytes, &err), 0);
    EXPECT_STR(err.text, "");
    EXPECT_EQ(bytes.n, 0);
    buf_done(&buf);
}
