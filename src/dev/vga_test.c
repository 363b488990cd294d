/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Register files, planes and write modes, and the text that comes out of them. */
#include "dev/vga.h"

#include "dev/testbed.h"

#define TEXT 0xb8000

struct vga_bed {
    struct testbed t;
    struct pci_bus pci;
    struct vga vga;
    struct vga_text text;
};

static void out_index(struct vga_bed *b, unsigned port, unsigned index, unsigned value)
{
    pio_write(&b->t.bus, (uint16_t)port, 2, value << 8 | index);
}

static uint8_t in_index(struct vga_bed *b, unsigned port, unsigned index)
{
    out8(&b->t, port, index);
    return in8(&b->t, port + 1);
}

static void out_attr(struct vga_bed *b, unsigned index, unsigned value)
{
    in8(&b->t, 0x3da);
    out8(&b->t, 0x3c0, index);
    out8(&b->t, 0x3c0, value);
}

/* Mode 3 as a BIOS sets it: 80 by 25, cells of 9 by 16. */
static void set_mode_3(struct vga_bed *b)
{
    static const uint8_t seq[5] = { 3, 0, 3, 0, 2 };
    static const uint8_t crtc[25] = { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                      0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e,
                                      0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff };
    static const uint8_t gfx[9] = { 0, 0, 0, 0, 0, 0x10, 0x0e, 0, 0xff };

    out8(&b->t, 0x3c2, 0x67);
    for (unsigned i = 0; i < sizeof seq; i++)
        out_index(b, 0x3c4, i, seq[i]);
    out_index(b, 0x3d4, 0x11, 0);
    for (unsigned i = 0; i < sizeof crtc; i++)
        out_index(b, 0x3d4, i, crtc[i]);
    for (unsigned i = 0; i < sizeof gfx; i++)
        out_index(b, 0x3ce, i, gfx[i]);
    out_attr(b, 0x10, 0x0c);
    in8(&b->t, 0x3da);
    out8(&b->t, 0x3c0, 0x20);
}

static struct vga_bed *bed_new(void)
{
    struct vga_bed *b = calloc(1, sizeof *b);

    testbed_init(&b->t);
    pci_bus_init(&b->pci, &b->t.bus);
    vga_init(&b->vga, &b->pci, PCI_DEVFN(8, 0));
    pci_config_write(&b->pci, PCI_DEVFN(8, 0), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    return b;
}

static void bed_free(struct vga_bed *b)
{
    vga_done(&b->vga);
    pci_bus_done(&b->pci);
    testbed_done(&b->t);
    free(b);
}

static const struct vga_text *look(struct vga_bed *b)
{
    vga_read_text(&b->vga, &b->text);
    return &b->text;
}

TEST(it_answers_when_the_pci_command_register_says_so)
{
    struct vga_bed *b = bed_new();

    EXPECT_EQ(pci_config_read(&b->pci, PCI_DEVFN(8, 0), 0, 4), 0x53531414);
    EXPECT_EQ(pci_config_read(&b->pci, PCI_DEVFN(8, 0), PCI_SUBCLASS, 2), PCI_CLASS_VGA);
    set_mode_3(b);
    mmio_write(&b->t.bus, TEXT, 1, 0x41);
    EXPECT_EQ(mmio_read(&b->t.bus, TEXT, 1), 0x41);
    EXPECT_EQ(in8(&b->t, 0x3cc), 0x67);
    pci_config_write(&b->pci, PCI_DEVFN(8, 0), PCI_COMMAND, 2, 0);
    EXPECT_EQ(mmio_read(&b->t.bus, TEXT, 1), 0xff);
    EXPECT_EQ(in8(&b->t, 0x3cc), 0xff);
    bed_free(b);
}

TEST(registers_keep_what_they_have)
{
    struct vga_bed *b = bed_new();

    set_mode_3(b);
    EXPECT_EQ(in_index(b, 0x3c4, 2), 3);
    EXPECT_EQ(in_index(b, 0x3d4, 0x13), 0x28);
    EXPECT_EQ(in8(&b->t, 0x3b4), 0xff); /* colour: the CRTC is at 0x3d4 only */
    EXPECT_EQ(in_index(b, 0x3ce, 6), 0x0e);
    out_index(b, 0x3ce, 3, 0xff);
    EXPECT_EQ(in_index(b, 0x3ce, 3), 0x1f);
    EXPECT_EQ(in_index(b, 0x3d4, 0x3f), 0);
    EXPECT_EQ(in8(&b->t, 0x3c2) & 0x10, 0x10);
    /* The CRTC's timing is locked by 0x11, but for one bit. */
    out_index(b, 0x3d4, 0x11, 0x8e);
    out_index(b, 0x3d4, 1, 0x27);
    out_index(b, 0x3d4, 7, 0x00);
    EXPECT_EQ(in_index(b, 0x3d4, 1), 0x4f);
    EXPECT_EQ(in_index(b, 0x3d4, 7), 0x0f);
    out8(&b->t, 0x3c2, 0x66);
    EXPECT_EQ(in8(&b->t, 0x3b4), 0x07);
    EXPECT_EQ(in8(&b->t, 0x3d4), 0xff);
    bed_free(b);
}

TEST(attributes_and_colours_go_through_one_port)
{
    struct vga_bed *b = bed_new();

    out_attr(b, 0x01, 0x2a);
    in8(&b->t, 0x3da);
    out8(&b->t, 0x3c0, 0x01);
    EXPECT_EQ(in8(&b->t, 0x3c1), 0x2a);
    out8(&b->t, 0x3c8, 255);
    for (unsigned i = 1; i <= 6; i++)
        out8(&b->t, 0x3c9, i);
    EXPECT_EQ(in8(&b->t, 0x3c8), 1);
    out8(&b->t, 0x3c7, 255);
    EXPECT_EQ(in8(&b->t, 0x3c7), 3);
    for (unsigned i = 1; i <= 6; i++)
        EXPECT_EQ(in8(&b->t, 0x3c9), i);
    bed_free(b);
}

TEST(the_beam_moves)
{
    struct vga_bed *b = bed_new();
    unsigned seen[16] = { 0 };

    for (unsigned i = 0; i < 2000; i++) {
        seen[in8(&b->t, 0x3da) & 0xf]++;
        testbed_advance(&b->t, 17000, 17000);
    }
    EXPECT(seen[0] > 500 && seen[1] > 100 && seen[9] > 100);
    bed_free(b);
}

TEST(text_is_seen_where_it_was_written)
{
    struct vga_bed *b = bed_new();

    EXPECT_EQ(look(b)->cols, 0);
    set_mode_3(b);
    mmio_write(&b->t.bus, TEXT, 4, 0x4f420741);       /* A grey on black, B white on red */
    mmio_write(&b->t.bus, TEXT + 2 * (24 * 80 + 79), 2, 0x1e5a);
    out_index(b, 0x3d4, 0x0f, 81);
    const struct vga_text *t = look(b);
    EXPECT_EQ(t->cols, 80);
    EXPECT_EQ(t->rows, 25);
    EXPECT(!t->graphics && t->blinks && t->cursor);
    EXPECT_EQ(t->cursor_x, 1);
    EXPECT_EQ(t->cursor_y, 1);
    EXPECT_EQ(t->cell[0].ch, 'A');
    EXPECT_EQ(t->cell[1].attr, 0x4f);
    EXPECT_EQ(t->cell[24 * 80 + 79].ch, 'Z');
    /* Scrolled by two lines. */
    out_index(b, 0x3d4, 0x0d, 160);
    out_index(b, 0x3d4, 0x0f, 160 + 3);
    EXPECT_EQ(look(b)->cell[22 * 80 + 79].attr, 0x1e);
    EXPECT_EQ(b->text.cursor_x, 3);
    EXPECT_EQ(b->text.cursor_y, 0);
    out_index(b, 0x3d4, 0x0a, 0x2d);
    EXPECT(!look(b)->cursor);
    out_index(b, 0x3c4, 1, 0x20);
    EXPECT_EQ(look(b)->cols, 0);
    bed_free(b);
}

/* A font goes to plane 2 by addresses that follow each other; the text beside it stays. */
TEST(fonts_load_beside_the_text)
{
    struct vga_bed *b = bed_new();

    set_mode_3(b);
    mmio_write(&b->t.bus, TEXT, 2, 0x0741);
    out_index(b, 0x3c4, 2, 4);
    out_index(b, 0x3c4, 4, 7);
    out_index(b, 0x3ce, 4, 2);
    out_index(b, 0x3ce, 5, 0);
    out_index(b, 0x3ce, 6, 4);
    for (unsigned i = 0; i < 32; i++)
        mmio_write(&b->t.bus, VGA_WINDOW + i, 1, i);
    EXPECT_EQ(mmio_read(&b->t.bus, VGA_WINDOW + 8, 8), 0x0f0e0d0c0b0a0908);
    EXPECT_EQ(b->vga.plane[2][31], 31);
    set_mode_3(b);
    EXPECT_EQ(look(b)->cell[0].ch, 'A');
    EXPECT_EQ(b->text.cell[0].attr, 7);
    bed_free(b);
}

TEST(write_modes_and_read_modes)
{
    struct vga_bed *b = bed_new();
    struct vga *v = &b->vga;

    set_mode_3(b);
    out_index(b, 0x3c4, 2, 0x0f);
    out_index(b, 0x3c4, 4, 6);
    out_index(b, 0x3ce, 6, 5);
    out_index(b, 0x3ce, 5, 2); /* mode 2: a colour for the dots of the mask */
    out_index(b, 0x3ce, 8, 0xf0);
    mmio_read(&b->t.bus, VGA_WINDOW, 1);
    mmio_write(&b->t.bus, VGA_WINDOW, 1, 0x5);
    EXPECT_EQ(v->plane[0][0], 0xf0);
    EXPECT_EQ(v->plane[1][0], 0);
    EXPECT_EQ(v->plane[2][0], 0xf0);
    out_index(b, 0x3ce, 5, 8); /* read mode 1: which dots have this colour? */
    out_index(b, 0x3ce, 2, 5);
    out_index(b, 0x3ce, 7, 0xf);
    EXPECT_EQ(mmio_read(&b->t.bus, VGA_WINDOW, 1), 0xf0);
    out_index(b, 0x3ce, 5, 1); /* mode 1: latches */
    mmio_write(&b->t.bus, VGA_WINDOW + 9, 1, 0);
    EXPECT_EQ(v->plane[2][9], 0xf0);
    out_index(b, 0x3ce, 5, 0); /* mode 0: rotate, set/reset in plane 3, XOR */
    out_index(b, 0x3ce, 8, 0xff);
    out_index(b, 0x3ce, 3, 0x18 | 4);
    out_index(b, 0x3ce, 1, 8);
    out_index(b, 0x3ce, 0, 8);
    mmio_write(&b->t.bus, VGA_WINDOW, 1, 0x1e);
    EXPECT_EQ(v->plane[0][0], 0xf0 ^ 0xe1);
    EXPECT_EQ(v->plane[1][0], 0xe1);
    EXPECT_EQ(v->plane[3][0], 0xff);
    out_index(b, 0x3ce, 3, 0);
    out_index(b, 0x3ce, 5, 3); /* mode 3: the byte is a mask for set/reset */
    mmio_write(&b->t.bus, VGA_WINDOW, 1, 0x3c);
    EXPECT_EQ(v->plane[3][0], 0x3c);
    EXPECT_EQ(v->plane[0][0], 0xf0 & ~0x3c);
    EXPECT(look(b)->graphics);
    EXPECT_EQ(b->text.cols, 640);
    out_index(b, 0x3c4, 4, 0xe); /* chain 4: a byte a plane */
    out_index(b, 0x3ce, 5, 0);
    out_index(b, 0x3ce, 1, 0);
    mmio_write(&b->t.bus, VGA_WINDOW + 0x100, 4, 0x44332211);
    EXPECT_EQ(v->plane[3][0x100], 0x44);
    EXPECT_EQ(mmio_read(&b->t.bus, VGA_WINDOW + 0x100, 4), 0x44332211);
    bed_free(b);
}

TEST(it_moves_to_another_machine)
{
    struct vga_bed *a = bed_new(), *b = bed_new();

    set_mode_3(a);
    mmio_write(&a->t.bus, TEXT, 2, 0x0741);
    testbed_move(&a->t, &a->vga, &b->t, &b->vga, &vga_device);
    EXPECT_EQ(mmio_read(&b->t.bus, TEXT, 2), 0x0741);
    EXPECT_EQ(look(b)->cols, 80);
    EXPECT_EQ(b->text.cell[0].ch, 'A');
    vga_device.reset(&b->vga);
    EXPECT_EQ(look(b)->cols, 0);
    bed_free(a);
    bed_free(b);
}
