/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pci.h - numbers of the PCI Local Bus Specification 2.3, chapter 6, and of Power Management 1.2. */
#pragma once

#define PCI_CONFIG_SIZE 256

#define PCI_VENDOR_ID       0x00
#define PCI_DEVICE_ID       0x02
#define PCI_COMMAND         0x04
#define PCI_COMMAND_IO      0x0001
#define PCI_COMMAND_MEMORY  0x0002
#define PCI_COMMAND_MASTER  0x0004
#define PCI_COMMAND_PARITY  0x0040
#define PCI_COMMAND_SERR    0x0100
#define PCI_COMMAND_NO_INTX 0x0400
#define PCI_STATUS          0x06
#define PCI_STATUS_INTX     0x0008
#define PCI_STATUS_CAPS     0x0010
#define PCI_STATUS_DEVSEL_MEDIUM 0x0200
#define PCI_STATUS_W1C      0xf900 /* parity, system error, aborts: cleared by writing ones */
#define PCI_REVISION        0x08
#define PCI_CLASS_PROG      0x09
#define PCI_SUBCLASS        0x0a
#define PCI_CLASS           0x0b
#define PCI_CACHE_LINE      0x0c
#define PCI_LATENCY         0x0d
#define PCI_HEADER_TYPE     0x0e
#define PCI_HEADER_MULTI    0x80
#define PCI_BAR(n)          (0x10 + 4 * (n))
#define PCI_BARS            6
#define PCI_BAR_IO          0x1
#define PCI_BAR_MEM64       0x4
#define PCI_BAR_PREFETCH    0x8
#define PCI_SUBSYSTEM_VENDOR 0x2c
#define PCI_SUBSYSTEM_ID    0x2e
#define PCI_ROM             0x30
#define PCI_CAP_POINTER     0x34
#define PCI_INTERRUPT_LINE  0x3c
#define PCI_INTERRUPT_PIN   0x3d
#define PCI_HEADER_END      0x40

#define PCI_CLASS_VGA          0x0300
#define PCI_CLASS_BRIDGE_HOST  0x0600
#define PCI_CLASS_BRIDGE_ISA   0x0601
#define PCI_CLASS_BRIDGE_OTHER 0x0680

#define PCI_VENDOR_INTEL      0x8086
#define PCI_DEVICE_82441FX    0x1237
#define PCI_DEVICE_82443BX    0x7192 /* without AGP */
#define PCI_DEVICE_PIIX4_ISA  0x7110
#define PCI_DEVICE_PIIX4_IDE  0x7111
#define PCI_DEVICE_PIIX4_PM   0x7113

#define PCI_VENDOR_MICROSOFT    0x1414
#define PCI_DEVICE_HYPERV_VIDEO 0x5353 /* the legacy adapter of a generation 1 machine */

#define PCI_DEVFN(slot, fn) ((slot) << 3 | (fn))
#define PCI_SLOT(devfn)     ((devfn) >> 3 & 0x1f)
#define PCI_FN(devfn)       ((devfn) & 7)

/* Configuration mechanism #1. */
#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_DATA    0xcfc
#define PCI_CONFIG_ENABLE  0x80000000u
