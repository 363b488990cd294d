/* SPDX-License-Identifier: GPL-2.0-or-later */
/* heartbeat.c - is the guest's kernel alive?  A number goes out every two seconds, one more comes back. */
#include "vsp/ic/service.h"

static uint64_t now_ns(struct ic *ic)
{
    return clock_now_ns(loop_clock(vmbus_loop(ic->cfg.bus)));
}

static void beat(struct ic_service *s)
{
    struct ic_heartbeat_body body = { .sequence = ++s->ic->sequence };

    ic_service_ask(s, &body, sizeof body); /* busy: the guest is late, and that shows below */
    timer_arm(&s->timer, now_ns(s->ic) + IC_HEARTBEAT_NS);
}

static void on_ready(struct ic_service *s)
{
    s->ic->last_beat_ns = now_ns(s->ic);
    beat(s);
}

static void on_answered(struct ic_service *s, const struct ic_answer *a)
{
    struct ic_heartbeat_body body;

    if (a->n < sizeof body.sequence)
        return;
    memcpy(&body.sequence, a->body, sizeof body.sequence);
    if (body.sequence != s->ic->sequence + 1)
        return;
    s->ic->last_beat_ns = now_ns(s->ic);
    __atomic_store_n(&s->state, IC_READY, __ATOMIC_RELAXED);
}

void ic_heartbeat_expired(struct timer *t)
{
    struct ic_service *s = container_of(t, struct ic_service, timer);

    if (now_ns(s->ic) - s->ic->last_beat_ns >= IC_HEARTBEAT_LOST_NS)
        __atomic_store_n(&s->state, IC_LOST, __ATOMIC_RELAXED);
    beat(s);
}

const struct ic_service_ops ic_heartbeat_ops = {
    .name = "heartbeat",
    .type = IC_HEARTBEAT,
    .class = IC_HEARTBEAT_TYPE,
    .instance = IC_HEARTBEAT_INSTANCE,
    .versions = { { 3, 0 }, { 1, 0 } },
    .n_versions = 2,
    .ready = on_ready,
    .answered = on_answered,
};
