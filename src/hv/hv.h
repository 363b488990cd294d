/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv.h - what an enlightened guest sees of Hyper-V: CPUID leaves, synthetic MSRs, hypercalls.
 *
 * One 'struct hv' per machine, made after its partition.  The machine's exit_ops hand the exits on
 * to the functions below; interrupts go out through vp_interrupt().  What hv does not know leaves
 * by struct hv_ops (crash, reset) and struct synic_ports (VMBus).
 *
 * The machine sets CPUID.1:ECX[31] itself, leaves out every other hypervisor leaf, and sets
 * CPUID.80000007:EDX[8] when it says tsc_invariant.
 *
 * Not modelled: VP assist page (the MSR is storage), APIC MSRs, guest idle, VTLs, nesting. */
#pragma once

#include "base/state.h"
#include "cpu/engine.h"
#include "hv/synic.h"

/* What is offered to the guest beyond the minimum. */
struct hv_caps {
    bool flush_ipi;     /* flush and IPI hypercalls are hinted: partition_can_flush_tlb() */
    bool stimers;       /* synthetic timers (the soft engine; KVM's own APIC timer is better) */
    bool ref_tsc;       /* reference TSC page: the guest's TSC is the same on all VPs and steady */
    bool tsc_invariant; /* and the guest may use it as it is (leave out on KVM: hosts from 6.3 on
                           hide the CPUID bit) */
    bool xmm_input;     /* struct hypercall has 'xmm' */
};

struct hv_ops {
    /* The guest has crashed: its five values, and 'n' bytes of its log when it gave any (n 0:
     * none). On the VP's thread; the guest goes on afterwards (it may reboot or halt). */
    void (*crash)(void *owner, unsigned vp, const uint64_t p[HV_CRASH_PARAMS], const char *log,
                  size_t n);

    /* The guest asked for a reset of the machine by MSR.  On the VP's thread.  NULL: not offered.
     */
    void (*reset)(void *owner);
};

struct hv_config {
    struct partition *part; /* all borrowed */
    struct gmem *gmem;
    struct clock *clock;
    unsigned n_vps;
    struct hv_caps caps;
    const struct hv_ops *ops;
    void *owner;
};

int hv_new(const struct hv_config *cfg, struct hv **ret, struct err *err);
void hv_free(struct hv *hv);

/* The leaves 0x40000000 .., the same for every VP. */
#define HV_CPUID_ENTRIES 7
void hv_cpuid(const struct hv *hv, struct cpuid_entry out[HV_CPUID_ENTRIES]);

/* ---- exits, on the VP's thread: as in struct exit_ops -------------------------------------- */

bool hv_msr_read(struct hv *hv, struct vp *vp, uint32_t msr, uint64_t *ret);
bool hv_msr_write(struct hv *hv, struct vp *vp, uint32_t msr, uint64_t value);
bool hv_hypercall(struct hv *hv, struct vp *vp, struct hypercall *h);
void hv_deadline(struct hv *hv, struct vp *vp);

/* ---- life, while no VP runs ---------------------------------------------------------------- */

/* Everything as after hv_new(), but reference time goes on. */
void hv_reset(struct hv *hv);

/* Before hv_load() the machine has restored guest memory, its clock and the guest's TSC
 * (partition_set_tsc()).  Reference time goes on from there; at pause and resume nothing needs to
 * be called but partition_set_tsc().  Load into a fresh hv with the same number of VPs. */
void hv_save(struct hv *hv, struct buf *to);
int hv_load(struct hv *hv, struct bytes *from, struct err *err);

/* Text for the monitor: "hv.field = value" lines.  While VPs run the values may be torn. */
void hv_dump(struct hv *hv, FILE *to);
