/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io_threads.h - blocking system calls on a few threads, results posted to the loop. */
#pragma once

#include "disk/io.h"

struct io_threads;

struct io_threads *io_threads_new(struct loop *loop, const struct io_ops *ops);
void io_threads_free(struct io_threads *t); /* nothing in flight */
void io_threads_start(struct io_threads *t, struct disk_rq *rq);

/* Run one command here and now. */
int64_t io_run_cmd(const struct io_cmd *c, struct disk_rq *rq);
