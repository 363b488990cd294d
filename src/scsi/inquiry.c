/* SPDX-License-Identifier: GPL-2.0-or-later */
/* inquiry.c - INQUIRY and vital product data; SPC-4 6.4 and 7.8, SBC-3 6.5. */
#include "base/bytes.h"
#include "scsi/unit.h"

#define VENDOR   "Msft    " /* hv_storvsc lets WRITE SAME pass for this vendor only */
#define REVISION "1.0 "

/* A text field of fixed width, padded with blanks. */
static void put_text(uint8_t *to, const char *text, size_t n)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < n; i++)
        to[i] = i < len ? (uint8_t)text[i] : ' ';
}

static size_t standard(const struct scsi_unit *u, uint8_t *p)
{
    static const uint16_t versions[] = { 0x00a0 /* SAM-5 */, 0x0460 /* SPC-4 */, 0x04c0 /* SBC-3 */ };

    memset(p, 0, 74);
    p[0] = u->type;
    p[1] = u->type == 5 ? 0x80 : 0; /* removable medium */
    p[2] = 6;                       /* SPC-4 */
    p[3] = 0x02;                    /* response data format */
    p[4] = 74 - 5;
    p[7] = 0x02;                    /* command queuing */
    put_text(p + 8, VENDOR, 8);
    put_text(p + 16, u->type == 5 ? "Virtual DVD-ROM" : "Virtual Disk", 16);
    put_text(p + 32, REVISION, 4);
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++)
        put_be16(p + 58 + 2 * i, versions[i]);
    return 74;
}

/* ---- VPD pages: each writes its body behind the 4-byte head and returns its length ----------- */

static size_t vpd_serial(const struct scsi_unit *u, uint8_t *p)
{
    size_t n = strlen(u->id.serial);

    memcpy(p, u->id.serial, n);
    return n;
}

/* Two designators of the logical unit: NAA, and T10 vendor id with the serial number. */
static size_t vpd_identification(const struct scsi_unit *u, uint8_t *p)
{
    size_t n = strlen(u->id.serial);

    p[0] = 0x01; /* binary */
    p[1] = 0x03; /* NAA */
    p[2] = 0;
    p[3] = sizeof u->id.naa;
    memcpy(p + 4, u->id.naa, sizeof u->id.naa);
    p += 4 + sizeof u->id.naa;
    p[0] = 0x02; /* ASCII */
    p[1] = 0x01; /* T10 vendor id */
    p[2] = 0;
    p[3] = (uint8_t)(8 + n);
    put_text(p + 4, VENDOR, 8);
    memcpy(p + 12, u->id.serial, n);
    return 4 + sizeof u->id.naa + 12 + n;
}

/* Block limits: SBC-3 6.5.3; offsets here are those of the page minus 4. */
static size_t vpd_limits(const struct scsi_unit *u, uint8_t *p)
{
    const struct disk *d = u->disk;
    uint32_t max_blocks = DISK_LEN_MAX / d->block;

    memset(p, 0, 0x3c);
    put_be16(p + 2, (uint16_t)(d->phys_block / d->block)); /* optimal granularity */
    put_be32(p + 4, max_blocks);
    if (d->discard_block) {
        put_be32(p + 16, UINT32_MAX);        /* unmap: LBA count */
        put_be32(p + 20, SCSI_REPLY_MAX / 16 - 1); /* and descriptors */
        put_be32(p + 24, MAX(d->discard_block / d->block, 1u));
        put_be32(p + 28, UINT32_C(1) << 31); /* alignment 0 is valid */
    }
    put_be64(p + 32, max_blocks); /* WRITE SAME */
    return 0x3c;
}

static size_t vpd_characteristics(const struct scsi_unit *u, uint8_t *p)
{
    memset(p, 0, 0x3c);
    put_be16(p, u->disk->rotational ? 7200 : 1);
    return 0x3c;
}

/* Logical block provisioning: SBC-3 6.5.5. */
static size_t vpd_provisioning(const struct scsi_unit *u, uint8_t *p)
{
    memset(p, 0, 4);
    if (u->disk->discard_block) {
        p[1] = 0x80 | 0x40 | 0x20; /* UNMAP, WRITE SAME(16) and (10) with UNMAP */
        p[2] = 2;                  /* thin */
    } else {
        p[2] = 1;                  /* resource provisioned */
    }
    return 4;
}

static const struct vpd {
    uint8_t page;
    bool disk_only;
    size_t (*body)(const struct scsi_unit *u, uint8_t *p);
} vpds[] = {
    { 0x00, false, NULL },
    { 0x80, false, vpd_serial },
    { 0x83, false, vpd_identification },
    { 0xb0, true, vpd_limits },
    { 0xb1, true, vpd_characteristics },
    { 0xb2, true, vpd_provisioning },
};

static bool has_page(const struct scsi_unit *u, const struct vpd *v)
{
    return !v->disk_only || u->type == 0;
}

void unit_inquiry(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    uint8_t *p = rq->reply;
    size_t n = 0;

    if (!(c->cdb[1] & 1)) {
        if (c->cdb[2]) /* a page code without EVPD */
            unit_bad_cdb(rq, 2);
        else
            unit_reply(rq, standard(u, p), c->alloc);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(vpds); i++) {
        const struct vpd *v = &vpds[i];
        if (!has_page(u, v))
            continue;
        if (c->cdb[2] == 0) { /* the list of pages */
            p[4 + n++] = v->page;
            continue;
        }
        if (v->page != c->cdb[2])
            continue;
        n = v->body(u, p + 4);
        goto reply;
    }
    if (c->cdb[2] != 0) {
        unit_bad_cdb(rq, 2);
        return;
    }
reply:
    p[0] = u->type;
    p[1] = c->cdb[2];
    put_be16(p + 2, (uint16_t)n);
    unit_reply(rq, n + 4, c->alloc);
}
