/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmbus_int.h - the inside of the bus and its channels; for vmbus/ only. */
#pragma once

#include <pthread.h>

#include "vmbus/channel.h"
#include "vmbus/gpadl.h"
#include "vmbus/ring.h"

/* Channel n has connection id CONNECTION_BASE + n. */
#define CONNECTION_BASE 0x2000u

/* Messages of the guest that wait for the loop, and answers that may wait for the guest before we
 * take more of its messages.  What is above the first is for the guest to send again. */
#define MESSAGES_IN_MAX  1024
#define ANSWERS_WAIT_MAX 64

#define SUB_CHANNELS_MAX 64 /* of one device */

enum channel_state { CHANNEL_CLOSED, CHANNEL_OPEN, CHANNEL_CLOSING };

/* A packet that waits for room. */
struct waiting {
    struct waiting *next;
    uint32_t n;
    uint8_t raw[] __attribute__((aligned(8)));
};

struct channel {
    struct vmbus *bus;
    struct channel *next; /* of the bus */
    struct channel_offer offer;
    const struct channel_ops *ops;
    void *owner;
    struct channel *primary; /* itself, when it is one */
    uint32_t sub_index, relid;
    bool announced; /* the guest has heard of it in this contact */
    bool doomed;    /* to be removed when it is closed and nobody is inside */
    bool held;      /* channel_hold() */
    unsigned busy;  /* callbacks that are running */

    enum channel_state state;
    uint32_t open_id, target_vp, down_page;
    uint8_t user[VMBUS_USER_DATA];
    struct gpadl *gpadl; /* of the rings */
    struct ring in, out;
    struct waiting *first, **last; /* packets for 'out' */
    size_t n_waiting;
    bool want_writable;
    uint64_t packets_in, packets_out, signals_out; /* since the open */
};

/* What VP threads may touch of a channel: it lives as long as the bus. */
struct slot {
    struct work work; /* the guest has signalled */
    struct vmbus *bus;
    struct channel *ch; /* loop thread */
    bool taken;         /* ch, or the relid is not released yet */
    uint32_t live;      /* atomic: signals are taken */
};

struct message_in {
    struct message_in *next;
    uint32_t n;
    uint8_t p[HV_MESSAGE_PAYLOAD] __attribute__((aligned(8)));
};

struct vmbus {
    struct vmbus_config cfg;
    struct gmem *gmem;
    struct loop *loop;

    /* Guards the messages that came in; everything else is the loop thread's. */
    pthread_mutex_t lock;
    struct message_in *in_first, **in_last;
    unsigned n_in;
    struct work in_work;

    uint32_t version; /* 0: no contact */
    uint32_t msg_vp, msg_sint;
    uint64_t interrupt_page, monitor_page[2];
    bool offers_requested;
    bool resetting; /* vmbus_reset() waits for channels to close */
    bool loading;
    unsigned n_closing;

    struct gpadl_table gpadls;
    struct channel *channels;
    struct slot slot[VMBUS_RELIDS];
    struct work interrupt_page_work; /* a guest of 0.13 has signalled */
    struct timer retry;              /* for guests that do not signal room */
    struct ring_buf buf;             /* the packet at hand */
    struct gpa_range *range;
};

/* ---- server.c ---- */
bool bus_version_known(const struct vmbus *v, uint32_t version);
int bus_add_message(struct vmbus *v, const void *p, size_t n); /* -ENOSPC, -ENOMEM */
void bus_post(struct vmbus *v, const void *msg, size_t n); /* to the guest */
void bus_run_messages(struct vmbus *v);
void bus_quiet(struct vmbus *v); /* the last closing channel has closed */
void bus_gpadl_put(struct vmbus *v, struct gpadl *g);
/* 1: done; 0: again when no channel is closing any more. */
int bus_handle(struct vmbus *v, const uint8_t *p, size_t n);
void bus_disconnect(struct vmbus *v);
void bus_drop_messages(struct vmbus *v);

/* ---- offer.c ---- */
struct channel *bus_find_offer(struct vmbus *v, const struct guid *type,
                               const struct guid *instance, unsigned sub_index);
struct channel *bus_channel(struct vmbus *v, uint32_t relid); /* or NULL */
int bus_take_relid(struct vmbus *v, struct channel *ch, uint32_t relid); /* 0: any */
void bus_release_relid(struct vmbus *v, uint32_t relid);
void bus_send_offer(struct channel *ch);
void bus_send_offers(struct vmbus *v);
bool channel_removable(const struct channel *ch);
void channel_remove_if_doomed(struct channel *ch); /* may free it */

/* ---- channel.c ---- */
int channel_map_rings(struct channel *ch);
int channel_open_rings(struct channel *ch, const struct vmbus_open_channel *m);
void channel_start(struct channel *ch); /* after the guest was told */
void channel_close_now(struct channel *ch);
void channel_kick(struct channel *ch); /* look at the rings soon */
void channel_signal(struct channel *ch);
void channel_enqueue(struct channel *ch, struct waiting *w);
void channel_ran(struct work *w);
void bus_interrupt_page_ran(struct work *w);
void bus_retry(struct timer *t);

static inline struct slot *slot_of(struct channel *ch)
{
    return &ch->bus->slot[ch->relid];
}
