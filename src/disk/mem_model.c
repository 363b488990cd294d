/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem_model.c - see mem_model.h. */
#include "disk/mem_model.h"

#include <assert.h>
#include <sys/mman.h>

#include "disk/io.h"

/* A request as it was submitted. */
struct mem_asked {
    struct mem_asked *next;
    struct disk_rq *rq;
    enum disk_op op;
    uint64_t off, len;
    unsigned n_iov;
    struct iovec iov[];
};

static void check_unchanged(const struct mem_asked *a)
{
    const struct disk_rq *rq = a->rq;

    assert(rq->op == a->op && rq->off == a->off && rq->len == a->len);
    assert(!a->n_iov || (rq->n_iov == a->n_iov &&
                         memcmp(rq->iov, a->iov, a->n_iov * sizeof a->iov[0]) == 0));
}

static void move(struct mem_disk *m, const struct mem_asked *a)
{
    uint8_t *at = m->data + a->off;

    if (a->op == DISK_DISCARD || a->op == DISK_WRITE_ZEROES)
        memset(at, 0, a->len);
    for (unsigned i = 0; i < a->n_iov; at += a->iov[i++].iov_len) {
        if (a->op == DISK_READ)
            memcpy(a->iov[i].iov_base, at, a->iov[i].iov_len);
        else
            memcpy(at, a->iov[i].iov_base, a->iov[i].iov_len);
    }
}

unsigned mem_disk_answer(struct mem_disk *m, unsigned n)
{
    unsigned done = 0;

    for (struct mem_asked *a; done < n && (a = m->first) != NULL; done++) {
        m->first = a->next;
        if (!m->first)
            m->last = &m->first;
        m->n_waiting--;
        check_unchanged(a);
        if (!m->err)
            move(m, a);
        struct disk_rq *rq = a->rq;
        free(a);
        disk_finish(rq, m->err);
    }
    return done;
}

static void answer_work(struct work *w)
{
    struct mem_disk *m = container_of(w, struct mem_disk, work);

    if (!m->hold)
        mem_disk_answer(m, m->n_waiting);
}

static void mem_submit(struct disk *d, struct disk_rq *rq)
{
    struct mem_disk *m = container_of(d, struct mem_disk, disk);
    bool data = rq->op == DISK_READ || rq->op == DISK_WRITE;
    unsigned n_iov = data ? rq->n_iov : 0;
    struct mem_asked *a = malloc(sizeof *a + n_iov * sizeof a->iov[0]);
    uint64_t sum = 0;

    if (!a)
        abort();
    *a = (struct mem_asked){ .rq = rq, .op = rq->op, .off = rq->off, .len = rq->len };
    a->n_iov = n_iov;
    for (unsigned i = 0; i < n_iov; i++)
        sum += (a->iov[i] = rq->iov[i]).iov_len;
    assert(!data || sum == rq->len);
    *m->last = a;
    m->last = &a->next;
    m->n_waiting++;
    m->n[rq->op]++;
    m->flags = rq->flags;
    m->off = rq->off;
    m->len = rq->len;
    if (!m->hold)
        loop_post(d->loop, &m->work);
}

static int mem_close(struct disk *d, struct err *err)
{
    return 0;
}

static const struct disk_ops mem_ops = { .name = "memory", .submit = mem_submit,
                                         .close = mem_close };

void mem_disk_init(struct mem_disk *m, struct disk_io *io, uint64_t size)
{
    *m = (struct mem_disk){
        .disk = { .ops = &mem_ops, .io = io, .loop = io_loop(io), .kind = "memory", .size = size,
                  .block = 512, .phys_block = 4096, .discard_block = 4096, .write_cache = true,
                  .stack = 1 },
        /* Untouched pages cost nothing: fuzz targets make thousands of these. */
        .data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        .mapped = size,
        .work.run = answer_work,
    };
    if (m->data == MAP_FAILED)
        abort();
    m->last = &m->first;
}

void mem_disk_done(struct mem_disk *m)
{
    assert(!m->n_waiting);
    loop_unpost(m->disk.loop, &m->work);
    munmap(m->data, m->mapped);
}
