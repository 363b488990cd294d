/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.h - the one door through which time comes in.
 *
 * Machine time is nanoseconds since the machine was made; it stands still while the
 * machine is paused.  Tests use a clock that they advance themselves. */
#pragma once

#include "base/util.h"

struct clock {
    int64_t offset_ns;  /* added to the source; moves at pause and restore */
    uint64_t stopped_at; /* meaningful while 'stopped' */
    uint32_t stopped;
    bool manual;         /* a test's clock: moves by clock_advance() only */
};

void clock_init(struct clock *c);        /* starts at 0 */
void clock_init_manual(struct clock *c); /* starts at 0 and stands */

/* Any thread. */
uint64_t clock_now_ns(const struct clock *c);

/* Pause and go on; the machine sees no gap.  Not concurrently with each other. */
void clock_stop(struct clock *c);
void clock_start(struct clock *c);

/* Set the machine time (restore). */
void clock_set_ns(struct clock *c, uint64_t now_ns);

void clock_advance(struct clock *c, uint64_t ns); /* manual clocks only */

/* Host wall clock, ns since 1970 UTC. */
uint64_t clock_wall_ns(void);

/* Host TSC ticks a second, measured or told by CPUID, the same at every call. */
uint64_t clock_tsc_hz(void);
