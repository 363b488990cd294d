/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apic_timer.c - the local APIC's timer: one-shot, periodic, TSC deadline.
 *
 * Everything is kept in guest TSC ticks, so that a paused or migrated machine goes on where it stood.
 * The input clock is LAPIC_HZ.  A periodic timer that fell behind fires once and keeps its phase.
 * Own thread only.   Called: lapic.c; soft.c when poll_tsc has come.   Tests: lapic_test.c. */
#include "cpu/soft/apic_regs.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/soft.h"

enum timer_mode { ONE_SHOT, PERIODIC, TSC_DEADLINE };

static uint32_t reg(const struct soft_vp *vp, unsigned off)
{
    return __atomic_load_n(&vp->lapic->reg[off / 16], __ATOMIC_RELAXED);
}

static void set_reg(struct soft_vp *vp, unsigned off, uint32_t v)
{
    __atomic_store_n(&vp->lapic->reg[off / 16], v, __ATOMIC_RELAXED);
}

static enum timer_mode mode_of(uint32_t lvt)
{
    return lvt >> 17 & 3;
}

static unsigned divisor(const struct soft_vp *vp)
{
    uint32_t v = reg(vp, APIC_TIMER_DIV);
    unsigned n = (v & 3) | (v >> 1 & 4);

    return n == 7 ? 1 : 2u << n;
}

/* The count of the timer <-> TSC ticks. */
static uint64_t to_tsc(const struct soft_vp *vp, uint32_t count)
{
    return (uint64_t)((unsigned __int128)count * divisor(vp) * vp->soft->part.tsc_hz / LAPIC_HZ);
}

static uint32_t to_count(const struct soft_vp *vp, uint64_t ticks)
{
    /* Rounded up: a timer that has not fired shows at least 1. */
    unsigned __int128 unit = (unsigned __int128)divisor(vp) * vp->soft->part.tsc_hz;
    unsigned __int128 n = ((unsigned __int128)ticks * LAPIC_HZ + unit - 1) / unit;

    return (uint32_t)MIN(n, UINT32_MAX);
}

uint32_t lapic_timer_now(const struct soft_vp *vp)
{
    const struct lapic *a = vp->lapic;
    uint64_t now = soft_tsc(vp);
    uint64_t left;

    if (a->expiry == UINT64_MAX || mode_of(reg(vp, APIC_LVT_TIMER)) == TSC_DEADLINE)
        return 0;
    if (a->expiry > now)
        left = a->expiry - now;
    else if (a->period)
        left = a->period - (now - a->expiry) % a->period;
    else
        return 0;
    return MIN(to_count(vp, left), reg(vp, APIC_TIMER_INIT));
}

/* The timer runs 'left' ticks from now, then by its mode. */
static void arm(struct soft_vp *vp, uint64_t left)
{
    struct lapic *a = vp->lapic;
    uint32_t init = reg(vp, APIC_TIMER_INIT);

    a->expiry = left ? soft_tsc(vp) + left : UINT64_MAX;
    a->period = mode_of(reg(vp, APIC_LVT_TIMER)) == PERIODIC ? MAX(to_tsc(vp, init), 1) : 0;
    soft_timers_changed(vp);
}

void lapic_timer_start(struct soft_vp *vp, uint32_t count)
{
    if (mode_of(reg(vp, APIC_LVT_TIMER)) == TSC_DEADLINE)
        return;
    set_reg(vp, APIC_TIMER_INIT, count);
    arm(vp, count ? MAX(to_tsc(vp, count), 1) : 0);
}

void lapic_timer_divide(struct soft_vp *vp, uint32_t v)
{
    uint32_t left = lapic_timer_now(vp);

    set_reg(vp, APIC_TIMER_DIV, v);
    if (left)
        arm(vp, MAX(to_tsc(vp, left), 1)); /* the rest of the count, at the new pace */
}

void lapic_timer_mode(struct soft_vp *vp, uint32_t lvt)
{
    struct lapic *a = vp->lapic;
    enum timer_mode was = mode_of(reg(vp, APIC_LVT_TIMER)), is = mode_of(lvt);

    lapic_run_timer(vp); /* what is due is due under the old rules */
    set_reg(vp, APIC_LVT_TIMER, lvt);
    if ((was == TSC_DEADLINE) != (is == TSC_DEADLINE)) {
        a->expiry = UINT64_MAX;
        a->deadline = 0;
        set_reg(vp, APIC_TIMER_INIT, 0);
    }
    a->period = is == PERIODIC && a->expiry != UINT64_MAX
                    ? MAX(to_tsc(vp, reg(vp, APIC_TIMER_INIT)), 1)
                    : 0;
    soft_timers_changed(vp);
}

uint64_t lapic_deadline(const struct soft_vp *vp)
{
    return vp->lapic->deadline;
}

void lapic_set_deadline(struct soft_vp *vp, uint64_t tsc)
{
    struct lapic *a = vp->lapic;

    if (mode_of(reg(vp, APIC_LVT_TIMER)) != TSC_DEADLINE)
        return;
    a->deadline = tsc;
    a->expiry = tsc ? tsc : UINT64_MAX;
    a->period = 0;
    soft_timers_changed(vp);
}

void lapic_timer_clear(struct soft_vp *vp)
{
    vp->lapic->expiry = UINT64_MAX;
    vp->lapic->period = vp->lapic->deadline = 0;
    soft_timers_changed(vp);
}

void lapic_timer_restore(struct soft_vp *vp)
{
    uint32_t left = MIN(reg(vp, APIC_TIMER_NOW), reg(vp, APIC_TIMER_INIT));

    set_reg(vp, APIC_TIMER_NOW, 0);
    if (mode_of(reg(vp, APIC_LVT_TIMER)) != TSC_DEADLINE)
        arm(vp, left ? MAX(to_tsc(vp, left), 1) : 0);
}

uint64_t lapic_next_tsc(const struct soft_vp *vp)
{
    /* A masked timer counts without anybody waking for it. */
    return reg(vp, APIC_LVT_TIMER) & LVT_MASKED ? UINT64_MAX : vp->lapic->expiry;
}

void lapic_run_timer(struct soft_vp *vp)
{
    struct lapic *a = vp->lapic;
    uint64_t now = soft_tsc(vp);
    uint32_t lvt = reg(vp, APIC_LVT_TIMER);

    if (a->expiry > now)
        return;
    if (a->period) {
        a->expiry += ((now - a->expiry) / a->period + 1) * a->period;
    } else {
        a->expiry = UINT64_MAX;
        a->deadline = 0;
    }
    if (!(lvt & LVT_MASKED))
        lapic_accept(vp, (uint8_t)lvt, false);
    soft_timers_changed(vp);
}
