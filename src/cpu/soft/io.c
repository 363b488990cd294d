/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io.c - IN and OUT, the permission map, and the hypercall port.
 *
 * Source: Intel SDM 1 19.5, 2 "IN", "OUT".  HYPERCALL_PORT: cpu/engine.h. */
#include <string.h>

#include "cpu/soft/soft.h"
#include "cpu/soft/sys_insn.h"

/* One bit a port in the TSS, read as a word that may reach one byte further. */
static bool map_allows(struct soft_vp *vp, uint16_t port, unsigned size)
{
    const struct vp_segment *tr = &vp->seg[SEG_TR];
    uint32_t at, bits;

    if (tr->unusable || !(tr->attr & 8) || tr->limit < 103)
        return false;
    at = (uint32_t)mem_sys_read(vp, linear(vp, tr->base + 102), 2) + port / 8;
    if (at + 1 > tr->limit)
        return false;
    bits = (uint32_t)mem_sys_read(vp, linear(vp, tr->base + at), 2);
    return !(bits >> (port & 7) & ((1u << size) - 1));
}

void io_check(struct soft_vp *vp, uint16_t port, unsigned size)
{
    bool free = !(vp->cr0 & CR0_PE) || (!in_vm86(vp) && vp->cpl <= iopl(vp));

    if (!free && !map_allows(vp, port, size))
        raise_gp(vp);
}

uint32_t io_read(struct soft_vp *vp, uint16_t port, unsigned size)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    uint32_t v;

    debug_io_access(vp, port, size);
    vp->count.pio++;
    soft_note_exit(vp, "in", port);
    soft_leave(vp);
    v = cfg->exits->pio_read(cfg->owner, &vp->vp, port, size);
    soft_enter(vp);
    return size == 4 ? v : v & ((1u << size * 8) - 1);
}

void io_write(struct soft_vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;

    debug_io_access(vp, port, size);
    vp->count.pio++;
    if (size < 4)
        value &= (1u << size * 8) - 1;
    soft_note_exit(vp, "out", port);
    soft_leave(vp);
    cfg->exits->pio_write(cfg->owner, &vp->vp, port, size, value);
    soft_enter(vp);
}

/* ---- hypercalls ------------------------------------------------------------------------------ */

static void hypercall(struct soft_vp *vp)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    struct hypercall h = {
        .rax = vp->gpr[RAX], .rbx = vp->gpr[RBX], .rcx = vp->gpr[RCX], .rdx = vp->gpr[RDX],
        .rsi = vp->gpr[RSI], .rdi = vp->gpr[RDI], .r8 = vp->gpr[R8],
        .cpl = vp->cpl, .long_mode = in_code64(vp),
    };
    bool done;

    h.rip = linear(vp, vp->seg_base[SEG_CS] + vp->rip);
    if (!mmu_translate(vp, h.rip, &h.rip_gpa))
        h.rip_gpa = GPA(~UINT64_C(0));
    for (unsigned i = 0; i < ARRAY_LEN(h.xmm); i++)
        memcpy(h.xmm[i], vp->fpu.ymm[i], sizeof(h.xmm[i]));
    vp->count.hypercalls++;
    soft_note_exit(vp, "hypercall", h.rcx);
    soft_leave(vp);
    done = cfg->exits->hypercall(cfg->owner, &vp->vp, &h);
    soft_enter(vp);
    if (!done)
        return;
    if (h.long_mode) {
        vp->gpr[RAX] = h.result;
    } else {
        vp->gpr[RAX] = (uint32_t)h.result;
        vp->gpr[RDX] = h.result >> 32;
    }
}

/* ---- instructions ---------------------------------------------------------------------------- */

static unsigned io_size(const struct insn *in) /* even opcodes are the byte forms */
{
    return in->opcode & 1 ? MIN(in->op_size, 4u) : 1;
}

static void do_in(struct soft_vp *vp, const struct insn *in, uint16_t port)
{
    unsigned size = io_size(in);

    io_check(vp, port, size);
    insn_set_reg(vp, in, RAX, size, io_read(vp, port, size));
}

static void do_out(struct soft_vp *vp, const struct insn *in, uint16_t port)
{
    unsigned size = io_size(in);

    io_check(vp, port, size);
    if (in->opcode == 0xe7 && port == HYPERCALL_PORT && size == 4)
        hypercall(vp);
    else
        io_write(vp, port, size, (uint32_t)vp->gpr[RAX]);
}

void insn_in_imm(struct soft_vp *vp, const struct insn *in)
{
    do_in(vp, in, in->imm & 0xff);
}

void insn_in_dx(struct soft_vp *vp, const struct insn *in)
{
    do_in(vp, in, (uint16_t)vp->gpr[RDX]);
}

void insn_out_imm(struct soft_vp *vp, const struct insn *in)
{
    do_out(vp, in, in->imm & 0xff);
}

void insn_out_dx(struct soft_vp *vp, const struct insn *in)
{
    do_out(vp, in, (uint16_t)vp->gpr[RDX]);
}
