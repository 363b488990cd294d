/* SPDX-License-Identifier: GPL-2.0-or-later */
/* acpi_pm.c - power management block of the PIIX4, and the APM ports 0xb2 and 0xb3.
 *
 * Spec:   ACPI 6.4, 4.8 (PM1 events, control, timer, GPEs); 82371AB (PIIX4) 7.2.
 * Models: power button, timer (24 bits, status at each half turn), soft off, 16 GPEs, the change
 *         to ACPI mode by the APM port as firmware for PIIX4 does it.
 * Not:    other sleep states than S5 (a write is remembered and has no effect), SMIs, device traps.
 * Called: by ports on VP threads, by its timer on the loop's thread. */
#include "dev/acpi_pm.h"

#include "base/trace.h"

#define REG_STATUS     0x00
#define REG_ENABLE     0x02
#define REG_CONTROL    0x04
#define REG_TIMER      0x08
#define REG_GPE_STATUS 0x0c
#define REG_GPE_ENABLE 0x0e

#define PM1_TIMER        0x0001
#define PM1_GLOBAL       0x0020
#define PM1_POWER_BUTTON 0x0100
#define PM1_RTC          0x0400
#define PM1_WAKE         0x8000
#define STATUS_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC | PM1_WAKE)
#define ENABLE_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_RTC)

#define CONTROL_SCI_EN   0x0001
#define CONTROL_SLP_TYP  0x1c00
#define CONTROL_SLP_EN   0x2000
#define CONTROL_WRITABLE (CONTROL_SCI_EN | 0x0002 | CONTROL_SLP_TYP)
#define SLP_TYP_OFF      0 /* PIIX4's number for soft off */

#define TIMER_MASK 0xffffffu
#define HALF_TURN  0x800000u /* ticks */

#define APM_ENABLE_ACPI  0xf1
#define APM_DISABLE_ACPI 0xf0

static uint64_t ticks(const struct acpi_pm *p)
{
    return mul_div(bus_now_ns(p->bus), ACPI_PM_HZ, NS_PER_S);
}

static void update(struct acpi_pm *p)
{
    uint64_t half = ticks(p) / HALF_TURN;

    if (half != p->seen_half) {
        p->seen_half = half;
        p->status |= PM1_TIMER;
    }
    irq_set(&p->sci, (p->status & p->enable) || (p->gpe_status & p->gpe_enable));
    if ((p->enable & PM1_TIMER) && !(p->status & PM1_TIMER))
        bus_timer_arm(&p->timer, mul_div_up((half + 1) * HALF_TURN, NS_PER_S, ACPI_PM_HZ));
    else
        bus_timer_disarm(&p->timer);
}

static void on_timer(struct bus_timer *t)
{
    update(container_of(t, struct acpi_pm, timer));
}

void acpi_pm_power_button(struct acpi_pm *p)
{
    TRACE("dev", "power_button", "enable %#x", p->enable);
    p->status |= PM1_POWER_BUTTON;
    update(p);
}

void acpi_pm_gpe(struct acpi_pm *p, unsigned n)
{
    if (n < ACPI_PM_GPES)
        p->gpe_status |= (uint16_t)(1u << n);
    update(p);
}

static void control_write(struct acpi_pm *p, uint16_t value)
{
    p->control = value & CONTROL_WRITABLE;
    TRACE("dev", "pm_control", "value %#x", value);
    if ((value & CONTROL_SLP_EN) && (value & CONTROL_SLP_TYP) == SLP_TYP_OFF)
        p->board.ops->power_off(p->board.owner);
}

/* ---- registers ------------------------------------------------------------------------------- */

/* The block seen as 16-bit words; the timer is the one wider register. */
static uint16_t word_read(struct acpi_pm *p, unsigned off)
{
    switch (off) {
    case REG_STATUS:
        update(p);
        return p->status;
    case REG_ENABLE: return p->enable;
    case REG_CONTROL: return p->control;
    case REG_TIMER: return (uint16_t)ticks(p);
    case REG_TIMER + 2: return (uint16_t)((ticks(p) & TIMER_MASK) >> 16);
    case REG_GPE_STATUS: return p->gpe_status;
    case REG_GPE_ENABLE: return p->gpe_enable;
    }
    return 0;
}

/* 'mask': the bits that the guest's access covered. */
static void word_write(struct acpi_pm *p, unsigned off, uint16_t value, uint16_t mask)
{
    switch (off) {
    case REG_STATUS:
        update(p); /* half turns up to now are the ones that are cleared */
        p->status &= (uint16_t)~(value & mask);
        break;
    case REG_ENABLE:
        p->enable = ((p->enable & (uint16_t)~mask) | (value & mask)) & ENABLE_BITS;
        break;
    case REG_CONTROL:
        control_write(p, (uint16_t)((p->control & (uint16_t)~mask) | (value & mask)));
        break;
    case REG_GPE_STATUS:
        p->gpe_status &= (uint16_t)~(value & mask);
        break;
    case REG_GPE_ENABLE:
        p->gpe_enable = (uint16_t)((p->gpe_enable & (uint16_t)~mask) | (value & mask));
        break;
    default:
        return;
    }
    update(p);
}

static uint64_t port_read(void *owner, uint64_t off, unsigned size)
{
    struct acpi_pm *p = owner;
    unsigned at = (unsigned)off & ~1u;

    if (off == REG_TIMER && size == 4)
        return ticks(p) & TIMER_MASK;
    uint32_t v = word_read(p, at);
    if (size == 4)
        v |= (uint32_t)word_read(p, at + 2) << 16;
    return v >> (8 * (off & 1));
}

static void port_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    unsigned at = (unsigned)off & ~1u, shift = 8 * (off & 1);

    if (size == 1) {
        word_write(owner, at, (uint16_t)(value << shift), (uint16_t)(0xff << shift));
        return;
    }
    word_write(owner, at, (uint16_t)value, 0xffff);
    if (size == 4)
        word_write(owner, at + 2, (uint16_t)(value >> 16), 0xffff);
}

static uint64_t apm_read(void *owner, uint64_t off, unsigned size)
{
    const struct acpi_pm *p = owner;

    return p->apm[off];
}

static void apm_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct acpi_pm *p = owner;

    p->apm[off] = (uint8_t)value;
    if (off == 0 && value == APM_ENABLE_ACPI)
        p->control |= CONTROL_SCI_EN;
    else if (off == 0 && value == APM_DISABLE_ACPI)
        p->control &= (uint16_t)~CONTROL_SCI_EN;
}

void acpi_pm_map(struct acpi_pm *p, uint16_t base)
{
    if (p->io.on && p->io.base == base)
        return;
    pio_remove(p->bus, &p->io);
    p->io.base = base;
    if (base)
        pio_add(p->bus, &p->io);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct acpi_pm *p = chip;

    p->status = p->enable = p->gpe_status = p->gpe_enable = 0;
    p->control = p->acpi_at_reset ? CONTROL_SCI_EN : 0;
    p->apm[0] = p->apm[1] = 0;
    p->seen_half = ticks(p) / HALF_TURN;
    update(p);
}

static void restored(void *chip)
{
    update(chip);
}

static bool check(void *chip)
{
    const struct acpi_pm *p = chip;

    return !(p->status & ~STATUS_BITS) && !(p->enable & ~ENABLE_BITS) &&
           !(p->control & ~CONTROL_WRITABLE);
}

#define F(member) STATE(struct acpi_pm, member)
static const struct state_field fields[] = {
    F(status), F(enable), F(control), F(gpe_status), F(gpe_enable), F(apm), F(seen_half),
};
#undef F
static const struct state_desc state = {
    .name = "acpi-pm", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields),
    .check = check,
};
const struct device_ops acpi_pm_device = { .state = &state, .reset = reset,
                                           .restored = restored };

void acpi_pm_init(struct acpi_pm *p, struct bus *bus, struct irq_line sci, struct board board,
                  bool acpi_at_reset)
{
    static const struct io_ops ops = { port_read, port_write, 1 | 2 | 4 };
    static const struct io_ops apm_ops = { apm_read, apm_write, 1 };

    *p = (struct acpi_pm){
        .bus = bus, .sci = sci, .board = board, .acpi_at_reset = acpi_at_reset,
        .io = { .len = ACPI_PM_LEN, .ops = &ops, .owner = p, .rank = IO_BAR },
        .apm_io = { .base = 0xb2, .len = 2, .ops = &apm_ops, .owner = p },
    };
    bus_timer_init(&p->timer, bus, on_timer);
    pio_add(bus, &p->apm_io);
    reset(p);
}

void acpi_pm_done(struct acpi_pm *p)
{
    bus_timer_disarm(&p->timer);
    pio_remove(p->bus, &p->io);
    pio_remove(p->bus, &p->apm_io);
}
