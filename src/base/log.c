/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c - see log.h.  One write(2) a line, so lines of threads do not mix. */
#include "base/log.h"

#include <stdarg.h>

#define LINE_MAX_BYTES  2048
#define LINES_PER_SECOND 10

static enum log_level max_level = LOG_INFO;
static const char *log_name;
static bool log_crlf;

void log_set_level(enum log_level level)
{
    max_level = level;
}

void log_set_name(const char *name)
{
    log_name = name;
}

void log_set_crlf(bool on)
{
    log_crlf = on;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const words[] = { "error: ", "warning: ", "", "debug: " };
    char line[LINE_MAX_BYTES];
    va_list ap;
    int n, m;

    if (level > max_level)
        return;
    n = snprintf(line, sizeof line, "%s%s%s", log_name ? log_name : "",
                 log_name ? ": " : "", words[level]);
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof line - (size_t)n - 2, fmt, ap);
    va_end(ap);
    n = MIN(n + MAX(m, 0), (int)sizeof line - 3);
    if (log_crlf)
        line[n++] = '\r';
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nobody is left to be told */
}

bool log_limit_pass(struct log_limit *l)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    if (ts.tv_sec != __atomic_load_n(&l->second, __ATOMIC_RELAXED)) {
        __atomic_store_n(&l->second, ts.tv_sec, __ATOMIC_RELAXED);
        __atomic_store_n(&l->n, 0, __ATOMIC_RELAXED);
    }
    return __atomic_fetch_add(&l->n, 1, __ATOMIC_RELAXED) < LINES_PER_SECOND;
}
