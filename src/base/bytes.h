/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bytes.h - foreign bytes: unaligned endian access and a checked cursor. */
#pragma once

#include <endian.h>
#include <string.h>

#include "base/util.h"

#define DEFINE_ENDIAN(bits, order)                                      \
    static inline uint##bits##_t get_##order##bits(const void *p)       \
    {                                                                   \
        uint##bits##_t v;                                               \
        memcpy(&v, p, sizeof v);                                        \
        return order##bits##toh(v);                                     \
    }                                                                   \
    static inline void put_##order##bits(void *p, uint##bits##_t v)     \
    {                                                                   \
        v = hto##order##bits(v);                                        \
        memcpy(p, &v, sizeof v);                                        \
    }
DEFINE_ENDIAN(16, le)
DEFINE_ENDIAN(32, le)
DEFINE_ENDIAN(64, le)
DEFINE_ENDIAN(16, be)
DEFINE_ENDIAN(32, be)
DEFINE_ENDIAN(64, be)
#undef DEFINE_ENDIAN

/* A cursor over bytes that are not ours to trust.  Each take moves on, or leaves
 * the cursor where it was and returns false. */
struct bytes {
    const uint8_t *p;
    size_t n;
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){ p, n };
}

static inline bool bytes_skip(struct bytes *b, size_t n)
{
    if (b->n < n)
        return false;
    b->p += n;
    b->n -= n;
    return true;
}

static inline bool bytes_copy(struct bytes *b, void *to, size_t n)
{
    if (b->n < n)
        return false;
    memcpy(to, b->p, n);
    return bytes_skip(b, n);
}

static inline bool bytes_u8(struct bytes *b, uint8_t *ret)
{
    return bytes_copy(b, ret, 1);
}

static inline bool bytes_le16(struct bytes *b, uint16_t *ret)
{
    if (b->n < 2)
        return false;
    *ret = get_le16(b->p);
    return bytes_skip(b, 2);
}

static inline bool bytes_le32(struct bytes *b, uint32_t *ret)
{
    if (b->n < 4)
        return false;
    *ret = get_le32(b->p);
    return bytes_skip(b, 4);
}

static inline bool bytes_le64(struct bytes *b, uint64_t *ret)
{
    if (b->n < 8)
        return false;
    *ret = get_le64(b->p);
    return bytes_skip(b, 8);
}
