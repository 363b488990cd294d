/* SPDX-License-Identifier: GPL-2.0-or-later */
/* int_flow.c - near branches: the general forms.
 *
 * Source: Intel SDM 2. */
#include "cpu/soft/core_insn.h"

/* Where a branch to 'rip' with this operand size goes; #GP(0) when it may not. */
static uint64_t target(struct soft_vp *vp, const struct insn *in, uint64_t rip)
{
    if (in->op_size == 2)
        rip = (uint16_t)rip;
    else if (in->op_size == 4)
        rip = (uint32_t)rip;
    if (is_64(vp) ? !va_canonical(rip) : rip > vp->seg[SEG_CS].limit)
        soft_raise_error(vp, EXC_GP, 0);
    return rip;
}

void int_jmp_rel(struct soft_vp *vp, const struct insn *in)
{
    vp->next_rip = target(vp, in, vp->next_rip + in->imm);
}

void int_jcc(struct soft_vp *vp, const struct insn *in)
{
    if (flags_cond(FLAGS, in->opcode & 15))
        vp->next_rip = target(vp, in, vp->next_rip + in->imm);
}

void int_loop(struct soft_vp *vp, const struct insn *in) /* LOOPNE, LOOPE, LOOP, JCXZ */
{
    unsigned kind = in->opcode & 3;
    uint64_t mask = in->addr_size == 8 ? UINT64_MAX : in->addr_size == 4 ? 0xffffffff : 0xffff;
    uint64_t cx = vp->gpr[RCX] & mask;
    bool zero = FLAGS & LF_ZF, taken;

    if (kind == 3) {
        taken = !cx;
    } else {
        cx = (cx - 1) & mask;
        taken = cx && (kind == 2 || zero == (kind == 1));
    }
    uint64_t to = taken ? target(vp, in, vp->next_rip + in->imm) : vp->next_rip;
    if (kind != 3)
        insn_set_reg(vp, in, RCX, in->addr_size, cx);
    vp->next_rip = to;
}

void int_call_rel(struct soft_vp *vp, const struct insn *in)
{
    uint64_t to = target(vp, in, vp->next_rip + in->imm);

    stack_push(vp, in->op_size, vp->next_rip);
    vp->next_rip = to;
}

void int_ret(struct soft_vp *vp, const struct insn *in)
{
    uint64_t sp = vp->gpr[RSP];
    uint64_t to = target(vp, in, stack_peek(vp, sp, in->op_size));

    stack_move(vp, sp + in->op_size + in->imm);
    vp->next_rip = to;
}

void int_jmp_rm(struct soft_vp *vp, const struct insn *in)
{
    vp->next_rip = target(vp, in, insn_rm(vp, in, in->op_size));
}

void int_call_rm(struct soft_vp *vp, const struct insn *in)
{
    uint64_t to = insn_rm(vp, in, in->op_size);

    stack_probe(vp, vp->gpr[RSP] - in->op_size, in->op_size); /* faults before the target does */
    to = target(vp, in, to);
    stack_push(vp, in->op_size, vp->next_rip);
    vp->next_rip = to;
}
