/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem.h - guest-virtual memory as a VP sees it: the soft TLB and all loads and stores.
 *
 * Addresses here are linear.  A TLB set holds translations of one address space at one privilege
 * (user; supervisor; supervisor that may touch user pages), so a hit needs no permission test: what
 * an access may not do silently is not in its table.  The write table leaves out pages with decoded
 * code, pages to be logged dirty, ROM, MMIO and pages whose D bit is clear.
 *
 * One unsigned compare tells hit, permission and page crossing at once:
 *     va - tag <= PAGE_SIZE - size,  host address = va - tag + host
 * An empty entry has a tag that belongs to another entry, so nothing can hit it: not even an address that
 * is not canonical, which handlers do not look for before. */
#pragma once

#include "cpu/soft/cpu.h"

/* What CPUID 0x80000008 says: bits above it are reserved in page tables. */
#define SOFT_PHYS_BITS 40

#define TLB_BITS    12
#define TLB_ENTRIES (1u << TLB_BITS)

struct tlb_entry {
    uint64_t tag; /* linear address of the page, or TLB_EMPTY */
    uint64_t add; /* makes a linear address in it the host's */
};
#define TLB_EMPTY UINT64_C(0x8000000000000000)

static inline uint64_t tlb_empty(size_t slot)
{
    return TLB_EMPTY | (uint64_t)(slot ^ 1) << PAGE_SHIFT;
}
static inline bool tlb_is_empty(const struct tlb_entry *e)
{
    return e->tag >> 47 == TLB_EMPTY >> 47;
}

struct tlb {
    struct tlb_entry read[TLB_ENTRIES];
    struct tlb_entry write[TLB_ENTRIES];
};

static inline size_t tlb_slot(uint64_t va)
{
    return (va >> PAGE_SHIFT) & (TLB_ENTRIES - 1);
}

/* Host address of [va, va + size) when the table has it, else NULL. */
static inline void *tlb_hit(const struct tlb_entry *table, uint64_t va, unsigned size)
{
    const struct tlb_entry *e = &table[tlb_slot(va)];

    if (likely(va - e->tag <= PAGE_SIZE - size))
        return (void *)(va + e->add);
    return NULL;
}

/* The slow ways: walk, fault, fill, cross pages, MMIO, code pages.  They may not return. */
uint64_t mem_read_slow(struct soft_vp *vp, uint64_t va, unsigned size);              /* 1..8 */
void mem_write_slow(struct soft_vp *vp, uint64_t va, unsigned size, uint64_t value); /* 1..8 */

#define DEFINE_MEM(bits)                                                                    \
    static inline uint##bits##_t mem_read##bits(struct soft_vp *vp, uint64_t va)            \
    {                                                                                       \
        void *p = tlb_hit(vp->tlb->read, va, bits / 8);                                     \
        if (likely(p))                                                                      \
            return *(volatile uint##bits##_t *)p;                                           \
        return (uint##bits##_t)mem_read_slow(vp, va, bits / 8);                             \
    }                                                                                       \
    static inline void mem_write##bits(struct soft_vp *vp, uint64_t va, uint##bits##_t v)   \
    {                                                                                       \
        void *p = tlb_hit(vp->tlb->write, va, bits / 8);                                    \
        if (likely(p))                                                                      \
            *(volatile uint##bits##_t *)p = v;                                              \
        else                                                                                \
            mem_write_slow(vp, va, bits / 8, v);                                            \
    }
DEFINE_MEM(8)
DEFINE_MEM(16)
DEFINE_MEM(32)
DEFINE_MEM(64)
#undef DEFINE_MEM

/* Any size up to a few pages.  A write checks every page first: it happens whole or not at all. */
void mem_read(struct soft_vp *vp, uint64_t va, void *to, size_t n);
void mem_write(struct soft_vp *vp, uint64_t va, const void *from, size_t n);

/* Would a store to these bytes fault?  Raises now if so (and fills the TLB, sets A and D). */
void mem_probe_write(struct soft_vp *vp, uint64_t va, size_t n);

/* Supervisor accesses of the CPU itself to descriptor tables, TSS and stacks of inner levels:
 * whatever CPL is (SMAP's rule for implicit accesses holds: AC does not help). */
uint64_t mem_sys_read(struct soft_vp *vp, uint64_t va, unsigned size);
void mem_sys_write(struct soft_vp *vp, uint64_t va, unsigned size, uint64_t value);

/* Atomic read-modify-write.  'begin' gives a host pointer to operate on with host atomics; 'end'
 * finishes.  Page-crossing and MMIO accesses get a bounce buffer, with all other VPs stopped
 * between begin and end.  Between the two nothing may fault.  (When tlb_hit() on the write table
 * succeeds and the access is aligned or within a page, the caller may use that pointer directly.) */
void *mem_rmw_begin(struct soft_vp *vp, uint64_t va, unsigned size); /* size 1..16 */
void mem_rmw_end(struct soft_vp *vp);

/* Straight host access to as much of [va, va + n) as one page holds, for string operations: a
 * pointer and *ret_n; NULL when this page is no plain RAM for that access: go element by element. */
void *mem_span_read(struct soft_vp *vp, uint64_t va, size_t n, size_t *ret_n);
void *mem_span_write(struct soft_vp *vp, uint64_t va, size_t n, size_t *ret_n);

/* The page of an instruction fetch: raises #PF (with the I bit) or gives its gpa and, for RAM, the
 * host address of the page (NULL: MMIO; then read bytes through the exits). */
gpa_t mem_fetch_page(struct soft_vp *vp, uint64_t va, const uint8_t **ret_host);
/* Of the page that it gave last for this address: does MOV CR3 leave it alone? */
bool mem_fetch_global(const struct soft_vp *vp, uint64_t va);

/* A pointer that tlb_hit(), mem_span_*() or mem_rmw_begin() gave is good until the VP's next store
 * that misses the TLB, or its next safe point: until then decoding code from the page waits for it. */

/* Translate without side effects (debugger). */
bool mmu_translate(struct soft_vp *vp, uint64_t va, gpa_t *ret);

/* ---- invalidation (own thread) --------------------------------------------------------------- */
void mmu_set_cr3(struct soft_vp *vp, uint64_t value); /* checked value; bit 63: keep (PCID) */
void mmu_flush_page(struct soft_vp *vp, uint64_t va); /* INVLPG: all privileges, this PCID + global */
void mmu_flush_all(struct soft_vp *vp, bool globals); /* CR4/CR0/EFER changes, INVPCID, hypercall */
void mmu_flush_pcid(struct soft_vp *vp, unsigned pcid, bool one_page, uint64_t va); /* INVPCID */

/* Privilege, AC, CR0, CR4, EFER or DR0..DR7 changed: sets vp->tlb, and drops by itself what the change
 * makes wrong. */
void mmu_select_set(struct soft_vp *vp);

/* run.c: jump cache and fetch table must forget virtual addresses.  mmu.c calls these after each of
 * the above that may have dropped executable pages: any; all that are not global; this one. */
void run_code_unmapped(struct soft_vp *vp);
void run_code_switched(struct soft_vp *vp);
void run_code_page_unmapped(struct soft_vp *vp, uint64_t va);

/* ---- pages with decoded code ----------------------------------------------------------------- */
/* block.c calls this before it decodes from a page for the first time: sets GMEM_CODE, and when it
 * returns no VP has a write entry for the page (rendezvous).  And back. */
void mmu_protect_code(struct soft_vp *vp, gpa_t page);
void mmu_unprotect_code(struct soft_vp *vp, gpa_t page);

/* code.c: a store to a GMEM_CODE page.  'check' may unwind (UNWIND_RETRY) to run the instruction again
 * in a block of its own when it would overwrite the block in execution.  The store is made between
 * 'begin' and 'end', on one page: meanwhile nobody decodes, so who sees the new bytes finds no block
 * of the old ones.  'end' drops the blocks that overlap, on all VPs. */
void code_write_check(struct soft_vp *vp, gpa_t at, uint64_t len);
void code_write_begin(struct soft_vp *vp);
void code_write_end(struct soft_vp *vp, gpa_t at, uint64_t len);

int mmu_init(struct soft_vp *vp);
void mmu_done(struct soft_vp *vp);
