/* SPDX-License-Identifier: GPL-2.0-or-later */
/* threads_test.c - safe points, stopping, sleep and timers with real threads; the guest is a loop in
 * C that follows the run loop's rules.  Meant for the thread sanitizer, too: what must be exclusive is
 * plain memory here. */
#include "cpu/soft/threads.h"

#include <pthread.h>
#include <sched.h>

#include "base/rng.h"
#include "base/test.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/sys.h"

#define VPS 4

/* ---- fakes ----------------------------------------------------------------------------------- */

struct lapic { /* the fake's */
    uint32_t irr;     /* any thread */
    uint64_t next;    /* guest TSC */
    unsigned expired;
};

uint64_t lapic_next_tsc(const struct soft_vp *vp)
{
    return vp->lapic->next;
}

void lapic_run_timer(struct soft_vp *vp)
{
    if (vp->lapic->next > soft_tsc(vp))
        return;
    vp->lapic->next = UINT64_MAX;
    vp->lapic->expired++;
}

int lapic_pending(struct soft_vp *vp)
{
    return __atomic_load_n(&vp->lapic->irr, __ATOMIC_SEQ_CST) ? 0x30 : -1;
}

bool lapic_extint_enabled(const struct soft_vp *vp)
{
    return false;
}

void sys_reset(struct soft_vp *vp, bool init)
{
    vp->halted = false;
    vp->mp_state = MP_WAIT_SIPI;
}

void sys_sipi(struct soft_vp *vp, uint8_t vector)
{
    vp->mp_state = MP_RUNNING;
    vp->rip = (uint64_t)vector << 12;
}

/* ---- a machine ------------------------------------------------------------------------------- */

struct box {
    struct soft s;
    struct clock clock;
    struct lapic lapic[VPS];
    unsigned deadlines;
    uint64_t world;        /* plain: written only while all others stand */
    uint64_t owned[VPS];   /* plain: written by its VP in guest code, by others at safe points */
    uint64_t visits[VPS];  /* plain: by others at safe points only */
    uint32_t stop;
};

static void on_deadline(void *owner, struct vp *vp)
{
    ((struct box *)owner)->deadlines++;
}

static const struct exit_ops exits = { .deadline = on_deadline };

static struct box *box_new(unsigned n)
{
    struct box *b = calloc(1, sizeof *b);

    clock_init(&b->clock);
    b->s.part.cfg = (struct partition_config){ .n_vps = n, .exits = &exits, .owner = b,
                                               .clock = &b->clock };
    b->s.part.tsc_hz = clock_tsc_hz();
    threads_new(&b->s);
    for (unsigned i = 0; i < n; i++) {
        struct soft_vp *vp = aligned_alloc(64, ALIGN_UP(sizeof *vp, 64));

        memset(vp, 0, sizeof *vp);
        vp->soft = &b->s;
        vp->vp.index = i;
        vp->rflags = F_IF;
        vp->lapic = &b->lapic[i];
        vp->lapic->next = UINT64_MAX;
        b->s.part.vp[i] = &vp->vp;
        threads_init(vp);
    }
    return b;
}

static void box_free(struct box *b)
{
    for (unsigned i = 0; i < b->s.part.cfg.n_vps; i++) {
        threads_done(soft_vp_at(&b->s, i));
        free(soft_vp_at(&b->s, i));
    }
    threads_free(&b->s);
    free(b);
}

struct job {
    struct box *b;
    struct soft_vp *vp;
    unsigned rounds;
    uint64_t seed, sum;
    pthread_t thread;
};

static void run_all(struct box *b, struct job *j, unsigned n, void *(*fn)(void *), unsigned rounds)
{
    for (unsigned i = 0; i < n; i++) {
        j[i] = (struct job){ .b = b, .vp = i < b->s.part.cfg.n_vps ? soft_vp_at(&b->s, i) : NULL,
                             .rounds = rounds, .seed = i + 1 };
        pthread_create(&j[i].thread, NULL, fn, &j[i]);
    }
    for (unsigned i = 0; i < n; i++)
        pthread_join(j[i].thread, NULL);
}

/* ---- exclusion ------------------------------------------------------------------------------- */

static void visit(struct soft_vp *target, void *arg)
{
    struct box *b = container_of(target->soft, struct box, s);

    b->owned[target->vp.index]++;
    b->visits[target->vp.index]++;
}

static void guest_work(struct job *j)
{
    struct box *b = j->b;

    for (unsigned k = 0; k < 50; k++) {
        b->owned[j->vp->vp.index] += 2;
        j->sum += b->world;
    }
}

static void *stress(void *arg)
{
    struct job *j = arg;
    struct box *b = j->b;
    struct soft_vp *vp = j->vp;
    struct rng rng;

    rng_init(&rng, j->seed);
    soft_enter(vp);
    for (unsigned i = 0; i < j->rounds; i++) {
        guest_work(j);
        if (__atomic_load_n(&vp->attention, __ATOMIC_RELAXED))
            (void)soft_attend(vp);
        switch (rng_below(&rng, 8)) {
        case 0:
            soft_stop_others(vp);
            b->world++;
            soft_stop_others(vp); /* nests */
            soft_rendezvous(vp, 1u << rng_below(&rng, VPS), visit, NULL);
            soft_resume_others(vp);
            b->world++;
            soft_resume_others(vp);
            break;
        case 1:
            soft_rendezvous(vp, rng_u64(&rng), visit, NULL);
            break;
        case 2: /* an exit, and what may happen in one */
            soft_leave(vp);
            if (rng_below(&rng, 4) == 0)
                sched_yield();
            if (rng_below(&rng, 4) == 0)
                soft_rendezvous(vp, ~UINT64_C(0), visit, NULL);
            soft_enter(vp);
            break;
        }
    }
    soft_leave(vp);
    return NULL;
}

static void *stress_outside(void *arg)
{
    struct job *j = arg;

    if (j->vp)
        return stress(arg);
    for (unsigned i = 0; i < j->rounds / 10; i++) {
        soft_rendezvous_from(&j->b->s, NULL, ~UINT64_C(0), visit, NULL);
        sched_yield();
    }
    return NULL;
}

TEST(stopping_excludes)
{
    struct box *b = box_new(VPS);
    struct job j[VPS + 1];
    unsigned rounds = 4000;

    run_all(b, j, VPS + 1, stress_outside, rounds);
    for (unsigned i = 0; i < VPS; i++)
        EXPECT_EQ(b->owned[i], 100ull * rounds + b->visits[i]);
    EXPECT(b->world > 0 && b->world % 2 == 0);
    box_free(b);
}

/* ---- sleep and wake-up ----------------------------------------------------------------------- */

/* Pass a token around: each VP halts until its interrupt comes. */
static void *relay(void *arg)
{
    struct job *j = arg;
    struct soft_vp *vp = j->vp, *next = soft_vp_at(&j->b->s, (vp->vp.index + 1) % VPS);

    soft_enter(vp);
    for (unsigned i = 0; i < j->rounds; i++) {
        if (!(vp->vp.index == 0 && i == 0)) {
            for (;;) {
                if (__atomic_load_n(&vp->attention, __ATOMIC_RELAXED) & ~(unsigned)ATT_IRQ)
                    (void)soft_attend(vp);
                __atomic_fetch_and(&vp->attention, ~(uint32_t)ATT_IRQ, __ATOMIC_SEQ_CST);
                if (__atomic_exchange_n(&vp->lapic->irr, 0, __ATOMIC_SEQ_CST))
                    break;
                soft_sleep(vp);
            }
        }
        j->b->owned[0]++; /* plain: handed on with the token */
        __atomic_store_n(&next->lapic->irr, 1, __ATOMIC_SEQ_CST);
        soft_notify(next, ATT_IRQ);
        if (i % 16 == 0)
            soft_rendezvous(vp, ~UINT64_C(0), visit, NULL);
    }
    soft_leave(vp);
    return NULL;
}

TEST(no_wake_up_is_lost)
{
    struct box *b = box_new(VPS);
    struct job j[VPS];

    run_all(b, j, VPS, relay, 3000);
    EXPECT_EQ(b->owned[0], 3000ull * VPS + b->visits[0]);
    box_free(b);
}

/* Many wake one sleeper, each again as soon as it was heard. */
#define CALLERS 6

struct calls {
    struct job j[CALLERS + 1];
    uint32_t word[CALLERS]; /* 1: calls */
    unsigned heard, rounds;
};

static void *callee(void *arg)
{
    struct job *j = arg;
    struct calls *c = container_of(j, struct calls, j[CALLERS]);

    soft_enter(j->vp);
    while (c->heard < CALLERS * c->rounds) {
        soft_sleep(j->vp);
        __atomic_fetch_and(&j->vp->attention, ~(uint32_t)ATT_IRQ, __ATOMIC_SEQ_CST);
        __atomic_store_n(&j->vp->lapic->irr, 0, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < CALLERS; i++)
            c->heard += __atomic_exchange_n(&c->word[i], 0, __ATOMIC_SEQ_CST);
    }
    soft_leave(j->vp);
    return NULL;
}

static void *caller(void *arg)
{
    struct job *j = arg;
    struct calls *c = (struct calls *)(void *)(j - j->seed);

    for (unsigned i = 0; i < c->rounds; i++) {
        __atomic_store_n(&c->word[j->seed], 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&j->vp->lapic->irr, 1, __ATOMIC_SEQ_CST);
        soft_notify(j->vp, ATT_IRQ);
        while (__atomic_load_n(&c->word[j->seed], __ATOMIC_SEQ_CST))
            sched_yield();
    }
    return NULL;
}

TEST(a_late_waker_does_not_hide_the_next_one)
{
    struct box *b = box_new(1);
    struct calls c = { .rounds = 3000 };

    for (unsigned i = 0; i <= CALLERS; i++) {
        c.j[i] = (struct job){ .b = b, .vp = soft_vp_at(&b->s, 0), .seed = i };
        pthread_create(&c.j[i].thread, NULL, i == CALLERS ? callee : caller, &c.j[i]);
    }
    for (unsigned i = 0; i <= CALLERS; i++)
        pthread_join(c.j[i].thread, NULL);
    EXPECT_EQ(c.heard, CALLERS * c.rounds);
    box_free(b);
}

static uint64_t ns_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static uint64_t cpu_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

TEST(timers_end_a_sleep)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = soft_vp_at(&b->s, 0);
    uint64_t t0 = ns_now(), c0 = cpu_now();

    soft_enter(vp);
    vp->lapic->next = soft_tsc(vp) + b->s.part.tsc_hz / 50; /* 20 ms */
    soft_timers_changed(vp);
    soft_sleep(vp);
    EXPECT(ns_now() - t0 >= 20 * NS_PER_MS && ns_now() - t0 < 2 * NS_PER_S);
    EXPECT(cpu_now() - c0 < 5 * NS_PER_MS);
    EXPECT(!soft_attend(vp));
    EXPECT_EQ(vp->lapic->expired, 1);

    t0 = ns_now();
    vp->deadline_ns = clock_now_ns(&b->clock) + 10 * NS_PER_MS;
    soft_timers_changed(vp);
    soft_sleep(vp);
    EXPECT(ns_now() - t0 >= 10 * NS_PER_MS);
    EXPECT_EQ(b->deadlines, 0);
    EXPECT(!soft_attend(vp));
    EXPECT_EQ(b->deadlines, 1);
    EXPECT_EQ(vp->deadline_ns, UINT64_MAX);

    soft_notify(vp, ATT_KICK);
    soft_sleep(vp);
    EXPECT(soft_attend(vp));
    EXPECT(!soft_attend(vp));
    soft_leave(vp);
    box_free(b);
}

TEST(a_running_vp_notices_its_timers)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = soft_vp_at(&b->s, 0);
    uint64_t t0, late = 0;

    soft_enter(vp);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t want = NS_PER_MS + i * 100 * NS_PER_US;

        t0 = ns_now();
        if (i % 2) {
            vp->deadline_ns = clock_now_ns(&b->clock) + want;
        } else {
            vp->lapic->next = soft_tsc(vp) + want * b->s.part.tsc_hz / NS_PER_S;
        }
        soft_timers_changed(vp);
        while (!(__atomic_load_n(&vp->attention, __ATOMIC_RELAXED) & ATT_DEADLINE))
            soft_poll(vp);
        EXPECT(ns_now() - t0 + 2000 >= want);
        late = MAX(late, ns_now() - t0 - want);
        (void)soft_attend(vp);
    }
    EXPECT_EQ(vp->lapic->expired, 10);
    EXPECT_EQ(b->deadlines, 10);
    soft_leave(vp);
    box_free(b);
}

TEST(start_up)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = soft_vp_at(&b->s, 0);

    soft_enter(vp);
    vp->mp_state = MP_WAIT_INIT;
    soft_notify(vp, ATT_SIPI); /* comes too early: lost */
    soft_attend(vp);
    EXPECT_EQ(vp->mp_state, MP_WAIT_INIT);
    soft_notify(vp, ATT_INIT);
    soft_sleep(vp);
    soft_attend(vp);
    EXPECT_EQ(vp->mp_state, MP_WAIT_SIPI);
    vp->sipi_vector = 0x9a;
    soft_notify(vp, ATT_SIPI);
    soft_sleep(vp);
    soft_attend(vp);
    EXPECT_EQ(vp->mp_state, MP_RUNNING);
    EXPECT_EQ(vp->rip, 0x9a000);
    soft_leave(vp);
    box_free(b);
}

/* More VPs than host CPUs: all but the last spin with PAUSE until it is their turn. */
static void *spin_turns(void *arg)
{
    struct job *j = arg;
    struct soft_vp *vp = j->vp;

    soft_enter(vp);
    for (unsigned i = 0; i < j->rounds; i++) {
        while (__atomic_load_n(&j->b->stop, __ATOMIC_ACQUIRE) != i * VPS + vp->vp.index) {
            soft_pause(vp);
            if (__atomic_load_n(&vp->attention, __ATOMIC_RELAXED))
                (void)soft_attend(vp);
        }
        __atomic_fetch_add(&j->b->stop, 1, __ATOMIC_RELEASE);
    }
    soft_leave(vp);
    return NULL;
}

TEST(spinning_vps_let_others_run)
{
    struct box *b = box_new(VPS);
    struct job j[VPS];
    uint64_t t0 = ns_now();

    run_all(b, j, VPS, spin_turns, 200);
    EXPECT(ns_now() - t0 < 2 * NS_PER_S);
    printf("# 800 turns in %llu us\n", (unsigned long long)(ns_now() - t0) / 1000);
    box_free(b);
}
