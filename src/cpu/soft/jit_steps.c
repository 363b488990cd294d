/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_steps.c - by how much do a loop's registers differ from round to round?
 *
 * Some move by constants.  Others are made of these in each round: by moves, sums, differences.  What
 * counts in 32 bits is known as long as it does not wrap, which the loop has to look at (jit_range.c).
 * Called: jit_range.c. */
#include "cpu/soft/jit_private.h"

#define MOVE_MAX (1 << 16) /* bytes a round: larger ones interest nobody */

/* By how much does the instruction move the register?  false: who knows. */
static bool move_of(const struct jit_insn *u, unsigned g, int64_t *ret, unsigned *ret_size)
{
    const struct insn *in = &u->in;
    int64_t imm = (int32_t)in->imm;

    *ret_size = u->size;
    if (in->map != MAP_1 || u->size < 4)
        return false;
    switch (in->opcode) {
    case 0x81: case 0x83:
        *ret = u->ext ? -imm : imm;
        return in->mod == 3 && (u->ext == 0 || u->ext == 5);
    case 0x05: *ret = imm; return true; /* of the accumulator */
    case 0x2d: *ret = -imm; return true;
    case 0x40 ... 0x4f: case 0xff:
        *ret = u->ext ? -1 : 1;
        return u->emit == emit_rm && in->mod == 3 && u->ext <= 1;
    case 0x8d:
        *ret = in->disp;
        *ret_size = MIN(u->size, in->addr_size);
        return in->base == g && in->index == INSN_NONE;
    default: return false;
    }
}

static void add_moves(struct moves *all, const struct jit_insn *u)
{
    for (unsigned left = u->writes; left; left &= left - 1) {
        unsigned g = (unsigned)__builtin_ctz(left), size;
        struct moves *m = &all[g];
        int64_t by;

        if (u->maybe || !move_of(u, g, &by, &size) || (m->size && m->size != size)) {
            m->unknown = true;
            continue;
        }
        m->size = (uint8_t)size;
        *(by < 0 ? &m->down : &m->up) += by;
    }
}

/* What wraps at 32 bits may do so in one way only: no more is looked for. */
static struct change change_of(const struct moves *m)
{
    if (m->unknown || m->up > MOVE_MAX || m->down < -MOVE_MAX || (m->size == 4 && m->up && m->down))
        return (struct change){ 0 };
    return (struct change){ .known = true, .by = m->up + m->down, .size = m->size ? m->size : 8 };
}

/* a + b * factor, counted in 'size' bytes */
static struct change sum(struct change a, struct change b, int factor, unsigned size)
{
    struct change c = { .known = a.known && b.known, .by = a.by + b.by * factor, .size = (uint8_t)size,
                        .sign = a.sign | b.sign };

    if (size == 8 ? (a.size == 4 && a.by) || (b.size == 4 && b.by) : size != 4 || c.sign)
        c.known = false;
    if (c.by > MOVE_MAX || c.by < -MOVE_MAX)
        c.known = false;
    return c;
}

static struct change made(const struct steps *s, const struct jit_insn *u)
{
    const struct insn *in = &u->in;
    const struct change none = { .known = true, .size = 8 }, unknown = { 0 }, *now = s->now;
    struct change c = none;

    if (u->emit == emit_mov_imm && u->size >= 4)
        return none;
    if (u->emit == emit_lea) {
        if (in->base < GPRS)
            c = now[in->base];
        return sum(c, in->index < GPRS ? now[in->index] : none, 1 << in->scale, MIN(u->size, in->addr_size));
    }
    if (u->emit != emit_rm || in->map != MAP_1 || in->mod != 3)
        return unknown;
    switch (in->opcode) {
    case 0x89: return sum(now[in->reg], none, 0, u->size);
    case 0x8b: return sum(now[in->rm], none, 0, u->size);
    case 0x01: case 0x03: return sum(now[in->reg], now[in->rm], 1, u->size);
    case 0x29: return sum(now[in->rm], now[in->reg], -1, u->size);
    case 0x2b: return sum(now[in->reg], now[in->rm], -1, u->size);
    case 0x31: case 0x33: return in->reg == in->rm && u->size >= 4 ? none : unknown;
    case 0x63: /* MOVSXD */
        if (now[in->rm].known && now[in->rm].by) {
            const struct moves *m = &s->all[in->rm];

            if (m->unknown || (m->up && m->down))
                return unknown;
            c.by = m->up + m->down;
            c.sign = (uint16_t)(1u << in->rm);
        }
        c.known = now[in->rm].known;
        return c;
    default: return unknown;
    }
}

void jit_steps_begin(struct steps *s, const struct xlate *t, unsigned first, unsigned last)
{
    memset(s->all, 0, sizeof s->all);
    s->i = first;
    s->last = last;
    for (unsigned i = first; i <= last; i++)
        add_moves(s->all, &t->insn[i]);
    for (unsigned g = 0; g < GPRS; g++)
        s->now[g] = change_of(&s->all[g]);
}

void jit_steps_next(struct steps *s, const struct xlate *t)
{
    const struct jit_insn *u = &t->insn[s->i++];
    const struct change none = { .known = true, .size = 8 };
    struct change c;
    unsigned size;
    int64_t by;

    if (!u->writes)
        return;
    c = t->loop_branches ? (struct change){ 0 } : made(s, u); /* or it may not have been in the last round */
    for (unsigned g = 0; g < GPRS; g++)
        if (u->writes >> g & 1)
            s->now[g] = !u->maybe && move_of(u, g, &by, &size) ? sum(s->now[g], none, 0, size) : c;
}

bool jit_steps_at(const struct steps *s, const struct xlate *t, unsigned g, int64_t *ret_ahead,
                  struct change *ret)
{
    const struct change *c = &s->now[g];
    int64_t behind = 0, by;
    unsigned size;

    if (!c->known)
        return false;
    for (unsigned i = s->i; i <= s->last; i++) {
        const struct jit_insn *u = &t->insn[i];

        if (!(u->writes >> g & 1))
            continue;
        if (!move_of(u, g, &by, &size) || size != c->size)
            return false;
        behind += by;
    }
    if (c->size == 4 && (c->by < 0 ? behind > 0 || behind < c->by : behind < 0 || behind > c->by))
        return false;
    *ret_ahead = c->by - behind;
    *ret = *c;
    return true;
}
