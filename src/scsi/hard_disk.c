/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hard_disk.c - the direct access block device of SBC-3 over a struct disk. */
#include <assert.h>
#include <errno.h>

#include "base/bytes.h"
#include "scsi/unit.h"

#define VERIFY_CHUNK  (1u << 20) /* bytes compared at a time */
#define PATTERN_CHUNK (1u << 20) /* bytes of a WRITE SAME pattern written at a time */

static uint32_t block_size(const struct scsi_unit *u)
{
    return u->disk->block;
}

/* Do the command's blocks lie on the disk?  Answers if not. */
static bool on_disk(struct scsi_unit *u, struct scsi_rq *rq, uint64_t lba, uint64_t blocks)
{
    if (range_ok(lba, blocks, u->disk->size / block_size(u)))
        return true;
    unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    return false;
}

static bool writable(struct scsi_unit *u, struct scsi_rq *rq)
{
    if (!u->disk->read_only)
        return true;
    unit_sense(rq, SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    return false;
}

static void start(struct scsi_rq *rq, enum disk_op op, uint64_t off, uint64_t len, uint32_t flags,
                  void (*done)(struct disk_rq *d, int err))
{
    rq->disk.op = op;
    rq->disk.off = off;
    rq->disk.len = len;
    rq->disk.flags = flags;
    rq->disk.done = done;
    disk_submit(rq->unit->disk, &rq->disk);
}

static struct scsi_rq *rq_of(struct disk_rq *d)
{
    return container_of(d, struct scsi_rq, disk);
}

/* ---- READ, WRITE ----------------------------------------------------------------------------- */

/* Shorten the buffer to exactly 'n' bytes (n <= rq->len). */
static void trim_iov(struct scsi_rq *rq, uint64_t n)
{
    unsigned i = 0;

    for (; n && i < rq->n_iov; i++) {
        rq->iov[i].iov_len = MIN(rq->iov[i].iov_len, n);
        n -= rq->iov[i].iov_len;
    }
    rq->n_iov = i;
}

static void read_done(struct disk_rq *d, int err)
{
    struct scsi_rq *rq = rq_of(d);

    rq->moved = err ? 0 : (uint32_t)d->len;
    unit_disk_result(rq, err, ASC_READ_ERROR);
}

static void write_done(struct disk_rq *d, int err)
{
    struct scsi_rq *rq = rq_of(d);

    rq->moved = err ? 0 : (uint32_t)d->len;
    unit_disk_result(rq, err, ASC_WRITE_ERROR);
}

static void read_write(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    bool write = c->data == DATA_OUT;
    uint64_t len = (uint64_t)c->blocks * block_size(u);
    uint32_t flags = 0;

    if (c->opcode != READ_6 && c->opcode != WRITE_6 && c->cdb[1] >> 5) { /* protection information */
        unit_bad_cdb(rq, 1);
        return;
    }
    if (!on_disk(u, rq, c->lba, c->blocks) || (write && !writable(u, rq)))
        return;
    if (!len) {
        unit_good(rq);
        return;
    }
    if (len > rq->len || len > DISK_LEN_MAX) { /* the transport's buffer is too small */
        unit_bad_cdb(rq, c->length_at);
        return;
    }
    trim_iov(rq, len);
    if (write && (c->fua || !u->write_cache))
        flags = DISK_FUA;
    rq->disk.iov = rq->iov;
    rq->disk.n_iov = rq->n_iov;
    start(rq, write ? DISK_WRITE : DISK_READ, c->lba * block_size(u), len, flags,
          write ? write_done : read_done);
}

/* ---- WRITE AND VERIFY: write through; the disk layer reports what it could not store --------- */

static void write_and_verify(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    struct scsi_cmd through = *c;

    through.fua = true;
    read_write(u, rq, &through);
}

/* ---- VERIFY: read in pieces, compare with the buffer when asked ------------------------------ */

static bool same_as_buffer(const struct scsi_rq *rq, const uint8_t *got, uint64_t skip, size_t n)
{
    for (unsigned i = 0; i < rq->n_iov && n; i++) {
        const struct iovec *v = &rq->iov[i];
        if (skip >= v->iov_len) {
            skip -= v->iov_len;
            continue;
        }
        size_t here = MIN(v->iov_len - skip, n);
        if (memcmp((const char *)v->iov_base + skip, got, here) != 0)
            return false;
        got += here;
        n -= here;
        skip = 0;
    }
    return n == 0;
}

static void verify_next(struct scsi_rq *rq);

static void verify_done(struct disk_rq *d, int err)
{
    struct scsi_rq *rq = rq_of(d);
    bool compare = rq->moved != 0; /* bytes of the buffer that stand for the whole range */

    if (err) {
        rq->moved = 0;
        unit_disk_result(rq, err, ASC_READ_ERROR);
        return;
    }
    if (compare && !same_as_buffer(rq, rq->bounce, rq->moved - (rq->end_off - d->off), d->len)) {
        unit_sense(rq, SENSE_MISCOMPARE, ASC_MISCOMPARE);
        return;
    }
    rq->next_off += d->len;
    verify_next(rq);
}

static void verify_next(struct scsi_rq *rq)
{
    uint64_t len = MIN(rq->end_off - rq->next_off, VERIFY_CHUNK);

    if (!len) {
        unit_good(rq);
        return;
    }
    rq->own_iov = (struct iovec){ rq->bounce, len };
    rq->disk.iov = &rq->own_iov;
    rq->disk.n_iov = 1;
    start(rq, DISK_READ, rq->next_off, len, 0, verify_done);
}

static void verify(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint64_t len = (uint64_t)c->blocks * block_size(u);

    if (c->bytchk > 1 || c->cdb[1] >> 5) {
        unit_bad_cdb(rq, 1);
        return;
    }
    if (!on_disk(u, rq, c->lba, c->blocks))
        return;
    if (c->bytchk && len > rq->len) {
        unit_bad_cdb(rq, c->length_at);
        return;
    }
    rq->bounce = malloc(MIN(MAX(len, 1), VERIFY_CHUNK));
    if (!rq->bounce) {
        unit_status(rq, SCSI_BUSY);
        return;
    }
    rq->moved = c->bytchk ? (uint32_t)len : 0;
    rq->next_off = c->lba * block_size(u);
    rq->end_off = rq->next_off + len;
    verify_next(rq);
}

/* ---- SYNCHRONIZE CACHE ----------------------------------------------------------------------- */

static void flush_done(struct disk_rq *d, int err)
{
    unit_disk_result(rq_of(d), err, ASC_WRITE_ERROR);
}

static void synchronize(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    if (!on_disk(u, rq, c->lba, c->blocks))
        return;
    start(rq, DISK_FLUSH, 0, 0, 0, flush_done);
}

/* ---- UNMAP: SBC-3 5.28 ----------------------------------------------------------------------- */

static void unmap_next(struct scsi_rq *rq);

static void unmap_done(struct disk_rq *d, int err)
{
    struct scsi_rq *rq = rq_of(d);

    if (err && err != -EOPNOTSUPP) { /* a disk that cannot, need not: unmapping is advice */
        unit_disk_result(rq, err, ASC_WRITE_ERROR);
        return;
    }
    unmap_next(rq);
}

static void unmap_next(struct scsi_rq *rq)
{
    uint32_t block = block_size(rq->unit);

    while (rq->unmap_i < rq->unmap_n) {
        const uint8_t *d = rq->reply + 8 + 16 * rq->unmap_i++;
        uint64_t lba = get_be64(d), n = get_be32(d + 8);
        if (!n)
            continue;
        start(rq, DISK_DISCARD, lba * block, n * block, 0, unmap_done);
        return;
    }
    unit_good(rq);
}

static void unmap(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    const uint8_t *p = rq->reply;

    if (c->cdb[1] & 1) { /* anchor */
        unit_bad_cdb(rq, 1);
        return;
    }
    if (!u->disk->discard_block) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
        return;
    }
    if (!writable(u, rq))
        return;
    if (!c->alloc) {
        unit_good(rq);
        return;
    }
    if (c->alloc < 8) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
        return;
    }
    if (!unit_parameters(rq, c->alloc))
        return;
    rq->unmap_i = 0;
    rq->unmap_n = MIN(get_be16(p + 2), c->alloc - 8) / 16;
    for (unsigned i = 0; i < rq->unmap_n; i++) {
        const uint8_t *d = p + 8 + 16 * i;
        if (!on_disk(u, rq, get_be64(d), get_be32(d + 8)))
            return;
    }
    unmap_next(rq);
}

/* ---- WRITE SAME: SBC-3 5.42 ------------------------------------------------------------------ */

static void pattern_next(struct scsi_rq *rq);

static void pattern_done(struct disk_rq *d, int err)
{
    struct scsi_rq *rq = rq_of(d);

    if (err) {
        rq->moved = 0;
        unit_disk_result(rq, err, ASC_WRITE_ERROR);
        return;
    }
    rq->next_off += d->len;
    pattern_next(rq);
}

static void pattern_next(struct scsi_rq *rq)
{
    uint64_t len = MIN(rq->end_off - rq->next_off, PATTERN_CHUNK);

    if (!len) {
        unit_good(rq);
        return;
    }
    if (!rq->bounce) { /* all zero: the disk knows a better way */
        len = MIN(rq->end_off - rq->next_off, DISK_LEN_MAX);
        start(rq, DISK_WRITE_ZEROES, rq->next_off, len, rq->disk.flags, pattern_done);
        return;
    }
    rq->own_iov = (struct iovec){ rq->bounce, len };
    rq->disk.iov = &rq->own_iov;
    rq->disk.n_iov = 1;
    start(rq, DISK_WRITE, rq->next_off, len, rq->disk.flags, pattern_done);
}

static bool all_zero(const uint8_t *p, size_t n)
{
    while (n && !*p)
        p++, n--;
    return n == 0;
}

/* The pattern, repeated up to a chunk.  false: no memory. */
static bool spread_pattern(struct scsi_rq *rq, uint32_t block)
{
    uint64_t n = MIN(rq->end_off - rq->next_off, PATTERN_CHUNK);

    rq->bounce = malloc(n);
    if (!rq->bounce)
        return false;
    for (uint64_t at = 0; at < n; at += block)
        memcpy(rq->bounce + at, rq->reply, block);
    return true;
}

static void write_same(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    bool ndob = c->opcode == WRITE_SAME_16 && c->ndob;
    uint64_t total = u->disk->size / block_size(u);
    uint64_t blocks = c->blocks ? c->blocks : MAX(total - MIN(c->lba, total), 1); /* 0: to the end */

    if (c->cdb[1] >> 5 || c->anchor || (c->opcode == WRITE_SAME_10 && c->ndob)) {
        unit_bad_cdb(rq, 1);
        return;
    }
    if (!on_disk(u, rq, c->lba, blocks) || !writable(u, rq))
        return;
    rq->next_off = c->lba * block_size(u);
    rq->end_off = rq->next_off + blocks * block_size(u);
    rq->disk.flags = (u->write_cache ? 0 : DISK_FUA) | (c->unmap ? DISK_UNMAP : 0);
    if (!ndob) {
        if (!unit_parameters(rq, block_size(u)))
            return;
        if (!all_zero(rq->reply, block_size(u)) && !spread_pattern(rq, block_size(u))) {
            unit_status(rq, SCSI_BUSY);
            return;
        }
        if (rq->bounce)
            rq->disk.flags &= ~DISK_UNMAP;
    }
    pattern_next(rq);
}

/* ---- capacity, start and stop ---------------------------------------------------------------- */

static void read_capacity_10(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint64_t last = u->disk->size / block_size(u) - 1;

    put_be32(rq->reply, last > UINT32_MAX ? UINT32_MAX : (uint32_t)last);
    put_be32(rq->reply + 4, block_size(u));
    unit_reply(rq, 8, 8);
}

static void read_capacity_16(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    const struct disk *d = u->disk;
    uint8_t *p = rq->reply;

    memset(p, 0, 32);
    put_be64(p, d->size / d->block - 1);
    put_be32(p + 8, d->block);
    p[13] = (uint8_t)__builtin_ctz(MAX(d->phys_block / d->block, 1u));
    if (d->discard_block)
        p[14] = 0x80; /* LBPME; LBPRZ stays clear: a discarded sector may keep its data */
    unit_reply(rq, 32, c->alloc);
}

static void start_stop_flushed(struct disk_rq *d, int err)
{
    struct scsi_rq *rq = rq_of(d);

    if (!err)
        rq->unit->stopped = 1;
    unit_disk_result(rq, err, ASC_WRITE_ERROR);
}

static void start_stop(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    if (c->cdb[4] & 0x02) { /* LOEJ: nothing to eject */
        unit_bad_cdb(rq, 4);
        return;
    }
    if (c->cdb[4] & 0x01) {
        u->stopped = 0;
        unit_good(rq);
        return;
    }
    start(rq, DISK_FLUSH, 0, 0, 0, start_stop_flushed);
}

static void test_unit_ready(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    unit_good(rq);
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static const struct command {
    uint8_t opcode;
    bool needs_start; /* refused while stopped */
    void (*run)(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
} commands[] = {
    { TEST_UNIT_READY, true, test_unit_ready },
    { READ_6, true, read_write },
    { READ_10, true, read_write },
    { READ_12, true, read_write },
    { READ_16, true, read_write },
    { WRITE_6, true, read_write },
    { WRITE_10, true, read_write },
    { WRITE_12, true, read_write },
    { WRITE_16, true, read_write },
    { WRITE_AND_VERIFY_10, true, write_and_verify },
    { WRITE_AND_VERIFY_12, true, write_and_verify },
    { WRITE_AND_VERIFY_16, true, write_and_verify },
    { VERIFY_10, true, verify },
    { VERIFY_12, true, verify },
    { VERIFY_16, true, verify },
    { SYNCHRONIZE_CACHE_10, true, synchronize },
    { SYNCHRONIZE_CACHE_16, true, synchronize },
    { UNMAP, true, unmap },
    { WRITE_SAME_10, true, write_same },
    { WRITE_SAME_16, true, write_same },
    { READ_CAPACITY_10, true, read_capacity_10 },
    { SERVICE_ACTION_IN_16, true, read_capacity_16 },
    { START_STOP_UNIT, false, start_stop },
    { RESERVE_6, false, reserve_6 },
    { RELEASE_6, false, reserve_6 },
    { PERSISTENT_RESERVE_IN, false, reserve_in },
    { PERSISTENT_RESERVE_OUT, false, reserve_out },
    /* These stand in unit.c. */
    { INQUIRY, false, NULL },
    { REQUEST_SENSE, false, NULL },
    { MODE_SENSE_6, false, NULL },
    { MODE_SENSE_10, false, NULL },
    { MODE_SELECT_6, false, NULL },
    { MODE_SELECT_10, false, NULL },
    { REPORT_LUNS, false, NULL }, /* the transport's */
    { MAINTENANCE_IN, false, NULL },
};

static const struct command *find(uint8_t opcode)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i].opcode == opcode)
            return &commands[i];
    return NULL;
}

bool hard_disk_knows(uint8_t opcode)
{
    return find(opcode) != NULL;
}

void hard_disk_exec(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    const struct command *cmd = find(c->opcode);

    if (!cmd || !cmd->run)
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
    else if (cmd->needs_start && u->stopped)
        unit_sense(rq, SENSE_NOT_READY, ASC_NEEDS_START);
    else
        cmd->run(u, rq, c);
}

struct scsi_unit *scsi_hard_disk_new(struct disk *d, const struct scsi_identity *id)
{
    struct scsi_unit *u = calloc(1, sizeof *u);

    /* MODE SENSE, WRITE SAME and the VPD pages build their answers from one block at most. */
    assert(d->block <= SCSI_REPLY_MAX && d->size >= d->block);
    if (!u)
        return NULL;
    u->type = 0;
    u->disk = d;
    u->id = *id;
    u->exec = hard_disk_exec;
    u->write_cache = d->write_cache;
    return u;
}
