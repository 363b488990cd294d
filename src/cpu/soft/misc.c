/* SPDX-License-Identifier: GPL-2.0-or-later */
/* misc.c - SWAPGS, RDFSBASE and kin, time stamps, random numbers, CPUID, RDMSR and WRMSR.
 *
 * Source: Intel SDM 2.  There are no performance counters: RDPMC is #GP. */
#include <immintrin.h>

#include "cpu/soft/sys_insn.h"

void insn_swapgs(struct soft_vp *vp, const struct insn *in)
{
    uint64_t base = vp->seg[SEG_GS].base;

    if (!in_code64(vp))
        soft_raise(vp, EXC_UD);
    need_cpl0(vp);
    vp->seg[SEG_GS].base = vp->msrs.kernel_gs_base;
    vp->seg_base[SEG_GS] = vp->msrs.kernel_gs_base;
    vp->msrs.kernel_gs_base = base;
}

/* F3 0F AE /0../3: RDFSBASE RDGSBASE WRFSBASE WRGSBASE */
void insn_fsgsbase(struct soft_vp *vp, const struct insn *in)
{
    enum vp_seg n = in->reg & 1 ? SEG_GS : SEG_FS;
    unsigned size = in->op_size == 8 ? 8 : 4;
    uint64_t v;

    if (!in_code64(vp) || !(vp->cr4 & CR4_FSGSBASE))
        soft_raise(vp, EXC_UD);
    if (!(in->reg & 2)) {
        insn_set_reg(vp, in, in->rm, size, vp->seg[n].base);
        return;
    }
    v = insn_reg(vp, in, in->rm, size);
    if (!canonical(v))
        raise_gp(vp);
    vp->seg[n].base = v;
    vp->seg_base[n] = v;
}

static void set_edx_eax(struct soft_vp *vp, uint64_t v)
{
    vp->gpr[RAX] = (uint32_t)v;
    vp->gpr[RDX] = v >> 32;
}

void insn_rdtsc(struct soft_vp *vp, const struct insn *in)
{
    if ((vp->cr4 & CR4_TSD) && vp->cpl)
        raise_gp(vp);
    set_edx_eax(vp, soft_tsc(vp));
}

void insn_rdtscp(struct soft_vp *vp, const struct insn *in)
{
    if (!(vp->feature.edx81 & 1 << 27))
        soft_raise(vp, EXC_UD);
    insn_rdtsc(vp, in);
    vp->gpr[RCX] = (uint32_t)vp->msrs.tsc_aux;
}

void insn_rdpid(struct soft_vp *vp, const struct insn *in)
{
    if (!(vp->feature.ecx7 & 1 << 22))
        soft_raise(vp, EXC_UD);
    insn_set_reg(vp, in, in->rm, in_code64(vp) ? 8 : 4, vp->msrs.tsc_aux & 0xffffffff);
}

void insn_rdpmc(struct soft_vp *vp, const struct insn *in)
{
    raise_gp(vp);
}

/* ---- random numbers -------------------------------------------------------------------------- */

__attribute__((target("rdrnd"))) static bool host_rdrand(uint64_t *ret)
{
    unsigned long long v;
    bool ok = _rdrand64_step(&v);

    *ret = v;
    return ok;
}

__attribute__((target("rdseed"))) static bool host_rdseed(uint64_t *ret)
{
    unsigned long long v;
    bool ok = _rdseed64_step(&v);

    *ret = v;
    return ok;
}

/* 0F C7 /6 and /7 with a register: the host's own, CF says whether there was one. */
void insn_rdrand(struct soft_vp *vp, const struct insn *in)
{
    bool seed = (in->reg & 7) == 7;
    uint64_t v;

    if (seed ? !(vp->feature.ebx7 & 1 << 18) : !(vp->feature.ecx1 & 1 << 30))
        soft_raise(vp, EXC_UD);
    vp->rflags &= ~(uint64_t)F_ARITH;
    if (seed ? host_rdseed(&v) : host_rdrand(&v))
        vp->rflags |= F_CF;
    else
        v = 0;
    insn_set_reg(vp, in, in->rm, in->op_size, v);
}

/* ---- CPUID and MSRs -------------------------------------------------------------------------- */

void insn_cpuid(struct soft_vp *vp, const struct insn *in)
{
    uint32_t out[4];

    cpuid_run(vp, (uint32_t)vp->gpr[RAX], (uint32_t)vp->gpr[RCX], out);
    vp->gpr[RAX] = out[0];
    vp->gpr[RBX] = out[1];
    vp->gpr[RCX] = out[2];
    vp->gpr[RDX] = out[3];
}

void insn_rdmsr(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v;

    need_cpl0(vp);
    vp->count.msr++;
    if (!msr_read(vp, (uint32_t)vp->gpr[RCX], &v))
        raise_gp(vp);
    set_edx_eax(vp, v);
}

void insn_wrmsr(struct soft_vp *vp, const struct insn *in)
{
    need_cpl0(vp);
    vp->count.msr++;
    if (!msr_write(vp, (uint32_t)vp->gpr[RCX], vp->gpr[RDX] << 32 | (uint32_t)vp->gpr[RAX]))
        raise_gp(vp);
}
