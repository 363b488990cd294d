/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_int.h - the inside of struct hv; for hv/ only. */
#pragma once

#include <pthread.h>

#include "hv/hv.h"

/* A message that waits for its slot. */
struct hv_queued {
    struct hv_queued *next;
    uint32_t type, sint;
    uint32_t size;
    uint8_t payload[HV_MESSAGE_PAYLOAD];
};

struct hv_queue {
    struct hv_queued *first, **last;
    size_t n;
};

struct hv_stimer {
    uint64_t config, count;
    uint64_t due; /* reference time; UINT64_MAX: not running */
    uint64_t expired_at;
    uint32_t pending; /* expired, its message waits for the slot */
    uint32_t reserved;
};

struct hv_vp {
    struct hv *hv;
    struct vp *vp;
    unsigned index;

    /* Guards all below.  Nothing but the engine is called with it held. */
    pthread_mutex_t lock;
    uint64_t assist;
    uint64_t scontrol, siefp, simp, sint[HV_SINTS];
    struct hv_queue queue[HV_SINTS];
    uint32_t n_saved; /* messages that follow in a saved state */
    struct hv_stimer stimer[HV_STIMERS];
    uint64_t deadline; /* what the engine was told last */
};

struct hv {
    struct hv_config cfg;
    const struct synic_ports *ports;
    void *ports_owner;

    /* Guards the partition-wide MSRs; 'hypercall' and 'guest_os_id' are also read without it. */
    pthread_mutex_t lock;
    uint64_t guest_os_id, hypercall, ref_tsc, tsc_invariant;
    uint64_t crash[HV_CRASH_PARAMS];

    /* Reference time; changes in hv_load() only.  The sequence is guarded by 'lock'. */
    uint64_t tsc_hz, ref_scale;
    int64_t ref_offset;
    uint32_t ref_sequence;

    struct hv_vp vp[VPS_MAX];
};

/* ---- reftime.c ----------------------------------------------------------------------------- */
int reftime_init(struct hv *hv, struct err *err);
void reftime_restored(struct hv *hv); /* the saved parameters meet this host's TSC */
void reftime_write_page_locked(struct hv *hv);

/* ---- synic.c ------------------------------------------------------------------------------- */
void synic_init(struct hv_vp *v);
void synic_reset(struct hv_vp *v);
void synic_tell_auto_eoi(struct hv_vp *v); /* SINTs changed; on the VP's thread */
bool synic_msr_write(struct hv_vp *v, uint32_t msr, uint64_t value);
bool synic_msr_read(struct hv_vp *v, uint32_t msr, uint64_t *ret);
/* Fill the slot of one SINT if it is free and something waits.  true: its queue has run empty. */
bool synic_deliver_locked(struct hv_vp *v, unsigned sint);
int synic_queue_locked(struct hv_vp *v, unsigned sint, uint32_t type, const void *payload,
                       size_t n);

/* ---- stimer.c: all on the VP's thread, but for stimer_take_locked() ------------------------ */
void stimer_reset(struct hv_vp *v);
bool stimer_msr_write(struct hv_vp *v, uint32_t msr, uint64_t value);
bool stimer_msr_read(struct hv_vp *v, uint32_t msr, uint64_t *ret);
void stimer_run_locked(struct hv_vp *v); /* expire what is due, set the deadline */
/* The next expired timer whose message goes to 'sint', or NULL; and is there one? */
struct hv_stimer *stimer_pending_locked(struct hv_vp *v, unsigned sint);

/* ---- hypercall.c, flush.c ------------------------------------------------------------------ */

struct hcall {
    struct hv *hv;
    struct hv_vp *v;
    const uint8_t *in;  /* private copy: fixed part, variable part, elements */
    unsigned var;       /* 8-byte words of the variable part */
    unsigned reps, rep; /* elements; the first one to be done, advanced by who does it */
    uint8_t *out;       /* elements of the answer, zeroed */
};

void hypercall_fill_page(uint8_t page[PAGE_SIZE]);
enum hv_status hcall_flush_space(struct hcall *c);
enum hv_status hcall_flush_list(struct hcall *c);
enum hv_status hcall_flush_space_ex(struct hcall *c);
enum hv_status hcall_flush_list_ex(struct hcall *c);
enum hv_status hcall_send_ipi(struct hcall *c);
enum hv_status hcall_send_ipi_ex(struct hcall *c);

static inline struct hv_vp *hv_vp_of(struct hv *hv, const struct vp *vp)
{
    return &hv->vp[vp_index(vp)];
}
