/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_wire_test.c - storage packets against their bytes. */
#include "vsp/stor/stor_wire.h"

#include <errno.h>

#include "base/test.h"

/* READ(10) of 8 blocks from 0x12345678 on, from LUN 5, as hv_storvsc sends it. */
static const uint8_t read10[STOR_PACKET_SIZE] = {
    3, 0, 0, 0, /* EXECUTE_SRB */ 1, 0, 0, 0, 0, 0, 0, 0,
    52, 0, 0, 0, 7, 1, 2, 5, /* port, path, target, LUN */ 10, 20, 1, 0, /* in */ 0, 16, 0, 0,
    0x28, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 8, 0, 0xee, 0xee, /* behind the CDB */
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x20, 0x4a, 1, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0,
};

TEST(a_request_is_decoded)
{
    static const uint8_t cdb[16] = { 0x28, 0, 0x12, 0x34, 0x56, 0x78, 0, 0, 8, 0 };
    struct stor_request r;

    EXPECT_EQ(stor_decode(read10, sizeof read10, &r), 0);
    EXPECT_EQ(r.operation, STOR_EXECUTE_SRB);
    EXPECT_EQ(r.srb.port, 7);
    EXPECT_EQ(r.srb.path, 1);
    EXPECT_EQ(r.srb.target, 2);
    EXPECT_EQ(r.srb.lun, 5);
    EXPECT_EQ(r.srb.data, STOR_DATA_IN);
    EXPECT_EQ(r.srb.data_len, 4096);
    EXPECT_EQ(r.srb.cdb_len, 10);
    EXPECT(memcmp(r.srb.cdb, cdb, 16) == 0); /* nothing from behind its length */
}

TEST(lengths)
{
    struct stor_request r = { .operation = 77 };
    uint8_t raw[STOR_PACKET_SIZE + 8] = { 0 };

    memcpy(raw, read10, sizeof read10);
    for (size_t n = 0; n < 48; n++)
        EXPECT_EQ(stor_decode(raw, n, &r), -EBADMSG);
    EXPECT_EQ(r.operation, 77); /* untouched by failures */
    EXPECT_EQ(stor_decode(raw, 48, &r), 0); /* 2008 R2 and older */
    EXPECT_EQ(stor_decode(raw, sizeof raw, &r), 0);
    raw[20] = 16;
    EXPECT_EQ(stor_decode(raw, 64, &r), 0);
    EXPECT_EQ(r.srb.cdb[10], 0xee);
    raw[20] = 17;
    EXPECT_EQ(stor_decode(raw, 64, &r), -EBADMSG);
    raw[20] = 255;
    EXPECT_EQ(stor_decode(raw, 64, &r), -EBADMSG);
    raw[20] = 0;
    EXPECT_EQ(stor_decode(raw, 64, &r), 0);
    raw[22] = 3; /* no direction */
    EXPECT_EQ(stor_decode(raw, 64, &r), -EBADMSG);
}

TEST(the_other_operations)
{
    struct stor_request r;
    uint8_t raw[STOR_PACKET_SIZE] = { 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 6 };

    EXPECT_EQ(stor_decode(raw, 64, &r), 0);
    EXPECT_EQ(r.operation, STOR_QUERY_VERSION);
    EXPECT_EQ(r.version, STOR_V6_2);
    raw[0] = 13;
    EXPECT_EQ(stor_decode(raw, 64, &r), 0);
    EXPECT_EQ(r.n_sub_channels, 0x0602);
    raw[3] = 0x80; /* unknown: the caller's to refuse */
    EXPECT_EQ(stor_decode(raw, 64, &r), 0);
    EXPECT_EQ(r.operation, 0x8000000d);
}

TEST(an_answer_is_the_request_with_a_status)
{
    uint8_t out[STOR_PACKET_SIZE], want[STOR_PACKET_SIZE];

    stor_encode_answer(out, read10, STOR_REVISION_MISMATCH);
    memcpy(want, read10, sizeof want);
    want[0] = 1;
    put_le32(want + 8, 0xc0000059);
    EXPECT(memcmp(out, want, sizeof want) == 0);
}

TEST(a_result_without_and_with_sense)
{
    uint8_t sense[18] = { 0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x21 };
    uint8_t out[STOR_PACKET_SIZE], want[STOR_PACKET_SIZE];
    struct stor_result r = { .srb_status = SRB_SUCCESS, .moved = 512 };

    stor_encode_result(out, read10, &r);
    memcpy(want, read10, sizeof want);
    want[0] = 1;
    want[14] = 1;
    put_le32(want + 24, 512);
    EXPECT(memcmp(out, want, sizeof want) == 0);
    r = (struct stor_result){ SRB_ERROR | SRB_AUTOSENSE_VALID, 2, 0, sizeof sense, sense };
    stor_encode_result(out, read10, &r);
    want[14] = 0x84;
    want[15] = 2;
    want[21] = 18;
    put_le32(want + 24, 0);
    memset(want + 28, 0, 20);
    memcpy(want + 28, sense, 18);
    EXPECT(memcmp(out, want, sizeof want) == 0);
}

TEST(properties_and_the_notice)
{
    struct stor_properties p = { 3, 1 << 20 };
    uint8_t out[STOR_PACKET_SIZE], want[STOR_PACKET_SIZE] = { 1, 0, 0, 0, 1 };
    uint8_t raw[STOR_PACKET_SIZE] = { 10, 0, 0, 0, 1 };

    memset(raw + 12, 0xaa, 24);
    stor_encode_properties(out, raw, &p);
    put_le16(want + 16, 3);
    put_le32(want + 20, 1); /* multi-channel */
    put_le32(want + 24, 1 << 20);
    EXPECT(memcmp(out, want, sizeof want) == 0);
    p.max_sub_channels = 0;
    stor_encode_properties(out, raw, &p);
    put_le16(want + 16, 0);
    put_le32(want + 20, 0);
    EXPECT(memcmp(out, want, sizeof want) == 0);
    stor_encode_enumerate(out);
    memset(want, 0, sizeof want);
    want[0] = 11;
    EXPECT(memcmp(out, want, sizeof want) == 0);
}
