/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.c - see loop.h: epoll, an eventfd for wake-ups, a binary heap of timers.
 *
 * The lock guards the heap and the posted list; callbacks run without it. */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define EVENTS_A_TURN 32

struct loop {
    struct clock *clock;
    int epoll_fd, wake_fd;
    uint32_t stop;

    pthread_mutex_t lock;
    struct work *first, **last;
    struct timer **heap; /* heap[1] is due first */
    size_t n, size;
    uint64_t sleeping_until; /* UINT64_MAX: for ever; 0: not asleep */
};

struct loop *loop_new(struct clock *clock)
{
    struct loop *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->clock = clock;
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
    if (l->epoll_fd < 0 || l->wake_fd < 0 ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
        loop_free(l);
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    close_fd_p(&l->epoll_fd);
    close_fd_p(&l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->heap);
    free(l);
}

struct clock *loop_clock(struct loop *l)
{
    return l->clock;
}

static void wake(struct loop *l)
{
    uint64_t one = 1;

    if (write(l->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: it is awake anyway */
}

int loop_watch(struct loop *l, struct watch *w, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

int loop_rewatch(struct loop *l, struct watch *w, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };

    return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) < 0 ? -errno : 0;
}

void loop_unwatch(struct loop *l, struct watch *w)
{
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
}

void loop_post(struct loop *l, struct work *w)
{
    pthread_mutex_lock(&l->lock);
    if (!w->queued) {
        w->queued = 1;
        w->next = NULL;
        *l->last = w;
        l->last = &w->next;
        if (l->sleeping_until)
            wake(l);
    }
    pthread_mutex_unlock(&l->lock);
}

void loop_unpost(struct loop *l, struct work *w)
{
    pthread_mutex_lock(&l->lock);
    for (struct work **p = &l->first; *p; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            if (l->last == &w->next)
                l->last = p;
            break;
        }
    }
    w->queued = 0;
    pthread_mutex_unlock(&l->lock);
}

/* Run the work that was there when we began; what it posts waits for the next turn. */
static void run_posted(struct loop *l)
{
    struct work *stop_before;

    pthread_mutex_lock(&l->lock);
    struct work *w = l->first;
    stop_before = NULL;
    unsigned n = 0;
    for (struct work *x = w; x; x = x->next)
        n++;
    while (n-- && (w = l->first) != stop_before) {
        l->first = w->next;
        if (!l->first)
            l->last = &l->first;
        __atomic_store_n(&w->queued, 0, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&l->lock);
        w->run(w);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- timers: a heap with back references ---------------------------------------------- */

static void heap_put(struct loop *l, size_t i, struct timer *t)
{
    l->heap[i] = t;
    t->slot = i;
}

static void heap_sift(struct loop *l, size_t i)
{
    struct timer *t = l->heap[i];

    for (; i > 1 && l->heap[i / 2]->at_ns > t->at_ns; i /= 2)
        heap_put(l, i, l->heap[i / 2]);
    for (size_t kid; (kid = 2 * i) <= l->n; i = kid) {
        if (kid < l->n && l->heap[kid + 1]->at_ns < l->heap[kid]->at_ns)
            kid++;
        if (l->heap[kid]->at_ns >= t->at_ns)
            break;
        heap_put(l, i, l->heap[kid]);
    }
    heap_put(l, i, t);
}

static void heap_remove(struct loop *l, struct timer *t)
{
    size_t i = t->slot;

    t->slot = 0;
    t->at_ns = UINT64_MAX;
    if (i == l->n) {
        l->n--;
        return;
    }
    l->heap[i] = l->heap[l->n--];
    heap_sift(l, i);
}

void timer_init(struct timer *t, struct loop *l, void (*expired)(struct timer *t))
{
    *t = (struct timer){ .expired = expired, .loop = l, .at_ns = UINT64_MAX };

    /* Room is made here, so that arming cannot fail: the heap holds every timer once. */
    pthread_mutex_lock(&l->lock);
    size_t size = l->size + 1;
    struct timer **heap = realloc(l->heap, (size + 1) * sizeof *heap);
    if (!heap)
        abort();
    l->heap = heap;
    l->size = size;
    pthread_mutex_unlock(&l->lock);
}

void timer_arm(struct timer *t, uint64_t at_ns)
{
    struct loop *l = t->loop;

    pthread_mutex_lock(&l->lock);
    t->at_ns = MIN(at_ns, UINT64_MAX - 1);
    if (!t->slot)
        heap_put(l, ++l->n, t);
    heap_sift(l, t->slot);
    if (l->sleeping_until && at_ns < l->sleeping_until)
        wake(l);
    pthread_mutex_unlock(&l->lock);
}

void timer_disarm(struct timer *t)
{
    struct loop *l = t->loop;

    pthread_mutex_lock(&l->lock);
    if (t->slot)
        heap_remove(l, t);
    pthread_mutex_unlock(&l->lock);
}

bool timer_armed(const struct timer *t)
{
    return __atomic_load_n(&t->at_ns, __ATOMIC_RELAXED) != UINT64_MAX;
}

static void run_timers(struct loop *l)
{
    uint64_t now = clock_now_ns(l->clock);

    pthread_mutex_lock(&l->lock);
    while (l->n && l->heap[1]->at_ns <= now) {
        struct timer *t = l->heap[1];
        heap_remove(l, t);
        pthread_mutex_unlock(&l->lock);
        t->expired(t);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- turning ----------------------------------------------------------------------------- */

/* How long nothing is due: ns, at most a second (a stopped clock may start again). */
static uint64_t sleep_ns(struct loop *l)
{
    uint64_t now = clock_now_ns(l->clock);
    uint64_t ns = NS_PER_S;

    pthread_mutex_lock(&l->lock);
    l->sleeping_until = UINT64_MAX;
    if (l->first || l->stop) {
        ns = 0;
    } else if (l->n && !l->clock->stopped) {
        uint64_t at = l->heap[1]->at_ns;
        l->sleeping_until = MAX(at, 1);
        ns = at <= now ? 0 : MIN(at - now, NS_PER_S);
    }
    pthread_mutex_unlock(&l->lock);
    return ns;
}

static void turn(struct loop *l, uint64_t ns)
{
    struct epoll_event ev[EVENTS_A_TURN];
    struct timespec ts = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
    int n = epoll_pwait2(l->epoll_fd, ev, EVENTS_A_TURN, &ts, NULL);

    pthread_mutex_lock(&l->lock);
    l->sleeping_until = 0;
    pthread_mutex_unlock(&l->lock);

    for (int i = 0; i < n; i++) {
        struct watch *w = ev[i].data.ptr;
        uint64_t count;

        if (w)
            w->ready(w, ev[i].events);
        else if (read(l->wake_fd, &count, sizeof count) < 0)
            continue;
    }
    run_timers(l);
    run_posted(l);
}

void loop_run(struct loop *l)
{
    while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE))
        turn(l, sleep_ns(l));
    __atomic_store_n(&l->stop, 0, __ATOMIC_RELEASE);
}

void loop_run_until(struct loop *l, const bool *done)
{
    while (!*done)
        turn(l, sleep_ns(l));
}

void loop_stop(struct loop *l)
{
    __atomic_store_n(&l->stop, 1, __ATOMIC_RELEASE);
    wake(l);
}

void loop_poll(struct loop *l)
{
    turn(l, 0);
}
