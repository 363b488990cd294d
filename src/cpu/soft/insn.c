/* SPDX-License-Identifier: GPL-2.0-or-later */
/* insn.c - operands of instructions for those written as helpers (exec.h). */
#include "cpu/soft/core_insn.h"

uint64_t insn_offset(const struct soft_vp *vp, const struct insn *in)
{
    uint64_t off;

    if (!in->has_modrm) { /* moffs */
        off = in->imm;
    } else {
        off = (uint64_t)(int64_t)in->disp;
        if (in->base < GPRS)
            off += vp->gpr[in->base];
        else if (in->base == INSN_RIP)
            off += vp->next_rip;
        if (in->index < GPRS)
            off += vp->gpr[in->index] << in->scale;
    }
    return in->addr_size == 8 ? off : in->addr_size == 4 ? (uint32_t)off : (uint16_t)off;
}

static _Noreturn void segment_fault(struct soft_vp *vp, unsigned seg)
{
    soft_raise_error(vp, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

static void segment_check(struct soft_vp *vp, unsigned seg, uint64_t off, unsigned size, bool write)
{
    const struct vp_segment *s = &vp->seg[seg];
    unsigned type = s->attr & 15;
    uint64_t last = off + size - 1;

    if (vp->mode & MODE_PROT) {
        if (s->unusable)
            segment_fault(vp, seg);
        if (type & 8 ? write || !(type & 2) : write && !(type & 2))
            segment_fault(vp, seg);
    }
    if ((type & 12) == 4) { /* expand-down data */
        uint64_t top = s->attr & 1 << 14 ? 0xffffffff : 0xffff;

        if (off <= s->limit || last > top)
            segment_fault(vp, seg);
    } else if (last > s->limit) {
        segment_fault(vp, seg);
    }
}

/* Linear address of [off, off + size) in segment 'seg', checked as the mode demands. */
static inline uint64_t segment_address(struct soft_vp *vp, unsigned seg, uint64_t off, unsigned size,
                                       bool write)
{
    uint64_t va = off + vp->seg_base[seg];

    if (is_64(vp)) {
        if (unlikely(!va_canonical(va) || !va_canonical(va + size - 1)))
            segment_fault(vp, seg);
        return va;
    }
    if (!(vp->mode & MODE_FLAT) || seg >= SEG_FS)
        segment_check(vp, seg, off, size, write);
    return (uint32_t)va;
}

uint64_t address_at(struct soft_vp *vp, unsigned seg, uint64_t off, unsigned size, bool write)
{
    return segment_address(vp, seg, off, size, write);
}

uint64_t insn_address(struct soft_vp *vp, const struct insn *in, unsigned size, bool write)
{
    return segment_address(vp, in->seg, insn_offset(vp, in), size, write);
}

static bool high_byte(const struct insn *in, unsigned reg)
{
    return (reg & ~3u) == 4 && !(in->prefixes & (PFX_REX | PFX_VEX));
}

uint64_t insn_reg(const struct soft_vp *vp, const struct insn *in, unsigned reg, unsigned size)
{
    switch (size) {
    case 1: return high_byte(in, reg) ? vp->gpr[reg - 4] >> 8 & 0xff : vp->gpr[reg] & 0xff;
    case 2: return vp->gpr[reg] & 0xffff;
    case 4: return vp->gpr[reg] & 0xffffffff;
    default: return vp->gpr[reg];
    }
}

void insn_set_reg(struct soft_vp *vp, const struct insn *in, unsigned reg, unsigned size,
                  uint64_t value)
{
    uint8_t *p = (uint8_t *)&vp->gpr[reg];

    switch (size) {
    case 1:
        if (high_byte(in, reg))
            p = (uint8_t *)&vp->gpr[reg - 4] + 1;
        *p = (uint8_t)value;
        break;
    case 2: *(uint16_t *)p = (uint16_t)value; break;
    case 4: vp->gpr[reg] = (uint32_t)value; break;
    default: vp->gpr[reg] = value; break;
    }
}

uint64_t insn_rm(struct soft_vp *vp, const struct insn *in, unsigned size)
{
    if (in->mod == 3)
        return insn_reg(vp, in, in->rm, size);
    return mem_load(vp, insn_address(vp, in, size, false), size);
}

void insn_set_rm(struct soft_vp *vp, const struct insn *in, unsigned size, uint64_t value)
{
    if (in->mod == 3)
        insn_set_reg(vp, in, in->rm, size, value);
    else
        mem_store(vp, insn_address(vp, in, size, true), size, value);
}

/* ---- the stack ------------------------------------------------------------------------------- */

static uint64_t stack_mask(const struct soft_vp *vp)
{
    return is_64(vp) ? UINT64_MAX : vp->mode & MODE_STACK32 ? 0xffffffff : 0xffff;
}

void stack_move(struct soft_vp *vp, uint64_t sp)
{
    uint64_t mask = stack_mask(vp);

    if (mask == 0xffff)
        R16(RSP) = (uint16_t)sp;
    else
        vp->gpr[RSP] = sp & mask;
}

uint64_t stack_peek(struct soft_vp *vp, uint64_t sp, unsigned size)
{
    return mem_load(vp, segment_address(vp, SEG_SS, sp & stack_mask(vp), size, false), size);
}

void stack_poke(struct soft_vp *vp, uint64_t sp, unsigned size, uint64_t value)
{
    mem_store(vp, segment_address(vp, SEG_SS, sp & stack_mask(vp), size, true), size, value);
}

void stack_probe(struct soft_vp *vp, uint64_t sp, unsigned size)
{
    mem_probe_write(vp, segment_address(vp, SEG_SS, sp & stack_mask(vp), size, true), size);
}

void stack_push(struct soft_vp *vp, unsigned size, uint64_t value)
{
    uint64_t sp = vp->gpr[RSP] - size;

    stack_poke(vp, sp, size, value);
    stack_move(vp, sp);
}

uint64_t stack_pop(struct soft_vp *vp, unsigned size)
{
    uint64_t value = stack_peek(vp, vp->gpr[RSP], size);

    stack_move(vp, vp->gpr[RSP] + size);
    return value;
}
