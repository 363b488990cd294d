/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ops_string.c - MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS, repeated by whole pages.
 *
 * Source: Intel SDM 2.  Between pieces the registers are as after so many single steps, so a fault or
 * an interrupt there restarts the instruction where it is.  The pieces are run by the host's own string
 * instructions, which gives overlapping operands the same meaning. */
#include "cpu/soft/core_insn.h"
#include "cpu/soft/sys.h"

/* One execution: what is repeated, over what. */
struct string {
    unsigned size;      /* of an element */
    uint64_t mask;      /* of the address registers */
    int64_t step;       /* + or - size */
    bool rep;
    uint64_t left;      /* elements; 1 without REP */
};

static uint64_t get_masked(const struct soft_vp *vp, unsigned reg, const struct string *s)
{
    return vp->gpr[reg] & s->mask;
}

static void set_masked(struct soft_vp *vp, unsigned reg, const struct string *s, uint64_t v)
{
    if (s->mask == 0xffff)
        R16(reg) = (uint16_t)v;
    else
        vp->gpr[reg] = v & s->mask;
}

static struct string string_start(struct soft_vp *vp, const struct insn *in)
{
    struct string s = { .size = width(in) };

    s.mask = in->addr_size == 8 ? UINT64_MAX : in->addr_size == 4 ? 0xffffffff : 0xffff;
    s.step = vp->rflags & F_DF ? -(int64_t)s.size : (int64_t)s.size;
    s.rep = in->prefixes & (PFX_REP | PFX_REPNE);
    s.left = s.rep ? get_masked(vp, RCX, &s) : 1;
    return s;
}

/* 'n' elements are done: move the registers on. */
static void string_advance(struct soft_vp *vp, struct string *s, uint64_t n, bool src, bool dst)
{
    uint64_t by = n * (uint64_t)s->step;

    if (src)
        set_masked(vp, RSI, s, vp->gpr[RSI] + by);
    if (dst)
        set_masked(vp, RDI, s, vp->gpr[RDI] + by);
    s->left -= n;
    if (s->rep)
        set_masked(vp, RCX, s, s->left);
}

/* After a piece: go on?  When not all is done the instruction starts again later. */
static bool string_more(struct soft_vp *vp, const struct string *s)
{
    if (!s->left)
        return false;
    if (!(vp->rflags & F_TF) && !__atomic_load_n(&vp->attention, __ATOMIC_RELAXED))
        return true;
    vp->next_rip = vp->rip;
    return false;
}

/* The most elements that one piece from offset 'off' may have: no wrap of the address, no crossing of
 * a page, none of the segment's end.  0: one element, the careful way. */
static uint64_t piece(struct soft_vp *vp, const struct string *s, uint64_t off, uint64_t va)
{
    uint64_t room = s->step > 0 ? PAGE_SIZE - va % PAGE_SIZE : va % PAGE_SIZE + s->size;
    uint64_t n;

    if (vp->rflags & F_TF)
        return 0;
    if (s->step < 0 && va % PAGE_SIZE + s->size > PAGE_SIZE)
        return 0;
    if (s->mask != UINT64_MAX) {
        uint64_t wrap = s->step > 0 ? s->mask - off + 1 : off + s->size;
        room = MIN(room, wrap);
    }
    n = room / s->size;
    return MIN(n, s->left);
}

/* Is the whole of the piece within the segment?  In flat modes address_at() said so already. */
static bool piece_checked(struct soft_vp *vp, unsigned seg)
{
    return is_64(vp) || ((vp->mode & MODE_FLAT) && seg < SEG_FS);
}

/* Host pointer to 'n' elements from 'va' in the direction of 's'; fewer: *n says. */
static void *piece_host(struct soft_vp *vp, const struct string *s, uint64_t va, uint64_t *n,
                        bool write)
{
    uint64_t bytes = *n * s->size, low = s->step > 0 ? va : va - (bytes - s->size);
    size_t got = 0;
    uint8_t *p = write ? mem_span_write(vp, low, bytes, &got) : mem_span_read(vp, low, bytes, &got);

    if (!p || got < bytes)
        return NULL; /* within a page: cannot be short */
    return s->step > 0 ? p : p + (bytes - s->size);
}

#define HOST_STRING(insn, ...)                                                               \
    do {                                                                                     \
        if (s->step > 0)                                                                     \
            asm volatile(insn __VA_ARGS__);                                                  \
        else                                                                                 \
            asm volatile("std\n\t" insn "\n\tcld" __VA_ARGS__);                              \
    } while (0)

/* ---- MOVS ------------------------------------------------------------------------------------ */

static void host_movs(const struct string *s, void *to, const void *from, uint64_t n)
{
    switch (s->size) {
    case 1: HOST_STRING("rep movsb", : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 2: HOST_STRING("rep movsw", : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 4: HOST_STRING("rep movsl", : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    default: HOST_STRING("rep movsq", : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    }
}

static uint64_t movs_piece(struct soft_vp *vp, const struct insn *in, const struct string *s)
{
    uint64_t si = get_masked(vp, RSI, s), di = get_masked(vp, RDI, s);
    uint64_t from = address_at(vp, in->seg, si, s->size, false), to, n;
    void *p, *q;

    if (unlikely(is_64(vp) && !va_canonical(di))) /* faults of the source come first */
        (void)mem_load(vp, from, s->size);
    to = address_at(vp, SEG_ES, di, s->size, true);

    n = MIN(piece(vp, s, si, from), piece(vp, s, di, to));
    if (n > 1 && piece_checked(vp, in->seg) && piece_checked(vp, SEG_ES)) {
        p = piece_host(vp, s, from, &n, false);
        q = p ? piece_host(vp, s, to, &n, true) : NULL;
        /* A slow second look-up may have moved the first page: ask for it again. */
        if (q && p == piece_host(vp, s, from, &n, false)) {
            host_movs(s, q, p, n);
            return n;
        }
    }
    mem_store(vp, to, s->size, mem_load(vp, from, s->size));
    return 1;
}

void int_movs(struct soft_vp *vp, const struct insn *in)
{
    struct string s = string_start(vp, in);

    if (!s.left)
        return;
    do {
        string_advance(vp, &s, movs_piece(vp, in, &s), true, true);
    } while (string_more(vp, &s));
}

/* ---- STOS ------------------------------------------------------------------------------------ */

static void host_stos(const struct string *s, void *to, uint64_t v, uint64_t n)
{
    switch (s->size) {
    case 1: HOST_STRING("rep stosb", : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    case 2: HOST_STRING("rep stosw", : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    case 4: HOST_STRING("rep stosl", : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    default: HOST_STRING("rep stosq", : "+D"(to), "+c"(n) : "a"(v) : "memory"); break;
    }
}

static uint64_t stos_piece(struct soft_vp *vp, const struct string *s)
{
    uint64_t di = get_masked(vp, RDI, s), to = address_at(vp, SEG_ES, di, s->size, true);
    uint64_t n = piece(vp, s, di, to);
    void *q;

    if (n > 1 && piece_checked(vp, SEG_ES)) {
        q = piece_host(vp, s, to, &n, true);
        if (q) {
            host_stos(s, q, vp->gpr[RAX], n);
            return n;
        }
    }
    mem_store(vp, to, s->size, vp->gpr[RAX]);
    return 1;
}

void int_stos(struct soft_vp *vp, const struct insn *in)
{
    struct string s = string_start(vp, in);

    if (!s.left)
        return;
    do {
        string_advance(vp, &s, stos_piece(vp, &s), false, true);
    } while (string_more(vp, &s));
}

/* ---- LODS ------------------------------------------------------------------------------------ */

void int_lods(struct soft_vp *vp, const struct insn *in)
{
    struct string s = string_start(vp, in);

    if (!s.left)
        return;
    do {
        uint64_t at = address_at(vp, in->seg, get_masked(vp, RSI, &s), s.size, false);

        insn_set_reg(vp, in, RAX, s.size, mem_load(vp, at, s.size));
        string_advance(vp, &s, 1, true, false);
    } while (string_more(vp, &s));
}

/* ---- SCAS, CMPS ------------------------------------------------------------------------------ */

#define HOST_SEARCH(insn, ...)                                                               \
    do {                                                                                     \
        if (s->step > 0)                                                                     \
            asm volatile(insn "\n\t" ASM_FLAGS_OUT __VA_ARGS__);                             \
        else                                                                                 \
            asm volatile("std\n\t" insn "\n\t" "cld\n\t" ASM_FLAGS_OUT __VA_ARGS__);         \
    } while (0)

/* Search while elements differ (REPNE) or are equal; returns how many were looked at. */
#define SEARCH_BODY(sfx)                                                                     \
    if (ne)                                                                                  \
        HOST_SEARCH("repne " sfx, SEARCH_OPERANDS);                                          \
    else                                                                                     \
        HOST_SEARCH("repe " sfx, SEARCH_OPERANDS)

static uint64_t host_scas(const struct string *s, bool ne, const void *at, uint64_t v, uint64_t n,
                          uint16_t *flags)
{
    uint64_t left = n;

#define SEARCH_OPERANDS : "+D"(at), "+c"(left), "+a"(v) : : "memory", "cc"
    switch (s->size) {
    case 1: SEARCH_BODY("scasb"); break;
    case 2: SEARCH_BODY("scasw"); break;
    case 4: SEARCH_BODY("scasl"); break;
    default: SEARCH_BODY("scasq"); break;
    }
#undef SEARCH_OPERANDS
    *flags = (uint16_t)v;
    return n - left;
}

static uint64_t host_cmps(const struct string *s, bool ne, const void *a, const void *b, uint64_t n,
                          uint16_t *flags)
{
    uint64_t left = n, f = 0;

#define SEARCH_OPERANDS : "+S"(a), "+D"(b), "+c"(left), "+a"(f) : : "memory", "cc"
    switch (s->size) {
    case 1: SEARCH_BODY("cmpsb"); break;
    case 2: SEARCH_BODY("cmpsw"); break;
    case 4: SEARCH_BODY("cmpsl"); break;
    default: SEARCH_BODY("cmpsq"); break;
    }
#undef SEARCH_OPERANDS
    *flags = (uint16_t)f;
    return n - left;
}

static uint16_t compare(unsigned size, uint64_t a, uint64_t b)
{
    uint16_t f = 0;

    alu_table[ALU_CMP][log2_size(size)](a, b, &f);
    return f;
}

static uint64_t scas_piece(struct soft_vp *vp, const struct insn *in, const struct string *s,
                           uint16_t *flags)
{
    uint64_t di = get_masked(vp, RDI, s), at = address_at(vp, SEG_ES, di, s->size, false);
    uint64_t n = piece(vp, s, di, at);
    const void *p;

    if (n > 1 && piece_checked(vp, SEG_ES)) {
        p = piece_host(vp, s, at, &n, false);
        if (p)
            return host_scas(s, in->prefixes & PFX_REPNE, p, vp->gpr[RAX], n, flags);
    }
    *flags = compare(s->size, insn_reg(vp, in, RAX, s->size), mem_load(vp, at, s->size));
    return 1;
}

/* Has the search come to its end by the flags?  Then the rest of the count stays. */
static bool found(const struct insn *in, const struct string *s, uint16_t flags)
{
    return !s->rep || !(flags & LF_ZF) == !(in->prefixes & PFX_REPNE);
}

void int_scas(struct soft_vp *vp, const struct insn *in)
{
    struct string s = string_start(vp, in);
    uint16_t f;

    if (!s.left)
        return;
    do {
        uint64_t n = scas_piece(vp, in, &s, &f);

        string_advance(vp, &s, n, false, true);
        FLAGS = f;
    } while (!found(in, &s, f) && string_more(vp, &s));
}

static uint64_t cmps_piece(struct soft_vp *vp, const struct insn *in, const struct string *s,
                           uint16_t *flags)
{
    uint64_t si = get_masked(vp, RSI, s), di = get_masked(vp, RDI, s);
    uint64_t a = address_at(vp, in->seg, si, s->size, false);
    uint64_t b = address_at(vp, SEG_ES, di, s->size, false), n;
    const void *p, *q;

    n = MIN(piece(vp, s, si, a), piece(vp, s, di, b));
    if (n > 1 && piece_checked(vp, in->seg) && piece_checked(vp, SEG_ES)) {
        q = piece_host(vp, s, b, &n, false); /* which faults first: as AMD's processors */
        p = q ? piece_host(vp, s, a, &n, false) : NULL;
        if (p && q == piece_host(vp, s, b, &n, false))
            return host_cmps(s, in->prefixes & PFX_REPNE, p, q, n, flags);
    }
    uint64_t v = mem_load(vp, b, s->size);
    *flags = compare(s->size, mem_load(vp, a, s->size), v);
    return 1;
}

void int_cmps(struct soft_vp *vp, const struct insn *in)
{
    struct string s = string_start(vp, in);
    uint16_t f;

    if (!s.left)
        return;
    do {
        uint64_t n = cmps_piece(vp, in, &s, &f);

        string_advance(vp, &s, n, true, true);
        FLAGS = f;
    } while (!found(in, &s, f) && string_more(vp, &s));
}

/* ---- INS, OUTS ------------------------------------------------------------------------------- */

/* Each element leaves the engine, so each is a step of its own: the page is made sure of before the
 * port is read. */
void int_ins(struct soft_vp *vp, const struct insn *in)
{
    struct string s = string_start(vp, in);
    uint64_t at;

    s.size = in->opcode & 1 ? MIN(in->op_size, 4u) : 1;
    s.step = vp->rflags & F_DF ? -(int64_t)s.size : (int64_t)s.size;
    io_check(vp, (uint16_t)vp->gpr[RDX], s.size);
    if (!s.left)
        return;
    do {
        at = address_at(vp, SEG_ES, get_masked(vp, RDI, &s), s.size, true);
        mem_probe_write(vp, at, s.size);
        mem_store(vp, at, s.size, io_read(vp, (uint16_t)vp->gpr[RDX], s.size));
        string_advance(vp, &s, 1, false, true);
    } while (string_more(vp, &s));
}

void int_outs(struct soft_vp *vp, const struct insn *in)
{
    struct string s = string_start(vp, in);
    uint64_t at;

    s.size = in->opcode & 1 ? MIN(in->op_size, 4u) : 1;
    s.step = vp->rflags & F_DF ? -(int64_t)s.size : (int64_t)s.size;
    io_check(vp, (uint16_t)vp->gpr[RDX], s.size);
    if (!s.left)
        return;
    do {
        at = address_at(vp, in->seg, get_masked(vp, RSI, &s), s.size, false);
        io_write(vp, (uint16_t)vp->gpr[RDX], s.size, (uint32_t)mem_load(vp, at, s.size));
        string_advance(vp, &s, 1, true, false);
    } while (string_more(vp, &s));
}
