/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_main.c - 'verdin disk VERB ...': finds the verb, reads its options, runs it. */
#include <errno.h>
#include <getopt.h>

#include "bin/disk.h"

static const struct disk_verb verbs[] = {
    { "create", 1, 1, "sfbFrPgpWjq",
      "create FILE --size SIZE [--format vhdx|vhd|raw] [--fixed [--preallocate]]\n"
      "              [--block-size SIZE] [--sector-size 512|4096] [--physical-sector-size ...]\n"
      "       create FILE --parent PARENT [--size SIZE]", verb_create },
    { "info", 1, 1, "icRj", "info FILE [--chain] [--json]", verb_info },
    { "check", 1, 1, "ij", "check FILE [--json]", verb_check },
    { "repair", 1, 1, "iAj", "repair FILE [--all] [--json]", verb_repair },
    { "convert", 2, 2, "ifFbPrRsWCDjq",
      "convert FROM TO [--from FORMAT] [--format vhdx|vhd|raw] [--fixed] [--block-size SIZE]\n"
      "               [--size SIZE] [--replace] [--compare]", verb_convert },
    { "compare", 2, 2, "iRjq", "compare A B", verb_compare },
    { "resize", 2, 2, "iOj-", "resize FILE SIZE|+SIZE|-SIZE [--force]", verb_resize },
    { "compact", 1, 1, "iRjq", "compact FILE", verb_compact },
    { "merge", 1, 1, "Ojq", "merge CHILD [--force]", verb_merge },
    { "map", 1, 1, "icRj", "map FILE [--json]", verb_map },
    { "rebase", 2, 2, "Ujq", "rebase CHILD NEW-PARENT [--unsafe]", verb_rebase },
    { "dump", 1, 1, "iAj", "dump FILE [--all]", verb_dump },
    { "identity", 1, 1, "igj", "identity FILE [--id GUID]", verb_identity },
};

/* val is the letter that a verb's 'options' must have. */
static const struct option options[] = {
    { "size", required_argument, NULL, 's' },
    { "format", required_argument, NULL, 'f' },
    { "from", required_argument, NULL, 'i' },
    { "block-size", required_argument, NULL, 'b' },
    { "fixed", no_argument, NULL, 'F' },
    { "preallocate", no_argument, NULL, 'P' },
    { "sector-size", required_argument, NULL, 'r' },
    { "physical-sector-size", required_argument, NULL, 'r' + 256 },
    { "parent", required_argument, NULL, 'p' },
    { "id", required_argument, NULL, 'g' },
    { "replace", no_argument, NULL, 'W' },
    { "compare", no_argument, NULL, 'C' },
    { "direct", no_argument, NULL, 'D' },
    { "chain", no_argument, NULL, 'c' },
    { "parent-root", required_argument, NULL, 'R' },
    { "force", no_argument, NULL, 'O' },
    { "unsafe", no_argument, NULL, 'U' },
    { "all", no_argument, NULL, 'A' },
    { "json", no_argument, NULL, 'j' },
    { "quiet", no_argument, NULL, 'q' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static void usage(FILE *to)
{
    fprintf(to, "Virtual hard disks: make, look at, mend, change.\n\n");
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        fprintf(to, "verdin disk %s\n", verbs[i].usage);
    fprintf(to, "\nSizes: 40G, 512M, 1.5T (powers of 1024), or bytes.  See verdin-disk(1).\n");
}

static int wrong(const struct disk_verb *v, const char *fmt, const char *what)
{
    fprintf(stderr, "verdin disk: ");
    fprintf(stderr, fmt, what); /* our own formats, below */
    fprintf(stderr, v ? "\nusage: verdin disk %s\n" : "\n", v ? v->usage : "");
    return 1;
}

static void take_option(struct disk_cmd *c, int opt)
{
    switch (opt) {
    case 's': c->size = optarg; break;
    case 'f': c->format = optarg; break;
    case 'i': c->from_format = optarg; break;
    case 'b': c->block_size = optarg; break;
    case 'F': c->fixed = true; break;
    case 'P': c->preallocate = true; break;
    case 'r': c->sector = optarg; break;
    case 'r' + 256: c->physical = optarg; break;
    case 'p': c->parent = optarg; break;
    case 'g': c->guid = optarg; break;
    case 'W': c->replace = true; break;
    case 'C': c->compare = true; break;
    case 'D': c->direct = true; break;
    case 'c': c->chain = true; break;
    case 'R': c->root = optarg; break;
    case 'O': c->force = true; break;
    case 'U': c->unsafe = true; break;
    case 'A': c->all = true; break;
    case 'j': c->json = true; break;
    case 'q': c->quiet = true; break;
    }
}

/* Sizes like '-2G' are no options: they go behind the others, where getopt does not look.  Returns how
 * many there are. */
static int put_aside(int argc, char **argv)
{
    int n = 0;

    for (int i = 1; i < argc - n;) {
        char *a = argv[i];
        if (a[0] != '-' || a[1] < '0' || a[1] > '9') {
            i++;
            continue;
        }
        memmove(argv + i, argv + i + 1, (size_t)(argc - i - 1) * sizeof *argv);
        argv[argc - 1] = a;
        n++;
    }
    return n;
}

/* What getopt did not like; of letters in a row it tells which. */
static const char *option_name(char **argv, char letter[3])
{
    if (optopt <= 0 || optopt > 127 || strncmp(argv[optind - 1], "--", 2) == 0)
        return argv[optind - 1];
    snprintf(letter, 3, "-%c", optopt);
    return letter;
}

/* 0: go on; else the exit status + 1. */
static int take_options(const struct disk_verb *v, struct disk_cmd *c, int argc, char **argv)
{
    int opt, at = 0, n_aside = strchr(v->options, '-') ? put_aside(argc, argv) : 0;

    char letter[3];

    argc -= n_aside;
    optind = 0; /* others may have used getopt before us */
    opterr = 0;
    while ((opt = getopt_long(argc, argv, ":hqj", options, &at)) != -1) {
        if (opt == 'h') {
            printf("usage: verdin disk %s\n", v->usage);
            return 1;
        }
        if (opt == '?')
            return wrong(v, "there is no option '%s'", option_name(argv, letter)) + 1;
        if (opt == ':')
            return wrong(v, "the option '%s' needs a value", argv[optind - 1]) + 1;
        if (!strchr(v->options, opt & 255))
            return wrong(v, "'--%s' means nothing to this verb", options[at].name) + 1;
        take_option(c, opt);
    }
    c->arg = argv + optind;
    c->n_arg = argc - optind + n_aside;
    if (c->n_arg < v->min_args)
        return wrong(v, "%s: too few names", v->name) + 1;
    if (c->n_arg > v->max_args)
        return wrong(v, "what is '%s'?", c->arg[v->max_args]) + 1;
    return 0;
}

static int run(const struct disk_verb *v, struct disk_cmd *c)
{
    struct clock clock;
    int status = 1;

    clock_init(&clock);
    c->loop = loop_new(&clock);
    if (c->loop)
        c->io = disk_io_new(c->loop, DISK_IO_AUTO, &c->err);
    if (c->io)
        status = v->run(c);
    progress_end(c);
    if (c->err.code) {
        if (c->json) {
            struct json_object *o = json_object_new_object();
            json_object_object_add(o, "error", json_object_new_string(c->err.text));
            json_object_object_add(o, "code",
                                   json_object_new_string(strerrorname_np(c->err.code)));
            print_json(o);
        }
        fprintf(stderr, "verdin disk %s: %s\n", v->name, c->err.text);
        status = status ? status : 1;
    }
    disk_io_free(c->io);
    loop_free(c->loop);
    return status;
}

int disk_main(int argc, char **argv)
{
    struct disk_cmd c = { 0 };

    if (argc < 2) {
        usage(stderr);
        return 1;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        int r = take_options(&verbs[i], &c, argc - 1, argv + 1);
        return r ? r - 1 : run(&verbs[i], &c);
    }
    return wrong(NULL, "there is no verb '%s' (try 'verdin disk help')", argv[1]);
}
