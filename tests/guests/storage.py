#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks: synthetic SCSI and IDE, file systems under load, hot add and remove, discard, media, a crash.

Images are made on the host (mke2fs, verdin disk) and looked at there again afterwards (e2fsck).
"""
import os
import shutil
import subprocess
import time

from guest import Guest, Skip, build_dir, main, test, variants

STORAGE = ["hv_vmbus", "hv_utils", "hv_storvsc", "sd_mod", "ext4", "ata_piix", "sr_mod", "isofs"]
HELPERS = r'''
check() { if eval "$2"; then echo "VERDICT ok $1"; else echo "VERDICT not ok $1"; fi; }
wait_for() { for i in $(seq 100); do [ -e $1 ] && return 0; usleep 200000; done; return 1; }
wait_gone() { for i in $(seq 100); do [ -e $1 ] || return 0; usleep 200000; done; return 1; }
mkdir -p /mnt
'''


def image(t, name, size, fs=True, fmt="raw"):
    """A disk image in the test's folder; with an ext4 file system, if so asked."""
    raw = os.path.join(t.folder, name + ".raw")
    with open(raw, "wb") as f:
        f.truncate(size)
    if fs:
        if not shutil.which("mke2fs"):
            raise Skip("mke2fs is not installed (package e2fsprogs)")
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", raw], check=True)
    if fmt == "raw":
        return raw
    out = os.path.join(t.folder, f"{name}.{fmt}")
    subprocess.run([os.path.join(build_dir(), "verdin"), "disk", "convert", raw, out], check=True,
                   stdout=subprocess.DEVNULL)
    os.unlink(raw)
    return out


def fsck(t, path):
    if not path.endswith(".raw"):
        raw = path + ".raw"
        subprocess.run([os.path.join(build_dir(), "verdin"), "disk", "convert", path, raw],
                       check=True, stdout=subprocess.DEVNULL)
        path = raw
    p = subprocess.run(["e2fsck", "-fn", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False)
    t.check("e2fsck on the host finds nothing", p.returncode == 0)


LOAD = r'''
wait_for /dev/sda; mount -t ext4 /dev/sda /mnt && echo "VERDICT ok mounted"
for i in 1 2 3; do dd if=/dev/urandom of=/mnt/f$i bs=64k count=48 2>/dev/null & done; wait
sha256sum /mnt/f? >/mnt/sums; sync
for i in 1 2 3; do (cp /mnt/f$i /mnt/g$i; rm /mnt/f$i; cp /mnt/g$i /mnt/f$i) & done; wait
umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount -t ext4 /dev/sda /mnt
check "checksums after load and remount" 'sha256sum -c /mnt/sums >/dev/null'
umount /mnt
'''


@variants("load_on_{}_by_{}_with_{}_cpus", [("raw", "scsi", 2), ("vhdx", "scsi", 1),
                                            ("vhd", "ide", 1)])
def load(t, fmt, bus, cpus):
    path = image(t, "disk", 64 << 20, fmt=fmt)
    g = Guest(t, "cloud-amd64", HELPERS + LOAD, cpus=cpus, modules=STORAGE,
              args=["--disk", f"{path},bus={bus}"])
    g.verdicts()
    g.ends(0)
    g.no_complaints()
    t.check("hv_storvsc drives the disk", "storvsc_host_t" in g.text)
    fsck(t, path)


@test
def a_disk_of_64_TiB_is_seen_at_its_size(t):
    path = os.path.join(t.folder, "big.vhdx")
    subprocess.run([os.path.join(build_dir(), "verdin"), "disk", "create", path, "--size", "64T"],
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
    path = image(t, "disk", 64 << 20, fs=False)
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


@test
def hot_add_and_remove_in_a_loop(t):
    path = image(t, "hot", 16 << 20)
    g = Guest(t, "cloud-amd64", HELPERS + r'''
for round in 1 2 3 4 5; do
    echo "ADD NOW $round"
    wait_for /dev/sda || echo "VERDICT not ok disk of round $round did not come"
    mount -t ext4 /dev/sda /mnt && echo $round >/mnt/round && umount /mnt || echo "VERDICT not ok mount"
    echo "REMOVE NOW $round"
    wait_gone /dev/sda || echo "VERDICT not ok disk of round $round did not go"
done
echo "VERDICT ok five rounds"
''', modules=STORAGE, terminal=True)
    for i in range(1, 6):
        g.expect(rf"ADD NOW {i}")
        g.send("\x1d")
        g.expect("verdin")
        g.send(f"disk add {path}\r\r")
        g.expect(rf"REMOVE NOW {i}")
        g.send("\x1d")
        g.send("disk remove scsi0:0\r\r")
    g.verdicts()
    g.ends(0)
    g.no_complaints()
    fsck(t, path)


@test
def flushed_data_outlives_a_killed_worker(t):
    path = image(t, "crash", 64 << 20, fmt="vhdx")
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda; mount -t ext4 /dev/sda /mnt
echo precious >/mnt/kept; sync
echo "KILL ME"
while :; do dd if=/dev/urandom of=/mnt/noise bs=16k count=200 2>/dev/null; done
''', modules=STORAGE, args=["--disk", path])
    g.expect("KILL ME")
    time.sleep(1)
    g.p.kill()
    g.p.wait()
    p = subprocess.run([os.path.join(build_dir(), "verdin"), "disk", "check", path], check=False,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # 3: good, but space that was allocated ahead is lost (verdin-disk(1)).
    t.check("the image passes its check", p.returncode in (0, 3))
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
check "the journal recovers" 'mount -t ext4 /dev/sda /mnt'
check "flushed data is there" '[ "$(cat /mnt/kept)" = precious ]'
umount /mnt
''', modules=STORAGE, args=["--disk", path])
    g.verdicts()
    g.ends(0)
    fsck(t, path)


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
