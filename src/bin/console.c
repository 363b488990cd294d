/* SPDX-License-Identifier: GPL-2.0-or-later */
/* console.c - see console.h.  Output goes through an outq; input is read when the guest has room. */
#include "bin/console.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <termios.h>

#include "base/log.h"
#include "bin/display.h"
#include "bin/outq.h"
#include "bin/term.h"

#define INPUT_MAX 4096u

struct console {
    int in_fd, out_fd; /* -1: none */
    int own_fd, slave_fd; /* to be closed: file or pty */
    bool terminal;     /* the user's: raw mode, escape, job control */
    struct outq *out;
    struct display *display; /* NULL: the serial port */
    struct machine *machine;
    struct watch input;
    struct work room, broken;
    bool watched, unpollable, eof;
    uint8_t pending[INPUT_MAX]; /* read, not yet taken by the guest */
    size_t n_pending;
    bool in_monitor;
    size_t (*monitor_input)(void *owner, const uint8_t *p, size_t n);
    void *monitor_owner;
};

/* ---- output ---------------------------------------------------------------------------------- */

static void put(void *owner, uint8_t byte)
{
    struct console *c = owner;

    if (c->out)
        outq_put(c->out, byte);
}

static void room(void *owner)
{
    struct console *c = owner;

    if (c->machine)
        loop_post(machine_loop(c->machine), &c->room);
}

const struct console_ops *console_ops(void)
{
    static const struct console_ops ops = { put, room };

    return &ops;
}

/* On the queue's thread. */
static void on_broken(void *owner)
{
    struct console *c = owner;

    if (c->machine)
        loop_post(machine_loop(c->machine), &c->broken);
}

static void run_broken(struct work *w)
{
    struct console *c = container_of(w, struct console, broken);

    log_error("console: nobody reads it any more");
    machine_stop(c->machine);
}

/* ---- input ----------------------------------------------------------------------------------- */

static void watch_input(struct console *c, bool on)
{
    if (on == c->watched || c->in_fd < 0 || c->unpollable)
        return;
    if (on) {
        int r = loop_watch(machine_loop(c->machine), &c->input, EPOLLIN);
        c->unpollable = r == -EPERM; /* a file, /dev/null: always ready */
        c->watched = r == 0;
    } else {
        loop_unwatch(machine_loop(c->machine), &c->input);
        c->watched = false;
    }
}

/* Where does the guest's part of 'p' end?  Behind it is an escape, if it is not all. */
static size_t before_escape(const struct console *c, const uint8_t *p, size_t n)
{
    const uint8_t *e = c->terminal && c->monitor_input ? memchr(p, CONSOLE_ESCAPE, n) : NULL;

    return e ? (size_t)(e - p) : n;
}

static void open_monitor(struct console *c)
{
    c->in_monitor = true;
    outq_hold(c->out, true);
    if (c->display)
        display_hold(c->display, true);
    c->monitor_input(c->monitor_owner, NULL, 0);
}

static size_t give(struct console *c, const uint8_t *p, size_t n)
{
    return c->display ? display_type(c->display, p, n)
                      : machine_console_input(c->machine, 0, p, n);
}

/* Behind what waits already.  No more comes in than one read, and nothing waited before it. */
static void to_guest(struct console *c, const uint8_t *p, size_t n)
{
    size_t took = c->n_pending ? 0 : give(c, p, n), left = MIN(n - took, INPUT_MAX - c->n_pending);

    memcpy(c->pending + c->n_pending, p + took, left);
    c->n_pending += left;
}

static void pending_to_guest(struct console *c)
{
    size_t took = give(c, c->pending, c->n_pending);

    c->n_pending -= took;
    memmove(c->pending, c->pending + took, c->n_pending);
}

/* An escape changes from the guest to the monitor, a command of it back. */
static void take_input(struct console *c, const uint8_t *p, size_t n)
{
    while (n) {
        size_t k;
        if (c->in_monitor) {
            k = c->monitor_input(c->monitor_owner, p, n);
        } else {
            k = before_escape(c, p, n);
            to_guest(c, p, k);
            if (k < n) {
                open_monitor(c);
                k++;
            }
        }
        p += k;
        n -= k;
    }
}

static void read_input(struct console *c)
{
    uint8_t buf[INPUT_MAX];
    ssize_t r = read(c->in_fd, buf, sizeof buf);

    if (r < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (r <= 0) { /* no more to come; the guest runs on */
        c->eof = true;
        watch_input(c, false);
        return;
    }
    take_input(c, buf, (size_t)r);
}

/* Read on if the guest took all that we had. */
static void pump(struct console *c)
{
    if (c->n_pending)
        pending_to_guest(c);
    while (c->unpollable && !c->eof && !c->n_pending)
        read_input(c);
    watch_input(c, !c->eof && (!c->n_pending || c->terminal) && (!c->terminal || term_is_ours()));
    while (c->unpollable && !c->eof && !c->n_pending)
        read_input(c);
}

static void run_room(struct work *w)
{
    pump(container_of(w, struct console, room));
}

static void input_ready(struct watch *w, uint32_t events)
{
    struct console *c = container_of(w, struct console, input);

    /* A user must get to the monitor when the guest takes no input: what it has no room for then
     * is dropped, as a real serial port drops it. */
    if (c->n_pending && c->terminal)
        c->n_pending = 0;
    read_input(c);
    pump(c);
}

void console_type(struct console *c, uint8_t byte)
{
    to_guest(c, &byte, 1);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int open_pty(struct console *c, struct err *err)
{
    struct termios t;
    char name[64];

    c->own_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (c->own_fd < 0 || grantpt(c->own_fd) < 0 || unlockpt(c->own_fd) < 0 ||
        ptsname_r(c->own_fd, name, sizeof name) != 0)
        return err_errno(err, errno, "--console pty: cannot make one");
    /* Held open, so that the pty lives on while nobody looks. */
    c->slave_fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (c->slave_fd < 0 || tcgetattr(c->slave_fd, &t) < 0)
        return err_errno(err, errno, "--console pty: '%s'", name);
    cfmakeraw(&t);
    tcsetattr(c->slave_fd, TCSANOW, &t);
    c->in_fd = c->out_fd = c->own_fd;
    log_info("console on %s", name);
    return 0;
}

static int open_ends(struct console *c, const struct run_options *o, struct err *err)
{
    switch (o->console) {
    case CONSOLE_STDIO:
    case CONSOLE_SCREEN:
        c->in_fd = STDIN_FILENO;
        c->out_fd = STDOUT_FILENO;
        c->terminal = isatty(STDIN_FILENO);
        return 0;
    case CONSOLE_FILE:
        c->own_fd = open(o->console_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
        if (c->own_fd < 0)
            return err_errno(err, errno, "--console: '%s' cannot be opened", o->console_path);
        c->out_fd = c->own_fd;
        return 0;
    case CONSOLE_PTY:
        return open_pty(c, err);
    case CONSOLE_NONE:
        break;
    }
    return 0;
}

int console_new(const struct run_options *o, struct console **ret, struct err *err)
{
    struct console *c = calloc(1, sizeof *c);
    int r;

    if (!c)
        return err_set(err, ENOMEM, "out of memory");
    c->in_fd = c->out_fd = c->own_fd = c->slave_fd = -1;
    c->room.run = run_room;
    c->broken.run = run_broken;
    r = open_ends(c, o, err);
    if (r == 0 && c->out_fd >= 0) {
        c->out = outq_new(c->out_fd, on_broken, c);
        if (!c->out)
            r = err_set(err, ENOMEM, "out of memory");
    }
    if (r == 0 && o->console == CONSOLE_SCREEN)
        r = display_new(c->out, c->out_fd, room, c, &c->display, err);
    if (r < 0) {
        console_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void console_free(struct console *c)
{
    if (!c)
        return;
    if (c->machine) {
        watch_input(c, false);
        loop_unpost(machine_loop(c->machine), &c->room);
    }
    display_free(c->display);
    outq_free(c->out);
    if (c->machine)
        loop_unpost(machine_loop(c->machine), &c->broken);
    if (c->terminal) {
        term_restore();
        log_set_crlf(false);
    }
    close_fd_p(&c->own_fd);
    close_fd_p(&c->slave_fd);
    free(c);
}

int console_attach(struct console *c, struct machine *m,
                   size_t (*monitor_input)(void *owner, const uint8_t *p, size_t n), void *owner,
                   struct err *err)
{
    c->machine = m;
    c->input = (struct watch){ .fd = c->in_fd, .ready = input_ready };
    c->monitor_input = monitor_input;
    c->monitor_owner = owner;
    if (c->terminal && term_is_ours()) {
        int r = term_raw();
        if (r < 0)
            return err_errno(err, -r, "the terminal cannot be made raw");
    }
    if (c->display) {
        int r = display_attach(c->display, m, err);
        if (r < 0)
            return r;
    }
    room(c); /* the first read happens on the loop */
    return 0;
}

void console_close_monitor(struct console *c)
{
    c->in_monitor = false;
    outq_hold(c->out, false);
    if (c->display)
        display_hold(c->display, false);
    room(c);
}

void console_foreground(struct console *c)
{
    if (!c->terminal)
        return;
    if (term_is_ours())
        term_raw();
    if (c->display && !c->in_monitor)
        display_hold(c->display, false); /* the shell wrote there */
    pump(c);
}
