/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep_test.c - the lock-step mode finds host code that is wrong, and nothing where it is right.
 *
 * Host code of a small guest is spoiled after it was made: another operand, flags, branch, store, a store
 * left out, a loop that goes wrong in its tenth turn. */
#include <string.h>

#include "base/test.h"
#include "cpu/soft/jit_private.h"
#include "cpu/soft/lockstep.h"
#include "cpu/soft/smp.h"

asm(".pushsection .rodata\n"
    ".globl guest_lock, guest_lock_end\n"
    "guest_lock:\n"
    "  fninit\n  mov $0x100, %ebp\n"
    "1: xor %ecx, %ecx\n"
    "  add $0x11223344, %ecx\n"
    "  cmp $0x11223345, %ecx\n"
    "  jb 2f\n"
    "  lea 1(%rsi), %rsi\n"
    "2: movl $0x55667788, 0x10(%rbx)\n"
    "  incq (%rbx)\n"
    "  push %rcx\n  push %rbp\n  call 5f\n  pop %rdx\n  pop %rdx\n"
    "  cmp %ecx, %edx\n  je 3f\n  lock incq 8(%rbx)\n"
    "3: negl 0x10(%rbx)\n  mov $20, %edx\n"
    "4: lea 1(%rcx, %rdx), %rcx\n"          /* a loop within its block */
    "  mov %rcx, 0x100(%rbx, %rdx, 8)\n"
    "  cmp $12, %edx\n  adc $0, %rsi\n"
    "  dec %edx\n  jnz 4b\n"
    "  cvtsi2sd %ecx, %xmm1\n  addsd %xmm1, %xmm2\n  movsd %xmm2, 0x18(%rbx)\n"
    "  fldl 0x18(%rbx)\n  fldpi\n  faddp\n  fstpl 0x20(%rbx)\n"
    "  call 6f\n"
    "  imul %ecx, %ecx\n  pushf\n  pop %rax\n  rdtsc\n"
    "  dec %ebp\n  jnz 1b\n"
    "  out %al, $0x80\n"
    "8: cli\n  hlt\n  jmp 8b\n"
    "5: mov 8(%rsp), %rsi\n  ret\n"
    "7: fldl 0x20(%rbx)\n  fstpl 0x28(%rbx)\n  ret\n" /* behind a jump back in the block */
    "6: nop\n  jmp 7b\n"
    "guest_lock_end:\n"
    ".popsection\n");
extern const uint8_t guest_lock[], guest_lock_end[];

struct outcome {
    enum vp_stop stop;
    char death[200];
    uint64_t steps, disturbed, turns, wrong;
};

static struct outcome run_guest(void (*spoil)(uint8_t *code, size_t n))
{
    struct machine *m = machine_new(1, SOFT_LOCKSTEP);
    struct soft *s = container_of(m->p, struct soft, part);
    struct soft_vp *vp = soft_vp_at(s, 0);
    struct outcome o;

    s->code->jit->spoil = spoil;
    machine_prepare(m, guest_lock, guest_lock_end, 0);
    machine_start(m, 0, 0, 0);
    machine_go(m, 1);
    pthread_join(m->thread[0], NULL);
    o = (struct outcome){ .stop = m->runner[0].stop, .steps = vp->count.steps,
                          .disturbed = vp->count.steps_disturbed, .turns = machine_get64(m, DATA_AT),
                          .wrong = machine_get64(m, DATA_AT + 8) };
    snprintf(o.death, sizeof o.death, "%s", vp_death(partition_vp(m->p, 0)));
    machine_free(m);
    return o;
}

TEST(right_code_passes)
{
    struct outcome o = run_guest(NULL);

    EXPECT_EQ(o.stop, VP_KICKED);
    EXPECT_EQ(o.turns, 0x100);
    EXPECT_EQ(o.wrong, 0);
    EXPECT_EQ(o.disturbed, 0);
    EXPECT(o.steps > 0x100 * 5);
}

static void *find(uint8_t *code, size_t n, const char *bytes, size_t n_bytes)
{
    return memmem(code, n, bytes, n_bytes);
}

static void operand(uint8_t *code, size_t n)
{
    uint8_t *p = find(code, n, "\x44\x33\x22\x11", 4);

    if (p)
        *p ^= 0x80;
}

static void only_flags(uint8_t *code, size_t n)
{
    uint8_t *p = find(code, n, "\x45\x33\x22\x11", 4);

    if (p)
        *p ^= 4; /* below all the same, by another distance */
}

static void branch(uint8_t *code, size_t n)
{
    uint8_t *p = find(code, n, "\x45\x33\x22\x11\x0f\x82", 6);

    if (p)
        p[5] ^= 1;
}

static void store(uint8_t *code, size_t n)
{
    uint8_t *p = find(code, n, "\x88\x77\x66\x55", 4);

    if (p)
        *p ^= 1;
}

static void no_store(uint8_t *code, size_t n)
{
    uint8_t *p = find(code, n, "\xc7\x44\x03\x10\x88\x77\x66\x55", 8);

    if (p)
        memset(p, 0x90, 8);
}

static void loop(uint8_t *code, size_t n)
{
    uint8_t *p;

    while ((p = find(code, n, "\x83\xfa\x0c", 3))) /* it is unrolled */
        p[2] = 11;
}

static void vector(uint8_t *code, size_t n)
{
    uint8_t *p = find(code, n, "\xf2\x0f\x58\xd1", 4);

    if (p)
        p[2] = 0x5c; /* subsd */
}

static void x87(uint8_t *code, size_t n)
{
    uint8_t *p = find(code, n, "\xd9\xeb", 2);

    if (p)
        p[1] = 0xea; /* fldl2e */
}

#define FINDS(name)                                                                          \
    TEST(finds_##name)                                                                       \
    {                                                                                        \
        struct outcome o = run_guest(name);                                                  \
                                                                                             \
        EXPECT_EQ(o.stop, VP_FAILED);                                                        \
        EXPECT(strstr(o.death, "lock-step") != NULL);                                        \
        EXPECT(o.turns <= 2);                                                                \
    }
FINDS(operand)
FINDS(only_flags)
FINDS(branch)
FINDS(store)
FINDS(no_store)
FINDS(loop)
FINDS(vector)
FINDS(x87)
