/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bus.h - what the legacy chips of one machine share: ports, memory ranges, time, one lock.
 *
 * Threads: chips have no locks of their own.  The bus lock is held around every port and memory
 * handler (pio.c, mmio.c) and every bus_timer callback; whoever else calls into a chip (an EOI, a
 * PIC acknowledge, a byte from the terminal) takes it by bus_lock().
 *
 * Rank: first.  It is taken with no other lock held; under it a chip may reach the engine
 * (interrupt lines, MSIs) and the loop (timers), whose locks come after.  Callbacks from chips to
 * the machine run under it and must not come back through pio_*, mmio_* or bus_lock(). */
#pragma once

#include <pthread.h>

#include "base/loop.h"
#include "bus/irq.h"
#include "bus/mmio.h"
#include "bus/pio.h"

struct bus {
    pthread_mutex_t lock; /* guards all chips, 'pio' and 'mmio' */
    struct loop *loop;    /* borrowed; its thread runs the timers */
    struct clock *clock;
    struct pio pio;
    struct mmio mmio;
};

void bus_init(struct bus *b, struct loop *loop);
void bus_done(struct bus *b); /* no range and no armed timer may be left */

static inline void bus_lock(struct bus *b)
{
    pthread_mutex_lock(&b->lock);
}

static inline void bus_unlock(struct bus *b)
{
    pthread_mutex_unlock(&b->lock);
}

static inline uint64_t bus_now_ns(const struct bus *b)
{
    return clock_now_ns(b->clock);
}

/* ns from 'since' to 'now', 0 where a restored 'since' lies in the future. */
static inline uint64_t ns_since(uint64_t now, uint64_t since)
{
    return now > since ? now - since : 0;
}

/* a * b / c without overflow between; saturates.  c > 0. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 v = (unsigned __int128)a * b / c;

    return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

/* As mul_div(), rounded up. */
static inline uint64_t mul_div_up(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 v = ((unsigned __int128)a * b + (c - 1)) / c;

    return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

/* A one-shot timer of a chip.  Everything under the bus lock; 'expired' runs under it on the
 * loop's thread, and never after bus_timer_disarm() has returned. */
struct bus_timer {
    struct timer t;
    struct bus *bus;
    void (*expired)(struct bus_timer *t);
    uint64_t due_ns; /* UINT64_MAX: not armed */
};
void bus_timer_init(struct bus_timer *t, struct bus *b, void (*expired)(struct bus_timer *t));
void bus_timer_arm(struct bus_timer *t, uint64_t at_ns); /* UINT64_MAX: disarms */
void bus_timer_disarm(struct bus_timer *t);

/* ---- what every chip offers to the machine --------------------------------------------------- */

struct device_ops {
    const struct state_desc *state;
    void (*reset)(void *chip);    /* to the state after RESET#; lines fall */
    void (*restored)(void *chip); /* after a restore: arm timers, map ranges, drive
                                   * every line anew; or NULL */
};

/* A chip of this machine under its own name ("uart0").  The functions hold the bus lock. */
struct device {
    const char *instance;
    const struct device_ops *ops;
    void *chip;
};
void devices_reset(struct bus *b, const struct device *d, size_t n);
void devices_save(struct bus *b, const struct device *d, size_t n, struct buf *to);
/* Into chips that were just made or reset.  After a failure reset or free them. */
int devices_load(struct bus *b, const struct device *d, size_t n, struct bytes *from,
                 struct err *err);
