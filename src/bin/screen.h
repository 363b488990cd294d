/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.h - the guest's text screen in a terminal's words.
 *
 * Pure: from what is to be seen to bytes; bin/display.c looks and writes. */
#pragma once

#include "base/state.h"
#include "dev/vga_text.h"

struct screen {
    unsigned term_cols, term_rows; /* what is beyond is not drawn */
    bool all;                      /* the terminal shows something else: draw everything */
    struct vga_text shown;
};

/* Appends what turns the terminal's screen into 'now': only what differs. */
void screen_draw(struct screen *s, const struct vga_text *now, struct buf *to);

/* The terminal's cursor below the screen, everything as others want it. */
void screen_leave(struct screen *s, struct buf *to);

/* As plain text in UTF-8, a line a row, without blanks at the ends of lines. */
void screen_print(const struct vga_text *t, FILE *to);
