/* SPDX-License-Identifier: GPL-2.0-or-later */
/* irq.c - see irq.h. */
#include "bus/irq.h"

#include <assert.h>

#include "bus/bus.h"

unsigned isa_irq_to_ioapic_pin(unsigned irq)
{
    return irq == 0 ? 2 : irq;
}

void isa_irqs_init(struct isa_irqs *h, struct irq_line pic, struct irq_line ioapic)
{
    *h = (struct isa_irqs){ 0 };
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        if (i == 2)
            continue;
        h->pic[i] = (struct irq_line){ pic.set, pic.owner, i };
        h->ioapic[i] = (struct irq_line){ ioapic.set, ioapic.owner, isa_irq_to_ioapic_pin(i) };
    }
}

static void source_set(void *owner, unsigned n, bool level)
{
    struct isa_irqs *h = owner;
    unsigned irq = n % ISA_IRQS;
    uint8_t bit = (uint8_t)(1u << n / ISA_IRQS);
    uint8_t now = level ? h->asserted[irq] | bit : h->asserted[irq] & (uint8_t)~bit;

    if (now == h->asserted[irq])
        return;
    bool changed = !now != !h->asserted[irq];
    h->asserted[irq] = now;
    if (changed) {
        irq_set(&h->pic[irq], now != 0);
        irq_set(&h->ioapic[irq], now != 0);
    }
}

struct irq_line isa_irq(struct isa_irqs *h, unsigned irq, enum isa_source source)
{
    assert(irq < ISA_IRQS && source < ISA_SOURCES);
    return (struct irq_line){ source_set, h, irq + ISA_IRQS * source };
}

static void reset(void *chip)
{
    struct isa_irqs *h = chip;

    for (unsigned i = 0; i < ISA_IRQS; i++)
        for (unsigned source = 0; source < ISA_SOURCES; source++)
            source_set(h, i + ISA_IRQS * source, false);
}

static const struct state_field isa_fields[] = { STATE(struct isa_irqs, asserted) };
static const struct state_desc isa_state = STATE_DESC("isa-irqs", 1, isa_fields);
const struct device_ops isa_irqs_device = { .state = &isa_state, .reset = reset };
