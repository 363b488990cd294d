/* SPDX-License-Identifier: GPL-2.0-or-later */
/* piix4.c - PCI to ISA bridge 82371AB: function 0 with the interrupt router and the reset register
 * at 0xcf9, function 3 with the base of the power management block.
 *
 * Spec:   82371AB (PIIX4) 4.1 (0x60: PIRQRC), 4.1.14 (RC), 7.1 (0x40: PMBA, 0x80: PMREGMISC).
 * Models: routing of PIRQ A .. D to ISA interrupts; what firmware sets besides is remembered.
 * Not:    function 1 (IDE) is a chip of its own; USB, SMBus and DMA are not there.
 * Called: bus/pci.c, the reset port on VP threads. */
#include "dev/piix4.h"

#include "base/trace.h"

#define PIRQRC          0x60
#define PIRQRC_OFF      0x80
#define PIRQRC_WRITABLE 0x8f

#define PMBA        0x40
#define PMREGMISC   0x80
#define PMIOSE      0x01 /* its enable bit */
#define SMBBA       0x90

#define RESET_PORT    0xcf9
#define RESET_CPU     0x04 /* rising: reset */
#define RESET_KEPT    0x06

/* IRQ 0, 1, 2, 8 and 13 cannot be chosen. */
#define ROUTABLE 0xdef8u

/* ---- interrupt router ------------------------------------------------------------------------ */

static void drive(struct piix4 *p, unsigned irq)
{
    struct irq_line line = isa_irq(p->irqs, irq, ISA_PIRQ);

    irq_set(&line, p->routed >> irq & 1);
}

static void route(struct piix4 *p)
{
    uint16_t now = 0;

    for (unsigned n = 0; n < PCI_PIRQS; n++) {
        uint8_t r = p->isa.config[PIRQRC + n];
        if ((p->pirq_level >> n & 1) && !(r & PIRQRC_OFF) && (ROUTABLE >> (r & 15) & 1))
            now |= (uint16_t)(1u << (r & 15));
    }
    uint16_t changed = now ^ p->routed;
    p->routed = now;
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        if (changed >> i & 1)
            drive(p, i);
    }
}

static void pirq_set(void *owner, unsigned n, bool level)
{
    struct piix4 *p = owner;
    uint8_t bit = (uint8_t)(1u << n);

    p->pirq_level = level ? p->pirq_level | bit : p->pirq_level & (uint8_t)~bit;
    route(p);
}

static void isa_written(struct pci_dev *d, unsigned off, unsigned size)
{
    if (off < PIRQRC + PCI_PIRQS && off + size > PIRQRC)
        route(container_of(d, struct piix4, isa));
}

/* ---- power management function --------------------------------------------------------------- */

static void pm_update(struct piix4 *p)
{
    bool on = p->pm.config[PMREGMISC] & PMIOSE;

    if (p->pm_moved)
        p->pm_moved(p->pm_owner, on ? get_le16(p->pm.config + PMBA) & 0xffc0 : 0);
}

static void pm_written(struct pci_dev *d, unsigned off, unsigned size)
{
    bool base = off < PMBA + 4 && off + size > PMBA;

    if (base || (off <= PMREGMISC && off + size > PMREGMISC))
        pm_update(container_of(d, struct piix4, pm));
}

/* ---- reset register -------------------------------------------------------------------------- */

static uint64_t reset_read(void *owner, uint64_t off, unsigned size)
{
    const struct piix4 *p = owner;

    return p->reset_control;
}

static void reset_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct piix4 *p = owner;
    bool rises = (value & ~p->reset_control) & RESET_CPU;

    p->reset_control = value & RESET_KEPT;
    if (rises)
        p->board.ops->reset(p->board.owner, "reset register");
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct piix4 *p = chip;

    p->reset_control = 0;
    p->pirq_level &= (1u << PCI_PIRQS) - 1; /* a failed restore may have left anything */
    pci_dev_reset(&p->isa);
    pci_dev_reset(&p->pm);
    route(p);
    pm_update(p);
}

static void restored(void *chip)
{
    struct piix4 *p = chip;

    for (unsigned i = 0; i < ISA_IRQS; i++)
        drive(p, i);
    pci_dev_restored(&p->isa);
    pci_dev_restored(&p->pm);
    route(p);
    pm_update(p);
}

static bool check(void *chip)
{
    const struct piix4 *p = chip;

    return p->pirq_level < 1u << PCI_PIRQS && !(p->reset_control & ~RESET_KEPT) &&
           !(p->routed & ~ROUTABLE);
}

static const struct state_field fields[] = {
    STATE_STRUCT(struct piix4, isa, pci_dev_state),
    STATE_STRUCT(struct piix4, pm, pci_dev_state),
    STATE(struct piix4, pirq_level),
    STATE(struct piix4, reset_control),
    STATE(struct piix4, routed),
};
static const struct state_desc state = {
    .name = "piix4", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields), .check = check,
};
const struct device_ops piix4_device = { .state = &state, .reset = reset, .restored = restored };

static void init_isa(struct pci_dev *d, const struct piix4_config *cfg)
{
    static const struct pci_ops ops = { .config_written = isa_written };
    /* I/O recovery, X-bus select, SERIRQ, top of memory, DMA, GPIO, RTC: kept, without effect. */
    static const uint8_t kept[] = { 0x4c, 0x4e, 0x4f, 0x64, 0x69, 0x6a, 0x76, 0x77,
                                    0x82, 0xb0, 0xb1, 0xb2, 0xb3, 0xcb };

    pci_dev_init(d, &ops, PCI_VENDOR_INTEL, PCI_DEVICE_PIIX4_ISA, PCI_CLASS_BRIDGE_ISA, 1);
    d->config[PCI_HEADER_TYPE] = PCI_HEADER_MULTI;
    put_le16(d->config + PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM);
    put_le16(d->config + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    put_le16(d->writable + PCI_COMMAND, PCI_COMMAND_SERR);
    for (unsigned i = 0; i < sizeof kept; i++)
        d->writable[kept[i]] = 0xff;
    d->config[0x4c] = 0x4d;
    d->config[0x4e] = 0x03;
    d->config[0x69] = 0x02;
    d->config[0xcb] = 0x21;
    for (unsigned n = 0; n < PCI_PIRQS; n++) {
        d->config[PIRQRC + n] = cfg->pirq[n] ? cfg->pirq[n] & 15 : PIRQRC_OFF;
        d->writable[PIRQRC + n] = PIRQRC_WRITABLE;
    }
}

static void init_pm(struct pci_dev *d, const struct piix4_config *cfg)
{
    static const struct pci_ops ops = { .config_written = pm_written };

    pci_dev_init(d, &ops, PCI_VENDOR_INTEL, PCI_DEVICE_PIIX4_PM, PCI_CLASS_BRIDGE_OTHER,
                 3); /* older ones have a PM timer that must be read three times */
    put_le16(d->config + PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM);
    d->config[PMBA] = d->config[SMBBA] = PCI_BAR_IO;
    put_le16(d->config + PMBA, (uint16_t)(cfg->pm_base & 0xffc0) | PCI_BAR_IO);
    put_le16(d->writable + PMBA, 0xffc0);
    d->config[PMREGMISC] = cfg->pm_base ? PMIOSE : 0;
    d->writable[PMREGMISC] = PMIOSE;
    put_le16(d->writable + SMBBA, 0xfff0);
}

void piix4_init(struct piix4 *p, struct pci_bus *bus, unsigned slot, struct isa_irqs *irqs,
                struct board board, const struct piix4_config *cfg,
                void (*pm_moved)(void *owner, uint16_t base), void *pm_owner)
{
    static const struct io_ops reset_ops = { reset_read, reset_write, 1 };

    *p = (struct piix4){
        .bus = bus->bus, .irqs = irqs, .board = board, .pm_moved = pm_moved, .pm_owner = pm_owner,
        .reset_io = { .base = RESET_PORT, .len = 1, .ops = &reset_ops, .owner = p,
                      .rank = IO_INSET },
    };
    init_isa(&p->isa, cfg);
    init_pm(&p->pm, cfg);
    pci_add(bus, &p->isa, PCI_DEVFN(slot, 0));
    pci_add(bus, &p->pm, PCI_DEVFN(slot, 3));
    pci_bus_set_router(bus, (struct irq_line){ pirq_set, p, 0 });
    pio_add(bus->bus, &p->reset_io);
    pm_update(p);
}

void piix4_done(struct piix4 *p)
{
    pio_remove(p->bus, &p->reset_io);
    pci_remove(&p->isa);
    pci_remove(&p->pm);
}
