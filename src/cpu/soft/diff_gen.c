/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diff_gen.c - random cases: instructions that user code may execute, and states that make them do
 * something: pointers near page borders, boundary values, special floating-point numbers.
 *
 * Left out: what reaches the host's kernel or shows the host itself (SYSCALL, INT n, segment loads,
 * CPUID, RDTSC ...), POPF (TF, AC), and encodings of features that the engines do not offer. */
#include <string.h>

#include "cpu/soft/cpu.h"
#include "cpu/soft/diff.h"
#include "cpu/soft/sse_table.h"

enum gen_flag {
    G_M = 1 << 0,     /* ModRM */
    G_I8 = 1 << 1,
    G_IZ = 1 << 2,
    G_IV = 1 << 3,
    G_LOCK = 1 << 4,
    G_REP = 1 << 5,
    G_REL8 = 1 << 6,  /* a branch: over some instructions */
    G_REL32 = 1 << 7,
    G_I16 = 1 << 8,
    G_MOFFS = 1 << 9,
    G_ENTER = 1 << 10,
    G_TEST3 = 1 << 11, /* F6, F7: /0 and /1 have an immediate */
    G_NO66 = 1 << 12,
    G_NOF3 = 1 << 13,  /* F3 would be another instruction */
    G_F3 = 1 << 14,
    G_MEM = 1 << 15,
};

struct gen {
    uint8_t map, first, last, ext; /* ext: mask of ModRM.reg values, 0: any */
    uint16_t flags;
    uint16_t undefined;
};

#define ARITH_U (F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF)

static const struct gen integer[] = {
#define ALU(b, u)                                                                 \
    { MAP_1, b, b + 3, 0, G_M | G_LOCK, u }, { MAP_1, b + 4, b + 4, 0, G_I8, u }, \
    { MAP_1, b + 5, b + 5, 0, G_IZ, u }
    ALU(0x00, 0), ALU(0x08, F_AF), ALU(0x10, 0), ALU(0x18, 0), ALU(0x20, F_AF), ALU(0x28, 0),
    ALU(0x30, F_AF), ALU(0x38, 0),
    { MAP_1, 0x50, 0x5f, 0, 0, 0 },
    { MAP_1, 0x63, 0x63, 0, G_M | G_NO66, 0 }, /* 66: Intel and AMD differ in what it reads */
    { MAP_1, 0x68, 0x68, 0, G_IZ, 0 },
    { MAP_1, 0x69, 0x69, 0, G_M | G_IZ, F_SF | F_ZF | F_AF | F_PF },
    { MAP_1, 0x6a, 0x6a, 0, G_I8, 0 },
    { MAP_1, 0x6b, 0x6b, 0, G_M | G_I8, F_SF | F_ZF | F_AF | F_PF },
    { MAP_1, 0x70, 0x7f, 0, G_REL8 | G_NO66, 0 },
    { MAP_1, 0x80, 0x80, 0, G_M | G_I8 | G_LOCK, F_AF },
    { MAP_1, 0x81, 0x81, 0, G_M | G_IZ | G_LOCK, F_AF },
    { MAP_1, 0x83, 0x83, 0, G_M | G_I8 | G_LOCK, F_AF },
    { MAP_1, 0x83, 0x83, 0, G_M | G_I8, F_AF },
    { MAP_1, 0x84, 0x85, 0, G_M, F_AF },
    { MAP_1, 0x86, 0x87, 0, G_M | G_LOCK, 0 },
    { MAP_1, 0x88, 0x8b, 0, G_M, 0 },
    { MAP_1, 0x8c, 0x8d, 0, G_M, 0 },
    { MAP_1, 0x8f, 0x8f, 1, G_M, 0 },
    { MAP_1, 0x90, 0x97, 0, G_NOF3, 0 },
    { MAP_1, 0x98, 0x99, 0, 0, 0 },
    { MAP_1, 0x9c, 0x9c, 0, 0, 0 },
    { MAP_1, 0x9e, 0x9f, 0, 0, 0 },
    { MAP_1, 0xa0, 0xa3, 0, G_MOFFS, 0 },
    { MAP_1, 0xa8, 0xa8, 0, G_I8, F_AF },
    { MAP_1, 0xa9, 0xa9, 0, G_IZ, F_AF },
    { MAP_1, 0xb0, 0xb7, 0, G_I8, 0 },
    { MAP_1, 0xb8, 0xbf, 0, G_IV, 0 },
    { MAP_1, 0xc0, 0xc1, 0, G_M | G_I8, F_AF | F_OF | F_CF },
    { MAP_1, 0xc2, 0xc2, 0, G_I16 | G_NO66, 0 },
    { MAP_1, 0xc3, 0xc3, 0, G_NO66, 0 },
    { MAP_1, 0xc6, 0xc6, 1, G_M | G_I8, 0 },
    { MAP_1, 0xc7, 0xc7, 1, G_M | G_IZ, 0 },
    { MAP_1, 0xc8, 0xc8, 0, G_ENTER, 0 },
    { MAP_1, 0xc9, 0xc9, 0, 0, 0 },
    { MAP_1, 0xd0, 0xd1, 0, G_M, F_AF },
    { MAP_1, 0xd2, 0xd3, 0, G_M, F_AF | F_OF | F_CF },
    { MAP_1, 0xd2, 0xd3, 0, G_M, F_AF | F_OF | F_CF },
    { MAP_1, 0xd7, 0xd7, 0, 0, 0 },
    { MAP_1, 0xe0, 0xe3, 0, G_REL8 | G_NO66, 0 },
    { MAP_1, 0xe8, 0xe9, 0, G_REL32 | G_NO66, 0 },
    { MAP_1, 0xeb, 0xeb, 0, G_REL8 | G_NO66, 0 },
    { MAP_1, 0xf5, 0xf5, 0, 0, 0 },
    { MAP_1, 0xf6, 0xf7, 0, G_M | G_TEST3 | G_LOCK, ARITH_U },
    { MAP_1, 0xf6, 0xf7, 0xf0, G_M, ARITH_U },
    { MAP_1, 0xf8, 0xf9, 0, 0, 0 },
    { MAP_1, 0xfc, 0xfd, 0, 0, 0 },
    { MAP_1, 0xfe, 0xfe, 3, G_M | G_LOCK, 0 },
    { MAP_1, 0xff, 0xff, 0x57, G_M | G_LOCK | G_NO66, 0 },
    { MAP_1, 0xff, 0xff, 0x43, G_M, 0 },
    { MAP_0F, 0x0b, 0x0b, 0, 0, 0 },
    { MAP_0F, 0x0d, 0x0d, 0, G_M, 0 },
    { MAP_0F, 0x18, 0x18, 0, G_M, 0 },
    { MAP_0F, 0x1f, 0x1f, 0, G_M, 0 },
    { MAP_0F, 0x40, 0x4f, 0, G_M, 0 },
    { MAP_0F, 0x40, 0x4f, 0, G_M, 0 },
    { MAP_0F, 0x80, 0x8f, 0, G_REL32 | G_NO66, 0 },
    { MAP_0F, 0x90, 0x9f, 0, G_M, 0 },
    { MAP_0F, 0x90, 0x9f, 0, G_M, 0 },
    { MAP_0F, 0xa0, 0xa0, 0, 0, 0 },
    { MAP_0F, 0xa8, 0xa8, 0, 0, 0 },
    { MAP_0F, 0xa3, 0xa3, 0, G_M, F_OF | F_SF | F_AF | F_PF },
    { MAP_0F, 0xab, 0xab, 0, G_M | G_LOCK, F_OF | F_SF | F_AF | F_PF },
    { MAP_0F, 0xb3, 0xb3, 0, G_M | G_LOCK, F_OF | F_SF | F_AF | F_PF },
    { MAP_0F, 0xbb, 0xbb, 0, G_M | G_LOCK, F_OF | F_SF | F_AF | F_PF },
    { MAP_0F, 0xba, 0xba, 0xf0, G_M | G_I8 | G_LOCK, F_OF | F_SF | F_AF | F_PF },
    { MAP_0F, 0xa4, 0xa4, 0, G_M | G_I8, F_AF | F_OF },
    { MAP_0F, 0xac, 0xac, 0, G_M | G_I8, F_AF | F_OF },
    { MAP_0F, 0xa5, 0xa5, 0, G_M, F_AF | F_OF },
    { MAP_0F, 0xad, 0xad, 0, G_M, F_AF | F_OF },
    { MAP_0F, 0xaf, 0xaf, 0, G_M, F_SF | F_ZF | F_AF | F_PF },
    { MAP_0F, 0xb0, 0xb1, 0, G_M | G_LOCK, 0 },
    { MAP_0F, 0xb6, 0xb7, 0, G_M, 0 },
    { MAP_0F, 0xb8, 0xb8, 0, G_M | G_F3, 0 },
    { MAP_0F, 0xbc, 0xbd, 0, G_M | G_NOF3, F_CF | F_OF | F_SF | F_AF | F_PF },
    { MAP_0F, 0xbe, 0xbf, 0, G_M, 0 },
    { MAP_0F, 0xc0, 0xc1, 0, G_M | G_LOCK, 0 },
    { MAP_0F, 0xc7, 0xc7, 2, G_M | G_LOCK | G_MEM | G_NOF3 | G_NO66, 0 },
    { MAP_0F, 0xc8, 0xcf, 0, 0, 0 },
};

static const struct gen strings[] = {
    { MAP_1, 0xa4, 0xa7, 0, G_REP, 0 },
    { MAP_1, 0xaa, 0xaf, 0, G_REP, 0 },
};

struct out { /* an instruction being written */
    struct rng *r;
    uint8_t *p;
    unsigned n, rel_size;
};

static bool chance(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

static void put(struct out *o, uint64_t v, unsigned size)
{
    for (unsigned i = 0; i < size && o->n < 15; i++)
        o->p[o->n++] = (uint8_t)(v >> i * 8);
}

/* An address near a border: mostly of two writable pages. */
static uint64_t window(struct rng *r)
{
    static const uint8_t border[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 1 };
    uint64_t at = DIFF_DATA + border[rng_below(r, 16)] * UINT64_C(0x1000) + rng_below(r, 128) - 64;

    if (chance(r, 45))
        at &= ~UINT64_C(15);
    return at;
}

static uint64_t interesting(struct rng *r)
{
    static const uint64_t v[] = {
        0,          1,
        2,          3,
        0x7f,       0x80,
        0xff,       0x7fff,
        0x8000,     0xffff,
        0x7fffffff, 0x80000000,
        0xffffffff, 0x100000000,
        UINT64_MAX, UINT64_MAX - 1,
        INT64_MAX,  UINT64_C(1) << 63,
        7,          8,
        15,         16,
        31,         32,
        63,         64,
    };

    switch (rng_below(r, 4)) {
    case 0: return rng_u64(r);
    case 1: return rng_u64(r) >> rng_below(r, 64);
    default: return v[rng_below(r, ARRAY_LEN(v))];
    }
}

static uint64_t float64(struct rng *r)
{
    static const uint64_t v[] = {
        0, UINT64_C(0x8000000000000000), UINT64_C(0x3ff0000000000000), UINT64_C(0xbff0000000000000),
        UINT64_C(0x7ff0000000000000), UINT64_C(0xfff0000000000000), UINT64_C(0x7ff8000000000001),
        UINT64_C(0x7ff0000000000123), 1, UINT64_C(0x000fffffffffffff), UINT64_C(0x0010000000000000),
        UINT64_C(0x7fefffffffffffff), UINT64_C(0x41dfffffffc00000), UINT64_C(0x43e0000000000000),
        UINT64_C(0x3fe0000000000000), UINT64_C(0x4000000000000000),
    };

    if (chance(r, 40))
        return v[rng_below(r, ARRAY_LEN(v))];
    return (rng_u64(r) & UINT64_C(0x800fffffffffffff)) | (1023 - 40 + rng_below(r, 80)) << 52;
}

static uint32_t float32(struct rng *r)
{
    static const uint32_t v[] = {
        0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00001, 0x7f800123, 1,
        0x007fffff, 0x00800000, 0x7f7fffff, 0x4f000000, 0x3f000000, 0x40000000, 0xcf000000,
    };

    if (chance(r, 40))
        return v[rng_below(r, ARRAY_LEN(v))];
    return (uint32_t)((rng_u64(r) & 0x807fffff) | (127 - 30 + rng_below(r, 60)) << 23);
}

static void float80(struct rng *r, uint8_t *to)
{
    static const struct {
        uint16_t exp;
        uint64_t m;
    } v[] = {
        { 0, 0 }, { 0x8000, 0 }, { 0x3fff, UINT64_C(1) << 63 }, { 0xbfff, UINT64_C(1) << 63 },
        { 0x7fff, UINT64_C(1) << 63 }, { 0xffff, UINT64_C(1) << 63 }, { 0x7fff, UINT64_C(3) << 62 },
        { 0x7fff, UINT64_C(0x8000000000000123) }, { 0, 1 }, { 0, UINT64_C(1) << 63 },
        { 0x1234, 5 }, { 0x7fff, 0 }, { 0x7ffe, UINT64_MAX }, { 1, UINT64_C(1) << 63 },
        { 0x4000, UINT64_C(0xc90fdaa22168c235) }, { 0x403e, UINT64_C(1) << 63 },
    };
    uint16_t exp;
    uint64_t m;

    if (chance(r, 40)) {
        unsigned i = (unsigned)rng_below(r, ARRAY_LEN(v));

        exp = v[i].exp;
        m = v[i].m;
    } else {
        exp = (uint16_t)(0x3fff - 40 + rng_below(r, 80)) | (uint16_t)(rng_below(r, 2) << 15);
        m = rng_u64(r) | UINT64_C(1) << 63;
        if (chance(r, 30))
            m &= UINT64_MAX << rng_below(r, 63);
    }
    memcpy(to, &m, 8);
    memcpy(to + 8, &exp, 2);
}

static void lane16(struct rng *r, uint8_t *to)
{
    unsigned kind = (unsigned)rng_below(r, 4);

    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t v;

        if (kind == 0)
            v = float64(r);
        else if (kind == 1)
            v = float32(r) | (uint64_t)float32(r) << 32;
        else if (kind == 2)
            v = rng_u64(r);
        else
            v = interesting(r);
        memcpy(to + i, &v, 8);
    }
}

void diff_fill(struct rng *r, uint8_t *data, size_t n)
{
    for (size_t i = 0; i + 16 <= n; i += 16) {
        lane16(r, data + i);
        if (chance(r, 15))
            float80(r, data + i);
        if (chance(r, 15)) {
            uint64_t v = window(r);

            memcpy(data + i + 8 * rng_below(r, 2), &v, 8);
        }
    }
}

/* ---- instructions ---------------------------------------------------------------------------- */

struct form { /* what stands before and behind the opcode */
    bool p66, p67, rexed;
    unsigned rex;
    int pp; /* mandatory prefix, -1: none */
    bool lock, rep, repne, seg;
};

static void put_prefixes(struct out *o, const struct form *f)
{
    static const uint8_t pp[4] = { 0, 0x66, 0xf3, 0xf2 };

    if (f->seg)
        put(o, chance(o->r, 50) ? 0x64 : 0x65, 1);
    if (f->lock)
        put(o, 0xf0, 1);
    if (f->p67)
        put(o, 0x67, 1);
    if (f->p66)
        put(o, 0x66, 1);
    if (f->rep)
        put(o, 0xf3, 1);
    if (f->repne)
        put(o, 0xf2, 1);
    if (f->pp > 0)
        put(o, pp[f->pp], 1);
    if (f->rexed)
        put(o, 0x40 | f->rex, 1);
}

static void put_opcode(struct out *o, unsigned map, unsigned op)
{
    if (map != MAP_1)
        put(o, 0x0f, 1);
    if (map == MAP_0F38)
        put(o, 0x38, 1);
    if (map == MAP_0F3A)
        put(o, 0x3a, 1);
    put(o, op, 1);
}

/* rip: of the instruction's first byte; behind: bytes that follow ModRM and its displacement. */
static void put_modrm(struct out *o, unsigned reg, bool mem, const struct form *f, uint64_t rip,
                      unsigned behind)
{
    struct rng *r = o->r;
    unsigned mod = (unsigned)rng_below(r, 3), rm = (unsigned)rng_below(r, 8), base = rm;

    reg = (reg & 7) << 3;
    if (!mem) {
        put(o, 0xc0 | reg | rm, 1);
        return;
    }
    if (chance(r, 6)) { /* RIP-relative, or absolute by SIB */
        bool sib = chance(r, 30);
        uint64_t at = window(r);

        if (sib) {
            put(o, reg | 4, 1);
            put(o, 0x25, 1);
            put(o, at, 4);
        } else {
            put(o, reg | 5, 1);
            put(o, at - (rip + o->n + 4 + behind), 4);
        }
        return;
    }
    if (rm == 4) {
        unsigned sib = (unsigned)rng_below(r, 256);

        if (chance(r, 60)) /* no index */
            sib = (sib & 0xc7) | 0x20;
        put(o, mod << 6 | reg | 4, 1);
        put(o, sib, 1);
        base = sib & 7;
    } else {
        put(o, mod << 6 | reg | rm, 1);
    }
    if (mod == 1)
        put(o, rng_below(r, 33) - 16, 1);
    else if (mod == 2)
        put(o, chance(r, 95) ? rng_below(r, 65) - 32 : rng_u64(r), 4);
    else if (base == 5)
        put(o, window(r) - (rm == 5 ? rip + o->n + 4 + behind : 0), 4);
    (void)f;
}

static struct form random_form(struct rng *r)
{
    struct form f = { .pp = -1 };

    f.rexed = chance(r, 60);
    f.rex = f.rexed ? (unsigned)rng_below(r, 16) : 0;
    f.p67 = chance(r, 4);
    f.seg = chance(r, 4);
    return f;
}

static unsigned op_size(const struct form *f)
{
    return f->rex & 8 ? 8 : f->p66 ? 2 : 4;
}

static void gen_row(struct out *o, const struct gen *g, uint64_t rip)
{
    struct rng *r = o->r;
    struct form f = random_form(r);
    unsigned op = g->first + (unsigned)rng_below(r, g->last - g->first + 1u);
    unsigned reg = (unsigned)rng_below(r, 8), imm = 0, z;
    bool mem = (g->flags & G_MEM) || chance(r, 45);

    f.p66 = !(g->flags & G_NO66) && chance(r, 20);
    while (g->ext && !(g->ext >> reg & 1))
        reg = (unsigned)rng_below(r, 8);
    if ((g->flags & G_LOCK) ? chance(r, 15) : chance(r, 1))
        f.lock = true;
    if (f.lock && chance(r, 85))
        mem = true;
    if (g->flags & G_REP) {
        f.rep = chance(r, 40);
        f.repne = !f.rep && chance(r, 30);
    } else if (!(g->flags & (G_NOF3 | G_F3 | G_REL8)) && g->map == MAP_1 && chance(r, 2)) {
        f.rep = true;
    }
    if (g->flags & G_F3)
        f.pp = 2;
    z = op_size(&f) == 2 ? 2 : 4;
    if (g->flags & G_I8)
        imm = 1;
    if (g->flags & G_IZ)
        imm = z;
    if ((g->flags & G_TEST3) && reg < 2)
        imm = op & 1 ? z : 1;
    if (g->flags & G_IV)
        imm = op_size(&f);
    put_prefixes(o, &f);
    put_opcode(o, g->map, op);
    if (g->flags & G_M)
        put_modrm(o, reg, mem, &f, rip, imm);
    if (imm)
        put(o, interesting(r), imm);
    if (g->flags & (G_REL8 | G_REL32)) {
        o->rel_size = g->flags & G_REL8 ? 1 : 4;
        put(o, 0, o->rel_size);
    }
    if (g->flags & G_I16)
        put(o, rng_below(r, 64), 2);
    if (g->flags & G_ENTER) {
        put(o, rng_below(r, 64), 2);
        put(o, chance(r, 70) ? 0 : rng_below(r, 34), 1);
    }
    if (g->flags & G_MOFFS)
        put(o, window(r), f.p67 ? 4 : 8);
}

static const struct sse_row *find_row(unsigned map, unsigned op, unsigned pp)
{
    struct insn in = { .map = (uint8_t)map, .opcode = (uint8_t)op };

    in.prefixes = pp == 1 ? PFX_66 : pp == 2 ? PFX_REP : pp == 3 ? PFX_REPNE : 0;
    return sse_row(&in);
}

static void gen_sse(struct out *o, bool mmx, uint64_t rip)
{
    struct rng *r = o->r;
    struct form f = random_form(r);
    const struct sse_row *row;
    unsigned map, op, pp;

    do {
        map = chance(r, 65) ? MAP_0F : chance(r, 60) ? MAP_0F38 : MAP_0F3A;
        op = (unsigned)rng_below(r, 256);
        pp = (unsigned)rng_below(r, 4);
        row = find_row(map, op, pp);
    } while (!row || (row->shape >= MMX_RMW) != mmx || row->shape == MMX_EMMS);
    f.pp = (int)pp;
    f.p66 = pp != 1 && row->shape == SSE_CRC && chance(r, 30);
    f.lock = chance(r, 1);
    put_prefixes(o, &f);
    put_opcode(o, map, op);
    put_modrm(o, (unsigned)rng_below(r, 8),
              row->flags & SSE_MEM      ? chance(r, 98)
              : row->flags & SSE_REG    ? chance(r, 2)
              : row->feature == SSE_SHA ? false /* AMD's processors ask no alignment */
                                        : chance(r, 40),
              &f, rip, row->flags & SSE_IMM ? 1 : 0);
    if (row->flags & SSE_IMM)
        put(o, rng_u64(r), 1);
}

static void gen_x87(struct out *o, uint64_t rip)
{
    struct rng *r = o->r;
    struct form f = random_form(r);
    unsigned op, reg;
    bool mem;

    f.rex &= 7;
    f.p66 = chance(r, 3);
    do {
        op = 0xd8 + (unsigned)rng_below(r, 8);
        reg = (unsigned)rng_below(r, 8);
        mem = chance(r, 40);
    } while (mem &&
             ((op == 0xd9 && (reg == 4 || reg == 6)) || (op == 0xdd && (reg == 4 || reg == 6))));
    put_prefixes(o, &f);
    put(o, op, 1);
    put_modrm(o, reg, mem, &f, rip, 0);
}

/* EMMS, MASKMOV, LDMXCSR, STMXCSR, FXRSTOR, the x87 environment.  (FXSAVE differs in MXCSR_MASK.)
 */
static void gen_state(struct out *o, uint64_t rip)
{
    struct rng *r = o->r;
    struct form f = random_form(r);

    switch (rng_below(r, 6)) {
    case 0:
        f.pp = (int)rng_below(r, 2);
        put_prefixes(o, &f);
        put_opcode(o, MAP_0F, 0xf7);
        put(o, 0xc0 | rng_below(r, 64), 1);
        return;
    case 1:
        put_opcode(o, MAP_0F, 0x77);
        return;
    case 2:
        put_prefixes(o, &f);
        put(o, rng_below(r, 2) ? 0xd9 : 0xdd, 1);
        put_modrm(o, rng_below(r, 2) ? 4 : 6, true, &f, rip, 0);
        return;
    default:
        put_prefixes(o, &f);
        put_opcode(o, MAP_0F, 0xae);
        put_modrm(o, 1 + (unsigned)rng_below(r, 3), true, &f, rip, 0);
        return;
    }
}

/* VEX: random, and what is no instruction is one more case.  The maps' other groups (BMI) are not.
 */
static void gen_avx(struct out *o, uint64_t rip)
{
    struct rng *r = o->r;
    struct form f = random_form(r);
    unsigned map, op, pp, w = chance(r, 30), v = (unsigned)rng_below(r, 16), b1, imm;

    for (;;) {
        map = 1 + (unsigned)rng_below(r, 3);
        op = (unsigned)rng_below(r, 256);
        pp = map == 1 ? (unsigned)rng_below(r, 4) : chance(r, 95) ? 1 : (unsigned)rng_below(r, 4);
        if (map == 2 && op >= 0xf0)
            continue;
        if (map == 3 && (op == 0xf0 || op == 0xcc || op == 0xce || op == 0xcf))
            continue;
        if ((map == 1 && (op == 0xae || (op >= 0x41 && op < 0x50) || (op >= 0x90 && op < 0xa0))) ||
            (map == 2 && (op == 0xcf || (op >= 0xdc && op <= 0xdf) || (op >= 0x50 && op <= 0x53) ||
                          op == 0xb4 || op == 0xb5 || op == 0xb0 || op == 0xb1 || op == 0x72)) ||
            (map == 3 && (op == 0x44 || (op >= 0x30 && op <= 0x33) || (op < 2 && !w))))
            continue; /* AVX-512's masks, AVX-VNNI, VAES and the like, which we do not offer */
        break;
    }
    if (chance(r, 30))
        v = 0;
    f.rexed = false;
    put_prefixes(o, &f);
    put(o, 0xc4, 1);
    b1 = (unsigned)rng_below(r, 8) << 5;
    put(o, b1 | map, 1);
    put(o, w << 7 | (~v & 15) << 3 | (unsigned)rng_below(r, 2) << 2 | pp, 1);
    put(o, op, 1);
    if (map == 1 && op == 0x77)
        return;
    imm = map == 3 ||
          (map == 1 && ((op >= 0x70 && op <= 0x73) || op == 0xc2 || (op >= 0xc4 && op <= 0xc6)));
    put_modrm(o, (unsigned)rng_below(r, 8), chance(r, 45), &f, rip, imm);
    if (imm)
        put(o, rng_u64(r), 1);
}

static void gen_insn(struct out *o, unsigned classes, uint64_t rip)
{
    for (;;) {
        switch (rng_below(o->r, 9)) {
        case 0: case 1: case 2:
            if (!(classes & DIFF_INT))
                continue;
            gen_row(o, &integer[rng_below(o->r, ARRAY_LEN(integer))], rip);
            return;
        case 3: case 4:
            if (!(classes & DIFF_SSE))
                continue;
            gen_sse(o, false, rip);
            return;
        case 5:
            if (!(classes & DIFF_MMX))
                continue;
            gen_sse(o, true, rip);
            return;
        case 6:
            if (!(classes & DIFF_X87))
                continue;
            if (chance(o->r, 12))
                gen_state(o, rip);
            else
                gen_x87(o, rip);
            return;
        case 7:
            if (!(classes & DIFF_AVX))
                continue;
            gen_avx(o, rip);
            return;
        default:
            if (!(classes & DIFF_STR) || chance(o->r, 50))
                continue;
            gen_row(o, &strings[rng_below(o->r, ARRAY_LEN(strings))], rip);
            return;
        }
    }
}

/* ---- states ---------------------------------------------------------------------------------- */

static void gen_fx(struct rng *r, unsigned classes, uint8_t *fx)
{
    bool unmasked = (classes & DIFF_UNMASKED) && chance(r, 15);
    uint16_t fcw, fsw;
    uint32_t mxcsr;

    memset(fx, 0, 512);
    fcw = (uint16_t)(0x37f ^ (chance(r, 50) ? rng_below(r, 16) << 8 : 0));
    if (unmasked)
        fcw &= (uint16_t)(0xffc0 | rng_u64(r));
    fsw = (uint16_t)(rng_u64(r) & 0x7f00);
    if (chance(r, 50))
        fsw &= (uint16_t)~0x3800;
    if (chance(r, 30))
        fsw |= (uint16_t)(rng_u64(r) & 0x7f & (chance(r, 80) ? fcw | 0x40 : 0x7f));
    if (fsw & ~fcw & 0x3f)
        fsw |= 0x8080;
    memcpy(fx, &fcw, 2);
    memcpy(fx + 2, &fsw, 2);
    fx[4] = chance(r, 60) ? 0xff : (uint8_t)rng_u64(r);
    mxcsr = 0x1f80 | (uint32_t)(rng_u64(r) & (chance(r, 30) ? 0x3f : 0));
    if (chance(r, 30))
        mxcsr |= (uint32_t)(rng_u64(r) & 0xe040);
    if (unmasked)
        mxcsr &= (uint32_t)(rng_u64(r) | ~0x1f80u);
    memcpy(fx + 24, &mxcsr, 4);
    for (unsigned i = 0; i < 8; i++)
        float80(r, fx + 32 + i * 16);
    for (unsigned i = 0; i < 16; i++)
        lane16(r, fx + 160 + i * 16);
}

static uint64_t undefined_of(const uint8_t *p, unsigned n)
{
    struct insn in;

    if (decode(p, n, MODE_64, &in) != DECODE_OK)
        return 0;
    for (unsigned i = 0; i < ARRAY_LEN(integer); i++)
        if (integer[i].map == in.map && in.opcode >= integer[i].first &&
            in.opcode <= integer[i].last)
            return integer[i].undefined;
    return 0;
}

void diff_gen(struct rng *r, unsigned classes, unsigned max_insns, struct diff_case *c)
{
    uint64_t rip;

    memset(c, 0, sizeof(*c));
    c->n = classes & DIFF_LOOP ? 0 : (uint8_t)(1 + rng_below(r, max_insns));
    c->at = chance(r, 90) ? DIFF_AT : (uint16_t)(0x1000 - rng_below(r, 16));
    rip = DIFF_CODE + c->at;
    c->in.rip = rip;
    for (unsigned i = 0; i < c->n; i++) {
        struct out o = { .r = r, .p = c->code[i] };

        /* Nothing shall look at flags that the last instruction left undefined. */
        if (i && undefined_of(c->code[i - 1], c->len[i - 1]) & F_SF) {
            put(&o, 0x39, 1);
            put(&o, 0xc0 | rng_below(r, 64), 1);
        } else {
            gen_insn(&o, classes, rip);
        }
        c->len[i] = (uint8_t)o.n;
        c->rel_size[i] = (uint8_t)o.rel_size;
        c->skip[i] = (uint8_t)rng_below(r, 3);
        rip += o.n;
    }
    for (unsigned i = 0; i < 16; i++)
        c->in.gpr[i] = chance(r, 55)   ? window(r)
                       : chance(r, 40) ? rng_below(r, 17) - 8
                                       : interesting(r);
    if (chance(r, 90))
        c->in.gpr[RSP] = (DIFF_DATA + 0x1000 + rng_below(r, 96) - 48) & ~UINT64_C(7);
    if (chance(r, 70) && (classes & DIFF_STR))
        c->in.gpr[RCX] = rng_below(r, 80);
    c->in.rflags = 0x202 | (rng_u64(r) & F_ARITH) | (chance(r, 10) ? F_DF : 0);
    if (classes & DIFF_LOOP)
        diff_gen_loop(r, c);
    gen_fx(r, classes, c->in.fx);
    for (unsigned i = 0; i < 16; i++)
        lane16(r, c->in.ymmh + i * 16);
}

uint64_t diff_undefined(const struct diff_case *c)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < c->n; i++)
        v |= undefined_of(c->code[i], c->len[i]);
    return v;
}
