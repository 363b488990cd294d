/* SPDX-License-Identifier: GPL-2.0-or-later */
/* service.c - see service.h.  Peer: Linux drivers/hv/hv_util.c, channel_mgmt.c (negotiation). */
#include "vsp/ic/service.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/log.h"
#include "base/trace.h"

#define PIPE_DATA   1u
#define PIPE_HEAD   8
#define HEADS       (PIPE_HEAD + sizeof(struct ic_header))
#define NEGOTIATION (sizeof(struct ic_negotiate) + 2 * IC_VERSIONS_MAX * sizeof(struct ic_version))

static const struct ic_version frameworks[] = { { 3, 0 }, { 1, 0 } };

/* ---- from the guest -------------------------------------------------------------------------- */

int ic_decode(const uint8_t *payload, size_t n, struct ic_answer *ret)
{
    struct ic_answer a = { 0 };

    if (n < HEADS || get_le32(payload) != PIPE_DATA)
        return -EBADMSG;
    memcpy(&a.head, payload + PIPE_HEAD, sizeof a.head);
    a.body = payload + HEADS;
    a.n = n - HEADS;
    if (a.head.size > a.n)
        return -EBADMSG;
    a.n = a.head.size;
    if (a.head.type == IC_NEGOTIATE) {
        struct ic_negotiate head;
        if (a.n < sizeof head)
            return -EBADMSG;
        memcpy(&head, a.body, sizeof head);
        if (head.n_framework == 1 && head.n_message == 1) {
            if (a.n < sizeof head + 2 * sizeof a.framework)
                return -EBADMSG;
            memcpy(&a.framework, a.body + sizeof head, sizeof a.framework);
            memcpy(&a.message, a.body + sizeof head + sizeof a.framework, sizeof a.message);
        }
    }
    *ret = a;
    return 0;
}

static void set_state(struct ic_service *s, enum ic_state state)
{
    __atomic_store_n(&s->state, state, __ATOMIC_RELAXED);
}

static bool offered(const struct ic_version *v, unsigned n, struct ic_version want)
{
    for (unsigned i = 0; i < n; i++)
        if (v[i].major == want.major && v[i].minor == want.minor)
            return true;
    return false;
}

static void on_negotiated(struct ic_service *s, const struct ic_answer *a)
{
    if (!offered(frameworks, ARRAY_LEN(frameworks), a->framework) ||
        !offered(s->ops->versions, s->ops->n_versions, a->message)) {
        set_state(s, IC_REFUSED);
        return;
    }
    s->framework = a->framework;
    s->message = a->message;
    set_state(s, IC_READY);
    TRACE("ic", "ready", "%s framework %u.%u message %u.%u", s->ops->name, a->framework.major,
          a->framework.minor, a->message.major, a->message.minor);
    s->ops->ready(s);
}

static void on_packet(struct channel *ch, const struct packet *p)
{
    struct ic_service *s = channel_owner(ch);
    struct ic_answer a;

    if (ic_decode(p->payload, p->size, &a) < 0) {
        log_limited(LOG_DEBUG, "%s: a malformed answer", s->ops->name);
        return;
    }
    /* Only an answer to what was asked last counts. */
    if (!s->waiting || a.head.transaction != s->transaction ||
        !(a.head.flags & IC_FLAG_RESPONSE))
        return;
    if (s->state == IC_OPEN && a.head.type == IC_NEGOTIATE) {
        s->waiting = 0;
        on_negotiated(s, &a);
    } else if (s->state != IC_OPEN && a.head.type == s->ops->type) {
        s->waiting = 0;
        s->answers++;
        s->ops->answered(s, &a);
    }
}

/* ---- to the guest ---------------------------------------------------------------------------- */

static int send(struct ic_service *s, uint16_t type, const void *body, size_t n)
{
    uint8_t out[IC_MESSAGE_MAX];
    struct ic_header head = {
        .framework = s->framework, .type = type, .message = s->message, .size = (uint16_t)n,
        .transaction = ++s->transaction, .flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
    };

    put_le32(out, PIPE_DATA);
    put_le32(out + 4, (uint32_t)(sizeof head + n));
    memcpy(out + PIPE_HEAD, &head, sizeof head);
    memcpy(out + HEADS, body, n);
    s->waiting = 1;
    return channel_send(s->ch, s->transaction, false, out, HEADS + n);
}

int ic_service_ask(struct ic_service *s, const void *body, size_t n)
{
    if (s->state != IC_READY && s->state != IC_LOST)
        return -ENOTCONN;
    if (s->waiting)
        return -EBUSY;
    return send(s, s->ops->type, body, n);
}

static void negotiate(struct ic_service *s)
{
    uint8_t body[NEGOTIATION] = { 0 };
    struct ic_negotiate head = { ARRAY_LEN(frameworks), (uint16_t)s->ops->n_versions, 0 };
    size_t n = sizeof head;

    memcpy(body, &head, sizeof head);
    memcpy(body + n, frameworks, sizeof frameworks);
    n += sizeof frameworks;
    memcpy(body + n, s->ops->versions, s->ops->n_versions * sizeof s->ops->versions[0]);
    n += s->ops->n_versions * sizeof s->ops->versions[0];
    send(s, IC_NEGOTIATE, body, n);
}

/* ---- the channel's life ---------------------------------------------------------------------- */

static int on_open(struct channel *ch)
{
    struct ic_service *s = channel_owner(ch);

    s->waiting = 0;
    s->framework = s->message = (struct ic_version){ 0 };
    set_state(s, IC_OPEN);
    return 0;
}

static void on_opened(struct channel *ch)
{
    negotiate(channel_owner(ch));
}

static bool on_close(struct channel *ch)
{
    struct ic_service *s = channel_owner(ch);

    set_state(s, IC_CLOSED);
    s->waiting = 0;
    timer_disarm(&s->timer);
    if (s->ops->closed)
        s->ops->closed(s);
    return true;
}

static const struct state_field version_fields[] = {
    STATE(struct ic_version, major),
    STATE(struct ic_version, minor),
};
static const struct state_desc version_state = STATE_DESC("version", 1, version_fields);

static const struct state_field service_fields[] = {
    STATE(struct ic_service, state),
    STATE(struct ic_service, waiting),
    STATE(struct ic_service, transaction),
    STATE_STRUCT(struct ic_service, framework, version_state),
    STATE_STRUCT(struct ic_service, message, version_state),
    STATE(struct ic_service, answers),
};
static bool service_check(void *obj)
{
    return ((struct ic_service *)obj)->state <= IC_REFUSED;
}
static const struct state_desc service_state = { "ic", 1, service_fields,
                                                 ARRAY_LEN(service_fields), service_check };

static void on_save(struct channel *ch, struct buf *to)
{
    state_save(to, "ic", &service_state, channel_owner(ch));
}

static int on_load(struct channel *ch, struct bytes *from, struct err *err)
{
    struct ic_service *s = channel_owner(ch);
    int r = state_load(from, "ic", &service_state, s, err);

    if (r == 0 && (s->state == IC_READY || s->state == IC_LOST))
        s->ops->ready(s); /* timers start again; time is set after a restore */
    return r;
}

static const struct channel_ops service_channel = {
    .name = "integration service",
    .open = on_open,
    .opened = on_opened,
    .packet = on_packet,
    .close = on_close,
    .save = on_save,
    .load = on_load,
};

int ic_service_init(struct ic_service *s, const struct ic_service_ops *ops, struct ic *ic,
                    struct vmbus *bus, void (*expired)(struct timer *t), struct err *err)
{
    struct channel_offer o = { .type = ops->class, .instance = ops->instance,
                               .flags = VMBUS_OFFER_ENUMERATE | VMBUS_OFFER_PIPE };

    put_le32(o.user, 4); /* pipe mode: messages */
    *s = (struct ic_service){ .ops = ops, .ic = ic };
    timer_init(&s->timer, vmbus_loop(bus), expired);
    int r = channel_offer(bus, &o, &service_channel, s, &s->ch, err);
    return r < 0 ? err_wrap(err, "%s", ops->name) : 0;
}

void ic_service_done(struct ic_service *s)
{
    if (s->ops)
        timer_disarm(&s->timer);
}
