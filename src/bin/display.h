/* SPDX-License-Identifier: GPL-2.0-or-later */
/* display.h - the guest's text screen and keyboard on the user's terminal.
 *
 * Looks at the screen some 30 times a second, by the host's clock, and draws what has changed; what is
 * typed becomes scan codes.  For the thread of the machine's loop. */
#pragma once

#include "base/err.h"
#include "bin/outq.h"
#include "vm/machine.h"

struct display;

/* Draws into 'out', which writes to 'fd': the terminal, if it is one.  'room' is called when keys fit
 * again after display_type() took less than all. */
int display_new(struct outq *out, int fd, void (*room)(void *owner), void *owner,
                struct display **ret, struct err *err);
/* The last picture, and the cursor below it. */
void display_free(struct display *d);

/* Begin.  -ENODEV: the machine has no display. */
int display_attach(struct display *d, struct machine *m, struct err *err);

/* Bytes of a terminal's input; returns how many were taken. */
size_t display_type(struct display *d, const uint8_t *p, size_t n);

/* Somebody else writes to the terminal, and the queue is held; afterwards all is drawn anew. */
void display_hold(struct display *d, bool on);
