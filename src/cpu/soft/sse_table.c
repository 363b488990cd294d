/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sse_table.c - see sse_table.h. */
#include "cpu/soft/sse_table.h"

enum { NP, P66, PF3, PF2 };

#define ROW(op, pp, shape, size, flags, feature) \
    [op][pp] = { shape, size, flags, feature }

/* Both MMX (8 bytes) and SSE (16 bytes). */
#define BOTH(op, feature)                        \
    ROW(op, NP, MMX_RMW, 8, 0, feature),         \
    ROW(op, P66, SSE_RMW, 16, 0, feature)
/* ps and pd */
#define PSPD(op, shape, flags)                   \
    ROW(op, NP, shape, 16, flags, SSE_BASE),     \
    ROW(op, P66, shape, 16, flags, SSE_BASE)
/* ps, pd, ss, sd arithmetic */
#define ARITH(op, packed, imm)                               \
    ROW(op, NP, packed, 16, SSE_FP | (imm), SSE_BASE),       \
    ROW(op, P66, packed, 16, SSE_FP | (imm), SSE_BASE),      \
    ROW(op, PF3, SSE_RMW, 4, SSE_FP | (imm), SSE_BASE),      \
    ROW(op, PF2, SSE_RMW, 8, SSE_FP | (imm), SSE_BASE)

static const struct sse_row map_0f[256][4] = {
    PSPD(0x10, SSE_W, SSE_UNAL),
    ROW(0x10, PF3, SSE_MOVS, 4, 0, SSE_BASE),
    ROW(0x10, PF2, SSE_MOVS, 8, 0, SSE_BASE),
    PSPD(0x11, SSE_ST, SSE_UNAL),
    ROW(0x11, PF3, SSE_STS, 4, 0, SSE_BASE),
    ROW(0x11, PF2, SSE_STS, 8, 0, SSE_BASE),
    ROW(0x12, NP, SSE_REGS, 8, 0, SSE_BASE),
    ROW(0x12, P66, SSE_RMW, 8, SSE_MEM, SSE_BASE),
    ROW(0x12, PF3, SSE_W, 16, 0, SSE_3),
    ROW(0x12, PF2, SSE_W, 8, 0, SSE_3),
    ROW(0x13, NP, SSE_ST, 8, SSE_MEM, SSE_BASE),
    ROW(0x13, P66, SSE_ST, 8, SSE_MEM, SSE_BASE),
    PSPD(0x14, SSE_RMW, 0),
    PSPD(0x15, SSE_RMW, 0),
    ROW(0x16, NP, SSE_REGS, 8, 0, SSE_BASE),
    ROW(0x16, P66, SSE_RMW, 8, SSE_MEM, SSE_BASE),
    ROW(0x16, PF3, SSE_W, 16, 0, SSE_3),
    ROW(0x17, NP, SSE_ST, 8, SSE_MEM, SSE_BASE),
    ROW(0x17, P66, SSE_ST, 8, SSE_MEM, SSE_BASE),
    PSPD(0x28, SSE_W, 0),
    PSPD(0x29, SSE_ST, 0),
    ROW(0x2a, NP, MMX_TO_X, 8, SSE_FP, SSE_BASE),
    ROW(0x2a, P66, MMX_TO_X, 8, 0, SSE_BASE),
    ROW(0x2a, PF3, SSE_INS_G, 4, SSE_FP | SSE_WIDE, SSE_BASE),
    ROW(0x2a, PF2, SSE_INS_G, 4, SSE_FP | SSE_WIDE, SSE_BASE),
    PSPD(0x2b, SSE_ST, SSE_MEM),
    ROW(0x2c, NP, MMX_FROM_X, 8, SSE_FP, SSE_BASE),
    ROW(0x2c, P66, MMX_FROM_X, 16, SSE_FP, SSE_BASE),
    ROW(0x2c, PF3, SSE_TO_G, 4, SSE_FP | SSE_WIDE, SSE_BASE),
    ROW(0x2c, PF2, SSE_TO_G, 8, SSE_FP | SSE_WIDE, SSE_BASE),
    ROW(0x2d, NP, MMX_FROM_X, 8, SSE_FP, SSE_BASE),
    ROW(0x2d, P66, MMX_FROM_X, 16, SSE_FP, SSE_BASE),
    ROW(0x2d, PF3, SSE_TO_G, 4, SSE_FP | SSE_WIDE, SSE_BASE),
    ROW(0x2d, PF2, SSE_TO_G, 8, SSE_FP | SSE_WIDE, SSE_BASE),
    ROW(0x2e, NP, SSE_CMP, 4, SSE_FP, SSE_BASE),
    ROW(0x2e, P66, SSE_CMP, 8, SSE_FP, SSE_BASE),
    ROW(0x2f, NP, SSE_CMP, 4, SSE_FP, SSE_BASE),
    ROW(0x2f, P66, SSE_CMP, 8, SSE_FP, SSE_BASE),
    PSPD(0x50, SSE_TO_GR, SSE_REG),
    ARITH(0x51, SSE_W, 0),
    ROW(0x52, NP, SSE_W, 16, 0, SSE_BASE),
    ROW(0x52, PF3, SSE_RMW, 4, 0, SSE_BASE),
    ROW(0x53, NP, SSE_W, 16, 0, SSE_BASE),
    ROW(0x53, PF3, SSE_RMW, 4, 0, SSE_BASE),
    PSPD(0x54, SSE_RMW, 0),
    PSPD(0x55, SSE_RMW, 0),
    PSPD(0x56, SSE_RMW, 0),
    PSPD(0x57, SSE_RMW, 0),
    ARITH(0x58, SSE_RMW, 0),
    ARITH(0x59, SSE_RMW, 0),
    ROW(0x5a, NP, SSE_W, 8, SSE_FP, SSE_BASE),
    ROW(0x5a, P66, SSE_W, 16, SSE_FP, SSE_BASE),
    ROW(0x5a, PF3, SSE_RMW, 4, SSE_FP, SSE_BASE),
    ROW(0x5a, PF2, SSE_RMW, 8, SSE_FP, SSE_BASE),
    ROW(0x5b, NP, SSE_W, 16, SSE_FP, SSE_BASE),
    ROW(0x5b, P66, SSE_W, 16, SSE_FP, SSE_BASE),
    ROW(0x5b, PF3, SSE_W, 16, SSE_FP, SSE_BASE),
    ARITH(0x5c, SSE_RMW, 0),
    ARITH(0x5d, SSE_RMW, 0),
    ARITH(0x5e, SSE_RMW, 0),
    ARITH(0x5f, SSE_RMW, 0),
    ROW(0x60, NP, MMX_RMW, 4, 0, SSE_BASE),
    ROW(0x60, P66, SSE_RMW, 16, 0, SSE_BASE),
    ROW(0x61, NP, MMX_RMW, 4, 0, SSE_BASE),
    ROW(0x61, P66, SSE_RMW, 16, 0, SSE_BASE),
    ROW(0x62, NP, MMX_RMW, 4, 0, SSE_BASE),
    ROW(0x62, P66, SSE_RMW, 16, 0, SSE_BASE),
    BOTH(0x63, SSE_BASE), BOTH(0x64, SSE_BASE), BOTH(0x65, SSE_BASE), BOTH(0x66, SSE_BASE),
    BOTH(0x67, SSE_BASE), BOTH(0x68, SSE_BASE), BOTH(0x69, SSE_BASE), BOTH(0x6a, SSE_BASE),
    BOTH(0x6b, SSE_BASE),
    ROW(0x6c, P66, SSE_RMW, 16, 0, SSE_BASE),
    ROW(0x6d, P66, SSE_RMW, 16, 0, SSE_BASE),
    ROW(0x6e, NP, MMX_FROM_G, 4, SSE_WIDE, SSE_BASE),
    ROW(0x6e, P66, SSE_FROM_G, 4, SSE_WIDE, SSE_BASE),
    ROW(0x6f, NP, MMX_RMW, 8, 0, SSE_BASE),
    ROW(0x6f, P66, SSE_W, 16, 0, SSE_BASE),
    ROW(0x6f, PF3, SSE_W, 16, SSE_UNAL, SSE_BASE),
    ROW(0x70, NP, MMX_RMW, 8, SSE_IMM, SSE_BASE),
    ROW(0x70, P66, SSE_W, 16, SSE_IMM, SSE_BASE),
    ROW(0x70, PF3, SSE_W, 16, SSE_IMM, SSE_BASE),
    ROW(0x70, PF2, SSE_W, 16, SSE_IMM, SSE_BASE),
    ROW(0x71, NP, MMX_SHIFT, 0, SSE_REG | SSE_IMM, SSE_BASE),
    ROW(0x71, P66, SSE_SHIFT, 0, SSE_REG | SSE_IMM, SSE_BASE),
    ROW(0x72, NP, MMX_SHIFT, 0, SSE_REG | SSE_IMM, SSE_BASE),
    ROW(0x72, P66, SSE_SHIFT, 0, SSE_REG | SSE_IMM, SSE_BASE),
    ROW(0x73, NP, MMX_SHIFT, 0, SSE_REG | SSE_IMM, SSE_BASE),
    ROW(0x73, P66, SSE_SHIFT, 0, SSE_REG | SSE_IMM, SSE_BASE),
    BOTH(0x74, SSE_BASE), BOTH(0x75, SSE_BASE), BOTH(0x76, SSE_BASE),
    ROW(0x77, NP, MMX_EMMS, 0, 0, SSE_BASE),
    ROW(0x7c, P66, SSE_RMW, 16, SSE_FP, SSE_3),
    ROW(0x7c, PF2, SSE_RMW, 16, SSE_FP, SSE_3),
    ROW(0x7d, P66, SSE_RMW, 16, SSE_FP, SSE_3),
    ROW(0x7d, PF2, SSE_RMW, 16, SSE_FP, SSE_3),
    ROW(0x7e, NP, MMX_EXT, 4, SSE_WIDE, SSE_BASE),
    ROW(0x7e, P66, SSE_EXT, 4, SSE_WIDE, SSE_BASE),
    ROW(0x7e, PF3, SSE_W, 8, 0, SSE_BASE),
    ROW(0x7f, NP, MMX_ST, 8, 0, SSE_BASE),
    ROW(0x7f, P66, SSE_ST, 16, 0, SSE_BASE),
    ROW(0x7f, PF3, SSE_ST, 16, SSE_UNAL, SSE_BASE),
    ARITH(0xc2, SSE_RMW, SSE_IMM),
    ROW(0xc3, NP, SSE_MOVNTI, 4, SSE_MEM | SSE_WIDE, SSE_BASE),
    ROW(0xc4, NP, MMX_FROM_G, 2, SSE_IMM, SSE_BASE),
    ROW(0xc4, P66, SSE_INS_G, 2, SSE_IMM, SSE_BASE),
    ROW(0xc5, NP, MMX_TO_GR, 8, SSE_REG | SSE_IMM, SSE_BASE),
    ROW(0xc5, P66, SSE_TO_GR, 16, SSE_REG | SSE_IMM, SSE_BASE),
    PSPD(0xc6, SSE_RMW, SSE_IMM),
    ROW(0xd0, P66, SSE_RMW, 16, SSE_FP, SSE_3),
    ROW(0xd0, PF2, SSE_RMW, 16, SSE_FP, SSE_3),
    BOTH(0xd1, SSE_BASE), BOTH(0xd2, SSE_BASE), BOTH(0xd3, SSE_BASE), BOTH(0xd4, SSE_BASE),
    BOTH(0xd5, SSE_BASE),
    ROW(0xd6, P66, SSE_STQ, 8, 0, SSE_BASE),
    ROW(0xd6, PF3, MMX_MOVQ2DQ, 0, SSE_REG, SSE_BASE),
    ROW(0xd6, PF2, MMX_MOVDQ2Q, 0, SSE_REG, SSE_BASE),
    ROW(0xd7, NP, MMX_TO_GR, 8, SSE_REG, SSE_BASE),
    ROW(0xd7, P66, SSE_TO_GR, 16, SSE_REG, SSE_BASE),
    BOTH(0xd8, SSE_BASE), BOTH(0xd9, SSE_BASE), BOTH(0xda, SSE_BASE), BOTH(0xdb, SSE_BASE),
    BOTH(0xdc, SSE_BASE), BOTH(0xdd, SSE_BASE), BOTH(0xde, SSE_BASE), BOTH(0xdf, SSE_BASE),
    BOTH(0xe0, SSE_BASE), BOTH(0xe1, SSE_BASE), BOTH(0xe2, SSE_BASE), BOTH(0xe3, SSE_BASE),
    BOTH(0xe4, SSE_BASE), BOTH(0xe5, SSE_BASE),
    ROW(0xe6, P66, SSE_W, 16, SSE_FP, SSE_BASE),
    ROW(0xe6, PF3, SSE_W, 8, SSE_FP, SSE_BASE),
    ROW(0xe6, PF2, SSE_W, 16, SSE_FP, SSE_BASE),
    ROW(0xe7, NP, MMX_ST, 8, SSE_MEM, SSE_BASE),
    ROW(0xe7, P66, SSE_ST, 16, SSE_MEM, SSE_BASE),
    BOTH(0xe8, SSE_BASE), BOTH(0xe9, SSE_BASE), BOTH(0xea, SSE_BASE), BOTH(0xeb, SSE_BASE),
    BOTH(0xec, SSE_BASE), BOTH(0xed, SSE_BASE), BOTH(0xee, SSE_BASE), BOTH(0xef, SSE_BASE),
    ROW(0xf0, PF2, SSE_W, 16, SSE_MEM | SSE_UNAL, SSE_3),
    BOTH(0xf1, SSE_BASE), BOTH(0xf2, SSE_BASE), BOTH(0xf3, SSE_BASE), BOTH(0xf4, SSE_BASE),
    BOTH(0xf5, SSE_BASE), BOTH(0xf6, SSE_BASE), /* F7: MASKMOV, sse.c */
    BOTH(0xf8, SSE_BASE), BOTH(0xf9, SSE_BASE), BOTH(0xfa, SSE_BASE), BOTH(0xfb, SSE_BASE),
    BOTH(0xfc, SSE_BASE), BOTH(0xfd, SSE_BASE), BOTH(0xfe, SSE_BASE),
};

#define S41(op, shape, size) ROW(op, P66, shape, size, 0, SSE_41)

static const struct sse_row map_0f38[256][4] = {
    BOTH(0x00, SSE_S3), BOTH(0x01, SSE_S3), BOTH(0x02, SSE_S3), BOTH(0x03, SSE_S3),
    BOTH(0x04, SSE_S3), BOTH(0x05, SSE_S3), BOTH(0x06, SSE_S3), BOTH(0x07, SSE_S3),
    BOTH(0x08, SSE_S3), BOTH(0x09, SSE_S3), BOTH(0x0a, SSE_S3), BOTH(0x0b, SSE_S3),
    S41(0x10, SSE_X0, 16), S41(0x14, SSE_X0, 16), S41(0x15, SSE_X0, 16),
    S41(0x17, SSE_TEST, 16),
    BOTH(0x1c, SSE_S3), BOTH(0x1d, SSE_S3), BOTH(0x1e, SSE_S3),
    S41(0x20, SSE_W, 8), S41(0x21, SSE_W, 4), S41(0x22, SSE_W, 2),
    S41(0x23, SSE_W, 8), S41(0x24, SSE_W, 4), S41(0x25, SSE_W, 8),
    S41(0x28, SSE_RMW, 16), S41(0x29, SSE_RMW, 16),
    ROW(0x2a, P66, SSE_W, 16, SSE_MEM, SSE_41),
    S41(0x2b, SSE_RMW, 16),
    S41(0x30, SSE_W, 8), S41(0x31, SSE_W, 4), S41(0x32, SSE_W, 2),
    S41(0x33, SSE_W, 8), S41(0x34, SSE_W, 4), S41(0x35, SSE_W, 8),
    ROW(0x37, P66, SSE_RMW, 16, 0, SSE_42),
    S41(0x38, SSE_RMW, 16), S41(0x39, SSE_RMW, 16), S41(0x3a, SSE_RMW, 16),
    S41(0x3b, SSE_RMW, 16), S41(0x3c, SSE_RMW, 16), S41(0x3d, SSE_RMW, 16),
    S41(0x3e, SSE_RMW, 16), S41(0x3f, SSE_RMW, 16), S41(0x40, SSE_RMW, 16),
    S41(0x41, SSE_W, 16),
    ROW(0xc8, NP, SSE_RMW, 16, 0, SSE_SHA), ROW(0xc9, NP, SSE_RMW, 16, 0, SSE_SHA),
    ROW(0xca, NP, SSE_RMW, 16, 0, SSE_SHA), ROW(0xcb, NP, SSE_X0, 16, 0, SSE_SHA),
    ROW(0xcc, NP, SSE_RMW, 16, 0, SSE_SHA), ROW(0xcd, NP, SSE_RMW, 16, 0, SSE_SHA),
    ROW(0xdb, P66, SSE_W, 16, 0, SSE_AES), ROW(0xdc, P66, SSE_RMW, 16, 0, SSE_AES),
    ROW(0xdd, P66, SSE_RMW, 16, 0, SSE_AES), ROW(0xde, P66, SSE_RMW, 16, 0, SSE_AES),
    ROW(0xdf, P66, SSE_RMW, 16, 0, SSE_AES),
    ROW(0xf0, PF2, SSE_CRC, 1, SSE_WIDE, SSE_42),
    ROW(0xf1, PF2, SSE_CRC, 4, SSE_WIDE, SSE_42),
};

#define I41(op, shape, size, flags) ROW(op, P66, shape, size, SSE_IMM | (flags), SSE_41)

static const struct sse_row map_0f3a[256][4] = {
    I41(0x08, SSE_W, 16, SSE_FP), I41(0x09, SSE_W, 16, SSE_FP),
    I41(0x0a, SSE_RMW, 4, SSE_FP), I41(0x0b, SSE_RMW, 8, SSE_FP),
    I41(0x0c, SSE_RMW, 16, 0), I41(0x0d, SSE_RMW, 16, 0), I41(0x0e, SSE_RMW, 16, 0),
    ROW(0x0f, NP, MMX_RMW, 8, SSE_IMM, SSE_S3),
    ROW(0x0f, P66, SSE_RMW, 16, SSE_IMM, SSE_S3),
    I41(0x14, SSE_EXT, 1, 0), I41(0x15, SSE_EXT, 2, 0), I41(0x16, SSE_EXT, 4, SSE_WIDE),
    I41(0x17, SSE_EXT, 4, 0),
    I41(0x20, SSE_INS_G, 1, 0), I41(0x21, SSE_REGS, 4, 0), I41(0x22, SSE_INS_G, 4, SSE_WIDE),
    I41(0x40, SSE_RMW, 16, SSE_FP), I41(0x41, SSE_RMW, 16, SSE_FP), I41(0x42, SSE_RMW, 16, 0),
    ROW(0x44, P66, SSE_RMW, 16, SSE_IMM, SSE_CLMUL),
    ROW(0x60, P66, SSE_STR, 16, SSE_IMM | SSE_UNAL | SSE_WIDE, SSE_42),
    ROW(0x61, P66, SSE_STR, 16, SSE_IMM | SSE_UNAL | SSE_WIDE, SSE_42),
    ROW(0x62, P66, SSE_STR, 16, SSE_IMM | SSE_UNAL | SSE_WIDE, SSE_42),
    ROW(0x63, P66, SSE_STR, 16, SSE_IMM | SSE_UNAL | SSE_WIDE, SSE_42),
    ROW(0xcc, NP, SSE_RMW, 16, SSE_IMM, SSE_SHA),
    ROW(0xdf, P66, SSE_W, 16, SSE_IMM, SSE_AES),
};

const struct sse_row *sse_row(const struct insn *in)
{
    const struct sse_row *r;

    if (in->prefixes & PFX_VEX)
        return NULL;
    switch (in->map) {
    case MAP_0F: r = &map_0f[in->opcode][sse_pp(in)]; break;
    case MAP_0F38: r = &map_0f38[in->opcode][sse_pp(in)]; break;
    case MAP_0F3A: r = &map_0f3a[in->opcode][sse_pp(in)]; break;
    default: return NULL;
    }
    return r->shape == SSE_NONE ? NULL : r;
}
