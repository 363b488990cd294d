/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor.h - the small command line behind Ctrl-].
 *
 * The terminal stays raw; a line editor of a few keys is here.  While the prompt is open the
 * guest runs on (unless paused) and its output waits. */
#pragma once

#include "bin/console.h"

struct monitor;

struct monitor_ops {
    void (*quit)(void *owner);
    void (*suspend)(void *owner); /* stop the whole process, as ^Z does */
};

struct monitor *monitor_new(struct machine *m, struct console *c, const struct monitor_ops *ops,
                            void *owner);
void monitor_free(struct monitor *mon);

/* For console_attach(); 'owner' is a struct monitor.  Returns how much it took: what was typed behind
 * a command that leaves is not the monitor's. */
size_t monitor_input(void *owner, const uint8_t *p, size_t n);
