/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diff.h - the differential test: one case, run by the host CPU and by an engine, compared.
 *
 * Both see the same 64-bit user-mode address space:
 *     DIFF_CODE  two pages of code, read and execute
 *     DIFF_DATA  A B writable, C read-only, D not there, E writable; none executable
 * The case's code stands DIFF_AT bytes into the first code page, or shortly before its end; all other
 * bytes of code are INT3, so every case ends with an exception. */
#pragma once

#include "base/rng.h"

#define DIFF_CODE       UINT64_C(0x10000000)
#define DIFF_CODE_PAGES 2
#define DIFF_AT         0x100
#define DIFF_DATA       UINT64_C(0x20000000)
#define DIFF_PAGES      5 /* A to E */
#define DIFF_FS         (DIFF_DATA + 0x0fc0)
#define DIFF_GS         (DIFF_DATA + 0x1f00)
#define DIFF_INSNS      48
#define DIFF_CHANGES    24
#define DIFF_BATCH      256

enum { DIFF_PAGE_D = 3 };
#define DIFF_BACK 0xff /* to the first instruction */

struct diff_state {
    uint64_t gpr[16], rip, rflags;
    uint8_t fx[512]; /* FXSAVE64 */
    uint8_t ymmh[256];
};

struct diff_case {
    uint16_t at; /* offset of the code */
    uint8_t n;   /* instructions */
    uint8_t len[DIFF_INSNS];
    uint8_t rel_size[DIFF_INSNS], skip[DIFF_INSNS]; /* branches: over how many instructions; DIFF_BACK */
    uint8_t code[DIFF_INSNS][15];
    struct diff_state in;
};

struct diff_result {
    struct diff_state out;
    uint32_t vector, error;
    uint64_t cr2;
    uint32_t n_changes; /* 8-byte words of the data pages that differ from before */
    struct {
        uint32_t off;
        uint64_t value;
    } change[DIFF_CHANGES];
    uint64_t hash; /* of all changes */
};

/* diff_gen.c */
enum diff_class {
    DIFF_INT = 1 << 0, DIFF_SSE = 1 << 1, DIFF_MMX = 1 << 2, DIFF_X87 = 1 << 3, DIFF_STR = 1 << 4,
    DIFF_AVX = 1 << 5, DIFF_UNMASKED = 1 << 6, /* exceptions of SSE and x87 too */
    DIFF_LOOP = 1 << 7,  /* loops only: diff_loop.c */
    DIFF_ALL = DIFF_INT | DIFF_SSE | DIFF_MMX | DIFF_X87 | DIFF_STR | DIFF_AVX | DIFF_UNMASKED,
};
void diff_gen(struct rng *r, unsigned classes, unsigned max_insns, struct diff_case *ret);
void diff_gen_loop(struct rng *r, struct diff_case *c); /* its code and the registers it uses */
void diff_fill(struct rng *r, uint8_t *data, size_t n); /* what data pages hold before each case */
/* Flags that the last instructions leave undefined. */
uint64_t diff_undefined(const struct diff_case *c);

/* diff_host.c: a child process.  Runs n <= DIFF_BATCH cases; false: it died at case *ret_at. */
struct diff_host;
struct diff_host *diff_host_new(const uint8_t *data);
void diff_host_free(struct diff_host *h);
bool diff_host_run(struct diff_host *h, const struct diff_case *c, unsigned n,
                   struct diff_result *ret, unsigned *ret_at);

/* diff_guest.c: an engine. */
struct diff_guest;
struct diff_guest *diff_guest_new(int soft_mode, const uint8_t *data);
void diff_guest_free(struct diff_guest *g);
bool diff_guest_run(struct diff_guest *g, const struct diff_case *c, struct diff_result *ret);

/* Bytes of the code pages for a case; shared by both sides.  Branches land on instructions. */
static inline __attribute__((always_inline)) void diff_code(const struct diff_case *c,
                                                            uint8_t *pages)
{
    uint8_t *p = pages + c->at;

    for (unsigned i = 0; i < c->n; i++) {
        unsigned rel = 0;

        for (unsigned k = 0; k < c->len[i]; k++)
            *p++ = c->code[i][k];
        if (!c->rel_size[i])
            continue;
        for (unsigned k = i + 1; c->skip[i] != DIFF_BACK && k <= i + c->skip[i] && k < c->n; k++)
            rel += c->len[k];
        if (c->skip[i] == DIFF_BACK)
            rel = (unsigned)(pages + c->at - p);
        for (unsigned k = 0; k < c->rel_size[i]; k++)
            p[(int)k - (int)c->rel_size[i]] = (uint8_t)(rel >> k * 8);
    }
}

static inline void diff_changes(const uint8_t *before, const uint8_t *now, struct diff_result *ret)
{
    ret->n_changes = 0;
    ret->hash = 0;
    for (uint32_t off = 0; off < DIFF_PAGES * 4096; off += 8) {
        uint64_t v = *(const uint64_t *)(const void *)(now + off);

        if (off / 4096 == DIFF_PAGE_D || v == *(const uint64_t *)(const void *)(before + off))
            continue;
        if (ret->n_changes < DIFF_CHANGES) {
            ret->change[ret->n_changes].off = off;
            ret->change[ret->n_changes].value = v;
        }
        ret->n_changes++;
        ret->hash = (ret->hash ^ v ^ off) * UINT64_C(0x9e3779b97f4a7c15);
    }
}
