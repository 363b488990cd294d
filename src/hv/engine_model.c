/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine_model.c - see engine_model.h. */
#include "hv/engine_model.h"

#include <errno.h>
#include <pthread.h>

struct vp {
    struct partition *part;
    unsigned index;
    pthread_mutex_t lock;
    pthread_cond_t came;
    unsigned count[256];
    uint64_t deadline;
    uint64_t auto_eoi[4];
};

struct partition {
    struct clock *clock;
    uint64_t tsc_hz, tsc_offset;
    unsigned n_vps;
    bool can_flush;
    uint64_t flushed;
    struct vp vp[];
};

struct partition *model_partition_new(struct clock *clock, unsigned n_vps, uint64_t tsc_hz)
{
    struct partition *p = calloc(1, sizeof *p + n_vps * sizeof p->vp[0]);

    if (!p)
        abort();
    p->clock = clock;
    p->tsc_hz = tsc_hz;
    p->n_vps = n_vps;
    p->can_flush = true;
    for (unsigned i = 0; i < n_vps; i++) {
        p->vp[i].part = p;
        p->vp[i].index = i;
        p->vp[i].deadline = UINT64_MAX;
        pthread_mutex_init(&p->vp[i].lock, NULL);
        pthread_cond_init(&p->vp[i].came, NULL);
    }
    return p;
}

void model_partition_free(struct partition *p)
{
    for (unsigned i = 0; p && i < p->n_vps; i++) {
        pthread_mutex_destroy(&p->vp[i].lock);
        pthread_cond_destroy(&p->vp[i].came);
    }
    free(p);
}

unsigned model_interrupts(struct vp *vp, uint8_t vector)
{
    pthread_mutex_lock(&vp->lock);
    unsigned n = vp->count[vector];
    vp->count[vector] = 0;
    pthread_mutex_unlock(&vp->lock);
    return n;
}

bool model_wait(struct vp *vp, uint8_t vector, unsigned ms)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&vp->lock);
    while (!vp->count[vector] && r == 0)
        r = pthread_cond_timedwait(&vp->came, &vp->lock, &until);
    bool came = vp->count[vector] != 0;
    vp->count[vector] = 0;
    pthread_mutex_unlock(&vp->lock);
    return came;
}

uint64_t model_deadline(struct vp *vp)
{
    return vp->deadline;
}

bool model_auto_eoi(const struct vp *vp, uint8_t vector)
{
    return vp->auto_eoi[vector / 64] >> vector % 64 & 1;
}

uint64_t model_flushed(struct partition *p)
{
    return __atomic_exchange_n(&p->flushed, 0, __ATOMIC_RELAXED);
}

void model_can_flush(struct partition *p, bool can)
{
    p->can_flush = can;
}

/* ---- the engine's side: see cpu/engine.h --------------------------------------------------- */

struct vp *partition_vp(struct partition *p, unsigned index)
{
    return &p->vp[index];
}

unsigned vp_index(const struct vp *vp)
{
    return vp->index;
}

uint64_t partition_tsc(const struct partition *p)
{
    return (uint64_t)((unsigned __int128)clock_now_ns(p->clock) * p->tsc_hz / NS_PER_S) +
           p->tsc_offset;
}

void partition_set_tsc(struct partition *p, uint64_t value)
{
    p->tsc_offset += value - partition_tsc(p);
}

uint64_t partition_tsc_hz(const struct partition *p)
{
    return p->tsc_hz;
}

uint64_t partition_apic_hz(const struct partition *p)
{
    return MODEL_APIC_HZ;
}

bool partition_can_flush_tlb(const struct partition *p)
{
    return p->can_flush;
}

int partition_flush_tlb(struct partition *p, struct vp *vp, uint64_t mask)
{
    if (!p->can_flush)
        return -ENOTSUP;
    __atomic_fetch_or(&p->flushed, mask, __ATOMIC_RELAXED);
    return 0;
}

void vp_interrupt(struct vp *vp, uint8_t vector)
{
    pthread_mutex_lock(&vp->lock);
    vp->count[vector]++;
    pthread_cond_broadcast(&vp->came);
    pthread_mutex_unlock(&vp->lock);
}

int vp_auto_eoi(struct vp *vp, const uint64_t vectors[4])
{
    memcpy(vp->auto_eoi, vectors, sizeof vp->auto_eoi);
    return 0;
}

void vp_set_deadline(struct vp *vp, uint64_t at_ns)
{
    vp->deadline = at_ns;
}
