/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bridges: piix4.c and i440fx.c on one bus. */
#include "dev/piix4.h"

#include "dev/i440fx.h"
#include "dev/testbed.h"

#define SLOT 7

struct rig {
    struct testbed t;
    struct test_line pic;
    struct isa_irqs irqs;
    struct pci_bus pci;
    struct i440fx host;
    struct piix4 piix4;
    struct pci_dev card; /* slot 3 */
    unsigned pm_base;
    uint8_t pam[I440FX_PAMS];
    struct device dev[4];
};

static void on_pm(void *owner, uint16_t base)
{
    ((struct rig *)owner)->pm_base = base;
}

static void on_shadow(void *owner, const uint8_t pam[I440FX_PAMS])
{
    memcpy(((struct rig *)owner)->pam, pam, I440FX_PAMS);
}

static void rig_init(struct rig *r)
{
    static const struct piix4_config cfg = { .pirq = { 11, 10, 5, 7 }, .pm_base = 0x400 };

    *r = (struct rig){ 0 };
    testbed_init(&r->t);
    isa_irqs_init(&r->irqs, test_line(&r->pic), (struct irq_line){ 0 });
    pci_bus_init(&r->pci, &r->t.bus);
    i440fx_init(&r->host, &r->pci, PCI_DEVFN(0, 0), PCI_DEVICE_82441FX);
    r->host.shadow_changed = on_shadow;
    r->host.owner = r;
    piix4_init(&r->piix4, &r->pci, SLOT, &r->irqs, testbed_board(&r->t), &cfg, on_pm, r);
    pci_dev_init(&r->card, NULL, 0x1234, 0x5678, 0x0200, 0);
    pci_set_interrupt_pin(&r->card, 1);
    pci_add(&r->pci, &r->card, PCI_DEVFN(3, 0));
    r->dev[0] = (struct device){ "isa-irqs", &isa_irqs_device, &r->irqs };
    r->dev[1] = (struct device){ "pci", &pci_bus_device, &r->pci };
    r->dev[2] = (struct device){ "host", &i440fx_device, &r->host };
    r->dev[3] = (struct device){ "piix4", &piix4_device, &r->piix4 };
}

static void rig_done(struct rig *r)
{
    piix4_done(&r->piix4);
    pci_bus_done(&r->pci);
    testbed_done(&r->t);
}

static uint32_t get(struct rig *r, unsigned devfn, unsigned off, unsigned size)
{
    pio_write(&r->t.bus, 0xcf8, 4, 0x80000000 | devfn << 8 | (off & 0xfc));
    return pio_read(&r->t.bus, (uint16_t)(0xcfc + (off & 3)), size);
}

static void put(struct rig *r, unsigned devfn, unsigned off, unsigned size, uint32_t v)
{
    pio_write(&r->t.bus, 0xcf8, 4, 0x80000000 | devfn << 8 | (off & 0xfc));
    pio_write(&r->t.bus, (uint16_t)(0xcfc + (off & 3)), size, v);
}

#define ISA PCI_DEVFN(SLOT, 0)
#define PM  PCI_DEVFN(SLOT, 3)

TEST(identities)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(get(&r, 0, 0, 4), 0x12378086);
    EXPECT_EQ(get(&r, 0, 8, 4) >> 8, 0x060000);
    EXPECT_EQ(get(&r, ISA, 0, 4), 0x71108086);
    EXPECT_EQ(get(&r, ISA, 0x0e, 1), 0x80);
    EXPECT_EQ(get(&r, PM, 0, 4), 0x71138086);
    EXPECT_EQ(get(&r, PM, 8, 4) >> 8, 0x068000);
    EXPECT_EQ(get(&r, PCI_DEVFN(SLOT, 1), 0, 4), 0xffffffff);
    rig_done(&r);
}

TEST(interrupts_are_routed)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(get(&r, ISA, 0x60, 4), 0x07050a0b);
    pci_intx(&r.card, true); /* slot 3, INTA: PIRQ D */
    EXPECT_EQ(r.pic.level, 1u << 7);
    put(&r, ISA, 0x63, 1, 10);
    EXPECT_EQ(r.pic.level, 1u << 10);
    put(&r, ISA, 0x63, 1, 8); /* not one that can be chosen */
    EXPECT_EQ(r.pic.level, 0);
    put(&r, ISA, 0x60, 4, 0x0c0c0c0c);
    EXPECT_EQ(r.pic.level, 1u << 12);
    put(&r, ISA, 0x63, 1, 0x8c);
    EXPECT_EQ(r.pic.level, 0);
    put(&r, ISA, 0x63, 1, 0x0c);
    pci_intx(&r.card, false);
    EXPECT_EQ(r.pic.level, 0);
    devices_reset(&r.t.bus, r.dev, ARRAY_LEN(r.dev));
    EXPECT_EQ(get(&r, ISA, 0x60, 4), 0x07050a0b);
    rig_done(&r);
}

TEST(reset_register)
{
    struct rig r;

    rig_init(&r);
    out8(&r.t, 0xcf9, 2);
    EXPECT_EQ(in8(&r.t, 0xcf9), 2);
    EXPECT_EQ(r.t.resets, 0);
    out8(&r.t, 0xcf9, 6);
    EXPECT_EQ(r.t.resets, 1);
    out8(&r.t, 0xcf9, 0x0e);
    EXPECT_EQ(r.t.resets, 1);
    EXPECT_EQ(get(&r, ISA, 0, 4), 0x71108086); /* 0xcf8 is still whole */
    rig_done(&r);
}

TEST(the_power_management_block_moves)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(r.pm_base, 0x400);
    EXPECT_EQ(get(&r, PM, 0x40, 4), 0x401);
    put(&r, PM, 0x40, 4, 0xffffb03f);
    EXPECT_EQ(get(&r, PM, 0x40, 4), 0xb001);
    EXPECT_EQ(r.pm_base, 0xb000);
    put(&r, PM, 0x80, 1, 0);
    EXPECT_EQ(r.pm_base, 0);
    devices_reset(&r.t.bus, r.dev, ARRAY_LEN(r.dev));
    EXPECT_EQ(r.pm_base, 0x400);
    rig_done(&r);
}

TEST(shadow_attributes)
{
    struct rig r;

    rig_init(&r);
    put(&r, 0, 0x58, 4, 0xffffffff);
    EXPECT_EQ(r.pam[0], 0x30);
    EXPECT_EQ(r.pam[1], 0x33);
    EXPECT_EQ(r.pam[3], 0);
    put(&r, 0, 0x5f, 1, 0x11);
    EXPECT_EQ(r.pam[6], 0x11);
    rig_done(&r);
}

TEST(saved_with_an_interrupt_asserted)
{
    struct rig a, b;
    struct buf buf = { 0 };
    struct err err = { 0 };

    rig_init(&a);
    rig_init(&b);
    put(&a, ISA, 0x63, 1, 12);
    put(&a, 0, 0x5a, 1, 0x33);
    put(&a, PM, 0x40, 4, 0xb001);
    pci_intx(&a.card, true);
    devices_save(&a.t.bus, a.dev, ARRAY_LEN(a.dev), &buf);
    state_save(&buf, "card", &pci_dev_state, &a.card);
    struct bytes from = bytes_of(buf.p, buf.n);
    b.card.intx = 1; /* devices load first, then all are told */
    EXPECT_EQ(devices_load(&b.t.bus, b.dev, ARRAY_LEN(b.dev), &from, &err), 0);
    EXPECT_STR(err.text, "");
    EXPECT_EQ(state_load(&from, "card", &pci_dev_state, &b.card, &err), 0);
    pci_dev_restored(&b.card);
    EXPECT_EQ(b.pm_base, 0xb000);
    EXPECT_EQ(b.pam[1], 0x33);
    EXPECT_EQ(b.irqs.asserted[12], 1 << ISA_PIRQ);
    EXPECT_EQ(b.pic.level, 0); /* who is behind the wires was saved on his own */
    pci_intx(&b.card, false);
    EXPECT_EQ(b.irqs.asserted[12], 0);
    buf_done(&buf);
    rig_done(&a);
    rig_done(&b);
}
