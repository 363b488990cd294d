/* SPDX-License-Identifier: GPL-2.0-or-later */
/* board.h - what chips ask of the machine that they are soldered to. */
#pragma once

/* Called under the bus lock, from any thread: note the wish and return; no call back into the bus.
 * All must be set. */
struct board_ops {
    void (*reset)(void *board, const char *who); /* the whole machine starts again */
    void (*power_off)(void *board);
    void (*exit)(void *board, unsigned code);    /* test device only */
};

struct board {
    const struct board_ops *ops;
    void *owner;
};
