/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cdb.c - one table of commands drives the decoder; SPC-4, SBC-3, MMC-6. */
#include "scsi/cdb.h"

#include "base/bytes.h"

enum layout {
    L6,     /* LBA 21 bits @1, length @4 (0 means 256) */
    L10,    /* LBA @2, length 16 bits @7 */
    L12,    /* LBA @2, length 32 bits @6 */
    L16,    /* LBA 64 bits @2, length 32 bits @10 */
    A6,     /* allocation length: byte 4 */
    A6W,    /* 16 bits @3 */
    A10,    /* 16 bits @7 */
    A12,    /* 32 bits @6 */
    A16,    /* 32 bits @10 */
    A_RESERVE, /* 32 bits @5 */
    A_DVD,  /* 16 bits @8 */
    PLAIN,
};

struct row {
    struct scsi_cmd_info info;
    enum layout layout;
    enum scsi_data data;
};

#define ROW(op, length, lay, dir) { { op, 0, false, length, #op }, lay, dir }
#define ROW_SA(op, sa, length, lay, dir) { { op, sa, true, length, #sa }, lay, dir }

static const struct row rows[] = {
    ROW(TEST_UNIT_READY, 6, PLAIN, DATA_NONE),
    ROW(REQUEST_SENSE, 6, A6, DATA_IN),
    ROW(READ_6, 6, L6, DATA_IN),
    ROW(WRITE_6, 6, L6, DATA_OUT),
    ROW(INQUIRY, 6, A6W, DATA_IN),
    ROW(MODE_SELECT_6, 6, A6, DATA_OUT),
    ROW(RESERVE_6, 6, PLAIN, DATA_NONE),
    ROW(RELEASE_6, 6, PLAIN, DATA_NONE),
    ROW(MODE_SENSE_6, 6, A6, DATA_IN),
    ROW(START_STOP_UNIT, 6, PLAIN, DATA_NONE),
    ROW(PREVENT_ALLOW_REMOVAL, 6, PLAIN, DATA_NONE),
    ROW(READ_CAPACITY_10, 10, PLAIN, DATA_IN),
    ROW(READ_10, 10, L10, DATA_IN),
    ROW(WRITE_10, 10, L10, DATA_OUT),
    ROW(WRITE_AND_VERIFY_10, 10, L10, DATA_OUT),
    ROW(VERIFY_10, 10, L10, DATA_OUT),
    ROW(SYNCHRONIZE_CACHE_10, 10, L10, DATA_NONE),
    ROW(WRITE_SAME_10, 10, L10, DATA_OUT),
    ROW(UNMAP, 10, A10, DATA_OUT),
    ROW(READ_TOC, 10, A10, DATA_IN),
    ROW(GET_CONFIGURATION, 10, A10, DATA_IN),
    ROW(GET_EVENT_STATUS, 10, A10, DATA_IN),
    ROW(READ_DISC_INFORMATION, 10, A10, DATA_IN),
    ROW(MODE_SELECT_10, 10, A10, DATA_OUT),
    ROW(MODE_SENSE_10, 10, A10, DATA_IN),
    ROW(PERSISTENT_RESERVE_IN, 10, A10, DATA_IN),
    ROW(PERSISTENT_RESERVE_OUT, 10, A_RESERVE, DATA_OUT),
    ROW(READ_16, 16, L16, DATA_IN),
    ROW(WRITE_16, 16, L16, DATA_OUT),
    ROW(WRITE_AND_VERIFY_16, 16, L16, DATA_OUT),
    ROW(VERIFY_16, 16, L16, DATA_OUT),
    ROW(SYNCHRONIZE_CACHE_16, 16, L16, DATA_NONE),
    ROW(WRITE_SAME_16, 16, L16, DATA_OUT),
    ROW_SA(SERVICE_ACTION_IN_16, SAI_READ_CAPACITY_16, 16, A16, DATA_IN),
    ROW(REPORT_LUNS, 12, A12, DATA_IN),
    ROW_SA(MAINTENANCE_IN, MI_SUPPORTED_OPCODES, 12, A12, DATA_IN),
    ROW(READ_12, 12, L12, DATA_IN),
    ROW(WRITE_12, 12, L12, DATA_OUT),
    ROW(READ_DVD_STRUCTURE, 12, A_DVD, DATA_IN),
    ROW(WRITE_AND_VERIFY_12, 12, L12, DATA_OUT),
    ROW(VERIFY_12, 12, L12, DATA_OUT),
    ROW(MECHANISM_STATUS, 12, A_DVD, DATA_IN),
};

const struct scsi_cmd_info *scsi_cmd_info(unsigned i)
{
    return i < ARRAY_LEN(rows) ? &rows[i].info : NULL;
}

static const struct row *find(const uint8_t *cdb)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct scsi_cmd_info *f = &rows[i].info;
        if (f->opcode == cdb[0] && (!f->has_service || f->service == (cdb[1] & 0x1f)))
            return &rows[i];
    }
    return NULL;
}

static void take_lengths(const uint8_t *c, enum layout layout, struct scsi_cmd *ret)
{
    switch (layout) {
    case L6:
        ret->lba = get_be32(c) & 0x1fffff;
        ret->blocks = c[4] ? c[4] : 256;
        ret->length_at = 4;
        break;
    case L10:
        ret->lba = get_be32(c + 2);
        ret->blocks = get_be16(c + 7);
        ret->length_at = 7;
        break;
    case L12:
        ret->lba = get_be32(c + 2);
        ret->blocks = get_be32(c + 6);
        ret->length_at = 6;
        break;
    case L16:
        ret->lba = get_be64(c + 2);
        ret->blocks = get_be32(c + 10);
        ret->length_at = 10;
        break;
    case A6: ret->alloc = c[4]; break;
    case A6W: ret->alloc = get_be16(c + 3); break;
    case A10: ret->alloc = get_be16(c + 7); break;
    case A12: ret->alloc = get_be32(c + 6); break;
    case A16: ret->alloc = get_be32(c + 10); break;
    case A_RESERVE: ret->alloc = get_be32(c + 5); break;
    case A_DVD: ret->alloc = get_be16(c + 8); break;
    case PLAIN: break;
    }
}

bool scsi_cmd_decode(const uint8_t cdb[SCSI_CDB_MAX], struct scsi_cmd *ret)
{
    const struct row *r = find(cdb);

    if (!r)
        return false;
    *ret = (struct scsi_cmd){
        .opcode = cdb[0],
        .service = cdb[1] & 0x1f,
        .name = r->info.name,
        .data = r->data,
        .fua = r->layout != L6 && (cdb[1] & 0x08),
        .unmap = (cdb[1] & 0x08) != 0,
        .anchor = (cdb[1] & 0x10) != 0,
        .ndob = (cdb[1] & 0x01) != 0,
        .bytchk = cdb[1] >> 1 & 3,
        .control = cdb[r->info.len - 1],
        .control_at = (uint8_t)(r->info.len - 1),
        .cdb = cdb,
    };
    take_lengths(cdb, r->layout, ret);
    return true;
}
