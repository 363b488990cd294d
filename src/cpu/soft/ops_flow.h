/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_flow.h - leaving a block: direct exits that know their successor, and the jump cache. */
#pragma once

#include "cpu/soft/ops.h"

op_fn run_jump_slow;  /* to vp->rip */
op_fn run_return_slow; /* RET, from translated code that has done all of it but the jump */
op_fn run_cross_slow; /* to vp->block_rip, from the exit 'o' */

static inline size_t jump_slot(uint64_t pc)
{
    return (uint32_t)pc * JUMP_FACTOR >> (32 - JUMP_BITS);
}

/* Is it time for the run loop?  The instructions are counted already. */
static inline bool run_wanted(const struct soft_vp *vp)
{
    return unlikely((int64_t)vp->lazy[LAZY_LEFT] < 0 ||
                    __atomic_load_n(&vp->attention, __ATOMIC_RELAXED));
}

/* To a target within the page of the block. */
static inline const struct op *take_exit(struct soft_vp *vp, const struct op *o)
{
    vp->lazy[LAZY_LEFT] -= o->n;
    vp->block_rip += (uint64_t)(int64_t)o->disp;
    vp->op = o;
    if (run_wanted(vp)) {
        vp->rip = vp->block_rip;
        return NULL;
    }
    GOTO((const struct op *)(uintptr_t)__atomic_load_n(&o->imm, __ATOMIC_ACQUIRE));
}

/* To another page: the link holds if the target's page lies where the linked block does. */
static inline const struct op *take_exit_cross(struct soft_vp *vp, const struct op *o)
{
    struct run_state *run = vp->run;
    const struct op *to = (const struct op *)(uintptr_t)__atomic_load_n(&o->imm, __ATOMIC_ACQUIRE);
    uint64_t rip = rip_mask(vp, vp->block_rip + (uint64_t)(int64_t)o->disp);
    const struct fetch_slot *f = &run->fetch[fetch_index(rip)];

    vp->lazy[LAZY_LEFT] -= o->n;
    vp->block_rip = rip;
    vp->op = o;
    if (run_wanted(vp)) {
        vp->rip = rip;
        return NULL;
    }
    if (likely(f->tag == (rip & ~(PAGE_SIZE - 1)) + vp->fetch_low &&
               ((f->page ^ block_of(to)->key) >> 24) == 0))
        GOTO(to);
    return run_cross_slow(vp, o);
}

/* Indirect: through the jump cache. */
static inline const struct op *jump_to(struct soft_vp *vp, uint64_t rip)
{
    struct run_state *run = vp->run;
    uint64_t pc = linear_pc(vp, rip);
    const struct jump_entry *j = &run->jump[jump_slot(pc)];
    const struct op *o;

    vp->rip = rip;
    if (run_wanted(vp))
        return NULL;
    if (likely(j->pc == pc && j->tag == vp->jump_tag)) {
        o = (const struct op *)(void *)(run->jump_base + j->first);
        if (likely(block_of(o)->key != BLOCK_DEAD)) {
            vp->block_rip = rip;
            GOTO(o);
        }
    }
    return run_jump_slow(vp, NULL);
}

op_fn op_exit_page, op_exit_cross, op_exit_slow, op_exit_loop, op_guard;
op_fn op_core, op_call, op_call_plain, op_core_end, op_call_end;
