/* SPDX-License-Identifier: GPL-2.0-or-later */
/* soft.h - threads of the soft engine: safe points, sleeping, rendezvous (soft.c).
 *
 * A VP is at a safe point between blocks, in an exit, asleep, or outside vp_run(): there it holds no
 * host pointer into guest memory, uses no TLB entry, and has no block pointer it will go on with. */
#pragma once

#include "cpu/soft/cpu.h"

/* The run loop's business at a safe point while vp->attention is not 0: rendezvous, deadlines, INIT,
 * SIPI.  What event_pick() handles (ATT_IRQ, ATT_NMI) stays set.  true: vp_run() shall return. */
bool soft_attend(struct soft_vp *vp);

/* The run loop calls this between blocks, at least every SOFT_POLL_INSNS instructions: a running VP
 * notices its own timers by the host's TSC, so that nobody has to signal it.  Due: ATT_DEADLINE. */
#define SOFT_POLL_INSNS 16384
void soft_poll_due(struct soft_vp *vp);

static inline void soft_poll(struct soft_vp *vp)
{
    if (unlikely(__builtin_ia32_rdtsc() >= vp->poll_tsc))
        soft_poll_due(vp);
}

/* A timer of this VP was set or stopped (own thread, or nobody runs it): poll_tsc is worked out anew. */
void soft_timers_changed(struct soft_vp *vp);

/* PAUSE, at a block's end (a safe point): gives the host CPU away when the guest spins for long. */
void soft_pause(struct soft_vp *vp);

/* Remember what the VP left the engine for; vp_death() lists the last of them.  'what' lives for ever. */
void soft_note_exit(struct soft_vp *vp, const char *what, uint64_t where);

/* HLT, or waiting for INIT/SIPI: sleep until attention; the own timers end the sleep as well. */
void soft_sleep(struct soft_vp *vp);

/* Around every call that leaves the engine (exits) or may wait: others need not wait for us. */
void soft_leave(struct soft_vp *vp);
void soft_enter(struct soft_vp *vp);

/* Run 'fn' for each VP in 'mask' while all of them stand at safe points, then return; always on the
 * caller's thread.  The caller is at a safe point itself while it waits: it holds no lock that a
 * running VP may want, and no TLB pointer survives the call.  May be called in an exit. */
void soft_rendezvous(struct soft_vp *vp, uint64_t mask,
                     void (*fn)(struct soft_vp *target, void *arg), void *arg);
/* The same for any thread, with vp NULL when it is no VP of this partition, or one in an exit. */
void soft_rendezvous_from(struct soft *s, struct soft_vp *vp, uint64_t mask,
                          void (*fn)(struct soft_vp *target, void *arg), void *arg);

/* Stop all other VPs at safe points, and let them go (locked accesses that cross pages).  Stopping is
 * a safe point of the caller, and nests. */
void soft_stop_others(struct soft_vp *vp);
void soft_resume_others(struct soft_vp *vp);

/* Set attention and wake a sleeper.  Any thread. */
void soft_notify(struct soft_vp *vp, enum attention what);

/* run.c: until soft_attend() says so, triple fault or failure. */
enum vp_stop run_loop(struct soft_vp *vp);
int run_init(struct soft_vp *vp);
void run_done(struct soft_vp *vp);

/* block.c: the partition's cache of decoded blocks. */
int code_cache_new(struct soft *s);
void code_cache_free(struct soft *s);
/* gmem->code_written: a device or the loader wrote [at, at + len).  Any thread, VPs may run. */
void code_written_by_device(void *soft, gpa_t at, uint64_t len);
