/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mmu_test.c - page walks in every mode, the TLB's invalidation, stores to code pages, MMIO, atomics.
 * What other files own is faked here: faults are noted, code writes logged, VPs have no threads. */
#include "cpu/soft/lapic.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/soft.h"
#include "cpu/soft/sys.h"

#include "base/test.h"

/* ---- fakes ----------------------------------------------------------------------------------- */

static struct {
    unsigned vector, error, faults;
    unsigned unmapped, code_begin, code_end, stopped, rendezvous, breaks;
    uint64_t code_at, code_len;
    uint64_t bus_at, bus_value;
    unsigned bus_size, bus_reads, bus_writes;
    bool retry;
    uint8_t bus[64];
} f;

_Noreturn void soft_raise_error(struct soft_vp *vp, uint8_t vector, uint32_t error)
{
    f.vector = vector;
    f.error = error;
    f.faults++;
    _longjmp(vp->unwind, UNWIND_FAULT);
}

void run_code_unmapped(struct soft_vp *vp)
{
    f.unmapped++;
}

void run_code_switched(struct soft_vp *vp)
{
    f.unmapped++;
}

void run_code_page_unmapped(struct soft_vp *vp, uint64_t va)
{
    f.unmapped++;
}

void code_write_check(struct soft_vp *vp, gpa_t at, uint64_t len)
{
    if (f.retry) {
        f.retry = false;
        _longjmp(vp->unwind, UNWIND_RETRY);
    }
}

void code_write_begin(struct soft_vp *vp)
{
    f.code_begin++;
}

void code_write_end(struct soft_vp *vp, gpa_t at, uint64_t len)
{
    f.code_end++;
    f.code_at = at.v;
    f.code_len = len;
}

void soft_rendezvous(struct soft_vp *vp, uint64_t mask,
                     void (*fn)(struct soft_vp *target, void *arg), void *arg)
{
    f.rendezvous++;
    for (unsigned i = 0; i < VPS_MAX; i++)
        if (mask >> i & 1)
            fn(soft_vp_at(vp->soft, i), arg);
}

void soft_stop_others(struct soft_vp *vp)
{
    f.stopped++;
}

void soft_resume_others(struct soft_vp *vp)
{
    f.stopped += 100;
}

void soft_leave(struct soft_vp *vp)
{
}

void soft_enter(struct soft_vp *vp)
{
}

void soft_note_exit(struct soft_vp *vp, const char *what, uint64_t where)
{
}

void debug_data_access(struct soft_vp *vp, uint64_t va, unsigned size, bool write)
{
    f.breaks++;
}

bool lapic_covers(const struct soft_vp *vp, gpa_t at)
{
    return at.v >> PAGE_SHIFT == vp->msrs.apic_base >> PAGE_SHIFT;
}

uint32_t lapic_read(struct soft_vp *vp, unsigned off)
{
    return 0xa0000000 + off;
}

void lapic_write(struct soft_vp *vp, unsigned off, uint32_t value)
{
    f.bus_at = off;
    f.bus_value = value;
}

static uint64_t fake_mmio_read(void *owner, struct vp *vp, gpa_t at, unsigned size)
{
    uint64_t v = 0;

    f.bus_reads++;
    f.bus_size = size;
    memcpy(&v, f.bus + at.v % 64, size);
    return v;
}

static void fake_mmio_write(void *owner, struct vp *vp, gpa_t at, unsigned size, uint64_t value)
{
    f.bus_writes++;
    f.bus_at = at.v;
    f.bus_value = value;
    f.bus_size = size;
    memcpy(f.bus + at.v % 64, &value, size);
}

static const struct exit_ops exits = { .mmio_read = fake_mmio_read,
                                       .mmio_write = fake_mmio_write };

/* ---- a machine ------------------------------------------------------------------------------- */

#define RAM       (64 * MIB)
#define ROOT      0x10000 /* page tables: one page a level */
#define TABLE(l)  (ROOT + 0x1000 * (uint64_t)(l))
#define MMIO_GPA  UINT64_C(0xd0000000)
#define APIC_GPA  UINT64_C(0xfee00000)
#define BOTH(stmt) do { stmt; stmt; } while (0)

struct box {
    struct soft s;
    struct soft_vp *vp;
};

static struct box *box_new(unsigned n_vps)
{
    struct box *b = calloc(1, sizeof *b);
    struct err err;

    memset(&f, 0, sizeof f);
    if (gmem_new(RAM, &b->s.gmem, &err) < 0)
        abort();
    b->s.part.cfg = (struct partition_config){ .n_vps = n_vps, .exits = &exits, .gmem = b->s.gmem };
    for (unsigned i = 0; i < n_vps; i++) {
        struct soft_vp *vp = aligned_alloc(64, ALIGN_UP(sizeof *vp, 64));

        memset(vp, 0, sizeof *vp);
        vp->soft = &b->s;
        vp->msrs.apic_base = APIC_GPA | 0x800;
        b->s.part.vp[i] = &vp->vp;
        if (mmu_init(vp) < 0)
            abort();
        mmu_select_set(vp);
    }
    b->vp = soft_vp_at(&b->s, 0);
    return b;
}

static void box_free(struct box *b)
{
    for (unsigned i = 0; i < b->s.part.cfg.n_vps; i++) {
        mmu_done(soft_vp_at(&b->s, i));
        free(soft_vp_at(&b->s, i));
    }
    gmem_free(b->s.gmem);
    free(b);
}

static void put64(struct box *b, uint64_t at, uint64_t v)
{
    memcpy(b->s.gmem->base + at, &v, 8);
}

static uint64_t get64(struct box *b, uint64_t at)
{
    uint64_t v;

    memcpy(&v, b->s.gmem->base + at, 8);
    return v;
}

static void put32(struct box *b, uint64_t at, uint32_t v)
{
    memcpy(b->s.gmem->base + at, &v, 4);
}

enum { READ, WRITE, FETCH };

/* One access: 0, or the error code + 0x1000 of its #PF, or another vector << 16. */
static unsigned try_access(struct soft_vp *vp, uint64_t va, unsigned kind)
{
    const uint8_t *host;

    if (_setjmp(vp->unwind) != 0)
        return f.vector == EXC_PF ? 0x1000 + f.error : f.vector << 16;
    if (kind == READ)
        (void)mem_read8(vp, va);
    else if (kind == WRITE)
        mem_write8(vp, va, 0x5a);
    else
        (void)mem_fetch_page(vp, va, &host);
    return 0;
}

enum paging_mode { TWO_LEVEL, PAE, LONG };

static void set_mode(struct box *b, enum paging_mode mode, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    struct soft_vp *vp = b->vp;

    vp->cr0 = CR0_PE | CR0_PG | cr0;
    vp->cr4 = cr4 | (mode == TWO_LEVEL ? CR4_PSE : CR4_PAE);
    vp->efer = efer | (mode == LONG ? EFER_LME | EFER_LMA : 0);
    vp->cr3 = ROOT;
    mmu_select_set(vp);
    mmu_flush_all(vp, true);
}

/* ---- exhaustive: what the manual says, again and more simply --------------------------------- */

struct probe {
    enum paging_mode mode;
    bool wp, nxe, smep, smap, ac, user;
    unsigned kind;
    uint64_t upper, leaf; /* entries' low 12 bits, NX, and bit 51 as the reserved one */
    bool large;
};
#define RSVD_BIT (UINT64_C(1) << 51)

static unsigned oracle(const struct probe *p)
{
    bool has_nx = p->mode != TWO_LEVEL && p->nxe, wide = p->mode != TWO_LEVEL;
    unsigned code = (p->kind == WRITE ? 2 : 0) | (p->user ? 4 : 0) |
                    (p->kind == FETCH && (has_nx || p->smep) ? 16 : 0);
    bool w = true, u = true, nx = false;

    for (int i = 0; i < (p->large ? 1 : 2); i++) {
        uint64_t e = i == (p->large ? 0 : 1) ? p->leaf : p->upper;

        if (!(e & PTE_P))
            return 0x1000 + code;
        if (wide && (e & RSVD_BIT || (e & PTE_NX && !p->nxe)))
            return 0x1000 + (code | 1 | 8);
        w &= (e & PTE_W) != 0;
        u &= (e & PTE_U) != 0;
        nx |= has_nx && e & PTE_NX;
    }
    if (p->kind == FETCH && nx)
        return 0x1000 + (code | 1);
    if (p->user) {
        if (!u || (p->kind == WRITE && !w))
            return 0x1000 + (code | 1);
        return 0;
    }
    if (p->kind == WRITE && !w && p->wp)
        return 0x1000 + (code | 1);
    if (u && p->kind == FETCH && p->smep)
        return 0x1000 + (code | 1);
    if (u && p->kind != FETCH && p->smap && !p->ac)
        return 0x1000 + (code | 1);
    return 0;
}

#define TARGET 0x200000 /* physical, 2 MiB aligned; 4 MiB pages: 0x400000 */

/* Tables for one page at va; all levels above the last two are open. */
static uint64_t build(struct box *b, const struct probe *p)
{
    uint64_t va = p->mode == LONG ? UINT64_C(0x7f0012345000) : 0x12345000;
    uint64_t open = PTE_P | PTE_W | PTE_U | PTE_A;
    unsigned w = p->mode == TWO_LEVEL ? 10 : 9, es = p->mode == TWO_LEVEL ? 4 : 8;
    uint64_t mask = (1u << w) - 1, pd = TABLE(2), pt = TABLE(3);
    uint64_t pde_at, pte_at, pde, pte;

    if (p->mode == LONG) {
        put64(b, ROOT + (va >> 39 & 511) * 8, TABLE(1) | open);
        put64(b, TABLE(1) + (va >> 30 & 511) * 8, pd | open);
    } else if (p->mode == PAE) {
        put64(b, ROOT + (va >> 30) * 8, pd | PTE_P);
    } else {
        pd = ROOT;
    }
    pde_at = pd + (va >> (12 + w) & mask) * es;
    pte_at = pt + (va >> 12 & mask) * es;
    pde = p->large ? 0x400000 | PTE_PS | p->leaf : pt | p->upper;
    pte = (TARGET + 0x5000) | p->leaf;
    if (es == 8) {
        put64(b, pde_at, pde);
        put64(b, pte_at, pte);
    } else {
        put32(b, pde_at, (uint32_t)pde);
        put32(b, pte_at, (uint32_t)pte);
    }
    return va;
}

static uint64_t entry_bits(unsigned n)
{
    return (n & 1 ? PTE_P : 0) | (n & 2 ? PTE_W : 0) | (n & 4 ? PTE_U : 0) |
           (n & 8 ? PTE_NX : 0) | (n & 16 ? RSVD_BIT : 0);
}

static void probe_all(struct box *b, struct probe p, unsigned *ret_n, unsigned *ret_bad)
{
    struct soft_vp *vp = b->vp;

    for (unsigned upper = 0; upper < (p.large ? 1 : 32); upper++) {
        for (unsigned leaf = 0; leaf < 32; leaf++) {
            if (p.mode == TWO_LEVEL && (upper | leaf) & 24)
                continue;
            p.upper = entry_bits(upper);
            p.leaf = entry_bits(leaf);
            uint64_t va = build(b, &p);
            for (unsigned k = 0; k < 12; k++) {
                p.kind = k % 3;
                p.user = k / 3 & 1;
                p.ac = k / 6 & 1;
                vp->cpl = p.user ? 3 : 0;
                vp->rflags = p.ac ? F_AC : 0;
                mmu_select_set(vp);
                if (k == 0)
                    mmu_flush_all(vp, true);
                unsigned want = oracle(&p), got = try_access(vp, va, p.kind);
                unsigned again = try_access(vp, va, p.kind);
                if (got != want || again != want || (got && got < 0x10000 && vp->cr2 != va)) {
                    if ((*ret_bad)++ < 5)
                        test_fail(__FILE__, __LINE__,
                                  "mode %d upper %x leaf %x large %d kind %u user %d ac %d wp %d "
                                  "nxe %d smep %d smap %d: %#x then %#x, not %#x",
                                  p.mode, upper, leaf, p.large, p.kind, p.user, p.ac, p.wp, p.nxe,
                                  p.smep, p.smap, got, again, want);
                }
                (*ret_n)++;
            }
        }
    }
}

static void probe_mode(enum paging_mode mode)
{
    struct box *b = box_new(1);
    unsigned n = 0, bad = 0;

    for (unsigned c = 0; c < 32; c++) {
        struct probe p = { .mode = mode, .wp = c & 1, .smep = c & 2, .smap = c & 4,
                           .nxe = c & 8, .large = c & 16 };

        set_mode(b, mode, p.wp ? CR0_WP : 0,
                 (p.smep ? CR4_SMEP : 0) | (p.smap ? CR4_SMAP : 0), p.nxe ? EFER_NXE : 0);
        probe_all(b, p, &n, &bad);
    }
    EXPECT_EQ(bad, 0);
    EXPECT(n > 1000);
    box_free(b);
}

TEST(faults_two_level)
{
    probe_mode(TWO_LEVEL);
}

TEST(faults_pae)
{
    probe_mode(PAE);
}

TEST(faults_long)
{
    probe_mode(LONG);
}

/* ---- single cases ---------------------------------------------------------------------------- */

TEST(no_paging)
{
    struct box *b = box_new(1);

    put32(b, 0x5000, 0x12345678);
    BOTH(EXPECT_EQ(mem_read32(b->vp, 0x5000), 0x12345678));
    mem_write16(b->vp, 0x5002, 0xabcd);
    EXPECT_EQ(mem_read32(b->vp, 0x5000), 0xabcd5678);
    mem_write32(b->vp, 0x5ffe, 0x11223344); /* crosses */
    EXPECT_EQ(mem_read8(b->vp, 0x5fff), 0x33);
    EXPECT_EQ(mem_read8(b->vp, 0x6000), 0x22);
    EXPECT_EQ(mem_read32(b->vp, 0x5ffe), 0x11223344);
    box_free(b);
}

TEST(large_pages_and_addresses)
{
    struct box *b = box_new(1);
    gpa_t at;
    uint64_t open = PTE_P | PTE_W | PTE_U;

    set_mode(b, TWO_LEVEL, 0, 0, 0);
    put32(b, ROOT + 4 * 3, 0x1800000 | PTE_PS | (uint32_t)open); /* 0xc00000, 4 MiB */
    EXPECT(mmu_translate(b->vp, 0xd23456, &at));
    EXPECT_EQ(at.v, 0x1800000 + 0x123456);
    put32(b, ROOT + 4 * 4, 0x1800000 | 5u << 13 | PTE_PS | (uint32_t)open); /* PSE36 */
    EXPECT(mmu_translate(b->vp, 0x1000000, &at));
    EXPECT_EQ(at.v, 0x501800000);
    put32(b, ROOT + 4 * 5, 0x1800000 | 1u << 21 | PTE_PS | (uint32_t)open);
    EXPECT_EQ(try_access(b->vp, 5 << 22, READ), 0x1000 + PF_P + PF_RSVD);
    EXPECT_EQ(get64(b, ROOT + 4 * 3) & (PTE_A | PTE_D), 0); /* translate is without side effects */
    put32(b, 0x1800000 + 0x123456, 77);
    BOTH(EXPECT_EQ(mem_read32(b->vp, 0xd23456), 77));
    EXPECT_EQ(get64(b, ROOT + 4 * 3) & (PTE_A | PTE_D), PTE_A);
    mem_write32(b->vp, 0xe00000, 78);
    EXPECT_EQ(get64(b, ROOT + 4 * 3) & (PTE_A | PTE_D), PTE_A | PTE_D);
    EXPECT_EQ(get64(b, 0x1a00000) & 0xffffffff, 78);

    set_mode(b, LONG, 0, 0, 0);
    memset(b->s.gmem->base + ROOT, 0, 0x4000);
    put64(b, ROOT + 8 * 256, TABLE(1) | open);
    put64(b, TABLE(1) + 8, 0 | PTE_PS | open); /* 0xffff800040000000, 1 GiB */
    put64(b, TABLE(1) + 16, 1u << 13 | PTE_PS | open);
    put32(b, 0x2345678, 99);
    BOTH(EXPECT_EQ(mem_read32(b->vp, 0xffff800042345678), 99));
    EXPECT_EQ(try_access(b->vp, 0xffff800080000000, READ), 0x1000 + PF_P + PF_RSVD);
    put64(b, ROOT + 8 * 257, TABLE(1) | PTE_PS | open);
    EXPECT_EQ(try_access(b->vp, 0xffff808040000000, READ), 0x1000 + PF_P + PF_RSVD);
    box_free(b);
}

TEST(pae_pointers)
{
    struct box *b = box_new(1);

    set_mode(b, PAE, 0, 0, 0);
    b->vp->cr3 = ROOT + 0x20; /* 32-byte aligned */
    put64(b, ROOT + 0x20 + 3 * 8, TABLE(2) | PTE_P);
    put64(b, TABLE(2), 0x400000 | PTE_PS | PTE_P);
    EXPECT_EQ(try_access(b->vp, 0xc0000000, READ), 0);
    put64(b, ROOT + 0x20 + 2 * 8, TABLE(2) | PTE_P | PTE_W);
    EXPECT_EQ(try_access(b->vp, 0x80000000, READ), 0x1000 + PF_P + PF_RSVD);
    EXPECT_EQ(try_access(b->vp, 0x40000000, WRITE), 0x1000 + 2);
    EXPECT_EQ(get64(b, ROOT + 0x20 + 3 * 8) & PTE_A, 0);
    box_free(b);
}

/* 4 KiB pages in long mode: maps va to pa. */
static void map_page(struct box *b, uint64_t va, uint64_t pa, uint64_t flags)
{
    uint64_t open = PTE_P | PTE_W | PTE_U;

    put64(b, ROOT + (va >> 39 & 511) * 8, TABLE(1) | open);
    put64(b, TABLE(1) + (va >> 30 & 511) * 8, TABLE(2) | open);
    put64(b, TABLE(2) + (va >> 21 & 511) * 8, TABLE(3) | open);
    put64(b, TABLE(3) + (va >> 12 & 511) * 8, pa | flags);
}

#define VA UINT64_C(0x400000)
#define RW (PTE_P | PTE_W | PTE_U)

TEST(crossing_stores_happen_whole_or_not)
{
    struct box *b = box_new(1);

    set_mode(b, LONG, CR0_WP, 0, 0);
    map_page(b, VA, 0x300000, RW);
    map_page(b, VA + 0x1000, 0x500000, PTE_P | PTE_U);
    put64(b, 0x300ff8, 0);
    if (_setjmp(b->vp->unwind) == 0) {
        mem_write64(b->vp, VA + 0xffc, ~UINT64_C(0));
        EXPECT(!"a fault");
    }
    EXPECT_EQ(f.error, PF_P | ACC_WRITE);
    EXPECT_EQ(b->vp->cr2, VA + 0x1000);
    EXPECT_EQ(get64(b, 0x300ff8), 0);
    map_page(b, VA + 0x1000, 0x500000, RW);
    mmu_flush_page(b->vp, VA + 0x1000);
    mem_write64(b->vp, VA + 0xffc, 0x1122334455667788);
    EXPECT_EQ(get64(b, 0x300ffc) & 0xffffffff, 0x55667788);
    EXPECT_EQ(get64(b, 0x500000) & 0xffffffff, 0x11223344);
    EXPECT_EQ(mem_read64(b->vp, VA + 0xffc), 0x1122334455667788);
    uint8_t buf[512];
    mem_write(b->vp, VA + 0xf80, memset(buf, 7, sizeof buf), sizeof buf);
    EXPECT_EQ(b->s.gmem->base[0x300f80], 7);
    EXPECT_EQ(b->s.gmem->base[0x50017f], 7);
    EXPECT_EQ(b->s.gmem->base[0x500180], 0);
    /* The end of the lower half is no place to cross. */
    map_page(b, 0x7ffffffff000, 0x300000, RW);
    EXPECT_EQ(try_access(b->vp, 0x7fffffffffff, WRITE), 0);
    if (_setjmp(b->vp->unwind) == 0) {
        mem_write64(b->vp, 0x7ffffffffffc, 1);
        EXPECT(!"a fault");
    }
    EXPECT_EQ(f.vector, EXC_GP);
    box_free(b);
}

TEST(invlpg_cr3_and_globals)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;

    set_mode(b, LONG, 0, CR4_PGE, 0);
    b->s.gmem->base[0x300000] = 3;
    b->s.gmem->base[0x500000] = 5;
    map_page(b, VA, 0x300000, RW);
    map_page(b, VA + 0x1000, 0x300000, RW | PTE_G);
    EXPECT_EQ(mem_read8(vp, VA), 3);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 3);
    map_page(b, VA, 0x500000, RW);
    map_page(b, VA + 0x1000, 0x500000, RW | PTE_G);
    EXPECT_EQ(mem_read8(vp, VA), 3); /* cached */
    mmu_flush_page(vp, VA);
    EXPECT_EQ(mem_read8(vp, VA), 5);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 3);
    map_page(b, VA, 0x300000, RW);
    mmu_set_cr3(vp, ROOT);
    EXPECT_EQ(mem_read8(vp, VA), 3);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 3); /* global */
    mmu_flush_all(vp, false);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 3);
    mmu_flush_all(vp, true);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 5);
    /* INVLPG reaches global pages, and every privilege. */
    vp->cpl = 3;
    mmu_select_set(vp);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 5);
    map_page(b, VA + 0x1000, 0x300000, RW | PTE_G);
    mmu_flush_page(vp, VA + 0x1000);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 3);
    vp->cpl = 0;
    mmu_select_set(vp);
    EXPECT_EQ(mem_read8(vp, VA + 0x1000), 3);
    box_free(b);
}

TEST(invlpg_drops_whole_large_pages)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;

    for (int global = 0; global < 2; global++) {
        set_mode(b, LONG, 0, CR4_PGE, 0);
        map_page(b, VA, 0, RW);
        put64(b, TABLE(2) + (VA >> 21 & 511) * 8, 0x400000 | PTE_PS | RW | (global ? PTE_G : 0));
        b->s.gmem->base[0x4ff000] = 4;
        b->s.gmem->base[0x6ff000] = 6;
        EXPECT_EQ(mem_read8(vp, VA + 0xff000), 4);
        put64(b, TABLE(2) + (VA >> 21 & 511) * 8, 0x600000 | PTE_PS | RW | (global ? PTE_G : 0));
        EXPECT_EQ(mem_read8(vp, VA + 0xff000), 4);
        mmu_flush_page(vp, VA + 0x3000);
        EXPECT_EQ(mem_read8(vp, VA + 0xff000), 6);
    }
    /* 1 GiB */
    set_mode(b, LONG, 0, 0, 0);
    put64(b, TABLE(1), 0 | PTE_PS | RW);
    EXPECT_EQ(mem_read8(vp, 0x4ff000), 4);
    put64(b, TABLE(1), TABLE(2) | RW);
    mmu_flush_page(vp, 0x30000000);
    EXPECT_EQ(mem_read8(vp, 0x4ff000), 6);
    box_free(b);
}

TEST(pcid_keeps_and_flushes)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;
    uint64_t keep = UINT64_C(1) << 63;

    set_mode(b, LONG, 0, CR4_PCIDE, 0);
    b->s.gmem->base[0x300000] = 3;
    b->s.gmem->base[0x500000] = 5;
    map_page(b, VA, 0x300000, RW);
    mmu_set_cr3(vp, ROOT | 1);
    EXPECT_EQ(mem_read8(vp, VA), 3);
    map_page(b, VA, 0x500000, RW);
    mmu_set_cr3(vp, ROOT | 2 | keep);
    EXPECT_EQ(vp->cr3, ROOT | 2);
    EXPECT_EQ(mem_read8(vp, VA), 5);
    mmu_set_cr3(vp, ROOT | 1 | keep);
    EXPECT_EQ(mem_read8(vp, VA), 3);
    mmu_set_cr3(vp, ROOT | 1);
    EXPECT_EQ(mem_read8(vp, VA), 5);
    map_page(b, VA, 0x300000, RW);
    mmu_flush_pcid(vp, 2, false, 0);
    EXPECT_EQ(mem_read8(vp, VA), 5);
    mmu_set_cr3(vp, ROOT | 2 | keep);
    EXPECT_EQ(mem_read8(vp, VA), 3);
    map_page(b, VA, 0x500000, RW);
    mmu_flush_pcid(vp, 1, true, VA);
    mmu_set_cr3(vp, ROOT | 1 | keep);
    EXPECT_EQ(mem_read8(vp, VA), 5);
    /* More address spaces than sets. */
    for (unsigned i = 0; i < 100; i++) {
        map_page(b, VA, i & 1 ? 0x300000 : 0x500000, RW);
        mmu_set_cr3(vp, ROOT | (10 + i));
        vp->cpl = i % 5 ? 0 : 3;
        mmu_select_set(vp);
        EXPECT_EQ(mem_read8(vp, VA), i & 1 ? 3 : 5);
    }
    EXPECT_EQ(vp->mmu->n_sets, TLB_SETS_MAX);
    box_free(b);
}

TEST(control_bits_take_effect_at_once)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;

    set_mode(b, LONG, 0, 0, 0);
    map_page(b, VA, 0x300000, PTE_P | PTE_U);
    EXPECT_EQ(try_access(vp, VA, WRITE), 0);
    vp->cr0 |= CR0_WP;
    mmu_select_set(vp);
    EXPECT_EQ(try_access(vp, VA, WRITE), 0x1000 + 3);
    EXPECT_EQ(try_access(vp, VA, READ), 0);
    vp->cr4 |= CR4_SMAP;
    mmu_select_set(vp);
    EXPECT_EQ(try_access(vp, VA, READ), 0x1000 + 1);
    vp->rflags |= F_AC;
    mmu_select_set(vp);
    EXPECT_EQ(try_access(vp, VA, READ), 0);
    /* Implicit accesses do not care for AC. */
    if (_setjmp(vp->unwind) == 0) {
        (void)mem_sys_read(vp, VA, 8);
        EXPECT(!"a fault");
    }
    EXPECT_EQ(f.error, 1);
    /* From user mode an implicit access is a supervisor's. */
    map_page(b, VA + 0x1000, 0x500000, PTE_P | PTE_W);
    vp->cpl = 3;
    mmu_select_set(vp);
    EXPECT_EQ(try_access(vp, VA + 0x1000, READ), 0x1000 + 5);
    mem_sys_write(vp, VA + 0x1000, 4, 0xcafe);
    BOTH(EXPECT_EQ(mem_sys_read(vp, VA + 0x1000, 4), 0xcafe));
    EXPECT_EQ(try_access(vp, VA + 0x1000, READ), 0x1000 + 5);
    box_free(b);
}

TEST(accessed_and_dirty)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;
    uint64_t pte = TABLE(3) + (VA >> 12 & 511) * 8;

    set_mode(b, LONG, CR0_WP, 0, 0);
    map_page(b, VA, 0x300000, PTE_P);
    EXPECT_EQ(try_access(vp, VA, WRITE), 0x1000 + 3);
    EXPECT_EQ(get64(b, pte) & (PTE_A | PTE_D), 0); /* a faulting access leaves them alone */
    mmu_flush_page(vp, VA);
    map_page(b, VA, 0x300000, RW);
    EXPECT_EQ(try_access(vp, VA, READ), 0);
    EXPECT_EQ(get64(b, pte) & (PTE_A | PTE_D), PTE_A);
    EXPECT_EQ(get64(b, TABLE(2) + (VA >> 21 & 511) * 8) & PTE_A, PTE_A);
    EXPECT_EQ(get64(b, ROOT) & PTE_A, PTE_A);
    EXPECT_EQ(try_access(vp, VA, WRITE), 0);
    EXPECT_EQ(get64(b, pte) & (PTE_A | PTE_D), PTE_A | PTE_D);
    /* Read first with D set: the write table is filled at once. */
    mmu_flush_all(vp, true);
    EXPECT_EQ(try_access(vp, VA, READ), 0);
    EXPECT(tlb_hit(vp->tlb->write, VA, 1) != NULL);
    box_free(b);
}

TEST(code_pages)
{
    struct box *b = box_new(2);
    struct soft_vp *vp = b->vp, *other = soft_vp_at(&b->s, 1);
    gpa_t page = GPA(0x5000);

    mem_write8(vp, 0x5000, 1);
    mmu_protect_code(vp, page);
    EXPECT_EQ(f.rendezvous, 0); /* the other has never written there */
    EXPECT(tlb_hit(vp->tlb->write, 0x5000, 1) == NULL);
    mem_write32(vp, 0x5010, 7);
    EXPECT_EQ(f.code_begin, 1);
    EXPECT_EQ(f.code_end, 1);
    EXPECT_EQ(f.code_at, 0x5010);
    EXPECT_EQ(f.code_len, 4);
    EXPECT_EQ(mem_read32(vp, 0x5010), 7);
    mmu_unprotect_code(vp, page);
    mem_write32(vp, 0x5010, 8);
    mem_write32(other, 0x5010, 9);
    EXPECT_EQ(f.code_end, 1);
    mmu_protect_code(vp, page);
    EXPECT_EQ(f.rendezvous, 1);
    EXPECT(tlb_hit(other->tlb->write, 0x5010, 4) == NULL);
    EXPECT_EQ(mem_read32(vp, 0x5010), 9);
    /* Crossing into it, and an unwinding announcement: nothing is written before. */
    mem_write32(vp, 0x4ffe, 0);
    f.retry = true;
    if (_setjmp(vp->unwind) == 0) {
        mem_write32(vp, 0x4ffe, 0xffffffff);
        EXPECT(!"unwinds");
    }
    EXPECT_EQ(mem_read32(vp, 0x4ffe), 0);
    /* Atomics */
    f.code_end = 0;
    uint32_t *p = mem_rmw_begin(vp, 0x5020, 4);
    *p = 5;
    EXPECT_EQ(f.code_end, 0);
    mem_rmw_end(vp);
    EXPECT_EQ(f.code_end, 1);
    /* All counts have been given back: with the tables empty nobody is asked. */
    mmu_flush_all(vp, true);
    mmu_flush_all(other, true);
    for (unsigned i = 0; i < WRITE_BUCKETS; i++)
        if (vp->mmu->bucket[i].count || other->mmu->bucket[i].count)
            EXPECT(!"a count is left over");
    box_free(b);
}

TEST(many_aliases_of_one_page)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;

    set_mode(b, LONG, 0, 0, 0);
    for (unsigned i = 0; i < 512; i++)
        map_page(b, VA + i * PAGE_SIZE, 0x300000, RW);
    for (unsigned i = 0; i < 512; i++)
        mem_write8(vp, VA + i * PAGE_SIZE, (uint8_t)i);
    mmu_protect_code(vp, GPA(0x300000));
    for (unsigned i = 0; i < 512; i++)
        EXPECT(tlb_hit(vp->tlb->write, VA + i * PAGE_SIZE, 1) == NULL);
    box_free(b);
}

TEST(mmio_and_rom)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;
    static const uint8_t image[PAGE_SIZE] = { 0xea, 0x5b };
    struct err err;

    EXPECT_EQ(gmem_add_rom(b->s.gmem, GPA(0xf0000), image, sizeof image, &err), 0);
    memcpy(f.bus, "\x11\x22\x33\x44\x55\x66\x77\x88\x99", 9);
    EXPECT_EQ(mem_read32(vp, MMIO_GPA), 0x44332211);
    EXPECT_EQ(f.bus_size, 4);
    EXPECT_EQ(f.bus_reads, 1);
    EXPECT_EQ(mem_read64(vp, MMIO_GPA), 0x8877665544332211);
    EXPECT_EQ(mem_read32(vp, MMIO_GPA + 1), 0x55443322); /* 1 + 2 + 1 bytes */
    mem_write16(vp, MMIO_GPA + 8, 0xbeef);
    EXPECT_EQ(f.bus_value, 0xbeef);
    EXPECT_EQ(f.bus_size, 2);
    BOTH(EXPECT_EQ(mem_read16(vp, 0xf0000), 0x5bea));
    f.bus_writes = 0;
    BOTH(mem_write16(vp, 0xf0000, 1));
    EXPECT_EQ(f.bus_writes, 2);
    EXPECT_EQ(mem_read16(vp, 0xf0000), 0x5bea);
    EXPECT_EQ(mem_read32(vp, APIC_GPA + 0x30), 0xa0000030);
    mem_write32(vp, APIC_GPA + 0xb0, 1);
    EXPECT_EQ(f.bus_at, 0xb0);
    size_t n;
    EXPECT(mem_span_read(vp, MMIO_GPA, 8, &n) == NULL);
    EXPECT(mem_span_write(vp, 0xf0000, 8, &n) == NULL);
    EXPECT(mem_span_read(vp, 0xf0000, 8, &n) != NULL);
    EXPECT(mem_span_write(vp, 0x5ff0, 64, &n) == b->s.gmem->base + 0x5ff0);
    EXPECT_EQ(n, 16);
    /* rmw on a device */
    uint32_t *p = mem_rmw_begin(vp, MMIO_GPA + 4, 4);
    *p |= 0x01000000;
    mem_rmw_end(vp);
    EXPECT_EQ(f.stopped, 101);
    EXPECT_EQ(f.bus_value, 0x89776655);
    box_free(b);
}

TEST(atomics_across_pages)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;

    mem_write64(vp, 0x5ffc, 0x00000001ffffffff);
    uint64_t *p = mem_rmw_begin(vp, 0x5ffc, 8);
    EXPECT_EQ(f.stopped, 1);
    *p += 1;
    mem_rmw_end(vp);
    EXPECT_EQ(f.stopped, 101);
    EXPECT_EQ(mem_read64(vp, 0x5ffc), 0x0000000200000000);
    p = mem_rmw_begin(vp, 0x6000, 8);
    EXPECT(p == (void *)(b->s.gmem->base + 0x6000));
    mem_rmw_end(vp);
    EXPECT_EQ(f.stopped, 101);
    box_free(b);
}

TEST(dirty_log)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;
    struct gmem *m = b->s.gmem;

    mem_write8(vp, 0x5000, 1);
    EXPECT(!gmem_dirty_take(m, 5));
    gmem_track_dirty(m, true);
    mmu_sync_dirty(vp); /* what is in the tables may be written at any time */
    EXPECT(gmem_dirty_take(m, 5));
    EXPECT(!gmem_dirty_take(m, 5));
    (void)mem_read8(vp, 0x5000);
    EXPECT(!gmem_dirty_take(m, 5));
    mem_write8(vp, 0x5000, 1);
    EXPECT(gmem_dirty_take(m, 5));
    mem_write8(vp, 0x5000, 2); /* after the take: found at the next sync */
    mmu_sync_dirty(vp);
    EXPECT(gmem_dirty_take(m, 5));
    mmu_sync_dirty(vp);
    EXPECT(!gmem_dirty_take(m, 5));
    mem_write64(vp, 0x6ffc, 1);
    EXPECT(gmem_dirty_take(m, 6));
    EXPECT(gmem_dirty_take(m, 7));
    /* The CPU's own stores, too. */
    set_mode(b, LONG, 0, 0, 0);
    map_page(b, VA, 0x300000, RW);
    (void)mem_read8(vp, VA);
    EXPECT(gmem_dirty_take(m, TABLE(3) >> PAGE_SHIFT));
    EXPECT(!gmem_dirty_take(m, 0x300));
    box_free(b);
}

TEST(data_breakpoints_see_every_access)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;

    BOTH(mem_write8(vp, 0x5000, 1));
    EXPECT_EQ(f.breaks, 0);
    vp->dr[0] = 0x5004;
    vp->dr[7] = 1 | 1 << 16 | 3 << 18; /* writes, 4 bytes */
    mmu_select_set(vp);
    BOTH(mem_write8(vp, 0x5004, 1));
    EXPECT_EQ(f.breaks, 2);
    BOTH(mem_write8(vp, 0x6004, 1));
    EXPECT_EQ(f.breaks, 3); /* the first one missed the TLB */
    mem_rmw_begin(vp, 0x5004, 4);
    mem_rmw_end(vp);
    EXPECT_EQ(f.breaks, 4);
    vp->dr[7] = 0;
    mmu_select_set(vp);
    BOTH(mem_write8(vp, 0x5004, 1));
    EXPECT_EQ(f.breaks, 4);
    box_free(b);
}

TEST(fetches)
{
    struct box *b = box_new(1);
    struct soft_vp *vp = b->vp;
    const uint8_t *host;

    set_mode(b, LONG, 0, 0, EFER_NXE);
    map_page(b, VA, 0x300000, RW);
    BOTH(EXPECT_EQ(mem_fetch_page(vp, VA + 5, &host).v, 0x300000));
    EXPECT(host == b->s.gmem->base + 0x300000);
    f.unmapped = 0;
    mmu_flush_page(vp, VA + 0x1000);
    EXPECT_EQ(f.unmapped, 0); /* no code there */
    map_page(b, VA, 0x500000, RW);
    mmu_flush_page(vp, VA);
    EXPECT_EQ(f.unmapped, 1);
    EXPECT_EQ(mem_fetch_page(vp, VA, &host).v, 0x500000);
    map_page(b, VA, 0x500000, RW | PTE_NX);
    mmu_flush_page(vp, VA);
    EXPECT_EQ(try_access(vp, VA, FETCH), 0x1000 + PF_P + 16);
    map_page(b, VA, MMIO_GPA, RW);
    mmu_flush_page(vp, VA);
    EXPECT_EQ(mem_fetch_page(vp, VA, &host).v, MMIO_GPA);
    EXPECT(host == NULL);
    box_free(b);
}
