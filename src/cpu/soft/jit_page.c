/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_page.c - memory accesses in loops: each has a slot with the TLB entry of its last page.
 *
 * Loops go through memory in small steps (jit_walks_pages()), so most accesses are to the page of the one
 * before, and their check needs no lookup that depends on the address.  Slots of a VP are shared by all
 * loops; all of them are good, or none: who drops an entry of the TLB or changes the set clears
 * vp->page_limit, and the next miss fills all.
 * Called: jit_emit.c, jit.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define SLOT(write, i) (VP_AT(page_slot) + (int)(((write) * PAGE_SLOTS + (i)) * sizeof(struct page_slot)))
#define HOST ((int)offsetof(struct page_slot, host))

void jit_page(struct xlate *t, unsigned size, bool write)
{
    unsigned slot = t->n_slots++ % PAGE_SLOTS;
    struct miss *m;

    asm_op(A, X_SUB_RM | OPC_W, H_R11, rm_mem(H_RBP, SLOT(write, slot)), 0);
    asm_op(A, X_CMP_RM | OPC_W, H_R11, IN_VP(page_limit[write]), 0);
    m = jit_miss(t, MISS_PAGE, CC_AE, size, write);
    m->slot = SLOT(write, slot);
    asm_op(A, X_ADD_RM | OPC_W, H_R11, rm_mem(H_RBP, SLOT(write, slot) + HOST), 0);
    m->done = A->p;
    flags_lost(t);
}

static void push_pop(struct asm_buf *a, unsigned opcode, unsigned reg)
{
    asm_8(a, opcode | reg);
}

static void restore(struct asm_buf *a)
{
    push_pop(a, 0x58, H_RDX);
    push_pop(a, 0x58, H_RCX);
}

/* R11 is an address - the tag of slot RAX (from RBP). */
void jit_put_page_miss(struct asm_buf *a, struct jit_common *c, unsigned k, bool write)
{
    int table = write ? offsetof(struct tlb, write) : offsetof(struct tlb, read);
    int host = table + (int)offsetof(struct tlb_entry, host);
    struct host_rm slot_tag = rm_sib(H_RBP, H_RCX, 0, 0), slot_host = rm_sib(H_RBP, H_RCX, 0, HOST);
    uint8_t *retry, *miss, *all;

    c->miss[MISS_PAGE][write][k] = asm_here(a);
    push_pop(a, 0x50, H_RCX);
    push_pop(a, 0x50, H_RDX);
    asm_op(a, X_MOV_RM, H_RCX, rm_reg(H_RAX), 0);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, slot_tag, 0);
    retry = a->p;
    jit_look_up(a, table, 1u << k);
    miss = asm_jcc_later(a, CC_A);
    asm_imm(a, G_CMP, OPC_W, IN_VP(page_limit[write]), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, table), 0);
    all = asm_jcc_later(a, CC_E);
    asm_op(a, X_MOV_MR | OPC_W, H_RDX, slot_tag, 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, host), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_RDX, slot_host, 0);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_reg(H_RDX), 0);
    restore(a);
    asm_8(a, 0xc3);

    asm_land(a, all);
    for (int i = 0; i < PAGE_SLOTS; i++)
        asm_op(a, X_MOV_MR | OPC_W, H_RDX, rm_mem(H_RBP, SLOT(write, i)), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, host), 0);
    for (int i = 0; i < PAGE_SLOTS; i++)
        asm_op(a, X_MOV_MR | OPC_W, H_RDX, rm_mem(H_RBP, SLOT(write, i) + HOST), 0);
    asm_op(a, 0xc7 | OPC_W, 0, IN_VP(page_limit[write]), 4);
    asm_32(a, PAGE_SLOT_LIMIT);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_reg(H_RDX), 0);
    restore(a);
    asm_8(a, 0xc3);

    asm_land(a, miss);
    jit_call_refill(a, c->refill, table, 1u << k, write, retry);
    restore(a);
    jit_put_cannot(a);
}
