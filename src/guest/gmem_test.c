/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest/gmem.h"

#include <errno.h>

#include "base/test.h"

static void gmem_free_p(struct gmem **m)
{
    gmem_free(*m);
}

TEST(sizes_outside_the_rule_are_refused)
{
    struct gmem *m = NULL;
    struct err err;

    EXPECT(gmem_new(0, &m, &err) < 0);
    EXPECT(gmem_new(MIB + 1, &m, &err) < 0);
    EXPECT(gmem_new(64 * GIB + PAGE_SIZE, &m, &err) < 0);
    EXPECT_HAS(err.text, "64 GiB");
    EXPECT(m == NULL);
}

TEST(the_holes_are_no_memory)
{
    AUTO(gmem_free_p) struct gmem *m = NULL;
    uint64_t x = 0x1122334455667788, y = 0;

    EXPECT_EQ(gmem_new(4 * GIB, &m, NULL), 0);
    EXPECT(gmem_is_ram(m, GPA(0), 0xa0000));
    EXPECT(!gmem_is_ram(m, GPA(0), 0xa0001));
    EXPECT(gmem_is_ram(m, GPA(0xc0000), 3 * GIB - 0xc0000));
    EXPECT_EQ(gmem_write(m, GPA(3 * GIB - 4), &x, 8), -EFAULT);
    EXPECT_EQ(gmem_write(m, GPA(4 * GIB), &x, 8), 0);
    EXPECT_EQ(gmem_read(m, GPA(4 * GIB), &y, 8), 0);
    EXPECT(x == y);
    EXPECT_EQ(gmem_read(m, GPA(5 * GIB), &y, 8), -EFAULT);
    EXPECT_EQ(gmem_read(m, GPA(UINT64_MAX - 3), &y, 8), -EFAULT);
}

TEST(a_rom_takes_its_pages_out_of_ram)
{
    AUTO(gmem_free_p) struct gmem *m = NULL;
    char rom[5000] = "rom", back[4] = "";

    EXPECT_EQ(gmem_new(16 * MIB, &m, NULL), 0);
    EXPECT_EQ(gmem_add_rom(m, GPA(0xf0000), rom, sizeof rom, NULL), 0);
    EXPECT_EQ(gmem_region_at(m, GPA(0xf1000))->kind, GMEM_ROM);
    EXPECT_EQ(gmem_region_at(m, GPA(0xf2000))->kind, GMEM_RAM);
    EXPECT_EQ(gmem_region_at(m, GPA(0xeffff))->kind, GMEM_RAM);
    EXPECT(gmem_is_ram(m, GPA(0xc0000), MIB));
    EXPECT_EQ(gmem_read(m, GPA(0xf0000), back, 4), 0);
    EXPECT_STR(back, "rom");
}

static void note_code(void *engine, gpa_t at, uint64_t len)
{
    *(uint64_t *)engine = at.v + len;
}

TEST(writers_set_the_dirty_flag_and_tell_about_code)
{
    AUTO(gmem_free_p) struct gmem *m = NULL;
    uint64_t seen = 0;

    EXPECT_EQ(gmem_new(16 * MIB, &m, NULL), 0);
    m->code_written = note_code;
    m->engine = &seen;
    gmem_write(m, GPA(0x1ffe), "abcd", 4);
    EXPECT(!gmem_dirty_take(m, 1));
    gmem_track_dirty(m, true);
    gmem_write(m, GPA(0x1ffe), "abcd", 4);
    EXPECT(gmem_dirty_take(m, 1));
    EXPECT(gmem_dirty_take(m, 2));
    EXPECT(!gmem_dirty_take(m, 2));
    EXPECT_EQ(seen, 0);
    m->flags[2] |= GMEM_CODE;
    gmem_write(m, GPA(0x1ffe), "abcd", 4);
    EXPECT_EQ(seen, 0x2002);
}
