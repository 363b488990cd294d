/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A board with every chip, driven by bytes: what a hostile guest does on its ports and pages, what
 * comes from outside, time, resets; and saved states, whole and damaged, into a second board. */
#include <assert.h>

#include "bus/pci.h"
#include "dev/acpi_pm.h"
#include "dev/debugcon.h"
#include "dev/i440fx.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "dev/mc146818.h"
#include "dev/piix4.h"
#include "dev/port80.h"
#include "dev/port92.h"
#include "dev/testdev.h"
#include "dev/uart16550.h"
#include "dev/vga.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IOAPIC_GPA 0xfec00000
#define N_DEVICES  15
#define STEPS_MAX  2000

struct fuzz_board {
    struct clock clock;
    struct loop *loop;
    struct bus bus;
    struct isa_irqs irqs;
    struct pci_bus pci;
    struct i8259 pic;
    struct ioapic ioapic;
    struct i8254 pit;
    struct mc146818 rtc;
    struct acpi_pm pm;
    struct uart16550 uart;
    struct i8042 kbc;
    struct i440fx host;
    struct piix4 piix4;
    struct port80 port80;
    struct port92 port92;
    struct debugcon debug;
    struct testdev test;
    struct vga vga;
    struct pci_dev card; /* with all kinds of BARs */
    uint64_t wall_ns;
    uint64_t n_events;
    struct device dev[N_DEVICES];
};

static void count(struct fuzz_board *b)
{
    b->n_events++;
}

static void on_reset(void *owner, const char *who)
{
    assert(who);
    count(owner);
}

static void on_off(void *owner)
{
    count(owner);
}

static void on_exit_code(void *owner, unsigned code)
{
    count(owner);
}

static void on_intr(void *owner, unsigned n, bool level)
{
    count(owner);
}

static void on_msi(void *owner, uint64_t addr, uint32_t data)
{
    assert(addr >> 20 == 0xfee && !(addr & 3) && !(data & ~0xc7ffu));
    count(owner);
}

static void on_byte(void *owner, uint8_t byte)
{
    count(owner);
}

static void on_room(void *owner)
{
    count(owner);
}

static uint64_t on_wall(void *owner)
{
    const struct fuzz_board *b = owner;

    return b->wall_ns + clock_now_ns(&b->clock);
}

static void on_pm(void *owner, uint16_t base)
{
    struct fuzz_board *b = owner;

    acpi_pm_map(&b->pm, base);
}

static uint64_t card_read(void *owner, uint64_t off, unsigned size)
{
    const struct fuzz_board *b = owner;

    assert(off < 16 * MIB && !(off & (size - 1)));
    return b->n_events;
}

static void card_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct fuzz_board *b = owner;

    assert(off < 16 * MIB && !(off & (size - 1)) && !(value & ~io_ones(size)));
    pci_intx(&b->card, value & 1);
}

static void card_reset(void *chip)
{
    pci_dev_reset(chip);
}

static void card_restored(void *chip)
{
    pci_dev_restored(chip);
}

static const struct device_ops card_device = { &pci_dev_state, card_reset, card_restored };

static void add_card(struct fuzz_board *b)
{
    static const struct io_ops ports = { card_read, card_write, 1 | 2 };
    static const struct io_ops memory = { card_read, card_write, 4 | 8 };

    pci_dev_init(&b->card, NULL, 0x1234, 0x5678, 0x0200, 0);
    pci_set_interrupt_pin(&b->card, 2);
    pci_set_bar(&b->card, 0, PCI_BAR_IO, 32, &ports, b);
    pci_set_bar(&b->card, 1, 0, 4096, &memory, b);
    pci_set_bar(&b->card, 2, PCI_BAR_MEM64 | PCI_BAR_PREFETCH, 16 * MIB, &memory, b);
    pci_set_bar(&b->card, 5, PCI_BAR_IO, 4, NULL, NULL);
    pci_add_capability(&b->card, 5, 24);
    pci_add(&b->pci, &b->card, PCI_DEVFN(3, 0));
}

static void board_init(struct fuzz_board *b)
{
    static const struct board_ops board_ops = { on_reset, on_off, on_exit_code };
    static const struct serial_port_ops serial_ops = { on_byte, on_room };
    static const struct piix4_config piix4_cfg = { .pirq = { 11, 10, 5, 7 }, .pm_base = 0x400 };
    struct board board = { &board_ops, b };
    struct isa_irqs *irqs = &b->irqs;

    *b = (struct fuzz_board){ .wall_ns = UINT64_C(1709251197) * NS_PER_S };
    clock_init_manual(&b->clock);
    b->loop = loop_new(&b->clock);
    if (!b->loop)
        abort();
    bus_init(&b->bus, b->loop);
    i8259_init(&b->pic, &b->bus, (struct irq_line){ on_intr, b, 0 }, 0x0ca0);
    ioapic_init(&b->ioapic, &b->bus, IOAPIC_GPA, (struct msi_sink){ on_msi, b });
    isa_irqs_init(irqs, i8259_pins(&b->pic), ioapic_pins(&b->ioapic));
    i8254_init(&b->pit, &b->bus, isa_irq(irqs, 0, ISA_CHIP));
    mc146818_init(&b->rtc, &b->bus, isa_irq(irqs, 8, ISA_CHIP), on_wall, b);
    acpi_pm_init(&b->pm, &b->bus, isa_irq(irqs, 9, ISA_SCI), board, true);
    uart16550_init(&b->uart, &b->bus, 0x3f8, isa_irq(irqs, 4, ISA_CHIP), &serial_ops, b);
    i8042_init(&b->kbc, &b->bus, isa_irq(irqs, 1, ISA_CHIP), isa_irq(irqs, 12, ISA_CHIP), board);
    pci_bus_init(&b->pci, &b->bus);
    i440fx_init(&b->host, &b->pci, 0, PCI_DEVICE_82443BX);
    piix4_init(&b->piix4, &b->pci, 7, irqs, board, &piix4_cfg, on_pm, b);
    port80_init(&b->port80, &b->bus);
    port92_init(&b->port92, &b->bus, board);
    debugcon_init(&b->debug, &b->bus, 0x402, on_byte, b);
    testdev_init(&b->test, &b->bus, irqs, board);
    vga_init(&b->vga, &b->pci, PCI_DEVFN(8, 0));
    add_card(b);
    const struct device dev[N_DEVICES] = {
        { "isa-irqs", &isa_irqs_device, irqs },      { "pic", &i8259_device, &b->pic },
        { "ioapic", &ioapic_device, &b->ioapic },    { "pit", &i8254_device, &b->pit },
        { "rtc", &mc146818_device, &b->rtc },        { "pm", &acpi_pm_device, &b->pm },
        { "uart", &uart16550_device, &b->uart },     { "kbc", &i8042_device, &b->kbc },
        { "host", &i440fx_device, &b->host },        { "piix4", &piix4_device, &b->piix4 },
        { "port80", &port80_device, &b->port80 },    { "port92", &port92_device, &b->port92 },
        { "card", &card_device, &b->card },          { "pci", &pci_bus_device, &b->pci },
        { "vga", &vga_device, &b->vga },
    };
    memcpy(b->dev, dev, sizeof dev);
}

static void board_done(struct fuzz_board *b)
{
    vga_done(&b->vga);
    testdev_done(&b->test);
    debugcon_done(&b->debug);
    port92_done(&b->port92);
    port80_done(&b->port80);
    piix4_done(&b->piix4);
    pci_bus_done(&b->pci);
    i8042_done(&b->kbc);
    uart16550_done(&b->uart);
    acpi_pm_done(&b->pm);
    mc146818_done(&b->rtc);
    i8254_done(&b->pit);
    ioapic_done(&b->ioapic);
    i8259_done(&b->pic);
    assert(!b->bus.pio.n && !b->bus.mmio.n);
    bus_done(&b->bus);
    loop_free(b->loop);
}

/* ---- saved states ---------------------------------------------------------------------------- */

static void save(struct fuzz_board *b, struct buf *buf)
{
    *buf = (struct buf){ 0 };
    devices_save(&b->bus, b->dev, N_DEVICES, buf);
}

static int load(struct fuzz_board *b, const struct buf *buf)
{
    struct bytes from = bytes_of(buf->p, buf->n);

    devices_reset(&b->bus, b->dev, N_DEVICES);
    return devices_load(&b->bus, b->dev, N_DEVICES, &from, NULL);
}

/* A whole state must be taken, and what came out of it is saved as it was loaded. */
static void move(struct fuzz_board *from, struct fuzz_board *to)
{
    struct buf first, again, third;

    clock_set_ns(&to->clock, clock_now_ns(&from->clock));
    to->wall_ns = from->wall_ns;
    save(from, &first);
    if (load(to, &first) < 0)
        abort();
    save(to, &again);
    if (load(to, &again) < 0)
        abort();
    save(to, &third);
    if (again.n != third.n || memcmp(again.p, third.p, again.n) != 0)
        abort();
    buf_done(&first);
    buf_done(&again);
    buf_done(&third);
}

static void load_damaged(struct fuzz_board *from, struct fuzz_board *to, struct bytes *in)
{
    struct buf buf;
    uint16_t at;
    uint8_t n, v;

    save(from, &buf);
    for (bytes_u8(in, &n) || (n = 0); n && bytes_le16(in, &at) && bytes_u8(in, &v); n--)
        buf.p[at % buf.n] = v;
    if (load(to, &buf) < 0)
        devices_reset(&to->bus, to->dev, N_DEVICES);
    buf_done(&buf);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static const uint16_t ports[] = {
    0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x61, 0x60, 0x64, 0x70, 0x71,
    0x92, 0x80, 0x8f, 0xb2, 0xe0, 0xe4, 0xe8, 0xf4, 0x2000, 0x2017, 0x400, 0x402, 0x404, 0x408,
    0x40c, 0x40e, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0xcf8, 0xcf9, 0xcfc,
    0xcfd, 0xcfe, 0xcff, 0xc000, 0xc002, 0xffff, 0x3c0, 0x3c4, 0x3c7, 0x3c8, 0x3c9, 0x3ce, 0x3d4, 0x3d5,
    0x3da,
};

static const uint64_t pages[] = {
    IOAPIC_GPA, IOAPIC_GPA + 0x10, IOAPIC_GPA + 0x40, 0xff000000, 0xff00fffc, 0xfebf0000,
    UINT64_C(0x4d0000000), UINT64_MAX - 3, VGA_WINDOW, VGA_WINDOW + 0x18000,
};

static uint16_t port_of(struct bytes *in)
{
    uint8_t i = 0;

    bytes_u8(in, &i);
    return ports[i % ARRAY_LEN(ports)];
}

static uint64_t page_of(struct bytes *in)
{
    uint8_t i = 0;

    bytes_u8(in, &i);
    return pages[i % ARRAY_LEN(pages)] + (i >> 4);
}

/* Time passes; 'v' chooses how much: up to some days. */
static void pass_time(struct fuzz_board *b, uint32_t v)
{
    uint64_t left = (uint64_t)(v & 0xffff) << (v >> 16) % 34;

    for (unsigned i = 0; i < 8 && left; i++) {
        uint64_t ns = i == 7 ? left : left / 2;
        clock_advance(&b->clock, ns);
        loop_poll(b->loop);
        left -= ns;
    }
}

static void look(const struct fuzz_board *b)
{
    static struct vga_text t;

    vga_read_text(&b->vga, &t);
    assert(t.graphics || t.cols * t.rows <= VGA_TEXT_CELLS);
    assert(!t.cursor || (t.cursor_x < t.cols && t.cursor_y < t.rows));
}

static void from_outside(struct fuzz_board *b, uint8_t op, uint32_t v)
{
    uint8_t bytes[4];

    put_le32(bytes, v);
    bus_lock(&b->bus);
    switch (op) {
    case 0: uart16550_receive(&b->uart, bytes, 1 + v % 4); break;
    case 1: i8042_type(&b->kbc, bytes, 4); break;
    case 2: acpi_pm_power_button(&b->pm); break;
    case 3: acpi_pm_gpe(&b->pm, v); break;
    case 4: ioapic_eoi(&b->ioapic, (uint8_t)v); break;
    case 5: assert(i8259_ack(&b->pic) <= 0xff); break;
    case 6: pci_intx(&b->card, v & 1); look(b); break;
    default: b->wall_ns += (uint64_t)(int64_t)(int32_t)v << (v & 31); break;
    }
    bus_unlock(&b->bus);
}

static void step(struct fuzz_board *b, struct fuzz_board *other, struct bytes *in, uint8_t op)
{
    unsigned size = 1u << (op >> 4 & 3);
    uint32_t v = 0;

    bytes_copy(in, &v, MIN(in->n, op & 0x40 ? 4 : 1));
    switch (op & 15) {
    case 0: case 1: case 2: case 3: case 4:
        pio_write(&b->bus, port_of(in), MIN(size, 4), v);
        break;
    case 5: case 6:
        assert(!(pio_read(&b->bus, port_of(in), MIN(size, 4)) & ~io_ones(MIN(size, 4))));
        break;
    case 7: case 8: /* configuration space: address and data at once */
        pio_write(&b->bus, 0xcf8, 4, 0x80000000 | (v & 0xffff));
        pio_write(&b->bus, (uint16_t)(0xcfc + (v >> 30)), MIN(size, 4), v >> 8);
        break;
    case 9: mmio_write(&b->bus, page_of(in), size, v * UINT64_C(0x100000001)); break;
    case 10: assert(!(mmio_read(&b->bus, page_of(in), size) & ~io_ones(size))); break;
    case 11: pass_time(b, v); break;
    case 12: case 13: from_outside(b, (uint8_t)(op >> 4 & 7), v); break;
    case 14: load_damaged(b, other, in); break;
    default:
        if (v % 16 == 0)
            devices_reset(&b->bus, b->dev, N_DEVICES);
        else
            move(b, other);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fuzz_board board[2];
    struct bytes in = bytes_of(data, size);
    uint8_t op;

    board_init(&board[0]);
    board_init(&board[1]);
    for (unsigned i = 0; i < STEPS_MAX && bytes_u8(&in, &op); i++)
        step(&board[op >> 7], &board[!(op >> 7)], &in, op);
    board_done(&board[0]);
    board_done(&board[1]);
    return 0;
}
