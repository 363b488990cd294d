/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cdb.h - command descriptor blocks, decoded: pure. */
#pragma once

#include "scsi/scsi.h"

enum scsi_data { DATA_NONE, DATA_IN, DATA_OUT };

struct scsi_cmd {
    uint8_t opcode;
    uint8_t service;   /* service action, where the opcode has one */
    const char *name;
    enum scsi_data data;
    uint64_t lba;
    uint32_t blocks;   /* transfer length in blocks */
    uint8_t length_at; /* its first byte */
    uint32_t alloc;    /* allocation or parameter list length in bytes */
    bool fua, unmap, anchor, ndob; /* flag bits of byte 1 */
    uint8_t bytchk;    /* VERIFY */
    uint8_t control, control_at;
    const uint8_t *cdb; /* for what is peculiar to one command */
};

/* false: no command of ours; the rest says nothing. */
bool scsi_cmd_decode(const uint8_t cdb[SCSI_CDB_MAX], struct scsi_cmd *ret);

/* For REPORT SUPPORTED OPERATION CODES: the i-th command, or NULL; its CDB length and usage mask. */
struct scsi_cmd_info {
    uint8_t opcode, service;
    bool has_service;
    uint8_t len;
    const char *name;
};
const struct scsi_cmd_info *scsi_cmd_info(unsigned i);
