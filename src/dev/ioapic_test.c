/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/ioapic.h"

#include "dev/testbed.h"

#define BASE 0xfec00000

struct rig {
    struct testbed t;
    struct ioapic apic;
    struct irq_line pin[IOAPIC_N_PINS];
    unsigned n_msis;
    uint64_t addr;
    uint32_t data;
};

static void on_msi(void *owner, uint64_t addr, uint32_t data)
{
    struct rig *r = owner;

    r->n_msis++;
    r->addr = addr;
    r->data = data;
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){ 0 };
    testbed_init(&r->t);
    ioapic_init(&r->apic, &r->t.bus, BASE, (struct msi_sink){ on_msi, r });
    for (unsigned i = 0; i < IOAPIC_N_PINS; i++) {
        r->pin[i] = ioapic_pins(&r->apic);
        r->pin[i].n = i;
    }
}

static void rig_done(struct rig *r)
{
    ioapic_done(&r->apic);
    testbed_done(&r->t);
}

static uint32_t get(struct rig *r, unsigned index)
{
    mmio_write(&r->t.bus, BASE, 4, index);
    return (uint32_t)mmio_read(&r->t.bus, BASE + 0x10, 4);
}

static void put(struct rig *r, unsigned index, uint32_t value)
{
    mmio_write(&r->t.bus, BASE, 4, index);
    mmio_write(&r->t.bus, BASE + 0x10, 4, value);
}

static void set_entry(struct rig *r, unsigned pin, uint32_t high, uint32_t low)
{
    put(r, 0x10 + 2 * pin, 0x10000);
    put(r, 0x11 + 2 * pin, high);
    put(r, 0x10 + 2 * pin, low);
}

TEST(registers)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(get(&r, 1), 0x170020);
    put(&r, 1, 0);
    EXPECT_EQ(get(&r, 1), 0x170020);
    put(&r, 0, 0xffffffff);
    EXPECT_EQ(get(&r, 0), 0x0f000000);
    EXPECT_EQ(get(&r, 0x10), 0x10000);
    put(&r, 0x10, 0xffffffff);
    EXPECT_EQ(get(&r, 0x10), 0x1afff);
    put(&r, 0x3f, 0xffffffff);
    EXPECT_EQ(get(&r, 0x3f), 0xff000000);
    put(&r, 0x40, 0xffffffff);
    EXPECT_EQ(get(&r, 0x40), 0);
    mmio_write(&r.t.bus, BASE, 1, 1); /* a byte is enough to select */
    EXPECT_EQ(mmio_read(&r.t.bus, BASE + 0x10, 4), 0x170020);
    EXPECT_EQ(r.n_msis, 0);
    rig_done(&r);
}

TEST(an_edge_is_one_message)
{
    struct rig r;

    rig_init(&r);
    set_entry(&r, 4, 3u << 24, 0x31);
    irq_raise(&r.pin[4]);
    EXPECT_EQ(r.n_msis, 1);
    EXPECT_EQ(r.addr, 0xfee03000);
    EXPECT_EQ(r.data, 0x31);
    irq_raise(&r.pin[4]);
    EXPECT_EQ(r.n_msis, 1);
    irq_lower(&r.pin[4]);
    set_entry(&r, 4, 0xffu << 24, 0x10931); /* masked, logical, lowest priority */
    irq_pulse(&r.pin[4]);
    EXPECT_EQ(r.n_msis, 1);
    put(&r, 0x18, 0x931);
    EXPECT_EQ(r.n_msis, 1);
    irq_pulse(&r.pin[4]);
    EXPECT_EQ(r.n_msis, 2);
    EXPECT_EQ(r.addr, 0xfeeff004);
    EXPECT_EQ(r.data, 0x131);
    rig_done(&r);
}

TEST(a_level_repeats_after_its_eoi)
{
    struct rig r;

    rig_init(&r);
    set_entry(&r, 9, 0, 0x8041);
    irq_raise(&r.pin[9]);
    EXPECT_EQ(r.n_msis, 1);
    EXPECT_EQ(r.data, 0xc041);
    EXPECT_EQ(get(&r, 0x22), 0xc041);
    irq_lower(&r.pin[9]);
    irq_raise(&r.pin[9]);
    EXPECT_EQ(r.n_msis, 1);
    ioapic_eoi(&r.apic, 0x40);
    EXPECT_EQ(r.n_msis, 1);
    ioapic_eoi(&r.apic, 0x41);
    EXPECT_EQ(r.n_msis, 2);
    irq_lower(&r.pin[9]);
    mmio_write(&r.t.bus, BASE + 0x40, 4, 0x41);
    EXPECT_EQ(r.n_msis, 2);
    EXPECT_EQ(get(&r, 0x22), 0x8041);
    rig_done(&r);
}

TEST(a_masked_level_sends_when_unmasked)
{
    struct rig r;

    rig_init(&r);
    set_entry(&r, 10, 0, 0x18042);
    irq_raise(&r.pin[10]);
    EXPECT_EQ(r.n_msis, 0);
    put(&r, 0x24, 0x8042);
    EXPECT_EQ(r.n_msis, 1);
    put(&r, 0x24, 0x18042);
    ioapic_eoi(&r.apic, 0x42);
    EXPECT_EQ(r.n_msis, 1);
    put(&r, 0x24, 0x8042);
    EXPECT_EQ(r.n_msis, 2);
    put(&r, 0x24, 0x10042); /* edge and back: remote IRR is forgotten */
    EXPECT_EQ(get(&r, 0x24), 0x10042);
    put(&r, 0x24, 0x8042);
    EXPECT_EQ(r.n_msis, 3);
    rig_done(&r);
}

TEST(modes_without_eoi_do_not_wait)
{
    struct rig r;

    rig_init(&r);
    set_entry(&r, 1, 0, 0x8400); /* NMI, "level" */
    irq_pulse(&r.pin[1]);
    irq_pulse(&r.pin[1]);
    EXPECT_EQ(r.n_msis, 2);
    EXPECT_EQ(r.data, 0x400);
    rig_done(&r);
}

TEST(saved_with_an_interrupt_in_service)
{
    struct rig a, b;

    rig_init(&a);
    rig_init(&b);
    set_entry(&a, 9, 1u << 24, 0x8041);
    irq_raise(&a.pin[9]);
    testbed_move(&a.t, &a.apic, &b.t, &b.apic, &ioapic_device);
    EXPECT_EQ(b.n_msis, 0);
    ioapic_eoi(&b.apic, 0x41);
    EXPECT_EQ(b.n_msis, 1);
    EXPECT_EQ(b.addr, 0xfee01000);
    ioapic_device.reset(&b.apic);
    EXPECT_EQ(get(&b, 0x22), 0x10000);
    rig_done(&a);
    rig_done(&b);
}
