/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control_test.c - control registers, MSRs, CPUID, ports, flags. */
#include "cpu/soft/sys_fake.h"

TEST(cr0_and_long_mode)
{
    struct soft_vp *vp;

    fake_init(PROT32, 0);
    vp = fake.vp;
    vp->gpr[RAX] = CR0_PG;
    EXPECT_EQ(run("0f 22 c0"), EXC_GP); /* PG without PE */
    vp->gpr[RAX] = CR0_PE | (uint64_t)CR0_NW;
    EXPECT_EQ(run("0f 22 c0"), EXC_GP);
    vp->efer = EFER_LME;
    vp->gpr[RAX] = CR0_PG | CR0_PE;
    EXPECT_EQ(run("0f 22 c0"), EXC_GP); /* no PAE */
    vp->cr4 = CR4_PAE;
    EXPECT_EQ(run("0f 22 c0"), NO_FAULT);
    EXPECT(vp->efer & EFER_LMA);
    EXPECT_EQ(vp->cr0, CR0_PG | CR0_PE | CR0_ET);
    vp->gpr[RAX] = 0;
    EXPECT_EQ(run("0f 22 e0"), EXC_GP); /* PAE stays on */
    EXPECT(!msr_write(vp, 0xc0000084, UINT64_C(1) << 32));
    vp->gpr[RCX] = 0xc0000080;
    vp->gpr[RAX] = vp->gpr[RDX] = 0;
    EXPECT_EQ(run("0f 30"), EXC_GP); /* LME while paging */
    vp->gpr[RAX] = CR0_PE;
    EXPECT_EQ(run("0f 22 c0"), NO_FAULT);
    EXPECT(!(vp->efer & EFER_LMA));
    EXPECT_EQ(run("0f 22 c8"), EXC_UD); /* CR1 */
    fake_init(LONG64, 0);
    fake.vp->gpr[RAX] = CR0_PE;
    EXPECT_EQ(run("0f 22 c0"), EXC_GP); /* from 64-bit code */
    fake_init(PROT32, 3);
    EXPECT_EQ(run("0f 20 c0"), EXC_GP);
}

TEST(cr3_and_cr4)
{
    struct soft_vp *vp;

    fake_init(LONG64, 0);
    vp = fake.vp;
    vp->gpr[RAX] = UINT64_C(1) << 40;
    EXPECT_EQ(run("0f 22 d8"), EXC_GP);
    vp->gpr[RAX] = UINT64_C(1) << 63 | 0x1000;
    EXPECT_EQ(run("0f 22 d8"), EXC_GP);
    vp->cr3 = 1;
    vp->gpr[RAX] = CR4_PAE | CR4_PCIDE;
    EXPECT_EQ(run("0f 22 e0"), EXC_GP);
    vp->cr3 = 0;
    EXPECT_EQ(run("0f 22 e0"), NO_FAULT);
    vp->gpr[RAX] = UINT64_C(1) << 63 | 0x1005;
    EXPECT_EQ(run("0f 22 d8"), NO_FAULT);
    EXPECT_EQ(vp->cr3, 0x1005);
    EXPECT_EQ(fake.cr3_set >> 63, 1);
    vp->gpr[RAX] = CR4_PAE | 1 << 13; /* VMXE */
    EXPECT_EQ(run("0f 22 e0"), EXC_GP);
    vp->gpr[RAX] = 0x10;
    EXPECT_EQ(run("44 0f 22 c0"), EXC_GP); /* CR8 */
    vp->gpr[RAX] = 0xf;
    EXPECT_EQ(run("44 0f 22 c0"), NO_FAULT);
}

TEST(debug_registers)
{
    struct soft_vp *vp;

    fake_init(LONG64, 0);
    vp = fake.vp;
    vp->gpr[RAX] = 0xffffffff;
    EXPECT_EQ(run("0f 23 f0"), NO_FAULT);
    EXPECT_EQ(vp->dr[6], 0xffffefff);
    EXPECT_EQ(run("0f 23 f8"), NO_FAULT);
    EXPECT_EQ(vp->dr[7], 0xffff2fff);
    vp->dr[7] = 0x400;
    vp->gpr[RAX] = UINT64_C(1) << 32;
    EXPECT_EQ(run("0f 23 f8"), EXC_GP);
    EXPECT_EQ(run("0f 21 e0"), NO_FAULT); /* DR4 is DR6 */
    EXPECT_EQ(vp->gpr[RAX], 0xffffefff);
    vp->cr4 |= CR4_DE;
    EXPECT_EQ(run("0f 21 e0"), EXC_UD);
}

TEST(msrs)
{
    struct soft_vp *vp;
    uint64_t v;

    fake_init(LONG64, 0);
    vp = fake.vp;
    EXPECT(!msr_read(vp, 0x12345678, &v));
    EXPECT(msr_write(vp, 0xc0000082, 0xffffffff81000000));
    EXPECT(!msr_write(vp, 0xc0000082, UINT64_C(1) << 60));
    EXPECT(msr_read(vp, 0xc0000082, &v) && v == 0xffffffff81000000);
    EXPECT(msr_write(vp, 0xc0000100, 0x7f0000000000));
    EXPECT_EQ(vp->seg_base[SEG_FS], 0x7f0000000000);
    EXPECT(!msr_write(vp, 0xc0000101, UINT64_C(1) << 50));
    EXPECT(msr_write(vp, 0x277, 0x0007010600070106));
    EXPECT(!msr_write(vp, 0x277, 0x0003010600070106));
    EXPECT(msr_write(vp, 0x10, 0));
    EXPECT(msr_read(vp, 0x10, &v) && v < 1000000000);
    EXPECT(msr_read(vp, 0x40000000, &v) && v == 0xabc);
    EXPECT(!msr_read(vp, 0x40000001, &v));
    EXPECT(msr_read(vp, 0xfe, &v) && (v & 0xff) == 8);
    EXPECT(!msr_write(vp, 0xfe, v));
    EXPECT(msr_write(vp, 0x26f, 0x0606060606060606));
    EXPECT(msr_read(vp, 0x26f, &v) && v == 0x0606060606060606);
    EXPECT(!msr_write(vp, 0x250, 2));
    fake_init(LONG64, 3);
    EXPECT_EQ(run("0f 32"), EXC_GP);
    EXPECT_EQ(run("0f 33"), EXC_GP);
}

TEST(cpuid)
{
    struct soft_vp *vp;
    uint32_t v[4];

    fake_init(LONG64, 0);
    vp = fake.vp;
    vp->vp.index = 1;
    fake.soft.part.cfg.n_vps = 3;
    cpuid_run(vp, 1, 0, v);
    EXPECT_EQ(v[1] >> 16, 0x0103);
    EXPECT(!(v[2] & 1 << 27));
    EXPECT(v[3] & 1 << 28);
    cpuid_run(vp, 0xb, 0, v);
    EXPECT_EQ(v[3], 1);
    EXPECT_EQ(v[1], 1);
    cpuid_run(vp, 0xb, 1, v);
    EXPECT_EQ(v[0], 2);
    EXPECT_EQ(v[1], 3);
    EXPECT_EQ(v[2], 0x201);
    cpuid_run(vp, 0xb, 2, v);
    EXPECT_EQ(v[2], 2);
    cpuid_run(vp, 0x80000008, 0, v);
    EXPECT_EQ(v[0] & 0xff, 40);
    cpuid_run(vp, 0x23456789, 0, v);
    EXPECT_EQ(v[0] | v[1] | v[2] | v[3], 0);
    EXPECT(vp->n_cpuid < CPUID_ENTRIES_MAX / 2);
}

TEST(ports)
{
    struct soft_vp *vp;

    fake_init(PROT32, 3);
    vp = fake.vp;
    vp->gpr[RDX] = 0x3f9;
    EXPECT_EQ(run("ec"), NO_FAULT); /* in al, dx: the map is clear */
    EXPECT_EQ(vp->gpr[RAX] & 0xff, 0x78);
    poke(TSS + 0x68 + 0x3f8 / 8, 1, 4);
    EXPECT_EQ(run("ec"), NO_FAULT);
    EXPECT_EQ(run("66 ed"), EXC_GP); /* 0x3fa too */
    vp->seg[SEG_TR].limit = 0x68 + 0x3f8 / 8; /* the second byte is missing */
    EXPECT_EQ(run("ec"), EXC_GP);
    vp->rflags |= F_IOPL;
    vp->gpr[RAX] = 0x11223344;
    EXPECT_EQ(run("66 ef"), NO_FAULT);
    EXPECT_EQ(fake.port_value, 0x3344);
    EXPECT_EQ(fake.port_size, 2);
    fake_init(LONG64, 0);
    fake.vp->gpr[RCX] = 0x5c;
    fake.port = 0;
    EXPECT_EQ(run("e7 b1"), NO_FAULT); /* a hypercall */
    EXPECT_EQ(fake.vp->gpr[RAX], UINT64_C(0x10000005c));
    EXPECT_EQ(fake.port, 0);
}

TEST(interrupt_flag)
{
    struct soft_vp *vp;

    fake_init(PROT32, 3);
    vp = fake.vp;
    EXPECT_EQ(run("fa"), EXC_GP);
    EXPECT_EQ(run("fb"), EXC_GP);
    vp->cr4 |= CR4_PVI;
    EXPECT_EQ(run("fb"), NO_FAULT);
    EXPECT(vp->rflags & F_VIF);
    EXPECT(!(vp->rflags & F_IF));
    vp->rflags |= F_IOPL;
    EXPECT_EQ(run("fb"), NO_FAULT);
    EXPECT(vp->rflags & F_IF);
    EXPECT_EQ(vp->shadow, 1);
    fake_init(PROT32, 3); /* POPF above IOPL leaves IF and IOPL alone */
    fake.vp->gpr[RSP] = STACK3 - 4;
    poke(STACK3 - 4, 4, F_IF | F_IOPL | F_ZF | F_AC | F_VM | F_VIF);
    EXPECT_EQ(run("9d"), NO_FAULT);
    EXPECT_EQ(fake.vp->rflags, F_1 | F_ZF | F_AC);
    fake_init(LONG64, 0);
    fake.vp->rflags |= F_RF;
    EXPECT_EQ(run("9c"), NO_FAULT);
    EXPECT_EQ(peek(STACK0 - 8, 8), F_1);
}

TEST(umip)
{
    fake_init(LONG64, 3);
    EXPECT_EQ(run("0f 01 e0"), NO_FAULT); /* smsw eax */
    fake.vp->cr4 |= CR4_UMIP;
    EXPECT_EQ(run("0f 01 e0"), EXC_GP);
    EXPECT_EQ(run("0f 00 c8"), EXC_GP); /* str eax */
    fake.vp->gpr[RBX] = DATA;
    EXPECT_EQ(run("0f 01 03"), EXC_GP); /* sgdt [rbx] */
    fake_init(LONG64, 0);
    fake.vp->gpr[RBX] = DATA;
    EXPECT_EQ(run("0f 01 03"), NO_FAULT);
    EXPECT_EQ(peek(DATA, 2), 0xff);
    EXPECT_EQ(peek(DATA + 2, 8), GDT);
    poke(DATA + 2, 8, UINT64_C(1) << 60);
    EXPECT_EQ(run("0f 01 13"), EXC_GP); /* lgdt [rbx] */
}

TEST(swapgs_and_bases)
{
    fake_init(LONG64, 0);
    fake.vp->msrs.kernel_gs_base = 0x1234;
    EXPECT_EQ(run("0f 01 f8"), NO_FAULT);
    EXPECT_EQ(fake.vp->seg_base[SEG_GS], 0x1234);
    EXPECT_EQ(run("f3 48 0f ae c0"), EXC_UD); /* rdfsbase rax: CR4 */
    fake.vp->cr4 |= CR4_FSGSBASE;
    fake.vp->gpr[RAX] = UINT64_C(1) << 55;
    EXPECT_EQ(run("f3 48 0f ae d0"), EXC_GP); /* wrfsbase rax */
    fake.vp->gpr[RAX] = 0x5678;
    EXPECT_EQ(run("f3 48 0f ae d0"), NO_FAULT);
    EXPECT_EQ(fake.vp->seg[SEG_FS].base, 0x5678);
}

TEST(bound_and_into)
{
    fake_init(PROT32, 0);
    poke(DATA, 8, UINT64_C(10) << 32 | 0xfffffffe); /* -2 .. 10 */
    fake.vp->gpr[RBX] = DATA;
    fake.vp->gpr[RAX] = 0xffffffff;
    EXPECT_EQ(run("62 03"), NO_FAULT);
    fake.vp->gpr[RAX] = 11;
    EXPECT_EQ(run("62 03"), EXC_BR);
    EXPECT_EQ(run("ce"), NO_FAULT);
    fake.vp->rflags |= F_OF;
    EXPECT_EQ(run("ce"), EXC_GP); /* gate 4 is none */
}

TEST(init_and_sipi)
{
    fake_init(LONG64, 0);
    fake.vp->vp.index = 1;
    sys_reset(fake.vp, true);
    EXPECT_EQ(fake.vp->mp_state, MP_WAIT_SIPI);
    EXPECT_EQ(fake.vp->efer, 0);
    sys_sipi(fake.vp, 0x9a);
    EXPECT_EQ(fake.vp->mp_state, MP_RUNNING);
    EXPECT_EQ(fake.vp->seg[SEG_CS].base, 0x9a000);
    EXPECT_EQ(fake.vp->rip, 0);
    sys_sipi(fake.vp, 0x10);
    EXPECT_EQ(fake.vp->seg[SEG_CS].base, 0x9a000);
}
