/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lapic.c - the local APIC: registers by page (xAPIC) and by MSR (x2APIC), interrupts, IPIs.
 *
 * Spec:       Intel SDM volume 3, chapter "Advanced Programmable Interrupt Controller".
 * Models:     an APIC of version 0x14 with six LVT entries; fixed, lowest priority (the lowest TPR of
 *             those named, then the lowest number), NMI, INIT, start-up and ExtINT messages; ESR.
 * Not:        SMI, remote read, thermal and performance interrupts (their LVTs only hold bits), focus
 *             processors, suppression of EOI broadcasts.  The APIC id is the VP's index and read-only.
 * Threads:    senders set IRR, TMR and error bits, and read apic_base, SVR, TPR, LDR and DFR of the
 *             receiver; all these are atomics.  Everything else is the VP's own.
 * Called:     mem.c, msr.c, event.c (sys), soft.c, devices by partition_msi().
 * Tests:      lapic_test.c. */
#include "cpu/soft/lapic.h"

#include <errno.h>

#include "base/trace.h"
#include "cpu/soft/apic_regs.h"
#include "cpu/soft/mem.h"
#include "cpu/soft/soft.h"

#define BASE_BSP  (1u << 8)
#define BASE_X2   (1u << 10)
#define BASE_ON   (1u << 11)

enum delivery { DM_FIXED, DM_LOWEST, DM_SMI, DM_REMOTE_READ, DM_NMI, DM_INIT, DM_SIPI, DM_EXTINT };

enum esr_bit { ESR_SEND_VECTOR = 1 << 5, ESR_RECEIVE_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7 };

/* One message, whatever form it came in. */
struct message {
    uint32_t dest;
    uint8_t vector, mode; /* enum delivery */
    bool logical, level;  /* level: trigger mode */
    bool broadcast;
};

static uint32_t reg_get(const struct lapic *a, unsigned off)
{
    return __atomic_load_n(&a->reg[off / 16], __ATOMIC_RELAXED);
}

static void reg_set(struct lapic *a, unsigned off, uint32_t v)
{
    __atomic_store_n(&a->reg[off / 16], v, __ATOMIC_RELAXED);
}

static uint32_t base_bits(const struct soft_vp *vp)
{
    return (uint32_t)__atomic_load_n(&vp->msrs.apic_base, __ATOMIC_RELAXED);
}

static bool is_on(const struct soft_vp *vp)
{
    return base_bits(vp) & BASE_ON;
}

static bool is_x2(const struct soft_vp *vp)
{
    return (base_bits(vp) & (BASE_ON | BASE_X2)) == (BASE_ON | BASE_X2);
}

static bool software_enabled(const struct lapic *a)
{
    return reg_get(a, APIC_SVR) & SVR_ON;
}

static uint32_t x2_ldr(const struct soft_vp *vp)
{
    return vp->vp.index >> 4 << 16 | 1u << (vp->vp.index & 15);
}

/* ---- 256-bit registers ----------------------------------------------------------------------- */

static uint32_t *vector_word(struct lapic *a, unsigned first, uint8_t vector)
{
    return &a->reg[first / 16 + vector / 32];
}

static void vector_set(struct lapic *a, unsigned first, uint8_t vector)
{
    __atomic_fetch_or(vector_word(a, first, vector), 1u << vector % 32, __ATOMIC_SEQ_CST);
}

static void vector_clear(struct lapic *a, unsigned first, uint8_t vector)
{
    __atomic_fetch_and(vector_word(a, first, vector), ~(1u << vector % 32), __ATOMIC_SEQ_CST);
}

static bool vector_get(struct lapic *a, unsigned first, uint8_t vector)
{
    return __atomic_load_n(vector_word(a, first, vector), __ATOMIC_RELAXED) >> vector % 32 & 1;
}

static int highest(const struct lapic *a, unsigned first)
{
    for (int i = 7; i >= 0; i--) {
        uint32_t w = __atomic_load_n(&a->reg[first / 16 + (unsigned)i], __ATOMIC_ACQUIRE);

        if (w)
            return i * 32 + 31 - __builtin_clz(w);
    }
    return -1;
}

static uint8_t ppr(const struct lapic *a)
{
    int isr = highest(a, APIC_ISR);
    uint8_t tpr = (uint8_t)reg_get(a, APIC_TPR);

    return isr >= 0 && (isr & 0xf0) > (tpr & 0xf0) ? isr & 0xf0 : tpr;
}

int lapic_pending(struct soft_vp *vp)
{
    int irr;

    if (!is_on(vp))
        return -1;
    irr = highest(vp->lapic, APIC_IRR);
    return irr >= 0 && (irr & 0xf0) > (ppr(vp->lapic) & 0xf0) ? irr : -1;
}

int lapic_take(struct soft_vp *vp)
{
    int vector = lapic_pending(vp);

    if (vector < 0)
        return -1;
    vector_clear(vp->lapic, APIC_IRR, (uint8_t)vector);
    if (!(vp->lapic->auto_eoi[vector / 64] >> vector % 64 & 1))
        vector_set(vp->lapic, APIC_ISR, (uint8_t)vector);
    return vector;
}

void lapic_auto_eoi(struct soft_vp *vp, const uint64_t vectors[4])
{
    memcpy(vp->lapic->auto_eoi, vectors, sizeof vp->lapic->auto_eoi);
}

/* Something that held interrupts back has gone. */
static void look_again(struct soft_vp *vp)
{
    if (lapic_pending(vp) >= 0)
        soft_notify(vp, ATT_IRQ);
}

static void eoi(struct soft_vp *vp)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    int vector = highest(vp->lapic, APIC_ISR);

    if (vector < 0)
        return;
    vector_clear(vp->lapic, APIC_ISR, (uint8_t)vector);
    if (vector_get(vp->lapic, APIC_TMR, (uint8_t)vector) && cfg->exits->eoi) {
        soft_leave(vp);
        cfg->exits->eoi(cfg->owner, &vp->vp, (uint8_t)vector);
        soft_enter(vp);
    }
    look_again(vp);
}

/* ---- arrival --------------------------------------------------------------------------------- */

static void error(struct soft_vp *vp, uint32_t bit)
{
    struct lapic *a = vp->lapic;
    uint32_t lvt = reg_get(a, APIC_LVT_ERROR), vector = lvt & 0xff;

    /* Only a new error interrupts; so an illegal error vector cannot recur for ever. */
    if (__atomic_fetch_or(&a->errors, bit, __ATOMIC_RELAXED) & bit)
        return;
    if (!(lvt & LVT_MASKED))
        lapic_accept(vp, (uint8_t)vector, false);
}

void lapic_accept(struct soft_vp *vp, uint8_t vector, bool level)
{
    struct lapic *a = vp->lapic;

    if (!is_on(vp) || !software_enabled(a))
        return;
    if (vector < 16) {
        error(vp, ESR_RECEIVE_VECTOR);
        return;
    }
    if (level)
        vector_set(a, APIC_TMR, vector);
    else if (vector_get(a, APIC_TMR, vector))
        vector_clear(a, APIC_TMR, vector);
    vector_set(a, APIC_IRR, vector);
    soft_notify(vp, ATT_IRQ);
}

static void deliver(struct soft_vp *vp, const struct message *m)
{
    switch ((enum delivery)m->mode) {
    case DM_FIXED:
    case DM_LOWEST:
        lapic_accept(vp, m->vector, m->level);
        break;
    case DM_NMI:
        soft_notify(vp, ATT_NMI);
        break;
    case DM_INIT:
        soft_notify(vp, ATT_INIT);
        break;
    case DM_SIPI:
        /* Relaxed: soft_notify() publishes it. */
        __atomic_store_n(&vp->sipi_vector, m->vector, __ATOMIC_RELAXED);
        soft_notify(vp, ATT_SIPI);
        break;
    case DM_EXTINT:
        __atomic_store_n(&vp->lapic->extint, 1, __ATOMIC_SEQ_CST);
        soft_notify(vp, ATT_IRQ);
        break;
    case DM_SMI:
    case DM_REMOTE_READ:
        break;
    }
}

static bool named(const struct soft_vp *vp, const struct message *m)
{
    const struct lapic *a = vp->lapic;
    uint32_t ldr, logical_id;

    if (!is_on(vp))
        return false;
    if (m->broadcast)
        return true;
    if (!m->logical)
        return m->dest == vp->vp.index;
    if (is_x2(vp)) {
        ldr = x2_ldr(vp);
        return m->dest >> 16 == ldr >> 16 && m->dest & ldr & 0xffff;
    }
    logical_id = reg_get(a, APIC_LDR) >> 24;
    if (reg_get(a, APIC_DFR) >> 28 == 0xf) /* flat */
        return logical_id & m->dest & 0xff;
    return logical_id >> 4 == (m->dest >> 4 & 0xf) && logical_id & m->dest & 0xf;
}

/* To all VPs named but 'except'. */
static void route(struct soft *s, const struct message *m, const struct soft_vp *except)
{
    struct soft_vp *best = NULL;

    TRACE("cpu", "ipi", "dest %#x%s mode %u vector %#x", m->dest, m->logical ? " logical" : "",
          m->mode, m->vector);
    for (unsigned i = 0; i < s->part.cfg.n_vps; i++) {
        struct soft_vp *vp = soft_vp_at(s, i);

        if (vp == except || !named(vp, m))
            continue;
        if (m->mode != DM_LOWEST) {
            deliver(vp, m);
        } else if (software_enabled(vp->lapic) &&
                   (!best || reg_get(vp->lapic, APIC_TPR) < reg_get(best->lapic, APIC_TPR))) {
            best = vp;
        }
    }
    if (best)
        deliver(best, m);
}

void lapic_message(struct soft *s, uint64_t addr, uint32_t data)
{
    struct message m = {
        .dest = addr >> 12 & 0xff,
        .logical = addr >> 2 & 1,
        .vector = (uint8_t)data,
        .mode = data >> 8 & 7,
        .level = data >> 15 & 1,
    };

    m.broadcast = m.dest == 0xff;
    if (addr & 1 << 3 && m.logical && m.mode == DM_FIXED) /* redirection hint */
        m.mode = DM_LOWEST;
    route(s, &m, NULL);
}

static void send_ipi(struct soft_vp *vp, uint32_t low, uint32_t dest)
{
    struct message m = {
        .dest = dest,
        .vector = (uint8_t)low,
        .mode = low >> 8 & 7,
        .logical = low >> 11 & 1,
    };
    unsigned shorthand = low >> 18 & 3;
    bool assert = low >> 14 & 1, level = low >> 15 & 1;

    if (m.mode == DM_INIT && level && !assert)
        return; /* INIT level de-assert: nothing since the Pentium 4 */
    if ((m.mode == DM_FIXED || m.mode == DM_LOWEST) && m.vector < 16) {
        error(vp, ESR_SEND_VECTOR);
        return;
    }
    if (shorthand == 1) {
        if (m.mode == DM_FIXED)
            lapic_accept(vp, m.vector, false);
        return;
    }
    if (shorthand) {
        m.broadcast = true;
        m.logical = false;
    } else {
        m.broadcast = dest == (is_x2(vp) ? UINT32_MAX : 0xff);
    }
    route(vp->soft, &m, shorthand == 3 ? vp : NULL);
}

bool lapic_extint_enabled(const struct soft_vp *vp)
{
    uint32_t lvt = reg_get(vp->lapic, APIC_LVT_LINT0);

    if (!__atomic_load_n(&vp->soft->extint, __ATOMIC_RELAXED))
        __atomic_store_n(&vp->lapic->extint, 0, __ATOMIC_RELAXED);
    if (__atomic_load_n(&vp->lapic->extint, __ATOMIC_SEQ_CST))
        return true;
    if (vp->vp.index != 0) /* the wire goes to VP 0 */
        return false;
    return !is_on(vp) || (!(lvt & LVT_MASKED) && (lvt >> 8 & 7) == DM_EXTINT);
}

uint64_t lapic_cr8(const struct soft_vp *vp)
{
    return reg_get(vp->lapic, APIC_TPR) >> 4 & 0xf;
}

static void set_tpr(struct soft_vp *vp, uint32_t v)
{
    reg_set(vp->lapic, APIC_TPR, v & 0xff);
    look_again(vp);
}

void lapic_set_cr8(struct soft_vp *vp, uint64_t v)
{
    set_tpr(vp, (uint32_t)v << 4);
}

/* ---- registers ------------------------------------------------------------------------------- */

bool lapic_covers(const struct soft_vp *vp, gpa_t at)
{
    return is_on(vp) && !is_x2(vp) && at.v >> PAGE_SHIFT == vp->msrs.apic_base >> PAGE_SHIFT;
}

/* Is there a register at this offset?  (Writable ones are told apart by write_reg().) */
static bool exists(unsigned off)
{
    switch (off) {
    case APIC_ID: case APIC_VERSION: case APIC_TPR: case APIC_APR: case APIC_PPR: case APIC_EOI:
    case APIC_LDR: case APIC_DFR: case APIC_SVR: case APIC_ESR: case APIC_ICR: case APIC_ICR2:
    case APIC_LVT_TIMER: case APIC_LVT_THERMAL: case APIC_LVT_PERF: case APIC_LVT_LINT0:
    case APIC_LVT_LINT1: case APIC_LVT_ERROR: case APIC_TIMER_INIT: case APIC_TIMER_NOW:
    case APIC_TIMER_DIV:
        return true;
    default:
        return off >= APIC_ISR && off < APIC_ESR && off % 16 == 0;
    }
}

static uint32_t read_reg(struct soft_vp *vp, unsigned off)
{
    switch (off) {
    case APIC_ID:        return is_x2(vp) ? vp->vp.index : vp->vp.index << 24;
    case APIC_VERSION:   return 0x50014; /* six LVT entries */
    case APIC_PPR:       return ppr(vp->lapic);
    case APIC_LDR:       return is_x2(vp) ? x2_ldr(vp) : reg_get(vp->lapic, off);
    case APIC_TIMER_NOW: return lapic_timer_now(vp);
    case APIC_APR:
    case APIC_EOI:       return 0;
    default:             return reg_get(vp->lapic, off);
    }
}

static void write_lvt(struct soft_vp *vp, unsigned off, uint32_t v)
{
    static const uint32_t kept[] = {
        [0] = 0x710ff, /* timer: vector, status, mask, mode */
        [1] = 0x117ff, [2] = 0x117ff, /* thermal, performance */
        [3] = 0x1f7ff, [4] = 0x1f7ff, /* LINT0, LINT1 */
        [5] = 0x110ff, /* error */
    };

    v &= kept[(off - APIC_LVT_TIMER) / 16] & ~(uint32_t)LVT_STATUS;
    if (!software_enabled(vp->lapic))
        v |= LVT_MASKED;
    if (off == APIC_LVT_TIMER)
        lapic_timer_mode(vp, v);
    else
        reg_set(vp->lapic, off, v);
    if (off == APIC_LVT_LINT0)
        soft_notify(vp, ATT_IRQ); /* the PIC may wait */
}

static void write_svr(struct soft_vp *vp, uint32_t v)
{
    reg_set(vp->lapic, APIC_SVR, v & 0x3ff);
    if (v & SVR_ON)
        return;
    for (unsigned off = APIC_LVT_TIMER; off <= APIC_LVT_ERROR; off += 16)
        reg_set(vp->lapic, off, reg_get(vp->lapic, off) | LVT_MASKED);
    soft_timers_changed(vp);
}

/* false: read-only, or nothing there. */
static bool write_reg(struct soft_vp *vp, unsigned off, uint32_t v)
{
    struct lapic *a = vp->lapic;

    switch (off) {
    case APIC_TPR: set_tpr(vp, v); break;
    case APIC_EOI: eoi(vp); break;
    case APIC_SVR: write_svr(vp, v); break;
    case APIC_ESR:
        reg_set(a, APIC_ESR, __atomic_exchange_n(&a->errors, 0, __ATOMIC_RELAXED));
        break;
    case APIC_ICR:
        reg_set(a, APIC_ICR, v & 0xccfff & ~(uint32_t)LVT_STATUS);
        send_ipi(vp, v, reg_get(a, APIC_ICR2) >> 24);
        break;
    case APIC_LVT_TIMER: case APIC_LVT_THERMAL: case APIC_LVT_PERF:
    case APIC_LVT_LINT0: case APIC_LVT_LINT1: case APIC_LVT_ERROR:
        write_lvt(vp, off, v);
        break;
    case APIC_TIMER_INIT: lapic_timer_start(vp, v); break;
    case APIC_TIMER_DIV: lapic_timer_divide(vp, v & 0xb); break;
    default: return false;
    }
    return true;
}

uint32_t lapic_read(struct soft_vp *vp, unsigned off)
{
    if (exists(off))
        return read_reg(vp, off);
    error(vp, ESR_REGISTER);
    return 0;
}

void lapic_write(struct soft_vp *vp, unsigned off, uint32_t value)
{
    struct lapic *a = vp->lapic;

    switch (off) { /* those that x2APIC has not, or otherwise */
    case APIC_LDR: reg_set(a, off, value & 0xff000000); break;
    case APIC_DFR: reg_set(a, off, value | 0x0fffffff); break;
    case APIC_ICR2: reg_set(a, off, value & 0xff000000); break;
    case APIC_ID: break;
    default:
        if (!write_reg(vp, off, value) && !exists(off))
            error(vp, ESR_REGISTER);
    }
}

/* ---- MSRs ------------------------------------------------------------------------------------ */

#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2           0x800
#define X2_ICR           0x30 /* register numbers: offset / 16 */
#define X2_SELF_IPI      0x3f

bool lapic_msr_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    unsigned off;

    if (msr == MSR_TSC_DEADLINE) {
        *ret = lapic_deadline(vp);
        return true;
    }
    if (!is_x2(vp) || msr < MSR_X2 || msr > MSR_X2 + 0x3f)
        return false;
    off = (msr - MSR_X2) * 16;
    if (off == APIC_ICR) {
        *ret = (uint64_t)reg_get(vp->lapic, APIC_ICR2) << 32 | reg_get(vp->lapic, APIC_ICR);
        return true;
    }
    if (!exists(off) || off == APIC_DFR || off == APIC_ICR2 || off == APIC_EOI || off == APIC_APR)
        return false;
    *ret = read_reg(vp, off);
    return true;
}

static bool x2_value_ok(unsigned off, uint64_t v)
{
    switch (off) {
    case APIC_TPR: return v <= 0xff;
    case APIC_EOI:
    case APIC_ESR: return v == 0;
    case APIC_SVR: return v <= 0x3ff;
    case APIC_LVT_TIMER: return !(v & ~UINT64_C(0x710ff));
    case APIC_LVT_THERMAL:
    case APIC_LVT_PERF: return !(v & ~UINT64_C(0x117ff));
    case APIC_LVT_LINT0:
    case APIC_LVT_LINT1: return !(v & ~UINT64_C(0x1f7ff));
    case APIC_LVT_ERROR: return !(v & ~UINT64_C(0x110ff));
    case APIC_TIMER_INIT: return v <= UINT32_MAX;
    case APIC_TIMER_DIV: return !(v & ~UINT64_C(0xb));
    default: return false;
    }
}

bool lapic_msr_write(struct soft_vp *vp, uint32_t msr, uint64_t value)
{
    if (msr == MSR_TSC_DEADLINE) {
        lapic_set_deadline(vp, value);
        return true;
    }
    if (!is_x2(vp) || msr < MSR_X2 || msr > MSR_X2 + 0x3f)
        return false;
    switch (msr - MSR_X2) {
    case X2_ICR:
        if (value & 0xfff32000)
            return false;
        reg_set(vp->lapic, APIC_ICR2, (uint32_t)(value >> 32));
        reg_set(vp->lapic, APIC_ICR, (uint32_t)value & ~(uint32_t)LVT_STATUS);
        send_ipi(vp, (uint32_t)value, (uint32_t)(value >> 32));
        return true;
    case X2_SELF_IPI:
        if (value > 0xff)
            return false;
        send_ipi(vp, 1u << 18 | (uint32_t)value, 0);
        return true;
    default:
        return x2_value_ok((msr - MSR_X2) * 16, value) &&
               write_reg(vp, (msr - MSR_X2) * 16, (uint32_t)value);
    }
}

/* Software reset of the registers: by power-on, INIT and switching off. */
static void clear_regs(struct soft_vp *vp)
{
    struct lapic *a = vp->lapic;

    for (unsigned i = 0; i < ARRAY_LEN(a->reg); i++)
        __atomic_store_n(&a->reg[i], 0, __ATOMIC_RELAXED);
    reg_set(a, APIC_DFR, UINT32_MAX);
    reg_set(a, APIC_SVR, 0xff);
    for (unsigned off = APIC_LVT_TIMER; off <= APIC_LVT_ERROR; off += 16)
        reg_set(a, off, LVT_MASKED);
    __atomic_store_n(&a->errors, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&a->extint, 0, __ATOMIC_RELAXED);
    lapic_timer_clear(vp);
}

bool lapic_set_base(struct soft_vp *vp, uint64_t v)
{
    uint64_t old = vp->msrs.apic_base, mode = v & (BASE_ON | BASE_X2);
    uint64_t old_mode = old & (BASE_ON | BASE_X2);

    if (v >> SOFT_PHYS_BITS || v & 0x2ff || mode == BASE_X2)
        return false;
    if (old_mode == (BASE_ON | BASE_X2) && mode == BASE_ON)
        return false; /* only by way of off */
    if (!old_mode && mode == (BASE_ON | BASE_X2))
        return false;
    v = (v & ~(uint64_t)BASE_BSP) | (old & BASE_BSP);
    __atomic_store_n(&vp->msrs.apic_base, v, __ATOMIC_RELAXED);
    if (old_mode && !mode)
        clear_regs(vp);
    if (old != v)
        mmu_flush_all(vp, true); /* RAM may have been under the page, or is now */
    return true;
}

/* ---- life and state -------------------------------------------------------------------------- */

int lapic_init(struct soft_vp *vp)
{
    vp->lapic = calloc(1, sizeof *vp->lapic);
    return vp->lapic ? 0 : -ENOMEM;
}

void lapic_done(struct soft_vp *vp)
{
    free(vp->lapic);
    vp->lapic = NULL;
}

void lapic_reset(struct soft_vp *vp, bool init)
{
    clear_regs(vp);
    /* No firmware sets up the virtual wire for the PIC: power-on does, as under KVM. */
    if (!init && vp->vp.index == 0)
        reg_set(vp->lapic, APIC_LVT_LINT0, DM_EXTINT << 8);
}

void lapic_get_page(const struct soft_vp *vp, uint8_t page[1024])
{
    struct soft_vp *self = (struct soft_vp *)vp;

    memset(page, 0, 1024);
    for (unsigned off = 0; off < 1024; off += 16)
        if (exists(off))
            put_le32(page + off, read_reg(self, off));
    put_le32(page + APIC_ESR, reg_get(vp->lapic, APIC_ESR));
}

bool lapic_set_page(struct soft_vp *vp, const uint8_t page[1024])
{
    struct lapic *a = vp->lapic;

    clear_regs(vp);
    for (unsigned off = 0; off < 1024; off += 16)
        if (exists(off) && off != APIC_ID && off != APIC_VERSION && off != APIC_PPR &&
            off != APIC_EOI && off != APIC_APR)
            reg_set(a, off, get_le32(page + off));
    reg_set(a, APIC_TPR, reg_get(a, APIC_TPR) & 0xff);
    reg_set(a, APIC_SVR, reg_get(a, APIC_SVR) & 0x3ff);
    /* Vectors below 16 do not exist. */
    for (unsigned first = APIC_ISR; first < APIC_ESR; first += 0x80)
        reg_set(a, first, reg_get(a, first) & 0xffff0000);
    for (unsigned off = APIC_LVT_TIMER; off <= APIC_LVT_ERROR; off += 16)
        reg_set(a, off, reg_get(a, off) & 0x7f7ff);
    reg_set(a, APIC_TIMER_DIV, reg_get(a, APIC_TIMER_DIV) & 0xb);
    lapic_timer_restore(vp);
    soft_notify(vp, ATT_IRQ);
    return true;
}
