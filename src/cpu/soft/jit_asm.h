/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_asm.h - host instructions into a buffer: prefixes, REX, opcode, ModRM, SIB, displacement.
 *
 * Source: AMD64 APM volume 3, chapter 1.  Pure: nothing here knows of guests.  A buffer that is full
 * takes no more and says so at the end. */
#pragma once

#include <string.h>

#include "base/util.h"

enum host_reg { H_RAX, H_RCX, H_RDX, H_RBX, H_RSP, H_RBP, H_RSI, H_RDI, H_R8, H_R9, H_R10, H_R11,
                H_R12, H_R13, H_R14, H_R15, H_NONE = 0xff };

/* An opcode is its byte and these. */
enum host_op {
    OPC_0F = 1 << 8,
    OPC_0F38 = 2 << 8,
    OPC_0F3A = 3 << 8,
    OPC_MAP = 3 << 8,
    OPC_66 = 1 << 10,
    OPC_F3 = 1 << 11,
    OPC_F2 = 1 << 12,
    OPC_W = 1 << 13,        /* REX.W */
    OPC_BYTE_REG = 1 << 14, /* ModRM.reg is a byte register: SPL to DIL need a REX */
    OPC_BYTE_RM = 1 << 15,
    OPC_LOCK = 1 << 16,
};

/* What ModRM.rm names. */
struct host_rm {
    uint8_t reg;    /* register operand, or H_NONE: memory */
    uint8_t base;   /* H_NONE: none */
    uint8_t index;  /* H_RSP: none */
    uint8_t scale;  /* 0..3 */
    int32_t disp;
    const void *at; /* RIP-relative: this address of the running mapping */
};

static inline struct host_rm rm_reg(unsigned reg)
{
    return (struct host_rm){ .reg = (uint8_t)reg, .base = H_NONE, .index = H_RSP };
}
static inline struct host_rm rm_mem(unsigned base, int32_t disp)
{
    return (struct host_rm){ .reg = H_NONE, .base = (uint8_t)base, .index = H_RSP, .disp = disp };
}
static inline struct host_rm rm_sib(unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    return (struct host_rm){ .reg = H_NONE, .base = (uint8_t)base, .index = (uint8_t)index,
                             .scale = (uint8_t)scale, .disp = disp };
}
static inline struct host_rm rm_at(const void *at)
{
    return (struct host_rm){ .reg = H_NONE, .base = H_NONE, .index = H_RSP, .at = at };
}

struct asm_buf {
    uint8_t *start, *p, *end;
    intptr_t run; /* of the running mapping - of this one */
    bool full;
    bool bmi2; /* the host has it */
    bool gs;   /* GS is the TLB's address */
};

static inline const uint8_t *asm_here(const struct asm_buf *a) /* where p will run */
{
    return (const uint8_t *)((intptr_t)a->p + a->run);
}

static inline void asm_put(struct asm_buf *a, uint64_t v, unsigned n)
{
    if (a->p + 8 > a->end) {
        a->full = true;
        return;
    }
    memcpy(a->p, &v, 8); /* what lies behind is not written yet */
    a->p += n;
}
static inline void asm_8(struct asm_buf *a, unsigned v)
{
    asm_put(a, v & 0xff, 1);
}
static inline void asm_32(struct asm_buf *a, uint32_t v)
{
    asm_put(a, v, 4);
}

#define ASM_INSN_MAX 16

static inline bool asm_room(struct asm_buf *a)
{
    if (likely(a->p + ASM_INSN_MAX <= a->end))
        return true;
    a->full = true;
    return false;
}

/* What has no base: [disp32], [index * scale + disp32], or an address of the running mapping. */
static inline uint8_t *asm_no_base(const struct asm_buf *a, uint8_t *p, unsigned reg, struct host_rm rm,
                                   unsigned behind)
{
    unsigned r = (reg & 7) << 3;
    uint32_t disp = (uint32_t)rm.disp;

    if (rm.at) {
        *p++ = (uint8_t)(r | 5);
        disp = (uint32_t)((intptr_t)rm.at - ((intptr_t)p + a->run) - 4 - (int)behind);
    } else {
        *p++ = (uint8_t)(r | 4);
        *p++ = (uint8_t)((unsigned)rm.scale << 6 | (rm.index & 7u) << 3 | 5);
    }
    memcpy(p, &disp, 4);
    return p + 4;
}

/* ModRM, SIB and displacement at 'p', which has the room; 'behind' bytes of the instruction follow.  What is
 * there or not is written anyway, and counted or not: a branch would be wrong half of the time. */
static inline uint8_t *asm_modrm(const struct asm_buf *a, uint8_t *p, unsigned reg, struct host_rm rm,
                                 unsigned behind)
{
    bool memory = rm.reg == H_NONE;
    unsigned base = memory ? rm.base : rm.reg, low = base & 7;
    unsigned sib = memory & (rm.index != H_RSP || low == H_RSP);
    unsigned mod = !memory                       ? 3
                   : !rm.disp && low != H_RBP    ? 0
                   : rm.disp == (int8_t)rm.disp ? 1
                                                 : 2;

    if (unlikely(base == H_NONE))
        return asm_no_base(a, p, reg, rm, behind);
    p[0] = (uint8_t)(mod << 6 | (reg & 7) << 3 | (sib ? 4 : low));
    p[1] = (uint8_t)((unsigned)rm.scale << 6 | (rm.index & 7u) << 3 | low);
    p += 1 + sib;
    memcpy(p, &rm.disp, 4);
    return p + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

/* One instruction with a ModRM; 'imm' bytes of immediate follow (the caller puts them). */
static inline void asm_op(struct asm_buf *a, unsigned opc, unsigned reg, struct host_rm rm,
                          unsigned imm)
{
    bool memory = rm.reg == H_NONE;
    unsigned base = memory ? rm.base : rm.reg;
    unsigned rex = (opc & OPC_W ? 8 : 0) | (reg >> 3 & 1) << 2 | (rm.index >> 3 & 1) << 1 |
                   (base != H_NONE ? base >> 3 & 1 : 0);
    uint8_t *p = a->p;

    if (!asm_room(a))
        return;
    if ((opc & OPC_BYTE_REG && reg >= 4) || (opc & OPC_BYTE_RM && !memory && base >= 4))
        rex |= 0x40;
    if (unlikely(opc & (OPC_LOCK | OPC_F3 | OPC_F2))) {
        if (opc & OPC_LOCK)
            *p++ = 0xf0;
        if (opc & OPC_F3)
            *p++ = 0xf3;
        if (opc & OPC_F2)
            *p++ = 0xf2;
    }
    *p = 0x66;
    p += opc & OPC_66 ? 1 : 0;
    *p = (uint8_t)(0x40 | rex);
    p += rex ? 1 : 0;
    if (opc & OPC_MAP) {
        *p++ = 0x0f;
        if ((opc & OPC_MAP) != OPC_0F)
            *p++ = (opc & OPC_MAP) == OPC_0F38 ? 0x38 : 0x3a;
    }
    *p++ = (uint8_t)opc;
    a->p = asm_modrm(a, p, reg, rm, imm);
}

/* The same with a VEX prefix: 'pp' and 'map' as it counts them, 'v' the register of vvvv. */
static inline void asm_vex(struct asm_buf *a, unsigned map, unsigned pp, unsigned w, unsigned l,
                           unsigned opcode, unsigned reg, unsigned v, struct host_rm rm, unsigned imm)
{
    unsigned x = rm.index >> 3 & 1u;
    unsigned b = rm.reg != H_NONE ? rm.reg >> 3 & 1u : rm.base != H_NONE ? rm.base >> 3 & 1u : 0;

    uint8_t *p = a->p;

    if (!asm_room(a))
        return;
    *p++ = 0xc4;
    *p++ = (uint8_t)((~reg >> 3 & 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | map);
    *p++ = (uint8_t)(w << 7 | (~v & 15) << 3 | l << 2 | pp);
    *p++ = (uint8_t)opcode;
    a->p = asm_modrm(a, p, reg, rm, imm);
}

/* reg = p: an address of the running mapping's neighbourhood. */
static inline void asm_pointer(struct asm_buf *a, unsigned reg, const void *p)
{
    if ((uintptr_t)p != (uint32_t)(uintptr_t)p) {
        asm_op(a, 0x8d | OPC_W, reg, rm_at(p), 0); /* lea */
        return;
    }
    if (reg >= 8)
        asm_8(a, 0x41);
    asm_8(a, 0xb8 | (reg & 7)); /* mov $, which clears the upper half */
    asm_32(a, (uint32_t)(uintptr_t)p);
}

static inline uint32_t asm_rel(const struct asm_buf *a, const void *to, unsigned n) /* n bytes long */
{
    return (uint32_t)((intptr_t)to - (intptr_t)asm_here(a) - (int)n);
}
static inline void asm_jmp(struct asm_buf *a, const void *to)
{
    asm_put(a, 0xe9 | (uint64_t)asm_rel(a, to, 5) << 8, 5);
}
static inline void asm_call(struct asm_buf *a, const void *to)
{
    asm_put(a, 0xe8 | (uint64_t)asm_rel(a, to, 5) << 8, 5);
}
static inline void asm_jcc(struct asm_buf *a, unsigned cc, const void *to)
{
    asm_put(a, 0x800f | cc << 8 | (uint64_t)asm_rel(a, to, 6) << 16, 6);
}
/* A forward jump: the place of its displacement, for asm_land(). */
static inline uint8_t *asm_jcc_later(struct asm_buf *a, unsigned cc)
{
    asm_put(a, 0x800f | cc << 8, 6);
    return a->p - 4;
}
static inline uint8_t *asm_jmp_later(struct asm_buf *a)
{
    asm_put(a, 0xe9, 5);
    return a->p - 4;
}
static inline void asm_land_at(struct asm_buf *a, uint8_t *from, const uint8_t *to)
{
    int32_t rel = (int32_t)(to - from - 4);

    if (!a->full)
        memcpy(from, &rel, 4);
}
static inline void asm_land(struct asm_buf *a, uint8_t *from)
{
    asm_land_at(a, from, a->p);
}

enum { /* opcodes by what they are */
    X_ADD_MR = 0x01, X_ADD_RM = 0x03, X_AND_RM = 0x23, X_SUB_RM = 0x2b, X_SUB_MR = 0x29,
    X_XOR_RM = 0x33, X_CMP_RM = 0x3b, X_CMP_MR = 0x39, X_TEST_MR = 0x85, X_MOV_MR = 0x89,
    X_MOV_RM = 0x8b, X_LEA = 0x8d, X_GROUP1_I = 0x81, X_GROUP1_I8 = 0x83, X_SHIFT_I = 0xc1,
    X_MOVSXD = 0x63 | OPC_W, X_XCHG = 0x87,
};
enum { /* ModRM.reg of group 1, and of shifts */
    G_ADD = 0, G_OR = 1, G_AND = 4, G_SUB = 5, G_XOR = 6, G_CMP = 7, G_SHL = 4, G_SHR = 5, G_SAR = 7,
};
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE,
       CC_LE, CC_G };

/* Group 1 with an immediate: add, and, cmp ... */
static inline void asm_imm(struct asm_buf *a, unsigned group, unsigned opc, struct host_rm rm,
                           int32_t imm)
{
    bool small = imm == (int8_t)imm;

    asm_op(a, (small ? X_GROUP1_I8 : X_GROUP1_I) | opc, group, rm, small ? 1 : 4);
    asm_put(a, (uint32_t)imm, small ? 1 : 4);
}
