/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_channel.h - what the files of the IDE function share: one channel at work.
 *
 * ide.c has the registers and the life of the chip, ide_command.c the commands and the transfers of
 * disks, ide_packet.c those of CD drives, ide_dma.c the way to the disk and to guest memory.
 * The bus lock is held in all of them. */
#pragma once

#include "dev/ide.h"

#define SECTOR    512u
#define DMA_PIECE (1u << 20) /* bytes handed to the disk at once */

static inline struct ide_drive *selected(struct ide_channel *c)
{
    return &c->drive[(c->device & ATA_DEV) != 0];
}

static inline struct disk *disk_of(struct ide_channel *c)
{
    return scsi_unit_disk(selected(c)->unit);
}

static inline bool is_packet_drive(const struct ide_drive *d)
{
    return d->unit && scsi_unit_type(d->unit) == 5;
}

/* The wire has no state of its own: it is driven anew after a restore. */
static inline void ide_line(struct ide_channel *c, bool level)
{
    c->line = level;
    irq_set(&c->irq, level);
}

/* ---- ide_command.c --------------------------------------------------------------------------- */

void ide_run_command(struct ide_channel *c, uint8_t code); /* a write to the command register */
void ide_dma_started(struct ide_channel *c); /* the start bit, which a command awaits */
void ide_pio_in_end(struct ide_channel *c);  /* the host has read what was offered */
void ide_pio_out_end(struct ide_channel *c); /* the host has filled the buffer */
void ide_put_signature(struct ide_channel *c, unsigned drive);

/* How a command ends, and the line that says so. */
void ide_irq(struct ide_channel *c, bool level);
void ide_complete(struct ide_channel *c);
void ide_fail(struct ide_channel *c, uint8_t error);
void ide_dma_error(struct ide_channel *c);

/* The disk is done with the piece of ide_submit(). */
void ide_piece_done(struct ide_channel *c, int err);

/* ---- ide_packet.c ---------------------------------------------------------------------------- */

void ide_packet(struct ide_channel *c, unsigned flags); /* the command PACKET */
void ide_packet_start(struct ide_channel *c);           /* its CDB is in 'buf' */
void ide_packet_more(struct ide_channel *c);            /* the host has read a part of the answer */
void ide_packet_done(struct ide_channel *c);            /* the unit is done with c->rq */

/* ---- ide_dma.c ------------------------------------------------------------------------------- */

void ide_work_init(struct ide_channel *c);

/* What the channel did is void.  It shows 'status' now, or when a request in flight has come back:
 * until then it is busy, and the guest can begin nothing that would meet it. */
void ide_abandon(struct ide_channel *c, uint8_t status);

/* Hand c->iov to the disk, or c->rq to the unit; 'done' is ide_piece_done(), ide_packet_done(). */
void ide_submit(struct ide_channel *c, enum disk_op op, uint64_t off, uint64_t len, unsigned n_iov,
                uint32_t flags);
void ide_submit_packet(struct ide_channel *c);

/* The next up to 'want' bytes of guest memory into c->iov.  false: the table of the guest names no
 * memory, or ends too early. */
bool ide_gather(struct ide_channel *c, uint32_t want);
void ide_mark_written(struct ide_channel *c);
