/* SPDX-License-Identifier: GPL-2.0-or-later */
/* err.c - see err.h. */
#include "base/err.h"

#include <stdarg.h>

int err_set(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return -code;
    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    return -code;
}

int err_errno(struct err *err, int code, const char *fmt, ...)
{
    va_list ap;
    size_t n;

    if (!err)
        return -code;
    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    n = strlen(err->text);
    snprintf(err->text + n, sizeof err->text - n, ": %s", strerrordesc_np(code));
    return -code;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char old[ERR_TEXT_MAX];
    va_list ap;
    size_t n;

    if (!err)
        return -EXIT_FAILURE;
    memcpy(old, err->text, sizeof old);
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    n = strlen(err->text);
    snprintf(err->text + n, sizeof err->text - n, ": %.*s",
             (int)(sizeof err->text - n - 3), old);
    return -err->code;
}
