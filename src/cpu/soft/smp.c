/* SPDX-License-Identifier: GPL-2.0-or-later */
/* smp.c - machines of some VPs for tests (smp.h). */
#include "cpu/soft/smp.h"

#include "base/test.h"

static uint32_t pio_read(void *owner, struct vp *vp, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}

static void pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    struct machine *m = owner;

    if (port != DONE_PORT)
        return;
    __atomic_fetch_or(&m->done, UINT64_C(1) << vp_index(vp), __ATOMIC_SEQ_CST);
    vp_kick(vp);
}

static uint64_t mmio_read(void *owner, struct vp *vp, gpa_t at, unsigned size)
{
    return UINT64_MAX;
}

static void mmio_write(void *owner, struct vp *vp, gpa_t at, unsigned size, uint64_t value)
{
}

static const struct exit_ops exits = {
    .pio_read = pio_read, .pio_write = pio_write, .mmio_read = mmio_read, .mmio_write = mmio_write,
};

void machine_put64(struct machine *m, uint64_t at, uint64_t v)
{
    gmem_write(m->mem, GPA(at), &v, sizeof v);
}

uint64_t machine_get64(struct machine *m, uint64_t at)
{
    uint64_t v = 0;

    gmem_read(m->mem, GPA(at), &v, sizeof v);
    return v;
}

struct machine *machine_new(unsigned n_vps, enum soft_mode mode)
{
    struct machine *m = calloc(1, sizeof *m);
    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    struct err err;

    clock_init(&m->clock);
    if (gmem_new(RAM, &m->mem, &err) < 0)
        abort();
    struct partition_config cfg = { .engine = ENGINE_SOFT, .soft_mode = mode,
                                    .gmem = m->mem, .clock = &m->clock, .n_vps = n_vps,
                                    .exits = &exits, .owner = m };
    if (partition_new(&cfg, &m->p, &err) < 0)
        abort();
    for (unsigned i = 0; i < n_vps; i++)
        vp_set_cpuid(partition_vp(m->p, i), cpuid, partition_cpuid(m->p, cpuid));
    return m;
}

void machine_free(struct machine *m)
{
    partition_free(m->p);
    gmem_free(m->mem);
    free(m);
}

void machine_gate(struct machine *m, unsigned vector, uint64_t handler)
{
    machine_put64(m, IDT_AT + vector * 16, (handler & 0xffff) | 0x10 << 16 | UINT64_C(0x8e00) << 32 |
                                               (handler >> 16 & 0xffff) << 48);
    machine_put64(m, IDT_AT + vector * 16 + 8, 0);
}

void machine_prepare(struct machine *m, const uint8_t *code, const uint8_t *end, uint64_t handler)
{
    machine_put64(m, PML4_AT, PDPT_AT | 3);
    for (uint64_t i = 0; i < 4; i++)
        machine_put64(m, PDPT_AT + i * 8, i * GIB | 0x83);
    machine_put64(m, GDT_AT + 0x10, 0x00af9b000000ffff);
    machine_put64(m, GDT_AT + 0x18, 0x00cf93000000ffff);
    machine_gate(m, 0x40, handler);
    machine_gate(m, 0x41, handler);
    gmem_write(m->mem, GPA(CODE_AT), code, (size_t)(end - code));
}

void machine_start(struct machine *m, unsigned index, uint64_t rcx, uint64_t rdx)
{
    struct vp *vp = partition_vp(m->p, index);
    struct vp_state *s = malloc(sizeof *s);
    struct vp_regs *r = &s->regs;
    struct err err;

    vp_get_state(vp, s);
    r->gpr[RBX] = DATA_AT;
    r->gpr[RCX] = rcx;
    r->gpr[RDX] = rdx;
    r->gpr[R12] = index;
    r->gpr[RSP] = STACKS_AT + 0x1000 * (index + 1);
    r->rip = CODE_AT;
    r->rflags = 2;
    r->cr0 = 0x80000033;
    r->cr3 = PML4_AT;
    r->cr4 = 1 << 5 | 1 << 9;
    r->efer = 0x500;
    r->gdt = (struct vp_dtable){ .base = GDT_AT, .limit = 0x1f };
    r->idt = (struct vp_dtable){ .base = IDT_AT, .limit = 0xfff };
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        r->seg[i] = (struct vp_segment){ .limit = UINT32_MAX, .sel = 0x18, .attr = 0xc093 };
    r->seg[SEG_CS].sel = 0x10;
    r->seg[SEG_CS].attr = 0xa09b;
    s->mp_state = MP_RUNNING;
    if (vp_set_state(vp, s, &err) < 0)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    free(s);
}

static void *run_thread(void *arg)
{
    struct runner *r = arg;

    r->stop = vp_run(r->vp);
    return NULL;
}

void machine_go(struct machine *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        m->runner[i] = (struct runner){ .m = m, .vp = partition_vp(m->p, i) };
        pthread_create(&m->thread[i], NULL, run_thread, &m->runner[i]);
    }
}

void machine_join(struct machine *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        pthread_join(m->thread[i], NULL);
        if (m->runner[i].stop != VP_KICKED)
            test_fail(__FILE__, __LINE__, "%s", vp_death(m->runner[i].vp));
    }
}
