/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bare_exits.h - the exits of a machine that has nothing there: for measurements and tests, which
 * take those that they need not answer themselves into their struct exit_ops. */
#pragma once

#include "cpu/engine.h"

static inline uint32_t bare_pio_read(void *owner, struct vp *vp, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}

static inline uint64_t bare_mmio_read(void *owner, struct vp *vp, gpa_t at, unsigned size)
{
    return UINT64_MAX;
}

static inline void bare_mmio_write(void *owner, struct vp *vp, gpa_t at, unsigned size,
                                   uint64_t value)
{
}

static inline bool bare_msr_read(void *owner, struct vp *vp, uint32_t msr, uint64_t *ret)
{
    return false;
}

static inline bool bare_msr_write(void *owner, struct vp *vp, uint32_t msr, uint64_t value)
{
    return false;
}

static inline bool bare_hypercall(void *owner, struct vp *vp, struct hypercall *h)
{
    return false;
}

static inline void bare_eoi(void *owner, struct vp *vp, uint8_t vector)
{
}

static inline int bare_pic_ack(void *owner)
{
    return -1;
}

static inline void bare_deadline(void *owner, struct vp *vp)
{
}
