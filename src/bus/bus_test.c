/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bus/bus.h"

#include "base/test.h"

/* A chip that remembers what reached it; reads give the bytes off, off + 1, ... */
struct probe {
    struct io_range io;
    unsigned reads, writes, size;
    uint64_t off, value;
};

static uint64_t probe_read(void *owner, uint64_t off, unsigned size)
{
    struct probe *p = owner;
    uint64_t v = 0;

    p->reads++;
    p->off = off;
    p->size = size;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)(uint8_t)(off + i) << (8 * i);
    return v | (size < 8 ? UINT64_C(0xdead) << 48 : 0); /* the bus must cut this off */
}

static void probe_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct probe *p = owner;

    p->writes++;
    p->off = off;
    p->size = size;
    p->value = value;
}

static const struct io_ops ops1 = { probe_read, probe_write, 1 };
static const struct io_ops ops4 = { probe_read, probe_write, 4 };
static const struct io_ops ops124 = { probe_read, probe_write, 1 | 2 | 4 };
static const struct io_ops ops8 = { probe_read, probe_write, 1 | 2 | 4 | 8 };

struct rig {
    struct clock clock;
    struct loop *loop;
    struct bus bus;
};

static void rig_init(struct rig *r)
{
    clock_init_manual(&r->clock);
    r->loop = loop_new(&r->clock);
    bus_init(&r->bus, r->loop);
}

static void rig_done(struct rig *r)
{
    bus_done(&r->bus);
    loop_free(r->loop);
}

static struct probe probe(uint64_t base, uint64_t len, const struct io_ops *ops)
{
    return (struct probe){ .io = { .base = base, .len = len, .ops = ops } };
}

#define ADD(kind, r, p)                    \
    do {                                   \
        (p)->io.owner = (p);               \
        kind##_add(&(r)->bus, &(p)->io);   \
    } while (0)

TEST(unclaimed_ports_read_ones)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(pio_read(&r.bus, 0x80, 1), 0xff);
    EXPECT_EQ(pio_read(&r.bus, 0x80, 2), 0xffff);
    EXPECT_EQ(pio_read(&r.bus, 0xffff, 4), 0xffffffff);
    pio_write(&r.bus, 0xffff, 4, 1);
    rig_done(&r);
}

TEST(wide_accesses_are_split_for_byte_chips)
{
    struct rig r;
    struct probe p = probe(0x60, 2, &ops1);

    rig_init(&r);
    ADD(pio, &r, &p);
    EXPECT_EQ(pio_read(&r.bus, 0x60, 1), 0);
    EXPECT_EQ(pio_read(&r.bus, 0x60, 4), 0xffff0100);
    EXPECT_EQ(p.reads, 3);
    pio_write(&r.bus, 0x5f, 4, 0x44332211);
    EXPECT_EQ(p.writes, 2);
    EXPECT_EQ(p.off, 1);
    EXPECT_EQ(p.value, 0x33);
    pio_remove(&r.bus, &p.io);
    pio_remove(&r.bus, &p.io);
    EXPECT_EQ(pio_read(&r.bus, 0x60, 1), 0xff);
    rig_done(&r);
}

TEST(narrow_reads_are_cut_out_and_narrow_writes_dropped)
{
    struct rig r;
    struct probe p = probe(0x408, 4, &ops4);

    rig_init(&r);
    ADD(pio, &r, &p);
    EXPECT_EQ(pio_read(&r.bus, 0x40a, 1), 2);
    EXPECT_EQ(p.size, 4);
    EXPECT_EQ(pio_read(&r.bus, 0x40a, 2), 0x0302);
    EXPECT_EQ(p.reads, 2);
    EXPECT_EQ(pio_read(&r.bus, 0x40b, 2), 0xff03);
    pio_write(&r.bus, 0x409, 1, 1);
    pio_write(&r.bus, 0x408, 2, 1);
    EXPECT_EQ(p.writes, 0);
    pio_write(&r.bus, 0x408, 4, 0x12345678);
    EXPECT_EQ(p.value, 0x12345678);
    rig_done(&r);
}

TEST(unaligned_accesses_arrive_aligned)
{
    struct rig r;
    struct probe p = probe(0xcfc, 4, &ops124);

    rig_init(&r);
    ADD(pio, &r, &p);
    EXPECT_EQ(pio_read(&r.bus, 0xcfd, 2), 0x0201);
    EXPECT_EQ(p.reads, 2);
    EXPECT_EQ(pio_read(&r.bus, 0xcfe, 2), 0x0302);
    EXPECT_EQ(p.reads, 3);
    EXPECT_EQ(pio_read(&r.bus, 0xcfe, 4), 0xffff0302);
    EXPECT_EQ(p.size, 2);
    rig_done(&r);
}

TEST(a_byte_register_inside_a_dword_register)
{
    struct rig r;
    struct probe reset = probe(0xcf9, 1, &ops1), address = probe(0xcf8, 4, &ops4);

    rig_init(&r);
    reset.io.rank = IO_INSET;
    ADD(pio, &r, &address);
    ADD(pio, &r, &reset);
    pio_write(&r.bus, 0xcf8, 4, 0x80000000);
    EXPECT_EQ(address.writes, 1);
    EXPECT_EQ(reset.writes, 0);
    pio_write(&r.bus, 0xcf9, 1, 6);
    EXPECT_EQ(address.writes, 1);
    EXPECT_EQ(reset.value, 6);
    EXPECT_EQ(pio_read(&r.bus, 0xcf8, 4), 0x03020100);
    rig_done(&r);
}

TEST(fixed_ports_win_over_bars)
{
    struct rig r;
    struct probe bar = probe(0x3f0, 16, &ops1), uart = probe(0x3f8, 8, &ops1);

    rig_init(&r);
    bar.io.rank = IO_BAR;
    ADD(pio, &r, &bar);
    ADD(pio, &r, &uart);
    EXPECT_EQ(pio_read(&r.bus, 0x3f9, 1), 1);
    EXPECT_EQ(uart.reads, 1);
    EXPECT_EQ(pio_read(&r.bus, 0x3f7, 1), 7);
    EXPECT_EQ(bar.reads, 1);
    pio_remove(&r.bus, &uart.io);
    EXPECT_EQ(pio_read(&r.bus, 0x3f9, 1), 9);
    rig_done(&r);
}

TEST(memory_ranges_overlap_and_go_away)
{
    struct rig r;
    struct probe big = probe(0xf0000000, 0x1000000, &ops8), chip = probe(0xf0000ff0, 16, &ops8);
    struct probe top = probe(UINT64_MAX - 15, 16, &ops8);

    rig_init(&r);
    big.io.rank = IO_BAR;
    ADD(mmio, &r, &big);
    ADD(mmio, &r, &chip);
    ADD(mmio, &r, &top);
    EXPECT_EQ(r.bus.mmio.n_pieces, 4);
    EXPECT_EQ(mmio_read(&r.bus, 0xf0000ff0, 8), 0x0706050403020100);
    EXPECT_EQ(chip.reads, 1);
    EXPECT_EQ(mmio_read(&r.bus, 0xf0001000, 1), 0);
    EXPECT_EQ(big.off, 0x1000);
    EXPECT_EQ(mmio_read(&r.bus, 0xf0000fef, 2), 0x00ef);
    EXPECT_EQ(mmio_read(&r.bus, 0xf1000000, 4), 0xffffffff);
    EXPECT_EQ(mmio_read(&r.bus, UINT64_MAX - 7, 8), 0x0f0e0d0c0b0a0908);
    EXPECT_EQ(mmio_read(&r.bus, UINT64_MAX, 8), 0xffffffffffffff0f);
    mmio_remove(&r.bus, &chip.io);
    EXPECT_EQ(mmio_read(&r.bus, 0xf0000ff0, 1), 0xf0);
    EXPECT_EQ(r.bus.mmio.n_pieces, 2);
    rig_done(&r);
}

TEST(full_tables)
{
    static struct probe p[MMIO_RANGES_MAX];
    struct rig r;

    rig_init(&r);
    for (unsigned i = 0; i < MMIO_RANGES_MAX; i++) {
        /* A staircase: each overlaps the next one. */
        p[i] = probe(0x1000 * i, 0x1800, &ops8);
        ADD(mmio, &r, &p[i]);
    }
    for (unsigned i = 0; i < MMIO_RANGES_MAX; i++)
        EXPECT_EQ(mmio_read(&r.bus, 0x1000 * i + 0x900, 1), 0);
    EXPECT_EQ(p[5].reads, 1);
    rig_done(&r);
}

struct line_probe {
    unsigned n_set, n, raised;
};

static void on_line(void *owner, unsigned n, bool level)
{
    struct line_probe *p = owner;

    p->n_set++;
    p->n = n;
    p->raised += level;
}

TEST(isa_interrupts_fan_out_and_are_shared)
{
    struct line_probe pic = { 0 }, apic = { 0 };
    struct isa_irqs h;

    isa_irqs_init(&h, (struct irq_line){ on_line, &pic, 0 },
                  (struct irq_line){ on_line, &apic, 0 });
    struct irq_line pit = isa_irq(&h, 0, ISA_CHIP), a = isa_irq(&h, 9, ISA_SCI),
                    b = isa_irq(&h, 9, ISA_PIRQ), cascade = isa_irq(&h, 2, ISA_CHIP);
    irq_pulse(&pit);
    EXPECT_EQ(pic.raised, 1);
    EXPECT_EQ(pic.n, 0);
    EXPECT_EQ(apic.n, 2);
    irq_raise(&a);
    irq_raise(&a);
    irq_raise(&b);
    EXPECT_EQ(pic.raised, 2);
    EXPECT_EQ(apic.n, 9);
    irq_lower(&a);
    EXPECT_EQ(pic.n_set, 3);
    irq_lower(&b);
    EXPECT_EQ(pic.n_set, 4);
    irq_raise(&cascade);
    EXPECT_EQ(pic.n_set, 4);
    EXPECT_EQ(apic.n_set, 4);
}

struct alarm {
    struct bus_timer t;
    unsigned n;
};

static void on_alarm(struct bus_timer *t)
{
    container_of(t, struct alarm, t)->n++;
}

TEST(bus_timers)
{
    struct alarm a = { 0 };
    struct rig r;

    rig_init(&r);
    bus_timer_init(&a.t, &r.bus, on_alarm);
    bus_timer_arm(&a.t, 100);
    clock_advance(&r.clock, 99);
    loop_poll(r.loop);
    EXPECT_EQ(a.n, 0);
    bus_timer_arm(&a.t, 200);
    clock_advance(&r.clock, 1);
    loop_poll(r.loop);
    EXPECT_EQ(a.n, 0);
    clock_advance(&r.clock, 100);
    loop_poll(r.loop);
    EXPECT_EQ(a.n, 1);
    EXPECT_EQ(a.t.due_ns, UINT64_MAX);
    bus_timer_arm(&a.t, 300);
    bus_timer_disarm(&a.t);
    clock_advance(&r.clock, 1000);
    loop_poll(r.loop);
    EXPECT_EQ(a.n, 1);
    EXPECT_EQ(mul_div(UINT64_MAX, 3, 3), UINT64_MAX);
    EXPECT_EQ(mul_div(UINT64_MAX, 3, 2), UINT64_MAX);
    EXPECT_EQ(mul_div_up(10, 1, 3), 4);
    rig_done(&r);
}

/* The loop saw the timer due, but before its callback had the lock somebody moved it. */
TEST(a_timer_moved_behind_the_loops_back)
{
    struct alarm a = { 0 };
    struct rig r;

    rig_init(&r);
    bus_timer_init(&a.t, &r.bus, on_alarm);
    bus_timer_arm(&a.t, 500);
    a.t.t.expired(&a.t.t);
    EXPECT_EQ(a.n, 0);
    clock_advance(&r.clock, 500);
    loop_poll(r.loop);
    EXPECT_EQ(a.n, 1);
    a.t.t.expired(&a.t.t);
    EXPECT_EQ(a.n, 1);
    rig_done(&r);
}

/* A chip that two processors and the loop's timer use at once: the bus lock must be enough. */
struct busy {
    struct io_range io;
    struct bus_timer t;
    uint64_t n_accesses, n_expired; /* plain: a lost count or the sanitizer would tell */
    bool stop;
};

static uint64_t busy_read(void *owner, uint64_t off, unsigned size)
{
    struct busy *c = owner;

    c->n_accesses++;
    if (c->n_accesses % 3)
        bus_timer_arm(&c->t, bus_now_ns(c->t.bus) + c->n_accesses % 7 * 1000);
    else
        bus_timer_disarm(&c->t);
    return 0;
}

static void busy_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    busy_read(owner, off, size);
}

static void busy_expired(struct bus_timer *t)
{
    struct busy *c = container_of(t, struct busy, t);

    if (c->stop)
        return;
    c->n_expired++;
    bus_timer_arm(t, bus_now_ns(t->bus) + 1000);
}

#define BUSY_ACCESSES 20000

static void *busy_thread(void *arg)
{
    struct bus *b = arg;

    for (unsigned i = 0; i < BUSY_ACCESSES; i++)
        pio_write(b, 0x10, 1, i);
    return NULL;
}

static void *loop_thread(void *arg)
{
    loop_run(arg);
    return NULL;
}

TEST(one_lock_for_processors_and_timers)
{
    static const struct io_ops busy_ops = { busy_read, busy_write, 1 };
    struct busy c = { .io = { .base = 0x10, .len = 1, .ops = &busy_ops, .owner = &c } };
    pthread_t cpu[2], loop;
    struct rig r;

    clock_init(&r.clock);
    r.loop = loop_new(&r.clock);
    bus_init(&r.bus, r.loop);
    bus_timer_init(&c.t, &r.bus, busy_expired);
    pio_add(&r.bus, &c.io);
    pthread_create(&loop, NULL, loop_thread, r.loop);
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&cpu[i], NULL, busy_thread, &r.bus);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(cpu[i], NULL);
    bus_lock(&r.bus);
    c.stop = true;
    bus_timer_disarm(&c.t);
    bus_unlock(&r.bus);
    loop_stop(r.loop);
    pthread_join(loop, NULL);
    EXPECT_EQ(c.n_accesses, 2 * BUSY_ACCESSES);
    rig_done(&r);
}
