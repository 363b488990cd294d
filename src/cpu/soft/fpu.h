/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu.h - x87, MMX, SSE on the host's own units.
 *
 * vp->fpu.ymm is always the truth for XMM/YMM.  x87/MMX state moves into the host's registers at the
 * first x87/MMX instruction after fpu_sync() (fpu.live) and stays there while the VP's thread runs:
 * nothing else on that thread may use x87/MMX (the compiler does not; printing a long double would). */
#pragma once

#include "cpu/soft/cpu.h"

int fpu_init(struct soft_vp *vp);
void fpu_done(struct soft_vp *vp);
void fpu_reset(struct soft_vp *vp); /* power-on values */

/* Bring live x87 state back into vp->fpu.fx: before saving, FXSAVE/XSAVE, leaving vp_run(). */
void fpu_sync(struct soft_vp *vp);

/* XSAVE image in standard format <-> state, for save and for exchange with KVM. */
void fpu_get_xsave(struct soft_vp *vp, uint8_t image[4096]);
void fpu_set_xsave(struct soft_vp *vp, const uint8_t image[4096]);
