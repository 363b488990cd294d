/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit.h - blocks as host code: the second tier of the soft engine.  docs/soft-engine.md is its design.
 *
 * A translated block is its interpreter's block with another way to run: op_tier, the first operation,
 * counts executions, and becomes a way into host code.  At every instruction boundary host code may go
 * back to the interpreter's operation of that instruction; it does so for whatever is not a plain hit
 * (TLB misses, faults, code pages, MMIO, rare instructions), so these exist once.  Exits have the links
 * of the operations (block.h), as direct jumps where both sides are host code (jit_link.c).
 *
 * Threads: code is made under the cache's lock and never changes until its region is recycled.  Code
 * of one arena region lives in the native region of the same number. */
#pragma once

#include "cpu/soft/block.h"

struct jit;

#define JIT_REGION_SIZE (UINT64_C(2) << 20) /* host code of one arena region */

/* 'room' is CODE_REGIONS * JIT_REGION_SIZE of address space, reserved, within 2 GiB of the arena. */
int jit_new(struct jit **ret, void *room, unsigned threshold, bool lockstep);
void jit_free(struct jit *j);

/* Where a block is entered from host code that has not been translated itself, and the cache's
 * 'unlinked'. */
const void *jit_not_native(const struct jit *j);
const void *jit_unlinked(const struct jit *j);
const void *jit_dead(const struct jit *j); /* of a block that is gone: the jump cache may still name it */
const void *jit_no_frame(const struct jit *j); /* where a return goes that has none: run_state.frames */
/* What op_tier's operation starts with. */
unsigned jit_threshold(const struct jit *j);

/* build.c: does host code run this instruction itself?  Behind others stands op_resume. */
bool jit_knows(struct soft_vp *vp, const struct insn *in, uint32_t mode);

/* Has it come most of the way to its translation? */
bool jit_soon(const struct jit *j, const struct block *b);
/* The cache's lock is held and the block alive; nothing happens the second time. */
void jit_translate(struct soft_vp *vp, struct jit *j, struct block *b, unsigned region);
/* The exit leads to 'to' from now on; NULL: to where links are looked up.  Both blocks live. */
void jit_link(struct jit *j, const struct op *e, const struct block *to);
/* All blocks of the region are gone, and all VPs at safe points. */
void jit_recycle(struct jit *j, unsigned region);

/* code.c: translates under its lock. */
void code_translate(struct soft_vp *vp, struct block *b);

/* Lock-step (lockstep.h): the host code of op_lockstep's operation; all of its block's. */
const void *jit_entry(const struct jit *j, const struct op *o);
size_t jit_size(const struct op *o); /* from there to its end */

/* Text of 64-bit or 32-bit code, for people: one call a line. */
typedef void jit_line_fn(void *arg, uint64_t at, const char *text);
void jit_list(bool wide, const uint8_t *p, size_t n, uint64_t at, jit_line_fn *line, void *arg);
void jit_list_guest(const struct block *b, uint32_t mode, uint64_t at, jit_line_fn *line, void *arg);

op_fn op_tier, op_resume;
