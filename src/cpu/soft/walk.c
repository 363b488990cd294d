/* SPDX-License-Identifier: GPL-2.0-or-later */
/* walk.c - page tables: two levels (PSE, PSE36), PAE, four levels; 4 KiB to 1 GiB pages.
 *
 * Spec:   AMD64 APM volume 2, chapter 5; Intel SDM volume 3, 4.3-4.8.
 * As AMD does, PAE's four directory pointers are read when they are needed, not at MOV CR3; a
 * reserved bit in them shows as #PF.  A and D are set once the whole access is known to be allowed,
 * by compare and exchange, so an entry that another VP changes meanwhile is walked again.
 * Tables outside RAM read as all ones.
 * Called: mmu.c.   Tests: mmu_test.c. */
#include "cpu/soft/mmu.h"

#define PHYS_MASK ((UINT64_C(1) << SOFT_PHYS_BITS) - 1)
#define ADDR_MASK (PHYS_MASK & ~(PAGE_SIZE - 1))

_Static_assert(SOFT_PHYS_BITS == 40, "PSE36 entries hold 8 bits above 4 GiB");

static inline uint64_t bits(unsigned high, unsigned low)
{
    return (~UINT64_C(0) >> (63 - high)) & (~UINT64_C(0) << low);
}

static void format_8_byte(struct paging *p, bool long_mode)
{
    uint64_t above = bits(51, SOFT_PHYS_BITS);

    if (!long_mode)
        above |= bits(62, 52);
    if (!p->nx)
        above |= PTE_NX;
    for (unsigned i = 0; i < 4; i++)
        p->reserved[i] = p->reserved_large[i] = above;
    p->large = 1 << 1;
    p->reserved_large[1] |= bits(20, 13);
    if (long_mode) {
        p->large |= 1 << 2;
        p->reserved_large[2] |= bits(29, 13);
        p->reserved[3] |= PTE_PS;
    } else {
        p->reserved[2] |= bits(8, 5) | bits(2, 1) | PTE_NX;
    }
}

void paging_format(const struct soft_vp *vp, struct paging *ret)
{
    struct paging p = {
        .wp = (vp->cr0 & CR0_WP) != 0,
        .smep = (vp->cr4 & CR4_SMEP) != 0,
        .smap = (vp->cr4 & CR4_SMAP) != 0,
        .pge = (vp->cr4 & CR4_PGE) != 0,
    };

    if (vp->cr0 & CR0_PG) {
        if (vp->cr4 & CR4_PAE) {
            bool long_mode = (vp->efer & EFER_LMA) != 0;

            p.nx = (vp->efer & EFER_NXE) != 0;
            p.levels = long_mode ? 4 : 3;
            p.entry_size = 8;
            p.root_mask = long_mode ? ADDR_MASK : bits(31, 5);
            format_8_byte(&p, long_mode);
        } else {
            p.levels = 2;
            p.entry_size = 4;
            p.root_mask = bits(31, 12);
            if (vp->cr4 & CR4_PSE) {
                p.large = 1 << 1;
                p.pse36 = true;
                p.reserved_large[1] = bits(21, 21); /* 20:13 are bits 39:32 of the address */
            }
        }
    }
    *ret = p;
}

/* One entry on the way down. */
struct step {
    gpa_t at;
    uint8_t *host; /* NULL: not in RAM */
    uint64_t e;
};

static uint8_t *table_host(struct soft_vp *vp, gpa_t at)
{
    const struct gmem_region *g = vp->mmu->region;

    if (unlikely(!g || at.v - g->gpa >= g->size)) {
        g = gmem_region_at(vp->soft->gmem, at);
        if (!g)
            return NULL;
        vp->mmu->region = g;
    }
    return vp->soft->gmem->base + at.v;
}

static void step_load(struct soft_vp *vp, struct step *s, unsigned entry_size)
{
    s->host = table_host(vp, s->at);
    if (!s->host)
        s->e = entry_size == 8 ? ~UINT64_C(0) : UINT32_MAX;
    else if (entry_size == 8)
        s->e = __atomic_load_n((uint64_t *)(void *)s->host, __ATOMIC_RELAXED);
    else
        s->e = __atomic_load_n((uint32_t *)(void *)s->host, __ATOMIC_RELAXED);
}

static bool exchange(const struct step *s, uint64_t want, unsigned entry_size)
{
    uint64_t e8 = s->e;
    uint32_t e4 = (uint32_t)s->e;

    if (entry_size == 8)
        return __atomic_compare_exchange_n((uint64_t *)(void *)s->host, &e8, want, false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    return __atomic_compare_exchange_n((uint32_t *)(void *)s->host, &e4, (uint32_t)want, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* Set bits of an entry in guest memory: a store of the CPU, with all that follows from one.
 * false: the entry has changed. */
static bool step_set(struct soft_vp *vp, struct step *s, uint64_t need, unsigned entry_size)
{
    bool done;

    if ((s->e & need) == need || !s->host)
        return true;
    if (gmem_region_at(vp->soft->gmem, s->at)->kind == GMEM_ROM)
        return true; /* the store is dropped */
    if (mmu_hold(vp, s->at)) {
        done = exchange(s, s->e | need, entry_size);
        if (done)
            mmu_dirty(vp, s->at);
        mmu_release(vp, s->at);
        return done;
    }
    code_write_check(vp, s->at, entry_size);
    code_write_begin(vp);
    done = exchange(s, s->e | need, entry_size);
    mmu_dirty(vp, s->at);
    code_write_end(vp, s->at, entry_size);
    return done;
}

#define PDE_NUMBER ((UINT64_C(1) << 27) - 1) /* a canonical address has no more to tell */

static struct pde_entry *pde_slot(struct mmu_state *m, uint64_t n)
{
    return &m->pde[(n ^ m->tag * 37) % PDE_ENTRIES];
}

/* Remember the directory entry that this walk went through. */
static void keep_pde(struct soft_vp *vp, uint64_t va, const struct step *leaf, unsigned level,
                     uint64_t rights, bool nx, uint64_t leaf_page)
{
    struct mmu_state *m = vp->mmu;
    uint64_t n = va >> 21 & PDE_NUMBER, val;
    struct pde_entry *d = pde_slot(m, n);

    val = (rights & PTE_W ? PDE_W : 0) | (rights & PTE_U ? PDE_U : 0) | (nx ? PDE_NX : 0);
    if (level == 0) {
        if (!leaf->host)
            return;
        val |= (uint64_t)ALIGN_DOWN((uintptr_t)leaf->host, PAGE_SIZE);
    } else {
        /* 'leaf_page' is the 4 KiB page of va; keep the 2 MiB piece that it lies in. */
        val |= (leaf_page & ~(2 * MIB - 1)) | PDE_LARGE | (leaf->e & PTE_D ? PDE_D : 0) |
               (leaf->e & PTE_G && m->paging.pge ? PDE_G : 0) | (level == 2 ? PDE_1G : 0);
        if (level == 2)
            seen_set(m->seen_1g, ARRAY_LEN(m->seen_1g), va >> 30);
        seen_set(m->seen_2m, ARRAY_LEN(m->seen_2m), va >> 22);
    }
    d->key = n | m->tag << 27;
    d->val = val;
}

static uint64_t leaf_address(const struct paging *p, uint64_t e, unsigned level, uint64_t va)
{
    unsigned shift;
    uint64_t base;

    if (level == 0)
        return e & (p->entry_size == 8 ? ADDR_MASK : bits(31, 12));
    shift = PAGE_SHIFT + level * (p->entry_size == 8 ? 9 : 10);
    base = e & (p->entry_size == 8 ? ADDR_MASK : bits(31, 22));
    if (p->pse36)
        base |= (e >> 13 & 0xff) << 32;
    return (base & (~UINT64_C(0) << shift)) | (va & bits(shift - 1, PAGE_SHIFT));
}

static bool allowed(const struct paging *p, unsigned acc, uint64_t rights, bool nx)
{
    if (acc & ACC_PEEK)
        return true;
    if (acc & ACC_FETCH && nx)
        return false;
    if (acc & ACC_USER)
        return rights & PTE_U && (!(acc & ACC_WRITE) || rights & PTE_W);
    if (acc & ACC_WRITE && p->wp && !(rights & PTE_W))
        return false;
    if (!(rights & PTE_U))
        return true;
    return acc & ACC_FETCH ? !p->smep : !p->smap || acc & ACC_AC;
}

/* Error code of #PF but for P and RSVD. */
static uint32_t fault_bits(const struct paging *p, unsigned acc)
{
    return acc & (ACC_WRITE | ACC_USER | (p->nx || p->smep ? ACC_FETCH : 0));
}

enum walked { WALK_OK, WALK_FAULT, WALK_AGAIN };

static enum walked walk_once(struct soft_vp *vp, uint64_t va, unsigned acc, struct mapping *ret,
                             uint32_t *ret_error)
{
    const struct paging *p = &vp->mmu->paging;
    unsigned width = p->entry_size == 8 ? 9 : 10, level = p->levels, n = 0;
    uint64_t table = vp->cr3 & p->root_mask, rights = PTE_W | PTE_U, above = rights;
    bool nx = false, nx_above = false, large;
    struct step step[4], *s;

    for (;;) {
        level--;
        s = &step[n++];
        s->at.v = table + (va >> (PAGE_SHIFT + level * width) & bits(width - 1, 0)) * p->entry_size;
        step_load(vp, s, p->entry_size);
        large = s->e & PTE_PS && p->large >> level & 1;
        if (!(s->e & PTE_P)) {
            *ret_error = fault_bits(p, acc);
            return WALK_FAULT;
        }
        if (s->e & (large ? p->reserved_large : p->reserved)[level]) {
            *ret_error = fault_bits(p, acc) | PF_P | PF_RSVD;
            return WALK_FAULT;
        }
        if (level == 2 && p->levels == 3) { /* PAE's pointers: no rights, no A */
            n--;
            table = s->e & ADDR_MASK;
            continue;
        }
        above = rights;
        nx_above = nx;
        rights &= s->e;
        nx |= p->entry_size == 8 && s->e & PTE_NX;
        if (level == 0 || large)
            break;
        table = s->e & (p->entry_size == 8 ? ADDR_MASK : bits(31, 12));
    }
    if (!allowed(p, acc, rights, nx)) {
        *ret_error = fault_bits(p, acc) | PF_P;
        return WALK_FAULT;
    }
    if (!(acc & ACC_PEEK)) {
        for (unsigned i = 0; i < n; i++) {
            uint64_t need = PTE_A | (i == n - 1 && acc & ACC_WRITE ? PTE_D : 0);

            if (!step_set(vp, &step[i], need, p->entry_size))
                return WALK_AGAIN;
            step[i].e |= need;
        }
    }
    uint64_t page = leaf_address(p, s->e, level, va);
    *ret = (struct mapping){
        .page = GPA(page),
        .write = rights & PTE_W || (!(acc & ACC_USER) && !p->wp),
        .dirty = (s->e & PTE_D) != 0,
        .global = s->e & PTE_G && p->pge,
        .shift = (uint8_t)(PAGE_SHIFT + level * width),
    };
    if (!(acc & ACC_PEEK))
        keep_pde(vp, va, s, level, level ? rights : above, level ? nx : nx_above, page);
    return WALK_OK;
}

bool walk_pde(struct soft_vp *vp, uint64_t va, unsigned acc, struct mapping *ret)
{
    struct mmu_state *m = vp->mmu;
    const struct paging *p = &m->paging;
    uint64_t n = va >> 21 & PDE_NUMBER, rights, e;
    const struct pde_entry *d = pde_slot(m, n);
    bool nx = (d->val & PDE_NX) != 0;

    if (d->key != (n | m->tag << 27))
        return false;
    rights = (d->val & PDE_W ? PTE_W : 0) | (d->val & PDE_U ? PTE_U : 0);
    if (d->val & PDE_LARGE) {
        if ((acc & ACC_WRITE && !(d->val & PDE_D)) || !allowed(p, acc, rights, nx))
            return false;
        *ret = (struct mapping){
            .page = GPA((d->val & ~(uint64_t)PDE_FLAGS) | (va & bits(20, PAGE_SHIFT))),
            .dirty = (d->val & PDE_D) != 0,
            .global = (d->val & PDE_G) != 0,
            .shift = d->val & PDE_1G ? 30 : p->entry_size == 8 ? 21 : 22,
        };
    } else {
        const uint8_t *table = (const uint8_t *)(uintptr_t)(d->val & ~(uint64_t)PDE_FLAGS);

        if (p->entry_size == 8)
            e = __atomic_load_n((const uint64_t *)(const void *)table + (va >> 12 & 511),
                                __ATOMIC_RELAXED);
        else
            e = __atomic_load_n((const uint32_t *)(const void *)table + (va >> 12 & 1023),
                                __ATOMIC_RELAXED);
        /* Whatever is not plain is for the whole walk: faults, A and D to set. */
        if (!(e & PTE_P) || !(e & PTE_A) || e & p->reserved[0] ||
            (acc & ACC_WRITE && !(e & PTE_D)))
            return false;
        rights &= e;
        nx |= p->entry_size == 8 && e & PTE_NX;
        if (!allowed(p, acc, rights, nx))
            return false;
        *ret = (struct mapping){
            .page = GPA(e & (p->entry_size == 8 ? ADDR_MASK : bits(31, 12))),
            .dirty = (e & PTE_D) != 0,
            .global = e & PTE_G && p->pge,
            .shift = PAGE_SHIFT,
        };
    }
    ret->write = rights & PTE_W || (!(acc & ACC_USER) && !p->wp);
    return true;
}

bool walk(struct soft_vp *vp, uint64_t va, unsigned acc, struct mapping *ret, uint32_t *ret_error)
{
    enum walked w;

    if (!vp->mmu->paging.levels) {
        *ret = (struct mapping){ .page = GPA(va & ~(PAGE_SIZE - 1)), .write = true, .dirty = true,
                                 .shift = PAGE_SHIFT };
        return true;
    }
    if (!(acc & ACC_PEEK) && walk_pde(vp, va, acc, ret))
        return true;
    vp->count.page_walks++;
    do
        w = walk_once(vp, va, acc, ret, ret_error);
    while (w == WALK_AGAIN);
    return w == WALK_OK;
}
