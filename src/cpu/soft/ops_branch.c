/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_branch.c - conditional branches, alone and together with the comparison before them; CALL, RET,
 * indirect jumps of flat modes.
 *
 * A fused handler stands for two operations: it compares by its own operands, and takes the exit that
 * the operation behind it is. */
#include "cpu/soft/ops_list.h"
#include "cpu/soft/ops_flow.h"
#include "cpu/soft/ops_mem.h"

#define CONDITIONS(X)                                                                        \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(a) X(b) X(c) X(d) X(e) X(f)

#define JCC(cc)                                                                              \
    static HANDLER(op_jcc_##cc)                                                              \
    {                                                                                        \
        if (flags_cond(FLAGS, 0x##cc))                                                       \
            return take_exit(vp, o);                                                         \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(op_skip_##cc)                                                             \
    {                                                                                        \
        if (flags_cond(FLAGS, 0x##cc))                                                       \
            NEXT;                                                                            \
        GOTO(o + 2);                                                                         \
    }
CONDITIONS(JCC)
#define JCC_ROW(cc)  [0x##cc] = op_jcc_##cc,
#define SKIP_ROW(cc) [0x##cc] = op_skip_##cc,
op_fn *const op_jcc[16] = { CONDITIONS(JCC_ROW) };
op_fn *const op_skip[16] = { CONDITIONS(SKIP_ROW) };

/* ---- comparison and branch ------------------------------------------------------------------- */

/* The conditions worth a handler: not overflow, not parity. */
#define FUSED_CONDITIONS(X, ...)                                                             \
    X(2, b, __VA_ARGS__) X(3, ae, __VA_ARGS__) X(4, e, __VA_ARGS__) X(5, ne, __VA_ARGS__)    \
    X(6, be, __VA_ARGS__) X(7, a, __VA_ARGS__) X(8, s, __VA_ARGS__) X(9, ns, __VA_ARGS__)    \
    X(c, l, __VA_ARGS__) X(d, ge, __VA_ARGS__) X(e, le, __VA_ARGS__) X(f, g, __VA_ARGS__)

#define TAKE_IF(taken)                                                                       \
    do {                                                                                     \
        o++;                                                                                 \
        if (taken)                                                                           \
            return take_exit(vp, o);                                                         \
        NEXT;                                                                                \
    } while (0)

#define FUSE_CMP(cc, cond, insn, sz, a, b)                                                   \
    do {                                                                                     \
        uint64_t f_;                                                                         \
        bool taken_;                                                                         \
        asm(#insn #sz " %" MOD_##sz "3, %" MOD_##sz "2\n\t" ASM_FLAGS_OUT                    \
            : "=&a"(f_), "=@cc" #cond(taken_) : "r"(a), "r"(b));                             \
        FLAGS = (uint16_t)f_;                                                                \
        TAKE_IF(taken_);                                                                     \
    } while (0)

#define FUSED_RR(cc, cond, insn, sz)                                                         \
    static HANDLER(op_##insn##_##sz##_rr_j##cc)                                              \
    {                                                                                        \
        FUSE_CMP(cc, cond, insn, sz, GET_##sz(o->r), GET_##sz(o->x));                        \
    }
#define FUSED_RI(cc, cond, insn, sz)                                                         \
    static HANDLER(op_##insn##_##sz##_ri_j##cc)                                              \
    {                                                                                        \
        FUSE_CMP(cc, cond, insn, sz, GET_##sz(o->r), (TYPE_##sz)o->imm);                     \
    }
/* On a TLB miss the two go apart again. */
#define FUSED_LOAD(cc, cond, insn, sz, form, kind, fform, left, right)                       \
    COLD static HANDLER(op_##insn##_##sz##_##form##_j##cc##_miss)                            \
    {                                                                                        \
        GOTO_HANDLER(op_alu[kind][S_##sz][fform][0]);                                        \
    }                                                                                        \
    static HANDLER(op_##insn##_##sz##_##form##_j##cc)                                        \
    {                                                                                        \
        const void *p;                                                                       \
        TYPE_##sz v;                                                                         \
                                                                                             \
        TLB_OR(read, p, EA_b, sz, op_##insn##_##sz##_##form##_j##cc##_miss);                 \
        v = *(const volatile TYPE_##sz *)p;                                                  \
        FUSE_CMP(cc, cond, insn, sz, left, right);                                           \
    }
#define GOTO_HANDLER(fn) return (fn)(vp, o)
#define S_b 0
#define S_w 1
#define S_l 2
#define S_q 3
#define FUSED_MI_cmp(cc, cond, sz) \
    FUSED_LOAD(cc, cond, cmp, sz, mi_b, K_CMP, FORM_MI_B, v, (TYPE_##sz)o->imm)
#define FUSED_MI_test(cc, cond, sz) \
    FUSED_LOAD(cc, cond, test, sz, mi_b, K_TEST, FORM_MI_B, v, (TYPE_##sz)o->imm)
#define FUSED_RM_cmp(cc, cond, sz) \
    FUSED_LOAD(cc, cond, cmp, sz, rm_b, K_CMP, FORM_RM_B, GET_##sz(o->r), v)
#define FUSED_MR_cmp(cc, cond, sz) \
    FUSED_LOAD(cc, cond, cmp, sz, mr_b, K_CMP, FORM_MR_B, v, GET_##sz(o->r))

#define FUSED_ALL(X) /* X(shape, insn, size) */                                              \
    X(RR, cmp, b) X(RR, cmp, l) X(RR, cmp, q) X(RI, cmp, b) X(RI, cmp, w) X(RI, cmp, l)      \
    X(RI, cmp, q) X(RR, test, b) X(RR, test, l) X(RR, test, q) X(RI, test, b) X(RI, test, l)
#define FUSED_DEFINE(shape, insn, sz) FUSED_CONDITIONS(FUSED_##shape, insn, sz)
FUSED_ALL(FUSED_DEFINE)
#define FUSED_MEMORY(X)                                                                      \
    X(MI_cmp, b) X(MI_cmp, w) X(MI_cmp, l) X(MI_cmp, q) X(MI_test, b) X(MI_test, l)          \
    X(RM_cmp, b) X(RM_cmp, l) X(RM_cmp, q) X(MR_cmp, b) X(MR_cmp, l) X(MR_cmp, q)
#define FUSED_MEMORY_DEFINE(shape, sz) FUSED_CONDITIONS(FUSED_##shape, sz)
FUSED_MEMORY(FUSED_MEMORY_DEFINE)

/* Arithmetic that writes a register, and the branch on its result. */
#define FUSE_ALU(cond, insn, sz, b)                                                          \
    do {                                                                                     \
        unsigned r = o->r;                                                                   \
        uint64_t f_;                                                                         \
        TYPE_##sz a = GET_##sz(r);                                                           \
        bool taken_;                                                                         \
        asm(#insn #sz " %" MOD_##sz "3, %" MOD_##sz "0\n\t" ASM_FLAGS_OUT                    \
            : "+r"(a), "=&a"(f_), "=@cc" #cond(taken_) : "r"(b));                            \
        FLAGS = (uint16_t)f_;                                                                \
        SET_##sz(r, a);                                                                      \
        TAKE_IF(taken_);                                                                     \
    } while (0)
#define FUSE_ONE(cond, insn, sz)                                                             \
    do {                                                                                     \
        unsigned r = o->r;                                                                   \
        uint64_t f_;                                                                         \
        TYPE_##sz a = GET_##sz(r);                                                           \
        bool taken_;                                                                         \
        asm("btw $8, %3\n\t" #insn #sz " %" MOD_##sz "0\n\t" ASM_FLAGS_OUT                   \
            : "+r"(a), "=&a"(f_), "=@cc" #cond(taken_) : "m"(FLAGS));                        \
        FLAGS = (uint16_t)f_;                                                                \
        SET_##sz(r, a);                                                                      \
        TAKE_IF(taken_);                                                                     \
    } while (0)
#define FUSED_ALU_RR(cc, cond, insn, sz)                                                     \
    static HANDLER(op_##insn##_##sz##_rr_j##cc)                                              \
    {                                                                                        \
        FUSE_ALU(cond, insn, sz, GET_##sz(o->x));                                            \
    }
#define FUSED_ALU_RI(cc, cond, insn, sz)                                                     \
    static HANDLER(op_##insn##_##sz##_ri_j##cc)                                              \
    {                                                                                        \
        FUSE_ALU(cond, insn, sz, (TYPE_##sz)o->imm);                                         \
    }
#define FUSED_ONE(cc, cond, insn, sz)                                                        \
    static HANDLER(op_##insn##_##sz##_r_j##cc)                                               \
    {                                                                                        \
        FUSE_ONE(cond, insn, sz);                                                            \
    }
#define FUSED_ARITH(X)                                                                       \
    X(ALU_RI, add, l) X(ALU_RI, add, q) X(ALU_RI, sub, l) X(ALU_RI, sub, q)                  \
    X(ALU_RR, sub, l) X(ALU_RR, sub, q) X(ALU_RI, and, l) X(ALU_RI, and, q)                  \
    X(ALU_RR, and, l) X(ALU_RR, and, q) X(ALU_RR, add, l) X(ALU_RR, add, q)
#define FUSED_INCDEC(X) X(ONE, dec, l) X(ONE, dec, q) X(ONE, inc, l) X(ONE, inc, q)
FUSED_ARITH(FUSED_DEFINE)
FUSED_INCDEC(FUSED_DEFINE)

/* ---- which comparison has which fused handlers ----------------------------------------------- */

struct fused {
    op_fn *const *first; /* entry of a table in ops_list.h */
    op_fn *run[16];
};
#define COND_ENTRY(cc, cond, name) [0x##cc] = name##_j##cc,
#define FUSED_ENTRIES(name) { FUSED_CONDITIONS(COND_ENTRY, name) }

#define KIND_cmp  K_CMP
#define KIND_test K_TEST
#define KIND_add  K_ADD
#define KIND_sub  K_SUB
#define KIND_and  K_AND
#define KIND_inc  K_INC
#define KIND_dec  K_DEC
#define ENTRY_RR(insn, sz) \
    { &op_alu[KIND_##insn][S_##sz][FORM_RR][0], FUSED_ENTRIES(op_##insn##_##sz##_rr) },
#define ENTRY_RI(insn, sz) \
    { &op_alu[KIND_##insn][S_##sz][FORM_RI][0], FUSED_ENTRIES(op_##insn##_##sz##_ri) },
#define ENTRY_ALU_RR ENTRY_RR
#define ENTRY_ALU_RI ENTRY_RI
#define ENTRY_ONE(insn, sz) \
    { &op_one_r[KIND_##insn][S_##sz][0], FUSED_ENTRIES(op_##insn##_##sz##_r) },
#define ENTRY_MI_cmp(sz) \
    { &op_alu[K_CMP][S_##sz][FORM_MI_B][0], FUSED_ENTRIES(op_cmp_##sz##_mi_b) },
#define ENTRY_MI_test(sz) \
    { &op_alu[K_TEST][S_##sz][FORM_MI_B][0], FUSED_ENTRIES(op_test_##sz##_mi_b) },
#define ENTRY_RM_cmp(sz) \
    { &op_alu[K_CMP][S_##sz][FORM_RM_B][0], FUSED_ENTRIES(op_cmp_##sz##_rm_b) },
#define ENTRY_MR_cmp(sz) \
    { &op_alu[K_CMP][S_##sz][FORM_MR_B][0], FUSED_ENTRIES(op_cmp_##sz##_mr_b) },
#define ENTRY(shape, insn, sz) ENTRY_##shape(insn, sz)
#define ENTRY_MEMORY(shape, sz) ENTRY_##shape(sz)

static const struct fused fused_table[] = {
    FUSED_ALL(ENTRY) FUSED_ARITH(ENTRY) FUSED_INCDEC(ENTRY) FUSED_MEMORY(ENTRY_MEMORY)
};

op_fn *op_fused(op_fn *first, unsigned cc)
{
    for (size_t i = 0; i < ARRAY_LEN(fused_table); i++)
        if (*fused_table[i].first == first)
            return fused_table[i].run[cc];
    return NULL;
}

/* ---- CALL, RET, indirect jumps --------------------------------------------------------------- */

#define NEXT_RIP (vp->block_rip + o->off + o->len)
#define SP_q     R64(RSP)
#define SP_l     ((uint64_t)R32(RSP))

/* Push the return address, leave by 'leave'. */
#define CALL_HANDLER(name, sz, leave)                                                        \
    COLD static HANDLER(name##_slow)                                                         \
    {                                                                                        \
        uint64_t sp = (TYPE_##sz)(SP_##sz - sizeof(TYPE_##sz));                              \
                                                                                             \
        slow_push(vp, o, sp, sizeof(TYPE_##sz), NEXT_RIP);                                   \
        SET_##sz(RSP, sp);                                                                   \
        return leave(vp, o);                                                                 \
    }                                                                                        \
    static HANDLER(name)                                                                     \
    {                                                                                        \
        uint64_t sp = (TYPE_##sz)(SP_##sz - sizeof(TYPE_##sz));                              \
        TYPE_##sz *p;                                                                        \
                                                                                             \
        TLB_OR(write, p, sp, sz, name##_slow);                                               \
        *(volatile TYPE_##sz *)p = (TYPE_##sz)NEXT_RIP;                                      \
        SET_##sz(RSP, sp);                                                                   \
        return leave(vp, o);                                                                 \
    }
CALL_HANDLER(op_call_page_l, l, take_exit)
CALL_HANDLER(op_call_page_q, q, take_exit)
CALL_HANDLER(op_call_cross_l, l, take_exit_cross)
CALL_HANDLER(op_call_cross_q, q, take_exit_cross)
op_fn *const op_call_page[2] = { op_call_page_l, op_call_page_q };
op_fn *const op_call_cross[2] = { op_call_cross_l, op_call_cross_q };

/* Where an indirect branch may go. */
static inline void check_target(struct soft_vp *vp, const struct op *o, uint64_t rip)
{
    if (is_64(vp) && unlikely(!va_canonical(rip))) {
        vp->op = o;
        soft_raise_error(vp, EXC_GP, 0);
    }
}

/* CALL: a fault of the push comes first. */
static inline void check_call(struct soft_vp *vp, const struct op *o, uint64_t rip, uint64_t sp)
{
    if (is_64(vp) && unlikely(!va_canonical(rip))) {
        vp->op = o;
        if (!va_canonical(sp) || !va_canonical(sp + 7))
            soft_raise_error(vp, EXC_SS, 0);
        mem_probe_write(vp, sp, 8);
        soft_raise_error(vp, EXC_GP, 0);
    }
}

#define RET_HANDLER(sz)                                                                      \
    COLD static HANDLER(op_ret_##sz##_slow)                                                  \
    {                                                                                        \
        TYPE_##sz v = (TYPE_##sz)slow_read(vp, o, SP_##sz, sizeof v);                        \
                                                                                             \
        check_target(vp, o, v);                                                              \
        SET_##sz(RSP, SP_##sz + sizeof v + o->imm);                                          \
        vp->lazy[LAZY_LEFT] -= o->n;                                                         \
        return jump_to(vp, v);                                                               \
    }                                                                                        \
    static HANDLER(op_ret_##sz)                                                              \
    {                                                                                        \
        const void *p;                                                                       \
        TYPE_##sz v;                                                                         \
                                                                                             \
        TLB_OR(read, p, SP_##sz, sz, op_ret_##sz##_slow);                                    \
        v = *(const volatile TYPE_##sz *)p;                                                  \
        check_target(vp, o, v);                                                              \
        SET_##sz(RSP, SP_##sz + sizeof v + o->imm);                                          \
        vp->lazy[LAZY_LEFT] -= o->n;                                                         \
        return jump_to(vp, v);                                                               \
    }
RET_HANDLER(l)
RET_HANDLER(q)
op_fn *const op_ret[2] = { op_ret_l, op_ret_q };

#define JUMP_TO(value)                                                                       \
    do {                                                                                     \
        uint64_t to_ = (value);                                                              \
                                                                                             \
        check_target(vp, o, to_);                                                            \
        vp->lazy[LAZY_LEFT] -= o->n;                                                         \
        return jump_to(vp, to_);                                                             \
    } while (0)

/* LAZY_ADDR holds the target. */
static const struct op *jump_addr(struct soft_vp *vp, const struct op *o)
{
    vp->lazy[LAZY_LEFT] -= o->n;
    return jump_to(vp, vp->lazy[LAZY_ADDR]);
}

#define INDIRECT(sz)                                                                         \
    static HANDLER(op_jmp_r_##sz)                                                            \
    {                                                                                        \
        JUMP_TO(GET_##sz(o->r));                                                             \
    }                                                                                        \
    LOAD_HANDLER(op_jmp_m_##sz, sz, EA_b, JUMP_TO(v))                                        \
    CALL_HANDLER(op_call_addr_##sz, sz, jump_addr)                                           \
    static HANDLER(op_call_r_##sz)                                                           \
    {                                                                                        \
        check_call(vp, o, GET_##sz(o->r), SP_##sz - sizeof(TYPE_##sz));                      \
        vp->lazy[LAZY_ADDR] = GET_##sz(o->r);                                                \
        return op_call_addr_##sz(vp, o);                                                     \
    }                                                                                        \
    LOAD_HANDLER(op_call_m_##sz, sz, EA_b, check_call(vp, o, v, SP_##sz - sizeof(TYPE_##sz)); \
                 vp->lazy[LAZY_ADDR] = v;                                                    \
                 return op_call_addr_##sz(vp, o))
INDIRECT(l)
INDIRECT(q)
op_fn *const op_jmp_r[2] = { op_jmp_r_l, op_jmp_r_q };
op_fn *const op_jmp_m[2] = { op_jmp_m_l, op_jmp_m_q };
op_fn *const op_call_r[2] = { op_call_r_l, op_call_r_q };
op_fn *const op_call_m[2] = { op_call_m_l, op_call_m_q };
