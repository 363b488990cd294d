/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring.c - see ring.h.
 *
 * Signals are lost or not by the order of loads and stores here and in the guest; each barrier names
 * its partner.  The guest's side as in Linux' ring_buffer.c:
 *
 *   producer  write packet; publish write_index; (W) barrier; read interrupt_mask, then read_index;
 *             signal if unmasked and the ring was empty
 *   consumer  mask; take packets; publish read_index; (R) barrier; read pending_send_sz, then
 *             write_index; signal if the producer can go on now.  To sleep: unmask; (S) barrier; look
 *             at write_index again
 *
 * Ours are the same with the roles swapped. */
#include "vmbus/ring.h"

#include <errno.h>

#define HEADER  sizeof(struct vmbus_packet)
#define TRAILER VMBUS_PACKET_TRAILER

/* Old guests do not say how much they wait for: a ring with less room than this was full. */
#define FULL_WITHOUT_WORD 4096u

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(struct ring *r, uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
    gmem_wrote(r->gmem, r->head_at, sizeof *r->head);
}

static bool index_ok(const struct ring *r, uint32_t index)
{
    return index < r->size && index % 8 == 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

int ring_map(struct ring *r, struct gmem *m, const uint64_t *pfn, unsigned n)
{
    if (n < RING_PAGES_MIN || n > RING_PAGES_MAX)
        return -EINVAL;
    *r = (struct ring){ .gmem = m, .pfn = pfn + 1, .size = (n - 1) * (uint32_t)PAGE_SIZE };
    r->head_at = GPA(pfn[0] << PAGE_SHIFT);
    r->head = gmem_host(m, r->head_at, PAGE_SIZE);
    r->page = calloc(n - 1, sizeof *r->page);
    if (!r->page)
        return -ENOMEM;
    for (unsigned i = 0; i < n - 1; i++) {
        r->page[i] = gmem_host(m, GPA(r->pfn[i] << PAGE_SHIFT), PAGE_SIZE);
        if (!r->page[i] || !r->head) {
            ring_unmap(r);
            return -EFAULT;
        }
    }
    return 0;
}

bool ring_start_in(struct ring *r)
{
    return ring_set_index(r, load(&r->head->read_index));
}

bool ring_start_out(struct ring *r)
{
    return ring_set_index(r, load(&r->head->write_index));
}

void ring_unmap(struct ring *r)
{
    free(r->page);
    *r = (struct ring){ 0 };
}

bool ring_set_index(struct ring *r, uint32_t index)
{
    if (!index_ok(r, index))
        return false;
    r->index = r->published = index;
    return true;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static uint32_t advance(const struct ring *r, uint32_t at, uint32_t n)
{
    return at + n < r->size ? at + n : at + n - r->size;
}

static void copy_out(const struct ring *r, uint32_t at, uint8_t *to, uint32_t n)
{
    while (n) {
        uint32_t in_page = at % PAGE_SIZE, len = MIN(n, (uint32_t)PAGE_SIZE - in_page);
        memcpy(to, r->page[at / PAGE_SIZE] + in_page, len);
        at = advance(r, at, len);
        to += len;
        n -= len;
    }
}

static uint32_t copy_in(struct ring *r, uint32_t at, const void *from, uint32_t n)
{
    const uint8_t *p = from;

    while (n) {
        uint32_t in_page = at % PAGE_SIZE, page = at / PAGE_SIZE;
        uint32_t len = MIN(n, (uint32_t)PAGE_SIZE - in_page);
        memcpy(r->page[page] + in_page, p, len);
        gmem_wrote(r->gmem, GPA((r->pfn[page] << PAGE_SHIFT) + in_page), len);
        at = advance(r, at, len);
        p += len;
        n -= len;
    }
    return at;
}

/* What lies between two good indices. */
static uint32_t used_between(const struct ring *r, uint32_t read, uint32_t write)
{
    return write >= read ? write - read : r->size - read + write;
}

/* ---- in -------------------------------------------------------------------------------------- */

static bool buf_reserve(struct ring_buf *buf, size_t n)
{
    if (buf->size >= n)
        return true;
    uint8_t *p = realloc(buf->p, n);
    if (!p)
        return false;
    buf->p = p;
    buf->size = n;
    return true;
}

int ring_next(struct ring *r, struct ring_buf *buf)
{
    uint32_t write = load(&r->head->write_index); /* pairs with the producer's publishing */
    struct vmbus_packet h;

    if (!index_ok(r, write))
        return -EBADMSG;
    uint32_t used = used_between(r, r->index, write);
    if (!used)
        return 0;
    if (used < HEADER + TRAILER)
        return -EBADMSG;
    copy_out(r, r->index, (uint8_t *)&h, HEADER);
    uint32_t len = h.len8 * 8u, payload = h.offset8 * 8u;
    if (payload < HEADER || payload > len || len + TRAILER > used)
        return -EBADMSG;
    if (!buf_reserve(buf, len))
        return -ENOMEM;
    /* The guest may have changed the header since: the copy that was checked counts. */
    memcpy(buf->p, &h, HEADER);
    copy_out(r, advance(r, r->index, HEADER), buf->p + HEADER, len - HEADER);
    r->index = advance(r, r->index, len + TRAILER);
    return (int)len;
}

bool ring_commit(struct ring *r)
{
    uint32_t before = r->published, pending, write;

    if (before == r->index)
        return false;
    r->published = r->index;
    store(r, &r->head->read_index, r->index);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* (R): pairs with the producer's, in its ring_put */
    pending = load(&r->head->pending_send_sz);
    if (!(load(&r->head->features) & VMBUS_RING_PENDING_SZ))
        pending = MIN(FULL_WITHOUT_WORD, r->size / 2);
    if (!pending)
        return false;
    write = load(&r->head->write_index); /* after pending_send_sz: a later one only means less room */
    if (!index_ok(r, write))
        return false; /* ring_next() will say so */
    uint32_t free_now = r->size - used_between(r, r->index, write);
    uint32_t taken = used_between(r, before, r->index);
    uint32_t free_before = free_now > taken ? free_now - taken : 0;
    return free_before <= pending && free_now > pending;
}

void ring_awake(struct ring *r)
{
    store(r, &r->head->interrupt_mask, 1);
}

bool ring_sleep(struct ring *r)
{
    store(r, &r->head->interrupt_mask, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* (S): pairs with the producer's (W) */
    if (load(&r->head->write_index) == r->index)
        return true;
    ring_awake(r);
    return false;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* Room behind our write index, or -EBADMSG. */
static int64_t room(const struct ring *r)
{
    uint32_t read = load(&r->head->read_index); /* pairs with the consumer's publishing */

    return index_ok(r, read) ? (int64_t)r->size - used_between(r, read, r->index) : -EBADMSG;
}

int ring_put(struct ring *r, const struct iovec *iov, unsigned n_iov, size_t n, bool *ret_signal)
{
    uint32_t need = (uint32_t)n + TRAILER, start = r->index, at = start;
    int64_t free_bytes = room(r);

    /* A full ring would look empty: one byte more than needed must be free. */
    if (free_bytes >= 0 && free_bytes <= need) {
        store(r, &r->head->pending_send_sz, need);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the consumer's (R) */
        free_bytes = room(r);
        if (free_bytes >= 0 && free_bytes <= need)
            return -EAGAIN;
    }
    if (free_bytes < 0)
        return -EBADMSG;
    for (unsigned i = 0; i < n_iov; i++)
        at = copy_in(r, at, iov[i].iov_base, (uint32_t)iov[i].iov_len);
    uint64_t trailer = (uint64_t)start << 32;
    at = copy_in(r, at, &trailer, sizeof trailer);
    r->index = at;
    store(r, &r->head->write_index, at);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* (W): pairs with the consumer's (S) */
    *ret_signal = load(&r->head->interrupt_mask) == 0 && load(&r->head->read_index) == start;
    return 0;
}

void ring_stop_waiting(struct ring *r)
{
    if (load(&r->head->pending_send_sz))
        store(r, &r->head->pending_send_sz, 0);
}

bool ring_guest_signals_room(const struct ring *r)
{
    return load(&r->head->features) & VMBUS_RING_PENDING_SZ;
}

uint32_t ring_level(const struct ring *r)
{
    uint32_t read = load(&r->head->read_index), write = load(&r->head->write_index);

    return index_ok(r, read) && index_ok(r, write) ? used_between(r, read, write) : 0;
}
