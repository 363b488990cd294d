/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.c - a machine in words, for the monitor. */
#include <inttypes.h>

#include "vm/machine_internal.h"

static const char *const gpr_names[GPRS] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                             "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15" };
static const char *const seg_names[SEGS] = { "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr" };

static void print_regs(FILE *to, unsigned vp, const struct vp_regs *r)
{
    fprintf(to, "VP %u  rip %016" PRIx64 "  rflags %08" PRIx64 "\n", vp, r->rip, r->rflags);
    for (unsigned i = 0; i < GPRS; i++)
        fprintf(to, "  %s %016" PRIx64 "%s", gpr_names[i], r->gpr[i], i % 4 == 3 ? "\n" : "");
    for (unsigned i = 0; i < SEGS; i++)
        fprintf(to, "  %-4s %04x base %016" PRIx64 " limit %08x attr %04x%s\n", seg_names[i],
                r->seg[i].sel, r->seg[i].base, r->seg[i].limit, r->seg[i].attr,
                r->seg[i].unusable ? " unusable" : "");
    fprintf(to, "  gdt  %016" PRIx64 "/%04x  idt %016" PRIx64 "/%04x\n", r->gdt.base,
            r->gdt.limit, r->idt.base, r->idt.limit);
    fprintf(to, "  cr0 %08" PRIx64 "  cr2 %016" PRIx64 "  cr3 %016" PRIx64 "  cr4 %08" PRIx64
                "  cr8 %" PRIx64 "  efer %" PRIx64 "\n",
            r->cr0, r->cr2, r->cr3, r->cr4, r->cr8, r->efer);
    fprintf(to, "  dr0 %" PRIx64 "  dr1 %" PRIx64 "  dr2 %" PRIx64 "  dr3 %" PRIx64 "  dr6 %" PRIx64
                "  dr7 %" PRIx64 "\n",
            r->dr[0], r->dr[1], r->dr[2], r->dr[3], r->dr[6], r->dr[7]);
}

void machine_print_registers(struct machine *m, FILE *to)
{
    bool was_paused = m->paused;

    machine_pause(m);
    for (unsigned i = 0; i < m->cfg.n_vps; i++) {
        struct vp_regs r;
        vp_get_regs(partition_vp(m->part, i), &r);
        print_regs(to, i, &r);
    }
    if (!was_paused)
        machine_resume(m);
}

void machine_print_counters(struct machine *m, FILE *to)
{
    struct vp_counter c[VP_COUNTERS_MAX];

    for (unsigned i = 0; i < m->cfg.n_vps; i++) {
        unsigned n = vp_counters(partition_vp(m->part, i), c);
        for (unsigned k = 0; k < n; k++)
            fprintf(to, "vp%u.%s %" PRIu64 "\n", i, c[k].name, c[k].value);
    }
    storage_counters(&m->storage, to);
    vmbus_dump(m->bus, to);
}

void machine_print_devices(struct machine *m, FILE *to)
{
    mainboard_dump(&m->board, to);
    hv_dump(m->hv, to);
}
