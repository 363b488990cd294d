/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stub.c - the cache behind stub.h: a memfd mapped twice, and a hash by the code itself.
 *
 * Called by sse.c and x87.c while blocks are decoded, and by helpers. */
#include "cpu/soft/stub.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/soft/fpu_private.h"

#define STUB_SPACE   (8 * MIB) /* sparse */
#define STUB_RESERVE (1 * MIB) /* for functions */
#define STUB_SCRATCH 256       /* bytes a VP, behind the space */
#define STUB_SIZE    (STUB_SPACE + VPS_MAX * STUB_SCRATCH)
#define STUB_FULL    (3 * MIB) /* more than a guest's programs commonly need */
#define STUB_SLOTS (1u << 17)

struct stub_cache {
    pthread_mutex_t lock; /* guards all below but the code itself, which never changes */
    uint8_t *write;
    const uint8_t *run;
    uint32_t used, n_stubs;
    uint32_t slot[STUB_SLOTS]; /* length << 24 | offset / 16; 0: empty */
};

int stub_cache_new(struct stub_cache **ret)
{
    struct stub_cache *c;
    void *w = MAP_FAILED, *x = MAP_FAILED;
    int fd, err = -ENOMEM;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    fd = memfd_create("verdin-stubs", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, STUB_SIZE) == 0) {
        w = mmap(NULL, STUB_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        x = mmap(NULL, STUB_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    }
    if (w == MAP_FAILED || x == MAP_FAILED)
        err = -errno;
    if (fd >= 0)
        close(fd);
    if (w != MAP_FAILED && x != MAP_FAILED) {
        c->write = w;
        c->run = x;
        pthread_mutex_init(&c->lock, NULL);
        *ret = c;
        return 0;
    }
    if (w != MAP_FAILED)
        munmap(w, STUB_SIZE);
    if (x != MAP_FAILED)
        munmap(x, STUB_SIZE);
    free(c);
    return err;
}

void stub_cache_free(struct stub_cache *c)
{
    if (!c)
        return;
    munmap(c->write, STUB_SIZE);
    munmap((void *)(uintptr_t)c->run, STUB_SIZE);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static uint32_t hash_of(const struct stub *s)
{
    uint64_t h = s->n, v = 0;
    unsigned i = 0;

    for (; i + 8 < s->n; i += 8) {
        memcpy(&v, s->code + i, 8);
        h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    v = 0;
    memcpy(&v, s->code + i, s->n - i);
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 40) % STUB_SLOTS;
}

static const void *find_or_add(struct stub_cache *c, const struct stub *s)
{
    uint64_t space = STUB_SPACE - (s->kind == STUB_CALL ? 0 : STUB_RESERVE);
    unsigned slots = STUB_SLOTS / 2 - (s->kind == STUB_CALL ? 0 : STUB_SLOTS / 8);
    uint32_t at;

    for (uint32_t i = hash_of(s);; i = (i + 1) % STUB_SLOTS) {
        if (c->slot[i]) {
            at = (c->slot[i] & 0xffffff) * 16;
            if (c->slot[i] >> 24 == s->n && memcmp(c->write + at, s->code, s->n) == 0)
                return c->run + at;
            continue;
        }
        /* Half the slots at most, so that a search is short. */
        at = c->used;
        if (at + s->n > space || c->n_stubs >= slots)
            return NULL;
        memcpy(c->write + at, s->code, s->n);
        c->used = ALIGN_UP(at + s->n, 16u);
        c->n_stubs++;
        c->slot[i] = (uint32_t)s->n << 24 | at / 16;
        return c->run + at;
    }
}

bool stub_crowded(struct stub_cache *c)
{
    bool v;

    pthread_mutex_lock(&c->lock);
    v = c->used > STUB_FULL;
    pthread_mutex_unlock(&c->lock);
    return v;
}

const void *stub_get(struct stub_cache *c, const struct stub *s)
{
    const void *p;

    if (s->n == sizeof(s->code)) /* more than fits */
        return NULL;
    pthread_mutex_lock(&c->lock);
    p = find_or_add(c, s);
    pthread_mutex_unlock(&c->lock);
    return p;
}

const void *stub_scratch(struct stub_cache *c, unsigned index, const struct stub *s)
{
    size_t at = STUB_SPACE + index * STUB_SCRATCH;
    unsigned eax = 0, ebx, ecx = 0, edx;

    memcpy(c->write + at, s->code, s->n);
    /* What this thread has written it executes: the architecture wants a serialising instruction.
     */
    __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx) : : "memory");
    return c->run + at;
}

/* Both kinds: VP in RDI.  Memory, and the source of a STUB_CALL, at [R9]; its target at [RSI]. */
static bool at_r9(const struct stub *s, enum stub_place place)
{
    if (s->kind == STUB_CALL)
        return place == STUB_SRC;
    return s->op->form == (place == STUB_SRC ? FPU_LOAD : FPU_STORE);
}

unsigned stub_rex(const struct stub *s, enum stub_place place)
{
    return at_r9(s, place) ? 1 : 0;
}

void stub_modrm(struct stub *s, unsigned r, enum stub_place place)
{
    uint32_t off = place == STUB_SRC ? s->op->src : s->op->dst;

    r = (r & 7) << 3;
    if (at_r9(s, place)) {
        stub_byte(s, r | 1);
    } else if (s->kind == STUB_CALL) {
        stub_byte(s, r | 6);
    } else if (off < 128) {
        stub_byte(s, 0x40 | r | 7);
        stub_byte(s, off);
    } else {
        stub_byte(s, 0x80 | r | 7);
        stub_u32(s, off);
    }
}
