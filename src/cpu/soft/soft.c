/* SPDX-License-Identifier: GPL-2.0-or-later */
/* soft.c - the soft engine behind cpu/engine.h: partitions, VPs, their state in and out.
 *
 * State is read and written only while the VP does not run, so plain accesses do; what arrives for a
 * VP meanwhile (interrupts, NMI, INIT, SIPI) waits in its APIC and its attention word, and INIT and
 * SIPI are carried out before its state is read.
 * Called: cpu/engine.c.   Tests: soft_test.c. */
#include "cpu/soft/soft.h"

#include <errno.h>

#include "cpu/soft/fpu.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/lockstep.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/sys.h"
#include "cpu/soft/threads.h"

static struct soft *soft_of(struct partition *p)
{
    return container_of(p, struct soft, part);
}

static const struct soft *soft_of_const(const struct partition *p)
{
    return container_of(p, const struct soft, part);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void vp_free(struct soft_vp *vp)
{
    if (!vp)
        return;
    run_done(vp);
    lockstep_done(vp);
    fpu_done(vp);
    lapic_done(vp);
    mmu_done(vp);
    threads_done(vp);
    free(vp);
}

static void soft_free(struct partition *p)
{
    struct soft *s = soft_of(p);

    s->gmem->code_written = NULL;
    for (unsigned i = 0; i < p->cfg.n_vps; i++)
        if (p->vp[i])
            vp_free(soft_vp_at(s, i));
    code_cache_free(s);
    threads_free(s);
    free(s);
}

static int vp_new(struct soft *s, unsigned index)
{
    struct soft_vp *vp = aligned_alloc(64, ALIGN_UP(sizeof *vp, 64));
    int r;

    if (!vp)
        return -ENOMEM;
    memset(vp, 0, sizeof *vp);
    vp->soft = s;
    vp->vp.part = &s->part;
    vp->vp.index = index;
    s->part.vp[index] = &vp->vp;
    r = threads_init(vp);
    if (r == 0)
        r = mmu_init(vp);
    if (r == 0)
        r = lapic_init(vp);
    if (r == 0)
        r = fpu_init(vp);
    if (r == 0)
        r = lockstep_init(vp);
    if (r == 0)
        r = run_init(vp);
    return r;
}

static void soft_reset(struct partition *p)
{
    struct soft *s = soft_of(p);

    s->extint = 0;
    for (unsigned i = 0; i < p->cfg.n_vps; i++) {
        struct soft_vp *vp = soft_vp_at(s, i);

        /* What was under way is gone; a kick is not the guest's. */
        __atomic_fetch_and(&vp->attention, ATT_KICK, __ATOMIC_SEQ_CST);
        vp->deadline_ns = UINT64_MAX;
        sys_reset(vp, false);
        vp->vp.death[0] = 0;
    }
}

static int soft_new(const struct partition_config *cfg, struct partition **ret, struct err *err)
{
    struct soft *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return err_set(err, ENOMEM, "soft engine: out of memory");
    s->part = (struct partition){ .ops = &soft_engine, .cfg = *cfg, .tsc_hz = clock_tsc_hz(),
                                  .apic_hz = LAPIC_HZ };
    s->gmem = cfg->gmem;
    s->tsc_offset = -(uint64_t)__builtin_ia32_rdtsc();
    r = threads_new(s);
    if (r == 0)
        r = code_cache_new(s);
    for (unsigned i = 0; r == 0 && i < cfg->n_vps; i++)
        r = vp_new(s, i);
    if (r < 0) {
        soft_free(&s->part);
        return err_errno(err, -r, "soft engine with %u VPs", cfg->n_vps);
    }
    s->gmem->engine = s;
    s->gmem->code_written = code_written_by_device;
    soft_reset(&s->part);
    *ret = &s->part;
    return 0;
}

/* ---- the partition's ------------------------------------------------------------------------- */

static void soft_msi(struct partition *p, uint64_t addr, uint32_t data)
{
    lapic_message(soft_of(p), addr, data);
}

static void soft_extint(struct partition *p, bool level)
{
    struct soft *s = soft_of(p);

    __atomic_store_n(&s->extint, level, __ATOMIC_SEQ_CST);
    if (level)
        soft_notify(soft_vp_at(s, 0), ATT_IRQ);
}

static uint64_t soft_get_tsc(const struct partition *p)
{
    return __builtin_ia32_rdtsc() + soft_of_const(p)->tsc_offset;
}

static void soft_set_tsc(struct partition *p, uint64_t value)
{
    struct soft *s = soft_of(p);

    s->tsc_offset = value - __builtin_ia32_rdtsc();
    for (unsigned i = 0; i < p->cfg.n_vps; i++) {
        soft_vp_at(s, i)->tsc_offset = s->tsc_offset;
        soft_timers_changed(soft_vp_at(s, i));
    }
}

static void flush_one(struct soft_vp *vp, void *arg)
{
    mmu_flush_all(vp, true);
}

static int soft_flush_tlb(struct partition *p, struct vp *vp, uint64_t mask)
{
    soft_rendezvous_from(soft_of(p), vp ? soft_vp_of(vp) : NULL, mask, flush_one, NULL);
    return 0;
}

static void sync_one(struct soft_vp *vp, void *arg)
{
    mmu_sync_dirty(vp);
}

static int soft_sync_dirty(struct partition *p)
{
    soft_rendezvous_from(soft_of(p), NULL, ~UINT64_C(0), sync_one, NULL);
    return 0;
}

static unsigned soft_cpuid(struct partition *p, struct cpuid_entry *out)
{
    return cpuid_offer(out);
}

/* ---- running --------------------------------------------------------------------------------- */

static const char *mode_name(const struct soft_vp *vp)
{
    if (!(vp->mode & MODE_PROT))
        return vp->mode & MODE_VM86 ? "VM86" : "real mode";
    switch (vp->mode & MODE_SIZE) {
    case MODE_64: return "64-bit";
    case MODE_32: return "32-bit";
    default:      return "16-bit";
    }
}

static void describe_death(struct soft_vp *vp, enum vp_stop stop)
{
    char *text = vp->vp.death, reason[sizeof vp->vp.death];
    size_t size = sizeof vp->vp.death, n;

    memcpy(reason, text, sizeof reason); /* what the run loop may have said */
    if (!reason[0])
        snprintf(reason, sizeof reason, "%s",
                 stop == VP_SHUTDOWN ? "triple fault" : "the engine cannot go on");
    n = (size_t)snprintf(text, size,
                         "VP %u: %.80s at RIP %04x:%#llx (%s, CPL %u, CR3 %#llx); event %u error "
                         "%#x CR2 %#llx",
                         vp->vp.index, reason, vp->seg[SEG_CS].sel, (unsigned long long)vp->rip,
                         mode_name(vp), vp->cpl, (unsigned long long)vp->cr3, vp->event.vector,
                         vp->event.error, (unsigned long long)vp->cr2);
    if (n < size)
        threads_describe_exits(vp, text, n, size);
}

static enum vp_stop soft_run(struct vp *v)
{
    struct soft_vp *vp = soft_vp_of(v);
    enum vp_stop stop;

    v->death[0] = 0;
    soft_enter(vp);
    stop = run_loop(vp);
    fpu_sync(vp);
    soft_leave(vp);
    if (stop != VP_KICKED)
        describe_death(vp, stop);
    return stop;
}

static void soft_kick(struct vp *v)
{
    soft_notify(soft_vp_of(v), ATT_KICK);
}

static void soft_interrupt(struct vp *v, uint8_t vector)
{
    lapic_accept(soft_vp_of(v), vector, false);
}

static int soft_auto_eoi(struct vp *v, const uint64_t vectors[4])
{
    lapic_auto_eoi(soft_vp_of(v), vectors);
    return 0;
}

static void soft_nmi(struct vp *v)
{
    soft_notify(soft_vp_of(v), ATT_NMI);
}

static void soft_set_vp_deadline(struct vp *v, uint64_t at_ns)
{
    struct soft_vp *vp = soft_vp_of(v);

    vp->deadline_ns = at_ns;
    soft_timers_changed(vp);
}

static int soft_set_cpuid(struct vp *v, const struct cpuid_entry *e, unsigned n)
{
    struct soft_vp *vp = soft_vp_of(v);

    memcpy(vp->cpuid, e, n * sizeof e[0]);
    vp->n_cpuid = n;
    cpuid_changed(vp);
    return 0;
}

/* ---- registers ------------------------------------------------------------------------------- */

#define ATTR_DPL_SHIFT 5

static void soft_get_regs(struct vp *v, struct vp_regs *ret)
{
    const struct soft_vp *vp = soft_vp_of(v);

    *ret = (struct vp_regs){
        .rip = vp->rip, .rflags = vp->rflags | F_1, .gdt = vp->gdt, .idt = vp->idt,
        .cr0 = vp->cr0, .cr2 = vp->cr2, .cr3 = vp->cr3, .cr4 = vp->cr4, .efer = vp->efer,
        .cr8 = lapic_cr8(vp),
    };
    memcpy(ret->gpr, vp->gpr, sizeof ret->gpr);
    memcpy(ret->seg, vp->seg, sizeof ret->seg);
    memcpy(ret->dr, vp->dr, sizeof ret->dr);
    /* The CPL travels as the DPL of SS, also where a null SS has none of its own. */
    ret->seg[SEG_SS].attr &= (uint16_t) ~(3u << ATTR_DPL_SHIFT);
    ret->seg[SEG_SS].attr |= (uint16_t)(vp->cpl << ATTR_DPL_SHIFT);
}

static void put_regs(struct soft_vp *vp, const struct vp_regs *r)
{
    memcpy(vp->gpr, r->gpr, sizeof vp->gpr);
    memcpy(vp->seg, r->seg, sizeof vp->seg);
    memcpy(vp->dr, r->dr, sizeof vp->dr);
    vp->rip = vp->next_rip = r->rip;
    vp->rflags = r->rflags | F_1;
    vp->gdt = r->gdt;
    vp->idt = r->idt;
    vp->cr0 = r->cr0;
    vp->cr2 = r->cr2;
    vp->cr4 = r->cr4;
    vp->efer = r->efer;
    if (!(r->cr0 & CR0_PE))
        vp->cpl = 0;
    else if (r->rflags & F_VM)
        vp->cpl = 3;
    else
        vp->cpl = r->seg[SEG_SS].attr >> ATTR_DPL_SHIFT & 3;
    mmu_set_cr3(vp, r->cr3);
    soft_mode_changed(vp);
    mmu_flush_all(vp, true);
}

static void soft_set_regs(struct vp *v, const struct vp_regs *r)
{
    struct soft_vp *vp = soft_vp_of(v);

    put_regs(vp, r);
    lapic_set_cr8(vp, r->cr8 & 0xf);
}

static void soft_get_state(struct vp *v, struct vp_state *ret)
{
    struct soft_vp *vp = soft_vp_of(v);
    uint32_t mp, att;

    threads_start_up(vp);
    memset(ret, 0, sizeof *ret);
    soft_get_regs(v, &ret->regs);
    ret->msrs = vp->msrs;
    ret->msrs.tsc_deadline = 0;
    (void)lapic_msr_read(vp, 0x6e0, &ret->msrs.tsc_deadline);
    ret->xcr0 = vp->fpu.xcr0;
    fpu_get_xsave(vp, ret->xsave);
    lapic_get_page(vp, ret->lapic);
    mp = vp->mp_state;
    ret->mp_state = mp == MP_RUNNING && vp->halted ? MP_HALTED : mp;
    ret->pending_valid = vp->event_valid;
    if (vp->event_valid) {
        ret->pending_vector = vp->event.vector;
        ret->pending_type = vp->event.type;
        ret->pending_has_error = vp->event.has_error;
        ret->pending_error = vp->event.error;
    }
    att = __atomic_load_n(&vp->attention, __ATOMIC_SEQ_CST);
    ret->nmi_pending = (att & ATT_NMI ? 1 : 0) + (att & ATT_NMI2 ? 1 : 0); /* at most two wait */
    ret->nmi_masked = vp->nmi_masked;
    ret->sti_shadow = vp->shadow;
}

static bool canonical(uint64_t va)
{
    return (int64_t)(va << 16) >> 16 == (int64_t)va;
}

/* The state may come from a damaged or hostile file: what our own code relies on. */
static const char *state_fault(const struct vp_state *s)
{
    const struct vp_regs *r = &s->regs;
    bool paging = r->cr0 & CR0_PG, lma = r->efer & EFER_LMA;

    if (r->cr0 >> 32 || (paging && !(r->cr0 & CR0_PE)))
        return "CR0";
    if (lma != (paging && r->efer & EFER_LME) || (lma && !(r->cr4 & CR4_PAE)))
        return "EFER.LMA does not go with CR0, CR4 and EFER.LME";
    if (r->cr4 & CR4_PCIDE && !lma)
        return "CR4.PCIDE outside long mode";
    if (r->cr3 >> SOFT_PHYS_BITS || r->cr8 > 15)
        return "CR3 or CR8";
    if (!canonical(r->gdt.base) || !canonical(r->idt.base) || (lma && !canonical(r->rip)))
        return "an address that is not canonical";
    for (unsigned i = 0; i < SEGS; i++)
        if (!canonical(r->seg[i].base))
            return "a segment base that is not canonical";
    if (s->mp_state > MP_WAIT_SIPI)
        return "the multiprocessor state";
    if (s->pending_valid && (s->pending_type > EVENT_SOFT_EXC || s->pending_type == 1 ||
                             (s->pending_type == EVENT_EXC && s->pending_vector > 31)))
        return "the pending event";
    if (!(s->xcr0 & 1) || s->sti_shadow > 2)
        return "XCR0 or the interrupt shadow";
    if (s->msrs.apic_base >> SOFT_PHYS_BITS || (s->msrs.apic_base & 0xc00) == 0x400)
        return "IA32_APIC_BASE";
    return NULL;
}

static int soft_set_state(struct vp *v, const struct vp_state *s, struct err *err)
{
    struct soft_vp *vp = soft_vp_of(v);
    const char *fault = state_fault(s);

    if (fault)
        return err_set(err, EINVAL, "state of VP %u: %s is impossible", v->index, fault);
    vp->msrs = s->msrs;
    vp->fpu.xcr0 = s->xcr0;
    fpu_set_xsave(vp, s->xsave);
    put_regs(vp, &s->regs);
    if (!lapic_set_page(vp, s->lapic))
        return err_set(err, EINVAL, "state of VP %u: its local APIC is impossible", v->index);
    (void)lapic_msr_write(vp, 0x6e0, s->msrs.tsc_deadline);
    vp->mp_state = s->mp_state == MP_HALTED ? MP_RUNNING : s->mp_state;
    vp->halted = s->mp_state == MP_HALTED;
    vp->event = (struct event){ .vector = s->pending_vector, .type = s->pending_type,
                                .has_error = s->pending_has_error, .error = s->pending_error };
    vp->event_valid = s->pending_valid;
    vp->nmi_masked = s->nmi_masked;
    vp->shadow = s->sti_shadow;
    __atomic_fetch_and(&vp->attention, ATT_KICK, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < MIN(s->nmi_pending, 2); i++)
        soft_notify(vp, ATT_NMI);
    soft_notify(vp, ATT_IRQ);
    soft_timers_changed(vp);
    return 0;
}

static bool soft_translate(struct vp *v, uint64_t va, gpa_t *ret)
{
    return mmu_translate(soft_vp_of(v), va, ret);
}

static unsigned soft_counters(const struct vp *v, struct vp_counter *out)
{
    const struct soft_vp *vp = container_of(v, const struct soft_vp, vp);
    const struct soft_counters *c = &vp->count;
    uint64_t faults = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_LEN(c->faults); i++)
        faults += c->faults[i];
    const struct vp_counter all[] = {
        { "instructions", c->insns },
        { "blocks decoded", c->blocks_decoded },
        { "instructions decoded", c->insns_decoded },
        { "blocks translated", c->translated_blocks },
        { "instructions translated", c->translated_insns },
        { "bytes of host code", c->translated_bytes },
        { "TSC ticks of translation", c->translate_ticks },
        { "side exits", c->side_exits },
        { "interpreted in translated code", c->interpreted },
        { "links looked up", c->unlinked },
        { "lock-step comparisons", c->steps },
        { "lock-step, disturbed by others", c->steps_disturbed },
        { "TLB misses", c->tlb_misses },
        { "page walks", c->page_walks },
        { "TLB flushes", c->tlb_flushes },
        { "code writes", c->code_writes },
        { "rendezvous", c->rendezvous },
        { "port accesses", c->pio },
        { "MMIO accesses", c->mmio },
        { "MSR exits", c->msr },
        { "hypercalls", c->hypercalls },
        { "halts", c->halts },
        { "interrupts", c->irqs },
        { "faults", faults },
        { "page faults", c->faults[EXC_PF] },
    };
    for (; n < ARRAY_LEN(all); n++)
        out[n] = all[n];
    return n;
}

const struct engine_ops soft_engine = {
    .name = "soft",
    .kind = ENGINE_SOFT,
    .partition_new = soft_new,
    .partition_free = soft_free,
    .partition_reset = soft_reset,
    .msi = soft_msi,
    .extint = soft_extint,
    .tsc = soft_get_tsc,
    .set_tsc = soft_set_tsc,
    .flush_tlb = soft_flush_tlb,
    .sync_dirty = soft_sync_dirty,
    .cpuid = soft_cpuid,
    .run = soft_run,
    .kick = soft_kick,
    .set_cpuid = soft_set_cpuid,
    .interrupt = soft_interrupt,
    .nmi = soft_nmi,
    .auto_eoi = soft_auto_eoi,
    .set_deadline = soft_set_vp_deadline,
    .get_regs = soft_get_regs,
    .set_regs = soft_set_regs,
    .get_state = soft_get_state,
    .set_state = soft_set_state,
    .translate = soft_translate,
    .counters = soft_counters,
};
