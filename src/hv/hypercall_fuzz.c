/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hypercall_fuzz.c - a hostile guest: any MSR writes and hypercalls with any input, two VPs.
 *
 * The input is a list of actions: a byte says which, its parameters follow. */
#include "hv/hv_model.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum hv_status on_message(void *owner, uint32_t connection, uint32_t type,
                                 const void *payload, size_t n)
{
    struct hv_model *m = owner;

    assert(n <= HV_MESSAGE_PAYLOAD && type != HV_MESSAGE_NONE && type < HV_MESSAGE_HYPERVISOR);
    synic_post(m->hv, connection & 1, connection >> 1 & 15, type, payload, n);
    return HV_SUCCESS;
}

static enum hv_status on_event(void *owner, uint32_t connection, uint16_t flag)
{
    struct hv_model *m = owner;

    synic_signal(m->hv, connection & 1, connection >> 1 & 15, flag % HV_EVENT_FLAGS);
    return HV_SUCCESS;
}

static void on_drained(void *owner, unsigned vp, unsigned sint)
{
}

static void act(struct hv_model *m, uint8_t what, struct bytes *b)
{
    static const struct synic_ports ports = { on_message, on_event, on_drained };
    struct vp *vp = hv_model_vp(m, what >> 7);
    struct hypercall h = { .long_mode = what & 0x40, .rip_gpa = { MODEL_HYPERCALL_PAGE + 4 } };
    uint8_t msr;
    uint64_t v = 0;

    synic_set_ports(m->hv, &ports, m);
    switch (what & 7) {
    case 0: /* memory, where hypercall input and SynIC pages are */
        if (bytes_le64(b, &v))
            gmem_write(m->gmem, GPA(MODEL_HYPERCALL_PAGE + (v >> 32) % 0x100000 / 8 * 8), b->p,
                       MIN(b->n, 256));
        bytes_skip(b, MIN(b->n, 256));
        break;
    case 1:
        if (bytes_u8(b, &msr) && bytes_le64(b, &v))
            hv_msr_write(m->hv, vp, HV_MSR_FIRST + msr * 2u + (what >> 3 & 1), v);
        break;
    case 2:
        if (bytes_u8(b, &msr))
            hv_msr_read(m->hv, vp, HV_MSR_FIRST + msr * 2u + (what >> 3 & 1), &v);
        break;
    case 3:
        clock_advance(&m->clock, UINT64_C(1) << (what >> 3 & 31));
        hv_deadline(m->hv, vp);
        break;
    case 4: /* a plausible SynIC message page */
        hv_msr_write(m->hv, vp, HV_MSR_SIMP, MODEL_SIMP(what >> 7) | 1);
        hv_msr_write(m->hv, vp, HV_MSR_SCONTROL, 1);
        break;
    default:
        bytes_copy(b, &h.rax, 8);
        bytes_copy(b, &h.rcx, 8);
        bytes_copy(b, &h.rdx, 8);
        if (what & 0x20)
            h.rdx = MODEL_INPUT_PAGE(0) + h.rdx % PAGE_SIZE;
        bytes_copy(b, &h.rbx, 8);
        h.rcx &= UINT64_C(0x00ff00ff07ff00ff); /* most codes do not exist */
        h.r8 = MODEL_OUTPUT_PAGE;
        hv_hypercall(m->hv, vp, &h);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct bytes b = bytes_of(data, n);
    struct hv_model m;
    uint8_t what;

    hv_model_init(&m, 2, false);
    hv_model_boot(&m);
    while (bytes_u8(&b, &what))
        act(&m, what, &b);
    hv_reset(m.hv);
    hv_model_done(&m);
    return 0;
}
