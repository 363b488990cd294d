/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stimer.c - four synthetic timers a VP, in reference time.
 *
 * One-shot or periodic; an expiry is an interrupt (direct mode) or a message in a SINT's slot.  The
 * earliest of the four is the VP's deadline with the engine, which counts in machine time; whoever
 * comes too early just sets it again.
 *
 * Spec:   TLFS 12.6.  Lazy periodic timers are treated as any other; expiries that the guest was
 *         too slow to take are merged into one, and no period is shorter than PERIOD_MIN.
 * Called: msr.c and the deadline exit, on the VP's thread. */
#include "hv/hv_int.h"

#include "base/trace.h"

#define NEVER      UINT64_MAX
#define TICK_NS    (NS_PER_S / HV_REF_HZ)
#define PERIOD_MIN UINT64_C(500) /* 50 us: a guest must not spin in our exits */

void stimer_reset(struct hv_vp *v)
{
    pthread_mutex_lock(&v->lock);
    for (unsigned i = 0; i < HV_STIMERS; i++)
        v->stimer[i] = (struct hv_stimer){ .due = NEVER };
    v->deadline = NEVER;
    vp_set_deadline(v->vp, NEVER);
    pthread_mutex_unlock(&v->lock);
}

struct hv_stimer *stimer_pending_locked(struct hv_vp *v, unsigned sint)
{
    for (unsigned i = 0; i < HV_STIMERS; i++)
        if (v->stimer[i].pending && HV_STIMER_SINT(v->stimer[i].config) == sint)
            return &v->stimer[i];
    return NULL;
}

static void start_locked(struct hv_vp *v, struct hv_stimer *t)
{
    t->pending = 0;
    t->due = NEVER;
    if (!(t->config & HV_STIMER_ENABLE) || !t->count)
        return;
    if (t->config & HV_STIMER_PERIODIC) {
        uint64_t now = hv_ref_time(v->hv), period = MAX(t->count, PERIOD_MIN);
        t->due = period < NEVER - 1 - now ? now + period : NEVER - 1;
    } else {
        t->due = MIN(t->count, NEVER - 1);
    }
}

static void expire_locked(struct hv_vp *v, struct hv_stimer *t, uint64_t now)
{
    t->expired_at = t->due;
    if (t->config & HV_STIMER_PERIODIC) {
        uint64_t period = MAX(t->count, PERIOD_MIN);
        uint64_t missed = (now - t->due) / period + 1;
        t->due = (period < (NEVER - 1 - t->due) / missed) ? t->due + missed * period : NEVER - 1;
    } else {
        t->config &= ~HV_STIMER_ENABLE;
        t->due = NEVER;
    }
    TRACE("hv", "stimer", "vp %u timer %u expired %lld late", v->index, (unsigned)(t - v->stimer),
          (long long)(now - t->expired_at));
    if (t->config & HV_STIMER_DIRECT) {
        vp_interrupt(v->vp, HV_STIMER_VECTOR(t->config));
    } else {
        t->pending = 1;
        synic_deliver_locked(v, HV_STIMER_SINT(t->config));
    }
}

static void set_deadline_locked(struct hv_vp *v, uint64_t now)
{
    uint64_t due = NEVER, at = NEVER;

    for (unsigned i = 0; i < HV_STIMERS; i++)
        due = MIN(due, v->stimer[i].due);
    if (due != NEVER) {
        uint64_t clock = clock_now_ns(v->hv->cfg.clock), ticks = due - now;
        /* One tick more: 'now' was rounded down, and too early means to come again. */
        at = ticks < (NEVER - 1 - clock) / TICK_NS - 1 ? clock + (ticks + 1) * TICK_NS : NEVER - 1;
    }
    if (at == v->deadline)
        return;
    v->deadline = at;
    vp_set_deadline(v->vp, at);
}

void stimer_run_locked(struct hv_vp *v)
{
    uint64_t now = hv_ref_time(v->hv);

    for (unsigned i = 0; i < HV_STIMERS; i++)
        if (v->stimer[i].due <= now)
            expire_locked(v, &v->stimer[i], now);
    set_deadline_locked(v, now);
}

void hv_deadline(struct hv *hv, struct vp *vp)
{
    struct hv_vp *v = hv_vp_of(hv, vp);

    pthread_mutex_lock(&v->lock);
    v->deadline = 0; /* spent: tell the engine in any case */
    stimer_run_locked(v);
    pthread_mutex_unlock(&v->lock);
}

/* ---- MSRs: CONFIG at even, COUNT at odd numbers -------------------------------------------- */

static void set_config(struct hv_stimer *t, uint64_t value)
{
    bool direct = value & HV_STIMER_DIRECT;

    t->config = value & HV_STIMER_BITS;
    if (direct ? HV_STIMER_VECTOR(value) < HV_SINT_VECTOR_MIN : HV_STIMER_SINT(value) == 0)
        t->config &= ~HV_STIMER_ENABLE; /* it could not tell anybody */
}

static void set_count(struct hv_stimer *t, uint64_t value)
{
    t->count = value;
    if (!value)
        t->config &= ~HV_STIMER_ENABLE;
    else if (t->config & HV_STIMER_AUTO_ENABLE)
        set_config(t, t->config | HV_STIMER_ENABLE);
}

bool stimer_msr_write(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    struct hv_stimer *t = &v->stimer[(msr - HV_MSR_STIMER0_CONFIG) / 2];

    pthread_mutex_lock(&v->lock);
    if (msr & 1)
        set_count(t, value);
    else
        set_config(t, value);
    start_locked(v, t);
    stimer_run_locked(v);
    pthread_mutex_unlock(&v->lock);
    return true;
}

bool stimer_msr_read(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    const struct hv_stimer *t = &v->stimer[(msr - HV_MSR_STIMER0_CONFIG) / 2];

    pthread_mutex_lock(&v->lock);
    *ret = msr & 1 ? t->count : t->config;
    pthread_mutex_unlock(&v->lock);
    return true;
}
