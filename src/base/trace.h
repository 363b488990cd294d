/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trace.h - named trace points, always compiled in, off until asked for.
 *
 *     TRACE("vmbus", "open", "relid %u gpadl %#x", relid, gpadl);
 *
 * prints "vmbus.open relid 3 gpadl 0xe1e10" with a time stamp once a pattern such as
 * "vmbus.*" was enabled.  A point that is off costs one load and a branch. */
#pragma once

#include "base/util.h"

struct trace_point {
    const char *name; /* "folder.event" */
    uint32_t on;
};

/* Turn on every point whose name matches one of the comma-separated globs.
 * Returns how many matched.  Before threads start, or from the monitor. */
unsigned trace_enable(const char *patterns);

/* Write the names of all points of this program, one a line. */
void trace_list(FILE *to);

void trace_emit(const struct trace_point *p, const char *fmt, ...) PRINTF(2, 3);

/* A point of its own, for work that only traces need. */
#define TRACE_POINT(var, cat, event)                                                  \
    static struct trace_point var __attribute__((section("trace_points"), aligned(16))) = { \
        cat "." event, 0                                                              \
    }
static inline bool trace_on(const struct trace_point *p)
{
    return unlikely(__atomic_load_n(&p->on, __ATOMIC_RELAXED));
}

#define TRACE(cat, event, ...)                                                       \
    do {                                                                             \
        static struct trace_point point_                                             \
            __attribute__((section("trace_points"), aligned(16))) = { cat "." event, 0 }; \
        if (unlikely(__atomic_load_n(&point_.on, __ATOMIC_RELAXED)))                 \
            trace_emit(&point_, __VA_ARGS__);                                        \
    } while (0)
