/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storage.h - a machine's disks: images opened, SCSI units over them, controllers before them.
 *
 * SCSI disks hang on synthetic controllers (VMBus) and come and go while the guest runs.  IDE disks
 * hang on the PIIX4's IDE function for firmware and old guests, and the same unit is offered over VMBus
 * ("fastpath boot"): once a driver uses the one, the other is not there.  CD drives are IDE.
 *
 * Threads: the loop's, or before the machine runs. */
#pragma once

#include "dev/ide.h"
#include "vm/machine.h"
#include "vm/mainboard.h"
#include "vsp/stor/stor.h"

#define STORAGE_CONTROLLERS 4
#define STORAGE_UNITS       (STORAGE_CONTROLLERS * STOR_LUNS + IDE_CHANNELS * IDE_DRIVES)

enum unit_state { UNIT_FREE, UNIT_PLUGGED, UNIT_LEAVING };

/* One disk or drive of the machine. */
struct storage_unit {
    struct storage *storage;
    enum unit_state state;
    struct machine_disk cfg; /* path is our own copy, "" for an empty drive */
    unsigned controller, lun; /* IDE: channel, device */
    char name[32];            /* "scsi0:3", "ide1:0": what the user calls it */
    struct disk *disk;        /* NULL: empty drive */
    const char *kind;         /* of the image */
    struct scsi_unit *unit;
    struct stor *accelerator; /* IDE disks: the same over VMBus */
    struct work close_work;   /* a detached disk is closed outside of callbacks */
};

struct storage {
    struct machine *m;
    struct vmbus *bus;
    struct disk_io *io;
    struct stor *scsi[STORAGE_CONTROLLERS];
    struct ide ide;
    bool has_ide;
    uint64_t initiator;
    struct storage_unit unit[STORAGE_UNITS];
};

int storage_init(struct storage *s, struct machine *m, struct err *err);
void storage_stop(struct storage *s); /* after the bus has gone: close everything */
void storage_drain(struct storage *s); /* VPs stand: wait for what is in flight */

int storage_add(struct storage *s, const struct machine_disk *d, struct err *err);
int storage_remove(struct storage *s, const char *name, struct err *err);
int storage_insert(struct storage *s, const char *name, const char *path, struct err *err);
int storage_eject(struct storage *s, const char *name, bool force, struct err *err);
void storage_list(struct storage *s, FILE *to);
void storage_counters(struct storage *s, FILE *to);
void storage_save(struct storage *s, struct buf *to);
int storage_load(struct storage *s, struct bytes *from, struct err *err);
