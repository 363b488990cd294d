/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ring_test.c - one ring at a time: wrapping, fullness, signals, and indices that lie. */
#include "vmbus/ring.h"

#include <errno.h>
#include <pthread.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "base/test.h"
#include "vmbus/packet.h"

/* A ring of two data pages that lie apart, seen from both sides. */
struct rig {
    struct gmem *m;
    uint64_t pfn[3];
    struct ring ring, far; /* ours, and one for the guest's side: same code, other role */
    struct ring_buf buf;
};

static void rig_init(struct rig *r)
{
    *r = (struct rig){ .pfn = { 10, 30, 20 } };
    EXPECT_EQ(gmem_new(MIB, &r->m, NULL), 0);
    EXPECT_EQ(ring_map(&r->ring, r->m, r->pfn, 3), 0);
    EXPECT_EQ(ring_map(&r->far, r->m, r->pfn, 3), 0);
    r->ring.head->features = VMBUS_RING_PENDING_SZ;
}

static void rig_done(struct rig *r)
{
    ring_unmap(&r->ring);
    ring_unmap(&r->far);
    free(r->buf.p);
    gmem_free(r->m);
}

static int put(struct ring *r, uint64_t id, size_t payload, bool *signal)
{
    uint8_t body[8192];
    struct vmbus_packet h = { VMBUS_PACKET_INBAND, 2, (uint16_t)((16 + payload) / 8), 0, id };
    struct iovec iov[] = { { &h, sizeof h }, { body, payload } };

    for (size_t i = 0; i < payload; i++)
        body[i] = (uint8_t)(id + i);
    return ring_put(r, iov, 2, 16 + payload, signal);
}

TEST(what_goes_in_comes_out)
{
    AUTO(rig_done) struct rig r;
    struct rng rng;
    uint64_t in = 0, out = 0;
    size_t size[1024];
    bool s;

    rig_init(&r);
    rng_init(&rng, 7);
    for (unsigned i = 0; i < 20000; i++) {
        if (rng_u64(&rng) & 1) {
            size_t n = 8 * rng_below(&rng, 100);
            int e = put(&r.far, in, n, &s);
            if (e == 0)
                size[in++ % 1024] = n;
            else
                EXPECT_EQ(e, -EAGAIN);
        } else {
            int n = ring_next(&r.ring, &r.buf);
            EXPECT_EQ(n != 0, in != out);
            if (n <= 0)
                continue;
            EXPECT_EQ(n, 16 + (int)size[out % 1024]);
            EXPECT_EQ(get_le64(r.buf.p + 8), out);
            for (int k = 16; k < n; k++)
                if (r.buf.p[k] != (uint8_t)(out + k - 16))
                    EXPECT(!"payload differs");
            out++;
            ring_commit(&r.ring);
        }
    }
    EXPECT(in > 1000);
}

TEST(the_ring_is_never_filled_to_the_last_byte)
{
    AUTO(rig_done) struct rig r;
    bool s;

    rig_init(&r);
    EXPECT_EQ(put(&r.ring, 1, 8192 - 24, &s), -EAGAIN); /* all 8192 would look empty */
    EXPECT_EQ(r.ring.head->pending_send_sz, 8192);
    EXPECT_EQ(put(&r.ring, 1, 8192 - 32, &s), 0);
    EXPECT(s);
    EXPECT_EQ(put(&r.ring, 1, 0, &s), -EAGAIN);
    EXPECT_EQ(r.ring.head->pending_send_sz, 24);
    ring_stop_waiting(&r.ring);
    EXPECT_EQ(r.ring.head->pending_send_sz, 0);
}

TEST(trailers_tell_where_a_packet_began)
{
    AUTO(rig_done) struct rig r;
    uint64_t trailer;
    bool s;

    rig_init(&r);
    EXPECT_EQ(put(&r.ring, 1, 8, &s), 0);
    EXPECT_EQ(put(&r.ring, 2, 8, &s), 0);
    gmem_read(r.m, GPA((30 << 12) + 32 + 24), &trailer, 8);
    EXPECT_EQ(trailer, UINT64_C(32) << 32);
}

TEST(signals_only_from_empty_and_unmasked)
{
    AUTO(rig_done) struct rig r;
    bool s;

    rig_init(&r);
    EXPECT_EQ(put(&r.far, 1, 8, &s), 0);
    EXPECT(s);
    EXPECT_EQ(put(&r.far, 2, 8, &s), 0);
    EXPECT(!s);
    ring_awake(&r.ring);
    EXPECT(ring_next(&r.ring, &r.buf) > 0 && ring_next(&r.ring, &r.buf) > 0);
    ring_commit(&r.ring);
    EXPECT_EQ(put(&r.far, 3, 8, &s), 0);
    EXPECT(!s);                    /* masked */
    EXPECT(!ring_sleep(&r.ring));  /* it came in between */
    EXPECT_EQ(r.ring.head->interrupt_mask, 1);
    EXPECT(ring_next(&r.ring, &r.buf) > 0);
    ring_commit(&r.ring);
    EXPECT(ring_sleep(&r.ring));
    EXPECT_EQ(r.ring.head->interrupt_mask, 0);
    EXPECT_EQ(put(&r.far, 4, 8, &s), 0);
    EXPECT(s);
}

TEST(a_producer_that_waits_is_woken_once)
{
    AUTO(rig_done) struct rig r;
    bool s;

    rig_init(&r);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(put(&r.far, i, 2000 - 24, &s), 0);
    EXPECT_EQ(put(&r.far, 4, 4000 - 24, &s), -EAGAIN); /* 192 are free */
    EXPECT(ring_next(&r.ring, &r.buf) > 0);
    EXPECT(!ring_commit(&r.ring)); /* 2192: not enough yet */
    EXPECT(ring_next(&r.ring, &r.buf) > 0);
    EXPECT(ring_commit(&r.ring)); /* 4192 */
    EXPECT(ring_next(&r.ring, &r.buf) > 0);
    EXPECT(!ring_commit(&r.ring)); /* it has been told */
    EXPECT(!ring_commit(&r.ring)); /* nothing new */
    r.ring.head->features = 0;     /* an old driver: told when the ring was full */
    for (unsigned i = 0; put(&r.far, i, 1000, &s) == 0;)
        i++;
    bool told = false;
    while (ring_next(&r.ring, &r.buf) > 0)
        told |= ring_commit(&r.ring);
    EXPECT(told);
}

TEST(indices_that_lie)
{
    AUTO(rig_done) struct rig r;
    const uint32_t bad[] = { 8192, 8200, UINT32_MAX, 4, 1, 0x80000000 };
    bool s;

    rig_init(&r);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        r.ring.head->write_index = bad[i];
        EXPECT_EQ(ring_next(&r.ring, &r.buf), -EBADMSG);
        r.ring.head->read_index = bad[i];
        EXPECT_EQ(put(&r.far, 1, 8, &s), -EBADMSG);
        EXPECT(!ring_start_in(&r.ring));
        EXPECT(!ring_start_out(&r.ring));
        EXPECT(!ring_set_index(&r.ring, bad[i]));
    }
    r.ring.head->write_index = 16; /* less than a packet */
    EXPECT_EQ(ring_next(&r.ring, &r.buf), -EBADMSG);
}

TEST(packets_that_lie)
{
    AUTO(rig_done) struct rig r;
    const uint16_t bad[][2] = {
        /* payload at, length: in words; 8 words are in the ring, one is the trailer */
        { 2, 8 }, { 2, 0xffff }, { 1, 4 }, { 0, 4 }, { 5, 4 }, { 2, 1 }, { 0, 0 },
    };

    rig_init(&r);
    r.ring.head->write_index = 64;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct vmbus_packet h = { 6, bad[i][0], bad[i][1], 0, 1 };
        gmem_write(r.m, GPA(30 << 12), &h, sizeof h);
        EXPECT_EQ(ring_next(&r.ring, &r.buf), -EBADMSG);
    }
    struct vmbus_packet h = { 6, 2, 7, 0, 1 };
    gmem_write(r.m, GPA(30 << 12), &h, sizeof h);
    EXPECT_EQ(ring_next(&r.ring, &r.buf), 56);
}

TEST(rings_that_cannot_be)
{
    AUTO(rig_done) struct rig r;
    uint64_t pfn[] = { 10, 0xa0 };
    struct ring x;

    rig_init(&r);
    EXPECT_EQ(ring_map(&x, r.m, pfn, 1), -EINVAL);
    EXPECT_EQ(ring_map(&x, r.m, pfn, RING_PAGES_MAX + 1), -EINVAL);
    EXPECT_EQ(ring_map(&x, r.m, pfn, 2), -EFAULT);
    pfn[0] = 0xa0;
    pfn[1] = 10;
    EXPECT_EQ(ring_map(&x, r.m, pfn, 2), -EFAULT);
}

/* ---- two threads: the barriers --------------------------------------------------------------- */

#define ROUNDS   400000u
#define PATIENCE 20000000u /* looks at a flag, until we say that it never comes */

struct pair {
    struct rig r;
    uint32_t data, room; /* signals that have been sent */
    uint32_t lost;
};

/* Spin until a signal has come that we have not seen; most come within the time that a barrier
 * takes, and these are the ones that matter here. */
static bool await(struct pair *p, const uint32_t *signals, uint32_t *seen)
{
    for (unsigned i = 0; i < PATIENCE && !__atomic_load_n(&p->lost, __ATOMIC_RELAXED); i++) {
        uint32_t now = __atomic_load_n(signals, __ATOMIC_ACQUIRE);
        if (now != *seen) {
            *seen = now;
            return true;
        }
        if (i % 64 == 63)
            sched_yield();
    }
    __atomic_store_n(&p->lost, 1, __ATOMIC_RELAXED);
    return false;
}

static void *produce(void *arg)
{
    struct pair *p = arg;
    uint32_t seen = 0;
    bool signal;

    for (uint32_t i = 0; i < ROUNDS;) {
        int e = put(&p->r.far, i, i % 7 == 0 ? 3000 : 8 * (i % 5), &signal);
        if (e == -EAGAIN) {
            if (!await(p, &p->room, &seen))
                return NULL;
            continue;
        }
        ring_stop_waiting(&p->r.far);
        i++;
        if (signal)
            __atomic_fetch_add(&p->data, 1, __ATOMIC_RELEASE);
        for (volatile unsigned k = 0; k < i % 61; k++)
            ;
    }
    return NULL;
}

TEST(no_signal_is_lost_between_two_threads)
{
    struct pair p = { .lost = 0 };
    uint32_t seen = 0, got = 0;
    pthread_t t;

    rig_init(&p.r);
    pthread_create(&t, NULL, produce, &p);
    while (got < ROUNDS) {
        ring_awake(&p.r.ring);
        while (ring_next(&p.r.ring, &p.r.buf) > 0) {
            if (get_le64(p.r.buf.p + 8) != got)
                EXPECT_EQ(get_le64(p.r.buf.p + 8), got);
            got++;
            if (ring_commit(&p.r.ring))
                __atomic_fetch_add(&p.room, 1, __ATOMIC_RELEASE);
        }
        if (got < ROUNDS && ring_sleep(&p.r.ring) && !await(&p, &p.data, &seen))
            break;
    }
    EXPECT_EQ(got, ROUNDS);
    __atomic_store_n(&p.lost, got < ROUNDS, __ATOMIC_RELAXED);
    pthread_join(t, NULL);
    rig_done(&p.r);
}

/* ---- packets --------------------------------------------------------------------------------- */

TEST(gpa_direct_ranges)
{
    struct gpa_range range[PACKET_RANGES_MAX];
    struct packet p;
    uint64_t raw[12] = {
        UINT64_C(9) | UINT64_C(9) << 16 | UINT64_C(10) << 32 | UINT64_C(1) << 48,
        77,
        UINT64_C(2) << 32 | 0xdead, /* two ranges; the reserved word is garbage */
        UINT64_C(4000) << 32 | 200, 5, 6,
        UINT64_C(4200) << 32 | 100, 0xbad, 8, /* starts in its second page */
        0x1122334455667788,
    };

    EXPECT_EQ(packet_decode((uint8_t *)raw, 80, range, &p), 0);
    EXPECT(p.type == 9 && p.id == 77 && p.wants_completion && p.n_ranges == 2 && p.size == 8);
    EXPECT_EQ(get_le64(p.payload), 0x1122334455667788);
    EXPECT(range[0].size == 200 && range[0].offset == 4000 && range[0].pfn[1] == 6);
    EXPECT(range[1].size == 100 && range[1].offset == 104 && range[1].pfn[0] == 8);

    raw[2] = UINT64_C(3) << 32; /* a third one would have to come from the payload */
    EXPECT_EQ(packet_decode((uint8_t *)raw, 80, range, &p), -EBADMSG);
    raw[2] = UINT64_C(1025) << 32;
    EXPECT_EQ(packet_decode((uint8_t *)raw, 80, range, &p), -EBADMSG);
    raw[2] = UINT64_C(1) << 32;
    raw[3] = UINT64_C(4000) << 32 | UINT32_MAX; /* more pages than there are numbers */
    EXPECT_EQ(packet_decode((uint8_t *)raw, 80, range, &p), -EBADMSG);
    raw[0] = UINT64_C(9) | UINT64_C(2) << 16 | UINT64_C(10) << 32; /* no room for a header */
    EXPECT_EQ(packet_decode((uint8_t *)raw, 80, range, &p), -EBADMSG);
}
