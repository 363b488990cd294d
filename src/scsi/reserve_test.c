/* SPDX-License-Identifier: GPL-2.0-or-later */
/* reserve_test.c - persistent reservations: SPC-4 5.12, table 35, and PERSISTENT RESERVE IN's bytes. */
#include "scsi/scsi_model.h"

enum { REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_ABORT, REGISTER_IGNORE };

#define CONFLICT SCSI_RESERVATION_CONFLICT

static unsigned prout(struct scsi_model *m, uint64_t who, uint8_t action, uint8_t type, uint64_t key,
                      uint64_t action_key)
{
    memset(m->data, 0, 24);
    put_be64(m->data, key);
    put_be64(m->data + 8, action_key);
    return RUN_AS(m, who, 24, PERSISTENT_RESERVE_OUT, action, type, 0, 0, 0, 0, 0, 24);
}

#define PRIN(m, action) RUN_AS(m, 9, 255, PERSISTENT_RESERVE_IN, action, 0, 0, 0, 0, 0, 0, 255)

static unsigned read1(struct scsi_model *m, uint64_t who)
{
    return RUN_AS(m, who, 512, READ_10, 0, 0, 0, 0, 0, 0, 0, 1);
}

static unsigned write1(struct scsi_model *m, uint64_t who)
{
    return RUN_AS(m, who, 512, WRITE_10, 0, 0, 0, 0, 0, 0, 0, 1);
}

TEST(what_each_type_lets_through)
{
    static const struct { uint8_t type; unsigned reads, writes, registrant_reads, registrant_writes; }
    rows[] = {
        { 1, SCSI_GOOD, CONFLICT, SCSI_GOOD, CONFLICT },
        { 3, CONFLICT, CONFLICT, CONFLICT, CONFLICT },
        { 5, SCSI_GOOD, CONFLICT, SCSI_GOOD, SCSI_GOOD },
        { 6, CONFLICT, CONFLICT, SCSI_GOOD, SCSI_GOOD },
        { 7, SCSI_GOOD, CONFLICT, SCSI_GOOD, SCSI_GOOD },
        { 8, CONFLICT, CONFLICT, SCSI_GOOD, SCSI_GOOD },
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);
        EXPECT_EQ(prout(m, 1, REGISTER, 0, 0, 0xa), SCSI_GOOD);
        EXPECT_EQ(prout(m, 2, REGISTER, 0, 0, 0xb), SCSI_GOOD);
        EXPECT_EQ(prout(m, 1, RESERVE, rows[i].type, 0xa, 0), SCSI_GOOD);
        EXPECT_EQ(read1(m, 1), SCSI_GOOD); /* the holder */
        EXPECT_EQ(write1(m, 1), SCSI_GOOD);
        EXPECT_EQ(read1(m, 2), rows[i].registrant_reads);
        EXPECT_EQ(write1(m, 2), rows[i].registrant_writes);
        EXPECT_EQ(read1(m, 3), rows[i].reads); /* a stranger */
        EXPECT_EQ(write1(m, 3), rows[i].writes);
        EXPECT_EQ(RUN_AS(m, 3, 0, TEST_UNIT_READY), SCSI_GOOD);
        EXPECT_EQ(RUN_AS(m, 3, 36, INQUIRY, 0, 0, 0, 36), SCSI_GOOD);
        EXPECT_EQ(RUN_AS(m, 3, 8, READ_CAPACITY_10), SCSI_GOOD);
        EXPECT_EQ(RUN_AS(m, 3, 24, UNMAP, 0, 0, 0, 0, 0, 0, 0, 24), CONFLICT);
        EXPECT_EQ(RUN_AS(m, 3, 0, SYNCHRONIZE_CACHE_10), CONFLICT);
        EXPECT_EQ(RUN_AS(m, 3, 24, MODE_SELECT_6, 0x10, 0, 0, 24), CONFLICT);
    }
}

TEST(types_that_are_none)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_EQ(prout(m, 1, REGISTER, 0, 0, 0xa), SCSI_GOOD);
    for (uint8_t type = 0; type < 16; type++)
        if (type != 1 && type != 3 && (type < 5 || type > 8))
            EXPECT_BAD_CDB(m, 2, prout(m, 1, RESERVE, type, 0xa, 0));
    EXPECT_BAD_CDB(m, 2, prout(m, 1, RESERVE, 0x15, 0xa, 0)); /* a scope */
    EXPECT_EQ(prout(m, 1, REGISTER, 0x15, 0xa, 0xb), SCSI_GOOD); /* which REGISTER does not look at */
    EXPECT_BAD_CDB(m, 1, prout(m, 1, 7, 1, 0xb, 0)); /* register and move */
    EXPECT_BAD_CDB(m, 1, prout(m, 1, 31, 1, 0xb, 0));
    EXPECT_BAD_CDB(m, 1, PRIN(m, 4));
}

TEST(parameter_lists)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);
    static const uint8_t bits[] = { 0x01, 0x04, 0x08 };

    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH),
                 RUN(m, 24, PERSISTENT_RESERVE_OUT, 0, 0, 0, 0, 0, 0, 0, 23));
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH),
                 RUN(m, 40, PERSISTENT_RESERVE_OUT, 0, 0, 0, 0, 0, 0, 0, 40));
    EXPECT_SENSE(m, ILLEGAL(ASC_PARAMETER_LIST_LENGTH),
                 RUN(m, 20, PERSISTENT_RESERVE_OUT, 0, 0, 0, 0, 0, 0, 0, 24));
    for (unsigned i = 0; i < ARRAY_LEN(bits); i++) {
        memset(m->data, 0, 24);
        m->data[15] = 1;
        m->data[20] = bits[i];
        EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_FIELD_IN_PARAMETERS),
                     RUN(m, 24, PERSISTENT_RESERVE_OUT, 0, 0, 0, 0, 0, 0, 0, 24));
        EXPECT_EQ(scsi_model_field(m), 0x8000 + 20);
    }
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 0, 1), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 24);
}

TEST(register_and_unregister)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_EQ(prout(m, 1, RESERVE, 1, 0, 0), CONFLICT);       /* not registered */
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 5, 6), CONFLICT);      /* has no key 5 */
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 0, 0), SCSI_GOOD);     /* nothing to nothing */
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 0, 6), SCSI_GOOD);
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 0, 7), CONFLICT);
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 6, 7), SCSI_GOOD);     /* changed */
    EXPECT_EQ(prout(m, 1, REGISTER_IGNORE, 0, 99, 8), SCSI_GOOD);
    EXPECT_EQ(prout(m, 2, REGISTER_IGNORE, 0, 99, 9), SCSI_GOOD);
    EXPECT_EQ(prout(m, 1, RESERVE, 6, 8, 0), SCSI_GOOD);
    EXPECT_EQ(prout(m, 1, RESERVE, 6, 8, 0), SCSI_GOOD);      /* once more is fine */
    EXPECT_EQ(prout(m, 1, RESERVE, 5, 8, 0), CONFLICT);       /* another type is not */
    EXPECT_EQ(prout(m, 2, RESERVE, 6, 9, 0), CONFLICT);
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 8, 0), SCSI_GOOD);     /* goes, and the reservation with it */
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_RESERVATIONS_RELEASED), read1(m, 2));
    EXPECT_EQ(write1(m, 3), SCSI_GOOD);
    for (uint64_t who = 10; who < 10 + 31; who++)
        EXPECT_EQ(prout(m, who, REGISTER, 0, 0, who), SCSI_GOOD);
    EXPECT_SENSE(m, ILLEGAL(ASC_INSUFFICIENT_REGISTRATIONS), prout(m, 77, REGISTER, 0, 0, 77));
}

TEST(release_and_clear)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    prout(m, 1, REGISTER, 0, 0, 1);
    prout(m, 2, REGISTER, 0, 0, 2);
    prout(m, 1, RESERVE, 5, 1, 0);
    EXPECT_EQ(prout(m, 2, RELEASE, 5, 2, 0), SCSI_GOOD); /* not the holder: nothing happens */
    EXPECT_EQ(write1(m, 3), CONFLICT);
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_RELEASE), prout(m, 1, RELEASE, 6, 1, 0));
    EXPECT_EQ(prout(m, 1, RELEASE, 5, 9, 0), CONFLICT); /* a wrong key */
    EXPECT_EQ(prout(m, 1, RELEASE, 5, 1, 0), SCSI_GOOD);
    EXPECT_EQ(write1(m, 3), SCSI_GOOD);
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_RESERVATIONS_RELEASED), read1(m, 2));
    prout(m, 1, RESERVE, 3, 1, 0);
    EXPECT_EQ(prout(m, 2, CLEAR, 0, 1, 0), CONFLICT);
    EXPECT_EQ(prout(m, 2, CLEAR, 0, 2, 0), SCSI_GOOD);
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_RESERVATIONS_PREEMPTED), read1(m, 1));
    EXPECT_EQ(read1(m, 3), SCSI_GOOD);
    EXPECT_DATA(m, PRIN(m, 0), 0, 0, 0, 3, 0, 0, 0, 0);
}

TEST(preempt)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    prout(m, 1, REGISTER, 0, 0, 1);
    prout(m, 2, REGISTER, 0, 0, 2);
    prout(m, 3, REGISTER, 0, 0, 3);
    prout(m, 1, RESERVE, 6, 1, 0);
    EXPECT_EQ(prout(m, 2, PREEMPT, 6, 2, 9), CONFLICT); /* nobody has key 9 */
    EXPECT_SENSE(m, ILLEGAL(ASC_INVALID_FIELD_IN_PARAMETERS), prout(m, 2, PREEMPT, 6, 2, 0));
    EXPECT_BAD_CDB(m, 2, prout(m, 2, PREEMPT, 4, 2, 1));
    EXPECT_EQ(prout(m, 2, PREEMPT, 5, 2, 1), SCSI_GOOD);
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_REGISTRATIONS_PREEMPTED), read1(m, 1));
    EXPECT_EQ(write1(m, 1), CONFLICT);
    /* The reservation has another type now: a registrant hears of that (5.12.11.2.5). */
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_RESERVATIONS_RELEASED), read1(m, 3));
    EXPECT_EQ(prout(m, 2, PREEMPT_ABORT, 5, 2, 3), SCSI_GOOD); /* only a registration */
    EXPECT_SENSE(m, SENSE(SENSE_UNIT_ATTENTION, ASC_REGISTRATIONS_PREEMPTED), read1(m, 3));
    EXPECT_DATA(m, PRIN(m, 1), 0, 0, 0, 5, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 5, 0, 0);
}

TEST(all_registrants_hold_together)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    prout(m, 1, REGISTER, 0, 0, 1);
    prout(m, 2, REGISTER, 0, 0, 2);
    prout(m, 1, RESERVE, 8, 1, 0);
    EXPECT_EQ(prout(m, 1, REGISTER, 0, 1, 0), SCSI_GOOD); /* one goes: the other holds on */
    EXPECT_EQ(read1(m, 3), CONFLICT);
    EXPECT_DATA(m, PRIN(m, 1), 0, 0, 0, 3, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0);
    EXPECT_EQ(prout(m, 2, PREEMPT, 3, 2, 0), SCSI_GOOD); /* key 0: all the others, though none is */
    EXPECT_EQ(read1(m, 3), CONFLICT);
    EXPECT_EQ(prout(m, 2, REGISTER, 0, 2, 0), SCSI_GOOD); /* the last */
    EXPECT_EQ(read1(m, 3), SCSI_GOOD);
}

TEST(what_reserve_in_says)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_DATA(m, PRIN(m, 0), 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_DATA(m, PRIN(m, 1), 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_DATA(m, PRIN(m, 2), 0, 8, 0, 0x80, 0xea, 0x01, 0, 0);
    EXPECT_DATA(m, PRIN(m, 3), 0, 0, 0, 0, 0, 0, 0, 0);
    prout(m, 1, REGISTER, 0, 0, 0x1122334455667788);
    prout(m, 2, REGISTER, 0, 0, 0x99);
    prout(m, 2, RESERVE, 3, 0x99, 0);
    EXPECT_DATA(m, PRIN(m, 0), 0, 0, 0, 2, 0, 0, 0, 16, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                0x88, 0, 0, 0, 0, 0, 0, 0, 0x99);
    EXPECT_DATA(m, PRIN(m, 1), 0, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0x99, 0, 0, 0, 0, 0, 3,
                0, 0);
    EXPECT_DATA(m, PRIN(m, 3), 0, 0, 0, 2, 0, 0, 0, 96,
                0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
                0, 0, 0, 24, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0x99, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0, 1,
                0, 0, 0, 24, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    EXPECT_EQ(RUN(m, 255, PERSISTENT_RESERVE_IN, 0, 0, 0, 0, 0, 0, 0, 12), SCSI_GOOD);
    EXPECT_EQ(m->rq.moved, 12); /* cut, and the length says how much there is */
    EXPECT_EQ(get_be32(m->data + 4), 16);
}

TEST(the_old_reserve)
{
    AUTO(scsi_model_done) struct scsi_model *m = scsi_model_new(false);

    EXPECT_EQ(RUN_AS(m, 1, 0, RESERVE_6), SCSI_GOOD);
    EXPECT_EQ(RUN_AS(m, 1, 0, RESERVE_6), SCSI_GOOD);
    EXPECT_EQ(RUN_AS(m, 2, 0, RESERVE_6), CONFLICT);
    EXPECT_EQ(read1(m, 2), CONFLICT);
    EXPECT_EQ(prout(m, 2, REGISTER, 0, 0, 2), CONFLICT);
    EXPECT_EQ(RUN_AS(m, 2, 0, RELEASE_6), SCSI_GOOD); /* not theirs: nothing happens */
    EXPECT_EQ(read1(m, 2), CONFLICT);
    EXPECT_EQ(RUN_AS(m, 1, 0, RELEASE_6), SCSI_GOOD);
    EXPECT_EQ(read1(m, 2), SCSI_GOOD);
    EXPECT_EQ(prout(m, 2, REGISTER, 0, 0, 2), SCSI_GOOD);
    EXPECT_EQ(RUN_AS(m, 1, 0, RESERVE_6), CONFLICT); /* one or the other kind */
}
