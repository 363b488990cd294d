/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_insn.h - the system instructions, one helper_fn each (exec.h), and what they share.
 *
 * sys_table.c says which opcode is which.  Their order of checks is the manuals': #UD by mode, #GP
 * by privilege, then operands. */
#pragma once

#include "cpu/soft/exec.h"
#include "cpu/soft/seg.h"
#include "cpu/soft/sys.h"

static inline void need_cpl0(struct soft_vp *vp)
{
    if (vp->cpl)
        soft_raise_error(vp, EXC_GP, 0);
}

static inline void umip_check(struct soft_vp *vp)
{
    if ((vp->cr4 & CR4_UMIP) && vp->cpl)
        soft_raise_error(vp, EXC_GP, 0);
}

/* Operand size of stack instructions, which is never 4 in 64-bit code. */
static inline unsigned stack_op_size(const struct soft_vp *vp, const struct insn *in)
{
    if (!in_code64(vp))
        return in->op_size;
    return (in->prefixes & PFX_66) && !(in->rex & 8) ? 2 : 8;
}

static inline uint64_t mem_get(struct soft_vp *vp, uint64_t va, unsigned size)
{
    switch (size) {
    case 2: return mem_read16(vp, va);
    case 4: return mem_read32(vp, va);
    default: return mem_read64(vp, va);
    }
}

/* SLDT, STR, SMSW: a word in memory, a whole register. */
static inline void store_word(struct soft_vp *vp, const struct insn *in, uint64_t value)
{
    if (in->mod == 3)
        insn_set_reg(vp, in, in->rm, in->op_size, value);
    else
        insn_set_rm(vp, in, 2, value & 0xffff);
}

/* far.c: SS of the level that RET or IRET goes back to. */
void far_return_ss(struct soft_vp *vp, uint16_t sel, unsigned cpl, bool code64,
                   struct vp_segment *ret);

#define SYS_INSNS(X)                                                                              \
    /* seg_insn.c */                                                                              \
    X(mov_from_seg) X(mov_to_seg) X(push_seg) X(pop_seg) X(load_far) X(sldt_str) X(lldt) X(ltr)   \
    X(lar) X(lsl) X(verr_verw) X(arpl)                                                            \
    /* far.c, iret.c, syscall.c */                                                                \
    X(jmp_far) X(jmp_far_mem) X(call_far) X(call_far_mem) X(ret_far) X(iret)                      \
    X(syscall) X(sysret) X(sysenter) X(sysexit)                                                   \
    /* flags.c */                                                                                 \
    X(cli) X(sti) X(pushf) X(popf) X(int3) X(int1) X(int_n) X(into) X(bound)                      \
    X(clac) X(stac) X(ud)                                                                         \
    /* io.c */                                                                                    \
    X(in_imm) X(in_dx) X(out_imm) X(out_dx)                                                       \
    /* control.c */                                                                               \
    X(mov_from_cr) X(mov_to_cr) X(mov_from_dr) X(mov_to_dr) X(clts) X(smsw) X(lmsw)               \
    X(sgdt_sidt) X(lgdt_lidt) X(invlpg) X(invpcid) X(wbinvd) X(hlt) X(xgetbv) X(xsetbv)           \
    /* misc.c */                                                                                  \
    X(swapgs) X(fsgsbase) X(rdtsc) X(rdtscp) X(rdpid) X(rdpmc) X(rdrand) X(cpuid) X(rdmsr)        \
    X(wrmsr)

#define X(name) helper_fn insn_##name;
SYS_INSNS(X)
#undef X
