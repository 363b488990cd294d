/* SPDX-License-Identifier: GPL-2.0-or-later */
/* shutdown.c - asking the guest to shut down or to reboot in an orderly way. */
#include <errno.h>

#include "vsp/ic/service.h"

#define ANSWER_NS (30 * NS_PER_S)
#define REASON    UINT32_C(0x80040000) /* planned, other */

static void tell(struct ic *ic, uint32_t status)
{
    enum ic_shutdown_kind kind = (enum ic_shutdown_kind)(ic->asked - 1);

    ic->asked = 0;
    if (ic->cfg.ops && ic->cfg.ops->shutdown_answered)
        ic->cfg.ops->shutdown_answered(ic->cfg.owner, kind, status);
}

/* On the loop's thread: what ic_shutdown() wanted. */
void ic_shutdown_run(struct work *w)
{
    static const uint32_t flags[] = { IC_SHUTDOWN_POWER_OFF, IC_SHUTDOWN_REBOOT };
    struct ic *ic = container_of(w, struct ic, ask);
    struct ic_service *s = &ic->shutdown;
    uint32_t want = __atomic_exchange_n(&ic->wanted, 0, __ATOMIC_ACQ_REL);
    uint32_t kind = want & ~IC_WANT_FORCE;

    if (!want)
        return;
    struct ic_shutdown_body body = {
        .reason = REASON,
        .flags = flags[kind - 1] | (want & IC_WANT_FORCE ? IC_SHUTDOWN_FORCE : 0),
    };
    ic->asked = (uint8_t)kind;
    if (ic_service_ask(s, &body, sizeof body) < 0) {
        tell(ic, IC_STATUS_FAIL); /* the guest closed the channel meanwhile */
        return;
    }
    timer_arm(&s->timer, clock_now_ns(loop_clock(vmbus_loop(ic->cfg.bus))) + ANSWER_NS);
}

static void on_ready(struct ic_service *s)
{
    (void)s; /* it waits to be asked */
}

static void on_answered(struct ic_service *s, const struct ic_answer *a)
{
    timer_disarm(&s->timer);
    if (s->ic->asked)
        tell(s->ic, a->head.status);
}

/* A guest that never answers must not block the next request. */
void ic_shutdown_expired(struct timer *t)
{
    struct ic_service *s = container_of(t, struct ic_service, timer);

    s->waiting = 0;
    if (s->ic->asked)
        tell(s->ic, IC_STATUS_FAIL);
}

static void on_closed(struct ic_service *s)
{
    if (s->ic->asked)
        tell(s->ic, IC_STATUS_FAIL);
}

const struct ic_service_ops ic_shutdown_ops = {
    .name = "shutdown",
    .type = IC_SHUTDOWN,
    .class = IC_SHUTDOWN_TYPE,
    .instance = IC_SHUTDOWN_INSTANCE,
    .versions = { { 3, 2 }, { 3, 1 }, { 3, 0 }, { 1, 0 } },
    .n_versions = 4,
    .ready = on_ready,
    .answered = on_answered,
    .closed = on_closed,
};
