/* SPDX-License-Identifier: GPL-2.0-or-later */
/* seg.h - descriptors, segment loads and stack frames: what event.c, far.c, task.c and seg.c share.
 *
 * Faults take vp->ext as bit 0 of selector error codes; it is set only while an event is delivered.
 * Sources: Intel SDM 3A chapters 3, 5, 7; AMD64 APM 2 chapters 4, 8, 12. */
#pragma once

#include "cpu/soft/cpu.h"

/* vp_segment.attr and desc.attr */
enum {
    ATTR_TYPE = 0xf,
    ATTR_ACCESSED = 1,
    ATTR_RW = 2, /* data: writable; code: readable */
    ATTR_EC = 4, /* data: expand-down; code: conforming */
    ATTR_CODE = 8,
    ATTR_S = 1 << 4,
    ATTR_DPL = 3 << 5,
    ATTR_P = 1 << 7,
    ATTR_L = 1 << 13,
    ATTR_DB = 1 << 14,
    ATTR_G = 1 << 15,
};

/* Types of system descriptors (S clear). */
enum {
    SYS_TSS16 = 1, SYS_LDT = 2, SYS_CALL16 = 4, SYS_TASK_GATE = 5, SYS_INT16 = 6, SYS_TRAP16 = 7,
    SYS_TSS32 = 9, SYS_CALL32 = 12, SYS_INT32 = 14, SYS_TRAP32 = 15,
    SYS_BUSY = 2, /* or'ed to a TSS type */
};

struct desc {
    uint64_t at;    /* linear address of the descriptor */
    uint64_t raw;   /* its first 8 bytes */
    uint64_t base;  /* 64 bits after desc_extend() */
    uint32_t limit; /* bytes, expanded by G */
    uint16_t attr;
};

static inline unsigned attr_dpl(unsigned attr)
{
    return attr >> 5 & 3;
}
static inline bool attr_is_code(unsigned attr)
{
    return (attr & (ATTR_S | ATTR_CODE)) == (ATTR_S | ATTR_CODE);
}
static inline bool attr_is_conforming(unsigned attr)
{
    return (attr & (ATTR_S | ATTR_CODE | ATTR_EC)) == (ATTR_S | ATTR_CODE | ATTR_EC);
}
static inline bool attr_is_stack(unsigned attr) /* writable data */
{
    return (attr & (ATTR_S | ATTR_CODE | ATTR_RW)) == (ATTR_S | ATTR_RW);
}
static inline unsigned attr_sys_type(unsigned attr) /* 0 (reserved) for code and data */
{
    return attr & ATTR_S ? 0 : attr & ATTR_TYPE;
}

static inline bool in_long(const struct soft_vp *vp)
{
    return vp->efer & EFER_LMA;
}
static inline bool in_code64(const struct soft_vp *vp)
{
    return in_long(vp) && (vp->seg[SEG_CS].attr & ATTR_L);
}
static inline bool in_vm86(const struct soft_vp *vp)
{
    return vp->rflags & F_VM;
}
static inline bool in_prot(const struct soft_vp *vp) /* protected, compatibility or 64-bit */
{
    return (vp->cr0 & CR0_PE) && !in_vm86(vp);
}
static inline unsigned iopl(const struct soft_vp *vp)
{
    return vp->rflags >> 12 & 3;
}
static inline bool canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}
static inline bool sel_null(uint16_t sel)
{
    return !(sel & 0xfffc);
}
/* Linear addresses wrap at 4 GiB outside long mode. */
static inline uint64_t linear(const struct soft_vp *vp, uint64_t va)
{
    return in_long(vp) ? va : (uint32_t)va;
}

/* Raise with a selector as the error code: index and TI of it, and vp->ext. */
_Noreturn void raise_sel(struct soft_vp *vp, uint8_t vector, uint16_t sel);
_Noreturn void raise_gp(struct soft_vp *vp); /* #GP(0), with vp->ext */

/* Fetch the descriptor that 'sel' (not null) names; false: outside its table. */
bool desc_read(struct soft_vp *vp, uint16_t sel, struct desc *ret);
/* In long mode system descriptors have 16 bytes: fetch the rest.  false: outside the table, or its
 * type bits are not 0. */
bool desc_extend(struct soft_vp *vp, uint16_t sel, struct desc *d);
void desc_set_accessed(struct soft_vp *vp, struct desc *d);
void desc_set_busy(struct soft_vp *vp, struct desc *d, bool busy);

static inline uint16_t gate_sel(const struct desc *d)
{
    return (uint16_t)(d->raw >> 16);
}
/* Offset of a gate of 'size' bytes (2, 4, 8; for 8 'high' is the third double word). */
static inline uint64_t gate_offset(const struct desc *d, unsigned size, uint32_t high)
{
    uint64_t off = d->raw & 0xffff;

    if (size > 2)
        off |= d->raw >> 48 << 16;
    return size == 8 ? off | (uint64_t)high << 32 : off;
}

/* The hidden part as the descriptor says. */
void seg_fill(struct vp_segment *s, uint16_t sel, const struct desc *d);
void seg_fill_real(struct vp_segment *s, uint16_t sel);
void seg_fill_vm86(struct vp_segment *s, uint16_t sel);
void seg_fill_null(struct vp_segment *s, uint16_t sel);
void seg_fill_flat(struct vp_segment *s, uint16_t sel, uint16_t attr); /* SYSCALL and kin */

/* Does an access of 'size' bytes at 'off' lie within the segment's limit? */
bool seg_in_limit(const struct vp_segment *s, uint64_t off, unsigned size);

/* Load ES, SS, DS, FS, GS with all checks of the mode; calls soft_mode_changed(). */
void seg_load(struct soft_vp *vp, enum vp_seg n, uint16_t sel);

/* SS for privilege 'cpl' in protected mode.  Faults are 'vec' (#GP for loads, #TS for frames of
 * inner levels and tasks), #SS when not present.  Nothing is committed. */
void seg_check_ss(struct soft_vp *vp, uint16_t sel, unsigned cpl, uint8_t vec, struct desc *ret);
/* DS, ES, FS, GS likewise; 'sel' is not null. */
void seg_check_data(struct soft_vp *vp, uint16_t sel, uint8_t vec, struct desc *ret);
/* The descriptor of a code segment that a transfer names; limit and type only.  #GP. */
void seg_read_code(struct soft_vp *vp, uint16_t sel, struct desc *ret);
/* Its last checks: L with D, present. */
void seg_check_code(struct soft_vp *vp, uint16_t sel, const struct desc *d);
/* May execution go on at 'off' there?  #GP(0). */
void seg_check_target(struct soft_vp *vp, const struct desc *d, uint64_t off);
void seg_check_ldt(struct soft_vp *vp, uint16_t sel, uint8_t vec, struct desc *ret);

/* Drop data segments that CPL 'cpl' may not hold (returns to outer levels). */
void seg_drop_inner(struct soft_vp *vp, unsigned cpl);

/* A stack in use by a transfer, RSP not yet committed. */
struct stack {
    struct vp_segment seg;
    uint64_t sp;
    unsigned cpl;    /* of the accesses */
    bool wide;       /* 64-bit: no segment */
    uint16_t error;  /* of the #SS for its limit: 0, or a selector that is being loaded */
};

struct stack stack_here(struct soft_vp *vp);
/* Is there room for n items of 'size' bytes?  #SS. */
void stack_room(struct soft_vp *vp, const struct stack *s, unsigned n, unsigned size);
void stack_put(struct soft_vp *vp, struct stack *s, unsigned size, uint64_t value);
uint64_t stack_get(struct soft_vp *vp, struct stack *s, unsigned size);
void stack_skip(struct stack *s, uint64_t bytes); /* upwards */
/* Into SS and RSP; the segment too when it was changed. */
void stack_commit(struct soft_vp *vp, const struct stack *s);

/* The stack that the TSS holds for privilege 'cpl' (legacy modes: checks and loads SS; long mode: a
 * null SS).  'ist' 1..7 in long mode picks from the IST. */
struct stack stack_from_tss(struct soft_vp *vp, unsigned cpl, unsigned ist);

/* ---- task.c ---------------------------------------------------------------------------------- */
enum task_by { TASK_JMP, TASK_CALL, TASK_INT, TASK_IRET };

/* Go to the task whose TSS descriptor 'd' (present, of the right type) is; the old one resumes at
 * 'resume'.  Sets rip and next_rip.  A fault after the point of no return is the new task's. */
void task_switch(struct soft_vp *vp, uint16_t sel, struct desc *d, enum task_by by,
                 uint64_t resume);
/* Fetch and check a TSS descriptor for JMP, CALL or a task gate; #GP(sel), #NP(sel). */
void task_read(struct soft_vp *vp, uint16_t sel, struct desc *ret);
void task_return(struct soft_vp *vp); /* IRET with NT */

/* ---- event.c --------------------------------------------------------------------------------- */
/* INT n, INT3, INTO, INT1: deliver from inside the instruction; its faults are the
 * instruction's. */
void event_software(struct soft_vp *vp, uint8_t vector, enum event_type type);

void event_unmask_nmi(struct soft_vp *vp); /* IRET */

/* RFLAGS bits of 'mask' from 'value'; soft_mode_changed() is the caller's. */
void flags_set(struct soft_vp *vp, uint64_t value, uint64_t mask);

/* Start execution at 'rip' when the current helper (or event delivery) is done. */
static inline void goto_rip(struct soft_vp *vp, uint64_t rip)
{
    vp->next_rip = rip;
}
