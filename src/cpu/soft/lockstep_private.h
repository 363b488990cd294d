/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep_private.h - between lockstep.c (a step), lockstep_mem.c (its memory), lockstep_show.c. */
#pragma once

#include "cpu/soft/jit.h"
#include "cpu/soft/lockstep.h"
#include "cpu/soft/mmu.h"

#define LOCK_PAGES   64  /* that one step may touch */
#define LOCK_ENTRIES 128 /* of the TLB, for them */

/* What host code and the interpreter change within a step. */
struct lock_state {
    uint64_t gpr[GPRS];
    uint64_t rip, block_rip, lazy[4], next_rip, rflags, cr2, kernel_gs;
    uint64_t seg_base[SEGS];
    struct vp_segment seg[SEGS];
    struct event event;
    bool event_valid, live;
    uint8_t shadow;
    uint16_t fop, fcs, fds;
    uint64_t fip, fdp, next_fdp;
    uint32_t mxcsr, host_mxcsr;
    _Alignas(64) uint8_t ymm[16][32];
    _Alignas(64) uint8_t x87[512]; /* as FXSAVE has it, when 'live' */
};

struct lock_page {
    uint8_t *real;
    bool written;
};
struct lock_entry {
    uint16_t slot, page;
};

/* Where the interpreter stopped. */
enum lock_stop {
    LOCK_LOOP, /* it returned to the run loop by itself: vp->rip */
    LOCK_EXIT, /* on the link of 'at' */
    LOCK_SLOW, /* in run_cross_slow() of 'at', or in run_jump_slow() */
    LOCK_END,  /* at what shall not run twice */
};

/* A block's piece for the interpreter. */
struct lock_piece {
    int stop;   /* where host code stopped, or INT_MAX */
    uint16_t n; /* the block's bytes */
    uint8_t code[BLOCK_INSNS_MAX * INSN_MAX];
    _Alignas(64) char room[BLOCK_BYTES_MAX];
};
#define LOCK_PIECE_BITS 10

struct lockstep {
    bool inside;  /* a step */
    bool again;   /* on the copies */
    bool failed;
    uint8_t stop; /* enum lock_stop */
    const struct op *at;
    struct tlb *tlb;   /* the VP's own */
    uint32_t jump_tag; /* and this */
    uint64_t missed;   /* the interpreter touched this page, and host code did not; or all ones */
    jmp_buf unwind;    /* the run loop's */

    struct lock_state before, host, ref, after;
    uint64_t host_rip;
    bool host_side;   /* it stopped within a block */
    int64_t distance; /* instructions from there to 'ref', by their count */

    const struct op *entry; /* the operation whose host code this is */
    uint64_t key;           /* of its block */
    const struct op *end;   /* what host code came back with */
    unsigned region;        /* of the cache, when the step began */
    struct op raised;       /* what did */
    unsigned undefined; /* flags, by what ran when 'again' */
    bool spread;        /* undefined ones were stored or loaded as values */

    /* Where exits of pieces lead: the only operation of a block that is none. */
    _Alignas(64) char nowhere[sizeof(struct block) + sizeof(struct op)];
    struct op *exit;

    struct lock_piece pieces[1 << LOCK_PIECE_BITS], scratch;

    unsigned n_pages, n_entries;
    struct lock_page page[LOCK_PAGES];
    struct lock_entry entries[LOCK_ENTRIES];
    struct tlb_set on_copies, on_real; /* only what this step has touched */
    /* Host code takes offsets in pages from the host's addresses, too. */
    _Alignas(PAGE_SIZE) uint8_t old[LOCK_PAGES][PAGE_SIZE];  /* before the step */
    _Alignas(PAGE_SIZE) uint8_t work[LOCK_PAGES][PAGE_SIZE]; /* of those that are written */
    _Alignas(PAGE_SIZE) uint8_t made[LOCK_PAGES][PAGE_SIZE]; /* host code's result, when 'again' */
};

/* lockstep_mem.c */
void lock_mem_init(struct lockstep *l);
void lock_mem_begin(struct lockstep *l);   /* nothing is touched */
void lock_mem_again(struct lockstep *l);   /* as before the step, with host code's result kept aside */
bool lock_mem_same(const struct lockstep *l, uint32_t but); /* these bits of aligned words may differ */
struct tlb_set *lock_mem_missed(struct soft_vp *vp, uint64_t va, unsigned acc);
/* What is to be compared of a page that host code has written: its bytes, and the interpreter's. */
void lock_mem_sides(const struct lockstep *l, unsigned i, const uint8_t **ret_host,
                    const uint8_t **ret_ref);

/* lockstep_show.c: on standard error. */
void lock_show(struct soft_vp *vp, bool raised);

/* All that counts but memory, and these arithmetic flags; NULL or what differs. */
const char *lock_differs(const struct lock_state *a, const struct lock_state *b, unsigned undefined);

/* lockstep_flags.c: arithmetic flags that are undefined behind the instruction, if 'before' are. */
unsigned lock_undefined(struct soft_vp *vp, const struct insn *in, unsigned before);
