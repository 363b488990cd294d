/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.c - the run loop: events between blocks, faults out of them, and how exits find the next block.
 *
 * Blocks chain by themselves (op_exit_*, op_jump) and come back here for whatever is not straight
 * execution: attention, the clock every SOFT_POLL_INSNS instructions, helpers that end a block, faults.
 * Arithmetic flags are in vp->rflags here and in FLAGS inside blocks. */
#include <errno.h>

#include "cpu/soft/fpu.h"
#include "cpu/soft/jit.h"
#include "cpu/soft/lockstep.h"
#include "cpu/soft/ops.h"
#include "cpu/soft/ops_flow.h"
#include "cpu/soft/sys.h"

#define NO_RETURN (UINT64_C(1) << 63) /* not canonical */

void run_forget_frames(struct soft_vp *vp)
{
    for (unsigned user = 0; user < 2; user++)
        vp->run->frames[user].top = (uintptr_t)&vp->run->frames[user].none[0];
    vp->frames = vp->frames_none;
}

static void take_frames(struct soft_vp *vp, bool user)
{
    struct frames *f = &vp->run->frames[user];

    vp->frames = f->top;
    vp->frames_limit = (uintptr_t)&f->frame[1];
    vp->frames_none = (uintptr_t)&f->none[0];
}

/* A frame holds for the mode that its CALL was executed in. */
static void frames_of_mode(struct soft_vp *vp, uint32_t was)
{
    uint32_t change = vp->mode ^ was;

    if (change & ~(uint32_t)MODE_USER)
        run_forget_frames(vp);
    if (change & MODE_USER) {
        vp->run->frames[!!(was & MODE_USER)].top = vp->frames;
        take_frames(vp, vp->mode & MODE_USER);
    }
}

int run_init(struct soft_vp *vp)
{
    struct run_state *run = aligned_alloc(64, ALIGN_UP(sizeof *run, 64));

    if (!run)
        return -ENOMEM;
    memset(run, 0, sizeof *run);
    if ((uintptr_t)vp->soft->code->arena > UINT32_MAX / 2)
        run->jump_base = vp->soft->code->arena;
    run->seen = CODE_NOBODY;
    for (unsigned i = 0; i < 2 * FRAMES_SEARCH; i++)
        run->frames[i % 2].none[i / 2] = (struct frame){ jit_no_frame(vp->soft->code->jit), NO_RETURN };
    vp->run = run;
    run_forget_frames(vp);
    take_frames(vp, vp->mode & MODE_USER);
    vp->lazy[LAZY_ZERO] = 0;
    run_code_unmapped(vp);
    return 0;
}

void run_done(struct soft_vp *vp)
{
    free(vp->run);
    vp->run = NULL;
}

/* ---- faults ---------------------------------------------------------------------------------- */

static _Noreturn void raise_event(struct soft_vp *vp, struct event e)
{
    vp->event = e;
    vp->event_valid = true;
    _longjmp(vp->unwind, UNWIND_FAULT);
}

void soft_raise(struct soft_vp *vp, uint8_t vector)
{
    raise_event(vp, (struct event){ .vector = vector, .type = EVENT_EXC });
}

void soft_raise_error(struct soft_vp *vp, uint8_t vector, uint32_t error)
{
    raise_event(vp, (struct event){ .vector = vector, .type = EVENT_EXC, .has_error = true,
                                    .error = error });
}

/* ---- modes ----------------------------------------------------------------------------------- */

static bool is_flat(const struct vp_segment *s)
{
    return !s->unusable && s->base == 0 && s->limit == UINT32_MAX;
}

static bool is_flat_data(const struct vp_segment *s)
{
    return is_flat(s) && (s->attr & 14) == 2; /* writable, expand-up */
}

static uint32_t mode_of(const struct soft_vp *vp)
{
    uint32_t mode = fpu_mode(vp);
    bool prot = vp->cr0 & CR0_PE, vm86 = prot && (vp->rflags & F_VM);

    if ((vp->efer & EFER_LMA) && (vp->seg[SEG_CS].attr & 1 << 13))
        mode |= MODE_64 | MODE_STACK32 | MODE_FLAT;
    else if (vp->seg[SEG_CS].attr & 1 << 14)
        mode |= MODE_32;
    if (vp->cpl == 3)
        mode |= MODE_USER;
    if (prot)
        mode |= vm86 ? MODE_VM86 : MODE_PROT;
    if (!(mode & MODE_64)) {
        if (vp->seg[SEG_SS].attr & 1 << 14)
            mode |= MODE_STACK32;
        if (is_flat(&vp->seg[SEG_CS]) && is_flat_data(&vp->seg[SEG_DS]) &&
            is_flat_data(&vp->seg[SEG_ES]) && is_flat_data(&vp->seg[SEG_SS]))
            mode |= MODE_FLAT;
    }
    if (!(vp->cr0 & (CR0_EM | CR0_TS)) && (vp->cr4 & CR4_OSFXSR))
        mode |= MODE_FPU;
    if ((vp->rflags & F_TF) || (vp->dr[7] & 0xff))
        mode |= MODE_STEP;
    if ((vp->cr4 & CR4_OSXSAVE) && (vp->fpu.xcr0 & 6) == 6)
        mode |= MODE_AVX;
    return mode;
}

/* Tags of the fetch table: page, generation (11 bits, not 0), user. */
static void set_fetch_low(struct soft_vp *vp, uint64_t generation)
{
    vp->fetch_low = generation << 1 | (vp->cpl == 3);
}

void soft_mode_changed(struct soft_vp *vp)
{
    uint64_t signature = vp->cr0 ^ vp->cr4 << 32 ^ vp->efer << 20;
    uint32_t was = vp->mode;
    bool code64;

    vp->mode = mode_of(vp);
    code64 = (vp->mode & MODE_SIZE) == MODE_64;
    for (unsigned i = 0; i < SEGS; i++)
        vp->seg_base[i] = code64 && i < SEG_FS ? 0 : vp->seg[i].base;
    mmu_select_set(vp);
    if (!vp->run)
        return;
    frames_of_mode(vp, was);
    set_fetch_low(vp, vp->fetch_low >> 1);
    vp->jump_tag = vp->run->gen << 12 | vp->mode;
    if (vp->run->signature != signature) {
        vp->run->signature = signature;
        run_code_unmapped(vp);
    }
}

void run_code_unmapped(struct soft_vp *vp)
{
    struct run_state *run = vp->run;
    uint64_t generation;

    if (!run)
        return;
    generation = ((vp->fetch_low >> 1) + 1) & 0x7ff;
    if (!generation) {
        memset(run->fetch, 0xff, sizeof run->fetch);
        generation = 1;
    }
    set_fetch_low(vp, generation);
    run_forget_frames(vp);
    if (++run->gen == 1 << 20) {
        memset(run->jump, 0, sizeof run->jump);
        memset(run->jumps, 0, sizeof run->jumps);
        run->gen = 1;
    }
    vp->jump_tag = run->gen << 12 | vp->mode;
}

static void mark_jump(struct jump_marks *m, size_t i)
{
    m->words[i / 64] |= UINT64_C(1) << (i % 64);
    m->any[i / 64 / 64] |= UINT64_C(1) << (i / 64 % 64);
}

/* Forget the targets between 'low' and 'high' among the marked entries. */
static void drop_jumps(struct run_state *run, const struct jump_marks *m, uint64_t low, uint64_t high)
{
    for (unsigned k = 0; k < ARRAY_LEN(m->any); k++) {
        for (uint64_t a = m->any[k]; a; a &= a - 1) {
            unsigned w = k * 64 + (unsigned)__builtin_ctzll(a);

            for (uint64_t b = m->words[w]; b; b &= b - 1) {
                struct jump_entry *j = &run->jump[w * 64 + (unsigned)__builtin_ctzll(b)];

                if (j->pc >= low && j->pc <= high)
                    j->tag = 0;
            }
        }
    }
}

static void clear_marks(struct jump_marks *m)
{
    for (unsigned k = 0; k < ARRAY_LEN(m->any); k++) {
        for (uint64_t a = m->any[k]; a; a &= a - 1)
            m->words[k * 64 + (unsigned)__builtin_ctzll(a)] = 0;
        m->any[k] = 0;
    }
}

/* MOV CR3: a kernel's own code stays where it is.  Costs what was filled since the last time. */
void run_code_switched(struct soft_vp *vp)
{
    struct run_state *run = vp->run;

    if (!run)
        return;
    for (unsigned w = 0; w < ARRAY_LEN(run->fetches[0]); w++) {
        for (uint64_t b = run->fetches[0][w]; b; b &= b - 1)
            run->fetch[w * 64 + (unsigned)__builtin_ctzll(b)].tag = UINT64_MAX;
        run->fetches[0][w] = 0;
    }
    run_forget_frames(vp);
    drop_jumps(run, &run->jumps[0], 0, UINT64_MAX);
    clear_marks(&run->jumps[0]);
}

/* Forget all, if one would return to this page. */
static void drop_frames(struct soft_vp *vp, uint64_t page)
{
    vp->run->frames[!!(vp->mode & MODE_USER)].top = vp->frames;
    for (unsigned user = 0; user < 2; user++) {
        const struct frames *of = &vp->run->frames[user];
        const struct frame *f = (const struct frame *)(uintptr_t)of->top;

        for (; f < of->none; f++) {
            if (f->rip - page < PAGE_SIZE) {
                run_forget_frames(vp);
                return;
            }
        }
    }
}

/* INVLPG */
void run_code_page_unmapped(struct soft_vp *vp, uint64_t va)
{
    struct run_state *run = vp->run;
    struct fetch_slot *f;

    if (!run)
        return;
    f = &run->fetch[fetch_index(va)];
    if ((f->tag ^ va) >> PAGE_SHIFT == 0)
        f->tag = UINT64_MAX;
    va &= ~(PAGE_SIZE - 1);
    drop_frames(vp, va);
    drop_jumps(run, &run->jumps[0], va, va + (PAGE_SIZE - 1));
    drop_jumps(run, &run->jumps[1], va, va + (PAGE_SIZE - 1));
}

/* ---- from block to block --------------------------------------------------------------------- */

/* To the run loop. */
static const struct op *stop_at(struct soft_vp *vp, uint64_t rip)
{
    vp->rip = rip;
    return NULL;
}

/* An exit that has no successor yet: look it up, remember it.  RIP is vp->block_rip already. */
COLD HANDLER(op_unlinked)
{
    struct exit_id from = exit_id(vp->op);
    struct block *b;

    vp->rip = vp->block_rip;
    b = code_lookup(vp, vp->mode);
    if (b != tmp_block(vp->run))
        code_link(vp, &from, b);
    o = b->ops;
    GOTO(o);
}

/* Look the block at vp->rip up, and let the jump cache know it. */
static struct block *look_up(struct soft_vp *vp)
{
    struct run_state *run = vp->run;
    uint64_t pc = linear_pc(vp, vp->rip);
    size_t i = jump_slot(pc), k = fetch_index(pc);
    struct block *b = code_lookup(vp, vp->mode);

    /* Decoding may have let others run, who may have flushed. */
    if (b != tmp_block(run) && run->fetch[k].tag == (pc & ~(PAGE_SIZE - 1)) + vp->fetch_low &&
        (run->fetch[k].page ^ b->key) >> 24 == 0) {
        run->jump[i] = (struct jump_entry){
            pc, vp->jump_tag, (uint32_t)((uintptr_t)b->ops - (uintptr_t)run->jump_base)
        };
        mark_jump(&run->jumps[!(run->fetches[0][k / 64] >> (k % 64) & 1)], i);
    }
    return b;
}

/* To a linear address that the jump cache does not know. */
COLD const struct op *run_jump_slow(struct soft_vp *vp, const struct op *o)
{
    struct block *b;

    if (unlikely(vp->lockstep) && lockstep_stops(vp, NULL))
        return NULL;
    vp->op = NULL;
    if (!(vp->mode & MODE_FLAT) && vp->rip > vp->seg[SEG_CS].limit)
        soft_raise_error(vp, EXC_GP, 0);
    b = look_up(vp);
    vp->block_rip = vp->rip;
    o = b->ops;
    GOTO(o);
}

/* An exit to another page whose link does not hold: it has none, or that page lies elsewhere now; or
 * the fetch table does not know. */
COLD const struct op *run_cross_slow(struct soft_vp *vp, const struct op *o)
{
    struct exit_id from;
    const struct op *to = (const struct op *)(uintptr_t)__atomic_load_n(&o->imm, __ATOMIC_ACQUIRE);
    const struct fetch_slot *f;
    struct block *b;

    if (unlikely(vp->lockstep) && lockstep_stops(vp, o))
        return NULL;
    from = exit_id(o);
    vp->rip = vp->block_rip;
    vp->op = NULL;
    f = code_fetch_slot(vp, linear_pc(vp, vp->rip));
    if (f && (f->page ^ block_of(to)->key) >> 24 == 0)
        GOTO(to);
    b = code_lookup(vp, vp->mode);
    if (b != tmp_block(vp->run))
        code_link(vp, &from, b);
    o = b->ops;
    GOTO(o);
}

/* A return that host code knows no way for: the whole instruction again. */
COLD const struct op *run_return_slow(struct soft_vp *vp, const struct op *o)
{
    bool wide = (vp->mode & MODE_SIZE) == MODE_64;

    vp->gpr[RSP] -= (wide ? 8 : 4) + o->imm;
    if (!wide)
        vp->gpr[RSP] = (uint32_t)vp->gpr[RSP];
    vp->lazy[LAZY_LEFT] += o->n;
    if (unlikely(vp->lockstep))
        return o;
    GOTO(o);
}

HANDLER(op_exit_page)
{
    return take_exit(vp, o);
}

HANDLER(op_exit_cross)
{
    return take_exit_cross(vp, o);
}

HANDLER(op_exit_slow)
{
    vp->lazy[LAZY_LEFT] -= o->n;
    return jump_to(vp, rip_mask(vp, vp->block_rip + (uint64_t)(int64_t)o->disp));
}

HANDLER(op_exit_loop)
{
    vp->lazy[LAZY_LEFT] -= o->n;
    return stop_at(vp, rip_mask(vp, vp->block_rip + (uint64_t)(int64_t)o->disp));
}

/* First of a block whose instruction goes on in a second page: does that page still lie there? */
HANDLER(op_guard)
{
    uint64_t rip = vp->block_rip, off;
    struct fetch_slot *f;

    vp->op = o;
    vp->rip = rip;
    off = PAGE_SIZE - linear_pc(vp, rip) % PAGE_SIZE;
    f = code_fetch_slot(vp, linear_pc(vp, rip + off));
    if (likely(f && f->page == o->imm))
        NEXT;
    vp->op = NULL;
    code_drop(vp, block_of(o));
    return stop_at(vp, rip);
}

/* ---- helpers --------------------------------------------------------------------------------- */

static inline const struct call *call_enter(struct soft_vp *vp, const struct op *o)
{
    vp->op = o;
    vp->rip = rip_mask(vp, vp->block_rip + o->off);
    vp->next_rip = rip_mask(vp, vp->rip + o->len);
    return (const struct call *)(uintptr_t)o->imm;
}

/* Integer helpers keep flags where they are. */
HANDLER(op_core)
{
    const struct call *c = call_enter(vp, o);

    c->helper->run(vp, &c->insn);
    NEXT;
}

HANDLER(op_call)
{
    const struct call *c = call_enter(vp, o);

    flags_to_rflags(vp);
    c->helper->run(vp, &c->insn);
    flags_from_rflags(vp);
    NEXT;
}

/* Neither reads nor writes arithmetic flags. */
HANDLER(op_call_plain)
{
    const struct call *c = call_enter(vp, o);

    c->helper->run(vp, &c->insn);
    NEXT;
}

/* The block may be gone when an ending helper comes back: it left the engine for a while. */
static inline void call_ending(struct soft_vp *vp, const struct op *o)
{
    const struct call *c = call_enter(vp, o);

    vp->lazy[LAZY_LEFT] -= o->n;
    vp->run->insn = c->insn;
    c->helper->run(vp, &vp->run->insn);
}

HANDLER(op_core_end)
{
    bool step = o->flags & OP_STEP;

    call_ending(vp, o);
    if (step)
        return stop_at(vp, vp->next_rip);
    return jump_to(vp, vp->next_rip);
}

/* Nothing of what execute() and deliver_events() look at. */
static inline bool plain(const struct soft_vp *vp)
{
    return !(vp->mode & MODE_STEP) && !vp->shadow && !vp->halted && !vp->step && !vp->debug_hits &&
           !vp->event_valid && !(vp->rflags & F_RF);
}

HANDLER(op_call_end)
{
    bool step = o->flags & OP_STEP;

    flags_to_rflags(vp);
    call_ending(vp, o);
    flags_from_rflags(vp);
    if (unlikely(step || !plain(vp)))
        return stop_at(vp, vp->next_rip);
    return jump_to(vp, vp->next_rip);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void count_insns(struct soft_vp *vp)
{
    int64_t left = (int64_t)vp->lazy[LAZY_LEFT];

    vp->count.insns += (uint64_t)(vp->run->budget - left);
    vp->run->budget = left;
}

static void run_block(struct soft_vp *vp, struct block *b)
{
    const struct op *o = b->ops;

    vp->block_rip = vp->rip;
    vp->run->budget = SOFT_POLL_INSNS;
    vp->lazy[LAZY_LEFT] = SOFT_POLL_INSNS;
    vp->run->running = true;
    flags_from_rflags(vp);
    while (o)
        o = o->run(vp, o);
    flags_to_rflags(vp);
    vp->run->running = false;
    vp->op = NULL;
    count_insns(vp);
}

/* What an instruction left behind that did not come to its end. */
static void unwound(struct soft_vp *vp, bool fault)
{
    const struct op *o = vp->op;

    if (vp->run->running) {
        flags_to_rflags(vp);
        if (o) { /* else a look-up between blocks */
            vp->rip = rip_mask(vp, vp->block_rip + o->off);
            if (!(o->flags & OP_ENDS))
                vp->lazy[LAZY_LEFT] -= (uint64_t)(o->n - 1);
        }
        count_insns(vp);
    }
    vp->run->running = false;
    vp->op = NULL;
    if (fault)
        vp->count.faults[vp->event.vector & 31]++;
}

void run_committed(struct soft_vp *vp)
{
    vp->op = NULL; /* unwound() takes neither address nor flags from the block */
    flags_from_rflags(vp);
}

/* Interrupts, exceptions, traps: until nothing is due.  false: triple fault. */
static bool deliver_events(struct soft_vp *vp)
{
    while (vp->event_valid || ((vp->step || vp->debug_hits) && debug_trap(vp)) ||
           (__atomic_load_n(&vp->attention, __ATOMIC_RELAXED) && event_pick(vp))) {
        if (vp->event.type == EVENT_EXT)
            vp->count.irqs++;
        if (!event_deliver(vp))
            return false;
    }
    return true;
}

static struct block *find_block(struct soft_vp *vp)
{
    uint64_t pc = linear_pc(vp, vp->rip);
    const struct jump_entry *j = &vp->run->jump[jump_slot(pc)];
    struct block *b;

    if (j->pc == pc && j->tag == vp->jump_tag) {
        b = block_of((const struct op *)(void *)(vp->run->jump_base + j->first));
        if (b->key != BLOCK_DEAD)
            return b;
    }
    return look_up(vp);
}

/* One block and what it chains to, or one instruction where events come between instructions. */
static void execute(struct soft_vp *vp)
{
    uint8_t shadow = vp->shadow;

    if (unlikely(vp->dr[7] & 0xff) && debug_code_break(vp, linear_pc(vp, vp->rip))) {
        vp->event = (struct event){ .vector = EXC_DB, .type = EVENT_EXC };
        vp->event_valid = true;
        return;
    }
    vp->rflags &= ~(uint64_t)F_RF;
    vp->step = vp->rflags & F_TF;
    if (!(vp->mode & MODE_FLAT) && vp->rip > vp->seg[SEG_CS].limit)
        soft_raise_error(vp, EXC_GP, 0);
    code_safe_point(vp, vp->soft->code);
    run_block(vp, shadow ? code_lookup(vp, vp->mode | MODE_STEP) : find_block(vp));
    if (shadow && vp->shadow == shadow)
        vp->shadow = 0; /* it held for this one */
}

static void nobody_in_blocks(struct soft_vp *vp)
{
    __atomic_store_n(&vp->run->seen, CODE_NOBODY, __ATOMIC_RELEASE);
}

enum vp_stop run_loop(struct soft_vp *vp)
{
    vp->tlb_in_gs = NULL; /* it may be another thread */
    switch (_setjmp(vp->unwind)) {
    case UNWIND_FAULT: unwound(vp, true); break;
    case UNWIND_RETRY:
        unwound(vp, false);
        run_block(vp, code_single(vp));
        break;
    }
    for (;;) {
        soft_poll(vp); /* first: a timer that the last instruction set may be due by now */
        if (__atomic_load_n(&vp->attention, __ATOMIC_ACQUIRE) && soft_attend(vp)) {
            nobody_in_blocks(vp);
            return lockstep_failed(vp) ? VP_FAILED : VP_KICKED;
        }
        if (vp->mp_state != MP_RUNNING) {
            nobody_in_blocks(vp);
            soft_sleep(vp);
            continue;
        }
        if (!deliver_events(vp)) {
            nobody_in_blocks(vp);
            return VP_SHUTDOWN;
        }
        if (vp->halted) {
            nobody_in_blocks(vp);
            soft_sleep(vp);
        } else {
            execute(vp);
        }
    }
}
