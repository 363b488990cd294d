/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state_fuzz.c - a hostile saved state: a good one with the input's changes, loaded and then used. */
#include "base/log.h"
#include "vmbus/vmbus_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void make_state(struct bus_model *b, struct echo *e, struct buf *state)
{
    struct vsc_channel c;

    echo_offer(b, &e[0], 0);
    echo_offer(b, &e[1], 1);
    vsc_connect(&b->g, VMBUS_V5_3);
    vsc_open(&b->g, &c, echo_find(b, &e[0]), 2, 0);
    for (unsigned i = 0; i < 30; i++) /* some wait */
        channel_send(e[0].ch, i, false, "0123456789abcdef0123456789abcdef", 32);
    hv_save(b->m.hv, state);
    vmbus_save(b->bus, state, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    AUTO(buf_done) struct buf state = { 0 };
    struct echo e[2] = { { 0 } };
    struct bus_model b;
    struct err err;

    log_set_level(LOG_ERROR);
    bus_model_init(&b, 1, false);
    make_state(&b, e, &state);
    for (size_t i = 0; i + 3 <= n; i += 3) /* where, what */
        state.p[get_le16(data + i) % state.n] ^= data[i + 2];
    bus_model_renew(&b);
    echo_offer(&b, &e[0], 0);
    echo_offer(&b, &e[1], 1);
    struct bytes from = bytes_of(state.p, state.n);
    if (hv_load(b.m.hv, &from, &err) == 0 && vmbus_load(b.bus, &from, &err) == 0) {
        for (unsigned i = 0; i < 3; i++)
            loop_poll(b.loop);
        hv_deadline(b.m.hv, hv_model_vp(&b.m, 0));
        vmbus_reset(b.bus);
    }
    bus_model_done(&b);
    return 0;
}
