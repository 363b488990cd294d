/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outq.h - bytes of the guest on their way to a descriptor that may be slow.
 *
 * A thread of its own writes, so that neither a VP nor the loop ever waits for a terminal or a
 * pipe.  When OUTQ_SIZE bytes wait, new ones are lost and counted. */
#pragma once

#include "base/util.h"

#define OUTQ_SIZE (1u << 20)

struct outq;

/* 'fd' stays the caller's.  'broken' (may be NULL) is called once, on the queue's thread, when the
 * reader is gone. */
struct outq *outq_new(int fd, void (*broken)(void *owner), void *owner);

/* Waits up to two seconds for what is queued to get out. */
void outq_free(struct outq *q);

void outq_put(struct outq *q, uint8_t byte); /* any thread, never waits */

/* Has all been written? */
bool outq_idle(struct outq *q);

/* While held, bytes collect and nothing is being written; the holder may write itself. */
void outq_hold(struct outq *q, bool on);
