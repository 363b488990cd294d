/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seg_test.c - segment loads and selector instructions, by tables. */
#include "cpu/soft/sys_fake.h"

#define CASE_DESC S_FREE

TEST(data_segment_loads)
{
    static const struct {
        unsigned cpl, sel, attr; /* the descriptor at CASE_DESC has 'attr' */
        unsigned vector, error;
    } cases[] = {
        { 0, 0, 0, NO_FAULT, 0 },
        { 3, 3, 0, NO_FAULT, 0 },
        { 0, CASE_DESC, A_DATA, NO_FAULT, 0 },
        { 0, CASE_DESC, A_DATA & ~ATTR_P, EXC_NP, CASE_DESC },
        { 0, CASE_DESC | 3, A_DATA, EXC_GP, CASE_DESC },
        { 3, CASE_DESC, A_DATA, EXC_GP, CASE_DESC },
        { 3, CASE_DESC | 3, A_DATA | A_DPL(3), NO_FAULT, 0 },
        { 3, CASE_DESC | 3, A_CODE | A_DPL(0), EXC_GP, CASE_DESC },
        { 3, CASE_DESC | 3, A_CODE | ATTR_EC, NO_FAULT, 0 },            /* conforming, readable */
        { 0, CASE_DESC, A_CODE & ~ATTR_RW, EXC_GP, CASE_DESC },         /* execute-only */
        { 0, CASE_DESC, ATTR_P | SYS_LDT, EXC_GP, CASE_DESC },
        { 0, 0x100, 0, EXC_GP, 0x100 },                                 /* behind the GDT */
        { 0, 0x104, 0, EXC_GP, 0x104 },                                 /* behind the LDT */
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_init(PROT32, cases[i].cpl);
        put_desc(CASE_DESC, 0x1234, 0xfff, cases[i].attr);
        fake.vp->gpr[RAX] = cases[i].sel;
        EXPECT_EQ(run("8e d8"), cases[i].vector); /* mov ds, ax */
        if (cases[i].vector != NO_FAULT) {
            EXPECT_EQ(fault_error(), cases[i].error);
            EXPECT_EQ(fake.vp->seg[SEG_DS].sel, S_DATA3);
            EXPECT_EQ(fake.vp->rip, CODE);
        } else if (cases[i].sel > 3) {
            EXPECT_EQ(fake.vp->seg[SEG_DS].base, 0x1234);
            EXPECT_EQ(peek(GDT + CASE_DESC + 5, 1) & 1, 1);
        } else {
            EXPECT(fake.vp->seg[SEG_DS].unusable);
        }
    }
}

TEST(stack_segment_loads)
{
    static const struct {
        enum machine m;
        unsigned cpl, sel, attr, vector, error;
    } cases[] = {
        { PROT32, 0, 0, 0, EXC_GP, 0 },
        { LONG64, 0, 0, 0, NO_FAULT, 0 },
        { LONG64, 0, 3, 0, EXC_GP, 0 },
        { LONG64, 3, 3, 0, EXC_GP, 0 },
        { COMPAT32, 0, 0, 0, EXC_GP, 0 },
        { PROT32, 0, CASE_DESC, A_DATA, NO_FAULT, 0 },
        { PROT32, 0, CASE_DESC | 1, A_DATA, EXC_GP, CASE_DESC },
        { PROT32, 0, CASE_DESC, A_DATA | A_DPL(1), EXC_GP, CASE_DESC },
        { PROT32, 0, CASE_DESC, A_DATA & ~ATTR_RW, EXC_GP, CASE_DESC },
        { PROT32, 0, CASE_DESC, A_CODE, EXC_GP, CASE_DESC },
        { PROT32, 0, CASE_DESC, A_DATA & ~ATTR_P, EXC_SS, CASE_DESC },
        { PROT32, 3, CASE_DESC | 3, A_DATA | A_DPL(3), NO_FAULT, 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_init(cases[i].m, cases[i].cpl);
        put_desc(CASE_DESC, 0, 0xffffffff, cases[i].attr);
        fake.vp->gpr[RAX] = cases[i].sel;
        EXPECT_EQ(run("8e d0"), cases[i].vector); /* mov ss, ax */
        if (cases[i].vector != NO_FAULT)
            EXPECT_EQ(fault_error(), cases[i].error);
        else
            EXPECT_EQ(fake.vp->shadow, 2);
    }
}

TEST(real_mode_keeps_limits)
{
    fake_init(REAL, 0);
    fake.vp->seg[SEG_DS].limit = 0xffffffff;
    fake.vp->gpr[RAX] = 0x1234;
    EXPECT_EQ(run("8e d8"), NO_FAULT);
    EXPECT_EQ(fake.vp->seg[SEG_DS].base, 0x12340);
    EXPECT_EQ(fake.vp->seg[SEG_DS].limit, 0xffffffff);
    EXPECT_EQ(run("8e c8"), EXC_UD); /* mov cs, ax */
}

TEST(pop_and_far_pointers)
{
    fake_init(PROT32, 0);
    fake.vp->gpr[RSP] = STACK0 - 4;
    poke(STACK0 - 4, 4, 0x100);
    EXPECT_EQ(run("1f"), EXC_GP); /* pop ds */
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 4);
    poke(STACK0 - 4, 4, S_DATA0);
    EXPECT_EQ(run("1f"), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0);
    EXPECT_EQ(fake.vp->seg[SEG_DS].sel, S_DATA0);
    poke(DATA, 4, 0xcafe1234);
    poke(DATA + 4, 2, S_DATA3);
    fake.vp->gpr[RBX] = DATA;
    EXPECT_EQ(run("c4 0b"), NO_FAULT); /* les ecx, [ebx] */
    EXPECT_EQ(fake.vp->gpr[RCX], 0xcafe1234);
    EXPECT_EQ(fake.vp->seg[SEG_ES].sel, S_DATA3);
    EXPECT_EQ(run("1e"), NO_FAULT);
    EXPECT_EQ(peek(STACK0 - 4, 4), S_DATA0);
}

TEST(ldtr_and_tr)
{
    fake_init(PROT32, 0);
    fake.vp->gpr[RAX] = S_TSS;
    EXPECT_EQ(run("0f 00 d8"), EXC_GP); /* ltr ax: busy */
    EXPECT_EQ(fault_error(), S_TSS);
    put_desc(S_FREE, TSS2, 0x67, ATTR_P | SYS_TSS32);
    fake.vp->gpr[RAX] = S_FREE;
    EXPECT_EQ(run("0f 00 d8"), NO_FAULT);
    EXPECT_EQ(peek(GDT + S_FREE + 5, 1), ATTR_P | SYS_TSS32 | SYS_BUSY);
    EXPECT_EQ(run("0f 00 d0"), EXC_GP); /* lldt ax: a TSS */
    fake.vp->gpr[RAX] = 0;
    EXPECT_EQ(run("0f 00 d0"), NO_FAULT);
    EXPECT(fake.vp->seg[SEG_LDTR].unusable);
    EXPECT_EQ(run("0f 00 d8"), EXC_GP);
    EXPECT_EQ(fault_error(), 0);
    fake_init(PROT32, 3);
    EXPECT_EQ(run("0f 00 d0"), EXC_GP);
    fake_init(REAL, 0);
    EXPECT_EQ(run("0f 00 d0"), EXC_UD);
    fake_init(LONG64, 0);
    put_desc(S_FREE, TSS2, 0x67, ATTR_P | SYS_TSS32);
    poke(GDT + S_FREE + 8, 8, 0xffff8000);
    fake.vp->gpr[RAX] = S_FREE;
    EXPECT_EQ(run("0f 00 d8"), NO_FAULT);
    EXPECT_EQ(fake.vp->seg[SEG_TR].base, (long long)(0xffff800000000000 | TSS2));
    poke(GDT + S_FREE + 5, 1, ATTR_P | SYS_TSS32);
    poke(GDT + S_FREE + 8, 8, 0x00ff8000); /* not canonical */
    EXPECT_EQ(run("0f 00 d8"), EXC_GP);
    EXPECT_EQ(fault_error(), S_FREE);
}

TEST(asking)
{
    fake_init(PROT32, 3);
    fake.vp->gpr[RBX] = S_DATA0;
    EXPECT_EQ(run("0f 00 e3"), NO_FAULT); /* verr bx: too far inside */
    EXPECT(!(fake.vp->rflags & F_ZF));
    fake.vp->gpr[RBX] = S_DATA3;
    EXPECT_EQ(run("0f 00 eb"), NO_FAULT); /* verw */
    EXPECT(fake.vp->rflags & F_ZF);
    fake.vp->gpr[RBX] = S_CODE3;
    EXPECT_EQ(run("0f 00 eb"), NO_FAULT);
    EXPECT(!(fake.vp->rflags & F_ZF));
    EXPECT_EQ(run("0f 03 cb"), NO_FAULT); /* lsl ecx, ebx */
    EXPECT_EQ(fake.vp->gpr[RCX], 0xffffffff);
    EXPECT_EQ(run("0f 02 cb"), NO_FAULT); /* lar ecx, ebx */
    EXPECT_EQ(fake.vp->gpr[RCX], 0x00c0fa00);
    fake.vp->gpr[RCX] = 5;
    fake.vp->gpr[RBX] = 0x100;
    EXPECT_EQ(run("0f 02 cb"), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RCX], 5);
    EXPECT(!(fake.vp->rflags & F_ZF));
    fake.vp->gpr[RAX] = 0x10;
    fake.vp->gpr[RCX] = 3;
    EXPECT_EQ(run("63 c8"), NO_FAULT); /* arpl ax, cx */
    EXPECT_EQ(fake.vp->gpr[RAX], 0x13);
    EXPECT(fake.vp->rflags & F_ZF);
}
