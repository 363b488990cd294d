/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pci.h - PCI bus 0: configuration mechanism #1, functions, BARs, INTx lines.
 *
 * A function is a 'struct pci_dev' inside its chip.  Its configuration space is bytes with a mask
 * each of what the guest may write; ranges behind BARs move on the port and memory bus as the guest
 * writes BARs and the command register.  Everything runs under the bus lock. */
#pragma once

#include "bus/bus.h"
#include "spec/pci.h"

#define PCI_DEVS_MAX 32
#define PCI_PIRQS    4

struct pci_dev;

struct pci_bar {
    uint64_t size;          /* power of two; 0: no BAR */
    uint32_t flags;         /* PCI_BAR_IO, PCI_BAR_MEM64, PCI_BAR_PREFETCH */
    struct io_range range;  /* ops == NULL: the chip maps it itself in 'bar_moved' */
    uint64_t at;            /* where it decodes now; PCI_BAR_OFF: nowhere */
};
#define PCI_BAR_OFF UINT64_MAX

/* All may be NULL. */
struct pci_ops {
    /* The guest wrote [off, off + size) of the configuration space, and the masks were obeyed. */
    void (*config_written)(struct pci_dev *d, unsigned off, unsigned size);
    /* BAR n decodes at d->bar[n].at from now on (or PCI_BAR_OFF). */
    void (*bar_moved)(struct pci_dev *d, unsigned n);
};

struct pci_dev {
    const struct pci_ops *ops;
    struct pci_bus *bus;
    uint8_t devfn;
    uint8_t cap_end; /* first free byte for a capability */
    uint8_t intx;    /* the chip asks for its interrupt: 0 or 1 */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE];  /* mask */
    uint8_t w1c[PCI_CONFIG_SIZE];       /* mask: a written one clears */
    uint8_t at_reset[PCI_CONFIG_SIZE];  /* pci_add() remembers */
    struct pci_bar bar[PCI_BARS];
};
extern const struct state_desc pci_dev_state; /* nest it: STATE_STRUCT(struct chip, pci, ...) */

struct pci_bus {
    struct bus *bus;
    struct pci_dev *dev[256];    /* by devfn */
    uint32_t address;            /* the register at 0xcf8 */
    uint8_t pirq_level;          /* bit n: PIRQ A + n asserted */
    struct irq_line pirq;        /* to the router; n = 0 .. 3 is PIRQ A .. D */
    struct io_range address_io, data_io;
};
extern const struct device_ops pci_bus_device;

/* 'pirq' is the router's line for PIRQ A; it may be set later, before the machine runs. */
void pci_bus_init(struct pci_bus *p, struct bus *bus);
void pci_bus_done(struct pci_bus *p);
void pci_bus_set_router(struct pci_bus *p, struct irq_line pirq);

/* Fill in identity and the writable standard registers; then set up what is special; then add. */
void pci_dev_init(struct pci_dev *d, const struct pci_ops *ops, uint16_t vendor, uint16_t device,
                  uint16_t class_code, uint8_t revision);
void pci_set_interrupt_pin(struct pci_dev *d, unsigned pin); /* 1: INTA .. 4: INTD */

/* 'size' a power of two, at least 4 (I/O), 16 (memory).  'ops' may be NULL, see struct pci_bar.
 * A 64-bit BAR takes n and n + 1. */
void pci_set_bar(struct pci_dev *d, unsigned n, uint32_t flags, uint64_t size,
                 const struct io_ops *ops, void *owner);

/* Room for a capability of 'size' bytes, linked in, id filled in.  Returns its offset. */
unsigned pci_add_capability(struct pci_dev *d, uint8_t id, uint8_t size);

void pci_add(struct pci_bus *p, struct pci_dev *d, uint8_t devfn);
void pci_remove(struct pci_dev *d);
void pci_dev_reset(struct pci_dev *d);
void pci_dev_restored(struct pci_dev *d); /* from the chip's 'restored' */

/* The chip's interrupt request; the level at the router follows. */
void pci_intx(struct pci_dev *d, bool level);

/* Which PIRQ (0 .. 3) the pin (1 .. 4) of a slot is wired to: the routing that the ACPI and MP
 * tables tell. */
static inline unsigned pci_pirq_of(unsigned slot, unsigned pin)
{
    return (slot + pin - 1) & (PCI_PIRQS - 1);
}

/* May the function read and write memory? */
static inline bool pci_is_master(const struct pci_dev *d)
{
    return d->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

/* The guest's access, also for firmware-like set-up by the machine: 'size' 1, 2 or 4, aligned. */
uint32_t pci_config_read(struct pci_bus *p, uint8_t devfn, unsigned off, unsigned size);
void pci_config_write(struct pci_bus *p, uint8_t devfn, unsigned off, unsigned size,
                      uint32_t value);
