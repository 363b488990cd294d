/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tiny.c - the smallest machine that runs a test guest on one of the engines.
 *
 *     tiny [-e soft|kvm] [-s interp|jit|jit-eager] [-n VPS] [-m MiB] [-t SECONDS] [-x]
 *          [-a ARGUMENTS] KERNEL [INITRD]
 *
 * -s is the soft engine's mode, its default otherwise; jit-eager translates each block at once.
 * -x hides x2APIC from CPUID.
 * RAM, VPs, COM1 to standard output, the exit port 0xf4, what kvm-unit-tests wants of QEMU (fw_cfg
 * by ports, its test device's registers and lines).  Of the PICs there is only what a BIOS leaves
 * behind: vectors 8 and 0x70, all lines open, LINT0 of VP 0 in ExtINT mode.
 * Exit status: what the guest wrote to 0xf4; 124 after the time-out; 125: the engine gave up. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cpu/bare_exits.h"
#include "cpu/engine.h"
#include "vm/boot.h"

/* The test device's memory, by MMIO. */
#define IO_MEMORY      UINT64_C(0xff000000)
#define IO_MEMORY_SIZE 0x10000

struct tiny {
    struct gmem *gmem;
    struct clock clock;
    struct partition *part;
    unsigned n_vps;
    bool hide_x2apic;
    uint16_t fw_key;
    unsigned fw_at;
    uint32_t scratch, irq; /* irq: lines that rose and were not acknowledged */
    uint8_t io_memory[IO_MEMORY_SIZE];
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t ended;
    bool over;
    int status;
};

static void end(struct tiny *t, int status)
{
    pthread_mutex_lock(&t->lock);
    if (!t->over) {
        t->over = true;
        t->status = status;
        pthread_cond_signal(&t->ended);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- ports ----------------------------------------------------------------------------------- */

enum { FW_SIGNATURE = 0, FW_RAM_SIZE = 3, FW_NB_CPUS = 5, FW_MAX_CPUS = 15 };

static uint8_t fw_read(struct tiny *t)
{
    uint64_t v = t->fw_key == FW_SIGNATURE  ? 0x554d4551
                 : t->fw_key == FW_RAM_SIZE ? t->gmem->ram_size
                 : t->fw_key == FW_NB_CPUS  ? t->n_vps
                                            : 0;

    return t->fw_at < 8 ? (uint8_t)(v >> (8 * t->fw_at++)) : 0;
}

static uint32_t pio_read(void *owner, struct vp *vp, uint16_t port, unsigned size)
{
    struct tiny *t = owner;

    switch (port) {
    case 0x3fd: return 0x60; /* COM1: always ready to send */
    case 0x511: return fw_read(t);
    case 0xe0: case 0xe1: case 0xe2: case 0xe3:
        return t->scratch >> ((port & 3) * 8);
    default: return 0xffffffff;
    }
}

static void raise_irq(struct tiny *t, unsigned n)
{
    __atomic_or_fetch(&t->irq, 1u << n, __ATOMIC_SEQ_CST);
    partition_extint(t->part, true);
}

static void pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    struct tiny *t = owner;

    switch (port) {
    case 0x3f8:
        putchar((int)(value & 0xff));
        if ((value & 0xff) == '\n')
            fflush(stdout);
        break;
    case 0xf4:
        end(t, (int)(value & 0x7f));
        vp_kick(vp);
        break;
    case 0x510:
        t->fw_key = (uint16_t)value;
        t->fw_at = 0;
        break;
    case 0xe0: t->scratch = value; break;
    default:
        if (port >= 0x2000 && port < 0x2010 && value)
            raise_irq(t, port & 15);
        break;
    }
}

static uint64_t mmio_read(void *owner, struct vp *vp, gpa_t at, unsigned size)
{
    struct tiny *t = owner;
    uint64_t v = ~UINT64_C(0);

    if (at.v >= IO_MEMORY && range_ok(at.v - IO_MEMORY, size, IO_MEMORY_SIZE))
        memcpy(&v, t->io_memory + (at.v - IO_MEMORY), size);
    return v;
}

static void mmio_write(void *owner, struct vp *vp, gpa_t at, unsigned size, uint64_t value)
{
    struct tiny *t = owner;

    if (at.v >= IO_MEMORY && range_ok(at.v - IO_MEMORY, size, IO_MEMORY_SIZE))
        memcpy(t->io_memory + (at.v - IO_MEMORY), &value, size);
}

static int pic_ack(void *owner)
{
    struct tiny *t = owner;
    uint32_t irq = __atomic_exchange_n(&t->irq, 0, __ATOMIC_SEQ_CST);
    unsigned n;

    partition_extint(t->part, false);
    if (!irq)
        return -1;
    n = (unsigned)__builtin_ctz(irq);
    irq &= irq - 1;
    if (irq) {
        __atomic_or_fetch(&t->irq, irq, __ATOMIC_SEQ_CST);
        partition_extint(t->part, true);
    }
    return (int)(n < 8 ? 8 + n : 0x70 + n - 8);
}

static const struct exit_ops exits = {
    .pio_read = pio_read, .pio_write = pio_write, .mmio_read = mmio_read, .mmio_write = mmio_write,
    .msr_read = bare_msr_read, .msr_write = bare_msr_write, .hypercall = bare_hypercall,
    .eoi = bare_eoi, .pic_ack = pic_ack, .deadline = bare_deadline,
};

/* ---- VPs ------------------------------------------------------------------------------------- */

struct runner {
    struct tiny *t;
    struct vp *vp;
    pthread_t thread;
};

static void *run_vp(void *arg)
{
    struct runner *r = arg;
    bool over = false;

    while (!over) {
        enum vp_stop stop = vp_run(r->vp);

        if (stop != VP_KICKED) {
            fprintf(stderr, "tiny: %s\n", vp_death(r->vp));
            end(r->t, 125);
        }
        pthread_mutex_lock(&r->t->lock);
        over = r->t->over;
        pthread_mutex_unlock(&r->t->lock);
    }
    return NULL;
}

static int run_all(struct tiny *t, unsigned seconds)
{
    struct runner r[VPS_MAX];
    struct timespec until;
    int wait = 0;

    for (unsigned i = 0; i < t->n_vps; i++) {
        r[i] = (struct runner){ .t = t, .vp = partition_vp(t->part, i) };
        if (pthread_create(&r[i].thread, NULL, run_vp, &r[i]) != 0)
            abort();
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&t->lock);
    while (!t->over && wait != ETIMEDOUT)
        wait = pthread_cond_timedwait(&t->ended, &t->lock, &until);
    pthread_mutex_unlock(&t->lock);
    end(t, 124);
    for (unsigned i = 0; i < t->n_vps; i++)
        vp_kick(r[i].vp);
    for (unsigned i = 0; i < t->n_vps; i++)
        pthread_join(r[i].thread, NULL);
    return t->status;
}

static void print_registers(struct tiny *t)
{
    for (unsigned i = 0; i < t->n_vps; i++) {
        struct vp_regs g;

        vp_get_regs(partition_vp(t->part, i), &g);
        fprintf(stderr, "tiny: VP %u at %04x:%#llx rsp %#llx rflags %#llx cr0 %#llx cr3 %#llx\n", i,
                g.seg[SEG_CS].sel, (unsigned long long)g.rip, (unsigned long long)g.gpr[RSP],
                (unsigned long long)g.rflags, (unsigned long long)g.cr0, (unsigned long long)g.cr3);
    }
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static int fail(const struct err *err)
{
    fprintf(stderr, "tiny: %s\n", err->text);
    return 125;
}

static int wire_lint0(struct vp *vp, struct err *err)
{
    struct vp_state *s = malloc(sizeof(*s));
    int r = -ENOMEM;

    if (s) {
        vp_get_state(vp, s);
        put_le32(s->lapic + 0xf0, 0x1ff);  /* software-enabled */
        put_le32(s->lapic + 0x350, 0x700); /* LINT0: ExtINT */
        r = vp_set_state(vp, s, err);
    }
    free(s);
    return r;
}

static int start(struct tiny *t, enum engine_kind engine, enum soft_mode mode,
                 const struct boot_config *boot)
{
    struct partition_config cfg = { .engine = engine, .soft_mode = mode, .gmem = t->gmem,
                                    .clock = &t->clock, .n_vps = t->n_vps, .exits = &exits,
                                    .owner = t };
    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    struct boot_entry entry;
    struct err err = { 0 };
    unsigned n;

    if (partition_new(&cfg, &t->part, &err) < 0 || boot_load(t->gmem, boot, &entry, &err) < 0)
        return fail(&err);
    n = partition_cpuid(t->part, cpuid);
    for (unsigned i = 0; t->hide_x2apic && i < n; i++) {
        if (cpuid[i].leaf == 1)
            cpuid[i].ecx &= ~(1u << 21);
    }
    for (unsigned i = 0; i < t->n_vps; i++)
        vp_set_cpuid(partition_vp(t->part, i), cpuid, n);
    if (wire_lint0(partition_vp(t->part, 0), &err) < 0)
        return fail(&err);
    vp_set_regs(partition_vp(t->part, 0), &entry.regs);
    return 0;
}

static bool parse_mode(const char *text, enum soft_mode *ret)
{
    static const char *const names[] = { [SOFT_INTERP] = "interp", [SOFT_JIT] = "jit",
                                         [SOFT_JIT_EAGER] = "jit-eager" };

    for (unsigned i = SOFT_INTERP; i < ARRAY_LEN(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum soft_mode)i;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    struct tiny t = { .n_vps = 1, .lock = PTHREAD_MUTEX_INITIALIZER,
                      .ended = PTHREAD_COND_INITIALIZER };
    struct boot_config boot = { .append = "" };
    enum engine_kind engine = ENGINE_SOFT;
    enum soft_mode mode = SOFT_DEFAULT;
    unsigned long mib = 128, seconds = 60;
    struct err err = { 0 };
    int opt, status;

    while ((opt = getopt(argc, argv, "e:s:n:m:t:a:x")) > 0) {
        switch (opt) {
        case 'e': engine = strcmp(optarg, "kvm") == 0 ? ENGINE_KVM : ENGINE_SOFT; break;
        case 's':
            if (!parse_mode(optarg, &mode))
                return 125;
            break;
        case 'n': t.n_vps = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'm': mib = strtoul(optarg, NULL, 0); break;
        case 't': seconds = strtoul(optarg, NULL, 0); break;
        case 'x': t.hide_x2apic = true; break;
        case 'a': boot.append = optarg; break;
        default: return 125;
        }
    }
    if (optind >= argc || t.n_vps < 1 || t.n_vps > VPS_MAX)
        return 125;
    boot.kernel = argv[optind];
    boot.initrd = argv[optind + 1];
    clock_init(&t.clock);
    if (gmem_new(mib * MIB, &t.gmem, &err) < 0)
        return fail(&err);
    status = start(&t, engine, mode, &boot);
    if (status == 0) {
        status = run_all(&t, (unsigned)seconds);
        if (status >= 124)
            print_registers(&t);
    }
    fflush(stdout);
    partition_free(t.part);
    gmem_free(t.gmem);
    return status;
}
