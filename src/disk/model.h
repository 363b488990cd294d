/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model.h - what a disk may hold after a crash: for each sector the last flushed content or any
 * that was written after it.  For the tests of the formats.
 *
 * Content is named by a number: sector s written by write w holds (w, s) again and again. */
#pragma once

#include "base/rng.h"
#include "base/test.h"
#include "disk/disk.h"

#define MODEL_SECTOR 512u
#define MODEL_DEPTH  8

struct model_sector {
    uint32_t *version; /* [0]: flushed; the last: what a read shows now */
    uint16_t n, room;
    uint16_t n_done;   /* versions whose write is done; at most one is not */
    uint16_t dropped;  /* versions that were in front once: counts in flushes are absolute */
    bool busy;
};

struct model_slot {
    struct disk_rq rq;
    struct iovec iov[2];
    uint8_t *buf;
    uint32_t tag;
    uint16_t *flushed; /* FLUSH: per touched sector, how many versions were done */
    struct model *m;
    bool flying, adopt; /* adopt: what a discard left is read and taken */
};

struct model {
    struct disk *d;
    struct loop *loop;
    struct rng *rng;
    uint64_t n_sectors, block_sectors;
    struct model_sector *s;
    uint32_t next_tag;
    uint32_t base_tag; /* of a parent that holds (base_tag, s) in the sectors that base() says */
    bool (*in_base)(uint64_t sector);
    unsigned todo, flying;
    int err;          /* the first that was not expected */
    bool stop_on_err; /* an error ends the run: the power failed */
    struct model_slot slot[MODEL_DEPTH];
};

void model_init(struct model *m, uint64_t size, uint64_t block, struct rng *rng);
void model_done(struct model *m);

/* Do 'n' random operations on 'd', several at a time; returns when they are done or one failed. */
void model_run(struct model *m, struct disk *d, unsigned n);

/* Read all and compare: every sector must hold one of its versions; from then on it is that one.
 * 'exact': the newest one.  Returns how many were wrong, and prints the first. */
unsigned model_compare(struct model *m, struct disk *d, bool exact);

void model_fill(uint8_t *p, uint32_t tag, uint64_t sector);
