/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor.h - synthetic storage: a SCSI controller on VMBus, for hv_storvsc and its sisters.
 *
 * A controller has units at path 0, target 0, LUN 0 .. 63 (an IDE accelerator: one unit at target
 * 'device').  Units come and go while the guest runs.
 *
 * Threads: all on the bus's loop, on which the units' disks must live, too. */
#pragma once

#include "scsi/scsi.h"
#include "vmbus/channel.h"

#define STOR_LUNS         64
#define STOR_SUB_CHANNELS 15                 /* at most; fewer for fewer VPs */
#define STOR_TRANSFER_MAX (1u << 20)         /* bytes of one request */
#define STOR_OPS_MAX      4096               /* requests in flight on one controller */

struct stor;

enum stor_kind { STOR_SCSI, STOR_IDE_ACCELERATOR };

struct stor_config {
    struct vmbus *bus;  /* borrowed */
    enum stor_kind kind;
    unsigned controller; /* SCSI: number of the controller; IDE: channel 0 or 1 */
    unsigned device;     /* IDE: 0 or 1 */
    uint64_t initiator;  /* identity of this VM for reservations; not 0 */
    /* NULL, or: the guest's driver is ready and wants the units (true), or has left (false).  When the
     * answer is false, it finds none. */
    bool (*claim)(void *owner, bool on);
    void *owner;
};

int stor_new(const struct stor_config *cfg, struct stor **ret, struct err *err);
void stor_free(struct stor *s); /* after vmbus_free(); units are the caller's */

/* Plug a unit in; -EBUSY: the LUN is taken.  The guest is told when it is there. */
int stor_attach(struct stor *s, unsigned lun, struct scsi_unit *u);

/* Take it out: new requests are refused from now on; 'gone' is called (maybe at once) when none is
 * in flight, and the unit is the caller's again.  -ENOENT; -EBUSY: on its way already. */
int stor_detach(struct stor *s, unsigned lun, void (*gone)(void *owner, struct scsi_unit *u),
                void *owner);

/* Requests in flight, all channels: a VM is saved when there are none. */
unsigned stor_inflight(const struct stor *s);

/* Another identity: that of a machine that is being restored, before its state. */
void stor_set_initiator(struct stor *s, uint64_t initiator);

/* The guest has taken this channel's protocol through to its end (it uses the disks). */
bool stor_ready(const struct stor *s);
