/* SPDX-License-Identifier: GPL-2.0-or-later */
/* xsave.c - FXSAVE, FXRSTOR, the XSAVE family, LDMXCSR, STMXCSR.
 *
 * Components: x87, SSE, AVX.  Since AVX stands at offset 576 in the compacted form, too, both forms
 * differ in the header only.  Not: XSAVES, XRSTORS (not offered).
 * Source: Intel SDM volume 1 chapter 13, AMD64 APM volume 2 section 11.5. */
#include <string.h>

#include "cpu/soft/fpu_private.h"

enum { XF_X87 = 1, XF_SSE = 2, XF_AVX = 4, XF_ALL = 7 };

#define HEADER     512 /* XSTATE_BV, XCOMP_BV */
#define AVX_AT     576
#define AVX_SIZE   256
#define COMPACTED  (UINT64_C(1) << 63)
#define IMAGE_SIZE (AVX_AT + AVX_SIZE)

static unsigned n_xmm(const struct soft_vp *vp)
{
    return (vp->mode & MODE_SIZE) == MODE_64 ? 16 : 8;
}

/* ---- pieces of an image ---------------------------------------------------------------------- */

static void put_x87(struct soft_vp *vp, uint8_t *im, bool wide)
{
    const struct soft_fpu *f = &vp->fpu;

    fpu_sync(vp);
    memcpy(im, vp->fpu.fx, 5);
    im[5] = 0;
    put_le16(im + 6, f->fop);
    put_le64(im + 8, wide ? f->fip : (uint32_t)f->fip | (uint64_t)f->fcs << 32);
    put_le64(im + 16, wide ? f->fdp : (uint32_t)f->fdp | (uint64_t)f->fds << 32);
    for (unsigned i = 0; i < 8; i++) {
        memset(im + 32 + i * 16, 0, 16);
        memcpy(im + 32 + i * 16, fpu_fx(vp)->st[i], 10);
    }
}

/* Linear addresses have 57 bits at most. */
static uint64_t pointer(uint64_t v)
{
    return (uint64_t)((int64_t)(v << 7) >> 7);
}

static void get_x87(struct soft_vp *vp, const uint8_t *im, bool wide)
{
    struct soft_fpu *f = &vp->fpu;

    fpu_sync(vp);
    memcpy(vp->fpu.fx, im, 5);
    f->fop = get_le16(im + 6) & 0x7ff;
    f->fip = wide ? pointer(get_le64(im + 8)) : get_le32(im + 8);
    f->fdp = wide ? pointer(get_le64(im + 16)) : get_le32(im + 16);
    f->fcs = wide ? 0 : get_le16(im + 12);
    f->fds = wide ? 0 : get_le16(im + 20);
    for (unsigned i = 0; i < 8; i++)
        memcpy(fpu_fx(vp)->st[i], im + 32 + i * 16, 10);
    fpu_x87_changed(vp);
}

static void put_mxcsr(struct soft_vp *vp, uint8_t *im)
{
    put_le32(im + 24, fpu_mxcsr(vp));
    put_le32(im + 28, MXCSR_VALID);
}

static void put_xmm(struct soft_vp *vp, uint8_t *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        memcpy(im + 160 + i * 16, vp->fpu.ymm[i], 16);
}

static void get_xmm(struct soft_vp *vp, const uint8_t *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        memcpy(vp->fpu.ymm[i], im + 160 + i * 16, 16);
}

static void put_avx(struct soft_vp *vp, uint8_t *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        memcpy(im + AVX_AT + i * 16, vp->fpu.ymm[i] + 16, 16);
}

static void get_avx(struct soft_vp *vp, const uint8_t *im, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        memcpy(vp->fpu.ymm[i] + 16, im + AVX_AT + i * 16, 16);
}

/* Components that are not in their initial state. */
static uint64_t in_use(struct soft_vp *vp)
{
    static const uint8_t zero[16];
    const struct fx_image *fx = fpu_fx(vp);
    uint64_t v = 0;

    fpu_sync(vp);
    if (fx->fcw != FCW_DEFAULT || fx->fsw || fx->ftw || vp->fpu.fip || vp->fpu.fdp || vp->fpu.fop)
        v |= XF_X87;
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(fx->st[i], zero, 10) != 0)
            v |= XF_X87;
    for (unsigned i = 0; i < 16; i++) {
        if (memcmp(vp->fpu.ymm[i], zero, 16) != 0)
            v |= XF_SSE;
        if (memcmp(vp->fpu.ymm[i] + 16, zero, 16) != 0)
            v |= XF_AVX;
    }
    return v;
}

static void init_x87(struct soft_vp *vp)
{
    fpu_x87_init(vp);
    memset(fpu_fx(vp)->st, 0, sizeof(fpu_fx(vp)->st));
}

/* ---- FXSAVE, FXRSTOR ------------------------------------------------------------------------- */

static uint64_t fx_address(struct soft_vp *vp, const struct insn *in, bool write)
{
    uint64_t at;

    if (vp->cr0 & (CR0_EM | CR0_TS))
        soft_raise(vp, EXC_NM);
    at = insn_address(vp, in, 512, write);
    if (at & 15)
        soft_raise_error(vp, EXC_GP, 0);
    return at;
}

/* Fast FXSAVE of 64-bit kernels leaves the XMM registers out. */
static bool fast_fx(const struct soft_vp *vp)
{
    return (vp->efer & EFER_FFXSR) && vp->cpl == 0 && (vp->mode & MODE_SIZE) == MODE_64;
}

static void fxsave_run(struct soft_vp *vp, const struct insn *in)
{
    uint64_t at = fx_address(vp, in, true);
    uint8_t im[512] = { 0 };
    bool sse = (vp->cr4 & CR4_OSFXSR) && !fast_fx(vp);

    put_x87(vp, im, in->rex & 8);
    put_mxcsr(vp, im);
    put_xmm(vp, im, n_xmm(vp));
    mem_probe_write(vp, at, 512);
    mem_write(vp, at, im, 160 + (sse ? n_xmm(vp) * 16 : 0));
}

static void fxrstor_run(struct soft_vp *vp, const struct insn *in)
{
    uint64_t at = fx_address(vp, in, false);
    uint8_t im[512];
    bool sse = (vp->cr4 & CR4_OSFXSR) && !fast_fx(vp);

    mem_read(vp, at, im, 512);
    if (get_le32(im + 24) & ~MXCSR_VALID)
        soft_raise_error(vp, EXC_GP, 0);
    get_x87(vp, im, in->rex & 8);
    fpu_set_mxcsr(vp, get_le32(im + 24));
    if (sse)
        get_xmm(vp, im, n_xmm(vp));
}

/* ---- LDMXCSR, STMXCSR ------------------------------------------------------------------------ */

static void ldmxcsr_run(struct soft_vp *vp, const struct insn *in)
{
    uint32_t v;

    fpu_check_sse(vp);
    v = mem_read32(vp, insn_address(vp, in, 4, false));
    if (v & ~MXCSR_VALID)
        soft_raise_error(vp, EXC_GP, 0);
    fpu_set_mxcsr(vp, v);
}

static void stmxcsr_run(struct soft_vp *vp, const struct insn *in)
{
    fpu_check_sse(vp);
    mem_write32(vp, insn_address(vp, in, 4, true), fpu_mxcsr(vp));
}

/* ---- XSAVE ----------------------------------------------------------------------------------- */

static uint64_t xsave_address(struct soft_vp *vp, const struct insn *in, bool write)
{
    uint64_t at;

    if (!(vp->cr4 & CR4_OSXSAVE))
        soft_raise(vp, EXC_UD);
    if (vp->cr0 & CR0_TS)
        soft_raise(vp, EXC_NM);
    at = insn_address(vp, in, IMAGE_SIZE, write);
    if (at & 63)
        soft_raise_error(vp, EXC_GP, 0);
    return at;
}

static uint64_t request(const struct soft_vp *vp)
{
    return ((vp->gpr[RAX] & 0xffffffff) | vp->gpr[RDX] << 32) & vp->fpu.xcr0 & XF_ALL;
}

static unsigned image_end(uint64_t parts)
{
    return parts & XF_AVX ? IMAGE_SIZE : AVX_AT;
}

/* Writes the components 'what' of an image to guest memory, nothing else of it. */
static void write_parts(struct soft_vp *vp, uint64_t at, const uint8_t *im, uint64_t what,
                        bool mxcsr)
{
    if (what & XF_X87) {
        mem_write(vp, at, im, 24);
        mem_write(vp, at + 32, im + 32, 128);
    }
    if (mxcsr)
        mem_write(vp, at + 24, im + 24, 8);
    if (what & XF_SSE)
        mem_write(vp, at + 160, im + 160, n_xmm(vp) * 16);
    if (what & XF_AVX)
        mem_write(vp, at + AVX_AT, im + AVX_AT, n_xmm(vp) * 16);
}

/* XSAVE, XSAVEOPT (which may leave out what is in its initial state) and XSAVEC. */
static void save(struct soft_vp *vp, const struct insn *in, bool skip_init, bool compact)
{
    uint64_t at = xsave_address(vp, in, true), rfbm = request(vp), used, what, bv;
    uint8_t im[IMAGE_SIZE] = { 0 };

    mem_probe_write(vp, at, image_end(rfbm));
    used = in_use(vp);
    if (compact && fpu_mxcsr(vp) != MXCSR_DEFAULT)
        used |= XF_SSE;
    what = skip_init ? rfbm & used : rfbm;
    put_x87(vp, im, in->rex & 8);
    put_mxcsr(vp, im);
    put_xmm(vp, im, n_xmm(vp));
    put_avx(vp, im, n_xmm(vp));
    if (compact) {
        bv = rfbm & used;
        mem_write64(vp, at + HEADER + 8, rfbm | COMPACTED);
        write_parts(vp, at, im, what, what & XF_SSE);
    } else {
        bv = (mem_read64(vp, at + HEADER) & ~rfbm) | (rfbm & used);
        write_parts(vp, at, im, what, rfbm & (XF_SSE | XF_AVX));
    }
    mem_write64(vp, at + HEADER, bv);
}

static void xsave_run(struct soft_vp *vp, const struct insn *in)
{
    save(vp, in, false, false);
}

static void xsaveopt_run(struct soft_vp *vp, const struct insn *in)
{
    save(vp, in, true, false);
}

static void xsavec_run(struct soft_vp *vp, const struct insn *in)
{
    save(vp, in, true, true);
}

static bool header_ok(const struct soft_vp *vp, const uint8_t *im)
{
    uint64_t bv = get_le64(im + HEADER), comp = get_le64(im + HEADER + 8);
    unsigned zero_from = comp & COMPACTED ? 16 : 8;

    for (unsigned i = zero_from; i < (comp & COMPACTED ? 64u : 24u); i++)
        if (im[HEADER + i])
            return false;
    if (comp & COMPACTED)
        return !(comp & ~COMPACTED & ~vp->fpu.xcr0) && !(bv & ~comp);
    return !(bv & ~vp->fpu.xcr0);
}

static void xrstor_run(struct soft_vp *vp, const struct insn *in)
{
    uint64_t at = xsave_address(vp, in, false), rfbm = request(vp), bv, what;
    uint8_t im[IMAGE_SIZE] = { 0 };
    bool compact, mxcsr;

    mem_read(vp, at, im, image_end(rfbm));
    if (!header_ok(vp, im))
        soft_raise_error(vp, EXC_GP, 0);
    bv = get_le64(im + HEADER);
    compact = get_le64(im + HEADER + 8) & COMPACTED;
    what = rfbm & bv;
    mxcsr = compact ? what & XF_SSE : rfbm & (XF_SSE | XF_AVX);
    if (mxcsr && (get_le32(im + 24) & ~MXCSR_VALID))
        soft_raise_error(vp, EXC_GP, 0);
    if (what & XF_X87)
        get_x87(vp, im, in->rex & 8);
    else if (rfbm & XF_X87)
        init_x87(vp);
    if (rfbm & XF_SSE) {
        if (!(what & XF_SSE))
            memset(im + 160, 0, 256);
        get_xmm(vp, im, n_xmm(vp));
    }
    if (rfbm & XF_AVX) {
        if (!(what & XF_AVX))
            memset(im + AVX_AT, 0, AVX_SIZE);
        get_avx(vp, im, n_xmm(vp));
    }
    if (mxcsr)
        fpu_set_mxcsr(vp, get_le32(im + 24));
    else if (compact && (rfbm & XF_SSE))
        fpu_set_mxcsr(vp, MXCSR_DEFAULT);
}

static const struct helper fxsave_row = { "fxsave", fxsave_run, 0 };
static const struct helper fxrstor_row = { "fxrstor", fxrstor_run, HELPER_ENDS };
static const struct helper ldmxcsr_row = { "ldmxcsr", ldmxcsr_run, HELPER_ENDS };
static const struct helper stmxcsr_row = { "stmxcsr", stmxcsr_run, 0 };
static const struct helper xsave_row = { "xsave", xsave_run, 0 };
static const struct helper xrstor_row = { "xrstor", xrstor_run, HELPER_ENDS };
static const struct helper xsaveopt_row = { "xsaveopt", xsaveopt_run, 0 };
static const struct helper xsavec_row = { "xsavec", xsavec_run, 0 };

const struct helper *xsave_helper(const struct insn *in)
{
    if (in->map != MAP_0F || in->mod == 3 || (in->prefixes & (PFX_66 | PFX_REP | PFX_REPNE)))
        return NULL;
    if (in->prefixes & PFX_VEX) { /* VLDMXCSR, VSTMXCSR */
        if (in->opcode != 0xae || in->vex_l || in->vex_pp || in->vvvv)
            return NULL;
        return (in->reg & 7) == 2 ? &ldmxcsr_row : (in->reg & 7) == 3 ? &stmxcsr_row : NULL;
    }
    if (in->opcode == 0xc7)
        return (in->reg & 7) == 4 ? &xsavec_row : NULL;
    if (in->opcode != 0xae)
        return NULL;
    switch (in->reg & 7) {
    case 0: return &fxsave_row;
    case 1: return &fxrstor_row;
    case 2: return &ldmxcsr_row;
    case 3: return &stmxcsr_row;
    case 4: return &xsave_row;
    case 5: return &xrstor_row;
    case 6: return &xsaveopt_row;
    default: return NULL;
    }
}

/* ---- the image of a saved VP ----------------------------------------------------------------- */

void fpu_get_xsave(struct soft_vp *vp, uint8_t image[4096])
{
    memset(image, 0, 4096);
    put_x87(vp, image, true);
    put_mxcsr(vp, image);
    put_xmm(vp, image, 16);
    put_avx(vp, image, 16);
    put_le64(image + HEADER, XF_X87 | XF_SSE | (vp->fpu.xcr0 & XF_AVX));
}

void fpu_set_xsave(struct soft_vp *vp, const uint8_t image[4096])
{
    static const uint8_t zero[IMAGE_SIZE];
    uint64_t bv = get_le64(image + HEADER);

    if (bv & XF_X87)
        get_x87(vp, image, true);
    else
        init_x87(vp);
    get_xmm(vp, bv & XF_SSE ? image : zero, 16);
    get_avx(vp, bv & XF_AVX ? image : zero, 16);
    fpu_set_mxcsr(vp, get_le32(image + 24) & MXCSR_VALID);
}
