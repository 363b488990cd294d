/* SPDX-License-Identifier: GPL-2.0-or-later */
/* server.c - the control plane: messages of the guest, each by its row in a table; contact, GPADLs,
 * open and close.  See server.h.
 *
 * Messages are taken in order, one at a time, and wait while a channel is being closed or the guest
 * does not fetch its answers.  A message that is too short or makes no sense now is dropped, unless
 * the guest waits for an answer that says so.
 *
 * Called: hv/ through synic_ports, on VP threads; the rest runs on the loop.
 * Not:    monitor pages, reserved channels, 6.0. */
#include "vmbus/server.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "base/trace.h"
#include "vmbus/vmbus_int.h"

#define MESSAGES_A_TURN 64

static const uint32_t versions[] = {
    VMBUS_V0_13, VMBUS_V1_1, VMBUS_V2_4, VMBUS_V3_0, VMBUS_V4_0,
    VMBUS_V4_1,  VMBUS_V5_0, VMBUS_V5_1, VMBUS_V5_2, VMBUS_V5_3,
};

/* ---- from VP threads ------------------------------------------------------------------------- */

int bus_add_message(struct vmbus *v, const void *p, size_t n)
{
    struct message_in *m = malloc(sizeof *m);
    bool full;

    if (!m)
        return -ENOMEM;
    m->next = NULL;
    m->n = (uint32_t)n;
    memcpy(m->p, p, n);
    pthread_mutex_lock(&v->lock);
    full = v->n_in >= MESSAGES_IN_MAX;
    if (!full) {
        *v->in_last = m;
        v->in_last = &m->next;
        v->n_in++;
    }
    pthread_mutex_unlock(&v->lock);
    if (full)
        free(m);
    loop_post(v->loop, &v->in_work);
    return full ? -ENOSPC : 0;
}

static enum hv_status on_message(void *owner, uint32_t connection, uint32_t type,
                                 const void *payload, size_t n)
{
    if (connection != VMBUS_MESSAGE_CONNECTION && connection != VMBUS_MESSAGE_CONNECTION_4)
        return HV_INVALID_CONNECTION_ID;
    if (type != VMBUS_MESSAGE_TYPE)
        return HV_INVALID_PARAMETER;
    return bus_add_message(owner, payload, n) < 0 ? HV_INSUFFICIENT_BUFFERS : HV_SUCCESS;
}

static enum hv_status on_event(void *owner, uint32_t connection, uint16_t flag)
{
    struct vmbus *v = owner;
    uint32_t relid = connection - CONNECTION_BASE;

    if (connection == VMBUS_EVENT_CONNECTION) {
        loop_post(v->loop, &v->interrupt_page_work);
        return HV_SUCCESS;
    }
    if (relid >= VMBUS_RELIDS || !__atomic_load_n(&v->slot[relid].live, __ATOMIC_ACQUIRE))
        return HV_INVALID_CONNECTION_ID;
    loop_post(v->loop, &v->slot[relid].work);
    return HV_SUCCESS;
}

static void on_drained(void *owner, unsigned vp, unsigned sint)
{
    struct vmbus *v = owner;

    loop_post(v->loop, &v->in_work); /* answers may have held up messages */
}

static const struct synic_ports ports = { on_message, on_event, on_drained };

/* ---- taking messages ------------------------------------------------------------------------- */

static struct message_in *peek_message(struct vmbus *v)
{
    pthread_mutex_lock(&v->lock);
    struct message_in *m = v->in_first;
    pthread_mutex_unlock(&v->lock);
    return m;
}

static void drop_message(struct vmbus *v)
{
    pthread_mutex_lock(&v->lock);
    struct message_in *m = v->in_first;
    v->in_first = m->next;
    if (!v->in_first)
        v->in_last = &v->in_first;
    v->n_in--;
    pthread_mutex_unlock(&v->lock);
    free(m);
}

void bus_drop_messages(struct vmbus *v)
{
    while (peek_message(v))
        drop_message(v);
}

static bool must_wait(struct vmbus *v)
{
    return v->n_closing ||
           (v->version && synic_queued(v->cfg.hv, v->msg_vp, v->msg_sint) > ANSWERS_WAIT_MAX);
}

void bus_run_messages(struct vmbus *v)
{
    struct message_in *m;

    for (unsigned i = 0; i < MESSAGES_A_TURN; i++) {
        if (must_wait(v) || !(m = peek_message(v)))
            return;
        if (!bus_handle(v, m->p, m->n))
            return;
        drop_message(v);
    }
    loop_post(v->loop, &v->in_work); /* channels have their turn between */
}

static void in_ran(struct work *w)
{
    bus_run_messages(container_of(w, struct vmbus, in_work));
}

void bus_post(struct vmbus *v, const void *msg, size_t n)
{
    int r = synic_post(v->cfg.hv, v->msg_vp, v->msg_sint, VMBUS_MESSAGE_TYPE, msg, n);

    TRACE("vmbus", "send", "type %u, %zu bytes", get_le32(msg), n);
    if (r < 0)
        log_limited(LOG_WARN, "VMBus: message of type %u lost: %s", get_le32(msg), strerror(-r));
}

#define HEADER(t) { .type = (t) }

/* ---- contact --------------------------------------------------------------------------------- */

bool bus_version_known(const struct vmbus *v, uint32_t version)
{
    for (size_t i = 0; i < ARRAY_LEN(versions); i++)
        if (versions[i] == version)
            return version <= v->cfg.max_version;
    return false;
}

static void tell_contact(struct vmbus *v)
{
    if (v->cfg.ops && v->cfg.ops->contact)
        v->cfg.ops->contact(v->cfg.owner, v->version);
}

/* Providers may rescind channels while we close others: each round looks at the list anew. */
static void channels_disconnect(struct vmbus *v)
{
    struct channel *ch;

    for (ch = v->channels; ch; ch = ch->next) {
        ch->announced = false;
        ch->doomed |= ch->primary != ch;
    }
    do {
        for (ch = v->channels; ch && ch->state != CHANNEL_OPEN;)
            ch = ch->next;
        if (ch)
            channel_close_now(ch);
    } while (ch);
    do {
        for (ch = v->channels; ch && !channel_removable(ch);)
            ch = ch->next;
        if (ch)
            channel_remove_if_doomed(ch);
    } while (ch);
}

/* Back to the state before any contact.  Channels that their providers cannot close at once are
 * counted in n_closing. */
void bus_disconnect(struct vmbus *v)
{
    bool was = v->version != 0;

    channels_disconnect(v);
    for (uint32_t relid = 1; relid < VMBUS_RELIDS; relid++)
        if (v->slot[relid].taken && !v->slot[relid].ch)
            bus_release_relid(v, relid);
    for (unsigned i = 0; i < GPADL_BUCKETS; i++) {
        for (struct gpadl *g = v->gpadls.bucket[i], *next; g; g = next) {
            next = g->next;
            g->torn = true;
            if (!g->users)
                gpadl_free(&v->gpadls, g);
        }
    }
    if (was)
        synic_forget(v->cfg.hv, v->msg_vp, v->msg_sint);
    v->version = 0;
    v->interrupt_page = v->monitor_page[0] = v->monitor_page[1] = 0;
    v->offers_requested = false;
    if (was)
        tell_contact(v);
}

static int on_contact(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct vmbus_initiate_contact m;
    struct vmbus_version_response r = { HEADER(VMBUS_VERSION_RESPONSE) };

    memcpy(&m, p, sizeof m);
    bus_disconnect(v);
    if (v->n_closing)
        return 0;
    bool new_style = m.version >= VMBUS_V5_0;
    v->msg_vp = m.target_vp < vmbus_n_vps(v) ? m.target_vp : 0;
    v->msg_sint = new_style ? (uint8_t)m.interrupt_page % HV_SINTS : VMBUS_SINT;
    if (bus_version_known(v, m.version)) {
        v->version = m.version;
        v->interrupt_page = new_style ? 0 : m.interrupt_page;
        v->monitor_page[0] = m.monitor_page[0];
        v->monitor_page[1] = m.monitor_page[1];
        r.supported = 1;
        r.connection = VMBUS_MESSAGE_CONNECTION;
    }
    TRACE("vmbus", "contact", "version %u.%u vp %u sint %u: %s", m.version >> 16,
          m.version & 0xffff, v->msg_vp, v->msg_sint, r.supported ? "yes" : "no");
    bus_post(v, &r, sizeof r);
    if (v->version)
        tell_contact(v);
    return 1;
}

static int on_unload(struct vmbus *v, const uint8_t *p, size_t n)
{
    const struct vmbus_header r = HEADER(VMBUS_UNLOAD_RESPONSE);

    bus_disconnect(v);
    if (v->n_closing)
        return 0;
    bus_post(v, &r, sizeof r);
    return 1;
}

static int on_request_offers(struct vmbus *v, const uint8_t *p, size_t n)
{
    const struct vmbus_header r = HEADER(VMBUS_ALL_OFFERS_DELIVERED);

    if (v->offers_requested)
        return 1;
    v->offers_requested = true;
    bus_send_offers(v);
    bus_post(v, &r, sizeof r);
    return 1;
}

/* ---- GPADLs ---------------------------------------------------------------------------------- */

static void send_gpadl_created(struct vmbus *v, uint32_t relid, uint32_t id, uint32_t status)
{
    const struct vmbus_gpadl_created r = {
        HEADER(VMBUS_GPADL_CREATED), .relid = relid, .gpadl = id, .status = status
    };

    TRACE("vmbus", "gpadl", "%#x of relid %u: %#x", id, relid, status);
    bus_post(v, &r, sizeof r);
}

static void add_to_gpadl(struct vmbus *v, struct gpadl *g, struct bytes words)
{
    uint32_t relid = g->relid, id = g->id;
    int r = gpadl_add(&v->gpadls, g, words);

    if (r < 0) {
        gpadl_free(&v->gpadls, g);
        send_gpadl_created(v, relid, id,
                           r == -ENOSPC || r == -ENOMEM ? VMBUS_STATUS_NO_RESOURCES
                                                        : VMBUS_STATUS_INVALID);
    } else if (r > 0) {
        send_gpadl_created(v, relid, id, VMBUS_STATUS_OK);
    }
}

static int on_gpadl_header(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct vmbus_gpadl_header m;
    struct gpadl *g;

    memcpy(&m, p, sizeof m);
    int r = gpadl_new(&v->gpadls, m.gpadl, m.relid, m.n_ranges, &g);
    if (r < 0)
        send_gpadl_created(v, m.relid, m.gpadl,
                           r == -EINVAL || r == -EEXIST ? VMBUS_STATUS_INVALID
                                                        : VMBUS_STATUS_NO_RESOURCES);
    else
        add_to_gpadl(v, g, bytes_of(p + sizeof m, n - sizeof m));
    return 1;
}

static int on_gpadl_body(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct vmbus_gpadl_body m;

    memcpy(&m, p, sizeof m);
    struct gpadl *g = gpadl_find(&v->gpadls, m.gpadl);
    if (g && !g->complete)
        add_to_gpadl(v, g, bytes_of(p + sizeof m, n - sizeof m));
    return 1;
}

static void send_torndown(struct vmbus *v, uint32_t id)
{
    const struct vmbus_gpadl_torndown r = { HEADER(VMBUS_GPADL_TORNDOWN), .gpadl = id };

    bus_post(v, &r, sizeof r);
}

static int on_gpadl_teardown(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct vmbus_gpadl_teardown m;

    memcpy(&m, p, sizeof m);
    struct gpadl *g = gpadl_find(&v->gpadls, m.gpadl);
    if (g && g->users) {
        g->torn = true; /* answered by the last user */
        return 1;
    }
    if (g)
        gpadl_free(&v->gpadls, g);
    send_torndown(v, m.gpadl); /* for an unknown one, too: the guest would wait for ever */
    return 1;
}

void bus_gpadl_put(struct vmbus *v, struct gpadl *g)
{
    assert(g->users);
    if (--g->users || !g->torn)
        return;
    uint32_t id = g->id;
    gpadl_free(&v->gpadls, g);
    if (v->version)
        send_torndown(v, id);
}

struct gpadl *channel_gpadl_get(struct channel *ch, uint32_t id)
{
    struct gpadl *g = gpadl_find(&ch->bus->gpadls, id);

    if (!g || !g->complete || g->torn)
        return NULL;
    g->users++;
    return g;
}

void channel_gpadl_put(struct channel *ch, struct gpadl *g)
{
    bus_gpadl_put(ch->bus, g);
}

/* ---- channels -------------------------------------------------------------------------------- */

static uint32_t status_of(int r)
{
    if (r == 0)
        return VMBUS_STATUS_OK;
    return r == -EINVAL ? VMBUS_STATUS_INVALID : VMBUS_STATUS_UNSUCCESSFUL;
}

static int on_open(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct vmbus_open_channel m;
    struct vmbus_open_result r = { HEADER(VMBUS_OPEN_RESULT) };

    memcpy(&m, p, sizeof m);
    struct channel *ch = bus_channel(v, m.relid);
    if (!ch && m.relid < VMBUS_RELIDS && v->slot[m.relid].taken)
        return 1; /* we have just rescinded it: the guest will find that message */
    r.relid = m.relid;
    r.open_id = m.open_id;
    int e = ch ? channel_open_rings(ch, &m) : -ENOENT;
    r.status = status_of(e);
    TRACE("vmbus", "open", "relid %u gpadl %#x down page %u vp %u: %s", m.relid, m.gpadl,
          m.down_page, m.target_vp, e < 0 ? strerror(-e) : "open");
    bus_post(v, &r, sizeof r);
    if (e == 0)
        channel_start(ch);
    return 1;
}

static int on_close(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct channel *ch = bus_channel(v, get_le32(p + offsetof(struct vmbus_relid, relid)));

    TRACE("vmbus", "close", "relid %u", ch ? ch->relid : 0);
    if (ch && ch->state == CHANNEL_OPEN)
        channel_close_now(ch);
    return 1;
}

static int on_released(struct vmbus *v, const uint8_t *p, size_t n)
{
    uint32_t relid = get_le32(p + offsetof(struct vmbus_relid, relid));

    if (!relid || relid >= VMBUS_RELIDS || !v->slot[relid].taken)
        return 1;
    struct channel *ch = v->slot[relid].ch;
    if (!ch) {
        bus_release_relid(v, relid);
    } else if (ch->primary != ch && ch->state == CHANNEL_CLOSED) {
        /* Linux lets its sub-channels go by itself before it closes their primary. */
        ch->announced = false;
        ch->doomed = true;
        channel_remove_if_doomed(ch);
    }
    return 1;
}

static int on_modify(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct vmbus_modify_channel m;
    struct vmbus_modify_response r = { HEADER(VMBUS_MODIFY_RESPONSE) };

    memcpy(&m, p, sizeof m);
    struct channel *ch = bus_channel(v, m.relid);
    bool ok = ch && ch->state == CHANNEL_OPEN && m.target_vp < vmbus_n_vps(v);
    if (ok)
        ch->target_vp = m.target_vp; /* signals leave on this thread: none goes to the old VP now */
    r.relid = m.relid;
    r.status = ok ? VMBUS_STATUS_OK : VMBUS_STATUS_INVALID;
    if (v->version >= VMBUS_V5_3)
        bus_post(v, &r, sizeof r);
    return 1;
}

static int on_tl_connect(struct vmbus *v, const uint8_t *p, size_t n)
{
    struct vmbus_tl_connect m;
    struct vmbus_tl_connect_result r = { HEADER(VMBUS_TL_CONNECT_RESULT) };

    memcpy(&m, p, sizeof m);
    r.endpoint = m.endpoint;
    r.service = m.service;
    r.status = VMBUS_STATUS_REFUSED; /* nobody listens */
    bus_post(v, &r, sizeof r);
    return 1;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static const struct row {
    const char *name;
    int (*handle)(struct vmbus *v, const uint8_t *p, size_t n);
    uint16_t min;     /* bytes */
    bool any_contact; /* also before a version was agreed on */
} rows[VMBUS_MESSAGE_TYPES] = {
    /* clang-format off */
    [VMBUS_REQUEST_OFFERS]   = { "request offers", on_request_offers, sizeof(struct vmbus_header) },
    [VMBUS_OPEN_CHANNEL]     = { "open", on_open, sizeof(struct vmbus_open_channel) },
    [VMBUS_CLOSE_CHANNEL]    = { "close", on_close, sizeof(struct vmbus_relid) },
    [VMBUS_GPADL_HEADER]     = { "gpadl header", on_gpadl_header,
                                 sizeof(struct vmbus_gpadl_header) },
    [VMBUS_GPADL_BODY]       = { "gpadl body", on_gpadl_body, sizeof(struct vmbus_gpadl_body) },
    [VMBUS_GPADL_TEARDOWN]   = { "gpadl teardown", on_gpadl_teardown,
                                 sizeof(struct vmbus_gpadl_teardown) },
    [VMBUS_RELID_RELEASED]   = { "relid released", on_released, sizeof(struct vmbus_relid) },
    [VMBUS_INITIATE_CONTACT] = { "initiate contact", on_contact,
                                 sizeof(struct vmbus_initiate_contact), true },
    [VMBUS_UNLOAD]           = { "unload", on_unload, sizeof(struct vmbus_header), true },
    [VMBUS_TL_CONNECT]       = { "socket connect", on_tl_connect, sizeof(struct vmbus_tl_connect) },
    [VMBUS_MODIFY_CHANNEL]   = { "modify", on_modify, sizeof(struct vmbus_modify_channel) },
    /* clang-format on */
};

int bus_handle(struct vmbus *v, const uint8_t *p, size_t n)
{
    uint32_t type = n >= 4 ? get_le32(p) : 0;
    const struct row *row = type < VMBUS_MESSAGE_TYPES ? &rows[type] : &rows[0];

    TRACE("vmbus", "message", "type %u %s, %zu bytes", type, row->name ? row->name : "?", n);
    if (!row->handle || n < row->min) {
        log_limited(LOG_WARN, "VMBus: message of type %u with %zu bytes ignored", type, n);
        return 1;
    }
    if (!v->version && !row->any_contact)
        return 1; /* late ones of an old contact */
    return row->handle(v, p, n);
}

/* ---- life ------------------------------------------------------------------------------------ */

int vmbus_new(const struct vmbus_config *cfg, struct vmbus **ret, struct err *err)
{
    struct vmbus *v = calloc(1, sizeof *v);

    if (v)
        v->range = calloc(PACKET_RANGES_MAX, sizeof *v->range);
    if (!v || !v->range) {
        free(v);
        return err_set(err, ENOMEM, "out of memory");
    }
    v->cfg = *cfg;
    if (!v->cfg.max_version)
        v->cfg.max_version = versions[ARRAY_LEN(versions) - 1];
    v->gmem = synic_gmem(cfg->hv);
    v->loop = cfg->loop;
    v->gpadls.gmem = v->gmem;
    v->in_last = &v->in_first;
    v->in_work.run = in_ran;
    v->interrupt_page_work.run = bus_interrupt_page_ran;
    v->msg_sint = VMBUS_SINT;
    pthread_mutex_init(&v->lock, NULL);
    for (unsigned i = 0; i < VMBUS_RELIDS; i++) {
        v->slot[i].bus = v;
        v->slot[i].work.run = channel_ran;
    }
    v->slot[0].taken = true; /* no channel has id 0 */
    timer_init(&v->retry, v->loop, bus_retry);
    synic_set_ports(cfg->hv, &ports, v);
    *ret = v;
    return 0;
}

void vmbus_free(struct vmbus *v)
{
    if (!v)
        return;
    synic_set_ports(v->cfg.hv, NULL, NULL);
    timer_disarm(&v->retry);
    loop_unpost(v->loop, &v->in_work);
    loop_unpost(v->loop, &v->interrupt_page_work);
    for (unsigned i = 0; i < VMBUS_RELIDS; i++)
        loop_unpost(v->loop, &v->slot[i].work);
    for (struct channel *ch; (ch = v->channels) != NULL;) {
        v->channels = ch->next;
        for (struct waiting *w; (w = ch->first) != NULL;) {
            ch->first = w->next;
            free(w);
        }
        ring_unmap(&ch->in);
        ring_unmap(&ch->out);
        free(ch);
    }
    for (unsigned i = 0; i < GPADL_BUCKETS; i++)
        while (v->gpadls.bucket[i])
            gpadl_free(&v->gpadls, v->gpadls.bucket[i]);
    bus_drop_messages(v);
    pthread_mutex_destroy(&v->lock);
    free(v->buf.p);
    free(v->range);
    free(v);
}

bool vmbus_reset(struct vmbus *v)
{
    bus_drop_messages(v);
    bus_disconnect(v);
    v->resetting = v->n_closing != 0;
    return !v->resetting;
}

void bus_quiet(struct vmbus *v)
{
    if (v->resetting) {
        v->resetting = false;
        if (v->cfg.ops && v->cfg.ops->quiet)
            v->cfg.ops->quiet(v->cfg.owner);
    }
    loop_post(v->loop, &v->in_work);
}

uint32_t vmbus_version(const struct vmbus *v)
{
    return v->version;
}

struct loop *vmbus_loop(const struct vmbus *v)
{
    return v->loop;
}

struct gmem *vmbus_gmem(const struct vmbus *v)
{
    return v->gmem;
}

unsigned vmbus_n_vps(const struct vmbus *v)
{
    return synic_n_vps(v->cfg.hv);
}

uint64_t vmbus_ref_time(const struct vmbus *v)
{
    return hv_ref_time(v->cfg.hv);
}
