/* SPDX-License-Identifier: GPL-2.0-or-later */
/* choose.c - --engine auto: which engine is faster here?
 *
 * That /dev/kvm opens proves nothing: on hosts without hardware virtualization it may be there and yet
 * run guests hundreds of times slower than the soft engine, or not at all.  So both engines run the
 * same small guest for some milliseconds (64-bit code at ring 0 with paging on: loads, stores and a
 * loop, then a load of CR3 and a port access, as kernels do), and the one that executes more
 * instructions a second is taken.
 *
 * KVM is measured on a thread of its own, kicked when its time is up, and abandoned when it does not
 * even answer to that: it then takes itself down whenever it comes back.
 * Called: vm/.   Tests: choose_test.c. */
#include <errno.h>
#include <pthread.h>

#include "cpu/bare_exits.h"

#define RUN_NS     (5 * NS_PER_MS)  /* of one engine */
/* From the start of an engine's thread, its VM included, until it is kicked.  The soft engine stops by
 * itself; before it begins it measures the TSC, which takes 10 ms. */
#define KVM_KICK_NS  (12 * NS_PER_MS)
#define SOFT_KICK_NS (40 * NS_PER_MS)
#define ANSWER_NS    (16 * NS_PER_MS) /* behind that it is abandoned */
#define ROUNDS_MAX 50
#define HARDWARE_MIPS 1000u /* less than any processor that runs guests by itself */

/* ---- the guest ------------------------------------------------------------------------------- */

#define MEM_SIZE   MIB
#define PML4_AT    0x1000
#define CODE_AT    0x8000
#define DATA_AT    0x9000
#define ITERATIONS 20000
#define LOOP_INSNS 6 /* of one iteration */
#define DONE_PORT  0x80

static const uint8_t guest_code[] = {
    0xb9, ITERATIONS & 0xff, ITERATIONS >> 8, 0, 0, /* 0: mov ecx, ITERATIONS */
    0x48, 0x01, 0x0b,                               /* 1: add [rbx], rcx */
    0x48, 0x8b, 0x43, 0x08,                         /*    mov rax, [rbx + 8] */
    0x48, 0x01, 0xc8,                               /*    add rax, rcx */
    0x48, 0x89, 0x43, 0x08,                         /*    mov [rbx + 8], rax */
    0xff, 0xc9,                                     /*    dec ecx */
    0x75, 0xee,                                     /*    jnz 1b */
    0x0f, 0x20, 0xd8,                               /*    mov rax, cr3 */
    0x0f, 0x22, 0xd8,                               /*    mov cr3, rax */
    0xe6, DONE_PORT,                                /*    out DONE_PORT, al */
    0xeb, 0xdf,                                     /*    jmp 0b */
};

static int fill_memory(struct gmem *m)
{
    uint64_t entry;
    int r = gmem_write(m, GPA(CODE_AT), guest_code, sizeof guest_code);

    for (unsigned level = 0; r == 0 && level < 3; level++) { /* one table each, entry 0 */
        entry = (PML4_AT + 0x1000 * (uint64_t)(level + 1)) | 3;
        r = gmem_write(m, GPA(PML4_AT + 0x1000 * (uint64_t)level), &entry, sizeof entry);
    }
    for (unsigned i = 0; r == 0 && i < 16; i++) {
        entry = i * PAGE_SIZE | 3;
        r = gmem_write(m, GPA(PML4_AT + 0x3000 + i * 8), &entry, sizeof entry);
    }
    return r;
}

static struct vp_segment segment(uint16_t sel, uint16_t attr)
{
    return (struct vp_segment){ .limit = UINT32_MAX, .sel = sel, .attr = attr };
}

static void set_registers(struct vp *vp)
{
    struct vp_regs r;

    vp_get_regs(vp, &r);
    r.gpr[RBX] = DATA_AT;
    r.gpr[RSP] = DATA_AT + 0x800;
    r.rip = CODE_AT;
    r.rflags = 2;
    r.cr0 = 0x80000033; /* PG NE ET MP PE */
    r.cr3 = PML4_AT;
    r.cr4 = 1 << 5;     /* PAE */
    r.efer = 0x500;     /* LMA LME */
    r.seg[SEG_CS] = segment(0x10, 0xa09b);
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        if (i != SEG_CS)
            r.seg[i] = segment(0x18, 0xc093);
    vp_set_regs(vp, &r);
}

/* ---- one engine's run ------------------------------------------------------------------------ */

struct measure {
    enum engine_kind kind;
    struct clock clock;
    uint64_t stop_ns; /* own clock */
    unsigned rounds;
    uint64_t insns, ns; /* the result */
    struct err err;
    int r;

    /* With the caller of KVM's thread; 'lock' guards the rest. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct vp *vp; /* while it may be kicked */
    bool done, abandoned;
};

static void pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    struct measure *m = owner;

    if (port != DONE_PORT)
        return;
    m->rounds++;
    if (m->rounds >= ROUNDS_MAX || clock_now_ns(&m->clock) >= m->stop_ns)
        vp_kick(vp);
}

static const struct exit_ops measure_exits = {
    .pio_read = bare_pio_read, .pio_write = pio_write, .mmio_read = bare_mmio_read,
    .mmio_write = bare_mmio_write, .msr_read = bare_msr_read, .msr_write = bare_msr_write,
};

static void set_vp(struct measure *m, struct vp *vp)
{
    pthread_mutex_lock(&m->lock);
    m->vp = vp;
    pthread_mutex_unlock(&m->lock);
}

static void run(struct measure *m, struct partition *p)
{
    struct vp *vp = partition_vp(p, 0);
    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    struct vp_regs regs;
    uint64_t t0;

    m->r = vp_set_cpuid(vp, cpuid, partition_cpuid(p, cpuid));
    if (m->r < 0) {
        err_errno(&m->err, -m->r, "CPUID of a test guest");
        return;
    }
    set_registers(vp);
    t0 = clock_now_ns(&m->clock);
    m->stop_ns = t0 + RUN_NS;
    set_vp(m, vp);
    enum vp_stop stop = vp_run(vp);
    set_vp(m, NULL);
    m->ns = clock_now_ns(&m->clock) - t0;
    if (stop != VP_KICKED) {
        m->r = err_set(&m->err, EIO, "a test guest died: %s", vp_death(vp));
        return;
    }
    /* How far the unfinished round came stands in ECX. */
    vp_get_regs(vp, &regs);
    m->insns = (uint64_t)m->rounds * ITERATIONS * LOOP_INSNS;
    if (regs.gpr[RCX] <= ITERATIONS && regs.rip - CODE_AT < sizeof guest_code)
        m->insns += (ITERATIONS - regs.gpr[RCX]) % ITERATIONS * LOOP_INSNS;
}

static struct measure *measure_new(enum engine_kind kind)
{
    struct measure *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->kind = kind;
    m->r = -EINPROGRESS;
    clock_init(&m->clock);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    return m;
}

static void measure_free(struct measure *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_cond_destroy(&m->changed);
    free(m);
}

static void finish(struct measure *m)
{
    pthread_mutex_lock(&m->lock);
    m->done = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

/* The result is out before the machine is taken down: closing a KVM VM takes its time. */
static void *measure_thread(void *arg)
{
    struct measure *m = arg;
    struct partition_config cfg = { .engine = m->kind, .clock = &m->clock, .n_vps = 1,
                                    .exits = &measure_exits, .owner = m };
    struct partition *p = NULL;
    bool ours;

    m->r = gmem_new(MEM_SIZE, &cfg.gmem, &m->err);
    if (m->r == 0)
        m->r = fill_memory(cfg.gmem);
    if (m->r == 0)
        m->r = partition_new(&cfg, &p, &m->err);
    if (m->r == 0)
        run(m, p);
    finish(m);
    partition_free(p);
    gmem_free(cfg.gmem);
    pthread_mutex_lock(&m->lock);
    ours = m->abandoned;
    m->abandoned = true; /* whoever comes second frees */
    pthread_mutex_unlock(&m->lock);
    if (ours)
        measure_free(m);
    return NULL;
}

/* Wait for the result until 'ns' from the start; true: it is there. */
static bool wait_done(struct measure *m, uint64_t ns)
{
    uint64_t until = clock_wall_ns(), now = clock_now_ns(&m->clock);
    struct timespec ts;
    bool done;

    until += ns > now ? ns - now : 0;
    ts.tv_sec = (time_t)(until / NS_PER_S);
    ts.tv_nsec = (long)(until % NS_PER_S);
    pthread_mutex_lock(&m->lock);
    while (!m->done && pthread_cond_timedwait(&m->changed, &m->lock, &ts) != ETIMEDOUT)
        ;
    done = m->done;
    pthread_mutex_unlock(&m->lock);
    return done;
}

/* Instructions a microsecond (MIPS) of an engine in *ret_mips; or false, and why not. */
static bool measure(enum engine_kind kind, uint64_t *ret_mips, char *why, size_t why_size)
{
    struct measure *m = measure_new(kind);
    const uint64_t kick_ns = kind == ENGINE_KVM ? KVM_KICK_NS : SOFT_KICK_NS;
    pthread_t thread;
    bool ok = false, ours;

    snprintf(why, why_size, "out of memory");
    if (!m)
        return false;
    if (pthread_create(&thread, NULL, measure_thread, m) != 0) {
        measure_free(m);
        return false;
    }
    pthread_detach(thread);
    if (!wait_done(m, kick_ns)) {
        pthread_mutex_lock(&m->lock);
        if (m->vp)
            vp_kick(m->vp);
        pthread_mutex_unlock(&m->lock);
    }
    if (!wait_done(m, kick_ns + ANSWER_NS)) {
        snprintf(why, why_size, "a test guest does not come back within %u ms",
                 (unsigned)((kick_ns + ANSWER_NS) / NS_PER_MS));
    } else if (m->r < 0) {
        snprintf(why, why_size, "%.200s", m->err.text);
    } else {
        *ret_mips = m->insns * 1000 / MAX(m->ns, 1);
        ok = true;
    }
    pthread_mutex_lock(&m->lock);
    ours = m->abandoned;
    m->abandoned = true;
    pthread_mutex_unlock(&m->lock);
    if (ours)
        measure_free(m);
    return ok;
}

enum engine_kind engine_choose(char *why, size_t why_size)
{
    uint64_t kvm = 0, soft = 0;
    char reason[256];

    if (access("/dev/kvm", R_OK | W_OK) < 0) {
        snprintf(why, why_size, "soft: /dev/kvm: %s", strerrordesc_np(errno));
        return ENGINE_SOFT;
    }
    if (!measure(ENGINE_KVM, &kvm, reason, sizeof reason)) {
        snprintf(why, why_size, "soft: on /dev/kvm %s", reason);
        return ENGINE_SOFT;
    }
    /* A busy host may leave the second guest no time to run: then the first result must speak for
     * itself. */
    if ((!measure(ENGINE_SOFT, &soft, reason, sizeof reason) || !soft) && kvm < HARDWARE_MIPS) {
        snprintf(why, why_size, "soft: /dev/kvm runs a test guest at %llu MIPS, hardware does %u",
                 (unsigned long long)kvm, HARDWARE_MIPS);
        return ENGINE_SOFT;
    }
    if (kvm >= soft) {
        snprintf(why, why_size, "kvm: runs a test guest at %llu MIPS, the soft engine at %llu",
                 (unsigned long long)kvm, (unsigned long long)soft);
        return ENGINE_KVM;
    }
    snprintf(why, why_size, "soft: runs a test guest at %llu MIPS, /dev/kvm at %llu",
             (unsigned long long)soft, (unsigned long long)kvm);
    return ENGINE_SOFT;
}
