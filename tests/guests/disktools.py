#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks as the guest's own tools see them: sg3-utils, hdparm, eject agree with what we claim.

The tools are the host's, copied into the guest with their libraries.
"""
import os
import subprocess

from disks import HELPERS, NO_VMBUS, STORAGE, VERDIN, image
from guest import Guest, host_programs, main, test

SAYS = r"""
# says WHAT COMMAND PATTERN...: the command succeeds, and its output has a line with each pattern
says() {
    what=$1 command=$2; shift 2
    $command >/tmp/said 2>&1 || { echo "VERDICT not ok $what: $command ends with $?"; sed 's/^/# /' /tmp/said; return; }
    for p; do
        grep -qE "$p" /tmp/said || { echo "VERDICT not ok $what: no '$p'"; sed 's/^/# /' /tmp/said; return; }
    done
    echo "VERDICT ok $what"
}
# refused WHAT COMMAND PATTERN: it fails, and says so
refused() {
    $2 >/tmp/said 2>&1 && { echo "VERDICT not ok $1: it succeeds"; return; }
    grep -qiE "$3" /tmp/said && echo "VERDICT ok $1" || { echo "VERDICT not ok $1: no '$3'"; sed 's/^/# /' /tmp/said; }
}
"""


def vhdx(t, name, size, *options):
    path = os.path.join(t.folder, name)
    subprocess.run([VERDIN, "disk", "create", "--quiet", path, "--size", size, *options], check=True)
    return path


@test
def scsi_disk(t):
    path = vhdx(t, "disk.vhdx", "3G")
    g = Guest(t, "cloud-amd64", HELPERS + SAYS + r"""
wait_for /dev/sda
says "INQUIRY" "sg_inq /dev/sda" "version=0x06 +.SPC-4" "Vendor identification: Msft" \
    "Product identification: Virtual Disk" "SCSI transport.*|Peripheral device type: disk"
says "the list of VPD pages" "sg_vpd /dev/sda" "Supported VPD pages" "Unit serial number" \
    "Device identification" "Block limits" "Block device characteristics" "Logical block provisioning"
says "VPD 80" "sg_vpd -p sn /dev/sda" "Unit serial number: [0-9A-Za-z-]{8,}"
says "VPD 83" "sg_vpd -p di /dev/sda" "NAA" "T10 vendor identification" "vendor id: Msft"
says "VPD B0" "sg_vpd -p bl /dev/sda" "Maximum unmap LBA count: (4294967295|-1)" "Maximum unmap block descriptor count: [1-9]" \
    "Optimal unmap granularity: [1-9][0-9]* blocks" "Optimal transfer length granularity: 8 blocks"
says "VPD B1" "sg_vpd -p bdc /dev/sda" "Non-rotating medium"
says "VPD B2" "sg_vpd -p lbpv /dev/sda" "Unmap command supported .LBPU.: 1" \
    "Write same .16. with unmap bit supported .LBPWS.: 1" "Provisioning type: 2|thin"
check "the serial number is sysfs's" '[ "$(sg_vpd -p sn /dev/sda | sed -n "s/.*number: //p")" = "$(tail -c +5 /sys/block/sda/device/vpd_pg80 | tr -d " ")" ]'
says "READ CAPACITY 10" "sg_readcap /dev/sda" "Last LBA=6291455" "block length=512"
says "READ CAPACITY 16" "sg_readcap -l /dev/sda" "Last LBA=6291455" "lbpme=1" "per physical block exponent=3"
says "REPORT LUNS" "sg_luns /dev/sda" "Lun list length = 8" "0000000000000000"
says "TEST UNIT READY" "sg_turs /dev/sda"
says "REQUEST SENSE" "sg_requests /dev/sda" "No Sense|no sense"
says "MODE SENSE" "sg_modes /dev/sda" "Caching" "Control"
says "VERIFY" "sg_verify -l 100 -c 64 /dev/sda"
says "SYNCHRONIZE CACHE" "sg_sync /dev/sda"
says "REPORT SUPPORTED OPCODES" "sg_opcodes /dev/sda" "42 .*Unmap" "5e .*Persistent reserve in" "8a .*Write.16."
dd if=/dev/urandom of=/tmp/r bs=64k count=4 2>/dev/null
dd if=/tmp/r of=/dev/sda bs=64k seek=16 conv=fsync 2>/dev/null
says "UNMAP" "sg_unmap -l 2048 -n 512 --force /dev/sda"
check "blkdiscard" 'blkdiscard -o 2097152 -l 1048576 /dev/sda'
check "VERIFY compares: the same" 'dd if=/tmp/r of=/dev/sda bs=64k seek=64 conv=fsync 2>/dev/null; sg_verify -l 8192 -c 128 -n 65536 -i /tmp/r /dev/sda'
refused "VERIFY compares: another" "sg_verify -l 8193 -c 128 -n 65536 -i /tmp/r /dev/sda" "miscompare"
refused "beyond the end" "sg_verify -l 6291456 -c 1 /dev/sda" "out of range"
says "STOP" "sg_start --stop /dev/sda"
refused "stopped it is not ready" "sg_turs -v /dev/sda" "not ready"
says "START" "sg_start --start /dev/sda"
says "it is ready" "sg_turs /dev/sda"
""", modules=STORAGE + ["sg"], args=["--disk", path],
              files=host_programs("sg_inq", "sg_vpd", "sg_readcap", "sg_luns", "sg_turs", "sg_modes",
                                  "sg_requests", "sg_verify", "sg_sync", "sg_opcodes", "sg_unmap",
                                  "sg_start"))
    g.verdicts()
    g.ends(0)
    g.no_complaints()


@test
def persistent_reservations(t):
    a, b = vhdx(t, "a.vhdx", "1G"), vhdx(t, "4k.vhdx", "1G", "--sector-size", "4096")
    g = Guest(t, "cloud-amd64", HELPERS + SAYS + r"""
wait_for /dev/sda; wait_for /dev/sdb
big=sda; [ $(cat /sys/block/sda/queue/logical_block_size) = 4096 ] || big=sdb
pr="sg_persist -n"
says "capabilities" "$pr -i -c /dev/sda" "Write Exclusive: 1" "Exclusive Access: 1" "Exclusive Access, [Aa]ll [Rr]egistrants: 1" \
    "Persist Through Power Loss Capable ?.PTPL_C.: 0"
says "no key yet" "$pr -i -k /dev/sda" "there are NO registered reservation keys"
refused "reserve without a key" "$pr -o -R -K 0xabc -T 5 /dev/sda" "conflict"
says "register" "$pr -o -G -S 0xabc /dev/sda"
says "the key is there" "$pr -i -k /dev/sda" "PR generation=0x1, 1 registered" "0xabc"
says "no reservation yet" "$pr -i -r /dev/sda" "there is NO reservation held"
refused "a wrong key" "$pr -o -R -K 0xabd -T 5 /dev/sda" "conflict"
says "reserve" "$pr -o -R -K 0xabc -T 5 /dev/sda"
says "the reservation" "$pr -i -r /dev/sda" "Key=0xabc" "scope: LU_SCOPE, +type: Write Exclusive, registrants only"
says "full status" "$pr -i -s /dev/sda" "Key=0xabc" "Reservation holder"
check "the holder writes" 'dd if=/dev/urandom of=/dev/sda bs=4k count=16 conv=fsync,notrunc 2>/dev/null'
says "another type by preemption of oneself" "$pr -o -P -K 0xabc -S 0xabc -T 6 /dev/sda"
says "it is that type" "$pr -i -r /dev/sda" "Exclusive Access, registrants only"
echo "SAVE NOW"
read line
says "the reservation after the save" "$pr -i -r /dev/sda" "Key=0xabc" "Exclusive Access, registrants only"
check "the holder still writes" 'dd if=/dev/urandom of=/dev/sda bs=4k count=16 conv=fsync,notrunc 2>/dev/null'
says "release" "$pr -o -L -K 0xabc -T 6 /dev/sda"
says "clear" "$pr -o -C -K 0xabc /dev/sda"
says "no key any more" "$pr -i -k /dev/sda" "there are NO registered reservation keys"
says "4Kn: INQUIRY" "sg_inq /dev/$big" "Virtual Disk"
says "4Kn: READ CAPACITY" "sg_readcap -l /dev/$big" "Logical block length=4096 bytes" "Last LBA=262143"
check "4Kn: it can be written" 'dd if=/dev/urandom of=/tmp/r bs=4096 count=30 2>/dev/null; dd if=/tmp/r of=/dev/$big bs=4096 seek=262114 conv=fsync,notrunc 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches; dd if=/dev/$big bs=4096 skip=262114 of=/tmp/s 2>/dev/null; cmp /tmp/r /tmp/s'
""", modules=STORAGE + ["sg"], args=["--disk", a, "--disk", b], memory="256M", terminal=True,
              files=host_programs("sg_persist", "sg_inq", "sg_readcap"))
    g.expect("SAVE NOW")
    saved = os.path.join(t.folder, "saved")
    g.send(f"\x1dsave {saved}\r")
    g.expect(r"saved; the machine is paused", seconds=60)
    g.send("quit\r")
    g.ends(0)
    g.seen = 0
    g.verdicts(until="SAVE NOW")
    kernel = g.command[g.command.index("--kernel") + 1]
    g = Guest(t, "cloud-amd64", None, memory="256M", terminal=True, restore=saved,
              args=["--kernel", kernel, "--disk", a, "--disk", b])
    g.send("\n")
    g.verdicts()
    g.ends(0)
    g.no_complaints()


@test
def ide_disk(t):
    path = vhdx(t, "disk.vhdx", "200G")
    g = Guest(t, "cloud-amd64", HELPERS + SAYS + r"""
wait_for /dev/sda
says "IDENTIFY" "hdparm -I /dev/sda" "Model Number: +Virtual HD" "Serial Number: +VERDIN00" "LBA48 +user addressable sectors: +419430400" \
    "Logical +Sector size: +512 bytes" "Physical Sector size: +4096 bytes" "\\*udma" "\\*[[:space:]]+48-bit Address" \
    "\\*[[:space:]]+Write cache" "\\*[[:space:]]+Mandatory FLUSH_CACHE" "\\*[[:space:]]+FLUSH_CACHE_EXT" "\\*[[:space:]]+WRITE_.*FUA" "\\*[[:space:]]+Data Set Management TRIM supported" \
    "Nominal Media Rotation Rate: Solid State|solid state"
says "geometry" "hdparm -g /dev/sda" "sectors = 419430400"
says "power mode" "hdparm -C /dev/sda" "active/idle"
says "write cache off" "hdparm -W0 /dev/sda" "write-caching = +0 .off."
check "the kernel sees it" 'echo 1 >/sys/block/sda/device/rescan; grep -q "write through" /sys/block/sda/queue/write_cache'
says "write cache on" "hdparm -W1 /dev/sda" "write-caching = +1 .on."
says "flush" "hdparm -f -F /dev/sda"
dd if=/dev/urandom of=/tmp/r bs=1M count=2 2>/dev/null
dd if=/tmp/r of=/dev/sda bs=1M seek=204798 conv=fsync,notrunc 2>/dev/null
says "a sector as hdparm reads it" "hdparm --read-sector 419426304 /dev/sda" "succeeded"
words() { tr -d " \n" | tr A-F a-f; }
check "it is the right one" '[ "$(hdparm --read-sector 419426304 /dev/sda | grep -E "^[0-9a-f]{4} " | words)" = "$(head -c 512 /tmp/r | od -An -v -tx1 | words)" ]'
check "it is the right one" '[ "$(hdparm --read-sector 419426304 /dev/sda | grep -E "^[0-9a-f]{4} " | words)" = "$(head -c 512 /tmp/r | od -An -v -tx1 | words)" ]'
hdparm --read-sector 419426304 /dev/sda | grep -E "^[0-9a-f]{4} " | words | head -c 200; echo; head -c 512 /tmp/r | od -An -v -tx1 | words | head -c 200; echo
says "TRIM" "hdparm --please-destroy-my-drive --trim-sector-ranges 419426304:4096 /dev/sda" "succeeded"
says "beyond the end: illegal request, LBA out of range" "hdparm --read-sector 419430400 /dev/sda" "70 00 05 .* 21 00|FAILED"
says "standby" "hdparm -y /dev/sda" "standby"
check "it comes back" 'dd if=/dev/sda of=/dev/null bs=1M count=1 2>/dev/null'
says "SCSI tools through libata" "sg_inq /dev/sda" "Vendor identification: ATA" "Product identification: Virtual HD"
""", modules=NO_VMBUS + ["sg"], args=["--disk", f"{path},bus=ide"],
              append="ata_piix.prefer_ms_hyperv=0", files=host_programs("hdparm", "sg_inq"))
    g.verdicts()
    g.ends(0)


@test
def drive(t):
    iso, other = image(t, "one", 2 << 20, None), image(t, "two", 4 << 20, None)
    for path in iso, other:
        with open(path, "r+b") as f:
            f.write(os.path.basename(path).encode() + os.urandom(1 << 20))
    g = Guest(t, "cloud-amd64", HELPERS + SAYS + r"""
wait_for /dev/sr0
says "INQUIRY" "sg_inq /dev/sr0" "PDT=5 +RMB=1|PQual=0  Device_type=5  RMB=1" "Peripheral device type: cd/dvd" "Virtual (CD|DVD)"
says "capabilities" "sg_modes -p 0x2a /dev/sr0" "CD/DVD|capabilities"
says "READ TOC" "sg_raw -r 12 /dev/sr0 43 00 00 00 00 00 00 00 0c 00" "Received 12 bytes"
check "the medium" '[ "$(head -c 7 /dev/sr0)" = one.raw ]'
exec 5</dev/sr0
refused "no eject while it is open: the kernel has locked it" "sg_raw /dev/sr0 1b 00 00 00 02 00" "illegal request|medium removal prevented"
exec 5<&-
says "eject" "eject /dev/sr0"
refused "it is not ready" "sg_turs -v /dev/sr0" "not ready|medium not present"
check "no medium" '! head -c 7 /dev/sr0 >/dev/null 2>&1'
says "the tray closes, empty" "eject -t /dev/sr0"
refused "it is not ready" "sg_turs -v /dev/sr0" "not ready|medium not present"
echo "INSERT NOW"
n=0; while [ "$(head -c 7 /dev/sr0 2>/dev/null)" != two.raw ] && [ $n -lt 50 ]; do n=$((n + 1)); usleep 200000; done
check "another medium" '[ "$(head -c 7 /dev/sr0)" = two.raw ]'
check "its size: $(cat /sys/block/sr0/size)" '[ $(cat /sys/block/sr0/size) = 8192 ]'
says "ready" "sg_turs /dev/sr0"
""", modules=STORAGE + ["sg"], terminal=True, args=["--cdrom", iso],
              files=host_programs("sg_inq", "sg_modes", "sg_raw", "sg_start", "sg_turs", "eject"))
    g.expect("INSERT NOW")
    g.send("\x1d")
    g.expect("verdin")
    g.send(f"disk insert ide1:0 {other}\r\r")
    g.seen = 0
    g.verdicts()
    g.ends(0)
    t.check("the user is told", "ejected the medium" in g.stderr())


main()
