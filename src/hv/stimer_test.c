/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/test.h"
#include "hv/hv_model.h"

#define DIRECT        0x1ed9 /* as Linux: enable, auto-enable, vector 0xed, direct */
#define DIRECT_VECTOR 0xed

static void done(struct hv_model *m)
{
    hv_model_done(m);
}

/* Let time pass as an engine does: the deadline exit comes when it is due. */
static unsigned run_to(struct hv_model *m, unsigned vp, uint64_t ns)
{
    unsigned exits = 0;

    for (; model_deadline(hv_model_vp(m, vp)) <= ns; exits++) {
        uint64_t at = model_deadline(hv_model_vp(m, vp)), now = clock_now_ns(&m->clock);
        clock_advance(&m->clock, at > now ? at - now : 0);
        hv_deadline(m->hv, hv_model_vp(m, vp));
    }
    clock_advance(&m->clock, ns - clock_now_ns(&m->clock));
    return exits;
}

TEST(one_shot_fires_once_and_clears_enable)
{
    AUTO(done) struct hv_model m;
    struct vp *vp;

    hv_model_init(&m, 1, false);
    vp = hv_model_vp(&m, 0);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, DIRECT);
    EXPECT_EQ(model_deadline(vp), -1); /* count 0: must not fire */
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 10000);
    EXPECT_EQ(model_deadline(vp), 1000100);
    run_to(&m, 0, 1000000);
    EXPECT_EQ(model_interrupts(vp, DIRECT_VECTOR), 0);
    run_to(&m, 0, 1000200);
    EXPECT_EQ(model_interrupts(vp, DIRECT_VECTOR), 1);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_STIMER0_CONFIG), DIRECT & ~1);
    EXPECT_EQ(model_deadline(vp), -1);

    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 5); /* auto-enable, in the past: at once */
    EXPECT_EQ(model_interrupts(vp, DIRECT_VECTOR), 1);
    EXPECT_EQ(model_deadline(vp), -1);
}

TEST(count_zero_stops)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, DIRECT);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 100);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 0);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_STIMER0_CONFIG) & 1, 0);
    run_to(&m, 0, NS_PER_S);
    EXPECT_EQ(model_interrupts(hv_model_vp(&m, 0), DIRECT_VECTOR), 0);
}

TEST(the_earliest_of_four_is_the_deadline)
{
    AUTO(done) struct hv_model m;
    struct vp *vp;

    hv_model_init(&m, 2, false);
    vp = hv_model_vp(&m, 1);
    for (uint32_t i = 0; i < 4; i++) {
        hv_model_wrmsr(&m, 1, HV_MSR_STIMER0_CONFIG + 2 * i, 0x1009 | (0x40 + i) << 4);
        hv_model_wrmsr(&m, 1, HV_MSR_STIMER0_COUNT + 2 * i, 4000 - 1000 * i);
    }
    EXPECT_EQ(model_deadline(vp), 100100);
    EXPECT_EQ(run_to(&m, 1, 210000), 2);
    EXPECT_EQ(model_interrupts(vp, 0x43), 1);
    EXPECT_EQ(model_interrupts(vp, 0x42), 1);
    EXPECT_EQ(model_interrupts(vp, 0x41), 0);
    EXPECT_EQ(model_deadline(hv_model_vp(&m, 0)), -1);
}

TEST(periodic_keeps_its_phase)
{
    AUTO(done) struct hv_model m;
    struct vp *vp;

    hv_model_init(&m, 1, false);
    vp = hv_model_vp(&m, 0);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 10000);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, 0x1ed3);
    run_to(&m, 0, 10 * NS_PER_MS + 1000);
    EXPECT_EQ(model_interrupts(vp, DIRECT_VECTOR), 10);
    clock_advance(&m.clock, 35 * NS_PER_MS / 10); /* three missed: one interrupt for all */
    hv_deadline(m.hv, vp);
    EXPECT_EQ(model_interrupts(vp, DIRECT_VECTOR), 1);
    uint64_t at = model_deadline(vp);
    EXPECT(at >= 14 * NS_PER_MS && at < 14 * NS_PER_MS + 1000);
}

TEST(a_period_of_nothing_is_held_back)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 1);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, 0x1ed3);
    EXPECT(run_to(&m, 0, NS_PER_MS) <= 21);
}

TEST(senseless_configurations_do_nothing)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 1);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, 1); /* SINT 0 */
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_STIMER0_CONFIG), 0);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, 0x1001); /* vector 0 */
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_STIMER0_CONFIG), 0x1000);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, UINT64_MAX); /* periodic, direct, vector 255 */
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, UINT64_MAX);
    EXPECT_EQ(model_deadline(hv_model_vp(&m, 0)), (long long)(UINT64_MAX - 1));
    hv_deadline(m.hv, hv_model_vp(&m, 0)); /* too early: set again */
    EXPECT_EQ(model_deadline(hv_model_vp(&m, 0)), (long long)(UINT64_MAX - 1));
}

TEST(message_mode_shares_the_slot_with_messages)
{
    AUTO(done) struct hv_model m;
    struct hv_timer_message tm;
    struct hv_message got;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "b", 1), 0);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG + 2, 2 << 16 | 9);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT + 2, 1000);
    run_to(&m, 0, 300000);
    EXPECT(hv_model_take(&m, 0, 2, &got)); /* was in the slot already */
    EXPECT_EQ(got.payload[0], 'a');
    EXPECT(hv_model_take(&m, 0, 2, &got));
    EXPECT_EQ(got.type, HV_MESSAGE_TIMER_EXPIRED);
    EXPECT_EQ(got.size, 24);
    memcpy(&tm, got.payload, sizeof tm);
    EXPECT_EQ(tm.index, 1);
    EXPECT_EQ(tm.expiration, 1000);
    EXPECT(tm.delivery >= 2999 && tm.delivery <= 3000);
    EXPECT(hv_model_take(&m, 0, 2, &got));
    EXPECT_EQ(got.payload[0], 'b');
    EXPECT(!hv_model_take(&m, 0, 2, &got));
    EXPECT_EQ(model_interrupts(hv_model_vp(&m, 0), MODEL_VECTOR), 3);
}

TEST(a_stopped_timer_takes_its_message_back)
{
    AUTO(done) struct hv_model m;
    struct hv_message got;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    EXPECT_EQ(synic_post(m.hv, 0, 2, 1, "a", 1), 0);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG, 2 << 16 | 9);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 1000);
    run_to(&m, 0, 300000);
    hv_model_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 0);
    EXPECT(hv_model_take(&m, 0, 2, &got));
    EXPECT(!hv_model_take(&m, 0, 2, &got));
}
