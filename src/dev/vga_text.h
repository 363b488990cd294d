/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vga_text.h - a text screen as it would be seen. */
#pragma once

#include "base/util.h"

#define VGA_TEXT_CELLS (160 * 64)

struct vga_cell {
    uint8_t ch;   /* code page 437, unless the guest loaded a font of its own */
    uint8_t attr; /* foreground 0-3, background 4-6 (7), blinking 7: IBM's colours */
};

struct vga_text {
    unsigned cols, rows;         /* 0: the screen is dark */
    bool graphics;               /* a picture of cols by rows dots, which is not here */
    bool blinks;                 /* attribute bit 7 blinks, else it is a brighter background */
    bool cursor;                 /* is to be seen, at: */
    unsigned cursor_x, cursor_y;
    struct vga_cell cell[VGA_TEXT_CELLS]; /* row after row, 'cols' each */
};
