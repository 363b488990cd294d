/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trace.c - see trace.h.  The points of all files lie in one linker section. */
#include "base/trace.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <sys/syscall.h>

/* Defined by the linker; weak, for a program without a single point. */
extern struct trace_point __start_trace_points[] __attribute__((weak));
extern struct trace_point __stop_trace_points[] __attribute__((weak));

unsigned trace_enable(const char *patterns)
{
    AUTO(free_p) char *copy = strdup(patterns);
    unsigned n = 0;

    if (!copy)
        return 0;
    for (char *rest = copy, *pat; (pat = strsep(&rest, ",")) != NULL;) {
        for (struct trace_point *p = __start_trace_points; p < __stop_trace_points; p++) {
            if (fnmatch(pat, p->name, 0) == 0) {
                __atomic_store_n(&p->on, 1, __ATOMIC_RELAXED);
                n++;
            }
        }
    }
    return n;
}

void trace_list(FILE *to)
{
    for (struct trace_point *p = __start_trace_points; p < __stop_trace_points; p++)
        fprintf(to, "%s\n", p->name);
}

void trace_emit(const struct trace_point *p, const char *fmt, ...)
{
    char line[512];
    struct timespec ts;
    va_list ap;
    int n;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    n = snprintf(line, sizeof line, "[%ld.%06ld %ld] %s ", (long)ts.tv_sec,
                 ts.tv_nsec / 1000, syscall(SYS_gettid), p->name);
    va_start(ap, fmt);
    n += vsnprintf(line + n, sizeof line - (size_t)n - 2, fmt, ap);
    va_end(ap);
    n = MIN(n, (int)sizeof line - 3);
    line[n++] = '\r';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}
