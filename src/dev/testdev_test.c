/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/testdev.h"

#include "dev/testbed.h"

struct rig {
    struct testbed t;
    struct test_line pic;
    struct isa_irqs irqs;
    struct testdev dev;
};

static struct rig a, b; /* 64 KiB each */

static void rig_init(struct rig *r)
{
    testbed_init(&r->t);
    r->pic = (struct test_line){ 0 };
    isa_irqs_init(&r->irqs, test_line(&r->pic), (struct irq_line){ 0 });
    testdev_init(&r->dev, &r->t.bus, &r->irqs, testbed_board(&r->t));
}

static void rig_done(struct rig *r)
{
    testdev_done(&r->dev);
    testbed_done(&r->t);
}

TEST(what_a_test_guest_does)
{
    rig_init(&a);
    rig_init(&b);
    pio_write(&a.t.bus, 0xe0, 4, 0x12345678);
    EXPECT_EQ(pio_read(&a.t.bus, 0xe8, 4), 0x12345678);
    pio_write(&a.t.bus, 0xe9, 2, 0xabcd);
    EXPECT_EQ(pio_read(&a.t.bus, 0xe0, 4), 0x12abcd78);
    EXPECT_EQ(pio_read(&a.t.bus, 0xe2, 2), 0x12ab);
    pio_write(&a.t.bus, 0xe4, 4, 0x1000);
    out8(&a.t, 0x200e, 1);
    out8(&a.t, 0x2017, 1);
    EXPECT_EQ(a.pic.level, 1u << 14);
    mmio_write(&a.t.bus, 0xff00fff8, 8, 0x1122334455667788);
    EXPECT_EQ(mmio_read(&a.t.bus, 0xff00fffa, 2), 0x5566);
    testbed_move(&a.t, &a.dev, &b.t, &b.dev, &testdev_device);
    EXPECT_EQ(pio_read(&b.t.bus, 0xe0, 4), 0x12abcd78);
    EXPECT_EQ(mmio_read(&b.t.bus, 0xff00fff8, 8), 0x1122334455667788);
    EXPECT_EQ(b.dev.irq_level, 1 << 14);
    out8(&a.t, 0x200e, 0);
    EXPECT_EQ(a.pic.level, 0);
    out8(&a.t, 0x2005, 1);
    testdev_device.reset(&a.dev);
    EXPECT_EQ(a.pic.level, 0);
    EXPECT_EQ(pio_read(&a.t.bus, 0xe0, 4), 0);
    pio_write(&a.t.bus, 0xf4, 4, 0x10);
    EXPECT_EQ(a.t.exits, 1);
    EXPECT_EQ(a.t.exit_code, 0x10);
    rig_done(&a);
    rig_done(&b);
}
