/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/state.h"

#include "base/test.h"

struct kid {
    uint16_t x;
};
struct thing {
    uint32_t a;
    struct kid kids[3];
    uint8_t newer;
};

static const struct state_field kid_fields[] = { STATE(struct kid, x) };
static const struct state_desc kid_state = STATE_DESC("kid", 1, kid_fields);

static const struct state_field thing_fields[] = {
    STATE(struct thing, a),
    STATE_ARRAY(struct thing, kids, kid_state),
    STATE_SINCE(struct thing, newer, 2),
};

static bool thing_check(void *obj)
{
    return ((struct thing *)obj)->a < 1000;
}

static const struct state_desc thing_state = { "thing", 2, thing_fields,
                                               ARRAY_LEN(thing_fields), thing_check };
static const struct state_desc thing_v1 = { "thing", 1, thing_fields, 2, thing_check };

TEST(round_trip)
{
    struct thing t = { 7, { { 1 }, { 2 }, { 3 } }, 9 }, u = { 0 };
    AUTO(buf_done) struct buf b = { 0 };
    struct err err;

    state_save(&b, "t0", &thing_state, &t);
    struct bytes in = bytes_of(b.p, b.n);
    EXPECT_EQ(state_load(&in, "t0", &thing_state, &u, &err), 0);
    EXPECT_EQ(u.a, 7);
    EXPECT_EQ(u.kids[2].x, 3);
    EXPECT_EQ(u.newer, 9);
    EXPECT_EQ(in.n, 0);
}

TEST(older_sections_may_lack_newer_fields_only)
{
    struct thing t = { 7, { { 1 }, { 2 }, { 3 } }, 9 }, u = { .newer = 55 };
    AUTO(buf_done) struct buf b = { 0 };
    struct err err;

    state_save(&b, "t0", &thing_v1, &t);
    struct bytes in = bytes_of(b.p, b.n);
    EXPECT_EQ(state_load(&in, "t0", &thing_state, &u, &err), 0);
    EXPECT_EQ(u.newer, 55);
}

TEST(hostile_bytes_are_refused)
{
    struct thing t = { 7, { { 1 }, { 2 }, { 3 } }, 9 }, u;
    AUTO(buf_done) struct buf b = { 0 };
    struct err err;

    state_save(&b, "t0", &thing_state, &t);
    struct bytes in = bytes_of(b.p, b.n);
    EXPECT(state_load(&in, "t1", &thing_state, &u, &err) < 0);
    EXPECT_HAS(err.text, "'t0' found where 't1'");
    for (size_t n = 0; n < b.n; n++) { /* every cut */
        in = bytes_of(b.p, n);
        EXPECT(state_load(&in, "t0", &thing_state, &u, &err) < 0);
    }
    for (size_t i = 0; i < b.n; i++) { /* every flip: an answer, no crash */
        b.p[i] ^= 0x41;
        in = bytes_of(b.p, b.n);
        state_load(&in, "t0", &thing_state, &u, &err);
        b.p[i] ^= 0x41;
    }
    t.a = 5000;
    b.n = 0;
    state_save(&b, "t0", &thing_state, &t);
    in = bytes_of(b.p, b.n);
    EXPECT(state_load(&in, "t0", &thing_state, &u, &err) < 0);
    EXPECT_HAS(err.text, "contradicts itself");
}
