/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ic.h - integration services, the host's side: heartbeat, shutdown, time synchronisation.
 *
 * The guest's driver is hv_utils.  Each service is one channel on which the host asks and the guest
 * answers; the host speaks first, with a list of versions.
 *
 * Threads: made and freed on the bus's loop thread (or while it does not run); ic_shutdown() and
 * ic_get_status() on any. */
#pragma once

#include "spec/ic.h"
#include "vmbus/server.h"

struct ic;

enum ic_shutdown_kind { IC_DO_POWER_OFF, IC_DO_REBOOT, IC_DO_HIBERNATE };

struct ic_ops {
    /* The guest's answer to ic_shutdown(): 0, it is on its way; else its status.  On the loop's
     * thread.  May be NULL. */
    void (*shutdown_answered)(void *owner, enum ic_shutdown_kind kind, uint32_t status);
};

struct ic_config {
    struct vmbus *bus;                     /* borrowed */
    uint64_t (*wall_ns)(void *wall_owner); /* ns since 1970 UTC; NULL: clock_wall_ns() */
    void *wall_owner;
    const struct ic_ops *ops; /* may be NULL */
    void *owner;
};

/* Offers the three channels. */
int ic_new(const struct ic_config *cfg, struct ic **ret, struct err *err);
void ic_free(struct ic *ic); /* after vmbus_free() */

/* Ask the guest to shut down in an orderly way.  0: the request is on its way, and the answer comes
 * by ops.  -ENOTCONN: the guest's service is not there; -EBUSY: a request is being answered;
 * -EOPNOTSUPP: hibernation (nothing would wake it).  Any thread. */
int ic_shutdown(struct ic *ic, enum ic_shutdown_kind kind, bool force, struct err *err);

enum ic_state {
    IC_CLOSED, /* the guest has no driver for it (now) */
    IC_OPEN,   /* versions are being agreed on */
    IC_READY,
    IC_LOST,    /* heartbeat only: no answer for IC_HEARTBEAT_LOST_NS */
    IC_REFUSED, /* no common version */
};
struct ic_service_status {
    enum ic_state state;
    struct ic_version framework, message; /* when ready */
    uint64_t answers;                     /* since the channel opened */
};
struct ic_status {
    struct ic_service_status heartbeat, shutdown, timesync;
};
void ic_get_status(struct ic *ic, struct ic_status *ret); /* any thread */

#define IC_HEARTBEAT_NS      (2 * NS_PER_S)
#define IC_HEARTBEAT_LOST_NS (10 * NS_PER_S)
#define IC_TIMESYNC_NS       (5 * NS_PER_S)
