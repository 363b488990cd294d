/* SPDX-License-Identifier: GPL-2.0-or-later */
/* core_insn.h - the integer instructions as helpers: complete, for every mode, size and prefix.
 *
 * They are the reference for the handlers in ops_*.c, which exist for the frequent forms of flat
 * modes, and what runs when one instruction at a time is wanted.  core_table.c says which opcode is
 * which.  Arithmetic flags live in FLAGS (ops.h). */
#pragma once

#include "cpu/soft/ops.h"

/* Host arithmetic on 'size' bytes: returns the result (bits above are garbage) and the flags. */
typedef uint64_t alu_fn(uint64_t a, uint64_t b, uint16_t *flags);
enum alu_op { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST,
              ALU_INC, ALU_DEC, ALU_NEG, ALU_NOT, ALU_BTS, ALU_BTR, ALU_BTC, ALU_BT, ALU_OPS };
extern alu_fn *const alu_table[ALU_OPS][4]; /* by log2 of the size */

enum { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAL, SHIFT_SAR,
       SHIFT_OPS };
extern alu_fn *const shift_table[SHIFT_OPS][4];

/* insn.c */
uint64_t address_at(struct soft_vp *vp, unsigned seg, uint64_t off, unsigned size, bool write);
uint64_t stack_peek(struct soft_vp *vp, uint64_t sp, unsigned size);
void stack_poke(struct soft_vp *vp, uint64_t sp, unsigned size, uint64_t value);
void stack_move(struct soft_vp *vp, uint64_t sp);
void stack_probe(struct soft_vp *vp, uint64_t sp, unsigned size); /* raises what a push would */

static inline unsigned log2_size(unsigned size)
{
    return (unsigned)__builtin_ctz(size);
}
/* Operand size of opcodes whose even form is the byte form. */
static inline unsigned width(const struct insn *in)
{
    return in->opcode & 1 ? in->op_size : 1;
}

/* r/m = fn(r/m, b), atomically under LOCK; returns the old value. */
uint64_t rmw(struct soft_vp *vp, const struct insn *in, unsigned size, alu_fn *fn, uint64_t b);
uint64_t rmw_at(struct soft_vp *vp, uint64_t va, bool lock, unsigned size, alu_fn *fn, uint64_t b);

#define CORE_INSNS(X)                                                                             \
    /* int_alu.c */                                                                               \
    X(alu_rm_r) X(alu_r_rm) X(alu_a_imm) X(alu_rm_imm) X(test_rm_r) X(test_a_imm) X(group3)       \
    X(incdec_rm) X(incdec_r) X(imul2) X(imul3) X(shift_imm) X(shift_1) X(shift_cl)                \
    X(shld_imm) X(shld_cl) X(bcd)                                                                 \
    /* int_bits.c */                                                                              \
    X(bt_r) X(bt_imm) X(bsf) X(bsr) X(bswap) X(xadd) X(cmpxchg) X(cmpxchg8b) X(popcnt) X(crc32)   \
    X(movbe) X(tzcnt) X(lzcnt) X(adx) X(bmi_andn) X(bmi_bls) X(bmi_bextr) X(bmi_bzhi)             \
    X(bmi_pdep) X(bmi_pext) X(bmi_mulx) X(bmi_rorx) X(bmi_shiftx)                                 \
    /* int_move.c */                                                                              \
    X(mov_rm_r) X(mov_r_rm) X(mov_rm_imm) X(mov_r_imm) X(mov_a_moffs) X(mov_moffs_a) X(lea)       \
    X(xchg_rm_r) X(xchg_a_r) X(movzx) X(movsx) X(movsxd) X(cbw) X(cwd) X(setcc) X(cmov)           \
    X(lahf) X(sahf) X(flag_bit) X(xlat) X(nop) X(push_r) X(pop_r) X(push_imm) X(push_rm)          \
    X(pop_rm) X(pusha) X(popa) X(enter) X(leave) X(salc) X(movnti) X(pause) X(clflush)            \
    /* int_flow.c */                                                                              \
    X(jmp_rel) X(jcc) X(loop) X(call_rel) X(ret) X(jmp_rm) X(call_rm)                             \
    /* ops_string.c */                                                                            \
    X(movs) X(stos) X(lods) X(scas) X(cmps) X(ins) X(outs)

#define X(name) helper_fn int_##name;
CORE_INSNS(X)
#undef X
