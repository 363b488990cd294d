/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gpadl.h - guest-physical address descriptor lists: buffers that the guest has shared by name.
 *
 * The guest describes one in a header message and as many body messages as it takes; here the words
 * of all of them are kept as they came, checked as they come.  Loop thread only; inside vmbus/. */
#pragma once

#include "base/bytes.h"
#include "vmbus/pages.h"

#define GPADLS_MAX       4096
#define GPADL_RANGES_MAX 1024            /* of one */
#define GPADL_WORDS_MAX  (256 * 1024)    /* of all together: a gigabyte of guest memory */

struct gpadl {
    uint32_t id, relid; /* both the guest's; the relid is no more than a note */
    uint32_t n_ranges;
    uint32_t n_words, size; /* so far; room for */
    uint64_t *word;         /* each range: size | offset << 32, then its page numbers */
    uint32_t ranges_begun;
    uint64_t missing; /* page numbers of the last range begun */
    bool complete;
    bool torn;               /* the guest wants it gone; waits for users */
    unsigned users;          /* rings and providers */
    struct gpa_range *range; /* n_ranges, when complete */
    struct gpadl *next;
};

#define GPADL_BUCKETS 256

struct gpadl_table {
    const struct gmem *gmem;
    struct gpadl *bucket[GPADL_BUCKETS];
    unsigned n;
    uint64_t n_words;
};

/* A new one, empty.  -EEXIST, -EINVAL (number of ranges), -ENOSPC, -ENOMEM. */
int gpadl_new(struct gpadl_table *t, uint32_t id, uint32_t relid, unsigned n_ranges,
              struct gpadl **ret);
struct gpadl *gpadl_find(const struct gpadl_table *t, uint32_t id);

/* The next part of its words.  1: it is complete now, what is behind was ignored; 0: more must come;
 * -EINVAL, -EFAULT (page that is no RAM), -ENOSPC, -ENOMEM: it is of no use any more. */
int gpadl_add(struct gpadl_table *t, struct gpadl *g, struct bytes words);

void gpadl_free(struct gpadl_table *t, struct gpadl *g); /* no users */
