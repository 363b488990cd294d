/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.h - lines for the operator, on standard error, from any thread.
 *
 * Libraries do not log errors that they return.  The level is process-wide
 * (one of the two allowed globals, the other being trace points). */
#pragma once

#include "base/util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);

/* Lines get this before them ("verdin: "); 'name' must live on.  NULL: nothing. */
void log_set_name(const char *name);

/* The terminal is raw: lines end in CR LF. */
void log_set_crlf(bool on);

void log_line(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* At most 'burst' lines from one call site a second; a guest must not fill the log. */
#define log_limited(level, ...)                                  \
    do {                                                         \
        static struct log_limit limit_;                          \
        if (log_limit_pass(&limit_))                             \
            log_line(level, __VA_ARGS__);                        \
    } while (0)

struct log_limit {
    int64_t second;
    unsigned n;
};
bool log_limit_pass(struct log_limit *l);
