/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ic.c - the three services of one machine; see ic.h. */
#include "vsp/ic/ic.h"

#include <errno.h>

#include "vsp/ic/service.h"

uint64_t ic_wall_ns(const struct ic *ic)
{
    return ic->cfg.wall_ns ? ic->cfg.wall_ns(ic->cfg.wall_owner) : clock_wall_ns();
}

int ic_new(const struct ic_config *cfg, struct ic **ret, struct err *err)
{
    struct ic *ic = calloc(1, sizeof *ic);
    int r;

    if (!ic)
        return err_set(err, ENOMEM, "out of memory");
    ic->cfg = *cfg;
    ic->ask.run = ic_shutdown_run;
    r = ic_service_init(&ic->heartbeat, &ic_heartbeat_ops, ic, cfg->bus, ic_heartbeat_expired, err);
    if (r == 0)
        r = ic_service_init(&ic->shutdown, &ic_shutdown_ops, ic, cfg->bus, ic_shutdown_expired, err);
    if (r == 0)
        r = ic_service_init(&ic->timesync, &ic_timesync_ops, ic, cfg->bus, ic_timesync_expired, err);
    *ret = ic; /* offers that were made stay with the bus: freed after it, as ever */
    return r;
}

void ic_free(struct ic *ic)
{
    if (!ic)
        return;
    ic_service_done(&ic->heartbeat);
    ic_service_done(&ic->shutdown);
    ic_service_done(&ic->timesync);
    free(ic);
}

int ic_shutdown(struct ic *ic, enum ic_shutdown_kind kind, bool force, struct err *err)
{
    uint32_t none = 0, want = 1 + (uint32_t)kind + (force ? IC_WANT_FORCE : 0);

    if (kind == IC_DO_HIBERNATE)
        return err_set(err, EOPNOTSUPP, "shutdown: the guest cannot hibernate, nothing would wake it");
    if (__atomic_load_n(&ic->shutdown.state, __ATOMIC_RELAXED) != IC_READY)
        return err_set(err, ENOTCONN,
                       "shutdown: the guest has no shutdown service now (hv_utils is not loaded)");
    if (__atomic_load_n(&ic->shutdown.waiting, __ATOMIC_RELAXED) ||
        !__atomic_compare_exchange_n(&ic->wanted, &none, want, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return err_set(err, EBUSY, "shutdown: the guest is being asked already");
    loop_post(vmbus_loop(ic->cfg.bus), &ic->ask);
    return 0;
}

static void fill(const struct ic_service *s, struct ic_service_status *ret)
{
    *ret = (struct ic_service_status){
        .state = __atomic_load_n(&s->state, __ATOMIC_RELAXED),
        .framework = s->framework,
        .message = s->message,
        .answers = s->answers,
    };
}

void ic_get_status(struct ic *ic, struct ic_status *ret)
{
    fill(&ic->heartbeat, &ret->heartbeat);
    fill(&ic->shutdown, &ret->shutdown);
    fill(&ic->timesync, &ret->timesync);
}
