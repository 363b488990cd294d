/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mainboard.h - buses, chips, and the wires between them.
 *
 * Threads: as bus/bus.h says; the functions here take the bus lock themselves. */
#pragma once

#include "bus/bus.h"
#include "bus/pci.h"
#include "dev/acpi_pm.h"
#include "dev/i440fx.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "dev/mc146818.h"
#include "dev/piix4.h"
#include "dev/port80.h"
#include "dev/port92.h"
#include "dev/testdev.h"
#include "dev/uart16550.h"
#include "dev/vga.h"
#include "vm/machine.h"

/* Where the few outgoing wires end.  Any thread, bus lock held: quick, no call back. */
struct mainboard_ops {
    void (*power_off)(void *owner);
    void (*reset)(void *owner);
    void (*exit_code)(void *owner, unsigned code); /* the test device */
    void (*extint)(void *owner, bool level);       /* the PIC's INTR */
    void (*msi)(void *owner, uint64_t addr, uint32_t data);
};

struct mainboard_uart {
    const struct console_ops *ops; /* NULL: nothing is plugged in */
    void *owner;
};

struct mainboard_config {
    struct loop *loop;
    uint64_t memory;
    bool test_devices;
    bool bios; /* firmware sets the bridges up, and a display is there */
    struct mainboard_uart uart[MACHINE_UARTS];
    const struct mainboard_ops *ops;
    void *owner;
};

#define MAINBOARD_DEVICES 20

struct mainboard {
    struct mainboard_config cfg;
    bool made;
    struct bus bus;
    struct isa_irqs isa;
    struct pci_bus pci;
    struct i8259 pic;
    struct ioapic ioapic;
    struct i8254 pit;
    struct mc146818 rtc;
    struct acpi_pm pm;
    struct i8042 i8042;
    struct port80 port80;
    struct port92 port92;
    struct i440fx host_bridge;
    struct piix4 south_bridge;
    struct uart16550 uart[MACHINE_UARTS];
    struct testdev testdev;
    struct vga vga;
    struct device device[MAINBOARD_DEVICES]; /* in the order of saving; wires before chips */
    size_t n_devices;
};

void mainboard_init(struct mainboard *b, const struct mainboard_config *cfg);
void mainboard_done(struct mainboard *b); /* fine on one that was never made */
/* A chip that somebody else made is reset, saved and dumped with the rest. */
void mainboard_add(struct mainboard *b, const char *instance, const struct device_ops *ops,
                   void *chip);
void mainboard_reset(struct mainboard *b);
void mainboard_save(struct mainboard *b, struct buf *to);
int mainboard_load(struct mainboard *b, struct bytes *from, struct err *err);
void mainboard_dump(struct mainboard *b, FILE *to);

void mainboard_eoi(struct mainboard *b, uint8_t vector);
int mainboard_pic_ack(struct mainboard *b); /* vector, or negative */
void mainboard_power_button(struct mainboard *b);
size_t mainboard_serial_input(struct mainboard *b, unsigned uart, const void *bytes, size_t n);
size_t mainboard_keyboard_input(struct mainboard *b, const uint8_t *set1, size_t n);
bool mainboard_screen(struct mainboard *b, struct vga_text *ret); /* false: no display */
