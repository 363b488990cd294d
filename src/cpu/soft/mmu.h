/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mmu.h - between walk.c (page tables), mmu.c (what is cached of them) and mem.c (accesses).
 *
 * Three levels of caching, fastest first:
 *   sets    one 'struct tlb' (mem.h) for each {PCID, class of privilege} in use
 *   pde[]   page directory entries: where the page table of a 2 MiB piece lies, or the large page.
 *           A refill of a set then costs one load of the PTE (32 KiB of address space a cache line),
 *           which is why there is no second table of translations.
 *   the walk itself
 */
#pragma once

#include "cpu/soft/mem.h"

/* Kinds of access.  The first three are the bits of a #PF error code. */
enum access {
    ACC_READ = 0,
    ACC_WRITE = 1 << 1,
    ACC_USER = 1 << 2,
    ACC_FETCH = 1 << 4,
    ACC_AC = 1 << 8,    /* supervisor access that may touch user pages under SMAP */
    ACC_PEEK = 1 << 9,  /* no permission check, no A and D */
};
enum { PF_P = 1 << 0, PF_RSVD = 1 << 3 };

enum pte_bit {
    PTE_P = 1 << 0, PTE_W = 1 << 1, PTE_U = 1 << 2, PTE_A = 1 << 5, PTE_D = 1 << 6,
    PTE_PS = 1 << 7, PTE_G = 1 << 8,
};
#define PTE_NX (UINT64_C(1) << 63)

/* How the tables look under the current CR0, CR4 and EFER. */
struct paging {
    uint8_t levels;        /* 0: no paging */
    uint8_t entry_size;    /* 4 or 8 */
    uint8_t large;         /* mask of the levels whose entries may map pages (0: PT, 1: PD ...) */
    bool wp, smep, smap, pge, nx, pse36;
    uint64_t reserved[4];       /* of tables' entries and 4 KiB pages, by level */
    uint64_t reserved_large[4];
    uint64_t root_mask;    /* of CR3 */
};

/* What a walk found. */
struct mapping {
    gpa_t page;    /* the 4 KiB page */
    bool write;    /* an access of this kind may write (D apart) */
    bool dirty;    /* D is set */
    bool global;
    uint8_t shift; /* size of the page in the tables */
};

/* Which permissions a set answers for. */
enum tlb_class {
    CLASS_USER,
    CLASS_KERNEL,      /* under SMAP, AC clear */
    CLASS_KERNEL_USER, /* may touch user pages, too */
    CLASSES,
};

struct fetch_entry {
    uint64_t tag, gpa; /* pages; TLB_EMPTY: none */
};
#define FETCH_ENTRIES 256

struct tlb_set {
    struct tlb tlb;
    struct fetch_entry fetch[FETCH_ENTRIES];
    uint32_t next[TLB_ENTRIES]; /* write entries: the chain of their bucket (struct write_bucket) */
    /* Slots filled since they were last emptied, by [global]: a flush visits only these. */
    uint64_t filled[2][TLB_ENTRIES / 64];
    uint64_t fetched[2][FETCH_ENTRIES / 64];
    uint64_t used; /* for LRU */
    uint16_t pcid;
    uint8_t class, index;
};
#define TLB_PRIVATE  0xff /* as 'index': none of the VP's own (lockstep.c) */
#define TLB_SETS_MAX 16 /* a VP; 156 KiB each */

struct pde_entry {
    uint64_t key; /* va >> 21 and the tag of its address space */
    uint64_t val; /* host address of the page table, or gpa of the large page; PDE_... */
};
enum {
    PDE_LARGE = 1, PDE_W = 2, PDE_U = 4, PDE_NX = 8, PDE_D = 16, PDE_G = 32, PDE_1G = 64,
    PDE_FLAGS = 0xfff,
};
#define PDE_ENTRIES 1024

/* How many write entries of this VP may name a page with this hash: other VPs read 'count' to learn
 * whether they must stop this one before they decode from the page (mmu_protect_code). */
struct write_bucket {
    uint32_t count; /* any thread reads */
    uint32_t first; /* of the chain of these entries: write_ref(), 0 ends it */
};
#define WRITE_BUCKETS 8192

enum place_kind { PLACE_RAM, PLACE_ROM, PLACE_MMIO, PLACE_APIC };
struct place {
    uint8_t *host; /* RAM, ROM */
    gpa_t at;
    uint8_t kind;  /* enum place_kind */
};

/* An atomic access under way, from mem_rmw_begin() to mem_rmw_end(). */
struct rmw {
    uint8_t kind; /* mem.c */
    uint8_t n;    /* pages */
    bool stopped; /* the other VPs are */
    struct place place[2];
    uint8_t len[2];
    bool code[2]; /* announced by code_write_check() */
    _Alignas(16) uint8_t bounce[16];
};

struct mmu_state {
    struct paging paging;
    uint32_t walk_acc;               /* ACC_USER, ACC_AC of the current privilege */
    uint16_t pcid;                   /* current; 0 without PCIDE */
    uint64_t tag;                    /* = tags[pcid] */
    struct tlb_set *current[CLASSES]; /* sets of the current PCID, NULL: not looked for yet */
    struct tlb_set *sets[TLB_SETS_MAX];
    unsigned n_sets, max_sets;
    uint64_t clock;                  /* LRU */
    uint64_t next_tag;
    uint64_t *tags;                  /* by PCID */
    uint64_t signature;              /* control bits that 'paging' was made for */
    uint64_t break_at[4];            /* pages that stay out of the tables: data breakpoints */
    bool any_break;
    const struct gmem_region *region; /* the one hit last */
    struct rmw rmw;
    /* A miss of a private set; the set to go on with. */
    struct tlb_set *(*missed)(struct soft_vp *vp, uint64_t va, unsigned acc);
    /* Has it been cached since the last flush?  Hashed sets of numbers, for INVLPG. */
    uint64_t seen_2m[64], seen_1g[4]; /* large pages: va >> 22, va >> 30 */
    uint64_t seen_fetch[2048];        /* pages given out by mem_fetch_page(): va >> 12 */
    struct pde_entry pde[PDE_ENTRIES];
    struct write_bucket bucket[WRITE_BUCKETS];
};

static inline void seen_set(uint64_t *map, size_t words, uint64_t n)
{
    map[n / 64 % words] |= UINT64_C(1) << (n % 64);
}

static inline bool seen_get(const uint64_t *map, size_t words, uint64_t n)
{
    return map[n / 64 % words] >> (n % 64) & 1;
}

/* ---- walk.c ---------------------------------------------------------------------------------- */

/* The format for the VP's control registers. */
void paging_format(const struct soft_vp *vp, struct paging *ret);

/* Walk; on success A (and D for a write) are set.  false: *ret_error is the error code of #PF.
 * May unwind when an A bit lies in a page with decoded code. */
bool walk(struct soft_vp *vp, uint64_t va, unsigned acc, struct mapping *ret, uint32_t *ret_error);

/* From the cached directory entry, when nothing has to be set or raised. */
bool walk_pde(struct soft_vp *vp, uint64_t va, unsigned acc, struct mapping *ret);

/* ---- mmu.c ----------------------------------------------------------------------------------- */

/* Where is va, for an access of this kind?  Raises #PF.  Fills the set of 'class' as far as it may. */
struct place mmu_locate(struct soft_vp *vp, struct tlb_set *set, uint64_t va, unsigned acc);

/* What lies at va under this mapping. */
struct place mmu_place(struct soft_vp *vp, uint64_t va, const struct mapping *map);

/* For translated code: make [va, va + size) a hit in the current set if that takes no fault, no change of
 * page tables and no exit.  false: that, or it is no plain RAM.  Never unwinds. */
bool mmu_refill(struct soft_vp *vp, uint64_t va, unsigned size, bool write);

/* The set and the access bits of implicit supervisor accesses. */
struct tlb_set *mmu_sys_set(struct soft_vp *vp, unsigned *ret_acc);

static inline struct tlb_set *mmu_set(const struct soft_vp *vp)
{
    return container_of(vp->tlb, struct tlb_set, tlb);
}

/* Announce a store by host pointer to a RAM page: true, and until mmu_release() whoever wants to
 * decode from the page waits for our safe point; false: it is a code page. */
bool mmu_hold(struct soft_vp *vp, gpa_t at);
void mmu_release(struct soft_vp *vp, gpa_t at);

/* What translated code has taken from the current set (jit_emit.c, jit_page.c): whoever drops an entry of
 * the VP's, or gives it another set, says so. */
static inline void mmu_forget_taken(struct soft_vp *vp)
{
    vp->top_limit = vp->run_limit = vp->page_limit[0] = vp->page_limit[1] = 0;
}

/* A VP has written to this RAM page. */
static inline void mmu_dirty(struct soft_vp *vp, gpa_t at)
{
    struct gmem *mem = vp->soft->gmem;

    if (unlikely(__atomic_load_n(&mem->track_dirty, __ATOMIC_RELAXED)))
        __atomic_fetch_or(&mem->flags[at.v >> PAGE_SHIFT], GMEM_DIRTY, __ATOMIC_RELAXED);
}

/* Bring the dirty flags of what the write tables hold up to date, and empty them.  The VP stands at
 * a safe point; any thread. */
void mmu_sync_dirty(struct soft_vp *vp);
