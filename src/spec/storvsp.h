/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storvsp.h - the storage protocol over VMBus: one 64-byte packet, the same both ways.
 *
 * Source: the Linux driver's storvsc_drv.c, for facts. */
#pragma once

#include "base/util.h"

#define STOR_PACKET_SIZE 64

enum stor_operation {
    STOR_COMPLETE_IO = 1, /* every answer */
    STOR_REMOVE_DEVICE = 2,
    STOR_EXECUTE_SRB = 3,
    STOR_RESET_LUN = 4,
    STOR_RESET_ADAPTER = 5,
    STOR_RESET_BUS = 6,
    STOR_BEGIN_INIT = 7,
    STOR_END_INIT = 8,
    STOR_QUERY_VERSION = 9,
    STOR_QUERY_PROPERTIES = 10,
    STOR_ENUMERATE_BUS = 11, /* unsolicited: devices came or went */
    STOR_FC_DATA = 12,
    STOR_CREATE_SUB_CHANNELS = 13,
};

#define STOR_V4_2 0x0402 /* 2008 R2 */
#define STOR_V5_1 0x0501 /* 2012 */
#define STOR_V6_0 0x0600 /* 2012 R2 */
#define STOR_V6_2 0x0602 /* 2016 */

/* NTSTATUS values of 'status'. */
#define STOR_SUCCESS           0u
#define STOR_UNSUCCESSFUL      0xc0000001u
#define STOR_INVALID_REQUEST   0xc0000010u
#define STOR_REVISION_MISMATCH 0xc0000059u

#define STOR_FLAG_MULTI_CHANNEL 1u /* of QUERY_PROPERTIES */

enum stor_srb_status {
    SRB_SUCCESS = 0x01,
    SRB_ABORTED = 0x02,
    SRB_ERROR = 0x04,
    SRB_INVALID_REQUEST = 0x06,
    SRB_INVALID_LUN = 0x20,
    SRB_AUTOSENSE_VALID = 0x80,
};

#define STOR_SENSE_MAX 20

enum stor_data { STOR_DATA_OUT = 0, STOR_DATA_IN = 1, STOR_DATA_NONE = 2 };
