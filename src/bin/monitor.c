/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor.c - see monitor.h.  Commands are rows of a table; a unique beginning is enough. */
#include "bin/monitor.h"

#include <errno.h>

#include "base/trace.h"
#include "bin/disk_option.h"
#include "bin/keys.h"
#include "bin/screen.h"

#define LINE_MAX_CHARS 500u

#define KEY_CTRL_C 0x03
#define KEY_CTRL_D 0x04
#define KEY_BS     0x08
#define KEY_CTRL_U 0x15
#define KEY_CTRL_Z 0x1a
#define KEY_DEL    0x7f

struct monitor {
    struct machine *machine;
    struct console *console;
    const struct monitor_ops *ops;
    void *owner;
    bool open;
    char line[LINE_MAX_CHARS + 1];
    size_t n;
};

/* What a command leaves behind: the prompt again, or the guest's console. */
enum after { STAY, LEAVE };

/* ---- output: raw terminal, so newlines need a carriage return -------------------------------- */

static void out(const char *text, size_t n)
{
    for (size_t i = 0, from = 0; i <= n; i++) {
        if (i < n && text[i] != '\n')
            continue;
        if (write(STDOUT_FILENO, text + from, i - from) < 0)
            return; /* the terminal is gone: SIGHUP follows */
        if (i < n && write(STDOUT_FILENO, "\r\n", 2) < 0)
            return;
        from = i + 1;
    }
}

static void say(const char *text)
{
    out(text, strlen(text));
}

static void prompt(struct monitor *mon)
{
    mon->n = 0;
    say(machine_paused(mon->machine) ? "verdin (paused)> " : "verdin> ");
}

static enum after print_with(struct monitor *mon, void (*print)(struct machine *m, FILE *to))
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    if (!f)
        return STAY;
    print(mon->machine, f);
    fclose(f);
    out(text, n);
    free(text);
    return STAY;
}

/* ---- commands -------------------------------------------------------------------------------- */

static enum after cmd_help(struct monitor *mon, const char *arg);

static enum after cmd_pause(struct monitor *mon, const char *arg)
{
    machine_pause(mon->machine);
    return STAY;
}

static enum after cmd_continue(struct monitor *mon, const char *arg)
{
    if (machine_paused(mon->machine))
        machine_resume(mon->machine);
    return LEAVE;
}

/* ---- disks ----------------------------------------------------------------------------------- */

static int disk_add(struct monitor *mon, char *what, char *path, struct err *err)
{
    struct machine_disk d;
    int r = disk_option_parse(what, false, &d, err);

    if (r < 0)
        return r;
    r = machine_disk_add(mon->machine, &d, err);
    free((char *)(uintptr_t)d.path);
    return r;
}

static int disk_remove(struct monitor *mon, char *name, char *path, struct err *err)
{
    return machine_disk_remove(mon->machine, name, err);
}

static int disk_insert(struct monitor *mon, char *name, char *path, struct err *err)
{
    return path ? machine_disk_insert(mon->machine, name, path, err)
                : err_set(err, EINVAL, "disk insert DRIVE PATH: the path is missing");
}

static int disk_eject(struct monitor *mon, char *name, char *path, struct err *err)
{
    return machine_disk_eject(mon->machine, name, path && strcmp(path, "force") == 0, err);
}

static enum after cmd_disk(struct monitor *mon, const char *arg)
{
    static const struct {
        const char *verb;
        int (*run)(struct monitor *mon, char *what, char *path, struct err *err);
    } verbs[] = {
        { "add", disk_add },
        { "remove", disk_remove },
        { "insert", disk_insert },
        { "eject", disk_eject },
    };
    AUTO(free_p) char *copy = strdup(arg);
    char *rest = copy, *verb = strsep(&rest, " "), *what = strsep(&rest, " ");
    struct err err = { 0 };

    if (!verb || !*verb || strcmp(verb, "list") == 0)
        return print_with(mon, machine_disk_list);
    for (unsigned i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verb, verbs[i].verb) != 0 || !what)
            continue;
        if (verbs[i].run(mon, what, rest, &err) < 0) {
            say(err.text);
            say("\n");
        }
        return STAY;
    }
    say("disk list | add PATH[,KEY...] | remove NAME | insert DRIVE PATH | eject DRIVE [force]\n");
    return STAY;
}

static enum after cmd_registers(struct monitor *mon, const char *arg)
{
    return print_with(mon, machine_print_registers);
}

static enum after cmd_counters(struct monitor *mon, const char *arg)
{
    return print_with(mon, machine_print_counters);
}

static enum after cmd_devices(struct monitor *mon, const char *arg)
{
    return print_with(mon, machine_print_devices);
}

static void print_screen(struct machine *m, FILE *to)
{
    struct vga_text *t = calloc(1, sizeof *t);

    if (t && machine_screen(m, t))
        screen_print(t, to);
    else
        fprintf(to, "this machine has no display\n");
    free(t);
}

static enum after cmd_screen(struct monitor *mon, const char *arg)
{
    return print_with(mon, print_screen);
}

/* Each word is a key by its name. */
static enum after cmd_key(struct monitor *mon, const char *arg)
{
    AUTO(free_p) char *copy = strdup(arg);
    char *rest = copy, *word;
    struct key_codes k;

    if (!*arg)
        say("key NAME...: such as a, enter, down, f2, ctrl-alt-delete\n");
    while ((word = strsep(&rest, " ")) != NULL) {
        if (!*word)
            continue;
        if (!keys_named(word, &k)) {
            say("no such key: ");
            say(word);
            say("\n");
            break;
        }
        if (machine_keyboard_input(mon->machine, k.code, k.n) < k.n) {
            say("the guest does not read its keyboard\n");
            break;
        }
    }
    return STAY;
}

static enum after cmd_shutdown(struct monitor *mon, const char *arg)
{
    struct err err = { 0 };

    if (machine_shutdown(mon->machine, &err) < 0) {
        say(err.text);
        say("\n");
        return STAY;
    }
    return cmd_continue(mon, arg);
}

static enum after cmd_power_button(struct monitor *mon, const char *arg)
{
    machine_power_button(mon->machine);
    return cmd_continue(mon, arg);
}

static enum after cmd_reset(struct monitor *mon, const char *arg)
{
    machine_reset(mon->machine);
    return cmd_continue(mon, arg);
}

static enum after cmd_nmi(struct monitor *mon, const char *arg)
{
    machine_nmi(mon->machine);
    return cmd_continue(mon, arg);
}

static void list_traces(struct machine *m UNUSED, FILE *to)
{
    trace_list(to);
}

static enum after cmd_trace(struct monitor *mon, const char *arg)
{
    char text[64];

    if (!*arg)
        return print_with(mon, list_traces);
    snprintf(text, sizeof text, "%u trace points are on\n", trace_enable(arg));
    say(text);
    return STAY;
}

static enum after cmd_save(struct monitor *mon, const char *arg)
{
    struct err err = { 0 };

    if (!*arg)
        say("save FILE: the path is missing\n");
    else if (machine_save(mon->machine, arg, &err) < 0) {
        say(err.text);
        say("\n");
    } else
        say("saved; the machine is paused\n");
    return STAY;
}

static enum after cmd_escape(struct monitor *mon, const char *arg)
{
    console_type(mon->console, CONSOLE_ESCAPE);
    return LEAVE;
}

static enum after cmd_suspend(struct monitor *mon, const char *arg)
{
    mon->ops->suspend(mon->owner);
    return STAY;
}

static enum after cmd_quit(struct monitor *mon, const char *arg)
{
    mon->ops->quit(mon->owner);
    return LEAVE;
}

static const struct command {
    const char *name, *arg, *what;
    enum after (*run)(struct monitor *mon, const char *arg);
} commands[] = {
    { "continue", "", "back to the guest's console (so does an empty line); ends a pause",
      cmd_continue },
    { "counters", "", "what the engine has counted", cmd_counters },
    { "devices", "", "the state of all devices", cmd_devices },
    { "disk", " VERB...", "list, add PATH, remove NAME, insert DRIVE PATH, eject DRIVE", cmd_disk },
    { "escape", "", "send Ctrl-] to the guest (so does Ctrl-] Ctrl-])", cmd_escape },
    { "help", "", "this list", cmd_help },
    { "key", " NAME...", "press keys: a, enter, down, f2, ctrl-alt-delete", cmd_key },
    { "nmi", "", "a non-maskable interrupt to CPU 0", cmd_nmi },
    { "pause", "", "stop all CPUs and the machine's clock", cmd_pause },
    { "power-button", "", "press the ACPI power button", cmd_power_button },
    { "quit", "", "switch the machine off at once and leave", cmd_quit },
    { "registers", "", "of every CPU", cmd_registers },
    { "reset", "", "power-cycle: boot again", cmd_reset },
    { "save", " FILE", "save the machine, for --restore; it stays paused", cmd_save },
    { "screen", "", "what the display shows", cmd_screen },
    { "shutdown", "", "ask the guest to shut down, by its integration service", cmd_shutdown },
    { "suspend", "", "stop Verdin, back to the shell (so does Ctrl-Z here)", cmd_suspend },
    { "trace", " PATTERNS", "print matching events from now on; alone: list all", cmd_trace },
};

static enum after cmd_help(struct monitor *mon, const char *arg)
{
    char line[120];

    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        int n = snprintf(line, sizeof line, "%s%s", commands[i].name, commands[i].arg);
        snprintf(line + n, sizeof line - (size_t)n, "%*s%s\n", 18 - n, "", commands[i].what);
        say(line);
    }
    return STAY;
}

/* NULL: none, or more than one. */
static const struct command *find(const char *word, size_t n)
{
    const struct command *found = NULL;

    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if (strncmp(commands[i].name, word, n) != 0)
            continue;
        if (!commands[i].name[n])
            return &commands[i];
        if (found)
            return NULL;
        found = &commands[i];
    }
    return found;
}

static enum after run_line(struct monitor *mon)
{
    mon->line[mon->n] = '\0';
    const char *word = mon->line + strspn(mon->line, " ");
    size_t n = strcspn(word, " ");
    if (!n)
        return machine_paused(mon->machine) ? STAY : LEAVE;
    const struct command *c = find(word, n);
    if (!c) {
        say("no such command, or more than one begins so; 'help' lists them\n");
        return STAY;
    }
    const char *arg = word + n + strspn(word + n, " ");
    return c->run(mon, arg);
}

/* ---- the line -------------------------------------------------------------------------------- */

static void leave(struct monitor *mon)
{
    mon->open = false;
    console_close_monitor(mon->console);
}

static void finish_line(struct monitor *mon)
{
    say("\n");
    if (run_line(mon) == LEAVE)
        leave(mon);
    else
        prompt(mon);
}

static void key(struct monitor *mon, uint8_t k)
{
    switch (k) {
    case '\r':
    case '\n': finish_line(mon); break;
    case KEY_CTRL_C:
    case KEY_CTRL_D:
        say("\n");
        if (machine_paused(mon->machine))
            prompt(mon); /* 'continue' says it in words */
        else
            leave(mon);
        break;
    case CONSOLE_ESCAPE:
        say("\n");
        cmd_escape(mon, "");
        leave(mon);
        break;
    case KEY_CTRL_Z:
        say("\n");
        cmd_suspend(mon, "");
        prompt(mon);
        break;
    case KEY_CTRL_U:
        say("\n");
        prompt(mon);
        break;
    case KEY_BS:
    case KEY_DEL:
        if (mon->n) {
            mon->n--;
            say("\b \b");
        }
        break;
    default:
        if (k >= ' ' && k < 0x7f && mon->n < LINE_MAX_CHARS) {
            mon->line[mon->n++] = (char)k;
            out((const char *)&k, 1);
        }
    }
}

size_t monitor_input(void *owner, const uint8_t *p, size_t n)
{
    struct monitor *mon = owner;

    if (!mon->open) {
        mon->open = true;
        say("\n");
        prompt(mon);
    }
    size_t i = 0;
    while (i < n && mon->open)
        key(mon, p[i++]);
    return i;
}

struct monitor *monitor_new(struct machine *m, struct console *c, const struct monitor_ops *ops,
                            void *owner)
{
    struct monitor *mon = calloc(1, sizeof *mon);

    if (mon)
        *mon = (struct monitor){ .machine = m, .console = c, .ops = ops, .owner = owner };
    return mon;
}

void monitor_free(struct monitor *mon)
{
    free(mon);
}
