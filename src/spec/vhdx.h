/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhdx.h - numbers of the VHDX format, version 1.  Source: [MS-VHDX].  All little-endian. */
#pragma once

#include <stdint.h>

#define VHDX_MIB UINT64_C(0x100000)

#define VHDX_FILE_MAGIC     "vhdxfile"
#define VHDX_CREATOR_OFF    8
#define VHDX_CREATOR_LEN    512
#define VHDX_HEADER1_OFF    UINT64_C(0x10000)
#define VHDX_HEADER2_OFF    UINT64_C(0x20000)
#define VHDX_HEADER_SIZE    4096
#define VHDX_REGION1_OFF    UINT64_C(0x30000)
#define VHDX_REGION2_OFF    UINT64_C(0x40000)
#define VHDX_REGION_SIZE    UINT64_C(0x10000)
#define VHDX_FIRST_BLOCK    VHDX_MIB
#define VHDX_PAGE           4096 /* what the log works in */

/* Header */
#define VHDX_HDR_MAGIC       "head"
#define VHDX_HDR_CRC         4
#define VHDX_HDR_SEQ         8
#define VHDX_HDR_FILE_GUID   16
#define VHDX_HDR_DATA_GUID   32
#define VHDX_HDR_LOG_GUID    48
#define VHDX_HDR_LOG_VERSION 64
#define VHDX_HDR_VERSION     66
#define VHDX_HDR_LOG_LEN     68
#define VHDX_HDR_LOG_OFF     72

/* Region table */
#define VHDX_RGN_MAGIC    "regi"
#define VHDX_RGN_CRC      4
#define VHDX_RGN_COUNT    8
#define VHDX_RGN_ENTRIES  16
#define VHDX_RGN_ENTRY    32
#define VHDX_RGN_MAX      2047
#define VHDX_RGN_REQUIRED 1u

/* Log entry and descriptors */
#define VHDX_LOG_MAGIC       "loge"
#define VHDX_LOG_CRC         4
#define VHDX_LOG_LEN         8
#define VHDX_LOG_TAIL        12
#define VHDX_LOG_SEQ         16
#define VHDX_LOG_COUNT       24
#define VHDX_LOG_GUID        32
#define VHDX_LOG_FLUSHED     48
#define VHDX_LOG_LAST        56
#define VHDX_LOG_HEADER      64
#define VHDX_LOG_DESC        32
#define VHDX_LOG_DATA_DESC   "desc"
#define VHDX_LOG_ZERO_DESC   "zero"
#define VHDX_LOG_DATA_SECTOR "data"

/* Metadata table */
#define VHDX_META_MAGIC       "metadata"
#define VHDX_META_COUNT       10
#define VHDX_META_ENTRIES     32
#define VHDX_META_ENTRY       32
#define VHDX_META_MAX         2047
#define VHDX_META_TABLE       UINT64_C(0x10000)
#define VHDX_META_ITEM_MAX    VHDX_MIB
#define VHDX_META_USER        1u
#define VHDX_META_VIRTUAL     2u
#define VHDX_META_REQUIRED    4u
#define VHDX_PARAM_FIXED      1u /* LeaveBlocksAllocated */
#define VHDX_PARAM_HAS_PARENT 2u

/* BAT entries */
#define VHDX_BAT_STATE    UINT64_C(7)
#define VHDX_BAT_RESERVED UINT64_C(0xffff8)
#define VHDX_BAT_OFFSET   (~UINT64_C(0xfffff))
enum {
    VHDX_NOT_PRESENT = 0,
    VHDX_UNDEFINED = 1,
    VHDX_ZERO = 2,
    VHDX_UNMAPPED = 3,
    VHDX_FULL = 6,
    VHDX_PARTIAL = 7,
};

#define VHDX_CHUNK_SECTORS_SHIFT 23 /* sectors that one 1 MiB bitmap block describes */
#define VHDX_BITMAP_BLOCK        VHDX_MIB

#define VHDX_BLOCK_MIN     VHDX_MIB
#define VHDX_BLOCK_MAX     (256 * VHDX_MIB)
#define VHDX_SIZE_MAX      (UINT64_C(64) << 40)
#define VHDX_BAT_LEN_MAX   (513 * VHDX_MIB)
#define VHDX_META_LEN_MAX  (128 * VHDX_MIB)
#define VHDX_LOG_LEN_MAX   (128 * VHDX_MIB) /* our cap; the field could say 4 GiB */
#define VHDX_FILE_MAX      (UINT64_C(1) << 48)
#define VHDX_LOCATOR_MAX   256

/* GUIDs as they lie in the file. */
#define VHDX_GUID(a, b, c, ...)                                                               \
    { (a) & 0xff, ((a) >> 8) & 0xff, ((a) >> 16) & 0xff, ((a) >> 24) & 0xff, (b) & 0xff,      \
      ((b) >> 8) & 0xff, (c) & 0xff, ((c) >> 8) & 0xff, __VA_ARGS__ }

#define VHDX_REGION_BAT \
    VHDX_GUID(0x2DC27766u, 0xF623, 0x4200, 0x9D, 0x64, 0x11, 0x5E, 0x9B, 0xFD, 0x4A, 0x08)
#define VHDX_REGION_META \
    VHDX_GUID(0x8B7CA206u, 0x4790, 0x4B9A, 0xB8, 0xFE, 0x57, 0x5F, 0x05, 0x0F, 0x88, 0x6E)
#define VHDX_ITEM_PARAMS \
    VHDX_GUID(0xCAA16737u, 0xFA36, 0x4D43, 0xB3, 0xB6, 0x33, 0xF0, 0xAA, 0x44, 0xE7, 0x6B)
#define VHDX_ITEM_SIZE \
    VHDX_GUID(0x2FA54224u, 0xCD1B, 0x4876, 0xB2, 0x11, 0x5D, 0xBE, 0xD8, 0x3B, 0xF4, 0xB8)
#define VHDX_ITEM_PAGE83 \
    VHDX_GUID(0xBECA12ABu, 0xB2E6, 0x4523, 0x93, 0xEF, 0xC3, 0x09, 0xE0, 0x00, 0xC7, 0x46)
#define VHDX_ITEM_LOGICAL \
    VHDX_GUID(0x8141BF1Du, 0xA96F, 0x4709, 0xBA, 0x47, 0xF2, 0x33, 0xA8, 0xFA, 0xAB, 0x5F)
#define VHDX_ITEM_PHYSICAL \
    VHDX_GUID(0xCDA348C7u, 0x445D, 0x4471, 0x9C, 0xC9, 0xE9, 0x88, 0x52, 0x51, 0xC5, 0x56)
#define VHDX_ITEM_LOCATOR \
    VHDX_GUID(0xA8D35F2Du, 0xB30B, 0x454D, 0xAB, 0xF7, 0xD3, 0xD8, 0x48, 0x34, 0xAB, 0x0C)
#define VHDX_ITEM_INCOMPLETE \
    VHDX_GUID(0x71CC85F0u, 0x1B69, 0x4E28, 0x95, 0x58, 0xC3, 0xBF, 0x83, 0xAE, 0x75, 0xD3)
#define VHDX_LOCATOR_TYPE \
    VHDX_GUID(0xB04AEFB7u, 0xD19E, 0x4A81, 0xB7, 0x89, 0x25, 0xB8, 0xE9, 0x44, 0x59, 0x13)
