/* SPDX-License-Identifier: GPL-2.0-or-later */
/* int_bits.c - bit tests and scans, exchanges with comparison, byte swaps, counts, CRC32, ADX, BMI.
 *
 * Source: Intel SDM 2. */
#include "cpu/soft/core_insn.h"

static void set_flags(struct soft_vp *vp, uint16_t mask, uint16_t value)
{
    FLAGS = (uint16_t)((FLAGS & ~mask) | value);
}

/* BT, BTS, BTR, BTC; the bit offset of register forms reaches beyond a memory operand. */
static void bit_op(struct soft_vp *vp, const struct insn *in, unsigned op, uint64_t bit,
                   bool reach)
{
    static const uint8_t ops[4] = { ALU_BT, ALU_BTS, ALU_BTR, ALU_BTC };
    unsigned size = in->op_size, bits = size * 8;
    alu_fn *fn = alu_table[ops[op & 3]][log2_size(size)];
    uint16_t f;
    uint64_t off;

    if (in->mod == 3) {
        if (op & 3) {
            rmw(vp, in, size, fn, bit & (bits - 1));
            return;
        }
        f = FLAGS;
        fn(insn_reg(vp, in, in->rm, size), bit & (bits - 1), &f);
        FLAGS = f;
        return;
    }
    off = insn_offset(vp, in);
    if (reach) {
        int64_t n = (int64_t)(bit << (64 - bits)) >> (64 - bits);

        off += (uint64_t)((n >> (3 + log2_size(size))) * (int64_t)size);
        off = in->addr_size == 8 ? off : in->addr_size == 4 ? (uint32_t)off : (uint16_t)off;
    }
    off = address_at(vp, in->seg, off, size, op & 3);
    if (op & 3) {
        rmw_at(vp, off, in->prefixes & PFX_LOCK, size, fn, bit & (bits - 1));
        return;
    }
    uint64_t v = mem_load(vp, off, size);
    f = FLAGS;
    fn(v, bit & (bits - 1), &f);
    FLAGS = f;
}

void int_bt_r(struct soft_vp *vp, const struct insn *in)
{
    bit_op(vp, in, in->opcode >> 3 & 3, insn_reg(vp, in, in->reg, in->op_size), true);
}

void int_bt_imm(struct soft_vp *vp, const struct insn *in)
{
    bit_op(vp, in, in->reg & 3, in->imm & 0xff, false);
}

#define SCAN_ASM(insn, sfx, mod)                                                             \
    asm(ASM_FLAGS_IN insn sfx " %" mod "2, %" mod "0\n\t" ASM_FLAGS_OUT                      \
        : "+r"(d), "+a"(f) : "r"(v) : "cc")

/* Of 0 the destination keeps its value (all of it), on this family of processors. */
static void scan(struct soft_vp *vp, const struct insn *in, bool reverse)
{
    uint64_t v = insn_rm(vp, in, in->op_size), d = vp->gpr[in->reg], f = FLAGS;

    switch (in->op_size * 2 + reverse) {
    case 4: SCAN_ASM("bsf", "w", "w"); break;
    case 5: SCAN_ASM("bsr", "w", "w"); break;
    case 8: SCAN_ASM("bsf", "l", "k"); break;
    case 9: SCAN_ASM("bsr", "l", "k"); break;
    case 16: SCAN_ASM("bsf", "q", "q"); break;
    default: SCAN_ASM("bsr", "q", "q"); break;
    }
    vp->gpr[in->reg] = d;
    FLAGS = (uint16_t)f;
}

void int_bsf(struct soft_vp *vp, const struct insn *in)
{
    scan(vp, in, false);
}

void int_bsr(struct soft_vp *vp, const struct insn *in)
{
    scan(vp, in, true);
}

static void count_zeros(struct soft_vp *vp, const struct insn *in, bool leading)
{
    unsigned bits = in->op_size * 8u, n = bits;
    uint64_t v = insn_rm(vp, in, in->op_size);

    if (v)
        n = leading ? (unsigned)__builtin_clzll(v) - (64 - bits) : (unsigned)__builtin_ctzll(v);
    insn_set_reg(vp, in, in->reg, in->op_size, n);
    set_flags(vp, LF_CF | LF_ZF, (uint16_t)((v ? 0 : LF_CF) | (n ? 0 : LF_ZF)));
}

void int_tzcnt(struct soft_vp *vp, const struct insn *in)
{
    count_zeros(vp, in, false);
}

void int_lzcnt(struct soft_vp *vp, const struct insn *in)
{
    count_zeros(vp, in, true);
}

void int_popcnt(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v = insn_rm(vp, in, in->op_size);

    insn_set_reg(vp, in, in->reg, in->op_size, (uint64_t)__builtin_popcountll(v));
    FLAGS = v ? 0 : LF_ZF;
}

void int_bswap(struct soft_vp *vp, const struct insn *in)
{
    unsigned reg = (in->opcode & 7) | (in->rex & 1u) << 3;

    if (in->op_size == 8)
        vp->gpr[reg] = __builtin_bswap64(vp->gpr[reg]);
    else if (in->op_size == 4)
        vp->gpr[reg] = __builtin_bswap32((uint32_t)vp->gpr[reg]);
    else
        R16(reg) = 0; /* undefined; what processors do */
}

static uint64_t swap_bytes(uint64_t v, unsigned size)
{
    return __builtin_bswap64(v) >> (64 - size * 8);
}

void int_movbe(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->op_size;

    if (in->opcode == 0xf0)
        insn_set_reg(vp, in, in->reg, size, swap_bytes(insn_rm(vp, in, size), size));
    else
        insn_set_rm(vp, in, size, swap_bytes(insn_reg(vp, in, in->reg, size), size));
}

void int_crc32(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = in->opcode & 1 ? in->op_size : 1;
    uint64_t v = insn_rm(vp, in, size);
    uint32_t crc = (uint32_t)vp->gpr[in->reg];

    for (unsigned i = 0; i < size * 8; i++, v >>= 1) {
        uint32_t low = (crc ^ (uint32_t)v) & 1;

        crc = crc >> 1 ^ (low ? 0x82f63b78u : 0);
    }
    vp->gpr[in->reg] = crc;
}

/* ---- exchanges ------------------------------------------------------------------------------- */

void int_xadd(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);
    alu_fn *add = alu_table[ALU_ADD][log2_size(size)];
    uint64_t b = insn_reg(vp, in, in->reg, size);

    if (in->mod == 3) { /* the sum wins when both are one register */
        uint16_t f = FLAGS;
        uint64_t a = insn_reg(vp, in, in->rm, size), sum = add(a, b, &f);

        insn_set_reg(vp, in, in->reg, size, a);
        insn_set_reg(vp, in, in->rm, size, sum);
        FLAGS = f;
        return;
    }
    insn_set_reg(vp, in, in->reg, size, rmw(vp, in, size, add, b));
}

/* CMPXCHG as the alu_fn of RMW: *cx is what the comparison needs.  ALU functions take two operands, so
 * this one is written out. */
void int_cmpxchg(struct soft_vp *vp, const struct insn *in)
{
    unsigned size = width(in);
    alu_fn *cmp = alu_table[ALU_CMP][log2_size(size)];
    uint64_t new = insn_reg(vp, in, in->reg, size), acc = insn_reg(vp, in, RAX, size), old = acc;
    uint16_t f = FLAGS;
    void *p;

    if (in->mod == 3) {
        old = insn_reg(vp, in, in->rm, size);
        cmp(acc, old, &f);
        if (f & LF_ZF)
            insn_set_reg(vp, in, in->rm, size, new);
        else
            insn_set_reg(vp, in, RAX, size, old);
        FLAGS = f;
        return;
    }
    p = mem_rmw_begin(vp, insn_address(vp, in, size, true), size);
    switch (size) { /* always locked: it costs less than telling apart */
    case 1:
        asm volatile("lock cmpxchgb %b2, %0" : "+m"(*(uint8_t *)p), "+a"(old) : "r"(new) : "cc");
        break;
    case 2:
        asm volatile("lock cmpxchgw %w2, %0" : "+m"(*(uint16_t *)p), "+a"(old) : "r"(new) : "cc");
        break;
    case 4:
        asm volatile("lock cmpxchgl %k2, %0" : "+m"(*(uint32_t *)p), "+a"(old) : "r"(new) : "cc");
        break;
    default:
        asm volatile("lock cmpxchgq %q2, %0" : "+m"(*(uint64_t *)p), "+a"(old) : "r"(new) : "cc");
        break;
    }
    mem_rmw_end(vp);
    cmp(acc, old, &f);
    if (!(f & LF_ZF))
        insn_set_reg(vp, in, RAX, size, old);
    FLAGS = f;
}

void int_cmpxchg8b(struct soft_vp *vp, const struct insn *in)
{
    bool wide = in->op_size == 8, equal;
    unsigned half = wide ? 8 : 4;
    uint64_t va, lo, hi;
    void *p;

    if (wide && ((insn_offset(vp, in) + vp->seg_base[in->seg]) & 15)) /* before #SS */
        soft_raise_error(vp, EXC_GP, 0);
    va = insn_address(vp, in, half * 2, true);
    if (wide) {
        p = mem_rmw_begin(vp, va, 16);
        lo = vp->gpr[RAX];
        hi = vp->gpr[RDX];
        asm volatile("lock cmpxchg16b %1"
                     : "=@cce"(equal), "+m"(*(unsigned __int128 *)p), "+a"(lo), "+d"(hi)
                     : "b"(vp->gpr[RBX]), "c"(vp->gpr[RCX]));
        mem_rmw_end(vp);
    } else {
        uint64_t old = (uint32_t)vp->gpr[RAX] | vp->gpr[RDX] << 32;
        uint64_t new = (uint32_t)vp->gpr[RBX] | vp->gpr[RCX] << 32;

        p = mem_rmw_begin(vp, va, 8);
        asm volatile("lock cmpxchgq %3, %1" : "=@cce"(equal), "+m"(*(uint64_t *)p), "+a"(old)
                     : "r"(new));
        mem_rmw_end(vp);
        lo = (uint32_t)old;
        hi = old >> 32;
    }
    if (!equal) {
        insn_set_reg(vp, in, RAX, half, lo);
        insn_set_reg(vp, in, RDX, half, hi);
    }
    set_flags(vp, LF_ZF, equal ? LF_ZF : 0);
}

/* ---- ADX, BMI: reached only when CPUID offers them (core_table.c) ---------------------------- */

void int_adx(struct soft_vp *vp, const struct insn *in)
{
    bool carry_flag = in->prefixes & PFX_66; /* ADCX; ADOX has F3 */
    unsigned size = in->rex & 8 ? 8 : 4;
    uint16_t bit = carry_flag ? LF_CF : LF_OF;
    uint64_t b = insn_rm(vp, in, size), a = insn_reg(vp, in, in->reg, size);
    unsigned __int128 sum = (unsigned __int128)a + b + !!(FLAGS & bit);

    insn_set_reg(vp, in, in->reg, size, (uint64_t)sum);
    set_flags(vp, bit, (sum >> (size * 8)) & 1 ? bit : 0);
}

static void logic_flags(struct soft_vp *vp, uint64_t v, unsigned size, bool cf)
{
    if (size == 4)
        v = (uint32_t)v;
    set_flags(vp, LF_CF | LF_ZF | LF_SF | LF_OF,
              (uint16_t)((v ? 0 : LF_ZF) | (v >> (size * 8 - 1) & 1 ? LF_SF : 0) | (cf ? LF_CF : 0)));
}

void int_bmi_andn(struct soft_vp *vp, const struct insn *in)
{
    uint64_t v = ~insn_reg(vp, in, in->vvvv, in->op_size) & insn_rm(vp, in, in->op_size);

    insn_set_reg(vp, in, in->reg, in->op_size, v);
    logic_flags(vp, v, in->op_size, false);
}

void int_bmi_bls(struct soft_vp *vp, const struct insn *in)
{
    uint64_t a = insn_rm(vp, in, in->op_size), v;
    bool cf;

    switch (in->reg & 7) {
    case 1: /* BLSR */
        v = a & (a - 1);
        cf = !a;
        break;
    case 2: /* BLSMSK */
        v = a ^ (a - 1);
        cf = !a;
        break;
    default: /* BLSI */
        v = a & -a;
        cf = a;
        break;
    }
    insn_set_reg(vp, in, in->vvvv, in->op_size, v);
    logic_flags(vp, v, in->op_size, cf);
}

void int_bmi_bextr(struct soft_vp *vp, const struct insn *in)
{
    uint64_t a = insn_rm(vp, in, in->op_size), c = insn_reg(vp, in, in->vvvv, in->op_size), v;
    unsigned start = c & 0xff, len = c >> 8 & 0xff;

    v = start < 64 ? a >> start : 0;
    if (len < 64)
        v &= (UINT64_C(1) << len) - 1;
    insn_set_reg(vp, in, in->reg, in->op_size, v);
    logic_flags(vp, v, in->op_size, false);
    set_flags(vp, LF_SF, 0);
}

void int_bmi_bzhi(struct soft_vp *vp, const struct insn *in)
{
    unsigned bits = in->op_size * 8u;
    uint64_t v = insn_rm(vp, in, in->op_size), n = vp->gpr[in->vvvv] & 0xff;

    if (n < bits)
        v &= (UINT64_C(1) << n) - 1;
    insn_set_reg(vp, in, in->reg, in->op_size, v);
    logic_flags(vp, v, in->op_size, n >= bits);
}

void int_bmi_pdep(struct soft_vp *vp, const struct insn *in)
{
    uint64_t mask = insn_rm(vp, in, in->op_size), src = vp->gpr[in->vvvv], v = 0;

    for (; mask; mask &= mask - 1, src >>= 1)
        if (src & 1)
            v |= mask & -mask;
    insn_set_reg(vp, in, in->reg, in->op_size, v);
}

void int_bmi_pext(struct soft_vp *vp, const struct insn *in)
{
    uint64_t mask = insn_rm(vp, in, in->op_size), src = vp->gpr[in->vvvv], v = 0;

    for (unsigned i = 0; mask; mask &= mask - 1, i++)
        if (src & mask & -mask)
            v |= UINT64_C(1) << i;
    insn_set_reg(vp, in, in->reg, in->op_size, v);
}

void int_bmi_mulx(struct soft_vp *vp, const struct insn *in)
{
    uint64_t b = insn_rm(vp, in, in->op_size), a = insn_reg(vp, in, RDX, in->op_size);
    unsigned __int128 v = (unsigned __int128)a * b;

    insn_set_reg(vp, in, in->vvvv, in->op_size, (uint64_t)v);
    insn_set_reg(vp, in, in->reg, in->op_size, (uint64_t)(v >> (in->op_size * 8)));
}

void int_bmi_rorx(struct soft_vp *vp, const struct insn *in)
{
    unsigned bits = in->op_size * 8u, n = (unsigned)in->imm & (bits - 1);
    uint64_t v = insn_rm(vp, in, in->op_size);

    insn_set_reg(vp, in, in->reg, in->op_size, n ? v >> n | v << (bits - n) : v);
}

void int_bmi_shiftx(struct soft_vp *vp, const struct insn *in)
{
    unsigned bits = in->op_size * 8u, n = (unsigned)vp->gpr[in->vvvv] & (bits - 1);
    uint64_t v = insn_rm(vp, in, in->op_size);

    switch (in->vex_pp) {
    case 1: v <<= n; break;
    case 2: v = (uint64_t)((bits == 64 ? (int64_t)v : (int64_t)(int32_t)v) >> n); break;
    default: v >>= n; break;
    }
    insn_set_reg(vp, in, in->reg, in->op_size, v);
}
