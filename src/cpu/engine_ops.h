/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_ops.h - the side of engine.h that an engine fills in; included in cpu/ only.
 *
 * Each engine embeds these structs first in its own.  The meaning of each function is that of the
 * wrapper of the same name in engine.h. */
#pragma once

#include "cpu/engine.h"

struct engine_ops {
    const char *name;
    enum engine_kind kind;
    int (*partition_new)(const struct partition_config *cfg, struct partition **ret,
                         struct err *err);
    void (*partition_free)(struct partition *p);
    void (*partition_reset)(struct partition *p);
    void (*msi)(struct partition *p, uint64_t addr, uint32_t data);
    void (*extint)(struct partition *p, bool level);
    uint64_t (*tsc)(const struct partition *p);
    void (*set_tsc)(struct partition *p, uint64_t value);
    int (*flush_tlb)(struct partition *p, struct vp *vp, uint64_t mask); /* NULL: -ENOTSUP */
    int (*sync_dirty)(struct partition *p);
    unsigned (*cpuid)(struct partition *p, struct cpuid_entry *out);

    enum vp_stop (*run)(struct vp *vp);
    void (*kick)(struct vp *vp);
    int (*set_cpuid)(struct vp *vp, const struct cpuid_entry *e, unsigned n);
    void (*interrupt)(struct vp *vp, uint8_t vector);
    void (*nmi)(struct vp *vp);
    int (*auto_eoi)(struct vp *vp, const uint64_t vectors[4]);
    void (*set_deadline)(struct vp *vp, uint64_t at_ns);
    void (*get_regs)(struct vp *vp, struct vp_regs *ret);
    void (*set_regs)(struct vp *vp, const struct vp_regs *regs);
    void (*get_state)(struct vp *vp, struct vp_state *ret);
    int (*set_state)(struct vp *vp, const struct vp_state *s, struct err *err);
    bool (*translate)(struct vp *vp, uint64_t va, gpa_t *ret);
    unsigned (*counters)(const struct vp *vp, struct vp_counter *out);
};

struct partition {
    const struct engine_ops *ops;
    struct partition_config cfg;
    struct vp *vp[VPS_MAX];
    uint64_t tsc_hz, apic_hz;
};

struct vp {
    struct partition *part;
    unsigned index;
    char death[256];
};

extern const struct engine_ops kvm_engine;
extern const struct engine_ops soft_engine;
