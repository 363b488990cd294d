/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debug.c - single step, breakpoints, RF, MOV SS, INT3 and INT1, general detect. */
#include "guest.h"

#define BS (1u << 14)
#define BD (1u << 13)
#define FLAG_TF 0x100u
#define FLAG_RF 0x10000u

static unsigned n_db;
static word db_ip[32], db_dr6[32], db_flags[32];
static void (*db_more)(struct frame *f);

static void record(struct frame *f)
{
    if (f->vector != 1 && f->vector != 3)
        guest_exit(0x70 + (unsigned)f->vector);
    if (n_db < 32) {
        db_ip[n_db] = f->ip;
        db_dr6[n_db] = read_dr6();
        db_flags[n_db] = f->flags;
    }
    n_db++;
    write_dr6(0);
    if (db_more)
        db_more(f);
}

static void start(void)
{
    n_db = 0;
    db_more = NULL;
    on_exception = record;
    write_dr6(0);
}

TEST(single_step)
{
    start();
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf\n"
                     "s1: nop\n"
                     "s2: mov $5, %%ecx\n"
                     "s3: pushf; s4: andl $~0x100, (%%rsp); s5: popf\n"
                     "s6: nop\n" ::: "rcx", "memory", "cc");
    extern char s2[], s3[], s4[], s5[], s6[];
    CHECK_EQ(n_db, 5);
    CHECK_EQ(db_ip[0], (word)s2);
    CHECK_EQ(db_ip[1], (word)s3);
    CHECK_EQ(db_ip[2], (word)s4);
    CHECK_EQ(db_ip[3], (word)s5);
    CHECK_EQ(db_ip[4], (word)s6); /* POPF that clears TF is stepped over */
    CHECK_EQ(db_dr6[0], 0xffff0ff0 | BS);
    CHECK(db_flags[0] & FLAG_TF);
}

TEST(step_over_rep)
{
    static char from[8] = "abcdefg", to[8];
    char *src = from, *dst = to;
    word n = 4;

    start();
    __asm__ volatile("pushf; orl $0x100, (%%rsp); popf\n"
                     "rep movsb\n"
                     "pushf; andl $~0x100, (%%rsp); popf\n"
                     : "+S"(src), "+D"(dst), "+c"(n)::"memory", "cc");
    CHECK_EQ(n_db, 4 + 3); /* a trap for each iteration */
    CHECK_EQ(to[3], 'd');
}

TEST(mov_ss_holds_traps)
{
    start();
    __asm__ volatile("mov %%ss, %%eax; pushf; orl $0x100, (%%rsp); popf\n"
                     "mov %%eax, %%ss\n"
                     "m1: nop\n"
                     "m2: pushf; andl $~0x100, (%%rsp); popf\n" ::: "rax", "memory", "cc");
    extern char m2[];
    CHECK_EQ(db_ip[0], (word)m2); /* not between MOV SS and the NOP */
    CHECK_EQ(n_db, 4);
}

static void clear_code_break(struct frame *f)
{
    f->flags |= FLAG_RF;
}

TEST(code_breakpoint)
{
    extern char c1[];

    start();
    db_more = clear_code_break;
    write_dr0((word)c1);
    write_dr7(0x402);
    __asm__ volatile("xor %%eax, %%eax\nc1: inc %%eax\n" ::: "rax", "cc");
    CHECK_EQ(n_db, 1); /* RF lets it pass */
    CHECK_EQ(db_ip[0], (word)c1);
    CHECK_EQ(db_dr6[0], 0xffff0ff1);
    CHECK(!(db_flags[0] & FLAG_RF));
    write_dr7(0x400);
}

static volatile uint32_t watched[4] __attribute__((aligned(16)));

TEST(data_breakpoints)
{
    extern char d1[];
    uint32_t v;

    start();
    write_dr0((word)&watched[1]);
    write_dr7(0x400 | 2 | 0xdu << 16); /* write, 4 bytes */
    v = watched[1];
    watched[0] = v;
    CHECK_EQ(n_db, 0);
    __asm__ volatile("movb $1, %0\nd1:" : "=m"(*((volatile uint8_t *)&watched[1] + 3)));
    CHECK_EQ(n_db, 1);
    CHECK_EQ(db_ip[0], (word)d1);
    CHECK_EQ(db_dr6[0], 0xffff0ff1);
    *(volatile uint64_t *)&watched[0] = 7; /* overlaps */
    CHECK_EQ(n_db, 2);
    write_dr7(0x400 | 2 | 0xfu << 16); /* read and write */
    v = watched[1];
    CHECK_EQ(n_db, 3);
    write_dr7(0x400);
    watched[1] = v;
    CHECK_EQ(n_db, 3);
}

TEST(mov_ss_holds_data_breakpoints)
{
    static uint16_t ss_value;
    extern char e2[];

    start();
    ss_value = (uint16_t)read_ss();
    write_dr0((word)&ss_value);
    write_dr7(0x400 | 2 | 0x7u << 16);
    __asm__ volatile("mov %0, %%ss\n nop\ne2:" ::"m"(ss_value));
    write_dr7(0x400);
    CHECK_EQ(n_db, 1);
    CHECK_EQ(db_ip[0], (word)e2);
}

TEST(io_breakpoint)
{
    start();
    write_cr4(read_cr4() | 8); /* DE */
    write_dr0(0x80);
    write_dr7(0x400 | 2 | 0x2u << 16);
    outb(0x80, 1);
    CHECK_EQ(n_db, 1);
    outb(0x81, 1);
    CHECK_EQ(n_db, 1);
    write_dr7(0x400);
    write_cr4(read_cr4() & ~(word)8);
}

TEST(int3_and_int1)
{
    extern char i1[], i2[];

    start();
    __asm__ volatile("int3\ni1: .byte 0xf1\ni2:");
    CHECK_EQ(n_db, 2);
    CHECK_EQ(db_ip[0], (word)i1);
    CHECK_EQ(db_ip[1], (word)i2);
    CHECK_EQ(db_dr6[1], 0xffff0ff0);
}

static void read_dr(word unused)
{
    read_dr0();
}

TEST(general_detect)
{
    start();
    write_dr7(0x400 | 1u << 13);
    CHECK_EQ(fault_of(read_dr, 0), 1);
    CHECK(fault.flags & FLAG_RF);
    CHECK_EQ(read_dr7(), 0x400); /* cleared for the handler */
    CHECK_EQ(read_dr6(), 0xffff0ff0 | BD);
}

static void dr4(word unused)
{
    __asm__ volatile("mov %%dr4, %%rax" ::: "rax");
}

TEST(aliases)
{
    CHECK_EQ(fault_of(dr4, 0), NONE);
    write_cr4(read_cr4() | 8);
    CHECK_EQ(fault_of(dr4, 0), 6);
    write_cr4(read_cr4() & ~(word)8);
    CHECK_EQ(user_fault_of(read_dr, 0), 13);
}

void guest_main(void)
{
    RUN(single_step);
    RUN(step_over_rep);
    RUN(mov_ss_holds_traps);
    RUN(code_breakpoint);
    RUN(data_breakpoints);
    RUN(mov_ss_holds_data_breakpoints);
    RUN(io_breakpoint);
    RUN(int3_and_int1);
    RUN(general_detect);
    RUN(aliases);
}
