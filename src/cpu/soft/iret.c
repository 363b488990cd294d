/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iret.c - IRET in all modes.
 *
 * Source: Intel SDM 2A "IRET", 3A 6.12, 20.3 (VM86, VME).  NMIs are let in again even when the IRET
 * faults, as processors do. */
#include "cpu/soft/sys_insn.h"

/* Arithmetic flags and those that anybody may change. */
#define FLAGS_ANY16 (uint64_t)(F_ARITH | F_TF | F_DF | F_NT)
#define FLAGS_ANY32 (FLAGS_ANY16 | F_RF | F_AC | F_ID)

static uint64_t flags_mask(const struct soft_vp *vp, unsigned size)
{
    uint64_t mask = size == 2 ? FLAGS_ANY16 : FLAGS_ANY32;

    if (vp->cpl <= iopl(vp))
        mask |= F_IF;
    if (vp->cpl == 0) {
        mask |= F_IOPL;
        if (size != 2)
            mask |= F_VIF | F_VIP;
    }
    return mask;
}

static void iret_real(struct soft_vp *vp, unsigned size)
{
    struct stack s = stack_here(vp);
    uint64_t rip = stack_get(vp, &s, size), flags, mask;
    uint16_t sel = (uint16_t)stack_get(vp, &s, size);

    flags = stack_get(vp, &s, size);
    if (rip > vp->seg[SEG_CS].limit)
        raise_gp(vp);
    mask = (size == 2 ? FLAGS_ANY16 : FLAGS_ANY32) | F_IF | F_IOPL;
    stack_commit(vp, &s);
    seg_fill_real(&vp->seg[SEG_CS], sel);
    flags_set(vp, flags, mask);
    soft_mode_changed(vp);
    goto_rip(vp, rip);
}

static void iret_vm86(struct soft_vp *vp, unsigned size)
{
    bool virtual_if = iopl(vp) < 3;
    struct stack s = stack_here(vp);
    uint64_t rip, flags;
    uint16_t sel;

    if (virtual_if && (size != 2 || !(vp->cr4 & CR4_VME)))
        raise_gp(vp);
    rip = stack_get(vp, &s, size);
    sel = (uint16_t)stack_get(vp, &s, size);
    flags = stack_get(vp, &s, size);
    if (rip > 0xffff)
        raise_gp(vp);
    if (virtual_if && ((flags & F_TF) || ((flags & F_IF) && (vp->rflags & F_VIP))))
        raise_gp(vp);
    stack_commit(vp, &s);
    seg_fill_vm86(&vp->seg[SEG_CS], sel);
    if (virtual_if)
        flags_set(vp, (flags & ~(uint64_t)F_VIF) | (flags & F_IF ? F_VIF : 0), FLAGS_ANY16 | F_VIF);
    else
        flags_set(vp, flags, (size == 2 ? FLAGS_ANY16 : FLAGS_ANY32) | F_IF);
    soft_mode_changed(vp);
    goto_rip(vp, rip);
}

/* From level 0 into VM86: nine items, no checks but paging's. */
static void iret_to_vm86(struct soft_vp *vp, struct stack *s, uint64_t rip, uint16_t cs,
                         uint64_t flags)
{
    static const uint8_t order[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    uint16_t ss, sel[ARRAY_LEN(order)];
    uint64_t esp;

    esp = stack_get(vp, s, 4);
    ss = (uint16_t)stack_get(vp, s, 4);
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        sel[i] = (uint16_t)stack_get(vp, s, 4);
    if ((rip & 0xffffffff) > 0xffff)
        raise_gp(vp);
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        seg_fill_vm86(&vp->seg[order[i]], sel[i]);
    seg_fill_vm86(&vp->seg[SEG_SS], ss);
    seg_fill_vm86(&vp->seg[SEG_CS], cs);
    vp->gpr[RSP] = esp;
    flags_set(vp, flags, FLAGS_ANY32 | F_IF | F_IOPL | F_VIF | F_VIP | F_VM);
    vp->cpl = 3;
    soft_mode_changed(vp);
    goto_rip(vp, rip & 0xffff);
}

static void iret_code(struct soft_vp *vp, uint16_t sel, struct desc *d)
{
    unsigned rpl = sel & 3, dpl;

    seg_read_code(vp, sel, d);
    dpl = attr_dpl(d->attr);
    if (rpl < vp->cpl || (attr_is_conforming(d->attr) ? dpl > rpl : dpl != rpl))
        raise_sel(vp, EXC_GP, sel);
    seg_check_code(vp, sel, d);
}

static void iret_prot(struct soft_vp *vp, unsigned size)
{
    bool from64 = in_code64(vp), outer;
    struct stack s = stack_here(vp), out;
    uint64_t rip = stack_get(vp, &s, size), flags, mask;
    uint16_t sel = (uint16_t)stack_get(vp, &s, size);
    struct desc d;

    flags = stack_get(vp, &s, size);
    if (!in_long(vp) && size == 4 && (flags & F_VM) && vp->cpl == 0) {
        iret_to_vm86(vp, &s, rip, sel, flags);
        return;
    }
    iret_code(vp, sel, &d);
    outer = (sel & 3u) > vp->cpl;
    out = s;
    if (outer || from64) {
        out.sp = stack_get(vp, &s, size);
        out.wide = in_long(vp) && (d.attr & ATTR_L);
        far_return_ss(vp, (uint16_t)stack_get(vp, &s, size), sel & 3, out.wide, &out.seg);
    }
    seg_check_target(vp, &d, rip);
    desc_set_accessed(vp, &d);
    mask = flags_mask(vp, size);
    stack_commit(vp, &out);
    seg_fill(&vp->seg[SEG_CS], sel, &d);
    vp->cpl = sel & 3;
    if (outer)
        seg_drop_inner(vp, vp->cpl);
    flags_set(vp, flags, mask);
    soft_mode_changed(vp);
    goto_rip(vp, rip);
}

void insn_iret(struct soft_vp *vp, const struct insn *in)
{
    if (in_vm86(vp)) {
        iret_vm86(vp, in->op_size);
    } else if (!in_prot(vp)) {
        iret_real(vp, in->op_size);
    } else if (vp->rflags & F_NT) {
        if (in_long(vp))
            raise_gp(vp);
        task_return(vp);
    } else {
        event_unmask_nmi(vp);
        iret_prot(vp, in->op_size);
        return;
    }
    event_unmask_nmi(vp);
}
