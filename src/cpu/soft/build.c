/* SPDX-License-Identifier: GPL-2.0-or-later */
/* build.c - from instructions to a block's operations.
 *
 * Frequent instructions of flat modes become one or two operations with handlers of their own
 * (emit.c); all others call their helper.  A backward pass then picks handlers that do not keep
 * arithmetic flags where the flags are overwritten before anything can see them: faults see them, too.
 * Called: code.c, with its lock held. */
#include "cpu/soft/build.h"

#include "cpu/soft/fpu.h"
#include "cpu/soft/jit.h"
#include "cpu/soft/ops_flow.h"

static void run_ud(struct soft_vp *vp, const struct insn *in)
{
    soft_raise(vp, EXC_UD);
}

static void run_too_long(struct soft_vp *vp, const struct insn *in)
{
    soft_raise_error(vp, EXC_GP, 0);
}

#define FOLLOW_INSNS_MAX 40 /* behind so many a jump is not followed: what is there may be long */

static const struct helper ud = { "ud", run_ud, HELPER_ENDS };
static const struct helper too_long = { "too long", run_too_long, HELPER_ENDS };

/* ---- which helper ---------------------------------------------------------------------------- */

/* What CPUID does not offer is #UD, or what the encoding was before. */
static bool offered(struct soft_vp *vp, struct insn *in)
{
    const struct soft_features *f = &vp->feature;
    enum { BMI1 = 1 << 3, BMI2 = 1 << 8, ADX = 1 << 19, LZCNT = 1 << 5, POPCNT = 1 << 23,
           MOVBE = 1 << 22, SSE42 = 1 << 20, CX16 = 1 << 13 };

    if (in->prefixes & PFX_VEX) {
        if (!(vp->mode & MODE_PROT))
            return false;
        if (in->map == MAP_0F38 && in->opcode >= 0xf0)
            return f->ebx7 & (in->opcode == 0xf2 || in->opcode == 0xf3 ||
                                      (in->opcode == 0xf7 && !in->vex_pp)
                                  ? BMI1
                                  : BMI2);
        if (in->map == MAP_0F3A && in->opcode == 0xf0)
            return f->ebx7 & BMI2;
        return true;
    }
    if (in->map == MAP_0F && in->prefixes & PFX_REP) {
        switch (in->opcode) {
        case 0xb8: return f->ecx1 & POPCNT;
        case 0xbc:
            if (!(f->ebx7 & BMI1))
                in->prefixes &= (uint8_t)~PFX_REP;
            break;
        case 0xbd:
            if (!(f->ecx81 & LZCNT))
                in->prefixes &= (uint8_t)~PFX_REP;
            break;
        }
    }
    if (in->map == MAP_0F && in->opcode == 0xc7 && in->op_size == 8 && (in->reg & 7) == 1)
        return f->ecx1 & CX16;
    if (in->map == MAP_0F38 && (in->opcode & 0xfe) == 0xf0)
        return f->ecx1 & (in->prefixes & PFX_REPNE ? SSE42 : MOVBE);
    if (in->map == MAP_0F38 && in->opcode == 0xf6)
        return f->ebx7 & ADX;
    return true;
}

static const struct helper *row_of(struct soft_vp *vp, struct insn *in, uint32_t mode, bool *core)
{
    const struct helper *h = NULL;

    *core = false;
    if (!offered(vp, in))
        return &ud;
    if (!(in->map == MAP_1 && in->opcode == 0x63 && (mode & MODE_SIZE) != MODE_64)) {
        h = core_helper(in);
        *core = h;
    }
    if (!h)
        h = sys_helper(in);
    if (!h)
        h = fpu_helper(in);
    if (!h || ((in->prefixes & PFX_LOCK) && (!(h->flags & HELPER_LOCK) || in->mod == 3))) {
        *core = false;
        return &ud;
    }
    return h;
}

/* ---- emission -------------------------------------------------------------------------------- */

struct op *build_op(struct build *b, op_fn *run)
{
    struct op *o = &b->block->ops[b->n_ops];

    *o = (struct op){ .run = run, .off = b->off, .idx = (uint16_t)b->n_ops, .len = b->len,
                      .n = b->n_insns };
    b->note[b->n_ops] = (struct note){ 0 };
    b->n_ops++;
    return o;
}

/* An exit to block_rip + disp. */
struct op *build_exit(struct build *b, op_fn *run, int64_t disp)
{
    struct op *o = build_op(b, run);

    o->flags |= OP_EXIT;
    o->site = (uint8_t)b->n_exits++;
    o->disp = (int32_t)disp;
    o->imm = (uintptr_t)b->unlinked;
    b->note[o->idx].reads = true;
    return o;
}

/* Straight on, or by a direct branch, to block_rip + disp, out of the block. */
void build_leave(struct build *b, int64_t disp)
{
    uint64_t off = b->page_off + (uint64_t)disp;

    if (b->mode & MODE_STEP)
        build_exit(b, op_exit_loop, disp);
    else if (!(b->mode & MODE_FLAT))
        build_exit(b, op_exit_slow, disp);
    else if (off < PAGE_SIZE && !b->crosses)
        build_exit(b, op_exit_page, disp);
    else
        build_exit(b, op_exit_cross, disp);
    b->ended = true;
}

void build_return(struct build *b)
{
    if (b->page_off + (uint64_t)b->off + b->len < PAGE_SIZE && !b->crosses && b->mode & MODE_FLAT)
        build_exit(b, op_exit_page, b->off + b->len);
}

/* Is the byte at 'disp' in the block already? */
static bool has_byte(const struct build *b, int64_t disp)
{
    for (unsigned i = 0; i < b->n_pieces; i++)
        if (disp >= b->piece[i].from && disp < b->piece[i].to)
            return true;
    return false;
}

void build_jump(struct build *b, int64_t disp)
{
    if (b->page_off + (uint64_t)disp >= PAGE_SIZE || b->crosses || !(b->mode & MODE_FLAT) ||
        b->mode & MODE_STEP || b->n_pieces == BLOCK_PIECES_MAX || b->n_insns >= FOLLOW_INSNS_MAX ||
        b->straight || has_byte(b, disp)) {
        build_leave(b, disp);
        return;
    }
    b->next = (int16_t)disp;
    b->block->back |= disp < b->off;
    b->piece[b->n_pieces++] = (struct piece){ b->next, b->next };
}

/* SSE, MMX, x87: the helper is the slow way only, or not needed at all. */
static void take_handler(struct build *b, struct op *o, const struct insn *in)
{
    struct note *n = &b->note[o->idx];
    struct fpu_traits traits;
    const void *run = fpu_handler(b->vp, in, b->mode, (const void *)(uintptr_t)o->run, &traits);
    int64_t disp = in->disp + (in->base == INSN_RIP ? b->off + in->len : 0);

    if (!run || disp != (int32_t)disp)
        return;
    o->run = (op_fn *)(uintptr_t)run;
    o->disp = (int32_t)disp;
    o->b = in->base == INSN_RIP ? W_RIP : in->base < GPRS ? in->base : W_ZERO;
    o->x = in->index < GPRS ? in->index : W_ZERO;
    o->s = in->scale;
    *n = (struct note){ .faults = traits.faults, .call = traits.faults, .reads = traits.reads,
                        .kills = traits.kills };
    if (!traits.faults)
        b->n_calls--;
}

static void emit_call(struct build *b, const struct insn *in)
{
    struct insn copy = *in;
    struct op *o;
    bool core, ends;

    struct call *c = &b->calls[b->n_calls];
    c->helper = b->decoded == DECODE_OK     ? row_of(b->vp, &copy, b->mode, &core)
                : b->decoded == DECODE_LONG ? &too_long
                                            : &ud;
    if (b->decoded != DECODE_OK)
        core = false;
    c->insn = copy;
    ends = c->helper->flags & HELPER_ENDS;
    if (core)
        o = build_op(b, ends ? op_core_end : op_core);
    else
        o = build_op(b, ends                                                         ? op_call_end
                        : c->helper->flags & (HELPER_READS | HELPER_WRITES) ? op_call
                                                                            : op_call_plain);
    o->imm = b->n_calls++;
    b->note[o->idx] = (struct note){ .faults = true, .call = true };
    if (!core && !ends && !(b->mode & MODE_STEP))
        take_handler(b, o, &copy);
    if (ends)
        o->flags |= OP_ENDS;
    if (b->mode & MODE_STEP)
        o->flags |= OP_STEP;
    b->ended |= ends;
}

/* ---- the passes ------------------------------------------------------------------------------ */

static void drop_dead_flags(struct build *b)
{
    bool live = true;

    for (unsigned i = b->n_ops; i-- > 0;) {
        struct note *n = &b->note[i];

        if (n->quiet && !live)
            b->block->ops[i].run = n->quiet;
        else if (n->reads_if_loud)
            live = true;
        if (n->kills)
            live = false;
        if (n->faults || n->reads)
            live = true;
    }
}

/* The calls' data goes behind the operations. */
static void place_calls(struct build *b)
{
    struct call *to = (struct call *)(void *)&b->block->ops[b->n_ops];

    memcpy(to, b->calls, b->n_calls * sizeof *to);
    for (unsigned i = 0; i < b->n_ops; i++)
        if (b->note[i].call)
            b->block->ops[i].imm = (uintptr_t)&to[b->block->ops[i].imm];
    b->block->size = (uint32_t)ALIGN_UP((size_t)((char *)(to + b->n_calls) - (char *)b->block), 64);
}

/* And those the instructions, for who translates them, and what becomes of the exits then. */
static void place_bytes(const struct build *b)
{
    struct block *block = b->block;
    struct block_bytes *to = (struct block_bytes *)(void *)((char *)block + block->size);

    to->n = b->n_code;
    memcpy(to->code, b->code, b->n_code);
    block->bytes = (uint16_t)block->size;
    memset(block_sites(block), 0, b->n_exits * sizeof(struct jit_site));
    block->size = (uint32_t)ALIGN_UP(block_sites_at(block) + b->n_exits * sizeof(struct jit_site), 64u);
}

static void place_pieces(const struct build *b)
{
    int from = 0, to = 1;

    for (unsigned i = 0; i < b->n_pieces; i++) {
        from = MIN(from, b->piece[i].from);
        to = MAX(to, b->piece[i].to);
    }
    b->block->low = (int16_t)from;
    b->block->len = (uint16_t)(to - from);
}

/* The instruction at b->off is in. */
static void take_bytes(struct build *b, const struct insn *in)
{
    memcpy(b->code + b->n_code, in->bytes, in->len);
    b->n_code = (uint16_t)(b->n_code + in->len);
    b->piece[b->n_pieces - 1].to = (int16_t)(b->off + in->len);
}

void block_build(struct soft_vp *vp, struct block *block, const struct code_bytes *from, gpa_t page2)
{
    const struct jit *jit = vp->soft->code->jit;
    struct build b; /* too large to be cleared each time */
    struct insn in;
    bool tiered;

    b.vp = vp;
    b.block = block;
    b.unlinked = vp->soft->code->unlinked;
    b.mode = (uint32_t)block->key & 0xfff;
    b.page_off = (block->key >> 12) % PAGE_SIZE;
    b.off = b.len = b.n_insns = 0;
    b.n_ops = b.n_calls = b.n_exits = 0;
    b.n_pieces = 1;
    b.piece[0] = (struct piece){ 0, 0 };
    b.n_code = 0;
    b.crosses = from->crosses;
    b.straight = from->straight;
    b.ended = false;

    block->page2 = page2;
    block->in = 0;
    block->page_next[0] = block->page_next[1] = NULL;
    block->bytes = 0;
    block->back = false;
    block->native = jit ? jit_not_native(jit) : NULL;
    tiered = jit && (b.mode & MODE_FLAT) && (b.mode & MODE_SIZE) != MODE_16 &&
             !(b.mode & MODE_STEP) && !b.crosses;
    if (page2.v != UINT64_MAX)
        build_op(&b, op_guard)->imm = block_key(page2, 0);
    else if (tiered)
        build_op(&b, op_tier)->imm = jit_threshold(jit);
    while (!b.ended) {
        if (b.n_insns == (b.mode & MODE_STEP ? 1 : BLOCK_INSNS_MAX) ||
            (b.crosses && b.n_insns) || b.n_ops > BLOCK_OPS_MAX - 8 ||
            (b.n_pieces > 1 && has_byte(&b, b.off))) {
            build_leave(&b, b.off);
            break;
        }
        b.decoded = decode(from->p + b.off, from->n - (size_t)b.off, b.mode & MODE_SIZE, &in);
        if (b.decoded == DECODE_MORE) {
            if (b.n_insns) { /* it crosses: a block of its own */
                build_leave(&b, b.off);
                break;
            }
            b.decoded = DECODE_UD; /* cannot be: code.c gives enough */
        }
        b.len = in.len;
        b.n_insns++;
        b.next = (int16_t)(b.off + in.len);
        take_bytes(&b, &in);
        if (b.decoded != DECODE_OK || (b.mode & MODE_STEP) || !emit_fast(&b, &in)) {
            emit_call(&b, &in);
            if (tiered && jit_knows(vp, &in, b.mode) == b.ended) {
                if (b.ended) /* host code goes on */
                    build_leave(&b, b.off + in.len);
                else
                    build_op(&b, op_resume);
            }
        }
        b.off = b.next;
    }
    vp->count.insns_decoded += b.n_insns;
    place_pieces(&b);
    block->n_ops = (uint8_t)b.n_ops;
    drop_dead_flags(&b);
    place_calls(&b);
    if (tiered)
        place_bytes(&b);
}

bool block_next(struct block_walk *w)
{
    if (w->at >= w->bytes->n ||
        decode(w->bytes->code + w->at, w->bytes->n - w->at, w->mode & MODE_SIZE, &w->in) != DECODE_OK)
        return false;
    w->at += w->in.len;
    w->off = w->next;
    w->next += w->in.len;
    if (w->in.map == MAP_1 && (w->in.opcode == 0xe9 || w->in.opcode == 0xeb))
        w->next += (int)w->in.imm; /* followed, or the last */
    return true;
}
