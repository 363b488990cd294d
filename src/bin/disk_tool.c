/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_tool.c - 'verdin disk' as a program of its own, for tests, with one verb more:
 *
 *     poke FILE     takes (offset, length: 64 bits little-endian; bytes) again and again from
 *                   standard input and writes them to the disk; length 0 flushes */
#include <unistd.h>

#include "base/bytes.h"
#include "bin/disk.h"

static bool read_all(void *p, size_t n)
{
    return fread(p, 1, n, stdin) == n;
}

static int poke(const char *path)
{
    struct clock clock;
    struct err err = { 0 };
    struct disk *d;
    uint8_t head[16];
    int r;

    clock_init(&clock);
    struct loop *loop = loop_new(&clock);
    struct disk_io *io = disk_io_new(loop, DISK_IO_AUTO, &err);
    r = disk_open(io, path, &(struct disk_open){ .writable = true }, &d, &err);
    while (r == 0 && read_all(head, sizeof head)) {
        uint64_t len = get_le64(head + 8);
        AUTO(free_p) uint8_t *buf = malloc(len + 1);
        if (!buf || !read_all(buf, len))
            return 1;
        r = len ? disk_write_sync(d, get_le64(head), buf, len) : disk_flush_sync(d);
    }
    if (r == 0)
        r = disk_close(d, &err);
    if (r < 0)
        fprintf(stderr, "poke: %d %s\n", r, err.text);
    disk_io_free(io);
    loop_free(loop);
    return r < 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "poke") == 0)
        return poke(argv[2]);
    return disk_main(argc, argv);
}
