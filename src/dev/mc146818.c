/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mc146818.c - the real-time clock and CMOS memory at ports 0x70 and 0x71.
 *
 * Spec:   Motorola MC146818A data sheet; 82371AB (PIIX4) 4.1.6; the places of memory sizes and
 *         century are the PC/AT's.
 * Models: time (BCD, binary, 12 and 24 hours), SET, divider reset, alarm, update and periodic
 *         interrupts, UIP.  Flags rise whether or not their interrupt is enabled, worked out when
 *         somebody looks; the timer runs for enabled interrupts only.
 * Not:    daylight saving, square wave, the extended bank at 0x72.
 * Called: by ports on VP threads, by its timer on the loop's thread. */
#include "dev/mc146818.h"

#include "base/trace.h"

enum {
    R_SECONDS, R_SECONDS_ALARM, R_MINUTES, R_MINUTES_ALARM, R_HOURS, R_HOURS_ALARM,
    R_WEEKDAY, R_DAY, R_MONTH, R_YEAR, R_A, R_B, R_C, R_D,
    R_CENTURY = 0x32,
};

#define A_UIP      0x80
#define A_DIVIDER  0x70
#define A_RUNS     0x20
#define A_RATE     0x0f
#define B_SET      0x80
#define B_PERIODIC 0x40 /* these three stand at the same places in C */
#define B_ALARM    0x20
#define B_UPDATE   0x10
#define B_SQUARE   0x08
#define B_BINARY   0x04
#define B_24_HOURS 0x02
#define C_IRQ      0x80
#define D_VALID    0x80
#define HOURS_PM   0x80
#define ANY        0xc0 /* an alarm byte that matches always */

#define UIP_NS   (244 * NS_PER_US) /* before the update */
#define DAY_S    86400u
#define XTAL_HZ  32768u
/* Flags that nobody read cost nothing: catch up at most a day of alarms. */
#define CATCH_UP_S DAY_S

/* ---- calendar -------------------------------------------------------------------------------- */

struct date {
    unsigned year, month, day; /* month and day from 1 */
};

/* Days since 1970-01-01 to a date and back: years from March, so that the leap day comes last. */
static struct date date_of(uint64_t days)
{
    uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);

    return (struct date){ (unsigned)(yoe + era * 400 + (month <= 2)), month,
                          (unsigned)(doy - (153 * mp + 2) / 5 + 1) };
}

/* Any values: what is out of range runs over into the next unit. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    unsigned m = month ? month - 1 : 0;

    year += m / 12;
    m = m % 12 + 1;
    year -= m <= 2;
    int64_t era = year / 400, yoe = year % 400;
    int64_t doy = (153 * (int64_t)(m > 2 ? m - 3 : m + 9) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* ---- register formats ------------------------------------------------------------------------ */

static uint8_t encode(const struct mc146818 *c, unsigned v)
{
    return (uint8_t)(c->ram[R_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static unsigned decode(const struct mc146818 *c, uint8_t v)
{
    return c->ram[R_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15u);
}

static uint8_t encode_hours(const struct mc146818 *c, unsigned h)
{
    if (c->ram[R_B] & B_24_HOURS)
        return encode(c, h);
    return (uint8_t)(encode(c, h % 12 ? h % 12 : 12) | (h >= 12 ? HOURS_PM : 0));
}

static unsigned decode_hours(const struct mc146818 *c, uint8_t v)
{
    if (c->ram[R_B] & B_24_HOURS)
        return decode(c, v);
    return decode(c, v & 0x7f) % 12 + (v & HOURS_PM ? 12 : 0);
}

/* ---- time ------------------------------------------------------------------------------------ */

static uint64_t guest_ns(const struct mc146818 *c)
{
    return c->stands ? c->stopped_ns : c->wall_ns(c->wall_owner) + (uint64_t)c->offset_ns;
}

/* The time registers as bytes. */
static void time_to_ram(struct mc146818 *c)
{
    uint64_t s = guest_ns(c) / NS_PER_S, days = s / DAY_S;
    struct date d = date_of(days);

    c->ram[R_SECONDS] = encode(c, s % 60);
    c->ram[R_MINUTES] = encode(c, s / 60 % 60);
    c->ram[R_HOURS] = encode_hours(c, s / 3600 % 24);
    c->ram[R_WEEKDAY] = encode(c, (days + 4) % 7 + 1); /* Sunday is 1 */
    c->ram[R_DAY] = encode(c, d.day);
    c->ram[R_MONTH] = encode(c, d.month);
    c->ram[R_YEAR] = encode(c, d.year % 100);
    c->ram[R_CENTURY] = encode(c, d.year / 100 % 100);
}

static uint64_t time_from_ram(const struct mc146818 *c)
{
    int64_t year = decode(c, c->ram[R_CENTURY]) * 100 + decode(c, c->ram[R_YEAR]);
    int64_t s = days_of(year, decode(c, c->ram[R_MONTH]), decode(c, c->ram[R_DAY])) * DAY_S;

    s += decode_hours(c, c->ram[R_HOURS]) * 3600 + decode(c, c->ram[R_MINUTES]) * 60 +
         decode(c, c->ram[R_SECONDS]);
    return s > 0 ? (uint64_t)s * NS_PER_S : 0;
}

static bool should_stand(const struct mc146818 *c)
{
    return (c->ram[R_B] & B_SET) || (c->ram[R_A] & A_DIVIDER) != A_RUNS;
}

/* After a write to A, B or, while it stands, to the time. */
static void time_changed(struct mc146818 *c)
{
    bool stand = should_stand(c);

    if (stand && !c->stands) {
        c->stopped_ns = guest_ns(c);
        c->stands = 1;
        time_to_ram(c);
    } else if (!stand && c->stands) {
        c->offset_ns = (int64_t)(time_from_ram(c) + c->stopped_ns % NS_PER_S -
                                 c->wall_ns(c->wall_owner));
        c->stands = 0;
        c->seen_second = guest_ns(c) / NS_PER_S;
    }
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* Ticks of the 32768 Hz crystal in a period; 0: off. */
static unsigned period_ticks(const struct mc146818 *c)
{
    unsigned rate = c->ram[R_A] & A_RATE;

    if (!rate || (c->ram[R_A] & A_DIVIDER) != A_RUNS)
        return 0;
    return 1u << ((rate < 3 ? rate + 7 : rate) - 1);
}

static uint64_t period_now(const struct mc146818 *c)
{
    unsigned ticks = period_ticks(c);

    return ticks ? mul_div(bus_now_ns(c->bus), XTAL_HZ, NS_PER_S) / ticks : 0;
}

static bool alarm_matches(const struct mc146818 *c, uint64_t s)
{
    uint8_t sec = c->ram[R_SECONDS_ALARM], min = c->ram[R_MINUTES_ALARM];
    uint8_t hour = c->ram[R_HOURS_ALARM];

    return (sec >= ANY || decode(c, sec) == s % 60) &&
           (min >= ANY || decode(c, min) == s / 60 % 60) &&
           ((hour & ANY) == ANY || decode_hours(c, hour) == s / 3600 % 24);
}

/* Raise the flags of what has happened since anybody looked. */
static void catch_up(struct mc146818 *c)
{
    uint64_t s = guest_ns(c) / NS_PER_S, period = period_now(c);

    if (period > c->seen_period)
        c->flags |= B_PERIODIC;
    c->seen_period = period;
    if (c->stands || s == c->seen_second)
        return;
    if (s > c->seen_second) {
        uint64_t from = s - c->seen_second > CATCH_UP_S ? s - CATCH_UP_S : c->seen_second;
        c->flags |= B_UPDATE;
        while (from < s && !(c->flags & B_ALARM))
            if (alarm_matches(c, ++from))
                c->flags |= B_ALARM;
    }
    c->seen_second = s; /* the wall clock may have been set back, too */
}

static bool irq_pending(const struct mc146818 *c)
{
    return c->flags & c->ram[R_B] & (B_PERIODIC | B_ALARM | B_UPDATE);
}

static void arm(struct mc146818 *c)
{
    uint64_t now = bus_now_ns(c->bus), at = UINT64_MAX;
    uint8_t wanted = c->ram[R_B] & (uint8_t)~c->flags;

    /* A flag that stands unread raises no second interrupt. */
    if (!irq_pending(c)) {
        unsigned ticks = period_ticks(c);
        if ((wanted & B_PERIODIC) && ticks)
            at = mul_div_up((c->seen_period + 1) * ticks, NS_PER_S, XTAL_HZ);
        if ((wanted & (B_UPDATE | B_ALARM)) && !c->stands)
            at = MIN(at, now + (NS_PER_S - guest_ns(c) % NS_PER_S));
    }
    bus_timer_arm(&c->timer, at);
}

static void update(struct mc146818 *c)
{
    catch_up(c);
    irq_set(&c->irq, irq_pending(c));
    arm(c);
}

static void on_timer(struct bus_timer *t)
{
    update(container_of(t, struct mc146818, timer));
}

/* ---- registers ------------------------------------------------------------------------------- */

static uint8_t read_a(const struct mc146818 *c)
{
    bool updating = !c->stands && guest_ns(c) % NS_PER_S >= NS_PER_S - UIP_NS;

    return (c->ram[R_A] & (uint8_t)~A_UIP) | (updating ? A_UIP : 0);
}

static uint8_t read_c(struct mc146818 *c)
{
    catch_up(c);
    uint8_t v = c->flags | (irq_pending(c) ? C_IRQ : 0);
    c->flags = 0;
    update(c);
    return v;
}

static bool is_time(unsigned i)
{
    return i == R_CENTURY || (i <= R_YEAR && i != R_SECONDS_ALARM && i != R_MINUTES_ALARM &&
                              i != R_HOURS_ALARM);
}

static uint8_t read_register(struct mc146818 *c, unsigned i)
{
    switch (i) {
    case R_A: return read_a(c);
    case R_C: return read_c(c);
    case R_D: return D_VALID;
    }
    if (is_time(i) && !c->stands)
        time_to_ram(c);
    return c->ram[i];
}

static void write_b(struct mc146818 *c, uint8_t value)
{
    /* The formats may change: what is in the bytes is then read by the new ones, as on the chip,
     * but a running time is kept. */
    if (value & B_SET)
        value &= (uint8_t)~B_UPDATE;
    c->ram[R_B] = value;
    time_changed(c);
    update(c);
}

/* A time register written without SET: that part of the running time changes. */
static void write_running_time(struct mc146818 *c, unsigned i, uint8_t value)
{
    uint64_t ns = guest_ns(c);

    time_to_ram(c);
    c->ram[i] = value;
    c->offset_ns += (int64_t)(time_from_ram(c) + ns % NS_PER_S - ns);
    c->seen_second = guest_ns(c) / NS_PER_S;
}

static void write_register(struct mc146818 *c, unsigned i, uint8_t value)
{
    TRACE("dev", "rtc_write", "index %#x value %#x", i, value);
    switch (i) {
    case R_A:
        catch_up(c);
        c->ram[R_A] = value & (uint8_t)~A_UIP;
        c->seen_period = period_now(c);
        time_changed(c);
        update(c);
        return;
    case R_B: write_b(c, value); return;
    case R_C:
    case R_D: return;
    }
    if (is_time(i) && !c->stands)
        write_running_time(c, i, value);
    else
        c->ram[i] = value;
    update(c);
}

static uint64_t port_read(void *owner, uint64_t off, unsigned size)
{
    struct mc146818 *c = owner;

    return off ? read_register(c, c->index) : 0xff;
}

static void port_write(void *owner, uint64_t off, unsigned size, uint64_t value)
{
    struct mc146818 *c = owner;

    if (off)
        write_register(c, c->index, (uint8_t)value);
    else
        c->index = value & 0x7f; /* bit 7 masks NMIs, of which there are none */
}

/* ---- what firmware leaves there -------------------------------------------------------------- */

void mc146818_set_byte(struct mc146818 *c, uint8_t index, uint8_t value)
{
    unsigned sum = 0;

    c->ram[index & 0x7f] = value;
    for (unsigned i = 0x10; i < 0x2e; i++)
        sum += c->ram[i];
    c->ram[0x2e] = (uint8_t)(sum >> 8);
    c->ram[0x2f] = (uint8_t)sum;
}

static void set_word(struct mc146818 *c, uint8_t index, uint64_t value)
{
    mc146818_set_byte(c, index, (uint8_t)value);
    mc146818_set_byte(c, index + 1, (uint8_t)(value >> 8));
}

void mc146818_set_memory(struct mc146818 *c, uint64_t below_4g, uint64_t above_4g)
{
    uint64_t extended = below_4g > MIB ? MIN((below_4g - MIB) / KIB, 0xffff) : 0;
    uint64_t above_16m = below_4g > 16 * MIB ? (below_4g - 16 * MIB) / (64 * KIB) : 0;

    set_word(c, 0x15, 640);
    set_word(c, 0x17, extended);
    set_word(c, 0x30, extended);
    set_word(c, 0x34, MIN(above_16m, 0xffff));
    set_word(c, 0x5b, above_4g / (64 * KIB));
    mc146818_set_byte(c, 0x5d, (uint8_t)(above_4g / (64 * KIB) >> 16));
}

/* ---- life ------------------------------------------------------------------------------------ */

static void reset(void *chip)
{
    struct mc146818 *c = chip;

    c->index = 0;
    c->flags = 0;
    c->ram[R_B] &= (uint8_t)~(B_PERIODIC | B_ALARM | B_UPDATE | B_SQUARE);
    update(c);
}

static void restored(void *chip)
{
    struct mc146818 *c = chip;

    c->index &= 0x7f;
    c->stands = should_stand(c);
    c->flags &= B_PERIODIC | B_ALARM | B_UPDATE;
    update(c);
}

#define F(member) STATE(struct mc146818, member)
static const struct state_field fields[] = {
    F(index), F(ram), F(offset_ns), F(stopped_ns), F(seen_second), F(seen_period), F(flags),
    F(stands),
};
#undef F
static const struct state_desc state = STATE_DESC("mc146818", 1, fields);
const struct device_ops mc146818_device = { .state = &state, .reset = reset,
                                            .restored = restored };

void mc146818_init(struct mc146818 *c, struct bus *bus, struct irq_line irq,
                   uint64_t (*wall_ns)(void *owner), void *wall_owner)
{
    static const struct io_ops ops = { port_read, port_write, 1 };

    *c = (struct mc146818){
        .bus = bus, .irq = irq, .wall_ns = wall_ns, .wall_owner = wall_owner,
        .io = { .base = 0x70, .len = 2, .ops = &ops, .owner = c },
    };
    c->ram[R_A] = A_RUNS | 6; /* 1024 Hz */
    c->ram[R_B] = B_24_HOURS;
    bus_timer_init(&c->timer, bus, on_timer);
    c->seen_second = guest_ns(c) / NS_PER_S;
    c->seen_period = period_now(c);
    pio_add(bus, &c->io);
}

void mc146818_done(struct mc146818 *c)
{
    bus_timer_disarm(&c->timer);
    pio_remove(c->bus, &c->io);
}
