/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide.h - the PIIX4's IDE function: two channels of two drives, PIO and bus-master DMA.
 *
 * Spec: ATA/ATAPI-6 (T13/1410D); Intel 82371AB (PIIX4) data sheet, section 6 (bus master registers).
 * Drives: ATA disks (LBA28, LBA48, CHS, multiple, flush, TRIM) over a scsi unit's disk, ATAPI CD
 * drives over a scsi unit. */
#pragma once

#include "bus/pci.h"
#include "guest/gmem.h"
#include "scsi/scsi.h"
#include "spec/ata.h"

#define IDE_CHANNELS     2
#define IDE_DRIVES       2
#define IDE_MULTIPLE_MAX 16u           /* sectors of READ/WRITE MULTIPLE */
#define IDE_BUFFER       (128u * 1024) /* PIO data, and what ATAPI moves at once */
#define IDE_IOV_MAX      256

struct ide_drive {
    struct scsi_unit *unit;   /* NULL: no drive */
    struct scsi_unit *hidden; /* what 'unit' was before ide_hide() */
    uint8_t driven;           /* a driver has chosen a transfer mode since the last reset */
    uint8_t multiple;         /* sectors, 0: not set */
    uint16_t cyls;            /* translation in force (INITIALIZE DEVICE PARAMETERS) */
    uint8_t heads, sectors;
    uint8_t dma_mode;         /* as SET FEATURES chose: 0x20 | n multiword, 0x40 | n ultra */
    uint8_t write_cache;
    uint8_t sense[SCSI_SENSE_LEN]; /* CD: of the last command, for REQUEST SENSE; [0] 0: none */
    char serial[21];
};

enum ide_phase {
    IDE_IDLE,
    IDE_PIO_IN,   /* the host reads 'buf' through the data port */
    IDE_PIO_OUT,  /* the host fills it */
    IDE_PACKET,   /* the host writes a 12-byte CDB */
    IDE_WAIT_DMA, /* a DMA command waits for the start bit */
    IDE_BUSY,     /* a request is with the disk */
};

struct ide_channel {
    struct ide *ide;
    unsigned index;
    struct irq_line irq;
    uint8_t line; /* its level */
    struct ide_drive drive[IDE_DRIVES];
    struct io_range command_io, control_io;

    /* Task file; [1] holds the previous write (the high bytes of LBA48 commands). */
    uint8_t features[2], count[2], lba_low[2], lba_mid[2], lba_high[2];
    uint8_t device, status, error, control, command;

    uint8_t phase;        /* enum ide_phase */
    uint8_t write;        /* direction of the command in execution */
    uint8_t ext;          /* LBA48 */
    uint8_t dma;
    uint8_t fua;
    uint64_t lba;         /* of the next piece */
    uint32_t left;        /* sectors still to do */
    uint32_t per_irq;     /* PIO: sectors between interrupts */
    uint32_t at, size;    /* data port: position and end in 'buf' */
    uint32_t atapi_left;  /* ATAPI PIO: bytes of the answer not yet announced */
    uint8_t buf[IDE_BUFFER];

    /* Bus master. */
    uint8_t bm_command, bm_status;
    uint32_t bm_prdt;

    /* The request in flight; its result is taken on the loop's thread under the bus lock. */
    struct work start;    /* hands 'rq' to the disk, on the loop */
    uint64_t generation;  /* a reset makes the answer of an older request void */
    uint64_t rq_generation;
    bool in_flight;       /* nothing of the request changes, and BSY stays, until it is back */
    uint8_t reset_status; /* what a reset shows after that */
    struct ide_drive *rq_drive;
    struct scsi_rq rq;
    struct disk_rq disk_rq;
    bool disk_direct;     /* disk_rq is in flight, not rq */
    struct iovec iov[IDE_IOV_MAX];
    uint64_t prd_gpa[IDE_IOV_MAX]; /* where iov[i] lies in guest memory */
    uint32_t dma_bytes;
    unsigned n_iov;
    uint32_t prd_at;      /* how far the PRD table was consumed, in entries */
    uint32_t prd_off;     /* and inside the entry */
};

struct ide {
    struct bus *bus;
    struct gmem *gmem;
    struct pci_dev pci;
    struct ide_channel channel[IDE_CHANNELS];
    unsigned n_busy;
    void (*quiet)(void *owner); /* the last request in flight has come back */
    void *quiet_owner;
};
extern const struct device_ops ide_device;

/* 'irq' goes to ISA lines 14 and 15.  Disks of the units live on the bus's loop. */
void ide_init(struct ide *ide, struct pci_bus *pci, uint8_t devfn, struct gmem *gmem,
              const struct irq_line irq[IDE_CHANNELS]);
void ide_done(struct ide *ide); /* nothing in flight */

/* Before the machine runs, or an ATAPI unit any time.  The unit stays the caller's. */
void ide_attach(struct ide *ide, unsigned channel, unsigned drive, struct scsi_unit *u,
                const char *serial);
bool ide_busy(const struct ide *ide); /* bus lock held */

/* While the guest uses a disk by another way it is not there, for two views of one disk would each
 * cache what the other writes.  false: a driver uses it already, it stays.  Takes the bus lock. */
bool ide_hide(struct ide *ide, unsigned channel, unsigned drive);
void ide_show(struct ide *ide, unsigned channel, unsigned drive);
