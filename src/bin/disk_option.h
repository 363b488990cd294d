/* SPDX-License-Identifier: GPL-2.0-or-later */
/* disk_option.h - PATH[,bus=ide|scsi][,at=C:L][,ro][,format=raw|auto][,cache=..][,iops=N][,bps=SIZE] */
#pragma once

#include "base/err.h"
#include "vm/machine.h"

/* Takes 'text' apart; ret->path is heap, the caller's.  A comma in a path is written ",,".
 * 'cdrom': the drive may be empty, and the bus is IDE. */
int disk_option_parse(const char *text, bool cdrom, struct machine_disk *ret, struct err *err);
