/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fpu_handler.c - SSE, MMX and x87 instructions as handlers of operations, made of host code.
 *
 *     [x87 live?] [address, TLB lookup, alignment] [FIP] body (sse.c ...) [flags] next operation
 *
 * What the fast way cannot do jumps to the handler that calls the helper.  Registers are those of
 * a compiled handler: VP in RDI, operation in RSI (ops.h); callee-saved ones stay untouched.
 * Called: build.c. */
#include "cpu/soft/fpu_private.h"
#include "cpu/soft/ops.h"

/* Forward jumps to the slow way, patched when its place is known. */
struct slow {
    uint8_t at[4];
    unsigned n;
};

static void jump_slow(struct stub *s, struct slow *slow, unsigned opcode)
{
    STUB(s, 0x0f); /* jcc rel32 */
    stub_byte(s, 0x10 + opcode);
    slow->at[slow->n++] = s->n;
    stub_u32(s, 0);
}

static void off_vp(struct stub *s, unsigned reg, size_t off)
{
    stub_byte(s, 0x80 | (reg & 7) << 3 | RDI);
    stub_u32(s, (uint32_t)off);
}

/* R9 = offset of the memory operand.  Few handlers for all registers: they read their numbers. */
static void put_any_offset(struct stub *s)
{
    STUB(s, 0x0f, 0xb6, 0x46, offsetof(struct op, x)); /* movzbl x(%rsi), %eax */
    STUB(s, 0x4c, 0x8b, 0x0c, 0xc7);                   /* mov (%rdi, %rax, 8), %r9 */
    STUB(s, 0x8a, 0x4e, offsetof(struct op, s));       /* mov s(%rsi), %cl */
    STUB(s, 0x49, 0xd3, 0xe1);                         /* shl %cl, %r9 */
    STUB(s, 0x0f, 0xb6, 0x46, offsetof(struct op, b)); /* movzbl b(%rsi), %eax */
    STUB(s, 0x4c, 0x03, 0x0c, 0xc7);                   /* add (%rdi, %rax, 8), %r9 */
    STUB(s, 0x48, 0x63, 0x46, offsetof(struct op, disp));
    STUB(s, 0x49, 0x01, 0xc1); /* add %rax, %r9 */
}

static void put_own_offset(struct stub *s, const struct insn *in)
{
    STUB(s, 0x4c, 0x63, 0x4e, offsetof(struct op, disp)); /* movslq disp(%rsi), %r9 */
    if (in->base != INSN_NONE) {
        STUB(s, 0x4c, 0x03); /* add base, %r9 */
        off_vp(s, 9, in->base == INSN_RIP ? offsetof(struct soft_vp, block_rip)
                                          : fpu_off_gpr(in->base));
    }
    if (in->index != INSN_NONE) {
        STUB(s, 0x48, 0x8b); /* mov index, %rax; lea (%r9, %rax, scale), %r9 */
        off_vp(s, RAX, fpu_off_gpr(in->index));
        STUB(s, 0x4d, 0x8d, 0x0c);
        stub_byte(s, (unsigned)in->scale << 6 | 1);
    }
}

static void put_offset(struct stub *s, const struct insn *in, bool sparing)
{
    if (sparing)
        put_any_offset(s);
    else
        put_own_offset(s, in);
    if (in->addr_size == 4)
        STUB(s, 0x45, 0x89, 0xc9); /* mov %r9d, %r9d */
}

/* R9 = linear address: 64-bit code, or flat segments. */
static bool put_linear(struct stub *s, const struct insn *in, uint32_t mode)
{
    bool based = in->seg >= SEG_FS;

    if ((mode & MODE_SIZE) != MODE_64)
        return (mode & MODE_FLAT) && !based;
    if (based) {
        STUB(s, 0x4c, 0x03);
        off_vp(s, 9, offsetof(struct soft_vp, seg_base) + in->seg * 8u);
    }
    return true;
}

/* R9 = host address of what it named, if the TLB has it. */
static void put_lookup(struct stub *s, const struct fpu_op *op, struct slow *slow)
{
    uint32_t table =
        op->form == FPU_STORE ? offsetof(struct tlb, write) : offsetof(struct tlb, read);

    if (op->align) {
        STUB(s, 0x41, 0xf6, 0xc1); /* test $align, %r9b */
        stub_byte(s, op->align);
        jump_slow(s, slow, 0x75);
    }
    STUB(s, 0x4c, 0x89, 0xc8, 0xc1, 0xe8, 0x08, 0x25); /* eax = r9 >> 8 & mask: slot * 16 */
    stub_u32(s, (TLB_ENTRIES - 1) << 4);
    STUB(s, 0x48, 0x03); /* add tlb, %rax */
    off_vp(s, RAX, offsetof(struct soft_vp, tlb));
    STUB(s, 0x4c, 0x2b, 0x88); /* sub tag, %r9 */
    stub_u32(s, table);
    STUB(s, 0x49, 0x81, 0xf9); /* cmp $PAGE_SIZE - size, %r9; ja */
    stub_u32(s, (uint32_t)PAGE_SIZE - op->size);
    jump_slow(s, slow, 0x77);
    STUB(s, 0x4c, 0x03, 0x88); /* add tag, %r9; add add, %r9 */
    stub_u32(s, table);
    STUB(s, 0x4c, 0x03, 0x88);
    stub_u32(s, table + offsetof(struct tlb_entry, add));
}
_Static_assert(sizeof(struct tlb_entry) == 16 && offsetof(struct tlb_entry, tag) == 0,
               "put_lookup");

/* FIP, FOP, FCS, and FDP with its selector: the linear address is in R8. */
static void put_pointers(struct stub *s, const struct insn *in, const struct fpu_op *op)
{
    STUB(s, 0x0f, 0xb7); /* movzwl off(%rsi), %eax; add block_rip, %rax; mov %rax, fip */
    stub_byte(s, 0x40 | RSI);
    stub_byte(s, offsetof(struct op, off));
    STUB(s, 0x48, 0x03);
    off_vp(s, RAX, offsetof(struct soft_vp, block_rip));
    STUB(s, 0x48, 0x89);
    off_vp(s, RAX, offsetof(struct soft_vp, fpu.fip));
    STUB(s, 0x0f, 0xb7); /* movzwl cs, %eax; shl $16; or $fop; mov %eax, fop and fcs */
    off_vp(s, RAX, offsetof(struct soft_vp, seg[SEG_CS].sel));
    STUB(s, 0xc1, 0xe0, 0x10, 0x0d);
    stub_u32(s, op->fop);
    STUB(s, 0x89);
    off_vp(s, RAX, offsetof(struct soft_vp, fpu.fop));
    if (op->form == FPU_REG)
        return;
    STUB(s, 0x4c, 0x89); /* mov %r8, fdp; movzwl sel, %eax; mov %ax, fds */
    off_vp(s, 8, offsetof(struct soft_vp, fpu.fdp));
    STUB(s, 0x0f, 0xb7);
    off_vp(s, RAX, offsetof(struct soft_vp, seg) + in->seg * sizeof(struct vp_segment) +
                       offsetof(struct vp_segment, sel));
    STUB(s, 0x66, 0x89);
    off_vp(s, RAX, offsetof(struct soft_vp, fpu.fds));
}
_Static_assert(offsetof(struct soft_fpu, fcs) == offsetof(struct soft_fpu, fop) + 2, "one store");

static void put_next(struct stub *s)
{
#ifdef OPS_TAIL_CALLS
    STUB(s, 0x48, 0x83, 0xc6, sizeof(struct op), 0xff, 0x26); /* add $32, %rsi; jmp *(%rsi) */
#else
    STUB(s, 0x48, 0x8d, 0x46, sizeof(struct op), 0xc3); /* lea 32(%rsi), %rax; ret */
#endif
}
_Static_assert(offsetof(struct op, run) == 0 && sizeof(struct op) == 32, "put_next");

static void put_slow(struct stub *s, const struct slow *slow, const void *to)
{
    uint64_t at = (uint64_t)(uintptr_t)to;

    if (!slow->n)
        return;
    for (unsigned i = 0; i < slow->n; i++)
        s->code[slow->at[i]] = (uint8_t)(s->n - slow->at[i] - 4); /* the other bytes are 0 */
    STUB(s, 0x48, 0xb8); /* mov $to, %rax; jmp *%rax */
    stub_put(s, &at, 8);
    STUB(s, 0xff, 0xe0);
}

const void *fpu_handler(struct soft_vp *vp, const struct insn *in, uint32_t mode,
                        const void *slow_to, struct fpu_traits *ret)
{
    struct fpu_op op;
    struct stub body, s; /* too large to be cleared each time */
    struct slow slow = { 0 };

    s.kind = STUB_HANDLER;
    s.op = &op;
    s.n = 0;
    if (!(mode & MODE_FPU) || (in->prefixes & PFX_LOCK) ||
        ((in->prefixes & PFX_VEX) && !(mode & MODE_AVX)) ||
        !fpu_pick(vp, in, STUB_HANDLER, &op, &body))
        return NULL;
    if (((op.flags & FPU_XM) && (mode & MODE_XM)) || ((op.flags & FPU_X87) && (mode & MODE_MF)))
        return NULL;
    if (op.flags & FPU_X87) {
        STUB(&s, 0x80); /* cmpb $0, live; je */
        off_vp(&s, 7, offsetof(struct soft_vp, fpu.live));
        STUB(&s, 0);
        jump_slow(&s, &slow, 0x74);
    }
    if (op.form != FPU_REG) {
        if (in->addr_size == 2)
            return NULL;
        put_offset(&s, in, stub_crowded(vp->fpu_private->stubs));
        if (op.flags & FPU_X87_PTR)
            STUB(&s, 0x4d, 0x89, 0xc8); /* mov %r9, %r8 */
        if (!put_linear(&s, in, mode))
            return NULL;
        put_lookup(&s, &op, &slow);
    }
    if (op.flags & FPU_X87_PTR)
        put_pointers(&s, in, &op);
    if (op.flags & FPU_READS) {
        STUB(&s, 0x8b); /* mov kept flags, %eax; sahf */
        off_vp(&s, RAX, offsetof(struct soft_vp, lazy[LAZY_FLAGS]));
        STUB(&s, 0x9e);
    }
    stub_put(&s, body.code, body.n);
    if (op.flags & FPU_FLAGS) {
        STUB(&s, 0x9f, 0x0f, 0x90, 0xc0, 0x66, 0x89); /* lahf; seto %al; mov %ax, kept flags */
        off_vp(&s, RAX, offsetof(struct soft_vp, lazy[LAZY_FLAGS]));
    }
    put_next(&s);
    *ret = (struct fpu_traits){ .faults = slow.n, .reads = op.flags & FPU_READS,
                                .kills = op.flags & FPU_FLAGS };
    put_slow(&s, &slow, slow_to);
    return stub_get(vp->fpu_private->stubs, &s);
}
