/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sse.c - SSE and MMX instructions as host code around the same instruction (stub.h).
 *
 * The body loads XMM0 from r, executes the guest's instruction on XMM0 and m, and stores XMM0.  MMX
 * registers are the host's own: there the instruction stays as it is, but for its memory operand.
 * Not modelled: MXCSR.MM (AMD's misaligned mode), SSE4A, 3DNow!. */
#include <string.h>

#include "cpu/soft/fpu_private.h"
#include "cpu/soft/sse_table.h"

#define REG(r, m) (0xc0 | ((r) & 7) << 3 | ((m) & 7))

static void put_opcode(struct stub *s, const struct insn *in, unsigned rex)
{
    static const uint8_t prefix[4] = { 0, 0x66, 0xf3, 0xf2 };
    unsigned pp = sse_pp(in);

    if (pp)
        stub_byte(s, prefix[pp]);
    if (rex)
        stub_byte(s, 0x40 | rex);
    stub_byte(s, 0x0f);
    if (in->map == MAP_0F38)
        stub_byte(s, 0x38);
    if (in->map == MAP_0F3A)
        stub_byte(s, 0x3a);
    stub_byte(s, in->opcode);
}

/* The guest's instruction between register 'r' and the operand at 'm'. */
static void put_op(struct stub *s, const struct insn *in, bool wide, unsigned r, enum stub_place m)
{
    put_opcode(s, in, (wide ? 8 : 0) | stub_rex(s, m));
    stub_modrm(s, r, m);
    if (in->imm_size)
        stub_byte(s, (uint8_t)in->imm);
}

static void put_regs(struct stub *s, const struct insn *in, bool wide, unsigned r, unsigned m)
{
    put_opcode(s, in, wide ? 8 : 0);
    stub_byte(s, REG(r, m));
    if (in->imm_size)
        stub_byte(s, (uint8_t)in->imm);
}

static void movaps(struct stub *s, unsigned opcode, unsigned r, enum stub_place m)
{
    if (stub_rex(s, m))
        stub_byte(s, 0x40 | stub_rex(s, m));
    stub_byte(s, 0x0f);
    stub_byte(s, opcode);
    stub_modrm(s, r, m);
}

static void load_xmm(struct stub *s, unsigned r, enum stub_place m)
{
    movaps(s, 0x28, r, m);
}

static void store_xmm0(struct stub *s)
{
    movaps(s, 0x29, 0, STUB_DST);
}

static void load_rax(struct stub *s, enum stub_place m)
{
    stub_byte(s, 0x48 | stub_rex(s, m));
    stub_byte(s, 0x8b);
    stub_modrm(s, RAX, m);
}

static void store_rax(struct stub *s)
{
    stub_byte(s, 0x48 | stub_rex(s, STUB_DST));
    stub_byte(s, 0x89);
    stub_modrm(s, RAX, STUB_DST);
}

static void mov_vp(struct stub *s, unsigned reg, size_t off, bool store)
{
    stub_byte(s, 0x48); /* mov off(%rdi), %reg or back */
    stub_byte(s, store ? 0x89 : 0x8b);
    stub_byte(s, 0x80 | reg << 3 | RDI);
    stub_u32(s, (uint32_t)off);
}

static void movaps_vp_xmm0(struct stub *s, bool store)
{
    STUB(s, 0x0f);
    stub_byte(s, store ? 0x29 : 0x28);
    stub_byte(s, 0x80 | RDI);
    stub_u32(s, fpu_off_xmm(0));
}

/* PCMPESTRM/I, PCMPISTRM/I: lengths in RAX and RDX, results in RCX or XMM0, flags. */
static void string_stub(struct stub *s, const struct insn *in)
{
    load_xmm(s, 1, STUB_DST);
    if (in->opcode < 0x62) {
        mov_vp(s, RAX, fpu_off_gpr(RAX), false);
        mov_vp(s, RDX, fpu_off_gpr(RDX), false);
    }
    put_op(s, in, in->rex & 8, 1, STUB_SRC);
    if (in->opcode & 1)
        mov_vp(s, RCX, fpu_off_gpr(RCX), true);
    else
        movaps_vp_xmm0(s, true);
}

static void x0_stub(struct stub *s, const struct insn *in)
{
    movaps_vp_xmm0(s, false);
    load_xmm(s, 1, STUB_DST);
    put_op(s, in, false, 1, STUB_SRC);
    movaps(s, 0x29, 1, STUB_DST);
}

/* xmm0 = op(xmm0, xmm1) */
static void regs_stub(struct stub *s, const struct insn *in)
{
    load_xmm(s, 0, STUB_DST);
    load_xmm(s, 1, STUB_SRC);
    put_regs(s, in, false, 0, 1);
    store_xmm0(s);
}

/* MOVSS, MOVSD between registers: opcode 11 would name the target second. */
static void move_scalar_stub(struct stub *s, const struct insn *in)
{
    load_xmm(s, 0, STUB_DST);
    load_xmm(s, 1, STUB_SRC);
    stub_byte(s, in->prefixes & PFX_REP ? 0xf3 : 0xf2);
    STUB(s, 0x0f, 0x10, 0xc1);
    store_xmm0(s);
}

static void store_stub(struct stub *s, const struct insn *in)
{
    load_xmm(s, 0, STUB_SRC);
    put_op(s, in, false, 0, STUB_DST);
}

/* The shapes with an XMM register at r and any m: *op stands for r <- m. */
static bool xmm_pick(const struct insn *in, const struct sse_row *row, struct fpu_op *op,
                     struct stub *s)
{
    bool reg = in->mod == 3;

    switch ((enum sse_shape)row->shape) {
    case SSE_W:
        put_op(s, in, false, 0, STUB_SRC);
        store_xmm0(s);
        return true;
    case SSE_REGS:
        if (reg) {
            regs_stub(s, in);
            return true;
        }
        __attribute__((fallthrough));
    case SSE_RMW:
        load_xmm(s, 0, STUB_DST);
        put_op(s, in, false, 0, STUB_SRC);
        store_xmm0(s);
        return true;
    case SSE_MOVS:
        if (reg) {
            move_scalar_stub(s, in);
            return true;
        }
        put_op(s, in, false, 0, STUB_SRC);
        store_xmm0(s);
        return true;
    case SSE_X0:
        x0_stub(s, in);
        return true;
    case SSE_CMP:
    case SSE_TEST:
        load_xmm(s, 0, STUB_DST);
        put_op(s, in, false, 0, STUB_SRC);
        op->flags |= FPU_FLAGS;
        return true;
    case SSE_STR:
        string_stub(s, in);
        op->flags |= FPU_FLAGS;
        return true;
    default:
        return false;
    }
}

/* Stores: m <- r, so the register of dst and src change places. */
static bool store_pick(const struct insn *in, const struct sse_row *row, struct fpu_op *op,
                       struct stub *s)
{
    bool reg = in->mod == 3;

    op->src = fpu_off_xmm(in->reg);
    op->dst = reg ? fpu_off_xmm(in->rm) : 0;
    op->form = reg ? FPU_REG : FPU_STORE;
    switch ((enum sse_shape)row->shape) {
    case SSE_ST:
        if (reg) {
            load_xmm(s, 0, STUB_SRC);
            store_xmm0(s);
        } else {
            store_stub(s, in);
        }
        return true;
    case SSE_STQ:
        if (reg) {
            load_xmm(s, 0, STUB_SRC);
            STUB(s, 0xf3, 0x0f, 0x7e, 0xc0); /* movq %xmm0, %xmm0 clears the upper half */
            store_xmm0(s);
        } else {
            store_stub(s, in);
        }
        return true;
    case SSE_STS:
        if (reg)
            move_scalar_stub(s, in);
        else
            store_stub(s, in);
        return true;
    default:
        return false;
    }
}

/* Between XMM and general registers or memory. */
static bool general_pick(const struct insn *in, const struct sse_row *row, struct fpu_op *op,
                         struct stub *s)
{
    bool reg = in->mod == 3, wide = (row->flags & SSE_WIDE) && (in->rex & 8);

    switch ((enum sse_shape)row->shape) {
    case SSE_INS_G:
        load_xmm(s, 0, STUB_DST);
        __attribute__((fallthrough));
    case SSE_FROM_G:
        op->src = reg ? fpu_off_gpr(in->rm) : 0;
        put_op(s, in, wide, 0, STUB_SRC);
        store_xmm0(s);
        break;
    case SSE_TO_G:
        op->dst = fpu_off_gpr(in->reg);
        put_op(s, in, wide, RAX, STUB_SRC);
        store_rax(s);
        return true;
    case SSE_TO_GR:
        op->dst = fpu_off_gpr(in->reg);
        load_xmm(s, 1, STUB_SRC);
        put_regs(s, in, false, RAX, 1);
        store_rax(s);
        return true;
    case SSE_EXT:
        op->src = fpu_off_xmm(in->reg);
        op->dst = reg ? fpu_off_gpr(in->rm) : 0;
        op->form = reg ? FPU_REG : FPU_STORE;
        load_xmm(s, 0, STUB_SRC);
        if (reg) {
            put_regs(s, in, wide, 0, RAX);
            store_rax(s);
        } else {
            put_op(s, in, wide, 0, STUB_DST);
        }
        break;
    case SSE_MOVNTI:
        op->src = fpu_off_gpr(in->reg);
        op->dst = 0;
        op->form = FPU_STORE;
        load_rax(s, STUB_SRC);
        put_op(s, in, wide, RAX, STUB_DST);
        break;
    case SSE_CRC:
        op->dst = fpu_off_gpr(in->reg);
        op->size = in->opcode == 0xf0 ? 1 : wide ? 8 : in->prefixes & PFX_66 ? 2 : 4;
        op->src = reg ? fpu_off_gpr(in->rm) : 0;
        if (reg && op->size == 1 && !(in->prefixes & PFX_REX) && in->rm >= 4)
            op->src = (uint16_t)(fpu_off_gpr(in->rm - 4u) + 1);
        load_rax(s, STUB_DST);
        if (op->size == 2)
            STUB(s, 0x66);
        put_op(s, in, wide, RAX, STUB_SRC);
        store_rax(s);
        return true;
    default:
        return false;
    }
    if (wide)
        op->size = 8;
    return true;
}

/* MMX: register numbers are in the code; REX extends none of them. */
static bool mmx_pick(const struct insn *in, const struct sse_row *row, struct fpu_op *op,
                     struct stub *s)
{
    bool reg = in->mod == 3, wide = (row->flags & SSE_WIDE) && (in->rex & 8);

    op->flags |= FPU_X87;
    switch ((enum sse_shape)row->shape) {
    case MMX_RMW:
    case MMX_FROM_G:
        op->dst = 0;
        op->src = reg && row->shape == MMX_FROM_G ? fpu_off_gpr(in->rm) : 0;
        if (reg && row->shape == MMX_RMW)
            put_regs(s, in, wide, in->reg, in->rm);
        else
            put_op(s, in, wide, in->reg, STUB_SRC);
        break;
    case MMX_ST:
        op->dst = op->src = 0;
        op->form = reg ? FPU_REG : FPU_STORE;
        if (reg)
            put_regs(s, in, false, in->reg, in->rm);
        else
            put_op(s, in, false, in->reg, STUB_DST);
        break;
    case MMX_EXT:
        op->src = 0;
        op->dst = reg ? fpu_off_gpr(in->rm) : 0;
        op->form = reg ? FPU_REG : FPU_STORE;
        if (reg) {
            put_regs(s, in, wide, in->reg, RAX);
            store_rax(s);
        } else {
            put_op(s, in, wide, in->reg, STUB_DST);
        }
        break;
    case MMX_TO_GR:
        op->src = 0;
        op->dst = fpu_off_gpr(in->reg);
        put_regs(s, in, false, RAX, in->rm);
        store_rax(s);
        break;
    case MMX_SHIFT:
        op->dst = op->src = 0;
        put_regs(s, in, false, in->reg, in->rm);
        break;
    case MMX_EMMS:
        op->dst = op->src = 0;
        STUB(s, 0x0f, 0x77);
        break;
    default:
        return false;
    }
    if (wide)
        op->size = 8;
    return true;
}

/* Between MMX and XMM. */
static bool mixed_pick(const struct insn *in, const struct sse_row *row, struct fpu_op *op,
                       struct stub *s)
{
    bool reg = in->mod == 3;

    switch ((enum sse_shape)row->shape) {
    case MMX_TO_X:
        if (reg) /* from memory they leave the x87 state alone */
            op->flags |= FPU_X87;
        op->src = 0;
        load_xmm(s, 0, STUB_DST);
        if (reg)
            put_regs(s, in, false, 0, in->rm);
        else
            put_op(s, in, false, 0, STUB_SRC);
        store_xmm0(s);
        return true;
    case MMX_FROM_X:
        op->flags |= FPU_X87;
        op->dst = 0;
        put_op(s, in, false, in->reg, STUB_SRC);
        return true;
    case MMX_MOVQ2DQ:
        op->flags |= FPU_X87;
        op->src = 0;
        put_regs(s, in, false, 0, in->rm);
        store_xmm0(s);
        return true;
    case MMX_MOVDQ2Q:
        op->flags |= FPU_X87;
        op->dst = 0;
        load_xmm(s, 0, STUB_SRC);
        put_regs(s, in, false, in->reg, 0);
        return true;
    default:
        return false;
    }
}

/* Groups 12, 13, 14: shift by immediate. */
static bool shift_ok(const struct insn *in, bool mmx)
{
    unsigned r = in->reg & 7;

    switch (in->opcode) {
    case 0x71: return r == 2 || r == 4 || r == 6;
    case 0x72: return r == 2 || r == 4 || r == 6;
    default: return r == 2 || r == 6 || (!mmx && (r == 3 || r == 7));
    }
}

/* Only what this host can execute, and what CPUID says to this guest. */
static bool offered(const struct soft_vp *vp, enum sse_feature f)
{
    uint32_t ecx1 = vp ? vp->feature.ecx1 : UINT32_MAX, ebx7 = vp ? vp->feature.ebx7 : UINT32_MAX;

    switch (f) {
    case SSE_BASE: return true;
    case SSE_3: return ecx1 & 1 << 0 && __builtin_cpu_supports("sse3");
    case SSE_S3: return ecx1 & 1 << 9 && __builtin_cpu_supports("ssse3");
    case SSE_41: return ecx1 & 1 << 19 && __builtin_cpu_supports("sse4.1");
    case SSE_42: return ecx1 & 1 << 20 && __builtin_cpu_supports("sse4.2");
    case SSE_AES: return ecx1 & 1 << 25 && __builtin_cpu_supports("aes");
    case SSE_CLMUL: return ecx1 & 1 << 1 && __builtin_cpu_supports("pclmul");
    case SSE_SHA: return ebx7 & 1 << 29; /* CPUID says it only if the host has it */
    }
    return false;
}

bool sse_pick(struct soft_vp *vp, const struct insn *in, struct fpu_op *op, struct stub *s)
{
    const struct sse_row *row = sse_row(in);
    bool reg = in->mod == 3;

    if (!row || !offered(vp, row->feature))
        return false;
    if (row->shape == MMX_EMMS)
        reg = true;
    else if ((reg && (row->flags & SSE_MEM)) || (!reg && (row->flags & SSE_REG)))
        return false;
    op->form = reg ? FPU_REG : FPU_LOAD;
    op->size = row->size;
    op->align = row->size == 16 && !(row->flags & SSE_UNAL) ? 15 : 0;
    op->dst = fpu_off_xmm(in->reg & 15);
    op->src = reg ? fpu_off_xmm(in->rm & 15) : 0;
    op->flags = row->flags & SSE_FP ? FPU_XM : 0;
    if ((row->shape == SSE_SHIFT || row->shape == MMX_SHIFT) &&
        !shift_ok(in, row->shape == MMX_SHIFT))
        return false;
    if (row->shape == SSE_SHIFT) {
        op->dst = op->src = fpu_off_xmm(in->rm);
        load_xmm(s, 0, STUB_SRC);
        put_regs(s, in, false, in->reg, 0);
        store_xmm0(s);
        return true;
    }
    if (row->shape <= SSE_LAST_XMM)
        return xmm_pick(in, row, op, s);
    if (row->shape <= SSE_LAST_STORE)
        return store_pick(in, row, op, s);
    if (row->shape <= SSE_LAST_GENERAL)
        return general_pick(in, row, op, s);
    return row->shape <= MMX_LAST ? mmx_pick(in, row, op, s) : mixed_pick(in, row, op, s);
}

/* ---- what needs more than two operands ----------------------------------------------------------
 */

/* MASKMOVQ, MASKMOVDQU: bytes of r to [rDI], those whose mask byte in m has its top bit set. */
static void maskmov_run(struct soft_vp *vp, const struct insn *in)
{
    bool mmx = !(in->prefixes & (PFX_66 | PFX_VEX));
    unsigned n = mmx ? 8 : 16;
    uint8_t data[16], mask[16];
    struct insn at = *in;
    uint64_t va;

    if (mmx) {
        fpu_check_mmx(vp);
        fpu_load_x87(vp);
        __asm__ volatile("movq %%mm0, %0" : "=m"(data)); /* TOP is 0 now, even if it faults */
    } else if (in->prefixes & PFX_VEX) {
        fpu_check_avx(vp);
    } else {
        fpu_check_sse(vp);
    }
    at.mod = 0;
    at.base = RDI;
    at.index = INSN_NONE;
    at.disp = 0;
    va = insn_address(vp, &at, n, true);
    if (mmx) {
        fpu_sync(vp);
        memcpy(data, fpu_fx(vp)->st[in->reg & 7], 8);
        memcpy(mask, fpu_fx(vp)->st[in->rm & 7], 8);
    } else {
        memcpy(data, vp->fpu.ymm[in->reg & 15], 16);
        memcpy(mask, vp->fpu.ymm[in->rm & 15], 16);
    }
    mem_probe_write(vp, va, n); /* with an empty mask, too, as AMD's processors */
    for (unsigned i = 0; i < n; i++)
        if (mask[i] & 0x80)
            mem_write8(vp, va + i, data[i]);
}

static const struct helper maskmov_row = { "maskmov", maskmov_run, 0 };

const struct helper *sse_helper(const struct insn *in)
{
    bool vex = in->prefixes & PFX_VEX;

    if (in->map == MAP_0F && in->opcode == 0xf7 && in->mod == 3 && sse_pp(in) < 2 &&
        !(vex && (in->vex_l || in->vvvv || !in->vex_pp)))
        return &maskmov_row;
    return NULL;
}
