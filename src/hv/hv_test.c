/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_test.c - CPUID, MSRs, reference time, crash, reset, save and restore. */
#include "base/test.h"
#include "hv/hv_model.h"

static void done(struct hv_model *m)
{
    hv_model_done(m);
}

TEST(linux_finds_hyper_v)
{
    AUTO(done) struct hv_model m;
    struct cpuid_entry e[HV_CPUID_ENTRIES];

    hv_model_init(&m, 2, false);
    hv_cpuid(m.hv, e);
    EXPECT_EQ(e[0].leaf, 0x40000000);
    EXPECT_EQ(memcmp(&e[0].ebx, "Micr", 4), 0);
    EXPECT_EQ(memcmp(&e[0].ecx, "osof", 4), 0);
    EXPECT_EQ(memcmp(&e[0].edx, "t Hv", 4), 0);
    EXPECT(e[0].eax >= 0x40000005 && e[0].eax <= 0x4000ffff);
    EXPECT_EQ(e[3].eax & 0x60, 0x60);
    EXPECT_EQ(e[3].ebx & (1u << 12 | 1u << 22 | 1u << 1), 0); /* neither root nor isolated */
    EXPECT(e[4].eax & 1u << 9);
    EXPECT_EQ(e[4].ebx, UINT32_MAX);
    for (unsigned i = 0; i < HV_CPUID_ENTRIES; i++)
        EXPECT(e[i].leaf == 0x40000000 + i && e[i].leaf <= e[0].eax);
}

TEST(what_is_not_offered_faults)
{
    AUTO(done) struct hv_model m;
    struct cpuid_entry e[HV_CPUID_ENTRIES];
    struct vp *vp;
    uint64_t v;

    hv_model_init(&m, 1, false);
    struct hv_config cfg = {
        .part = m.part,
        .gmem = m.gmem,
        .clock = &m.clock,
        .n_vps = 1,
    };
    struct hv *bare = NULL;
    EXPECT_EQ(hv_new(&cfg, &bare, NULL), 0);
    vp = hv_model_vp(&m, 0);
    hv_cpuid(bare, e);
    EXPECT_EQ(e[3].eax, 0x866);
    EXPECT_EQ(e[4].eax & ~0x20u, 0x200);
    EXPECT(!hv_msr_read(bare, vp, HV_MSR_STIMER0_CONFIG, &v));
    EXPECT(!hv_msr_write(bare, vp, HV_MSR_STIMER0_COUNT, 1));
    EXPECT(!hv_msr_write(bare, vp, HV_MSR_REF_TSC, 1));
    EXPECT(!hv_msr_read(bare, vp, HV_MSR_TSC_INVARIANT, &v));
    EXPECT(!hv_msr_write(bare, vp, HV_MSR_RESET, 1));
    hv_free(bare);

    EXPECT(!hv_msr_write(m.hv, vp, HV_MSR_VP_INDEX, 0));
    EXPECT(!hv_msr_write(m.hv, vp, HV_MSR_SVERSION, 0));
    EXPECT(!hv_msr_read(m.hv, vp, 0x40000010, &v));
    EXPECT(!hv_msr_read(m.hv, vp, 0x400000f0, &v));
    EXPECT(!hv_msr_read(m.hv, vp, 0x400001ff, &v));
    EXPECT(!hv_msr_read(m.hv, vp, 0x40000200, &v));
    EXPECT(!hv_msr_read(m.hv, vp, 0x3fffffff, &v));
    EXPECT(!hv_msr_write(m.hv, vp, HV_MSR_SINT0 + 2, 15)); /* no vector below 16 */
    EXPECT(hv_msr_write(m.hv, vp, HV_MSR_SINT0 + 2, HV_SINT_MASKED));
}

TEST(vp_msrs_are_of_the_vp)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 3, false);
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(hv_model_rdmsr(&m, i, HV_MSR_VP_INDEX), i);
        EXPECT_EQ(hv_model_rdmsr(&m, i, HV_MSR_SINT0 + 5), HV_SINT_MASKED);
        EXPECT_EQ(hv_model_rdmsr(&m, i, HV_MSR_SVERSION), 1);
        hv_model_wrmsr(&m, i, HV_MSR_VP_ASSIST, 0x5001 + i * 0x1000); /* before the guest id */
    }
    EXPECT_EQ(hv_model_rdmsr(&m, 1, HV_MSR_VP_ASSIST), 0x6001);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_TSC_FREQUENCY), (long long)MODEL_TSC_HZ);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_APIC_FREQUENCY), (long long)MODEL_APIC_HZ);
}

TEST(the_hypercall_page_needs_a_guest_id)
{
    AUTO(done) struct hv_model m;
    uint8_t code[8];

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_HYPERCALL, MODEL_HYPERCALL_PAGE | 1);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_HYPERCALL), MODEL_HYPERCALL_PAGE);
    hv_model_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, 1);
    hv_model_wrmsr(&m, 0, HV_MSR_HYPERCALL, MODEL_HYPERCALL_PAGE | 1);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_HYPERCALL), MODEL_HYPERCALL_PAGE | 1);
    gmem_read(m.gmem, GPA(MODEL_HYPERCALL_PAGE), code, sizeof code);
    EXPECT_EQ(memcmp(code, "\xf3\x0f\x1e\xfa\xe7\xb1\xc3\xcc", 8), 0);

    EXPECT(!hv_msr_write(m.hv, hv_model_vp(&m, 0), HV_MSR_HYPERCALL, 0xfee00001)); /* no RAM */
    hv_model_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, 0);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_HYPERCALL), MODEL_HYPERCALL_PAGE);

    hv_model_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, 1);
    hv_model_wrmsr(&m, 0, HV_MSR_HYPERCALL, MODEL_HYPERCALL_PAGE | 3);
    hv_model_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0); /* locked */
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_HYPERCALL), MODEL_HYPERCALL_PAGE | 3);
}

/* ---- reference time ------------------------------------------------------------------------ */

/* As the guest computes it from the page. */
static uint64_t page_time(struct hv_model *m)
{
    struct hv_ref_tsc_page p;

    gmem_read(m->gmem, GPA(MODEL_TSC_PAGE), &p, sizeof p);
    if (!p.sequence)
        return 0;
    return (uint64_t)(((unsigned __int128)partition_tsc(m->part) * p.scale) >> 64) +
           (uint64_t)p.offset;
}

TEST(counter_and_page_agree)
{
    AUTO(done) struct hv_model m;
    uint64_t last = 0;

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_REF_TSC, MODEL_TSC_PAGE | 1);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_REF_COUNT), 0);
    for (unsigned i = 0; i < 1000; i++) {
        clock_advance(&m.clock, 1234567 + i);
        uint64_t now = hv_model_rdmsr(&m, 0, HV_MSR_REF_COUNT);
        EXPECT(now == page_time(&m) && now > last);
        EXPECT(now <= clock_now_ns(&m.clock) / 100 && now + 2 >= clock_now_ns(&m.clock) / 100);
        last = now;
    }
}

TEST(a_pause_leaves_no_gap_in_reference_time)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_REF_TSC, MODEL_TSC_PAGE | 1);
    clock_advance(&m.clock, NS_PER_S);
    uint64_t tsc = partition_tsc(m.part), before = hv_ref_time(m.hv);
    clock_advance(&m.clock, 100 * NS_PER_S); /* the host's TSC ran on */
    partition_set_tsc(m.part, tsc);
    EXPECT_EQ(hv_ref_time(m.hv), before);
    EXPECT_EQ(page_time(&m), before);
}

TEST(restore_on_another_frequency_goes_on_where_it_was)
{
    AUTO(done) struct hv_model m;
    AUTO(buf_done) struct buf b = { 0 };
    struct hv_ref_tsc_page p;

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_REF_TSC, MODEL_TSC_PAGE | 1);
    clock_advance(&m.clock, 10 * NS_PER_S);
    uint64_t before = hv_ref_time(m.hv), tsc = partition_tsc(m.part);
    hv_save(m.hv, &b);

    struct partition *old = m.part;
    m.part = model_partition_new(&m.clock, 1, 3 * UINT64_C(1000000000));
    partition_set_tsc(m.part, tsc);
    hv_model_renew(&m);
    model_partition_free(old);
    struct bytes from = bytes_of(b.p, b.n);
    EXPECT_EQ(hv_load(m.hv, &from, NULL), 0);
    EXPECT_EQ(from.n, 0);
    EXPECT_EQ(hv_ref_time(m.hv), before);
    EXPECT_EQ(page_time(&m), before);
    gmem_read(m.gmem, GPA(MODEL_TSC_PAGE), &p, sizeof p);
    EXPECT_EQ(p.sequence, 2);
    clock_advance(&m.clock, NS_PER_S);
    EXPECT(hv_ref_time(m.hv) - before - 10000000 + 2 < 4);
    EXPECT_EQ(page_time(&m), hv_ref_time(m.hv));
}

/* ---- crash, reset -------------------------------------------------------------------------- */

TEST(a_panic_brings_its_values_and_the_log)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 2, false);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_CRASH_CTL) >> 62, 3);
    for (uint32_t i = 0; i < 5; i++)
        hv_model_wrmsr(&m, 1, HV_MSR_CRASH_P0 + i, 0x10 + i);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_CRASH_P0 + 4), 0x14); /* of the partition */
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY);
    EXPECT_EQ(m.crashes, 1);
    EXPECT_EQ(m.crash[2], 0x12);
    EXPECT_STR(m.crash_log, "");

    gmem_write(m.gmem, GPA(MODEL_FREE), "Kernel panic", 12);
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_P0 + 3, MODEL_FREE);
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_P0 + 4, 12);
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
    EXPECT_STR(m.crash_log, "Kernel panic");

    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_P0 + 4, 4097); /* longer than a page: left out */
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
    EXPECT_STR(m.crash_log, "");
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_P0 + 3, UINT64_MAX - 3); /* nor is it anywhere */
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_P0 + 4, 12);
    hv_model_wrmsr(&m, 1, HV_MSR_CRASH_CTL, HV_CRASH_NOTIFY | HV_CRASH_MESSAGE);
    EXPECT_EQ(m.crashes, 4);
    EXPECT_STR(m.crash_log, "");
}

TEST(reset_msr_asks_the_machine)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 1, false);
    hv_model_wrmsr(&m, 0, HV_MSR_RESET, 0);
    EXPECT_EQ(m.resets, 0);
    hv_model_wrmsr(&m, 0, HV_MSR_RESET, 1);
    EXPECT_EQ(m.resets, 1);
}

TEST(reset_forgets_everything_but_the_time)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 2, false);
    hv_model_boot(&m);
    hv_model_wrmsr(&m, 1, HV_MSR_STIMER0_CONFIG, 0x1ed9);
    hv_model_wrmsr(&m, 1, HV_MSR_STIMER0_COUNT, 1000);
    EXPECT(model_deadline(hv_model_vp(&m, 1)) != UINT64_MAX);
    for (unsigned i = 0; i < 3; i++)
        EXPECT_EQ(synic_post(m.hv, 1, 2, 1, "x", 1), 0);
    clock_advance(&m.clock, 1050);
    hv_reset(m.hv);
    EXPECT_EQ(model_deadline(hv_model_vp(&m, 1)), -1);
    EXPECT_EQ(synic_queued(m.hv, 1, 2), 0);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_GUEST_OS_ID), 0);
    EXPECT_EQ(hv_model_rdmsr(&m, 0, HV_MSR_HYPERCALL), 0);
    EXPECT_EQ(hv_model_rdmsr(&m, 1, HV_MSR_SINT0 + 2), HV_SINT_MASKED);
    EXPECT_EQ(hv_model_rdmsr(&m, 1, HV_MSR_SIMP), 0);
    EXPECT_EQ(hv_model_rdmsr(&m, 1, HV_MSR_STIMER0_CONFIG), 0);
    EXPECT_EQ(hv_model_rdmsr(&m, 1, HV_MSR_REF_COUNT), 10);
}

/* ---- save and restore ---------------------------------------------------------------------- */

TEST(saved_state_goes_on_in_another_hv)
{
    AUTO(done) struct hv_model m;
    AUTO(buf_done) struct buf b = { 0 };
    struct hv_message got;

    hv_model_init(&m, 2, false);
    hv_model_boot(&m);
    hv_model_wrmsr(&m, 1, HV_MSR_STIMER0_CONFIG, 0x1ed9);
    hv_model_wrmsr(&m, 1, HV_MSR_STIMER0_COUNT, 50);
    for (uint8_t i = 0; i < 5; i++)
        EXPECT_EQ(synic_post(m.hv, 1, 2, 1, &i, 1), 0);
    EXPECT_EQ(synic_queued(m.hv, 1, 2), 4);
    hv_save(m.hv, &b);
    hv_model_renew(&m);
    model_interrupts(hv_model_vp(&m, 1), MODEL_VECTOR);

    struct bytes from = bytes_of(b.p, b.n);
    EXPECT_EQ(hv_load(m.hv, &from, NULL), 0);
    EXPECT_EQ(from.n, 0);
    EXPECT_EQ(synic_queued(m.hv, 1, 2), 4);
    EXPECT_EQ(model_deadline(hv_model_vp(&m, 1)), 5100);
    for (unsigned i = 0; i < 5; i++) {
        EXPECT(hv_model_take(&m, 1, 2, &got));
        EXPECT_EQ(got.payload[0], i);
    }
    EXPECT(!hv_model_take(&m, 1, 2, &got));
    clock_advance(&m.clock, 5101);
    hv_deadline(m.hv, hv_model_vp(&m, 1));
    EXPECT_EQ(model_interrupts(hv_model_vp(&m, 1), 0xed), 1);

    /* Any one byte that is missing is noticed. */
    for (size_t n = 0; n < b.n; n += 97) {
        from = bytes_of(b.p, n);
        hv_model_renew(&m);
        EXPECT(hv_load(m.hv, &from, NULL) < 0);
    }
}

TEST(the_dump_is_text)
{
    AUTO(done) struct hv_model m;
    char text[65536] = "";

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    FILE *f = fmemopen(text, sizeof text - 1, "w");
    hv_dump(m.hv, f);
    fclose(f);
    EXPECT_HAS(text, "hv.vp0.scontrol = 0x1");
    EXPECT_HAS(text, "hv.guest_os_id = 0x8100000601c00000");
}
