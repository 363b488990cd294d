/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is typed and named against the scan codes that a keyboard would send. */
#include "bin/keys.h"

#include "base/test.h"

static const char *hex(const struct key_codes *k)
{
    static char text[3 * KEYS_CODES_MAX + 1];

    text[0] = 0;
    for (unsigned i = 0; i < k->n; i++)
        snprintf(text + 3 * i, 4, "%02x ", k->code[i]);
    return text;
}

/* All of 'text' must be one key. */
static const char *typed(const char *text)
{
    static struct key_codes k;

    EXPECT_EQ(keys_typed((const uint8_t *)text, strlen(text), &k), strlen(text));
    return hex(&k);
}

static const char *named(const char *name)
{
    static struct key_codes k;

    EXPECT(keys_named(name, &k));
    return hex(&k);
}

TEST(characters)
{
    EXPECT_STR(typed("a"), "1e 9e ");
    EXPECT_STR(typed("A"), "2a 1e 9e aa ");
    EXPECT_STR(typed("1"), "02 82 ");
    EXPECT_STR(typed("?"), "2a 35 b5 aa ");
    EXPECT_STR(typed("|"), "2a 2b ab aa ");
    EXPECT_STR(typed("/"), "35 b5 ");
    EXPECT_STR(typed(" "), "39 b9 ");
    EXPECT_STR(typed("\r"), "1c 9c ");
    EXPECT_STR(typed("\t"), "0f 8f ");
    EXPECT_STR(typed("\x7f"), "0e 8e ");
}

TEST(every_printable_character_has_a_key)
{
    for (char c = ' '; c <= '~'; c++) {
        struct key_codes k;
        EXPECT_EQ(keys_typed((uint8_t *)&c, 1, &k), 1);
        EXPECT(k.n == 2 || k.n == 4);
    }
}

TEST(modifiers)
{
    EXPECT_STR(typed("\x03"), "1d 2e ae 9d ");
    EXPECT_STR(typed("\x1c"), "1d 2b ab 9d ");
    EXPECT_STR(typed("\x1b"), "01 81 ");
    EXPECT_STR(typed("\x1b" "a"), "38 1e 9e b8 ");
    EXPECT_STR(typed("\x1b\x18"), "1d 38 2d ad b8 9d ");
    EXPECT_STR(typed("\x1b[Z"), "2a 0f 8f aa ");
    EXPECT_STR(typed("\x1b[1;5C"), "1d e0 4d e0 cd 9d ");
    EXPECT_STR(typed("\x1b[3;3~"), "38 e0 53 e0 d3 b8 ");
}

TEST(sequences)
{
    EXPECT_STR(typed("\x1b[A"), "e0 48 e0 c8 ");
    EXPECT_STR(typed("\x1bOB"), "e0 50 e0 d0 ");
    EXPECT_STR(typed("\x1bOP"), "3b bb ");
    EXPECT_STR(typed("\x1b[[A"), "3b bb ");
    EXPECT_STR(typed("\x1b[15~"), "3f bf ");
    EXPECT_STR(typed("\x1b[24~"), "58 d8 ");
    EXPECT_STR(typed("\x1b[1~"), "e0 47 e0 c7 ");
    EXPECT_STR(typed("\x1b[5~"), "e0 49 e0 c9 ");
    EXPECT_STR(typed("\x1b["), "38 1a 9a b8 ");
}

TEST(what_no_keyboard_has_is_nothing)
{
    EXPECT_STR(typed("\x1b[200~"), "");
    EXPECT_STR(typed("\x1b[I"), "");
    EXPECT_STR(typed("\x1b[~"), "");
    EXPECT_STR(typed("\x1b[999999999999;77"), "");
    EXPECT_STR(typed("\x1b[[x"), "");
    EXPECT_STR(typed("\xc3\xa9"), "");
    EXPECT_STR(typed("\xff"), "");
}

TEST(a_key_ends_where_the_next_begins)
{
    static const uint8_t text[] = "\x1b[Ax\x1b\x1b";
    struct key_codes k;

    EXPECT_EQ(keys_typed(text, 6, &k), 3);
    EXPECT_EQ(keys_typed(text + 3, 3, &k), 1);
    EXPECT_EQ(keys_typed(text + 4, 2, &k), 1);
    EXPECT_STR(hex(&k), "01 81 ");
}

TEST(names)
{
    struct key_codes k;

    EXPECT_STR(named("ctrl-alt-delete"), "1d 38 e0 53 e0 d3 b8 9d ");
    EXPECT_STR(named("alt-ctrl-del"), "1d 38 e0 53 e0 d3 b8 9d ");
    EXPECT_STR(named("shift-ctrl-alt-up"), "1d 38 2a e0 48 e0 c8 aa b8 9d ");
    EXPECT_STR(named("f12"), "58 d8 ");
    EXPECT_STR(named("-"), "0c 8c ");
    EXPECT_STR(named("ctrl-c"), "1d 2e ae 9d ");
    EXPECT_STR(named("A"), "2a 1e 9e aa ");
    EXPECT(!keys_named("", &k));
    EXPECT(!keys_named("ctrl-", &k));
    EXPECT(!keys_named("nosuch", &k));
    EXPECT(!keys_named("\x80", &k));
}
