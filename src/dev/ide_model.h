/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_model.h - for tests: a board with the IDE function, two disks and a CD drive over memory, whose
 * answers wait when the test says so. */
#pragma once

#include "dev/ide.h"
#include "dev/testbed.h"
#include "disk/mem_model.h"

#define IDE_MODEL_SECTORS 8192u
#define IDE_MODEL_RAM     (4 * MIB)
#define IDE_MODEL_BM      0xc000u /* bus master registers */

/* Disks: channel 0 drive 0, channel 1 drive 1; the CD drive: channel 1 drive 0. */
enum { IDE_MODEL_HD, IDE_MODEL_SLAVE, IDE_MODEL_CD, IDE_MODEL_UNITS };

struct ide_model {
    struct testbed t;
    struct pci_bus pci;
    struct gmem *gmem;
    struct disk_io *io;
    struct mem_disk disk[IDE_MODEL_UNITS];
    struct scsi_unit *unit[IDE_MODEL_UNITS];
    struct ide ide;
    struct test_line irq;
};

void ide_model_init(struct ide_model *b);

/* Each sector begins with its number, and the unit's in the highest byte. */
void ide_model_number(struct ide_model *b);
void ide_model_done(struct ide_model *b); /* answers what the disks still have */
