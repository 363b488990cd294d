/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmbus.h - what goes over VMBus: control messages, ring header, packets.
 *
 * Source: the Linux driver's hyperv.h, for facts; Microsoft publishes no document.
 * Everything is little endian and packed as written. */
#pragma once

#include "base/util.h"

struct guid {
    uint32_t a;
    uint16_t b, c;
    uint8_t d[8];
};
/* GUID(0xf8615163, 0xdf3e, 0x46c5, 0x913f, 0xf2d2f965ed0e): as in the text form. */
#define GUID(a_, b_, c_, d_, e_)                                                                   \
    {                                                                                              \
        a_, b_, c_,                                                                                \
        {                                                                                          \
            (uint8_t)((d_) >> 8), (uint8_t)(d_), (uint8_t)((uint64_t)(e_) >> 40),                  \
                (uint8_t)((uint64_t)(e_) >> 32), (uint8_t)((uint64_t)(e_) >> 24),                  \
                (uint8_t)((uint64_t)(e_) >> 16), (uint8_t)((uint64_t)(e_) >> 8), (uint8_t)(e_)     \
        }                                                                                          \
    }

/* Protocol versions: major << 16 | minor, but for the first. */
#define VMBUS_V0_13 0x0000000du /* Windows Server 2008 */
#define VMBUS_V1_1  0x00010001u /* 2008 R2 */
#define VMBUS_V2_4  0x00020004u /* 2012 */
#define VMBUS_V3_0  0x00030000u /* 2012 R2 */
#define VMBUS_V4_0  0x00040000u /* 2016 */
#define VMBUS_V4_1  0x00040001u
#define VMBUS_V5_0  0x00050000u
#define VMBUS_V5_1  0x00050001u
#define VMBUS_V5_2  0x00050002u
#define VMBUS_V5_3  0x00050003u /* 2022 */

#define VMBUS_MESSAGE_TYPE 1 /* of the SynIC message */

/* Connection ids of HvPostMessage and HvSignalEvent. */
#define VMBUS_MESSAGE_CONNECTION   1u
#define VMBUS_EVENT_CONNECTION     2u
#define VMBUS_MESSAGE_CONNECTION_4 4u /* first contact, from 5.0 on */

#define VMBUS_SINT         2
#define VMBUS_RELIDS       2048        /* 1 .. 2047 are channels */
#define VMBUS_NO_INTERRUPT 0xffffffffu /* 'target_vp' of an open */

enum vmbus_message_type {
    VMBUS_OFFER_CHANNEL = 1,
    VMBUS_RESCIND_OFFER = 2,
    VMBUS_REQUEST_OFFERS = 3,
    VMBUS_ALL_OFFERS_DELIVERED = 4,
    VMBUS_OPEN_CHANNEL = 5,
    VMBUS_OPEN_RESULT = 6,
    VMBUS_CLOSE_CHANNEL = 7,
    VMBUS_GPADL_HEADER = 8,
    VMBUS_GPADL_BODY = 9,
    VMBUS_GPADL_CREATED = 10,
    VMBUS_GPADL_TEARDOWN = 11,
    VMBUS_GPADL_TORNDOWN = 12,
    VMBUS_RELID_RELEASED = 13,
    VMBUS_INITIATE_CONTACT = 14,
    VMBUS_VERSION_RESPONSE = 15,
    VMBUS_UNLOAD = 16,
    VMBUS_UNLOAD_RESPONSE = 17,
    VMBUS_OPEN_RESERVED = 18,
    VMBUS_CLOSE_RESERVED = 19,
    VMBUS_CLOSE_RESERVED_RESPONSE = 20,
    VMBUS_TL_CONNECT = 21,
    VMBUS_MODIFY_CHANNEL = 22,
    VMBUS_TL_CONNECT_RESULT = 23,
    VMBUS_MODIFY_RESPONSE = 24,
    VMBUS_MESSAGE_TYPES,
};

/* NTSTATUS of the answers; the guest asks for zero or not. */
#define VMBUS_STATUS_OK           0u
#define VMBUS_STATUS_UNSUCCESSFUL 0xc0000001u
#define VMBUS_STATUS_INVALID      0xc000000du
#define VMBUS_STATUS_NO_RESOURCES 0xc000009au
#define VMBUS_STATUS_REFUSED      0xc0000236u

#define VMBUS_USER_DATA 120

#pragma pack(push, 1)

struct vmbus_header {
    uint32_t type, reserved;
};

/* Offer flags. */
#define VMBUS_OFFER_ENUMERATE 0x0001
#define VMBUS_OFFER_XFER      0x0002
#define VMBUS_OFFER_GPADL     0x0004
#define VMBUS_OFFER_PIPE      0x0010
#define VMBUS_OFFER_LOOPBACK  0x0100
#define VMBUS_OFFER_PARENT    0x0200
#define VMBUS_OFFER_HVSOCK    0x2000

#define VMBUS_PIPE_MESSAGES 4u /* the first word of user data on pipe channels */

struct vmbus_offer_channel {
    struct vmbus_header h;
    struct guid type, instance;
    uint64_t reserved[2];
    uint16_t flags, mmio_mb;
    uint8_t user[VMBUS_USER_DATA];
    uint16_t sub_index, mmio_mb_optional;
    uint32_t relid;
    uint8_t monitor_id, monitor_allocated;
    uint16_t dedicated_interrupt;
    uint32_t connection;
};
_Static_assert(sizeof(struct vmbus_offer_channel) == 196, "offer");

struct vmbus_relid { /* RESCIND_OFFER, CLOSE_CHANNEL, RELID_RELEASED */
    struct vmbus_header h;
    uint32_t relid;
};

struct vmbus_open_channel {
    struct vmbus_header h;
    uint32_t relid, open_id, gpadl, target_vp, down_page;
    uint8_t user[VMBUS_USER_DATA];
};
_Static_assert(sizeof(struct vmbus_open_channel) == 148, "open");

struct vmbus_open_result {
    struct vmbus_header h;
    uint32_t relid, open_id, status;
};

struct vmbus_gpadl_header {
    struct vmbus_header h;
    uint32_t relid, gpadl;
    uint16_t ranges_size, n_ranges; /* the size wraps at 64 KiB: not to be believed */
};

struct vmbus_gpadl_body {
    struct vmbus_header h;
    uint32_t number, gpadl;
};

struct vmbus_gpadl_range {
    uint32_t size, offset; /* then a page number for each page that it touches */
};

struct vmbus_gpadl_created {
    struct vmbus_header h;
    uint32_t relid, gpadl, status;
};

struct vmbus_gpadl_teardown {
    struct vmbus_header h;
    uint32_t relid, gpadl;
};

struct vmbus_gpadl_torndown {
    struct vmbus_header h;
    uint32_t gpadl;
};

struct vmbus_initiate_contact {
    struct vmbus_header h;
    uint32_t version, target_vp;
    uint64_t interrupt_page; /* from 5.0 on: byte 0 is the SINT for messages */
    uint64_t monitor_page[2];
};
_Static_assert(sizeof(struct vmbus_initiate_contact) == 40, "contact");

struct vmbus_version_response {
    struct vmbus_header h;
    uint8_t supported, state;
    uint16_t reserved;
    uint32_t connection; /* where to post from now on (5.0 on) */
};

struct vmbus_tl_connect {
    struct vmbus_header h;
    struct guid endpoint, service;
};

struct vmbus_tl_connect_result {
    struct vmbus_header h;
    struct guid endpoint, service;
    uint32_t status;
};

struct vmbus_modify_channel {
    struct vmbus_header h;
    uint32_t relid, target_vp;
};

struct vmbus_modify_response {
    struct vmbus_header h;
    uint32_t relid, status;
};

#pragma pack(pop)

/* ---- rings: a page with this header, then the data ----------------------------------------- */

struct vmbus_ring_header {
    uint32_t write_index, read_index;
    uint32_t interrupt_mask;  /* the consumer's: do not signal */
    uint32_t pending_send_sz; /* the producer's: signal when this much is free */
    uint32_t reserved[12];
    uint32_t features; /* bit 0: pending_send_sz is honoured */
};
#define VMBUS_RING_PENDING_SZ 1u

/* ---- packets ------------------------------------------------------------------------------- */

enum vmbus_packet_type {
    VMBUS_PACKET_INBAND = 6,
    VMBUS_PACKET_XFER_PAGES = 7,
    VMBUS_PACKET_GPA_DIRECT = 9,
    VMBUS_PACKET_CANCEL = 0xa,
    VMBUS_PACKET_COMPLETION = 0xb,
};

#define VMBUS_PACKET_WANTS_COMPLETION 1 /* flags */
#define VMBUS_PACKET_TRAILER          8 /* bytes behind each packet */

struct vmbus_packet {
    uint16_t type;
    uint16_t offset8; /* of the payload, from the start of the packet, in 8-byte units */
    uint16_t len8;    /* of all but the trailer */
    uint16_t flags;
    uint64_t id;
};
_Static_assert(sizeof(struct vmbus_packet) == 16, "packet");

struct vmbus_gpa_direct { /* behind vmbus_packet; then the ranges */
    uint32_t reserved, n_ranges;
};

struct vmbus_xfer_pages { /* behind vmbus_packet; then the ranges: {u32 size, u32 offset} */
    uint16_t set;
    uint8_t sender_owns_set, reserved;
    uint32_t n_ranges;
};

/* Pipe channels put this before each message. */
struct vmbus_pipe_header {
    uint32_t type; /* 1: data */
    uint32_t size;
};
#define VMBUS_PIPE_DATA 1u
