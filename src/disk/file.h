/* SPDX-License-Identifier: GPL-2.0-or-later */
/* file.h - files and host block devices as disks: the bottom of every stack. */
#pragma once

#include "disk/disk.h"

enum {
    FILE_WRITABLE = 1u << 0,
    FILE_DIRECT = 1u << 1,    /* O_DIRECT where a request's alignment allows it */
    FILE_NO_LOCK = 1u << 2,
    FILE_CONTAINER = 1u << 3, /* beneath a format: byte-granular, grows, zeros past the end */
    FILE_CREATE = 1u << 4,    /* must not exist */
};

/* Open 'path'.  Without FILE_CONTAINER it is a raw disk: size and blocks as a guest sees them
 * (a file's size rounded up to a sector, zeros behind its end). */
int file_open(struct disk_io *io, const char *path, unsigned flags, struct disk **ret,
              struct err *err);

/* Of a disk made by file_open(): its descriptor; -1 for other disks. */
int file_fd(struct disk *d);
