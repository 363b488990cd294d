/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep.h - the lock-step mode: translated code beside the interpreter, until they differ.
 *
 * Each time host code is to be entered it runs, once, on a copy of the memory that it touches, up to where
 * it leaves: by an exit of its block, by a side exit, or out of a loop after some turns.  Then the
 * registers are put back and the interpreter runs the same instructions for real.  The state at which host
 * code stopped must be one of the interpreter's, memory included; then the guest goes on behind it.
 * So all effects are the interpreter's, and what cannot be repeated (devices, faults, the time) is simply
 * never within the compared piece: host code leaves before it by a side exit.
 *
 * Another VP or a device may write meanwhile what both read.  So when they differ the interpreter runs
 * once more, on the copies; if that agrees, the difference was not host code's and is only counted.
 *
 * Own thread only.  All of this is NULL and never entered in the other modes. */
#pragma once

#include "cpu/soft/block.h"

int lockstep_init(struct soft_vp *vp); /* when the partition's mode is SOFT_LOCKSTEP */
void lockstep_done(struct soft_vp *vp);

/* jit.c: in place of host code, which begins at jit_entry(). */
op_fn op_lockstep;

/* jit.c: mmu_refill() for host code that runs on copies. */
bool lockstep_refill(struct soft_vp *vp, uint64_t va, unsigned size, bool write);

/* run.c, where a block is left by another way than a link: true: no further, back to the run loop. */
bool lockstep_stops(struct soft_vp *vp, const struct op *o);

/* They differed; vp->vp.death says so. */
bool lockstep_failed(const struct soft_vp *vp);
