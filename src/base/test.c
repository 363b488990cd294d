/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test.c - the main() of every unit test program. */
#include "base/test.h"

#include <setjmp.h>
#include <stdarg.h>

static struct test *first, **last = &first;
static unsigned failures;
static jmp_buf skip_jmp;
static const char *skip_reason;

void test_register(struct test *t)
{
    *last = t;
    last = &t->next;
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    failures++;
    printf("# %s:%d: ", file, line);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void test_skip(const char *why)
{
    skip_reason = why;
    longjmp(skip_jmp, 1);
}

/* A frame of its own, so that nothing of main() lives across the longjmp. */
static void run_one(struct test *t)
{
    failures = 0;
    skip_reason = NULL;
    if (setjmp(skip_jmp) == 0)
        t->run();
}

int main(int argc, char **argv)
{
    const char *want = argc > 1 ? argv[1] : "";
    unsigned n = 0, bad = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test *t = first; t; t = t->next) {
        if (!strstr(t->name, want))
            continue;
        run_one(t);
        n++;
        bad += failures > 0;
        printf("%sok %u %s%s%s\n", failures ? "not " : "", n, t->name,
               skip_reason ? " # SKIP " : "", skip_reason ? skip_reason : "");
    }
    printf("1..%u\n", n);
    return bad ? 1 : 0;
}
