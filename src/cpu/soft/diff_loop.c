/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diff_loop.c - random cases that are a loop: some loads and stores by registers that move in steps, through
 * the borders of pages, and what lies between them.  What translated code checks once for several rounds
 * (jit_range.c) goes wrong there or nowhere.
 * Called: diff_gen.c. */
#include <string.h>

#include "cpu/soft/cpu.h"
#include "cpu/soft/diff.h"

static const uint8_t bases[] = { RSI, RDI, RBX, RBP, 9, 11, 13 };
static const uint8_t indexes[] = { RAX, RDX, 10, 12 };

struct out {
    struct rng *r;
    uint8_t *p;
    unsigned n;
};

static bool chance(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

static void put(struct out *o, uint64_t v, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        o->p[o->n++] = (uint8_t)(v >> i * 8);
}

/* Register operands; opc: one byte. */
static void put_rr(struct out *o, bool wide, unsigned opc, unsigned reg, unsigned rm)
{
    put(o, 0x40u | (unsigned)wide << 3 | (reg >> 3) << 2 | rm >> 3, 1);
    put(o, opc, 1);
    put(o, 0xc0 | (reg & 7) << 3 | (rm & 7), 1);
}

static unsigned pick(struct rng *r, const uint8_t *of, size_t n)
{
    return of[rng_below(r, n)];
}

struct place { /* [base + index * scale + disp]; index RSP: none */
    unsigned base, index, scale;
    int disp;
};

static struct place any_place(struct rng *r)
{
    struct place p = { .base = pick(r, bases, sizeof bases), .index = RSP,
                       .scale = (unsigned)rng_below(r, 4) };

    if (chance(r, 30))
        p.index = pick(r, indexes, sizeof indexes);
    p.disp = chance(r, 40) ? 0 : (int)rng_below(r, 16) * 16 - 128;
    if (chance(r, 15))
        p.disp += (int)rng_below(r, 9) - 4;
    return p;
}

/* A load, a store, both; of 1 to 16 bytes. */
static void put_access(struct out *o, struct place at)
{
    static const struct {
        uint8_t prefix, map, opc;
    } ops[] = {
        { 0, 0, 0x8b }, { 0, 0, 0x8b }, { 0, 0, 0x89 }, { 0, 0, 0x89 }, { 0, 0, 0x03 },
        { 0, 0, 0x01 }, { 0, 0, 0x31 }, { 0, 0, 0x3b }, { 0, 0, 0x13 }, { 0, 0, 0x8a },
        { 0, 0, 0x88 }, { 0, 0x0f, 0xb6 }, { 0x66, 0, 0x89 }, { 0x66, 0x0f, 0x6f }, { 0x66, 0x0f, 0x7f },
        { 0xf3, 0x0f, 0x6f }, { 0xf3, 0x0f, 0x7f }, { 0x66, 0x0f, 0xfe }, { 0xf2, 0x0f, 0x10 },
    };
    unsigned k = (unsigned)rng_below(o->r, sizeof ops / sizeof *ops);
    unsigned base = at.base, index = at.index;
    unsigned reg = chance(o->r, 50) ? 8 : chance(o->r, 90) ? 14 : pick(o->r, bases, sizeof bases);

    if (ops[k].prefix)
        put(o, ops[k].prefix, 1);
    put(o, 0x40u | (chance(o->r, 60) ? 8 : 0) | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3, 1);
    if (ops[k].map)
        put(o, ops[k].map, 1);
    put(o, ops[k].opc, 1);
    put(o, 0x84 | (reg & 7) << 3, 1);
    put(o, at.scale << 6 | (index & 7) << 3 | (base & 7), 1);
    put(o, (uint32_t)at.disp, 4);
}

/* A register of addresses moves. */
static void put_step(struct out *o)
{
    static const int8_t steps[] = { 1, 2, 4, 8, 8, 16, 16, 32, 64, 112, -1, -4, -8, -16, -32, -128 };
    bool index = chance(o->r, 30), wide = chance(o->r, index ? 40 : 95);
    unsigned reg = index ? pick(o->r, indexes, sizeof indexes) : pick(o->r, bases, sizeof bases);
    uint8_t step = (uint8_t)steps[rng_below(o->r, sizeof steps)];

    switch (rng_below(o->r, 4)) {
    case 0: put_rr(o, wide, 0xff, index && chance(o->r, 30), reg); break;
    case 1:
        put(o, 0x40u | (unsigned)wide << 3 | (reg >> 3) << 2 | reg >> 3, 1);
        put(o, 0x8d, 1);
        put(o, 0x40 | (reg & 7) << 3 | (reg & 7), 1);
        if ((reg & 7) == 4)
            put(o, 0x24, 1);
        put(o, step, 1);
        break;
    default:
        put_rr(o, wide, 0x83, chance(o->r, 20) ? 5 : 0, reg);
        put(o, step, 1);
        break;
    }
}

/* A register of addresses is made of others. */
static void put_made(struct out *o)
{
    static const uint8_t ops[] = { 0x89, 0x8b, 0x8b, 0x01, 0x03, 0x29, 0x2b, 0x63 };
    unsigned to = chance(o->r, 70) ? pick(o->r, indexes, sizeof indexes) : pick(o->r, bases, sizeof bases);
    unsigned from = chance(o->r, 80) ? pick(o->r, indexes, sizeof indexes) : pick(o->r, bases, sizeof bases);
    unsigned opc = ops[rng_below(o->r, sizeof ops)];

    if (opc & 2 || opc == 0x63)
        put_rr(o, opc == 0x63 || chance(o->r, 50), opc, to, from);
    else
        put_rr(o, chance(o->r, 50), opc, from, to);
}

/* Something that makes flags, or looks at them. */
static void put_other(struct out *o)
{
    static const uint8_t ops[] = { 0x01, 0x11, 0x19, 0x29, 0x39, 0x31, 0x85, 0x8b };

    switch (rng_below(o->r, 5)) {
    case 0: /* setcc */
        put(o, 0x0f41, 2);
        put(o, 0x90 | rng_below(o->r, 16), 1);
        put(o, 0xc0, 1);
        break;
    case 1: /* inc, dec */
        put_rr(o, true, 0xff, (unsigned)rng_below(o->r, 2), 14);
        break;
    default: put_rr(o, chance(o->r, 50), ops[rng_below(o->r, sizeof ops)], 8, 14); break;
    }
}

static void put_add(struct out *o, bool wide, unsigned reg, int by)
{
    put_rr(o, wide, 0x83, 0, reg);
    put(o, (uint8_t)by, 1);
}

/* RDX moves; RAX is made of it, R10 less RDX or RDX; an access by RAX; RAX may move then.  It begins near
 * the border of a page, and RDX perhaps near a border of numbers.  Returns how many instructions. */
static unsigned gen_made(struct rng *r, struct diff_case *c)
{
    static const uint64_t border[] = { 0, 0, 0xffffffff, 0x7fffffff, 1 << 20 };
    bool wide = chance(r, 40), less = chance(r, 50), sign = chance(r, 30);
    int by = (int)rng_below(r, 65) - 32;
    struct place at = { .base = RSI, .index = RAX, .scale = (unsigned)rng_below(r, 4) };
    struct out o = { .r = r, .p = c->code[0] };
    uint64_t rdx = border[rng_below(r, 5)] + rng_below(r, 512) - 256, rax;
    unsigned n = 0;

    c->in.gpr[10] = chance(r, 50) ? rdx : rng_below(r, 256);
    c->in.gpr[RDX] = wide ? rdx : (uint32_t)rdx;
    put_add(&o, wide, RDX, by);
    c->len[n++] = (uint8_t)o.n;
    rdx = wide ? rdx + (uint64_t)by : (uint32_t)(rdx + (uint64_t)by);

    wide = chance(r, 50);
    o = (struct out){ .r = r, .p = c->code[n] };
    put_rr(&o, sign || wide, sign ? 0x63 : 0x8b, RAX, less ? 10 : RDX);
    c->len[n++] = (uint8_t)o.n;
    rax = less ? c->in.gpr[10] : rdx;
    rax = sign ? (uint64_t)(int32_t)rax : wide ? rax : (uint32_t)rax;
    if (less) {
        wide = chance(r, 50);
        o = (struct out){ .r = r, .p = c->code[n] };
        put_rr(&o, wide, 0x2b, RAX, RDX);
        c->len[n++] = (uint8_t)o.n;
        rax = wide ? rax - rdx : (uint32_t)(rax - rdx);
    }
    o = (struct out){ .r = r, .p = c->code[n] };
    put_access(&o, at);
    c->len[n++] = (uint8_t)o.n;
    c->in.gpr[RSI] = DIFF_DATA + 0x1000 * (1 + rng_below(r, 5)) + rng_below(r, 2048) - 1024 -
                     (rax << at.scale);
    if (chance(r, 40)) {
        o = (struct out){ .r = r, .p = c->code[n] };
        put_add(&o, chance(r, 50), RAX, (int)rng_below(r, 129) - 64);
        c->len[n++] = (uint8_t)o.n;
    }
    return n;
}

void diff_gen_loop(struct rng *r, struct diff_case *c)
{
    unsigned body = 2 + (unsigned)rng_below(r, 12), i = 0;
    bool down = chance(r, 50);

    for (unsigned k = 0; k < sizeof bases; k++) {
        uint64_t at = DIFF_DATA + 0x400 * (1 + rng_below(r, 18)) + rng_below(r, 256);

        c->in.gpr[bases[k]] = chance(r, 70) ? at & ~UINT64_C(15) : at;
    }
    for (unsigned k = 0; k < sizeof indexes; k++)
        c->in.gpr[indexes[k]] = chance(r, 60) ? rng_below(r, 256) & ~UINT64_C(15) : rng_below(r, 9) * 8;
    if (chance(r, 20)) { /* one that will wrap at 32 or 31 bits, and addresses that are good till then */
        c->in.gpr[RDX] = (chance(r, 50) ? 0xffffffff : 0x7fffffff) - rng_below(r, 256);
        c->in.gpr[RSI] -= c->in.gpr[RDX];
        c->in.gpr[13] -= c->in.gpr[RDX] * 4;
    }
    if (chance(r, 30))
        c->in.gpr[bases[rng_below(r, sizeof bases)]] = rng_below(r, 256);
    if (chance(r, 40)) {
        i = gen_made(r, c);
        body = i + (unsigned)rng_below(r, 3);
    }
    for (; i < body + 2; i++) {
        struct out o = { .r = r, .p = c->code[i] };
        unsigned kind = (unsigned)rng_below(r, 10);

        if (i == body) {
            put_rr(&o, false, down ? 0xff : 0x83, down ? 1 : 5, RCX); /* the count */
            if (!down)
                put(&o, 1, 1);
        } else if (i == body + 1) {
            put(&o, down || chance(r, 50) ? 0x850f : 0x870f, 2); /* jne, ja */
            put(&o, 0, 4);
            c->rel_size[i] = 4;
            c->skip[i] = DIFF_BACK;
        } else if (kind < 5) {
            put_access(&o, any_place(r));
        } else if (kind < 8) {
            if (chance(r, 25))
                put_made(&o);
            else
                put_step(&o);
        } else if (kind < 9 || chance(r, 50)) {
            put_other(&o);
        } else {
            put(&o, 0x70 | rng_below(r, 16), 1); /* within the loop, or out of it */
            put(&o, 0, 1);
            c->rel_size[i] = 1;
            c->skip[i] = (uint8_t)(chance(r, 60) ? rng_below(r, MIN(4, body - i)) : body + 1 - i);
        }
        c->len[i] = (uint8_t)o.n;
    }
    c->n = (uint8_t)i;
    c->in.gpr[RCX] = 1 + rng_below(r, chance(r, 50) ? 12 : 200);
}
