/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_x87.c - x87 instructions as themselves, on the host's registers while they hold the guest's.
 *
 * vp->fpu.live is looked at once on each way into a piece of code; making it live is the interpreter's.
 * The address of the last instruction and of its operand are written where somebody may see them: at
 * the latest when the code is left.
 * Called: jit_classify.c, jit.c, jit_flow.c. */
#include "cpu/soft/fpu_private.h"
#include "cpu/soft/jit_private.h"

#define A (&t->a)

bool jit_classify_x87(struct jit_insn *u, uint32_t mode)
{
    const struct insn *in = &u->in;
    bool memory = in->mod != 3;
    struct fpu_op op;
    struct stub s; /* the interpreter's code, not wanted here */

    if (!(mode & MODE_FPU) || (mode & MODE_MF) || (memory && in->seg >= SEG_FS))
        return false;
    if (memory && in->opcode == 0xd9 && (in->reg & 7) == 5) { /* FLDCW */
        u->emit = emit_fldcw;
        u->mem_size = 2;
        u->faults = true;
        return true;
    }
    s.kind = STUB_HANDLER;
    s.op = &op;
    s.n = 0;
    if (!x87_pick(in, &op, &s))
        return false;
    u->emit = emit_x87;
    u->opc = in->opcode;
    u->ext = in->reg & 7;
    u->mem_size = op.size;
    u->rm_acc = op.form == FPU_STORE ? ACC_W : ACC_R;
    u->x87_fop = op.fop;
    u->x87_ptr = op.flags & FPU_X87_PTR;
    u->reads = op.flags & FPU_READS;
    u->makes = op.flags & FPU_FLAGS;
    u->faults = true;
    if (!memory && in->opcode == 0xdf && (in->reg & 7) == 4 && (in->rm & 7) == 0)
        u->writes |= 1u << RAX;
    return true;
}

static void operand_pointer(struct asm_buf *a, const struct x87_state *x)
{
    if (!x->fdp)
        return;
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, IN_VP(fpu.next_fdp), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_RAX, IN_VP(fpu.fdp), 0);
    asm_op(a, OPC_0F | 0xb7, H_RAX,
           rm_mem(H_RBP, VP_AT(seg) + (int)(x->seg * sizeof(struct vp_segment)) +
                             (int)offsetof(struct vp_segment, sel)), 0);
    asm_op(a, X_MOV_MR | OPC_66, H_RAX, IN_VP(fpu.fds), 0);
}

/* Moves only: flags stay. */
void x87_write_pointers(struct asm_buf *a, const struct x87_state *x)
{
    if (!x->pending)
        return;
    asm_op(a, X_MOV_RM | OPC_W, H_RAX, IN_VP(block_rip), 0);
    asm_op(a, X_LEA | OPC_W, H_RAX, rm_mem(H_RAX, x->off), 0);
    asm_op(a, X_MOV_MR | OPC_W, H_RAX, IN_VP(fpu.fip), 0);
    asm_op(a, 0xc7 | OPC_66, 0, IN_VP(fpu.fop), 2);
    asm_put(a, x->fop, 2);
    asm_op(a, OPC_0F | 0xb7, H_RAX, IN_VP(seg[SEG_CS].sel), 0);
    asm_op(a, X_MOV_MR | OPC_66, H_RAX, IN_VP(fpu.fcs), 0);
    operand_pointer(a, x);
}

void x87_flush(struct xlate *t)
{
    x87_write_pointers(A, &t->x87);
    t->x87.pending = t->x87.fdp = false;
}

static void look_live(struct xlate *t)
{
    if (t->x87.live)
        return;
    asm_op(A, 0x80 | OPC_BYTE_RM, G_CMP, IN_VP(fpu.live), 1);
    asm_8(A, 0);
    jit_side(t, CC_E);
    flags_lost(t);
    t->x87.live = true;
}

/* A control word that unmasks an exception changes the mode: the interpreter's. */
void emit_fldcw(struct xlate *t, struct jit_insn *u)
{
    look_live(t);
    jit_address(t, &u->in);
    jit_tlb(t, 2, false);
    asm_op(A, OPC_0F | 0xb7, H_RAX, rm_mem(H_R11, 0), 0); /* once: memory may change */
    asm_op(A, X_MOV_MR, H_RAX, IN_VP(lazy[LAZY_ADDR]), 0);
    asm_op(A, 0xf7, 2, rm_reg(H_RAX), 0); /* not */
    asm_8(A, 0xa8);                       /* test $0x3f, %al */
    asm_8(A, 0x3f);
    jit_side(t, CC_NE);
    asm_op(A, 0xd9, 5, IN_VP(lazy[LAZY_ADDR]), 0);
}

void emit_x87(struct xlate *t, struct jit_insn *u)
{
    bool memory = u->in.mod != 3;
    struct host_rm rm = rm_reg(u->in.rm & 7);

    look_live(t);
    if (memory) {
        jit_address(t, &u->in);
        if (u->x87_ptr) {
            operand_pointer(A, &t->x87);
            t->x87.fdp = false;
            asm_op(A, X_MOV_MR | OPC_W, H_R11, IN_VP(fpu.next_fdp), 0);
        }
        jit_tlb(t, u->mem_size, u->rm_acc & ACC_W);
        rm = rm_mem(H_R11, 0);
    }
    flags_for(t);
    if (!memory && u->writes) { /* FNSTSW AX */
        asm_put(A, 0xe0df, 2);
        asm_op(A, X_MOV_MR | OPC_66, H_RAX, rm_reg(host_of(RAX)), 0);
    } else {
        asm_op(A, u->opc, u->ext, rm, 0);
    }
    if (!u->x87_ptr)
        return;
    t->x87.pending = true;
    t->x87.off = u->off;
    t->x87.fop = u->x87_fop;
    if (memory) {
        t->x87.fdp = true;
        t->x87.seg = u->in.seg;
    }
}
