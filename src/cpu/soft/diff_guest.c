/* SPDX-License-Identifier: GPL-2.0-or-later */
/* diff_guest.c - cases on an engine: a machine of one VP in long mode that runs them in ring 3.
 *
 * Each exception has a handler in ring 0 that does OUT to the port of its number; the exit for it
 * takes the state from the registers and the stack frame. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "cpu/bare_exits.h"
#include "cpu/engine.h"
#include "cpu/soft/cpu.h"
#include "cpu/soft/diff.h"

/* Where ring 0 has the first 64 KiB: no case looks there. */
#define KERNEL UINT64_C(0x6a5500000000)

enum { /* guest-physical */
    GDT_AT = 0x1000, IDT_AT = 0x2000, TSS_AT = 0x3000, HANDLERS_AT = 0x4000, STACK_AT = 0x9000,
    PML4_AT = 0x10000, TABLES_AT = 0x11000, CODE_AT = 0x100000, DATA_AT = 0x200000,
    SEL_CODE0 = 0x08, SEL_DATA0 = 0x10, SEL_DATA3 = 0x2b, SEL_CODE3 = 0x33, SEL_TSS = 0x40,
};

struct diff_guest {
    struct gmem *gmem;
    struct clock clock;
    struct partition *part;
    struct vp *vp;
    struct soft_vp *soft_vp;
    const uint8_t *init;
    uint8_t *data, *code;
    struct vp_state start;
    uint8_t shown[DIFF_CODE_PAGES * 4096]; /* what the code pages hold */
    uint64_t next_table;
    struct diff_result *out;
    bool done;
};

static void take(struct diff_guest *g, unsigned vector)
{
    struct diff_result *r = g->out;
    struct vp_regs regs;
    uint8_t frame[48];
    bool has_error = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
    const uint8_t *f = frame;

    vp_get_regs(g->vp, &regs);
    memset(frame, 0, sizeof(frame));
    (void)gmem_read(g->gmem, GPA(regs.gpr[RSP] - KERNEL), frame, sizeof(frame));
    memcpy(r->out.gpr, regs.gpr, sizeof(r->out.gpr));
    r->vector = vector;
    if (has_error) {
        r->error = (uint32_t)get_le64(f);
        f += 8;
    }
    r->out.rip = get_le64(f);
    r->out.rflags = get_le64(f + 16);
    r->out.gpr[RSP] = get_le64(f + 24);
    r->cr2 = vector == 14 ? regs.cr2 : 0;
    g->done = true;
    vp_kick(g->vp);
}

static void pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    struct diff_guest *g = owner;

    if (port < 32 && g->out && !g->done)
        take(g, port);
}

static const struct exit_ops exits = {
    .pio_read = bare_pio_read, .pio_write = pio_write, .mmio_read = bare_mmio_read,
    .mmio_write = bare_mmio_write, .msr_read = bare_msr_read, .msr_write = bare_msr_write,
    .hypercall = bare_hypercall, .eoi = bare_eoi, .pic_ack = bare_pic_ack,
    .deadline = bare_deadline,
};

/* ---- the machine ----------------------------------------------------------------------------- */

static void poke64(struct diff_guest *g, uint64_t at, uint64_t v)
{
    uint8_t b[8];

    put_le64(b, v);
    (void)gmem_write(g->gmem, GPA(at), b, 8);
}

static uint64_t peek64(struct diff_guest *g, uint64_t at)
{
    uint8_t b[8] = { 0 };

    (void)gmem_read(g->gmem, GPA(at), b, 8);
    return get_le64(b);
}

/* bits: 1 present, 2 writable, 4 user, bit 63 no execute */
static void map(struct diff_guest *g, uint64_t va, uint64_t gpa, uint64_t bits)
{
    uint64_t table = PML4_AT;

    for (int level = 3; level > 0; level--) {
        uint64_t at = table + (va >> (12 + 9 * level) & 511) * 8, e = peek64(g, at);

        if (!e) {
            e = g->next_table | 7;
            g->next_table += 4096;
            poke64(g, at, e);
        }
        table = e & ~UINT64_C(0xfff);
    }
    poke64(g, table + (va >> 12 & 511) * 8, gpa | bits | 0x60); /* A, D */
}

static void put_gate(struct diff_guest *g, unsigned n)
{
    uint64_t at = HANDLERS_AT + n * 16, to = KERNEL + at;
    uint8_t code[4] = { 0xe6, (uint8_t)n, 0xf4, 0xf4 }; /* out %al, $n; hlt */

    (void)gmem_write(g->gmem, GPA(at), code, sizeof(code));
    poke64(g, IDT_AT + n * 16,
           (to & 0xffff) | SEL_CODE0 << 16 | UINT64_C(0xee00) << 32 | (to >> 16 & 0xffff) << 48);
    poke64(g, IDT_AT + n * 16 + 8, to >> 32);
}

static struct vp_segment segment(unsigned sel, unsigned attr)
{
    return (struct vp_segment){ .limit = UINT32_MAX, .sel = (uint16_t)sel, .attr = (uint16_t)attr };
}

static void build(struct diff_guest *g)
{
    struct vp_regs *r = &g->start.regs;
    const uint64_t nx = UINT64_C(1) << 63;

    g->next_table = TABLES_AT;
    for (unsigned at = 0; at < 0x10000; at += 4096)
        map(g, KERNEL + at, at, 3);
    for (unsigned i = 0; i < DIFF_CODE_PAGES; i++)
        map(g, DIFF_CODE + i * 4096, CODE_AT + i * 4096, 5);
    for (unsigned i = 0; i < DIFF_PAGES; i++)
        if (i != DIFF_PAGE_D)
            map(g, DIFF_DATA + i * 4096, DATA_AT + i * 4096, (i == 2 ? 5 : 7) | nx);
    poke64(g, GDT_AT + SEL_CODE0, UINT64_C(0x00af9b000000ffff));
    poke64(g, GDT_AT + SEL_DATA0, UINT64_C(0x00cf93000000ffff));
    poke64(g, GDT_AT + (SEL_DATA3 & ~7), UINT64_C(0x00cff3000000ffff));
    poke64(g, GDT_AT + (SEL_CODE3 & ~7), UINT64_C(0x00affb000000ffff));
    poke64(g, GDT_AT + SEL_TSS, UINT64_C(0x00008b0000000067) | (uint64_t)TSS_AT << 16);
    poke64(g, TSS_AT + 4, KERNEL + STACK_AT);
    for (unsigned i = 0; i < 32; i++)
        put_gate(g, i);
    r->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    r->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    r->cr3 = PML4_AT;
    r->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    g->start.xcr0 = 7;
    r->gdt = (struct vp_dtable){ .base = KERNEL + GDT_AT, .limit = 0x5f };
    r->idt = (struct vp_dtable){ .base = KERNEL + IDT_AT, .limit = 32 * 16 - 1 };
    for (unsigned i = 0; i < 6; i++) {
        r->seg[i] = segment(0, 0);
        r->seg[i].unusable = 1;
    }
    r->seg[SEG_CS] = segment(SEL_CODE3, 0xa0fb);
    r->seg[SEG_SS] = segment(SEL_DATA3, 0xc0f3);
    r->seg[SEG_FS].base = DIFF_FS;
    r->seg[SEG_GS].base = DIFF_GS;
    r->seg[SEG_TR] = segment(SEL_TSS, 0x8b);
    r->seg[SEG_TR].base = KERNEL + TSS_AT;
    r->seg[SEG_TR].limit = 0x67;
    g->start.mp_state = MP_RUNNING;
}

struct diff_guest *diff_guest_new(int soft_mode, const uint8_t *data)
{
    struct diff_guest *g = calloc(1, sizeof(*g));
    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    struct partition_config cfg = { .engine = ENGINE_SOFT, .soft_mode = (enum soft_mode)soft_mode,
                                    .n_vps = 1, .exits = &exits, .owner = g };
    struct err err = { 0 };
    unsigned n;

    if (!g)
        return NULL;
    g->init = data;
    clock_init(&g->clock);
    if (gmem_new(16 * MIB, &g->gmem, &err) < 0)
        goto failed;
    cfg.gmem = g->gmem;
    cfg.clock = &g->clock;
    if (partition_new(&cfg, &g->part, &err) < 0)
        goto failed;
    g->vp = partition_vp(g->part, 0);
    g->soft_vp = soft_vp_of(g->vp);
    n = partition_cpuid(g->part, cpuid);
    if (vp_set_cpuid(g->vp, cpuid, n) < 0)
        goto failed;
    vp_get_state(g->vp, &g->start);
    build(g);
    g->code = gmem_host(g->gmem, GPA(CODE_AT), DIFF_CODE_PAGES * 4096);
    g->data = gmem_host(g->gmem, GPA(DATA_AT), DIFF_PAGES * 4096);
    memcpy(g->data, data, DIFF_PAGES * 4096);
    if (vp_set_state(g->vp, &g->start, &err) == 0)
        return g;
failed:
    printf("# %s\n", err.text);
    diff_guest_free(g);
    return NULL;
}

void diff_guest_free(struct diff_guest *g)
{
    if (!g)
        return;
    if (g->part)
        partition_free(g->part);
    gmem_free(g->gmem);
    free(g);
}

/* Only the lines of code that differ, as a guest would store them: the engine drops their blocks.
 */
static void put_code(struct diff_guest *g, const struct diff_case *c)
{
    uint8_t want[sizeof(g->shown)];

    memset(want, 0xcc, sizeof(want));
    diff_code(c, want);
    for (unsigned at = 0; at < sizeof(want); at += 64)
        if (memcmp(want + at, g->shown + at, 64) != 0) {
            memcpy(g->shown + at, want + at, 64);
            (void)gmem_write(g->gmem, GPA(CODE_AT + at), want + at, 64);
        }
}

bool diff_guest_run(struct diff_guest *g, const struct diff_case *c, struct diff_result *ret)
{
    struct vp_state *s = &g->start;
    struct vp_state after;
    struct err err = { 0 };
    enum vp_stop stop;

    put_code(g, c);
    memcpy(g->data, g->init, DIFF_PAGES * 4096);
    memset(ret, 0, sizeof(*ret));
    memcpy(s->regs.gpr, c->in.gpr, sizeof(s->regs.gpr));
    s->regs.rip = c->in.rip;
    s->regs.rflags = c->in.rflags;
    memcpy(s->xsave, c->in.fx, 416);
    put_le64(s->xsave + 512, 7);
    memcpy(s->xsave + 576, c->in.ymmh, 256);
    g->out = ret;
    g->done = false;
    if (vp_set_state(g->vp, s, &err) < 0) {
        printf("# %s\n", err.text);
        return false;
    }
    stop = vp_run(g->vp);
    if (stop != VP_KICKED || !g->done) {
        printf("# %s\n", stop == VP_KICKED ? "kicked, but not by an exception" : vp_death(g->vp));
        return false;
    }
    vp_get_state(g->vp, &after);
    memcpy(ret->out.fx, after.xsave, 512);
    memcpy(ret->out.ymmh, after.xsave + 576, 256);
    diff_changes(g->init, g->data, ret);
    return true;
}
