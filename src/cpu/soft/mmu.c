/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mmu.c - what a VP caches of its page tables, and how it is dropped.
 *
 * Sets of translations are kept for each {PCID, class of privilege}: a change of CR3 with PCID, of
 * CPL or of AC changes a pointer.  Without PCID there is one set a class, and MOV CR3 empties the
 * slots that were filled from non-global pages.  A flush costs what was filled, not what there is.
 *
 * Pages with decoded code.  No write entry may name a GMEM_CODE page.  The two sides:
 *
 *     a VP fills a write entry (fill_write)        somebody decodes (mmu_protect_code)
 *     F1  bucket.count++                           P1  flags |= GMEM_CODE
 *     F2  flags & GMEM_CODE?  then count--, none   P2  bucket.count of each VP: 0?  then done
 *         else the entry stands                    P3  else stop that VP at a safe point, drop it
 *
 * F1, F2, P1 and P2 are sequentially consistent, so at least one side sees the other.  The count of an
 * entry is given back only after the last store through it: a write entry is replaced by the VP's
 * next write miss at the earliest (fill_write never evicts one on behalf of a read), which is what
 * mem.h promises about pointers.  Stores that bypass the tables announce themselves the same way
 * (mmu_hold).
 *
 * Called: mem.c, control registers (sys), soft.c.   Tests: mmu_test.c. */
#include "cpu/soft/mmu.h"

#include <errno.h>

#include "cpu/soft/lapic.h"
#include "cpu/soft/soft.h"

#define CR0_SIGNATURE  (CR0_PG | CR0_WP)
#define CR4_SIGNATURE  (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)
#define EFER_SIGNATURE (EFER_LMA | EFER_NXE)

#define CR3_KEEP (UINT64_C(1) << 63)
#define PCIDS    4096

/* ---- write entries and who may decode -------------------------------------------------------- */

static struct write_bucket *bucket_of(struct mmu_state *m, uint64_t page)
{
    return &m->bucket[(page ^ page >> 13) % WRITE_BUCKETS];
}

/* F1.  Only the own thread changes a count. */
static void bucket_add(struct write_bucket *b)
{
    __atomic_fetch_add(&b->count, 1, __ATOMIC_SEQ_CST);
}

static void bucket_sub(struct write_bucket *b)
{
    /* Release: the stores made through the entry come before. */
    __atomic_store_n(&b->count, __atomic_load_n(&b->count, __ATOMIC_RELAXED) - 1,
                     __ATOMIC_RELEASE);
}

static bool is_code(struct soft_vp *vp, uint64_t page)
{
    return __atomic_load_n(&vp->soft->gmem->flags[page], __ATOMIC_SEQ_CST) & GMEM_CODE; /* F2 */
}

bool mmu_hold(struct soft_vp *vp, gpa_t at)
{
    struct write_bucket *b = bucket_of(vp->mmu, at.v >> PAGE_SHIFT);

    bucket_add(b);
    if (!is_code(vp, at.v >> PAGE_SHIFT))
        return true;
    bucket_sub(b);
    return false;
}

void mmu_release(struct soft_vp *vp, gpa_t at)
{
    bucket_sub(bucket_of(vp->mmu, at.v >> PAGE_SHIFT));
}

static uint64_t write_page(const struct soft_vp *vp, const struct tlb_entry *e)
{
    return (e->tag + e->add - (uint64_t)(uintptr_t)vp->soft->gmem->base) >> PAGE_SHIFT;
}

/* A write entry as a number, and back. */
static uint32_t write_ref(const struct tlb_set *set, size_t slot)
{
    return (uint32_t)(set->index * TLB_ENTRIES + slot + 1);
}

static struct tlb_set *ref_set(const struct mmu_state *m, uint32_t ref)
{
    return m->sets[(ref - 1) / TLB_ENTRIES];
}

static void chain_add(struct write_bucket *b, struct tlb_set *set, size_t slot)
{
    set->next[slot] = b->first;
    b->first = write_ref(set, slot);
}

static void chain_remove(struct mmu_state *m, struct write_bucket *b, struct tlb_set *set, size_t slot)
{
    uint32_t ref = write_ref(set, slot), *at = &b->first;

    while (*at != ref)
        at = &ref_set(m, *at)->next[(*at - 1) % TLB_ENTRIES];
    *at = set->next[slot];
}

static void drop_write(struct soft_vp *vp, struct tlb_set *set, size_t slot)
{
    struct tlb_entry *e = &set->tlb.write[slot];
    struct write_bucket *b;

    if (tlb_is_empty(e))
        return;
    b = bucket_of(vp->mmu, write_page(vp, e));
    chain_remove(vp->mmu, b, set, slot);
    bucket_sub(b);
    e->tag = tlb_empty(slot);
    mmu_forget_taken(vp);
}

/* Drop all write entries for a page.  The VP is the caller's or stands at a safe point. */
static void drop_page_writes(struct soft_vp *vp, void *arg)
{
    struct mmu_state *m = vp->mmu;
    uint64_t page = *(const uint64_t *)arg;
    uint32_t next;

    for (uint32_t ref = bucket_of(m, page)->first; ref; ref = next) {
        struct tlb_set *set = ref_set(m, ref);
        size_t slot = (ref - 1) % TLB_ENTRIES;

        next = set->next[slot];
        if (write_page(vp, &set->tlb.write[slot]) == page)
            drop_write(vp, set, slot);
    }
}

void mmu_protect_code(struct soft_vp *vp, gpa_t at)
{
    struct soft *s = vp->soft;
    uint64_t page = at.v >> PAGE_SHIFT, mask = 0;

    __atomic_fetch_or(&s->gmem->flags[page], GMEM_CODE, __ATOMIC_SEQ_CST); /* P1 */
    drop_page_writes(vp, &page);
    for (unsigned i = 0; i < s->part.cfg.n_vps; i++) {
        struct soft_vp *other = soft_vp_at(s, i);

        if (other != vp &&
            __atomic_load_n(&bucket_of(other->mmu, page)->count, __ATOMIC_SEQ_CST)) /* P2 */
            mask |= UINT64_C(1) << i;
    }
    if (mask) /* P3 */
        soft_rendezvous(vp, mask, drop_page_writes, &page);
}

void mmu_unprotect_code(struct soft_vp *vp, gpa_t at)
{
    __atomic_fetch_and(&vp->soft->gmem->flags[at.v >> PAGE_SHIFT], (uint8_t)~GMEM_CODE,
                       __ATOMIC_SEQ_CST);
}

void mmu_sync_dirty(struct soft_vp *vp)
{
    struct mmu_state *m = vp->mmu;

    for (unsigned i = 0; i < m->n_sets; i++) {
        for (size_t slot = 0; slot < TLB_ENTRIES; slot++) {
            const struct tlb_entry *e = &m->sets[i]->tlb.write[slot];

            if (tlb_is_empty(e))
                continue;
            mmu_dirty(vp, GPA(write_page(vp, e) << PAGE_SHIFT));
            drop_write(vp, m->sets[i], slot);
        }
    }
}

/* ---- sets ------------------------------------------------------------------------------------ */

static void empty_slots(struct soft_vp *vp, struct tlb_set *set, bool global)
{
    mmu_forget_taken(vp);
    for (unsigned w = 0; w < ARRAY_LEN(set->filled[0]); w++) {
        for (uint64_t b = set->filled[global][w]; b; b &= b - 1) {
            unsigned slot = w * 64 + (unsigned)__builtin_ctzll(b);

            set->tlb.read[slot].tag = tlb_empty(slot);
            drop_write(vp, set, slot);
        }
        set->filled[global][w] = 0;
    }
    for (unsigned w = 0; w < ARRAY_LEN(set->fetched[0]); w++) {
        for (uint64_t b = set->fetched[global][w]; b; b &= b - 1)
            set->fetch[w * 64 + (unsigned)__builtin_ctzll(b)].tag = TLB_EMPTY;
        set->fetched[global][w] = 0;
    }
}

static void empty_set(struct soft_vp *vp, struct tlb_set *set)
{
    empty_slots(vp, set, false);
    empty_slots(vp, set, true);
}

static void empty_all_sets(struct soft_vp *vp)
{
    for (unsigned i = 0; i < vp->mmu->n_sets; i++)
        empty_set(vp, vp->mmu->sets[i]);
}

static struct tlb_set *new_set(struct mmu_state *m)
{
    struct tlb_set *set = calloc(1, sizeof *set);

    if (!set)
        return NULL;
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        set->tlb.read[i].tag = set->tlb.write[i].tag = tlb_empty(i);
    for (unsigned i = 0; i < FETCH_ENTRIES; i++)
        set->fetch[i].tag = TLB_EMPTY;
    set->class = CLASSES; /* nobody's yet */
    set->index = (uint8_t)m->n_sets;
    m->sets[m->n_sets++] = set;
    return set;
}

/* The set of the current PCID for 'class': an old one, a new one, or the one idle for longest. */
static struct tlb_set *take_set(struct soft_vp *vp, enum tlb_class class)
{
    struct mmu_state *m = vp->mmu;
    struct tlb_set *set = NULL;

    for (unsigned i = 0; i < m->n_sets; i++)
        if (m->sets[i]->pcid == m->pcid && m->sets[i]->class == class)
            set = m->sets[i];
    for (unsigned i = 0; !set && i < m->n_sets; i++)
        if (m->sets[i]->class == CLASSES)
            set = m->sets[i];
    if (!set && m->n_sets < m->max_sets)
        set = new_set(m);
    if (!set) { /* there are as many sets as classes, so one is of another PCID */
        for (unsigned i = 0; i < m->n_sets; i++)
            if (m->sets[i]->pcid != m->pcid && (!set || m->sets[i]->used < set->used))
                set = m->sets[i];
        empty_set(vp, set);
    }
    set->pcid = m->pcid;
    set->class = (uint8_t)class;
    set->used = ++m->clock;
    m->current[class] = set;
    return set;
}

static struct tlb_set *get_set(struct soft_vp *vp, enum tlb_class class)
{
    struct tlb_set *set = vp->mmu->current[class];

    return likely(set) ? set : take_set(vp, class);
}

struct tlb_set *mmu_sys_set(struct soft_vp *vp, unsigned *ret_acc)
{
    *ret_acc = vp->cr4 & CR4_SMAP ? 0 : ACC_AC;
    return get_set(vp, vp->cr4 & CR4_SMAP ? CLASS_KERNEL : CLASS_KERNEL_USER);
}

/* ---- control state --------------------------------------------------------------------------- */

/* Data breakpoints: their pages stay out of the tables, so that every access comes by. */
static void check_breaks(struct soft_vp *vp)
{
    struct mmu_state *m = vp->mmu;
    uint64_t at[4];
    bool any = false;

    for (unsigned i = 0; i < 4; i++) {
        bool data = vp->dr[7] >> (2 * i) & 3 && vp->dr[7] >> (16 + 4 * i) & 1;

        at[i] = data ? vp->dr[i] & ~(PAGE_SIZE - 1) : TLB_EMPTY;
        any |= data;
    }
    if (any == m->any_break && memcmp(at, m->break_at, sizeof at) == 0)
        return;
    memcpy(m->break_at, at, sizeof at);
    m->any_break = any;
    empty_all_sets(vp);
}

static bool is_break(const struct mmu_state *m, uint64_t page)
{
    for (unsigned i = 0; i < 4; i++)
        if (m->break_at[i] == page)
            return true;
    return false;
}

static void switch_pcid(struct soft_vp *vp)
{
    struct mmu_state *m = vp->mmu;

    m->pcid = vp->cr4 & CR4_PCIDE ? vp->cr3 & (PCIDS - 1) : 0;
    m->tag = m->tags[m->pcid];
    memset(m->current, 0, sizeof m->current);
}

void mmu_select_set(struct soft_vp *vp)
{
    struct tlb *tlb;
    struct mmu_state *m = vp->mmu;
    uint64_t sig = (vp->cr0 & CR0_SIGNATURE) | (vp->efer & EFER_SIGNATURE) |
                   (vp->cr4 & CR4_SIGNATURE) << 32;
    enum tlb_class class;

    if (unlikely(sig != m->signature)) {
        m->signature = sig;
        paging_format(vp, &m->paging);
        mmu_flush_all(vp, true);
        switch_pcid(vp);
    }
    if (unlikely(vp->dr[7] & 0xff || m->any_break))
        check_breaks(vp);
    if (vp->cpl == 3) {
        class = CLASS_USER;
        m->walk_acc = ACC_USER;
    } else if (vp->cr4 & CR4_SMAP && !(vp->rflags & F_AC)) {
        class = CLASS_KERNEL;
        m->walk_acc = 0;
    } else {
        class = CLASS_KERNEL_USER;
        m->walk_acc = ACC_AC;
    }
    tlb = &get_set(vp, class)->tlb;
    if (vp->tlb != tlb) {
        vp->tlb = tlb;
        mmu_forget_taken(vp);
    }
}

/* ---- invalidation ---------------------------------------------------------------------------- */

static void forget_code(struct soft_vp *vp)
{
    memset(vp->mmu->seen_fetch, 0, sizeof vp->mmu->seen_fetch);
    run_code_unmapped(vp);
}

/* Everything of one PCID but global pages. */
static void flush_pcid_local(struct soft_vp *vp, unsigned pcid)
{
    struct mmu_state *m = vp->mmu;

    vp->count.tlb_flushes++;
    for (unsigned i = 0; i < m->n_sets; i++)
        if (m->sets[i]->pcid == pcid)
            empty_slots(vp, m->sets[i], false);
    m->tags[pcid] = ++m->next_tag;
    m->tag = m->tags[m->pcid];
}

void mmu_set_cr3(struct soft_vp *vp, uint64_t value)
{
    struct mmu_state *m = vp->mmu;
    unsigned pcid = vp->cr4 & CR4_PCIDE ? value & (PCIDS - 1) : 0;

    vp->cr3 = value & ~CR3_KEEP;
    if (!(vp->cr4 & CR4_PCIDE && value & CR3_KEEP))
        flush_pcid_local(vp, pcid);
    if (pcid != m->pcid)
        switch_pcid(vp);
    run_code_switched(vp);
    mmu_select_set(vp);
}

void mmu_flush_all(struct soft_vp *vp, bool globals)
{
    struct mmu_state *m = vp->mmu;

    vp->count.tlb_flushes++;
    for (unsigned i = 0; i < m->n_sets; i++) {
        empty_slots(vp, m->sets[i], false);
        if (globals)
            empty_slots(vp, m->sets[i], true);
    }
    memset(m->pde, 0, sizeof m->pde);
    if (globals) {
        memset(m->seen_2m, 0, sizeof m->seen_2m);
        memset(m->seen_1g, 0, sizeof m->seen_1g);
        forget_code(vp);
    } else {
        run_code_switched(vp);
    }
}

/* The slots of the large page of at most 4 MiB around va. */
static void drop_large(struct soft_vp *vp, struct tlb_set *set, uint64_t va)
{
    size_t first = tlb_slot(va & ~(4 * MIB - 1));

    mmu_forget_taken(vp);
    for (size_t i = first; i < first + 4 * MIB / PAGE_SIZE; i++) {
        if ((set->tlb.read[i].tag ^ va) >> 22 == 0)
            set->tlb.read[i].tag = tlb_empty(i);
        if ((set->tlb.write[i].tag ^ va) >> 22 == 0)
            drop_write(vp, set, i);
    }
    for (unsigned i = 0; i < FETCH_ENTRIES; i++)
        if ((set->fetch[i].tag ^ va) >> 22 == 0)
            set->fetch[i].tag = TLB_EMPTY;
}

static void drop_small(struct soft_vp *vp, struct tlb_set *set, uint64_t page)
{
    size_t slot = tlb_slot(page);
    struct fetch_entry *f = &set->fetch[slot % FETCH_ENTRIES];

    mmu_forget_taken(vp); /* the entry may have made room for another, and still be there */
    if (set->tlb.read[slot].tag == page)
        set->tlb.read[slot].tag = tlb_empty(slot);
    if (set->tlb.write[slot].tag == page)
        drop_write(vp, set, slot);
    if (f->tag == page)
        f->tag = TLB_EMPTY;
}

/* One page of one PCID, and global ones; of other PCIDs' sets more than need be. */
static void flush_page(struct soft_vp *vp, unsigned pcid, uint64_t va)
{
    struct mmu_state *m = vp->mmu;
    bool huge = seen_get(m->seen_1g, ARRAY_LEN(m->seen_1g), va >> 30);
    bool large = seen_get(m->seen_2m, ARRAY_LEN(m->seen_2m), va >> 22);
    uint64_t page = va & ~(PAGE_SIZE - 1);

    if (!m->paging.levels)
        return;
    for (unsigned i = 0; i < m->n_sets; i++) {
        if (huge)
            empty_set(vp, m->sets[i]);
        else if (large)
            drop_large(vp, m->sets[i], va);
        else
            drop_small(vp, m->sets[i], page);
    }
    if (huge || large) /* a global large page may be cached under every tag */
        memset(m->pde, 0, sizeof m->pde);
    m->tags[pcid] = ++m->next_tag; /* directory entries: all of this PCID */
    m->tag = m->tags[m->pcid];
    if (huge || large)
        forget_code(vp);
    else if (seen_get(m->seen_fetch, ARRAY_LEN(m->seen_fetch), va >> PAGE_SHIFT))
        run_code_page_unmapped(vp, page);
}

void mmu_flush_page(struct soft_vp *vp, uint64_t va)
{
    flush_page(vp, vp->mmu->pcid, va);
}

void mmu_flush_pcid(struct soft_vp *vp, unsigned pcid, bool one_page, uint64_t va)
{
    pcid %= PCIDS;
    if (one_page) {
        flush_page(vp, pcid, va);
        return;
    }
    flush_pcid_local(vp, pcid);
    if (pcid == vp->mmu->pcid)
        run_code_switched(vp);
}

/* ---- filling --------------------------------------------------------------------------------- */

static void fill_write(struct soft_vp *vp, struct tlb_set *set, uint64_t va, gpa_t page, bool store)
{
    struct gmem *mem = vp->soft->gmem;
    uint64_t n = page.v >> PAGE_SHIFT;
    size_t slot = tlb_slot(va);
    struct tlb_entry *e = &set->tlb.write[slot];
    struct write_bucket *b = bucket_of(vp->mmu, n);

    if (!store && !tlb_is_empty(e))
        return;
    if (unlikely(__atomic_load_n(&mem->track_dirty, __ATOMIC_RELAXED))) {
        if (!store && !(__atomic_load_n(&mem->flags[n], __ATOMIC_RELAXED) & GMEM_DIRTY))
            return;
        __atomic_fetch_or(&mem->flags[n], GMEM_DIRTY, __ATOMIC_RELAXED);
    }
    bucket_add(b);
    if (is_code(vp, n)) {
        bucket_sub(b);
        return;
    }
    drop_write(vp, set, slot);
    e->tag = va;
    e->add = (uint64_t)(uintptr_t)(mem->base + page.v) - va;
    chain_add(b, set, slot);
}

static enum place_kind kind_of(struct soft_vp *vp, gpa_t page)
{
    struct mmu_state *m = vp->mmu;
    const struct gmem_region *g = m->region;

    if (unlikely((vp->msrs.apic_base ^ page.v) >> PAGE_SHIFT == 0) && lapic_covers(vp, page))
        return PLACE_APIC;
    if (unlikely(!g || page.v - g->gpa >= g->size)) {
        g = gmem_region_at(vp->soft->gmem, page);
        if (!g)
            return PLACE_MMIO;
        m->region = g;
    }
    return g->kind == GMEM_ROM ? PLACE_ROM : PLACE_RAM;
}

struct place mmu_place(struct soft_vp *vp, uint64_t va, const struct mapping *map)
{
    struct place p = { .at = GPA(map->page.v + va % PAGE_SIZE), .kind = kind_of(vp, map->page) };

    if (p.kind <= PLACE_ROM)
        p.host = vp->soft->gmem->base + p.at.v;
    return p;
}

static void fill(struct soft_vp *vp, struct tlb_set *set, uint64_t page, unsigned acc,
                 const struct mapping *map, const struct place *p)
{
    size_t slot = tlb_slot(page);

    set->filled[map->global][slot / 64] |= UINT64_C(1) << (slot % 64);
    set->tlb.read[slot] = (struct tlb_entry){
        page, (uint64_t)(uintptr_t)p->host - p->at.v % PAGE_SIZE - page
    };
    gmem_touch(vp->soft->gmem, map->page.v >> PAGE_SHIFT);
    if (map->write && map->dirty && p->kind == PLACE_RAM)
        fill_write(vp, set, page, map->page, (acc & ACC_WRITE) != 0);
}

struct place mmu_locate(struct soft_vp *vp, struct tlb_set *set, uint64_t va, unsigned acc)
{
    struct mmu_state *m = vp->mmu;
    uint64_t page = va & ~(PAGE_SIZE - 1);
    struct mapping map;
    struct place p;
    uint32_t error;

    if (unlikely(set->index == TLB_PRIVATE))
        set = m->missed(vp, va, acc);
    vp->count.tlb_misses++;
    if (!walk(vp, va, acc, &map, &error)) {
        vp->cr2 = va;
        soft_raise_error(vp, EXC_PF, error);
    }
    p = mmu_place(vp, va, &map);
    if (!p.host || (unlikely(m->any_break) && is_break(m, page)))
        return p;
    fill(vp, set, page, acc, &map, &p);
    return p;
}

bool mmu_refill(struct soft_vp *vp, uint64_t va, unsigned size, bool write)
{
    struct mmu_state *m = vp->mmu;
    unsigned acc = m->walk_acc | (write ? ACC_WRITE : 0);
    uint64_t page = va & ~(PAGE_SIZE - 1);
    struct mapping map;
    struct place p;

    if (va - page > PAGE_SIZE - size || (uint64_t)((int64_t)(va << 16) >> 16) != va ||
        unlikely(m->any_break))
        return false;
    if (!m->paging.levels)
        map = (struct mapping){ .page = GPA(page), .write = true, .dirty = true };
    else if (!walk_pde(vp, va, acc, &map))
        return false;
    p = mmu_place(vp, va, &map);
    if (!p.host)
        return false;
    vp->count.tlb_misses++;
    fill(vp, mmu_set(vp), page, acc, &map, &p);
    return tlb_hit(write ? vp->tlb->write : vp->tlb->read, va, size);
}

gpa_t mem_fetch_page(struct soft_vp *vp, uint64_t va, const uint8_t **ret_host)
{
    struct mmu_state *m = vp->mmu;
    struct tlb_set *set = mmu_set(vp);
    uint64_t page = va & ~(PAGE_SIZE - 1);
    size_t slot = tlb_slot(va) % FETCH_ENTRIES;
    struct fetch_entry *f = &set->fetch[slot];
    enum place_kind kind;
    struct mapping map;
    uint32_t error;

    if (f->tag == page) {
        *ret_host = vp->soft->gmem->base + f->gpa;
        return GPA(f->gpa);
    }
    if (!walk(vp, va, m->walk_acc | ACC_FETCH, &map, &error)) {
        vp->cr2 = va;
        soft_raise_error(vp, EXC_PF, error);
    }
    seen_set(m->seen_fetch, ARRAY_LEN(m->seen_fetch), va >> PAGE_SHIFT);
    kind = kind_of(vp, map.page);
    if (kind > PLACE_ROM) {
        *ret_host = NULL;
        return map.page;
    }
    set->fetched[map.global][slot / 64] |= UINT64_C(1) << (slot % 64);
    *f = (struct fetch_entry){ page, map.page.v };
    *ret_host = vp->soft->gmem->base + map.page.v;
    return map.page;
}

bool mem_fetch_global(const struct soft_vp *vp, uint64_t va)
{
    size_t slot = tlb_slot(va) % FETCH_ENTRIES;
    const struct tlb_set *set = mmu_set(vp);

    /* Filled since the last flush, and never from a page that is not. */
    return set->fetch[slot].tag == (va & ~(PAGE_SIZE - 1)) &&
           !(set->fetched[0][slot / 64] >> (slot % 64) & 1);
}

bool mmu_translate(struct soft_vp *vp, uint64_t va, gpa_t *ret)
{
    struct mapping map;
    uint32_t error;

    if (!walk(vp, va, ACC_PEEK, &map, &error))
        return false;
    ret->v = map.page.v + va % PAGE_SIZE;
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

int mmu_init(struct soft_vp *vp)
{
    struct mmu_state *m = calloc(1, sizeof *m);

    if (!m)
        return -ENOMEM;
    vp->mmu = m;
    m->max_sets = vp->soft->part.cfg.n_vps <= 4 ? TLB_SETS_MAX : TLB_SETS_MAX / 2;
    m->tags = calloc(PCIDS, sizeof m->tags[0]);
    if (!m->tags)
        return -ENOMEM;
    for (unsigned i = 0; i < PCIDS; i++)
        m->tags[i] = i + 1; /* never 0: an empty entry of pde[] has key 0 */
    m->next_tag = PCIDS;
    m->tag = m->tags[0];
    m->signature = ~UINT64_C(0);
    /* One a class: later ones are a luxury. */
    for (unsigned i = 0; i < CLASSES; i++)
        if (!new_set(m))
            return -ENOMEM;
    return 0;
}

void mmu_done(struct soft_vp *vp)
{
    if (!vp->mmu)
        return;
    for (unsigned i = 0; i < vp->mmu->n_sets; i++)
        free(vp->mmu->sets[i]);
    free(vp->mmu->tags);
    free(vp->mmu);
    vp->mmu = NULL;
}
