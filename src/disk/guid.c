/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guid.c - see guid.h. */
#include "disk/guid.h"

#include <pthread.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "base/bytes.h"
#include "base/rng.h"

void guid_swap(const uint8_t from[16], uint8_t to[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint8_t out[16];

    for (unsigned i = 0; i < 16; i++)
        out[i] = from[order[i]];
    memcpy(to, out, 16);
}

void guid_text(const uint8_t g[16], char to[GUID_TEXT])
{
    snprintf(to, GUID_TEXT,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", g[0], g[1],
             g[2], g[3], g[4], g[5], g[6], g[7], g[8], g[9], g[10], g[11], g[12], g[13], g[14],
             g[15]);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool guid_parse(const char *text, uint8_t ret[16])
{
    bool brace = *text == '{';
    uint8_t out[16];
    const char *p = text + brace;

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            if (*p++ != '-')
                return false;
        }
        int hi = hex_digit(p[0]), lo = hi < 0 ? -1 : hex_digit(p[1]);
        if (lo < 0)
            return false;
        out[i] = (uint8_t)(hi << 4 | lo);
        p += 2;
    }
    if (brace && *p++ != '}')
        return false;
    if (*p)
        return false;
    memcpy(ret, out, 16);
    return true;
}

bool guid_is_zero(const uint8_t guid[16])
{
    return is_zero(guid, 16);
}

void guid_random(uint8_t ret[16])
{
    struct rng r;
    uint64_t a, b;

    rng_init_host(&r);
    a = rng_u64(&r);
    b = rng_u64(&r);
    memcpy(ret, &a, 8);
    memcpy(ret + 8, &b, 8);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
}

bool is_zero(const void *p, size_t n)
{
    const uint8_t *b = p;

    for (; n && (uintptr_t)b & 7; n--)
        if (*b++)
            return false;
    for (; n >= 32; n -= 32, b += 32) {
        uint64_t v[4];
        memcpy(v, b, 32);
        if (v[0] | v[1] | v[2] | v[3])
            return false;
    }
    for (; n; n--)
        if (*b++)
            return false;
    return true;
}

/* ---- CRC-32C --------------------------------------------------------------------------------- */

static uint32_t crc_step(uint32_t crc)
{
    return crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
}

static uint32_t crc_soft(uint32_t crc, const uint8_t *p, size_t n)
{
    static uint32_t table[256];
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&once);
    for (uint32_t i = 0; !table[255] && i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = crc_step(c);
        table[i] = c;
    }
    pthread_mutex_unlock(&once);
    while (n--)
        crc = table[(crc ^ *p++) & 0xff] ^ crc >> 8;
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hard(uint32_t crc, const uint8_t *p,
                                                           size_t n)
{
    uint64_t c = crc;

    for (; n >= 8; n -= 8, p += 8)
        c = _mm_crc32_u64(c, get_le64(p));
    for (; n; n--)
        c = _mm_crc32_u8((uint32_t)c, *p++);
    return (uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_hard(crc, p, n);
#endif
    return ~crc_soft(crc, p, n);
}

/* ---- UTF-16 ---------------------------------------------------------------------------------- */

static size_t utf8_put(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

char *utf16_decode(const uint8_t *p, size_t units, bool big_endian)
{
    char *out = malloc(units * 3 + 1);
    size_t n = 0;

    if (!out)
        return NULL;
    for (size_t i = 0; i < units; i++) {
        uint32_t c = big_endian ? get_be16(p + 2 * i) : get_le16(p + 2 * i);
        if (!c)
            break;
        if (c >= 0xd800 && c < 0xdc00 && i + 1 < units) {
            uint32_t d = big_endian ? get_be16(p + 2 * i + 2) : get_le16(p + 2 * i + 2);
            if (d >= 0xdc00 && d < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (d - 0xdc00);
                i++;
            }
        }
        n += utf8_put(out + n, c);
    }
    out[n] = '\0';
    return out;
}

/* One character; bytes that are no UTF-8 stand for themselves. */
static uint32_t utf8_get(const uint8_t **p)
{
    const uint8_t *s = *p;
    unsigned more = s[0] >= 0xf0 && s[0] < 0xf5 ? 3 : s[0] >= 0xe0 && s[0] < 0xf0 ? 2
                    : s[0] >= 0xc2 && s[0] < 0xe0 ? 1 : 0;
    uint32_t c = more == 3 ? s[0] & 7u : more == 2 ? s[0] & 15u : more == 1 ? s[0] & 31u : s[0];

    for (unsigned i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            *p = s + 1;
            return s[0];
        }
        c = c << 6 | (s[i] & 0x3fu);
    }
    *p = s + 1 + more;
    return c;
}

static void unit_put(uint8_t *to, size_t i, uint32_t v, bool big_endian)
{
    if (big_endian)
        put_be16(to + 2 * i, (uint16_t)v);
    else
        put_le16(to + 2 * i, (uint16_t)v);
}

size_t utf16_encode(const char *utf8, uint8_t *to, size_t max, bool big_endian)
{
    const uint8_t *p = (const uint8_t *)utf8;
    size_t n = 0;

    while (*p) {
        uint32_t c = utf8_get(&p);
        size_t need = c >= 0x10000 ? 2 : 1;
        if (n + need > max)
            return SIZE_MAX;
        if (need == 2) {
            unit_put(to, n, 0xd800 + ((c - 0x10000) >> 10), big_endian);
            unit_put(to, n + 1, 0xdc00 + ((c - 0x10000) & 0x3ff), big_endian);
        } else {
            unit_put(to, n, c, big_endian);
        }
        n += need;
    }
    return n;
}
