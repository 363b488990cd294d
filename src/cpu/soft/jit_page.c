/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_page.c - memory accesses in loops: each range (jit_range.c) has a slot with the page of its last.
 *
 * Loops go through memory in small steps, so most accesses are to the page of the one before, and their
 * check needs no lookup that depends on the address.  Slots of a VP are shared by all loops; all of
 * them are good, or none: who drops an entry of the TLB or changes the set clears vp->page_limit, and the
 * next miss fills all.
 * Called: jit_emit.c, jit.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define SLOT(write, i) (VP_AT(page_slot) + (int)(((write) * PAGE_SLOTS + (i)) * sizeof(struct page_slot)))
#define DELTA ((int)offsetof(struct page_slot, delta))

struct host_rm jit_page_tag(bool write, unsigned slot)
{
    return rm_mem(H_RBP, SLOT(write, slot));
}
struct host_rm jit_page_delta(bool write, unsigned slot)
{
    return rm_mem(H_RBP, SLOT(write, slot) + DELTA);
}

void jit_page(struct xlate *t, unsigned slot, unsigned size, bool write)
{
    struct miss *m;

    asm_op(A, X_MOV_RM | OPC_W, H_RAX, rm_reg(H_R11), 0);
    asm_op(A, X_SUB_RM | OPC_W, H_RAX, jit_page_tag(write, slot), 0);
    asm_op(A, X_CMP_RM | OPC_W, H_RAX, IN_VP(page_limit[write]), 0);
    m = jit_miss(t, MISS_PAGE, CC_AE, size, write);
    m->slot = SLOT(write, slot);
    asm_op(A, X_ADD_RM | OPC_W, H_R11, jit_page_delta(write, slot), 0);
    m->done = A->p;
    flags_lost(t);
}

static void restore(struct asm_buf *a)
{
    jit_pop(a, H_RDX);
    jit_pop(a, H_RCX);
}

/* R11 is an address, RAX a slot (from RBP). */
void jit_put_page_miss(struct asm_buf *a, struct jit_common *c, unsigned k, bool write)
{
    int table = write ? offsetof(struct tlb, write) : offsetof(struct tlb, read);
    int add = table + (int)offsetof(struct tlb_entry, add);
    uint8_t *retry, *miss, *all, *done;

    c->miss[MISS_PAGE][write][k] = asm_here(a);
    jit_push(a, H_RCX);
    jit_push(a, H_RDX);
    asm_op(a, X_MOV_RM, H_RCX, rm_reg(H_RAX), 0);
    retry = a->p;
    jit_look_up(a, table, 1u << k);
    miss = asm_jcc_later(a, CC_A);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, table), 0);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_reg(H_RDX), 0);
    asm_imm(a, G_CMP, OPC_W, IN_VP(page_limit[write]), 0);
    all = asm_jcc_later(a, CC_E);
    asm_op(a, X_MOV_MR | OPC_W, H_RDX, rm_sib(H_RBP, H_RCX, 0, 0), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, add), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_RDX, rm_sib(H_RBP, H_RCX, 0, DELTA), 0);
    done = a->p;
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_reg(H_RDX), 0);
    restore(a);
    asm_8(a, 0xc3);

    asm_land(a, all);
    for (unsigned i = 0; i < PAGE_SLOTS; i++)
        asm_op(a, X_MOV_MR | OPC_W, H_RDX, jit_page_tag(write, i), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, add), 0);
    for (unsigned i = 0; i < PAGE_SLOTS; i++)
        asm_op(a, X_MOV_MR | OPC_W, H_RDX, jit_page_delta(write, i), 0);
    asm_op(a, 0xc7 | OPC_W, 0, IN_VP(page_limit[write]), 4);
    asm_32(a, PAGE_SLOT_LIMIT);
    asm_jmp(a, (const void *)((intptr_t)done + a->run));

    asm_land(a, miss);
    jit_call_refill(a, c->refill, table, 1u << k, write, retry);
    restore(a);
    jit_put_cannot(a);
}
