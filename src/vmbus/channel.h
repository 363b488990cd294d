/* SPDX-License-Identifier: GPL-2.0-or-later */
/* channel.h - what a service provider sees of VMBus: offer a channel, get packets, send packets.
 *
 * A provider fills in a struct channel_ops and offers.  When the guest opens the channel two rings
 * in guest memory are there; packets come to ops->packet() as private, checked copies.
 *
 * Threads: all of it on the bus's loop thread (a provider posts results of other threads there).
 *
 * Answer exactly once: a packet with 'wants_completion' is owed one channel_complete() with its id,
 * none otherwise.  When an out ring is full packets wait in the channel, in order, and no further
 * packet comes in until they are gone; so a guest that does not read costs no more memory than the
 * requests that the provider has accepted. */
#pragma once

#include "base/err.h"
#include "base/state.h"
#include "spec/vmbus.h"
#include "vmbus/pages.h"
#include "vmbus/server.h"

struct channel;
struct gpadl;

struct packet {
    uint16_t type; /* enum vmbus_packet_type */
    bool wants_completion;
    uint64_t id;            /* to be given back, never interpreted */
    const uint8_t *payload; /* valid during the call; 8-byte aligned */
    size_t size;            /* a multiple of 8: protocols carry their own lengths */
    /* GPA direct: buffers in guest memory, each with all its page numbers (unchecked: see pages.h).
     * The numbers are valid during the call, the guest's pages until the completion. */
    const struct gpa_range *range;
    unsigned n_ranges;
};
#define PACKET_RANGES_MAX 1024

struct channel_ops {
    const char *name;

    /* The guest opens; 0, or -errno: the guest is refused.  channel_user_data() is there.  Nothing
     * can be sent yet, nor the channel rescinded. */
    int (*open)(struct channel *ch);

    /* The guest has been told: packets may go out.  May be NULL. */
    void (*opened)(struct channel *ch);

    void (*packet)(struct channel *ch, const struct packet *p);

    /* After a channel_try_send() that found no room: there is some again.  May be NULL. */
    void (*writable)(struct channel *ch);

    /* The rings are gone; nothing can be sent or completed any more.  true: the provider uses no
     * guest memory either.  false: it still does; channel_closed() follows as soon as it does not.
     * The channel may be opened again later: the protocol starts from its beginning. */
    bool (*close)(struct channel *ch);

    /* Sub-channels at the end of contact or when the guest lets go of them, every channel after
     * channel_rescind(): 'ch' is freed when this returns.  May be NULL. */
    void (*removed)(struct channel *ch);

    /* State of an open channel's protocol.  After load() packets may come and go.  A primary's
     * load() offers its sub-channels, which come next.  NULL: none. */
    void (*save)(struct channel *ch, struct buf *to);
    int (*load)(struct channel *ch, struct bytes *from, struct err *err);
};

struct channel_offer {
    struct guid type, instance;
    uint16_t flags; /* VMBUS_OFFER_... */
    uint16_t mmio_mb;
    uint8_t user[VMBUS_USER_DATA];
};

/* A channel of the machine: stays over resets until rescinded.  Guests that have asked for offers
 * already hear of it at once.  -EEXIST: type and instance are taken; -ENOSPC: no channel id. */
int channel_offer(struct vmbus *v, const struct channel_offer *o, const struct channel_ops *ops,
                  void *owner, struct channel **ret, struct err *err);

/* A further channel of the same device, for this contact only; 'index' from 1.  Offered at once. */
int channel_offer_sub(struct channel *primary, unsigned index, void *owner, struct channel **ret,
                      struct err *err);

/* Hot remove; sub-channels go with their primary.  ops->close() if open, then ops->removed(). */
void channel_rescind(struct channel *ch);

/* See ops->close(). */
void channel_closed(struct channel *ch);

void *channel_owner(const struct channel *ch);
struct vmbus *channel_bus(const struct channel *ch);
struct channel *channel_primary(const struct channel *ch); /* itself, when it is one */
unsigned channel_sub_index(const struct channel *ch);      /* 0: primary */
unsigned channel_relid(const struct channel *ch);
bool channel_is_open(const struct channel *ch);
const uint8_t *channel_user_data(const struct channel *ch); /* of the open, VMBUS_USER_DATA bytes */

/* ---- sending ------------------------------------------------------------------------------- */

/* Packets whose size with header and trailer is above this cannot be sent (the guest's drivers have
 * smaller limits of their own, see the protocols). */
#define CHANNEL_SEND_MAX 32768

/* In band, or a completion.  Waits in the channel when the ring is full.  -ENOTCONN: not open;
 * -EMSGSIZE; -ENOMEM: the channel breaks. */
int channel_send(struct channel *ch, uint64_t id, bool want_completion, const void *payload,
                 size_t n);
int channel_complete(struct channel *ch, uint64_t id, const void *payload, size_t n);

/* The same for any packet, its header behind the first 16 bytes ('head', a multiple of 8 bytes) and
 * its payload given apart; -EAGAIN when there is no room now (or packets wait): ops->writable()
 * follows. */
int channel_try_send(struct channel *ch, enum vmbus_packet_type type, uint64_t id,
                     bool want_completion, const void *head, size_t n_head, const void *payload,
                     size_t n);

/* No more packets come in (after the present one) until channel_resume(): back pressure. */
void channel_hold(struct channel *ch);
void channel_resume(struct channel *ch);

/* The guest broke the protocol beyond repair: log 'why', stop using the rings, ops->close(). */
void channel_break(struct channel *ch, const char *why);

/* ---- GPADLs that a protocol names (receive buffers) ---------------------------------------- */

/* A complete GPADL of this contact, or NULL.  It is kept, and its teardown waits, until the put.
 * Put everything in ops->close(), or before channel_closed(). */
struct gpadl *channel_gpadl_get(struct channel *ch, uint32_t id);
void channel_gpadl_put(struct channel *ch, struct gpadl *g);
unsigned gpadl_n_ranges(const struct gpadl *g);
const struct gpa_range *gpadl_range(const struct gpadl *g, unsigned i);
