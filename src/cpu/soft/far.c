/* SPDX-License-Identifier: GPL-2.0-or-later */
/* far.c - far JMP, CALL and RET: code segments, call gates, tasks.  IRET is in iret.c.
 *
 * Source: Intel SDM 2 (JMP, CALL, RET), 3A 5.8; AMD64 APM 2 4.10, 8.  m16:64 operands work as on
 * Intel's CPUs for both vendors. */
#include "cpu/soft/sys_insn.h"

/* Real mode and VM86: a paragraph address. */
static void enter_real(struct soft_vp *vp, uint16_t sel, uint64_t off)
{
    if (in_vm86(vp))
        seg_fill_vm86(&vp->seg[SEG_CS], sel);
    else
        seg_fill_real(&vp->seg[SEG_CS], sel);
    soft_mode_changed(vp);
    goto_rip(vp, off);
}

static void check_real_target(struct soft_vp *vp, uint64_t off)
{
    if (off > (in_vm86(vp) ? 0xffff : vp->seg[SEG_CS].limit))
        raise_gp(vp);
}

/* Commit a code segment; RPL becomes 'cpl'. */
static void enter_code(struct soft_vp *vp, uint16_t sel, struct desc *d, unsigned cpl, uint64_t off)
{
    seg_fill(&vp->seg[SEG_CS], (uint16_t)((sel & 0xfffc) | cpl), d);
    vp->cpl = (uint8_t)cpl;
    soft_mode_changed(vp);
    goto_rip(vp, off);
}

static void push_return(struct soft_vp *vp, struct stack *s, unsigned size)
{
    stack_put(vp, s, size, vp->seg[SEG_CS].sel);
    stack_put(vp, s, size, vp->next_rip);
}

/* A direct transfer keeps CPL: conforming code of the same or an inner level, else the same
 * level. */
static void check_direct(struct soft_vp *vp, uint16_t sel, const struct desc *d)
{
    if (attr_is_conforming(d->attr)) {
        if (attr_dpl(d->attr) > vp->cpl)
            raise_sel(vp, EXC_GP, sel);
    } else if ((sel & 3u) > vp->cpl || attr_dpl(d->attr) != vp->cpl) {
        raise_sel(vp, EXC_GP, sel);
    }
    seg_check_code(vp, sel, d);
}

static void to_code(struct soft_vp *vp, uint16_t sel, struct desc *d, uint64_t off, unsigned size,
                    bool call)
{
    struct stack s;

    check_direct(vp, sel, d);
    if (!call) {
        seg_check_target(vp, d, off);
        desc_set_accessed(vp, d);
        enter_code(vp, sel, d, vp->cpl, off);
        return;
    }
    s = stack_here(vp);
    stack_room(vp, &s, 2, size);
    seg_check_target(vp, d, off);
    desc_set_accessed(vp, d);
    push_return(vp, &s, size);
    stack_commit(vp, &s);
    enter_code(vp, sel, d, vp->cpl, off);
}

/* ---- call gates ------------------------------------------------------------------------------ */

struct gate {
    uint16_t sel;
    uint64_t off;
    unsigned size;  /* of pushed items */
    unsigned count; /* parameters to copy */
};

static void read_gate(struct soft_vp *vp, uint16_t sel, struct desc *d, struct gate *ret)
{
    unsigned type = attr_sys_type(d->attr);
    uint64_t high = 0;

    if (attr_dpl(d->attr) < MAX(vp->cpl, sel & 3u))
        raise_sel(vp, EXC_GP, sel);
    if (in_long(vp)) {
        if (!desc_extend(vp, sel, d))
            raise_sel(vp, EXC_GP, sel);
        high = mem_sys_read(vp, d->at + 8, 4);
    }
    if (!(d->attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
    ret->sel = gate_sel(d);
    ret->size = in_long(vp) ? 8 : type == SYS_CALL16 ? 2 : 4;
    ret->off = gate_offset(d, ret->size, (uint32_t)high);
    ret->count = in_long(vp) ? 0 : d->raw >> 32 & 0x1f;
}

static void gate_inner_call(struct soft_vp *vp, const struct gate *g, struct desc *code)
{
    unsigned cpl = attr_dpl(code->attr);
    struct stack from = stack_here(vp), to = stack_from_tss(vp, cpl, 0);
    uint64_t param[31];

    stack_room(vp, &to, 4 + g->count, g->size);
    seg_check_target(vp, code, g->off);
    for (unsigned i = 0; i < g->count; i++)
        param[i] = stack_get(vp, &from, g->size);
    desc_set_accessed(vp, code);
    stack_put(vp, &to, g->size, vp->seg[SEG_SS].sel);
    stack_put(vp, &to, g->size, vp->gpr[RSP]);
    for (unsigned i = g->count; i--;)
        stack_put(vp, &to, g->size, param[i]);
    push_return(vp, &to, g->size);
    stack_commit(vp, &to);
    enter_code(vp, g->sel, code, cpl, g->off);
}

static void through_gate(struct soft_vp *vp, uint16_t sel, struct desc *d, bool call)
{
    struct desc code;
    struct gate g;
    struct stack s;
    unsigned dpl;

    read_gate(vp, sel, d, &g);
    seg_read_code(vp, g.sel, &code);
    dpl = attr_dpl(code.attr);
    if (dpl > vp->cpl || (!call && !attr_is_conforming(code.attr) && dpl != vp->cpl))
        raise_sel(vp, EXC_GP, g.sel);
    if (in_long(vp) && (code.attr & (ATTR_L | ATTR_DB)) != ATTR_L)
        raise_sel(vp, EXC_GP, g.sel);
    if (!(code.attr & ATTR_P))
        raise_sel(vp, EXC_NP, g.sel);
    if (call && !attr_is_conforming(code.attr) && dpl < vp->cpl) {
        gate_inner_call(vp, &g, &code);
        return;
    }
    s = stack_here(vp);
    s.wide = in_long(vp);
    if (call)
        stack_room(vp, &s, 2, g.size);
    seg_check_target(vp, &code, g.off);
    desc_set_accessed(vp, &code);
    if (call) {
        push_return(vp, &s, g.size);
        stack_commit(vp, &s);
    }
    enter_code(vp, g.sel, &code, vp->cpl, g.off);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void through_task_gate(struct soft_vp *vp, uint16_t sel, const struct desc *d, bool call)
{
    struct desc tss;

    if (attr_dpl(d->attr) < MAX(vp->cpl, sel & 3u))
        raise_sel(vp, EXC_GP, sel);
    if (!(d->attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
    task_read(vp, gate_sel(d), &tss);
    task_switch(vp, gate_sel(d), &tss, call ? TASK_CALL : TASK_JMP, vp->next_rip);
}

static void to_task(struct soft_vp *vp, uint16_t sel, const struct desc *d, bool call)
{
    struct desc tss;

    if (attr_dpl(d->attr) < MAX(vp->cpl, sel & 3u))
        raise_sel(vp, EXC_GP, sel);
    task_read(vp, sel, &tss);
    task_switch(vp, sel, &tss, call ? TASK_CALL : TASK_JMP, vp->next_rip);
}

/* ---- JMP and CALL ---------------------------------------------------------------------------- */

static void transfer(struct soft_vp *vp, uint16_t sel, uint64_t off, unsigned size, bool call)
{
    struct desc d;
    struct stack s;

    if (!in_prot(vp)) {
        check_real_target(vp, off);
        if (call) {
            s = stack_here(vp);
            stack_room(vp, &s, 2, size);
            push_return(vp, &s, size);
            stack_commit(vp, &s);
        }
        enter_real(vp, sel, off);
        return;
    }
    if (sel_null(sel))
        raise_gp(vp);
    if (!desc_read(vp, sel, &d))
        raise_sel(vp, EXC_GP, sel);
    if (attr_is_code(d.attr)) {
        to_code(vp, sel, &d, off, size, call);
        return;
    }
    switch (attr_sys_type(d.attr)) {
    case SYS_CALL32: through_gate(vp, sel, &d, call); return;
    case SYS_CALL16:
        if (in_long(vp))
            break;
        through_gate(vp, sel, &d, call);
        return;
    case SYS_TASK_GATE:
        if (in_long(vp))
            break;
        through_task_gate(vp, sel, &d, call);
        return;
    case SYS_TSS16:
    case SYS_TSS32:
        if (in_long(vp))
            break;
        to_task(vp, sel, &d, call);
        return;
    }
    raise_sel(vp, EXC_GP, sel);
}

static uint64_t imm_offset(const struct insn *in)
{
    return in->op_size == 2 ? in->imm & 0xffff : in->imm & 0xffffffff;
}

void insn_jmp_far(struct soft_vp *vp, const struct insn *in)
{
    transfer(vp, in->imm2, imm_offset(in), in->op_size, false);
}

void insn_call_far(struct soft_vp *vp, const struct insn *in)
{
    transfer(vp, in->imm2, imm_offset(in), in->op_size, true);
}

static void transfer_mem(struct soft_vp *vp, const struct insn *in, bool call)
{
    uint64_t va, off;

    if (in->mod == 3)
        soft_raise(vp, EXC_UD);
    va = insn_address(vp, in, in->op_size + 2u, false);
    off = mem_get(vp, va, in->op_size);
    transfer(vp, mem_read16(vp, linear(vp, va + in->op_size)), off, in->op_size, call);
}

void insn_jmp_far_mem(struct soft_vp *vp, const struct insn *in)
{
    transfer_mem(vp, in, false);
}

void insn_call_far_mem(struct soft_vp *vp, const struct insn *in)
{
    transfer_mem(vp, in, true);
}

/* ---- RET ------------------------------------------------------------------------------------- */

static void check_return_code(struct soft_vp *vp, uint16_t sel, const struct desc *d)
{
    unsigned rpl = sel & 3, dpl = attr_dpl(d->attr);

    if (rpl < vp->cpl || (attr_is_conforming(d->attr) ? dpl > rpl : dpl != rpl))
        raise_sel(vp, EXC_GP, sel);
    seg_check_code(vp, sel, d);
}

/* SS of the level returned to; in long mode it may be null but for level 3. */
void far_return_ss(struct soft_vp *vp, uint16_t sel, unsigned cpl, bool code64,
                   struct vp_segment *ret)
{
    struct desc d;

    if (sel_null(sel) && code64 && cpl != 3 && (sel & 3u) == cpl) {
        seg_fill_null(ret, sel);
        ret->attr = (uint16_t)(cpl << 5);
        return;
    }
    seg_check_ss(vp, sel, cpl, EXC_GP, &d);
    desc_set_accessed(vp, &d);
    seg_fill(ret, sel, &d);
}

static void ret_prot(struct soft_vp *vp, unsigned size, uint64_t release)
{
    struct stack s = stack_here(vp), out = { 0 };
    uint64_t rip = stack_get(vp, &s, size);
    uint16_t sel = (uint16_t)stack_get(vp, &s, size);
    unsigned cpl = sel & 3;
    struct desc d;

    seg_read_code(vp, sel, &d);
    check_return_code(vp, sel, &d);
    stack_skip(&s, release);
    if (cpl == vp->cpl) {
        seg_check_target(vp, &d, rip);
        desc_set_accessed(vp, &d);
        stack_commit(vp, &s);
        enter_code(vp, sel, &d, cpl, rip);
        return;
    }
    out.sp = stack_get(vp, &s, size);
    out.wide = in_long(vp) && (d.attr & ATTR_L);
    far_return_ss(vp, (uint16_t)stack_get(vp, &s, size), cpl, out.wide, &out.seg);
    seg_check_target(vp, &d, rip);
    desc_set_accessed(vp, &d);
    stack_skip(&out, release);
    stack_commit(vp, &out);
    seg_drop_inner(vp, cpl);
    enter_code(vp, sel, &d, cpl, rip);
}

void insn_ret_far(struct soft_vp *vp, const struct insn *in)
{
    uint64_t release = in->opcode == 0xca ? in->imm & 0xffff : 0;
    struct stack s;
    uint64_t rip;
    uint16_t sel;

    if (in_prot(vp)) {
        ret_prot(vp, in->op_size, release);
        return;
    }
    s = stack_here(vp);
    rip = stack_get(vp, &s, in->op_size);
    sel = (uint16_t)stack_get(vp, &s, in->op_size);
    check_real_target(vp, rip);
    stack_skip(&s, release);
    stack_commit(vp, &s);
    enter_real(vp, sel, rip);
}
