/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flags.c - CLI, STI, PUSHF, POPF, CLAC, STAC with VME and PVI; INT n and its kin, BOUND, UD.
 *
 * Source: Intel SDM 2, 3B 20.3. */
#include "cpu/soft/sys_insn.h"

void flags_set(struct soft_vp *vp, uint64_t value, uint64_t mask)
{
    vp->rflags = (vp->rflags & ~mask) | (value & mask) | F_1;
}

/* May the program have its own idea of IF?  VM86 with VME, or ring 3 with PVI. */
static bool has_virtual_if(const struct soft_vp *vp)
{
    if (in_vm86(vp))
        return vp->cr4 & CR4_VME;
    return vp->cpl == 3 && (vp->cr4 & CR4_PVI);
}

static bool may_change_if(const struct soft_vp *vp)
{
    return !(vp->cr0 & CR0_PE) || vp->cpl <= iopl(vp);
}

void insn_cli(struct soft_vp *vp, const struct insn *in)
{
    if (may_change_if(vp))
        vp->rflags &= ~(uint64_t)F_IF;
    else if (has_virtual_if(vp))
        vp->rflags &= ~(uint64_t)F_VIF;
    else
        raise_gp(vp);
}

void insn_sti(struct soft_vp *vp, const struct insn *in)
{
    if (may_change_if(vp)) {
        if (!(vp->rflags & F_IF))
            vp->shadow = 1;
        vp->rflags |= F_IF;
    } else if (has_virtual_if(vp) && !(vp->rflags & F_VIP)) {
        vp->rflags |= F_VIF;
    } else {
        raise_gp(vp);
    }
}

/* PUSHF and POPF in VM86 below IOPL 3 need VME and 16 bits. */
static bool vm86_virtual(struct soft_vp *vp, unsigned size)
{
    if (!in_vm86(vp) || iopl(vp) == 3)
        return false;
    if (!(vp->cr4 & CR4_VME) || size != 2)
        raise_gp(vp);
    return true;
}

void insn_pushf(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = stack_op_size(vp, in);
    uint64_t image = vp->rflags & ~(uint64_t)(F_VM | F_RF);

    if (vm86_virtual(vp, size)) {
        image = (image & ~(uint64_t)F_IF) | F_IOPL;
        image |= vp->rflags & F_VIF ? F_IF : 0;
    }
    stack_push(vp, size, image);
}

void insn_popf(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = stack_op_size(vp, in);
    uint64_t mask = F_ARITH | F_TF | F_DF | F_NT, old = vp->rflags, v;
    bool virtual_if = vm86_virtual(vp, size);
    struct stack s = stack_here(vp);

    v = stack_get(vp, &s, size);
    if (virtual_if) {
        if ((v & F_TF) || ((v & F_IF) && (old & F_VIP)))
            raise_gp(vp);
        v = (v & ~(uint64_t)F_VIF) | (v & F_IF ? F_VIF : 0);
        mask |= F_VIF;
    } else {
        if (size != 2)
            mask |= F_AC | F_ID;
        if (may_change_if(vp))
            mask |= F_IF;
        if (!vp->cpl)
            mask |= F_IOPL;
    }
    vp->gpr[RSP] = s.sp;
    vp->rflags &= ~(uint64_t)F_RF;
    flags_set(vp, v, mask);
    if ((old ^ vp->rflags) & (F_TF | F_AC))
        soft_mode_changed(vp);
}

static void set_ac(struct soft_vp *vp, bool on)
{
    if (!(vp->feature.ebx7 & 1u << 20) || vp->cpl)
        soft_raise(vp, EXC_UD);
    vp->rflags = on ? vp->rflags | F_AC : vp->rflags & ~(uint64_t)F_AC;
    mmu_select_set(vp);
}

void insn_clac(struct soft_vp *vp, const struct insn *in)
{
    set_ac(vp, false);
}

void insn_stac(struct soft_vp *vp, const struct insn *in)
{
    set_ac(vp, true);
}

/* ---- software interrupts --------------------------------------------------------------------- */

void insn_int3(struct soft_vp *vp, const struct insn *in)
{
    event_software(vp, EXC_BP, EVENT_SOFT_EXC);
}

void insn_int1(struct soft_vp *vp, const struct insn *in)
{
    event_software(vp, EXC_DB, EVENT_ICEBP);
}

void insn_int_n(struct soft_vp *vp, const struct insn *in)
{
    event_software(vp, (uint8_t)in->imm, EVENT_SOFT_INT);
}

void insn_into(struct soft_vp *vp, const struct insn *in)
{
    if (vp->rflags & F_OF)
        event_software(vp, EXC_OF, EVENT_SOFT_EXC);
}

void insn_bound(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->op_size, shift = 64 - size * 8;
    int64_t v, low, high;
    uint64_t va;

    if (in->mod == 3)
        soft_raise(vp, EXC_UD);
    va = insn_address(vp, in, size * 2, false);
    v = (int64_t)(insn_reg(vp, in, in->reg, size) << shift) >> shift;
    low = (int64_t)(mem_get(vp, va, size) << shift) >> shift;
    high = (int64_t)(mem_get(vp, linear(vp, va + size), size) << shift) >> shift;
    if (v < low || v > high)
        soft_raise(vp, EXC_BR);
}

void insn_ud(struct soft_vp *vp, const struct insn *in)
{
    soft_raise(vp, EXC_UD);
}
