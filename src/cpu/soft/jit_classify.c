/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_classify.c - which host instruction a guest's integer instruction becomes, what it reads and writes.
 *
 * What stays with the interpreter: string instructions, far transfers, system instructions, x87 and MMX,
 * VEX, operands in AH to BH that are written, 16-bit addresses and stacks.
 * Called: jit.c, and build.c by jit_knows().  Source: AMD64 APM volume 3. */
#include "cpu/soft/jit_private.h"

static bool is_memory(const struct insn *in)
{
    return in->has_modrm && in->mod != 3;
}

/* AH, CH, DH, BH */
static bool is_high(const struct insn *in, unsigned reg)
{
    return (reg & ~3u) == 4 && !(in->prefixes & PFX_REX);
}

static void written(struct jit_insn *u, unsigned reg)
{
    u->writes |= (uint16_t)(1u << reg);
}

/* ---- operands -------------------------------------------------------------------------------- */

/* ModRM with general registers. */
static bool rm_op(struct jit_insn *u, unsigned opc, unsigned size, unsigned reg_acc, unsigned rm_acc)
{
    const struct insn *in = &u->in;

    u->emit = emit_rm;
    u->opc = opc | (size == 2 ? OPC_66 : 0) | (size == 8 ? OPC_W : 0);
    u->size = u->mem_size = (uint8_t)size;
    u->reg_acc = (uint8_t)reg_acc;
    u->rm_acc = (uint8_t)rm_acc;
    u->ext = in->reg & 7;
    if (size == 1) {
        u->opc |= OPC_BYTE_RM | (reg_acc ? OPC_BYTE_REG : 0);
        u->reg_high = reg_acc && is_high(in, in->reg);
        u->rm_high = !is_memory(in) && is_high(in, in->rm);
        if ((u->reg_high && ((reg_acc & ACC_W) || u->rm_high)) ||
            (u->rm_high && (rm_acc & ACC_W) && reg_acc))
            return false;
    }
    if (reg_acc & ACC_W)
        written(u, in->reg);
    if ((rm_acc & ACC_W) && !is_memory(in))
        written(u, u->rm_high ? in->rm - 4u : in->rm);
    return true;
}

static bool immediate(struct jit_insn *u, unsigned n)
{
    u->imm_n = (uint8_t)n;
    return true;
}

/* The accumulator as r/m: its short forms name no host register of ours. */
static void as_accumulator(struct insn *in)
{
    in->has_modrm = true;
    in->mod = 3;
    in->rm = RAX;
}

static void no_flags(struct jit_insn *u)
{
    u->reads = u->makes = u->partial = false;
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

enum { KIND_ADD, KIND_OR, KIND_ADC, KIND_SBB, KIND_AND, KIND_SUB, KIND_XOR, KIND_CMP };

/* How the flags can be had again, for register operands 'a' and 'b' (or an immediate). */
static void set_recipe(struct jit_insn *u, unsigned kind, unsigned a, unsigned b)
{
    static const uint8_t of[8] = {
        [KIND_ADD] = RECIPE_ADD, [KIND_OR] = RECIPE_RESULT, [KIND_AND] = RECIPE_RESULT,
        [KIND_SUB] = RECIPE_SUB, [KIND_XOR] = RECIPE_RESULT, [KIND_CMP] = RECIPE_CMP,
    };
    const struct insn *in = &u->in;

    if (u->size == 1 && (is_high(in, a) || (b != INSN_NONE && is_high(in, b))))
        return;
    u->recipe = (struct recipe){ .kind = of[kind], .size = u->size, .a = (uint8_t)a, .b = (uint8_t)b,
                                 .imm = (int32_t)in->imm };
    if (of[kind] == RECIPE_RESULT)
        u->recipe.b = INSN_NONE;
    else if (a == b && kind == KIND_SUB)
        u->recipe = (struct recipe){ .kind = RECIPE_RESULT, .size = u->size, .a = (uint8_t)a,
                                     .b = INSN_NONE };
    else if (a == b && kind == KIND_ADD)
        u->recipe.kind = RECIPE_NONE;
}

static bool alu(struct jit_insn *u, unsigned kind, unsigned size, bool to_reg)
{
    struct insn *in = &u->in;
    unsigned dst = kind == KIND_CMP ? ACC_R : ACC_RW;

    u->makes = true;
    u->reads = kind == KIND_ADC || kind == KIND_SBB;
    if (!rm_op(u, kind << 3 | (size > 1) | (to_reg ? 2 : 0), size, to_reg ? dst : ACC_R,
               to_reg ? ACC_R : dst))
        return false;
    if (!is_memory(in))
        set_recipe(u, kind, to_reg ? in->reg : in->rm, to_reg ? in->rm : in->reg);
    else if (to_reg && (kind == KIND_AND || kind == KIND_OR || kind == KIND_XOR))
        set_recipe(u, kind, in->reg, INSN_NONE);
    return true;
}

static bool alu_imm(struct jit_insn *u, unsigned kind, unsigned size)
{
    struct insn *in = &u->in;
    bool small = size > 1 && (int64_t)in->imm == (int8_t)in->imm;

    u->makes = true;
    u->reads = kind == KIND_ADC || kind == KIND_SBB;
    if (!rm_op(u, size == 1 ? 0x80 : small ? 0x83 : 0x81, size, 0, kind == KIND_CMP ? ACC_R : ACC_RW))
        return false;
    u->ext = (uint8_t)kind;
    if (!is_memory(in))
        set_recipe(u, kind, in->rm, INSN_NONE);
    return immediate(u, small ? 1 : MIN(size, 4));
}

static bool test_imm(struct jit_insn *u, unsigned size)
{
    u->makes = true;
    if (!rm_op(u, size == 1 ? 0xf6 : 0xf7, size, 0, ACC_R))
        return false;
    u->ext = 0;
    if (!is_memory(&u->in) && !(size == 1 && is_high(&u->in, u->in.rm)))
        u->recipe = (struct recipe){ .kind = RECIPE_TEST, .size = (uint8_t)size, .a = u->in.rm,
                                     .b = INSN_NONE, .imm = (int32_t)u->in.imm };
    return immediate(u, MIN(size, 4));
}

static bool test_rm_r(struct jit_insn *u, unsigned size)
{
    const struct insn *in = &u->in;

    u->makes = true;
    if (!rm_op(u, size == 1 ? 0x84 : 0x85, size, ACC_R, ACC_R))
        return false;
    if (!is_memory(in) && !(size == 1 && (is_high(in, in->rm) || is_high(in, in->reg))))
        u->recipe = (struct recipe){ .kind = RECIPE_TEST, .size = (uint8_t)size, .a = in->rm,
                                     .b = in->reg };
    return true;
}

/* INC, DEC (CF stays), NOT (all stay), NEG */
static bool one_operand(struct jit_insn *u, unsigned opc, unsigned ext, unsigned size)
{
    if (!rm_op(u, opc, size, 0, ACC_RW))
        return false;
    u->ext = (uint8_t)ext;
    if (opc >= 0xfe) {
        u->partial = u->makes = true;
    } else if (ext == 3) {
        u->makes = true;
        if (!is_memory(&u->in) && !u->rm_high)
            u->recipe = (struct recipe){ .kind = RECIPE_NEG, .size = (uint8_t)size, .a = u->in.rm,
                                         .b = INSN_NONE };
    }
    return true;
}

static bool shift(struct jit_insn *u, unsigned size, bool imm)
{
    unsigned op = u->in.reg & 7, count = (unsigned)u->in.imm & (size == 8 ? 63 : 31);
    unsigned opc = u->in.opcode;

    if (!rm_op(u, opc, size, 0, ACC_RW))
        return false;
    u->makes = true;
    u->reads = op == 2 || op == 3; /* through CF */
    u->partial = op < 4 || !imm || !count; /* CL may be 0 */
    if (opc == 0xc0 || opc == 0xc1)
        immediate(u, 1);
    return true;
}

static bool group3(struct jit_insn *u, unsigned size)
{
    const struct insn *in = &u->in;

    switch (in->reg & 7) {
    case 0:
    case 1: return test_imm(u, size);
    case 2:
    case 3: return one_operand(u, in->opcode, in->reg & 7, size);
    case 4:
    case 5:
        if (size < 4 || !rm_op(u, 0xf7, size, 0, ACC_R))
            return false;
        u->makes = true;
        u->emit = emit_mul;
        break;
    default:
        if (size < 4 || !rm_op(u, 0xf7, size, 0, ACC_R))
            return false;
        u->emit = emit_div;
        u->faults = true;
        break;
    }
    written(u, RAX);
    written(u, RDX);
    return true;
}

/* Can jit_address() make it? */
static bool address_known(const struct insn *in, uint32_t mode)
{
    if (in->addr_size == 2)
        return false;
    if ((mode & MODE_SIZE) == MODE_64)
        return true;
    return in->seg == SEG_DS || in->seg == SEG_ES || in->seg == SEG_SS;
}

/* ---- moves ----------------------------------------------------------------------------------- */

static bool moffs(struct jit_insn *u, uint32_t mode)
{
    struct insn *in = &u->in;
    unsigned size = in->opcode & 1 ? in->op_size : 1;
    bool store = in->opcode & 2;

    if (!address_known(in, mode) ||
        ((mode & MODE_SIZE) == MODE_64 && (int64_t)in->imm != (int32_t)in->imm))
        return false;
    in->has_modrm = true;
    in->mod = 0;
    in->base = in->index = INSN_NONE;
    in->disp = (int32_t)in->imm;
    in->reg = RAX;
    return rm_op(u, (store ? 0x88 : 0x8a) | (size > 1), size, store ? ACC_R : ACC_W,
                 store ? ACC_W : ACC_R);
}

static bool movx(struct jit_insn *u, unsigned opc, unsigned from)
{
    const struct insn *in = &u->in;

    if (!rm_op(u, opc, in->op_size, ACC_W, ACC_R))
        return false;
    u->mem_size = (uint8_t)from;
    if (from == 1) {
        u->opc |= OPC_BYTE_RM;
        u->rm_high = !is_memory(in) && is_high(in, in->rm);
    }
    return true;
}

static bool special(struct jit_insn *u, emit_fn *emit, unsigned size)
{
    u->emit = emit;
    u->size = u->mem_size = (uint8_t)size;
    return true;
}

static bool stack(struct jit_insn *u, emit_fn *emit, uint32_t mode, unsigned reg)
{
    bool wide = (mode & MODE_SIZE) == MODE_64;

    if (u->in.op_size == 2 || !(mode & MODE_STACK32))
        return false;
    u->faults = true;
    u->ext = (uint8_t)reg;
    written(u, RSP);
    return special(u, emit, wide ? 8 : 4);
}

/* ---- branches -------------------------------------------------------------------------------- */

static bool direct(struct jit_insn *u, emit_fn *emit)
{
    int64_t delta = (int64_t)u->in.imm + u->off + u->in.len;

    if (delta != (int32_t)delta || u->in.op_size == 2)
        return false;
    u->delta = (int32_t)delta;
    u->leaves = true;
    u->cc = u->in.opcode & 15;
    u->reads = emit == emit_jcc;
    return special(u, emit, 0);
}

static bool indirect(struct jit_insn *u, emit_fn *emit, uint32_t mode)
{
    unsigned size = (mode & MODE_SIZE) == MODE_64 ? 8 : 4;

    if (u->in.op_size == 2 || !(mode & MODE_STACK32))
        return false;
    u->rm_acc = ACC_R;
    u->leaves = u->faults = true;
    return special(u, emit, size);
}

/* ---- the maps -------------------------------------------------------------------------------- */

static bool map_1(struct jit_insn *u, uint32_t mode)
{
    struct insn *in = &u->in;
    bool wide = (mode & MODE_SIZE) == MODE_64;
    unsigned op = in->opcode, size = op & 1 ? in->op_size : 1, low = (op & 7) | (in->rex & 1u) << 3;

    if (op < 0x40) {
        switch (op & 7) {
        case 0: case 1: return alu(u, op >> 3, size, false);
        case 2: case 3: return alu(u, op >> 3, size, true);
        case 4: case 5: as_accumulator(in); return alu_imm(u, op >> 3, size);
        default: return false;
        }
    }
    switch (op) {
    case 0x40 ... 0x4f: /* not in 64-bit code */
        in->has_modrm = true;
        in->mod = 3;
        in->rm = op & 7;
        return one_operand(u, 0xff, op >> 3 & 1, in->op_size);
    case 0x50 ... 0x57: return stack(u, emit_push, mode, low);
    case 0x58 ... 0x5f:
        written(u, low);
        return low != RSP && stack(u, emit_pop, mode, low);
    case 0x63:
        if (!wide || in->op_size != 8)
            return false;
        return movx(u, 0x63, 4);
    case 0x68: case 0x6a: return stack(u, emit_push_imm, mode, 0);
    case 0x69: case 0x6b:
        u->makes = true;
        return rm_op(u, op, in->op_size, ACC_W, ACC_R) &&
               immediate(u, op == 0x6b ? 1 : MIN(in->op_size, 4));
    case 0x70 ... 0x7f: return direct(u, emit_jcc);
    case 0x80: case 0x81: case 0x83: return alu_imm(u, in->reg & 7, size);
    case 0x84: case 0x85: return test_rm_r(u, size);
    case 0x86: case 0x87:
        u->rm_register = true;
        return rm_op(u, op, size, ACC_RW, ACC_RW);
    case 0x88: case 0x89: return rm_op(u, op, size, ACC_R, ACC_W);
    case 0x8a: case 0x8b: return rm_op(u, op, size, ACC_W, ACC_R);
    case 0x8d:
        if (in->mod == 3 || in->op_size < 4)
            return false;
        written(u, in->reg);
        return special(u, emit_lea, in->op_size);
    case 0x90 ... 0x97:
        if (low == RAX)
            return !(in->prefixes & PFX_REP) && special(u, emit_nothing, 0); /* not PAUSE */
        in->has_modrm = true;
        in->mod = 3;
        in->reg = RAX;
        in->rm = (uint8_t)low;
        u->rm_register = true;
        return rm_op(u, 0x87, in->op_size, ACC_RW, ACC_RW);
    case 0x98:
        written(u, RAX);
        return special(u, emit_sign, in->op_size);
    case 0x99:
        written(u, RDX);
        return in->op_size >= 4 && special(u, emit_sign, in->op_size);
    case 0xa0 ... 0xa3: return moffs(u, mode);
    case 0xa8: case 0xa9: as_accumulator(in); return test_imm(u, size);
    case 0xb0 ... 0xb7:
        if (is_high(in, low)) {
            in->has_modrm = true;
            in->mod = 3;
            in->rm = (uint8_t)low;
            if (!rm_op(u, 0xc6, 1, 0, ACC_W))
                return false;
            u->ext = 0;
            return immediate(u, 1);
        }
        written(u, low);
        u->ext = (uint8_t)low;
        return special(u, emit_mov_imm, 1);
    case 0xb8 ... 0xbf:
        written(u, low);
        u->ext = (uint8_t)low;
        return special(u, emit_mov_imm, in->op_size);
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: return shift(u, size, true);
    case 0xd2: case 0xd3: return shift(u, size, false);
    case 0xc2: case 0xc3:
        u->leaves = true;
        return stack(u, emit_ret, mode, 0);
    case 0xc6: case 0xc7:
        if (in->reg & 7)
            return false;
        return rm_op(u, op, size, 0, ACC_W) && immediate(u, MIN(size, 4));
    case 0xc9:
        written(u, RBP);
        return stack(u, emit_leave, mode, 0);
    case 0xd8 ... 0xdf: return jit_classify_x87(u, mode);
    case 0xe8:
        return stack(u, emit_call, mode, 0) && direct(u, emit_call) &&
               special(u, emit_call, wide ? 8 : 4);
    case 0xe9: case 0xeb: return direct(u, emit_jmp);
    case 0xf5: case 0xf8: case 0xf9:
        u->reads = op == 0xf5;
        u->partial = u->makes = true;
        return special(u, emit_byte, 0);
    case 0xf6: case 0xf7: return group3(u, size);
    case 0xfe: case 0xff:
        switch (in->reg & 7) {
        case 0: case 1: return one_operand(u, op, in->reg & 7, size);
        case 2: written(u, RSP); return op == 0xff && indirect(u, emit_call_rm, mode);
        case 4: return op == 0xff && indirect(u, emit_jmp_rm, mode);
        case 6:
            u->rm_acc = ACC_R;
            return op == 0xff && stack(u, emit_push_rm, mode, 0);
        }
        return false;
    default: return false;
    }
}

static bool bit_op(struct jit_insn *u, unsigned opc, bool imm, unsigned kind)
{
    const struct insn *in = &u->in;

    if (is_memory(in) && !imm) { /* a string of bits */
        if (in->addr_size != 8 || in->op_size < 4 || (kind && host_of(in->reg) == H_NONE) ||
            !rm_op(u, OPC_0F | opc, in->op_size, ACC_R, kind ? ACC_RW : ACC_R))
            return false;
        u->partial = u->makes = true;
        u->emit = emit_bit_string;
        return true;
    }
    u->rm_register = true;
    u->partial = u->makes = true;
    return rm_op(u, OPC_0F | opc, in->op_size, imm ? 0 : ACC_R, kind ? ACC_RW : ACC_R) &&
           (!imm || immediate(u, 1));
}

static bool map_0f(struct jit_insn *u, uint32_t mode)
{
    struct insn *in = &u->in;
    unsigned op = in->opcode, size = op & 1 ? in->op_size : 1;
    unsigned rep = in->prefixes & PFX_REP ? OPC_F3 : 0;

    switch (op) {
    case 0x0d: /* PREFETCHW */
        return in->mod != 3 && special(u, emit_nothing, 0);
    case 0x18 ... 0x1f: return special(u, emit_nothing, 0);
    case 0x40 ... 0x4f:
        u->reads = true;
        return rm_op(u, OPC_0F | op, in->op_size, ACC_RW, ACC_R);
    case 0x80 ... 0x8f: return direct(u, emit_jcc);
    case 0x90 ... 0x9f:
        u->reads = true;
        if (!rm_op(u, OPC_0F | op, 1, 0, ACC_W))
            return false;
        u->ext = 0;
        return true;
    case 0xa3: return bit_op(u, op, false, 0);
    case 0xab: case 0xb3: case 0xbb: return bit_op(u, op, false, 1);
    case 0xba: return (in->reg & 7) >= 4 && bit_op(u, op, true, in->reg & 3);
    case 0xa4: case 0xac:
        u->partial = u->makes = true;
        return rm_op(u, OPC_0F | op, in->op_size, ACC_R, ACC_RW) && immediate(u, 1);
    case 0xa5: case 0xad:
        u->partial = u->makes = true;
        return rm_op(u, OPC_0F | op, in->op_size, ACC_R, ACC_RW);
    case 0xaf:
        u->makes = true;
        return rm_op(u, OPC_0F | op, in->op_size, ACC_RW, ACC_R);
    case 0xb0: case 0xb1:
        if (!is_memory(in) || host_of(in->reg) == H_NONE)
            return false;
        if (!rm_op(u, OPC_0F | op, size, ACC_R, ACC_RW))
            return false;
        if (size == 1 && is_high(in, in->reg))
            return false;
        u->makes = true;
        u->emit = emit_cmpxchg;
        written(u, RAX);
        return true;
    case 0xc0: case 0xc1:
        if (!is_memory(in))
            return false;
        u->makes = true;
        return rm_op(u, OPC_0F | op, size, ACC_RW, ACC_RW);
    case 0xb6: case 0xbe: return movx(u, OPC_0F | op, 1);
    case 0xb7: case 0xbf: return movx(u, OPC_0F | op, 2);
    case 0xb8:
        if (!rep)
            return false;
        u->makes = true;
        return rm_op(u, OPC_0F | OPC_F3 | op, in->op_size, ACC_W, ACC_R);
    case 0xbc: case 0xbd: /* some flags, and BSF's target, may stay */
        u->partial = u->makes = true;
        return rm_op(u, OPC_0F | rep | op, in->op_size, ACC_RW, ACC_R);
    case 0xc3:
        if (!is_memory(in) || (in->prefixes & (PFX_66 | PFX_REP | PFX_REPNE)))
            return false;
        return rm_op(u, OPC_0F | op, in->op_size, ACC_R, ACC_W);
    case 0xc7:
        if (!is_memory(in) || (in->reg & 7) != 1 || (in->prefixes & (PFX_66 | PFX_REP | PFX_REPNE)))
            return false;
        if (!rm_op(u, OPC_0F | op, in->op_size == 8 ? 8 : 4, 0, ACC_RW))
            return false;
        u->mem_size = u->size * 2;
        u->align = u->size == 8 ? 15 : 0;
        u->emit = emit_cmpxchg8b;
        u->partial = u->makes = true;
        written(u, RAX);
        written(u, RDX);
        return true;
    case 0xc8 ... 0xcf:
        u->ext = (uint8_t)((op & 7) | (in->rex & 1u) << 3);
        written(u, u->ext);
        return in->op_size >= 4 && special(u, emit_bswap, in->op_size);
    default: return false;
    }
}

/* MOVBE; CRC32 has the same opcodes.  Offered to guests of any host, but of x86-64-v3 all have it. */
static bool movbe(struct soft_vp *vp, struct jit_insn *u)
{
    enum { BMI2 = 1 << 8 };
    const struct insn *in = &u->in;
    bool load = in->opcode == 0xf0;

    if (!(vp->feature.ebx7 & BMI2) || (in->opcode & 0xfe) != 0xf0 || !is_memory(in) ||
        (in->prefixes & (PFX_REP | PFX_REPNE)))
        return false;
    return rm_op(u, OPC_0F38 | in->opcode, in->op_size, load ? ACC_W : ACC_R, load ? ACC_R : ACC_W);
}

/* BMI1 and BMI2, but MULX */
static bool bmi(struct jit_insn *u)
{
    const struct insn *in = &u->in;
    unsigned size = in->rex & 8 ? 8 : 4;
    bool shiftx = in->map == MAP_0F38 && in->opcode == 0xf7 && in->vex_pp;

    if (in->vex_l)
        return false;
    if (in->map == MAP_0F3A && in->opcode == 0xf0 && in->vex_pp == 3 && !in->vvvv) /* RORX */
        return rm_op(u, 0, size, ACC_W, ACC_R) && immediate(u, 1);
    if (in->map != MAP_0F38)
        return false;
    switch (in->opcode) {
    case 0xf2: /* ANDN */
        if (in->vex_pp)
            return false;
        u->makes = true;
        break;
    case 0xf3: /* BLSR, BLSMSK, BLSI: vvvv is the target */
        if (in->vex_pp || (in->reg & 7) < 1 || (in->reg & 7) > 3 || host_of(in->vvvv) == H_NONE)
            return false;
        u->makes = true;
        u->vex_general = true;
        if (!rm_op(u, 0, size, 0, ACC_R))
            return false;
        written(u, in->vvvv);
        return true;
    case 0xf5: /* BZHI, PEXT, PDEP */
        if (in->vex_pp == 1)
            return false;
        u->makes = !in->vex_pp;
        break;
    case 0xf7: /* BEXTR, SHLX, SARX, SHRX */
        u->makes = !shiftx;
        break;
    default: return false;
    }
    u->vex_general = true;
    return rm_op(u, 0, size, ACC_W, ACC_R);
}

/* What may have a LOCK prefix, in its memory form.  XCHG locks without. */
static bool may_lock(const struct insn *in)
{
    unsigned op = in->opcode, reg = in->reg & 7;

    if (!is_memory(in))
        return false;
    if (in->map == MAP_1)
        return (op < 0x38 && (op & 7) < 2) || ((op == 0x80 || op == 0x81 || op == 0x83) && reg != 7) ||
               op == 0x86 || op == 0x87 || ((op == 0xf6 || op == 0xf7) && (reg == 2 || reg == 3)) ||
               ((op == 0xfe || op == 0xff) && reg < 2);
    return in->map == MAP_0F && (op == 0xb0 || op == 0xb1 || op == 0xc0 || op == 0xc1 || op == 0xc7 ||
                                 (op == 0xba && reg > 4));
}

static bool other(struct jit_insn *u, uint32_t mode)
{
    u->writes = 0;
    u->imm_n = u->align = 0;
    u->vectors = VECTORS_NONE;
    return jit_classify_sys(u, mode);
}

static bool classify(struct soft_vp *vp, struct jit_insn *u, uint32_t mode)
{
    struct insn *in = &u->in;
    bool ok;

    if (!(mode & MODE_FLAT) || (mode & MODE_SIZE) == MODE_16)
        return false;
    if (is_memory(in) && !address_known(in, mode))
        return false;
    if ((in->prefixes & PFX_LOCK) && !may_lock(in))
        return false;
    if (vp->lockstep && in->map == MAP_0F && in->opcode == 0x31)
        return false; /* RDTSC: nobody can do it again */
    if (in->prefixes & PFX_VEX) {
        ok = bmi(u) || jit_classify_avx(vp, u, mode);
        u->faults = is_memory(in);
        return ok;
    }
    ok = in->map == MAP_1    ? map_1(u, mode)
         : in->map == MAP_0F   ? map_0f(u, mode)
         : in->map == MAP_0F38 ? movbe(vp, u)
                               : false;
    if (!ok) {
        u->writes = 0;
        no_flags(u);
        u->loses = u->faults = u->leaves = u->rm_register = u->reg_high = u->rm_high = false;
        u->align = 0;
        u->recipe.kind = RECIPE_NONE;
        u->imm_n = 0;
        ok = !(in->prefixes & PFX_LOCK) && (jit_classify_sse(vp, u, mode) || other(u, mode));
    }
    if (!ok)
        return false;
    if (in->prefixes & PFX_LOCK)
        u->opc |= OPC_LOCK;
    if (is_memory(in) && u->emit != emit_lea && u->emit != emit_nothing)
        u->faults = true;
    return true;
}

void jit_classify(struct soft_vp *vp, struct jit_insn *u, uint32_t mode)
{
    if (!classify(vp, u, mode)) {
        u->emit = NULL;
        no_flags(u);
        u->loses = u->faults = u->leaves = false;
        u->writes = 0;
    }
}

bool jit_knows(struct soft_vp *vp, const struct insn *in, uint32_t mode)
{
    struct jit_insn u = { .in = *in };

    jit_classify(vp, &u, mode);
    return u.emit;
}
