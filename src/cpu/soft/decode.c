/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode.c - bytes to struct insn: prefixes, opcode maps, ModRM, SIB, immediates.  Pure.
 *
 * Source: AMD64 APM volume 3 (appendix A), Intel SDM volume 2 (chapter 2, appendix A).
 * Maps 0F38 and 0F3A are uniform (ModRM; 0F3A an immediate byte besides), so what of them exists is
 * left to those who execute.  Near branches of 64-bit code ignore the operand-size prefix, as Intel's
 * processors do.  Not: EVEX, XOP, 3DNow! (all #UD).
 * Called: block.c.  Tests: decode_test.c (against capstone), decode_fuzz.c. */
#include "cpu/soft/insn.h"

#include <string.h>

#include "cpu/soft/cpu.h"

enum op_flag {
    O_MODRM = 1 << 0,
    O_I8 = 1 << 1,
    O_IZ = 1 << 2,     /* 2 or 4 bytes by operand size */
    O_IV = 1 << 3,     /* 2, 4 or 8 bytes by operand size */
    O_I16 = 1 << 4,    /* zero-extended */
    O_ENTER = 1 << 5,  /* imm16, imm8 */
    O_FAR = 1 << 6,    /* offset, selector */
    O_MOFFS = 1 << 7,  /* 2, 4 or 8 bytes by address size */
    O_D64 = 1 << 8,    /* operand size 8 in 64-bit mode unless prefixed 66 */
    O_F64 = 1 << 9,    /* operand size 8 in 64-bit mode */
    O_X64 = 1 << 10,   /* undefined in 64-bit mode */
    O_X = 1 << 11,     /* undefined */
    O_GROUP3 = 1 << 12, /* /0 and /1 have an immediate */
    O_GROUP5 = 1 << 13, /* /2 /4 are near branches, /6 is a push */
    O_REGS = 1 << 14,  /* ModRM names registers whatever its mod says */
};

#define M     O_MODRM
#define ALU(base)                                                              \
    [base] = M, [base + 1] = M, [base + 2] = M, [base + 3] = M, [base + 4] = O_I8, \
    [base + 5] = O_IZ

static const uint16_t map_1[256] = {
    ALU(0x00), [0x06 ... 0x07] = O_X64,
    ALU(0x08), [0x0e] = O_X64, /* 0F: escape */
    ALU(0x10), [0x16 ... 0x17] = O_X64,
    ALU(0x18), [0x1e ... 0x1f] = O_X64,
    ALU(0x20), [0x27] = O_X64,
    ALU(0x28), [0x2f] = O_X64,
    ALU(0x30), [0x37] = O_X64,
    ALU(0x38), [0x3f] = O_X64,
    [0x50 ... 0x5f] = O_D64,
    [0x60 ... 0x61] = O_X64,
    [0x62] = M | O_X64, /* BOUND */
    [0x63] = M,
    [0x68] = O_IZ | O_D64,
    [0x69] = M | O_IZ,
    [0x6a] = O_I8 | O_D64,
    [0x6b] = M | O_I8,
    [0x70 ... 0x7f] = O_I8 | O_F64,
    [0x80] = M | O_I8,
    [0x81] = M | O_IZ,
    [0x82] = M | O_I8 | O_X64,
    [0x83] = M | O_I8,
    [0x84 ... 0x8e] = M,
    [0x8f] = M | O_D64, /* POP; XOP when /1 and up */
    [0x9a] = O_FAR | O_X64,
    [0x9c ... 0x9d] = O_D64,
    [0xa0 ... 0xa3] = O_MOFFS,
    [0xa8] = O_I8,
    [0xa9] = O_IZ,
    [0xb0 ... 0xb7] = O_I8,
    [0xb8 ... 0xbf] = O_IV,
    [0xc0 ... 0xc1] = M | O_I8,
    [0xc2] = O_I16 | O_F64,
    [0xc3] = O_F64,
    [0xc4 ... 0xc5] = M | O_X64, /* LES, LDS; VEX is taken before */
    [0xc6] = M | O_I8,
    [0xc7] = M | O_IZ,
    [0xc8] = O_ENTER | O_D64,
    [0xc9] = O_D64,
    [0xca] = O_I16,
    [0xcd] = O_I8,
    [0xce] = O_X64,
    [0xd0 ... 0xd3] = M,
    [0xd4 ... 0xd5] = O_I8 | O_X64,
    [0xd6] = O_X64,
    [0xd8 ... 0xdf] = M,
    [0xe0 ... 0xe3] = O_I8 | O_F64,
    [0xe4 ... 0xe7] = O_I8,
    [0xe8 ... 0xe9] = O_IZ | O_F64,
    [0xea] = O_FAR | O_X64,
    [0xeb] = O_I8 | O_F64,
    [0xf6 ... 0xf7] = M | O_GROUP3,
    [0xfe] = M,
    [0xff] = M | O_GROUP5,
};

static const uint16_t map_0f[256] = {
    [0x00 ... 0x03] = M,
    [0x04] = O_X,
    [0x0a] = O_X,
    [0x0c] = O_X,
    [0x0d] = M,
    [0x0e ... 0x0f] = O_X,
    [0x10 ... 0x1f] = M,
    [0x20 ... 0x23] = M | O_REGS,
    [0x24 ... 0x27] = O_X,
    [0x28 ... 0x2f] = M,
    [0x36] = O_X,
    [0x39] = O_X,
    [0x3b ... 0x3f] = O_X,
    [0x40 ... 0x6f] = M,
    [0x70 ... 0x73] = M | O_I8,
    [0x74 ... 0x76] = M,
    [0x78 ... 0x79] = M,
    [0x7a ... 0x7b] = O_X,
    [0x7c ... 0x7f] = M,
    [0x80 ... 0x8f] = O_IZ | O_F64,
    [0x90 ... 0x9f] = M,
    [0xa0 ... 0xa1] = O_D64,
    [0xa3] = M,
    [0xa4] = M | O_I8,
    [0xa5] = M,
    [0xa6 ... 0xa7] = O_X,
    [0xa8 ... 0xa9] = O_D64,
    [0xab] = M,
    [0xac] = M | O_I8,
    [0xad ... 0xaf] = M,
    [0xb0 ... 0xb8] = M,
    [0xb9] = O_X, /* UD1 */
    [0xba] = M | O_I8,
    [0xbb ... 0xc1] = M,
    [0xc2] = M | O_I8,
    [0xc3] = M,
    [0xc4 ... 0xc6] = M | O_I8,
    [0xc7] = M,
    [0xd0 ... 0xfe] = M,
    [0xff] = O_X, /* UD0 */
};

struct cursor {
    const uint8_t *p;
    size_t n, at;
    enum decode_result short_of; /* set when bytes were missing */
};

static uint64_t take(struct cursor *c, unsigned n)
{
    uint64_t v = 0;

    if (c->at + n > MIN(c->n, (size_t)INSN_MAX)) {
        if (c->short_of == DECODE_OK)
            c->short_of = c->at + n > INSN_MAX ? DECODE_LONG : DECODE_MORE;
        c->at = MIN(c->n, (size_t)INSN_MAX);
        return 0;
    }
    switch (n) { /* constant copies compile to plain loads */
    case 1: v = c->p[c->at]; break;
    case 2: memcpy(&v, c->p + c->at, 2); break;
    case 4: memcpy(&v, c->p + c->at, 4); break;
    default: memcpy(&v, c->p + c->at, 8); break;
    }
    c->at += n;
    return v;
}

static uint64_t take_signed(struct cursor *c, unsigned n)
{
    uint64_t v = take(c, n);

    switch (n) {
    case 1: return (uint64_t)(int8_t)v;
    case 2: return (uint64_t)(int16_t)v;
    case 4: return (uint64_t)(int32_t)v;
    default: return v;
    }
}

/* Prefixes; returns the first byte behind them. */
static uint8_t take_prefixes(struct cursor *c, unsigned size, struct insn *in)
{
    for (;;) {
        uint8_t b = (uint8_t)take(c, 1), seg = SEGS;

        if (c->short_of != DECODE_OK)
            return 0;
        switch (b) {
        case 0x26: seg = SEG_ES; break;
        case 0x2e: seg = SEG_CS; break;
        case 0x36: seg = SEG_SS; break;
        case 0x3e: seg = SEG_DS; break;
        case 0x64: seg = SEG_FS; break;
        case 0x65: seg = SEG_GS; break;
        case 0x66: in->prefixes |= PFX_66; break;
        case 0x67: in->prefixes |= PFX_67; break;
        case 0xf0: in->prefixes |= PFX_LOCK; break;
        case 0xf2: in->prefixes = (in->prefixes & (uint8_t)~PFX_REP) | PFX_REPNE; break;
        case 0xf3: in->prefixes = (in->prefixes & (uint8_t)~PFX_REPNE) | PFX_REP; break;
        default:
            if (size != MODE_64 || (b & 0xf0) != 0x40)
                return b;
            in->prefixes |= PFX_REX;
            in->rex = b & 15;
            continue;
        }
        /* A REX not right before the opcode counts for nothing. */
        in->prefixes &= (uint8_t)~PFX_REX;
        in->rex = 0;
        if (seg < SEGS && (size != MODE_64 || seg >= SEG_FS)) {
            in->prefixes |= PFX_SEG;
            in->seg = seg;
        }
    }
}

static void modrm_16(struct cursor *c, struct insn *in)
{
    static const uint8_t base[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
    static const uint8_t index[8] = { RSI, RDI, RSI, RDI, INSN_NONE, INSN_NONE, INSN_NONE, INSN_NONE };

    in->base = base[in->rm];
    in->index = index[in->rm];
    if (in->mod == 0 && in->rm == 6) {
        in->base = INSN_NONE;
        in->disp = (int16_t)take(c, 2);
    } else if (in->mod == 1) {
        in->disp = (int8_t)take(c, 1);
    } else if (in->mod == 2) {
        in->disp = (int16_t)take(c, 2);
    }
}

static void modrm_32(struct cursor *c, unsigned size, bool vsib, struct insn *in)
{
    unsigned rm = in->rm & 7, low = rm; /* of the base's number */

    in->base = in->rm;
    if (rm == 4) {
        uint8_t sib = (uint8_t)take(c, 1);
        uint8_t index = ((sib >> 3) & 7) | (uint8_t)((in->rex & 2) << 2);

        in->scale = sib >> 6;
        in->index = index == RSP && !vsib ? INSN_NONE : index;
        low = sib & 7;
        in->base = (uint8_t)(low | ((in->rex & 1) << 3));
    }
    if (in->mod == 0 && low == 5) {
        in->base = rm == 5 && size == MODE_64 ? INSN_RIP : INSN_NONE;
        in->disp = (int32_t)take(c, 4);
    } else if (in->mod == 1) {
        in->disp = (int8_t)take(c, 1);
    } else if (in->mod == 2) {
        in->disp = (int32_t)take(c, 4);
    }
}

static void take_modrm(struct cursor *c, unsigned size, unsigned flags, struct insn *in)
{
    uint8_t b = (uint8_t)take(c, 1);
    bool vsib = in->map == MAP_0F38 && (in->prefixes & PFX_VEX) && (in->opcode & 0xfc) == 0x90;

    in->has_modrm = true;
    in->mod = flags & O_REGS ? 3 : b >> 6;
    in->reg = ((b >> 3) & 7) | (uint8_t)((in->rex & 4) << 1);
    in->rm = (b & 7) | (uint8_t)((in->rex & 1) << 3);
    if (in->mod == 3)
        return;
    if (in->addr_size == 2)
        modrm_16(c, in);
    else
        modrm_32(c, size, vsib, in);
    if (!(in->prefixes & PFX_SEG) && (in->base == RSP || in->base == RBP))
        in->seg = SEG_SS;
}

/* C4 and C5 in 16- and 32-bit code are LES and LDS unless what follows looks like mod 3. */
static bool is_vex(const struct cursor *c, unsigned size, uint8_t b)
{
    if (b != 0xc4 && b != 0xc5)
        return false;
    return size == MODE_64 || (c->at < c->n && c->at < INSN_MAX && c->p[c->at] >= 0xc0);
}

static enum decode_result take_vex(struct cursor *c, unsigned size, uint8_t b, struct insn *in)
{
    uint8_t v1 = (uint8_t)take(c, 1), v2 = v1, map = 1;

    if (in->prefixes & (PFX_66 | PFX_REP | PFX_REPNE | PFX_LOCK | PFX_REX))
        return DECODE_UD;
    in->rex = (~v1 >> 5) & 4;
    if (b == 0xc4) {
        v2 = (uint8_t)take(c, 1);
        in->rex = (uint8_t)(((~v1 >> 5) & 7) | ((v2 & 0x80) >> 4));
        map = v1 & 31;
    }
    if (size != MODE_64)
        in->rex &= 8;
    in->prefixes |= PFX_VEX;
    in->vvvv = (~v2 >> 3) & (size == MODE_64 ? 15 : 7);
    in->vex_l = (v2 >> 2) & 1;
    in->vex_pp = v2 & 3;
    if (c->short_of != DECODE_OK)
        return c->short_of;
    if (map < 1 || map > 3)
        return DECODE_UD;
    in->map = map;
    in->opcode_at = (uint8_t)c->at;
    in->opcode = (uint8_t)take(c, 1);
    return DECODE_OK;
}

static void take_opcode(struct cursor *c, uint8_t b, struct insn *in)
{
    in->opcode_at = (uint8_t)(c->at - 1);
    if (b == 0x0f) {
        in->map = MAP_0F;
        in->opcode_at = (uint8_t)c->at;
        b = (uint8_t)take(c, 1);
        if (b == 0x38 || b == 0x3a) {
            in->map = b == 0x38 ? MAP_0F38 : MAP_0F3A;
            in->opcode_at = (uint8_t)c->at;
            b = (uint8_t)take(c, 1);
        }
    }
    in->opcode = b;
}

static unsigned flags_of(const struct insn *in)
{
    unsigned vex = in->prefixes & PFX_VEX;

    switch (in->map) {
    case MAP_1: return map_1[in->opcode];
    case MAP_0F:
        if (vex) /* all have ModRM but VZEROUPPER; the same immediates */
            return in->opcode == 0x77 ? 0 : O_MODRM | (map_0f[in->opcode] & O_I8);
        return map_0f[in->opcode];
    case MAP_0F38: return O_MODRM;
    default: return O_MODRM | O_I8;
    }
}

static void operand_sizes(struct insn *in, unsigned size, unsigned flags)
{
    bool p66 = in->prefixes & PFX_66;

    if (size == MODE_64) {
        in->op_size = in->rex & 8 ? 8 : p66 ? 2 : 4;
        if (flags & O_D64)
            in->op_size = p66 && !(in->rex & 8) ? 2 : 8;
        if (flags & O_F64)
            in->op_size = 8;
    } else {
        in->op_size = (size == MODE_32) != p66 ? 4 : 2;
    }
}

static void take_immediates(struct cursor *c, unsigned flags, struct insn *in)
{
    unsigned z = MIN(in->op_size, 4u);

    in->imm_at = (uint8_t)c->at;
    if (flags & O_I8) {
        in->imm_size = 1;
        in->imm = take_signed(c, 1);
    } else if (flags & O_IZ) {
        in->imm_size = (uint8_t)z;
        in->imm = take_signed(c, z);
    } else if (flags & O_IV) {
        in->imm_size = in->op_size;
        in->imm = take_signed(c, in->op_size);
    } else if (flags & O_I16) {
        in->imm_size = 2;
        in->imm = take(c, 2);
    } else if (flags & O_ENTER) {
        in->imm_size = 2;
        in->imm = take(c, 2);
        in->imm2 = (uint16_t)take(c, 1);
    } else if (flags & O_FAR) {
        in->imm_size = (uint8_t)z;
        in->imm = take(c, z);
        in->imm2 = (uint16_t)take(c, 2);
    } else if (flags & O_MOFFS) {
        in->imm_size = in->addr_size;
        in->imm = take(c, in->addr_size);
    }
}

static enum decode_result decode_at(struct cursor *c, unsigned size, struct insn *in)
{
    uint8_t b = take_prefixes(c, size, in);
    unsigned flags;

    if (c->short_of != DECODE_OK)
        return c->short_of;
    in->addr_size = size == MODE_64 ? 8 : size == MODE_32 ? 4 : 2;
    if (in->prefixes & PFX_67)
        in->addr_size = size == MODE_32 ? 2 : 4;
    if (is_vex(c, size, b)) {
        enum decode_result r = take_vex(c, size, b, in);

        if (r != DECODE_OK)
            return r;
    } else {
        take_opcode(c, b, in);
    }
    if (c->short_of != DECODE_OK)
        return c->short_of;
    flags = flags_of(in);
    if (flags & O_X || (flags & O_X64 && size == MODE_64))
        return DECODE_UD;
    operand_sizes(in, size, flags);
    if (flags & O_MODRM) {
        take_modrm(c, size, flags, in);
        if (c->short_of != DECODE_OK)
            return c->short_of;
    }
    if (in->map == MAP_1) {
        unsigned reg = in->reg & 7;

        if (flags & O_GROUP3 && reg < 2)
            flags |= in->opcode & 1 ? O_IZ : O_I8;
        if (flags & O_GROUP5) {
            operand_sizes(in, size, reg == 6 ? O_D64 : reg == 2 || reg == 4 ? O_F64 : 0);
        } else if ((in->opcode == 0x8f && reg) || (in->opcode == 0x62 && in->mod == 3)) {
            return DECODE_UD; /* XOP, EVEX */
        }
    }
    take_immediates(c, flags, in);
    return c->short_of;
}

enum decode_result decode(const uint8_t *bytes, size_t n, unsigned size, struct insn *ret)
{
    struct cursor c = { bytes, n, 0, DECODE_OK };
    enum decode_result r;

    *ret = (struct insn){ .seg = SEG_DS, .base = INSN_NONE, .index = INSN_NONE };
    r = decode_at(&c, size, ret);
    ret->len = (uint8_t)c.at;
    if (n >= INSN_MAX)
        memcpy(ret->bytes, bytes, INSN_MAX);
    else
        memcpy(ret->bytes, bytes, n);
    return r;
}
