/* SPDX-License-Identifier: GPL-2.0-or-later */
/* msr.c - model-specific registers, by a table of ranges.
 *
 * Sources: Intel SDM 4, chapter 2; AMD64 APM 2 appendix A.  Besides the architecture's it holds
 * what Linux touches without asking; those read as their value after power-on and ignore writes.
 * All others are #GP.  0x40000000.. belong to the exits, 0x800.. to the local APIC. */
#include "base/trace.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/mem.h"
#include "cpu/soft/seg.h"
#include "cpu/soft/soft.h"
#include "cpu/soft/sys.h"

enum vendor { ANY, INTEL, AMD };

struct msr_def {
    uint32_t first, last;
    bool (*read)(struct soft_vp *vp, uint32_t msr, uint64_t *ret);
    bool (*write)(struct soft_vp *vp, uint32_t msr, uint64_t value);
    uint16_t at;     /* without functions: offset of a field in struct soft_vp, or 0 */
    uint64_t fixed;  /* ... or this value; writes are ignored */
    uint64_t legal;  /* bits that may be set; 0: all */
    enum vendor vendor;
    bool canonical;  /* the value is an address */
    bool read_only;
};

#define AT(field) .at = offsetof(struct soft_vp, field)

/* ---- those with a mind of their own ---------------------------------------------------------- */

static bool efer_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = vp->efer;
    return true;
}

static bool efer_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    sys_set_efer(vp, v);
    return true;
}

#define EFER_AUTOIBRS (UINT64_C(1) << 21)

void sys_set_efer(struct soft_vp *vp, uint64_t v)
{
    uint64_t legal = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE, diff;

    if (vp->feature.eax821 & 1 << 8)
        legal |= EFER_AUTOIBRS;
    if (!(vp->feature.edx81 & 1 << 20))
        legal &= ~(uint64_t)EFER_NXE;
    if (!(vp->feature.edx81 & 1 << 29))
        legal &= ~(uint64_t)(EFER_LME | EFER_LMA);
    if (v & ~legal)
        raise_gp(vp);
    diff = v ^ vp->efer;
    if ((diff & EFER_LME) && (vp->cr0 & CR0_PG))
        raise_gp(vp);
    vp->efer = (v & ~(uint64_t)EFER_LMA) | (vp->efer & EFER_LMA);
    if (diff & EFER_NXE)
        mmu_flush_all(vp, true);
    soft_mode_changed(vp);
}

static bool tsc_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = soft_tsc(vp);
    return true;
}

static bool tsc_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    vp->tsc_offset = v - __builtin_ia32_rdtsc();
    soft_timers_changed(vp);
    return true;
}

static bool apic_base_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = vp->msrs.apic_base;
    return true;
}

static bool apic_base_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    if ((v & 0x400) && !(vp->feature.ecx1 & 1u << 21)) /* x2APIC */
        return false;
    return lapic_set_base(vp, v);
}

static bool seg_base_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = vp->seg[msr & 1 ? SEG_GS : SEG_FS].base;
    return true;
}

static bool seg_base_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    enum vp_seg n = msr & 1 ? SEG_GS : SEG_FS;

    if (!canonical(v))
        return false;
    vp->seg[n].base = v;
    vp->seg_base[n] = in_code64(vp) ? v : (uint32_t)v;
    return true;
}

/* ---- memory types ---------------------------------------------------------------------------- */

static bool memory_type_ok(unsigned type, bool pat) /* UC WC WT WP WB, and UC- in PAT */
{
    return type == 0 || type == 1 || (type >= 4 && type <= 6) || (pat && type == 7);
}

static bool eight_types(uint64_t v, bool pat)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!memory_type_ok(v >> (i * 8) & 0xff, pat))
            return false;
    }
    return true;
}

static bool pat_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    if (!eight_types(v, true))
        return false;
    vp->msrs.pat = v;
    return true;
}

static bool pat_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = vp->msrs.pat;
    return true;
}

static bool mtrr_var_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = vp->msrs.mtrr_var[msr - 0x200];
    return true;
}

static bool mtrr_var_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    uint64_t legal = ((UINT64_C(1) << SOFT_PHYS_BITS) - 1) & ~UINT64_C(0xfff);

    if (msr & 1 ? v & ~(legal | 0x800) : v & ~(legal | 0xff) || !memory_type_ok(v & 0xff, false))
        return false;
    vp->msrs.mtrr_var[msr - 0x200] = v;
    return true;
}

static unsigned mtrr_fix_index(uint32_t msr)
{
    return msr == 0x250 ? 0 : msr <= 0x259 ? msr - 0x258 + 1 : msr - 0x268 + 3;
}

static bool mtrr_fix_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = vp->msrs.mtrr_fix[mtrr_fix_index(msr)];
    return true;
}

static bool mtrr_fix_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    if (!eight_types(v, false))
        return false;
    vp->msrs.mtrr_fix[mtrr_fix_index(msr)] = v;
    return true;
}

static bool mtrr_def_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = vp->msrs.mtrr_def_type;
    return true;
}

static bool mtrr_def_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    if (v & ~UINT64_C(0xcff) || !memory_type_ok(v & 0xff, false))
        return false;
    vp->msrs.mtrr_def_type = v;
    return true;
}

/* ---- speculation ----------------------------------------------------------------------------- */

/* The guest runs no code of its own on the host's units, so there is nothing to control: IBRS,
 * STIBP and SSBD are kept as written, IBPB does nothing.  They exist when CPUID says so. */
static bool has_spec_ctrl(const struct soft_vp *vp)
{
    return (vp->feature.edx7 & 1u << 26) || (vp->feature.ebx88 & (1u << 14 | 1u << 15 | 1u << 24));
}

static bool spec_ctrl_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    if (!has_spec_ctrl(vp))
        return false;
    *ret = vp->msrs.spec_ctrl;
    return true;
}

static bool spec_ctrl_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    if (!has_spec_ctrl(vp) || v & ~UINT64_C(7))
        return false;
    vp->msrs.spec_ctrl = v;
    return true;
}

static bool pred_cmd_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    return ((vp->feature.edx7 & 1u << 26) || (vp->feature.ebx88 & 1u << 12)) && !(v & ~UINT64_C(1));
}

static bool write_only(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    return false;
}

/* RDCL_NO IBRS_ALL SKIP_L1DFL SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO, SBDR_SSDP_NO FBSDP_NO PSDP_NO,
 * BHI_NO PBRSB_NO GDS_NO RFDS_NO, ITS_NO: no mitigation has anything to mitigate. */
#define ARCH_CAPABILITIES                                                                        \
    (1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | 1u << 13 | 1u << 14 | \
     1u << 15 | 1u << 20 | 1u << 24 | 1u << 26 | 1u << 27 | UINT64_C(1) << 62)

static bool arch_cap_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    if (!(vp->feature.edx7 & 1u << 29))
        return false;
    *ret = ARCH_CAPABILITIES;
    return true;
}

static bool read_only(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    return false;
}

/* ---- handed on ------------------------------------------------------------------------------- */

static bool exit_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    bool ok;

    soft_note_exit(vp, "rdmsr", msr);
    soft_leave(vp);
    ok = cfg->exits->msr_read(cfg->owner, &vp->vp, msr, ret);
    soft_enter(vp);
    return ok;
}

static bool exit_write(struct soft_vp *vp, uint32_t msr, uint64_t v)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    bool ok;

    soft_note_exit(vp, "wrmsr", msr);
    soft_leave(vp);
    ok = cfg->exits->msr_write(cfg->owner, &vp->vp, msr, v);
    soft_enter(vp);
    return ok;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define MTRR_CAP 0x508 /* 8 variable ranges, fixed ranges, write-combining */

static const struct msr_def msrs[] = {
    { 0x00000000, 0x00000001 }, /* P5 machine check */
    { 0x00000010, 0x00000010, tsc_read, tsc_write },
    { 0x00000017, 0x00000017, .read_only = true, .vendor = INTEL }, /* PLATFORM_ID */
    { 0x0000001b, 0x0000001b, apic_base_read, apic_base_write },
    /* FEATURE_CONTROL: locked, nothing on */
    { 0x0000003a, 0x0000003a, .fixed = 1, .read_only = true, .vendor = INTEL },
    { 0x00000048, 0x00000048, spec_ctrl_read, spec_ctrl_write },
    { 0x00000049, 0x00000049, write_only, pred_cmd_write },
    { 0x00000079, 0x00000079, .vendor = INTEL }, /* BIOS_UPDT_TRIG */
    /* microcode: newer than any fix */
    { 0x0000008b, 0x0000008b, .fixed = UINT64_C(0xffffffff) << 32, .vendor = INTEL },
    { 0x0000008b, 0x0000008b, .fixed = 0x0fffffff, .vendor = AMD },
    { 0x000000fe, 0x000000fe, .fixed = MTRR_CAP, .read_only = true },
    { 0x0000010a, 0x0000010a, arch_cap_read, read_only },
    { 0x0000010b, 0x0000010b, write_only, read_only }, /* FLUSH_CMD: not offered */
    { 0x00000119, 0x00000119, .vendor = INTEL }, /* BBL_CR_CTL */
    { 0x00000140, 0x00000140, .vendor = INTEL }, /* MISC_FEATURES_ENABLES */
    { 0x00000174, 0x00000174, AT(msrs.sysenter_cs), .legal = 0xffffffff },
    { 0x00000175, 0x00000175, AT(msrs.sysenter_esp), .canonical = true },
    { 0x00000176, 0x00000176, AT(msrs.sysenter_eip), .canonical = true },
    { 0x00000179, 0x00000179, .read_only = true }, /* MCG_CAP: no banks */
    { 0x0000017a, 0x0000017a }, /* MCG_STATUS */
    { 0x00000198, 0x00000198, .vendor = INTEL }, /* PERF_STATUS */
    { 0x00000199, 0x0000019c, .vendor = INTEL }, /* PERF_CTL, THERM */
    { 0x000001a0, 0x000001a0, AT(msrs.misc_enable) }, /* Intel's; hypervisors have it on AMD, too */
    { 0x000001d9, 0x000001d9, .legal = 0x3 }, /* DEBUGCTL: no branch records */
    { 0x000001db, 0x000001de, .read_only = true },
    { 0x00000200, 0x0000020f, mtrr_var_read, mtrr_var_write },
    { 0x00000250, 0x00000250, mtrr_fix_read, mtrr_fix_write },
    { 0x00000258, 0x00000259, mtrr_fix_read, mtrr_fix_write },
    { 0x00000268, 0x0000026f, mtrr_fix_read, mtrr_fix_write },
    { 0x00000277, 0x00000277, pat_read, pat_write },
    { 0x000002ff, 0x000002ff, mtrr_def_read, mtrr_def_write },
    { 0x00000606, 0x00000606, .read_only = true, .vendor = INTEL }, /* RAPL_POWER_UNIT */
    { 0x000006e0, 0x000006e0, lapic_msr_read, lapic_msr_write },
    { 0x00000800, 0x000008ff, lapic_msr_read, lapic_msr_write },
    { 0x40000000, 0x400001ff, exit_read, exit_write },
    { 0xc0000080, 0xc0000080, efer_read, efer_write },
    { 0xc0000081, 0xc0000081, AT(msrs.star) },
    { 0xc0000082, 0xc0000082, AT(msrs.lstar), .canonical = true },
    { 0xc0000083, 0xc0000083, AT(msrs.cstar), .canonical = true },
    { 0xc0000084, 0xc0000084, AT(msrs.sfmask), .legal = 0xffffffff },
    { 0xc0000100, 0xc0000101, seg_base_read, seg_base_write },
    { 0xc0000102, 0xc0000102, AT(msrs.kernel_gs_base), .canonical = true },
    { 0xc0000103, 0xc0000103, AT(msrs.tsc_aux), .legal = 0xffffffff },
    { 0xc0010004, 0xc0010007, .vendor = AMD }, /* PERF_CTR */
    { 0xc0010000, 0xc0010003, .vendor = AMD }, /* PERF_CTL */
    { 0xc0010010, 0xc0010010, .vendor = AMD }, /* SYSCFG */
    { 0xc0010015, 0xc0010015, .fixed = 1u << 24, .vendor = AMD }, /* HWCR: TSC at P0's frequency */
    { 0xc001001a, 0xc001001a, .vendor = AMD }, /* TOP_MEM */
    { 0xc001001d, 0xc001001d, .vendor = AMD }, /* TOP_MEM2 */
    { 0xc001001f, 0xc001001f, .vendor = AMD }, /* NB_CFG */
    { 0xc0010020, 0xc0010020, .vendor = AMD }, /* PATCH_LOADER */
    { 0xc0010055, 0xc0010055, .vendor = AMD }, /* INT_PENDING_MSG: no C1E */
    { 0xc0010058, 0xc0010058, .vendor = AMD }, /* MMIO_CONF_BASE */
    { 0xc0010062, 0xc0010064, .vendor = AMD }, /* P-states */
    { 0xc0010112, 0xc0010113, .vendor = AMD }, /* SMM TSEG */
    { 0xc0010114, 0xc0010114, .fixed = 1u << 4, .vendor = AMD }, /* VM_CR: SVM off */
    { 0xc0010117, 0xc0010117, .vendor = AMD }, /* VM_HSAVE_PA */
    { 0xc0010140, 0xc0010141, .vendor = AMD }, /* OSVW */
    { 0xc0011020, 0xc0011023, .vendor = AMD }, /* LS_CFG, IC_CFG, DC_CFG, BU_CFG */
    { 0xc0011029, 0xc0011029, .fixed = 1u << 1, .vendor = AMD }, /* DE_CFG: LFENCE serializes */
    { 0xc001102a, 0xc001102a, .vendor = AMD }, /* BU_CFG2 */
    { 0xc00110e3, 0xc00110e3, .vendor = AMD }, /* DE_CFG2 */
};

/* The table is short and MSRs are rare beside what they cost. */
static const struct msr_def *find(const struct soft_vp *vp, uint32_t msr)
{
    enum vendor not = vp->feature.amd ? INTEL : AMD;

    for (size_t i = 0; i < ARRAY_LEN(msrs); i++) {
        const struct msr_def *d = &msrs[i];

        if (msr >= d->first && msr <= d->last && d->vendor != not)
            return d;
    }
    return NULL;
}

bool msr_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    const struct msr_def *d = find(vp, msr);

    if (!d) {
        TRACE("cpu", "msr", "read of unknown %#x", msr);
        return false;
    }
    if (d->read)
        return d->read(vp, msr, ret);
    *ret = d->at ? *(const uint64_t *)(const void *)((const char *)vp + d->at) : d->fixed;
    return true;
}

bool msr_write(struct soft_vp *vp, uint32_t msr, uint64_t value)
{
    const struct msr_def *d = find(vp, msr);

    if (!d) {
        TRACE("cpu", "msr", "write of unknown %#x: %#llx", msr, (unsigned long long)value);
        return false;
    }
    if (d->write)
        return d->write(vp, msr, value);
    if (d->read_only || (d->legal && value & ~d->legal) || (d->canonical && !canonical(value)))
        return false;
    if (d->at)
        *(uint64_t *)(void *)((char *)vp + d->at) = value;
    return true;
}
