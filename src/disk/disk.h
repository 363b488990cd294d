/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk.h - the contract of every disk: asynchronous, stackable, bound to one loop.
 *
 *     static void on_done(struct disk_rq *rq, int err) { ... }
 *
 *     struct disk_io *io = disk_io_new(loop, DISK_IO_AUTO, err);    // one a loop
 *     disk_open(io, "a.vhdx", &(struct disk_open){ .writable = true }, &d, err);
 *     rq->op = DISK_WRITE; rq->off = 4096; rq->len = 512; rq->iov = ...; rq->done = on_done;
 *     disk_submit(d, rq);
 *
 * Everything below runs on the thread of the loop that 'io' was made for, or before that loop
 * runs.  Callers on other threads post to it.  Nothing here knows of VMs. */
#pragma once

#include <sys/uio.h>

#include "base/err.h"
#include "base/loop.h"

struct disk;
struct disk_rq;

enum disk_op {
    DISK_READ,
    DISK_WRITE,
    DISK_FLUSH,        /* what was done before it was submitted is on stable storage after it */
    DISK_DISCARD,      /* advice: each sector reads as zero afterwards, or as before */
    DISK_WRITE_ZEROES, /* the range reads as zero */
    DISK_TRUNCATE,     /* files beneath formats only: set the size to 'off' */
};

enum {
    DISK_FUA = 1u << 0,   /* WRITE, WRITE_ZEROES: durable when done, as if a flush followed */
    DISK_UNMAP = 1u << 1, /* WRITE_ZEROES: the space may be given back */
};

enum {
    DISK_STACK_MAX = 12,     /* layers over each other */
    DISK_CHAIN_MAX = 256,    /* differencing disks over each other */
    DISK_IOV_MAX = 1024,     /* buffers in one request (the kernel's limit) */
    DISK_LEN_MAX = 1 << 30,  /* bytes in one read or write */
};

/* What a layer keeps while a request is below it; see disk_push(). */
struct disk_frame {
    void (*done)(struct disk_rq *rq, int err, void *ctx);
    void *ctx;
    uint64_t off, aux;
};

/* One request.  The caller embeds it, zeroes it once, and fills in the first part; it and the
 * buffers stay the caller's and stay alive until done().  'off' and 'len' are bytes and multiples
 * of disk->block; the iov must hold exactly 'len' bytes.  After done() the first part is as the
 * caller left it, so that the request can be submitted again. */
struct disk_rq {
    enum disk_op op;
    uint32_t flags;
    uint64_t off, len;
    struct iovec *iov;
    unsigned n_iov;
    void (*done)(struct disk_rq *rq, int err); /* err: 0 or -errno; exactly once */
    void *ctx;                                 /* the caller's */

    /* The layers' from here on. */
    uint8_t n_frames;
    int part_err;
    unsigned n_parts;
    uint64_t io_done;
    int64_t io_res;
    struct disk *io_disk;
    struct disk_rq *next;
    struct disk_frame frames[DISK_STACK_MAX];
};

enum disk_extent_kind {
    DISK_EXT_DATA,   /* bytes stored at 'file_off' of layer 'depth' */
    DISK_EXT_ZERO,   /* reads as zero, by a layer's own word */
    DISK_EXT_ABSENT, /* in no layer: reads as zero */
};

/* A run of a disk that is of one kind. */
struct disk_extent {
    uint64_t off, len;
    enum disk_extent_kind kind;
    unsigned depth;    /* 0: the top, 1: its parent, ... */
    uint64_t file_off; /* DATA: where in that layer's file; UINT64_MAX: unknown */
};

/* Limits and facts that a guest is told.  Set at open, changed by disk_resize() only. */
struct disk {
    const struct disk_ops *ops;
    struct disk_io *io;
    struct loop *loop;
    const char *kind;   /* "raw", "block device", "vhd", "vhdx", "throttle", ... */
    uint64_t size;      /* bytes */
    uint32_t block;     /* logical block size: 512 or 4096 (1 for files beneath formats) */
    uint32_t phys_block; /* physical block size */
    uint32_t discard_block; /* useful granularity of DISCARD; 0: not possible */
    bool read_only;
    bool rotational;
    bool write_cache;   /* a flush matters */
    bool growable;      /* a file beneath a format: writes past the end extend it */
    uint8_t guid[16];   /* identity for VPD page 83, in the order it prints; zero: none */
    unsigned stack;     /* layers below and with this one */
    struct { uint16_t cyls; uint8_t heads, sectors; } chs; /* 0: none known */
};

/* One layer's functions.  Only disk.c calls through them. */
struct disk_ops {
    const char *name;
    void (*submit)(struct disk *d, struct disk_rq *rq);
    /* Finish all work, make it durable, free 'd' (always, also on error).  Blocks. */
    int (*close)(struct disk *d, struct err *err);
    /* First run of [off, off+len).  Blocks.  NULL: all is data. */
    int (*map)(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret);
    struct disk *(*below)(struct disk *d); /* a layer's lower disk; NULL: none */
};

/* ---- the data path ------------------------------------------------------------------------ */

/* Start 'rq'.  Cannot fail: every outcome arrives through rq->done, exactly once, on the loop's
 * thread and from the loop, never before this returns.  A request outside the disk or on a
 * read-only disk finishes with -EINVAL or -EROFS. */
void disk_submit(struct disk *d, struct disk_rq *rq);

/* A layer is through with 'rq'. */
void disk_finish(struct disk_rq *rq, int err);

/* The same for a layer that is still inside its submit(): done() runs when the loop turns, so
 * that a caller who submits from done() does not pile up the stack. */
void disk_finish_soon(struct disk *d, struct disk_rq *rq, int err);

/* For layers: have done() called when 'rq' comes back from below; it then calls disk_finish()
 * again (or keeps the request for more work).  Saves rq->off, which the layer may then move. */
void disk_push(struct disk_rq *rq, void (*done)(struct disk_rq *, int, void *), void *ctx);

/* The aux word of the frame that was popped last (valid inside its done()). */
uint64_t disk_frame_aux(const struct disk_rq *rq);

/* ---- opening ------------------------------------------------------------------------------ */

enum disk_io_mode { DISK_IO_AUTO, DISK_IO_URING, DISK_IO_THREADS };

/* The engine of one loop: a ring, or a pool of threads where the kernel refuses one.
 * Freed after the last disk on it; disks hold no reference. */
struct disk_io *disk_io_new(struct loop *loop, enum disk_io_mode mode, struct err *err);
void disk_io_free(struct disk_io *io);
const char *disk_io_name(const struct disk_io *io); /* "io_uring" or "threads" */

enum disk_format { DISK_FMT_PROBE, DISK_FMT_RAW, DISK_FMT_VHD, DISK_FMT_VHDX };

struct disk_open {
    bool writable;
    bool direct;             /* O_DIRECT, past the host's cache */
    bool no_lock;            /* the caller knows better (tools that only look) */
    bool no_parent;          /* differencing disks: open this layer alone (check, info, dump) */
    bool repair;             /* tolerate what a repair is about to mend */
    enum disk_format format; /* PROBE believes the bytes: never for a guest-written raw disk */
    const char *parent_root; /* parents must lie under this folder; NULL: anywhere */
    const uint8_t *data_guid; /* VHDX: the DataWriteGuid to take (16 bytes); NULL: random */
};

/* Open an image file or host block device with its whole chain of parents. */
int disk_open(struct disk_io *io, const char *path, const struct disk_open *how,
              struct disk **ret, struct err *err);

/* Ends the use of 'd' and of everything below it; no request may be in flight.  Blocks while
 * metadata is written out (runs the loop).  The object is gone even when it fails. */
int disk_close(struct disk *d, struct err *err);

/* ---- blocking helpers, for tools and control paths: they run the loop until done ------------ */

int disk_rw_sync(struct disk *d, enum disk_op op, uint64_t off, void *buf, uint64_t len,
                 uint32_t flags);
int disk_read_sync(struct disk *d, uint64_t off, void *buf, uint64_t len);
int disk_write_sync(struct disk *d, uint64_t off, const void *buf, uint64_t len);
int disk_flush_sync(struct disk *d);

/* The first run of [off, off + len) with one kind; off < size. */
int disk_map(struct disk *d, uint64_t off, uint64_t len, struct disk_extent *ret);

/* ---- layers (each owns the disk beneath and closes it) --------------------------------------- */

struct disk *disk_below(struct disk *d);
