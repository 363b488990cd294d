/* SPDX-License-Identifier: GPL-2.0-or-later */
/* image.h - image files as wholes: what they are, making new ones.  All of it blocks. */
#pragma once

#include "disk/disk.h"

enum disk_layout { DISK_LAYOUT_RAW, DISK_LAYOUT_FIXED, DISK_LAYOUT_DYNAMIC, DISK_LAYOUT_DIFF };

enum { PARENT_NAMES = 4 };

struct disk_info {
    enum disk_format format;
    enum disk_layout layout;
    uint64_t size, file_size, file_used; /* used: what the host has allocated */
    uint32_t block_size;                 /* of the format; 0: none */
    uint32_t logical, physical;
    uint8_t guid[16];      /* identity, printing order; VHDX: Page 83 */
    uint8_t data_guid[16]; /* VHDX: changes with the content; what a child notes */
    bool has_parent;
    uint8_t parent_guid[16];           /* what this child noted */
    const char *parent_name[PARENT_NAMES]; /* as noted: relative, absolute, ...; NULL: none */
    bool dirty;       /* was not closed cleanly */
    bool saved_state; /* VHD */
    char creator[64];
    uint16_t cyls;
    uint8_t heads, sectors;
    uint64_t n_blocks, n_allocated;
};

/* Of a disk made by disk_open().  The names live as long as the disk. */
void disk_get_info(struct disk *d, struct disk_info *ret);

/* The parent that was opened with 'd'; NULL: none. */
struct disk *disk_parent(struct disk *d);

/* The file of the parent that 'd' (at 'path') noted, its identity checked.  malloc'ed. */
int disk_parent_path(struct disk_io *io, const char *path, struct disk *d,
                     const struct disk_open *how, char **ret, struct err *err);

struct disk_create {
    enum disk_format format; /* not PROBE */
    enum disk_layout layout;
    uint64_t size;           /* DIFF: 0 takes the parent's */
    uint32_t block_size;     /* 0: the format's default */
    uint32_t logical, physical; /* VHDX; 0: 512 and 4096 */
    const char *parent;      /* DIFF */
    const uint8_t *guid;     /* identity; NULL: random */
    bool preallocate;        /* fixed, raw: reserve the space on the host */
    bool replace;            /* an existing file may be replaced (atomically, at the end) */
};

int disk_create(struct disk_io *io, const char *path, const struct disk_create *c,
                struct err *err);

/* What a new child takes from its parent. */
struct disk_from_parent {
    struct disk_info info;
    char *relative, *absolute;
};
/* Write the structures of a new, empty image into 'file' (beneath a format, empty). */
int disk_lay_out(struct disk *file, const struct disk_create *c,
                 const struct disk_from_parent *up, struct err *err);

/* A new image beside 'path' under a temporary name; commit() gives it the name, abort() removes
 * it.  Between, fill it through 'disk'. */
struct disk_new {
    char *path, *tmp;
    bool replace;
    struct disk *disk; /* writable; the filler may close it and set it to NULL */
};
int disk_new_begin(struct disk_io *io, const char *path, const struct disk_create *c,
                   struct disk_new *ret, struct err *err);
int disk_new_commit(struct disk_new *n, struct err *err);
void disk_new_abort(struct disk_new *n);

/* "vhdx" and so on; PROBE when the word is none. */
enum disk_format disk_format_named(const char *word);
const char *disk_format_name(enum disk_format f);
/* What the name's end promises; PROBE: nothing. */
enum disk_format disk_format_of_path(const char *path);
/* What the bytes of a file are. */
int disk_probe(struct disk *file, enum disk_format *ret);

/* How 'to' is called from the folder of 'from', with '\' between: ".\\a.vhdx".  malloc'ed. */
char *disk_relative_name(const char *from, const char *to);
/* The absolute name with '\'.  malloc'ed. */
char *disk_absolute_name(const char *path);
