/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - control and debug registers, descriptor table registers, TLB and cache instructions.
 *
 * Sources: Intel SDM 3A 2.5-2.6, 4.10, 3B 17.2; AMD64 APM 2 3.1.  PAE's four upper entries are
 * read at each walk, as AMD's CPUs do, so loading CR3 checks nothing of them. */
#include "cpu/soft/fpu.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/sys_insn.h"

/* Memory types and caches are not modelled: CD and NW are kept, no more. */
#define CR0_KNOWN                                                                            \
    (CR0_PG | CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |        \
     (uint64_t)CR0_NW | (uint64_t)CR0_CD)

/* CR4 bits that this VP may set, by its CPUID. */
static uint64_t cr4_allowed(const struct soft_vp *vp)
{
    const struct soft_features *f = &vp->feature;
    uint64_t m = CR4_TSD | CR4_MCE | CR4_PCE | CR4_OSXMMEXCPT | CR4_OSFXSR;

    m |= f->edx1 & 1 << 1 ? CR4_VME | CR4_PVI : 0;
    m |= f->edx1 & 1 << 2 ? CR4_DE : 0;
    m |= f->edx1 & 1 << 3 ? CR4_PSE : 0;
    m |= f->edx1 & 1 << 6 ? CR4_PAE : 0;
    m |= f->edx1 & 1 << 13 ? CR4_PGE : 0;
    m |= f->ecx1 & 1 << 17 ? CR4_PCIDE : 0;
    m |= f->ecx1 & 1 << 26 ? CR4_OSXSAVE : 0;
    m |= f->ebx7 & 1 << 0 ? CR4_FSGSBASE : 0;
    m |= f->ebx7 & 1 << 7 ? CR4_SMEP : 0;
    m |= f->ebx7 & 1 << 20 ? CR4_SMAP : 0;
    m |= f->ecx7 & 1 << 2 ? CR4_UMIP : 0;
    return m;
}

/* Turning paging on or off moves into and out of long mode. */
static void check_paging(struct soft_vp *vp, uint64_t cr0)
{
    if (cr0 & CR0_PG) {
        if (!(cr0 & CR0_PE))
            raise_gp(vp);
        if (!(vp->cr0 & CR0_PG) && (vp->efer & EFER_LME) &&
            (!(vp->cr4 & CR4_PAE) || (vp->seg[SEG_CS].attr & ATTR_L)))
            raise_gp(vp);
        return;
    }
    if ((vp->cr0 & CR0_PG) && (in_code64(vp) || (vp->cr4 & CR4_PCIDE)))
        raise_gp(vp);
}

static void set_cr0(struct soft_vp *vp, uint64_t v)
{
    if (v >> 32 || ((v & CR0_NW) && !(v & CR0_CD)))
        raise_gp(vp);
    v = (v & CR0_KNOWN) | CR0_ET;
    check_paging(vp, v);
    if ((v ^ vp->cr0) & CR0_PG) {
        vp->efer &= ~(uint64_t)EFER_LMA;
        if ((v & CR0_PG) && (vp->efer & EFER_LME))
            vp->efer |= EFER_LMA;
    }
    if ((v ^ vp->cr0) & (CR0_PG | CR0_PE | CR0_WP)) {
        vp->cr0 = v;
        mmu_flush_all(vp, true);
    }
    vp->cr0 = v;
    soft_mode_changed(vp);
}

static void set_cr3(struct soft_vp *vp, uint64_t v)
{
    bool keep = (vp->cr4 & CR4_PCIDE) && v >> 63;

    if (!in_long(vp))
        v = (uint32_t)v;
    else if (vp->cr4 & CR4_PCIDE)
        v &= ~(UINT64_C(1) << 63);
    if (v >> SOFT_PHYS_BITS)
        raise_gp(vp);
    mmu_set_cr3(vp, v | (uint64_t)keep << 63);
}

static void set_cr4(struct soft_vp *vp, uint64_t v)
{
    uint64_t diff = v ^ vp->cr4;

    if (v & ~cr4_allowed(vp))
        raise_gp(vp);
    if (in_long(vp) && !(v & CR4_PAE))
        raise_gp(vp);
    if ((diff & v & CR4_PCIDE) && (!in_long(vp) || (vp->cr3 & 0xfff)))
        raise_gp(vp);
    vp->cr4 = v;
    if (diff & (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        mmu_flush_all(vp, true);
    soft_mode_changed(vp);
}

void sys_set_cr(struct soft_vp *vp, unsigned n, uint64_t value)
{
    switch (n) {
    case 0: set_cr0(vp, value); break;
    case 2: vp->cr2 = value; break;
    case 3: set_cr3(vp, value); break;
    case 4: set_cr4(vp, value); break;
    case 8:
        if (value & ~UINT64_C(15))
            raise_gp(vp);
        lapic_set_cr8(vp, value);
        break;
    }
}

static unsigned cr_number(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = in->reg;

    if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8)
        soft_raise(vp, EXC_UD);
    need_cpl0(vp);
    return n;
}

static unsigned word_size(const struct soft_vp *vp) /* MOV CR and DR know no operand size */
{
    return in_code64(vp) ? 8 : 4;
}

void insn_mov_from_cr(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = cr_number(vp, in);
    uint64_t v = n == 0 ? vp->cr0 : n == 2 ? vp->cr2 : n == 3 ? vp->cr3 : n == 4 ? vp->cr4
                                                                          : lapic_cr8(vp);

    insn_set_reg(vp, in, in->rm, word_size(vp), v);
}

void insn_mov_to_cr(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = cr_number(vp, in);

    sys_set_cr(vp, n, insn_reg(vp, in, in->rm, word_size(vp)));
}

void insn_clts(struct soft_vp *vp, const struct insn *in)
{
    need_cpl0(vp);
    vp->cr0 &= ~(uint64_t)CR0_TS;
    soft_mode_changed(vp);
}

void insn_smsw(struct soft_vp *vp, const struct insn *in)
{
    umip_check(vp);
    store_word(vp, in, vp->cr0);
}

/* PE can be set but not cleared. */
void insn_lmsw(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v;

    need_cpl0(vp);
    v = insn_rm(vp, in, 2) & 0xf;
    set_cr0(vp, (vp->cr0 & ~UINT64_C(0xe)) | v);
}

/* ---- debug registers ------------------------------------------------------------------------- */

static unsigned dr_number(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = in->reg;

    if (n > 7 || ((n == 4 || n == 5) && (vp->cr4 & CR4_DE)))
        soft_raise(vp, EXC_UD);
    need_cpl0(vp);
    if (vp->dr[7] & 1 << 13) { /* GD */
        vp->dr[6] |= 1 << 13;
        soft_raise(vp, EXC_DB);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

void insn_mov_from_dr(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = dr_number(vp, in);

    insn_set_reg(vp, in, in->rm, word_size(vp), vp->dr[n]);
}

void insn_mov_to_dr(struct soft_vp *vp, const struct insn *in)
{
    unsigned n = dr_number(vp, in);
    uint64_t v = insn_reg(vp, in, in->rm, word_size(vp));

    if (n >= 6 && v >> 32)
        raise_gp(vp);
    if (n == 6)
        v = (v & 0xe00f) | 0xffff0ff0;
    else if (n == 7)
        v = (v & 0xffff2bff) | 0x400;
    vp->dr[n] = v;
    soft_mode_changed(vp);
}

/* ---- descriptor tables ----------------------------------------------------------------------- */

void insn_sgdt_sidt(struct soft_vp *vp, const struct insn *in)
{
    const struct vp_dtable *t = in->reg & 1 ? &vp->idt : &vp->gdt;
    unsigned base_size = in_code64(vp) ? 8 : 4;
    uint8_t image[10];

    umip_check(vp);
    put_le16(image, t->limit);
    put_le64(image + 2, t->base);
    mem_write(vp, insn_address(vp, in, 2 + base_size, true), image, 2 + base_size);
}

void insn_lgdt_lidt(struct soft_vp *vp, const struct insn *in)
{
    unsigned base_size = in_code64(vp) ? 8 : 4;
    uint8_t image[10] = { 0 };
    uint64_t base;
    struct vp_dtable *t = in->reg & 1 ? &vp->idt : &vp->gdt;

    need_cpl0(vp);
    mem_read(vp, insn_address(vp, in, 2 + base_size, false), image, 2 + base_size);
    base = get_le64(image + 2);
    if (base_size == 8 && !canonical(base))
        raise_gp(vp);
    if (base_size == 4 && in->op_size == 2)
        base &= 0xffffff;
    t->limit = get_le16(image);
    t->base = base;
}

/* ---- TLB and caches -------------------------------------------------------------------------- */

void insn_invlpg(struct soft_vp *vp, const struct insn *in)
{
    uint64_t va;

    need_cpl0(vp);
    va = linear(vp, vp->seg_base[in->seg] + insn_offset(vp, in));
    if (canonical(va))
        mmu_flush_page(vp, va);
}

void insn_invpcid(struct soft_vp *vp, const struct insn *in)
{
    uint64_t type, pcid, va, at;

    if (!(vp->feature.ebx7 & 1 << 10) || in->mod == 3)
        soft_raise(vp, EXC_UD);
    need_cpl0(vp);
    type = insn_reg(vp, in, in->reg, word_size(vp));
    at = insn_address(vp, in, 16, false);
    pcid = mem_read64(vp, at);
    va = mem_read64(vp, linear(vp, at + 8));
    if (type > 3 || (type < 2 && pcid >> 12) || (type == 0 && !canonical(va)))
        raise_gp(vp);
    if (type < 2 && pcid && !(vp->cr4 & CR4_PCIDE))
        raise_gp(vp);
    switch (type) {
    case 0: mmu_flush_pcid(vp, (unsigned)pcid, true, va); break;
    case 1: mmu_flush_pcid(vp, (unsigned)pcid, false, 0); break;
    case 2: mmu_flush_all(vp, true); break;
    case 3: mmu_flush_all(vp, false); break;
    }
}

void insn_wbinvd(struct soft_vp *vp, const struct insn *in) /* INVD, WBINVD, WBNOINVD */
{
    need_cpl0(vp);
}

void insn_hlt(struct soft_vp *vp, const struct insn *in)
{
    need_cpl0(vp);
    vp->halted = true;
    vp->count.halts++;
}

/* ---- extended control registers -------------------------------------------------------------- */

void insn_xgetbv(struct soft_vp *vp, const struct insn *in)
{
    if (!(vp->cr4 & CR4_OSXSAVE))
        soft_raise(vp, EXC_UD);
    if ((uint32_t)vp->gpr[RCX] != 0)
        raise_gp(vp);
    vp->gpr[RAX] = (uint32_t)vp->fpu.xcr0;
    vp->gpr[RDX] = vp->fpu.xcr0 >> 32;
}

void insn_xsetbv(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v = (vp->gpr[RDX] << 32) | (uint32_t)vp->gpr[RAX];

    if (!(vp->cr4 & CR4_OSXSAVE))
        soft_raise(vp, EXC_UD);
    need_cpl0(vp);
    if ((uint32_t)vp->gpr[RCX] != 0 || !(v & 1) || v & ~(uint64_t)vp->feature.xcr0)
        raise_gp(vp);
    if ((v & 6) == 4) /* AVX without SSE */
        raise_gp(vp);
    vp->fpu.xcr0 = v;
    soft_mode_changed(vp);
}
