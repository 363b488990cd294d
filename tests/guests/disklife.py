#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that come, go, and outlive their worker: hot add and remove, a crash, saved machines."""
import os
import re
import time

from disks import HELPERS, NO_VMBUS, STORAGE, VERDIN, fsck, image, run
from guest import Guest, main, test, variants


@test
def hot_add_and_remove_in_a_loop(t):
    '''Three disks a round, onto a busy controller with a channel a CPU.'''
    base = image(t, "base", 32 << 20)
    paths = [image(t, f"hot{i}", 16 << 20) for i in range(3)]
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
(while :; do cat /dev/sda >/dev/null; done) &
for round in 1 2 3 4 5 6; do
    echo "ADD NOW $round"
    for d in sdb sdc sdd; do
        wait_for /dev/$d || echo "VERDICT not ok disk $d of round $round did not come"
        mount -t ext4 /dev/$d /mnt && echo $round >>/mnt/rounds && umount /mnt || echo "VERDICT not ok mount of $d"
    done
    echo "REMOVE NOW $round"
    for d in sdb sdc sdd; do
        wait_gone /dev/$d || echo "VERDICT not ok disk $d of round $round did not go"
    done
done
kill $!
echo "VERDICT ok six rounds"
''', modules=STORAGE, cpus=2, terminal=True, args=["--disk", base])
    for i in range(1, 7):
        g.expect(rf"ADD NOW {i}")
        g.send("\x1d" + "".join(f"disk add {p}\r" for p in paths) + "\r")
        g.expect(rf"REMOVE NOW {i}")
        order = (1, 2, 3) if i % 2 else (3, 1, 2)
        g.send("\x1d" + "".join(f"disk remove scsi0:{n}\r" for n in order) + "\r")
    g.seen = 0
    g.verdicts()
    g.ends(0)
    g.no_complaints()
    for p in paths:
        fsck(t, p)


@test
def a_disk_is_pulled_out_under_load(t):
    '''Requests fail, nothing hangs, and the place takes another disk.'''
    first, second = image(t, "first", 64 << 20), image(t, "second", 32 << 20)
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
for i in 1 2 3; do
    (while dd if=/dev/urandom of=/dev/sda bs=64k count=100 seek=$((i * 200)) conv=notrunc,fsync 2>/dev/null; do :; done
     echo "WRITER $i HAS ENDED") &
done
sleep 1
echo "PULL NOW"
wait; wait_gone /dev/sda && echo "VERDICT ok it has gone"
echo "ADD NOW"
wait_for /dev/sda
check "another disk in its place" '[ $(cat /sys/block/sda/size) = 65536 ] && mount -t ext4 /dev/sda /mnt && umount /mnt'
''', modules=STORAGE, cpus=2, terminal=True, args=["--disk", first])
    g.expect("PULL NOW")
    g.send("\x1ddisk remove scsi0:0\r\r")
    g.expect("ADD NOW")
    g.send("\x1d")
    g.send(f"disk add {second}\r\r")
    g.seen = 0
    g.verdicts()
    g.ends(0)
    t.check("three writers have ended", g.text.count("HAS ENDED") == 3)
    t.check("the kernel is well", "Call Trace" not in g.text and "blocked for" not in g.text)


@test
def flushed_data_outlives_a_killed_worker(t):
    '''What the guest has been told is on the disk is there, on two file systems and formats.'''
    ext4 = image(t, "ext4", 64 << 20, "ext4", "vhdx")
    xfs = image(t, "xfs", 320 << 20, "xfs", "vhd")
    disks = ["--disk", ext4, "--disk", f"{xfs},bus=ide"]
    g = Guest(t, "cloud-amd64", HELPERS + r'''
disk=$(ls -d /sys/block/sd* | wc -l)
wait_for /dev/sda; wait_for /dev/sdb
for d in sda sdb; do
    [ $(cat /sys/block/$d/size) = 131072 ] && mount -t ext4 /dev/$d /mnt || mount -t xfs /dev/$d /mnt2
done
for m in /mnt /mnt2; do
    (n=0; while :; do
        n=$((n + 1)); head -c 40000 /dev/urandom | dd of=$m/$n bs=8k conv=fsync 2>/dev/null
        echo "FLUSHED $m/$n $(sha256sum <$m/$n | cut -c1-64)"
        [ $n -lt 40 ] || rm $m/$((n - 30))
    done) &
done
while :; do dd if=/dev/urandom of=/mnt/noise bs=16k count=200 2>/dev/null; done
''', modules=STORAGE + ["xfs"], args=disks)
    for m in "/mnt/12 ", "/mnt2/12 ":
        g.expect(f"FLUSHED {m}")
        g.seen = 0
    g.p.kill()
    g.p.wait()
    while g._take(0.1):
        pass
    flushed = re.findall(r"^FLUSHED (\S+) (\w{64})$", g.text, re.M)
    removed = {m: max(int(p.split("/")[2]) for p, _ in flushed if p.startswith(m + "/")) - 29
               for m in ("/mnt", "/mnt2")}
    sums = "".join(f"{sha}  {p}\n" for p, sha in flushed
                   if int(p.split("/")[2]) > removed["/" + p.split("/")[1]])
    t.note(f"{len(flushed)} files were flushed")
    for path in ext4, xfs:
        status, text = run(VERDIN, "disk", "check", path)
        # 3: good, but space that was allocated ahead is lost (verdin-disk(1)).
        t.check(f"{os.path.basename(path)} passes its check", status in (0, 3))
    listing = os.path.join(t.folder, "sums")
    with open(listing, "w", encoding="utf-8") as f:
        f.write(sums)
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda; wait_for /dev/sdb
for d in sda sdb; do
    [ $(cat /sys/block/$d/size) = 131072 ] && mount -t ext4 /dev/$d /mnt || mount -t xfs /dev/$d /mnt2
done
check "both journals recover" '[ $(mount | grep -c "^/dev/sd") = 2 ]'
check "flushed data is there" 'sha256sum -c /sums >/tmp/out || { grep -v OK /tmp/out; false; }'
umount /mnt /mnt2
''', modules=STORAGE + ["xfs"], args=disks, files=[f"{listing}:sums"])
    g.verdicts()
    g.ends(0)
    fsck(t, ext4)
    fsck(t, xfs, "xfs")


# Writers on every CPU and disk; each remembers what it wrote, in memory that is saved, too.
WRITERS = r'''
writer() { # CPU, folder
    for n in $(seq 10); do
        head -c 200000 /dev/urandom >/tmp/w$1
        taskset -c $1 dd if=/tmp/w$1 of=$2/$1.$n bs=20000 conv=fsync 2>/dev/null
        cmp /tmp/w$1 $2/$1.$n && sha256sum $2/$1.$n >>/tmp/sums$1
        [ $n != 3 ] && [ $n != 8 ] || echo "WRITER $1 IS AT $n"
    done
}
for c in $(seq 0 $((CPUS - 1))); do
    [ $((c % 2)) = 0 ] && writer $c /mnt & [ $((c % 2)) = 1 ] && writer $c /mnt2 &
done
wait
check "all was written" '[ $(cat /tmp/sums* | wc -l) = $((10 * CPUS)) ]'
umount /mnt /mnt2; echo 3 >/proc/sys/vm/drop_caches
mount -t ext4 /dev/sda /mnt; mount -t ext4 /dev/sdb /mnt2
check "checksums" 'cat /tmp/sums* | sha256sum -c >/tmp/out || { grep -v OK /tmp/out; false; }'
umount /mnt /mnt2
'''


@test
def a_driver_that_comes_back_has_all_its_channels(t):
    '''The driver is unbound and bound again: a channel for each CPU each time.'''
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
dev=$(readlink -f /sys/block/sda/device/../../..)
channels() { ls $dev/channels | wc -l; }
used() { n=0; for c in $dev/channels/*/; do [ $(cat $c/events) = 0 ] || n=$((n + 1)); done; echo $n; }
check "a channel for each CPU" '[ $(channels) = 4 ]'
for round in 1 2 3; do
    echo $(basename $dev) >/sys/bus/vmbus/drivers/hv_storvsc/unbind
    check "the disk is gone ($round)" '[ ! -e /sys/block/sda ]'
    echo $(basename $dev) >/sys/bus/vmbus/drivers/hv_storvsc/bind
    wait_for /dev/sda
    for i in $(seq 50); do [ $(channels) = 4 ] && break; usleep 100000; done
    check "a channel for each CPU again ($round)" '[ $(channels) = 4 ]'
    echo 3 >/proc/sys/vm/drop_caches
    for c in 0 1 2 3; do
        taskset -c $c dd if=/dev/sda of=/dev/null bs=64k count=16 skip=$((c * 16)) 2>/dev/null &
    done
    wait
    check "all are used ($round)" '[ $(used) = 4 ]'
done
''', cpus=4, modules=STORAGE, args=["--disk", image(t, "disk", 64 << 20, None)])
    g.verdicts()
    g.ends(0)
    g.no_complaints()


@test
def slow_disks_do_not_hold_up_an_end(t):
    path = image(t, "slow", 64 << 20, None)
    g = Guest(t, "cloud-amd64", HELPERS + r'''
wait_for /dev/sda
(sleep 1; echo "TERM NOW") &
dd if=/dev/zero of=/dev/sda bs=64k count=400 conv=fsync
''', modules=STORAGE, args=["--disk", f"{path},iops=20"])
    g.expect("TERM NOW")
    begin = time.monotonic()
    g.p.terminate()
    g.ends(128 + 15)
    t.check("at once", time.monotonic() - begin < 5)


@variants("saved_with_requests_in_flight_{}", [("on_four_channels", 4), ("of_ide_dma", 2)])
def saved(t, how, cpus):
    '''Disks so slow that there is always something in flight; saved twice, once in a row.'''
    by_dma = how == "of_ide_dma"
    bus = ["ide", "ide"] if by_dma else ["scsi", "ide"]
    paths = [image(t, "a", 64 << 20, "ext4", "vhdx"), image(t, "b", 64 << 20)]
    args = []
    for path, b in zip(paths, bus):
        args += ["--disk", f"{path},bus={b},iops={400 if by_dma else 250}"]
    begin = HELPERS + f"CPUS={cpus}\n" + r'''
wait_for /dev/sda; wait_for /dev/sdb
mount -t ext4 /dev/sda /mnt; mount -t ext4 /dev/sdb /mnt2
'''
    state = os.path.join(t.folder, "saved")
    g = Guest(t, "cloud-amd64", begin + WRITERS, cpus=cpus, memory="256M", terminal=True,
              modules=NO_VMBUS if by_dma else STORAGE, args=args,
              append="ata_piix.prefer_ms_hyperv=0" if by_dma else "")
    for c in range(cpus):
        g.expect(rf"WRITER {c} IS AT 3")
        g.seen = 0
    for i in range(2):
        if i:
            g.expect(r"WRITER . IS AT 8")
        g.send(f"\x1dsave {state}{i}\r")
        g.expect(r"saved; the machine is paused", seconds=60)
        g.send("quit\r")
        g.ends(0)
        t.check(f"the load goes on at save {i + 1}", "VERDICT" not in g.text)
        g = Guest(t, "cloud-amd64", None, cpus=cpus, memory="256M", terminal=True, args=args,
                  restore=f"{state}{i}")
    g.verdicts()
    g.ends(0)
    g.no_complaints()
    for path in paths:
        fsck(t, path)


main()
