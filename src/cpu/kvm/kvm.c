/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kvm.c - the partition of the kvm engine; see kvm.h. */
#include "cpu/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include "base/log.h"

#define TSS_ADDR          UINT64_C(0xfffbd000) /* three pages and one below SeaBIOS's place */
#define IDENTITY_MAP_ADDR UINT64_C(0xfffbc000)
#define SYNTHETIC_MSRS    0x40000000u
#define N_SYNTHETIC_MSRS  0x200u
#define CPUID_MAX         256

/* ---- capabilities ---------------------------------------------------------------------------- */

static int enable_cap(struct kvm_partition *k, uint32_t cap, uint64_t arg, const char *name,
                      struct err *err)
{
    struct kvm_enable_cap e = { .cap = cap, .args = { arg } };

    if (ioctl(k->fd, KVM_ENABLE_CAP, &e) < 0)
        return err_errno(err, errno, "/dev/kvm: cannot enable %s", name);
    return 0;
}

/* 4.97: reads and writes of the synthetic MSRs come to us, whatever the kernel thinks of them. */
static int filter_msrs(struct kvm_partition *k, struct err *err)
{
    static uint8_t none[N_SYNTHETIC_MSRS / 8];
    struct kvm_msr_filter f = {
        .flags = KVM_MSR_FILTER_DEFAULT_ALLOW,
        .ranges[0] = { .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                       .base = SYNTHETIC_MSRS,
                       .nmsrs = N_SYNTHETIC_MSRS,
                       .bitmap = none },
    };

    if (ioctl(k->fd, KVM_X86_SET_MSR_FILTER, &f) < 0)
        return err_errno(err, errno, "/dev/kvm: cannot filter MSRs");
    return 0;
}

static int enable_caps(struct kvm_partition *k, struct err *err)
{
    int r = enable_cap(k, KVM_CAP_SPLIT_IRQCHIP, IOAPIC_ROUTES, "the split irqchip", err);

    if (r == 0)
        r = enable_cap(k, KVM_CAP_X86_USER_SPACE_MSR,
                       KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN |
                           KVM_MSR_EXIT_REASON_FILTER,
                       "MSR exits", err);
    if (r == 0)
        r = filter_msrs(k, err);
    if (r == 0)
        r = enable_cap(k, KVM_CAP_X2APIC_API,
                       KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK,
                       "32-bit APIC ids", err);
    return r;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int map_slots(struct kvm_partition *k, uint32_t flags, struct err *err)
{
    struct gmem *m = k->part.cfg.gmem;

    for (unsigned i = 0; i < m->n_regions; i++) {
        const struct gmem_region *g = &m->region[i];
        struct kvm_userspace_memory_region r = {
            .slot = i,
            .flags = flags | (g->kind == GMEM_ROM ? KVM_MEM_READONLY : 0),
            .guest_phys_addr = g->gpa,
            .memory_size = g->size,
            .userspace_addr = (uintptr_t)(m->base + g->gpa),
        };
        if (ioctl(k->fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
            return err_errno(err, errno, "/dev/kvm: cannot map guest memory at %#llx",
                             (unsigned long long)g->gpa);
    }
    k->n_slots = m->n_regions;
    return 0;
}

/* Copy one slot's dirty bitmap (reading clears it) into the flags of guest memory. */
static int sync_slot(struct kvm_partition *k, unsigned slot)
{
    struct gmem *m = k->part.cfg.gmem;
    const struct gmem_region *g = &m->region[slot];
    size_t words = (g->size / PAGE_SIZE + 63) / 64;
    AUTO(free_p) uint64_t *bits = calloc(words, sizeof *bits);
    struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };

    if (!bits)
        return -ENOMEM;
    if (ioctl(k->fd, KVM_GET_DIRTY_LOG, &log) < 0)
        return -errno;
    for (size_t w = 0; w < words; w++) {
        for (uint64_t left = bits[w]; left; left &= left - 1) {
            uint64_t page = g->gpa / PAGE_SIZE + w * 64 + (unsigned)__builtin_ctzll(left);
            __atomic_fetch_or(&m->flags[page], GMEM_DIRTY, __ATOMIC_RELAXED);
        }
    }
    return 0;
}

static int kvm_sync_dirty(struct partition *p)
{
    struct kvm_partition *k = kvm_partition_of(p);
    bool want = __atomic_load_n(&p->cfg.gmem->track_dirty, __ATOMIC_SEQ_CST);

    if (want != k->dirty_log) {
        int r = map_slots(k, want ? KVM_MEM_LOG_DIRTY_PAGES : 0, NULL);
        if (r < 0)
            return r;
        k->dirty_log = want;
    }
    for (unsigned i = 0; want && i < k->n_slots; i++) {
        int r = sync_slot(k, i);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* With a split irqchip KVM reports the EOI of a vector only when a level-triggered route names it
 * (5.8).  The IOAPIC is above us, so routes are learned from the messages that it sends. */
static void learn_route(struct kvm_partition *k, const struct kvm_msi *msi)
{
    struct kvm_irq_routing *table;
    unsigned slot;

    pthread_mutex_lock(&k->routes_lock);
    for (slot = 0; slot < k->n_routes; slot++) {
        const struct kvm_irq_routing_msi *m = &k->routes[slot].u.msi;
        if (m->address_lo == msi->address_lo && m->address_hi == msi->address_hi &&
            m->data == msi->data)
            goto out;
    }
    slot = k->next_route++ % IOAPIC_ROUTES;
    k->n_routes = MAX(k->n_routes, slot + 1);
    k->routes[slot] = (struct kvm_irq_routing_entry){
        .gsi = slot,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = { .address_lo = msi->address_lo, .address_hi = msi->address_hi,
                   .data = msi->data },
    };
    table = calloc(1, sizeof *table + sizeof k->routes);
    if (table) {
        table->nr = k->n_routes;
        memcpy(table->entries, k->routes, k->n_routes * sizeof k->routes[0]);
        if (ioctl(k->fd, KVM_SET_GSI_ROUTING, table) < 0)
            log_limited(LOG_WARN, "kvm: cannot set interrupt routes: %s", strerrordesc_np(errno));
        free(table);
    }
out:
    pthread_mutex_unlock(&k->routes_lock);
}

#define MSI_DATA_LEVEL (1u << 15)

static void kvm_msi(struct partition *p, uint64_t addr, uint32_t data)
{
    struct kvm_partition *k = kvm_partition_of(p);
    struct kvm_msi msi = {
        .address_lo = (uint32_t)addr,
        .address_hi = (uint32_t)(addr >> 32),
        .data = data,
    };

    if (data & MSI_DATA_LEVEL)
        learn_route(k, &msi);
    if (ioctl(k->fd, KVM_SIGNAL_MSI, &msi) < 0)
        log_limited(LOG_DEBUG, "kvm: MSI %#llx %#x: %s", (unsigned long long)addr, data,
                    strerrordesc_np(errno));
}

static void kvm_interrupt(struct vp *vp, uint8_t vector)
{
    kvm_msi(vp->part, 0xfee00000 | (uint64_t)vp->index << 12, vector);
}

static void kvm_nmi(struct vp *vp)
{
    kvm_msi(vp->part, 0xfee00000 | (uint64_t)vp->index << 12, 4u << 8);
}

#define MSR_SINT0      UINT32_C(0x40000090)
#define SINTS          16
#define SINT_MASKED    (1u << 16)
#define SINT_AUTO_EOI  (1u << 17)

/* The kernel ends an interrupt as it is taken when a SINT of its own SynIC says so (4.118).  The
 * guest's SINTs are ours, so the kernel's only name the vectors; they stay as the host wrote them. */
static int kvm_auto_eoi(struct vp *vp, const uint64_t vectors[4])
{
    struct kvm_vp *v = kvm_vp_of(vp);
    struct kvm_enable_cap e = { .cap = KVM_CAP_HYPERV_SYNIC2 };
    bool any = vectors[0] | vectors[1] | vectors[2] | vectors[3];
    uint32_t sint = 0;

    if (!v->has_synic) {
        if (!any)
            return 0;
        if (ioctl(v->fd, KVM_ENABLE_CAP, &e) < 0)
            return -ENOTSUP;
        v->has_synic = true;
    }
    for (unsigned i = 0; i < 256 && sint < SINTS; i++)
        if (vectors[i / 64] >> i % 64 & 1 && !kvm_set_msr(v, MSR_SINT0 + sint++, SINT_AUTO_EOI | i))
            return -ENOTSUP;
    while (sint < SINTS)
        kvm_set_msr(v, MSR_SINT0 + sint++, SINT_MASKED);
    return 0;
}

static void kvm_extint(struct partition *p, bool level)
{
    struct kvm_partition *k = kvm_partition_of(p);

    if (__atomic_exchange_n(&k->extint, level, __ATOMIC_SEQ_CST) != level && level)
        kvm_wake(kvm_vp_of(p->vp[0]));
}

/* ---- time ------------------------------------------------------------------------------------ */

#define MSR_TSC 0x10

static void learn_tsc(struct kvm_partition *k)
{
    uint64_t guest = 0, before = __rdtsc(), after;

    kvm_get_msr(kvm_vp_of(k->part.vp[0]), MSR_TSC, &guest);
    after = __rdtsc();
    k->tsc_offset = guest - (before + (after - before) / 2);
}

static uint64_t kvm_tsc(const struct partition *p)
{
    return __rdtsc() + kvm_partition_of(p)->tsc_offset;
}

/* 4.1 of vcpu.rst (KVM_VCPU_TSC_OFFSET): exact and the same for all; older kernels take a write of
 * the MSR on each VP, which they align when the writes come close together. */
static void kvm_set_tsc(struct partition *p, uint64_t value)
{
    struct kvm_partition *k = kvm_partition_of(p);
    uint64_t offset = value - __rdtsc();

    for (unsigned i = 0; i < p->cfg.n_vps; i++) {
        struct kvm_vp *v = kvm_vp_of(p->vp[i]);
        struct kvm_device_attr a = { .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET,
                                     .addr = (uintptr_t)&offset };
        if (ioctl(v->fd, KVM_SET_DEVICE_ATTR, &a) < 0)
            kvm_set_msr(v, MSR_TSC, __rdtsc() + offset);
    }
    learn_tsc(k);
}

/* ---- CPUID ----------------------------------------------------------------------------------- */

#define LEAF_KVM_FIRST 0x40000000u
#define LEAF_KVM_LAST  0x400000ffu

static unsigned kvm_cpuid(struct partition *p, struct cpuid_entry *out)
{
    AUTO(free_p) struct kvm_cpuid2 *c =
        calloc(1, sizeof *c + CPUID_MAX * sizeof(struct kvm_cpuid_entry2));
    unsigned n = 0;

    if (!c)
        return 0;
    c->nent = CPUID_MAX;
    if (ioctl(kvm_partition_of(p)->kvm_fd, KVM_GET_SUPPORTED_CPUID, c) < 0)
        return 0;
    for (unsigned i = 0; i < c->nent && n < CPUID_ENTRIES_MAX; i++) {
        const struct kvm_cpuid_entry2 *e = &c->entries[i];
        if (e->function >= LEAF_KVM_FIRST && e->function <= LEAF_KVM_LAST)
            continue; /* the machine says which hypervisor this is */
        out[n++] = (struct cpuid_entry){
            .leaf = e->function,
            .subleaf = e->index,
            .has_subleaf = (e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) != 0,
            .eax = e->eax, .ebx = e->ebx, .ecx = e->ecx, .edx = e->edx,
        };
    }
    return n;
}

static unsigned bits_for(unsigned n)
{
    return n <= 1 ? 0 : 32 - (unsigned)__builtin_clz(n - 1);
}

/* The topology leaves: one socket of n cores with one thread each. */
static void set_topology(struct kvm_cpuid_entry2 *e, unsigned id, unsigned n)
{
    switch (e->function) {
    case 1:
        e->ebx = (e->ebx & 0xffff) | n << 16 | id << 24;
        e->edx = n > 1 ? e->edx | 1u << 28 : e->edx & ~(1u << 28);
        break;
    case 4:
        e->eax = e->eax ? (e->eax & 0x3fff) | ((1u << bits_for(n)) - 1) << 26 : 0;
        break;
    case 0xb:
    case 0x1f:
        e->ecx = e->index | (e->index < 2 ? (e->index + 1) << 8 : 0);
        e->eax = e->index == 1 ? bits_for(n) : 0;
        e->ebx = e->index == 0 ? 1 : e->index == 1 ? n : 0;
        e->edx = id;
        break;
    case 0x80000008:
        e->ecx = (n - 1) | bits_for(n) << 12;
        break;
    case 0x8000001e:
        e->eax = id;
        e->ebx = id;
        e->ecx = 0;
        break;
    default: break;
    }
}

static int kvm_set_cpuid(struct vp *vp, const struct cpuid_entry *e, unsigned n)
{
    AUTO(free_p) struct kvm_cpuid2 *c =
        calloc(1, sizeof *c + (n + 4) * sizeof(struct kvm_cpuid_entry2));

    if (!c)
        return -ENOMEM;
    for (unsigned i = 0; i < n; i++) {
        struct kvm_cpuid_entry2 *k = &c->entries[c->nent++];
        *k = (struct kvm_cpuid_entry2){
            .function = e[i].leaf,
            .index = e[i].subleaf,
            .flags = e[i].has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = e[i].eax, .ebx = e[i].ebx, .ecx = e[i].ecx, .edx = e[i].edx,
        };
        set_topology(k, vp->index, vp->part->cfg.n_vps);
    }
    return ioctl(kvm_vp_of(vp)->fd, KVM_SET_CPUID2, c) < 0 ? -errno : 0;
}

/* ---- lifecycle ------------------------------------------------------------------------------- */

static void ignore_signal(int sig)
{
    (void)sig;
}

static int new_vp(struct kvm_partition *k, unsigned index, size_t run_size, struct err *err)
{
    struct kvm_vp *v = calloc(1, sizeof *v);

    if (!v)
        return err_set(err, ENOMEM, "out of memory");
    v->vp = (struct vp){ .part = &k->part, .index = index };
    v->run_size = run_size;
    v->deadline_ns = UINT64_MAX;
    k->part.vp[index] = &v->vp;
    v->fd = ioctl(k->fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (v->fd < 0)
        return err_errno(err, errno, "/dev/kvm: cannot create VP %u", index);
    v->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        return err_errno(err, errno, "/dev/kvm: cannot map VP %u", index);
    }
    return 0;
}

static void kvm_partition_free(struct partition *p)
{
    struct kvm_partition *k = kvm_partition_of(p);

    for (unsigned i = 0; i < p->cfg.n_vps; i++) {
        struct kvm_vp *v = p->vp[i] ? kvm_vp_of(p->vp[i]) : NULL;
        if (!v)
            continue;
        if (v->has_timer)
            timer_delete(v->timer);
        if (v->run)
            munmap(v->run, v->run_size);
        close_fd_p(&v->fd);
        free(v);
    }
    close_fd_p(&k->fd);
    close_fd_p(&k->kvm_fd);
    pthread_mutex_destroy(&k->routes_lock);
    free(k);
}

static int build(struct kvm_partition *k, struct err *err)
{
    uint64_t identity = IDENTITY_MAP_ADDR;
    struct sigaction sa = { .sa_handler = ignore_signal };
    int r, run_size;

    k->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (k->kvm_fd < 0)
        return err_errno(err, errno, "/dev/kvm");
    if (ioctl(k->kvm_fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
        return err_set(err, ENOTSUP, "/dev/kvm: not API version %d", KVM_API_VERSION);
    k->fd = ioctl(k->kvm_fd, KVM_CREATE_VM, 0);
    if (k->fd < 0)
        return err_errno(err, errno, "/dev/kvm: cannot create a VM");
    ioctl(k->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity); /* Intel hosts; others need neither */
    ioctl(k->fd, KVM_SET_TSS_ADDR, (unsigned long)TSS_ADDR);
    r = enable_caps(k, err);
    if (r == 0)
        r = map_slots(k, 0, err);
    if (r < 0)
        return r;
    run_size = ioctl(k->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run))
        return err_set(err, ENOTSUP, "/dev/kvm: no run area");
    for (unsigned i = 0; i < k->part.cfg.n_vps && r == 0; i++)
        r = new_vp(k, i, (size_t)run_size, err);
    if (r < 0)
        return r;
    sigaction(KICK_SIGNAL, &sa, NULL);
    r = ioctl(kvm_vp_of(k->part.vp[0])->fd, KVM_GET_TSC_KHZ, 0);
    k->part.tsc_hz = r > 0 ? (uint64_t)r * 1000 : clock_tsc_hz();
    k->part.apic_hz = NS_PER_S; /* the in-kernel APIC counts nanoseconds */
    learn_tsc(k);
    return 0;
}

static int kvm_partition_new(const struct partition_config *cfg, struct partition **ret,
                             struct err *err)
{
    struct kvm_partition *k = calloc(1, sizeof *k);
    int r;

    if (!k)
        return err_set(err, ENOMEM, "out of memory");
    k->part = (struct partition){ .ops = &kvm_engine, .cfg = *cfg };
    k->kvm_fd = k->fd = -1;
    pthread_mutex_init(&k->routes_lock, NULL);
    r = build(k, err);
    if (r < 0) {
        kvm_partition_free(&k->part);
        return r;
    }
    *ret = &k->part;
    return 0;
}

static void kvm_partition_reset(struct partition *p)
{
    struct kvm_partition *k = kvm_partition_of(p);

    k->extint = 0;
    for (unsigned i = 0; i < p->cfg.n_vps; i++) {
        struct vp_state s;
        struct err err;
        kvm_reset_state(p->vp[i], &s);
        if (kvm_set_state(p->vp[i], &s, &err) < 0)
            log_error("kvm: reset of VP %u: %s", i, err.text);
        kvm_set_deadline(p->vp[i], UINT64_MAX);
    }
}

static unsigned kvm_counters(const struct vp *vp, struct vp_counter *out)
{
    static const struct {
        unsigned reason;
        const char *name;
    } rows[] = {
        { KVM_EXIT_IO, "exit_io" },           { KVM_EXIT_MMIO, "exit_mmio" },
        { KVM_EXIT_X86_RDMSR, "exit_rdmsr" }, { KVM_EXIT_X86_WRMSR, "exit_wrmsr" },
        { KVM_EXIT_INTR, "exit_intr" },       { KVM_EXIT_IOAPIC_EOI, "exit_eoi" },
        { KVM_EXIT_IRQ_WINDOW_OPEN, "exit_irq_window" },
    };
    const struct kvm_vp *v = kvm_vp_of(vp);

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        out[i] = (struct vp_counter){ rows[i].name, v->n_exits[rows[i].reason] };
    return ARRAY_LEN(rows);
}

const struct engine_ops kvm_engine = {
    .name = "kvm",
    .kind = ENGINE_KVM,
    .partition_new = kvm_partition_new,
    .partition_free = kvm_partition_free,
    .partition_reset = kvm_partition_reset,
    .msi = kvm_msi,
    .extint = kvm_extint,
    .tsc = kvm_tsc,
    .set_tsc = kvm_set_tsc,
    .sync_dirty = kvm_sync_dirty,
    .cpuid = kvm_cpuid,
    .run = kvm_run_vp,
    .kick = kvm_kick,
    .set_cpuid = kvm_set_cpuid,
    .interrupt = kvm_interrupt,
    .nmi = kvm_nmi,
    .auto_eoi = kvm_auto_eoi,
    .set_deadline = kvm_set_deadline,
    .get_regs = kvm_get_regs,
    .set_regs = kvm_set_regs,
    .get_state = kvm_get_state,
    .set_state = kvm_set_state,
    .translate = kvm_translate,
    .counters = kvm_counters,
};
