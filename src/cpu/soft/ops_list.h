/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_list.h - the tables of handlers that emit.c picks from; each is filled beside its handlers. */
#pragma once

#include "cpu/soft/block.h"

/* Sizes are 0..3: b w l q.  [0] keeps flags, [1] does not. */
enum form { FORM_RR, FORM_RI, FORM_RM_B, FORM_RM_X, FORM_MR_B, FORM_MR_X, FORM_MI_B, FORMS };
enum alu_kind { K_ADD, K_OR, K_ADC, K_SBB, K_AND, K_SUB, K_XOR, K_CMP, K_TEST, ALU_KINDS };
enum one_kind { K_INC, K_DEC, K_NEG, K_NOT, ONE_KINDS };

/* ops_alu.c */
extern op_fn *const op_alu[ALU_KINDS][4][FORMS][2];
extern op_fn *const op_one_r[ONE_KINDS][4][2]; /* register */
extern op_fn *const op_one_m[ONE_KINDS][4][2]; /* memory, _b */

/* ops_shift.c: by o->imm and by CL; the order of ModRM.reg; NULL: none */
extern op_fn *const op_shift_i[8][4][2];
extern op_fn *const op_shift_cl[8][4][2];
extern op_fn *const op_imul_rr[4][2], *const op_imul_rm[4][2]; /* l and q */
extern op_fn *const op_imul_rri[4][2];
extern op_fn *const op_mul_r[2][4]; /* [signed] */
extern op_fn *const op_bit_ri[4], *const op_bit_rr[4]; /* BT */
extern op_fn *const op_scan[2][4];                 /* BSF, BSR */
extern op_fn op_bswap_l, op_bswap_q;

/* ops_move.c */
enum movx { MOVX_ZB, MOVX_ZW, MOVX_SB_L, MOVX_SB_Q, MOVX_SW_L, MOVX_SW_Q, MOVX_SL_Q, MOVXS };
extern op_fn *const op_mov_rr[4], *const op_mov_ri[4];
extern op_fn *const op_load[4][2], *const op_store[4][2]; /* [_b, _x] */
extern op_fn *const op_store_i[4];
extern op_fn *const op_movx_rr[MOVXS], *const op_movx_rm[MOVXS][2];
extern op_fn *const op_lea[4][2];
extern op_fn *const op_cmov_rr[16][2], *const op_cmov_rm[16][2]; /* [l, q] */
extern op_fn *const op_setcc[16];
extern op_fn op_cwde, op_cdqe, op_cdq, op_cqo;
extern op_fn op_ea_64, op_ea_32, op_ea_seg;

/* The stack: [32-bit, 64-bit].  PUSH of memory is _m, which loads LAZY_ADDR, and _t. */
extern op_fn *const op_push_r[2], *const op_push_i[2], *const op_push_m[2], *const op_push_t[2];
extern op_fn *const op_pop_r[2], *const op_leave[2];

/* ops_branch.c */
extern op_fn *const op_jcc[16];      /* to a target in the page */
extern op_fn *const op_skip[16];     /* taken: the next operation, an exit; else the one behind */
extern op_fn *const op_call_page[2], *const op_call_cross[2], *const op_ret[2];
extern op_fn *const op_jmp_r[2], *const op_jmp_m[2], *const op_call_r[2], *const op_call_m[2];

/* Comparison and conditional branch in one, by the handler of the comparison. */
op_fn *op_fused(op_fn *first, unsigned cc);

/* ops_atomic.c: LOCK forms with memory _b; sizes b w l q */
extern op_fn *const op_lock_mr[ALU_KINDS][4], *const op_lock_mi[ALU_KINDS][4];
extern op_fn *const op_lock_one[ONE_KINDS][4];
extern op_fn *const op_xadd[4], *const op_xchg[4], *const op_cmpxchg[4];
