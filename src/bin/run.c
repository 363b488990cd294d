/* SPDX-License-Identifier: GPL-2.0-or-later */
/* run.c - see run.h.  Makes the machine, plugs in the console, waits for the end, says why. */
#include "bin/run.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "base/log.h"
#include "base/trace.h"
#include "bin/console.h"
#include "bin/monitor.h"
#include "bin/term.h"

struct run {
    struct run_options o;
    struct machine *machine;
    struct console *console;
    struct monitor *monitor;
    struct watch signals, timeout;
    bool timed_out, quit;
    int ended_by; /* signal, 0: none */
};

static void on_say(void *owner UNUSED, const char *line)
{
    log_info("%s", line);
}

/* ---- signals --------------------------------------------------------------------------------- */

static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT };

static void caught_set(sigset_t *set)
{
    sigemptyset(set);
    for (unsigned i = 0; i < ARRAY_LEN(caught); i++)
        sigaddset(set, caught[i]);
}

/* Stop the process as the shell expects, with a sane terminal and a machine that does not notice. */
static void suspend(void *owner)
{
    struct run *run = owner;
    bool was_paused = machine_paused(run->machine);

    if (!was_paused)
        machine_pause(run->machine);
    term_restore();
    log_set_crlf(false);
    raise(SIGSTOP);
    console_foreground(run->console);
    if (!was_paused)
        machine_resume(run->machine);
}

static void on_signal(struct watch *w, uint32_t events UNUSED)
{
    struct run *run = container_of(w, struct run, signals);
    struct signalfd_siginfo info;

    if (read(w->fd, &info, sizeof info) != sizeof info)
        return;
    if (info.ssi_signo == SIGTSTP) {
        suspend(run);
    } else if (info.ssi_signo == SIGCONT) {
        console_foreground(run->console);
    } else {
        run->ended_by = (int)info.ssi_signo;
        machine_stop(run->machine);
    }
}

/* Before any thread is made, so that all of them leave these signals to us. */
static void block_signals(void)
{
    sigset_t set;

    caught_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int watch_signals(struct run *run, struct err *err)
{
    sigset_t set;

    caught_set(&set);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return err_errno(err, errno, "signals");
    run->signals = (struct watch){ .fd = fd, .ready = on_signal };
    int r = loop_watch(machine_loop(run->machine), &run->signals, EPOLLIN);
    return r < 0 ? err_errno(err, -r, "signals") : 0;
}

/* ---- the end by time ------------------------------------------------------------------------- */

static void on_timeout(struct watch *w, uint32_t events UNUSED)
{
    struct run *run = container_of(w, struct run, timeout);
    uint64_t n;

    if (read(w->fd, &n, sizeof n) != sizeof n)
        return;
    run->timed_out = true;
    machine_stop(run->machine);
}

/* The user's time, not the machine's: a pause does not stretch it. */
static int watch_timeout(struct run *run, struct err *err)
{
    struct itimerspec at = { .it_value.tv_sec = run->o.timeout_s };

    if (!run->o.timeout_s)
        return 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (fd < 0 || timerfd_settime(fd, 0, &at, NULL) < 0)
        return err_errno(err, errno, "--timeout");
    run->timeout = (struct watch){ .fd = fd, .ready = on_timeout };
    int r = loop_watch(machine_loop(run->machine), &run->timeout, EPOLLIN);
    return r < 0 ? err_errno(err, -r, "--timeout") : 0;
}

static void unwatch(struct run *run, struct watch *w)
{
    if (w->fd < 0)
        return;
    if (run->machine)
        loop_unwatch(machine_loop(run->machine), w);
    close_fd_p(&w->fd);
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void on_quit(void *owner)
{
    struct run *run = owner;

    run->quit = true;
    machine_stop(run->machine);
}

static int set_up(struct run *run, struct err *err)
{
    static const struct monitor_ops ops = { on_quit, suspend };
    int r = console_new(&run->o, &run->console, err);

    if (r < 0)
        return r;
    run->o.machine.say = on_say;
    if (run->o.console != CONSOLE_NONE && run->o.console != CONSOLE_SCREEN) {
        run->o.machine.uart[0].ops = console_ops();
        run->o.machine.uart[0].owner = run->console;
    }
    run->o.machine.restore = run->o.restore;
    r = machine_new(&run->o.machine, &run->machine, err);
    if (r == 0 && run->o.restore)
        r = machine_restore(run->machine, run->o.restore, err);
    if (r < 0)
        return r;
    run->monitor = monitor_new(run->machine, run->console, &ops, run);
    if (!run->monitor)
        return err_set(err, ENOMEM, "out of memory");
    r = watch_signals(run, err);
    if (r == 0)
        r = watch_timeout(run, err);
    return r < 0 ? r : console_attach(run->console, run->machine, monitor_input, run->monitor, err);
}

/* All but the console. */
static void tear_down(struct run *run)
{
    unwatch(run, &run->timeout);
    unwatch(run, &run->signals);
    monitor_free(run->monitor);
    machine_free(run->machine);
}

static int exit_status(const struct run *run, enum machine_outcome outcome)
{
    switch (outcome) {
    case MACHINE_OFF: log_info("the guest powered off"); return EXIT_OK;
    case MACHINE_REBOOTED: log_info("the guest wanted to reboot"); return EXIT_OK;
    case MACHINE_DIED: log_error("the guest died: %s", machine_death(run->machine)); return EXIT_DIED;
    case MACHINE_EXITED: return (int)machine_exit_code(run->machine) & 0xff;
    case MACHINE_STOPPED: break;
    }
    if (run->timed_out) {
        log_error("the guest still ran after %u s", run->o.timeout_s);
        return EXIT_TIMEOUT;
    }
    if (run->ended_by)
        log_info("ended by signal %d (%s)", run->ended_by, sigdescr_np(run->ended_by));
    return run->quit ? EXIT_OK : run->ended_by ? EXIT_SIGNAL + run->ended_by : EXIT_SIGNAL + SIGPIPE;
}

static int run_machine(struct run *run)
{
    enum machine_outcome outcome = MACHINE_STOPPED;
    struct err err = { 0 };
    int status;

    block_signals();
    status = set_up(run, &err) < 0 ? EXIT_USAGE : EXIT_OK;
    if (status == EXIT_OK) {
        if (machine_start(run->machine, &err) < 0)
            status = EXIT_DIED;
        else
            outcome = machine_run(run->machine);
    }
    /* The guest's last words first, then ours, on a terminal that is itself again. */
    console_free(run->console);
    if (status != EXIT_OK)
        log_error("%s", err.text);
    else
        status = exit_status(run, outcome);
    tear_down(run);
    return status;
}

static int usage(const struct err *err)
{
    log_error("%s", err->text);
    fprintf(stderr, "Try 'verdin run --help'.\n");
    return EXIT_USAGE;
}

int run_main(int argc, char **argv)
{
    struct run run = { .signals.fd = -1, .timeout.fd = -1 };
    struct err err = { 0 };

    if (options_parse(argc, argv, &run.o, &err) < 0)
        return usage(&err);
    if (run.o.help) {
        fputs(options_help, stdout);
        return EXIT_OK;
    }
    if (run.o.trace && strcmp(run.o.trace, "help") == 0) {
        trace_list(stdout);
        return EXIT_OK;
    }
    if (run.o.trace && trace_enable(run.o.trace) == 0) {
        err_set(&err, EINVAL, "--trace '%s': matches no trace point; '--trace help' lists them",
                run.o.trace);
        return usage(&err);
    }
    int status = run_machine(&run);
    for (unsigned i = 0; i < run.o.machine.n_disks; i++)
        free((char *)(uintptr_t)run.o.disk[i].path);
    return status;
}
