/* SPDX-License-Identifier: GPL-2.0-or-later */
/* irq.h - interrupt wires: lines between chips, the ISA wiring, the door for MSIs.
 *
 * Everything here is called with the bus lock held. */
#pragma once

#include "base/state.h"

struct device_ops;

/* The end of a wire that a chip holds: it says the level, the other end decides whether level or
 * edge counts.  Unconnected (set == NULL) is allowed.  A chip may say the same level again. */
struct irq_line {
    void (*set)(void *owner, unsigned n, bool level);
    void *owner;
    unsigned n;
};

static inline void irq_set(const struct irq_line *l, bool level)
{
    if (l->set)
        l->set(l->owner, l->n, level);
}

static inline void irq_raise(const struct irq_line *l)
{
    irq_set(l, true);
}

static inline void irq_lower(const struct irq_line *l)
{
    irq_set(l, false);
}

static inline void irq_pulse(const struct irq_line *l)
{
    irq_set(l, true);
    irq_set(l, false);
}

/* Message-signalled interrupts leave here; 'addr' and 'data' as the PC architecture has them. */
struct msi_sink {
    void (*msi)(void *owner, uint64_t addr, uint32_t data);
    void *owner;
};

static inline void msi_send(const struct msi_sink *s, uint64_t addr, uint32_t data)
{
    if (s->msi)
        s->msi(s->owner, addr, data);
}

/* The 16 ISA interrupts.  Several chips may drive one of them (wired OR); its level goes to the
 * PIC's pin n and to the IOAPIC's pin n, but for IRQ 0, which is on pin 2, and IRQ 2, which is the
 * PIC's own cascade. */
#define ISA_IRQS 16

enum isa_source {
    ISA_CHIP,  /* a chip soldered to the line */
    ISA_CHIP2, /* another one (COM3 beside COM1 ...) */
    ISA_PIRQ,  /* PCI interrupts that the router sends here */
    ISA_SCI,
    ISA_TEST,
    ISA_SOURCES
};

struct isa_irqs {
    struct irq_line pic[ISA_IRQS], ioapic[ISA_IRQS]; /* index: ISA number */
    uint8_t asserted[ISA_IRQS];                      /* bit: enum isa_source */
};

extern const struct device_ops isa_irqs_device;

/* 'pic' and 'ioapic' are lines to pin 0; pin n is the same with another n. */
void isa_irqs_init(struct isa_irqs *h, struct irq_line pic, struct irq_line ioapic);
struct irq_line isa_irq(struct isa_irqs *h, unsigned irq, enum isa_source source);
unsigned isa_irq_to_ioapic_pin(unsigned irq);
