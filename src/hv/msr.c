/* SPDX-License-Identifier: GPL-2.0-or-later */
/* msr.c - the synthetic MSRs, one row each: who reads it, who writes it.
 *
 * A missing row, or half of one, is #GP for the guest.
 *
 * Spec:   TLFS, appendix of MSRs; crash MSRs: TLFS 10.
 * Called: vm/ from the MSR exits.
 * Not:    VP runtime, APIC MSRs, guest idle, debugger and statistics, re-enlightenment. */
#include "hv/hv_int.h"

#include <assert.h>

#include "base/trace.h"

struct msr {
    const char *name;
    bool (*read)(struct hv_vp *v, uint32_t msr, uint64_t *ret);
    bool (*write)(struct hv_vp *v, uint32_t msr, uint64_t value);
};

/* ---- partition-wide ------------------------------------------------------------------------ */

static uint64_t *partition_msr(struct hv *hv, uint32_t msr)
{
    if (msr >= HV_MSR_CRASH_P0 && msr <= HV_MSR_CRASH_P4)
        return &hv->crash[msr - HV_MSR_CRASH_P0];
    switch (msr) {
    case HV_MSR_GUEST_OS_ID: return &hv->guest_os_id;
    case HV_MSR_HYPERCALL: return &hv->hypercall;
    case HV_MSR_REF_TSC: return &hv->ref_tsc;
    case HV_MSR_TSC_INVARIANT: return &hv->tsc_invariant;
    default: return NULL;
    }
}

static bool read_partition(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    const uint64_t *p = partition_msr(v->hv, msr);

    assert(p);
    *ret = __atomic_load_n(p, __ATOMIC_RELAXED);
    return true;
}

static bool write_guest_os_id(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    struct hv *hv = v->hv;

    pthread_mutex_lock(&hv->lock);
    __atomic_store_n(&hv->guest_os_id, value, __ATOMIC_RELAXED);
    if (!value) /* a guest that goes (crash, kexec): no more hypercalls */
        __atomic_store_n(&hv->hypercall, hv->hypercall & ~HV_PAGE_ENABLE, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&hv->lock);
    return true;
}

static bool write_hypercall(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    struct hv *hv = v->hv;
    bool ok = true;

    pthread_mutex_lock(&hv->lock);
    if (!(hv->hypercall & HV_PAGE_LOCKED)) {
        if (!hv->guest_os_id)
            value &= ~HV_PAGE_ENABLE;
        if (value & HV_PAGE_ENABLE) {
            uint8_t page[PAGE_SIZE];
            hypercall_fill_page(page);
            ok = gmem_write(hv->cfg.gmem, GPA(HV_PAGE_GPA(value)), page, sizeof page) == 0;
        }
        if (ok)
            __atomic_store_n(&hv->hypercall, value, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&hv->lock);
    return ok;
}

static bool write_ref_tsc(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    struct hv *hv = v->hv;

    if (!hv->cfg.caps.ref_tsc)
        return false;
    pthread_mutex_lock(&hv->lock);
    __atomic_store_n(&hv->ref_tsc, value, __ATOMIC_RELAXED);
    reftime_write_page_locked(hv);
    pthread_mutex_unlock(&hv->lock);
    return true;
}

static bool read_ref_tsc(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    return v->hv->cfg.caps.ref_tsc && read_partition(v, msr, ret);
}

static bool read_invariant(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    return v->hv->cfg.caps.tsc_invariant && read_partition(v, msr, ret);
}

static bool write_invariant(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    if (!v->hv->cfg.caps.tsc_invariant || value & ~UINT64_C(1))
        return false;
    if (value) /* it cannot be taken back */
        __atomic_store_n(&v->hv->tsc_invariant, 1, __ATOMIC_RELAXED);
    return true;
}

static bool read_time(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    const struct partition *part = v->hv->cfg.part;

    switch (msr) {
    case HV_MSR_REF_COUNT: *ret = hv_ref_time(v->hv); break;
    case HV_MSR_TSC_FREQUENCY: *ret = partition_tsc_hz(part); break;
    default: *ret = partition_apic_hz(part); break;
    }
    return true;
}

static bool read_reset(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    *ret = 0;
    return v->hv->cfg.ops && v->hv->cfg.ops->reset;
}

static bool write_reset(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    struct hv *hv = v->hv;

    if (!hv->cfg.ops || !hv->cfg.ops->reset)
        return false;
    if (value & 1)
        hv->cfg.ops->reset(hv->cfg.owner);
    return true;
}

/* ---- crash --------------------------------------------------------------------------------- */

static bool write_crash_param(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    __atomic_store_n(partition_msr(v->hv, msr), value, __ATOMIC_RELAXED);
    return true;
}

static bool read_crash_ctl(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    *ret = HV_CRASH_NOTIFY | HV_CRASH_MESSAGE;
    return true;
}

static bool write_crash_ctl(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    struct hv *hv = v->hv;
    uint64_t p[HV_CRASH_PARAMS];
    char log[PAGE_SIZE];
    size_t n = 0;

    if (!(value & HV_CRASH_NOTIFY) || !hv->cfg.ops || !hv->cfg.ops->crash)
        return true;
    for (unsigned i = 0; i < HV_CRASH_PARAMS; i++)
        p[i] = __atomic_load_n(&hv->crash[i], __ATOMIC_RELAXED);
    /* P3 and P4: where the end of the guest's log is, and how long. */
    if (value & HV_CRASH_MESSAGE && p[4] <= sizeof log &&
        gmem_read(hv->cfg.gmem, GPA(p[3]), log, p[4]) == 0)
        n = p[4];
    hv->cfg.ops->crash(hv->cfg.owner, v->index, p, log, n);
    return true;
}

/* ---- of one VP ----------------------------------------------------------------------------- */

static bool read_vp_index(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    *ret = v->index;
    return true;
}

static bool read_assist(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    *ret = v->assist;
    return true;
}

/* A page of zeros is a legal assist page, and guests give one: nothing else is done with it. */
static bool write_assist(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    v->assist = value;
    return true;
}

static bool read_sversion(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    *ret = HV_SYNIC_VERSION;
    return true;
}

static bool read_stimer(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    return v->hv->cfg.caps.stimers && stimer_msr_read(v, msr, ret);
}

static bool write_stimer(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    return v->hv->cfg.caps.stimers && stimer_msr_write(v, msr, value);
}

/* ---- the table ----------------------------------------------------------------------------- */

#define AT(msr)    [(msr)-HV_MSR_FIRST]
#define ROWS(a, b) [(a)-HV_MSR_FIRST...(b) - HV_MSR_FIRST]

static const struct msr msrs[HV_MSRS] = {
    /* clang-format off */
    AT(HV_MSR_GUEST_OS_ID)    = { "GUEST_OS_ID", read_partition, write_guest_os_id },
    AT(HV_MSR_HYPERCALL)      = { "HYPERCALL", read_partition, write_hypercall },
    AT(HV_MSR_VP_INDEX)       = { "VP_INDEX", read_vp_index, NULL },
    AT(HV_MSR_RESET)          = { "RESET", read_reset, write_reset },
    AT(HV_MSR_REF_COUNT)      = { "REF_COUNT", read_time, NULL },
    AT(HV_MSR_REF_TSC)        = { "REF_TSC", read_ref_tsc, write_ref_tsc },
    AT(HV_MSR_TSC_FREQUENCY)  = { "TSC_FREQUENCY", read_time, NULL },
    AT(HV_MSR_APIC_FREQUENCY) = { "APIC_FREQUENCY", read_time, NULL },
    AT(HV_MSR_VP_ASSIST)      = { "VP_ASSIST", read_assist, write_assist },
    AT(HV_MSR_SCONTROL)       = { "SCONTROL", synic_msr_read, synic_msr_write },
    AT(HV_MSR_SVERSION)       = { "SVERSION", read_sversion, NULL },
    AT(HV_MSR_SIEFP)          = { "SIEFP", synic_msr_read, synic_msr_write },
    AT(HV_MSR_SIMP)           = { "SIMP", synic_msr_read, synic_msr_write },
    AT(HV_MSR_EOM)            = { "EOM", synic_msr_read, synic_msr_write },
    ROWS(HV_MSR_SINT0, HV_MSR_SINT15) = { "SINT", synic_msr_read, synic_msr_write },
    ROWS(HV_MSR_STIMER0_CONFIG, HV_MSR_STIMER3_COUNT) = { "STIMER", read_stimer, write_stimer },
    ROWS(HV_MSR_CRASH_P0, HV_MSR_CRASH_P4) = { "CRASH_P", read_partition, write_crash_param },
    AT(HV_MSR_CRASH_CTL)      = { "CRASH_CTL", read_crash_ctl, write_crash_ctl },
    AT(HV_MSR_TSC_INVARIANT)  = { "TSC_INVARIANT", read_invariant, write_invariant },
    /* clang-format on */
};

static const struct msr *msr_find(uint32_t msr)
{
    return msr - HV_MSR_FIRST < HV_MSRS ? &msrs[msr - HV_MSR_FIRST] : NULL;
}

bool hv_msr_read(struct hv *hv, struct vp *vp, uint32_t msr, uint64_t *ret)
{
    struct hv_vp *v = hv_vp_of(hv, vp);
    const struct msr *m = msr_find(msr);
    uint64_t value;
    bool ok = m && m->read && m->read(v, msr, &value);

    TRACE("hv", "rdmsr", "vp %u %#x %s %#llx%s", v->index, msr, m && m->name ? m->name : "?",
          ok ? (unsigned long long)value : 0ULL, ok ? "" : " #GP");
    if (ok)
        *ret = value;
    return ok;
}

bool hv_msr_write(struct hv *hv, struct vp *vp, uint32_t msr, uint64_t value)
{
    struct hv_vp *v = hv_vp_of(hv, vp);
    const struct msr *m = msr_find(msr);
    bool ok = m && m->write && m->write(v, msr, value);

    TRACE("hv", "wrmsr", "vp %u %#x %s %#llx%s", v->index, msr, m && m->name ? m->name : "?",
          (unsigned long long)value, ok ? "" : " #GP");
    return ok;
}
