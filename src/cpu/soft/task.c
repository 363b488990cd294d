/* SPDX-License-Identifier: GPL-2.0-or-later */
/* task.c - hardware task switches, 16- and 32-bit TSS; not in long mode.
 *
 * Source: Intel SDM 3A 7.3.  Everything that can fault in the old task is done before the switch is
 * committed; the checks of segments that follow are faults of the new task, at its first
 * instruction. */
#include "cpu/soft/exec.h"
#include "cpu/soft/seg.h"

struct tss {
    uint32_t cr3, eip, eflags;
    uint32_t gpr[8];
    uint16_t seg[6]; /* ES CS SS DS FS GS */
    uint16_t ldt;
    bool trap;
};

/* Offsets: 32-bit and 16-bit TSS. */
enum {
    T32_CR3 = 28, T32_EIP = 32, T32_EFLAGS = 36, T32_GPR = 40, T32_SEG = 72, T32_LDT = 96,
    T32_TRAP = 100, T32_LIMIT = 103,
    T16_IP = 14, T16_FLAGS = 16, T16_GPR = 18, T16_SEG = 34, T16_LDT = 42, T16_LIMIT = 43,
};

static bool is_tss32(unsigned attr)
{
    return attr & 8;
}

static uint32_t get(struct soft_vp *vp, uint64_t base, unsigned off, unsigned size)
{
    return (uint32_t)mem_sys_read(vp, linear(vp, base + off), size);
}

static void put(struct soft_vp *vp, uint64_t base, unsigned off, unsigned size, uint64_t v)
{
    mem_sys_write(vp, linear(vp, base + off), size, v);
}

static void tss_load(struct soft_vp *vp, uint64_t base, bool wide, struct tss *t)
{
    unsigned size = wide ? 4 : 2;

    *t = (struct tss){ 0 };
    t->eip = get(vp, base, wide ? T32_EIP : T16_IP, size);
    t->eflags = get(vp, base, wide ? T32_EFLAGS : T16_FLAGS, size);
    for (unsigned i = 0; i < 8; i++)
        t->gpr[i] = get(vp, base, (wide ? T32_GPR : T16_GPR) + i * size, size);
    for (unsigned i = 0; i < (wide ? 6 : 4); i++)
        t->seg[i] = (uint16_t)get(vp, base, (wide ? T32_SEG : T16_SEG) + i * size, 2);
    t->ldt = (uint16_t)get(vp, base, wide ? T32_LDT : T16_LDT, 2);
    if (wide) {
        t->cr3 = get(vp, base, T32_CR3, 4);
        t->trap = get(vp, base, T32_TRAP, 2) & 1;
    }
}

static void tss_save(struct soft_vp *vp, uint64_t base, bool wide, uint64_t rip, uint64_t flags)
{
    unsigned size = wide ? 4 : 2;

    put(vp, base, wide ? T32_EIP : T16_IP, size, rip);
    put(vp, base, wide ? T32_EFLAGS : T16_FLAGS, size, flags);
    for (unsigned i = 0; i < 8; i++)
        put(vp, base, (wide ? T32_GPR : T16_GPR) + i * size, size, vp->gpr[i]);
    for (unsigned i = 0; i < (wide ? 6 : 4); i++)
        put(vp, base, (wide ? T32_SEG : T16_SEG) + i * size, 2, vp->seg[i].sel);
}

void task_read(struct soft_vp *vp, uint16_t sel, struct desc *ret)
{
    unsigned type;

    if (sel_null(sel) || (sel & 4) || !desc_read(vp, sel, ret))
        raise_sel(vp, EXC_GP, sel);
    type = attr_sys_type(ret->attr);
    if (type != SYS_TSS16 && type != SYS_TSS32)
        raise_sel(vp, EXC_GP, sel);
    if (!(ret->attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
}

/* ---- segments of the new task ---------------------------------------------------------------- */

static void load_ldt(struct soft_vp *vp, uint16_t sel)
{
    struct desc d;

    seg_fill_null(&vp->seg[SEG_LDTR], sel);
    if (sel_null(sel))
        return;
    seg_check_ldt(vp, sel, EXC_TS, &d);
    seg_fill(&vp->seg[SEG_LDTR], sel, &d);
}

static void load_cs(struct soft_vp *vp, uint16_t sel)
{
    unsigned rpl = sel & 3;
    struct desc d;

    if (sel_null(sel) || !desc_read(vp, sel, &d) || !attr_is_code(d.attr))
        raise_sel(vp, EXC_TS, sel);
    if (attr_is_conforming(d.attr) ? attr_dpl(d.attr) > rpl : attr_dpl(d.attr) != rpl)
        raise_sel(vp, EXC_TS, sel);
    if (!(d.attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
    desc_set_accessed(vp, &d);
    seg_fill(&vp->seg[SEG_CS], sel, &d);
}

static void load_segments(struct soft_vp *vp, const struct tss *t)
{
    static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    struct desc d;

    load_cs(vp, t->seg[SEG_CS]);
    soft_mode_changed(vp);
    seg_check_ss(vp, t->seg[SEG_SS], vp->cpl, EXC_TS, &d);
    desc_set_accessed(vp, &d);
    seg_fill(&vp->seg[SEG_SS], t->seg[SEG_SS], &d);
    for (size_t i = 0; i < ARRAY_LEN(data); i++) {
        uint16_t sel = t->seg[data[i]];

        if (sel_null(sel))
            continue;
        seg_check_data(vp, sel, EXC_TS, &d);
        desc_set_accessed(vp, &d);
        seg_fill(&vp->seg[data[i]], sel, &d);
    }
}

/* ---- the switch ------------------------------------------------------------------------------ */

/* The old task's side; it may still fault there. */
static void leave_task(struct soft_vp *vp, const struct desc *to, enum task_by by, uint64_t resume)
{
    const struct vp_segment *tr = &vp->seg[SEG_TR];
    uint64_t flags = vp->rflags;
    struct desc old;

    if (by == TASK_IRET)
        flags &= ~(uint64_t)F_NT;
    tss_save(vp, tr->base, is_tss32(tr->attr), resume, flags);
    if (by == TASK_CALL || by == TASK_INT)
        put(vp, to->base, 0, 2, tr->sel);
    if ((by == TASK_JMP || by == TASK_IRET) && desc_read(vp, tr->sel, &old))
        desc_set_busy(vp, &old, false);
}

/* No fault from here to the end: the machine changes hands. */
static void commit(struct soft_vp *vp, uint16_t sel, const struct desc *d, enum task_by by,
                   const struct tss *t)
{
    bool wide = is_tss32(d->attr);

    seg_fill(&vp->seg[SEG_TR], sel, d);
    vp->cr0 |= CR0_TS;
    if (wide && (vp->cr0 & CR0_PG))
        mmu_set_cr3(vp, t->cr3);
    vp->rflags = (t->eflags & 0x3f7fd7) | F_1;
    if (by == TASK_CALL || by == TASK_INT)
        vp->rflags |= F_NT;
    for (unsigned i = 0; i < 8; i++)
        vp->gpr[i] = wide ? t->gpr[i] : t->gpr[i] | 0xffff0000;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        if (in_vm86(vp))
            seg_fill_vm86(&vp->seg[i], t->seg[i]);
        else
            seg_fill_null(&vp->seg[i], t->seg[i]);
    }
    vp->cpl = in_vm86(vp) ? 3 : t->seg[SEG_CS] & 3;
    vp->rip = vp->next_rip = t->eip;
    vp->dr[7] &= ~UINT64_C(0x155); /* local breakpoints */
    vp->step = false;
    soft_mode_changed(vp);
    run_committed(vp);
}

void task_switch(struct soft_vp *vp, uint16_t sel, struct desc *d, enum task_by by,
                 uint64_t resume)
{
    bool wide = is_tss32(d->attr);
    struct tss t;

    if (d->limit < (wide ? T32_LIMIT : T16_LIMIT))
        raise_sel(vp, EXC_TS, sel);
    tss_load(vp, d->base, wide, &t);
    leave_task(vp, d, by, resume);
    desc_set_busy(vp, d, true);
    commit(vp, sel, d, by, &t);

    load_ldt(vp, t.ldt);
    if (!in_vm86(vp))
        load_segments(vp, &t);
    soft_mode_changed(vp);
    if (t.eip > vp->seg[SEG_CS].limit)
        raise_gp(vp);
    if (t.trap)
        vp->debug_hits |= 1u << 15; /* BT: before the first instruction */
}

void task_return(struct soft_vp *vp)
{
    uint16_t sel = (uint16_t)mem_sys_read(vp, linear(vp, vp->seg[SEG_TR].base), 2);
    struct desc d;
    unsigned type;

    if (sel_null(sel) || (sel & 4) || !desc_read(vp, sel, &d))
        raise_sel(vp, EXC_TS, sel);
    type = attr_sys_type(d.attr);
    if (type != (SYS_TSS16 | SYS_BUSY) && type != (SYS_TSS32 | SYS_BUSY))
        raise_sel(vp, EXC_TS, sel);
    if (!(d.attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
    task_switch(vp, sel, &d, TASK_IRET, vp->next_rip);
}
