/* SPDX-License-Identifier: GPL-2.0-or-later */
/* crash.h - a file in memory that can lose power: for tests of what formats make durable.
 *
 * Requests are done one at a time in random order.  What a finished flush covers is durable; of
 * the rest, a crash keeps, drops or tears (at 512 bytes) each write as chance has it.  Changes of
 * the file's size are kept in order, as by a journalling file system. */
#pragma once

#include "base/rng.h"
#include "disk/disk.h"

struct crash_file;

struct crash_file *crash_file_new(struct disk_io *io, uint64_t seed);
struct disk *crash_file_disk(struct crash_file *f);

/* Closing its disk does not free it: the content can be opened again by crash_file_reopen(). */
void crash_file_free(struct crash_file *f);

/* The power fails after 'n' more requests: from then on all fail with -EIO, and the content is
 * what the storage kept. */
void crash_file_arm(struct crash_file *f, uint64_t n);
bool crash_file_crashed(const struct crash_file *f);

/* A write that makes the file longer is kept with its content or not at all, as by ext4, XFS and
 * btrfs: they show a new size only after the data that it is for. */
void crash_file_order_appends(struct crash_file *f);

/* One request fails with 'err', after 'n' more. */
void crash_file_fail(struct crash_file *f, uint64_t n, int err);

/* Power is back: as a new open would find it. */
struct disk *crash_file_reopen(struct crash_file *f, bool read_only);

/* Everything as one buffer (malloc'ed), for tests that compare or store it. */
uint8_t *crash_file_bytes(struct crash_file *f, uint64_t *ret_size);
int crash_file_load(struct crash_file *f, const void *p, uint64_t size);
uint64_t crash_file_requests(const struct crash_file *f);
