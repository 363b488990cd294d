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
    struct page_miss *m = &t->page[t->n_pages];
    struct side_exit *s = jit_side_exit(t);
    unsigned slot = t->n_slots++ % PAGE_SLOTS;

    if (t->n_pages == ARRAY_LEN(t->page) || t->bad) {
        t->bad = true;
        return;
    }
    t->n_pages++;
    asm_op(A, X_SUB_RM | OPC_W, H_R11, rm_mem(H_RBP, SLOT(write, slot)), 0);
    asm_op(A, X_CMP_RM | OPC_W, H_R11, IN_VP(page_limit[write]), 0);
    *m = (struct page_miss){ .from = asm_jcc_later(A, CC_AE), .side = (uint16_t)(s - t->side),
                             .size = (uint8_t)size, .slot = (uint8_t)slot, .write = write };
    asm_op(A, X_ADD_RM | OPC_W, H_R11, rm_mem(H_RBP, SLOT(write, slot) + HOST), 0);
    m->done = A->p;
    flags_lost(t);
}

void jit_page_miss(struct xlate *t, struct page_miss *m)
{
    asm_land(A, m->from);
    asm_8(A, 0xb8); /* mov $, %eax */
    asm_32(A, (uint32_t)SLOT(m->write, m->slot));
    asm_call(A, t->jit->common.page_miss[m->write][__builtin_ctz(m->size)]);
    asm_jmp(A, (const void *)((intptr_t)m->done + A->run));
    jit_side_jmp(t, &t->side[m->side]);
}

static void push_pop(struct asm_buf *a, unsigned opcode, unsigned reg)
{
    asm_8(a, opcode | reg);
}

/* Common to all blocks: R11 is an address - the tag of slot RAX (from RBP).  Called; RCX and RDX are saved.
 * Returns with the host's address in R11; cannot: to 5 bytes on. */
void jit_put_page_miss(struct asm_buf *a, const struct jit_common *c, unsigned size, bool write)
{
    int table = write ? offsetof(struct tlb, write) : offsetof(struct tlb, read);
    int host = table + (int)offsetof(struct tlb_entry, host);
    struct host_rm slot_tag = rm_sib(H_RBP, H_RCX, 0, 0), slot_host = rm_sib(H_RBP, H_RCX, 0, HOST);
    uint8_t *retry, *miss, *all;

    push_pop(a, 0x50, H_RCX);
    asm_op(a, X_MOV_RM, H_RCX, rm_reg(H_RAX), 0);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, slot_tag, 0);
    retry = a->p;
    jit_look_up(a, table, size);
    miss = asm_jcc_later(a, CC_A);
    push_pop(a, 0x50, H_RDX);
    asm_imm(a, G_CMP, OPC_W, IN_VP(page_limit[write]), 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, table), 0);
    all = asm_jcc_later(a, CC_E);
    asm_op(a, X_MOV_MR | OPC_W, H_RDX, slot_tag, 0);
    asm_op(a, X_MOV_RM | OPC_W, H_RDX, rm_mem(H_RAX, host), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_RDX, slot_host, 0);
    asm_op(a, X_ADD_RM | OPC_W, H_R11, rm_reg(H_RDX), 0);
    push_pop(a, 0x58, H_RDX);
    push_pop(a, 0x58, H_RCX);
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
    push_pop(a, 0x58, H_RDX);
    push_pop(a, 0x58, H_RCX);
    asm_8(a, 0xc3);

    asm_land(a, miss);
    jit_call_refill(a, c->refill, table, size, write, retry);
    push_pop(a, 0x58, H_RCX);
    asm_imm(a, G_ADD, OPC_W, rm_mem(H_RSP, 0), 5);
    asm_8(a, 0xc3);
}
