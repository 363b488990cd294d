/* SPDX-License-Identifier: GPL-2.0-or-later */
/* jit_private.h - between jit.c (the driver), jit_classify.c (what an instruction is), jit_emit.c,
 * jit_miss.c, jit_flow.c, jit_flags.c, jit_sse.c.
 *
 * Registers of host code: RBP is the VP (VP_BIAS bytes into it), RSP its frames, RAX and R11 scratch;
 * the others hold guest registers (host_of()).  R9, R10, R11 and R15 of the guest stay in the VP.  When
 * vp->vectors_live, guest XMM registers are in the host's. */
#pragma once

#include "cpu/soft/jit.h"
#include "cpu/soft/jit_asm.h"
#include "cpu/soft/ops.h"

/* One byte reaches from R8 on. */
#define VP_BIAS    ((int)(sizeof(((struct soft_vp *)0)->gpr) / 2 + 128))
#define VP_AT(member) ((int)offsetof(struct soft_vp, member) - VP_BIAS)
#define IN_VP(member) rm_mem(H_RBP, VP_AT(member))

/* The host register of a guest's, or H_NONE. */
static inline unsigned host_of(unsigned g)
{
    static const uint8_t map[16] = {
        [RAX] = H_R10, [RCX] = H_RCX, [RDX] = H_RDX, [RBX] = H_RBX, [RSP] = H_R9, [RBP] = H_R15,
        [RSI] = H_RSI, [RDI] = H_RDI, [8] = H_R8, [9] = H_NONE, [10] = H_NONE, [11] = H_NONE,
        [12] = H_R12, [13] = H_R13, [14] = H_R14, [15] = H_NONE,
    };
    return map[g];
}
static inline struct host_rm slot_of(unsigned g) /* its place in the VP */
{
    return rm_mem(H_RBP, (int)g * 8 - VP_BIAS);
}
static inline struct host_rm place_of(unsigned g)
{
    return host_of(g) == H_NONE ? slot_of(g) : rm_reg(host_of(g));
}

enum { ACC_R = 1, ACC_W = 2, ACC_RW = 3 };

/* How flags can be had again without having been kept: by doing this on registers that still are what
 * they were. */
enum recipe_kind { RECIPE_NONE, RECIPE_CMP, RECIPE_TEST, RECIPE_RESULT, RECIPE_ADD, RECIPE_SUB,
                   RECIPE_NEG };
struct recipe {
    uint8_t kind, size;
    uint8_t a, b; /* guest registers; b INSN_NONE: imm */
    int32_t imm;
};

/* x87 instructions that have run: what is not written yet. */
struct x87_state {
    bool live;         /* known to be */
    bool pending, fdp; /* the instruction's address; the operand's, which is in next_fdp */
    int16_t off;       /* from block_rip */
    uint16_t fop;
    uint8_t seg;
};

struct xlate;
struct jit_insn;
typedef void emit_fn(struct xlate *t, struct jit_insn *u);

struct jit_insn {
    struct insn in;
    emit_fn *emit;          /* NULL: the interpreter runs it */
    uint32_t opc;           /* of the host's instruction */
    int16_t off;            /* from block_rip */
    uint16_t op;            /* its first operation */
    uint16_t exit;          /* branches: its exit */
    uint16_t back;          /* calls: the exit that returns take, or 0 */
    uint16_t writes;        /* guest registers, by bit */
    uint8_t size, mem_size; /* bytes: operands; what it accesses in memory */
    uint8_t reg_acc, rm_acc, ext; /* no access to a register: ModRM.reg is 'ext' */
    uint8_t imm_n, cc;
    bool reg_x, rm_x;       /* XMM registers */
    bool reg_high, rm_high; /* AH, CH, DH, BH */
    bool vex_general;       /* VEX.vvvv is a general register */
    bool rm_register;       /* r/m may not become a memory operand when it is a register */
    uint8_t align;          /* mask of address bits that must be 0 */
    bool reads, makes;      /* arithmetic flags */
    bool partial;           /* makes some, and the others stay */
    bool live;              /* flags behind it matter to somebody */
    bool faults;            /* may leave by a side exit, and destroys the host's flags before */
    bool loses;             /* destroys them behind */
    bool leaves;            /* may leave the block: flags must be in the VP */
    bool resume;            /* op_resume is behind it */
    bool label;             /* a branch of this block leads here */
    bool maybe;             /* in the loop that is copied: not in every round */
    uint8_t vectors;        /* what it wants of vp->vectors_live: enum vectors_live */
    struct recipe recipe;
    uint8_t range;          /* of its access in the loop that is copied, and 1; 0: none */
    uint16_t x87_fop;
    bool x87_ptr;           /* leaves its address */
    bool keeps_r11, takes_r11; /* of struct near: what it was, behind; it may want it */
    int32_t delta;          /* branches: target, from block_rip */
    struct jit_insn *to;    /* the same, if it is of this block and translated */
    uint8_t *at;            /* its host code */
};

/* Way out to the interpreter's operation of one instruction. */
struct side_exit {
    uint8_t *from[4];
    unsigned n;
    uint16_t op, uncounted;
    bool kept, always;
    uint8_t ranged; /* as in struct xlate */
    struct recipe recipe;
    struct x87_state x87;
};
/* What R11 is between instructions: the host's address of [base + disp], of 'size' bytes; or the host's
 * addresses - the guest's in the page of slot 'base' (jit_range.c). */
struct near {
    bool valid, delta, write; /* write: as its write entry says */
    uint8_t base, size;
    uint8_t align; /* address bits that are 0 */
    int32_t disp;
};
/* An access that its inline check does not know; there R11 is ... */
enum miss_kind {
    MISS_TLB,      /* the address - the tag of the entry RAX */
    MISS_TOP,      /* the address - top_tag */
    MISS_PAGE,     /* the address, which is not on the slot's page */
    MISS_NEAR,     /* not known: the access is near the last one, and may be on another page */
    MISS_NEAR_TOP, /* the same, and most likely on the stack */
    MISS_KINDS,
};
#define MISS_SIZES 6 /* up to 32 bytes */
struct miss {
    uint8_t *from;
    uint8_t *done; /* there R11 is the host's address */
    uint16_t side;
    uint8_t kind, size; /* size: log2, rounded up */
    uint8_t align;      /* MISS_TLB: what else may be the cause, a mask of address bits */
    bool write;
    uint8_t base;       /* MISS_NEAR, MISS_NEAR_TOP: [base + disp] */
    union {
        int32_t disp;
        int32_t slot;   /* MISS_PAGE: from RBP */
    };
};
/* Accesses of a loop by the same registers (jit_range.c). */
struct range {
    uint8_t base, index, scale; /* as in struct insn */
    uint8_t slot;
    bool write;
    int64_t low, high; /* of its accesses in a round, from base and index at the beginning */
    int64_t step;      /* of base and index in a round */
    struct range *checked_as; /* one to write that has this one's accesses, too; or NULL */
};
#define RANGES_MAX 8
struct range_fails { /* jumps to a round with checks */
    uint8_t *from[2 + 2 * GPRS + RANGES_MAX];
    unsigned n;
};
/* How the constants that a round adds move a register. */
struct moves {
    int64_t up, down; /* sums */
    uint8_t size;     /* of the register they count in; 0: it stays */
    bool unknown;
};
/* What a register is more than one round before, at the same place. */
struct change {
    int64_t by;
    uint8_t size; /* 4: as long as it does not wrap at 32 bits */
    bool known;
    uint16_t sign; /* registers that must not wrap at 31 bits meanwhile */
};
struct steps {
    struct moves all[GPRS];  /* of a whole round */
    struct change now[GPRS]; /* before instruction 'i' */
    unsigned i, last;
};
/* The taken side of a conditional branch, out of line. */
struct far_exit {
    uint8_t *from;
    uint16_t insn, uncounted;
    bool kept; /* flags are in the VP, not only in the host's */
    const uint8_t *at; /* a place in the same copy of a loop, or NULL */
};
/* A branch within a copy of a loop. */
struct inner {
    uint8_t *from;
    uint16_t insn, to;
    bool kept;
};

/* The jump of an exit. */
struct jit_link {
    uint8_t *at;         /* its displacement */
    const uint8_t *slow; /* running address */
    uint16_t op;
    bool cross;
};

/* Pushes or pops with one check; elsewhere one by one, from this state on. */
struct stack_run {
    uint8_t *from, *back;
    uint16_t first, last;
    bool kept;
    struct recipe recipe;
    struct x87_state x87;
};

#define EMIT_INSNS_MAX (4 * BLOCK_INSNS_MAX) /* with the copies of loops */

_Static_assert(BLOCK_EXITS_MAX <= 64, "links");

struct xlate {
    struct soft_vp *vp;
    const struct jit *jit;
    struct block *block;
    struct asm_buf a;
    uint32_t mode;
    bool wide; /* 64-bit code */
    unsigned n, i; /* instructions; the current one */
    bool bad;      /* cannot be done after all */
    bool framed;   /* the current instruction is a call that leaves a frame */
    /* Where the guest's arithmetic flags are: in the host's, in LAZY_FLAGS, by the recipe. */
    bool in_host, kept;
    struct recipe recipe;
    struct x87_state x87;
    unsigned copy; /* of a loop's instructions: 0 is the first */
    bool once;     /* no copies */
    unsigned uncounted; /* instructions of the loop's rounds before this copy */
    unsigned loop_last; /* of the loop that is copied */
    bool loop_branches; /* a round may leave some of its instructions out: those with 'maybe' */
    struct inner inner[8];
    unsigned n_inner;
    struct range range[RANGES_MAX];
    unsigned n_ranges;
    int64_t narrow[GPRS]; /* what a round adds to registers of ranges that must not wrap at 32 bits */
    int64_t signed_by[GPRS]; /* and at 31: those in 'sign' */
    uint16_t sign;
    uint8_t ranged; /* ranges have been checked for these rounds: 1 those to read, 2 to write */
    struct near near;
    bool near_set, near_used, near_lost; /* by the current instruction */
    unsigned n_sides, n_far, n_misses, n_runs;
    struct stack_run run[BLOCK_INSNS_MAX / 2];
    struct miss miss[EMIT_INSNS_MAX];
    struct side_exit side[EMIT_INSNS_MAX];
    struct far_exit far[EMIT_INSNS_MAX];
    struct jit_link link[BLOCK_EXITS_MAX]; /* by site */
    uint64_t links;                        /* which of them there are */
    struct jit_insn insn[BLOCK_INSNS_MAX];
};

/* Of jit_return.c. */
struct jit_returns {
    const uint8_t *leave;      /* a return that finds the budget used up */
    const uint8_t *miss;       /* one to elsewhere than its frame says */
    const uint8_t *empty;      /* one without a frame: where sentinels lead */
    const uint8_t *call_leave; /* a call that does not take place: half a frame is on the stack */
    const uint8_t *call_cross_slow;
};

/* Host code that all blocks share: running addresses. */
struct jit_common {
    const uint8_t *enter;      /* RAX: where to */
    const uint8_t *exit_op;    /* to the operation RAX */
    const uint8_t *unlinked;   /* the same, from the exit R11 */
    const uint8_t *cross_slow; /* run_cross_slow() from the exit R11 */
    const uint8_t *dead;       /* to what is at vp->block_rip now */
    const uint8_t *miss[MISS_KINDS][2][MISS_SIZES]; /* [write]: jit_put_misses() */
    const uint8_t *side;       /* exit_op, counted: side exits, and instructions for the interpreter */
    const uint8_t *interpreted;
    const uint8_t *side_flags; /* side, of the operation R11, with flags in the host's */
    const uint8_t *refill;     /* called: mmu_refill() of R11 and EAX; CC_E: it cannot */
    const uint8_t *leave;      /* to the run loop, at vp->block_rip */
    const uint8_t *link;       /* to where the exit R11 leads, in its page; */
    const uint8_t *link_cross; /* to another page, whose number is EAX */
    struct jit_returns returns;
    const uint8_t *load[3];    /* XMM or YMM registers, and back to RAX: by enum vectors_live */
};

struct jit {
    uint8_t *write, *run; /* the two mappings */
    unsigned threshold;
    bool lockstep; /* host code never leads to other code: it comes back to lockstep.c */
    bool bmi2;     /* of the host's processor */
    bool gs;       /* programs may write GS: it has the TLB's address */
    void (*spoil)(uint8_t *code, size_t n); /* tests: what they do to code just made */
    size_t used[CODE_REGIONS];
    size_t there[CODE_REGIONS]; /* has come from the host */
    struct jit_common common;
};

/* jit_classify.c: everything of *u that the instruction decides. */
void jit_classify(struct soft_vp *vp, struct jit_insn *u, uint32_t mode);
/* jit_sse.c */
bool jit_classify_sse(struct soft_vp *vp, struct jit_insn *u, uint32_t mode);
bool jit_classify_avx(struct soft_vp *vp, struct jit_insn *u, uint32_t mode);
/* jit_x87.c */
bool jit_classify_sys(struct jit_insn *u, uint32_t mode); /* jit_sys.c */
emit_fn emit_sti;
bool jit_classify_x87(struct jit_insn *u, uint32_t mode);
emit_fn emit_x87, emit_fldcw;
void x87_flush(struct xlate *t); /* before the code is left, or joined */
void x87_write_pointers(struct asm_buf *a, const struct x87_state *x);

/* jit_trace.c: a block that was just translated, where it runs and where it was written. */
void jit_show(const struct block *b, const uint8_t *run, const uint8_t *write, size_t n);

/* jit_flags.c */
bool flags_recipe_uses(const struct recipe *r, uint16_t writes); /* one of these registers */
bool flags_survive(const struct xlate *t); /* of those just made: without being kept */
void flags_made(struct xlate *t);
void flags_to_host(struct xlate *t);
void flags_for(struct xlate *t);
void flags_behind_jcc(struct xlate *t);
void flags_keep(struct xlate *t);
void flags_replay(struct asm_buf *a, const struct recipe *r);
void flags_store(struct asm_buf *a); /* RAX is lost */
static inline void flags_lost(struct xlate *t)
{
    t->in_host = false;
}
static inline void flags_at_label(struct xlate *t)
{
    t->in_host = false;
    t->kept = true;
    t->recipe.kind = RECIPE_NONE;
}

bool flags_survive_loop(const struct xlate *t, unsigned first, bool in_host); /* in its next round */

/* jit.c: the current instruction */
void jit_put_insn(struct xlate *t);
/* Whose flags does nobody see?  live: those behind the last. */
void jit_find_live(struct xlate *t, unsigned first, unsigned last, bool live);

/* jit_loop.c: back to 'to' on 'cc', or always: -1.  false: not such a loop. */
bool jit_loop(struct xlate *t, struct jit_insn *to, int cc);
bool jit_inner(struct xlate *t, const struct jit_insn *u); /* a branch; false: not within a copy */

/* jit_steps.c: a walk through a loop's instructions */
void jit_steps_begin(struct steps *s, const struct xlate *t, unsigned first, unsigned last);
void jit_steps_next(struct steps *s, const struct xlate *t);
/* How a register moves, as it is used here; ret_ahead: how much more it is here than at the beginning of
 * a round, any but the first.  false: unknown. */
bool jit_steps_at(const struct steps *s, const struct xlate *t, unsigned g, int64_t *ret_ahead,
                  struct change *ret);

/* jit_range.c */
/* The ranges of a loop.  Returns how many rounds, at most 'rounds', are worth one check. */
unsigned jit_ranges_find(struct xlate *t, unsigned first, unsigned last, unsigned rounds);
void jit_ranges_begin(struct xlate *t, unsigned first, unsigned last); /* rounds without checks */
/* Returns where to go on when no slot has changed since the last check. */
const uint8_t *jit_ranges_check(struct xlate *t, unsigned rounds, struct range_fails *f);
void jit_ranges_end(struct xlate *t, unsigned first, unsigned last);
struct host_rm jit_range_operand(struct xlate *t, const struct jit_insn *u); /* flags stay */

/* jit_near.c */
bool jit_near(struct xlate *t, unsigned base, int32_t disp, unsigned size, bool write, unsigned align);
void jit_near_set(struct xlate *t, unsigned base, int64_t disp, unsigned size, bool write, unsigned align);
bool jit_near_follows(const struct xlate *t); /* would that be of use behind the current instruction? */
void jit_near_classify(struct jit_insn *u); /* what is known of R11 before it and behind */
void jit_near_before(struct xlate *t); /* the current instruction */
void jit_near_behind(struct xlate *t);

/* jit_page.c */
void jit_page(struct xlate *t, unsigned slot, unsigned size, bool write); /* R11: linear to host */
struct host_rm jit_page_tag(bool write, unsigned slot), jit_page_delta(bool write, unsigned slot);
void jit_put_page_miss(struct asm_buf *a, struct jit_common *c, unsigned k, bool write);

/* jit_emit.c */
/* R11 in the TLB's table, to the difference from the tag of entry RAX; and its check: CC_A: missed. */
void jit_shift(struct asm_buf *a, unsigned to, unsigned from, unsigned by);
void jit_look_up(struct asm_buf *a, int table, unsigned size);
void jit_address(struct xlate *t, const struct insn *in);         /* R11 = linear address */
void jit_push_place(struct xlate *t, unsigned size);               /* R11: host, of a new top */
void jit_move_sp(struct xlate *t, int by);
/* R11 = host address of [guest register + disp], which is most likely on the stack. */
void jit_top(struct xlate *t, unsigned g, int disp, unsigned size, bool write);
void jit_tlb(struct xlate *t, unsigned size, bool write);         /* R11: linear to host */
emit_fn emit_rm, emit_nothing, emit_mov_imm, emit_lea, emit_bswap, emit_mul, emit_div, emit_cmpxchg,
    emit_cmpxchg8b, emit_bit_string, emit_sign, emit_vzero,
    emit_byte, emit_push, emit_push_imm, emit_push_rm, emit_pop, emit_leave;

/* jit_miss.c */
#define JIT_REFILL_WRITE 0x100 /* beside the size */
struct side_exit *jit_side_exit(struct xlate *t); /* of the current instruction */
void jit_side(struct xlate *t, unsigned cc);      /* jcc to the interpreter's operation */
void jit_side_always(struct xlate *t);
struct miss *jit_miss(struct xlate *t, enum miss_kind kind, unsigned cc, unsigned size, bool write); /* jcc */
void jit_put_sides(struct xlate *t);
/* Within what is common to all blocks: */
void jit_put_misses(struct asm_buf *a, struct jit_common *c);
void jit_put_cannot(struct asm_buf *a);
void jit_call_refill(struct asm_buf *a, const void *refill, int table, unsigned size, bool write,
                     const uint8_t *retry);

/* jit_run.c */
bool jit_run(struct xlate *t);
void jit_put_slow_runs(struct xlate *t);

/* jit_link.c */
#define JIT_CROSS_BYTES 11
void jit_put_link(struct xlate *t, unsigned exit, bool cross);
void jit_put_cross_entry(struct xlate *t);
void jit_put_link_stubs(struct xlate *t);
void jit_put_links(struct asm_buf *a, struct jit_common *c);
void jit_take_links(const struct xlate *t); /* of a block that is good */

/* jit_return.c */
emit_fn emit_ret;
void jit_put_frame_room(struct xlate *t);            /* or it is the interpreter's */
void jit_put_landing(struct xlate *t, unsigned exit); /* where returns of the call before this come */
void jit_put_returns(struct asm_buf *a, struct jit_common *c);
/* Guest registers to the VP, and the C stack; counted in vp->count. */
void jit_put_spill(struct asm_buf *a);
void jit_put_jmp_c(struct asm_buf *a, const struct op *(*to)(struct soft_vp *vp, const struct op *o));
void jit_push(struct asm_buf *a, unsigned reg);
void jit_pop(struct asm_buf *a, unsigned reg);

/* jit_flow.c */
emit_fn emit_jcc, emit_jmp, emit_call, emit_jmp_rm, emit_call_rm;
void jit_count(struct xlate *t, unsigned n); /* instructions of the budget: flags tell */
/* R11 is a linear address: RAX is its place in the jump cache. */
void jit_jump_slot(struct asm_buf *a);
void jit_exit(struct xlate *t, unsigned exit, int64_t delta);
void jit_far(struct xlate *t, struct far_exit *f);
