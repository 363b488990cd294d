/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_near.c - memory accesses near the one before: fields of a structure, a run of pushes.
 *
 * Behind an access R11 still is the host's address of [base + disp].  The next one by the same, unchanged
 * base is a few bytes away, and on the same page unless that is close to the page's end, which two
 * instructions tell.  A pointer that the TLB gave is good up to the next safe point (mem.h), and
 * within a block there is none.
 * Called: jit_emit.c, jit.c. */
#include "cpu/soft/jit_private.h"

#define A (&t->a)
#define REACH 256 /* bytes */

/* The page offset's bits that tell 'n' or more from less: at most twice n. */
static uint32_t at_least(unsigned n)
{
    unsigned power = 1;

    while (power < n)
        power *= 2;
    return (PAGE_SIZE - 1) & ~(power - 1);
}

/* R11 = host address of [base + disp], if that is to be had from the last one.  false: nothing is done.
 * align: mask of address bits that must be 0. */
bool jit_near(struct xlate *t, unsigned base, int32_t disp, unsigned size, bool write, unsigned align)
{
    const struct near *n = &t->near;
    int64_t delta = (int64_t)disp - n->disp, end = delta + size;
    bool stack = (base == RSP || base == RBP) && size <= 8;
    struct miss *m;

    if (!n->valid || n->delta || n->base != base || (write && !n->write) || delta < -REACH ||
        end > REACH || (n->align & align) != align || (delta & align))
        return false;
    if (delta >= 0 && end <= n->size) { /* a part of it */
        if (delta)
            asm_op(A, X_LEA | OPC_W, H_R11, rm_mem(H_R11, (int32_t)delta), 0);
        t->near_used = true;
        return true;
    }
    if (delta >= 0) { /* its last byte: not one of the first of a page */
        asm_op(A, X_LEA, H_RAX, rm_mem(H_R11, (int32_t)end - 1), 0);
        asm_8(A, 0xa9); /* test $, %eax */
        asm_32(A, at_least((unsigned)end));
    } else if (end <= n->size) {
        asm_op(A, 0xf7, 0, rm_reg(H_R11), 4); /* test $, %r11d */
        asm_32(A, at_least((unsigned)-delta));
    } else {
        return false;
    }
    m = jit_miss(t, stack ? MISS_NEAR_TOP : MISS_NEAR, CC_E, size, write);
    m->base = (uint8_t)base;
    m->disp = disp;
    if (delta)
        asm_op(A, X_LEA | OPC_W, H_R11, rm_mem(H_R11, (int32_t)delta), 0);
    m->done = A->p;
    flags_lost(t);
    return true;
}

/* Behind the current instruction R11 is the host's address of [base + disp]. */
void jit_near_set(struct xlate *t, unsigned base, int64_t disp, unsigned size, bool write, unsigned align)
{
    if (disp != (int32_t)disp || host_of(base) == H_NONE)
        return;
    write |= t->near_used && t->near.write; /* the same bytes; another page may be one to read only */
    t->near = (struct near){ .valid = true, .write = write, .base = (uint8_t)base,
                             .size = (uint8_t)size, .align = (uint8_t)align, .disp = (int32_t)disp };
    t->near_set = true;
}

/* Does it leave R11 alone? */
static bool keeps_r11(const struct jit_insn *u)
{
    const struct insn *in = &u->in;

    if (u->emit == emit_rm) /* what it has or not is even: no branches */
        return !(in->has_modrm & (in->mod != 3)) & !u->rm_high & !u->reg_high &
               (u->rm_x | (host_of(in->rm) != H_NONE));
    if (u->emit == emit_lea)
        return host_of(in->reg) != H_NONE &&
               (in->base == INSN_NONE || (in->base < GPRS && host_of(in->base) != H_NONE));
    return u->emit == emit_nothing || u->emit == emit_mov_imm || u->emit == emit_sign ||
           u->emit == emit_jcc;
}

bool jit_near_follows(const struct xlate *t)
{
    const struct jit_insn *u = &t->insn[t->i];

    for (unsigned i = t->i; i + 1 < t->n; i++) {
        const struct jit_insn *v = &t->insn[i + 1];
        int64_t delta = (int64_t)v->in.disp - (int64_t)u->in.disp;

        if (t->insn[i].writes >> u->in.base & 1 || v->label)
            return false;
        if (v->emit == emit_rm && v->in.has_modrm && v->in.mod != 3)
            return v->in.base == u->in.base && v->in.index == INSN_NONE && delta >= -REACH &&
                   delta < REACH && (u->rm_acc | (v->rm_acc & ACC_W)) == u->rm_acc;
        if (!v->keeps_r11)
            return false;
    }
    return false;
}

/* Others may want R11 before they look at memory. */
static bool looks_first(const struct jit_insn *u)
{
    return u->emit == emit_rm || u->emit == emit_push || u->emit == emit_push_imm ||
           u->emit == emit_pop || u->emit == emit_leave || u->emit == emit_call || u->emit == emit_ret;
}

void jit_near_classify(struct jit_insn *u)
{
    u->keeps_r11 = keeps_r11(u);
    u->takes_r11 = u->keeps_r11 || looks_first(u);
}

void jit_near_before(struct xlate *t)
{
    t->near_set = t->near_used = false;
    t->near.valid &= t->insn[t->i].takes_r11;
}

void jit_near_behind(struct xlate *t)
{
    const struct jit_insn *u = &t->insn[t->i];
    bool moved = t->near_set & (u->emit != emit_rm); /* it knows of RSP's new value */
    bool changed = !t->near.delta & !moved & (u->writes >> t->near.base & 1);

    t->near.valid &= (t->near_set | u->keeps_r11) & !changed;
}
