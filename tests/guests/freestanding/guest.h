/* SPDX-License-Identifier: GPL-2.0-or-later */
/* guest.h - what the freestanding test guests share: they check the CPU from inside.
 *
 * A guest is one C file with guest_main(), linked with start32.S or start64.S and lib.c.  It boots
 * by multiboot, owns the whole machine, prints TAP to COM1 and ends by the exit port 0xf4 (0: all
 * passed). All memory below 1 GiB is identity-mapped for user and supervisor in the 64-bit guests;
 * the 32-bit guests start without paging. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long word;

/* ---- selectors (start*.S: gdt) --------------------------------------------------------------- */
enum {
    KCODE = 0x08, KDATA = 0x10, KCODE32 = 0x18, UCODE32 = 0x23, UDATA = 0x2b, UCODE64 = 0x33,
    CODE16 = 0x38, DATA16 = 0x40, TSS_SEL = 0x48, FREE_SEL = 0x58, /* .. 0xf8 */
};
extern uint64_t gdt[32];
extern uint8_t tss[0x2080];
extern uint64_t idt[512];
extern uint8_t stack_top[], user_stack_top[], df_stack_top[];

/* ---- output ---------------------------------------------------------------------------------- */
void print(const char *text);
void print_hex(uint64_t v);
void check_at(const char *file, int line, const char *what, bool ok);
void check_eq_at(const char *file, int line, const char *what, uint64_t a, uint64_t b);
#define CHECK(cond)       check_at(__FILE__, __LINE__, #cond, cond)
#define CHECK_EQ(a, b)    check_eq_at(__FILE__, __LINE__, #a, (uint64_t)(a), (uint64_t)(b))
#define TEST(name)        static void name(void)
/* Runs one test: a TAP line. */
void run_test(const char *name, void (*fn)(void));
#define RUN(name) run_test(#name, name)
_Noreturn void guest_exit(unsigned code);
void guest_main(void);

/* ---- faults ---------------------------------------------------------------------------------- */
enum { NONE = 0x100 };

/* The last exception that fault_of() caught. */
struct frame {
    word gpr[sizeof(word) == 8 ? 15 : 8]; /* in the order of the stub's pushes */
    word vector, error, ip, cs, flags, sp, ss;
};
struct fault {
    word vector, error, ip, cs, flags, sp, ss, cr2;
};
extern struct fault fault;

/* Call fn(arg); the vector of the exception that ended it, or NONE. */
unsigned fault_of(void (*fn)(word), word arg);
/* The same at CPL 3, on the user stack.  fn must not touch what user code may not. */
unsigned user_fault_of(void (*fn)(word), word arg);
/* Called for every exception that is not caught by the above; may be replaced. */
extern void (*on_exception)(struct frame *f);
/* Vectors 0x80 .. 0xfe, also inside fault_of(); NULL: they are exceptions like the others. */
extern void (*interrupts)(struct frame *f);

void set_gate(unsigned vector, unsigned sel, word to, unsigned type_attr, unsigned ist);
extern uint8_t stub_table[]; /* 16 bytes a vector */

/* ---- instructions ---------------------------------------------------------------------------- */
static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t v;

    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}
#define DEFINE_REG(name, reg)                                          \
    static inline word read_##name(void)                               \
    {                                                                  \
        word v;                                                        \
                                                                       \
        __asm__ volatile("mov %%" reg ", %0" : "=r"(v)::"memory");     \
        return v;                                                      \
    }                                                                  \
    static inline void write_##name(word v)                            \
    {                                                                  \
        __asm__ volatile("mov %0, %%" reg ::"r"(v) : "memory");        \
    }
DEFINE_REG(cr0, "cr0")
DEFINE_REG(cr2, "cr2")
DEFINE_REG(cr3, "cr3")
DEFINE_REG(cr4, "cr4")
DEFINE_REG(dr0, "dr0")
DEFINE_REG(dr6, "dr6")
DEFINE_REG(dr7, "dr7")
DEFINE_REG(ds, "ds")
DEFINE_REG(es, "es")
DEFINE_REG(ss, "ss")

static inline void invlpg(word va)
{
    __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}
static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(sub));
}
static inline word flags(void)
{
    word v;

    __asm__ volatile("pushf; pop %0" : "=r"(v)::"memory");
    return v;
}
