/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seg_insn.c - instructions on segment registers and selectors.
 *
 * Source: Intel SDM 2 (MOV, POP, LDS.., LLDT, LTR, SLDT, STR, LAR, LSL, VERR, VERW, ARPL). */
#include "cpu/soft/seg.h"
#include "cpu/soft/sys_insn.h"

/* Opcode bits 5:3 of the one-byte pushes and pops, or the second byte's. */
static enum vp_seg opcode_seg(const struct insn *in)
{
    return (enum vp_seg)(in->opcode >> 3 & 7);
}

void insn_mov_from_seg(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = in->reg & 7;

    if (n > SEG_GS)
        soft_raise(vp, EXC_UD);
    if (in->mod == 3)
        insn_set_reg(vp, in, in->rm, in->op_size, vp->seg[n].sel);
    else
        insn_set_rm(vp, in, 2, vp->seg[n].sel);
}

void insn_mov_to_seg(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = in->reg & 7;

    if (n > SEG_GS || n == SEG_CS)
        soft_raise(vp, EXC_UD);
    seg_load(vp, (enum vp_seg)n, (uint16_t)insn_rm(vp, in, 2));
    if (n == SEG_SS)
        vp->shadow = 2;
}

void insn_push_seg(struct soft_vp *vp, const struct insn *in)
{
    stack_push(vp, stack_op_size(vp, in), vp->seg[opcode_seg(in)].sel);
}

void insn_pop_seg(struct soft_vp *vp, const struct insn *in)
{
    enum vp_seg n = opcode_seg(in);
    struct stack s = stack_here(vp);
    uint16_t sel = (uint16_t)stack_get(vp, &s, stack_op_size(vp, in));

    seg_load(vp, n, sel);
    vp->gpr[RSP] = s.sp;
    if (n == SEG_SS)
        vp->shadow = 2;
}

/* LES LDS LSS LFS LGS: offset first, then the selector, one checked range. */
void insn_load_far(struct soft_vp *vp, const struct insn *in)
{
    static const uint8_t target[] = { [2] = SEG_SS, [4] = SEG_FS, [5] = SEG_GS };
    enum vp_seg n = in->map == MAP_1 ? in->opcode == 0xc4 ? SEG_ES : SEG_DS
                                     : (enum vp_seg)target[in->opcode & 7];
    uint64_t va, off;
    uint16_t sel;

    if (in->mod == 3)
        soft_raise(vp, EXC_UD);
    va = insn_address(vp, in, in->op_size + 2u, false);
    off = mem_get(vp, va, in->op_size);
    sel = mem_read16(vp, linear(vp, va + in->op_size));
    seg_load(vp, n, sel);
    insn_set_reg(vp, in, in->reg, in->op_size, off);
}

/* ---- 0F 00 ----------------------------------------------------------------------------------- */

static void need_prot(struct soft_vp *vp)
{
    if (!in_prot(vp))
        soft_raise(vp, EXC_UD);
}

void insn_sldt_str(struct soft_vp *vp, const struct insn *in)
{
    need_prot(vp);
    umip_check(vp);
    store_word(vp, in, vp->seg[(in->reg & 7) == 0 ? SEG_LDTR : SEG_TR].sel);
}

void insn_lldt(struct soft_vp *vp, const struct insn *in)
{
    struct desc d;
    uint16_t sel;

    need_prot(vp);
    need_cpl0(vp);
    sel = (uint16_t)insn_rm(vp, in, 2);
    if (sel_null(sel)) {
        seg_fill_null(&vp->seg[SEG_LDTR], sel);
        return;
    }
    seg_check_ldt(vp, sel, EXC_GP, &d);
    seg_fill(&vp->seg[SEG_LDTR], sel, &d);
}

void insn_ltr(struct soft_vp *vp, const struct insn *in)
{
    struct desc d;
    unsigned type;
    uint16_t sel;

    need_prot(vp);
    need_cpl0(vp);
    sel = (uint16_t)insn_rm(vp, in, 2);
    if (sel_null(sel))
        raise_gp(vp);
    if ((sel & 4) || !desc_read(vp, sel, &d))
        raise_sel(vp, EXC_GP, sel);
    type = attr_sys_type(d.attr);
    if (type != SYS_TSS32 && (type != SYS_TSS16 || in_long(vp)))
        raise_sel(vp, EXC_GP, sel);
    if (in_long(vp) && (!desc_extend(vp, sel, &d) || !canonical(d.base)))
        raise_sel(vp, EXC_GP, sel);
    if (!(d.attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
    desc_set_busy(vp, &d, true);
    seg_fill(&vp->seg[SEG_TR], sel, &d);
}

/* ---- asking about selectors ------------------------------------------------------------------ */

static void set_zf(struct soft_vp *vp, bool on)
{
    vp->rflags = on ? vp->rflags | F_ZF : vp->rflags & ~(uint64_t)F_ZF;
}

/* May the current program see this descriptor?  'types' has a bit for each system type that
 * counts. */
static bool visible(struct soft_vp *vp, uint16_t sel, unsigned types, struct desc *ret)
{
    unsigned type;

    if (sel_null(sel) || !desc_read(vp, sel, ret))
        return false;
    type = attr_sys_type(ret->attr);
    if (!(ret->attr & ATTR_S)) {
        if (!(types & 1u << type))
            return false;
        if (in_long(vp) && !desc_extend(vp, sel, ret))
            return false;
    }
    return attr_is_conforming(ret->attr) || attr_dpl(ret->attr) >= MAX(sel & 3u, vp->cpl);
}

/* Types valid for LSL and LAR, outside and in long mode. */
#define TYPES_LSL      (1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11)
#define TYPES_LSL_LONG (1u << 2 | 1u << 9 | 1u << 11)
#define TYPES_GATES    (1u << 4 | 1u << 5 | 1u << 12)

void insn_lar(struct soft_vp *vp, const struct insn *in)
{
    unsigned types = in_long(vp) ? TYPES_LSL_LONG | 1u << 12 : TYPES_LSL | TYPES_GATES;
    struct desc d;
    uint16_t sel;
    bool ok;

    need_prot(vp);
    sel = (uint16_t)insn_rm(vp, in, 2);
    ok = visible(vp, sel, types, &d);
    if (ok)
        insn_set_reg(vp, in, in->reg, in->op_size, d.raw >> 32 & 0x00f0ff00);
    set_zf(vp, ok);
}

void insn_lsl(struct soft_vp *vp, const struct insn *in)
{
    unsigned types = in_long(vp) ? TYPES_LSL_LONG : TYPES_LSL;
    struct desc d;
    uint16_t sel;
    bool ok;

    need_prot(vp);
    sel = (uint16_t)insn_rm(vp, in, 2);
    ok = visible(vp, sel, types, &d);
    if (ok)
        insn_set_reg(vp, in, in->reg, in->op_size, d.limit);
    set_zf(vp, ok);
}

void insn_verr_verw(struct soft_vp *vp, const struct insn *in)
{
    bool write = in->reg & 1;
    struct desc d;
    bool ok;

    need_prot(vp);
    ok = visible(vp, (uint16_t)insn_rm(vp, in, 2), 0, &d);
    if (ok && write)
        ok = attr_is_stack(d.attr);
    else if (ok)
        ok = (d.attr & (ATTR_CODE | ATTR_RW)) != ATTR_CODE;
    set_zf(vp, ok);
}

void insn_arpl(struct soft_vp *vp, const struct insn *in)
{
    uint64_t rm;
    unsigned rpl;

    need_prot(vp);
    rm = insn_rm(vp, in, 2);
    rpl = (unsigned)insn_reg(vp, in, in->reg, 2) & 3;
    if ((rm & 3) < rpl)
        insn_set_rm(vp, in, 2, (rm & ~UINT64_C(3)) | rpl);
    set_zf(vp, (rm & 3) < rpl);
}
