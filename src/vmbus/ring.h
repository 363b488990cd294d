/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring.h - one direction of a channel: a ring of packets in guest memory.
 *
 * The guest writes there while we do.  What is ours (our index) is kept here and only published;
 * what is the guest's (its index, flags) is read once and checked before use.
 *
 * A ring is either an in ring (the guest produces: ring_next, ring_commit, ring_sleep) or an out
 * ring (we produce: ring_put).  Loop thread only; inside vmbus/. */
#pragma once

#include <sys/uio.h>

#include "guest/gmem.h"
#include "spec/vmbus.h"

#define RING_PAGES_MIN 2     /* the header and one page of data */
#define RING_PAGES_MAX 16384 /* 64 MiB */

struct ring {
    struct gmem *gmem;
    struct vmbus_ring_header *head; /* in guest memory */
    gpa_t head_at;
    uint8_t **page;     /* of the data, host addresses */
    const uint64_t *pfn; /* of the data; borrowed from the GPADL */
    uint32_t size;      /* bytes of data */
    uint32_t index;     /* ours: where we read or write next */
    uint32_t published; /* in rings: the read index that the guest knows */
};

/* Pages 0 (header) to n-1 (data) of a GPADL that outlives the ring.  -EINVAL: size; -EFAULT: no RAM;
 * -ENOMEM.  Our index is 0. */
int ring_map(struct ring *r, struct gmem *m, const uint64_t *pfn, unsigned n);

/* Take our index from the header, as the guest left it at open; false: it is none. */
bool ring_start_in(struct ring *r);
bool ring_start_out(struct ring *r);
void ring_unmap(struct ring *r);

/* Put back an index from a saved state; false: it is none. */
bool ring_set_index(struct ring *r, uint32_t index);

/* ---- in rings ---- */

/* A buffer that grows to the largest packet seen. */
struct ring_buf {
    uint8_t *p; /* 8-byte aligned */
    size_t size;
};

/* Copy the next packet out, header and all, without its trailer: its size, 0 when there is none,
 * -EBADMSG when the ring makes no sense, -ENOMEM. */
int ring_next(struct ring *r, struct ring_buf *buf);

/* Give the space of the packets taken back.  true: the guest waits for it and must be signalled. */
bool ring_commit(struct ring *r);

/* Tell the guest not to signal; allow it again.  ring_sleep() is false when a packet has slipped in
 * meanwhile: the mask is set again, go on. */
void ring_awake(struct ring *r);
bool ring_sleep(struct ring *r);

/* ---- out rings ---- */

/* Append a packet of 'n' bytes (a multiple of 8) from 'iov'.  0, and whether the guest must be
 * signalled; -EAGAIN: no room, and the guest will signal when there is, until
 * ring_stop_waiting(); -EBADMSG. */
int ring_put(struct ring *r, const struct iovec *iov, unsigned n_iov, size_t n, bool *ret_signal);

void ring_stop_waiting(struct ring *r);

/* Will the guest signal when there is room?  Old drivers do not. */
bool ring_guest_signals_room(const struct ring *r);

/* Bytes of data in the ring, for the monitor; nonsense from the guest gives nonsense up to 'size'. */
uint32_t ring_level(const struct ring *r);
