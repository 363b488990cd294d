/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm.h - the kvm engine's own structs, shared by its files.
 *
 *   kvm.c     the partition: capabilities, memory slots, MSR filter, interrupts, dirty log
 *   vcpu.c    vp_run(): KVM_RUN and its exits
 *   state.c   registers and saved state
 *
 * The local APICs are the kernel's, PIC and IOAPIC are ours (split irqchip).  All Hyper-V MSRs leave
 * to user space by the MSR filter, hypercalls by an OUT (HYPERCALL_PORT).
 *
 * Source: Documentation/virt/kvm/api.rst; section numbers stand at the calls. */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>

#include "cpu/engine_ops.h"

/* Interrupts KVM_RUN; the handler does nothing. */
#define KICK_SIGNAL (SIGRTMIN + 1)

#define IOAPIC_ROUTES 24

struct kvm_vp {
    struct vp vp;
    int fd;
    struct kvm_run *run;
    size_t run_size;
    pthread_t thread;     /* meaningful while 'running' */
    uint32_t running;     /* the thread is inside vp_run(); atomic */
    uint32_t kicked;      /* vp_run() shall return; atomic */
    uint64_t deadline_ns; /* machine time; own thread */
    timer_t timer;        /* sends KICK_SIGNAL to the thread when the deadline comes */
    bool has_timer;
    bool has_synic;       /* the kernel's, only for AutoEOI */
    uint64_t n_exits[64]; /* by KVM_EXIT_*; own thread */
    uint32_t last_exits[4];
};

struct kvm_partition {
    struct partition part;
    int kvm_fd, fd;
    uint32_t extint; /* PIC's INTR line; atomic */
    pthread_mutex_t routes_lock; /* guards routes: level-triggered vectors that need EOI exits */
    struct kvm_irq_routing_entry routes[IOAPIC_ROUTES];
    unsigned n_routes, next_route;
    uint64_t tsc_offset; /* guest TSC - host TSC */
    unsigned n_slots;
    uint32_t dirty_log; /* slots have KVM_MEM_LOG_DIRTY_PAGES */
};

static inline struct kvm_vp *kvm_vp_of(const struct vp *vp)
{
    return container_of((struct vp *)(uintptr_t)vp, struct kvm_vp, vp);
}

static inline struct kvm_partition *kvm_partition_of(const struct partition *p)
{
    return container_of((struct partition *)(uintptr_t)p, struct kvm_partition, part);
}

/* vcpu.c */
enum vp_stop kvm_run_vp(struct vp *vp);
void kvm_kick(struct vp *vp);
void kvm_wake(struct kvm_vp *v); /* out of KVM_RUN, to look at something; goes on by itself */
void kvm_set_deadline(struct vp *vp, uint64_t at_ns);

/* state.c */
bool kvm_get_msr(struct kvm_vp *v, uint32_t index, uint64_t *ret); /* false: this host has none */
bool kvm_set_msr(struct kvm_vp *v, uint32_t index, uint64_t value);
void kvm_get_regs(struct vp *vp, struct vp_regs *ret);
void kvm_set_regs(struct vp *vp, const struct vp_regs *regs);
void kvm_get_state(struct vp *vp, struct vp_state *ret);
int kvm_set_state(struct vp *vp, const struct vp_state *s, struct err *err);
bool kvm_translate(struct vp *vp, uint64_t va, gpa_t *ret);
void kvm_reset_state(struct vp *vp, struct vp_state *ret); /* what a VP is after power-on */
