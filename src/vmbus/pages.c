/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages.c - see pages.h. */
#include "vmbus/pages.h"

#include <errno.h>

/* The piece of a buffer that starts at 'off' and ends with its page, or earlier. */
struct piece {
    gpa_t at;
    uint64_t len;
};

static struct piece piece_at(const struct gpa_range *r, uint64_t off, uint64_t len)
{
    uint64_t byte = r->offset + off, in_page = byte % PAGE_SIZE;
    uint64_t pfn = r->pfn[byte >> PAGE_SHIFT];

    /* A number that no page can have stays one: the shift must not wrap it into RAM. */
    if (pfn > UINT64_MAX >> PAGE_SHIFT)
        pfn = UINT64_MAX >> PAGE_SHIFT;
    return (struct piece){ GPA((pfn << PAGE_SHIFT) + in_page), MIN(len, PAGE_SIZE - in_page) };
}

int gpa_range_read(const struct gmem *m, const struct gpa_range *r, uint64_t off, void *to,
                   uint64_t len)
{
    uint8_t *p = to;

    if (!range_ok(off, len, r->size))
        return -ERANGE;
    while (len) {
        struct piece s = piece_at(r, off, len);
        int e = gmem_read(m, s.at, p, s.len);
        if (e < 0)
            return e;
        p += s.len;
        off += s.len;
        len -= s.len;
    }
    return 0;
}

int gpa_range_write(struct gmem *m, const struct gpa_range *r, uint64_t off, const void *from,
                    uint64_t len)
{
    const uint8_t *p = from;

    if (!range_ok(off, len, r->size))
        return -ERANGE;
    while (len) {
        struct piece s = piece_at(r, off, len);
        int e = gmem_write(m, s.at, p, s.len);
        if (e < 0)
            return e;
        p += s.len;
        off += s.len;
        len -= s.len;
    }
    return 0;
}

int gpa_range_iov(const struct gmem *m, const struct gpa_range *r, uint64_t off, uint64_t len,
                  struct iovec *iov, unsigned max)
{
    unsigned n = 0;

    if (!range_ok(off, len, r->size))
        return -ERANGE;
    while (len) {
        struct piece s = piece_at(r, off, len);
        uint8_t *host = gmem_host(m, s.at, s.len);
        if (!host)
            return -EFAULT;
        if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == host) {
            iov[n - 1].iov_len += s.len;
        } else {
            if (n == max)
                return -E2BIG;
            iov[n++] = (struct iovec){ host, s.len };
        }
        off += s.len;
        len -= s.len;
    }
    return (int)n;
}

void gpa_range_wrote(struct gmem *m, const struct gpa_range *r, uint64_t off, uint64_t len)
{
    while (len) {
        struct piece s = piece_at(r, off, len);
        gmem_wrote(m, s.at, s.len);
        off += s.len;
        len -= s.len;
    }
}
