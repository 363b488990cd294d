/* SPDX-License-Identifier: GPL-2.0-or-later */
/* testdev.c - the test device that kvm-unit-tests and our own freestanding guests drive.
 *
 * Peer:   kvm-unit-tests, x86: exit code v at 0xf4 means status 2 v + 1 (who asks does the sum);
 *         0xe0-0xe3 and, byte by byte, 0xe8-0xeb are one 32-bit scratch register; 0xe4 names a page
 *         to be forgotten; 0x2000 + n sets ISA interrupt n; 64 KiB of scratch memory at 0xff000000.
 * Not:    forgetting the page: no caller of ours keeps what that would test.
 * Called: by its ports and its memory on VP threads. */
#include "dev/testdev.h"

#include "base/trace.h"

#define PORT_EXIT    0xf4
#define PORT_SCRATCH 0xe0
#define PORT_PAGE    0xe4
#define PORT_BYTES   0xe8
#define PORT_IRQ     0x2000
#define IRQ_PORTS    24
#define MEMORY       0xff000000u

static uint64_t nothing_read(void *owner, uint64_t off, unsigned size)
{
    return 0;
}

static void nothing_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
}

static void exit_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct testdev *d = owner;

    TRACE("dev", "test_exit", "code %#x", (unsigned)value);
    d->board.ops->exit(d->board.owner, (unsigned)value);
}

static uint64_t scratch_read(void *owner, uint64_t off, unsigned size)
{
    const struct testdev *d = owner;

    return d->scratch >> (8 * off);
}

static void scratch_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct testdev *d = owner;
    uint32_t mask = (uint32_t)io_ones(size) << (8 * off);

    d->scratch = (d->scratch & ~mask) | ((uint32_t)value << (8 * off) & mask);
}

static void irq_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct testdev *d = owner;

    if (off >= ISA_IRQS)
        return;
    struct irq_line line = isa_irq(d->irqs, (unsigned)off, ISA_TEST);
    uint16_t bit = (uint16_t)(1u << off);
    d->irq_level = value ? d->irq_level | bit : d->irq_level & (uint16_t)~bit;
    irq_set(&line, value != 0);
}

static uint64_t memory_read(void *owner, uint64_t off, unsigned size)
{
    const struct testdev *d = owner;
    uint64_t v = 0;

    memcpy(&v, d->memory + off, size);
    return v;
}

static void memory_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct testdev *d = owner;

    memcpy(d->memory + off, &value, size);
}

static void lines_fall(struct testdev *d)
{
    for (unsigned i = 0; i < ISA_IRQS; i++)
        if (d->irq_level >> i & 1)
            irq_write(d, i, 1, 0);
}

static void reset(void *chip)
{
    struct testdev *d = chip;

    d->scratch = 0;
    memset(d->memory, 0, sizeof d->memory);
    lines_fall(d);
}

static void restored(void *chip)
{
    const struct testdev *d = chip;

    for (unsigned i = 0; i < ISA_IRQS; i++)
        irq_write(chip, i, 1, d->irq_level >> i & 1);
}

static const struct state_field fields[] = {
    STATE(struct testdev, scratch),
    STATE(struct testdev, irq_level),
    STATE(struct testdev, memory),
};
static const struct state_desc state = STATE_DESC("testdev", 1, fields);
const struct device_ops testdev_device = { .state = &state, .reset = reset,
                                           .restored = restored };

void testdev_init(struct testdev *d, struct bus *bus, struct isa_irqs *irqs, struct board board)
{
    static const struct io_ops exit_ops = { nothing_read, exit_write, 1 | 2 | 4 };
    static const struct io_ops scratch_ops = { scratch_read, scratch_write, 1 | 2 | 4 };
    static const struct io_ops bytes_ops = { scratch_read, scratch_write, 1 };
    static const struct io_ops page_ops = { nothing_read, nothing_write, 4 };
    static const struct io_ops irq_ops = { nothing_read, irq_write, 1 };
    static const struct io_ops memory_ops = { memory_read, memory_write, 1 | 2 | 4 | 8 };

    *d = (struct testdev){
        .bus = bus, .board = board, .irqs = irqs,
        .exit_io = { .base = PORT_EXIT, .len = 4, .ops = &exit_ops, .owner = d },
        .scratch_io = { .base = PORT_SCRATCH, .len = 4, .ops = &scratch_ops, .owner = d },
        .bytes_io = { .base = PORT_BYTES, .len = 4, .ops = &bytes_ops, .owner = d },
        .page_io = { .base = PORT_PAGE, .len = 4, .ops = &page_ops, .owner = d },
        .irq_io = { .base = PORT_IRQ, .len = IRQ_PORTS, .ops = &irq_ops, .owner = d },
        .memory_io = { .base = MEMORY, .len = TESTDEV_MEMORY, .ops = &memory_ops, .owner = d },
    };
    pio_add(bus, &d->exit_io);
    pio_add(bus, &d->scratch_io);
    pio_add(bus, &d->bytes_io);
    pio_add(bus, &d->page_io);
    pio_add(bus, &d->irq_io);
    mmio_add(bus, &d->memory_io);
}

void testdev_done(struct testdev *d)
{
    pio_remove(d->bus, &d->exit_io);
    pio_remove(d->bus, &d->scratch_io);
    pio_remove(d->bus, &d->bytes_io);
    pio_remove(d->bus, &d->page_io);
    pio_remove(d->bus, &d->irq_io);
    mmio_remove(d->bus, &d->memory_io);
}
