/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep.c - one step of the lock-step mode: host code, then the interpreter, then the comparison.
 *
 * Host code comes back here wherever it leaves (jit.c builds its common code so).  The interpreter runs
 * pieces of the same block, built for it (and kept a while) so that they end where host code stopped, at
 * the latest.  Host code's branches within the block are exits of them, and the next piece begins there.
 * At each end of a piece at the right address the states are compared; the first that is equal ends the
 * step: loops pass that address more than once.
 * Not compared: RDTSC (the interpreter's in this mode), STI's shadow, counts of instructions.
 * Called: op_lockstep in place of host code; run.c. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/log.h"
#include "cpu/soft/lockstep_private.h"
#include "cpu/soft/ops_flow.h"
#include "cpu/soft/soft.h"

#define TURNS    200       /* instructions of loops that host code may run in one step */
#define PASSES   (TURNS + 3 * BLOCK_INSNS_MAX) /* stops of the interpreter in one step: not fewer */
#define AMPLE    (1 << 20) /* instructions: nobody looks at the clock within a step */
#define NO_JUMPS UINT32_MAX /* as vp->jump_tag: no mode has these bits */
#define LF_ALL   (LF_CF | LF_PF | LF_AF | LF_ZF | LF_SF | LF_OF)

/* ---- states ---------------------------------------------------------------------------------- */

static void take(struct soft_vp *vp, struct lock_state *s)
{
    memcpy(s->gpr, vp->gpr, sizeof s->gpr);
    memcpy(s->lazy, vp->lazy, sizeof s->lazy);
    memcpy(s->seg, vp->seg, sizeof s->seg);
    memcpy(s->seg_base, vp->seg_base, sizeof s->seg_base);
    memcpy(s->ymm, vp->fpu.ymm, sizeof s->ymm);
    s->rip = vp->rip;
    s->block_rip = vp->block_rip;
    s->next_rip = vp->next_rip;
    s->rflags = vp->rflags;
    s->cr2 = vp->cr2;
    s->kernel_gs = vp->msrs.kernel_gs_base;
    s->event = vp->event;
    s->event_valid = vp->event_valid;
    s->shadow = vp->shadow;
    s->fop = vp->fpu.fop;
    s->fcs = vp->fpu.fcs;
    s->fds = vp->fpu.fds;
    s->fip = vp->fpu.fip;
    s->fdp = vp->fpu.fdp;
    s->next_fdp = vp->fpu.next_fdp;
    s->mxcsr = vp->fpu.mxcsr;
    s->live = vp->fpu.live;
    if (s->live)
        __asm__ volatile("fxsave64 %0" : "=m"(s->x87));
    __asm__ volatile("stmxcsr %0" : "=m"(s->host_mxcsr));
}

static void put(struct soft_vp *vp, const struct lock_state *s)
{
    memcpy(vp->gpr, s->gpr, sizeof s->gpr);
    memcpy(vp->lazy, s->lazy, sizeof s->lazy);
    memcpy(vp->seg, s->seg, sizeof s->seg);
    memcpy(vp->seg_base, s->seg_base, sizeof s->seg_base);
    memcpy(vp->fpu.ymm, s->ymm, sizeof s->ymm);
    vp->rip = s->rip;
    vp->block_rip = s->block_rip;
    vp->next_rip = s->next_rip;
    vp->rflags = s->rflags;
    vp->cr2 = s->cr2;
    vp->msrs.kernel_gs_base = s->kernel_gs;
    vp->event = s->event;
    vp->event_valid = s->event_valid;
    vp->shadow = s->shadow;
    vp->fpu.fop = s->fop;
    vp->fpu.fcs = s->fcs;
    vp->fpu.fds = s->fds;
    vp->fpu.fip = s->fip;
    vp->fpu.fdp = s->fdp;
    vp->fpu.next_fdp = s->next_fdp;
    vp->fpu.mxcsr = s->mxcsr;
    vp->fpu.live = s->live;
    if (s->live) /* the compiler keeps nothing in XMM registers across it */
        __asm__ volatile("fxrstor64 %0" : : "m"(s->x87)
                         : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                           "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
    __asm__ volatile("ldmxcsr %0" : : "m"(s->host_mxcsr));
}

/* Control, status and tag words; registers, of which FXSAVE writes ten bytes each. */
static bool x87_differs(const struct lock_state *a, const struct lock_state *b)
{
    if (memcmp(a->x87, b->x87, 5) != 0)
        return true;
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a->x87 + 32 + i * 16, b->x87 + 32 + i * 16, 10) != 0)
            return true;
    return false;
}

const char *lock_differs(const struct lock_state *a, const struct lock_state *b, unsigned undefined)
{
    uint64_t flags = LF_ALL & ~(uint64_t)((undefined & 0xff) << 8 | undefined >> 11);

    if (memcmp(a->gpr, b->gpr, sizeof a->gpr) != 0)
        return "general registers";
    if ((a->lazy[LAZY_FLAGS] ^ b->lazy[LAZY_FLAGS]) & flags)
        return "arithmetic flags";
    if ((a->rflags ^ b->rflags) & ~(uint64_t)(F_ARITH | F_RF))
        return "flags";
    if (memcmp(a->ymm, b->ymm, sizeof a->ymm) != 0)
        return "vector registers";
    if ((a->host_mxcsr ^ b->host_mxcsr) & 0xffff || a->mxcsr != b->mxcsr)
        return "MXCSR";
    if (a->live != b->live || (a->live && x87_differs(a, b)))
        return "x87 state";
    if (a->fop != b->fop || a->fcs != b->fcs || a->fds != b->fds || a->fip != b->fip || a->fdp != b->fdp)
        return "x87 pointers";
    if (memcmp(a->seg_base, b->seg_base, sizeof a->seg_base) != 0 || a->kernel_gs != b->kernel_gs ||
        memcmp(a->seg, b->seg, sizeof a->seg) != 0)
        return "segments";
    return NULL;
}

/* ---- the interpreter's way ------------------------------------------------------------------- */

static const struct op *stopped(struct soft_vp *vp, enum lock_stop how, const struct op *o)
{
    vp->lockstep->stop = (uint8_t)how;
    vp->lockstep->at = o;
    return NULL;
}

static HANDLER(op_stop_exit)
{
    return stopped(vp, LOCK_EXIT, vp->op);
}

static HANDLER(op_stop_end)
{
    vp->rip = rip_mask(vp, vp->block_rip + o->off);
    return stopped(vp, LOCK_END, o);
}

bool lockstep_stops(struct soft_vp *vp, const struct op *o)
{
    if (!vp->lockstep->inside)
        return false;
    if (o)
        vp->rip = vp->block_rip;
    stopped(vp, LOCK_SLOW, o);
    return true;
}

static bool is_helper(const struct op *o)
{
    return o->run == op_core || o->run == op_call || o->run == op_call_plain || o->run == op_core_end ||
           o->run == op_call_end;
}

/* Where operations lead that would leave the piece or, the second time, must not run. */
static void set_stops(struct soft_vp *vp, struct block *b)
{
    struct lockstep *l = vp->lockstep;

    for (unsigned i = 0; i < b->n_ops; i++) {
        struct op *o = &b->ops[i];

        if (o->flags & OP_EXIT)
            o->imm = (uintptr_t)l->exit;
        if (o->run == op_tier)
            o->run = op_resume;
        if (!is_helper(o))
            continue;
        if (o->flags & OP_ENDS)
            o->flags |= OP_STEP; /* does not jump on */
        if (l->again && !jit_knows(vp, &((const struct call *)(uintptr_t)o->imm)->insn, vp->mode))
            o->run = op_stop_end;
    }
}

/* The instructions of block 'b' from 'off' on, to the next jump that it follows or to where host code
 * stopped; false: none begins there. */
static bool find_piece(const struct lockstep *l, const struct block *b, int off, struct code_bytes *ret)
{
    struct block_walk w = { .bytes = block_bytes(b), .mode = (uint32_t)l->key & 0xfff };
    unsigned begin, end;

    do {
        if (!block_next(&w))
            return false;
    } while (w.off != off);
    begin = w.at - w.in.len;
    do
        end = w.at;
    while (w.next == w.off + w.in.len && !(l->host_side && w.next == l->end->off) && block_next(&w));
    *ret = (struct code_bytes){ .p = w.bytes->code + begin, .n = end - begin, .straight = true };
    return true;
}

/* Such a piece as a block: whatever host code does within block 'b', the interpreter leaves it by an exit
 * here, and where host code stopped it stops, with all flags.  NULL: there is none. */
static struct block *piece(struct soft_vp *vp, const struct block *b, int off)
{
    struct lockstep *l = vp->lockstep;
    const struct block_bytes *code = block_bytes(b);
    uint64_t key = l->key + ((uint64_t)(int64_t)off << 12);
    int stop = l->host_side ? l->end->off : INT_MAX;
    size_t slot = (uint32_t)((key >> 12) + (unsigned)stop * 67) * JUMP_FACTOR >> (32 - LOCK_PIECE_BITS);
    struct lock_piece *p = l->again ? &l->scratch : &l->pieces[slot];
    struct block *is = (struct block *)(void *)p->room;
    struct code_bytes from;

    if (!l->again && p->stop == stop && is->key == key && p->n == code->n &&
        memcmp(p->code, code->code, code->n) == 0)
        return is;
    if (!find_piece(l, b, off, &from))
        return NULL;
    p->stop = stop;
    p->n = code->n;
    memcpy(p->code, code->code, code->n);
    is->key = key;
    block_build(vp, is, &from, GPA(UINT64_MAX));
    set_stops(vp, is);
    return is;
}

/* The instructions of the piece that ran. */
static void note_undefined(struct soft_vp *vp, const struct block *is)
{
    struct lockstep *l = vp->lockstep;
    const struct op *at = l->stop == LOCK_LOOP ? vp->op : l->at;
    int end = at && at->flags & OP_EXIT ? at->off + at->len : is->len;
    struct block_walk w = { .bytes = block_bytes(is), .mode = vp->mode };

    while (w.next < end && block_next(&w)) {
        if (l->undefined && w.in.map == MAP_1 && (w.in.opcode == 0x9c || w.in.opcode == 0x9f))
            l->spread = true; /* PUSHF, LAHF */
        l->undefined = lock_undefined(vp, &w.in, l->undefined);
    }
}

/* Undefined flags were stored: where values differ by nothing but flags they may be these. */
static bool same_but_flags(const struct lockstep *l)
{
    struct lock_state ref = l->ref;

    for (unsigned i = 0; i < GPRS; i++)
        if (!((ref.gpr[i] ^ l->host.gpr[i]) & ~(uint64_t)F_ARITH))
            ref.gpr[i] = l->host.gpr[i];
    return !lock_differs(&l->host, &ref, l->undefined) && lock_mem_same(l, F_ARITH);
}

/* Is this host code's state?  'ref' keeps the one that should have been: as far on by the count of
 * instructions, which differs a little between the two where loops begin. */
static bool same(struct soft_vp *vp)
{
    struct lockstep *l = vp->lockstep;
    int64_t done = AMPLE - (int64_t)vp->lazy[LAZY_LEFT], want = TURNS - (int64_t)l->host.lazy[LAZY_LEFT];
    int64_t distance = done < want ? want - done : done - want;

    if (memcmp(vp->gpr, l->host.gpr, sizeof vp->gpr) != 0 && (!l->again || distance > l->distance))
        return false;
    take(vp, &l->ref);
    l->distance = distance;
    if (l->spread)
        return same_but_flags(l);
    return !lock_differs(&l->host, &l->ref, l->undefined) && lock_mem_same(l, 0);
}

/* The interpreter from 'entry' on; true: it came to a state that is host code's. */
static bool follow(struct soft_vp *vp)
{
    struct lockstep *l = vp->lockstep;
    const struct block *b = block_of(l->entry), *is;
    int64_t off = l->entry->idx ? l->entry->off + l->entry->len : 0;

    vp->jump_tag = NO_JUMPS;
    vp->lazy[LAZY_LEFT] = AMPLE;
    l->distance = INT64_MAX;
    l->undefined = 0;
    l->spread = false;
    if (l->host_side && off == l->end->off && same(vp))
        return true;
    if (!piece(vp, b, (int)off)) { /* behind the block's last: there is but its exit */
        vp->rip = rip_mask(vp, l->before.block_rip + (uint64_t)off);
        l->stop = LOCK_EXIT;
        return vp->rip == l->host_rip && same(vp);
    }
    for (unsigned i = 0; i < PASSES && off == (int16_t)off && (is = piece(vp, b, (int)off)); i++) {
        const struct op *o = is->ops;

        vp->block_rip = rip_mask(vp, l->before.block_rip + (uint64_t)off);
        vp->op = NULL;
        l->stop = LOCK_LOOP;
        while (o)
            o = o->run(vp, o);
        if (l->stop == LOCK_EXIT)
            vp->rip = rip_mask(vp, vp->block_rip);
        if (l->again)
            note_undefined(vp, is);
        if (vp->rip == l->host_rip && same(vp))
            return true;
        if (l->stop == LOCK_END)
            return false;
        off = (int64_t)(vp->rip - l->before.block_rip);
    }
    return false;
}

/* follow(), with what it may raise: 0 or the value for the run loop's setjmp in *ret_raised. */
static bool reference(struct soft_vp *vp, int *ret_raised)
{
    struct lockstep *l = vp->lockstep;
    uint32_t jump_tag = vp->jump_tag;
    volatile bool ok = false;

    l->inside = true;
    memcpy(&l->unwind, &vp->unwind, sizeof l->unwind);
    *ret_raised = _setjmp(vp->unwind);
    if (*ret_raised == 0)
        ok = follow(vp);
    memcpy(&vp->unwind, &l->unwind, sizeof l->unwind);
    vp->tlb = vp->tlb == &l->on_real.tlb || vp->tlb == &l->on_copies.tlb ? l->tlb : vp->tlb;
    if (vp->jump_tag == NO_JUMPS)
        vp->jump_tag = jump_tag;
    l->inside = false;
    return ok;
}

/* ---- life ------------------------------------------------------------------------------------ */

int lockstep_init(struct soft_vp *vp)
{
    struct block *nowhere;
    struct lockstep *l;

    if (vp->soft->part.cfg.soft_mode != SOFT_LOCKSTEP)
        return 0;
    /* Large, and most of it never touched. */
    l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (l == MAP_FAILED)
        return -errno;
    lock_mem_init(l);
    nowhere = (struct block *)(void *)l->nowhere;
    nowhere->key = BLOCK_DEAD; /* on no page: no exit between pages takes it for the right one */
    l->exit = nowhere->ops;
    l->exit->run = op_stop_exit;
    vp->lockstep = l;
    vp->mmu->missed = lock_mem_missed;
    return 0;
}

void lockstep_done(struct soft_vp *vp)
{
    if (vp->lockstep && vp->count.steps)
        log_info("lock-step: VP %u: %llu pieces compared, %llu more disturbed", vp->vp.index,
                 (unsigned long long)(vp->count.steps - vp->count.steps_disturbed),
                 (unsigned long long)vp->count.steps_disturbed);
    if (vp->lockstep)
        munmap(vp->lockstep, sizeof *vp->lockstep);
    vp->lockstep = NULL;
}

bool lockstep_failed(const struct soft_vp *vp)
{
    return vp->lockstep && vp->lockstep->failed;
}

/* ---- a step ---------------------------------------------------------------------------------- */

static void run_host_code(struct soft_vp *vp, const struct op *o)
{
    struct lockstep *l = vp->lockstep;
    op_fn *enter = (op_fn *)(uintptr_t)jit_entry(vp->soft->code->jit, o);
    const struct op *end;

    lock_mem_begin(l);
    l->tlb = vp->tlb;
    vp->tlb = &l->on_copies.tlb;
    mmu_forget_taken(vp);
    run_forget_frames(vp); /* they lead into other blocks */
    vp->lazy[LAZY_LEFT] = TURNS;
    end = enter(vp, o);
    l->end = end;
    l->host_side = end && end->idx;
    l->host_rip = !end ? vp->rip : rip_mask(vp, vp->block_rip + (uint64_t)(int64_t)(end->idx ? end->off : 0));
    take(vp, &l->host);
    vp->tlb = l->tlb;
    mmu_forget_taken(vp);
}

/* The interpreter did not come to host code's state.  Is it host code's fault?  The copies decide. */
static bool is_fault(struct soft_vp *vp)
{
    struct lockstep *l = vp->lockstep;
    struct lock_state *after = &l->after;
    const struct op *op = vp->op;
    int raised;
    bool ok;

    if (vp->soft->code->region != l->region)
        return false; /* others ran while the interpreter waited, and the block may be gone */
    take(vp, after);
    put(vp, &l->before);
    lock_mem_again(l);
    l->again = true;
    vp->tlb = &l->on_copies.tlb;
    ok = reference(vp, &raised);
    if (!ok)
        lock_show(vp, raised);
    l->again = false;
    put(vp, after);
    vp->op = op;
    return !ok;
}

static void fail(struct soft_vp *vp)
{
    vp->lockstep->failed = true;
    snprintf(vp->vp.death, sizeof vp->vp.death, "lock-step: host code of the block at %#llx differs",
             (unsigned long long)vp->lockstep->before.block_rip);
    soft_notify(vp, ATT_KICK);
}

/* Behind the step. */
static const struct op *go_on(struct soft_vp *vp)
{
    struct lockstep *l = vp->lockstep;

    if (l->host_side) { /* the interpreter's operation in the block itself */
        vp->block_rip = l->host.block_rip;
        vp->op = l->end;
        return l->end;
    }
    vp->op = NULL;
    return l->stop == LOCK_LOOP ? NULL : jump_to(vp, vp->rip);
}

HANDLER(op_lockstep)
{
    struct lockstep *l = vp->lockstep;
    int64_t left = (int64_t)vp->lazy[LAZY_LEFT];
    int raised;
    bool ok;

    if (l->inside) { /* the interpreter came in by a way without a stop */
        vp->rip = vp->block_rip;
        return NULL;
    }
    l->entry = o;
    l->key = __atomic_load_n(&block_of(o)->key, __ATOMIC_ACQUIRE);
    if (l->key == BLOCK_DEAD) /* another VP has patched it; where in its page it was is enough */
        l->key = block_key(GPA(vp->block_rip % PAGE_SIZE), vp->mode);
    l->region = vp->soft->code->region;
    take(vp, &l->before);
    run_host_code(vp, o);
    put(vp, &l->before);
    vp->tlb = &l->on_real.tlb;
    ok = reference(vp, &raised);
    vp->lazy[LAZY_LEFT] = (uint64_t)(left - (AMPLE - (int64_t)vp->lazy[LAZY_LEFT]));
    vp->count.steps++;
    if (ok) {
        o = go_on(vp);
        if (!o)
            return NULL;
        GOTO(o);
    }
    if (raised && vp->op) { /* the run loop wants to know it; the piece may change */
        l->raised = *vp->op;
        vp->op = &l->raised;
    }
    if (is_fault(vp))
        fail(vp);
    else if (!l->undefined)
        vp->count.steps_disturbed++;
    if (raised)
        _longjmp(vp->unwind, raised);
    return NULL;
}
