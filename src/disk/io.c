/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.c - see io.h.  A ring a loop; requests gather until the loop turns, then go to the kernel in
 * one call.  Readiness of the ring descriptor wakes the loop, so no eventfd is needed.
 *
 * Called by file.c; calls io_threads.c where io_uring is refused. */
#include "disk/io.h"

#include <errno.h>
#include <liburing.h>
#include <sys/epoll.h>

#include "disk/io_threads.h"

#define RING_ENTRIES 256
#define PARTS_KEPT   512 /* pieces kept for reuse */
#define REAP_MAX     64
#define TURNS        4   /* submit-and-reap rounds before the loop gets its turn */
#define HERE_A_TURN  MIB /* bytes copied on the loop's own thread before others get theirs */

struct disk_io {
    struct loop *loop;
    bool uring;
    struct io_uring ring;
    struct watch watch;
    struct work kick;
    bool busy;              /* inside io_turn() */
    unsigned n_unsubmitted;
    uint64_t n_flying;      /* in the kernel */
    const struct io_ops *ops;
    struct io_threads *threads;
    struct disk_rq *soon, **soon_last; /* answered, but not told yet */
    unsigned n_soon;
    struct disk_rq *here, **here_last; /* to be run on the loop's own thread */
    struct disk_part *parts;
    unsigned n_parts;
};

/* All requests of a loop come from file.c, which has one table; it is learnt at the first. */
static void ops_cmd(struct disk_rq *rq, struct io_cmd *ret);
static void ops_done(struct disk_rq *rq, int64_t res);
static const struct io_ops through = { ops_cmd, ops_done };

static void ops_cmd(struct disk_rq *rq, struct io_cmd *ret)
{
    rq->io_disk->io->ops->cmd(rq, ret);
}

static void ops_done(struct disk_rq *rq, int64_t res)
{
    rq->io_disk->io->ops->done(rq, res);
}

static void prep(struct io_uring_sqe *sqe, const struct io_cmd *c)
{
    switch (c->code) {
    case IO_READ:
        if (c->n_iov == 1)
            io_uring_prep_read(sqe, c->fd, c->iov->iov_base, (unsigned)c->iov->iov_len, c->off);
        else
            io_uring_prep_readv(sqe, c->fd, c->iov, c->n_iov, c->off);
        sqe->rw_flags = c->rw_flags;
        break;
    case IO_WRITE:
        if (c->n_iov == 1)
            io_uring_prep_write(sqe, c->fd, c->iov->iov_base, (unsigned)c->iov->iov_len, c->off);
        else
            io_uring_prep_writev(sqe, c->fd, c->iov, c->n_iov, c->off);
        sqe->rw_flags = c->rw_flags;
        break;
    case IO_FDATASYNC:
        io_uring_prep_fsync(sqe, c->fd, IORING_FSYNC_DATASYNC);
        break;
    case IO_FALLOCATE:
        io_uring_prep_fallocate(sqe, c->fd, c->mode, (off_t)c->off, (off_t)c->len);
        break;
    case IO_CALL:
        break; /* never here */
    }
}

static void submit(struct disk_io *io)
{
    while (io->n_unsubmitted) {
        int r = io_uring_submit(&io->ring);
        if (r < 0 && r != -EINTR)
            break; /* EAGAIN, EBUSY: completions must be taken first */
        if (r > 0) {
            io->n_unsubmitted -= MIN((unsigned)r, io->n_unsubmitted);
            io->n_flying += (unsigned)r;
        }
    }
}

/* One at a time: done() may run the loop itself, waiting for the very next one. */
static unsigned reap(struct disk_io *io)
{
    struct io_uring_cqe *cqe;
    unsigned n = 0;

    while (n < REAP_MAX && io_uring_peek_cqe(&io->ring, &cqe) == 0) {
        struct disk_rq *rq = io_uring_cqe_get_data(cqe);
        int res = cqe->res;

        /* Give the slot back first: done() may submit more. */
        io_uring_cqe_seen(&io->ring, cqe);
        io->n_flying--;
        io->ops->done(rq, res);
        n++;
    }
    return n;
}

/* Those that are there now; what they cause waits for the next round. */
static void tell_soon(struct disk_io *io)
{
    unsigned n = io->n_soon;

    while (n-- && io->soon) {
        struct disk_rq *rq = io->soon;
        io->soon = rq->next;
        if (!io->soon)
            io->soon_last = &io->soon;
        io->n_soon--;
        disk_finish(rq, (int)rq->io_res);
    }
}

void io_finish_soon(struct disk_io *io, struct disk_rq *rq, int err)
{
    rq->io_res = err;
    rq->next = NULL;
    *io->soon_last = rq;
    io->soon_last = &rq->next;
    io->n_soon++;
    loop_post(io->loop, &io->kick);
}

/* Each is answered before the next begins: who waits for it goes on meanwhile. */
static void run_here(struct disk_io *io)
{
    uint64_t n = 0;

    while (io->here && n < HERE_A_TURN) {
        struct disk_rq *rq = io->here;
        struct io_cmd c = { 0 };

        io->here = rq->next;
        if (!io->here)
            io->here_last = &io->here;
        io->ops->cmd(rq, &c);
        n += c.len;
        io->ops->done(rq, io_run_cmd(&c, rq));
    }
}

void io_start_here(struct disk_io *io, const struct io_ops *ops, struct disk_rq *rq)
{
    io->ops = ops;
    rq->next = NULL;
    *io->here_last = rq;
    io->here_last = &rq->next;
    loop_post(io->loop, &io->kick);
}

static void io_turn(struct disk_io *io)
{
    if (io->busy) { /* a done() runs the loop, waiting for something else */
        if (io->uring) {
            submit(io);
            reap(io);
        }
        tell_soon(io);
        run_here(io);
        return;
    }
    io->busy = true;
    for (unsigned i = 0; i < TURNS; i++) {
        if (io->uring)
            submit(io);
        tell_soon(io);
        if (!io->uring || (reap(io) == 0 && !io->n_unsubmitted && !io->soon))
            break;
    }
    run_here(io);
    io->busy = false;
    if (io->n_unsubmitted || io->soon || io->here)
        loop_post(io->loop, &io->kick);
}

static void on_kick(struct work *w)
{
    io_turn(container_of(w, struct disk_io, kick));
}

static void on_ready(struct watch *w, uint32_t events)
{
    io_turn(container_of(w, struct disk_io, watch));
}

static struct io_uring_sqe *get_sqe(struct disk_io *io)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);

    if (!sqe) {
        submit(io);
        sqe = io_uring_get_sqe(&io->ring);
    }
    return sqe;
}

void io_start(struct disk_io *io, const struct io_ops *ops, struct disk_rq *rq)
{
    struct io_cmd c = { 0 };

    io->ops = ops;
    if (!io->uring) {
        io_threads_start(io->threads, rq);
        return;
    }
    ops->cmd(rq, &c);
    if (c.code == IO_CALL) {
        if (!io->threads)
            io->threads = io_threads_new(io->loop, &through);
        if (io->threads)
            io_threads_start(io->threads, rq);
        else
            ops->done(rq, -ENOMEM);
        return;
    }
    struct io_uring_sqe *sqe = get_sqe(io);
    if (!sqe) { /* the kernel is short of memory: do it here rather than lose it */
        ops->done(rq, io_run_cmd(&c, rq));
        return;
    }
    prep(sqe, &c);
    io_uring_sqe_set_data(sqe, rq);
    if (io->n_unsubmitted++ == 0)
        loop_post(io->loop, &io->kick);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

struct disk_part *io_part_get(struct disk_io *io)
{
    struct disk_part *p = io->parts;

    if (p) {
        io->parts = p->next_free;
        io->n_parts--;
        return p;
    }
    p = calloc(1, sizeof *p);
    if (p)
        p->io = io;
    return p;
}

void io_part_put(struct disk_io *io, struct disk_part *p)
{
    if (io->n_parts >= PARTS_KEPT) {
        free(p);
        return;
    }
    p->next_free = io->parts;
    io->parts = p;
    io->n_parts++;
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool ring_init(struct disk_io *io)
{
    unsigned want[] = { IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0 };

    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        if (io_uring_queue_init(RING_ENTRIES, &io->ring, want[i]) == 0) {
            /* Without NODROP a full completion queue would lose answers (before 5.5). */
            if (io->ring.features & IORING_FEAT_NODROP)
                return true;
            io_uring_queue_exit(&io->ring);
        }
    }
    return false;
}

struct disk_io *disk_io_new(struct loop *loop, enum disk_io_mode mode, struct err *err)
{
    struct disk_io *io = calloc(1, sizeof *io);

    if (!io) {
        err_set(err, ENOMEM, "no memory for a disk engine");
        return NULL;
    }
    io->loop = loop;
    io->kick.run = on_kick;
    io->soon_last = &io->soon;
    io->here_last = &io->here;
    io->uring = mode != DISK_IO_THREADS && ring_init(io);
    if (io->uring) {
        io->watch = (struct watch){ .fd = io->ring.ring_fd, .ready = on_ready };
        int r = loop_watch(loop, &io->watch, EPOLLIN);
        if (r == 0)
            return io;
        io_uring_queue_exit(&io->ring);
        io->uring = false;
    }
    if (mode == DISK_IO_URING) {
        err_set(err, ENOSYS, "the kernel refuses io_uring");
        free(io);
        return NULL;
    }
    io->threads = io_threads_new(loop, &through);
    if (!io->threads) {
        err_set(err, EAGAIN, "no thread can be started for disk access");
        free(io);
        return NULL;
    }
    return io;
}

void disk_io_free(struct disk_io *io)
{
    if (!io)
        return;
    if (io->uring) {
        loop_unwatch(io->loop, &io->watch);
        io_uring_queue_exit(&io->ring);
    }
    io_threads_free(io->threads);
    loop_unpost(io->loop, &io->kick);
    while (io->parts) {
        struct disk_part *p = io->parts;
        io->parts = p->next_free;
        free(p);
    }
    free(io);
}

const char *disk_io_name(const struct disk_io *io)
{
    return io->uring ? "io_uring" : "threads";
}

struct loop *io_loop(struct disk_io *io)
{
    return io->loop;
}
