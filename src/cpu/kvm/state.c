/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - registers and saved state of the kvm engine: struct vp_state <-> KVM's structs. */
#include "cpu/kvm/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>


/* ---- registers ------------------------------------------------------------------------------- */

static void get_segment(const struct kvm_segment *k, struct vp_segment *s)
{
    *s = (struct vp_segment){
        .base = k->base,
        .limit = k->limit,
        .sel = k->selector,
        .attr = (uint16_t)(k->type | k->s << 4 | k->dpl << 5 | k->present << 7 | k->avl << 12 |
                           k->l << 13 | k->db << 14 | k->g << 15),
        .unusable = k->unusable,
    };
}

static void set_segment(const struct vp_segment *s, struct kvm_segment *k)
{
    *k = (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->sel,
        .type = s->attr & 15,
        .s = s->attr >> 4 & 1,
        .dpl = s->attr >> 5 & 3,
        .present = s->attr >> 7 & 1,
        .avl = s->attr >> 12 & 1,
        .l = s->attr >> 13 & 1,
        .db = s->attr >> 14 & 1,
        .g = s->attr >> 15 & 1,
        .unusable = s->unusable,
    };
}

/* KVM's segments in the order of enum vp_seg. */
static void seg_table(struct kvm_sregs *s, struct kvm_segment *table[SEGS])
{
    table[SEG_ES] = &s->es;
    table[SEG_CS] = &s->cs;
    table[SEG_SS] = &s->ss;
    table[SEG_DS] = &s->ds;
    table[SEG_FS] = &s->fs;
    table[SEG_GS] = &s->gs;
    table[SEG_LDTR] = &s->ldt;
    table[SEG_TR] = &s->tr;
}

/* KVM's general registers in the order of the instruction encoding. */
static void gpr_table(struct kvm_regs *r, __u64 *table[GPRS])
{
    __u64 *const t[GPRS] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
                             &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };

    memcpy(table, t, sizeof t);
}

void kvm_get_regs(struct vp *vp, struct vp_regs *ret)
{
    struct kvm_vp *v = kvm_vp_of(vp);
    struct kvm_regs r = { 0 };
    struct kvm_sregs s = { 0 };
    struct kvm_debugregs d = { 0 };
    struct kvm_segment *seg[SEGS];
    __u64 *gpr[GPRS];

    ioctl(v->fd, KVM_GET_REGS, &r);
    ioctl(v->fd, KVM_GET_SREGS, &s);
    ioctl(v->fd, KVM_GET_DEBUGREGS, &d);
    *ret = (struct vp_regs){
        .rip = r.rip, .rflags = r.rflags,
        .gdt = { .base = s.gdt.base, .limit = s.gdt.limit },
        .idt = { .base = s.idt.base, .limit = s.idt.limit },
        .cr0 = s.cr0, .cr2 = s.cr2, .cr3 = s.cr3, .cr4 = s.cr4, .cr8 = s.cr8, .efer = s.efer,
        .dr = { d.db[0], d.db[1], d.db[2], d.db[3], 0, 0, d.dr6, d.dr7 },
    };
    gpr_table(&r, gpr);
    for (unsigned i = 0; i < GPRS; i++)
        ret->gpr[i] = *gpr[i];
    seg_table(&s, seg);
    for (unsigned i = 0; i < SEGS; i++)
        get_segment(seg[i], &ret->seg[i]);
}

static int set_regs(struct kvm_vp *v, const struct vp_regs *regs, uint64_t apic_base)
{
    struct kvm_regs r = { .rip = regs->rip, .rflags = regs->rflags | 2 };
    struct kvm_sregs s;
    struct kvm_debugregs d = {
        .db = { regs->dr[0], regs->dr[1], regs->dr[2], regs->dr[3] },
        .dr6 = regs->dr[6],
        .dr7 = regs->dr[7],
    };
    struct kvm_segment *seg[SEGS];
    __u64 *gpr[GPRS];

    if (ioctl(v->fd, KVM_GET_SREGS, &s) < 0)
        return -errno;
    gpr_table(&r, gpr);
    for (unsigned i = 0; i < GPRS; i++)
        *gpr[i] = regs->gpr[i];
    seg_table(&s, seg);
    for (unsigned i = 0; i < SEGS; i++)
        set_segment(&regs->seg[i], seg[i]);
    s.gdt.base = regs->gdt.base;
    s.gdt.limit = regs->gdt.limit;
    s.idt.base = regs->idt.base;
    s.idt.limit = regs->idt.limit;
    s.cr0 = regs->cr0;
    s.cr2 = regs->cr2;
    s.cr3 = regs->cr3;
    s.cr4 = regs->cr4;
    s.cr8 = regs->cr8;
    s.efer = regs->efer;
    if (apic_base)
        s.apic_base = apic_base;
    memset(s.interrupt_bitmap, 0, sizeof s.interrupt_bitmap);
    if (ioctl(v->fd, KVM_SET_SREGS, &s) < 0 || ioctl(v->fd, KVM_SET_REGS, &r) < 0 ||
        ioctl(v->fd, KVM_SET_DEBUGREGS, &d) < 0)
        return -errno;
    return 0;
}

void kvm_set_regs(struct vp *vp, const struct vp_regs *regs)
{
    set_regs(kvm_vp_of(vp), regs, 0);
}

bool kvm_translate(struct vp *vp, uint64_t va, gpa_t *ret)
{
    struct kvm_translation t = { .linear_address = va };

    if (ioctl(kvm_vp_of(vp)->fd, KVM_TRANSLATE, &t) < 0 || !t.valid)
        return false;
    *ret = GPA(t.physical_address);
    return true;
}

/* ---- MSRs ------------------------------------------------------------------------------------ */

struct msr_row {
    uint32_t index;
    size_t off; /* in struct vp_msrs */
};
#define MSR_ROW(i, member) { i, offsetof(struct vp_msrs, member) }

static const struct msr_row msr_rows[] = {
    MSR_ROW(0xc0000081, star),        MSR_ROW(0xc0000082, lstar),
    MSR_ROW(0xc0000083, cstar),       MSR_ROW(0xc0000084, sfmask),
    MSR_ROW(0xc0000102, kernel_gs_base), MSR_ROW(0x174, sysenter_cs),
    MSR_ROW(0x175, sysenter_esp),     MSR_ROW(0x176, sysenter_eip),
    MSR_ROW(0x277, pat),              MSR_ROW(0x1a0, misc_enable),
    MSR_ROW(0xc0000103, tsc_aux),     MSR_ROW(0x6e0, tsc_deadline),
    MSR_ROW(0x2ff, mtrr_def_type),    MSR_ROW(0x250, mtrr_fix[0]),
    MSR_ROW(0x258, mtrr_fix[1]),      MSR_ROW(0x259, mtrr_fix[2]),
    MSR_ROW(0x268, mtrr_fix[3]),      MSR_ROW(0x269, mtrr_fix[4]),
    MSR_ROW(0x26a, mtrr_fix[5]),      MSR_ROW(0x26b, mtrr_fix[6]),
    MSR_ROW(0x26c, mtrr_fix[7]),      MSR_ROW(0x26d, mtrr_fix[8]),
    MSR_ROW(0x26e, mtrr_fix[9]),      MSR_ROW(0x26f, mtrr_fix[10]),
    MSR_ROW(0x200, mtrr_var[0]),      MSR_ROW(0x201, mtrr_var[1]),
    MSR_ROW(0x202, mtrr_var[2]),      MSR_ROW(0x203, mtrr_var[3]),
    MSR_ROW(0x204, mtrr_var[4]),      MSR_ROW(0x205, mtrr_var[5]),
    MSR_ROW(0x206, mtrr_var[6]),      MSR_ROW(0x207, mtrr_var[7]),
    MSR_ROW(0x208, mtrr_var[8]),      MSR_ROW(0x209, mtrr_var[9]),
    MSR_ROW(0x20a, mtrr_var[10]),     MSR_ROW(0x20b, mtrr_var[11]),
    MSR_ROW(0x20c, mtrr_var[12]),     MSR_ROW(0x20d, mtrr_var[13]),
    MSR_ROW(0x20e, mtrr_var[14]),     MSR_ROW(0x20f, mtrr_var[15]),
    MSR_ROW(0x48, spec_ctrl),         MSR_ROW(0xda0, xss),
};

/* One at a time: KVM stops a batch at the first MSR that this host lacks, and hosts differ. */
static bool msr_ioctl(struct kvm_vp *v, unsigned long what, uint32_t index, uint64_t *value)
{
    _Alignas(struct kvm_msrs) uint8_t raw[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    struct kvm_msrs *m = (struct kvm_msrs *)(void *)raw;

    memset(raw, 0, sizeof raw);
    m->nmsrs = 1;
    m->entries[0] = (struct kvm_msr_entry){ .index = index, .data = *value };
    if (ioctl(v->fd, what, m) != 1)
        return false;
    *value = m->entries[0].data;
    return true;
}

bool kvm_get_msr(struct kvm_vp *v, uint32_t index, uint64_t *ret)
{
    uint64_t value = 0;

    if (!msr_ioctl(v, KVM_GET_MSRS, index, &value))
        return false;
    *ret = value;
    return true;
}

bool kvm_set_msr(struct kvm_vp *v, uint32_t index, uint64_t value)
{
    return msr_ioctl(v, KVM_SET_MSRS, index, &value);
}

static void get_msrs(struct kvm_vp *v, struct vp_msrs *m)
{
    for (unsigned i = 0; i < ARRAY_LEN(msr_rows); i++) {
        uint64_t value = 0;
        kvm_get_msr(v, msr_rows[i].index, &value);
        memcpy((char *)m + msr_rows[i].off, &value, sizeof value);
    }
}

static void set_msrs(struct kvm_vp *v, const struct vp_msrs *m)
{
    for (unsigned i = 0; i < ARRAY_LEN(msr_rows); i++) {
        uint64_t value;
        memcpy(&value, (const char *)m + msr_rows[i].off, sizeof value);
        kvm_set_msr(v, msr_rows[i].index, value);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const uint32_t mp_to_kvm[] = {
    [MP_RUNNING] = KVM_MP_STATE_RUNNABLE,
    [MP_HALTED] = KVM_MP_STATE_HALTED,
    [MP_WAIT_INIT] = KVM_MP_STATE_UNINITIALIZED,
    [MP_WAIT_SIPI] = KVM_MP_STATE_INIT_RECEIVED,
};

static uint32_t mp_from_kvm(uint32_t k)
{
    for (uint32_t i = 0; i < ARRAY_LEN(mp_to_kvm); i++)
        if (mp_to_kvm[i] == k)
            return i;
    return MP_RUNNING;
}

void kvm_get_state(struct vp *vp, struct vp_state *ret)
{
    struct kvm_vp *v = kvm_vp_of(vp);
    struct kvm_xcrs x = { 0 };
    struct kvm_mp_state mp = { 0 };
    struct kvm_vcpu_events ev = { 0 };
    struct kvm_sregs s = { 0 };
    struct kvm_xsave xs = { 0 };
    struct kvm_lapic_state lapic = { 0 };

    memset(ret, 0, sizeof *ret);
    kvm_get_regs(vp, &ret->regs);
    get_msrs(v, &ret->msrs);
    ioctl(v->fd, KVM_GET_SREGS, &s);
    ioctl(v->fd, KVM_GET_XCRS, &x);
    ioctl(v->fd, KVM_GET_XSAVE, &xs);
    ioctl(v->fd, KVM_GET_LAPIC, &lapic);
    ioctl(v->fd, KVM_GET_MP_STATE, &mp);
    ioctl(v->fd, KVM_GET_VCPU_EVENTS, &ev);
    ret->msrs.apic_base = s.apic_base;
    ret->xcr0 = x.nr_xcrs ? x.xcrs[0].value : 1;
    memcpy(ret->xsave, xs.region, sizeof ret->xsave);
    memcpy(ret->lapic, lapic.regs, sizeof ret->lapic);
    ret->mp_state = mp_from_kvm(mp.mp_state);
    if (ev.exception.injected || ev.interrupt.injected) {
        ret->pending_valid = 1;
        ret->pending_type = ev.exception.injected ? 3 : ev.interrupt.soft ? 4 : 0;
        ret->pending_vector = ev.exception.injected ? ev.exception.nr : ev.interrupt.nr;
        ret->pending_has_error = ev.exception.injected && ev.exception.has_error_code;
        ret->pending_error = ev.exception.error_code;
    }
    ret->nmi_pending = ev.nmi.pending;
    ret->nmi_masked = ev.nmi.masked;
    ret->sti_shadow = ev.interrupt.shadow;
}

int kvm_set_state(struct vp *vp, const struct vp_state *st, struct err *err)
{
    struct kvm_vp *v = kvm_vp_of(vp);
    struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0].value = st->xcr0 };
    struct kvm_mp_state mp = { .mp_state = mp_to_kvm[st->mp_state] };
    struct kvm_vcpu_events ev = { .flags = KVM_VCPUEVENT_VALID_SHADOW };
    struct kvm_xsave xs = { 0 };
    struct kvm_lapic_state lapic = { 0 };
    int r = set_regs(v, &st->regs, st->msrs.apic_base);

    if (r < 0)
        return err_errno(err, -r, "kvm: registers of VP %u", vp->index);
    memcpy(xs.region, st->xsave, sizeof st->xsave);
    memcpy(lapic.regs, st->lapic, sizeof st->lapic);
    if (st->pending_valid && st->pending_type == 3) {
        ev.exception.injected = 1;
        ev.exception.nr = st->pending_vector;
        ev.exception.has_error_code = st->pending_has_error;
        ev.exception.error_code = st->pending_error;
    } else if (st->pending_valid) {
        ev.interrupt.injected = 1;
        ev.interrupt.nr = st->pending_vector;
        ev.interrupt.soft = st->pending_type == 4;
    }
    ev.nmi.pending = st->nmi_pending;
    ev.nmi.masked = st->nmi_masked;
    ev.interrupt.shadow = st->sti_shadow;
    ioctl(v->fd, KVM_SET_XCRS, &x);
    if (ioctl(v->fd, KVM_SET_XSAVE, &xs) < 0 || ioctl(v->fd, KVM_SET_LAPIC, &lapic) < 0)
        return err_errno(err, errno, "kvm: FPU or APIC state of VP %u", vp->index);
    set_msrs(v, &st->msrs); /* after the APIC: the deadline MSR needs its timer mode */
    if (ioctl(v->fd, KVM_SET_VCPU_EVENTS, &ev) < 0 || ioctl(v->fd, KVM_SET_MP_STATE, &mp) < 0)
        return err_errno(err, errno, "kvm: event state of VP %u", vp->index);
    return 0;
}

/* ---- power-on -------------------------------------------------------------------------------- */

/* Source: APM volume 2, table 14-1; APIC: SDM volume 3, 10.4.7.1. */
void kvm_reset_state(struct vp *vp, struct vp_state *s)
{
    struct vp_regs *r = &s->regs;

    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < SEGS; i++)
        r->seg[i] = (struct vp_segment){ .limit = 0xffff, .attr = 0x93 };
    r->seg[SEG_CS] = (struct vp_segment){ .base = 0xffff0000, .limit = 0xffff, .sel = 0xf000,
                                          .attr = 0x9b };
    r->seg[SEG_LDTR].attr = 0x82;
    r->seg[SEG_TR].attr = 0x8b;
    r->gdt.limit = r->idt.limit = 0xffff;
    r->rip = 0xfff0;
    r->rflags = 2;
    r->gpr[RDX] = 0x600;
    r->cr0 = 0x60000010;
    r->dr[6] = 0xffff0ff0;
    r->dr[7] = 0x400;
    s->msrs.apic_base = 0xfee00800 | (vp->index == 0 ? 0x100 : 0);
    s->msrs.pat = 0x0007040600070406;
    s->msrs.misc_enable = 1;
    s->xcr0 = 1;
    put_le16(s->xsave, 0x37f);         /* FCW */
    put_le32(s->xsave + 24, 0x1f80);   /* MXCSR */
    put_le64(s->xsave + 512, 3);       /* XSTATE_BV: x87 and SSE */
    put_le32(s->lapic + 0x20, vp->index << 24);
    put_le32(s->lapic + 0x30, 0x50014);
    put_le32(s->lapic + 0xe0, 0xffffffff);
    put_le32(s->lapic + 0xf0, 0xff);
    for (unsigned lvt = 0x320; lvt <= 0x370; lvt += 0x10)
        put_le32(s->lapic + lvt, 0x10000);
    if (vp->index == 0)
        put_le32(s->lapic + 0x350, 0x8700); /* LINT0: ExtINT, so the PIC works from the start */
    s->mp_state = vp->index == 0 ? MP_RUNNING : MP_WAIT_INIT;
}
