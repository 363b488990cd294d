/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lib.c - output, exceptions and descriptor tables of the freestanding guests (guest.h). */
#include "guest.h"

#define COM1 0x3f8

uint64_t idt[512] __attribute__((aligned(16)));
uint8_t tss[0x2080] __attribute__((aligned(4096)));
struct fault fault;
void (*on_exception)(struct frame *f);
void (*interrupts)(struct frame *f);

static unsigned n_tests, n_failed;
static bool test_ok;

/* start*.S */
unsigned try_call(void (*fn)(word), word arg);
unsigned user_try_call(void (*fn)(word), word arg);
void handle_exception(struct frame *f);
extern word try_sp;
_Noreturn void try_failed(unsigned vector);

void print(const char *text)
{
    for (; *text; text++)
        outb(COM1, (uint8_t)*text);
}

void print_hex(uint64_t v)
{
    char text[19], *p = text + sizeof(text) - 1;

    *p = 0;
    do {
        *--p = "0123456789abcdef"[v & 15];
        v >>= 4;
    } while (v);
    *--p = 'x';
    *--p = '0';
    print(p);
}

static void print_dec(unsigned v)
{
    if (v >= 10)
        print_dec(v / 10);
    print((const char[]){ (char)('0' + v % 10), 0 });
}

static void where(const char *file, int line)
{
    test_ok = false;
    print("# ");
    print(file);
    print(":");
    print_dec((unsigned)line);
    print(": ");
}

void check_at(const char *file, int line, const char *what, bool ok)
{
    if (ok)
        return;
    where(file, line);
    print(what);
    print("\n");
}

void check_eq_at(const char *file, int line, const char *what, uint64_t a, uint64_t b)
{
    if (a == b)
        return;
    where(file, line);
    print(what);
    print(" is ");
    print_hex(a);
    print(", not ");
    print_hex(b);
    print("\n");
}

void run_test(const char *name, void (*fn)(void))
{
    test_ok = true;
    n_tests++;
    fn();
    if (!test_ok)
        n_failed++;
    print(test_ok ? "ok " : "not ok ");
    print_dec(n_tests);
    print(" - ");
    print(name);
    print("\n");
}

_Noreturn void guest_exit(unsigned code)
{
    for (;;)
        __asm__ volatile("outl %0, %1" ::"a"(code), "Nd"((uint16_t)0xf4));
}

void handle_exception(struct frame *f)
{
    if (interrupts && f->vector >= 0x80 && f->vector != 0xff) {
        interrupts(f);
        return;
    }
    if (try_sp) {
        fault = (struct fault){ f->vector, f->error, f->ip, f->cs, f->flags, f->sp, f->ss,
                                read_cr2() };
        try_failed((unsigned)f->vector);
    }
    if (on_exception) {
        on_exception(f);
        return;
    }
    print("# exception ");
    print_hex(f->vector);
    print(" error ");
    print_hex(f->error);
    print(" at ");
    print_hex(f->ip);
    print(" cr2 ");
    print_hex(read_cr2());
    print("\nBail out!\n");
    guest_exit(0x7f);
}

unsigned fault_of(void (*fn)(word), word arg)
{
    return try_call(fn, arg);
}

unsigned user_fault_of(void (*fn)(word), word arg)
{
    return user_try_call(fn, arg);
}

void set_gate(unsigned vector, unsigned sel, word to, unsigned type_attr, unsigned ist)
{
    uint64_t low = (to & 0xffff) | (uint64_t)sel << 16 | (uint64_t)ist << 32 |
                   (uint64_t)type_attr << 40 | ((uint64_t)(to >> 16) & 0xffff) << 48;

    if (sizeof(word) == 8) {
        idt[vector * 2] = low;
        idt[vector * 2 + 1] = (uint64_t)to >> 32;
    } else {
        idt[vector] = low;
    }
}

static void put_tss(void)
{
    word base = (word)tss;

    gdt[TSS_SEL / 8] = 0x207f | (uint64_t)(base & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
                       (uint64_t)(base >> 24 & 0xff) << 56;
    if (sizeof(word) == 8) {
        *(word *)(tss + 4) = (word)stack_top;
        *(word *)(tss + 0x24) = (word)df_stack_top; /* IST 1 */
    } else {
        *(word *)(tss + 4) = (word)stack_top;
        *(word *)(tss + 8) = KDATA;
    }
    tss[102] = 0x68; /* all ports allowed */
    tss[0x68 + 0x2000] = 0xff;
    __asm__ volatile("ltr %w0; lldt %w1" ::"r"(TSS_SEL), "r"(0));
}

void guest_start(void);
void guest_start(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        word base;
    } table = { sizeof(word) == 8 ? 0xfff : 0x7ff, (word)idt };

    for (unsigned v = 0; v < 256; v++)
        set_gate(v, KCODE, (word)stub_table + v * 16, v == 3 || v == 4 || v >= 0x80 ? 0xee : 0x8e,
                 v == 8 && sizeof(word) == 8 ? 1 : 0);
    __asm__ volatile("lidt %0" ::"m"(table));
    put_tss();
    guest_main();
    print("1..");
    print_dec(n_tests);
    print(n_failed ? "\n# FAILED\n" : "\n# passed\n");
    guest_exit(n_failed ? 1 : 0);
}
