/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lockstep_show.c - what differed, for who mends the translator: the block, its guest and host code,
 * registers before and behind, memory.
 * Called: lockstep.c, when the interpreter has run on the copies. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cpu/soft/lockstep_private.h"
#include "cpu/soft/ops.h"

#define RANGES_MAX 16 /* of memory */

static void code_line(void *arg, uint64_t at, const char *text)
{
    log_error("  %12" PRIx64 "  %s", at, text);
}

static void show_word(const char *name, uint64_t before, uint64_t host, uint64_t ref)
{
    log_error("%c %-10s %16" PRIx64 "  %16" PRIx64 "  %16" PRIx64, host == ref ? ' ' : '*', name, before,
              host, ref);
}

/* As rflags: the arithmetic ones of a block, and the others. */
static uint64_t flags_of(const struct lock_state *s)
{
    uint64_t f = s->lazy[LAZY_FLAGS];

    return (s->rflags & ~(uint64_t)F_ARITH) | (f >> 8 & (F_ARITH & 0xff)) | (f & 1) << 11;
}

static void show_bytes(const char *name, unsigned i, const uint8_t *before, const uint8_t *host,
                       const uint8_t *ref, unsigned n)
{
    if (memcmp(host, ref, n) == 0)
        return;
    for (unsigned k = 0; k < n; k += 8) {
        uint64_t v[3] = { 0 };
        char word[32];

        memcpy(&v[0], before + k, MIN(8, n - k));
        memcpy(&v[1], host + k, MIN(8, n - k));
        memcpy(&v[2], ref + k, MIN(8, n - k));
        snprintf(word, sizeof word, "%s%u.%u", name, i, k / 8);
        show_word(word, v[0], v[1], v[2]);
    }
}

static void show_state(const struct lockstep *l)
{
    static const char *const names[GPRS] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                             "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

    const struct lock_state *a = &l->before, *h = &l->host, *r = &l->ref;

    for (unsigned i = 0; i < GPRS; i++)
        show_word(names[i], a->gpr[i], h->gpr[i], r->gpr[i]);
    show_word("flags", flags_of(a), flags_of(h), flags_of(r));
    if (l->undefined)
        log_error("  undefined  %16x", l->undefined);
    show_word("gs base", a->seg_base[SEG_GS], h->seg_base[SEG_GS], r->seg_base[SEG_GS]);
    show_word("mxcsr", a->host_mxcsr, h->host_mxcsr, r->host_mxcsr);
    for (unsigned i = 0; i < 16; i++)
        show_bytes("ymm", i, a->ymm[i], h->ymm[i], r->ymm[i], 32);
    if (!a->live)
        return;
    show_bytes("x87 words", 0, a->x87, h->x87, r->x87, 5);
    for (unsigned i = 0; i < 8; i++)
        show_bytes("st", i, a->x87 + 32 + i * 16, h->x87 + 32 + i * 16, r->x87 + 32 + i * 16, 10);
    show_word("x87 ip", a->fip, h->fip, r->fip);
    show_word("x87 dp", a->fdp, h->fdp, r->fdp);
    show_word("x87 op", a->fop, h->fop, r->fop);
}

static void show_memory(const struct soft_vp *vp, const struct lockstep *l, bool other)
{
    unsigned n = 0;

    if (l->missed != UINT64_MAX && !other)
        log_error("* the interpreter accesses %#" PRIx64 " in a way that host code did not", l->missed);
    for (unsigned i = 0; i < l->n_pages; i++) {
        const uint8_t *h, *r;
        uint64_t gpa = (uint64_t)(l->page[i].real - vp->soft->gmem->base);

        log_error("  page at gpa %#" PRIx64 ": %s", gpa, l->page[i].written ? "written" : "read");
        lock_mem_sides(l, i, &h, &r);
        for (unsigned k = 0; k < PAGE_SIZE && l->page[i].written; k += 8) {
            char name[16];

            if (memcmp(h + k, r + k, 8) == 0 || ++n > RANGES_MAX)
                continue;
            snprintf(name, sizeof name, "+%#x", k);
            show_word(name, load_n(l->old[i] + k, 8), load_n(h + k, 8), load_n(r + k, 8));
        }
    }
}

void lock_show(struct soft_vp *vp, bool raised)
{
    const struct lockstep *l = vp->lockstep;
    const struct block *b = block_of(l->entry);
    const struct jit *j = vp->soft->code->jit;
    const char *what = l->distance == INT64_MAX ? NULL : lock_differs(&l->host, &l->ref, l->undefined);

    log_error("lock-step: VP %u: host code differs from the interpreter: %s", vp->vp.index,
              raised && l->missed == UINT64_MAX ? "the interpreter faults" :
              l->distance == INT64_MAX          ? "it does not come there" :
              what                              ? what :
                                                  "memory");
    log_error("block at gpa %#" PRIx64 ", RIP %#" PRIx64 ", mode %#x, entered at its operation %u; host code "
              "stopped at RIP %#" PRIx64 "%s", l->key >> 12, l->before.block_rip,
              (unsigned)l->key & 0xfff, l->entry->idx, l->host_rip, l->host_side ? ", by a side exit" : "");
    log_error("guest code");
    jit_list_guest(b, (uint32_t)l->key & 0xfff, l->before.block_rip, code_line, NULL);
    log_error("host code from where it was entered");
    jit_list(true, jit_entry(j, l->entry), jit_size(l->entry), (uintptr_t)jit_entry(j, l->entry), code_line,
             NULL);
    log_error("  %-10s %16s  %16s  %16s", "", "before", "host code", "interpreter");
    show_state(l);
    show_memory(vp, l, what);
}
