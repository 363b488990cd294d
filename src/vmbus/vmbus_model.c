/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmbus_model.c - see vmbus_model.h. */
#include "vmbus/vmbus_model.h"

#include <assert.h>
#include <errno.h>

const struct guid echo_type = ECHO_TYPE;

/* ---- the machine ----------------------------------------------------------------------------- */

static void on_contact(void *owner, uint32_t version)
{
    struct bus_model *b = owner;

    b->contact = version;
    b->contacts++;
}

static void on_quiet(void *owner)
{
    ((struct bus_model *)owner)->quiets++;
}

static void make_bus(struct bus_model *b)
{
    static const struct vmbus_ops ops = { on_contact, on_quiet };
    struct vmbus_config cfg = { .hv = b->m.hv, .loop = b->loop, .ops = &ops, .owner = b };

    if (vmbus_new(&cfg, &b->bus, NULL) < 0)
        abort();
}

void bus_model_init(struct bus_model *b, unsigned n_vps, bool threaded)
{
    *b = (struct bus_model){ 0 };
    hv_model_init(&b->m, n_vps, threaded);
    b->loop = loop_new(&b->m.clock);
    if (!b->loop)
        abort();
    make_bus(b);
    hv_model_boot(&b->m);
    vsc_init(&b->g, &b->m, threaded ? NULL : b->loop);
}

void bus_model_done(struct bus_model *b)
{
    vmbus_free(b->bus);
    loop_free(b->loop);
    hv_model_done(&b->m);
}

void bus_model_renew(struct bus_model *b)
{
    vmbus_free(b->bus);
    hv_model_renew(&b->m);
    make_bus(b);
}

/* ---- the provider ---------------------------------------------------------------------------- */

static int echo_open(struct channel *ch)
{
    struct echo *e = channel_owner(ch);

    e->opens++;
    return e->refuse ? -EIO : 0;
}

static void echo_opened(struct channel *ch)
{
    struct echo *e = channel_owner(ch);

    if (e->speak_first)
        channel_send(ch, 1, false, "hello", 5);
}

static void echo_packet(struct channel *ch, const struct packet *p)
{
    struct echo *e = channel_owner(ch);

    e->packets++;
    e->last = *p;
    memcpy(e->payload, p->payload, MIN(p->size, sizeof e->payload));
    if (e->keep && p->wants_completion) {
        assert(e->n_kept < ARRAY_LEN(e->kept_id));
        e->kept_id[e->n_kept++] = p->id;
        if (e->n_kept == ARRAY_LEN(e->kept_id))
            channel_hold(ch);
    } else if (p->wants_completion) {
        channel_complete(ch, p->id, p->payload, p->size);
    } else if (p->type == VMBUS_PACKET_INBAND) {
        channel_send(ch, p->id, false, p->payload, p->size);
    }
}

static void echo_writable(struct channel *ch)
{
    ((struct echo *)channel_owner(ch))->writables++;
}

static bool echo_close(struct channel *ch)
{
    struct echo *e = channel_owner(ch);

    e->closes++;
    e->n_kept = 0;
    if (e->gpadl && !e->close_late)
        channel_gpadl_put(ch, TAKE_PTR(e->gpadl));
    e->closing = e->close_late;
    return !e->close_late;
}

static void echo_removed(struct channel *ch)
{
    struct echo *e = channel_owner(ch);

    e->removed++;
    e->ch = NULL;
}

static const struct state_field echo_fields[] = { STATE(struct echo, saved) };
static const struct state_desc echo_desc = STATE_DESC("echo", 1, echo_fields);

static void echo_save(struct channel *ch, struct buf *to)
{
    state_save(to, "echo", &echo_desc, channel_owner(ch));
}

static int echo_load(struct channel *ch, struct bytes *from, struct err *err)
{
    return state_load(from, "echo", &echo_desc, channel_owner(ch), err);
}

static const struct channel_ops echo_ops = {
    .name = "echo",
    .open = echo_open,
    .opened = echo_opened,
    .packet = echo_packet,
    .writable = echo_writable,
    .close = echo_close,
    .removed = echo_removed,
    .save = echo_save,
    .load = echo_load,
};

int echo_offer(struct bus_model *b, struct echo *e, uint8_t instance)
{
    struct channel_offer o = { .type = ECHO_TYPE, .instance = ECHO_INSTANCE, .flags = 0x11 };

    o.instance.a |= instance;
    o.user[0] = 4;
    return channel_offer(b->bus, &o, &echo_ops, e, &e->ch, NULL);
}

int echo_offer_sub(struct echo *primary, struct echo *e, unsigned index)
{
    return channel_offer_sub(primary->ch, index, e, &e->ch, NULL);
}

const struct vmbus_offer_channel *echo_find(struct bus_model *b, const struct echo *e)
{
    for (unsigned i = b->g.n_offers; i-- > 0;)
        if (e->ch && b->g.offer[i].relid == channel_relid(e->ch))
            return &b->g.offer[i];
    return NULL;
}
