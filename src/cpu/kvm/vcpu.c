/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vcpu.c - vp_run() of the kvm engine: KVM_RUN and one short handler an exit.
 *
 * Source: api.rst section 5 (struct kvm_run). */
#include "cpu/kvm/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/trace.h"

/* ---- kicks: a flag that KVM looks at before it enters, and a signal that brings it out ------- */

void kvm_wake(struct kvm_vp *v)
{
    /* pairs with 'running = 1' in kvm_run_vp(): either we see it and send the signal, or the VP
     * sees what we changed before it enters the guest. */
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&v->running, __ATOMIC_SEQ_CST))
        pthread_kill(v->thread, KICK_SIGNAL);
}

void kvm_kick(struct vp *vp)
{
    struct kvm_vp *v = kvm_vp_of(vp);

    __atomic_store_n(&v->kicked, 1, __ATOMIC_SEQ_CST);
    kvm_wake(v);
}

/* ---- the deadline ---------------------------------------------------------------------------- */

static void make_timer(struct kvm_vp *v)
{
    struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = KICK_SIGNAL };

    ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    v->has_timer = timer_create(CLOCK_MONOTONIC, &ev, &v->timer) == 0;
}

static void arm_timer(struct kvm_vp *v)
{
    uint64_t now = clock_now_ns(v->vp.part->cfg.clock), ns = 0;

    if (!v->has_timer)
        return;
    if (v->deadline_ns != UINT64_MAX)
        ns = v->deadline_ns > now ? v->deadline_ns - now : 1;
    struct itimerspec t = { .it_value = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) } };
    timer_settime(v->timer, 0, &t, NULL);
}

void kvm_set_deadline(struct vp *vp, uint64_t at_ns)
{
    struct kvm_vp *v = kvm_vp_of(vp);

    v->deadline_ns = at_ns;
    arm_timer(v);
}

static void run_deadline(struct kvm_vp *v)
{
    const struct partition_config *cfg = &v->vp.part->cfg;

    if (v->deadline_ns == UINT64_MAX)
        return;
    if (clock_now_ns(cfg->clock) >= v->deadline_ns) {
        v->deadline_ns = UINT64_MAX;
        cfg->exits->deadline(cfg->owner, &v->vp);
    } else {
        arm_timer(v); /* the signal may have come for a kick, or early by a stopped clock */
    }
}

/* ---- exits ----------------------------------------------------------------------------------- */

static bool is_hypercall(const struct kvm_run *run)
{
    return run->io.port == HYPERCALL_PORT && run->io.direction == KVM_EXIT_IO_OUT &&
           run->io.size == 4 && run->io.count == 1;
}

/* RIP still stands at the OUT; KVM steps over it as long as we leave RIP alone. */
static void exit_hypercall(struct kvm_vp *v)
{
    const struct partition_config *cfg = &v->vp.part->cfg;
    struct kvm_regs r;
    struct kvm_sregs s;
    struct kvm_fpu fpu;

    if (ioctl(v->fd, KVM_GET_REGS, &r) < 0 || ioctl(v->fd, KVM_GET_SREGS, &s) < 0 ||
        ioctl(v->fd, KVM_GET_FPU, &fpu) < 0)
        return;
    struct hypercall h = {
        .rax = r.rax, .rbx = r.rbx, .rcx = r.rcx, .rdx = r.rdx, .rsi = r.rsi, .rdi = r.rdi,
        .r8 = r.r8, .rip = r.rip, .cpl = s.ss.dpl,
        .long_mode = (s.efer & (1 << 10)) && s.cs.l,
    };
    if (!h.long_mode)
        h.rip = (uint32_t)(s.cs.base + r.rip);
    memcpy(h.xmm, fpu.xmm, sizeof h.xmm);
    if (!kvm_translate(&v->vp, h.rip, &h.rip_gpa))
        h.rip_gpa = GPA(UINT64_MAX);
    if (!cfg->exits->hypercall(cfg->owner, &v->vp, &h))
        return;
    if (h.long_mode) {
        r.rax = h.result;
    } else {
        r.rax = (uint32_t)h.result;
        r.rdx = h.result >> 32;
    }
    ioctl(v->fd, KVM_SET_REGS, &r);
}

static void exit_io(struct kvm_vp *v)
{
    const struct partition_config *cfg = &v->vp.part->cfg;
    struct kvm_run *run = v->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    if (is_hypercall(run)) {
        exit_hypercall(v);
        return;
    }
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint32_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, run->io.size);
            cfg->exits->pio_write(cfg->owner, &v->vp, run->io.port, run->io.size, value);
        } else {
            value = cfg->exits->pio_read(cfg->owner, &v->vp, run->io.port, run->io.size);
            memcpy(data, &value, run->io.size);
        }
    }
}

static void exit_mmio(struct kvm_vp *v)
{
    const struct partition_config *cfg = &v->vp.part->cfg;
    struct kvm_run *run = v->run;
    gpa_t at = GPA(run->mmio.phys_addr);
    uint64_t value = 0;

    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, MIN(run->mmio.len, 8));
        cfg->exits->mmio_write(cfg->owner, &v->vp, at, run->mmio.len, value);
    } else {
        value = cfg->exits->mmio_read(cfg->owner, &v->vp, at, run->mmio.len);
        memcpy(run->mmio.data, &value, MIN(run->mmio.len, 8));
    }
}

static bool synthetic(uint32_t msr)
{
    return msr - 0x40000000u < 0x200;
}

static void exit_rdmsr(struct kvm_vp *v)
{
    const struct partition_config *cfg = &v->vp.part->cfg;
    struct kvm_run *run = v->run;
    uint64_t value = 0;
    bool ok = synthetic(run->msr.index) &&
              cfg->exits->msr_read(cfg->owner, &v->vp, run->msr.index, &value);

    run->msr.data = value;
    run->msr.error = !ok;
}

static void exit_wrmsr(struct kvm_vp *v)
{
    const struct partition_config *cfg = &v->vp.part->cfg;
    struct kvm_run *run = v->run;

    run->msr.error = !(synthetic(run->msr.index) &&
                       cfg->exits->msr_write(cfg->owner, &v->vp, run->msr.index, run->msr.data));
}

static void exit_eoi(struct kvm_vp *v)
{
    const struct partition_config *cfg = &v->vp.part->cfg;

    cfg->exits->eoi(cfg->owner, &v->vp, v->run->eoi.vector);
}

static void exit_nothing(struct kvm_vp *v)
{
    (void)v;
}

static const struct {
    const char *name;
    void (*run)(struct kvm_vp *v);
} exits[] = {
    [KVM_EXIT_IO] = { "io", exit_io },
    [KVM_EXIT_MMIO] = { "mmio", exit_mmio },
    [KVM_EXIT_X86_RDMSR] = { "rdmsr", exit_rdmsr },
    [KVM_EXIT_X86_WRMSR] = { "wrmsr", exit_wrmsr },
    [KVM_EXIT_IOAPIC_EOI] = { "eoi", exit_eoi },
    [KVM_EXIT_INTR] = { "intr", exit_nothing },
    [KVM_EXIT_IRQ_WINDOW_OPEN] = { "irq-window", exit_nothing },
    /* Known by name only: they end the VP. */
    [KVM_EXIT_SHUTDOWN] = { "shutdown", NULL },
    [KVM_EXIT_FAIL_ENTRY] = { "fail-entry", NULL },
    [KVM_EXIT_INTERNAL_ERROR] = { "internal-error", NULL },
    [KVM_EXIT_HLT] = { "hlt", NULL },
    [KVM_EXIT_DEBUG] = { "debug", NULL },
};

static const char *exit_name(uint32_t reason)
{
    return reason < ARRAY_LEN(exits) && exits[reason].name ? exits[reason].name : "?";
}

/* ---- dying ----------------------------------------------------------------------------------- */

static enum vp_stop die(struct kvm_vp *v, enum vp_stop how, const char *what)
{
    struct kvm_sregs s = { 0 };
    struct kvm_regs r = { 0 };

    ioctl(v->fd, KVM_GET_REGS, &r);
    ioctl(v->fd, KVM_GET_SREGS, &s);
    snprintf(v->vp.death, sizeof v->vp.death,
             "%s on VP %u at RIP %#llx, %s, CPL %u, CR3 %#llx; last exits: %s %s %s %s", what,
             v->vp.index, (unsigned long long)r.rip,
             s.efer & (1 << 10) ? (s.cs.l ? "64-bit" : "compatibility mode")
             : s.cr0 & 1        ? "protected mode"
                                : "real mode",
             s.ss.dpl, (unsigned long long)s.cr3, exit_name(v->last_exits[0]),
             exit_name(v->last_exits[1]), exit_name(v->last_exits[2]),
             exit_name(v->last_exits[3]));
    return how;
}

static enum vp_stop die_of_error(struct kvm_vp *v)
{
    struct kvm_run *run = v->run;
    char what[96];

    if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
        snprintf(what, sizeof what, "KVM entry failed (hardware reason %#llx)",
                 (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
    else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
        snprintf(what, sizeof what, "KVM internal error (suberror %u)", run->internal.suberror);
    else
        snprintf(what, sizeof what, "KVM exit %u that nobody knows", run->exit_reason);
    return die(v, VP_FAILED, what);
}

/* ---- the loop -------------------------------------------------------------------------------- */

/* The PIC's interrupt goes in by KVM_INTERRUPT when the guest is ready, else we ask for a window. */
static void inject_extint(struct kvm_vp *v)
{
    struct kvm_partition *k = kvm_partition_of(v->vp.part);
    const struct partition_config *cfg = &v->vp.part->cfg;

    v->run->request_interrupt_window = 0;
    if (!__atomic_load_n(&k->extint, __ATOMIC_SEQ_CST))
        return;
    if (v->run->ready_for_interrupt_injection && v->run->if_flag) {
        int vector = cfg->exits->pic_ack(cfg->owner);
        struct kvm_interrupt irq = { .irq = (uint32_t)vector };
        if (vector >= 0)
            ioctl(v->fd, KVM_INTERRUPT, &irq);
    }
    if (__atomic_load_n(&k->extint, __ATOMIC_SEQ_CST))
        v->run->request_interrupt_window = 1;
}

static void note_exit(struct kvm_vp *v)
{
    uint32_t reason = v->run->exit_reason;

    TRACE("kvm", "exit", "vp %u %s", v->vp.index, exit_name(reason));
    v->n_exits[MIN(reason, ARRAY_LEN(v->n_exits) - 1)]++;
    memmove(v->last_exits + 1, v->last_exits, sizeof v->last_exits - sizeof v->last_exits[0]);
    v->last_exits[0] = reason;
}

static enum vp_stop run_until_stop(struct kvm_vp *v)
{
    for (;;) {
        /* Clear first, look afterwards: pairs with kvm_wake(). */
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&v->kicked, 0, __ATOMIC_SEQ_CST)) {
            /* Finish a half-done exit (KVM completes I/O at the next entry), then leave. */
            v->run->immediate_exit = 1;
            ioctl(v->fd, KVM_RUN, 0);
            return VP_KICKED;
        }
        run_deadline(v);
        if (v->vp.index == 0)
            inject_extint(v);
        if (ioctl(v->fd, KVM_RUN, 0) < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            char what[96];
            snprintf(what, sizeof what, "KVM_RUN: %s", strerrordesc_np(errno));
            return die(v, VP_FAILED, what);
        }
        note_exit(v);
        uint32_t reason = v->run->exit_reason;
        if (reason == KVM_EXIT_SHUTDOWN)
            return die(v, VP_SHUTDOWN, "triple fault");
        if (reason >= ARRAY_LEN(exits) || !exits[reason].run)
            return die_of_error(v);
        exits[reason].run(v);
    }
}

enum vp_stop kvm_run_vp(struct vp *vp)
{
    struct kvm_vp *v = kvm_vp_of(vp);
    enum vp_stop stop;

    v->thread = pthread_self();
    if (!v->has_timer)
        make_timer(v);
    __atomic_store_n(&v->running, 1, __ATOMIC_SEQ_CST);
    stop = run_until_stop(v);
    __atomic_store_n(&v->running, 0, __ATOMIC_SEQ_CST);
    return stop;
}
