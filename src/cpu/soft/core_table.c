/* SPDX-License-Identifier: GPL-2.0-or-later */
/* core_table.c - which integer instruction is which row (core_insn.h).
 *
 * Far transfers, segments, PUSHF, CLI and the like are sys_helper()'s; 0F AE is shared: the fences and
 * CLFLUSH are here. */
#include "cpu/soft/core_insn.h"

#define W  HELPER_WRITES
#define R  HELPER_READS
#define L  HELPER_LOCK
#define E  HELPER_ENDS
#define RW (HELPER_READS | HELPER_WRITES)

#define ROW(fn, fl) { #fn, int_##fn, fl }

/* Opcodes of the first map; ranges share a row. */
static const struct helper *map_1(const struct insn *in)
{
    static const struct helper alu[6] = {
        ROW(alu_rm_r, RW | L), ROW(alu_rm_r, RW | L), ROW(alu_r_rm, RW),
        ROW(alu_r_rm, RW), ROW(alu_a_imm, RW), ROW(alu_a_imm, RW),
    };
    static const struct helper cmp_rm_r = ROW(alu_rm_r, W), cmp_rm_imm = ROW(alu_rm_imm, W);
    static const struct helper alu_imm = ROW(alu_rm_imm, RW | L);
    static const struct helper nop = ROW(nop, 0), pause = ROW(pause, E);
    static const struct helper not_neg = ROW(group3, RW | L), group3 = ROW(group3, RW);
    static const struct helper incdec = ROW(incdec_rm, RW | L), push_rm = ROW(push_rm, 0);
    static const struct helper call_rm = ROW(call_rm, E), jmp_rm = ROW(jmp_rm, E);
    static const struct helper table[256] = {
        [0x27] = ROW(bcd, RW), [0x2f] = ROW(bcd, RW), [0x37] = ROW(bcd, RW), [0x3f] = ROW(bcd, RW),
        [0x40 ... 0x4f] = ROW(incdec_r, RW),
        [0x50 ... 0x57] = ROW(push_r, 0),
        [0x58 ... 0x5f] = ROW(pop_r, 0),
        [0x60] = ROW(pusha, 0), [0x61] = ROW(popa, 0),
        [0x68] = ROW(push_imm, 0), [0x6a] = ROW(push_imm, 0),
        [0x69] = ROW(imul3, W), [0x6b] = ROW(imul3, W),
        [0x6c ... 0x6d] = ROW(ins, E), [0x6e ... 0x6f] = ROW(outs, E),
        [0x70 ... 0x7f] = ROW(jcc, R | E),
        [0x84 ... 0x85] = ROW(test_rm_r, W),
        [0x86 ... 0x87] = ROW(xchg_rm_r, L),
        [0x88 ... 0x89] = ROW(mov_rm_r, 0),
        [0x8a ... 0x8b] = ROW(mov_r_rm, 0),
        [0x8d] = ROW(lea, 0),
        [0x8f] = ROW(pop_rm, 0),
        [0x90 ... 0x97] = ROW(xchg_a_r, 0),
        [0x98] = ROW(cbw, 0), [0x99] = ROW(cwd, 0),
        [0x9e] = ROW(sahf, RW), [0x9f] = ROW(lahf, R),
        [0xa0 ... 0xa1] = ROW(mov_a_moffs, 0), [0xa2 ... 0xa3] = ROW(mov_moffs_a, 0),
        [0xa4 ... 0xa5] = ROW(movs, E), [0xa6 ... 0xa7] = ROW(cmps, RW | E),
        [0xa8 ... 0xa9] = ROW(test_a_imm, W),
        [0xaa ... 0xab] = ROW(stos, E), [0xac ... 0xad] = ROW(lods, E),
        [0xae ... 0xaf] = ROW(scas, RW | E),
        [0xb0 ... 0xbf] = ROW(mov_r_imm, 0),
        [0xc0 ... 0xc1] = ROW(shift_imm, RW),
        [0xc2 ... 0xc3] = ROW(ret, E),
        [0xc6 ... 0xc7] = ROW(mov_rm_imm, 0),
        [0xc8] = ROW(enter, 0), [0xc9] = ROW(leave, 0),
        [0xd0 ... 0xd1] = ROW(shift_1, RW), [0xd2 ... 0xd3] = ROW(shift_cl, RW),
        [0xd4 ... 0xd5] = ROW(bcd, RW), [0xd6] = ROW(salc, R), [0xd7] = ROW(xlat, 0),
        [0xe0 ... 0xe3] = ROW(loop, R | E),
        [0xe8] = ROW(call_rel, E), [0xe9] = ROW(jmp_rel, E), [0xeb] = ROW(jmp_rel, E),
        [0xf5] = ROW(flag_bit, RW), [0xf8 ... 0xf9] = ROW(flag_bit, RW),
        [0xfc ... 0xfd] = ROW(flag_bit, 0),
    };
    /* Strings that do not repeat go straight on. */
    static const struct helper once[16] = {
        [0x4 ... 0x5] = ROW(movs, 0), [0x6 ... 0x7] = ROW(cmps, RW), [0xa ... 0xb] = ROW(stos, 0),
        [0xc ... 0xd] = ROW(lods, 0), [0xe ... 0xf] = ROW(scas, RW),
    };
    uint8_t op = in->opcode, reg = in->reg & 7;
    bool rep = in->prefixes & (PFX_REP | PFX_REPNE);

    if (op < 0x40 && (op & 7) < 6)
        return (op & 0x38) == 0x38 && (op & 7) < 2 ? &cmp_rm_r : &alu[op & 7];
    switch (op) {
    case 0x63: { /* ARPL in 16- and 32-bit modes is sys_helper()'s: it asks first */
        static const struct helper movsxd = ROW(movsxd, 0);
        return &movsxd;
    }
    case 0x80: case 0x81: case 0x82: case 0x83: return reg == ALU_CMP ? &cmp_rm_imm : &alu_imm;
    case 0x8d: return in->mod == 3 ? NULL : &table[op];
    case 0x8f: return reg ? NULL : &table[op];
    case 0x90:
        if (in->prefixes & PFX_REP)
            return &pause;
        return in->rex & 1 ? &table[op] : &nop;
    case 0xa4: case 0xa5: case 0xa6: case 0xa7: case 0xaa: case 0xab: case 0xac: case 0xad:
    case 0xae: case 0xaf: return rep ? &table[op] : &once[op & 15];
    case 0xc6: case 0xc7: return reg ? NULL : &table[op];
    case 0xf6: case 0xf7: return reg == 2 || reg == 3 ? &not_neg : &group3;
    case 0xfe: return reg < 2 ? &incdec : NULL;
    case 0xff:
        switch (reg) {
        case 0: case 1: return &incdec;
        case 2: return &call_rm;
        case 4: return &jmp_rm;
        case 6: return &push_rm;
        default: return NULL;
        }
    default: return table[op].run ? &table[op] : NULL;
    }
}

static const struct helper *group_ae(const struct insn *in)
{
    static const struct helper fence = ROW(nop, 0), clflush = ROW(clflush, 0);
    unsigned reg = in->reg & 7, pfx = in->prefixes & (PFX_66 | PFX_REP | PFX_REPNE);

    if (in->mod == 3)
        return reg >= 5 && !pfx ? &fence : NULL;
    return reg == 7 && (pfx == 0 || pfx == PFX_66) ? &clflush : NULL;
}

static const struct helper *map_0f(const struct insn *in)
{
    static const struct helper popcnt = ROW(popcnt, W), tzcnt = ROW(tzcnt, RW);
    static const struct helper lzcnt = ROW(lzcnt, RW), bt = ROW(bt_imm, RW);
    static const struct helper bt_lock = ROW(bt_imm, RW | L), cmpxchg8b = ROW(cmpxchg8b, RW | L);
    static const struct helper table[256] = {
        [0x0d] = ROW(nop, 0),
        [0x18 ... 0x1f] = ROW(nop, 0),
        [0x40 ... 0x4f] = ROW(cmov, R),
        [0x80 ... 0x8f] = ROW(jcc, R | E),
        [0x90 ... 0x9f] = ROW(setcc, R),
        [0xa3] = ROW(bt_r, RW),
        [0xa4] = ROW(shld_imm, RW), [0xa5] = ROW(shld_cl, RW),
        [0xab] = ROW(bt_r, RW | L),
        [0xac] = ROW(shld_imm, RW), [0xad] = ROW(shld_cl, RW),
        [0xaf] = ROW(imul2, W),
        [0xb0 ... 0xb1] = ROW(cmpxchg, W | L),
        [0xb3] = ROW(bt_r, RW | L),
        [0xb6 ... 0xb7] = ROW(movzx, 0),
        [0xbb] = ROW(bt_r, RW | L),
        [0xbc] = ROW(bsf, RW), [0xbd] = ROW(bsr, RW),
        [0xbe ... 0xbf] = ROW(movsx, 0),
        [0xc0 ... 0xc1] = ROW(xadd, W | L),
        [0xc3] = ROW(movnti, 0),
        [0xc8 ... 0xcf] = ROW(bswap, 0),
    };
    uint8_t op = in->opcode;
    unsigned pfx = in->prefixes & (PFX_66 | PFX_REP | PFX_REPNE);

    switch (op) {
    case 0x0d: return in->mod == 3 ? NULL : &table[op]; /* PREFETCH */
    case 0xae: return group_ae(in);
    case 0xb8: return in->prefixes & PFX_REP ? &popcnt : NULL;
    case 0xba: return (in->reg & 7) < 4 ? NULL : (in->reg & 7) == 4 ? &bt : &bt_lock;
    case 0xbc: return in->prefixes & PFX_REP ? &tzcnt : &table[op];
    case 0xbd: return in->prefixes & PFX_REP ? &lzcnt : &table[op];
    case 0xc3: return in->mod == 3 || pfx ? NULL : &table[op];
    case 0xc7:
        return (in->reg & 7) == 1 && in->mod != 3 && !(pfx & (PFX_REP | PFX_REPNE)) ? &cmpxchg8b
                                                                                  : NULL;
    default: return table[op].run ? &table[op] : NULL;
    }
}

static const struct helper *map_0f38(const struct insn *in)
{
    static const struct helper movbe = ROW(movbe, 0), crc32 = ROW(crc32, 0), adx = ROW(adx, RW);
    unsigned pfx = in->prefixes & (PFX_66 | PFX_REP | PFX_REPNE);

    switch (in->opcode) {
    case 0xf0:
    case 0xf1:
        if (pfx & PFX_REPNE)
            return &crc32;
        return in->mod == 3 || pfx & PFX_REP ? NULL : &movbe;
    case 0xf6: return pfx == PFX_66 || pfx == PFX_REP ? &adx : NULL;
    default: return NULL;
    }
}

/* BMI1 and BMI2 are VEX.L0 with one of four prefixes: 0 none, 1 66, 2 F3, 3 F2. */
static const struct helper *map_vex(const struct insn *in)
{
    static const struct helper andn = ROW(bmi_andn, RW), bls = ROW(bmi_bls, RW);
    static const struct helper bextr = ROW(bmi_bextr, RW), shiftx = ROW(bmi_shiftx, 0);
    static const struct helper bzhi = ROW(bmi_bzhi, RW), pext = ROW(bmi_pext, 0);
    static const struct helper pdep = ROW(bmi_pdep, 0), mulx = ROW(bmi_mulx, 0);
    static const struct helper rorx = ROW(bmi_rorx, 0);

    if (in->vex_l)
        return NULL;
    if (in->map == MAP_0F3A)
        return in->opcode == 0xf0 && in->vex_pp == 3 && !in->vvvv ? &rorx : NULL;
    if (in->map != MAP_0F38)
        return NULL;
    switch (in->opcode << 4 | in->vex_pp) {
    case 0xf20: return &andn;
    case 0xf30: return (in->reg & 7) >= 1 && (in->reg & 7) <= 3 ? &bls : NULL;
    case 0xf50: return &bzhi;
    case 0xf52: return &pext;
    case 0xf53: return &pdep;
    case 0xf63: return &mulx;
    case 0xf70: return &bextr;
    case 0xf71: case 0xf72: case 0xf73: return &shiftx;
    default: return NULL;
    }
}

const struct helper *core_helper(const struct insn *in)
{
    if (in->prefixes & PFX_VEX)
        return map_vex(in);
    switch (in->map) {
    case MAP_1: return map_1(in);
    case MAP_0F: return map_0f(in);
    case MAP_0F38: return map_0f38(in);
    default: return NULL;
    }
}
