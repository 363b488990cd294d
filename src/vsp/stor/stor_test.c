/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_test.c - the storage provider and a guest's driver: as Linux starts it, and as a hostile guest
 * would.  Each request is answered exactly once, whatever it is. */
#include <errno.h>

#include "base/test.h"
#include "vsp/stor/stor_model.h"

#define RING_PAGES 32

static void done(struct stor_model *m)
{
    stor_model_done(m);
}

static const uint8_t tur[6] = { TEST_UNIT_READY };

static void start(struct stor_model *m, unsigned n_vps)
{
    stor_model_init(m, n_vps);
    EXPECT_EQ(stor_model_start(m, RING_PAGES), 0);
}

/* No packet (more) comes on the primary. */
static bool silent(struct stor_model *m)
{
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    return stor_model_take(m, 0, &id, out) == 0;
}

/* Can it still be used?  A TEST UNIT READY that is answered as it should. */
static bool alive(struct stor_model *m)
{
    struct stor_ask a = stor_model_srb(m, 0, STOR_DATA_NONE, tur, sizeof tur, 0, 0);
    uint8_t out[STOR_PACKET_SIZE];

    return stor_model_do(m, 0, 0xa11fe, &a, out) && get_le32(out + 8) == 0 && out[14] == 1 &&
           out[15] == 0 && silent(m);
}

static void fill(struct stor_model *m, unsigned n_pages)
{
    uint8_t page[PAGE_SIZE];

    for (unsigned i = 0; i < n_pages; i++) {
        for (unsigned k = 0; k < PAGE_SIZE; k++)
            page[k] = (uint8_t)(i * 31 + k * 7 + k / 256);
        gmem_write(m->b.m.gmem, GPA(m->pfn[i] << PAGE_SHIFT), page, PAGE_SIZE);
    }
}

static void wipe(struct stor_model *m, unsigned n_pages)
{
    for (unsigned i = 0; i < n_pages; i++)
        gmem_zero(m->b.m.gmem, GPA(m->pfn[i] << PAGE_SHIFT), PAGE_SIZE);
}

/* ---- the protocol ---------------------------------------------------------------------------- */

TEST(the_start_as_linux_does_it)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];

    stor_model_init(&m, 4);
    stor_model_open(&m, RING_PAGES);
    a = stor_model_op(STOR_BEGIN_INIT, 0);
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    a = stor_model_op(STOR_QUERY_VERSION, 0x0700);
    EXPECT_EQ(stor_model_status(&m, &a), STOR_REVISION_MISMATCH);
    a = stor_model_op(STOR_QUERY_VERSION, STOR_V6_2);
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    a = stor_model_op(STOR_QUERY_PROPERTIES, 0);
    EXPECT(stor_model_do(&m, 0, 3, &a, out));
    EXPECT_EQ(get_le32(out + 8), 0);
    EXPECT_EQ(get_le16(out + 16), 3); /* sub-channels for 4 VPs */
    EXPECT_EQ(get_le32(out + 20), 1);
    EXPECT_EQ(get_le32(out + 24), STOR_TRANSFER_MAX);
    EXPECT(!stor_ready(m.stor));
    a = stor_model_op(STOR_END_INIT, 0);
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    EXPECT(stor_ready(m.stor));
    EXPECT(alive(&m));
}

TEST(phases_out_of_order_are_refused)
{
    AUTO(done) struct stor_model m;
    struct stor_ask srb, a;

    stor_model_init(&m, 2);
    stor_model_open(&m, RING_PAGES);
    srb = stor_model_srb(&m, 0, STOR_DATA_NONE, tur, sizeof tur, 0, 0);
    const struct stor_ask early[] = {
        srb, stor_model_op(STOR_QUERY_VERSION, STOR_V6_2), stor_model_op(STOR_QUERY_PROPERTIES, 0),
        stor_model_op(STOR_END_INIT, 0), stor_model_op(STOR_CREATE_SUB_CHANNELS, 1),
    };
    for (unsigned i = 0; i < ARRAY_LEN(early); i++)
        EXPECT_EQ(stor_model_status(&m, &early[i]), STOR_INVALID_REQUEST);
    a = stor_model_op(STOR_BEGIN_INIT, 0);
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    for (unsigned i = 2; i < ARRAY_LEN(early); i++) /* no version yet */
        EXPECT_EQ(stor_model_status(&m, &early[i]), STOR_INVALID_REQUEST);
    EXPECT_EQ(stor_model_status(&m, &srb), STOR_INVALID_REQUEST);
    EXPECT_EQ(stor_model_status(&m, &early[1]), 0);
    EXPECT_EQ(stor_model_status(&m, &early[2]), 0);
    EXPECT_EQ(stor_model_status(&m, &srb), STOR_INVALID_REQUEST);
    EXPECT_EQ(stor_model_status(&m, &early[3]), 0);
    EXPECT_EQ(stor_model_status(&m, &early[3]), STOR_INVALID_REQUEST); /* a second end */
    EXPECT_EQ(stor_model_status(&m, &early[1]), STOR_INVALID_REQUEST); /* too late for it */
    a = stor_model_op(STOR_CREATE_SUB_CHANNELS, 2);
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST); /* more than there can be */
    EXPECT(alive(&m));
    a = stor_model_op(STOR_BEGIN_INIT, 0); /* from the beginning again */
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    EXPECT_EQ(stor_model_status(&m, &srb), STOR_INVALID_REQUEST);
    EXPECT_EQ(stor_model_status(&m, &early[3]), STOR_INVALID_REQUEST);
}

TEST(unknown_and_host_side_operations)
{
    AUTO(done) struct stor_model m;
    static const uint32_t ops[] = { 0, STOR_COMPLETE_IO, STOR_REMOVE_DEVICE, STOR_ENUMERATE_BUS,
                                    STOR_FC_DATA, 14, 0x103, UINT32_MAX };

    start(&m, 1);
    for (unsigned i = 0; i < ARRAY_LEN(ops); i++) {
        struct stor_ask a = stor_model_op(ops[i], 0);
        EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    }
    for (uint32_t op = STOR_RESET_LUN; op <= STOR_RESET_BUS; op++) {
        struct stor_ask a = stor_model_op(op, 0);
        EXPECT_EQ(stor_model_status(&m, &a), 0);
    }
    EXPECT(alive(&m));
}

/* ---- data ------------------------------------------------------------------------------------ */

TEST(data_goes_to_the_disk_and_comes_back)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE], got[PAGE_SIZE];

    start(&m, 1);
    fill(&m, 4);
    a = stor_model_rw(&m, 5, true, 100, 20); /* 10240 bytes, in the middle of the first page */
    a.offset = 1000;
    EXPECT(stor_model_do(&m, 0, 1, &a, out));
    EXPECT_EQ(out[14], SRB_SUCCESS);
    EXPECT_EQ(get_le32(out + 24), 10240);
    EXPECT_EQ(m.disk[1].data[51200], (uint8_t)(1000 * 7 + 3));
    EXPECT_EQ(m.disk[1].data[51200 + 3096], 31); /* the second page's first */
    EXPECT_EQ(m.disk[0].n[DISK_WRITE], 0);
    wipe(&m, 4);
    a = stor_model_rw(&m, 5, false, 100, 20);
    EXPECT(stor_model_do(&m, 0, 2, &a, out));
    EXPECT_EQ(get_le32(out + 24), 10240);
    gmem_read(m.b.m.gmem, GPA(m.pfn[2] << PAGE_SHIFT), got, sizeof got);
    EXPECT(memcmp(got, m.disk[1].data + 51200 + 2 * PAGE_SIZE, 10240 - 2 * PAGE_SIZE) == 0);
    EXPECT_EQ(got[10240 - 2 * PAGE_SIZE], 0); /* not a byte more */
    a = stor_model_srb(&m, 0, STOR_DATA_IN, (const uint8_t[10]){ READ_10, 0, 0, 0, 0, 0, 0, 8 },
                       10, 4095, STOR_TRANSFER_MAX); /* the largest, over 257 pages */
    EXPECT(stor_model_do(&m, 0, 3, &a, out));
    EXPECT_EQ(get_le32(out + 24), STOR_TRANSFER_MAX);
}

TEST(what_a_disk_writes_is_seen_as_dirty)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];

    start(&m, 1);
    gmem_track_dirty(m.b.m.gmem, true);
    a = stor_model_rw(&m, 0, false, 0, 16);
    EXPECT(stor_model_do(&m, 0, 1, &a, out));
    EXPECT(gmem_dirty_take(m.b.m.gmem, m.pfn[0]) && gmem_dirty_take(m.b.m.gmem, m.pfn[1]));
    EXPECT(!gmem_dirty_take(m.b.m.gmem, m.pfn[2]));
    a = stor_model_rw(&m, 0, true, 0, 16);
    EXPECT(stor_model_do(&m, 0, 2, &a, out));
    EXPECT(!gmem_dirty_take(m.b.m.gmem, m.pfn[0]));
}

TEST(errors_of_the_disk_come_as_sense)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];
    static const uint8_t sense[18] = { 0x70, 0, SENSE_MEDIUM_ERROR, 0, 0, 0, 0, 10, 0, 0, 0, 0,
                                       0x11 };

    start(&m, 1);
    m.disk[0].err = -EIO;
    a = stor_model_rw(&m, 0, false, 0, 8);
    EXPECT(stor_model_do(&m, 0, 1, &a, out));
    EXPECT_EQ(get_le32(out + 8), 0);
    EXPECT_EQ(out[14], SRB_ERROR | SRB_AUTOSENSE_VALID);
    EXPECT_EQ(out[15], SCSI_CHECK_CONDITION);
    EXPECT_EQ(out[21], 18);
    EXPECT_EQ(get_le32(out + 24), 0);
    EXPECT(memcmp(out + 28, sense, 18) == 0);
    EXPECT_EQ(out[46] | out[47], 0);
    m.disk[0].err = 0;
    EXPECT(alive(&m));
}

/* ---- hostile requests ------------------------------------------------------------------------ */

TEST(bad_lengths)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a, good;

    start(&m, 1);
    good = stor_model_srb(&m, 0, STOR_DATA_NONE, tur, sizeof tur, 0, 0);
    for (size_t n = 0; n < 48; n += 8) {
        a = good;
        a.n = n;
        EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    }
    a = good;
    a.n = 48;
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    a = good;
    a.raw[20] = 17; /* a CDB longer than its field */
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    a.raw[20] = 255;
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    a = good;
    a.raw[22] = 77;
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    a = good;
    a.raw[20] = 0; /* no CDB at all: TEST UNIT READY */
    EXPECT_EQ(stor_model_status(&m, &a), 0);
    EXPECT(alive(&m));
}

TEST(bad_buffers)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a, good;
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t pfn[2] = { 0, UINT64_MAX };

    start(&m, 1);
    good = stor_model_rw(&m, 0, false, 0, 16);
    a = good;
    a.buffer = false; /* in band: no pages at all */
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    a = good;
    a.size--; /* the transfer is longer than the range */
    EXPECT(stor_model_do(&m, 0, 9, &a, out));
    EXPECT_EQ(get_le32(out + 8), STOR_INVALID_REQUEST);
    EXPECT_EQ(out[14], SRB_INVALID_REQUEST); /* Linux looks here */
    EXPECT_EQ(get_le32(out + 24), 0);
    a = good;
    put_le32(a.raw + 24, UINT32_MAX);
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    put_le32(a.raw + 24, STOR_TRANSFER_MAX + 512);
    a.size = STOR_TRANSFER_MAX + 512;
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    a = good;
    a.pfn = pfn; /* the second page is no memory */
    pfn[0] = m.pfn[0];
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    pfn[1] = MODEL_RAM >> PAGE_SHIFT;
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    pfn[1] = UINT64_C(1) << 52; /* wraps as an address */
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    EXPECT_EQ(m.disk[0].n[DISK_READ], 0);
    a = good;
    a.size = 0; /* an empty range */
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    /* The CDB asks for more than the buffer has: SCSI's to refuse. */
    a = stor_model_rw(&m, 0, false, 0, 16);
    put_be16(a.raw + 28 + 7, 17);
    EXPECT(stor_model_do(&m, 0, 10, &a, out));
    EXPECT_EQ(out[15], SCSI_CHECK_CONDITION);
    /* Less is fine, and said so. */
    put_be16(a.raw + 28 + 7, 3);
    EXPECT(stor_model_do(&m, 0, 11, &a, out));
    EXPECT_EQ(out[15], SCSI_GOOD);
    EXPECT_EQ(get_le32(out + 24), 3 * 512);
    EXPECT(alive(&m));
}

/* GPA-direct packets whose header lies about its ranges break the channel; nothing else does. */
TEST(more_ranges_than_the_header_holds)
{
    AUTO(done) struct stor_model m;
    uint32_t head[6] = { 0, 2, 512, 0, 0, 0 };
    struct stor_ask a;

    start(&m, 1);
    a = stor_model_rw(&m, 0, false, 0, 1);
    EXPECT_EQ(vsc_send(&m.ch[0], VMBUS_PACKET_GPA_DIRECT, 1, true, head, sizeof head, a.raw, 64),
              0);
    EXPECT(silent(&m));
    EXPECT(vsc_close(&m.ch[0]));
    EXPECT_EQ(vsc_open(&m.b.g, &m.ch[0], &m.b.g.offer[0], RING_PAGES, 0), 0);
    EXPECT(!stor_ready(m.stor));
}

TEST(several_ranges_and_no_range)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint64_t head[8] = { UINT64_C(2) << 32, 512 };
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    start(&m, 1);
    head[2] = m.pfn[0];
    head[3] = 512;
    head[4] = m.pfn[1];
    a = stor_model_rw(&m, 0, false, 0, 2);
    EXPECT_EQ(vsc_send(&m.ch[0], VMBUS_PACKET_GPA_DIRECT, 1, true, head, 40, a.raw, 64), 0);
    EXPECT_EQ(stor_model_take(&m, 0, &id, out), VMBUS_PACKET_COMPLETION);
    EXPECT_EQ(get_le32(out + 8), STOR_INVALID_REQUEST); /* one range carries the data */
    head[0] = 0;
    EXPECT_EQ(vsc_send(&m.ch[0], VMBUS_PACKET_GPA_DIRECT, 1, true, head, 8, a.raw, 64), 0);
    EXPECT_EQ(stor_model_take(&m, 0, &id, out), VMBUS_PACKET_COMPLETION);
    EXPECT_EQ(get_le32(out + 8), STOR_INVALID_REQUEST);
    EXPECT(alive(&m));
}

TEST(absent_units_answer_what_linux_needs)
{
    AUTO(done) struct stor_model m;
    static const uint8_t inquiry[6] = { INQUIRY, 0, 0, 0, 36 };
    static const uint8_t vpd[6] = { INQUIRY, 1, 0x80, 0, 36 };
    static const uint8_t luns[12] = { REPORT_LUNS, 0, 0, 0, 0, 0, 0, 0, 16, 0 };
    static const struct { uint8_t path, target, lun; } where[] = {
        { 0, 0, 1 }, { 0, 0, 63 }, { 0, 0, 64 }, { 0, 0, 255 }, { 0, 1, 0 }, { 0, 255, 5 },
        { 1, 0, 0 }, { 255, 255, 255 },
    };
    uint8_t out[STOR_PACKET_SIZE], data[64];

    start(&m, 1);
    for (unsigned i = 0; i < ARRAY_LEN(where); i++) {
        struct stor_ask a = stor_model_srb(&m, where[i].lun, STOR_DATA_NONE, tur, 6, 0, 0);
        a.raw[17] = where[i].path;
        a.raw[18] = where[i].target;
        EXPECT(stor_model_do(&m, 0, 1, &a, out));
        EXPECT_EQ(get_le32(out + 8), 0);
        EXPECT_EQ(out[14], SRB_INVALID_LUN);
        a = stor_model_srb(&m, where[i].lun, STOR_DATA_IN, inquiry, 6, 0, 36);
        a.raw[17] = where[i].path;
        a.raw[18] = where[i].target;
        EXPECT(stor_model_do(&m, 0, 2, &a, out));
        EXPECT_EQ(out[14], SRB_SUCCESS);
        EXPECT_EQ(get_le32(out + 24), 36);
        gmem_read(m.b.m.gmem, GPA(m.pfn[0] << PAGE_SHIFT), data, 36);
        EXPECT_EQ(data[0], 0x7f);
        memcpy(a.raw + 28, vpd, 6);
        EXPECT(stor_model_do(&m, 0, 3, &a, out));
        EXPECT_EQ(out[14], SRB_ERROR | SRB_AUTOSENSE_VALID);
        a = stor_model_srb(&m, where[i].lun, STOR_DATA_IN, luns, 12, 0, 4096);
        a.raw[17] = where[i].path;
        a.raw[18] = where[i].target;
        EXPECT(stor_model_do(&m, 0, 4, &a, out));
        EXPECT_EQ(out[14], SRB_SUCCESS);
        bool here = !where[i].path && !where[i].target;
        EXPECT_EQ(get_le32(out + 24), here ? 24 : 8);
        gmem_read(m.b.m.gmem, GPA(m.pfn[0] << PAGE_SHIFT), data, 24);
        EXPECT_EQ(get_be32(data), here ? 16 : 0);
        EXPECT(!here || (data[9] == 0 && data[17] == 5));
    }
    EXPECT_EQ(stor_inflight(m.stor), 0);
    EXPECT(alive(&m));
}

TEST(units_that_somebody_else_has_are_absent)
{
    AUTO(done) struct stor_model m;
    AUTO(buf_done) struct buf state = { 0 };
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];

    stor_model_init(&m, 2);
    m.taken = true;
    EXPECT_EQ(stor_model_start(&m, RING_PAGES), 0);
    a = stor_model_srb(&m, 0, STOR_DATA_NONE, tur, sizeof tur, 0, 0);
    EXPECT(stor_model_do(&m, 0, 1, &a, out));
    EXPECT_EQ(out[14], SRB_INVALID_LUN);
    EXPECT_EQ(stor_model_move(&m, &state, NULL), 0);
    EXPECT(stor_model_do(&m, 0, 2, &a, out));
    EXPECT_EQ(out[14], SRB_INVALID_LUN);
    EXPECT_EQ(m.claims, 0);
    m.taken = false; /* a driver that starts anew finds them */
    EXPECT(vsc_close(&m.ch[0]));
    EXPECT_EQ(vsc_open(&m.b.g, &m.ch[0], &m.b.g.offer[0], RING_PAGES, 0), 0);
    EXPECT_EQ(m.claims, 0);
    const struct stor_ask init[] = { stor_model_op(STOR_BEGIN_INIT, 0),
                                     stor_model_op(STOR_QUERY_VERSION, STOR_V6_2),
                                     stor_model_op(STOR_END_INIT, 0) };
    for (unsigned i = 0; i < ARRAY_LEN(init); i++)
        EXPECT_EQ(stor_model_status(&m, &init[i]), 0);
    EXPECT(alive(&m));
    EXPECT_EQ(m.claims, 1);
    buf_done(&state);
    state = (struct buf){ 0 };
    EXPECT_EQ(stor_model_move(&m, &state, NULL), 0);
    EXPECT_EQ(m.claims, 1);
    EXPECT(vsc_close(&m.ch[0]));
    EXPECT_EQ(m.claims, 0);
}

TEST(one_transaction_id_for_all)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    start(&m, 1);
    m.disk[0].hold = true;
    for (unsigned i = 0; i < 10; i++) {
        a = stor_model_rw(&m, 0, i & 1, i, 1);
        EXPECT_EQ(stor_model_send(&m, 0, 7, &a), 0);
    }
    EXPECT(silent(&m));
    EXPECT_EQ(stor_inflight(m.stor), 10);
    mem_disk_answer(&m.disk[0], 10);
    for (unsigned i = 0; i < 10; i++) {
        EXPECT_EQ(stor_model_take(&m, 0, &id, out), VMBUS_PACKET_COMPLETION);
        EXPECT_EQ(id, 7);
        EXPECT_EQ(out[14], SRB_SUCCESS);
    }
    EXPECT_EQ(stor_inflight(m.stor), 0);
    m.disk[0].hold = false;
    EXPECT(alive(&m));
}

TEST(who_wants_no_answer_gets_none)
{
    AUTO(done) struct stor_model m;
    struct stor_ask asks[6];

    start(&m, 1);
    asks[0] = stor_model_rw(&m, 0, true, 0, 1);
    asks[1] = stor_model_srb(&m, 9, STOR_DATA_NONE, tur, 6, 0, 0); /* absent */
    asks[2] = stor_model_op(STOR_QUERY_PROPERTIES, 0);
    asks[3] = stor_model_op(STOR_CREATE_SUB_CHANNELS, 99);
    asks[4] = stor_model_rw(&m, 0, true, 0, 1);
    asks[4].raw[20] = 99;
    asks[5] = stor_model_rw(&m, 0, true, 0, 1);
    asks[5].buffer = false;
    for (unsigned i = 0; i < ARRAY_LEN(asks); i++) {
        asks[i].no_completion = true;
        EXPECT_EQ(stor_model_send(&m, 0, 1 + i, &asks[i]), 0);
        EXPECT(silent(&m));
    }
    EXPECT_EQ(m.disk[0].n[DISK_WRITE], 1);
    EXPECT_EQ(stor_inflight(m.stor), 0);
    EXPECT(alive(&m));
}

/* More requests than the provider takes: the rest is told to come again. */
TEST(too_many_requests)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;
    unsigned busy = 0, good = 0;

    start(&m, 1);
    m.disk[0].hold = true;
    a = stor_model_rw(&m, 0, false, 0, 1);
    for (unsigned i = 0; i < STOR_OPS_MAX + 10; i++)
        while (stor_model_send(&m, 0, i, &a) < 0)
            loop_poll(m.b.loop);
    while (stor_model_take(&m, 0, &id, out)) {
        EXPECT_EQ(get_le32(out + 8), 0);
        EXPECT_EQ(out[15], SCSI_BUSY);
        busy++;
    }
    EXPECT_EQ(busy, 10);
    EXPECT_EQ(stor_inflight(m.stor), STOR_OPS_MAX);
    m.disk[0].hold = false;
    mem_disk_answer(&m.disk[0], STOR_OPS_MAX);
    while (stor_model_take(&m, 0, &id, out))
        good += out[15] == SCSI_GOOD;
    EXPECT_EQ(good, STOR_OPS_MAX);
    EXPECT(alive(&m));
}

/* A guest that sends and never reads: its ring fills, and then nothing more is taken from it. */
TEST(a_guest_that_does_not_read)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;
    unsigned sent = 0, got = 0;

    stor_model_init(&m, 1);
    EXPECT_EQ(stor_model_start(&m, 2), 0);
    a = stor_model_rw(&m, 0, false, 0, 1);
    for (unsigned i = 0; i < 2000; i++) {
        sent += stor_model_send(&m, 0, i, &a) == 0;
        loop_poll(m.b.loop);
    }
    EXPECT(sent < 300);
    EXPECT_EQ(stor_inflight(m.stor), 0);
    while (stor_model_take(&m, 0, &id, out))
        EXPECT_EQ(id, got++);
    EXPECT_EQ(got, sent);
    EXPECT(alive(&m));
}

/* ---- sub-channels ---------------------------------------------------------------------------- */

/* Ask for 'n' and open them, as Linux. */
static void open_subs(struct stor_model *m, unsigned n)
{
    struct stor_ask a = stor_model_op(STOR_CREATE_SUB_CHANNELS, (uint16_t)n);

    m->b.g.n_offers = 1;
    EXPECT_EQ(stor_model_status(m, &a), 0);
    vsc_drain(&m->b.g);
    EXPECT_EQ(m->b.g.n_offers, 1 + n);
    for (unsigned i = 1; i <= n; i++) {
        const struct vmbus_offer_channel *o = &m->b.g.offer[i];
        EXPECT_EQ(o->sub_index, i);
        EXPECT(memcmp(&o->instance, &m->b.g.offer[0].instance, 16) == 0);
        EXPECT_EQ(vsc_open(&m->b.g, &m->ch[i], o, 4, i), 0);
    }
}

TEST(requests_on_sub_channels_are_answered_there)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    start(&m, 4);
    open_subs(&m, 3);
    m.disk[0].hold = true;
    for (unsigned i = 0; i < 4; i++) { /* the same id on each */
        a = stor_model_rw(&m, 0, false, i, 1);
        EXPECT_EQ(stor_model_send(&m, i, 99, &a), 0);
    }
    loop_poll(m.b.loop);
    m.disk[0].hold = false;
    mem_disk_answer(&m.disk[0], 4);
    for (unsigned i = 0; i < 4; i++) {
        EXPECT_EQ(stor_model_take(&m, i, &id, out), VMBUS_PACKET_COMPLETION);
        EXPECT(id == 99 && out[14] == SRB_SUCCESS && out[33] == i); /* low byte of the LBA */
        EXPECT_EQ(stor_model_take(&m, i, &id, out), 0);
    }
    a = stor_model_op(STOR_QUERY_PROPERTIES, 0); /* the protocol is the primary's */
    EXPECT(stor_model_do(&m, 2, 1, &a, out));
    EXPECT_EQ(get_le32(out + 8), STOR_INVALID_REQUEST);
    a = stor_model_op(STOR_CREATE_SUB_CHANNELS, 1); /* once is enough */
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST);
    EXPECT(alive(&m));
}

/* The driver is unbound and bound again: Linux closes and releases the sub-channels by itself, and
 * then the primary. */
TEST(a_driver_comes_back_with_sub_channels)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;

    start(&m, 4);
    for (unsigned round = 0; round < 3; round++) {
        open_subs(&m, 3);
        EXPECT_EQ(m.b.g.offer[1].relid, 2); /* the numbers are given back */
        for (unsigned i = 1; i <= 3; i++) {
            struct vmbus_relid r = { { VMBUS_RELID_RELEASED, 0 }, m.ch[i].offer.relid };
            EXPECT(vsc_close(&m.ch[i]));
            vsc_post(&m.b.g, &r, sizeof r);
        }
        EXPECT(vsc_close(&m.ch[0]));
        EXPECT_EQ(m.b.g.n_rescinded, 0);
        EXPECT_EQ(vsc_open(&m.b.g, &m.ch[0], &m.b.g.offer[0], RING_PAGES, 0), 0);
        a = stor_model_op(STOR_BEGIN_INIT, 0);
        EXPECT_EQ(stor_model_status(&m, &a), 0);
        a = stor_model_op(STOR_QUERY_VERSION, STOR_V6_2);
        EXPECT_EQ(stor_model_status(&m, &a), 0);
        a = stor_model_op(STOR_END_INIT, 0);
        EXPECT_EQ(stor_model_status(&m, &a), 0);
    }
    EXPECT(alive(&m));
}

/* A guest that closes the primary only: its sub-channels go with it, after their requests. */
TEST(sub_channels_go_with_their_primary)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    struct vmbus_relid close = { { VMBUS_CLOSE_CHANNEL, 0 } };
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    start(&m, 3);
    open_subs(&m, 2);
    m.disk[0].hold = true;
    a = stor_model_rw(&m, 0, false, 0, 8);
    EXPECT_EQ(stor_model_send(&m, 0, 1, &a), 0);
    EXPECT_EQ(stor_model_send(&m, 2, 2, &a), 0);
    loop_poll(m.b.loop);
    close.relid = m.ch[0].offer.relid;
    vsc_post(&m.b.g, &close, sizeof close);
    vsc_drain(&m.b.g);
    EXPECT_EQ(m.b.g.n_rescinded, 2);
    EXPECT_EQ(stor_inflight(m.stor), 2);
    m.disk[0].hold = false;
    mem_disk_answer(&m.disk[0], 2);
    EXPECT_EQ(stor_model_take(&m, 2, &id, out), 0);
    EXPECT(vsc_teardown(&m.b.g, close.relid, m.ch[0].gpadl));
    EXPECT(vsc_teardown(&m.b.g, close.relid, m.ch[2].gpadl));
    EXPECT_EQ(vsc_open(&m.b.g, &m.ch[0], &m.b.g.offer[0], RING_PAGES, 0), 0);
}

/* The guest damages the ring that the answer goes to: the channel ends, and nothing hangs on it. */
TEST(a_broken_ring_under_an_answer)
{
    static const uint8_t inquiry[6] = { INQUIRY, 0, 0, 0, 36 };

    for (unsigned i = 0; i < 4; i++) {
        AUTO(done) struct stor_model m;
        struct stor_ask a;
        start(&m, 1);
        m.disk[0].hold = true;
        switch (i) {
        case 0: a = stor_model_srb(&m, 7, STOR_DATA_NONE, tur, 6, 0, 0); break; /* absent */
        case 1: a = stor_model_srb(&m, 7, STOR_DATA_IN, inquiry, 6, 0, 36); break;
        case 2: a = stor_model_op(77, 0); break;
        default: a = stor_model_rw(&m, 0, false, 0, 1); break;
        }
        EXPECT_EQ(stor_model_send(&m, 0, 1, &a), 0);
        m.ch[0].in.head->read_index = 0xfffffff0;
        loop_poll(m.b.loop);
        mem_disk_answer(&m.disk[0], 1);
        EXPECT_EQ(stor_inflight(m.stor), 0);
        EXPECT(vmbus_reset(m.b.bus)); /* at once: nobody owes a channel_closed() */
    }
}

/* ---- channels that go away ------------------------------------------------------------------- */

TEST(close_with_requests_in_flight)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    struct vmbus_relid close = { { VMBUS_CLOSE_CHANNEL, 0 } };

    start(&m, 1);
    m.disk[0].hold = true;
    for (unsigned i = 0; i < 5; i++) {
        a = stor_model_rw(&m, 0, i & 1, i, 8);
        EXPECT_EQ(stor_model_send(&m, 0, i, &a), 0);
    }
    loop_poll(m.b.loop);
    EXPECT_EQ(stor_inflight(m.stor), 5);
    close.relid = m.ch[0].offer.relid;
    vsc_post(&m.b.g, &close, sizeof close);
    vsc_drain(&m.b.g);
    EXPECT_EQ(stor_inflight(m.stor), 5); /* they still use the guest's pages */
    mem_disk_answer(&m.disk[0], 4);
    EXPECT(silent(&m));
    EXPECT_EQ(stor_inflight(m.stor), 1);
    mem_disk_answer(&m.disk[0], 1);
    EXPECT(vsc_teardown(&m.b.g, close.relid, m.ch[0].gpadl));
    EXPECT(silent(&m));
    m.disk[0].hold = false;
    EXPECT_EQ(vsc_open(&m.b.g, &m.ch[0], &m.b.g.offer[0], RING_PAGES, 0), 0);
    a = stor_model_rw(&m, 0, false, 0, 8);
    EXPECT_EQ(stor_model_status(&m, &a), STOR_INVALID_REQUEST); /* a new start is due */
}

TEST(a_reset_with_requests_in_flight)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;

    start(&m, 1);
    m.disk[0].hold = true;
    a = stor_model_rw(&m, 0, false, 0, 8);
    EXPECT_EQ(stor_model_send(&m, 0, 1, &a), 0);
    loop_poll(m.b.loop);
    EXPECT(!vmbus_reset(m.b.bus));
    EXPECT_EQ(m.b.quiets, 0);
    m.disk[0].hold = false;
    mem_disk_answer(&m.disk[0], 1);
    EXPECT_EQ(m.b.quiets, 1);
    EXPECT_EQ(stor_model_start(&m, RING_PAGES), 0); /* the next kernel */
    EXPECT(alive(&m));
}

/* A second kernel makes contact while the first one's requests are with the disk. */
TEST(a_new_contact_with_requests_in_flight)
{
    AUTO(done) struct stor_model m;
    struct vmbus_initiate_contact c = { .h.type = VMBUS_INITIATE_CONTACT, .version = VMBUS_V5_3,
                                        .interrupt_page = VMBUS_SINT };
    struct stor_ask a;

    start(&m, 1);
    m.disk[0].hold = true;
    a = stor_model_rw(&m, 0, false, 0, 8);
    EXPECT_EQ(stor_model_send(&m, 0, 1, &a), 0);
    loop_poll(m.b.loop);
    m.b.g.connection = VMBUS_MESSAGE_CONNECTION_4;
    vsc_post(&m.b.g, &c, sizeof c);
    loop_poll(m.b.loop);
    EXPECT_EQ(stor_inflight(m.stor), 1);
    m.disk[0].hold = false;
    mem_disk_answer(&m.disk[0], 1);
    EXPECT_EQ(stor_model_start(&m, RING_PAGES), 0);
    EXPECT(alive(&m));
}

/* ---- disks that go away ---------------------------------------------------------------------- */

static void on_gone(void *owner, struct scsi_unit *u)
{
    struct stor_model *m = owner;

    EXPECT(u == m->unit[0]);
    EXPECT_EQ(scsi_unit_inflight(u), 0);
    m->gone++;
}

TEST(remove_a_disk_with_requests_in_flight)
{
    AUTO(done) struct stor_model m;
    struct stor_ask a;
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    start(&m, 1);
    m.disk[0].hold = true;
    for (unsigned i = 0; i < 3; i++) {
        a = stor_model_rw(&m, 0, i & 1, i, 8);
        EXPECT_EQ(stor_model_send(&m, 0, i, &a), 0);
    }
    loop_poll(m.b.loop);
    EXPECT_EQ(stor_detach(m.stor, 0, on_gone, &m), 0);
    EXPECT_EQ(stor_detach(m.stor, 0, on_gone, &m), -EBUSY);
    EXPECT_EQ(stor_attach(m.stor, 0, m.unit[1]), -EBUSY);
    EXPECT_EQ(stor_detach(m.stor, 1, on_gone, &m), -ENOENT);
    EXPECT_EQ(stor_model_take(&m, 0, &id, out), VMBUS_PACKET_INBAND); /* the guest is told */
    EXPECT_EQ(id, 0);
    EXPECT_EQ(get_le32(out), STOR_ENUMERATE_BUS);
    a = stor_model_rw(&m, 0, false, 0, 8); /* too late */
    EXPECT(stor_model_do(&m, 0, 10, &a, out));
    EXPECT_EQ(out[14], SRB_INVALID_LUN);
    EXPECT_EQ(m.gone, 0);
    mem_disk_answer(&m.disk[0], 2);
    EXPECT_EQ(m.gone, 0);
    mem_disk_answer(&m.disk[0], 1);
    EXPECT_EQ(m.gone, 1);
    for (unsigned i = 0; i < 3; i++) { /* all three are answered, in their order */
        EXPECT_EQ(stor_model_take(&m, 0, &id, out), VMBUS_PACKET_COMPLETION);
        EXPECT_EQ(id, i);
        EXPECT_EQ(out[14], SRB_SUCCESS);
    }
    EXPECT(silent(&m));
    m.disk[0].hold = false;
    EXPECT_EQ(stor_attach(m.stor, 0, m.unit[0]), 0); /* and back */
    EXPECT_EQ(stor_model_take(&m, 0, &id, out), VMBUS_PACKET_INBAND);
    EXPECT_EQ(get_le32(out), STOR_ENUMERATE_BUS);
    EXPECT(alive(&m));
}

TEST(remove_an_idle_disk_again_and_again)
{
    AUTO(done) struct stor_model m;
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    start(&m, 1);
    for (unsigned i = 1; i <= 50; i++) {
        EXPECT_EQ(stor_detach(m.stor, 0, on_gone, &m), 0);
        EXPECT_EQ(m.gone, i);
        EXPECT_EQ(stor_attach(m.stor, 0, m.unit[0]), 0);
        for (unsigned k = 0; k < 2; k++)
            EXPECT_EQ(stor_model_take(&m, 0, &id, out), VMBUS_PACKET_INBAND);
    }
    EXPECT(alive(&m));
}
