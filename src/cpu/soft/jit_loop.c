/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_loop.c - innermost loops of a block, unrolled.
 *
 * A loop is first entered from anywhere: with the flags in the VP.  From its end it goes on in a copy
 * that knows where the flags are, namely as the end left them, so they need not be kept; that copy
 * is there several times, and only the last looks at attention and the clock.  Accesses that go through
 * memory in small steps have slots of their own (jit_page.c).
 * Called: jit_flow.c, jit_emit.c. */
#include <stdlib.h>

#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define LOOP_INSNS_MAX 32
#define COPIES_MAX     4
#define COPIES_INSNS   64 /* all of them, about */

/* Straight but for its end and ways out, and all of it translated? */
static bool is_simple(struct xlate *t, unsigned first, unsigned last)
{
    if (t->copy || t->once || last - first >= LOOP_INSNS_MAX)
        return false;
    for (unsigned i = first; i <= last; i++) {
        const struct jit_insn *u = &t->insn[i];

        if (!u->emit || (u->label && i > first) || u->resume)
            return false;
        if (i == last || !u->leaves)
            continue;
        if (u->emit != emit_jcc)
            return false;
        if (u->to && u->to >= &t->insn[first] && u->to <= u)
            return false;
    }
    return true;
}

/* By how much does the instruction move the register?  false: who knows. */
static bool step_of(const struct jit_insn *u, unsigned g, int64_t *sum)
{
    const struct insn *in = &u->in;

    if (!(u->writes >> g & 1))
        return true;
    if (in->map != MAP_1 || u->size < 4)
        return false;
    if ((in->opcode == 0x81 || in->opcode == 0x83) && in->mod == 3 && (u->ext == 0 || u->ext == 5)) {
        *sum += u->ext ? -(int64_t)(int32_t)in->imm : (int32_t)in->imm;
        return true;
    }
    if (in->opcode == 0x05 || in->opcode == 0x2d) { /* of the accumulator */
        *sum += in->opcode == 0x2d ? -(int64_t)(int32_t)in->imm : (int32_t)in->imm;
        return true;
    }
    if (in->opcode == 0xff && in->mod == 3 && u->ext <= 1) {
        *sum += u->ext ? -1 : 1;
        return true;
    }
    if (in->opcode == 0x8d && in->base == g && in->index == INSN_NONE) {
        *sum += in->disp;
        return true;
    }
    return false;
}

/* Does the address move by less than an eighth of a page in each round? */
bool jit_walks_pages(const struct xlate *t, const struct insn *in)
{
    int64_t base = 0, index = 0, step;

    if (in->seg >= SEG_FS)
        return false;
    for (unsigned i = t->loop_first; i <= t->loop_last; i++) {
        const struct jit_insn *u = &t->insn[i];

        if ((in->base < GPRS && !step_of(u, in->base, &base)) ||
            (in->index < GPRS && !step_of(u, in->index, &index)))
            return false;
    }
    step = base + index * (1 << in->scale);
    return llabs(step) < (int)PAGE_SIZE / 8;
}

static bool same_recipe(const struct recipe *a, const struct recipe *b)
{
    return a->kind == b->kind && (a->kind == RECIPE_NONE || (a->size == b->size && a->a == b->a &&
                                                             a->b == b->b && a->imm == b->imm));
}

/* Does a round make them all before anybody sees them? */
static bool flags_dead(const struct xlate *t, unsigned first, unsigned last)
{
    for (unsigned i = first; i < last; i++) {
        const struct jit_insn *u = &t->insn[i];

        if (u->faults || u->reads || u->partial || u->leaves)
            return false;
        if (u->makes)
            return true;
    }
    return false;
}

/* Where the flags are at the loop's end, or at the beginning of a copy. */
struct flags_place {
    bool kept;
    bool dead; /* nobody asks, but the run loop does */
    struct recipe recipe;
};

static void begin_copy(struct xlate *t, const struct flags_place *f, bool in_host)
{
    t->kept = f->kept;
    t->recipe = f->recipe;
    t->in_host = in_host;
    t->x87.live = false;
    t->near.valid = false;
    t->n_slots = (unsigned)(t->block->key >> 12) / 16;
}

static void go_back(struct xlate *t, const struct flags_place *f, const uint8_t *start, int off,
                    unsigned n, unsigned copies)
{
    uint8_t *out[2];

    asm_imm(A, G_SUB, OPC_W, IN_VP(lazy[LAZY_LEFT]), (int32_t)(n * copies));
    out[0] = asm_jcc_later(A, CC_S);
    asm_imm(A, G_CMP, 0, IN_VP(attention), 0);
    out[1] = asm_jcc_later(A, CC_NE);
    asm_jmp(A, (const void *)((intptr_t)start + A->run));
    asm_land(A, out[0]);
    asm_land(A, out[1]);
    if (!f->kept && !f->dead) {
        flags_replay(A, &f->recipe);
        flags_store(A);
    }
    asm_imm(A, G_SUB, OPC_W, IN_VP(lazy[LAZY_LEFT]), (int32_t)n); /* the round before the copies */
    asm_imm(A, G_ADD, OPC_W, IN_VP(block_rip), off);
    asm_jmp(A, t->jit->common.leave);
}

/* The loop's end: over[i] comes from behind copy i, with i rounds that have not been counted.  Flags stay. */
static void land_behind(struct xlate *t, uint8_t *const *over, unsigned n_over, unsigned n)
{
    uint8_t *join[COPIES_MAX + 1];

    for (unsigned i = 1; i < n_over; i++) {
        asm_land(A, over[i]);
        asm_op(A, 0xc7 | OPC_W, 0, rm_reg(H_R11), 4); /* mov $, %r11 */
        asm_32(A, (uint32_t)-(int32_t)(i * n));
        join[i] = asm_jmp_later(A);
    }
    for (unsigned i = 1; i < n_over; i++)
        asm_land(A, join[i]);
    if (n_over > 1) {
        asm_op(A, X_MOV_RM | OPC_W, H_RAX, IN_VP(lazy[LAZY_LEFT]), 0);
        asm_op(A, X_LEA | OPC_W, H_RAX, rm_sib(H_RAX, H_R11, 0, 0), 0);
        asm_op(A, X_MOV_MR | OPC_W, H_RAX, IN_VP(lazy[LAZY_LEFT]), 0);
    }
    if (n_over)
        asm_land(A, over[0]);
}

bool jit_loop(struct xlate *t, struct jit_insn *to, int cc)
{
    unsigned first = (unsigned)(to - t->insn), last = t->i, n = last - first + 1;
    unsigned copies = MAX(1, MIN(COPIES_MAX, COPIES_INSNS / n)), n_over = 0;
    struct flags_place end, begin;
    uint8_t *over[COPIES_MAX + 1], *start;

    if (!is_simple(t, first, last))
        return false;
    if (cc < 0 && !t->kept && !flags_survive_loop(t, first))
        flags_keep(t);
    end = begin = (struct flags_place){ .kept = t->kept, .recipe = t->recipe };
    if (!flags_survive_loop(t, first))
        begin.recipe.kind = RECIPE_NONE;
    begin.dead = begin.recipe.kind == RECIPE_NONE && cc >= 0 && flags_dead(t, first, last);
    begin.kept |= begin.recipe.kind == RECIPE_NONE && !begin.dead;
    t->loop_first = first;
    t->loop_last = last;
    if (cc >= 0)
        over[n_over++] = asm_jcc_later(A, (unsigned)cc ^ 1);
    if (begin.kept && !end.kept)
        flags_store(A);
    start = A->p;
    for (t->copy = 1; t->copy <= copies && !t->bad; t->copy++) {
        t->uncounted = t->copy * n;
        begin_copy(t, &begin, false);
        for (t->i = first; t->i < last; t->i++)
            jit_put_insn(t);
        x87_flush(t);
        if (cc >= 0) {
            flags_to_host(t);
            over[n_over++] = asm_jcc_later(A, (unsigned)cc ^ 1);
        } else if (end.kept) {
            flags_keep(t);
        }
        if (t->kept != end.kept || !same_recipe(&t->recipe, &end.recipe))
            t->bad = true;
        if (begin.kept && !end.kept)
            flags_store(A);
    }
    if (begin.dead && !end.kept)
        flags_store(A);
    t->copy = t->uncounted = 0;
    t->i = last;
    go_back(t, &begin, start, to->off, n, copies);
    land_behind(t, over, n_over, n);
    t->kept = end.kept;
    t->recipe = end.recipe;
    t->in_host = true;
    t->x87.live = t->near.valid = false;
    return true;
}
