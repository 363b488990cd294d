/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ps2_keyboard.h - a keyboard as it hangs on an i8042: commands in, answers and scan codes out.
 *
 * No locks, no bus: the controller owns it and calls it under the bus lock. */
#pragma once

#include "base/state.h"

#define PS2_QUEUE 128

struct ps2_keyboard {
    uint8_t queue[PS2_QUEUE]; /* bytes for the controller, in scan code set 'set' */
    uint16_t first, n;
    uint8_t last;     /* what the last command's answer ended with, for "resend" */
    uint8_t argument; /* the command that waits for its argument; 0: none */
    uint8_t enabled, set, leds;
};
extern const struct state_desc ps2_keyboard_state;

void ps2_keyboard_reset(struct ps2_keyboard *k);
bool ps2_keyboard_sane(const struct ps2_keyboard *k); /* after a restore */

/* A byte from the host. */
void ps2_keyboard_write(struct ps2_keyboard *k, uint8_t byte);
/* The next byte for the host; false: none. */
bool ps2_keyboard_read(struct ps2_keyboard *k, uint8_t *ret);

/* Keys go down and up, as set 1 scan codes ("XT": 0x1e, 0x9e, 0xe0 0x48 ...), a byte at a time.
 * false: the queue is full or the keyboard is disabled; the byte is lost. */
bool ps2_keyboard_type(struct ps2_keyboard *k, uint8_t set1);

/* What a controller's translation makes of a set 2 byte (0xf0 is the controller's to handle). */
uint8_t ps2_translate(uint8_t set2);
