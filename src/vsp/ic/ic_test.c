/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ic_test.c - heartbeat, shutdown and time synchronisation with a guest that answers as hv_utils does,
 * and with one that does not. */
#include <errno.h>

#include "base/test.h"
#include "vmbus/vmbus_model.h"
#include "vsp/ic/service.h"

#define WALL_NS     (UINT64_C(1700000000) * NS_PER_S)
#define PACKET_HEAD 16 /* of an in-band packet */
#define PIPE_HEAD   8
#define BODY        (PACKET_HEAD + PIPE_HEAD + sizeof(struct ic_header))

/* ---- a machine whose guest has a driver for each service ------------------------------------- */

enum service { HEARTBEAT, SHUTDOWN, TIMESYNC, SERVICES };

struct box {
    struct bus_model b;
    struct ic *ic;
    struct vsc_channel ch[SERVICES];
    uint64_t wall_ns;
    unsigned told;
    enum ic_shutdown_kind kind;
    uint32_t status;
    /* The request that came last. */
    uint8_t packet[4096];
    size_t n;
};

static uint64_t wall_ns(void *owner)
{
    return ((struct box *)owner)->wall_ns;
}

static void on_shutdown(void *owner, enum ic_shutdown_kind kind, uint32_t status)
{
    struct box *x = owner;

    x->told++;
    x->kind = kind;
    x->status = status;
}

static const struct ic_ops ops = { .shutdown_answered = on_shutdown };

static void make_ic(struct box *x)
{
    struct ic_config cfg = { .bus = x->b.bus, .wall_ns = wall_ns, .wall_owner = x, .ops = &ops,
                             .owner = x };

    EXPECT_EQ(ic_new(&cfg, &x->ic, NULL), 0);
}

static void box_init(struct box *x)
{
    static const struct guid types[] = { IC_HEARTBEAT_TYPE, IC_SHUTDOWN_TYPE, IC_TIMESYNC_TYPE };

    *x = (struct box){ .wall_ns = WALL_NS };
    bus_model_init(&x->b, 1, false);
    make_ic(x);
    EXPECT(vsc_connect(&x->b.g, VMBUS_V5_3));
    for (unsigned i = 0; i < SERVICES; i++) {
        const struct vmbus_offer_channel *o = vsc_offer(&x->b.g, &types[i], 0);
        EXPECT(o != NULL);
        EXPECT(o->flags & VMBUS_OFFER_PIPE);
        EXPECT_EQ(vsc_open(&x->b.g, &x->ch[i], o, 4, 0), 0);
    }
}

static void box_done(struct box *x)
{
    struct ic *ic = x->ic;
    struct vmbus *bus = TAKE_PTR(x->b.bus);

    vmbus_free(bus);
    ic_free(ic);
    bus_model_done(&x->b);
}

static enum ic_state state_of(struct box *x, enum service s)
{
    struct ic_status st;

    ic_get_status(x->ic, &st);
    return s == HEARTBEAT ? st.heartbeat.state :
           s == SHUTDOWN  ? st.shutdown.state :
                            st.timesync.state;
}

/* The host's next request: its type, or -1. */
static int take(struct box *x, enum service s)
{
    int n = vsc_recv(&x->ch[s], x->packet, sizeof x->packet);
    struct ic_header h;

    if (n == 0)
        return -1;
    vsc_done(&x->ch[s]);
    x->n = (size_t)n;
    memcpy(&h, x->packet + PACKET_HEAD + PIPE_HEAD, sizeof h);
    EXPECT_EQ(get_le32(x->packet + PACKET_HEAD), 1);
    EXPECT_EQ(h.flags, IC_FLAG_TRANSACTION | IC_FLAG_REQUEST);
    EXPECT(BODY + h.size <= x->n);
    return h.type;
}

static struct ic_header head(const struct box *x)
{
    struct ic_header h;

    memcpy(&h, x->packet + PACKET_HEAD + PIPE_HEAD, sizeof h);
    return h;
}

static void send_back(struct box *x, enum service s)
{
    EXPECT_EQ(vsc_send(&x->ch[s], VMBUS_PACKET_INBAND, 0, false, NULL, 0, x->packet + PACKET_HEAD,
                       x->n - PACKET_HEAD), 0);
    vsc_signal(&x->ch[s]);
    loop_poll(x->b.loop);
}

/* As hv_util.c does: the message itself goes back, with flags, a status and a changed body. */
static void answer(struct box *x, enum service s, uint32_t status, const void *body, size_t n)
{
    struct ic_header h = head(x);

    h.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
    h.status = status;
    memcpy(x->packet + PACKET_HEAD + PIPE_HEAD, &h, sizeof h);
    memcpy(x->packet + BODY, body, n);
    send_back(x, s);
}

struct negotiated {
    struct ic_negotiate head;
    struct ic_version version[2];
};

/* Agree on these versions. */
static void agree(struct box *x, enum service s, struct ic_version framework,
                  struct ic_version message)
{
    struct negotiated n = { { 1, 1, 0 }, { framework, message } };

    loop_poll(x->b.loop);
    EXPECT_EQ(take(x, s), IC_NEGOTIATE);
    answer(x, s, IC_STATUS_OK, &n, sizeof n);
}

static void pass(struct box *x, uint64_t ns)
{
    clock_advance(&x->b.m.clock, ns);
    loop_poll(x->b.loop);
}

static const struct ic_version v1_0 = { 1, 0 }, v3_0 = { 3, 0 }, v3_2 = { 3, 2 }, v4_0 = { 4, 0 };

/* ---- versions -------------------------------------------------------------------------------- */

TEST(the_host_offers_all_its_versions)
{
    AUTO(box_done) struct box x;
    struct ic_negotiate n;
    struct ic_version v;

    box_init(&x);
    EXPECT_EQ(state_of(&x, SHUTDOWN), IC_OPEN);
    EXPECT_EQ(take(&x, SHUTDOWN), IC_NEGOTIATE);
    memcpy(&n, x.packet + BODY, sizeof n);
    EXPECT_EQ(n.n_framework, 2);
    EXPECT_EQ(n.n_message, 4);
    EXPECT_EQ(head(&x).size, sizeof n + 6 * sizeof v);
    memcpy(&v, x.packet + BODY + sizeof n, sizeof v);
    EXPECT(v.major == 3 && v.minor == 0);
    memcpy(&v, x.packet + BODY + sizeof n + 2 * sizeof v, sizeof v);
    EXPECT(v.major == 3 && v.minor == 2);
}

TEST(old_and_new_guests_agree)
{
    AUTO(box_done) struct box x;
    struct ic_status st;

    box_init(&x);
    agree(&x, HEARTBEAT, v1_0, v1_0); /* 2008 R2's components */
    agree(&x, SHUTDOWN, v3_0, v3_2);
    agree(&x, TIMESYNC, v3_0, v4_0);
    ic_get_status(x.ic, &st);
    EXPECT_EQ(st.heartbeat.state, IC_READY);
    EXPECT_EQ(st.heartbeat.framework.major, 1);
    EXPECT_EQ(st.shutdown.state, IC_READY);
    EXPECT_EQ(st.shutdown.message.minor, 2);
    EXPECT_EQ(st.timesync.state, IC_READY);
}

TEST(versions_that_were_not_offered_are_refused)
{
    AUTO(box_done) struct box x;
    struct negotiated none = { .head = { 0, 0, 0 } };

    box_init(&x);
    agree(&x, HEARTBEAT, v3_0, v4_0);
    EXPECT_EQ(state_of(&x, HEARTBEAT), IC_REFUSED);
    agree(&x, TIMESYNC, (struct ic_version){ 2, 0 }, v4_0);
    EXPECT_EQ(state_of(&x, TIMESYNC), IC_REFUSED);
    EXPECT_EQ(take(&x, SHUTDOWN), IC_NEGOTIATE); /* what Linux says when it finds none */
    answer(&x, SHUTDOWN, IC_STATUS_OK, &none, sizeof none);
    EXPECT_EQ(state_of(&x, SHUTDOWN), IC_REFUSED);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), -ENOTCONN);
    pass(&x, 60 * NS_PER_S);
    EXPECT_EQ(take(&x, HEARTBEAT), -1);
    EXPECT_EQ(take(&x, TIMESYNC), -1);
}

/* ---- heartbeat ------------------------------------------------------------------------------- */

static void beat_back(struct box *x)
{
    struct ic_heartbeat_body body;

    EXPECT_EQ(take(x, HEARTBEAT), IC_HEARTBEAT);
    memcpy(&body, x->packet + BODY, sizeof body);
    body.sequence++;
    answer(x, HEARTBEAT, IC_STATUS_OK, &body, sizeof body);
}

TEST(a_guest_that_stops_answering_is_lost_and_found)
{
    AUTO(box_done) struct box x;
    struct ic_status st;

    box_init(&x);
    agree(&x, HEARTBEAT, v3_0, v3_0);
    for (unsigned i = 0; i < 10; i++) {
        beat_back(&x);
        EXPECT_EQ(take(&x, HEARTBEAT), -1); /* not before the time */
        pass(&x, IC_HEARTBEAT_NS);
    }
    ic_get_status(x.ic, &st);
    EXPECT_EQ(st.heartbeat.answers, 10);
    for (unsigned i = 0; i < 3; i++) {
        pass(&x, IC_HEARTBEAT_NS);
        EXPECT_EQ(state_of(&x, HEARTBEAT), IC_READY);
    }
    pass(&x, IC_HEARTBEAT_NS);
    EXPECT_EQ(state_of(&x, HEARTBEAT), IC_LOST);
    beat_back(&x); /* the one request that waited: its number is too old to count */
    EXPECT_EQ(state_of(&x, HEARTBEAT), IC_LOST);
    pass(&x, IC_HEARTBEAT_NS);
    beat_back(&x);
    EXPECT_EQ(state_of(&x, HEARTBEAT), IC_READY);
}

TEST(only_the_right_answer_counts)
{
    AUTO(box_done) struct box x;
    struct ic_heartbeat_body body;
    struct ic_header good, h;
    uint8_t saved[256];

    box_init(&x);
    agree(&x, HEARTBEAT, v3_0, v3_0);
    EXPECT_EQ(take(&x, HEARTBEAT), IC_HEARTBEAT);
    memcpy(&body, x.packet + BODY, sizeof body);
    body.sequence++;
    memcpy(x.packet + BODY, &body, sizeof body);
    good = head(&x);
    good.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
    memcpy(saved, x.packet, x.n);
    pass(&x, 9 * NS_PER_S);
    for (unsigned bad = 0; bad < 6; bad++) {
        size_t n = x.n;
        memcpy(x.packet, saved, n);
        h = good;
        switch (bad) {
        case 0: h.transaction++; break;
        case 1: h.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST; break;
        case 2: h.type = IC_SHUTDOWN; break;
        case 3: h.type = IC_NEGOTIATE; break;
        case 4: h.size = 4000; break;
        case 5: x.n = PACKET_HEAD + PIPE_HEAD + 8; break;
        }
        memcpy(x.packet + PACKET_HEAD + PIPE_HEAD, &h, sizeof h);
        send_back(&x, HEARTBEAT);
        x.n = n;
    }
    struct ic_status st;
    ic_get_status(x.ic, &st);
    EXPECT_EQ(st.heartbeat.answers, 0);
    EXPECT_EQ(st.heartbeat.state, IC_READY);
    memcpy(x.packet, saved, x.n);
    memcpy(x.packet + PACKET_HEAD + PIPE_HEAD, &good, sizeof good);
    send_back(&x, HEARTBEAT);
    send_back(&x, HEARTBEAT); /* and again: nothing was asked */
    ic_get_status(x.ic, &st);
    EXPECT_EQ(st.heartbeat.answers, 1);
}

/* ---- shutdown -------------------------------------------------------------------------------- */

TEST(shutdown_asks_once_and_hears_the_answer)
{
    AUTO(box_done) struct box x;
    struct ic_shutdown_body body;

    box_init(&x);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), -ENOTCONN);
    agree(&x, SHUTDOWN, v3_0, v3_2);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_HIBERNATE, false, NULL), -EOPNOTSUPP);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_REBOOT, true, NULL), 0);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), -EBUSY);
    loop_poll(x.b.loop);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), -EBUSY);
    EXPECT_EQ(take(&x, SHUTDOWN), IC_SHUTDOWN);
    EXPECT_EQ(head(&x).size, sizeof body); /* hv_utils wants all of it */
    EXPECT_EQ(head(&x).message.minor, 2);
    memcpy(&body, x.packet + BODY, sizeof body);
    EXPECT_EQ(body.flags, IC_SHUTDOWN_REBOOT | IC_SHUTDOWN_FORCE);
    EXPECT_EQ(x.told, 0);
    answer(&x, SHUTDOWN, IC_STATUS_OK, &body, sizeof body);
    EXPECT_EQ(x.told, 1);
    EXPECT_EQ(x.kind, IC_DO_REBOOT);
    EXPECT_EQ(x.status, IC_STATUS_OK);

    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), 0);
    loop_poll(x.b.loop);
    EXPECT_EQ(take(&x, SHUTDOWN), IC_SHUTDOWN);
    memcpy(&body, x.packet + BODY, sizeof body);
    EXPECT_EQ(body.flags, IC_SHUTDOWN_POWER_OFF);
    answer(&x, SHUTDOWN, IC_STATUS_NOT_SUPPORTED, &body, sizeof body);
    EXPECT_EQ(x.told, 2);
    EXPECT_EQ(x.status, IC_STATUS_NOT_SUPPORTED);
}

TEST(a_guest_that_never_answers_does_not_block_the_next_request)
{
    AUTO(box_done) struct box x;

    box_init(&x);
    agree(&x, SHUTDOWN, v3_0, v3_0);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), 0);
    loop_poll(x.b.loop);
    EXPECT_EQ(take(&x, SHUTDOWN), IC_SHUTDOWN);
    pass(&x, 29 * NS_PER_S);
    EXPECT_EQ(x.told, 0);
    pass(&x, NS_PER_S);
    EXPECT_EQ(x.told, 1);
    EXPECT_EQ(x.status, IC_STATUS_FAIL);
    answer(&x, SHUTDOWN, IC_STATUS_OK, "", 0); /* too late */
    EXPECT_EQ(x.told, 1);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), 0);
    loop_poll(x.b.loop);
    EXPECT_EQ(take(&x, SHUTDOWN), IC_SHUTDOWN);

    /* The driver is unloaded with the request in its hands. */
    EXPECT(vsc_close(&x.ch[SHUTDOWN]));
    EXPECT_EQ(x.told, 2);
    EXPECT_EQ(x.status, IC_STATUS_FAIL);
    EXPECT_EQ(state_of(&x, SHUTDOWN), IC_CLOSED);
    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), -ENOTCONN);
}

/* ---- time ------------------------------------------------------------------------------------ */

#define WALL_100NS (WALL_NS / 100 + UINT64_C(116444736000000000)) /* since 1601 */

TEST(time_is_set_once_then_sampled)
{
    AUTO(box_done) struct box x;
    struct ic_time_v4 t;

    box_init(&x);
    agree(&x, TIMESYNC, v3_0, v4_0);
    EXPECT_EQ(take(&x, TIMESYNC), IC_TIMESYNC);
    EXPECT_EQ(head(&x).size, sizeof t);
    memcpy(&t, x.packet + BODY, sizeof t);
    EXPECT_EQ(t.flags, IC_TIME_SYNC);
    EXPECT_EQ(t.host_time, WALL_100NS);
    uint64_t ref = t.ref_time;
    answer(&x, TIMESYNC, IC_STATUS_OK, &t, sizeof t);
    EXPECT_EQ(take(&x, TIMESYNC), -1);
    for (unsigned i = 1; i <= 3; i++) {
        x.wall_ns += IC_TIMESYNC_NS;
        pass(&x, IC_TIMESYNC_NS);
        EXPECT_EQ(take(&x, TIMESYNC), IC_TIMESYNC);
        memcpy(&t, x.packet + BODY, sizeof t);
        EXPECT_EQ(t.flags, IC_TIME_SAMPLE);
        EXPECT_EQ(t.host_time, WALL_100NS + i * IC_TIMESYNC_NS / 100);
        EXPECT((t.ref_time - ref + 5) / 10 == i * IC_TIMESYNC_NS / 1000); /* it is rounded down */
        answer(&x, TIMESYNC, IC_STATUS_OK, &t, sizeof t);
    }
}

TEST(old_guests_get_the_old_form)
{
    AUTO(box_done) struct box x;
    struct ic_time_v1 t;

    box_init(&x);
    agree(&x, TIMESYNC, v1_0, v1_0);
    EXPECT_EQ(take(&x, TIMESYNC), IC_TIMESYNC);
    EXPECT_EQ(head(&x).size, sizeof t);
    memcpy(&t, x.packet + BODY, sizeof t);
    EXPECT_EQ(t.flags, IC_TIME_SYNC);
    EXPECT_EQ(t.host_time, WALL_100NS);
}

/* ---- life ------------------------------------------------------------------------------------ */

TEST(a_driver_comes_back)
{
    AUTO(box_done) struct box x;
    struct ic_status st;

    box_init(&x);
    agree(&x, HEARTBEAT, v3_0, v3_0);
    beat_back(&x);
    struct vmbus_offer_channel o = x.ch[HEARTBEAT].offer;
    EXPECT(vsc_close(&x.ch[HEARTBEAT]));
    EXPECT_EQ(state_of(&x, HEARTBEAT), IC_CLOSED);
    pass(&x, 60 * NS_PER_S);
    EXPECT_EQ(vsc_open(&x.b.g, &x.ch[HEARTBEAT], &o, 4, 0), 0);
    agree(&x, HEARTBEAT, v1_0, v1_0);
    ic_get_status(x.ic, &st);
    EXPECT_EQ(st.heartbeat.state, IC_READY);
    EXPECT_EQ(st.heartbeat.framework.major, 1);
    beat_back(&x);
    EXPECT_EQ(state_of(&x, HEARTBEAT), IC_READY);
}

TEST(saved_and_restored_the_services_go_on)
{
    AUTO(box_done) struct box x;
    AUTO(buf_done) struct buf hv = { 0 }, bus = { 0 };
    struct ic_status st;
    struct ic_time_v4 t;

    box_init(&x);
    agree(&x, HEARTBEAT, v3_0, v3_0);
    agree(&x, SHUTDOWN, v3_0, v3_2);
    agree(&x, TIMESYNC, v3_0, v4_0);
    beat_back(&x);
    EXPECT_EQ(take(&x, TIMESYNC), IC_TIMESYNC);
    answer(&x, TIMESYNC, IC_STATUS_OK, "", 0);
    pass(&x, IC_HEARTBEAT_NS);
    EXPECT_EQ(take(&x, HEARTBEAT), IC_HEARTBEAT); /* in the guest's hands when it is saved */
    hv_save(x.b.m.hv, &hv);
    EXPECT_EQ(vmbus_save(x.b.bus, &bus, NULL), 0);

    struct ic *old = x.ic;
    bus_model_renew(&x.b);
    ic_free(old);
    make_ic(&x);
    struct bytes from_hv = bytes_of(hv.p, hv.n), from_bus = bytes_of(bus.p, bus.n);
    EXPECT_EQ(hv_load(x.b.m.hv, &from_hv, NULL), 0);
    x.wall_ns += 3600 * NS_PER_S;
    EXPECT_EQ(vmbus_load(x.b.bus, &from_bus, NULL), 0);
    loop_poll(x.b.loop);
    ic_get_status(x.ic, &st);
    EXPECT_EQ(st.heartbeat.state, IC_READY);
    EXPECT_EQ(st.shutdown.state, IC_READY);
    EXPECT_EQ(st.shutdown.message.minor, 2);
    EXPECT_EQ(take(&x, TIMESYNC), IC_TIMESYNC); /* the clock stood: it is set again */
    memcpy(&t, x.packet + BODY, sizeof t);
    EXPECT_EQ(t.flags, IC_TIME_SYNC);
    EXPECT_EQ(t.host_time, WALL_100NS + UINT64_C(36000000000));

    EXPECT_EQ(ic_shutdown(x.ic, IC_DO_POWER_OFF, false, NULL), 0);
    loop_poll(x.b.loop);
    EXPECT_EQ(take(&x, SHUTDOWN), IC_SHUTDOWN);
    answer(&x, SHUTDOWN, IC_STATUS_OK, "", 0);
    EXPECT_EQ(x.told, 1);
}

/* ---- the decoder ----------------------------------------------------------------------------- */

TEST(decoding_looks_at_every_length)
{
    uint8_t raw[PIPE_HEAD + sizeof(struct ic_header) + sizeof(struct negotiated)] = { 1 };
    struct ic_header h = { .type = IC_NEGOTIATE, .size = sizeof(struct negotiated) };
    struct negotiated n = { { 1, 1, 0 }, { v3_0, v3_2 } };
    struct ic_answer a;

    memcpy(raw + PIPE_HEAD, &h, sizeof h);
    memcpy(raw + PIPE_HEAD + sizeof h, &n, sizeof n);
    for (size_t i = 0; i < sizeof raw; i++)
        EXPECT_EQ(ic_decode(raw, i, &a), -EBADMSG);
    EXPECT_EQ(ic_decode(raw, sizeof raw, &a), 0);
    EXPECT_EQ(a.framework.major, 3);
    EXPECT_EQ(a.message.minor, 2);
    EXPECT_EQ(a.n, sizeof n);

    /* More than one of each is no answer, whatever lies behind. */
    n.head.n_message = 2;
    memcpy(raw + PIPE_HEAD + sizeof h, &n, sizeof n);
    EXPECT_EQ(ic_decode(raw, sizeof raw, &a), 0);
    EXPECT_EQ(a.framework.major, 0);
    /* One of each that is not there. */
    n.head.n_message = 1;
    h.size = sizeof n.head + 4;
    memcpy(raw + PIPE_HEAD, &h, sizeof h);
    memcpy(raw + PIPE_HEAD + sizeof h, &n, sizeof n);
    EXPECT_EQ(ic_decode(raw, sizeof raw, &a), -EBADMSG);
    raw[0] = 2; /* no data */
    EXPECT_EQ(ic_decode(raw, sizeof raw, &a), -EBADMSG);
}
