/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops.h - what handlers of operations are made of; for ops_*.c, int_*.c, build.c and run.c.
 *
 * A handler works and then jumps to the next operation's handler: NEXT.  Built by a compiler that makes
 * tail calls into jumps (gcc and clang at -O2) a block runs without a loop; elsewhere (-O0, sanitizers)
 * handlers return the next operation to the run loop.
 *
 * Flags: guest and host are the same processor family, so handlers run the host's instruction and keep
 * its flags as LAHF and SETO give them, 16 bits in vp->lazy[LAZY_FLAGS].  That makes undefined flags,
 * shifts by nothing and the like come out as on the host.  Where nothing can see them they are not kept
 * at all (build.c). */
#pragma once

#include <string.h>

#include "cpu/soft/block.h"
#include "cpu/soft/soft.h"

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(VERDIN_TRAMPOLINE)
#define OPS_TAIL_CALLS 1
#define GOTO(where)                         \
    do {                                    \
        const struct op *goto_ = (where);   \
        return goto_->run(vp, goto_);       \
    } while (0)
#else
#define GOTO(where) return (where)
#endif
/* The asm keeps gcc from computing the address twice. */
#define NEXT                \
    do {                    \
        o++;                \
        asm("" : "+r"(o)); \
        GOTO(o);            \
    } while (0)

#define HANDLER(name) const struct op *name(struct soft_vp *vp, const struct op *o)
#define COLD          __attribute__((cold, noinline))

/* ---- registers ------------------------------------------------------------------------------- */

/* Operands name 64-bit words of struct soft_vp, byte registers bytes of it. */
#define R64(i) (((uint64_t *)vp)[i])
#define R32(i) (*(uint32_t *)&((uint64_t *)vp)[i])
#define R16(i) (*(uint16_t *)&((uint64_t *)vp)[i])
#define R8(i)  (((uint8_t *)vp)[i])

#define WORD_OF(member) (offsetof(struct soft_vp, member) / 8)
enum {
    W_RIP = WORD_OF(block_rip),
    W_ADDR = WORD_OF(lazy[LAZY_ADDR]),
    W_ZERO = WORD_OF(lazy[LAZY_ZERO]),
    W_SEG = WORD_OF(seg_base),
};
_Static_assert(offsetof(struct soft_vp, gpr) == 0 && W_RIP < 256 && W_SEG + SEGS < 256,
               "operands are bytes");

/* ---- flags ----------------------------------------------------------------------------------- */

#define LF_CF (F_CF << 8)
#define LF_PF (F_PF << 8)
#define LF_AF (F_AF << 8)
#define LF_ZF (F_ZF << 8)
#define LF_SF (F_SF << 8)
#define LF_OF 1

#define FLAGS (*(uint16_t *)&vp->lazy[LAZY_FLAGS])

static inline void flags_to_rflags(struct soft_vp *vp)
{
    uint64_t f = FLAGS;

    vp->rflags = (vp->rflags & ~(uint64_t)F_ARITH) | (f >> 8 & (F_ARITH & 0xff)) | (f & 1) << 11;
}
static inline void flags_from_rflags(struct soft_vp *vp)
{
    FLAGS = (uint16_t)(vp->rflags << 8 | (vp->rflags >> 11 & 1));
}

/* In asm: AX to the host's flags and back. */
#define ASM_FLAGS_IN  "addb $127, %%al\n\tsahf\n\t"
#define ASM_FLAGS_OUT "lahf\n\tseto %%al\n\t"

/* Condition 'cc' (0..15) of kept flags. */
static inline bool flags_cond(uint16_t f, unsigned cc)
{
    bool v;

    switch (cc >> 1) {
    case 0: v = f & LF_OF; break;
    case 1: v = f & LF_CF; break;
    case 2: v = f & LF_ZF; break;
    case 3: v = f & (LF_CF | LF_ZF); break;
    case 4: v = f & LF_SF; break;
    case 5: v = f & LF_PF; break;
    case 6: v = !(f & LF_SF) != !(f & LF_OF); break;
    default: v = (f & LF_ZF) || !(f & LF_SF) != !(f & LF_OF); break;
    }
    return v != (cc & 1);
}

/* ---- modes ----------------------------------------------------------------------------------- */

static inline bool is_64(const struct soft_vp *vp)
{
    return (vp->mode & MODE_SIZE) == MODE_64;
}
static inline bool va_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}
/* RIP as the mode has it. */
static inline uint64_t rip_mask(const struct soft_vp *vp, uint64_t rip)
{
    return is_64(vp) ? rip : (uint32_t)rip;
}
static inline uint64_t linear_pc(const struct soft_vp *vp, uint64_t rip)
{
    return is_64(vp) ? rip : (uint32_t)(vp->seg_base[SEG_CS] + rip);
}

static inline void store_n(void *p, unsigned size, uint64_t v)
{
    switch (size) {
    case 1: *(volatile uint8_t *)p = (uint8_t)v; break;
    case 2: *(volatile uint16_t *)p = (uint16_t)v; break;
    case 4: *(volatile uint32_t *)p = (uint32_t)v; break;
    default: *(volatile uint64_t *)p = v; break;
    }
}
static inline uint64_t load_n(const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile uint8_t *)p;
    case 2: return *(const volatile uint16_t *)p;
    case 4: return *(const volatile uint32_t *)p;
    default: return *(const volatile uint64_t *)p;
    }
}
static inline uint64_t mem_load(struct soft_vp *vp, uint64_t va, unsigned size)
{
    switch (size) {
    case 1: return mem_read8(vp, va);
    case 2: return mem_read16(vp, va);
    case 4: return mem_read32(vp, va);
    default: return mem_read64(vp, va);
    }
}
static inline void mem_store(struct soft_vp *vp, uint64_t va, unsigned size, uint64_t v)
{
    switch (size) {
    case 1: mem_write8(vp, va, (uint8_t)v); break;
    case 2: mem_write16(vp, va, (uint16_t)v); break;
    case 4: mem_write32(vp, va, (uint32_t)v); break;
    default: mem_write64(vp, va, v); break;
    }
}
