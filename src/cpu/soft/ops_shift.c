/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_shift.c - shifts and rotates of registers, multiplication, bit tests and scans, BSWAP. */
#include "cpu/soft/ops_list.h"
#include "cpu/soft/ops_mem.h"

/* ---- shifts ---------------------------------------------------------------------------------- */

/* Flags that an operation leaves alone come from the guest's: all go in before, all come out after. */
#define HOST_SHIFT(insn, sz, a, count)                                                       \
    do {                                                                                     \
        uint64_t f_ = FLAGS;                                                                 \
        asm(ASM_FLAGS_IN insn #sz " %%cl, %" MOD_##sz "0\n\t" ASM_FLAGS_OUT                  \
            : "+r"(a), "+a"(f_) : "c"(count) : "cc");                                        \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
#define HOST_SHIFT_QUIET(insn, sz, a, count) \
    asm(insn #sz " %%cl, %" MOD_##sz "0" : "+r"(a) : "c"(count) : "cc")

#define SHIFT_FORM(name, sz, act, insn, count)                                               \
    static HANDLER(name)                                                                     \
    {                                                                                        \
        unsigned r = o->r;                                                                   \
        TYPE_##sz a = GET_##sz(r);                                                           \
        uint64_t c = count;                                                                  \
                                                                                             \
        act(insn, sz, a, c);                                                                 \
        SET_##sz(r, a);                                                                      \
        NEXT;                                                                                \
    }
#define SHIFTS(insn, sz)                                                                     \
    SHIFT_FORM(op_##insn##_##sz##_i, sz, HOST_SHIFT, #insn, o->imm)                          \
    SHIFT_FORM(op_##insn##_##sz##_i_quiet, sz, HOST_SHIFT_QUIET, #insn, o->imm)              \
    SHIFT_FORM(op_##insn##_##sz##_cl, sz, HOST_SHIFT, #insn, R8(RCX * 8))                    \
    SHIFT_FORM(op_##insn##_##sz##_cl_quiet, sz, HOST_SHIFT_QUIET, #insn, R8(RCX * 8))
#define SIZES(insn) SHIFTS(insn, b) SHIFTS(insn, w) SHIFTS(insn, l) SHIFTS(insn, q)
SIZES(rol)
SIZES(ror)
SIZES(shl)
SIZES(shr)
SIZES(sar)

#define PAIR(insn, sz, form) { op_##insn##_##sz##_##form, op_##insn##_##sz##_##form##_quiet }
#define ROW(insn, form) \
    { PAIR(insn, b, form), PAIR(insn, w, form), PAIR(insn, l, form), PAIR(insn, q, form) }
op_fn *const op_shift_i[8][4][2] = {
    [0] = ROW(rol, i), [1] = ROW(ror, i), [4] = ROW(shl, i), [5] = ROW(shr, i), [6] = ROW(shl, i),
    [7] = ROW(sar, i),
};
op_fn *const op_shift_cl[8][4][2] = {
    [0] = ROW(rol, cl), [1] = ROW(ror, cl), [4] = ROW(shl, cl), [5] = ROW(shr, cl),
    [6] = ROW(shl, cl), [7] = ROW(sar, cl),
};

/* ---- multiplication -------------------------------------------------------------------------- */

#define QUIET_IMUL(sz, a, b) a = (TYPE_##sz)(a * b)
#define LOUD_IMUL(sz, a, b)  HOST2("imul", sz, a, b)
#define IMULS(sz, quiet, act)                                                                \
    static HANDLER(op_imul_##sz##_rr##quiet)                                                 \
    {                                                                                        \
        TYPE_##sz a = GET_##sz(o->r), b = GET_##sz(o->x);                                    \
                                                                                             \
        act(sz, a, b);                                                                       \
        SET_##sz(o->r, a);                                                                   \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(op_imul_##sz##_rri##quiet)                                                \
    {                                                                                        \
        TYPE_##sz a = GET_##sz(o->x), b = (TYPE_##sz)o->imm;                                 \
                                                                                             \
        act(sz, a, b);                                                                       \
        SET_##sz(o->r, a);                                                                   \
        NEXT;                                                                                \
    }                                                                                        \
    LOAD_HANDLER(op_imul_##sz##_rm##quiet, sz, EA_b, TYPE_##sz a = GET_##sz(o->r);           \
                 act(sz, a, v); SET_##sz(o->r, a))
IMULS(l, , LOUD_IMUL)
IMULS(l, _quiet, QUIET_IMUL)
IMULS(q, , LOUD_IMUL)
IMULS(q, _quiet, QUIET_IMUL)

op_fn *const op_imul_rr[4][2] = { [2] = { op_imul_l_rr, op_imul_l_rr_quiet },
                                  [3] = { op_imul_q_rr, op_imul_q_rr_quiet } };
op_fn *const op_imul_rri[4][2] = { [2] = { op_imul_l_rri, op_imul_l_rri_quiet },
                                   [3] = { op_imul_q_rri, op_imul_q_rri_quiet } };
op_fn *const op_imul_rm[4][2] = { [2] = { op_imul_l_rm, op_imul_l_rm_quiet },
                                  [3] = { op_imul_q_rm, op_imul_q_rm_quiet } };

#define MULS(insn, sz)                                                                       \
    static HANDLER(op_##insn##1_##sz)                                                        \
    {                                                                                        \
        uint64_t a = R64(RAX), d, b = R64(o->r), lo;                                         \
                                                                                             \
        asm(#insn #sz " %" MOD_##sz "3\n\tmov %%rax, %2\n\t" ASM_FLAGS_OUT                   \
            : "+a"(a), "=&d"(d), "=&r"(lo) : "r"(b) : "cc");                                 \
        FLAGS = (uint16_t)a;                                                                 \
        R64(RAX) = lo;                                                                       \
        R64(RDX) = d;                                                                        \
        NEXT;                                                                                \
    }
MULS(mul, l)
MULS(mul, q)
MULS(imul, l)
MULS(imul, q)
op_fn *const op_mul_r[2][4] = { { [2] = op_mul1_l, op_mul1_q }, { [2] = op_imul1_l, op_imul1_q } };

/* ---- bits ------------------------------------------------------------------------------------ */

#define HOST_BIT(insn, sz, a, b)                                                             \
    do {                                                                                     \
        uint64_t f_ = FLAGS;                                                                 \
        asm(ASM_FLAGS_IN insn #sz " %" MOD_##sz "2, %" MOD_##sz "1\n\t" ASM_FLAGS_OUT        \
            : "+a"(f_) : "r"(a), "r"(b) : "cc");                                             \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
#define HOST_SCAN(insn, sz, a, b)                                                            \
    do {                                                                                     \
        uint64_t f_ = FLAGS;                                                                 \
        asm(ASM_FLAGS_IN insn #sz " %" MOD_##sz "2, %" MOD_##sz "0\n\t" ASM_FLAGS_OUT        \
            : "+r"(a), "+a"(f_) : "r"(b) : "cc");                                            \
        FLAGS = (uint16_t)f_;                                                                \
    } while (0)
#define BITS(sz)                                                                             \
    static HANDLER(op_bt_##sz##_ri)                                                          \
    {                                                                                        \
        TYPE_##sz a = GET_##sz(o->r), b = (TYPE_##sz)o->imm;                                 \
                                                                                             \
        HOST_BIT("bt", sz, a, b);                                                            \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(op_bt_##sz##_rr)                                                          \
    {                                                                                        \
        TYPE_##sz a = GET_##sz(o->r), b = GET_##sz(o->x);                                    \
                                                                                             \
        HOST_BIT("bt", sz, a, b);                                                            \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(op_bsf_##sz)                                                              \
    {                                                                                        \
        uint64_t a = R64(o->r);                                                              \
        TYPE_##sz b = GET_##sz(o->x);                                                        \
                                                                                             \
        HOST_SCAN("bsf", sz, a, b);                                                          \
        R64(o->r) = a; /* of 0: all as it was */                                             \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(op_bsr_##sz)                                                              \
    {                                                                                        \
        uint64_t a = R64(o->r);                                                              \
        TYPE_##sz b = GET_##sz(o->x);                                                        \
                                                                                             \
        HOST_SCAN("bsr", sz, a, b);                                                          \
        R64(o->r) = a;                                                                       \
        NEXT;                                                                                \
    }
BITS(l)
BITS(q)
op_fn *const op_bit_ri[4] = { [2] = op_bt_l_ri, op_bt_q_ri };
op_fn *const op_bit_rr[4] = { [2] = op_bt_l_rr, op_bt_q_rr };
op_fn *const op_scan[2][4] = { { [2] = op_bsf_l, op_bsf_q }, { [2] = op_bsr_l, op_bsr_q } };

HANDLER(op_bswap_l)
{
    R64(o->r) = __builtin_bswap32(R32(o->r));
    NEXT;
}

HANDLER(op_bswap_q)
{
    R64(o->r) = __builtin_bswap64(R64(o->r));
    NEXT;
}
