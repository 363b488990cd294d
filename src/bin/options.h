/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.h - the command line of 'verdin run', checked. */
#pragma once

#include "base/err.h"
#include "vm/machine.h"

#define TIMEOUT_MAX 31536000u /* seconds: a year */

enum console_kind { CONSOLE_STDIO, CONSOLE_FILE, CONSOLE_PTY, CONSOLE_SCREEN,
                    CONSOLE_NONE };

struct run_options {
    struct machine_config machine; /* everything but the ends of the serial ports */
    struct machine_disk disk[MACHINE_DISKS_MAX]; /* machine.disk points here */
    enum console_kind console;
    const char *console_path; /* for CONSOLE_FILE */
    const char *restore;      /* NULL: a fresh start */
    const char *trace;        /* patterns, NULL: none */
    unsigned timeout_s;       /* 0: none */
    bool help;                /* --help was given; the rest was not checked */
};

/* 0 or -EINVAL with words.  Strings are borrowed from 'argv' (paths of disks are heap, for the life of
 * the program); argv[0] is skipped. */
int options_parse(int argc, char **argv, struct run_options *ret, struct err *err);

/* The text of 'verdin run --help'. */
extern const char options_help[];
