/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu.h - x87, MMX, SSE on the host's own units.
 *
 * vp->fpu.ymm is always the truth for XMM/YMM.  x87/MMX state moves into the host's registers at
 * the first x87/MMX instruction after fpu_sync() (fpu.live) and stays there while the VP's thread
 * runs: nothing else on that thread may use x87/MMX (the compiler does not; printing a long double
 * would). While it is live no unmasked x87 exception is pending, so nothing can trap the host.
 *
 * Between fpu_enter() and fpu_leave() the host's MXCSR is the guest's, with all exceptions masked:
 * its sticky flags collect by themselves.  Guests that unmask exceptions run in MODE_XM / MODE_MF
 * blocks, where every instruction that may raise goes through its helper. */
#pragma once

#include "cpu/soft/cpu.h"
#include "cpu/soft/insn.h"

int fpu_init(struct soft_vp *vp);
void fpu_done(struct soft_vp *vp);
void fpu_reset(struct soft_vp *vp); /* power-on values */

/* Around running guest code: vp_run() enters and leaves, and so does everything that calls out of
 * the engine (soft_leave(), soft_enter()).  Both may be called twice. */
static inline void fpu_enter(struct soft_vp *vp)
{
    uint32_t v = vp->fpu.mxcsr | 0x1f80;

    if (vp->fpu.entered)
        return;
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
    vp->fpu.entered = true;
}

static inline void fpu_leave(struct soft_vp *vp)
{
    uint32_t v = 0x1f80, flags;

    if (!vp->fpu.entered)
        return;
    __asm__ volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(flags) : "m"(v));
    vp->fpu.mxcsr |= flags & 0x3f;
    vp->fpu.entered = false;
}

/* Bring live x87 state back into vp->fpu.fx: before saving, FXSAVE/XSAVE, leaving vp_run(). */
void fpu_sync(struct soft_vp *vp);

/* XSAVE image in standard format <-> state, for save and for exchange with KVM. */
void fpu_get_xsave(struct soft_vp *vp, uint8_t image[4096]);
void fpu_set_xsave(struct soft_vp *vp, const uint8_t image[4096]);

/* Of the mode bits, those that this state decides; soft_mode_changed() takes them over. */
static inline uint32_t fpu_mode(const struct soft_vp *vp)
{
    return (vp->fpu.sse_unmasked ? MODE_XM : 0) | (vp->fpu.x87_unmasked ? MODE_MF : 0);
}

/* ---- operations for blocks ------------------------------------------------------------------- */

/* Host code for the 'run' of a struct op (block.h) that would be a helper's call, or NULL.  It
 * needs of the operation: off, and the address as integer operations have it (build.c).  What the
 * fast way cannot do (TLB miss, alignment, x87 state not live) jumps to 'slow', the handler that
 * calls the helper. */
struct fpu_traits {
    bool faults; /* may jump to 'slow' */
    bool reads;  /* the kept arithmetic flags */
    bool kills;  /* writes them all */
};
const void *fpu_handler(struct soft_vp *vp, const struct insn *in, uint32_t mode, const void *slow,
                        struct fpu_traits *ret);
