/* SPDX-License-Identifier: GPL-2.0-or-later */
/* optical.c - a CD/DVD-ROM drive of MMC-6 over an ISO image; media come and go. */
#include <errno.h>

#include "base/bytes.h"
#include "scsi/unit.h"

#define SECTOR   2048u
#define CD_BYTES UINT64_C(900000000) /* larger media say that they are DVDs */

enum { MEDIA_NO_CHANGE = 0, MEDIA_EJECT_REQUEST = 1, MEDIA_NEW = 2, MEDIA_REMOVED = 3 };

static bool ready(struct scsi_unit *u, struct scsi_rq *rq)
{
    if (u->disk && u->disk->size >= SECTOR)
        return true;
    unit_sense(rq, SENSE_NOT_READY, u->tray_open ? ASC_NO_MEDIUM_TRAY_OPEN : ASC_NO_MEDIUM);
    return false;
}

static uint32_t sectors(const struct scsi_unit *u)
{
    return (uint32_t)MIN(u->disk->size / SECTOR, UINT32_MAX);
}

static bool is_dvd(const struct scsi_unit *u)
{
    return u->disk->size > CD_BYTES;
}

static void test_unit_ready(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    if (ready(u, rq))
        unit_good(rq);
}

static void read_done(struct disk_rq *d, int err)
{
    struct scsi_rq *rq = container_of(d, struct scsi_rq, disk);

    rq->moved = err ? 0 : (uint32_t)d->len;
    unit_disk_result(rq, err, ASC_READ_ERROR);
}

static void read_blocks(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint64_t len = (uint64_t)c->blocks * SECTOR, left = len;
    unsigned i = 0;

    if (!ready(u, rq))
        return;
    if (!range_ok(c->lba, c->blocks, sectors(u))) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        return;
    }
    if (len > rq->len || len > DISK_LEN_MAX) {
        unit_bad_cdb(rq, c->length_at);
        return;
    }
    if (!len) {
        unit_good(rq);
        return;
    }
    for (; left; i++) {
        rq->iov[i].iov_len = MIN(rq->iov[i].iov_len, left);
        left -= rq->iov[i].iov_len;
    }
    rq->disk = (struct disk_rq){ .op = DISK_READ, .off = c->lba * SECTOR, .len = len,
                                 .iov = rq->iov, .n_iov = i, .done = read_done };
    disk_submit(u->disk, &rq->disk);
}

static void read_capacity(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    if (!ready(u, rq))
        return;
    put_be32(rq->reply, sectors(u) - 1);
    put_be32(rq->reply + 4, SECTOR);
    unit_reply(rq, 8, 8);
}

/* ---- table of contents: one data track, and the lead-out; MMC-6 6.25 ------------------------- */

static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
    if (!msf) {
        put_be32(p, lba);
        return;
    }
    lba += 150;
    p[0] = 0;
    p[1] = (uint8_t)(lba / (75 * 60));
    p[2] = (uint8_t)(lba / 75 % 60);
    p[3] = (uint8_t)(lba % 75);
}

static size_t put_track(uint8_t *p, uint8_t track, uint32_t lba, bool msf)
{
    memset(p, 0, 8);
    p[1] = 0x14; /* ADR 1, data track */
    p[2] = track;
    put_address(p + 4, lba, msf);
    return 8;
}

/* Format 2, the raw lead-in: points A0, A1, A2 and track 1. */
static size_t raw_toc(const struct scsi_unit *u, uint8_t *p)
{
    static const uint8_t points[] = { 0xa0, 0xa1, 0xa2, 1 };
    size_t n = 4;

    for (unsigned i = 0; i < ARRAY_LEN(points); i++, n += 11) {
        memset(p + n, 0, 11);
        p[n] = 1;
        p[n + 1] = 0x14;
        p[n + 3] = points[i];
        if (points[i] == 0xa0 || points[i] == 0xa1)
            p[n + 8] = 1; /* first, last track */
        else
            put_address(p + n + 7, points[i] == 0xa2 ? sectors(u) : 0, true);
    }
    return n;
}

static void read_toc(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    bool msf = (c->cdb[1] & 2) != 0;
    unsigned format = c->cdb[2] & 15 ? c->cdb[2] & 15 : c->cdb[9] >> 6, from = c->cdb[6];
    uint8_t *p = rq->reply;
    size_t n = 4;

    if (!ready(u, rq))
        return;
    p[2] = p[3] = 1; /* first and last track, or session */
    switch (format) {
    case 0:
        if (from > 1 && from != 0xaa) {
            unit_bad_cdb(rq, 6);
            return;
        }
        if (from <= 1)
            n += put_track(p + n, 1, 0, msf);
        n += put_track(p + n, 0xaa, sectors(u), msf);
        break;
    case 1: n += put_track(p + n, 1, 0, msf); break;
    case 2: n = raw_toc(u, p); break;
    default: unit_bad_cdb(rq, 2); return;
    }
    put_be16(p, (uint16_t)(n - 2));
    unit_reply(rq, n, c->alloc);
}

/* ---- GET CONFIGURATION: MMC-6 6.6; features in ascending order ------------------------------- */

#define PROFILE_DVD_ROM 0x10
#define PROFILE_CD_ROM  0x08

static size_t feature(uint8_t *p, uint16_t code, uint8_t version, bool current, const void *data,
                      uint8_t n)
{
    put_be16(p, code);
    p[2] = (uint8_t)(version << 2 | 2 /* persistent */ | current);
    p[3] = n;
    memcpy(p + 4, data, n);
    return 4u + n;
}

static void get_configuration(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint16_t current = !u->disk ? 0 : is_dvd(u) ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
    uint8_t profiles[8] = { 0, PROFILE_DVD_ROM, current == PROFILE_DVD_ROM, 0,
                            0, PROFILE_CD_ROM, current == PROFILE_CD_ROM, 0 };
    const struct {
        uint16_t code;
        uint8_t version, n;
        bool current;
        const uint8_t *data;
    } features[] = {
        { 0x0000, 0, 8, true, profiles },
        { 0x0001, 2, 8, true, (const uint8_t[]){ 0, 0, 0, 1, 1, 0, 0, 0 } }, /* core: SCSI */
        { 0x0002, 1, 4, true, (const uint8_t[]){ 2, 0, 0, 0 } },             /* morphing: events */
        { 0x0003, 1, 4, true, (const uint8_t[]){ 0x29, 0, 0, 0 } },          /* removable, tray */
        { 0x0010, 0, 8, current != 0, (const uint8_t[]){ 0, 0, 8, 0, 0, 1, 0, 0 } }, /* readable */
        { 0x001e, 2, 4, current == PROFILE_CD_ROM, (const uint8_t[]){ 0, 0, 0, 0 } },
        { 0x001f, 1, 4, current == PROFILE_DVD_ROM, (const uint8_t[]){ 0, 0, 0, 0 } },
    };
    uint16_t from = get_be16(c->cdb + 2);
    uint8_t how = c->cdb[1] & 3, *p = rq->reply;
    size_t n = 8;

    if (how == 3) {
        unit_bad_cdb(rq, 1);
        return;
    }
    memset(p, 0, 8);
    put_be16(p + 6, current);
    for (unsigned i = 0; i < ARRAY_LEN(features); i++) {
        bool wanted = how == 2 ? features[i].code == from : features[i].code >= from;
        if (wanted && (how != 1 || features[i].current))
            n += feature(p + n, features[i].code, features[i].version, features[i].current,
                         features[i].data, features[i].n);
    }
    put_be32(p, (uint32_t)(n - 4));
    unit_reply(rq, n, c->alloc);
}

/* ---- GET EVENT STATUS NOTIFICATION, polled: MMC-6 6.7 ---------------------------------------- */

static void get_event_status(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint8_t *p = rq->reply;

    if (!(c->cdb[1] & 1)) { /* only polling */
        unit_bad_cdb(rq, 1);
        return;
    }
    memset(p, 0, 8);
    p[3] = 0x10; /* the media class is what we have */
    if (!(c->cdb[4] & 0x10)) {
        p[2] = 0x80; /* none of the classes asked for */
        put_be16(p, 2);
        unit_reply(rq, 4, c->alloc);
        return;
    }
    put_be16(p, 6);
    p[2] = 4;
    p[4] = u->media_event;
    p[5] = (uint8_t)((u->disk ? 2 : 0) | (u->tray_open ? 1 : 0));
    u->media_event = MEDIA_NO_CHANGE;
    unit_reply(rq, 8, c->alloc);
}

static void read_disc_information(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint8_t *p = rq->reply;

    if (!ready(u, rq))
        return;
    memset(p, 0, 34);
    put_be16(p, 32);
    p[2] = 0x0e;                 /* complete disc, complete session */
    p[3] = p[4] = p[5] = p[6] = 1; /* first track, sessions, first and last track of the last */
    p[7] = 0x20;                 /* unrestricted use */
    unit_reply(rq, 34, c->alloc);
}

static void mechanism_status(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    memset(rq->reply, 0, 8);
    rq->reply[1] = u->tray_open ? 0x10 : 0;
    unit_reply(rq, 8, c->alloc);
}

/* READ DVD STRUCTURE, format 0 (physical): enough for drivers that want the layer's size. */
static void read_dvd_structure(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint8_t *p = rq->reply;

    if (!ready(u, rq))
        return;
    if (!is_dvd(u) || c->cdb[7] != 0 || c->cdb[6] != 0) {
        unit_bad_cdb(rq, 7);
        return;
    }
    memset(p, 0, 2052);
    put_be16(p, 2050);
    p[4] = 0x01;               /* DVD-ROM, version 1 */
    p[5] = 0x0f;               /* 120 mm, rate unknown */
    p[6] = 0x01;               /* one layer */
    put_be32(p + 8, 0x30000);  /* first physical sector */
    put_be32(p + 12, 0x30000 + sectors(u) - 1);
    unit_reply(rq, 2052, c->alloc);
}

/* ---- the tray -------------------------------------------------------------------------------- */

static void prevent_allow(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    u->prevented = c->cdb[4] & 1;
    unit_good(rq);
}

static void start_stop(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    bool load = c->cdb[4] & 1, tray = c->cdb[4] & 2;

    if (!tray) {
        unit_good(rq);
        return;
    }
    if (load) {
        u->tray_open = 0;
        unit_good(rq);
        return;
    }
    if (u->prevented) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_REMOVAL_PREVENTED);
        return;
    }
    u->tray_open = 1;
    if (u->disk) {
        u->disk = NULL;
        u->media_event = MEDIA_REMOVED;
        if (u->eject)
            u->eject(u->eject_owner);
    }
    unit_good(rq);
}

int scsi_optical_change(struct scsi_unit *u, struct disk *medium, bool force)
{
    if (u->disk && u->prevented && !force)
        return -EBUSY;
    u->disk = medium;
    u->tray_open = 0;
    u->prevented = 0;
    u->media_event = medium ? MEDIA_NEW : MEDIA_REMOVED;
    if (medium) {
        u->attention_all = ASC_MEDIUM_CHANGED;
        unit_attention(u, 0, ASC_MEDIUM_CHANGED);
    }
    return 0;
}

void scsi_optical_on_eject(struct scsi_unit *u, void (*eject)(void *owner), void *owner)
{
    u->eject = eject;
    u->eject_owner = owner;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static const struct command {
    uint8_t opcode;
    void (*run)(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c);
} commands[] = {
    { TEST_UNIT_READY, test_unit_ready },
    { READ_10, read_blocks },
    { READ_12, read_blocks },
    { READ_CAPACITY_10, read_capacity },
    { READ_TOC, read_toc },
    { GET_CONFIGURATION, get_configuration },
    { GET_EVENT_STATUS, get_event_status },
    { READ_DISC_INFORMATION, read_disc_information },
    { MECHANISM_STATUS, mechanism_status },
    { READ_DVD_STRUCTURE, read_dvd_structure },
    { PREVENT_ALLOW_REMOVAL, prevent_allow },
    { START_STOP_UNIT, start_stop },
    /* These stand in unit.c, or with the transport. */
    { INQUIRY, NULL },
    { REQUEST_SENSE, NULL },
    { MODE_SENSE_6, NULL },
    { MODE_SENSE_10, NULL },
    { REPORT_LUNS, NULL },
};

static const struct command *find(uint8_t opcode)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i].opcode == opcode)
            return &commands[i];
    return NULL;
}

bool optical_knows(uint8_t opcode)
{
    return find(opcode) != NULL;
}

void optical_exec(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    const struct command *cmd = find(c->opcode);

    if (!cmd || !cmd->run)
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPCODE);
    else
        cmd->run(u, rq, c);
}

struct scsi_unit *scsi_optical_new(struct disk *medium, const struct scsi_identity *id)
{
    struct scsi_unit *u = calloc(1, sizeof *u);

    if (!u)
        return NULL;
    u->type = 5;
    u->disk = medium;
    u->id = *id;
    u->exec = optical_exec;
    return u;
}
