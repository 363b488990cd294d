/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mc146818.h - the real-time clock with its 128 bytes of battery-backed memory. */
#pragma once

#include "bus/bus.h"

struct mc146818 {
    struct bus *bus;
    struct irq_line irq;
    uint64_t (*wall_ns)(void *owner); /* ns since 1970 UTC */
    void *wall_owner;

    uint8_t index;
    uint8_t ram[128];     /* registers A, B and memory; the time only while it is set or stopped */
    int64_t offset_ns;    /* the guest's clock minus the wall clock */
    uint64_t stopped_ns;  /* the guest's clock while it stands */
    uint64_t seen_second; /* updates up to this one were looked at */
    uint64_t seen_period; /* periods of the periodic interrupt likewise */
    uint8_t flags;        /* register C without IRQF */
    uint8_t stands;       /* SET, or the divider held in reset */
    struct bus_timer timer;
    struct io_range io;
};
extern const struct device_ops mc146818_device;

/* 'wall_ns' is called under the bus lock.  The guest's clock starts on it, in UTC. */
void mc146818_init(struct mc146818 *c, struct bus *bus, struct irq_line irq,
                   uint64_t (*wall_ns)(void *owner), void *wall_owner);
void mc146818_done(struct mc146818 *c);

/* What firmware would have written there.  Before the machine runs, or under the bus lock. */
void mc146818_set_memory(struct mc146818 *c, uint64_t below_4g, uint64_t above_4g);
void mc146818_set_byte(struct mc146818 *c, uint8_t index, uint8_t value);
