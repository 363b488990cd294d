/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_range.c - memory accesses of loops that are checked once for several rounds.
 *
 * When the registers of an address move by fixed steps only, all places that some rounds will touch are
 * known before.  Accesses by the same registers are a range; if all of it lies in the page of the range's
 * slot (jit_page.c), these rounds need no checks and no ways out: the host's address is the guest's and
 * what the slot says.  Else a round runs with checks, which fill the slot.  Steps keep alignment, which
 * the round before these had looked at.
 * A slot stays good as long as nothing is refilled: other accesses of such rounds look at that behind
 * their refill (jit_miss.c).
 * Called: jit_loop.c, jit_emit.c. */
#include <stdlib.h>

#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define STEP_MAX 256 /* bytes a round */
#define SPAN_MAX 256 /* of all rounds that are checked at once */

/* Can the access be part of it? */
static bool fits(const struct range *r, const struct jit_insn *u, int64_t at)
{
    int64_t low = MIN(r->low, at), high = MAX(r->high, at + u->mem_size);

    return r->base == u->in.base && r->index == u->in.index && r->scale == u->in.scale &&
           r->write == !!(u->rm_acc & ACC_W) && high - low <= SPAN_MAX;
}

static struct range *range_for(struct xlate *t, const struct jit_insn *u, int64_t at)
{
    for (unsigned i = 0; i < t->n_ranges; i++)
        if (fits(&t->range[i], u, at))
            return &t->range[i];
    if (t->n_ranges == RANGES_MAX)
        return NULL;
    t->range[t->n_ranges] = (struct range){ .base = u->in.base, .index = u->in.index,
                                            .scale = u->in.scale, .write = u->rm_acc & ACC_W,
                                            .low = at, .high = at };
    return &t->range[t->n_ranges++];
}

/* From block_rip, or as the instruction says. */
static int64_t disp_of(const struct jit_insn *u)
{
    return u->in.base == INSN_RIP ? (int64_t)u->in.disp + u->off + u->in.len : u->in.disp;
}

/* How its address moves.  false: that is not known. */
static bool address_moves(struct xlate *t, const struct steps *s, const struct jit_insn *u, int64_t *ret_at,
                          struct change ret[2])
{
    const struct insn *in = &u->in;
    int64_t ahead[2] = { 0 };

    memset(ret, 0, 2 * sizeof *ret);
    if ((in->base < GPRS && !jit_steps_at(s, t, in->base, &ahead[0], &ret[0])) ||
        (in->index < GPRS && !jit_steps_at(s, t, in->index, &ahead[1], &ret[1])))
        return false;
    *ret_at = disp_of(u) + ahead[0] + ahead[1] * (1 << in->scale);
    return true;
}

/* What has to be looked at for a register that goes into an address. */
static void add_watch(struct xlate *t, unsigned g, const struct change *c)
{
    if (g < GPRS && c->size == 4)
        t->narrow[g] = c->by;
    t->sign |= c->sign;
}

/* Put an access into its range. */
static void add_access(struct xlate *t, const struct steps *s, struct jit_insn *u)
{
    const struct insn *in = &u->in;
    struct change c[2];
    struct range *r;
    int64_t step, at;

    u->range = 0;
    if (u->maybe || (t->loop_branches && u->align)) /* none that may wait for long; nobody has looked */
        return;
    if (u->emit != emit_rm || !in->has_modrm || in->mod == 3 || in->seg >= SEG_FS ||
        in->addr_size != (t->wide ? 8 : 4) || !address_moves(t, s, u, &at, c))
        return;
    step = c[0].by + c[1].by * (1 << in->scale);
    if (llabs(step) > STEP_MAX || llabs(at) > INT32_MAX / 2 || (step & u->align))
        return;
    r = range_for(t, u, at);
    if (!r)
        return;
    r->step = step;
    r->low = MIN(r->low, at);
    r->high = MAX(r->high, at + u->mem_size);
    u->range = (uint8_t)(r - t->range + 1);
    add_watch(t, in->base, &c[0]);
    add_watch(t, in->index, &c[1]);
}

static int64_t span(const struct range *r, unsigned rounds)
{
    return r->high - r->low + llabs(r->step) * (rounds - 1);
}

/* What is read where the loop also writes has no check of its own: pages to write can be read. */
static void join_ranges(struct xlate *t)
{
    for (unsigned i = 0; i < t->n_ranges; i++) {
        struct range *r = &t->range[i];

        for (unsigned k = 0; k < t->n_ranges && !r->write && !r->checked_as; k++) {
            struct range *w = &t->range[k];
            int64_t low = MIN(r->low, w->low), high = MAX(r->high, w->high);

            if (!w->write || w->base != r->base || w->index != r->index || w->scale != r->scale ||
                high - low > SPAN_MAX)
                continue;
            w->low = low;
            w->high = high;
            r->checked_as = w;
        }
    }
}

unsigned jit_ranges_find(struct xlate *t, unsigned first, unsigned last, unsigned rounds)
{
    unsigned slot = (unsigned)(t->block->key >> 12) / 16;
    struct steps s;

    t->n_ranges = t->sign = 0;
    memset(t->narrow, 0, sizeof t->narrow);
    for (jit_steps_begin(&s, t, first, last); s.i <= last; jit_steps_next(&s, t))
        add_access(t, &s, &t->insn[s.i]);
    for (unsigned g = 0; g < GPRS; g++)
        if (t->sign >> g & 1)
            t->signed_by[g] = s.all[g].up + s.all[g].down;
    join_ranges(t);
    for (unsigned i = 0; i < t->n_ranges; i++) {
        struct range *r = &t->range[i];

        r->slot = (uint8_t)(slot++ % PAGE_SLOTS);
        while (rounds > 1 && span(r, rounds) > SPAN_MAX)
            rounds--;
    }
    return rounds;
}

/* ---- host code ------------------------------------------------------------------------------- */

static unsigned in_host(struct xlate *t, unsigned g, unsigned scratch)
{
    if (g == INSN_NONE)
        return H_NONE;
    if (g == INSN_RIP)
        asm_op(A, X_MOV_RM | OPC_W, scratch, IN_VP(block_rip), 0);
    else if (host_of(g) == H_NONE)
        asm_op(A, X_MOV_RM | OPC_W, scratch, slot_of(g), 0);
    else
        return host_of(g);
    return scratch;
}

static void fail(struct xlate *t, struct range_fails *f, unsigned cc)
{
    f->from[f->n++] = asm_jcc_later(A, cc);
}

/* Does [low, high) of these rounds lie in the page of the slot? */
static void check_range(struct xlate *t, const struct range *r, unsigned rounds, struct range_fails *f)
{
    int64_t all = r->step * (rounds - 1), low = r->low + MIN(all, 0), high = r->high + MAX(all, 0);
    unsigned base = in_host(t, r->base, H_R11), index = H_RSP; /* none */

    if (r->index != INSN_NONE)
        index = in_host(t, r->index, H_RAX);
    asm_op(A, X_LEA | OPC_W, H_R11, rm_sib(base, index, r->scale, (int32_t)low), 0);
    asm_op(A, X_SUB_RM | OPC_W, H_R11, jit_page_tag(r->write, r->slot), 0);
    asm_imm(A, G_CMP, OPC_W, rm_reg(H_R11), (int32_t)(PAGE_SIZE - (high - low)));
    fail(t, f, CC_A);
}

const uint8_t *jit_ranges_check(struct xlate *t, unsigned rounds, struct range_fails *f)
{
    const uint8_t *again;

    f->n = 0;
    for (unsigned write = 0; write < 2; write++) {
        if (!(t->ranged >> write & 1))
            continue;
        asm_imm(A, G_CMP, OPC_W, IN_VP(page_limit[write]), 0);
        fail(t, f, CC_E);
    }
    again = A->p;
    for (unsigned g = 0; g < GPRS; g++) {
        if (!t->narrow[g])
            continue;
        asm_imm(A, G_CMP, 0, place_of(g), (int32_t)-(t->narrow[g] * rounds));
        fail(t, f, t->narrow[g] > 0 ? CC_AE : CC_B);
    }
    for (unsigned g = 0; g < GPRS; g++) {
        if (!(t->sign >> g & 1))
            continue;
        asm_op(A, X_MOV_RM, H_RAX, place_of(g), 0); /* in the round before, and up to the last */
        asm_imm(A, G_SUB, 0, rm_reg(H_RAX), (int32_t)t->signed_by[g]);
        asm_imm(A, G_ADD, 0, rm_reg(H_RAX), (int32_t)(t->signed_by[g] * (rounds + 1)));
        fail(t, f, CC_O);
    }
    for (unsigned i = 0; i < t->n_ranges; i++)
        if (!t->range[i].checked_as)
            check_range(t, &t->range[i], rounds, f);
    return again;
}

void jit_ranges_begin(struct xlate *t, unsigned first, unsigned last)
{
    for (unsigned i = 0; i < t->n_ranges; i++)
        t->ranged |= t->range[i].write ? 2 : t->range[i].checked_as ? 0 : 1;
    for (unsigned i = first; i <= last; i++)
        if (t->insn[i].range)
            t->insn[i].faults = false;
    jit_find_live(t, first, last, t->insn[last].live);
}

void jit_ranges_end(struct xlate *t, unsigned first, unsigned last)
{
    t->ranged = 0;
    for (unsigned i = first; i <= last; i++)
        if (t->insn[i].range)
            t->insn[i].faults = true;
    jit_find_live(t, first, last, t->insn[last].live);
}

struct host_rm jit_range_operand(struct xlate *t, const struct jit_insn *u)
{
    const struct range *own = &t->range[u->range - 1], *r = own->checked_as ? own->checked_as : own;
    const struct near *n = &t->near;
    unsigned base, index;
    int32_t disp = (int32_t)disp_of(u);
    struct near delta = { .valid = true, .delta = true, .write = r->write, .base = r->slot };

    if (!n->valid || !n->delta || n->write != r->write || n->base != r->slot)
        asm_op(A, X_MOV_RM | OPC_W, H_R11, jit_page_delta(r->write, r->slot), 0);
    t->near = delta;
    t->near_set = true;
    if (r->base == INSN_NONE)
        base = H_NONE;
    else
        base = in_host(t, r->base, H_RAX);
    if (r->index == INSN_NONE && base != H_RAX)
        return base == H_NONE ? rm_mem(H_R11, disp) : rm_sib(base, H_R11, 0, disp);
    if (base != H_NONE) {
        asm_op(A, X_LEA | OPC_W, H_R11, rm_sib(base, H_R11, 0, 0), 0);
        t->near.valid = false;
    }
    if (r->index == INSN_NONE)
        return rm_mem(H_R11, disp);
    index = in_host(t, r->index, H_RAX);
    if (index != H_RAX)
        return rm_sib(H_R11, index, r->scale, disp);
    asm_op(A, X_LEA | OPC_W, H_R11, rm_sib(H_R11, H_RAX, r->scale, 0), 0);
    t->near.valid = false;
    return rm_mem(H_R11, disp);
}
