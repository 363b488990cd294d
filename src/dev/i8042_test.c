/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/i8042.h"

#include "dev/testbed.h"

struct rig {
    struct testbed t;
    struct test_line irq1, irq12;
    struct i8042 kbc;
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){ 0 };
    testbed_init(&r->t);
    i8042_init(&r->kbc, &r->t.bus, test_line(&r->irq1), test_line(&r->irq12),
               testbed_board(&r->t));
}

static void rig_done(struct rig *r)
{
    i8042_done(&r->kbc);
    testbed_done(&r->t);
}

static void command(struct rig *r, unsigned cmd)
{
    out8(&r->t, 0x64, cmd);
}

static void data(struct rig *r, unsigned v)
{
    out8(&r->t, 0x60, v);
}

static unsigned status(struct rig *r)
{
    return in8(&r->t, 0x64);
}

/* The byte in the output buffer with the status before it: 0x100 * (aux, timeout, full) + byte. */
static unsigned take(struct rig *r)
{
    unsigned s = status(r) & 0x61;

    return s ? s << 8 | in8(&r->t, 0x60) : 0;
}

TEST(controller_commands)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(status(&r), 0x14);
    EXPECT_EQ(take(&r), 0);
    command(&r, 0x20);
    EXPECT_EQ(status(&r), 0x1d);
    EXPECT_EQ(take(&r), 0x165);
    command(&r, 0xaa);
    EXPECT_EQ(take(&r), 0x155);
    command(&r, 0xab);
    EXPECT_EQ(take(&r), 0x100);
    command(&r, 0x60);
    data(&r, 0x47);
    command(&r, 0x20);
    EXPECT_EQ(take(&r), 0x147);
    command(&r, 0x6a);
    data(&r, 0x99);
    command(&r, 0x2a);
    EXPECT_EQ(take(&r), 0x199);
    command(&r, 0xd0);
    EXPECT_EQ(take(&r), 0x1cf & ~0x30);
    command(&r, 0xc0);
    EXPECT_EQ(take(&r), 0x180);
    command(&r, 0xd2);
    data(&r, 0x42);
    EXPECT_EQ(r.irq1.level, 1);
    EXPECT_EQ(take(&r), 0x142);
    EXPECT_EQ(r.irq1.level, 0);
    rig_done(&r);
}

/* What Linux's i8042_check_aux() does, and then psmouse. */
TEST(the_aux_port_is_there_and_empty)
{
    struct rig r;

    rig_init(&r);
    command(&r, 0xd3);
    data(&r, 0x5a);
    EXPECT_EQ(take(&r), 0x215a);
    command(&r, 0xa8);
    command(&r, 0x20);
    EXPECT_EQ(take(&r) & 0x20, 0);
    command(&r, 0xa7);
    command(&r, 0x20);
    EXPECT_EQ(take(&r) & 0x20, 0x20);
    command(&r, 0x60);
    data(&r, 0x47);
    command(&r, 0xd3);
    data(&r, 0xa5);
    EXPECT_EQ(r.irq12.n_rises, 1);
    EXPECT_EQ(take(&r), 0x21a5);
    EXPECT_EQ(r.irq12.level, 0);
    command(&r, 0xa9);
    EXPECT_EQ(take(&r), 0x100);
    command(&r, 0xd4);
    data(&r, 0xf2);
    EXPECT_EQ(take(&r), 0x61fe);
    EXPECT_EQ(take(&r), 0);
    rig_done(&r);
}

TEST(reset_and_a20)
{
    struct rig r;

    rig_init(&r);
    command(&r, 0xd1);
    data(&r, 0xdf);
    command(&r, 0xff);
    EXPECT_EQ(r.t.resets, 0);
    command(&r, 0xfe);
    EXPECT_EQ(r.t.resets, 1);
    command(&r, 0xd1);
    data(&r, 0xfe);
    EXPECT_EQ(r.t.resets, 2);
    rig_done(&r);
}

TEST(the_keyboard_answers)
{
    static const struct {
        uint8_t write[2], n_write, answer[4], n;
    } t[] = {
        { { 0xff }, 1, { 0xfa, 0xaa }, 2 },
        { { 0xf2 }, 1, { 0xfa, 0xab, 0x41 }, 3 }, /* 0x83, translated */
        { { 0xed, 0x07 }, 2, { 0xfa, 0xfa }, 2 },
        { { 0xf3, 0x00 }, 2, { 0xfa, 0xfa }, 2 },
        { { 0xf0, 0x00 }, 2, { 0xfa, 0xfa, 0x41 }, 3 }, /* set 2, translated */
        { { 0xf0, 0x02 }, 2, { 0xfa, 0xfa }, 2 },
        { { 0xf0, 0x03 }, 2, { 0xfa, 0xfe }, 2 },
        { { 0xee }, 1, { 0xee }, 1 },
        { { 0xf4 }, 1, { 0xfa }, 1 },
        { { 0xfe }, 1, { 0xfa }, 1 },
        { { 0xfa }, 1, { 0xfa }, 1 },
        { { 0x01 }, 1, { 0xfe }, 1 },
    };
    struct rig r;

    rig_init(&r);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        for (unsigned k = 0; k < t[i].n_write; k++)
            data(&r, t[i].write[k]);
        for (unsigned k = 0; k < t[i].n; k++)
            EXPECT_EQ(take(&r), 0x100 | t[i].answer[k]);
        EXPECT_EQ(take(&r), 0);
    }
    EXPECT_EQ(r.kbc.keyboard.leds, 7);
    rig_done(&r);
}

TEST(keys_by_interrupt)
{
    static const uint8_t a_and_up[] = { 0x1e, 0x9e, 0xe0, 0x48, 0xe0, 0xc8 };
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(i8042_type(&r.kbc, a_and_up, sizeof a_and_up), sizeof a_and_up);
    for (unsigned i = 0; i < sizeof a_and_up; i++) {
        EXPECT_EQ(r.irq1.level, 1);
        EXPECT_EQ(r.irq1.n_rises, i + 1);
        EXPECT_EQ(take(&r), 0x100 | a_and_up[i]);
    }
    EXPECT_EQ(r.irq1.level, 0);
    /* Untranslated they are set 2. */
    command(&r, 0x60);
    data(&r, 0x05);
    i8042_type(&r.kbc, a_and_up, sizeof a_and_up);
    static const uint8_t set2[] = { 0x1c, 0xf0, 0x1c, 0xe0, 0x75, 0xe0, 0xf0, 0x75 };
    for (unsigned i = 0; i < sizeof set2; i++)
        EXPECT_EQ(take(&r), 0x100 | set2[i]);
    EXPECT_EQ(take(&r), 0);
    rig_done(&r);
}

TEST(keys_wait_while_the_port_is_off_and_are_lost_when_there_are_too_many)
{
    struct rig r;
    uint8_t many[1000];
    unsigned n = 0;

    rig_init(&r);
    memset(many, 0x1e, sizeof many);
    command(&r, 0xad);
    i8042_type(&r.kbc, many, 3);
    EXPECT_EQ(take(&r), 0);
    command(&r, 0xae);
    EXPECT_EQ(take(&r), 0x11e);
    EXPECT(i8042_type(&r.kbc, many, sizeof many) < PS2_QUEUE);
    while (take(&r))
        n++;
    EXPECT(n > 100 && n <= PS2_QUEUE + 1);
    data(&r, 0xf5);
    EXPECT_EQ(take(&r), 0x1fa);
    EXPECT_EQ(i8042_type(&r.kbc, many, 1), 0);
    rig_done(&r);
}

TEST(a_flood_of_commands)
{
    struct rig r;

    rig_init(&r);
    for (unsigned i = 0; i < 10000; i++) {
        data(&r, i & 0xff ? i : 0xf2);
        command(&r, i * 7 % 0xf0);
    }
    while (take(&r))
        ;
    command(&r, 0x60);
    data(&r, 0x45);
    data(&r, 0x01);
    data(&r, 0xff);
    while (take(&r) != 0x1aa)
        ;
    rig_done(&r);
}

TEST(saved_in_the_middle_of_everything)
{
    static const uint8_t keys[] = { 0x1e, 0x9e };
    struct rig a, b;

    rig_init(&a);
    rig_init(&b);
    i8042_type(&a.kbc, keys, 2);
    data(&a, 0xed);
    command(&a, 0x60);
    testbed_move(&a.t, &a.kbc, &b.t, &b.kbc, &i8042_device);
    EXPECT_EQ(b.irq1.level, 1);
    EXPECT_EQ(take(&b), 0x11e);
    data(&b, 0x65); /* the command byte */
    EXPECT_EQ(take(&b), 0x19e);
    EXPECT_EQ(take(&b), 0x1fa);
    data(&b, 5); /* the LEDs */
    EXPECT_EQ(take(&b), 0x1fa);
    EXPECT_EQ(b.kbc.keyboard.leds, 5);
    i8042_device.reset(&b.kbc);
    EXPECT_EQ(status(&b), 0x14);
    rig_done(&a);
    rig_done(&b);
}
