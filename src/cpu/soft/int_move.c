/* SPDX-License-Identifier: GPL-2.0-or-later */
/* int_move.c - moves, exchanges, conversions, the stack, conditions, single flags: the general forms.
 *
 * Source: Intel SDM 2. */
#include "cpu/soft/core_insn.h"

static unsigned opcode_reg(const struct insn *in)
{
    return (in->opcode & 7) | (in->rex & 1u) << 3;
}

void int_mov_rm_r(struct soft_vp *vp, const struct insn *in)
{
    insn_set_rm(vp, in, width(in), insn_reg(vp, in, in->reg, width(in)));
}

void int_mov_r_rm(struct soft_vp *vp, const struct insn *in)
{
    insn_set_reg(vp, in, in->reg, width(in), insn_rm(vp, in, width(in)));
}

void int_mov_rm_imm(struct soft_vp *vp, const struct insn *in)
{
    insn_set_rm(vp, in, width(in), in->imm);
}

void int_mov_r_imm(struct soft_vp *vp, const struct insn *in)
{
    insn_set_reg(vp, in, opcode_reg(in), in->opcode & 8 ? in->op_size : 1, in->imm);
}

void int_mov_a_moffs(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);

    insn_set_reg(vp, in, RAX, size, mem_load(vp, insn_address(vp, in, size, false), size));
}

void int_mov_moffs_a(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);

    mem_store(vp, insn_address(vp, in, size, true), size, vp->gpr[RAX]);
}

void int_movnti(struct soft_vp *vp, const struct insn *in)
{
    insn_set_rm(vp, in, in->op_size, insn_reg(vp, in, in->reg, in->op_size));
}

void int_lea(struct soft_vp *vp, const struct insn *in)
{
    insn_set_reg(vp, in, in->reg, in->op_size, insn_offset(vp, in));
}

void int_xchg_rm_r(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);
    uint64_t v = insn_reg(vp, in, in->reg, size), old;
    void *p;

    if (in->mod == 3) {
        old = insn_reg(vp, in, in->rm, size);
        insn_set_reg(vp, in, in->rm, size, v);
    } else {
        p = mem_rmw_begin(vp, insn_address(vp, in, size, true), size);
        old = v;
        switch (size) {
        case 1: asm volatile("xchgb %b0, %1" : "+q"(old), "+m"(*(uint8_t *)p)); break;
        case 2: asm volatile("xchgw %w0, %1" : "+r"(old), "+m"(*(uint16_t *)p)); break;
        case 4: asm volatile("xchgl %k0, %1" : "+r"(old), "+m"(*(uint32_t *)p)); break;
        default: asm volatile("xchgq %0, %1" : "+r"(old), "+m"(*(uint64_t *)p)); break;
        }
        mem_rmw_end(vp);
    }
    insn_set_reg(vp, in, in->reg, size, old);
}

void int_xchg_a_r(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->op_size, reg = opcode_reg(in);
    uint64_t a = insn_reg(vp, in, RAX, size), b = insn_reg(vp, in, reg, size);

    if (reg == RAX) /* NOP, also in its 32-bit form */
        return;
    insn_set_reg(vp, in, RAX, size, b);
    insn_set_reg(vp, in, reg, size, a);
}

void int_movzx(struct soft_vp *vp, const struct insn *in)
{
    insn_set_reg(vp, in, in->reg, in->op_size, insn_rm(vp, in, in->opcode & 1 ? 2 : 1));
}

void int_movsx(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v = insn_rm(vp, in, in->opcode & 1 ? 2 : 1);

    v = in->opcode & 1 ? (uint64_t)(int16_t)v : (uint64_t)(int8_t)v;
    insn_set_reg(vp, in, in->reg, in->op_size, v);
}

void int_movsxd(struct soft_vp *vp, const struct insn *in)
{
    unsigned from = in->op_size == 2 ? 2 : 4;
    uint64_t v = insn_rm(vp, in, from);

    insn_set_reg(vp, in, in->reg, in->op_size, from == 4 ? (uint64_t)(int32_t)v : v);
}

void int_cbw(struct soft_vp *vp, const struct insn *in)
{
    switch (in->op_size) {
    case 2: R16(RAX) = (uint16_t)(int8_t)vp->gpr[RAX]; break;
    case 4: vp->gpr[RAX] = (uint32_t)(int16_t)vp->gpr[RAX]; break;
    default: vp->gpr[RAX] = (uint64_t)(int32_t)vp->gpr[RAX]; break;
    }
}

void int_cwd(struct soft_vp *vp, const struct insn *in)
{
    uint64_t a = insn_reg(vp, in, RAX, in->op_size);

    insn_set_reg(vp, in, RDX, in->op_size, a >> (in->op_size * 8 - 1) ? UINT64_MAX : 0);
}

void int_setcc(struct soft_vp *vp, const struct insn *in)
{
    insn_set_rm(vp, in, 1, flags_cond(FLAGS, in->opcode & 15));
}

void int_cmov(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v = insn_rm(vp, in, in->op_size); /* faults whatever the condition */

    if (!flags_cond(FLAGS, in->opcode & 15))
        v = insn_reg(vp, in, in->reg, in->op_size);
    insn_set_reg(vp, in, in->reg, in->op_size, v);
}

/* ---- flags ----------------------------------------------------------------------------------- */

void int_lahf(struct soft_vp *vp, const struct insn *in)
{
    R8(1) = (uint8_t)((FLAGS >> 8 & (F_ARITH & 0xff)) | F_1);
}

void int_sahf(struct soft_vp *vp, const struct insn *in)
{
    FLAGS = (uint16_t)((FLAGS & LF_OF) | (R8(1) & (F_ARITH & 0xff)) << 8);
}

void int_salc(struct soft_vp *vp, const struct insn *in)
{
    R8(0) = FLAGS & LF_CF ? 0xff : 0;
}

void int_flag_bit(struct soft_vp *vp, const struct insn *in)
{
    switch (in->opcode) {
    case 0xf5: FLAGS ^= LF_CF; break;
    case 0xf8: FLAGS &= (uint16_t)~LF_CF; break;
    case 0xf9: FLAGS |= LF_CF; break;
    case 0xfc: vp->rflags &= ~(uint64_t)F_DF; break;
    default: vp->rflags |= F_DF; break;
    }
}

/* ---- nothing much ---------------------------------------------------------------------------- */

void int_nop(struct soft_vp *vp, const struct insn *in)
{
    if (in->map == MAP_0F && in->opcode == 0xae) /* the fences */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void int_clflush(struct soft_vp *vp, const struct insn *in)
{
    mem_read8(vp, insn_address(vp, in, 1, false)); /* faults like a load */
}

void int_pause(struct soft_vp *vp, const struct insn *in)
{
    soft_pause(vp);
}

void int_xlat(struct soft_vp *vp, const struct insn *in)
{
    uint64_t off = vp->gpr[RBX] + R8(0);

    off = in->addr_size == 8 ? off : in->addr_size == 4 ? (uint32_t)off : (uint16_t)off;
    R8(0) = mem_read8(vp, address_at(vp, in->seg, off, 1, false));
}

/* ---- the stack ------------------------------------------------------------------------------- */

void int_push_r(struct soft_vp *vp, const struct insn *in)
{
    stack_push(vp, in->op_size, insn_reg(vp, in, opcode_reg(in), in->op_size));
}

void int_pop_r(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v = stack_pop(vp, in->op_size);

    insn_set_reg(vp, in, opcode_reg(in), in->op_size, v);
}

void int_push_imm(struct soft_vp *vp, const struct insn *in)
{
    stack_push(vp, in->op_size, in->imm);
}

void int_push_rm(struct soft_vp *vp, const struct insn *in)
{
    stack_push(vp, in->op_size, insn_rm(vp, in, in->op_size));
}

void int_pop_rm(struct soft_vp *vp, const struct insn *in)
{
    uint64_t sp = vp->gpr[RSP], v = stack_peek(vp, sp, in->op_size), off;

    if (in->mod == 3) {
        stack_move(vp, sp + in->op_size);
        insn_set_reg(vp, in, in->rm, in->op_size, v);
        return;
    }
    stack_move(vp, sp + in->op_size); /* an address by RSP sees it popped */
    off = insn_offset(vp, in);
    vp->gpr[RSP] = sp;
    mem_store(vp, address_at(vp, in->seg, off, in->op_size, true), in->op_size, v);
    stack_move(vp, sp + in->op_size);
}

void int_pusha(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->op_size;
    uint64_t sp = vp->gpr[RSP];

    /* The lowest first, so that all of it faults or nothing. */
    for (unsigned i = GPRS / 2; i-- > 0;)
        stack_poke(vp, sp - (i + 1) * size, size, insn_reg(vp, in, i, size));
    stack_move(vp, sp - 8 * size);
}

void int_popa(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->op_size;
    uint64_t sp = vp->gpr[RSP], v[8];

    for (unsigned i = 0; i < 8; i++)
        v[7 - i] = stack_peek(vp, sp + i * size, size);
    for (unsigned i = 0; i < 8; i++)
        if (i != RSP)
            insn_set_reg(vp, in, i, size, v[i]);
    stack_move(vp, sp + 8 * size);
}

void int_enter(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->op_size, level = in->imm2 & 31;
    uint64_t sp = vp->gpr[RSP] - size, frame = sp, bp = vp->gpr[RBP];

    stack_poke(vp, sp, size, bp);
    for (unsigned i = 1; i < level; i++) {
        bp -= size;
        sp -= size;
        stack_poke(vp, sp, size, stack_peek(vp, bp, size));
    }
    if (level) {
        sp -= size;
        stack_poke(vp, sp, size, frame);
    }
    stack_probe(vp, sp - in->imm, size);
    insn_set_reg(vp, in, RBP, size, frame);
    stack_move(vp, sp - in->imm);
}

void int_leave(struct soft_vp *vp, const struct insn *in)
{
    uint64_t bp = vp->gpr[RBP], v = stack_peek(vp, bp, in->op_size);

    stack_move(vp, bp + in->op_size);
    insn_set_reg(vp, in, RBP, in->op_size, v);
}
