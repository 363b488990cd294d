/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpuid.c - what the soft engine offers, and the CPUID instruction.
 *
 * Sources: Intel SDM 2A "CPUID"; AMD64 APM 3 appendix E.  Vendor, family and brand are the host's,
 * so that guests choose code that is fast here; features are those of the table below and no
 * others. Vulnerabilities are declared absent where there is a bit for it: guest code never runs
 * on the host's units as it is, and mitigations only cost. */
#include <cpuid.h>
#include <string.h>

#include "cpu/soft/mem.h"
#include "cpu/soft/sys.h"

enum reg { EAX, EBX, ECX, EDX };
enum { LEAF1 = 1, LEAF7 = 7, EXT1 = 0x80000001, EXT8 = 0x80000008, EXT21 = 0x80000021 };
enum need {
    OURS,   /* done here, whatever the host */
    HOST,   /* executed by the host's units: only where the host has it */
    INTEL,  /* ours, for guests that see an Intel CPU */
    V3,     /* x86-64-v3, all of it or nothing: what VEX encodes runs on the host's units */
    AMD,    /* ours, for guests that see an AMD CPU */
};

/* One row for each feature that is implemented.  Not offered: VMX, SVM, MONITOR, TSX, MPX, PKU, CET,
 * performance counters, AVX-512. */
static const struct feature {
    uint32_t leaf;
    enum reg reg;
    unsigned bit;
    enum need need;
    const char *name;
} features[] = {
    { LEAF1, EDX, 0, OURS, "fpu" },       { LEAF1, EDX, 1, OURS, "vme" },
    { LEAF1, EDX, 2, OURS, "de" },        { LEAF1, EDX, 3, OURS, "pse" },
    { LEAF1, EDX, 4, OURS, "tsc" },       { LEAF1, EDX, 5, OURS, "msr" },
    { LEAF1, EDX, 6, OURS, "pae" },       { LEAF1, EDX, 7, OURS, "mce" },
    { LEAF1, EDX, 8, OURS, "cx8" },       { LEAF1, EDX, 9, OURS, "apic" },
    { LEAF1, EDX, 11, OURS, "sep" },      { LEAF1, EDX, 12, OURS, "mtrr" },
    { LEAF1, EDX, 13, OURS, "pge" },      { LEAF1, EDX, 14, OURS, "mca" },
    { LEAF1, EDX, 15, OURS, "cmov" },     { LEAF1, EDX, 16, OURS, "pat" },
    { LEAF1, EDX, 17, OURS, "pse36" },    { LEAF1, EDX, 19, OURS, "clflush" },
    { LEAF1, EDX, 23, OURS, "mmx" },      { LEAF1, EDX, 24, OURS, "fxsr" },
    { LEAF1, EDX, 25, OURS, "sse" },      { LEAF1, EDX, 26, OURS, "sse2" },
    { LEAF1, ECX, 0, HOST, "sse3" },      { LEAF1, ECX, 1, HOST, "pclmulqdq" },
    { LEAF1, ECX, 9, HOST, "ssse3" },     { LEAF1, ECX, 13, HOST, "cx16" },
    { LEAF1, ECX, 17, OURS, "pcid" },     { LEAF1, ECX, 19, HOST, "sse4.1" },
    { LEAF1, ECX, 20, HOST, "sse4.2" },   { LEAF1, ECX, 21, OURS, "x2apic" },
    { LEAF1, ECX, 22, OURS, "movbe" },    { LEAF1, ECX, 23, OURS, "popcnt" },
    { LEAF1, ECX, 12, V3, "fma" },        { LEAF1, ECX, 28, V3, "avx" },
    { LEAF1, ECX, 29, V3, "f16c" },       { LEAF7, EBX, 5, V3, "avx2" },
    { LEAF1, ECX, 24, OURS, "tsc_deadline" },
    { LEAF1, ECX, 25, HOST, "aes" },      { LEAF1, ECX, 26, OURS, "xsave" },
    { LEAF1, ECX, 30, HOST, "rdrand" },   { LEAF1, ECX, 31, OURS, "hypervisor" },
    { LEAF7, EBX, 0, OURS, "fsgsbase" },  { LEAF7, EBX, 3, OURS, "bmi1" },
    { LEAF7, EBX, 7, OURS, "smep" },      { LEAF7, EBX, 8, OURS, "bmi2" },
    { LEAF7, EBX, 9, OURS, "erms" },      { LEAF7, EBX, 10, OURS, "invpcid" },
    { LEAF7, EBX, 18, HOST, "rdseed" },   { LEAF7, EBX, 19, OURS, "adx" },
    { LEAF7, EBX, 20, OURS, "smap" },     { LEAF7, EBX, 23, OURS, "clflushopt" },
    { LEAF7, EBX, 29, HOST, "sha_ni" },
    { LEAF7, ECX, 2, OURS, "umip" },      { LEAF7, ECX, 22, OURS, "rdpid" },
    { LEAF7, EDX, 4, OURS, "fsrm" },      { LEAF7, EDX, 26, INTEL, "spec_ctrl" },
    { LEAF7, EDX, 29, INTEL, "arch_capabilities" },
    { EXT1, ECX, 0, OURS, "lahf" },       { EXT1, ECX, 5, OURS, "lzcnt" },
    { EXT1, ECX, 8, OURS, "prefetchw" },  { EXT1, ECX, 22, AMD, "topoext" },
    { EXT1, EDX, 11, OURS, "syscall" },   { EXT1, EDX, 20, OURS, "nx" },
    { EXT1, EDX, 26, OURS, "pdpe1gb" },   { EXT1, EDX, 27, OURS, "rdtscp" },
    { EXT1, EDX, 29, OURS, "lm" },        { EXT8, EBX, 2, AMD, "xsaveerptr" },
    { EXT8, EBX, 26, AMD, "ssb_no" },     { EXT8, EBX, 29, AMD, "btc_no" },
    { EXT21, EAX, 2, AMD, "lfence_rdtsc" },
    { EXT21, EAX, 6, AMD, "null_sel_clr_base" },
    { EXT21, EAX, 8, AMD, "autoibrs" },   { EXT21, EAX, 29, AMD, "srso_no" },
    { EXT21, ECX, 1, AMD, "tsa_sq_no" },  { EXT21, ECX, 2, AMD, "tsa_l1_no" },
};

/* Does the host execute all that AVX, AVX2, FMA and F16C encode? */
static bool host_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

/* ---- offering -------------------------------------------------------------------------------- */

static bool is_amd(uint32_t ebx) /* leaf 0: "Auth", "Hygo" */
{
    return ebx == 0x68747541 || ebx == 0x6f677948;
}

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(*out));
    if (leaf <= (uint32_t)__get_cpuid_max(leaf & 0x80000000, NULL))
        __cpuid_count(leaf, subleaf, out[EAX], out[EBX], out[ECX], out[EDX]);
}

struct offer {
    struct cpuid_entry *e;
    unsigned n;
    bool amd;
};

static struct cpuid_entry *add(struct offer *o, uint32_t leaf, int subleaf)
{
    struct cpuid_entry *e = &o->e[o->n++];

    *e = (struct cpuid_entry){ .leaf = leaf };
    if (subleaf >= 0) {
        e->has_subleaf = true;
        e->subleaf = (uint32_t)subleaf;
    }
    return e;
}

static struct cpuid_entry *add_values(struct offer *o, uint32_t leaf, int subleaf, uint32_t eax,
                                      uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    struct cpuid_entry *e = add(o, leaf, subleaf);

    e->eax = eax;
    e->ebx = ebx;
    e->ecx = ecx;
    e->edx = edx;
    return e;
}

static struct cpuid_entry *add_host(struct offer *o, uint32_t leaf)
{
    uint32_t v[4];

    host_cpuid(leaf, 0, v);
    return add_values(o, leaf, -1, v[EAX], v[EBX], v[ECX], v[EDX]);
}

/* The leaf's feature bits into 'e', whose other bits stay. */
static void set_features(const struct offer *o, struct cpuid_entry *e)
{
    uint32_t host[4], *reg[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

    host_cpuid(e->leaf, 0, host);
    for (size_t i = 0; i < ARRAY_LEN(features); i++) {
        const struct feature *f = &features[i];
        uint32_t bit = 1u << f->bit;

        if (f->leaf != e->leaf)
            continue;
        if (((f->need == HOST || f->need == V3) && !(host[f->reg] & bit)) ||
            (f->need == V3 && !host_v3()) || (f->need == INTEL && o->amd) ||
            (f->need == AMD && !o->amd))
            continue;
        *reg[f->reg] |= bit;
    }
}

/* Leaves 4 and 0x8000001d: type and level, ways, sets of 64-byte lines. */
static void add_caches(struct offer *o, uint32_t leaf)
{
    static const struct {
        unsigned type, level, ways, sets;
    } caches[] = {
        { 1, 1, 8, 64 },     /* data, 32 KiB */
        { 2, 1, 8, 64 },     /* instructions, 32 KiB */
        { 3, 2, 16, 1024 },  /* unified, 1 MiB */
        { 3, 3, 16, 16384 }, /* unified, 16 MiB, of all */
    };

    for (size_t i = 0; i < ARRAY_LEN(caches); i++)
        add_values(o, leaf, (int)i, caches[i].type | caches[i].level << 5 | 1u << 8,
                   (caches[i].ways - 1) << 22 | 63, caches[i].sets - 1, 0);
    add(o, leaf, ARRAY_LEN(caches));
}

static void add_xsave(struct offer *o)
{
    bool avx = host_v3();

    add_values(o, 0xd, 0, avx ? 7 : 3, 576, avx ? 832 : 576, 0); /* x87, SSE, AVX */
    add_values(o, 0xd, 1, 1 << 0 | 1 << 1, 576, 0, 0);           /* XSAVEOPT, XSAVEC */
    if (avx)
        add_values(o, 0xd, 2, 256, 576, 0, 0);
}

static void offer_basic(struct offer *o)
{
    struct cpuid_entry *e;
    uint32_t v[4];

    e = add_host(o, 0);
    e->eax = 0xd;
    o->amd = is_amd(e->ebx);
    host_cpuid(1, 0, v);
    set_features(o, add_values(o, 1, -1, v[EAX], 8 << 8, 0, 0));
    if (!o->amd) {
        add_values(o, 2, -1, 0x00feff01, 0, 0, 0); /* "see leaf 4" */
        add_caches(o, 4);
    }
    add_values(o, 6, -1, 1 << 2, 0, 0, 0); /* the APIC timer never stops */
    set_features(o, add(o, 7, 0));
    if (o->e[1].ecx & 1 << 26)
        add_xsave(o);
}

static void offer_extended(struct offer *o)
{
    struct cpuid_entry *e;

    e = add_host(o, 0x80000000);
    e->eax = o->amd ? EXT21 : EXT8;
    e = add(o, EXT1, -1);
    e->eax = o->amd ? o->e[1].eax : 0;
    if (o->amd)
        e->edx = o->e[1].edx & 0x0183f3ff;
    set_features(o, e);
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) /* the brand string */
        add_host(o, leaf);
    if (o->amd) /* L1 of 32 KiB, TLBs */
        add_values(o, 0x80000005, -1, 0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140);
    add_values(o, 0x80000006, -1, 0, 0x42004200, 1024 << 16 | 8 << 12 | 1 << 8 | 64,
               o->amd ? 32 << 18 | 8 << 12 | 1 << 8 | 64 : 0);
    add_values(o, 0x80000007, -1, 0, 0, 0, 1 << 8); /* invariant TSC */
    set_features(o, add_values(o, EXT8, -1, SOFT_PHYS_BITS | 48 << 8, 0, 0, 0));
    if (!o->amd)
        return;
    add_caches(o, 0x8000001d);
    add(o, 0x8000001e, -1);
    set_features(o, add(o, EXT21, -1));
}

unsigned cpuid_offer(struct cpuid_entry *out)
{
    struct offer o = { .e = out };

    offer_basic(&o);
    offer_extended(&o);
    return o.n;
}

/* ---- the VP's table -------------------------------------------------------------------------- */

static const struct cpuid_entry *find(const struct soft_vp *vp, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < vp->n_cpuid; i++) {
        const struct cpuid_entry *e = &vp->cpuid[i];

        if (e->leaf == leaf && (!e->has_subleaf || e->subleaf == subleaf))
            return e;
    }
    return NULL;
}

void cpuid_changed(struct soft_vp *vp)
{
    static const struct cpuid_entry none;
    const struct cpuid_entry *e;
    struct soft_features *f = &vp->feature;

    *f = (struct soft_features){ .xcr0 = 1 };
    if ((e = find(vp, 0, 0)))
        f->amd = is_amd(e->ebx);
    e = find(vp, LEAF1, 0);
    e = e ? e : &none;
    f->edx1 = e->edx;
    f->ecx1 = e->ecx;
    e = find(vp, LEAF7, 0);
    e = e ? e : &none;
    f->ebx7 = e->ebx;
    f->ecx7 = e->ecx;
    f->edx7 = e->edx;
    e = find(vp, EXT1, 0);
    e = e ? e : &none;
    f->ecx81 = e->ecx;
    f->edx81 = e->edx;
    if ((e = find(vp, EXT8, 0)))
        f->ebx88 = e->ebx;
    if ((e = find(vp, EXT21, 0)))
        f->eax821 = e->eax;
    if ((f->ecx1 & 1 << 26) && (e = find(vp, 0xd, 0)))
        f->xcr0 = e->eax | 1;
}

/* ---- the instruction ------------------------------------------------------------------------- */

static unsigned log2_up(unsigned n) /* bits that hold 0 .. n - 1 */
{
    return n <= 1 ? 0 : 32 - (unsigned)__builtin_clz(n - 1);
}

static void leaf_1(struct soft_vp *vp, unsigned n, uint32_t out[4])
{
    out[EBX] = (out[EBX] & 0xffff) | vp->vp.index << 24 | n << 16;
    out[EDX] = n > 1 ? out[EDX] | 1u << 28 : out[EDX] & ~(1u << 28);
    if (!(vp->msrs.apic_base & 0x800))
        out[EDX] &= ~(1u << 9);
    out[ECX] &= ~(1u << 27);
    if (vp->cr4 & CR4_OSXSAVE)
        out[ECX] |= 1u << 27;
}

/* Leaf 0xb: one thread a core, all cores in one package. */
static void leaf_b(struct soft_vp *vp, unsigned n, uint32_t subleaf, uint32_t out[4])
{
    out[EAX] = subleaf == 1 ? log2_up(n) : 0;
    out[EBX] = subleaf == 0 ? 1 : subleaf == 1 ? n : 0;
    out[ECX] = (subleaf & 0xff) | (subleaf < 2 ? (subleaf + 1) << 8 : 0);
    out[EDX] = vp->vp.index;
}

/* Caches: the last level is shared. */
static void share_cache(unsigned n, uint32_t out[4])
{
    out[EAX] &= 0x3fff;
    if ((out[EAX] >> 5 & 7) == 3)
        out[EAX] |= ((1u << log2_up(n)) - 1) << 14;
}

/* Both forms of the image: AVX's part follows the header without a gap. */
static uint32_t xsave_size(const struct soft_vp *vp)
{
    return vp->fpu.xcr0 & 4 ? 832 : 576;
}

static void fix_up(struct soft_vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    unsigned n = vp->soft->part.cfg.n_vps;

    switch (leaf) {
    case LEAF1: leaf_1(vp, n, out); break;
    case 4:
        if (!(out[EAX] & 0x1f))
            break;
        share_cache(n, out);
        out[EAX] |= ((1u << log2_up(n)) - 1) << 26;
        break;
    case 0xb: leaf_b(vp, n, subleaf, out); break;
    case 0xd:
        if (subleaf < 2)
            out[EBX] = xsave_size(vp);
        break;
    case EXT1:
        if (vp->feature.amd && n > 1)
            out[ECX] |= 1u << 1; /* CmpLegacy: the threads of leaf 1 are cores */
        break;
    case EXT8:
        if (vp->feature.amd)
            out[ECX] = log2_up(n) << 12 | (n - 1);
        break;
    case 0x8000001d: share_cache(n, out); break;
    case 0x8000001e:
        out[EAX] = vp->vp.index;
        out[EBX] = vp->vp.index & 0xff;
        break;
    }
}

void cpuid_run(struct soft_vp *vp, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpuid_entry *max = find(vp, leaf & 0x80000000, 0), *e = find(vp, leaf, subleaf);

    memset(out, 0, 4 * sizeof(*out));
    if (e) {
        out[EAX] = e->eax;
        out[EBX] = e->ebx;
        out[ECX] = e->ecx;
        out[EDX] = e->edx;
    }
    if ((leaf & 0x7fffffff) < 0x10000 && max && leaf <= max->eax)
        fix_up(vp, leaf, subleaf, out);
}
