/* SPDX-License-Identifier: GPL-2.0-or-later */
/* soft_test.c - whole soft machines through engine.h: guests of a few instructions on real threads,
 * their timers, atomics, stops, and state taken in the middle and carried into another machine. */
#include <time.h>
#include <unistd.h>

#include "base/test.h"
#include "cpu/soft/smp.h"

#define VPS 4

/* ---- guests ---------------------------------------------------------------------------------- */

/* RBX: data; R12: VP number.  The data page is described by the offsets used below. */
asm(".pushsection .rodata\n"
    ".globl guest_timer, guest_timer_irq, guest_timer_end, guest_smp, guest_smp_end\n"
    ".globl guest_idle, guest_idle_end\n"
    /* Every 200 us a TSC-deadline interrupt while the main loop computes; the handler notes how late
     * it is.  [rbx]: count, +8: sum of lateness, +16: the worst, +24: TSC ticks of 200 us, +32: deadline,
     * +40: how many, +48: those less than +56 late. */
    "guest_timer:\n"
    "  mov $0xfee000f0, %edi\n"
    "  movl $0x1ff, (%rdi)\n" /* SVR */
    "  mov $0xfee00320, %edi\n"
    "  movl $0x40040, (%rdi)\n" /* LVT: deadline, vector 0x40 */
    "  call arm\n"
    "  sti\n"
    "1: imul $0x41c64e6d, %r8\n"
    "  add $12345, %r8\n"
    "  mov %r8, 64(%rbx)\n"
    "  mov 40(%rbx), %rcx\n"
    "  cmp %rcx, (%rbx)\n"
    "  jb 1b\n"
    "  cli\n"
    "  out %al, $0x80\n"
    "  jmp 1b\n"
    "arm:\n"
    "  rdtsc\n"
    "  shl $32, %rdx\n"
    "  or %rdx, %rax\n"
    "  add 24(%rbx), %rax\n"
    "  mov %rax, 32(%rbx)\n"
    "  mov %rax, %rdx\n"
    "  shr $32, %rdx\n"
    "  mov $0x6e0, %ecx\n"
    "  wrmsr\n"
    "  ret\n"
    "guest_timer_irq:\n"
    "  push %rax\n  push %rcx\n  push %rdx\n"
    "  rdtsc\n"
    "  shl $32, %rdx\n"
    "  or %rdx, %rax\n"
    "  sub 32(%rbx), %rax\n"
    "  add %rax, 8(%rbx)\n"
    "  cmp 16(%rbx), %rax\n"
    "  jb 2f\n"
    "  mov %rax, 16(%rbx)\n"
    "2: cmp 56(%rbx), %rax\n"
    "  adcq $0, 48(%rbx)\n"
    "  incq (%rbx)\n"
    "  call arm\n"
    "  mov $0xfee000b0, %ecx\n"
    "  movl $0, (%rcx)\n" /* EOI */
    "  pop %rdx\n  pop %rcx\n  pop %rax\n"
    "  iretq\n"
    "guest_timer_end:\n"

    /* RCX rounds of: an atomic increment, one that crosses pages, a spinlock around a plain one.
     * [rbx]: atomic, +8: lock, +16: under the lock; 4092: across the page. */
    "guest_smp:\n"
    "1: lock incq (%rbx)\n"
    "  test $31, %cl\n"
    "  jnz 5f\n"
    "  lock incq 4092(%rbx)\n"
    "5: mov $1, %eax\n"
    "2: xchg %eax, 8(%rbx)\n"
    "  test %eax, %eax\n"
    "  jz 3f\n"
    "  pause\n"
    "  jmp 2b\n"
    "3: incq 16(%rbx)\n"
    "  movl $0, 8(%rbx)\n"
    "  dec %rcx\n"
    "  jnz 1b\n"
    "  out %al, $0x80\n"
    "4: cli\n"
    "  hlt\n"
    "  jmp 4b\n"
    "guest_smp_end:\n"

    /* Halt for a one-shot timer of RCX ns, RDX times. */
    "guest_idle:\n"
    "  mov $0xfee000f0, %edi\n"
    "  movl $0x1ff, (%rdi)\n"
    "  mov $0xfee003e0, %edi\n"
    "  movl $0xb, (%rdi)\n"
    "  mov $0xfee00320, %edi\n"
    "  movl $0x41, (%rdi)\n"
    "1: mov $0xfee00380, %edi\n"
    "  mov %ecx, (%rdi)\n"
    "  sti\n"
    "  hlt\n"
    "  cli\n"
    "  mov $0xfee000b0, %edi\n"
    "  movl $0, (%rdi)\n"
    "  dec %edx\n"
    "  jnz 1b\n"
    "  out %al, $0x80\n"
    "  jmp 1b\n"
    "guest_idle_irq:\n"
    "  iretq\n"
    "guest_idle_end:\n"
    ".popsection\n");
extern const uint8_t guest_timer[], guest_timer_irq[], guest_timer_end[];
extern const uint8_t guest_smp[], guest_smp_end[];
extern const uint8_t guest_idle[], guest_idle_end[];

static uint64_t ns_of(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* ---- tests ----------------------------------------------------------------------------------- */

TEST(timers_of_a_busy_vp_are_in_time)
{
    struct machine *m = machine_new(1, TEST_MODE);
    uint64_t hz = partition_tsc_hz(m->p), n = 500;

    machine_prepare(m, guest_timer, guest_timer_end, CODE_AT + (uint64_t)(guest_timer_irq - guest_timer));
    machine_put64(m, DATA_AT + 24, hz / 5000);
    machine_put64(m, DATA_AT + 40, n);
    machine_put64(m, DATA_AT + 56, hz / 1000);
    machine_start(m, 0, 0, 0);
    machine_go(m, 1);
    machine_join(m, 1);
    EXPECT_EQ(m->done, 1);
    uint64_t mean = machine_get64(m, DATA_AT + 8) / n * 1000000 / (hz / 1000);
    printf("# late: mean %llu ns, worst %llu ns, %llu of %llu less than 1 ms\n",
           (unsigned long long)mean,
           (unsigned long long)(machine_get64(m, DATA_AT + 16) * 1000000 / (hz / 1000)),
           (unsigned long long)machine_get64(m, DATA_AT + 48), (unsigned long long)n);
    EXPECT(machine_get64(m, DATA_AT + 48) > n / 2); /* the host may be busy with others */
    machine_free(m);
}

TEST(a_halted_vp_costs_nothing)
{
    struct machine *m = machine_new(1, TEST_MODE);
    uint64_t t0, c0;

    machine_prepare(m, guest_idle, guest_idle_end, CODE_AT + (uint64_t)(guest_idle_end - guest_idle - 2));
    machine_start(m, 0, 10000000, 20); /* 20 times 10 ms */
    t0 = ns_of(CLOCK_MONOTONIC);
    c0 = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    machine_go(m, 1);
    machine_join(m, 1);
    t0 = ns_of(CLOCK_MONOTONIC) - t0;
    c0 = ns_of(CLOCK_PROCESS_CPUTIME_ID) - c0;
    EXPECT_EQ(m->done, 1);
    EXPECT(t0 >= 200 * NS_PER_MS);
    printf("# 20 x 10 ms took %llu us, %llu us of CPU\n", (unsigned long long)t0 / 1000,
           (unsigned long long)c0 / 1000);
    EXPECT(c0 < 20 * NS_PER_MS);
    machine_free(m);
}

static void check_smp(struct machine *m, uint64_t rounds)
{
    EXPECT_EQ(m->done, (1 << VPS) - 1);
    EXPECT_EQ(machine_get64(m, DATA_AT), rounds * VPS);
    EXPECT_EQ(machine_get64(m, DATA_AT + 16), rounds * VPS);
    EXPECT_EQ(machine_get64(m, DATA_AT + 4092), rounds / 32 * VPS);
}

TEST(atomics_of_many_vps)
{
    struct machine *m = machine_new(VPS, TEST_MODE);
    uint64_t rounds = 20000;

    machine_prepare(m, guest_smp, guest_smp_end, 0);
    for (unsigned i = 0; i < VPS; i++)
        machine_start(m, i, rounds, 0);
    machine_go(m, VPS);
    machine_join(m, VPS);
    check_smp(m, rounds);
    machine_free(m);
}

/* Everything of 'from' into a new machine; 'from' is gone. */
static struct machine *carry_over(struct machine *from)
{
    struct machine *to = machine_new(VPS, TEST_MODE);
    struct vp_state *s = malloc(sizeof *s), *again = malloc(sizeof *again);
    struct buf b = { 0 };
    struct err err;

    memcpy(to->mem->base, from->mem->base, 0xa0000);
    partition_set_tsc(to->p, partition_tsc(from->p));
    for (unsigned i = 0; i < VPS; i++) {
        vp_get_state(partition_vp(from->p, i), s);
        b.n = 0;
        state_save(&b, "vp", &vp_state_desc, s);
        struct bytes in = bytes_of(b.p, b.n);
        memset(s, 0x55, sizeof *s);
        EXPECT_EQ(state_load(&in, "vp", &vp_state_desc, s, &err), 0);
        EXPECT_EQ(vp_set_state(partition_vp(to->p, i), s, &err), 0);
        vp_get_state(partition_vp(to->p, i), again);
        EXPECT(memcmp(&s->regs, &again->regs, sizeof s->regs) == 0);
        EXPECT(memcmp(s->xsave, again->xsave, sizeof s->xsave) == 0);
        EXPECT_EQ(s->mp_state, again->mp_state);
    }
    to->done = from->done;
    machine_free(from);
    buf_done(&b);
    free(s);
    free(again);
    return to;
}

TEST(a_running_machine_moves_to_another)
{
    struct machine *m = machine_new(VPS, TEST_MODE);
    uint64_t rounds = 40000;

    machine_prepare(m, guest_smp, guest_smp_end, 0);
    for (unsigned i = 0; i < VPS; i++)
        machine_start(m, i, rounds, 0);
    for (unsigned k = 0; k < 6; k++) {
        machine_go(m, VPS);
        usleep(1000 + k * 700);
        for (unsigned i = 0; i < VPS; i++)
            vp_kick(partition_vp(m->p, i));
        machine_join(m, VPS);
        m = carry_over(m);
    }
    /* A VP that is done stops at its HLT: kick it out. */
    for (unsigned k = 0; k < 100 && m->done != (1 << VPS) - 1; k++) {
        machine_go(m, VPS);
        usleep(20000);
        for (unsigned i = 0; i < VPS; i++)
            vp_kick(partition_vp(m->p, i));
        machine_join(m, VPS);
    }
    check_smp(m, rounds);
    machine_free(m);
}

TEST(a_timer_goes_on_after_restore)
{
    struct machine *m = machine_new(VPS, TEST_MODE);
    uint64_t n = 200;

    machine_prepare(m, guest_timer, guest_timer_end, CODE_AT + (uint64_t)(guest_timer_irq - guest_timer));
    machine_put64(m, DATA_AT + 24, partition_tsc_hz(m->p) / 5000);
    machine_put64(m, DATA_AT + 40, n);
    machine_start(m, 0, 0, 0);
    uint64_t so_far = 0;
    for (unsigned k = 0; k < 5 || (!so_far && k < 100); k++) { /* the host may be slow to run it */
        machine_go(m, 1);
        usleep(3000);
        vp_kick(partition_vp(m->p, 0));
        machine_join(m, 1);
        m = carry_over(m);
        so_far = machine_get64(m, DATA_AT);
    }
    EXPECT(so_far > 0);
    if (!m->done) {
        machine_go(m, 1);
        machine_join(m, 1);
    }
    EXPECT_EQ(machine_get64(m, DATA_AT), n);
    machine_free(m);
}

TEST(dirty_pages_and_flushes_while_vps_run)
{
    struct machine *m = machine_new(VPS, TEST_MODE);
    uint64_t rounds = 20000, dirty = 0;

    machine_prepare(m, guest_smp, guest_smp_end, 0);
    for (unsigned i = 0; i < VPS; i++)
        machine_start(m, i, rounds, 0);
    gmem_track_dirty(m->mem, true);
    machine_go(m, VPS);
    for (unsigned k = 0; k < 20; k++) {
        partition_sync_dirty(m->p);
        dirty += gmem_dirty_take(m->mem, DATA_AT >> PAGE_SHIFT);
        partition_flush_tlb(m->p, NULL, ~UINT64_C(0));
        usleep(100);
    }
    machine_join(m, VPS);
    check_smp(m, rounds);
    EXPECT(dirty > 0);
    partition_sync_dirty(m->p);
    gmem_dirty_take(m->mem, DATA_AT >> PAGE_SHIFT);
    partition_sync_dirty(m->p);
    EXPECT(!gmem_dirty_take(m->mem, DATA_AT >> PAGE_SHIFT));
    machine_free(m);
}

TEST(a_damaged_state_is_refused)
{
    struct machine *m = machine_new(1, TEST_MODE);
    struct vp *vp = partition_vp(m->p, 0);
    struct vp_state *s = malloc(sizeof *s), *bad = malloc(sizeof *bad);
    struct err err;

    vp_get_state(vp, s);
    EXPECT_EQ(s->regs.rip, 0xfff0);
    EXPECT_EQ(vp_set_state(vp, s, &err), 0);
#define BAD(stmt)                                    \
    do {                                             \
        *bad = *s;                                   \
        stmt;                                        \
        EXPECT(vp_set_state(vp, bad, &err) < 0);     \
    } while (0)
    BAD(bad->regs.cr0 = 0x80000000);
    BAD(bad->regs.efer = 0x400);
    BAD(bad->regs.gdt.base = UINT64_C(1) << 63);
    BAD(bad->regs.seg[SEG_FS].base = UINT64_C(1) << 55);
    BAD(bad->mp_state = 9);
    BAD(bad->pending_valid = 1; bad->pending_type = 3; bad->pending_vector = 99);
    BAD(bad->xcr0 = 0);
    BAD(bad->msrs.apic_base = 0xfee00400);
    free(s);
    free(bad);
    machine_free(m);
}

TEST(death_has_words)
{
    struct machine *m = machine_new(1, TEST_MODE);
    static const uint8_t code[] = { 0xe6, 0x70, 0x0f, 0x0b }; /* out 0x70, al; ud2 */

    machine_prepare(m, code, code + sizeof code, 0);
    machine_start(m, 0, 0, 0);
    EXPECT_EQ(vp_run(partition_vp(m->p, 0)), VP_SHUTDOWN);
    EXPECT_HAS(vp_death(partition_vp(m->p, 0)), "triple fault at RIP 0010:0x10002 (64-bit, CPL 0");
    EXPECT_HAS(vp_death(partition_vp(m->p, 0)), "last exits: out 0x70");
    machine_free(m);
}
