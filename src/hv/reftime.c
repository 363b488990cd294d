/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reftime.c - the partition's reference time: 100 ns since it was made, from the guest's TSC.
 *
 * The counter MSR and the page that the guest computes with are one function of the TSC:
 *
 *     time = ((tsc * scale) >> 64) + offset
 *
 * so they cannot disagree.  At pause the machine takes the TSC back to where it stood, and with it
 * time.  Only a restore on a host of another TSC frequency changes the parameters.
 *
 * Spec:   TLFS 12.7 (partition reference time enlightenment).
 * Called: msr.c, hv.c; hv_ref_time() by everybody, on any thread. */
#include "hv/hv_int.h"

#include <errno.h>

#include "base/trace.h"

static uint64_t scaled(uint64_t tsc, uint64_t scale)
{
    return (uint64_t)(((unsigned __int128)tsc * scale) >> 64);
}

static uint64_t scale_of(uint64_t tsc_hz)
{
    return (uint64_t)(((unsigned __int128)HV_REF_HZ << 64) / tsc_hz);
}

uint64_t hv_ref_time(const struct hv *hv)
{
    return scaled(partition_tsc(hv->cfg.part), hv->ref_scale) + (uint64_t)hv->ref_offset;
}

int reftime_init(struct hv *hv, struct err *err)
{
    uint64_t hz = partition_tsc_hz(hv->cfg.part);

    if (hz <= HV_REF_HZ)
        return err_set(err, EINVAL, "TSC of %llu Hz: more than %llu are needed",
                       (unsigned long long)hz, (unsigned long long)HV_REF_HZ);
    hv->tsc_hz = hz;
    hv->ref_scale = scale_of(hz);
    hv->ref_offset = -(int64_t)scaled(partition_tsc(hv->cfg.part), hv->ref_scale);
    hv->ref_sequence = 1;
    return 0;
}

/* Guest memory may hold a page with the old parameters: it gets the new ones. */
void reftime_restored(struct hv *hv)
{
    uint64_t hz = partition_tsc_hz(hv->cfg.part), now;

    if (hv->tsc_hz == hz)
        return;
    now = hv_ref_time(hv);
    hv->tsc_hz = hz;
    hv->ref_scale = scale_of(hz);
    hv->ref_offset = (int64_t)(now - scaled(partition_tsc(hv->cfg.part), hv->ref_scale));
    hv->ref_sequence++;
    if (hv->ref_sequence == 0 || hv->ref_sequence == UINT32_MAX)
        hv->ref_sequence = 1;
    reftime_write_page_locked(hv);
}

/* Nothing happens while the guest has none enabled, or not in RAM: it then reads sequence 0 or
 * never looks. */
void reftime_write_page_locked(struct hv *hv)
{
    gpa_t at = GPA(HV_PAGE_GPA(hv->ref_tsc));
    struct hv_ref_tsc_page *page;

    if (!(hv->ref_tsc & HV_PAGE_ENABLE))
        return;
    page = gmem_host(hv->cfg.gmem, at, PAGE_SIZE);
    if (!page)
        return;
    __atomic_store_n(&page->sequence, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the guest's reads of 'sequence' */
    __atomic_store_n(&page->reserved, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&page->scale, hv->ref_scale, __ATOMIC_RELAXED);
    __atomic_store_n(&page->offset, hv->ref_offset, __ATOMIC_RELAXED);
    __atomic_store_n(&page->sequence, hv->ref_sequence, __ATOMIC_RELEASE);
    gmem_wrote(hv->cfg.gmem, at, sizeof *page);
    TRACE("hv", "ref_tsc", "gpa %#llx scale %#llx offset %lld", (unsigned long long)at.v,
          (unsigned long long)hv->ref_scale, (long long)hv->ref_offset);
}
