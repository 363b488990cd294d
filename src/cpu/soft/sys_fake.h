/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_fake.h - a VP on flat memory without paging, for the unit tests of the system files.
 *
 * Faults arrive as values: run() executes one instruction and says how it ended. */
#pragma once

#include "base/test.h"
#include "cpu/soft/seg.h"
#include "cpu/soft/sys.h"
#include "cpu/soft/sys_insn.h"

#define FAKE_SIZE 0x80000u

struct fake {
    struct soft soft;
    struct soft_vp *vp;
    uint8_t mem[FAKE_SIZE];
    uint32_t bad_page;     /* accesses to this page raise #PF; 0: none */
    uint64_t cr3_set;      /* last mmu_set_cr3() */
    unsigned flushes;
    int pending;           /* lapic_pending() */
    int extint;            /* pic_ack() */
    uint32_t port_value, port_size; /* last OUT */
    uint16_t port;
};
extern struct fake fake;

/* Fixed places in memory. */
enum { GDT = 0x1000, IDT = 0x2000, LDT = 0x3000, TSS = 0x4000, TSS2 = 0x5000, CODE = 0x6000,
       STACK0 = 0x9000, STACK3 = 0xa000, DATA = 0xb000 };

enum machine { REAL, PROT32, LONG64, COMPAT32 };
void fake_init(enum machine m, unsigned cpl);

uint64_t peek(uint64_t va, unsigned size);
void poke(uint64_t va, unsigned size, uint64_t v);

/* Descriptors: attr as in struct desc (G added for limits that need it). */
void put_desc(unsigned sel, uint64_t base, uint32_t limit, unsigned attr);
void put_gate(uint64_t at, unsigned sel, uint64_t off, unsigned type, unsigned dpl, unsigned extra);

/* Selectors that fake_init() makes; flat. */
enum {
    S_CODE0 = 0x08, S_DATA0 = 0x10, S_CODE3 = 0x1b, S_DATA3 = 0x23, S_CONF0 = 0x28, S_TSS = 0x30,
    S_LDT = 0x40, S_CODE64 = 0x50, S_CODE64_3 = 0x5b, S_CODE1 = 0x61, S_DATA1 = 0x69,
    S_FREE = 0x80, /* up to 0xf8: the tests' own */
};

/* Code, data ... with P and S. */
#define A_CODE  (ATTR_P | ATTR_S | 0xa | ATTR_DB)
#define A_DATA  (ATTR_P | ATTR_S | 0x2 | ATTR_DB)
#define A_DPL(n) ((n) << 5)

#define NO_FAULT 0x1000
/* One instruction at CS:CODE; the vector of its fault, or NO_FAULT.  Its error code:
 * fault_error(). */
unsigned run(const char *hex);
unsigned fault_error(void);
/* Deliver an event at vp->rip; false: triple fault. */
bool deliver_event(uint8_t vector, enum event_type type, int error);
