/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_miss.c - ways out of line: accesses that their inline check does not know, and side exits.
 *
 * The stub of an access is a call of code that all blocks share, which looks in the TLB, has it filled, and
 * returns with the host's address; what it cannot do is the interpreter's: it returns to the side
 * exit, which stands behind the stub.
 * Called: jit.c; jit_emit.c, jit_near.c, jit_page.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define JMP_BYTES 5
#define ADD ((int)offsetof(struct tlb_entry, add))

/* ---- a block's ------------------------------------------------------------------------------- */

struct side_exit *jit_side_exit(struct xlate *t)
{
    const struct jit_insn *u = &t->insn[t->i];
    struct side_exit *s = t->n_sides ? &t->side[t->n_sides - 1] : NULL;

    if (s && s->op == u->op && s->uncounted == t->uncounted && s->ranged == t->ranged &&
        s->x87.fdp == t->x87.fdp && s->n < ARRAY_LEN(s->from))
        return s;
    if (t->n_sides == ARRAY_LEN(t->side)) {
        t->bad = true;
        return s;
    }
    s = &t->side[t->n_sides++];
    s->n = 0;
    s->op = u->op;
    s->uncounted = (uint16_t)t->uncounted;
    s->kept = t->kept;
    s->always = false;
    s->ranged = t->ranged;
    s->recipe = t->recipe;
    s->x87 = t->x87;
    if (!t->kept && t->recipe.kind == RECIPE_NONE)
        t->bad = true;
    return s;
}

static void take_jump(struct xlate *t, struct side_exit *s, uint8_t *from)
{
    if (s->n == ARRAY_LEN(s->from))
        t->bad = true;
    else
        s->from[s->n++] = from;
}

void jit_side(struct xlate *t, unsigned cc)
{
    take_jump(t, jit_side_exit(t), asm_jcc_later(A, cc));
}

void jit_side_always(struct xlate *t)
{
    struct side_exit *s = jit_side_exit(t);

    s->always = true;
    take_jump(t, s, asm_jmp_later(A));
}

static unsigned log2_up(unsigned size)
{
    return size > 1 ? 32 - (unsigned)__builtin_clz(size - 1) : 0;
}

struct miss *jit_miss(struct xlate *t, enum miss_kind kind, unsigned cc, unsigned size, bool write)
{
    struct miss *m = &t->miss[t->n_misses];
    struct side_exit *s = jit_side_exit(t);

    if (t->n_misses == ARRAY_LEN(t->miss) - 1 || log2_up(size) >= MISS_SIZES)
        t->bad = true;
    else
        t->n_misses++;
    m->from = asm_jcc_later(A, cc);
    m->side = (uint16_t)(s - t->side);
    m->kind = (uint8_t)kind;
    m->size = (uint8_t)log2_up(size);
    m->write = write;
    m->align = 0;
    return m;
}

/* Behind a refill: are the ranges' pages still what they were when they were checked? */
static void put_still_good(struct xlate *t, unsigned ranged, const uint8_t *done)
{
    uint8_t *refilled = asm_jmp_later(A), *cannot = asm_jmp_later(A), *gone = NULL;

    asm_land(A, refilled);
    if (ranged & 1) {
        asm_imm(A, G_CMP, OPC_W, IN_VP(page_limit[0]), 0);
        gone = asm_jcc_later(A, CC_E);
    }
    if (ranged & 2)
        asm_imm(A, G_CMP, OPC_W, IN_VP(page_limit[1]), 0);
    asm_jcc(A, CC_NE, (const void *)((intptr_t)done + A->run));
    if (gone)
        asm_land(A, gone);
    asm_land(A, cannot);
}

static void put_miss(struct xlate *t, const struct miss *m)
{
    uint8_t ranged = t->side[m->side].ranged;

    asm_land(A, m->from);
    if (m->kind == MISS_PAGE) {
        asm_8(A, 0xb8); /* mov $, %eax */
        asm_32(A, (uint32_t)m->slot);
    } else if (m->kind == MISS_NEAR || m->kind == MISS_NEAR_TOP) {
        asm_op(A, X_LEA | (t->wide ? OPC_W : 0), H_R11, rm_mem(host_of(m->base), m->disp), 0);
    } else if (m->align) {
        asm_op(A, 0xf6 | OPC_BYTE_RM, 0, rm_reg(H_R11), 1); /* test $, %r11b */
        asm_8(A, m->align);
        take_jump(t, &t->side[m->side], asm_jcc_later(A, CC_NE));
    }
    asm_call(A, t->jit->common.miss[m->kind][m->write][m->size]);
    if (ranged)
        put_still_good(t, ranged, m->done);
    else
        asm_jmp(A, (const void *)((intptr_t)m->done + A->run));
}

static void put_side(struct xlate *t, const struct side_exit *s)
{
    const struct op *op = &t->block->ops[s->op];

    for (unsigned i = 0; i < s->n; i++)
        asm_land(A, s->from[i]);
    if (s->uncounted)
        asm_imm(A, G_SUB, OPC_W, IN_VP(lazy[LAZY_LEFT]), s->uncounted);
    x87_write_pointers(A, &s->x87);
    if (s->kept) {
        asm_pointer(A, H_RAX, op);
        asm_jmp(A, s->always ? t->jit->common.interpreted : t->jit->common.side);
    } else {
        flags_replay(A, &s->recipe);
        asm_pointer(A, H_R11, op);
        asm_jmp(A, t->jit->common.side_flags);
    }
}

void jit_put_sides(struct xlate *t)
{
    const struct miss *m = t->miss, *end = t->miss + t->n_misses;

    for (unsigned i = 0; i < t->n_sides; i++) {
        for (; m < end && m->side == i; m++) {
            put_miss(t, m);
            if (m + 1 < end && m[1].side == i)
                take_jump(t, &t->side[i], asm_jmp_later(A));
        }
        put_side(t, &t->side[i]);
    }
}

/* ---- common to all blocks: called; cannot: to behind the jump that follows the call ------------- */

static int table_of(bool write)
{
    return write ? offsetof(struct tlb, write) : offsetof(struct tlb, read);
}

void jit_put_cannot(struct asm_buf *a)
{
    asm_imm(a, G_ADD, OPC_W, rm_mem(H_RSP, 0), JMP_BYTES);
    asm_8(a, 0xc3);
}

/* Behind a miss of jit_look_up(): goes to 'retry' with the entry filled; cannot: falls through. */
void jit_call_refill(struct asm_buf *a, const void *refill, int table, unsigned size, bool write,
                     const uint8_t *retry)
{
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_mem(H_RAX, table), 0);
    asm_8(a, 0xb8); /* mov $, %eax */
    asm_32(a, size | (write ? JIT_REFILL_WRITE : 0));
    asm_call(a, refill);
    asm_jcc(a, CC_NE, (const void *)((intptr_t)retry + a->run));
}

/* RAX is the difference, for who has the address. */
static void add_host(struct asm_buf *a, int table)
{
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_mem(H_RAX, table), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, rm_mem(H_RAX, table + ADD), 0);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_reg(H_RAX), 0);
    asm_8(a, 0xc3);
}

static void put_tlb(struct asm_buf *a, struct jit_common *c, unsigned k, bool write)
{
    int table = table_of(write);
    uint8_t *retry = a->p, *miss;

    c->miss[MISS_NEAR][write][k] = asm_here(a);
    jit_look_up(a, table, 1u << k);
    miss = asm_jcc_later(a, CC_A);
    add_host(a, table);
    c->miss[MISS_TLB][write][k] = asm_here(a);
    if (a->gs)
        asm_op(a, X_ADD_RM | OPC_W, H_RAX, IN_VP(tlb), 0);
    asm_land(a, miss);
    jit_call_refill(a, c->refill, table, 1u << k, write, retry);
    jit_put_cannot(a);
}

/* The stack's page is another one now; or it may only be read, and stays what it was. */
static void put_top(struct asm_buf *a, struct jit_common *c, unsigned k, bool write)
{
    int table = table_of(true);
    uint8_t *retry, *miss;

    c->miss[MISS_TOP][write][k] = asm_here(a);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, IN_VP(top_tag), 0);
    c->miss[MISS_NEAR_TOP][write][k] = asm_here(a);
    retry = a->p;
    jit_look_up(a, table, 1u << k);
    miss = asm_jcc_later(a, CC_A);
    asm_op(a, X_MOV_MR | OPC_W, H_R11, IN_VP(next_rip), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_R11, rm_mem(H_RAX, table), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_R11, IN_VP(top_tag), 0);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_mem(H_RAX, table + ADD), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_R11, IN_VP(top_host), 0);
    asm_op(a, 0xc7 | OPC_W, 0, IN_VP(top_limit), 4);
    asm_32(a, TOP_LIMIT);
    asm_op(a, 0xc7 | OPC_W, 0, IN_VP(run_limit), 4);
    asm_32(a, RUN_LIMIT);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, IN_VP(next_rip), 0);
    asm_8(a, 0xc3);
    asm_land(a, miss);
    if (!write) {
        asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_mem(H_RAX, table), 0);
        table = table_of(false);
        jit_look_up(a, table, 1u << k);
        miss = asm_jcc_later(a, CC_A);
        add_host(a, table);
        asm_land(a, miss);
    }
    jit_call_refill(a, c->refill, table, 1u << k, write, retry);
    jit_put_cannot(a);
}

void jit_put_misses(struct asm_buf *a, struct jit_common *c)
{
    for (unsigned k = 0; k < MISS_SIZES; k++) {
        for (unsigned write = 0; write < 2; write++) {
            put_tlb(a, c, k, write);
            jit_put_page_miss(a, c, k, write);
            if (1u << k <= sizeof(uint64_t))
                put_top(a, c, k, write);
        }
    }
}
