/* SPDX-License-Identifier: GPL-2.0-or-later */
/* threads.c - the threads that run VPs: safe points, stopping each other, sleeping, timers.
 *
 * Each VP has a word 'where':
 *
 *     W_IN       its thread runs guest code; clear: it stands at a safe point (soft.h)
 *     W_STOP     somebody wants it at a safe point, and it may not go on
 *     W_WAITING  its thread sleeps on the word until W_STOP goes
 *     W_WATCHED  the one who stops sleeps on the word until W_IN goes
 *
 *     the VP's thread                          the one who stops (holds stop_lock)
 *     E1  W_STOP set?  sleep                   S1  |= W_STOP
 *     E2  |= W_IN, if still no W_STOP          S2  it was W_IN: attention |= ATT_RENDEZVOUS
 *     ..  guest code                           S3  wait until no W_IN
 *     L1  &= ~W_IN, wake if W_WATCHED          S4  work on the VP
 *                                              S5  &= ~W_STOP, wake if W_WAITING
 *
 * L1 (release) pairs with S3 (acquire): S4 sees all that the VP did.  S5 (release) pairs with E2
 * (acquire): the VP sees all that was done to it.  Attention is raised after S1, so a VP that takes
 * it and leaves finds W_STOP at E1.  Only the holder of stop_lock sets and clears W_STOP.  Nobody
 * waits for the lock, or with it, while W_IN: so a VP in waiting never holds up another.
 *
 * Sleep: Z1 sleeping = 1, Z2 look at attention, Z3 futex wait unless attention has changed; notify:
 * N1 attention |= bit, N2 sleeping?  wake.  Z1, Z2, N1, N2 are sequentially consistent: at least one
 * of the two sees the other.  Only the sleeper clears 'sleeping': cleared by a waker that was held
 * up between looking and waking, it could hide the next sleep from all others.
 *
 * Timers: a running VP compares the host's TSC with poll_tsc (soft_poll); a sleeping one sleeps no
 * longer than to its next deadline.  So there are no signals and no helper thread, and an idle guest
 * costs nothing.
 *
 * Tests: threads_test.c (under the thread sanitizer as well). */
#include "cpu/soft/threads.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>

#include "cpu/soft/fpu.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/mem.h"
#include "cpu/soft/sys.h"

enum { W_IN = 1, W_STOP = 2, W_WAITING = 4, W_WATCHED = 8 };

#define SPINS_BEFORE_SLEEP 200 /* for a running VP to reach the end of its block: 5-10 us */
#define EXITS_KEPT         8

struct exit_note {
    const char *what;
    uint64_t where, rip;
};

struct thread_state {
    _Alignas(64) uint32_t where; /* any thread */
    uint32_t sleeping;           /* any thread */
    unsigned pauses;             /* in a row */
    uint64_t last_pause;         /* host TSC */
    struct exit_note exit[EXITS_KEPT];
    unsigned n_exits;
};

struct soft_shared {
    pthread_mutex_t stop_lock; /* serializes those who stop VPs */
    struct soft_vp *stopper;   /* holds stop_lock by soft_stop_others() */
    unsigned depth;            /* the stopper's */
    unsigned host_cpus;
};

static void futex_wait(uint32_t *word, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, timeout, NULL, 0);
}

static void futex_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* ---- safe points ----------------------------------------------------------------------------- */

void soft_leave(struct soft_vp *vp)
{
    uint32_t *where = &vp->thread->where;

    fpu_leave(vp);
    if (unlikely(__atomic_fetch_and(where, ~(uint32_t)(W_IN | W_WATCHED), __ATOMIC_SEQ_CST) &
                 W_WATCHED)) /* L1 */
        futex_wake(where);
}

void soft_enter(struct soft_vp *vp)
{
    uint32_t *where = &vp->thread->where;
    uint32_t w = __atomic_load_n(where, __ATOMIC_RELAXED);

    fpu_enter(vp);
    for (;;) {
        if (likely(!(w & W_STOP))) {
            if (__atomic_compare_exchange_n(where, &w, w | W_IN, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_RELAXED)) /* E2 */
                return;
        } else if (w & W_WAITING ||
                   __atomic_compare_exchange_n(where, &w, w | W_WAITING, false, __ATOMIC_RELAXED,
                                               __ATOMIC_RELAXED)) {
            futex_wait(where, w | W_WAITING, NULL); /* E1 */
            w = __atomic_load_n(where, __ATOMIC_RELAXED);
        }
    }
}

static bool is_in(const struct soft_vp *vp)
{
    return __atomic_load_n(&vp->thread->where, __ATOMIC_RELAXED) & W_IN;
}

static void wait_until_safe(struct soft_vp *vp)
{
    uint32_t *where = &vp->thread->where, w;

    for (unsigned i = 0; i < SPINS_BEFORE_SLEEP; i++) {
        if (!(__atomic_load_n(where, __ATOMIC_ACQUIRE) & W_IN)) /* S3 */
            return;
        __builtin_ia32_pause();
    }
    while ((w = __atomic_load_n(where, __ATOMIC_ACQUIRE)) & W_IN) {
        if (w & W_WATCHED || __atomic_compare_exchange_n(where, &w, w | W_WATCHED, false,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            futex_wait(where, w | W_WATCHED, NULL);
    }
}

/* S1-S3 for each VP in 'mask'; stop_lock is held. */
static void stop_locked(struct soft *s, uint64_t mask)
{
    for (uint64_t m = mask; m; m &= m - 1) {
        struct soft_vp *vp = soft_vp_at(s, (unsigned)__builtin_ctzll(m));

        if (__atomic_fetch_or(&vp->thread->where, W_STOP, __ATOMIC_SEQ_CST) & W_IN) /* S1 */
            __atomic_fetch_or(&vp->attention, ATT_RENDEZVOUS, __ATOMIC_SEQ_CST);    /* S2 */
    }
    for (uint64_t m = mask; m; m &= m - 1)
        wait_until_safe(soft_vp_at(s, (unsigned)__builtin_ctzll(m)));
}

static void go_locked(struct soft *s, uint64_t mask)
{
    for (uint64_t m = mask; m; m &= m - 1) {
        uint32_t *where = &soft_vp_at(s, (unsigned)__builtin_ctzll(m))->thread->where;

        if (__atomic_fetch_and(where, ~(uint32_t)(W_STOP | W_WAITING), __ATOMIC_SEQ_CST) &
            W_WAITING) /* S5 */
            futex_wake(where);
    }
}

static uint64_t bit_of(const struct soft_vp *vp)
{
    return vp ? UINT64_C(1) << vp->vp.index : 0;
}

static uint64_t all_vps(const struct soft *s)
{
    return ~UINT64_C(0) >> (64 - s->part.cfg.n_vps);
}

static bool is_stopper(const struct soft_vp *vp)
{
    return vp && __atomic_load_n(&vp->soft->shared->stopper, __ATOMIC_RELAXED) == vp;
}

static void run_on(struct soft *s, uint64_t mask, void (*fn)(struct soft_vp *target, void *arg),
                   void *arg)
{
    for (; mask; mask &= mask - 1)
        fn(soft_vp_at(s, (unsigned)__builtin_ctzll(mask)), arg);
}

void soft_rendezvous_from(struct soft *s, struct soft_vp *vp, uint64_t mask,
                          void (*fn)(struct soft_vp *target, void *arg), void *arg)
{
    bool in = vp && is_in(vp);

    mask &= all_vps(s);
    if (is_stopper(vp)) { /* all stand already */
        run_on(s, mask, fn, arg);
        return;
    }
    if (vp)
        vp->count.rendezvous++;
    if (in)
        soft_leave(vp);
    pthread_mutex_lock(&s->shared->stop_lock);
    stop_locked(s, mask & ~bit_of(vp));
    run_on(s, mask, fn, arg); /* S4 */
    go_locked(s, mask & ~bit_of(vp));
    pthread_mutex_unlock(&s->shared->stop_lock);
    if (in)
        soft_enter(vp);
}

void soft_rendezvous(struct soft_vp *vp, uint64_t mask,
                     void (*fn)(struct soft_vp *target, void *arg), void *arg)
{
    soft_rendezvous_from(vp->soft, vp, mask, fn, arg);
}

void soft_stop_others(struct soft_vp *vp)
{
    struct soft_shared *sh = vp->soft->shared;

    if (is_stopper(vp)) {
        sh->depth++;
        return;
    }
    vp->count.rendezvous++;
    soft_leave(vp);
    pthread_mutex_lock(&sh->stop_lock);
    stop_locked(vp->soft, all_vps(vp->soft) & ~bit_of(vp));
    __atomic_store_n(&sh->stopper, vp, __ATOMIC_RELAXED);
    sh->depth = 1;
    soft_enter(vp); /* at once: only the holder of the lock could stop us */
}

void soft_resume_others(struct soft_vp *vp)
{
    struct soft_shared *sh = vp->soft->shared;

    assert(is_stopper(vp));
    if (--sh->depth)
        return;
    __atomic_store_n(&sh->stopper, NULL, __ATOMIC_RELAXED);
    go_locked(vp->soft, all_vps(vp->soft) & ~bit_of(vp));
    pthread_mutex_unlock(&sh->stop_lock);
}

/* ---- attention ------------------------------------------------------------------------------- */

void soft_notify(struct soft_vp *vp, enum attention what)
{
    struct thread_state *t = vp->thread;

    if ((__atomic_fetch_or(&vp->attention, what, __ATOMIC_SEQ_CST) & what) & ATT_NMI) /* N1 */
        __atomic_fetch_or(&vp->attention, ATT_NMI2, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&t->sleeping, __ATOMIC_SEQ_CST)) /* N2 */
        futex_wake(&vp->attention);
}

static uint32_t attention_take(struct soft_vp *vp, uint32_t bits)
{
    return __atomic_fetch_and(&vp->attention, ~bits, __ATOMIC_SEQ_CST) & bits;
}

void threads_start_up(struct soft_vp *vp)
{
    if (attention_take(vp, ATT_INIT))
        sys_reset(vp, true);
    /* One that comes before INIT, or to a VP that runs, is lost. */
    if (attention_take(vp, ATT_SIPI) && vp->mp_state == MP_WAIT_SIPI)
        sys_sipi(vp, __atomic_load_n(&vp->sipi_vector, __ATOMIC_RELAXED));
}

static bool deadline_due(const struct soft_vp *vp)
{
    return vp->deadline_ns != UINT64_MAX &&
           clock_now_ns(vp->soft->part.cfg.clock) >= vp->deadline_ns;
}

static void run_timers(struct soft_vp *vp)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;

    lapic_run_timer(vp);
    if (deadline_due(vp)) {
        vp->deadline_ns = UINT64_MAX; /* the exit may set the next one */
        soft_leave(vp);
        cfg->exits->deadline(cfg->owner, &vp->vp);
        soft_enter(vp);
    }
    soft_timers_changed(vp);
}

bool soft_attend(struct soft_vp *vp)
{
    uint32_t att = attention_take(vp, ATT_RENDEZVOUS | ATT_DEADLINE | ATT_KICK);

    if (att & ATT_RENDEZVOUS) {
        soft_leave(vp);
        soft_enter(vp);
    }
    if (att & ATT_DEADLINE)
        run_timers(vp);
    threads_start_up(vp);
    return att & ATT_KICK;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static uint64_t tsc_to_ns(const struct soft_vp *vp, uint64_t ticks)
{
    return (uint64_t)((unsigned __int128)ticks * NS_PER_S / vp->soft->part.tsc_hz);
}

void soft_timers_changed(struct soft_vp *vp)
{
    uint64_t next = lapic_next_tsc(vp), poll = UINT64_MAX;

    if (next != UINT64_MAX)
        poll = (int64_t)(next - vp->tsc_offset) < 0 ? 0 : next - vp->tsc_offset;
    if (vp->deadline_ns != UINT64_MAX) {
        uint64_t now = clock_now_ns(vp->soft->part.cfg.clock);
        uint64_t ns = vp->deadline_ns > now ? vp->deadline_ns - now : 0;
        uint64_t ticks;

        /* TSC and machine clock drift apart: look a little early, and then again. */
        ns -= ns / 1024;
        ticks = (uint64_t)((unsigned __int128)MIN(ns, 3600 * NS_PER_S) * vp->soft->part.tsc_hz /
                           NS_PER_S);
        poll = MIN(poll, __builtin_ia32_rdtsc() + ticks);
    }
    vp->poll_tsc = poll;
}

void soft_poll_due(struct soft_vp *vp)
{
    if (lapic_next_tsc(vp) <= soft_tsc(vp) || deadline_due(vp)) {
        vp->poll_tsc = UINT64_MAX; /* run_timers() finds the next one */
        __atomic_fetch_or(&vp->attention, ATT_DEADLINE, __ATOMIC_SEQ_CST);
    } else {
        soft_timers_changed(vp);
    }
}

/* ---- sleep ----------------------------------------------------------------------------------- */

/* What ends this sleep. */
static uint32_t wakers(struct soft_vp *vp)
{
    uint32_t mask = ATT_KICK | ATT_INIT | ATT_DEADLINE;

    if (vp->mp_state == MP_WAIT_SIPI)
        return mask | ATT_SIPI;
    if (vp->mp_state == MP_WAIT_INIT)
        return mask;
    if (!vp->nmi_masked)
        mask |= ATT_NMI | ATT_NMI2;
    if (vp->rflags & F_IF)
        mask |= ATT_IRQ;
    return mask;
}

/* An interrupt that the task priority holds back does not end a HLT. */
static bool irq_is_real(struct soft_vp *vp)
{
    attention_take(vp, ATT_IRQ);
    if (lapic_pending(vp) < 0 && !(__atomic_load_n(&vp->soft->extint, __ATOMIC_SEQ_CST) &&
                                   lapic_extint_enabled(vp)))
        return false;
    __atomic_fetch_or(&vp->attention, ATT_IRQ, __ATOMIC_SEQ_CST);
    return true;
}

/* Nanoseconds to the next timer; UINT64_MAX: none. */
static uint64_t time_to_timers(const struct soft_vp *vp)
{
    uint64_t next = lapic_next_tsc(vp), now = soft_tsc(vp), ns = UINT64_MAX;

    if (next != UINT64_MAX)
        ns = next > now ? tsc_to_ns(vp, next - now) + 1 : 0;
    if (vp->deadline_ns != UINT64_MAX) {
        now = clock_now_ns(vp->soft->part.cfg.clock);
        ns = MIN(ns, vp->deadline_ns > now ? vp->deadline_ns - now : 0);
    }
    return ns;
}

void soft_sleep(struct soft_vp *vp)
{
    struct thread_state *t = vp->thread;

    vp->count.halts++;
    soft_leave(vp);
    for (;;) {
        struct timespec ts;
        uint64_t ns;
        uint32_t att;

        __atomic_store_n(&t->sleeping, 1, __ATOMIC_SEQ_CST);         /* Z1 */
        att = __atomic_load_n(&vp->attention, __ATOMIC_SEQ_CST);     /* Z2 */
        if (att & wakers(vp) & ~(uint32_t)ATT_IRQ)
            break;
        if (att & wakers(vp) & ATT_IRQ) {
            if (irq_is_real(vp))
                break;
            continue;
        }
        ns = time_to_timers(vp);
        if (ns == 0) {
            __atomic_fetch_or(&vp->attention, ATT_DEADLINE, __ATOMIC_SEQ_CST);
            break;
        }
        ns = MIN(ns, 3600 * NS_PER_S);
        ts.tv_sec = (time_t)(ns / NS_PER_S);
        ts.tv_nsec = (long)(ns % NS_PER_S);
        futex_wait(&vp->attention, att, &ts); /* Z3 */
    }
    __atomic_store_n(&t->sleeping, 0, __ATOMIC_SEQ_CST);
    soft_enter(vp);
}

/* ---- PAUSE ----------------------------------------------------------------------------------- */

#define PAUSES_FREE  64                /* a short spin costs nothing */
#define PAUSES_YIELD 256               /* then the CPU is offered each time, up to here */
#define PAUSE_GAP_NS (20 * NS_PER_US)  /* further apart they are no spin */
#define PAUSE_NAP_NS (50 * NS_PER_US)

/* The lock's holder may be a VP that waits for a host CPU: yield, and if that does not help (the
 * scheduler may think that we are owed more time), nap.  An event for this VP ends the nap. */
void soft_pause(struct soft_vp *vp)
{
    struct thread_state *t = vp->thread;
    uint64_t now = __builtin_ia32_rdtsc();

    soft_poll(vp);
    if (now - t->last_pause > PAUSE_GAP_NS * vp->soft->part.tsc_hz / NS_PER_S)
        t->pauses = 0;
    t->last_pause = now;
    if (++t->pauses < PAUSES_FREE || vp->soft->part.cfg.n_vps == 1)
        return;
    soft_leave(vp);
    if (t->pauses < PAUSES_YIELD || vp->soft->part.cfg.n_vps <= vp->soft->shared->host_cpus) {
        sched_yield();
    } else {
        struct timespec ts = { .tv_nsec = PAUSE_NAP_NS };
        uint32_t att = __atomic_load_n(&vp->attention, __ATOMIC_SEQ_CST);

        __atomic_store_n(&t->sleeping, 1, __ATOMIC_SEQ_CST);
        futex_wait(&vp->attention, att, &ts);
        __atomic_store_n(&t->sleeping, 0, __ATOMIC_SEQ_CST);
        t->pauses = PAUSES_FREE;
    }
    soft_enter(vp);
    t->last_pause = __builtin_ia32_rdtsc();
}

/* ---- what came before ------------------------------------------------------------------------ */

void soft_note_exit(struct soft_vp *vp, const char *what, uint64_t where)
{
    struct thread_state *t = vp->thread;

    t->exit[t->n_exits++ % EXITS_KEPT] = (struct exit_note){ what, where, vp->rip };
}

void threads_describe_exits(const struct soft_vp *vp, char *text, size_t n, size_t size)
{
    const struct thread_state *t = vp->thread;
    unsigned kept = MIN(t->n_exits, EXITS_KEPT);

    for (unsigned i = 0; i < kept && n < size; i++) {
        const struct exit_note *e = &t->exit[(t->n_exits - 1 - i) % EXITS_KEPT];

        n += (size_t)snprintf(text + n, size - n, "%s%s %#llx", i ? ", " : "; last exits: ",
                              e->what, (unsigned long long)e->where);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

int threads_new(struct soft *s)
{
    cpu_set_t set;

    s->shared = calloc(1, sizeof *s->shared);
    if (!s->shared)
        return -ENOMEM;
    pthread_mutex_init(&s->shared->stop_lock, NULL);
    s->shared->host_cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set)
                                                                       : 1;
    return 0;
}

void threads_free(struct soft *s)
{
    if (!s->shared)
        return;
    pthread_mutex_destroy(&s->shared->stop_lock);
    free(s->shared);
    s->shared = NULL;
}

int threads_init(struct soft_vp *vp)
{
    vp->thread = aligned_alloc(64, ALIGN_UP(sizeof *vp->thread, 64));
    if (!vp->thread)
        return -ENOMEM;
    memset(vp->thread, 0, sizeof *vp->thread);
    vp->deadline_ns = vp->poll_tsc = UINT64_MAX;
    return 0;
}

void threads_done(struct soft_vp *vp)
{
    free(vp->thread);
    vp->thread = NULL;
}
