/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lock.c - see lock.h: open file description locks (fcntl(2), F_OFD_SETLK).
 *
 * A writer locks all bytes, which also keeps qemu off the file (it locks bytes from 100 on); a
 * reader locks byte 0 only, which leaves other readers alone, qemu's included. */
#include "disk/lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

/* A lock that nobody holds: of a process that was killed, whose io_uring the kernel takes apart a
 * moment after it has gone. */
#define GHOST_TRIES   50
#define GHOST_WAIT_NS 20000000

/* Does descriptor 'fd' of process 'pid' hold a lock on the file? */
static bool fd_locks(const char *pid, const char *fd, const struct stat *st)
{
    char path[sizeof "/proc//fdinfo/" + 512], line[256];
    struct stat its;

    snprintf(path, sizeof path, "/proc/%.200s/fd/%.200s", pid, fd);
    if (stat(path, &its) < 0 || its.st_dev != st->st_dev || its.st_ino != st->st_ino)
        return false;
    snprintf(path, sizeof path, "/proc/%.200s/fdinfo/%.200s", pid, fd);
    FILE *f = fopen(path, "re");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f))
        found = strncmp(line, "lock:", 5) == 0 && strstr(line, "OFDLCK");
    if (f)
        fclose(f);
    return found;
}

/* "process 123 (qemu-img)" into 'to', or nothing. */
static void find_holder(int fd, char *to, size_t size)
{
    struct stat st;
    DIR *proc = opendir("/proc");
    struct dirent *p, *e;

    to[0] = '\0';
    if (!proc || fstat(fd, &st) < 0) {
        if (proc)
            closedir(proc);
        return;
    }
    while (!to[0] && (p = readdir(proc))) {
        char path[300], comm[64] = "?";
        if (p->d_name[0] < '1' || p->d_name[0] > '9')
            continue;
        snprintf(path, sizeof path, "/proc/%.200s/fd", p->d_name);
        DIR *fds = opendir(path);
        while (fds && !to[0] && (e = readdir(fds))) {
            if (e->d_name[0] == '.' || !fd_locks(p->d_name, e->d_name, &st))
                continue;
            snprintf(path, sizeof path, "/proc/%.200s/comm", p->d_name);
            FILE *f = fopen(path, "re");
            if (f && fgets(comm, sizeof comm, f))
                comm[strcspn(comm, "\n")] = '\0';
            if (f)
                fclose(f);
            snprintf(to, size, "process %.20s (%s)%s", p->d_name, comm,
                     (pid_t)strtol(p->d_name, NULL, 10) == getpid() ? ", this one" : "");
        }
        if (fds)
            closedir(fds);
    }
    closedir(proc);
}

int image_lock(int fd, const char *path, bool writer, struct err *err)
{
    struct flock fl = { .l_type = writer ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET,
                        .l_start = 0, .l_len = writer ? 0 : 1 };
    char who[160];

    for (unsigned tries = 0; fcntl(fd, F_OFD_SETLK, &fl) < 0; tries++) {
        if (errno != EAGAIN && errno != EACCES)
            return errno == ENOLCK || errno == EOPNOTSUPP || errno == EINVAL
                       ? 0
                       : err_errno(err, errno, "'%s' cannot be locked", path);
        if (tries == 0 || tries == GHOST_TRIES)
            find_holder(fd, who, sizeof who);
        if (who[0] || tries == GHOST_TRIES)
            goto busy;
        nanosleep(&(struct timespec){ .tv_nsec = GHOST_WAIT_NS }, NULL);
    }
    return 0;
busy:
    return err_set(err, EBUSY, "'%s' is in use%s%s: %s", path, who[0] ? " by " : "", who,
                   writer ? "to write, one must have it alone" : "somebody writes to it");
}
