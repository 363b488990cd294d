/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inquiry_test.c - INQUIRY and the vital product data, byte by byte. */
#include "scsi/scsi_model.h"

#define SERIAL                                                                                    \
    'a', '0', 'a', '1', 'a', '2', 'a', '3', 'a', '4', 'a', '5', 'a', '6', 'a', '7', 'a', '8', 'a', \
    '9', 'a', 'a', 'a', 'b', 'a', 'c', 'a', 'd', 'a', 'e', 'a', 'f'
#define MSFT 'M', 's', 'f', 't', ' ', ' ', ' ', ' '

#define PAGE(m, page, len) RUN(m, len, INQUIRY, 1, page, 0, len)

TEST(standard_data_of_a_disk)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_DATA(m, RUN(m, 255, INQUIRY, 0, 0, 0, 255),
                0, 0, 6, 2, 69, 0, 0, 2, MSFT,
                'V', 'i', 'r', 't', 'u', 'a', 'l', ' ', 'D', 'i', 's', 'k', ' ', ' ', ' ', ' ',
                '1', '.', '0', ' ', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0x00, 0xa0, 0x04, 0x60, 0x04, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_EQ(RUN(m, 255, INQUIRY, 0, 0, 0, 36), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 36);
    EXPECT_EQ(RUN(m, 20, INQUIRY, 0, 0, 0, 255), SCSI_GOOD); /* the buffer is shorter */
    EXPECT_EQ(m->rq.moved, 20);
    EXPECT_EQ(RUN(m, 0, INQUIRY), SCSI_GOOD);
    EXPECT_BAD_CDB(m, 2, RUN(m, 255, INQUIRY, 0, 0x80, 0, 255)); /* a page without EVPD */
    EXPECT_BAD_CDB(m, 2, PAGE(m, 0x99, 255));
    EXPECT_BAD_CDB(m, 2, PAGE(m, 0xb9, 255));
}

TEST(pages_of_a_disk)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_DATA(m, PAGE(m, 0x00, 255), 0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2);
    EXPECT_DATA(m, PAGE(m, 0x00, 4), 0, 0, 0, 6);
    EXPECT_DATA(m, PAGE(m, 0x80, 255), 0, 0x80, 0, 32, SERIAL);
    /* NAA 3 of the folded GUID, and the T10 vendor's name with the serial number. */
    EXPECT_DATA(m, PAGE(m, 0x83, 255), 0, 0x83, 0, 56,
                1, 3, 0, 8, 0x38, 8, 8, 8, 8, 8, 8, 8,
                2, 1, 0, 40, MSFT, SERIAL);
    EXPECT_DATA(m, PAGE(m, 0xb0, 255), 0, 0xb0, 0, 0x3c,
                0, 0, 0, 8,             /* granularity: a physical block */
                0, 0x20, 0, 0,          /* 1 GiB at once */
                0, 0, 0, 0, 0, 0, 0, 0,
                0xff, 0xff, 0xff, 0xff, /* UNMAP: any number of blocks */
                0, 0, 0, 255,           /* in so many ranges */
                0, 0, 0, 8,             /* granularity */
                0x80, 0, 0, 0,          /* alignment */
                0, 0, 0, 0, 0, 0x20, 0, 0, /* WRITE SAME */
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_EQ(PAGE(m, 0xb1, 6), SCSI_GOOD);
    EXPECT_EQ(get_be16(m->data + 4), 1); /* no rotation */
    EXPECT_DATA(m, PAGE(m, 0xb2, 255), 0, 0xb2, 0, 4, 0, 0xe0, 2, 0);
}

TEST(a_rotating_disk_that_cannot_discard)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    m->disk.disk.rotational = true;
    m->disk.disk.discard_block = 0;
    m->disk.disk.block = 4096;
    EXPECT_EQ(PAGE(m, 0xb0, 64), SCSI_GOOD);
    EXPECT_EQ(get_be16(m->data + 6), 1);
    EXPECT_EQ(get_be32(m->data + 8), 1 << 18);
    for (unsigned at = 20; at < 36; at += 4) /* nothing of UNMAP */
        EXPECT_EQ(get_be32(m->data + at), 0);
    EXPECT_EQ(PAGE(m, 0xb1, 64), SCSI_GOOD);
    EXPECT_EQ(get_be16(m->data + 4), 7200);
    EXPECT_EQ(m->rq.moved, 64);
    EXPECT_DATA(m, PAGE(m, 0xb2, 255), 0, 0xb2, 0, 4, 0, 0, 1, 0);
}

TEST(a_drive)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(true);

    EXPECT_EQ(RUN(m, 74, INQUIRY, 0, 0, 0, 74), SCSI_GOOD);
    EXPECT_EQ(m->data[0], 5);
    EXPECT_EQ(m->data[1], 0x80); /* removable */
    EXPECT(memcmp(m->data + 8, "Msft    Virtual DVD-ROM 1.0 ", 28) == 0);
    EXPECT_DATA(m, PAGE(m, 0x00, 255), 5, 0, 0, 3, 0x00, 0x80, 0x83);
    EXPECT_DATA(m, PAGE(m, 0x80, 255), 5, 0x80, 0, 32, SERIAL);
    EXPECT_BAD_CDB(m, 2, PAGE(m, 0xb0, 255));
}

/* Without a GUID the name stands for the image: the same one, the same numbers. */
TEST(identities)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);
    struct scsi_identity a, b, c;

    scsi_identity_make(&a, NULL, "one");
    scsi_identity_make(&b, NULL, "one");
    scsi_identity_make(&c, NULL, "two");
    EXPECT(memcmp(&a, &b, sizeof a) == 0);
    EXPECT(memcmp(a.naa, c.naa, 8) != 0 && strcmp(a.serial, c.serial) != 0);
    EXPECT_EQ(a.naa[0] >> 4, 3);
    EXPECT_EQ(strlen(a.serial), 32);
    scsi_identity_make(&a, &m->disk.disk, "one");
    scsi_identity_make(&b, &m->disk.disk, "two");
    EXPECT(memcmp(&a, &b, sizeof a) == 0); /* the GUID counts */
}
