/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_wire.h - storage packets, decoded and encoded: pure.  Layouts: spec/storvsp.h. */
#pragma once

#include "base/bytes.h"
#include "spec/storvsp.h"

struct stor_srb {
    uint8_t port, path, target, lun;
    uint8_t cdb_len, data; /* enum stor_data */
    uint32_t data_len;
    uint8_t cdb[16];
};

struct stor_request {
    uint32_t operation;
    union {
        struct stor_srb srb;      /* EXECUTE_SRB */
        uint16_t version;         /* QUERY_VERSION: major << 8 | minor */
        uint16_t n_sub_channels;  /* CREATE_SUB_CHANNELS */
    };
};

/* 0, or -EBADMSG: too short, a CDB above 16 bytes, an unknown direction.  'raw' may be longer. */
int stor_decode(const uint8_t *raw, size_t n, struct stor_request *ret);

/* An answer to 'raw' (STOR_PACKET_SIZE bytes): its copy with operation and status replaced. */
void stor_encode_answer(uint8_t out[STOR_PACKET_SIZE], const uint8_t *raw, uint32_t status);

struct stor_result {
    uint8_t srb_status, scsi_status;
    uint32_t moved;
    uint8_t sense_len;
    const uint8_t *sense;
};
void stor_encode_result(uint8_t out[STOR_PACKET_SIZE], const uint8_t *raw,
                        const struct stor_result *r);

struct stor_properties {
    uint16_t max_sub_channels;
    uint32_t max_transfer; /* bytes */
};
void stor_encode_properties(uint8_t out[STOR_PACKET_SIZE], const uint8_t *raw,
                            const struct stor_properties *p);
void stor_encode_enumerate(uint8_t out[STOR_PACKET_SIZE]);
