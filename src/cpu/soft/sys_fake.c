/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sys_fake.c - see sys_fake.h: what the other parts of the engine do for the system files. */
#include "cpu/soft/sys_fake.h"

#include <string.h>

#include "cpu/soft/fpu.h"
#include "cpu/soft/lapic.h"
#include "cpu/soft/soft.h"

struct fake fake;

/* ---- memory ---------------------------------------------------------------------------------- */

static struct tlb empty_tlb;

static void touch(struct soft_vp *vp, uint64_t va, unsigned n)
{
    if (va + n > FAKE_SIZE || (fake.bad_page && (va >> 12 == fake.bad_page))) {
        vp->cr2 = va;
        soft_raise_error(vp, EXC_PF, 0);
    }
}

uint64_t peek(uint64_t va, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, &fake.mem[va], size);
    return v;
}

void poke(uint64_t va, unsigned size, uint64_t v)
{
    memcpy(&fake.mem[va], &v, size);
}

uint64_t mem_sys_read(struct soft_vp *vp, uint64_t va, unsigned size)
{
    touch(vp, va, size);
    return peek(va, size);
}

void mem_sys_write(struct soft_vp *vp, uint64_t va, unsigned size, uint64_t v)
{
    touch(vp, va, size);
    poke(va, size, v);
}

uint64_t mem_read_slow(struct soft_vp *vp, uint64_t va, unsigned size)
{
    return mem_sys_read(vp, va, size);
}

void mem_write_slow(struct soft_vp *vp, uint64_t va, unsigned size, uint64_t v)
{
    mem_sys_write(vp, va, size, v);
}

void mem_read(struct soft_vp *vp, uint64_t va, void *to, size_t n)
{
    touch(vp, va, (unsigned)n);
    memcpy(to, &fake.mem[va], n);
}

void mem_write(struct soft_vp *vp, uint64_t va, const void *from, size_t n)
{
    touch(vp, va, (unsigned)n);
    memcpy(&fake.mem[va], from, n);
}

void mmu_set_cr3(struct soft_vp *vp, uint64_t value)
{
    vp->cr3 = value & ~(UINT64_C(1) << 63);
    fake.cr3_set = value;
}

void mmu_flush_page(struct soft_vp *vp, uint64_t va)
{
    fake.flushes++;
}

void mmu_flush_all(struct soft_vp *vp, bool globals)
{
    fake.flushes++;
}

void mmu_flush_pcid(struct soft_vp *vp, unsigned pcid, bool one_page, uint64_t va)
{
    fake.flushes++;
}

void mmu_select_set(struct soft_vp *vp)
{
}

bool mmu_translate(struct soft_vp *vp, uint64_t va, gpa_t *ret)
{
    *ret = GPA(va);
    return true;
}

/* ---- the run loop ---------------------------------------------------------------------------- */

void soft_raise_error(struct soft_vp *vp, uint8_t vector, uint32_t error)
{
    vp->event = (struct event){ .vector = vector, .type = EVENT_EXC, .has_error = true,
                                .error = error };
    vp->event_valid = true;
    _longjmp(vp->unwind, UNWIND_FAULT);
}

void soft_raise(struct soft_vp *vp, uint8_t vector)
{
    vp->event = (struct event){ .vector = vector, .type = EVENT_EXC };
    vp->event_valid = true;
    _longjmp(vp->unwind, UNWIND_FAULT);
}

void soft_mode_changed(struct soft_vp *vp)
{
    bool c64 = in_code64(vp);

    for (unsigned i = 0; i < SEGS; i++)
        vp->seg_base[i] = c64 && i <= SEG_DS ? 0 : vp->seg[i].base;
    vp->mode = c64 ? MODE_64 : vp->seg[SEG_CS].attr & ATTR_DB ? MODE_32 : MODE_16;
    vp->mode |= in_prot(vp) ? MODE_PROT : 0;
}

void run_committed(struct soft_vp *vp)
{
}

uint64_t insn_offset(const struct soft_vp *vp, const struct insn *in)
{
    uint64_t v = (uint64_t)(int64_t)in->disp;

    if (in->base != INSN_NONE)
        v += in->base == INSN_RIP ? vp->next_rip : vp->gpr[in->base];
    if (in->index != INSN_NONE)
        v += vp->gpr[in->index] << in->scale;
    return in->addr_size == 8 ? v : in->addr_size == 4 ? (uint32_t)v : (uint16_t)v;
}

uint64_t insn_address(struct soft_vp *vp, const struct insn *in, unsigned size, bool write)
{
    return linear(vp, vp->seg_base[in->seg] + insn_offset(vp, in));
}

uint64_t insn_reg(const struct soft_vp *vp, const struct insn *in, unsigned reg, unsigned size)
{
    return size == 8 ? vp->gpr[reg] : vp->gpr[reg] & ((UINT64_C(1) << size * 8) - 1);
}

void insn_set_reg(struct soft_vp *vp, const struct insn *in, unsigned reg, unsigned size,
                  uint64_t value)
{
    if (size >= 4)
        vp->gpr[reg] = size == 4 ? (uint32_t)value : value;
    else
        memcpy(&vp->gpr[reg], &value, size);
}

uint64_t insn_rm(struct soft_vp *vp, const struct insn *in, unsigned size)
{
    if (in->mod == 3)
        return insn_reg(vp, in, in->rm, size);
    return mem_sys_read(vp, insn_address(vp, in, size, false), size);
}

void insn_set_rm(struct soft_vp *vp, const struct insn *in, unsigned size, uint64_t value)
{
    if (in->mod == 3)
        insn_set_reg(vp, in, in->rm, size, value);
    else
        mem_sys_write(vp, insn_address(vp, in, size, true), size, value);
}

void stack_push(struct soft_vp *vp, unsigned size, uint64_t value)
{
    struct stack s = stack_here(vp);

    stack_put(vp, &s, size, value);
    stack_commit(vp, &s);
}

unsigned run(const char *hex)
{
    struct soft_vp *vp = fake.vp;
    uint8_t code[INSN_MAX + 1];
    const struct helper *h;
    struct insn in;
    size_t n = 0;

    for (; hex[0]; hex += hex[2] == ' ' ? 3 : 2)
        code[n++] = (uint8_t)strtoul((char[3]){ hex[0], hex[1], 0 }, NULL, 16);
    if (decode(code, n, vp->mode & MODE_SIZE, &in) != DECODE_OK)
        return EXC_UD;
    vp->event_valid = false;
    vp->next_rip = vp->rip + in.len;
    h = sys_helper(&in);
    if (!h) {
        test_fail(__FILE__, __LINE__, "no helper for %s", hex);
        return EXC_UD;
    }
    if (_setjmp(vp->unwind))
        return vp->event.vector;
    h->run(vp, &in);
    vp->rip = vp->next_rip;
    return NO_FAULT;
}

unsigned fault_error(void)
{
    return fake.vp->event.error;
}

bool deliver_event(uint8_t vector, enum event_type type, int error)
{
    fake.vp->event = (struct event){ .vector = vector, .type = (uint8_t)type,
                                     .has_error = error >= 0, .error = (uint32_t)MAX(error, 0) };
    fake.vp->event_valid = true;
    return event_deliver(fake.vp);
}

/* ---- neighbours ------------------------------------------------------------------------------ */

void soft_leave(struct soft_vp *vp)
{
}

void soft_enter(struct soft_vp *vp)
{
}

void soft_note_exit(struct soft_vp *vp, const char *what, uint64_t where)
{
}

void soft_timers_changed(struct soft_vp *vp)
{
}

void fpu_reset(struct soft_vp *vp)
{
}

void lapic_reset(struct soft_vp *vp, bool init)
{
}

int lapic_pending(struct soft_vp *vp)
{
    return fake.pending;
}

int lapic_take(struct soft_vp *vp)
{
    int v = fake.pending;

    fake.pending = -1;
    return v;
}

bool lapic_extint_enabled(const struct soft_vp *vp)
{
    return true;
}

uint64_t lapic_cr8(const struct soft_vp *vp)
{
    return 7;
}

void lapic_set_cr8(struct soft_vp *vp, uint64_t v)
{
}

bool lapic_msr_read(struct soft_vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = msr;
    return true;
}

bool lapic_msr_write(struct soft_vp *vp, uint32_t msr, uint64_t value)
{
    return true;
}

bool lapic_set_base(struct soft_vp *vp, uint64_t value)
{
    vp->msrs.apic_base = value;
    return true;
}

static uint32_t pio_read(void *owner, struct vp *vp, uint16_t port, unsigned size)
{
    fake.port = port;
    return 0x12345678;
}

static void pio_write(void *owner, struct vp *vp, uint16_t port, unsigned size, uint32_t value)
{
    fake.port = port;
    fake.port_size = size;
    fake.port_value = value;
}

static bool exit_msr_read(void *owner, struct vp *vp, uint32_t msr, uint64_t *ret)
{
    *ret = 0xabc;
    return msr == 0x40000000;
}

static bool exit_hypercall(void *owner, struct vp *vp, struct hypercall *h)
{
    h->result = h->rcx + (UINT64_C(1) << 32);
    return true;
}

static int exit_pic_ack(void *owner)
{
    return fake.extint;
}

static const struct exit_ops exits = { .pio_read = pio_read, .pio_write = pio_write,
                                       .msr_read = exit_msr_read, .hypercall = exit_hypercall,
                                       .pic_ack = exit_pic_ack };

/* ---- set-up ---------------------------------------------------------------------------------- */

void put_desc(unsigned sel, uint64_t base, uint32_t limit, unsigned attr)
{
    uint64_t d;

    if (limit > 0xfffff) {
        limit >>= 12;
        attr |= ATTR_G;
    }
    d = (limit & 0xffff) | (base & 0xffffff) << 16 | (uint64_t)attr << 40 |
        (uint64_t)(limit & 0xf0000) << 32 | (base >> 24 & 0xff) << 56;
    poke((sel & 4 ? LDT : GDT) + (sel & 0xfff8), 8, d);
}

void put_gate(uint64_t at, unsigned sel, uint64_t off, unsigned type, unsigned dpl, unsigned extra)
{
    poke(at, 8, (off & 0xffff) | (uint64_t)sel << 16 | (uint64_t)extra << 32 |
                    (uint64_t)(type | ATTR_P | dpl << 5) << 40 | (off >> 16 & 0xffff) << 48);
}

static void set_seg(enum vp_seg n, uint16_t sel)
{
    struct desc d;

    desc_read(fake.vp, sel, &d);
    seg_fill(&fake.vp->seg[n], sel, &d);
}

static void init_tables(struct soft_vp *vp)
{
    put_desc(S_CODE0, 0, 0xffffffff, A_CODE);
    put_desc(S_DATA0, 0, 0xffffffff, A_DATA);
    put_desc(S_CODE3, 0, 0xffffffff, A_CODE | A_DPL(3));
    put_desc(S_DATA3, 0, 0xffffffff, A_DATA | A_DPL(3));
    put_desc(S_CONF0, 0, 0xffffffff, A_CODE | ATTR_EC);
    put_desc(S_TSS, TSS, 0x2fff, ATTR_P | SYS_TSS32 | SYS_BUSY);
    put_desc(S_LDT, LDT, 0xff, ATTR_P | SYS_LDT);
    put_desc(S_CODE64, 0, 0xffffffff, (A_CODE & ~ATTR_DB) | ATTR_L);
    put_desc(S_CODE64_3, 0, 0xffffffff, (A_CODE & ~ATTR_DB) | ATTR_L | A_DPL(3));
    put_desc(S_CODE1, 0, 0xffffffff, A_CODE | A_DPL(1));
    put_desc(S_DATA1, 0, 0xffffffff, A_DATA | A_DPL(1));
    vp->gdt = (struct vp_dtable){ .base = GDT, .limit = 0xff };
    vp->idt = (struct vp_dtable){ .base = IDT, .limit = 0xfff };
    set_seg(SEG_LDTR, S_LDT);
    set_seg(SEG_TR, S_TSS);
    if (vp->efer & EFER_LMA) {
        poke(TSS + 4, 8, STACK0);
    } else {
        poke(TSS + 4, 4, STACK0);
        poke(TSS + 8, 4, S_DATA0);
        poke(TSS + 12, 4, STACK0);
        poke(TSS + 16, 4, S_DATA1);
    }
    poke(TSS + 102, 2, 0x68);
}

void fake_init(enum machine m, unsigned cpl)
{
    static struct soft_vp vp_store;
    struct soft_vp *vp = &vp_store;
    bool is_long = m == LONG64 || m == COMPAT32;

    memset(&fake, 0, sizeof(fake));
    memset(vp, 0, sizeof(*vp));
    for (unsigned i = 0; i < TLB_ENTRIES; i++)
        empty_tlb.read[i].tag = empty_tlb.write[i].tag = tlb_empty(i);
    fake.vp = vp;
    fake.pending = fake.extint = -1;
    fake.soft.part.cfg = (struct partition_config){ .n_vps = 2, .exits = &exits };
    vp->soft = &fake.soft;
    vp->tlb = &empty_tlb;
    vp->vp.part = &fake.soft.part;
    vp->n_cpuid = cpuid_offer(vp->cpuid);
    cpuid_changed(vp);
    sys_reset(vp, false);
    vp->rip = CODE;
    vp->gpr[RSP] = m == REAL ? 0x8000 : cpl == 3 ? STACK3 : STACK0;
    if (m == REAL) {
        seg_fill_real(&vp->seg[SEG_CS], 0);
        vp->gdt = (struct vp_dtable){ .base = GDT, .limit = 0xff };
        soft_mode_changed(vp);
        return;
    }
    vp->cr0 |= CR0_PE | (is_long ? CR0_PG : 0);
    vp->efer = is_long ? EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE : 0;
    vp->cr4 = is_long ? CR4_PAE : 0;
    init_tables(vp);
    vp->cpl = (uint8_t)cpl;
    if (m == LONG64)
        set_seg(SEG_CS, cpl == 3 ? S_CODE64_3 : S_CODE64);
    else
        set_seg(SEG_CS, cpl == 3 ? S_CODE3 : S_CODE0);
    set_seg(SEG_SS, cpl == 3 ? S_DATA3 : S_DATA0);
    set_seg(SEG_DS, S_DATA3);
    set_seg(SEG_ES, S_DATA3);
    soft_mode_changed(vp);
}
