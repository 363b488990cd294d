/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lapic.h - the local APIC of the soft engine: xAPIC page and x2APIC MSRs, timer, IPIs.
 *
 * IRR is set by any thread (atomics); everything else belongs to the VP's thread.
 * The timer counts at 1 GHz, as KVM's does: a saved APIC goes on at the same pace on both engines. */
#pragma once

#include "cpu/soft/cpu.h"

#define LAPIC_HZ UINT64_C(1000000000)

int lapic_init(struct soft_vp *vp);
void lapic_done(struct soft_vp *vp);
void lapic_reset(struct soft_vp *vp, bool init);

/* The xAPIC page (msrs.apic_base): mem.c asks before it leaves for the MMIO bus. */
bool lapic_covers(const struct soft_vp *vp, gpa_t at);
uint32_t lapic_read(struct soft_vp *vp, unsigned off);
void lapic_write(struct soft_vp *vp, unsigned off, uint32_t value);

/* x2APIC MSRs 0x800..0x8ff, and IA32_TSC_DEADLINE (0x6e0).  false: #GP.  And IA32_APIC_BASE's rules. */
bool lapic_msr_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret);
bool lapic_msr_write(struct soft_vp *vp, uint32_t msr, uint64_t value);
bool lapic_set_base(struct soft_vp *vp, uint64_t value);

/* Any thread: a fixed interrupt arrives (sets IRR, attention, wakes a sleeper). */
void lapic_accept(struct soft_vp *vp, uint8_t vector, bool level);

/* Any thread: a message in MSI form to whom it names: all delivery modes, logical, broadcast. */
void lapic_message(struct soft *s, uint64_t addr, uint32_t data);

/* Highest vector that may interrupt now (above PPR), or -1; taking it moves it from IRR to ISR. */
int lapic_pending(struct soft_vp *vp);
int lapic_take(struct soft_vp *vp);
void lapic_auto_eoi(struct soft_vp *vp, const uint64_t vectors[4]); /* see vp_auto_eoi() */
bool lapic_extint_enabled(const struct soft_vp *vp); /* LINT0 in ExtINT mode, or APIC disabled */

/* CR8 is TPR[7:4]. */
uint64_t lapic_cr8(const struct soft_vp *vp);
void lapic_set_cr8(struct soft_vp *vp, uint64_t v);

/* Timer: next expiry in guest TSC ticks (UINT64_MAX: none); run what is due. */
uint64_t lapic_next_tsc(const struct soft_vp *vp);
void lapic_run_timer(struct soft_vp *vp);

void lapic_get_page(const struct soft_vp *vp, uint8_t page[1024]);
bool lapic_set_page(struct soft_vp *vp, const uint8_t page[1024]);
