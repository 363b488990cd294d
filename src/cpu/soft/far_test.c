/* SPDX-License-Identifier: GPL-2.0-or-later */
/* far_test.c - far transfers, IRET, SYSCALL and kin, task switches. */
#include "cpu/soft/sys_fake.h"

#define TARGET 0x7000u

static const char *far_jmp(unsigned sel) /* jmp sel:TARGET */
{
    static char text[32];

    snprintf(text, sizeof(text), "ea 00 70 00 00 %02x %02x", sel & 0xff, sel >> 8);
    return text;
}

static const char *far_call(unsigned sel)
{
    static char text[32];

    snprintf(text, sizeof(text), "9a 00 70 00 00 %02x %02x", sel & 0xff, sel >> 8);
    return text;
}

TEST(far_jumps)
{
    static const struct {
        unsigned cpl, sel, attr, vector, error;
    } cases[] = {
        { 0, 0, 0, EXC_GP, 0 },
        { 0, S_CODE0, 0, NO_FAULT, 0 },
        { 0, S_DATA0, 0, EXC_GP, S_DATA0 },
        { 0, 0x100, 0, EXC_GP, 0x100 },
        { 0, S_CODE3, 0, EXC_GP, S_CODE3 & ~3u },
        { 3, S_CODE3, 0, NO_FAULT, 0 },
        { 3, S_CODE3 & ~3u, 0, NO_FAULT, 0 },
        { 3, S_CODE0, 0, EXC_GP, S_CODE0 },
        { 3, S_CONF0, 0, NO_FAULT, 0 },
        { 0, S_FREE, A_CODE & ~ATTR_P, EXC_NP, S_FREE },
        { 0, S_FREE, ATTR_P | SYS_LDT, EXC_GP, S_FREE },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_init(PROT32, cases[i].cpl);
        put_desc(S_FREE, 0, 0xffffffff, cases[i].attr);
        EXPECT_EQ(run(far_jmp(cases[i].sel)), cases[i].vector);
        if (cases[i].vector != NO_FAULT)
            EXPECT_EQ(fault_error(), cases[i].error);
        else
            EXPECT_EQ(fake.vp->seg[SEG_CS].sel, (cases[i].sel & ~3u) | cases[i].cpl);
    }
    fake_init(PROT32, 0);
    put_desc(S_FREE, 0, TARGET - 1, A_CODE);
    EXPECT_EQ(run(far_jmp(S_FREE)), EXC_GP);
    EXPECT_EQ(fault_error(), 0);
    fake_init(COMPAT32, 0); /* into 64-bit code */
    EXPECT_EQ(run(far_jmp(S_CODE64)), NO_FAULT);
    EXPECT_EQ(fake.vp->mode & MODE_SIZE, MODE_64);
    fake_init(COMPAT32, 0);
    put_desc(S_FREE, 0, 0xffffffff, A_CODE | ATTR_L); /* L and D */
    EXPECT_EQ(run(far_jmp(S_FREE)), EXC_GP);
}

TEST(far_call_and_return)
{
    fake_init(PROT32, 0);
    EXPECT_EQ(run(far_call(S_CODE0)), NO_FAULT);
    EXPECT_EQ(fake.vp->rip, TARGET);
    EXPECT_EQ(peek(STACK0 - 8, 4), CODE + 7);
    EXPECT_EQ(peek(STACK0 - 4, 4), S_CODE0);
    EXPECT_EQ(run("ca 04 00"), NO_FAULT);
    EXPECT_EQ(fake.vp->rip, CODE + 7);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 + 4);

    fake_init(PROT32, 0); /* out to level 3 */
    fake.vp->gpr[RSP] = STACK0 - 16;
    poke(STACK0 - 16, 4, TARGET);
    poke(STACK0 - 12, 4, S_CODE3);
    poke(STACK0 - 8, 4, STACK3);
    poke(STACK0 - 4, 4, S_DATA0);
    EXPECT_EQ(run("cb"), EXC_GP);
    EXPECT_EQ(fault_error(), S_DATA0);
    poke(STACK0 - 4, 4, S_DATA3);
    fake.vp->gpr[RAX] = S_DATA0;
    EXPECT_EQ(run("8e e0"), NO_FAULT); /* mov fs, ax: will be dropped */
    EXPECT_EQ(run("cb"), NO_FAULT);
    EXPECT_EQ(fake.vp->cpl, 3);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK3);
    EXPECT(fake.vp->seg[SEG_FS].unusable);
    EXPECT(!fake.vp->seg[SEG_DS].unusable);
    fake.vp->gpr[RSP] = STACK3 - 8; /* inwards is never a return */
    poke(STACK3 - 8, 4, TARGET);
    poke(STACK3 - 4, 4, S_CODE0);
    EXPECT_EQ(run("cb"), EXC_GP);
    EXPECT_EQ(fault_error(), S_CODE0);
}

TEST(call_gates)
{
    fake_init(PROT32, 3);
    put_gate(GDT + S_FREE, S_CODE0, TARGET, SYS_CALL32, 3, 2);
    poke(STACK3, 4, 0x111);
    poke(STACK3 + 4, 4, 0x222);
    EXPECT_EQ(run(far_jmp(S_FREE | 3)), EXC_GP);
    EXPECT_EQ(run(far_call(S_FREE | 3)), NO_FAULT);
    EXPECT_EQ(fake.vp->cpl, 0);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 24);
    EXPECT_EQ(peek(STACK0 - 24, 4), CODE + 7);
    EXPECT_EQ(peek(STACK0 - 16, 4), 0x111);
    EXPECT_EQ(peek(STACK0 - 12, 4), 0x222);
    EXPECT_EQ(peek(STACK0 - 8, 4), STACK3);
    EXPECT_EQ(run("ca 08 00"), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK3 + 8);
    EXPECT_EQ(fake.vp->cpl, 3);

    fake_init(PROT32, 3);
    put_gate(GDT + S_FREE, S_CODE0, TARGET, SYS_CALL32, 0, 0);
    EXPECT_EQ(run(far_call(S_FREE)), EXC_GP);
    EXPECT_EQ(fault_error(), S_FREE);

    fake_init(LONG64, 3); /* 64 bits: by memory only */
    put_gate(GDT + S_FREE, S_CODE64, TARGET, SYS_CALL32, 3, 0);
    poke(GDT + S_FREE + 8, 8, 0);
    poke(DATA + 4, 2, S_FREE);
    fake.vp->gpr[RBX] = DATA;
    EXPECT_EQ(run("ff 1b"), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 32);
    EXPECT_EQ(peek(STACK0 - 8, 8), S_DATA3);
    EXPECT_EQ(peek(STACK0 - 32, 8), CODE + 2);
    EXPECT(fake.vp->seg[SEG_SS].unusable);
    EXPECT_EQ(run("48 cb"), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK3);
    poke(GDT + S_FREE + 8, 8, UINT64_C(0x100) << 32); /* a type in the upper half */
    EXPECT_EQ(run("ff 1b"), EXC_GP);
    EXPECT_EQ(fault_error(), S_FREE);
}

static void frame64(uint64_t rip, uint64_t cs, uint64_t flags, uint64_t rsp, uint64_t ss)
{
    fake.vp->gpr[RSP] = STACK0 - 40;
    poke(STACK0 - 40, 8, rip);
    poke(STACK0 - 32, 8, cs);
    poke(STACK0 - 24, 8, flags);
    poke(STACK0 - 16, 8, rsp);
    poke(STACK0 - 8, 8, ss);
}

TEST(iret_64)
{
    static const struct {
        uint64_t rip, cs, flags, rsp, ss;
        unsigned vector, error;
    } cases[] = {
        { TARGET, S_CODE64_3, 0x202, STACK3, S_DATA3, NO_FAULT, 0 },
        { TARGET, S_CODE3, 0x202, STACK3, S_DATA3, NO_FAULT, 0 },
        { TARGET, S_CODE64, 2, STACK0, 0, NO_FAULT, 0 },
        { TARGET, S_CODE64_3, 2, STACK3, 3, EXC_GP, 0 },
        { TARGET, S_CODE64_3, 2, STACK3, S_DATA0, EXC_GP, S_DATA0 },
        { TARGET, S_CODE64 | 3, 2, STACK3, S_DATA3, EXC_GP, S_CODE64 },
        { TARGET, 0, 2, STACK3, S_DATA3, EXC_GP, 0 },
        { TARGET, S_DATA0, 2, STACK3, S_DATA3, EXC_GP, S_DATA0 },
        { UINT64_C(1) << 60, S_CODE64_3, 2, STACK3, S_DATA3, EXC_GP, 0 },
        { UINT64_C(1) << 32, S_CODE3, 2, STACK3, S_DATA3, EXC_GP, 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_init(LONG64, 0);
        frame64(cases[i].rip, cases[i].cs, cases[i].flags, cases[i].rsp, cases[i].ss);
        EXPECT_EQ(run("48 cf"), cases[i].vector);
        if (cases[i].vector != NO_FAULT) {
            EXPECT_EQ(fault_error(), cases[i].error);
            EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 40);
            EXPECT_EQ(fake.vp->cpl, 0);
            continue;
        }
        EXPECT_EQ(fake.vp->rip, cases[i].rip);
        EXPECT_EQ(fake.vp->rflags, cases[i].flags);
        EXPECT_EQ(fake.vp->cpl, cases[i].cs & 3);
        EXPECT_EQ(fake.vp->gpr[RSP], cases[i].rsp);
    }
    fake_init(LONG64, 0);
    fake.vp->rflags |= F_NT;
    EXPECT_EQ(run("48 cf"), EXC_GP);
}

TEST(iret_flags)
{
    fake_init(PROT32, 3); /* level 3 may not touch IF and IOPL */
    fake.vp->gpr[RSP] = STACK3 - 12;
    poke(STACK3 - 12, 4, TARGET);
    poke(STACK3 - 8, 4, S_CODE3);
    poke(STACK3 - 4, 4, F_1 | F_IF | F_IOPL | F_CF | F_AC | F_ID | F_VIF);
    EXPECT_EQ(run("cf"), NO_FAULT);
    EXPECT_EQ(fake.vp->rflags, F_1 | F_CF | F_AC | F_ID);
}

TEST(syscall_and_sysret)
{
    fake_init(LONG64, 3);
    fake.vp->msrs.star = UINT64_C(0x00230010) << 32;
    fake.vp->msrs.lstar = 0xffffffff81000000;
    fake.vp->msrs.sfmask = F_IF | F_TF;
    fake.vp->rflags |= F_IF | F_CF;
    EXPECT_EQ(run("0f 05"), NO_FAULT);
    EXPECT_EQ(fake.vp->rip, 0xffffffff81000000);
    EXPECT_EQ(fake.vp->gpr[RCX], CODE + 2);
    EXPECT_EQ(fake.vp->gpr[R11], F_1 | F_IF | F_CF);
    EXPECT_EQ(fake.vp->rflags, F_1 | F_CF);
    EXPECT_EQ(fake.vp->seg[SEG_CS].sel, 0x10);
    EXPECT_EQ(fake.vp->seg[SEG_SS].sel, 0x18);
    EXPECT_EQ(fake.vp->cpl, 0);
    fake.vp->rip = CODE;
    EXPECT_EQ(run("48 0f 07"), NO_FAULT);
    EXPECT_EQ(fake.vp->rip, CODE + 2);
    EXPECT_EQ(fake.vp->seg[SEG_CS].sel, 0x33);
    EXPECT_EQ(fake.vp->seg[SEG_SS].sel, 0x2b);
    EXPECT_EQ(fake.vp->cpl, 3);
    EXPECT_EQ(run("48 0f 07"), EXC_GP);
    fake.vp->efer &= ~(uint64_t)EFER_SCE;
    EXPECT_EQ(run("0f 05"), EXC_UD);
    fake_init(LONG64, 0);
    fake.vp->feature.amd = false;
    fake.vp->gpr[RCX] = UINT64_C(1) << 60;
    EXPECT_EQ(run("48 0f 07"), EXC_GP);
}

TEST(sysenter_and_sysexit)
{
    fake_init(PROT32, 3);
    EXPECT_EQ(run("0f 34"), EXC_GP); /* no CS */
    fake.vp->msrs.sysenter_cs = 0x10;
    fake.vp->msrs.sysenter_esp = STACK0;
    fake.vp->msrs.sysenter_eip = TARGET;
    fake.vp->rflags |= F_IF;
    EXPECT_EQ(run("0f 35"), EXC_GP);
    EXPECT_EQ(run("0f 34"), NO_FAULT);
    EXPECT_EQ(fake.vp->rip, TARGET);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0);
    EXPECT_EQ(fake.vp->rflags, F_1);
    fake.vp->gpr[RDX] = CODE;
    fake.vp->gpr[RCX] = STACK3;
    EXPECT_EQ(run("0f 35"), NO_FAULT);
    EXPECT_EQ(fake.vp->seg[SEG_CS].sel, 0x23);
    EXPECT_EQ(fake.vp->seg[SEG_SS].sel, 0x2b);
    EXPECT_EQ(fake.vp->rip, CODE);
}

/* A second task at TSS2 whose descriptor is S_FREE. */
static void make_task(bool wide, unsigned dpl)
{
    put_desc(S_FREE, TSS2, 0xfff, ATTR_P | (wide ? SYS_TSS32 : SYS_TSS16) | dpl << 5);
    if (wide) {
        poke(TSS2 + 28, 4, 0x123000);
        poke(TSS2 + 32, 4, TARGET);
        poke(TSS2 + 36, 4, F_1 | F_CF);
        poke(TSS2 + 40, 4, 0xaaaa);             /* EAX */
        poke(TSS2 + 56, 4, STACK3);             /* ESP */
        poke(TSS2 + 72, 4, S_DATA0);            /* ES */
        poke(TSS2 + 76, 4, S_CODE0);
        poke(TSS2 + 80, 4, S_DATA0);
        poke(TSS2 + 84, 4, S_DATA0);
        poke(TSS2 + 96, 4, S_LDT);
    } else {
        poke(TSS2 + 14, 2, TARGET);
        poke(TSS2 + 16, 2, F_1 | F_CF);
        poke(TSS2 + 18, 2, 0xaaaa);
        poke(TSS2 + 26, 2, STACK3);
        poke(TSS2 + 34, 2, S_DATA0);
        poke(TSS2 + 36, 2, S_CODE0);
        poke(TSS2 + 38, 2, S_DATA0);
        poke(TSS2 + 40, 2, S_DATA0);
    }
}

TEST(task_call_and_return)
{
    struct soft_vp *vp;

    fake_init(PROT32, 0);
    vp = fake.vp;
    make_task(true, 0);
    vp->gpr[RAX] = 0x1111;
    EXPECT_EQ(run(far_call(S_FREE)), NO_FAULT);
    EXPECT_EQ(vp->rip, TARGET);
    EXPECT_EQ(vp->gpr[RAX], 0xaaaa);
    EXPECT_EQ(vp->seg[SEG_TR].sel, S_FREE);
    EXPECT_EQ(vp->rflags, F_1 | F_CF | F_NT);
    EXPECT(vp->cr0 & CR0_TS);
    EXPECT_EQ(peek(TSS2, 2), S_TSS);
    EXPECT_EQ(peek(TSS + 32, 4), CODE + 7);
    EXPECT_EQ(peek(TSS + 40, 4), 0x1111);
    EXPECT_EQ(peek(GDT + S_FREE + 5, 1) & 0xf, SYS_TSS32 | SYS_BUSY);
    EXPECT_EQ(peek(GDT + S_TSS + 5, 1) & 0xf, SYS_TSS32 | SYS_BUSY);
    EXPECT_EQ(run("cf"), NO_FAULT);
    EXPECT_EQ(vp->rip, CODE + 7);
    EXPECT_EQ(vp->gpr[RAX], 0x1111);
    EXPECT_EQ(vp->seg[SEG_TR].sel, S_TSS);
    EXPECT_EQ(vp->seg[SEG_DS].sel, S_DATA3);
    EXPECT_EQ(peek(GDT + S_FREE + 5, 1) & 0xf, SYS_TSS32);
    EXPECT(!(peek(TSS2 + 36, 4) & F_NT));
    EXPECT_EQ(run(far_jmp(S_TSS)), EXC_GP); /* busy */
    EXPECT_EQ(fault_error(), S_TSS);

    fake_init(PROT32, 0);
    make_task(false, 0);
    EXPECT_EQ(run(far_jmp(S_FREE)), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RAX] & 0xffff, 0xaaaa);
    EXPECT_EQ(peek(GDT + S_TSS + 5, 1) & 0xf, SYS_TSS32);
}

TEST(task_faults)
{
    fake_init(PROT32, 3);
    make_task(true, 0);
    EXPECT_EQ(run(far_call(S_FREE)), EXC_GP);
    EXPECT_EQ(fault_error(), S_FREE);
    fake_init(PROT32, 0);
    make_task(true, 0);
    put_desc(S_FREE, TSS2, 0x66, ATTR_P | SYS_TSS32);
    EXPECT_EQ(run(far_call(S_FREE)), EXC_TS);
    EXPECT_EQ(fake.vp->rip, CODE);
    put_desc(S_FREE, TSS2, 0x67, SYS_TSS32);
    EXPECT_EQ(run(far_call(S_FREE)), EXC_NP);
    /* A fault of the new task's segments is the new task's. */
    make_task(true, 0);
    poke(TSS2 + 80, 4, S_CODE0);
    EXPECT_EQ(run(far_call(S_FREE)), EXC_TS);
    EXPECT_EQ(fault_error(), S_CODE0);
    EXPECT_EQ(fake.vp->rip, TARGET);
    EXPECT_EQ(fake.vp->seg[SEG_TR].sel, S_FREE);
}

TEST(task_gate_of_a_double_fault)
{
    fake_init(PROT32, 3);
    make_task(true, 0);
    put_gate(IDT + 8 * 8, S_FREE, 0, SYS_TASK_GATE, 0, 0);
    EXPECT(deliver_event(EXC_GP, EVENT_EXC, 0)); /* no gate for #GP */
    EXPECT_EQ(fake.vp->rip, TARGET);
    EXPECT_EQ(fake.vp->cpl, 0);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK3 - 4); /* the error code */
    EXPECT_EQ(peek(TSS + 32, 4), CODE);
}
