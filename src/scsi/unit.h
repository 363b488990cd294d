/* SPDX-License-Identifier: GPL-2.0-or-later */
/* unit.h - what the files of scsi/ share about a logical unit. */
#pragma once

#include "scsi/cdb.h"
#include "scsi/reserve.h"

#define SCSI_ATTENTIONS_MAX 8 /* initiators whose unit attention we remember one by one */

struct scsi_attention {
    uint64_t initiator;
    uint16_t asc; /* 0: none */
};

struct scsi_unit {
    uint8_t type;       /* peripheral device type */
    struct disk *disk;  /* NULL: optical drive without medium */
    struct scsi_identity id;
    unsigned inflight;
    /* A command that passed all checks; answers by unit_good() and the like. */
    void (*exec)(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);

    struct scsi_attention attention[SCSI_ATTENTIONS_MAX];
    uint16_t attention_all; /* for initiators that are not in the table yet */
    struct reservations reservations;

    uint8_t write_cache; /* mode page 8, WCE */
    uint8_t stopped;     /* START STOP UNIT */
    uint8_t prevented;   /* PREVENT ALLOW MEDIUM REMOVAL */
    uint8_t tray_open;   /* optical */
    uint8_t media_event; /* optical: GET EVENT STATUS NOTIFICATION's next media event */
    void (*eject)(void *owner);
    void *eject_owner;
};

/* ---- answers: each ends the request ---------------------------------------------------------- */
void unit_good(struct scsi_rq *rq);
void unit_status(struct scsi_rq *rq, enum scsi_status status);
void unit_sense(struct scsi_rq *rq, enum scsi_sense_key key, enum scsi_asc asc);
/* Bad field: byte 'at' of the CDB, or of the parameter list. */
void unit_bad_cdb(struct scsi_rq *rq, unsigned at);
void unit_bad_parameter(struct scsi_rq *rq, unsigned at);
/* n bytes of rq->reply, cut to 'alloc' and to the buffer. */
void unit_reply(struct scsi_rq *rq, size_t n, uint32_t alloc);
/* A disk request of rq came back: errno -> sense. */
void unit_disk_result(struct scsi_rq *rq, int err, enum scsi_asc on_error);

/* Parameter list: the first 'n' bytes of the buffer into rq->reply.  false: it was refused. */
bool unit_parameters(struct scsi_rq *rq, uint32_t n);

void unit_attention(struct scsi_unit *u, uint64_t initiator, enum scsi_asc asc); /* 0: everybody */
void unit_attention_but(struct scsi_unit *u, uint64_t spared, enum scsi_asc asc);

/* ---- parts ----------------------------------------------------------------------------------- */
void unit_inquiry(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);   /* inquiry.c */
void unit_mode_sense(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c); /* mode.c */
void unit_mode_select(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
void unit_supported_opcodes(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
void hard_disk_exec(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
void optical_exec(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
bool hard_disk_knows(uint8_t opcode);
bool optical_knows(uint8_t opcode);
