/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i440fx.h - PCI host bridge of the 440FX and 440BX kind. */
#pragma once

#include "bus/pci.h"

#define I440FX_PAMS 7 /* registers 0x59 .. 0x5f */

struct i440fx {
    struct pci_dev pci;
    /* What 0xc0000 .. 0xfffff shows may have changed; 'pam' are the registers.  May be NULL. */
    void (*shadow_changed)(void *owner, const uint8_t pam[I440FX_PAMS]);
    void *owner;
};
extern const struct device_ops i440fx_device;

/* 'device' is PCI_DEVICE_82441FX or PCI_DEVICE_82443BX: their registers agree where we have any.
 * Fill in 'shadow_changed' afterwards, if at all. */
void i440fx_init(struct i440fx *h, struct pci_bus *bus, uint8_t devfn, uint16_t device);
