/* SPDX-License-Identifier: GPL-2.0-or-later */
/* parent_path.c - from ".\dir\a.vhdx", "\\?\D:\dir\a.vhdx" or a Linux path to a file that is there,
 * and back.
 *
 * Names are compared without regard to case where no exact match exists.  Drive letters and volume
 * names mean nothing here and are dropped: what follows is taken from the root folder. */
#include "disk/parent_path.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <strings.h>
#include <sys/stat.h>

#include "disk/image.h"

/* The folder of 'path', "." when it names none. */
static void folder_of(const char *path, char to[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)MAX(slash - path, 1) : 1;

    n = MIN(n, (size_t)PATH_MAX - 1);
    memcpy(to, slash ? path : ".", n);
    to[n] = '\0';
}

static bool put_part(char at[PATH_MAX], size_t n, const char *part)
{
    int k = snprintf(at + n, PATH_MAX - n, "%s%s", n && at[n - 1] == '/' ? "" : "/", part);

    return k >= 0 && (size_t)k < PATH_MAX - n;
}

/* Append "/part" as it is spelled on disk; false: there is no such thing. */
static bool step_into(char at[PATH_MAX], const char *part)
{
    size_t n = strlen(at);
    struct stat st;

    if (n + strlen(part) + 2 > PATH_MAX)
        return false;
    if (!put_part(at, n, part))
        return false;
    if (lstat(at, &st) == 0)
        return true;
    at[n] = '\0';
    DIR *d = opendir(n ? at : "/");
    struct dirent *e;
    bool found = false;
    while (d && !found && (e = readdir(d))) {
        if (strcasecmp(e->d_name, part) == 0)
            found = put_part(at, n, e->d_name);
    }
    if (d)
        closedir(d);
    return found;
}

/* Drop what only Windows knows; what is left is absolute when it begins with a separator. */
static const char *strip(const char *s)
{
    if (strncmp(s, "\\\\?\\", 4) == 0 || strncmp(s, "\\\\.\\", 4) == 0)
        s += 4;
    if (strncasecmp(s, "file://", 7) == 0)
        s += 7;
    if (strncasecmp(s, "Volume{", 7) == 0) {
        const char *end = strchr(s, '}');
        s = end ? end + 1 : s;
    }
    if (isalpha((unsigned char)s[0]) && s[1] == ':')
        s += 2;
    return s;
}

static bool inside(const char *file, const char *root)
{
    char real_file[PATH_MAX], real_root[PATH_MAX];

    if (!root)
        return true;
    if (!realpath(file, real_file) || !realpath(root, real_root))
        return false;
    size_t n = strlen(real_root);
    return strncmp(real_file, real_root, n) == 0 &&
           (real_file[n] == '/' || (n && real_root[n - 1] == '/'));
}

char *parent_find(const char *child, const char *name, bool bare, const char *root)
{
    AUTO(free_p) char *copy = strdup(strip(name));
    char at[PATH_MAX], *rest = copy, *part;
    struct stat st;

    if (!copy)
        return NULL;
    for (char *c = copy; *c; c++)
        if (*c == '\\')
            *c = '/';
    if (bare && strrchr(copy, '/'))
        rest = strrchr(copy, '/') + 1;
    if (*rest == '/')
        snprintf(at, sizeof at, "/");
    else
        folder_of(child, at);
    while ((part = strsep(&rest, "/"))) {
        if (!*part || strcmp(part, ".") == 0)
            continue;
        if (!step_into(at, part))
            return NULL;
    }
    if (stat(at, &st) < 0 || S_ISDIR(st.st_mode) || !inside(at, root))
        return NULL;
    return strdup(at);
}

/* ---- the way back ---------------------------------------------------------------------------- */

static bool real_name(const char *path, char to[PATH_MAX])
{
    char folder[PATH_MAX], real[PATH_MAX];
    const char *slash = strrchr(path, '/');

    /* The file itself may not be there yet, and may be a link that people mean. */
    folder_of(path, folder);
    if (!realpath(folder, real))
        return false;
    int n = snprintf(to, PATH_MAX, "%s/%s", strcmp(real, "/") == 0 ? "" : real,
                     slash ? slash + 1 : path);
    return n < PATH_MAX;
}

static char *backslashes(char *s)
{
    for (char *c = s; c && *c; c++)
        if (*c == '/')
            *c = '\\';
    return s;
}

char *disk_absolute_name(const char *path)
{
    char real[PATH_MAX];

    return real_name(path, real) ? backslashes(strdup(real)) : NULL;
}

char *disk_relative_name(const char *from, const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    size_t same = 0, ups = 0;

    if (!real_name(from, a) || !real_name(to, b))
        return NULL;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        if (a[i] == '/')
            same = i + 1;
    for (const char *p = a + same; *p; p++)
        ups += *p == '/';
    size_t size = strlen(b + same) + 3 * ups + 3, n = 0;
    char *out = malloc(size);
    if (!out)
        return NULL;
    if (!ups)
        n += (size_t)snprintf(out, size, "./");
    while (ups--)
        n += (size_t)snprintf(out + n, size - n, "../");
    snprintf(out + n, size - n, "%s", b + same);
    return backslashes(out);
}
