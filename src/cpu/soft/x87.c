/* SPDX-License-Identifier: GPL-2.0-or-later */
/* x87.c - x87 instructions: arithmetic as host instructions, control on the image in memory.
 *
 * FIP, FDP, FOP and the selectors are kept in vp->fpu: the host's would be those of the stub.
 * Source: AMD64 APM volume 5, Intel SDM volume 1 chapter 8. */
#include <string.h>

#include "cpu/soft/fpu_private.h"

enum x87_kind {
    X_NONE,    /* undefined */
    X_LOAD,    /* memory operand read */
    X_STORE,   /* memory operand written */
    X_CONTROL, /* helpers below */
};

struct x87_mem {
    uint8_t kind, size;
};

/* Memory forms by opcode (D8..DF) and ModRM.reg. */
static const struct x87_mem mem_row[8][8] = {
    { { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 },
      { X_LOAD, 4 }, { X_LOAD, 4 } },
    { { X_LOAD, 4 }, { X_NONE, 0 }, { X_STORE, 4 }, { X_STORE, 4 }, { X_CONTROL, 0 },
      { X_CONTROL, 2 }, { X_CONTROL, 0 }, { X_STORE, 2 } },
    { { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 }, { X_LOAD, 4 },
      { X_LOAD, 4 }, { X_LOAD, 4 } },
    { { X_LOAD, 4 }, { X_STORE, 4 }, { X_STORE, 4 }, { X_STORE, 4 }, { X_NONE, 0 },
      { X_LOAD, 10 }, { X_NONE, 0 }, { X_STORE, 10 } },
    { { X_LOAD, 8 }, { X_LOAD, 8 }, { X_LOAD, 8 }, { X_LOAD, 8 }, { X_LOAD, 8 }, { X_LOAD, 8 },
      { X_LOAD, 8 }, { X_LOAD, 8 } },
    { { X_LOAD, 8 }, { X_STORE, 8 }, { X_STORE, 8 }, { X_STORE, 8 }, { X_CONTROL, 0 },
      { X_NONE, 0 }, { X_CONTROL, 0 }, { X_STORE, 2 } },
    { { X_LOAD, 2 }, { X_LOAD, 2 }, { X_LOAD, 2 }, { X_LOAD, 2 }, { X_LOAD, 2 }, { X_LOAD, 2 },
      { X_LOAD, 2 }, { X_LOAD, 2 } },
    { { X_LOAD, 2 }, { X_STORE, 2 }, { X_STORE, 2 }, { X_STORE, 2 }, { X_LOAD, 10 },
      { X_LOAD, 8 }, { X_STORE, 10 }, { X_STORE, 8 } },
};

/* Register forms: which of the 64 second bytes C0..FF exist, one bit each. */
static const uint64_t reg_valid[8] = {
    UINT64_C(0xffffffffffffffff),
    UINT64_C(0xffff7f33ff01ffff), /* FNOP is D0; D8-DF alias FSTP */
    UINT64_C(0x00000200ffffffff), /* FCMOVcc, FUCOMPP */
    UINT64_C(0x00ffff1fffffffff), /* FCMOVNcc, E0-E4, FUCOMI, FCOMI */
    UINT64_C(0xffffffffffffffff),
    UINT64_C(0x0000ffffffffffff),
    UINT64_C(0xffffffff02ffffff), /* FCOMPP is D9 */
    UINT64_C(0x00ffff01ffffffff),
};

static bool is_x87(const struct insn *in)
{
    return in->map == MAP_1 && (in->opcode & 0xf8) == 0xd8 && in->has_modrm &&
           !(in->prefixes & PFX_VEX);
}

static bool pick_mem(const struct insn *in, struct fpu_op *op, struct stub *s)
{
    const struct x87_mem *row = &mem_row[in->opcode & 7][in->reg & 7];
    bool state = (in->opcode & 0xfb) == 0xd9 && (in->reg & 7) == 7; /* FNSTCW, FNSTSW */
    enum stub_place at = row->kind == X_LOAD ? STUB_SRC : STUB_DST;

    if (row->kind != X_LOAD && row->kind != X_STORE)
        return false;
    op->form = row->kind == X_LOAD ? FPU_LOAD : FPU_STORE;
    op->size = row->size;
    op->flags = FPU_X87 | (state ? 0 : FPU_X87_PTR);
    if (stub_rex(s, at))
        stub_byte(s, 0x40 | stub_rex(s, at));
    stub_byte(s, in->opcode);
    stub_modrm(s, in->reg & 7, at);
    return true;
}

static bool pick_reg(const struct insn *in, struct fpu_op *op, struct stub *s)
{
    unsigned modrm = 0xc0 | (in->reg & 7u) << 3 | (in->rm & 7u);

    if (!(reg_valid[in->opcode & 7] >> (modrm & 63) & 1))
        return false;
    if (in->opcode == 0xdb && (modrm & 0xf8) == 0xe0) /* FNCLEX, FNINIT ... */
        return false;
    op->form = FPU_REG;
    op->flags = FPU_X87 | FPU_X87_PTR;
    if (in->opcode == 0xdf && modrm == 0xe0) { /* FNSTSW AX */
        op->flags = FPU_X87;
        op->dst = fpu_off_gpr(RAX);
        stub_byte(s, 0xdd);
        stub_modrm(s, 7, STUB_DST);
        return true;
    }
    if ((in->opcode == 0xda || in->opcode == 0xdb) && modrm < 0xe0) /* FCMOVcc */
        op->flags |= FPU_READS;
    if ((in->opcode == 0xdb || in->opcode == 0xdf) && modrm >= 0xe8) /* F(U)COMI(P) */
        op->flags |= FPU_FLAGS;
    stub_byte(s, in->opcode);
    stub_byte(s, modrm);
    return true;
}

bool x87_pick(const struct insn *in, struct fpu_op *op, struct stub *s)
{
    bool ok;

    if (!is_x87(in))
        return false;
    ok = in->mod == 3 ? pick_reg(in, op, s) : pick_mem(in, op, s);
    if (ok)
        op->fop = (uint16_t)((in->opcode & 7) << 8 | in->bytes[in->opcode_at + 1]);
    return ok;
}

/* ---- control ------------------------------------------------------------------------------------
 */

static void fwait_run(struct soft_vp *vp, const struct insn *in)
{
    if ((vp->cr0 & (CR0_TS | CR0_MP)) == (CR0_TS | CR0_MP))
        soft_raise(vp, EXC_NM);
    fpu_wait(vp);
}

static void fninit_run(struct soft_vp *vp, const struct insn *in)
{
    fpu_check_x87(vp);
    fpu_x87_init(vp);
}

static void fnclex_run(struct soft_vp *vp, const struct insn *in)
{
    fpu_check_x87(vp);
    fpu_sync(vp);
    fpu_fx(vp)->fsw &= 0x7f00;
    fpu_x87_changed(vp);
}

static void fnop_run(struct soft_vp *vp, const struct insn *in) /* FNENI, FNDISI, FNSETPM */
{
    fpu_check_x87(vp);
}

/* FNSTCW and FNSTSW do not wait: no #MF, so not by fpu_load_x87(). */
static void fnst_run(struct soft_vp *vp, const struct insn *in)
{
    uint16_t v;
    uint64_t at;

    fpu_check_x87(vp);
    if (vp->fpu.live && in->opcode == 0xd9)
        __asm__ volatile("fnstcw %0" : "=m"(v));
    else if (vp->fpu.live)
        __asm__ volatile("fnstsw %0" : "=m"(v));
    else
        v = in->opcode == 0xd9 ? fpu_fx(vp)->fcw : fpu_fx(vp)->fsw;
    if (in->mod == 3) {
        insn_set_reg(vp, in, RAX, 2, v);
        return;
    }
    at = insn_address(vp, in, 2, true);
    mem_write16(vp, at, v);
}

static void fldcw_run(struct soft_vp *vp, const struct insn *in)
{
    uint16_t v;

    fpu_check_x87(vp);
    fpu_wait(vp);
    v = mem_read16(vp, insn_address(vp, in, 2, false));
    if (vp->fpu.live && (v & FSW_EXC) == FSW_EXC && !vp->fpu.x87_unmasked) {
        v = (uint16_t)((v & 0x1f7f) | 0x40);
        __asm__ volatile("fldcw %0" : : "m"(v));
        return;
    }
    fpu_sync(vp);
    fpu_fx(vp)->fcw = v;
    fpu_x87_changed(vp);
}

/* The environment has four layouts: 14 or 28 bytes, protected or real. */
struct env {
    uint8_t b[28];
    unsigned size;
};

static bool real_env(const struct soft_vp *vp)
{
    return !(vp->mode & MODE_PROT);
}

/* Two bits a register: 0 valid, 1 zero, 2 special, 3 empty. */
static uint16_t full_tags(const struct fx_image *fx)
{
    unsigned top = fx->fsw >> 11 & 7, tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *r = fx->st[(i - top) & 7];
        uint64_t m = get_le64(r);
        unsigned exp = get_le16(r + 8) & 0x7fff, t = 0;

        if (!(fx->ftw >> i & 1))
            t = 3;
        else if (exp == 0 && m == 0)
            t = 1;
        else if (exp == 0 || exp == 0x7fff || !(m >> 63))
            t = 2;
        tags |= t << i * 2;
    }
    return (uint16_t)tags;
}

static uint8_t short_tags(uint16_t tags)
{
    unsigned v = 0;

    for (unsigned i = 0; i < 8; i++)
        v |= ((tags >> i * 2 & 3) != 3) << i;
    return (uint8_t)v;
}

static void env_get(struct soft_vp *vp, const struct insn *in, struct env *e)
{
    const struct fx_image *fx = fpu_fx(vp);
    const struct soft_fpu *f = &vp->fpu;
    uint16_t tags = full_tags(fx);

    memset(e->b, 0, sizeof(e->b));
    if (in->op_size == 2) {
        e->size = 14;
        put_le16(e->b, fx->fcw);
        put_le16(e->b + 2, fx->fsw);
        put_le16(e->b + 4, tags);
        if (real_env(vp)) {
            uint32_t ip = f->fcs * 16u + (uint32_t)f->fip, dp = f->fds * 16u + (uint32_t)f->fdp;

            put_le16(e->b + 6, (uint16_t)ip);
            put_le16(e->b + 8, (uint16_t)((ip >> 4 & 0xf000) | (f->fop & 0x7ff)));
            put_le16(e->b + 10, (uint16_t)dp);
            put_le16(e->b + 12, (uint16_t)(dp >> 4 & 0xf000));
        } else {
            put_le16(e->b + 6, (uint16_t)f->fip);
            put_le16(e->b + 8, f->fcs);
            put_le16(e->b + 10, (uint16_t)f->fdp);
            put_le16(e->b + 12, f->fds);
        }
        return;
    }
    e->size = 28;
    put_le32(e->b, 0xffff0000u | fx->fcw);
    put_le32(e->b + 4, 0xffff0000u | fx->fsw);
    put_le32(e->b + 8, 0xffff0000u | tags);
    if (real_env(vp)) {
        uint32_t ip = f->fcs * 16u + (uint32_t)f->fip, dp = f->fds * 16u + (uint32_t)f->fdp;

        put_le32(e->b + 12, 0xffff0000u | (ip & 0xffff));
        put_le32(e->b + 16, (ip >> 16) << 12 | (f->fop & 0x7ff));
        put_le32(e->b + 20, 0xffff0000u | (dp & 0xffff));
        put_le32(e->b + 24, (dp >> 16) << 12);
    } else {
        put_le32(e->b + 12, (uint32_t)f->fip);
        put_le32(e->b + 16, (f->fop & 0x7ffu) << 16 | f->fcs);
        put_le32(e->b + 20, (uint32_t)f->fdp);
        put_le32(e->b + 24, 0xffff0000u | f->fds);
    }
}

static void env_set(struct soft_vp *vp, const struct env *e)
{
    struct fx_image *fx = fpu_fx(vp);
    struct soft_fpu *f = &vp->fpu;
    bool real = real_env(vp);

    f->fcs = f->fds = 0;
    if (e->size == 14) {
        fx->fcw = get_le16(e->b);
        fx->fsw = get_le16(e->b + 2);
        fx->ftw = short_tags(get_le16(e->b + 4));
        f->fip = get_le16(e->b + 6);
        f->fdp = get_le16(e->b + 10);
        if (real) {
            f->fip |= (uint64_t)(get_le16(e->b + 8) & 0xf000) << 4;
            f->fop = get_le16(e->b + 8) & 0x7ff;
            f->fdp |= (uint64_t)(get_le16(e->b + 12) & 0xf000) << 4;
        } else {
            f->fcs = get_le16(e->b + 8);
            f->fds = get_le16(e->b + 12);
        }
        return;
    }
    fx->fcw = get_le16(e->b);
    fx->fsw = get_le16(e->b + 4);
    fx->ftw = short_tags(get_le16(e->b + 8));
    if (real) {
        f->fip = get_le16(e->b + 12) | (uint64_t)(get_le32(e->b + 16) >> 12 & 0xffff) << 16;
        f->fop = get_le16(e->b + 16) & 0x7ff;
        f->fdp = get_le16(e->b + 20) | (uint64_t)(get_le32(e->b + 24) >> 12 & 0xffff) << 16;
    } else {
        f->fip = get_le32(e->b + 12);
        f->fcs = get_le16(e->b + 16);
        f->fop = get_le16(e->b + 18) & 0x7ff;
        f->fdp = get_le32(e->b + 20);
        f->fds = get_le16(e->b + 24);
    }
}

/* FNSTENV masks all exceptions; FNSAVE stores the registers, too, and initialises. */
static void fnstenv_run(struct soft_vp *vp, const struct insn *in)
{
    struct fx_image *fx = fpu_fx(vp);
    uint8_t image[28 + 80];
    struct env e;
    bool save = in->opcode == 0xdd;
    unsigned size = in->op_size == 2 ? 14 : 28;
    uint64_t at;

    fpu_check_x87(vp);
    fpu_sync(vp);
    at = insn_address(vp, in, size + (save ? 80 : 0), true);
    env_get(vp, in, &e);
    memcpy(image, e.b, e.size);
    for (unsigned i = 0; i < 8; i++)
        memcpy(image + e.size + i * 10, fx->st[i], 10);
    mem_write(vp, at, image, e.size + (save ? 80 : 0));
    if (save) {
        fpu_x87_init(vp);
        return;
    }
    fx->fcw |= FSW_EXC;
    fpu_x87_changed(vp);
}

/* FLDENV, FRSTOR */
static void fldenv_run(struct soft_vp *vp, const struct insn *in)
{
    uint8_t image[28 + 80];
    struct env e;
    bool restore = in->opcode == 0xdd;
    unsigned n;

    fpu_check_x87(vp);
    fpu_wait(vp);
    e.size = in->op_size == 2 ? 14 : 28;
    n = e.size + (restore ? 80 : 0);
    mem_read(vp, insn_address(vp, in, n, false), image, n);
    fpu_sync(vp);
    memcpy(e.b, image, e.size);
    if (!restore) /* the registers stay where they are */
        fpu_turn(vp, get_le16(e.b + e.size / 7) >> 11 & 7);
    env_set(vp, &e);
    for (unsigned i = 0; restore && i < 8; i++) {
        memset(fpu_fx(vp)->st[i], 0, 16);
        memcpy(fpu_fx(vp)->st[i], image + e.size + i * 10, 10);
    }
    fpu_x87_changed(vp);
}

static const struct helper fwait_row = { "fwait", fwait_run, 0 };
static const struct helper fninit_row = { "fninit", fninit_run, HELPER_ENDS };
static const struct helper fnclex_row = { "fnclex", fnclex_run, HELPER_ENDS };
static const struct helper fnop_row = { "fnop", fnop_run, 0 };
static const struct helper fnst_row = { "fnst", fnst_run, 0 };
static const struct helper fldcw_row = { "fldcw", fldcw_run, HELPER_ENDS };
static const struct helper fnstenv_row = { "fnstenv", fnstenv_run, HELPER_ENDS };
static const struct helper fldenv_row = { "fldenv", fldenv_run, HELPER_ENDS };

static const struct helper *control_reg(const struct insn *in)
{
    unsigned word = (unsigned)in->opcode << 8 | 0xc0 | (in->reg & 7u) << 3 | (in->rm & 7u);

    switch (word) {
    case 0xdbe0:
    case 0xdbe1:
    case 0xdbe4: return &fnop_row;
    case 0xdbe2: return &fnclex_row;
    case 0xdbe3: return &fninit_row;
    case 0xdfe0: return &fnst_row;
    default: return NULL;
    }
}

const struct helper *x87_helper(const struct insn *in)
{
    if (in->map == MAP_1 && in->opcode == 0x9b)
        return &fwait_row;
    if (!is_x87(in))
        return NULL;
    if (in->mod == 3)
        return control_reg(in);
    switch ((unsigned)in->opcode << 4 | (in->reg & 7u)) {
    case 0xd94:
    case 0xdd4: return &fldenv_row;
    case 0xd95: return &fldcw_row;
    case 0xd96:
    case 0xdd6: return &fnstenv_row;
    case 0xd97:
    case 0xdd7: return &fnst_row;
    default: return NULL;
    }
}
