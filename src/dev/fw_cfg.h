/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg.h - how SeaBIOS asks the machine what it is: named items, by port or by DMA.
 *
 * Source: QEMU's docs/specs/fw_cfg.rst; SeaBIOS src/fw/paravirt.c.  SeaBIOS writes nothing back. */
#pragma once

#include "bus/bus.h"
#include "guest/gmem.h"

#define FW_CFG_PORT     0x510 /* selector, data; DMA address at 0x514 */
#define FW_CFG_LEN      12
#define FW_CFG_ITEMS    32    /* numbered */
#define FW_CFG_FILES    32
#define FW_CFG_NAME_MAX 55

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_N_CPUS = 0x05,
    FW_CFG_BOOT_MENU = 0x0e,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
};

struct fw_cfg_item {
    char name[FW_CFG_NAME_MAX + 1]; /* files */
    uint8_t *data;                  /* heap, ours */
    uint32_t size;
};

struct fw_cfg {
    struct bus *bus;
    struct gmem *gmem;
    struct fw_cfg_item item[FW_CFG_ITEMS], file[FW_CFG_FILES];
    unsigned n_files;
    uint16_t key;
    uint32_t at;    /* next byte of the selected item */
    uint32_t dma_high;
    struct io_range io;
};
extern const struct device_ops fw_cfg_device;

void fw_cfg_init(struct fw_cfg *f, struct bus *bus, struct gmem *gmem);
void fw_cfg_done(struct fw_cfg *f);

/* Copies 'n' bytes.  Before the machine runs.  -ENOMEM; -ENOSPC: too many files. */
int fw_cfg_set(struct fw_cfg *f, enum fw_cfg_key key, const void *data, uint32_t n);
int fw_cfg_set_le(struct fw_cfg *f, enum fw_cfg_key key, uint64_t value, unsigned bytes);
int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, uint32_t n);
