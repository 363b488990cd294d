/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synic_test.c - messages in order, the pending flag, EOM, events, and both with real threads. */
#include <errno.h>
#include <pthread.h>

#include "base/test.h"
#include "hv/hv_model.h"

static void done(struct hv_model *m)
{
    hv_model_done(m);
}

TEST(messages_come_one_an_interrupt_and_in_order)
{
    AUTO(done) struct hv_model m;
    struct hv_message got;

    hv_model_init(&m, 2, false);
    hv_model_boot(&m);
    for (uint8_t i = 0; i < 10; i++)
        EXPECT_EQ(synic_post(m.hv, 1, 2, 1, &i, 1), 0);
    for (uint8_t i = 0; i < 10; i++) {
        EXPECT_EQ(model_interrupts(hv_model_vp(&m, 1), MODEL_VECTOR), 1);
        EXPECT(hv_model_take(&m, 1, 2, &got));
        EXPECT_EQ(got.type, 1);
        EXPECT_EQ(got.size, 1);
        EXPECT_EQ(got.payload[0], i);
        EXPECT_EQ(got.flags & HV_MESSAGE_PENDING, i < 9);
    }
    EXPECT(!hv_model_take(&m, 1, 2, &got));
    EXPECT_EQ(model_interrupts(hv_model_vp(&m, 1), MODEL_VECTOR), 0);
    EXPECT_EQ(model_interrupts(hv_model_vp(&m, 0), MODEL_VECTOR), 0);
}

TEST(messages_wait_until_the_guest_is_ready)
{
    AUTO(done) struct hv_model m;
    struct hv_message got;
    struct vp *vp;

    hv_model_init(&m, 1, false);
    vp = hv_model_vp(&m, 0);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
    hv_model_wrmsr(&m, 0, HV_MSR_SIMP, MODEL_SIMP(0) | 1);
    hv_model_wrmsr(&m, 0, HV_MSR_SINT0 + 2, MODEL_VECTOR | HV_SINT_MASKED);
    hv_model_wrmsr(&m, 0, HV_MSR_SCONTROL, 1);
    EXPECT(!hv_model_take(&m, 0, 2, &got));
    hv_model_wrmsr(&m, 0, HV_MSR_SINT0 + 2, MODEL_VECTOR);
    EXPECT_EQ(model_interrupts(vp, MODEL_VECTOR), 1);
    EXPECT(hv_model_take(&m, 0, 2, &got));

    /* A page that is no RAM delivers nothing and breaks nothing. */
    hv_model_wrmsr(&m, 0, HV_MSR_SIMP, UINT64_C(0xfee00001));
    hv_model_wrmsr(&m, 0, HV_MSR_SIEFP, UINT64_MAX);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "b", 1), 0);
    EXPECT(!synic_signal(m.hv, 0, 2, 7));
    EXPECT_EQ(model_interrupts(vp, MODEL_VECTOR), 0);
    hv_model_wrmsr(&m, 0, HV_MSR_SIMP, MODEL_SIMP(0) | 1);
    EXPECT(hv_model_take(&m, 0, 2, &got));
    EXPECT_EQ(got.payload[0], 'b');
}

TEST(the_engine_knows_which_vectors_end_by_themselves)
{
    AUTO(done) struct hv_model m;
    AUTO(buf_done) struct buf saved = { 0 };
    struct vp *vp;

    hv_model_init(&m, 2, false);
    vp = hv_model_vp(&m, 1);
    hv_model_wrmsr(&m, 1, HV_MSR_SINT0 + 2, 0xf3 | HV_SINT_AUTO_EOI);
    hv_model_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x51 | HV_SINT_AUTO_EOI | HV_SINT_MASKED);
    hv_model_wrmsr(&m, 1, HV_MSR_SINT0 + 5, 0x52);
    EXPECT(model_auto_eoi(vp, 0xf3));
    EXPECT(!model_auto_eoi(vp, 0x51) && !model_auto_eoi(vp, 0x52));
    EXPECT(!model_auto_eoi(hv_model_vp(&m, 0), 0xf3));
    hv_model_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x51 | HV_SINT_AUTO_EOI);
    EXPECT(model_auto_eoi(vp, 0xf3) && model_auto_eoi(vp, 0x51));

    hv_save(m.hv, &saved);
    hv_reset(m.hv);
    EXPECT(!model_auto_eoi(vp, 0xf3) && !model_auto_eoi(vp, 0x51));
    struct bytes from = bytes_of(saved.p, saved.n);
    EXPECT_EQ(hv_load(m.hv, &from, NULL), 0);
    EXPECT(model_auto_eoi(vp, 0xf3) && model_auto_eoi(vp, 0x51));
    hv_model_wrmsr(&m, 1, HV_MSR_SINT0 + 2, 0xf3); /* the flag went */
    EXPECT(!model_auto_eoi(vp, 0xf3) && model_auto_eoi(vp, 0x51));
}

TEST(the_queue_has_an_end)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 1, false);
    for (unsigned i = 0; i < SYNIC_QUEUE_MAX; i++)
        EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), -ENOSPC);
    EXPECT_EQ(synic_post(m.hv, 0, 3, 1, "a", 1), 0);
    synic_forget(m.hv, 0, 2);
    EXPECT_EQ(synic_queued(m.hv, 0, 2), 0);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
}

TEST(a_page_starts_empty)
{
    AUTO(done) struct hv_model m;
    struct hv_message got;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
    hv_model_wrmsr(&m, 0, HV_MSR_SIMP, MODEL_SIMP(0) | 1); /* the same again: it stays */
    EXPECT(hv_model_take(&m, 0, 2, &got));
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "b", 1), 0);
    hv_model_wrmsr(&m, 0, HV_MSR_SIMP, 0);
    hv_model_wrmsr(&m, 0, HV_MSR_SIMP, MODEL_SIMP(0) | 1);
    EXPECT(!hv_model_take(&m, 0, 2, &got));
}

TEST(events_interrupt_once_until_cleared)
{
    AUTO(done) struct hv_model m;
    struct vp *vp;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    vp = hv_model_vp(&m, 0);
    EXPECT(synic_signal(m.hv, 0, 2, 2047));
    EXPECT(synic_signal(m.hv, 0, 2, 2047));
    EXPECT_EQ(model_interrupts(vp, MODEL_VECTOR), 1);
    EXPECT(hv_model_take_event(&m, 0, 2, 2047));
    EXPECT(!hv_model_take_event(&m, 0, 2, 2046));
    EXPECT(synic_signal(m.hv, 0, 2, 2047));
    EXPECT_EQ(model_interrupts(vp, MODEL_VECTOR), 1);
    hv_model_wrmsr(&m, 0, HV_MSR_SCONTROL, 0);
    EXPECT(!synic_signal(m.hv, 0, 2, 3));
}

TEST(a_polled_sint_is_silent)
{
    AUTO(done) struct hv_model m;
    struct hv_message got;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    hv_model_wrmsr(&m, 0, HV_MSR_SINT0 + 2, MODEL_VECTOR | HV_SINT_POLLING);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
    EXPECT_EQ(model_interrupts(hv_model_vp(&m, 0), MODEL_VECTOR), 0);
    EXPECT(hv_model_take(&m, 0, 2, &got));
}

/* ---- ports hear when a queue has run empty ------------------------------------------------- */

static unsigned drained;

static void on_drained(void *owner, unsigned vp, unsigned sint)
{
    *(unsigned *)owner += vp == 0 && sint == 2;
}

TEST(a_drained_queue_is_told)
{
    AUTO(done) struct hv_model m;
    static const struct synic_ports ports = { .drained = on_drained };
    struct hv_message got;

    hv_model_init(&m, 1, false);
    drained = 0;
    synic_set_ports(m.hv, &ports, &drained);
    hv_model_boot(&m);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
    EXPECT(hv_model_take(&m, 0, 2, &got));
    EXPECT_EQ(drained, 0);
    EXPECT(hv_model_take(&m, 0, 2, &got));
    EXPECT_EQ(drained, 1);
}

/* ---- threads: nothing is lost -------------------------------------------------------------- */

#define ROUNDS 20000u

static void *post_many(void *arg)
{
    struct hv_model *m = arg;

    for (uint32_t i = 0; i < ROUNDS;) {
        if (synic_post(m->hv, 0, 2, 1, &i, sizeof i) == 0)
            i++;
        else
            sched_yield();
    }
    return NULL;
}

TEST(no_message_is_lost_between_threads)
{
    AUTO(done) struct hv_model m;
    struct hv_message got;
    pthread_t t;
    uint32_t next = 0;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    pthread_create(&t, NULL, post_many, &m);
    while (next < ROUNDS) {
        if (!model_wait(hv_model_vp(&m, 0), MODEL_VECTOR, 10000)) {
            EXPECT(!"a message came without its interrupt, or none");
            break;
        }
        while (hv_model_take(&m, 0, 2, &got)) {
            if (get_le32(got.payload) != next)
                EXPECT_EQ(get_le32(got.payload), next);
            next++;
        }
    }
    pthread_join(t, NULL);
}

/* Two at a time, then silence: a second one that is stuck has nobody who frees it. */
static void *post_pairs(void *arg)
{
    struct hv_model *m = arg;

    for (uint32_t i = 0; i < ROUNDS; i += 2) {
        synic_post(m->hv, 0, 2, 1, &i, sizeof i);
        synic_post(m->hv, 0, 2, 1, &i, sizeof i);
        while (__atomic_load_n(&m->resets, __ATOMIC_ACQUIRE) < i + 2)
            sched_yield();
    }
    return NULL;
}

TEST(no_message_is_stuck_behind_another)
{
    AUTO(done) struct hv_model m;
    struct hv_message got;
    pthread_t t;
    unsigned n = 0; /* and m.resets: what the other thread may know of it */

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    pthread_create(&t, NULL, post_pairs, &m);
    while (n < ROUNDS) {
        if (!model_wait(hv_model_vp(&m, 0), MODEL_VECTOR, 5000)) {
            EXPECT(!"a message is stuck");
            n = ROUNDS;
        }
        while (hv_model_take(&m, 0, 2, &got))
            n++;
        __atomic_store_n(&m.resets, n, __ATOMIC_RELEASE);
    }
    pthread_join(t, NULL);
}

static void *signal_many(void *arg)
{
    struct hv_model *m = arg;

    for (unsigned i = 1; i <= ROUNDS; i++) {
        /* Each flag again only when it was taken: then each needs its own interrupt. */
        uint8_t *flags = gmem_host(m->gmem, GPA(MODEL_SIEFP(0) + 2 * 256), 256);
        unsigned flag = 1 + i % 64;
        while (__atomic_load_n(&flags[flag / 8], __ATOMIC_ACQUIRE) & 1u << flag % 8)
            sched_yield();
        synic_signal(m->hv, 0, 2, flag);
    }
    return NULL;
}

TEST(no_event_is_lost_between_threads)
{
    AUTO(done) struct hv_model m;
    pthread_t t;
    unsigned n = 0;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    pthread_create(&t, NULL, signal_many, &m);
    while (n < ROUNDS) {
        if (!model_wait(hv_model_vp(&m, 0), MODEL_VECTOR, 10000)) {
            EXPECT(!"an event came without its interrupt, or none");
            break;
        }
        for (unsigned flag = 1; flag <= 64; flag++)
            n += hv_model_take_event(&m, 0, 2, flag);
    }
    pthread_join(t, NULL);
}
