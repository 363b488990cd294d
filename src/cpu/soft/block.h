/* SPDX-License-Identifier: GPL-2.0-or-later */
/* block.h - blocks of pre-decoded operations: what the cache keeps and the handlers run.
 *
 * A block is a run of instructions of one guest-physical page in one mode. Nothing in it is
 * virtual: the same block serves every process that maps the page. RIP is vp->block_rip (of the
 * block's first byte) plus op->off. It goes on past conditional branches that are not taken, and
 * follows direct jumps within the page; it ends at other branches, at helpers that say so, at the
 * end of the page. An instruction that crosses into a second page is a block of its own, and its
 * first operation checks where that page lies.
 *
 * Exits know their successor once they have been taken: op->imm points to its first operation, or to
 * the shared operation that looks it up.  Within a page the link holds for every address space;
 * between pages the exit compares where the target's page lies now (the fetch table).
 *
 * Threads: cache->lock guards everything but what is marked; running VPs read operations and hash
 * chains without it.  A block that was dropped stays readable until its region is recycled, which
 * happens while all VPs stand at safe points.  Nobody waits for another VP with the lock held. */
#pragma once

#include <pthread.h>

#include "cpu/soft/exec.h"

/* Returns the operation to go on with, or NULL: back to the run loop, with vp->rip exact. */
typedef const struct op *op_fn(struct soft_vp *vp, const struct op *o);

struct op {
    op_fn *run;
    union {
        struct {
            uint8_t r, b, x, s; /* register; base, index and scale of an address, or a second one */
        };
        uint32_t in_next; /* exits: the next one that leads to the same block */
    };
    int32_t disp;  /* of an address; exits: from block_rip to the target */
    uint64_t imm;  /* exits: the target's first operation (atomic) */
    int16_t off;   /* of the instruction, from block_rip */
    uint16_t idx;  /* of this in block.ops */
    uint8_t len;   /* of the instruction */
    uint8_t n;     /* instructions of the block up to and with this one */
    uint8_t flags; /* enum op_flag */
    uint8_t site;  /* exits: of block_sites() */
};
_Static_assert(sizeof(struct op) == 32, "two operations a cache line");

enum op_bits {
    OP_EXIT = 1 << 0,  /* imm is a link */
    OP_STACK = 1 << 1, /* its address is on the stack: #SS, not #GP */
    OP_ENDS = 1 << 2,  /* counts its instructions before it may fault */
    OP_STEP = 1 << 3,  /* back to the run loop behind it */
};

#define BLOCK_DEAD      UINT64_MAX
#define BLOCK_INSNS_MAX 60
#define BLOCK_OPS_MAX   192
#define BLOCK_EXITS_MAX (BLOCK_INSNS_MAX + 2) /* a call and the last have two */

struct block {
    uint64_t key; /* block_key() or BLOCK_DEAD; any thread reads */
    struct block *hash_next;
    struct block *page_next[2];
    gpa_t page2;      /* of the instruction's rest, or all ones */
    uint32_t in;      /* exits that lead here: index of the first, or 0 */
    uint32_t size;    /* in the arena, bytes */
    int16_t low;      /* its first byte, from where it starts: a jump may have been followed back */
    uint16_t len;     /* guest bytes from there on */
    uint16_t bytes;   /* struct block_bytes, from here on; 0: none (jit.h) */
    uint8_t n_ops;
    bool back;        /* it has followed a jump back */
    const void *native; /* how translated code enters it */
    struct op ops[];
};
_Static_assert(sizeof(struct block) == 64, "operations start on a cache line");

_Static_assert(BLOCK_OPS_MAX <= UINT8_MAX, "n_ops");

/* Its instructions, in the order of execution. */
struct block_bytes {
    uint16_t n;
    uint8_t code[];
};
static inline const struct block_bytes *block_bytes(const struct block *b)
{
    return (const struct block_bytes *)(const void *)((const char *)b + b->bytes);
}

/* Where exits leave its host code (jit_link.c); 'at' 0: nowhere.  Behind the instructions. */
struct jit_site {
    uint32_t at;   /* displacement of the jump, from the start of host code; */
    uint32_t slow; /* and its target while there is no link */
};
static inline size_t block_sites_at(const struct block *b)
{
    return ALIGN_UP(b->bytes + sizeof(struct block_bytes) + block_bytes(b)->n, sizeof(uint32_t));
}
static inline struct jit_site *block_sites(const struct block *b)
{
    return (struct jit_site *)(void *)((uintptr_t)b + block_sites_at(b));
}

static inline uint64_t block_key(gpa_t at, uint32_t mode)
{
    return at.v << 12 | mode;
}
static inline gpa_t block_gpa(const struct block *b)
{
    return GPA(b->key >> 12);
}
static inline struct block *block_of(const struct op *o)
{
    return (struct block *)((char *)(uintptr_t)(o - o->idx) - sizeof(struct block));
}

/* A helper's operation has this behind the block's operations; op->imm points to it. */
struct call {
    const struct helper *helper;
    struct insn insn;
};

#define JUMP_BITS     16
#define JUMP_ENTRIES  (1 << JUMP_BITS)
#define JUMP_FACTOR   0x9e3779b1u
#define FETCH_ENTRIES_RUN 2048

struct jump_entry { /* indirect branches: by linear address */
    uint64_t pc;
    uint32_t tag;  /* vp->jump_tag */
    uint32_t first; /* operation of the block - run->jump_base */
};
/* Which entries have been filled since they were last emptied, and which words of this are not 0. */
struct jump_marks {
    uint64_t words[JUMP_ENTRIES / 64], any[JUMP_ENTRIES / 64 / 64];
};
struct fetch_slot { /* where the page of a linear address lies */
    uint64_t tag;  /* page | generation and privilege */
    uint64_t page; /* block_key() of its first byte in mode 0 */
};

/* The stack of translated code (jit_return.c). */
#define FRAMES        256
#define FRAMES_SEARCH 8
struct frame {
    const void *host; /* behind a CALL */
    uint64_t rip;     /* where the guest's would return */
};
struct frames {
    char signals[16 * KIB]; /* their handlers' */
    struct frame frame[FRAMES];
    struct frame none[FRAMES_SEARCH]; /* sentinels: no frame is left */
    uint64_t top;                     /* while the other one is in vp->frames */
};

struct run_state {
    uint32_t gen;       /* of 'jump': bumped when code addresses change their meaning */
    uint64_t signature; /* control bits that fetch permissions depend on */
    char *jump_base; /* the arena, or NULL: it is below 4 GiB */
    int64_t budget;     /* what vp->lazy[LAZY_LEFT] was filled with */
    bool running;       /* in blocks: flags are in LAZY_FLAGS */
    uint64_t seen;      /* cache->drops as of the last safe point, or CODE_NOBODY (atomic) */
    struct insn insn;   /* of the helper in execution, when its block may go away meanwhile */
    /* A block of one instruction that is not to be cached. */
    _Alignas(64) char tmp[sizeof(struct block) + 8 * sizeof(struct op) + 2 * sizeof(struct call)];
    struct jump_entry jump[JUMP_ENTRIES];
    struct fetch_slot fetch[FETCH_ENTRIES_RUN];
    struct frames frames[2]; /* of CPL 0 to 2, and 3 */
    /* What of the two has been filled since it was last emptied, by [global]: MOV CR3 empties [0]. */
    struct jump_marks jumps[2];
    uint64_t fetches[2][FETCH_ENTRIES_RUN / 64];
};

static inline struct block *tmp_block(struct run_state *run)
{
    return (struct block *)(void *)run->tmp;
}

/* run.c: code addresses change their meaning, or host code goes. */
void run_forget_frames(struct soft_vp *vp);

/* vp->lazy */
enum {
    LAZY_FLAGS, /* bits 15:0: LAHF's AH, SETO's AL: the arithmetic flags inside blocks */
    LAZY_ADDR,  /* the address that an EA operation made for the next one */
    LAZY_LEFT,  /* instructions until the run loop wants to look at the clock; negative: now */
    LAZY_ZERO,  /* 0: base or index of addresses that have none */
    LAZY_TARGET, /* of a call in translated code */
};

/* ---- code.c: the cache ----------------------------------------------------------------------- */

#define CODE_REGIONS     32
#define CODE_REGION_SIZE (UINT64_C(1) << 20)
#define CODE_HASH        65536
#define CODE_PAGES_MAX   16384
#define CODE_PAGE_HASH   4096
#define CODE_PAGE_WRITES 16 /* stores to a code page until its code is given up */

#define CODE_NOBODY UINT64_MAX /* a VP outside of blocks */

struct code_page {
    uint64_t page; /* gpa >> PAGE_SHIFT */
    struct code_page *next;
    struct block *blocks;
    uint64_t granules; /* 64-byte pieces that blocks cover */
    uint64_t dropped;  /* cache->drops when it last lost a block */
    uint32_t writes;
    bool building;     /* a VP is about to add a block */
};

struct code_cache {
    pthread_mutex_t lock;
    char *arena;
    unsigned region; /* being filled */
    size_t used;     /* of it */
    struct block *hash[CODE_HASH]; /* read without the lock */
    struct code_page *page_hash[CODE_PAGE_HASH];
    struct code_page *free_pages;
    unsigned n_pages;
    uint64_t drops; /* counts writes that dropped blocks; read without the lock */
    /* Where exits go that have no successor yet: the only operation of a block that is none. */
    _Alignas(64) char nowhere[sizeof(struct block) + sizeof(struct op)];
    struct op *unlinked;
    struct jit *jit; /* NULL: the interpreter alone */
    struct block *hot[16]; /* to be translated with the next ones */
    unsigned n_hot;
};

/* The block that starts at vp->rip in 'mode', decoded if need be.  Raises fetch faults. */
struct block *code_lookup(struct soft_vp *vp, uint32_t mode);

/* One instruction at vp->rip in run->tmp. */
struct block *code_single(struct soft_vp *vp);

struct exit_id { /* an exit that may be gone when it is to be linked */
    const struct op *op;
    const struct block *block;
    uint64_t key;
};
static inline struct exit_id exit_id(const struct op *e)
{
    return (struct exit_id){ e, block_of(e), block_of(e)->key };
}
void code_link(struct soft_vp *vp, const struct exit_id *from, struct block *to);
void code_drop(struct soft_vp *vp, struct block *b);

/* Before a look-up between blocks: this VP has left the blocks that were dropped so far.  A page keeps
 * its protection until all have: what runs on in a dropped block must not overwrite itself unseen. */
static inline void code_safe_point(struct soft_vp *vp, const struct code_cache *c)
{
    uint64_t drops = __atomic_load_n(&c->drops, __ATOMIC_ACQUIRE);

    if (unlikely(vp->run->seen != drops))
        __atomic_store_n(&vp->run->seen, drops, __ATOMIC_SEQ_CST);
}

/* Where does the page of this linear address lie?  Through the fetch table; raises. */
struct fetch_slot *code_fetch_slot(struct soft_vp *vp, uint64_t pc);

static inline size_t fetch_index(uint64_t pc)
{
    return (pc >> PAGE_SHIFT) & (FETCH_ENTRIES_RUN - 1);
}

/* ---- build.c: instructions to operations ----------------------------------------------------- */

struct code_bytes {
    const uint8_t *p;  /* up to the end of the page */
    size_t n;
    uint8_t cross[2 * INSN_MAX]; /* or one instruction that goes on in the next page */
    bool crosses;
    bool straight; /* do not follow jumps */
};

/* Fill 'b', whose key is set; it has room for BLOCK_BYTES_MAX, in MODE_STEP for one instruction. */
#define BLOCK_BYTES_MAX \
    (sizeof(struct block) + BLOCK_OPS_MAX * sizeof(struct op) +                      \
     BLOCK_INSNS_MAX * (sizeof(struct call) + INSN_MAX) + BLOCK_EXITS_MAX * sizeof(struct jit_site) + 64)
void block_build(struct soft_vp *vp, struct block *b, const struct code_bytes *from, gpa_t page2);

/* The instructions of a block that has its bytes, one by one. */
struct block_walk {
    const struct block_bytes *bytes;
    uint32_t mode;
    unsigned at; /* in the bytes, of the following one */
    int off;     /* of this one, from block_rip */
    int next;    /* of the following one */
    struct insn in;
};
bool block_next(struct block_walk *w); /* from the first on; false: no more */

/* core_table.c: the row of an integer instruction, as sys_helper() and fpu_helper().  These helpers
 * keep the arithmetic flags in vp->lazy[LAZY_FLAGS]. */
const struct helper *core_helper(const struct insn *in);

extern op_fn op_unlinked;
