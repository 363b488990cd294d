/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ic_fuzz.c - a hostile guest at the integration services: answers of any content at any time.
 *
 * The input is a list of actions: a byte says which, its parameters follow. */
#include "base/log.h"
#include "vmbus/vmbus_model.h"
#include "vsp/ic/service.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define SERVICES 3
#define HEADS    (8 + sizeof(struct ic_header))

struct fuzz {
    struct bus_model b;
    struct ic *ic;
    struct vmbus_offer_channel offer[SERVICES];
    struct vsc_channel ch[SERVICES];
    bool open[SERVICES];
    unsigned asked, told;
};

static void on_shutdown(void *owner, enum ic_shutdown_kind kind, uint32_t status)
{
    struct fuzz *f = owner;

    f->told++;
    assert(f->told <= f->asked); /* each request is answered at most once */
}

static const struct ic_ops ops = { .shutdown_answered = on_shutdown };

/* The host's request with the guest's changes, so that the rest is looked at. */
static void echo(struct fuzz *f, unsigned s, struct bytes *in)
{
    uint8_t packet[4096], at = 0, value = 0, flags = 0;
    int n = vsc_recv(&f->ch[s], packet, sizeof packet);

    if (n < 16 + (int)HEADS)
        return;
    vsc_done(&f->ch[s]);
    bytes_u8(in, &flags);
    packet[16 + 8 + 17] = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
    if (flags & 1) { /* a negotiation with one of each */
        put_le16(packet + 16 + HEADS, 1);
        put_le16(packet + 16 + HEADS + 2, 1);
    }
    for (unsigned i = 0; i < (flags >> 1 & 3) && bytes_u8(in, &at) && bytes_u8(in, &value); i++)
        packet[16 + at % (n - 16)] = value;
    vsc_send(&f->ch[s], VMBUS_PACKET_INBAND, 0, false, NULL, 0, packet + 16, (size_t)n - 16);
}

static void raw(struct fuzz *f, unsigned s, struct bytes *in)
{
    uint8_t len = 0;

    bytes_u8(in, &len);
    size_t n = MIN(len, in->n);
    vsc_send(&f->ch[s], VMBUS_PACKET_INBAND, 0, false, NULL, 0, in->p, n);
    bytes_skip(in, n);
}

static void act(struct fuzz *f, uint8_t what, struct bytes *in)
{
    unsigned s = what % SERVICES;

    switch (what >> 5) {
    case 0: clock_advance(&f->b.m.clock, (uint64_t)(what & 31) * NS_PER_S); break;
    case 1:
        if (ic_shutdown(f->ic, (enum ic_shutdown_kind)(what % 3), what & 4, NULL) == 0)
            f->asked++;
        break;
    case 2:
        if (f->open[s])
            vsc_close(&f->ch[s]);
        else
            vsc_open(&f->b.g, &f->ch[s], &f->offer[s], 2, 0);
        f->open[s] = !f->open[s];
        break;
    case 3: loop_poll(f->b.loop); break;
    case 4:
        if (f->open[s])
            raw(f, s, in);
        break;
    default:
        if (f->open[s])
            echo(f, s, in);
        break;
    }
    if (f->open[s])
        vsc_signal(&f->ch[s]);
    loop_poll(f->b.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct guid types[] = { IC_HEARTBEAT_TYPE, IC_SHUTDOWN_TYPE, IC_TIMESYNC_TYPE };
    struct bytes in = bytes_of(data, n);
    struct fuzz f = { 0 };
    struct ic_answer a;
    uint8_t what;

    log_set_level(LOG_ERROR);
    if (ic_decode(data, n, &a) == 0)
        assert(a.body >= data && a.n <= n && a.body + a.n <= data + n);
    bus_model_init(&f.b, 1, false);
    struct ic_config cfg = { .bus = f.b.bus, .ops = &ops, .owner = &f };
    if (ic_new(&cfg, &f.ic, NULL) < 0)
        abort();
    vsc_connect(&f.b.g, VMBUS_V5_3);
    for (unsigned i = 0; i < SERVICES; i++) {
        f.offer[i] = *vsc_offer(&f.b.g, &types[i], 0);
        f.open[i] = vsc_open(&f.b.g, &f.ch[i], &f.offer[i], 2, 0) == 0;
    }
    for (unsigned i = 0; i < 200 && bytes_u8(&in, &what); i++)
        act(&f, what, &in);
    vmbus_free(TAKE_PTR(f.b.bus));
    ic_free(f.ic);
    bus_model_done(&f.b);
    return 0;
}
