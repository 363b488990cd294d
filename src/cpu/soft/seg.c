/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seg.c - descriptors and segment registers: fetching, checking, loading (seg.h).
 *
 * Sources: Intel SDM 3A 3.4, 5.4-5.7, 2A "MOV"; AMD64 APM 2 4.7-4.10.  Where vendors differ:
 * loading null into FS or GS clears the base (CPUID 0x80000021 says so on AMD).
 * The stack frames of transfers are in stack.c, the instructions in seg_insn.c. */
#include "cpu/soft/seg.h"

#include "cpu/soft/mem.h"

_Noreturn void raise_sel(struct soft_vp *vp, uint8_t vector, uint16_t sel)
{
    soft_raise_error(vp, vector, (sel & 0xfffcu) | vp->ext);
}

_Noreturn void raise_gp(struct soft_vp *vp)
{
    soft_raise_error(vp, EXC_GP, vp->ext);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static uint64_t table_base(const struct soft_vp *vp, uint16_t sel, uint32_t *ret_limit)
{
    if (!(sel & 4)) {
        *ret_limit = vp->gdt.limit;
        return vp->gdt.base;
    }
    *ret_limit = vp->seg[SEG_LDTR].unusable ? 0 : vp->seg[SEG_LDTR].limit;
    return vp->seg[SEG_LDTR].base;
}

bool desc_read(struct soft_vp *vp, uint16_t sel, struct desc *ret)
{
    uint32_t limit, off = sel & 0xfff8u;
    uint64_t base = table_base(vp, sel, &limit);

    if (off + 7 > limit)
        return false;
    ret->at = linear(vp, base + off);
    ret->raw = mem_sys_read(vp, ret->at, 8);
    ret->attr = (uint16_t)(ret->raw >> 40 & 0xf0ff);
    ret->base = (ret->raw >> 16 & 0xffffff) | (ret->raw >> 56 << 24);
    ret->limit = (uint32_t)((ret->raw & 0xffff) | (ret->raw >> 32 & 0xf0000));
    if (ret->attr & ATTR_G)
        ret->limit = ret->limit << 12 | 0xfff;
    return true;
}

bool desc_extend(struct soft_vp *vp, uint16_t sel, struct desc *d)
{
    uint32_t limit, off = sel & 0xfff8u;
    uint64_t high;

    table_base(vp, sel, &limit);
    if (off + 15 > limit)
        return false;
    high = mem_sys_read(vp, d->at + 8, 8);
    if (high >> 40 & 0x1f)
        return false;
    d->base |= high << 32;
    return true;
}

/* Only the type byte is written: the other bytes may change under another VP's hands. */
static void desc_set_type_bits(struct soft_vp *vp, struct desc *d, unsigned attr)
{
    d->attr = (uint16_t)attr;
    d->raw = (d->raw & ~(UINT64_C(0xff) << 40)) | (uint64_t)(attr & 0xff) << 40;
    mem_sys_write(vp, linear(vp, d->at + 5), 1, attr & 0xff);
}

void desc_set_accessed(struct soft_vp *vp, struct desc *d)
{
    if (!(d->attr & ATTR_ACCESSED))
        desc_set_type_bits(vp, d, d->attr | ATTR_ACCESSED);
}

void desc_set_busy(struct soft_vp *vp, struct desc *d, bool busy)
{
    desc_set_type_bits(vp, d, busy ? d->attr | SYS_BUSY : d->attr & ~(unsigned)SYS_BUSY);
}

/* ---- hidden parts ---------------------------------------------------------------------------- */

void seg_fill(struct vp_segment *s, uint16_t sel, const struct desc *d)
{
    *s = (struct vp_segment){ .base = d->base, .limit = d->limit, .sel = sel, .attr = d->attr };
}

/* Limit and attributes stay: "unreal mode". */
void seg_fill_real(struct vp_segment *s, uint16_t sel)
{
    if (s->unusable) {
        s->limit = 0xffff;
        s->attr = ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED;
        s->unusable = 0;
    }
    s->sel = sel;
    s->base = (uint32_t)sel << 4;
}

void seg_fill_vm86(struct vp_segment *s, uint16_t sel)
{
    *s = (struct vp_segment){ .base = (uint32_t)sel << 4, .limit = 0xffff, .sel = sel,
                              .attr = ATTR_P | ATTR_DPL | ATTR_S | ATTR_RW | ATTR_ACCESSED };
}

void seg_fill_null(struct vp_segment *s, uint16_t sel)
{
    *s = (struct vp_segment){ .sel = sel, .unusable = 1 };
}

void seg_fill_flat(struct vp_segment *s, uint16_t sel, uint16_t attr)
{
    *s = (struct vp_segment){ .limit = 0xffffffff, .sel = sel, .attr = attr };
}

bool seg_in_limit(const struct vp_segment *s, uint64_t off, unsigned size)
{
    uint64_t last = off + size - 1;

    if (s->unusable)
        return false;
    if ((s->attr & (ATTR_CODE | ATTR_EC)) == ATTR_EC)
        return off > s->limit && last <= (s->attr & ATTR_DB ? 0xffffffff : 0xffff);
    return last <= s->limit;
}

/* ---- checks ---------------------------------------------------------------------------------- */

void seg_check_ss(struct soft_vp *vp, uint16_t sel, unsigned cpl, uint8_t vec, struct desc *ret)
{
    if (sel_null(sel))
        soft_raise_error(vp, vec, vp->ext);
    if (!desc_read(vp, sel, ret) || (sel & 3u) != cpl || attr_dpl(ret->attr) != cpl ||
        !attr_is_stack(ret->attr))
        raise_sel(vp, vec, sel);
    if (!(ret->attr & ATTR_P))
        raise_sel(vp, EXC_SS, sel);
}

void seg_check_data(struct soft_vp *vp, uint16_t sel, uint8_t vec, struct desc *ret)
{
    unsigned attr;

    if (!desc_read(vp, sel, ret))
        raise_sel(vp, vec, sel);
    attr = ret->attr;
    if (!(attr & ATTR_S) || (attr & (ATTR_CODE | ATTR_RW)) == ATTR_CODE)
        raise_sel(vp, vec, sel);
    if (!attr_is_conforming(attr) && attr_dpl(attr) < MAX(sel & 3u, vp->cpl))
        raise_sel(vp, vec, sel);
    if (!(attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
}

void seg_read_code(struct soft_vp *vp, uint16_t sel, struct desc *ret)
{
    if (sel_null(sel))
        raise_gp(vp);
    if (!desc_read(vp, sel, ret) || !attr_is_code(ret->attr))
        raise_sel(vp, EXC_GP, sel);
}

void seg_check_code(struct soft_vp *vp, uint16_t sel, const struct desc *d)
{
    if (in_long(vp) && (d->attr & ATTR_L) && (d->attr & ATTR_DB))
        raise_sel(vp, EXC_GP, sel);
    if (!(d->attr & ATTR_P))
        raise_sel(vp, EXC_NP, sel);
}

void seg_check_target(struct soft_vp *vp, const struct desc *d, uint64_t off)
{
    if (in_long(vp) && (d->attr & ATTR_L) ? !canonical(off) : off > d->limit)
        raise_gp(vp);
}

void seg_check_ldt(struct soft_vp *vp, uint16_t sel, uint8_t vec, struct desc *ret)
{
    if ((sel & 4) || !desc_read(vp, sel, ret) || attr_sys_type(ret->attr) != SYS_LDT)
        raise_sel(vp, vec, sel);
    if (in_long(vp) && (!desc_extend(vp, sel, ret) || !canonical(ret->base)))
        raise_sel(vp, vec, sel);
    if (!(ret->attr & ATTR_P))
        raise_sel(vp, vec == EXC_TS ? EXC_TS : EXC_NP, sel);
}

/* ---- loads ----------------------------------------------------------------------------------- */

static void load_ss(struct soft_vp *vp, uint16_t sel)
{
    struct desc d;

    if (sel_null(sel) && in_code64(vp) && vp->cpl != 3 && (sel & 3u) == vp->cpl) {
        seg_fill_null(&vp->seg[SEG_SS], sel);
        vp->seg[SEG_SS].attr = (uint16_t)(vp->cpl << 5);
        return;
    }
    seg_check_ss(vp, sel, vp->cpl, EXC_GP, &d);
    desc_set_accessed(vp, &d);
    seg_fill(&vp->seg[SEG_SS], sel, &d);
}

void seg_load(struct soft_vp *vp, enum vp_seg n, uint16_t sel)
{
    struct desc d;

    if (in_vm86(vp)) {
        seg_fill_vm86(&vp->seg[n], sel);
    } else if (!in_prot(vp)) {
        seg_fill_real(&vp->seg[n], sel);
    } else if (n == SEG_SS) {
        load_ss(vp, sel);
    } else if (sel_null(sel)) {
        seg_fill_null(&vp->seg[n], sel);
    } else {
        seg_check_data(vp, sel, EXC_GP, &d);
        desc_set_accessed(vp, &d);
        seg_fill(&vp->seg[n], sel, &d);
    }
    soft_mode_changed(vp);
}

/* The base stays: FS and GS have theirs from MSRs in 64-bit code. */
void seg_drop_inner(struct soft_vp *vp, unsigned cpl)
{
    static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

    for (size_t i = 0; i < ARRAY_LEN(data); i++) {
        struct vp_segment *s = &vp->seg[data[i]];

        if (!s->unusable && attr_dpl(s->attr) < cpl && !attr_is_conforming(s->attr)) {
            s->sel = 0;
            s->unusable = 1;
        }
    }
}
