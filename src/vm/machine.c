/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.c - a machine is made, started, run, reset and ended here; see machine.h. */
#include <errno.h>
#include <stdarg.h>

#include "base/log.h"
#include "base/rng.h"
#include "base/trace.h"
#include "vm/bios.h"
#include "vm/boot.h"
#include "vm/firmware.h"
#include "vm/layout.h"
#include "vm/machine_internal.h"

/* ---- words ----------------------------------------------------------------------------------- */

void machine_say(struct machine *m, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    if (!m->cfg.say)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    m->cfg.say(m->cfg.say_owner, line);
}

/* ---- requests from VPs' threads and chips ---------------------------------------------------- */

void machine_request(struct machine *m, enum machine_request what)
{
    __atomic_fetch_or(&m->requests, what, __ATOMIC_SEQ_CST);
    loop_post(m->loop, &m->request_work);
}

static void end(struct machine *m, enum machine_outcome how)
{
    m->outcome = how;
    m->running = false;
    loop_stop(m->loop);
}

static void on_requests(struct work *w)
{
    struct machine *m = container_of(w, struct machine, request_work);
    uint32_t what = __atomic_exchange_n(&m->requests, 0, __ATOMIC_SEQ_CST);

    TRACE("machine", "request", "%#x", what);
    if (what & REQUEST_STOP)
        end(m, MACHINE_STOPPED);
    else if (what & REQUEST_EXIT)
        end(m, MACHINE_EXITED);
    else if (what & REQUEST_POWER_OFF)
        end(m, MACHINE_OFF);
    else if ((what & REQUEST_RESET) && m->cfg.no_reboot)
        end(m, MACHINE_REBOOTED);
    else if (what & REQUEST_RESET)
        machine_reset(m);
    else if (what & REQUEST_DIED) /* last: who asked for a reset may run into a fault before it comes */
        end(m, MACHINE_DIED);
}

/* A triple fault is how a PC without a better idea reboots (Linux: reboot=t).  But one that comes
 * by accident must not loop for ever in silence: it is a death, as the user of a foreground VM
 * wants to know. */
static void on_vp_died(void *owner, struct vp *vp, enum vp_stop stop)
{
    struct machine *m = owner;

    pthread_mutex_lock(&m->death_lock);
    if (!m->death[0])
        snprintf(m->death, sizeof m->death, "%s", vp_death(vp));
    pthread_mutex_unlock(&m->death_lock);
    machine_request(m, REQUEST_DIED);
}

static void on_power_off(void *owner)
{
    machine_request(owner, REQUEST_POWER_OFF);
}

static void on_reset(void *owner)
{
    machine_request(owner, REQUEST_RESET);
}

static void on_exit_code(void *owner, unsigned code)
{
    struct machine *m = owner;

    m->exit_code = code;
    machine_request(m, REQUEST_EXIT);
}

static void on_extint(void *owner, bool level)
{
    struct machine *m = owner;

    partition_extint(m->part, level);
}

static void on_msi(void *owner, uint64_t addr, uint32_t data)
{
    struct machine *m = owner;

    partition_msi(m->part, addr, data);
}

static const struct mainboard_ops mainboard_callbacks = {
    .power_off = on_power_off,
    .reset = on_reset,
    .exit_code = on_exit_code,
    .extint = on_extint,
    .msi = on_msi,
};

static void on_crash(void *owner, unsigned vp, const uint64_t p[HV_CRASH_PARAMS], const char *log,
                     size_t n)
{
    struct machine *m = owner;

    machine_say(m, "the guest crashed on VP %u: P0 %#llx P1 %#llx P2 %#llx P3 %#llx P4 %#llx", vp,
                (unsigned long long)p[0], (unsigned long long)p[1], (unsigned long long)p[2],
                (unsigned long long)p[3], (unsigned long long)p[4]);
    for (const char *end_of_log = log + n; log < end_of_log;) {
        const char *nl = memchr(log, '\n', (size_t)(end_of_log - log));
        int len = (int)((nl ? nl : end_of_log) - log);
        machine_say(m, "guest log: %.*s", len, log);
        log += len + 1;
    }
}

static const struct hv_ops hv_callbacks = { .crash = on_crash, .reset = on_reset };

static void on_shutdown_answered(void *owner, enum ic_shutdown_kind kind, uint32_t status)
{
    struct machine *m = owner;

    if (status)
        machine_say(m, "the guest refused to shut down: status %#x", status);
}

static const struct ic_ops ic_callbacks = { .shutdown_answered = on_shutdown_answered };

static void finish_reset(struct machine *m);

static void on_vmbus_quiet(void *owner)
{
    struct machine *m = owner;

    if (m->resetting)
        finish_reset(m);
}

static const struct vmbus_ops vmbus_callbacks = { .quiet = on_vmbus_quiet };

/* ---- CPUID ----------------------------------------------------------------------------------- */

#define CPUID_1_ECX_HYPERVISOR (1u << 31)

static int compose_cpuid(struct machine *m, struct err *err)
{
    struct cpuid_entry hv[HV_CPUID_ENTRIES];

    m->n_cpuid = partition_cpuid(m->part, m->cpuid);
    if (!m->n_cpuid || m->n_cpuid + HV_CPUID_ENTRIES > CPUID_ENTRIES_MAX)
        return err_set(err, ENOTSUP, "the %s engine offers %u CPUID leaves: 1 to %u are usable",
                       engine_name(m->cfg.engine), m->n_cpuid,
                       CPUID_ENTRIES_MAX - HV_CPUID_ENTRIES);
    for (unsigned i = 0; i < m->n_cpuid; i++)
        if (m->cpuid[i].leaf == 1)
            m->cpuid[i].ecx |= CPUID_1_ECX_HYPERVISOR;
    hv_cpuid(m->hv, hv);
    memcpy(m->cpuid + m->n_cpuid, hv, sizeof hv);
    m->n_cpuid += HV_CPUID_ENTRIES;
    for (unsigned i = 0; i < m->cfg.n_vps; i++) {
        int r = vp_set_cpuid(partition_vp(m->part, i), m->cpuid, m->n_cpuid);
        if (r < 0)
            return err_errno(err, -r, "CPUID of VP %u", i);
    }
    return 0;
}

/* ---- loading --------------------------------------------------------------------------------- */

static struct firmware_config firmware_of(const struct machine *m)
{
    struct firmware_config fw = { .n_vps = m->cfg.n_vps, .memory = m->cfg.memory,
                                  .name = m->cfg.name, .vga = m->uses_bios };

    memcpy(fw.uuid, m->uuid, sizeof fw.uuid);
    return fw;
}

/* Firmware tables and kernel into guest memory, VP 0 at its entry; or the BIOS, VP 0 at the reset
 * vector where a reset left it. */
static int load(struct machine *m, struct err *err)
{
    struct firmware_config fw = firmware_of(m);
    struct boot_config boot = { m->cfg.kernel, m->cfg.initrd, m->cfg.append };
    struct boot_entry entry;
    int r;

    if (m->uses_bios)
        return bios_shadow(m->gmem, m->cfg.bios, err);
    if (!m->cfg.kernel)
        return m->cfg.restore && !m->started
                   ? 0
                   : err_set(err, ENOENT, "the machine was restored without --kernel");
    r = firmware_write(m->gmem, &fw, err);
    if (r == 0)
        r = boot_load(m->gmem, &boot, &entry, err);
    if (r < 0)
        return r;
    TRACE("machine", "loaded", "%s", entry.what);
    vp_set_regs(partition_vp(m->part, 0), &entry.regs);
    return 0;
}

/* ---- made ------------------------------------------------------------------------------------ */

static int check_config(const struct machine_config *c, struct err *err)
{
    if (c->n_vps < 1 || c->n_vps > VPS_MAX)
        return err_set(err, EINVAL, "%u virtual processors: 1 to %u are possible", c->n_vps,
                       VPS_MAX);
    if (c->memory < MACHINE_MEMORY_MIN || c->memory > GMEM_SIZE_MAX || c->memory % MIB)
        return err_set(err, EINVAL, "memory of %llu bytes: whole MiB, from %u MiB to %u GiB",
                       (unsigned long long)c->memory, (unsigned)(MACHINE_MEMORY_MIN / MIB),
                       (unsigned)(GMEM_SIZE_MAX / GIB));
    if (!c->name || !c->name[0] || strlen(c->name) > MACHINE_NAME_MAX)
        return err_set(err, EINVAL, "name '%s': 1 to %u bytes", c->name ? c->name : "",
                       MACHINE_NAME_MAX);
    if (!c->kernel && !c->n_disks && !c->restore)
        return err_set(err, EINVAL, "nothing to start from: neither a kernel nor a disk is named");
    if (!c->kernel && (c->initrd || c->append))
        return err_set(err, EINVAL, "an initrd or a command line goes with a kernel only");
    return 0;
}

static char *copy_string(const char *s)
{
    return s ? strdup(s) : NULL;
}

static int own_config(struct machine *m, const struct machine_config *c, struct err *err)
{
    m->cfg = *c;
    m->cfg.name = copy_string(c->name);
    m->cfg.kernel = copy_string(c->kernel);
    m->cfg.initrd = copy_string(c->initrd);
    m->cfg.append = copy_string(c->append);
    m->cfg.bios = copy_string(c->bios ? c->bios : BIOS_DEFAULT);
    if (!m->cfg.name || !m->cfg.bios || (c->kernel && !m->cfg.kernel) ||
        (c->initrd && !m->cfg.initrd) || (c->append && !m->cfg.append))
        return err_set(err, ENOMEM, "out of memory");
    return 0;
}

static int make_partition(struct machine *m, struct err *err)
{
    struct partition_config pc = {
        .engine = m->cfg.engine, .soft_mode = m->cfg.soft_mode, .gmem = m->gmem,
        .clock = &m->clock, .n_vps = m->cfg.n_vps, .exits = &machine_exits, .owner = m,
    };

    if (pc.engine == ENGINE_AUTO) {
        char why[256];
        pc.engine = m->cfg.engine = engine_choose(why, sizeof why);
        machine_say(m, "%s", why);
    }
    return partition_new(&pc, &m->part, err);
}

static int make_hypervisor(struct machine *m, struct err *err)
{
    bool soft = partition_engine(m->part) == ENGINE_SOFT;
    struct hv_config hc = {
        .part = m->part, .gmem = m->gmem, .clock = &m->clock, .n_vps = m->cfg.n_vps,
        .caps = { .flush_ipi = partition_can_flush_tlb(m->part), .stimers = soft,
                  .ref_tsc = true, .tsc_invariant = soft, .xmm_input = true },
        .ops = &hv_callbacks, .owner = m,
    };
    struct vmbus_config bc = { .loop = m->loop, .ops = &vmbus_callbacks, .owner = m };
    struct ic_config ic = { .ops = &ic_callbacks, .owner = m };
    int r = hv_new(&hc, &m->hv, err);

    if (r < 0)
        return r;
    bc.hv = m->hv;
    r = vmbus_new(&bc, &m->bus, err);
    if (r < 0)
        return r;
    ic.bus = m->bus;
    r = ic_new(&ic, &m->ic, err);
    return r < 0 ? r : compose_cpuid(m, err);
}

/* A register that the board presets before firmware runs: there now and after every reset. */
static void preset(struct pci_dev *d, unsigned off, uint8_t value)
{
    d->config[off] = d->at_reset[off] = value;
}

#define PIIX4_DEVACTB_3       0x5b
#define PIIX4_DEVACTB_3_APMC  0x02

/* What SeaBIOS finds: its ROM, fw_cfg, a host bridge that says "QEMU", for without that it asks nobody
 * anything, and system management interrupts "enabled already", for we have no SMM to set up. */
static int make_bios(struct machine *m, struct err *err)
{
    static const uint8_t qemu_subsystem[] = { 0xf4, 0x1a, 0x00, 0x11 };
    struct firmware_config fw = firmware_of(m);

    fw_cfg_init(&m->fw_cfg, &m->board.bus, m->gmem);
    m->has_fw_cfg = true;
    mainboard_add(&m->board, "fw_cfg", &fw_cfg_device, &m->fw_cfg);
    for (unsigned i = 0; i < sizeof qemu_subsystem; i++)
        preset(&m->board.host_bridge.pci, PCI_SUBSYSTEM_VENDOR + i, qemu_subsystem[i]);
    preset(&m->board.south_bridge.pm, PIIX4_DEVACTB_3, PIIX4_DEVACTB_3_APMC);
    struct err none;
    if (bios_add_vga_rom(&m->fw_cfg, BIOS_VGA, &none) < 0)
        machine_say(m, "the screen stays dark: %s", none.text);
    return bios_describe(&m->fw_cfg, &fw, m->cfg.uart[0].ops ? PORT_COM1 : 0, err);
}

static int build(struct machine *m, struct err *err)
{
    struct rng rng;
    struct mainboard_config bc = { .loop = m->loop, .memory = m->cfg.memory,
                               .test_devices = m->cfg.test_devices,
                               .bios = !m->cfg.kernel && m->cfg.n_disks,
                               .ops = &mainboard_callbacks,
                               .owner = m };
    int r = m->cfg.restore ? saved_has_bios(m->cfg.restore, &bc.bios, err) : 0;

    if (r < 0)
        return r;
    m->uses_bios = bc.bios;
    rng_init_host(&rng);
    for (unsigned i = 0; i < sizeof m->uuid; i++)
        m->uuid[i] = (uint8_t)rng_u64(&rng);
    for (unsigned i = 0; i < MACHINE_UARTS; i++) {
        bc.uart[i].ops = m->cfg.uart[i].ops;
        bc.uart[i].owner = m->cfg.uart[i].owner;
    }
    r = gmem_new(m->cfg.memory, &m->gmem, err);
    if (r == 0 && m->uses_bios)
        r = bios_add_rom(m->gmem, m->cfg.bios, err);
    if (r == 0)
        r = make_partition(m, err);
    if (r < 0)
        return r;
    vps_init(&m->vps, m->part, m->cfg.n_vps, on_vp_died, m);
    mainboard_init(&m->board, &bc);
    r = make_hypervisor(m, err);
    if (r == 0)
        r = storage_init(&m->storage, m, err);
    if (r == 0 && m->uses_bios)
        r = make_bios(m, err);
    return r < 0 ? r : load(m, err);
}

int machine_new(const struct machine_config *cfg, struct machine **ret, struct err *err)
{
    struct machine *m;
    int r = check_config(cfg, err);

    if (r < 0)
        return r;
    m = calloc(1, sizeof *m);
    if (!m)
        return err_set(err, ENOMEM, "out of memory");
    m->request_work.run = on_requests;
    pthread_mutex_init(&m->death_lock, NULL);
    clock_init(&m->clock);
    clock_stop(&m->clock); /* machine time begins with the first instruction */
    m->paused = true;
    r = own_config(m, cfg, err);
    if (r == 0) {
        m->loop = loop_new(&m->clock);
        r = m->loop ? build(m, err) : err_set(err, ENOMEM, "no event loop: out of descriptors?");
    }
    if (r < 0) {
        machine_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    if (m->vps.n)
        vps_done(&m->vps);
    if (m->storage.m)
        storage_drain(&m->storage);
    if (m->bus)
        vmbus_free(m->bus);
    storage_stop(&m->storage);
    if (m->has_fw_cfg)
        fw_cfg_done(&m->fw_cfg);
    if (m->ic)
        ic_free(m->ic);
    hv_free(m->hv);
    mainboard_done(&m->board);
    partition_free(m->part);
    gmem_free(m->gmem);
    if (m->loop)
        loop_unpost(m->loop, &m->request_work);
    loop_free(m->loop);
    pthread_mutex_destroy(&m->death_lock);
    free((char *)(uintptr_t)m->cfg.name);
    free((char *)(uintptr_t)m->cfg.kernel);
    free((char *)(uintptr_t)m->cfg.initrd);
    free((char *)(uintptr_t)m->cfg.append);
    free((char *)(uintptr_t)m->cfg.bios);
    free(m);
}

struct loop *machine_loop(struct machine *m)
{
    return m->loop;
}

struct clock *machine_clock(struct machine *m)
{
    return &m->clock;
}

struct partition *machine_partition(struct machine *m)
{
    return m->part;
}

/* ---- runs ------------------------------------------------------------------------------------ */

int machine_start(struct machine *m, struct err *err)
{
    int r = m->started ? 0 : vps_start(&m->vps, err);

    if (r < 0)
        return r;
    m->started = true;
    machine_resume(m);
    return 0;
}

enum machine_outcome machine_run(struct machine *m)
{
    m->running = true;
    while (m->running)
        loop_run(m->loop);
    vps_pause(&m->vps);
    m->paused = true;
    return m->outcome;
}

void machine_stop(struct machine *m)
{
    machine_request(m, REQUEST_STOP);
}

const char *machine_death(const struct machine *m)
{
    return m->death;
}

unsigned machine_exit_code(const struct machine *m)
{
    return m->exit_code;
}

/* The guest sees neither its clock nor its TSC move while it stands. */
void machine_pause(struct machine *m)
{
    if (m->paused)
        return;
    vps_pause(&m->vps);
    clock_stop(&m->clock);
    m->tsc_at_pause = partition_tsc(m->part);
    m->paused = true;
}

void machine_resume(struct machine *m)
{
    if (!m->paused || m->resetting)
        return;
    partition_set_tsc(m->part, m->tsc_at_pause);
    clock_start(&m->clock);
    m->paused = false;
    vps_resume(&m->vps);
}

bool machine_paused(const struct machine *m)
{
    return m->paused;
}

/* ---- reset ----------------------------------------------------------------------------------- */

/* Memory keeps its contents as on a PC; the loader writes anew what it needs. */
void machine_reset(struct machine *m)
{
    TRACE("machine", "reset", "%s", "");
    m->resume_after_reset = !m->paused;
    machine_pause(m);
    m->resetting = true;
    if (vmbus_reset(m->bus))
        finish_reset(m);
}

static void finish_reset(struct machine *m)
{
    struct err err;

    m->resetting = false;
    storage_drain(&m->storage); /* no disk writes into memory that is about to be loaded */
    partition_reset(m->part);
    mainboard_reset(&m->board);
    hv_reset(m->hv);
    /* What VPs wanted before, or died of, is void. */
    __atomic_fetch_and(&m->requests, ~(uint32_t)(REQUEST_RESET | REQUEST_DIED), __ATOMIC_SEQ_CST);
    m->death[0] = 0;
    if (load(m, &err) < 0) {
        snprintf(m->death, sizeof m->death, "cannot load the kernel again: %s", err.text);
        end(m, MACHINE_DIED);
        return;
    }
    vps_revive(&m->vps);
    if (m->resume_after_reset)
        machine_resume(m);
}

void machine_nmi(struct machine *m)
{
    vp_nmi(partition_vp(m->part, 0));
}

/* ---- asking the guest ------------------------------------------------------------------------ */

int machine_shutdown(struct machine *m, struct err *err)
{
    return ic_shutdown(m->ic, IC_DO_POWER_OFF, false, err);
}

void machine_power_button(struct machine *m)
{
    mainboard_power_button(&m->board);
}

size_t machine_console_input(struct machine *m, unsigned uart, const void *bytes, size_t n)
{
    return uart < MACHINE_UARTS ? mainboard_serial_input(&m->board, uart, bytes, n) : n;
}

bool machine_screen(struct machine *m, struct vga_text *ret)
{
    return mainboard_screen(&m->board, ret);
}

size_t machine_keyboard_input(struct machine *m, const uint8_t *set1, size_t n)
{
    return mainboard_keyboard_input(&m->board, set1, n);
}

/* ---- disks ----------------------------------------------------------------------------------- */

int machine_disk_add(struct machine *m, const struct machine_disk *d, struct err *err)
{
    return storage_add(&m->storage, d, err);
}

int machine_disk_remove(struct machine *m, const char *name, struct err *err)
{
    return storage_remove(&m->storage, name, err);
}

int machine_disk_insert(struct machine *m, const char *drive, const char *path, struct err *err)
{
    return storage_insert(&m->storage, drive, path, err);
}

int machine_disk_eject(struct machine *m, const char *drive, bool force, struct err *err)
{
    return storage_eject(&m->storage, drive, force, err);
}

void machine_disk_list(struct machine *m, FILE *to)
{
    storage_list(&m->storage, to);
}
