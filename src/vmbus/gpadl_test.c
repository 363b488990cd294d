/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpadl_test.c - GPADLs of all sizes and shapes, and copies through page lists. */
#include <errno.h>

#include "base/test.h"
#include "vmbus/gpadl.h"
#include "vmbus/vmbus_model.h"

static void done(struct bus_model *b)
{
    bus_model_done(b);
}

TEST(gpadls_of_all_sizes)
{
    static const unsigned sizes[] = { 1, 2, 25, 26, 27, 53, 54, 55, 64, 256, 4096, 8189, 8190,
                                      8191, 8300 };
    AUTO(done) struct bus_model b;
    AUTO(free_p) uint64_t *pfn = calloc(8300, sizeof *pfn);
    uint32_t id;

    bus_model_init(&b, 1, false);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    vsc_pages(&b.g, pfn, 8300); /* behind 8190 the size in the header has wrapped */
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        EXPECT_EQ(vsc_gpadl(&b.g, 1, pfn, sizes[i], &id), 0);
        EXPECT(vsc_teardown(&b.g, 1, id));
    }
}

TEST(pages_that_are_no_ram_are_refused_wherever_they_stand)
{
    AUTO(done) struct bus_model b;
    uint64_t pfn[100];
    uint32_t id;

    bus_model_init(&b, 1, false);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    const uint64_t bad[] = { 0xa0, MODEL_RAM >> 12, 0xfee00, UINT64_MAX, UINT64_C(1) << 52,
                             (UINT64_C(1) << 52) | 0x300 };
    const unsigned at[] = { 0, 25, 26, 99 };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        for (unsigned k = 0; k < ARRAY_LEN(at); k++) {
            vsc_pages(&b.g, pfn, 100);
            pfn[at[k]] = bad[i];
            uint32_t s = vsc_gpadl(&b.g, 1, pfn, 100, &id);
            EXPECT(s != 0 && s != UINT32_MAX);
            EXPECT(vsc_teardown(&b.g, 1, id)); /* answered, though it is not there */
        }
    }
}

static uint32_t create(struct bus_model *b, const void *msg, size_t n)
{
    struct vmbus_gpadl_created r;

    vsc_post(&b->g, msg, n);
    return vsc_wait(&b->g, VMBUS_GPADL_CREATED, &r, sizeof r) ? r.status : UINT32_MAX;
}

TEST(headers_that_make_no_sense)
{
    AUTO(done) struct bus_model b;
    struct {
        struct vmbus_gpadl_header h;
        struct vmbus_gpadl_range r;
        uint64_t pfn[2];
    } __attribute__((packed)) m = {
        { { VMBUS_GPADL_HEADER, 0 }, 1, 7, 24, 0 }, { 4096, 0 }, { 0x300, 0x301 },
    };

    bus_model_init(&b, 1, false);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT(create(&b, &m, sizeof m) + 1 > 1); /* no ranges */
    m.h.n_ranges = GPADL_RANGES_MAX + 1;
    EXPECT(create(&b, &m, sizeof m) + 1 > 1);
    m.h.n_ranges = 1;
    m.r.size = 0;
    EXPECT(create(&b, &m, sizeof m) + 1 > 1); /* no pages */
    m.r = (struct vmbus_gpadl_range){ 4096, 4096 };
    EXPECT(create(&b, &m, sizeof m) + 1 > 1); /* starts behind its first page */
    m.r = (struct vmbus_gpadl_range){ UINT32_MAX, 4095 };
    EXPECT(create(&b, &m, sizeof m) + 1 > 1); /* larger than all may be */
    m.r = (struct vmbus_gpadl_range){ 4096, 1 }; /* two pages */
    EXPECT_EQ(create(&b, &m, sizeof m), 0);
    EXPECT(create(&b, &m, sizeof m) + 1 > 1); /* that name is taken */
    EXPECT(vsc_teardown(&b.g, 1, 7));
    m.r = (struct vmbus_gpadl_range){ 3 * 4096, 0 };
    EXPECT_EQ(create(&b, &m, sizeof m), UINT32_MAX); /* waits for its body ... */
    EXPECT(vsc_teardown(&b.g, 1, 7));                /* ... which never comes */
    EXPECT_EQ(create(&b, &m, sizeof m.h), UINT32_MAX);
    EXPECT(vsc_unload(&b.g)); /* half a GPADL left behind */
}

TEST(several_ranges)
{
    struct gmem *m = NULL;
    struct gpadl_table t = { 0 };
    struct gpadl *g;
    const uint64_t words[] = { 8192, 2, 3, UINT64_C(100) << 32 | 10, 5,
                               UINT64_C(4090) << 32 | 10, 6, 7, 99 };

    EXPECT_EQ(gmem_new(MIB, &m, NULL), 0);
    t.gmem = m;
    EXPECT_EQ(gpadl_new(&t, 1, 2, 3, &g), 0);
    for (unsigned i = 0; i < 7; i++) /* a word at a time */
        EXPECT_EQ(gpadl_add(&t, g, bytes_of(&words[i], 8)), 0);
    EXPECT_EQ(gpadl_add(&t, g, bytes_of(&words[7], 16)), 1); /* the last one is too much */
    EXPECT_EQ(t.n_words, 8);
    EXPECT_EQ(g->range[0].size, 8192);
    EXPECT(g->range[1].offset == 100 && g->range[1].pfn[0] == 5);
    EXPECT(g->range[2].pfn[0] == 6 && g->range[2].pfn[1] == 7);
    gpadl_free(&t, g);
    EXPECT(t.n == 0 && t.n_words == 0);
    gmem_free(m);
}

TEST(limits_hold_at_the_limit)
{
    struct gmem *m = NULL;
    struct gpadl_table t = { 0 };
    struct gpadl *g = NULL;
    uint64_t w = UINT64_C(4096) * (GPADL_WORDS_MAX - 1), pfn = 1;

    EXPECT_EQ(gmem_new(MIB, &m, NULL), 0);
    t.gmem = m;
    EXPECT_EQ(gpadl_new(&t, 1, 2, 1, &g), 0);
    EXPECT_EQ(gpadl_add(&t, g, bytes_of(&w, 8)), 0);
    for (unsigned i = 0; i < GPADL_WORDS_MAX - 2; i++)
        if (gpadl_add(&t, g, bytes_of(&pfn, 8)) != 0)
            EXPECT(!"a page below the limit was refused");
    EXPECT_EQ(gpadl_add(&t, g, bytes_of(&pfn, 8)), 1);
    struct gpadl *one = NULL;
    EXPECT_EQ(gpadl_new(&t, 2, 2, 1, &one), 0);
    w = 4096;
    EXPECT_EQ(gpadl_add(&t, one, bytes_of(&w, 8)), -ENOSPC);
    gpadl_free(&t, one);
    gpadl_free(&t, g);

    for (uint32_t i = 0; i <= GPADLS_MAX; i++)
        EXPECT_EQ(gpadl_new(&t, i, 2, 1, &g), i < GPADLS_MAX ? 0 : -ENOSPC);
    for (uint32_t i = 0; i < GPADLS_MAX; i++)
        gpadl_free(&t, gpadl_find(&t, i));
    EXPECT_EQ(t.n, 0);
    gmem_free(m);
}

TEST(providers_keep_gpadls_from_going)
{
    AUTO(done) struct bus_model b;
    struct echo e = { 0 };
    struct vsc_channel c;
    uint64_t pfn[5];
    uint32_t id;
    char got[8] = "";

    bus_model_init(&b, 1, false);
    echo_offer(&b, &e, 0);
    EXPECT(vsc_connect(&b.g, VMBUS_V5_3));
    EXPECT_EQ(vsc_open(&b.g, &c, echo_find(&b, &e), 4, 0), 0);
    vsc_pages(&b.g, pfn, 5);
    EXPECT_EQ(vsc_gpadl(&b.g, 1, pfn, 5, &id), 0);
    EXPECT(channel_gpadl_get(e.ch, id + 1) == NULL);
    e.gpadl = channel_gpadl_get(e.ch, id);
    EXPECT(e.gpadl && gpadl_n_ranges(e.gpadl) == 1);
    EXPECT_EQ(gpa_range_write(b.m.gmem, gpadl_range(e.gpadl, 0), 4094, "abcd", 4), 0);
    gmem_read(b.m.gmem, GPA((pfn[0] << 12) + 4094), got, 2);
    gmem_read(b.m.gmem, GPA(pfn[1] << 12), got + 2, 2);
    EXPECT_STR(got, "abcd");
    EXPECT(!vsc_teardown(&b.g, 1, id));              /* still used */
    EXPECT(channel_gpadl_get(e.ch, id) == NULL);     /* nobody new may */
    channel_gpadl_put(e.ch, TAKE_PTR(e.gpadl));
    EXPECT(vsc_wait(&b.g, VMBUS_GPADL_TORNDOWN, NULL, 0));

    EXPECT_EQ(vsc_gpadl(&b.g, 1, pfn, 5, &id), 0);
    e.gpadl = channel_gpadl_get(e.ch, id);
    EXPECT(vsc_unload(&b.g)); /* the provider puts it at close */
    EXPECT(e.gpadl == NULL);
}

/* ---- page lists ------------------------------------------------------------------------------ */

TEST(copies_and_vectors)
{
    struct gmem *m = NULL;
    const uint64_t pfn[] = { 7, 8, 5, UINT64_C(1) << 52 };
    struct gpa_range r = { 3 * 4096 - 100, 100, pfn };
    struct iovec iov[4];
    uint8_t a[3 * 4096 - 100], z[sizeof a];

    EXPECT_EQ(gmem_new(MIB, &m, NULL), 0);
    for (size_t i = 0; i < sizeof a; i++)
        a[i] = (uint8_t)(i * 7 + i / 256);
    EXPECT_EQ(gpa_range_write(m, &r, 0, a, sizeof a), 0);
    EXPECT_EQ(gpa_range_read(m, &r, 0, z, sizeof z), 0);
    EXPECT_EQ(memcmp(a, z, sizeof a), 0);
    EXPECT_EQ(gpa_range_read(m, &r, 5000, z, 7000), 0);
    EXPECT_EQ(memcmp(a + 5000, z, 7000), 0);
    EXPECT_EQ(gpa_range_read(m, &r, 5000, z, sizeof a - 4999), -ERANGE);
    EXPECT_EQ(gpa_range_read(m, &r, UINT64_MAX, z, 2), -ERANGE);

    EXPECT_EQ(gpa_range_iov(m, &r, 0, sizeof a, iov, 4), 2); /* 7 and 8 are neighbours */
    EXPECT_EQ(iov[0].iov_len, 2 * 4096 - 100);
    EXPECT(iov[1].iov_base == m->base + 5 * 4096);
    EXPECT_EQ(gpa_range_iov(m, &r, 0, sizeof a, iov, 1), -E2BIG);
    r.size += 1; /* one byte in a page that cannot be */
    EXPECT_EQ(gpa_range_iov(m, &r, 0, r.size, iov, 4), -EFAULT);
    EXPECT_EQ(gpa_range_read(m, &r, r.size - 2, z, 2), -EFAULT);
    EXPECT_EQ(gpa_range_write(m, &r, r.size - 1, z, 1), -EFAULT);
    gmem_free(m);
}
