/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event.c - exceptions and interrupts on their way into the guest: IVT, IDT, double faults.
 *
 * Sources: Intel SDM 3A chapter 6, 2A "INT n"; AMD64 APM 2 chapter 8.  VM86 redirection: SDM 3B
 * 20.3. event_pick() says what is due; delivery commits RSP, flags and CS only after its last
 * fault. */
#include <string.h>

#include "base/trace.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/mem.h"
#include "cpu/soft/seg.h"
#include "cpu/soft/soft.h"
#include "cpu/soft/sys.h"

/* Events of the program itself: the gate's DPL is checked, EXT stays clear. */
static bool from_program(const struct event *e)
{
    return e->type == EVENT_SOFT_INT || e->type == EVENT_SOFT_EXC;
}

/* RFLAGS as pushed.  RF is set for faults, so that their instruction restarts past its breakpoint;
 * of debug exceptions only the general-detect fault counts. */
static uint64_t flags_image(const struct soft_vp *vp, const struct event *e)
{
    if (e->type != EVENT_EXC || e->vector == EXC_DF || e->vector == EXC_MC)
        return vp->rflags;
    if (e->vector == EXC_DB && !(vp->dr[6] & vp->dr[7] & 1 << 13))
        return vp->rflags;
    if (e->vector == EXC_BP || e->vector == EXC_OF)
        return vp->rflags;
    return vp->rflags | F_RF;
}

/* ---- real mode ------------------------------------------------------------------------------- */

static void deliver_real(struct soft_vp *vp, const struct event *e, uint64_t resume)
{
    unsigned at = e->vector * 4u;
    struct stack s = stack_here(vp);
    uint32_t to;

    if (at + 3 > vp->idt.limit)
        raise_gp(vp);
    to = (uint32_t)mem_sys_read(vp, linear(vp, vp->idt.base + at), 4);
    stack_room(vp, &s, 3, 2);
    stack_put(vp, &s, 2, flags_image(vp, e));
    stack_put(vp, &s, 2, vp->seg[SEG_CS].sel);
    stack_put(vp, &s, 2, resume);
    stack_commit(vp, &s);
    vp->rflags &= ~(uint64_t)(F_IF | F_TF | F_AC | F_RF);
    seg_fill_real(&vp->seg[SEG_CS], (uint16_t)(to >> 16));
    soft_mode_changed(vp);
    goto_rip(vp, to & 0xffff);
}

/* INT n in VM86 with CR4.VME, by the task's own vector table: nothing leaves VM86. */
static void deliver_redirected(struct soft_vp *vp, uint8_t vector, uint64_t resume)
{
    bool virtual_if = iopl(vp) < 3;
    uint64_t image = vp->rflags;
    struct stack s = stack_here(vp);
    uint32_t to;

    if (virtual_if) {
        image = (image & ~(uint64_t)F_IF) | F_IOPL;
        image |= vp->rflags & F_VIF ? F_IF : 0;
    }
    to = mem_read32(vp, vector * 4u);
    stack_room(vp, &s, 3, 2);
    stack_put(vp, &s, 2, image);
    stack_put(vp, &s, 2, vp->seg[SEG_CS].sel);
    stack_put(vp, &s, 2, resume);
    stack_commit(vp, &s);
    vp->rflags &= ~(uint64_t)(F_TF | F_RF | (virtual_if ? F_VIF : F_IF));
    seg_fill_vm86(&vp->seg[SEG_CS], (uint16_t)(to >> 16));
    soft_mode_changed(vp);
    goto_rip(vp, to & 0xffff);
}

/* The bitmap of 32 bytes below the I/O map: a clear bit redirects. */
static bool is_redirected(struct soft_vp *vp, uint8_t vector)
{
    const struct vp_segment *tr = &vp->seg[SEG_TR];
    uint32_t map;

    if (!(tr->attr & ATTR_CODE) || tr->limit < 103)
        return false;
    map = (uint32_t)mem_sys_read(vp, linear(vp, tr->base + 102), 2) - 32 + vector / 8;
    if (map > tr->limit)
        return false;
    return !(mem_sys_read(vp, linear(vp, tr->base + map), 1) >> (vector & 7) & 1);
}

/* ---- protected and long mode ----------------------------------------------------------------- */

struct gate {
    struct desc d;
    unsigned size; /* of pushed items: 2, 4, 8 */
    uint64_t off;
    uint16_t sel;
    uint8_t ist;
    bool trap;     /* IF stays */
};

static void gate_fault(struct soft_vp *vp, uint8_t vec, const struct event *e)
{
    soft_raise_error(vp, vec, e->vector * 8u + 2 + vp->ext);
}

/* Fetch and check the gate; task gates are left to the caller. */
static void read_gate(struct soft_vp *vp, const struct event *e, struct gate *g)
{
    unsigned bytes = in_long(vp) ? 16 : 8, at = e->vector * bytes, type;
    uint32_t high = 0;

    if (at + bytes - 1 > vp->idt.limit)
        gate_fault(vp, EXC_GP, e);
    g->d = (struct desc){ .at = linear(vp, vp->idt.base + at) };
    g->d.raw = mem_sys_read(vp, g->d.at, 8);
    g->d.attr = (uint16_t)(g->d.raw >> 40 & 0xff);
    if (in_long(vp))
        high = (uint32_t)mem_sys_read(vp, g->d.at + 8, 4);
    type = attr_sys_type(g->d.attr);
    if ((type & 6) != 6 && (type != SYS_TASK_GATE || in_long(vp)))
        gate_fault(vp, EXC_GP, e);
    if (in_long(vp) && !(type & 8))
        gate_fault(vp, EXC_GP, e);
    if (from_program(e) && attr_dpl(g->d.attr) < vp->cpl)
        gate_fault(vp, EXC_GP, e);
    if (!(g->d.attr & ATTR_P))
        gate_fault(vp, EXC_NP, e);
    g->size = in_long(vp) ? 8 : type & 8 ? 4 : 2;
    g->sel = gate_sel(&g->d);
    g->off = gate_offset(&g->d, g->size, high);
    g->ist = in_long(vp) ? g->d.raw >> 32 & 7 : 0;
    g->trap = type & 1;
}

static void deliver_task(struct soft_vp *vp, const struct event *e, const struct gate *g,
                         uint64_t resume)
{
    struct desc tss;
    struct stack s;

    task_read(vp, g->sel, &tss);
    task_switch(vp, g->sel, &tss, TASK_INT, resume);
    if (e->has_error) {
        s = stack_here(vp);
        stack_put(vp, &s, tss.attr & 8 ? 4 : 2, e->error);
        stack_commit(vp, &s);
    }
}

/* The level that the handler runs at; faults of its descriptor. */
static unsigned handler_level(struct soft_vp *vp, const struct gate *g, struct desc *code)
{
    unsigned dpl;

    seg_read_code(vp, g->sel, code);
    dpl = attr_dpl(code->attr);
    if (dpl > vp->cpl)
        raise_sel(vp, EXC_GP, g->sel);
    if (in_long(vp) && (code->attr & (ATTR_L | ATTR_DB)) != ATTR_L)
        raise_sel(vp, EXC_GP, g->sel);
    if (!(code->attr & ATTR_P))
        raise_sel(vp, EXC_NP, g->sel);
    if (in_vm86(vp) && (dpl || attr_is_conforming(code->attr)))
        raise_sel(vp, EXC_GP, g->sel);
    return attr_is_conforming(code->attr) ? vp->cpl : dpl;
}

static void push_frame(struct soft_vp *vp, const struct event *e, const struct gate *g,
                       struct stack *s, bool old_stack, uint64_t resume)
{
    static const uint8_t data[] = { SEG_GS, SEG_FS, SEG_DS, SEG_ES };

    if (in_vm86(vp)) {
        for (size_t i = 0; i < ARRAY_LEN(data); i++)
            stack_put(vp, s, g->size, vp->seg[data[i]].sel);
    }
    if (old_stack) {
        stack_put(vp, s, g->size, vp->seg[SEG_SS].sel);
        stack_put(vp, s, g->size, vp->gpr[RSP]);
    }
    stack_put(vp, s, g->size, flags_image(vp, e));
    stack_put(vp, s, g->size, vp->seg[SEG_CS].sel);
    stack_put(vp, s, g->size, resume);
    if (e->has_error)
        stack_put(vp, s, g->size, e->error);
}

static void deliver_gate(struct soft_vp *vp, const struct event *e, uint64_t resume)
{
    struct desc code;
    struct gate g;
    struct stack s;
    unsigned cpl, items;
    bool inner;

    read_gate(vp, e, &g);
    if (attr_sys_type(g.d.attr) == SYS_TASK_GATE) {
        deliver_task(vp, e, &g, resume);
        return;
    }
    cpl = handler_level(vp, &g, &code);
    inner = cpl < vp->cpl;
    if (inner || g.ist) {
        s = stack_from_tss(vp, cpl, g.ist);
        if (!inner)
            s.seg = vp->seg[SEG_SS];
    } else {
        s = stack_here(vp);
        s.wide = in_long(vp);
    }
    if (s.wide)
        s.sp &= ~UINT64_C(15);
    items = 3 + e->has_error + (inner || s.wide ? 2 : 0) + (in_vm86(vp) ? 4 : 0);
    stack_room(vp, &s, items, g.size);
    seg_check_target(vp, &code, g.off);
    push_frame(vp, e, &g, &s, inner || s.wide, resume);
    desc_set_accessed(vp, &code);

    stack_commit(vp, &s);
    if (in_vm86(vp)) {
        seg_fill_null(&vp->seg[SEG_ES], 0);
        seg_fill_null(&vp->seg[SEG_DS], 0);
        seg_fill_null(&vp->seg[SEG_FS], 0);
        seg_fill_null(&vp->seg[SEG_GS], 0);
    }
    vp->rflags &= ~(uint64_t)(F_TF | F_NT | F_RF | F_VM | (g.trap ? 0 : F_IF));
    seg_fill(&vp->seg[SEG_CS], (uint16_t)((g.sel & 0xfffc) | cpl), &code);
    vp->cpl = (uint8_t)cpl;
    soft_mode_changed(vp);
    goto_rip(vp, g.off);
}

/* ---- both ------------------------------------------------------------------------------------ */

static void deliver(struct soft_vp *vp, const struct event *e, uint64_t resume)
{
    TRACE("cpu", "event", "vector %u type %u error %#x rip %#llx", e->vector, e->type,
          e->has_error ? e->error : 0, (unsigned long long)resume);
    if (!(vp->cr0 & CR0_PE)) {
        deliver_real(vp, e, resume);
        return;
    }
    if (in_vm86(vp) && e->type == EVENT_SOFT_INT) {
        if ((vp->cr4 & CR4_VME) && is_redirected(vp, e->vector)) {
            deliver_redirected(vp, e->vector, resume);
            return;
        }
        if (iopl(vp) < 3)
            raise_gp(vp);
    }
    deliver_gate(vp, e, resume);
}

void event_software(struct soft_vp *vp, uint8_t vector, enum event_type type)
{
    struct event e = { .vector = vector, .type = type };

    /* A fault of the delivery is the instruction's; event_deliver() then resets ext. */
    vp->ext = type == EVENT_ICEBP;
    deliver(vp, &e, vp->next_rip);
    vp->ext = 0;
    if (type == EVENT_ICEBP)
        debug_merge(vp); /* what waited behind MOV SS comes with it */
    vp->step = false;
}

enum class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE };

static enum class event_class(const struct event *e)
{
    if (e->type != EVENT_EXC)
        return BENIGN;
    switch (e->vector) {
    case EXC_DE: case EXC_TS: case EXC_NP: case EXC_SS: case EXC_GP: return CONTRIBUTORY;
    case EXC_PF: return PAGE_FAULT;
    case EXC_DF: return DOUBLE;
    default: return BENIGN;
    }
}

/* 'second' came while 'first' was delivered (SDM 3A table 6-5).  false: shutdown. */
static bool combine(const struct event *first, struct event *second)
{
    enum class a = event_class(first), b = event_class(second);

    if (a == DOUBLE && b != BENIGN)
        return false;
    if ((a == CONTRIBUTORY && b == CONTRIBUTORY) || (a == PAGE_FAULT && b != BENIGN))
        *second = (struct event){ .vector = EXC_DF, .type = EVENT_EXC, .has_error = true };
    return true;
}

/* Whatever is delivered ends HLT. */
static void wake(struct soft_vp *vp)
{
    if (!vp->halted)
        return;
    vp->halted = false;
    /* While halted with IF clear the bit was dropped (event_pick()): look again. */
    __atomic_or_fetch(&vp->attention, ATT_IRQ, __ATOMIC_SEQ_CST);
}

static void delivered(struct soft_vp *vp, const struct event *e)
{
    wake(vp);
    vp->ext = 0;
    vp->rip = vp->next_rip;
    vp->event_valid = false;
    vp->shadow = 0;
    vp->step = false;
    if (e->type == EVENT_NMI)
        vp->nmi_masked = true;
    if (e->type == EVENT_EXC && e->vector == EXC_DB)
        vp->dr[7] &= ~UINT64_C(0x2000); /* GD */
    if (e->type == EVENT_EXC)
        vp->debug_hits = 0; /* of an instruction that will start again */
}

bool event_deliver(struct soft_vp *vp)
{
    jmp_buf outer;
    bool alive = true;

    memcpy(&outer, &vp->unwind, sizeof(outer));
    for (;;) {
        const struct event e = vp->event;
        int why;

        vp->ext = !from_program(&e);
        why = _setjmp(vp->unwind);
        if (why == 0) {
            deliver(vp, &e, vp->rip);
            delivered(vp, &e);
            break;
        }
        if (why == UNWIND_RETRY)
            vp->op = NULL; /* the stack shares a page with its code: it is not running now */
        else if (!combine(&e, &vp->event)) {
            alive = false;
            break;
        }
    }
    vp->ext = 0;
    memcpy(&vp->unwind, &outer, sizeof(outer));
    return alive;
}

/* ---- what is due ----------------------------------------------------------------------------- */

static void attention_clear(struct soft_vp *vp, uint32_t bits)
{
    __atomic_and_fetch(&vp->attention, ~bits, __ATOMIC_SEQ_CST);
}

/* One NMI in its handler and one waiting is all that there is: what came meanwhile counts once. */
void event_unmask_nmi(struct soft_vp *vp)
{
    vp->nmi_masked = false;
    if (__atomic_load_n(&vp->attention, __ATOMIC_RELAXED) & ATT_NMI2) {
        __atomic_fetch_or(&vp->attention, ATT_NMI, __ATOMIC_SEQ_CST);
        attention_clear(vp, ATT_NMI2);
    }
}

/* The PIC's vector, or -1. */
static int take_extint(struct soft_vp *vp)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    int vector;

    if (vp->vp.index != 0 || !__atomic_load_n(&vp->soft->extint, __ATOMIC_ACQUIRE) ||
        !lapic_extint_enabled(vp) || !cfg->exits->pic_ack)
        return -1;
    soft_leave(vp);
    vector = cfg->exits->pic_ack(cfg->owner);
    soft_enter(vp);
    return vector;
}

static bool pick(struct soft_vp *vp, uint8_t vector, enum event_type type)
{
    vp->event = (struct event){ .vector = vector, .type = type };
    vp->event_valid = true;
    wake(vp);
    return true;
}

bool event_pick(struct soft_vp *vp)
{
    uint32_t att = __atomic_load_n(&vp->attention, __ATOMIC_ACQUIRE);
    int vector;

    /* The shadow of STI holds NMIs back as well, as it does on most processors. */
    if (vp->shadow || vp->event_valid)
        return false;
    if ((att & (ATT_NMI | ATT_NMI2)) && !vp->nmi_masked) {
        attention_clear(vp, att & ATT_NMI2 ? ATT_NMI2 : ATT_NMI);
        return pick(vp, EXC_NMI, EVENT_NMI);
    }
    if (!(att & ATT_IRQ))
        return false;
    if (!(vp->rflags & F_IF)) {
        /* Nothing but an NMI or INIT ends this sleep, and both look again. */
        if (vp->halted)
            attention_clear(vp, ATT_IRQ);
        return false;
    }
    /* Clear first: what arrives from now on sets it again. */
    attention_clear(vp, ATT_IRQ);
    vector = lapic_pending(vp) >= 0 ? lapic_take(vp) : take_extint(vp);
    if (vector < 0)
        return false;
    /* There may be more behind it. */
    __atomic_or_fetch(&vp->attention, ATT_IRQ, __ATOMIC_SEQ_CST);
    return pick(vp, (uint8_t)vector, EVENT_EXT);
}
