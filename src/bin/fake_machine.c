/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fake_machine.c - a machine without a guest, for tests of the program around it (run_test.py).
 *
 * It echoes what is typed.  A line that is a command ends it: "off", "reboot", "die", "crash". */
#include <errno.h>
#include <signal.h>

#include "vm/machine.h"

struct machine {
    struct machine_config cfg;
    struct clock clock;
    struct loop *loop;
    enum machine_outcome outcome;
    bool paused, shutdown;
    char line[64];
    size_t n;
    uint8_t code[24];
    unsigned n_codes;
    struct work hello;
};

static void print(struct machine *m, const char *text)
{
    while (*text && m->cfg.uart[0].ops)
        m->cfg.uart[0].ops->put(m->cfg.uart[0].owner, (uint8_t)*text++);
}

static void end(struct machine *m, enum machine_outcome outcome)
{
    m->outcome = outcome;
    loop_stop(m->loop);
}

static void run_hello(struct work *w)
{
    struct machine *m = container_of(w, struct machine, hello);

    print(m, "fake guest\r\n");
}

int machine_new(const struct machine_config *cfg, struct machine **ret, struct err *err)
{
    struct machine *m = calloc(1, sizeof *m);

    if (!m)
        return err_set(err, ENOMEM, "out of memory");
    m->cfg = *cfg;
    clock_init(&m->clock);
    m->loop = loop_new(&m->clock);
    m->outcome = MACHINE_STOPPED;
    m->hello.run = run_hello;
    if (cfg->kernel && access(cfg->kernel, R_OK) < 0) {
        err_errno(err, errno, "kernel '%s': cannot be opened", cfg->kernel);
        machine_free(m);
        return -ENOENT;
    }
    *ret = m;
    return 0;
}

void machine_free(struct machine *m)
{
    if (m)
        loop_free(m->loop);
    free(m);
}

struct loop *machine_loop(struct machine *m)
{
    return m->loop;
}

int machine_start(struct machine *m, struct err *err)
{
    loop_post(m->loop, &m->hello);
    return 0;
}

enum machine_outcome machine_run(struct machine *m)
{
    loop_run(m->loop);
    return m->outcome;
}

void machine_stop(struct machine *m)
{
    loop_stop(m->loop);
}

const char *machine_death(const struct machine *m)
{
    return "it was told to";
}

unsigned machine_exit_code(const struct machine *m)
{
    return 0;
}

void machine_pause(struct machine *m)
{
    m->paused = true;
}

void machine_resume(struct machine *m)
{
    m->paused = false;
    print(m, "resumed\r\n");
}

bool machine_paused(const struct machine *m)
{
    return m->paused;
}

int machine_shutdown(struct machine *m, struct err *err)
{
    if (!m->shutdown) {
        m->shutdown = true;
        return err_set(err, ENODEV, "the guest has no shutdown service yet");
    }
    end(m, MACHINE_OFF);
    return 0;
}

void machine_power_button(struct machine *m)
{
    print(m, "button\r\n");
}

void machine_reset(struct machine *m)
{
    print(m, "reset\r\n");
}

void machine_nmi(struct machine *m)
{
    print(m, "nmi\r\n");
}

static void run_line(struct machine *m)
{
    m->line[m->n] = '\0';
    m->n = 0;
    if (strcmp(m->line, "off") == 0)
        end(m, MACHINE_OFF);
    else if (strcmp(m->line, "reboot") == 0)
        end(m, MACHINE_REBOOTED);
    else if (strcmp(m->line, "die") == 0)
        end(m, MACHINE_DIED);
    else if (strcmp(m->line, "crash") == 0)
        raise(SIGSEGV);
    else if (strcmp(m->line, "flood") == 0)
        for (unsigned i = 0; i < 20000; i++)
            print(m, "0123456789012345678901234567890\r\n");
}

/* At most 16 bytes a call, so that the caller learns to wait for room. */
size_t machine_console_input(struct machine *m, unsigned uart, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    size_t took = 0;

    for (; took < n && took < 16; took++) {
        m->cfg.uart[uart].ops->put(m->cfg.uart[uart].owner, p[took]);
        if (p[took] == '\r' || p[took] == '\n')
            run_line(m);
        else if (m->n < sizeof m->line - 1)
            m->line[m->n++] = (char)p[took];
    }
    if (took < n)
        m->cfg.uart[uart].ops->room(m->cfg.uart[uart].owner);
    return took;
}

void machine_print_registers(struct machine *m, FILE *to)
{
    fprintf(to, "registers of %u CPUs\n", m->cfg.n_vps);
}

void machine_print_counters(struct machine *m, FILE *to)
{
    fprintf(to, "no counters\n");
}

void machine_print_devices(struct machine *m, FILE *to)
{
    fprintf(to, "no devices\n");
}

int machine_save(struct machine *m, const char *path, struct err *err)
{
    return err_set(err, ENOTSUP, "not this one");
}

int machine_restore(struct machine *m, const char *path, struct err *err)
{
    return err_set(err, ENOENT, "'%s': No such file or directory", path);
}

/* ---- a screen: what was typed as scan codes, in the first row -------------------------------- */

bool machine_screen(struct machine *m, struct vga_text *ret)
{
    static const char hex[] = "0123456789abcdef";

    memset(ret, 0, sizeof *ret);
    ret->cols = 80;
    ret->rows = 25;
    ret->cursor = true;
    for (unsigned i = 0; i < 80 * 25; i++)
        ret->cell[i] = (struct vga_cell){ ' ', 7 };
    for (unsigned i = 0; i < 10; i++)
        ret->cell[80 + i] = (struct vga_cell){ (uint8_t)"fake guest"[i], 0x1f };
    for (unsigned i = 0; i < m->n_codes; i++) {
        ret->cell[3 * i].ch = (uint8_t)hex[m->code[i] >> 4];
        ret->cell[3 * i + 1].ch = (uint8_t)hex[m->code[i] & 15];
    }
    return !m->cfg.kernel;
}

/* One code a call, so that the caller learns to wait. */
size_t machine_keyboard_input(struct machine *m, const uint8_t *set1, size_t n)
{
    if (!n || m->n_codes == ARRAY_LEN(m->code))
        return 0;
    m->code[m->n_codes++] = set1[0];
    if (m->code[m->n_codes - 1] == 0x3b) /* F1 */
        end(m, MACHINE_OFF);
    return 1;
}

/* ---- no disks -------------------------------------------------------------------------------- */

int machine_disk_add(struct machine *m, const struct machine_disk *d, struct err *err)
{
    return err_set(err, ENOTSUP, "'%s': this machine has no disks", d->path);
}

int machine_disk_remove(struct machine *m, const char *name, struct err *err)
{
    return err_set(err, ENOENT, "disk '%s': this machine has no disks", name);
}

int machine_disk_insert(struct machine *m, const char *drive, const char *path, struct err *err)
{
    return machine_disk_remove(m, drive, err);
}

int machine_disk_eject(struct machine *m, const char *drive, bool force, struct err *err)
{
    return machine_disk_remove(m, drive, err);
}

void machine_disk_list(struct machine *m, FILE *to)
{
    fprintf(to, "no disks\n");
}
