/* SPDX-License-Identifier: GPL-2.0-or-later */
/* scsi_fuzz.c - any command blocks with any data at a disk and at a drive, from three initiators, while
 * the disk under them fails, grows, comes and goes; and saved states, whole and damaged.  The model
 * looks at each answer: one only, its sense in order, no more moved than there is.
 *
 * The input is a list of actions: a byte says which, its parameters follow. */
#include <errno.h>

#include "base/state.h"
#include "scsi/cdb.h"
#include "scsi/scsi_model.h"

#define DATA_MAX 8192u
#define LIST_MAX 40u /* bytes of a parameter list from the input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A block of 16 bytes, its opcode mostly one that there is; small numbers are likely. */
static void command(struct scsi_model *m, uint8_t what, struct bytes *in)
{
    uint8_t cdb[16] = { 0 }, at, v, n = 0, lens[2] = { 0 };
    const struct scsi_cmd_info *f = NULL;
    unsigned n_cmds = 0;

    while (scsi_cmd_info(n_cmds))
        n_cmds++;
    bytes_u8(in, &cdb[0]);
    if (what & 1 && (f = scsi_cmd_info(cdb[0] % n_cmds)) != NULL) {
        cdb[0] = f->opcode;
        cdb[1] = f->service;
    }
    bytes_u8(in, &n);
    for (n %= 8; n && bytes_u8(in, &at) && bytes_u8(in, &v); n--)
        cdb[1 + at % 15] = f && f->has_service && at % 15 == 0 ? cdb[1] : v;
    bytes_copy(in, lens, MIN(in->n, sizeof lens));
    uint32_t len = get_le16(lens) % DATA_MAX;
    if (what & 8) /* what the command may want as data */
        bytes_copy(in, m->data, MIN(in->n, MIN(len, LIST_MAX)));
    scsi_model_run(m, 1 + (what >> 1 & 3), cdb, sizeof cdb, len);
    scsi_model_sense(m);
}

static int load(struct scsi_model *m, const struct buf *state)
{
    struct bytes from = bytes_of(state->p, state->n);

    return state_load(&from, "unit", &scsi_unit_state, m->unit, NULL);
}

static void reload(struct scsi_model *m, struct bytes *in)
{
    struct buf state = { 0 }, damaged = { 0 };
    uint16_t at;
    uint8_t n = 0, v;

    state_save(&state, "unit", &scsi_unit_state, m->unit);
    buf_add(&damaged, state.p, state.n);
    bytes_u8(in, &n);
    for (n %= 8; n && bytes_le16(in, &at) && bytes_u8(in, &v); n--)
        damaged.p[at % damaged.n] = v;
    if (load(m, &damaged) < 0 && load(m, &state) < 0)
        abort();
    buf_done(&state);
    buf_done(&damaged);
}

static void act(struct scsi_model *m, uint8_t what, struct bytes *in)
{
    static const int errs[] = { 0, 0, 0, -EIO, -ENOSPC, -ENOMEM, -EOPNOTSUPP, -EROFS };
    bool optical = scsi_unit_type(m->unit) == 5;

    switch (what >> 4) {
    case 0: m->disk.err = errs[what & 7]; break;
    case 1: m->disk.disk.read_only = what & 1; break;
    case 2: m->disk.disk.discard_block = what & 1 ? 0 : 512; break;
    case 3:
        m->disk.disk.size = (uint64_t)(SCSI_MODEL_BLOCKS >> (what & 7)) * 512;
        scsi_unit_resized(m->unit);
        break;
    case 4:
        if (optical)
            scsi_optical_change(m->unit, what & 1 ? &m->disk.disk : NULL, what & 2);
        break;
    case 5: reload(m, in); break;
    default: command(m, what, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct scsi_model *m; /* kept: to make one takes longer than to use it */
    struct bytes in = bytes_of(data, n);
    uint8_t what = 0;

    if (!m)
        m = scsi_model_new(false);
    bytes_u8(&in, &what);
    m->disk.err = 0;
    m->disk.disk.read_only = false;
    m->disk.disk.discard_block = 4096;
    m->disk.disk.size = SCSI_MODEL_BLOCKS * 512;
    m->disk.disk.block = what & 2 && !(what & 1) ? 4096 : 512;
    memset(m->data, 0, DATA_MAX);
    scsi_model_renew(m, what & 1);
    while (bytes_u8(&in, &what))
        act(m, what, &in);
    return 0;
}
