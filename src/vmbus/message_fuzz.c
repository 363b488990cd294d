/* SPDX-License-Identifier: GPL-2.0-or-later */
/* message_fuzz.c - a hostile guest at the control plane: messages of any content in any order,
 * signals, scribbles over the rings, while providers talk.
 *
 * The input is a list of actions: a byte says which, its parameters follow. */
#include "base/log.h"
#include "vmbus/vmbus_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct fuzz {
    struct bus_model b;
    struct echo e[3];
    uint64_t pfn[16];
};

/* A message whose first words make sense, so that the rest is looked at. */
static void message(struct fuzz *f, uint8_t what, struct bytes *in)
{
    uint8_t raw[240] = { 0 }, len = 0;

    bytes_u8(in, &len);
    size_t n = MIN(len, MIN(in->n, sizeof raw - 8));
    put_le32(raw, what % VMBUS_MESSAGE_TYPES);
    bytes_copy(in, raw + 8, n);
    if (what % VMBUS_MESSAGE_TYPES == VMBUS_GPADL_HEADER && n > 24) {
        put_le16(raw + 18, 1);
        put_le32(raw + 20, (raw[20] % 16 + 1u) * 4096);
        put_le32(raw + 24, 0);
        memcpy(raw + 28, f->pfn, sizeof f->pfn);
        n = 28 + sizeof f->pfn - 8;
    }
    if (what % VMBUS_MESSAGE_TYPES == VMBUS_INITIATE_CONTACT)
        put_le32(raw + 8, (uint32_t)(raw[8] % 6) << 16 | raw[9] % 6);
    vsc_post(&f->b.g, raw, n + 8);
}

static void act(struct fuzz *f, uint8_t what, struct bytes *in)
{
    struct echo *e = &f->e[what % 3];
    uint8_t arg = 0, word[9];

    switch (what >> 5) {
    case 0: loop_poll(f->b.loop); break;
    case 1: vsc_drain(&f->b.g); break;
    case 2: /* the rings' pages */
        if (bytes_copy(in, word, 9))
            gmem_write(f->b.m.gmem, GPA((f->pfn[what % 16] << 12) + (word[8] & 31u) * 4), word, 8);
        break;
    case 3:
        hv_model_hypercall(&f->b.m, 0, HV_CALL_SIGNAL_EVENT | HV_CALL_FAST, 0x2000 + what % 8, 0);
        break;
    case 4:
        bytes_u8(in, &arg);
        if (!e->ch)
            echo_offer(&f->b, e, what % 3);
        else if (arg & 1)
            channel_rescind(e->ch);
        else if (e->closing && !channel_is_open(e->ch)) {
            e->closing = false;
            channel_closed(e->ch);
        } else {
            channel_send(e->ch, arg, arg & 2, in->p, MIN(in->n, 200));
        }
        break;
    default: message(f, what, in); break;
    }
    f->b.g.n_offers = f->b.g.n_rescinded = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes in = bytes_of(data, n);
    struct fuzz f = { .e = { { 0 }, { .close_late = true }, { .speak_first = true } } };
    uint8_t what;

    log_set_level(LOG_ERROR);
    bus_model_init(&f.b, 1, false);
    vsc_pages(&f.b.g, f.pfn, 16);
    for (uint8_t i = 0; i < 3; i++)
        echo_offer(&f.b, &f.e[i], i);
    vsc_connect(&f.b.g, VMBUS_V5_3);
    while (bytes_u8(&in, &what))
        act(&f, what, &in);
    bus_model_done(&f.b);
    return 0;
}
