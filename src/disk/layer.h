/* SPDX-License-Identifier: GPL-2.0-or-later */
/* layer.h - what the layers of src/disk share: lists of requests, splitting them, slicing buffers. */
#pragma once

#include "disk/disk.h"

/* Requests that wait, in the order in which they came, linked by rq->next.  All zeros: none. */
struct rq_list {
    struct disk_rq *first, **last;
};
void rq_list_add(struct rq_list *l, struct disk_rq *rq);
struct rq_list rq_list_take(struct rq_list *l); /* all of them */
/* Both take all at first: what one request causes may put others on the list. */
void rq_list_finish(struct rq_list *l, int err);
void rq_list_resume(struct rq_list *l, struct disk *d); /* they enter 'd', which kept them, again */

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

/* Have 'd' do what it does before its first change, by a change of nothing (blocks). */
int disk_begin_sync(struct disk *d);

/* Common facts of a layer over 'below'. */
void disk_init_over(struct disk *d, const struct disk_ops *ops, struct disk *below);
