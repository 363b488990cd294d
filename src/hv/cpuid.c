/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpuid.c - the leaves by which a guest knows Hyper-V and what of it there is.
 *
 * Spec:   TLFS 2 (feature discovery).
 * Called: vm/, once, for the CPUID table of every VP. */
#include "hv/hv_int.h"

/* What we say we are; Linux prints it as "Host Build 10.0.20348.0-0-0". */
#define BUILD   20348u
#define VERSION (10u << 16)

static void features(const struct hv *hv, struct cpuid_entry *e)
{
    const struct hv_caps *caps = &hv->cfg.caps;

    e->eax = HV_MSRS_REF_COUNT | HV_MSRS_SYNIC | HV_MSRS_HYPERCALL | HV_MSRS_VP_INDEX |
             HV_MSRS_FREQUENCY;
    e->ebx = HV_PRIV_POST_MESSAGES | HV_PRIV_SIGNAL_EVENTS;
    e->edx = HV_MISC_FREQUENCY | HV_MISC_CRASH;
    if (caps->ref_tsc)
        e->eax |= HV_MSRS_REF_TSC;
    if (caps->tsc_invariant)
        e->eax |= HV_MSRS_TSC_INVARIANT;
    if (caps->stimers) {
        e->eax |= HV_MSRS_STIMER;
        e->edx |= HV_MISC_STIMER_DIRECT;
    }
    if (caps->xmm_input)
        e->edx |= HV_MISC_XMM_INPUT;
    if (hv->cfg.ops && hv->cfg.ops->reset)
        e->eax |= HV_MSRS_RESET;
}

static void hints(const struct hv *hv, struct cpuid_entry *e)
{
    /* Without the AutoEOI hint Linux never ends the SINT's interrupt at its APIC. */
    e->eax = HV_HINT_NO_AUTO_EOI | HV_HINT_RELAXED_TIMING;
    if (hv->cfg.caps.flush_ipi)
        e->eax |= HV_HINT_REMOTE_FLUSH | HV_HINT_CLUSTER_IPI | HV_HINT_EX_MASKS;
    e->ebx = UINT32_MAX; /* never tell us about long spins */
}

void hv_cpuid(const struct hv *hv, struct cpuid_entry out[HV_CPUID_ENTRIES])
{
    for (unsigned i = 0; i < HV_CPUID_ENTRIES; i++)
        out[i] = (struct cpuid_entry){ .leaf = HV_CPUID_VENDOR + i };
    out[0].eax = HV_CPUID_MAX;
    out[0].ebx = 0x7263694d; /* "Micr" */
    out[0].ecx = 0x666f736f; /* "osof" */
    out[0].edx = 0x76482074; /* "t Hv" */
    out[1].eax = 0x31237648; /* "Hv#1" */
    out[2].eax = BUILD;
    out[2].ebx = VERSION;
    features(hv, &out[3]);
    hints(hv, &out[4]);
    out[5].eax = VPS_MAX; /* virtual and logical processors, at most */
    out[5].ebx = VPS_MAX;
}
