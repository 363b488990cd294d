/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem_model.h - for tests of what stands on disks: a disk in memory that can be told to keep its
 * answers back, to fail, and that looks whether its callers keep the contract of disk.h: a request
 * and its buffers must not change while it is on its way. */
#pragma once

#include "disk/disk.h"

struct mem_asked;

struct mem_disk {
    struct disk disk; /* limits may be changed before its first use */
    uint8_t *data;
    size_t mapped;
    bool hold; /* answer only by mem_disk_answer() */
    int err;   /* of the answers from now on */
    struct mem_asked *first, **last;
    unsigned n_waiting;
    struct work work;
    uint64_t n[DISK_TRUNCATE + 1]; /* requests by operation */
    uint32_t flags;                /* of the last request */
    uint64_t off, len;
};

/* All zero, block 512, with write cache and discard (which zeroes). */
void mem_disk_init(struct mem_disk *m, struct disk_io *io, uint64_t size);
void mem_disk_done(struct mem_disk *m); /* nothing waits */

/* The oldest 'n' requests (or all there are) now; how many.  On the loop's thread. */
unsigned mem_disk_answer(struct mem_disk *m, unsigned n);
