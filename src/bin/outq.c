/* SPDX-License-Identifier: GPL-2.0-or-later */
/* outq.c - see outq.h. */
#include "bin/outq.h"

#include <errno.h>
#include <pthread.h>

#include "base/log.h"

#define CHUNK     4096u
#define FLUSH_SEC 2

struct outq {
    int fd;
    void (*broken)(void *owner);
    void *owner;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work, idle;
    uint8_t *ring;
    size_t first, n;
    uint64_t lost;
    bool hold, stop, dead, writing, exited;
};

static void write_all(struct outq *q, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t r = write(q->fd, p, n);

        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0 && errno == EAGAIN) { /* somebody made it non-blocking */
            usleep(1000);
            continue;
        }
        if (r < 0) {
            bool gone = errno == EPIPE || errno == EIO;
            if (!gone)
                log_error("console: cannot write: %s; output is lost from here on",
                          strerrordesc_np(errno));
            pthread_mutex_lock(&q->lock);
            q->dead = true;
            pthread_mutex_unlock(&q->lock);
            if (gone && q->broken)
                q->broken(q->owner);
            return;
        }
        p += r;
        n -= (size_t)r;
    }
}

static void *writer(void *arg)
{
    struct outq *q = arg;
    uint8_t chunk[CHUNK];

    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (!q->stop && (!q->n || q->hold))
            pthread_cond_wait(&q->work, &q->lock);
        if (!q->n || q->dead)
            q->n = 0;
        if (q->stop && !q->n)
            break;
        size_t n = MIN(MIN(q->n, CHUNK), OUTQ_SIZE - q->first);
        memcpy(chunk, q->ring + q->first, n);
        q->first = (q->first + n) % OUTQ_SIZE;
        q->n -= n;
        q->writing = true;
        pthread_mutex_unlock(&q->lock);
        write_all(q, chunk, n);
        pthread_mutex_lock(&q->lock);
        q->writing = false;
        pthread_cond_broadcast(&q->idle);
    }
    q->exited = true;
    pthread_cond_broadcast(&q->idle);
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

struct outq *outq_new(int fd, void (*broken)(void *owner), void *owner)
{
    struct outq *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->fd = fd;
    q->broken = broken;
    q->owner = owner;
    q->ring = malloc(OUTQ_SIZE);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->idle, NULL);
    if (!q->ring || pthread_create(&q->thread, NULL, writer, q) != 0) {
        free(q->ring);
        free(q);
        return NULL;
    }
    return q;
}

void outq_free(struct outq *q)
{
    struct timespec until;

    if (!q)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FLUSH_SEC;
    pthread_mutex_lock(&q->lock);
    q->stop = true;
    q->hold = false;
    pthread_cond_signal(&q->work);
    while (!q->exited && pthread_cond_timedwait(&q->idle, &q->lock, &until) != ETIMEDOUT)
        ;
    bool exited = q->exited;
    uint64_t lost = q->lost;
    pthread_mutex_unlock(&q->lock);
    if (lost)
        log_warn("console: the reader was too slow, %llu bytes were lost", (unsigned long long)lost);
    if (!exited) {
        pthread_detach(q->thread); /* stuck in write(2): the process ends soon, let it be */
        return;
    }
    pthread_join(q->thread, NULL);
    free(q->ring);
    free(q);
}

void outq_put(struct outq *q, uint8_t byte)
{
    pthread_mutex_lock(&q->lock);
    if (q->n == OUTQ_SIZE || q->dead) {
        q->lost += !q->dead;
    } else {
        q->ring[(q->first + q->n++) % OUTQ_SIZE] = byte;
        if (q->n == 1)
            pthread_cond_signal(&q->work);
    }
    pthread_mutex_unlock(&q->lock);
}

bool outq_idle(struct outq *q)
{
    pthread_mutex_lock(&q->lock);
    bool idle = !q->n && !q->writing;
    pthread_mutex_unlock(&q->lock);
    return idle;
}

void outq_hold(struct outq *q, bool on)
{
    pthread_mutex_lock(&q->lock);
    q->hold = on;
    while (on && q->writing)
        pthread_cond_wait(&q->idle, &q->lock);
    if (!on && q->n)
        pthread_cond_signal(&q->work);
    pthread_mutex_unlock(&q->lock);
}
