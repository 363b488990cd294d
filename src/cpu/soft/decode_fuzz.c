/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode_fuzz.c - any bytes in any mode: lengths stay within bounds and agree with a second look. */
#include "cpu/soft/insn.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct insn in, again;

    for (unsigned size = 0; size < 3; size++) {
        enum decode_result r = decode(data, n, size, &in);

        assert(in.len <= INSN_MAX && in.len <= n);
        if (r == DECODE_OK) {
            assert(in.imm_at + in.imm_size <= in.len && in.opcode_at < in.len);
            assert(decode(data, in.len, size, &again) == DECODE_OK && again.len == in.len);
            assert(decode(data, in.len - 1u, size, &again) == DECODE_MORE);
        }
    }
    return 0;
}
