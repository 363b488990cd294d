/* SPDX-License-Identifier: GPL-2.0-or-later */
/* syscall.c - SYSCALL, SYSRET, SYSENTER, SYSEXIT.
 *
 * Sources: Intel SDM 2B; AMD64 APM 3.  The vendors differ: on AMD SYSCALL works outside 64-bit code
 * as well and SYSENTER does not in long mode, and SYSRET checks RIP only on Intel. */
#include "cpu/soft/sys_insn.h"

enum {
    FLAT_CODE = ATTR_P | ATTR_S | 0xb | ATTR_G,
    FLAT_DATA = ATTR_P | ATTR_S | 0x3 | ATTR_DB | ATTR_G,
};

static void enter_flat(struct soft_vp *vp, uint16_t cs, uint16_t ss, unsigned cpl, bool code64)
{
    uint16_t level = (uint16_t)(cpl << 5);
    uint16_t size = code64 ? ATTR_L : ATTR_DB;

    seg_fill_flat(&vp->seg[SEG_CS], cs, (uint16_t)(FLAT_CODE | level | size));
    seg_fill_flat(&vp->seg[SEG_SS], ss, (uint16_t)(FLAT_DATA | level));
    vp->cpl = (uint8_t)cpl;
    soft_mode_changed(vp);
}

/* AMD: outside long mode the target is in STAR itself. */
static void syscall_legacy(struct soft_vp *vp)
{
    uint16_t cs = vp->msrs.star >> 32 & 0xfffc;

    vp->gpr[RCX] = (uint32_t)vp->next_rip;
    vp->rflags &= ~(uint64_t)(F_VM | F_IF | F_RF);
    enter_flat(vp, cs, (uint16_t)(cs + 8), 0, false);
    goto_rip(vp, (uint32_t)vp->msrs.star);
}

void insn_syscall(struct soft_vp *vp, const struct insn *in)
{
    bool code64 = in_code64(vp);
    uint16_t cs = vp->msrs.star >> 32 & 0xfffc;

    if (!(vp->efer & EFER_SCE) || (!code64 && !(vp->feature.amd && in_prot(vp))))
        soft_raise(vp, EXC_UD);
    if (!in_long(vp)) {
        syscall_legacy(vp);
        return;
    }
    vp->gpr[RCX] = vp->next_rip;
    vp->gpr[R11] = vp->rflags & ~(uint64_t)F_RF;
    vp->rflags &= ~(vp->msrs.sfmask | F_RF);
    vp->rflags |= F_1;
    vp->step = vp->rflags & F_TF; /* for both instructions the new flags decide about the trap */
    enter_flat(vp, cs, (uint16_t)(cs + 8), 0, true);
    goto_rip(vp, code64 ? vp->msrs.lstar : vp->msrs.cstar);
}

void insn_sysret(struct soft_vp *vp, const struct insn *in)
{
    bool code64 = in_code64(vp), to64 = in->op_size == 8;
    uint16_t cs = (uint16_t)((vp->msrs.star >> 48) | 3);
    uint64_t rip = vp->gpr[RCX];

    if (!(vp->efer & EFER_SCE) || (!code64 && !(vp->feature.amd && in_prot(vp))))
        soft_raise(vp, EXC_UD);
    need_cpl0(vp);
    if (to64 && !vp->feature.amd && !canonical(rip))
        raise_gp(vp);
    if (in_long(vp))
        vp->rflags = (vp->gpr[R11] & 0x3c7fd7) | F_1;
    else
        vp->rflags |= F_IF;
    vp->step = vp->rflags & F_TF;
    enter_flat(vp, (uint16_t)(to64 ? cs + 16 : cs), (uint16_t)(cs + 8), 3, to64);
    goto_rip(vp, to64 ? rip : (uint32_t)rip);
}

void insn_sysenter(struct soft_vp *vp, const struct insn *in)
{
    uint16_t cs = vp->msrs.sysenter_cs & 0xfffc;
    bool wide = in_long(vp);

    if (wide && vp->feature.amd)
        soft_raise(vp, EXC_UD);
    if (!(vp->cr0 & CR0_PE) || !cs)
        raise_gp(vp);
    vp->rflags &= ~(uint64_t)(F_VM | F_IF);
    vp->gpr[RSP] = wide ? vp->msrs.sysenter_esp : (uint32_t)vp->msrs.sysenter_esp;
    enter_flat(vp, cs, (uint16_t)(cs + 8), 0, wide);
    goto_rip(vp, wide ? vp->msrs.sysenter_eip : (uint32_t)vp->msrs.sysenter_eip);
}

void insn_sysexit(struct soft_vp *vp, const struct insn *in)
{
    uint16_t cs = vp->msrs.sysenter_cs & 0xfffc;
    bool to64 = in->op_size == 8;
    uint64_t rip = vp->gpr[RDX], rsp = vp->gpr[RCX];

    if (in_long(vp) && vp->feature.amd)
        soft_raise(vp, EXC_UD);
    if (!(vp->cr0 & CR0_PE) || vp->cpl || in_vm86(vp) || !cs)
        raise_gp(vp);
    if (to64 && (!canonical(rip) || !canonical(rsp)))
        raise_gp(vp);
    cs = (uint16_t)((to64 ? cs + 32 : cs + 16) | 3);
    vp->gpr[RSP] = to64 ? rsp : (uint32_t)rsp;
    enter_flat(vp, cs, (uint16_t)(cs + 8), 3, to64);
    goto_rip(vp, to64 ? rip : (uint32_t)rip);
}
