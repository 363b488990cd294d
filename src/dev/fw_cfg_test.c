/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/fw_cfg.h"

#include "base/bytes.h"
#include "dev/testbed.h"

struct bench {
    struct testbed t;
    struct gmem *gmem;
    struct fw_cfg f;
};

static void setup(struct bench *b)
{
    testbed_init(&b->t);
    gmem_new(MIB, &b->gmem, NULL);
    fw_cfg_init(&b->f, &b->t.bus, b->gmem);
}

static void teardown(struct bench *b)
{
    fw_cfg_done(&b->f);
    gmem_free(b->gmem);
    testbed_done(&b->t);
}

static void select_key(struct bench *b, unsigned key)
{
    pio_write(&b->t.bus, FW_CFG_PORT, 2, key);
}

TEST(items_by_port)
{
    struct bench b;
    char got[6];

    setup(&b);
    select_key(&b, FW_CFG_SIGNATURE);
    for (unsigned i = 0; i < 6; i++)
        got[i] = (char)in8(&b.t, FW_CFG_PORT + 1);
    EXPECT(memcmp(got, "QEMU\0\0", 6) == 0);
    EXPECT_EQ(fw_cfg_add_file(&b.f, "etc/one", "1", 1), 0);
    EXPECT_EQ(fw_cfg_add_file(&b.f, "etc/two", "22", 2), 0);
    select_key(&b, FW_CFG_FILE_DIR);
    uint8_t dir[4 + 128];
    for (unsigned i = 0; i < sizeof dir; i++)
        dir[i] = in8(&b.t, FW_CFG_PORT + 1);
    EXPECT_EQ(get_be32(dir), 2);
    EXPECT_EQ(get_be32(dir + 4 + 64), 2);
    EXPECT_STR((char *)dir + 4 + 64 + 8, "etc/two");
    select_key(&b, get_be16(dir + 4 + 64 + 4));
    EXPECT_EQ(in8(&b.t, FW_CFG_PORT + 1), '2');
    select_key(&b, 0x8000); /* another table, not item 0 */
    EXPECT_EQ(in8(&b.t, FW_CFG_PORT + 1), 0);
    select_key(&b, 0x3fff);
    EXPECT_EQ(in8(&b.t, FW_CFG_PORT + 1), 0);
    teardown(&b);
}

static uint32_t run_dma(struct bench *b, uint32_t control, uint32_t n, uint64_t to)
{
    uint8_t raw[16];

    put_be32(raw, control);
    put_be32(raw + 4, n);
    put_be64(raw + 8, to);
    gmem_write(b->gmem, GPA(0x1000), raw, 16);
    pio_write(&b->t.bus, FW_CFG_PORT + 4, 4, 0);
    pio_write(&b->t.bus, FW_CFG_PORT + 8, 4, htobe32(0x1000));
    gmem_read(b->gmem, GPA(0x1000), raw, 4);
    return get_be32(raw);
}

TEST(items_by_dma_and_bad_addresses)
{
    struct bench b;
    char got[8];

    setup(&b);
    EXPECT_EQ(pio_read(&b.t.bus, FW_CFG_PORT + 4, 4), get_le32("QEMU"));
    memset(got, 'x', sizeof got);
    gmem_write(b.gmem, GPA(0x2000), got, 8);
    EXPECT_EQ(run_dma(&b, 8 | 2, 6, 0x2000), 0);
    gmem_read(b.gmem, GPA(0x2000), got, 8);
    EXPECT(memcmp(got, "QEMU\0\0xx", 8) == 0);
    EXPECT_EQ(run_dma(&b, 8 | 2, 4, 0xfffffff0), 1);
    EXPECT_EQ(run_dma(&b, 8 | 2, 0xffffffff, 0x2000), 1);
    EXPECT_EQ(run_dma(&b, 16, 4, 0x2000), 1);
    pio_write(&b.t.bus, FW_CFG_PORT + 4, 4, 0xffffffff);
    pio_write(&b.t.bus, FW_CFG_PORT + 8, 4, 0xffffffff);
    teardown(&b);
}
