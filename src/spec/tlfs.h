/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tlfs.h - numbers of the hypervisor interface: what a guest sees of a Hyper-V partition.
 *
 * Source: Hyper-V Top-Level Functional Specification (TLFS) 6.0; the names are shortened from it.
 * Everything is little endian. */
#pragma once

#include "base/util.h"

/* ---- CPUID --------------------------------------------------------------------------------- */

#define HV_CPUID_VENDOR    0x40000000u
#define HV_CPUID_INTERFACE 0x40000001u
#define HV_CPUID_VERSION   0x40000002u
#define HV_CPUID_FEATURES  0x40000003u
#define HV_CPUID_HINTS     0x40000004u
#define HV_CPUID_LIMITS    0x40000005u
#define HV_CPUID_HARDWARE  0x40000006u
#define HV_CPUID_MAX       HV_CPUID_HARDWARE

/* Features, EAX: which MSRs exist. */
#define HV_MSRS_REF_COUNT     (1u << 1)
#define HV_MSRS_SYNIC         (1u << 2)
#define HV_MSRS_STIMER        (1u << 3)
#define HV_MSRS_HYPERCALL     (1u << 5)
#define HV_MSRS_VP_INDEX      (1u << 6)
#define HV_MSRS_RESET         (1u << 7)
#define HV_MSRS_REF_TSC       (1u << 9)
#define HV_MSRS_FREQUENCY     (1u << 11)
#define HV_MSRS_TSC_INVARIANT (1u << 15)

/* Features, EBX: which hypercalls are allowed. */
#define HV_PRIV_POST_MESSAGES (1u << 4)
#define HV_PRIV_SIGNAL_EVENTS (1u << 5)

/* Features, EDX. */
#define HV_MISC_XMM_INPUT     (1u << 4)
#define HV_MISC_FREQUENCY     (1u << 8)
#define HV_MISC_CRASH         (1u << 10)
#define HV_MISC_STIMER_DIRECT (1u << 19)

/* Hints, EAX: what the guest should use. */
#define HV_HINT_REMOTE_FLUSH   (1u << 2)
#define HV_HINT_RELAXED_TIMING (1u << 5)
#define HV_HINT_NO_AUTO_EOI    (1u << 9)
#define HV_HINT_CLUSTER_IPI    (1u << 10)
#define HV_HINT_EX_MASKS       (1u << 11)

/* ---- MSRs ---------------------------------------------------------------------------------- */

#define HV_MSR_FIRST 0x40000000u
#define HV_MSRS      0x200u /* the window that the engines hand to us */

#define HV_MSR_GUEST_OS_ID    0x40000000u
#define HV_MSR_HYPERCALL      0x40000001u
#define HV_MSR_VP_INDEX       0x40000002u
#define HV_MSR_RESET          0x40000003u
#define HV_MSR_REF_COUNT      0x40000020u
#define HV_MSR_REF_TSC        0x40000021u
#define HV_MSR_TSC_FREQUENCY  0x40000022u
#define HV_MSR_APIC_FREQUENCY 0x40000023u
#define HV_MSR_VP_ASSIST      0x40000073u
#define HV_MSR_SCONTROL       0x40000080u
#define HV_MSR_SVERSION       0x40000081u
#define HV_MSR_SIEFP          0x40000082u
#define HV_MSR_SIMP           0x40000083u
#define HV_MSR_EOM            0x40000084u
#define HV_MSR_SINT0          0x40000090u
#define HV_MSR_SINT15         0x4000009fu
#define HV_MSR_STIMER0_CONFIG 0x400000b0u
#define HV_MSR_STIMER0_COUNT  0x400000b1u
#define HV_MSR_STIMER3_COUNT  0x400000b7u
#define HV_MSR_CRASH_P0       0x40000100u
#define HV_MSR_CRASH_P4       0x40000104u
#define HV_MSR_CRASH_CTL      0x40000105u
#define HV_MSR_TSC_INVARIANT  0x40000118u

/* Bits of the MSRs that name a page: HYPERCALL, REF_TSC, VP_ASSIST, SIEFP, SIMP. */
#define HV_PAGE_ENABLE   UINT64_C(1)
#define HV_PAGE_LOCKED   UINT64_C(2) /* HYPERCALL only */
#define HV_PAGE_GPA(msr) ((msr) & ~UINT64_C(0xfff))

#define HV_SCONTROL_ENABLE UINT64_C(1)
#define HV_SYNIC_VERSION   1

#define HV_SINT_VECTOR(s)  ((uint8_t)(s))
#define HV_SINT_MASKED     (UINT64_C(1) << 16)
#define HV_SINT_AUTO_EOI   (UINT64_C(1) << 17)
#define HV_SINT_POLLING    (UINT64_C(1) << 18)
#define HV_SINT_VECTOR_MIN 16

#define HV_STIMER_ENABLE      (UINT64_C(1) << 0)
#define HV_STIMER_PERIODIC    (UINT64_C(1) << 1)
#define HV_STIMER_LAZY        (UINT64_C(1) << 2)
#define HV_STIMER_AUTO_ENABLE (UINT64_C(1) << 3)
#define HV_STIMER_VECTOR(c)   ((uint8_t)((c) >> 4))
#define HV_STIMER_DIRECT      (UINT64_C(1) << 12)
#define HV_STIMER_SINT(c)     ((unsigned)((c) >> 16) & 15)
#define HV_STIMER_BITS        UINT64_C(0xf1fff) /* the rest is reserved */

#define HV_CRASH_NOTIFY  (UINT64_C(1) << 63)
#define HV_CRASH_MESSAGE (UINT64_C(1) << 62)
#define HV_CRASH_PARAMS  5

/* ---- reference TSC page: time = ((tsc * scale) >> 64) + offset, in 100 ns ------------------ */

#define HV_REF_HZ UINT64_C(10000000)

struct hv_ref_tsc_page {
    uint32_t sequence; /* 0: not valid */
    uint32_t reserved;
    uint64_t scale;
    int64_t offset;
};

/* ---- hypercalls ---------------------------------------------------------------------------- */

enum hv_call {
    HV_CALL_FLUSH_SPACE = 0x0002,
    HV_CALL_FLUSH_LIST = 0x0003,
    HV_CALL_LONG_SPIN_WAIT = 0x0008,
    HV_CALL_SEND_IPI = 0x000b,
    HV_CALL_FLUSH_SPACE_EX = 0x0013,
    HV_CALL_FLUSH_LIST_EX = 0x0014,
    HV_CALL_SEND_IPI_EX = 0x0015,
    HV_CALL_POST_MESSAGE = 0x005c,
    HV_CALL_SIGNAL_EVENT = 0x005d,
    HV_CALL_VP_INDEX_FROM_APIC_ID = 0x009a,
};

/* The control word. */
#define HV_CALL_CODE(c)      ((uint16_t)(c))
#define HV_CALL_FAST         (UINT64_C(1) << 16)
#define HV_CALL_VARHEAD(c)   ((unsigned)((c) >> 17) & 0x3ff) /* in 8-byte units */
#define HV_CALL_NESTED       (UINT64_C(1) << 31)
#define HV_CALL_REPS(c)      ((unsigned)((c) >> 32) & 0xfff)
#define HV_CALL_REP_START(c) ((unsigned)((c) >> 48) & 0xfff)
#define HV_CALL_RESERVED     UINT64_C(0xf000f00078000000)

#define HV_CALL_RESULT(status, reps) ((uint64_t)(status) | (uint64_t)(reps) << 32)

enum hv_status {
    HV_SUCCESS = 0,
    HV_INVALID_CODE = 2,
    HV_INVALID_INPUT = 3,
    HV_INVALID_ALIGNMENT = 4,
    HV_INVALID_PARAMETER = 5,
    HV_ACCESS_DENIED = 6,
    HV_OPERATION_DENIED = 8,
    HV_INSUFFICIENT_MEMORY = 0x0b,
    HV_INVALID_VP_INDEX = 0x0e,
    HV_INVALID_PORT_ID = 0x11,
    HV_INVALID_CONNECTION_ID = 0x12,
    HV_INSUFFICIENT_BUFFERS = 0x13,
    HV_INVALID_SYNIC_STATE = 0x18,
};

/* Flush flags. */
#define HV_FLUSH_ALL_PROCESSORS UINT64_C(1)
#define HV_FLUSH_FLAGS          UINT64_C(0xf) /* that are defined */

/* Sets of VPs: a mask of the banks that follow, 64 VPs each. */
#define HV_VPSET_SPARSE 0
#define HV_VPSET_ALL    1

struct hv_post_message_in {
    uint32_t connection, reserved, type, size;
    uint8_t payload[240];
};

/* ---- SynIC --------------------------------------------------------------------------------- */

#define HV_SINTS           16
#define HV_STIMERS         4
#define HV_MESSAGE_PAYLOAD 240
#define HV_EVENT_FLAGS     2048 /* a SINT */

#define HV_MESSAGE_NONE          0u
#define HV_MESSAGE_HYPERVISOR    0x80000000u /* types from here on are the hypervisor's own */
#define HV_MESSAGE_TIMER_EXPIRED 0x80000010u

#define HV_MESSAGE_PENDING 1 /* in 'flags': more wait, write EOM */

/* One slot of the message page; the slot of SINT n is number n. */
struct hv_message {
    uint32_t type;
    uint8_t size, flags;
    uint16_t reserved;
    uint64_t sender;
    uint8_t payload[HV_MESSAGE_PAYLOAD];
};
_Static_assert(sizeof(struct hv_message) == 256, "TLFS 11.10");

struct hv_timer_message {
    uint32_t index, reserved;
    uint64_t expiration, delivery; /* 100 ns, reference time */
};
