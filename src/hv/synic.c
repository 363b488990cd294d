/* SPDX-License-Identifier: GPL-2.0-or-later */
/* synic.c - the synthetic interrupt controller of each VP: messages, event flags, SINTs.
 *
 * A message goes into its SINT's slot when the slot is free; the guest frees it by writing type 0,
 * and tells us by EOM only if we had set the slot's "pending" flag.  So: set the flag, then look at
 * the slot again.  The pages are guest memory, where VPs write while we do.
 *
 * Spec:   TLFS 11.
 * Called: msr.c on VP threads, VMBus on its loop.  Calls: vp_interrupt(), vp_auto_eoi().
 * Not:    AS-proxy; overlay semantics of the two pages (what lay below them is overwritten). */
#include "hv/hv_int.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "base/trace.h"

#define SLOT_SIZE   sizeof(struct hv_message)
#define FLAGS_BYTES (HV_EVENT_FLAGS / 8) /* a SINT */

void synic_init(struct hv_vp *v)
{
    for (unsigned i = 0; i < HV_SINTS; i++) {
        v->queue[i].last = &v->queue[i].first;
        v->sint[i] = HV_SINT_MASKED;
    }
}

static void forget_locked(struct hv_queue *q)
{
    for (struct hv_queued *m; (m = q->first) != NULL;) {
        q->first = m->next;
        free(m);
    }
    q->last = &q->first;
    q->n = 0;
}

/* The engine ends the interrupts of SINTs with AutoEOI: guests of the time before the hint against
 * it (Linux to 4.x, Windows to 2012) never do. */
void synic_tell_auto_eoi(struct hv_vp *v)
{
    uint64_t vectors[4] = { 0 };

    for (unsigned i = 0; i < HV_SINTS; i++) {
        uint64_t s = v->sint[i];
        if ((s & HV_SINT_AUTO_EOI) && !(s & HV_SINT_MASKED))
            vectors[HV_SINT_VECTOR(s) / 64] |= UINT64_C(1) << HV_SINT_VECTOR(s) % 64;
    }
    if (vp_auto_eoi(v->vp, vectors) < 0)
        log_limited(LOG_WARN, "VP %u: the guest wants interrupts that end by themselves (AutoEOI), "
                    "and the host's KVM has no SynIC for it: it may hang", v->index);
}

void synic_reset(struct hv_vp *v)
{
    pthread_mutex_lock(&v->lock);
    v->scontrol = v->siefp = v->simp = 0;
    for (unsigned i = 0; i < HV_SINTS; i++) {
        v->sint[i] = HV_SINT_MASKED;
        forget_locked(&v->queue[i]);
    }
    pthread_mutex_unlock(&v->lock);
}

/* ---- messages ------------------------------------------------------------------------------ */

static void interrupt_locked(struct hv_vp *v, unsigned sint)
{
    uint64_t s = v->sint[sint];

    if (!(s & (HV_SINT_MASKED | HV_SINT_POLLING)))
        vp_interrupt(v->vp, HV_SINT_VECTOR(s));
}

/* The slot of 'sint' when the guest's settings allow a delivery now. */
static struct hv_message *slot_locked(struct hv_vp *v, unsigned sint)
{
    struct hv_message *page;

    if (!(v->scontrol & HV_SCONTROL_ENABLE) || !(v->simp & HV_PAGE_ENABLE) ||
        (v->sint[sint] & HV_SINT_MASKED))
        return NULL;
    page = gmem_host(v->hv->cfg.gmem, GPA(HV_PAGE_GPA(v->simp)), PAGE_SIZE);
    return page ? &page[sint] : NULL;
}

/* Is the slot free?  If not, its pending flag stands and an EOM will follow. */
static bool slot_free(struct hv_message *slot)
{
    if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == HV_MESSAGE_NONE)
        return true;
    /* The guest writes type 0, a barrier, then reads the flag. */
    __atomic_fetch_or(&slot->flags, HV_MESSAGE_PENDING, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == HV_MESSAGE_NONE;
}

/* All but the type first: a guest that sees the type sees the rest. */
static void slot_fill(struct hv_vp *v, unsigned sint, struct hv_message *slot, uint32_t type,
                      const void *payload, size_t n, bool more)
{
    uint8_t *body = slot->payload;

    slot->reserved = 0;
    slot->sender = 0;
    slot->size = (uint8_t)n;
    __atomic_store_n(&slot->flags, more ? HV_MESSAGE_PENDING : 0, __ATOMIC_RELAXED);
    memcpy(body, payload, n);
    __atomic_store_n(&slot->type, type, __ATOMIC_RELEASE);
    gmem_wrote(v->hv->cfg.gmem, GPA(HV_PAGE_GPA(v->simp) + sint * SLOT_SIZE), SLOT_SIZE);
}

static void deliver_timer_locked(struct hv_vp *v, unsigned sint, struct hv_message *slot,
                                 struct hv_stimer *t)
{
    struct hv_timer_message m = {
        .index = (uint32_t)(t - v->stimer),
        .expiration = t->expired_at,
        .delivery = hv_ref_time(v->hv),
    };

    t->pending = 0;
    bool more = v->queue[sint].n || stimer_pending_locked(v, sint);
    slot_fill(v, sint, slot, HV_MESSAGE_TIMER_EXPIRED, &m, sizeof m, more);
}

bool synic_deliver_locked(struct hv_vp *v, unsigned sint)
{
    struct hv_queue *q = &v->queue[sint];
    struct hv_stimer *timer = stimer_pending_locked(v, sint);
    struct hv_message *slot;
    struct hv_queued *m;

    if (!timer && !q->n)
        return false;
    slot = slot_locked(v, sint);
    if (!slot || !slot_free(slot))
        return false;
    if (timer) { /* before what waits: it is the one that cannot be late */
        deliver_timer_locked(v, sint, slot, timer);
        interrupt_locked(v, sint);
        return false;
    }
    m = q->first;
    q->first = m->next;
    if (!q->first)
        q->last = &q->first;
    q->n--;
    slot_fill(v, sint, slot, m->type, m->payload, m->size, q->n != 0);
    interrupt_locked(v, sint);
    TRACE("synic", "deliver", "vp %u sint %u type %#x size %u, %zu wait", v->index, sint, m->type,
          m->size, q->n);
    free(m);
    return q->n == 0;
}

int synic_queue_locked(struct hv_vp *v, unsigned sint, uint32_t type, const void *payload, size_t n)
{
    struct hv_queue *q = &v->queue[sint];
    struct hv_queued *m;

    if (q->n == SYNIC_QUEUE_MAX)
        return -ENOSPC;
    m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->type = type;
    m->sint = sint;
    m->size = (uint32_t)n;
    memcpy(m->payload, payload, n);
    *q->last = m;
    q->last = &m->next;
    q->n++;
    return 0;
}

int synic_post(struct hv *hv, unsigned vp, unsigned sint, uint32_t type, const void *payload,
               size_t n)
{
    struct hv_vp *v = &hv->vp[vp];
    int r;

    assert(vp < hv->cfg.n_vps && sint < HV_SINTS && n <= HV_MESSAGE_PAYLOAD && type);
    pthread_mutex_lock(&v->lock);
    r = synic_queue_locked(v, sint, type, payload, n);
    synic_deliver_locked(v, sint);
    pthread_mutex_unlock(&v->lock);
    return r;
}

size_t synic_queued(struct hv *hv, unsigned vp, unsigned sint)
{
    struct hv_vp *v = &hv->vp[vp];

    assert(vp < hv->cfg.n_vps && sint < HV_SINTS);
    pthread_mutex_lock(&v->lock);
    size_t n = v->queue[sint].n;
    pthread_mutex_unlock(&v->lock);
    return n;
}

void synic_forget(struct hv *hv, unsigned vp, unsigned sint)
{
    struct hv_vp *v = &hv->vp[vp];

    assert(vp < hv->cfg.n_vps && sint < HV_SINTS);
    pthread_mutex_lock(&v->lock);
    forget_locked(&v->queue[sint]);
    pthread_mutex_unlock(&v->lock);
}

/* ---- events -------------------------------------------------------------------------------- */

bool synic_signal(struct hv *hv, unsigned vp, unsigned sint, unsigned flag)
{
    struct hv_vp *v = &hv->vp[vp];
    bool there = false;

    assert(vp < hv->cfg.n_vps && sint < HV_SINTS && flag < HV_EVENT_FLAGS);
    pthread_mutex_lock(&v->lock);
    if ((v->scontrol & HV_SCONTROL_ENABLE) && (v->siefp & HV_PAGE_ENABLE) &&
        !(v->sint[sint] & HV_SINT_MASKED)) {
        gpa_t at = GPA(HV_PAGE_GPA(v->siefp) + sint * FLAGS_BYTES + flag / 8);
        uint8_t *byte = gmem_host(hv->cfg.gmem, at, 1);
        uint8_t bit = (uint8_t)(1u << flag % 8);

        there = byte != NULL;
        if (there && !(__atomic_fetch_or(byte, bit, __ATOMIC_SEQ_CST) & bit)) {
            gmem_wrote(hv->cfg.gmem, at, 1);
            interrupt_locked(v, sint);
        }
    }
    pthread_mutex_unlock(&v->lock);
    TRACE("synic", "signal", "vp %u sint %u flag %u%s", vp, sint, flag, there ? "" : " lost");
    return there;
}

/* ---- MSRs ---------------------------------------------------------------------------------- */

/* Something may be deliverable now.  The lock is dropped before the ports hear of it. */
static void retry_unlock(struct hv_vp *v)
{
    struct hv *hv = v->hv;
    uint32_t drained = 0;

    for (unsigned i = 0; i < HV_SINTS; i++)
        if (synic_deliver_locked(v, i))
            drained |= 1u << i;
    pthread_mutex_unlock(&v->lock);
    for (unsigned i = 0; i < HV_SINTS && drained && hv->ports; i++)
        if (drained & 1u << i)
            hv->ports->drained(hv->ports_owner, v->index, i);
}

/* The guest gives a page: it starts empty, as the hypervisor's own page would. */
static void set_page_locked(struct hv_vp *v, uint64_t *msr, uint64_t value)
{
    bool was = *msr & HV_PAGE_ENABLE && HV_PAGE_GPA(*msr) == HV_PAGE_GPA(value);

    *msr = value;
    if ((value & HV_PAGE_ENABLE) && !was &&
        gmem_zero(v->hv->cfg.gmem, GPA(HV_PAGE_GPA(value)), PAGE_SIZE) < 0)
        TRACE("synic", "bad_page", "vp %u gpa %#llx is no RAM", v->index,
              (unsigned long long)HV_PAGE_GPA(value));
}

bool synic_msr_write(struct hv_vp *v, uint32_t msr, uint64_t value)
{
    bool sint = msr >= HV_MSR_SINT0 && msr <= HV_MSR_SINT15;
    uint64_t was;

    if (sint && !(value & HV_SINT_MASKED) && HV_SINT_VECTOR(value) < HV_SINT_VECTOR_MIN)
        return false;
    pthread_mutex_lock(&v->lock);
    if (sint) {
        was = v->sint[msr - HV_MSR_SINT0];
        v->sint[msr - HV_MSR_SINT0] = value;
        if ((was | value) & HV_SINT_AUTO_EOI)
            synic_tell_auto_eoi(v);
    } else if (msr == HV_MSR_SCONTROL) {
        v->scontrol = value;
    } else if (msr == HV_MSR_SIMP) {
        set_page_locked(v, &v->simp, value);
    } else if (msr == HV_MSR_SIEFP) {
        set_page_locked(v, &v->siefp, value);
    }
    retry_unlock(v); /* and EOM is nothing but this */
    return true;
}

bool synic_msr_read(struct hv_vp *v, uint32_t msr, uint64_t *ret)
{
    pthread_mutex_lock(&v->lock);
    if (msr == HV_MSR_SCONTROL)
        *ret = v->scontrol;
    else if (msr == HV_MSR_SIMP)
        *ret = v->simp;
    else if (msr == HV_MSR_SIEFP)
        *ret = v->siefp;
    else
        *ret = msr == HV_MSR_EOM ? 0 : v->sint[msr - HV_MSR_SINT0];
    pthread_mutex_unlock(&v->lock);
    return true;
}

/* ---- the rest of synic.h ------------------------------------------------------------------- */

void synic_set_ports(struct hv *hv, const struct synic_ports *ports, void *owner)
{
    hv->ports = ports;
    hv->ports_owner = owner;
}

unsigned synic_n_vps(const struct hv *hv)
{
    return hv->cfg.n_vps;
}

struct gmem *synic_gmem(const struct hv *hv)
{
    return hv->cfg.gmem;
}
