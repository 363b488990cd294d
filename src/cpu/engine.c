/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine.c - the door of engine.h: picks an engine and calls through its table. */
#include "cpu/engine.h"

#include <assert.h>
#include <errno.h>

#include "base/trace.h"
#include "cpu/engine_ops.h"

const char *engine_name(enum engine_kind kind)
{
    static const char *const names[] = { "auto", "kvm", "soft" };

    return names[kind];
}

int partition_new(const struct partition_config *cfg, struct partition **ret, struct err *err)
{
    static const struct engine_ops *const engines[] = {
        [ENGINE_KVM] = &kvm_engine,
        [ENGINE_SOFT] = &soft_engine,
    };

    assert(cfg->engine != ENGINE_AUTO && cfg->n_vps >= 1 && cfg->n_vps <= VPS_MAX);
    return engines[cfg->engine]->partition_new(cfg, ret, err);
}

void partition_free(struct partition *p)
{
    if (p)
        p->ops->partition_free(p);
}

enum engine_kind partition_engine(const struct partition *p)
{
    return p->ops->kind;
}

struct vp *partition_vp(struct partition *p, unsigned index)
{
    assert(index < p->cfg.n_vps);
    return p->vp[index];
}

void partition_reset(struct partition *p)
{
    p->ops->partition_reset(p);
}

void partition_msi(struct partition *p, uint64_t addr, uint32_t data)
{
    TRACE("cpu", "msi", "addr %#llx data %#x", (unsigned long long)addr, data);
    p->ops->msi(p, addr, data);
}

void partition_extint(struct partition *p, bool level)
{
    p->ops->extint(p, level);
}

uint64_t partition_tsc(const struct partition *p)
{
    return p->ops->tsc(p);
}

void partition_set_tsc(struct partition *p, uint64_t value)
{
    p->ops->set_tsc(p, value);
}

uint64_t partition_tsc_hz(const struct partition *p)
{
    return p->tsc_hz;
}

uint64_t partition_apic_hz(const struct partition *p)
{
    return p->apic_hz;
}

bool partition_can_flush_tlb(const struct partition *p)
{
    return p->ops->flush_tlb != NULL;
}

int partition_flush_tlb(struct partition *p, struct vp *vp, uint64_t mask)
{
    return p->ops->flush_tlb ? p->ops->flush_tlb(p, vp, mask) : -ENOTSUP;
}

int partition_sync_dirty(struct partition *p)
{
    return p->ops->sync_dirty(p);
}

unsigned partition_cpuid(struct partition *p, struct cpuid_entry out[CPUID_ENTRIES_MAX])
{
    return p->ops->cpuid(p, out);
}

unsigned vp_index(const struct vp *vp)
{
    return vp->index;
}

struct partition *vp_partition(const struct vp *vp)
{
    return vp->part;
}

enum vp_stop vp_run(struct vp *vp)
{
    return vp->part->ops->run(vp);
}

void vp_kick(struct vp *vp)
{
    vp->part->ops->kick(vp);
}

int vp_set_cpuid(struct vp *vp, const struct cpuid_entry *e, unsigned n)
{
    assert(n <= CPUID_ENTRIES_MAX);
    return vp->part->ops->set_cpuid(vp, e, n);
}

void vp_interrupt(struct vp *vp, uint8_t vector)
{
    vp->part->ops->interrupt(vp, vector);
}

void vp_nmi(struct vp *vp)
{
    vp->part->ops->nmi(vp);
}

int vp_auto_eoi(struct vp *vp, const uint64_t vectors[4])
{
    return vp->part->ops->auto_eoi(vp, vectors);
}

void vp_set_deadline(struct vp *vp, uint64_t at_ns)
{
    vp->part->ops->set_deadline(vp, at_ns);
}

const char *vp_death(const struct vp *vp)
{
    return vp->death;
}

void vp_get_regs(struct vp *vp, struct vp_regs *ret)
{
    vp->part->ops->get_regs(vp, ret);
}

void vp_set_regs(struct vp *vp, const struct vp_regs *regs)
{
    vp->part->ops->set_regs(vp, regs);
}

void vp_get_state(struct vp *vp, struct vp_state *ret)
{
    vp->part->ops->get_state(vp, ret);
}

int vp_set_state(struct vp *vp, const struct vp_state *s, struct err *err)
{
    return vp->part->ops->set_state(vp, s, err);
}

bool vp_translate(struct vp *vp, uint64_t va, gpa_t *ret)
{
    return vp->part->ops->translate(vp, va, ret);
}

unsigned vp_counters(const struct vp *vp, struct vp_counter out[VP_COUNTERS_MAX])
{
    return vp->part->ops->counters(vp, out);
}
