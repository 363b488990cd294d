/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_wire.c - see stor_wire.h.
 *
 * Guests before 2012 (protocol 4.2 and older) send 48 bytes: without the extension at the end. */
#include "vsp/stor/stor_wire.h"

#include <errno.h>

#define STOR_PACKET_MIN 48

enum {
    AT_OPERATION = 0, AT_STATUS = 8, AT_SRB_STATUS = 14, AT_SCSI_STATUS = 15, AT_PORT = 16,
    AT_PATH = 17, AT_TARGET = 18, AT_LUN = 19, AT_CDB_LEN = 20, AT_SENSE_LEN = 21, AT_DATA_IN = 22,
    AT_DATA_LEN = 24, AT_CDB = 28, AT_VERSION = 12, AT_MAX_CHANNELS = 16, AT_PROPERTY_FLAGS = 20,
    AT_MAX_TRANSFER = 24, AT_SUB_CHANNELS = 12,
};

static int decode_srb(const uint8_t *raw, struct stor_srb *s)
{
    *s = (struct stor_srb){
        .port = raw[AT_PORT],
        .path = raw[AT_PATH],
        .target = raw[AT_TARGET],
        .lun = raw[AT_LUN],
        .cdb_len = raw[AT_CDB_LEN],
        .data = raw[AT_DATA_IN],
        .data_len = get_le32(raw + AT_DATA_LEN),
    };
    if (s->cdb_len > sizeof s->cdb || s->data > STOR_DATA_NONE)
        return -EBADMSG;
    memcpy(s->cdb, raw + AT_CDB, s->cdb_len);
    return 0;
}

int stor_decode(const uint8_t *raw, size_t n, struct stor_request *ret)
{
    if (n < STOR_PACKET_MIN)
        return -EBADMSG;
    *ret = (struct stor_request){ .operation = get_le32(raw + AT_OPERATION) };
    switch (ret->operation) {
    case STOR_EXECUTE_SRB: return decode_srb(raw, &ret->srb);
    case STOR_QUERY_VERSION: ret->version = get_le16(raw + AT_VERSION); break;
    case STOR_CREATE_SUB_CHANNELS: ret->n_sub_channels = get_le16(raw + AT_SUB_CHANNELS); break;
    default: break;
    }
    return 0;
}

void stor_encode_answer(uint8_t out[STOR_PACKET_SIZE], const uint8_t *raw, uint32_t status)
{
    memcpy(out, raw, STOR_PACKET_SIZE);
    put_le32(out + AT_OPERATION, STOR_COMPLETE_IO);
    put_le32(out + AT_STATUS, status);
}

void stor_encode_result(uint8_t out[STOR_PACKET_SIZE], const uint8_t *raw,
                        const struct stor_result *r)
{
    stor_encode_answer(out, raw, STOR_SUCCESS);
    out[AT_SRB_STATUS] = r->srb_status;
    out[AT_SCSI_STATUS] = r->scsi_status;
    put_le32(out + AT_DATA_LEN, r->moved);
    if (r->sense_len) {
        memset(out + AT_CDB, 0, STOR_SENSE_MAX);
        memcpy(out + AT_CDB, r->sense, MIN(r->sense_len, STOR_SENSE_MAX));
        out[AT_SENSE_LEN] = r->sense_len;
    }
}

void stor_encode_properties(uint8_t out[STOR_PACKET_SIZE], const uint8_t *raw,
                            const struct stor_properties *p)
{
    stor_encode_answer(out, raw, STOR_SUCCESS);
    memset(out + 12, 0, 24);
    put_le16(out + AT_MAX_CHANNELS, p->max_sub_channels);
    put_le32(out + AT_PROPERTY_FLAGS, p->max_sub_channels ? STOR_FLAG_MULTI_CHANNEL : 0);
    put_le32(out + AT_MAX_TRANSFER, p->max_transfer);
}

void stor_encode_enumerate(uint8_t out[STOR_PACKET_SIZE])
{
    memset(out, 0, STOR_PACKET_SIZE);
    put_le32(out + AT_OPERATION, STOR_ENUMERATE_BUS);
}
