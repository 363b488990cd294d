/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_trace.c - translated blocks for people: guest and host code as text, and a map for perf.
 *
 *     --trace 'jit.*'        each block: jit.block, its guest code jit.guest, its host code jit.host
 *     --trace jit.perf_map   /tmp/perf-PID.map names host code by guest address: perf report reads it
 *
 * Called: jit.c, with the cache's lock held. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/trace.h"
#include "cpu/soft/jit_private.h"

TRACE_POINT(block_point, "jit", "block");
TRACE_POINT(guest_point, "jit", "guest");
TRACE_POINT(host_point, "jit", "host");
TRACE_POINT(map_point, "jit", "perf_map");

#ifdef VERDIN_CAPSTONE
#include <capstone/capstone.h>

void jit_list(bool wide, const uint8_t *p, size_t n, uint64_t at, jit_line_fn *line, void *arg)
{
    char text[256];
    csh cs;
    cs_insn *in;
    size_t count;

    if (cs_open(CS_ARCH_X86, wide ? CS_MODE_64 : CS_MODE_32, &cs) != CS_ERR_OK)
        return;
    count = cs_disasm(cs, p, n, at, 0, &in);
    for (size_t i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%s %s", in[i].mnemonic, in[i].op_str);
        line(arg, in[i].address, text);
    }
    if (count)
        cs_free(in, count);
    cs_close(&cs);
}
#else
void jit_list(bool wide, const uint8_t *p, size_t n, uint64_t at, jit_line_fn *line, void *arg)
{
    for (size_t i = 0; i < n; i += 16) {
        char text[3 * 16 + 1];

        for (size_t k = i; k < MIN(n, i + 16); k++)
            snprintf(text + (k - i) * 3, 4, " %02x", p[k]);
        line(arg, at + i, text + 1);
    }
}
#endif

void jit_list_guest(const struct block *b, uint32_t mode, uint64_t at, jit_line_fn *line, void *arg)
{
    struct block_walk w = { .bytes = block_bytes(b), .mode = mode };

    while (block_next(&w))
        jit_list((mode & MODE_SIZE) == MODE_64, w.bytes->code + w.at - w.in.len, w.in.len,
                 at + (uint64_t)(int64_t)w.off, line, arg);
}

static void trace_line(void *point, uint64_t at, const char *text)
{
    trace_emit(point, "%12" PRIx64 "  %s", at, text);
}

static void perf_map(const uint8_t *code, size_t n, const struct block *b)
{
    char name[64];
    FILE *f;

    snprintf(name, sizeof name, "/tmp/perf-%d.map", (int)getpid());
    f = fopen(name, "ae");
    if (!f)
        return;
    fprintf(f, "%" PRIxPTR " %zx guest_%s_%" PRIx64 "\n", (uintptr_t)code, n,
            b->key & MODE_USER ? "user" : "kernel", block_gpa(b).v);
    fclose(f);
}

void jit_show(const struct block *b, const uint8_t *run, const uint8_t *write, size_t n)
{
    if (trace_on(&block_point))
        trace_emit(&block_point, "gpa %#" PRIx64 " mode %#x: %u bytes of guest code, %zu of host code",
                   block_gpa(b).v, (unsigned)b->key & 0xfff, block_bytes(b)->n, n);
    if (trace_on(&guest_point))
        jit_list_guest(b, (uint32_t)b->key & 0xfff, block_gpa(b).v, trace_line, &guest_point);
    if (trace_on(&host_point))
        jit_list(true, write, n, (uintptr_t)run, trace_line, &host_point);
    if (trace_on(&map_point))
        perf_map(run, n, b);
}
