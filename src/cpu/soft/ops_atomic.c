/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_atomic.c - LOCK forms, XCHG, XADD and CMPXCHG with memory, by the host's own locked instructions.
 *
 * XADD and CMPXCHG are locked with or without the prefix. */
#include "cpu/soft/ops_list.h"
#include "cpu/soft/ops_mem.h"

#define HOST_LOCKED(insn, sz, b)                                                             \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm volatile("lock " insn #sz " %" MOD_##sz "2, %1\n\t" ASM_FLAGS_OUT                \
                     : "=&a"(f_), "+m"(*p) : "r"(b) : "cc", "memory");                       \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
#define HOST_LOCKED_CARRY(insn, sz, b)                                                       \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm volatile("btw $8, %3\n\tlock " insn #sz " %" MOD_##sz "2, %1\n\t" ASM_FLAGS_OUT  \
                     : "=&a"(f_), "+m"(*p) : "r"(b), "m"(FLAGS) : "cc", "memory");           \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
#define HOST_LOCKED1(insn, sz)                                                               \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm volatile("btw $8, %2\n\tlock " insn #sz " %1\n\t" ASM_FLAGS_OUT                  \
                     : "=&a"(f_), "+m"(*p) : "m"(FLAGS) : "cc", "memory");                   \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)

#define LOCKED(insn, sz, act)                                                                \
    ATOMIC_HANDLER(op_lock_##insn##_##sz##_mr, sz, EA_b, TYPE_##sz b = GET_##sz(o->r);       \
                   act(#insn, sz, b))                                                        \
    ATOMIC_HANDLER(op_lock_##insn##_##sz##_mi, sz, EA_b, TYPE_##sz b = (TYPE_##sz)o->imm;    \
                   act(#insn, sz, b))
#define SIZES(X, ...) \
    X(__VA_ARGS__, b, HOST_LOCKED) X(__VA_ARGS__, w, HOST_LOCKED) X(__VA_ARGS__, l, HOST_LOCKED) \
    X(__VA_ARGS__, q, HOST_LOCKED)
SIZES(LOCKED, add)
SIZES(LOCKED, or)
SIZES(LOCKED, and)
SIZES(LOCKED, sub)
SIZES(LOCKED, xor)
LOCKED(adc, b, HOST_LOCKED_CARRY)
LOCKED(adc, w, HOST_LOCKED_CARRY)
LOCKED(adc, l, HOST_LOCKED_CARRY)
LOCKED(adc, q, HOST_LOCKED_CARRY)
LOCKED(sbb, b, HOST_LOCKED_CARRY)
LOCKED(sbb, w, HOST_LOCKED_CARRY)
LOCKED(sbb, l, HOST_LOCKED_CARRY)
LOCKED(sbb, q, HOST_LOCKED_CARRY)

#define LOCKED1(insn, sz) \
    ATOMIC_HANDLER(op_lock_##insn##_##sz, sz, EA_b, HOST_LOCKED1(#insn, sz))
#define SIZES1(X, insn) X(insn, b) X(insn, w) X(insn, l) X(insn, q)
SIZES1(LOCKED1, inc)
SIZES1(LOCKED1, dec)
SIZES1(LOCKED1, neg)

#define EXCHANGES(sz)                                                                        \
    ATOMIC_HANDLER(op_lock_not_##sz, sz, EA_b,                                               \
                   asm volatile("lock not" #sz " %0" : "+m"(*p) : : "memory"))               \
    ATOMIC_HANDLER(op_xchg_##sz, sz, EA_b, TYPE_##sz v = GET_##sz(o->r);                     \
                   asm volatile("xchg" #sz " %" MOD_##sz "0, %1" : "+r"(v), "+m"(*p) : : "memory"); \
                   SET_##sz(o->r, v))                                                        \
    ATOMIC_HANDLER(op_xadd_##sz, sz, EA_b, TYPE_##sz v = GET_##sz(o->r); uint64_t f;         \
                   asm volatile("lock xadd" #sz " %" MOD_##sz "0, %1\n\t" ASM_FLAGS_OUT      \
                                : "+r"(v), "+m"(*p), "=&a"(f) : : "memory", "cc");           \
                   FLAGS = (uint16_t)f; SET_##sz(o->r, v))                                   \
    ATOMIC_HANDLER(op_cmpxchg_##sz, sz, EA_b, TYPE_##sz v = GET_##sz(o->r); TYPE_##sz old;   \
                   uint64_t a = R64(RAX); bool equal;                                        \
                   asm volatile("lock cmpxchg" #sz " %" MOD_##sz "4, %1\n\t"                 \
                                "mov %%" ACC_##sz ", %" MOD_##sz "2\n\t" ASM_FLAGS_OUT        \
                                : "+a"(a), "+m"(*p), "=&r"(old), "=@cce"(equal) : "r"(v)     \
                                : "memory");                                                 \
                   FLAGS = (uint16_t)a; if (!equal) SET_##sz(ACC_REG_##sz, old))
#define ACC_b "al"
#define ACC_w "ax"
#define ACC_l "eax"
#define ACC_q "rax"
#define ACC_REG_b 0
#define ACC_REG_w RAX
#define ACC_REG_l RAX
#define ACC_REG_q RAX
EXCHANGES(b)
EXCHANGES(w)
EXCHANGES(l)
EXCHANGES(q)

#define ROW(insn, form)                                                                      \
    { op_lock_##insn##_b_##form, op_lock_##insn##_w_##form, op_lock_##insn##_l_##form,       \
      op_lock_##insn##_q_##form }
op_fn *const op_lock_mr[ALU_KINDS][4] = {
    [K_ADD] = ROW(add, mr), [K_OR] = ROW(or, mr), [K_ADC] = ROW(adc, mr), [K_SBB] = ROW(sbb, mr),
    [K_AND] = ROW(and, mr), [K_SUB] = ROW(sub, mr), [K_XOR] = ROW(xor, mr),
};
op_fn *const op_lock_mi[ALU_KINDS][4] = {
    [K_ADD] = ROW(add, mi), [K_OR] = ROW(or, mi), [K_ADC] = ROW(adc, mi), [K_SBB] = ROW(sbb, mi),
    [K_AND] = ROW(and, mi), [K_SUB] = ROW(sub, mi), [K_XOR] = ROW(xor, mi),
};
#define ROW1(name) { name##_b, name##_w, name##_l, name##_q }
op_fn *const op_lock_one[ONE_KINDS][4] = {
    [K_INC] = ROW1(op_lock_inc), [K_DEC] = ROW1(op_lock_dec), [K_NEG] = ROW1(op_lock_neg),
    [K_NOT] = ROW1(op_lock_not),
};
op_fn *const op_xadd[4] = ROW1(op_xadd), *const op_xchg[4] = ROW1(op_xchg);
op_fn *const op_cmpxchg[4] = ROW1(op_cmpxchg);
