/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mainboard.c - a page of tables: which chips there are, where, and how they are wired. */
#include "vm/mainboard.h"

#include <assert.h>

#include "vm/layout.h"

/* ---- outgoing wires -------------------------------------------------------------------------- */

static void wire_reset(void *owner, const char *who)
{
    struct mainboard *b = owner;

    (void)who;
    b->cfg.ops->reset(b->cfg.owner);
}

static void wire_power_off(void *owner)
{
    struct mainboard *b = owner;

    b->cfg.ops->power_off(b->cfg.owner);
}

static void wire_exit(void *owner, unsigned code)
{
    struct mainboard *b = owner;

    b->cfg.ops->exit_code(b->cfg.owner, code);
}

static void wire_intr(void *owner, unsigned n, bool level)
{
    struct mainboard *b = owner;

    (void)n;
    b->cfg.ops->extint(b->cfg.owner, level);
}

static void wire_msi(void *owner, uint64_t addr, uint32_t data)
{
    struct mainboard *b = owner;

    b->cfg.ops->msi(b->cfg.owner, addr, data);
}

static uint64_t wall_ns(void *owner)
{
    (void)owner;
    return clock_wall_ns();
}

/* ---- serial ports: console_ops of the program <-> the chip's own ----------------------------- */

static void serial_put(void *owner, uint8_t byte)
{
    struct mainboard_uart *u = owner;

    u->ops->put(u->owner, byte);
}

static void serial_room(void *owner)
{
    struct mainboard_uart *u = owner;

    if (u->ops->room)
        u->ops->room(u->owner);
}

static const struct serial_port_ops serial_ops = { serial_put, serial_room };

size_t mainboard_serial_input(struct mainboard *b, unsigned uart, const void *bytes, size_t n)
{
    bus_lock(&b->bus);
    n = uart16550_receive(&b->uart[uart], bytes, n);
    bus_unlock(&b->bus);
    return n;
}

size_t mainboard_keyboard_input(struct mainboard *b, const uint8_t *set1, size_t n)
{
    bus_lock(&b->bus);
    n = i8042_type(&b->i8042, set1, n);
    bus_unlock(&b->bus);
    return n;
}

bool mainboard_screen(struct mainboard *b, struct vga_text *ret)
{
    if (!b->cfg.bios)
        return false;
    bus_lock(&b->bus);
    vga_read_text(&b->vga, ret);
    bus_unlock(&b->bus);
    return true;
}

/* ---- the board ------------------------------------------------------------------------------- */

void mainboard_add(struct mainboard *b, const char *instance, const struct device_ops *ops,
                   void *chip)
{
    assert(b->n_devices < MAINBOARD_DEVICES);
    b->device[b->n_devices++] = (struct device){ instance, ops, chip };
}

static void init_interrupts(struct mainboard *b)
{
    struct irq_line intr = { wire_intr, b, 0 };
    struct msi_sink sink = { wire_msi, b };
    static const uint8_t pci[PCI_PIRQS] = PCI_IRQS;
    uint16_t level = b->cfg.bios ? 0 : 1u << IRQ_SCI; /* ELCR as firmware would leave it */

    for (unsigned i = 0; i < PCI_PIRQS && !b->cfg.bios; i++)
        level |= (uint16_t)(1u << pci[i]);
    i8259_init(&b->pic, &b->bus, intr, level);
    ioapic_init(&b->ioapic, &b->bus, LAYOUT_IOAPIC, sink);
    isa_irqs_init(&b->isa, i8259_pins(&b->pic), ioapic_pins(&b->ioapic));
    mainboard_add(b, "i8259", &i8259_device, &b->pic);
    mainboard_add(b, "ioapic", &ioapic_device, &b->ioapic);
}

static void init_timers(struct mainboard *b)
{
    uint64_t low = MIN(b->cfg.memory, GMEM_HOLE_START);

    i8254_init(&b->pit, &b->bus, isa_irq(&b->isa, IRQ_PIT, ISA_CHIP));
    mc146818_init(&b->rtc, &b->bus, isa_irq(&b->isa, IRQ_RTC, ISA_CHIP), wall_ns, NULL);
    mc146818_set_memory(&b->rtc, low, b->cfg.memory - low);
    mainboard_add(b, "i8254", &i8254_device, &b->pit);
    mainboard_add(b, "mc146818", &mc146818_device, &b->rtc);
}

static void init_serial(struct mainboard *b)
{
    static const struct {
        const char *name;
        uint16_t port;
        unsigned irq;
    } rows[MACHINE_UARTS] = { { "com1", PORT_COM1, IRQ_COM1 }, { "com2", PORT_COM2, IRQ_COM2 } };

    for (unsigned i = 0; i < MACHINE_UARTS; i++) {
        uart16550_init(&b->uart[i], &b->bus, rows[i].port, isa_irq(&b->isa, rows[i].irq, ISA_CHIP),
                       b->cfg.uart[i].ops ? &serial_ops : NULL, &b->cfg.uart[i]);
        mainboard_add(b, rows[i].name, &uart16550_device, &b->uart[i]);
    }
}

static void pm_moved(void *owner, uint16_t base)
{
    struct mainboard *b = owner;

    acpi_pm_map(&b->pm, base);
}

/* Without firmware the bridge's registers hold from the start what firmware would write there. */
static void init_bridges(struct mainboard *b, struct board chips_board)
{
    static const struct piix4_config direct = { .pirq = PCI_IRQS, .pm_base = PORT_PM };
    static const struct piix4_config bios = { .pirq = { 0 } };

    pci_bus_init(&b->pci, &b->bus);
    acpi_pm_init(&b->pm, &b->bus, isa_irq(&b->isa, IRQ_SCI, ISA_SCI), chips_board, !b->cfg.bios);
    i440fx_init(&b->host_bridge, &b->pci, PCI_DEVFN(PCI_HOST_BRIDGE, 0), PCI_DEVICE_82441FX);
    piix4_init(&b->south_bridge, &b->pci, PCI_ISA_BRIDGE, &b->isa, chips_board,
               b->cfg.bios ? &bios : &direct, pm_moved, b);
    mainboard_add(b, "pci", &pci_bus_device, &b->pci);
    mainboard_add(b, "acpi_pm", &acpi_pm_device, &b->pm);
    mainboard_add(b, "i440fx", &i440fx_device, &b->host_bridge);
    mainboard_add(b, "piix4", &piix4_device, &b->south_bridge);
}

static const struct board_ops wires = {
    .reset = wire_reset,
    .power_off = wire_power_off,
    .exit = wire_exit,
};

void mainboard_init(struct mainboard *b, const struct mainboard_config *cfg)
{
    struct board chips_board = { &wires, b };

    b->cfg = *cfg;
    bus_init(&b->bus, cfg->loop);
    init_interrupts(b);
    init_timers(b);
    init_bridges(b, chips_board);
    i8042_init(&b->i8042, &b->bus, isa_irq(&b->isa, IRQ_KEYBOARD, ISA_CHIP),
               isa_irq(&b->isa, IRQ_MOUSE, ISA_CHIP), chips_board);
    mainboard_add(b, "i8042", &i8042_device, &b->i8042);
    port80_init(&b->port80, &b->bus);
    mainboard_add(b, "port80", &port80_device, &b->port80);
    port92_init(&b->port92, &b->bus, chips_board);
    mainboard_add(b, "port92", &port92_device, &b->port92);
    init_serial(b);
    if (cfg->test_devices) {
        testdev_init(&b->testdev, &b->bus, &b->isa, chips_board);
        mainboard_add(b, "testdev", &testdev_device, &b->testdev);
    }
    if (cfg->bios) {
        vga_init(&b->vga, &b->pci, PCI_DEVFN(PCI_VGA, 0));
        mainboard_add(b, "vga", &vga_device, &b->vga);
    }
    b->made = true;
}

void mainboard_done(struct mainboard *b)
{
    if (!b->made)
        return;
    if (b->cfg.bios)
        vga_done(&b->vga);
    if (b->cfg.test_devices)
        testdev_done(&b->testdev);
    for (unsigned i = 0; i < MACHINE_UARTS; i++)
        uart16550_done(&b->uart[i]);
    port92_done(&b->port92);
    port80_done(&b->port80);
    i8042_done(&b->i8042);
    piix4_done(&b->south_bridge);
    pci_remove(&b->host_bridge.pci);
    acpi_pm_done(&b->pm);
    pci_bus_done(&b->pci);
    mc146818_done(&b->rtc);
    i8254_done(&b->pit);
    ioapic_done(&b->ioapic);
    i8259_done(&b->pic);
    bus_done(&b->bus);
}

void mainboard_reset(struct mainboard *b)
{
    devices_reset(&b->bus, b->device, b->n_devices);
}

/* Wires have no state of their own: chips drive them anew after a restore. */
void mainboard_save(struct mainboard *b, struct buf *to)
{
    devices_save(&b->bus, b->device, b->n_devices, to);
}

int mainboard_load(struct mainboard *b, struct bytes *from, struct err *err)
{
    return devices_load(&b->bus, b->device, b->n_devices, from, err);
}

void mainboard_dump(struct mainboard *b, FILE *to)
{
    bus_lock(&b->bus);
    for (size_t i = 0; i < b->n_devices; i++)
        state_dump(to, b->device[i].instance, b->device[i].ops->state, b->device[i].chip);
    bus_unlock(&b->bus);
}

/* ---- what VPs and the user do to chips ------------------------------------------------------- */

void mainboard_eoi(struct mainboard *b, uint8_t vector)
{
    bus_lock(&b->bus);
    ioapic_eoi(&b->ioapic, vector);
    bus_unlock(&b->bus);
}

int mainboard_pic_ack(struct mainboard *b)
{
    bus_lock(&b->bus);
    int vector = i8259_ack(&b->pic);
    bus_unlock(&b->bus);
    return vector;
}

void mainboard_power_button(struct mainboard *b)
{
    bus_lock(&b->bus);
    acpi_pm_power_button(&b->pm);
    bus_unlock(&b->bus);
}
