/* SPDX-License-Identifier: GPL-2.0-or-later */
/* term.c - see term.h. */
#include "bin/term.h"

#include <errno.h>
#include <signal.h>
#include <termios.h>

#include "base/log.h"

static struct termios saved;
static volatile sig_atomic_t is_raw, hooked;

bool term_is_ours(void)
{
    return isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void term_restore(void)
{
    int old = errno;

    if (is_raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &saved);
        is_raw = 0;
    }
    errno = old;
}

static void restore_at_exit(void)
{
    term_restore();
    log_set_crlf(false);
}

/* The default action follows: a core dump, the shell's message. */
static void on_fatal(int sig)
{
    term_restore();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* Only where nobody else has a handler: an engine may catch faults of its own. */
static void hook_once(void)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS };

    if (hooked)
        return;
    hooked = 1;
    atexit(restore_at_exit);
    for (unsigned i = 0; i < ARRAY_LEN(fatal); i++) {
        struct sigaction old, sa = { .sa_handler = on_fatal, .sa_flags = SA_NODEFER };

        if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(fatal[i], &sa, NULL);
    }
}

int term_raw(void)
{
    struct termios t;

    if (is_raw)
        return 0;
    if (tcgetattr(STDIN_FILENO, &saved) < 0)
        return -errno;
    hook_once();
    t = saved;
    cfmakeraw(&t);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    is_raw = 1; /* first: a signal in between must restore */
    if (tcsetattr(STDIN_FILENO, TCSANOW, &t) < 0) {
        is_raw = 0;
        return -errno;
    }
    log_set_crlf(true);
    return 0;
}
