/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packet.c - see packet.h. */
#include "vmbus/packet.h"

#include <errno.h>

/* One range of a GPA-direct packet: size, offset, page numbers. */
static bool range_decode(struct bytes *b, struct gpa_range *ret)
{
    uint32_t size, offset;

    if (!bytes_le32(b, &size) || !bytes_le32(b, &offset))
        return false;
    uint64_t pages = gpa_range_pages(size, offset);
    const uint64_t *pfn = (const uint64_t *)(const void *)b->p; /* little endian, as we are */
    if (pages > b->n / 8)
        return false;
    /* An offset behind the first page skips pages. */
    *ret = (struct gpa_range){ size, offset % PAGE_SIZE, pfn + offset / PAGE_SIZE };
    return bytes_skip(b, pages * 8);
}

static int ranges_decode(struct bytes b, struct gpa_range *range, struct packet *p)
{
    uint32_t reserved, n;

    if (!bytes_le32(&b, &reserved) || !bytes_le32(&b, &n) || n > PACKET_RANGES_MAX)
        return -EBADMSG;
    for (unsigned i = 0; i < n; i++)
        if (!range_decode(&b, &range[i]))
            return -EBADMSG;
    p->range = range;
    p->n_ranges = n;
    return 0;
}

int packet_decode(const uint8_t *raw, size_t n, struct gpa_range *range, struct packet *ret)
{
    struct vmbus_packet h;
    struct packet p = { 0 };

    if (n < sizeof h)
        return -EBADMSG;
    memcpy(&h, raw, sizeof h);
    size_t payload = h.offset8 * 8u;
    if (payload < sizeof h || payload > n)
        return -EBADMSG;
    p.type = h.type;
    p.wants_completion = h.flags & VMBUS_PACKET_WANTS_COMPLETION;
    p.id = h.id;
    p.payload = raw + payload;
    p.size = n - payload;
    if (h.type == VMBUS_PACKET_GPA_DIRECT) {
        int e = ranges_decode(bytes_of(raw + sizeof h, payload - sizeof h), range, &p);
        if (e < 0)
            return e;
    }
    *ret = p;
    return 0;
}
