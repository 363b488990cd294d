/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_alu.c - ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT: all sizes and forms.
 *
 * Names: op_KIND_SIZE_FORM, and op_KIND_SIZE_FORM_quiet where flags are not kept.  See ops_mem.h. */
#include "cpu/soft/ops_list.h"
#include "cpu/soft/ops_mem.h"

#define IMM(sz) ((TYPE_##sz)o->imm)

/* Form by form: 'act' is a statement on a (left, changed) and b. */
#define ALU_FORMS(name, sz, act)                                                             \
    static HANDLER(name##_rr)                                                                \
    {                                                                                        \
        unsigned r = o->r;                                                                   \
        TYPE_##sz a = GET_##sz(r), b = GET_##sz(o->x);                                       \
                                                                                             \
        act(sz, a, b);                                                                       \
        SET_##sz(r, a);                                                                      \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(name##_ri)                                                                \
    {                                                                                        \
        unsigned r = o->r;                                                                   \
        TYPE_##sz a = GET_##sz(r), b = IMM(sz);                                              \
                                                                                             \
        act(sz, a, b);                                                                       \
        SET_##sz(r, a);                                                                      \
        NEXT;                                                                                \
    }                                                                                        \
    LOAD_HANDLER(name##_rm_b, sz, EA_b, unsigned r = o->r; TYPE_##sz a = GET_##sz(r); \
                 act(sz, a, v); SET_##sz(r, a))                                                      \
    LOAD_HANDLER(name##_rm_x, sz, EA_x, unsigned r = o->r; TYPE_##sz a = GET_##sz(r); \
                 act(sz, a, v); SET_##sz(r, a))                                                      \
    RMW_HANDLER(name##_mr_b, sz, EA_b, TYPE_##sz b = GET_##sz(o->r); act(sz, v, b))   \
    RMW_HANDLER(name##_mr_x, sz, EA_x, TYPE_##sz b = GET_##sz(o->r); act(sz, v, b))   \
    RMW_HANDLER(name##_mi_b, sz, EA_b, TYPE_##sz b = IMM(sz); act(sz, v, b))

/* Comparisons write nothing. */
#define CMP_FORMS(name, sz, act)                                                             \
    static HANDLER(name##_rr)                                                                \
    {                                                                                        \
        TYPE_##sz a = GET_##sz(o->r), b = GET_##sz(o->x);                                    \
                                                                                             \
        act(sz, a, b);                                                                       \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(name##_ri)                                                                \
    {                                                                                        \
        TYPE_##sz a = GET_##sz(o->r), b = IMM(sz);                                           \
                                                                                             \
        act(sz, a, b);                                                                       \
        NEXT;                                                                                \
    }                                                                                        \
    LOAD_HANDLER(name##_rm_b, sz, EA_b, TYPE_##sz a = GET_##sz(o->r); act(sz, a, v))  \
    LOAD_HANDLER(name##_rm_x, sz, EA_x, TYPE_##sz a = GET_##sz(o->r); act(sz, a, v))  \
    LOAD_HANDLER(name##_mr_b, sz, EA_b, TYPE_##sz b = GET_##sz(o->r); act(sz, v, b))  \
    LOAD_HANDLER(name##_mr_x, sz, EA_x, TYPE_##sz b = GET_##sz(o->r); act(sz, v, b))  \
    LOAD_HANDLER(name##_mi_b, sz, EA_b, TYPE_##sz b = IMM(sz); act(sz, v, b))

#define LOUD_add(sz, a, b)  HOST2("add", sz, a, b)
#define LOUD_or(sz, a, b)   HOST2("or", sz, a, b)
#define LOUD_adc(sz, a, b)  HOST2_CARRY("adc", sz, a, b)
#define LOUD_sbb(sz, a, b)  HOST2_CARRY("sbb", sz, a, b)
#define LOUD_and(sz, a, b)  HOST2("and", sz, a, b)
#define LOUD_sub(sz, a, b)  HOST2("sub", sz, a, b)
#define LOUD_xor(sz, a, b)  HOST2("xor", sz, a, b)
#define LOUD_cmp(sz, a, b)  HOST_CMP("cmp", sz, a, b)
#define LOUD_test(sz, a, b) HOST_CMP("test", sz, a, b)
#define QUIET_add(sz, a, b) a = (TYPE_##sz)(a + b)
#define QUIET_or(sz, a, b)  a = (TYPE_##sz)(a | b)
#define QUIET_adc(sz, a, b) a = (TYPE_##sz)(a + b + CARRY)
#define QUIET_sbb(sz, a, b) a = (TYPE_##sz)(a - b - CARRY)
#define QUIET_and(sz, a, b) a = (TYPE_##sz)(a & b)
#define QUIET_sub(sz, a, b) a = (TYPE_##sz)(a - b)
#define QUIET_xor(sz, a, b) a = (TYPE_##sz)(a ^ b)
#define QUIET_cmp(sz, a, b) ((void)(a), (void)(b))
#define QUIET_test(sz, a, b) ((void)(a), (void)(b))

#define BOTH(forms, kind, sz)                       \
    forms(op_##kind##_##sz, sz, LOUD_##kind)        \
    forms(op_##kind##_##sz##_quiet, sz, QUIET_##kind)
#define KIND(forms, kind) \
    BOTH(forms, kind, b) BOTH(forms, kind, w) BOTH(forms, kind, l) BOTH(forms, kind, q)

KIND(ALU_FORMS, add)
KIND(ALU_FORMS, or)
KIND(ALU_FORMS, adc)
KIND(ALU_FORMS, sbb)
KIND(ALU_FORMS, and)
KIND(ALU_FORMS, sub)
KIND(ALU_FORMS, xor)
KIND(CMP_FORMS, cmp)
KIND(CMP_FORMS, test)

#define PAIR(kind, sz, form) { op_##kind##_##sz##_##form, op_##kind##_##sz##_quiet_##form }
#define ROW(kind, sz)                                                                        \
    { PAIR(kind, sz, rr), PAIR(kind, sz, ri), PAIR(kind, sz, rm_b), PAIR(kind, sz, rm_x),    \
      PAIR(kind, sz, mr_b), PAIR(kind, sz, mr_x), PAIR(kind, sz, mi_b) }
#define ROWS(kind) { ROW(kind, b), ROW(kind, w), ROW(kind, l), ROW(kind, q) }

op_fn *const op_alu[ALU_KINDS][4][FORMS][2] = {
    [K_ADD] = ROWS(add), [K_OR] = ROWS(or), [K_ADC] = ROWS(adc), [K_SBB] = ROWS(sbb),
    [K_AND] = ROWS(and), [K_SUB] = ROWS(sub), [K_XOR] = ROWS(xor), [K_CMP] = ROWS(cmp),
    [K_TEST] = ROWS(test),
};

/* ---- one operand ----------------------------------------------------------------------------- */

#define ONE_FORMS(name, sz, act)                                                             \
    static HANDLER(name##_r)                                                                 \
    {                                                                                        \
        unsigned r = o->r;                                                                   \
        TYPE_##sz a = GET_##sz(r);                                                           \
                                                                                             \
        act(sz, a);                                                                          \
        SET_##sz(r, a);                                                                      \
        NEXT;                                                                                \
    }                                                                                        \
    RMW_HANDLER(name##_m, sz, EA_b, act(sz, v))

#define LOUD_inc(sz, a)  HOST1_CARRY("inc", sz, a)
#define LOUD_dec(sz, a)  HOST1_CARRY("dec", sz, a)
#define LOUD_neg(sz, a)  HOST1("neg", sz, a)
#define LOUD_not(sz, a)  a = (TYPE_##sz)~a
#define QUIET_inc(sz, a) a = (TYPE_##sz)(a + 1)
#define QUIET_dec(sz, a) a = (TYPE_##sz)(a - 1)
#define QUIET_neg(sz, a) a = (TYPE_##sz)-a
#define QUIET_not(sz, a) a = (TYPE_##sz)~a

KIND(ONE_FORMS, inc)
KIND(ONE_FORMS, dec)
KIND(ONE_FORMS, neg)
KIND(ONE_FORMS, not)

#define ONE_ROW(kind, form) \
    { PAIR(kind, b, form), PAIR(kind, w, form), PAIR(kind, l, form), PAIR(kind, q, form) }
op_fn *const op_one_r[ONE_KINDS][4][2] = {
    [K_INC] = ONE_ROW(inc, r), [K_DEC] = ONE_ROW(dec, r), [K_NEG] = ONE_ROW(neg, r),
    [K_NOT] = ONE_ROW(not, r),
};
op_fn *const op_one_m[ONE_KINDS][4][2] = {
    [K_INC] = ONE_ROW(inc, m), [K_DEC] = ONE_ROW(dec, m), [K_NEG] = ONE_ROW(neg, m),
    [K_NOT] = ONE_ROW(not, m),
};
