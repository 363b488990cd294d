/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keys.c - see keys.h.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboards" (set 1); ECMA-48 and xterm's
 * control sequences for what a terminal sends. */
#include "bin/keys.h"

#define ESC       0x1b
#define EXTENDED  0xe0
#define RELEASED  0x80

#define KEY_CTRL  0x1d
#define KEY_SHIFT 0x2a
#define KEY_ALT   0x38
#define KEY_SPACE 0x39

enum { SHIFT = 1, ALT = 2, CTRL = 4 }; /* as in xterm's modifier parameter less one */
#define X 0x100                        /* an extended key */

/* ---- tables ---------------------------------------------------------------------------------- */

static const struct row {
    uint8_t code; /* of the first key; the others follow */
    const char *plain, *shifted;
} rows[] = {
    { 0x02, "1234567890-=", "!@#$%^&*()_+" },
    { 0x10, "qwertyuiop[]", "QWERTYUIOP{}" },
    { 0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~" },
    { 0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?" },
    { KEY_SPACE, " ", "" },
};

/* 'final' ends ESC [ ... and ESC O sequences, 'number' is the parameter before a tilde. */
static const struct named {
    const char *name;
    uint16_t key;
    char final;
    uint8_t number, number2;
} named[] = {
    { "up", X | 0x48, 'A', 0, 0 },       { "down", X | 0x50, 'B', 0, 0 },
    { "right", X | 0x4d, 'C', 0, 0 },    { "left", X | 0x4b, 'D', 0, 0 },
    { "home", X | 0x47, 'H', 1, 7 },     { "end", X | 0x4f, 'F', 4, 8 },
    { "insert", X | 0x52, 0, 2, 0 },     { "delete", X | 0x53, 0, 3, 0 },
    { "pageup", X | 0x49, 0, 5, 0 },     { "pagedown", X | 0x51, 0, 6, 0 },
    { "f1", 0x3b, 'P', 11, 0 },          { "f2", 0x3c, 'Q', 12, 0 },
    { "f3", 0x3d, 'R', 13, 0 },          { "f4", 0x3e, 'S', 14, 0 },
    { "f5", 0x3f, 0, 15, 0 },            { "f6", 0x40, 0, 17, 0 },
    { "f7", 0x41, 0, 18, 0 },            { "f8", 0x42, 0, 19, 0 },
    { "f9", 0x43, 0, 20, 0 },            { "f10", 0x44, 0, 21, 0 },
    { "f11", 0x57, 0, 23, 0 },           { "f12", 0x58, 0, 24, 0 },
    { "enter", 0x1c, 0, 0, 0 },          { "tab", 0x0f, 0, 0, 0 },
    { "esc", 0x01, 0, 0, 0 },            { "backspace", 0x0e, 0, 0, 0 },
    { "space", KEY_SPACE, 0, 0, 0 },     { "del", X | 0x53, 0, 0, 0 },
};

/* ---- scan codes ------------------------------------------------------------------------------ */

static void add(struct key_codes *k, unsigned key, uint8_t released)
{
    if (key & X)
        k->code[k->n++] = EXTENDED;
    k->code[k->n++] = (uint8_t)key | released;
}

/* At most 3 + 4 + 3 codes. */
static void press(struct key_codes *k, unsigned key, unsigned modifiers)
{
    static const struct { unsigned bit; uint8_t key; } mods[] = {
        { CTRL, KEY_CTRL }, { ALT, KEY_ALT }, { SHIFT, KEY_SHIFT },
    };

    k->n = 0;
    for (unsigned i = 0; i < ARRAY_LEN(mods); i++)
        if (modifiers & mods[i].bit)
            add(k, mods[i].key, 0);
    add(k, key, 0);
    add(k, key, RELEASED);
    for (unsigned i = ARRAY_LEN(mods); i-- > 0;)
        if (modifiers & mods[i].bit)
            add(k, mods[i].key, RELEASED);
}

static bool press_char(struct key_codes *k, char c, unsigned modifiers)
{
    for (unsigned i = 0; c && i < ARRAY_LEN(rows); i++) {
        const char *at = strchr(rows[i].plain, c);
        if (at) {
            press(k, rows[i].code + (unsigned)(at - rows[i].plain), modifiers);
            return true;
        }
        at = strchr(rows[i].shifted, c);
        if (at) {
            press(k, rows[i].code + (unsigned)(at - rows[i].shifted), modifiers | SHIFT);
            return true;
        }
    }
    return false;
}

/* ---- a terminal's bytes ---------------------------------------------------------------------- */

static void press_byte(struct key_codes *k, uint8_t byte, unsigned modifiers)
{
    switch (byte) {
    case '\r':
    case '\n': press(k, 0x1c, modifiers); return;
    case '\t': press(k, 0x0f, modifiers); return;
    case '\b':
    case 0x7f: press(k, 0x0e, modifiers); return;
    case ESC: press(k, 0x01, modifiers); return;
    case 0: press(k, KEY_SPACE, modifiers | CTRL); return;
    }
    if (byte < ' ')
        press_char(k, (char)(byte | (byte <= 26 ? 0x60 : 0x40)), modifiers | CTRL);
    else
        press_char(k, (char)byte, modifiers);
}

/* ESC [ number ; modifiers final, or ESC O final.  An unknown one is no key. */
static void press_sequence(struct key_codes *k, unsigned number, unsigned modifiers, char final)
{
    if (final == 'Z') {
        press(k, 0x0f, SHIFT);
        return;
    }
    for (unsigned i = 0; i < ARRAY_LEN(named); i++) {
        const struct named *n = &named[i];
        bool is = final == '~' ? number && (number == n->number || number == n->number2)
                               : final == n->final;
        if (is) {
            press(k, n->key, modifiers);
            return;
        }
    }
}

static size_t sequence(const uint8_t *p, size_t n, struct key_codes *k)
{
    unsigned value[2] = { 0, 1 }, at = 0;
    size_t i = 2;

    if (n == 2) { /* no more of it: Alt and the character */
        press_byte(k, p[1], ALT);
        return 2;
    }
    if (p[1] == '[' && p[2] == '[' && n > 3) { /* the Linux console's F1 to F5 */
        press_sequence(k, p[3] - 'A' + 11u, 0, p[3] >= 'A' && p[3] <= 'E' ? '~' : '?');
        return 4;
    }
    for (; i < n && p[i] >= 0x20 && p[i] < 0x40; i++) {
        if (p[i] == ';')
            at = 1, value[1] = 0;
        else if (p[i] >= '0' && p[i] <= '9' && value[at] < 1000)
            value[at] = value[at] * 10 + (p[i] - '0');
    }
    if (i == n)
        return n;
    press_sequence(k, value[0], (MAX(value[1], 1u) - 1) & (SHIFT | ALT | CTRL), (char)p[i]);
    return i + 1;
}

size_t keys_typed(const uint8_t *p, size_t n, struct key_codes *ret)
{
    size_t len = 1;

    ret->n = 0;
    if (p[0] >= 0x80) { /* UTF-8: none of these has a key of its own */
        while (len < n && (p[len] & 0xc0) == 0x80)
            len++;
        return len;
    }
    if (p[0] != ESC || n == 1) {
        press_byte(ret, p[0], 0);
        return 1;
    }
    if (p[1] == '[' || p[1] == 'O')
        return sequence(p, n, ret);
    if (p[1] == ESC) {
        press_byte(ret, ESC, 0);
        return 1;
    }
    press_byte(ret, p[1], ALT);
    return 2;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Moves '*name' behind the modifier that it begins with. */
static unsigned take_modifier(const char **name)
{
    static const struct { const char *name; unsigned bit; } mods[] = {
        { "ctrl-", CTRL }, { "alt-", ALT }, { "shift-", SHIFT },
    };

    for (unsigned i = 0; i < ARRAY_LEN(mods); i++) {
        size_t n = strlen(mods[i].name);
        if (strncmp(*name, mods[i].name, n) == 0) {
            *name += n;
            return mods[i].bit;
        }
    }
    return 0;
}

bool keys_named(const char *name, struct key_codes *ret)
{
    unsigned modifiers = 0, bit;

    ret->n = 0;
    while ((bit = take_modifier(&name)) != 0)
        modifiers |= bit;
    if (name[0] && !name[1])
        return press_char(ret, name[0], modifiers);
    for (unsigned i = 0; i < ARRAY_LEN(named); i++)
        if (strcmp(name, named[i].name) == 0) {
            press(ret, named[i].key, modifiers);
            return true;
        }
    return false;
}
