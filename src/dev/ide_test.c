/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_test.c - the controller as ata_piix and a BIOS drive it: a disk and a CD over files in /tmp. */
#include "dev/ide.h"

#include "base/bytes.h"
#include "dev/testbed.h"

#define DISK_SECTORS 65536u
#define PRDT         0x1000u
#define BUFFER       0x10000u
#define BM           0xc000u /* where the test puts the bus master BAR */

struct bench {
    struct testbed t;
    struct pci_bus pci;
    struct gmem *gmem;
    struct disk_io *io;
    struct disk *disk, *iso;
    struct scsi_unit *hd, *cd;
    struct ide ide;
    struct test_line irq;
    char path[2][40];
};

static struct disk *make_file(struct bench *b, unsigned i, uint64_t size)
{
    struct disk_open how = { .writable = i == 0, .format = DISK_FMT_RAW };
    struct disk *d = NULL;

    snprintf(b->path[i], sizeof b->path[i], "/tmp/ide_test.XXXXXX");
    int fd = mkstemp(b->path[i]);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        abort();
    for (unsigned s = 0; s < 64; s++) { /* each sector begins with its number */
        uint32_t v = s * 0x01010101u;
        if (pwrite(fd, &v, sizeof v, s * 512) != sizeof v)
            abort();
    }
    close(fd);
    if (disk_open(b->io, b->path[i], &how, &d, NULL) < 0)
        abort();
    return d;
}

static void setup(struct bench *b)
{
    struct scsi_identity id;
    struct irq_line irq[2];

    memset(b, 0, sizeof *b);
    testbed_init(&b->t);
    pci_bus_init(&b->pci, &b->t.bus);
    gmem_new(4 * MIB, &b->gmem, NULL);
    b->io = disk_io_new(b->t.loop, DISK_IO_THREADS, NULL);
    b->disk = make_file(b, 0, DISK_SECTORS * 512ull);
    b->iso = make_file(b, 1, MIB);
    scsi_identity_make(&id, b->disk, "disk");
    b->hd = scsi_hard_disk_new(b->disk, &id);
    b->cd = scsi_optical_new(b->iso, &id);
    for (unsigned i = 0; i < 2; i++)
        irq[i] = (struct irq_line){ test_line_set, &b->irq, i };
    ide_init(&b->ide, &b->pci, PCI_DEVFN(7, 1), b->gmem, irq);
    ide_attach(&b->ide, 0, 0, b->hd, "VERDIN0001");
    ide_attach(&b->ide, 1, 0, b->cd, "VERDIN0002");
    pci_config_write(&b->pci, PCI_DEVFN(7, 1), PCI_BAR(4), 4, BM);
    pci_config_write(&b->pci, PCI_DEVFN(7, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void teardown(struct bench *b)
{
    while (ide_busy(&b->ide))
        loop_poll(b->t.loop);
    ide_done(&b->ide);
    pci_bus_done(&b->pci);
    scsi_unit_free(b->hd);
    scsi_unit_free(b->cd);
    disk_close(b->disk, NULL);
    disk_close(b->iso, NULL);
    disk_io_free(b->io);
    gmem_free(b->gmem);
    testbed_done(&b->t);
    unlink(b->path[0]);
    unlink(b->path[1]);
}

/* Until BSY falls; status without acknowledging. */
static uint8_t wait(struct bench *b, unsigned base)
{
    while (in8(&b->t, base + 0x206) & ATA_BSY)
        loop_poll(b->t.loop);
    return in8(&b->t, base + 0x206);
}

static void task(struct bench *b, unsigned base, uint64_t lba, unsigned count, unsigned cmd, bool ext)
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
    out8(&b->t, base + ATA_DEVICE, ATA_LBA | (ext ? 0 : lba >> 24 & 15));
    out8(&b->t, base + ATA_COMMAND, cmd);
}

static void read_data(struct bench *b, unsigned base, void *to, size_t n)
{
    uint8_t *p = to;

    for (size_t i = 0; i < n; i += 2)
        put_le16(p + i, (uint16_t)pio_read(&b->t.bus, (uint16_t)base, 2));
}

TEST(identify_and_signature)
{
    struct bench *b = calloc(1, sizeof *b);
    uint8_t id[512];

    setup(b);
    EXPECT_EQ(in8(&b->t, 0x1f0 + ATA_LBA_MID), 0);
    EXPECT_EQ(in8(&b->t, 0x170 + ATA_LBA_MID), 0x14);
    EXPECT_EQ(in8(&b->t, 0x170 + ATA_LBA_HIGH), 0xeb);
    out8(&b->t, 0x1f7, ATA_IDENTIFY);
    EXPECT(wait(b, 0x1f0) & ATA_DRQ);
    EXPECT_EQ(b->irq.level & 1, 1);
    read_data(b, 0x1f0, id, 512);
    EXPECT_EQ(get_le32(id + 120), DISK_SECTORS);
    EXPECT(memcmp(id + 20, "EVDRNI0010", 10) == 0);
    EXPECT(!(in8(&b->t, 0x1f7) & ATA_DRQ));
    EXPECT_EQ(b->irq.level & 1, 0); /* reading the status took it away */
    out8(&b->t, 0x177, ATA_IDENTIFY); /* a CD drive says no, and shows its signature */
    EXPECT(wait(b, 0x170) & ATA_ERR);
    EXPECT_EQ(in8(&b->t, 0x170 + ATA_LBA_MID), 0x14);
    out8(&b->t, 0x1f0 + ATA_DEVICE, ATA_DEV); /* nobody there */
    EXPECT_EQ(in8(&b->t, 0x1f7), 0);
    teardown(b);
    free(b);
}

TEST(pio_reads_and_writes)
{
    struct bench *b = calloc(1, sizeof *b);
    uint8_t s[1024];

    setup(b);
    task(b, 0x1f0, 5, 2, ATA_READ_SECTORS, false);
    for (unsigned i = 0; i < 2; i++) {
        EXPECT(wait(b, 0x1f0) & ATA_DRQ);
        read_data(b, 0x1f0, s, 512);
        EXPECT_EQ(s[0], 5 + i);
    }
    EXPECT_EQ(wait(b, 0x1f0), ATA_DRDY | ATA_DSC);
    task(b, 0x1f0, 100, 1, ATA_WRITE_SECTORS_EXT, true);
    EXPECT(wait(b, 0x1f0) & ATA_DRQ);
    for (unsigned i = 0; i < 512; i += 4)
        pio_write(&b->t.bus, 0x1f0, 4, 0xcafe0000 + i);
    EXPECT_EQ(wait(b, 0x1f0), ATA_DRDY | ATA_DSC);
    task(b, 0x1f0, 100, 1, ATA_READ_SECTORS, false);
    wait(b, 0x1f0);
    read_data(b, 0x1f0, s, 512);
    EXPECT_EQ(get_le32(s + 508), 0xcafe0000 + 508);
    task(b, 0x1f0, DISK_SECTORS - 1, 2, ATA_READ_SECTORS, false);
    EXPECT(wait(b, 0x1f0) & ATA_ERR);
    EXPECT_EQ(in8(&b->t, 0x1f1), ATA_IDNF);
    teardown(b);
    free(b);
}

static void prd(struct bench *b, unsigned i, uint32_t addr, uint32_t size, bool last)
{
    uint8_t raw[8];

    put_le32(raw, addr);
    put_le32(raw + 4, (size & 0xffff) | (last ? 0x80000000u : 0));
    gmem_write(b->gmem, GPA(PRDT + 8 * i), raw, 8);
}

TEST(dma_moves_sectors_through_the_prd_table)
{
    struct bench *b = calloc(1, sizeof *b);
    uint32_t v;

    setup(b);
    prd(b, 0, BUFFER, 1536, false);
    prd(b, 1, BUFFER + 0x10000 + 100, 2560, true); /* no sector boundary */
    pio_write(&b->t.bus, BM + BM_PRDT, 4, PRDT);
    task(b, 0x1f0, 8, 8, ATA_READ_DMA, false);
    out8(&b->t, BM + BM_COMMAND, BM_START | BM_TO_MEMORY);
    EXPECT_EQ(wait(b, 0x1f0), ATA_DRDY | ATA_DSC);
    EXPECT_EQ(in8(&b->t, BM + BM_STATUS) & (BM_INTERRUPT | BM_ERROR | BM_ACTIVE), BM_INTERRUPT);
    out8(&b->t, BM + BM_COMMAND, 0);
    gmem_read(b->gmem, GPA(BUFFER + 1024), &v, 4);
    EXPECT_EQ(v, 10 * 0x01010101u);
    gmem_read(b->gmem, GPA(BUFFER + 0x10000 + 100 + 2048), &v, 4);
    EXPECT_EQ(v, 15 * 0x01010101u);
    /* A table that ends too early, and one that names no memory. */
    prd(b, 1, BUFFER, 512, true);
    task(b, 0x1f0, 8, 8, ATA_READ_DMA, false);
    out8(&b->t, BM + BM_COMMAND, BM_START);
    EXPECT(wait(b, 0x1f0) & ATA_ERR);
    EXPECT(in8(&b->t, BM + BM_STATUS) & BM_ERROR);
    out8(&b->t, BM + BM_COMMAND, 0);
    prd(b, 0, 0xf0000000, 4096, true);
    task(b, 0x1f0, 8, 8, ATA_READ_DMA_EXT, true);
    out8(&b->t, BM + BM_COMMAND, BM_START);
    EXPECT(wait(b, 0x1f0) & ATA_ERR);
    teardown(b);
    free(b);
}

TEST(trim_does_every_range)
{
    struct bench *b = calloc(1, sizeof *b);
    uint8_t list[512] = { 0 }, s[512];

    setup(b);
    put_le64(list, UINT64_C(8) << 48 | 24); /* not in order, and a gap between */
    put_le64(list + 24, UINT64_C(4) << 48 | 8);
    put_le64(list + 32, UINT64_C(4) << 48 | 12);
    gmem_write(b->gmem, GPA(BUFFER), list, sizeof list);
    prd(b, 0, BUFFER, 512, true);
    pio_write(&b->t.bus, BM + BM_PRDT, 4, PRDT);
    out8(&b->t, 0x1f0 + ATA_FEATURES, 1);
    task(b, 0x1f0, 0, 1, ATA_DATA_SET_MANAGEMENT, true);
    out8(&b->t, BM + BM_COMMAND, BM_START);
    EXPECT_EQ(wait(b, 0x1f0), ATA_DRDY | ATA_DSC);
    for (unsigned at = 8; at < 32; at += 4) {
        task(b, 0x1f0, at, 1, ATA_READ_SECTORS, false);
        EXPECT(wait(b, 0x1f0) & ATA_DRQ);
        read_data(b, 0x1f0, s, 512);
        EXPECT_EQ(s[0], at < 16 || at >= 24 ? 0 : at);
    }
    put_le64(list + 8, UINT64_C(1) << 48 | DISK_SECTORS);
    gmem_write(b->gmem, GPA(BUFFER), list, sizeof list);
    task(b, 0x1f0, 0, 1, ATA_DATA_SET_MANAGEMENT, true);
    out8(&b->t, BM + BM_COMMAND, 0);
    out8(&b->t, BM + BM_COMMAND, BM_START);
    EXPECT(wait(b, 0x1f0) & ATA_ERR);
    teardown(b);
    free(b);
}

static void packet(struct bench *b, const uint8_t cdb[12], unsigned limit)
{
    out8(&b->t, 0x170 + ATA_FEATURES, 0);
    out8(&b->t, 0x170 + ATA_LBA_MID, limit & 255);
    out8(&b->t, 0x170 + ATA_LBA_HIGH, limit >> 8);
    out8(&b->t, 0x177, ATA_PACKET);
    EXPECT(wait(b, 0x170) & ATA_DRQ);
    for (unsigned i = 0; i < 12; i += 2)
        pio_write(&b->t.bus, 0x170, 2, get_le16(cdb + i));
}

TEST(a_cd_answers_packets)
{
    struct bench *b = calloc(1, sizeof *b);
    uint8_t read10[12] = { READ_10, 0, 0, 0, 0, 3, 0, 0, 2 }, s[4096];

    setup(b);
    packet(b, read10, 2048);
    EXPECT(wait(b, 0x170) & ATA_DRQ);
    EXPECT_EQ(in8(&b->t, 0x170 + ATA_LBA_HIGH), 8);
    read_data(b, 0x170, s, 2048);
    EXPECT(wait(b, 0x170) & ATA_DRQ);
    read_data(b, 0x170, s + 2048, 2048);
    EXPECT_EQ(wait(b, 0x170), ATA_DRDY | ATA_DSC);
    EXPECT_EQ(in8(&b->t, 0x170 + ATA_COUNT), ATAPI_CD | ATAPI_IO);
    EXPECT_EQ(s[0], 12);
    EXPECT_EQ(s[2048], 16);
    read10[3] = 0x40; /* far beyond the end */
    packet(b, read10, 2048);
    EXPECT(wait(b, 0x170) & ATA_ERR);
    EXPECT_EQ(in8(&b->t, 0x171) >> 4, SENSE_ILLEGAL_REQUEST);
    teardown(b);
    free(b);
}

TEST(a_reset_makes_old_answers_void)
{
    struct bench *b = calloc(1, sizeof *b);
    uint8_t s[512];

    setup(b);
    task(b, 0x1f0, 5, 1, ATA_READ_SECTORS, false);
    out8(&b->t, 0x3f6, ATA_SRST);
    out8(&b->t, 0x3f6, 0);
    EXPECT_EQ(wait(b, 0x1f0), ATA_DRDY | ATA_DSC); /* the old request is on its way until then */
    EXPECT_EQ(b->irq.level & 1, 0);
    task(b, 0x1f0, 9, 1, ATA_READ_SECTORS, false);
    EXPECT(wait(b, 0x1f0) & ATA_DRQ);
    read_data(b, 0x1f0, s, 512);
    EXPECT_EQ(s[0], 9);
    teardown(b);
    free(b);
}

TEST(state_travels)
{
    struct bench *b = calloc(1, sizeof *b), *n = calloc(1, sizeof *n);
    struct buf state = { 0 };
    uint8_t s[512];

    setup(b);
    setup(n);
    task(b, 0x1f0, 5, 2, ATA_READ_SECTORS, false);
    wait(b, 0x1f0);
    read_data(b, 0x1f0, s, 512); /* the second sector is still to come */
    wait(b, 0x1f0);
    state_save(&state, "ide", ide_device.state, &b->ide);
    struct bytes in = bytes_of(state.p, state.n);
    EXPECT_EQ(state_load(&in, "ide", ide_device.state, &n->ide, NULL), 0);
    EXPECT_EQ(n->ide.channel[0].left, b->ide.channel[0].left);
    read_data(n, 0x1f0, s, 512); /* and comes from the new machine */
    EXPECT_EQ(s[0], 6);
    EXPECT_EQ(wait(n, 0x1f0), ATA_DRDY | ATA_DSC);
    buf_done(&state);
    teardown(b);
    teardown(n);
    free(b);
    free(n);
}

TEST(a_disk_that_is_used_elsewhere_is_not_there)
{
    struct bench *b = calloc(1, sizeof *b);
    uint8_t id[512];

    setup(b);
    EXPECT(ide_hide(&b->ide, 0, 0));
    EXPECT(ide_hide(&b->ide, 0, 0)); /* again: nothing changes */
    EXPECT_EQ(in8(&b->t, 0x1f7), 0);
    out8(&b->t, 0x1f7, ATA_IDENTIFY);
    EXPECT_EQ(in8(&b->t, 0x1f7), 0);
    out8(&b->t, 0x3f6, ATA_SRST); /* nor after a reset */
    out8(&b->t, 0x3f6, 0);
    EXPECT_EQ(in8(&b->t, 0x1f7), 0);
    EXPECT(in8(&b->t, 0x177) & ATA_DRDY); /* the CD is */
    ide_show(&b->ide, 0, 0);
    ide_show(&b->ide, 0, 0);
    EXPECT(in8(&b->t, 0x1f7) & ATA_DRDY);
    out8(&b->t, 0x1f7, ATA_IDENTIFY);
    EXPECT(!ide_hide(&b->ide, 0, 0)); /* in the middle of a command */
    EXPECT(wait(b, 0x1f0) & ATA_DRQ);
    read_data(b, 0x1f0, id, 512);
    EXPECT_EQ(get_le16(id + 2), DISK_SECTORS / (16 * 63));
    /* A driver that has chosen a transfer mode keeps the disk, until a reset. */
    out8(&b->t, 0x1f1, 0x03);
    task(b, 0x1f0, 0, 0x44, ATA_SET_FEATURES, false);
    wait(b, 0x1f0);
    EXPECT(!ide_hide(&b->ide, 0, 0));
    out8(&b->t, 0x3f6, ATA_SRST);
    out8(&b->t, 0x3f6, 0);
    EXPECT(ide_hide(&b->ide, 0, 0));
    ide_show(&b->ide, 0, 0);
    teardown(b);
    free(b);
}

TEST(a_restored_chip_drives_its_interrupt_anew)
{
    struct bench *b = calloc(1, sizeof *b);
    struct buf state = { 0 };
    struct err err = { 0 };

    setup(b);
    out8(&b->t, 0x1f7, ATA_IDENTIFY);
    wait(b, 0x1f0);
    EXPECT_EQ(b->irq.level & 1, 1);
    state_save(&state, "ide", ide_device.state, &b->ide);
    in8(&b->t, 0x1f7); /* acknowledged */
    EXPECT_EQ(b->irq.level & 1, 0);
    struct bytes from = bytes_of(state.p, state.n);
    EXPECT_EQ(state_load(&from, "ide", ide_device.state, &b->ide, &err), 0);
    ide_device.restored(&b->ide);
    EXPECT_EQ(b->irq.level & 1, 1);
    in8(&b->t, 0x1f7);
    EXPECT_EQ(b->irq.level & 1, 0);
    buf_done(&state);
    teardown(b);
    free(b);
}
