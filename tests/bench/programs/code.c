/* SPDX-License-Identifier: GPL-2.0-or-later */
/* code.c - code that changes under the processor's feet. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

typedef uint32_t function(uint32_t);

/* lea IMM(%rdi), %eax; ret */
static const uint8_t add_imm[] = { 0x8d, 0x87, 0, 0, 0, 0, 0xc3 };

/* One function, patched before each call; and many, written anew now and then. */
static uint64_t self_modifying(void)
{
    enum { MANY = 256 };
    uint8_t *p = mmap(NULL, 4096 * 4, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t x = 1;
    function *f;

    if (p == MAP_FAILED)
        abort();
    memcpy(p, add_imm, sizeof add_imm);
    for (uint32_t i = 0; i < 20000; i++) {
        memcpy(p + 2, &i, 4);
        memcpy(&f, &(uint8_t *){ p }, sizeof f);
        x = f(x) ^ i;
    }
    for (uint32_t round = 0; round < 300; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            uint8_t *q = p + 4096 + i * 32;
            uint32_t imm = i * round;

            memcpy(q, add_imm, sizeof add_imm);
            memcpy(q + 2, &imm, 4);
        }
        for (uint32_t i = 0; i < MANY * 4; i++) {
            memcpy(&f, &(uint8_t *){ p + 4096 + i % MANY * 32 }, sizeof f);
            x = f(x) * 3;
        }
    }
    munmap(p, 4096 * 4);
    return x;
}

const struct bench bench_code[] = {
    { "self_modifying", self_modifying, 0 },
    { 0 },
};
