/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err.h - errors of the control path: a code and words for a person.
 *
 * The data path returns a bare negative errno.  What a user reads goes through
 * 'struct err': name the thing, the value and the rule that it breaks.
 *
 *     return err_set(err, EINVAL, "--cpus %lu: 1 to %u are possible", n, VPS_MAX);
 *     return err_wrap(err, "disk '%s'", path);         // "disk 'x': <old words>"
 *
 * Every function returns the negative code, so that it can stand behind 'return'.
 * 'err' may be NULL.  Who returns an error does not log it; who handles it logs once. */
#pragma once

#include "base/util.h"

#define ERR_TEXT_MAX 1024

struct err {
    int code;                 /* positive errno, 0: no error */
    char text[ERR_TEXT_MAX];  /* no full stop, no newline */
};

int err_set(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

/* As err_set() with ": <strerror(code)>" behind the words. */
int err_errno(struct err *err, int code, const char *fmt, ...) PRINTF(3, 4);

/* Put "<words>: " before what 'err' already says. */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);
