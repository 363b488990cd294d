/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpadl.c - see gpadl.h.
 *
 * The byte count of the header message wraps at 64 KiB and is not looked at: what a range needs
 * follows from its size and offset.
 *
 * Called: server.c with messages, channel.c for rings, providers through channel.h. */
#include "vmbus/gpadl.h"

#include <errno.h>

#include "vmbus/channel.h"

static struct gpadl **bucket_of(struct gpadl_table *t, uint32_t id)
{
    return &t->bucket[id % GPADL_BUCKETS];
}

struct gpadl *gpadl_find(const struct gpadl_table *t, uint32_t id)
{
    struct gpadl *g = t->bucket[id % GPADL_BUCKETS];

    while (g && g->id != id)
        g = g->next;
    return g;
}

int gpadl_new(struct gpadl_table *t, uint32_t id, uint32_t relid, unsigned n_ranges,
              struct gpadl **ret)
{
    struct gpadl *g;

    if (gpadl_find(t, id))
        return -EEXIST;
    if (!n_ranges || n_ranges > GPADL_RANGES_MAX)
        return -EINVAL;
    if (t->n == GPADLS_MAX)
        return -ENOSPC;
    g = calloc(1, sizeof *g);
    if (!g)
        return -ENOMEM;
    g->id = id;
    g->relid = relid;
    g->n_ranges = n_ranges;
    g->next = *bucket_of(t, id);
    *bucket_of(t, id) = g;
    t->n++;
    *ret = g;
    return 0;
}

void gpadl_free(struct gpadl_table *t, struct gpadl *g)
{
    struct gpadl **p = bucket_of(t, g->id);

    while (*p != g)
        p = &(*p)->next;
    *p = g->next;
    t->n--;
    t->n_words -= g->n_words;
    free(g->word);
    free(g->range);
    free(g);
}

static int push_word(struct gpadl_table *t, struct gpadl *g, uint64_t w)
{
    if (t->n_words == GPADL_WORDS_MAX)
        return -ENOSPC;
    if (g->n_words == g->size) {
        uint32_t size = g->size ? 2 * g->size : 32;
        uint64_t *word = realloc(g->word, size * sizeof *word);
        if (!word)
            return -ENOMEM;
        g->word = word;
        g->size = size;
    }
    g->word[g->n_words++] = w;
    t->n_words++;
    return 0;
}

static int add_page(struct gpadl_table *t, struct gpadl *g, uint64_t pfn)
{
    const struct gmem_region *where;

    if (pfn > UINT64_MAX >> PAGE_SHIFT)
        return -EFAULT;
    where = gmem_region_at(t->gmem, GPA(pfn << PAGE_SHIFT));
    if (!where || where->kind != GMEM_RAM)
        return -EFAULT;
    g->missing--;
    return push_word(t, g, pfn);
}

static int begin_range(struct gpadl_table *t, struct gpadl *g, uint64_t w)
{
    uint32_t size = (uint32_t)w, offset = (uint32_t)(w >> 32);

    if (!size || offset >= PAGE_SIZE)
        return -EINVAL;
    g->missing = gpa_range_pages(size, offset);
    if (g->missing > GPADL_WORDS_MAX)
        return -ENOSPC;
    g->ranges_begun++;
    return push_word(t, g, w);
}

static int finish(struct gpadl *g)
{
    const uint64_t *w = g->word;

    g->range = calloc(g->n_ranges, sizeof *g->range);
    if (!g->range)
        return -ENOMEM;
    for (unsigned i = 0; i < g->n_ranges; i++) {
        struct gpa_range *r = &g->range[i];
        *r = (struct gpa_range){ (uint32_t)w[0], (uint32_t)(w[0] >> 32), w + 1 };
        w += 1 + gpa_range_pages(r->size, r->offset);
    }
    g->complete = true;
    return 1;
}

int gpadl_add(struct gpadl_table *t, struct gpadl *g, struct bytes words)
{
    uint64_t w;

    while (g->missing || g->ranges_begun < g->n_ranges) {
        if (!bytes_le64(&words, &w))
            return 0;
        int r = g->missing ? add_page(t, g, w) : begin_range(t, g, w);
        if (r < 0)
            return r;
    }
    return finish(g);
}

unsigned gpadl_n_ranges(const struct gpadl *g)
{
    return g->n_ranges;
}

const struct gpa_range *gpadl_range(const struct gpadl *g, unsigned i)
{
    return &g->range[i];
}
