/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_util.h - a loop, an engine and a scratch folder for the tests of src/disk. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "base/test.h"
#include "disk/disk.h"

struct bench {
    struct clock clock;
    struct loop *loop;
    struct disk_io *io;
    char dir[64];
    struct err err;
};

static inline void bench_init_in(struct bench *b, enum disk_io_mode mode, const char *folder)
{
    memset(b, 0, sizeof *b);
    clock_init(&b->clock);
    b->loop = loop_new(&b->clock);
    b->io = disk_io_new(b->loop, mode, &b->err);
    snprintf(b->dir, sizeof b->dir, "%s/disk_test.XXXXXX", folder);
    if (!b->loop || !b->io || !mkdtemp(b->dir))
        abort();
}

static inline void bench_init(struct bench *b, enum disk_io_mode mode)
{
    bench_init_in(b, mode, "/tmp");
}

static inline void bench_done(struct bench *b)
{
    char cmd[128];

    disk_io_free(b->io);
    loop_free(b->loop);
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", b->dir);
    if (system(cmd) != 0)
        printf("# '%s' stays\n", b->dir);
}

/* A path in the scratch folder; a few are good at a time. */
static inline const char *bench_path(struct bench *b, const char *name)
{
    static char ring[8][160];
    static unsigned n;
    char *p = ring[n++ % 8];

    snprintf(p, sizeof ring[0], "%s/%s", b->dir, name);
    return p;
}

#define EXPECT_OK(call)                                                       \
    do {                                                                      \
        int r_ = (call);                                                      \
        if (r_ < 0)                                                           \
            test_fail(__FILE__, __LINE__, "%s: %d %s", #call, r_, b.err.text); \
    } while (0)
