/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run_test.c - the whole soft engine on small freestanding guests in 64-bit mode: blocks and their
 * links, code that changes itself or is changed by a device, faults, string operations, interrupts.
 *
 * Each guest starts at CODE with a stack, memory mapped one to one (2 MiB pages), an IDT whose gates
 * lead to stubs that report vector and error code; it reports by OUT EAX to REPORT_PORT and stops by
 * OUT to STOP_PORT. */
#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "cpu/bare_exits.h"
#include "cpu/engine.h"

#ifndef TEST_MODE /* meson.build makes one program for each */
#define TEST_MODE SOFT_DEFAULT
#endif

#define CODE        0x100000
#define STACK       0x300000
#define DATA        0x400000
#define STOP_PORT   0xf4
#define REPORT_PORT 0xf0
#define RAM         (32 * MIB)

struct guest {
    struct gmem *mem;
    struct clock clock;
    struct partition *p;
    struct vp *vp;
    uint32_t report[64];
    unsigned n_reports;
    bool stopped;
    void (*on_report)(struct guest *g, uint32_t v);
};

static uint32_t pio_read(void *owner, struct vp *vp, uint16_t port, unsigned size)
{
    return 0xffffffff;
}

static void pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    struct guest *g = owner;

    if (port == STOP_PORT) {
        g->stopped = true;
        vp_kick(vp);
    } else if (port == REPORT_PORT) {
        if (g->n_reports < ARRAY_LEN(g->report))
            g->report[g->n_reports++] = value;
        if (g->on_report)
            g->on_report(g, value);
    }
}

static uint64_t mmio_read(void *owner, struct vp *vp, gpa_t at, unsigned size)
{
    return 0x1122334455667788;
}

static const struct exit_ops exits = {
    .pio_read = pio_read, .pio_write = pio_write, .mmio_read = mmio_read,
    .mmio_write = bare_mmio_write, .msr_read = bare_msr_read, .msr_write = bare_msr_write,
    .hypercall = bare_hypercall, .eoi = bare_eoi, .pic_ack = bare_pic_ack,
    .deadline = bare_deadline,
};

static void put(struct guest *g, uint64_t at, uint64_t v)
{
    gmem_write(g->mem, GPA(at), &v, 8);
}

#define PML4 0x1000
#define GDT  0x8000
#define IDT  0x9000
#define STUB 0xa000

/* Stubs: push a missing error code, report vector and error code, stop. */
static void put_idt(struct guest *g)
{
    static const uint8_t stub[] = {
        0xb8, 0, 0, 0, 0,                 /* mov eax, vector */
        0xe7, REPORT_PORT,                /* out REPORT_PORT, eax */
        0x58,                             /* pop rax */
        0xe7, REPORT_PORT,
        0xe7, STOP_PORT,
        0xf4,
    };

    for (unsigned i = 0; i < 32; i++) {
        uint64_t at = STUB + i * 16, low = (at & 0xffff) | 0x8ull << 16 | 0x8e00ull << 32 |
                                           (at >> 16 & 0xffff) << 48;
        uint8_t code[sizeof stub];

        memcpy(code, stub, sizeof stub);
        code[1] = (uint8_t)i;
        gmem_write(g->mem, GPA(at), code, sizeof code);
        put(g, IDT + i * 16, low);
        put(g, IDT + i * 16 + 8, at >> 32);
    }
}

static struct guest *guest_new(const uint8_t *code, const uint8_t *end)
{
    struct guest *g = calloc(1, sizeof *g);
    struct partition_config cfg = { .engine = ENGINE_SOFT, .soft_mode = TEST_MODE, .n_vps = 1,
                                    .exits = &exits, .owner = g };
    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    struct vp_regs r;
    unsigned n;

    EXPECT(gmem_new(RAM, &g->mem, NULL) == 0);
    clock_init(&g->clock);
    cfg.gmem = g->mem;
    cfg.clock = &g->clock;
    EXPECT(partition_new(&cfg, &g->p, NULL) == 0);
    g->vp = partition_vp(g->p, 0);
    n = partition_cpuid(g->p, cpuid);
    vp_set_cpuid(g->vp, cpuid, n);

    put(g, PML4, 0x2000 | 7);
    put(g, 0x2000, 0x3000 | 7);
    for (uint64_t i = 0; i < 512; i++)
        put(g, 0x3000 + i * 8, i << 21 | 0x87);
    put(g, GDT + 8, 0x00af9b000000ffff);
    put(g, GDT + 16, 0x00cf93000000ffff);
    put_idt(g);
    gmem_write(g->mem, GPA(CODE), code, (size_t)(end - code));

    vp_get_regs(g->vp, &r);
    r.cr0 = 0x80050033;
    r.cr3 = PML4;
    r.cr4 = 0x620;
    r.efer = 0xd01;
    r.rip = CODE;
    r.rflags = 2;
    r.gpr[RSP] = STACK;
    r.gdt = (struct vp_dtable){ .base = GDT, .limit = 0xff };
    r.idt = (struct vp_dtable){ .base = IDT, .limit = 0x1ff };
    for (unsigned i = 0; i < SEG_LDTR; i++)
        r.seg[i] = (struct vp_segment){ .limit = 0xffffffff, .sel = 16, .attr = 0xc093 };
    r.seg[SEG_CS] = (struct vp_segment){ .limit = 0xffffffff, .sel = 8, .attr = 0xa09b };
    vp_set_regs(g->vp, &r);
    return g;
}

static void guest_free(struct guest *g)
{
    partition_free(g->p);
    gmem_free(g->mem);
    free(g);
}

static enum vp_stop guest_run(struct guest *g)
{
    enum vp_stop stop;

    do
        stop = vp_run(g->vp);
    while (stop == VP_KICKED && !g->stopped);
    if (stop != VP_KICKED)
        test_fail(__FILE__, __LINE__, "%s", vp_death(g->vp));
    return stop;
}

static uint64_t counter(struct guest *g, const char *name)
{
    struct vp_counter c[VP_COUNTERS_MAX];
    unsigned n = vp_counters(g->vp, c);

    for (unsigned i = 0; i < n; i++)
        if (!strcmp(c[i].name, name))
            return c[i].value;
    return 0;
}

/* A guest's code, assembled into the test itself. */
#define GUEST(name, text)                                                                    \
    extern const uint8_t guest_##name[], guest_##name##_end[];                               \
    asm(".pushsection .rodata\n.code64\nguest_" #name ":\n" text "\nguest_" #name "_end:\n"  \
        ".popsection\n")
#define START(name) guest_new(guest_##name, guest_##name##_end)
#define STOP "\nout %eax, $0xf4\nhlt\n"
#define REPORT "\nout %eax, $0xf0\n"

GUEST(sum, "xor %eax, %eax\n mov $100000, %ecx\n 1: add %ecx, %eax\n dec %ecx\n jnz 1b" REPORT STOP);
TEST(loop)
{
    struct guest *g = START(sum);

    guest_run(g);
    EXPECT_EQ(g->n_reports, 1);
    EXPECT_EQ(g->report[0], (uint32_t)(100000ull * 100001 / 2));
    EXPECT(counter(g, "instructions") > 300000 && counter(g, "instructions") < 300100);
    guest_free(g);
}

GUEST(fib,
      "mov $20, %edi\n call 1f" REPORT STOP
      "1: cmp $2, %edi\n jae 2f\n mov %edi, %eax\n ret\n"
      "2: push %rbx\n push %rdi\n dec %edi\n call 1b\n mov %eax, %ebx\n pop %rdi\n sub $2, %edi\n"
      "call 1b\n add %ebx, %eax\n pop %rbx\n ret");
TEST(calls)
{
    struct guest *g = START(fib);

    guest_run(g);
    EXPECT_EQ(g->report[0], 6765);
    guest_free(g);
}

/* A loop whose immediate is patched at each turn, in the page it runs from. */
GUEST(smc,
      "xor %ebx, %ebx\n mov $1000, %ecx\n"
      "1: mov %ecx, 3f-4(%rip)\n call 2f\n add %eax, %ebx\n dec %ecx\n jnz 1b\n mov %ebx, %eax" REPORT
      STOP "2: mov $0x11223344, %eax\n 3: ret");
TEST(self_modifying)
{
    struct guest *g = START(smc);

    guest_run(g);
    EXPECT_EQ(g->report[0], 1000 * 1001 / 2);
    guest_free(g);
}

/* The next instruction of the same block is overwritten. */
GUEST(smc_next, "movb $0x42, 1f+1(%rip)\n 1: mov $1, %al\n movzx %al, %eax" REPORT STOP);
TEST(self_modifying_next)
{
    struct guest *g = START(smc_next);

    guest_run(g);
    EXPECT_EQ(g->report[0], 0x42);
    guest_free(g);
}

static void patch(struct guest *g, uint32_t v)
{
    uint8_t b = 7;

    if (v == 1)
        gmem_write(g->mem, GPA(CODE + 1), &b, 1);
}

GUEST(device, "1: mov $1, %eax" REPORT "cmp $7, %eax\n jne 1b" STOP);
TEST(device_writes_code)
{
    struct guest *g = START(device);

    g->on_report = patch;
    guest_run(g);
    EXPECT_EQ(g->n_reports, 2);
    EXPECT_EQ(g->report[1], 7);
    guest_free(g);
}

/* Code that crosses a page, and a jump over pages. */
GUEST(cross,
      "mov $3, %ebx\n jmp 2f\n .skip 4090\n 2: mov $0x1234, %ecx\n mov $0x5678, %edx\n"
      "dec %ebx\n jnz 2b\n lea (%rcx, %rdx), %eax" REPORT STOP);
TEST(pages)
{
    struct guest *g = START(cross);

    guest_run(g);
    EXPECT_EQ(g->report[0], 0x1234 + 0x5678);
    guest_free(g);
}

GUEST(divide, "mov $5, %eax\n xor %edx, %edx\n xor %ecx, %ecx\n div %ecx" STOP);
TEST(divide_error)
{
    struct guest *g = START(divide);

    guest_run(g);
    EXPECT_EQ(g->report[0], 0);
    EXPECT_EQ(g->report[1], CODE + 9); /* no error code: RIP is popped */
    guest_free(g);
}

GUEST(fault, "mov $0x7fffffff, %eax\n inc %eax\n mov $0x50000000, %rcx\n mov (%rcx), %eax" STOP);
TEST(page_fault)
{
    struct guest *g = START(fault);
    struct vp_regs r;

    guest_run(g);
    EXPECT_EQ(g->report[0], 14);
    EXPECT_EQ(g->report[1], 0);
    vp_get_regs(g->vp, &r);
    EXPECT_EQ(r.cr2, 0x50000000);
    guest_free(g);
}

/* Fields of a structure whose second page is read only: read there, then write. */
GUEST(near,
      "andb $0xfd, 0x3000+4*8\n mov $0x7ff000, %ebx\n mov $5, %eax\n mov %rax, 0xff8(%rbx)\n"
      "mov 0x1000(%rbx), %rcx\n lea 1f(%rip), %rdx\n jmp *%rdx\n" /* both pages are in the TLB */
      "1: mov %rax, 0xff0(%rbx)\n mov 0x1020(%rbx), %rcx\n mov %rax, 0x1030(%rbx)" STOP);
TEST(fields_on_two_pages)
{
    struct guest *g = START(near);
    struct vp_regs r;
    uint64_t v = 1;

    guest_run(g);
    EXPECT_EQ(g->report[0], 14);
    EXPECT_EQ(g->report[1], 3);
    vp_get_regs(g->vp, &r);
    EXPECT_EQ(r.cr2, 0x800030);
    gmem_read(g->mem, GPA(0x800030), &v, sizeof v);
    EXPECT_EQ(v, 0);
    gmem_read(g->mem, GPA(0x7ffff0), &v, sizeof v);
    EXPECT_EQ(v, 5);
    guest_free(g);
}

GUEST(noncanonical, "mov $0x8000000000000000, %rcx\n mov (%rcx), %eax" STOP);
TEST(non_canonical)
{
    struct guest *g = START(noncanonical);

    guest_run(g);
    EXPECT_EQ(g->report[0], 13);
    guest_free(g);
}

/* Two pushes to no address at all, behind INVLPG of the page that the last two were to. */
GUEST(no_stack,
      "mov $0x5a5a5a5a, %eax\n push %rax\n push %rax\n pop %rcx\n pop %rcx\n"
      "movq $0, -8(%rsp)\n movq $0, -16(%rsp)\n invlpg -8(%rsp)\n"
      "mov $0x8000000000001000, %rcx\n mov %rcx, %rsp\n push %rax\n push %rax" STOP);
TEST(pushes_to_a_non_canonical_stack)
{
    struct guest *g = START(no_stack);
    uint64_t v[2] = { 1, 1 };

    EXPECT_EQ(vp_run(g->vp), VP_SHUTDOWN); /* nor can the fault be delivered there */
    gmem_read(g->mem, GPA(STACK - sizeof v), v, sizeof v);
    EXPECT_EQ(v[0], 0);
    EXPECT_EQ(v[1], 0);
    guest_free(g);
}

GUEST(strings,
      "cld\n mov $0x400000, %edi\n mov $0x5a, %al\n mov $100000, %ecx\n rep stosb\n"
      "mov $0x400000, %esi\n mov $0x500001, %edi\n mov $100000, %ecx\n rep movsb\n"
      "mov $0x400000, %esi\n mov $0x500001, %edi\n mov $100001, %ecx\n repe cmpsb\n"
      "mov %ecx, %eax" REPORT "mov %edi, %eax" REPORT
      "mov $0x500001, %edi\n mov $0x5b, %al\n mov $200000, %ecx\n repne scasb\n mov %ecx, %eax" REPORT
      /* overlapping: a run of the first bytes; backwards */
      "movw $0x0201, 0x600000\n mov $0x600000, %esi\n mov $0x600002, %edi\n mov $20000, %ecx\n"
      "rep movsb\n mov 0x600000+19998, %eax" REPORT
      "std\n mov $0x600000+20001, %esi\n mov $0x620000, %edi\n mov $20002, %ecx\n rep movsb\n cld\n"
      "mov 0x620000-20001, %eax" REPORT STOP);
TEST(string_operations)
{
    struct guest *g = START(strings);

    guest_run(g);
    EXPECT_EQ(g->n_reports, 5);
    EXPECT_EQ(g->report[0], 0);
    EXPECT_EQ(g->report[1], 0x500001 + 100001);
    EXPECT_EQ(g->report[2], 0); /* looks for 0x5b: none, memory is zero behind */
    EXPECT_EQ(g->report[3], 0x02010201);
    EXPECT_EQ(g->report[4], 0x02010201);
    guest_free(g);
}

/* REP MOVSB that meets an unmapped page: registers stand at the fault. */
GUEST(string_fault,
      "mov $0x400000, %esi\n mov $0x3ffff000, %edi\n mov $0x3000, %ecx\n rep movsb" STOP);
TEST(string_faults)
{
    struct guest *g = START(string_fault);
    struct vp_regs r;

    guest_run(g);
    EXPECT_EQ(g->report[0], 14);
    EXPECT_EQ(g->report[1], 2);
    vp_get_regs(g->vp, &r);
    EXPECT_EQ(r.cr2, 0x40000000);
    EXPECT_EQ(r.gpr[RDI], 0x40000000);
    EXPECT_EQ(r.gpr[RCX], 0x2000);
    guest_free(g);
}

/* Single step: the trap comes after the instruction behind POPF. */
GUEST(step,
      "pushf\n orl $0x100, (%rsp)\n popf\n nop\n nop" STOP);
TEST(single_step)
{
    struct guest *g = START(step);

    guest_run(g);
    EXPECT_EQ(g->report[0], 1);
    EXPECT_EQ(g->report[1], CODE + 1 + 7 + 1 + 1);
    guest_free(g);
}
