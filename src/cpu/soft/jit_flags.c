/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_flags.c - arithmetic flags in translated code.
 *
 * The guest's flags are the host's from the instruction that makes them on, and a TLB check destroys
 * them.  At block boundaries they are in LAZY_FLAGS.  Whoever makes flags looks ahead to the next
 * maker: if in between something needs them that can no longer have them, neither from the host's nor
 * by a recipe, they are kept at once (LAHF, SETO, a store).  A fault needs them too, but the interpreter
 * raises it, so a recipe runs on the way out only.
 * Called: jit.c, jit_emit.c, jit_flow.c. */
#include "cpu/soft/jit_private.h"

bool flags_recipe_uses(const struct recipe *r, uint16_t writes)
{
    return writes >> r->a & 1 || (r->b != INSN_NONE && writes >> r->b & 1);
}

static bool survive(const struct xlate *t, unsigned from, bool in_host)
{
    bool by_recipe = t->recipe.kind != RECIPE_NONE;

    for (unsigned i = from; i < t->n; i++) {
        const struct jit_insn *u = &t->insn[i];

        if ((u->label && i > from) || !u->emit || (u->leaves && u->emit != emit_jcc))
            return in_host || by_recipe; /* a branch keeps them where it is taken */
        if (u->faults) {
            if (!by_recipe)
                return false;
            in_host = false;
        }
        if (u->reads || (u->partial && u->live)) {
            if (!in_host && !by_recipe)
                return false;
            in_host = true;
        }
        if (u->makes)
            return true;
        if (u->emit == emit_jcc) /* it decides anew */
            return true;
        if (u->loses)
            in_host = false;
        if (by_recipe && flags_recipe_uses(&t->recipe, u->writes))
            by_recipe = false;
    }
    return in_host || by_recipe;
}

bool flags_survive(const struct xlate *t)
{
    if (t->i + 1 < t->n && t->insn[t->i + 1].label)
        return true;
    return survive(t, t->i + 1, true);
}

bool flags_survive_loop(const struct xlate *t, unsigned first, bool in_host)
{
    return (in_host || t->recipe.kind != RECIPE_NONE) && survive(t, first, in_host);
}

void flags_made(struct xlate *t)
{
    const struct jit_insn *u = &t->insn[t->i];

    t->in_host = true;
    t->kept = false;
    t->recipe = u->recipe;
    if (u->live && !flags_survive(t))
        flags_keep(t);
}

/* Behind a conditional branch that is not taken. */
void flags_behind_jcc(struct xlate *t)
{
    if (t->insn[t->i].live && !flags_survive(t))
        flags_keep(t);
}

/* In one piece: two stores would not be there yet for a load of both. */
void flags_store(struct asm_buf *a)
{
    asm_8(a, 0x9f);             /* lahf */
    asm_op(a, OPC_0F | 0x90, 0, rm_reg(H_RAX), 0); /* seto %al */
    asm_op(a, X_MOV_MR | OPC_66, H_RAX, IN_VP(lazy[LAZY_FLAGS]), 0);
}

void flags_keep(struct xlate *t)
{
    if (t->kept)
        return;
    if (!t->in_host) {
        if (t->recipe.kind == RECIPE_NONE) {
            t->bad = true;
            return;
        }
        flags_replay(&t->a, &t->recipe);
        t->in_host = true;
    }
    flags_store(&t->a);
    t->kept = true;
}

/* What the current instruction reads, or leaves as it is. */
void flags_for(struct xlate *t)
{
    const struct jit_insn *u = &t->insn[t->i];

    if (u->reads || (u->partial && u->live))
        flags_to_host(t);
}

void flags_to_host(struct xlate *t)
{
    if (t->in_host)
        return;
    if (t->recipe.kind != RECIPE_NONE) {
        flags_replay(&t->a, &t->recipe);
    } else if (t->kept) {
        asm_op(&t->a, OPC_0F | 0xb7, H_RAX, IN_VP(lazy[LAZY_FLAGS]), 0); /* movzwl */
        asm_put(&t->a, 0x7f04, 2); /* add $127, %al */
        asm_8(&t->a, 0x9e);        /* sahf */
    } else {
        t->bad = true;
    }
    t->in_host = true;
}

/* One-byte opcodes: the form of bytes is one less; 2 and 8 have prefixes. */
static unsigned sized(unsigned opc, unsigned size)
{
    if (size == 1)
        return (opc - 1) | OPC_BYTE_REG | OPC_BYTE_RM;
    return opc | (size == 2 ? OPC_66 : 0) | (size == 8 ? OPC_W : 0);
}

static void with_imm(struct asm_buf *a, unsigned opc, unsigned group, struct host_rm rm, unsigned size,
                     int32_t imm)
{
    unsigned n = MIN(size, 4);

    asm_op(a, sized(opc, size), group, rm, n);
    asm_put(a, (uint32_t)imm, n);
}

static void group1(struct asm_buf *a, unsigned group, unsigned reg, const struct recipe *r)
{
    if (r->b == INSN_NONE)
        with_imm(a, X_GROUP1_I, group, rm_reg(reg), r->size, r->imm);
    else
        asm_op(a, sized(group << 3 | 3, r->size), reg, place_of(r->b), 0);
}

void flags_replay(struct asm_buf *a, const struct recipe *r)
{
    struct host_rm left = place_of(r->a);

    switch (r->kind) {
    case RECIPE_CMP:
        if (r->b == INSN_NONE) {
            with_imm(a, X_GROUP1_I, G_CMP, left, r->size, r->imm);
            return;
        }
        break;
    case RECIPE_TEST:
        if (r->b == INSN_NONE) {
            with_imm(a, 0xf7, 0, left, r->size, r->imm);
            return;
        }
        break;
    }
    if (left.reg != H_NONE && (r->kind == RECIPE_RESULT || r->kind == RECIPE_TEST)) {
        asm_op(a, sized(X_TEST_MR, r->size), left.reg, r->kind == RECIPE_TEST ? place_of(r->b) : left,
               0);
        return;
    }
    if (left.reg != H_NONE && r->kind == RECIPE_CMP) {
        group1(a, G_CMP, left.reg, r);
        return;
    }
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, left, 0);
    switch (r->kind) {
    case RECIPE_CMP: group1(a, G_CMP, H_RAX, r); break;
    case RECIPE_TEST: asm_op(a, sized(X_TEST_MR, r->size), H_RAX, place_of(r->b), 0); break;
    case RECIPE_RESULT: asm_op(a, sized(X_TEST_MR, r->size), H_RAX, rm_reg(H_RAX), 0); break;
    case RECIPE_ADD:
        group1(a, G_SUB, H_RAX, r);
        group1(a, G_ADD, H_RAX, r);
        break;
    case RECIPE_SUB:
        group1(a, G_ADD, H_RAX, r);
        group1(a, G_SUB, H_RAX, r);
        break;
    case RECIPE_NEG:
        asm_op(a, sized(0xf7, r->size), 3, rm_reg(H_RAX), 0);
        asm_op(a, sized(0xf7, r->size), 3, rm_reg(H_RAX), 0);
        break;
    }
}
