/* SPDX-License-Identifier: GPL-2.0-or-later */
/* int_alu.c - arithmetic, logic, shifts, multiplication, division, BCD: the general forms.
 *
 * Source: Intel SDM 2; flags as the host computes them (ops.h). */
#include "cpu/soft/core_insn.h"

/* ---- host arithmetic ------------------------------------------------------------------------- */

#define BINARY(name, insn, sfx, mod)                                                         \
    static uint64_t name(uint64_t a, uint64_t b, uint16_t *flags)                            \
    {                                                                                        \
        uint64_t f = *flags;                                                                 \
                                                                                             \
        asm(ASM_FLAGS_IN insn sfx " %" mod "2, %" mod "0\n\t" ASM_FLAGS_OUT                  \
            : "+r"(a), "+a"(f) : "r"(b) : "cc");                                             \
        *flags = (uint16_t)f;                                                                \
        return a;                                                                            \
    }
#define UNARY(name, insn, sfx, mod)                                                          \
    static uint64_t name(uint64_t a, uint64_t b, uint16_t *flags)                            \
    {                                                                                        \
        uint64_t f = *flags;                                                                 \
                                                                                             \
        asm(ASM_FLAGS_IN insn sfx " %" mod "0\n\t" ASM_FLAGS_OUT : "+r"(a), "+a"(f) : : "cc"); \
        *flags = (uint16_t)f;                                                                \
        return a;                                                                            \
    }
#define SHIFT(name, insn, sfx, mod)                                                          \
    static uint64_t name(uint64_t a, uint64_t b, uint16_t *flags)                            \
    {                                                                                        \
        uint64_t f = *flags;                                                                 \
                                                                                             \
        asm(ASM_FLAGS_IN insn sfx " %%cl, %" mod "0\n\t" ASM_FLAGS_OUT                       \
            : "+r"(a), "+a"(f) : "c"(b) : "cc");                                             \
        *flags = (uint16_t)f;                                                                \
        return a;                                                                            \
    }
#define SIZES(kind, insn)                                                                    \
    kind(insn##_1, #insn, "b", "b") kind(insn##_2, #insn, "w", "w")                          \
    kind(insn##_4, #insn, "l", "k") kind(insn##_8, #insn, "q", "q")
/* The bit instructions have no byte form; register forms take the offset modulo the size. */
#define SIZES_BIT(kind, insn)                                                                \
    kind(insn##_2, #insn, "w", "w") kind(insn##_4, #insn, "l", "k")                          \
    kind(insn##_8, #insn, "q", "q")

SIZES(BINARY, add)
SIZES(BINARY, or)
SIZES(BINARY, adc)
SIZES(BINARY, sbb)
SIZES(BINARY, and)
SIZES(BINARY, sub)
SIZES(BINARY, xor)
SIZES(BINARY, cmp)
SIZES(BINARY, test)
SIZES(UNARY, inc)
SIZES(UNARY, dec)
SIZES(UNARY, neg)
SIZES(UNARY, not)
SIZES_BIT(BINARY, bt)
SIZES_BIT(BINARY, bts)
SIZES_BIT(BINARY, btr)
SIZES_BIT(BINARY, btc)
SIZES(SHIFT, rol)
SIZES(SHIFT, ror)
SIZES(SHIFT, rcl)
SIZES(SHIFT, rcr)
SIZES(SHIFT, shl)
SIZES(SHIFT, shr)
SIZES(SHIFT, sar)

#define ROW(insn)  { insn##_1, insn##_2, insn##_4, insn##_8 }
#define ROWB(insn) { NULL, insn##_2, insn##_4, insn##_8 }

alu_fn *const alu_table[ALU_OPS][4] = {
    [ALU_ADD] = ROW(add), [ALU_OR] = ROW(or), [ALU_ADC] = ROW(adc), [ALU_SBB] = ROW(sbb),
    [ALU_AND] = ROW(and), [ALU_SUB] = ROW(sub), [ALU_XOR] = ROW(xor), [ALU_CMP] = ROW(cmp),
    [ALU_TEST] = ROW(test), [ALU_INC] = ROW(inc), [ALU_DEC] = ROW(dec), [ALU_NEG] = ROW(neg),
    [ALU_NOT] = ROW(not), [ALU_BTS] = ROWB(bts), [ALU_BTR] = ROWB(btr), [ALU_BTC] = ROWB(btc),
    [ALU_BT] = ROWB(bt),
};
alu_fn *const shift_table[SHIFT_OPS][4] = {
    [SHIFT_ROL] = ROW(rol), [SHIFT_ROR] = ROW(ror), [SHIFT_RCL] = ROW(rcl), [SHIFT_RCR] = ROW(rcr),
    [SHIFT_SHL] = ROW(shl), [SHIFT_SHR] = ROW(shr), [SHIFT_SAL] = ROW(shl), [SHIFT_SAR] = ROW(sar),
};

/* ---- read, modify, write --------------------------------------------------------------------- */

/* *p == old ? *p = new : old = *p, for any alignment. */
static bool compare_swap(void *p, unsigned size, uint64_t *old, uint64_t new)
{
    bool done;

    switch (size) {
    case 1:
        asm volatile("lock cmpxchgb %b3, %1" : "=@cce"(done), "+m"(*(uint8_t *)p), "+a"(*old)
                     : "r"(new) : "memory");
        break;
    case 2:
        asm volatile("lock cmpxchgw %w3, %1" : "=@cce"(done), "+m"(*(uint16_t *)p), "+a"(*old)
                     : "r"(new) : "memory");
        break;
    case 4:
        asm volatile("lock cmpxchgl %k3, %1" : "=@cce"(done), "+m"(*(uint32_t *)p), "+a"(*old)
                     : "r"(new) : "memory");
        break;
    default:
        asm volatile("lock cmpxchgq %q3, %1" : "=@cce"(done), "+m"(*(uint64_t *)p), "+a"(*old)
                     : "r"(new) : "memory");
        break;
    }
    return done;
}

uint64_t rmw_at(struct soft_vp *vp, uint64_t va, bool lock, unsigned size, alu_fn *fn, uint64_t b)
{
    void *p = mem_rmw_begin(vp, va, size);
    uint64_t old = load_n(p, size);
    uint16_t f = FLAGS;

    if (lock) {
        uint64_t new;

        do {
            f = FLAGS;
            new = fn(old, b, &f);
        } while (!compare_swap(p, size, &old, new));
    } else {
        store_n(p, size, fn(old, b, &f));
    }
    mem_rmw_end(vp);
    FLAGS = f;
    return old;
}

uint64_t rmw(struct soft_vp *vp, const struct insn *in, unsigned size, alu_fn *fn, uint64_t b)
{
    uint64_t old;
    uint16_t f = FLAGS;

    if (in->mod != 3)
        return rmw_at(vp, insn_address(vp, in, size, true), in->prefixes & PFX_LOCK, size, fn, b);
    old = insn_reg(vp, in, in->rm, size);
    insn_set_reg(vp, in, in->rm, size, fn(old, b, &f));
    FLAGS = f;
    return old;
}

/* ---- the eight of arithmetic and logic ------------------------------------------------------- */

static void alu_rm(struct soft_vp *vp, const struct insn *in, unsigned op, unsigned size, uint64_t b)
{
    alu_fn *fn = alu_table[op][log2_size(size)];
    uint16_t f;

    if (op != ALU_CMP && op != ALU_TEST) {
        rmw(vp, in, size, fn, b);
        return;
    }
    uint64_t a = insn_rm(vp, in, size);
    f = FLAGS;
    fn(a, b, &f);
    FLAGS = f;
}

void int_alu_rm_r(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);

    alu_rm(vp, in, in->opcode >> 3, size, insn_reg(vp, in, in->reg, size));
}

static void alu_reg(struct soft_vp *vp, const struct insn *in, unsigned reg, unsigned op,
                    unsigned size, uint64_t b)
{
    uint16_t f = FLAGS;
    uint64_t v = alu_table[op][log2_size(size)](insn_reg(vp, in, reg, size), b, &f);

    if (op != ALU_CMP && op != ALU_TEST)
        insn_set_reg(vp, in, reg, size, v);
    FLAGS = f;
}

void int_alu_r_rm(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);
    uint64_t b = insn_rm(vp, in, size);

    alu_reg(vp, in, in->reg, in->opcode >> 3, size, b);
}

void int_alu_a_imm(struct soft_vp *vp, const struct insn *in)
{
    alu_reg(vp, in, RAX, in->opcode >> 3, width(in), in->imm);
}

void int_alu_rm_imm(struct soft_vp *vp, const struct insn *in)
{
    alu_rm(vp, in, in->reg & 7, width(in), in->imm);
}

void int_test_rm_r(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);

    alu_rm(vp, in, ALU_TEST, size, insn_reg(vp, in, in->reg, size));
}

void int_test_a_imm(struct soft_vp *vp, const struct insn *in)
{
    alu_reg(vp, in, RAX, ALU_TEST, width(in), in->imm);
}

void int_incdec_rm(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);

    rmw(vp, in, size, alu_table[in->reg & 1 ? ALU_DEC : ALU_INC][log2_size(size)], 0);
}

void int_incdec_r(struct soft_vp *vp, const struct insn *in)
{
    alu_reg(vp, in, in->opcode & 7, in->opcode & 8 ? ALU_DEC : ALU_INC, in->op_size, 0);
}

/* ---- multiplication and division ------------------------------------------------------------- */

#define MUL_ASM(insn, sfx, mod)                                                              \
    asm(insn sfx " %" mod "3\n\tmov %%rax, %2\n\t" ASM_FLAGS_OUT                             \
        : "+a"(a), "+d"(d), "=&r"(lo) : "r"(b) : "cc")

/* RDX:RAX = RAX * b; flags as the host leaves them. */
static void mul(struct soft_vp *vp, unsigned size, uint64_t b, bool is_signed)
{
    uint64_t a = vp->gpr[RAX], d = vp->gpr[RDX], lo;

    switch (size * 2 + is_signed) {
    case 2: MUL_ASM("mul", "b", "b"); break;
    case 3: MUL_ASM("imul", "b", "b"); break;
    case 4: MUL_ASM("mul", "w", "w"); break;
    case 5: MUL_ASM("imul", "w", "w"); break;
    case 8: MUL_ASM("mul", "l", "k"); break;
    case 9: MUL_ASM("imul", "l", "k"); break;
    case 16: MUL_ASM("mul", "q", "q"); break;
    default: MUL_ASM("imul", "q", "q"); break;
    }
    FLAGS = (uint16_t)a;
    vp->gpr[RAX] = lo; /* 8 and 16 bits left the rest as it was */
    vp->gpr[RDX] = d;
}

/* Quotient and remainder of hi:lo by b, all of 'bits' bits and unsigned; false: does not fit. */
static bool divide(uint64_t hi, uint64_t lo, uint64_t b, unsigned bits, uint64_t *q, uint64_t *r)
{
    if (bits == 64) {
        if (hi >= b)
            return false;
        asm("divq %4" : "=a"(*q), "=d"(*r) : "0"(lo), "1"(hi), "r"(b) : "cc");
        return true;
    }
    uint64_t n = hi << bits | lo;
    if (!b || n / b >> bits)
        return false;
    *q = n / b;
    *r = n % b;
    return true;
}

/* As IDIV: by magnitudes, then signs. */
static bool divide_signed(uint64_t hi, uint64_t lo, uint64_t b, unsigned bits, uint64_t *q,
                          uint64_t *r)
{
    uint64_t mask = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    bool neg_n = hi >> (bits - 1) & 1, neg_b = b >> (bits - 1) & 1;
    uint64_t limit = UINT64_C(1) << (bits - 1);

    if (neg_n) {
        lo = -lo & mask;
        hi = (~hi + !lo) & mask;
    }
    if (!divide(hi, lo, neg_b ? -b & mask : b, bits, q, r))
        return false;
    if (neg_n != neg_b ? *q > limit : *q >= limit)
        return false;
    if (neg_n != neg_b)
        *q = -*q;
    if (neg_n)
        *r = -*r;
    return true;
}

static void div_rm(struct soft_vp *vp, const struct insn *in, unsigned size, uint64_t b,
                   bool is_signed)
{
    unsigned bits = size * 8;
    uint64_t lo = insn_reg(vp, in, RAX, size), hi, q, r;

    hi = size == 1 ? vp->gpr[RAX] >> 8 & 0xff : insn_reg(vp, in, RDX, size);
    if (!(is_signed ? divide_signed(hi, lo, b, bits, &q, &r) : divide(hi, lo, b, bits, &q, &r)))
        soft_raise(vp, EXC_DE);
    if (size == 1) {
        R16(RAX) = (uint16_t)((q & 0xff) | r << 8);
        return;
    }
    insn_set_reg(vp, in, RAX, size, q);
    insn_set_reg(vp, in, RDX, size, r);
}

void int_group3(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in), op = in->reg & 7;

    switch (op) {
    case 0:
    case 1: alu_rm(vp, in, ALU_TEST, size, in->imm); break;
    case 2: rmw(vp, in, size, alu_table[ALU_NOT][log2_size(size)], 0); break;
    case 3: rmw(vp, in, size, alu_table[ALU_NEG][log2_size(size)], 0); break;
    case 4:
    case 5: mul(vp, size, insn_rm(vp, in, size), op == 5); break;
    default: div_rm(vp, in, size, insn_rm(vp, in, size), op == 7); break;
    }
}

static void imul_to(struct soft_vp *vp, const struct insn *in, uint64_t a, uint64_t b)
{
    uint64_t f;

    switch (in->op_size) {
    case 2:
        asm("imulw %w2, %w0\n\t" ASM_FLAGS_OUT : "+r"(a), "=&a"(f) : "r"(b) : "cc");
        break;
    case 4:
        asm("imull %k2, %k0\n\t" ASM_FLAGS_OUT : "+r"(a), "=&a"(f) : "r"(b) : "cc");
        break;
    default:
        asm("imulq %2, %0\n\t" ASM_FLAGS_OUT : "+r"(a), "=&a"(f) : "r"(b) : "cc");
        break;
    }
    insn_set_reg(vp, in, in->reg, in->op_size, a);
    FLAGS = (uint16_t)f;
}

void int_imul2(struct soft_vp *vp, const struct insn *in)
{
    uint64_t b = insn_rm(vp, in, in->op_size);

    imul_to(vp, in, insn_reg(vp, in, in->reg, in->op_size), b);
}

void int_imul3(struct soft_vp *vp, const struct insn *in)
{
    imul_to(vp, in, insn_rm(vp, in, in->op_size), in->imm);
}

/* ---- shifts ---------------------------------------------------------------------------------- */

static void shift(struct soft_vp *vp, const struct insn *in, uint64_t count)
{
    unsigned size = width(in);

    rmw(vp, in, size, shift_table[in->reg & 7][log2_size(size)], count);
}

void int_shift_imm(struct soft_vp *vp, const struct insn *in)
{
    shift(vp, in, in->imm & 0xff);
}

void int_shift_1(struct soft_vp *vp, const struct insn *in)
{
    shift(vp, in, 1);
}

void int_shift_cl(struct soft_vp *vp, const struct insn *in)
{
    shift(vp, in, vp->gpr[RCX] & 0xff);
}

#define DOUBLE_ASM(insn, sfx, mod)                                                           \
    asm(ASM_FLAGS_IN insn sfx " %%cl, %" mod "2, %" mod "0\n\t" ASM_FLAGS_OUT                \
        : "+r"(a), "+a"(f) : "r"(b), "c"(count) : "cc")

static void shift_double(struct soft_vp *vp, const struct insn *in, uint64_t count)
{
    bool right = in->opcode & 8;
    uint64_t f = FLAGS, b = insn_reg(vp, in, in->reg, in->op_size), va = 0, a;

    if (in->mod == 3) {
        a = insn_reg(vp, in, in->rm, in->op_size);
    } else {
        va = insn_address(vp, in, in->op_size, true);
        mem_probe_write(vp, va, in->op_size);
        a = mem_load(vp, va, in->op_size);
    }
    switch (in->op_size * 2 + right) {
    case 4: DOUBLE_ASM("shld", "w", "w"); break;
    case 5: DOUBLE_ASM("shrd", "w", "w"); break;
    case 8: DOUBLE_ASM("shld", "l", "k"); break;
    case 9: DOUBLE_ASM("shrd", "l", "k"); break;
    case 16: DOUBLE_ASM("shld", "q", "q"); break;
    default: DOUBLE_ASM("shrd", "q", "q"); break;
    }
    if (in->mod == 3)
        insn_set_reg(vp, in, in->rm, in->op_size, a);
    else
        mem_store(vp, va, in->op_size, a);
    FLAGS = (uint16_t)f;
}

void int_shld_imm(struct soft_vp *vp, const struct insn *in)
{
    shift_double(vp, in, in->imm & 0xff);
}

void int_shld_cl(struct soft_vp *vp, const struct insn *in)
{
    shift_double(vp, in, vp->gpr[RCX] & 0xff);
}

/* ---- BCD: SDM's pseudo code ------------------------------------------------------------------ */

static uint16_t flags_of_byte(uint8_t v)
{
    uint16_t f = 0;

    if (!v)
        f |= LF_ZF;
    if (v & 0x80)
        f |= LF_SF;
    if (!(__builtin_popcount(v) & 1))
        f |= LF_PF;
    return f;
}

static void decimal_adjust(struct soft_vp *vp, bool subtract) /* DAA, DAS */
{
    uint8_t old = R8(0), al = old;
    bool cf = FLAGS & LF_CF, carry = false, af = false;

    if ((old & 15) > 9 || (FLAGS & LF_AF)) {
        carry = cf || (subtract ? old < 6 : old > 0xf9);
        al = (uint8_t)(subtract ? al - 6 : al + 6);
        af = true;
    }
    if (old > 0x99 || cf) {
        al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
        carry = true;
    }
    R8(0) = al;
    FLAGS = (uint16_t)(flags_of_byte(al) | (carry ? LF_CF : 0) | (af ? LF_AF : 0));
}

static void ascii_adjust(struct soft_vp *vp, bool subtract) /* AAA, AAS */
{
    bool adjust = (R8(0) & 15) > 9 || (FLAGS & LF_AF);

    if (adjust)
        R16(RAX) = (uint16_t)(subtract ? R16(RAX) - 0x106 : R16(RAX) + 0x106);
    R8(0) &= 15;
    FLAGS = (uint16_t)(flags_of_byte(R8(0)) | (adjust ? LF_CF | LF_AF : 0));
}

void int_bcd(struct soft_vp *vp, const struct insn *in)
{
    uint8_t base = (uint8_t)in->imm;

    switch (in->opcode) {
    case 0x27: decimal_adjust(vp, false); break;
    case 0x2f: decimal_adjust(vp, true); break;
    case 0x37: ascii_adjust(vp, false); break;
    case 0x3f: ascii_adjust(vp, true); break;
    case 0xd4: /* AAM */
        if (!base)
            soft_raise(vp, EXC_DE);
        R16(RAX) = (uint16_t)(R8(0) / base << 8 | R8(0) % base);
        FLAGS = flags_of_byte(R8(0));
        break;
    default: /* AAD */
        R16(RAX) = (uint8_t)(R8(0) + R8(1) * base);
        FLAGS = flags_of_byte(R8(0));
        break;
    }
}
