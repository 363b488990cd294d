/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_model.h - for tests: a machine with one synthetic SCSI controller, two disks in memory behind
 * it, and what a guest's storvsc does with them, well-behaved or not. */
#pragma once

#include "disk/mem_model.h"
#include "vmbus/vmbus_model.h"
#include "vsp/stor/stor.h"
#include "vsp/stor/stor_wire.h"

#define STOR_MODEL_DISKS 2
#define STOR_MODEL_SIZE  (4 * MIB)
#define STOR_MODEL_PAGES 300 /* of guest memory, for data */

static const uint8_t stor_model_lun[STOR_MODEL_DISKS] = { 0, 5 };

struct stor_model {
    struct bus_model b;
    struct disk_io *io;
    struct mem_disk disk[STOR_MODEL_DISKS];
    struct scsi_unit *unit[STOR_MODEL_DISKS]; /* NULL: gone */
    struct stor *stor;
    struct vsc_channel ch[1 + STOR_SUB_CHANNELS]; /* [0]: the primary */
    uint64_t pfn[STOR_MODEL_PAGES];
    unsigned gone; /* units that were let go */
    bool taken;      /* somebody else has them */
    unsigned claims; /* 1: the driver has */
};

/* A request as a test builds it; stor_model_srb() gives the usual one. */
struct stor_ask {
    uint8_t raw[STOR_PACKET_SIZE];
    size_t n;             /* bytes of 'raw' to send */
    bool no_completion;
    bool buffer;          /* GPA direct, else in band */
    uint32_t size, offset; /* of the one range */
    const uint64_t *pfn;
};

void stor_model_init(struct stor_model *m, unsigned n_vps);
void stor_model_done(struct stor_model *m); /* answers what the disks still have */

/* Contact, offers, the primary open with rings of 'pages'. */
void stor_model_open(struct stor_model *m, unsigned pages);
/* The same and the start of the protocol, as Linux: the status of the last answer. */
uint32_t stor_model_start(struct stor_model *m, unsigned pages);

/* Save everything; nothing may be in flight.  Load into a new machine with the same disks; after a
 * failure it can only be done with, or load again.  Move: both. */
int stor_model_save(struct stor_model *m, struct buf *state, struct err *err);
int stor_model_load(struct stor_model *m, const struct buf *state, struct err *err);
int stor_model_move(struct stor_model *m, struct buf *state, struct err *err);

struct stor_ask stor_model_op(uint32_t operation, uint16_t word);
/* 'len' bytes of the model's data pages from 'offset' on; direction as in the packet. */
struct stor_ask stor_model_srb(struct stor_model *m, uint8_t lun, enum stor_data dir,
                               const void *cdb, size_t n_cdb, uint32_t offset, uint32_t len);
struct stor_ask stor_model_rw(struct stor_model *m, uint8_t lun, bool write, uint32_t lba,
                              uint16_t blocks);

int stor_model_send(struct stor_model *m, unsigned ch, uint64_t id, const struct stor_ask *a);

/* The next packet on a channel: its type, 0 when there is none even after some turns of the loop. */
unsigned stor_model_take(struct stor_model *m, unsigned ch, uint64_t *ret_id,
                         uint8_t out[STOR_PACKET_SIZE]);

/* Send, and take the answer into 'out'; false: none came, or not to this. */
bool stor_model_do(struct stor_model *m, unsigned ch, uint64_t id, const struct stor_ask *a,
                   uint8_t out[STOR_PACKET_SIZE]);

/* The same for a request on the primary, whose NTSTATUS is the result (all ones: none came). */
uint32_t stor_model_status(struct stor_model *m, const struct stor_ask *a);
