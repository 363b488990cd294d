/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys.h - events, segments, control registers, MSRs, CPUID of the soft engine. */
#pragma once

#include "cpu/soft/cpu.h"

/* Deliver vp->event (event_valid set) through the IDT or IVT as the mode demands; turns faults in
 * delivery into #DF.  false: triple fault.  Called by the run loop between blocks; catches its own
 * unwinding. */
bool event_deliver(struct soft_vp *vp);

/* What is due at an instruction boundary, by priority (NMI, APIC or PIC vector), honouring IF,
 * shadow and nmi_masked: sets vp->event, true.  Clears the attention bits that it used up. */
bool event_pick(struct soft_vp *vp);

/* At instruction boundaries the run loop owes this much.  MODE_STEP blocks hold one instruction,
 * and the mode has the bit while TF or RF is set or DR7 enables anything (dr[7] & 0xff):
 *     if (debug_code_break(vp, rip)) raise #DB as a fault;
 *     shadow = vp->shadow; vp->step = rflags & TF; rflags &= ~RF;     (IRET may set RF for later)
 *     execute;
 *     if (shadow && vp->shadow == shadow) vp->shadow = 0;              (it held for this one)
 *     if (debug_trap(vp)) deliver vp->event; else if (event_pick(vp)) deliver it;
 * Other blocks look at vp->shadow after STI, MOV SS and POP SS only (these end their blocks): when
 * it is not 0 the next block has one instruction.  A second STI or MOV SS in a row does not
 * prolong it. */

/* After an instruction that began under TF (vp->step), or one that hit a data or I/O breakpoint:
 * sets vp->event to #DB, true, when a trap is due.  Before vp->shadow is cleared: MOV SS delays
 * it. */
bool debug_trap(struct soft_vp *vp);

/* Is an execution breakpoint armed at this linear address (and RF clear)?  Notes it in dr[6]. */
bool debug_code_break(struct soft_vp *vp, uint64_t va);

/* Data and I/O breakpoints: note a hit for debug_trap(); callers ask only while dr[7] arms one. */
void debug_data_access(struct soft_vp *vp, uint64_t va, unsigned size, bool write);
void debug_merge(struct soft_vp *vp); /* a #DB on its way takes the hits so far along */
void debug_io_access(struct soft_vp *vp, uint16_t port, unsigned size);
/* Is a breakpoint of this kind armed?  0 code, 1 write, 2 I/O, 3 read and write */
bool debug_armed(const struct soft_vp *vp, unsigned kind);

/* IN, OUT, INS, OUTS: #GP unless IOPL or the TSS bitmap allow 'size' bytes at 'port'; then the
 * access itself.  They leave the engine: the block ends behind them. */
void io_check(struct soft_vp *vp, uint16_t port, unsigned size);
uint32_t io_read(struct soft_vp *vp, uint16_t port, unsigned size);
void io_write(struct soft_vp *vp, uint16_t port, unsigned size, uint32_t value);

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
void cpuid_changed(struct soft_vp *vp);        /* vp->cpuid was written: refills vp->feature */
