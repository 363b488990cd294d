/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disk/layers.h"

#include "disk/crash.h"
#include "disk/image.h"
#include "disk/layer.h"
#include "disk/model.h"
#include "disk/test_util.h"

static struct disk *raw(struct bench *b, const char *name, uint64_t size)
{
    struct disk_create c = { .format = DISK_FMT_RAW, .size = size };
    struct disk *d = NULL;

    EXPECT_EQ(disk_create(b->io, bench_path(b, name), &c, &b->err), 0);
    EXPECT_EQ(disk_open(b->io, bench_path(b, name), &(struct disk_open){ .writable = true }, &d,
                        &b->err), 0);
    return d;
}

TEST(fault_fails_what_its_rules_say)
{
    struct bench b;
    char buf[8192], back[8192];

    bench_init(&b, DISK_IO_AUTO);
    struct disk *d = disk_fault_new(raw(&b, "a", MIB));
    disk_fault_add(d, &(struct disk_fault){ .op = DISK_WRITE, .after = 1, .times = 2,
                                            .err = -EIO });
    memset(buf, 1, sizeof buf);
    EXPECT_EQ(disk_write_sync(d, 0, buf, 512), 0);
    EXPECT_EQ(disk_write_sync(d, 0, buf, 512), -EIO);
    EXPECT_EQ(disk_read_sync(d, 0, back, 512), 0);
    EXPECT_EQ(disk_write_sync(d, 0, buf, 512), -EIO);
    EXPECT_EQ(disk_write_sync(d, 0, buf, 512), 0);
    EXPECT_EQ(disk_fault_hits(d), 2);
    disk_fault_clear(d);
    disk_fault_add(d, &(struct disk_fault){ .op = DISK_WRITE, .off = 65536, .len = 512,
                                            .err = -ENOSPC, .torn = true });
    EXPECT_EQ(disk_write_sync(d, 65536, buf, 8192), -ENOSPC);
    EXPECT_EQ(disk_read_sync(d, 65536, back, 8192), 0);
    EXPECT_EQ(back[4095], 1);
    EXPECT_EQ(back[4096], 0);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}

TEST(delay_answers_late)
{
    struct bench b;
    char buf[512] = { 0 };

    bench_init(&b, DISK_IO_AUTO);
    struct disk *d = disk_delay_new(raw(&b, "a", MIB), 30 * NS_PER_MS, 0, 0);
    uint64_t t = clock_now_ns(&b.clock);
    EXPECT_EQ(disk_write_sync(d, 0, buf, 512), 0);
    EXPECT(clock_now_ns(&b.clock) - t < 30 * NS_PER_MS);
    t = clock_now_ns(&b.clock);
    EXPECT_EQ(disk_read_sync(d, 0, buf, 512), 0);
    EXPECT(clock_now_ns(&b.clock) - t >= 30 * NS_PER_MS);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}

TEST(throttle_keeps_to_its_limits)
{
    struct bench b;
    char buf[512] = { 0 };

    bench_init(&b, DISK_IO_AUTO);
    struct disk *d = disk_throttle_new(raw(&b, "a", MIB), &(struct disk_limits){ .iops = 500 });
    uint64_t t = clock_now_ns(&b.clock);
    for (unsigned i = 0; i < 150; i++) /* 50 of them from the allowance of a tenth of a second */
        EXPECT_EQ(disk_write_sync(d, 0, buf, 512), 0);
    t = clock_now_ns(&b.clock) - t;
    EXPECT(t > 180 * NS_PER_MS);
    disk_throttle_set(d, &(struct disk_limits){ .bytes_per_s = 10 * MIB });
    char *big = calloc(1, MIB);
    t = clock_now_ns(&b.clock);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(disk_write_sync(d, 0, big, MIB), 0);
    t = clock_now_ns(&b.clock) - t;
    EXPECT(t > 180 * NS_PER_MS);
    disk_throttle_set(d, &(struct disk_limits){ 0 });
    t = clock_now_ns(&b.clock);
    for (unsigned i = 0; i < 50; i++)
        EXPECT_EQ(disk_write_sync(d, 0, buf, 512), 0);
    free(big);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}

TEST(count_knows_what_was_asked)
{
    struct bench b;
    char buf[4096] = { 0 };
    struct disk_counts c;
    uint64_t waits = 0;

    bench_init(&b, DISK_IO_AUTO);
    struct disk *d = disk_count_new(raw(&b, "a", MIB));
    EXPECT_EQ(disk_write_sync(d, 0, buf, 4096), 0);
    EXPECT_EQ(disk_read_sync(d, 0, buf, 512), 0);
    EXPECT_EQ(disk_read_sync(d, 512, buf, 512), 0);
    EXPECT_EQ(disk_read_sync(d, 4 * MIB, buf, 512), -EINVAL); /* refused before any layer sees it */
    disk_count_get(d, &c);
    EXPECT_EQ(c.n[DISK_WRITE], 1);
    EXPECT_EQ(c.bytes[DISK_WRITE], 4096);
    EXPECT_EQ(c.n[DISK_READ], 2);
    EXPECT_EQ(c.bytes[DISK_READ], 1024);
    for (unsigned i = 0; i < DISK_LATENCY_BUCKETS; i++)
        waits += c.latency[i];
    EXPECT_EQ(waits, 3);
    EXPECT_EQ(c.errors, 0);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}

static void on_differs(void *ctx, uint64_t off, uint64_t len)
{
    *(uint64_t *)ctx = off;
}

TEST(mirror_finds_what_differs)
{
    struct bench b;
    char buf[4096];
    uint64_t at = 0;

    bench_init(&b, DISK_IO_AUTO);
    struct disk *x = raw(&b, "a", MIB), *y = raw(&b, "b", MIB);
    EXPECT_EQ(disk_write_sync(y, 512 * 1024, "x", 1), -EINVAL);
    memset(buf, 7, sizeof buf);
    EXPECT_EQ(disk_write_sync(y, 512 * 1024, buf, 512), 0);
    struct disk *d = disk_mirror_new(x, y, on_differs, &at);
    EXPECT_EQ(disk_write_sync(d, 0, buf, 4096), 0);
    EXPECT_EQ(disk_read_sync(d, 0, buf, 4096), 0);
    EXPECT_EQ(disk_read_sync(d, 512 * 1024, buf, 4096), -EILSEQ);
    EXPECT_EQ(at, 512 * 1024);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}

/* The formats do the same under the same load, each compared with a raw disk at every read. */
TEST(a_vhdx_under_all_layers_is_as_a_raw_disk)
{
    struct bench b;
    struct rng rng;
    struct model m;
    struct disk *x;
    uint64_t at = 0;
    struct disk_create c = { .format = DISK_FMT_VHDX, .layout = DISK_LAYOUT_DYNAMIC,
                             .size = 8 * MIB, .block_size = MIB };

    bench_init(&b, DISK_IO_AUTO);
    rng_init(&rng, 5);
    EXPECT_OK(disk_create(b.io, bench_path(&b, "v.vhdx"), &c, &b.err));
    EXPECT_OK(disk_open(b.io, bench_path(&b, "v.vhdx"), &(struct disk_open){ .writable = true },
                        &x, &b.err));
    struct disk *d = disk_trace_new(x, "v");
    d = disk_throttle_new(d, &(struct disk_limits){ .iops = 1000000 });
    d = disk_delay_new(d, 1000, 2000, 3000);
    d = disk_fault_new(d);
    d = disk_mirror_new(d, raw(&b, "r", 8 * MIB), on_differs, &at);
    model_init(&m, 8 * MIB, MIB, &rng);
    model_run(&m, d, 1500);
    EXPECT_EQ(m.err, 0);
    EXPECT_EQ(model_compare(&m, d, true), 0);
    model_done(&m);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}
