/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_main.c - a main() for fuzz targets in builds without libFuzzer: replays inputs.
 *
 *     x_fuzz [-n COUNT] [-s SEED] [FILE|FOLDER]...
 *
 * runs the target on every file named and on COUNT inputs made by mutating them (or from nothing).
 * The fast lane replays each target's corpus in this way; the same seed makes the same inputs. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/rng.h"

#define INPUT_MAX (1u << 20)
#define SEEDS_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    uint8_t *p;
    size_t n;
};

struct corpus {
    struct input input[SEEDS_MAX];
    unsigned n;
};

/* An exact heap copy, so that a sanitizer or valgrind sees each byte read behind the end. */
static void run_one(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    if (!copy)
        abort();
    if (n)
        memcpy(copy, p, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void add_file(struct corpus *c, const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(INPUT_MAX);

    if (!f || !p || c->n == SEEDS_MAX) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    c->input[c->n++] = (struct input){ p, fread(p, 1, INPUT_MAX, f) };
    fclose(f);
}

static void add_path(struct corpus *c, const char *path)
{
    struct dirent **names;
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        add_file(c, path);
        return;
    }
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4096];

        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            add_file(c, file);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

/* A few changes of the kinds that find length and bounds errors. */
static size_t mutate(struct rng *r, uint8_t *p, size_t n)
{
    static const uint32_t odd[] = { 0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff };

    for (uint64_t i = 1 + rng_below(r, 6); i > 0 && n > 0; i--) {
        size_t at = rng_below(r, n), word = (size_t)1 << rng_below(r, 3), len = MIN(n - at, word);

        switch (rng_below(r, 5)) {
        case 0: p[at] ^= (uint8_t)(1u << rng_below(r, 8)); break;
        case 1: p[at] = (uint8_t)rng_u64(r); break;
        case 2: memcpy(p + at, &odd[rng_below(r, ARRAY_LEN(odd))], len); break;
        case 3: memmove(p + at, p + rng_below(r, n - len + 1), len); break;
        default:
            if (rng_below(r, 4) == 0)
                n = at;
        }
    }
    return n;
}

static void run_random(const struct corpus *c, uint64_t count, uint64_t seed)
{
    uint8_t *p = malloc(INPUT_MAX);
    struct rng r;

    if (!p)
        abort();
    rng_init(&r, seed);
    for (uint64_t i = 0; i < count; i++) {
        size_t n;

        if (c->n && rng_below(&r, 8)) {
            const struct input *from = &c->input[rng_below(&r, c->n)];
            n = from->n;
            memcpy(p, from->p, n);
            n = mutate(&r, p, n);
        } else {
            n = rng_below(&r, 512);
            for (size_t k = 0; k < n; k++)
                p[k] = (uint8_t)rng_u64(&r);
        }
        run_one(p, n);
    }
    free(p);
}

int main(int argc, char **argv)
{
    struct corpus *c = calloc(1, sizeof *c);
    uint64_t count = 2000, seed = 1;
    int opt;

    while ((opt = getopt(argc, argv, "n:s:")) != -1) {
        if (opt != 'n' && opt != 's')
            return 1;
        *(opt == 'n' ? &count : &seed) = strtoull(optarg, NULL, 0);
    }
    if (!c)
        return 1;
    for (; optind < argc; optind++)
        add_path(c, argv[optind]);
    for (unsigned i = 0; i < c->n; i++)
        run_one(c->input[i].p, c->input[i].n);
    run_random(c, count, seed);
    printf("%u inputs replayed, %llu made (seed %llu)\n", c->n, (unsigned long long)count,
           (unsigned long long)seed);
    for (unsigned i = 0; i < c->n; i++)
        free(c->input[i].p);
    free(c);
    return 0;
}
