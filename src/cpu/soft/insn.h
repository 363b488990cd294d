/* SPDX-License-Identifier: GPL-2.0-or-later */
/* insn.h - one decoded instruction: pure data, no virtual address in it.
 *
 * Source: AMD64 APM volume 3, appendix A; Intel SDM volume 2, appendix A. */
#pragma once

#include "base/util.h"

#define INSN_MAX 15 /* bytes */

enum insn_map { MAP_1, MAP_0F, MAP_0F38, MAP_0F3A };

enum insn_prefix {
    PFX_LOCK = 1 << 0,
    PFX_REPNE = 1 << 1, /* F2; of F2 and F3 the last counts */
    PFX_REP = 1 << 2,   /* F3 */
    PFX_66 = 1 << 3,
    PFX_67 = 1 << 4,
    PFX_REX = 1 << 5,
    PFX_VEX = 1 << 6,
    PFX_SEG = 1 << 7,   /* an explicit segment override that counts */
};

struct insn {
    uint8_t map, opcode; /* enum insn_map */
    uint8_t prefixes;    /* enum insn_prefix */
    uint8_t rex;         /* W R X B in bits 3..0; from VEX as well */
    uint8_t len;
    uint8_t op_size;     /* 2, 4, 8: of non-byte integer operands; prefixes and mode counted in */
    uint8_t addr_size;   /* 2, 4, 8 */
    uint8_t seg;         /* segment of the memory operand: override or default (enum vp_seg) */
    bool has_modrm;
    uint8_t mod, reg, rm; /* reg and rm with REX.R and REX.B; mod 3: rm is a register */
    uint8_t base, index;  /* memory: GPR numbers, INSN_NONE, or INSN_RIP as base */
    uint8_t scale;        /* 0..3: shift of index */
    uint8_t vvvv, vex_l, vex_pp;
    uint8_t imm_size;     /* bytes; 0: none */
    int32_t disp;         /* sign-extended */
    uint64_t imm;         /* sign-extended to 64 bits; moffs address; offset of a far pointer */
    uint16_t imm2;        /* selector of a far pointer; ENTER's second immediate */
    uint8_t opcode_at;    /* offset of the opcode byte, behind prefixes and escapes */
    uint8_t imm_at;       /* offset of the immediate */
    uint8_t bytes[INSN_MAX]; /* as fetched: templates copy them */
};
#define INSN_NONE 0xff
#define INSN_RIP  0xfe

enum decode_result {
    DECODE_OK,
    DECODE_MORE, /* n bytes were not enough: give more (or the fetch of the next page faults) */
    DECODE_LONG, /* longer than 15 bytes: #GP */
    DECODE_UD,   /* no such encoding: #UD; len is what was looked at */
};

/* 'size' is MODE_16, MODE_32 or MODE_64 of cpu.h.  Says nothing about privileges, CPUID features or
 * where LOCK may stand: that is for those who execute it. */
enum decode_result decode(const uint8_t *bytes, size_t n, unsigned size, struct insn *ret);
