/* SPDX-License-Identifier: GPL-2.0-or-later */
/* machine_internal.h - the struct that the files of a machine share.
 *
 *   machine.c   made, started, run, reset, ended             exits.c    what VPs cannot do themselves
 *   vps.c       threads of the VPs                           mainboard.c  chips and their wires
 *   storage.c   disks and their controllers                  bios.c     a start from disks
 *   save.c      saved state                                  report.c   text for the monitor */
#pragma once

#include "dev/fw_cfg.h"
#include "hv/hv.h"
#include "vm/mainboard.h"
#include "vm/machine.h"
#include "vm/storage.h"
#include "vm/vps.h"
#include "vmbus/server.h"
#include "vsp/ic/ic.h"

/* What other threads want from the loop's thread; bits of machine.requests. */
enum machine_request {
    REQUEST_POWER_OFF = 1 << 0,
    REQUEST_RESET = 1 << 1,
    REQUEST_STOP = 1 << 2,
    REQUEST_DIED = 1 << 3,
    REQUEST_EXIT = 1 << 4, /* test device */
};

struct machine {
    struct machine_config cfg; /* strings are our own copies */
    struct clock clock;
    struct loop *loop;
    struct gmem *gmem;
    struct partition *part;
    struct vps vps;
    struct mainboard board;
    struct hv *hv;
    struct vmbus *bus;
    struct ic *ic;
    struct storage storage;
    struct fw_cfg fw_cfg;
    bool has_fw_cfg, uses_bios;
    struct cpuid_entry cpuid[CPUID_ENTRIES_MAX];
    unsigned n_cpuid;
    uint8_t uuid[16];

    uint32_t requests;        /* enum machine_request; any thread: atomic */
    struct work request_work; /* posted with the above */
    bool started, running, paused;
    uint64_t tsc_at_pause;    /* what the guest reads when it goes on */
    bool resetting;           /* VMBus is still quieting down */
    bool resume_after_reset;
    enum machine_outcome outcome;
    unsigned exit_code;
    char death[ERR_TEXT_MAX + 64]; /* written before REQUEST_DIED is posted */
    pthread_mutex_t death_lock; /* guards 'death': two VPs may die at once */
};

void machine_request(struct machine *m, enum machine_request what); /* any thread */
void machine_say(struct machine *m, const char *fmt, ...) PRINTF(2, 3);

/* Does the machine in this file have a BIOS?  0 or -errno. */
int saved_has_bios(const char *path, bool *ret, struct err *err);

extern const struct exit_ops machine_exits;
