/* SPDX-License-Identifier: GPL-2.0-or-later */
/* screen.c - see screen.h.
 *
 * Source: ECMA-48 (cursor, SGR), xterm for bright backgrounds. */
#include "bin/screen.h"

#include <stdarg.h>

/* Code page 437 in Unicode; what has no shape is a blank. */
static const uint16_t cp437[256] = {
    0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9, 0x2642,
    0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7, 0x25ac, 0x21a8,
    0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc, 0x0020, 0x0021, 0x0022, 0x0023,
    0x0024, 0x0025, 0x0026, 0x0027, 0x0028, 0x0029, 0x002a, 0x002b, 0x002c, 0x002d, 0x002e, 0x002f,
    0x0030, 0x0031, 0x0032, 0x0033, 0x0034, 0x0035, 0x0036, 0x0037, 0x0038, 0x0039, 0x003a, 0x003b,
    0x003c, 0x003d, 0x003e, 0x003f, 0x0040, 0x0041, 0x0042, 0x0043, 0x0044, 0x0045, 0x0046, 0x0047,
    0x0048, 0x0049, 0x004a, 0x004b, 0x004c, 0x004d, 0x004e, 0x004f, 0x0050, 0x0051, 0x0052, 0x0053,
    0x0054, 0x0055, 0x0056, 0x0057, 0x0058, 0x0059, 0x005a, 0x005b, 0x005c, 0x005d, 0x005e, 0x005f,
    0x0060, 0x0061, 0x0062, 0x0063, 0x0064, 0x0065, 0x0066, 0x0067, 0x0068, 0x0069, 0x006a, 0x006b,
    0x006c, 0x006d, 0x006e, 0x006f, 0x0070, 0x0071, 0x0072, 0x0073, 0x0074, 0x0075, 0x0076, 0x0077,
    0x0078, 0x0079, 0x007a, 0x007b, 0x007c, 0x007d, 0x007e, 0x2302, 0x00c7, 0x00fc, 0x00e9, 0x00e2,
    0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
    0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2,
    0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
    0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502,
    0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
    0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566,
    0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0,
    0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
    0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a,
    0x207f, 0x00b2, 0x25a0, 0x0020,
};

static unsigned utf8(uint8_t ch, char *to)
{
    unsigned c = cp437[ch];

    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | c >> 12);
    to[1] = (char)(0x80 | (c >> 6 & 0x3f));
    to[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

/* ---- plain text ------------------------------------------------------------------------------ */

static void print_row(const struct vga_text *t, unsigned y, FILE *to)
{
    const struct vga_cell *row = &t->cell[y * t->cols];
    unsigned n = t->cols;
    char c[4];

    while (n && cp437[row[n - 1].ch] == ' ')
        n--;
    for (unsigned x = 0; x < n; x++)
        fwrite(c, 1, utf8(row[x].ch, c), to);
    fputc('\n', to);
}

void screen_print(const struct vga_text *t, FILE *to)
{
    if (t->graphics)
        fprintf(to, "a picture of %u by %u dots\n", t->cols, t->rows);
    else if (!t->cols)
        fprintf(to, "the screen is dark\n");
    else
        for (unsigned y = 0; y < t->rows; y++)
            print_row(t, y, to);
}

/* ---- drawing --------------------------------------------------------------------------------- */

static void PRINTF(2, 3) say(struct buf *to, const char *fmt, ...)
{
    char text[128];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_add(to, text, MIN((size_t)n, sizeof text - 1));
}

/* Grey on black is the terminal's own pair of colours. */
static void set_colours(struct buf *to, uint8_t attr, bool blinks)
{
    static const uint8_t ansi[8] = { 0, 4, 2, 6, 1, 5, 3, 7 };
    unsigned fg = attr & 0xf, bg = attr >> 4 & (blinks ? 7 : 0xf);

    say(to, "\33[0");
    if (fg != 7 || bg)
        say(to, ";%u", (fg & 8 ? 90u : 30u) + ansi[fg & 7]);
    if (bg)
        say(to, ";%u", (bg & 8 ? 100u : 40u) + ansi[bg & 7]);
    say(to, blinks && (attr & 0x80) ? ";5m" : "m");
}

static bool same_shape(const struct vga_text *a, const struct vga_text *b)
{
    return a->cols == b->cols && a->rows == b->rows && a->graphics == b->graphics &&
           a->blinks == b->blinks;
}

static void draw_row(struct screen *s, const struct vga_text *now, unsigned y, int *attr,
                     struct buf *to)
{
    unsigned n = MIN(now->cols, s->term_cols);
    bool there = false; /* the terminal's cursor is at x */
    char c[4];

    for (unsigned x = 0; x < n; x++) {
        const struct vga_cell *cell = &now->cell[y * now->cols + x];
        const struct vga_cell *old = &s->shown.cell[y * now->cols + x];
        if (!s->all && cell->ch == old->ch && cell->attr == old->attr) {
            there = false;
            continue;
        }
        if (!there)
            say(to, "\33[%u;%uH", y + 1, x + 1);
        if (cell->attr != *attr)
            set_colours(to, cell->attr, now->blinks);
        *attr = cell->attr;
        buf_add(to, c, utf8(cell->ch, c));
        there = true;
    }
}

/* Is the cursor to be seen there? */
static bool draw_cursor(const struct screen *s, const struct vga_text *now, bool drawn,
                        struct buf *to)
{
    const struct vga_text *was = &s->shown;
    bool on = now->cursor && !now->graphics && now->cursor_x < s->term_cols &&
              now->cursor_y < s->term_rows;

    if (on && (drawn || s->all || !was->cursor || was->cursor_x != now->cursor_x ||
               was->cursor_y != now->cursor_y))
        say(to, "\33[%u;%uH\33[?25h", now->cursor_y + 1, now->cursor_x + 1);
    else if (!on && (s->all || was->cursor))
        say(to, "\33[?25l");
    return on;
}

static void draw_picture(const struct screen *s, const struct vga_text *now, struct buf *to)
{
    if (s->all)
        say(to, "a picture of %u by %u dots, which a terminal cannot show", now->cols, now->rows);
}

void screen_draw(struct screen *s, const struct vga_text *now, struct buf *to)
{
    size_t before;
    int attr = -1;

    s->all |= !same_shape(&s->shown, now);
    if (s->all)
        say(to, "\33[0m\33[H\33[2J");
    before = to->n;
    if (now->graphics)
        draw_picture(s, now, to);
    for (unsigned y = 0; !now->graphics && y < MIN(now->rows, s->term_rows); y++)
        draw_row(s, now, y, &attr, to);
    bool cursor = draw_cursor(s, now, to->n != before, to);
    s->shown = *now;
    s->shown.cursor = cursor;
    s->all = false;
}

void screen_leave(struct screen *s, struct buf *to)
{
    unsigned rows = MIN(s->shown.graphics ? 1 : MAX(s->shown.rows, 1), s->term_rows);

    say(to, "\33[0m\33[%u;1H\33[?25h\r\n", rows);
    s->all = true;
}
