/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_loop.c - innermost loops of a block, unrolled.
 *
 * A loop is first entered from anywhere: with the flags in the VP.  From its end it goes on in a copy
 * that knows where the flags are, namely as the end left them, so they need not be kept; that copy
 * is there several times, and only the last looks at attention and the clock.  Accesses that go through
 * memory in small steps are checked once for all these copies (jit_range.c); when that fails, one more
 * copy checks each.
 * Called: jit_flow.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define LOOP_INSNS_MAX 48
#define COPIES_MAX     6
#define COPIES_INSNS   96 /* all of them, about */

/* Straight but for its end, ways out and ways forward, and all of it translated? */
static bool is_simple(struct xlate *t, unsigned first, unsigned last)
{
    if (t->copy || t->once || last - first >= LOOP_INSNS_MAX)
        return false;
    for (unsigned i = first; i <= last; i++) {
        const struct jit_insn *u = &t->insn[i];

        if (!u->emit || u->resume || (i == last && u->label && i > first))
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

/* Way out of a copy by the loop's end, and rounds that have not been counted there. */
struct over {
    uint8_t *from;
    unsigned rounds;
};

struct loop {
    unsigned first, last, n; /* instructions */
    int cc;
    struct flags_place end, begin;
    struct over over[COPIES_MAX + 2];
    unsigned n_over;
    uint8_t *out[4]; /* back to the run loop */
    unsigned n_out;
};

static void take_place(struct xlate *t, const struct flags_place *f, bool in_host)
{
    t->kept = f->kept;
    t->recipe = f->recipe;
    t->in_host = in_host;
}

static void go_over(struct xlate *t, struct loop *l, unsigned rounds)
{
    l->over[l->n_over++] = (struct over){ asm_jcc_later(A, (unsigned)l->cc ^ 1), rounds };
}

/* Which instructions may a round leave out? */
static void find_branches(struct xlate *t, unsigned first, unsigned last)
{
    const struct jit_insn *until = &t->insn[first];

    t->loop_last = last;
    t->loop_branches = false;
    for (unsigned i = first; i <= last; i++) {
        struct jit_insn *u = &t->insn[i];

        t->loop_branches |= u->label && i > first;
        u->maybe = u < until;
        if (i < last && u->to && u->to > until && u->to < &t->insn[last])
            until = u->to;
    }
}

bool jit_inner(struct xlate *t, const struct jit_insn *u)
{
    if (!t->copy || !u->to || u->to <= u || u->to > &t->insn[t->loop_last])
        return false;
    if (t->n_inner == ARRAY_LEN(t->inner)) {
        t->bad = true;
        return true;
    }
    t->inner[t->n_inner++] = (struct inner){ asm_jcc_later(A, u->cc), (uint16_t)t->i,
                                             (uint16_t)(u->to - t->insn), t->kept };
    return true;
}

/* Branches of this copy meet here. */
static void join_copy(struct xlate *t)
{
    bool dead = flags_dead(t, t->i, t->loop_last);

    x87_flush(t);
    t->x87.live = t->near.valid = false;
    if (!dead)
        flags_keep(t);
    for (unsigned k = 0; k < t->n_inner; k++) {
        const struct inner *n = &t->inner[k];

        if (n->to != t->i)
            continue;
        if (dead || n->kept)
            asm_land(A, n->from);
        else if (t->n_far < ARRAY_LEN(t->far))
            t->far[t->n_far++] = (struct far_exit){ .from = n->from, .insn = n->insn, .at = A->p };
        else
            t->bad = true;
    }
    flags_at_label(t);
    t->kept = !dead;
}

/* One round, as the 'rounds'th that is not counted. */
static void put_copy(struct xlate *t, struct loop *l, unsigned rounds)
{
    t->copy = rounds;
    t->uncounted = rounds * l->n;
    t->x87.live = false;
    t->n_inner = 0;
    for (t->i = l->first; t->i < l->last; t->i++) {
        if (t->insn[t->i].label && t->i > l->first)
            join_copy(t);
        jit_put_insn(t);
    }
    x87_flush(t);
    if (l->cc >= 0) {
        flags_to_host(t);
        go_over(t, l, rounds);
    } else if (l->end.kept) {
        flags_keep(t);
    }
    if (t->kept != l->end.kept || !same_recipe(&t->recipe, &l->end.recipe))
        t->bad = true;
}

/* Several rounds from 'begin' on. */
static void put_copies(struct xlate *t, struct loop *l, unsigned copies)
{
    const struct flags_place *between = &l->end;
    bool in_host = l->cc >= 0;

    take_place(t, &l->end, in_host);
    if (!flags_survive_loop(t, l->first, in_host))
        between = &l->begin;
    take_place(t, &l->begin, false);
    t->near.valid = false;
    for (unsigned i = 1; i <= copies && !t->bad; i++) {
        if (i > 1) {
            if (between->kept && !l->end.kept)
                flags_keep(t);
            take_place(t, between, in_host);
        }
        put_copy(t, l, i);
    }
}

static void go_back(struct xlate *t, struct loop *l, const uint8_t *start, unsigned rounds)
{
    if ((l->begin.kept || l->begin.dead) && !l->end.kept)
        flags_store(A);
    asm_imm(A, G_SUB, OPC_W, IN_VP(lazy[LAZY_LEFT]), (int32_t)(l->n * rounds));
    l->out[l->n_out++] = asm_jcc_later(A, CC_S);
    asm_imm(A, G_CMP, 0, IN_VP(attention), 0);
    asm_jcc(A, CC_E, (const void *)((intptr_t)start + A->run));
    l->out[l->n_out++] = asm_jmp_later(A);
}

/* To the run loop, at the beginning of a round. */
static void put_leave(struct xlate *t, const struct loop *l)
{
    for (unsigned i = 0; i < l->n_out; i++)
        asm_land(A, l->out[i]);
    if (!l->begin.kept && !l->begin.dead) {
        flags_replay(A, &l->begin.recipe);
        flags_store(A);
    }
    asm_imm(A, G_SUB, OPC_W, IN_VP(lazy[LAZY_LEFT]), (int32_t)l->n); /* the round before the copies */
    asm_imm(A, G_ADD, OPC_W, IN_VP(block_rip), t->insn[l->first].off);
    asm_jmp(A, t->jit->common.leave);
}

/* The loop's end.  Flags stay. */
static void land_behind(struct xlate *t, const struct loop *l)
{
    uint8_t *join[COPIES_MAX + 2];

    for (unsigned i = 1; i < l->n_over; i++) {
        asm_land(A, l->over[i].from);
        asm_op(A, 0xc7 | OPC_W, 0, rm_reg(H_R11), 4); /* mov $, %r11 */
        asm_32(A, (uint32_t)-(int32_t)(l->over[i].rounds * l->n));
        join[i] = asm_jmp_later(A);
    }
    for (unsigned i = 1; i < l->n_over; i++)
        asm_land(A, join[i]);
    if (l->n_over > 1) {
        asm_op(A, X_MOV_RM | OPC_W, H_RAX, IN_VP(lazy[LAZY_LEFT]), 0);
        asm_op(A, X_LEA | OPC_W, H_RAX, rm_sib(H_RAX, H_R11, 0, 0), 0);
        asm_op(A, X_MOV_MR | OPC_W, H_RAX, IN_VP(lazy[LAZY_LEFT]), 0);
    }
    if (l->n_over)
        asm_land(A, l->over[0].from);
}

/* Where are the flags at the end of a round, and where can they be at its beginning? */
static void place_flags(struct xlate *t, struct loop *l)
{
    struct flags_place *b = &l->begin;

    if (l->cc < 0 && !t->kept && !flags_survive_loop(t, l->first, false))
        flags_keep(t);
    l->end = l->begin = (struct flags_place){ .kept = t->kept, .recipe = t->recipe };
    if (!flags_survive_loop(t, l->first, false))
        b->recipe.kind = RECIPE_NONE;
    b->dead = b->recipe.kind == RECIPE_NONE && l->cc >= 0 && flags_dead(t, l->first, l->last);
    b->kept |= b->recipe.kind == RECIPE_NONE && !b->dead;
}

bool jit_loop(struct xlate *t, struct jit_insn *to, int cc)
{
    struct loop l = { .first = (unsigned)(to - t->insn), .last = t->i, .cc = cc };
    unsigned copies;
    struct range_fails fails;
    const uint8_t *start, *again;

    l.n = l.last - l.first + 1;
    if (!is_simple(t, l.first, l.last))
        return false;
    place_flags(t, &l);
    find_branches(t, l.first, l.last);
    copies = jit_ranges_find(t, l.first, l.last, MAX(1, MIN(COPIES_MAX, COPIES_INSNS / l.n)));
    if (cc >= 0)
        go_over(t, &l, 0);
    if (l.begin.kept && !l.end.kept)
        flags_store(A);
    start = A->p;
    if (t->n_ranges) {
        jit_ranges_begin(t, l.first, l.last);
        again = jit_ranges_check(t, copies, &fails);
        put_copies(t, &l, copies);
        go_back(t, &l, again, copies);
        jit_ranges_end(t, l.first, l.last);
        for (unsigned i = 0; i < fails.n; i++)
            asm_land(A, fails.from[i]);
        copies = 1;
    }
    put_copies(t, &l, copies);
    go_back(t, &l, start, copies);
    put_leave(t, &l);
    t->copy = t->uncounted = 0;
    t->i = l.last;
    land_behind(t, &l);
    take_place(t, &l.end, true);
    t->x87.live = t->near.valid = false;
    return true;
}
