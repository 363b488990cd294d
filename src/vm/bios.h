/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bios.h - a machine that starts from its disks: SeaBIOS in ROM, and what it asks by fw_cfg. */
#pragma once

#include "dev/fw_cfg.h"
#include "vm/firmware.h"

/* Of Debian's package seabios. */
#define BIOS_DEFAULT "/usr/share/seabios/bios-256k.bin"
#define BIOS_VGA     "/usr/share/seabios/vgabios-isavga.bin" /* asks for nothing but a VGA */

/* The image into a ROM that ends at 4 GiB.  Once, when the machine is made. */
int bios_add_rom(struct gmem *m, const char *path, struct err *err);

/* Its last 128 KiB into the RAM that ends at 1 MiB, where it runs.  At every reset. */
int bios_shadow(struct gmem *m, const char *path, struct err *err);

/* The display's option ROM, as a file that SeaBIOS looks for by the PCI identity. */
int bios_add_vga_rom(struct fw_cfg *f, const char *path, struct err *err);

/* Memory map, processors, ACPI and SMBIOS tables (with the loader's commands); the serial port that
 * shows the firmware's screen, too (0: none). */
int bios_describe(struct fw_cfg *f, const struct firmware_config *cfg, uint16_t console_port,
                  struct err *err);
