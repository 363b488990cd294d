/* SPDX-License-Identifier: GPL-2.0-or-later */
/* i8042.c - the keyboard controller at ports 0x60 and 0x64.
 *
 * Spec:   IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 *         Controller"; Intel UPI-41A.
 * Models: both ports' commands, translation to set 1, loop-backs, reset by pulse and output port.
 * Not:    a mouse: what is sent to one comes back as a timeout, so that drivers find none; A20,
 *         which is remembered and always open; passwords.
 * Called: by ports on VP threads, i8042_type() from the loop's thread. */
#include "dev/i8042.h"

#include "base/trace.h"

#define STATUS_FULL    0x01
#define STATUS_SYSTEM  0x04
#define STATUS_COMMAND 0x08 /* the last write was one */
#define STATUS_UNLOCKED 0x10
#define STATUS_AUX     0x20
#define STATUS_TIMEOUT 0x40

#define MODE_IRQ_KEYBOARD 0x01
#define MODE_IRQ_AUX      0x02
#define MODE_SYSTEM       0x04
#define MODE_NO_KEYBOARD  0x10
#define MODE_NO_AUX       0x20
#define MODE_TRANSLATE    0x40
/* As firmware leaves it. */
#define MODE_RESET (MODE_IRQ_KEYBOARD | MODE_SYSTEM | MODE_NO_AUX | MODE_TRANSLATE)

#define OUTPORT_RUN     0x01 /* low: RESET# */
#define OUTPORT_A20     0x02
#define OUTPORT_FULL    0x10
#define OUTPORT_AUX     0x20
#define OUTPORT_RESET   0xcf
#define INPORT_UNLOCKED 0x80

enum {
    CMD_READ_RAM = 0x20, CMD_WRITE_RAM = 0x60, CMD_PASSWORD = 0xa4, CMD_AUX_OFF = 0xa7,
    CMD_AUX_ON = 0xa8, CMD_AUX_TEST = 0xa9, CMD_SELF_TEST = 0xaa, CMD_KEYBOARD_TEST = 0xab,
    CMD_KEYBOARD_OFF = 0xad, CMD_KEYBOARD_ON = 0xae, CMD_READ_INPORT = 0xc0,
    CMD_READ_OUTPORT = 0xd0, CMD_WRITE_OUTPORT = 0xd1, CMD_LOOP_KEYBOARD = 0xd2,
    CMD_LOOP_AUX = 0xd3, CMD_WRITE_AUX = 0xd4, CMD_READ_TESTS = 0xe0, CMD_PULSE = 0xf0,
};

/* ---- output buffer --------------------------------------------------------------------------- */

static bool translate(struct i8042 *c, uint8_t *byte)
{
    if (!(c->mode & MODE_TRANSLATE))
        return true;
    if (*byte == 0xf0) {
        c->released = 0x80;
        return false;
    }
    *byte = ps2_translate(*byte) | c->released;
    c->released = 0;
    return true;
}

static void fill(struct i8042 *c)
{
    uint8_t byte;

    if (c->reply_flags) {
        c->out = c->reply;
        c->out_flags = c->reply_flags;
        c->reply_flags = 0;
        return;
    }
    while (!(c->mode & MODE_NO_KEYBOARD) && ps2_keyboard_read(&c->keyboard, &byte)) {
        if (!translate(c, &byte))
            continue;
        c->out = byte;
        c->out_flags = STATUS_FULL;
        return;
    }
}

static void update(struct i8042 *c)
{
    if (!c->out_flags)
        fill(c);
    bool full = c->out_flags & STATUS_FULL, aux = c->out_flags & STATUS_AUX;
    irq_set(&c->irq_keyboard, full && !aux && (c->mode & MODE_IRQ_KEYBOARD));
    irq_set(&c->irq_aux, full && aux && (c->mode & MODE_IRQ_AUX));
}

/* The controller's own byte for the host; an earlier one that did not fit is lost. */
static void reply(struct i8042 *c, uint8_t byte, uint8_t flags)
{
    c->reply = byte;
    c->reply_flags = STATUS_FULL | flags;
}

/* ---- commands -------------------------------------------------------------------------------- */

static void write_outport(struct i8042 *c, uint8_t value)
{
    c->outport = value;
    if (!(value & OUTPORT_RUN))
        c->board.ops->reset(c->board.owner, "keyboard controller");
}

static uint8_t read_outport(const struct i8042 *c)
{
    uint8_t v = c->outport & (uint8_t)~(OUTPORT_FULL | OUTPORT_AUX);

    if (c->out_flags & STATUS_AUX)
        return v | OUTPORT_AUX;
    return c->out_flags ? v | OUTPORT_FULL : v;
}

static void self_test(struct i8042 *c)
{
    c->status |= STATUS_SYSTEM;
    c->mode = MODE_SYSTEM | MODE_NO_KEYBOARD | MODE_NO_AUX | MODE_TRANSLATE;
    reply(c, 0x55, 0);
}

static void set_mode(struct i8042 *c, uint8_t mode)
{
    c->mode = mode;
    c->status = (uint8_t)((c->status & ~STATUS_SYSTEM) | (mode & MODE_SYSTEM ? STATUS_SYSTEM : 0));
}

static void run_command(struct i8042 *c, uint8_t cmd)
{
    c->command = 0;
    if (cmd >= CMD_PULSE) {
        if (!(cmd & OUTPORT_RUN))
            c->board.ops->reset(c->board.owner, "keyboard controller");
        return;
    }
    if (cmd >= CMD_READ_RAM && cmd < CMD_READ_RAM + 32) {
        reply(c, cmd == CMD_READ_RAM ? c->mode : c->ram[cmd & 31], 0);
        return;
    }
    if (cmd >= CMD_WRITE_RAM && cmd < CMD_WRITE_RAM + 32) {
        c->command = cmd;
        return;
    }
    switch (cmd) {
    case CMD_PASSWORD: reply(c, 0xf1, 0); break; /* none is set */
    case CMD_AUX_OFF: c->mode |= MODE_NO_AUX; break;
    case CMD_AUX_ON: c->mode &= (uint8_t)~MODE_NO_AUX; break;
    case CMD_AUX_TEST:
    case CMD_KEYBOARD_TEST: reply(c, 0, 0); break;
    case CMD_SELF_TEST: self_test(c); break;
    case CMD_KEYBOARD_OFF: c->mode |= MODE_NO_KEYBOARD; break;
    case CMD_KEYBOARD_ON: c->mode &= (uint8_t)~MODE_NO_KEYBOARD; break;
    case CMD_READ_INPORT: reply(c, INPORT_UNLOCKED, 0); break;
    case CMD_READ_OUTPORT: reply(c, read_outport(c), 0); break;
    case CMD_READ_TESTS: reply(c, 0, 0); break;
    case CMD_WRITE_OUTPORT:
    case CMD_LOOP_KEYBOARD:
    case CMD_LOOP_AUX:
    case CMD_WRITE_AUX: c->command = cmd; break;
    }
}

static void take_data(struct i8042 *c, uint8_t byte)
{
    uint8_t cmd = c->command;

    c->command = 0;
    if (cmd == CMD_WRITE_RAM) {
        set_mode(c, byte);
        return;
    }
    if (cmd > CMD_WRITE_RAM && cmd < CMD_WRITE_RAM + 32) {
        c->ram[cmd & 31] = byte;
        return;
    }
    switch (cmd) {
    case CMD_WRITE_OUTPORT: write_outport(c, byte); break;
    case CMD_LOOP_KEYBOARD: reply(c, byte, 0); break;
    case CMD_LOOP_AUX: reply(c, byte, STATUS_AUX); break;
    case CMD_WRITE_AUX: reply(c, 0xfe, STATUS_AUX | STATUS_TIMEOUT); break; /* nobody there */
    default:
        c->mode &= (uint8_t)~MODE_NO_KEYBOARD; /* sending needs the clock running */
        ps2_keyboard_write(&c->keyboard, byte);
    }
}

size_t i8042_type(struct i8042 *c, const uint8_t *set1, size_t n)
{
    size_t i = 0;

    while (i < n && ps2_keyboard_type(&c->keyboard, set1[i]))
        i++;
    update(c);
    return i;
}

/* ---- ports ----------------------------------------------------------------------------------- */

static uint64_t data_read(void *owner, uint64_t off, unsigned size)
{
    struct i8042 *c = owner;
    uint8_t v = c->out;

    /* The line falls between two bytes, so that each is an edge. */
    if (c->out_flags) {
        c->out_flags = 0;
        irq_lower(&c->irq_keyboard);
        irq_lower(&c->irq_aux);
        update(c);
    }
    return v;
}

static void data_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct i8042 *c = owner;

    c->status &= (uint8_t)~STATUS_COMMAND;
    take_data(c, (uint8_t)value);
    update(c);
}

static uint64_t status_read(void *owner, uint64_t off, unsigned size)
{
    const struct i8042 *c = owner;

    return c->status | c->out_flags | STATUS_UNLOCKED;
}

static void command_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct i8042 *c = owner;

    TRACE("dev", "i8042_command", "%#x", (unsigned)value);
    c->status |= STATUS_COMMAND;
    run_command(c, (uint8_t)value);
    update(c);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct i8042 *c = chip;

    c->status = STATUS_SYSTEM;
    c->mode = MODE_RESET;
    c->command = c->out = c->out_flags = c->reply = c->reply_flags = c->released = 0;
    c->outport = OUTPORT_RESET;
    memset(c->ram, 0, sizeof c->ram);
    ps2_keyboard_reset(&c->keyboard);
    update(c);
}

static bool flags_ok(uint8_t flags)
{
    return !flags || ((flags & STATUS_FULL) &&
                      !(flags & ~(STATUS_FULL | STATUS_AUX | STATUS_TIMEOUT)));
}

static bool check(void *chip)
{
    const struct i8042 *c = chip;

    return !(c->status & ~(STATUS_SYSTEM | STATUS_COMMAND)) && flags_ok(c->out_flags) &&
           flags_ok(c->reply_flags) && !(c->released & 0x7f) && ps2_keyboard_sane(&c->keyboard);
}

static void restored(void *chip)
{
    update(chip);
}

#define F(member) STATE(struct i8042, member)
static const struct state_field fields[] = {
    F(status), F(mode), F(command), F(outport), F(out), F(out_flags), F(reply), F(reply_flags),
    F(released), F(ram), STATE_STRUCT(struct i8042, keyboard, ps2_keyboard_state),
};
#undef F
static const struct state_desc state = {
    .name = "i8042", .version = 1, .fields = fields, .n_fields = ARRAY_LEN(fields), .check = check,
};
const struct device_ops i8042_device = { .state = &state, .reset = reset, .restored = restored };

void i8042_init(struct i8042 *c, struct bus *bus, struct irq_line irq_keyboard,
                struct irq_line irq_aux, struct board board)
{
    static const struct io_ops data_ops = { data_read, data_write, 1 };
    static const struct io_ops command_ops = { status_read, command_write, 1 };

    *c = (struct i8042){
        .bus = bus, .irq_keyboard = irq_keyboard, .irq_aux = irq_aux, .board = board,
        .data_io = { .base = 0x60, .len = 1, .ops = &data_ops, .owner = c },
        .command_io = { .base = 0x64, .len = 1, .ops = &command_ops, .owner = c },
    };
    pio_add(bus, &c->data_io);
    pio_add(bus, &c->command_io);
    reset(c);
}

void i8042_done(struct i8042 *c)
{
    pio_remove(c->bus, &c->data_io);
    pio_remove(c->bus, &c->command_io);
}
