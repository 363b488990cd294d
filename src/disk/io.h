/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.h - the engine under all files of one loop: io_uring, or threads.
 *
 * file.c hands in a request with io_start(); the engine asks for the command by the request's
 * owner (io_ops.cmd: pure, any thread) and gives the result back by io_ops.done on the loop. */
#pragma once

#include "disk/disk.h"
#include "disk/layer.h"

enum io_code { IO_READ, IO_WRITE, IO_FDATASYNC, IO_FALLOCATE, IO_CALL };

struct io_cmd {
    enum io_code code;
    int fd;
    uint64_t off, len;
    const struct iovec *iov;
    unsigned n_iov;
    int rw_flags; /* RWF_ */
    int mode;     /* fallocate */
    int (*call)(struct disk_rq *rq); /* IO_CALL: a blocking system call of the owner's */
};

struct io_ops {
    void (*cmd)(struct disk_rq *rq, struct io_cmd *ret);
    void (*done)(struct disk_rq *rq, int64_t res); /* bytes or 0, or -errno */
};

/* Exactly one done() follows.  rq->io_disk is the owner's and is set. */
void io_start(struct disk_io *io, const struct io_ops *ops, struct disk_rq *rq);

/* The same, by a system call on the loop's own thread when the loop turns: for what never waits. */
void io_start_here(struct disk_io *io, const struct io_ops *ops, struct disk_rq *rq);

/* Finish 'rq' with 'err' when the loop turns. */
void io_finish_soon(struct disk_io *io, struct disk_rq *rq, int err);

struct disk_part *io_part_get(struct disk_io *io);
void io_part_put(struct disk_io *io, struct disk_part *p);

struct loop *io_loop(struct disk_io *io);
