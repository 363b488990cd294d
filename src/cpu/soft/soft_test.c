/* SPDX-License-Identifier: GPL-2.0-or-later */
/* soft_test.c - whole soft machines through engine.h: guests of a few instructions on real threads,
 * their timers, atomics, stops, and state taken in the middle and carried into another machine. */
#include <pthread.h>

#include "base/rng.h"
#include "base/test.h"
#include "cpu/engine.h"

#ifndef TEST_MODE /* meson.build makes one program for each */
#define TEST_MODE SOFT_DEFAULT
#endif

#define RAM       (8 * MIB)
#define PML4_AT   0x1000
#define PDPT_AT   0x2000
#define IDT_AT    0x4000
#define GDT_AT    0x5000
#define CODE_AT   0x10000
#define DATA_AT   UINT64_C(0x20000)
#define STACKS_AT 0x80000
#define DONE_PORT 0x80
#define VPS       4

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

/* ---- a machine ------------------------------------------------------------------------------- */

struct machine {
    struct gmem *mem;
    struct clock clock;
    struct partition *p;
    uint64_t done; /* VPs that said so; any thread */
    pthread_t thread[VPS];
    struct runner {
        struct machine *m;
        struct vp *vp;
        enum vp_stop stop;
    } runner[VPS];
};

static uint32_t pio_read(void *owner, struct vp *vp, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}

static void pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    struct machine *m = owner;

    if (port != DONE_PORT)
        return;
    __atomic_fetch_or(&m->done, UINT64_C(1) << vp_index(vp), __ATOMIC_SEQ_CST);
    vp_kick(vp);
}

static uint64_t mmio_read(void *owner, struct vp *vp, gpa_t at, unsigned size)
{
    return UINT64_MAX;
}

static void mmio_write(void *owner, struct vp *vp, gpa_t at, unsigned size, uint64_t value)
{
}

static const struct exit_ops exits = {
    .pio_read = pio_read, .pio_write = pio_write, .mmio_read = mmio_read, .mmio_write = mmio_write,
};

static void put64(struct machine *m, uint64_t at, uint64_t v)
{
    gmem_write(m->mem, GPA(at), &v, sizeof v);
}

static uint64_t get64(struct machine *m, uint64_t at)
{
    uint64_t v = 0;

    gmem_read(m->mem, GPA(at), &v, sizeof v);
    return v;
}

static struct machine *machine_new(unsigned n_vps)
{
    struct machine *m = calloc(1, sizeof *m);
    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    struct err err;

    clock_init(&m->clock);
    if (gmem_new(RAM, &m->mem, &err) < 0)
        abort();
    struct partition_config cfg = { .engine = ENGINE_SOFT, .soft_mode = TEST_MODE,
                                    .gmem = m->mem, .clock = &m->clock, .n_vps = n_vps,
                                    .exits = &exits, .owner = m };
    if (partition_new(&cfg, &m->p, &err) < 0)
        abort();
    for (unsigned i = 0; i < n_vps; i++)
        vp_set_cpuid(partition_vp(m->p, i), cpuid, partition_cpuid(m->p, cpuid));
    return m;
}

static void machine_free(struct machine *m)
{
    partition_free(m->p);
    gmem_free(m->mem);
    free(m);
}

/* The first 4 GiB as they are, by 1 GiB pages; a gate for each vector to 'handler'. */
static void prepare(struct machine *m, const uint8_t *code, const uint8_t *end, uint64_t handler)
{
    put64(m, PML4_AT, PDPT_AT | 3);
    for (uint64_t i = 0; i < 4; i++)
        put64(m, PDPT_AT + i * 8, i * GIB | 0x83);
    put64(m, GDT_AT + 0x10, 0x00af9b000000ffff);
    put64(m, GDT_AT + 0x18, 0x00cf93000000ffff);
    for (uint64_t v = 0x40; v < 0x42; v++) {
        put64(m, IDT_AT + v * 16, (handler & 0xffff) | 0x10 << 16 | UINT64_C(0x8e00) << 32 |
                                      (handler >> 16 & 0xffff) << 48);
        put64(m, IDT_AT + v * 16 + 8, 0);
    }
    gmem_write(m->mem, GPA(CODE_AT), code, (size_t)(end - code));
}

static void start_vp(struct machine *m, unsigned index, uint64_t rcx, uint64_t rdx)
{
    struct vp *vp = partition_vp(m->p, index);
    struct vp_state *s = malloc(sizeof *s);
    struct vp_regs *r = &s->regs;
    struct err err;

    vp_get_state(vp, s);
    r->gpr[RBX] = DATA_AT;
    r->gpr[RCX] = rcx;
    r->gpr[RDX] = rdx;
    r->gpr[R12] = index;
    r->gpr[RSP] = STACKS_AT + 0x1000 * (index + 1);
    r->rip = CODE_AT;
    r->rflags = 2;
    r->cr0 = 0x80000033;
    r->cr3 = PML4_AT;
    r->cr4 = 1 << 5 | 1 << 9;
    r->efer = 0x500;
    r->gdt = (struct vp_dtable){ .base = GDT_AT, .limit = 0x1f };
    r->idt = (struct vp_dtable){ .base = IDT_AT, .limit = 0xfff };
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        r->seg[i] = (struct vp_segment){ .limit = UINT32_MAX, .sel = 0x18, .attr = 0xc093 };
    r->seg[SEG_CS].sel = 0x10;
    r->seg[SEG_CS].attr = 0xa09b;
    s->mp_state = MP_RUNNING;
    if (vp_set_state(vp, s, &err) < 0)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    free(s);
}

static void *run_thread(void *arg)
{
    struct runner *r = arg;

    r->stop = vp_run(r->vp);
    return NULL;
}

static void go(struct machine *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        m->runner[i] = (struct runner){ .m = m, .vp = partition_vp(m->p, i) };
        pthread_create(&m->thread[i], NULL, run_thread, &m->runner[i]);
    }
}

static void join(struct machine *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pthread_join(m->thread[i], NULL);
        if (m->runner[i].stop != VP_KICKED)
            test_fail(__FILE__, __LINE__, "%s", vp_death(m->runner[i].vp));
    }
}

static uint64_t ns_of(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* ---- tests ----------------------------------------------------------------------------------- */

TEST(timers_of_a_busy_vp_are_in_time)
{
    struct machine *m = machine_new(1);
    uint64_t hz = partition_tsc_hz(m->p), n = 500;

    prepare(m, guest_timer, guest_timer_end, CODE_AT + (uint64_t)(guest_timer_irq - guest_timer));
    put64(m, DATA_AT + 24, hz / 5000);
    put64(m, DATA_AT + 40, n);
    put64(m, DATA_AT + 56, hz / 1000);
    start_vp(m, 0, 0, 0);
    go(m, 1);
    join(m, 1);
    EXPECT_EQ(m->done, 1);
    uint64_t mean = get64(m, DATA_AT + 8) / n * 1000000 / (hz / 1000);
    printf("# late: mean %llu ns, worst %llu ns, %llu of %llu less than 1 ms\n",
           (unsigned long long)mean,
           (unsigned long long)(get64(m, DATA_AT + 16) * 1000000 / (hz / 1000)),
           (unsigned long long)get64(m, DATA_AT + 48), (unsigned long long)n);
    EXPECT(get64(m, DATA_AT + 48) > n / 2); /* the host may be busy with others */
    machine_free(m);
}

TEST(a_halted_vp_costs_nothing)
{
    struct machine *m = machine_new(1);
    uint64_t t0, c0;

    prepare(m, guest_idle, guest_idle_end, CODE_AT + (uint64_t)(guest_idle_end - guest_idle - 2));
    start_vp(m, 0, 10000000, 20); /* 20 times 10 ms */
    t0 = ns_of(CLOCK_MONOTONIC);
    c0 = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    go(m, 1);
    join(m, 1);
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
    EXPECT_EQ(get64(m, DATA_AT), rounds * VPS);
    EXPECT_EQ(get64(m, DATA_AT + 16), rounds * VPS);
    EXPECT_EQ(get64(m, DATA_AT + 4092), rounds / 32 * VPS);
}

TEST(atomics_of_many_vps)
{
    struct machine *m = machine_new(VPS);
    uint64_t rounds = 20000;

    prepare(m, guest_smp, guest_smp_end, 0);
    for (unsigned i = 0; i < VPS; i++)
        start_vp(m, i, rounds, 0);
    go(m, VPS);
    join(m, VPS);
    check_smp(m, rounds);
    machine_free(m);
}

/* Everything of 'from' into a new machine; 'from' is gone. */
static struct machine *carry_over(struct machine *from)
{
    struct machine *to = machine_new(VPS);
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
    struct machine *m = machine_new(VPS);
    uint64_t rounds = 40000;

    prepare(m, guest_smp, guest_smp_end, 0);
    for (unsigned i = 0; i < VPS; i++)
        start_vp(m, i, rounds, 0);
    for (unsigned k = 0; k < 6; k++) {
        go(m, VPS);
        usleep(1000 + k * 700);
        for (unsigned i = 0; i < VPS; i++)
            vp_kick(partition_vp(m->p, i));
        join(m, VPS);
        m = carry_over(m);
    }
    /* A VP that is done stops at its HLT: kick it out. */
    for (unsigned k = 0; k < 100 && m->done != (1 << VPS) - 1; k++) {
        go(m, VPS);
        usleep(20000);
        for (unsigned i = 0; i < VPS; i++)
            vp_kick(partition_vp(m->p, i));
        join(m, VPS);
    }
    check_smp(m, rounds);
    machine_free(m);
}

TEST(a_timer_goes_on_after_restore)
{
    struct machine *m = machine_new(VPS);
    uint64_t n = 200;

    prepare(m, guest_timer, guest_timer_end, CODE_AT + (uint64_t)(guest_timer_irq - guest_timer));
    put64(m, DATA_AT + 24, partition_tsc_hz(m->p) / 5000);
    put64(m, DATA_AT + 40, n);
    start_vp(m, 0, 0, 0);
    for (unsigned k = 0; k < 5; k++) {
        go(m, 1);
        usleep(3000);
        vp_kick(partition_vp(m->p, 0));
        join(m, 1);
        m = carry_over(m);
    }
    uint64_t so_far = get64(m, DATA_AT);
    EXPECT(so_far > 10);
    if (!m->done) {
        go(m, 1);
        join(m, 1);
    }
    EXPECT_EQ(get64(m, DATA_AT), n);
    machine_free(m);
}

TEST(dirty_pages_and_flushes_while_vps_run)
{
    struct machine *m = machine_new(VPS);
    uint64_t rounds = 20000, dirty = 0;

    prepare(m, guest_smp, guest_smp_end, 0);
    for (unsigned i = 0; i < VPS; i++)
        start_vp(m, i, rounds, 0);
    gmem_track_dirty(m->mem, true);
    go(m, VPS);
    for (unsigned k = 0; k < 20; k++) {
        partition_sync_dirty(m->p);
        dirty += gmem_dirty_take(m->mem, DATA_AT >> PAGE_SHIFT);
        partition_flush_tlb(m->p, NULL, ~UINT64_C(0));
        usleep(100);
    }
    join(m, VPS);
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
    struct machine *m = machine_new(1);
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
    struct machine *m = machine_new(1);
    static const uint8_t code[] = { 0xe6, 0x70, 0x0f, 0x0b }; /* out 0x70, al; ud2 */

    prepare(m, code, code + sizeof code, 0);
    start_vp(m, 0, 0, 0);
    EXPECT_EQ(vp_run(partition_vp(m->p, 0)), VP_SHUTDOWN);
    EXPECT_HAS(vp_death(partition_vp(m->p, 0)), "triple fault at RIP 0010:0x10002 (64-bit, CPL 0");
    EXPECT_HAS(vp_death(partition_vp(m->p, 0)), "last exits: out 0x70");
    machine_free(m);
}
