/* SPDX-License-Identifier: GPL-2.0-or-later */
/* emit.c - the frequent integer instructions of 64-bit and flat 32-bit code as operations.
 *
 * Whatever is not found here runs as its helper.  Flags: each operation says which of its handlers
 * keeps none, and whether it writes them all; build.c decides.
 * Called: build.c. */
#include "cpu/soft/build.h"
#include "cpu/soft/ops_flow.h"
#include "cpu/soft/ops_list.h"

#define KILLS  1 /* writes all arithmetic flags */
#define READS  2
#define FAULTS 4

static bool wide(const struct build *b) /* 64-bit code */
{
    return (b->mode & MODE_SIZE) == MODE_64;
}

static unsigned size_index(const struct insn *in) /* of opcodes whose even form is the byte form */
{
    return in->opcode & 1 ? (unsigned)__builtin_ctz(in->op_size) : 0;
}

/* How a register operand is named: bytes by their offset, others by their number. */
static uint8_t reg_name(const struct insn *in, unsigned reg, unsigned size)
{
    if (size)
        return (uint8_t)reg;
    if ((reg & ~3u) == 4 && !(in->prefixes & PFX_REX)) /* AH CH DH BH */
        return (uint8_t)((reg - 4) * 8 + 1);
    return (uint8_t)(reg * 8);
}

static struct op *emit(struct build *b, op_fn *const pair[2], unsigned what)
{
    struct op *o = build_op(b, pair[0]);

    b->note[o->idx] = (struct note){ .quiet = pair[1], .kills = what & KILLS, .reads = what & READS,
                                     .faults = what & FAULTS };
    return o;
}

static struct op *emit_plain(struct build *b, op_fn *run, unsigned what)
{
    op_fn *const pair[2] = { run, NULL };

    return emit(b, pair, what);
}

/* ---- memory operands ------------------------------------------------------------------------- */

struct address {
    uint8_t b, x, s;
    int32_t disp;
    bool indexed, stack;
};

/* Can the handlers reach it?  Every segment of 64-bit code, the flat ones of 32-bit code, and FS and GS
 * with their limits. */
static bool address_known(const struct build *b, const struct insn *in)
{
    int64_t disp = (int64_t)in->disp + b->off + in->len;

    if (in->addr_size == 2 || (in->base == INSN_RIP && disp != (int32_t)disp))
        return false;
    if (wide(b))
        return true;
    return in->seg != SEG_CS;
}

static void emit_ea(struct build *b, op_fn *run, const struct address *a, uint64_t imm, unsigned r)
{
    struct op *o = emit_plain(b, run, run == op_ea_seg ? FAULTS : 0);

    o->r = (uint8_t)r;
    o->b = a->b;
    o->x = a->x;
    o->s = a->s;
    o->disp = a->disp;
    o->imm = imm;
}

/* The operand's address in at most one operation: base and index stay two registers if 'may_index'. */
static struct address emit_address(struct build *b, const struct insn *in, bool may_index,
                                   unsigned bytes, bool write)
{
    struct address a = { .b = W_ZERO, .x = W_ZERO, .s = in->scale, .disp = in->disp };
    bool based = in->seg == SEG_FS || in->seg == SEG_GS;

    if (in->base == INSN_RIP) {
        a.b = W_RIP;
        a.disp += b->off + in->len;
    } else if (in->base < GPRS) {
        a.b = in->base;
    }
    if (in->index < GPRS) {
        a.x = in->index;
        a.indexed = true;
    }
    if (!wide(b) && based)
        emit_ea(b, op_ea_seg, &a, bytes | (unsigned)write << 8, in->seg);
    else if (in->addr_size == 4)
        emit_ea(b, op_ea_32, &a, based ? W_SEG + in->seg : W_ZERO, 0);
    else if (based && a.b == W_ZERO && !a.indexed) {
        a.b = (uint8_t)(W_SEG + in->seg);
        return a;
    } else if (based && !a.indexed && may_index) {
        a.x = (uint8_t)(W_SEG + in->seg);
        a.s = 0;
        a.indexed = true;
        return a;
    } else if (based || (a.indexed && !may_index))
        emit_ea(b, op_ea_64, &a, based ? W_SEG + in->seg : W_ZERO, 0);
    else {
        a.stack = in->seg == SEG_SS;
        return a;
    }
    return (struct address){ .b = W_ADDR, .x = W_ZERO, .stack = in->seg == SEG_SS };
}

static void set_address(struct op *o, const struct address *a)
{
    o->b = a->b;
    o->x = a->x;
    o->s = a->s;
    o->disp = a->disp;
    if (a->stack)
        o->flags |= OP_STACK;
}

/* An operation on the memory operand: 'run' is { _b, _x }; 'forms' 1: there is only _b. */
static struct op *emit_mem(struct build *b, const struct insn *in, op_fn *const *run, unsigned forms,
                           unsigned bytes, bool write, unsigned what)
{
    struct address a = emit_address(b, in, forms > 1, bytes, write);
    struct op *o = emit_plain(b, run[a.indexed], what | FAULTS);

    set_address(o, &a);
    return o;
}

/* ---- arithmetic and logic -------------------------------------------------------------------- */

static unsigned alu_what(unsigned kind)
{
    return KILLS | (kind == K_ADC || kind == K_SBB ? READS : 0);
}

static bool alu_rm_r(struct build *b, const struct insn *in, unsigned kind, unsigned size,
                     bool to_reg)
{
    uint8_t reg = reg_name(in, in->reg, size);
    struct op *o;

    if (in->mod == 3) {
        uint8_t rm = reg_name(in, in->rm, size);

        o = emit(b, op_alu[kind][size][FORM_RR], alu_what(kind));
        o->r = to_reg ? reg : rm;
        o->x = to_reg ? rm : reg;
        return true;
    }
    if (!address_known(b, in))
        return false;
    bool write = !to_reg && kind != K_CMP && kind != K_TEST;
    struct address a = emit_address(b, in, true, 1u << size, write);
    unsigned form = to_reg ? a.indexed ? FORM_RM_X : FORM_RM_B : a.indexed ? FORM_MR_X : FORM_MR_B;
    o = emit(b, op_alu[kind][size][form], alu_what(kind) | FAULTS);
    set_address(o, &a);
    o->r = reg;
    return true;
}

static bool alu_imm(struct build *b, const struct insn *in, unsigned kind, unsigned size,
                    unsigned reg, bool memory)
{
    struct op *o;

    if (!memory) {
        o = emit(b, op_alu[kind][size][FORM_RI], alu_what(kind));
        o->r = reg_name(in, reg, size);
    } else {
        if (!address_known(b, in))
            return false;
        struct address a = emit_address(b, in, false, 1u << size, kind != K_CMP && kind != K_TEST);
        o = emit(b, op_alu[kind][size][FORM_MI_B], alu_what(kind) | FAULTS);
        set_address(o, &a);
    }
    o->imm = in->imm;
    return true;
}

static bool one_operand(struct build *b, const struct insn *in, unsigned kind, unsigned size,
                        unsigned reg, bool memory)
{
    unsigned what = kind == K_NEG ? KILLS : kind == K_NOT ? 0 : READS; /* INC, DEC keep CF */
    op_fn *const *pair = memory ? op_one_m[kind][size] : op_one_r[kind][size];
    struct op *o;

    if (memory) {
        if (!address_known(b, in))
            return false;
        struct address a = emit_address(b, in, false, 1u << size, true);
        o = emit(b, pair, what | FAULTS);
        set_address(o, &a);
    } else {
        o = emit(b, pair, what);
        o->r = reg_name(in, reg, size);
    }
    /* Without flags it reads none either. */
    b->note[o->idx].reads_if_loud = b->note[o->idx].reads;
    b->note[o->idx].reads = false;
    return true;
}

static bool group3(struct build *b, const struct insn *in)
{
    unsigned size = size_index(in), op = in->reg & 7;
    bool memory = in->mod != 3;
    struct op *o;

    switch (op) {
    case 0:
    case 1: return alu_imm(b, in, K_TEST, size, in->rm, memory);
    case 2: return one_operand(b, in, K_NOT, size, in->rm, memory);
    case 3: return one_operand(b, in, K_NEG, size, in->rm, memory);
    case 4:
    case 5:
        if (memory || !op_mul_r[op & 1][size])
            return false;
        o = emit_plain(b, op_mul_r[op & 1][size], KILLS);
        o->r = in->rm;
        return true;
    default: return false;
    }
}

static bool shift(struct build *b, const struct insn *in, bool by_cl, unsigned count)
{
    unsigned size = size_index(in), op = in->reg & 7, n = count & (size == 3 ? 63 : 31);
    struct op *o;

    if (in->mod != 3 || !op_shift_i[op][size][0] || (!by_cl && !n))
        return false;
    o = emit(b, by_cl ? op_shift_cl[op][size] : op_shift_i[op][size],
             !by_cl && op >= 4 ? KILLS : 0); /* rotates keep some, CL may be 0 */
    o->r = reg_name(in, in->rm, size);
    o->imm = n;
    b->note[o->idx].reads_if_loud = !b->note[o->idx].kills;
    return true;
}

static bool imul(struct build *b, const struct insn *in, bool imm)
{
    unsigned size = (unsigned)__builtin_ctz(in->op_size);
    struct op *o;

    if (size < 2)
        return false;
    if (in->mod == 3) {
        o = emit(b, imm ? op_imul_rri[size] : op_imul_rr[size], KILLS);
        o->x = in->rm;
    } else {
        if (imm || !address_known(b, in))
            return false;
        struct address a = emit_address(b, in, false, in->op_size, false);
        o = emit(b, op_imul_rm[size], KILLS | FAULTS);
        set_address(o, &a);
    }
    o->r = in->reg;
    o->imm = in->imm;
    return true;
}

/* ---- moves ----------------------------------------------------------------------------------- */

static bool mov(struct build *b, const struct insn *in, unsigned size, bool load)
{
    uint8_t reg = reg_name(in, in->reg, size);
    struct op *o;

    if (in->mod == 3) {
        uint8_t rm = reg_name(in, in->rm, size);

        o = emit_plain(b, op_mov_rr[size], 0);
        o->r = load ? reg : rm;
        o->x = load ? rm : reg;
        return true;
    }
    if (!address_known(b, in))
        return false;
    o = emit_mem(b, in, load ? op_load[size] : op_store[size], 2, 1u << size, !load, 0);
    o->r = reg;
    return true;
}

static bool mov_imm(struct build *b, const struct insn *in, unsigned size, unsigned reg, bool memory)
{
    struct op *o;

    if (!memory) {
        o = emit_plain(b, op_mov_ri[size], 0);
        o->r = reg_name(in, reg, size);
    } else {
        if (!address_known(b, in))
            return false;
        o = emit_mem(b, in, &op_store_i[size], 1, 1u << size, true, 0);
    }
    o->imm = in->imm;
    return true;
}

static bool movx(struct build *b, const struct insn *in, unsigned kind)
{
    static const uint8_t bytes[MOVXS] = { 1, 2, 1, 1, 2, 2, 4 };
    unsigned size = bytes[kind] == 1 ? 0 : 2;
    struct op *o;

    if (in->op_size == 2)
        return false;
    if (in->mod == 3) {
        o = emit_plain(b, op_movx_rr[kind], 0);
        o->x = reg_name(in, in->rm, size);
    } else {
        if (!address_known(b, in))
            return false;
        o = emit_mem(b, in, op_movx_rm[kind], 2, bytes[kind], false, 0);
    }
    o->r = in->reg;
    return true;
}

static bool lea(struct build *b, const struct insn *in)
{
    struct insn plain = *in;
    unsigned size = (unsigned)__builtin_ctz(in->op_size);
    struct op *o;

    if (in->mod == 3 || size < 2 || !address_known(b, in))
        return false;
    if (in->addr_size == 4) /* the upper half of the result is 0 either way */
        size = 2;
    plain.seg = SEG_DS;
    plain.addr_size = 8;
    struct address a = emit_address(b, &plain, true, 0, false);
    o = emit_plain(b, op_lea[size][a.indexed], 0);
    set_address(o, &a);
    o->flags &= (uint8_t)~OP_STACK;
    o->r = in->reg;
    return true;
}

static bool cmov(struct build *b, const struct insn *in)
{
    unsigned cc = in->opcode & 15, q = in->op_size == 8;
    struct op *o;

    if (in->op_size == 2)
        return false;
    if (in->mod == 3) {
        o = emit_plain(b, op_cmov_rr[cc][q], READS);
        o->x = in->rm;
    } else {
        if (!address_known(b, in))
            return false;
        o = emit_mem(b, in, &op_cmov_rm[cc][q], 1, in->op_size, false, READS);
    }
    o->r = in->reg;
    return true;
}

static bool push_pop(struct build *b, op_fn *const run[2], const struct insn *in, unsigned reg)
{
    struct op *o;

    if (in->op_size == 2 || !(b->mode & MODE_STACK32))
        return false;
    o = emit_plain(b, run[wide(b)], FAULTS);
    o->r = (uint8_t)reg;
    o->imm = in->imm;
    o->flags |= OP_STACK;
    return true;
}

static bool push_rm(struct build *b, const struct insn *in)
{
    if (in->mod == 3)
        return push_pop(b, op_push_r, in, in->rm);
    if (in->op_size == 2 || !(b->mode & MODE_STACK32) || !address_known(b, in))
        return false;
    emit_mem(b, in, &op_push_m[wide(b)], 1, in->op_size, false, 0);
    return push_pop(b, op_push_t, in, 0);
}

/* ---- branches -------------------------------------------------------------------------------- */

static bool target_delta(const struct build *b, const struct insn *in, int64_t *ret)
{
    int64_t to = (int64_t)in->imm + b->off + in->len;

    if (to != (int32_t)to || in->op_size == 2)
        return false;
    *ret = to;
    return true;
}

static bool in_page(const struct build *b, int64_t delta)
{
    return b->page_off + (uint64_t)delta < PAGE_SIZE && !b->crosses;
}

static bool jcc(struct build *b, const struct insn *in)
{
    unsigned cc = in->opcode & 15;
    int64_t to;

    if (!target_delta(b, in, &to))
        return false;
    if (!in_page(b, to)) {
        emit_plain(b, op_skip[cc], READS);
        build_exit(b, op_exit_cross, to);
        return true;
    }
    if (b->n_ops) {
        struct op *first = &b->block->ops[b->n_ops - 1];
        op_fn *fused = b->note[first->idx].quiet ? op_fused(first->run, cc) : NULL;

        if (fused && first->off + first->len == b->off) {
            first->run = fused;
            b->note[first->idx].quiet = NULL;
        }
    }
    build_exit(b, op_jcc[cc], to);
    return true;
}

static bool jmp(struct build *b, const struct insn *in)
{
    int64_t to;

    if (!target_delta(b, in, &to))
        return false;
    build_jump(b, to);
    return true;
}

static bool call(struct build *b, const struct insn *in)
{
    int64_t to;

    if (!target_delta(b, in, &to) || !(b->mode & MODE_STACK32))
        return false;
    struct op *o = build_exit(b, (in_page(b, to) ? op_call_page : op_call_cross)[wide(b)], to);
    o->flags |= OP_STACK;
    b->note[o->idx].faults = true;
    build_return(b);
    b->ended = true;
    return true;
}

static bool ret(struct build *b, const struct insn *in)
{
    if (!push_pop(b, op_ret, in, 0))
        return false;
    b->block->ops[b->n_ops - 1].flags |= OP_ENDS;
    b->ended = true;
    return true;
}

static bool indirect(struct build *b, const struct insn *in, op_fn *const reg[2], op_fn *const mem[2])
{
    struct op *o;

    if (in->op_size == 2 || !(b->mode & MODE_STACK32))
        return false;
    if (in->mod == 3) {
        o = emit_plain(b, reg[wide(b)], FAULTS);
        o->r = in->rm;
    } else {
        if (!address_known(b, in))
            return false;
        emit_mem(b, in, &mem[wide(b)], 1, in->op_size, false, 0);
    }
    if (reg == op_call_r)
        build_return(b);
    b->ended = true;
    return true;
}

static bool group5(struct build *b, const struct insn *in)
{
    switch (in->reg & 7) {
    case 0: return one_operand(b, in, K_INC, size_index(in), in->rm, in->mod != 3);
    case 1: return one_operand(b, in, K_DEC, size_index(in), in->rm, in->mod != 3);
    case 2: return in->opcode == 0xff && indirect(b, in, op_call_r, op_call_m);
    case 4: return in->opcode == 0xff && indirect(b, in, op_jmp_r, op_jmp_m);
    case 6: return in->opcode == 0xff && push_rm(b, in);
    default: return false;
    }
}

/* ---- LOCK and exchanges ---------------------------------------------------------------------- */

static struct op *emit_atomic(struct build *b, const struct insn *in, op_fn *run, unsigned size,
                              unsigned what)
{
    struct op *o;

    if (!run || in->mod == 3 || !address_known(b, in))
        return NULL;
    o = emit_mem(b, in, &run, 1, 1u << size, true, what);
    o->r = reg_name(in, in->reg, size);
    o->imm = in->imm;
    return o;
}

static bool emit_lock_1(struct build *b, const struct insn *in)
{
    unsigned size = size_index(in), op = in->opcode, reg = in->reg & 7;

    if (op < 0x40 && (op & 7) < 2 && op >> 3 != K_CMP)
        return emit_atomic(b, in, op_lock_mr[op >> 3][size], size, alu_what(op >> 3));
    switch (op) {
    case 0x80: case 0x81: case 0x83:
        return reg != K_CMP && emit_atomic(b, in, op_lock_mi[reg][size], size, alu_what(reg));
    case 0x86: case 0x87: return emit_atomic(b, in, op_xchg[size], size, 0);
    case 0xf6: case 0xf7:
        if (reg != 2 && reg != 3)
            return false;
        return emit_atomic(b, in, op_lock_one[reg == 2 ? K_NOT : K_NEG][size], size,
                           reg == 2 ? 0 : KILLS);
    case 0xfe: case 0xff:
        return reg < 2 && emit_atomic(b, in, op_lock_one[reg ? K_DEC : K_INC][size], size, READS);
    default: return false;
    }
}

static bool emit_exchange_0f(struct build *b, const struct insn *in)
{
    unsigned size = size_index(in);

    switch (in->opcode) {
    case 0xb0: case 0xb1: return emit_atomic(b, in, op_cmpxchg[size], size, KILLS);
    case 0xc0: case 0xc1: return emit_atomic(b, in, op_xadd[size], size, KILLS);
    default: return false;
    }
}

/* ---- the maps -------------------------------------------------------------------------------- */

static bool emit_1(struct build *b, const struct insn *in)
{
    uint8_t op = in->opcode;
    unsigned size = size_index(in), reg = (op & 7) | (in->rex & 1u) << 3;

    if (op < 0x40) {
        switch (op & 7) {
        case 0: case 1: return alu_rm_r(b, in, op >> 3, size, false);
        case 2: case 3: return alu_rm_r(b, in, op >> 3, size, true);
        case 4: case 5: return alu_imm(b, in, op >> 3, size, RAX, false);
        default: return false;
        }
    }
    switch (op) {
    case 0x40 ... 0x4f:
        return one_operand(b, in, op & 8 ? K_DEC : K_INC, (unsigned)__builtin_ctz(in->op_size),
                           op & 7, false);
    case 0x50 ... 0x57: return push_pop(b, op_push_r, in, reg);
    case 0x58 ... 0x5f: return reg != RSP && push_pop(b, op_pop_r, in, reg);
    case 0x63:
        return wide(b) && in->op_size == 8 && movx(b, in, MOVX_SL_Q);
    case 0x68: case 0x6a: return push_pop(b, op_push_i, in, 0);
    case 0x69: case 0x6b: return imul(b, in, true);
    case 0x70 ... 0x7f: return jcc(b, in);
    case 0x80: case 0x81: return alu_imm(b, in, in->reg & 7, size, in->rm, in->mod != 3);
    case 0x83: return alu_imm(b, in, in->reg & 7, size, in->rm, in->mod != 3);
    case 0x84: case 0x85: return alu_rm_r(b, in, K_TEST, size, false);
    case 0x86: case 0x87: return emit_lock_1(b, in);
    case 0x88: case 0x89: return mov(b, in, size, false);
    case 0x8a: case 0x8b: return mov(b, in, size, true);
    case 0x8d: return lea(b, in);
    case 0x90: return !(in->rex & 1) && !(in->prefixes & PFX_REP);
    case 0x98:
        if (in->op_size == 2)
            return false;
        return emit_plain(b, in->op_size == 8 ? op_cdqe : op_cwde, 0);
    case 0x99:
        if (in->op_size == 2)
            return false;
        return emit_plain(b, in->op_size == 8 ? op_cqo : op_cdq, 0);
    case 0xa8: case 0xa9: return alu_imm(b, in, K_TEST, size, RAX, false);
    case 0xb0 ... 0xb7: return mov_imm(b, in, 0, reg, false);
    case 0xb8 ... 0xbf: return mov_imm(b, in, (unsigned)__builtin_ctz(in->op_size), reg, false);
    case 0xc0: case 0xc1: return shift(b, in, false, (unsigned)in->imm);
    case 0xc2: case 0xc3: return ret(b, in);
    case 0xc6: case 0xc7: return !(in->reg & 7) && mov_imm(b, in, size, in->rm, in->mod != 3);
    case 0xc9: return push_pop(b, op_leave, in, 0);
    case 0xd0: case 0xd1: return shift(b, in, false, 1);
    case 0xd2: case 0xd3: return shift(b, in, true, 0);
    case 0xe8: return call(b, in);
    case 0xe9: case 0xeb: return jmp(b, in);
    case 0xf6: case 0xf7: return group3(b, in);
    case 0xfe: case 0xff: return group5(b, in);
    default: return false;
    }
}

static bool emit_0f(struct build *b, const struct insn *in)
{
    uint8_t op = in->opcode;
    unsigned size = (unsigned)__builtin_ctz(in->op_size), q = in->op_size == 8;
    struct op *o;

    switch (op) {
    case 0x18 ... 0x1f: return true; /* NOP and its kin */
    case 0x40 ... 0x4f: return cmov(b, in);
    case 0x80 ... 0x8f: return jcc(b, in);
    case 0x90 ... 0x9f:
        if (in->mod != 3)
            return false;
        o = emit_plain(b, op_setcc[op & 15], READS);
        o->r = reg_name(in, in->rm, 0);
        return true;
    case 0xa3: case 0xba:
        if (in->mod != 3 || size < 2 || (op == 0xba && (in->reg & 7) != 4))
            return false;
        o = emit_plain(b, op == 0xba ? op_bit_ri[size] : op_bit_rr[size], READS);
        o->r = in->rm;
        o->x = in->reg;
        o->imm = in->imm & (in->op_size * 8 - 1);
        return true;
    case 0xaf: return imul(b, in, false);
    case 0xb0: case 0xb1: case 0xc0: case 0xc1: return emit_exchange_0f(b, in);
    case 0xb6: return movx(b, in, MOVX_ZB);
    case 0xb7: return movx(b, in, MOVX_ZW);
    case 0xbc: case 0xbd:
        if (in->mod != 3 || size < 2 || (in->prefixes & PFX_REP))
            return false;
        o = emit_plain(b, op_scan[op & 1][size], READS);
        o->r = in->reg;
        o->x = in->rm;
        return true;
    case 0xbe: return movx(b, in, q ? MOVX_SB_Q : MOVX_SB_L);
    case 0xbf: return movx(b, in, q ? MOVX_SW_Q : MOVX_SW_L);
    case 0xc8 ... 0xcf:
        if (size < 2)
            return false;
        o = emit_plain(b, q ? op_bswap_q : op_bswap_l, 0);
        o->r = (uint8_t)((op & 7) | (in->rex & 1) << 3);
        return true;
    default: return false;
    }
}

bool emit_fast(struct build *b, const struct insn *in)
{
    if (!(b->mode & MODE_FLAT) || (b->mode & MODE_SIZE) == MODE_16 || (in->prefixes & PFX_VEX))
        return false;
    if (in->prefixes & PFX_LOCK) {
        if (in->mod == 3 || !in->has_modrm)
            return false;
        return in->map == MAP_1 ? emit_lock_1(b, in) : in->map == MAP_0F && emit_exchange_0f(b, in);
    }
    switch (in->map) {
    case MAP_1: return emit_1(b, in);
    case MAP_0F: return emit_0f(b, in);
    default: return false;
    }
}
