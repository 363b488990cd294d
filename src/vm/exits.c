/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exits.c - what a VP cannot do itself goes to a bus, to a chip, or to Hyper-V. */
#include "base/trace.h"
#include "vm/machine_internal.h"

static uint32_t exit_pio_read(void *owner, struct vp *vp, uint16_t port, unsigned size)
{
    struct machine *m = owner;
    uint32_t value = pio_read(&m->board.bus, port, size);

    TRACE("exit", "pio_read", "vp %u port %#x size %u = %#x", vp_index(vp), port, size, value);
    return value;
}

static void exit_pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size,
                           uint32_t value)
{
    struct machine *m = owner;

    TRACE("exit", "pio_write", "vp %u port %#x size %u = %#x", vp_index(vp), port, size, value);
    pio_write(&m->board.bus, port, size, value);
}

static uint64_t exit_mmio_read(void *owner, struct vp *vp, gpa_t at, unsigned size)
{
    struct machine *m = owner;
    uint64_t value = mmio_read(&m->board.bus, at.v, size);

    TRACE("exit", "mmio_read", "vp %u at %#llx size %u = %#llx", vp_index(vp),
          (unsigned long long)at.v, size, (unsigned long long)value);
    return value;
}

static void exit_mmio_write(void *owner, struct vp *vp, gpa_t at, unsigned size, uint64_t value)
{
    struct machine *m = owner;

    TRACE("exit", "mmio_write", "vp %u at %#llx size %u = %#llx", vp_index(vp),
          (unsigned long long)at.v, size, (unsigned long long)value);
    mmio_write(&m->board.bus, at.v, size, value);
}

static bool exit_msr_read(void *owner, struct vp *vp, uint32_t msr, uint64_t *ret)
{
    struct machine *m = owner;
    bool ok = hv_msr_read(m->hv, vp, msr, ret);

    TRACE("exit", "msr_read", "vp %u msr %#x = %#llx%s", vp_index(vp), msr,
          (unsigned long long)*ret, ok ? "" : " #GP");
    return ok;
}

static bool exit_msr_write(void *owner, struct vp *vp, uint32_t msr, uint64_t value)
{
    struct machine *m = owner;
    bool ok = hv_msr_write(m->hv, vp, msr, value);

    TRACE("exit", "msr_write", "vp %u msr %#x = %#llx%s", vp_index(vp), msr,
          (unsigned long long)value, ok ? "" : " #GP");
    return ok;
}

static bool exit_hypercall(void *owner, struct vp *vp, struct hypercall *h)
{
    struct machine *m = owner;
    bool ok = hv_hypercall(m->hv, vp, h);

    TRACE("exit", "hypercall", "vp %u rcx %#llx = %#llx%s", vp_index(vp),
          (unsigned long long)h->rcx, (unsigned long long)h->result, ok ? "" : " (ignored)");
    return ok;
}

static void exit_eoi(void *owner, struct vp *vp, uint8_t vector)
{
    struct machine *m = owner;

    mainboard_eoi(&m->board, vector);
}

static int exit_pic_ack(void *owner)
{
    struct machine *m = owner;

    return mainboard_pic_ack(&m->board);
}

static void exit_deadline(void *owner, struct vp *vp)
{
    struct machine *m = owner;

    hv_deadline(m->hv, vp);
}

const struct exit_ops machine_exits = {
    .pio_read = exit_pio_read,
    .pio_write = exit_pio_write,
    .mmio_read = exit_mmio_read,
    .mmio_write = exit_mmio_write,
    .msr_read = exit_msr_read,
    .msr_write = exit_msr_write,
    .hypercall = exit_hypercall,
    .eoi = exit_eoi,
    .pic_ack = exit_pic_ack,
    .deadline = exit_deadline,
};
