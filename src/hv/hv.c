/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv.c - life of struct hv: made, reset, saved, loaded; see hv.h. */
#include "hv/hv_int.h"

#include <assert.h>
#include <errno.h>

int hv_new(const struct hv_config *cfg, struct hv **ret, struct err *err)
{
    struct hv *hv;
    int r;

    assert(cfg->n_vps >= 1 && cfg->n_vps <= VPS_MAX);
    hv = calloc(1, sizeof *hv);
    if (!hv)
        return err_set(err, ENOMEM, "out of memory");
    hv->cfg = *cfg;
    r = reftime_init(hv, err);
    if (r < 0) {
        free(hv);
        return r;
    }
    pthread_mutex_init(&hv->lock, NULL);
    for (unsigned i = 0; i < cfg->n_vps; i++) {
        struct hv_vp *v = &hv->vp[i];
        v->hv = hv;
        v->index = i;
        v->vp = partition_vp(cfg->part, i);
        pthread_mutex_init(&v->lock, NULL);
        synic_init(v);
        for (unsigned k = 0; k < HV_STIMERS; k++)
            v->stimer[k].due = UINT64_MAX;
        v->deadline = UINT64_MAX;
    }
    *ret = hv;
    return 0;
}

void hv_free(struct hv *hv)
{
    if (!hv)
        return;
    for (unsigned i = 0; i < hv->cfg.n_vps; i++) {
        synic_reset(&hv->vp[i]);
        pthread_mutex_destroy(&hv->vp[i].lock);
    }
    pthread_mutex_destroy(&hv->lock);
    free(hv);
}

void hv_reset(struct hv *hv)
{
    for (unsigned i = 0; i < hv->cfg.n_vps; i++) {
        hv->vp[i].assist = 0;
        synic_reset(&hv->vp[i]);
        synic_tell_auto_eoi(&hv->vp[i]);
        stimer_reset(&hv->vp[i]);
    }
    hv->guest_os_id = hv->hypercall = hv->ref_tsc = hv->tsc_invariant = 0;
    memset(hv->crash, 0, sizeof hv->crash);
}

/* ---- state --------------------------------------------------------------------------------- */

static const struct state_field hv_fields[] = {
    STATE(struct hv, guest_os_id),   STATE(struct hv, hypercall),  STATE(struct hv, ref_tsc),
    STATE(struct hv, tsc_invariant), STATE(struct hv, crash),      STATE(struct hv, tsc_hz),
    STATE(struct hv, ref_scale),     STATE(struct hv, ref_offset), STATE(struct hv, ref_sequence),
};

static bool hv_check(void *obj)
{
    const struct hv *hv = obj;

    return hv->tsc_hz > HV_REF_HZ && hv->ref_sequence != 0;
}

static const struct state_desc hv_desc = {
    .name = "hv",
    .version = 1,
    .fields = hv_fields,
    .n_fields = ARRAY_LEN(hv_fields),
    .check = hv_check,
};

static const struct state_field stimer_fields[] = {
    STATE(struct hv_stimer, config),  STATE(struct hv_stimer, count),
    STATE(struct hv_stimer, due),     STATE(struct hv_stimer, expired_at),
    STATE(struct hv_stimer, pending),
};
static const struct state_desc stimer_desc = STATE_DESC("stimer", 1, stimer_fields);

static const struct state_field vp_fields[] = {
    STATE(struct hv_vp, assist),  STATE(struct hv_vp, scontrol),
    STATE(struct hv_vp, siefp),   STATE(struct hv_vp, simp),
    STATE(struct hv_vp, sint),    STATE_ARRAY(struct hv_vp, stimer, stimer_desc),
    STATE(struct hv_vp, n_saved),
};

static bool vp_check(void *obj)
{
    struct hv_vp *v = obj;

    for (unsigned i = 0; i < HV_SINTS; i++)
        if (!(v->sint[i] & HV_SINT_MASKED) && HV_SINT_VECTOR(v->sint[i]) < HV_SINT_VECTOR_MIN)
            return false;
    for (unsigned i = 0; i < HV_STIMERS; i++) {
        uint64_t config = v->stimer[i].config;
        v->stimer[i].pending = v->stimer[i].pending != 0;
        if (config & ~HV_STIMER_BITS ||
            (v->stimer[i].due != UINT64_MAX && config & HV_STIMER_DIRECT &&
             HV_STIMER_VECTOR(config) < HV_SINT_VECTOR_MIN))
            return false;
    }
    return v->n_saved <= HV_SINTS * SYNIC_QUEUE_MAX;
}

static const struct state_desc vp_desc = {
    .name = "hv.vp",
    .version = 1,
    .fields = vp_fields,
    .n_fields = ARRAY_LEN(vp_fields),
    .check = vp_check,
};

static const struct state_field message_fields[] = {
    STATE(struct hv_queued, type),
    STATE(struct hv_queued, sint),
    STATE(struct hv_queued, size),
    STATE(struct hv_queued, payload),
};

static bool message_check(void *obj)
{
    const struct hv_queued *m = obj;

    return m->type != HV_MESSAGE_NONE && m->sint < HV_SINTS && m->size <= sizeof m->payload;
}

static const struct state_desc message_desc = {
    .name = "hv.message",
    .version = 1,
    .fields = message_fields,
    .n_fields = ARRAY_LEN(message_fields),
    .check = message_check,
};

static void save_vp(struct hv_vp *v, struct buf *to)
{
    char name[32];

    pthread_mutex_lock(&v->lock);
    v->n_saved = 0;
    for (unsigned i = 0; i < HV_SINTS; i++)
        v->n_saved += (uint32_t)v->queue[i].n;
    snprintf(name, sizeof name, "hv.vp%u", v->index);
    state_save(to, name, &vp_desc, v);
    for (unsigned i = 0; i < HV_SINTS; i++)
        for (const struct hv_queued *m = v->queue[i].first; m; m = m->next)
            state_save(to, "hv.message", &message_desc, m);
    pthread_mutex_unlock(&v->lock);
}

void hv_save(struct hv *hv, struct buf *to)
{
    state_save(to, "hv", &hv_desc, hv);
    for (unsigned i = 0; i < hv->cfg.n_vps; i++)
        save_vp(&hv->vp[i], to);
}

static int load_vp(struct hv_vp *v, struct bytes *from, struct err *err)
{
    char name[32];
    int r;

    snprintf(name, sizeof name, "hv.vp%u", v->index);
    r = state_load(from, name, &vp_desc, v, err);
    for (uint32_t i = 0; r == 0 && i < v->n_saved; i++) {
        struct hv_queued m;
        r = state_load(from, "hv.message", &message_desc, &m, err);
        if (r == 0)
            r = synic_queue_locked(v, m.sint, m.type, m.payload, m.size);
    }
    return r;
}

int hv_load(struct hv *hv, struct bytes *from, struct err *err)
{
    int r = state_load(from, "hv", &hv_desc, hv, err);

    if (r < 0)
        return r;
    reftime_restored(hv);
    for (unsigned i = 0; i < hv->cfg.n_vps; i++) {
        struct hv_vp *v = &hv->vp[i];
        pthread_mutex_lock(&v->lock);
        r = load_vp(v, from, err);
        if (r == 0) {
            v->deadline = UINT64_MAX;
            synic_tell_auto_eoi(v);
            stimer_run_locked(v);
        }
        pthread_mutex_unlock(&v->lock);
        if (r < 0)
            return r;
    }
    return 0;
}

void hv_dump(struct hv *hv, FILE *to)
{
    fprintf(to, "hv.reference_time = %llu\n", (unsigned long long)hv_ref_time(hv));
    state_dump(to, "hv", &hv_desc, hv);
    for (unsigned i = 0; i < hv->cfg.n_vps; i++) {
        char name[32];
        snprintf(name, sizeof name, "hv.vp%u", i);
        state_dump(to, name, &vp_desc, &hv->vp[i]);
        for (unsigned k = 0; k < HV_SINTS; k++)
            if (hv->vp[i].queue[k].n)
                fprintf(to, "%s.sint%u: %zu messages wait\n", name, k, hv->vp[i].queue[k].n);
    }
}
