/* SPDX-License-Identifier: GPL-2.0-or-later */
/* stor_fuzz.c - a hostile storvsc: any packets in any phase on the primary and on sub-channels, disks
 * that answer late, fail, come and go, channels that close meanwhile, and machines that move.
 * Each request that wants an answer and whose channel stays open gets exactly one.
 *
 * The input is a list of actions: a byte says which, its parameters follow. */
#include <assert.h>

#include "base/log.h"
#include "vsp/stor/stor_model.h"

#define SUBS       3
#define RING_PAGES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct fuzz {
    struct stor_model m;
    struct vmbus_offer_channel offer[SUBS + 1];
    bool open[SUBS + 1];
    uint32_t owed[SUBS + 1]; /* answers */
    bool leaving[STOR_MODEL_DISKS];
    bool damaged; /* a state that was not saved so: nothing can be said of the answers */
    uint64_t pfn[STOR_MODEL_PAGES];
};

static void take_answers(struct fuzz *f, unsigned ch)
{
    uint8_t out[STOR_PACKET_SIZE];
    uint64_t id;

    if (!f->open[ch])
        return;
    for (unsigned type; (type = stor_model_take(&f->m, ch, &id, out)) != 0;) {
        if (type == VMBUS_PACKET_INBAND) {
            assert(ch == 0 && id == 0 && get_le32(out) == STOR_ENUMERATE_BUS);
            continue;
        }
        assert(type == VMBUS_PACKET_COMPLETION && f->owed[ch] && get_le32(out) == STOR_COMPLETE_IO);
        f->owed[ch]--;
    }
}

static void forget(struct fuzz *f, unsigned ch)
{
    f->open[ch] = false;
    f->owed[ch] = 0;
}

static void open_channel(struct fuzz *f, unsigned ch)
{
    struct vsc *g = &f->m.b.g;

    vsc_drain(g);
    for (unsigned i = 1; i < g->n_offers; i++) /* the newest stand last */
        f->offer[g->offer[i].sub_index] = g->offer[i];
    g->n_offers = 1;
    g->n_rescinded = 0;
    if (f->offer[ch].relid && !f->open[ch])
        f->open[ch] = vsc_open(g, &f->m.ch[ch], &f->offer[ch], RING_PAGES, ch) == 0;
}

static void close_channel(struct fuzz *f, unsigned ch, bool release)
{
    struct vmbus_relid r = { { VMBUS_CLOSE_CHANNEL, 0 }, f->m.ch[ch].offer.relid };

    if (!f->open[ch])
        return;
    vsc_post(&f->m.b.g, &r, sizeof r);
    forget(f, ch);
    for (unsigned i = 1; ch == 0 && i <= SUBS; i++) /* they are taken back */
        forget(f, i);
    r.h.type = VMBUS_RELID_RELEASED;
    if (release)
        vsc_post(&f->m.b.g, &r, sizeof r);
}

/* A request whose fields make some sense, and then what the input changes in it. */
static struct stor_ask make_ask(struct fuzz *f, struct bytes *in)
{
    static const uint8_t ops[] = { TEST_UNIT_READY, READ_10, WRITE_10, INQUIRY, REPORT_LUNS,
                                   SYNCHRONIZE_CACHE_10, UNMAP, MODE_SENSE_10, VERIFY_10,
                                   WRITE_SAME_10, PERSISTENT_RESERVE_OUT, READ_16 };
    uint8_t b[8] = { 0 }, cdb[16] = { 0 }, at, v;
    struct stor_ask a;

    bytes_copy(in, b, MIN(in->n, sizeof b));
    cdb[0] = ops[b[1] % ARRAY_LEN(ops)];
    cdb[5] = b[2];
    cdb[8] = b[3];
    if (b[0] & 1)
        a = stor_model_op(b[1] % 16, b[2] & 1 ? STOR_V6_2 : b[3] % 5);
    else
        a = stor_model_srb(&f->m, b[4] & 1 ? 5 : b[4] / 2 % 2 * 7, b[4] >> 2 & 3, cdb, 10,
                           (uint32_t)b[5] * 16, b[3] * 512u + (b[4] >> 7));
    a.no_completion = b[6] == 7;
    if (b[6] & 1)
        a.size = get_le16(b + 4) * 16u % (STOR_MODEL_PAGES * (uint32_t)PAGE_SIZE - 4096);
    if (b[6] & 2)
        a.buffer = !a.buffer;
    if (b[6] & 4)
        a.n = b[7] % 9 * 8u;
    a.pfn = f->m.pfn;
    if (b[6] & 8) {
        memcpy(f->pfn, f->m.pfn, sizeof f->pfn);
        f->pfn[b[7] % 8] = b[7] & 8 ? UINT64_MAX << (b[7] >> 3) : b[7];
        a.pfn = f->pfn;
    }
    for (unsigned i = b[7] >> 6; i && bytes_u8(in, &at) && bytes_u8(in, &v); i--)
        a.raw[at % sizeof a.raw] = v;
    return a;
}

static void on_gone(void *owner, struct scsi_unit *u)
{
    struct fuzz *f = owner;

    assert(scsi_unit_inflight(u) == 0);
    f->leaving[u == f->m.unit[1]] = false;
    f->m.gone++;
}

static void plug(struct fuzz *f, unsigned i)
{
    if (f->leaving[i])
        return;
    if (stor_attach(f->m.stor, stor_model_lun[i], f->m.unit[i]) == 0)
        return;
    f->leaving[i] = true;
    stor_detach(f->m.stor, stor_model_lun[i], on_gone, f);
}

static void drain(struct fuzz *f)
{
    vsc_drain(&f->m.b.g);
    while (stor_inflight(f->m.stor)) {
        mem_disk_answer(&f->m.disk[0], UINT32_MAX);
        mem_disk_answer(&f->m.disk[1], UINT32_MAX);
        loop_poll(f->m.b.loop);
    }
}

static void move(struct fuzz *f)
{
    struct buf state = { 0 };
    struct err err;

    drain(f);
    int r = stor_model_move(&f->m, &state, &err); /* both disks are there afterwards */
    assert(r == 0);
    buf_done(&state);
}

/* The rest of the input changes the state; what is left of the machine then runs for a while. */
static void move_damaged(struct fuzz *f, struct bytes *in)
{
    struct buf state = { 0 };
    struct err err;
    uint16_t at;
    uint8_t v;

    drain(f);
    if (stor_model_save(&f->m, &state, &err) < 0)
        abort();
    while (bytes_le16(in, &at) && bytes_u8(in, &v))
        state.p[(state.n - 1 - at % MIN(state.n, 8192))] = v; /* the storage's part is the end */
    if (stor_model_load(&f->m, &state, &err) == 0)
        for (unsigned i = 0; i < 20; i++)
            loop_poll(f->m.b.loop);
    buf_done(&state);
    f->damaged = true;
    bytes_skip(in, in->n);
}

static void act(struct fuzz *f, uint8_t what, struct bytes *in)
{
    unsigned ch = (what >> 3) % (SUBS + 1), i = what >> 3 & 1;
    struct mem_disk *d = &f->m.disk[i];

    switch (what & 7) {
    case 0:
    case 1:
    case 2: {
        struct stor_ask a = make_ask(f, in);
        if (f->open[ch] && stor_model_send(&f->m, ch, what, &a) == 0 && !a.no_completion)
            f->owed[ch]++;
        break;
    }
    case 3:
        d->hold = what & 0x10;
        d->err = what & 0x20 ? -5 : 0;
        mem_disk_answer(d, what >> 6);
        break;
    case 4: take_answers(f, ch); break;
    case 5: plug(f, i); break;
    case 6:
        if (what & 0x20)
            close_channel(f, ch, what & 0x40);
        else
            open_channel(f, ch);
        break;
    default:
        if (what >> 3 == 31)
            move(f);
        else if (what >> 3 == 30)
            move_damaged(f, in);
        else
            loop_poll(f->m.b.loop);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes in = bytes_of(data, n);
    static struct fuzz f;
    uint8_t what = 0;

    log_set_level(LOG_ERROR);
    memset(&f, 0, sizeof f);
    stor_model_init(&f.m, SUBS + 1);
    bytes_u8(&in, &what);
    if (what & 1)
        stor_model_start(&f.m, RING_PAGES);
    else
        stor_model_open(&f.m, RING_PAGES);
    f.open[0] = true;
    f.offer[0] = f.m.b.g.offer[0];
    while (bytes_u8(&in, &what))
        act(&f, what, &in);
    for (unsigned i = 0; i < STOR_MODEL_DISKS; i++) {
        f.m.disk[i].hold = false;
        mem_disk_answer(&f.m.disk[i], UINT32_MAX);
    }
    for (unsigned ch = 0; ch <= SUBS && !f.damaged; ch++) {
        take_answers(&f, ch);
        assert(!f.owed[ch]);
    }
    stor_model_done(&f.m);
    return 0;
}
