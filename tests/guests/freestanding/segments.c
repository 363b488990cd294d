/* SPDX-License-Identifier: GPL-2.0-or-later */
/* segments.c - 32-bit protection: limits, types, levels, call gates, tasks, VM86, real mode and
 * back. */
#include "guest.h"

enum { F1 = FREE_SEL, F2 = FREE_SEL + 8, F3 = FREE_SEL + 16, F4 = FREE_SEL + 24 };

/* attr: access byte, and G D/B L AVL in bits 15:12. */
static void set_desc(unsigned sel, word base, uint32_t limit, unsigned attr)
{
    gdt[sel / 8] = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 |
                   (uint64_t)(attr & 0xf0ff) << 40 | (uint64_t)(limit >> 16 & 15) << 48 |
                   (uint64_t)(base >> 24) << 56;
}

static void load_ds(word sel)
{
    __asm__ volatile("mov %0, %%ds" ::"r"(sel));
}
static void load_ss(word sel)
{
    __asm__ volatile("mov %0, %%ss" ::"r"(sel));
}

TEST(loads)
{
    static const struct {
        unsigned sel, attr, vector, error, user_vector;
    } cases[] = {
        { 0, 0, NONE, 0, 0xff },
        { F1, 0x4092, NONE, 0, 13 },
        { F1 | 3, 0x4092, 13, F1, 13 },
        { F1 | 3, 0x40f2, NONE, 0, 0xff },
        { F1, 0x4012, 11, F1, 13 },
        { F1, 0x4098, 13, F1, 13 },   /* execute-only */
        { F1, 0x409e, NONE, 0, 0xff }, /* conforming, readable */
        { F1, 0x0082, 13, F1, 13 },   /* an LDT */
        { 0x100, 0, 13, 0x100, 13 },
        { 0xc, 0, 13, 0xc, 13 },      /* no LDT */
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_desc(F1, 0, 0xfff, cases[i].attr);
        CHECK_EQ(fault_of(load_ds, cases[i].sel), cases[i].vector);
        if (cases[i].vector != NONE)
            CHECK_EQ(fault.error, cases[i].error);
        else if (cases[i].sel)
            CHECK(gdt[F1 / 8] >> 40 & 1); /* accessed */
        CHECK_EQ(user_fault_of(load_ds, cases[i].sel), cases[i].user_vector);
    }
    CHECK_EQ(fault_of(load_ss, 0), 13);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(fault_of(load_ss, UDATA), 13);
    CHECK_EQ(fault.error, UDATA & ~3);
    set_desc(F1, 0, 0xfff, 0x4012);
    CHECK_EQ(fault_of(load_ss, F1), 12);
    CHECK_EQ(fault.error, F1);
}

static uint8_t area[64] __attribute__((aligned(16)));
static unsigned access_sel;

static void es_read4(word off)
{
    __asm__ volatile("mov %1, %%es; mov %%es:(%0), %%eax" ::"r"(off), "r"(access_sel) : "eax");
}
static void es_write4(word off)
{
    __asm__ volatile("mov %1, %%es; movl $7, %%es:(%0)" ::"r"(off), "r"(access_sel) : "memory");
}

TEST(limits_and_types)
{
    access_sel = F1;
    set_desc(F1, (word)area, 15, 0x4092);
    CHECK_EQ(fault_of(es_read4, 12), NONE);
    CHECK_EQ(fault_of(es_read4, 13), 13);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(fault_of(es_read4, 0xfffffffe), 13);
    set_desc(F1, (word)area, 15, 0x4090); /* read-only */
    CHECK_EQ(fault_of(es_read4, 0), NONE);
    CHECK_EQ(fault_of(es_write4, 0), 13);
    set_desc(F1, (word)area, 15, 0x409a); /* code */
    CHECK_EQ(fault_of(es_read4, 0), NONE);
    CHECK_EQ(fault_of(es_write4, 0), 13);
    set_desc(F1, 0, 0xfff, 0x4096); /* expand-down: above 0xfff */
    CHECK_EQ(fault_of(es_read4, 0xffd), 13);
    CHECK_EQ(fault_of(es_read4, 0x1000), NONE);
    set_desc(F1, 0, 0xfff, 0x0096); /* ... and up to 64 KiB */
    CHECK_EQ(fault_of(es_read4, 0xfffc), NONE);
    CHECK_EQ(fault_of(es_read4, 0xfffd), 13);
    access_sel = 0;
    CHECK_EQ(fault_of(es_read4, 0), 13);
}

/* ---- call gates ------------------------------------------------------------------------------ */

extern char gate_target[], gate_target_inner[];
__asm__("gate_target: mov %cs, %ax; mov 8(%esp), %ecx; lret $8\n"
        "gate_target_inner: hlt\n");
static uint16_t gate_cs;
static uint32_t gate_param;

static void call_gate(word sel)
{
    static struct __attribute__((packed)) {
        uint32_t off;
        uint16_t sel;
    } to;

    to.sel = (uint16_t)sel;
    __asm__ volatile("push $0x222; push $0x111; lcall *%2; mov %%ax, %0; mov %%ecx, %1"
                     : "=m"(gate_cs), "=m"(gate_param) : "m"(to) : "eax", "ecx", "memory");
}

static void set_call_gate(unsigned sel, unsigned cs, word off, unsigned type_attr, unsigned n)
{
    gdt[sel / 8] = (off & 0xffff) | (uint64_t)cs << 16 | (uint64_t)n << 32 |
                   (uint64_t)type_attr << 40 | (uint64_t)(off >> 16) << 48;
}

TEST(call_gates)
{
    set_call_gate(F1, KCODE, (word)gate_target, 0xec, 2);
    CHECK_EQ(user_fault_of(call_gate, F1 | 3), 0xff);
    CHECK_EQ(gate_cs, KCODE);
    CHECK_EQ(gate_param, 0x111);
    set_call_gate(F1, KCODE, (word)gate_target, 0x8c, 2); /* for level 0 */
    CHECK_EQ(user_fault_of(call_gate, F1 | 3), 13);
    CHECK_EQ(fault.error, F1);
    set_call_gate(F1, KCODE, (word)gate_target, 0x6c, 2);
    CHECK_EQ(user_fault_of(call_gate, F1 | 3), 11);
    CHECK_EQ(fault.error, F1);
    set_call_gate(F1, KDATA, (word)gate_target, 0xec, 2);
    CHECK_EQ(user_fault_of(call_gate, F1 | 3), 13);
    CHECK_EQ(fault.error, KDATA);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void in_80(word unused)
{
    inb(0x80);
}
static void cli_sti(word unused)
{
    __asm__ volatile("cli; sti; cli");
}
static void drop_iopl(struct frame *f)
{
    f->flags &= ~(word)0x3000;
}
static void in_80_without_iopl(word unused)
{
    __asm__ volatile("int $0x83"); /* drop_iopl() */
    inb(0x80);
}
static void cli_without_iopl(word unused)
{
    __asm__ volatile("int $0x83; cli");
}

TEST(ports_and_iopl)
{
    CHECK_EQ(user_fault_of(cli_sti, 0), 0xff);
    CHECK_EQ(user_fault_of(in_80, 0), 0xff);
    interrupts = drop_iopl;
    CHECK_EQ(user_fault_of(cli_without_iopl, 0), 13);
    CHECK_EQ(user_fault_of(in_80_without_iopl, 0), 0xff);
    tss[0x68 + 0x80 / 8] = 1;
    CHECK_EQ(user_fault_of(in_80_without_iopl, 0), 13);
    CHECK_EQ(fault.error, 0);
    tss[0x68 + 0x80 / 8] = 0;
    interrupts = NULL;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static uint8_t tss2[104] __attribute__((aligned(128)));
static uint32_t task_stack[256];
static volatile unsigned task_runs, task_tr, task_nt;

static void task_body(void)
{
    for (;;) {
        uint16_t tr;

        task_runs++;
        __asm__ volatile("str %0" : "=r"(tr));
        task_tr = tr;
        task_nt = (flags() >> 14) & 1;
        __asm__ volatile("iret"); /* NT: back to the caller; goes on here the next time */
    }
}

static void put32(uint8_t *p, unsigned off, uint32_t v)
{
    *(uint32_t *)(void *)(p + off) = v;
}

static void make_task(void)
{
    set_desc(F2, (word)tss2, sizeof(tss2) - 1, 0x89);
    put32(tss2, 32, (word)task_body);
    put32(tss2, 36, 2);
    put32(tss2, 56, (word)(task_stack + 255));
    put32(tss2, 72, KDATA);
    put32(tss2, 76, KCODE);
    put32(tss2, 80, KDATA);
    put32(tss2, 84, KDATA);
    put32(tss2, 88, KDATA);
    put32(tss2, 92, KDATA);
    put32(tss2, 96, 0);
    put32(tss2, 100, 104u << 16);
}

static void call_task(word sel)
{
    struct __attribute__((packed)) {
        uint32_t off;
        uint16_t sel;
    } to = { 0, (uint16_t)sel };

    __asm__ volatile("lcall *%0" ::"m"(to) : "memory");
}

TEST(task_switches)
{
    uint16_t tr;

    make_task();
    task_runs = 0;
    CHECK_EQ(fault_of(call_task, F2), NONE);
    CHECK_EQ(task_runs, 1);
    CHECK_EQ(task_tr, F2);
    CHECK_EQ(task_nt, 1);
    __asm__ volatile("str %0" : "=r"(tr));
    CHECK_EQ(tr, TSS_SEL);
    CHECK(read_cr0() & 8); /* TS */
    CHECK_EQ(gdt[F2 / 8] >> 40 & 0xff, 0x89);
    CHECK_EQ(gdt[TSS_SEL / 8] >> 40 & 0xff, 0x8b);
    CHECK_EQ(*(uint16_t *)(void *)tss2, TSS_SEL);
    CHECK_EQ(fault_of(call_task, F2), NONE);
    CHECK_EQ(task_runs, 2);
    set_call_gate(F3, F2, 0, 0x85, 0); /* by a task gate */
    CHECK_EQ(fault_of(call_task, F3), NONE);
    CHECK_EQ(task_runs, 3);
    CHECK_EQ(fault_of(call_task, TSS_SEL), 13); /* busy */
    CHECK_EQ(fault.error, TSS_SEL);
    set_desc(F2, (word)tss2, 102, 0x89);
    CHECK_EQ(fault_of(call_task, F2), 10);
    CHECK_EQ(fault.error, F2);
    make_task();
    set_gate(0x90, F2, 0, 0x85, 0);
    __asm__ volatile("int $0x90" ::: "memory");
    CHECK_EQ(task_runs, 4);
    __asm__ volatile("clts");
}

static unsigned task_vector, task_error;
static word task_ip, task_flags, task_sel;

static void task_fault(struct frame *f)
{
    uint16_t tr;

    __asm__ volatile("str %0" : "=r"(tr));
    task_sel = tr;
    task_vector = (unsigned)f->vector;
    task_error = (unsigned)f->error;
    task_ip = f->ip;
    task_flags = f->flags;
    f->ip = (word)task_body; /* its IRET goes back to the caller */
    f->flags |= 0x4000;
}

TEST(faults_of_a_new_task)
{
    make_task();
    put32(tss2, 84, UCODE32); /* DS: readable, but for SS below */
    put32(tss2, 88, 0xfc);    /* FS: behind the GDT */
    put32(tss2, 36, 0x80 | 2); /* SF */
    on_exception = task_fault;
    task_runs = 0;
    __asm__ volatile("xor %%eax, %%eax; int $0x90" ::: "eax", "cc", "memory");
    on_exception = NULL;
    CHECK_EQ(task_vector, 10);
    CHECK_EQ(task_error, 0xfc);
    CHECK_EQ(task_ip, (word)task_body);
    CHECK_EQ(task_flags & 0x8d5, 0x80); /* the new task's, not the old one's */
    CHECK_EQ(task_sel, F2);
    CHECK_EQ(task_runs, 1);
    __asm__ volatile("clts");
}

/* ---- LAR, LSL, VERR, ARPL -------------------------------------------------------------------- */

TEST(asking)
{
    uint32_t v = 1;
    uint8_t zf;

    __asm__ volatile("lar %2, %0; setz %1" : "+r"(v), "=q"(zf) : "r"((uint32_t)UCODE32) : "cc");
    CHECK_EQ(zf, 1);
    CHECK_EQ(v & ~0x000f0100u, 0x00c0fa00);
    __asm__ volatile("lsl %2, %0; setz %1" : "+r"(v), "=q"(zf) : "r"((uint32_t)TSS_SEL) : "cc");
    CHECK_EQ(v, 0x207f);
    __asm__ volatile("lsl %2, %0; setz %1" : "+r"(v), "=q"(zf) : "r"(0x7ff8u) : "cc");
    CHECK_EQ(zf, 0);
    CHECK_EQ(v, 0x207f);
    __asm__ volatile("verw %w1; setz %0" : "=q"(zf) : "r"((uint32_t)KCODE) : "cc");
    CHECK_EQ(zf, 0);
    __asm__ volatile("verr %w1; setz %0" : "=q"(zf) : "r"((uint32_t)KCODE) : "cc");
    CHECK_EQ(zf, 1);
    v = 0x10;
    __asm__ volatile("arpl %w2, %w0; setz %1" : "+r"(v), "=q"(zf) : "r"(3u) : "cc");
    CHECK_EQ(zf, 1);
    CHECK_EQ(v, 0x13);
}

/* ---- VM86 ------------------------------------------------------------------------------------ */

static unsigned vm_vector, vm_ip, vm_cs, vm_ax, vm_flags;

/* Enter VM86 at 0800:0000; the handler below comes back to the caller by its saved ESP. */
__asm__(".text\nrun_vm86: push %ebx; push %esi; push %edi; push %ebp\n"
        "mov 20(%esp), %eax; mov %esp, vm_esp; mov %esp, tss + 4\n"
        "pushl $0; pushl $0; pushl $0x1000; pushl $0\n" /* GS FS DS ES */
        "pushl $0; pushl $0x7000\n"                     /* SS ESP */
        "push %eax; pushl $0x800; pushl $0\n"           /* EFLAGS CS EIP */
        "iret\n"
        "leave_vm86: mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %fs; mov %eax, %gs\n"
        "mov vm_esp, %esp; pop %ebp; pop %edi; pop %esi; pop %ebx; ret\n"
        ".data; vm_esp: .long 0; .text");
extern char leave_vm86[];
void run_vm86(uint32_t eflags);

static void vm86_handler(struct frame *f)
{
    vm_vector = (unsigned)f->vector;
    vm_ip = (unsigned)f->ip;
    vm_cs = (unsigned)f->cs;
    vm_flags = (unsigned)f->flags;
    vm_ax = (unsigned)f->gpr[7] & 0xffff;
    f->ip = (word)leave_vm86;
    f->cs = KCODE;
    f->flags = 2;
}

static void vm86(uint32_t eflags, const char *code, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        *(volatile char *)(0x8000 + i) = code[i];
    on_exception = vm86_handler;
    vm_vector = 0;
    run_vm86(eflags);
    on_exception = NULL;
}

TEST(vm86_mode)
{
    *(volatile uint16_t *)0x10000 = 0xbeef;
    /* mov ax, [0]; int 21h: with IOPL 3 through the IDT, whose gate needs DPL 3 */
    vm86(0x23002, "\xa1\x00\x00\xcd\x90", 5);
    CHECK_EQ(vm_vector, 13); /* gate 0x90 is a task gate of DPL 0 */
    CHECK_EQ(vm_ax, 0xbeef);
    CHECK_EQ(vm_ip, 3);
    CHECK_EQ(vm_cs, 0x800);
    CHECK(vm_flags & 0x20000);
    vm86(0x23002, "\xcd\x91", 2);
    CHECK_EQ(vm_vector, 0x91);
    CHECK_EQ(vm_ip, 2);
    vm86(0x20002, "\x9c", 1); /* PUSHF without IOPL */
    CHECK_EQ(vm_vector, 13);
    vm86(0x20002, "\xf4", 1); /* HLT */
    CHECK_EQ(vm_vector, 13);
    vm86(0x20002, "\x0f\x00\xc0", 3); /* SLDT */
    CHECK_EQ(vm_vector, 6);
    vm86(0x20002, "\x66\xb8\xff\xff\x01\x00\x67\x8a\x00", 9); /* mov al, [eax]: limit 64 KiB */
    CHECK_EQ(vm_vector, 13);
}

/* ---- real mode and back ---------------------------------------------------------------------- */

extern char rm_start[], rm_end[];
__asm__(".pushsection .text; .code16\n"
        "rm_start:\n"
        "  mov %cr0, %eax; and $0xfe, %al; mov %eax, %cr0\n"
        "  ljmp $0x900, $(1f - rm_start)\n"
        "1: mov $0x900, %ax; mov %ax, %ds; mov %ax, %ss; mov $0xf00, %sp\n"
        "  push $0x1234; pop %ax; mov %ax, 0xe00\n"
        "  xor %ax, %ax; mov %ax, %es\n"
        "  mov $0x300000, %ebx; addr32 movl %es:(%ebx), %ecx; mov %ecx, 0xe04\n" /* unreal */
        "  mov %cs, %ax; mov %ax, 0xe08\n"
        "  int $0x60\n"
        "  mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
        "  ljmpl $8, $rm_back\n"
        "rm_isr: incw 0xe0c; iret\n"
        "rm_end: .code32; .popsection");
extern char rm_isr[];
__asm__(".text; rm_go: pusha; mov %esp, rm_esp; sidt rm_idt_save; lidt rm_idt; lgdt rm_gdt\n"
        "ljmp $0x38, $0\n"
        "rm_back: mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
        "mov %eax, %fs; mov %eax, %gs; mov rm_esp, %esp; lidt rm_idt_save; popa; ret\n"
        ".data; rm_esp: .long 0; rm_idt_save: .skip 6; rm_idt: .word 0x3ff; .long 0\n"
        "rm_gdt: .word 255; .long gdt; .text");
void rm_go(void);

TEST(real_mode_and_back)
{
    volatile uint8_t *to = (volatile uint8_t *)0x9000;

    for (unsigned i = 0; i < (unsigned)(rm_end - rm_start); i++)
        to[i] = (uint8_t)rm_start[i];
    *(volatile uint32_t *)0x300000 = 0xfeedf00d;
    *(volatile uint16_t *)0x9e0c = 0;
    *(volatile uint32_t *)(0x60 * 4) = 0x9000000u | (unsigned)(rm_isr - rm_start);
    set_desc(CODE16, 0x9000, 0xffff, 0x009a);
    rm_go();
    CHECK_EQ(*(volatile uint16_t *)0x9e00, 0x1234);
    CHECK_EQ(*(volatile uint32_t *)0x9e04, 0xfeedf00d);
    CHECK_EQ(*(volatile uint16_t *)0x9e08, 0x900);
    CHECK_EQ(*(volatile uint16_t *)0x9e0c, 1);
}

void guest_main(void)
{
    RUN(loads);
    RUN(limits_and_types);
    RUN(call_gates);
    RUN(ports_and_iopl);
    RUN(asking);
    RUN(task_switches);
    RUN(faults_of_a_new_task);
    RUN(vm86_mode);
    RUN(real_mode_and_back);
}
