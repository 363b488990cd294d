/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_link.c - exits of translated blocks as direct jumps.
 *
 * Each exit has one jump (or, of a call, one CALL) that leads where the exit's link (op->imm) does, as
 * soon as there is host code; until then to code that reads the link.  It touches no data that way.  The
 * displacement lies within an aligned quadword, so whoever runs it meanwhile takes the old way or the
 * new one.  Exits to another page say in EAX where that page lies now; blocks compare at their entry for
 * such jumps, so the linked block decides, not the exit.
 * Called: jit_flow.c, code.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define NATIVE ((int)offsetof(struct block, native) - (int)sizeof(struct block)) /* from its operations */
#define PAGE_NUMBER ((int)offsetof(struct block, key) + 3) /* 32 bits of it */

static struct jit_site *site_of(const struct op *e)
{
    return &block_sites(block_of(e))[e->site];
}

/* ---- emission -------------------------------------------------------------------------------- */

/* One NOP, if the displacement of a jump here would cross a quadword. */
static void align_jump(struct asm_buf *a)
{
    switch (((uintptr_t)a->p + 1) % 8) {
    case 5: asm_put(a, 0x001f0f, 3); break;
    case 6: asm_put(a, 0x9066, 2); break;
    case 7: asm_8(a, 0x90); break;
    }
}

/* Out of the block; of an exit to another page R11 is its operation, EAX that page's number. */
void jit_put_link(struct xlate *t, unsigned exit, bool cross)
{
    unsigned site = t->block->ops[exit].site;
    struct jit_link *l = &t->link[site];

    if (t->links >> site & 1) {
        if (t->framed)
            t->bad = true; /* cannot be: no call stands in a loop's copies */
        asm_jmp(A, (const void *)((intptr_t)l->at - 1 + A->run));
        return;
    }
    align_jump(A);
    asm_8(A, t->framed ? 0xe8 : 0xe9);
    t->links |= UINT64_C(1) << site;
    *l = (struct jit_link){ .at = A->p, .op = (uint16_t)exit, .cross = cross };
    asm_32(A, 0);
}

/* How exits go that have no direct way. */
void jit_put_link_stubs(struct xlate *t)
{
    const struct jit_common *c = &t->jit->common;

    for (uint64_t left = t->links; left; left &= left - 1) {
        struct jit_link *l = &t->link[__builtin_ctzll(left)];

        l->slow = l->cross ? c->link_cross : asm_here(A);
        asm_land_at(A, l->at, l->slow - t->a.run);
        if (l->cross)
            continue;
        asm_pointer(A, H_R11, &t->block->ops[l->op]);
        asm_jmp(A, c->link);
    }
}

void jit_put_links(struct asm_buf *a, struct jit_common *c)
{
    uint8_t *same;

    c->link = asm_here(a);
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, rm_mem(H_R11, offsetof(struct op, imm)), 0);
    asm_op(a, 0xff, 4, rm_mem(H_RAX, NATIVE), 0);

    c->link_cross = asm_here(a);
    asm_op(a, X_MOV_MR | OPC_W, H_R11, IN_VP(lazy[LAZY_TARGET]), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_R11, rm_mem(H_R11, offsetof(struct op, imm)), 0);
    asm_op(a, X_CMP_RM, H_RAX, rm_mem(H_R11, PAGE_NUMBER - (int)sizeof(struct block)), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, rm_reg(H_R11), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_R11, IN_VP(lazy[LAZY_TARGET]), 0);
    same = asm_jcc_later(a, CC_E);
    asm_jmp(a, c->cross_slow);
    asm_land(a, same);
    asm_op(a, 0xff, 4, rm_mem(H_RAX, NATIVE), 0);
}

/* JIT_CROSS_BYTES before the block's entry: from another page. */
void jit_put_cross_entry(struct xlate *t)
{
    asm_8(A, 0x3d); /* cmp $, %eax */
    asm_32(A, (uint32_t)(block_gpa(t->block).v >> PAGE_SHIFT));
    asm_jcc(A, CC_NE, t->jit->common.cross_slow);
}

/* ---- links ----------------------------------------------------------------------------------- */

void jit_take_links(const struct xlate *t)
{
    for (uint64_t left = t->links; left; left &= left - 1) {
        const struct jit_link *l = &t->link[__builtin_ctzll(left)];

        *site_of(&t->block->ops[l->op]) = (struct jit_site){ (uint32_t)(l->at - t->jit->write),
                                                             (uint32_t)(l->slow - t->jit->run) };
    }
}

void jit_link(struct jit *j, const struct op *e, const struct block *to)
{
    const struct jit_site *s = site_of(e);
    uint32_t from, where;

    if (!block_of(e)->bytes || !s->at)
        return;
    where = s->slow;
    if (to && to->native != j->common.exit_op && to->native != j->common.dead)
        where = (uint32_t)((const uint8_t *)to->native - j->run) -
                (j->run + s->slow == j->common.link_cross ? JIT_CROSS_BYTES : 0);
    from = s->at + 4;
    __atomic_store_n((uint32_t *)(void *)(j->write + s->at), where - from, __ATOMIC_RELEASE);
}
