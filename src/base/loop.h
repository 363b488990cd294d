/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.h - one thread's event loop: file descriptors, timers, posted work.
 *
 * Callbacks run on the thread inside loop_run(), one at a time.  Only loop_post(),
 * loop_stop(), timer_arm() and timer_disarm() may be called from other threads.
 * Timers count in the machine time of the clock that the loop was given. */
#pragma once

#include "base/clock.h"

struct loop;

struct loop *loop_new(struct clock *clock); /* NULL: out of memory or descriptors */
void loop_free(struct loop *l);             /* nothing may be watched any more */

void loop_run(struct loop *l);              /* until loop_stop() */
void loop_stop(struct loop *l);

/* For control paths that must wait, from inside a callback too: turn until '*done', which a
 * callback sets.  A loop_stop() meanwhile is left for loop_run(). */
void loop_run_until(struct loop *l, const bool *done);
struct clock *loop_clock(struct loop *l);

/* Descriptors.  'events' as in epoll (EPOLLIN, EPOLLOUT). */
struct watch {
    int fd;
    void (*ready)(struct watch *w, uint32_t events);
};
int loop_watch(struct loop *l, struct watch *w, uint32_t events); /* 0 or -errno */
int loop_rewatch(struct loop *l, struct watch *w, uint32_t events);
void loop_unwatch(struct loop *l, struct watch *w);

/* Work from any thread, in order of posting. */
struct work {
    void (*run)(struct work *w);
    struct work *next; /* the loop's */
    uint32_t queued;   /* the loop's: posting a queued work again changes nothing */
};
void loop_post(struct loop *l, struct work *w);

/* Take back work that has not begun.  On the loop's thread only; afterwards 'w' may be freed. */
void loop_unpost(struct loop *l, struct work *w);

/* One-shot timers.  Arming an armed timer moves it.  After timer_disarm() on the loop's own
 * thread the callback will not run; from another thread it may be running right now. */
struct timer {
    void (*expired)(struct timer *t);
    struct loop *loop;
    uint64_t at_ns; /* UINT64_MAX: not armed */
    size_t slot;    /* the loop's: place in its heap, 0: none */
};
void timer_init(struct timer *t, struct loop *l, void (*expired)(struct timer *t));
void timer_arm(struct timer *t, uint64_t at_ns);
void timer_disarm(struct timer *t);
bool timer_armed(const struct timer *t);

/* For tests with a manual clock: run what is due and posted, never sleep. */
void loop_poll(struct loop *l);
