/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bench.h - what a benchmark program is: a function that does a fixed amount of work.
 *
 * Its result is a checksum, the same on every correct machine.  The amount is chosen so that an
 * emulator needs some tenths of a second. */
#pragma once

#include <stdint.h>

struct bench {
    const char *name;
    uint64_t (*run)(void);
    uint64_t instructions; /* of the whole run, where they can be counted; else 0 */
};

extern const struct bench bench_cpu[], bench_memory[], bench_vector[], bench_os[], bench_code[];

/* A repeatable sequence of numbers. */
static inline uint32_t bench_next(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}
