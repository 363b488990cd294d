/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build.h - between build.c and emit.c: a block in the making. */
#pragma once

#include "cpu/soft/ops.h"

/* What the flags pass must know of an operation. */
struct note {
    op_fn *quiet; /* the same without keeping flags, or NULL */
    bool kills;   /* writes all arithmetic flags */
    bool reads, faults, call;
    bool reads_if_loud; /* the handler that keeps flags starts from the old ones */
};

#define BLOCK_PIECES_MAX 6

struct build {
    struct soft_vp *vp;
    struct block *block;
    const struct op *unlinked;
    uint32_t mode;
    uint64_t page_off;   /* of the block's first byte */
    enum decode_result decoded;
    int16_t off;         /* of the instruction, from the block's first byte */
    int16_t next;        /* where it goes on */
    uint8_t len;
    uint8_t n_insns;     /* with the current one */
    bool crosses, straight, ended;
    unsigned n_pieces;   /* of guest code that the block is made of */
    struct piece { int16_t from, to; } piece[BLOCK_PIECES_MAX];
    uint16_t n_code;
    uint8_t code[BLOCK_INSNS_MAX * INSN_MAX];
    unsigned n_ops, n_calls, n_exits;
    struct note note[BLOCK_OPS_MAX];
    struct call calls[BLOCK_INSNS_MAX];
};

struct op *build_op(struct build *b, op_fn *run);
struct op *build_exit(struct build *b, op_fn *run, int64_t disp);
void build_leave(struct build *b, int64_t disp);
/* Behind a call: where translated code goes on (jit_return.c). */
void build_return(struct build *b);
/* By a direct jump; in the page the block may go on there. */
void build_jump(struct build *b, int64_t disp);

/* emit.c: operations for this instruction; false: call its helper. */
bool emit_fast(struct build *b, const struct insn *in);
