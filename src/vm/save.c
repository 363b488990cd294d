/* SPDX-License-Identifier: GPL-2.0-or-later */
/* save.c - a machine's saved state in one file.
 *
 *   magic "VERDINSS", version, length of the state
 *   the state: sections of base/state.h: "machine", "vp0" ..., the board's chips, hv, VMBus
 *   pages of RAM that are not zero: page number, contents; ended by page number ~0
 *
 * Little endian.  Replaced by write-new, fsync, rename, fsync of the folder.  Every byte of the file
 * is foreign when it is read: lengths are checked against the machine, and each part checks its own. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "vm/machine_internal.h"

#define SAVE_MAGIC     "VERDINSS"
#define SAVE_VERSION   1u
#define SAVE_STATE_MAX (64 * MIB)
#define PAGES_END      UINT64_MAX

struct save_head {
    char magic[8];
    uint32_t version, flags;
    uint64_t state_size;
};
#define SAVE_BIOS 1u /* the machine has a BIOS, and what goes with it */

/* What must be the same in the machine that goes on, and its time. */
struct machine_state {
    uint64_t memory, now_ns, tsc, tsc_hz;
    uint32_t n_vps;
    uint8_t uuid[16];
};

static const struct state_field machine_fields[] = {
    STATE(struct machine_state, memory), STATE(struct machine_state, now_ns),
    STATE(struct machine_state, tsc),    STATE(struct machine_state, tsc_hz),
    STATE(struct machine_state, n_vps),  STATE(struct machine_state, uuid),
};
static const struct state_desc machine_state_desc = STATE_DESC("machine", 1, machine_fields);

/* ---- save ------------------------------------------------------------------------------------ */

static int save_vp(struct machine *m, unsigned i, struct buf *b, struct err *err)
{
    struct vp_state *s = calloc(1, sizeof *s);
    char name[16];

    if (!s)
        return err_set(err, ENOMEM, "out of memory");
    vp_get_state(partition_vp(m->part, i), s);
    snprintf(name, sizeof name, "vp%u", i);
    state_save(b, name, &vp_state_desc, s);
    free(s);
    return 0;
}

static int save_state(struct machine *m, struct buf *b, struct err *err)
{
    struct machine_state s = {
        .memory = m->cfg.memory, .now_ns = clock_now_ns(&m->clock), .tsc = m->tsc_at_pause,
        .tsc_hz = partition_tsc_hz(m->part), .n_vps = m->cfg.n_vps,
    };
    int r = 0;

    memcpy(s.uuid, m->uuid, sizeof s.uuid);
    state_save(b, "machine", &machine_state_desc, &s);
    for (unsigned i = 0; i < m->cfg.n_vps && r == 0; i++)
        r = save_vp(m, i, b, err);
    if (r < 0)
        return r;
    mainboard_save(&m->board, b);
    storage_save(&m->storage, b);
    hv_save(m->hv, b);
    r = vmbus_save(m->bus, b, err);
    if (r == 0 && b->failed)
        r = err_set(err, ENOMEM, "out of memory");
    return r;
}

static bool zero_page(const uint8_t *p)
{
    const uint64_t *w = (const uint64_t *)(const void *)p;

    for (size_t i = 0; i < PAGE_SIZE / sizeof *w; i++)
        if (w[i])
            return false;
    return true;
}

static bool put(FILE *f, const void *p, size_t n)
{
    return fwrite(p, 1, n, f) == n;
}

/* Pages that were never touched have no memory behind them; reading them must not make any. */
static bool save_region(const struct gmem *m, const struct gmem_region *g, FILE *f)
{
    off_t from = (off_t)g->fd_off, end = from + (off_t)g->size;

    while (from < end) {
        off_t data = lseek(m->fd, from, SEEK_DATA);
        if (data < 0 || data >= end)
            return data >= 0 || errno == ENXIO;
        off_t hole = MIN(lseek(m->fd, data, SEEK_HOLE), end);
        for (off_t at = ALIGN_DOWN(data, (off_t)PAGE_SIZE); at < hole; at += (off_t)PAGE_SIZE) {
            uint64_t gpa = g->gpa + (uint64_t)(at - (off_t)g->fd_off), page = gpa >> PAGE_SHIFT;
            if (zero_page(m->base + gpa))
                continue;
            if (!put(f, &page, sizeof page) || !put(f, m->base + gpa, PAGE_SIZE))
                return false;
        }
        from = hole;
    }
    return true;
}

static bool save_pages(const struct gmem *m, FILE *f)
{
    uint64_t stop = PAGES_END;

    for (unsigned i = 0; i < m->n_regions; i++)
        if (m->region[i].kind == GMEM_RAM && !save_region(m, &m->region[i], f))
            return false;
    return put(f, &stop, sizeof stop);
}

static int sync_folder(const char *path)
{
    AUTO(free_p) char *copy = strdup(path);
    char *slash = copy ? strrchr(copy, '/') : NULL;

    if (slash)
        slash[slash == copy] = 0;
    AUTO(close_fd_p) int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_file(struct machine *m, const struct buf *b, const char *path, struct err *err)
{
    struct save_head head = { .version = SAVE_VERSION, .flags = m->uses_bios ? SAVE_BIOS : 0,
                              .state_size = b->n };
    AUTO(free_p) char *tmp = NULL;
    bool ok;
    FILE *f;

    if (asprintf(&tmp, "%s.new", path) < 0)
        return err_set(err, ENOMEM, "out of memory");
    f = fopen(tmp, "we");
    if (!f)
        return err_errno(err, errno, "'%s'", tmp);
    memcpy(head.magic, SAVE_MAGIC, sizeof head.magic);
    ok = put(f, &head, sizeof head) && put(f, b->p, b->n) && save_pages(m->gmem, f) &&
         fflush(f) == 0 && fsync(fileno(f)) == 0;
    int why = errno;
    if (fclose(f) != 0)
        ok = false;
    if (ok && rename(tmp, path) == 0)
        return sync_folder(path) < 0 ? err_errno(err, errno, "folder of '%s'", path) : 0;
    unlink(tmp);
    return err_errno(err, why ? why : EIO, "'%s'", tmp);
}

int machine_save(struct machine *m, const char *path, struct err *err)
{
    AUTO(buf_done) struct buf b = { 0 };
    int r;

    machine_pause(m);
    storage_drain(&m->storage);
    r = save_state(m, &b, err);
    if (r == 0)
        r = write_file(m, &b, path, err);
    return r < 0 ? err_wrap(err, "save of '%s'", m->cfg.name) : 0;
}

/* ---- restore --------------------------------------------------------------------------------- */

static bool get(FILE *f, void *p, size_t n)
{
    return fread(p, 1, n, f) == n;
}

static int load_pages(struct machine *m, FILE *f, struct err *err)
{
    uint8_t bytes[PAGE_SIZE];
    uint64_t page;

    /* The kernel that machine_new() loaded is not part of the saved memory. */
    for (unsigned i = 0; i < m->gmem->n_regions; i++) {
        const struct gmem_region *g = &m->gmem->region[i];
        if (g->kind == GMEM_RAM &&
            fallocate(m->gmem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)g->fd_off,
                      (off_t)g->size) < 0)
            return err_errno(err, errno, "cannot clear guest memory");
    }
    for (;;) {
        if (!get(f, &page, sizeof page))
            return err_set(err, EBADMSG, "the file ends among the pages");
        if (page == PAGES_END)
            return 0;
        if (page > GMEM_SPAN >> PAGE_SHIFT || !get(f, bytes, sizeof bytes) ||
            gmem_write(m->gmem, GPA(page << PAGE_SHIFT), bytes, sizeof bytes) < 0)
            return err_set(err, EBADMSG, "page %#llx is cut off or lies outside of memory",
                           (unsigned long long)page);
    }
}

static int load_vp(struct machine *m, unsigned i, struct bytes *from, struct err *err)
{
    struct vp_state *s = calloc(1, sizeof *s);
    char name[16];
    int r;

    if (!s)
        return err_set(err, ENOMEM, "out of memory");
    snprintf(name, sizeof name, "vp%u", i);
    r = state_load(from, name, &vp_state_desc, s, err);
    if (r == 0)
        r = vp_set_state(partition_vp(m->part, i), s, err);
    free(s);
    return r;
}

static int load_state(struct machine *m, struct bytes *from, struct err *err)
{
    struct machine_state s;
    int r = state_load(from, "machine", &machine_state_desc, &s, err);

    if (r < 0)
        return r;
    if (s.memory != m->cfg.memory || s.n_vps != m->cfg.n_vps)
        return err_set(err, EINVAL,
                       "it is of a machine with %llu MiB and %u VPs, this one has %llu and %u",
                       (unsigned long long)(s.memory / MIB), s.n_vps,
                       (unsigned long long)(m->cfg.memory / MIB), m->cfg.n_vps);
    memcpy(m->uuid, s.uuid, sizeof m->uuid);
    clock_set_ns(&m->clock, s.now_ns);
    m->tsc_at_pause = s.tsc;
    partition_set_tsc(m->part, s.tsc);
    for (unsigned i = 0; i < m->cfg.n_vps && r == 0; i++)
        r = load_vp(m, i, from, err);
    if (r == 0)
        r = mainboard_load(&m->board, from, err);
    if (r == 0)
        r = storage_load(&m->storage, from, err);
    if (r == 0)
        r = hv_load(m->hv, from, err);
    if (r == 0)
        r = vmbus_load(m->bus, from, err);
    if (r == 0 && from->n)
        r = err_set(err, EBADMSG, "%zu bytes of state that nobody knows", from->n);
    return r;
}

static int read_head(FILE *f, struct save_head *ret, struct err *err)
{
    if (!get(f, ret, sizeof *ret) || memcmp(ret->magic, SAVE_MAGIC, sizeof ret->magic) != 0)
        return err_set(err, EBADMSG, "not a saved machine");
    if (ret->version != SAVE_VERSION || ret->flags & ~SAVE_BIOS)
        return err_set(err, ENOTSUP, "format version %u, this program knows %u", ret->version,
                       SAVE_VERSION);
    return 0;
}

int saved_has_bios(const char *path, bool *ret, struct err *err)
{
    FILE *f = fopen(path, "re");
    struct save_head head;

    if (!f)
        return err_errno(err, errno, "'%s'", path);
    int r = read_head(f, &head, err);
    fclose(f);
    if (r < 0)
        return err_wrap(err, "'%s'", path);
    *ret = head.flags & SAVE_BIOS;
    return 0;
}

static int read_file(struct machine *m, FILE *f, struct err *err)
{
    struct save_head head;
    int r = read_head(f, &head, err);

    if (r < 0)
        return r;
    if ((head.flags & SAVE_BIOS) != (m->uses_bios ? SAVE_BIOS : 0))
        return err_set(err, EINVAL, "it started %s", m->uses_bios ? "from a kernel" : "by its BIOS");
    if (head.state_size > SAVE_STATE_MAX)
        return err_set(err, EBADMSG, "%llu bytes of state: at most %llu are possible",
                       (unsigned long long)head.state_size, (unsigned long long)SAVE_STATE_MAX);
    AUTO(free_p) uint8_t *p = malloc(head.state_size + 1);
    if (!p)
        return err_set(err, ENOMEM, "out of memory");
    if (!get(f, p, head.state_size))
        return err_set(err, EBADMSG, "the file ends inside the state");
    r = load_pages(m, f, err);
    struct bytes from = bytes_of(p, head.state_size);
    return r < 0 ? r : load_state(m, &from, err);
}

int machine_restore(struct machine *m, const char *path, struct err *err)
{
    FILE *f = fopen(path, "re");
    int r;

    if (!f)
        return err_errno(err, errno, "'%s'", path);
    r = m->started ? err_set(err, EBUSY, "the machine has run already") : read_file(m, f, err);
    fclose(f);
    return r < 0 ? err_wrap(err, "'%s'", path) : 0;
}
