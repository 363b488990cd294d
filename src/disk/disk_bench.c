/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_bench.c - the library against a plain io_uring loop on a raw file, in one run.
 *
 *     disk_bench [FOLDER [MiB]]     one line a case: name, ours, bare, ratio (medians of 5)
 *     disk_bench --alloc FOLDER FORMAT N    4 KiB writes into N new blocks, one flush at the end
 *     disk_bench --small FOLDER FORMAT N    N 4 KiB writes into allocated blocks
 *
 * The two sides of a case are measured in turns, so that the machine's moods hit both. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>

#include "base/rng.h"
#include "disk/image.h"
#include "disk/job.h"

#define ROUNDS 5
#define DEPTH_MAX 64

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

struct shape {
    const char *name;
    bool write, random;
    unsigned depth;
    uint32_t len;
    unsigned count;
};

static const struct shape shapes[] = {
    { "seq read 128K qd1", false, false, 1, 128 << 10, 6000 },
    { "seq read 128K qd32", false, false, 32, 128 << 10, 6000 },
    { "seq write 128K qd1", true, false, 1, 128 << 10, 6000 },
    { "seq write 128K qd32", true, false, 32, 128 << 10, 6000 },
    { "rand read 4K qd1", false, true, 1, 4096, 60000 },
    { "rand read 4K qd32", false, true, 32, 4096, 150000 },
    { "rand write 4K qd1", true, true, 1, 4096, 60000 },
    { "rand write 4K qd32", true, true, 32, 4096, 150000 },
};

static uint64_t offset_of(const struct shape *s, struct rng *r, uint64_t i, uint64_t size)
{
    return s->random ? rng_below(r, size / s->len) * s->len : i * s->len % (size - size % s->len);
}

/* ---- the bare loop --------------------------------------------------------------------------- */

static double bare(int fd, const struct shape *s, uint64_t size, uint8_t *buf)
{
    struct io_uring ring;
    struct io_uring_cqe *cqe;
    struct rng r;
    unsigned started = 0, done = 0;

    if (io_uring_queue_init(256, &ring, 0) < 0)
        return 0;
    rng_init(&r, 1);
    double t = now_s();
    for (; started < s->depth; started++) {
        struct io_uring_sqe *q = io_uring_get_sqe(&ring);
        uint8_t *p = buf + (size_t)started * s->len;
        if (s->write)
            io_uring_prep_write(q, fd, p, s->len, offset_of(s, &r, started, size));
        else
            io_uring_prep_read(q, fd, p, s->len, offset_of(s, &r, started, size));
        io_uring_sqe_set_data(q, p);
    }
    while (done < s->count) {
        io_uring_submit_and_wait(&ring, 1);
        while (io_uring_peek_cqe(&ring, &cqe) == 0) {
            uint8_t *p = io_uring_cqe_get_data(cqe);
            if (cqe->res != (int)s->len)
                abort();
            io_uring_cqe_seen(&ring, cqe);
            done++;
            if (started >= s->count)
                continue;
            struct io_uring_sqe *q = io_uring_get_sqe(&ring);
            if (s->write)
                io_uring_prep_write(q, fd, p, s->len, offset_of(s, &r, started, size));
            else
                io_uring_prep_read(q, fd, p, s->len, offset_of(s, &r, started, size));
            io_uring_sqe_set_data(q, p);
            started++;
        }
    }
    t = now_s() - t;
    io_uring_queue_exit(&ring);
    return s->count / t;
}

/* ---- ours ------------------------------------------------------------------------------------ */

struct side {
    struct disk *d;
    struct loop *loop;
    const struct shape *s;
    struct rng r;
    uint64_t size;
    unsigned started, done;
    struct one {
        struct disk_rq rq;
        struct iovec iov;
        struct side *side;
    } one[DEPTH_MAX];
};

static void next(struct one *o)
{
    struct side *x = o->side;

    o->rq.off = offset_of(x->s, &x->r, x->started++, x->size);
    disk_submit(x->d, &o->rq);
}

static void on_done(struct disk_rq *rq, int err)
{
    struct one *o = container_of(rq, struct one, rq);
    struct side *x = o->side;

    if (err)
        abort();
    if (++x->done == x->s->count)
        loop_stop(x->loop);
    else if (x->started < x->s->count)
        next(o);
}

static double ours(struct disk *d, const struct shape *s, uint64_t size, uint8_t *buf)
{
    struct side *x = calloc(1, sizeof *x);

    *x = (struct side){ .d = d, .loop = d->loop, .s = s, .size = size };
    rng_init(&x->r, 1);
    double t = now_s();
    for (unsigned i = 0; i < s->depth; i++) {
        struct one *o = &x->one[i];
        o->side = x;
        o->iov = (struct iovec){ buf + (size_t)i * s->len, s->len };
        o->rq = (struct disk_rq){ .op = s->write ? DISK_WRITE : DISK_READ, .len = s->len,
                                  .iov = &o->iov, .n_iov = 1, .done = on_done };
        next(o);
    }
    loop_run(d->loop);
    t = now_s() - t;
    free(x);
    return s->count / t;
}

/* ---- cases ----------------------------------------------------------------------------------- */

struct env {
    struct clock clock;
    struct loop *loop;
    struct disk_io *io;
    const char *dir;
    uint64_t size;
    uint8_t *buf;
    struct err err;
};

static void die(struct env *e)
{
    fprintf(stderr, "disk_bench: %s\n", e->err.text);
    exit(1);
}

static const char *path_of(struct env *e, const char *name)
{
    static char ring[8][300];
    static unsigned n;
    char *p = ring[n++ % 8];

    snprintf(p, sizeof ring[0], "%s/%s", e->dir, name);
    return p;
}

static struct disk *make(struct env *e, const char *name, struct disk_create c)
{
    struct disk *d = NULL;

    c.replace = true;
    if (disk_create(e->io, path_of(e, name), &c, &e->err) < 0 ||
        disk_open(e->io, path_of(e, name), &(struct disk_open){ .writable = true }, &d,
                  &e->err) < 0)
        die(e);
    return d;
}

static void fill(struct env *e, struct disk *d, uint64_t from, uint64_t step, uint64_t len)
{
    for (uint64_t off = from; off + len <= e->size; off += step)
        if (disk_write_sync(d, off, e->buf, len) < 0)
            abort();
    disk_flush_sync(d);
}

/* Five disks over each other; each holds every fifth piece of 64 KiB, the lowest all of them. */
static struct disk *make_chain(struct env *e, enum disk_format f)
{
    char name[32], below[32] = "";
    struct disk *d = NULL;

    for (unsigned i = 0; i <= 5; i++) {
        snprintf(name, sizeof name, "chain%u.%s", i, disk_format_name(f));
        struct disk_create c = { .format = f, .size = e->size,
                                 .layout = i ? DISK_LAYOUT_DIFF : DISK_LAYOUT_DYNAMIC,
                                 .parent = i ? path_of(e, below) : NULL };
        if (d && disk_close(d, &e->err) < 0)
            die(e);
        d = make(e, name, c);
        if (i == 0)
            fill(e, d, 0, MIB, MIB);
        else
            fill(e, d, i * 64 * KIB, 5 * 64 * KIB, 64 * KIB);
        memcpy(below, name, sizeof below);
    }
    return d;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void one_case(struct env *e, const char *what, struct disk *d, int fd)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        double a[ROUNDS], b[ROUNDS], q[ROUNDS];
        for (unsigned k = 0; k < ROUNDS; k++) {
            b[k] = bare(fd, &shapes[i], e->size, e->buf);
            a[k] = ours(d, &shapes[i], e->size, e->buf);
            q[k] = a[k] / b[k];
        }
        qsort(a, ROUNDS, sizeof *a, by_size);
        qsort(b, ROUNDS, sizeof *b, by_size);
        qsort(q, ROUNDS, sizeof *q, by_size);
        printf("%-14s %-20s ours %9.0f/s  bare %9.0f/s  ratio %.3f\n", what, shapes[i].name,
               a[ROUNDS / 2], b[ROUNDS / 2], q[ROUNDS / 2]);
        fflush(stdout);
    }
}

static void all_cases(struct env *e)
{
    int fd = open(path_of(e, "bare.raw"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        exit(1);
    for (uint64_t off = 0; off < e->size; off += MIB)
        if (pwrite(fd, e->buf, MIB, (off_t)off) != MIB)
            exit(1);
    static const struct { const char *name; enum disk_format f; enum disk_layout l; } kinds[] = {
        { "raw", DISK_FMT_RAW, DISK_LAYOUT_RAW },
        { "fixed.vhd", DISK_FMT_VHD, DISK_LAYOUT_FIXED },
        { "fixed.vhdx", DISK_FMT_VHDX, DISK_LAYOUT_FIXED },
        { "dynamic.vhd", DISK_FMT_VHD, DISK_LAYOUT_DYNAMIC },
        { "dynamic.vhdx", DISK_FMT_VHDX, DISK_LAYOUT_DYNAMIC },
        { "chain5.vhd", DISK_FMT_VHD, DISK_LAYOUT_DIFF },
        { "chain5.vhdx", DISK_FMT_VHDX, DISK_LAYOUT_DIFF },
    };
    const char *only = getenv("DISK_BENCH_ONLY");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (only && !strstr(kinds[i].name, only))
            continue;
        struct disk *d = kinds[i].l == DISK_LAYOUT_DIFF
                             ? make_chain(e, kinds[i].f)
                             : make(e, kinds[i].name, (struct disk_create){
                                   .format = kinds[i].f, .layout = kinds[i].l, .size = e->size });
        if (kinds[i].l != DISK_LAYOUT_DIFF)
            fill(e, d, 0, MIB, MIB);
        one_case(e, kinds[i].name, d, fd);
        if (disk_close(d, &e->err) < 0)
            die(e);
    }
    close(fd);
}

/* ---- small writes, for comparison with qemu-img bench ---------------------------------------- */

static void small_writes(struct env *e, const char *format, unsigned n, bool fresh)
{
    enum disk_format f = disk_format_named(format);
    uint64_t step = 2 * MIB;
    char name[64];

    e->size = fresh ? (n + 1) * step : 256 * MIB;
    snprintf(name, sizeof name, "small.%s", disk_format_name(f));
    struct disk *d = make(e, name, (struct disk_create){ .format = f, .size = e->size,
                                                         .layout = DISK_LAYOUT_DYNAMIC });
    if (!fresh)
        fill(e, d, 0, MIB, MIB);
    double t = now_s();
    for (unsigned i = 0; i < n; i++) {
        uint64_t off = fresh ? i * step : i * (uint64_t)(2 * MIB + 68 * KIB) % (e->size - 4096);
        if (disk_write_sync(d, off & ~UINT64_C(4095), e->buf, 4096) < 0)
            abort();
    }
    if (disk_flush_sync(d) < 0)
        abort();
    t = now_s() - t;
    printf("%s %s: %.0f writes/s\n", format, fresh ? "new blocks" : "allocated blocks", n / t);
    if (disk_close(d, &e->err) < 0)
        die(e);
}

int main(int argc, char **argv)
{
    struct env e = { .dir = "/dev/shm", .size = 512 * MIB };
    bool small = argc == 5 && argv[1][0] == '-';

    clock_init(&e.clock);
    e.loop = loop_new(&e.clock);
    e.io = disk_io_new(e.loop, DISK_IO_AUTO, &e.err);
    e.buf = aligned_alloc(4096, DEPTH_MAX * 128 * KIB);
    if (!e.loop || !e.io || !e.buf)
        return 1;
    memset(e.buf, 0x5a, DEPTH_MAX * 128 * KIB);
    if (small) {
        e.dir = argv[2];
        small_writes(&e, argv[3], (unsigned)strtoul(argv[4], NULL, 10),
                     strcmp(argv[1], "--alloc") == 0);
    } else {
        if (argc > 1)
            e.dir = argv[1];
        if (argc > 2)
            e.size = strtoull(argv[2], NULL, 10) * MIB;
        all_cases(&e);
    }
    disk_io_free(e.io);
    loop_free(e.loop);
    free(e.buf);
    return 0;
}
