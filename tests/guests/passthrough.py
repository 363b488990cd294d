#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A block device of the host as a guest's disk: size, sectors, discard and write protection."""
import os
import shutil
import subprocess

from guest import Guest, Skip, main, test, variants

MODULES = ["hv_vmbus", "hv_utils", "hv_storvsc", "sd_mod"]
MIB = 1 << 20


class Loop:
    def __init__(self, t, size, *options):
        if os.geteuid() != 0 or not shutil.which("losetup"):
            raise Skip("needs root and losetup")
        self.file = os.path.join(t.folder, "back")
        with open(self.file, "ab") as f:
            f.truncate(size)
        p = subprocess.run(["losetup", "--find", "--show", *options, self.file],
                           capture_output=True, text=True, check=False)
        if p.returncode:
            raise Skip("no loop devices here")
        self.dev = p.stdout.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["losetup", "-d", self.dev], check=True)


CHECKS = r'''
check() { if eval "$2"; then echo "VERDICT ok $1"; else echo "VERDICT not ok $1"; fi; }
wait_for() { for i in $(seq 100); do [ -e $1 ] && return 0; usleep 200000; done; return 1; }
wait_for /dev/sda
q=/sys/block/sda/queue
check "size $(cat /sys/block/sda/size)" '[ $(cat /sys/block/sda/size) = %(sectors)d ]'
check "sectors of $(cat $q/logical_block_size)" '[ $(cat $q/logical_block_size) = %(block)d ]'
'''

WRITES = r'''
check "writes" 'yes through | head -c 4194304 | dd of=/dev/sda bs=1M oflag=direct 2>/dev/null'
yes gone | head -c 16777216 | dd of=/dev/sda bs=1M seek=16 conv=fsync 2>/dev/null
check "discard is offered" '[ $(cat $q/discard_max_bytes) -gt 0 ]'
check "discards" 'blkdiscard -o 16777216 -l 16777216 /dev/sda'
sync
'''


@variants("passthrough_of_sectors_of_{}", [(512,), (4096,)])
def passthrough(t, block):
    with Loop(t, 64 * MIB, "--sector-size", str(block)) as loop:
        g = Guest(t, "cloud-amd64", CHECKS % {"sectors": 64 * MIB // 512, "block": block} + WRITES,
                  modules=MODULES, args=["--disk", f"{loop.dev},bus=scsi"])
        g.verdicts()
        g.ends(0)
        g.no_complaints()
        with open(loop.dev, "rb") as f:
            t.check("what the guest wrote is on the device", f.read(16) == b"through\nthrough\n")
        used = os.stat(loop.file).st_blocks * 512
        t.check(f"what it gave up is free: {used >> 20} MiB are used", used < 8 * MIB)


@test
def a_read_only_device_is_write_protected(t):
    with Loop(t, 16 * MIB, "--read-only") as loop:
        g = Guest(t, "cloud-amd64", CHECKS % {"sectors": 16 * MIB // 512, "block": 512} + r'''
check "it is read-only" '[ $(cat /sys/block/sda/ro) = 1 ]'
check "writing fails" '! dd if=/dev/zero of=/dev/sda bs=4k count=1 conv=fsync 2>/dev/null'
''', modules=MODULES, args=["--disk", f"{loop.dev},bus=scsi,ro"])
        g.verdicts()
        g.ends(0)


main()
