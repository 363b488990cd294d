/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine.h - one whole VM: memory, partition, buses, chips, Hyper-V, VMBus, service providers.
 *
 * Threads: one thread a VP, and the thread inside machine_run(), whose loop drives chips' timers,
 * VMBus channels and the console.  All functions here are for that thread (or for whoever made the
 * machine, while it does not run), unless they say "any thread".
 *
 *     machine_new() -> machine_start() -> machine_run() ... outcome -> machine_free()
 *
 * Callbacks of the program (console bytes, timers, signals) hang on machine_loop(). */
#pragma once

#include "base/loop.h"
#include "cpu/engine.h"
#include "dev/vga_text.h"

#define MACHINE_MEMORY_MIN     (8 * MIB)
#define MACHINE_MEMORY_DEFAULT (512 * MIB)
#define MACHINE_UARTS          2
#define MACHINE_NAME_MAX       100

/* The other end of a serial port. */
struct console_ops {
    /* The guest sent a byte.  Any VP's thread, bus lock held: quick, and no call back here. */
    void (*put)(void *owner, uint8_t byte);
    /* The port can take input again after machine_console_input() took less than all.  May be NULL. */
    void (*room)(void *owner);
};

enum machine_disk_bus { MACHINE_DISK_SCSI, MACHINE_DISK_IDE };

struct machine_disk {
    const char *path; /* image, ISO or block device; NULL: an empty CD drive */
    enum machine_disk_bus bus;
    int controller, lun; /* place on the bus (IDE: channel, device); -1: the first that is free */
    bool cdrom;
    bool read_only;
    bool raw;    /* take the bytes as they are, whatever they look like */
    bool direct; /* past the host's page cache */
    uint64_t iops, bytes_per_s; /* limits, 0: none */
};
#define MACHINE_DISKS_MAX 64 /* at start; more can be added */

struct machine_config {
    const char *name;
    enum engine_kind engine; /* ENGINE_AUTO: measured by machine_new() */
    enum soft_mode soft_mode;
    uint64_t memory; /* bytes, whole MiB */
    unsigned n_vps;
    const char *kernel, *initrd, *append; /* paths; initrd and append may be NULL */
    const char *bios;                     /* without a kernel: image of the firmware; NULL: SeaBIOS */
    const struct machine_disk *disk;      /* borrowed by machine_new() */
    unsigned n_disks;
    const char *restore;                  /* what machine_restore() will take, or NULL: nothing to
                                             start from is needed, and it says whether by BIOS */
    bool no_reboot;                       /* a reboot ends the run like a power-off */
    bool test_devices;                    /* exit port and the like, for kvm-unit-tests */
    struct {
        const struct console_ops *ops; /* NULL: nothing is plugged in */
        void *owner;
    } uart[MACHINE_UARTS];
    /* Lines for a person: what a panicking guest reported, what was chosen and why.  Any thread. */
    void (*say)(void *owner, const char *line);
    void *say_owner;
};

enum machine_outcome {
    MACHINE_OFF,      /* powered off */
    MACHINE_REBOOTED, /* wanted to reboot, and the configuration forbids it */
    MACHINE_DIED,     /* machine_death() says how */
    MACHINE_STOPPED,  /* machine_stop() */
    MACHINE_EXITED,   /* the test device's exit port: machine_exit_code() */
};

struct machine;

/* Checks the configuration, makes everything and loads the kernel.  Nothing runs yet. */
int machine_new(const struct machine_config *cfg, struct machine **ret, struct err *err);
void machine_free(struct machine *m);

struct loop *machine_loop(struct machine *m);
struct clock *machine_clock(struct machine *m);
struct partition *machine_partition(struct machine *m);

/* VPs begin.  Then run the loop until the guest ends or machine_stop() is called. */
int machine_start(struct machine *m, struct err *err);
enum machine_outcome machine_run(struct machine *m);
void machine_stop(struct machine *m); /* any thread */

const char *machine_death(const struct machine *m); /* one line, for MACHINE_DIED */
unsigned machine_exit_code(const struct machine *m);

/* All VPs stand, the machine's clock too, when pause returns. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);
bool machine_paused(const struct machine *m);

/* Ask the guest to power down: by the shutdown integration service; by the ACPI power button. */
int machine_shutdown(struct machine *m, struct err *err);
void machine_power_button(struct machine *m);

/* Power-cycle: everything to its reset state, the kernel loaded again. */
void machine_reset(struct machine *m);
void machine_nmi(struct machine *m);

/* Bytes for the guest's serial port; returns how many it took. */
size_t machine_console_input(struct machine *m, unsigned uart, const void *bytes, size_t n);

/* What the display shows; false: this machine has none (it started from a kernel). */
bool machine_screen(struct machine *m, struct vga_text *ret);
/* Keys as set 1 scan codes; returns how many bytes the keyboard took (less: it is busy, or the guest
 * has switched it off). */
size_t machine_keyboard_input(struct machine *m, const uint8_t *set1, size_t n);

/* Text for the monitor: registers of a VP (paused meanwhile), counters, all devices' state. */
void machine_print_registers(struct machine *m, FILE *to);
void machine_print_counters(struct machine *m, FILE *to);
void machine_print_devices(struct machine *m, FILE *to);

/* Disks while the guest runs.  Names are those of machine_disk_list(): "scsi0:1", "ide1:0". */
int machine_disk_add(struct machine *m, const struct machine_disk *d, struct err *err);
int machine_disk_remove(struct machine *m, const char *name, struct err *err);
int machine_disk_insert(struct machine *m, const char *drive, const char *path, struct err *err);
int machine_disk_eject(struct machine *m, const char *drive, bool force, struct err *err);
void machine_disk_list(struct machine *m, FILE *to);

/* Save to a file all that the guest could notice; the machine stays paused.  Restore into a machine
 * that was just made with the same configuration (the kernel is not needed then). */
int machine_save(struct machine *m, const char *path, struct err *err);
int machine_restore(struct machine *m, const char *path, struct err *err);
