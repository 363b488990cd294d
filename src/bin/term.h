/* SPDX-License-Identifier: GPL-2.0-or-later */
/* term.h - the user's terminal: made raw for the guest, always given back as it was.
 *
 * There is one terminal a process, and fatal signals must find it: the one allowed global of
 * this file.  Not for several threads, but for the handlers of fatal signals. */
#pragma once

#include "base/util.h"

/* Is standard input a terminal whose foreground we are in? */
bool term_is_ours(void);

/* Raw mode; remembers what was there.  Crashes and exit() restore it from then on. */
int term_raw(void);

/* As it was before term_raw(); harmless when it is so already.  Async-signal-safe. */
void term_restore(void);
