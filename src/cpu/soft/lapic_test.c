/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lapic_test.c - the local APIC alone: VPs are structs, time moves by the TSC offset. */
#include "cpu/soft/lapic.h"

#include "base/test.h"
#include "cpu/soft/apic_regs.h"
#include "cpu/soft/mem.h"
#include "cpu/soft/soft.h"

#define HZ  UINT64_C(2000000000)
#define VPS 20

static unsigned flushes, eois, last_eoi;

void soft_notify(struct soft_vp *vp, enum attention what)
{
    __atomic_fetch_or(&vp->attention, what, __ATOMIC_SEQ_CST);
}

void soft_timers_changed(struct soft_vp *vp)
{
}

void soft_leave(struct soft_vp *vp)
{
}

void soft_enter(struct soft_vp *vp)
{
}

void mmu_flush_all(struct soft_vp *vp, bool globals)
{
    flushes++;
}

static void on_eoi(void *owner, struct vp *vp, uint8_t vector)
{
    eois++;
    last_eoi = vector;
}

static const struct exit_ops exits = { .eoi = on_eoi };

static struct soft *box_new(unsigned n)
{
    struct soft *s = calloc(1, sizeof *s);

    flushes = eois = 0;
    s->part.cfg = (struct partition_config){ .n_vps = n, .exits = &exits };
    s->part.tsc_hz = HZ;
    for (unsigned i = 0; i < n; i++) {
        struct soft_vp *vp = aligned_alloc(64, ALIGN_UP(sizeof *vp, 64));

        memset(vp, 0, sizeof *vp);
        vp->soft = s;
        vp->vp.index = i;
        vp->msrs.apic_base = 0xfee00800 | (i ? 0 : 0x100);
        s->part.vp[i] = &vp->vp;
        if (lapic_init(vp) < 0)
            abort();
        lapic_reset(vp, false);
        lapic_write(vp, APIC_SVR, 0x1ff);
    }
    return s;
}

static void box_free(struct soft *s)
{
    for (unsigned i = 0; i < s->part.cfg.n_vps; i++) {
        lapic_done(soft_vp_at(s, i));
        free(soft_vp_at(s, i));
    }
    free(s);
}

static void go_x2(struct soft *s)
{
    for (unsigned i = 0; i < s->part.cfg.n_vps; i++)
        if (!lapic_set_base(soft_vp_at(s, i), soft_vp_at(s, i)->msrs.apic_base | 0x400))
            abort();
}

/* Which VPs have this vector pending?  Takes it. */
static uint64_t got(struct soft *s, int vector)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < s->part.cfg.n_vps; i++) {
        struct soft_vp *vp = soft_vp_at(s, i);

        vp->attention = 0;
        if (lapic_pending(vp) == vector && lapic_take(vp) == vector) {
            mask |= UINT64_C(1) << i;
            lapic_write(vp, APIC_EOI, 0);
        }
    }
    return mask;
}

static uint64_t attention_of(struct soft *s, uint32_t bit)
{
    uint64_t mask = 0;

    for (unsigned i = 0; i < s->part.cfg.n_vps; i++) {
        if (soft_vp_at(s, i)->attention & bit)
            mask |= UINT64_C(1) << i;
        soft_vp_at(s, i)->attention = 0;
    }
    return mask;
}

TEST(auto_eoi_vectors_never_are_in_service)
{
    struct soft *s = box_new(1);
    struct soft_vp *vp = soft_vp_at(s, 0);
    const uint64_t both[4] = { [0] = UINT64_C(1) << 0x31, [3] = UINT64_C(1) << (0xf3 - 192) };

    lapic_auto_eoi(vp, both);
    lapic_accept(vp, 0xf3, false);
    lapic_accept(vp, 0xf1, false);
    EXPECT_EQ(lapic_take(vp), 0xf3);
    EXPECT_EQ(lapic_read(vp, APIC_PPR), 0);
    EXPECT_EQ(lapic_take(vp), 0xf1); /* of the same class, and held back by nothing */
    lapic_accept(vp, 0xf3, false);
    EXPECT_EQ(lapic_pending(vp), -1); /* 0xf1 is an ordinary one */
    lapic_write(vp, APIC_EOI, 0);
    EXPECT_EQ(lapic_take(vp), 0xf3);
    lapic_reset(vp, true);
    lapic_write(vp, APIC_SVR, 0x1ff);
    lapic_accept(vp, 0x31, false);
    EXPECT_EQ(lapic_take(vp), 0x31); /* stays over an INIT */
    EXPECT_EQ(lapic_read(vp, APIC_PPR), 0);
    box_free(s);
}

TEST(priorities)
{
    struct soft *s = box_new(1);
    struct soft_vp *vp = soft_vp_at(s, 0);

    EXPECT_EQ(lapic_pending(vp), -1);
    lapic_accept(vp, 0x31, false);
    lapic_accept(vp, 0x45, false);
    EXPECT(vp->attention & ATT_IRQ);
    EXPECT_EQ(lapic_take(vp), 0x45);
    EXPECT_EQ(lapic_pending(vp), -1);
    EXPECT_EQ(lapic_read(vp, APIC_PPR), 0x40);
    lapic_accept(vp, 0x4f, false); /* same class: waits */
    EXPECT_EQ(lapic_pending(vp), -1);
    lapic_accept(vp, 0x51, false);
    EXPECT_EQ(lapic_take(vp), 0x51);
    lapic_write(vp, APIC_EOI, 0);
    EXPECT_EQ(lapic_pending(vp), -1);
    vp->attention = 0;
    lapic_write(vp, APIC_EOI, 0);
    EXPECT(vp->attention & ATT_IRQ);
    EXPECT_EQ(lapic_take(vp), 0x4f);
    lapic_write(vp, APIC_EOI, 0);
    lapic_set_cr8(vp, 3);
    EXPECT_EQ(lapic_read(vp, APIC_TPR), 0x30);
    EXPECT_EQ(lapic_pending(vp), -1);
    vp->attention = 0;
    lapic_set_cr8(vp, 2);
    EXPECT(vp->attention & ATT_IRQ);
    EXPECT_EQ(lapic_cr8(vp), 2);
    EXPECT_EQ(lapic_take(vp), 0x31);
    EXPECT_EQ(lapic_read(vp, APIC_ISR + 0x10), 1u << 0x11);
    lapic_write(vp, APIC_EOI, 0);
    lapic_write(vp, APIC_EOI, 0); /* one too many */
    EXPECT_EQ(eois, 0);
    box_free(s);
}

TEST(level_triggered)
{
    struct soft *s = box_new(1);
    struct soft_vp *vp = soft_vp_at(s, 0);

    lapic_message(s, 0xfee00000, 0xc000 | 0x61); /* level */
    EXPECT_EQ(lapic_take(vp), 0x61);
    EXPECT_EQ(eois, 0);
    lapic_write(vp, APIC_EOI, 0);
    EXPECT_EQ(eois, 1);
    EXPECT_EQ(last_eoi, 0x61);
    lapic_message(s, 0xfee00000, 0x61); /* the same vector, edge */
    EXPECT_EQ(lapic_take(vp), 0x61);
    lapic_write(vp, APIC_EOI, 0);
    EXPECT_EQ(eois, 1);
    box_free(s);
}

TEST(destinations)
{
    struct soft *s = box_new(VPS);
    uint64_t all = (1u << VPS) - 1;

    lapic_message(s, 0xfee00000 | 3 << 12, 0x41);
    EXPECT_EQ(got(s, 0x41), 1 << 3);
    lapic_message(s, 0xfee00000 | 0xff << 12, 0x41);
    EXPECT_EQ(got(s, 0x41), all);
    /* flat */
    for (unsigned i = 0; i < VPS; i++)
        lapic_write(soft_vp_at(s, i), APIC_LDR, i < 8 ? 1u << (24 + i) : 0);
    lapic_message(s, 0xfee00004 | 0x15 << 12, 0x41);
    EXPECT_EQ(got(s, 0x41), 0x15);
    /* lowest priority: by TPR */
    lapic_write(soft_vp_at(s, 0), APIC_TPR, 0x20);
    lapic_write(soft_vp_at(s, 4), APIC_TPR, 0x10);
    lapic_message(s, 0xfee00004 | 0x11 << 12, 0x141);
    EXPECT_EQ(got(s, 0x41), 1 << 4);
    lapic_message(s, 0xfee0000c | 0x05 << 12, 0x41); /* redirection hint */
    EXPECT_EQ(got(s, 0x41), 1 << 2);
    /* cluster */
    for (unsigned i = 0; i < VPS; i++) {
        lapic_write(soft_vp_at(s, i), APIC_DFR, 0);
        lapic_write(soft_vp_at(s, i), APIC_LDR, (i / 4) << 28 | 1u << (24 + i % 4));
    }
    lapic_message(s, 0xfee00004 | 0x2a << 12, 0x51);
    EXPECT_EQ(got(s, 0x51), 1 << 9 | 1 << 11);
    /* modes */
    lapic_message(s, 0xfee00000 | 2 << 12, 0x400);
    EXPECT_EQ(attention_of(s, ATT_NMI), 1 << 2);
    lapic_message(s, 0xfee00000 | 2 << 12, 0x500);
    EXPECT_EQ(attention_of(s, ATT_INIT), 1 << 2);
    s->extint = 1;
    EXPECT(!lapic_extint_enabled(soft_vp_at(s, 5)));
    lapic_message(s, 0xfee00000 | 5 << 12, 0x700);
    EXPECT_EQ(attention_of(s, ATT_IRQ), 1 << 5);
    EXPECT(lapic_extint_enabled(soft_vp_at(s, 5)));
    s->extint = 0;
    lapic_extint_enabled(soft_vp_at(s, 5));
    s->extint = 1;
    EXPECT(!lapic_extint_enabled(soft_vp_at(s, 5)));
    box_free(s);
}

static void ipi(struct soft_vp *vp, uint32_t dest, uint32_t low)
{
    lapic_write(vp, APIC_ICR2, dest << 24);
    lapic_write(vp, APIC_ICR, low);
}

TEST(ipis)
{
    struct soft *s = box_new(VPS);
    struct soft_vp *vp = soft_vp_at(s, 1);
    uint64_t all = (1u << VPS) - 1;

    ipi(vp, 7, 0x4041);
    EXPECT_EQ(got(s, 0x41), 1 << 7);
    ipi(vp, 7, 1 << 18 | 0x41);
    EXPECT_EQ(got(s, 0x41), 1 << 1);
    ipi(vp, 7, 2 << 18 | 0x41);
    EXPECT_EQ(got(s, 0x41), all);
    ipi(vp, 7, 3 << 18 | 0x41);
    EXPECT_EQ(got(s, 0x41), all & ~2u);
    attention_of(s, 0);
    ipi(vp, 3, 0x4500);
    EXPECT_EQ(attention_of(s, ATT_INIT), 1 << 3);
    ipi(vp, 3, 0x8500); /* de-assert */
    EXPECT_EQ(attention_of(s, ATT_INIT), 0);
    ipi(vp, 3, 0x469a);
    EXPECT_EQ(attention_of(s, ATT_SIPI), 1 << 3);
    EXPECT_EQ(soft_vp_at(s, 3)->sipi_vector, 0x9a);
    ipi(vp, 0, 3 << 18 | 0x400);
    EXPECT_EQ(attention_of(s, ATT_NMI), all & ~2u);
    EXPECT_EQ(lapic_read(vp, APIC_ICR), 3 << 18 | 0x400);
    /* errors */
    ipi(vp, 3, 5);
    EXPECT_EQ(lapic_read(vp, APIC_ESR), 0);
    lapic_write(vp, APIC_ESR, 0);
    EXPECT_EQ(lapic_read(vp, APIC_ESR), 1 << 5);
    lapic_write(vp, APIC_ESR, 0);
    EXPECT_EQ(lapic_read(vp, APIC_ESR), 0);
    lapic_write(vp, APIC_LVT_ERROR, 0xfe);
    lapic_accept(vp, 3, false);
    EXPECT_EQ(lapic_take(vp), 0xfe);
    lapic_read(vp, 0x3f0);
    lapic_write(vp, APIC_ESR, 0);
    EXPECT_EQ(lapic_read(vp, APIC_ESR), 1 << 6 | 1 << 7);
    box_free(s);
}

TEST(x2apic)
{
    struct soft *s = box_new(VPS);
    struct soft_vp *vp = soft_vp_at(s, 17);
    uint64_t v, all = (1u << VPS) - 1;

    EXPECT(!lapic_msr_read(vp, 0x802, &v)); /* not yet */
    EXPECT(lapic_covers(vp, GPA(0xfee00020)));
    go_x2(s);
    EXPECT(flushes >= VPS);
    EXPECT(!lapic_covers(vp, GPA(0xfee00020)));
    EXPECT(lapic_msr_read(vp, 0x802, &v));
    EXPECT_EQ(v, 17);
    EXPECT(lapic_msr_read(vp, 0x80d, &v));
    EXPECT_EQ(v, 1 << 16 | 2);
    EXPECT(!lapic_msr_write(vp, 0x80d, v));
    EXPECT(!lapic_msr_read(vp, 0x80e, &v)); /* DFR */
    EXPECT(!lapic_msr_read(vp, 0x831, &v));
    EXPECT(!lapic_msr_read(vp, 0x80b, &v));
    EXPECT(!lapic_msr_write(vp, 0x80b, 1));
    EXPECT(!lapic_msr_write(vp, 0x808, 0x100));
    EXPECT(lapic_msr_write(vp, 0x830, UINT64_C(5) << 32 | 0x41));
    EXPECT(lapic_msr_read(vp, 0x830, &v));
    EXPECT_EQ(v, UINT64_C(5) << 32 | 0x41);
    EXPECT_EQ(got(s, 0x41), 1 << 5);
    box_free(s);

    s = box_new(VPS);
    go_x2(s);
    vp = soft_vp_at(s, 17);
    struct { uint64_t icr, to; } cases[] = {
        { UINT64_C(5) << 32 | 0x41, 1 << 5 },
        { UINT64_C(0xffffffff) << 32 | 0x41, all },
        { UINT64_C(0xff) << 32 | 0x41, 0 },
        { UINT64_C(0x10005) << 32 | 0x841, 1 << 16 | 1 << 18 }, /* logical: cluster 1 */
        { UINT64_C(0x8001) << 32 | 0x841, 1 << 0 | 1 << 15 },
        { 3 << 18 | 0x41, all & ~(UINT64_C(1) << 17) },
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t mask = 0;

        EXPECT(lapic_msr_write(vp, 0x830, cases[i].icr));
        for (unsigned n = 0; n < VPS; n++) {
            struct soft_vp *to = soft_vp_at(s, n);

            if (lapic_take(to) != 0x41)
                continue;
            mask |= UINT64_C(1) << n;
            EXPECT(lapic_msr_write(to, 0x80b, 0));
        }
        EXPECT_EQ(mask, cases[i].to);
    }
    EXPECT(lapic_msr_write(vp, 0x83f, 0x77));
    EXPECT_EQ(lapic_take(vp), 0x77);
    EXPECT(!lapic_msr_write(vp, 0x83f, 0x100));
    EXPECT(!lapic_msr_read(vp, 0x83f, &v));
    EXPECT(!lapic_msr_write(vp, 0x830, 1 << 13));
    /* Ways between the modes */
    EXPECT(!lapic_set_base(vp, 0xfee00800));
    EXPECT(lapic_set_base(vp, 0xfee00000));
    EXPECT(!lapic_set_base(vp, 0xfee00c00));
    EXPECT(!lapic_set_base(vp, 0xfee00400));
    EXPECT(lapic_set_base(vp, 0xfee00800));
    EXPECT_EQ(lapic_read(vp, APIC_SVR), 0xff); /* off loses all */
    EXPECT(!lapic_set_base(vp, UINT64_C(1) << 52 | 0x800));
    EXPECT(!lapic_set_base(vp, 0xfee00801));
    box_free(s);
}

static void pass(struct soft_vp *vp, uint64_t ns)
{
    vp->tsc_offset += ns * (HZ / 1000000) / 1000;
}

/* Time has its own will a little: rdtsc runs on. */
static bool near(uint64_t v, uint64_t want, uint64_t slack)
{
    return v <= want && v + slack >= want;
}

TEST(timer_one_shot)
{
    struct soft *s = box_new(1);
    struct soft_vp *vp = soft_vp_at(s, 0);

    lapic_write(vp, APIC_LVT_TIMER, 0xec);
    lapic_write(vp, APIC_TIMER_DIV, 3); /* 16 */
    lapic_write(vp, APIC_TIMER_INIT, 1000000); /* 16 ms */
    EXPECT(near(lapic_next_tsc(vp) - soft_tsc(vp), 16000000 * 2, 10000000));
    EXPECT(near(lapic_read(vp, APIC_TIMER_NOW), 1000000, 300000));
    pass(vp, 4000000);
    EXPECT(near(lapic_read(vp, APIC_TIMER_NOW), 750000, 300000));
    lapic_run_timer(vp);
    EXPECT_EQ(lapic_pending(vp), -1);
    pass(vp, 12000000);
    EXPECT_EQ(lapic_read(vp, APIC_TIMER_NOW), 0);
    lapic_run_timer(vp);
    EXPECT_EQ(lapic_take(vp), 0xec);
    EXPECT_EQ(lapic_next_tsc(vp), UINT64_MAX);
    lapic_run_timer(vp);
    EXPECT_EQ(lapic_pending(vp), -1);
    lapic_write(vp, APIC_TIMER_INIT, 1000000);
    lapic_write(vp, APIC_TIMER_INIT, 0);
    EXPECT_EQ(lapic_next_tsc(vp), UINT64_MAX);
    lapic_write(vp, APIC_TIMER_DIV, 0xb); /* 1 */
    lapic_write(vp, APIC_TIMER_INIT, 1);
    pass(vp, 10);
    lapic_run_timer(vp);
    lapic_write(vp, APIC_EOI, 0);
    EXPECT_EQ(lapic_take(vp), 0xec);
    box_free(s);
}

TEST(timer_periodic_and_masked)
{
    struct soft *s = box_new(1);
    struct soft_vp *vp = soft_vp_at(s, 0);
    uint64_t first;

    lapic_write(vp, APIC_TIMER_DIV, 0xb);
    lapic_write(vp, APIC_LVT_TIMER, 1 << 17 | 0xec);
    lapic_write(vp, APIC_TIMER_INIT, 100000000); /* 100 ms */
    first = lapic_next_tsc(vp);
    pass(vp, 350000000); /* three and a half periods: one interrupt, the phase stays */
    lapic_run_timer(vp);
    EXPECT_EQ(lapic_take(vp), 0xec);
    lapic_write(vp, APIC_EOI, 0);
    EXPECT_EQ(lapic_pending(vp), -1);
    EXPECT_EQ(lapic_next_tsc(vp), first + 3 * (HZ / 10));
    lapic_write(vp, APIC_LVT_TIMER, 1 << 17 | LVT_MASKED | 0xec);
    EXPECT_EQ(lapic_next_tsc(vp), UINT64_MAX);
    pass(vp, 100000000);
    EXPECT(lapic_read(vp, APIC_TIMER_NOW) > 0);
    lapic_write(vp, APIC_LVT_TIMER, 1 << 17 | 0xec); /* what expired masked is lost */
    EXPECT_EQ(lapic_pending(vp), -1);
    EXPECT_EQ(lapic_next_tsc(vp), first + 4 * (HZ / 10));
    /* Software-disabling masks. */
    lapic_write(vp, APIC_SVR, 0xff);
    EXPECT_EQ(lapic_next_tsc(vp), UINT64_MAX);
    lapic_write(vp, APIC_LVT_TIMER, 0xec);
    EXPECT(lapic_read(vp, APIC_LVT_TIMER) & LVT_MASKED);
    lapic_accept(vp, 0x41, false);
    EXPECT_EQ(lapic_pending(vp), -1);
    box_free(s);
}

TEST(timer_tsc_deadline)
{
    struct soft *s = box_new(1);
    struct soft_vp *vp = soft_vp_at(s, 0);
    uint64_t v;

    EXPECT(lapic_msr_write(vp, 0x6e0, 1)); /* not the mode: ignored */
    EXPECT(lapic_msr_read(vp, 0x6e0, &v));
    EXPECT_EQ(v, 0);
    lapic_write(vp, APIC_LVT_TIMER, 2 << 17 | 0xec);
    lapic_write(vp, APIC_TIMER_INIT, 5);
    EXPECT_EQ(lapic_next_tsc(vp), UINT64_MAX);
    v = soft_tsc(vp) + HZ;
    EXPECT(lapic_msr_write(vp, 0x6e0, v));
    EXPECT_EQ(lapic_next_tsc(vp), v);
    lapic_run_timer(vp);
    EXPECT_EQ(lapic_pending(vp), -1);
    pass(vp, NS_PER_S);
    lapic_run_timer(vp);
    EXPECT_EQ(lapic_take(vp), 0xec);
    EXPECT(lapic_msr_read(vp, 0x6e0, &v));
    EXPECT_EQ(v, 0);
    lapic_msr_write(vp, 0x6e0, 1); /* long past */
    EXPECT(lapic_next_tsc(vp) < soft_tsc(vp));
    lapic_msr_write(vp, 0x6e0, 0);
    EXPECT_EQ(lapic_next_tsc(vp), UINT64_MAX);
    lapic_msr_write(vp, 0x6e0, soft_tsc(vp) + HZ);
    lapic_write(vp, APIC_LVT_TIMER, 0xec); /* leaving the mode disarms */
    EXPECT_EQ(lapic_next_tsc(vp), UINT64_MAX);
    box_free(s);
}

TEST(virtual_wire)
{
    struct soft *s = box_new(2);
    struct soft_vp *vp = soft_vp_at(s, 0);

    s->extint = 1;
    lapic_reset(vp, false);
    EXPECT(lapic_extint_enabled(vp)); /* from power-on */
    EXPECT(!lapic_extint_enabled(soft_vp_at(s, 1)));
    lapic_write(vp, APIC_SVR, 0x1ff);
    lapic_write(vp, APIC_LVT_LINT0, LVT_MASKED | 0x700);
    EXPECT(!lapic_extint_enabled(vp));
    vp->attention = 0;
    lapic_write(vp, APIC_LVT_LINT0, 0x700);
    EXPECT(lapic_extint_enabled(vp));
    EXPECT(vp->attention & ATT_IRQ);
    lapic_set_base(vp, 0xfee00100);
    EXPECT(lapic_extint_enabled(vp));
    box_free(s);
}

TEST(saved_and_restored)
{
    struct soft *s = box_new(2), *t = box_new(2);
    struct soft_vp *vp = soft_vp_at(s, 1), *to = soft_vp_at(t, 1);
    uint8_t page[1024], again[1024];

    lapic_write(vp, APIC_LVT_TIMER, 1 << 17 | 0xec);
    lapic_write(vp, APIC_TIMER_DIV, 0xb);
    lapic_write(vp, APIC_TIMER_INIT, 1000000000);
    lapic_write(vp, APIC_TPR, 0x20);
    lapic_write(vp, APIC_LDR, 0x02000000);
    lapic_accept(vp, 0x51, true);
    lapic_accept(vp, 0x61, false);
    EXPECT_EQ(lapic_take(vp), 0x61);
    pass(vp, 300000000);
    lapic_get_page(vp, page);
    EXPECT_EQ(get_le32(page + APIC_ID), 1u << 24);
    EXPECT(lapic_set_page(to, page));
    EXPECT_EQ(lapic_pending(to), -1);
    lapic_write(to, APIC_EOI, 0);
    EXPECT_EQ(lapic_take(to), 0x51);
    lapic_write(to, APIC_EOI, 0);
    EXPECT_EQ(last_eoi, 0x51);
    EXPECT(near(lapic_next_tsc(to) - soft_tsc(to), HZ / 10 * 7, HZ / 10));
    lapic_get_page(to, again);
    EXPECT(memcmp(page + APIC_LVT_TIMER, again + APIC_LVT_TIMER, 0x60) == 0);
    EXPECT_EQ(get_le32(again + APIC_LDR), 0x02000000);
    /* Hostile bytes make an APIC that works. */
    memset(page, 0xff, sizeof page);
    EXPECT(lapic_set_page(to, page));
    EXPECT_EQ(lapic_pending(to), -1); /* TPR */
    lapic_write(to, APIC_TPR, 0);
    while (lapic_read(to, APIC_PPR))
        lapic_write(to, APIC_EOI, 0);
    EXPECT_EQ(lapic_take(to), 0xff);
    box_free(s);
    box_free(t);
}
