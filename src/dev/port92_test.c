/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports 0x92, 0x80 and the debug port. */
#include "dev/port92.h"

#include "dev/debugcon.h"
#include "dev/port80.h"
#include "dev/testbed.h"

TEST(fast_reset_at_the_edge)
{
    struct testbed t, u;
    struct port92 p, q;

    testbed_init(&t);
    testbed_init(&u);
    port92_init(&p, &t.bus, testbed_board(&t));
    port92_init(&q, &u.bus, testbed_board(&u));
    EXPECT_EQ(in8(&t, 0x92), 2);
    out8(&t, 0x92, 0xfe);
    EXPECT_EQ(in8(&t, 0x92), 2);
    EXPECT_EQ(t.resets, 0);
    out8(&t, 0x92, 1);
    EXPECT_EQ(t.resets, 1);
    out8(&t, 0x92, 3);
    EXPECT_EQ(t.resets, 1);
    testbed_move(&t, &p, &u, &q, &port92_device);
    EXPECT_EQ(in8(&u, 0x92), 3);
    out8(&u, 0x92, 3);
    EXPECT_EQ(u.resets, 0);
    port92_device.reset(&q);
    EXPECT_EQ(in8(&u, 0x92), 2);
    port92_done(&p);
    port92_done(&q);
    testbed_done(&t);
    testbed_done(&u);
}

TEST(post_codes_read_back)
{
    struct testbed t, u;
    struct port80 p, q;

    testbed_init(&t);
    testbed_init(&u);
    port80_init(&p, &t.bus);
    port80_init(&q, &u.bus);
    pio_write(&t.bus, 0x80, 4, 0x44332211);
    EXPECT_EQ(in8(&t, 0x82), 0x33);
    testbed_move(&t, &p, &u, &q, &port80_device);
    EXPECT_EQ(pio_read(&u.bus, 0x80, 2), 0x2211);
    port80_device.reset(&q);
    EXPECT_EQ(in8(&u, 0x80), 0);
    port80_done(&p);
    port80_done(&q);
    testbed_done(&t);
    testbed_done(&u);
}

static void on_put(void *owner, uint8_t byte)
{
    *(unsigned *)owner = *(unsigned *)owner * 256 + byte;
}

TEST(debug_bytes_come_out)
{
    struct testbed t;
    struct debugcon d;
    unsigned seen = 0;

    testbed_init(&t);
    debugcon_init(&d, &t.bus, 0x402, on_put, &seen);
    EXPECT_EQ(in8(&t, 0x402), 0xe9);
    out8(&t, 0x402, 'O');
    out8(&t, 0x402, 'K');
    EXPECT_EQ(seen, 'O' * 256 + 'K');
    debugcon_done(&d);
    testbed_done(&t);
}
