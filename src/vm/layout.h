/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layout.h - where everything is in the machine: addresses, ports, interrupt lines, PCI slots.
 *
 * The machine wires its chips by these numbers and the firmware tables tell the guest the same
 * ones.  The machine is a PC of the Intel 440BX / PIIX4 kind, as Hyper-V's generation 1.
 * Chips do not include this file: machine.c hands each its own numbers. */
#pragma once

#include "guest/gmem.h"

/* ---- memory below 1 MiB ---------------------------------------------------------------------- */

#define LAYOUT_BDA        UINT64_C(0x400)   /* BIOS data area */
#define LAYOUT_BOOT       UINT64_C(0x1000)  /* what the loader prepares: 0x1000 .. 0x5ffff */
#define LAYOUT_GDT        UINT64_C(0x1000)
#define LAYOUT_TSS        UINT64_C(0x1800)
#define LAYOUT_PARAMS     UINT64_C(0x2000)  /* boot_params, hvm_start_info or multiboot info */
#define LAYOUT_PAGES      UINT64_C(0x8000)  /* identity page tables, 6 pages */
#define LAYOUT_CMDLINE    UINT64_C(0x20000)
#define LAYOUT_CMDLINE_SIZE UINT64_C(0x10000) /* with the closing 0 */
#define LAYOUT_EBDA       UINT64_C(0x9fc00) /* 1 KiB, reserved in the memory map */
#define LAYOUT_VGA        UINT64_C(0xa0000)
#define LAYOUT_VGA_SIZE   UINT64_C(0x20000)

/* Firmware tables: RAM to VPs, reserved in the memory map. */
#define LAYOUT_FIRMWARE   UINT64_C(0xe0000) /* up to 1 MiB */
#define LAYOUT_ACPI       UINT64_C(0xe0000)
#define LAYOUT_ACPI_SIZE  UINT64_C(0x10000)
#define LAYOUT_RSDP       UINT64_C(0xf0000)
#define LAYOUT_SMBIOS     UINT64_C(0xf1000)
#define LAYOUT_SMBIOS_SIZE UINT64_C(0x3000)
#define LAYOUT_MPTABLE    UINT64_C(0xf4000)
#define LAYOUT_MPTABLE_SIZE UINT64_C(0x2000)
#define LAYOUT_HIGH       UINT64_C(0x100000) /* the first byte that a kernel may have */

/* ---- the hole below 4 GiB -------------------------------------------------------------------- */

#define LAYOUT_PCI_MMIO      GMEM_HOLE_START /* windows of the PCI root ... */
#define LAYOUT_PCI_MMIO_SIZE UINT64_C(0x38000000)
#define LAYOUT_VMBUS_MMIO    UINT64_C(0xf8000000) /* ... and of VMBus, low part */
#define LAYOUT_VMBUS_MMIO_SIZE UINT64_C(0x6000000)
#define LAYOUT_IOAPIC        UINT64_C(0xfec00000)
#define LAYOUT_LAPIC         UINT64_C(0xfee00000)

/* VMBus windows above RAM: from the first GiB that is free. */
#define LAYOUT_VMBUS_HIGH_SIZE UINT64_C(0x40000000)

/* ---- ports ----------------------------------------------------------------------------------- */

#define PORT_PIC_MASTER  0x20
#define PORT_PIT         0x40
#define PORT_I8042_DATA  0x60
#define PORT_SYSTEM_B    0x61 /* speaker gate, PIT channel 2 */
#define PORT_I8042_CMD   0x64
#define PORT_RTC         0x70
#define PORT_SYSTEM_A    0x92 /* fast reset, A20 */
#define PORT_PIC_SLAVE   0xa0
#define PORT_COM2        0x2f8
#define PORT_COM1        0x3f8
#define PORT_PM          0x600 /* where SeaBIOS puts it, too; PIIX4 power management block, 64 bytes: */
#define PORT_PM1_EVT     (PORT_PM + 0x00) /* status, enable: 16 bits each */
#define PORT_PM1_CNT     (PORT_PM + 0x04)
#define PORT_PM_TMR      (PORT_PM + 0x08)
#define PORT_GPE0        (PORT_PM + 0x0c) /* status, enable: 2 bytes each */
#define PORT_ELCR        0x4d0
#define PORT_PCI_ADDR    0xcf8
#define PORT_RESET       0xcf9 /* inside the PCI address port: byte accesses */
#define PORT_PCI_DATA    0xcfc

#define RESET_VALUE      0x06 /* PORT_RESET: full reset */
#define SLP_TYP_S5       0    /* PM1_CNT bits 12:10, PIIX4's value for soft off */

/* ---- interrupt lines: ISA numbers; the IOAPIC pin is the same but for the timer -------------- */

#define IRQ_PIT      0
#define IOAPIC_PIT   2 /* pin */
#define IRQ_KEYBOARD 1
#define IRQ_COM2     3
#define IRQ_COM1     4
#define IRQ_RTC      8
#define IRQ_SCI      9 /* level, active high */
#define IRQ_MOUSE    12
#define IRQ_IDE0     14
#define IRQ_IDE1     15
#define IOAPIC_PINS  24

/* PCI INTA..INTD of device d go to line (d + pin) % 4, hard-wired to: */
#define PCI_IRQS { 11, 10, 5, 7 }

/* ---- PCI bus 0: device numbers --------------------------------------------------------------- */

#define PCI_HOST_BRIDGE 0  /* 8086:7192 */
#define PCI_ISA_BRIDGE  7  /* function 0 8086:7110, 1 IDE 8086:7111, 3 PM 8086:7113 */
#define PCI_VGA         8  /* 1414:5353 */
#define PCI_NIC         10 /* 1011:0009 */
