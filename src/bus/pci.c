/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pci.c - see pci.h.
 *
 * Spec: PCI Local Bus 2.3, 3.2.2.3.2 (mechanism #1), 6 (configuration space), 6.2.5 (BARs).
 * Not:  other buses, bridges, expansion ROMs, type 1 cycles. */
#include "bus/pci.h"

#include <assert.h>

#include "base/trace.h"

/* ---- BARs ------------------------------------------------------------------------------------ */

static uint64_t bar_address(const struct pci_dev *d, unsigned n)
{
    const struct pci_bar *bar = &d->bar[n];
    unsigned command = get_le16(d->config + PCI_COMMAND);
    uint64_t at = get_le32(d->config + PCI_BAR(n));

    if (bar->flags & PCI_BAR_IO) {
        at = ALIGN_DOWN(at, bar->size);
        if (!(command & PCI_COMMAND_IO) || !at || !range_ok(at, bar->size, PIO_PORTS))
            return PCI_BAR_OFF;
        return at;
    }
    uint64_t limit = UINT64_C(1) << 32;
    if (bar->flags & PCI_BAR_MEM64) {
        at |= (uint64_t)get_le32(d->config + PCI_BAR(n + 1)) << 32;
        limit = UINT64_C(1) << 52;
    }
    at = ALIGN_DOWN(at, bar->size);
    /* While it is sized, a BAR reads all ones: never let that decode at the top of the space. */
    if (!(command & PCI_COMMAND_MEMORY) || !at || !range_ok(at, bar->size, limit) ||
        at + bar->size == limit)
        return PCI_BAR_OFF;
    return at;
}

static void bar_map(struct pci_dev *d, unsigned n, uint64_t at)
{
    struct pci_bar *bar = &d->bar[n];
    struct bus *b = d->bus->bus;
    bool io = bar->flags & PCI_BAR_IO;

    if (bar->at == at)
        return;
    TRACE("bus", "pci_bar", "%02x.%x bar %u at %#llx", PCI_SLOT(d->devfn), PCI_FN(d->devfn), n,
          (unsigned long long)at);
    if (bar->range.on)
        (io ? pio_remove : mmio_remove)(b, &bar->range);
    bar->at = at;
    if (bar->range.ops && at != PCI_BAR_OFF) {
        bar->range.base = at;
        (io ? pio_add : mmio_add)(b, &bar->range);
    }
    if (d->ops && d->ops->bar_moved)
        d->ops->bar_moved(d, n);
}

static void bars_update(struct pci_dev *d)
{
    for (unsigned n = 0; n < PCI_BARS; n++)
        if (d->bar[n].size)
            bar_map(d, n, bar_address(d, n));
}

/* ---- INTx ------------------------------------------------------------------------------------ */

static bool intx_out(const struct pci_dev *d)
{
    return d->intx && !(get_le16(d->config + PCI_COMMAND) & PCI_COMMAND_NO_INTX);
}

static void pirqs_update(struct pci_bus *p)
{
    uint8_t level = 0;

    for (unsigned i = 0; i < ARRAY_LEN(p->dev); i++) {
        const struct pci_dev *d = p->dev[i];
        if (d && d->config[PCI_INTERRUPT_PIN] && intx_out(d))
            level |= (uint8_t)(1u << pci_pirq_of(PCI_SLOT(i), d->config[PCI_INTERRUPT_PIN]));
    }
    uint8_t changed = level ^ p->pirq_level;
    p->pirq_level = level;
    for (unsigned n = 0; n < PCI_PIRQS; n++)
        if (changed >> n & 1 && p->pirq.set)
            p->pirq.set(p->pirq.owner, n, level >> n & 1);
}

void pci_intx(struct pci_dev *d, bool level)
{
    if (d->intx == level)
        return;
    d->intx = level;
    if (level)
        d->config[PCI_STATUS] |= PCI_STATUS_INTX;
    else
        d->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTX;
    if (d->bus)
        pirqs_update(d->bus);
}

/* ---- configuration space --------------------------------------------------------------------- */

uint32_t pci_config_read(struct pci_bus *p, uint8_t devfn, unsigned off, unsigned size)
{
    const struct pci_dev *d = p->dev[devfn];
    uint32_t v = 0;

    if (!d || !range_ok(off, size, PCI_CONFIG_SIZE))
        return (uint32_t)io_ones(size);
    memcpy(&v, d->config + off, MIN(size, 4));
    return v;
}

static bool overlaps(unsigned off, unsigned size, unsigned at, unsigned len)
{
    return off < at + len && at < off + size;
}

void pci_config_write(struct pci_bus *p, uint8_t devfn, unsigned off, unsigned size,
                      uint32_t value)
{
    struct pci_dev *d = p->dev[devfn];

    if (!d || size > 4 || !range_ok(off, size, PCI_CONFIG_SIZE))
        return;
    for (unsigned i = off; i < off + size; i++, value >>= 8) {
        uint8_t byte = (uint8_t)value, mask = d->writable[i];
        d->config[i] = (uint8_t)((d->config[i] & ~mask) | (byte & mask));
        d->config[i] &= (uint8_t)~(byte & d->w1c[i]);
    }
    if (overlaps(off, size, PCI_COMMAND, 2) || overlaps(off, size, PCI_BAR(0), 4 * PCI_BARS))
        bars_update(d);
    if (overlaps(off, size, PCI_COMMAND, 2))
        pirqs_update(p);
    if (d->ops && d->ops->config_written)
        d->ops->config_written(d, off, size);
}

/* ---- mechanism #1 ---------------------------------------------------------------------------- */

static uint64_t address_read(void *owner, uint64_t off, unsigned size)
{
    const struct pci_bus *p = owner;

    return p->address;
}

static void address_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_bus *p = owner;

    p->address = (uint32_t)value & 0x80fffffc;
}

static bool selected(const struct pci_bus *p, uint8_t *ret_devfn, unsigned *ret_off)
{
    if (!(p->address & PCI_CONFIG_ENABLE) || p->address >> 16 & 0xff)
        return false;
    *ret_devfn = (uint8_t)(p->address >> 8);
    *ret_off = p->address & 0xfc;
    return true;
}

static uint64_t data_read(void *owner, uint64_t off, unsigned size)
{
    struct pci_bus *p = owner;
    uint8_t devfn;
    unsigned reg;

    if (!selected(p, &devfn, &reg))
        return UINT64_MAX;
    return pci_config_read(p, devfn, reg + (unsigned)off, size);
}

static void data_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct pci_bus *p = owner;
    uint8_t devfn;
    unsigned reg;

    if (!selected(p, &devfn, &reg))
        return;
    TRACE("bus", "pci_write", "%02x.%x+%02x size %u value %#x", PCI_SLOT(devfn), PCI_FN(devfn),
          reg + (unsigned)off, size, (unsigned)value);
    pci_config_write(p, devfn, reg + (unsigned)off, size, (uint32_t)value);
}

/* Bytes inside 0xcf8 are other chips' (0xcf9: reset). */
static const struct io_ops address_ops = { address_read, address_write, 4 };
static const struct io_ops data_ops = { data_read, data_write, 1 | 2 | 4 };

/* ---- the bus --------------------------------------------------------------------------------- */

void pci_bus_init(struct pci_bus *p, struct bus *bus)
{
    *p = (struct pci_bus){
        .bus = bus,
        .address_io = { .base = PCI_CONFIG_ADDRESS, .len = 4, .ops = &address_ops, .owner = p },
        .data_io = { .base = PCI_CONFIG_DATA, .len = 4, .ops = &data_ops, .owner = p },
    };
    pio_add(bus, &p->address_io);
    pio_add(bus, &p->data_io);
}

void pci_bus_done(struct pci_bus *p)
{
    for (unsigned i = 0; i < ARRAY_LEN(p->dev); i++)
        if (p->dev[i])
            pci_remove(p->dev[i]);
    pio_remove(p->bus, &p->address_io);
    pio_remove(p->bus, &p->data_io);
}

void pci_bus_set_router(struct pci_bus *p, struct irq_line pirq)
{
    p->pirq = pirq;
}

static void bus_reset(void *chip)
{
    struct pci_bus *p = chip;

    p->address = 0;
    p->pirq_level &= (1u << PCI_PIRQS) - 1;
}

static bool bus_check(void *chip)
{
    struct pci_bus *p = chip;

    return !(p->address & ~0x80fffffc) && p->pirq_level < 1u << PCI_PIRQS;
}

static const struct state_field bus_fields[] = {
    STATE(struct pci_bus, address),
    STATE(struct pci_bus, pirq_level),
};
static const struct state_desc bus_state = {
    .name = "pci-bus", .version = 1, .fields = bus_fields, .n_fields = ARRAY_LEN(bus_fields),
    .check = bus_check,
};
const struct device_ops pci_bus_device = { .state = &bus_state, .reset = bus_reset };

/* ---- functions ------------------------------------------------------------------------------- */

void pci_dev_init(struct pci_dev *d, const struct pci_ops *ops, uint16_t vendor, uint16_t device,
                  uint16_t class_code, uint8_t revision)
{
    *d = (struct pci_dev){ .ops = ops, .cap_end = PCI_HEADER_END };
    for (unsigned n = 0; n < PCI_BARS; n++)
        d->bar[n].at = PCI_BAR_OFF;
    put_le16(d->config + PCI_VENDOR_ID, vendor);
    put_le16(d->config + PCI_DEVICE_ID, device);
    put_le16(d->config + PCI_SUBCLASS, class_code);
    d->config[PCI_REVISION] = revision;
    put_le16(d->writable + PCI_COMMAND,
             PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                 PCI_COMMAND_SERR | PCI_COMMAND_NO_INTX);
    put_le16(d->w1c + PCI_STATUS, PCI_STATUS_W1C);
    d->writable[PCI_CACHE_LINE] = 0xff;
    d->writable[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_set_interrupt_pin(struct pci_dev *d, unsigned pin)
{
    assert(pin <= PCI_PIRQS);
    d->config[PCI_INTERRUPT_PIN] = (uint8_t)pin;
}

void pci_set_bar(struct pci_dev *d, unsigned n, uint32_t flags, uint64_t size,
                 const struct io_ops *ops, void *owner)
{
    bool wide = flags & PCI_BAR_MEM64;
    uint64_t mask = ~(size - 1);

    assert(n + wide < PCI_BARS && is_pow2(size) && size >= (flags & PCI_BAR_IO ? 4 : 16));
    d->bar[n] = (struct pci_bar){
        .size = size, .flags = flags, .at = PCI_BAR_OFF,
        .range = { .len = size, .ops = ops, .owner = owner, .rank = IO_BAR },
    };
    put_le32(d->config + PCI_BAR(n), flags);
    put_le32(d->writable + PCI_BAR(n), (uint32_t)mask);
    if (wide) {
        put_le32(d->config + PCI_BAR(n + 1), 0);
        put_le32(d->writable + PCI_BAR(n + 1), (uint32_t)(mask >> 32));
    }
}

unsigned pci_add_capability(struct pci_dev *d, uint8_t id, uint8_t size)
{
    unsigned at = ALIGN_UP((unsigned)d->cap_end, 4u);

    assert(size >= 2 && range_ok(at, size, PCI_CONFIG_SIZE));
    d->config[at] = id;
    d->config[at + 1] = d->config[PCI_CAP_POINTER];
    d->config[PCI_CAP_POINTER] = (uint8_t)at;
    d->config[PCI_STATUS] |= PCI_STATUS_CAPS;
    d->cap_end = (uint8_t)MIN(at + size, 0xffu);
    return at;
}

void pci_add(struct pci_bus *p, struct pci_dev *d, uint8_t devfn)
{
    assert(!p->dev[devfn]);
    d->bus = p;
    d->devfn = devfn;
    p->dev[devfn] = d;
    memcpy(d->at_reset, d->config, sizeof d->at_reset);
}

void pci_remove(struct pci_dev *d)
{
    struct pci_bus *p = d->bus;

    if (!p)
        return;
    for (unsigned n = 0; n < PCI_BARS; n++)
        bar_map(d, n, PCI_BAR_OFF);
    p->dev[d->devfn] = NULL;
    pirqs_update(p);
    d->bus = NULL;
}

void pci_dev_reset(struct pci_dev *d)
{
    memcpy(d->config, d->at_reset, sizeof d->config);
    d->intx = 0;
    bars_update(d);
    pirqs_update(d->bus);
}

void pci_dev_restored(struct pci_dev *d)
{
    /* What the guest could not have written is ours, whatever the file says. */
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        uint8_t own = (uint8_t)~(d->writable[i] | d->w1c[i]);
        d->config[i] = (uint8_t)((d->config[i] & ~own) | (d->at_reset[i] & own));
    }
    d->intx = d->intx != 0;
    d->config[PCI_STATUS] |= d->intx ? PCI_STATUS_INTX : 0;
    bars_update(d);
    pirqs_update(d->bus);
}

static const struct state_field dev_fields[] = {
    STATE(struct pci_dev, config),
    STATE(struct pci_dev, intx),
};
const struct state_desc pci_dev_state = STATE_DESC("pci-dev", 1, dev_fields);
