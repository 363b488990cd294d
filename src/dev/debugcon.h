/* SPDX-License-Identifier: GPL-2.0-or-later */
/* debugcon.h - a port for bytes to the developer: firmware writes its log to 0x402. */
#pragma once

#include "bus/bus.h"

#define DEBUGCON_PRESENT 0xe9 /* what the port reads; guests look for it */

struct debugcon {
    struct bus *bus;
    void (*put)(void *owner, uint8_t byte); /* under the bus lock, any thread */
    void *owner;
    struct io_range io;
};

/* Nothing to reset or save. */
void debugcon_init(struct debugcon *d, struct bus *bus, uint16_t port,
                   void (*put)(void *owner, uint8_t byte), void *owner);
void debugcon_done(struct debugcon *d);
