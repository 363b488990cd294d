/* SPDX-License-Identifier: GPL-2.0-or-later */
/* patch_test.c - code that changes while it runs: by plain stores of another VP, as kernels patch
 * themselves (INT3, the rest, the first byte), and by itself.
 *
 * Whoever runs patched code sees the old or the new value, none older than one it has seen, and after
 * it has synchronized none older than what was written then. */
#include "base/test.h"
#include "cpu/soft/smp.h"

#define VPS 3 /* 0 patches; more than two of them wait for the host's CPUs, most of the time */

/* +0: what has been written, +8: failures, +0x10: VPs that are ready, +0x18: new values seen, +0x20:
 * interrupts taken, +0x28: breakpoints met.  RCX and R15: the last value. */
asm(".macro patch_ready\n"
    "  mov %rcx, %r15\n"
    "  lock incq 0x10(%rbx)\n"
    "8: pause\n  cmpq $3, 0x10(%rbx)\n  jne 8b\n"
    ".endm\n"
    /* eax: a value; \last: the one before */
    ".macro patch_check last\n"
    "  cmp %r14d, %eax\n  jae 8f\n  lock incq 8(%rbx)\n"
    "8: cmp \\last, %eax\n  je 9f\n  ja 7f\n"
    "8: lock incq 8(%rbx)\n  jmp 9f\n"
    "7: lock incq 0x18(%rbx)\n"
    "9: mov %eax, \\last\n"
    ".endm\n"
    ".macro patch_done\n"
    "  out %al, $0x80\n"
    "8: cli\n  hlt\n  jmp 8b\n"
    ".endm\n"
    /* mov $0, %eax whose immediate is aligned */
    ".macro patched label\n"
    "  .balign 4, 0x90\n  nop\n  nop\n  nop\n"
    "\\label: .byte 0xb8, 0, 0, 0, 0\n"
    ".endm\n"

    ".pushsection .rodata\n"
    ".globl guest_plain, guest_plain_end, guest_poke, guest_poke_bp, guest_poke_ipi, guest_poke_end\n"
    ".globl guest_self, guest_self_end\n"

    /* A function in another page, one in the callers' page, one instruction in their loop and in a
     * loop of one block. */
    ".balign 64\n"
    "guest_plain:\n"
    "  patch_ready\n"
    "  test %r12, %r12\n  jnz plain_caller\n"
    "  xor %r13d, %r13d\n"
    "1: inc %r13\n"
    "  mov %r13d, plain_f1 + 1(%rip)\n"
    "  mov %r13d, plain_f2 + 1(%rip)\n"
    "  mov %r13d, plain_f3 + 1(%rip)\n"
    "  mov %r13d, plain_f4 + 1(%rip)\n"
    "  mov %r13, (%rbx)\n"
    "  imul $77, %r13d, %edx\n  and $0x3fff, %edx\n" /* sometimes at once, sometimes later */
    "2: dec %edx\n  jns 2b\n"
    "  cmp %r15, %r13\n  jb 1b\n"
    "  patch_done\n"
    "plain_caller:\n"
    "  xor %esi, %esi\n  xor %edi, %edi\n  xor %ebp, %ebp\n  xor %r9d, %r9d\n  xor %r14d, %r14d\n"
    "3: inc %r10\n"
    "  test $15, %r10b\n  jnz 4f\n"
    "  mov (%rbx), %r14\n"
    "  mov %rbx, %r8\n  xor %eax, %eax\n  cpuid\n  mov %r8, %rbx\n"
    "  patched plain_f3\n"
    "  patch_check %ebp\n"
    "4: call plain_f1\n"
    "  patch_check %esi\n"
    "  call plain_f2\n"
    "  patch_check %edi\n"
    "  mov $20, %edx\n"
    "  patched plain_f4\n"
    "  cmp %r14d, %eax\n  jae 6f\n  lock incq 8(%rbx)\n"
    "6: cmp %r9d, %eax\n  jb 5f\n"
    "  mov %eax, %r9d\n"
    "  dec %edx\n  jnz plain_f4\n"
    "  cmp %r15d, %esi\n  jne 3b\n"
    "  cmp %r15d, %edi\n  jne 3b\n"
    "  cmp %r15d, %ebp\n  jne 3b\n"
    "  cmp %r15d, %r9d\n  jne 3b\n"
    "  patch_done\n"
    "5: lock incq 8(%rbx)\n  mov %eax, %r9d\n  jmp 3b\n"
    "  patched plain_f2\n"
    "  ret\n"
    ".org guest_plain + 0x1100\n"
    "  patched plain_f1\n"
    "  ret\n"
    "guest_plain_end:\n"

    /* Values are n | ~n << 16.  poke: EAX to the instruction at RBP. */
    ".macro poke_sync\n"
    "  movq $0, 0x20(%rbx)\n"
    "  movl $0xc4040, (%rdi)\n" /* all others, vector 0x40 */
    "8: pause\n  cmpq $2, 0x20(%rbx)\n  jne 8b\n"
    ".endm\n"
    ".macro poke_call f, last\n"
    "  mov (%rbx), %r14d\n"
    "  call \\f\n"
    "  mov %eax, %edx\n  shr $16, %edx\n  not %edx\n  movzwl %dx, %edx\n  movzwl %ax, %eax\n"
    "  cmp %edx, %eax\n  je 7f\n  lock incq 8(%rbx)\n"
    "7: patch_check \\last\n"
    ".endm\n"
    "guest_poke:\n"
    "  mov $0xfee000f0, %edi\n  movl $0x1ff, (%rdi)\n"
    "  patch_ready\n"
    "  mov $0xfee00300, %edi\n"
    "  test %r12, %r12\n  jnz poke_caller\n"
    "  xor %r13d, %r13d\n"
    "1: inc %r13\n"
    "  mov %r13d, %eax\n  not %eax\n  shl $16, %eax\n  or %r13d, %eax\n"
    "  lea poke_line(%rip), %rbp\n  call poke\n"
    "  lea poke_page(%rip), %rbp\n  call poke\n"
    "  mov %r13, (%rbx)\n"
    "  cmp %r15, %r13\n  jb 1b\n"
    "  patch_done\n"
    "poke:\n"
    "  movb $0xcc, (%rbp)\n"
    "  poke_sync\n"
    "  mov %eax, 1(%rbp)\n"
    "  poke_sync\n"
    "  movb $0xb8, (%rbp)\n"
    "  poke_sync\n"
    "  ret\n"
    "poke_caller:\n"
    "  xor %esi, %esi\n  xor %r9d, %r9d\n"
    "  sti\n"
    "3: poke_call poke_line, %esi\n"
    "  poke_call poke_page, %r9d\n"
    "  cmp %r15d, %esi\n  jne 3b\n"
    "  cmp %r15d, %r9d\n  jne 3b\n"
    "4: cmp %r15d, (%rbx)\n  jne 4b\n" /* there are interrupts to answer still */
    "  cli\n"
    "  patch_done\n"
    "guest_poke_bp:\n"
    "  decq (%rsp)\n"
    "  lock incq 0x28(%rbx)\n"
    "  pause\n"
    "  iretq\n"
    "guest_poke_ipi:\n"
    "  push %rax\n"
    "  mov $0xfee000b0, %eax\n  movl $0, (%rax)\n"
    "  pop %rax\n"
    "  lock incq 0x20(%rbx)\n"
    "  iretq\n"
    ".org guest_poke + 0x7fd\n"
    "poke_line: mov $0xffff0000, %eax\n  ret\n"
    ".org guest_poke + 0xffe\n"
    "poke_page: mov $0xffff0000, %eax\n  ret\n"
    "guest_poke_end:\n"

    /* Each VP in a copy of its own, all in one page: the next instruction, one behind a jump, one that
     * ran before, and a byte string. */
    "guest_self:\n"
    "  lea self_code(%rip), %rsi\n"
    "  mov %r12, %rdi\n  shl $8, %rdi\n  lea 0x14000(%rdi), %rdi\n"
    "  mov %rdi, %rdx\n  mov %rcx, %r8\n"
    "  mov $self_end - self_code, %ecx\n  rep movsb\n"
    "  mov %r8, %rcx\n"
    "  patch_ready\n"
    "  jmp *%rdx\n"
    "self_code:\n"
    "1: mov %rcx, %rsi\n  mov %ecx, 2f + 1(%rip)\n"
    "2: mov $0, %eax\n"
    "  cmp %ecx, %eax\n  jne 9f\n"
    "  mov %ecx, 3f + 1(%rip)\n"
    "  jmp 3f\n"
    "3: mov $0, %eax\n"
    "  cmp %ecx, %eax\n  jne 9f\n"
    "  mov %cl, %al\n  and $1, %al\n"
    "  or $0x90, %al\n" /* nop or xchg %eax, %ecx */
    "  mov %ecx, %edx\n"
    "  lea 4f(%rip), %rdi\n  stosb\n"
    "  mov $0x55555555, %eax\n"
    "4: nop\n"
    "  test $1, %dl\n  jz 5f\n"
    "  xchg %eax, %ecx\n"
    "5: cmp %edx, %ecx\n  jne 9f\n"
    "  mov %rsi, %rcx\n"
    "6: mov $0, %eax\n" /* written in the round before */
    "  test %eax, %eax\n  jz 7f\n"
    "  dec %eax\n  cmp %ecx, %eax\n  jne 9f\n"
    "7: mov %ecx, 6b + 1(%rip)\n"
    "  dec %rcx\n  jnz 1b\n"
    "  patch_done\n"
    "9: lock incq 8(%rbx)\n  mov %rsi, %rcx\n  jmp 7b\n"
    "self_end:\n"
    "guest_self_end:\n"
    ".popsection\n");
extern const uint8_t guest_plain[], guest_plain_end[], guest_poke[], guest_poke_bp[],
    guest_poke_ipi[], guest_poke_end[], guest_self[], guest_self_end[];

static void run(struct machine *m, uint64_t last)
{
    for (unsigned i = 0; i < VPS; i++)
        machine_start(m, i, last, 0);
    machine_go(m, VPS);
    machine_join(m, VPS);
    EXPECT_EQ(m->done, (1 << VPS) - 1);
    EXPECT_EQ(machine_get64(m, DATA_AT + 8), 0);
}

TEST(plain_stores_patch_code_that_runs)
{
    struct machine *m = machine_new(VPS, TEST_MODE);
    uint64_t n = 1000;

    machine_prepare(m, guest_plain, guest_plain_end, 0);
    run(m, n);
    EXPECT(machine_get64(m, DATA_AT + 0x18) > 0);
    printf("# %llu new values seen of %llu\n", (unsigned long long)machine_get64(m, DATA_AT + 0x18),
           (unsigned long long)n * 3 * (VPS - 1));
    machine_free(m);
}

TEST(breakpoint_patches_code_that_runs)
{
    struct machine *m = machine_new(VPS, TEST_MODE);
    uint64_t n = 40;

    machine_prepare(m, guest_poke, guest_poke_end, CODE_AT + (uint64_t)(guest_poke_ipi - guest_poke));
    machine_gate(m, 3, CODE_AT + (uint64_t)(guest_poke_bp - guest_poke));
    run(m, n);
    EXPECT(machine_get64(m, DATA_AT + 0x18) > 0);
    printf("# %llu new values seen of %llu, %llu breakpoints\n",
           (unsigned long long)machine_get64(m, DATA_AT + 0x18),
           (unsigned long long)n * 2 * (VPS - 1),
           (unsigned long long)machine_get64(m, DATA_AT + 0x28));
    machine_free(m);
}

TEST(code_patches_itself)
{
    struct machine *m = machine_new(VPS, TEST_MODE);

    machine_prepare(m, guest_self, guest_self_end, 0);
    run(m, 3000);
    machine_free(m);
}
