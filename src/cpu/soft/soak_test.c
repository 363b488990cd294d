/* SPDX-License-Identifier: GPL-2.0-or-later */
/* soak_test.c - far more code than the cache of blocks holds, on two VPs at once: regions are recycled
 * while the other VP runs, and every function still gives its result. */
#include "base/test.h"
#include "cpu/soft/smp.h"

#define VPS       2
#define FUNCTIONS 24000 /* of 42 instructions; the cache holds about as many as one VP has */
#define PASSES    3

/* VP n's functions are 256 bytes each from 2 MiB + n * 0x680000: random ADD and XOR to EAX, and at +252
 * what they return.  RCX functions, RDX passes; failures to +8. */
asm(".pushsection .rodata\n"
    ".globl guest_soak, guest_soak_end\n"
    "guest_soak:\n"
    "  imul $0x680000, %r12d, %ebp\n  add $0x200000, %ebp\n"
    "  mov %rcx, %r15\n"
    "  lea 1(%r12), %r8d\n"
    "  mov %rbp, %rsi\n"
    "1: mov %rsi, %rdi\n"
    "  movb $0xb8, (%rdi)\n  mov %r8d, 1(%rdi)\n  mov %r8d, %r9d\n  add $5, %rdi\n"
    "  mov $40, %r10d\n"
    "2: imul $0x41c64e6d, %r8d\n  add $12345, %r8d\n"
    "  test $0x10000, %r8d\n  jz 3f\n"
    "  movb $0x05, (%rdi)\n  add %r8d, %r9d\n  jmp 4f\n"
    "3: movb $0x35, (%rdi)\n  xor %r8d, %r9d\n"
    "4: mov %r8d, 1(%rdi)\n  add $5, %rdi\n"
    "  dec %r10d\n  jnz 2b\n"
    "  movb $0xc3, (%rdi)\n"
    "  mov %r9d, 252(%rsi)\n"
    "  add $256, %rsi\n"
    "  dec %rcx\n  jnz 1b\n"
    "5: mov %rbp, %rsi\n  mov %r15, %rcx\n"
    "6: call *%rsi\n"
    "  cmp %eax, 252(%rsi)\n  je 7f\n  lock incq 8(%rbx)\n"
    "7: add $256, %rsi\n"
    "  dec %rcx\n  jnz 6b\n"
    "  lock incq 0x10(%rbx)\n"
    "  dec %rdx\n  jnz 5b\n"
    "  out %al, $0x80\n"
    "8: cli\n  hlt\n  jmp 8b\n"
    "guest_soak_end:\n"
    ".popsection\n");
extern const uint8_t guest_soak[], guest_soak_end[];

static uint64_t counter(struct machine *m, unsigned index, const char *name)
{
    struct vp_counter c[VP_COUNTERS_MAX];
    unsigned n = vp_counters(partition_vp(m->p, index), c);

    for (unsigned i = 0; i < n; i++)
        if (strcmp(c[i].name, name) == 0)
            return c[i].value;
    test_fail(__FILE__, __LINE__, "no counter %s", name);
    return 0;
}

TEST(more_code_than_the_cache_holds)
{
    struct machine *m = machine_new(VPS, TEST_MODE);

    machine_prepare(m, guest_soak, guest_soak_end, 0);
    for (unsigned i = 0; i < VPS; i++)
        machine_start(m, i, FUNCTIONS, PASSES);
    machine_go(m, VPS);
    machine_join(m, VPS);
    EXPECT_EQ(m->done, (1 << VPS) - 1);
    EXPECT_EQ(machine_get64(m, DATA_AT + 8), 0);
    EXPECT_EQ(machine_get64(m, DATA_AT + 0x10), VPS * PASSES);
    /* They went, and were made again. */
    for (unsigned i = 0; i < VPS; i++)
        EXPECT(counter(m, i, "blocks decoded") > FUNCTIONS + FUNCTIONS / 2);
    machine_free(m);
}
