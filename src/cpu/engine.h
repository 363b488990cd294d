/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine.h - what executes guest code: the whole of what the rest of Verdin knows about it.
 *
 * A partition is one machine: guest memory, virtual processors (VP), interrupt state.  Two engines
 * stand behind this header: kvm (/dev/kvm) and soft (our own x86-64 CPU).  Everything Hyper-V lives
 * above (hv/) and reaches the guest through the exits below.
 *
 * Threads: each VP belongs to the thread that calls vp_run() on it; functions that name a VP are
 * for that thread, or for anybody while no VP of the partition runs, unless they say "any thread".
 * Exits are called on the VP's thread with no lock held. */
#pragma once

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/state.h"
#include "guest/gmem.h"

#define VPS_MAX 64

/* An OUT of EAX to this port from the hypercall page is a hypercall, on both engines: KVM gives
 * user space no other exit that carries all registers.  No device may claim it. */
#define HYPERCALL_PORT 0xb1

struct partition;
struct vp;

enum engine_kind { ENGINE_AUTO, ENGINE_KVM, ENGINE_SOFT };
enum soft_mode { SOFT_DEFAULT, SOFT_INTERP, SOFT_JIT, SOFT_JIT_EAGER /* each block at once: tests */,
                 SOFT_LOCKSTEP /* the two side by side */ };

/* Registers of a hypercall; 'rax' .. are the guest's, 'result' goes back to RAX (EDX:EAX in 32-bit
 * modes; the engine knows). */
struct hypercall {
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, r8;
    uint64_t rip;      /* linear address of the OUT */
    gpa_t rip_gpa;     /* its guest-physical address, or all ones when it does not translate */
    uint8_t xmm[6][16];
    uint8_t cpl;
    bool long_mode;    /* 64-bit code */
    uint64_t result;
};

/* What a VP cannot do itself.  All are called on the VP's thread. */
struct exit_ops {
    /* 'size' is 1, 2 or 4; unclaimed ports read all ones. */
    uint32_t (*pio_read)(void *owner, struct vp *vp, uint16_t port, unsigned size);
    void (*pio_write)(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value);

    /* Accesses outside RAM; 'size' is 1, 2, 4 or 8.  Writes to ROM come here, too. */
    uint64_t (*mmio_read)(void *owner, struct vp *vp, gpa_t at, unsigned size);
    void (*mmio_write)(void *owner, struct vp *vp, gpa_t at, unsigned size, uint64_t value);

    /* MSRs 0x40000000 .. 0x400001ff.  false: the guest gets #GP. */
    bool (*msr_read)(void *owner, struct vp *vp, uint32_t msr, uint64_t *ret);
    bool (*msr_write)(void *owner, struct vp *vp, uint32_t msr, uint64_t value);

    /* See HYPERCALL_PORT.  false: not a hypercall (not from the page): an OUT without effect. */
    bool (*hypercall)(void *owner, struct vp *vp, struct hypercall *h);

    /* The guest finished a level-triggered vector (for the IOAPIC). */
    void (*eoi)(void *owner, struct vp *vp, uint8_t vector);

    /* VP 0 takes the PIC's interrupt (partition_extint): which vector?  Negative: it went away. */
    int (*pic_ack)(void *owner);

    /* The moment set by vp_set_deadline() has come. */
    void (*deadline)(void *owner, struct vp *vp);
};

enum vp_stop {
    VP_KICKED,   /* vp_kick() */
    VP_SHUTDOWN, /* triple fault; vp_death() says more */
    VP_FAILED,   /* the engine cannot go on; vp_death() says why */
};

struct cpuid_entry {
    uint32_t leaf, subleaf;
    bool has_subleaf;
    uint32_t eax, ebx, ecx, edx;
};
#define CPUID_ENTRIES_MAX 128

struct partition_config {
    enum engine_kind engine;
    enum soft_mode soft_mode;
    struct gmem *gmem;   /* borrowed; complete before VPs run */
    struct clock *clock; /* borrowed */
    unsigned n_vps;      /* 1 .. VPS_MAX; VP i has APIC id i */
    const struct exit_ops *exits;
    void *owner;         /* first argument of each exit */
};

/* ---- partitions ------------------------------------------------------------------------------ */

/* VPs are made with it, in their reset state: VP 0 runs from the reset vector, the others wait for
 * INIT/SIPI. */
int partition_new(const struct partition_config *cfg, struct partition **ret, struct err *err);
void partition_free(struct partition *p);
enum engine_kind partition_engine(const struct partition *p); /* never ENGINE_AUTO */
struct vp *partition_vp(struct partition *p, unsigned index);

/* All VPs back to their reset state (no VP runs).  CPUID tables stay. */
void partition_reset(struct partition *p);

/* Deliver a message-signalled interrupt (0xFEExxxxx, data).  Any thread. */
void partition_msi(struct partition *p, uint64_t addr, uint32_t data);

/* The PIC's INTR line, wired to LINT0 of VP 0 (ExtINT).  Any thread. */
void partition_extint(struct partition *p, bool level);

/* Guest TSC, the same on every VP: host TSC + offset.  Set it while no VP runs (pause, restore). */
uint64_t partition_tsc(const struct partition *p);
void partition_set_tsc(struct partition *p, uint64_t value);
uint64_t partition_tsc_hz(const struct partition *p);
uint64_t partition_apic_hz(const struct partition *p); /* input clock of the APIC timer */

/* Drop cached translations of the VPs in 'mask' (bit n = VP n) before returning; also for VPs that
 * run right now.  'vp' is the caller.  -ENOTSUP: the engine leaves it to the guest's own IPIs. */
int partition_flush_tlb(struct partition *p, struct vp *vp, uint64_t mask);
bool partition_can_flush_tlb(const struct partition *p);

/* Bring pages that VPs wrote into the dirty flags of guest memory.  Any thread. */
int partition_sync_dirty(struct partition *p);

/* What the engine can offer, before the machine's own leaves; the topology leaves are left out. */
unsigned partition_cpuid(struct partition *p, struct cpuid_entry out[CPUID_ENTRIES_MAX]);

/* ---- virtual processors ---------------------------------------------------------------------- */

unsigned vp_index(const struct vp *vp);
struct partition *vp_partition(const struct vp *vp);

/* Run until something stops it; a halted VP sleeps inside. */
enum vp_stop vp_run(struct vp *vp);

/* Make vp_run() return VP_KICKED soon, or at once when it is called next.  Any thread. */
void vp_kick(struct vp *vp);

/* The complete CPUID of this VP, the same at every call of the guest but for what the architecture
 * computes (OSXSAVE, the APIC id ...). */
int vp_set_cpuid(struct vp *vp, const struct cpuid_entry *e, unsigned n);

/* Fixed edge interrupt / NMI to this VP.  Any thread. */
void vp_interrupt(struct vp *vp, uint8_t vector);
void vp_nmi(struct vp *vp);

/* The vectors whose interrupts end as they are taken, as if the guest sent its EOI at once (a SINT
 * with AutoEOI): bit v % 64 of word v / 64.  Replaces the last call's; stays over an INIT.  On the
 * VP's thread, or while it does not run.  -ENOTSUP: the host has no such thing. */
int vp_auto_eoi(struct vp *vp, const uint64_t vectors[4]);

/* exits->deadline() runs when the machine clock reaches 'at_ns' (UINT64_MAX: never); one deadline a
 * VP, each call replaces it. */
void vp_set_deadline(struct vp *vp, uint64_t at_ns);

/* One line: what, where (CPU, RIP, mode), how it came.  Valid until the VP runs again. */
const char *vp_death(const struct vp *vp);

/* ---- state ----------------------------------------------------------------------------------- */

enum vp_seg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEGS };

struct vp_segment {
    uint64_t base;
    uint32_t limit; /* bytes, expanded by G */
    uint16_t sel;
    uint16_t attr;  /* as in the descriptor: 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G */
    uint8_t unusable;
    uint8_t pad[7];
};

struct vp_dtable {
    uint64_t base;
    uint16_t limit;
    uint16_t pad[3];
};

enum vp_gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPRS };

struct vp_regs {
    uint64_t gpr[GPRS]; /* in the order of the instruction encoding */
    uint64_t rip, rflags;
    struct vp_segment seg[SEGS];
    struct vp_dtable gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
    uint64_t dr[8]; /* 4 and 5 unused */
};

/* MSRs that travel with a VP besides those that vp_regs names. */
struct vp_msrs {
    uint64_t apic_base, star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, pat, misc_enable, tsc_aux, tsc_deadline;
    uint64_t mtrr_def_type, mtrr_fix[11], mtrr_var[16];
    uint64_t spec_ctrl, xss;
};

enum vp_mp_state { MP_RUNNING, MP_HALTED, MP_WAIT_INIT, MP_WAIT_SIPI };

/* The architectural state, the same for both engines: a VM saved on one goes on on the other. */
struct vp_state {
    struct vp_regs regs;
    struct vp_msrs msrs;
    uint64_t xcr0;
    uint8_t xsave[4096]; /* standard format; legacy area, header, AVX at 576 */
    uint8_t lapic[1024]; /* register page: register n at byte n * 16, 32 bits used */
    uint32_t mp_state;   /* enum vp_mp_state */
    uint8_t pending_vector, pending_type, pending_has_error, pending_valid; /* event in delivery */
    uint32_t pending_error;
    uint8_t nmi_pending, nmi_masked, sti_shadow, pad;
};
extern const struct state_desc vp_state_desc; /* "vp" */

void vp_get_regs(struct vp *vp, struct vp_regs *ret);
void vp_set_regs(struct vp *vp, const struct vp_regs *regs);
void vp_get_state(struct vp *vp, struct vp_state *ret);
int vp_set_state(struct vp *vp, const struct vp_state *s, struct err *err);

/* Virtual to physical as the VP's paging stands; false: not mapped. */
bool vp_translate(struct vp *vp, uint64_t va, gpa_t *ret);

/* Counters for the monitor and the bench; names live for ever.  Any thread, values may lag. */
struct vp_counter {
    const char *name;
    uint64_t value;
};
#define VP_COUNTERS_MAX 64
unsigned vp_counters(const struct vp *vp, struct vp_counter out[VP_COUNTERS_MAX]);

/* ---- choosing -------------------------------------------------------------------------------- */

/* Measure what /dev/kvm is worth (some milliseconds) and say in one line what was chosen and why. */
enum engine_kind engine_choose(char *why, size_t why_size);
const char *engine_name(enum engine_kind kind);
