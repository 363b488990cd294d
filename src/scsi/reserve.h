/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reserve.h - persistent reservations of one unit (SPC-4 5.12) and the old RESERVE(6). */
#pragma once

#include "scsi/cdb.h"

#define REGISTRATIONS_MAX 32

enum reservation_type {
    RES_NONE = 0,
    RES_WRITE_EXCLUSIVE = 1,
    RES_EXCLUSIVE_ACCESS = 3,
    RES_WRITE_EXCLUSIVE_REGISTRANTS = 5,
    RES_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
    RES_WRITE_EXCLUSIVE_ALL = 7,
    RES_EXCLUSIVE_ACCESS_ALL = 8,
};

struct registration {
    uint64_t initiator, key; /* key 0: slot is free */
};

struct reservations {
    struct registration reg[REGISTRATIONS_MAX];
    uint32_t generation;
    uint8_t type;    /* enum reservation_type */
    uint64_t holder; /* initiator; meaningless for the ALL types */
    uint64_t old;    /* RESERVE(6) holder, 0: none */
};

struct scsi_unit;

/* May this initiator run this command now? */
bool reserve_allows(const struct reservations *r, uint64_t initiator, const struct scsi_cmd *c);

void reserve_in(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
void reserve_out(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
void reserve_6(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);

extern const struct state_desc reservations_state;
