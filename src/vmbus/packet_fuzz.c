/* SPDX-License-Identifier: GPL-2.0-or-later */
/* packet_fuzz.c - ring headers and data of a hostile guest: the input is both pages of an in ring. */
#include "vmbus/packet.h"
#include "vmbus/ring.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Every range that was accepted can be walked. */
static void walk(const struct gmem *m, const struct packet *p)
{
    struct iovec iov[8];
    uint8_t byte;

    for (unsigned i = 0; i < p->n_ranges; i++) {
        const struct gpa_range *r = &p->range[i];
        assert(r->offset < PAGE_SIZE);
        if (!r->size)
            continue;
        gpa_range_read(m, r, r->size - 1, &byte, 1);
        gpa_range_iov(m, r, 0, MIN(r->size, 20000u), iov, 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct gpa_range range[PACKET_RANGES_MAX];
    const uint64_t pfn[] = { 1, 3, 2 };
    struct ring_buf buf = { 0 };
    struct gmem *m = NULL;
    struct packet p;
    struct ring r;
    int len;

    if (gmem_new(MIB, &m, NULL) < 0)
        abort();
    gmem_write(m, GPA(0x1000), data, MIN(n, 16));
    if (n > 16)
        gmem_write(m, GPA(0x2000), data + 16, MIN(n - 16, 8192));
    if (ring_map(&r, m, pfn, 3) < 0)
        abort();
    if (ring_start_in(&r)) {
        for (unsigned i = 0; i < 1000 && (len = ring_next(&r, &buf)) > 0; i++) {
            if (packet_decode(buf.p, (size_t)len, range, &p) == 0) {
                assert(p.size % 8 == 0 && p.payload >= buf.p && p.payload + p.size == buf.p + len);
                walk(m, &p);
            }
            ring_commit(&r);
        }
        ring_sleep(&r);
    }
    ring_unmap(&r);
    free(buf.p);
    gmem_free(m);
    return 0;
}
