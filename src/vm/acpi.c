/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi.c - the ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, MADT, DSDT.
 *
 * Spec:    ACPI 4.0 (tables), 6.4 (AML encoding); names and shape as Hyper-V's generation 1: the
 *          VMBus device under a module device whose windows are VMBus's MMIO space.
 * Models:  always in ACPI mode (no SMI command), fixed power button, S5, reset register.
 *          Not: other sleep states, HPET, link devices (PCI lines are hard-wired).
 * Called:  firmware.c.   Tests: firmware_test.c, tests/acpi (iasl); real peers: Linux kernels. */
#include "vm/acpi_aml.h"
#include "vm/firmware.h"
#include "vm/layout.h"

#define HEADER_SIZE 36
#define FADT_SIZE   244
#define FACS_SIZE   64

/* FADT flags */
#define FADT_WBINVD      (1u << 0)
#define FADT_PROC_C1     (1u << 2)
#define FADT_SLP_BUTTON  (1u << 5) /* there is none */
#define FADT_RTC_S4      (1u << 6) /* RTC wake is not in the fixed registers */
#define FADT_RESET_REG   (1u << 10)
/* FADT IA-PC boot architecture */
#define BOOT_LEGACY      (1u << 0)
#define BOOT_8042        (1u << 1)
#define BOOT_NO_VGA      (1u << 2)

/* MADT */
#define MADT_PCAT        1 /* there is a pair of 8259s, too */
#define MADT_LAPIC       0
#define MADT_IOAPIC      1
#define MADT_OVERRIDE    2
#define MADT_LAPIC_NMI   4
#define INTI_LEVEL_HIGH  0x000d

/* Where tables go: one behind the other, each on 16 bytes. */
struct tables {
    uint8_t *p;
    size_t n, size;
};

static uint8_t *take(struct tables *t, size_t n, size_t align)
{
    size_t at = ALIGN_UP(t->n, align);

    if (!range_ok(at, n, t->size))
        return NULL;
    t->n = at + n;
    return t->p + at;
}

static uint32_t address_of(const struct tables *t, const uint8_t *p)
{
    return (uint32_t)(LAYOUT_ACPI + (uint64_t)(p - t->p));
}

static void finish(uint8_t *table, const char *signature, uint8_t revision, size_t n)
{
    memcpy(table, signature, 4);
    put_le32(table + 4, (uint32_t)n);
    table[8] = revision;
    table[9] = 0;
    memcpy(table + 10, "VRTUALMICROSFT", 14);
    put_le32(table + 24, 1);
    memcpy(table + 28, "VRDN", 4);
    put_le32(table + 32, 1);
    table[9] = firmware_checksum(table, n);
}

/* ---- DSDT ------------------------------------------------------------------------------------ */

/* A device on the ISA bus with one or two runs of ports and perhaps an interrupt. */
struct isa_device {
    char name[5], hid[8];
    uint8_t uid;
    uint8_t n0, n1; /* ports in the runs; 0: no such run */
    int8_t irq;     /* -1: none */
    uint16_t port0, port1;
};

static const struct isa_device isa_devices[] = {
    { "PIC", "PNP0000", 0, 2, 2, -1, PORT_PIC_MASTER, PORT_PIC_SLAVE },
    { "TIMR", "PNP0100", 0, 4, 0, IRQ_PIT, PORT_PIT, 0 },
    { "RTC", "PNP0B00", 0, 2, 0, IRQ_RTC, PORT_RTC, 0 },
    { "SPKR", "PNP0800", 0, 1, 0, -1, PORT_SYSTEM_B, 0 },
    { "PS2K", "PNP0303", 0, 1, 1, IRQ_KEYBOARD, PORT_I8042_DATA, PORT_I8042_CMD },
    { "COM1", "PNP0501", 1, 8, 0, IRQ_COM1, PORT_COM1, 0 },
    { "COM2", "PNP0501", 2, 8, 0, IRQ_COM2, PORT_COM2, 0 },
    { "MBRD", "PNP0C02", 0, 64, 2, -1, PORT_PM, PORT_ELCR }, /* ports that nobody else may have */
    { "SYSA", "PNP0C02", 1, 1, 2, -1, PORT_SYSTEM_A, 0xb0 }, /* 0xb1: hypercalls */
};

static void isa_device(struct aml *a, const struct isa_device *d)
{
    aml_device_begin(a, d->name);
    aml_name_eisa(a, "_HID", d->hid);
    aml_name_int(a, "_UID", d->uid);
    aml_name_template_begin(a, "_CRS");
    if (d->n0)
        aml_io(a, d->port0, d->n0);
    if (d->n1)
        aml_io(a, d->port1, d->n1);
    if (d->irq >= 0)
        aml_irq(a, (unsigned)d->irq);
    aml_end(a);
    aml_end(a);
}

/* Each device's four pins, in PIC and in APIC mode the same. */
static void pci_routes(struct aml *a)
{
    static const uint8_t irqs[4] = PCI_IRQS;

    aml_name_package_begin(a, "_PRT");
    for (unsigned dev = 0; dev < 32; dev++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            aml_package_begin(a);
            aml_int(a, dev << 16 | 0xffff);
            aml_int(a, pin);
            aml_int(a, 0); /* no link device: a global interrupt number follows */
            aml_int(a, irqs[(dev + pin) % 4]);
            aml_end(a);
        }
    }
    aml_end(a);
}

static void pci_root(struct aml *a)
{
    aml_device_begin(a, "PCI0");
    aml_name_eisa(a, "_HID", "PNP0A03");
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_BBN", 0);
    aml_name_template_begin(a, "_CRS");
    aml_window_bus(a, 0, 0);
    aml_io(a, PORT_PCI_ADDR, 8);
    aml_window_io(a, 0, PORT_PCI_ADDR - 1);
    aml_window_io(a, PORT_PCI_ADDR + 8, 0xffff);
    aml_window_memory32(a, LAYOUT_VGA, LAYOUT_VGA + LAYOUT_VGA_SIZE - 1);
    aml_window_memory32(a, LAYOUT_PCI_MMIO, LAYOUT_PCI_MMIO + LAYOUT_PCI_MMIO_SIZE - 1);
    aml_end(a);
    pci_routes(a);
    aml_device_begin(a, "ISA");
    aml_name_int(a, "_ADR", PCI_ISA_BRIDGE << 16);
    for (unsigned i = 0; i < ARRAY_LEN(isa_devices); i++)
        isa_device(a, &isa_devices[i]);
    aml_end(a);
    aml_end(a);
}

/* Linux takes VMBus's MMIO space from the first ancestor with memory windows. */
static void vmbus(struct aml *a, const struct firmware_config *cfg)
{
    uint64_t ram_end = cfg->memory > GMEM_HOLE_START
                           ? cfg->memory + GMEM_HOLE_END - GMEM_HOLE_START
                           : GMEM_HOLE_END;
    uint64_t high = ALIGN_UP(ram_end, GIB);

    aml_device_begin(a, "VMOD");
    aml_name_string(a, "_HID", "ACPI0004");
    aml_name_int(a, "_UID", 0);
    aml_name_template_begin(a, "_CRS");
    aml_window_memory32(a, LAYOUT_VMBUS_MMIO, LAYOUT_VMBUS_MMIO + LAYOUT_VMBUS_MMIO_SIZE - 1);
    aml_window_memory64(a, high, high + LAYOUT_VMBUS_HIGH_SIZE - 1);
    aml_end(a);
    aml_device_begin(a, "VMBS");
    aml_name_string(a, "_HID", "MSFT1000");
    aml_name_string(a, "_CID", "VMBus"); /* by this one Linux binds */
    aml_name_string(a, "_DDN", "VMBUS");
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_STA", 0xf);
    aml_name_template_begin(a, "_CRS"); /* empty, but it must be there */
    aml_end(a);
    aml_end(a);
    aml_end(a);
}

static void processors(struct aml *a, unsigned n_vps)
{
    for (unsigned i = 0; i < n_vps; i++) {
        char name[5];

        snprintf(name, sizeof name, "CP%02X", i & 0xff);
        aml_device_begin(a, name);
        aml_name_string(a, "_HID", "ACPI0007");
        aml_name_int(a, "_UID", i);
        aml_end(a);
    }
}

/* NULL: 't' has not enough room. */
static uint8_t *build_dsdt(struct tables *t, const struct firmware_config *cfg)
{
    uint8_t *table = take(t, HEADER_SIZE, 16);
    struct aml a;

    if (!table)
        return NULL;
    aml_init(&a, t->p + t->n, t->size - t->n);
    aml_name_package_begin(&a, "\\_S5_");
    for (unsigned i = 0; i < 4; i++)
        aml_int(&a, i < 2 ? SLP_TYP_S5 : 0);
    aml_end(&a);
    aml_scope_begin(&a, "\\_SB_");
    processors(&a, cfg->n_vps);
    pci_root(&a);
    vmbus(&a, cfg);
    aml_end(&a);
    if (a.failed || a.depth)
        return NULL;
    t->n += a.n;
    finish(table, "DSDT", 2, HEADER_SIZE + a.n); /* 2: integers have 64 bits */
    return table;
}

/* ---- fixed tables ---------------------------------------------------------------------------- */

static uint8_t *build_madt(struct tables *t, const struct firmware_config *cfg)
{
    static const uint8_t pci[4] = PCI_IRQS;
    size_t n = HEADER_SIZE + 8 + cfg->n_vps * 8u + 12 + (2 + ARRAY_LEN(pci)) * 10 + 6;
    uint8_t *table = take(t, n, 16);

    if (!table)
        return NULL;
    uint8_t *p = table + HEADER_SIZE;
    put_le32(p, LAYOUT_LAPIC);
    put_le32(p + 4, MADT_PCAT);
    p += 8;
    for (unsigned i = 0; i < cfg->n_vps; i++, p += 8) {
        memcpy(p, (uint8_t[]){ MADT_LAPIC, 8, (uint8_t)i, (uint8_t)i }, 4);
        put_le32(p + 4, 1); /* enabled */
    }
    memcpy(p, (uint8_t[]){ MADT_IOAPIC, 12, 0, 0 }, 4);
    put_le32(p + 4, LAYOUT_IOAPIC);
    put_le32(p + 8, 0);
    p += 12;
    memcpy(p, (uint8_t[]){ MADT_OVERRIDE, 10, 0, IRQ_PIT, IOAPIC_PIT }, 5);
    p += 10;
    for (unsigned i = 0; i <= ARRAY_LEN(pci); i++, p += 10) {
        uint8_t irq = i < ARRAY_LEN(pci) ? pci[i] : IRQ_SCI;

        memcpy(p, (uint8_t[]){ MADT_OVERRIDE, 10, 0, irq, irq }, 5);
        put_le16(p + 8, INTI_LEVEL_HIGH);
    }
    memcpy(p, (uint8_t[]){ MADT_LAPIC_NMI, 6, 0xff, 0, 0, 1 }, 6); /* all, LINT1 */
    finish(table, "APIC", 1, n);
    return table;
}

/* Generic address of an I/O port block. */
static void put_gas(uint8_t *p, uint16_t port, uint8_t bytes)
{
    p[0] = 1; /* system I/O */
    p[1] = (uint8_t)(bytes * 8);
    p[2] = 0;
    p[3] = bytes == 1 ? 1 : bytes == 2 ? 2 : 3; /* access size */
    put_le64(p + 4, port);
}

static uint8_t *build_fadt(struct tables *t, const struct firmware_config *cfg, uint32_t facs,
                           uint32_t dsdt)
{
    uint8_t *p = take(t, FADT_SIZE, 16);

    if (!p)
        return NULL;
    put_le32(p + 36, facs);
    put_le32(p + 40, dsdt);
    put_le16(p + 46, IRQ_SCI);
    put_le32(p + 56, PORT_PM1_EVT);
    put_le32(p + 64, PORT_PM1_CNT);
    put_le32(p + 76, PORT_PM_TMR);
    put_le32(p + 80, PORT_GPE0);
    p[88] = 4; /* lengths: PM1 event, control, timer, GPE0 */
    p[89] = 2;
    p[91] = 4;
    p[92] = 4;
    put_le16(p + 96, 0xffff); /* no C2, no C3 */
    put_le16(p + 98, 0xffff);
    p[108] = 0x32; /* century in CMOS */
    put_le16(p + 109, (uint16_t)(BOOT_LEGACY | BOOT_8042 | (cfg->vga ? 0 : BOOT_NO_VGA)));
    put_le32(p + 112, FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_RTC_S4 | FADT_RESET_REG);
    put_gas(p + 116, PORT_RESET, 1);
    p[128] = RESET_VALUE;
    put_le64(p + 132, facs);
    put_le64(p + 140, dsdt);
    put_gas(p + 148, PORT_PM1_EVT, 4);
    put_gas(p + 172, PORT_PM1_CNT, 2);
    put_gas(p + 208, PORT_PM_TMR, 4);
    put_gas(p + 220, PORT_GPE0, 4);
    finish(p, "FACP", 4, FADT_SIZE);
    return p;
}

static uint8_t *build_facs(struct tables *t)
{
    uint8_t *p = take(t, FACS_SIZE, 64);

    if (!p)
        return NULL;
    memcpy(p, "FACS", 4);
    put_le32(p + 4, FACS_SIZE);
    p[32] = 1; /* version */
    return p;
}

/* RSDT and XSDT lie first, at known places: the RSDP needs them. */
#define ROOTS     2u /* FADT, MADT */
#define RSDT_SIZE (HEADER_SIZE + ROOTS * 4)
#define XSDT_AT   ALIGN_UP(RSDT_SIZE, 16u)
#define XSDT_SIZE (HEADER_SIZE + ROOTS * 8)

size_t acpi_build(const struct firmware_config *cfg, uint8_t *out, size_t size)
{
    struct tables t = { out, 0, size };

    memset(out, 0, size);
    uint8_t *rsdt = take(&t, RSDT_SIZE, 16), *xsdt = take(&t, XSDT_SIZE, 16);
    uint8_t *facs = build_facs(&t), *dsdt = build_dsdt(&t, cfg), *madt = build_madt(&t, cfg);
    if (!rsdt || !xsdt || !facs || !dsdt || !madt)
        return 0;
    uint8_t *fadt = build_fadt(&t, cfg, address_of(&t, facs), address_of(&t, dsdt));
    if (!fadt)
        return 0;
    const uint8_t *root[ROOTS] = { fadt, madt };
    for (unsigned i = 0; i < ROOTS; i++) {
        put_le32(rsdt + HEADER_SIZE + i * 4, address_of(&t, root[i]));
        put_le64(xsdt + HEADER_SIZE + i * 8, address_of(&t, root[i]));
    }
    finish(rsdt, "RSDT", 1, RSDT_SIZE);
    finish(xsdt, "XSDT", 1, XSDT_SIZE);
    return t.n;
}

void acpi_build_rsdp(uint8_t out[36])
{
    memset(out, 0, 36);
    memcpy(out, "RSD PTR ", 8);
    memcpy(out + 9, "VRTUAL", 6);
    out[15] = 2;
    put_le32(out + 16, (uint32_t)LAYOUT_ACPI);
    put_le32(out + 20, 36);
    put_le64(out + 24, LAYOUT_ACPI + XSDT_AT);
    out[8] = firmware_checksum(out, 20);
    out[32] = firmware_checksum(out, 36);
}
