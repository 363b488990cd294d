/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi_test.c - units over a raw file in /tmp, commands as a guest's driver sends them. */
#include "scsi/scsi.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/state.h"
#include "base/test.h"

#define DISK_SIZE (8 * MIB)

struct bench {
    struct clock clock;
    struct loop *loop;
    struct disk_io *io;
    struct disk *disk;
    struct scsi_unit *unit;
    struct scsi_identity id;
    struct scsi_rq rq;
    struct iovec iov[2];
    uint8_t data[256 * 1024];
    bool done;
    char path[40];
};

static void on_done(struct scsi_rq *rq)
{
    struct bench *b = container_of(rq, struct bench, rq);

    EXPECT(!b->done);
    b->done = true;
}

static void setup(struct bench *b, bool writable)
{
    struct err err;

    memset(b, 0, sizeof *b);
    snprintf(b->path, sizeof b->path, "/tmp/scsi_test.XXXXXX");
    int fd = mkstemp(b->path);
    EXPECT(fd >= 0 && ftruncate(fd, DISK_SIZE) == 0);
    close(fd);
    clock_init(&b->clock);
    b->loop = loop_new(&b->clock);
    b->io = disk_io_new(b->loop, DISK_IO_AUTO, &err);
    struct disk_open how = { .writable = writable, .format = DISK_FMT_RAW };
    if (disk_open(b->io, b->path, &how, &b->disk, &err) < 0) {
        printf("# %s\n", err.text);
        abort();
    }
    scsi_identity_make(&b->id, b->disk, "test");
    b->unit = scsi_hard_disk_new(b->disk, &b->id);
}

static void teardown(struct bench *b)
{
    scsi_unit_free(b->unit);
    disk_close(b->disk, NULL);
    disk_io_free(b->io);
    loop_free(b->loop);
    unlink(b->path);
}

/* Run one command over b->data[0 .. len), split in two buffers; returns the SCSI status. */
static unsigned run_as(struct bench *b, uint64_t initiator, const uint8_t *cdb, size_t n, uint32_t len)
{
    memset(b->rq.cdb, 0, sizeof b->rq.cdb);
    memcpy(b->rq.cdb, cdb, n);
    b->rq.initiator = initiator;
    b->iov[0] = (struct iovec){ b->data, len / 2 };
    b->iov[1] = (struct iovec){ b->data + len / 2, len - len / 2 };
    b->rq.iov = b->iov;
    b->rq.n_iov = len ? 2 : 0;
    b->rq.len = len;
    b->rq.done = on_done;
    b->done = false;
    scsi_exec(b->unit, &b->rq);
    while (!b->done)
        loop_poll(b->loop);
    return b->rq.status;
}

#define RUN(b, len, ...) \
    run_as(b, 1, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), len)
#define RUN_AS(b, who, len, ...) \
    run_as(b, who, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }), len)

static unsigned asc(const struct bench *b)
{
    return b->rq.sense_len ? get_be16(b->rq.sense + 12) : 0;
}

TEST(inquiry_tells_what_linux_wants)
{
    struct bench *b = calloc(1, sizeof *b);

    setup(b, true);
    EXPECT_EQ(RUN(b, 36, INQUIRY, 0, 0, 0, 36), SCSI_GOOD);
    EXPECT_EQ(b->rq.moved, 36);
    EXPECT_EQ(b->data[0], 0);
    EXPECT(memcmp(b->data + 8, "Msft    Virtual Disk    ", 24) == 0);
    EXPECT_EQ(RUN(b, 255, INQUIRY, 1, 0, 0, 255), SCSI_GOOD);
    EXPECT_EQ(get_be16(b->data + 2), 6); /* 00 80 83 b0 b1 b2 */
    for (unsigned i = 0; i < 6; i++) {
        uint8_t page = b->data[4 + i];
        static const uint8_t want[] = { 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2 };
        EXPECT_EQ(page, want[i]);
    }
    EXPECT_EQ(RUN(b, 4, INQUIRY, 1, 0x83, 0, 4), SCSI_GOOD);
    EXPECT_EQ(b->rq.moved, 4);
    EXPECT_EQ(RUN(b, 255, INQUIRY, 1, 0x99, 0, 255), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_INVALID_FIELD_IN_CDB);
    EXPECT_EQ(b->rq.sense[15], 0xc0); /* field pointer: byte 2 of the CDB */
    EXPECT_EQ(get_be16(b->rq.sense + 16), 2);
    teardown(b);
    free(b);
}

TEST(capacity_read_write_and_the_edges)
{
    struct bench *b = calloc(1, sizeof *b);
    uint32_t blocks = DISK_SIZE / 512;

    setup(b, true);
    EXPECT_EQ(RUN(b, 8, READ_CAPACITY_10), SCSI_GOOD);
    EXPECT_EQ(get_be32(b->data), blocks - 1);
    EXPECT_EQ(RUN(b, 32, SERVICE_ACTION_IN_16, SAI_READ_CAPACITY_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                  0, 32), SCSI_GOOD);
    EXPECT_EQ(get_be64(b->data), blocks - 1);
    for (unsigned i = 0; i < 65536; i++)
        b->data[i] = (uint8_t)(i * 7 + i / 256);
    EXPECT_EQ(RUN(b, 65536, WRITE_10, 0, 0, 0, 0, 5, 0, 0, 128), SCSI_GOOD);
    EXPECT_EQ(b->rq.moved, 65536);
    memset(b->data, 0, 65536);
    EXPECT_EQ(RUN(b, 65536, READ_16, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 128), SCSI_GOOD);
    unsigned wrong = 0;
    for (unsigned i = 0; i < 65536; i++)
        wrong += b->data[i] != (uint8_t)(i * 7 + i / 256);
    EXPECT_EQ(wrong, 0);
    /* The last block, and one past it. */
    EXPECT_EQ(RUN(b, 512, READ_10, 0, 0, 0, 0x3f, 0xff, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(RUN(b, 1024, READ_10, 0, 0, 0, 0x3f, 0xff, 0, 0, 2), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_LBA_OUT_OF_RANGE);
    EXPECT_EQ(RUN(b, 512, READ_16, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1),
              SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_LBA_OUT_OF_RANGE);
    /* A buffer that is too small for what the CDB asks. */
    EXPECT_EQ(RUN(b, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 2), SCSI_CHECK_CONDITION);
    EXPECT_EQ(RUN(b, 0, 0xf7), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_INVALID_OPCODE);
    teardown(b);
    free(b);
}

TEST(verify_compares_and_write_same_repeats)
{
    struct bench *b = calloc(1, sizeof *b);

    setup(b, true);
    memset(b->data, 0x5a, 512);
    EXPECT_EQ(RUN(b, 512, WRITE_SAME_16, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0x10, 0), SCSI_GOOD);
    memset(b->data, 0x5a, 4096);
    EXPECT_EQ(RUN(b, 4096, VERIFY_10, 2, 0, 0, 0, 16, 0, 0, 8), SCSI_GOOD);
    b->data[4000] = 0;
    EXPECT_EQ(RUN(b, 4096, VERIFY_10, 2, 0, 0, 0, 16, 0, 0, 8), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_MISCOMPARE);
    EXPECT_EQ(RUN(b, 4096, READ_10, 0, 0, 0, 0x10, 8, 0, 0, 8), SCSI_GOOD);
    EXPECT_EQ(b->data[0], 0x5a);
    EXPECT_EQ(RUN(b, 4096, READ_10, 0, 0, 0, 0x10, 16, 0, 0, 8), SCSI_GOOD);
    EXPECT_EQ(b->data[0], 0); /* behind the end */
    /* UNMAP of what was written. */
    memset(b->data, 0, 24);
    put_be16(b->data, 22);
    put_be16(b->data + 2, 16);
    put_be64(b->data + 8, 16);
    put_be32(b->data + 16, 0x1000);
    EXPECT_EQ(RUN(b, 24, UNMAP, 0, 0, 0, 0, 0, 0, 0, 24), SCSI_GOOD);
    put_be64(b->data + 8, UINT64_MAX - 3);
    EXPECT_EQ(RUN(b, 24, UNMAP, 0, 0, 0, 0, 0, 0, 0, 24), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_LBA_OUT_OF_RANGE);
    teardown(b);
    free(b);
}

TEST(mode_pages_change_only_where_they_may)
{
    struct bench *b = calloc(1, sizeof *b);

    setup(b, true);
    EXPECT_EQ(RUN(b, 192, MODE_SENSE_6, 0, 0x3f, 0, 192), SCSI_GOOD);
    EXPECT_EQ(b->data[0] + 1u, b->rq.moved);
    EXPECT_EQ(b->data[3], 8); /* one block descriptor */
    EXPECT_EQ(RUN(b, 192, MODE_SENSE_10, 8, 8, 0, 0, 0, 0, 0, 192), SCSI_GOOD);
    unsigned n = get_be16(b->data) + 2u;
    EXPECT_EQ(b->data[8], 8);
    b->data[0] = b->data[1] = 0;
    b->data[10] ^= 4; /* WCE may change */
    EXPECT_EQ(RUN(b, n, MODE_SELECT_10, 0x10, 0, 0, 0, 0, 0, 0, (uint8_t)n), SCSI_GOOD);
    b->data[11] ^= 1; /* this may not */
    EXPECT_EQ(RUN(b, n, MODE_SELECT_10, 0x10, 0, 0, 0, 0, 0, 0, (uint8_t)n), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_INVALID_FIELD_IN_PARAMETERS);
    EXPECT_EQ(RUN(b, 5, MODE_SELECT_10, 0x10, 0, 0, 0, 0, 0, 0, 5), SCSI_CHECK_CONDITION);
    EXPECT_EQ(RUN(b, 192, MODE_SENSE_6, 0, 0x2a, 0, 192), SCSI_CHECK_CONDITION);
    teardown(b);
    free(b);
}

static unsigned prout(struct bench *b, uint64_t who, uint8_t action, uint8_t type, uint64_t key,
                      uint64_t action_key)
{
    memset(b->data, 0, 24);
    put_be64(b->data, key);
    put_be64(b->data + 8, action_key);
    return RUN_AS(b, who, 24, PERSISTENT_RESERVE_OUT, action, type, 0, 0, 0, 0, 0, 24);
}

TEST(persistent_reservations_keep_others_out)
{
    struct bench *b = calloc(1, sizeof *b);

    setup(b, true);
    EXPECT_EQ(prout(b, 1, 0, 0, 0, 0xaaaa), SCSI_GOOD);               /* register */
    EXPECT_EQ(prout(b, 1, 1, 5, 0xaaaa, 0), SCSI_GOOD);               /* reserve: WE, registrants */
    EXPECT_EQ(RUN_AS(b, 2, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_RESERVATION_CONFLICT);
    EXPECT_EQ(RUN_AS(b, 2, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(prout(b, 2, 0, 0, 0, 0xbbbb), SCSI_GOOD);
    EXPECT_EQ(RUN_AS(b, 2, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(RUN_AS(b, 2, 64, PERSISTENT_RESERVE_IN, 0, 0, 0, 0, 0, 0, 0, 64), SCSI_GOOD);
    EXPECT_EQ(get_be32(b->data + 4), 16);
    EXPECT_EQ(prout(b, 2, 4, 3, 0xbbbb, 0xaaaa), SCSI_GOOD);          /* preempt 1 */
    EXPECT_EQ(RUN_AS(b, 1, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_REGISTRATIONS_PREEMPTED);
    EXPECT_EQ(RUN_AS(b, 1, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_RESERVATION_CONFLICT);
    EXPECT_EQ(prout(b, 2, 2, 3, 0xbbbb, 0), SCSI_GOOD);               /* release */
    EXPECT_EQ(RUN_AS(b, 1, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(prout(b, 1, 1, 1, 0xaaaa, 0), SCSI_RESERVATION_CONFLICT); /* no longer registered */
    teardown(b);
    free(b);
}

TEST(a_read_only_disk_says_so)
{
    struct bench *b = calloc(1, sizeof *b);

    setup(b, false);
    EXPECT_EQ(RUN(b, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_WRITE_PROTECTED);
    EXPECT_EQ(RUN(b, 192, MODE_SENSE_6, 0, 0x3f, 0, 192), SCSI_GOOD);
    EXPECT(b->data[2] & 0x80);
    teardown(b);
    free(b);
}

TEST(a_drive_without_and_with_a_medium)
{
    struct bench *b = calloc(1, sizeof *b);

    setup(b, false);
    scsi_unit_free(b->unit);
    b->unit = scsi_optical_new(NULL, &b->id);
    EXPECT_EQ(RUN(b, 0, TEST_UNIT_READY), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_NO_MEDIUM);
    EXPECT_EQ(scsi_optical_change(b->unit, b->disk, false), 0);
    EXPECT_EQ(RUN(b, 0, TEST_UNIT_READY), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_MEDIUM_CHANGED);
    EXPECT_EQ(RUN(b, 0, TEST_UNIT_READY), SCSI_GOOD);
    EXPECT_EQ(RUN(b, 8, READ_CAPACITY_10), SCSI_GOOD);
    EXPECT_EQ(get_be32(b->data), DISK_SIZE / 2048 - 1);
    EXPECT_EQ(RUN(b, 4096, READ_10, 0, 0, 0, 0, 1, 0, 0, 2), SCSI_GOOD);
    EXPECT_EQ(RUN(b, 0, PREVENT_ALLOW_REMOVAL, 0, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(scsi_optical_change(b->unit, NULL, false), -EBUSY);
    EXPECT_EQ(RUN(b, 0, START_STOP_UNIT, 0, 0, 0, 2), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_REMOVAL_PREVENTED);
    EXPECT_EQ(RUN(b, 0, PREVENT_ALLOW_REMOVAL, 0, 0, 0, 0), SCSI_GOOD);
    EXPECT_EQ(RUN(b, 0, START_STOP_UNIT, 0, 0, 0, 2), SCSI_GOOD);
    EXPECT_EQ(RUN(b, 0, TEST_UNIT_READY), SCSI_CHECK_CONDITION);
    EXPECT_EQ(asc(b), ASC_NO_MEDIUM_TRAY_OPEN);
    teardown(b);
    free(b);
}

/* No command block makes a unit forget its answer, and none reaches outside its buffer. */
TEST(any_bytes_get_exactly_one_answer)
{
    struct bench *b = calloc(1, sizeof *b);
    uint64_t x = 88172645463325252;

    setup(b, true);
    for (unsigned i = 0; i < 20000; i++) {
        const struct { uint8_t op; } ops[] = {
            { READ_10 }, { WRITE_10 }, { VERIFY_16 }, { WRITE_SAME_10 }, { UNMAP }, { INQUIRY },
            { MODE_SENSE_10 }, { MODE_SELECT_6 }, { PERSISTENT_RESERVE_IN },
            { PERSISTENT_RESERVE_OUT }, { MAINTENANCE_IN }, { REQUEST_SENSE }, { WRITE_SAME_16 },
        };
        uint8_t cdb[16];
        for (unsigned k = 0; k < 16; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            cdb[k] = (uint8_t)(x & 3 ? 0 : x >> 8);
        }
        cdb[0] = i % 3 ? ops[x % ARRAY_LEN(ops)].op : (uint8_t)(x >> 20);
        if (cdb[0] == WRITE_SAME_10 || cdb[0] == WRITE_SAME_16 || cdb[0] == VERIFY_16)
            cdb[2] = cdb[10] = cdb[11] = 0xff; /* mostly refused: whole-disk work is slow */
        run_as(b, 1 + (x >> 40) % 3, cdb, 16, (uint32_t)(x >> 50));
        EXPECT(b->rq.moved <= b->rq.len);
    }
    teardown(b);
    free(b);
}
