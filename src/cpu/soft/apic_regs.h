/* SPDX-License-Identifier: GPL-2.0-or-later */
/* apic_regs.h - between lapic.c (registers, interrupts) and apic_timer.c. */
#pragma once

#include "cpu/soft/cpu.h"

enum apic_reg {
    APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_APR = 0x90, APIC_PPR = 0xa0,
    APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100,
    APIC_TMR = 0x180, APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR2 = 0x310,
    APIC_LVT_TIMER = 0x320, APIC_LVT_THERMAL = 0x330, APIC_LVT_PERF = 0x340,
    APIC_LVT_LINT0 = 0x350, APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INIT = 0x380, APIC_TIMER_NOW = 0x390, APIC_TIMER_DIV = 0x3e0,
};
#define SVR_ON     (1u << 8)
#define LVT_STATUS (1u << 12)
#define LVT_MASKED (1u << 16)

struct lapic {
    uint32_t reg[64];  /* register n of the page; atomics */
    uint32_t errors;   /* collected for ESR; any thread */
    uint32_t extint;   /* an ExtINT message came; any thread */
    uint64_t expiry;   /* guest TSC at which the timer fires, UINT64_MAX: stopped */
    uint64_t period;   /* guest TSC ticks; 0: one-shot or deadline */
    uint64_t deadline; /* IA32_TSC_DEADLINE, 0: none */
    uint64_t auto_eoi[4]; /* vectors that never reach ISR */
};

uint32_t lapic_timer_now(const struct soft_vp *vp);
void lapic_timer_start(struct soft_vp *vp, uint32_t count);
void lapic_timer_divide(struct soft_vp *vp, uint32_t v);
void lapic_timer_mode(struct soft_vp *vp, uint32_t lvt); /* writes the LVT */
void lapic_timer_clear(struct soft_vp *vp);
void lapic_timer_restore(struct soft_vp *vp); /* goes on from the registers' counts */
uint64_t lapic_deadline(const struct soft_vp *vp);
void lapic_set_deadline(struct soft_vp *vp, uint64_t tsc);
