/* SPDX-License-Identifier: GPL-2.0-or-later */
/* display.c - see display.h. */
#include "bin/display.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

#include "bin/keys.h"
#include "bin/screen.h"

#define PERIOD_NS 33000000
#define CODES_MAX 512u

struct display {
    struct outq *out;
    int fd;
    void (*room)(void *owner);
    void *owner;
    struct machine *machine;
    struct watch tick;
    bool held, wants_room;
    uint8_t code[CODES_MAX]; /* typed, not yet taken by the keyboard */
    size_t n_codes;
    struct screen screen;
    struct vga_text now;
};

/* ---- picture --------------------------------------------------------------------------------- */

static void write_out(struct display *d, const struct buf *b)
{
    for (size_t i = 0; !b->failed && i < b->n; i++)
        outq_put(d->out, b->p[i]);
}

static void measure_terminal(struct display *d)
{
    struct winsize w = { 0 };
    struct screen *s = &d->screen;
    unsigned cols = 1000, rows = 1000; /* no terminal: everything */

    if (ioctl(d->fd, TIOCGWINSZ, &w) == 0 && w.ws_col && w.ws_row) {
        cols = w.ws_col;
        rows = w.ws_row;
    }
    s->all |= cols != s->term_cols || rows != s->term_rows;
    s->term_cols = cols;
    s->term_rows = rows;
}

static void draw(struct display *d)
{
    AUTO(buf_done) struct buf b = { 0 };

    measure_terminal(d);
    machine_screen(d->machine, &d->now);
    screen_draw(&d->screen, &d->now, &b);
    d->screen.all |= b.failed;
    write_out(d, &b);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void send_keys(struct display *d)
{
    size_t took = machine_keyboard_input(d->machine, d->code, d->n_codes);

    d->n_codes -= took;
    memmove(d->code, d->code + took, d->n_codes);
    if (d->wants_room && d->n_codes <= CODES_MAX / 2) {
        d->wants_room = false;
        d->room(d->owner);
    }
}

size_t display_type(struct display *d, const uint8_t *p, size_t n)
{
    struct key_codes k;
    size_t took = 0;

    while (took < n && d->n_codes + KEYS_CODES_MAX <= CODES_MAX) {
        took += keys_typed(p + took, n - took, &k);
        memcpy(d->code + d->n_codes, k.code, k.n);
        d->n_codes += k.n;
    }
    d->wants_room = took < n;
    send_keys(d);
    return took;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* A terminal that has not yet taken the last picture is not given another. */
static void on_tick(struct watch *w, uint32_t events)
{
    struct display *d = container_of(w, struct display, tick);
    uint64_t n;

    if (read(w->fd, &n, sizeof n) != sizeof n)
        return;
    if (d->n_codes)
        send_keys(d);
    if (!d->held && outq_idle(d->out))
        draw(d);
}

int display_new(struct outq *out, int fd, void (*room)(void *owner), void *owner,
                struct display **ret, struct err *err)
{
    struct itimerspec period = { { 0, PERIOD_NS }, { 0, PERIOD_NS } };
    struct display *d = calloc(1, sizeof *d);

    if (!d)
        return err_set(err, ENOMEM, "out of memory");
    d->out = out;
    d->fd = fd;
    d->room = room;
    d->owner = owner;
    d->screen.all = true;
    d->tick = (struct watch){ .fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
                              .ready = on_tick };
    if (d->tick.fd < 0 || timerfd_settime(d->tick.fd, 0, &period, NULL) < 0) {
        int r = err_errno(err, errno, "--console screen");
        display_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

void display_free(struct display *d)
{
    AUTO(buf_done) struct buf b = { 0 };

    if (!d)
        return;
    if (d->machine) {
        loop_unwatch(machine_loop(d->machine), &d->tick);
        draw(d);
        screen_leave(&d->screen, &b);
        write_out(d, &b);
    }
    close_fd_p(&d->tick.fd);
    free(d);
}

int display_attach(struct display *d, struct machine *m, struct err *err)
{
    if (!machine_screen(m, &d->now))
        return err_set(err, ENODEV, "--console screen: only a machine that starts from disks has a "
                                    "display");
    int r = loop_watch(machine_loop(m), &d->tick, EPOLLIN);
    if (r < 0)
        return err_errno(err, -r, "--console screen");
    d->machine = m;
    return 0;
}

void display_hold(struct display *d, bool on)
{
    AUTO(buf_done) struct buf b = { 0 };

    d->held = on;
    screen_leave(&d->screen, &b);
    if (on && write(d->fd, b.p, b.n) < 0) /* the queue is held, too */
        return;
}
