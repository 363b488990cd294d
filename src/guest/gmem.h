/* SPDX-License-Identifier: GPL-2.0-or-later */
/* gmem.h - guest memory: the one door to it.
 *
 * All guest RAM is one memfd, mapped into one reserved range of the worker so that the host
 * address of a guest-physical address is base + gpa.  What no region claims is not backed and
 * belongs to the MMIO bus.  Regions are added before VPs run and stay.
 *
 * Copies in and out may run on any thread, concurrently with VPs: like a device's DMA they are
 * not atomic as a whole.
 *
 * Each page has a byte of flags.  GMEM_DIRTY collects writes of devices and VPs since the last
 * gmem_dirty_take(), while tracking is on.  GMEM_CODE says that the soft engine holds decoded
 * code of the page; a writer that is no VP then tells the engine through 'code_written'. */
#pragma once

#include "base/err.h"
#include "guest/gpa.h"

#define GMEM_SIZE_MAX    (64 * GIB)          /* RAM of one VM */
#define GMEM_HOLE_START  (3 * GIB)           /* PCI hole: [3 GiB, 4 GiB) */
#define GMEM_HOLE_END    (4 * GIB)
#define GMEM_SPAN        (GMEM_SIZE_MAX + GMEM_HOLE_END - GMEM_HOLE_START)
#define GMEM_REGIONS_MAX 8

enum gmem_flag {
    GMEM_DIRTY = 1,
    GMEM_CODE = 2,
    GMEM_TOUCHED = 4, /* of the first page of a piece: gmem_touch() has seen it */
};
#define GMEM_PIECE (64 * KIB) /* comes from the host at once */

enum gmem_kind { GMEM_RAM, GMEM_ROM }; /* ROM: VPs read and execute, their writes are dropped */

struct gmem_region {
    uint64_t gpa, size; /* multiples of PAGE_SIZE */
    uint64_t fd_off;    /* in the memfd */
    enum gmem_kind kind;
};

struct gmem {
    uint8_t *base;  /* host address of gpa 0; only regions are mapped */
    uint8_t *flags; /* one byte a page of GMEM_SPAN, all of it addressable */
    uint64_t ram_size;
    int fd;
    struct gmem_region region[GMEM_REGIONS_MAX];
    unsigned n_regions;
    uint32_t track_dirty;
    /* Set by the soft engine before VPs run; any thread calls it. */
    void (*code_written)(void *engine, gpa_t at, uint64_t len);
    void *engine;
};

/* RAM of 'size' bytes: [0, 640 KiB), [768 KiB, 3 GiB) and the rest from 4 GiB on.  The range
 * [640 KiB, 768 KiB) is a hole (VGA). */
int gmem_new(uint64_t size, struct gmem **ret, struct err *err);
void gmem_free(struct gmem *m);

/* A ROM of its own pages, filled with 'size' bytes from 'image'.  May cover RAM pages. */
int gmem_add_rom(struct gmem *m, gpa_t at, const void *image, uint64_t size, struct err *err);

/* Is every byte of [at, at + len) RAM (or ROM)?  Nothing (len 0) is. */
bool gmem_is_ram(const struct gmem *m, gpa_t at, uint64_t len);

/* Region that holds the byte 'at', or NULL. */
const struct gmem_region *gmem_region_at(const struct gmem *m, gpa_t at);

/* 0 or -EFAULT when not all of it is RAM; then nothing was copied. */
int gmem_read(const struct gmem *m, gpa_t from, void *to, size_t len);
int gmem_write(struct gmem *m, gpa_t to, const void *from, size_t len);
int gmem_zero(struct gmem *m, gpa_t at, size_t len);

/* The host address of [at, at + len), or NULL when not all of it is RAM.  Valid as long as 'm'.
 * Whoever writes through it calls gmem_wrote() afterwards. */
void *gmem_host(const struct gmem *m, gpa_t at, uint64_t len);
void gmem_wrote(struct gmem *m, gpa_t at, uint64_t len);

/* A VP goes to this RAM page for the first time in a while: take the pages around it from the host by one
 * call and not by a fault each, if that was not done before. */
void gmem_populate(struct gmem *m, uint64_t page);
static inline void gmem_touch(struct gmem *m, uint64_t page)
{
    if (unlikely(!(__atomic_load_n(&m->flags[page & ~(GMEM_PIECE / PAGE_SIZE - 1)],
                                   __ATOMIC_RELAXED) &
                   GMEM_TOUCHED)))
        gmem_populate(m, page);
}

/* Dirty tracking.  'take' clears the flag of one page and says whether it was set. */
void gmem_track_dirty(struct gmem *m, bool on);
bool gmem_dirty_take(struct gmem *m, uint64_t page);
