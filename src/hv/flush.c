/* SPDX-License-Identifier: GPL-2.0-or-later */
/* flush.c - hypercalls to other VPs: flush their TLBs, interrupt them.
 *
 * The engine drops all cached translations of a VP, whichever address space or page was named:
 * that is allowed, and a list costs it no less than everything.
 *
 * Spec:   TLFS 10.5 (virtual processors and IPIs), 8.8 (virtual TLB).
 * Called: hypercall.c. */
#include "hv/hv_int.h"

static uint64_t all_vps(const struct hv *hv)
{
    return UINT64_MAX >> (64 - hv->cfg.n_vps);
}

/* A set of VPs from its encoding: format, mask of the banks that follow, banks.  VPs that do not
 * exist are ignored. */
static enum hv_status vpset_decode(const struct hcall *c, const uint8_t *at, uint64_t *ret)
{
    uint64_t format = get_le64(at), banks = get_le64(at + 8);

    if (format == HV_VPSET_ALL) {
        *ret = all_vps(c->hv);
        return HV_SUCCESS;
    }
    if (format != HV_VPSET_SPARSE)
        return HV_INVALID_PARAMETER;
    if ((unsigned)__builtin_popcountll(banks) != c->var)
        return HV_INVALID_INPUT;
    /* VPS_MAX is one bank: the first one, if it is there, comes first. */
    *ret = banks & 1 ? get_le64(at + 16) & all_vps(c->hv) : 0;
    return HV_SUCCESS;
}

/* ---- flush: u64 address space, u64 flags, the VPs, then for lists an element a range ------- */

static enum hv_status flush(struct hcall *c, uint64_t mask)
{
    uint64_t flags = get_le64(c->in + 8);

    if (flags & ~HV_FLUSH_FLAGS)
        return HV_INVALID_PARAMETER;
    if (flags & HV_FLUSH_ALL_PROCESSORS)
        mask = all_vps(c->hv);
    if (mask && partition_flush_tlb(c->hv->cfg.part, c->v->vp, mask) < 0)
        return HV_OPERATION_DENIED;
    c->rep = c->reps;
    return HV_SUCCESS;
}

enum hv_status hcall_flush_space(struct hcall *c)
{
    return flush(c, get_le64(c->in + 16) & all_vps(c->hv));
}

enum hv_status hcall_flush_list(struct hcall *c)
{
    return hcall_flush_space(c);
}

enum hv_status hcall_flush_space_ex(struct hcall *c)
{
    uint64_t mask;
    enum hv_status s = vpset_decode(c, c->in + 16, &mask);

    return s == HV_SUCCESS ? flush(c, mask) : s;
}

enum hv_status hcall_flush_list_ex(struct hcall *c)
{
    return hcall_flush_space_ex(c);
}

/* ---- IPI: u32 vector, u32 target VTL, the VPs ---------------------------------------------- */

static enum hv_status send_ipi(struct hcall *c, uint64_t mask)
{
    uint32_t vector = get_le32(c->in);

    if (vector < HV_SINT_VECTOR_MIN || vector > 255 || c->in[4] != 0)
        return HV_INVALID_PARAMETER;
    for (unsigned i = 0; i < c->hv->cfg.n_vps; i++)
        if (mask & UINT64_C(1) << i)
            vp_interrupt(c->hv->vp[i].vp, (uint8_t)vector);
    return HV_SUCCESS;
}

enum hv_status hcall_send_ipi(struct hcall *c)
{
    return send_ipi(c, get_le64(c->in + 8));
}

enum hv_status hcall_send_ipi_ex(struct hcall *c)
{
    uint64_t mask;
    enum hv_status s = vpset_decode(c, c->in + 8, &mask);

    return s == HV_SUCCESS ? send_ipi(c, mask) : s;
}
