/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_identify.h - the 512 bytes by which an ATA or ATAPI drive describes itself; ATA-6 8.15, 8.16. */
#pragma once

#include "dev/ide.h"

void ide_identify_disk(const struct ide_drive *d, const struct disk *disk, uint8_t out[512]);
void ide_identify_packet(const struct ide_drive *d, uint8_t out[512]);
