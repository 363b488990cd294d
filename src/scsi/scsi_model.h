/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi_model.h - for tests: one unit over a disk in memory, and an initiator that sends it command
 * blocks and looks at each byte of the answer. */
#pragma once

#include "base/bytes.h"
#include "base/test.h"
#include "disk/mem_model.h"
#include "scsi/scsi.h"

#define SCSI_MODEL_BLOCKS 4096u
#define SCSI_MODEL_DATA   (1u << 20)

struct scsi_model {
    struct clock clock;
    struct loop *loop;
    struct disk_io *io;
    struct mem_disk disk;
    struct scsi_unit *unit;
    struct scsi_rq rq;
    struct iovec iov[3];
    uint8_t data[SCSI_MODEL_DATA];
    unsigned n_done;
};

/* A hard disk of SCSI_MODEL_BLOCKS blocks, or a drive with a CD of that size in all. */
struct scsi_model *scsi_model_new(bool optical);
void scsi_model_free(struct scsi_model *m);

/* Forget the unit and make it anew, after a change of m->disk.disk. */
void scsi_model_renew(struct scsi_model *m, bool optical);

/* One command over m->data[0 .. len), in three buffers of odd sizes: the status.  What of the data was
 * not transferred is untouched. */
unsigned scsi_model_run(struct scsi_model *m, uint64_t initiator, const void *cdb, size_t n,
                        uint32_t len);

/* Sense key << 16 | additional code; 0: no sense. */
unsigned scsi_model_sense(const struct scsi_model *m);

/* The field that the sense data points to: byte of the CDB, 0x8000 + byte of the parameters; -1. */
int scsi_model_field(const struct scsi_model *m);

#define RUN_AS(m, who, len, ...)                                    \
    scsi_model_run(m, who, (const uint8_t[]){ __VA_ARGS__ },        \
                   sizeof((const uint8_t[]){ __VA_ARGS__ }), len)
#define RUN(m, len, ...) RUN_AS(m, 1, len, __VA_ARGS__)

#define SENSE(key, asc) ((unsigned)(key) << 16 | (unsigned)(asc))
#define ILLEGAL(asc)    SENSE(SENSE_ILLEGAL_REQUEST, asc)

/* The command fails with this sense, and moves nothing. */
#define EXPECT_SENSE(m, want, run)                    \
    do {                                              \
        EXPECT_EQ(run, SCSI_CHECK_CONDITION);         \
        EXPECT_EQ(scsi_model_sense(m), want);         \
        EXPECT_EQ((m)->rq.moved, 0);                  \
    } while (0)
#define EXPECT_BAD_CDB(m, byte, run)                                  \
    do {                                                              \
        EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_FIELD_IN_CDB), run);      \
        EXPECT_EQ(scsi_model_field(m), byte);                         \
    } while (0)
/* It succeeds and moves exactly these bytes. */
#define EXPECT_DATA(m, run, ...)                                                      \
    do {                                                                              \
        static const uint8_t want_[] = { __VA_ARGS__ };                               \
        EXPECT_EQ(run, SCSI_GOOD);                                                    \
        scsi_model_compare(m, want_, sizeof want_, __FILE__, __LINE__);               \
    } while (0)
/* Here, so that fuzz targets need no test.c. */
static inline void scsi_model_compare(const struct scsi_model *m, const uint8_t *want, size_t n,
                                      const char *file, int line)
{
    if (m->rq.moved != n)
        test_fail(file, line, "%u bytes, %zu were expected", m->rq.moved, n);
    for (size_t i = 0; i < MIN(n, m->rq.moved); i++)
        if (m->data[i] != want[i]) {
            test_fail(file, line, "byte %zu is %#x, not %#x", i, m->data[i], want[i]);
            return;
        }
}

static inline void scsi_model_done(struct scsi_model **m)
{
    scsi_model_free(*m);
}
