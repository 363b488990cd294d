/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exec.h - how an instruction's semantics are written.
 *
 * Fast operations are handlers in ops_*.c, run by tail calls over a block's array of 'struct op'
 * (block.h).  Everything else is a plain function of the type below, found by map and opcode through
 * the tables of its part.  When it is called:
 *   - vp->rip is the address of this instruction, vp->next_rip of the following one;
 *   - vp->rflags is complete, and what the helper leaves in vp->rflags is the truth;
 *   - it may raise (having changed nothing), or change next_rip to jump;
 *   - when it returns, execution goes on at vp->next_rip. */
#pragma once

#include "cpu/soft/cpu.h"
#include "cpu/soft/insn.h"
#include "cpu/soft/mem.h"

typedef void helper_fn(struct soft_vp *vp, const struct insn *in);

/* What the block builder must know about a helper. */
enum helper_flag {
    HELPER_ENDS = 1 << 0,   /* may jump, change mode, segments, paging or halt: ends the block */
    HELPER_WRITES = 1 << 1, /* writes arithmetic flags, all or some */
    HELPER_READS = 1 << 2,  /* reads arithmetic flags */
    HELPER_LOCK = 1 << 3,   /* a LOCK prefix is legal (memory forms); elsewhere it is #UD */
};

struct helper {
    const char *name;
    helper_fn *run;
    unsigned flags;
};

/* The row for an instruction, or NULL: not theirs.  An instruction that nobody knows is #UD. */
const struct helper *sys_helper(const struct insn *in); /* event, seg, far, control, msr ... */
const struct helper *fpu_helper(const struct insn *in); /* SSE, x87, MMX, FXSAVE, XSAVE ... */

/* The instruction is past its point of no return: faults that follow happen at vp->rip with vp->rflags
 * as they are now (task switches).  run.c. */
void run_committed(struct soft_vp *vp);

/* Linear address of the memory operand: segment base added, truncated to the address size.  In
 * 64-bit mode a non-canonical address raises #GP (#SS with a stack segment); in 16- and 32-bit modes
 * segment limit and type are checked for an access of 'size' bytes. */
uint64_t insn_address(struct soft_vp *vp, const struct insn *in, unsigned size, bool write);
/* The same without checks: what LEA gives. */
uint64_t insn_offset(const struct soft_vp *vp, const struct insn *in);

/* General registers by operand size (1, 2, 4, 8); byte registers know AH..BH without REX; a 4-byte
 * write clears the upper half. */
uint64_t insn_reg(const struct soft_vp *vp, const struct insn *in, unsigned reg, unsigned size);
void insn_set_reg(struct soft_vp *vp, const struct insn *in, unsigned reg, unsigned size,
                  uint64_t value);

/* The r/m operand as an integer of 'size' bytes, register or memory. */
uint64_t insn_rm(struct soft_vp *vp, const struct insn *in, unsigned size);
void insn_set_rm(struct soft_vp *vp, const struct insn *in, unsigned size, uint64_t value);

/* Pushes and pops on the current stack, checked by SS.  A push moves RSP after the store. */
void stack_push(struct soft_vp *vp, unsigned size, uint64_t value);
uint64_t stack_pop(struct soft_vp *vp, unsigned size);
