/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmbus_model.h - for tests: a machine with a bus, the guest's driver (vsc_model.h), and a provider
 * that echoes what it gets and can be told to misbehave. */
#pragma once

#include "vmbus/channel.h"
#include "vmbus/vsc_model.h"

#define ECHO_TYPE     GUID(0x11111111, 0x2222, 0x3333, 0x4444, 0x555555555555)
#define ECHO_INSTANCE GUID(0xa0000000, 0x2222, 0x3333, 0x4444, 0x555555555555)

struct bus_model {
    struct hv_model m;
    struct loop *loop;
    struct vmbus *bus;
    struct vsc g;
    uint32_t contact; /* what the ops were told last */
    unsigned contacts, quiets;
};

/* Not threaded: the clock stands and the guest's waiting turns the loop.  Threaded: real time, and the
 * test runs 'loop' on a thread of its own. */
void bus_model_init(struct bus_model *b, unsigned n_vps, bool threaded);
void bus_model_done(struct bus_model *b);

/* A new hv and a new bus at the place of the old ones. */
void bus_model_renew(struct bus_model *b);

/* An echo provider: every in-band or GPA-direct packet that wants it is completed with its payload;
 * one that does not is sent back in band.  One per channel. */
struct echo {
    struct channel *ch; /* NULL when removed */
    bool refuse, close_late, keep; /* keep: do not answer now, but the test does */
    bool speak_first; /* sends "hello" when opened */
    unsigned opens, closes, packets, writables, removed;
    bool closing;
    struct packet last;
    uint8_t payload[4096];
    struct gpadl *gpadl; /* kept for the test */
    uint64_t kept_id[256];
    unsigned n_kept;
    uint32_t saved; /* travels with save and load */
};

int echo_offer(struct bus_model *b, struct echo *e, uint8_t instance);
int echo_offer_sub(struct echo *primary, struct echo *e, unsigned index);
const struct vmbus_offer_channel *echo_find(struct bus_model *b, const struct echo *e);
extern const struct guid echo_type;
