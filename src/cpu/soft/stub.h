/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stub.h - small pieces of host code, made once and shared by the VPs of a partition.
 *
 * The memory has two mappings, one writable and one executable, so no page is ever both.  Stubs
 * live as long as the cache.  They have registers and immediates in their code, so a guest can
 * make more of them than there is room for.  Makers of handlers leave the address out when the
 * cache is crowded, and go without when it is full; functions (STUB_CALL) are then made anew for
 * each call. */
#pragma once

#include <string.h>

#include "base/util.h"

struct stub_cache;

/* Where code finds its operands. */
enum stub_kind {
    STUB_CALL,    /* a fpu_fn: guest registers and memory by pointers */
    STUB_HANDLER, /* an op_fn: registers in the VP, memory at R9 */
};
enum stub_place { STUB_DST, STUB_SRC };

struct fpu_op;

/* Code under construction.  RDI is the VP and stays; RSI as well (STUB_CALL: the target operand;
 * STUB_HANDLER: the operation).  R9 is the memory operand (STUB_CALL: the source).  Free: RAX,
 * RCX, RDX, R8 and all XMM registers. */
struct stub {
    enum stub_kind kind;
    const struct fpu_op *op; /* form and register offsets, known before code names a place */
    uint8_t n;
    uint8_t code[246];
};

int stub_cache_new(struct stub_cache **ret);
void stub_cache_free(struct stub_cache *c);

/* The address to call; the same for the same code.  NULL: no room.  Any thread. */
const void *stub_get(struct stub_cache *c, const struct stub *s);

/* The place of VP 'index', good for its next call only. */
const void *stub_scratch(struct stub_cache *c, unsigned index, const struct stub *s);

/* Time to be sparing with handlers? */
bool stub_crowded(struct stub_cache *c);

static inline void stub_put(struct stub *s, const void *bytes, size_t n)
{
    if (s->n + n > sizeof(s->code)) {
        s->n = sizeof(s->code); /* stub_get() refuses it */
        return;
    }
    memcpy(s->code + s->n, bytes, n);
    s->n = (uint8_t)(s->n + n);
}

/* STUB(s, 0x0f, 0x28, ...) appends bytes. */
#define STUB(s, ...)                                          \
    do {                                                      \
        static const uint8_t stub_bytes_[] = { __VA_ARGS__ }; \
        stub_put(s, stub_bytes_, sizeof(stub_bytes_));        \
    } while (0)

static inline void stub_byte(struct stub *s, unsigned b)
{
    uint8_t v = (uint8_t)b;

    stub_put(s, &v, 1);
}

static inline void stub_u32(struct stub *s, uint32_t v)
{
    stub_put(s, &v, 4);
}

/* ModRM and displacement for register 'r' and an operand; the REX bit that its base needs. */
void stub_modrm(struct stub *s, unsigned r, enum stub_place place);
unsigned stub_rex(const struct stub *s, enum stub_place place);
