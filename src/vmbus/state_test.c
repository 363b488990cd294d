/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state_test.c - a bus saved in the middle of things goes on in a new machine. */
#include "base/test.h"
#include "vmbus/vmbus_model.h"

static void done(struct bus_model *b)
{
    bus_model_done(b);
}

/* Save all, make hv and bus anew with the providers in 'e' (another order of offers), load. */
static int move(struct bus_model *b, struct echo *e, unsigned n, struct buf *state)
{
    struct bytes from;
    int r;

    hv_save(b->m.hv, state);
    r = vmbus_save(b->bus, state, NULL);
    if (r < 0)
        return r;
    bus_model_renew(b);
    for (unsigned i = n; i-- > 0;) {
        e[i].saved = 0;
        echo_offer(b, &e[i], (uint8_t)i);
    }
    from = bytes_of(state->p, state->n);
    r = hv_load(b->m.hv, &from, NULL);
    if (r == 0)
        r = vmbus_load(b->bus, &from, NULL);
    EXPECT_EQ(from.n, 0);
    return r;
}

TEST(an_open_channel_goes_on)
{
    AUTO(done) struct bus_model b;
    AUTO(buf_done) struct buf state = { 0 };
    struct echo e[3] = { { 0 } };
    struct vsc_channel c, d;
    uint8_t buf[1100], body[1000] = { 1 };
    uint64_t pfn[100];
    uint32_t id, relid;

    bus_model_init(&b, 2, false);
    for (uint8_t i = 0; i < 3; i++)
        echo_offer(&b, &e[i], i);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e[1]), 2, 1), 0);
    EXPECT_EQ(vsc_open(&b.g, &d, echo_find(&b, &e[2]), 4, 0), 0);
    vsc_pages(&b.g, pfn, 100);
    EXPECT_EQ(vsc_gpadl(&b.g, 1, pfn, 100, &id), 0);
    e[1].saved = 4711;
    relid = channel_relid(e[1].ch);
    for (unsigned i = 0; i < 5; i++) /* two of them wait for room */
        EXPECT_EQ(channel_send(e[1].ch, i, false, body, 1000), 0);
    EXPECT_EQ(vsc_send(&c, VMBUS_PACKET_INBAND, 5, true, NULL, 0, "x", 1), 0); /* signalled, unseen */

    EXPECT_EQ(move(&b, e, 3, &state), 0);
    EXPECT_EQ(e[1].saved, 4711);
    EXPECT_EQ(channel_relid(e[1].ch), relid);
    EXPECT(channel_is_open(e[1].ch) && channel_is_open(e[2].ch) && !channel_is_open(e[0].ch));
    EXPECT_EQ(vmbus_version(b.bus), VMBUS_V5_3);
    for (unsigned i = 0; i < 6; i++) {
        EXPECT(vsc_wait_packet(&c, buf, sizeof buf) > 0);
        EXPECT_EQ(get_le64(buf + 8), i);
    }
    EXPECT_EQ(vsc_send(&d, VMBUS_PACKET_INBAND, 7, true, NULL, 0, "x", 1), 0);
    EXPECT(vsc_wait_packet(&d, buf, sizeof buf) > 0);
    EXPECT(vsc_teardown(&b.g, 1, id));
    EXPECT(vsc_close(&c));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e[0]), 2, 1), 0);
    EXPECT(vsc_unload(&b.g));
}

TEST(half_a_gpadl_and_unread_messages_travel)
{
    AUTO(done) struct bus_model b;
    AUTO(buf_done) struct buf state = { 0 };
    struct echo e = { 0 };
    struct {
        struct vmbus_gpadl_header h;
        struct vmbus_gpadl_range r;
        uint64_t pfn[2];
    } __attribute__((packed)) m = {
        { { VMBUS_GPADL_HEADER, 0 }, 1, 7, 40, 1 }, { 4 * 4096, 0 }, { 0x300, 0x301 },
    };
    struct {
        struct vmbus_gpadl_body h;
        uint64_t pfn[2];
    } body = { { { VMBUS_GPADL_BODY, 0 }, 0, 7 }, { 0x302, 0x303 } };
    struct vmbus_gpadl_created r;

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    vsc_post(&b.g, &m, sizeof m);
    vsc_drain(&b.g);
    vsc_post(&b.g, &body, sizeof body); /* in the bus's queue when we save */
    EXPECT_EQ(move(&b, &e, 1, &state), 0);
    EXPECT(vsc_wait(&b.g, VMBUS_GPADL_CREATED, &r, sizeof r));
    EXPECT(r.gpadl == 7 && r.status == 0);
    EXPECT(vsc_teardown(&b.g, 1, 7));
}

TEST(a_rescinded_id_stays_taken)
{
    AUTO(done) struct bus_model b;
    AUTO(buf_done) struct buf state = { 0 };
    struct echo e[2] = { { 0 } };

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e[1], 1); /* id 1 */
    echo_offer(&b, &e[0], 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    channel_rescind(e[1].ch);
    EXPECT_EQ(move(&b, e, 1, &state), 0);
    EXPECT_EQ(echo_offer(&b, &e[1], 1), 0);
    EXPECT_EQ(channel_relid(e[0].ch), 2);
    EXPECT_EQ(channel_relid(e[1].ch), 3);
    vsc_drain(&b.g);
    EXPECT_EQ(b.g.n_offers, 3); /* hot add in the new machine */
}

TEST(a_missing_device_is_named)
{
    AUTO(done) struct bus_model b;
    AUTO(buf_done) struct buf state = { 0 };
    struct echo e = { 0 };
    struct err err;

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT_EQ(vmbus_save(b.bus, &state, NULL), 0);
    bus_model_renew(&b);
    struct bytes from = bytes_of(state.p, state.n);
    EXPECT(vmbus_load(b.bus, &from, &err) < 0);
    EXPECT_HAS(err.text, "no such device");
}

TEST(cut_off_state_is_refused)
{
    AUTO(done) struct bus_model b;
    AUTO(buf_done) struct buf state = { 0 };
    struct echo e = { 0 };
    struct vsc_channel c;

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 2, 0), 0);
    EXPECT_EQ(vmbus_save(b.bus, &state, NULL), 0);
    for (size_t n = 0; n < state.n; n += 13) {
        bus_model_renew(&b);
        echo_offer(&b, &e, 0);
        struct bytes from = bytes_of(state.p, n);
        EXPECT(vmbus_load(b.bus, &from, NULL) < 0);
    }
}

TEST(the_dump_names_the_channels)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    char text[4096] = "";

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 2, 0), 0);
    FILE *f = fmemopen(text, sizeof text - 1, "w");
    vmbus_dump(b.bus, f);
    fclose(f);
    EXPECT_HAS(text, "version 5.3");
    EXPECT_HAS(text, "echo");
    EXPECT_HAS(text, "a0000000-2222-3333-4444-555555555555");
    EXPECT_HAS(text, "open, VP 0");
}
