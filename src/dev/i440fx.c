/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i440fx.c - PCI host bridge: identity, and registers that firmware writes.
 *
 * Spec:   Intel 82441FX data sheet, 3.2 (0x59: PAM, 0x72: SMRAM).
 * Models: shadow RAM attributes, told to the machine; the rest of what firmware sets is remembered.
 * Not:    DRAM rows and timing, SMRAM, AGP.
 * Called: bus/pci.c. */
#include "dev/i440fx.h"

#define PAM0  0x59
#define SMRAM 0x72

static void tell_shadow(struct i440fx *h)
{
    if (h->shadow_changed)
        h->shadow_changed(h->owner, h->pci.config + PAM0);
}

static void config_written(struct pci_dev *d, unsigned off, unsigned size)
{
    if (off < PAM0 + I440FX_PAMS && off + size > PAM0)
        tell_shadow(container_of(d, struct i440fx, pci));
}

static void reset(void *chip)
{
    struct i440fx *h = chip;

    pci_dev_reset(&h->pci);
    tell_shadow(h);
}

static void restored(void *chip)
{
    struct i440fx *h = chip;

    pci_dev_restored(&h->pci);
    tell_shadow(h);
}

static const struct state_field fields[] = { STATE_STRUCT(struct i440fx, pci, pci_dev_state) };
static const struct state_desc state = STATE_DESC("i440fx", 1, fields);
const struct device_ops i440fx_device = { .state = &state, .reset = reset, .restored = restored };

void i440fx_init(struct i440fx *h, struct pci_bus *bus, uint8_t devfn, uint16_t device)
{
    static const struct pci_ops ops = { .config_written = config_written };

    *h = (struct i440fx){ 0 };
    pci_dev_init(&h->pci, &ops, PCI_VENDOR_INTEL, device, PCI_CLASS_BRIDGE_HOST, 3);
    h->pci.config[SMRAM] = 0x02;
    h->pci.writable[SMRAM] = 0x78;
    h->pci.writable[PAM0] = 0x30;
    memset(h->pci.writable + PAM0 + 1, 0x33, I440FX_PAMS - 1);
    memset(h->pci.writable + 0x50, 0xff, PAM0 - 0x50); /* control, DRAM timing */
    memset(h->pci.writable + 0x60, 0xff, 8);           /* DRAM row boundaries */
    pci_add(bus, &h->pci, devfn);
}
