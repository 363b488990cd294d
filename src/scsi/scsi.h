/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi.h - SCSI logical units over disks; knows no transport.
 *
 * The transport (storvsp, ATAPI) fills in a struct scsi_rq and calls scsi_exec(); done() comes exactly
 * once, on the disk's loop, maybe before scsi_exec() returns.  Data moves straight between the disk
 * and the buffers of 'iov'; short answers are built in the request and copied.
 *
 *   cdb.c        command blocks -> struct scsi_cmd: one table, pure            cdb.h
 *   unit.c       what every unit does: dispatch, sense, unit attentions        unit.h
 *   hard_disk.c  SBC-3 direct access device        optical.c  MMC-6 CD/DVD-ROM
 *   inquiry.c    INQUIRY and VPD pages             mode.c     mode pages
 *   reserve.c    persistent reservations (SPC-4 5.12)
 *
 * Threads: everything on the loop of the unit's disk. */
#pragma once

#include "disk/disk.h"
#include "spec/scsi.h"

#define SCSI_CDB_MAX   16
#define SCSI_SENSE_LEN 18   /* fixed format */
#define SCSI_REPLY_MAX 4096 /* short answers and parameter lists */

struct scsi_unit;

struct scsi_rq {
    /* The transport's. */
    uint8_t cdb[SCSI_CDB_MAX];
    uint64_t initiator;  /* I_T nexus: who asks (for reservations); not 0 */
    struct iovec *iov;   /* data buffer, of 'len' bytes in all; the request may change the array */
    unsigned n_iov;
    uint32_t len;
    void (*done)(struct scsi_rq *rq);

    /* The answer. */
    uint8_t status;      /* enum scsi_status */
    uint8_t sense_len;   /* 0 or SCSI_SENSE_LEN */
    uint8_t sense[SCSI_SENSE_LEN];
    uint32_t moved;      /* bytes of 'iov' that were transferred */

    /* The unit's. */
    struct scsi_unit *unit;
    struct disk_rq disk;
    struct iovec own_iov;
    uint8_t *bounce;     /* heap: WRITE SAME pattern, VERIFY data */
    uint64_t next_off, end_off; /* a command of several disk requests: what is left */
    unsigned unmap_i, unmap_n;
    uint8_t reply[SCSI_REPLY_MAX];
};

void scsi_exec(struct scsi_unit *u, struct scsi_rq *rq);

/* A unit borrows its disk.  'serial' and 'naa' identify it for ever (VPD pages 80 and 83). */
struct scsi_identity {
    char serial[33]; /* printable ASCII */
    uint8_t naa[8];  /* NAA 3 (locally assigned) designator */
};
/* From the image's own GUID, or from a hash of 'name' where it has none. */
void scsi_identity_make(struct scsi_identity *id, const struct disk *d, const char *name);

struct scsi_unit *scsi_hard_disk_new(struct disk *d, const struct scsi_identity *id);
struct scsi_unit *scsi_optical_new(struct disk *medium, const struct scsi_identity *id); /* or NULL: empty */
void scsi_unit_free(struct scsi_unit *u); /* nothing in flight */

/* Peripheral device type: 0 disk, 5 CD/DVD. */
uint8_t scsi_unit_type(const struct scsi_unit *u);
struct disk *scsi_unit_disk(const struct scsi_unit *u);
unsigned scsi_unit_inflight(const struct scsi_unit *u);

/* The disk grew or shrank under the unit: the guest is told at its next command. */
void scsi_unit_resized(struct scsi_unit *u);

/* Optical: change the medium (NULL: eject).  Returns -EBUSY while the guest prevents removal, unless
 * 'force'.  The old medium is the caller's again.  'eject' is asked when the guest opens the tray. */
int scsi_optical_change(struct scsi_unit *u, struct disk *medium, bool force);
void scsi_optical_on_eject(struct scsi_unit *u, void (*eject)(void *owner), void *owner);

/* Mode pages, attentions and reservations travel with a saved VM. */
extern const struct state_desc scsi_unit_state;

/* A transport answers for an absent unit. */
void scsi_exec_absent(struct scsi_rq *rq);
/* REPORT LUNS over the units at a target: 'lun' are n numbers below 256. */
void scsi_exec_report_luns(struct scsi_rq *rq, const uint8_t *lun, unsigned n);
