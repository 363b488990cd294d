/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.h - the VMBus server of one machine: contact, offers, GPADLs, channels.
 *
 * Providers (vsp/) offer channels on it, see channel.h.  Guests from Windows Server 2008 R2's time
 * (protocol 0.13 and 1.1) to 5.3 are served; a guest that makes contact anew (kexec, reboot) gets a
 * fresh bus.
 *
 * Threads: everything lives on the thread of 'loop'.  VP threads only leave messages and signals,
 * through synic_ports.  Functions below are for the loop's thread, or for anybody while neither the
 * loop nor a VP runs.
 *
 * The guest finds the bus by ACPI: a device with _HID "VMBus" (or _CID), _UID 0, _STA 0xf and a
 * _CRS method, which may be an empty ResourceTemplate but must exist.  Its parent's _CRS (PCI root,
 * or a module device ACPI0004) must list memory windows that overlap nothing, for video later.
 * Linux needs no interrupt there; drivers of 2008 R2's time want one: IRQNoFlags {7}. */
#pragma once

#include "base/loop.h"
#include "base/state.h"
#include "hv/synic.h"
#include "spec/vmbus.h"

struct vmbus;

struct vmbus_ops {
    /* The guest agreed on a version, or has gone (UNLOAD, reset): version 0.  May be NULL. */
    void (*contact)(void *owner, uint32_t version);

    /* A vmbus_reset() that could not finish at once has finished.  May be NULL when no provider
     * closes its channels late. */
    void (*quiet)(void *owner);
};

struct vmbus_config {
    struct hv *hv; /* all borrowed */
    struct loop *loop;
    uint32_t max_version;        /* 0: the newest known */
    const struct vmbus_ops *ops; /* may be NULL */
    void *owner;
};

int vmbus_new(const struct vmbus_config *cfg, struct vmbus **ret, struct err *err);

/* Channels go without a word to their providers, which must have nothing in flight; free them after
 * the bus. */
void vmbus_free(struct vmbus *v);

/* The machine was reset: all channels close, offers wait for the next contact.  No VP runs.
 * false: some provider still has requests in flight; ops->quiet() follows.  Guest memory must stay
 * as it is until then. */
bool vmbus_reset(struct vmbus *v);

/* While no VP runs.  Providers have offered the same channels (type and instance) before the load;
 * the hv was loaded before.  -EBUSY: a channel is being closed; try again later.  After a failed load
 * the bus can only be freed. */
int vmbus_save(struct vmbus *v, struct buf *to, struct err *err);
int vmbus_load(struct vmbus *v, struct bytes *from, struct err *err);

uint32_t vmbus_version(const struct vmbus *v); /* 0: no contact */
struct loop *vmbus_loop(const struct vmbus *v);
struct gmem *vmbus_gmem(const struct vmbus *v);
unsigned vmbus_n_vps(const struct vmbus *v);
uint64_t vmbus_ref_time(const struct vmbus *v); /* 100 ns, what the guest's counter says now */

/* A line per channel for the monitor: relid, name, instance, state, ring levels, counters. */
void vmbus_dump(struct vmbus *v, FILE *to);
