/* SPDX-License-Identifier: GPL-2.0-or-later */
/* avx.c - VEX-encoded SIMD: AVX, AVX2, FMA, F16C as host code around the same instruction (stub.h).
 *
 * The body loads YMM0 from vvvv and YMM2 from r where they are sources, executes the guest's
 * instruction on YMM2, YMM0 and m, and stores all of YMM2: the instruction itself has cleared what
 * it clears.  A row says exactly which W, L and vvvv exist: what it lets through the host executes.
 * Source: Intel SDM volume 2, AMD64 APM volume 4.  Not: VAES, VPCLMULQDQ on YMM, AVX-512. */
#include <string.h>

#include "cpu/soft/fpu_private.h"
#include "cpu/soft/sse_table.h"

enum avx_shape {
    V_NONE,
    V_3,       /* r = op(vvvv, m) */
    V_3R,      /* the same; the register form is another instruction than the memory form */
    V_2,       /* r = op(m) */
    V_MOVS,    /* VMOVSS, VMOVSD: V_2 from memory, V_3 between registers */
    V_FMA,     /* r = op(r, vvvv, m) */
    V_IS4,     /* r = op(vvvv, m, register in the immediate) */
    V_CMP,     /* flags = op(r, m) */
    V_STR,     /* VPCMPxSTRx */
    V_ST,      /* m = r */
    V_STQ,     /* VMOVQ */
    V_STS,     /* VMOVSS, VMOVSD */
    V_OUT,     /* m = op(r, imm) */
    V_SHIFT,   /* vvvv = op(m, imm) */
    V_FROM_G,  /* r = general m */
    V_INS_G,   /* r = op(vvvv, general m) */
    V_TO_G,    /* general r = op(m) */
    V_TO_GR,   /* the same, m a register */
    V_EXT,     /* general m = op(r) */
};

enum avx_flag {
    V_FP = 1 << 0,    /* may raise #XM */
    V_AL = 1 << 1,    /* aligned to its size */
    V_MEM = 1 << 2,
    V_REG = 1 << 3,
    V_IMM = 1 << 4,
    V_WIDE = 1 << 5,  /* W: general operand of 8 bytes; FMA: doubles */
    V_L0 = 1 << 6,
    V_L1 = 1 << 7,
    V_INT = 1 << 8,   /* YMM forms are AVX2 */
    V_AVX2 = 1 << 9,  /* all forms are */
    V_FIX = 1 << 10,  /* size does not grow with L */
    V_W0 = 1 << 11,
    V_W1 = 1 << 12,
    V_FMA3 = 1 << 13,
    V_F16C = 1 << 14,
    V_SCALAR = V_FIX,
};

struct avx_row {
    uint8_t shape, size;
    uint16_t flags;
};

enum { NP, P66, PF3, PF2 };

#define ROW(op, pp, shape, size, flags) [op][pp] = { shape, size, flags }
#define PSPD(op, shape, flags)     ROW(op, NP, shape, 16, flags), ROW(op, P66, shape, 16, flags)
#define SSSD(op, shape, flags) \
    ROW(op, PF3, shape, 4, V_SCALAR | (flags)), ROW(op, PF2, shape, 8, V_SCALAR | (flags))
#define ARITH(op, flags)           PSPD(op, V_3, V_FP | (flags)), SSSD(op, V_3, V_FP | (flags))
#define INT(op)                    ROW(op, P66, V_3, 16, V_INT)
#define INT2(op)                   ROW(op, P66, V_2, 16, V_INT)
#define COUNT(op)                  ROW(op, P66, V_3, 16, V_INT | V_FIX) /* shifts by m128 */

static const struct avx_row map_0f[256][4] = {
    PSPD(0x10, V_2, 0),
    SSSD(0x10, V_MOVS, 0),
    PSPD(0x11, V_ST, 0),
    SSSD(0x11, V_STS, 0),
    ROW(0x12, NP, V_3R, 8, V_L0),
    ROW(0x12, P66, V_3, 8, V_L0 | V_MEM),
    ROW(0x12, PF3, V_2, 16, 0),
    ROW(0x12, PF2, V_2, 8, 0), /* MOVDDUP: 8 or 32 */
    ROW(0x13, NP, V_ST, 8, V_L0 | V_MEM),
    ROW(0x13, P66, V_ST, 8, V_L0 | V_MEM),
    PSPD(0x14, V_3, 0),
    PSPD(0x15, V_3, 0),
    ROW(0x16, NP, V_3R, 8, V_L0),
    ROW(0x16, P66, V_3, 8, V_L0 | V_MEM),
    ROW(0x16, PF3, V_2, 16, 0),
    ROW(0x17, NP, V_ST, 8, V_L0 | V_MEM),
    ROW(0x17, P66, V_ST, 8, V_L0 | V_MEM),
    PSPD(0x28, V_2, V_AL),
    PSPD(0x29, V_ST, V_AL),
    ROW(0x2a, PF3, V_INS_G, 4, V_SCALAR | V_FP | V_WIDE),
    ROW(0x2a, PF2, V_INS_G, 4, V_SCALAR | V_FP | V_WIDE),
    PSPD(0x2b, V_ST, V_MEM | V_AL),
    SSSD(0x2c, V_TO_G, V_FP | V_WIDE),
    SSSD(0x2d, V_TO_G, V_FP | V_WIDE),
    ROW(0x2e, NP, V_CMP, 4, V_SCALAR | V_FP),
    ROW(0x2e, P66, V_CMP, 8, V_SCALAR | V_FP),
    ROW(0x2f, NP, V_CMP, 4, V_SCALAR | V_FP),
    ROW(0x2f, P66, V_CMP, 8, V_SCALAR | V_FP),
    PSPD(0x50, V_TO_GR, V_REG),
    PSPD(0x51, V_2, V_FP),
    SSSD(0x51, V_3, V_FP),
    ROW(0x52, NP, V_2, 16, 0),
    ROW(0x52, PF3, V_3, 4, V_SCALAR),
    ROW(0x53, NP, V_2, 16, 0),
    ROW(0x53, PF3, V_3, 4, V_SCALAR),
    PSPD(0x54, V_3, 0),
    PSPD(0x55, V_3, 0),
    PSPD(0x56, V_3, 0),
    PSPD(0x57, V_3, 0),
    ARITH(0x58, 0),
    ARITH(0x59, 0),
    ROW(0x5a, NP, V_2, 8, V_FP),
    ROW(0x5a, P66, V_2, 16, V_FP),
    SSSD(0x5a, V_3, V_FP),
    ROW(0x5b, NP, V_2, 16, V_FP),
    ROW(0x5b, P66, V_2, 16, V_FP),
    ROW(0x5b, PF3, V_2, 16, V_FP),
    ARITH(0x5c, 0),
    ARITH(0x5d, 0),
    ARITH(0x5e, 0),
    ARITH(0x5f, 0),
    INT(0x60),
    INT(0x61),
    INT(0x62),
    INT(0x63),
    INT(0x64),
    INT(0x65),
    INT(0x66),
    INT(0x67),
    INT(0x68),
    INT(0x69),
    INT(0x6a),
    INT(0x6b),
    INT(0x6c),
    INT(0x6d),
    ROW(0x6e, P66, V_FROM_G, 4, V_L0 | V_WIDE),
    ROW(0x6f, P66, V_2, 16, V_AL),
    ROW(0x6f, PF3, V_2, 16, 0),
    ROW(0x70, P66, V_2, 16, V_INT | V_IMM),
    ROW(0x70, PF3, V_2, 16, V_INT | V_IMM),
    ROW(0x70, PF2, V_2, 16, V_INT | V_IMM),
    ROW(0x71, P66, V_SHIFT, 0, V_INT | V_REG | V_IMM),
    ROW(0x72, P66, V_SHIFT, 0, V_INT | V_REG | V_IMM),
    ROW(0x73, P66, V_SHIFT, 0, V_INT | V_REG | V_IMM),
    INT(0x74),
    INT(0x75),
    INT(0x76),
    ROW(0x7c, P66, V_3, 16, V_FP),
    ROW(0x7c, PF2, V_3, 16, V_FP),
    ROW(0x7d, P66, V_3, 16, V_FP),
    ROW(0x7d, PF2, V_3, 16, V_FP),
    ROW(0x7e, P66, V_EXT, 4, V_L0 | V_WIDE),
    ROW(0x7e, PF3, V_2, 8, V_L0),
    ROW(0x7f, P66, V_ST, 16, V_AL),
    ROW(0x7f, PF3, V_ST, 16, 0),
    ARITH(0xc2, V_IMM),
    ROW(0xc4, P66, V_INS_G, 2, V_L0 | V_IMM),
    ROW(0xc5, P66, V_TO_GR, 16, V_L0 | V_REG | V_IMM),
    PSPD(0xc6, V_3, V_IMM),
    ROW(0xd0, P66, V_3, 16, V_FP),
    ROW(0xd0, PF2, V_3, 16, V_FP),
    COUNT(0xd1),
    COUNT(0xd2),
    COUNT(0xd3),
    INT(0xd4),
    INT(0xd5),
    ROW(0xd6, P66, V_STQ, 8, V_L0),
    ROW(0xd7, P66, V_TO_GR, 16, V_INT | V_REG),
    INT(0xd8),
    INT(0xd9),
    INT(0xda),
    INT(0xdb),
    INT(0xdc),
    INT(0xdd),
    INT(0xde),
    INT(0xdf),
    INT(0xe0),
    COUNT(0xe1),
    COUNT(0xe2),
    INT(0xe3),
    INT(0xe4),
    INT(0xe5),
    ROW(0xe6, P66, V_2, 16, V_FP),
    ROW(0xe6, PF3, V_2, 8, V_FP),
    ROW(0xe6, PF2, V_2, 16, V_FP),
    ROW(0xe7, P66, V_ST, 16, V_MEM | V_AL),
    INT(0xe8),
    INT(0xe9),
    INT(0xea),
    INT(0xeb),
    INT(0xec),
    INT(0xed),
    INT(0xee),
    INT(0xef),
    ROW(0xf0, PF2, V_2, 16, V_MEM),
    COUNT(0xf1),
    COUNT(0xf2),
    COUNT(0xf3),
    INT(0xf4),
    INT(0xf5),
    INT(0xf6),
    INT(0xf8),
    INT(0xf9),
    INT(0xfa),
    INT(0xfb),
    INT(0xfc),
    INT(0xfd),
    INT(0xfe),
};

#define R38(op, shape, size, flags) [op] = { shape, size, flags }
#define I38(op)                     R38(op, V_3, 16, V_INT)
#define FMA_P(op)                   R38(op, V_FMA, 16, V_FP | V_FMA3)
#define FMA_S(op)                   R38(op, V_FMA, 4, V_FP | V_FMA3 | V_SCALAR | V_WIDE)
#define FMA_ROWS(b)                                                                         \
    FMA_P(b + 6), FMA_P(b + 7), FMA_P(b + 8), FMA_S(b + 9), FMA_P(b + 10), FMA_S(b + 11),   \
    FMA_P(b + 12), FMA_S(b + 13), FMA_P(b + 14), FMA_S(b + 15)

static const struct avx_row map_0f38[256] = { /* all with 66 */
    I38(0x00), I38(0x01), I38(0x02), I38(0x03), I38(0x04), I38(0x05), I38(0x06), I38(0x07),
    I38(0x08), I38(0x09), I38(0x0a), I38(0x0b),
    R38(0x0c, V_3, 16, V_W0), R38(0x0d, V_3, 16, V_W0),
    R38(0x0e, V_CMP, 16, V_W0), R38(0x0f, V_CMP, 16, V_W0),
    R38(0x13, V_2, 8, V_FP | V_F16C | V_W0),
    R38(0x16, V_3, 16, V_AVX2 | V_L1 | V_W0),
    R38(0x17, V_CMP, 16, 0),
    R38(0x18, V_2, 4, V_FIX | V_W0), R38(0x19, V_2, 8, V_FIX | V_W0 | V_L1),
    R38(0x1a, V_2, 16, V_FIX | V_W0 | V_L1 | V_MEM),
    R38(0x1c, V_2, 16, V_INT), R38(0x1d, V_2, 16, V_INT), R38(0x1e, V_2, 16, V_INT),
    R38(0x20, V_2, 8, V_INT), R38(0x21, V_2, 4, V_INT), R38(0x22, V_2, 2, V_INT),
    R38(0x23, V_2, 8, V_INT), R38(0x24, V_2, 4, V_INT), R38(0x25, V_2, 8, V_INT),
    I38(0x28), I38(0x29), R38(0x2a, V_2, 16, V_INT | V_MEM | V_AL), I38(0x2b),
    R38(0x30, V_2, 8, V_INT), R38(0x31, V_2, 4, V_INT), R38(0x32, V_2, 2, V_INT),
    R38(0x33, V_2, 8, V_INT), R38(0x34, V_2, 4, V_INT), R38(0x35, V_2, 8, V_INT),
    R38(0x36, V_3, 16, V_AVX2 | V_L1 | V_W0),
    I38(0x37), I38(0x38), I38(0x39), I38(0x3a), I38(0x3b), I38(0x3c), I38(0x3d), I38(0x3e),
    I38(0x3f), I38(0x40), R38(0x41, V_2, 16, V_L0),
    R38(0x45, V_3, 16, V_AVX2), R38(0x46, V_3, 16, V_AVX2 | V_W0), R38(0x47, V_3, 16, V_AVX2),
    R38(0x58, V_2, 4, V_AVX2 | V_FIX | V_W0), R38(0x59, V_2, 8, V_AVX2 | V_FIX | V_W0),
    R38(0x5a, V_2, 16, V_AVX2 | V_FIX | V_W0 | V_L1 | V_MEM),
    R38(0x78, V_2, 1, V_AVX2 | V_FIX | V_W0), R38(0x79, V_2, 2, V_AVX2 | V_FIX | V_W0),
    FMA_ROWS(0x90), FMA_ROWS(0xa0), FMA_ROWS(0xb0),
    R38(0xdb, V_2, 16, V_L0), R38(0xdc, V_3, 16, V_L0), R38(0xdd, V_3, 16, V_L0),
    R38(0xde, V_3, 16, V_L0), R38(0xdf, V_3, 16, V_L0),
};

#define R3A(op, shape, size, flags) [op] = { shape, size, V_IMM | (flags) }

static const struct avx_row map_0f3a[256] = {
    /* all with 66 */
    R3A(0x00, V_2, 16, V_AVX2 | V_L1 | V_W1),
    R3A(0x01, V_2, 16, V_AVX2 | V_L1 | V_W1),
    R3A(0x02, V_3, 16, V_AVX2 | V_W0),
    R3A(0x04, V_2, 16, V_W0),
    R3A(0x05, V_2, 16, V_W0),
    R3A(0x06, V_3, 16, V_L1 | V_W0),
    R3A(0x08, V_2, 16, V_FP),
    R3A(0x09, V_2, 16, V_FP),
    R3A(0x0a, V_3, 4, V_FP | V_SCALAR),
    R3A(0x0b, V_3, 8, V_FP | V_SCALAR),
    R3A(0x0c, V_3, 16, 0),
    R3A(0x0d, V_3, 16, 0),
    R3A(0x0e, V_3, 16, V_INT),
    R3A(0x0f, V_3, 16, V_INT),
    R3A(0x14, V_EXT, 1, V_L0),
    R3A(0x15, V_EXT, 2, V_L0),
    R3A(0x16, V_EXT, 4, V_L0 | V_WIDE),
    R3A(0x17, V_EXT, 4, V_L0),
    R3A(0x18, V_3, 16, V_FIX | V_L1 | V_W0),
    R3A(0x19, V_OUT, 16, V_FIX | V_L1 | V_W0),
    R3A(0x1d, V_OUT, 8, V_FP | V_F16C | V_W0),
    R3A(0x20, V_INS_G, 1, V_L0),
    R3A(0x21, V_3R, 4, V_L0),
    R3A(0x22, V_INS_G, 4, V_L0 | V_WIDE),
    R3A(0x38, V_3, 16, V_AVX2 | V_FIX | V_L1 | V_W0),
    R3A(0x39, V_OUT, 16, V_AVX2 | V_FIX | V_L1 | V_W0),
    R3A(0x40, V_3, 16, V_FP),
    R3A(0x41, V_3, 16, V_FP | V_L0),
    R3A(0x42, V_3, 16, V_INT),
    R3A(0x44, V_3, 16, V_L0),
    R3A(0x46, V_3, 16, V_AVX2 | V_L1 | V_W0),
    R3A(0x4a, V_IS4, 16, V_W0),
    R3A(0x4b, V_IS4, 16, V_W0),
    R3A(0x4c, V_IS4, 16, V_W0 | V_INT),
    R3A(0x60, V_STR, 16, V_L0 | V_WIDE),
    R3A(0x61, V_STR, 16, V_L0 | V_WIDE),
    R3A(0x62, V_STR, 16, V_L0 | V_WIDE),
    R3A(0x63, V_STR, 16, V_L0 | V_WIDE),
    R3A(0xdf, V_2, 16, V_L0),
};

static const struct avx_row *avx_row(const struct insn *in)
{
    const struct avx_row *r = NULL;

    if (in->map == MAP_0F)
        r = &map_0f[in->opcode][in->vex_pp];
    else if (in->vex_pp == P66 && in->map == MAP_0F38)
        r = &map_0f38[in->opcode];
    else if (in->vex_pp == P66 && in->map == MAP_0F3A)
        r = &map_0f3a[in->opcode];
    return r && r->shape != V_NONE ? r : NULL;
}

/* ---- host code ------------------------------------------------------------------------------- */

enum { Y_V, Y_M, Y_R, Y_4 }; /* host registers for vvvv, m, r, the fourth operand */
enum { NO_V = 0 };           /* encodes 1111 */

static void put_vex(struct stub *s, unsigned map, unsigned op, unsigned w_l_pp, unsigned v,
                    unsigned b)
{
    stub_byte(s, 0xc4);
    stub_byte(s, 0xc0 | (b ? 0 : 0x20) | map);
    stub_byte(s, w_l_pp | (~v & 15) << 3);
    stub_byte(s, op);
}

static void move_place(struct stub *s, unsigned op, unsigned reg, enum stub_place m)
{
    put_vex(s, 1, op, 4, NO_V, stub_rex(s, m)); /* vmovups, 256 bits */
    stub_modrm(s, reg, m);
}

/* From a register of the VP. */
static void load_reg(struct stub *s, unsigned reg, unsigned guest)
{
    put_vex(s, 1, 0x10, 4, NO_V, 0);
    stub_byte(s, 0x80 | reg << 3 | RDI);
    stub_u32(s, fpu_off_xmm(guest));
}

static unsigned w_l_pp(const struct insn *in)
{
    return (in->rex & 8 ? 0x80 : 0) | (unsigned)in->vex_l << 2 | in->vex_pp;
}

static void put_imm(struct stub *s, const struct insn *in)
{
    if (in->imm_size)
        stub_byte(s, (uint8_t)in->imm);
}

static void put_op(struct stub *s, const struct insn *in, unsigned r, unsigned v, enum stub_place m)
{
    put_vex(s, in->map, in->opcode, w_l_pp(in), v, stub_rex(s, m));
    stub_modrm(s, r, m);
    put_imm(s, in);
}

static void put_regs(struct stub *s, const struct insn *in, unsigned op, unsigned r, unsigned v,
                     unsigned m)
{
    put_vex(s, in->map, op, w_l_pp(in), v, 0);
    stub_byte(s, 0xc0 | r << 3 | m);
    put_imm(s, in);
}

static void store_ymm(struct stub *s)
{
    move_place(s, 0x11, Y_R, STUB_DST);
    STUB(s, 0xc5, 0xf8, 0x77); /* vzeroupper */
}

static void store_rax(struct stub *s)
{
    STUB(s, 0xc5, 0xf8, 0x77);
    stub_byte(s, 0x48 | stub_rex(s, STUB_DST));
    stub_byte(s, 0x89);
    stub_modrm(s, RAX, STUB_DST);
}

static void mov_vp(struct stub *s, unsigned reg, size_t off, bool store)
{
    stub_byte(s, 0x48);
    stub_byte(s, store ? 0x89 : 0x8b);
    stub_byte(s, 0x80 | reg << 3 | RDI);
    stub_u32(s, (uint32_t)off);
}

static void string_stub(struct stub *s, const struct insn *in)
{
    load_reg(s, Y_R, in->reg);
    if (in->opcode < 0x62) {
        mov_vp(s, RAX, fpu_off_gpr(RAX), false);
        mov_vp(s, RDX, fpu_off_gpr(RDX), false);
    }
    put_op(s, in, Y_R, NO_V, STUB_SRC);
    if (in->opcode & 1) {
        mov_vp(s, RCX, fpu_off_gpr(RCX), true);
    } else { /* vmovups %ymm0, off(%rdi): its upper half is clear */
        put_vex(s, 1, 0x11, 4, NO_V, 0);
        stub_byte(s, 0x80 | RDI);
        stub_u32(s, fpu_off_xmm(0));
    }
    STUB(s, 0xc5, 0xf8, 0x77);
}

static void three_stub(struct stub *s, const struct insn *in, bool regs)
{
    load_reg(s, Y_V, in->vvvv);
    if (regs) {
        load_reg(s, Y_M, in->rm);
        put_regs(s, in, in->opcode, Y_R, Y_V, Y_M);
    } else {
        put_op(s, in, Y_R, Y_V, STUB_SRC);
    }
    store_ymm(s);
}

static void to_vector(const struct insn *in, const struct avx_row *row, struct fpu_op *op,
                      struct stub *s)
{
    bool reg = in->mod == 3;

    switch ((enum avx_shape)row->shape) {
    case V_3R: three_stub(s, in, reg); return;
    case V_3:
    case V_INS_G: three_stub(s, in, false); return;
    case V_MOVS:
        if (reg) {
            three_stub(s, in, true);
            return;
        }
        __attribute__((fallthrough));
    case V_2:
    case V_FROM_G:
        put_op(s, in, Y_R, NO_V, STUB_SRC);
        store_ymm(s);
        return;
    case V_FMA:
        load_reg(s, Y_V, in->vvvv);
        load_reg(s, Y_R, in->reg);
        put_op(s, in, Y_R, Y_V, STUB_SRC);
        store_ymm(s);
        return;
    case V_IS4:
        load_reg(s, Y_V, in->vvvv);
        load_reg(s, Y_4, (unsigned)(in->imm >> 4 & 15));
        put_op(s, in, Y_R, Y_V, STUB_SRC);
        s->code[s->n - 1] = Y_4 << 4;
        store_ymm(s);
        return;
    case V_CMP:
        load_reg(s, Y_R, in->reg);
        put_op(s, in, Y_R, NO_V, STUB_SRC);
        STUB(s, 0xc5, 0xf8, 0x77);
        op->flags |= FPU_FLAGS;
        return;
    case V_STR:
        string_stub(s, in);
        op->flags |= FPU_FLAGS;
        return;
    default: /* V_SHIFT */
        op->dst = fpu_off_xmm(in->vvvv);
        load_reg(s, Y_M, in->rm);
        put_vex(s, 1, in->opcode, w_l_pp(in), Y_R, 0);
        stub_byte(s, 0xc0 | (in->reg & 7u) << 3 | Y_M);
        put_imm(s, in);
        store_ymm(s);
        return;
    }
}

static void from_vector(const struct insn *in, const struct avx_row *row, struct fpu_op *op,
                        struct stub *s)
{
    bool reg = in->mod == 3;

    op->src = fpu_off_xmm(in->reg);
    op->dst = reg ? row->shape == V_EXT ? fpu_off_gpr(in->rm) : fpu_off_xmm(in->rm) : 0;
    op->form = reg ? FPU_REG : FPU_STORE;
    load_reg(s, Y_R, in->reg);
    if (!reg) {
        put_op(s, in, Y_R, NO_V, STUB_DST);
        STUB(s, 0xc5, 0xf8, 0x77);
        return;
    }
    switch ((enum avx_shape)row->shape) {
    case V_EXT:
        put_regs(s, in, in->opcode, Y_R, NO_V, RAX);
        store_rax(s);
        return;
    case V_STS: /* merges into vvvv */
        load_reg(s, Y_V, in->vvvv);
        put_regs(s, in, 0x10, Y_R, Y_V, Y_R);
        break;
    case V_STQ: put_vex(s, 1, 0x7e, 2, NO_V, 0); stub_byte(s, 0xc0 | Y_R << 3 | Y_R); break;
    case V_OUT:
        put_regs(s, in, in->opcode, Y_R, NO_V, Y_M); /* its target is m */
        put_vex(s, 1, 0x28, 4, NO_V, 0);
        stub_byte(s, 0xc0 | Y_R << 3 | Y_M);
        break;
    default: /* a copy: the length clears the rest */
        put_vex(s, 1, 0x28, in->vex_l << 2, NO_V, 0);
        stub_byte(s, 0xc0 | Y_R << 3 | Y_R);
        break;
    }
    store_ymm(s);
}

static bool shift_ok(const struct insn *in)
{
    unsigned r = in->reg & 7;

    if (in->opcode == 0x73)
        return r == 2 || r == 3 || r == 6 || r == 7;
    return r == 2 || r == 4 || (r == 6);
}

/* vvvv names an operand? */
static bool uses_v(const struct insn *in, const struct avx_row *row)
{
    switch ((enum avx_shape)row->shape) {
    case V_3: case V_3R: case V_FMA: case V_IS4: case V_INS_G: case V_SHIFT: return true;
    case V_MOVS: case V_STS: return in->mod == 3;
    default: return false;
    }
}

static bool form_ok(const struct soft_vp *vp, const struct insn *in, const struct avx_row *row)
{
    enum {
        FMA = 1 << 12,
        AES = 1 << 25,
        CLMUL = 1 << 1,
        AVX = 1 << 28,
        F16C = 1 << 29,
        AVX2 = 1 << 5
    };
    unsigned f = row->flags;
    uint32_t ecx1 = vp ? vp->feature.ecx1 : UINT32_MAX, ebx7 = vp ? vp->feature.ebx7 : UINT32_MAX;
    bool aes =
        (in->map == MAP_0F38 && in->opcode >= 0xdb) || (in->map == MAP_0F3A && in->opcode == 0xdf);

    if (in->mod == 3 ? f & V_MEM : f & V_REG)
        return false;
    if (in->vex_l ? f & V_L0 : f & V_L1)
        return false;
    if (in->rex & 8 ? f & V_W0 : f & V_W1)
        return false;
    if (!uses_v(in, row) && in->vvvv)
        return false;
    if (row->shape == V_SHIFT && !shift_ok(in))
        return false;
    if (!(ecx1 & AVX) || ((f & V_FMA3) && !(ecx1 & FMA)) || ((f & V_F16C) && !(ecx1 & F16C)) ||
        (aes && !(ecx1 & AES)) || (in->map == MAP_0F3A && in->opcode == 0x44 && !(ecx1 & CLMUL)))
        return false;
    if ((f & V_AVX2) || ((f & V_INT) && in->vex_l) ||
        (in->mod == 3 && in->map == MAP_0F38 && (in->opcode == 0x18 || in->opcode == 0x19)))
        return ebx7 & AVX2;
    return true;
}

static unsigned size_of(const struct insn *in, const struct avx_row *row)
{
    unsigned size = row->size;

    if (in->vex_l && !(row->flags & V_FIX))
        size *= 2;
    if (in->map == MAP_0F && in->opcode == 0x12 && in->vex_pp == PF2 && in->vex_l)
        size = 32;
    if ((in->rex & 8) && (row->flags & V_WIDE) && size == 4)
        size = 8;
    return size;
}

bool avx_form(const struct soft_vp *vp, const struct insn *in, struct avx_form *ret)
{
    static const uint8_t kinds[] = {
        [V_3] = AVX_VECTOR, [V_3R] = AVX_VECTOR, [V_2] = AVX_VECTOR, [V_MOVS] = AVX_VECTOR,
        [V_FMA] = AVX_VECTOR, [V_IS4] = AVX_VECTOR, [V_CMP] = AVX_FLAGS, [V_STR] = AVX_STRING,
        [V_ST] = AVX_STORE, [V_STQ] = AVX_STORE, [V_STS] = AVX_STORE, [V_OUT] = AVX_STORE,
        [V_SHIFT] = AVX_SHIFT, [V_FROM_G] = AVX_FROM_G, [V_INS_G] = AVX_FROM_G,
        [V_TO_G] = AVX_TO_G, [V_TO_GR] = AVX_TO_G, [V_EXT] = AVX_EXT,
    };
    const struct avx_row *row = in->prefixes & PFX_VEX ? avx_row(in) : NULL;

    if (!row || !form_ok(vp, in, row))
        return false;
    ret->kind = kinds[row->shape];
    ret->size = (uint8_t)size_of(in, row);
    ret->align = row->flags & V_AL ? (uint8_t)(ret->size - 1) : 0;
    ret->xm = row->flags & V_FP;
    return true;
}

bool avx_pick(struct soft_vp *vp, const struct insn *in, struct fpu_op *op, struct stub *s)
{
    const struct avx_row *row = in->prefixes & PFX_VEX ? avx_row(in) : NULL;
    bool reg = in->mod == 3;
    unsigned size;

    if (!row || !form_ok(vp, in, row))
        return false;
    size = size_of(in, row);
    op->form = reg ? FPU_REG : FPU_LOAD;
    op->size = (uint8_t)size;
    op->align = row->flags & V_AL ? (uint8_t)(size - 1) : 0;
    op->flags = row->flags & V_FP ? FPU_XM : 0;
    op->dst = fpu_off_xmm(in->reg);
    op->src = reg ? fpu_off_xmm(in->rm) : 0;
    switch ((enum avx_shape)row->shape) {
    case V_ST: case V_STQ: case V_STS: case V_OUT: case V_EXT:
        from_vector(in, row, op, s);
        return true;
    case V_TO_G:
        op->dst = fpu_off_gpr(in->reg);
        put_op(s, in, RAX, NO_V, STUB_SRC);
        store_rax(s);
        return true;
    case V_TO_GR:
        op->dst = fpu_off_gpr(in->reg);
        load_reg(s, Y_M, in->rm);
        put_regs(s, in, in->opcode, RAX, NO_V, Y_M);
        store_rax(s);
        return true;
    case V_FROM_G: case V_INS_G:
        op->src = reg ? fpu_off_gpr(in->rm) : 0;
        __attribute__((fallthrough));
    default:
        to_vector(in, row, op, s);
        return true;
    }
}
