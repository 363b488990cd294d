/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server_test.c - the control plane: contact in all versions, offers, open, close, rescind, and what
 * a guest may do wrong. */
#include <errno.h>

#include "base/log.h"
#include "base/test.h"
#include "vmbus/vmbus_model.h"

static void done(struct bus_model *b)
{
    bus_model_done(b);
}

#define HEAD(t) { (t), 0 }

/* ---- contact --------------------------------------------------------------------------------- */

TEST(every_version_is_agreed_on_and_works)
{
    static const uint32_t all[] = {
        VMBUS_V0_13, VMBUS_V1_1, VMBUS_V2_4, VMBUS_V3_0, VMBUS_V4_0,
        VMBUS_V4_1,  VMBUS_V5_0, VMBUS_V5_1, VMBUS_V5_2, VMBUS_V5_3,
    };

    for (unsigned i = 0; i < ARRAY_LEN(all); i++) {
        AUTO(done) struct bus_model b;
        struct echo e = { 0 };
        struct vsc_channel c;
        uint8_t buf[256];

        bus_model_init(&b, 2, false);
        echo_offer(&b, &e, 0);
        EXPECT(vsc_connect(&b.g, all[i]));
        EXPECT_EQ(vmbus_version(b.bus), all[i]);
        EXPECT_EQ(b.contact, all[i]);
        EXPECT_EQ(b.g.n_offers, 1);
        EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, i < 2 ? 0 : 1), 0);
        for (unsigned k = 0; k < 20; k++) {
            EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, 77 + k, true, NULL, 0, "ping", 4), 0);
            EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
            EXPECT_EQ(get_le16(buf), VMBUS_PACKET_COMPLETION);
            EXPECT_EQ(get_le64(buf + 8), 77 + k);
            EXPECT_EQ(memcmp(buf + 16, "ping", 4), 0);
        }
        EXPECT(vsc_close(&c));
        EXPECT_EQ(e.closes, 1);
        EXPECT(vsc_unload(&b.g));
        EXPECT_EQ(b.contact, 0);
    }
}

TEST(unknown_versions_are_refused_not_ignored)
{
    AUTO(done) struct bus_model b;

    bus_model_init(&b, 1, false);
    EXPECT(!vsc_contact(&b.g, 0x60000));
    EXPECT(!vsc_contact(&b.g, 0));
    EXPECT(!vsc_contact(&b.g, 0x00020003));
    EXPECT_EQ(vmbus_version(b.bus), 0);
    EXPECT_EQ(b.contacts, 0);
    EXPECT(!vsc_wait(&b.g, VMBUS_VERSION_RESPONSE, NULL, 0)); /* each was answered once */
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
}

TEST(the_newest_version_can_be_limited)
{
    AUTO(done) struct bus_model b;
    struct vmbus_config cfg;

    bus_model_init(&b, 1, false);
    vmbus_free(b.bus);
    cfg = (struct vmbus_config){ .hv = b.m.hv, .loop = b.loop, .max_version = VMBUS_V4_0 };
    EXPECT_EQ(vmbus_new(&cfg, &b.bus, NULL), 0);
    EXPECT(!vsc_contact(&b.g, VMBUS_V5_3));
    EXPECT(!vsc_contact(&b.g, VMBUS_V4_1));
    EXPECT(vsc_contact(&b.g, VMBUS_V4_0));
}

TEST(answers_go_where_the_contact_says)
{
    AUTO(done) struct bus_model b;
    struct vmbus_initiate_contact m = {
        HEAD(VMBUS_INITIATE_CONTACT), VMBUS_V5_0, 1, 5, { 0 },
    };
    struct hv_message got;

    bus_model_init(&b, 2, false);
    hv_model_wrmsr(&b.m, 1, HV_MSR_SINT0 + 5, 0x55);
    vsc_post(&b.g, &m, sizeof m);
    loop_poll(b.loop);
    EXPECT(!hv_model_take(&b.m, 0, 2, &got));
    EXPECT(hv_model_take(&b.m, 1, 5, &got));
    EXPECT_EQ(get_le32(got.payload), VMBUS_VERSION_RESPONSE);
    EXPECT_EQ(got.payload[8], 1);
    EXPECT_EQ(get_le32(got.payload + 12), VMBUS_MESSAGE_CONNECTION);
    EXPECT_EQ(model_interrupts(hv_model_vp(&b.m, 1), 0x55), 1);
}

TEST(connection_ids)
{
    AUTO(done) struct bus_model b;
    struct vmbus_header m = HEAD(VMBUS_REQUEST_OFFERS);

    bus_model_init(&b, 1, false);
    EXPECT_EQ(hv_model_post(&b.m, 0, 1, 1, &m, sizeof m), HV_SUCCESS);
    EXPECT_EQ(hv_model_post(&b.m, 0, 4, 1, &m, sizeof m), HV_SUCCESS);
    EXPECT_EQ(hv_model_post(&b.m, 0, 0, 1, &m, sizeof m), HV_INVALID_CONNECTION_ID);
    EXPECT_EQ(hv_model_post(&b.m, 0, 2, 1, &m, sizeof m), HV_INVALID_CONNECTION_ID);
    EXPECT_EQ(hv_model_post(&b.m, 0, 1, 2, &m, sizeof m), HV_INVALID_PARAMETER);
    for (uint32_t id = 0; id < 0x3000; id++) {
        uint64_t s = hv_model_hypercall(&b.m, 0, HV_CALL_SIGNAL_EVENT | HV_CALL_FAST, id, 0);
        EXPECT_EQ(s, id == VMBUS_EVENT_CONNECTION ? HV_SUCCESS : HV_INVALID_CONNECTION_ID);
    }
}

TEST(contact_anew_is_a_full_reset)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint64_t pfn[3];
    uint32_t id;

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    vsc_pages(&b.g, pfn, 3);
    EXPECT_EQ(vsc_gpadl(&b.g, 1, pfn, 3, &id), 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V4_0)); /* kexec: no unload */
    EXPECT_EQ(e.closes, 1);
    EXPECT_EQ(b.g.n_offers, 1);
    b.g.next_gpadl = id; /* the same names are free again */
    EXPECT_EQ(vsc_gpadl(&b.g, 1, pfn, 3, &id), 0);
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    EXPECT_EQ(e.opens, 2);
}

TEST(machine_reset_forgets_the_guest)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 }, sub = { 0 };
    struct vsc_channel c;

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    EXPECT_EQ(echo_offer_sub(&e, &sub, 1), 0);
    vsc_signal(&c);
    EXPECT(vmbus_reset(b.bus));
    hv_reset(b.m.hv);
    EXPECT_EQ(e.closes, 1);
    EXPECT_EQ(sub.removed, 1);
    EXPECT_EQ(b.contact, 0);
    loop_poll(b.loop);
    hv_model_boot(&b.m);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(b.g.n_offers, 1);
}

TEST(nothing_is_heard_before_contact)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vmbus_header m = HEAD(VMBUS_REQUEST_OFFERS);

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    vsc_post(&b.g, &m, sizeof m);
    vsc_drain(&b.g);
    EXPECT_EQ(b.g.n_offers, 0);
    EXPECT(vsc_unload(&b.g)); /* but for this: somebody polls for the answer */
}

/* ---- offers ---------------------------------------------------------------------------------- */

TEST(an_offer_says_it_all)
{
    AUTO(done) struct bus_model b;
    struct echo e[3] = { { 0 } };
    const struct vmbus_offer_channel *o;
    struct vmbus_header again = HEAD(VMBUS_REQUEST_OFFERS);

    bus_model_init(&b, 1, false);
    for (uint8_t i = 0; i < 3; i++)
        EXPECT_EQ(echo_offer(&b, &e[i], i), 0);
    EXPECT(echo_offer(&b, &e[0], 0) < 0); /* that instance is there */
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(b.g.n_offers, 3);
    for (unsigned i = 0; i < 3; i++) {
        o = &b.g.offer[i];
        EXPECT(o->relid >= 1 && o->relid <= 2047 && o->connection == 0x2000 + o->relid);
        EXPECT_EQ(memcmp(&o->type, &echo_type, 16), 0);
        EXPECT_EQ(o->instance.a, 0xa0000000 + i);
        EXPECT_EQ(o->flags, 0x11);
        EXPECT_EQ(o->user[0], 4);
        EXPECT_EQ(o->dedicated_interrupt, 1);
        EXPECT_EQ(o->monitor_allocated, 0);
        EXPECT_EQ(o->sub_index, 0);
    }
    vsc_post(&b.g, &again, sizeof again);
    vsc_drain(&b.g);
    EXPECT_EQ(b.g.n_offers, 3); /* once a contact */
}

TEST(channels_are_limited_by_their_ids)
{
    AUTO(done) struct bus_model b;
    struct guid type = ECHO_TYPE;
    static const struct channel_ops ops = { .name = "none" };
    struct channel *ch;
    struct err err;

    bus_model_init(&b, 1, false);
    for (uint32_t i = 1; i <= 2048; i++) {
        struct channel_offer o = { .type = type, .instance.a = i };
        int r = channel_offer(b.bus, &o, &ops, NULL, &ch, &err);
        EXPECT_EQ(r == 0, i < 2048);
    }
    EXPECT_HAS(err.text, "2047");
}

TEST(hot_add_and_rescind)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 }, late = { 0 }, other = { 0 };
    struct vsc_channel c;
    struct vmbus_relid rel = { HEAD(VMBUS_RELID_RELEASED), 0 };
    uint32_t relid;

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(echo_offer(&b, &late, 1), 0);
    vsc_drain(&b.g);
    EXPECT_EQ(b.g.n_offers, 2);
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &late), 4, 0), 0);
    relid = c.offer.relid;
    channel_rescind(late.ch);
    EXPECT_EQ(late.closes, 1);
    EXPECT_EQ(late.removed, 1);
    vsc_drain(&b.g);
    EXPECT(b.g.n_rescinded == 1 && b.g.rescinded[0] == relid);

    /* An open that crossed the rescind gets no answer; signals lead nowhere. */
    struct vmbus_open_channel m = { .h.type = VMBUS_OPEN_CHANNEL, .relid = relid };
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(!vsc_wait(&b.g, VMBUS_OPEN_RESULT, NULL, 0));
    EXPECT_EQ(hv_model_hypercall(&b.m, 0, HV_CALL_SIGNAL_EVENT | HV_CALL_FAST, c.offer.connection,
                                 0),
              HV_INVALID_CONNECTION_ID);
    EXPECT_EQ(echo_offer(&b, &other, 2), 0);
    EXPECT(channel_relid(other.ch) != relid); /* not before it is released */
    EXPECT(vsc_close(&c));
    rel.relid = relid;
    vsc_post(&b.g, &rel, sizeof rel);
    vsc_drain(&b.g);
    channel_rescind(other.ch);
    EXPECT_EQ(echo_offer(&b, &late, 1), 0);
    EXPECT_EQ(channel_relid(late.ch), relid);

    /* Releasing what is not rescinded does nothing. */
    for (rel.relid = 0; rel.relid < 2100; rel.relid++) {
        vsc_post(&b.g, &rel, sizeof rel);
        vsc_drain(&b.g);
    }
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
}

TEST(sub_channels_follow_their_primary)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 }, sub[2] = { { 0 } };
    const struct vmbus_offer_channel *o;
    struct vsc_channel c, cs;
    uint8_t buf[64];

    bus_model_init(&b, 2, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    EXPECT(echo_offer_sub(&e, &sub[0], 0) < 0);
    EXPECT(echo_offer_sub(&e, &sub[0], 65) < 0);
    EXPECT_EQ(echo_offer_sub(&e, &sub[0], 1), 0);
    EXPECT(echo_offer_sub(&e, &sub[1], 1) < 0);
    EXPECT_EQ(echo_offer_sub(&e, &sub[1], 2), 0);
    EXPECT(channel_primary(sub[1].ch) == e.ch && channel_sub_index(sub[1].ch) == 2);
    vsc_drain(&b.g);
    o = vsc_offer(&b.g, &echo_type, 2);
    EXPECT(o && o->instance.a == 0xa0000000);
    EXPECT_EQ(vsc_open(&b.g, &cs, o, 2, 1), 0);
    EXPECT_EQ(vsc_send(&cs, VMBUS_PACKET_INBAND, 5, true, NULL, 0, "sub", 3), 0);
    EXPECT_EQ(vsc_wait_packet(&cs, buf, sizeof buf), 24);
    EXPECT_EQ(sub[1].packets, 1);
    channel_rescind(e.ch);
    EXPECT(sub[0].removed == 1 && sub[1].removed == 1 && sub[1].closes == 1 && e.removed == 1);
    vsc_drain(&b.g);
    EXPECT_EQ(b.g.n_rescinded, 3);
    EXPECT_EQ(b.g.rescinded[2], c.offer.relid); /* the primary last */
}

/* ---- open, close, modify --------------------------------------------------------------------- */

static uint32_t try_open(struct bus_model *b, uint32_t relid, uint32_t gpadl, uint32_t down,
                         uint32_t vp)
{
    struct vmbus_open_channel m = {
        .h.type = VMBUS_OPEN_CHANNEL, .relid = relid, .open_id = 3, .gpadl = gpadl,
        .target_vp = vp, .down_page = down,
    };
    struct vmbus_open_result r;

    vsc_post(&b->g, &m, sizeof m);
    if (!vsc_wait(&b->g, VMBUS_OPEN_RESULT, &r, sizeof r) || r.relid != relid || r.open_id != 3)
        return 12345;
    return r.status;
}

TEST(opens_that_cannot_be_are_refused)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint32_t id, odd;
    uint64_t pfn[8];

    bus_model_init(&b, 2, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    vsc_pages(&b.g, pfn, 8);
    EXPECT_EQ(vsc_gpadl(&b.g, 1, pfn, 8, &id), 0);
    struct {
        struct vmbus_gpadl_header h;
        struct vmbus_gpadl_range r;
        uint64_t pfn[2];
    } __attribute__((packed)) m = {
        { HEAD(VMBUS_GPADL_HEADER), 1, 0x77, 24, 1 }, { 4096, 8 }, { pfn[0], pfn[1] },
    };
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(vsc_wait(&b.g, VMBUS_GPADL_CREATED, NULL, 0));
    odd = 0x77;

    const uint32_t bad[][4] = {
        { 1, id + 9, 4, 0 }, /* no such GPADL */
        { 1, odd, 1, 0 },    /* not whole pages */
        { 1, id, 0, 0 },     /* a ring is a header and data at least */
        { 1, id, 1, 0 },
        { 1, id, 7, 0 },
        { 1, id, 8, 0 },
        { 1, id, UINT32_MAX, 0 },
        { 1, id, 4, 2 },     /* no such VP */
        { 0, id, 4, 0 },     /* no such channel */
        { 2, id, 4, 0 },
        { 2048, id, 4, 0 },
        { UINT32_MAX, id, 4, 0 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        uint32_t s = try_open(&b, bad[i][0], bad[i][1], bad[i][2], bad[i][3]);
        if (bad[i][0] == 0)
            EXPECT_EQ(s, 12345); /* id 0 is never free: as if just rescinded */
        else if (s == 0 || s == 12345)
            test_fail(__FILE__, __LINE__, "case %u: status %#x", i, s);
    }
    EXPECT_EQ(e.opens, 0);

    uint32_t wrong = 4;
    gmem_write(b.m.gmem, GPA((pfn[4] << 12) + 0), &wrong, 4); /* our write index: no multiple of 8 */
    EXPECT(try_open(&b, 1, id, 4, 0) != 0);
    wrong = 3 * 4096;
    gmem_write(b.m.gmem, GPA((pfn[4] << 12) + 0), &wrong, 4); /* behind the end */
    EXPECT(try_open(&b, 1, id, 4, 0) != 0);
    gmem_zero(b.m.gmem, GPA(pfn[4] << 12), 4);

    e.refuse = true;
    EXPECT(try_open(&b, 1, id, 4, 0) != 0);
    EXPECT_EQ(e.opens, 1);
    e.refuse = false;
    EXPECT_EQ(try_open(&b, 1, id, 4, VMBUS_NO_INTERRUPT), 0);
    EXPECT(try_open(&b, 1, id, 4, 0) != 0); /* twice */
    EXPECT_EQ(vsc_open(&b.g, &c, &b.g.offer[0], 4, 0) != 0, true);
    EXPECT_EQ(e.opens, 2);
    EXPECT(vsc_unload(&b.g));
}

TEST(a_channel_can_be_opened_again)
{
    AUTO(done) struct bus_model b;
    struct echo e = { .speak_first = true };
    struct vsc_channel c;
    struct vmbus_relid close = { HEAD(VMBUS_CLOSE_CHANNEL), 1 };
    uint8_t buf[64];

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    for (unsigned i = 1; i <= 50; i++) {
        EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 2 + i % 3, 0), 0);
        EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24); /* the host speaks first */
        EXPECT(vsc_close(&c));
        vsc_post(&b.g, &close, sizeof close); /* once more: nothing */
        vsc_drain(&b.g);
        EXPECT(e.opens == i && e.closes == i);
    }
}

TEST(interrupts_move_with_modify)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    struct vmbus_modify_channel m = { HEAD(VMBUS_MODIFY_CHANNEL), 1, 1 };
    struct vmbus_modify_response r;
    uint8_t buf[64];

    bus_model_init(&b, 2, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    vsc_post(&b.g, &m, sizeof m); /* not open: answered all the same */
    EXPECT(vsc_wait(&b.g, VMBUS_MODIFY_RESPONSE, &r, sizeof r));
    EXPECT(r.relid == 1 && r.status != 0);
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(vsc_wait(&b.g, VMBUS_MODIFY_RESPONSE, &r, sizeof r));
    EXPECT_EQ(r.status, 0);
    c.vp = 1;
    EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, 5, true, NULL, 0, "x", 1), 0);
    EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
    EXPECT(!hv_model_take_event(&b.m, 0, 2, 1));
    m.target_vp = 2;
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(vsc_wait(&b.g, VMBUS_MODIFY_RESPONSE, &r, sizeof r) && r.status != 0);
    m.relid = 99999;
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(vsc_wait(&b.g, VMBUS_MODIFY_RESPONSE, &r, sizeof r) && r.status != 0);

    EXPECT(vsc_connect(&b.g, VMBUS_V4_1)); /* older ones know no answer */
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    m = (struct vmbus_modify_channel){ HEAD(VMBUS_MODIFY_CHANNEL), 1, 1 };
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(!vsc_wait(&b.g, VMBUS_MODIFY_RESPONSE, NULL, 0));
    c.vp = 1;
    EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, 5, true, NULL, 0, "x", 1), 0);
    EXPECT_EQ(vsc_wait_packet(&c, buf, sizeof buf), 24);
}

TEST(sockets_are_refused)
{
    AUTO(done) struct bus_model b;
    struct vmbus_tl_connect m = { HEAD(VMBUS_TL_CONNECT), { .a = 1 }, { .a = 2 } };
    struct vmbus_tl_connect_result r;

    bus_model_init(&b, 1, false);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    vsc_post(&b.g, &m, sizeof m);
    EXPECT(vsc_wait(&b.g, VMBUS_TL_CONNECT_RESULT, &r, sizeof r));
    EXPECT(r.endpoint.a == 1 && r.service.a == 2 && r.status != 0);
}

/* ---- a provider with requests in flight ------------------------------------------------------ */

TEST(the_bus_waits_for_a_provider_that_still_uses_memory)
{
    AUTO(done) struct bus_model b;
    struct echo e = { .close_late = true };
    struct vsc_channel c;
    struct vmbus_header unload = HEAD(VMBUS_UNLOAD);
    struct vmbus_relid close = { HEAD(VMBUS_CLOSE_CHANNEL), 1 };

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));

    /* Close: the rings' GPADL is torn down when the provider is done. */
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    struct vmbus_gpadl_teardown t = { HEAD(VMBUS_GPADL_TEARDOWN), 1, c.gpadl };
    vsc_post(&b.g, &close, sizeof close);
    vsc_post(&b.g, &t, sizeof t);
    EXPECT(!vsc_wait(&b.g, VMBUS_GPADL_TORNDOWN, NULL, 0));
    EXPECT(!channel_is_open(e.ch));
    EXPECT_EQ(channel_send(e.ch, 1, false, "x", 1), -ENOTCONN);
    channel_closed(e.ch);
    EXPECT(vsc_wait(&b.g, VMBUS_GPADL_TORNDOWN, NULL, 0));

    /* Unload, contact and reset likewise. */
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    vsc_post(&b.g, &unload, sizeof unload);
    EXPECT(!vsc_wait(&b.g, VMBUS_UNLOAD_RESPONSE, NULL, 0));
    channel_closed(e.ch);
    EXPECT(vsc_wait(&b.g, VMBUS_UNLOAD_RESPONSE, NULL, 0));

    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    struct vmbus_initiate_contact again = { HEAD(VMBUS_INITIATE_CONTACT), VMBUS_V5_3, 0, 2, { 0 } };
    vsc_post(&b.g, &again, sizeof again);
    EXPECT(!vsc_wait(&b.g, VMBUS_VERSION_RESPONSE, NULL, 0));
    channel_closed(e.ch);
    EXPECT(vsc_wait(&b.g, VMBUS_VERSION_RESPONSE, NULL, 0));
    EXPECT(vsc_request_offers(&b.g));

    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    EXPECT(!vmbus_reset(b.bus));
    struct buf none = { 0 };
    EXPECT_EQ(vmbus_save(b.bus, &none, NULL), -EBUSY);
    EXPECT_EQ(b.quiets, 0);
    channel_closed(e.ch);
    EXPECT_EQ(b.quiets, 1);
}

/* ---- wrong messages -------------------------------------------------------------------------- */

TEST(messages_of_any_type_and_length_do_no_harm)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    uint8_t raw[240];

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    log_set_level(LOG_ERROR);
    for (unsigned round = 0; round < 3; round++) {
        EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
        for (uint32_t type = 0; type < 40; type++) {
            if (type == VMBUS_UNLOAD || type == VMBUS_INITIATE_CONTACT)
                continue;
            for (unsigned n = 0; n <= sizeof raw; n += round == 2 ? 1 : 7) {
                memset(raw, round ? 0xff : 0, sizeof raw);
                put_le32(raw, type);
                vsc_post(&b.g, raw, n);
                vsc_drain(&b.g);
            }
        }
    }
    log_set_level(LOG_WARN);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
}

TEST(a_guest_that_does_not_listen_is_not_served)
{
    AUTO(done) struct bus_model b;
    struct vmbus_gpadl_teardown m = { HEAD(VMBUS_GPADL_TEARDOWN), 1, 5 };
    unsigned taken = 0;
    struct hv_message got;

    bus_model_init(&b, 1, false);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    /* Each message costs an answer.  The host takes some, then tells the guest to try again. */
    while (taken < 100000 && vsc_post(&b.g, &m, sizeof m) == HV_SUCCESS) {
        taken++;
        loop_poll(b.loop);
    }
    EXPECT(taken > 1000 && taken < 2000);
    EXPECT(synic_queued(b.m.hv, 0, 2) < 256);
    /* When it listens again, everything is answered. */
    unsigned answers = 0;
    for (unsigned idle = 0; idle < 20; idle++) {
        while (hv_model_take(&b.m, 0, 2, &got)) {
            answers += get_le32(got.payload) == VMBUS_GPADL_TORNDOWN;
            idle = 0;
        }
        loop_poll(b.loop);
    }
    EXPECT_EQ(answers, taken);
}
