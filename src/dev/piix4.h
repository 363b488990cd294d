/* SPDX-License-Identifier: GPL-2.0-or-later */
/* piix4.h - PCI to ISA bridge: interrupt routing, reset register, the power management function. */
#pragma once

#include "bus/pci.h"
#include "dev/board.h"

/* How firmware would have left it; there may be none. */
struct piix4_config {
    uint8_t pirq[PCI_PIRQS]; /* ISA interrupt of each, 0: routed nowhere */
    uint16_t pm_base;        /* ports of the power management block, 0: not enabled */
};

struct piix4 {
    struct bus *bus;
    struct pci_dev isa, pm; /* functions 0 and 3 */
    struct isa_irqs *irqs;
    struct board board;
    /* The power management block decodes at 'base' from now on; 0: nowhere.  May be NULL. */
    void (*pm_moved)(void *owner, uint16_t base);
    void *pm_owner;
    uint8_t pirq_level;       /* bit n: PIRQ A + n asserted */
    uint8_t reset_control;    /* port 0xcf9 */
    uint16_t routed;          /* bit n: ISA interrupt n is asserted by us */
    struct io_range reset_io;
};
extern const struct device_ops piix4_device;

/* Becomes the interrupt router of 'bus'.  'slot': its PCI device number. */
void piix4_init(struct piix4 *p, struct pci_bus *bus, unsigned slot, struct isa_irqs *irqs,
                struct board board, const struct piix4_config *cfg,
                void (*pm_moved)(void *owner, uint16_t base), void *pm_owner);
void piix4_done(struct piix4 *p);
