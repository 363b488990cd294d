/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util.h - the few macros that every file may use. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/banned.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define ALIGN_DOWN(x, a) ((x) & ~((__typeof__(x))(a) - 1))
#define ALIGN_UP(x, a)   ALIGN_DOWN((x) + ((__typeof__(x))(a) - 1), a)

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define MUST_CHECK         __attribute__((warn_unused_result))
#define UNUSED             __attribute__((unused))

/* Scope cleanup: AUTO(free_p) char *s = ...;  TAKE_PTR(s) gives it away. */
#define AUTO(fn) __attribute__((cleanup(fn)))
#define TAKE_PTR(p) \
    ({ __typeof__(p) taken_ = (p); (p) = NULL; taken_; })
#define TAKE_FD(fd) \
    ({ int taken_fd_ = (fd); (fd) = -1; taken_fd_; })

static inline void free_p(void *p)
{
    free(*(void **)p);
}

static inline void close_fd_p(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* Does [off, off + len) lie in [0, size)?  Cannot wrap. */
static inline bool range_ok(uint64_t off, uint64_t len, uint64_t size)
{
    return len <= size && off <= size - len;
}

static inline bool is_pow2(uint64_t x)
{
    return x && !(x & (x - 1));
}
