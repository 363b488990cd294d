/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bus/pci.h"

#include "base/test.h"

struct card {
    struct pci_dev pci;
    unsigned moved, written;
};

static void on_written(struct pci_dev *d, unsigned off, unsigned size)
{
    container_of(d, struct card, pci)->written = off;
}

static void on_moved(struct pci_dev *d, unsigned n)
{
    container_of(d, struct card, pci)->moved++;
}

static const struct pci_ops card_ops = { on_written, on_moved };

static uint64_t reg_read(void *owner, uint64_t off, unsigned size)
{
    return 0x40 + off;
}

static void reg_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
}

static const struct io_ops reg_ops = { reg_read, reg_write, 1 | 4 };

static const struct state_field card_fields[] = {
    STATE_STRUCT(struct card, pci, pci_dev_state),
};
static const struct state_desc card_state = STATE_DESC("card", 1, card_fields);

static void card_reset(void *chip)
{
    pci_dev_reset(&((struct card *)chip)->pci);
}

static void card_restored(void *chip)
{
    pci_dev_restored(&((struct card *)chip)->pci);
}

static const struct device_ops card_device = { &card_state, card_reset, card_restored };

struct rig {
    struct clock clock;
    struct loop *loop;
    struct bus bus;
    struct pci_bus pci;
    struct card card;
    uint8_t pirq; /* level of each */
    struct device dev[2];
};

static void on_pirq(void *owner, unsigned n, bool level)
{
    struct rig *r = owner;

    r->pirq = (uint8_t)(level ? r->pirq | 1u << n : r->pirq & ~(1u << n));
}

static void rig_init(struct rig *r)
{
    *r = (struct rig){ 0 };
    clock_init_manual(&r->clock);
    r->loop = loop_new(&r->clock);
    bus_init(&r->bus, r->loop);
    pci_bus_init(&r->pci, &r->bus);
    pci_bus_set_router(&r->pci, (struct irq_line){ on_pirq, r, 0 });
    pci_dev_init(&r->card.pci, &card_ops, 0x1234, 0x5678, 0x0200, 3);
    pci_set_interrupt_pin(&r->card.pci, 1);
    pci_set_bar(&r->card.pci, 0, PCI_BAR_IO, 32, &reg_ops, r);
    pci_set_bar(&r->card.pci, 1, 0, 4096, &reg_ops, r);
    pci_set_bar(&r->card.pci, 2, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, 16 * MIB, NULL, NULL);
    pci_add(&r->pci, &r->card.pci, PCI_DEVFN(3, 0));
    r->dev[0] = (struct device){ "pci", &pci_bus_device, &r->pci };
    r->dev[1] = (struct device){ "card", &card_device, &r->card };
}

static void rig_done(struct rig *r)
{
    pci_bus_done(&r->pci);
    bus_done(&r->bus);
    loop_free(r->loop);
}

static void select_reg(struct rig *r, unsigned devfn, unsigned off)
{
    pio_write(&r->bus, PCI_CONFIG_ADDRESS, 4, PCI_CONFIG_ENABLE | devfn << 8 | (off & 0xfc));
}

static uint32_t cfg_read(struct rig *r, unsigned off, unsigned size)
{
    select_reg(r, PCI_DEVFN(3, 0), off);
    return pio_read(&r->bus, (uint16_t)(PCI_CONFIG_DATA + (off & 3)), size);
}

static void cfg_write(struct rig *r, unsigned off, unsigned size, uint32_t value)
{
    select_reg(r, PCI_DEVFN(3, 0), off);
    pio_write(&r->bus, (uint16_t)(PCI_CONFIG_DATA + (off & 3)), size, value);
}

TEST(mechanism_one)
{
    struct rig r;

    rig_init(&r);
    EXPECT_EQ(cfg_read(&r, 0, 4), 0x56781234);
    EXPECT_EQ(pio_read(&r.bus, PCI_CONFIG_ADDRESS, 4), 0x80001800);
    EXPECT_EQ(cfg_read(&r, PCI_SUBCLASS, 2), 0x0200);
    EXPECT_EQ(cfg_read(&r, PCI_REVISION, 1), 3);
    pio_write(&r.bus, PCI_CONFIG_ADDRESS, 4, PCI_CONFIG_ENABLE | 0x800);
    EXPECT_EQ(pio_read(&r.bus, PCI_CONFIG_DATA, 4), 0xffffffff);
    pio_write(&r.bus, PCI_CONFIG_ADDRESS, 4, PCI_CONFIG_ENABLE | 0x11800); /* bus 1 */
    EXPECT_EQ(pio_read(&r.bus, PCI_CONFIG_DATA, 4), 0xffffffff);
    pio_write(&r.bus, PCI_CONFIG_ADDRESS, 4, 0x1800); /* not enabled */
    EXPECT_EQ(pio_read(&r.bus, PCI_CONFIG_DATA, 4), 0xffffffff);
    /* Byte writes to 0xcf8 do not reach the address register (the reset register is there). */
    pio_write(&r.bus, 0xcfb, 1, 0x80);
    EXPECT_EQ(pio_read(&r.bus, PCI_CONFIG_ADDRESS, 4), 0x1800);
    rig_done(&r);
}

TEST(masks)
{
    struct rig r;

    rig_init(&r);
    cfg_write(&r, 0, 4, 0);
    EXPECT_EQ(cfg_read(&r, 0, 4), 0x56781234);
    cfg_write(&r, PCI_COMMAND, 2, 0xffff);
    EXPECT_EQ(cfg_read(&r, PCI_COMMAND, 2), 0x547);
    EXPECT_EQ(r.card.written, PCI_COMMAND);
    cfg_write(&r, PCI_INTERRUPT_LINE, 2, 0xffff);
    EXPECT_EQ(cfg_read(&r, PCI_INTERRUPT_LINE, 2), 0x01ff);
    r.card.pci.config[PCI_STATUS + 1] = 0x20;
    cfg_write(&r, PCI_STATUS, 2, 0xdfff);
    EXPECT_EQ(cfg_read(&r, PCI_STATUS, 2), 0x2000);
    cfg_write(&r, PCI_STATUS, 2, 0x2000);
    EXPECT_EQ(cfg_read(&r, PCI_STATUS, 2), 0);
    rig_done(&r);
}

TEST(bars_are_sized_and_move)
{
    struct rig r;

    rig_init(&r);
    cfg_write(&r, PCI_BAR(0), 4, 0xffffffff);
    EXPECT_EQ(cfg_read(&r, PCI_BAR(0), 4), 0xffffffe1);
    cfg_write(&r, PCI_BAR(2), 4, 0xffffffff);
    EXPECT_EQ(cfg_read(&r, PCI_BAR(2), 4), 0xff00000c);
    cfg_write(&r, PCI_BAR(3), 4, 0xffffffff);
    EXPECT_EQ(cfg_read(&r, PCI_BAR(3), 4), 0xffffffff);
    EXPECT_EQ(cfg_read(&r, PCI_BAR(4), 4), 0);

    cfg_write(&r, PCI_BAR(0), 4, 0xc010);
    cfg_write(&r, PCI_BAR(1), 4, 0xfebf0000);
    EXPECT_EQ(pio_read(&r.bus, 0xc000, 1), 0xff);
    cfg_write(&r, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    EXPECT_EQ(pio_read(&r.bus, 0xc001, 1), 0x41);
    EXPECT_EQ(mmio_read(&r.bus, 0xfebf0002, 1), 0x42);
    EXPECT_EQ(r.card.pci.bar[2].at, PCI_BAR_OFF); /* it stands on all ones */
    cfg_write(&r, PCI_BAR(2), 4, 0xd0000000);
    cfg_write(&r, PCI_BAR(3), 4, 4);
    EXPECT_EQ(r.card.pci.bar[2].at, 0x4d0000000);
    cfg_write(&r, PCI_BAR(0), 4, 0xd000);
    EXPECT_EQ(pio_read(&r.bus, 0xc001, 1), 0xff);
    EXPECT_EQ(pio_read(&r.bus, 0xd01f, 1), 0x5f);
    cfg_write(&r, PCI_COMMAND, 2, 0);
    EXPECT_EQ(pio_read(&r.bus, 0xd01f, 1), 0xff);
    EXPECT_EQ(r.card.pci.bar[2].at, PCI_BAR_OFF);
    rig_done(&r);
}

TEST(intx_reaches_the_pirq_of_the_slot)
{
    struct rig r;

    rig_init(&r);
    pci_intx(&r.card.pci, true);
    EXPECT_EQ(r.pirq, 1 << 3); /* slot 3, INTA */
    EXPECT_EQ(cfg_read(&r, PCI_STATUS, 2), PCI_STATUS_INTX);
    cfg_write(&r, PCI_COMMAND, 2, PCI_COMMAND_NO_INTX);
    EXPECT_EQ(r.pirq, 0);
    cfg_write(&r, PCI_COMMAND, 2, 0);
    EXPECT_EQ(r.pirq, 1 << 3);
    devices_reset(&r.bus, r.dev, ARRAY_LEN(r.dev));
    EXPECT_EQ(r.pirq, 0);
    rig_done(&r);
}

TEST(capabilities_are_linked)
{
    struct rig r;

    rig_init(&r);
    struct pci_dev d;
    pci_dev_init(&d, NULL, 1, 2, 0x0200, 0);
    EXPECT_EQ(pci_add_capability(&d, 1, 6), 0x40);
    EXPECT_EQ(pci_add_capability(&d, 5, 14), 0x48);
    EXPECT_EQ(d.config[PCI_CAP_POINTER], 0x48);
    EXPECT_EQ(d.config[0x49], 0x40);
    EXPECT_EQ(d.config[0x41], 0);
    EXPECT(d.config[PCI_STATUS] & PCI_STATUS_CAPS);
    rig_done(&r);
}

TEST(saved_and_restored)
{
    struct rig a, b;
    struct buf buf = { 0 };
    struct err err = { 0 };

    rig_init(&a);
    rig_init(&b);
    cfg_write(&a, PCI_BAR(0), 4, 0xc000);
    cfg_write(&a, PCI_COMMAND, 2, PCI_COMMAND_IO);
    pci_intx(&a.card.pci, true);
    a.card.pci.config[0] = 0x99; /* a file may say anything: identity stays ours */
    devices_save(&a.bus, a.dev, 2, &buf);
    struct bytes from = bytes_of(buf.p, buf.n);
    EXPECT_EQ(devices_load(&b.bus, b.dev, 2, &from, &err), 0);
    EXPECT_STR(err.text, "");
    EXPECT_EQ(pio_read(&b.bus, PCI_CONFIG_ADDRESS, 4), 0x80001804);
    EXPECT_EQ(cfg_read(&b, 0, 4), 0x56781234);
    EXPECT_EQ(pio_read(&b.bus, 0xc001, 1), 0x41);
    EXPECT_EQ(b.pci.pirq_level, 1 << 3);
    pci_intx(&b.card.pci, false);
    EXPECT_EQ(b.pirq, 0);
    buf_done(&buf);
    rig_done(&a);
    rig_done(&b);
}
