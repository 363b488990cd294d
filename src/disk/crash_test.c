/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crash_test.c - random operations on every kind of image against a plain model, and compacting and
 * resizing in between; the power fails somewhere; what was flushed must be there, and the image must
 * be good: check finds nothing but what a crash explains, and after the next close nothing at all.
 *
 * CRASH_RUNS=n sets how many runs each kind gets (the soak suite uses more than the fast one). */
#include "disk/crash.h"

#include <sys/mman.h>

#include "disk/guid.h"
#include "disk/image.h"
#include "disk/job.h"
#include "disk/layer.h"
#include "disk/model.h"
#include "disk/test_util.h"
#include "disk/vhd.h"
#include "disk/vhdx.h"

#define BASE_TAG 0xba5e000u

struct kind {
    enum disk_format format;
    enum disk_layout layout;
    uint64_t size;
    uint32_t block;
};

static const struct kind
    vhdx_dynamic = { DISK_FMT_VHDX, DISK_LAYOUT_DYNAMIC, 7 * MIB + 512 * 3, MIB },
    vhdx_diff = { DISK_FMT_VHDX, DISK_LAYOUT_DIFF, 7 * MIB + 512 * 3, MIB },
    vhdx_diff_of_pages = { DISK_FMT_VHDX, DISK_LAYOUT_DIFF, 60 * MIB, MIB },
    vhdx_fixed = { DISK_FMT_VHDX, DISK_LAYOUT_FIXED, 3 * MIB, MIB },
    vhd_dynamic = { DISK_FMT_VHD, DISK_LAYOUT_DYNAMIC, 40 * 64 * KIB + 512, 64 * KIB },
    vhd_dynamic_that_grows = { DISK_FMT_VHD, DISK_LAYOUT_DYNAMIC, 320 * 256 * KIB, 256 * KIB },
    vhd_diff = { DISK_FMT_VHD, DISK_LAYOUT_DIFF, 40 * 64 * KIB + 512, 64 * KIB },
    vhd_diff_of_large_blocks = { DISK_FMT_VHD, DISK_LAYOUT_DIFF, 5 * MIB, 2 * MIB },
    vhd_fixed = { DISK_FMT_VHD, DISK_LAYOUT_FIXED, 3 * MIB, 64 * KIB };

/* ---- a parent: some sectors hold a pattern --------------------------------------------------- */

static bool in_base(uint64_t sector)
{
    return sector % 7 < 3;
}

static void base_submit(struct disk *d, struct disk_rq *rq)
{
    uint8_t *p = malloc(rq->len);
    uint64_t at = 0;

    for (uint64_t i = 0; i < rq->len / MODEL_SECTOR; i++) {
        uint64_t s = rq->off / MODEL_SECTOR + i;
        model_fill(p + i * MODEL_SECTOR, in_base(s) ? BASE_TAG : 0, s);
    }
    for (unsigned i = 0; i < rq->n_iov; i++) {
        memcpy(rq->iov[i].iov_base, p + at, rq->iov[i].iov_len);
        at += rq->iov[i].iov_len;
    }
    free(p);
    disk_finish_soon(d, rq, 0);
}

static int base_close(struct disk *d, struct err *err)
{
    free(d);
    return 0;
}

static const struct disk_ops base_ops = { .name = "base", .submit = base_submit,
                                          .close = base_close };

static struct disk *base_new(struct disk_io *io, uint64_t size)
{
    struct disk *d = calloc(1, sizeof *d);

    *d = (struct disk){ .ops = &base_ops, .io = io, .loop = NULL, .kind = "base", .size = size,
                        .block = 512, .read_only = true, .stack = 1 };
    return d;
}

/* ---- opening --------------------------------------------------------------------------------- */

static struct disk *open_over(struct bench *b, struct disk *file, const struct kind *k)
{
    struct disk_open how = { .writable = !file->read_only };
    struct disk *base = k->layout == DISK_LAYOUT_DIFF ? base_new(b->io, k->size) : NULL;
    struct vhdx *x = NULL;
    struct vhd *v = NULL;
    int r = k->format == DISK_FMT_VHDX ? vhdx_open(file, &how, &x, &b->err)
                                       : vhd_open(file, &how, &v, &b->err);

    if (base)
        base->loop = b->loop;
    if (r < 0) {
        test_fail(__FILE__, __LINE__, "open: %s", b->err.text);
        free(base);
        return NULL;
    }
    if (x && base)
        vhdx_set_parent(x, base);
    if (v && base)
        vhd_set_parent(v, base);
    return x ? &x->disk : &v->disk;
}

static void lay_out(struct bench *b, struct disk *file, const struct kind *k)
{
    struct disk_create c = { .format = k->format, .layout = k->layout, .size = k->size,
                             .block_size = k->block };
    char rel[] = ".\\base", abs[] = "\\tmp\\base";
    struct disk_from_parent up = { .info = { .logical = 512, .physical = 4096, .size = k->size },
                                   .relative = rel, .absolute = abs };

    EXPECT_EQ(disk_lay_out(file, &c, &up, &b->err), 0);
    EXPECT_EQ(disk_flush_sync(file), 0);
}

static void model_over(struct model *m, const struct kind *k, struct rng *rng)
{
    model_init(m, k->size, k->block, rng);
    if (k->layout == DISK_LAYOUT_DIFF) {
        m->base_tag = BASE_TAG;
        m->in_base = in_base;
    }
}

/* ---- check ----------------------------------------------------------------------------------- */

static void on_finding(void *ctx, enum disk_severity s, const char *text, bool repaired)
{
    unsigned *bad = ctx;
    static const char *const words[] = { "note", "warning", "leak", "error", "fatal" };

    if (s == DISK_NOTE || s == DISK_LEAK || strstr(text, "parent"))
        return; /* the parent is no file here */
    if (s == DISK_WARNING && bad[1]) /* right after a crash: what has a second copy may be torn */
        return;
    bad[0]++;
    printf("# check: %s: %s\n", words[s], text);
}

/* What 'verdin disk check' finds in the file as it is now. */
static unsigned check(struct bench *b, struct crash_file *f, const struct kind *k, bool crashed)
{
    unsigned bad[2] = { 0, crashed };
    struct disk_check c = { .found = on_finding, .ctx = bad };
    int fd = memfd_create("image", MFD_CLOEXEC);
    uint64_t size;
    AUTO(free_p) uint8_t *p = crash_file_bytes(f, &size);
    char path[32];

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        abort();
    for (uint64_t at = 0; at < size; at += 4096) {
        size_t n = MIN(size - at, UINT64_C(4096));
        if (!is_zero(p + at, n) && pwrite(fd, p + at, n, (off_t)at) != (ssize_t)n)
            abort();
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (disk_check(b->io, path, k->format, &c, &b->err) < 0)
        test_fail(__FILE__, __LINE__, "check: %s", b->err.text);
    close(fd);
    return bad[0];
}

/* Read-only first: a dirty log must be seen through; then writable, which mends. */
static unsigned look_again(struct bench *b, struct crash_file *f, struct model *m,
                           const struct kind *k, bool exact)
{
    unsigned wrong = 0;

    for (int writable = 0; writable < 2; writable++) {
        struct disk *d = open_over(b, crash_file_reopen(f, !writable), k);
        if (!d)
            return 1;
        if (!writable && (!exact || m->next_tag % 2)) /* it takes a while */
            wrong += check(b, f, k, !exact);
        wrong += model_compare(m, d, exact || writable);
        EXPECT_EQ(disk_close(d, &b->err), 0);
    }
    return wrong;
}

/* What a run has: a file that can crash with an empty image in it, and the model of its content. */
struct rig {
    struct rng rng;
    struct model m;
    struct crash_file *f;
};

static void rig_init(struct rig *t, struct bench *b, const struct kind *k, uint64_t seed,
                     uint64_t file_seed)
{
    t->f = crash_file_new(b->io, file_seed);
    rng_init(&t->rng, seed);
    crash_file_disk(t->f)->loop = b->loop;
    lay_out(b, crash_file_disk(t->f), k);
    model_over(&t->m, k, &t->rng);
    t->m.stop_on_err = true;
}

static void rig_done(struct rig *t)
{
    model_done(&t->m);
    crash_file_free(t->f);
}

static void one_run(struct bench *b, const struct kind *k, uint64_t seed)
{
    struct rig t;

    rig_init(&t, b, k, seed, seed * 31 + 7);
    for (unsigned life = 0; life < 4; life++) {
        struct disk *d = open_over(b, crash_file_reopen(t.f, false), k);
        if (!d)
            break;
        bool crash = rng_below(&t.rng, 4) != 0;
        if (crash)
            crash_file_arm(t.f, 1 + rng_below(&t.rng, 300));
        model_run(&t.m, d, (unsigned)(20 + rng_below(&t.rng, 150)));
        EXPECT_EQ(t.m.err, 0);
        int r = disk_close(d, &b->err);
        EXPECT(r == 0 || crash_file_crashed(t.f));
        bool crashed = crash_file_crashed(t.f);
        if (look_again(b, t.f, &t.m, k, !crashed)) {
            test_fail(__FILE__, __LINE__, "seed %llu, life %u", (unsigned long long)seed, life);
            break;
        }
    }
    rig_done(&t);
}

/* ---- requests that fail ---------------------------------------------------------------------- */

/* What the model is about to see, and then relies on, gets durable by itself in time. */
static void settle(struct crash_file *f)
{
    EXPECT_EQ(disk_flush_sync(crash_file_reopen(f, false)), 0);
}

/* One request of the file fails, in the middle of whatever; the disk may refuse all from then on.
 * What was flushed is there all the same, and the image is as good as after a crash. */
static void one_failure(struct bench *b, const struct kind *k, uint64_t seed)
{
    static const int errs[] = { -EIO, -ENOSPC };
    struct rig t;

    rig_init(&t, b, k, seed, seed * 13 + 5);
    for (unsigned life = 0; life < 4; life++) {
        struct disk *d = open_over(b, crash_file_reopen(t.f, false), k);
        if (!d)
            break;
        crash_file_fail(t.f, 1 + rng_below(&t.rng, 200), errs[rng_below(&t.rng, 2)]);
        if (rng_below(&t.rng, 2))
            crash_file_arm(t.f, 1 + rng_below(&t.rng, 400));
        for (unsigned i = 0; i < 3; i++) /* the guest does not give up at the first error */
            model_run(&t.m, d, (unsigned)(20 + rng_below(&t.rng, 80)));
        EXPECT_EQ(t.m.err, 0);
        (void)disk_close(d, &b->err); /* may fail, too */
        settle(t.f);
        if (look_again(b, t.f, &t.m, k, false)) {
            test_fail(__FILE__, __LINE__, "seed %llu, life %u", (unsigned long long)seed, life);
            break;
        }
    }
    rig_done(&t);
}

/* ---- compacting and resizing ----------------------------------------------------------------- */

/* Behind the model's end there are only zeros. */
static unsigned zeros_behind(struct disk *d, uint64_t from)
{
    static uint8_t buf[256 * KIB];

    for (uint64_t at = from, n; at < d->size; at += n) {
        n = MIN(d->size - at, (uint64_t)sizeof buf);
        int r = disk_read_sync(d, at, buf, n);
        if (r < 0 || !is_zero(buf, n)) {
            printf("# byte %llu, behind the old end, is not zero (%d)\n", (unsigned long long)at, r);
            return 1;
        }
    }
    return 0;
}

static int do_job(struct bench *b, struct disk *d, const struct kind *k, struct rng *rng)
{
    struct disk_compacted c;
    uint64_t grow;

    if (k->layout != DISK_LAYOUT_FIXED && rng_below(rng, 2))
        return disk_compact(d, NULL, &c, &b->err);
    if (k->format == DISK_FMT_VHD && k->layout == DISK_LAYOUT_DIFF)
        return 0; /* has its parent's size */
    if (d->size > k->size && rng_below(rng, 2))
        return disk_resize(d, k->size, k->layout == DISK_LAYOUT_FIXED, &b->err);
    grow = rng_below(rng, 4) || k->layout == DISK_LAYOUT_FIXED ? rng_below(rng, 300)
                                                               : rng_below(rng, 200000);
    return disk_resize(d, d->size + (1 + grow) * MODEL_SECTOR, false, &b->err);
}

static void one_job(struct bench *b, const struct kind *k, uint64_t seed)
{
    struct rig t;

    rig_init(&t, b, k, seed, seed * 17 + 3);
    if (k->format == DISK_FMT_VHD && k->layout == DISK_LAYOUT_FIXED)
        crash_file_order_appends(t.f); /* its only footer moves to a new end */
    for (unsigned life = 0; life < 5; life++) {
        struct disk *d = open_over(b, crash_file_reopen(t.f, false), k);
        if (!d)
            break;
        model_run(&t.m, d, (unsigned)(20 + rng_below(&t.rng, 60))); /* some of them are writes */
        EXPECT_EQ(t.m.err, 0);
        uint64_t before = d->size;
        bool fails = rng_below(&t.rng, 5) == 0;
        if (fails)
            crash_file_fail(t.f, 1 + rng_below(&t.rng, 60), -EIO);
        else if (rng_below(&t.rng, 4) != 0)
            crash_file_arm(t.f, 1 + rng_below(&t.rng, 60));
        int r = do_job(b, d, k, &t.rng);
        bool crashed = crash_file_crashed(t.f) || fails;
        if (r < 0 && !crashed)
            test_fail(__FILE__, __LINE__, "the job: %s", b->err.text);
        uint64_t after = d->size;
        if (!crashed) /* it goes on, changed as it is */
            model_run(&t.m, d, (unsigned)rng_below(&t.rng, 60));
        r = disk_close(d, &b->err);
        crashed = crash_file_crashed(t.f) || fails;
        EXPECT(r == 0 || crashed);
        if (fails)
            settle(t.f);
        unsigned wrong = look_again(b, t.f, &t.m, k, !crashed);
        if (!wrong && (d = open_over(b, crash_file_reopen(t.f, true), k)) != NULL) {
            /* Without a crash the size is the new one; with one, either. */
            if (crashed ? d->size < MIN(before, k->size) : d->size != after)
                wrong++;
            if (k->format != DISK_FMT_VHD || k->layout != DISK_LAYOUT_FIXED)
                wrong += zeros_behind(d, k->size); /* else the old footer may still be there */
            EXPECT_EQ(disk_close(d, &b->err), 0);
        }
        if (wrong) {
            test_fail(__FILE__, __LINE__, "seed %llu, life %u", (unsigned long long)seed, life);
            break;
        }
    }
    rig_done(&t);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void many(void (*one)(struct bench *b, const struct kind *k, uint64_t seed),
                 const struct kind *k, unsigned usual)
{
    struct bench b;
    const char *seed = getenv("CRASH_SEED"), *runs = getenv("CRASH_RUNS");
    unsigned n = runs ? (unsigned)strtoul(runs, NULL, 10) : usual;

    bench_init(&b, DISK_IO_AUTO);
    if (seed)
        one(&b, k, strtoull(seed, NULL, 10));
    for (unsigned i = 1; i <= n && !seed; i++)
        one(&b, k, i);
    bench_done(&b);
}

#define MANY(name, one, kind, usual) \
    TEST(name) \
    { \
        many(one, &kind, usual); \
    }

MANY(vhdx_dynamic_survives, one_run, vhdx_dynamic, 60)
MANY(vhdx_differencing_survives, one_run, vhdx_diff, 60)
MANY(vhdx_fixed_survives, one_run, vhdx_fixed, 20)
MANY(vhd_dynamic_survives, one_run, vhd_dynamic, 100)
MANY(vhd_differencing_survives, one_run, vhd_diff, 100)
MANY(vhd_differencing_of_large_blocks_survives, one_run, vhd_diff_of_large_blocks, 20)
/* More than one growth step of the file, and more than one page of bitmap. */
MANY(vhd_dynamic_that_grows_survives, one_run, vhd_dynamic_that_grows, 12)
MANY(vhdx_differencing_of_several_pages_survives, one_run, vhdx_diff_of_pages, 20)

MANY(failures_of_a_dynamic_vhdx_lose_nothing, one_failure, vhdx_dynamic, 20)
MANY(failures_of_a_differencing_vhdx_lose_nothing, one_failure, vhdx_diff, 20)
MANY(failures_of_a_dynamic_vhd_lose_nothing, one_failure, vhd_dynamic, 25)
MANY(failures_of_a_differencing_vhd_lose_nothing, one_failure, vhd_diff, 25)

MANY(jobs_on_a_dynamic_vhdx_survive, one_job, vhdx_dynamic, 25)
MANY(jobs_on_a_differencing_vhdx_survive, one_job, vhdx_diff, 25)
MANY(jobs_on_a_dynamic_vhd_survive, one_job, vhd_dynamic, 40)
MANY(jobs_on_a_differencing_vhd_survive, one_job, vhd_diff, 40)
MANY(jobs_on_a_fixed_vhdx_survive, one_job, vhdx_fixed, 20)
MANY(jobs_on_a_fixed_vhd_survive, one_job, vhd_fixed, 20)
