/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synic.h - the synthetic interrupt controller, as seen by who talks to the guest through it
 * (VMBus).
 *
 * Spec: TLFS 11.  Each VP has 16 SINTs; each SINT has a slot in the VP's message page and 2048
 * flags in its event page, both in guest memory where the guest put them.
 *
 * Threads: every function here is for any thread.  The callbacks of synic_ports come on VP
 * threads, several at once, with no lock of hv/ held. */
#pragma once

#include "guest/gmem.h"
#include "spec/tlfs.h"

struct hv;

/* Messages to one SINT of one VP wait in order until the guest has emptied its slot. */
#define SYNIC_QUEUE_MAX 4096

/* Queue a message and deliver it as soon as the guest's state allows.  'n' is at most
 * HV_MESSAGE_PAYLOAD.  -ENOSPC: SYNIC_QUEUE_MAX wait already; -ENOMEM. */
int synic_post(struct hv *hv, unsigned vp, unsigned sint, uint32_t type, const void *payload,
               size_t n);

/* How many wait (the one in the guest's slot is not counted), and forgetting them. */
size_t synic_queued(struct hv *hv, unsigned vp, unsigned sint);
void synic_forget(struct hv *hv, unsigned vp, unsigned sint);

/* Set an event flag (0 .. HV_EVENT_FLAGS - 1) and interrupt when it was clear.  false: the guest
 * has no event page there now; the signal is lost, as on hardware. */
bool synic_signal(struct hv *hv, unsigned vp, unsigned sint, unsigned flag);

/* What the guest calls: the ports that its connection ids lead to. */
struct synic_ports {
    /* HvPostMessage; 'payload' is a private copy of 'n' bytes.  HV_SUCCESS: it was taken.
     * HV_INSUFFICIENT_BUFFERS: the guest tries again later. */
    enum hv_status (*message)(void *owner, uint32_t connection, uint32_t type, const void *payload,
                              size_t n);

    /* HvSignalEvent: must be quick. */
    enum hv_status (*event)(void *owner, uint32_t connection, uint16_t flag);

    /* The queue of this SINT has run empty. */
    void (*drained)(void *owner, unsigned vp, unsigned sint);
};

/* Before VPs run; one owner.  NULL: none, every connection id is invalid. */
void synic_set_ports(struct hv *hv, const struct synic_ports *ports, void *owner);

unsigned synic_n_vps(const struct hv *hv);
struct gmem *synic_gmem(const struct hv *hv);

/* The partition's reference time, 100 ns: what the guest reads from MSR 0x40000020 right now. */
uint64_t hv_ref_time(const struct hv *hv);
