/* SPDX-License-Identifier: GPL-2.0-or-later */
/* options.c - see options.h.  Each option is a row of a table with its own small parser. */
#include "bin/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>

#include "bin/disk_option.h"

const char options_help[] =
    "Usage: verdin run --kernel FILE | --disk FILE [OPTION]...\n"
    "Run one virtual machine in the foreground.\n"
    "  --kernel FILE        Linux bzImage, or ELF with PVH or multiboot entry\n"
    "  --initrd FILE        initial RAM disk (multiboot: the module)\n"
    "  --append STRING      the kernel's command line\n"
    "  --disk PATH[,KEY..]  VHD, VHDX, raw image or block device; bus=scsi|ide,\n"
    "                       at=C:L, ro, format=raw, cache=none, iops=N, bps=SIZE\n"
    "  --cdrom ISO          a CD drive; '' leaves it empty\n"
    "  --bios FILE          firmware that starts disks; default: SeaBIOS\n"
    "  --memory SIZE        guest memory: 512M, 4G; default 512M, 8M to 64G\n"
    "  --cpus N             virtual processors: 1 to 64, default 1\n"
    "  --engine NAME        auto (measures, the default), kvm or soft\n"
    "  --soft-mode NAME     soft engine: jit (default), interp, lockstep (compares)\n"
    "  --console WHERE      serial port: stdio (default), file=PATH, pty, none;\n"
    "                       or screen: display and keyboard on the terminal\n"
    "  --no-reboot          a guest that reboots ends the run\n"
    "  --timeout SECONDS    end the run after that time\n"
    "  --restore FILE       go on with a machine that the monitor saved\n"
    "  --trace PATTERNS     print events such as 'vmbus.*'; 'help' lists all\n"
    "  --name NAME          of the machine, told to the guest\n"
    "  --test-devices       add the exit port (0xf4) of kvm-unit-tests\n"
    "  --help               this text\n"
    "On a terminal, Ctrl-] opens the monitor: help, pause, shutdown, quit ...\n"
    "Exit status: 0 the guest powered off, 1 wrong arguments or configuration,\n"
    "2 the guest died, 3 the timeout passed.  More in verdin-run(1).\n";

/* 1 to 'max' in decimal, nothing else. */
static int parse_number(const char *option, const char *text, unsigned max, unsigned *ret,
                        struct err *err)
{
    unsigned long long v;
    char *end;

    errno = 0;
    v = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end)
        return err_set(err, EINVAL, "%s '%s': not a number", option, text);
    if (errno || v < 1 || v > max)
        return err_set(err, EINVAL, "%s %s: 1 to %u are possible", option, text, max);
    *ret = (unsigned)v;
    return 0;
}

static int parse_memory(const char *text, struct run_options *o, struct err *err)
{
    static const struct { char unit; uint64_t size; } units[] = {
        { 'K', KIB }, { 'M', MIB }, { 'G', GIB }, { 'T', TIB },
    };
    uint64_t unit = MIB, v;
    char *end;

    errno = 0;
    v = strtoull(text, &end, 10);
    if (isdigit((unsigned char)*text) && *end) {
        unit = 0;
        for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
            if (toupper((unsigned char)*end) == units[i].unit && !end[1])
                unit = units[i].size;
        }
    }
    if (!isdigit((unsigned char)*text) || !unit)
        return err_set(err, EINVAL, "--memory '%s': a size such as 512M or 4G is needed", text);
    if (errno || v > GMEM_SIZE_MAX / unit || v * unit < MACHINE_MEMORY_MIN)
        return err_set(err, EINVAL, "--memory %s: %lluM to %lluG are possible", text,
                       (unsigned long long)(MACHINE_MEMORY_MIN / MIB),
                       (unsigned long long)(GMEM_SIZE_MAX / GIB));
    if (v * unit % MIB)
        return err_set(err, EINVAL, "--memory %s: whole MiB only", text);
    o->machine.memory = v * unit;
    return 0;
}

static int parse_cpus(const char *text, struct run_options *o, struct err *err)
{
    return parse_number("--cpus", text, VPS_MAX, &o->machine.n_vps, err);
}

static int parse_timeout(const char *text, struct run_options *o, struct err *err)
{
    return parse_number("--timeout", text, TIMEOUT_MAX, &o->timeout_s, err);
}

struct word {
    const char *name;
    int value;
};

static int parse_word(const char *option, const char *text, const struct word *words, size_t n,
                      int *ret, struct err *err)
{
    char all[100] = "";
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        if (strcmp(text, words[i].name) == 0) {
            *ret = words[i].value;
            return 0;
        }
        len += (size_t)snprintf(all + len, sizeof all - len, "%s%s", i ? ", " : "", words[i].name);
    }
    return err_set(err, EINVAL, "%s '%s': one of %s is needed", option, text, all);
}

static int parse_engine(const char *text, struct run_options *o, struct err *err)
{
    static const struct word words[] = {
        { "auto", ENGINE_AUTO }, { "kvm", ENGINE_KVM }, { "soft", ENGINE_SOFT },
    };
    int v, r = parse_word("--engine", text, words, ARRAY_LEN(words), &v, err);

    if (r == 0)
        o->machine.engine = (enum engine_kind)v;
    return r;
}

static int parse_soft_mode(const char *text, struct run_options *o, struct err *err)
{
    static const struct word words[] = { { "interp", SOFT_INTERP }, { "jit", SOFT_JIT },
                                         { "jit-eager", SOFT_JIT_EAGER },
                                         { "lockstep", SOFT_LOCKSTEP } };
    int v, r = parse_word("--soft-mode", text, words, ARRAY_LEN(words), &v, err);

    if (r == 0)
        o->machine.soft_mode = (enum soft_mode)v;
    return r;
}

static int parse_console(const char *text, struct run_options *o, struct err *err)
{
    static const struct word words[] = {
        { "stdio", CONSOLE_STDIO }, { "file=PATH", -1 }, { "pty", CONSOLE_PTY },
        { "screen", CONSOLE_SCREEN }, { "none", CONSOLE_NONE },
    };
    int v, r;

    if (strncmp(text, "file=", 5) == 0 && text[5]) {
        o->console = CONSOLE_FILE;
        o->console_path = text + 5;
        return 0;
    }
    r = parse_word("--console", text, words, ARRAY_LEN(words), &v, err);
    if (r < 0 || v < 0)
        return r < 0 ? r : err_set(err, EINVAL, "--console '%s': give the path", text);
    o->console = (enum console_kind)v;
    return 0;
}

static int parse_name(const char *text, struct run_options *o, struct err *err)
{
    size_t n = strlen(text);

    if (n < 1 || n > MACHINE_NAME_MAX)
        return err_set(err, EINVAL, "--name of %zu characters: 1 to %d are possible", n,
                       MACHINE_NAME_MAX);
    for (size_t i = 0; i < n; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return err_set(err, EINVAL, "--name: printable ASCII characters only");
    }
    o->machine.name = text;
    return 0;
}

#define TEXT_OPTION(function, member)                                                    \
    static int function(const char *text, struct run_options *o, struct err *err UNUSED) \
    {                                                                                    \
        o->member = text;                                                                \
        return 0;                                                                        \
    }
TEXT_OPTION(parse_kernel, machine.kernel)
TEXT_OPTION(parse_initrd, machine.initrd)
TEXT_OPTION(parse_append, machine.append)
TEXT_OPTION(parse_bios, machine.bios)
TEXT_OPTION(parse_restore, restore)
TEXT_OPTION(parse_trace, trace)

static int add_disk(const char *text, bool cdrom, struct run_options *o, struct err *err)
{
    int r;

    if (o->machine.n_disks == MACHINE_DISKS_MAX)
        return err_set(err, EINVAL, "--disk %s: at most %d disks and drives", text,
                       MACHINE_DISKS_MAX);
    r = disk_option_parse(text, cdrom, &o->disk[o->machine.n_disks], err);
    if (r == 0)
        o->machine.n_disks++;
    return r;
}

static int parse_disk(const char *text, struct run_options *o, struct err *err)
{
    return add_disk(text, false, o, err);
}

static int parse_cdrom(const char *text, struct run_options *o, struct err *err)
{
    return add_disk(text, true, o, err);
}

#define FLAG_OPTION(function, member)                                                           \
    static int function(const char *text UNUSED, struct run_options *o, struct err *err UNUSED) \
    {                                                                                           \
        o->member = true;                                                                       \
        return 0;                                                                               \
    }
FLAG_OPTION(parse_no_reboot, machine.no_reboot)
FLAG_OPTION(parse_test_devices, machine.test_devices)
FLAG_OPTION(parse_help, help)

static const struct {
    const char *name;
    bool has_value;
    int (*parse)(const char *text, struct run_options *o, struct err *err);
} rows[] = {
    { "kernel", true, parse_kernel },
    { "initrd", true, parse_initrd },
    { "append", true, parse_append },
    { "disk", true, parse_disk },
    { "cdrom", true, parse_cdrom },
    { "bios", true, parse_bios },
    { "memory", true, parse_memory },
    { "cpus", true, parse_cpus },
    { "engine", true, parse_engine },
    { "soft-mode", true, parse_soft_mode },
    { "console", true, parse_console },
    { "no-reboot", false, parse_no_reboot },
    { "timeout", true, parse_timeout },
    { "restore", true, parse_restore },
    { "trace", true, parse_trace },
    { "name", true, parse_name },
    { "test-devices", false, parse_test_devices },
    { "help", false, parse_help },
};

static int check(const struct run_options *o, struct err *err)
{
    if (!o->machine.kernel && !o->restore && !o->machine.n_disks)
        return err_set(err, EINVAL, "--kernel FILE or --disk PATH is needed");
    if (o->console == CONSOLE_SCREEN && o->machine.kernel)
        return err_set(err, EINVAL, "--console screen with --kernel: only a machine that starts from "
                                    "disks has a display");
    if (o->machine.bios && o->machine.kernel)
        return err_set(err, EINVAL, "--bios with --kernel: a kernel starts without firmware");
    if (o->machine.initrd && !o->machine.kernel)
        return err_set(err, EINVAL, "--initrd without --kernel");
    if (o->machine.append && !o->machine.kernel)
        return err_set(err, EINVAL, "--append without --kernel");
    if (o->machine.soft_mode != SOFT_DEFAULT && o->machine.engine == ENGINE_KVM)
        return err_set(err, EINVAL, "--soft-mode with --engine kvm: it is for the soft engine");
    return 0;
}

int options_parse(int argc, char **argv, struct run_options *ret, struct err *err)
{
    struct run_options o = {
        .machine = { .name = "verdin", .memory = MACHINE_MEMORY_DEFAULT, .n_vps = 1 },
    };
    struct option longs[ARRAY_LEN(rows) + 1] = { 0 };
    int c;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        longs[i] = (struct option){ rows[i].name, rows[i].has_value, NULL, (int)i };
    optind = 0; /* start anew: tests call this often */
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        int r = 0;

        if (c == 'h')
            o.help = true;
        else if (c == ':')
            return err_set(err, EINVAL, "%s needs a value", argv[optind - 1]);
        else if (c == '?')
            return err_set(err, EINVAL, "%s: no such option", argv[optind - 1]);
        else
            r = rows[c].parse(optarg, &o, err);
        if (r < 0)
            return r;
    }
    if (optind < argc)
        return err_set(err, EINVAL, "'%s': options only, no other arguments", argv[optind]);
    int r = o.help || (o.trace && strcmp(o.trace, "help") == 0) ? 0 : check(&o, err);
    if (r == 0) {
        *ret = o;
        ret->machine.disk = ret->disk;
    }
    return r;
}
