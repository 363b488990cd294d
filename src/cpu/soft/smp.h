/* SPDX-License-Identifier: GPL-2.0-or-later */
/* smp.h - whole machines of some VPs for tests, through engine.h: guests of a few instructions.
 *
 * Memory is mapped one to one, supervisor, by 1 GiB pages; guests start in long mode at CODE_AT with
 * RBX = DATA_AT, R12 = the VP's number, RSP = a stack of 4 KiB of its own, and say that they are done by
 * OUT to DONE_PORT, which ends vp_run(). */
#pragma once

#include <pthread.h>

#include "cpu/engine.h"

#ifndef TEST_MODE /* meson.build makes one program for each */
#define TEST_MODE SOFT_DEFAULT
#endif

#define RAM       (16 * MIB)
#define PML4_AT   0x1000
#define PDPT_AT   0x2000
#define IDT_AT    0x4000
#define GDT_AT    0x5000
#define CODE_AT   0x10000
#define DATA_AT   UINT64_C(0x20000)
#define STACKS_AT 0x80000
#define DONE_PORT 0x80
#define SMP_MAX   4

struct machine {
    struct gmem *mem;
    struct clock clock;
    struct partition *p;
    uint64_t done; /* VPs that said so; any thread */
    pthread_t thread[SMP_MAX];
    struct runner {
        struct machine *m;
        struct vp *vp;
        enum vp_stop stop;
    } runner[SMP_MAX];
};

struct machine *machine_new(unsigned n_vps, enum soft_mode mode);
void machine_free(struct machine *m);

void machine_put64(struct machine *m, uint64_t at, uint64_t v);
uint64_t machine_get64(struct machine *m, uint64_t at);

/* The guest's code, page tables, and gates of vectors 0x40 and 0x41 to 'handler'. */
void machine_prepare(struct machine *m, const uint8_t *code, const uint8_t *end, uint64_t handler);
void machine_gate(struct machine *m, unsigned vector, uint64_t handler);
void machine_start(struct machine *m, unsigned index, uint64_t rcx, uint64_t rdx);

/* VPs 0 .. n-1 run on threads of their own, until they are done or kicked. */
void machine_go(struct machine *m, unsigned n);
void machine_join(struct machine *m, unsigned n);
