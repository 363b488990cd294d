/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx_logfmt.c - log entries of VHDX: decoding, the search for the active sequence, encoding
 * ([MS-VHDX] 2.3).  Pure; declared in vhdx_meta.h. */
#include <errno.h>

#include "base/bytes.h"
#include "disk/guid.h"
#include "disk/vhdx_meta.h"

#define FIRST_DESCS 126 /* descriptors in the first sector, beside the header */
#define MORE_DESCS  128

static uint32_t desc_sectors(uint64_t n)
{
    return (uint32_t)((n + 2 + MORE_DESCS - 1) / MORE_DESCS);
}

/* Copy [at, at + n) of the ring, which may wrap. */
static void ring_copy(const uint8_t *ring, uint32_t len, uint32_t at, uint8_t *to, uint32_t n)
{
    uint32_t first = MIN(n, len - at);

    memcpy(to, ring + at, first);
    memcpy(to + first, ring, n - first);
}

static bool hits(uint64_t off, uint64_t len, uint64_t a, uint64_t a_len)
{
    return off < a + a_len && a < off + len;
}

/* Is the descriptor well formed, and does it leave headers and the log alone? */
static bool desc_ok(const uint8_t *d, uint64_t seq, uint64_t log_off, uint32_t log_len,
                    bool *ret_data)
{
    uint64_t off = get_le64(d + 16), len = VHDX_PAGE;

    *ret_data = memcmp(d, VHDX_LOG_DATA_DESC, 4) == 0;
    if (!*ret_data) {
        if (memcmp(d, VHDX_LOG_ZERO_DESC, 4) != 0)
            return false;
        len = get_le64(d + 8);
    }
    return get_le64(d + 24) == seq && off % VHDX_PAGE == 0 && len % VHDX_PAGE == 0 &&
           range_ok(off, len, VHDX_FILE_MAX) && off >= VHDX_REGION1_OFF &&
           !hits(off, len, log_off, log_len);
}

static bool data_sectors_ok(const uint8_t *e, uint32_t from, uint32_t to, uint64_t seq)
{
    for (uint32_t at = from; at < to; at += VHDX_PAGE) {
        if (memcmp(e + at, VHDX_LOG_DATA_SECTOR, 4) != 0 || get_le32(e + at + 4) != seq >> 32 ||
            get_le32(e + at + VHDX_PAGE - 4) != (uint32_t)seq)
            return false;
    }
    return true;
}

bool vhdx_log_entry_decode(const uint8_t *ring, uint32_t len, uint32_t at, const uint8_t *guid,
                           uint64_t log_off, uint8_t *tmp, struct vhdx_log_entry *ret)
{
    const uint8_t *h = ring + at;
    struct vhdx_log_entry e = {
        .len = get_le32(h + VHDX_LOG_LEN), .tail = get_le32(h + VHDX_LOG_TAIL),
        .n_desc = get_le32(h + VHDX_LOG_COUNT), .seq = get_le64(h + VHDX_LOG_SEQ),
        .flushed = get_le64(h + VHDX_LOG_FLUSHED), .last = get_le64(h + VHDX_LOG_LAST),
    };

    if (memcmp(h, VHDX_LOG_MAGIC, 4) != 0 || memcmp(h + VHDX_LOG_GUID, guid, 16) != 0 || !e.seq ||
        !e.len || e.len % VHDX_PAGE || e.len >= len || e.tail % VHDX_PAGE || e.tail >= len)
        return false;
    uint32_t ds = desc_sectors(e.n_desc);
    if ((uint64_t)ds * VHDX_PAGE > e.len || e.last > VHDX_FILE_MAX || e.flushed > VHDX_FILE_MAX)
        return false;
    ring_copy(ring, len, at, tmp, e.len);
    uint32_t n_data = 0;
    for (uint32_t i = 0; i < e.n_desc; i++) {
        bool data;
        if (!desc_ok(tmp + VHDX_LOG_HEADER + i * VHDX_LOG_DESC, e.seq, log_off, len, &data))
            return false;
        n_data += data;
    }
    if (e.len != ((uint64_t)ds + n_data) * VHDX_PAGE ||
        !data_sectors_ok(tmp, ds * VHDX_PAGE, e.len, e.seq))
        return false;
    uint32_t crc = get_le32(tmp + VHDX_LOG_CRC);
    put_le32(tmp + VHDX_LOG_CRC, 0);
    if (crc32c(0, tmp, e.len) != crc)
        return false;
    *ret = e;
    return true;
}

/* ---- the active sequence --------------------------------------------------------------------- */

struct run {
    uint32_t start, tail; /* tail of the last entry */
    uint64_t n;           /* entries */
    uint64_t bytes;
    uint64_t seq;         /* of the last entry */
    uint64_t tail_index;  /* which entry the tail is */
};

/* Follow the entries from 'at'; false when there is none.  '*budget' bytes may be looked at:
 * a forged log could otherwise make us sum the same bytes once for each of its sectors. */
static bool run_follow(const uint8_t *ring, uint32_t len, uint32_t at, const uint8_t *guid,
                       uint64_t log_off, uint8_t *tmp, int64_t *budget, struct run *ret)
{
    struct vhdx_log_entry e;
    struct run run = { .start = at };

    while (run.bytes < len && *budget > 0) {
        if (memcmp(ring + at, VHDX_LOG_MAGIC, 4) == 0)
            *budget -= MIN(get_le32(ring + at + VHDX_LOG_LEN), len);
        if (!vhdx_log_entry_decode(ring, len, at, guid, log_off, tmp, &e))
            break;
        if ((run.n && e.seq != run.seq + 1) || run.bytes + e.len > len)
            break;
        run.n++;
        run.bytes += e.len;
        run.seq = e.seq;
        run.tail = e.tail;
        at = (uint32_t)((at + (uint64_t)e.len) % len);
    }
    *ret = run;
    return run.n > 0;
}

/* Is the tail of the last entry the start of one of the run? */
static bool run_valid(const uint8_t *ring, uint32_t len, struct run *run)
{
    uint32_t at = run->start;

    for (uint64_t i = 0; i < run->n; i++) {
        if (at == run->tail) {
            run->tail_index = i;
            return true;
        }
        at = (uint32_t)((at + (uint64_t)get_le32(ring + at + VHDX_LOG_LEN)) % len);
    }
    return false;
}

static int replay_add(struct vhdx_replay *r, const uint8_t *desc, const uint8_t *sector)
{
    if ((r->n & (r->n - 1)) == 0) { /* room doubles */
        struct vhdx_log_op *op = realloc(r->op, MAX(r->n * 2, 1u) * sizeof *op);
        if (!op)
            return -ENOMEM;
        r->op = op;
    }
    struct vhdx_log_op *op = &r->op[r->n];
    *op = (struct vhdx_log_op){ .off = get_le64(desc + 16), .len = VHDX_PAGE };
    if (!sector) {
        op->len = get_le64(desc + 8);
    } else {
        op->page = malloc(VHDX_PAGE);
        if (!op->page)
            return -ENOMEM;
        memcpy(op->page, desc + 8, 8);
        memcpy(op->page + 8, sector + 8, VHDX_PAGE - 12);
        memcpy(op->page + VHDX_PAGE - 4, desc + 4, 4);
    }
    r->n++;
    return 0;
}

static int replay_collect(const uint8_t *ring, uint32_t len, const struct run *run, uint8_t *tmp,
                          struct vhdx_replay *r)
{
    uint32_t at = run->start;

    for (uint64_t i = 0; i < run->n; i++) {
        uint32_t n = get_le32(ring + at + VHDX_LOG_LEN);
        uint32_t n_desc = get_le32(ring + at + VHDX_LOG_COUNT);
        ring_copy(ring, len, at, tmp, n);
        at = (uint32_t)((at + (uint64_t)n) % len);
        if (i < run->tail_index)
            continue; /* already applied, and maybe stale */
        const uint8_t *sector = tmp + desc_sectors(n_desc) * VHDX_PAGE;
        for (uint32_t k = 0; k < n_desc; k++) {
            const uint8_t *d = tmp + VHDX_LOG_HEADER + k * VHDX_LOG_DESC;
            bool data = memcmp(d, VHDX_LOG_DATA_DESC, 4) == 0;
            if (replay_add(r, d, data ? sector : NULL) < 0)
                return -ENOMEM;
            sector += data ? VHDX_PAGE : 0;
        }
        r->flushed = get_le64(tmp + VHDX_LOG_FLUSHED);
        r->last = get_le64(tmp + VHDX_LOG_LAST);
        r->n_entries++;
    }
    return 0;
}

int vhdx_log_scan(const uint8_t *ring, uint32_t len, const uint8_t *guid, uint64_t log_off,
                  struct vhdx_replay *ret, struct err *err)
{
    AUTO(free_p) uint8_t *tmp = malloc(len);
    struct run best = { 0 }, run;
    struct vhdx_replay out = { 0 };
    int64_t budget = (int64_t)GIB + 32 * (int64_t)len;

    if (!tmp)
        return err_set(err, ENOMEM, "no memory for a log of %u MiB", (unsigned)(len / VHDX_MIB));
    for (uint64_t at = 0; at < len;) {
        if (!run_follow(ring, len, (uint32_t)at, guid, log_off, tmp, &budget, &run)) {
            at += VHDX_PAGE;
            continue;
        }
        if (run_valid(ring, len, &run) && run.seq > best.seq)
            best = run;
        at += run.bytes;
    }
    if (budget <= 0)
        return err_set(err, EILSEQ, "the log is a maze of overlapping entries");
    if (!best.n)
        return err_set(err, ENOENT, "the log is in use but holds no valid sequence of entries");
    if (replay_collect(ring, len, &best, tmp, &out) < 0) {
        vhdx_replay_done(&out);
        return err_set(err, ENOMEM, "no memory to replay the log");
    }
    *ret = out;
    return 0;
}

void vhdx_replay_done(struct vhdx_replay *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->op[i].page);
    free(r->op);
    memset(r, 0, sizeof *r);
}

/* ---- encoding -------------------------------------------------------------------------------- */

uint32_t vhdx_log_entry_size(size_t n)
{
    return (desc_sectors(n) + (uint32_t)n) * VHDX_PAGE;
}

void vhdx_log_entry_encode(uint8_t *to, const struct vhdx_log_page *pages, size_t n,
                           const uint8_t *guid, const struct vhdx_log_entry *e)
{
    uint32_t ds = desc_sectors(n), len = vhdx_log_entry_size(n);

    memset(to, 0, (size_t)ds * VHDX_PAGE);
    memcpy(to, VHDX_LOG_MAGIC, 4);
    put_le32(to + VHDX_LOG_LEN, len);
    put_le32(to + VHDX_LOG_TAIL, e->tail);
    put_le64(to + VHDX_LOG_SEQ, e->seq);
    put_le32(to + VHDX_LOG_COUNT, (uint32_t)n);
    memcpy(to + VHDX_LOG_GUID, guid, 16);
    put_le64(to + VHDX_LOG_FLUSHED, e->flushed);
    put_le64(to + VHDX_LOG_LAST, e->last);
    for (size_t i = 0; i < n; i++) {
        uint8_t *d = to + VHDX_LOG_HEADER + i * VHDX_LOG_DESC;
        uint8_t *s = to + (ds + i) * VHDX_PAGE;
        const uint8_t *page = pages[i].data;

        memcpy(d, VHDX_LOG_DATA_DESC, 4);
        memcpy(d + 4, page + VHDX_PAGE - 4, 4);
        memcpy(d + 8, page, 8);
        put_le64(d + 16, pages[i].off);
        put_le64(d + 24, e->seq);
        memcpy(s, VHDX_LOG_DATA_SECTOR, 4);
        put_le32(s + 4, (uint32_t)(e->seq >> 32));
        memcpy(s + 8, page + 8, VHDX_PAGE - 12);
        put_le32(s + VHDX_PAGE - 4, (uint32_t)e->seq);
    }
    put_le32(to + VHDX_LOG_CRC, crc32c(0, to, len));
}
