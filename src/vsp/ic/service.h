/* SPDX-License-Identifier: GPL-2.0-or-later */
/* service.h - what all integration services share: framing, version negotiation, one request at a time.
 *
 * The host speaks first: when the guest has opened the channel it is told which versions we know, and it
 * answers with one of each.  Later requests carry these; the guest echoes each with its answer inside. */
#pragma once

#include "vmbus/channel.h"
#include "vsp/ic/ic.h"

#define IC_MESSAGE_MAX (8 + sizeof(struct ic_header) + sizeof(struct ic_shutdown_body))
#define IC_VERSIONS_MAX 4

/* A guest's answer, decoded. */
struct ic_answer {
    struct ic_header head;
    struct ic_version framework, message; /* of a negotiation; all zero: none in common */
    const uint8_t *body;
    size_t n;
};

/* Pure.  -EBADMSG: too short, or lengths that contradict each other. */
int ic_decode(const uint8_t *payload, size_t n, struct ic_answer *ret);

struct ic_service;

struct ic_service_ops {
    const char *name;
    uint16_t type; /* enum ic_message_type */
    struct guid class, instance;
    struct ic_version versions[IC_VERSIONS_MAX]; /* newest first */
    unsigned n_versions;
    void (*ready)(struct ic_service *s);                               /* versions are agreed on */
    void (*answered)(struct ic_service *s, const struct ic_answer *a); /* to our last request */
    void (*closed)(struct ic_service *s);                              /* may be NULL */
};

struct ic_service {
    const struct ic_service_ops *ops;
    struct ic *ic;
    struct channel *ch;
    uint8_t state; /* enum ic_state; any thread reads: atomic */
    uint8_t waiting; /* a request is with the guest */
    uint8_t transaction;
    struct ic_version framework, message;
    uint64_t answers;
    struct timer timer; /* the service's own */
};

/* The loop's thread. */
int ic_service_init(struct ic_service *s, const struct ic_service_ops *ops, struct ic *ic,
                    struct vmbus *bus, void (*expired)(struct timer *t), struct err *err);
void ic_service_done(struct ic_service *s);

/* Send a request; -ENOTCONN: not ready; -EBUSY: the last one was not answered yet. */
int ic_service_ask(struct ic_service *s, const void *body, size_t n);

#define IC_WANT_FORCE 0x100u

struct ic {
    struct ic_config cfg;
    struct ic_service heartbeat, shutdown, timesync;
    uint64_t sequence;     /* heartbeat */
    uint64_t last_beat_ns; /* machine time of the last answer */
    uint8_t synced;        /* timesync: the first sample after opening sets the clock */
    uint32_t wanted;       /* shutdown: 1 + kind (+ IC_WANT_FORCE), by any thread; 0: nothing */
    uint8_t asked;         /* what the request with the guest is: 1 + kind */
    struct work ask;
};

uint64_t ic_wall_ns(const struct ic *ic);

/* One a file. */
extern const struct ic_service_ops ic_heartbeat_ops, ic_shutdown_ops, ic_timesync_ops;
void ic_heartbeat_expired(struct timer *t);
void ic_shutdown_expired(struct timer *t);
void ic_timesync_expired(struct timer *t);
void ic_shutdown_run(struct work *w);
