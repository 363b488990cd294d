/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clock.c - see clock.h. */
#include "base/clock.h"

#include <assert.h>
#include <cpuid.h>
#include <pthread.h>
#include <x86intrin.h>

static uint64_t host_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void clock_init(struct clock *c)
{
    *c = (struct clock){ .offset_ns = -(int64_t)host_ns(CLOCK_MONOTONIC) };
}

void clock_init_manual(struct clock *c)
{
    *c = (struct clock){ .stopped = 1, .manual = true };
}

uint64_t clock_now_ns(const struct clock *c)
{
    if (__atomic_load_n(&c->stopped, __ATOMIC_ACQUIRE))
        return __atomic_load_n(&c->stopped_at, __ATOMIC_RELAXED);
    return host_ns(CLOCK_MONOTONIC) +
           (uint64_t)__atomic_load_n(&c->offset_ns, __ATOMIC_RELAXED);
}

void clock_stop(struct clock *c)
{
    if (c->stopped)
        return;
    __atomic_store_n(&c->stopped_at, clock_now_ns(c), __ATOMIC_RELAXED);
    __atomic_store_n(&c->stopped, 1, __ATOMIC_RELEASE);
}

void clock_start(struct clock *c)
{
    if (!c->stopped || c->manual)
        return;
    __atomic_store_n(&c->offset_ns, (int64_t)(c->stopped_at - host_ns(CLOCK_MONOTONIC)),
                     __ATOMIC_RELAXED);
    __atomic_store_n(&c->stopped, 0, __ATOMIC_RELEASE);
}

void clock_set_ns(struct clock *c, uint64_t now_ns)
{
    if (c->stopped)
        __atomic_store_n(&c->stopped_at, now_ns, __ATOMIC_RELAXED);
    else
        __atomic_store_n(&c->offset_ns, (int64_t)(now_ns - host_ns(CLOCK_MONOTONIC)),
                         __ATOMIC_RELAXED);
}

void clock_advance(struct clock *c, uint64_t ns)
{
    assert(c->manual);
    __atomic_fetch_add(&c->stopped_at, ns, __ATOMIC_RELAXED);
}

uint64_t clock_wall_ns(void)
{
    return host_ns(CLOCK_REALTIME);
}

static uint64_t tsc_hz;

static void measure_tsc(void)
{
    uint64_t best = UINT64_MAX;

    /* The shortest of some spans: a preempted one is only ever too long in ns. */
    for (int i = 0; i < 5; i++) {
        uint64_t n0 = host_ns(CLOCK_MONOTONIC_RAW), t0 = __rdtsc(), n1, t1;
        do
            n1 = host_ns(CLOCK_MONOTONIC_RAW);
        while (n1 - n0 < 2 * NS_PER_MS);
        t1 = __rdtsc();
        best = MIN(best, (uint64_t)((__uint128_t)(t1 - t0) * NS_PER_S / (n1 - n0)));
    }
    tsc_hz = best;
}

uint64_t clock_tsc_hz(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, measure_tsc);
    return tsc_hz;
}
