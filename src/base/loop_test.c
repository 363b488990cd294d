/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/loop.h"

#include "base/test.h"

struct seen {
    struct timer t;
    struct work w;
    struct clock *c;
    uint64_t at;
    unsigned n;
};

static void on_timer(struct timer *t)
{
    struct seen *s = container_of(t, struct seen, t);

    s->at = clock_now_ns(s->c);
    s->n++;
}

static void on_work(struct work *w)
{
    container_of(w, struct seen, w)->n++;
}

TEST(timers_run_in_order_and_once)
{
    struct clock c;
    struct seen s[50] = { 0 };

    clock_init_manual(&c);
    struct loop *l = loop_new(&c);
    for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
        s[i].c = &c;
        timer_init(&s[i].t, l, on_timer);
        timer_arm(&s[i].t, 1000 + (i * 37) % 50 * 10);
    }
    timer_disarm(&s[7].t);
    timer_arm(&s[8].t, 5000);
    while (clock_now_ns(&c) < 3000) {
        clock_advance(&c, 10);
        loop_poll(l);
    }
    for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
        if (i == 7 || i == 8)
            continue;
        EXPECT_EQ(s[i].at, 1000 + (i * 37) % 50 * 10);
        EXPECT_EQ(s[i].n, 1);
    }
    EXPECT_EQ(s[7].n, 0);
    EXPECT_EQ(s[8].n, 0);
    EXPECT(timer_armed(&s[8].t));
    clock_advance(&c, 10000);
    loop_poll(l);
    EXPECT_EQ(s[8].n, 1);
    EXPECT(!timer_armed(&s[8].t));
    loop_free(l);
}

TEST(posted_work_runs_once_however_often_posted)
{
    struct clock c;
    struct seen a = { .w.run = on_work }, b = { .w.run = on_work };

    clock_init_manual(&c);
    struct loop *l = loop_new(&c);
    loop_post(l, &a.w);
    loop_post(l, &a.w);
    loop_post(l, &b.w);
    loop_unpost(l, &b.w);
    loop_poll(l);
    EXPECT_EQ(a.n, 1);
    EXPECT_EQ(b.n, 0);
    loop_post(l, &b.w);
    loop_poll(l);
    EXPECT_EQ(b.n, 1);
    loop_free(l);
}

TEST(a_real_clock_wakes_the_loop)
{
    struct clock c;
    struct seen s = { .c = &c };

    clock_init(&c);
    struct loop *l = loop_new(&c);
    timer_init(&s.t, l, on_timer);
    timer_arm(&s.t, clock_now_ns(&c) + 2 * NS_PER_MS);
    while (!s.n)
        loop_poll(l);
    EXPECT(s.at >= 2 * NS_PER_MS);
    loop_free(l);
}
