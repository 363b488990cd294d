/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_command_test.c - commands of the IDE drives one by one, addressing, PRD tables, packets; and
 * what a hostile guest does to a command that is at work. */
#include <errno.h>

#include "base/bytes.h"
#include "dev/ide_model.h"

#define CH0    0x1f0u
#define CH1    0x170u
#define BM0    IDE_MODEL_BM
#define BM1    (IDE_MODEL_BM + 8)
#define PRDT   0x1000u
#define BUFFER 0x10000u
#define SLAVE  ATA_DEV
#define READY  (ATA_DRDY | ATA_DSC)

static struct ide_model *model(void)
{
    struct ide_model *b = malloc(sizeof *b);

    if (!b)
        abort();
    ide_model_init(b);
    ide_model_number(b);
    return b;
}

static void done(struct ide_model **b)
{
    ide_model_done(*b);
    free(*b);
}

/* Until BSY falls; the status without acknowledging. */
static uint8_t wait(struct ide_model *b, unsigned base)
{
    for (unsigned i = 0; i < 100 && in8(&b->t, base + 0x206) & ATA_BSY; i++)
        loop_poll(b->t.loop);
    return in8(&b->t, base + 0x206);
}

static void turn(struct ide_model *b)
{
    for (unsigned i = 0; i < 4; i++)
        loop_poll(b->t.loop);
}

/* LBA28, or LBA48 with the high bytes first. */
static void task(struct ide_model *b, unsigned base, unsigned device, uint64_t lba, unsigned count,
                 unsigned cmd, bool ext)
{
    if (ext) {
        out8(&b->t, base + ATA_COUNT, count >> 8);
        out8(&b->t, base + ATA_LBA_LOW, (unsigned)(lba >> 24) & 255);
        out8(&b->t, base + ATA_LBA_MID, (unsigned)(lba >> 32) & 255);
        out8(&b->t, base + ATA_LBA_HIGH, (unsigned)(lba >> 40) & 255);
    }
    out8(&b->t, base + ATA_COUNT, count & 255);
    out8(&b->t, base + ATA_LBA_LOW, lba & 255);
    out8(&b->t, base + ATA_LBA_MID, lba >> 8 & 255);
    out8(&b->t, base + ATA_LBA_HIGH, lba >> 16 & 255);
    out8(&b->t, base + ATA_DEVICE, device | ATA_LBA | (ext ? 0 : lba >> 24 & 15));
    out8(&b->t, base + ATA_COMMAND, cmd);
}

static void read_data(struct ide_model *b, unsigned base, void *to, size_t n)
{
    for (size_t i = 0; i < n; i += 2)
        put_le16((uint8_t *)to + i, (uint16_t)pio_read(&b->t.bus, (uint16_t)base, 2));
}

static void write_data(struct ide_model *b, unsigned base, uint32_t v, size_t n)
{
    for (size_t i = 0; i < n; i += 4)
        pio_write(&b->t.bus, (uint16_t)base, 4, v);
}

/* A command without data on drive 0: its status; 'error' register if it failed. */
static unsigned simple(struct ide_model *b, unsigned cmd, uint64_t lba, unsigned count,
                       unsigned features)
{
    out8(&b->t, CH0 + ATA_FEATURES, features);
    task(b, CH0, 0, lba, count, cmd, false);
    uint8_t status = wait(b, CH0);
    return status == READY ? 0 : status & ATA_ERR ? in8(&b->t, CH0 + ATA_ERROR) : 0x100u | status;
}

/* The sector's number, as PIO reads it. */
static uint32_t first_word(struct ide_model *b, unsigned base)
{
    uint8_t s[512];

    read_data(b, base, s, sizeof s);
    return get_le32(s);
}

static void prd(struct ide_model *b, unsigned i, uint32_t addr, uint32_t word)
{
    uint8_t raw[8];

    put_le32(raw, addr);
    put_le32(raw + 4, word);
    gmem_write(b->gmem, GPA(PRDT + 8 * i), raw, 8);
}

#define LAST 0x80000000u

static uint32_t mem32(struct ide_model *b, uint64_t at)
{
    uint8_t raw[4] = { 0 };

    gmem_read(b->gmem, GPA(at), raw, 4);
    return get_le32(raw);
}

static uint8_t dma(struct ide_model *b, unsigned cmd, uint64_t lba, unsigned count, bool ext)
{
    bool write = cmd == ATA_WRITE_DMA || cmd == ATA_WRITE_DMA_EXT || cmd == ATA_WRITE_DMA_FUA_EXT;

    pio_write(&b->t.bus, BM0 + BM_PRDT, 4, PRDT);
    out8(&b->t, BM0 + BM_STATUS, BM_INTERRUPT | BM_ERROR);
    task(b, CH0, 0, lba, count, cmd, ext);
    out8(&b->t, BM0 + BM_COMMAND, BM_START | (write ? 0 : BM_TO_MEMORY));
    uint8_t status = wait(b, CH0);
    out8(&b->t, BM0 + BM_COMMAND, 0);
    return status;
}

/* ---- addresses ------------------------------------------------------------------------------- */

TEST(chs_lba28_and_lba48_mean_the_same_sector)
{
    AUTO(done) struct ide_model *b = model();

    /* 16 heads, 63 sectors: cylinder 2, head 3, sector 4. */
    uint32_t lba = (2 * 16 + 3) * 63 + 3;
    out8(&b->t, CH0 + ATA_COUNT, 1);
    out8(&b->t, CH0 + ATA_LBA_LOW, 4);
    out8(&b->t, CH0 + ATA_LBA_MID, 2);
    out8(&b->t, CH0 + ATA_LBA_HIGH, 0);
    out8(&b->t, CH0 + ATA_DEVICE, 3);
    out8(&b->t, CH0 + ATA_COMMAND, ATA_READ_SECTORS);
    EXPECT_EQ(wait(b, CH0), READY | ATA_DRQ);
    EXPECT_EQ(first_word(b, CH0), lba);
    out8(&b->t, CH0 + ATA_LBA_LOW, 0); /* there is no sector 0 */
    out8(&b->t, CH0 + ATA_COMMAND, ATA_READ_SECTORS);
    EXPECT_EQ(wait(b, CH0), READY | ATA_ERR);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_ERROR), ATA_IDNF);
    task(b, CH0, 0, lba, 1, ATA_READ_SECTORS, false);
    wait(b, CH0);
    EXPECT_EQ(first_word(b, CH0), lba);
    task(b, CH0, 0, lba, 1, ATA_READ_SECTORS_EXT, true);
    wait(b, CH0);
    EXPECT_EQ(first_word(b, CH0), lba);
    /* The high bytes count: this is far behind the end. */
    task(b, CH0, 0, lba | UINT64_C(1) << 32, 1, ATA_READ_SECTORS_EXT, true);
    EXPECT_EQ(wait(b, CH0), READY | ATA_ERR);
    /* Another translation. */
    EXPECT_EQ(simple(b, ATA_INIT_PARAMS, 0, 17, 0), 0); /* 1 head of 17 sectors */
    out8(&b->t, CH0 + ATA_COUNT, 1);
    out8(&b->t, CH0 + ATA_LBA_LOW, 17);
    out8(&b->t, CH0 + ATA_LBA_MID, 5);
    out8(&b->t, CH0 + ATA_LBA_HIGH, 0);
    out8(&b->t, CH0 + ATA_DEVICE, 0);
    out8(&b->t, CH0 + ATA_COMMAND, ATA_READ_SECTORS);
    wait(b, CH0);
    EXPECT_EQ(first_word(b, CH0), 5 * 17 + 16);
    EXPECT_EQ(simple(b, ATA_INIT_PARAMS, 0, 0, 0), ATA_ABRT);
}

TEST(counts_of_zero_are_the_largest)
{
    AUTO(done) struct ide_model *b = model();

    task(b, CH0, 0, 0, 0, ATA_READ_SECTORS, false);
    for (uint32_t i = 0; i < 256; i++) {
        EXPECT_EQ(wait(b, CH0), READY | ATA_DRQ);
        EXPECT_EQ(first_word(b, CH0), i);
    }
    EXPECT_EQ(wait(b, CH0), READY);
    EXPECT_EQ(simple(b, ATA_VERIFY, IDE_MODEL_SECTORS - 256, 0, 0), 0);
    EXPECT_EQ(simple(b, ATA_VERIFY, IDE_MODEL_SECTORS - 255, 0, 0), ATA_IDNF);
    task(b, CH0, 0, 0, 0, ATA_VERIFY_EXT, true); /* 65536 */
    EXPECT_EQ(wait(b, CH0), READY | ATA_ERR);
    task(b, CH0, 0, 0, IDE_MODEL_SECTORS, ATA_VERIFY_EXT, true);
    EXPECT_EQ(wait(b, CH0), READY);
}

TEST(read_max_tells_the_last_address)
{
    AUTO(done) struct ide_model *b = model();

    EXPECT_EQ(simple(b, ATA_READ_MAX, 0, 0, 0), 0);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_LBA_LOW), 0xff);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_LBA_MID), 0x1f);
    EXPECT_EQ(simple(b, ATA_READ_MAX_EXT, 0, 0, 0), 0);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_LBA_MID), 0x1f);
    out8(&b->t, 0x3f6, ATA_HOB); /* the high bytes */
    EXPECT_EQ(in8(&b->t, CH0 + ATA_LBA_LOW), 0);
    out8(&b->t, CH0 + ATA_COUNT, 0); /* any write ends that */
    EXPECT_EQ(in8(&b->t, CH0 + ATA_LBA_LOW), 0xff);
}

/* ---- PIO ------------------------------------------------------------------------------------- */

TEST(multiple_sectors_an_interrupt)
{
    AUTO(done) struct ide_model *b = model();
    uint8_t s[4 * 512];

    task(b, CH0, 0, 0, 4, ATA_READ_MULTIPLE, false);
    EXPECT_EQ(wait(b, CH0), READY | ATA_ERR); /* not set up */
    EXPECT_EQ(simple(b, ATA_SET_MULTIPLE, 0, 3, 0), ATA_ABRT);
    EXPECT_EQ(simple(b, ATA_SET_MULTIPLE, 0, 32, 0), ATA_ABRT);
    EXPECT_EQ(simple(b, ATA_SET_MULTIPLE, 0, 4, 0), 0);
    in8(&b->t, CH0 + ATA_STATUS);
    unsigned irqs = b->irq.n_rises;
    task(b, CH0, 0, 100, 10, ATA_READ_MULTIPLE, false);
    for (uint32_t at = 100; at < 110; at += 4) {
        unsigned n = MIN(4, 110 - at);
        EXPECT_EQ(wait(b, CH0), READY | ATA_DRQ);
        in8(&b->t, CH0 + ATA_STATUS);
        read_data(b, CH0, s, n * 512);
        EXPECT_EQ(get_le32(s + (n - 1) * 512), at + n - 1);
    }
    EXPECT_EQ(wait(b, CH0), READY);
    EXPECT_EQ(b->irq.n_rises - irqs, 3);
    irqs = b->irq.n_rises;
    task(b, CH0, 0, 200, 6, ATA_WRITE_MULTIPLE_EXT, true);
    EXPECT_EQ(wait(b, CH0), READY | ATA_DRQ);
    EXPECT_EQ(b->irq.n_rises - irqs, 0); /* the first block is not announced */
    write_data(b, CH0, 0x11111111, 4 * 512);
    EXPECT_EQ(wait(b, CH0), READY | ATA_DRQ);
    in8(&b->t, CH0 + ATA_STATUS);
    write_data(b, CH0, 0x22222222, 2 * 512);
    EXPECT_EQ(wait(b, CH0), READY);
    EXPECT_EQ(b->irq.n_rises - irqs, 2);
    EXPECT_EQ(get_le32(b->disk[0].data + 203 * 512 + 508), 0x11111111);
    EXPECT_EQ(get_le32(b->disk[0].data + 205 * 512 + 508), 0x22222222);
    EXPECT_EQ(get_le32(b->disk[0].data + 206 * 512), 206);
}

TEST(the_write_cache_off_means_through)
{
    AUTO(done) struct ide_model *b = model();

    task(b, CH0, 0, 1, 1, ATA_WRITE_SECTORS, false);
    write_data(b, CH0, 1, 512);
    wait(b, CH0);
    EXPECT_EQ(b->disk[0].flags, 0);
    EXPECT_EQ(simple(b, ATA_SET_FEATURES, 0, 0, 0x82), 0);
    task(b, CH0, 0, 1, 1, ATA_WRITE_SECTORS, false);
    write_data(b, CH0, 1, 512);
    wait(b, CH0);
    EXPECT_EQ(b->disk[0].flags, DISK_FUA);
    EXPECT_EQ(simple(b, ATA_SET_FEATURES, 0, 0, 0x02), 0);
    EXPECT_EQ(simple(b, ATA_SET_FEATURES, 0, 0, 0x77), ATA_ABRT);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t n = b->disk[0].n[DISK_FLUSH];
        EXPECT_EQ(simple(b, i ? ATA_FLUSH : ATA_FLUSH_EXT, 0, 0, 0), 0);
        EXPECT_EQ(b->disk[0].n[DISK_FLUSH], n + 1);
    }
}

TEST(errors_of_the_disk)
{
    AUTO(done) struct ide_model *b = model();

    b->disk[0].err = -EIO;
    task(b, CH0, 0, 0x321, 1, ATA_READ_SECTORS, false);
    EXPECT_EQ(wait(b, CH0), READY | ATA_ERR);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_ERROR), ATA_UNC);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_LBA_LOW), 0x21); /* where */
    EXPECT_EQ(in8(&b->t, CH0 + ATA_LBA_MID), 0x03);
    prd(b, 0, BUFFER, 512 | LAST);
    EXPECT_EQ(dma(b, ATA_READ_DMA, 0, 1, false), READY | ATA_ERR);
    EXPECT(in8(&b->t, BM0 + BM_STATUS) & BM_ERROR);
    b->disk[0].err = 0;
    b->disk[0].disk.read_only = true;
    task(b, CH0, 0, 0, 1, ATA_WRITE_SECTORS, false);
    EXPECT_EQ(wait(b, CH0), READY | ATA_ERR);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_ERROR), ATA_ABRT);
}

TEST(commands_without_data)
{
    AUTO(done) struct ide_model *b = model();

    EXPECT_EQ(simple(b, ATA_NOP, 0, 0, 0), ATA_ABRT);
    EXPECT_EQ(simple(b, 0x55, 0, 0, 0), ATA_ABRT);
    EXPECT_EQ(simple(b, ATA_DEVICE_RESET, 0, 0, 0), ATA_ABRT); /* CD drives only */
    EXPECT_EQ(simple(b, ATA_IDENTIFY_PACKET, 0, 0, 0), ATA_ABRT);
    EXPECT_EQ(simple(b, ATA_PACKET, 0, 0, 0), ATA_ABRT);
    EXPECT_EQ(simple(b, ATA_IDLE, 0, 0, 0), 0);
    EXPECT_EQ(simple(b, ATA_CHECK_POWER, 0, 0, 0), 0);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_COUNT), 0xff);
    EXPECT_EQ(simple(b, ATA_SET_FEATURES, 0, 0x45, 0x03), 0);
    EXPECT_EQ(b->ide.channel[0].drive[0].dma_mode, 0x45);
    EXPECT_EQ(simple(b, ATA_DIAGNOSTIC, 0, 0, 0), 0);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_ERROR), 1); /* passed */
    /* A command for a drive that is not there changes nothing. */
    task(b, CH0, SLAVE, 0, 1, ATA_READ_SECTORS, false);
    turn(b);
    EXPECT_EQ(in8(&b->t, CH0 + ATA_STATUS), 0);
    EXPECT_EQ(b->disk[0].n[DISK_READ], 0);
}

TEST(identify_by_its_words)
{
    AUTO(done) struct ide_model *b = model();
    uint8_t id[512];

    simple(b, ATA_SET_MULTIPLE, 0, 8, 0);
    task(b, CH0, 0, 0, 0, ATA_IDENTIFY, false);
    wait(b, CH0);
    read_data(b, CH0, id, 512);
#define WORD(i) get_le16(id + 2 * (i))
    EXPECT_EQ(WORD(0), 0x0040);
    EXPECT_EQ(WORD(1), IDE_MODEL_SECTORS / (16 * 63));
    EXPECT_EQ(WORD(3), 16);
    EXPECT_EQ(WORD(6), 63);
    EXPECT(memcmp(id + 20, "DH                  ", 20) == 0);
    EXPECT_EQ(WORD(47) & 255, IDE_MULTIPLE_MAX);
    EXPECT_EQ(WORD(49) & 0x300, 0x300); /* LBA, DMA */
    EXPECT_EQ(WORD(59), 0x108);
    EXPECT_EQ(get_le32(id + 120), IDE_MODEL_SECTORS);
    EXPECT_EQ(WORD(83) & 0x2400, 0x2400); /* LBA48, FLUSH EXT */
    EXPECT_EQ(get_le64(id + 200), IDE_MODEL_SECTORS);
    EXPECT_EQ(WORD(106), 0x6003); /* 8 logical sectors in a physical one */
    EXPECT_EQ(WORD(169), 1);      /* TRIM */
    EXPECT(WORD(80) & 0x80);      /* ATA-7: older drives are not sent one */
    EXPECT_EQ(WORD(217), 1);      /* no rotation */
    EXPECT_EQ(id[510], 0xa5);
    uint8_t sum = 0;
    for (unsigned i = 0; i < sizeof id; i++)
        sum = (uint8_t)(sum + id[i]);
    EXPECT_EQ(sum, 0);
    out8(&b->t, CH1 + ATA_DEVICE, 0);
    out8(&b->t, CH1 + ATA_COMMAND, ATA_IDENTIFY_PACKET);
    wait(b, CH1);
    read_data(b, CH1, id, 512);
    EXPECT_EQ(WORD(0), 0x85c0);
    EXPECT_EQ(WORD(49) & 0x300, 0x300);
#undef WORD
}

/* ---- DMA ------------------------------------------------------------------------------------- */

TEST(prd_entries_of_all_kinds)
{
    AUTO(done) struct ide_model *b = model();

    /* 64 KiB as 0, an odd address and an odd size lose their lowest bit. */
    prd(b, 0, 0x100000, 0);
    prd(b, 1, 0x200001, 513 | LAST);
    EXPECT_EQ(dma(b, ATA_READ_DMA, 7, 129, false), READY);
    EXPECT_EQ(in8(&b->t, BM0 + BM_STATUS) & 7, BM_INTERRUPT);
    EXPECT_EQ(mem32(b, 0x100000), 7);
    EXPECT_EQ(mem32(b, 0x10fe00), 7 + 127);
    EXPECT_EQ(mem32(b, 0x200000), 7 + 128);
    /* A table that is longer than the transfer, which ends inside an entry. */
    prd(b, 1, 0x200000, 0);
    prd(b, 2, 0x300000, LAST);
    EXPECT_EQ(dma(b, ATA_READ_DMA_EXT, 20, 130, true), READY);
    EXPECT_EQ(mem32(b, 0x200200), 20 + 129);
    EXPECT_EQ(mem32(b, 0x200400), 0);
    /* Entries that are no sectors; to the disk. */
    for (unsigned i = 0; i < 256; i++)
        prd(b, i, 0x100000 + i * 4, 4 | (i == 255 ? LAST : 0));
    EXPECT_EQ(dma(b, ATA_WRITE_DMA, 500, 2, false), READY);
    EXPECT_EQ(get_le32(b->disk[0].data + 500 * 512), 20);
    EXPECT_EQ(b->disk[0].flags, 0);
    prd(b, 0, 0x100000, 512 | LAST);
    EXPECT_EQ(dma(b, ATA_WRITE_DMA_FUA_EXT, 501, 1, true), READY);
    EXPECT_EQ(b->disk[0].flags, DISK_FUA);
}

TEST(a_large_transfer_in_pieces)
{
    AUTO(done) struct ide_model *b = model();

    /* 2 MiB + 1 sector in 33 entries, over more than one piece. */
    for (unsigned i = 0; i < 33; i++)
        prd(b, i, 0x100000 + i * 0x10000, i == 32 ? 512 | LAST : 0);
    EXPECT_EQ(dma(b, ATA_READ_DMA_EXT, 1000, 4097, true), READY);
    EXPECT_EQ(b->disk[0].n[DISK_READ], 3);
    EXPECT_EQ(mem32(b, 0x100000 + 2047 * 512), 1000 + 2047);
    EXPECT_EQ(mem32(b, 0x100000 + 4096 * 512), 1000 + 4096);
}

TEST(prd_tables_that_are_wrong)
{
    AUTO(done) struct ide_model *b = model();
    static const struct { uint32_t addr, word; } bad[] = {
        { BUFFER, 512 | LAST },           /* too short */
        { IDE_MODEL_RAM - 512, 1024 },    /* leaves memory */
        { 0xa0000, 1024 | LAST },         /* a hole */
        { 0xfffffffe, LAST },
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        prd(b, 0, bad[i].addr, bad[i].word);
        EXPECT_EQ(dma(b, ATA_READ_DMA, 0, 2, false), READY | ATA_ERR);
        EXPECT_EQ(in8(&b->t, BM0 + BM_STATUS) & 7, BM_INTERRUPT | BM_ERROR);
        EXPECT_EQ(in8(&b->t, CH0 + ATA_ERROR), ATA_ABRT);
    }
    pio_write(&b->t.bus, BM0 + BM_PRDT, 4, 0xfffffffc); /* the table itself is nowhere */
    task(b, CH0, 0, 0, 2, ATA_READ_DMA, false);
    out8(&b->t, BM0 + BM_COMMAND, BM_START);
    EXPECT_EQ(wait(b, CH0), READY | ATA_ERR);
    out8(&b->t, BM0 + BM_COMMAND, 0);
    EXPECT_EQ(b->disk[0].n[DISK_READ], 0);
    prd(b, 0, BUFFER, 1024 | LAST);
    EXPECT_EQ(dma(b, ATA_READ_DMA, 3, 2, false), READY); /* as if nothing had been */
    EXPECT_EQ(mem32(b, BUFFER + 512), 4);
}

/* A table of empty-looking entries as long as can be: it ends, with an error. */
TEST(an_endless_prd_table)
{
    AUTO(done) struct ide_model *b = model();

    for (unsigned i = 0; i < 8192; i++)
        prd(b, i, BUFFER, 2);
    EXPECT_EQ(dma(b, ATA_READ_DMA, 0, 256, false), READY | ATA_ERR);
}

TEST(the_start_bit_may_come_first)
{
    AUTO(done) struct ide_model *b = model();

    prd(b, 0, BUFFER, 512 | LAST);
    pio_write(&b->t.bus, BM0 + BM_PRDT, 4, PRDT);
    out8(&b->t, BM0 + BM_COMMAND, BM_START | BM_TO_MEMORY);
    turn(b);
    EXPECT_EQ(b->disk[0].n[DISK_READ], 0);
    task(b, CH0, 0, 9, 1, ATA_READ_DMA, false);
    EXPECT_EQ(wait(b, CH0), READY);
    EXPECT_EQ(mem32(b, BUFFER), 9);
}

TEST(bus_master_registers_by_bytes)
{
    AUTO(done) struct ide_model *b = model();

    for (unsigned i = 0; i < 4; i++)
        out8(&b->t, BM1 + BM_PRDT + i, 0x43 + 0x10 * i);
    EXPECT_EQ(pio_read(&b->t.bus, BM1 + BM_PRDT, 4), 0x73635340); /* below a word: zero */
    EXPECT_EQ(in8(&b->t, BM1 + BM_PRDT + 2), 0x63);
    EXPECT_EQ(pio_read(&b->t.bus, BM0 + BM_PRDT, 4), 0);
    out8(&b->t, BM1 + BM_STATUS, BM_CAPABLE | BM_ACTIVE);
    EXPECT_EQ(in8(&b->t, BM1 + BM_STATUS), BM_CAPABLE);
}

/* The ranges are walked in the buffer, as a position of which the state is saved. */
TEST(a_machine_can_be_saved_after_a_trim)
{
    AUTO(done) struct ide_model *b = model();
    AUTO(buf_done) struct buf state = { 0 };
    uint8_t list[512] = { 0 };

    put_le64(list, UINT64_C(8) << 48 | 16);
    gmem_write(b->gmem, GPA(BUFFER), list, sizeof list);
    prd(b, 0, BUFFER, 512 | LAST);
    out8(&b->t, CH0 + ATA_FEATURES, 1);
    EXPECT_EQ(dma(b, ATA_DATA_SET_MANAGEMENT, 0, 1, true), READY);
    EXPECT_EQ(b->disk[0].n[DISK_DISCARD], 1);
    EXPECT_EQ(b->disk[0].off, 16 * 512);
    state_save(&state, "ide", ide_device.state, &b->ide);
    struct bytes from = bytes_of(state.p, state.n);
    EXPECT_EQ(state_load(&from, "ide", ide_device.state, &b->ide, NULL), 0);
}

/* ---- packets --------------------------------------------------------------------------------- */

static void packet(struct ide_model *b, const uint8_t cdb[12], unsigned limit, bool by_dma)
{
    out8(&b->t, CH1 + ATA_DEVICE, 0);
    out8(&b->t, CH1 + ATA_FEATURES, by_dma);
    out8(&b->t, CH1 + ATA_LBA_MID, limit & 255);
    out8(&b->t, CH1 + ATA_LBA_HIGH, limit >> 8);
    out8(&b->t, CH1 + ATA_COMMAND, ATA_PACKET);
    EXPECT_EQ(wait(b, CH1) & ~ATA_DSC, ATA_DRDY | ATA_DRQ);
    EXPECT_EQ(in8(&b->t, CH1 + ATA_COUNT), ATAPI_CD);
    for (unsigned i = 0; i < 12; i += 2)
        pio_write(&b->t.bus, CH1, 2, get_le16(cdb + i));
}

static unsigned byte_count(struct ide_model *b)
{
    return in8(&b->t, CH1 + ATA_LBA_MID) | in8(&b->t, CH1 + ATA_LBA_HIGH) << 8u;
}

TEST(packet_data_in_parts_of_the_hosts_size)
{
    AUTO(done) struct ide_model *b = model();
    static const uint8_t read1[12] = { READ_10, 0, 0, 0, 0, 3, 0, 0, 1 };
    static const struct { unsigned limit, part; } sizes[] = {
        { 2048, 2048 }, { 0, 2048 }, { 0xffff, 2048 }, { 512, 512 }, { 513, 512 }, { 1, 2 },
        { 1000, 1000 },
    };
    uint8_t s[2048];

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        packet(b, read1, sizes[i].limit, false);
        for (unsigned at = 0, n; at < 2048; at += n) {
            EXPECT_EQ(wait(b, CH1), READY | ATA_DRQ);
            EXPECT_EQ(in8(&b->t, CH1 + ATA_COUNT), ATAPI_IO);
            n = byte_count(b);
            EXPECT_EQ(n, MIN(sizes[i].part, 2048 - at));
            read_data(b, CH1, s + at, n);
        }
        EXPECT_EQ(wait(b, CH1), READY);
        EXPECT_EQ(in8(&b->t, CH1 + ATA_COUNT), ATAPI_CD | ATAPI_IO);
        EXPECT(memcmp(s, b->disk[IDE_MODEL_CD].data + 3 * 2048, 2048) == 0);
    }
}

TEST(packets_by_dma_and_their_errors)
{
    AUTO(done) struct ide_model *b = model();
    uint8_t cdb[12] = { READ_10, 0, 0, 0, 0, 5, 0, 0, 2 };
    static const uint8_t inquiry[12] = { INQUIRY, 0, 0, 0, 96 };

    prd(b, 0, BUFFER, 1000);
    prd(b, 1, BUFFER + 0x1000, 3096 | LAST);
    pio_write(&b->t.bus, BM1 + BM_PRDT, 4, PRDT);
    out8(&b->t, BM1 + BM_COMMAND, BM_START | BM_TO_MEMORY);
    packet(b, cdb, 0, true);
    EXPECT_EQ(wait(b, CH1), READY);
    EXPECT_EQ(in8(&b->t, BM1 + BM_STATUS) & 7, BM_INTERRUPT);
    EXPECT_EQ(mem32(b, BUFFER), 20u | IDE_MODEL_CD << 24);
    EXPECT_EQ(mem32(b, BUFFER + 0x1000 + 536), 23u | IDE_MODEL_CD << 24);
    packet(b, inquiry, 0, true); /* no multiple of a sector */
    EXPECT_EQ(wait(b, CH1), READY);
    EXPECT_EQ(mem32(b, BUFFER) & 0xffff, 0x8005);
    cdb[8] = 3; /* more than the table holds */
    packet(b, cdb, 0, true);
    EXPECT_EQ(wait(b, CH1), READY | ATA_ERR);
    EXPECT(in8(&b->t, BM1 + BM_STATUS) & BM_ERROR);
    cdb[8] = 65; /* more than we move at once */
    packet(b, cdb, 0, true);
    EXPECT_EQ(wait(b, CH1), READY | ATA_ERR);
    EXPECT_EQ(in8(&b->t, CH1 + ATA_ERROR), SENSE_ILLEGAL_REQUEST << 4 | ATA_ABRT);
    cdb[0] = WRITE_10; /* no such command here */
    packet(b, cdb, 0, false);
    EXPECT_EQ(wait(b, CH1), READY | ATA_ERR);
    scsi_optical_change(b->unit[IDE_MODEL_CD], NULL, true);
    cdb[0] = READ_10;
    cdb[8] = 1;
    packet(b, cdb, 0, false);
    EXPECT_EQ(wait(b, CH1), READY | ATA_ERR);
    EXPECT_EQ(in8(&b->t, CH1 + ATA_ERROR) >> 4, SENSE_NOT_READY);
}

static void ask_for_sense(struct ide_model *b, uint8_t n, uint8_t sense[SCSI_SENSE_LEN])
{
    const uint8_t cdb[12] = { REQUEST_SENSE, 0, 0, 0, n };

    packet(b, cdb, 0xfffe, false);
    EXPECT_EQ(wait(b, CH1), READY | ATA_DRQ);
    EXPECT_EQ(byte_count(b), MIN(n, SCSI_SENSE_LEN));
    read_data(b, CH1, sense, MIN(n, SCSI_SENSE_LEN));
    EXPECT_EQ(wait(b, CH1), READY);
}

TEST(sense_data_waits_for_who_asks)
{
    AUTO(done) struct ide_model *b = model();
    static const uint8_t beyond[12] = { READ_10, 0, 0x7f, 0, 0, 0, 0, 0, 1 }, tur[12] = { 0 };
    uint8_t sense[SCSI_SENSE_LEN] = { 0 };

    for (unsigned i = 0; i < 3; i++) {
        packet(b, beyond, 2048, false);
        EXPECT_EQ(wait(b, CH1), READY | ATA_ERR);
        if (i == 1) { /* another command comes between */
            packet(b, tur, 0, false);
            EXPECT_EQ(wait(b, CH1), READY);
        }
        ask_for_sense(b, i == 2 ? 8 : 96, sense);
        EXPECT_EQ(sense[0] & 0x7f, 0x70);
        EXPECT_EQ(sense[2], i == 1 ? SENSE_NONE : SENSE_ILLEGAL_REQUEST);
        if (i < 2)
            EXPECT_EQ(sense[12] << 8 | sense[13], i == 1 ? 0 : ASC_LBA_OUT_OF_RANGE);
        ask_for_sense(b, 18, sense); /* it is told once */
        EXPECT_EQ(sense[2], SENSE_NONE);
    }
}

TEST(device_reset_ends_a_packet)
{
    AUTO(done) struct ide_model *b = model();
    static const uint8_t read1[12] = { READ_10, 0, 0, 0, 0, 3, 0, 0, 1 };

    b->disk[IDE_MODEL_CD].hold = true;
    packet(b, read1, 2048, false);
    turn(b);
    out8(&b->t, CH1 + ATA_COMMAND, ATA_DEVICE_RESET);
    EXPECT(in8(&b->t, CH1 + ATA_STATUS) & ATA_BSY); /* the request is still out */
    b->disk[IDE_MODEL_CD].hold = false;
    mem_disk_answer(&b->disk[IDE_MODEL_CD], 1);
    turn(b);
    EXPECT_EQ(in8(&b->t, CH1 + ATA_STATUS), 0);
    EXPECT_EQ(byte_count(b), 0xeb14);
    packet(b, read1, 2048, false);
    EXPECT_EQ(wait(b, CH1), READY | ATA_DRQ);
    out8(&b->t, CH1 + ATA_COMMAND, ATA_DEVICE_RESET); /* in the middle of the data, too */
    EXPECT_EQ(in8(&b->t, CH1 + ATA_STATUS), 0);
    packet(b, read1, 2048, false);
    EXPECT_EQ(wait(b, CH1), READY | ATA_DRQ);
}

/* ---- hostile guests -------------------------------------------------------------------------- */

/* The disk in memory looks whether a request that it has changes. */
TEST(no_command_meets_a_request_from_before_a_reset)
{
    AUTO(done) struct ide_model *b = model();

    prd(b, 0, BUFFER, 4096 | LAST);
    pio_write(&b->t.bus, BM0 + BM_PRDT, 4, PRDT);
    for (unsigned asked = 0; asked < 2; asked++) { /* before and after the loop saw the request */
        b->disk[0].hold = true;
        task(b, CH0, 0, 8, 8, ATA_READ_DMA, false);
        out8(&b->t, BM0 + BM_COMMAND, BM_START);
        if (asked)
            turn(b);
        out8(&b->t, 0x3f6, ATA_SRST);
        out8(&b->t, 0x3f6, 0);
        EXPECT(in8(&b->t, CH0 + ATA_STATUS) & ATA_BSY);
        for (unsigned cmd = 0; cmd < 256; cmd++) { /* nothing begins now */
            task(b, CH0, 0, 100, 1, cmd, true);
            write_data(b, CH0, 0, 512);
        }
        turn(b);
        EXPECT_EQ(b->disk[0].n_waiting, 1);
        b->disk[0].hold = false;
        mem_disk_answer(&b->disk[0], 1);
        EXPECT_EQ(wait(b, CH0), READY);
        EXPECT_EQ(b->irq.level & 1, 0); /* the old answer is void */
        out8(&b->t, BM0 + BM_COMMAND, 0);
    }
    task(b, CH0, 0, 5, 1, ATA_READ_SECTORS, false);
    EXPECT_EQ(wait(b, CH0), READY | ATA_DRQ);
    EXPECT_EQ(first_word(b, CH0), 5);
}

TEST(a_reset_while_the_second_drive_works)
{
    AUTO(done) struct ide_model *b = model();

    b->disk[IDE_MODEL_SLAVE].hold = true;
    task(b, CH1, SLAVE, 8, 1, ATA_READ_SECTORS, false);
    out8(&b->t, 0x376, ATA_SRST); /* selects the first one, before the loop has seen the request */
    out8(&b->t, 0x376, 0);
    turn(b);
    EXPECT_EQ(b->disk[IDE_MODEL_SLAVE].n_waiting, 1);
    EXPECT_EQ(b->disk[IDE_MODEL_CD].n[DISK_READ], 0);
    b->disk[IDE_MODEL_SLAVE].hold = false;
    mem_disk_answer(&b->disk[IDE_MODEL_SLAVE], 1);
    EXPECT_EQ(wait(b, CH1), READY);
    EXPECT_EQ(byte_count(b), 0xeb14);
}

TEST(the_other_drive_is_not_selected_in_the_middle)
{
    AUTO(done) struct ide_model *b = model();

    task(b, CH0, 0, 8, 1, ATA_WRITE_SECTORS, false);
    EXPECT_EQ(wait(b, CH0), READY | ATA_DRQ);
    out8(&b->t, CH0 + ATA_DEVICE, ATA_LBA | SLAVE); /* there is none */
    write_data(b, CH0, 0x33333333, 512);
    EXPECT_EQ(wait(b, CH0), READY);
    EXPECT_EQ(get_le32(b->disk[0].data + 8 * 512), 0x33333333);
    task(b, CH1, SLAVE, 8, 1, ATA_WRITE_DMA, false); /* waits for the start bit */
    out8(&b->t, CH1 + ATA_DEVICE, ATA_LBA);          /* a CD drive */
    prd(b, 0, BUFFER, 512 | LAST);
    pio_write(&b->t.bus, BM1 + BM_PRDT, 4, PRDT);
    out8(&b->t, BM1 + BM_COMMAND, BM_START);
    EXPECT_EQ(wait(b, CH1), READY);
    EXPECT_EQ(b->disk[IDE_MODEL_SLAVE].n[DISK_WRITE], 1);
    EXPECT_EQ(b->disk[IDE_MODEL_CD].n[DISK_WRITE], 0);
}

/* The first drive leaves for VMBus while the second one's request from before a reset is still out. */
TEST(a_drive_is_hidden_while_the_channel_resets)
{
    AUTO(done) struct ide_model *b = model();

    b->disk[IDE_MODEL_SLAVE].hold = true;
    task(b, CH1, SLAVE, 8, 1, ATA_READ_SECTORS, false);
    turn(b);
    out8(&b->t, 0x376, ATA_SRST);
    out8(&b->t, 0x376, 0);
    for (unsigned i = 0; i < 2; i++) {
        if (i)
            ide_show(&b->ide, 1, 0);
        else
            EXPECT(ide_hide(&b->ide, 1, 0));
        EXPECT(in8(&b->t, CH1 + ATA_STATUS) & ATA_BSY);
        task(b, CH1, SLAVE, 9, 1, ATA_READ_SECTORS, false); /* nothing begins now */
        turn(b);
        EXPECT_EQ(b->disk[IDE_MODEL_SLAVE].n_waiting, 1);
    }
    EXPECT(ide_hide(&b->ide, 1, 0));
    b->disk[IDE_MODEL_SLAVE].hold = false;
    mem_disk_answer(&b->disk[IDE_MODEL_SLAVE], 1);
    turn(b);
    EXPECT_EQ(in8(&b->t, CH1 + ATA_STATUS), 0);
    task(b, CH1, SLAVE, 9, 1, ATA_READ_SECTORS, false);
    EXPECT_EQ(wait(b, CH1), READY | ATA_DRQ);
    EXPECT_EQ(first_word(b, CH1), 9u | IDE_MODEL_SLAVE << 24);
}

/* A saved state whose command belongs to no drive. */
TEST(states_that_cannot_be)
{
    AUTO(done) struct ide_model *b = model();
    struct ide_channel *c = &b->ide.channel[1];
    const struct { uint8_t phase, device, command; uint32_t left, size; bool ok; } tries[] = {
        { IDE_IDLE, 0, 0, 0, 0, true },
        { IDE_PIO_OUT, SLAVE, ATA_WRITE_SECTORS, 1, 512, true },
        { IDE_PIO_OUT, 0, ATA_WRITE_SECTORS, 1, 512, false }, /* to a CD drive */
        { IDE_WAIT_DMA, 0, ATA_READ_DMA, 1, 0, false },
        { IDE_PACKET, 0, ATA_PACKET, 0, 12, true },
        { IDE_PACKET, SLAVE, ATA_PACKET, 0, 12, false },
        { IDE_PIO_IN, 0, ATA_IDENTIFY_PACKET, 0, 512, true },
        { IDE_PIO_IN, 0, ATA_READ_SECTORS, 1, 512, false },
        { IDE_PIO_IN, SLAVE, ATA_PACKET, 0, 512, false },
        { IDE_PIO_IN, SLAVE, ATA_READ_SECTORS, 1, IDE_BUFFER + 1, false },
        { IDE_BUSY, SLAVE, ATA_READ_SECTORS, 1, 512, false },
    };

    for (unsigned i = 0; i < ARRAY_LEN(tries); i++) {
        AUTO(buf_done) struct buf state = { 0 };
        c->phase = tries[i].phase;
        c->device = tries[i].device;
        c->command = tries[i].command;
        c->left = tries[i].left;
        c->size = tries[i].size;
        c->at = 0;
        state_save(&state, "ide", ide_device.state, &b->ide);
        struct bytes from = bytes_of(state.p, state.n);
        int r = state_load(&from, "ide", ide_device.state, &b->ide, NULL);
        EXPECT_EQ(r == 0, tries[i].ok);
    }
    c->phase = IDE_IDLE;
}
