/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhd.h - numbers of the VHD format, version 1.  Source: Virtual Hard Disk Image Format
 * Specification 1.0 (Microsoft, 2006).  All big-endian; addresses are 512-byte sectors. */
#pragma once

#include <stdint.h>

#define VHD_SECTOR       512
#define VHD_FOOTER_SIZE  512
#define VHD_HEADER_SIZE  1024
#define VHD_COOKIE       "conectix"
#define VHD_HDR_COOKIE   "cxsparse"
#define VHD_VERSION      0x00010000u
#define VHD_EPOCH        946684800 /* 2000-01-01 in Unix time */
#define VHD_BAT_NONE     0xffffffffu
#define VHD_SIZE_MAX     (UINT64_C(2040) << 30)
#define VHD_BLOCK_MIN    4096u
#define VHD_BLOCK_MAX    (256u << 20)
#define VHD_N_BAT_MAX    (1u << 24) /* our cap: 8 times what 2040 GiB of 512 KiB blocks need */
#define VHD_NONE64       UINT64_MAX

enum { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFF = 4 };

/* Footer */
#define VHD_F_FEATURES   8
#define VHD_F_VERSION    12
#define VHD_F_DATA_OFF   16
#define VHD_F_TIME       24
#define VHD_F_APP        28
#define VHD_F_APP_VER    32
#define VHD_F_HOST_OS    36
#define VHD_F_ORIG_SIZE  40
#define VHD_F_SIZE       48
#define VHD_F_CYLS       56
#define VHD_F_HEADS      58
#define VHD_F_SECTORS    59
#define VHD_F_TYPE       60
#define VHD_F_CHECKSUM   64
#define VHD_F_UUID       68
#define VHD_F_SAVED      84

/* Dynamic header */
#define VHD_H_DATA_OFF    8
#define VHD_H_BAT_OFF     16
#define VHD_H_VERSION     24
#define VHD_H_N_BAT       28
#define VHD_H_BLOCK       32
#define VHD_H_CHECKSUM    36
#define VHD_H_PARENT_UUID 40
#define VHD_H_PARENT_TIME 56
#define VHD_H_PARENT_NAME 64
#define VHD_H_NAME_LEN    512
#define VHD_H_LOCATORS    576
#define VHD_LOCATOR_SIZE  24
#define VHD_LOCATORS      8
#define VHD_LOCATOR_BYTES_MAX 65536

#define VHD_LOC_W2RU 0x57327275u /* relative path, UTF-16LE */
#define VHD_LOC_W2KU 0x57326b75u /* absolute path, UTF-16LE */
