/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mem.c - loads and stores that miss the TLB: faults, page crossing, MMIO, code pages, atomics.
 *
 * Order of every store: first each page is located (that may fault), then code pages are announced
 * (that may unwind to run the instruction again), then all bytes are written.  So a store happens
 * whole or not at all.
 * Accesses to MMIO are cut into naturally aligned pieces of 1, 2, 4 or 8 bytes.
 * Called: operations and helpers through mem.h.   Tests: mmu_test.c. */
#include <assert.h>

#include "cpu/soft/lapic.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/soft.h"
#include "cpu/soft/sys.h"

#define PARTS_MAX 4 /* pages of one access */

/* ---- MMIO ------------------------------------------------------------------------------------ */

static unsigned piece_size(uint64_t at, size_t n)
{
    unsigned size = 8;

    while (at & (size - 1) || size > n)
        size /= 2;
    return size;
}

static uint64_t bus_read(struct soft_vp *vp, gpa_t at, unsigned size)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    uint64_t v;

    vp->count.mmio++;
    soft_note_exit(vp, "mmio read", at.v);
    soft_leave(vp);
    v = cfg->exits->mmio_read(cfg->owner, &vp->vp, at, size);
    soft_enter(vp);
    return v;
}

static void bus_write(struct soft_vp *vp, gpa_t at, unsigned size, uint64_t value)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;

    vp->count.mmio++;
    soft_note_exit(vp, "mmio write", at.v);
    soft_leave(vp);
    cfg->exits->mmio_write(cfg->owner, &vp->vp, at, size, value);
    soft_enter(vp);
}

/* The APIC's registers are 32 bits wide, one every 16 bytes; other accesses are undefined. */
static uint64_t apic_read(struct soft_vp *vp, unsigned off, unsigned size)
{
    uint64_t v = (uint64_t)lapic_read(vp, off & 0xff0) >> (off % 4 * 8);

    if (off & 0xc)
        return 0;
    return size < 8 ? v & ((UINT64_C(1) << size * 8) - 1) : v;
}

static void device_read(struct soft_vp *vp, const struct place *p, void *to, size_t n)
{
    uint64_t at = p->at.v, v;

    for (uint8_t *d = to; n;) {
        unsigned size = piece_size(at, n);

        if (p->kind == PLACE_APIC)
            v = apic_read(vp, at % PAGE_SIZE, size);
        else
            v = bus_read(vp, GPA(at), size);
        memcpy(d, &v, size);
        d += size;
        at += size;
        n -= size;
    }
}

static void device_write(struct soft_vp *vp, const struct place *p, const void *from, size_t n)
{
    uint64_t at = p->at.v, v;

    for (const uint8_t *s = from; n;) {
        unsigned size = piece_size(at, n);

        v = 0;
        memcpy(&v, s, size);
        if (p->kind != PLACE_APIC)
            bus_write(vp, GPA(at), size, v);
        else if (at % 16 == 0 && size >= 4)
            lapic_write(vp, at % PAGE_SIZE, (uint32_t)v);
        s += size;
        at += size;
        n -= size;
    }
}

/* ---- plain copies: what fits one host access is one, as on the real CPU ---------------------- */

static void load(const uint8_t *host, void *to, size_t n)
{
    switch (n) {
    case 1: *(uint8_t *)to = *(const volatile uint8_t *)host; break;
    case 2: *(uint16_t *)to = *(const volatile uint16_t *)(const void *)host; break;
    case 4: *(uint32_t *)to = *(const volatile uint32_t *)(const void *)host; break;
    case 8: *(uint64_t *)to = *(const volatile uint64_t *)(const void *)host; break;
    default: memcpy(to, host, n); break;
    }
}

static void store(uint8_t *host, const void *from, size_t n)
{
    switch (n) {
    case 1: *(volatile uint8_t *)host = *(const uint8_t *)from; break;
    case 2: *(volatile uint16_t *)(void *)host = *(const uint16_t *)from; break;
    case 4: *(volatile uint32_t *)(void *)host = *(const uint32_t *)from; break;
    case 8: *(volatile uint64_t *)(void *)host = *(const uint64_t *)from; break;
    default: memcpy(host, from, n); break;
    }
}

/* ---- parts: an access cut at page borders ---------------------------------------------------- */

struct part {
    uint64_t va;
    unsigned off, len; /* within the access */
    struct place place;
};

/* The address 'off' bytes on: linear addresses have 32 bits outside long mode. */
static uint64_t va_add(const struct soft_vp *vp, uint64_t va, uint64_t off)
{
    va += off;
    return vp->efer & EFER_LMA ? va : (uint32_t)va;
}

static bool canonical(uint64_t va)
{
    return (int64_t)(va << 16) >> 16 == (int64_t)va;
}

static unsigned cut(struct soft_vp *vp, uint64_t va, size_t n, struct part part[PARTS_MAX])
{
    unsigned n_parts = 0, off = 0;

    while (off < n) {
        uint64_t here = va_add(vp, va, off);
        unsigned len = (unsigned)MIN(n - off, PAGE_SIZE - here % PAGE_SIZE);

        assert(n_parts < PARTS_MAX);
        if (unlikely(!canonical(here)))
            soft_raise_error(vp, EXC_GP, 0);
        part[n_parts++] = (struct part){ .va = here, .off = off, .len = len };
        off += len;
    }
    return n_parts;
}

static void locate_parts(struct soft_vp *vp, struct tlb_set *set, struct part *part, unsigned n,
                         unsigned acc)
{
    for (unsigned i = 0; i < n; i++) {
        part[i].place = mmu_locate(vp, set, part[i].va, acc);
        if (unlikely(vp->mmu->any_break) && !(acc & ACC_PEEK))
            debug_data_access(vp, part[i].va, part[i].len, (acc & ACC_WRITE) != 0);
    }
}

static void read_in(struct soft_vp *vp, struct tlb_set *set, unsigned acc, uint64_t va, void *to,
                    size_t n)
{
    struct part part[PARTS_MAX];
    unsigned n_parts = cut(vp, va, n, part);

    locate_parts(vp, set, part, n_parts, acc);
    for (unsigned i = 0; i < n_parts; i++) {
        uint8_t *d = (uint8_t *)to + part[i].off;

        if (part[i].place.host)
            load(part[i].place.host, d, part[i].len);
        else
            device_read(vp, &part[i].place, d, part[i].len);
    }
}

static bool part_is_code(struct soft_vp *vp, const struct part *p)
{
    return p->place.kind == PLACE_RAM &&
           __atomic_load_n(&vp->soft->gmem->flags[p->place.at.v >> PAGE_SHIFT], __ATOMIC_RELAXED) &
               GMEM_CODE;
}

static void write_part(struct soft_vp *vp, const struct part *p, const uint8_t *from)
{
    gpa_t at = p->place.at;

    if (p->place.kind != PLACE_RAM) { /* stores to ROM are the bus's to note and drop */
        device_write(vp, &p->place, from + p->off, p->len);
        return;
    }
    if (likely(mmu_hold(vp, at))) {
        store(p->place.host, from + p->off, p->len);
        mmu_dirty(vp, at);
        mmu_release(vp, at);
        return;
    }
    /* Code was decoded from it since we looked?  Then this may unwind half way, and the retry writes
     * the same bytes again. */
    code_write_check(vp, at, p->len);
    code_write_begin(vp);
    store(p->place.host, from + p->off, p->len);
    mmu_dirty(vp, at);
    code_write_end(vp, at, p->len);
}

static void write_in(struct soft_vp *vp, struct tlb_set *set, unsigned acc, uint64_t va,
                     const void *from, size_t n)
{
    struct part part[PARTS_MAX];
    unsigned n_parts = cut(vp, va, n, part);

    locate_parts(vp, set, part, n_parts, acc | ACC_WRITE);
    for (unsigned i = 0; n_parts > 1 && i < n_parts; i++)
        if (part_is_code(vp, &part[i]))
            code_write_check(vp, part[i].place.at, part[i].len);
    for (unsigned i = 0; i < n_parts; i++)
        write_part(vp, &part[i], from);
}

/* ---- mem.h: loads and stores ----------------------------------------------------------------- */

uint64_t mem_read_slow(struct soft_vp *vp, uint64_t va, unsigned size)
{
    uint64_t v = 0;

    if (likely(va % PAGE_SIZE + size <= PAGE_SIZE && !vp->mmu->any_break)) {
        struct place p = mmu_locate(vp, mmu_set(vp), va, vp->mmu->walk_acc);

        if (likely(p.host))
            load(p.host, &v, size);
        else
            device_read(vp, &p, &v, size);
        return v;
    }
    read_in(vp, mmu_set(vp), vp->mmu->walk_acc, va, &v, size);
    return v;
}

void mem_write_slow(struct soft_vp *vp, uint64_t va, unsigned size, uint64_t value)
{
    if (likely(va % PAGE_SIZE + size <= PAGE_SIZE && !vp->mmu->any_break)) {
        struct part part = { .va = va, .len = size };
        void *host;

        part.place = mmu_locate(vp, mmu_set(vp), va, vp->mmu->walk_acc | ACC_WRITE);
        host = tlb_hit(vp->tlb->write, va, size);
        if (likely(host))
            store(host, &value, size);
        else
            write_part(vp, &part, (const uint8_t *)&value);
        return;
    }
    write_in(vp, mmu_set(vp), vp->mmu->walk_acc, va, &value, size);
}

void mem_read(struct soft_vp *vp, uint64_t va, void *to, size_t n)
{
    const void *p = n <= PAGE_SIZE ? tlb_hit(vp->tlb->read, va, (unsigned)n) : NULL;

    if (likely(p))
        memcpy(to, p, n);
    else
        read_in(vp, mmu_set(vp), vp->mmu->walk_acc, va, to, n);
}

void mem_write(struct soft_vp *vp, uint64_t va, const void *from, size_t n)
{
    void *p = n <= PAGE_SIZE ? tlb_hit(vp->tlb->write, va, (unsigned)n) : NULL;

    if (likely(p))
        memcpy(p, from, n);
    else
        write_in(vp, mmu_set(vp), vp->mmu->walk_acc, va, from, n);
}

void mem_probe_write(struct soft_vp *vp, uint64_t va, size_t n)
{
    struct part part[PARTS_MAX];
    unsigned n_parts;

    if (n <= PAGE_SIZE && tlb_hit(vp->tlb->write, va, (unsigned)n))
        return;
    n_parts = cut(vp, va, n, part);
    for (unsigned i = 0; i < n_parts; i++)
        mmu_locate(vp, mmu_set(vp), part[i].va, vp->mmu->walk_acc | ACC_WRITE);
}

uint64_t mem_sys_read(struct soft_vp *vp, uint64_t va, unsigned size)
{
    unsigned acc;
    struct tlb_set *set = mmu_sys_set(vp, &acc);
    const void *p = likely(canonical(va)) ? tlb_hit(set->tlb.read, va, size) : NULL;
    uint64_t v = 0;

    if (likely(p))
        load(p, &v, size);
    else
        read_in(vp, set, acc, va, &v, size);
    return v;
}

void mem_sys_write(struct soft_vp *vp, uint64_t va, unsigned size, uint64_t value)
{
    unsigned acc;
    struct tlb_set *set = mmu_sys_set(vp, &acc);
    void *p = likely(canonical(va)) ? tlb_hit(set->tlb.write, va, size) : NULL;

    if (likely(p))
        store(p, &value, size);
    else
        write_in(vp, set, acc, va, &value, size);
}

static void *span(struct soft_vp *vp, const struct tlb_entry *table, uint64_t va, size_t n,
                  size_t *ret_n, unsigned acc)
{
    void *p = tlb_hit(table, va, 1);

    if (!p) {
        mmu_locate(vp, mmu_set(vp), va, acc);
        p = tlb_hit(table, va, 1);
        if (!p)
            return NULL;
    }
    *ret_n = MIN(n, PAGE_SIZE - va % PAGE_SIZE);
    return p;
}

void *mem_span_read(struct soft_vp *vp, uint64_t va, size_t n, size_t *ret_n)
{
    return span(vp, vp->tlb->read, va, n, ret_n, vp->mmu->walk_acc);
}

void *mem_span_write(struct soft_vp *vp, uint64_t va, size_t n, size_t *ret_n)
{
    return span(vp, vp->tlb->write, va, n, ret_n, vp->mmu->walk_acc | ACC_WRITE);
}

/* ---- atomic read-modify-write ---------------------------------------------------------------- */

enum rmw_kind {
    RMW_NONE,
    RMW_TABLE,  /* through the write table: nothing to finish */
    RMW_HELD,   /* RAM that the tables leave out: announced by mmu_hold() */
    RMW_CODE,   /* code page */
    RMW_BOUNCE, /* MMIO or two pages: read, and to be written back; others may be stopped */
};

/* Look again at the pages once the others stand: while we waited for that they ran, and may have
 * changed page tables or decoded code.  Nothing may raise or unwind here, so: false, try again. */
static bool relocate(struct soft_vp *vp, const struct part *part, unsigned acc)
{
    struct rmw *r = &vp->mmu->rmw;
    struct mapping map;
    uint32_t error;

    for (unsigned i = 0; i < r->n; i++) {
        struct part now = part[i];

        if (!walk(vp, part[i].va, acc, &map, &error))
            return false;
        now.place = mmu_place(vp, part[i].va, &map);
        if (part_is_code(vp, &now) != r->code[i])
            return false;
        r->place[i] = now.place;
    }
    return true;
}

static void *rmw_bounce(struct soft_vp *vp, uint64_t va, unsigned size)
{
    struct rmw *r = &vp->mmu->rmw;
    struct part part[PARTS_MAX];
    unsigned acc = vp->mmu->walk_acc | ACC_WRITE;

    r->n = (uint8_t)cut(vp, va, size, part);
    for (;;) {
        locate_parts(vp, mmu_set(vp), part, r->n, acc);
        for (unsigned i = 0; i < r->n; i++) {
            r->place[i] = part[i].place;
            r->len[i] = (uint8_t)part[i].len;
            r->code[i] = part_is_code(vp, &part[i]);
            if (r->code[i])
                code_write_check(vp, part[i].place.at, part[i].len);
        }
        r->stopped = part[0].place.kind != PLACE_APIC;
        if (!r->stopped)
            break;
        soft_stop_others(vp);
        if (relocate(vp, part, acc))
            break;
        soft_resume_others(vp);
    }
    for (unsigned i = 0; i < r->n; i++) {
        if (r->place[i].host)
            memcpy(r->bounce + part[i].off, r->place[i].host, r->len[i]);
        else
            device_read(vp, &r->place[i], r->bounce + part[i].off, r->len[i]);
    }
    r->kind = RMW_BOUNCE;
    return r->bounce;
}

static void rmw_bounce_end(struct soft_vp *vp)
{
    struct rmw *r = &vp->mmu->rmw;
    const uint8_t *from = r->bounce;

    for (unsigned i = 0; i < r->n; from += r->len[i++]) {
        if (r->place[i].kind != PLACE_RAM) {
            device_write(vp, &r->place[i], from, r->len[i]);
            continue;
        }
        if (r->code[i])
            code_write_begin(vp);
        memcpy(r->place[i].host, from, r->len[i]);
        mmu_dirty(vp, r->place[i].at);
        if (r->code[i])
            code_write_end(vp, r->place[i].at, r->len[i]);
    }
    if (r->stopped)
        soft_resume_others(vp);
}

void *mem_rmw_begin(struct soft_vp *vp, uint64_t va, unsigned size)
{
    struct rmw *r = &vp->mmu->rmw;
    struct place p;
    void *host = tlb_hit(vp->tlb->write, va, size);

    r->kind = RMW_TABLE;
    if (likely(host))
        return host;
    if (unlikely(va % PAGE_SIZE + size > PAGE_SIZE))
        return rmw_bounce(vp, va, size);
    p = mmu_locate(vp, mmu_set(vp), va, vp->mmu->walk_acc | ACC_WRITE);
    host = tlb_hit(vp->tlb->write, va, size);
    if (likely(host))
        return host;
    if (p.kind != PLACE_RAM)
        return rmw_bounce(vp, va, size);
    if (vp->mmu->any_break)
        debug_data_access(vp, va, size, true);
    r->place[0] = p;
    r->len[0] = (uint8_t)size;
    if (mmu_hold(vp, p.at)) {
        r->kind = RMW_HELD;
    } else {
        code_write_check(vp, p.at, size);
        code_write_begin(vp);
        r->kind = RMW_CODE;
    }
    mmu_dirty(vp, p.at);
    return p.host;
}

void mem_rmw_end(struct soft_vp *vp)
{
    struct rmw *r = &vp->mmu->rmw;

    switch ((enum rmw_kind)r->kind) {
    case RMW_NONE:
    case RMW_TABLE:
        break;
    case RMW_HELD:
        mmu_release(vp, r->place[0].at);
        break;
    case RMW_CODE:
        code_write_end(vp, r->place[0].at, r->len[0]);
        break;
    case RMW_BOUNCE:
        rmw_bounce_end(vp);
        break;
    }
    r->kind = RMW_NONE;
}
