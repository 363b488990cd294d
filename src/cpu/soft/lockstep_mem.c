/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep_mem.c - memory of a step: two TLBs that know only the pages which host code has touched.
 *
 * Host code runs with 'on_copies': its pages are copied when it touches them first, and once more when
 * it writes them.  The interpreter runs with 'on_real', which has the same pages with their real places,
 * so touching another page, or writing one that host code only read, is a miss and noticed.
 * What host code may not have without the interpreter (mmu_refill()) is no page of a step.
 * Called: lockstep.c, translated code, mmu.c. */
#include <string.h>

#include "cpu/soft/lockstep_private.h"

/* Upper halves of the guest's YMM registers may be in the host's: nothing of the C library. */
static void copy_page(uint8_t *to, const uint8_t *from)
{
    size_t n = PAGE_SIZE / 8;

    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void set_init(struct tlb_set *set)
{
    for (size_t i = 0; i < TLB_ENTRIES; i++)
        set->tlb.read[i].tag = set->tlb.write[i].tag = tlb_empty(i);
    for (size_t i = 0; i < FETCH_ENTRIES; i++)
        set->fetch[i].tag = TLB_EMPTY;
    set->index = TLB_PRIVATE;
}

void lock_mem_init(struct lockstep *l)
{
    set_init(&l->on_copies);
    set_init(&l->on_real);
}

void lock_mem_begin(struct lockstep *l)
{
    for (unsigned i = 0; i < l->n_entries; i++) {
        size_t slot = l->entries[i].slot;

        l->on_copies.tlb.read[slot].tag = l->on_copies.tlb.write[slot].tag = tlb_empty(slot);
        l->on_real.tlb.read[slot].tag = l->on_real.tlb.write[slot].tag = tlb_empty(slot);
    }
    l->n_entries = l->n_pages = 0;
    l->missed = UINT64_MAX;
}

void lock_mem_again(struct lockstep *l)
{
    for (unsigned i = 0; i < l->n_pages; i++) {
        if (!l->page[i].written)
            continue;
        memcpy(l->made[i], l->work[i], PAGE_SIZE);
        memcpy(l->work[i], l->old[i], PAGE_SIZE);
    }
    l->missed = UINT64_MAX;
}

void lock_mem_sides(const struct lockstep *l, unsigned i, const uint8_t **ret_host,
                    const uint8_t **ret_ref)
{
    *ret_host = l->again ? l->made[i] : l->work[i];
    *ret_ref = l->again ? l->work[i] : l->page[i].real;
}

static bool page_same(const uint8_t *a, const uint8_t *b, uint32_t but)
{
    if (memcmp(a, b, PAGE_SIZE) == 0)
        return true;
    for (unsigned i = 0; i < PAGE_SIZE; i += 4)
        if ((get_le32(a + i) ^ get_le32(b + i)) & ~but)
            return false;
    return true;
}

bool lock_mem_same(const struct lockstep *l, uint32_t but)
{
    const uint8_t *a, *b;

    if (l->missed != UINT64_MAX)
        return false;
    for (unsigned i = 0; i < l->n_pages; i++) {
        lock_mem_sides(l, i, &a, &b);
        if (l->page[i].written && !page_same(a, b, but))
            return false;
    }
    return true;
}

/* ---- host code touches a page ---------------------------------------------------------------- */

static unsigned page_at(struct lockstep *l, uint8_t *real)
{
    unsigned i = 0;

    while (i < l->n_pages && l->page[i].real != real)
        i++;
    if (i == l->n_pages && i < LOCK_PAGES) {
        l->page[l->n_pages++] = (struct lock_page){ .real = real };
        copy_page(l->old[i], real);
    }
    return i;
}

static void move_entry(struct tlb_entry *e, const uint8_t *host)
{
    e->add = (uintptr_t)host - e->tag;
}

static void page_write(struct soft_vp *vp, unsigned i)
{
    struct lockstep *l = vp->lockstep;

    if (l->page[i].written)
        return;
    l->page[i].written = true;
    copy_page(l->work[i], l->old[i]);
    vp->page_limit[0] = 0; /* slots for reading may have it */
    for (unsigned k = 0; k < l->n_entries; k++) /* who reads it shall see what is written */
        if (l->entries[k].page == i)
            move_entry(&l->on_copies.tlb.read[l->entries[k].slot], l->work[i]);
}

static void enter(struct tlb_set *set, size_t slot, uint64_t tag, const uint8_t *host, bool write)
{
    set->tlb.read[slot] = (struct tlb_entry){ tag, (uintptr_t)host - tag };
    if (write)
        set->tlb.write[slot] = (struct tlb_entry){ tag, (uintptr_t)host - tag };
}

bool lockstep_refill(struct soft_vp *vp, uint64_t va, unsigned size, bool write)
{
    struct lockstep *l = vp->lockstep;
    uint64_t tag = va & ~(PAGE_SIZE - 1);
    size_t slot = tlb_slot(va);
    const struct tlb_entry *was = &l->on_copies.tlb.read[slot];
    struct tlb *own = vp->tlb;
    uint8_t *p;
    unsigned i;
    bool ok;

    if (l->n_entries == LOCK_ENTRIES || (!tlb_is_empty(was) && was->tag != tag))
        return false; /* no room: stop here */
    vp->tlb = l->tlb;
    ok = tlb_hit(write ? vp->tlb->write : vp->tlb->read, va, size) || mmu_refill(vp, va, size, write);
    p = ok ? tlb_hit(write ? vp->tlb->write : vp->tlb->read, tag, 1) : NULL;
    vp->tlb = own;
    if (!p || (was->tag == tag && l->on_real.tlb.read[slot].add != (uintptr_t)p - tag))
        return false;
    i = page_at(l, p);
    if (i == LOCK_PAGES)
        return false;
    if (write)
        page_write(vp, i);
    l->entries[l->n_entries++] = (struct lock_entry){ (uint16_t)slot, (uint16_t)i };
    enter(&l->on_copies, slot, tag, l->page[i].written ? l->work[i] : l->old[i], write);
    enter(&l->on_real, slot, tag, p, write);
    return true;
}

/* ---- the interpreter touches one that host code has not -------------------------------------- */

struct tlb_set *lock_mem_missed(struct soft_vp *vp, uint64_t va, unsigned acc)
{
    struct lockstep *l = vp->lockstep;

    l->missed = va;
    if (l->again)
        _longjmp(vp->unwind, UNWIND_FAULT);
    vp->tlb = l->tlb;
    return mmu_set(vp);
}
