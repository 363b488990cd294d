/* SPDX-License-Identifier: GPL-2.0-or-later */
/* timesync.c - the guest's clock: set once when the service starts (so also after a restore), then
 * samples, which the guest offers to its time daemon. */
#include "vsp/ic/service.h"

static void sample(struct ic_service *s)
{
    struct ic *ic = s->ic;
    uint64_t host = ic_wall_ns(ic) / 100 + IC_UNIX_EPOCH;
    uint64_t ref = vmbus_ref_time(ic->cfg.bus);
    uint8_t flags = ic->synced ? IC_TIME_SAMPLE : IC_TIME_SYNC;
    int r;

    if (s->message.major >= 4) {
        struct ic_time_v4 t = { .host_time = host, .ref_time = ref, .flags = flags };
        r = ic_service_ask(s, &t, sizeof t);
    } else {
        struct ic_time_v1 t = { .host_time = host, .flags = flags };
        r = ic_service_ask(s, &t, sizeof t);
    }
    if (r == 0)
        ic->synced = 1;
    timer_arm(&s->timer,
              clock_now_ns(loop_clock(vmbus_loop(ic->cfg.bus))) + IC_TIMESYNC_NS);
}

static void on_ready(struct ic_service *s)
{
    s->ic->synced = 0;
    sample(s);
}

static void on_answered(struct ic_service *s, const struct ic_answer *a)
{
    (void)s;
    (void)a; /* the guest only says that it has it */
}

void ic_timesync_expired(struct timer *t)
{
    sample(container_of(t, struct ic_service, timer));
}

const struct ic_service_ops ic_timesync_ops = {
    .name = "time synchronisation",
    .type = IC_TIMESYNC,
    .class = IC_TIMESYNC_TYPE,
    .instance = IC_TIMESYNC_INSTANCE,
    .versions = { { 4, 0 }, { 3, 0 }, { 1, 0 } },
    .n_versions = 3,
    .ready = on_ready,
    .answered = on_answered,
};
