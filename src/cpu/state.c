/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - the table by which the architectural state of a VP is saved (struct vp_state). */
#include "cpu/engine.h"

static const struct state_field segment_fields[] = {
    STATE(struct vp_segment, base),  STATE(struct vp_segment, limit),
    STATE(struct vp_segment, sel),   STATE(struct vp_segment, attr),
    STATE(struct vp_segment, unusable),
};
static const struct state_desc segment_state = STATE_DESC("segment", 1, segment_fields);

static const struct state_field dtable_fields[] = {
    STATE(struct vp_dtable, base),
    STATE(struct vp_dtable, limit),
};
static const struct state_desc dtable_state = STATE_DESC("dtable", 1, dtable_fields);

static const struct state_field regs_fields[] = {
    STATE(struct vp_regs, gpr),
    STATE(struct vp_regs, rip),
    STATE(struct vp_regs, rflags),
    STATE_ARRAY(struct vp_regs, seg, segment_state),
    STATE_STRUCT(struct vp_regs, gdt, dtable_state),
    STATE_STRUCT(struct vp_regs, idt, dtable_state),
    STATE(struct vp_regs, cr0),
    STATE(struct vp_regs, cr2),
    STATE(struct vp_regs, cr3),
    STATE(struct vp_regs, cr4),
    STATE(struct vp_regs, cr8),
    STATE(struct vp_regs, efer),
    STATE(struct vp_regs, dr),
};
static const struct state_desc regs_state = STATE_DESC("regs", 1, regs_fields);

static const struct state_field msrs_fields[] = {
    STATE(struct vp_msrs, apic_base),    STATE(struct vp_msrs, star),
    STATE(struct vp_msrs, lstar),        STATE(struct vp_msrs, cstar),
    STATE(struct vp_msrs, sfmask),       STATE(struct vp_msrs, kernel_gs_base),
    STATE(struct vp_msrs, sysenter_cs),  STATE(struct vp_msrs, sysenter_esp),
    STATE(struct vp_msrs, sysenter_eip), STATE(struct vp_msrs, pat),
    STATE(struct vp_msrs, misc_enable),  STATE(struct vp_msrs, tsc_aux),
    STATE(struct vp_msrs, tsc_deadline), STATE(struct vp_msrs, mtrr_def_type),
    STATE(struct vp_msrs, mtrr_fix),     STATE(struct vp_msrs, mtrr_var),
    STATE(struct vp_msrs, spec_ctrl),    STATE(struct vp_msrs, xss),
};
static const struct state_desc msrs_state = STATE_DESC("msrs", 1, msrs_fields);

static const struct state_field vp_fields[] = {
    STATE_STRUCT(struct vp_state, regs, regs_state),
    STATE_STRUCT(struct vp_state, msrs, msrs_state),
    STATE(struct vp_state, xcr0),
    STATE(struct vp_state, xsave),
    STATE(struct vp_state, lapic),
    STATE(struct vp_state, mp_state),
    STATE(struct vp_state, pending_vector),
    STATE(struct vp_state, pending_type),
    STATE(struct vp_state, pending_has_error),
    STATE(struct vp_state, pending_valid),
    STATE(struct vp_state, pending_error),
    STATE(struct vp_state, nmi_pending),
    STATE(struct vp_state, nmi_masked),
    STATE(struct vp_state, sti_shadow),
};

static bool vp_state_check(void *obj)
{
    return ((struct vp_state *)obj)->mp_state <= MP_WAIT_SIPI;
}

const struct state_desc vp_state_desc = {
    .name = "vp",
    .version = 1,
    .fields = vp_fields,
    .n_fields = ARRAY_LEN(vp_fields),
    .check = vp_state_check,
};
