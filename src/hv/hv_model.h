/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hv_model.h - for tests: a machine of memory, clock, model engine and a real hv, and what a guest
 * does with it: MSRs, hypercalls, SynIC pages. */
#pragma once

#include "hv/engine_model.h"
#include "hv/hv.h"

#define MODEL_RAM (32 * MIB)

/* Where the model guest keeps its pages. */
#define MODEL_HYPERCALL_PAGE UINT64_C(0x100000)
#define MODEL_INPUT_PAGE(vp) (UINT64_C(0x110000) + (vp)*PAGE_SIZE)
#define MODEL_OUTPUT_PAGE    UINT64_C(0x150000)
#define MODEL_SIMP(vp)       (UINT64_C(0x160000) + (vp)*PAGE_SIZE)
#define MODEL_SIEFP(vp)      (UINT64_C(0x1a0000) + (vp)*PAGE_SIZE)
#define MODEL_TSC_PAGE       UINT64_C(0x1e0000)
#define MODEL_FREE           UINT64_C(0x200000) /* from here on a test's own */

#define MODEL_VECTOR 0xf3 /* Linux: HYPERVISOR_CALLBACK_VECTOR */

struct hv_model {
    struct clock clock;
    struct gmem *gmem;
    struct partition *part;
    struct hv *hv;
    unsigned crashes;
    uint64_t crash[HV_CRASH_PARAMS];
    char crash_log[4097];
    unsigned resets;
};

/* Everything that can be offered is.  The clock is a manual one unless 'real_time'. */
void hv_model_init(struct hv_model *m, unsigned n_vps, bool real_time);
void hv_model_done(struct hv_model *m);

/* A second hv for the same partition (restore); the first one is freed. */
void hv_model_renew(struct hv_model *m);

struct vp *hv_model_vp(struct hv_model *m, unsigned vp);
void hv_model_wrmsr(struct hv_model *m, unsigned vp, uint32_t msr, uint64_t value);
uint64_t hv_model_rdmsr(struct hv_model *m, unsigned vp, uint32_t msr);

/* As Linux at boot: guest id, hypercall page; on each VP its SynIC pages and SINT 2. */
void hv_model_boot(struct hv_model *m);

/* 64-bit hypercalls from the page: control and the two parameters; the result. */
uint64_t hv_model_hypercall(struct hv_model *m, unsigned vp, uint64_t control, uint64_t a,
                            uint64_t b);

enum hv_status hv_model_post(struct hv_model *m, unsigned vp, uint32_t connection, uint32_t type,
                             const void *payload, size_t n);

/* As Linux takes a message: copy, free the slot, EOM if it is pending.  false: the slot is empty.
 */
bool hv_model_take(struct hv_model *m, unsigned vp, unsigned sint, struct hv_message *ret);

/* Clear an event flag; was it set? */
bool hv_model_take_event(struct hv_model *m, unsigned vp, unsigned sint, unsigned flag);
