/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keys.h - what is typed on a terminal, as the scan codes (set 1) of a PC keyboard with the US layout.
 *
 * Pure.  A key goes down and up again at once, with the modifiers that it needs around it. */
#pragma once

#include "base/util.h"

#define KEYS_CODES_MAX 16 /* of one key */

struct key_codes {
    uint8_t code[KEYS_CODES_MAX];
    unsigned n; /* 0: no keyboard has such a key */
};

/* The key at the beginning of 'n' (1 or more) bytes of a terminal's input: ASCII, control characters,
 * the escape sequences of cursor and function keys, ESC and a character for Alt.  An ESC that is the
 * last byte is the Escape key.  Returns how many bytes it took, at least 1. */
size_t keys_typed(const uint8_t *p, size_t n, struct key_codes *ret);

/* "f2", "down", "a", "ctrl-alt-delete" ...; false: no such key. */
bool keys_named(const char *name, struct key_codes *ret);
