/* SPDX-License-Identifier: GPL-2.0-or-later */
/* litmus_test.c - memory order and atomicity between VPs, as an x86 promises them to its programs.
 *
 * Two VPs meet before each round, then write and read two variables X and Y on pages of their own; what
 * they read is judged afterwards.  Every round writes its own number, so nothing is cleared in between.
 * LOCK'ed instructions work on aligned and unaligned counters, within a page and across two, with
 * plain accesses of other VPs to bytes beside them. */
#include "base/test.h"
#include "cpu/soft/smp.h"

#define VPS    4
#define X_AT   DATA_AT
#define OUT_AT UINT64_C(0x100000) /* what VP n read: + n * OUT_SIZE */
#define OUT_SIZE 0x100000

/* R13 = number of the round, RSI = the own variable, RDI = the other's, RBP = where results go, R8, R9:
 * how far each is, R10: small delays that differ. */
asm(".macro litmus_start\n"
    "  mov %r12, %rsi\n  shl $13, %rsi\n  lea (%rbx,%rsi), %rsi\n"
    "  mov %r12, %rdi\n  xor $1, %edi\n  shl $13, %rdi\n  lea (%rbx,%rdi), %rdi\n"
    "  lea 0x800(%rsi), %r8\n  lea 0x800(%rdi), %r9\n"
    "  lea 1(%r12), %rbp\n  shl $20, %rbp\n"
    "  xor %r13d, %r13d\n"
    ".endm\n"
    ".macro litmus_meet\n"
    "  inc %r13\n  mov %r13, (%r8)\n"
    "7: mov $300, %r10d\n"
    "8: cmp %r13, (%r9)\n  jae 9f\n  dec %r10d\n  jnz 8b\n  pause\n  jmp 7b\n"
    "9: mov %r13, %r10\n  test %r12, %r12\n  jz 8f\n  shr $3, %r10\n"
    "8: and $7, %r10d\n"
    "9: dec %r10d\n  jns 9b\n"
    ".endm\n"
    ".macro litmus_end\n"
    "  mov %rax, (%rbp)\n  add $8, %rbp\n  dec %rcx\n  jnz 1b\n"
    "  out %al, $0x80\n"
    "2: cli\n  hlt\n  jmp 2b\n"
    ".endm\n");

#define GUEST(name, body)                                                              \
    asm(".pushsection .rodata\n.globl guest_" #name ", guest_" #name "_end\n"          \
        "guest_" #name ":\n" body "guest_" #name "_end:\n.popsection\n");              \
    extern const uint8_t guest_##name[], guest_##name##_end[];

#define ROUNDS(name, body) \
    GUEST(name, "litmus_start\n1: litmus_meet\n" body "litmus_end\n")

#define STORE "mov %r13, (%rsi)\n"
#define LOAD  "mov (%rdi), %rax\n"
ROUNDS(sb_plain, STORE LOAD)
ROUNDS(sb_mfence, STORE "mfence\n" LOAD)
ROUNDS(sb_movnti, "movnti %r13, (%rsi)\n mfence\n" LOAD)
ROUNDS(sb_stack, "lea 8(%rsi), %rsp\n push %r13\n mfence\n mov %rdi, %rsp\n pop %rax\n")
ROUNDS(sb_sse, "movq %r13, %xmm1\n movq %xmm1, (%rsi)\n mfence\n movq (%rdi), %xmm2\n movq %xmm2, %rax\n")
ROUNDS(sb_lock, STORE "lock orl $0, (%rsp)\n" LOAD)
ROUNDS(sb_xchg, "mov %r13, %rax\n xchg %rax, (%rsi)\n" LOAD)
ROUNDS(sb_xadd, STORE "xor %eax, %eax\n lock xadd %rax, 0x10(%rsi)\n" LOAD)
ROUNDS(sb_lock_page, STORE "lock orq $0, -4(%rsp)\n" LOAD)
ROUNDS(sb_cpuid, STORE "push %rbx\n push %rcx\n xor %eax, %eax\n cpuid\n pop %rcx\n pop %rbx\n" LOAD)
ROUNDS(lb, LOAD STORE)
ROUNDS(lb_mixed, "mov (%rdi), %rax\n mov %r13, %rdx\n xchg %rdx, (%rsi)\n")

/* RCX messages: first X, then Y; VP 1 reads Y, then X, until Y is the last.  Behind X: +0x10 broken,
 * +0x18 new values seen. */
#define MESSAGES(name, write_x, write_y, read_y, read_x)                                  \
    GUEST(name,                                                                           \
          "  mov %rbx, %rsi\n  lea 0x2000(%rbx), %rdi\n"                                  \
          "  mov %rsp, %r9\n xor %r13d, %r13d\n  xor %r14d, %r14d\n  xor %r15d, %r15d\n"  \
          "  movq $1, 0x20(%rbx,%r12,8)\n"                                                \
          "8: cmpq $0, 0x20(%rbx)\n  je 9f\n  cmpq $0, 0x28(%rbx)\n  jne 7f\n"             \
          "9: pause\n  jmp 8b\n"                                                          \
          "7: test %r12, %r12\n  jnz 3f\n"                                                \
          "1: inc %r13\n" write_x write_y                                                 \
          "  cmp %rcx, %r13\n  jb 1b\n  jmp 6f\n"                                         \
          "3: " read_y "mov %rax, %rdx\n" read_x                                          \
          "  cmp %rdx, %rax\n  jae 4f\n  incq 0x10(%rbx)\n"                                \
          "4: cmp %r14, %rdx\n  jae 4f\n  incq 0x10(%rbx)\n"                               \
          "4: cmp %r15, %rax\n  jae 4f\n  incq 0x10(%rbx)\n"                               \
          "4: je 5f\n  incq 0x18(%rbx)\n"                                                 \
          "5: mov %rdx, %r14\n  mov %rax, %r15\n  cmp %rcx, %rdx\n  jb 3b\n"               \
          "6: mov %r9, %rsp\n  out %al, $0x80\n2: cli\n  hlt\n  jmp 2b\n")

MESSAGES(mp_plain, "mov %r13, (%rsi)\n", "mov %r13, (%rdi)\n", "mov (%rdi), %rax\n",
         "mov (%rsi), %rax\n")
MESSAGES(mp_stack, "lea 8(%rsi), %rsp\n push %r13\n", "lea 8(%rdi), %rsp\n push %r13\n",
         "mov %rdi, %rsp\n pop %rax\n", "mov %rsi, %rsp\n pop %rax\n")
MESSAGES(mp_strings, "mov %r13, %rax\n xchg %rsi, %rdi\n stosq\n sub $8, %rdi\n",
         "xchg %rsi, %rdi\n stosq\n sub $8, %rdi\n",
         "xchg %rsi, %rdi\n lodsq\n sub $8, %rsi\n xchg %rsi, %rdi\n", "lodsq\n sub $8, %rsi\n")
MESSAGES(mp_sse, "movq %r13, %xmm3\n movq %xmm3, (%rsi)\n", "movq %xmm3, (%rdi)\n",
         "movq (%rdi), %xmm4\n movq %xmm4, %rax\n", "movq (%rsi), %xmm4\n movq %xmm4, %rax\n")
MESSAGES(mp_locked, "lock incq (%rsi)\n", "lock incq (%rdi)\n", "xor %eax, %eax\n lock xadd %rax, (%rdi)\n",
         "mov (%rsi), %rax\n")
MESSAGES(mp_movnti, "movnti %r13, (%rsi)\n", "sfence\n mov %r13, (%rdi)\n", "mov (%rdi), %rax\n",
         "mov (%rsi), %rax\n")

/* Counters at +0 aligned, +0x103 unaligned, +0x17c, +0x23c across lines, +0x300 16 bytes; every 16th
 * time those across pages: +0xffc, +0x1ffb, +0x2ffe.  Bytes beside them belong to one VP each, and the
 * upper halves of +0x23c and +0xffc to VPs 0 and 1.  R14: sum of what XADD returned; to +0x400 + 8 * VP,
 * failures to +0x440. */
GUEST(locked,
      "  xor %r14d, %r14d\n  mov %rbx, %r15\n"
      "1: lock incq (%r15)\n"
      "  lock incq 0x103(%r15)\n"
      "  incb 0xff(%r15,%r12)\n"
      "  lock addq $1, 0x17c(%r15)\n"
      "  incb 0x10b(%r15,%r12)\n"
      "  lock incq 0x23c(%r15)\n"
      "  incb 0x184(%r15,%r12)\n"
      "  cmp $1, %r12\n  ja 3f\n  je 2f\n"
      "  mov %ecx, 0x240(%r15)\n  mov 0x240(%r15), %eax\n  jmp 5f\n"
      "2: mov %ecx, 0x1000(%r15)\n  mov 0x1000(%r15), %eax\n"
      "5: cmp %ecx, %eax\n  je 3f\n  lock incq 0x440(%r15)\n"
      "3: incb 0xff8(%r15,%r12)\n"
      "  incb 0x1004(%r15,%r12)\n"
      "  test $15, %cl\n  jnz 4f\n"
      "  lock incq 0xffc(%r15)\n"
      "  incb 0x1ff7(%r15,%r12)\n"
      "  mov $1, %eax\n  lock xadd %rax, 0x1ffb(%r15)\n  add %rax, %r14\n"
      "  incb 0x2003(%r15,%r12)\n"
      "  mov 0x2ffe(%r15), %rax\n"
      "2: lea 1(%rax), %rdx\n  lock cmpxchg %rdx, 0x2ffe(%r15)\n  jnz 2b\n"
      "  mov %rcx, %rbp\n  mov 0x300(%r15), %rax\n  mov 0x308(%r15), %rdx\n"
      "2: lea 1(%rax), %rbx\n  lea -1(%rdx), %rcx\n  lock cmpxchg16b 0x300(%r15)\n  jnz 2b\n"
      "  mov %rbp, %rcx\n"
      "4: dec %rcx\n  jnz 1b\n"
      "  mov %r14, 0x400(%r15,%r12,8)\n"
      "  out %al, $0x80\n"
      "2: cli\n  hlt\n  jmp 2b\n")

static struct machine *run(const uint8_t *code, const uint8_t *end, unsigned n, uint64_t rounds)
{
    struct machine *m = machine_new(n, TEST_MODE);

    machine_prepare(m, code, end, 0);
    for (unsigned i = 0; i < n; i++)
        machine_start(m, i, rounds, 0);
    machine_go(m, n);
    machine_join(m, n);
    EXPECT_EQ(m->done, (1 << n) - 1);
    return m;
}

/* ---- two variables ---------------------------------------------------------------------------- */

struct outcomes {
    uint64_t neither, both, one, wrong; /* who saw the other's store of the same round */
};

static struct outcomes two(const uint8_t *code, const uint8_t *end, uint64_t rounds)
{
    struct machine *m = run(code, end, 2, rounds);
    struct outcomes o = { 0 };

    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t a = machine_get64(m, OUT_AT + i * 8);
        uint64_t b = machine_get64(m, OUT_AT + OUT_SIZE + i * 8);

        if (a > i + 1 || a < i || b > i + 1 || b < i)
            o.wrong++;
        else if (a == b)
            *(a == i ? &o.neither : &o.both) += 1;
        else
            o.one++;
    }
    machine_free(m);
    return o;
}

#define TWO_ROUNDS 10000

#define STORE_BUFFERING(name)                                              \
    TEST(store_buffering_##name)                                           \
    {                                                                      \
        struct outcomes o = two(guest_sb_##name, guest_sb_##name##_end, TWO_ROUNDS); \
                                                                           \
        EXPECT_EQ(o.neither, 0);                                           \
        EXPECT_EQ(o.wrong, 0);                                             \
        EXPECT_EQ(o.one + o.both, TWO_ROUNDS);                             \
    }
STORE_BUFFERING(mfence)
STORE_BUFFERING(movnti)
STORE_BUFFERING(stack)
STORE_BUFFERING(sse)
STORE_BUFFERING(lock)
STORE_BUFFERING(xchg)
STORE_BUFFERING(xadd)
STORE_BUFFERING(lock_page)
STORE_BUFFERING(cpuid)

/* That the rounds can show it: allowed, and common where two host CPUs are free. */
TEST(store_buffering_plain)
{
    struct outcomes o = two(guest_sb_plain, guest_sb_plain_end, TWO_ROUNDS);

    printf("# without a fence: %llu of %u rounds saw neither store\n", (unsigned long long)o.neither,
           TWO_ROUNDS);
    EXPECT_EQ(o.wrong, 0);
}

TEST(load_buffering)
{
    struct outcomes o = two(guest_lb, guest_lb_end, TWO_ROUNDS);

    EXPECT_EQ(o.both, 0);
    EXPECT_EQ(o.wrong, 0);
    o = two(guest_lb_mixed, guest_lb_mixed_end, TWO_ROUNDS);
    EXPECT_EQ(o.both, 0);
    EXPECT_EQ(o.wrong, 0);
}

/* ---- messages --------------------------------------------------------------------------------- */

#define MESSAGE_PASSING(name)                                                           \
    TEST(message_passing_##name)                                                        \
    {                                                                                   \
        struct machine *m = run(guest_mp_##name, guest_mp_##name##_end, 2, 100000);     \
                                                                                        \
        EXPECT_EQ(machine_get64(m, X_AT + 0x10), 0);                                    \
        EXPECT(machine_get64(m, X_AT + 0x18) > 0);                                      \
        machine_free(m);                                                                \
    }
MESSAGE_PASSING(plain)
MESSAGE_PASSING(stack)
MESSAGE_PASSING(strings)
MESSAGE_PASSING(sse)
MESSAGE_PASSING(locked)
MESSAGE_PASSING(movnti)

/* ---- LOCK ------------------------------------------------------------------------------------- */

static uint32_t get32(struct machine *m, uint64_t off)
{
    return (uint32_t)machine_get64(m, DATA_AT + off);
}

TEST(locked_counters)
{
    uint64_t rounds = 20000, all = rounds * VPS, rare = rounds / 16, sum = 0;
    struct machine *m = run(guest_locked, guest_locked_end, VPS, rounds);

    EXPECT_EQ(machine_get64(m, DATA_AT), all);
    EXPECT_EQ(machine_get64(m, DATA_AT + 0x103), all);
    EXPECT_EQ(machine_get64(m, DATA_AT + 0x300), rare * VPS);
    EXPECT_EQ(machine_get64(m, DATA_AT + 0x308), -(rare * VPS));
    EXPECT_EQ(get32(m, 0x23c), all);
    EXPECT_EQ(get32(m, 0x240), 1); /* VP 0's last RCX */
    EXPECT_EQ(get32(m, 0xffc), rare * VPS);
    EXPECT_EQ(get32(m, 0x1000), 1);
    EXPECT_EQ(machine_get64(m, DATA_AT + 0x1ffb), rare * VPS);
    EXPECT_EQ(machine_get64(m, DATA_AT + 0x2ffe), rare * VPS);
    EXPECT_EQ(machine_get64(m, DATA_AT + 0x440), 0);
    EXPECT_EQ(get32(m, 0x17c), all);
    for (unsigned i = 0; i < VPS; i++) {
        static const uint16_t often[] = { 0xff, 0x10b, 0x184, 0xff8, 0x1004 };
        static const uint16_t rarely[] = { 0x1ff7, 0x2003 };

        sum += machine_get64(m, DATA_AT + 0x400 + i * 8);
        for (unsigned k = 0; k < ARRAY_LEN(often); k++)
            EXPECT_EQ(get32(m, often[k] + i) & 0xff, rounds & 0xff);
        for (unsigned k = 0; k < ARRAY_LEN(rarely); k++)
            EXPECT_EQ(get32(m, rarely[k] + i) & 0xff, rare & 0xff);
    }
    EXPECT_EQ(sum, rare * VPS * (rare * VPS - 1) / 2); /* each value once */
    machine_free(m);
}
