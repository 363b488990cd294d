/* SPDX-License-Identifier: GPL-2.0-or-later */
/* event_test.c - delivery through IVT and IDT, the double-fault matrix, what is due when. */
#include "cpu/soft/sys_fake.h"

#define HANDLER 0x7000u

static void idt32(unsigned vector, unsigned sel, unsigned type, unsigned dpl)
{
    put_gate(IDT + vector * 8, sel, HANDLER, type, dpl, 0);
}

static void idt64(unsigned vector, unsigned sel, unsigned type, unsigned dpl, unsigned ist)
{
    put_gate(IDT + vector * 16, sel, HANDLER, type, dpl, ist);
}

TEST(real_mode)
{
    fake_init(REAL, 0);
    fake.vp->idt = (struct vp_dtable){ .base = 0, .limit = 0x3ff };
    poke(0x21 * 4, 4, 0x20001234);
    fake.vp->rflags = F_1 | F_IF | F_TF | F_CF;
    EXPECT_EQ(run("cd 21"), NO_FAULT);
    EXPECT_EQ(fake.vp->seg[SEG_CS].base, 0x20000);
    EXPECT_EQ(fake.vp->rip, 0x1234);
    EXPECT_EQ(fake.vp->gpr[RSP], 0x8000 - 6);
    EXPECT_EQ(peek(0x7ffa, 2), CODE + 2);
    EXPECT_EQ(peek(0x7ffe, 2), F_1 | F_IF | F_TF | F_CF);
    EXPECT_EQ(fake.vp->rflags, F_1 | F_CF);
    poke(0x8000 - 6, 2, CODE); /* and back */
    EXPECT_EQ(run("cf"), NO_FAULT);
    EXPECT_EQ(fake.vp->rip, CODE);
    EXPECT_EQ(fake.vp->rflags, F_1 | F_IF | F_TF | F_CF);
    fake.vp->idt.limit = 0x20;
    EXPECT_EQ(run("cd 21"), EXC_GP);
}

TEST(same_level_32)
{
    fake_init(PROT32, 0);
    idt32(13, S_CODE0, SYS_INT32, 0);
    fake.vp->rflags |= F_IF | F_NT;
    EXPECT(deliver_event(EXC_GP, EVENT_EXC, 0x50));
    EXPECT_EQ(fake.vp->rip, HANDLER);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 16);
    EXPECT_EQ(peek(STACK0 - 16, 4), 0x50);
    EXPECT_EQ(peek(STACK0 - 12, 4), CODE);
    EXPECT_EQ(peek(STACK0 - 8, 4), S_CODE0);
    EXPECT_EQ(peek(STACK0 - 4, 4), F_1 | F_IF | F_NT | F_RF);
    EXPECT_EQ(fake.vp->rflags, F_1);
}

TEST(inner_level_32_and_16)
{
    fake_init(PROT32, 3);
    idt32(0x80, S_CODE0, SYS_TRAP32, 3);
    fake.vp->rflags |= F_IF;
    EXPECT_EQ(run("cd 80"), NO_FAULT);
    EXPECT_EQ(fake.vp->cpl, 0);
    EXPECT_EQ(fake.vp->seg[SEG_SS].sel, S_DATA0);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 20);
    EXPECT_EQ(peek(STACK0 - 4, 4), S_DATA3);
    EXPECT_EQ(peek(STACK0 - 8, 4), STACK3);
    EXPECT_EQ(fake.vp->rflags, F_1 | F_IF);

    fake_init(PROT32, 3);
    idt32(0x80, S_CODE0, SYS_INT16, 3);
    EXPECT_EQ(run("cd 80"), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 10);
}

TEST(software_interrupts_ask_the_gate)
{
    fake_init(PROT32, 3);
    idt32(0x80, S_CODE0, SYS_TRAP32, 0);
    EXPECT_EQ(run("cd 80"), EXC_GP);
    EXPECT_EQ(fault_error(), 0x80 * 8 + 2);
    EXPECT_EQ(fake.vp->rip, CODE);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK3);
    idt32(3, S_CODE0, SYS_TRAP32, 0);
    EXPECT_EQ(run("cc"), EXC_GP);
    EXPECT_EQ(fault_error(), 3 * 8 + 2);
    idt32(1, S_CODE0, SYS_TRAP32, 0);
    EXPECT_EQ(run("f1"), NO_FAULT); /* INT1 does not */
    EXPECT_EQ(peek(STACK0 - 20, 4), CODE + 1);
    EXPECT(deliver_event(EXC_BP, EVENT_EXC, -1));
}

TEST(gate_faults)
{
    static const struct {
        unsigned sel, type, code_attr; /* code_attr: of S_FREE */
        unsigned vector, error;
    } cases[] = {
        { S_CODE0, SYS_CALL32, 0, EXC_GP, 0x80 * 8 + 2 },
        { S_CODE0, SYS_INT32, 0, NO_FAULT, 0 },
        { 0, SYS_INT32, 0, EXC_GP, 0 },
        { 0x100, SYS_INT32, 0, EXC_GP, 0x100 },
        { S_DATA0, SYS_INT32, 0, EXC_GP, S_DATA0 },
        { S_FREE, SYS_INT32, A_CODE & ~ATTR_P, EXC_NP, S_FREE },
        { S_FREE, SYS_INT32, A_CODE | A_DPL(3), EXC_GP, S_FREE },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_init(PROT32, 0);
        put_desc(S_FREE, 0, 0xffffffff, cases[i].code_attr);
        idt32(0x80, cases[i].sel, cases[i].type, 3);
        EXPECT_EQ(run("cd 80"), cases[i].vector);
        if (cases[i].vector != NO_FAULT)
            EXPECT_EQ(fault_error(), cases[i].error);
    }
    fake_init(PROT32, 0);
    poke(IDT + 0x80 * 8 + 5, 1, SYS_INT32); /* not present */
    EXPECT_EQ(run("cd 80"), EXC_NP);
    EXPECT_EQ(fault_error(), 0x80 * 8 + 2);
    fake.vp->idt.limit = 0x3ff;
    EXPECT_EQ(run("cd 80"), EXC_GP);
    EXPECT_EQ(fault_error(), 0x80 * 8 + 2);
}

TEST(inner_stack_faults)
{
    static const struct {
        unsigned sel, attr, vector, error;
    } cases[] = {
        { 0, 0, EXC_TS, 0 },
        { 0x100, 0, EXC_TS, 0x100 },
        { S_FREE | 1, A_DATA, EXC_TS, S_FREE },
        { S_FREE, A_DATA | A_DPL(1), EXC_TS, S_FREE },
        { S_FREE, A_DATA & ~ATTR_RW, EXC_TS, S_FREE },
        { S_FREE, A_DATA & ~ATTR_P, EXC_SS, S_FREE },
        { S_FREE, A_DATA, NO_FAULT, 0 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        fake_init(PROT32, 3);
        idt32(0x80, S_CODE0, SYS_INT32, 3);
        put_desc(S_FREE, 0, 0xffffffff, cases[i].attr);
        poke(TSS + 8, 4, cases[i].sel);
        EXPECT_EQ(run("cd 80"), cases[i].vector);
        if (cases[i].vector != NO_FAULT)
            EXPECT_EQ(fault_error(), cases[i].error);
    }
    fake_init(PROT32, 3);
    idt32(0x80, S_CODE0, SYS_INT32, 3);
    put_desc(S_FREE, 0, STACK0 - 21, A_DATA); /* one byte short of room */
    poke(TSS + 8, 4, S_FREE);
    EXPECT_EQ(run("cd 80"), EXC_SS);
    EXPECT_EQ(fault_error(), S_FREE);
    fake.vp->seg[SEG_TR].limit = 8;
    EXPECT_EQ(run("cd 80"), EXC_TS);
    EXPECT_EQ(fault_error(), S_TSS);
}

TEST(long_mode)
{
    fake_init(LONG64, 3);
    idt64(14, S_CODE64, SYS_INT32, 0, 0);
    EXPECT(deliver_event(EXC_PF, EVENT_EXC, 7));
    EXPECT_EQ(fake.vp->cpl, 0);
    EXPECT_EQ(fake.vp->seg[SEG_SS].sel, 0);
    EXPECT(fake.vp->seg[SEG_SS].unusable);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 48);
    EXPECT_EQ(peek(STACK0 - 48, 8), 7);
    EXPECT_EQ(peek(STACK0 - 8, 8), S_DATA3);
    EXPECT_EQ(peek(STACK0 - 16, 8), STACK3);

    fake_init(LONG64, 0); /* the same level: aligned, SS:RSP pushed all the same */
    idt64(0x30, S_CODE64, SYS_INT32, 0, 0);
    fake.vp->gpr[RSP] = STACK0 - 5;
    EXPECT(deliver_event(0x30, EVENT_EXT, -1));
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 16 - 40);
    EXPECT_EQ(peek(STACK0 - 16 - 16, 8), STACK0 - 5);

    fake_init(LONG64, 0); /* IST 2 */
    idt64(2, S_CODE64, SYS_INT32, 0, 2);
    poke(TSS + 0x2c, 8, STACK3);
    EXPECT(deliver_event(EXC_NMI, EVENT_NMI, -1));
    EXPECT_EQ(fake.vp->gpr[RSP], STACK3 - 40);
    EXPECT(fake.vp->nmi_masked);
    EXPECT_EQ(run("48 cf"), NO_FAULT);
    EXPECT(!fake.vp->nmi_masked);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0);

    fake_init(LONG64, 0); /* a 32-bit handler is none */
    idt64(6, S_CODE0, SYS_INT32, 0, 0);
    idt64(13, S_CODE64, SYS_INT32, 0, 0);
    EXPECT(deliver_event(EXC_UD, EVENT_EXC, -1));
    EXPECT_EQ(peek(STACK0 - 48, 8), S_CODE0 | 1); /* #GP, EXT */
}

TEST(double_fault_matrix)
{
    /* first, and the fault met while delivering it (by its gate): what arrives. */
    static const struct {
        uint8_t first, second, expect;
    } cases[] = {
        { EXC_UD, EXC_GP, EXC_GP },   { EXC_UD, EXC_PF, EXC_PF },  { EXC_GP, EXC_GP, EXC_DF },
        { EXC_GP, EXC_NP, EXC_DF },   { EXC_NP, EXC_PF, EXC_PF },  { EXC_PF, EXC_PF, EXC_DF },
        { EXC_PF, EXC_NP, EXC_DF },   { EXC_DE, EXC_NP, EXC_DF },  { EXC_DB, EXC_NP, EXC_NP },
        { 0x40, EXC_NP, EXC_NP },     { EXC_AC, EXC_GP, EXC_GP },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t first = cases[i].first;
        bool hardware = first >= 32;

        fake_init(PROT32, 3);
        /* All gates lie on the IDT's page; the one of 'first' leads astray. */
        for (unsigned v = 0; v < 32; v++)
            put_gate(IDT + v * 8, S_CODE0, HANDLER + v * 16, SYS_INT32, 0, 0);
        put_gate(IDT + first * 8, S_CODE0, HANDLER, SYS_INT32, 0, 0);
        if (cases[i].second == EXC_PF) {
            /* Its handler runs at level 1, whose stack page is away. */
            put_gate(IDT + first * 8, S_CODE1, HANDLER, SYS_INT32, 0, 0);
            poke(TSS + 12, 4, 0x70000);
            fake.bad_page = 0x6f;
            if (first == EXC_PF)
                poke(TSS + 12, 4, 0x70000);
        } else if (cases[i].second == EXC_NP) {
            poke(IDT + first * 8 + 5, 1, SYS_INT32);
        } else {
            poke(IDT + first * 8 + 2, 2, 0);
        }
        EXPECT(deliver_event(first, hardware ? EVENT_EXT : EVENT_EXC, -1));
        EXPECT_EQ(fake.vp->rip, HANDLER + cases[i].expect * 16u);
    }
}

TEST(triple_fault)
{
    fake_init(PROT32, 0);
    EXPECT(!deliver_event(EXC_GP, EVENT_EXC, 0));
    fake_init(LONG64, 0);
    fake.vp->idt.limit = 0;
    EXPECT(!deliver_event(0x30, EVENT_EXT, -1));
}

TEST(vm86)
{
    fake_init(PROT32, 3);
    fake.vp->rflags = F_1 | F_VM | F_IOPL | F_IF;
    for (unsigned i = 0; i <= SEG_GS; i++)
        seg_fill_vm86(&fake.vp->seg[i], (uint16_t)(0x100 + i));
    soft_mode_changed(fake.vp);
    fake.vp->gpr[RSP] = 0x800;
    idt32(0x21, S_CODE0, SYS_INT32, 3);
    EXPECT_EQ(run("cd 21"), NO_FAULT);
    EXPECT_EQ(fake.vp->gpr[RSP], STACK0 - 36);
    EXPECT_EQ(peek(STACK0 - 4, 4), 0x105);      /* GS */
    EXPECT_EQ(peek(STACK0 - 16, 4), 0x100);     /* ES */
    EXPECT_EQ(peek(STACK0 - 20, 4), 0x102);     /* SS */
    EXPECT_EQ(peek(STACK0 - 28, 4), F_1 | F_VM | F_IOPL | F_IF);
    EXPECT(fake.vp->seg[SEG_DS].unusable);
    EXPECT_EQ(fake.vp->cpl, 0);
    poke(STACK0 - 36, 4, 0x55);
    EXPECT_EQ(run("cf"), NO_FAULT);
    EXPECT(fake.vp->rflags & F_VM);
    EXPECT_EQ(fake.vp->cpl, 3);
    EXPECT_EQ(fake.vp->rip, 0x55);
    EXPECT_EQ(fake.vp->gpr[RSP], 0x800);
    EXPECT_EQ(fake.vp->seg[SEG_GS].base, 0x1050);

    fake.vp->rflags &= ~(uint64_t)F_IOPL; /* without IOPL everything that touches IF traps */
    EXPECT_EQ(run("cd 21"), EXC_GP);
    EXPECT_EQ(run("fa"), EXC_GP);
    EXPECT_EQ(run("9c"), EXC_GP);
    EXPECT_EQ(run("cf"), EXC_GP);
    fake.vp->cr4 |= CR4_VME; /* ... but with VME they work on VIF */
    fake.vp->rflags |= F_VIF;
    EXPECT_EQ(run("fa"), NO_FAULT);
    EXPECT(!(fake.vp->rflags & F_VIF));
    EXPECT(fake.vp->rflags & F_IF);
    EXPECT_EQ(run("9c"), NO_FAULT);
    EXPECT_EQ(peek(0x1020 + 0x7fe, 2), F_1 | F_IOPL);
    fake.vp->rflags |= F_VIP;
    EXPECT_EQ(run("fb"), EXC_GP);
    /* INT n by the VM86 program's own table: the redirection map is clear. */
    poke(TSS + 102, 2, 0x88);
    poke(0x21 * 4, 4, 0x02000042);
    EXPECT_EQ(run("cd 21"), NO_FAULT);
    EXPECT_EQ(fake.vp->seg[SEG_CS].base, 0x2000);
    EXPECT_EQ(fake.vp->rip, 0x42);
    EXPECT(fake.vp->rflags & F_VM);
    poke(TSS + 0x68 + 4, 1, 2); /* vector 0x21 to the monitor */
    EXPECT_EQ(run("cd 21"), EXC_GP);
}

TEST(picking)
{
    struct soft_vp *vp;

    fake_init(PROT32, 0);
    vp = fake.vp;
    vp->attention = ATT_IRQ;
    fake.pending = 0x51;
    EXPECT(!event_pick(vp)); /* IF */
    EXPECT(vp->attention & ATT_IRQ);
    vp->rflags |= F_IF;
    vp->shadow = 1;
    EXPECT(!event_pick(vp));
    vp->attention |= ATT_NMI;
    EXPECT(!event_pick(vp));
    vp->shadow = 0;
    EXPECT(event_pick(vp)); /* NMI first */
    EXPECT_EQ(vp->event.vector, EXC_NMI);
    EXPECT(!(vp->attention & ATT_NMI));
    vp->event_valid = false;
    vp->nmi_masked = true;
    vp->attention |= ATT_NMI;
    EXPECT(event_pick(vp));
    EXPECT_EQ(vp->event.vector, 0x51);
    vp->event_valid = false;
    EXPECT(!event_pick(vp));
    EXPECT_EQ(vp->attention, ATT_NMI);
    fake.soft.extint = 1;
    fake.extint = 0x20;
    vp->attention |= ATT_IRQ;
    vp->halted = true;
    EXPECT(event_pick(vp));
    EXPECT_EQ(vp->event.vector, 0x20);
    EXPECT(!vp->halted);
}

TEST(debug_traps)
{
    struct soft_vp *vp;

    fake_init(PROT32, 0);
    vp = fake.vp;
    vp->dr[0] = 0x1002;
    vp->dr[7] = 0x400 | 1 | (uint64_t)0xd << 16; /* 4 bytes from 0x1000, write */
    EXPECT(debug_armed(vp, 1));
    EXPECT(!debug_armed(vp, 0));
    debug_data_access(vp, 0x1003, 1, false);
    EXPECT(!debug_trap(vp));
    debug_data_access(vp, 0x1003, 1, true);
    vp->shadow = 2;
    EXPECT(!debug_trap(vp)); /* MOV SS holds it back */
    vp->shadow = 0;
    vp->dr[6] = 0xffff0ff0 | 2;
    EXPECT(debug_trap(vp));
    EXPECT_EQ(vp->dr[6], 0xffff0ff1);
    vp->event_valid = false;
    EXPECT(!debug_trap(vp));
    vp->step = true;
    EXPECT(debug_trap(vp));
    EXPECT_EQ(vp->dr[6], 0xffff4ff0);
    vp->dr[7] = 0x400 | 2; /* code, by the global bit */
    EXPECT(debug_code_break(vp, 0x1002));
    EXPECT(!debug_code_break(vp, 0x1003));
    vp->rflags |= F_RF;
    EXPECT(!debug_code_break(vp, 0x1002));
    vp->dr[7] |= 1 << 13;
    EXPECT_EQ(run("0f 21 f0"), EXC_DB); /* general detect */
    EXPECT(vp->dr[6] & 1 << 13);
}
