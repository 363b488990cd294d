/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_flow.c - branches of translated code: within the block, along links, through the jump cache.
 *
 * jit_return.c has returns.  A link is the interpreter's (op->imm), so whoever drops or makes a block
 * does it for both.  Loops look at attention and the clock where they go back, as all exits back and
 * indirect ones do, and those of blocks that have followed a jump back: no cycle is without.
 * Instructions that a branch forward within the block skips are counted as executed.
 * Called: jit.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define RUN(member) ((int)offsetof(struct run_state, member))

static bool in_page(const struct xlate *t, int64_t delta)
{
    return block_gpa(t->block).v % PAGE_SIZE + (uint64_t)delta < PAGE_SIZE;
}

void jit_count(struct xlate *t, unsigned n)
{
    asm_imm(A, G_SUB, OPC_W, IN_VP(lazy[LAZY_LEFT]), (int32_t)(n + t->uncounted));
}

/* Flags of jit_count() are still there. */
static void look_up(struct xlate *t)
{
    const uint8_t *leave = t->framed ? t->jit->common.returns.call_leave : t->jit->common.leave;

    asm_jcc(A, CC_S, leave);
    asm_imm(A, G_CMP, 0, IN_VP(attention), 0);
    asm_jcc(A, CC_NE, leave);
}

static void jump_native(struct xlate *t) /* to the operation RAX, first of its block */
{
    asm_op(A, 0xff, t->framed ? 2 : 4, /* call or jmp */
           rm_mem(H_RAX, (int)offsetof(struct block, native) - (int)sizeof(struct block)), 0);
}

/* Does every cycle of such exits have one of these? */
static bool goes_back(const struct xlate *t, unsigned exit, int64_t delta)
{
    return delta <= t->block->ops[exit].off || t->block->back;
}

static void exit_page(struct xlate *t, unsigned exit, int64_t delta)
{
    if (delta)
        asm_imm(A, G_ADD, OPC_W, IN_VP(block_rip), (int32_t)delta);
    jit_count(t, t->block->ops[exit].n);
    if (goes_back(t, exit, delta))
        look_up(t);
    jit_put_link(t, exit, false);
}

/* As take_exit_cross(). */
static void exit_cross(struct xlate *t, unsigned exit, int64_t delta)
{
    const uint8_t *slow = t->framed ? t->jit->common.returns.call_cross_slow : t->jit->common.cross_slow;
    unsigned w = t->wide ? OPC_W : 0;

    asm_op(A, X_MOV_RM | w, H_R11, IN_VP(block_rip), 0);
    asm_imm(A, G_ADD, w, rm_reg(H_R11), (int32_t)delta);
    asm_op(A, X_MOV_MR | OPC_W, H_R11, IN_VP(block_rip), 0);
    jit_count(t, t->block->ops[exit].n);
    if (goes_back(t, exit, delta) || !t->wide) /* 32-bit addresses wrap */
        look_up(t);
    jit_shift(A, H_RAX, H_R11, PAGE_SHIFT - 4);
    asm_8(A, 0x25); /* and $, %eax */
    asm_32(A, (FETCH_ENTRIES_RUN - 1) << 4);
    asm_op(A, X_ADD_RM | OPC_W, H_RAX, IN_VP(run), 0);
    asm_imm(A, G_AND, OPC_W, rm_reg(H_R11), -(int)PAGE_SIZE);
    asm_op(A, X_ADD_RM | OPC_W, H_R11, IN_VP(fetch_low), 0);
    asm_op(A, X_CMP_RM | OPC_W, H_R11, rm_mem(H_RAX, RUN(fetch)), 0);
    asm_op(A, X_MOV_RM, H_RAX, /* the page's number */
           rm_mem(H_RAX, RUN(fetch) + (int)offsetof(struct fetch_slot, page) + 3), 0);
    asm_pointer(A, H_R11, &t->block->ops[exit]);
    asm_jcc(A, CC_NE, slow);
    jit_put_link(t, exit, true);
}
_Static_assert(sizeof(struct fetch_slot) == 16 && offsetof(struct fetch_slot, tag) == 0, "exit_cross");

void jit_exit(struct xlate *t, unsigned exit, int64_t delta)
{
    if (in_page(t, delta))
        exit_page(t, exit, delta);
    else
        exit_cross(t, exit, delta);
}

/* Back to an instruction of this block: 'cc' or -1. */
static void loop_to(struct xlate *t, struct jit_insn *to, int cc)
{
    uint8_t *over = cc >= 0 ? asm_jcc_later(A, (unsigned)cc ^ 1) : NULL;
    unsigned n = t->i + 1 - (unsigned)(to - t->insn);
    uint8_t *out[2];

    if (!t->kept)
        flags_store(A);
    jit_count(t, n);
    out[0] = asm_jcc_later(A, CC_S);
    asm_imm(A, G_CMP, 0, IN_VP(attention), 0);
    out[1] = asm_jcc_later(A, CC_NE);
    asm_jmp(A, (const void *)((intptr_t)to->at + t->a.run));
    asm_land(A, out[0]);
    asm_land(A, out[1]);
    asm_imm(A, G_ADD, OPC_W, IN_VP(block_rip), to->off);
    asm_jmp(A, t->jit->common.leave);
    if (over)
        asm_land(A, over);
}

void emit_jcc(struct xlate *t, struct jit_insn *u)
{
    struct jit_insn *to = u->to;

    x87_flush(t);
    flags_to_host(t);
    if (jit_inner(t, u)) {
        ;
    } else if (to && to->at) {
        if (!jit_loop(t, to, u->cc))
            loop_to(t, to, u->cc);
    } else if (t->n_far == ARRAY_LEN(t->far)) {
        t->bad = true;
        return;
    } else {
        t->far[t->n_far++] = (struct far_exit){ asm_jcc_later(A, u->cc), (uint16_t)t->i,
                                                (uint16_t)t->uncounted, t->kept };
    }
    flags_behind_jcc(t); /* not taken: the host's flags are what they were */
}

/* Forward within the block, or out of it. */
void jit_far(struct xlate *t, struct far_exit *f)
{
    struct jit_insn *u = &t->insn[f->insn], *to = u->to;

    if (to && to->at && f->kept && !f->uncounted) {
        asm_land_at(A, f->from, to->at);
        return;
    }
    asm_land(A, f->from);
    if (!f->kept)
        flags_store(A);
    if (f->at) {
        asm_jmp(A, (const void *)((intptr_t)f->at + A->run));
        return;
    }
    t->uncounted = f->uncounted;
    if (to && to->at) {
        if (t->uncounted)
            jit_count(t, 0);
        asm_jmp(A, (const void *)((intptr_t)to->at + A->run));
    } else {
        jit_exit(t, u->exit, u->delta);
    }
    t->uncounted = 0;
}

void emit_jmp(struct xlate *t, struct jit_insn *u)
{
    struct jit_insn *to = u->to;

    x87_flush(t);
    if (to && to->at && jit_loop(t, to, -1))
        return;
    flags_keep(t);
    if (to && to->at)
        loop_to(t, to, -1);
    else
        jit_exit(t, u->exit, u->delta);
}

/* R11 = place of the return address, its check behind us; the address in RAX. */
static void push_return(struct xlate *t, const struct jit_insn *u)
{
    unsigned w = t->wide ? OPC_W : 0;

    asm_op(A, X_MOV_RM | OPC_W, H_RAX, IN_VP(block_rip), 0);
    asm_imm(A, G_ADD, OPC_W, rm_reg(H_RAX), u->off + u->in.len);
    asm_op(A, X_MOV_MR | w, H_RAX, rm_mem(H_R11, 0), 0);
    asm_op(A, X_LEA | w, H_R9, rm_mem(H_R9, -(int)u->size), 0);
    if (t->framed)
        jit_push(A, H_RAX);
}

static void return_place(struct xlate *t, const struct jit_insn *u)
{
    jit_top(t, RSP, -(int)u->size, u->size, true);
}

/* The call is to leave a frame, if its return address is in this page. */
static void begin_frame(struct xlate *t, const struct jit_insn *u)
{
    t->framed = u->back;
    if (t->framed)
        jit_put_frame_room(t);
}

static void end_frame(struct xlate *t, const struct jit_insn *u)
{
    if (t->framed) {
        t->framed = false;
        jit_put_landing(t, u->back);
    }
}

void emit_call(struct xlate *t, struct jit_insn *u)
{
    x87_flush(t);
    flags_keep(t);
    begin_frame(t, u);
    return_place(t, u);
    push_return(t, u);
    jit_exit(t, u->exit, u->delta);
    end_frame(t, u);
}

void jit_jump_slot(struct asm_buf *a)
{
    asm_op(a, 0x69, H_RAX, rm_reg(H_R11), 4); /* imul $, %r11d, %eax */
    asm_32(a, JUMP_FACTOR);
    asm_op(a, X_SHIFT_I, G_SHR, rm_reg(H_RAX), 1);
    asm_8(a, 32 - JUMP_BITS - 4);
    asm_8(a, 0x25); /* and $, %eax */
    asm_32(a, (JUMP_ENTRIES - 1) << 4);
    asm_op(a, X_ADD_RM | OPC_W, H_RAX, IN_VP(run), 0);
}

/* R11 is the target.  RAX = tag and first operation of its entry in the jump cache; what it does not know,
 * the interpreter does, with the whole instruction.  R11 stays what it is: loaded from the entry it
 * would make a chain of all calls and returns, through block_rip and the return addresses. */
static void find_target(struct xlate *t)
{
    jit_jump_slot(A);
    asm_op(A, X_CMP_RM | OPC_W, H_R11, rm_mem(H_RAX, RUN(jump)), 0);
    jit_side(t, CC_NE);
    asm_op(A, X_MOV_RM | OPC_W, H_RAX, rm_mem(H_RAX, RUN(jump) + (int)offsetof(struct jump_entry, tag)), 0);
    asm_op(A, X_CMP_RM, H_RAX, IN_VP(jump_tag), 0);
    jit_side(t, CC_NE);
}
_Static_assert(sizeof(struct jump_entry) == 16 && offsetof(struct jump_entry, pc) == 0 &&
                   offsetof(struct jump_entry, first) == offsetof(struct jump_entry, tag) + 4, "find_target");

/* To R11, by RAX of find_target(). */
static void go_target(struct xlate *t)
{
    const struct op *last = &t->block->ops[t->insn[t->i].op];

    asm_op(A, X_MOV_MR | OPC_W, H_R11, IN_VP(block_rip), 0);
    asm_op(A, X_SHIFT_I | OPC_W, G_SHR, rm_reg(H_RAX), 1);
    asm_8(A, 32);
    jit_count(t, last->n);
    look_up(t);
    if (t->vp->run->jump_base) {
        asm_op(A, X_MOV_RM | OPC_W, H_R11, IN_VP(run), 0);
        asm_op(A, X_ADD_RM | OPC_W, H_RAX, rm_mem(H_R11, RUN(jump_base)), 0);
    }
    jump_native(t);
}

static void read_target(struct xlate *t, struct jit_insn *u)
{
    unsigned w = t->wide ? OPC_W : 0;

    x87_flush(t);
    flags_keep(t);
    if (u->in.mod != 3) {
        jit_address(t, &u->in);
        jit_tlb(t, u->size, false);
        asm_op(A, X_MOV_RM | w, H_R11, rm_mem(H_R11, 0), 0);
    } else {
        asm_op(A, X_MOV_RM | w, H_R11, place_of(u->in.rm), 0);
    }
}

void emit_jmp_rm(struct xlate *t, struct jit_insn *u)
{
    read_target(t, u);
    find_target(t);
    go_target(t);
}

void emit_call_rm(struct xlate *t, struct jit_insn *u)
{
    read_target(t, u);
    begin_frame(t, u);
    find_target(t);
    asm_op(A, X_MOV_MR | OPC_W, H_RAX, IN_VP(lazy[LAZY_ADDR]), 0);
    asm_op(A, X_MOV_MR | OPC_W, H_R11, IN_VP(lazy[LAZY_TARGET]), 0);
    return_place(t, u);
    push_return(t, u);
    asm_op(A, X_MOV_RM | OPC_W, H_RAX, IN_VP(lazy[LAZY_ADDR]), 0);
    asm_op(A, X_MOV_RM | OPC_W, H_R11, IN_VP(lazy[LAZY_TARGET]), 0);
    go_target(t);
    end_frame(t, u);
}
