/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vsc_model.h - for tests of VMBus and of providers: a guest's bus driver and ring code, written to
 * behave as Linux' does, races included.
 *
 * With 'loop' given, one thread plays both sides: waiting runs the loop.  Without, the loop runs on
 * a thread of its own and waiting sleeps for the guest's interrupt. */
#pragma once

#include "base/loop.h"
#include "hv/hv_model.h"
#include "spec/vmbus.h"

#define VSC_OFFERS_MAX 64
#define VSC_WAIT_MS    10000

struct vsc {
    struct hv_model *m;
    struct loop *loop; /* NULL: it runs elsewhere */
    uint32_t version, connection, next_gpadl;
    uint64_t next_page;
    struct vmbus_offer_channel offer[VSC_OFFERS_MAX];
    unsigned n_offers;
    uint32_t rescinded[VSC_OFFERS_MAX];
    unsigned n_rescinded;
    bool all_offers;
};

void vsc_init(struct vsc *g, struct hv_model *m, struct loop *loop);

/* Pages of guest memory, scattered; 'pfn' gets their numbers. */
void vsc_pages(struct vsc *g, uint64_t *pfn, unsigned n);

/* ---- messages ---- */

enum hv_status vsc_post(struct vsc *g, const void *msg, size_t n);

/* The next message that is of 'type'; offers and rescinds that come before are noted in 'g', all
 * else is dropped.  false: it does not come. */
bool vsc_wait(struct vsc *g, enum vmbus_message_type type, void *msg, size_t n);

/* Take what is there. */
void vsc_drain(struct vsc *g);

bool vsc_contact(struct vsc *g, uint32_t version); /* is it supported? */
bool vsc_request_offers(struct vsc *g);
bool vsc_connect(struct vsc *g, uint32_t version); /* both */
const struct vmbus_offer_channel *vsc_offer(const struct vsc *g, const struct guid *type,
                                            unsigned sub_index);

/* One range of whole pages, as Linux sends it; the status of the answer (all ones: none). */
uint32_t vsc_gpadl(struct vsc *g, uint32_t relid, const uint64_t *pfn, unsigned n,
                   uint32_t *ret_id);
bool vsc_teardown(struct vsc *g, uint32_t relid, uint32_t id);
bool vsc_unload(struct vsc *g);

/* ---- channels ---- */

#define VSC_RING_PAGES_MAX 128

struct vsc_ring {
    struct vmbus_ring_header *head;
    uint8_t *page[VSC_RING_PAGES_MAX];
    uint32_t size;
};

struct vsc_channel {
    struct vsc *g;
    struct vmbus_offer_channel offer;
    uint32_t gpadl, vp;
    uint64_t pfn[2 * VSC_RING_PAGES_MAX];
    unsigned n_pages; /* of each ring, header included */
    struct vsc_ring out, in;
    uint32_t read_at;        /* packets taken, not yet given back */
    uint64_t interrupts_out; /* signals to the host */
};

/* Rings of 'pages' each; the status of the answer. */
uint32_t vsc_open(struct vsc *g, struct vsc_channel *c, const struct vmbus_offer_channel *offer,
                  unsigned pages, uint32_t vp);
bool vsc_close(struct vsc_channel *c); /* and its GPADL */

/* As vmbus_sendpacket...(): -EAGAIN when the ring is full. */
int vsc_send(struct vsc_channel *c, enum vmbus_packet_type type, uint64_t id, bool completion,
             const void *head, size_t n_head, const void *payload, size_t n);

/* The next packet, header and all, into 'buf': its size, or 0.  vsc_done() gives back what was
 * taken and wakes the host if it waits. */
int vsc_recv(struct vsc_channel *c, void *buf, size_t size);
void vsc_done(struct vsc_channel *c);

/* Signal the host; wait until the channel's event flag is set (and clear it). */
void vsc_signal(struct vsc_channel *c);
bool vsc_wait_event(struct vsc_channel *c);

/* Wait for a packet and take it: its size, or 0 when none comes. */
int vsc_wait_packet(struct vsc_channel *c, void *buf, size_t size);
