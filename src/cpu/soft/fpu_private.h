/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu_private.h - what the files behind fpu.h share. */
#pragma once

#include "cpu/soft/exec.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/stub.h"

struct fpu_private { /* one a partition, hung off each VP */
    struct stub_cache *stubs;
    unsigned refs;
};

enum { /* x87 status and control */
    FSW_EXC = 0x3f, FSW_SF = 0x40, FSW_ES = 0x80, FSW_C1 = 0x200, FSW_B = 0x8000,
    FCW_DEFAULT = 0x37f, FCW_RESET = 0x40,
};
#define MXCSR_DEFAULT 0x1f80u
#define MXCSR_MASKS   0x1f80u
#define MXCSR_FLAGS   0x3fu
#define MXCSR_FTZ     0x8000u
#define MXCSR_VALID   0xffffu

/* The image in vp->fpu.fx, when not live. */
struct fx_image {
    uint16_t fcw, fsw;
    uint8_t ftw, zero;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
    uint8_t rest[96];
};
_Static_assert(sizeof(struct fx_image) == 512, "FXSAVE");

/* What an instruction does, on operands that are in memory: guest registers in struct soft_vp,
 * guest memory at its host address or in a 32-byte aligned copy.  The result counts with FPU_FLAGS
 * only: the flags as LAHF and SETO give them, AH and AL.  A function never faults. */
typedef uint64_t fpu_fn(struct soft_vp *vp, void *dst, const void *src);

enum fpu_form {
    FPU_REG,   /* dst and src are registers */
    FPU_LOAD,  /* src is memory */
    FPU_STORE, /* dst is memory, written whole, not read */
};

enum fpu_op_flag {
    FPU_X87 = 1 << 0,     /* works on the live x87/MMX registers: fpu_load_x87() first */
    FPU_X87_PTR = 1 << 1, /* leaves its address in FIP, FOP (and FDP) */
    FPU_FLAGS = 1 << 2,   /* writes arithmetic flags */
    FPU_READS = 1 << 3,   /* reads them (FCMOVcc) */
    FPU_XM = 1 << 4,      /* may raise #XM: not in MODE_XM blocks */
};

struct fpu_op {
    fpu_fn *fn;
    uint16_t dst, src; /* byte offsets of registers in struct soft_vp */
    uint16_t fop;      /* x87: opcode bits for FOP */
    uint8_t form;      /* enum fpu_form */
    uint8_t size;      /* bytes of memory */
    uint8_t align;     /* mask of address bits that must be 0, else #GP(0) */
    uint8_t flags;     /* enum fpu_op_flag */
};

static inline struct fx_image *fpu_fx(struct soft_vp *vp)
{
    return (struct fx_image *)(void *)vp->fpu.fx;
}

static inline uint16_t fpu_off_xmm(unsigned n)
{
    return (uint16_t)(offsetof(struct soft_vp, fpu.ymm) + n * 32);
}

static inline uint16_t fpu_off_gpr(unsigned n)
{
    return (uint16_t)(offsetof(struct soft_vp, gpr) + n * 8);
}

/* *op and the body of its code (s->kind set, s->op == op), or false: no such operation. */
bool sse_pick(struct soft_vp *vp, const struct insn *in, struct fpu_op *op, struct stub *s);
bool avx_pick(struct soft_vp *vp, const struct insn *in, struct fpu_op *op, struct stub *s);
/* The same for who runs the guest's VEX instruction as it is: what it is, or false. */
enum avx_kind {
    AVX_VECTOR, /* r = op(..., m) */
    AVX_FLAGS,  /* flags = op(r, m) */
    AVX_STRING, /* the same, and ECX or XMM0 */
    AVX_STORE,  /* m = op(r) */
    AVX_SHIFT,  /* vvvv = op(m) */
    AVX_FROM_G, /* r = op(..., general m) */
    AVX_TO_G,   /* general r = op(m) */
    AVX_EXT,    /* general m = op(r) */
};
struct avx_form {
    uint8_t kind, size, align; /* bytes of m in memory; mask of address bits that must be 0 */
    bool xm;                   /* may raise #XM */
};
bool avx_form(const struct soft_vp *vp, const struct insn *in, struct avx_form *ret);
bool x87_pick(const struct insn *in, struct fpu_op *op, struct stub *s);

/* fpu.h says what it is; this makes it of an operation. */
bool fpu_pick(struct soft_vp *vp, const struct insn *in, enum stub_kind kind, struct fpu_op *op,
              struct stub *s);

/* Opcodes with helpers of their own. */
const struct helper *avx_helper(const struct insn *in);
const struct helper *sse_helper(const struct insn *in);
const struct helper *x87_helper(const struct insn *in);
const struct helper *xsave_helper(const struct insn *in);

/* #UD or #NM as CR0 and CR4 say: SSE, MMX, x87 (wait: FWAIT, which looks at MP). */
void fpu_check_sse(struct soft_vp *vp);
void fpu_check_avx(struct soft_vp *vp);
void fpu_check_mmx(struct soft_vp *vp);
void fpu_check_x87(struct soft_vp *vp);

/* Makes the x87 state live; raises #MF when an exception is pending. */
void fpu_load_x87(struct soft_vp *vp);

/* The x87 image in memory with an unmasked exception pending? */
bool fpu_x87_pending(struct soft_vp *vp);
/* Raises #MF then. */
void fpu_wait(struct soft_vp *vp);

/* MXCSR complete with flags; setting it, a valid value, may change the mode. */
uint32_t fpu_mxcsr(struct soft_vp *vp);
void fpu_set_mxcsr(struct soft_vp *vp, uint32_t value);

/* After FCW or FSW in the image changed: ES and B, x87_unmasked, the mode. */
void fpu_x87_changed(struct soft_vp *vp);
/* The image counts registers from TOP: gives it another TOP, the registers stay. */
void fpu_turn(struct soft_vp *vp, unsigned top);
void fpu_x87_init(struct soft_vp *vp); /* FNINIT */

/* Remember FIP and FOP of this x87 instruction, and FDP when it has a memory operand. */
void fpu_note(struct soft_vp *vp, const struct insn *in, const uint64_t *offset);
