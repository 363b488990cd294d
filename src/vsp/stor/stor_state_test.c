/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_state_test.c - a controller saved under load goes on in a new machine, sub-channels too. */
#include <errno.h>

#include "base/test.h"
#include "vsp/stor/stor_model.h"

#define SUBS 3

static void done(struct stor_model *m)
{
    stor_model_done(m);
}

static void start(struct stor_model *m, unsigned pages)
{
    struct stor_ask a = stor_model_op(STOR_CREATE_SUB_CHANNELS, SUBS);

    stor_model_init(m, SUBS + 1);
    EXPECT_EQ(stor_model_start(m, pages), 0);
    EXPECT_EQ(stor_model_status(m, &a), 0);
    vsc_drain(&m->b.g);
    for (unsigned i = 1; i <= SUBS; i++)
        EXPECT_EQ(vsc_open(&m->b.g, &m->ch[i], &m->b.g.offer[i], 2, i), 0);
}

/* What machine_save() does before: requests that are with a disk come back first. */
static void drain(struct stor_model *m)
{
    while (stor_inflight(m->stor)) {
        for (unsigned i = 0; i < STOR_MODEL_DISKS; i++)
            mem_disk_answer(&m->disk[i], 1);
        loop_poll(m->b.loop);
    }
}

/* All answers on a channel, each to an id of [from, from + n) exactly once. */
static void expect_answers(struct stor_model *m, unsigned ch, uint64_t from, unsigned n)
{
    uint8_t out[STOR_PACKET_SIZE], seen[1024] = { 0 };
    uint64_t id;
    unsigned got = 0;

    while (stor_model_take(m, ch, &id, out)) {
        EXPECT(id >= from && id - from < n && !seen[id - from]++);
        EXPECT_EQ(out[14], SRB_SUCCESS);
        got++;
    }
    EXPECT_EQ(got, n);
}

TEST(four_channels_under_load_go_on)
{
    AUTO(done) struct stor_model m;
    AUTO(buf_done) struct buf state = { 0 };
    struct err err = { 0 };
    struct stor_ask a;
    uint32_t relid[SUBS + 1];
    unsigned sent[SUBS + 1] = { 0 };
    uint8_t out[STOR_PACKET_SIZE];

    start(&m, 32);
    for (unsigned i = 0; i <= SUBS; i++)
        relid[i] = m.ch[i].offer.relid;
    /* On each: requests that are with the disk when we save, answers that find no room, and
     * requests that nobody has looked at. */
    m.disk[0].hold = true;
    for (unsigned ch = 0; ch <= SUBS; ch++) {
        for (unsigned i = 0; i < 150; i++) {
            a = stor_model_rw(&m, 0, i & 1, i, 2);
            sent[ch] += stor_model_send(&m, ch, sent[ch], &a) == 0;
            if (i % 16 == 0)
                loop_poll(m.b.loop);
        }
    }
    EXPECT(stor_inflight(m.stor) > 300);
    drain(&m);
    m.disk[0].hold = false;
    for (unsigned ch = 0; ch <= SUBS; ch++) {
        a = stor_model_rw(&m, 0, false, 0, 2);
        sent[ch] += stor_model_send(&m, ch, sent[ch], &a) == 0;
    }
    EXPECT_EQ(stor_model_move(&m, &state, &err), 0);
    EXPECT_STR(err.text, "");
    EXPECT(stor_ready(m.stor));
    m.b.g.n_offers = 0;
    for (unsigned ch = 0; ch <= SUBS; ch++)
        expect_answers(&m, ch, 0, sent[ch]);
    vsc_drain(&m.b.g);
    EXPECT_EQ(m.b.g.n_offers, 0); /* the guest knows them all */
    for (unsigned ch = 0; ch <= SUBS; ch++) {
        EXPECT_EQ(m.ch[ch].offer.relid, relid[ch]);
        a = stor_model_rw(&m, 5, true, 10 + ch, 1);
        EXPECT(stor_model_do(&m, ch, 4711, &a, out));
        EXPECT_EQ(out[14], SRB_SUCCESS);
    }
    EXPECT_EQ(m.disk[1].n[DISK_WRITE], SUBS + 1);
    for (unsigned ch = SUBS + 1; ch-- > 0;) /* and they can still be closed */
        EXPECT(vsc_close(&m.ch[ch]));
    EXPECT(vsc_unload(&m.b.g));
}

/* One sub-channel was let go, one was offered and is not open. */
TEST(holes_and_closed_ones)
{
    AUTO(done) struct stor_model m;
    AUTO(buf_done) struct buf state = { 0 };
    struct vmbus_relid r = { { VMBUS_RELID_RELEASED, 0 } };
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];

    start(&m, 4);
    EXPECT(vsc_close(&m.ch[1]));
    r.relid = m.ch[1].offer.relid;
    vsc_post(&m.b.g, &r, sizeof r);
    EXPECT(vsc_close(&m.ch[2]));
    EXPECT_EQ(stor_model_move(&m, &state, NULL), 0);
    EXPECT_EQ(vsc_open(&m.b.g, &m.ch[2], &m.b.g.offer[2], 2, 1), 0);
    a = stor_model_rw(&m, 0, false, 0, 1);
    for (unsigned ch = 0; ch <= SUBS; ch++)
        if (ch != 1)
            EXPECT(stor_model_do(&m, ch, ch, &a, out));
    a = stor_model_op(STOR_CREATE_SUB_CHANNELS, SUBS);
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
}

TEST(in_the_middle_of_the_start)
{
    AUTO(done) struct stor_model m;
    AUTO(buf_done) struct buf state = { 0 };
    struct stor_ask a;

    stor_model_init(&m, 2);
    stor_model_open(&m, 4);
    a = stor_model_op(STOR_BEGIN_INIT, 0);
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    a = stor_model_op(STOR_QUERY_VERSION, STOR_V6_0);
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    EXPECT_EQ(stor_model_move(&m, &state, NULL), 0);
    a = stor_model_op(STOR_END_INIT, 0);
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    EXPECT(stor_ready(m.stor));
}

/* Twice, so that what was restored is complete enough to be saved again. */
TEST(moved_twice)
{
    AUTO(done) struct stor_model m;
    AUTO(buf_done) struct buf state = { 0 }, again = { 0 };
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];

    start(&m, 4);
    EXPECT_EQ(stor_model_move(&m, &state, NULL), 0);
    EXPECT_EQ(stor_model_move(&m, &again, NULL), 0);
    EXPECT_EQ(state.n, again.n);
    EXPECT(memcmp(state.p, again.p, state.n) == 0);
    a = stor_model_rw(&m, 0, false, 0, 1);
    for (unsigned ch = 0; ch <= SUBS; ch++)
        EXPECT(stor_model_do(&m, ch, ch, &a, out));
}

TEST(reservations_and_mode_pages_travel)
{
    AUTO(done) struct stor_model m;
    AUTO(buf_done) struct buf state = { 0 };
    static const uint8_t out10[10] = { PERSISTENT_RESERVE_OUT, 0, 0, 0, 0, 0, 0, 0, 24 };
    static const uint8_t in10[10] = { PERSISTENT_RESERVE_IN, 0, 0, 0, 0, 0, 0, 0, 16 };
    uint8_t out[STOR_PACKET_SIZE], list[24] = { 0 };
    struct stor_ask a;

    start(&m, 4);
    put_be64(list + 8, 0xabcdef);
    gmem_write(m.b.m.gmem, GPA(m.pfn[0] << PAGE_SHIFT), list, sizeof list);
    a = stor_model_srb(&m, 0, STOR_DATA_OUT, out10, 10, 0, 24);
    EXPECT(stor_model_do(&m, 0, 1, &a, out) && out[15] == SCSI_GOOD);
    EXPECT_EQ(stor_model_move(&m, &state, NULL), 0);
    a = stor_model_srb(&m, 0, STOR_DATA_IN, in10, 10, 0, 16);
    EXPECT(stor_model_do(&m, 3, 1, &a, out) && out[15] == SCSI_GOOD);
    gmem_read(m.b.m.gmem, GPA(m.pfn[0] << PAGE_SHIFT), list, 16);
    EXPECT_EQ(get_be32(list), 1);
    EXPECT_EQ(get_be64(list + 8), 0xabcdef);
}

/* Saved by a machine with more VPs than this one can serve. */
TEST(sub_channels_that_cannot_be)
{
    AUTO(done) struct stor_model m, small;
    AUTO(buf_done) struct buf state = { 0 };
    struct bytes from;
    struct err err;

    start(&m, 4);
    stor_model_init(&small, 2);
    EXPECT_EQ(vmbus_save(m.b.bus, &state, NULL), 0);
    from = bytes_of(state.p, state.n);
    EXPECT(vmbus_load(small.b.bus, &from, &err) < 0);
    EXPECT_HAS(err.text, "stor");
}
