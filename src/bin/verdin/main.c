/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - the verdin program: picks the verb. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bin/disk.h"
#include "bin/run.h"

static const char help[] =
    "Usage: verdin VERB [OPTION]...\n"
    "Virtual machines with Hyper-V's architecture.\n"
    "\n"
    "  verdin run      run a virtual machine in the foreground (verdin run --help)\n"
    "  verdin disk     make, look at, check and change disk images (verdin disk help)\n"
    "  verdin help     this text\n"
    "  verdin version  the program's version\n"
    "\n"
    "More in verdin(1).\n";

static int help_main(int argc, char **argv)
{
    fputs(help, stdout);
    return EXIT_OK;
}

static int version_main(int argc, char **argv)
{
    puts("verdin " VERDIN_VERSION);
    return EXIT_OK;
}

static const struct {
    const char *name;
    int (*main)(int argc, char **argv);
} verbs[] = {
    { "run", run_main },
    { "disk", disk_main },
    { "help", help_main },
    { "--help", help_main },
    { "-h", help_main },
    { "version", version_main },
    { "--version", version_main },
};

/* Descriptors 0 to 2 are open, so that no file of ours becomes one of them. */
static void open_standard_files(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", O_RDWR);
    }
}

int main(int argc, char **argv)
{
    open_standard_files();
    log_set_name("verdin");
    if (argc < 2) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].main(argc - 1, argv + 1);
    }
    log_error("'%s': no such verb", argv[1]);
    fprintf(stderr, "Try 'verdin help'.\n");
    return EXIT_USAGE;
}
