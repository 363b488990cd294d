/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_sse.c - SSE to SSE4.2, AES and their kin, AVX, AVX2, FMA: the same instruction on the same registers.
 *
 * While translated code runs, guest XMM registers are the host's (vp->vectors_live); what the instruction
 * names besides, general registers and memory, is rewritten.  Upper halves of YMM stay in the VP until
 * a VEX instruction wants them: no legacy instruction touches them.
 * Called: jit_classify.c. */
#include "cpu/soft/fpu_private.h"
#include "cpu/soft/jit_private.h"
#include "cpu/soft/sse_table.h"

static bool offered(const struct soft_features *f, unsigned feature)
{
    switch (feature) {
    case SSE_3: return f->ecx1 & 1 << 0;
    case SSE_S3: return f->ecx1 & 1 << 9;
    case SSE_41: return f->ecx1 & 1 << 19;
    case SSE_42: return f->ecx1 & 1 << 20;
    case SSE_AES: return f->ecx1 & 1 << 25;
    case SSE_CLMUL: return f->ecx1 & 1 << 1;
    case SSE_SHA: return f->ebx7 & 1 << 29;
    default: return true;
    }
}

static unsigned opcode_of(const struct insn *in)
{
    static const unsigned map[] = { [MAP_0F] = OPC_0F, [MAP_0F38] = OPC_0F38, [MAP_0F3A] = OPC_0F3A };
    static const unsigned prefix[] = { 0, OPC_66, OPC_F3, OPC_F2 };

    return in->opcode | map[in->map] | prefix[sse_pp(in)] | (in->rex & 8 ? OPC_W : 0);
}

static void general(struct jit_insn *u, unsigned reg)
{
    u->writes |= (uint16_t)(1u << reg);
}

bool jit_classify_sse(struct soft_vp *vp, struct jit_insn *u, uint32_t mode)
{
    const struct insn *in = &u->in;
    const struct sse_row *row;
    bool memory = in->mod != 3, wide;

    if (in->map == MAP_1 || !(mode & MODE_FPU) || !in->has_modrm)
        return false;
    row = sse_row(in);
    if (!row || row->shape > SSE_SHIFT || !offered(&vp->feature, row->feature) ||
        ((row->flags & SSE_FP) && (mode & MODE_XM)) || ((row->flags & SSE_MEM) && !memory) ||
        ((row->flags & SSE_REG) && memory))
        return false;
    wide = (row->flags & SSE_WIDE) && (in->rex & 8);
    u->emit = emit_rm;
    u->opc = opcode_of(in);
    u->vectors = VECTORS_XMM;
    u->size = 16;
    u->mem_size = wide ? 8 : row->size;
    u->imm_n = row->flags & SSE_IMM ? 1 : 0;
    u->reg_x = u->rm_x = true;
    u->reg_acc = ACC_RW;
    u->rm_acc = ACC_R;
    u->align = memory && row->size == 16 && !(row->flags & SSE_UNAL) ? 15 : 0;
    switch (row->shape) {
    case SSE_RMW: case SSE_W: case SSE_REGS: case SSE_MOVS: case SSE_X0: break;
    case SSE_CMP: case SSE_TEST: u->makes = true; break;
    case SSE_STR:
        if (in->opcode < 0x62) /* lengths in EAX and EDX */
            return false;
        u->mem_size = 16;
        u->makes = true;
        if (in->opcode == 0x63)
            general(u, RCX);
        break;
    case SSE_ST: case SSE_STQ: case SSE_STS: u->rm_acc = memory ? ACC_W : ACC_RW; break;
    case SSE_FROM_G: case SSE_INS_G: u->rm_x = false; break;
    case SSE_EXT:
        u->rm_x = false;
        u->rm_acc = ACC_W;
        if (!memory) {
            u->rm_register = true; /* writes all of the register */
            u->size = 8;
            general(u, in->rm);
        }
        break;
    case SSE_TO_G: case SSE_TO_GR:
        u->reg_x = false;
        u->reg_acc = ACC_W;
        u->size = 8;
        general(u, in->reg);
        break;
    case SSE_CRC:
        u->reg_x = u->rm_x = false;
        u->size = u->mem_size = in->opcode == 0xf0 ? 1 : in->op_size;
        u->reg_acc = ACC_RW;
        if (in->opcode == 0xf0) {
            u->opc |= OPC_BYTE_RM;
            if (!memory && (in->rm & ~3u) == 4 && !(in->prefixes & PFX_REX))
                return false;
            u->size = 8;
        } else if (in->op_size == 2) {
            u->opc |= OPC_66;
            u->size = 8;
        }
        u->vectors = VECTORS_NONE;
        general(u, in->reg);
        break;
    case SSE_SHIFT:
        u->reg_acc = 0;
        u->ext = in->reg & 7;
        u->rm_acc = ACC_RW;
        break;
    default: return false; /* MOVNTI is an integer's move; MMX */
    }
    return true;
}

bool jit_classify_avx(struct soft_vp *vp, struct jit_insn *u, uint32_t mode)
{
    const struct insn *in = &u->in;
    struct avx_form f;
    bool memory = in->mod != 3;

    if ((mode & (MODE_FPU | MODE_AVX)) != (MODE_FPU | MODE_AVX))
        return false;
    u->vectors = VECTORS_YMM;
    if (in->map == MAP_0F && in->opcode == 0x77 && !in->vex_pp && !in->vvvv) {
        u->emit = emit_vzero;
        return true;
    }
    if (!in->has_modrm || !avx_form(vp, in, &f) || (f.xm && (mode & MODE_XM)))
        return false;
    u->emit = emit_rm;
    u->size = 16;
    u->mem_size = f.size;
    u->align = memory ? f.align : 0;
    u->imm_n = in->imm_size;
    u->reg_x = u->rm_x = true;
    u->reg_acc = ACC_RW;
    u->rm_acc = ACC_R;
    switch ((enum avx_kind)f.kind) {
    case AVX_VECTOR: break;
    case AVX_FLAGS: u->makes = true; break;
    case AVX_STRING:
        if (in->opcode < 0x62) /* lengths in EAX and EDX */
            return false;
        u->makes = true;
        if (in->opcode == 0x63)
            general(u, RCX);
        break;
    case AVX_STORE: u->rm_acc = ACC_W; break;
    case AVX_SHIFT:
        u->reg_acc = 0;
        u->ext = in->reg & 7;
        break;
    case AVX_FROM_G: u->rm_x = false; break;
    case AVX_TO_G:
        u->reg_x = false;
        u->reg_acc = ACC_W;
        general(u, in->reg);
        break;
    case AVX_EXT:
        u->rm_x = false;
        u->rm_acc = ACC_W;
        if (!memory) {
            u->rm_register = true;
            general(u, in->rm);
        }
        break;
    }
    return true;
}

void emit_vzero(struct xlate *t, struct jit_insn *u) /* VZEROUPPER, VZEROALL */
{
    asm_8(&t->a, 0xc5);
    asm_8(&t->a, 0xf8 | u->in.vex_l << 2);
    asm_8(&t->a, 0x77);
}
