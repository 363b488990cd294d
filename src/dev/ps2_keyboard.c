/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ps2_keyboard.c - see ps2_keyboard.h.
 *
 * Spec:   IBM PS/2 Hardware Interface Technical Reference, "Keyboards"; the translation table is
 *         the one of the 8042 in the IBM AT.
 * Models: all commands of an MF-II keyboard, scan code sets 1 and 2.
 * Not:    set 3 (asking for it is refused), typematic repetition (who injects keys repeats).
 * Called: i8042.c. */
#include "dev/ps2_keyboard.h"

#define ACK      0xfa
#define RESEND   0xfe
#define PASSED   0xaa
#define RELEASED 0xf0
#define EXTENDED 0xe0
#define PAUSE    0xe1

enum {
    CMD_LEDS = 0xed, CMD_ECHO = 0xee, CMD_SET = 0xf0, CMD_IDENTIFY = 0xf2, CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4, CMD_DISABLE = 0xf5, CMD_DEFAULTS = 0xf6, CMD_KEYS_FIRST = 0xf7,
    CMD_KEYS_LAST = 0xfd, CMD_RESEND = 0xfe, CMD_RESET = 0xff,
};

/* Keys leave this much for answers. */
#define ANSWERS 8

static const uint8_t set2_to_1[0x84] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
    0x80, 0x81, 0x82, 0x41,
};

uint8_t ps2_translate(uint8_t set2)
{
    return set2 < ARRAY_LEN(set2_to_1) ? set2_to_1[set2] : set2;
}

static uint8_t set1_to_2(uint8_t key)
{
    for (unsigned i = 0; i < ARRAY_LEN(set2_to_1); i++)
        if (set2_to_1[i] == key)
            return (uint8_t)i;
    return 0; /* no key has this code: overrun */
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void put(struct ps2_keyboard *k, uint8_t byte)
{
    if (k->n < PS2_QUEUE)
        k->queue[(k->first + k->n++) % PS2_QUEUE] = byte;
}

static void answer(struct ps2_keyboard *k, uint8_t byte)
{
    k->last = byte;
    put(k, byte);
}

bool ps2_keyboard_read(struct ps2_keyboard *k, uint8_t *ret)
{
    if (!k->n)
        return false;
    *ret = k->queue[k->first];
    k->first = (uint16_t)((k->first + 1) % PS2_QUEUE);
    k->n--;
    return true;
}

bool ps2_keyboard_type(struct ps2_keyboard *k, uint8_t set1)
{
    if (!k->enabled || k->n + 2u > PS2_QUEUE - ANSWERS)
        return false;
    if (k->set == 1) {
        put(k, set1);
        return true;
    }
    bool plain = set1 == EXTENDED || set1 == PAUSE;
    if (!plain && (set1 & 0x80))
        put(k, RELEASED);
    put(k, plain ? set1 : set1_to_2(set1 & 0x7f));
    return true;
}

/* ---- commands -------------------------------------------------------------------------------- */

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
    *k = (struct ps2_keyboard){ .enabled = 1, .set = 2 };
}

static void set_codes(struct ps2_keyboard *k, uint8_t set)
{
    if (set > 2) {
        answer(k, RESEND);
        return;
    }
    answer(k, ACK);
    if (set)
        k->set = set;
    else
        answer(k, k->set);
}

static void take_argument(struct ps2_keyboard *k, uint8_t byte)
{
    uint8_t command = k->argument;

    k->argument = 0;
    if (command == CMD_SET) {
        set_codes(k, byte);
        return;
    }
    if (command == CMD_LEDS)
        k->leds = byte & 7;
    answer(k, ACK);
}

static void take_command(struct ps2_keyboard *k, uint8_t byte)
{
    switch (byte) {
    case CMD_LEDS:
    case CMD_SET:
    case CMD_RATE:
        k->argument = byte;
        answer(k, ACK);
        break;
    case CMD_ECHO:
        answer(k, CMD_ECHO);
        break;
    case CMD_IDENTIFY:
        answer(k, ACK);
        answer(k, 0xab);
        answer(k, 0x83);
        break;
    case CMD_ENABLE:
        k->n = 0;
        k->enabled = 1;
        answer(k, ACK);
        break;
    case CMD_DISABLE: /* both also set the defaults */
    case CMD_DEFAULTS:
        k->n = 0;
        k->set = 2;
        k->enabled &= byte == CMD_DEFAULTS;
        answer(k, ACK);
        break;
    case CMD_RESEND:
        put(k, k->last);
        break;
    case CMD_RESET:
        ps2_keyboard_reset(k);
        answer(k, ACK);
        answer(k, PASSED);
        break;
    default:
        answer(k, byte >= CMD_KEYS_FIRST && byte <= CMD_KEYS_LAST ? ACK : RESEND);
    }
}

void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte)
{
    if (k->argument)
        take_argument(k, byte);
    else
        take_command(k, byte);
}

/* ---- state ----------------------------------------------------------------------------------- */

bool ps2_keyboard_sane(const struct ps2_keyboard *k)
{
    return k->first < PS2_QUEUE && k->n <= PS2_QUEUE && k->enabled <= 1 &&
           (k->set == 1 || k->set == 2) && k->leds <= 7;
}

#define F(member) STATE(struct ps2_keyboard, member)
static const struct state_field fields[] = {
    F(queue), F(first), F(n), F(last), F(argument), F(enabled), F(set), F(leds),
};
#undef F
const struct state_desc ps2_keyboard_state = STATE_DESC("ps2-keyboard", 1, fields);
