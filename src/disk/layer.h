/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layer.h - what the layers of src/disk share: splitting requests, slicing buffers. */
#pragma once

#include "disk/disk.h"

/* A piece of a request that a layer had to split.  Comes from a free list of the engine. */
struct disk_part {
    struct disk_rq rq;
    struct disk_rq *whole;
    struct disk_io *io;
    struct disk_part *next_free;
    struct iovec *iov; /* few[] or heap */
    unsigned n_iov;
    struct iovec few[8];
};

/* Begin splitting 'rq': the caller holds it until disk_split_end().  Between the two, each
 * disk_split() makes a piece for [off, off + len) of the whole (same operation and flags, the
 * matching buffers), to be submitted or finished by the caller; NULL: out of memory (noted, the
 * whole fails).  The whole finishes with the first error when all pieces are back. */
void disk_split_begin(struct disk_rq *rq);
struct disk_rq *disk_split(struct disk_io *io, struct disk_rq *rq, uint64_t off, uint64_t len);
void disk_split_end(struct disk *d, struct disk_rq *rq, int err);

/* The buffers of bytes [skip, skip + len) of 'iov'; 'to' has room for n_iov.  Returns how many. */
unsigned iov_slice(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len,
                   struct iovec *to);
void iov_zero(const struct iovec *iov, unsigned n_iov, uint64_t skip, uint64_t len);
uint64_t iov_len(const struct iovec *iov, unsigned n_iov);

/* Common facts of a layer over 'below'. */
void disk_init_over(struct disk *d, const struct disk_ops *ops, struct disk *below);
