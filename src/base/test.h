/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test.h - unit tests: TEST(name) { EXPECT(...); }, one program a file, TAP out.
 *
 * A name as argument runs the tests whose names contain it. */
#pragma once

#include <inttypes.h>

#include "base/util.h"

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

void test_register(struct test *t);
void test_fail(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);
/* The rest of the running test is left out; 'why' is printed. */
void test_skip(const char *why);

#define TEST(id)                                                    \
    static void test_##id(void);                                    \
    __attribute__((constructor)) static void test_register_##id(void) \
    {                                                               \
        static struct test t = { #id, test_##id, NULL };            \
        test_register(&t);                                          \
    }                                                               \
    static void test_##id(void)

#define EXPECT(cond)                                       \
    do {                                                   \
        if (!(cond))                                       \
            test_fail(__FILE__, __LINE__, "%s", #cond);    \
    } while (0)

#define EXPECT_EQ(a, b)                                                        \
    do {                                                                       \
        long long a_ = (long long)(a), b_ = (long long)(b);                    \
        if (a_ != b_)                                                          \
            test_fail(__FILE__, __LINE__, "%s is %lld (%#llx), not %lld (%#llx)", \
                      #a, a_, a_, b_, b_);                                     \
    } while (0)

#define EXPECT_STR(a, b)                                                       \
    do {                                                                       \
        const char *a_ = (a), *b_ = (b);                                       \
        if (strcmp(a_, b_) != 0)                                               \
            test_fail(__FILE__, __LINE__, "%s is '%s', not '%s'", #a, a_, b_); \
    } while (0)

#define EXPECT_HAS(text, part)                                                 \
    do {                                                                       \
        const char *a_ = (text), *b_ = (part);                                 \
        if (!strstr(a_, b_))                                                   \
            test_fail(__FILE__, __LINE__, "'%s' does not contain '%s'", a_, b_); \
    } while (0)
