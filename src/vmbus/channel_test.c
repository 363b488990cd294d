/* SPDX-License-Identifier: GPL-2.0-or-later */
/* channel_test.c - packets through open channels: back pressure, broken rings, and with the guest and
 * the loop on threads of their own, where a lost wake-up shows as a time-out. */
#include <errno.h>
#include <pthread.h>

#include "base/log.h"
#include "base/test.h"
#include "vmbus/vmbus_model.h"

static void done(struct bus_model *b)
{
    bus_model_done(b);
}

static void open_one(struct bus_model *b, struct echo *e, struct vsc_channel *c, unsigned pages)
{
    echo_offer(b, e, 0);
    EXPECT(vsc_connect(&b->g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b->g, c, echo_find(b, e), pages, 0), 0);
}

TEST(packets_arrive_as_they_were_sent)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint8_t buf[256];
    struct {
        struct vmbus_gpa_direct h;
        struct vmbus_gpadl_range r;
        uint64_t pfn;
    } head = { { 0, 1 }, { 512, 256 }, 0 };

    bus_model_init(&b, 1, false);
    open_one(&b, &e, &c, 4);
    vsc_pages(&b.g, &head.pfn, 1);
    EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_GPA_DIRECT, 42, true, &head, sizeof head, "write", 5), 0);
    EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
    EXPECT_EQ(get_le64(buf + 8), 42);
    EXPECT(e.last.type == 9 && e.last.n_ranges == 1 && e.last.size == 8);
    EXPECT_EQ(memcmp(e.payload, "write", 5), 0);

    EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, 43, false, NULL, 0, "news", 4), 0);
    EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
    EXPECT_EQ(get_le16(buf), VMBUS_PACKET_INBAND);
    EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_COMPLETION, 44, false, NULL, 0, NULL, 0), 0);
    vsc_drain(&b.g);
    EXPECT(e.packets == 3 && e.last.size == 0);
    EXPECT_EQ(vsc_recv(&c, buf, sizeof buf), 0); /* owed nothing */
}

TEST(transfer_page_packets_have_their_header)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint8_t buf[256];
    struct {
        struct vmbus_xfer_pages h;
        uint32_t range[2][2];
    } head = { { 0xcafe, 0, 0, 2 }, { { 100, 0 }, { 60, 1728 } } };

    bus_model_init(&b, 1, false);
    open_one(&b, &e, &c, 4);
    EXPECT_EQ(channel_try_send(e.ch, VMBUS_PACKET_XFER_PAGES, 9, true, &head, sizeof head, "nvsp",
                               4),
              0);
    EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 16 + 24 + 8);
    EXPECT_EQ(get_le16(buf), 7);
    EXPECT_EQ(get_le16(buf + 2) * 8, 40);
    EXPECT_EQ(get_le16(buf + 6), 1);
    EXPECT_EQ(get_le16(buf + 16), 0xcafe);
    EXPECT_EQ(get_le32(buf + 20), 2);
    EXPECT_EQ(memcmp(buf + 40, "nvsp", 4), 0);
    EXPECT_EQ(channel_send(e.ch, 1, false, head.range, CHANNEL_SEND_MAX), -EMSGSIZE);
    EXPECT_EQ(channel_send(e.ch, 1, false, buf, 3 * 4096 - 24), -EMSGSIZE); /* never fits */
}

TEST(a_guest_that_does_not_read_stops_being_read)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint8_t body[1000] = { 0 }, buf[1100];
    unsigned sent = 0, got = 0;

    bus_model_init(&b, 1, false);
    open_one(&b, &e, &c, 2); /* four packets fit into a ring */
    for (unsigned i = 0; i < 100; i++) {
        while (vsc_send(&c, VMBUS_PACKET_INBAND, sent, true, NULL, 0, body, sizeof body) == 0)
            sent++;
        loop_poll(b.loop);
    }
    EXPECT(sent < 12); /* three in each ring, and what waits in the channel */
    EXPECT(e.packets < 6);
    for (unsigned i = 0; i < 100 && got < sent; i++)
        if (vsc_wait_packet(&c, buf, sizeof buf)) {
            EXPECT_EQ(get_le64(buf + 8), got); /* in order */
            got++;
        }
    EXPECT_EQ(got, sent);
}

TEST(a_held_channel_waits)
{
    AUTO(done) struct bus_model b;
    struct echo e = { .keep = true };
    struct vsc_channel c;
    uint8_t buf[64];

    bus_model_init(&b, 1, false);
    open_one(&b, &e, &c, 32);
    for (unsigned i = 0; i < 300; i++)
        EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, i, true, NULL, 0, "12345678", 8), 0);
    for (unsigned i = 0; i < 10; i++)
        loop_poll(b.loop);
    EXPECT_EQ(e.packets, 256); /* then it held */
    for (unsigned i = 0; i < e.n_kept; i++)
        EXPECT_EQ(channel_complete(e.ch, e.kept_id[i], NULL, 0), 0);
    e.n_kept = 0;
    channel_resume(e.ch);
    for (unsigned i = 0; i < 10; i++)
        loop_poll(b.loop);
    EXPECT_EQ(e.packets, 300);
    for (unsigned i = 0; i < 256; i++)
        EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 16);
    EXPECT_EQ(vsc_recv(&c, buf, sizeof buf), 0);
}

TEST(try_send_tells_when_there_is_room_again)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint8_t body[1000] = { 0 }, buf[1100];
    unsigned n = 0;

    bus_model_init(&b, 1, false);
    open_one(&b, &e, &c, 2);
    while (channel_try_send(e.ch, VMBUS_PACKET_INBAND, n, false, NULL, 0, body, 1000) == 0)
        n++;
    EXPECT_EQ(n, 3);
    EXPECT_EQ(channel_send(e.ch, 99, false, "small", 5), 0); /* fits: does not forget the waiter */
    EXPECT_EQ(e.writables, 0);
    EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 1016);
    loop_poll(b.loop);
    EXPECT_EQ(e.writables, 1);
    EXPECT_EQ(channel_try_send(e.ch, VMBUS_PACKET_INBAND, n, false, NULL, 0, body, 1000), 0);
    for (unsigned i = 0; i < 4; i++)
        EXPECT(vsc_wait_packet(&c, buf, sizeof buf) > 0);
    loop_poll(b.loop);
    EXPECT_EQ(e.writables, 1);
    EXPECT_EQ(c.in.head->pending_send_sz, 0);
}

TEST(old_guests_that_signal_no_room_are_polled)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint8_t body[1000] = { 0 }, buf[1100];

    bus_model_init(&b, 1, false);
    open_one(&b, &e, &c, 2);
    c.in.head->features = 0;
    for (unsigned i = 0; i < 5; i++)
        EXPECT_EQ(channel_send(e.ch, i, false, body, 1000), 0);
    for (unsigned i = 0; i < 5; i++) {
        clock_advance(&b.m.clock, 20 * NS_PER_MS);
        loop_poll(b.loop);
        loop_poll(b.loop);
        EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 1016);
    }
}

TEST(packets_from_before_the_open_are_seen)
{
    AUTO(done) struct bus_model b;
    struct echo e = { .refuse = true };
    struct vsc_channel c;
    uint8_t buf[64];

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT(vsc_open(&b.g, &c, echo_find(&b, &e), 2, 0) != 0); /* but the rings are there */
    EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, 5, true, NULL, 0, "x", 1), 0);
    vsc_drain(&b.g); /* the signal led nowhere */
    e.refuse = false;
    struct vmbus_open_channel m = { .h.type = VMBUS_OPEN_CHANNEL, .relid = c.offer.relid,
                                    .gpadl = c.gpadl, .down_page = 2 };
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(vsc_wait(&b.g, VMBUS_OPEN_RESULT, NULL, 0));
    EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
}

/* ---- broken rings ---------------------------------------------------------------------------- */

TEST(broken_rings_close_the_channel_and_nothing_else)
{
    for (unsigned how = 0; how < 5; how++) {
        AUTO(done) struct bus_model b;
        struct echo e = { 0 }, other = { 0 };
        struct vsc_channel c, o;
        struct vmbus_packet h = { 6, 2, 0x7fff, 0, 1 };
        uint8_t buf[64];

        bus_model_init(&b, 1, false);
        echo_offer(&b, &other, 1);
        open_one(&b, &e, &c, 2);
        EXPECT_EQ(vsc_open(&b.g, &o, echo_find(&b, &other), 2, 0), 0);
        log_set_level(LOG_ERROR);
        switch (how) {
        case 0: c.out.head->write_index = 4096; break;
        case 1: c.out.head->write_index = 12; break;
        case 2:
            memcpy(c.out.page[0], &h, sizeof h);
            c.out.head->write_index = 24;
            break;
        case 3: /* a GPA-direct packet without ranges */
            h = (struct vmbus_packet){ 9, 2, 2, 1, 1 };
            memcpy(c.out.page[0], &h, sizeof h);
            c.out.head->write_index = 24;
            break;
        case 4: /* where does the answer go? */
            c.in.head->read_index = 13;
            vsc_send(&c, VMBUS_PACKET_INBAND, 1, true, NULL, 0, "x", 1);
            break;
        }
        vsc_signal(&c);
        loop_poll(b.loop);
        log_set_level(LOG_WARN);
        EXPECT_EQ(e.closes, 1);
        EXPECT(!channel_is_open(e.ch));
        EXPECT_EQ(vsc_send(&o, VMBUS_PACKET_INBAND, 1, true, NULL, 0, "x", 1), 0);
        EXPECT_EQ(vsc_wait_packet(&o, buf, sizeof buf), 24);
        EXPECT(vsc_close(&c)); /* and it can be opened anew */
        EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 2, 0), 0);
        EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, 1, true, NULL, 0, "x", 1), 0);
        EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

#define PACKETS 30000u

static void *turn_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

struct storm {
    struct bus_model b;
    struct echo e;
    struct vsc_channel c;
    uint32_t stop;
};

/* The guest's producer: packets of many sizes, busy rings are tried again. */
static void *guest_sends(void *arg)
{
    struct storm *s = arg;
    struct vsc_channel *c = &s->c;
    uint8_t body[600];

    for (uint32_t i = 0; i < PACKETS && !__atomic_load_n(&s->stop, __ATOMIC_RELAXED);) {
        size_t n = 8 + i * 37 % 500;
        memset(body, (int)i, n);
        put_le32(body, i);
        if (vsc_send(c, VMBUS_PACKET_INBAND, i, true, NULL, 0, body, n) == 0)
            i++;
        else
            sched_yield();
    }
    return NULL;
}

/* The consumer as Linux' interrupt handler: mask, drain, unmask, look again, sleep. */
static unsigned guest_receives(struct vsc_channel *c, bool mask)
{
    uint8_t buf[1024];
    unsigned got = 0;

    while (got < PACKETS) {
        unsigned before = got;
        if (mask)
            __atomic_store_n(&c->in.head->interrupt_mask, 1, __ATOMIC_RELEASE);
        for (int n; (n = vsc_recv(c, buf, sizeof buf)) > 0; got++) {
            if (get_le64(buf + 8) != got || get_le32(buf + 16) != got)
                EXPECT_EQ(get_le64(buf + 8), got);
            if (got % 16 == 15)
                vsc_done(c);
        }
        vsc_done(c);
        if (mask) {
            __atomic_store_n(&c->in.head->interrupt_mask, 0, __ATOMIC_RELEASE);
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        }
        if (__atomic_load_n(&c->in.head->write_index, __ATOMIC_ACQUIRE) != c->read_at)
            continue;
        if (got < PACKETS && got == before && !vsc_wait_event(c)) {
            EXPECT(!"a wake-up was lost");
            break;
        }
    }
    return got;
}

static void storm(unsigned pages, bool mask, uint32_t vp)
{
    struct storm s = { .stop = 0 };
    pthread_t turner, sender;

    bus_model_init(&s.b, 2, true);
    echo_offer(&s.b, &s.e, 0);
    pthread_create(&turner, NULL, turn_loop, s.b.loop);
    EXPECT(vsc_connect(&s.b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&s.b.g, &s.c, echo_find(&s.b, &s.e), pages, vp), 0);
    pthread_create(&sender, NULL, guest_sends, &s);
    EXPECT_EQ(guest_receives(&s.c, mask), PACKETS);
    __atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
    pthread_join(sender, NULL);
    EXPECT(vsc_close(&s.c));
    loop_stop(s.b.loop);
    pthread_join(turner, NULL);
    EXPECT_EQ(s.e.packets, PACKETS);
    bus_model_done(&s.b);
}

TEST(no_wake_up_is_lost_in_a_small_ring)
{
    storm(2, false, 1);
}

TEST(no_wake_up_is_lost_in_a_small_ring_with_the_mask)
{
    storm(2, true, 1);
}

TEST(no_wake_up_is_lost_in_a_large_ring)
{
    storm(32, true, 1);
}

/* A guest that sleeps when its out ring is full, as hv_sock does. */
TEST(a_guest_that_waits_for_room_is_woken)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    pthread_t turner;
    uint8_t body[600] = { 0 };
    unsigned sleeps = 0;

    bus_model_init(&b, 2, true);
    echo_offer(&b, &e, 0);
    pthread_create(&turner, NULL, turn_loop, b.loop);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 2, 1), 0);
    for (uint32_t i = 0; i < PACKETS; i++) {
        size_t n = 8 + i * 37 % 500;
        while (vsc_send(&c, VMBUS_PACKET_COMPLETION, i, false, NULL, 0, body, n) != 0) {
            c.out.head->pending_send_sz = (uint32_t)ALIGN_UP(16 + n, 8) + 8;
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            if (vsc_send(&c, VMBUS_PACKET_COMPLETION, i, false, NULL, 0, body, n) == 0)
                break;
            sleeps++;
            if (!vsc_wait_event(&c)) {
                EXPECT(!"a wake-up was lost");
                i = PACKETS;
                break;
            }
        }
        __atomic_store_n(&c.out.head->pending_send_sz, 0, __ATOMIC_RELEASE);
    }
    EXPECT(sleeps > 10);
    EXPECT(vsc_close(&c));
    loop_stop(b.loop);
    pthread_join(turner, NULL);
    EXPECT_EQ(e.packets, PACKETS);
}

/* Open, a few packets, close, over and over, while another thread keeps signalling. */
struct noise {
    struct bus_model *b;
    uint32_t stop;
};

static void *signal_noise(void *arg)
{
    struct noise *n = arg;

    for (uint32_t id = 0x2000; !__atomic_load_n(&n->stop, __ATOMIC_RELAXED); id = 0x2000 + (id + 1) % 8)
        hv_model_hypercall(&n->b->m, 1, HV_CALL_SIGNAL_EVENT | HV_CALL_FAST, id, 0);
    return NULL;
}

TEST(signals_at_any_time_are_harmless)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct noise n = { .b = &b };
    struct vsc_channel c;
    pthread_t turner, noise;
    uint8_t buf[64];

    bus_model_init(&b, 2, true);
    echo_offer(&b, &e, 0);
    pthread_create(&turner, NULL, turn_loop, b.loop);
    pthread_create(&noise, NULL, signal_noise, &n);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
        EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 2, 0), 0);
        for (unsigned k = 0; k < 5; k++) {
            EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, k, true, NULL, 0, "x", 1), 0);
            EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
        }
        if (i & 1)
            EXPECT(vsc_close(&c));
    }
    __atomic_store_n(&n.stop, 1, __ATOMIC_RELAXED);
    pthread_join(noise, NULL);
    loop_stop(b.loop);
    pthread_join(turner, NULL);
}
