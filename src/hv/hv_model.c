/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_model.c - see hv_model.h. */
#include "hv/hv_model.h"

#include <assert.h>

static void note_crash(void *owner, unsigned vp, const uint64_t p[HV_CRASH_PARAMS], const char *log,
                       size_t n)
{
    struct hv_model *m = owner;

    m->crashes++;
    memcpy(m->crash, p, sizeof m->crash);
    memcpy(m->crash_log, log, n);
    m->crash_log[n] = 0;
}

static void note_reset(void *owner)
{
    ((struct hv_model *)owner)->resets++;
}

static const struct hv_ops model_ops = { .crash = note_crash, .reset = note_reset };

static void make_hv(struct hv_model *m, unsigned n_vps)
{
    struct hv_config cfg = {
        .part = m->part,
        .gmem = m->gmem,
        .clock = &m->clock,
        .n_vps = n_vps,
        .caps = { true, true, true, true, true },
        .ops = &model_ops,
        .owner = m,
    };

    if (hv_new(&cfg, &m->hv, NULL) < 0)
        abort();
}

void hv_model_init(struct hv_model *m, unsigned n_vps, bool real_time)
{
    *m = (struct hv_model){ 0 };
    if (real_time)
        clock_init(&m->clock);
    else
        clock_init_manual(&m->clock);
    if (gmem_new(MODEL_RAM, &m->gmem, NULL) < 0)
        abort();
    m->part = model_partition_new(&m->clock, n_vps, MODEL_TSC_HZ);
    make_hv(m, n_vps);
}

void hv_model_done(struct hv_model *m)
{
    hv_free(m->hv);
    model_partition_free(m->part);
    gmem_free(m->gmem);
}

void hv_model_renew(struct hv_model *m)
{
    unsigned n_vps = synic_n_vps(m->hv);

    hv_free(m->hv);
    make_hv(m, n_vps);
}

struct vp *hv_model_vp(struct hv_model *m, unsigned vp)
{
    return partition_vp(m->part, vp);
}

void hv_model_wrmsr(struct hv_model *m, unsigned vp, uint32_t msr, uint64_t value)
{
    bool ok = hv_msr_write(m->hv, hv_model_vp(m, vp), msr, value);

    assert(ok);
}

uint64_t hv_model_rdmsr(struct hv_model *m, unsigned vp, uint32_t msr)
{
    uint64_t value = 0;
    bool ok = hv_msr_read(m->hv, hv_model_vp(m, vp), msr, &value);

    assert(ok);
    return value;
}

void hv_model_boot(struct hv_model *m)
{
    hv_model_wrmsr(m, 0, HV_MSR_GUEST_OS_ID, UINT64_C(0x8100000601c00000));
    hv_model_wrmsr(m, 0, HV_MSR_HYPERCALL, MODEL_HYPERCALL_PAGE | HV_PAGE_ENABLE);
    for (unsigned i = 0; i < synic_n_vps(m->hv); i++) {
        hv_model_wrmsr(m, i, HV_MSR_SIMP, MODEL_SIMP(i) | HV_PAGE_ENABLE);
        hv_model_wrmsr(m, i, HV_MSR_SIEFP, MODEL_SIEFP(i) | HV_PAGE_ENABLE);
        hv_model_wrmsr(m, i, HV_MSR_SINT0 + 2, MODEL_VECTOR);
        hv_model_wrmsr(m, i, HV_MSR_SCONTROL, HV_SCONTROL_ENABLE);
    }
}

uint64_t hv_model_hypercall(struct hv_model *m, unsigned vp, uint64_t control, uint64_t a,
                            uint64_t b)
{
    struct hypercall h = {
        .rcx = control,
        .rdx = a,
        .r8 = b,
        .rip_gpa = GPA(MODEL_HYPERCALL_PAGE + 4),
        .long_mode = true,
    };
    bool ok = hv_hypercall(m->hv, hv_model_vp(m, vp), &h);

    assert(ok);
    return h.result;
}

enum hv_status hv_model_post(struct hv_model *m, unsigned vp, uint32_t connection, uint32_t type,
                             const void *payload, size_t n)
{
    struct hv_post_message_in in = { .connection = connection, .type = type };

    assert(n <= sizeof in.payload);
    in.size = (uint32_t)n;
    memcpy(in.payload, payload, n);
    gmem_write(m->gmem, GPA(MODEL_INPUT_PAGE(vp)), &in, sizeof in);
    return (enum hv_status)hv_model_hypercall(m, vp, HV_CALL_POST_MESSAGE, MODEL_INPUT_PAGE(vp), 0);
}

bool hv_model_take(struct hv_model *m, unsigned vp, unsigned sint, struct hv_message *ret)
{
    struct hv_message *slot =
        (struct hv_message *)gmem_host(m->gmem, GPA(MODEL_SIMP(vp)), PAGE_SIZE) + sint;
    uint32_t type = __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE);

    if (type == HV_MESSAGE_NONE)
        return false;
    *ret = *slot;
    if (!__atomic_compare_exchange_n(&slot->type, &type, HV_MESSAGE_NONE, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return true;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&slot->flags, __ATOMIC_RELAXED) & HV_MESSAGE_PENDING)
        hv_model_wrmsr(m, vp, HV_MSR_EOM, 0);
    return true;
}

bool hv_model_take_event(struct hv_model *m, unsigned vp, unsigned sint, unsigned flag)
{
    uint8_t *flags = gmem_host(m->gmem, GPA(MODEL_SIEFP(vp)), PAGE_SIZE);
    uint8_t bit = (uint8_t)(1u << flag % 8);

    return __atomic_fetch_and(&flags[sint * 256 + flag / 8], (uint8_t)~bit, __ATOMIC_SEQ_CST) & bit;
}
