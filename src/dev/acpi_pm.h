/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_pm.h - power management block of the PIIX4: ACPI events, timer, power-off, GPEs. */
#pragma once

#include "bus/bus.h"
#include "dev/board.h"

#define ACPI_PM_HZ   3579545u
#define ACPI_PM_LEN  64
#define ACPI_PM_GPES 16

struct acpi_pm {
    struct bus *bus;
    struct irq_line sci;
    struct board board;
    bool acpi_at_reset; /* no firmware will ask for it: SCI_EN stands from the start */
    uint16_t status, enable, control;
    uint16_t gpe_status, gpe_enable;
    uint8_t apm[2];       /* ports 0xb2, 0xb3 */
    uint64_t seen_half;   /* half turns of the timer that TMR_STS knows of */
    struct bus_timer timer;
    struct io_range io, apm_io;
};
extern const struct device_ops acpi_pm_device;

void acpi_pm_init(struct acpi_pm *p, struct bus *bus, struct irq_line sci, struct board board,
                  bool acpi_at_reset);
void acpi_pm_done(struct acpi_pm *p);

/* Where the PM function's base register puts the block; 0: nowhere.  Bus lock held. */
void acpi_pm_map(struct acpi_pm *p, uint16_t base);

/* Events from outside.  Bus lock held. */
void acpi_pm_power_button(struct acpi_pm *p);
void acpi_pm_gpe(struct acpi_pm *p, unsigned n);
