/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_table.c - which opcode is which system instruction (exec.h: sys_helper()).
 *
 * Sources: AMD64 APM 3 appendix A; Intel SDM 2D appendix A.  Groups pick by ModRM. */
#include "cpu/soft/sys_insn.h"

#define ENDS HELPER_ENDS
#define W    HELPER_WRITES
#define R    HELPER_READS

#define H(id, fl) static const struct helper h_##id = { #id, insn_##id, fl };
H(mov_from_seg, 0) H(mov_to_seg, ENDS) H(push_seg, 0) H(pop_seg, ENDS) H(load_far, ENDS)
H(sldt_str, 0) H(lldt, ENDS) H(ltr, ENDS)
H(lar, W) H(lsl, W) H(verr_verw, W) H(arpl, W)
H(jmp_far, ENDS) H(jmp_far_mem, ENDS) H(call_far, ENDS) H(call_far_mem, ENDS) H(ret_far, ENDS)
H(iret, ENDS | W | R) H(syscall, ENDS | W | R) H(sysret, ENDS | W) H(sysenter, ENDS | R)
H(sysexit, ENDS | R)
H(cli, 0) H(sti, ENDS) H(pushf, R) H(popf, ENDS | W) H(int3, ENDS | R) H(int1, ENDS | R)
H(int_n, ENDS | R) H(into, ENDS | R) H(bound, 0) H(clac, 0) H(stac, 0) H(ud, ENDS)
H(in_imm, ENDS) H(in_dx, ENDS) H(out_imm, ENDS) H(out_dx, ENDS)
H(mov_from_cr, 0) H(mov_to_cr, ENDS) H(mov_from_dr, 0) H(mov_to_dr, ENDS) H(clts, ENDS)
H(smsw, 0) H(lmsw, ENDS) H(sgdt_sidt, 0) H(lgdt_lidt, ENDS) H(invlpg, ENDS) H(invpcid, ENDS)
H(wbinvd, ENDS) H(hlt, ENDS) H(xgetbv, 0) H(xsetbv, ENDS)
H(swapgs, 0) H(fsgsbase, 0) H(rdtsc, 0) H(rdtscp, 0) H(rdpid, 0) H(rdpmc, ENDS) H(rdrand, W)
H(cpuid, ENDS) H(rdmsr, ENDS) H(wrmsr, ENDS)
#undef H

typedef const struct helper *row;

static row group_0f00(const struct insn *in)
{
    switch (in->reg & 7) {
    case 0: case 1: return &h_sldt_str;
    case 2: return &h_lldt;
    case 3: return &h_ltr;
    case 4: case 5: return &h_verr_verw;
    default: return &h_ud;
    }
}

/* 0F 01 with a register: the whole ModRM byte is the opcode. */
static row group_0f01_reg(const struct insn *in)
{
    switch (0xc0 | (in->reg & 7) << 3 | (in->rm & 7)) {
    case 0xca: return &h_clac;
    case 0xcb: return &h_stac;
    case 0xd0: return &h_xgetbv;
    case 0xd1: return &h_xsetbv;
    case 0xf8: return &h_swapgs;
    case 0xf9: return &h_rdtscp;
    }
    switch (in->reg & 7) {
    case 4: return &h_smsw;
    case 6: return &h_lmsw;
    default: return &h_ud; /* VMX, SVM, MONITOR, MWAIT ... */
    }
}

static row group_0f01(const struct insn *in)
{
    if (in->mod == 3)
        return group_0f01_reg(in);
    switch (in->reg & 7) {
    case 0: case 1: return &h_sgdt_sidt;
    case 2: case 3: return &h_lgdt_lidt;
    case 4: return &h_smsw;
    case 6: return &h_lmsw;
    case 7: return &h_invlpg;
    default: return &h_ud;
    }
}

static row group_0fc7(const struct insn *in)
{
    unsigned reg = in->reg & 7;

    if (in->mod != 3 || reg < 6 || in->prefixes & PFX_REPNE)
        return NULL; /* CMPXCHG8B, XSAVEC ... */
    if (in->prefixes & PFX_REP)
        return reg == 7 ? &h_rdpid : &h_ud;
    return &h_rdrand;
}

static row map_1(const struct insn *in)
{
    switch (in->opcode) {
    case 0x06: case 0x0e: case 0x16: case 0x1e: return &h_push_seg;
    case 0x07: case 0x17: case 0x1f: return &h_pop_seg;
    case 0x62: return &h_bound;
    case 0x63: return &h_arpl; /* MOVSXD in 64-bit code: core's own */
    case 0x8c: return &h_mov_from_seg;
    case 0x8e: return &h_mov_to_seg;
    case 0x9a: return &h_call_far;
    case 0x9c: return &h_pushf;
    case 0x9d: return &h_popf;
    case 0xc4: case 0xc5: return &h_load_far;
    case 0xca: case 0xcb: return &h_ret_far;
    case 0xcc: return &h_int3;
    case 0xcd: return &h_int_n;
    case 0xce: return &h_into;
    case 0xcf: return &h_iret;
    case 0xe4: case 0xe5: return &h_in_imm;
    case 0xe6: case 0xe7: return &h_out_imm;
    case 0xea: return &h_jmp_far;
    case 0xec: case 0xed: return &h_in_dx;
    case 0xee: case 0xef: return &h_out_dx;
    case 0xf1: return &h_int1;
    case 0xf4: return &h_hlt;
    case 0xfa: return &h_cli;
    case 0xfb: return &h_sti;
    case 0xff:
        if ((in->reg & 7) == 3)
            return &h_call_far_mem;
        return (in->reg & 7) == 5 ? &h_jmp_far_mem : NULL;
    default: return NULL;
    }
}

static row map_0f(const struct insn *in)
{
    switch (in->opcode) {
    case 0x00: return group_0f00(in);
    case 0x01: return group_0f01(in);
    case 0x02: return &h_lar;
    case 0x03: return &h_lsl;
    case 0x05: return &h_syscall;
    case 0x06: return &h_clts;
    case 0x07: return &h_sysret;
    case 0x08: case 0x09: return &h_wbinvd;
    case 0x0b: case 0xaa: case 0xb9: case 0xff: return &h_ud; /* UD2 RSM UD1 UD0 */
    case 0x20: return &h_mov_from_cr;
    case 0x21: return &h_mov_from_dr;
    case 0x22: return &h_mov_to_cr;
    case 0x23: return &h_mov_to_dr;
    case 0x30: return &h_wrmsr;
    case 0x31: return &h_rdtsc;
    case 0x32: return &h_rdmsr;
    case 0x33: return &h_rdpmc;
    case 0x34: return &h_sysenter;
    case 0x35: return &h_sysexit;
    case 0xa0: case 0xa8: return &h_push_seg;
    case 0xa1: case 0xa9: return &h_pop_seg;
    case 0xa2: return &h_cpuid;
    case 0xae:
        return in->mod == 3 && in->prefixes & PFX_REP && (in->reg & 7) < 4 ? &h_fsgsbase : NULL;
    case 0xb2: case 0xb4: case 0xb5: return &h_load_far;
    case 0xc7: return group_0fc7(in);
    default: return NULL;
    }
}

const struct helper *sys_helper(const struct insn *in)
{
    if (in->prefixes & PFX_VEX)
        return NULL;
    switch (in->map) {
    case MAP_1: return map_1(in);
    case MAP_0F: return map_0f(in);
    case MAP_0F38: return in->opcode == 0x82 && in->prefixes & PFX_66 ? &h_invpcid : NULL;
    default: return NULL;
    }
}
