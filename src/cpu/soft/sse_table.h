/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sse_table.h - the SSE and MMX instructions, by map, opcode and mandatory prefix.
 *
 * Source: AMD64 APM volume 4 (SSE) and 5 (MMX), Intel SDM volume 2. */
#pragma once

#include "cpu/soft/insn.h"

/* Operands.  r is ModRM.reg, m is r/m: register or memory. */
enum sse_shape {
    SSE_NONE,
    SSE_RMW,    /* xmm r = op(xmm r, xmm m) */
    SSE_W,      /* xmm r = op(xmm m) */
    SSE_REGS,   /* as SSE_RMW, but the register form differs from the memory form: MOVHLPS ... */
    SSE_MOVS,   /* MOVSS, MOVSD: a load clears the rest, a register move merges */
    SSE_CMP,    /* flags = op(xmm r, xmm m), CF ZF PF; the others cleared */
    SSE_TEST,   /* the same, by PTEST */
    SSE_STR,    /* PCMPxSTRx */
    SSE_X0,     /* xmm r = op(xmm r, xmm m, xmm 0) */
    SSE_LAST_XMM = SSE_X0,
    SSE_ST,     /* xmm m = xmm r, all of it between registers */
    SSE_STQ,    /* MOVQ store: between registers clears the upper half */
    SSE_STS,    /* MOVSS, MOVSD store: merges between registers */
    SSE_LAST_STORE = SSE_STS,
    SSE_FROM_G, /* xmm r = op(general m) */
    SSE_INS_G,  /* xmm r = op(xmm r, general m) */
    SSE_TO_G,   /* general r = op(xmm m) */
    SSE_TO_GR,  /* the same, m a register */
    SSE_EXT,    /* general m = op(xmm r) */
    SSE_CRC,    /* general r = op(general r, general m) */
    SSE_MOVNTI,
    SSE_LAST_GENERAL = SSE_MOVNTI,
    SSE_SHIFT,  /* xmm m = op(xmm m, imm): groups 12 to 14 */
    MMX_RMW,    /* mm r = op(mm r, mm m); MMX_W is the same to us */
    MMX_ST,     /* mm m = mm r */
    MMX_FROM_G, /* mm r = op(mm r, general m) */
    MMX_TO_GR,  /* general r = op(mm m) */
    MMX_EXT,    /* general m = mm r: MOVD */
    MMX_SHIFT,
    MMX_EMMS,
    MMX_LAST = MMX_EMMS,
    MMX_FROM_X, /* mm r = op(xmm m) */
    MMX_TO_X,   /* xmm r = op(xmm r, mm m) */
    MMX_MOVQ2DQ,
    MMX_MOVDQ2Q,
};

enum sse_row_flag {
    SSE_FP = 1 << 0,   /* may raise #XM */
    SSE_UNAL = 1 << 1, /* no alignment asked */
    SSE_MEM = 1 << 2,  /* memory forms only */
    SSE_REG = 1 << 3,  /* register forms only */
    SSE_IMM = 1 << 4,
    SSE_WIDE = 1 << 5, /* REX.W counts: general operands of 8 bytes */
};

enum sse_feature { SSE_BASE, SSE_3, SSE_S3, SSE_41, SSE_42, SSE_AES, SSE_CLMUL, SSE_SHA };

struct sse_row {
    uint8_t shape, size, flags, feature; /* size: bytes of a memory operand */
};

/* The row of a legacy-encoded instruction, or NULL. */
const struct sse_row *sse_row(const struct insn *in);

/* Mandatory prefix as VEX counts them: none, 66, F3, F2. */
static inline unsigned sse_pp(const struct insn *in)
{
    if (in->prefixes & PFX_VEX)
        return in->vex_pp;
    if (in->prefixes & PFX_REP)
        return 2;
    if (in->prefixes & PFX_REPNE)
        return 3;
    return in->prefixes & PFX_66 ? 1 : 0;
}
