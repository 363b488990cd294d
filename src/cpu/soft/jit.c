/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit.c - translation of one block, and the code that all translated blocks share.
 *
 * One pass over the instructions, each by its emit function; then the taken sides of branches, then the
 * ways out to the interpreter.  Memory is mapped twice, so no page is writable and executable.
 * Called: code.c. */
#include <asm/hwcap2.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "cpu/soft/jit_private.h"
#include "cpu/soft/lockstep.h"
#include "cpu/soft/mmu.h"
#include "cpu/soft/ops_flow.h"

#define JIT_SIZE    (CODE_REGIONS * JIT_REGION_SIZE)
#define COMMON_SIZE 16384 /* at the start of region 0 */
#define JIT_PIECE   (128 * KIB) /* comes from the host at once */
#define JIT_AROUND  (64 * KIB)  /* and this with each page that is read */
#define BLOCK_ROOM  (24 * 1024) /* host code of any one block is less */

/* ---- common code ----------------------------------------------------------------------------- */

static const uint8_t saved[] = { H_RBX, H_RBP, H_R12, H_R13, H_R14, H_R15 };

void jit_push(struct asm_buf *a, unsigned reg)
{
    if (reg >= 8)
        asm_8(a, 0x41);
    asm_8(a, 0x50 | (reg & 7));
}
void jit_pop(struct asm_buf *a, unsigned reg)
{
    if (reg >= 8)
        asm_8(a, 0x41);
    asm_8(a, 0x58 | (reg & 7));
}

static void move_all(struct asm_buf *a, unsigned opc)
{
    for (unsigned g = 0; g < GPRS; g++)
        if (host_of(g) != H_NONE)
            asm_op(a, opc | OPC_W, host_of(g), slot_of(g), 0);
}

enum { MOVAPS_LOAD = 0x28, MOVAPS_STORE = 0x29 };

static void move_vectors(struct asm_buf *a, unsigned opc, bool ymm)
{
    for (unsigned i = 0; i < 16; i++) {
        struct host_rm m = rm_mem(H_RBP, VP_AT(fpu.ymm) + (int)i * 32);

        if (ymm)
            asm_vex(a, 1, 0, 0, 1, opc, i, 0, m, 0);
        else
            asm_op(a, OPC_0F | opc, i, m, 0);
    }
}

static void set_live(struct asm_buf *a, unsigned live)
{
    asm_op(a, 0xc6 | OPC_BYTE_RM, 0, IN_VP(vectors_live), 1);
    asm_8(a, live);
}

static uint8_t *if_live(struct asm_buf *a, unsigned live, unsigned cc)
{
    asm_op(a, 0x80 | OPC_BYTE_RM, G_CMP, IN_VP(vectors_live), 1);
    asm_8(a, live);
    return asm_jcc_later(a, cc);
}

/* All guest registers to the VP; what a compiled function keeps is restored.  RDI = VP */
void jit_put_spill(struct asm_buf *a)
{
    uint8_t *dry, *ymm, *done;

    move_all(a, X_MOV_MR);
    dry = if_live(a, VECTORS_XMM, CC_B);
    ymm = asm_jcc_later(a, CC_A);
    move_vectors(a, MOVAPS_STORE, false);
    set_live(a, VECTORS_NONE);
    done = asm_jmp_later(a);
    asm_land(a, ymm);
    move_vectors(a, MOVAPS_STORE, true);
    asm_put(a, 0x77f8c5, 3); /* vzeroupper */
    set_live(a, VECTORS_NONE);
    asm_land(a, dry);
    asm_land(a, done);
    asm_op(a, X_LEA | OPC_W, H_RDI, rm_mem(H_RBP, -VP_BIAS), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_RSP, IN_VP(frames), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RSP, IN_VP(host_sp), 0);
    for (unsigned i = ARRAY_LEN(saved); i-- > 0;)
        jit_pop(a, saved[i]);
}

/* Flags are in the VP already. */
static void count_one(struct asm_buf *a, struct host_rm counter)
{
    asm_imm(a, G_ADD, OPC_W, counter, 1);
}

void jit_put_jmp_c(struct asm_buf *a, op_fn *to)
{
    asm_put(a, 0xb848, 2); /* mov $, %rax */
    asm_put(a, (uintptr_t)to, 8);
    asm_op(a, 0xff, 4, rm_reg(H_RAX), 0);
}

static bool refill(struct soft_vp *vp, uint64_t va, unsigned what)
{
    return mmu_refill(vp, va, what & (JIT_REFILL_WRITE - 1), what & JIT_REFILL_WRITE);
}

static bool refill_copies(struct soft_vp *vp, uint64_t va, unsigned what)
{
    return lockstep_refill(vp, va, what & (JIT_REFILL_WRITE - 1), what & JIT_REFILL_WRITE);
}

/* The compiler's function keeps no guest register but those in 'saved'; nine words align its stack. */
static void put_refill(struct asm_buf *a, bool lockstep)
{
    static const uint8_t kept[] = { H_RCX, H_RDX, H_RSI, H_RDI, H_R8, H_R9, H_R10, H_R11,
                                    H_RBX };
    uint8_t *dry;

    asm_op(a, X_MOV_MR | OPC_W, H_RSP, IN_VP(frames), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RSP, IN_VP(host_sp), 0);
    for (unsigned i = 0; i < ARRAY_LEN(kept); i++)
        jit_push(a, kept[i]);
    dry = if_live(a, VECTORS_NONE, CC_E);
    move_vectors(a, MOVAPS_STORE, false); /* upper halves stay: it is built without AVX */
    asm_land(a, dry);
    asm_op(a, X_LEA | OPC_W, H_RDI, rm_mem(H_RBP, -VP_BIAS), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RSI, rm_reg(H_R11), 0);
    asm_op(a, X_MOV_RM, H_RDX, rm_reg(H_RAX), 0);
    asm_put(a, 0xb848, 2); /* mov $, %rax; call *%rax */
    asm_put(a, lockstep ? (uintptr_t)refill_copies : (uintptr_t)refill, 8);
    asm_op(a, 0xff, 2, rm_reg(H_RAX), 0);
    dry = if_live(a, VECTORS_NONE, CC_E);
    move_vectors(a, MOVAPS_LOAD, false);
    asm_land(a, dry);
    for (unsigned i = ARRAY_LEN(kept); i-- > 0;)
        jit_pop(a, kept[i]);
    asm_op(a, X_MOV_RM | OPC_W, H_RSP, IN_VP(frames), 0);
    asm_op(a, 0x84, H_RAX, rm_reg(H_RAX), 0); /* test %al, %al */
    asm_8(a, 0xc3);
}

/* GS is nobody's here: the TLB's address, when it is another than the last. */
static void put_gs(struct asm_buf *a)
{
    uint8_t *same;

    asm_op(a, X_MOV_RM | OPC_W, H_RBX, IN_VP(tlb), 0);
    asm_op(a, X_CMP_RM | OPC_W, H_RBX, IN_VP(tlb_in_gs), 0);
    same = asm_jcc_later(a, CC_E);
    asm_op(a, X_MOV_MR | OPC_W, H_RBX, IN_VP(tlb_in_gs), 0);
    asm_op(a, 0xae | OPC_0F | OPC_F3 | OPC_W, 3, rm_reg(H_RBX), 0); /* wrgsbase */
    asm_land(a, same);
}

/* RSP is the stack of frames, with room for one. */
static void put_frames(struct asm_buf *a)
{
    uint8_t *room;

    asm_op(a, X_MOV_MR | OPC_W, H_RSP, IN_VP(host_sp), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RSP, IN_VP(frames), 0);
    asm_op(a, X_CMP_RM | OPC_W, H_RSP, IN_VP(frames_limit), 0);
    room = asm_jcc_later(a, CC_AE);
    asm_op(a, X_MOV_RM | OPC_W, H_RSP, IN_VP(frames_none), 0);
    asm_land(a, room);
}

static bool put_common(struct jit *j)
{
    struct asm_buf a = { .start = j->write, .p = j->write, .end = j->write + COMMON_SIZE,
                         .run = j->run - j->write, .bmi2 = j->bmi2, .gs = j->gs };
    struct jit_common *c = &j->common;
    uint8_t *dry;

    c->enter = asm_here(&a);
    for (unsigned i = 0; i < ARRAY_LEN(saved); i++)
        jit_push(&a, saved[i]);
    asm_op(&a, X_LEA | OPC_W, H_RBP, rm_mem(H_RDI, VP_BIAS), 0);
    if (a.gs)
        put_gs(&a);
    put_frames(&a);
    move_all(&a, X_MOV_RM);
    asm_op(&a, 0xff, 4, rm_reg(H_RAX), 0); /* jmp *%rax */

    c->unlinked = asm_here(&a);
    count_one(&a, IN_VP(count.unlinked));
    asm_op(&a, X_MOV_MR | OPC_W, H_R11, IN_VP(op), 0);
    c->exit_op = asm_here(&a);
    jit_put_spill(&a);
    if (j->lockstep)
        asm_8(&a, 0xc3); /* to op_lockstep, and RAX is where it would have gone */
    asm_op(&a, X_MOV_RM | OPC_W, H_RSI, rm_reg(H_RAX), 0);
    asm_op(&a, 0xff, 4, rm_mem(H_RSI, offsetof(struct op, run)), 0);

    c->side_flags = asm_here(&a);
    flags_store(&a);
    asm_op(&a, X_MOV_RM | OPC_W, H_RAX, rm_reg(H_R11), 0);
    c->side = asm_here(&a);
    count_one(&a, IN_VP(count.side_exits));
    asm_jmp(&a, c->exit_op);
    c->interpreted = asm_here(&a);
    count_one(&a, IN_VP(count.interpreted));
    asm_jmp(&a, c->exit_op);

    c->refill = asm_here(&a);
    put_refill(&a, j->lockstep);
    jit_put_misses(&a, c);

    c->cross_slow = asm_here(&a);
    count_one(&a, IN_VP(count.unlinked));
    jit_put_spill(&a);
    asm_op(&a, X_MOV_RM | OPC_W, H_RSI, rm_reg(H_R11), 0);
    jit_put_jmp_c(&a, run_cross_slow);

    c->leave = asm_here(&a);
    asm_op(&a, X_MOV_RM | OPC_W, H_RAX, IN_VP(block_rip), 0);
    asm_op(&a, X_MOV_MR | OPC_W, H_RAX, IN_VP(rip), 0);
    jit_put_spill(&a);
    asm_put(&a, 0xc0c031, 2); /* xor %eax, %eax */
    asm_8(&a, 0xc3);

    c->dead = asm_here(&a);
    asm_op(&a, X_MOV_RM | OPC_W, H_RAX, IN_VP(block_rip), 0);
    asm_op(&a, X_MOV_MR | OPC_W, H_RAX, IN_VP(rip), 0);
    jit_put_spill(&a);
    jit_put_jmp_c(&a, run_jump_slow);

    if (j->lockstep)
        c->cross_slow = c->dead = c->leave;
    jit_put_links(&a, c);
    jit_put_returns(&a, c);

    c->load[VECTORS_XMM] = asm_here(&a);
    move_vectors(&a, MOVAPS_LOAD, false);
    set_live(&a, VECTORS_XMM);
    asm_op(&a, 0xff, 4, rm_reg(H_RAX), 0);
    c->load[VECTORS_YMM] = asm_here(&a);
    dry = if_live(&a, VECTORS_XMM, CC_NE);
    move_vectors(&a, MOVAPS_STORE, false);
    asm_land(&a, dry);
    move_vectors(&a, MOVAPS_LOAD, true);
    set_live(&a, VECTORS_YMM);
    asm_op(&a, 0xff, 4, rm_reg(H_RAX), 0);
    j->used[0] = COMMON_SIZE;
    return !a.full;
}

int jit_new(struct jit **ret, void *room, unsigned threshold, bool lockstep)
{
    struct jit *j = calloc(1, sizeof *j);
    void *w, *x = MAP_FAILED;
    int err;

    if (!j)
        return -ENOMEM;
    /* Shared memory without a name, and mremap() of no length makes the second mapping: perf takes
     * only such memory for made code, and looks into its map. */
    w = mmap(NULL, JIT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (w != MAP_FAILED)
        x = mremap(w, 0, JIT_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    if (x == MAP_FAILED || mprotect(x, JIT_SIZE, PROT_READ | PROT_EXEC) < 0) {
        err = -errno;
        if (w != MAP_FAILED)
            munmap(w, JIT_SIZE);
        free(j); /* the room is the caller's */
        return err;
    }
    j->write = w;
    j->run = x;
    j->threshold = threshold;
    j->lockstep = lockstep;
    j->bmi2 = __builtin_cpu_supports("bmi2");
    j->gs = getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE;
    if (!put_common(j))
        abort(); /* a matter of COMMON_SIZE alone */
    *ret = j;
    return 0;
}

void jit_free(struct jit *j)
{
    if (!j)
        return;
    munmap(j->write, JIT_SIZE);
    free(j);
}

const void *jit_not_native(const struct jit *j)
{
    return j->common.exit_op;
}
const void *jit_unlinked(const struct jit *j)
{
    return j->common.unlinked;
}
const void *jit_no_frame(const struct jit *j)
{
    return j ? j->common.returns.empty : NULL;
}
const void *jit_dead(const struct jit *j)
{
    return j->common.dead;
}
unsigned jit_threshold(const struct jit *j)
{
    return j->threshold;
}

const void *jit_entry(const struct jit *j, const struct op *o)
{
    return j->run + o->in_next;
}
size_t jit_size(const struct op *o)
{
    return (size_t)o->disp;
}

void jit_recycle(struct jit *j, unsigned region)
{
    j->used[region] = region ? 0 : COMMON_SIZE;
}

/* ---- the first operation --------------------------------------------------------------------- */

HANDLER(op_tier)
{
    uint64_t *left = (uint64_t *)(uintptr_t)&o->imm, n = __atomic_load_n(left, __ATOMIC_RELAXED);

    if (n) {
        __atomic_store_n(left, n - 1, __ATOMIC_RELAXED);
        if (unlikely(n == 1)) {
            code_translate(vp, block_of(o));
            GOTO(o);
        }
    }
    NEXT;
}

bool jit_soon(const struct jit *j, const struct block *b)
{
    return b->ops[0].run == op_tier && b->ops[0].imm <= j->threshold / 4;
}

/* Behind an instruction that the interpreter ran; a way into host code once there is some. */
HANDLER(op_resume)
{
    NEXT;
}

/* ---- one block ------------------------------------------------------------------------------- */

static bool is_call(const struct op *o)
{
    return o->run == op_core || o->run == op_call || o->run == op_call_plain || o->run == op_core_end ||
           o->run == op_call_end;
}

/* Does host code go on where the interpreter ends the block?  An exit follows. */
static bool goes_on(const struct jit_insn *u)
{
    return u->emit == emit_fldcw || u->emit == emit_sti;
}

/* The instructions and their operations.  false: nothing here is worth it. */
static bool read_block(struct xlate *t)
{
    const struct block *b = t->block;
    const struct block_bytes *bytes = block_bytes(b);
    unsigned k = 1, native = 0;
    int64_t off = 0;

    for (unsigned at = 0; at < bytes->n && t->n < BLOCK_INSNS_MAX;) {
        struct jit_insn *u = &t->insn[t->n];
        const struct op *o;

        memset(&u->emit, 0, offsetof(struct jit_insn, at) - offsetof(struct jit_insn, emit));
        u->off = (int16_t)off;
        while (k < b->n_ops && b->ops[k].n <= t->n)
            k++;
        u->op = (uint16_t)k;
        o = &b->ops[k];
        if (decode(bytes->code + at, bytes->n - at, t->mode & MODE_SIZE, &u->in) != DECODE_OK) {
            t->n++; /* #UD: the interpreter's */
            break;
        }
        if (k < b->n_ops && o->n == t->n + 1 && o->off == off && is_call(o))
            u->in = ((const struct call *)(uintptr_t)o->imm)->insn; /* as this processor offers it */
        jit_classify(t->vp, u, t->mode);
        for (unsigned i = k; i < b->n_ops && b->ops[i].n == t->n + 1 && b->ops[i].off == off; i++) {
            o = &b->ops[i];
            if (o->flags & OP_EXIT && !u->exit)
                u->exit = (uint16_t)i;
            else if (o->flags & OP_EXIT)
                u->back = (uint16_t)i;
            if (o->run == op_resume)
                u->resume = true;
            if (is_call(o) && (o->flags & OP_ENDS) && !goes_on(u))
                u->emit = NULL;
            if (u->emit == emit_sti && block_gpa(b).v % PAGE_SIZE + off + u->in.len >= PAGE_SIZE)
                u->emit = NULL; /* such an exit looks at interrupts */
        }
        if (u->emit == emit_call_rm) {
            u->back = u->exit;
            u->exit = 0;
        }
        at += u->in.len;
        off += u->in.len;
        if (u->emit == emit_jmp && !u->exit) { /* followed */
            off = u->delta;
            u->emit = emit_nothing;
            u->leaves = false;
        }
        if (!u->emit)
            u->makes = u->partial = u->reads = u->faults = u->leaves = false;
        else
            native++;
        jit_near_classify(u);
        t->n++;
        if (!u->emit && !u->resume)
            break;
    }
    return native >= 1;
}

/* Branches to instructions of this block. */
static void find_labels(struct xlate *t)
{
    int low = t->block->low, high = low + t->block->len;
    int16_t off[BLOCK_INSNS_MAX]; /* close together */

    for (unsigned i = 0; i < t->n; i++)
        off[i] = t->insn[i].off;
    for (unsigned i = 0; i < t->n; i++) {
        struct jit_insn *u = &t->insn[i];

        if ((u->emit != emit_jcc && u->emit != emit_jmp) || u->delta < low || u->delta >= high)
            continue;
        for (unsigned k = 0; k < t->n; k++) {
            if (off[k] == u->delta && t->insn[k].emit) {
                u->to = &t->insn[k];
                u->to->label = true;
                break;
            }
        }
    }
}

/* Who may leave, and the interpreter, see them all. */
void jit_find_live(struct xlate *t, unsigned first, unsigned last, bool live)
{
    for (unsigned i = last + 1; i-- > first;) {
        struct jit_insn *u = &t->insn[i];

        u->live = live; /* no branches: they would be wrong half of the time */
        live &= !(u->makes & !u->partial);
        live |= u->reads | u->faults | u->leaves | u->label | !u->emit;
    }
}

#define ENTRY_BYTES (12 + JIT_CROSS_BYTES) /* from the interpreter's entry to that in registers */

/* Where the block is entered: by the interpreter at operation 'op', or in registers behind that. */
static const void *put_entry(struct xlate *t, unsigned vectors)
{
    struct asm_buf *a = &t->a;
    const void *entry;

    entry = asm_here(a);
    asm_op(a, X_LEA | OPC_W, H_RAX, rm_at(asm_here(a) + ENTRY_BYTES), 0);
    asm_jmp(a, t->jit->common.enter);
    jit_put_cross_entry(t);
    if (vectors) {
        uint8_t *live = if_live(a, vectors, CC_AE);

        asm_op(a, X_LEA | OPC_W, H_RAX, rm_at(asm_here(a) + 12), 0);
        asm_jmp(a, t->jit->common.load[vectors]);
        asm_land(a, live);
    }
    return entry;
}
/* Straight on, out of the block. */
static void put_end(struct xlate *t)
{
    const struct block *b = t->block;
    unsigned k = b->n_ops - 1u;

    x87_flush(t);
    flags_keep(t);
    jit_exit(t, k, b->ops[k].disp);
}

struct resume {
    uint16_t op;
    const void *entry;
};

void jit_put_insn(struct xlate *t)
{
    struct jit_insn *u = &t->insn[t->i];

    jit_near_before(t);
    u->emit(t, u);
    jit_near_behind(t);
    if (u->makes)
        flags_made(t);
    else if (t->recipe.kind != RECIPE_NONE && flags_recipe_uses(&t->recipe, u->writes))
        t->recipe.kind = RECIPE_NONE;
}

/* false: it did not fit. */
static bool put_block(struct xlate *t, struct resume *resumes, unsigned *ret_n)
{
    unsigned n = 0;
    unsigned vectors = VECTORS_NONE;
    bool open = true;

    for (unsigned i = 0; i < t->n; i++)
        if (t->insn[i].emit)
            vectors = MAX(vectors, t->insn[i].vectors);
    resumes[n++] = (struct resume){ 0, put_entry(t, vectors) };
    flags_at_label(t);
    for (t->i = 0; t->i < t->n && !t->bad; t->i++) {
        struct jit_insn *u = &t->insn[t->i];

        if (u->label) {
            x87_flush(t);
            t->x87.live = false;
            flags_keep(t);
            flags_at_label(t);
            t->near.valid = false;
        }
        u->at = t->a.p;
        if (!u->emit) {
            x87_flush(t);
            flags_keep(t);
            jit_side_always(t);
            t->x87.live = false;
            open = u->resume;
            if (!open)
                break;
            unsigned k = u->op;
            while (t->block->ops[k].run != op_resume)
                k++;
            resumes[n++] = (struct resume){ (uint16_t)k, put_entry(t, vectors) };
            flags_at_label(t);
            t->near.valid = false;
            continue;
        }
        if (!jit_run(t))
            jit_put_insn(t);
        u = &t->insn[t->i];
        if (u->emit == emit_jmp || u->emit == emit_call || u->emit == emit_ret ||
            u->emit == emit_jmp_rm || u->emit == emit_call_rm)
            open = false;
    }
    if (open)
        put_end(t);
    for (unsigned i = 0; i < t->n_far; i++)
        jit_far(t, &t->far[i]);
    jit_put_slow_runs(t);
    jit_put_link_stubs(t);
    jit_put_sides(t);
    *ret_n = n;
    return !t->bad && !t->a.full;
}

static void begin(struct xlate *t, uint8_t *at, bool once)
{
    t->i = t->copy = t->uncounted = t->ranged = 0;
    t->n_sides = t->n_far = t->n_misses = t->n_runs = 0;
    t->bad = t->framed = false;
    t->links = 0;
    t->once = once;
    t->near = (struct near){ 0 };
    t->x87 = (struct x87_state){ 0 };
    t->a = (struct asm_buf){ .start = at, .p = at, .end = at + BLOCK_ROOM,
                             .run = t->jit->run - t->jit->write, .bmi2 = t->jit->bmi2,
                             .gs = t->jit->gs };
    for (unsigned i = 0; i < t->n; i++)
        t->insn[i].at = NULL;
}

/* Memory for a block, in both mappings: by one call for many pages, not by a fault each. */
static void take_room(struct jit *j, unsigned region)
{
    while (j->there[region] < j->used[region] + BLOCK_ROOM) {
        size_t at = region * JIT_REGION_SIZE + j->there[region];

        madvise(j->write + at, JIT_PIECE, MADV_POPULATE_WRITE);
        for (size_t i = 0; i < JIT_PIECE; i += JIT_AROUND)
            (void)*(volatile uint8_t *)(j->run + at + i);
        j->there[region] += JIT_PIECE;
    }
}

void jit_translate(struct soft_vp *vp, struct jit *j, struct block *b, unsigned region)
{
    struct resume resumes[BLOCK_INSNS_MAX + 1];
    struct xlate t; /* too large to be cleared */
    uint8_t *room = j->write + region * JIT_REGION_SIZE;
    uint64_t began = __builtin_ia32_rdtsc();
    unsigned n;

    if (b->ops[0].run != op_tier)
        return;
    __atomic_store_n(&b->ops[0].run, op_resume, __ATOMIC_RELEASE);
    if (!b->bytes || JIT_REGION_SIZE - j->used[region] < BLOCK_ROOM)
        return;
    t.vp = vp;
    t.jit = j;
    t.block = b;
    t.mode = (uint32_t)b->key & 0xfff;
    t.wide = (t.mode & MODE_SIZE) == MODE_64;
    t.n = 0;
    if (!read_block(&t))
        return;
    take_room(j, region);
    find_labels(&t);
    jit_find_live(&t, 0, t.n - 1, true);
    begin(&t, room + j->used[region], false);
    if (!put_block(&t, resumes, &n)) {
        begin(&t, room + j->used[region], true);
        if (!put_block(&t, resumes, &n))
            return;
    }
    j->used[region] = ALIGN_UP((size_t)(t.a.p - room), 16u);
    if (unlikely(j->spoil))
        j->spoil(t.a.start, (size_t)(t.a.p - t.a.start));
    for (unsigned i = n; i-- > 0;) {
        struct op *o = &b->ops[resumes[i].op];

        if (j->lockstep) {
            o->in_next = (uint32_t)((const uint8_t *)resumes[i].entry - j->run);
            o->disp = (int32_t)(t.a.p + t.a.run - (const uint8_t *)resumes[i].entry);
        }
        __atomic_store_n(&o->run, j->lockstep ? op_lockstep : (op_fn *)(uintptr_t)resumes[i].entry,
                         __ATOMIC_RELEASE);
    }
    jit_take_links(&t);
    jit_show(b, t.a.start + t.a.run, t.a.start, (size_t)(t.a.p - t.a.start));
    vp->count.translated_blocks++;
    vp->count.translated_insns += t.n;
    vp->count.translated_bytes += (uint64_t)(t.a.p - t.a.start);
    vp->count.translate_ticks += __builtin_ia32_rdtsc() - began;
    if (!j->lockstep)
        __atomic_store_n(&b->native, (const uint8_t *)resumes[0].entry + ENTRY_BYTES, __ATOMIC_RELEASE);
}
