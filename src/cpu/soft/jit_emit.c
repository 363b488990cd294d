/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_emit.c - one guest instruction as host instructions: operands, addresses, the inline TLB lookup.
 *
 * Order within an instruction: the address and its check, which destroy flags; then the guest's flags
 * if it reads them; then operands that live in the VP; then the instruction itself.  No guest register
 * is written before the last way out.
 * Called: jit.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)

static unsigned w_of(unsigned size)
{
    return size == 8 ? OPC_W : 0;
}

static void load_slot(struct xlate *t, unsigned host, unsigned g)
{
    asm_op(A, X_MOV_RM | OPC_W, host, slot_of(g), 0);
}
static void store_slot(struct xlate *t, unsigned host, unsigned g)
{
    asm_op(A, X_MOV_MR | OPC_W, host, slot_of(g), 0);
}
/* host = guest register g, all of it */
static void get(struct xlate *t, unsigned host, unsigned g)
{
    asm_op(A, X_MOV_RM | OPC_W, host, place_of(g), 0);
}
static void set(struct xlate *t, unsigned g, unsigned host)
{
    asm_op(A, X_MOV_MR | OPC_W, host, place_of(g), 0);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void effective(struct xlate *t, unsigned to, const struct insn *in, unsigned w)
{
    const struct jit_insn *u = &t->insn[t->i];
    unsigned base = H_NONE, index = H_RSP;
    int32_t disp = in->disp;

    if (in->base == INSN_RIP) {
        asm_op(A, X_MOV_RM | OPC_W, H_R11, IN_VP(block_rip), 0);
        base = H_R11;
        if (__builtin_add_overflow(disp, u->off + in->len, &disp))
            t->bad = true;
    } else if (in->base != INSN_NONE) {
        base = host_of(in->base);
        if (base == H_NONE)
            load_slot(t, base = H_R11, in->base);
    }
    if (in->index != INSN_NONE) {
        index = host_of(in->index);
        if (index == H_NONE)
            load_slot(t, index = H_RAX, in->index);
    }
    if (base != H_NONE && in->index == INSN_NONE && !disp)
        asm_op(A, X_MOV_RM | w, to, rm_reg(base), 0);
    else
        asm_op(A, X_LEA | w, to, rm_sib(base, index, in->scale, disp), 0);
}

void jit_address(struct xlate *t, const struct insn *in)
{
    effective(t, H_R11, in, w_of(in->addr_size));
    if (t->wide && in->seg >= SEG_FS)
        asm_op(A, X_ADD_RM | OPC_W, H_R11,
               rm_mem(H_RBP, VP_AT(seg_base) + (int)in->seg * 8), 0);
}

/* The lookup of mem.h: one compare tells hit, permission and crossing. */
/* 32 bits to the right; what comes in at the left is nobody's. */
void jit_shift(struct asm_buf *a, unsigned to, unsigned from, unsigned by)
{
    if (a->bmi2) {
        asm_vex(a, 3, 3, 0, 0, 0xf0, to, 0, rm_reg(from), 1); /* rorx */
    } else {
        asm_op(a, X_MOV_RM, to, rm_reg(from), 0);
        asm_op(a, X_SHIFT_I, G_SHR, rm_reg(to), 1);
    }
    asm_8(a, by);
}

static void entry_of(struct asm_buf *a)
{
    jit_shift(a, H_RAX, H_R11, PAGE_SHIFT - 4);
    asm_8(a, 0x25); /* and $, %eax */
    asm_32(a, (TLB_ENTRIES - 1) << 4);
}

void jit_look_up(struct asm_buf *a, int table, unsigned size)
{
    entry_of(a);
    asm_op(a, X_ADD_RM | OPC_W, H_RAX, IN_VP(tlb), 0);
    asm_op(a, X_SUB_RM | OPC_W, H_R11, rm_mem(H_RAX, table), 0);
    asm_op(a, X_GROUP1_I | OPC_W, G_CMP, rm_reg(H_R11), 4);
    asm_32(a, (uint32_t)(PAGE_SIZE - size));
}

/* With a word of the entry that RAX is. */
static void entry_op(struct xlate *t, unsigned opc, unsigned reg, int at)
{
    if (A->gs)
        asm_8(A, 0x65);
    asm_op(A, opc | OPC_W, reg, rm_mem(H_RAX, at), 0);
}

/* R11 is an address: R11 = offset in its page, RAX = its entry; both are known, or the host's address
 * is found elsewhere and goes on at the miss's 'done'. */
static struct miss *look_up(struct xlate *t, unsigned size, bool write, unsigned align)
{
    int table = write ? offsetof(struct tlb, write) : offsetof(struct tlb, read);
    struct miss *m;

    entry_of(A);
    if (!A->gs)
        asm_op(A, X_ADD_RM | OPC_W, H_RAX, IN_VP(tlb), 0);
    entry_op(t, X_SUB_RM, H_R11, table);
    if (align) { /* such an access crosses no page */
        asm_op(A, 0xf7 | OPC_W, 0, rm_reg(H_R11), 4); /* test $, %r11 */
        asm_32(A, ~(uint32_t)(PAGE_SIZE - 1) | align);
        m = jit_miss(t, MISS_TLB, CC_NE, size, write);
    } else {
        asm_op(A, X_GROUP1_I | OPC_W, G_CMP, rm_reg(H_R11), 4);
        asm_32(A, (uint32_t)(PAGE_SIZE - size));
        m = jit_miss(t, MISS_TLB, CC_A, size, write);
    }
    m->align = (uint8_t)align;
    flags_lost(t);
    return m;
}

/* R11 = host address. */
static void tlb(struct xlate *t, unsigned size, bool write, unsigned align)
{
    int table = write ? offsetof(struct tlb, write) : offsetof(struct tlb, read);
    struct miss *m = look_up(t, size, write, align);

    entry_op(t, X_ADD_RM, H_R11, table);
    entry_op(t, X_ADD_RM, H_R11, table + (int)offsetof(struct tlb_entry, add));
    m->done = A->p;
}

void jit_tlb(struct xlate *t, unsigned size, bool write)
{
    tlb(t, size, write, 0);
}

static bool is_slot(unsigned g)
{
    return g < GPRS && host_of(g) == H_NONE;
}

/* RAX = what makes of the operand's address the host's: the processor adds it to the registers, so nobody
 * waits for the comparison.  R11 is lost. */
static struct host_rm tlb_direct(struct xlate *t, const struct jit_insn *u)
{
    bool write = u->rm_acc & ACC_W;
    int table = write ? offsetof(struct tlb, write) : offsetof(struct tlb, read);
    struct miss *m = look_up(t, u->mem_size, write, u->align);
    unsigned base = u->in.base < GPRS ? host_of(u->in.base) : H_NONE;
    int32_t disp = (int32_t)u->in.disp;

    entry_op(t, X_MOV_RM, H_RAX, table + (int)offsetof(struct tlb_entry, add));
    m->done = A->p;
    if (u->in.base == INSN_RIP) {
        asm_op(A, X_ADD_RM | OPC_W, H_RAX, IN_VP(block_rip), 0);
        disp += u->off + u->in.len; /* effective() has looked at the sum */
    } else if (is_slot(u->in.base)) {
        asm_op(A, X_ADD_RM | OPC_W, H_RAX, slot_of(u->in.base), 0);
    }
    if (u->in.index == INSN_NONE)
        return base == H_NONE ? rm_mem(H_RAX, disp) : rm_sib(base, H_RAX, 0, disp);
    if (base != H_NONE) {
        asm_op(A, X_LEA | OPC_W, H_RAX, rm_sib(base, H_RAX, 0, disp), 0);
        disp = 0;
    }
    return rm_sib(H_RAX, host_of(u->in.index), u->in.scale, disp);
}
_Static_assert(sizeof(struct tlb_entry) == 16 && offsetof(struct tlb_entry, tag) == 0 &&
                   TLB_BITS + 4 + PAGE_SHIFT - 4 <= 32,
               "jit_tlb");

/* ---- the stack's page ------------------------------------------------------------------------
 *
 * Most accesses are to the stack, and most of these to the page of the one before: vp->top_tag and
 * top_host are its write entry.  Whoever drops a write entry or changes the set forgets it. */

void jit_top(struct xlate *t, unsigned g, int disp, unsigned size, bool write)
{
    struct miss *m;

    if (jit_near(t, g, disp, size, write, 0))
        return;
    asm_op(A, X_LEA | (t->wide ? OPC_W : 0), H_R11, rm_mem(host_of(g), disp), 0);
    asm_op(A, X_SUB_RM | OPC_W, H_R11, IN_VP(top_tag), 0);
    asm_op(A, X_CMP_RM | OPC_W, H_R11, IN_VP(top_limit), 0);
    m = jit_miss(t, MISS_TOP, CC_AE, size, write);
    asm_op(A, X_ADD_RM | OPC_W, H_R11, IN_VP(top_host), 0);
    m->done = A->p;
    flags_lost(t);
}

/* Is it [RSP + disp] or [RBP + disp]? */
static bool is_stack(const struct xlate *t, const struct insn *in)
{
    return (in->base == RSP || in->base == RBP) && in->index == INSN_NONE &&
           in->addr_size == (t->wide ? 8 : 4) && in->seg < SEG_FS;
}

/* Is it [register + disp]? */
static bool is_near(const struct xlate *t, const struct jit_insn *u)
{
    return u->in.base < GPRS && u->in.index == INSN_NONE && u->in.seg < SEG_FS &&
           u->in.addr_size == (t->wide ? 8 : 4);
}

/* Is RAX free until the operand is used, and R11 where RAX would be? */
static bool is_direct(const struct xlate *t, const struct jit_insn *u)
{
    const struct insn *in = &u->in;

    return u->emit == emit_rm && t->wide && in->addr_size == 8 && in->seg < SEG_FS &&
           (in->base != INSN_NONE || in->index < GPRS) && !is_slot(in->index) && !u->reads &&
           !(u->partial && u->live) && !u->reg_high &&
           !(u->vex_general && is_slot(in->vvvv));
}

static bool uses_slot(const struct jit_insn *u) /* ModRM.reg in R11 */
{
    return u->reg_acc && !u->reg_x && is_slot(u->in.reg);
}

static struct host_rm memory_operand(struct xlate *t, const struct jit_insn *u)
{
    const struct insn *in = &u->in;
    bool slot = t->copy && u->range, near = is_near(t, u), write = u->rm_acc & ACC_W;
    struct host_rm rm;

    if (!slot && u->mem_size <= 8 && is_stack(t, in)) {
        jit_top(t, in->base, (int32_t)in->disp, u->mem_size, write);
        return rm_mem(H_R11, 0);
    }
    if (!slot && near && jit_near(t, in->base, (int32_t)in->disp, u->mem_size, write, u->align))
        return rm_mem(H_R11, 0);
    jit_address(t, in);
    if (slot) { /* the first round has looked at its alignment, which steps keep */
        jit_page(t, t->range[u->range - 1].slot, u->mem_size, write);
    } else if (is_direct(t, u)) {
        rm = tlb_direct(t, u);
        if (near && !is_slot(in->base) && !uses_slot(u) && jit_near_follows(t))
            asm_op(A, X_LEA | OPC_W, H_R11, rm, 0);
        else
            t->near_lost = true;
        return rm;
    } else {
        tlb(t, u->mem_size, write, u->align);
    }
    return rm_mem(H_R11, 0);
}

/* ---- instructions with ModRM ----------------------------------------------------------------- */

static bool is_memory(const struct insn *in)
{
    return in->has_modrm && in->mod != 3;
}

/* RAX = AH, CH, DH or BH, whose names are 4 to 7 */
static struct host_rm high_byte(struct xlate *t, unsigned name)
{
    asm_op(A, X_MOV_RM, H_RAX, place_of(name - 4), 0);
    asm_op(A, OPC_0F | 0xb6, H_RAX, rm_reg(H_RSP), 0); /* movzbl %ah, %eax */
    return rm_reg(H_RAX);
}

/* The host register of VEX.vvvv: RAX at most is also the target, which is written last. */
static unsigned vex_register(struct xlate *t, const struct jit_insn *u)
{
    if (!u->vex_general)
        return u->in.vvvv;
    if (host_of(u->in.vvvv) != H_NONE)
        return host_of(u->in.vvvv);
    load_slot(t, H_RAX, u->in.vvvv);
    return H_RAX;
}

void emit_rm(struct xlate *t, struct jit_insn *u)
{
    const struct insn *in = &u->in;
    struct host_rm rm = rm_mem(H_R11, 0);
    unsigned reg = u->ext;
    bool back_rm = false, back_reg = false, ranged = t->ranged && u->range;

    t->near_lost = false;
    if (is_memory(in) && !ranged)
        rm = memory_operand(t, u);
    flags_for(t);
    if (ranged) {
        rm = jit_range_operand(t, u);
    } else if (is_memory(in)) { /* it is */
    } else if (u->rm_x) {
        rm = rm_reg(in->rm);
    } else if (u->rm_high && (u->rm_acc & ACC_W)) { /* in AH; no REX, so no register besides */
        get(t, H_RAX, in->rm - 4u);
        asm_op(A, u->opc & ~(unsigned)OPC_BYTE_RM, reg, rm_reg(H_RSP), u->imm_n);
        if (u->imm_n)
            asm_8(A, (unsigned)in->imm);
        set(t, in->rm - 4u, H_RAX);
        return;
    } else if (u->rm_high) {
        rm = high_byte(t, in->rm);
    } else {
        rm = place_of(in->rm);
        if (rm.reg == H_NONE && (u->rm_register || ((u->rm_acc & ACC_W) && u->size == 4))) {
            if ((u->rm_acc & ACC_R) || u->size < 4)
                load_slot(t, H_R11, in->rm);
            rm = rm_reg(H_R11);
            back_rm = u->rm_acc & ACC_W;
        }
    }
    if (u->reg_x) {
        if (u->reg_acc)
            reg = in->reg;
    } else if (u->reg_high) {
        high_byte(t, in->reg);
        reg = H_RAX;
    } else if (u->reg_acc) {
        reg = host_of(in->reg);
        if (reg == H_NONE) {
            reg = u->rm_high || rm.base == H_RAX || rm.index == H_RAX ? H_R11 : H_RAX;
            if ((u->reg_acc & ACC_R) || u->size < 4)
                load_slot(t, reg, in->reg);
            back_reg = u->reg_acc & ACC_W;
        }
    }
    if (in->prefixes & PFX_VEX)
        asm_vex(A, in->map, in->vex_pp, in->rex >> 3 & 1, in->vex_l, in->opcode, reg,
                vex_register(t, u), rm, u->imm_n);
    else
        asm_op(A, u->opc, reg, rm, u->imm_n);
    if (u->imm_n)
        asm_put(A, in->imm, u->imm_n);
    if (back_rm)
        store_slot(t, H_R11, in->rm);
    if (back_reg)
        store_slot(t, reg, in->reg);
    if (t->near_lost)
        t->near.valid = false;
    else if (is_memory(in) && !ranged && is_near(t, u))
        jit_near_set(t, in->base, in->disp, u->mem_size, u->rm_acc & ACC_W, u->align);
}

void emit_nothing(struct xlate *t, struct jit_insn *u)
{
}

void emit_byte(struct xlate *t, struct jit_insn *u) /* CLC, STC, CMC */
{
    flags_for(t);
    asm_8(A, u->in.opcode);
}

void emit_mov_imm(struct xlate *t, struct jit_insn *u)
{
    struct host_rm to = place_of(u->ext);
    uint64_t imm = u->in.imm;
    unsigned reg = to.reg == H_NONE ? H_RAX : to.reg;

    if (u->size == 4)
        imm = (uint32_t)imm;
    if (u->size == 1) {
        asm_op(A, 0xc6 | OPC_BYTE_RM, 0, to, 1);
        asm_8(A, (unsigned)imm);
        return;
    }
    if (u->size == 2) {
        asm_op(A, 0xc7 | OPC_66, 0, to, 2);
        asm_put(A, imm, 2);
        return;
    }
    if (imm == (uint32_t)imm) { /* the upper half becomes 0 */
        if (reg >= 8)
            asm_8(A, 0x41);
        asm_8(A, 0xb8 | (reg & 7));
        asm_32(A, (uint32_t)imm);
    } else if (imm == (uint64_t)(int32_t)imm) {
        asm_op(A, 0xc7 | OPC_W, 0, rm_reg(reg), 4);
        asm_32(A, (uint32_t)imm);
    } else {
        asm_8(A, 0x48 | (reg >> 3 & 1));
        asm_8(A, 0xb8 | (reg & 7));
        asm_put(A, imm, 8);
    }
    if (to.reg == H_NONE)
        store_slot(t, reg, u->ext);
}

void emit_lea(struct xlate *t, struct jit_insn *u)
{
    unsigned to = host_of(u->in.reg), w = u->in.addr_size == 8 && u->size == 8 ? OPC_W : 0;

    effective(t, to == H_NONE ? H_R11 : to, &u->in, w);
    if (to == H_NONE)
        store_slot(t, H_R11, u->in.reg);
}

void emit_bswap(struct xlate *t, struct jit_insn *u)
{
    unsigned reg = host_of(u->ext);

    if (reg == H_NONE)
        load_slot(t, reg = H_R11, u->ext);
    asm_8(A, 0x40 | (u->size == 8 ? 8 : 0) | (reg >> 3 & 1));
    asm_put(A, 0x0f | (0xc8u | (reg & 7)) << 8, 2);
    if (host_of(u->ext) == H_NONE)
        store_slot(t, reg, u->ext);
}

/* CBW, CWDE, CDQE; CDQ, CQO */
void emit_sign(struct xlate *t, struct jit_insn *u)
{
    unsigned rax = host_of(RAX);

    if (u->in.opcode == 0x99) {
        get(t, H_RAX, RAX);
        if (u->size == 8)
            asm_8(A, 0x48);
        asm_8(A, 0x99);
        return;
    }
    switch (u->size) {
    case 2: asm_op(A, OPC_0F | 0xbe | OPC_66 | OPC_BYTE_RM, rax, rm_reg(rax), 0); break;
    case 4: asm_op(A, OPC_0F | 0xbf, rax, rm_reg(rax), 0); break;
    default: asm_op(A, X_MOVSXD, rax, rm_reg(rax), 0); break;
    }
}

/* ---- multiplication, division ---------------------------------------------------------------- */

void emit_mul(struct xlate *t, struct jit_insn *u)
{
    struct host_rm rm = place_of(u->in.rm);

    if (is_memory(&u->in)) {
        memory_operand(t, u);
        rm = rm_mem(H_R11, 0);
    }
    get(t, H_RAX, RAX);
    asm_op(A, u->opc, u->ext, rm, 0);
    set(t, RAX, H_RAX);
}

/* Quotients that do not fit, and division by 0, are the interpreter's. */
void emit_div(struct xlate *t, struct jit_insn *u)
{
    unsigned w = w_of(u->size);

    if (is_memory(&u->in)) {
        memory_operand(t, u);
        asm_op(A, X_MOV_RM | w, H_R11, rm_mem(H_R11, 0), 0);
    } else {
        asm_op(A, X_MOV_RM | w, H_R11, place_of(u->in.rm), 0);
    }
    if ((u->ext & 1) == 0) { /* DIV: the upper half is less than the divisor */
        asm_op(A, X_CMP_RM | w, H_RDX, rm_reg(H_R11), 0);
        jit_side(t, CC_AE);
    } else { /* IDIV: the upper half is but a sign, the divisor neither 0 nor -1 */
        asm_op(A, X_MOV_RM | w, H_RAX, place_of(RAX), 0);
        asm_op(A, X_SHIFT_I | w, G_SAR, rm_reg(H_RAX), 1);
        asm_8(A, u->size * 8u - 1);
        asm_op(A, X_CMP_RM | w, H_RAX, rm_reg(H_RDX), 0);
        jit_side(t, CC_NE);
        asm_op(A, X_LEA | w, H_RAX, rm_mem(H_R11, 1), 0);
        asm_imm(A, G_CMP, w, rm_reg(H_RAX), 1);
        jit_side(t, CC_BE);
    }
    flags_lost(t);
    get(t, H_RAX, RAX);
    asm_op(A, 0xf7 | w, u->ext, rm_reg(H_R11), 0);
    set(t, RAX, H_RAX);
}

/* ---- compare and exchange -------------------------------------------------------------------- */

void emit_cmpxchg(struct xlate *t, struct jit_insn *u)
{
    memory_operand(t, u);
    get(t, H_RAX, RAX);
    asm_op(A, u->opc, host_of(u->in.reg), rm_mem(H_R11, 0), 0);
    set(t, RAX, H_RAX);
}

/* BT, BTS, BTR, BTC without LOCK: the word that has the bit, and then as of a register. */
void emit_bit_string(struct xlate *t, struct jit_insn *u)
{
    const struct insn *in = &u->in;
    unsigned w = u->size == 8 ? OPC_W : 0, shift = u->size == 8 ? 6 : 5, reg = host_of(in->reg);

    jit_address(t, in);
    asm_op(A, w ? X_MOV_RM | OPC_W : X_MOVSXD, H_RAX, place_of(in->reg), 0);
    asm_op(A, X_SHIFT_I | OPC_W, G_SAR, rm_reg(H_RAX), 1);
    asm_8(A, shift);
    asm_op(A, X_LEA | OPC_W, H_R11, rm_sib(H_R11, H_RAX, shift - 3, 0), 0);
    jit_tlb(t, u->size, u->rm_acc & ACC_W);
    flags_for(t);
    asm_op(A, X_MOV_RM | w, H_RAX, rm_mem(H_R11, 0), 0);
    if (u->rm_acc & ACC_W) {
        asm_op(A, u->opc, reg, rm_reg(H_RAX), 0);
        asm_op(A, X_MOV_MR | w, H_RAX, rm_mem(H_R11, 0), 0);
        return;
    }
    if (reg == H_NONE)
        load_slot(t, reg = H_R11, in->reg);
    asm_op(A, u->opc, reg, rm_reg(H_RAX), 0);
}

void emit_cmpxchg8b(struct xlate *t, struct jit_insn *u)
{
    memory_operand(t, u);
    flags_for(t);
    get(t, H_RAX, RAX);
    asm_op(A, u->opc, 1, rm_mem(H_R11, 0), 0);
    set(t, RAX, H_RAX);
}

/* ---- the stack ------------------------------------------------------------------------------- */

void jit_move_sp(struct xlate *t, int by)
{
    asm_op(A, X_LEA | (t->wide ? OPC_W : 0), H_R9, rm_mem(H_R9, by), 0);
}

/* R11 = host address of the new top */
void jit_push_place(struct xlate *t, unsigned size)
{
    jit_top(t, RSP, -(int)size, size, true);
}

void emit_push(struct xlate *t, struct jit_insn *u)
{
    unsigned reg = host_of(u->ext);

    jit_push_place(t, u->size);
    if (reg == H_NONE)
        load_slot(t, reg = H_RAX, u->ext);
    asm_op(A, X_MOV_MR | w_of(u->size), reg, rm_mem(H_R11, 0), 0);
    jit_move_sp(t, -u->size);
    jit_near_set(t, RSP, 0, u->size, true, 0);
}

void emit_push_imm(struct xlate *t, struct jit_insn *u)
{
    jit_push_place(t, u->size);
    asm_op(A, 0xc7 | w_of(u->size), 0, rm_mem(H_R11, 0), 4);
    asm_32(A, (uint32_t)u->in.imm);
    jit_move_sp(t, -u->size);
    jit_near_set(t, RSP, 0, u->size, true, 0);
}

void emit_push_rm(struct xlate *t, struct jit_insn *u)
{
    if (!is_memory(&u->in)) {
        u->ext = u->in.rm;
        emit_push(t, u);
        return;
    }
    jit_address(t, &u->in);
    jit_tlb(t, u->size, false);
    asm_op(A, X_MOV_RM | w_of(u->size), H_RAX, rm_mem(H_R11, 0), 0);
    asm_op(A, X_MOV_MR | OPC_W, H_RAX, IN_VP(lazy[LAZY_ADDR]), 0);
    jit_push_place(t, u->size);
    asm_op(A, X_MOV_RM | OPC_W, H_RAX, IN_VP(lazy[LAZY_ADDR]), 0);
    asm_op(A, X_MOV_MR | w_of(u->size), H_RAX, rm_mem(H_R11, 0), 0);
    jit_move_sp(t, -u->size);
}

void emit_pop(struct xlate *t, struct jit_insn *u)
{
    unsigned reg = host_of(u->ext);

    jit_top(t, RSP, 0, u->size, false);
    asm_op(A, X_MOV_RM | w_of(u->size), reg == H_NONE ? H_R11 : reg, rm_mem(H_R11, 0), 0);
    if (reg == H_NONE)
        store_slot(t, H_R11, u->ext);
    jit_move_sp(t, u->size);
    if (reg != H_NONE && u->ext != RSP)
        jit_near_set(t, RSP, -(int)u->size, u->size, false, 0);
}

void emit_leave(struct xlate *t, struct jit_insn *u)
{
    unsigned bp = host_of(RBP);

    jit_top(t, RBP, 0, u->size, false);
    asm_op(A, X_LEA | w_of(u->size), H_R9, rm_mem(bp, u->size), 0);
    asm_op(A, X_MOV_RM | w_of(u->size), bp, rm_mem(H_R11, 0), 0);
    jit_near_set(t, RSP, -(int)u->size, u->size, false, 0);
}
