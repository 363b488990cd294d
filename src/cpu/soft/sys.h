/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys.h - events, segments, control registers, MSRs, CPUID of the soft engine. */
#pragma once

#include "cpu/soft/cpu.h"

/* Deliver vp->event (event_valid set) through the IDT or IVT as the mode demands; turns faults in
 * delivery into #DF.  false: triple fault.  Called by the run loop between blocks; catches its own
 * unwinding. */
bool event_deliver(struct soft_vp *vp);

/* What is due at an instruction boundary, by priority (NMI, APIC or PIC vector), honouring IF, shadow
 * and nmi_masked: sets vp->event, true.  Clears the attention bits that it used up. */
bool event_pick(struct soft_vp *vp);

/* After an instruction under TF, or one that hit a data breakpoint noted in dr[6]: sets vp->event to
 * #DB, true, when a trap is due. */
bool debug_trap(struct soft_vp *vp);

/* Is an execution breakpoint armed at this linear address (and RF clear)?  Notes it in dr[6]. */
bool debug_code_break(struct soft_vp *vp, uint64_t va);

/* Data and I/O breakpoints: note a hit in dr[6]; callers ask only while dr[7] arms one. */
void debug_data_access(struct soft_vp *vp, uint64_t va, unsigned size, bool write);

void sys_reset(struct soft_vp *vp, bool init); /* power-on, or INIT (keeps FPU, caches, TSC ...) */
void sys_sipi(struct soft_vp *vp, uint8_t vector);

/* Control registers with all their checks and side effects (TLB, mode); they may raise. */
void sys_set_cr(struct soft_vp *vp, unsigned n, uint64_t value);
void sys_set_efer(struct soft_vp *vp, uint64_t value);

/* false: #GP.  msr_* know the x2APIC range and hand 0x40000000.. to the exits. */
bool msr_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret);
bool msr_write(struct soft_vp *vp, uint32_t msr, uint64_t value);

void cpuid_run(struct soft_vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
unsigned cpuid_offer(struct cpuid_entry *out); /* what the soft engine can do on this host */
