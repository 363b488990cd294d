/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/test.h"
#include "hv/hv_model.h"

static void done(struct hv_model *m)
{
    hv_model_done(m);
}

/* Ports that remember. */
struct seen {
    uint32_t connection, type;
    uint16_t flag;
    uint8_t payload[240];
    size_t n;
    unsigned messages, events;
};

static enum hv_status on_message(void *owner, uint32_t connection, uint32_t type,
                                 const void *payload, size_t n)
{
    struct seen *s = owner;

    s->connection = connection;
    s->type = type;
    memcpy(s->payload, payload, n);
    s->n = n;
    s->messages++;
    return connection == 1 ? HV_SUCCESS : HV_INVALID_CONNECTION_ID;
}

static enum hv_status on_event(void *owner, uint32_t connection, uint16_t flag)
{
    struct seen *s = owner;

    s->connection = connection;
    s->flag = flag;
    s->events++;
    return HV_SUCCESS;
}

static void on_drained(void *owner, unsigned vp, unsigned sint)
{
}

static const struct synic_ports ports = { on_message, on_event, on_drained };

TEST(post_message)
{
    AUTO(done) struct hv_model m;
    struct seen s = { 0 };
    uint8_t big[240];

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    EXPECT_EQ(hv_model_post(&m, 0, 1, 1, "hello", 5), HV_INVALID_CONNECTION_ID); /* no ports yet */
    synic_set_ports(m.hv, &ports, &s);
    EXPECT_EQ(hv_model_post(&m, 0, 1, 1, "hello", 5), HV_SUCCESS);
    EXPECT(s.n == 5 && memcmp(s.payload, "hello", 5) == 0 && s.type == 1);
    EXPECT_EQ(hv_model_post(&m, 0, 9, 1, "hello", 5), HV_INVALID_CONNECTION_ID);
    memset(big, 7, sizeof big);
    EXPECT_EQ(hv_model_post(&m, 0, 1, 1, big, 240), HV_SUCCESS);
    EXPECT_EQ(s.n, 240);
    EXPECT_EQ(hv_model_post(&m, 0, 1, 0x80000000, big, 240), HV_INVALID_PARAMETER);
    EXPECT_EQ(hv_model_post(&m, 0, 1, 0, big, 240), HV_INVALID_PARAMETER);
    put_le32(big, 241);
    gmem_write(m.gmem, GPA(MODEL_INPUT_PAGE(0) + 12), big, 4);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5c, MODEL_INPUT_PAGE(0), 0), HV_INVALID_PARAMETER);
    EXPECT_EQ(s.messages, 3);
}

TEST(input_in_memory_is_checked)
{
    AUTO(done) struct hv_model m;
    struct seen s = { 0 };

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    synic_set_ports(m.hv, &ports, &s);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5c, MODEL_INPUT_PAGE(0) + 4, 0), HV_INVALID_ALIGNMENT);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5c, MODEL_INPUT_PAGE(0) + 0xf08, 0),
              HV_INVALID_PARAMETER); /* crosses the page */
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5c, UINT64_C(0xfee00000), 0), HV_INVALID_PARAMETER);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5c, UINT64_C(0xfffffffffffffff8), 0),
              HV_INVALID_PARAMETER);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5c | HV_CALL_FAST, 0, 0), HV_INVALID_INPUT); /* 256 */
    EXPECT_EQ(s.messages, 0);
}

TEST(signal_event_fast_and_slow)
{
    AUTO(done) struct hv_model m;
    struct seen s = { 0 };
    uint64_t in = UINT64_C(0x0003) << 32 | 0x2005;

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    synic_set_ports(m.hv, &ports, &s);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5d | HV_CALL_FAST, in, 0), 0);
    EXPECT(s.connection == 0x2005 && s.flag == 3);
    gmem_write(m.gmem, GPA(MODEL_INPUT_PAGE(0)), &in, 8);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5d, MODEL_INPUT_PAGE(0), 0), 0);
    EXPECT_EQ(s.events, 2);
}

TEST(control_words_are_checked)
{
    AUTO(done) struct hv_model m;
    struct seen s = { 0 };

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    synic_set_ports(m.hv, &ports, &s);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0, 0, 0), HV_INVALID_CODE);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x46, 0, 0), HV_INVALID_CODE);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x8001, 0, 0), HV_INVALID_CODE);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0xffff, 0, 0), HV_INVALID_CODE);
    const uint64_t bad[] = {
        HV_CALL_NESTED,    UINT64_C(1) << 27, UINT64_C(1) << 44, UINT64_C(1) << 63,
        UINT64_C(1) << 32, UINT64_C(1) << 48, UINT64_C(1) << 17,
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        EXPECT_EQ(hv_model_hypercall(&m, 0, 0x5d | HV_CALL_FAST | bad[i], 0, 0), HV_INVALID_INPUT);
    /* Rep calls: at least one element, the start before the end, no more than a page. */
    EXPECT_EQ(hv_model_hypercall(&m, 0, 3, MODEL_INPUT_PAGE(0), 0), HV_INVALID_INPUT);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 3 | UINT64_C(2) << 32 | UINT64_C(2) << 48,
                                 MODEL_INPUT_PAGE(0), 0) &
                  0xffff,
              HV_INVALID_INPUT);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 3 | UINT64_C(4095) << 32, MODEL_INPUT_PAGE(0), 0) & 0xffff,
              HV_INVALID_INPUT);
    EXPECT_EQ(s.events, 0);
}

TEST(only_ring_0_in_the_page_calls)
{
    AUTO(done) struct hv_model m;
    struct hypercall h = { .rcx = 0x5d | HV_CALL_FAST, .long_mode = true, .result = 99 };
    struct vp *vp;

    hv_model_init(&m, 1, false);
    vp = hv_model_vp(&m, 0);
    h.rip_gpa = GPA(MODEL_HYPERCALL_PAGE + 4);
    EXPECT(!hv_hypercall(m.hv, vp, &h)); /* nothing installed */
    hv_model_boot(&m);
    EXPECT(hv_hypercall(m.hv, vp, &h));
    h.cpl = 3;
    EXPECT(!hv_hypercall(m.hv, vp, &h));
    h.cpl = 0;
    h.rip_gpa = GPA(MODEL_HYPERCALL_PAGE + 5);
    EXPECT(!hv_hypercall(m.hv, vp, &h));
    h.rip_gpa = GPA(UINT64_MAX);
    EXPECT(!hv_hypercall(m.hv, vp, &h));
    h.rip_gpa = GPA(MODEL_HYPERCALL_PAGE + 4);
    hv_model_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, 0);
    EXPECT(!hv_hypercall(m.hv, vp, &h));
}

TEST(registers_of_32_bit_callers)
{
    AUTO(done) struct hv_model m;
    struct seen s = { 0 };
    struct hypercall h = {
        .rax = 0x5d | HV_CALL_FAST, /* EDX:EAX control, EBX:ECX input */
        .rbx = 0x0007,
        .rcx = 0x2001,
    };

    hv_model_init(&m, 1, false);
    hv_model_boot(&m);
    synic_set_ports(m.hv, &ports, &s);
    h.rip_gpa = GPA(MODEL_HYPERCALL_PAGE + 4);
    EXPECT(hv_hypercall(m.hv, hv_model_vp(&m, 0), &h));
    EXPECT_EQ(h.result, 0);
    EXPECT(s.connection == 0x2001 && s.flag == 7);
    h.rdx = 1; /* a rep count of 1 */
    EXPECT(hv_hypercall(m.hv, hv_model_vp(&m, 0), &h));
    EXPECT_EQ(h.result, HV_INVALID_INPUT);

    /* Input EBX:ECX, output EDI:ESI. */
    uint64_t in[3] = { UINT64_MAX, 0, 1 };
    uint32_t out = 77;
    gmem_write(m.gmem, GPA(MODEL_INPUT_PAGE(0)), in, sizeof in);
    h = (struct hypercall){ .rax = 0x9a,
                            .rdx = 1,
                            .rcx = MODEL_INPUT_PAGE(0),
                            .rsi = MODEL_OUTPUT_PAGE,
                            .rip_gpa = h.rip_gpa };
    EXPECT(hv_hypercall(m.hv, hv_model_vp(&m, 0), &h));
    EXPECT_EQ(h.result, HV_INVALID_PARAMETER); /* one VP: no APIC id 1 */
    put_le32(in + 2, 0);
    gmem_write(m.gmem, GPA(MODEL_INPUT_PAGE(0)), in, sizeof in);
    EXPECT(hv_hypercall(m.hv, hv_model_vp(&m, 0), &h));
    EXPECT_EQ(h.result, HV_CALL_RESULT(0, 1));
    gmem_read(m.gmem, GPA(MODEL_OUTPUT_PAGE), &out, 4);
    EXPECT_EQ(out, 0);
}

TEST(outputs_are_checked_and_stand_up_to_the_error)
{
    AUTO(done) struct hv_model m;
    struct {
        uint64_t partition, vtl;
        uint32_t id[4];
    } in = { UINT64_MAX, 0, { 2, 1, 9, 0 } };
    uint32_t out[4] = { 7, 7, 7, 7 };
    uint64_t call = 0x9a | UINT64_C(4) << 32;

    hv_model_init(&m, 4, false);
    hv_model_boot(&m);
    gmem_write(m.gmem, GPA(MODEL_INPUT_PAGE(1)), &in, sizeof in);
    gmem_write(m.gmem, GPA(MODEL_OUTPUT_PAGE), out, sizeof out);
    EXPECT_EQ(hv_model_hypercall(&m, 1, call, MODEL_INPUT_PAGE(1), MODEL_OUTPUT_PAGE),
              HV_CALL_RESULT(HV_INVALID_PARAMETER, 2));
    gmem_read(m.gmem, GPA(MODEL_OUTPUT_PAGE), out, sizeof out);
    EXPECT(out[0] == 2 && out[1] == 1 && out[2] == 7);
    EXPECT_EQ(
        hv_model_hypercall(&m, 1, call | UINT64_C(3) << 48, MODEL_INPUT_PAGE(1), MODEL_OUTPUT_PAGE),
        HV_CALL_RESULT(0, 4)); /* goes on behind the bad one */
    gmem_read(m.gmem, GPA(MODEL_OUTPUT_PAGE), out, sizeof out);
    EXPECT(out[2] == 7 && out[3] == 0);
    EXPECT_EQ(hv_model_hypercall(&m, 1, call, MODEL_INPUT_PAGE(1), MODEL_OUTPUT_PAGE + 4),
              HV_INVALID_ALIGNMENT);
    EXPECT_EQ(hv_model_hypercall(&m, 1, call, MODEL_INPUT_PAGE(1), MODEL_OUTPUT_PAGE + 0xff8),
              HV_INVALID_PARAMETER);
    EXPECT_EQ(hv_model_hypercall(&m, 1, call, MODEL_INPUT_PAGE(1), UINT64_C(0xe0000000)),
              HV_INVALID_PARAMETER);
}

/* ---- flush and IPI ------------------------------------------------------------------------- */

static void put_input(struct hv_model *m, const uint64_t *w, unsigned n)
{
    gmem_write(m->gmem, GPA(MODEL_INPUT_PAGE(0)), w, n * sizeof *w);
}

TEST(flush_reaches_the_vps_named)
{
    AUTO(done) struct hv_model m;
    const uint64_t page = MODEL_INPUT_PAGE(0);

    hv_model_init(&m, 4, false);
    hv_model_boot(&m);
    put_input(&m, (uint64_t[]){ 0, 0, 0x16 }, 3);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 2, page, 0), 0);
    EXPECT_EQ(model_flushed(m.part), 6); /* VP 4 does not exist */
    put_input(&m, (uint64_t[]){ 0, HV_FLUSH_ALL_PROCESSORS | 2, 0, 0x1000, 0x2003 }, 5);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 3 | UINT64_C(2) << 32, page, 0), HV_CALL_RESULT(0, 2));
    EXPECT_EQ(model_flushed(m.part), 15);
    put_input(&m, (uint64_t[]){ 0, 0x10, 1 }, 3);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 2, page, 0), HV_INVALID_PARAMETER);

    put_input(&m, (uint64_t[]){ 0, 0, HV_VPSET_SPARSE, 3, 8, 1, 0x5000 }, 7);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x14 | 2 << 17 | UINT64_C(1) << 32, page, 0),
              HV_CALL_RESULT(0, 1));
    EXPECT_EQ(model_flushed(m.part), 8);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x13 | 1 << 17, page, 0), HV_INVALID_INPUT);
    put_input(&m, (uint64_t[]){ 0, 0, HV_VPSET_ALL, 0 }, 4);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x13, page, 0), 0);
    EXPECT_EQ(model_flushed(m.part), 15);
    put_input(&m, (uint64_t[]){ 0, 0, 2, 0 }, 4);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x13, page, 0), HV_INVALID_PARAMETER);
    model_can_flush(m.part, false);
    put_input(&m, (uint64_t[]){ 0, 0, 1 }, 3);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 2, page, 0), HV_OPERATION_DENIED);
}

TEST(fast_input_reaches_into_xmm)
{
    AUTO(done) struct hv_model m;
    struct hypercall h = {
        .rcx = 2 | HV_CALL_FAST,
        .long_mode = true,
        .rip_gpa = { MODEL_HYPERCALL_PAGE + 4 },
    };

    hv_model_init(&m, 4, false);
    hv_model_boot(&m);
    put_le64(h.xmm[0], 5); /* the mask is the third word */
    EXPECT(hv_hypercall(m.hv, hv_model_vp(&m, 0), &h));
    EXPECT_EQ(h.result, 0);
    EXPECT_EQ(model_flushed(m.part), 5);
    /* 24 bytes and eleven elements are 112, twelve are too many. */
    h.rcx = 3 | HV_CALL_FAST | UINT64_C(11) << 32;
    EXPECT(hv_hypercall(m.hv, hv_model_vp(&m, 0), &h));
    EXPECT_EQ(h.result, HV_CALL_RESULT(0, 11));
    h.rcx = 3 | HV_CALL_FAST | UINT64_C(12) << 32;
    EXPECT(hv_hypercall(m.hv, hv_model_vp(&m, 0), &h));
    EXPECT_EQ(h.result, HV_INVALID_INPUT);
}

TEST(ipis)
{
    AUTO(done) struct hv_model m;

    hv_model_init(&m, 4, false);
    hv_model_boot(&m);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x0b | HV_CALL_FAST, 0xfb, UINT64_MAX - 1), 0);
    for (unsigned i = 0; i < 4; i++)
        EXPECT_EQ(model_interrupts(hv_model_vp(&m, i), 0xfb), i != 0);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x0b | HV_CALL_FAST, 15, 1), HV_INVALID_PARAMETER);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x0b | HV_CALL_FAST, 256, 1), HV_INVALID_PARAMETER);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x0b | HV_CALL_FAST, UINT64_C(1) << 32 | 0xfb, 1),
              HV_INVALID_PARAMETER); /* VTL 1 */
    put_input(&m, (uint64_t[]){ 0xfb, HV_VPSET_SPARSE, 1, 8 }, 4);
    EXPECT_EQ(hv_model_hypercall(&m, 0, 0x15 | 1 << 17, MODEL_INPUT_PAGE(0), 0), 0);
    EXPECT_EQ(model_interrupts(hv_model_vp(&m, 3), 0xfb), 1);
}
