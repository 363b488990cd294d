/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_mem.h - operands of handlers: sizes, addresses, TLB hits, host arithmetic with flags.
 *
 * Names end in the operand size as the assembler writes it: b w l q.  Addresses have two forms: _b
 * (base + disp) and _x (base + index << scale + disp); everything else was made by an EA operation,
 * whose result is the base.  A handler that misses the TLB jumps to its cold twin NAME_slow, which
 * does the same by mem_*_slow(). */
#pragma once

#include "cpu/soft/ops.h"

#define TYPE_b uint8_t
#define TYPE_w uint16_t
#define TYPE_l uint32_t
#define TYPE_q uint64_t
#define STYPE_b int8_t
#define STYPE_w int16_t
#define STYPE_l int32_t
#define STYPE_q int64_t

#define GET_b(i) R8(i)
#define GET_w(i) R16(i)
#define GET_l(i) R32(i)
#define GET_q(i) R64(i)
#define SET_b(i, v) (R8(i) = (uint8_t)(v))
#define SET_w(i, v) (R16(i) = (uint16_t)(v))
#define SET_l(i, v) (R64(i) = (uint32_t)(v))
#define SET_q(i, v) (R64(i) = (v))

/* Operand modifiers of asm. */
#define MOD_b "b"
#define MOD_w "w"
#define MOD_l "k"
#define MOD_q "q"

#define DISP  ((uint64_t)(int64_t)o->disp)
#define EA_b  (R64(o->b) + DISP)
#define EA_x  (R64(o->b) + (R64(o->x) << o->s) + DISP)

/* ---- the cold side --------------------------------------------------------------------------- */

static inline uint64_t slow_address(struct soft_vp *vp, const struct op *o, uint64_t va, unsigned size)
{
    vp->op = o;
    vp->rip = rip_mask(vp, vp->block_rip + o->off);
    if (unlikely(!va_canonical(va) || !va_canonical(va + size - 1)))
        soft_raise_error(vp, o->flags & OP_STACK ? EXC_SS : EXC_GP, 0);
    return va;
}

static inline uint64_t slow_read(struct soft_vp *vp, const struct op *o, uint64_t va, unsigned size)
{
    return mem_read_slow(vp, slow_address(vp, o, va, size), size);
}

static inline void slow_write(struct soft_vp *vp, const struct op *o, uint64_t va, unsigned size,
                              uint64_t v)
{
    mem_write_slow(vp, slow_address(vp, o, va, size), size, v);
}

/* Pushes. */
static inline void slow_push(struct soft_vp *vp, const struct op *o, uint64_t sp, unsigned size,
                             uint64_t v)
{
    vp->op = o;
    vp->rip = rip_mask(vp, vp->block_rip + o->off);
    if (unlikely(!va_canonical(sp) || !va_canonical(sp + size - 1)))
        soft_raise_error(vp, EXC_SS, 0);
    mem_write_slow(vp, sp, size, v);
}

/* ---- both sides ------------------------------------------------------------------------------ */

/* As tlb_hit(), and the miss is a jump of its own. */
#define TLB_OR(table, p, va, sz, miss)                                                       \
    do {                                                                                     \
        const uint64_t va_ = (va);                                                           \
        const struct tlb_entry *e_ = &vp->tlb->table[tlb_slot(va_)];                         \
                                                                                             \
        if (unlikely(va_ - e_->tag > PAGE_SIZE - sizeof(TYPE_##sz)))                         \
            return miss(vp, o);                                                              \
        p = (void *)(va_ + e_->add);                                                         \
    } while (0)

/* NAME reads *(T *)ea into v, then runs the statements and goes on. */
#define LOAD_HANDLER(name, sz, ea, ...)                                                      \
    COLD static HANDLER(name##_slow)                                                                \
    {                                                                                        \
        TYPE_##sz v = (TYPE_##sz)slow_read(vp, o, ea, sizeof v);                             \
                                                                                             \
        __VA_ARGS__;                                                                         \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(name)                                                                            \
    {                                                                                        \
        const void *p;                                                                       \
        TYPE_##sz v;                                                                         \
                                                                                             \
        TLB_OR(read, p, ea, sz, name##_slow);                                                \
        v = *(const volatile TYPE_##sz *)p;                                                  \
        __VA_ARGS__;                                                                         \
        NEXT;                                                                                \
    }

#define STORE_HANDLER(name, sz, ea, value)                                                   \
    COLD static HANDLER(name##_slow)                                                                \
    {                                                                                        \
        slow_write(vp, o, ea, sizeof(TYPE_##sz), value);                                     \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(name)                                                                            \
    {                                                                                        \
        void *p;                                                                             \
                                                                                             \
        TLB_OR(write, p, ea, sz, name##_slow);                                               \
        *(volatile TYPE_##sz *)p = (TYPE_##sz)(value);                                       \
        NEXT;                                                                                \
    }

/* Reads into v, runs the statements (which may set FLAGS last), writes v back. */
#define RMW_HANDLER(name, sz, ea, ...)                                                       \
    COLD static HANDLER(name##_slow)                                                                \
    {                                                                                        \
        TYPE_##sz *p = mem_rmw_begin(vp, slow_address(vp, o, ea, sizeof *p), sizeof *p);     \
        TYPE_##sz v = *(volatile TYPE_##sz *)p;                                              \
                                                                                             \
        __VA_ARGS__;                                                                         \
        *(volatile TYPE_##sz *)p = v;                                                        \
        mem_rmw_end(vp);                                                                     \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(name)                                                                            \
    {                                                                                        \
        TYPE_##sz *p, v;                                                                     \
                                                                                             \
        TLB_OR(write, p, ea, sz, name##_slow);                                               \
        v = *(volatile TYPE_##sz *)p;                                                        \
        __VA_ARGS__;                                                                         \
        *(volatile TYPE_##sz *)p = v;                                                        \
        NEXT;                                                                                \
    }

/* Runs the statements on p, by host atomics. */
#define ATOMIC_HANDLER(name, sz, ea, ...)                                                    \
    COLD static HANDLER(name##_slow)                                                                \
    {                                                                                        \
        TYPE_##sz *p = mem_rmw_begin(vp, slow_address(vp, o, ea, sizeof *p), sizeof *p);     \
                                                                                             \
        __VA_ARGS__;                                                                         \
        mem_rmw_end(vp);                                                                     \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(name)                                                                            \
    {                                                                                        \
        TYPE_##sz *p;                                                                        \
                                                                                             \
        TLB_OR(write, p, ea, sz, name##_slow);                                               \
        __VA_ARGS__;                                                                         \
        NEXT;                                                                                \
    }

/* ---- host arithmetic that keeps its flags ---------------------------------------------------- */

#define HOST2(insn, sz, a, b)                                                                \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm(insn #sz " %" MOD_##sz "2, %" MOD_##sz "0\n\t" ASM_FLAGS_OUT                     \
            : "+r"(a), "=&a"(f_) : "r"(b) : "cc");                                           \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)

/* The same with the guest's CF in the host's. */
#define ASM_CARRY_IN "btw $8, %3\n\t"
#define HOST2_CARRY(insn, sz, a, b)                                                          \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm(ASM_CARRY_IN insn #sz " %" MOD_##sz "2, %" MOD_##sz "0\n\t" ASM_FLAGS_OUT        \
            : "+r"(a), "=&a"(f_) : "r"(b), "m"(FLAGS) : "cc");                               \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
#define HOST1_CARRY(insn, sz, a)                                                             \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm("btw $8, %2\n\t" insn #sz " %" MOD_##sz "0\n\t" ASM_FLAGS_OUT                    \
            : "+r"(a), "=&a"(f_) : "m"(FLAGS) : "cc");                                       \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
#define HOST1(insn, sz, a)                                                                   \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm(insn #sz " %" MOD_##sz "0\n\t" ASM_FLAGS_OUT : "+r"(a), "=&a"(f_) : : "cc");     \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
/* Compares: nothing but flags. */
#define HOST_CMP(insn, sz, a, b)                                                             \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        asm(insn #sz " %" MOD_##sz "2, %" MOD_##sz "1\n\t" ASM_FLAGS_OUT                     \
            : "=&a"(f_) : "r"(a), "r"(b) : "cc");                                            \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)

#define CARRY (FLAGS >> 8 & 1)
