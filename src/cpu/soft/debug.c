/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debug.c - debug registers: breakpoints and the single-step trap.
 *
 * Source: Intel SDM 3B 17.2-17.3.  Traps are collected in vp->debug_hits and raised when their
 * instruction is done; MOV SS holds them back for one instruction more (on Intel it suppresses code
 * breakpoints, too).  A #DB replaces B0-B3 of DR6 and adds to the other bits. */
#include "cpu/soft/sys.h"

#define DR6_B  UINT64_C(0xf)
#define DR6_BS (1u << 14)

/* kind: the R/W field of DR7. */
static unsigned dr7_kind(uint64_t dr7, unsigned n)
{
    return dr7 >> (16 + 4 * n) & 3;
}

static unsigned dr7_len(uint64_t dr7, unsigned n)
{
    static const uint8_t len[] = { 1, 2, 8, 4 };

    return len[dr7 >> (18 + 4 * n) & 3];
}

static bool dr7_enabled(uint64_t dr7, unsigned n)
{
    return dr7 >> (2 * n) & 3;
}

bool debug_armed(const struct soft_vp *vp, unsigned kind)
{
    if (!(vp->dr[7] & 0xff))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        if (dr7_enabled(vp->dr[7], n) && dr7_kind(vp->dr[7], n) == kind)
            return true;
    }
    return false;
}

static void set_dr6(struct soft_vp *vp, uint32_t hits)
{
    vp->dr[6] = (vp->dr[6] & ~DR6_B) | hits;
}

void debug_merge(struct soft_vp *vp)
{
    if (vp->debug_hits)
        set_dr6(vp, vp->debug_hits);
    vp->debug_hits = 0;
}

bool debug_trap(struct soft_vp *vp)
{
    if (vp->shadow == 2) {
        vp->step = false;
        return false;
    }
    if (vp->step)
        vp->debug_hits |= DR6_BS;
    vp->step = false;
    if (!vp->debug_hits)
        return false;
    set_dr6(vp, vp->debug_hits);
    vp->debug_hits = 0;
    vp->event = (struct event){ .vector = EXC_DB, .type = EVENT_EXC };
    vp->event_valid = true;
    return true;
}

bool debug_code_break(struct soft_vp *vp, uint64_t va)
{
    uint64_t dr7 = vp->dr[7];
    uint32_t hits = 0;

    if ((vp->rflags & F_RF) || (vp->shadow == 2 && !vp->feature.amd))
        return false;
    for (unsigned n = 0; n < 4; n++) {
        if (dr7_enabled(dr7, n) && dr7_kind(dr7, n) == 0 && vp->dr[n] == va)
            hits |= 1u << n;
    }
    if (!hits)
        return false;
    set_dr6(vp, hits | vp->debug_hits);
    vp->debug_hits = 0;
    return true;
}

/* Does [at, at + size) touch breakpoint n, which covers its naturally aligned length? */
static bool touches(const struct soft_vp *vp, unsigned n, uint64_t at, unsigned size)
{
    unsigned len = dr7_len(vp->dr[7], n);
    uint64_t start = vp->dr[n] & ~(uint64_t)(len - 1);

    return at < start + len && start < at + size;
}

void debug_data_access(struct soft_vp *vp, uint64_t va, unsigned size, bool write)
{
    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = dr7_kind(vp->dr[7], n);

        if (dr7_enabled(vp->dr[7], n) && (kind == 3 || (kind == 1 && write)) &&
            touches(vp, n, va, size))
            vp->debug_hits |= 1u << n;
    }
}

void debug_io_access(struct soft_vp *vp, uint16_t port, unsigned size)
{
    if (!(vp->cr4 & CR4_DE) || !(vp->dr[7] & 0xff))
        return;
    for (unsigned n = 0; n < 4; n++) {
        if (dr7_enabled(vp->dr[7], n) && dr7_kind(vp->dr[7], n) == 2 && touches(vp, n, port, size))
            vp->debug_hits |= 1u << n;
    }
}
