/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bus.c - see bus.h. */
#include "bus/bus.h"

void bus_init(struct bus *b, struct loop *loop)
{
    pthread_mutexattr_t attr;

    *b = (struct bus){ .loop = loop, .clock = loop_clock(loop) };
    pthread_mutexattr_init(&attr);
    /* Handlers take some ns: spin a little before sleeping. */
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&b->lock, &attr);
    pthread_mutexattr_destroy(&attr);
}

void bus_done(struct bus *b)
{
    pthread_mutex_destroy(&b->lock);
}

/* The loop may call while another thread, under the lock, moves or disarms the timer: what counts
 * is due_ns once we have the lock. */
static void on_timer(struct timer *timer)
{
    struct bus_timer *t = container_of(timer, struct bus_timer, t);

    bus_lock(t->bus);
    if (t->due_ns <= bus_now_ns(t->bus)) {
        t->due_ns = UINT64_MAX;
        t->expired(t);
    } else if (t->due_ns != UINT64_MAX) {
        timer_arm(timer, t->due_ns); /* the clock was set back (restore) */
    }
    bus_unlock(t->bus);
}

void bus_timer_init(struct bus_timer *t, struct bus *b, void (*expired)(struct bus_timer *t))
{
    *t = (struct bus_timer){ .bus = b, .expired = expired, .due_ns = UINT64_MAX };
    timer_init(&t->t, b->loop, on_timer);
}

void bus_timer_arm(struct bus_timer *t, uint64_t at_ns)
{
    if (t->due_ns == at_ns)
        return;
    t->due_ns = at_ns;
    if (at_ns == UINT64_MAX)
        timer_disarm(&t->t);
    else
        timer_arm(&t->t, at_ns);
}

void bus_timer_disarm(struct bus_timer *t)
{
    bus_timer_arm(t, UINT64_MAX);
}

void devices_reset(struct bus *b, const struct device *d, size_t n)
{
    bus_lock(b);
    for (size_t i = 0; i < n; i++)
        d[i].ops->reset(d[i].chip);
    bus_unlock(b);
}

void devices_save(struct bus *b, const struct device *d, size_t n, struct buf *to)
{
    bus_lock(b);
    for (size_t i = 0; i < n; i++)
        state_save(to, d[i].instance, d[i].ops->state, d[i].chip);
    bus_unlock(b);
}

int devices_load(struct bus *b, const struct device *d, size_t n, struct bytes *from,
                 struct err *err)
{
    int r = 0;

    bus_lock(b);
    for (size_t i = 0; i < n && r == 0; i++)
        r = state_load(from, d[i].instance, d[i].ops->state, d[i].chip, err);
    for (size_t i = 0; i < n && r == 0; i++)
        if (d[i].ops->restored)
            d[i].ops->restored(d[i].chip);
    bus_unlock(b);
    return r;
}
