/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iobench.c - what a block device gives, seen from inside a guest (or on the host).
 *
 *     iobench DEVICE PATTERN DEPTH SECONDS
 *
 * PATTERN: randread, randwrite (4 KiB), read, write (128 KiB, sequential).  Requests go past the page
 * cache, DEPTH at a time, by the kernel's own aio calls: the static binary needs no library.  Prints
 * "IO PATTERN requests-a-second MiB-a-second microseconds-a-request". */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DEPTH_MAX 256

struct load {
    const char *name;
    unsigned size;
    int write, random;
};
static const struct load loads[] = {
    { "randread", 4096, 0, 1 },
    { "randwrite", 4096, 1, 1 },
    { "read", 128 * 1024, 0, 0 },
    { "write", 128 * 1024, 1, 0 },
};

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "iobench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t next_random(void)
{
    static uint64_t x = 88172645463325252u;

    x ^= x << 13;
    x ^= x >> 7;
    return x ^= x << 17;
}

int main(int argc, char **argv)
{
    static struct iocb cb[DEPTH_MAX];
    struct iocb *list[DEPTH_MAX];
    struct io_event done[DEPTH_MAX];
    aio_context_t ctx = 0;
    const struct load *l = NULL;
    uint64_t n = 0, at = 0;

    for (unsigned i = 0; argc == 5 && i < sizeof loads / sizeof *loads; i++)
        if (strcmp(argv[2], loads[i].name) == 0)
            l = &loads[i];
    unsigned depth = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
    if (!l || !depth || depth > DEPTH_MAX) {
        fprintf(stderr, "usage: iobench DEVICE randread|randwrite|read|write DEPTH SECONDS\n");
        return 1;
    }
    int fd = open(argv[1], (l->write ? O_RDWR : O_RDONLY) | O_DIRECT);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size < (off_t)l->size)
        die(argv[1]);
    uint64_t blocks = (uint64_t)size / l->size;
    uint8_t *buf = aligned_alloc(4096, (size_t)depth * l->size);
    if (!buf || syscall(SYS_io_setup, depth, &ctx) < 0)
        die("io_setup");
    memset(buf, 0x5a, (size_t)depth * l->size);

    double begin = now(), end = begin + atof(argv[4]), last = begin;
    unsigned ready = depth;
    for (unsigned i = 0; i < depth; i++)
        list[i] = &cb[i];
    for (unsigned in_flight = 0;;) {
        for (unsigned i = 0; i < ready; i++) {
            struct iocb *c = list[i];
            uint64_t block = l->random ? next_random() % blocks : at++ % blocks;

            memset(c, 0, sizeof *c);
            c->aio_fildes = (uint32_t)fd;
            c->aio_lio_opcode = l->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
            c->aio_buf = (uint64_t)(uintptr_t)(buf + (size_t)(c - cb) * l->size);
            c->aio_nbytes = l->size;
            c->aio_offset = (int64_t)(block * l->size);
        }
        if (ready && syscall(SYS_io_submit, ctx, ready, list) != (long)ready)
            die("io_submit");
        in_flight += ready;
        if (!in_flight)
            break;
        long got = syscall(SYS_io_getevents, ctx, 1, depth, done, NULL);
        if (got < 0)
            die("io_getevents");
        last = now();
        ready = 0;
        for (long i = 0; i < got; i++) {
            if (done[i].res != (int64_t)l->size) {
                errno = (int)-done[i].res;
                die("a request");
            }
            if (last < end)
                list[ready++] = (struct iocb *)(uintptr_t)done[i].obj;
        }
        n += (uint64_t)got;
        in_flight -= (unsigned)got;
    }
    printf("IO %s %.0f %.1f %.1f\n", l->name, (double)n / (last - begin),
           (double)n * l->size / (last - begin) / (1 << 20), (last - begin) / (double)n * 1e6);
    return 0;
}
