/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/acpi_pm.h"

#include "dev/testbed.h"

#define BASE 0x400

struct rig {
    struct testbed t;
    struct test_line sci;
    struct acpi_pm pm;
};

static void rig_init(struct rig *r, bool acpi)
{
    testbed_init(&r->t);
    r->sci = (struct test_line){ 0 };
    acpi_pm_init(&r->pm, &r->t.bus, test_line(&r->sci), testbed_board(&r->t), acpi);
    acpi_pm_map(&r->pm, BASE);
}

static void rig_done(struct rig *r)
{
    acpi_pm_done(&r->pm);
    testbed_done(&r->t);
}

static uint32_t in(struct rig *r, unsigned off, unsigned size)
{
    return pio_read(&r->t.bus, (uint16_t)(BASE + off), size);
}

static void out(struct rig *r, unsigned off, unsigned size, uint32_t v)
{
    pio_write(&r->t.bus, (uint16_t)(BASE + off), size, v);
}

TEST(timer_counts)
{
    struct rig r;

    rig_init(&r, true);
    EXPECT_EQ(in(&r, 8, 4), 0);
    clock_advance(&r.t.clock, NS_PER_S);
    EXPECT_EQ(in(&r, 8, 4), 3579545);
    EXPECT_EQ(in(&r, 8, 2), 3579545 & 0xffff);
    EXPECT_EQ(in(&r, 0xa, 1), 3579545 >> 16);
    clock_advance(&r.t.clock, 4 * NS_PER_S);
    EXPECT_EQ(in(&r, 8, 4), (5 * 3579545) & 0xffffff);
    EXPECT_EQ(in(&r, 0xb, 1), 0);
    rig_done(&r);
}

TEST(timer_status_at_each_half_turn)
{
    struct rig r;

    rig_init(&r, true);
    EXPECT_EQ(in(&r, 0, 2), 0);
    out(&r, 2, 2, 1);
    testbed_advance(&r.t, 2300 * NS_PER_MS, 100 * NS_PER_MS);
    EXPECT_EQ(r.sci.level, 0);
    testbed_advance(&r.t, 100 * NS_PER_MS, 10 * NS_PER_MS);
    EXPECT_EQ(r.sci.level, 1);
    EXPECT_EQ(in(&r, 0, 2), 1);
    out(&r, 0, 2, 1);
    EXPECT_EQ(r.sci.level, 0);
    testbed_advance(&r.t, 2350 * NS_PER_MS, 10 * NS_PER_MS);
    EXPECT_EQ(r.sci.level, 1);
    out(&r, 2, 2, 0);
    out(&r, 0, 2, 1);
    clock_advance(&r.t.clock, 2400 * NS_PER_MS); /* nobody waits: seen when read */
    EXPECT_EQ(in(&r, 0, 1), 1);
    EXPECT_EQ(r.sci.level, 0);
    rig_done(&r);
}

TEST(power_button)
{
    struct rig r;

    rig_init(&r, true);
    acpi_pm_power_button(&r.pm);
    EXPECT_EQ(r.sci.level, 0);
    EXPECT_EQ(in(&r, 0, 2), 0x100);
    out(&r, 2, 2, 0xffff);
    EXPECT_EQ(in(&r, 2, 2), 0x521);
    EXPECT_EQ(r.sci.level, 1);
    out(&r, 1, 1, 1); /* by bytes */
    EXPECT_EQ(r.sci.level, 0);
    EXPECT_EQ(in(&r, 0, 4), 0x5210000);
    rig_done(&r);
}

TEST(soft_off)
{
    struct rig r;

    rig_init(&r, true);
    EXPECT_EQ(in(&r, 4, 2), 1);
    out(&r, 4, 2, 0x1c01);
    EXPECT_EQ(in(&r, 4, 2), 0x1c01);
    out(&r, 4, 2, 0x3c01); /* another state: nothing */
    EXPECT_EQ(r.t.power_offs, 0);
    out(&r, 4, 2, 0x0001);
    EXPECT_EQ(r.t.power_offs, 0);
    out(&r, 4, 2, 0x2001);
    EXPECT_EQ(r.t.power_offs, 1);
    EXPECT_EQ(in(&r, 4, 2), 1);
    rig_done(&r);
}

TEST(acpi_mode_by_the_apm_port)
{
    struct rig r;

    rig_init(&r, false);
    EXPECT_EQ(in(&r, 4, 2), 0);
    out8(&r.t, 0xb2, 0xf1);
    EXPECT_EQ(in(&r, 4, 2), 1);
    out8(&r.t, 0xb2, 0xf0);
    EXPECT_EQ(in(&r, 4, 2), 0);
    out8(&r.t, 0xb3, 0x5a);
    EXPECT_EQ(in8(&r.t, 0xb3), 0x5a);
    rig_done(&r);
}

TEST(general_purpose_events)
{
    struct rig r;

    rig_init(&r, true);
    acpi_pm_gpe(&r.pm, 3);
    acpi_pm_gpe(&r.pm, 16);
    EXPECT_EQ(in(&r, 0xc, 2), 8);
    out(&r, 0xe, 1, 8);
    EXPECT_EQ(r.sci.level, 1);
    out(&r, 0xc, 1, 8);
    EXPECT_EQ(r.sci.level, 0);
    rig_done(&r);
}

TEST(the_block_moves)
{
    struct rig r;

    rig_init(&r, true);
    acpi_pm_map(&r.pm, 0xb000);
    EXPECT_EQ(in(&r, 4, 2), 0xffff);
    EXPECT_EQ(pio_read(&r.t.bus, 0xb004, 2), 1);
    acpi_pm_map(&r.pm, 0);
    EXPECT_EQ(pio_read(&r.t.bus, 0xb004, 2), 0xffff);
    rig_done(&r);
}

TEST(saved_with_events)
{
    struct rig a, b;

    rig_init(&a, true);
    rig_init(&b, true);
    out(&a, 2, 2, 0x101);
    clock_advance(&a.t.clock, NS_PER_S);
    acpi_pm_power_button(&a.pm);
    testbed_move(&a.t, &a.pm, &b.t, &b.pm, &acpi_pm_device);
    EXPECT_EQ(b.sci.level, 1);
    EXPECT_EQ(in(&b, 8, 4), 3579545);
    out(&b, 0, 2, 0x100);
    EXPECT_EQ(b.sci.level, 0);
    testbed_advance(&b.t, 1400 * NS_PER_MS, 10 * NS_PER_MS);
    EXPECT_EQ(in(&b, 0, 2), 1);
    EXPECT_EQ(b.sci.level, 1);
    acpi_pm_device.reset(&b.pm);
    EXPECT_EQ(b.sci.level, 0);
    rig_done(&a);
    rig_done(&b);
}
