/* SPDX-License-Identifier: GPL-2.0-or-later */
/* decode_test.c - fields of chosen encodings, and lengths against capstone's over programs of the
 * host and over random bytes. */
#include "cpu/soft/insn.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "base/test.h"
#include "cpu/soft/cpu.h"

#define DECODE(size, ...)                                                             \
    ({                                                                                \
        static const uint8_t x_[] = { __VA_ARGS__ };                                  \
        EXPECT_EQ(decode(x_, sizeof x_, size, &in), DECODE_OK);                       \
        EXPECT_EQ(in.len, sizeof x_);                                                 \
        for (size_t i_ = 0; i_ < sizeof x_; i_++)                                     \
            EXPECT_EQ(decode(x_, i_, size, &(struct insn){ 0 }), DECODE_MORE);        \
    })
#define RESULT(size, ...)                                                             \
    ({                                                                                \
        static const uint8_t x_[] = { __VA_ARGS__ };                                  \
        decode(x_, sizeof x_, size, &(struct insn){ 0 });                             \
    })

TEST(memory_operands)
{
    struct insn in;

    DECODE(MODE_64, 0x48, 0x8b, 0x44, 0x8a, 0xf8); /* mov rax, [rdx + rcx * 4 - 8] */
    EXPECT(in.base == RDX && in.index == RCX && in.scale == 2 && in.disp == -8);
    EXPECT(in.op_size == 8 && in.reg == RAX && in.seg == SEG_DS);
    DECODE(MODE_64, 0x64, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0); /* mov eax, fs:[0x28] */
    EXPECT(in.base == INSN_NONE && in.index == INSN_NONE && in.disp == 0x28 && in.seg == SEG_FS);
    DECODE(MODE_64, 0x8b, 0x05, 1, 2, 3, 4); /* mov eax, [rip + ..] */
    EXPECT(in.base == INSN_RIP && in.disp == 0x04030201);
    DECODE(MODE_32, 0x8b, 0x05, 1, 2, 3, 4);
    EXPECT(in.base == INSN_NONE && in.disp == 0x04030201);
    DECODE(MODE_64, 0x47, 0x8b, 0x64, 0x25, 0x00); /* mov r12d, [r13 + r12] */
    EXPECT(in.base == R13 && in.index == R12 && in.reg == R12 && in.seg == SEG_DS);
    DECODE(MODE_64, 0x89, 0x45, 0xfc);
    EXPECT(in.base == RBP && in.seg == SEG_SS);
    DECODE(MODE_16, 0x8b, 0x42, 0x10); /* mov ax, [bp + si + 16] */
    EXPECT(in.base == RBP && in.index == RSI && in.seg == SEG_SS && in.addr_size == 2);
    DECODE(MODE_16, 0x8b, 0x1e, 0x00, 0x80);
    EXPECT(in.base == INSN_NONE && in.disp == -0x8000 && in.seg == SEG_DS);
    DECODE(MODE_32, 0x67, 0x8b, 0x07);
    EXPECT(in.base == RBX && in.addr_size == 2);
    DECODE(MODE_64, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8);
    EXPECT(in.imm == UINT64_C(0x0807060504030201) && in.imm_size == 8);
}

TEST(sizes_and_immediates)
{
    struct insn in;

    DECODE(MODE_64, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 0x88);
    EXPECT(in.imm == UINT64_C(0x8807060504030201) && in.imm_size == 8 && in.rm == 0);
    DECODE(MODE_64, 0x66, 0xb8, 0xff, 0xff);
    EXPECT(in.imm == UINT64_MAX && in.op_size == 2);
    DECODE(MODE_64, 0x55);
    EXPECT_EQ(in.op_size, 8);
    DECODE(MODE_64, 0x66, 0x55);
    EXPECT_EQ(in.op_size, 2);
    DECODE(MODE_64, 0x66, 0x48, 0xe8, 0, 0, 0, 0); /* as in TLS sequences */
    EXPECT_EQ(in.op_size, 8);
    DECODE(MODE_64, 0xff, 0xd0);
    EXPECT_EQ(in.op_size, 8);
    DECODE(MODE_64, 0xff, 0x18); /* call far */
    EXPECT_EQ(in.op_size, 4);
    DECODE(MODE_64, 0xf7, 0xc0, 1, 0, 0, 0);
    EXPECT(in.imm_size == 4 && in.imm_at == 2);
    DECODE(MODE_64, 0xf7, 0xd0);
    EXPECT_EQ(in.imm_size, 0);
    DECODE(MODE_64, 0xc8, 0x10, 0x80, 0x03);
    EXPECT(in.imm == 0x8010 && in.imm2 == 3);
    DECODE(MODE_32, 0xea, 1, 2, 3, 4, 5, 6);
    EXPECT(in.imm == 0x04030201 && in.imm2 == 0x0605);
    DECODE(MODE_16, 0x66, 0x68, 1, 2, 3, 4);
    EXPECT_EQ(in.op_size, 4);
    DECODE(MODE_64, 0x0f, 0x20, 0x1d & 0x3f); /* mov from CR: mod does not count */
    EXPECT(in.mod == 3 && in.reg == 3 && in.rm == RBP);
}

TEST(prefixes)
{
    struct insn in;

    DECODE(MODE_64, 0xf3, 0xf2, 0x0f, 0x10, 0xc0);
    EXPECT_EQ(in.prefixes, PFX_REPNE);
    DECODE(MODE_64, 0x48, 0x66, 0x90); /* a REX too early is lost */
    EXPECT(in.rex == 0 && in.op_size == 2 && in.prefixes == PFX_66);
    DECODE(MODE_64, 0x64, 0x2e, 0x8b, 0x00); /* CS means nothing here */
    EXPECT_EQ(in.seg, SEG_FS);
    DECODE(MODE_32, 0x64, 0x2e, 0x8b, 0x00);
    EXPECT_EQ(in.seg, SEG_CS);
    DECODE(MODE_64, 0xc5, 0xf1, 0xfe, 0xc2); /* vpaddd xmm0, xmm1, xmm2 */
    EXPECT(in.map == MAP_0F && in.opcode == 0xfe && in.vvvv == 1 && in.vex_l == 0 && in.vex_pp == 1);
    DECODE(MODE_64, 0xc4, 0xc2, 0xf5, 0xb8, 0xd1); /* vfmadd231pd ymm2, ymm1, ymm9 */
    EXPECT(in.map == MAP_0F38 && in.rm == 9 && in.reg == 2 && in.vex_l == 1 && in.rex == 9);
    DECODE(MODE_32, 0xc5, 0x08); /* lds */
    EXPECT(in.map == MAP_1 && in.opcode == 0xc5);
    DECODE(MODE_32, 0xc5, 0xf8, 0x77);
    EXPECT(in.prefixes == PFX_VEX && in.opcode == 0x77);
    EXPECT_EQ(RESULT(MODE_64, 0x66, 0xc5, 0xf1, 0xfe, 0xc2), DECODE_UD);
}

TEST(refused)
{
    static const uint8_t prefixes[16] = { [0 ... 15] = 0x66 };
    uint8_t b[16] = { [0 ... 15] = 0x2e };
    struct insn in;

    EXPECT_EQ(RESULT(MODE_64, 0x06), DECODE_UD);
    EXPECT_EQ(RESULT(MODE_64, 0x0f, 0x0a), DECODE_UD);
    EXPECT_EQ(RESULT(MODE_64, 0x8f, 0xe8), DECODE_UD);
    EXPECT_EQ(RESULT(MODE_64, 0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc0), DECODE_UD);
    EXPECT_EQ(decode(prefixes, 16, MODE_64, &in), DECODE_LONG);
    EXPECT_EQ(decode(prefixes, 14, MODE_64, &in), DECODE_MORE);
    b[14] = 0x90;
    EXPECT_EQ(decode(b, 15, MODE_64, &in), DECODE_OK);
    b[13] = 0xb0;
    EXPECT_EQ(decode(b, 15, MODE_64, &in), DECODE_OK);
    b[13] = 0x2e;
    b[14] = 0xb0;
    EXPECT_EQ(decode(b, 16, MODE_64, &in), DECODE_LONG);
    EXPECT_EQ(decode(b, 15, MODE_64, &in), DECODE_LONG);
}

/* ---- lengths against capstone's -------------------------------------------------------------- */

struct peer {
    csh cs;
    cs_insn *insn;
    unsigned size;
};

static struct peer peer_open(unsigned size)
{
    struct peer p = { .size = size };
    cs_mode mode = size == MODE_64 ? CS_MODE_64 : size == MODE_32 ? CS_MODE_32 : CS_MODE_16;

    EXPECT(cs_open(CS_ARCH_X86, mode, &p.cs) == CS_ERR_OK);
    p.insn = cs_malloc(p.cs);
    return p;
}

static void peer_close(struct peer *p)
{
    cs_free(p->insn, 1);
    cs_close(&p->cs);
}

static size_t peer_length(struct peer *p, const uint8_t *bytes, size_t n)
{
    uint64_t at = 0;

    return cs_disasm_iter(p->cs, &bytes, &n, &at, p->insn) ? p->insn->size : 0;
}

/* Where capstone 4 or our reading of the manuals differ by intent. */
static bool known_difference(const struct insn *in, unsigned size)
{
    /* Near branches with 66 in 64-bit code: 16-bit displacements for capstone (AMD's rule). */
    if (size == MODE_64 && (in->prefixes & PFX_66) && in->imm_size == 4 && in->op_size == 8 &&
        ((in->map == MAP_1 && (in->opcode & 0xfe) == 0xe8) ||
         (in->map == MAP_0F && (in->opcode & 0xf0) == 0x80)))
        return true;
    /* SSE4a's immediates, VMREAD's prefixes: not offered. */
    if (in->map == MAP_0F && (in->opcode == 0x78 || in->opcode == 0x79))
        return true;
    return false;
}

static unsigned compare(struct peer *p, const uint8_t *bytes, size_t n)
{
    struct insn in;
    enum decode_result r = decode(bytes, n, p->size, &in);
    size_t len = peer_length(p, bytes, n);

    if (r == DECODE_OK && len && len != in.len && !known_difference(&in, p->size))
        test_fail(__FILE__, __LINE__, "mode %u: %02x %02x %02x %02x %02x %02x %02x %02x: "
                  "%u bytes, capstone: %zu (%s %s)", p->size, bytes[0], bytes[1], bytes[2], bytes[3],
                  bytes[4], bytes[5], bytes[6], bytes[7], in.len, len, p->insn->mnemonic,
                  p->insn->op_str);
    return len ? (unsigned)len : 1;
}

static void random_bytes(unsigned size)
{
    struct peer p = peer_open(size);
    uint64_t x = 88172645463325252ull;

    for (unsigned i = 0; i < 300000; i++) {
        uint8_t b[16];

        for (unsigned j = 0; j < 16; j += 8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            memcpy(b + j, &x, 8);
        }
        if (i % 3 == 0)
            b[0] = 0x0f;
        if (i % 7 == 0)
            b[1] = 0x0f;
        compare(&p, b, sizeof b);
    }
    peer_close(&p);
}

TEST(random_bytes_64)
{
    random_bytes(MODE_64);
}

TEST(random_bytes_32)
{
    random_bytes(MODE_32);
}

TEST(random_bytes_16)
{
    random_bytes(MODE_16);
}

static uint8_t *read_file(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "re");
    uint8_t *b = NULL;
    long n;

    if (!f)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) > 0 && (b = malloc((size_t)n + 16))) {
        rewind(f);
        *ret_n = fread(b, 1, (size_t)n, f);
    }
    fclose(f);
    return b;
}

/* Every executable section of an ELF file of the host, instruction by instruction. */
static void compare_program(const char *path)
{
    size_t n = 0, insns = 0;
    AUTO(free_p) uint8_t *b = read_file(path, &n);
    Elf64_Ehdr eh;
    Elf64_Shdr sh;

    if (!b || n < sizeof eh) {
        test_skip(path);
        return;
    }
    memcpy(&eh, b, sizeof eh);
    struct peer p = peer_open(MODE_64);
    for (unsigned i = 0; i < eh.e_shnum; i++) {
        memcpy(&sh, b + eh.e_shoff + i * sizeof sh, sizeof sh);
        if (sh.sh_type != SHT_PROGBITS || !(sh.sh_flags & SHF_EXECINSTR) ||
            !range_ok(sh.sh_offset, sh.sh_size, n))
            continue;
        for (size_t at = 0; at + 16 < sh.sh_size; insns++)
            at += compare(&p, b + sh.sh_offset + at, 16);
    }
    peer_close(&p);
    EXPECT(insns > 1000);
}

TEST(program_bash)
{
    compare_program("/usr/bin/bash");
}

TEST(program_libc)
{
    compare_program("/lib/x86_64-linux-gnu/libc.so.6");
}

/* VERDIN_DECODE_FILE=vmlinux: any other file. */
TEST(program_named)
{
    const char *path = getenv("VERDIN_DECODE_FILE");

    if (path)
        compare_program(path);
    else
        test_skip("VERDIN_DECODE_FILE names no file");
}
