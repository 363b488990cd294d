/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.c - see file.h.  Raw images, pass-through block devices and the files beneath formats.
 *
 * Discard is a punched hole and reads as zero; write-zeroes tries the file system's way first
 * and writes zeros where there is none.  Direct I/O uses a second descriptor, so that a request
 * that is not aligned can go through the host's cache (the kernel keeps both coherent). */
#include "disk/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "disk/io.h"
#include "disk/io_threads.h"
#include "disk/lock.h"

/* rq->io_done is what has been moved, or one of these. */
#define IN_SYNC    UINT64_MAX       /* the write part is over, now it syncs */
#define FROM_START (UINT64_MAX - 1) /* all of it on a thread that may wait */
#define BY_PUNCH   (UINT64_MAX - 2) /* zeros: as a hole, */
#define BY_RANGE   (UINT64_MAX - 3) /* as a range that the file system zeroes, */
#define BY_HAND    (UINT64_MAX - 4) /* written as data */
#define ZERO_STEP (256 * KIB)
#define SMALL     (16 * KIB) /* in memory: done inside submit, many for one answer to the caller */

struct file {
    struct disk disk;
    int fd, direct_fd;
    uint32_t align; /* of direct requests */
    bool no_zero_range, no_punch;
    bool in_memory; /* tmpfs: a system call never waits, and costs less than any hand-over */
};

static const struct disk_ops file_ops;

static struct file *file_of(struct disk *d)
{
    return container_of(d, struct file, disk);
}

int file_fd(struct disk *d)
{
    return d->ops == &file_ops ? file_of(d)->fd : -1;
}

/* ---- commands, built on the engine's side ---------------------------------------------------- */

static bool is_aligned(const struct file *f, const struct disk_rq *rq)
{
    uint64_t all = rq->off | rq->len;

    for (unsigned i = 0; i < rq->n_iov; i++)
        all |= (uintptr_t)rq->iov[i].iov_base | rq->iov[i].iov_len;
    return !(all & (f->align - 1));
}

/* The rest of a transfer that came back short, or zeros as data; blocks on a thread. */
static int rest_call(struct disk_rq *rq)
{
    struct file *f = file_of(rq->io_disk);
    bool zeros = rq->op == DISK_WRITE_ZEROES;
    uint64_t done = zeros || rq->io_done == FROM_START ? 0 : rq->io_done;
    AUTO(free_p) void *buf = zeros ? calloc(1, ZERO_STEP) : NULL;
    AUTO(free_p) struct iovec *iov = calloc(MAX(rq->n_iov, 1u), sizeof *iov);

    if (!iov || (zeros && !buf))
        return -ENOMEM;
    while (done < rq->len) {
        struct iovec zero = { buf, MIN(rq->len - done, ZERO_STEP) };
        unsigned n = zeros ? 0 : iov_slice(rq->iov, rq->n_iov, done, rq->len - done, iov);
        struct io_cmd c = {
            .code = rq->op == DISK_READ ? IO_READ : IO_WRITE, .fd = f->fd, .off = rq->off + done,
            .iov = zeros ? &zero : iov, .n_iov = zeros ? 1 : n,
        };
        int64_t r = io_run_cmd(&c, rq);
        if (r < 0)
            return (int)r;
        if (r == 0 && rq->op == DISK_READ) {
            iov_zero(rq->iov, rq->n_iov, done, rq->len - done);
            break;
        }
        if (r == 0)
            return -ENOSPC;
        done += (uint64_t)r;
    }
    if (rq->flags & DISK_FUA)
        return fdatasync(f->fd) < 0 ? -errno : 0;
    return 0;
}

/* The best way to zeros that is not known to fail here. */
static uint64_t zero_way(const struct file *f, const struct disk_rq *rq)
{
    if (rq->op == DISK_DISCARD || ((rq->flags & DISK_UNMAP) && !f->no_punch))
        return BY_PUNCH;
    if (!f->no_zero_range)
        return BY_RANGE;
    return f->no_punch ? BY_HAND : BY_PUNCH; /* a punched hole reads as zero as well */
}

static void file_cmd(struct disk_rq *rq, struct io_cmd *c)
{
    const struct file *f = file_of(rq->io_disk);

    c->fd = f->fd;
    c->off = rq->off;
    c->len = rq->len;
    c->iov = rq->iov;
    c->n_iov = rq->n_iov;
    if (rq->op == DISK_FLUSH || rq->io_done == IN_SYNC) {
        c->code = IO_FDATASYNC;
        return;
    }
    if (rq->io_done == BY_PUNCH || rq->io_done == BY_RANGE) {
        c->code = IO_FALLOCATE;
        c->mode = FALLOC_FL_KEEP_SIZE |
                  (rq->io_done == BY_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
        return;
    }
    if (rq->io_done) {
        c->code = IO_CALL;
        c->call = rest_call;
        return;
    }
    c->code = rq->op == DISK_READ ? IO_READ : IO_WRITE;
    if (rq->op == DISK_WRITE && (rq->flags & DISK_FUA))
        c->rw_flags = RWF_DSYNC;
    if (f->direct_fd >= 0 && is_aligned(f, rq))
        c->fd = f->direct_fd;
}

/* ---- results, on the loop -------------------------------------------------------------------- */

static void file_io_done(struct disk_rq *rq, int64_t res);
static const struct io_ops file_io_ops = { file_cmd, file_io_done };

static void again(struct disk_rq *rq, uint64_t io_done)
{
    rq->io_done = io_done;
    io_start(rq->io_disk->io, &file_io_ops, rq);
}

/* Others may have found out in between: what counts is the way that this one went. */
static void zero_done(struct file *f, struct disk_rq *rq, int64_t res)
{
    bool unsupported = res == -EOPNOTSUPP || res == -ENOSYS || res == -ENODEV || res == -EINVAL;

    if (unsupported && rq->io_done != BY_HAND) {
        if (rq->io_done == BY_PUNCH)
            f->no_punch = true;
        else
            f->no_zero_range = true;
        if (rq->op == DISK_DISCARD) {
            f->disk.discard_block = 0;
            disk_finish(rq, 0);
        } else {
            again(rq, zero_way(f, rq));
        }
        return;
    }
    if (res == 0 && (rq->flags & DISK_FUA) && rq->io_done != BY_HAND)
        again(rq, IN_SYNC);
    else
        disk_finish(rq, (int)res);
}

static void file_io_done(struct disk_rq *rq, int64_t res)
{
    struct file *f = file_of(rq->io_disk);

    if (rq->op == DISK_FLUSH || rq->io_done == IN_SYNC) {
        disk_finish(rq, (int)res);
        return;
    }
    if (rq->op == DISK_DISCARD || rq->op == DISK_WRITE_ZEROES) {
        zero_done(f, rq, res);
        return;
    }
    if (likely(res == (int64_t)rq->len))
        res = 0;
    else if ((res == -EINTR || res == -EAGAIN) && rq->io_done == 0)
        return again(rq, FROM_START); /* this file system cannot but wait */
    else if (res >= 0 && rq->io_done == 0) {
        if (rq->op == DISK_READ && rq->off + (uint64_t)res >= f->disk.size) {
            iov_zero(rq->iov, rq->n_iov, (uint64_t)res, rq->len - (uint64_t)res);
            res = 0;
        } else if (res > 0) {
            return again(rq, (uint64_t)res);
        } else if (rq->op == DISK_READ) { /* somebody cut the file: what is gone reads as zero */
            iov_zero(rq->iov, rq->n_iov, 0, rq->len);
        } else {
            res = -ENOSPC;
        }
    }
    if (res == 0 && rq->op == DISK_WRITE && f->disk.growable)
        f->disk.size = MAX(f->disk.size, rq->off + rq->len);
    disk_finish(rq, (int)res);
}

static void file_submit(struct disk *d, struct disk_rq *rq)
{
    struct file *f = file_of(d);

    if (rq->op == DISK_TRUNCATE) {
        int r = ftruncate(f->fd, (off_t)rq->off) < 0 ? -errno : 0;
        if (r == 0)
            d->size = rq->off;
        disk_finish_soon(d, rq, r);
        return;
    }
    rq->io_disk = d;
    rq->io_done = 0;
    if (rq->op == DISK_DISCARD || rq->op == DISK_WRITE_ZEROES) {
        if (rq->op == DISK_DISCARD && f->no_punch) {
            disk_finish_soon(d, rq, 0);
            return;
        }
        rq->io_done = zero_way(f, rq);
    }
    if (f->in_memory && (rq->op == DISK_READ || rq->op == DISK_WRITE) && rq->n_iov) {
        struct io_cmd c = { 0 };
        if (rq->len > SMALL) {
            io_start_here(d->io, &file_io_ops, rq);
            return;
        }
        file_cmd(rq, &c);
        if (io_run_cmd(&c, rq) == (int64_t)rq->len) {
            if (rq->op == DISK_WRITE && d->growable)
                d->size = MAX(d->size, rq->off + rq->len);
            disk_finish_soon(d, rq, 0);
            return;
        } /* anything else goes the long way, from its start */
    }
    io_start(d->io, &file_io_ops, rq);
}

static int file_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret)
{
    struct file *f = file_of(d);
    off_t data = lseek(f->fd, (off_t)off, SEEK_DATA);

    ret->file_off = off;
    if (data < 0) {
        if (errno == ENXIO) /* nothing but a hole from here on */
            ret->kind = DISK_EXT_ABSENT;
        return 0;
    }
    if ((uint64_t)data > off) {
        uint64_t hole = ALIGN_DOWN((uint64_t)data - off, (uint64_t)d->block);
        if (hole) {
            ret->kind = DISK_EXT_ABSENT;
            ret->len = MIN(len, hole);
            return 0;
        }
    }
    off_t end = lseek(f->fd, MAX(data, (off_t)off), SEEK_HOLE);
    if (end > (off_t)off)
        ret->len = MIN(len, ALIGN_UP((uint64_t)end - off, (uint64_t)d->block));
    return 0;
}

static int file_close(struct disk *d, struct err *err)
{
    struct file *f = file_of(d);

    /* A last word to the storage; errors of write-back show here at the latest. */
    int r = d->read_only ? 0 : fdatasync(f->fd) < 0 ? -errno : 0;
    if (r == -EINVAL || r == -EROFS)
        r = 0;
    if (r < 0)
        err_errno(err, -r, "the last writes did not reach the storage");
    close_fd_p(&f->fd);
    close_fd_p(&f->direct_fd);
    free(f);
    return r;
}

static const struct disk_ops file_ops = {
    .name = "file", .submit = file_submit, .close = file_close, .map = file_map,
};

/* ---- opening --------------------------------------------------------------------------------- */

/* A number or word from /sys/dev/block/MAJ:MIN/queue/NAME (partitions: their disk's). */
static bool queue_attr(dev_t dev, const char *name, char *to, size_t size)
{
    char path[128];
    FILE *f = NULL;

    for (int up = 0; up < 2 && !f; up++) {
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/%squeue/%s", major(dev), minor(dev),
                 up ? "../" : "", name);
        f = fopen(path, "re");
    }
    bool ok = f && fgets(to, (int)size, f);
    if (f)
        fclose(f);
    return ok;
}

static int block_facts(struct file *f, dev_t dev, const char *path, struct err *err)
{
    struct disk *d = &f->disk;
    unsigned phys = 0;
    int lbs = 0, ro = 0;
    char word[64];

    if (ioctl(f->fd, BLKGETSIZE64, &d->size) < 0 || ioctl(f->fd, BLKSSZGET, &lbs) < 0)
        return err_errno(err, errno, "'%s' does not tell its size", path);
    if (lbs != 512 && lbs != 4096)
        return err_set(err, ENOTSUP, "'%s' has blocks of %d bytes: 512 and 4096 are possible",
                       path, lbs);
    d->block = (uint32_t)lbs;
    d->phys_block = ioctl(f->fd, BLKPBSZGET, &phys) == 0 && phys >= d->block ? phys : d->block;
    if (ioctl(f->fd, BLKROGET, &ro) == 0 && ro && !d->read_only)
        return err_set(err, EROFS, "'%s' is a read-only device", path);
    d->rotational = queue_attr(dev, "rotational", word, sizeof word) && word[0] == '1';
    d->write_cache = !queue_attr(dev, "write_cache", word, sizeof word) ||
                     strncmp(word, "write back", 10) == 0;
    if (queue_attr(dev, "discard_granularity", word, sizeof word))
        d->discard_block = (uint32_t)strtoul(word, NULL, 10);
    d->kind = "block device";
    f->align = d->block;
    return 0;
}

static void file_facts(struct file *f, const struct stat *st)
{
    struct disk *d = &f->disk;
    struct statfs fs;

    d->size = ALIGN_UP((uint64_t)st->st_size, UINT64_C(512));
    d->block = 512;
    d->phys_block = 4096;
    d->discard_block = 4096;
    d->write_cache = true;
    d->kind = "raw";
    f->align = 4096;
    f->in_memory = fstatfs(f->fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static int open_flags(unsigned flags)
{
    return (flags & FILE_WRITABLE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
           (flags & FILE_CREATE ? O_CREAT | O_EXCL : 0);
}

static int file_load(struct file *f, const char *path, unsigned flags, struct err *err)
{
    struct disk *d = &f->disk;
    struct stat st;
    int r;

    f->fd = open(path, open_flags(flags), 0666);
    if (f->fd < 0)
        return err_errno(err, errno, "'%s' cannot be %s", path,
                         flags & FILE_CREATE ? "created" : "opened");
    if (fstat(f->fd, &st) < 0)
        return err_errno(err, errno, "'%s'", path);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_set(err, S_ISDIR(st.st_mode) ? EISDIR : ENOTBLK,
                       "'%s' is neither a file nor a block device", path);
    if (!(flags & FILE_NO_LOCK)) {
        r = image_lock(f->fd, path, flags & FILE_WRITABLE, err);
        if (r < 0)
            return r;
    }
    d->read_only = !(flags & FILE_WRITABLE);
    if (S_ISBLK(st.st_mode)) {
        r = block_facts(f, st.st_rdev, path, err);
        if (r < 0)
            return r;
        if (flags & FILE_WRITABLE) { /* fails while it is mounted or part of an array */
            int excl = open(path, open_flags(flags) | O_EXCL);
            if (excl < 0)
                return err_errno(err, errno, "'%s' is used by the host", path);
            close(f->fd); /* and with it the lock */
            f->fd = excl;
            if (!(flags & FILE_NO_LOCK) && (r = image_lock(f->fd, path, true, err)) < 0)
                return r;
        }
    } else {
        file_facts(f, &st);
    }
    if (flags & FILE_CONTAINER) {
        if (S_ISREG(st.st_mode))
            d->size = (uint64_t)st.st_size;
        d->block = 1;
        d->growable = S_ISREG(st.st_mode);
    }
    if (flags & FILE_DIRECT) {
        f->direct_fd = open(path, (open_flags(flags) & ~(O_CREAT | O_EXCL)) | O_DIRECT);
        if (f->direct_fd < 0)
            return err_errno(err, errno, "'%s' cannot be opened for direct I/O", path);
    }
    return 0;
}

int file_open(struct disk_io *io, const char *path, unsigned flags, struct disk **ret,
              struct err *err)
{
    struct file *f = calloc(1, sizeof *f);

    if (!f)
        return err_set(err, ENOMEM, "no memory to open '%s'", path);
    f->fd = f->direct_fd = -1;
    f->disk.ops = &file_ops;
    f->disk.io = io;
    f->disk.loop = io_loop(io);
    f->disk.stack = 1;
    int r = file_load(f, path, flags, err);
    if (r < 0) {
        close_fd_p(&f->fd);
        close_fd_p(&f->direct_fd);
        free(f);
        return r;
    }
    *ret = &f->disk;
    return 0;
}
