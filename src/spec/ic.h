/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ic.h - integration services: the messages that the host sends and the guest echoes with answers.
 *
 * Source: the Linux driver's hyperv.h and hv_util.c, for facts. */
#pragma once

#include "spec/vmbus.h"

#define IC_HEARTBEAT_TYPE     GUID(0x57164f39, 0x9115, 0x4e78, 0xab55, 0x382f3bd5422d)
#define IC_HEARTBEAT_INSTANCE GUID(0xfd149e91, 0x82e0, 0x4a7d, 0xafa6, 0x2a4166cbd7c0)
#define IC_SHUTDOWN_TYPE      GUID(0x0e0b6031, 0x5213, 0x4934, 0x818b, 0x38d90ced39db)
#define IC_SHUTDOWN_INSTANCE  GUID(0xb6650ff7, 0x33bc, 0x4840, 0x8048, 0xe0676786f393)
#define IC_TIMESYNC_TYPE      GUID(0x9527e630, 0xd0ae, 0x497b, 0xadce, 0xe80ab0175caf)
#define IC_TIMESYNC_INSTANCE  GUID(0x2dd1ce17, 0x079e, 0x403c, 0xb352, 0xa1921ee207ee)

enum ic_message_type {
    IC_NEGOTIATE = 0,
    IC_HEARTBEAT = 1,
    IC_KVP = 2,
    IC_SHUTDOWN = 3,
    IC_TIMESYNC = 4,
    IC_VSS = 5,
    IC_FCOPY = 7,
};

#define IC_FLAG_TRANSACTION 1
#define IC_FLAG_REQUEST     2
#define IC_FLAG_RESPONSE    4

#define IC_STATUS_OK            0u
#define IC_STATUS_FAIL          0x80004005u
#define IC_STATUS_NOT_SUPPORTED 0x80070032u

#pragma pack(push, 1)

struct ic_version {
    uint16_t major, minor;
};

/* Behind the pipe header. */
struct ic_header {
    struct ic_version framework;
    uint16_t type;
    struct ic_version message;
    uint16_t size; /* of the body */
    uint32_t status;
    uint8_t transaction, flags;
    uint16_t reserved;
};
_Static_assert(sizeof(struct ic_header) == 20, "IC header");

struct ic_negotiate { /* then the framework versions, then the message versions */
    uint16_t n_framework, n_message;
    uint32_t reserved;
};

struct ic_heartbeat_body {
    uint64_t sequence; /* the answer has one more */
    uint32_t reserved[8];
};

#define IC_SHUTDOWN_POWER_OFF 0u /* flags; with 1 added: by force */
#define IC_SHUTDOWN_REBOOT    2u
#define IC_SHUTDOWN_HIBERNATE 4u
#define IC_SHUTDOWN_FORCE     1u

struct ic_shutdown_body {
    uint32_t reason, timeout_s, flags;
    uint8_t message[2048];
};
_Static_assert(sizeof(struct ic_shutdown_body) == 2060, "all of it must be there");

#define IC_TIME_SYNC   1 /* set the clock now */
#define IC_TIME_SAMPLE 2

struct ic_time_v4 {
    uint64_t host_time; /* 100 ns since 1601 */
    uint64_t ref_time;  /* the guest's reference counter at that moment */
    uint8_t flags, leap, stratum, reserved[5];
};
_Static_assert(sizeof(struct ic_time_v4) == 24, "time sync 4.0");

struct ic_time_v1 { /* 1.0 and 3.0 */
    uint64_t host_time, guest_time, round_trip;
    uint8_t flags;
};
_Static_assert(sizeof(struct ic_time_v1) == 25, "time sync 1.0");

#pragma pack(pop)

#define IC_UNIX_EPOCH UINT64_C(116444736000000000) /* 1970 in 100 ns since 1601 */
