/* SPDX-License-Identifier: GPL-2.0-or-later */
/* console.h - what is plugged into the guest's first serial port, or its screen and keyboard.
 *
 * On the user's terminal Ctrl-] leaves for the monitor; elsewhere every byte is the guest's.
 * All functions are for the thread of the machine's loop. */
#pragma once

#include "base/err.h"
#include "bin/options.h"

#define CONSOLE_ESCAPE 0x1d /* Ctrl-] */

struct console;

int console_new(const struct run_options *o, struct console **ret, struct err *err);
void console_free(struct console *c); /* what the guest has sent gets out first */

/* For machine_config.uart[0]. */
const struct console_ops *console_ops(void);

/* Begin to read input.  'monitor_input' (may be NULL) gets the bytes behind an escape (at first none),
 * and all others until console_close_monitor(); it returns how many it took. */
int console_attach(struct console *c, struct machine *m,
                   size_t (*monitor_input)(void *owner, const uint8_t *p, size_t n), void *owner,
                   struct err *err);

/* Back from the monitor: the guest's output goes on, input is the guest's again. */
void console_close_monitor(struct console *c);

/* Input for the guest from elsewhere (the monitor). */
void console_type(struct console *c, uint8_t byte);

/* The process came to the foreground, or left it: take or leave the terminal. */
void console_foreground(struct console *c);
