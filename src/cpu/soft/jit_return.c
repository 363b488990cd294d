/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_return.c - guest returns as host returns, so that the host's return predictor serves them.
 *
 * While translated code runs, RSP is a stack of its own (struct frames in block.h): a guest CALL ends in
 * a host CALL, which leaves a frame of the guest's return address and the host's.  A guest RET ends in a
 * host RET, to behind some such CALL; there the guest's own target, in R11, must be what the frame says.
 * If so the address means what it meant at the CALL, because whoever changes what code addresses mean, or
 * the mode, forgets the frames (run.c; user mode has its own), and the block behind the CALL is its
 * exit's, as of any exit.
 *
 * Frames are a guess.  The interpreter neither makes nor takes any, and guests switch stacks: a target
 * that the frame does not know is looked for in the next few, and then in the jump cache. */
#include "cpu/soft/jit_private.h"
#include "cpu/soft/ops_flow.h"

#define A (&t->a)
#define RUN(member) ((int)offsetof(struct run_state, member))

/* Before a call has done anything. */
void jit_put_frame_room(struct xlate *t)
{
    asm_op(A, X_CMP_RM | OPC_W, H_RSP, IN_VP(frames_limit), 0);
    jit_side(t, CC_B);
}

void jit_put_landing(struct xlate *t, unsigned exit)
{
    const struct jit_returns *r = &t->jit->common.returns;

    asm_jcc(A, CC_S, r->leave); /* of emit_ret()'s count */
    asm_op(A, X_CMP_RM | OPC_W, H_R11, rm_mem(H_RSP, 0), 0);
    asm_jcc(A, CC_NE, r->miss);
    asm_imm(A, G_ADD, OPC_W, rm_reg(H_RSP), 8);
    asm_op(A, X_MOV_MR | OPC_W, H_R11, IN_VP(block_rip), 0);
    jit_put_link(t, exit, false);
}

/* Where it lands R11 is the target, RAX this operation, for run_return_slow(). */
void emit_ret(struct xlate *t, struct jit_insn *u)
{
    const struct op *o = &t->block->ops[u->op];

    x87_flush(t);
    flags_keep(t);
    jit_top(t, RSP, 0, u->size, false);
    asm_op(A, X_MOV_RM | (t->wide ? OPC_W : 0), H_R11, rm_mem(H_R11, 0), 0);
    jit_move_sp(t, (int)(u->size + (u->in.imm & 0xffff)));
    asm_pointer(A, H_RAX, o);
    jit_count(t, o->n);
    asm_8(A, 0xc3);
}

/* ---- common to all blocks -------------------------------------------------------------------- */

/* No frame: through the jump cache, as other indirect branches. */
static void put_look_up(struct asm_buf *a, const struct jit_common *c)
{
    uint8_t *miss[2];

    jit_jump_slot(a);
    asm_op(a, X_CMP_RM | OPC_W, H_R11, rm_mem(H_RAX, RUN(jump)), 0);
    miss[0] = asm_jcc_later(a, CC_NE);
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, rm_mem(H_RAX, RUN(jump) + (int)offsetof(struct jump_entry, tag)), 0);
    asm_op(a, X_CMP_RM, H_RAX, IN_VP(jump_tag), 0);
    miss[1] = asm_jcc_later(a, CC_NE);
    asm_op(a, X_MOV_MR | OPC_W, H_R11, IN_VP(block_rip), 0);
    asm_imm(a, G_CMP, OPC_W, IN_VP(lazy[LAZY_LEFT]), 0);
    asm_jcc(a, CC_L, c->leave);
    asm_imm(a, G_CMP, 0, IN_VP(attention), 0);
    asm_jcc(a, CC_NE, c->leave);
    asm_op(a, X_SHIFT_I | OPC_W, G_SHR, rm_reg(H_RAX), 1);
    asm_8(a, 32);
    asm_op(a, X_MOV_RM | OPC_W, H_R11, IN_VP(run), 0);
    asm_op(a, X_ADD_RM | OPC_W, H_RAX, rm_mem(H_R11, RUN(jump_base)), 0);
    asm_op(a, 0xff, 4, rm_mem(H_RAX, (int)offsetof(struct block, native) - (int)sizeof(struct block)), 0);
    asm_land(a, miss[0]);
    asm_land(a, miss[1]);
    asm_imm(a, G_ADD, OPC_W, IN_VP(count.side_exits), 1);
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, IN_VP(lazy[LAZY_TARGET]), 0);
    jit_put_spill(a);
    asm_op(a, X_MOV_RM | OPC_W, H_RSI, rm_reg(H_RAX), 0);
    jit_put_jmp_c(a, run_return_slow);
}

void jit_put_returns(struct asm_buf *a, struct jit_common *c)
{
    struct jit_returns *r = &c->returns;
    uint8_t *found[FRAMES_SEARCH], *none;

    r->miss = asm_here(a); /* RSP is at the frame's second word */
    asm_op(a, X_MOV_MR | OPC_W, H_RAX, IN_VP(lazy[LAZY_TARGET]), 0);
    asm_op(a, X_LEA | OPC_W, H_RAX, rm_mem(H_RSP, 8), 0);
    for (unsigned i = 0; i < FRAMES_SEARCH; i++) {
        asm_op(a, X_CMP_RM | OPC_W, H_R11, rm_mem(H_RAX, offsetof(struct frame, rip)), 0);
        found[i] = asm_jcc_later(a, CC_E);
        asm_op(a, X_LEA | OPC_W, H_RAX, rm_mem(H_RAX, sizeof(struct frame)), 0);
    }
    asm_op(a, X_LEA | OPC_W, H_RSP, rm_mem(H_RSP, -8), 0); /* it may be somebody else's */
    none = asm_jmp_later(a);
    for (unsigned i = 0; i < FRAMES_SEARCH; i++)
        asm_land(a, found[i]);
    asm_op(a, X_MOV_RM | OPC_W, H_RSP, rm_reg(H_RAX), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, IN_VP(lazy[LAZY_TARGET]), 0);
    asm_8(a, 0xc3);

    r->empty = asm_here(a);
    asm_op(a, X_MOV_MR | OPC_W, H_RAX, IN_VP(lazy[LAZY_TARGET]), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RSP, IN_VP(frames_none), 0);
    asm_land(a, none);
    put_look_up(a, c);

    r->leave = asm_here(a);
    asm_op(a, X_CMP_RM | OPC_W, H_R11, rm_mem(H_RSP, 0), 0);
    asm_jcc(a, CC_NE, r->miss);
    asm_op(a, X_MOV_MR | OPC_W, H_R11, IN_VP(block_rip), 0);
    r->call_leave = asm_here(a);
    asm_imm(a, G_ADD, OPC_W, rm_reg(H_RSP), 8);
    asm_jmp(a, c->leave);
    r->call_cross_slow = asm_here(a);
    asm_imm(a, G_ADD, OPC_W, rm_reg(H_RSP), 8);
    asm_jmp(a, c->cross_slow);
}
_Static_assert(offsetof(struct frame, rip) == 8 && sizeof(struct frame) == 16, "what CALL pushes");
