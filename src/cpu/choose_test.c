/* SPDX-License-Identifier: GPL-2.0-or-later */
/* choose_test.c - the choice comes quickly, with words, and is fit for this machine. */
#include "base/test.h"
#include "cpu/engine.h"

TEST(choice)
{
    char why[256] = "";
    struct clock c;
    enum engine_kind kind;
    unsigned long long mips = 0;
    uint64_t ns;

    clock_init(&c);
    kind = engine_choose(why, sizeof why);
    ns = clock_now_ns(&c);
    printf("# %s; took %llu us\n", why, (unsigned long long)ns / 1000);
    EXPECT(kind == ENGINE_KVM || kind == ENGINE_SOFT);
    EXPECT(strncmp(why, engine_name(kind), strlen(engine_name(kind))) == 0);
    if (access("/dev/kvm", R_OK | W_OK) < 0)
        EXPECT_EQ(kind, ENGINE_SOFT);
    if (kind == ENGINE_KVM) { /* only as hardware runs it */
        EXPECT_EQ(sscanf(why, "kvm: runs a test guest at %llu MIPS", &mips), 1);
        EXPECT(mips >= 100);
    }
    /* 50 ms are promised; a loaded machine may take some more. */
    EXPECT(ns < 200 * NS_PER_MS);
}
