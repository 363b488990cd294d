/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_sys.c - the system instructions that a kernel's entry, exit and locks are made of: CLI, STI, PUSHF,
 * CLD, SWAPGS, RDTSC.
 *
 * Interrupts are taken between blocks only, and a block that ends behind STI goes on without a look at
 * them, so STI's shadow needs no mark.  Whoever may not, and STI with something pending, are the
 * interpreter's.
 * Called: jit_classify.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define IN_RFLAGS(byte) rm_mem(H_RBP, VP_AT(rflags) + (byte))

static void byte_imm(struct xlate *t, unsigned group, struct host_rm rm, unsigned imm)
{
    asm_op(A, 0x80 | OPC_BYTE_RM, group, rm, 1);
    asm_8(A, imm);
}

static void need_cpl0(struct xlate *t)
{
    byte_imm(t, G_CMP, IN_VP(cpl), 0);
    jit_side(t, CC_NE);
}

static void emit_cli(struct xlate *t, struct jit_insn *u)
{
    need_cpl0(t);
    byte_imm(t, G_AND, IN_RFLAGS(1), (uint8_t)~(F_IF >> 8));
    flags_lost(t);
}

void emit_sti(struct xlate *t, struct jit_insn *u)
{
    need_cpl0(t);
    asm_imm(A, G_CMP, 0, IN_VP(attention), 0);
    jit_side(t, CC_NE);
    byte_imm(t, G_OR, IN_RFLAGS(1), F_IF >> 8);
    flags_lost(t);
}

static void emit_direction(struct xlate *t, struct jit_insn *u) /* CLD, STD */
{
    if (u->in.opcode & 1)
        byte_imm(t, G_OR, IN_RFLAGS(1), F_DF >> 8);
    else
        byte_imm(t, G_AND, IN_RFLAGS(1), (uint8_t)~(F_DF >> 8));
    flags_lost(t);
}

static void emit_pushf(struct xlate *t, struct jit_insn *u)
{
    jit_push_place(t, u->size);
    flags_for(t);
    asm_put(A, 0x589c, 2); /* pushf; pop %rax */
    asm_imm(A, G_AND, 0, rm_reg(H_RAX), F_ARITH);
    asm_op(A, X_MOV_MR | OPC_W, H_RAX, IN_VP(lazy[LAZY_ADDR]), 0);
    asm_op(A, X_MOV_RM, H_RAX, IN_VP(rflags), 0);
    asm_imm(A, G_AND, 0, rm_reg(H_RAX), ~(F_ARITH | F_RF | F_VM));
    asm_op(A, (G_OR << 3 | 3) | OPC_W, H_RAX, IN_VP(lazy[LAZY_ADDR]), 0);
    asm_op(A, X_MOV_MR | (u->size == 8 ? OPC_W : 0), H_RAX, rm_mem(H_R11, 0), 0);
    jit_move_sp(t, -u->size);
    flags_lost(t);
}

static void emit_swapgs(struct xlate *t, struct jit_insn *u)
{
    need_cpl0(t);
    flags_lost(t);
    asm_op(A, X_MOV_RM | OPC_W, H_RAX, IN_VP(msrs.kernel_gs_base), 0);
    asm_op(A, X_MOV_RM | OPC_W, H_R11, IN_VP(seg[SEG_GS].base), 0);
    asm_op(A, X_MOV_MR | OPC_W, H_RAX, IN_VP(seg[SEG_GS].base), 0);
    asm_op(A, X_MOV_MR | OPC_W, H_RAX, IN_VP(seg_base[SEG_GS]), 0);
    asm_op(A, X_MOV_MR | OPC_W, H_R11, IN_VP(msrs.kernel_gs_base), 0);
}

static void emit_rdtsc(struct xlate *t, struct jit_insn *u)
{
    asm_op(A, 0xf6 | OPC_BYTE_RM, 0, IN_VP(cr4), 1); /* test $CR4_TSD, cr4 */
    asm_8(A, CR4_TSD);
    jit_side(t, CC_NE);
    flags_lost(t);
    asm_put(A, 0x310f, 2);
    asm_op(A, X_SHIFT_I | OPC_W, G_SHL, rm_reg(H_RDX), 1);
    asm_8(A, 32);
    asm_op(A, (G_OR << 3 | 3) | OPC_W, H_RAX, rm_reg(H_RDX), 0);
    asm_op(A, X_ADD_RM | OPC_W, H_RAX, IN_VP(tsc_offset), 0);
    asm_op(A, X_MOV_RM | OPC_W, H_RDX, rm_reg(H_RAX), 0);
    asm_op(A, X_SHIFT_I | OPC_W, G_SHR, rm_reg(H_RDX), 1);
    asm_8(A, 32);
    asm_op(A, X_MOV_RM, host_of(RAX), rm_reg(H_RAX), 0);
}

bool jit_classify_sys(struct jit_insn *u, uint32_t mode)
{
    const struct insn *in = &u->in;
    bool wide = (mode & MODE_SIZE) == MODE_64;

    u->faults = u->loses = true;
    if (in->map == MAP_1) {
        switch (in->opcode) {
        case 0x9c:
            if (in->op_size == 2 || !(mode & MODE_STACK32) || !(mode & MODE_PROT))
                return false;
            u->emit = emit_pushf;
            u->size = wide ? 8 : 4;
            u->reads = true;
            u->writes = 1u << RSP;
            return true;
        case 0xfa: u->emit = emit_cli; return !(mode & MODE_USER);
        case 0xfb: u->emit = emit_sti; return !(mode & MODE_USER);
        case 0xfc: case 0xfd: u->emit = emit_direction; return true;
        default: return false;
        }
    }
    if (in->map == MAP_0F && in->opcode == 0x31) {
        u->emit = emit_rdtsc;
        u->writes = 1u << RAX | 1u << RDX;
        return true;
    }
    if (in->map == MAP_0F && in->opcode == 0x01 && in->mod == 3 && (in->reg & 7) == 7 &&
        (in->rm & 7) == 0 && !(in->prefixes & (PFX_REP | PFX_REPNE | PFX_66))) {
        u->emit = emit_swapgs;
        return wide && !(mode & MODE_USER);
    }
    return false;
}
