/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memory.c - work on memory: strings, a hash table, copies, streams, string instructions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* ---- strings: the C library's, on short and long ones ---------------------------------------- */

static uint64_t strings(void)
{
    enum { N = 64 };
    static char text[N * 70 + 1], copy[sizeof text];
    uint64_t sum = 0;
    uint32_t x = 7;

    for (unsigned i = 0; i < N; i++)
        snprintf(text + i * 70, 71, "%068u\n ", bench_next(&x));
    for (unsigned round = 0; round < 40000; round++) {
        text[round % (N * 70)] = (char)('a' + round % 26);
        sum += strlen(text + round % 1000);
        memcpy(copy, text, sizeof text);
        sum += (uint64_t)(strcmp(copy, text) + 1);
        const char *hit = strchr(copy + round % 1000, 'z');
        sum += hit ? (uint64_t)(hit - copy) : 1;
        hit = strstr(copy, "zzq");
        sum += hit ? (uint64_t)(hit - copy) : 1;
        for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
            sum++;
    }
    return sum;
}

/* ---- a hash table with chains ---------------------------------------------------------------- */

struct entry {
    struct entry *next;
    uint32_t key, value;
};

static uint64_t hash_table(void)
{
    enum { BUCKETS = 1 << 14, N = 60000 };
    struct entry **bucket = calloc(BUCKETS, sizeof *bucket), *pool = calloc(N, sizeof *pool);
    uint32_t x = 99;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < N; i++) {
        uint32_t key = bench_next(&x), slot = key * 2654435761u >> 18;

        pool[i] = (struct entry){ bucket[slot], key, i };
        bucket[slot] = &pool[i];
    }
    for (unsigned round = 0; round < 250; round++) {
        x = 99;
        for (uint32_t i = 0; i < N; i++) {
            uint32_t key = bench_next(&x);
            struct entry *e = bucket[key * 2654435761u >> 18];

            while (e->key != key)
                e = e->next;
            sum += e->value++;
        }
    }
    free(bucket);
    free(pool);
    return sum;
}

/* ---- streams --------------------------------------------------------------------------------- */

static uint64_t stream(void)
{
    enum { N = 1 << 20 };
    uint64_t *a = malloc(N * 8), *b = malloc(N * 8), sum = 0;

    for (uint64_t i = 0; i < N; i++)
        a[i] = i;
    for (unsigned round = 0; round < 40; round++) {
        memcpy(b, a, N * 8);
        for (unsigned i = 0; i < N; i += 8)
            a[i] = b[N - 1 - i] + 3 * b[i];
        memmove(a + 1, a, (N - 1) * 8);
    }
    for (unsigned i = 0; i < N; i++)
        sum = sum * 7 + a[i];
    free(a);
    free(b);
    return sum;
}

/* ---- string instructions --------------------------------------------------------------------- */

static void rep_movsb(void *to, const void *from, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static void rep_stosq(void *to, uint64_t v, size_t n)
{
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(v) : "memory");
}

static size_t repne_scasb(const void *from, uint8_t v, size_t n)
{
    __asm__ volatile("repne scasb" : "+D"(from), "+c"(n) : "a"(v) : "memory", "cc");
    return n;
}

static uint64_t rep_strings(void)
{
    enum { N = 1 << 20 };
    uint8_t *a = malloc(N), *b = malloc(N);
    uint64_t sum = 0;

    for (unsigned round = 0; round < 600; round++) {
        rep_stosq(a, round * 0x0101010101010101u, N / 8);
        a[N - 1 - round] = 0xff;
        rep_movsb(b, a, N);
        for (unsigned k = 0; k < 200; k++)
            rep_movsb(b + k * 64, a + k * 100, 61);
        if (round % 10 == 0)
            sum += repne_scasb(b, 0xff, N);
        sum = sum * 3 + b[round * 100];
    }
    free(a);
    free(b);
    return sum;
}

const struct bench bench_memory[] = {
    { "strings", strings, 0 },
    { "hash_table", hash_table, 0 },
    { "stream", stream, 0 },
    { "rep_movs", rep_strings, 0 },
    { 0 },
};
