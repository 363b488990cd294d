/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diff_test.c - random instruction streams on the host CPU and on an engine, compared.
 *
 *     diff_test [--cases N] [--seed S] [--max-insns N] [--classes int,sse,mmx,x87,str,avx,unmasked]
 *               [--mode interp|jit] [--strict] [--failures N]
 *
 * The seed is printed; the same seed makes the same cases.  A failure prints the smallest part of
 * its stream that still fails.  --strict compares flags that the architecture leaves undefined,
 * too. */
#include <capstone/capstone.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "cpu/engine.h"
#include "cpu/soft/diff.h"

struct options {
    uint64_t cases, seed;
    unsigned max_insns, classes, failures;
    int mode;
    bool strict;
};

struct run {
    struct options o;
    struct diff_host *host;
    struct diff_guest *guest;
    uint8_t data[DIFF_PAGES * 4096];
    struct diff_case batch[DIFF_BATCH];
    struct diff_result host_out[DIFF_BATCH];
    unsigned failed, skipped;
    csh cs;
};

static const char *const gpr_name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

#define RF UINT64_C(0x10000)

static uint64_t flags_mask(const struct run *t, const struct diff_case *c)
{
    return ~(RF | (t->o.strict ? 0 : diff_undefined(c)));
}

static bool has_dot_product(const struct diff_case *c)
{
    for (unsigned i = 0; i < c->n; i++)
        for (unsigned k = 0; k + 3 < c->len[i]; k++) {
            const uint8_t *p = &c->code[i][k];

            if ((p[0] == 0x3a && (p[1] & 0xfe) == 0x40) || (p[0] == 0xc4 && (p[3] & 0xfe) == 0x40))
                return true;
        }
    return false;
}

/* AMD's processors save FOP, FIP and FDP only with an exception pending. */
static bool fx_same(const struct diff_case *c, const uint8_t *host, const uint8_t *b)
{
    const uint8_t *a = host;
    uint32_t mxcsr = get_le32(a + 24), other = mxcsr ^ get_le32(b + 24);

    if ((mxcsr & 0x810) == 0x10 || (mxcsr & 0x408) == 8) /* unmasked: see fpu.c */
        other &= ~0x20u;
    if ((mxcsr & 0x1f80) != 0x1f80 && has_dot_product(c)) /* stops at an exception half way */
        other &= ~0x3fu;
    if (memcmp(a, b, 5) != 0 || other)
        return false;
    if ((a[2] & 0x80) && memcmp(a + 6, b + 6, 18) != 0)
        return false;
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a + 32 + i * 16, b + 32 + i * 16, 10) != 0)
            return false;
    return memcmp(a + 160, b + 160, 256) == 0;
}

/* String instructions and those that save state go in pieces and in an order of the processor's
 * choice: CR2 tells the page only, or less. */
static bool cr2_same(const struct diff_case *c, uint64_t a, uint64_t b)
{
    bool page = a >> 12 == b >> 12;

    if (a == b)
        return true;
    for (unsigned i = 0; i < c->n; i++)
        for (unsigned k = 0; k < c->len[i]; k++) {
            uint8_t v = c->code[i][k];

            if (page && ((v & 0xfe) == 0xf2 || (v == 0xf7 && k && c->code[i][k - 1] == 0x0f)))
                return true;
            if (v == 0xae || v == 0xd9 || v == 0xdd)
                return true;
        }
    return false;
}

/* CMPS with two operands that fault: which one is first differs even between its forms. */
static bool fault_same(const struct diff_case *c, const struct diff_result *a,
                       const struct diff_result *b)
{
    uint64_t at = a->out.rip - c->in.rip;
    bool fault = (a->vector == 13 || a->vector == 14) && (b->vector == 13 || b->vector == 14);

    for (unsigned i = 0; fault && i < c->n; at -= c->len[i++])
        for (unsigned k = 0; at == 0 && k < c->len[i]; k++)
            if ((c->code[i][k] & 0xfe) == 0xa6)
                return true;
    return a->vector == b->vector && !((a->error ^ b->error) & (a->cr2 == b->cr2 ? ~0u : ~1u)) &&
           cr2_same(c, a->cr2, b->cr2);
}

static bool same(const struct run *t, const struct diff_case *c, const struct diff_result *a,
                 const struct diff_result *b)
{
    if (get_le32(a->out.fx + 24) & 1 << 17) /* MXCSR.MM of AMD's processors: not offered */
        return true;
    return memcmp(a->out.gpr, b->out.gpr, sizeof(a->out.gpr)) == 0 && a->out.rip == b->out.rip &&
           !((a->out.rflags ^ b->out.rflags) & flags_mask(t, c)) && fault_same(c, a, b) &&
           a->n_changes == b->n_changes && a->hash == b->hash &&
           memcmp(a->out.ymmh, b->out.ymmh, sizeof(a->out.ymmh)) == 0 &&
           fx_same(c, a->out.fx, b->out.fx);
}

static void show_bytes(const char *what, unsigned i, const uint8_t *in, const uint8_t *h,
                       const uint8_t *g, unsigned n)
{
    if (memcmp(h, g, n) == 0)
        return;
    printf("  %s%u\n", what, i);
    for (unsigned row = 0; row < 3; row++) {
        const uint8_t *p = row == 0 ? in : row == 1 ? h : g;

        printf("    %-6s", row == 0 ? "before" : row == 1 ? "host" : "engine");
        for (unsigned k = n; k-- > 0;)
            printf("%02x%s", p[k], k % 4 ? "" : " ");
        printf("\n");
    }
}

static void show_word(const char *name, uint64_t in, uint64_t h, uint64_t g)
{
    if (h != g)
        printf("  %-7s before %016" PRIx64 " host %016" PRIx64 " engine %016" PRIx64 "\n", name, in,
               h, g);
}

static void show_code(struct run *t, const struct diff_case *c)
{
    static uint8_t pages[DIFF_CODE_PAGES * 4096];
    uint64_t at = c->in.rip;

    diff_code(c, pages);
    for (unsigned i = 0; i < c->n; i++) {
        const uint8_t *p = pages + (at - DIFF_CODE);
        cs_insn *in;
        size_t n = cs_disasm(t->cs, p, c->len[i], at, 1, &in);

        printf("  %8" PRIx64 ": ", at);
        for (unsigned k = 0; k < c->len[i]; k++)
            printf("%02x", p[k]);
        printf("%*s %s %s\n", (int)(24 - c->len[i] * 2), "", n ? in->mnemonic : "?",
               n ? in->op_str : "");
        if (n)
            cs_free(in, n);
        at += c->len[i];
    }
}

static void show(struct run *t, const struct diff_case *c, const struct diff_result *h,
                 const struct diff_result *g)
{
    show_code(t, c);
    printf(" ");
    for (unsigned i = 0; i < 16; i++)
        if (c->in.gpr[i])
            printf(" %s=%" PRIx64, gpr_name[i], c->in.gpr[i]);
    printf(" rflags=%" PRIx64 "\n  host: vector %u error %#x cr2 %#" PRIx64
           ", engine: vector %u error %#x cr2 %#" PRIx64 "\n",
           c->in.rflags, h->vector, h->error, h->cr2, g->vector, g->error, g->cr2);
    for (unsigned i = 0; i < 16; i++)
        show_word(gpr_name[i], c->in.gpr[i], h->out.gpr[i], g->out.gpr[i]);
    show_word("rip", c->in.rip, h->out.rip, g->out.rip);
    show_word("rflags", c->in.rflags, h->out.rflags & flags_mask(t, c),
              g->out.rflags & flags_mask(t, c));
    show_bytes("fcw fsw ftw fop ", 0, c->in.fx, h->out.fx, g->out.fx, 8);
    show_bytes("fip ", 0, c->in.fx + 8, h->out.fx + 8, g->out.fx + 8, 8);
    show_bytes("fdp ", 0, c->in.fx + 16, h->out.fx + 16, g->out.fx + 16, 8);
    show_bytes("mxcsr ", 0, c->in.fx + 24, h->out.fx + 24, g->out.fx + 24, 4);
    for (unsigned i = 0; i < 8; i++)
        show_bytes("st", i, c->in.fx + 32 + i * 16, h->out.fx + 32 + i * 16,
                   g->out.fx + 32 + i * 16, 10);
    for (unsigned i = 0; i < 16; i++)
        show_bytes("xmm", i, c->in.fx + 160 + i * 16, h->out.fx + 160 + i * 16,
                   g->out.fx + 160 + i * 16, 16);
    for (unsigned i = 0; i < 16; i++)
        show_bytes("upper half of ymm", i, c->in.ymmh + i * 16, h->out.ymmh + i * 16,
                   g->out.ymmh + i * 16, 16);
    if (h->n_changes != g->n_changes || h->hash != g->hash)
        for (unsigned i = 0; i < MIN(MAX(h->n_changes, g->n_changes), 8u); i++)
            printf(
                "  memory host +%x = %016" PRIx64 "  engine +%x = %016" PRIx64 "\n",
                i < h->n_changes ? h->change[i].off : 0, i < h->n_changes ? h->change[i].value : 0,
                i < g->n_changes ? g->change[i].off : 0, i < g->n_changes ? g->change[i].value : 0);
}

static bool fails(struct run *t, const struct diff_case *c, struct diff_result *h,
                  struct diff_result *g)
{
    unsigned at;

    return diff_host_run(t->host, c, 1, h, &at) &&
           (!diff_guest_run(t->guest, c, g) || !same(t, c, h, g));
}

/* Leave instructions out while it still fails; then what does not matter becomes 0. */
static void minimise(struct run *t, struct diff_case *c, struct diff_result *h,
                     struct diff_result *g)
{
    for (unsigned i = 0; i < c->n && c->n > 1;) {
        struct diff_case less = *c;

        less.n--;
        memmove(&less.code[i], &less.code[i + 1], (less.n - i) * sizeof(less.code[0]));
        memmove(&less.len[i], &less.len[i + 1], less.n - i);
        memmove(&less.rel_size[i], &less.rel_size[i + 1], less.n - i);
        memmove(&less.skip[i], &less.skip[i + 1], less.n - i);
        if (fails(t, &less, h, g))
            *c = less;
        else
            i++;
    }
    for (unsigned i = 0; i < 17; i++) {
        struct diff_case less = *c;

        if (i < 16)
            less.in.gpr[i] = 0;
        else
            less.in.rflags = 0x202;
        if (fails(t, &less, h, g))
            *c = less;
    }
    (void)fails(t, c, h, g);
}

static void report(struct run *t, uint64_t index, struct diff_case *c)
{
    struct diff_result h, g;
    unsigned before = c->n;

    memset(&g, 0, sizeof(g));
    if (!fails(t, c, &h, &g)) {
        printf("case %" PRIu64 " of seed %" PRIu64 " failed once, not again\n", index, t->o.seed);
    } else {
        minimise(t, c, &h, &g);
        printf("case %" PRIu64 " of seed %" PRIu64 ", %u of its %u instructions:\n", index,
               t->o.seed, c->n, before);
    }
    show(t, c, &h, &g);
}

static void run_batch(struct run *t, uint64_t first, unsigned n)
{
    unsigned at = 0;

    for (unsigned i = 0; i < n; i++) {
        struct rng r;

        rng_init(&r, t->o.seed * UINT64_C(1000003) + first + i);
        diff_gen(&r, t->o.classes, t->o.max_insns, &t->batch[i]);
    }
    if (!diff_host_run(t->host, t->batch, n, t->host_out, &at)) {
        printf("the host's child stopped at case %" PRIu64 ":\n", first + at);
        show_code(t, &t->batch[at]);
        t->skipped++;
        return;
    }
    for (unsigned i = 0; i < n && t->failed < t->o.failures; i++) {
        struct diff_result g;

        if (diff_guest_run(t->guest, &t->batch[i], &g) &&
            same(t, &t->batch[i], &t->host_out[i], &g))
            continue;
        t->failed++;
        report(t, first + i, &t->batch[i]);
    }
}

static unsigned parse_classes(const char *s)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = { { "int", DIFF_INT },           { "sse", DIFF_SSE }, { "mmx", DIFF_MMX },
                  { "x87", DIFF_X87 },           { "str", DIFF_STR }, { "avx", DIFF_AVX },
                  { "unmasked", DIFF_UNMASKED }, { "loop", DIFF_LOOP }, { "all", DIFF_ALL } };
    unsigned v = 0;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strstr(s, names[i].name))
            v |= names[i].bit;
    return v;
}

static void parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){ .cases = 20000, .seed = (uint64_t)time(NULL), .max_insns = 4,
                           .classes = DIFF_ALL, .failures = 10, .mode = SOFT_INTERP };
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";

        if (strcmp(a, "--strict") == 0) {
            o->strict = true;
            continue;
        }
        if (strcmp(a, "--cases") == 0)
            o->cases = strtoull(v, NULL, 0);
        else if (strcmp(a, "--seed") == 0)
            o->seed = strtoull(v, NULL, 0);
        else if (strcmp(a, "--max-insns") == 0)
            o->max_insns = (unsigned)MIN(strtoul(v, NULL, 0), (unsigned long)DIFF_INSNS);
        else if (strcmp(a, "--failures") == 0)
            o->failures = (unsigned)strtoul(v, NULL, 0);
        else if (strcmp(a, "--classes") == 0)
            o->classes = parse_classes(v);
        else if (strcmp(a, "--mode") == 0)
            o->mode = strcmp(v, "jit") == 0 ? SOFT_JIT_EAGER : SOFT_INTERP;
        else
            printf("# unknown option %s\n", a);
        i++;
    }
    o->max_insns = MAX(o->max_insns, 1u);
    if (!__builtin_cpu_supports("avx2"))
        o->classes &= ~(unsigned)DIFF_AVX;
}

int main(int argc, char **argv)
{
    static struct run t;
    struct rng r;
    bool ok;

    parse(argc, argv, &t.o);
    rng_init(&r, t.o.seed);
    diff_fill(&r, t.data, sizeof(t.data));
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..1\n# seed %" PRIu64 ", %" PRIu64 " cases\n", t.o.seed, t.o.cases);
    t.host = diff_host_new(t.data);
    t.guest = diff_guest_new(t.o.mode, t.data);
    if (!t.host || !t.guest || cs_open(CS_ARCH_X86, CS_MODE_64, &t.cs) != CS_ERR_OK) {
        printf("not ok 1 - host and engine start\n");
        return 1;
    }
    for (uint64_t at = 0; at < t.o.cases && t.failed < t.o.failures; at += DIFF_BATCH)
        run_batch(&t, at, (unsigned)MIN(t.o.cases - at, (uint64_t)DIFF_BATCH));
    ok = !t.failed && t.skipped * 50 <= t.o.cases / DIFF_BATCH;
    printf("%s 1 - %" PRIu64 " cases, %u failed, %u batches not run\n", ok ? "ok" : "not ok",
           t.o.cases, t.failed, t.skipped);
    cs_close(&t.cs);
    diff_guest_free(t.guest);
    diff_host_free(t.host);
    return ok ? 0 : 1;
}
