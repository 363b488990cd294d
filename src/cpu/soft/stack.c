/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stack.c - stack frames of far transfers and events: built and read before RSP is committed.
 *
 * Sources: Intel SDM 3A 5.8.5, 6.12, 6.14; AMD64 APM 2 8.9, 12.2.5. */
#include "cpu/soft/mem.h"
#include "cpu/soft/seg.h"

static uint64_t read_cpl(struct soft_vp *vp, unsigned cpl, uint64_t va, unsigned size)
{
    if (cpl != vp->cpl)
        return mem_sys_read(vp, va, size);
    switch (size) {
    case 2: return mem_read16(vp, va);
    case 4: return mem_read32(vp, va);
    default: return mem_read64(vp, va);
    }
}

static void write_cpl(struct soft_vp *vp, unsigned cpl, uint64_t va, unsigned size, uint64_t v)
{
    if (cpl != vp->cpl) {
        mem_sys_write(vp, va, size, v);
        return;
    }
    switch (size) {
    case 2: mem_write16(vp, va, (uint16_t)v); break;
    case 4: mem_write32(vp, va, (uint32_t)v); break;
    default: mem_write64(vp, va, v); break;
    }
}

struct stack stack_here(struct soft_vp *vp)
{
    return (struct stack){ .seg = vp->seg[SEG_SS], .sp = vp->gpr[RSP], .cpl = vp->cpl,
                           .wide = in_code64(vp) };
}

static uint64_t stack_mask(const struct stack *s)
{
    if (s->wide)
        return ~UINT64_C(0);
    return s->seg.attr & ATTR_DB ? 0xffffffff : 0xffff;
}

/* Linear address of 'size' bytes at 'off' of the stack; #SS. */
static uint64_t stack_address(struct soft_vp *vp, const struct stack *s, uint64_t off,
                              unsigned size)
{
    if (s->wide) {
        if (!canonical(off) || !canonical(off + size - 1))
            soft_raise_error(vp, EXC_SS, s->error | vp->ext);
        return off;
    }
    if (!seg_in_limit(&s->seg, off, size))
        soft_raise_error(vp, EXC_SS, s->error | vp->ext);
    return (uint32_t)(s->seg.base + off);
}

void stack_room(struct soft_vp *vp, const struct stack *s, unsigned n, unsigned size)
{
    uint64_t mask = stack_mask(s);

    for (unsigned i = 1; i <= n; i++)
        stack_address(vp, s, (s->sp - (uint64_t)i * size) & mask, size);
}

void stack_put(struct soft_vp *vp, struct stack *s, unsigned size, uint64_t value)
{
    uint64_t mask = stack_mask(s), sp = (s->sp - size) & mask;

    write_cpl(vp, s->cpl, stack_address(vp, s, sp, size), size, value);
    s->sp = (s->sp & ~mask) | sp;
}

uint64_t stack_get(struct soft_vp *vp, struct stack *s, unsigned size)
{
    uint64_t mask = stack_mask(s);
    uint64_t v = read_cpl(vp, s->cpl, stack_address(vp, s, s->sp & mask, size), size);

    stack_skip(s, size);
    return v;
}

void stack_skip(struct stack *s, uint64_t bytes)
{
    uint64_t mask = stack_mask(s);

    s->sp = (s->sp & ~mask) | ((s->sp + bytes) & mask);
}

void stack_commit(struct soft_vp *vp, const struct stack *s)
{
    uint64_t mask = stack_mask(s);

    vp->seg[SEG_SS] = s->seg;
    if (mask == 0xffff)
        vp->gpr[RSP] = (vp->gpr[RSP] & ~mask) | (s->sp & mask);
    else
        vp->gpr[RSP] = s->sp & mask;
}

/* ---- inner stacks ---------------------------------------------------------------------------- */

static uint64_t tss_read(struct soft_vp *vp, unsigned off, unsigned size)
{
    return mem_sys_read(vp, linear(vp, vp->seg[SEG_TR].base + off), size);
}

static void tss_holds(struct soft_vp *vp, uint64_t last)
{
    if (vp->seg[SEG_TR].unusable || last > vp->seg[SEG_TR].limit)
        raise_sel(vp, EXC_TS, vp->seg[SEG_TR].sel);
}

static struct stack stack_long(struct soft_vp *vp, unsigned cpl, unsigned ist)
{
    unsigned off = ist ? 0x24 + (ist - 1) * 8 : 4 + cpl * 8;
    struct stack s = { .cpl = cpl, .wide = true };

    tss_holds(vp, off + 7);
    s.sp = tss_read(vp, off, 8);
    if (!canonical(s.sp))
        soft_raise_error(vp, EXC_SS, vp->ext);
    seg_fill_null(&s.seg, (uint16_t)cpl);
    s.seg.attr = (uint16_t)(cpl << 5);
    return s;
}

struct stack stack_from_tss(struct soft_vp *vp, unsigned cpl, unsigned ist)
{
    bool wide = vp->seg[SEG_TR].attr & ATTR_CODE; /* a 32-bit TSS */
    unsigned off = wide ? 4 + cpl * 8 : 2 + cpl * 4;
    struct stack s = { .cpl = cpl };
    struct desc d;
    uint16_t sel;

    if (in_long(vp))
        return stack_long(vp, cpl, ist);
    tss_holds(vp, off + (wide ? 5 : 3));
    s.sp = tss_read(vp, off, wide ? 4 : 2);
    sel = (uint16_t)tss_read(vp, off + (wide ? 4 : 2), 2);
    seg_check_ss(vp, sel, cpl, EXC_TS, &d);
    desc_set_accessed(vp, &d);
    seg_fill(&s.seg, sel, &d);
    s.error = sel & 0xfffc;
    return s;
}
