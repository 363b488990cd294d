/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code.c - the partition's cache of decoded blocks: look-up, links between blocks, self-modifying code.
 *
 * See block.h for what a block is and who may touch what.  Memory is a ring of regions: when the last
 * is full the oldest is recycled, blocks and all, while every VP stands at a safe point.
 * Pages with blocks are GMEM_CODE: stores to them come here (code_write_*).  A page that is written
 * often loses its blocks and becomes plain memory again. */
#include <errno.h>
#include <sys/mman.h>

#include "cpu/soft/jit.h"
#include "cpu/soft/ops.h"

#define TRANSLATE_MAX 32 /* blocks at once */
#define NO_PAGE GPA(UINT64_MAX)

static struct code_cache *cache_of(const struct soft_vp *vp)
{
    return vp->soft->code;
}

static uint32_t index_of(const struct code_cache *c, const void *p)
{
    return (uint32_t)((uintptr_t)((const char *)p - c->arena) / sizeof(struct op));
}

static void *at_index(const struct code_cache *c, uint32_t index)
{
    return c->arena + (uint64_t)index * sizeof(struct op);
}

static size_t hash_slot(uint64_t key)
{
    uint64_t gpa = key >> 12;

    return (gpa ^ gpa >> 13 ^ key << 5) & (CODE_HASH - 1);
}

/* Operations, and behind them room for their translations. */
#define ARENA_SIZE (CODE_REGIONS * CODE_REGION_SIZE)
#define SPACE      (ARENA_SIZE + CODE_REGIONS * JIT_REGION_SIZE)

#define HOT 40 /* executions until translation pays */

/* Executions until a block is translated; 0: never. */
static unsigned threshold(enum soft_mode mode)
{
    switch (mode) {
    case SOFT_DEFAULT:
    case SOFT_JIT: return HOT;
    case SOFT_JIT_EAGER:
    case SOFT_LOCKSTEP: return 1;
    default: return 0;
    }
}

/* ---- the cache as a whole -------------------------------------------------------------------- */

/* Address space for the cache, on a border of large pages; NULL: there is none. */
static char *reserve(int flags)
{
    char *p = mmap(NULL, SPACE + 2 * MIB, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0), *start;

    if (p == MAP_FAILED)
        return NULL;
    start = p + (-(uintptr_t)p & (2 * MIB - 1));
    if (start > p)
        munmap(p, (size_t)(start - p));
    munmap(start + SPACE, (size_t)(p + 2 * MIB - start));
    return start;
}

int code_cache_new(struct soft *s)
{
    struct code_cache *c = aligned_alloc(64, ALIGN_UP(sizeof *c, 64));
    struct block *nowhere;
    int err;

    if (!c)
        return -ENOMEM;
    memset(c, 0, sizeof *c);
    /* Below 2 GiB, if there is room, an address in it is 32 bits: the jump cache likes that. */
    c->arena = reserve(MAP_32BIT);
    if (!c->arena)
        c->arena = reserve(0);
    if (!c->arena || mprotect(c->arena, ARENA_SIZE, PROT_READ | PROT_WRITE) < 0) {
        if (c->arena)
            munmap(c->arena, SPACE);
        free(c);
        return -ENOMEM;
    }
    madvise(c->arena, ARENA_SIZE, MADV_HUGEPAGE); /* it is looked up at random, and filled at once */
    nowhere = (struct block *)(void *)c->nowhere;
    nowhere->key = BLOCK_DEAD;
    c->unlinked = nowhere->ops;
    c->unlinked->run = op_unlinked;
    err = threshold(s->part.cfg.soft_mode)
              ? jit_new(&c->jit, c->arena + ARENA_SIZE, threshold(s->part.cfg.soft_mode),
                        s->part.cfg.soft_mode == SOFT_LOCKSTEP)
              : 0;
    if (err) {
        munmap(c->arena, SPACE);
        free(c);
        return err;
    }
    if (c->jit)
        nowhere->native = jit_unlinked(c->jit);
    pthread_mutex_init(&c->lock, NULL);
    c->used = sizeof(struct block); /* index 0 means none */
    s->code = c;
    s->gmem->code_written = code_written_by_device;
    s->gmem->engine = s;
    return 0;
}

void code_cache_free(struct soft *s)
{
    struct code_cache *c = s->code;

    if (!c)
        return;
    s->gmem->code_written = NULL;
    for (unsigned i = 0; i < CODE_PAGE_HASH; i++) {
        for (struct code_page *p = c->page_hash[i], *next; p; p = next) {
            next = p->next;
            s->gmem->flags[p->page] &= (uint8_t)~GMEM_CODE;
            free(p);
        }
    }
    for (struct code_page *p = c->free_pages, *next; p; p = next) {
        next = p->next;
        free(p);
    }
    jit_free(c->jit);
    munmap(c->arena, SPACE);
    pthread_mutex_destroy(&c->lock);
    free(c);
    s->code = NULL;
}

/* ---- pages (lock held) ----------------------------------------------------------------------- */

static struct code_page **page_slot(struct code_cache *c, uint64_t page)
{
    struct code_page **p = &c->page_hash[page & (CODE_PAGE_HASH - 1)];

    while (*p && (*p)->page != page)
        p = &(*p)->next;
    return p;
}

static struct code_page *page_find(struct code_cache *c, gpa_t at)
{
    return *page_slot(c, at.v >> PAGE_SHIFT);
}

static struct code_page *page_add(struct code_cache *c, gpa_t at)
{
    struct code_page *p = c->free_pages, **slot;

    if (p)
        c->free_pages = p->next;
    else if (c->n_pages >= CODE_PAGES_MAX || !(p = malloc(sizeof *p)))
        return NULL;
    else
        c->n_pages++;
    *p = (struct code_page){ .page = at.v >> PAGE_SHIFT };
    slot = &c->page_hash[p->page & (CODE_PAGE_HASH - 1)];
    p->next = *slot;
    *slot = p;
    return p;
}

static void page_remove(struct code_cache *c, struct code_page *p)
{
    *page_slot(c, p->page) = p->next;
    p->next = c->free_pages;
    c->free_pages = p;
}

/* Which of a block's two pages is this? */
static unsigned page_side(const struct block *b, uint64_t page)
{
    return b->page2.v != NO_PAGE.v && b->page2.v >> PAGE_SHIFT == page;
}

static uint64_t granules(uint64_t from, uint64_t len) /* of bytes [from, from + len) in a page */
{
    unsigned first = (unsigned)(from / 64), last = (unsigned)((from + len - 1) / 64);

    return (last == 63 ? UINT64_MAX : (UINT64_C(1) << (last + 1)) - 1) &
           ~((UINT64_C(1) << first) - 1);
}

/* The bytes that block 'b' has in page 'page'. */
static void block_extent(const struct block *b, uint64_t page, uint64_t *from, uint64_t *len)
{
    uint64_t off = block_gpa(b).v % PAGE_SIZE + (uint64_t)(int64_t)b->low;
    uint64_t first = MIN(b->len, PAGE_SIZE - off);

    if (page_side(b, page)) {
        *from = 0;
        *len = b->len - first;
    } else {
        *from = off;
        *len = first;
    }
}

static void page_attach(struct code_page *p, struct block *b)
{
    unsigned side = page_side(b, p->page);
    uint64_t from, len;

    b->page_next[side] = p->blocks;
    p->blocks = b;
    block_extent(b, p->page, &from, &len);
    p->granules |= granules(from, len);
}

static void page_detach(struct code_cache *c, gpa_t at, struct block *b)
{
    struct code_page *p = page_find(c, at);

    for (struct block **q = &p->blocks; *q; q = &(*q)->page_next[page_side(*q, p->page)]) {
        if (*q == b) {
            *q = b->page_next[page_side(b, p->page)];
            return;
        }
    }
}

/* ---- links (lock held) ----------------------------------------------------------------------- */

static const struct op *link_get(const struct op *e)
{
    return (const struct op *)(uintptr_t)__atomic_load_n(&e->imm, __ATOMIC_RELAXED);
}

/* 'to': a block's first operation, or c->unlinked */
static void link_set(struct code_cache *c, struct op *e, const struct op *to)
{
    __atomic_store_n(&e->imm, (uintptr_t)to, __ATOMIC_RELEASE);
    if (c->jit)
        jit_link(c->jit, e, to == c->unlinked ? NULL : block_of(to));
}

static void unlink_incoming(struct code_cache *c, struct block *b)
{
    for (uint32_t i = b->in; i;) {
        struct op *e = at_index(c, i);

        i = e->in_next;
        e->in_next = 0;
        link_set(c, e, c->unlinked);
    }
    b->in = 0;
}

static void unlink_outgoing(struct code_cache *c, struct block *b)
{
    for (unsigned i = 0; i < b->n_ops; i++) {
        struct op *e = &b->ops[i];

        if (!(e->flags & OP_EXIT) || link_get(e) == c->unlinked)
            continue;
        struct block *to = block_of(link_get(e));
        for (uint32_t *q = &to->in; *q; q = &((struct op *)at_index(c, *q))->in_next) {
            if (*q == index_of(c, e)) {
                *q = e->in_next;
                break;
            }
        }
        e->in_next = 0;
        link_set(c, e, c->unlinked);
    }
}

/* The exit leads to 'to', if both are still alive and nobody was faster. */
void code_link(struct soft_vp *vp, const struct exit_id *from, struct block *to)
{
    struct code_cache *c = cache_of(vp);
    struct op *e = (struct op *)(uintptr_t)from->op;

    pthread_mutex_lock(&c->lock);
    if (from->key != BLOCK_DEAD && from->block->key == from->key && to->key != BLOCK_DEAD &&
        e->flags & OP_EXIT && link_get(e) == c->unlinked) {
        e->in_next = to->in;
        to->in = index_of(c, e);
        link_set(c, e, to->ops);
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- dropping blocks (lock held) ------------------------------------------------------------- */

static void drop(struct code_cache *c, struct block *b)
{
    uint64_t key = b->key;

    for (struct block **q = &c->hash[hash_slot(key)]; *q; q = &(*q)->hash_next) {
        if (*q == b) { /* b->hash_next stays for those who are just passing */
            __atomic_store_n(q, b->hash_next, __ATOMIC_RELEASE);
            break;
        }
    }
    page_detach(c, block_gpa(b), b);
    if (b->page2.v != NO_PAGE.v)
        page_detach(c, b->page2, b);
    unlink_incoming(c, b);
    unlink_outgoing(c, b);
    __atomic_store_n(&b->key, BLOCK_DEAD, __ATOMIC_RELEASE);
    if (c->jit)
        __atomic_store_n(&b->native, jit_dead(c->jit), __ATOMIC_RELEASE);
}

void code_drop(struct soft_vp *vp, struct block *b)
{
    struct code_cache *c = cache_of(vp);

    pthread_mutex_lock(&c->lock);
    if (b->key != BLOCK_DEAD)
        drop(c, b);
    pthread_mutex_unlock(&c->lock);
}

/* Has every VP left the blocks that the page had? */
static bool page_quiet(struct soft *s, const struct code_page *p)
{
    for (unsigned i = 0; i < s->part.cfg.n_vps; i++)
        if (__atomic_load_n(&soft_vp_at(s, i)->run->seen, __ATOMIC_SEQ_CST) < p->dropped)
            return false;
    return true;
}

/* A VP whose block lives has left those that were dropped. */
static void quiet_self(struct soft_vp *vp)
{
    const struct op *o = vp->op;

    if (!o || block_of(o) == tmp_block(vp->run) || block_of(o)->key != BLOCK_DEAD)
        code_safe_point(vp, cache_of(vp));
}

/* A write to [at, at + len) of one page: drop what overlaps.  true: no block is left on the page. */
static bool page_written(struct code_cache *c, struct code_page *p, uint64_t off, uint64_t len)
{
    bool all = ++p->writes >= CODE_PAGE_WRITES, dropped = false;

    if (!all && !(p->granules & granules(off, len)))
        return !p->blocks;
    p->granules = 0;
    for (struct block *b = p->blocks, *next; b; b = next) {
        uint64_t from, n;

        next = b->page_next[page_side(b, p->page)];
        block_extent(b, p->page, &from, &n);
        if (all || (from < off + len && off < from + n)) {
            drop(c, b);
            dropped = true;
        } else {
            p->granules |= granules(from, n);
        }
    }
    if (dropped)
        p->dropped = __atomic_add_fetch(&c->drops, 1, __ATOMIC_SEQ_CST);
    return !p->blocks;
}

/* ---- self-modifying code --------------------------------------------------------------------- */

/* Does the block of the operation in execution hold any of these bytes? */
static bool in_execution(const struct soft_vp *vp, gpa_t at, uint64_t len)
{
    const struct block *b;
    uint64_t key, gpa, first;

    if (!vp->op)
        return false;
    b = block_of(vp->op);
    if (b == tmp_block(vp->run))
        return false;
    /* Dropped meanwhile: its bytes may have been anywhere. */
    key = __atomic_load_n(&b->key, __ATOMIC_ACQUIRE);
    if (key == BLOCK_DEAD)
        return true;
    gpa = (key >> 12) + (uint64_t)(int64_t)b->low;
    first = MIN(b->len, PAGE_SIZE - gpa % PAGE_SIZE);
    if (at.v < gpa + first && gpa < at.v + len)
        return true;
    return b->page2.v != NO_PAGE.v && at.v < b->page2.v + b->len - first && b->page2.v < at.v + len;
}

void code_write_check(struct soft_vp *vp, gpa_t at, uint64_t len)
{
    if (in_execution(vp, at, len))
        _longjmp(vp->unwind, UNWIND_RETRY);
}

void code_write_begin(struct soft_vp *vp)
{
    pthread_mutex_lock(&cache_of(vp)->lock);
}

void code_write_end(struct soft_vp *vp, gpa_t at, uint64_t len)
{
    struct code_cache *c = cache_of(vp);
    struct code_page *p = page_find(c, at);
    uint64_t off = at.v % PAGE_SIZE;

    vp->count.code_writes++;
    if (p && page_written(c, p, off, len) && !p->building) {
        quiet_self(vp);
        if (page_quiet(vp->soft, p)) {
            page_remove(c, p);
            /* Under the lock: whoever decodes from the page again protects it after this. */
            mmu_unprotect_code(vp, GPA(at.v - off));
        }
    }
    pthread_mutex_unlock(&c->lock);
}

void code_written_by_device(void *soft, gpa_t at, uint64_t len)
{
    struct soft *s = soft;
    struct code_cache *c = s->code;

    pthread_mutex_lock(&c->lock);
    while (len) {
        uint64_t off = at.v % PAGE_SIZE, n = MIN(len, PAGE_SIZE - off);
        struct code_page *p = page_find(c, at);

        if (p) { /* the page stays protected: a VP's next store to it frees it */
            page_written(c, p, off, n);
            p->writes = 0;
        }
        at.v += n;
        len -= n;
    }
    pthread_mutex_unlock(&c->lock);
}

/* ---- room ------------------------------------------------------------------------------------ */

struct recycle {
    struct code_cache *cache;
    const struct soft_vp *caller;
    unsigned region;
    bool done;
};

static char *region_at(const struct code_cache *c, unsigned region)
{
    return c->arena + region * CODE_REGION_SIZE;
}

/* Is a VP in the middle of an operation of this region (in an exit)? */
static bool region_in_use(struct soft *s, const struct code_cache *c, unsigned region)
{
    for (unsigned i = 0; i < s->part.cfg.n_vps; i++) {
        const char *p = (const char *)soft_vp_at(s, i)->op;

        if (p && p >= region_at(c, region) && p < region_at(c, region) + CODE_REGION_SIZE)
            return true;
    }
    return false;
}

static void region_drop(struct code_cache *c, unsigned region)
{
    char *p = region_at(c, region), *end = p + CODE_REGION_SIZE;

    c->n_hot = 0; /* they will be back */
    if (region == 0)
        p += sizeof(struct block);
    while (p < end) {
        struct block *b = (struct block *)(void *)p;

        if (!b->size) /* never filled further */
            break;
        if (b->key != BLOCK_DEAD)
            drop(c, b);
        p += b->size;
    }
    memset(region_at(c, region), 0, CODE_REGION_SIZE);
    if (c->jit)
        jit_recycle(c->jit, region);
}

/* Pages that lost all their blocks are plain memory again. */
static void pages_sweep(struct soft_vp *vp, struct code_cache *c)
{
    for (unsigned i = 0; i < CODE_PAGE_HASH; i++) {
        for (struct code_page *p = c->page_hash[i], *next; p; p = next) {
            next = p->next;
            if (p->blocks || !page_quiet(vp->soft, p))
                continue;
            mmu_unprotect_code(vp, GPA(p->page << PAGE_SHIFT));
            page_remove(c, p);
        }
    }
}

/* All VPs stand: take the next region that nobody is in the middle of. */
static void recycle_all(struct soft_vp *target, void *arg)
{
    struct recycle *r = arg;
    struct code_cache *c = r->cache;

    memset(target->run->jump, 0, sizeof target->run->jump);
    memset(target->run->jumps, 0, sizeof target->run->jumps);
    run_forget_frames(target);
    if (r->done)
        return;
    for (unsigned i = 1; i <= CODE_REGIONS && !r->done; i++) {
        unsigned region = (c->region + i) % CODE_REGIONS;

        if (region_in_use(target->soft, c, region))
            continue;
        pthread_mutex_lock(&c->lock); /* devices may look */
        region_drop(c, region);
        pages_sweep(target, c);
        pthread_mutex_unlock(&c->lock);
        c->region = region;
        c->used = region == 0 ? sizeof(struct block) : 0;
        r->done = true;
    }
}

/* Make room for a block of any size.  Between blocks; the lock is not held. */
static void make_room(struct soft_vp *vp)
{
    struct code_cache *c = cache_of(vp);
    struct recycle r = { .cache = c, .caller = vp };
    uint64_t all = vp->soft->part.cfg.n_vps == 64 ? UINT64_MAX
                                                  : (UINT64_C(1) << vp->soft->part.cfg.n_vps) - 1;

    while (!r.done)
        soft_rendezvous(vp, all, recycle_all, &r);
}

static bool has_room(const struct code_cache *c)
{
    return CODE_REGION_SIZE - c->used >= BLOCK_BYTES_MAX;
}

/* ---- look-up --------------------------------------------------------------------------------- */

struct fetch_slot *code_fetch_slot(struct soft_vp *vp, uint64_t pc)
{
    struct run_state *run = vp->run;
    size_t i = fetch_index(pc);
    struct fetch_slot *f = &run->fetch[i];
    uint64_t tag = (pc & ~(PAGE_SIZE - 1)) + vp->fetch_low;
    const uint8_t *host;
    gpa_t page;

    if (likely(f->tag == tag))
        return f;
    page = mem_fetch_page(vp, pc, &host);
    if (!host)
        return NULL;
    f->tag = (pc & ~(PAGE_SIZE - 1)) + vp->fetch_low;
    f->page = block_key(page, 0);
    run->fetches[mem_fetch_global(vp, pc)][i / 64] |= UINT64_C(1) << (i % 64);
    return f;
}

static struct block *hash_find(struct code_cache *c, uint64_t key)
{
    struct block *b = __atomic_load_n(&c->hash[hash_slot(key)], __ATOMIC_ACQUIRE);

    while (b && b->key != key)
        b = __atomic_load_n(&b->hash_next, __ATOMIC_ACQUIRE);
    return b;
}

/* Take 'page' under protection; leaves it marked 'building' so that nobody gives it up meanwhile. */
static bool page_prepare(struct soft_vp *vp, gpa_t page)
{
    struct code_cache *c = cache_of(vp);
    struct code_page *p;

    for (;;) {
        pthread_mutex_lock(&c->lock);
        p = page_find(c, page);
        if (p) {
            p->building = true;
            pthread_mutex_unlock(&c->lock);
            return true;
        }
        pthread_mutex_unlock(&c->lock);
        mmu_protect_code(vp, page); /* may let others run */
        pthread_mutex_lock(&c->lock);
        if (!(vp->soft->gmem->flags[page.v >> PAGE_SHIFT] & GMEM_CODE)) {
            pthread_mutex_unlock(&c->lock); /* somebody gave it up again */
            continue;
        }
        if (!page_find(c, page) && !page_add(c, page)) {
            mmu_unprotect_code(vp, page);
            pthread_mutex_unlock(&c->lock);
            return false;
        }
        pthread_mutex_unlock(&c->lock);
    }
}

/* Does the first instruction at 'off' of the page need bytes of the next? */
static bool first_crosses(const uint8_t *host, uint64_t off, uint32_t mode)
{
    struct insn in;

    return off > PAGE_SIZE - INSN_MAX &&
           decode(host + off, PAGE_SIZE - off, mode & MODE_SIZE, &in) == DECODE_MORE;
}

/* Decode the block at 'pc' into the arena.  The lock is held; NULL: something changed, look again. */
static struct block *build_locked(struct soft_vp *vp, uint64_t key, const uint8_t *host,
                                  gpa_t page2, const uint8_t *host2)
{
    struct code_cache *c = cache_of(vp);
    uint64_t off = (key >> 12) % PAGE_SIZE;
    struct code_bytes from = { .p = host + off, .n = PAGE_SIZE - off };
    struct code_page *p1 = page_find(c, GPA(key >> 12)), *p2 = NULL;
    struct block *b;

    if (page2.v != NO_PAGE.v) {
        from.crosses = true;
        memcpy(from.cross, host + off, from.n);
        memcpy(from.cross + from.n, host2, INSN_MAX);
        from.p = from.cross;
        from.n += INSN_MAX;
        p2 = page_find(c, page2);
    }
    if (!has_room(c) || !p1 || (page2.v != NO_PAGE.v && !p2))
        return NULL;
    if (!from.crosses && first_crosses(host, off, (uint32_t)key)) /* it has just been patched */
        return NULL;
    b = (struct block *)(void *)(region_at(c, c->region) + c->used);
    b->key = key;
    block_build(vp, b, &from, page2);
    c->used += b->size;
    page_attach(p1, b);
    if (p2 && p2 != p1)
        page_attach(p2, b);
    b->hash_next = c->hash[hash_slot(key)];
    __atomic_store_n(&c->hash[hash_slot(key)], b, __ATOMIC_RELEASE);
    p1->building = false;
    if (p2)
        p2->building = false;
    vp->count.blocks_decoded++;
    return b;
}

static struct block *code_build(struct soft_vp *vp, uint64_t pc, uint64_t key, const uint8_t *host)
{
    struct code_cache *c = cache_of(vp);
    gpa_t page = GPA((key >> 12) & ~(PAGE_SIZE - 1)), page2 = NO_PAGE;
    uint64_t off = pc % PAGE_SIZE;
    const uint8_t *host2 = NULL;
    struct block *b;

    if (first_crosses(host, off, (uint32_t)key)) {
        page2 = mem_fetch_page(vp, linear_pc(vp, vp->rip + (PAGE_SIZE - off)), &host2);
        if (!host2 || page2.v == page.v)
            return code_single(vp);
    }
    if (!page_prepare(vp, page) || (host2 && !page_prepare(vp, page2))) {
        make_room(vp); /* of a region's blocks their pages go, too */
        return NULL;
    }
    pthread_mutex_lock(&c->lock);
    b = hash_find(c, key);
    if (b && page2.v != NO_PAGE.v && b->page2.v != page2.v) {
        drop(c, b);
        b = NULL;
    }
    if (!b)
        b = build_locked(vp, key, host, page2, host2);
    bool full = !b && !has_room(c);
    pthread_mutex_unlock(&c->lock);
    if (full)
        make_room(vp);
    return b;
}

struct block *code_lookup(struct soft_vp *vp, uint32_t mode)
{
    struct code_cache *c = cache_of(vp);

    vp->op = NULL; /* between blocks */
    for (;;) {
        uint64_t pc = linear_pc(vp, vp->rip), key;
        struct fetch_slot *f = code_fetch_slot(vp, pc);
        const uint8_t *host;
        struct block *b;
        gpa_t page;

        if (!f)
            return code_single(vp);
        key = f->page + (pc % PAGE_SIZE << 12) + mode;
        b = hash_find(c, key);
        if (b)
            return b;
        page = mem_fetch_page(vp, pc, &host);
        if (!host)
            return code_single(vp);
        b = code_build(vp, pc, block_key(GPA(page.v + pc % PAGE_SIZE), mode), host);
        if (b)
            return b;
    }
}

/* It has host code now: links from it and to it are direct ways. */
static void link_native(struct code_cache *c, const struct block *b)
{
    const struct op *e;

    for (uint32_t i = b->in; i; i = e->in_next) {
        e = at_index(c, i);
        jit_link(c->jit, e, b);
    }
    for (unsigned i = 0; i < b->n_ops; i++) {
        e = &b->ops[i];
        if (e->flags & OP_EXIT && link_get(e) != c->unlinked)
            jit_link(c->jit, e, block_of(link_get(e)));
    }
}

/* The translator is large, and finds nothing of itself in the caches when it is called for one block now and
 * then: so a hot block waits until there are more, or until it has run half as often again. */
static bool wait_for_more(struct code_cache *c, struct block *b)
{
    for (unsigned i = 0; i < c->n_hot; i++)
        if (c->hot[i] == b)
            return false;
    c->hot[c->n_hot++] = b;
    if (c->n_hot == ARRAY_LEN(c->hot) || jit_threshold(c->jit) < 2)
        return false;
    __atomic_store_n(&b->ops[0].imm, jit_threshold(c->jit) / 2, __ATOMIC_RELAXED);
    return true;
}

/* All that wait, and blocks that they lead to and that are on their way: what runs after each other gets hot
 * together, and its code lies together then. */
static void translate_hot(struct soft_vp *vp, struct code_cache *c)
{
    struct block *work[TRANSLATE_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < c->n_hot; i++)
        if (c->hot[i]->key != BLOCK_DEAD)
            work[n++] = c->hot[i];
    c->n_hot = 0;
    for (unsigned i = 0; i < n; i++) {
        struct block *b = work[i];

        jit_translate(vp, c->jit, b, (unsigned)(((char *)b - c->arena) / (ptrdiff_t)CODE_REGION_SIZE));
        link_native(c, b);
        for (unsigned k = 0; k < b->n_ops && n < TRANSLATE_MAX; k++) {
            const struct op *e = &b->ops[k];

            if (e->flags & OP_EXIT && link_get(e) != c->unlinked && jit_soon(c->jit, block_of(link_get(e))))
                work[n++] = block_of(link_get(e));
        }
    }
}

void code_translate(struct soft_vp *vp, struct block *b)
{
    struct code_cache *c = cache_of(vp);

    pthread_mutex_lock(&c->lock);
    if (b->key != BLOCK_DEAD && !wait_for_more(c, b))
        translate_hot(vp, c);
    pthread_mutex_unlock(&c->lock);
}

/* ---- one instruction that is not kept -------------------------------------------------------- */

static void fetch_bytes(struct soft_vp *vp, uint64_t pc, uint8_t *to, size_t n)
{
    const struct partition_config *cfg = &vp->soft->part.cfg;
    const uint8_t *host;
    gpa_t page = mem_fetch_page(vp, pc, &host);
    uint64_t off = pc % PAGE_SIZE;

    for (size_t i = 0; i < n; i++) {
        if (host) {
            to[i] = host[off + i];
            continue;
        }
        soft_leave(vp);
        to[i] = (uint8_t)cfg->exits->mmio_read(cfg->owner, &vp->vp, GPA(page.v + off + i), 1);
        soft_enter(vp);
    }
}

struct block *code_single(struct soft_vp *vp)
{
    struct block *b = tmp_block(vp->run);
    struct code_bytes from = { .crosses = true };
    uint64_t pc = linear_pc(vp, vp->rip), first = MIN(PAGE_SIZE - pc % PAGE_SIZE, INSN_MAX);
    uint32_t mode = vp->mode | MODE_STEP;
    struct insn in;

    vp->op = NULL;
    fetch_bytes(vp, pc, from.cross, first);
    from.p = from.cross;
    from.n = first;
    if (first < INSN_MAX && decode(from.p, first, mode & MODE_SIZE, &in) == DECODE_MORE) {
        fetch_bytes(vp, linear_pc(vp, vp->rip + first), from.cross + first, INSN_MAX - first);
        from.n = INSN_MAX;
    }
    *b = (struct block){ .key = mode };
    block_build(vp, b, &from, NO_PAGE);
    return b;
}
