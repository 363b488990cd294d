/* SPDX-License-Identifier: GPL-2.0-or-later */
/* channel.c - an open channel: its rings, packets in and out, signals both ways.
 *
 * A signal of the guest posts the channel's slot to the loop, where channel_ran() first sends what
 * waits for room and then takes packets until the in ring is empty.  It stops in between when the
 * provider holds, when packets wait for room, or when other channels should have a turn.
 *
 * Called: the loop (slot.work), server.c (open, close), providers (channel.h). */
#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "base/trace.h"
#include "vmbus/packet.h"
#include "vmbus/vmbus_int.h"

#define PACKETS_A_TURN 128
#define RETRY_NS       (10 * NS_PER_MS)

#define PAGES_HALF 2048 /* the interrupt page: first half to the guest, second half from it */

void channel_kick(struct channel *ch)
{
    loop_post(ch->bus->loop, &slot_of(ch)->work);
}

/* ---- signals to the guest -------------------------------------------------------------------- */

/* Guests before 2.4 look for the channel's bit in their interrupt page, on one VP. */
static void signal_by_page(struct vmbus *v, uint32_t relid)
{
    gpa_t at = GPA(ALIGN_DOWN(v->interrupt_page, PAGE_SIZE) + relid / 8);
    uint8_t *byte = v->interrupt_page ? gmem_host(v->gmem, at, 1) : NULL;

    if (!byte)
        return;
    __atomic_fetch_or(byte, (uint8_t)(1u << relid % 8), __ATOMIC_SEQ_CST);
    gmem_wrote(v->gmem, at, 1);
    synic_signal(v->cfg.hv, v->msg_vp, VMBUS_SINT, 0);
}

void channel_signal(struct channel *ch)
{
    struct vmbus *v = ch->bus;

    ch->signals_out++;
    if (v->version < VMBUS_V2_4)
        signal_by_page(v, ch->relid);
    else if (ch->target_vp != VMBUS_NO_INTERRUPT)
        synic_signal(v->cfg.hv, ch->target_vp, v->msg_sint, ch->relid);
}

/* A guest of 0.13 signals all its channels by one event: the bits say which. */
void bus_interrupt_page_ran(struct work *w)
{
    struct vmbus *v = container_of(w, struct vmbus, interrupt_page_work);
    gpa_t at = GPA(ALIGN_DOWN(v->interrupt_page, PAGE_SIZE) + PAGES_HALF);
    uint8_t *bits = v->interrupt_page ? gmem_host(v->gmem, at, VMBUS_RELIDS / 8) : NULL;

    for (uint32_t i = 0; bits && i < VMBUS_RELIDS / 8; i++) {
        if (!__atomic_load_n(&bits[i], __ATOMIC_RELAXED))
            continue;
        uint8_t set = __atomic_exchange_n(&bits[i], 0, __ATOMIC_SEQ_CST);
        gmem_wrote(v->gmem, GPA(at.v + i), 1);
        for (uint32_t k = 0; k < 8; k++) {
            struct channel *ch = set & 1u << k ? bus_channel(v, i * 8 + k) : NULL;
            if (ch)
                channel_kick(ch);
        }
    }
}

/* ---- open and close -------------------------------------------------------------------------- */

/* The rings of ch->gpadl; our indices are 0 still. */
int channel_map_rings(struct channel *ch)
{
    struct gmem *m = ch->bus->gmem;
    const struct gpa_range *r = &ch->gpadl->range[0];
    uint32_t pages = r->size >> PAGE_SHIFT, down = ch->down_page;
    int e;

    if (ch->gpadl->n_ranges != 1 || r->offset || r->size % PAGE_SIZE || down >= pages)
        return -EINVAL;
    e = ring_map(&ch->in, m, r->pfn, down);
    if (e < 0)
        return e;
    e = ring_map(&ch->out, m, r->pfn + down, pages - down);
    if (e < 0)
        ring_unmap(&ch->in);
    return e;
}

static void unmap_rings(struct channel *ch)
{
    ring_unmap(&ch->in);
    ring_unmap(&ch->out);
    bus_gpadl_put(ch->bus, ch->gpadl);
    ch->gpadl = NULL;
}

int channel_open_rings(struct channel *ch, const struct vmbus_open_channel *m)
{
    struct vmbus *v = ch->bus;
    int e;

    if (ch->state != CHANNEL_CLOSED || ch->doomed || !ch->announced)
        return -EBUSY;
    if (v->version >= VMBUS_V2_4 && m->target_vp != VMBUS_NO_INTERRUPT &&
        m->target_vp >= vmbus_n_vps(v))
        return -EINVAL;
    ch->gpadl = channel_gpadl_get(ch, m->gpadl);
    if (!ch->gpadl)
        return -EINVAL;
    ch->open_id = m->open_id;
    ch->target_vp = m->target_vp;
    ch->down_page = m->down_page;
    memcpy(ch->user, m->user, sizeof ch->user);
    ch->held = ch->want_writable = false;
    ch->packets_in = ch->packets_out = ch->signals_out = 0;
    e = channel_map_rings(ch);
    if (e == 0 && (!ring_start_in(&ch->in) || !ring_start_out(&ch->out)))
        e = -EINVAL;
    if (e == 0)
        e = ch->ops->open(ch);
    if (e < 0) {
        unmap_rings(ch);
        return e;
    }
    ch->state = CHANNEL_OPEN;
    return 0;
}

void channel_start(struct channel *ch)
{
    ch->busy++;
    if (ch->ops->opened)
        ch->ops->opened(ch);
    ch->busy--;
    if (ch->state == CHANNEL_OPEN)
        channel_kick(ch); /* the guest may have written before */
    channel_remove_if_doomed(ch);
}

static void forget_waiting(struct channel *ch)
{
    for (struct waiting *w; (w = ch->first) != NULL;) {
        ch->first = w->next;
        free(w);
    }
    ch->last = &ch->first;
    ch->n_waiting = 0;
}

/* The provider is done with the guest's memory. */
static void finish_close(struct channel *ch)
{
    struct vmbus *v = ch->bus;

    ch->state = CHANNEL_CLOSED;
    unmap_rings(ch);
    v->n_closing--;
    channel_remove_if_doomed(ch);
    if (!v->n_closing)
        bus_quiet(v);
}

void channel_close_now(struct channel *ch)
{
    assert(ch->state == CHANNEL_OPEN);
    ch->state = CHANNEL_CLOSING;
    ch->bus->n_closing++;
    forget_waiting(ch);
    loop_unpost(ch->bus->loop, &slot_of(ch)->work);
    ch->busy++;
    bool now = ch->ops->close(ch);
    ch->busy--;
    if (now)
        finish_close(ch);
}

void channel_closed(struct channel *ch)
{
    assert(ch->state == CHANNEL_CLOSING);
    finish_close(ch);
}

void channel_break(struct channel *ch, const char *why)
{
    if (ch->state != CHANNEL_OPEN)
        return;
    log_limited(LOG_WARN, "VMBus channel %u (%s): %s; closed", ch->relid, ch->ops->name, why);
    channel_close_now(ch);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* An errno of ring_put() other than -EAGAIN is the end of the channel. */
static int put(struct channel *ch, const struct iovec *iov, unsigned n_iov, size_t n)
{
    bool signal = false;
    int r = ring_put(&ch->out, iov, n_iov, n, &signal);

    if (r == 0) {
        ch->packets_out++;
        if (!ch->first && !ch->want_writable)
            ring_stop_waiting(&ch->out);
        if (signal)
            channel_signal(ch);
    } else if (r == -EAGAIN && !ring_guest_signals_room(&ch->out)) {
        struct timer *t = &ch->bus->retry;
        if (!timer_armed(t))
            timer_arm(t, clock_now_ns(loop_clock(ch->bus->loop)) + RETRY_NS);
    }
    return r;
}

void bus_retry(struct timer *t)
{
    struct vmbus *v = container_of(t, struct vmbus, retry);

    for (struct channel *ch = v->channels; ch; ch = ch->next)
        if (ch->state == CHANNEL_OPEN && (ch->first || ch->want_writable))
            channel_kick(ch);
}

void channel_enqueue(struct channel *ch, struct waiting *w)
{
    w->next = NULL;
    *ch->last = w;
    ch->last = &w->next;
    ch->n_waiting++;
}

/* The parts of a packet: header, type-specific header, payload, padding. */
#define PARTS 4

struct parts {
    struct vmbus_packet h;
    struct iovec iov[PARTS];
    size_t n;
};

static bool parts_make(struct parts *p, enum vmbus_packet_type type, uint64_t id, bool completion,
                       const void *head, size_t n_head, const void *payload, size_t n)
{
    static const uint8_t padding[8];
    size_t offset = sizeof p->h + n_head, len = ALIGN_UP(offset + n, 8);

    assert(n_head % 8 == 0);
    if (n_head > CHANNEL_SEND_MAX || n > CHANNEL_SEND_MAX ||
        len + VMBUS_PACKET_TRAILER > CHANNEL_SEND_MAX)
        return false;
    p->h = (struct vmbus_packet){
        .type = (uint16_t)type,
        .offset8 = (uint16_t)(offset / 8),
        .len8 = (uint16_t)(len / 8),
        .flags = completion ? VMBUS_PACKET_WANTS_COMPLETION : 0,
        .id = id,
    };
    p->iov[0] = (struct iovec){ &p->h, sizeof p->h };
    p->iov[1] = (struct iovec){ (void *)(uintptr_t)head, n_head };
    p->iov[2] = (struct iovec){ (void *)(uintptr_t)payload, n };
    p->iov[3] = (struct iovec){ (void *)(uintptr_t)padding, len - offset - n };
    p->n = len;
    return true;
}

int channel_try_send(struct channel *ch, enum vmbus_packet_type type, uint64_t id,
                     bool want_completion, const void *head, size_t n_head, const void *payload,
                     size_t n)
{
    struct parts p;
    int r = -EAGAIN;

    if (ch->state != CHANNEL_OPEN)
        return -ENOTCONN;
    if (!parts_make(&p, type, id, want_completion, head, n_head, payload, n) ||
        p.n + VMBUS_PACKET_TRAILER >= ch->out.size)
        return -EMSGSIZE;
    if (!ch->first)
        r = put(ch, p.iov, PARTS, p.n);
    if (r == -EBADMSG) {
        channel_break(ch, "the out ring's read index is wrong");
        return -ENOTCONN;
    }
    ch->want_writable |= r == -EAGAIN;
    return r;
}

static int enqueue_parts(struct channel *ch, const struct parts *p)
{
    struct waiting *w = malloc(sizeof *w + p->n);
    uint8_t *to = w ? w->raw : NULL;

    if (!w) {
        channel_break(ch, "out of memory");
        return -ENOMEM;
    }
    w->n = (uint32_t)p->n;
    for (unsigned i = 0; i < PARTS; i++) {
        if (p->iov[i].iov_len)
            memcpy(to, p->iov[i].iov_base, p->iov[i].iov_len);
        to += p->iov[i].iov_len;
    }
    channel_enqueue(ch, w);
    return 0;
}

static int send(struct channel *ch, enum vmbus_packet_type type, uint64_t id, bool completion,
                const void *payload, size_t n)
{
    struct parts p;
    int r = -EAGAIN;

    if (ch->state != CHANNEL_OPEN)
        return -ENOTCONN;
    if (!parts_make(&p, type, id, completion, NULL, 0, payload, n) ||
        p.n + VMBUS_PACKET_TRAILER >= ch->out.size)
        return -EMSGSIZE;
    if (!ch->first)
        r = put(ch, p.iov, PARTS, p.n);
    if (r == -EAGAIN)
        return enqueue_parts(ch, &p);
    if (r < 0) {
        channel_break(ch, "the out ring's read index is wrong");
        return -ENOTCONN;
    }
    return 0;
}

int channel_send(struct channel *ch, uint64_t id, bool want_completion, const void *payload,
                 size_t n)
{
    return send(ch, VMBUS_PACKET_INBAND, id, want_completion, payload, n);
}

int channel_complete(struct channel *ch, uint64_t id, const void *payload, size_t n)
{
    return send(ch, VMBUS_PACKET_COMPLETION, id, false, payload, n);
}

/* Send what waits; false when the channel is no longer open. */
static bool flush_waiting(struct channel *ch)
{
    while (ch->first) {
        struct waiting *w = ch->first;
        struct iovec iov = { w->raw, w->n };
        int r = put(ch, &iov, 1, w->n);
        if (r == -EAGAIN)
            return true;
        if (r < 0) {
            channel_break(ch, "the out ring's read index is wrong");
            return false;
        }
        ch->first = w->next;
        if (!ch->first)
            ch->last = &ch->first;
        ch->n_waiting--;
        free(w);
    }
    ring_stop_waiting(&ch->out);
    if (ch->want_writable) {
        ch->want_writable = false;
        if (ch->ops->writable)
            ch->ops->writable(ch);
    }
    return ch->state == CHANNEL_OPEN;
}

/* ---- in -------------------------------------------------------------------------------------- */

void channel_hold(struct channel *ch)
{
    ch->held = true;
}

void channel_resume(struct channel *ch)
{
    ch->held = false;
    if (ch->state == CHANNEL_OPEN)
        channel_kick(ch);
}

/* Take one packet.  1: took one; 0: there is none; -1: the channel is no longer open. */
static int take_packet(struct channel *ch)
{
    struct vmbus *v = ch->bus;
    struct packet p;
    int n = ring_next(&ch->in, &v->buf);

    if (n == 0)
        return 0;
    if (n < 0) {
        channel_break(ch, n == -ENOMEM ? "out of memory" : "the in ring makes no sense");
        return -1;
    }
    ch->packets_in++;
    if (packet_decode(v->buf.p, (size_t)n, v->range, &p) < 0) {
        channel_break(ch, "a packet's ranges do not fit into it");
        return -1;
    }
    ch->ops->packet(ch, &p);
    return ch->state == CHANNEL_OPEN ? 1 : -1;
}

static void commit(struct channel *ch)
{
    if (ring_commit(&ch->in))
        channel_signal(ch);
}

/* The mask stays set when we stop before the ring is empty: whoever lets us go on kicks. */
static void drain(struct channel *ch)
{
    unsigned left = PACKETS_A_TURN;

    ring_awake(&ch->in);
    for (;;) {
        if (ch->held || ch->first)
            break;
        if (!left--) {
            channel_kick(ch);
            break;
        }
        int r = take_packet(ch);
        if (r < 0)
            return;
        if (r == 0) {
            commit(ch);
            if (ring_sleep(&ch->in))
                return;
        }
    }
    commit(ch);
}

void channel_ran(struct work *w)
{
    struct channel *ch = container_of(w, struct slot, work)->ch;

    if (!ch || ch->state != CHANNEL_OPEN)
        return;
    ch->busy++;
    if (flush_waiting(ch))
        drain(ch);
    ch->busy--;
    channel_remove_if_doomed(ch);
}
