/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu.h - x87, MMX, SSE on the host's own units.
 *
 * vp->fpu.ymm is always the truth for XMM/YMM.  x87/MMX state moves into the host's registers at the
 * first x87/MMX instruction after fpu_sync() (fpu.live) and stays there while the VP's thread runs:
 * nothing else on that thread may use x87/MMX (the compiler does not; printing a long double would).
 * While it is live no unmasked x87 exception is pending, so nothing can trap the host.
 *
 * Between fpu_enter() and fpu_leave() the host's MXCSR is the guest's, with all exceptions masked: its
 * sticky flags collect by themselves.  Guests that unmask exceptions run in MODE_XM / MODE_MF blocks,
 * where every instruction that may raise goes through its helper. */
#pragma once

#include "cpu/soft/cpu.h"
#include "cpu/soft/insn.h"

int fpu_init(struct soft_vp *vp);
void fpu_done(struct soft_vp *vp);
void fpu_reset(struct soft_vp *vp); /* power-on values */

/* Around running guest code: vp_run() enters and leaves, and so does everything that calls out of the
 * engine (soft_leave(), soft_enter()).  Both may be called twice. */
void fpu_enter(struct soft_vp *vp);
void fpu_leave(struct soft_vp *vp);

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

/* ---- operations for blocks ------------------------------------------------------------------------ */

/* What an instruction does, on operands that are in memory: guest registers in struct soft_vp, guest
 * memory at its host address or in a 16-byte aligned copy.  The result counts with FPU_FLAGS only: the
 * arithmetic flags, all of them.  A function neither faults nor reads anything else of the VP. */
typedef uint64_t fpu_fn(void *dst, const void *src, struct soft_vp *vp);

enum fpu_form {
    FPU_REG,   /* dst and src are registers */
    FPU_LOAD,  /* src is memory */
    FPU_STORE, /* dst is memory, written whole, not read */
};

enum fpu_op_flag {
    FPU_X87 = 1 << 0,     /* works on the live x87/MMX registers: fpu_need_x87() first */
    FPU_X87_PTR = 1 << 1, /* leaves its address in FIP, FOP (and FDP): fpu.fip ... */
    FPU_FLAGS = 1 << 2,   /* writes arithmetic flags */
    FPU_READS = 1 << 3,   /* reads vp->rflags (FCMOVcc) */
    FPU_XM = 1 << 4,      /* may raise #XM: not in MODE_XM blocks */
    FPU_MF = 1 << 5,      /* may leave #MF pending: not in MODE_MF blocks */
};

struct fpu_op {
    fpu_fn *fn;
    uint16_t dst, src; /* byte offsets of registers in struct soft_vp */
    uint16_t fop;      /* x87: opcode bits for FOP */
    uint8_t form;      /* enum fpu_form */
    uint8_t size;      /* bytes of memory */
    uint8_t align;     /* mask of address bits that must be 0, else #GP(0) */
    uint8_t flags;     /* enum fpu_op_flag */
};

/* For a block of this mode, by the VP that decodes it; false: take fpu_helper(). */
bool fpu_fast(struct soft_vp *vp, const struct insn *in, uint32_t mode, struct fpu_op *ret);

void fpu_load_x87(struct soft_vp *vp);

/* Before each FPU_X87 function: may raise #MF, so vp->rip or vp->op stand right. */
static inline void fpu_need_x87(struct soft_vp *vp)
{
    if (unlikely(!vp->fpu.live))
        fpu_load_x87(vp);
}
