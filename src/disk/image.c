/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.c - opening a disk by its path: which format, which parents. */
#include "disk/disk.h"

#include <errno.h>

#include "disk/file.h"

int disk_open(struct disk_io *io, const char *path, const struct disk_open *how,
              struct disk **ret, struct err *err)
{
    unsigned flags = (how->writable ? FILE_WRITABLE : 0) | (how->direct ? FILE_DIRECT : 0) |
                     (how->no_lock ? FILE_NO_LOCK : 0);

    if (how->format != DISK_FMT_RAW && how->format != DISK_FMT_PROBE)
        return err_set(err, ENOTSUP, "'%s': this format cannot be opened yet", path);
    return file_open(io, path, flags, ret, err);
}
