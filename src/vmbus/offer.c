/* SPDX-License-Identifier: GPL-2.0-or-later */
/* offer.c - which channels there are: offers, channel ids, hot add and remove.
 *
 * A channel id is in use from the offer until the guest has released it, which it does after a
 * rescind when it has let go of the device; until then no other channel gets the id. */
#include <assert.h>
#include <errno.h>

#include "base/trace.h"
#include "vmbus/vmbus_int.h"

/* ---- channel ids ----------------------------------------------------------------------------- */

struct channel *bus_channel(struct vmbus *v, uint32_t relid)
{
    return relid < VMBUS_RELIDS ? v->slot[relid].ch : NULL;
}

int bus_take_relid(struct vmbus *v, struct channel *ch, uint32_t relid)
{
    struct slot *s;

    if (!relid)
        for (relid = 1; relid < VMBUS_RELIDS && v->slot[relid].taken;)
            relid++;
    if (relid >= VMBUS_RELIDS || v->slot[relid].taken)
        return -ENOSPC;
    s = &v->slot[relid];
    s->taken = true;
    s->ch = ch;
    ch->relid = relid;
    __atomic_store_n(&s->live, 1, __ATOMIC_RELEASE);
    return 0;
}

void bus_release_relid(struct vmbus *v, uint32_t relid)
{
    struct slot *s = &v->slot[relid];

    __atomic_store_n(&s->live, 0, __ATOMIC_RELEASE);
    s->ch = NULL;
    s->taken = false;
}

/* ---- offers ---------------------------------------------------------------------------------- */

void bus_send_offer(struct channel *ch)
{
    struct vmbus *v = ch->bus;
    struct vmbus_offer_channel m = {
        .h.type = VMBUS_OFFER_CHANNEL,
        .type = ch->offer.type,
        .instance = ch->offer.instance,
        .flags = ch->offer.flags,
        .mmio_mb = ch->offer.mmio_mb,
        .sub_index = (uint16_t)ch->sub_index,
        .relid = ch->relid,
        .connection = CONNECTION_BASE + ch->relid,
    };

    memcpy(m.user, ch->offer.user, sizeof m.user);
    m.dedicated_interrupt = v->version > VMBUS_V0_13;
    ch->announced = true;
    TRACE("vmbus", "offer", "relid %u %s sub %u", ch->relid, ch->ops->name, ch->sub_index);
    bus_post(v, &m, sizeof m);
}

/* In the order in which they were made: the guest numbers its devices so. */
static void offer_from(struct vmbus *v, uint32_t relid)
{
    for (; relid < VMBUS_RELIDS; relid++)
        if (v->slot[relid].ch && !v->slot[relid].ch->doomed)
            bus_send_offer(v->slot[relid].ch);
}

void bus_send_offers(struct vmbus *v)
{
    offer_from(v, 1);
}

static bool same_guid(const struct guid *a, const struct guid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

struct channel *bus_find_offer(struct vmbus *v, const struct guid *type,
                               const struct guid *instance, unsigned sub_index)
{
    struct channel *ch = v->channels;

    while (ch && (ch->doomed || ch->sub_index != sub_index || !same_guid(&ch->offer.type, type) ||
                  !same_guid(&ch->offer.instance, instance)))
        ch = ch->next;
    return ch;
}

static int add(struct vmbus *v, const struct channel_offer *o, struct channel *primary,
               unsigned index, const struct channel_ops *ops, void *owner, struct channel **ret,
               struct err *err)
{
    struct channel *ch;

    if (bus_find_offer(v, &o->type, &o->instance, index))
        return err_set(err, EEXIST, "VMBus channel '%s' %u: this instance is there already",
                       ops->name, index);
    ch = calloc(1, sizeof *ch);
    if (!ch)
        return err_set(err, ENOMEM, "out of memory");
    ch->bus = v;
    ch->offer = *o;
    ch->ops = ops;
    ch->owner = owner;
    ch->primary = primary ? primary : ch;
    ch->sub_index = index;
    ch->last = &ch->first;
    /* While a state is loaded a channel gets the number that it had, when its turn comes. */
    if (!v->loading && bus_take_relid(v, ch, 0) < 0) {
        free(ch);
        return err_set(err, ENOSPC, "VMBus channel '%s': all %u channel ids are taken", ops->name,
                       VMBUS_RELIDS - 1);
    }
    ch->next = v->channels;
    v->channels = ch;
    if (v->offers_requested && !v->loading)
        bus_send_offer(ch);
    *ret = ch;
    return 0;
}

int channel_offer(struct vmbus *v, const struct channel_offer *o, const struct channel_ops *ops,
                  void *owner, struct channel **ret, struct err *err)
{
    return add(v, o, NULL, 0, ops, owner, ret, err);
}

int channel_offer_sub(struct channel *primary, unsigned index, void *owner, struct channel **ret,
                      struct err *err)
{
    struct channel_offer o = primary->offer;

    assert(primary->primary == primary);
    if (!index || index > SUB_CHANNELS_MAX)
        return err_set(err, EINVAL, "VMBus channel '%s': sub-channel %u, 1 to %u are possible",
                       primary->ops->name, index, SUB_CHANNELS_MAX);
    return add(primary->bus, &o, primary, index, primary->ops, owner, ret, err);
}

/* ---- removal --------------------------------------------------------------------------------- */

bool channel_removable(const struct channel *ch)
{
    return ch->doomed && ch->state == CHANNEL_CLOSED && !ch->busy;
}

void channel_remove_if_doomed(struct channel *ch)
{
    struct vmbus *v = ch->bus;
    struct channel **p;

    if (!channel_removable(ch))
        return;
    for (p = &v->channels; *p != ch;)
        p = &(*p)->next;
    *p = ch->next;
    loop_unpost(v->loop, &slot_of(ch)->work);
    if (ch->announced)
        slot_of(ch)->ch = NULL; /* the id waits for the guest */
    else
        bus_release_relid(v, ch->relid);
    if (ch->ops->removed)
        ch->ops->removed(ch);
    free(ch);
}

static void rescind_one(struct channel *ch)
{
    struct vmbus *v = ch->bus;
    const struct vmbus_relid m = { { VMBUS_RESCIND_OFFER, 0 }, ch->relid };

    if (ch->doomed)
        return;
    TRACE("vmbus", "rescind", "relid %u %s", ch->relid, ch->ops->name);
    ch->doomed = true;
    ch->busy++;
    __atomic_store_n(&slot_of(ch)->live, 0, __ATOMIC_RELEASE);
    if (ch->state == CHANNEL_OPEN)
        channel_close_now(ch);
    if (ch->announced)
        bus_post(v, &m, sizeof m);
    ch->busy--;
    channel_remove_if_doomed(ch);
}

void channel_rescind(struct channel *ch)
{
    struct vmbus *v = ch->bus;
    struct channel *sub;

    ch->busy++;
    do { /* the list changes with every one that goes */
        for (sub = v->channels; sub && (sub->primary != ch || sub == ch || sub->doomed);)
            sub = sub->next;
        if (sub)
            rescind_one(sub);
    } while (sub);
    ch->busy--;
    rescind_one(ch);
}

/* ---- for providers --------------------------------------------------------------------------- */

void *channel_owner(const struct channel *ch)
{
    return ch->owner;
}

struct vmbus *channel_bus(const struct channel *ch)
{
    return ch->bus;
}

struct channel *channel_primary(const struct channel *ch)
{
    return ch->primary;
}

unsigned channel_sub_index(const struct channel *ch)
{
    return ch->sub_index;
}

unsigned channel_relid(const struct channel *ch)
{
    return ch->relid;
}

bool channel_is_open(const struct channel *ch)
{
    return ch->state == CHANNEL_OPEN;
}

const uint8_t *channel_user_data(const struct channel *ch)
{
    return ch->user;
}
