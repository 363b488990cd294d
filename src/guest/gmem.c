/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gmem.c - see gmem.h. */
#include "guest/gmem.h"

#include <errno.h>
#include <sys/mman.h>

#define VGA_START UINT64_C(0xa0000)
#define VGA_END   UINT64_C(0xc0000)

static int map_region(struct gmem *m, uint64_t gpa, uint64_t size, uint64_t fd_off,
                      enum gmem_kind kind, struct err *err)
{
    if (m->n_regions == GMEM_REGIONS_MAX)
        return err_set(err, ENOSPC, "guest memory: more than %u regions", GMEM_REGIONS_MAX);
    if (mmap(m->base + gpa, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
             m->fd, (off_t)fd_off) == MAP_FAILED)
        return err_errno(err, errno, "guest memory: cannot map %llu MiB",
                         (unsigned long long)(size / MIB));
    m->region[m->n_regions++] = (struct gmem_region){ gpa, size, fd_off, kind };
    return 0;
}

static int map_all(struct gmem *m, struct err *err)
{
    uint64_t size = m->ram_size, low = MIN(size, GMEM_HOLE_START);
    int r;

    m->fd = memfd_create("verdin-guest-ram", MFD_CLOEXEC);
    if (m->fd < 0 || ftruncate(m->fd, (off_t)size) < 0)
        return err_errno(err, errno, "guest memory of %llu MiB",
                         (unsigned long long)(size / MIB));
    /* Address space only; pages come when they are touched. */
    m->base = mmap(NULL, GMEM_SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->base == MAP_FAILED) {
        m->base = NULL;
        return err_errno(err, errno, "guest memory: cannot reserve address space");
    }
    m->flags = mmap(NULL, GMEM_SPAN / PAGE_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->flags == MAP_FAILED) {
        m->flags = NULL;
        return err_errno(err, errno, "guest memory: cannot map page flags");
    }
    r = map_region(m, 0, VGA_START, 0, GMEM_RAM, err);
    if (r == 0)
        r = map_region(m, VGA_END, low - VGA_END, VGA_END, GMEM_RAM, err);
    if (r == 0 && size > low)
        r = map_region(m, GMEM_HOLE_END, size - low, low, GMEM_RAM, err);
    return r;
}

int gmem_new(uint64_t size, struct gmem **ret, struct err *err)
{
    struct gmem *m;
    int r;

    if (size < MIB || size > GMEM_SIZE_MAX || size % PAGE_SIZE)
        return err_set(err, EINVAL,
                       "guest memory of %llu bytes: whole pages of %u, from 1 MiB to %u GiB",
                       (unsigned long long)size, (unsigned)PAGE_SIZE,
                       (unsigned)(GMEM_SIZE_MAX / GIB));
    m = calloc(1, sizeof *m);
    if (!m)
        return err_set(err, ENOMEM, "out of memory");
    m->fd = -1;
    m->ram_size = size;
    r = map_all(m, err);
    if (r < 0) {
        gmem_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

void gmem_free(struct gmem *m)
{
    if (!m)
        return;
    if (m->base)
        munmap(m->base, GMEM_SPAN);
    if (m->flags)
        munmap(m->flags, GMEM_SPAN / PAGE_SIZE);
    close_fd_p(&m->fd);
    free(m);
}

void gmem_populate(struct gmem *m, uint64_t page)
{
    uint64_t first = page & ~(GMEM_PIECE / PAGE_SIZE - 1);

    __atomic_fetch_or(&m->flags[first], GMEM_TOUCHED, __ATOMIC_RELAXED);
    /* Where it fails (old kernels, the end of a region) faults do it. */
    madvise(m->base + first * PAGE_SIZE, GMEM_PIECE, MADV_POPULATE_WRITE);
}

/* Cut [gpa, gpa + size) out of the region that wholly holds it, if one does. */
static void carve(struct gmem *m, uint64_t gpa, uint64_t size)
{
    for (unsigned i = 0; i < m->n_regions; i++) {
        struct gmem_region *g = &m->region[i], old = *g;

        if (gpa < old.gpa || !range_ok(gpa - old.gpa, size, old.size))
            continue;
        uint64_t head = gpa - old.gpa, tail = old.size - head - size;
        struct gmem_region rest = { gpa + size, tail, old.fd_off + head + size, old.kind };
        if (head)
            g->size = head;
        else
            *g = m->region[--m->n_regions];
        if (tail)
            m->region[m->n_regions++] = rest;
        return;
    }
}

int gmem_add_rom(struct gmem *m, gpa_t at, const void *image, uint64_t size, struct err *err)
{
    uint64_t len = ALIGN_UP(size, PAGE_SIZE);
    off_t end = lseek(m->fd, 0, SEEK_END);
    int r;

    if (at.v % PAGE_SIZE || !size || !range_ok(at.v, len, GMEM_SPAN))
        return err_set(err, EINVAL, "ROM of %llu bytes at %#llx: starts on a page, lies below %#llx",
                       (unsigned long long)size, (unsigned long long)at.v,
                       (unsigned long long)GMEM_SPAN);
    if (m->n_regions + 2 > GMEM_REGIONS_MAX)
        return err_set(err, ENOSPC, "guest memory: more than %u regions", GMEM_REGIONS_MAX);
    if (end < 0 || ftruncate(m->fd, end + (off_t)len) < 0)
        return err_errno(err, errno, "ROM of %llu bytes", (unsigned long long)size);
    carve(m, at.v, len);
    r = map_region(m, at.v, len, (uint64_t)end, GMEM_ROM, err);
    if (r == 0)
        memcpy(m->base + at.v, image, size);
    return r;
}

const struct gmem_region *gmem_region_at(const struct gmem *m, gpa_t at)
{
    for (unsigned i = 0; i < m->n_regions; i++)
        if (at.v - m->region[i].gpa < m->region[i].size)
            return &m->region[i];
    return NULL;
}

bool gmem_is_ram(const struct gmem *m, gpa_t at, uint64_t len)
{
    if (!len)
        return false;
    while (len) { /* regions may touch: go on in the next one */
        const struct gmem_region *g = gmem_region_at(m, at);
        if (!g)
            return false;
        uint64_t here = MIN(len, g->size - (at.v - g->gpa));
        at.v += here;
        len -= here;
    }
    return true;
}

void *gmem_host(const struct gmem *m, gpa_t at, uint64_t len)
{
    return gmem_is_ram(m, at, len) ? m->base + at.v : NULL;
}

int gmem_read(const struct gmem *m, gpa_t from, void *to, size_t len)
{
    if (!gmem_is_ram(m, from, len))
        return -EFAULT;
    memcpy(to, m->base + from.v, len);
    return 0;
}

void gmem_wrote(struct gmem *m, gpa_t at, uint64_t len)
{
    bool code = false;

    if (!len)
        return;
    for (uint64_t page = at.v >> PAGE_SHIFT; page <= (at.v + len - 1) >> PAGE_SHIFT; page++) {
        code |= (__atomic_load_n(&m->flags[page], __ATOMIC_SEQ_CST) & GMEM_CODE) != 0;
        if (__atomic_load_n(&m->track_dirty, __ATOMIC_RELAXED))
            __atomic_fetch_or(&m->flags[page], GMEM_DIRTY, __ATOMIC_RELAXED);
    }
    if (code && m->code_written)
        m->code_written(m->engine, at, len);
}

int gmem_write(struct gmem *m, gpa_t to, const void *from, size_t len)
{
    if (!gmem_is_ram(m, to, len))
        return -EFAULT;
    memcpy(m->base + to.v, from, len);
    gmem_wrote(m, to, len);
    return 0;
}

int gmem_zero(struct gmem *m, gpa_t at, size_t len)
{
    if (!gmem_is_ram(m, at, len))
        return -EFAULT;
    memset(m->base + at.v, 0, len);
    gmem_wrote(m, at, len);
    return 0;
}

void gmem_track_dirty(struct gmem *m, bool on)
{
    __atomic_store_n(&m->track_dirty, on, __ATOMIC_SEQ_CST);
}

bool gmem_dirty_take(struct gmem *m, uint64_t page)
{
    return (__atomic_fetch_and(&m->flags[page], (uint8_t)~GMEM_DIRTY, __ATOMIC_SEQ_CST) &
            GMEM_DIRTY) != 0;
}
