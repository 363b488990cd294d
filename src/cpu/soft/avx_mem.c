/* SPDX-License-Identifier: GPL-2.0-or-later */
/* avx_mem.c - VEX instructions that touch memory by element: masked moves and gathers; VZEROALL.
 *
 * Elements that the mask leaves out do not fault.  A gather that faults half way has its finished
 * elements in the target and out of the mask, as the architecture has it.
 * Not modelled: segment limits of 16- and 32-bit code.
 * Source: Intel SDM volume 2. */
#include <string.h>

#include "cpu/soft/fpu_private.h"

static uint64_t element(const uint8_t *reg, unsigned i, unsigned size)
{
    return size == 8 ? get_le64(reg + i * 8) : get_le32(reg + i * 4);
}

static bool selected(const uint8_t *mask, unsigned i, unsigned size)
{
    return mask[i * size + size - 1] & 0x80;
}

static bool canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* Linear address of an element at this offset. */
static uint64_t linear(struct soft_vp *vp, const struct insn *in, uint64_t off, unsigned size)
{
    uint64_t va;

    if (in->addr_size == 4)
        off = (uint32_t)off;
    va = off + vp->seg_base[in->seg];
    if ((vp->mode & MODE_SIZE) != MODE_64)
        return (uint32_t)va;
    if (!canonical(va) || !canonical(va + size - 1))
        soft_raise_error(vp, in->seg == SEG_SS ? EXC_SS : EXC_GP, 0);
    return va;
}

/* VMASKMOVPS/PD, VPMASKMOVD/Q */
static void maskmov_run(struct soft_vp *vp, const struct insn *in)
{
    bool fp = in->opcode < 0x80, store = fp ? in->opcode >= 0x2e : in->opcode == 0x8e;
    unsigned size = fp ? (in->opcode & 1 ? 8 : 4) : in->rex & 8 ? 8 : 4;
    unsigned n = (in->vex_l ? 32 : 16) / size;
    const uint8_t *mask = vp->fpu.ymm[in->vvvv];
    uint8_t data[32] = { 0 };
    uint64_t off;

    fpu_check_avx(vp);
    off = insn_offset(vp, in);
    for (unsigned i = 0; i < n; i++) {
        if (!selected(mask, i, size))
            continue;
        if (store)
            mem_probe_write(vp, linear(vp, in, off + i * size, size), size);
        else
            mem_read(vp, linear(vp, in, off + i * size, size), data + i * size, size);
    }
    for (unsigned i = 0; store && i < n; i++)
        if (selected(mask, i, size))
            mem_write(vp, linear(vp, in, off + i * size, size), vp->fpu.ymm[in->reg] + i * size,
                      size);
    if (!store)
        memcpy(vp->fpu.ymm[in->reg], data, 32);
}

/* VPGATHERxx, VGATHERxPx */
static void gather_run(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->rex & 8 ? 8 : 4, isize = in->opcode & 1 ? 8 : 4;
    unsigned n = (in->vex_l ? 32 : 16) / MAX(size, isize);
    uint8_t *dst = vp->fpu.ymm[in->reg], *mask = vp->fpu.ymm[in->vvvv];
    const uint8_t *index = vp->fpu.ymm[in->index & 15];
    struct insn base = *in;

    fpu_check_avx(vp);
    base.index = INSN_NONE;
    base.addr_size = 8;
    for (unsigned i = 0; i < n; i++) {
        uint64_t at, x = element(index, i, isize);

        if (!selected(mask, i, size)) {
            memset(mask + i * size, 0, size);
            continue;
        }
        at = (isize == 4 ? (uint64_t)(int32_t)x : x) << in->scale;
        at = linear(vp, in, at + insn_offset(vp, &base), size);
        mem_read(vp, at, dst + i * size, size);
        memset(mask + i * size, 0, size);
    }
    memset(mask, 0, 32);
    memset(dst + n * size, 0, 32 - n * size);
}

static void vzero_run(struct soft_vp *vp, const struct insn *in)
{
    fpu_check_avx(vp);
    for (unsigned i = 0; i < ((vp->mode & MODE_SIZE) == MODE_64 ? 16u : 8u); i++)
        memset(vp->fpu.ymm[i] + (in->vex_l ? 0 : 16), 0, in->vex_l ? 32 : 16);
}

static const struct helper maskmov_row = { "vmaskmov", maskmov_run, 0 };
static const struct helper gather_row = { "vgather", gather_run, 0 };
static const struct helper vzero_row = { "vzero", vzero_run, 0 };

const struct helper *avx_helper(const struct insn *in)
{
    if (!(in->prefixes & PFX_VEX) || !__builtin_cpu_supports("avx2"))
        return NULL;
    if (in->map == MAP_0F && in->opcode == 0x77 && !in->vex_pp && !in->vvvv)
        return &vzero_row;
    if (in->map != MAP_0F38 || in->vex_pp != 1 || in->mod == 3)
        return NULL;
    switch (in->opcode) {
    case 0x2c: case 0x2d: case 0x2e: case 0x2f: return in->rex & 8 ? NULL : &maskmov_row;
    case 0x8c: case 0x8e: return &maskmov_row;
    case 0x90: case 0x91: case 0x92: case 0x93:
        if (in->index == INSN_NONE || in->reg == in->vvvv || in->reg == in->index ||
            in->vvvv == in->index)
            return NULL;
        return &gather_row;
    default: return NULL;
    }
}
