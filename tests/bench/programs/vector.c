/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vector.c - SSE2 in doubles and in integers, and the x87 unit. */
#include <emmintrin.h>
#include <string.h>

#include "bench.h"

static uint64_t bits_of(double d)
{
    uint64_t v;

    memcpy(&v, &d, sizeof v);
    return v;
}

static uint64_t sse_float(void)
{
    enum { N = 96 };
    static double a[N][N], b[N][N], c[N][N];
    double sum = 0;

    for (unsigned i = 0; i < N; i++) {
        for (unsigned j = 0; j < N; j++) {
            a[i][j] = (double)(i + j) / N;
            b[i][j] = (double)(i * j % 17) - 8;
        }
    }
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < N; i++) {
            for (unsigned j = 0; j < N; j += 2) {
                __m128d s = _mm_setzero_pd();

                for (unsigned k = 0; k < N; k++)
                    s = _mm_add_pd(s, _mm_mul_pd(_mm_set1_pd(a[i][k]), _mm_loadu_pd(&b[k][j])));
                _mm_storeu_pd(&c[i][j], _mm_sqrt_pd(_mm_mul_pd(s, s)));
            }
        }
        for (unsigned i = 0; i < N; i++)
            a[i][round % N] += c[round % N][i] / 1000;
    }
    for (unsigned i = 0; i < N; i++)
        sum += c[i][i];
    return bits_of(sum);
}

static uint64_t sse_int(void)
{
    enum { N = 4096 };
    static uint8_t a[N], b[N];
    __m128i sum = _mm_setzero_si128();
    uint64_t out[2];

    for (unsigned i = 0; i < N; i++) {
        a[i] = (uint8_t)(i * 7);
        b[i] = (uint8_t)(i * 13 + 5);
    }
    for (unsigned round = 0; round < 250000; round++) {
        __m128i add = _mm_set1_epi8((char)round);

        for (unsigned i = 0; i < N; i += 16) {
            __m128i x = _mm_loadu_si128((const void *)(a + i));
            __m128i y = _mm_loadu_si128((const void *)(b + i));

            x = _mm_adds_epu8(_mm_xor_si128(x, add), y);
            sum = _mm_add_epi64(sum, _mm_sad_epu8(x, y));
            y = _mm_unpacklo_epi8(_mm_srli_epi16(x, 3), _mm_cmpgt_epi8(x, y));
            _mm_storeu_si128((void *)(b + i), _mm_shuffle_epi32(y, 0x1b));
        }
    }
    memcpy(out, &sum, sizeof out);
    return out[0] ^ out[1];
}

static uint64_t x87(void)
{
    long double sum = 0, x = 1;

    for (unsigned i = 1; i < 6000000; i++) {
        long double y;

        x = x * 1.0000001L + 1.0L / (long double)i;
        __asm__("fsqrt" : "=t"(y) : "0"(x));
        sum += y - (long double)(int)y;
    }
    for (unsigned i = 0; i < 150000; i++) {
        long double y = (long double)i / 100;

        __asm__("fsin" : "+t"(y));
        sum += (long double)(int)(y * 1000);
    }
    return bits_of((double)(int64_t)(sum * 1000));
}

const struct bench bench_vector[] = {
    { "sse_float", sse_float, 0 },
    { "sse_int", sse_int, 0 },
    { "x87", x87, 0 },
    { 0 },
};
