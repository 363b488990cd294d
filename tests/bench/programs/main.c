/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - run benchmark programs by name, or time a command.
 *
 *     bench list               names, one a line
 *     bench run [NAME]...      "BENCH name seconds checksum instructions" a line; all without names
 *     bench time WHAT CMD...   "BENCH WHAT seconds status 0" for a command */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static const struct bench *const groups[] = { bench_cpu, bench_memory, bench_vector, bench_code,
                                              bench_os };

static double now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const char *name, double seconds, uint64_t result, uint64_t instructions)
{
    printf("BENCH %s %.6f %016llx %llu\n", name, seconds, (unsigned long long)result,
           (unsigned long long)instructions);
    fflush(stdout);
}

static int wanted(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(name, argv[i]) == 0)
            return 1;
    }
    return argc == 0;
}

static void run(int argc, char **argv)
{
    for (unsigned g = 0; g < sizeof groups / sizeof *groups; g++) {
        for (const struct bench *b = groups[g]; b->name; b++) {
            if (!wanted(b->name, argc, argv))
                continue;
            double begin = now();
            uint64_t result = b->run();
            report(b->name, now() - begin, result, b->instructions);
        }
    }
}

static int time_command(const char *what, char **cmd)
{
    double begin = now();
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        execvp(*cmd, cmd);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return 1;
    report(what, now() - begin, (uint64_t)status, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "nothing") == 0)
        return 7; /* what the exec benchmark runs */
    if (argc >= 2 && strcmp(argv[1], "list") == 0) {
        for (unsigned g = 0; g < sizeof groups / sizeof *groups; g++) {
            for (const struct bench *b = groups[g]; b->name; b++)
                puts(b->name);
        }
        return 0;
    }
    if (argc >= 2 && strcmp(argv[1], "run") == 0) {
        run(argc - 2, argv + 2);
        return 0;
    }
    if (argc >= 4 && strcmp(argv[1], "time") == 0)
        return time_command(argv[2], argv + 3);
    fprintf(stderr, "usage: bench list | run [NAME]... | time WHAT COMMAND...\n");
    return 1;
}
