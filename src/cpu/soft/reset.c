/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reset.c - power-on, INIT and start-up IPI.
 *
 * Source: Intel SDM 3A table 9-1, 8.4.4. */
#include "cpu/soft/fpu.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/mem.h"
#include "cpu/soft/seg.h"
#include "cpu/soft/sys.h"

static void reset_segments(struct soft_vp *vp)
{
    for (unsigned i = 0; i < SEGS; i++) {
        vp->seg[i] = (struct vp_segment){ .limit = 0xffff,
                                          .attr = ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED };
    }
    vp->seg[SEG_CS].attr |= ATTR_CODE;
    vp->seg[SEG_CS].sel = 0xf000;
    vp->seg[SEG_CS].base = 0xffff0000;
    vp->seg[SEG_LDTR].attr = ATTR_P | SYS_LDT;
    vp->seg[SEG_TR].attr = ATTR_P | SYS_TSS32 | SYS_BUSY;
    vp->gdt = vp->idt = (struct vp_dtable){ .limit = 0xffff };
}

static void reset_msrs(struct soft_vp *vp)
{
    vp->msrs = (struct vp_msrs){
        .apic_base = 0xfee00800 | (vp->vp.index == 0 ? 0x100 : 0),
        .pat = 0x0007040600070406,
        .misc_enable = 1, /* fast strings */
    };
    vp->tsc_offset = vp->soft->tsc_offset;
    vp->fpu.xcr0 = 1;
}

/* The processor's signature, as CPUID 1 has it. */
static uint32_t signature(struct soft_vp *vp)
{
    uint32_t out[4];

    cpuid_run(vp, 1, 0, out);
    return out[0];
}

void sys_reset(struct soft_vp *vp, bool init)
{
    uint64_t caches = init ? vp->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;

    for (unsigned i = 0; i < GPRS; i++)
        vp->gpr[i] = 0;
    vp->gpr[RDX] = signature(vp);
    vp->rip = vp->next_rip = 0xfff0;
    vp->rflags = F_1;
    reset_segments(vp);
    vp->cr0 = CR0_ET | caches;
    vp->cr2 = vp->cr4 = vp->efer = 0;
    for (unsigned i = 0; i < 4; i++)
        vp->dr[i] = 0;
    vp->dr[6] = 0xffff0ff0;
    vp->dr[7] = 0x400;
    vp->cpl = vp->shadow = vp->ext = 0;
    vp->nmi_masked = vp->halted = vp->step = vp->event_valid = false;
    vp->debug_hits = 0;
    if (!init) {
        reset_msrs(vp);
        fpu_reset(vp);
    }
    lapic_reset(vp, init);
    mmu_set_cr3(vp, 0);
    mmu_flush_all(vp, true);
    soft_mode_changed(vp);
    __atomic_store_n(&vp->mp_state,
                     vp->vp.index == 0 ? MP_RUNNING : init ? MP_WAIT_SIPI : MP_WAIT_INIT,
                     __ATOMIC_RELEASE);
}

void sys_sipi(struct soft_vp *vp, uint8_t vector)
{
    if (vp->mp_state != MP_WAIT_SIPI)
        return;
    vp->seg[SEG_CS].sel = (uint16_t)(vector << 8);
    vp->seg[SEG_CS].base = (uint32_t)vector << 12;
    vp->rip = vp->next_rip = 0;
    soft_mode_changed(vp);
    __atomic_store_n(&vp->mp_state, MP_RUNNING, __ATOMIC_RELEASE);
}
