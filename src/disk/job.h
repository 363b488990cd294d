/* SPDX-License-Identifier: GPL-2.0-or-later */
/* job.h - long work on disks and images, for tools and the management service.  All of it blocks
 * (runs the loop), tells its progress, and can be stopped between two steps without harm. */
#pragma once

#include "disk/image.h"

struct disk_job {
    /* Now and then; false: stop, the work ends with -ECANCELED.  NULL: nobody asks. */
    bool (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *ctx;
};

/* 0, or -ECANCELED with words. */
int disk_job_step(const struct disk_job *job, uint64_t done, uint64_t total, struct err *err);

/* Copy what 'from' holds to 'to', which is empty (reads as zero) when 'to_is_empty': then zeros
 * are left out.  'to' may be larger.  Ends with a flush of 'to'. */
int disk_copy(struct disk *from, struct disk *to, bool to_is_empty, const struct disk_job *job,
              struct err *err);

/* Are they the same?  1: yes; 0: no, *ret_at is the first difference.  A longer one must be zero
 * behind the end of the shorter. */
int disk_compare(struct disk *a, struct disk *b, const struct disk_job *job, uint64_t *ret_at,
                 struct err *err);

/* Change the size of an open, writable disk.  Shrinking refuses to cut off what is allocated,
 * unless 'force'. */
int disk_resize(struct disk *d, uint64_t size, bool force, struct err *err);

/* Give back blocks that hold only zeros (or, with 'same_as_parent', what the parent holds), and
 * close the holes.  Dynamic and differencing disks. */
struct disk_compacted {
    uint64_t freed_blocks, moved_blocks, size_before, size_after;
};
int disk_compact(struct disk *d, const struct disk_job *job, struct disk_compacted *ret,
                 struct err *err);

/* Copy what the child 'path' itself holds into its parent.  Afterwards the parent reads as the
 * child did; the child is kept and stays valid.  Stopping or failing half-way is harmless: merge
 * again.  Children of the child must be re-based afterwards.  Refuses when another image in the
 * same folders has this parent, unless 'force'. */
int disk_merge(struct disk_io *io, const char *path, bool force, const struct disk_job *job,
               struct err *err);

/* Name another parent.  'trust': do not compare contents (the caller knows they are equal). */
int disk_rebase(struct disk_io *io, const char *path, const char *parent, bool trust,
                const struct disk_job *job, struct err *err);

/* A new identity (VHD: UniqueId, VHDX: Page 83 and DataWriteGuid).  Children lose a VHD parent
 * or any VHDX parent that is changed this way. */
int disk_set_guid(struct disk *d, const uint8_t guid[16], struct err *err);

enum disk_severity { DISK_NOTE, DISK_WARNING, DISK_LEAK, DISK_ERROR, DISK_FATAL };
enum { DISK_SEVERITIES = 5 };

enum disk_repair { DISK_REPAIR_NONE, DISK_REPAIR_SAFE, DISK_REPAIR_ALL };

struct disk_check {
    /* Each finding; 'repaired' says that it was mended. */
    void (*found)(void *ctx, enum disk_severity s, const char *text, bool repaired);
    void *ctx;
    enum disk_repair repair; /* SAFE loses nothing; ALL may give up blocks that are damaged */
    uint64_t n[DISK_SEVERITIES]; /* out: not repaired */
    uint64_t n_repaired;
    uint64_t n_more; /* of 'n', what ALL would have mended */
};

/* Look at every structure of one image (its parents: only whether they fit).  0 when it could be
 * looked at, whatever was found. */
int disk_check(struct disk_io *io, const char *path, enum disk_format format,
               struct disk_check *check, struct err *err);
