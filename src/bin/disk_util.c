/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_util.c - sizes as people write them, progress on a terminal, JSON. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>

#include "base/clock.h"
#include "bin/disk.h"

/* ---- sizes ----------------------------------------------------------------------------------- */

int size_parse(const char *text, uint64_t *ret, struct err *err)
{
    static const char units[] = "KMGTPE";
    char *end;
    uint64_t unit = 1;

    if (!isdigit((unsigned char)text[0]))
        return err_set(err, EINVAL, "'%s' is no size: write a number and K, M, G or T, as in 40G",
                       text);
    errno = 0;
    long double v = strtold(text, &end);
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        v = (long double)strtoull(text, &end, 16);
    const char *u = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (u && *u) {
        unit = UINT64_C(1) << 10 * (u - units + 1);
        end++;
        if (*end == 'i')
            end++;
        if (*end == 'B' || *end == 'b')
            end++;
    } else if (*end == 's') {
        unit = 512;
        end++;
    } else if (*end == 'B' || *end == 'b') {
        end++;
    }
    if (*end)
        return err_set(err, EINVAL, "'%s' is no size: what is '%s'?", text, end);
    v *= (long double)unit;
    if (errno == ERANGE || v >= 0x1p63L)
        return err_set(err, ERANGE, "'%s' is too large", text);
    if (v != floorl(v))
        return err_set(err, EINVAL, "'%s' is no whole number of bytes", text);
    *ret = (uint64_t)v;
    return 0;
}

const char *size_text(uint64_t n, char to[32])
{
    static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double v = (double)n;
    unsigned u = 0;

    while (v >= 1024 && u + 1 < ARRAY_LEN(units)) {
        v /= 1024;
        u++;
    }
    if (u == 0 || v == floor(v))
        snprintf(to, 32, "%.0f %s", v, units[u]);
    else
        snprintf(to, 32, "%.4g %s", v, units[u]);
    return to;
}

/* ---- progress -------------------------------------------------------------------------------- */

struct progress {
    struct disk_job job;
    const char *what;
    bool terminal, shown;
    uint64_t start_ns, shown_ns;
};

/* The one thing that a signal may touch. */
static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    if (interrupted++) { /* twice: at once.  What is half made has a temporary name. */
        signal(sig, SIG_DFL);
        raise(sig);
    }
}

static void draw(struct progress *p, uint64_t done, uint64_t total, uint64_t now)
{
    double s = (double)(now - p->start_ns) / 1e9, part = total ? (double)done / (double)total : 1;
    char bar[31], rate[32];
    unsigned full = (unsigned)(part * 30);

    memset(bar, '.', 30);
    memset(bar, '#', MIN(full, 30u));
    bar[30] = '\0';
    fprintf(stderr, "\r%s [%s] %5.1f%%", p->what, bar, part * 100);
    if (s > 0.3 && done) {
        double left = s / part - s;
        fprintf(stderr, "  %s/s  %u:%02u left ", size_text((uint64_t)((double)done / s), rate),
                (unsigned)left / 60, (unsigned)left % 60);
    }
    fprintf(stderr, "\033[K");
    p->shown = true;
}

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct progress *p = ctx;
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t now = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
    if (!p->start_ns)
        p->start_ns = p->shown_ns = now;
    if (p->terminal && (now - p->shown_ns > 200 * NS_PER_MS || (p->shown && done == total))) {
        draw(p, done, total, now);
        p->shown_ns = now;
    }
    return !interrupted;
}

struct disk_job *progress_job(struct disk_cmd *c, const char *what)
{
    struct progress *p = calloc(1, sizeof *p);
    struct sigaction sa = { .sa_handler = on_signal };

    if (!p)
        return NULL;
    p->job = (struct disk_job){ on_progress, p };
    p->what = what;
    p->terminal = !c->quiet && !c->json && isatty(STDERR_FILENO);
    free(c->progress);
    c->progress = p;
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    return &p->job;
}

void progress_end(struct disk_cmd *c)
{
    if (c->progress && c->progress->shown)
        fprintf(stderr, "\n");
    free(c->progress);
    c->progress = NULL;
}

void print_json(struct json_object *o)
{
    printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(o);
}

int open_image(struct disk_cmd *c, const char *path, struct disk_open how, struct disk **ret)
{
    how.parent_root = c->root;
    how.direct = c->direct;
    if (c->from_format && how.format == DISK_FMT_PROBE) {
        how.format = disk_format_named(c->from_format);
        if (how.format == DISK_FMT_PROBE)
            return err_set(&c->err, EINVAL, "'%s' is no format: raw, vhd and vhdx are",
                           c->from_format);
    }
    return disk_open(c->io, path, &how, ret, &c->err);
}
