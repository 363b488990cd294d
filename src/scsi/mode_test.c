/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mode_test.c - MODE SENSE and MODE SELECT, byte by byte. */
#include "scsi/scsi_model.h"

#define RECOVERY   0x01, 10, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define CACHING(w) 0x08, 18, w, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define CONTROL    0x0a, 10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0
#define EXCEPTIONS 0x1c, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define SHORT_BLOCKS 0, 0, 0x10, 0, 0, 0, 2, 0 /* 4096 of 512 bytes */

TEST(sense_6_of_a_disk)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 0, 0x3f, 0, 255), 67, 0, 0x10, 8, SHORT_BLOCKS, RECOVERY,
                CACHING(4), CONTROL, EXCEPTIONS);
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x08, 0, 255), 23, 0, 0x10, 0, CACHING(4));
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 0, 0x3f, 0, 4), 67, 0, 0x10, 8); /* as sd asks first */
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x3f, 0xff, 5), 59, 0, 0x10, 0, 1);
    m->disk.disk.read_only = true;
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x0a, 0, 255), 15, 0, 0x90, 0, CONTROL);
}

TEST(sense_10_of_a_disk)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_10, 0, 0x1c, 0, 0, 0, 0, 0, 255), 0, 26, 0, 0x10, 0, 0, 0,
                8, SHORT_BLOCKS, EXCEPTIONS);
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_10, 0x10, 0x01, 0, 0, 0, 0, 0, 255), 0, 34, 0, 0x10,
                1 /* long LBA */, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 2, 0,
                RECOVERY);
    m->disk.disk.size = UINT64_C(64) << 40;
    EXPECT_EQ(RUN(m, 255, MODE_SENSE_10, 0, 0x1c, 0, 0, 0, 0, 0, 255), SCSI_GOOD);
    EXPECT_EQ(get_be32(m->data + 8), UINT32_MAX); /* too many to say */
}

TEST(values_of_each_kind)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x48, 0, 255), 23, 0, 0x10, 0, CACHING(4)); /* mask */
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x41, 0, 255), 15, 0, 0x10, 0, 1, 10, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0);
    m->disk.disk.write_cache = false; /* the default is the disk's */
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x88, 0, 255), 23, 0, 0x10, 0, CACHING(0));
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x08, 0, 255), 23, 0, 0x10, 0, CACHING(4));
    EXPECT_SENSE(m, ILLEGAL(0x3900), RUN(m, 255, MODE_SENSE_6, 8, 0xc8, 0, 255)); /* saved */
    EXPECT_BAD_CDB(m, 2, RUN(m, 255, MODE_SENSE_6, 8, 0x2a, 0, 255)); /* a drive's */
    EXPECT_BAD_CDB(m, 3, RUN(m, 255, MODE_SENSE_6, 8, 0x0a, 1, 255)); /* a subpage */
}

TEST(sense_of_a_drive)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);

    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_10, 0, 0x2a, 0, 0, 0, 0, 0, 255), 0, 28, 0, 0, 0, 0, 0, 0,
                0x2a, 20, 0x3b, 0, 0x70, 0, 0x29, 0, 0x2b, 0x48, 0, 0, 0x08, 0, 0x2b, 0x48, 0, 0, 0,
                0, 0, 0);
    EXPECT_EQ(RUN(m, 0, PREVENT_ALLOW_REMOVAL, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 255, MODE_SENSE_10, 0, 0x2a, 0, 0, 0, 0, 0, 255), SCSI_GOOD);
    EXPECT_EQ(m->data[8 + 6], 0x2b); /* locked */
    EXPECT_BAD_CDB(m, 2, RUN(m, 255, MODE_SENSE_10, 0, 0x08, 0, 0, 0, 0, 0, 255));
    scsi_optical_change(m->unit, NULL, true);
    EXPECT_EQ(RUN(m, 255, MODE_SENSE_10, 0, 0x3f, 0, 0, 0, 0, 0, 255), SCSI_GOOD);
}

static unsigned select_6(struct scsi_model *m, uint64_t who, const uint8_t *list, uint8_t n)
{
    memcpy(m->data, list, n);
    return RUN_AS(m, who, n, MODE_SELECT_6, 0x10, 0, 0, n);
}

TEST(select_the_write_cache)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);
    static const uint8_t off[] = { 0, 0, 0, 0, CACHING(0) };
    static const uint8_t on[] = { 0, 0, 0x10, 8, SHORT_BLOCKS, CACHING(4) };
    static const uint8_t off10[] = { 0, 0, 0, 0, 1, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0,
                                     0, 0, 2, 0, CACHING(0), CONTROL };

    EXPECT_EQ(RUN_AS(m, 2, 0, TEST_UNIT_READY), SCSI_GOOD);
    EXPECT_EQ(select_6(m, 1, off, sizeof off), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, sizeof off);
    EXPECT_EQ(RUN(m, 0, TEST_UNIT_READY), SCSI_GOOD);
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_MODE_CHANGED),
                 RUN_AS(m, 2, 0, TEST_UNIT_READY)); /* the others hear of it */
    EXPECT_EQ(RUN(m, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(m->disk.flags, DISK_FUA);
    EXPECT_EQ(select_6(m, 1, on, sizeof on), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(m->disk.flags, 0);
    memcpy(m->data, off10, sizeof off10);
    EXPECT_EQ(RUN(m, sizeof off10, MODE_SELECT_10, 0x10, 0, 0, 0, 0, 0, 0, sizeof off10), SCSI_GOOD);
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x08, 0, 255), 23, 0, 0x10, 0, CACHING(0));
    EXPECT_EQ(RUN(m, 0, MODE_SELECT_6, 0x10), SCSI_GOOD); /* no list */
}

#define EXPECT_BAD_LIST(m, byte, run)                                       \
    do {                                                                    \
        EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_FIELD_IN_PARAMETERS), run);     \
        EXPECT_EQ(scsi_model_field(m), 0x8000 + byte);                      \
    } while (0)

TEST(lists_that_are_wrong)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);
    uint8_t list[] = { 0, 0, 0, 0, CACHING(4) }, blocks[] = { 0, 0, 0, 8, SHORT_BLOCKS, CACHING(0) };

    EXPECT_BAD_CDB(m, 1, RUN(m, 24, MODE_SELECT_6, 0x11, 0, 0, 24)); /* save: nowhere to */
    list[7] = 1;
    EXPECT_BAD_LIST(m, 7, select_6(m, 1, list, sizeof list)); /* not to be changed */
    list[7] = 0;
    list[5] = 17;
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_FIELD_IN_PARAMETERS),
                 select_6(m, 1, list, sizeof list)); /* not the page's length */
    list[5] = 19;
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH), select_6(m, 1, list, sizeof list));
    list[5] = 18;
    list[4] = 0x2a;
    EXPECT_BAD_LIST(m, 4, select_6(m, 1, list, sizeof list));
    list[4] = 0x3f;
    EXPECT_BAD_LIST(m, 4, select_6(m, 1, list, sizeof list));
    for (uint8_t n = 1; n < 4; n++)
        EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH), select_6(m, 1, list, n));
    EXPECT_EQ(select_6(m, 1, list, 4), SCSI_GOOD); /* a head alone */
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH), select_6(m, 1, list, 5));
    blocks[10] = 4; /* another block size: we cannot format */
    EXPECT_BAD_LIST(m, 9, select_6(m, 1, blocks, sizeof blocks));
    blocks[10] = 2;
    blocks[3] = 7;
    EXPECT_BAD_LIST(m, 3, select_6(m, 1, blocks, sizeof blocks));
    blocks[3] = 200;
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH), select_6(m, 1, blocks, sizeof blocks));
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH), RUN(m, 10, MODE_SELECT_6, 0x10, 0, 0, 24));
    EXPECT_DATA(m, RUN(m, 255, MODE_SENSE_6, 8, 0x08, 0, 255), 23, 0, 0x10, 0, CACHING(4));
}
