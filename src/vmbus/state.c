/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - the bus as bytes (save, restore) and as text (the monitor).
 *
 * A GPADL is saved as the words that the guest sent and built from them again; a channel finds its
 * provider by type and instance.  Rings are in guest memory, but for our own index of each.  The
 * bytes are hostile: everything goes through the checks that the guest's messages go through.
 *
 * Called: vm/, while no VP runs. */
#include <errno.h>

#include "vmbus/vmbus_int.h"

struct saved_bus {
    uint32_t version, msg_vp, msg_sint, offers_requested;
    uint64_t interrupt_page, monitor_page[2];
    uint32_t n_gpadls, n_messages, n_channels;
    uint8_t unreleased[VMBUS_RELIDS / 8]; /* channel ids that the guest has not given back */
};

static const struct state_field bus_fields[] = {
    STATE(struct saved_bus, version),
    STATE(struct saved_bus, msg_vp),
    STATE(struct saved_bus, msg_sint),
    STATE(struct saved_bus, offers_requested),
    STATE(struct saved_bus, interrupt_page),
    STATE(struct saved_bus, monitor_page),
    STATE(struct saved_bus, n_gpadls),
    STATE(struct saved_bus, n_messages),
    STATE(struct saved_bus, n_channels),
    STATE(struct saved_bus, unreleased),
};
static const struct state_desc bus_desc = STATE_DESC("vmbus", 1, bus_fields);

struct saved_gpadl {
    uint32_t id, relid, n_ranges, n_words, torn;
};

static const struct state_field gpadl_fields[] = {
    STATE(struct saved_gpadl, id),      STATE(struct saved_gpadl, relid),
    STATE(struct saved_gpadl, n_ranges), STATE(struct saved_gpadl, n_words),
    STATE(struct saved_gpadl, torn),
};
static const struct state_desc gpadl_desc = STATE_DESC("vmbus.gpadl", 1, gpadl_fields);

struct saved_channel {
    struct guid type, instance;
    uint32_t sub_index, relid, announced, open;
    uint32_t open_id, target_vp, gpadl, down_page, in_index, out_index;
    uint32_t want_writable, n_waiting;
    uint8_t user[VMBUS_USER_DATA];
};

static const struct state_field channel_fields[] = {
    STATE(struct saved_channel, type),      STATE(struct saved_channel, instance),
    STATE(struct saved_channel, sub_index), STATE(struct saved_channel, relid),
    STATE(struct saved_channel, announced), STATE(struct saved_channel, open),
    STATE(struct saved_channel, open_id),   STATE(struct saved_channel, target_vp),
    STATE(struct saved_channel, gpadl),     STATE(struct saved_channel, down_page),
    STATE(struct saved_channel, in_index),  STATE(struct saved_channel, out_index),
    STATE(struct saved_channel, want_writable), STATE(struct saved_channel, n_waiting),
    STATE(struct saved_channel, user),
};
static const struct state_desc channel_desc = STATE_DESC("vmbus.channel", 1, channel_fields);

/* Bytes whose number was saved before: a section with the number, one with the bytes. */
static const struct state_field count_fields[] = { { "n", 0, sizeof(uint32_t), 1, NULL, 0 } };
static const struct state_desc count_desc = STATE_DESC("vmbus.bytes", 1, count_fields);

static void save_bytes(struct buf *to, const void *p, uint32_t n)
{
    const struct state_field f = { "bytes", 0, 1, n, NULL, 0 };
    const struct state_desc d = { .name = "vmbus.raw", .version = 1, .fields = &f, .n_fields = 1 };

    state_save(to, "vmbus.bytes", &count_desc, &n);
    state_save(to, "vmbus.raw", &d, p);
}

/* At most 'max' bytes into 'p'; how many, or -errno. */
static int load_bytes(struct bytes *from, void *p, uint32_t max, struct err *err)
{
    uint32_t n;
    int r = state_load(from, "vmbus.bytes", &count_desc, &n, err);

    if (r < 0)
        return r;
    if (n > max)
        return err_set(err, EBADMSG, "saved state of VMBus: %u bytes where %u are possible", n,
                       max);
    const struct state_field f = { "bytes", 0, 1, n, NULL, 0 };
    const struct state_desc d = { .name = "vmbus.raw", .version = 1, .fields = &f, .n_fields = 1 };
    r = state_load(from, "vmbus.raw", &d, p, err);
    return r < 0 ? r : (int)n;
}

/* ---- save ------------------------------------------------------------------------------------ */

static void save_bus(struct vmbus *v, struct buf *to)
{
    struct saved_bus s = {
        .version = v->version,
        .msg_vp = v->msg_vp,
        .msg_sint = v->msg_sint,
        .offers_requested = v->offers_requested,
        .interrupt_page = v->interrupt_page,
        .monitor_page = { v->monitor_page[0], v->monitor_page[1] },
        .n_gpadls = v->gpadls.n,
        .n_messages = v->n_in,
    };

    for (const struct channel *ch = v->channels; ch; ch = ch->next)
        s.n_channels++;
    for (uint32_t i = 1; i < VMBUS_RELIDS; i++)
        if (v->slot[i].taken && !v->slot[i].ch)
            s.unreleased[i / 8] |= (uint8_t)(1u << i % 8);
    state_save(to, "vmbus", &bus_desc, &s);
}

static void save_channel(struct channel *ch, struct buf *to)
{
    struct saved_channel s = {
        .type = ch->offer.type,
        .instance = ch->offer.instance,
        .sub_index = ch->sub_index,
        .relid = ch->relid,
        .announced = ch->announced,
        .open = ch->state == CHANNEL_OPEN,
    };

    if (s.open) {
        s.open_id = ch->open_id;
        s.target_vp = ch->target_vp;
        s.gpadl = ch->gpadl->id;
        s.down_page = ch->down_page;
        s.in_index = ch->in.index;
        s.out_index = ch->out.index;
        s.want_writable = ch->want_writable;
        s.n_waiting = (uint32_t)ch->n_waiting;
        memcpy(s.user, ch->user, sizeof s.user);
    }
    state_save(to, "vmbus.channel", &channel_desc, &s);
    for (const struct waiting *w = ch->first; w; w = w->next)
        save_bytes(to, w->raw, w->n);
    if (s.open && ch->ops->save)
        ch->ops->save(ch, to);
}

int vmbus_save(struct vmbus *v, struct buf *to, struct err *err)
{
    if (v->n_closing)
        return err_set(err, EBUSY, "VMBus: %u channels are being closed", v->n_closing);
    save_bus(v, to);
    for (unsigned i = 0; i < GPADL_BUCKETS; i++) {
        for (const struct gpadl *g = v->gpadls.bucket[i]; g; g = g->next) {
            struct saved_gpadl s = { g->id, g->relid, g->n_ranges, g->n_words, g->torn };
            state_save(to, "vmbus.gpadl", &gpadl_desc, &s);
            save_bytes(to, g->word, g->n_words * 8);
        }
    }
    for (const struct message_in *m = v->in_first; m; m = m->next)
        save_bytes(to, m->p, m->n);
    /* Primaries first: their providers make the sub-channels. */
    for (int subs = 0; subs < 2; subs++)
        for (uint32_t i = 1; i < VMBUS_RELIDS; i++)
            if (v->slot[i].ch && (v->slot[i].ch->sub_index != 0) == subs)
                save_channel(v->slot[i].ch, to);
    return 0;
}

/* ---- load ------------------------------------------------------------------------------------ */

static int load_gpadl(struct vmbus *v, struct bytes *from, struct err *err)
{
    AUTO(free_p) uint64_t *word = NULL;
    struct saved_gpadl s;
    struct gpadl *g;
    int r = state_load(from, "vmbus.gpadl", &gpadl_desc, &s, err);

    if (r < 0)
        return r;
    if (s.n_words > GPADL_WORDS_MAX)
        return err_set(err, EBADMSG, "saved GPADL %#x: %u words", s.id, s.n_words);
    word = malloc(s.n_words * 8 + 1);
    if (!word)
        return err_set(err, ENOMEM, "out of memory");
    r = load_bytes(from, word, s.n_words * 8, err);
    if (r < 0)
        return r;
    if ((uint32_t)r != s.n_words * 8 || gpadl_new(&v->gpadls, s.id, s.relid, s.n_ranges, &g) < 0 ||
        gpadl_add(&v->gpadls, g, bytes_of(word, s.n_words * 8)) < 0 || g->n_words != s.n_words)
        return err_set(err, EBADMSG, "saved GPADL %#x makes no sense", s.id);
    g->torn = s.torn;
    return 0;
}

static int load_message(struct vmbus *v, struct bytes *from, struct err *err)
{
    uint8_t p[HV_MESSAGE_PAYLOAD];
    int n = load_bytes(from, p, sizeof p, err);

    if (n < 0)
        return n;
    return bus_add_message(v, p, (size_t)n) < 0 ? err_set(err, EBADMSG, "too many saved messages")
                                                : 0;
}

static int load_waiting(struct channel *ch, struct bytes *from, struct err *err)
{
    struct waiting *w = malloc(sizeof *w + CHANNEL_SEND_MAX);
    int n;

    if (!w)
        return err_set(err, ENOMEM, "out of memory");
    n = load_bytes(from, w->raw, CHANNEL_SEND_MAX, err);
    if (n < 0 || n < (int)sizeof(struct vmbus_packet) || n % 8 ||
        (uint32_t)n + VMBUS_PACKET_TRAILER >= ch->out.size) {
        free(w);
        return n < 0 ? n : err_set(err, EBADMSG, "a packet of %d bytes waits", n);
    }
    w->n = (uint32_t)n;
    channel_enqueue(ch, w);
    return 0;
}

static int load_open(struct channel *ch, const struct saved_channel *s, struct bytes *from,
                     struct err *err)
{
    struct gpadl *g = gpadl_find(&ch->bus->gpadls, s->gpadl);
    int r;

    if (!g || !g->complete ||
        (s->target_vp != VMBUS_NO_INTERRUPT && s->target_vp >= vmbus_n_vps(ch->bus)))
        return err_set(err, EBADMSG, "its rings or its VP are not there");
    ch->gpadl = g;
    ch->down_page = s->down_page;
    if (channel_map_rings(ch) < 0) {
        ch->gpadl = NULL;
        return err_set(err, EBADMSG, "its rings cannot be");
    }
    g->users++;
    ch->state = CHANNEL_OPEN;
    ch->open_id = s->open_id;
    ch->target_vp = s->target_vp;
    ch->want_writable = s->want_writable;
    memcpy(ch->user, s->user, sizeof ch->user);
    if (!ring_set_index(&ch->in, s->in_index) || !ring_set_index(&ch->out, s->out_index))
        return err_set(err, EBADMSG, "its ring indices cannot be");
    for (uint32_t i = 0; i < s->n_waiting; i++) {
        r = load_waiting(ch, from, err);
        if (r < 0)
            return r;
    }
    r = ch->ops->load ? ch->ops->load(ch, from, err) : 0;
    if (r == 0)
        channel_kick(ch); /* a signal may have been on its way */
    return r;
}

static int load_channel(struct vmbus *v, struct bytes *from, struct err *err)
{
    struct saved_channel s;
    struct channel *ch;
    int r = state_load(from, "vmbus.channel", &channel_desc, &s, err);

    if (r < 0)
        return r;
    ch = bus_find_offer(v, &s.type, &s.instance, s.sub_index);
    if (!ch || ch->relid)
        return err_set(err, EBADMSG, "saved VMBus channel %u: this machine has no such device",
                       s.relid);
    if (!s.relid || bus_take_relid(v, ch, s.relid) < 0)
        return err_set(err, EBADMSG, "saved VMBus channel %u: the number is taken", s.relid);
    ch->announced = s.announced;
    r = s.open ? load_open(ch, &s, from, err) : 0;
    return r < 0 ? err_wrap(err, "saved VMBus channel %u (%s)", s.relid, ch->ops->name) : 0;
}

/* Channel ids are the saved ones; what was not there then comes after. */
static void forget_relids(struct vmbus *v, const struct saved_bus *s)
{
    for (struct channel *ch = v->channels; ch; ch = ch->next) {
        bus_release_relid(v, ch->relid);
        ch->relid = 0;
    }
    for (uint32_t i = 1; i < VMBUS_RELIDS; i++)
        v->slot[i].taken = s->unreleased[i / 8] & 1u << i % 8;
}

static int load_bus(struct vmbus *v, const struct saved_bus *s, struct bytes *from,
                    struct err *err)
{
    int r = 0;

    if ((s->version && !bus_version_known(v, s->version)) || s->msg_vp >= vmbus_n_vps(v) ||
        s->msg_sint >= HV_SINTS)
        return err_set(err, EBADMSG, "saved state of VMBus: version %#x, VP %u, SINT %u",
                       s->version, s->msg_vp, s->msg_sint);
    v->version = s->version;
    v->msg_vp = s->msg_vp;
    v->msg_sint = s->msg_sint;
    v->offers_requested = s->offers_requested;
    v->interrupt_page = s->interrupt_page;
    memcpy(v->monitor_page, s->monitor_page, sizeof v->monitor_page);
    forget_relids(v, s);
    for (uint32_t i = 0; r == 0 && i < s->n_gpadls; i++)
        r = load_gpadl(v, from, err);
    for (uint32_t i = 0; r == 0 && i < s->n_messages; i++)
        r = load_message(v, from, err);
    for (uint32_t i = 0; r == 0 && i < s->n_channels; i++)
        r = load_channel(v, from, err);
    for (unsigned i = 0; r == 0 && i < GPADL_BUCKETS; i++)
        for (const struct gpadl *g = v->gpadls.bucket[i]; r == 0 && g; g = g->next)
            if (g->torn && !g->users)
                r = err_set(err, EBADMSG, "saved GPADL %#x: torn down, but still there", g->id);
    return r;
}

int vmbus_load(struct vmbus *v, struct bytes *from, struct err *err)
{
    struct saved_bus s;
    int r = state_load(from, "vmbus", &bus_desc, &s, err);

    if (r < 0)
        return r;
    v->loading = true;
    r = load_bus(v, &s, from, err);
    v->loading = false;
    for (struct channel *ch = v->channels; ch; ch = ch->next) {
        if (ch->relid)
            continue;
        if (bus_take_relid(v, ch, 0) < 0)
            return err_set(err, ENOSPC, "VMBus channel '%s': all channel ids are taken",
                           ch->ops->name);
        if (r == 0 && v->offers_requested)
            bus_send_offer(ch); /* a device that came with the restore */
    }
    loop_post(v->loop, &v->in_work);
    return r;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void dump_guid(FILE *to, const struct guid *g)
{
    fprintf(to, "%08x-%04x-%04x-%02x%02x-", g->a, g->b, g->c, g->d[0], g->d[1]);
    for (unsigned i = 2; i < 8; i++)
        fprintf(to, "%02x", g->d[i]);
}

void vmbus_dump(struct vmbus *v, FILE *to)
{
    static const char *const states[] = { "closed", "open", "closing" };

    fprintf(to, "vmbus: version %u.%u, messages to VP %u SINT %u, %u GPADLs (%llu pages)\n",
            v->version >> 16, v->version & 0xffff, v->msg_vp, v->msg_sint, v->gpadls.n,
            (unsigned long long)v->gpadls.n_words);
    for (uint32_t i = 1; i < VMBUS_RELIDS; i++) {
        const struct channel *ch = v->slot[i].ch;
        if (!ch)
            continue;
        fprintf(to, "%4u %-12s ", i, ch->ops->name);
        dump_guid(to, &ch->offer.instance);
        fprintf(to, " sub %u %s%s", ch->sub_index, states[ch->state],
                ch->announced ? "" : ", not offered");
        if (ch->state == CHANNEL_OPEN)
            fprintf(to, ", VP %d, in %u/%u out %u/%u bytes, %llu packets in, %llu out (%zu wait), "
                    "%llu signals",
                    (int)ch->target_vp, ring_level(&ch->in), ch->in.size, ring_level(&ch->out),
                    ch->out.size, (unsigned long long)ch->packets_in,
                    (unsigned long long)ch->packets_out, ch->n_waiting,
                    (unsigned long long)ch->signals_out);
        fprintf(to, "%s\n", ch->held ? ", held" : "");
    }
}
