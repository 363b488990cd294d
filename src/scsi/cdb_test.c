/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cdb_test.c - command blocks of every layout against what they mean. */
#include "scsi/cdb.h"

#include "base/bytes.h"
#include "base/test.h"

#define NO UINT32_MAX

TEST(fields_of_each_layout)
{
    static const struct {
        uint8_t cdb[16];
        enum scsi_data data;
        uint64_t lba;
        uint32_t blocks, alloc;
        bool fua;
        uint8_t control_at;
    } rows[] = {
        { { 0x08, 0xff, 0x23, 0x45, 0x10 }, DATA_IN, 0x1f2345, 16, 0, false, 5 },
        { { 0x0a, 0, 0, 1, 0 }, DATA_OUT, 1, 256, 0, false, 5 },
        { { 0x28, 0x08, 1, 2, 3, 4, 9, 0x12, 0x34 }, DATA_IN, 0x01020304, 0x1234, 0, true, 9 },
        { { 0x2a, 0, 0xff, 0xff, 0xff, 0xff, 9, 0, 0 }, DATA_OUT, 0xffffffff, 0, 0, false, 9 },
        { { 0xa8, 0x08, 1, 2, 3, 4, 5, 6, 7, 8 }, DATA_IN, 0x01020304, 0x05060708, 0, true, 11 },
        { { 0xaa, 0, 1, 2, 3, 4, 5, 6, 7, 8 }, DATA_OUT, 0x01020304, 0x05060708, 0, false, 11 },
        { { 0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, DATA_IN, 0x0102030405060708,
          0x090a0b0c, 0, false, 15 },
        { { 0x8a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, DATA_OUT, 0x0102030405060708,
          0x090a0b0c, 0, true, 15 },
        { { 0x12, 1, 0x80, 1, 2 }, DATA_IN, 0, 0, 0x102, false, 5 },
        { { 0x1a, 0, 8, 0, 0xc0 }, DATA_IN, 0, 0, 0xc0, false, 5 },
        { { 0x5a, 0, 8, 0, 0, 0, 0, 1, 2 }, DATA_IN, 0, 0, 0x102, false, 9 },
        { { 0x42, 0, 0, 0, 0, 0, 0, 0, 24 }, DATA_OUT, 0, 0, 24, false, 9 },
        { { 0x5f, 0, 0, 0, 0, 0, 0, 0, 24 }, DATA_OUT, 0, 0, 24, false, 9 },
        { { 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32 }, DATA_IN, 0, 0, 32, false, 15 },
        { { 0xa0, 0, 0, 0, 0, 0, 1, 2, 3, 4 }, DATA_IN, 0, 0, 0x01020304, false, 11 },
        { { 0xad, 0, 0, 0, 0, 0, 0, 0, 8, 4 }, DATA_IN, 0, 0, 0x804, false, 11 },
        { { 0x35, 0, 0, 0, 0, 5, 0, 0, 7 }, DATA_NONE, 5, 7, 0, false, 9 },
        { { 0x00 }, DATA_NONE, 0, 0, 0, false, 5 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct scsi_cmd c;
        EXPECT(scsi_cmd_decode(rows[i].cdb, &c));
        EXPECT_EQ(c.opcode, rows[i].cdb[0]);
        EXPECT_EQ(c.data, rows[i].data);
        EXPECT_EQ(c.lba, rows[i].lba);
        EXPECT_EQ(c.blocks, rows[i].blocks);
        EXPECT_EQ(c.alloc, rows[i].alloc);
        EXPECT_EQ(c.fua, rows[i].fua);
        EXPECT_EQ(c.control_at, rows[i].control_at);
    }
}

TEST(where_the_length_stands)
{
    static const struct { uint8_t op, at; } rows[] = {
        { READ_6, 4 }, { WRITE_10, 7 }, { READ_12, 6 }, { WRITE_16, 10 }, { VERIFY_10, 7 },
        { VERIFY_12, 6 }, { VERIFY_16, 10 }, { WRITE_SAME_16, 10 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint8_t cdb[16] = { rows[i].op };
        struct scsi_cmd c;
        EXPECT(scsi_cmd_decode(cdb, &c));
        EXPECT_EQ(c.length_at, rows[i].at);
    }
}

TEST(service_actions_are_part_of_the_name)
{
    uint8_t cdb[16] = { SERVICE_ACTION_IN_16, 0x12 };
    struct scsi_cmd c;

    EXPECT(!scsi_cmd_decode(cdb, &c));
    cdb[1] = 0xf0; /* only five bits of it */
    EXPECT(scsi_cmd_decode(cdb, &c));
    EXPECT_EQ(c.service, SAI_READ_CAPACITY_16);
    cdb[0] = 0xff;
    EXPECT(!scsi_cmd_decode(cdb, &c));
}

TEST(each_command_of_the_list_is_decoded)
{
    const struct scsi_cmd_info *f;
    unsigned n = 0;

    for (; (f = scsi_cmd_info(n)) != NULL; n++) {
        uint8_t cdb[16] = { f->opcode, f->service };
        struct scsi_cmd c;
        EXPECT(scsi_cmd_decode(cdb, &c));
        EXPECT_EQ(c.control_at + 1, f->len);
        /* The length follows from the group: SPC-4 4.2.5.1. */
        static const uint8_t lens[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };
        EXPECT_EQ(f->len, lens[f->opcode >> 5]);
    }
    EXPECT(n > 40);
}
