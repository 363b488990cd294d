/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/i8254.h"

#include "dev/testbed.h"

#define TICKS(n) mul_div_up(n, NS_PER_S, I8254_HZ)

struct rig {
    struct testbed t;
    struct test_line irq;
    struct i8254 pit;
};

static void rig_init(struct rig *r)
{
    testbed_init(&r->t);
    r->irq = (struct test_line){ 0 };
    i8254_init(&r->pit, &r->t.bus, test_line(&r->irq));
}

static void rig_done(struct rig *r)
{
    i8254_done(&r->pit);
    testbed_done(&r->t);
}

static void program(struct rig *r, unsigned n, unsigned mode, unsigned count)
{
    out8(&r->t, 0x43, n << 6 | 0x30 | mode << 1);
    out8(&r->t, 0x40 + n, count & 0xff);
    out8(&r->t, 0x40 + n, count >> 8 & 0xff);
}

static unsigned read16(struct rig *r, unsigned n)
{
    unsigned low = in8(&r->t, 0x40 + n);

    return low | (unsigned)in8(&r->t, 0x40 + n) << 8;
}

static unsigned latched(struct rig *r, unsigned n)
{
    out8(&r->t, 0x43, n << 6);
    return read16(r, n);
}

TEST(a_thousand_hertz)
{
    struct rig r;

    rig_init(&r);
    program(&r, 0, 2, 1193);
    r.irq.n_rises = 0;
    testbed_advance(&r.t, NS_PER_S, 250 * NS_PER_US);
    EXPECT_EQ(r.irq.n_rises, 1000);
    program(&r, 0, 3, 0); /* 18.2 Hz */
    r.irq.n_rises = 0;
    testbed_advance(&r.t, 10 * NS_PER_S, 5 * NS_PER_MS);
    EXPECT_EQ(r.irq.n_rises, 182);
    rig_done(&r);
}

TEST(edges_come_at_the_tick)
{
    struct rig r;

    rig_init(&r);
    program(&r, 0, 2, 11932);
    r.irq.n_rises = 0;
    clock_advance(&r.t.clock, TICKS(11932) - 1);
    loop_poll(r.t.loop);
    EXPECT_EQ(r.irq.n_rises, 0);
    clock_advance(&r.t.clock, 1);
    loop_poll(r.t.loop);
    EXPECT_EQ(r.irq.n_rises, 1);
    rig_done(&r);
}

TEST(the_smallest_count_does_not_storm)
{
    struct rig r;

    rig_init(&r);
    program(&r, 0, 2, 1);
    r.irq.n_rises = 0;
    testbed_advance(&r.t, 10 * NS_PER_MS, 1000);
    EXPECT(r.irq.n_rises >= 50 && r.irq.n_rises <= 101);
    rig_done(&r);
}

TEST(one_shot)
{
    struct rig r;

    rig_init(&r);
    program(&r, 0, 0, 1000);
    EXPECT_EQ(r.irq.level, 0);
    testbed_advance(&r.t, TICKS(999), NS_PER_MS);
    EXPECT_EQ(r.irq.level, 0);
    EXPECT_EQ(latched(&r, 0), 1);
    testbed_advance(&r.t, TICKS(1), NS_PER_MS);
    EXPECT_EQ(r.irq.level, 1);
    EXPECT_EQ(r.irq.n_rises, 1);
    testbed_advance(&r.t, NS_PER_S, NS_PER_MS);
    EXPECT_EQ(r.irq.n_rises, 1);
    out8(&r.t, 0x40, 0x10); /* half a count stops it */
    EXPECT_EQ(r.irq.level, 0);
    testbed_advance(&r.t, NS_PER_S, NS_PER_MS);
    EXPECT_EQ(r.irq.level, 0);
    out8(&r.t, 0x40, 0x00);
    testbed_advance(&r.t, NS_PER_MS, NS_PER_MS);
    EXPECT_EQ(r.irq.n_rises, 2);
    rig_done(&r);
}

TEST(counting_down)
{
    struct rig r;

    rig_init(&r);
    program(&r, 0, 2, 0x1000);
    clock_advance(&r.t.clock, TICKS(0x100));
    EXPECT_EQ(latched(&r, 0), 0xf00);
    EXPECT_EQ(read16(&r, 0), 0xf00);
    clock_advance(&r.t.clock, TICKS(0x1000));
    EXPECT(latched(&r, 0) >= 0xefe && latched(&r, 0) <= 0xf00);
    program(&r, 1, 3, 1000);
    clock_advance(&r.t.clock, TICKS(100));
    unsigned v = latched(&r, 1);
    EXPECT(v >= 796 && v <= 800 && v % 2 == 0);
    clock_advance(&r.t.clock, TICKS(500)); /* second half */
    v = latched(&r, 1);
    EXPECT(v >= 794 && v <= 800);
    rig_done(&r);
}

TEST(access_modes_and_bcd)
{
    struct rig r;

    rig_init(&r);
    out8(&r.t, 0x43, 0x55); /* channel 1, low byte only, mode 2, BCD */
    out8(&r.t, 0x41, 0x99);
    EXPECT_EQ(in8(&r.t, 0x41), 0x99);
    EXPECT_EQ(in8(&r.t, 0x41), 0x99);
    clock_advance(&r.t.clock, TICKS(10));
    EXPECT_EQ(in8(&r.t, 0x41), 0x89);
    out8(&r.t, 0x43, 0x64); /* high byte only */
    out8(&r.t, 0x41, 0x12);
    EXPECT_EQ(in8(&r.t, 0x41), 0x12);
    out8(&r.t, 0x43, 0x75);
    out8(&r.t, 0x41, 0xff); /* no BCD at all */
    out8(&r.t, 0x41, 0xff);
    (void)read16(&r, 1);
    rig_done(&r);
}

TEST(read_back)
{
    struct rig r;

    rig_init(&r);
    out8(&r.t, 0x43, 0xb0); /* channel 2, mode 0 */
    out8(&r.t, 0x43, 0xe8); /* status of channel 2 */
    EXPECT_EQ(in8(&r.t, 0x42), 0x70);
    out8(&r.t, 0x42, 0x34);
    out8(&r.t, 0x42, 0x12);
    out8(&r.t, 0x43, 0xc8); /* status and count; the gate is low: nothing moves */
    clock_advance(&r.t.clock, NS_PER_S);
    EXPECT_EQ(in8(&r.t, 0x42), 0x30);
    EXPECT_EQ(in8(&r.t, 0x42), 0x34);
    EXPECT_EQ(in8(&r.t, 0x42), 0x12);
    EXPECT_EQ(read16(&r, 2), 0x1234);
    rig_done(&r);
}

/* As Linux calibrates its TSC. */
TEST(channel_two_through_port_61)
{
    struct rig r;

    rig_init(&r);
    out8(&r.t, 0x61, (in8(&r.t, 0x61) & ~2u) | 1);
    EXPECT_EQ(in8(&r.t, 0x61) & 0x2f, 0x21);
    program(&r, 2, 0, 11932);
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0);
    clock_advance(&r.t.clock, TICKS(11931));
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0);
    clock_advance(&r.t.clock, TICKS(1));
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0x20);
    unsigned refresh = in8(&r.t, 0x61) & 0x10;
    clock_advance(&r.t.clock, 15085);
    EXPECT(refresh != (in8(&r.t, 0x61) & 0x10));
    /* A falling gate holds mode 0, a rising one goes on. */
    program(&r, 2, 0, 1000);
    clock_advance(&r.t.clock, TICKS(400));
    out8(&r.t, 0x61, 0);
    clock_advance(&r.t.clock, TICKS(5000));
    EXPECT_EQ(latched(&r, 2), 600);
    out8(&r.t, 0x61, 1);
    clock_advance(&r.t.clock, TICKS(598));
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0);
    clock_advance(&r.t.clock, TICKS(3));
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0x20);
    rig_done(&r);
}

TEST(gate_triggered_modes)
{
    struct rig r;

    rig_init(&r);
    program(&r, 2, 1, 100);
    clock_advance(&r.t.clock, TICKS(1000));
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0x20);
    out8(&r.t, 0x61, 1);
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0);
    out8(&r.t, 0x61, 0);
    clock_advance(&r.t.clock, TICKS(100));
    EXPECT_EQ(in8(&r.t, 0x61) & 0x20, 0x20);
    rig_done(&r);
}

TEST(saved_between_two_edges)
{
    struct rig a, b;

    rig_init(&a);
    rig_init(&b);
    program(&a, 0, 2, 11932);
    out8(&a.t, 0x61, 3);
    testbed_advance(&a.t, 25 * NS_PER_MS, NS_PER_MS);
    testbed_move(&a.t, &a.pit, &b.t, &b.pit, &i8254_device);
    EXPECT_EQ(latched(&b, 0), latched(&a, 0));
    EXPECT_EQ(in8(&b.t, 0x61), in8(&a.t, 0x61));
    EXPECT_EQ(b.irq.level, a.irq.level); /* lines are driven anew */
    a.irq.n_rises = b.irq.n_rises = 0;
    testbed_advance(&a.t, NS_PER_S, NS_PER_MS / 4);
    testbed_advance(&b.t, NS_PER_S, NS_PER_MS / 4);
    EXPECT_EQ(a.irq.n_rises, 100);
    EXPECT_EQ(b.irq.n_rises, 100);
    i8254_device.reset(&b.pit);
    testbed_advance(&b.t, NS_PER_S, NS_PER_MS);
    EXPECT_EQ(b.irq.n_rises, 100);
    EXPECT_EQ(b.irq.level, 0);
    rig_done(&a);
    rig_done(&b);
}
