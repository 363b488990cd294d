/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_model.h - for tests: what hv/ calls of cpu/engine.h, without an engine.
 *
 * A program that links this has partitions whose VPs run no code: the test is the guest.  It counts
 * interrupts and remembers deadlines and flushes; the TSC follows the clock it was given. */
#pragma once

#include "cpu/engine.h"

#define MODEL_TSC_HZ  UINT64_C(2500000000)
#define MODEL_APIC_HZ UINT64_C(200000000)

struct partition *model_partition_new(struct clock *clock, unsigned n_vps, uint64_t tsc_hz);
void model_partition_free(struct partition *p);

/* How often 'vector' came since the last call.  Any thread. */
unsigned model_interrupts(struct vp *vp, uint8_t vector);

/* Sleep until 'vector' comes (at once if it has); false: not within 'ms'. */
bool model_wait(struct vp *vp, uint8_t vector, unsigned ms);

uint64_t model_deadline(struct vp *vp);      /* UINT64_MAX: none */
bool model_auto_eoi(const struct vp *vp, uint8_t vector);
uint64_t model_flushed(struct partition *p); /* VPs flushed since the last call */
void model_can_flush(struct partition *p, bool can);
