/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uart16550.c - a serial port as in the PC: 8 ports, FIFOs of 16 bytes.
 *
 * Spec:   National PC16550D data sheet, 8 (registers); the gate of OUT2 before the interrupt is
 *         the PC's.
 * Models: FIFO and character mode, receiver timeout, modem lines and their changes, loopback.
 * Not:    the time a byte takes to be sent (the transmitter is always empty again at once), line
 *         errors, break.
 * Called: by ports on VP threads, uart16550_receive() and the timer on the loop's thread. */
#include "dev/uart16550.h"

enum { R_DATA, R_IER, R_IIR_FCR, R_LCR, R_MCR, R_LSR, R_MSR, R_SCRATCH, REGS };

#define IER_RX   0x01
#define IER_TX   0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define IER_BITS 0x0f

#define IIR_NONE    0x01
#define IIR_MODEM   0x00
#define IIR_TX      0x02
#define IIR_RX      0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO    0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02
#define FCR_TRIGGER  0xc0
#define FCR_KEPT     0xc9

#define LCR_DLAB   0x80
#define LCR_PARITY 0x08
#define LCR_STOP2  0x04

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_BITS 0x1f

#define LSR_READY   0x01
#define LSR_OVERRUN 0x02
#define LSR_ERRORS  0x1e
#define LSR_EMPTY   0x60 /* THR and shift register */

#define MSR_CTS   0x10
#define MSR_DSR   0x20
#define MSR_RING  0x40
#define MSR_DCD   0x80
#define MSR_LINES 0xf0

#define BAUD_CLOCK 115200u

static bool fifo_on(const struct uart16550 *u)
{
    return u->fcr & FCR_ENABLE;
}

static unsigned trigger(const struct uart16550 *u)
{
    static const uint8_t level[] = { 1, 4, 8, 14 };

    return fifo_on(u) ? level[(u->fcr & FCR_TRIGGER) >> 6] : 1;
}

/* When a byte below the trigger level becomes an interrupt: four characters of silence. */
static uint64_t timeout_at(const struct uart16550 *u)
{
    unsigned bits = 1 + 5 + (u->lcr & 3) + !!(u->lcr & LCR_PARITY) + 1 + !!(u->lcr & LCR_STOP2);
    uint64_t divisor = u->divisor ? u->divisor : 1;

    return u->quiet_since + mul_div(4 * bits * divisor, NS_PER_S, BAUD_CLOCK);
}

static bool timeout_possible(const struct uart16550 *u)
{
    return fifo_on(u) && u->fifo_n && u->fifo_n < trigger(u);
}

static uint8_t cause(const struct uart16550 *u)
{
    if ((u->ier & IER_LINE) && u->errors)
        return IIR_LINE;
    if ((u->ier & IER_RX) && u->fifo_n >= trigger(u))
        return IIR_RX;
    if ((u->ier & IER_RX) && timeout_possible(u) && bus_now_ns(u->bus) >= timeout_at(u))
        return IIR_TIMEOUT;
    if ((u->ier & IER_TX) && u->thr_empty)
        return IIR_TX;
    if ((u->ier & IER_MODEM) && (u->msr & ~MSR_LINES))
        return IIR_MODEM;
    return IIR_NONE;
}

static void update(struct uart16550 *u)
{
    uint8_t why = cause(u);
    bool gate = (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    irq_set(&u->irq, gate && why != IIR_NONE);
    if ((u->ier & IER_RX) && timeout_possible(u) && bus_now_ns(u->bus) < timeout_at(u))
        bus_timer_arm(&u->timer, timeout_at(u));
    else
        bus_timer_disarm(&u->timer);
}

static void on_timer(struct bus_timer *t)
{
    update(container_of(t, struct uart16550, timer));
}

/* ---- receiver -------------------------------------------------------------------------------- */

static unsigned room(const struct uart16550 *u)
{
    return (fifo_on(u) ? UART_FIFO : 1u) - u->fifo_n;
}

static void fifo_put(struct uart16550 *u, uint8_t byte)
{
    if (!room(u)) {
        u->errors |= LSR_OVERRUN;
        return;
    }
    u->fifo[(u->fifo_first + u->fifo_n++) % UART_FIFO] = byte;
    u->quiet_since = bus_now_ns(u->bus);
}

static bool listens(const struct uart16550 *u)
{
    return (u->mcr & (MCR_RTS | MCR_LOOP)) == MCR_RTS;
}

size_t uart16550_receive(struct uart16550 *u, const void *bytes, size_t n)
{
    size_t taken = listens(u) ? MIN(n, room(u)) : 0;

    for (size_t i = 0; i < taken; i++)
        fifo_put(u, ((const uint8_t *)bytes)[i]);
    u->refused |= taken < n;
    update(u);
    return taken;
}

static void tell_room(struct uart16550 *u)
{
    if (!u->refused || !listens(u) || !room(u))
        return;
    u->refused = 0;
    if (u->ops && u->ops->room)
        u->ops->room(u->owner);
}

static uint8_t data_read(struct uart16550 *u)
{
    uint8_t byte = u->fifo[u->fifo_first];

    if (!u->fifo_n)
        return byte; /* the last one again */
    if (u->fifo_n > 1)
        u->fifo_first = (u->fifo_first + 1) % UART_FIFO;
    u->fifo_n--;
    u->quiet_since = bus_now_ns(u->bus);
    update(u);
    tell_room(u);
    return byte;
}

/* ---- transmitter, modem lines ---------------------------------------------------------------- */

static void data_write(struct uart16550 *u, uint8_t byte)
{
    if (u->mcr & MCR_LOOP)
        fifo_put(u, byte);
    else if (u->ops)
        u->ops->put(u->owner, byte);
    /* Full and empty again: a new interrupt, with an edge of its own. */
    u->thr_empty = 0;
    update(u);
    u->thr_empty = 1;
    update(u);
}

static uint8_t modem_lines(const struct uart16550 *u)
{
    if (u->mcr & MCR_LOOP)
        return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
               (u->mcr & MCR_OUT1 ? MSR_RING : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
    return u->ops ? MSR_CTS | MSR_DSR | MSR_DCD : 0;
}

static void update_modem(struct uart16550 *u)
{
    uint8_t now = modem_lines(u), was = u->msr & MSR_LINES, changed = now ^ was;

    if (now & MSR_RING)
        changed &= (uint8_t)~MSR_RING; /* only the end of a ring counts */
    u->msr = now | (u->msr & (uint8_t)~MSR_LINES) | changed >> 4;
}

static void mcr_write(struct uart16550 *u, uint8_t value)
{
    u->mcr = value & MCR_BITS;
    update_modem(u);
    update(u);
    tell_room(u);
}

/* ---- registers ------------------------------------------------------------------------------- */

static void fcr_write(struct uart16550 *u, uint8_t value)
{
    bool toggled = (value ^ u->fcr) & FCR_ENABLE;

    if (toggled || (value & FCR_CLEAR_RX))
        u->fifo_n = 0;
    u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
    update(u);
    tell_room(u);
}

static void ier_write(struct uart16550 *u, uint8_t value)
{
    uint8_t was = u->ier;

    u->ier = value & IER_BITS;
    if (u->ier & ~was & IER_TX)
        u->thr_empty = 1; /* enabling asks at once, the transmitter being empty */
    update(u);
}

static uint8_t iir_read(struct uart16550 *u)
{
    uint8_t why = cause(u);

    if (why == IIR_TX)
        u->thr_empty = 0;
    update(u);
    return why | (fifo_on(u) ? IIR_FIFO : 0);
}

static uint8_t lsr_read(struct uart16550 *u)
{
    uint8_t v = (u->fifo_n ? LSR_READY : 0) | u->errors | LSR_EMPTY;

    u->errors = 0;
    update(u);
    return v;
}

static uint8_t msr_read(struct uart16550 *u)
{
    uint8_t v = u->msr;

    u->msr &= MSR_LINES;
    update(u);
    return v;
}

static uint64_t port_read(void *owner, uint64_t off, unsigned size)
{
    struct uart16550 *u = owner;
    bool dlab = u->lcr & LCR_DLAB;

    switch (off) {
    case R_DATA: return dlab ? u->divisor & 0xff : data_read(u);
    case R_IER: return dlab ? u->divisor >> 8 : u->ier;
    case R_IIR_FCR: return iir_read(u);
    case R_LCR: return u->lcr;
    case R_MCR: return u->mcr;
    case R_LSR: return lsr_read(u);
    case R_MSR: return msr_read(u);
    default: return u->scratch;
    }
}

static void divisor_write(struct uart16550 *u, uint64_t off, uint8_t value)
{
    u->divisor = (uint16_t)(off ? (u->divisor & 0xff) | value << 8 : (u->divisor & 0xff00) | value);
    update(u);
}

static void port_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct uart16550 *u = owner;
    uint8_t v = (uint8_t)value;

    if (off <= R_IER && (u->lcr & LCR_DLAB)) {
        divisor_write(u, off, v);
        return;
    }
    switch (off) {
    case R_DATA: data_write(u, v); break;
    case R_IER: ier_write(u, v); break;
    case R_IIR_FCR: fcr_write(u, v); break;
    case R_LCR: u->lcr = v; break;
    case R_MCR: mcr_write(u, v); break;
    case R_SCRATCH: u->scratch = v; break;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct uart16550 *u = chip;

    u->ier = u->fcr = u->lcr = u->mcr = u->scratch = u->errors = 0;
    u->thr_empty = 0;
    u->divisor = 12; /* 9600 */
    u->fifo_first = u->fifo_n = 0;
    u->msr = modem_lines(u);
    update(u);
}

static bool check(void *chip)
{
    const struct uart16550 *u = chip;

    return u->fifo_first < UART_FIFO && u->fifo_n <= (fifo_on(u) ? UART_FIFO : 1) &&
           !(u->ier & ~IER_BITS) && !(u->mcr & ~MCR_BITS) && !(u->errors & ~LSR_ERRORS) &&
           !(u->fcr & ~FCR_KEPT) && u->thr_empty <= 1 && u->refused <= 1;
}

static void restored(void *chip)
{
    struct uart16550 *u = chip;

    update_modem(u); /* other things may be plugged in here */
    u->refused = 1;
    update(u);
    tell_room(u);
}

#define F(member) STATE(struct uart16550, member)
static const struct state_field fields[] = {
    F(ier), F(fcr), F(lcr), F(mcr), F(scratch), F(errors), F(msr), F(thr_empty), F(divisor),
    F(fifo), F(fifo_first), F(fifo_n), F(quiet_since),
};
#undef F
static const struct state_desc state = {
    .name = "uart16550", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields),
    .check = check,
};
const struct device_ops uart16550_device = { .state = &state, .reset = reset,
                                             .restored = restored };

void uart16550_init(struct uart16550 *u, struct bus *bus, uint16_t base, struct irq_line irq,
                    const struct serial_port_ops *ops, void *owner)
{
    static const struct io_ops io_ops = { port_read, port_write, 1 };

    *u = (struct uart16550){
        .bus = bus, .irq = irq, .ops = ops, .owner = owner,
        .io = { .base = base, .len = REGS, .ops = &io_ops, .owner = u },
    };
    bus_timer_init(&u->timer, bus, on_timer);
    pio_add(bus, &u->io);
    reset(u);
}

void uart16550_done(struct uart16550 *u)
{
    bus_timer_disarm(&u->timer);
    pio_remove(u->bus, &u->io);
}
