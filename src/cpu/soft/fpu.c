/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu.c - where floating-point state is, exceptions, and the general helper of SSE, MMX and x87.
 *
 * Source: AMD64 APM volumes 1 (chapters 4 to 6) and 2 (chapter 11), Intel SDM volume 1 (8, 11, 13).
 * An unmasked x87 exception is found by looking at the status word after the instruction: the host
 * itself reports one only at the next waiting instruction, and before that the state has moved to
 * memory.  SSE instructions run with all exceptions masked on copies of their operands.
 * Not modelled: whether an unmasked underflow or overflow is inexact besides (MXCSR.PE may be set
 * where the processor does not); FERR and IGNNE (with CR0.NE clear #MF is raised all the same).
 * Called: run loop, soft.c, the block builder. */
#include "cpu/soft/fpu_private.h"
#include "cpu/soft/sse_table.h"

#include <errno.h>
#include <string.h>

static inline uint32_t host_mxcsr(void)
{
    uint32_t v;

    __asm__ volatile("stmxcsr %0" : "=m"(v));
    return v;
}

static inline void set_host_mxcsr(uint32_t v)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
}

/* ---- where the state is -------------------------------------------------------------------------
 */

uint32_t fpu_mxcsr(struct soft_vp *vp)
{
    if (vp->fpu.entered)
        vp->fpu.mxcsr |= host_mxcsr() & MXCSR_FLAGS;
    return vp->fpu.mxcsr;
}

void fpu_set_mxcsr(struct soft_vp *vp, uint32_t value)
{
    bool unmasked = (value & MXCSR_MASKS) != MXCSR_MASKS;

    vp->fpu.mxcsr = value;
    if (vp->fpu.entered)
        set_host_mxcsr(value | MXCSR_MASKS);
    if (unmasked != vp->fpu.sse_unmasked) {
        vp->fpu.sse_unmasked = unmasked;
        soft_mode_changed(vp);
    }
}

/* The compiler must not keep anything in the vector registers across FXRSTOR. */
#define XMM_CLOBBERS                                                                            \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

void fpu_load_x87(struct soft_vp *vp)
{
    if (vp->fpu.live)
        return;
    fpu_wait(vp);
    fpu_fx(vp)->mxcsr = host_mxcsr();
    __asm__ volatile("fxrstor64 %0" : : "m"(vp->fpu.fx) : "memory", XMM_CLOBBERS);
    vp->fpu.live = true;
}

void fpu_sync(struct soft_vp *vp)
{
    if (!vp->fpu.live)
        return;
    __asm__ volatile("fxsave64 %0\n\tfninit" : "=m"(vp->fpu.fx) : : "memory");
    vp->fpu.live = false;
}

bool fpu_x87_pending(struct soft_vp *vp)
{
    const struct fx_image *fx = fpu_fx(vp);

    return !vp->fpu.live && (fx->fsw & ~fx->fcw & FSW_EXC);
}

void fpu_wait(struct soft_vp *vp)
{
    if (fpu_x87_pending(vp))
        soft_raise(vp, EXC_MF);
}

void fpu_x87_changed(struct soft_vp *vp)
{
    struct fx_image *fx = fpu_fx(vp);
    bool unmasked;

    fx->fcw = (uint16_t)((fx->fcw & 0x1f7f) | 0x40);
    fx->fsw &= (uint16_t)~(FSW_ES | FSW_B);
    if (fx->fsw & ~fx->fcw & FSW_EXC)
        fx->fsw |= FSW_ES | FSW_B;
    unmasked = (fx->fcw & FSW_EXC) != FSW_EXC;
    if (unmasked != vp->fpu.x87_unmasked) {
        vp->fpu.x87_unmasked = unmasked;
        soft_mode_changed(vp);
    }
}

void fpu_turn(struct soft_vp *vp, unsigned top)
{
    struct fx_image *fx = fpu_fx(vp);
    unsigned old = fx->fsw >> 11 & 7;
    uint8_t st[8][16];

    memcpy(st, fx->st, sizeof(st));
    for (unsigned i = 0; i < 8; i++)
        memcpy(fx->st[(i - top) & 7], st[(i - old) & 7], 16);
    fx->fsw = (uint16_t)((fx->fsw & ~0x3800) | top << 11);
}

void fpu_x87_init(struct soft_vp *vp)
{
    struct fx_image *fx = fpu_fx(vp);

    fpu_sync(vp);
    fpu_turn(vp, 0);
    fx->fcw = FCW_DEFAULT;
    fx->fsw = 0;
    fx->ftw = 0;
    vp->fpu.fip = vp->fpu.fdp = 0;
    vp->fpu.fop = vp->fpu.fcs = vp->fpu.fds = 0;
    fpu_x87_changed(vp);
}

int fpu_init(struct soft_vp *vp)
{
    struct soft_vp *first = vp->vp.index ? soft_vp_at(vp->soft, 0) : vp;
    int r;

    if (first == vp) {
        vp->fpu_private = calloc(1, sizeof(*vp->fpu_private));
        if (!vp->fpu_private)
            return -ENOMEM;
        r = stub_cache_new(&vp->fpu_private->stubs);
        if (r < 0) {
            free(TAKE_PTR(vp->fpu_private));
            return r;
        }
    } else {
        vp->fpu_private = first->fpu_private;
    }
    vp->fpu_private->refs++;
    return 0;
}

void fpu_done(struct soft_vp *vp)
{
    struct fpu_private *p = TAKE_PTR(vp->fpu_private);

    if (!p || --p->refs)
        return;
    stub_cache_free(p->stubs);
    free(p);
}

void fpu_reset(struct soft_vp *vp)
{
    struct fx_image *fx = fpu_fx(vp);

    fpu_sync(vp);
    memset(vp->fpu.ymm, 0, sizeof(vp->fpu.ymm));
    memset(vp->fpu.fx, 0, sizeof(vp->fpu.fx));
    fx->fcw = FCW_RESET;
    fx->ftw = 0xff;
    fx->mxcsr_mask = MXCSR_VALID;
    vp->fpu.fip = vp->fpu.fdp = 0;
    vp->fpu.fop = vp->fpu.fcs = vp->fpu.fds = 0;
    vp->fpu.xcr0 = 1;
    vp->fpu.mxcsr = MXCSR_DEFAULT;
    vp->fpu.sse_unmasked = false;
    vp->fpu.x87_unmasked = true;
    if (vp->fpu.entered)
        set_host_mxcsr(MXCSR_DEFAULT);
}

/* ---- may it run ------------------------------------------------------------------------------ */

void fpu_check_sse(struct soft_vp *vp)
{
    if ((vp->cr0 & CR0_EM) || !(vp->cr4 & CR4_OSFXSR))
        soft_raise(vp, EXC_UD);
    if (vp->cr0 & CR0_TS)
        soft_raise(vp, EXC_NM);
}

void fpu_check_avx(struct soft_vp *vp)
{
    if (!(vp->mode & MODE_AVX))
        soft_raise(vp, EXC_UD);
    if (vp->cr0 & CR0_TS)
        soft_raise(vp, EXC_NM);
}

void fpu_check_mmx(struct soft_vp *vp)
{
    if (vp->cr0 & CR0_EM)
        soft_raise(vp, EXC_UD);
    if (vp->cr0 & CR0_TS)
        soft_raise(vp, EXC_NM);
}

void fpu_check_x87(struct soft_vp *vp)
{
    if (vp->cr0 & (CR0_EM | CR0_TS))
        soft_raise(vp, EXC_NM);
}

void fpu_note(struct soft_vp *vp, const struct insn *in, const uint64_t *offset)
{
    vp->fpu.fop = (uint16_t)((in->opcode & 7) << 8 | in->bytes[in->opcode_at + 1]);
    vp->fpu.fip = vp->rip;
    vp->fpu.fcs = vp->seg[SEG_CS].sel;
    if (offset) {
        vp->fpu.fdp = *offset;
        vp->fpu.fds = vp->seg[in->seg].sel;
    }
}

/* ---- host code ------------------------------------------------------------------------------- */

bool fpu_pick(struct soft_vp *vp, const struct insn *in, enum stub_kind kind, struct fpu_op *op,
              struct stub *s)
{
    *op = (struct fpu_op){ 0 };
    s->kind = kind;
    s->op = op;
    s->n = 0;
    if (in->prefixes & PFX_VEX)
        return avx_pick(vp, in, op, s);
    return x87_pick(in, op, s) || sse_pick(vp, in, op, s);
}

static void append(struct stub *s, const struct stub *body)
{
    stub_put(s, body->code, body->n);
}

/* The instruction as a function; raises #UD when it is none. */
static void pick_call(struct soft_vp *vp, const struct insn *in, struct fpu_op *op)
{
    struct stub body, s;

    s.kind = STUB_CALL;
    s.op = op;
    s.n = 0;
    if (!fpu_pick(vp, in, STUB_CALL, op, &body))
        soft_raise(vp, EXC_UD);
    STUB(&s, 0x49, 0x89, 0xd1); /* mov %rdx, %r9 */
    if (op->flags & FPU_READS) {
        STUB(&s, 0x8b, 0x87); /* mov rflags(%rdi), %eax; mov %al, %ah; sahf */
        stub_u32(&s, offsetof(struct soft_vp, rflags));
        STUB(&s, 0x88, 0xc4, 0x9e);
    }
    append(&s, &body);
    if (op->flags & FPU_FLAGS)
        STUB(&s, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto %al */
    STUB(&s, 0xc3);
    op->fn = (fpu_fn *)(uintptr_t)stub_get(vp->fpu_private->stubs, &s);
    if (!op->fn)
        op->fn = (fpu_fn *)(uintptr_t)stub_scratch(vp->fpu_private->stubs, vp->vp.index, &s);
}

/* ---- the general helper ---------------------------------------------------------------------- */

/* Which flags does an SSE instruction report when some exceptions are unmasked?  It ran masked. */
static uint32_t xm_flags(uint32_t mxcsr, uint32_t raised)
{
    uint32_t unmasked = ~(mxcsr >> 7) & MXCSR_FLAGS;

    if (raised & unmasked & 7) /* found before the result: no overflow, underflow, precision */
        return raised & 7;
    return raised;
}

/* Arithmetic that may end in a tiny number: of singles, of one element?  false: other instructions.
 */
static bool tiny_kind(const struct insn *in, bool *ret_single, bool *ret_scalar)
{
    unsigned pp = sse_pp(in);

    if ((in->prefixes & PFX_VEX) && in->map == MAP_0F38 && in->opcode >= 0x96) { /* FMA */
        *ret_single = !(in->rex & 8);
        *ret_scalar = (in->opcode & 9) == 9;
        return true;
    }
    *ret_scalar = pp >= 2;
    if (in->map == MAP_0F3A) { /* DPPS, DPPD */
        *ret_single = in->opcode == 0x40;
        return (in->opcode & 0xfe) == 0x40;
    }
    if (in->map != MAP_0F)
        return false;
    switch (in->opcode) {
    case 0x58: case 0x59: case 0x5c: case 0x5e:
        *ret_single = pp == 0 || pp == 2;
        return true;
    case 0x5a: /* not those to double */
        *ret_single = true;
        return pp == 1 || pp == 3;
    case 0x7c: case 0x7d: case 0xd0:
        *ret_single = pp == 3;
        *ret_scalar = false;
        return true;
    default: return false;
    }
}

/* Did it leave a denormal in 'v'? */
static bool has_tiny(const struct insn *in, const uint8_t *v)
{
    unsigned n = (in->prefixes & PFX_VEX) && in->vex_l ? 32 : 16;
    bool single, scalar;

    if (!tiny_kind(in, &single, &scalar))
        return false;
    if (scalar)
        n = 1;
    for (unsigned i = 0; i < n; i += single ? 4 : 8) {
        uint64_t u = single ? (uint64_t)get_le32(v + i) << 33 : get_le64(v + i) << 1;

        if (u && !(single ? u >> 56 : u >> 53))
            return true;
    }
    return false;
}

/* Runs op->fn with 'dst' a copy, and raises #XM when an unmasked exception turns up. */
static uint64_t run_xm(struct soft_vp *vp, const struct insn *in, const struct fpu_op *op,
                       void *dst, const void *src)
{
    uint32_t before = fpu_mxcsr(vp), raised, use = before & ~MXCSR_FLAGS;
    bool um = !(before & 0x800), entered = vp->fpu.entered;
    uint8_t old[32];
    uint64_t r;

    if (um)
        use &= ~MXCSR_FTZ;
    memcpy(old, dst, sizeof(old));
    if (op->flags & FPU_X87) { /* a way back: the image of what is live */
        fpu_sync(vp);
        fpu_load_x87(vp);
    }
    set_host_mxcsr(use | MXCSR_MASKS);
    r = op->fn(vp, dst, src);
    raised = host_mxcsr() & MXCSR_FLAGS;
    set_host_mxcsr(entered ? before | MXCSR_MASKS : MXCSR_DEFAULT);
    /* An exact tiny result raises underflow only when that is unmasked. */
    if (um && op->dst >= fpu_off_xmm(0) && has_tiny(in, dst))
        raised |= 0x10;
    raised = xm_flags(before, raised);
    vp->fpu.mxcsr = before | raised;
    if (entered)
        set_host_mxcsr(vp->fpu.mxcsr | MXCSR_MASKS);
    if (raised & ~(before >> 7) & MXCSR_FLAGS) {
        memcpy(dst, old, sizeof(old));
        if (op->flags & FPU_X87) { /* it counts as an MMX instruction all the same */
            vp->fpu.live = false;
            fpu_turn(vp, 0);
            fpu_fx(vp)->ftw = 0xff;
        }
        soft_raise(vp, vp->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD);
    }
    return r;
}

/* An unmasked exception may be pending in the live state: then it goes to memory. */
static bool x87_settle(struct soft_vp *vp)
{
    uint16_t fsw;

    if (!vp->fpu.live)
        return false;
    __asm__ volatile("fnstsw %0" : "=m"(fsw));
    if (!(fsw & FSW_ES))
        return false;
    fpu_sync(vp);
    return true;
}

static void check_kind(struct soft_vp *vp, const struct insn *in, const struct fpu_op *op)
{
    bool x87 = in->map == MAP_1;
    bool mmx = (op->flags & FPU_X87) && !x87;

    if (x87)
        fpu_check_x87(vp);
    else if (in->prefixes & PFX_VEX)
        fpu_check_avx(vp);
    else if (mmx && op->dst < fpu_off_xmm(0) && op->src < fpu_off_xmm(0))
        fpu_check_mmx(vp);
    else
        fpu_check_sse(vp);
    if (op->flags & FPU_X87)
        fpu_load_x87(vp);
}

static void set_flags(struct soft_vp *vp, const struct fpu_op *op, uint64_t r)
{
    if (op->flags & FPU_FLAGS)
        vp->rflags = (vp->rflags & ~(uint64_t)F_ARITH) | (r >> 8 & F_ARITH & 0xff) | (r & 1) << 11;
}

/* Does everything that fpu_fast() offers, in all modes. */
static void fpu_run(struct soft_vp *vp, const struct insn *in)
{
    _Alignas(32) uint8_t copy[32] = { 0 };
    struct fpu_op op;
    void *dst;
    const void *src;
    uint64_t at = 0, off = 0, r;

    pick_call(vp, in, &op);
    check_kind(vp, in, &op);
    dst = (uint8_t *)vp + op.dst;
    src = (uint8_t *)vp + op.src;
    if (op.form != FPU_REG) {
        off = insn_offset(vp, in);
        if ((off + vp->seg_base[in->seg]) & op.align) /* before #SS */
            soft_raise_error(vp, EXC_GP, 0);
        at = insn_address(vp, in, op.size, op.form == FPU_STORE);
    }
    if (op.form == FPU_LOAD) {
        mem_read(vp, at, copy, op.size);
        src = copy;
    } else if (op.form == FPU_STORE) {
        mem_probe_write(vp, at, op.size);
        dst = copy;
    }
    if (op.flags & FPU_XM)
        r = run_xm(vp, in, &op, dst, src);
    else
        r = op.fn(vp, dst, src);
    if (op.flags & FPU_X87_PTR)
        fpu_note(vp, in, op.form == FPU_REG ? NULL : &off);
    if (in->map == MAP_1 && vp->fpu.x87_unmasked && x87_settle(vp)) {
        const struct fx_image *fx = fpu_fx(vp);

        /* Such a store did nothing, unless it was inexact only. */
        if (op.form == FPU_STORE && (fx->fsw & ~fx->fcw & FSW_EXC & ~0x20))
            return;
    }
    set_flags(vp, &op, r);
    if (op.form == FPU_STORE)
        mem_write(vp, at, copy, op.size);
}

static const struct helper run_rows[4] = {
    { "fpu", fpu_run, 0 },
    { "fpu", fpu_run, HELPER_WRITES },
    { "fpu", fpu_run, HELPER_READS },
    { "fpu", fpu_run, HELPER_READS | HELPER_WRITES },
};

const struct helper *fpu_helper(const struct insn *in)
{
    const struct helper *h;
    struct fpu_op op;
    struct stub s;

    h = xsave_helper(in);
    if (!h)
        h = avx_helper(in);
    if (!h)
        h = in->map == MAP_1 ? x87_helper(in) : sse_helper(in);
    if (h)
        return h;
    if (!fpu_pick(NULL, in, STUB_CALL, &op, &s))
        return NULL;
    return &run_rows[(op.flags & FPU_FLAGS ? 1 : 0) | (op.flags & FPU_READS ? 2 : 0)];
}
