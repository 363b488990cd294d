/* SPDX-License-Identifier: GPL-2.0-or-later */
/* levels.c - long mode: privilege changes, compatibility mode, SYSCALL, IST, call gates, leaving
 * long mode and coming back. */
#include "guest.h"

enum { STAR = 0xc0000081, LSTAR = 0xc0000082, SFMASK = 0xc0000084, FS_BASE = 0xc0000100,
       GS_BASE = 0xc0000101, KERNEL_GS_BASE = 0xc0000102, EFER = 0xc0000080 };

static uint64_t non_canonical = UINT64_C(1) << 55;

static void wrmsr_bad(word msr)
{
    wrmsr((uint32_t)msr, non_canonical);
}
static void wrmsr_0(word msr)
{
    wrmsr((uint32_t)msr, 0);
}

TEST(msr_checks)
{
    static const uint32_t addresses[] = { 0x175, 0x176, LSTAR, 0xc0000083, FS_BASE, GS_BASE,
                                          KERNEL_GS_BASE };

    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        CHECK_EQ(fault_of(wrmsr_bad, addresses[i]), 13);
        CHECK_EQ(fault.error, 0);
    }
    CHECK_EQ(fault_of(wrmsr_0, 0x12345678), 13);
    CHECK_EQ(fault_of(wrmsr_0, EFER), 13); /* LME off under paging */
    CHECK_EQ(user_fault_of(wrmsr_0, FS_BASE), 13);
}

/* ---- SYSCALL --------------------------------------------------------------------------------- */

extern char syscall_entry[], syscall_back[];
word seen_rcx, seen_r11, seen_flags, seen_cs, seen_ss;
__asm__(".text\nsyscall_entry: mov %rcx, seen_rcx; mov %r11, seen_r11\n"
        "push %rcx; pushf; pop seen_flags; pop %rcx\n"
        "mov %cs, %eax; mov %rax, seen_cs; mov %ss, %eax; mov %rax, seen_ss\n"
        "sysretq");

static void user_syscall(word unused)
{
    __asm__ volatile("stc; syscall; .globl syscall_back; syscall_back: nop" ::
                             : "rcx", "r11", "rax", "memory", "cc");
}

TEST(syscall_sysret)
{
    wrmsr(STAR, UINT64_C(0x00200008) << 32); /* SYSRET: code 0x30, stack 0x28 */
    wrmsr(LSTAR, (word)syscall_entry);
    wrmsr(SFMASK, 0x3201);
    CHECK_EQ(user_fault_of(user_syscall, 0), 0xff);
    CHECK_EQ(seen_rcx, (word)syscall_back);
    CHECK(seen_r11 & 1);
    CHECK_EQ(seen_r11 & 0x3000, 0x3000);
    CHECK_EQ(seen_flags & 0x3201, 0);
    CHECK_EQ(seen_cs, KCODE);
    CHECK_EQ(seen_ss, KDATA);
    CHECK_EQ(fault.cs, UCODE64);
    CHECK_EQ(fault.ss, UDATA);
    CHECK_EQ(fault.flags & 0x3001, 0x3001);
    wrmsr(EFER, rdmsr(EFER) & ~UINT64_C(1));
    CHECK_EQ(user_fault_of(user_syscall, 0), 6);
    wrmsr(EFER, rdmsr(EFER) | 1);
}

/* ---- compatibility mode ---------------------------------------------------------------------- */

/* In 32-bit code: PUSH, MOV, a REX byte is INC, and back by a far return. */
uint32_t compat_esp, compat_eax, compat_cs;
extern char compat_code[];
__asm__(".pushsection .text; .code32\n"
        "compat_code: mov %esp, compat_esp; mov $5, %eax; .byte 0x40\n" /* inc eax */
        "mov %eax, compat_eax; mov %cs, %ax; mov %eax, compat_cs; lret\n"
        ".code64; .popsection");

TEST(compatibility_mode)
{
    static struct __attribute__((packed)) {
        uint32_t off;
        uint16_t sel;
    } to;

    to.off = (uint32_t)(word)compat_code;
    to.sel = KCODE32;
    __asm__ volatile("movabs $0xffffffff00000000, %%rax; lcall *%0" ::"m"(to) : "rax", "memory");
    CHECK_EQ(compat_eax, 6);
    CHECK_EQ(compat_cs & 0xffff, KCODE32);
}

static void compat_user(word unused)
{
    /* to user 32-bit code by IRET, back by a software interrupt */
    __asm__ volatile("pushq $0x2b; lea user_stack_top - 64, %%rax; push %%rax; pushq $0x3002\n"
                     "pushq $0x23; lea 1f, %%rax; push %%rax; iretq\n"
                     ".code32\n1: push %%eax; pop %%ecx; int $0xff; .code64" ::: "rax", "rcx");
}

TEST(iret_to_32_bit_user_code)
{
    *(word *)(void *)(tss + 4) = (word)df_stack_top;
    CHECK_EQ(fault_of(compat_user, 0), 0xff);
    CHECK_EQ(fault.cs, UCODE32);
    CHECK_EQ(fault.sp, (word)user_stack_top - 64);
    CHECK_EQ(fault.ss, UDATA);
}

/* ---- IRET faults ----------------------------------------------------------------------------- */

static word iret_cs, iret_ss, iret_ip;

static void do_iret(word sp)
{
    __asm__ volatile("push %0; push %1; pushf; push %2; push %3; iretq" ::"r"(iret_ss), "r"(sp),
                     "r"(iret_cs), "r"(iret_ip));
}

static unsigned iret_fault(word cs, word ss, word ip)
{
    iret_cs = cs;
    iret_ss = ss;
    iret_ip = ip;
    return fault_of(do_iret, (word)user_stack_top - 64);
}

TEST(iret_faults)
{
    CHECK_EQ(iret_fault(0, UDATA, 0), 13);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(fault.cs, KCODE);
    CHECK_EQ(iret_fault(UCODE64, 3, 0), 13);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(iret_fault(UCODE64, KDATA, 0), 13);
    CHECK_EQ(fault.error, KDATA);
    CHECK_EQ(iret_fault(KCODE | 3, UDATA, 0), 13);
    CHECK_EQ(fault.error, KCODE);
    CHECK_EQ(iret_fault(UCODE64, UDATA, non_canonical), 13);
    CHECK_EQ(fault.error, 0);
    CHECK_EQ(iret_fault(0x100, UDATA, 0), 13);
    CHECK_EQ(fault.error, 0x100);
}

/* ---- gates ----------------------------------------------------------------------------------- */

static void int_90(word unused)
{
    __asm__ volatile("int $0x90");
}

TEST(interrupt_gates)
{
    word stub = (word)stub_table + 0x90 * 16;

    set_gate(0x90, KCODE, stub, 0x8e, 0);
    CHECK_EQ(user_fault_of(int_90, 0), 13);
    CHECK_EQ(fault.error, 0x90 * 8 + 2);
    CHECK_EQ(fault_of(int_90, 0), 0x90);
    set_gate(0x90, KCODE, stub, 0x0e, 0);
    CHECK_EQ(fault_of(int_90, 0), 11);
    CHECK_EQ(fault.error, 0x90 * 8 + 2);
    set_gate(0x90, KCODE32, stub, 0x8e, 0);
    CHECK_EQ(fault_of(int_90, 0), 13);
    CHECK_EQ(fault.error, KCODE32);
    set_gate(0x90, KCODE, stub, 0x85, 0); /* no task gates here */
    CHECK_EQ(fault_of(int_90, 0), 13);
    set_gate(0x90, KCODE, non_canonical, 0x8e, 0);
    CHECK_EQ(fault_of(int_90, 0), 13);
    CHECK_EQ(fault.error, 0);
    set_gate(0x90, KCODE, stub, 0xee, 1);
    CHECK_EQ(fault_of(int_90, 0), 0x90);
    CHECK(fault.sp > (word)user_stack_top || fault.sp < (word)df_stack_top);
    set_gate(0x90, KCODE, stub, 0xee, 2); /* IST 2 is no address */
    *(word *)(void *)(tss + 0x2c) = non_canonical;
    CHECK_EQ(fault_of(int_90, 0), 12);
    CHECK_EQ(fault.error, 0);
    set_gate(0x90, KCODE, stub, 0xee, 0);
}

static void divide(word by)
{
    __asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; div %0" ::"r"(by) : "rax", "rdx", "cc");
}

TEST(double_faults)
{
    uint64_t saved = idt[0];

    idt[0] &= ~(UINT64_C(1) << 47); /* #DE's gate is away: #NP, a contributory after another */
    CHECK_EQ(fault_of(divide, 0), 8);
    CHECK_EQ(fault.error, 0);
    idt[0] = saved;
    CHECK_EQ(fault_of(divide, 0), 0);
    CHECK_EQ(fault_of(int_90, 0), 0x90);
}

extern char gate64[];
__asm__(".text\ngate64: mov %rsp, call_gate_rsp; lretq; .data; call_gate_rsp: .quad 0; .text");
extern word call_gate_rsp;

static void call_gate(word sel)
{
    static struct __attribute__((packed)) {
        uint32_t off;
        uint16_t sel;
    } to;

    to.sel = (uint16_t)sel;
    __asm__ volatile("lcall *%0" ::"m"(to) : "memory");
}

TEST(call_gates)
{
    word off = (word)gate64;

    gdt[FREE_SEL / 8] = (off & 0xffff) | (uint64_t)KCODE << 16 | UINT64_C(0xec) << 40 |
                        (off >> 16 & 0xffff) << 48;
    gdt[FREE_SEL / 8 + 1] = off >> 32;
    CHECK_EQ(user_fault_of(call_gate, FREE_SEL | 3), 0xff);
    CHECK_EQ(call_gate_rsp, *(word *)(void *)(tss + 4) - 32);
    gdt[FREE_SEL / 8 + 1] |= UINT64_C(0x100) << 32;
    CHECK_EQ(user_fault_of(call_gate, FREE_SEL | 3), 13);
    CHECK_EQ(fault.error, FREE_SEL);
}

/* ---- out of long mode and in again ----------------------------------------------------------- */

uint32_t legacy_efer;
void leave_long_mode(void);
__asm__(".pushsection .text\n"
        "leave_long_mode: push %rbx; push %rbp\n"
        "push $0x18; lea 1f, %rax; push %rax; lretq\n"
        ".code32\n"
        "1: mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
        "mov $0xc0000080, %ecx; rdmsr; mov %eax, legacy_efer\n"
        "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
        "ljmp $8, $2f\n"
        ".code64\n"
        "2: pop %rbp; pop %rbx; ret; .popsection");

TEST(long_mode_is_left_and_entered)
{
    leave_long_mode();
    CHECK_EQ(legacy_efer & 0x500, 0x100); /* LME without LMA */
    CHECK_EQ(rdmsr(EFER) & 0x500, 0x500);
}

static void set_cr0(word v)
{
    write_cr0(v);
}
static void set_cr4(word v)
{
    write_cr4(v);
}

TEST(control_register_checks)
{
    CHECK_EQ(fault_of(set_cr0, read_cr0() & ~(word)1), 13);
    CHECK_EQ(fault_of(set_cr0, read_cr0() & ~UINT64_C(0x80000000)), 13);
    CHECK_EQ(fault_of(set_cr0, read_cr0() | UINT64_C(1) << 40), 13);
    CHECK_EQ(fault_of(set_cr0, (read_cr0() | 1 << 29) & ~(UINT64_C(1) << 30)), 13);
    CHECK_EQ(fault_of(set_cr4, read_cr4() & ~(word)0x20), 13);
    CHECK_EQ(fault_of(set_cr4, read_cr4() | UINT64_C(1) << 31), 13);
    CHECK_EQ(user_fault_of(set_cr0, 0), 13);
}

static void swapgs(word unused)
{
    __asm__ volatile("swapgs");
}
static void hlt(word unused)
{
    __asm__ volatile("hlt");
}
static void ud2(word unused)
{
    __asm__ volatile("ud2");
}

TEST(swapgs_and_privileges)
{
    wrmsr(GS_BASE, 0x1000);
    wrmsr(KERNEL_GS_BASE, 0x2000);
    swapgs(0);
    CHECK_EQ(rdmsr(GS_BASE), 0x2000);
    CHECK_EQ(rdmsr(KERNEL_GS_BASE), 0x1000);
    CHECK_EQ(user_fault_of(swapgs, 0), 13);
    CHECK_EQ(user_fault_of(hlt, 0), 13);
    CHECK_EQ(user_fault_of(ud2, 0), 6);
    CHECK(fault.flags & 0x10000); /* RF, as for all faults */
}

void guest_main(void)
{
    RUN(msr_checks);
    RUN(syscall_sysret);
    RUN(compatibility_mode);
    RUN(iret_to_32_bit_user_code);
    RUN(iret_faults);
    RUN(interrupt_gates);
    RUN(double_faults);
    RUN(call_gates);
    RUN(long_mode_is_left_and_entered);
    RUN(control_register_checks);
    RUN(swapgs_and_privileges);
}
