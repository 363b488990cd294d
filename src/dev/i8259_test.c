/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/i8259.h"

#include "dev/testbed.h"

struct rig {
    struct testbed t;
    struct test_line intr;
    struct i8259 pic;
    struct irq_line pin[16];
};

static void rig_init(struct rig *r)
{
    testbed_init(&r->t);
    r->intr = (struct test_line){ 0 };
    i8259_init(&r->pic, &r->t.bus, test_line(&r->intr), 0);
    for (unsigned i = 0; i < 16; i++) {
        r->pin[i] = i8259_pins(&r->pic);
        r->pin[i].n = i;
    }
}

static void rig_done(struct rig *r)
{
    i8259_done(&r->pic);
    testbed_done(&r->t);
}

static void setup(struct rig *r, uint8_t icw4)
{
    static const uint8_t port[2] = { 0x20, 0xa0 }, base[2] = { 0x30, 0x38 }, wire[2] = { 4, 2 };

    for (unsigned i = 0; i < 2; i++) {
        out8(&r->t, port[i], 0x11);
        out8(&r->t, port[i] + 1u, base[i]);
        out8(&r->t, port[i] + 1u, wire[i]);
        out8(&r->t, port[i] + 1u, icw4);
        out8(&r->t, port[i] + 1u, 0);
    }
}

TEST(edges_are_latched_and_served_by_priority)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 1);
    EXPECT_EQ(i8259_ack(&r.pic), -1);
    irq_pulse(&r.pin[4]);
    EXPECT_EQ(r.intr.level, 1);
    irq_pulse(&r.pin[1]);
    irq_pulse(&r.pin[8]);
    EXPECT_EQ(in8(&r.t, 0x20), 0x16);
    EXPECT_EQ(i8259_ack(&r.pic), 0x31);
    EXPECT_EQ(r.intr.level, 0); /* the others wait for its EOI */
    EXPECT_EQ(i8259_ack(&r.pic), -1);
    out8(&r.t, 0x20, 0x0b);
    EXPECT_EQ(in8(&r.t, 0x20), 0x02);
    out8(&r.t, 0x20, 0x20);
    EXPECT_EQ(i8259_ack(&r.pic), 0x38);
    out8(&r.t, 0xa0, 0x0b);
    EXPECT_EQ(in8(&r.t, 0xa0), 0x01);
    EXPECT_EQ(in8(&r.t, 0x20), 0x04);
    out8(&r.t, 0xa0, 0x60);
    out8(&r.t, 0x20, 0x62);
    EXPECT_EQ(i8259_ack(&r.pic), 0x34);
    out8(&r.t, 0x20, 0x64);
    EXPECT_EQ(r.intr.level, 0);
    rig_done(&r);
}

TEST(masks_hold_back)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 1);
    out8(&r.t, 0x21, 0xfb);
    EXPECT_EQ(in8(&r.t, 0x21), 0xfb);
    irq_pulse(&r.pin[5]);
    EXPECT_EQ(r.intr.level, 0);
    irq_pulse(&r.pin[15]);
    EXPECT_EQ(r.intr.level, 1);
    out8(&r.t, 0xa1, 0x80); /* it goes away before it is taken */
    EXPECT_EQ(r.intr.level, 0);
    EXPECT_EQ(i8259_ack(&r.pic), -1);
    out8(&r.t, 0xa1, 0);
    EXPECT_EQ(i8259_ack(&r.pic), 0x3f);
    out8(&r.t, 0x21, 0);
    EXPECT_EQ(r.intr.level, 0);
    out8(&r.t, 0xa0, 0x20);
    out8(&r.t, 0x20, 0x20);
    EXPECT_EQ(i8259_ack(&r.pic), 0x35);
    rig_done(&r);
}

TEST(level_pins_ask_until_they_fall)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 1);
    out8(&r.t, 0x4d0, 0xff);
    out8(&r.t, 0x4d1, 0xff);
    EXPECT_EQ(in8(&r.t, 0x4d0), 0xf8);
    EXPECT_EQ(in8(&r.t, 0x4d1), 0xde);
    irq_raise(&r.pin[11]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x3b);
    out8(&r.t, 0xa0, 0x20);
    out8(&r.t, 0x20, 0x20);
    EXPECT_EQ(i8259_ack(&r.pic), 0x3b);
    irq_lower(&r.pin[11]);
    out8(&r.t, 0xa0, 0x20);
    out8(&r.t, 0x20, 0x20);
    EXPECT_EQ(r.intr.level, 0);
    irq_raise(&r.pin[5]);
    EXPECT_EQ(r.intr.level, 1);
    irq_lower(&r.pin[5]);
    EXPECT_EQ(r.intr.level, 0);
    rig_done(&r);
}

TEST(a_slaves_higher_pin_waits_or_nests)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 1);
    irq_pulse(&r.pin[12]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x3c);
    irq_pulse(&r.pin[9]);
    EXPECT_EQ(r.intr.level, 0); /* the master serves its pin 2 */
    out8(&r.t, 0x20, 0x62);
    EXPECT_EQ(i8259_ack(&r.pic), 0x39);
    out8(&r.t, 0xa0, 0x20);
    out8(&r.t, 0xa0, 0x20);
    out8(&r.t, 0x20, 0x62);

    setup(&r, 0x11); /* special fully nested */
    irq_pulse(&r.pin[12]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x3c);
    irq_pulse(&r.pin[9]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x39);
    rig_done(&r);
}

TEST(rotation_and_automatic_eoi)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 3);
    irq_pulse(&r.pin[3]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x33);
    out8(&r.t, 0x20, 0x0b);
    EXPECT_EQ(in8(&r.t, 0x20), 0);
    out8(&r.t, 0x20, 0x80); /* rotate on automatic EOI */
    irq_pulse(&r.pin[3]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x33);
    irq_pulse(&r.pin[3]);
    irq_pulse(&r.pin[4]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x34);
    EXPECT_EQ(i8259_ack(&r.pic), 0x33);
    out8(&r.t, 0x20, 0xc5); /* 5 is lowest, 6 highest */
    irq_pulse(&r.pin[1]);
    irq_pulse(&r.pin[6]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x36);
    rig_done(&r);
}

TEST(special_mask_mode_lets_lower_ones_through)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 1);
    irq_pulse(&r.pin[1]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x31);
    irq_pulse(&r.pin[6]);
    EXPECT_EQ(r.intr.level, 0);
    out8(&r.t, 0x21, 0x02);
    out8(&r.t, 0x20, 0x68);
    EXPECT_EQ(i8259_ack(&r.pic), 0x36);
    out8(&r.t, 0x20, 0x20); /* must not end the masked one */
    out8(&r.t, 0x20, 0x0b);
    EXPECT_EQ(in8(&r.t, 0x20), 0x02);
    rig_done(&r);
}

TEST(poll_mode)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 1);
    out8(&r.t, 0x20, 0x0c);
    EXPECT_EQ(in8(&r.t, 0x20), 0);
    irq_pulse(&r.pin[6]);
    out8(&r.t, 0x20, 0x0c);
    EXPECT_EQ(in8(&r.t, 0x20), 0x86);
    EXPECT_EQ(r.intr.level, 0);
    EXPECT_EQ(in8(&r.t, 0x20), 0); /* IRR again */
    rig_done(&r);
}

TEST(initialisation_without_icw4_and_in_the_middle)
{
    struct rig r;

    rig_init(&r);
    out8(&r.t, 0x20, 0x12); /* single, no ICW4 */
    out8(&r.t, 0x21, 0x47);
    out8(&r.t, 0x21, 0xaa);
    EXPECT_EQ(in8(&r.t, 0x21), 0xaa);
    irq_raise(&r.pin[0]);
    out8(&r.t, 0x20, 0x11); /* the pin is high: it must fall and rise to count */
    out8(&r.t, 0x21, 0x20);
    out8(&r.t, 0x20, 0x11);
    out8(&r.t, 0x21, 0x50);
    out8(&r.t, 0x21, 4);
    out8(&r.t, 0x21, 1);
    EXPECT_EQ(r.intr.level, 0);
    irq_raise(&r.pin[0]);
    EXPECT_EQ(r.intr.level, 0);
    irq_lower(&r.pin[0]);
    irq_raise(&r.pin[0]);
    EXPECT_EQ(i8259_ack(&r.pic), 0x50);
    rig_done(&r);
}

TEST(saved_in_service)
{
    struct rig a, b;

    rig_init(&a);
    rig_init(&b);
    setup(&a, 1);
    irq_pulse(&a.pin[10]);
    EXPECT_EQ(i8259_ack(&a.pic), 0x3a);
    irq_pulse(&a.pin[1]);
    testbed_move(&a.t, &a.pic, &b.t, &b.pic, &i8259_device);
    EXPECT_EQ(b.intr.level, 1);
    EXPECT_EQ(i8259_ack(&b.pic), 0x31);
    out8(&b.t, 0x20, 0x20);
    out8(&b.t, 0xa0, 0x0b);
    EXPECT_EQ(in8(&b.t, 0xa0), 0x04);
    rig_done(&a);
    rig_done(&b);
}

TEST(reset_masks_everything)
{
    struct rig r;

    rig_init(&r);
    setup(&r, 1);
    irq_raise(&r.pin[3]);
    i8259_device.reset(&r.pic);
    EXPECT_EQ(r.intr.level, 0);
    EXPECT_EQ(in8(&r.t, 0x21), 0xff);
    rig_done(&r);
}
