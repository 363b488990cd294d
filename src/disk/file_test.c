/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "disk/file.h"

#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>

#include "disk/layer.h"
#include "disk/test_util.h"

static void make_file(const char *path, off_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, size) < 0)
        abort();
    close(fd);
}

/* A tmpfs: requests are done by plain system calls there. */
static const char *memory_folder(void)
{
    struct statfs fs;

    if (statfs("/dev/shm", &fs) < 0 || fs.f_type != TMPFS_MAGIC || access("/dev/shm", W_OK) < 0)
        test_skip("no tmpfs at /dev/shm");
    return "/dev/shm";
}

#define DEPTH     32
#define BYTES_MAX 49152

struct load {
    struct disk *d;
    struct loop *loop;
    struct rng rng;
    unsigned left, flying;
    int err;
    uint8_t *model;
    struct slot {
        struct disk_rq rq;
        struct iovec iov[3];
        uint8_t buf[BYTES_MAX];
        struct load *load;
    } slot[DEPTH];
};

static void load_next(struct slot *s);

static void load_done(struct disk_rq *rq, int err)
{
    struct slot *s = container_of(rq, struct slot, rq);
    struct load *l = s->load;

    if (err && !l->err)
        l->err = err;
    if (rq->op == DISK_READ && memcmp(s->buf, l->model + rq->off, rq->len) != 0)
        l->err = -EILSEQ;
    l->flying--;
    if (l->left)
        load_next(s);
    else if (!l->flying)
        loop_stop(l->loop);
}

/* Each slot works in a stripe of its own, so that order between slots does not matter. */
static void load_next(struct slot *s)
{
    struct load *l = s->load;
    unsigned k = (unsigned)(s - l->slot);
    uint64_t stripe = l->d->size / DEPTH;
    uint64_t most = rng_below(&l->rng, 4) ? 24 : BYTES_MAX / 512; /* mostly small ones */
    uint64_t len = 512 * (1 + rng_below(&l->rng, most));
    uint64_t cut1 = rng_below(&l->rng, len), cut2 = cut1 + rng_below(&l->rng, len - cut1);

    l->left--;
    l->flying++;
    s->rq.op = rng_below(&l->rng, 10) ? (enum disk_op)rng_below(&l->rng, 2) : DISK_WRITE_ZEROES;
    s->rq.off = k * stripe + 512 * rng_below(&l->rng, (stripe - len) / 512);
    s->rq.len = len;
    s->iov[0] = (struct iovec){ s->buf, cut1 };
    s->iov[1] = (struct iovec){ s->buf + cut1, cut2 - cut1 };
    s->iov[2] = (struct iovec){ s->buf + cut2, len - cut2 };
    s->rq.iov = s->iov;
    s->rq.n_iov = 3;
    s->rq.done = load_done;
    if (s->rq.op == DISK_WRITE) {
        for (size_t i = 0; i < len; i++)
            s->buf[i] = (uint8_t)rng_u64(&l->rng);
        memcpy(l->model + s->rq.off, s->buf, len);
    } else if (s->rq.op == DISK_WRITE_ZEROES) {
        memset(l->model + s->rq.off, 0, len);
    }
    disk_submit(l->d, &s->rq);
}

static void random_load(const char *folder, enum disk_io_mode mode, unsigned flags)
{
    struct bench b;
    struct load *l = calloc(1, sizeof *l);
    const uint64_t size = 4 * MIB;

    bench_init_in(&b, mode, folder);
    make_file(bench_path(&b, "a"), (off_t)size);
    EXPECT_OK(file_open(b.io, bench_path(&b, "a"), FILE_WRITABLE | flags, &l->d, &b.err));
    l->loop = b.loop;
    l->left = 3000;
    l->model = calloc(1, size);
    rng_init(&l->rng, 7);
    for (unsigned i = 0; i < DEPTH; i++) {
        l->slot[i].load = l;
        load_next(&l->slot[i]);
    }
    loop_run(b.loop);
    EXPECT_EQ(l->err, 0);
    uint8_t *all = malloc(size);
    EXPECT_OK(disk_read_sync(l->d, 0, all, size));
    EXPECT(memcmp(all, l->model, size) == 0);
    EXPECT_OK(disk_close(l->d, &b.err));
    free(all);
    free(l->model);
    free(l);
    bench_done(&b);
}

TEST(a_raw_file_keeps_what_is_written_by_io_uring)
{
    random_load("/tmp", DISK_IO_AUTO, 0);
}

TEST(a_raw_file_keeps_what_is_written_by_threads)
{
    random_load("/tmp", DISK_IO_THREADS, 0);
}

TEST(direct_io_takes_unaligned_requests_too)
{
    random_load("/tmp", DISK_IO_AUTO, FILE_DIRECT);
}

TEST(a_raw_file_on_a_tmpfs_keeps_what_is_written)
{
    random_load(memory_folder(), DISK_IO_AUTO, 0);
    random_load(memory_folder(), DISK_IO_THREADS, 0);
}

/* The first of two large reads is answered before the second is copied. */
struct early {
    struct disk_rq rq[2];
    struct iovec iov[2];
    struct loop *loop;
    int fd, err;
    uint8_t buf[2][MIB];
};

static void early_done(struct disk_rq *rq, int err)
{
    struct early *e = rq->ctx;
    char c = 'b';

    e->err |= err;
    if (rq == &e->rq[1])
        loop_stop(e->loop);
    else if (pwrite(e->fd, &c, 1, MIB) != 1)
        e->err = -EIO;
}

TEST(large_requests_on_a_tmpfs_are_answered_one_by_one)
{
    struct bench b;
    struct disk *d;
    struct early *e = calloc(1, sizeof *e);

    bench_init_in(&b, DISK_IO_AUTO, memory_folder());
    make_file(bench_path(&b, "a"), 2 * MIB);
    EXPECT_OK(file_open(b.io, bench_path(&b, "a"), FILE_WRITABLE, &d, &b.err));
    e->fd = open(bench_path(&b, "a"), O_RDWR | O_CLOEXEC);
    e->loop = b.loop;
    for (unsigned i = 0; i < 2; i++) {
        e->iov[i] = (struct iovec){ e->buf[i], MIB };
        e->rq[i] = (struct disk_rq){ .op = DISK_READ, .off = i * MIB, .len = MIB, .ctx = e,
                                     .iov = &e->iov[i], .n_iov = 1, .done = early_done };
        disk_submit(d, &e->rq[i]);
    }
    loop_run(b.loop);
    EXPECT_EQ(e->err, 0);
    EXPECT_EQ(e->buf[1][0], 'b');
    close(e->fd);
    EXPECT_OK(disk_close(d, &b.err));
    free(e);
    bench_done(&b);
}

TEST(requests_outside_or_unaligned_or_on_a_read_only_disk_fail)
{
    struct bench b;
    struct disk *d;
    char buf[1024];

    bench_init(&b, DISK_IO_AUTO);
    make_file(bench_path(&b, "a"), 10000);
    EXPECT_OK(disk_open(b.io, bench_path(&b, "a"), &(struct disk_open){ 0 }, &d, &b.err));
    EXPECT_EQ(d->size, 10240);
    memset(buf, 1, sizeof buf);
    EXPECT_OK(disk_read_sync(d, 9728, buf, 512));
    EXPECT_EQ(buf[511], 0);
    EXPECT_EQ(disk_read_sync(d, 9728, buf, 1024), -EINVAL);
    EXPECT_EQ(disk_read_sync(d, UINT64_MAX - 511, buf, 512), -EINVAL);
    EXPECT_EQ(disk_read_sync(d, 100, buf, 512), -EINVAL);
    EXPECT_EQ(disk_write_sync(d, 0, buf, 512), -EROFS);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}

TEST(one_writer_or_many_readers_and_the_holder_is_named)
{
    struct bench b;
    struct disk *d, *e, *f;
    char pid[32];

    bench_init(&b, DISK_IO_AUTO);
    make_file(bench_path(&b, "a"), 8192);
    EXPECT_OK(file_open(b.io, bench_path(&b, "a"), FILE_WRITABLE, &d, &b.err));
    EXPECT_EQ(file_open(b.io, bench_path(&b, "a"), 0, &e, &b.err), -EBUSY);
    snprintf(pid, sizeof pid, "process %d (", (int)getpid());
    EXPECT_HAS(b.err.text, pid);
    EXPECT_OK(disk_close(d, &b.err));
    EXPECT_OK(file_open(b.io, bench_path(&b, "a"), 0, &d, &b.err));
    EXPECT_OK(file_open(b.io, bench_path(&b, "a"), 0, &e, &b.err));
    EXPECT_EQ(file_open(b.io, bench_path(&b, "a"), FILE_WRITABLE, &f, &b.err), -EBUSY);
    EXPECT_OK(disk_close(d, &b.err));
    EXPECT_OK(disk_close(e, &b.err));
    bench_done(&b);
}

TEST(a_raw_file_maps_its_holes)
{
    struct bench b;
    struct disk *d;
    struct disk_extent x;
    static char buf[65536] = { 1 };

    bench_init(&b, DISK_IO_AUTO);
    make_file(bench_path(&b, "a"), 4 * MIB);
    EXPECT_OK(file_open(b.io, bench_path(&b, "a"), FILE_WRITABLE, &d, &b.err));
    EXPECT_OK(disk_write_sync(d, MIB, buf, sizeof buf));
    EXPECT_OK(disk_map(d, 0, d->size, &x));
    if (x.kind == DISK_EXT_DATA && x.len == d->size) {
        disk_close(d, NULL);
        bench_done(&b);
        test_skip("this file system does not tell its holes");
    }
    EXPECT_EQ(x.kind, DISK_EXT_ABSENT);
    EXPECT_EQ(x.len, MIB);
    EXPECT_OK(disk_map(d, MIB, d->size - MIB, &x));
    EXPECT_EQ(x.kind, DISK_EXT_DATA);
    EXPECT_EQ(x.len, sizeof buf);
    EXPECT_OK(disk_rw_sync(d, DISK_DISCARD, MIB, NULL, sizeof buf, 0));
    EXPECT_OK(disk_map(d, 0, d->size, &x));
    EXPECT_EQ(x.kind, DISK_EXT_ABSENT);
    EXPECT_EQ(x.len, d->size);
    EXPECT_OK(disk_close(d, &b.err));
    bench_done(&b);
}
