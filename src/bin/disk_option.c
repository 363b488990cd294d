/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_option.c - see disk_option.h; used by the command line and by the monitor. */
#include "bin/disk_option.h"

#include <ctype.h>
#include <errno.h>

/* Up to the next single comma; ",," is one of the text.  Moves *rest on; NULL at the end. */
static char *next_part(char **rest)
{
    char *part = *rest, *from = part, *to = part;

    if (!part)
        return NULL;
    for (; *from; from++) {
        if (*from == ',' && from[1] != ',')
            break;
        if (*from == ',')
            from++;
        *to++ = *from;
    }
    *rest = *from ? from + 1 : NULL;
    *to = 0;
    return part;
}

static int parse_size(const char *what, const char *text, uint64_t *ret, struct err *err)
{
    static const char units[] = "KMGT";
    char *end;
    uint64_t v, unit = 1;

    errno = 0;
    v = strtoull(text, &end, 10);
    const char *u = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    if (u && !end[1])
        unit = UINT64_C(1) << 10 * (unsigned)(u - units + 1);
    if (!isdigit((unsigned char)*text) || (*end && (!u || end[1])) || errno || !v ||
        v > UINT64_MAX / unit)
        return err_set(err, EINVAL, "%s=%s: a number above 0 is needed, with K, M, G or T if you like",
                       what, text);
    *ret = v * unit;
    return 0;
}

static int parse_place(const char *text, struct machine_disk *d, struct err *err)
{
    char *end;
    long c = strtol(text, &end, 10), l = 0;

    if (end != text && *end == ':')
        l = strtol(end + 1, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || !isdigit((unsigned char)end[-1]) || c > 255 ||
        l > 255)
        return err_set(err, EINVAL, "at=%s: controller:lun is needed, as in 0:1", text);
    d->controller = (int)c;
    d->lun = (int)l;
    return 0;
}

static int parse_key(char *part, struct machine_disk *d, struct err *err)
{
    char *value = strchr(part, '=');

    if (value)
        *value++ = 0;
    if (strcmp(part, "ro") == 0 && !value) {
        d->read_only = true;
        return 0;
    }
    if (!value)
        return err_set(err, EINVAL, "'%s': one of bus=, at=, ro, format=, cache=, iops=, bps=", part);
    if (strcmp(part, "bus") == 0 && (strcmp(value, "ide") == 0 || strcmp(value, "scsi") == 0)) {
        d->bus = value[0] == 'i' ? MACHINE_DISK_IDE : MACHINE_DISK_SCSI;
        return 0;
    }
    if (strcmp(part, "format") == 0 && (strcmp(value, "raw") == 0 || strcmp(value, "auto") == 0)) {
        d->raw = value[0] == 'r';
        return 0;
    }
    if (strcmp(part, "cache") == 0 &&
        (strcmp(value, "none") == 0 || strcmp(value, "writeback") == 0)) {
        d->direct = value[0] == 'n';
        return 0;
    }
    if (strcmp(part, "at") == 0)
        return parse_place(value, d, err);
    if (strcmp(part, "iops") == 0)
        return parse_size("iops", value, &d->iops, err);
    if (strcmp(part, "bps") == 0)
        return parse_size("bps", value, &d->bytes_per_s, err);
    return err_set(err, EINVAL,
                   "'%s=%s': bus=ide|scsi, at=C:L, ro, format=raw|auto, cache=writeback|none, "
                   "iops=N, bps=SIZE are known",
                   part, value);
}

int disk_option_parse(const char *text, bool cdrom, struct machine_disk *ret, struct err *err)
{
    struct machine_disk d = { .bus = cdrom ? MACHINE_DISK_IDE : MACHINE_DISK_SCSI,
                              .controller = -1, .lun = -1, .cdrom = cdrom };
    AUTO(free_p) char *copy = strdup(text);
    char *rest = copy, *part;

    if (!copy)
        return err_set(err, ENOMEM, "out of memory");
    char *path = next_part(&rest);
    while ((part = next_part(&rest)) != NULL) {
        int r = parse_key(part, &d, err);
        if (r < 0)
            return err_wrap(err, "disk '%s'", path);
    }
    if (!*path && !cdrom)
        return err_set(err, EINVAL, "disk '%s': a path is needed", text);
    if (cdrom && d.bus != MACHINE_DISK_IDE)
        return err_set(err, EINVAL, "drive '%s': drives are on bus=ide", path);
    d.path = strdup(path);
    if (!d.path)
        return err_set(err, ENOMEM, "out of memory");
    *ret = d;
    return 0;
}
