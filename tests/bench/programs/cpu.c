/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu.c - integer work: a loop, a bytecode interpreter, calls, SHA-256, sorting. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* ---- a loop whose instructions are known ----------------------------------------------------- */

#define LOOPS UINT64_C(200000000)
#define LOOP_INSTRUCTIONS 14

/* Four chains: a single one would measure the latency of an addition, on any machine. */
static uint64_t int_loop(void)
{
    uint64_t n = LOOPS, a = 1, b = 2, c = 3, d = 4;

    __asm__ volatile("1: lea 7(%0,%0,2), %0\n\t"
                     "lea (%1,%1,4), %1\n\t"
                     "add $5, %2\n\t"
                     "sub $7, %3\n\t"
                     "xor $0x155, %0\n\t"
                     "sub $3, %1\n\t"
                     "shl $1, %2\n\t"
                     "lea 1(%3,%3), %3\n\t"
                     "add $0x11, %0\n\t"
                     "xor $0x77, %1\n\t"
                     "xor $9, %2\n\t"
                     "and $-2, %3\n\t"
                     "dec %4\n\t"
                     "jnz 1b"
                     : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(n)
                     :
                     : "cc");
    return a + b + c + d;
}

/* ---- bytecode -------------------------------------------------------------------------------- */

enum { OP_PUSH, OP_ADD, OP_MUL, OP_XOR, OP_DUP, OP_SWAP, OP_LOAD, OP_STORE, OP_JNZ, OP_DEC, OP_HALT };

static uint64_t bytecode(void)
{
    /* v0: counter, v1: sum */
    static const uint8_t code[] = {
        OP_LOAD, 1, OP_LOAD, 0, OP_DUP, OP_MUL, OP_ADD, OP_PUSH, 17, OP_XOR, OP_PUSH, 3, OP_SWAP,
        OP_ADD, OP_STORE, 1, OP_DEC, 0, OP_LOAD, 0, OP_JNZ, 0, OP_HALT,
    };
    uint64_t var[2] = { 4000000, 0 }, stack[16];
    unsigned sp = 0, pc = 0;

    for (;;) {
        uint64_t x;

        switch (code[pc++]) {
        case OP_PUSH: stack[sp++] = code[pc++]; break;
        case OP_ADD: sp--; stack[sp - 1] += stack[sp]; break;
        case OP_MUL: sp--; stack[sp - 1] *= stack[sp]; break;
        case OP_XOR: sp--; stack[sp - 1] ^= stack[sp]; break;
        case OP_DUP: stack[sp] = stack[sp - 1]; sp++; break;
        case OP_SWAP: x = stack[sp - 1]; stack[sp - 1] = stack[sp - 2]; stack[sp - 2] = x; break;
        case OP_LOAD: stack[sp++] = var[code[pc++]]; break;
        case OP_STORE: var[code[pc++]] = stack[--sp]; break;
        case OP_DEC: var[code[pc++]]--; break;
        case OP_JNZ: pc = stack[--sp] ? code[pc] : pc + 1; break;
        case OP_HALT: return var[1];
        }
    }
}

/* ---- calls ----------------------------------------------------------------------------------- */

__attribute__((noinline)) static uint64_t fib(unsigned n)
{
    __asm__ volatile("" : "+r"(n)); /* no clever compiler */
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t fib_calls(void)
{
    return fib(37);
}

/* ---- SHA-256 --------------------------------------------------------------------------------- */

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void sha_block(uint32_t h[8], const uint32_t in[16])
{
    uint32_t w[64], s[8];

    memcpy(w, in, 64);
    for (unsigned i = 16; i < 64; i++)
        w[i] = w[i - 16] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7] +
               (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, h, 32);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) +
                      ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
        uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) +
                      ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 28);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (unsigned i = 0; i < 8; i++)
        h[i] += s[i];
}

static uint64_t sha256(void)
{
    uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    uint32_t in[16] = { 0 };

    for (uint32_t i = 0; i < 150000; i++) {
        in[i % 16] += i;
        sha_block(h, in);
    }
    return (uint64_t)h[0] << 32 | h[7];
}

/* ---- sorting --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint64_t sort(void)
{
    enum { N = 1000000 };
    uint32_t *v = malloc(N * sizeof *v), x = 1;
    uint64_t sum = 0;

    for (unsigned i = 0; i < N; i++)
        v[i] = bench_next(&x);
    qsort(v, N, sizeof *v, by_value);
    for (unsigned i = 0; i < N; i++)
        sum = sum * 31 + v[i];
    free(v);
    return sum;
}

const struct bench bench_cpu[] = {
    { "int_loop", int_loop, LOOPS * LOOP_INSTRUCTIONS },
    { "bytecode", bytecode, 0 },
    { "fib_calls", fib_calls, 0 },
    { "sha256", sha256, 0 },
    { "sort", sort, 0 },
    { 0 },
};
