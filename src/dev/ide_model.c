/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ide_model.c - see ide_model.h. */
#include "dev/ide_model.h"

#include "base/bytes.h"

static void make_unit(struct ide_model *b, unsigned i)
{
    struct mem_disk *d = &b->disk[i];
    struct scsi_identity id;

    mem_disk_init(d, b->io, IDE_MODEL_SECTORS * 512);
    scsi_identity_make(&id, &d->disk, "ide");
    b->unit[i] = i == IDE_MODEL_CD ? scsi_optical_new(&d->disk, &id)
                                   : scsi_hard_disk_new(&d->disk, &id);
    if (!b->unit[i])
        abort();
}

void ide_model_init(struct ide_model *b)
{
    struct irq_line irq[2];

    memset(b, 0, sizeof *b);
    testbed_init(&b->t);
    pci_bus_init(&b->pci, &b->t.bus);
    b->io = disk_io_new(b->t.loop, DISK_IO_AUTO, NULL);
    if (!b->io || gmem_new(IDE_MODEL_RAM, &b->gmem, NULL) < 0)
        abort();
    for (unsigned i = 0; i < IDE_MODEL_UNITS; i++)
        make_unit(b, i);
    for (unsigned i = 0; i < 2; i++)
        irq[i] = (struct irq_line){ test_line_set, &b->irq, i };
    ide_init(&b->ide, &b->pci, PCI_DEVFN(7, 1), b->gmem, irq);
    ide_attach(&b->ide, 0, 0, b->unit[IDE_MODEL_HD], "HD");
    ide_attach(&b->ide, 1, 0, b->unit[IDE_MODEL_CD], "CD");
    ide_attach(&b->ide, 1, 1, b->unit[IDE_MODEL_SLAVE], "SLAVE");
    pci_config_write(&b->pci, PCI_DEVFN(7, 1), PCI_BAR(4), 4, IDE_MODEL_BM);
    pci_config_write(&b->pci, PCI_DEVFN(7, 1), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

void ide_model_number(struct ide_model *b)
{
    for (uint32_t i = 0; i < IDE_MODEL_UNITS; i++)
        for (uint32_t s = 0; s < IDE_MODEL_SECTORS; s++)
            put_le32(b->disk[i].data + s * 512, s | i << 24);
}

void ide_model_done(struct ide_model *b)
{
    while (ide_busy(&b->ide)) {
        for (unsigned i = 0; i < IDE_MODEL_UNITS; i++) {
            b->disk[i].hold = false;
            mem_disk_answer(&b->disk[i], UINT32_MAX);
        }
        loop_poll(b->t.loop);
    }
    ide_done(&b->ide);
    pci_bus_done(&b->pci);
    for (unsigned i = 0; i < IDE_MODEL_UNITS; i++) {
        scsi_unit_free(b->unit[i]);
        mem_disk_done(&b->disk[i]);
    }
    disk_io_free(b->io);
    gmem_free(b->gmem);
    testbed_done(&b->t);
}
