/* SPDX-License-Identifier: GPL-2.0-or-later */
/* spec/ata.h - numbers of ATA/ATAPI-6 (T13/1410D) and of the PIIX4's bus master registers. */
#pragma once

/* Task file: offsets in the command block; the control block has one register. */
enum ata_reg {
    ATA_DATA = 0, ATA_ERROR = 1, ATA_FEATURES = 1, ATA_COUNT = 2, ATA_LBA_LOW = 3, ATA_LBA_MID = 4,
    ATA_LBA_HIGH = 5, ATA_DEVICE = 6, ATA_STATUS = 7, ATA_COMMAND = 7,
};

enum ata_status {
    ATA_ERR = 0x01, ATA_DRQ = 0x08, ATA_DSC = 0x10, ATA_DF = 0x20, ATA_DRDY = 0x40, ATA_BSY = 0x80,
};
enum ata_error { ATA_ABRT = 0x04, ATA_IDNF = 0x10, ATA_UNC = 0x40 };
enum ata_device { ATA_DEV = 0x10, ATA_LBA = 0x40 };
enum ata_control { ATA_NIEN = 0x02, ATA_SRST = 0x04, ATA_HOB = 0x80 };

enum ata_command {
    ATA_NOP = 0x00, ATA_DATA_SET_MANAGEMENT = 0x06, ATA_DEVICE_RESET = 0x08,
    ATA_READ_SECTORS = 0x20, ATA_READ_SECTORS_NR = 0x21, ATA_READ_SECTORS_EXT = 0x24,
    ATA_READ_DMA_EXT = 0x25, ATA_READ_MAX_EXT = 0x27, ATA_READ_MULTIPLE_EXT = 0x29,
    ATA_WRITE_SECTORS = 0x30, ATA_WRITE_SECTORS_NR = 0x31, ATA_WRITE_SECTORS_EXT = 0x34,
    ATA_WRITE_DMA_EXT = 0x35, ATA_WRITE_MULTIPLE_EXT = 0x39, ATA_WRITE_DMA_FUA_EXT = 0x3d,
    ATA_VERIFY = 0x40, ATA_VERIFY_EXT = 0x42, ATA_DIAGNOSTIC = 0x90, ATA_INIT_PARAMS = 0x91,
    ATA_PACKET = 0xa0, ATA_IDENTIFY_PACKET = 0xa1, ATA_READ_MULTIPLE = 0xc4,
    ATA_WRITE_MULTIPLE = 0xc5, ATA_SET_MULTIPLE = 0xc6, ATA_READ_DMA = 0xc8, ATA_WRITE_DMA = 0xca,
    ATA_STANDBY_NOW = 0xe0, ATA_IDLE_NOW = 0xe1, ATA_STANDBY = 0xe2, ATA_IDLE = 0xe3,
    ATA_CHECK_POWER = 0xe5, ATA_SLEEP = 0xe6, ATA_FLUSH = 0xe7, ATA_FLUSH_EXT = 0xea,
    ATA_IDENTIFY = 0xec, ATA_SET_FEATURES = 0xef, ATA_READ_MAX = 0xf8,
};

/* ATAPI: COUNT is the interrupt reason. */
enum { ATAPI_CD = 0x01, ATAPI_IO = 0x02 };

/* Bus master registers, per channel 8 bytes. */
enum { BM_COMMAND = 0, BM_STATUS = 2, BM_PRDT = 4 };
enum { BM_START = 0x01, BM_TO_MEMORY = 0x08 };
enum { BM_ACTIVE = 0x01, BM_ERROR = 0x02, BM_INTERRUPT = 0x04, BM_CAPABLE = 0x60 };
