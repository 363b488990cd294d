/* SPDX-License-Identifier: GPL-2.0-or-later */
/* optical_test.c - the drive's commands, byte by byte, and media that come and go. */
#include <errno.h>

#include "scsi/scsi_model.h"

#define SECTORS   (SCSI_MODEL_BLOCKS / 4) /* 1024 of 2048 bytes */
#define NO_MEDIUM SENSE(SENSE_NOT_READY, ASC_NO_MEDIUM)

TEST(reads)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);

    for (unsigned i = 0; i < SCSI_MODEL_BLOCKS * 512; i++)
        m->disk.data[i] = (uint8_t)(i / 2048);
    EXPECT_DATA(m, RUN(m, 8, READ_CAPACITY_10), 0, 0, 3, 0xff, 0, 0, 8, 0);
    EXPECT_EQ(RUN(m, 5000, READ_10, 0, 0, 0, 0, 5, 0, 0, 2), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 4096);
    EXPECT_EQ(m->data[0], 5);
    EXPECT_EQ(m->data[4095], 6);
    EXPECT_EQ(RUN(m, 2048, READ_12, 0, 0, 0, 3, 0xff, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(m->data[0], 0xff);
    EXPECT_EQ(RUN(m, 0, READ_10), SCSI_GOOD);
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE), RUN(m, 4096, READ_10, 0, 0, 0, 3, 0xff, 0, 0, 2));
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 2048, READ_12, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1));
    EXPECT_BAD_CDB(m, 7, RUN(m, 2047, READ_10, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_BAD_CDB(m, 6, RUN(m, 2047, READ_12, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_OPCODE), RUN(m, 2048, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_OPCODE),
                 RUN(m, 2048, READ_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    m->disk.err = -EIO;
    EXPECT_SENSE(m, SENSE(SENSE_MEDIUM_ERROR, ASC_READ_ERROR),
                 RUN(m, 2048, READ_10, 0, 0, 0, 0, 0, 0, 0, 1));
}

TEST(tables_of_contents)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);

    EXPECT_DATA(m, RUN(m, 255, READ_TOC, 0, 0, 0, 0, 0, 0, 0, 255), 0, 18, 1, 1,
                0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 4, 0);
    EXPECT_DATA(m, RUN(m, 255, READ_TOC, 2, 0, 0, 0, 0, 0, 0, 255), 0, 18, 1, 1, /* as times */
                0, 0x14, 1, 0, 0, 0, 2, 0, 0, 0x14, 0xaa, 0, 0, 0, 15, 49);
    EXPECT_DATA(m, RUN(m, 255, READ_TOC, 0, 0, 0, 0, 0, 0xaa, 0, 255), 0, 10, 1, 1,
                0, 0x14, 0xaa, 0, 0, 0, 4, 0);
    EXPECT_DATA(m, RUN(m, 255, READ_TOC, 0, 1, 0, 0, 0, 0, 0, 12), 0, 10, 1, 1,
                0, 0x14, 1, 0, 0, 0, 0, 0);
    EXPECT_DATA(m, RUN(m, 255, READ_TOC, 0, 0, 0, 0, 0, 0, 0, 12, 0x40), 0, 10, 1, 1, /* as of old */
                0, 0x14, 1, 0, 0, 0, 0, 0);
    EXPECT_DATA(m, RUN(m, 255, READ_TOC, 2, 2, 0, 0, 0, 0, 0, 255), 0, 46, 1, 1,
                1, 0x14, 0, 0xa0, 0, 0, 0, 0, 1, 0, 0, 1, 0x14, 0, 0xa1, 0, 0, 0, 0, 1, 0, 0,
                1, 0x14, 0, 0xa2, 0, 0, 0, 0, 0, 15, 49, 1, 0x14, 0, 1, 0, 0, 0, 0, 0, 2, 0);
    EXPECT_BAD_CDB(m, 6, RUN(m, 255, READ_TOC, 0, 0, 0, 0, 0, 2, 0, 255));
    EXPECT_BAD_CDB(m, 2, RUN(m, 255, READ_TOC, 0, 5, 0, 0, 0, 0, 0, 255));
}

TEST(configurations)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);

    EXPECT_DATA(m, RUN(m, 255, GET_CONFIGURATION, 2, 0, 0, 0, 0, 0, 0, 255), 0, 0, 0, 16, 0, 0, 0, 8,
                0, 0, 3, 8, 0, 0x10, 0, 0, 0, 8, 1, 0);
    EXPECT_DATA(m, RUN(m, 8, GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 0, 8), 0, 0, 0, 72, 0, 0, 0, 8);
    EXPECT_DATA(m, RUN(m, 255, GET_CONFIGURATION, 1, 0, 0x1e, 0, 0, 0, 0, 255), 0, 0, 0, 12, 0, 0, 0,
                8, 0, 0x1e, 0x0b, 4, 0, 0, 0, 0);
    EXPECT_DATA(m, RUN(m, 255, GET_CONFIGURATION, 2, 1, 0, 0, 0, 0, 0, 255), 0, 0, 0, 4, 0, 0, 0, 8);
    EXPECT_BAD_CDB(m, 1, RUN(m, 255, GET_CONFIGURATION, 3, 0, 0, 0, 0, 0, 0, 255));
    m->disk.disk.size = UINT64_C(4) << 30; /* a DVD */
    EXPECT_EQ(RUN(m, 255, GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 0, 255), SCSI_GOOD);
    EXPECT_EQ(get_be16(m->data + 6), 0x10);
    EXPECT_EQ(RUN(m, 2052, READ_DVD_STRUCTURE, 0, 0, 0, 0, 0, 0, 0, 8, 4), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 2052);
    EXPECT_EQ(get_be16(m->data), 2050);
    EXPECT_EQ(get_be32(m->data + 8), 0x30000);
    EXPECT_EQ(get_be32(m->data + 12), 0x30000 + (UINT64_C(4) << 30) / 2048 - 1);
    EXPECT_BAD_CDB(m, 7, RUN(m, 2052, READ_DVD_STRUCTURE, 0, 0, 0, 0, 0, 0, 1, 8, 4));
    scsi_optical_change(m->unit, NULL, false);
    EXPECT_EQ(RUN(m, 8, GET_CONFIGURATION, 0, 0, 0, 0, 0, 0, 0, 8), SCSI_GOOD);
    EXPECT_EQ(get_be16(m->data + 6), 0);
}

TEST(a_medium_comes_and_goes)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);

    EXPECT_DATA(m, RUN(m, 8, GET_EVENT_STATUS, 1, 0, 0, 0x10, 0, 0, 0, 8), 0, 6, 4, 0x10, 0, 2, 0, 0);
    EXPECT_DATA(m, RUN(m, 34, READ_DISC_INFORMATION, 0, 0, 0, 0, 0, 0, 0, 34), 0, 32, 0x0e, 1, 1, 1,
                1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_EQ(scsi_optical_change(m->unit, NULL, false), 0);
    EXPECT_DATA(m, RUN(m, 8, GET_EVENT_STATUS, 1, 0, 0, 0x10, 0, 0, 0, 8), 0, 6, 4, 0x10, 3, 0, 0, 0);
    EXPECT_DATA(m, RUN(m, 8, GET_EVENT_STATUS, 1, 0, 0, 0x10, 0, 0, 0, 8), 0, 6, 4, 0x10, 0, 0, 0, 0);
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 0, TEST_UNIT_READY));
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 8, READ_CAPACITY_10));
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 2048, READ_10, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 255, READ_TOC, 0, 0, 0, 0, 0, 0, 0, 255));
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 34, READ_DISC_INFORMATION, 0, 0, 0, 0, 0, 0, 0, 34));
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 34, READ_DVD_STRUCTURE, 0, 0, 0, 0, 0, 0, 0, 0, 34));
    EXPECT_EQ(scsi_optical_change(m->unit, &m->disk.disk, false), 0);
    EXPECT_DATA(m, RUN(m, 8, GET_EVENT_STATUS, 1, 0, 0, 0x10, 0, 0, 0, 8), 0, 6, 4, 0x10, 2, 2, 0, 0);
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_MEDIUM_CHANGED), RUN(m, 0, TEST_UNIT_READY));
    EXPECT_EQ(RUN(m, 0, TEST_UNIT_READY), SCSI_GOOD);
    EXPECT_DATA(m, RUN(m, 8, GET_EVENT_STATUS, 1, 0, 0, 2, 0, 0, 0, 8), 0, 2, 0x80, 0x10);
    EXPECT_BAD_CDB(m, 1, RUN(m, 8, GET_EVENT_STATUS, 0, 0, 0, 0x10, 0, 0, 0, 8));
}

static void on_eject(void *owner)
{
    ++*(unsigned *)owner;
}

TEST(the_tray)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);
    unsigned ejects = 0;

    scsi_optical_on_eject(m->unit, on_eject, &ejects);
    EXPECT_EQ(RUN(m, 0, PREVENT_ALLOW_REMOVAL, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(scsi_optical_change(m->unit, NULL, false), -EBUSY);
    EXPECT_SENSE(m, ILLEGAL(ASC_REMOVAL_PREVENTED), RUN(m, 0, START_STOP_UNIT, 0, 0, 0, 2));
    EXPECT_EQ(RUN(m, 0, PREVENT_ALLOW_REMOVAL), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 0, START_STOP_UNIT), SCSI_GOOD); /* without the tray */
    EXPECT_EQ(ejects, 0);
    EXPECT_DATA(m, RUN(m, 8, MECHANISM_STATUS, 0, 0, 0, 0, 0, 0, 0, 0, 8), 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_EQ(RUN(m, 0, START_STOP_UNIT, 0, 0, 0, 2), SCSI_GOOD);
    EXPECT_EQ(ejects, 1);
    EXPECT_DATA(m, RUN(m, 8, MECHANISM_STATUS, 0, 0, 0, 0, 0, 0, 0, 0, 8), 0, 0x10, 0, 0, 0, 0, 0, 0);
    EXPECT_SENSE(m, SENSE(SENSE_NOT_READY, ASC_NO_MEDIUM_TRAY_OPEN), RUN(m, 0, TEST_UNIT_READY));
    EXPECT_DATA(m, RUN(m, 8, GET_EVENT_STATUS, 1, 0, 0, 0x10, 0, 0, 0, 8), 0, 6, 4, 0x10, 3, 1, 0, 0);
    EXPECT_EQ(RUN(m, 0, START_STOP_UNIT, 0, 0, 0, 2), SCSI_GOOD);
    EXPECT_EQ(ejects, 1); /* it is open */
    EXPECT_EQ(RUN(m, 0, START_STOP_UNIT, 0, 0, 0, 3), SCSI_GOOD);
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 0, TEST_UNIT_READY));
    EXPECT_EQ(RUN(m, 0, PREVENT_ALLOW_REMOVAL, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(scsi_optical_change(m->unit, &m->disk.disk, false), 0); /* into an empty drive */
    EXPECT_EQ(scsi_optical_change(m->unit, NULL, true), 0);           /* by force */
}

/* An image of less than a sector. */
TEST(a_medium_of_nothing)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);

    m->disk.disk.size = 512;
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 2048, READ_10, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 8, READ_CAPACITY_10)); /* there is no last sector to tell */
    EXPECT_SENSE(m, NO_MEDIUM, RUN(m, 0, TEST_UNIT_READY));
}
