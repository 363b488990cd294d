#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks: synthetic SCSI and IDE with DMA or over VMBus, file systems under load, discard, media.

disklife.py adds, removes, crashes and saves; disktools.py asks with the guest's own tools.
"""
import os
import subprocess

from disks import HELPERS, NO_VMBUS, STORAGE, VERDIN, fsck, image
from guest import Guest, main, test, variants

# Three writers, copies and removals; checksums before and after the caches are dropped.
LOAD = r'''
D=${D:-sda}; wait_for /dev/$D; check "mounted" 'mount -t FS /dev/$D /mnt'
for i in 1 2 3; do dd if=/dev/urandom of=/mnt/f$i bs=64k count=48 2>/dev/null & done; wait
sha256sum /mnt/f? >/mnt/sums; sync
for i in 1 2 3; do (cp /mnt/f$i /mnt/g$i; rm /mnt/f$i; cp /mnt/g$i /mnt/f$i) & done; wait
umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount -t FS /dev/$D /mnt
check "checksums after load and remount" 'sha256sum -c /mnt/sums >/dev/null'
umount /mnt
'''


@variants("load_of_{}_on_{}_by_{}_with_{}_cpus",
          [("ext4", "raw", "scsi", 2), ("ext4", "vhd", "ide", 1), ("xfs", "vhdx", "scsi", 2),
           ("xfs", "raw", "ide", 1)])
def load(t, fs, fmt, bus, cpus):
    path = image(t, "disk", (64 if fs == "ext4" else 320) << 20, fs, fmt)
    g = Guest(t, "cloud-amd64", HELPERS + LOAD.replace("FS", fs), cpus=cpus,
              modules=STORAGE + [fs], args=["--disk", f"{path},bus={bus}"])
    g.verdicts()
    g.ends(0)
    g.no_complaints()
    t.check("hv_storvsc drives the disk", "storvsc_host_t" in g.text)
    fsck(t, path, fs)


@variants("{}_by_dma_without_vmbus_with_{}_cpus", [("xfs", 1), ("ext4", 2)])
def dma(t, fs, cpus):
    """No VMBus driver at all: the chip's own DMA, its interrupts, LBA48 beyond 128 GiB, TRIM."""
    sectors = 131072 if fs == "ext4" else 655360
    path = image(t, "disk", 512 * sectors, fs)
    big = os.path.join(t.folder, "big.vhdx")
    subprocess.run([VERDIN, "disk", "create", "--quiet", big, "--size", "200G"], check=True)
    g = Guest(t, "cloud-amd64", HELPERS + f"D=$(by_size {sectors}); B=$(by_size 419430400)\n" + LOAD.replace("FS", fs) + r'''
check "ata_piix drives it" 'readlink -f /sys/block/$D/device | grep -q /ata1/'
check "its interrupts come" '[ $(grep ata_piix /proc/interrupts | head -1 | tr -s " " | cut -d" " -f3) -gt 100 ]'
check "LBA48: the size is right" '[ $(cat /sys/block/$B/size) = 419430400 ]'
check "LBA48: the end can be written and read" 'dd if=/dev/urandom of=/tmp/x bs=64k count=4 2>/dev/null &&
    dd if=/tmp/x of=/dev/$B bs=64k seek=3276796 conv=fsync,notrunc 2>/dev/null && echo 3 >/proc/sys/vm/drop_caches &&
    dd if=/dev/$B bs=64k skip=3276796 of=/tmp/y 2>/dev/null && cmp /tmp/x /tmp/y'
check "TRIM is offered" '[ $(cat /sys/block/$B/queue/discard_max_bytes) -gt 0 ]'
check "TRIM" 'blkdiscard -o 214748102656 -l 262144 /dev/$B'
''', cpus=cpus, modules=NO_VMBUS + [fs], append="ata_piix.prefer_ms_hyperv=0",
              args=["--disk", f"{path},bus=ide", "--disk", f"{big},bus=ide"])
    g.verdicts()
    g.ends(0)
    g.no_complaints()
    t.check("by UDMA", "UDMA/" in g.text and "PIO" not in
            " ".join(w for _, w in g.lines if "configured for" in w))
    t.check("no DMA has failed", "failed command" not in g.text and "exception Emask" not in g.text)
    fsck(t, path, fs)


@variants("one_disk_not_two_when_{}_comes_first", [("hv_storvsc",), ("ata_piix",)])
def fastpath(t, first):
    """Both drivers want it (the IDE one is told not to give way): whoever came first has it."""
    path = image(t, "disk", 64 << 20)
    order = ["hv_vmbus", "sd_mod", "ext4", first, "ata_piix", "hv_storvsc"]
    g = Guest(t, "cloud-amd64", HELPERS + LOAD.replace("FS", "ext4") + rf'''
check "there is one disk" '[ $(ls -d /sys/block/sd* | wc -l) = 1 ]'
readlink -f /sys/block/sda/device
check "{first} has it" 'readlink -f /sys/block/sda/device | grep -{"v" if first == "hv_storvsc" else ""}q /ata1/'
''', modules=order, append="ata_piix.prefer_ms_hyperv=0", args=["--disk", f"{path},bus=ide"])
    g.verdicts()
    g.ends(0)
    g.no_complaints()
    fsck(t, path)


@test
def four_cpus_have_four_channels(t):
    """hv_storvsc opens what is offered, and requests go over all of them."""
    path = image(t, "disk", 64 << 20, None)
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
d=$(readlink -f /sys/block/sda/device | sed 's,/host.*,,')
check "4 channels: $(ls $d/channels)" '[ $(ls $d/channels | wc -l) = 4 ]'
check "each has a CPU of its own" '[ $(cat $d/channels/*/cpu | sort -u | wc -l) = 4 ]'
for c in 0 1 2 3; do taskset -c $c dd if=/dev/sda of=/dev/null bs=64k count=200 skip=$((c * 200)) 2>/dev/null & done; wait
check "interrupts of each: $(cat $d/channels/*/interrupts | tr "\n" " ")" '[ $(cat $d/channels/*/interrupts | grep -vc "^0$") = 4 ]'
''', cpus=4, modules=STORAGE, args=["--disk", path])
    g.verdicts()
    g.ends(0)
    g.no_complaints()


@test
def a_disk_of_64_TiB_is_seen_at_its_size(t):
    path = os.path.join(t.folder, "big.vhdx")
    subprocess.run([VERDIN, "disk", "create", path, "--size", "64T"],
                   check=True, stdout=subprocess.DEVNULL)
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
check "size is $(cat /sys/block/sda/size)" '[ $(cat /sys/block/sda/size) = 137438953472 ]'
check "the last block can be written" 'dd if=/dev/urandom of=/tmp/x bs=4096 count=1 2>/dev/null &&
    dd if=/tmp/x of=/dev/sda bs=4096 seek=17179869183 conv=fsync 2>/dev/null &&
    dd if=/dev/sda bs=4096 skip=17179869183 of=/tmp/y 2>/dev/null && cmp /tmp/x /tmp/y'
''', modules=STORAGE, args=["--disk", path])
    g.verdicts()
    g.ends(0)
    g.no_complaints()


@test
def discard_gives_space_back(t):
    path = image(t, "disk", 64 << 20, fs=None)
    with open(path, "r+b") as f:
        f.write(os.urandom(32 << 20))
    before = os.stat(path).st_blocks
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
check "discard is offered" '[ $(cat /sys/block/sda/queue/discard_max_bytes) -gt 0 ]'
check "blkdiscard" 'blkdiscard -o 0 -l 16777216 /dev/sda'
''', modules=STORAGE, args=["--disk", path])
    g.verdicts()
    g.ends(0)
    after = os.stat(path).st_blocks
    t.check(f"the file shrank from {before} to {after} blocks", after < before - 30000)


EJECT = r"""
#include <fcntl.h>
#include <linux/cdrom.h>
#include <sys/ioctl.h>
int main(void)
{
    return ioctl(open("/dev/sr0", O_RDONLY | O_NONBLOCK), CDROMEJECT) ? 1 : 0;
}
"""


@test
def a_cd_is_read_and_ejected(t):
    source, eject = os.path.join(t.folder, "eject.c"), os.path.join(t.folder, "eject")
    with open(source, "w", encoding="utf-8") as f:
        f.write(EJECT)
    subprocess.run(["cc", "-static", "-o", eject, source], check=True)
    iso = os.path.join(t.folder, "cd.iso")
    with open(iso, "wb") as f:
        f.write(os.urandom(1 << 20))
    digest = subprocess.run(["sha256sum", iso], check=True, stdout=subprocess.PIPE).stdout.split()[0]
    g = Guest(t, "cloud-amd64", HELPERS + rf'''
wait_for /dev/sr0
check "the medium is read" '[ "$(dd if=/dev/sr0 bs=2048 2>/dev/null | sha256sum | cut -d" " -f1)" = {digest.decode()} ]'
check "eject" 'cdeject'
check "the tray is empty" '! dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null'
''', modules=STORAGE, args=["--cdrom", iso], files=[f"{eject}:bin/cdeject"])
    g.verdicts()
    g.ends(0)
    t.check("the user is told", "ejected the medium" in g.stderr())


main()
