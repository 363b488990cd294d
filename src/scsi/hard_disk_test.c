/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hard_disk_test.c - the commands of SBC-3 one by one: what they ask of the disk, what they answer. */
#include <errno.h>

#include "scsi/scsi_model.h"

#define BLOCKS SCSI_MODEL_BLOCKS
#define DISK   (&m->disk)

static struct scsi_model *model(void)
{
    return scsi_model_new(false);
}

static void fill(struct scsi_model *m, uint32_t n, uint8_t seed)
{
    for (uint32_t i = 0; i < n; i++)
        m->data[i] = (uint8_t)(i * 13 + i / 256 + seed);
}

static bool on_disk(const struct scsi_model *m, uint64_t lba, uint32_t n)
{
    return memcmp(m->disk.data + lba * 512, m->data, n) == 0;
}

/* ---- READ, WRITE ----------------------------------------------------------------------------- */

TEST(all_sizes_of_read_and_write)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();
    /* WRITE, READ; LBA 0x123 and 3 blocks. */
    static const uint8_t cdbs[][2][16] = {
        { { WRITE_6, 0, 1, 0x23, 3 }, { READ_6, 0, 1, 0x23, 3 } },
        { { WRITE_10, 0, 0, 0, 1, 0x23, 0, 0, 3 }, { READ_10, 0, 0, 0, 1, 0x23, 0, 0, 3 } },
        { { WRITE_12, 0, 0, 0, 1, 0x23, 0, 0, 0, 3 }, { READ_12, 0, 0, 0, 1, 0x23, 0, 0, 0, 3 } },
        { { WRITE_16, 0, 0, 0, 0, 0, 0, 0, 1, 0x23, 0, 0, 0, 3 },
          { READ_16, 0, 0, 0, 0, 0, 0, 0, 1, 0x23, 0, 0, 0, 3 } },
    };

    for (uint8_t i = 0; i < ARRAY_LEN(cdbs); i++) {
        fill(m, 2000, i);
        EXPECT_EQ(scsi_model_run(m, 1, cdbs[i][0], 16, 2000), SCSI_GOOD);
        EXPECT_EQ(m->rq.moved, 1536); /* less than the buffer */
        EXPECT(on_disk(m, 0x123, 1536));
        EXPECT_EQ(DISK->data[0x126 * 512], 0);
        EXPECT_EQ(DISK->flags, 0);
        memset(m->data, 0xee, 2000);
        EXPECT_EQ(scsi_model_run(m, 1, cdbs[i][1], 16, 2000), SCSI_GOOD);
        EXPECT_EQ(m->rq.moved, 1536);
        EXPECT(on_disk(m, 0x123, 1536));
        EXPECT_EQ(m->data[1536], 0xee);
    }
}

TEST(lengths_of_nothing)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_EQ(RUN(m, 0, READ_10), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 0, WRITE_16), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 512, READ_12), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 0);
    EXPECT_EQ(DISK->n[DISK_READ] + DISK->n[DISK_WRITE], 0);
    EXPECT_EQ(RUN(m, 256 * 512, READ_6, 0, 0, 0, 0), SCSI_GOOD); /* here 0 means 256 */
    EXPECT_EQ(m->rq.moved, 256 * 512);
    /* At the end nothing is fine, behind it is not. */
    EXPECT_EQ(RUN(m, 0, READ_10, 0, 0, 0, BLOCKS >> 8, 0), SCSI_GOOD);
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE), RUN(m, 0, READ_10, 0, 0, 0, BLOCKS >> 8, 1));
}

TEST(the_end_of_the_disk)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_EQ(RUN(m, 512, READ_10, 0, 0, 0, 0x0f, 0xff, 0, 0, 1), SCSI_GOOD);
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 1024, READ_10, 0, 0, 0, 0x0f, 0xff, 0, 0, 2));
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 512, WRITE_16, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1));
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 512, READ_16, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 512, VERIFY_10, 0, 0, 0, BLOCKS >> 8, 0, 0, 0, 1));
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 0, SYNCHRONIZE_CACHE_10, 0, 0, 0, BLOCKS >> 8, 0, 0, 0, 1));
    EXPECT_EQ(m->rq.sense[15], 0); /* no field pointer: 2100 is no bad field */
}

TEST(buffers_that_are_too_small)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_BAD_CDB(m, 4, RUN(m, 511, READ_6, 0, 0, 0, 1));
    EXPECT_BAD_CDB(m, 7, RUN(m, 511, READ_10, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_BAD_CDB(m, 6, RUN(m, 1023, WRITE_12, 0, 0, 0, 0, 0, 0, 0, 0, 2));
    EXPECT_BAD_CDB(m, 10, RUN(m, 0, WRITE_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_BAD_CDB(m, 10, RUN(m, 511, VERIFY_16, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_EQ(DISK->n[DISK_READ] + DISK->n[DISK_WRITE], 0);
}

TEST(bits_that_are_not_supported)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_BAD_CDB(m, 1, RUN(m, 512, READ_10, 0x20, 0, 0, 0, 0, 0, 0, 1)); /* protection */
    EXPECT_BAD_CDB(m, 1, RUN(m, 512, WRITE_16, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_BAD_CDB(m, 9, RUN(m, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1, 4)); /* NACA */
    EXPECT_BAD_CDB(m, 5, RUN(m, 0, TEST_UNIT_READY, 0, 0, 0, 0, 4));
    EXPECT_EQ(RUN(m, 512, READ_6, 0xe0, 0, 0, 1), SCSI_GOOD); /* the LUN of old */
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_OPCODE), RUN(m, 0, 0xf7));
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_OPCODE), RUN(m, 0, SERVICE_ACTION_IN_16, 0x1f));
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_OPCODE), RUN(m, 8, READ_TOC)); /* a drive's */
}

TEST(durable_when_the_guest_says_so)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();
    static const uint8_t fua[][10] = {
        { WRITE_10, 8, 0, 0, 0, 0, 0, 0, 1 }, { WRITE_AND_VERIFY_10, 0, 0, 0, 0, 0, 0, 0, 1 },
    };

    for (unsigned i = 0; i < ARRAY_LEN(fua); i++) {
        EXPECT_EQ(scsi_model_run(m, 1, fua[i], 10, 512), SCSI_GOOD);
        EXPECT_EQ(DISK->flags, DISK_FUA);
    }
    EXPECT_EQ(RUN(m, 512, WRITE_AND_VERIFY_12, 0, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(DISK->flags, DISK_FUA);
    EXPECT_EQ(RUN(m, 512, WRITE_AND_VERIFY_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(DISK->flags, DISK_FUA);
    EXPECT_EQ(RUN(m, 512, READ_10, 8, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(DISK->flags, 0);
    DISK->disk.write_cache = false;
    scsi_model_renew(m, false);
    EXPECT_EQ(RUN(m, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(DISK->flags, DISK_FUA);
    EXPECT_EQ(RUN(m, 0, SYNCHRONIZE_CACHE_10), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 0, SYNCHRONIZE_CACHE_16, 2), SCSI_GOOD);
    EXPECT_EQ(DISK->n[DISK_FLUSH], 2);
}

TEST(what_the_disk_says_becomes_sense)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();
    static const struct { int err; unsigned read, write; } rows[] = {
        { -EIO, SENSE(SENSE_MEDIUM_ERROR, 0x1100), SENSE(SENSE_MEDIUM_ERROR, 0x0c00) },
        { -ENOSPC, SENSE(SENSE_DATA_PROTECT, 0x2707), SENSE(SENSE_DATA_PROTECT, 0x2707) },
        { -EROFS, SENSE(SENSE_DATA_PROTECT, 0x2700), SENSE(SENSE_DATA_PROTECT, 0x2700) },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        DISK->err = rows[i].err;
        EXPECT_SENSE(m, rows[i].read, RUN(m, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1));
        EXPECT_SENSE(m, rows[i].write, RUN(m, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1));
        EXPECT_SENSE(m, rows[i].write, RUN(m, 0, SYNCHRONIZE_CACHE_10));
    }
    DISK->err = -ENOMEM;
    EXPECT_EQ(RUN(m, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_BUSY);
    EXPECT_EQ(m->rq.moved, 0);
}

TEST(a_read_only_disk)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();
    unsigned sense = SENSE(SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);

    DISK->disk.read_only = true;
    EXPECT_SENSE(m, sense, RUN(m, 512, WRITE_6, 0, 0, 0, 1));
    EXPECT_SENSE(m, sense, RUN(m, 512, WRITE_AND_VERIFY_10, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, sense, RUN(m, 512, WRITE_SAME_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, sense, RUN(m, 24, UNMAP, 0, 0, 0, 0, 0, 0, 0, 24));
    EXPECT_EQ(RUN(m, 512, READ_6, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 0, SYNCHRONIZE_CACHE_10), SCSI_GOOD);
}

/* ---- VERIFY ---------------------------------------------------------------------------------- */

TEST(verify_reads_or_compares)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_EQ(RUN(m, 0, VERIFY_10, 0, 0, 0, 0, 0, 0, 0x10, 0), SCSI_GOOD); /* the whole disk */
    EXPECT_EQ(DISK->n[DISK_READ], BLOCKS * 512 >> 20);
    EXPECT_EQ(m->rq.moved, 0);
    fill(m, 2048, 0);
    memcpy(DISK->data + 7 * 512, m->data, 2048);
    EXPECT_EQ(RUN(m, 2048, VERIFY_12, 2, 0, 0, 0, 7, 0, 0, 0, 4), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 2048);
    EXPECT_EQ(RUN(m, 2048, VERIFY_16, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 4), SCSI_GOOD);
    m->data[2047] ^= 1;
    EXPECT_SENSE(m, SENSE(SENSE_MISCOMPARE, ASC_MISCOMPARE),
                 RUN(m, 2048, VERIFY_10, 2, 0, 0, 0, 7, 0, 0, 4));
    EXPECT_EQ(RUN(m, 2048, VERIFY_10, 2, 0, 0, 0, 7, 0, 0, 3), SCSI_GOOD);
    EXPECT_BAD_CDB(m, 1, RUN(m, 512, VERIFY_10, 6, 0, 0, 0, 0, 0, 0, 1)); /* one for all */
    /* More than a piece; the difference in the second. */
    memset(DISK->data, 0, BLOCKS * 512);
    memset(m->data, 0, SCSI_MODEL_DATA);
    EXPECT_EQ(RUN(m, SCSI_MODEL_DATA, VERIFY_10, 2, 0, 0, 0, 1, 0, 8, 0), SCSI_GOOD);
    DISK->err = -EIO;
    EXPECT_SENSE(m, SENSE(SENSE_MEDIUM_ERROR, ASC_READ_ERROR),
                 RUN(m, 512, VERIFY_10, 2, 0, 0, 0, 0, 0, 0, 1));
}

/* ---- UNMAP ----------------------------------------------------------------------------------- */

static unsigned unmap(struct scsi_model *m, unsigned descriptors, unsigned list_len)
{
    put_be16(m->data, (uint16_t)(6 + 16 * descriptors));
    put_be16(m->data + 2, (uint16_t)(16 * descriptors));
    put_be32(m->data + 4, 0);
    return RUN(m, list_len, UNMAP, 0, 0, 0, 0, 0, 0, (uint8_t)(list_len >> 8), (uint8_t)list_len);
}

static void range(struct scsi_model *m, unsigned i, uint64_t lba, uint32_t n)
{
    put_be64(m->data + 8 + 16 * i, lba);
    put_be32(m->data + 16 + 16 * i, n);
    put_be32(m->data + 20 + 16 * i, 0);
}

TEST(unmap_each_range)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    memset(DISK->data, 0x55, BLOCKS * 512);
    range(m, 0, 8, 8);
    range(m, 1, 100, 0); /* nothing */
    range(m, 2, BLOCKS - 1, 1);
    EXPECT_EQ(unmap(m, 3, 56), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 56);
    EXPECT_EQ(DISK->n[DISK_DISCARD], 2);
    EXPECT_EQ(DISK->data[8 * 512 - 1], 0x55);
    EXPECT_EQ(DISK->data[8 * 512], 0);
    EXPECT_EQ(DISK->data[16 * 512], 0x55);
    EXPECT_EQ(DISK->data[BLOCKS * 512 - 1], 0);
    EXPECT_EQ(unmap(m, 3, 24), SCSI_GOOD); /* the list says 3, but ends after one */
    EXPECT_EQ(DISK->n[DISK_DISCARD], 3);
    range(m, 1, BLOCKS, 1); /* one is wrong: none is done */
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE), unmap(m, 2, 40));
    range(m, 1, UINT64_MAX - 3, 8);
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE), unmap(m, 2, 40));
    EXPECT_EQ(DISK->n[DISK_DISCARD], 3);
    EXPECT_EQ(RUN(m, 0, UNMAP), SCSI_GOOD); /* no list */
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH), unmap(m, 0, 7));
    EXPECT_EQ(unmap(m, 0, 8), SCSI_GOOD);
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH), unmap(m, 1, 5000));
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH),
                 RUN(m, 16, UNMAP, 0, 0, 0, 0, 0, 0, 0, 24)); /* the buffer is shorter */
    EXPECT_BAD_CDB(m, 1, RUN(m, 24, UNMAP, 1, 0, 0, 0, 0, 0, 0, 24)); /* anchor */
    DISK->err = -EOPNOTSUPP;
    range(m, 0, 8, 8);
    EXPECT_EQ(unmap(m, 1, 24), SCSI_GOOD); /* advice */
    DISK->err = -EIO;
    EXPECT_SENSE(m, SENSE(SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR), unmap(m, 1, 24));
    DISK->disk.discard_block = 0;
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_OPCODE), unmap(m, 1, 24));
}

/* ---- WRITE SAME ------------------------------------------------------------------------------ */

TEST(write_same_with_a_pattern_and_with_zeros)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    fill(m, 512, 9);
    EXPECT_EQ(RUN(m, 512, WRITE_SAME_10, 0, 0, 0, 0, 10, 0, 0, 3), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 512);
    for (unsigned i = 10; i < 13; i++)
        EXPECT(on_disk(m, i, 512));
    EXPECT_EQ(DISK->data[13 * 512], 0);
    EXPECT_EQ(DISK->n[DISK_WRITE], 1);
    /* To the end, in pieces of a mebibyte. */
    EXPECT_EQ(RUN(m, 512, WRITE_SAME_16, 8, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0), SCSI_GOOD);
    EXPECT(on_disk(m, 100, 512) && on_disk(m, BLOCKS - 1, 512));
    EXPECT_EQ(DISK->n[DISK_WRITE], 3);
    EXPECT_EQ(DISK->flags, 0); /* a pattern is not unmapped */
    memset(m->data, 0, 512);
    EXPECT_EQ(RUN(m, 512, WRITE_SAME_16, 8, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 1, 0), SCSI_GOOD);
    EXPECT_EQ(DISK->n[DISK_WRITE_ZEROES], 1);
    EXPECT_EQ(DISK->flags, DISK_UNMAP);
    EXPECT_EQ(DISK->len, 256 * 512);
    EXPECT_EQ(DISK->data[100 * 512], 0);
    EXPECT_EQ(RUN(m, 0, WRITE_SAME_16, 1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 3), SCSI_GOOD); /* NDOB */
    EXPECT_EQ(DISK->n[DISK_WRITE_ZEROES], 2);
    EXPECT_EQ(DISK->flags, 0);
    EXPECT_EQ(m->rq.moved, 0);
}

TEST(write_same_that_is_wrong)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_BAD_CDB(m, 1, RUN(m, 512, WRITE_SAME_10, 1, 0, 0, 0, 0, 0, 0, 1)); /* (16) only */
    EXPECT_BAD_CDB(m, 1, RUN(m, 512, WRITE_SAME_16, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_BAD_CDB(m, 1, RUN(m, 512, WRITE_SAME_16, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 512, WRITE_SAME_10, 0, 0, 0, 0x0f, 0xff, 0, 0, 2));
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 512, WRITE_SAME_10, 0, 0, 0, BLOCKS >> 8, 0)); /* from the end to the end */
    EXPECT_SENSE(m, ILLEGAL(ASC_LBA_OUT_OF_RANGE),
                 RUN(m, 512, WRITE_SAME_16, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff));
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH),
                 RUN(m, 511, WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 1));
    m->data[0] = 1;
    DISK->err = -EIO;
    EXPECT_SENSE(m, SENSE(SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR),
                 RUN(m, 512, WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 1));
}

/* ---- capacity, start and stop ---------------------------------------------------------------- */

TEST(capacities)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_DATA(m, RUN(m, 8, READ_CAPACITY_10), 0, 0, 0x0f, 0xff, 0, 0, 2, 0);
    EXPECT_DATA(m, RUN(m, 32, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32),
                0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 2, 0, 0, 3 /* 8 blocks in a physical one */,
                0x80 /* thin */, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_DATA(m, RUN(m, 32, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12),
                0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 2, 0);
    DISK->disk.size = UINT64_C(64) << 40; /* 64 TiB in blocks of 4096 */
    DISK->disk.block = 4096;
    DISK->disk.discard_block = 0;
    EXPECT_DATA(m, RUN(m, 8, READ_CAPACITY_10), 0xff, 0xff, 0xff, 0xff, 0, 0, 0x10, 0);
    EXPECT_DATA(m, RUN(m, 16, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32),
                0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x10, 0, 0, 0, 0, 0);
}

TEST(blocks_of_4096)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    DISK->disk.block = 4096;
    scsi_model_renew(m, false);
    fill(m, 8192, 3);
    EXPECT_EQ(RUN(m, 8192, WRITE_10, 0, 0, 0, 0, 3, 0, 0, 2), SCSI_GOOD);
    EXPECT_EQ(DISK->off, 3 * 4096);
    EXPECT(on_disk(m, 24, 8192));
    EXPECT_BAD_CDB(m, 7, RUN(m, 4095, READ_10, 0, 0, 0, 0, 3, 0, 0, 1));
    EXPECT_EQ(RUN(m, 4096, WRITE_SAME_10, 0, 0, 0, 0, 0, 0, 0, 2), SCSI_GOOD);
    EXPECT(on_disk(m, 0, 4096) && on_disk(m, 8, 4096));
}

TEST(start_stop_and_ready)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();
    unsigned stopped = SENSE(SENSE_NOT_READY, ASC_NEEDS_START);

    EXPECT_EQ(RUN(m, 0, TEST_UNIT_READY), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 0, START_STOP_UNIT), SCSI_GOOD);
    EXPECT_EQ(DISK->n[DISK_FLUSH], 1); /* what was written is kept */
    EXPECT_SENSE(m, stopped, RUN(m, 0, TEST_UNIT_READY));
    EXPECT_SENSE(m, stopped, RUN(m, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1));
    EXPECT_EQ(RUN(m, 36, INQUIRY, 0, 0, 0, 36), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 0, START_STOP_UNIT, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(RUN(m, 0, TEST_UNIT_READY), SCSI_GOOD);
    EXPECT_BAD_CDB(m, 4, RUN(m, 0, START_STOP_UNIT, 0, 0, 0, 2)); /* nothing to eject */
    DISK->err = -EIO;
    EXPECT_SENSE(m, SENSE(SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR), RUN(m, 0, START_STOP_UNIT));
    DISK->err = 0;
    EXPECT_EQ(RUN(m, 0, TEST_UNIT_READY), SCSI_GOOD); /* and so it was not stopped */
}

/* ---- attentions and sense -------------------------------------------------------------------- */

TEST(a_new_size_is_told_once_to_each)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();
    unsigned grown = SENSE(SENSE_UNIT_ATTENTION, ASC_CAPACITY_CHANGED);

    EXPECT_EQ(RUN_AS(m, 7, 0, TEST_UNIT_READY), SCSI_GOOD);
    scsi_unit_resized(m->unit);
    EXPECT_EQ(RUN_AS(m, 7, 36, INQUIRY, 0, 0, 0, 36), SCSI_GOOD); /* does not care */
    EXPECT_SENSE(m, grown, RUN_AS(m, 7, 0, TEST_UNIT_READY));
    EXPECT_EQ(RUN_AS(m, 7, 0, TEST_UNIT_READY), SCSI_GOOD);
    EXPECT_SENSE(m, grown, RUN_AS(m, 8, 0, TEST_UNIT_READY)); /* one that was not seen before */
    EXPECT_EQ(RUN_AS(m, 8, 0, TEST_UNIT_READY), SCSI_GOOD);
}

TEST(request_sense)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();

    EXPECT_DATA(m, RUN(m, 252, REQUEST_SENSE, 0, 0, 0, 252), 0x70, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0);
    scsi_unit_resized(m->unit);
    EXPECT_DATA(m, RUN(m, 252, REQUEST_SENSE, 0, 0, 0, 252), 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0,
                0x2a, 0x09, 0, 0, 0, 0);
    EXPECT_EQ(RUN(m, 0, TEST_UNIT_READY), SCSI_GOOD); /* that was it */
    EXPECT_DATA(m, RUN(m, 252, REQUEST_SENSE, 0, 0, 0, 3), 0x70, 0, 0);
    EXPECT_BAD_CDB(m, 1, RUN(m, 252, REQUEST_SENSE, 1, 0, 0, 252));
}

TEST(supported_operation_codes)
{
    AUTO(scsi_model_done) struct scsi_model *m = model();
    bool found = false;

    EXPECT_EQ(RUN(m, 4096, 0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x10, 0), SCSI_GOOD);
    EXPECT_EQ(get_be32(m->data) + 4, m->rq.moved);
    for (unsigned at = 4; at < m->rq.moved; at += 8) {
        static const uint8_t want[8] = { SERVICE_ACTION_IN_16, 0, 0, 0x10, 0, 1, 0, 16 };
        found |= memcmp(m->data + at, want, 8) == 0;
        EXPECT(m->data[at] != READ_TOC);
    }
    EXPECT(found);
    EXPECT_DATA(m, RUN(m, 64, 0xa3, 0x0c, 1, READ_10, 0, 0, 0, 0, 0, 64), 0, 3, 0, 10, READ_10, 0xff,
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
    EXPECT_DATA(m, RUN(m, 64, 0xa3, 0x0c, 1, 0xf7, 0, 0, 0, 0, 0, 64), 0, 1, 0, 0);
    EXPECT_BAD_CDB(m, 2, RUN(m, 64, 0xa3, 0x0c, 3, 0, 0, 0, 0, 0, 0, 64));
}
