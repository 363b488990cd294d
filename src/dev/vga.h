/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vga.h - the legacy display adapter, and what its text modes show. */
#pragma once

#include "bus/pci.h"
#include "dev/vga_text.h"

#define VGA_WINDOW      0xa0000u
#define VGA_WINDOW_SIZE 0x20000u
#define VGA_PLANE       0x10000u

struct vga {
    struct pci_dev pci;
    struct bus *bus;
    uint8_t misc, feature;
    uint8_t seq_index, seq[5];
    uint8_t crtc_index, crtc[25];
    uint8_t gfx_index, gfx[9];
    uint8_t attr_index, attr_data, attr[21]; /* attr_data: the next write to 0x3c0 is data */
    uint8_t dac_mask, dac_index, dac_part, dac_reads; /* part: 0 red, 1 green, 2 blue */
    uint8_t dac[256][3];
    uint8_t latch[4];
    uint8_t plane[4][VGA_PLANE]; /* text: 0 characters, 1 attributes, 2 fonts */
    struct io_range ports, memory;
};
extern const struct device_ops vga_device;

void vga_init(struct vga *v, struct pci_bus *pci, uint8_t devfn);
void vga_done(struct vga *v);

/* The screen as it would be seen.  Bus lock held. */
void vga_read_text(const struct vga *v, struct vga_text *ret);
