/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vsc_model.c - see vsc_model.h. */
#include "vmbus/vsc_model.h"

#include <assert.h>
#include <errno.h>

#define TURNS        1000 /* of the loop, until we give up */
#define FIRST_GPADL  0xe1e10
#define PFNS_HEADER  26
#define PFNS_BODY    28
#define PAGES        (MODEL_RAM / PAGE_SIZE - MODEL_FREE / PAGE_SIZE)
#define SCATTER      7919 /* prime to PAGES */

void vsc_init(struct vsc *g, struct hv_model *m, struct loop *loop)
{
    *g = (struct vsc){ .m = m, .loop = loop, .next_gpadl = FIRST_GPADL };
}

void vsc_pages(struct vsc *g, uint64_t *pfn, unsigned n)
{
    while (n--) {
        *pfn = MODEL_FREE / PAGE_SIZE + g->next_page * SCATTER % PAGES;
        if (g->next_page++ >= PAGES) /* not the first use */
            gmem_zero(g->m->gmem, GPA(*pfn << PAGE_SHIFT), PAGE_SIZE);
        pfn++;
    }
}

/* ---- messages ------------------------------------------------------------------------------- */

enum hv_status vsc_post(struct vsc *g, const void *msg, size_t n)
{
    uint32_t connection = g->connection ? g->connection : VMBUS_MESSAGE_CONNECTION;

    return hv_model_post(g->m, 0, connection, VMBUS_MESSAGE_TYPE, msg, n);
}

static void note(struct vsc *g, const struct hv_message *m)
{
    switch (get_le32(m->payload)) {
    case VMBUS_OFFER_CHANNEL:
        assert(g->n_offers < VSC_OFFERS_MAX && m->size == sizeof g->offer[0]);
        memcpy(&g->offer[g->n_offers++], m->payload, sizeof g->offer[0]);
        break;
    case VMBUS_RESCIND_OFFER:
        assert(g->n_rescinded < VSC_OFFERS_MAX);
        g->rescinded[g->n_rescinded++] = get_le32(m->payload + 8);
        break;
    case VMBUS_ALL_OFFERS_DELIVERED: g->all_offers = true; break;
    default: break;
    }
}

void vsc_drain(struct vsc *g)
{
    struct hv_message m;

    if (g->loop)
        loop_poll(g->loop);
    while (hv_model_take(g->m, 0, VMBUS_SINT, &m)) {
        note(g, &m);
        if (g->loop)
            loop_poll(g->loop);
    }
}

bool vsc_wait(struct vsc *g, enum vmbus_message_type type, void *msg, size_t n)
{
    struct hv_message m;

    for (unsigned i = 0; i < TURNS; i++) {
        while (hv_model_take(g->m, 0, VMBUS_SINT, &m)) {
            note(g, &m);
            if (m.type != VMBUS_MESSAGE_TYPE || get_le32(m.payload) != type || m.size < n)
                continue;
            if (msg)
                memcpy(msg, m.payload, n);
            return true;
        }
        if (g->loop)
            loop_poll(g->loop);
        else if (!model_wait(hv_model_vp(g->m, 0), MODEL_VECTOR, VSC_WAIT_MS))
            return false;
    }
    return false;
}

bool vsc_contact(struct vsc *g, uint32_t version)
{
    struct vmbus_initiate_contact m = {
        .h.type = VMBUS_INITIATE_CONTACT,
        .version = version,
        .interrupt_page = version >= VMBUS_V5_0 ? VMBUS_SINT : MODEL_OUTPUT_PAGE,
        .monitor_page = { MODEL_OUTPUT_PAGE + PAGE_SIZE, MODEL_OUTPUT_PAGE + 2 * PAGE_SIZE },
    };
    struct vmbus_version_response r;

    g->n_offers = g->n_rescinded = 0;
    g->all_offers = false;
    g->connection = version >= VMBUS_V5_0 ? VMBUS_MESSAGE_CONNECTION_4 : VMBUS_MESSAGE_CONNECTION;
    if (vsc_post(g, &m, sizeof m) != HV_SUCCESS ||
        !vsc_wait(g, VMBUS_VERSION_RESPONSE, &r, sizeof r))
        return false;
    g->connection = version >= VMBUS_V5_0 ? r.connection : VMBUS_MESSAGE_CONNECTION;
    g->version = r.supported ? version : 0;
    return r.supported;
}

bool vsc_request_offers(struct vsc *g)
{
    struct vmbus_header m = { VMBUS_REQUEST_OFFERS, 0 };

    return vsc_post(g, &m, sizeof m) == HV_SUCCESS &&
           vsc_wait(g, VMBUS_ALL_OFFERS_DELIVERED, NULL, 0);
}

bool vsc_connect(struct vsc *g, uint32_t version)
{
    return vsc_contact(g, version) && vsc_request_offers(g);
}

const struct vmbus_offer_channel *vsc_offer(const struct vsc *g, const struct guid *type,
                                            unsigned sub_index)
{
    for (unsigned i = g->n_offers; i-- > 0;)
        if (memcmp(&g->offer[i].type, type, sizeof *type) == 0 &&
            g->offer[i].sub_index == sub_index)
            return &g->offer[i];
    return NULL;
}

bool vsc_unload(struct vsc *g)
{
    struct vmbus_header m = { VMBUS_UNLOAD, 0 };

    return vsc_post(g, &m, sizeof m) == HV_SUCCESS && vsc_wait(g, VMBUS_UNLOAD_RESPONSE, NULL, 0);
}

/* ---- GPADLs ---------------------------------------------------------------------------------- */

uint32_t vsc_gpadl(struct vsc *g, uint32_t relid, const uint64_t *pfn, unsigned n,
                   uint32_t *ret_id)
{
    uint8_t raw[HV_MESSAGE_PAYLOAD];
    uint32_t id = g->next_gpadl++;
    struct vmbus_gpadl_header h = { { VMBUS_GPADL_HEADER, 0 }, relid, id,
                                    (uint16_t)(8 + 8 * n), 1 };
    struct vmbus_gpadl_range range = { n * (uint32_t)PAGE_SIZE, 0 };
    struct vmbus_gpadl_body b = { { VMBUS_GPADL_BODY, 0 }, 0, id };
    struct vmbus_gpadl_created r;
    unsigned now = MIN(n, PFNS_HEADER);

    memcpy(raw, &h, sizeof h);
    memcpy(raw + sizeof h, &range, sizeof range);
    memcpy(raw + sizeof h + sizeof range, pfn, now * 8);
    vsc_post(g, raw, sizeof h + sizeof range + now * 8);
    for (unsigned done = now; done < n; done += now) {
        now = MIN(n - done, PFNS_BODY);
        memcpy(raw, &b, sizeof b);
        memcpy(raw + sizeof b, pfn + done, now * 8);
        while (vsc_post(g, raw, sizeof b + now * 8) == HV_INSUFFICIENT_BUFFERS)
            if (g->loop)
                loop_poll(g->loop);
    }
    *ret_id = id;
    if (!vsc_wait(g, VMBUS_GPADL_CREATED, &r, sizeof r) || r.gpadl != id || r.relid != relid)
        return UINT32_MAX;
    return r.status;
}

bool vsc_teardown(struct vsc *g, uint32_t relid, uint32_t id)
{
    struct vmbus_gpadl_teardown m = { { VMBUS_GPADL_TEARDOWN, 0 }, relid, id };
    struct vmbus_gpadl_torndown r;

    vsc_post(g, &m, sizeof m);
    return vsc_wait(g, VMBUS_GPADL_TORNDOWN, &r, sizeof r) && r.gpadl == id;
}

/* ---- open, close ----------------------------------------------------------------------------- */

static void map_ring(struct vsc *g, struct vsc_ring *r, const uint64_t *pfn, unsigned n)
{
    r->head = gmem_host(g->m->gmem, GPA(pfn[0] << PAGE_SHIFT), PAGE_SIZE);
    for (unsigned i = 1; i < n; i++)
        r->page[i - 1] = gmem_host(g->m->gmem, GPA(pfn[i] << PAGE_SHIFT), PAGE_SIZE);
    r->size = (n - 1) * (uint32_t)PAGE_SIZE;
    r->head->features = VMBUS_RING_PENDING_SZ;
}

uint32_t vsc_open(struct vsc *g, struct vsc_channel *c, const struct vmbus_offer_channel *offer,
                  unsigned pages, uint32_t vp)
{
    struct vmbus_open_channel m = {
        .h.type = VMBUS_OPEN_CHANNEL,
        .relid = offer->relid,
        .open_id = offer->relid,
        .target_vp = vp,
        .down_page = pages,
    };
    struct vmbus_open_result r;
    uint32_t status;

    assert(pages >= 2 && pages <= VSC_RING_PAGES_MAX);
    *c = (struct vsc_channel){ .g = g, .offer = *offer, .vp = vp, .n_pages = pages };
    vsc_pages(g, c->pfn, 2 * pages);
    map_ring(g, &c->out, c->pfn, pages);
    map_ring(g, &c->in, c->pfn + pages, pages);
    status = vsc_gpadl(g, offer->relid, c->pfn, 2 * pages, &c->gpadl);
    if (status)
        return status;
    m.gpadl = c->gpadl;
    vsc_post(g, &m, sizeof m);
    if (!vsc_wait(g, VMBUS_OPEN_RESULT, &r, sizeof r) || r.relid != offer->relid ||
        r.open_id != offer->relid)
        return UINT32_MAX;
    return r.status;
}

bool vsc_close(struct vsc_channel *c)
{
    struct vmbus_relid m = { { VMBUS_CLOSE_CHANNEL, 0 }, c->offer.relid };

    vsc_post(c->g, &m, sizeof m);
    return vsc_teardown(c->g, c->offer.relid, c->gpadl);
}

/* ---- rings ----------------------------------------------------------------------------------- */

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t v)
{
    __atomic_store_n(p, v, __ATOMIC_RELEASE);
}

static uint32_t copy_to(const struct vsc_ring *r, uint32_t at, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++, at = (at + 1) % r->size)
        r->page[at / PAGE_SIZE][at % PAGE_SIZE] = ((const uint8_t *)from)[i];
    return at;
}

static uint32_t copy_from(const struct vsc_ring *r, uint32_t at, void *to, size_t n)
{
    for (size_t i = 0; i < n; i++, at = (at + 1) % r->size)
        ((uint8_t *)to)[i] = r->page[at / PAGE_SIZE][at % PAGE_SIZE];
    return at;
}

static uint32_t room(const struct vsc_ring *r)
{
    uint32_t read = load(&r->head->read_index), write = load(&r->head->write_index);

    return write >= read ? r->size - (write - read) : read - write;
}

void vsc_signal(struct vsc_channel *c)
{
    uint32_t connection = c->offer.connection;

    c->interrupts_out++;
    if (c->g->version == VMBUS_V0_13) {
        uint8_t *bits = gmem_host(c->g->m->gmem, GPA(MODEL_OUTPUT_PAGE + PAGE_SIZE / 2), 256);
        uint32_t relid = c->offer.relid;
        __atomic_fetch_or(&bits[relid / 8], (uint8_t)(1u << relid % 8), __ATOMIC_SEQ_CST);
        connection = VMBUS_EVENT_CONNECTION;
    }
    hv_model_hypercall(c->g->m, c->vp < synic_n_vps(c->g->m->hv) ? c->vp : 0,
                       HV_CALL_SIGNAL_EVENT | HV_CALL_FAST, connection, 0);
}

int vsc_send(struct vsc_channel *c, enum vmbus_packet_type type, uint64_t id, bool completion,
             const void *head, size_t n_head, const void *payload, size_t n)
{
    static const uint8_t zero[8];
    struct vsc_ring *r = &c->out;
    size_t offset = sizeof(struct vmbus_packet) + n_head, len = ALIGN_UP(offset + n, 8);
    struct vmbus_packet h = { (uint16_t)type, (uint16_t)(offset / 8), (uint16_t)(len / 8),
                              completion, id };
    uint32_t old = load(&r->head->write_index), at;
    uint64_t trailer = (uint64_t)old << 32;

    if (room(r) <= len + sizeof trailer)
        return -EAGAIN;
    at = copy_to(r, old, &h, sizeof h);
    at = copy_to(r, at, head, n_head);
    at = copy_to(r, at, payload, n);
    at = copy_to(r, at, zero, len - offset - n);
    at = copy_to(r, at, &trailer, sizeof trailer);
    store(&r->head->write_index, at);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* hv_signal_on_write() */
    if (load(&r->head->interrupt_mask) == 0 && load(&r->head->read_index) == old)
        vsc_signal(c);
    return 0;
}

int vsc_recv(struct vsc_channel *c, void *buf, size_t size)
{
    struct vsc_ring *r = &c->in;
    struct vmbus_packet h;

    if (load(&r->head->write_index) == c->read_at)
        return 0;
    copy_from(r, c->read_at, &h, sizeof h);
    size_t len = h.len8 * 8u;
    assert(len <= size);
    c->read_at = copy_from(r, c->read_at, buf, len);
    uint64_t trailer;
    c->read_at = copy_from(r, c->read_at, &trailer, sizeof trailer);
    assert((uint32_t)trailer == 0);
    return (int)len;
}

void vsc_done(struct vsc_channel *c)
{
    struct vsc_ring *r = &c->in;
    uint32_t before = load(&r->head->read_index), pending, now, taken;

    store(&r->head->read_index, c->read_at);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* hv_pkt_iter_close() */
    pending = load(&r->head->pending_send_sz);
    if (!pending || !(r->head->features & VMBUS_RING_PENDING_SZ))
        return;
    now = room(r);
    taken = c->read_at >= before ? c->read_at - before : r->size - before + c->read_at;
    if (now - taken > pending || now <= pending)
        return;
    vsc_signal(c);
}

bool vsc_wait_event(struct vsc_channel *c)
{
    struct vsc *g = c->g;
    uint32_t relid = c->offer.relid;

    for (unsigned i = 0; i < TURNS; i++) {
        if (g->version < VMBUS_V2_4) { /* one event for all, bits in the interrupt page */
            uint8_t *bits = gmem_host(g->m->gmem, GPA(MODEL_OUTPUT_PAGE), 256);
            uint8_t bit = (uint8_t)(1u << relid % 8);
            if (hv_model_take_event(g->m, 0, VMBUS_SINT, 0) &&
                __atomic_fetch_and(&bits[relid / 8], (uint8_t)~bit, __ATOMIC_SEQ_CST) & bit)
                return true;
        } else if (hv_model_take_event(g->m, c->vp, VMBUS_SINT, relid)) {
            return true;
        }
        if (g->loop)
            loop_poll(g->loop);
        else if (!model_wait(hv_model_vp(g->m, c->vp), MODEL_VECTOR, VSC_WAIT_MS))
            return false;
    }
    return false;
}

int vsc_wait_packet(struct vsc_channel *c, void *buf, size_t size)
{
    int n = vsc_recv(c, buf, size);

    while (n == 0 && vsc_wait_event(c))
        n = vsc_recv(c, buf, size);
    if (n)
        vsc_done(c);
    return n;
}
