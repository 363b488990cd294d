/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mptable.c - the MultiProcessor table, for kernels that do not read ACPI.
 *
 * Spec:    Intel MultiProcessor Specification 1.4, chapter 4.
 * Called:  firmware.c.   Tests: firmware_test.c; real peer: Linux with acpi=off. */
#include "base/bytes.h"
#include "vm/firmware.h"
#include "vm/layout.h"

#define FLOATING 16u /* bytes; the configuration table follows */
#define HEADER   44u

#define BUS_PCI  0 /* first: its id is the PCI bus number */
#define BUS_ISA  1

enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IRQ, ENTRY_LOCAL };
enum { INT_VECTORED, INT_NMI, INT_SMI, INT_EXTINT };
#define LEVEL_HIGH 0x000d

struct mptable {
    uint8_t *p;
    size_t n, size;
    unsigned entries;
    bool failed;
};

static void add(struct mptable *t, const void *p, size_t n)
{
    if (t->failed || n > t->size - t->n) {
        t->failed = true;
        return;
    }
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->entries++;
}

static void add_cpus(struct mptable *t, unsigned n_vps)
{
    for (unsigned i = 0; i < n_vps; i++) {
        uint8_t e[20] = { ENTRY_CPU, (uint8_t)i, 0x14, i == 0 ? 3 : 1 };

        put_le32(e + 4, 0x0600);     /* family 6 */
        put_le32(e + 8, 0x00000201); /* FPU, APIC */
        add(t, e, sizeof e);
    }
}

static void add_irq(struct mptable *t, uint8_t kind, uint8_t type, uint16_t flags, uint8_t bus,
                    unsigned irq, uint8_t to, unsigned pin)
{
    uint8_t e[8] = { kind, type, 0, 0, bus, (uint8_t)irq, to, (uint8_t)pin };

    put_le16(e + 2, flags);
    add(t, e, sizeof e);
}

static void add_irqs(struct mptable *t)
{
    static const uint8_t pci[4] = PCI_IRQS;

    for (unsigned irq = 0; irq < 16; irq++) {
        bool is_pci = memchr(pci, (int)irq, sizeof pci);

        if (irq == 2 || is_pci)
            continue; /* the cascade has no pin of its own; pin 2 is the timer's */
        add_irq(t, ENTRY_IRQ, INT_VECTORED, irq == IRQ_SCI ? LEVEL_HIGH : 0, BUS_ISA, irq, 0,
                irq == IRQ_PIT ? IOAPIC_PIT : irq);
    }
    for (unsigned dev = 1; dev < 32; dev++) {
        for (unsigned pin = 0; pin < 4; pin++)
            add_irq(t, ENTRY_IRQ, INT_VECTORED, LEVEL_HIGH, BUS_PCI, dev << 2 | pin, 0,
                    pci[(dev + pin) % 4]);
    }
    add_irq(t, ENTRY_LOCAL, INT_EXTINT, 0, BUS_ISA, 0, 0, 0);
    add_irq(t, ENTRY_LOCAL, INT_NMI, 0, BUS_ISA, 0, 0xff, 1);
}

size_t mptable_build(const struct firmware_config *cfg, uint8_t *out, size_t size)
{
    if (size < FLOATING + HEADER)
        return 0;
    memset(out, 0, size);
    uint8_t *table = out + FLOATING, ioapic[8] = { ENTRY_IOAPIC, 0, 0x20, 1 };
    struct mptable t = { .p = table, .n = HEADER, .size = size - FLOATING };

    add_cpus(&t, cfg->n_vps);
    add(&t, (uint8_t[8]){ ENTRY_BUS, BUS_PCI, 'P', 'C', 'I', ' ', ' ', ' ' }, 8);
    add(&t, (uint8_t[8]){ ENTRY_BUS, BUS_ISA, 'I', 'S', 'A', ' ', ' ', ' ' }, 8);
    put_le32(ioapic + 4, LAYOUT_IOAPIC);
    add(&t, ioapic, sizeof ioapic);
    add_irqs(&t);
    if (t.failed)
        return 0;

    memcpy(table, "PCMP", 4);
    put_le16(table + 4, (uint16_t)t.n);
    table[6] = 4;
    memcpy(table + 8, "VERDIN  VIRTUAL     ", 20);
    put_le16(table + 34, (uint16_t)t.entries);
    put_le32(table + 36, LAYOUT_LAPIC);
    table[7] = firmware_checksum(table, t.n);

    memcpy(out, "_MP_", 4);
    put_le32(out + 4, (uint32_t)(LAYOUT_MPTABLE + FLOATING));
    out[8] = 1; /* in units of 16 bytes */
    out[9] = 4;
    out[10] = firmware_checksum(out, FLOATING);
    return FLOATING + t.n;
}
