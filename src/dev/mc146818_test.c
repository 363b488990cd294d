/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/mc146818.h"

#include "dev/testbed.h"

/* 2024-02-29 23:59:57.5 UTC, a Thursday. */
#define START_NS (UINT64_C(1709251197) * NS_PER_S + NS_PER_S / 2)

struct rig {
    struct testbed t;
    struct test_line irq;
    uint64_t wall_at_0;
    struct mc146818 rtc;
};

static uint64_t wall(void *owner)
{
    struct rig *r = owner;

    return r->wall_at_0 + clock_now_ns(&r->t.clock);
}

static void rig_init_at(struct rig *r, uint64_t wall_ns)
{
    *r = (struct rig){ .wall_at_0 = wall_ns };
    testbed_init(&r->t);
    mc146818_init(&r->rtc, &r->t.bus, test_line(&r->irq), wall, r);
}

static void rig_init(struct rig *r)
{
    rig_init_at(r, START_NS);
}

static void rig_done(struct rig *r)
{
    mc146818_done(&r->rtc);
    testbed_done(&r->t);
}

static uint8_t get(struct rig *r, unsigned i)
{
    out8(&r->t, 0x70, i);
    return in8(&r->t, 0x71);
}

static void put(struct rig *r, unsigned i, unsigned v)
{
    out8(&r->t, 0x70, i);
    out8(&r->t, 0x71, v);
}

/* hhmmss and yyyymmdd as decimal numbers, read from BCD registers. */
static unsigned bcd(uint8_t v)
{
    return (v >> 4) * 10u + (v & 15u);
}

static unsigned time_of(struct rig *r)
{
    return bcd(get(r, 4)) * 10000 + bcd(get(r, 2)) * 100 + bcd(get(r, 0));
}

static unsigned date_of(struct rig *r)
{
    return bcd(get(r, 0x32)) * 1000000 + bcd(get(r, 9)) * 10000 + bcd(get(r, 8)) * 100 +
           bcd(get(r, 7));
}

TEST(the_time_is_the_hosts)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(time_of(&r), 235957);
    EXPECT_EQ(date_of(&r), 20240229);
    EXPECT_EQ(get(&r, 6), 5);
    clock_advance(&r.t.clock, 3 * NS_PER_S);
    EXPECT_EQ(time_of(&r), 0);
    EXPECT_EQ(date_of(&r), 20240301);
    EXPECT_EQ(get(&r, 0x0d), 0x80);
    EXPECT_EQ(in8(&r.t, 0x70), 0xff);
    rig_done(&r);
}

TEST(twelve_hours_and_binary)
{
    struct rig r;

    rig_init(&r);
    put(&r, 0x0b, 0x00);
    EXPECT_EQ(get(&r, 4), 0x91); /* 11 PM */
    clock_advance(&r.t.clock, 3 * NS_PER_S);
    EXPECT_EQ(get(&r, 4), 0x12); /* 12 AM */
    put(&r, 0x0b, 0x04);
    EXPECT_EQ(get(&r, 4), 12);
    clock_advance(&r.t.clock, 13 * 3600 * NS_PER_S);
    EXPECT_EQ(get(&r, 4), 0x81);
    put(&r, 0x0b, 0x06);
    EXPECT_EQ(get(&r, 4), 13);
    EXPECT_EQ(get(&r, 9), 24);
    EXPECT_EQ(get(&r, 0x32), 20);
    rig_done(&r);
}

/* As Linux sets it: SET, divider reset, the bytes, back. */
TEST(setting)
{
    static const uint8_t at[] = { 0, 2, 4, 7, 8, 9, 0x32 };
    static const uint8_t v[] = { 0x30, 0x15, 0x08, 0x31, 0x12, 0x99, 0x19 };
    struct rig r;

    rig_init(&r);
    put(&r, 0x0b, 0x82);
    put(&r, 0x0a, 0x76);
    clock_advance(&r.t.clock, 7 * NS_PER_S);
    EXPECT_EQ(time_of(&r), 235957);
    for (unsigned i = 0; i < ARRAY_LEN(at); i++)
        put(&r, at[i], v[i]);
    EXPECT_EQ(get(&r, 9), 0x99);
    put(&r, 0x0b, 0x02);
    put(&r, 0x0a, 0x26);
    EXPECT_EQ(time_of(&r), 81530);
    EXPECT_EQ(date_of(&r), 19991231);
    clock_advance(&r.t.clock, 16 * 3600 * NS_PER_S);
    EXPECT_EQ(date_of(&r), 20000101);
    put(&r, 2, 0x59); /* without SET */
    EXPECT_EQ(time_of(&r), 5930);
    mc146818_device.reset(&r.rtc);
    EXPECT_EQ(date_of(&r), 20000101);
    rig_done(&r);
}

TEST(nonsense_dates_are_some_date)
{
    struct rig r;

    rig_init(&r);
    put(&r, 0x0b, 0x86);
    for (unsigned i = 0; i < 10; i++)
        put(&r, i, i & 1 ? 0xff : 0);
    put(&r, 0x0b, 0x06);
    (void)time_of(&r);
    for (unsigned i = 0; i < 10; i++) {
        put(&r, i, 0xff);
        (void)date_of(&r);
    }
    put(&r, 0x32, 0);
    put(&r, 9, 0);
    put(&r, 8, 0);
    put(&r, 7, 0);
    (void)date_of(&r);
    rig_done(&r);
}

TEST(update_in_progress_before_each_second)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(get(&r, 0x0a), 0x26);
    clock_advance(&r.t.clock, NS_PER_S / 2 - 100 * NS_PER_US);
    EXPECT_EQ(get(&r, 0x0a), 0xa6);
    clock_advance(&r.t.clock, 100 * NS_PER_US);
    EXPECT_EQ(get(&r, 0x0a), 0x26);
    rig_done(&r);
}

TEST(update_interrupt)
{
    struct rig r;

    rig_init(&r);
    (void)get(&r, 0x0c);
    put(&r, 0x0b, 0x12);
    testbed_advance(&r.t, NS_PER_S / 2 - NS_PER_MS, NS_PER_MS);
    EXPECT_EQ(r.irq.level, 0);
    testbed_advance(&r.t, NS_PER_MS, NS_PER_MS);
    EXPECT_EQ(r.irq.level, 1);
    EXPECT_EQ(get(&r, 0x0c) & 0xb0, 0x90);
    EXPECT_EQ(r.irq.level, 0);
    EXPECT_EQ(get(&r, 0x0c) & 0x90, 0);
    testbed_advance(&r.t, 5 * NS_PER_S, 100 * NS_PER_MS);
    EXPECT_EQ(r.irq.n_rises, 2); /* unread: one */
    rig_done(&r);
}

TEST(flags_rise_without_interrupts)
{
    struct rig r;

    rig_init(&r);
    (void)get(&r, 0x0c);
    clock_advance(&r.t.clock, NS_PER_S);
    EXPECT_EQ(get(&r, 0x0c) & 0xd0, 0x50);
    EXPECT_EQ(r.irq.n_calls > 0 && r.irq.n_rises == 0, 1);
    rig_done(&r);
}

TEST(alarm)
{
    struct rig r;

    rig_init(&r);
    put(&r, 1, 0x05);
    put(&r, 3, 0x00);
    put(&r, 5, 0xff); /* any hour */
    (void)get(&r, 0x0c);
    put(&r, 0x0b, 0x22);
    testbed_advance(&r.t, 7 * NS_PER_S, 100 * NS_PER_MS);
    EXPECT_EQ(r.irq.n_rises, 0);
    testbed_advance(&r.t, NS_PER_S, 100 * NS_PER_MS);
    EXPECT_EQ(r.irq.n_rises, 1);
    EXPECT_EQ(get(&r, 0x0c) & 0xa0, 0xa0);
    testbed_advance(&r.t, 3600 * NS_PER_S, NS_PER_S / 2);
    EXPECT_EQ(r.irq.n_rises, 2);
    rig_done(&r);
}

TEST(periodic_interrupt)
{
    struct rig r;
    unsigned n = 0;

    rig_init(&r);
    put(&r, 0x0b, 0x42);
    for (unsigned i = 0; i < 10000; i++) {
        testbed_advance(&r.t, 100 * NS_PER_US, 100 * NS_PER_US);
        if (r.irq.level) {
            EXPECT_EQ(get(&r, 0x0c) & 0xc0, 0xc0);
            n++;
        }
    }
    EXPECT_EQ(n, 1024);
    put(&r, 0x0a, 0x20); /* off */
    (void)get(&r, 0x0c);
    testbed_advance(&r.t, NS_PER_S, NS_PER_MS);
    EXPECT_EQ(r.irq.level, 0);
    rig_done(&r);
}

TEST(memory_sizes)
{
    struct rig r;

    rig_init(&r);
    mc146818_set_memory(&r.rtc, 3 * GIB, 5 * GIB);
    EXPECT_EQ(get(&r, 0x15) | get(&r, 0x16) << 8, 640);
    EXPECT_EQ(get(&r, 0x30) | get(&r, 0x31) << 8, 0xffff);
    EXPECT_EQ(get(&r, 0x34) | get(&r, 0x35) << 8, (3 * GIB - 16 * MIB) / 65536);
    EXPECT_EQ(get(&r, 0x5b) | get(&r, 0x5c) << 8 | get(&r, 0x5d) << 16, 5 * GIB / 65536);
    EXPECT_EQ(get(&r, 0x2e) << 8 | get(&r, 0x2f), 0x80 + 2 + 0xff + 0xff);
    mc146818_set_memory(&r.rtc, 8 * MIB, 0);
    EXPECT_EQ(get(&r, 0x17) | get(&r, 0x18) << 8, 7 * 1024);
    EXPECT_EQ(get(&r, 0x34) | get(&r, 0x35) << 8, 0);
    rig_done(&r);
}

TEST(saved_with_its_own_time)
{
    struct rig a, b;

    rig_init(&a);
    rig_init_at(&b, START_NS + 60 * NS_PER_S); /* restored a minute later */
    put(&a, 4, 0x11);
    put(&a, 0x0b, 0x12);
    put(&a, 0x50, 0x77);
    testbed_advance(&a.t, 2 * NS_PER_S, NS_PER_S / 10);
    EXPECT_EQ(a.irq.level, 1);
    testbed_move(&a.t, &a.rtc, &b.t, &b.rtc, &mc146818_device);
    EXPECT_EQ(time_of(&b), 120059);
    EXPECT_EQ(get(&b, 0x50), 0x77);
    EXPECT_EQ(b.irq.level, 1);
    (void)get(&b, 0x0c);
    EXPECT_EQ(b.irq.level, 0);
    testbed_advance(&b.t, NS_PER_S, NS_PER_S / 10);
    EXPECT_EQ(b.irq.level, 1);
    rig_done(&a);
    rig_done(&b);
}
