/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/soft/build.h"
bool emit_fast(struct build *b, const struct insn *in)
{
    return false;
}
