/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hypercall.c - the hypercall page and the way from its OUT to a row of the table below.
 *
 * The input is copied out once, whole, before a handler sees it: from the registers (fast, with XMM
 * if offered) or from guest memory.  A row says how long it must be.
 *
 * Spec:   TLFS 3 (interface), 11 (messages and events).
 * Called: vm/ from the hypercall exit, on the VP's thread. */
#include "hv/hv_int.h"

#include "base/trace.h"

#define FAST_BYTES 16
#define XMM_BYTES  (6 * 16)

/* endbr64; out HYPERCALL_PORT, eax; ret.  The OUT is the exit; DX and all else stay the guest's. */
static const uint8_t page_code[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xe7, HYPERCALL_PORT, 0xc3 };
#define OUT_OFFSET 4

void hypercall_fill_page(uint8_t page[PAGE_SIZE])
{
    memset(page, 0xcc, PAGE_SIZE);
    memcpy(page, page_code, sizeof page_code);
}

/* ---- the small calls ----------------------------------------------------------------------- */

static enum hv_status post_message(struct hcall *c)
{
    struct hv_post_message_in in;

    memcpy(&in, c->in, sizeof in);
    if (in.size > sizeof in.payload || in.type == HV_MESSAGE_NONE ||
        in.type >= HV_MESSAGE_HYPERVISOR)
        return HV_INVALID_PARAMETER;
    if (!c->hv->ports)
        return HV_INVALID_CONNECTION_ID;
    return c->hv->ports->message(c->hv->ports_owner, in.connection, in.type, in.payload, in.size);
}

static enum hv_status signal_event(struct hcall *c)
{
    if (!c->hv->ports)
        return HV_INVALID_CONNECTION_ID;
    return c->hv->ports->event(c->hv->ports_owner, get_le32(c->in), get_le16(c->in + 4));
}

/* Another VP holds the lock that this one spins on; we run them all the time anyway. */
static enum hv_status long_spin_wait(struct hcall *c)
{
    return HV_SUCCESS;
}

/* APIC ids are VP indices here. */
static enum hv_status vp_index_from_apic_id(struct hcall *c)
{
    if (get_le64(c->in) != UINT64_MAX || c->in[8] != 0) /* own partition, VTL 0 */
        return HV_ACCESS_DENIED;
    for (; c->rep < c->reps; c->rep++) {
        uint32_t id = get_le32(c->in + 16 + 4 * c->rep);
        if (id >= c->hv->cfg.n_vps)
            return HV_INVALID_PARAMETER;
        put_le32(c->out + 4 * c->rep, id);
    }
    return HV_SUCCESS;
}

/* ---- dispatch ------------------------------------------------------------------------------ */

struct call {
    const char *name;
    enum hv_status (*run)(struct hcall *c);
    uint16_t in;             /* bytes of the fixed part */
    uint8_t rep_in, rep_out; /* bytes an element; rep_in 0: not a rep call */
    bool var;                /* a variable part may follow the fixed one */
    bool flush_ipi;          /* offered with hv_caps.flush_ipi only */
};

static const struct call calls[] = {
    /* clang-format off */
    [HV_CALL_FLUSH_SPACE]    = { "flush_space", hcall_flush_space, 24, .flush_ipi = true },
    [HV_CALL_FLUSH_LIST]     = { "flush_list", hcall_flush_list, 24, 8, .flush_ipi = true },
    [HV_CALL_LONG_SPIN_WAIT] = { "long_spin_wait", long_spin_wait, 8 },
    [HV_CALL_SEND_IPI]       = { "send_ipi", hcall_send_ipi, 16, .flush_ipi = true },
    [HV_CALL_FLUSH_SPACE_EX] = { "flush_space_ex", hcall_flush_space_ex, 32, .var = true,
                                 .flush_ipi = true },
    [HV_CALL_FLUSH_LIST_EX]  = { "flush_list_ex", hcall_flush_list_ex, 32, 8, .var = true,
                                 .flush_ipi = true },
    [HV_CALL_SEND_IPI_EX]    = { "send_ipi_ex", hcall_send_ipi_ex, 24, .var = true,
                                 .flush_ipi = true },
    [HV_CALL_POST_MESSAGE]   = { "post_message", post_message,
                                 sizeof(struct hv_post_message_in) },
    [HV_CALL_SIGNAL_EVENT]   = { "signal_event", signal_event, 8 },
    [HV_CALL_VP_INDEX_FROM_APIC_ID] = { "vp_index_from_apic_id", vp_index_from_apic_id, 16, 4, 4 },
    /* clang-format on */
};

static const struct call *call_find(const struct hv *hv, uint16_t code)
{
    const struct call *call = code < ARRAY_LEN(calls) ? &calls[code] : NULL;

    if (!call || !call->run || (call->flush_ipi && !hv->cfg.caps.flush_ipi))
        return NULL;
    return call;
}

/* Does the control word fit the call?  Nothing is read yet. */
static bool control_ok(const struct call *call, uint64_t control)
{
    unsigned reps = HV_CALL_REPS(control), start = HV_CALL_REP_START(control);

    if (control & (HV_CALL_RESERVED | HV_CALL_NESTED))
        return false;
    if (HV_CALL_VARHEAD(control) && !call->var)
        return false;
    if (!call->rep_in)
        return !reps && !start;
    return start < reps;
}

/* A buffer of the guest: aligned, within one page. */
static enum hv_status check_gpa(uint64_t gpa, size_t n)
{
    if (gpa % 8)
        return HV_INVALID_ALIGNMENT;
    return gpa % PAGE_SIZE + n <= PAGE_SIZE ? HV_SUCCESS : HV_INVALID_PARAMETER;
}

static enum hv_status read_fast(const struct hv *hv, const struct hypercall *h, uint64_t a,
                                uint64_t b, uint8_t *in, size_t n)
{
    if (n > FAST_BYTES + (hv->cfg.caps.xmm_input ? XMM_BYTES : 0))
        return HV_INVALID_INPUT;
    put_le64(in, a);
    put_le64(in + 8, b);
    memcpy(in + FAST_BYTES, h->xmm, XMM_BYTES);
    return HV_SUCCESS;
}

static enum hv_status read_slow(const struct hv *hv, uint64_t gpa, uint8_t *in, size_t n)
{
    enum hv_status s = check_gpa(gpa, n);

    if (s == HV_SUCCESS && gmem_read(hv->cfg.gmem, GPA(gpa), in, n) < 0)
        s = HV_INVALID_PARAMETER;
    return s;
}

/* 'a' and 'b' are the two parameters: values of a fast call, else addresses of input and output. */
static enum hv_status run(struct hv *hv, const struct hypercall *h, const struct call *call,
                          uint64_t control, uint64_t a, uint64_t b, struct hcall *c)
{
    uint8_t in[PAGE_SIZE] __attribute__((aligned(8))), out[PAGE_SIZE];
    bool fast = control & HV_CALL_FAST;
    size_t n = call->in + 8 * (size_t)c->var + (size_t)call->rep_in * c->reps;
    size_t n_out = (size_t)call->rep_out * c->reps;
    enum hv_status s;

    if (n > sizeof in || n_out > sizeof out || (fast && n_out))
        return HV_INVALID_INPUT;
    s = fast ? read_fast(hv, h, a, b, in, n) : read_slow(hv, a, in, n);
    if (s == HV_SUCCESS && n_out)
        s = check_gpa(b, n_out);
    if (s == HV_SUCCESS && n_out && !gmem_is_ram(hv->cfg.gmem, GPA(b), n_out))
        s = HV_INVALID_PARAMETER;
    if (s != HV_SUCCESS)
        return s;
    c->in = in;
    c->out = out;
    size_t first = c->rep;
    s = call->run(c);
    if (n_out && c->rep > first) { /* what was done stands, also when a later element failed */
        size_t at = first * call->rep_out;
        gmem_write(hv->cfg.gmem, GPA(b + at), out + at, (c->rep - first) * call->rep_out);
    }
    return s;
}

/* Only the OUT in the page that the guest installed, at ring 0, is a hypercall. */
static bool from_page(struct hv *hv, const struct hypercall *h)
{
    uint64_t page = __atomic_load_n(&hv->hypercall, __ATOMIC_ACQUIRE);

    return page & HV_PAGE_ENABLE && h->cpl == 0 && h->rip_gpa.v == HV_PAGE_GPA(page) + OUT_OFFSET;
}

bool hv_hypercall(struct hv *hv, struct vp *vp, struct hypercall *h)
{
    uint64_t control = h->rcx, a = h->rdx, b = h->r8;
    const struct call *call;
    enum hv_status s;

    if (!from_page(hv, h))
        return false;
    if (!h->long_mode) {
        control = h->rdx << 32 | (uint32_t)h->rax;
        a = h->rbx << 32 | (uint32_t)h->rcx;
        b = h->rdi << 32 | (uint32_t)h->rsi;
    }
    struct hcall c = {
        .hv = hv,
        .v = hv_vp_of(hv, vp),
        .var = HV_CALL_VARHEAD(control),
        .reps = HV_CALL_REPS(control),
        .rep = HV_CALL_REP_START(control),
    };
    call = call_find(hv, HV_CALL_CODE(control));
    if (!call)
        s = HV_INVALID_CODE;
    else if (!control_ok(call, control))
        s = HV_INVALID_INPUT;
    else
        s = run(hv, h, call, control, a, b, &c);
    /* Done elements count from element 0, also those of earlier rounds. */
    h->result = HV_CALL_RESULT(s, call && call->rep_in ? c.rep : 0);
    TRACE("hv", "hypercall", "vp %u %s control %#llx status %d", c.v->index,
          call ? call->name : "unknown", (unsigned long long)control, s);
    return true;
}
