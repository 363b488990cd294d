/* SPDX-License-Identifier: GPL-2.0-or-later */
/* model.c - see model.h. */
#include "disk/model.h"

#include <errno.h>

#include "base/bytes.h"
#include "disk/guid.h"

void model_fill(uint8_t *p, uint32_t tag, uint64_t sector)
{
    if (!tag) {
        memset(p, 0, MODEL_SECTOR);
        return;
    }
    for (unsigned i = 0; i < MODEL_SECTOR; i += 16) {
        put_le64(p + i, (uint64_t)tag << 8 | 0x5a);
        put_le64(p + i + 8, sector);
    }
}

static void version_add(struct model_sector *s, uint32_t tag)
{
    if (s->n == s->room) {
        s->room = (uint16_t)(s->room ? s->room * 2 : 2);
        s->version = realloc(s->version, s->room * sizeof *s->version);
        if (!s->version)
            abort();
    }
    s->version[s->n++] = tag;
}

void model_init(struct model *m, uint64_t size, uint64_t block, struct rng *rng)
{
    memset(m, 0, sizeof *m);
    m->n_sectors = size / MODEL_SECTOR;
    m->block_sectors = block / MODEL_SECTOR;
    m->rng = rng;
    m->next_tag = 1;
    m->s = calloc(m->n_sectors, sizeof *m->s);
    if (!m->s)
        abort();
}

static uint32_t base_of(const struct model *m, uint64_t sector)
{
    return m->in_base && m->in_base(sector) ? m->base_tag : 0;
}

void model_done(struct model *m)
{
    for (uint64_t i = 0; i < m->n_sectors; i++)
        free(m->s[i].version);
    free(m->s);
}

static struct model_sector *sector_at(struct model *m, uint64_t i)
{
    struct model_sector *s = &m->s[i];

    if (!s->n) {
        version_add(s, base_of(m, i));
        s->n_done = 1;
    }
    return s;
}

static void slot_next(struct model_slot *t);

static bool range_free(struct model *m, uint64_t first, uint64_t n)
{
    for (uint64_t i = first; i < first + n; i++)
        if (m->s[i].busy)
            return false;
    return true;
}

/* Where and how much: mostly few sectors near the front of a block, sometimes whole blocks. */
static bool pick_range(struct model *m, uint64_t *ret_first, uint64_t *ret_n)
{
    uint64_t blocks = (m->n_sectors + m->block_sectors - 1) / m->block_sectors;
    uint64_t first = rng_below(m->rng, blocks) * m->block_sectors, n;

    switch (rng_below(m->rng, 12)) {
    case 0:
        n = m->block_sectors; /* one block */
        break;
    case 1:
        first += m->block_sectors - MIN(m->block_sectors, UINT64_C(1) + rng_below(m->rng, 4));
        n = 1 + rng_below(m->rng, 8); /* over its end */
        break;
    default:
        first += rng_below(m->rng, MIN(m->block_sectors, UINT64_C(48)));
        n = 1 + rng_below(m->rng, 20);
    }
    if (first >= m->n_sectors)
        return false;
    *ret_first = first;
    *ret_n = MIN(n, m->n_sectors - first);
    return range_free(m, *ret_first, *ret_n);
}

/* Of a write that failed a read may show something or nothing. */
static bool half_done(struct model *m, uint64_t sector, const uint8_t *p)
{
    const struct model_sector *s = &m->s[sector];
    uint8_t want[MODEL_SECTOR];

    for (unsigned k = 0; k < s->n && s->n_done < s->n; k++) {
        model_fill(want, s->version[k], sector);
        if (memcmp(want, p, MODEL_SECTOR) == 0)
            return true;
    }
    return false;
}

static void expect_read(struct model_slot *t)
{
    struct model *m = t->m;
    uint8_t want[MODEL_SECTOR];

    for (uint64_t i = 0; i < t->rq.len / MODEL_SECTOR; i++) {
        uint64_t s = t->rq.off / MODEL_SECTOR + i;
        model_fill(want, m->s[s].n ? m->s[s].version[m->s[s].n - 1] : base_of(m, s), s);
        if (memcmp(want, t->buf + i * MODEL_SECTOR, MODEL_SECTOR) != 0 && !m->err &&
            !half_done(m, s, t->buf + i * MODEL_SECTOR)) {
            m->err = -EILSEQ;
            printf("# sector %llu reads wrong: %#llx, not %#llx\n", (unsigned long long)s,
                   (unsigned long long)get_le64(t->buf + i * MODEL_SECTOR),
                   (unsigned long long)get_le64(want));
        }
    }
}

/* After a discard a sector is zero, or as before: of an older write, when one has failed since. */
static void adopt(struct model_slot *t)
{
    struct model *m = t->m;
    uint8_t want[MODEL_SECTOR];

    for (uint64_t i = 0; i < t->rq.len / MODEL_SECTOR; i++) {
        struct model_sector *s = &m->s[t->rq.off / MODEL_SECTOR + i];
        const uint8_t *p = t->buf + i * MODEL_SECTOR;
        int last = s->n_done + 1 < s->n ? 0 : s->n - 2, k = s->n - 2;
        for (; k >= last; k--) {
            model_fill(want, s->version[k], t->rq.off / MODEL_SECTOR + i);
            if (memcmp(p, want, MODEL_SECTOR) == 0)
                break;
        }
        if (k >= last)
            version_add(s, s->version[k]);
        else if (!is_zero(p, MODEL_SECTOR) && !m->err)
            m->err = -EILSEQ;
        s->n_done = s->n;
    }
}

/* All that was done when the flush was submitted cannot get lost any more. */
static void flush_done(struct model_slot *t)
{
    struct model *m = t->m;

    for (uint64_t i = 0; i < m->n_sectors; i++) {
        struct model_sector *s = &m->s[i];
        int drop = (int)t->flushed[i] - 1 - (int)s->dropped;
        if (drop <= 0)
            continue;
        memmove(s->version, s->version + drop, (size_t)(s->n - drop) * sizeof *s->version);
        s->n = (uint16_t)(s->n - drop);
        s->n_done = (uint16_t)(s->n_done - drop);
        s->dropped = (uint16_t)(s->dropped + drop);
    }
}

static void slot_done(struct disk_rq *rq, int err)
{
    struct model_slot *t = container_of(rq, struct model_slot, rq);
    struct model *m = t->m;
    uint64_t first = rq->off / MODEL_SECTOR, n = rq->len / MODEL_SECTOR;

    if (rq->op == DISK_DISCARD && !err) {
        t->adopt = true;
        t->rq.op = DISK_READ;
        t->rq.n_iov = 2;
        disk_submit(m->d, rq);
        return;
    }
    t->flying = false;
    m->flying--;
    if (rq->op != DISK_FLUSH)
        for (uint64_t i = first; i < first + n; i++)
            m->s[i].busy = false;
    if (err) {
        if (!m->stop_on_err && !m->err)
            m->err = err;
        m->todo = 0;
    } else if (rq->op == DISK_FLUSH) {
        flush_done(t);
    } else if (t->adopt) {
        adopt(t);
    } else if (rq->op == DISK_READ) {
        expect_read(t);
    } else {
        for (uint64_t i = first; i < first + n; i++) {
            m->s[i].n_done = m->s[i].n;
            if (rq->flags & DISK_FUA) {
                m->s[i].dropped = (uint16_t)(m->s[i].dropped + m->s[i].n - 1);
                m->s[i].version[0] = m->s[i].version[m->s[i].n - 1];
                m->s[i].n = m->s[i].n_done = 1;
            }
        }
    }
    if (m->todo)
        slot_next(t);
    else if (!m->flying)
        loop_stop(m->loop);
}

static void start_flush(struct model_slot *t)
{
    struct model *m = t->m;

    t->rq.op = DISK_FLUSH;
    t->rq.len = t->rq.off = 0;
    t->rq.n_iov = 0;
    for (uint64_t i = 0; i < m->n_sectors; i++)
        t->flushed[i] = (uint16_t)(m->s[i].dropped + m->s[i].n_done);
    disk_submit(m->d, &t->rq);
}

static void slot_next(struct model_slot *t)
{
    struct model *m = t->m;
    uint64_t first = 0, n = 0, dice = rng_below(m->rng, 100);

    m->todo--;
    m->flying++;
    t->flying = true;
    t->adopt = false;
    t->rq.flags = 0;
    t->rq.done = slot_done;
    if (dice < 8 || !pick_range(m, &first, &n)) {
        start_flush(t);
        return;
    }
    t->rq.off = first * MODEL_SECTOR;
    t->rq.len = n * MODEL_SECTOR;
    t->rq.op = dice < 60 ? DISK_WRITE : dice < 72 ? DISK_WRITE_ZEROES
               : dice < 80 ? DISK_DISCARD : DISK_READ;
    size_t cut = rng_below(m->rng, t->rq.len + 1);
    t->iov[0] = (struct iovec){ t->buf, cut };
    t->iov[1] = (struct iovec){ t->buf + cut, t->rq.len - cut };
    t->rq.iov = t->iov;
    t->rq.n_iov = t->rq.op == DISK_WRITE || t->rq.op == DISK_READ ? 2 : 0;
    if (t->rq.op != DISK_READ) {
        uint32_t tag = t->rq.op == DISK_WRITE ? m->next_tag++ : 0;
        t->rq.flags = (rng_below(m->rng, 10) == 0 ? DISK_FUA : 0) |
                      (rng_below(m->rng, 2) ? DISK_UNMAP : 0);
        if (t->rq.op != DISK_WRITE_ZEROES)
            t->rq.flags &= t->rq.op == DISK_WRITE ? DISK_FUA : 0;
        for (uint64_t i = 0; i < n; i++) {
            version_add(sector_at(m, first + i), tag);
            model_fill(t->buf + i * MODEL_SECTOR, tag, first + i);
        }
    }
    for (uint64_t i = first; i < first + n; i++)
        m->s[i].busy = true;
    disk_submit(m->d, &t->rq);
}

void model_run(struct model *m, struct disk *d, unsigned n)
{
    m->d = d;
    m->loop = d->loop;
    m->todo = n;
    m->flying = 0;
    for (unsigned i = 0; i < MODEL_DEPTH; i++) {
        struct model_slot *t = &m->slot[i];
        t->m = m;
        if (!t->buf)
            t->buf = malloc((m->block_sectors + 64) * MODEL_SECTOR);
        if (!t->flushed)
            t->flushed = calloc(m->n_sectors, sizeof *t->flushed);
        if (m->todo)
            slot_next(t);
    }
    if (m->flying || m->todo)
        loop_run(m->loop);
    for (uint64_t i = 0; i < m->n_sectors; i++)
        m->s[i].busy = false;
    for (unsigned i = 0; i < MODEL_DEPTH; i++) {
        free(m->slot[i].buf);
        free(m->slot[i].flushed);
        m->slot[i].buf = NULL;
        m->slot[i].flushed = NULL;
    }
}

/* Which version is it?  -1: none. */
static int which(struct model *m, uint64_t i, const uint8_t *p, bool exact)
{
    struct model_sector *s = sector_at(m, i);
    uint8_t want[MODEL_SECTOR];

    for (int k = s->n - 1; k >= (exact ? s->n - 1 : 0); k--) {
        model_fill(want, s->version[k], i);
        if (memcmp(want, p, MODEL_SECTOR) == 0)
            return k;
    }
    return -1;
}

unsigned model_compare(struct model *m, struct disk *d, bool exact)
{
    const uint64_t step = 2048;
    uint8_t *buf = malloc(step * MODEL_SECTOR);
    unsigned wrong = 0;

    for (uint64_t at = 0; at < m->n_sectors; at += step) {
        uint64_t n = MIN(step, m->n_sectors - at);
        int r = disk_read_sync(d, at * MODEL_SECTOR, buf, n * MODEL_SECTOR);
        if (r < 0) {
            printf("# reading back: %s\n", strerrordesc_np(-r));
            wrong++;
            break;
        }
        for (uint64_t i = at; i < at + n; i++) {
            const uint8_t *p = buf + (i - at) * MODEL_SECTOR;
            if (!m->s[i].n && !base_of(m, i) && is_zero(p, MODEL_SECTOR))
                continue;
            int k = which(m, i, p, exact);
            if (k < 0) {
                if (wrong++ == 0)
                    printf("# sector %llu holds %#llx %#llx, newest of %u is %u, flushed %u\n",
                           (unsigned long long)i, (unsigned long long)get_le64(p),
                           (unsigned long long)get_le64(p + 8), m->s[i].n,
                           m->s[i].version[m->s[i].n - 1], m->s[i].version[0]);
                k = 0;
            }
            m->s[i].version[0] = m->s[i].version[k];
            m->s[i].n = m->s[i].n_done = 1;
        }
    }
    free(buf);
    return wrong;
}
