/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mode.c - mode pages: SPC-4 7.5, SBC-3 6.4, MMC-6 appendix for the capabilities page. */
#include "base/bytes.h"
#include "scsi/unit.h"

#define WCE 0x04 /* page 8, byte 2 */

enum page_control { PC_CURRENT, PC_CHANGEABLE, PC_DEFAULT, PC_SAVED };

/* ---- pages: body behind the two-byte head; 'pc' chooses current values or the mask of changeable ones -- */

static size_t page_recovery(const struct scsi_unit *u, enum page_control pc, uint8_t *p)
{
    memset(p, 0, 10);
    if (pc != PC_CHANGEABLE)
        p[0] = 0xc0; /* AWRE, ARRE */
    return 10;
}

static size_t page_caching(const struct scsi_unit *u, enum page_control pc, uint8_t *p)
{
    bool cached = pc == PC_DEFAULT ? u->disk->write_cache : u->write_cache;

    memset(p, 0, 18);
    p[0] = pc == PC_CHANGEABLE || cached ? WCE : 0;
    return 18;
}

static size_t page_control(const struct scsi_unit *u, enum page_control pc, uint8_t *p)
{
    memset(p, 0, 10);
    if (pc != PC_CHANGEABLE)
        p[1] = 0x10; /* unrestricted reordering */
    return 10;
}

static size_t page_exceptions(const struct scsi_unit *u, enum page_control pc, uint8_t *p)
{
    memset(p, 0, 10);
    return 10;
}

/* CD/DVD capabilities and mechanical status, page 2A. */
static size_t page_capabilities(const struct scsi_unit *u, enum page_control pc, uint8_t *p)
{
    memset(p, 0, 20);
    if (pc == PC_CHANGEABLE)
        return 20;
    p[0] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
    p[2] = 0x70; /* mode 2 form 1 and 2, multi-session */
    p[4] = 0x29 | (u->prevented ? 0x02 : 0); /* tray, ejects, locks; locked now? */
    put_be16(p + 6, 11080);  /* kB/s, 8x DVD */
    put_be16(p + 10, 2048);  /* buffer, kB */
    put_be16(p + 12, 11080);
    return 20;
}

static const struct page {
    uint8_t code, type; /* type of unit that has it; 0xff: any */
    size_t (*body)(const struct scsi_unit *u, enum page_control pc, uint8_t *p);
} pages[] = {
    { 0x01, 0xff, page_recovery }, { 0x08, 0, page_caching },      { 0x0a, 0xff, page_control },
    { 0x1c, 0xff, page_exceptions }, { 0x2a, 5, page_capabilities },
};

static bool has_page(const struct scsi_unit *u, const struct page *pg, uint8_t want)
{
    return (pg->type == 0xff || pg->type == u->type) && (want == 0x3f || want == pg->code);
}

/* Block descriptor: short (8 bytes) or long (16); returns its size. */
static size_t block_descriptor(const struct scsi_unit *u, bool is_long, uint8_t *p)
{
    uint64_t blocks = u->disk->size / u->disk->block;

    if (is_long) {
        memset(p, 0, 16);
        put_be64(p, blocks);
        put_be32(p + 12, u->disk->block);
        return 16;
    }
    memset(p, 0, 8);
    put_be32(p, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks);
    put_be32(p + 4, u->disk->block); /* 24 bits: byte 4 is density 0 */
    return 8;
}

void unit_mode_sense(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    bool ten = c->opcode == MODE_SENSE_10, found = false;
    uint8_t *p = rq->reply, want = c->cdb[2] & 0x3f, sub = c->cdb[3];
    enum page_control pc = c->cdb[2] >> 6;
    size_t head = ten ? 8 : 4, n = head;

    if (pc == PC_SAVED) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, 0x3900); /* saving parameters not supported */
        return;
    }
    if (sub != 0 && sub != 0xff) {
        unit_bad_cdb(rq, 3);
        return;
    }
    memset(p, 0, head);
    if (!(c->cdb[1] & 0x08) && u->type == 0)
        n += block_descriptor(u, ten && (c->cdb[1] & 0x10), p + n);
    size_t descriptor = n - head;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        if (!has_page(u, &pages[i], want))
            continue;
        size_t body = pages[i].body(u, pc, p + n + 2);
        p[n] = pages[i].code;
        p[n + 1] = (uint8_t)body;
        n += 2 + body;
        found = true;
    }
    if (!found && want != 0x3f) {
        unit_bad_cdb(rq, 2);
        return;
    }
    uint8_t device = u->type == 0 ? (u->disk->read_only ? 0x80 : 0) | 0x10 /* DPOFUA */ : 0;
    if (ten) {
        put_be16(p, (uint16_t)(n - 2));
        p[3] = device;
        p[4] = descriptor == 16; /* LONGLBA */
        put_be16(p + 6, (uint16_t)descriptor);
    } else {
        p[0] = (uint8_t)(n - 1);
        p[2] = device;
        p[3] = (uint8_t)descriptor;
    }
    unit_reply(rq, n, c->alloc);
}

/* Take one page of a MODE SELECT list at p[at]; only what is changeable may differ from what is. */
static bool take_page(struct scsi_unit *u, struct scsi_rq *rq, size_t at, size_t n, uint8_t *wce)
{
    const uint8_t *p = rq->reply + at;

    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        uint8_t now[32], mask[32];
        if (!has_page(u, &pages[i], p[0] & 0x3f) || (p[0] & 0x3f) == 0x3f)
            continue;
        size_t body = pages[i].body(u, PC_CURRENT, now);
        pages[i].body(u, PC_CHANGEABLE, mask);
        if (body != n - 2)
            return unit_bad_parameter(rq, (unsigned)at + 1), false;
        for (size_t k = 0; k < body; k++)
            if ((p[2 + k] ^ now[k]) & ~mask[k])
                return unit_bad_parameter(rq, (unsigned)(at + 2 + k)), false;
        if (pages[i].code == 0x08)
            *wce = (p[2] & WCE) != 0;
        return true;
    }
    unit_bad_parameter(rq, (unsigned)at);
    return false;
}

/* We cannot format: a block descriptor of 'n' bytes behind the head must say what is. */
static bool take_descriptor(struct scsi_unit *u, struct scsi_rq *rq, bool ten, size_t n)
{
    const uint8_t *p = rq->reply;
    bool is_long = ten && (p[4] & 1);
    unsigned at = (ten ? 8 : 4) + (is_long ? 12 : 5);

    if (!n)
        return true;
    if (n != (is_long ? 16 : 8))
        return unit_bad_parameter(rq, ten ? 6 : 3), false;
    if ((is_long ? get_be32(p + at) : get_be32(p + at - 1) & 0xffffff) != u->disk->block)
        return unit_bad_parameter(rq, at), false;
    return true;
}

void unit_mode_select(struct scsi_unit *u, struct scsi_rq *rq, const struct scsi_cmd *c)
{
    bool ten = c->opcode == MODE_SELECT_10;
    size_t head = ten ? 8 : 4, at, n = c->alloc;
    uint8_t *p = rq->reply, wce = u->write_cache;

    if (c->cdb[1] & 0x01) { /* save pages: we have nowhere */
        unit_bad_cdb(rq, 1);
        return;
    }
    if (!n) {
        unit_good(rq);
        return;
    }
    if (!unit_parameters(rq, (uint32_t)n))
        return;
    size_t descriptor = n < head ? 0 : ten ? get_be16(p + 6) : p[3];
    if (n < head || descriptor > n - head) {
        unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
        return;
    }
    if (!take_descriptor(u, rq, ten, descriptor))
        return;
    for (at = head + descriptor; at < n; at += 2u + p[at + 1]) {
        if (n - at < 2 || n - at < 2u + p[at + 1]) {
            unit_sense(rq, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH);
            return;
        }
        if (!take_page(u, rq, at, 2u + p[at + 1], &wce))
            return;
    }
    if (wce != u->write_cache) {
        u->write_cache = wce;
        unit_attention_but(u, rq->initiator, ASC_MODE_CHANGED);
    }
    unit_good(rq);
}
