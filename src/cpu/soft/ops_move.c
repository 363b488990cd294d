/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_move.c - moves, extensions, LEA, CMOV, SETcc, the stack, and addresses of the rarer forms. */
#include "cpu/soft/core_insn.h"
#include "cpu/soft/ops_list.h"
#include "cpu/soft/ops_mem.h"

/* ---- addresses into LAZY_ADDR ---------------------------------------------------------------- */

#define EA_OUT vp->lazy[LAZY_ADDR]

/* imm: the word of a segment base, or W_ZERO. */
HANDLER(op_ea_64)
{
    EA_OUT = EA_x + R64(o->imm);
    NEXT;
}

/* Address size 4, or 32-bit code in flat segments; FS and GS of 64-bit code. */
HANDLER(op_ea_32)
{
    EA_OUT = (uint32_t)(EA_x) + R64(o->imm);
    NEXT;
}

/* Segments that have limits: r is the segment, imm the size of the access and whether it writes. */
HANDLER(op_ea_seg)
{
    uint64_t off = (uint32_t)(EA_x);

    vp->op = o;
    EA_OUT = address_at(vp, o->r, off, o->imm & 0xff, o->imm >> 8);
    NEXT;
}

/* ---- MOV ------------------------------------------------------------------------------------- */

#define MOVES(sz)                                                                            \
    static HANDLER(op_mov_##sz##_rr)                                                         \
    {                                                                                        \
        SET_##sz(o->r, GET_##sz(o->x));                                                      \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(op_mov_##sz##_ri)                                                         \
    {                                                                                        \
        SET_##sz(o->r, (TYPE_##sz)o->imm);                                                   \
        NEXT;                                                                                \
    }                                                                                        \
    LOAD_HANDLER(op_load_##sz##_b, sz, EA_b, SET_##sz(o->r, v))                              \
    LOAD_HANDLER(op_load_##sz##_x, sz, EA_x, SET_##sz(o->r, v))                              \
    STORE_HANDLER(op_store_##sz##_b, sz, EA_b, GET_##sz(o->r))                               \
    STORE_HANDLER(op_store_##sz##_x, sz, EA_x, GET_##sz(o->r))                               \
    STORE_HANDLER(op_store_i_##sz, sz, EA_b, o->imm)
MOVES(b)
MOVES(w)
MOVES(l)
MOVES(q)

#define FOUR(p, s) { p##b##s, p##w##s, p##l##s, p##q##s }
#define PAIRS(p)                                                                             \
    { { p##b_b, p##b_x }, { p##w_b, p##w_x }, { p##l_b, p##l_x }, { p##q_b, p##q_x } }
op_fn *const op_mov_rr[4] = FOUR(op_mov_, _rr);
op_fn *const op_mov_ri[4] = FOUR(op_mov_, _ri);
op_fn *const op_load[4][2] = PAIRS(op_load_);
op_fn *const op_store[4][2] = PAIRS(op_store_);
op_fn *const op_store_i[4] = FOUR(op_store_i_, );

/* ---- MOVZX, MOVSX, MOVSXD -------------------------------------------------------------------- */

#define MOVX(name, sz, ext)                                                                  \
    static HANDLER(op_##name##_rr)                                                           \
    {                                                                                        \
        TYPE_##sz v = GET_##sz(o->x);                                                        \
                                                                                             \
        R64(o->r) = ext(v);                                                                  \
        NEXT;                                                                                \
    }                                                                                        \
    LOAD_HANDLER(op_##name##_b, sz, EA_b, R64(o->r) = ext(v))                                \
    LOAD_HANDLER(op_##name##_x, sz, EA_x, R64(o->r) = ext(v))
#define EXT_Z(v)   ((uint64_t)(v))
#define EXT_B_L(v) ((uint32_t)(int8_t)(v))
#define EXT_B_Q(v) ((uint64_t)(int8_t)(v))
#define EXT_W_L(v) ((uint32_t)(int16_t)(v))
#define EXT_W_Q(v) ((uint64_t)(int16_t)(v))
#define EXT_L_Q(v) ((uint64_t)(int32_t)(v))
MOVX(movzb, b, EXT_Z)
MOVX(movzw, w, EXT_Z)
MOVX(movsb_l, b, EXT_B_L)
MOVX(movsb_q, b, EXT_B_Q)
MOVX(movsw_l, w, EXT_W_L)
MOVX(movsw_q, w, EXT_W_Q)
MOVX(movsl_q, l, EXT_L_Q)

op_fn *const op_movx_rr[7] = {
    [MOVX_ZB] = op_movzb_rr, [MOVX_ZW] = op_movzw_rr, [MOVX_SB_L] = op_movsb_l_rr,
    [MOVX_SB_Q] = op_movsb_q_rr, [MOVX_SW_L] = op_movsw_l_rr, [MOVX_SW_Q] = op_movsw_q_rr,
    [MOVX_SL_Q] = op_movsl_q_rr,
};
op_fn *const op_movx_rm[7][2] = {
    [MOVX_ZB] = { op_movzb_b, op_movzb_x }, [MOVX_ZW] = { op_movzw_b, op_movzw_x },
    [MOVX_SB_L] = { op_movsb_l_b, op_movsb_l_x }, [MOVX_SB_Q] = { op_movsb_q_b, op_movsb_q_x },
    [MOVX_SW_L] = { op_movsw_l_b, op_movsw_l_x }, [MOVX_SW_Q] = { op_movsw_q_b, op_movsw_q_x },
    [MOVX_SL_Q] = { op_movsl_q_b, op_movsl_q_x },
};

/* ---- LEA, sign extensions of RAX ------------------------------------------------------------- */

#define SIMPLE(name, statement) \
    HANDLER(name)               \
    {                           \
        statement;              \
        NEXT;                   \
    }
#define LOCAL(name, statement) static SIMPLE(name, statement)

LOCAL(op_lea_l_b, SET_l(o->r, EA_b))
LOCAL(op_lea_l_x, SET_l(o->r, EA_x))
LOCAL(op_lea_q_b, SET_q(o->r, EA_b))
LOCAL(op_lea_q_x, SET_q(o->r, EA_x))
op_fn *const op_lea[4][2] = { [2] = { op_lea_l_b, op_lea_l_x }, [3] = { op_lea_q_b, op_lea_q_x } };

SIMPLE(op_cwde, SET_l(RAX, (int16_t)R16(RAX)))
SIMPLE(op_cdqe, R64(RAX) = (uint64_t)(int32_t)R32(RAX))
SIMPLE(op_cdq, SET_l(RDX, (int32_t)R32(RAX) >> 31))
SIMPLE(op_cqo, R64(RDX) = (uint64_t)((int64_t)R64(RAX) >> 63))

/* ---- CMOV, SETcc ----------------------------------------------------------------------------- */

#define CONDITIONAL(cc)                                                                      \
    LOCAL(op_cmov_l_##cc, SET_l(o->r, flags_cond(FLAGS, 0x##cc) ? R32(o->x) : R32(o->r)))    \
    LOCAL(op_cmov_q_##cc, R64(o->r) = flags_cond(FLAGS, 0x##cc) ? R64(o->x) : R64(o->r))     \
    LOAD_HANDLER(op_cmovm_l_##cc, l, EA_b,                                                   \
                 SET_l(o->r, flags_cond(FLAGS, 0x##cc) ? v : R32(o->r)))                     \
    LOAD_HANDLER(op_cmovm_q_##cc, q, EA_b,                                                   \
                 R64(o->r) = flags_cond(FLAGS, 0x##cc) ? v : R64(o->r))                      \
    LOCAL(op_set_##cc, R8(o->r) = flags_cond(FLAGS, 0x##cc))
#define CONDITIONS(X)                                                                        \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(a) X(b) X(c) X(d) X(e) X(f)
CONDITIONS(CONDITIONAL)

#define CMOV_RR(cc) [0x##cc] = { op_cmov_l_##cc, op_cmov_q_##cc },
#define CMOV_RM(cc) [0x##cc] = { op_cmovm_l_##cc, op_cmovm_q_##cc },
#define SETCC(cc)   [0x##cc] = op_set_##cc,
op_fn *const op_cmov_rr[16][2] = { CONDITIONS(CMOV_RR) };
op_fn *const op_cmov_rm[16][2] = { CONDITIONS(CMOV_RM) };
op_fn *const op_setcc[16] = { CONDITIONS(SETCC) };

/* ---- the stack ------------------------------------------------------------------------------- */

#define SP_q       R64(RSP)
#define SP_l       ((uint64_t)R32(RSP))
#define SIZE_OF(sz) sizeof(TYPE_##sz)
#define BELOW(sz)  ((TYPE_##sz)(SP_##sz - SIZE_OF(sz)))

/* RSP moves after the store. */
#define PUSH_HANDLER(name, sz, value)                                                        \
    COLD static HANDLER(name##_slow)                                                         \
    {                                                                                        \
        slow_push(vp, o, BELOW(sz), SIZE_OF(sz), value);                                     \
        SET_##sz(RSP, BELOW(sz));                                                            \
        NEXT;                                                                                \
    }                                                                                        \
    static HANDLER(name)                                                                     \
    {                                                                                        \
        uint64_t sp = BELOW(sz);                                                             \
        TYPE_##sz *p;                                                                        \
                                                                                             \
        TLB_OR(write, p, sp, sz, name##_slow);                                               \
        *(volatile TYPE_##sz *)p = (TYPE_##sz)(value);                                       \
        SET_##sz(RSP, sp);                                                                   \
        NEXT;                                                                                \
    }
#define STACK(sz)                                                                            \
    PUSH_HANDLER(op_push_r_##sz, sz, GET_##sz(o->r))                                         \
    PUSH_HANDLER(op_push_i_##sz, sz, o->imm)                                                 \
    PUSH_HANDLER(op_push_t_##sz, sz, vp->lazy[LAZY_ADDR])                                    \
    LOAD_HANDLER(op_push_m_##sz, sz, EA_b, vp->lazy[LAZY_ADDR] = v)                          \
    LOAD_HANDLER(op_pop_r_##sz, sz, SP_##sz, SET_##sz(RSP, SP_##sz + SIZE_OF(sz));           \
                 SET_##sz(o->r, v))                                                          \
    LOAD_HANDLER(op_leave_##sz, sz, (uint64_t)GET_##sz(RBP),                                 \
                 SET_##sz(RSP, GET_##sz(RBP) + SIZE_OF(sz)); SET_##sz(RBP, v))
STACK(l)
STACK(q)

op_fn *const op_push_r[2] = { op_push_r_l, op_push_r_q };
op_fn *const op_push_i[2] = { op_push_i_l, op_push_i_q };
op_fn *const op_push_m[2] = { op_push_m_l, op_push_m_q };
op_fn *const op_push_t[2] = { op_push_t_l, op_push_t_q };
op_fn *const op_pop_r[2] = { op_pop_r_l, op_pop_r_q };
op_fn *const op_leave[2] = { op_leave_l, op_leave_q };
