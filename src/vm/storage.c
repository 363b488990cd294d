/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storage.c - see storage.h. */
#include "vm/storage.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "disk/layers.h"
#include "vm/layout.h"
#include "vm/machine_internal.h"

/* ---- finding --------------------------------------------------------------------------------- */

static struct storage_unit *find(struct storage *s, const char *name, struct err *err)
{
    for (unsigned i = 0; i < STORAGE_UNITS; i++)
        if (s->unit[i].state != UNIT_FREE && strcmp(s->unit[i].name, name) == 0)
            return &s->unit[i];
    err_set(err, ENOENT, "disk '%s': the machine has none of that name ('disk list' shows them)",
            name);
    return NULL;
}

static struct storage_unit *at_place(struct storage *s, enum machine_disk_bus bus,
                                     unsigned controller, unsigned lun)
{
    for (unsigned i = 0; i < STORAGE_UNITS; i++) {
        struct storage_unit *u = &s->unit[i];
        if (u->state != UNIT_FREE && u->cfg.bus == bus && u->controller == controller &&
            u->lun == lun)
            return u;
    }
    return NULL;
}

static struct storage_unit *free_slot(struct storage *s)
{
    for (unsigned i = 0; i < STORAGE_UNITS; i++)
        if (s->unit[i].state == UNIT_FREE)
            return &s->unit[i];
    return NULL;
}

/* The place that the user named, or the first free one of the bus. */
static int choose_place(struct storage *s, struct storage_unit *u, struct err *err)
{
    bool scsi = u->cfg.bus == MACHINE_DISK_SCSI;
    unsigned n_lun = scsi ? STOR_LUNS : IDE_DRIVES;
    unsigned n_ctl = scsi ? STORAGE_CONTROLLERS : IDE_CHANNELS;
    const char *bus = scsi ? "scsi" : "ide";

    if (u->cfg.controller >= (int)n_ctl || u->cfg.lun >= (int)n_lun)
        return err_set(err, EINVAL, "'%s': %s has places 0:0 to %u:%u, not %d:%d", u->cfg.path, bus,
                       n_ctl - 1, n_lun - 1, u->cfg.controller, u->cfg.lun);
    for (unsigned c = 0; c < n_ctl; c++) {
        for (unsigned l = 0; l < n_lun; l++) {
            if ((u->cfg.controller >= 0 && u->cfg.controller != (int)c) ||
                (u->cfg.lun >= 0 && u->cfg.lun != (int)l) || at_place(s, u->cfg.bus, c, l))
                continue;
            /* A CD without a place of its own leaves the boot channel to disks. */
            if (u->cfg.cdrom && u->cfg.controller < 0 && c == 0)
                continue;
            u->controller = c;
            u->lun = l;
            snprintf(u->name, sizeof u->name, "%s%u:%u", bus, c, l);
            return 0;
        }
    }
    return err_set(err, ENOSPC, "'%s': no free place on %s%s", u->cfg.path, bus,
                   u->cfg.controller >= 0 ? " where it was asked for" : "");
}

/* ---- opening and closing --------------------------------------------------------------------- */

static struct disk_limits limits_of(const struct machine_disk *cfg)
{
    return (struct disk_limits){ .iops = cfg->iops, .bytes_per_s = cfg->bytes_per_s };
}

/* What the user limits, and what the monitor shows. */
static int add_layers(const struct machine_disk *cfg, struct disk **d, struct err *err)
{
    struct disk_limits limits = limits_of(cfg);
    struct disk *over = *d;

    if (limits.iops || limits.bytes_per_s)
        over = disk_throttle_new(over, &limits);
    if (over) {
        *d = over;
        over = disk_count_new(over);
    }
    if (!over) {
        disk_close(*d, NULL);
        return err_set(err, ENOMEM, "'%s': out of memory", cfg->path);
    }
    *d = over;
    return 0;
}

static int open_disk(struct storage *s, const struct machine_disk *cfg, struct disk **ret,
                     struct err *err)
{
    struct disk_open how = {
        .writable = !cfg->read_only && !cfg->cdrom,
        .direct = cfg->direct,
        .format = cfg->raw || cfg->cdrom ? DISK_FMT_RAW : DISK_FMT_PROBE,
    };
    int r = disk_open(s->io, cfg->path, &how, ret, err);

    if (r < 0)
        return r;
    if (!cfg->cdrom && ((*ret)->size < (*ret)->block || !(*ret)->size)) {
        disk_close(*ret, NULL);
        return err_set(err, EINVAL, "'%s': an empty file is no disk", cfg->path);
    }
    return add_layers(cfg, ret, err);
}

/* The kind of the image beneath our layers. */
static const char *format_of(struct disk *d)
{
    struct disk *below = disk_below(d);

    while (below && (strcmp(d->ops->name, "count") == 0 || strcmp(d->ops->name, "throttle") == 0)) {
        d = below;
        below = disk_below(d);
    }
    return d->kind;
}

static void close_disk(struct storage_unit *u)
{
    struct err err = { 0 };

    if (u->disk && disk_close(u->disk, &err) < 0)
        log_error("disk %s ('%s'): %s", u->name, u->cfg.path, err.text);
    u->disk = NULL;
}

static void forget(struct storage_unit *u)
{
    scsi_unit_free(u->unit);
    close_disk(u);
    free((char *)(uintptr_t)u->cfg.path);
    *u = (struct storage_unit){ 0 };
}

static void on_close(struct work *w)
{
    forget(container_of(w, struct storage_unit, close_work));
}

/* The last request of a detached unit has ended; we are inside its completion. */
static void on_gone(void *owner, struct scsi_unit *unit)
{
    struct storage_unit *u = owner;

    (void)unit;
    u->close_work.run = on_close;
    loop_post(u->storage->m->loop, &u->close_work);
}

static void on_tray(void *owner)
{
    struct storage_unit *u = owner;

    machine_say(u->storage->m, "the guest ejected the medium of %s", u->name);
}

/* ---- plugging in ----------------------------------------------------------------------------- */

static int plug_scsi(struct storage *s, struct storage_unit *u, struct err *err)
{
    struct stor_config cfg = { .bus = s->bus, .kind = STOR_SCSI, .controller = u->controller,
                               .initiator = s->initiator };
    int r = 0;

    if (!s->scsi[u->controller])
        r = stor_new(&cfg, &s->scsi[u->controller], err);
    if (r < 0)
        return r;
    r = stor_attach(s->scsi[u->controller], u->lun, u->unit);
    return r < 0 ? err_errno(err, -r, "%s", u->name) : 0;
}

/* Never both at once: the disk on its IDE cable, and over VMBus. */
static bool on_claim(void *owner, bool on)
{
    struct storage_unit *u = owner;

    if (on)
        return ide_hide(&u->storage->ide, u->controller, u->lun);
    ide_show(&u->storage->ide, u->controller, u->lun);
    return true;
}

static int plug_ide(struct storage *s, struct storage_unit *u, struct err *err)
{
    struct stor_config cfg = { .bus = s->bus, .kind = STOR_IDE_ACCELERATOR,
                               .controller = u->controller, .device = u->lun,
                               .initiator = s->initiator, .claim = on_claim, .owner = u };
    char serial[21];
    int r = 0;

    if (s->m->started)
        return err_set(err, EBUSY, "%s: IDE drives are there when the machine starts, or not at all",
                       u->name);
    if (!u->cfg.cdrom) {
        if (u->disk->block != 512)
            return err_set(err, EINVAL, "'%s': sectors of %u bytes: IDE has 512, take bus=scsi",
                           u->cfg.path, u->disk->block);
        r = stor_new(&cfg, &u->accelerator, err);
        if (r == 0)
            stor_attach(u->accelerator, 0, u->unit);
    }
    if (r < 0)
        return r;
    snprintf(serial, sizeof serial, "VERDIN%u%u", u->controller, u->lun);
    ide_attach(&s->ide, u->controller, u->lun, u->unit, serial);
    return 0;
}

static int plug(struct storage *s, struct storage_unit *u, struct err *err)
{
    struct scsi_identity id;
    int r = choose_place(s, u, err);

    if (r == 0 && u->cfg.path[0])
        r = open_disk(s, &u->cfg, &u->disk, err);
    if (r == 0 && u->disk)
        u->kind = format_of(u->disk);
    if (r < 0)
        return r;
    scsi_identity_make(&id, u->disk, u->cfg.path[0] ? u->cfg.path : u->name);
    u->unit = u->cfg.cdrom ? scsi_optical_new(u->disk, &id) : scsi_hard_disk_new(u->disk, &id);
    if (!u->unit)
        return err_set(err, ENOMEM, "out of memory");
    if (u->cfg.cdrom)
        scsi_optical_on_eject(u->unit, on_tray, u);
    return u->cfg.bus == MACHINE_DISK_SCSI ? plug_scsi(s, u, err) : plug_ide(s, u, err);
}

int storage_add(struct storage *s, const struct machine_disk *d, struct err *err)
{
    struct storage_unit *u = free_slot(s);
    int r;

    if (!u)
        return err_set(err, ENOSPC, "'%s': the machine has %u disks, more are not possible",
                       d->path ? d->path : "", STORAGE_UNITS);
    u->storage = s;
    u->cfg = *d;
    u->cfg.path = strdup(d->path ? d->path : "");
    if (!u->cfg.path)
        return err_set(err, ENOMEM, "out of memory");
    r = plug(s, u, err);
    if (r < 0) {
        forget(u);
        return r;
    }
    u->state = UNIT_PLUGGED;
    return 0;
}

int storage_remove(struct storage *s, const char *name, struct err *err)
{
    struct storage_unit *u = find(s, name, err);

    if (!u)
        return -ENOENT;
    if (u->cfg.bus != MACHINE_DISK_SCSI)
        return err_set(err, EINVAL, "%s: only disks on scsi can be removed", name);
    if (u->state == UNIT_LEAVING)
        return err_set(err, EBUSY, "%s: is being removed already", name);
    u->state = UNIT_LEAVING;
    stor_detach(s->scsi[u->controller], u->lun, on_gone, u);
    return 0;
}

static struct storage_unit *find_drive(struct storage *s, const char *name, struct err *err)
{
    struct storage_unit *u = find(s, name, err);

    if (!u || u->cfg.cdrom)
        return u;
    err_set(err, EINVAL, "%s: is a disk, not a drive with media", name);
    return NULL;
}

int storage_eject(struct storage *s, const char *name, bool force, struct err *err)
{
    struct storage_unit *u = find_drive(s, name, err);

    if (!u)
        return -err->code;
    if (scsi_unit_inflight(u->unit))
        return err_set(err, EBUSY, "%s: is being read", name);
    if (scsi_optical_change(u->unit, NULL, force) < 0)
        return err_set(err, EBUSY, "%s: the guest holds the medium ('disk eject %s force' takes it)",
                       name, name);
    close_disk(u);
    return 0;
}

int storage_insert(struct storage *s, const char *name, const char *path, struct err *err)
{
    struct storage_unit *u = find_drive(s, name, err);
    struct machine_disk cfg;
    struct disk *medium;
    int r;

    if (!u)
        return -err->code;
    cfg = u->cfg;
    cfg.path = path;
    r = open_disk(s, &cfg, &medium, err);
    if (r < 0)
        return r;
    r = u->disk ? storage_eject(s, name, false, err) : 0;
    if (r < 0) {
        disk_close(medium, NULL);
        return r;
    }
    char *copy = strdup(path);
    if (copy) {
        free((char *)(uintptr_t)u->cfg.path);
        u->cfg.path = copy;
    }
    u->disk = medium;
    u->kind = format_of(medium);
    scsi_optical_change(u->unit, medium, true);
    return 0;
}

static void print_latency(const struct disk_counts *c, FILE *to)
{
    fprintf(to, "         wait:");
    for (unsigned i = 0; i < DISK_LATENCY_BUCKETS; i++)
        if (c->latency[i])
            fprintf(to, " <%lluus %llu", 1ull << i, (unsigned long long)c->latency[i]);
    fprintf(to, "\n");
}

void storage_counters(struct storage *s, FILE *to)
{
    struct disk_counts c;

    for (unsigned i = 0; i < STORAGE_UNITS; i++) {
        const struct storage_unit *u = &s->unit[i];
        if (u->state == UNIT_FREE || !u->disk)
            continue;
        disk_count_get(u->disk, &c);
        fprintf(to,
                "%-8s reads %llu (%llu KiB) writes %llu (%llu KiB) flushes %llu discards %llu "
                "errors %llu\n",
                u->name, (unsigned long long)c.n[DISK_READ],
                (unsigned long long)(c.bytes[DISK_READ] / KIB),
                (unsigned long long)c.n[DISK_WRITE],
                (unsigned long long)(c.bytes[DISK_WRITE] / KIB),
                (unsigned long long)c.n[DISK_FLUSH], (unsigned long long)c.n[DISK_DISCARD],
                (unsigned long long)c.errors);
        print_latency(&c, to);
    }
}

void storage_list(struct storage *s, FILE *to)
{
    for (unsigned i = 0; i < STORAGE_UNITS; i++) {
        const struct storage_unit *u = &s->unit[i];
        if (u->state == UNIT_FREE)
            continue;
        fprintf(to, "%-8s %-5s %10llu MiB  %s%s%s\n", u->name,
                u->disk ? u->kind : "empty",
                (unsigned long long)(u->disk ? u->disk->size / MIB : 0),
                u->disk ? u->cfg.path : "",
                u->disk && u->disk->read_only ? " (read-only)" : "",
                u->state == UNIT_LEAVING ? " (leaving)" : "");
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static uint64_t initiator_of(const struct machine *m)
{
    uint64_t v;

    memcpy(&v, m->uuid, sizeof v);
    return v | 1; /* not 0 */
}

int storage_init(struct storage *s, struct machine *m, struct err *err)
{
    struct stor_config first = { .bus = m->bus, .kind = STOR_SCSI, .controller = 0 };
    struct irq_line irq[IDE_CHANNELS];
    int r;

    s->m = m;
    s->bus = m->bus;
    s->initiator = initiator_of(m);
    first.initiator = s->initiator;
    s->io = disk_io_new(m->loop, DISK_IO_AUTO, err);
    if (!s->io)
        return err_wrap(err, "disks");
    for (unsigned i = 0; i < IDE_CHANNELS; i++)
        irq[i] = isa_irq(&m->board.isa, IRQ_IDE0 + i, ISA_CHIP);
    ide_init(&s->ide, &m->board.pci, PCI_DEVFN(PCI_ISA_BRIDGE, 1), m->gmem, irq);
    s->has_ide = true;
    mainboard_add(&m->board, "ide", &ide_device, &s->ide);
    /* One controller is always there, so that disks can be added while the guest runs. */
    r = stor_new(&first, &s->scsi[0], err);
    for (unsigned i = 0; i < m->cfg.n_disks && r == 0; i++)
        r = storage_add(s, &m->cfg.disk[i], err);
    return r;
}

static bool busy(const struct storage *s)
{
    if (s->has_ide && ide_busy(&s->ide))
        return true;
    for (unsigned i = 0; i < STORAGE_CONTROLLERS; i++)
        if (s->scsi[i] && stor_inflight(s->scsi[i]))
            return true;
    for (unsigned i = 0; i < STORAGE_UNITS; i++)
        if (s->unit[i].accelerator && stor_inflight(s->unit[i].accelerator))
            return true;
    return false;
}

#define DRAIN_NAP_US 50

/* Throttles count in the machine's time, which stands while it is drained. */
static void limit_all(struct storage *s, bool on)
{
    static const struct disk_limits none;

    for (unsigned i = 0; i < STORAGE_UNITS; i++) {
        struct storage_unit *u = &s->unit[i];
        struct disk_limits limits = limits_of(&u->cfg);
        if (u->disk && (limits.iops || limits.bytes_per_s))
            disk_throttle_set(disk_below(u->disk), on ? &limits : &none);
    }
}

void storage_drain(struct storage *s)
{
    limit_all(s, false);
    while (busy(s)) {
        loop_poll(s->m->loop);
        usleep(DRAIN_NAP_US);
    }
    limit_all(s, true);
}

void storage_stop(struct storage *s)
{
    if (!s->m)
        return;
    for (unsigned i = 0; i < STORAGE_CONTROLLERS; i++)
        stor_free(s->scsi[i]);
    for (unsigned i = 0; i < STORAGE_UNITS; i++)
        stor_free(s->unit[i].accelerator);
    if (s->has_ide)
        ide_done(&s->ide);
    for (unsigned i = 0; i < STORAGE_UNITS; i++) {
        if (s->unit[i].state == UNIT_FREE)
            continue;
        loop_unpost(s->m->loop, &s->unit[i].close_work);
        forget(&s->unit[i]);
    }
    if (s->io)
        disk_io_free(s->io);
}

/* ---- saved state: what guests set up in the units; images are not part of it ----------------- */

void storage_save(struct storage *s, struct buf *to)
{
    for (unsigned i = 0; i < STORAGE_UNITS; i++)
        if (s->unit[i].state == UNIT_PLUGGED)
            state_save(to, s->unit[i].name, &scsi_unit_state, s->unit[i].unit);
}

int storage_load(struct storage *s, struct bytes *from, struct err *err)
{
    int r = 0;

    /* The saved machine's identity is ours now; its reservations are in the state of the units. */
    s->initiator = initiator_of(s->m);
    for (unsigned i = 0; i < STORAGE_CONTROLLERS; i++)
        if (s->scsi[i])
            stor_set_initiator(s->scsi[i], s->initiator);
    for (unsigned i = 0; i < STORAGE_UNITS; i++)
        if (s->unit[i].accelerator)
            stor_set_initiator(s->unit[i].accelerator, s->initiator);
    for (unsigned i = 0; i < STORAGE_UNITS && r == 0; i++)
        if (s->unit[i].state == UNIT_PLUGGED)
            r = state_load(from, s->unit[i].name, &scsi_unit_state, s->unit[i].unit, err);
    return r;
}
