/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk.h - 'verdin disk': the verbs, and what they share. */
#pragma once

#include <json-c/json.h>

#include "disk/image.h"
#include "disk/job.h"

/* argv[0] is "disk".  Returns the exit status: 0 fine, 1 failed or wrong use, 2 the image is
 * damaged (check) or differs (compare), 3 only space is lost (check). */
int disk_main(int argc, char **argv);

enum { EXIT_DAMAGED = 2, EXIT_LEAKS = 3 };

/* One run of a verb. */
struct disk_cmd {
    struct disk_io *io;
    struct loop *loop;
    bool json, quiet;
    /* options, as far as the verb takes them */
    const char *size, *block_size, *sector, *physical, *parent, *format, *from_format, *guid;
    const char *root;
    bool fixed, preallocate, force, unsafe, all, chain, compare, replace, direct;
    char **arg;
    int n_arg;
    struct err err;
    struct progress *progress;
};

struct disk_verb {
    const char *name;
    int min_args, max_args;
    const char *options; /* letters of disk_main.c's table; '-': '-2G' is an argument */
    const char *usage;
    int (*run)(struct disk_cmd *c); /* exit status; c->err says why */
};

/* disk_show.c */
int verb_info(struct disk_cmd *c);
int verb_map(struct disk_cmd *c);
int verb_dump(struct disk_cmd *c);
int verb_check(struct disk_cmd *c);
int verb_repair(struct disk_cmd *c);
int verb_compare(struct disk_cmd *c);
/* disk_make.c */
int verb_create(struct disk_cmd *c);
int verb_convert(struct disk_cmd *c);
int verb_resize(struct disk_cmd *c);
int verb_compact(struct disk_cmd *c);
int verb_merge(struct disk_cmd *c);
int verb_rebase(struct disk_cmd *c);
int verb_identity(struct disk_cmd *c);

/* disk_util.c */
/* "40G", "512M", "1.5T", "4096", "100s" (sectors): bytes.  Words for what is wrong with it. */
int size_parse(const char *text, uint64_t *ret, struct err *err);
/* "40 GiB", "1.5 MiB": into 'to'. */
const char *size_text(uint64_t n, char to[32]);
struct disk_job *progress_job(struct disk_cmd *c, const char *what);
void progress_end(struct disk_cmd *c);
void print_json(struct json_object *o); /* and put */
int open_image(struct disk_cmd *c, const char *path, struct disk_open how, struct disk **ret);
