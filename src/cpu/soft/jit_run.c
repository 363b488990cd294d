/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_run.c - runs of pushes and pops, as functions begin and end with: one check for all of them.
 *
 * What the run accesses lies on the stack's page (jit_top()), but near its end, or when the stack has
 * moved: then the same instructions one by one, out of line.
 * Called: jit.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define WORD     8

/* A move between registers that may stand among them: nothing of it needs R11, RSP or flags. */
static bool passes(const struct jit_insn *u)
{
    const struct insn *in = &u->in;

    if (u->emit == emit_nothing)
        return true;
    if (u->emit == emit_mov_imm)
        return u->ext != RSP;
    return u->emit == emit_rm && in->map == MAP_1 && (in->opcode == 0x89 || in->opcode == 0x8b) &&
           in->mod == 3 && u->size >= 4 && in->reg != RSP && in->rm != RSP &&
           host_of(in->reg) != H_NONE && host_of(in->rm) != H_NONE;
}

static bool is_push(const struct jit_insn *u)
{
    return (u->emit == emit_push && u->ext != RSP) || u->emit == emit_push_imm;
}

/* The run that begins at the current instruction: *ret_n words, up to instruction *ret_last; a RET's is
 * one of them. */
static bool find_run(const struct xlate *t, unsigned *ret_n, unsigned *ret_last)
{
    bool push = is_push(&t->insn[t->i]);
    unsigned n = 0, last = t->i;

    if (!t->wide || (!push && t->insn[t->i].emit != emit_pop))
        return false;
    for (unsigned i = t->i; i < t->n && n < RUN_WORDS_MAX; i++) {
        const struct jit_insn *u = &t->insn[i];
        bool more = push ? is_push(u) : u->emit == emit_pop || (u->emit == emit_ret && n);

        if (!more && !passes(u))
            break;
        if (i > t->i && u->label)
            break;
        if (more) {
            n++;
            last = i;
            if (u->emit == emit_ret)
                break;
        }
    }
    *ret_n = n;
    *ret_last = last;
    return n >= 2;
}

static void move_word(struct xlate *t, const struct jit_insn *u, unsigned at)
{
    struct host_rm m = rm_mem(H_R11, (int)(at * WORD));
    unsigned reg = host_of(u->ext);

    if (u->emit == emit_push_imm) {
        asm_op(A, 0xc7 | OPC_W, 0, m, 4);
        asm_32(A, (uint32_t)u->in.imm);
        return;
    }
    if (reg == H_NONE)
        reg = H_RAX;
    if (u->emit == emit_pop) {
        asm_op(A, X_MOV_RM | OPC_W, reg, m, 0);
        if (reg == H_RAX)
            asm_op(A, X_MOV_MR | OPC_W, reg, slot_of(u->ext), 0);
        return;
    }
    if (reg == H_RAX)
        asm_op(A, X_MOV_RM | OPC_W, reg, slot_of(u->ext), 0);
    asm_op(A, X_MOV_MR | OPC_W, reg, m, 0);
}

static void forget_recipe(struct xlate *t, const struct jit_insn *u)
{
    if (flags_recipe_uses(&t->recipe, u->writes))
        t->recipe.kind = RECIPE_NONE;
}

/* false: it is none.  Else the current instruction is its last. */
bool jit_run(struct xlate *t)
{
    struct stack_run *r = &t->run[t->n_runs];
    unsigned first = t->i, last, n, k = 0;
    bool push = is_push(&t->insn[t->i]), ret;

    if (t->n_runs == ARRAY_LEN(t->run) || !find_run(t, &n, &last))
        return false;
    ret = t->insn[last].emit == emit_ret;
    t->n_runs++;
    *r = (struct stack_run){ .first = (uint16_t)first, .last = (uint16_t)last, .kept = t->kept,
                             .recipe = t->recipe, .x87 = t->x87 };
    asm_op(A, X_LEA | OPC_W, H_R11, rm_mem(host_of(RSP), push ? -(int)(n * WORD) : 0), 0);
    asm_op(A, X_SUB_RM | OPC_W, H_R11, IN_VP(top_tag), 0);
    asm_op(A, X_CMP_RM | OPC_W, H_R11, IN_VP(run_limit), 0);
    r->from = asm_jcc_later(A, CC_AE);
    asm_op(A, X_ADD_RM | OPC_W, H_R11, IN_VP(top_host), 0);
    flags_lost(t);
    t->near.valid = false;
    for (; t->i <= last - ret; t->i++) {
        const struct jit_insn *u = &t->insn[t->i];

        if (passes(u))
            jit_put_insn(t);
        else
            move_word(t, u, push ? n - 1 - k++ : k++);
        forget_recipe(t, u);
    }
    t->i = last;
    jit_move_sp(t, push ? -(int)(k * WORD) : (int)(k * WORD));
    if (ret) { /* which finds its word there */
        t->near = (struct near){ .valid = true, .write = true, .base = RSP, .size = (uint8_t)(n * WORD),
                                 .disp = -(int32_t)(k * WORD) };
        jit_put_insn(t);
    }
    r->back = A->p;
    return true;
}

void jit_put_slow_runs(struct xlate *t)
{
    for (unsigned i = 0; i < t->n_runs; i++) {
        const struct stack_run *r = &t->run[i];

        asm_land(A, r->from);
        t->in_host = false;
        t->kept = r->kept;
        t->recipe = r->recipe;
        t->x87 = r->x87;
        t->near.valid = false;
        for (t->i = r->first; t->i <= r->last; t->i++)
            jit_put_insn(t);
        if (t->insn[r->last].emit != emit_ret)
            asm_jmp(A, (const void *)((intptr_t)r->back + A->run));
    }
}
