/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layers.h - disks over disks: fault, delay, throttle, mirror, trace, count.
 *
 * Each takes 'below' over and closes it when it is closed.  NULL: out of memory or too many
 * layers ('below' stays the caller's).  Settings may be changed at any time on the loop. */
#pragma once

#include "disk/disk.h"

/* ---- fault: requests that fail --------------------------------------------------------------- */

struct disk_fault {
    enum disk_op op;
    bool any_op;       /* whatever the operation is */
    uint64_t off, len; /* only requests that touch this range; len 0: all */
    uint64_t after;    /* let so many matching requests pass first */
    uint64_t times;    /* then fail so many; 0: for ever */
    int err;           /* -errno */
    bool torn;         /* WRITE: the first half (whole blocks) is written all the same */
};
struct disk *disk_fault_new(struct disk *below);
int disk_fault_add(struct disk *fault, const struct disk_fault *rule); /* 0 or -ENOSPC: 16 rules */
void disk_fault_clear(struct disk *fault);
uint64_t disk_fault_hits(struct disk *fault);

/* ---- delay: every request is answered late --------------------------------------------------- */

struct disk *disk_delay_new(struct disk *below, uint64_t read_ns, uint64_t write_ns,
                            uint64_t flush_ns);

/* ---- throttle: limits, as the guest's storage quality of service ----------------------------- */

struct disk_limits {
    uint64_t iops, bytes_per_s; /* 0: no limit */
    uint64_t io_unit;           /* a larger request counts as several; 0: 8192, as Hyper-V counts */
};
struct disk *disk_throttle_new(struct disk *below, const struct disk_limits *limits);
void disk_throttle_set(struct disk *throttle, const struct disk_limits *limits);

/* ---- mirror: writes go to both, reads are compared ------------------------------------------- */

/* Both must have the same size and blocks.  A read that differs fails with -EILSEQ, and 'differs'
 * (may be NULL) hears where. */
struct disk *disk_mirror_new(struct disk *a, struct disk *b,
                             void (*differs)(void *ctx, uint64_t off, uint64_t len), void *ctx);

/* ---- trace: one line a request (base/trace.h points disk.request and disk.answer) ------------ */

struct disk *disk_trace_new(struct disk *below, const char *name);

/* ---- count: what was asked of the disk, and how long it took --------------------------------- */

#define DISK_LATENCY_BUCKETS 24
struct disk_counts {
    uint64_t n[DISK_TRUNCATE + 1], bytes[DISK_TRUNCATE + 1]; /* by enum disk_op */
    uint64_t errors;
    uint64_t latency[DISK_LATENCY_BUCKETS]; /* [i]: requests that took less than 2^i us */
};
struct disk *disk_count_new(struct disk *below);
void disk_count_get(struct disk *count, struct disk_counts *ret);
