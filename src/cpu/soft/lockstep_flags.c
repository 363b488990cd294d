/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep_flags.c - arithmetic flags that the architecture leaves undefined (SDM 2, "Flags Affected").
 *
 * Processors leave some of them as they were before the instruction, and that is not the same in host code
 * and in the interpreter, where the instruction stands among others.  AND, OR, XOR, TEST and their like
 * (AF) are not here: what processors do there depends on nothing.
 * Called: lockstep.c, for the instructions that the interpreter has run when only flags differ. */
#include "cpu/soft/jit_private.h"
#include "cpu/soft/lockstep_private.h"

static unsigned of_map_1(const struct insn *in)
{
    unsigned op = in->opcode, ext = in->reg & 7;

    if (op == 0x69 || op == 0x6b || ((op & 0xfe) == 0xf6 && (ext == 4 || ext == 5)))
        return F_SF | F_ZF | F_AF | F_PF; /* multiplications */
    if ((op & 0xfe) == 0xf6 && ext >= 6)
        return F_ARITH; /* divisions */
    if ((op & 0xfe) == 0xc0 || (op & 0xfc) == 0xd0)
        return ext < 4 ? F_OF : F_OF | F_AF | F_CF; /* rotations and shifts */
    return 0;
}

static unsigned of_map_0f(const struct insn *in)
{
    switch (in->opcode) {
    case 0xaf:
        return F_SF | F_ZF | F_AF | F_PF;
    case 0xa3: case 0xab: case 0xb3: case 0xbb: case 0xba:
        return F_OF | F_SF | F_AF | F_PF;
    case 0xbc: case 0xbd:
        return F_CF | F_OF | F_SF | F_AF | F_PF;
    case 0xa4: case 0xa5: case 0xac: case 0xad: /* 16 bits by more: all of them */
        return in->op_size == 2 ? F_ARITH : F_OF | F_AF;
    default:
        return 0;
    }
}

unsigned lock_undefined(struct soft_vp *vp, const struct insn *in, unsigned before)
{
    struct jit_insn u = { .in = *in };

    jit_classify(vp, &u, vp->mode);
    if (u.makes && !u.partial)
        before = 0;
    if (in->prefixes & PFX_VEX) /* ANDN, BLSI ..., BZHI, BEXTR; others write no flags */
        return in->map == MAP_0F38 && u.makes ? before | F_AF | F_PF | (in->opcode == 0xf7 ? F_SF : 0)
                                              : before;
    return before | (in->map == MAP_1    ? of_map_1(in)
                     : in->map == MAP_0F ? of_map_0f(in)
                                         : 0);
}
