/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes for the terminal: everything once, then what differs. */
#include "bin/screen.h"

#include "base/test.h"

static struct screen s;
static struct vga_text now;

static void set_up(unsigned cols, unsigned rows)
{
    memset(&s, 0, sizeof s);
    memset(&now, 0, sizeof now);
    s.term_cols = 100;
    s.term_rows = 50;
    s.all = true;
    now.cols = cols;
    now.rows = rows;
    now.blinks = true;
    for (unsigned i = 0; i < cols * rows; i++)
        now.cell[i] = (struct vga_cell){ ' ', 7 };
}

static void put(unsigned x, unsigned y, const char *text, uint8_t attr)
{
    for (; *text; text++, x++)
        now.cell[y * now.cols + x] = (struct vga_cell){ (uint8_t)*text, attr };
}

static const char *drawn(void)
{
    static char text[4096];
    struct buf b = { 0 };

    screen_draw(&s, &now, &b);
    EXPECT(b.n < sizeof text);
    if (b.n)
        memcpy(text, b.p, b.n);
    text[b.n] = 0;
    buf_done(&b);
    return text;
}

TEST(everything_then_differences)
{
    set_up(4, 2);
    put(0, 0, "ab", 7);
    EXPECT_STR(drawn(), "\33[0m\33[H\33[2J\33[1;1H\33[0mab  \33[2;1H    \33[?25l");
    EXPECT_STR(drawn(), "");
    put(1, 1, "x", 0x1f);
    put(3, 1, "y", 0x1f);
    EXPECT_STR(drawn(), "\33[2;2H\33[0;97;44mx\33[2;4Hy");
    now.cursor = true;
    now.cursor_x = 2;
    EXPECT_STR(drawn(), "\33[1;3H\33[?25h");
    put(0, 0, "z", 7);
    EXPECT_STR(drawn(), "\33[1;1H\33[0mz\33[1;3H\33[?25h");
    now.cursor = false;
    EXPECT_STR(drawn(), "\33[?25l");
}

TEST(colours_and_code_page)
{
    set_up(3, 1);
    drawn();
    put(0, 0, "\xb0\x03\xe1", 0x9c);
    EXPECT_STR(drawn(), "\33[1;1H\33[0;91;44;5m░♥ß");
    now.blinks = false; /* another mode: all of it again */
    EXPECT_STR(drawn(), "\33[0m\33[H\33[2J\33[1;1H\33[0;91;104m░♥ß\33[?25l");
}

TEST(a_small_terminal_shows_its_part)
{
    set_up(4, 3);
    s.term_cols = 2;
    s.term_rows = 1;
    now.cursor = true;
    now.cursor_y = 2;
    put(0, 0, "abcd", 7);
    EXPECT_STR(drawn(), "\33[0m\33[H\33[2J\33[1;1H\33[0mab\33[?25l");
}

TEST(dark_and_graphics)
{
    set_up(0, 0);
    EXPECT_STR(drawn(), "\33[0m\33[H\33[2J\33[?25l");
    now = (struct vga_text){ .cols = 640, .rows = 480, .graphics = true, .cursor = true };
    EXPECT(strstr(drawn(), "a picture of 640 by 480 dots"));
    EXPECT_STR(drawn(), "");
}

TEST(plain_text)
{
    char *text = NULL;
    size_t n;

    set_up(4, 2);
    put(1, 0, "\xda\x04", 7);
    FILE *f = open_memstream(&text, &n);
    screen_print(&now, f);
    fclose(f);
    EXPECT_STR(text, " ┌♦\n\n");
    free(text);
}
