/* SPDX-License-Identifier: GPL-2.0-or-later */
/* paging.c - page faults and their codes, A and D bits, global pages, SMEP, SMAP, NX, page
 * crossing. */
#include "guest.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (UINT64_C(1) << 63)
enum { E_P = 1, E_W = 2, E_U = 4, E_RSVD = 8, E_I = 16 };
enum { CR4_PGE = 0x80, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21, CR0_WP = 1 << 16 };

/* A 2 MiB window at 1 GiB - 2 MiB, by its own page table. */
#define WINDOW UINT64_C(0x3fe00000)
extern uint64_t pml4[512], pdpt[512], pd[512];
static uint64_t pt[512] __attribute__((aligned(4096)));
static uint8_t page_a[4096] __attribute__((aligned(4096)));
static uint8_t page_b[4096] __attribute__((aligned(4096)));

static void map(unsigned n, void *page, uint64_t bits)
{
    pt[n] = (word)page | bits;
    invlpg(WINDOW + n * 4096);
}

static void set_up(void)
{
    for (unsigned i = 0; i < 512; i++)
        pt[i] = 0;
    pd[511] = (word)pt | P | W | U;
    write_cr3(read_cr3());
    for (unsigned i = 0; i < 4096; i++)
        page_a[i] = page_b[i] = 0xc3; /* RET */
}

static void reads(word va)
{
    __asm__ volatile("mov (%0), %%al" ::"r"(va) : "rax", "memory");
}
static void writes(word va)
{
    __asm__ volatile("movb $0xc3, (%0)" ::"r"(va) : "memory");
}
static void runs(word va)
{
    __asm__ volatile("call *%0" ::"r"(va) : "memory");
}

TEST(fault_codes)
{
    static const struct {
        uint64_t bits;
        unsigned read, write, run;             /* expected codes, supervisor; 0x100: none */
        unsigned user_read, user_write, user_run;
    } cases[] = {
        { 0, 0, E_W, E_I, E_U, E_U | E_W, E_U | E_I },
        { P | U, 0x100, E_P | E_W, 0x100, 0x100, E_P | E_U | E_W, 0x100 },
        { P | W | U, 0x100, 0x100, 0x100, 0x100, 0x100, 0x100 },
        { P | W, 0x100, 0x100, 0x100, E_P | E_U, E_P | E_U | E_W, E_P | E_U | E_I },
        { P | W | U | NX, 0x100, 0x100, E_P | E_I, 0x100, 0x100, E_P | E_U | E_I },
        { P | W | U | UINT64_C(1) << 45, E_P | E_RSVD, E_P | E_RSVD | E_W, E_P | E_RSVD | E_I,
          E_P | E_RSVD | E_U, E_P | E_RSVD | E_U | E_W, E_P | E_RSVD | E_U | E_I },
        { NX, 0, E_W, E_I, E_U, E_U | E_W, E_U | E_I }, /* not present: NX says nothing */
    };
    static void (*const access[])(word) = { reads, writes, runs };

    set_up();
    write_cr0(read_cr0() | CR0_WP);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const unsigned *expect = &cases[i].read;

        for (unsigned k = 0; k < 6; k++) {
            unsigned v, what = expect[k];

            map(0, page_a, cases[i].bits);
            v = k < 3 ? fault_of(access[k], WINDOW) : user_fault_of(access[k - 3], WINDOW);
            if (v == 0xff)
                v = NONE; /* user code came back */
            CHECK_EQ(v, what == 0x100 ? (unsigned)NONE : 14);
            if (v == 14) {
                CHECK_EQ(fault.error, what);
                CHECK_EQ(fault.cr2, WINDOW);
            }
        }
    }
}

TEST(write_protect)
{
    set_up();
    map(0, page_a, P | U);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    CHECK_EQ(fault_of(writes, WINDOW), NONE);
    CHECK(pt[0] & D);
    CHECK_EQ(user_fault_of(writes, WINDOW), 14);
    write_cr0(read_cr0() | CR0_WP);
    CHECK_EQ(fault_of(writes, WINDOW), 14);
}

TEST(accessed_and_dirty)
{
    set_up();
    map(0, page_a, P | W | U);
    reads(WINDOW);
    CHECK_EQ(pt[0] & (A | D), A);
    writes(WINDOW);
    CHECK_EQ(pt[0] & (A | D), A | D);
    CHECK(pd[511] & A);
    pd[510] &= ~(uint64_t)(A | D); /* a large page */
    invlpg(WINDOW - 0x200000);
    reads(WINDOW - 1);
    CHECK_EQ(pd[510] & (A | D), A);
    *(volatile uint8_t *)(WINDOW - 1) = 1;
    CHECK_EQ(pd[510] & (A | D), A | D);
    map(0, page_a, P | U); /* a fault sets nothing */
    write_cr0(read_cr0() | CR0_WP);
    CHECK_EQ(fault_of(writes, WINDOW), 14);
    CHECK_EQ(pt[0] & D, 0);
}

TEST(invalidation)
{
    set_up();
    page_a[0] = 1;
    page_b[0] = 2;
    map(0, page_a, P | W | U);
    CHECK_EQ(*(volatile uint8_t *)WINDOW, 1);
    map(0, page_b, P | W | U);
    CHECK_EQ(*(volatile uint8_t *)WINDOW, 2);
    pt[0] = (word)page_a | P | W | U;
    write_cr3(read_cr3());
    CHECK_EQ(*(volatile uint8_t *)WINDOW, 1);
    write_cr4(read_cr4() | CR4_PGE); /* a global page outlives CR3 */
    map(0, page_a, P | W | U | G);
    CHECK_EQ(*(volatile uint8_t *)WINDOW, 1);
    pt[0] = (word)page_b | P | W | U | G;
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    CHECK_EQ(*(volatile uint8_t *)WINDOW, 2);
}

TEST(upper_levels_count)
{
    set_up();
    map(0, page_a, P | W | U);
    pd[511] &= ~(uint64_t)U;
    write_cr3(read_cr3());
    CHECK_EQ(user_fault_of(reads, WINDOW), 14);
    CHECK_EQ(fault.error, E_P | E_U);
    pd[511] = (word)pt | P | U;
    write_cr3(read_cr3());
    CHECK_EQ(fault_of(writes, WINDOW), 14);
    CHECK_EQ(fault.error, E_P | E_W);
    pd[511] = (word)pt | P | W | U | NX;
    write_cr3(read_cr3());
    CHECK_EQ(fault_of(runs, WINDOW), 14);
    CHECK_EQ(fault.error, E_P | E_I);
    pd[510] |= 1 << 13; /* reserved in a large page */
    write_cr3(read_cr3());
    CHECK_EQ(fault_of(reads, WINDOW - 1), 14);
    CHECK_EQ(fault.error, E_P | E_RSVD);
    pd[510] &= ~(UINT64_C(1) << 13);
    pdpt[1] = (word)pd | P | W | U; /* another name of the first GiB */
    write_cr3(read_cr3());
    CHECK_EQ(fault_of(reads, WINDOW + 0x40000000), NONE);
    pdpt[1] = 0;
    write_cr3(read_cr3());
    CHECK_EQ(fault_of(reads, WINDOW + 0x40000000), 14);
    CHECK_EQ(fault.error, 0);
}

static void reads_with_ac(word va)
{
    __asm__ volatile("stac; mov (%0), %%al; clac" ::"r"(va) : "rax", "memory");
}

TEST(smep_and_smap)
{
    uint32_t id[4];
    extern uint8_t stack_top[];
    unsigned kernel = (unsigned)((word)stack_top >> 21);

    cpuid(7, 0, id);
    if (!(id[1] & 1 << 7) || !(id[1] & 1 << 20)) {
        print("# skipped\n");
        return;
    }
    set_up();
    map(0, page_a, P | W | U);
    /* What we run in and on has to be the supervisor's. */
    for (unsigned i = 0; i <= kernel; i++)
        pd[i] &= ~(uint64_t)U;
    write_cr3(read_cr3());
    write_cr4(read_cr4() | CR4_SMEP | CR4_SMAP);
    CHECK_EQ(fault_of(runs, WINDOW), 14);
    CHECK_EQ(fault.error, E_P | E_I);
    CHECK_EQ(fault_of(reads, WINDOW), 14);
    CHECK_EQ(fault.error, E_P);
    CHECK_EQ(fault_of(writes, WINDOW), 14);
    CHECK_EQ(fault.error, E_P | E_W);
    CHECK_EQ(fault_of(reads_with_ac, WINDOW), NONE);
    CHECK_EQ(fault_of(reads, WINDOW), 14);
    map(0, page_a, P | W);
    CHECK_EQ(fault_of(runs, WINDOW), NONE);
    CHECK_EQ(fault_of(reads, WINDOW), NONE);
    write_cr4(read_cr4() & ~(word)(CR4_SMEP | CR4_SMAP));
    for (unsigned i = 0; i <= kernel; i++)
        pd[i] |= U;
    write_cr3(read_cr3());
}

static void writes8(word va)
{
    *(volatile uint64_t *)va = 0x1122334455667788;
}
static void lock_add(word va)
{
    __asm__ volatile("lock; addq $1, (%0)" ::"r"(va) : "memory");
}

TEST(page_crossing)
{
    word edge = WINDOW + 4096;

    set_up();
    map(0, page_a, P | W | U);
    CHECK_EQ(fault_of(writes8, edge - 3), 14);
    CHECK_EQ(fault.cr2, edge);
    CHECK_EQ(fault.error, E_W);
    CHECK_EQ(page_a[4095], 0xc3); /* nothing was written */
    map(1, page_b, P | W | U);
    CHECK_EQ(fault_of(writes8, edge - 3), NONE);
    CHECK_EQ(page_a[4093], 0x88);
    CHECK_EQ(page_b[4], 0x11);
    lock_add(edge - 3);
    CHECK_EQ(page_a[4093], 0x89);
    map(1, page_b, P | U);
    CHECK_EQ(fault_of(lock_add, edge - 3), 14);
    CHECK_EQ(fault.error, E_P | E_W);
    CHECK_EQ(page_a[4093], 0x89);
}

static word rep_rcx, rep_rsi, rep_rdi;

static void rep_handler(struct frame *f)
{
    rep_rcx = f->gpr[1];
    rep_rsi = f->gpr[5];
    rep_rdi = f->gpr[6];
    map(1, page_b, P | W | U);
}

TEST(string_faults_in_the_middle)
{
    static uint8_t from[64];
    word src = (word)from, dst = WINDOW + 4096 - 10, n = 64;

    set_up();
    for (unsigned i = 0; i < 64; i++)
        from[i] = (uint8_t)i;
    map(0, page_a, P | W | U);
    on_exception = rep_handler;
    rep_rcx = 0;
    __asm__ volatile("rep movsb" : "+S"(src), "+D"(dst), "+c"(n)::"memory");
    CHECK_EQ(rep_rcx, 54);
    CHECK_EQ(rep_rsi, (word)from + 10);
    CHECK_EQ(rep_rdi, WINDOW + 4096);
    CHECK_EQ(page_b[53], 63);
    CHECK_EQ(n, 0);
    on_exception = NULL;
}

static void push_at(word sp)
{
    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp" ::"r"(sp)
                     : "rbx", "memory");
}

TEST(not_canonical)
{
    CHECK_EQ(fault_of(reads, UINT64_C(1) << 60), 13);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(fault_of(runs, UINT64_C(1) << 60), 13);
    CHECK_EQ(fault_of(reads, 0x7fffffffffff), 14);
    CHECK_EQ(user_fault_of(push_at, UINT64_C(1) << 60), 12);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(fault.sp, UINT64_C(1) << 60);
}

static void push_page(word va)
{
    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp" ::"r"(va)
                     : "rbx", "memory");
}

TEST(double_fault_has_its_own_stack)
{
    set_up(); /* the page fault cannot be pushed: the stack pointer is in the hole */
    CHECK_EQ(fault_of(push_page, WINDOW + 64), 8);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(fault.sp, WINDOW + 64);
}

void guest_main(void)
{
    RUN(fault_codes);
    RUN(write_protect);
    RUN(accessed_and_dirty);
    RUN(invalidation);
    RUN(upper_levels_count);
    RUN(smep_and_smap);
    RUN(page_crossing);
    RUN(string_faults_in_the_middle);
    RUN(not_canonical);
    RUN(double_fault_has_its_own_stack);
}
