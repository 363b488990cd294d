/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages.h - buffers that a guest describes by page numbers: GPADLs and GPA-direct packets.
 *
 * All functions check every page; off and len count within the buffer.  -EFAULT: a page is no RAM;
 * -ERANGE: [off, off + len) leaves the buffer.  Any thread. */
#pragma once

#include <sys/uio.h>

#include "guest/gmem.h"

struct gpa_range {
    uint32_t size;       /* bytes */
    uint32_t offset;     /* of the first byte in the first page; below PAGE_SIZE */
    const uint64_t *pfn; /* borrowed; as many as the range touches */
};

/* Pages that a range of this shape touches; 'offset' is below PAGE_SIZE. */
static inline uint64_t gpa_range_pages(uint32_t size, uint32_t offset)
{
    return ((uint64_t)offset + size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

int gpa_range_read(const struct gmem *m, const struct gpa_range *r, uint64_t off, void *to,
                   uint64_t len);
int gpa_range_write(struct gmem *m, const struct gpa_range *r, uint64_t off, const void *from,
                    uint64_t len);

/* Host addresses of a part, neighbours merged: the number of entries, or -E2BIG when 'max' are too
 * few.  Whoever writes through them calls gpa_range_wrote() afterwards. */
int gpa_range_iov(const struct gmem *m, const struct gpa_range *r, uint64_t off, uint64_t len,
                  struct iovec *iov, unsigned max);
void gpa_range_wrote(struct gmem *m, const struct gpa_range *r, uint64_t off, uint64_t len);
