/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io_threads.c - see io_threads.h: what io.c uses where the kernel refuses io_uring, and for the
 * few calls that io_uring does not have.
 *
 * The lock guards both lists.  Threads start one by one as work waits. */
#include "disk/io_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#define THREADS_MAX 8

struct io_threads {
    struct loop *loop;
    const struct io_ops *ops;
    struct work results;

    pthread_mutex_t lock;
    pthread_cond_t more;
    struct disk_rq *todo, **todo_last;
    struct disk_rq *ready, **ready_last;
    unsigned n_idle, n_threads;
    bool quit;
    pthread_t threads[THREADS_MAX];
};

int64_t io_run_cmd(const struct io_cmd *c, struct disk_rq *rq)
{
    int64_t r = -1;

    do {
        switch (c->code) {
        case IO_READ:
            r = preadv2(c->fd, c->iov, (int)c->n_iov, (off_t)c->off, c->rw_flags);
            break;
        case IO_WRITE:
            r = pwritev2(c->fd, c->iov, (int)c->n_iov, (off_t)c->off, c->rw_flags);
            break;
        case IO_FDATASYNC:
            r = fdatasync(c->fd);
            break;
        case IO_FALLOCATE:
            r = fallocate(c->fd, c->mode, (off_t)c->off, (off_t)c->len);
            break;
        case IO_CALL:
            return c->call(rq);
        }
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

static void deliver(struct work *w)
{
    struct io_threads *t = container_of(w, struct io_threads, results);

    struct disk_rq *rq;

    do { /* one at a time: done() may run the loop itself, waiting for the next one */
        pthread_mutex_lock(&t->lock);
        rq = t->ready;
        if (rq && !(t->ready = rq->next))
            t->ready_last = &t->ready;
        pthread_mutex_unlock(&t->lock);
        if (rq)
            t->ops->done(rq, rq->io_res);
    } while (rq);
}

static void *thread_main(void *arg)
{
    struct io_threads *t = arg;

    pthread_mutex_lock(&t->lock);
    for (;;) {
        while (!t->todo && !t->quit) {
            t->n_idle++;
            pthread_cond_wait(&t->more, &t->lock);
            t->n_idle--;
        }
        if (t->quit)
            break;
        struct disk_rq *rq = t->todo;
        t->todo = rq->next;
        if (!t->todo)
            t->todo_last = &t->todo;
        pthread_mutex_unlock(&t->lock);

        struct io_cmd c = { 0 };
        t->ops->cmd(rq, &c);
        rq->io_res = io_run_cmd(&c, rq);

        pthread_mutex_lock(&t->lock);
        rq->next = NULL;
        *t->ready_last = rq;
        t->ready_last = &rq->next;
        pthread_mutex_unlock(&t->lock);
        loop_post(t->loop, &t->results);
        pthread_mutex_lock(&t->lock);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

/* Threads of a library take no signals. */
static int thread_add(struct io_threads *t)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&t->threads[t->n_threads], NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r == 0)
        t->n_threads++;
    return -r;
}

struct io_threads *io_threads_new(struct loop *loop, const struct io_ops *ops)
{
    struct io_threads *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->loop = loop;
    t->ops = ops;
    t->results.run = deliver;
    t->todo_last = &t->todo;
    t->ready_last = &t->ready;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->more, NULL);
    if (thread_add(t) < 0) {
        io_threads_free(t);
        return NULL;
    }
    return t;
}

void io_threads_free(struct io_threads *t)
{
    if (!t)
        return;
    pthread_mutex_lock(&t->lock);
    t->quit = true;
    pthread_cond_broadcast(&t->more);
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < t->n_threads; i++)
        pthread_join(t->threads[i], NULL);
    loop_unpost(t->loop, &t->results);
    pthread_cond_destroy(&t->more);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void io_threads_start(struct io_threads *t, struct disk_rq *rq)
{
    pthread_mutex_lock(&t->lock);
    rq->next = NULL;
    *t->todo_last = rq;
    t->todo_last = &rq->next;
    if (t->n_idle)
        pthread_cond_signal(&t->more);
    else if (t->n_threads < THREADS_MAX)
        thread_add(t); /* if not, those that are there will come to it */
    pthread_mutex_unlock(&t->lock);
}
