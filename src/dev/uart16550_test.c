/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/uart16550.h"

#include "dev/testbed.h"

#define BASE 0x3f8

struct rig {
    struct testbed t;
    struct test_line irq;
    struct uart16550 uart;
    char sent[64];
    unsigned n_sent, rooms;
};

static void on_put(void *owner, uint8_t byte)
{
    struct rig *r = owner;

    if (r->n_sent < sizeof r->sent - 1)
        r->sent[r->n_sent++] = (char)byte;
}

static void on_room(void *owner)
{
    ((struct rig *)owner)->rooms++;
}

static const struct serial_port_ops ops = { on_put, on_room };

static void rig_init(struct rig *r)
{
    *r = (struct rig){ 0 };
    testbed_init(&r->t);
    uart16550_init(&r->uart, &r->t.bus, BASE, test_line(&r->irq), &ops, r);
}

static void rig_done(struct rig *r)
{
    uart16550_done(&r->uart);
    testbed_done(&r->t);
}

static uint8_t in(struct rig *r, unsigned reg)
{
    return in8(&r->t, BASE + reg);
}

static void out(struct rig *r, unsigned reg, unsigned v)
{
    out8(&r->t, BASE + reg, v);
}

/* 115200 8N1, FIFOs with trigger level 8, interrupts through OUT2. */
static void open_port(struct rig *r, unsigned ier)
{
    out(r, 3, 0x83);
    out(r, 0, 1);
    out(r, 1, 0);
    out(r, 3, 3);
    out(r, 2, 0x87);
    out(r, 4, 0x0b);
    out(r, 1, ier);
}

/* Linux's autoconfig() and size_fifo(). */
TEST(it_looks_like_a_16550a)
{
    struct rig r;

    rig_init(&r);
    out(&r, 1, 0);
    EXPECT_EQ(in(&r, 1) & 0x0f, 0);
    out(&r, 1, 0x0f);
    EXPECT_EQ(in(&r, 1), 0x0f);
    out(&r, 1, 0xf0);
    EXPECT_EQ(in(&r, 1), 0);
    out(&r, 4, 0x1a);
    EXPECT_EQ(in(&r, 6) & 0xf0, 0x90);
    out(&r, 4, 0);
    out(&r, 3, 0xbf);
    out(&r, 2, 0);
    out(&r, 3, 0);
    out(&r, 2, 1);
    EXPECT_EQ(in(&r, 2) >> 6, 3);
    out(&r, 2, 1);
    out(&r, 3, 0x80);
    EXPECT_EQ(in(&r, 2), 0xc1); /* not zero: no 16650's EFR */
    out(&r, 3, 0xbf);
    EXPECT_EQ(in(&r, 2), 0xc1);
    out(&r, 3, 0);
    out(&r, 7, 0xa5);
    EXPECT_EQ(in(&r, 7), 0xa5);
    out(&r, 2, 0);
    EXPECT_EQ(in(&r, 2), 0x01);

    /* FIFO size by loopback. */
    out(&r, 2, 7);
    out(&r, 4, 0x10);
    out(&r, 3, 0x83);
    out(&r, 0, 1);
    out(&r, 1, 0);
    out(&r, 3, 3);
    for (unsigned i = 0; i < 256; i++)
        out(&r, 0, i);
    unsigned n = 0;
    while (n < 256 && (in(&r, 5) & 1) && in(&r, 0) == n)
        n++;
    EXPECT_EQ(n, 16);
    rig_done(&r);
}

TEST(sending)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(in(&r, 5), 0x60);
    for (const char *p = "hello"; *p; p++)
        out(&r, 0, (unsigned char)*p);
    EXPECT_STR(r.sent, "hello");
    EXPECT_EQ(in(&r, 5), 0x60);
    EXPECT_EQ(r.irq.n_rises, 0);
    rig_done(&r);
}

/* serial8250_startup() counts on each of these. */
TEST(transmitter_interrupts)
{
    struct rig r;

    rig_init(&r);
    open_port(&r, 0);
    EXPECT_EQ(r.irq.level, 0);
    out(&r, 1, 2);
    EXPECT_EQ(r.irq.level, 1);
    EXPECT_EQ(in(&r, 2), 0xc2);
    EXPECT_EQ(r.irq.level, 0);
    EXPECT_EQ(in(&r, 2), 0xc1);
    out(&r, 1, 0);
    out(&r, 1, 2); /* asserted again */
    EXPECT_EQ(in(&r, 2), 0xc2);
    out(&r, 0, 'x');
    EXPECT_EQ(r.irq.level, 1);
    unsigned rises = r.irq.n_rises;
    out(&r, 0, 'y'); /* each byte is an edge */
    EXPECT_EQ(r.irq.n_rises, rises + 1);
    EXPECT_EQ(in(&r, 2), 0xc2);
    out(&r, 4, 3); /* without OUT2 no interrupt leaves */
    out(&r, 0, 'z');
    EXPECT_EQ(r.irq.level, 0);
    EXPECT_EQ(in(&r, 2), 0xc2);
    rig_done(&r);
}

TEST(receiving_with_trigger_and_timeout)
{
    struct rig r;

    rig_init(&r);
    open_port(&r, 1);
    EXPECT_EQ(uart16550_receive(&r.uart, "a", 1), 1);
    EXPECT_EQ(r.irq.level, 0);
    testbed_advance(&r.t, 300 * NS_PER_US, 10 * NS_PER_US);
    EXPECT_EQ(r.irq.level, 0);
    testbed_advance(&r.t, 60 * NS_PER_US, 10 * NS_PER_US);
    EXPECT_EQ(r.irq.level, 1);
    EXPECT_EQ(in(&r, 2), 0xcc);
    EXPECT_EQ(in(&r, 5), 0x61);
    EXPECT_EQ(in(&r, 0), 'a');
    EXPECT_EQ(r.irq.level, 0);
    EXPECT_EQ(in(&r, 5), 0x60);
    EXPECT_EQ(in(&r, 0), 'a'); /* empty: the last one, nothing moves */
    EXPECT_EQ(uart16550_receive(&r.uart, "12345678", 8), 8);
    EXPECT_EQ(r.irq.level, 1);
    EXPECT_EQ(in(&r, 2), 0xc4);
    EXPECT_EQ(in(&r, 0), '1');
    EXPECT_EQ(in(&r, 2), 0xc1);
    EXPECT_EQ(in(&r, 0), '2');
    rig_done(&r);
}

TEST(flow_control)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(uart16550_receive(&r.uart, "x", 1), 0);
    EXPECT_EQ(r.rooms, 0);
    open_port(&r, 0);
    EXPECT_EQ(r.rooms, 1);
    EXPECT_EQ(uart16550_receive(&r.uart, "0123456789abcdefghij", 20), 16);
    EXPECT_EQ(in(&r, 0), '0');
    EXPECT_EQ(r.rooms, 2);
    EXPECT_EQ(in(&r, 0), '1');
    EXPECT_EQ(r.rooms, 2);
    EXPECT_EQ(uart16550_receive(&r.uart, "gh", 2), 2);
    for (const char *p = "23456789abcdefgh"; *p; p++)
        EXPECT_EQ(in(&r, 0), *p);
    out(&r, 2, 0); /* without FIFOs there is room for one */
    EXPECT_EQ(uart16550_receive(&r.uart, "ij", 2), 1);
    out(&r, 4, 0x1b);
    EXPECT_EQ(uart16550_receive(&r.uart, "j", 1), 0);
    EXPECT_EQ(in(&r, 0), 'i');
    EXPECT_EQ(r.rooms, 2);
    out(&r, 4, 0x0b);
    EXPECT_EQ(r.rooms, 3);
    rig_done(&r);
}

TEST(modem_lines)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(in(&r, 6), 0xb0);
    open_port(&r, 8);
    out(&r, 4, 0x18); /* loop, OUT2: DCD stays, CTS and DSR fall */
    EXPECT_EQ(in(&r, 6), 0x83);
    EXPECT_EQ(in(&r, 6), 0x80);
    out(&r, 4, 0x0b);
    EXPECT_EQ(r.irq.level, 1);
    EXPECT_EQ(in(&r, 2), 0xc0);
    EXPECT_EQ(in(&r, 6), 0xb3);
    EXPECT_EQ(r.irq.level, 0);
    rig_done(&r);
}

TEST(overrun_in_loopback)
{
    struct rig r;

    rig_init(&r);
    open_port(&r, 4);
    out(&r, 4, 0x1b);
    for (unsigned i = 0; i < 17; i++)
        out(&r, 0, i);
    out(&r, 4, 0x0b);
    EXPECT_EQ(r.irq.level, 1);
    EXPECT_EQ(in(&r, 2), 0xc6);
    EXPECT_EQ(in(&r, 5), 0x63);
    EXPECT_EQ(r.irq.level, 0);
    EXPECT_EQ(in(&r, 5), 0x61);
    rig_done(&r);
}

TEST(saved_with_a_byte_waiting)
{
    struct rig a, b;

    rig_init(&a);
    rig_init(&b);
    open_port(&a, 1);
    out(&a, 7, 0x42);
    EXPECT_EQ(uart16550_receive(&a.uart, "qr", 2), 2);
    testbed_advance(&a.t, 100 * NS_PER_US, 100 * NS_PER_US);
    testbed_move(&a.t, &a.uart, &b.t, &b.uart, &uart16550_device);
    EXPECT_EQ(b.rooms, 1); /* whoever waited elsewhere may go on here */
    EXPECT_EQ(b.irq.level, 0);
    testbed_advance(&b.t, 260 * NS_PER_US, 10 * NS_PER_US);
    EXPECT_EQ(b.irq.level, 1);
    EXPECT_EQ(in(&b, 0), 'q');
    EXPECT_EQ(in(&b, 0), 'r');
    EXPECT_EQ(in(&b, 7), 0x42);
    EXPECT_EQ(in(&b, 4), 0x0b);
    uart16550_device.reset(&b.uart);
    EXPECT_EQ(in(&b, 1) | in(&b, 3) | in(&b, 4), 0);
    rig_done(&a);
    rig_done(&b);
}
