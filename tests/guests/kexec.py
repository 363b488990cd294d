#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel that another one started finds VMBus again: after kexec, and as crash kernel after a panic.

The machine sees no reset then (--no-reboot would end the run): the old kernel unloads the bus, the new one makes contact anew, with
the rings, SynIC pages and hypercall page of its own.
"""
import hashlib
import os

from guest import ENGINE, Guest, Skip, build_dir, fetched, initramfs, main, test, variants

MODULES = ["hv_vmbus", "hv_utils", "hv_storvsc", "sd_mod"]
PATTERN = b"verdin keeps what it is given\n" * 1000

CHECKS = r'''
check() { if eval "$2"; then echo "VERDICT ok $1"; else echo "VERDICT not ok $1"; fi; }
said() { dmesg | grep -qE "$1"; }
wait_for() { for i in $(seq 100); do eval "$1" && return 0; usleep 200000; done; return 1; }
whole() { [ "$(head -c %(size)d /dev/sda 2>/dev/null | md5sum | cut -c1-32)" = %(md5)s ]; }
check "%(when)s: VMBus negotiated" 'wait_for "said Vmbus.version:5"'
check "%(when)s: the disk is there" 'wait_for whole'
for s in Heartbeat Shutdown TimeSync; do
    check "%(when)s: $s answers" "wait_for 'said \"$s IC version\"'"
done
'''

SECOND = r'''
check "reads past the cache" 'dd if=/dev/sda of=/dev/null bs=1M count=4 iflag=direct 2>/dev/null'
echo 'second was here' | dd of=/dev/sda bs=512 seek=%(end)d conv=notrunc,sync oflag=direct 2>/dev/null
'''


def the_pattern(when):
    return CHECKS % {"size": len(PATTERN), "md5": hashlib.md5(PATTERN).hexdigest(), "when": when}


def chain(t, how, end, cpus, append="", checks=""):
    """The first kernel loads the second one, does 'end', and the second looks around."""
    if ENGINE == "qemu":
        raise Skip("not QEMU's business")
    helper = os.path.join(build_dir(), "tests/guests/kexec")
    disk = os.path.join(t.folder, "disk.raw")
    with open(disk, "wb") as f:
        f.write(PATTERN)
        f.truncate(8 << 20)
    at_end = (4 << 20) // 512
    second = initramfs(t, "cloud-amd64",
                       the_pattern("second kernel") + checks + SECOND % {"end": at_end}, MODULES)
    inner = os.path.join(t.folder, "second.cpio")
    os.rename(second, inner)
    g = Guest(t, "cloud-amd64", the_pattern("first kernel") + f'''
kexec {how} /second/vmlinuz /second/initrd "console=ttyS0 {append}" && {end}
sleep 60
''', cpus=cpus, memory="768M", append="crashkernel=192M panic=1" if how == "panic" else "",
              modules=MODULES, args=["--disk", f"{disk},bus=scsi", "--no-reboot"],
              files=[f"{helper}:bin/kexec", f"{inner}:second/initrd",
                     os.path.join(fetched("cloud-amd64"), "vmlinuz") + ":second/vmlinuz"])
    g.verdicts()
    g.ends(0)
    with open(disk, "rb") as f:
        f.seek(at_end * 512)
        t.check("what the second kernel wrote is in the image", f.read(15) == b"second was here")
    return g


@variants("kexec_with_{}_cpus", [(1,), (2,)])
def kexec(t, cpus):
    g = chain(t, "now", "true", cpus, checks=f"check 'all CPUs came back' '[ $(nproc) = {cpus} ]'\n")
    g.no_complaints()


@test
def the_crash_kernel_has_its_disk(t):
    g = chain(t, "panic", "echo c >/proc/sysrq-trigger", 2, append="irqpoll nr_cpus=1 reset_devices",
              checks="check 'the dead kernel is in /proc/vmcore' '[ -s /proc/vmcore ]'\n")
    t.check("the first kernel panicked", "sysrq triggered crash" in g.text)


main()
