/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu.h - the soft engine's virtual processor: its state, and how its parts meet.
 *
 *   decode.c                bytes -> struct insn (pure)                              insn.h
 *   block.c run.c ops_*.c   blocks of pre-decoded operations, the run loop           block.h exec.h
 *   mmu.c mem.c             page walks, the soft TLB, loads and stores               mem.h
 *   event.c seg.c far.c     exceptions and interrupts, segments, far transfers       sys.h
 *   control.c msr.c ...     control registers, MSRs, CPUID, system instructions      sys.h
 *   fpu.c fpu_handler.c stub.c  floating point and vectors on the host's own units   fpu.h
 *   sse.c avx.c x87.c xsave.c ...  their instructions and saved state                fpu_private.h
 *   diff_*.c                random streams against the host's CPU                    diff.h
 *   lapic.c soft.c          local APIC; threads, sleep and wake, rendezvous, state   lapic.h soft.h
 *
 * Rules that hold everywhere below this folder:
 * - Only the VP's own thread touches its struct, but for the fields marked "any thread".
 * - A fault never returns: soft_raise() unwinds to the run loop by longjmp.  So an instruction
 *   changes no register before its last possible fault, and owns nothing while it may fault.
 * - Integer operations keep flags lazily (run.c); when code outside the ops_*.c files runs,
 *   vp->rip is the address of the current instruction and vp->rflags is complete.
 * - Nothing but x87/MMX code touches the host's x87 and MMX registers: the guest's may live there. */
#pragma once

#include <setjmp.h>

#include "cpu/engine_ops.h"

struct soft;
struct block;
struct op;
struct tlb;
struct lapic;

/* What a VP is asked to look at when its block ends: any thread sets, its own thread clears. */
enum attention {
    ATT_IRQ = 1 << 0,        /* the local APIC or the PIC may have a vector for us */
    ATT_NMI = 1 << 1,
    ATT_NMI2 = 1 << 7, /* a second one came before the first was taken */
    ATT_INIT = 1 << 2,
    ATT_SIPI = 1 << 3,
    ATT_KICK = 1 << 4,       /* vp_run() shall return */
    ATT_RENDEZVOUS = 1 << 5, /* somebody waits for us at a safe point (soft.h) */
    ATT_DEADLINE = 1 << 6,   /* the own timers: local APIC timer, vp_set_deadline() */
};

/* Execution mode; part of the key of a block. */
enum mode_bit {
    MODE_16 = 0,           /* default operand and address size */
    MODE_32 = 1,
    MODE_64 = 2,
    MODE_SIZE = 3,         /* mask of the three */
    MODE_USER = 1 << 2,    /* CPL 3 */
    MODE_PROT = 1 << 3,    /* CR0.PE and not VM86 */
    MODE_VM86 = 1 << 4,
    MODE_STACK32 = 1 << 5, /* SS.B, or 64-bit code */
    MODE_FLAT = 1 << 6,    /* CS DS ES SS: base 0, limit 4 GiB, usable (64-bit code: always) */
    MODE_FPU = 1 << 7,     /* CR0.EM and TS clear, CR4.OSFXSR set: no check at x87/SSE */
    MODE_STEP = 1 << 8,    /* TF or RF set, or a breakpoint armed: one instruction a block (sys.h) */
    MODE_AVX = 1 << 9,     /* CR4.OSXSAVE and XCR0 allow AVX */
    MODE_XM = 1 << 10,     /* MXCSR unmasks an exception (fpu_mode()) */
    MODE_MF = 1 << 11,     /* the x87 control word does */
};

enum {
    F_CF = 1 << 0, F_1 = 1 << 1, F_PF = 1 << 2, F_AF = 1 << 4, F_ZF = 1 << 6, F_SF = 1 << 7,
    F_TF = 1 << 8, F_IF = 1 << 9, F_DF = 1 << 10, F_OF = 1 << 11, F_IOPL = 3 << 12, F_NT = 1 << 14,
    F_RF = 1 << 16, F_VM = 1 << 17, F_AC = 1 << 18, F_VIF = 1 << 19, F_VIP = 1 << 20, F_ID = 1 << 21,
    F_ARITH = F_CF | F_PF | F_AF | F_ZF | F_SF | F_OF,
};

enum {
    CR0_PE = 1 << 0, CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_TS = 1 << 3, CR0_ET = 1 << 4,
    CR0_NE = 1 << 5, CR0_WP = 1 << 16, CR0_AM = 1 << 18, CR0_NW = 1 << 29, CR0_CD = 1 << 30,
    CR4_VME = 1 << 0, CR4_PVI = 1 << 1, CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_PSE = 1 << 4,
    CR4_PAE = 1 << 5, CR4_MCE = 1 << 6, CR4_PGE = 1 << 7, CR4_PCE = 1 << 8, CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10, CR4_UMIP = 1 << 11, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21,
    EFER_SCE = 1 << 0, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11,
    EFER_FFXSR = 1 << 14,
};
#define CR0_PG UINT64_C(0x80000000)

enum vector {
    EXC_DE = 0, EXC_DB = 1, EXC_NMI = 2, EXC_BP = 3, EXC_OF = 4, EXC_BR = 5, EXC_UD = 6, EXC_NM = 7,
    EXC_DF = 8, EXC_TS = 10, EXC_NP = 11, EXC_SS = 12, EXC_GP = 13, EXC_PF = 14, EXC_MF = 16,
    EXC_AC = 17, EXC_MC = 18, EXC_XM = 19,
};

/* An event on its way into the guest. */
enum event_type {
    EVENT_EXT = 0,
    EVENT_NMI = 2,
    EVENT_EXC = 3,
    EVENT_SOFT_INT = 4,
    EVENT_ICEBP = 5,
    EVENT_SOFT_EXC = 6, /* INT3, INTO */
};
struct event {
    uint8_t vector, type;
    bool has_error;
    uint32_t error;
};

/* Values of the longjmp back into the run loop. */
enum unwind {
    UNWIND_FAULT = 1, /* vp->event was raised by the instruction vp->op */
    UNWIND_RETRY,     /* run the instruction again (code_write_check) */
};

/* Floating point and vector state; fpu.h says where the truth is when. */
struct soft_fpu {
    _Alignas(64) uint8_t ymm[16][32]; /* XMM is the low half; always the truth */
    _Alignas(64) uint8_t fx[512];     /* x87/MMX in FXSAVE64 layout, unless 'live' in the host */
    uint32_t mxcsr;                   /* its sticky flags are in the host's while 'entered' */
    bool live, entered;
    bool sse_unmasked, x87_unmasked;  /* mode bits: see fpu_mode() */
    uint16_t fop, fcs, fds;           /* x87's last instruction and operand; fx has none of them */
    uint64_t fip, fdp;
    uint64_t next_fdp; /* of translated code: what fdp becomes */
    uint64_t xcr0;
};

#define TOP_LIMIT (PAGE_SIZE - 7) /* 8 bytes fit */
#define RUN_WORDS_MAX 7           /* pushes or pops with one check (jit_run.c) */
#define RUN_LIMIT (PAGE_SIZE - RUN_WORDS_MAX * 8 + 1)

/* Pages that loops of translated code go through: entries of the TLB (jit_page.c). */
#define PAGE_SLOTS 8
#define PAGE_SLOT_LIMIT (PAGE_SIZE - 31) /* 32 bytes fit */
struct page_slot {
    uint64_t tag, delta; /* linear address of the page; what leads from there to the host's */
};

enum vectors_live { VECTORS_NONE, VECTORS_XMM, VECTORS_YMM };

struct soft_vp {
    /* The hottest first: handlers and translated code reach them with short displacements. */
    uint64_t gpr[GPRS];
    uint64_t rip;            /* see the rules above; exact at block ends and in helpers */
    uint64_t block_rip;      /* RIP of the first byte of the block in execution */
    uint64_t lazy[5];        /* the run loop's lazy flags */
    struct tlb *tlb;         /* the current set: by address space and privilege (mem.h) */
    uint64_t top_tag, top_host; /* one of its write entries, most likely the stack's (jit_emit.c) */
    uint64_t top_limit;         /* for accesses at less than this in it: TOP_LIMIT, or 0 */
    uint64_t run_limit;         /* the same of runs: RUN_LIMIT, or 0 */
    uint64_t seg_base[SEGS]; /* copies of seg[].base for address formation; 0 where 64-bit says so */
    uint32_t attention;      /* any thread: atomic */
    uint32_t jump_tag;       /* of valid entries of the jump cache: generation, mode */
    struct run_state *run;   /* run.c, code.c: jump cache ... */
    /* Stack of translated code, of return_stack.h; the host's own while it runs. */
    uint64_t frames, frames_limit, frames_none, host_sp;
    struct tlb *tlb_in_gs;   /* what the thread's GS is in translated code, or NULL */
    const struct op *op;     /* operation in execution, valid whenever something may fault */
    uint64_t next_rip;       /* for helpers (exec.h) */
    uint64_t rflags;         /* arithmetic bits are lazy inside blocks */
    uint64_t fetch_low;      /* low bits of tags of the fetch table: generation, user */
    uint32_t mode;           /* enum mode_bit, kept by soft_mode_changed() */
    uint8_t vectors_live;    /* enum vectors_live: translated code has them in the host's registers */
    uint8_t cpl;
    uint8_t shadow;          /* 1: STI holds interrupts off for one instruction; 2: MOV SS, traps too */
    bool nmi_masked;
    bool halted;             /* HLT executed: the run loop calls soft_sleep() */

    struct vp_segment seg[SEGS];
    struct vp_dtable gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, efer, dr[8];
    struct vp_msrs msrs;
    uint64_t tsc_offset; /* the partition's; guest TSC = host TSC + this */
    struct soft_fpu fpu;

    uint8_t ext;         /* bit 0 of error codes met while an event is delivered (event.c) */
    bool step;           /* TF was set when this instruction began: the run loop sets it */
    uint32_t debug_hits; /* DR6 bits that wait for the end of the instruction (debug_trap) */

    struct event event;  /* being raised or delivered */
    bool event_valid;
    jmp_buf unwind;      /* into the run loop, by _setjmp/_longjmp */

    uint32_t mp_state;    /* enum vp_mp_state; any thread reads */
    uint8_t sipi_vector;
    uint64_t deadline_ns; /* vp_set_deadline() */
    uint64_t poll_tsc;    /* host TSC at which the own timers want a look: soft_poll() */

    struct page_slot page_slot[2][PAGE_SLOTS]; /* [write]; all are good, or none */
    uint64_t page_limit[2];                    /* PAGE_SLOT_LIMIT, or 0: none */

    struct soft *soft;
    struct lapic *lapic;
    struct vp vp; /* what the rest of Verdin knows */

    /* Private to their files. */
    struct lockstep *lockstep;  /* lockstep.c; NULL in other modes */
    struct mmu_state *mmu;           /* mmu.c: TLB sets, level 2 ... */
    struct thread_state *thread;     /* soft.c: sleep, rendezvous */
    struct fpu_private *fpu_private; /* sse.c, x87.c */

    /* Counters, written by the own thread. */
    struct soft_counters {
        uint64_t insns, blocks_decoded, insns_decoded, tlb_misses, page_walks, tlb_flushes;
        uint64_t code_writes, rendezvous, pio, mmio, msr, hypercalls, halts, irqs, faults[32];
        uint64_t translated_blocks, translated_insns, translated_bytes, translate_ticks;
        uint64_t side_exits, interpreted, unlinked; /* ways out of translated code */
        uint64_t steps, steps_disturbed;            /* of lock-step */
    } count;

    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    unsigned n_cpuid;
    struct soft_features { /* of the table above, for quick tests: cpuid_changed() */
        uint32_t edx1, ecx1, ebx7, ecx7, edx7, ecx81, edx81, ebx88, eax821, xcr0;
        bool amd;
    } feature;
};

struct soft { /* the partition */
    struct partition part;
    struct gmem *gmem;
    struct code_cache *code;    /* block.c */
    struct soft_shared *shared; /* soft.c */
    uint32_t extint;            /* PIC's INTR line; any thread */
    uint64_t tsc_offset;
};

static inline struct soft_vp *soft_vp_of(struct vp *vp)
{
    return container_of(vp, struct soft_vp, vp);
}

static inline struct soft_vp *soft_vp_at(struct soft *s, unsigned index)
{
    return soft_vp_of(s->part.vp[index]);
}

/* Raise an exception at the current instruction; does not return.  For #PF set cr2 first. */
_Noreturn void soft_raise(struct soft_vp *vp, uint8_t vector);
_Noreturn void soft_raise_error(struct soft_vp *vp, uint8_t vector, uint32_t error);

/* Something that mode_bit or the segment copies depend on has changed: CS/SS/DS/ES/FS/GS, CPL, CR0,
 * CR4, EFER, RFLAGS.TF/AC/VM, DR7, XCR0.  Recomputes vp->mode, seg_base, and picks the TLB set. */
void soft_mode_changed(struct soft_vp *vp);

static inline uint64_t soft_tsc(const struct soft_vp *vp)
{
    return __builtin_ia32_rdtsc() + vp->tsc_offset;
}
