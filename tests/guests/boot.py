#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels boot, see Hyper-V, VMBus and its services, and have nothing to complain of."""
import os

from guest import ENGINE, Guest, main, test, variants

CHECKS = r'''
check() { if eval "$2"; then echo "VERDICT ok $1"; else echo "VERDICT not ok $1"; fi; }
dmesg >/tmp/dmesg
said() { grep -q "$1" /tmp/dmesg; }
# Devices are offered and bound while we look.
bound() {
    for i in 1 2 3 4 5 6 7 8 9 10; do
        for d in /sys/bus/vmbus/devices/*; do
            [ "$(cat $d/class_id 2>/dev/null)" = "{$1}" ] && [ -e $d/driver ] &&
                [ "$(basename $(readlink $d/driver))" = hv_utils ] && return 0
        done
        usleep 300000
    done
    return 1
}
'''
HYPERV = r'''
check "hypervisor detected" 'said "Hypervisor detected: Microsoft Hyper-V"'
check "VMBus version negotiated" 'said "Vmbus version:[0-9.]*"'
check "heartbeat bound" 'bound 57164f39-9115-4e78-ab55-382f3bd5422d'
check "shutdown bound" 'bound 0e0b6031-5213-4934-818b-38d90ced39db'
check "time sync bound" 'bound 9527e630-d0ae-497b-adce-e80ab0175caf'
check "DMI product" '[ "$(cat /sys/class/dmi/id/product_name)" = "Virtual Machine" ]'
check "Hyper-V interrupts are counted" 'grep -q "HYP:.*[1-9]" /proc/interrupts'
'''
COMMON = r'''
check "%(cpus)d CPUs online" '[ $(nproc) = %(cpus)d ]'
check "clock source $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" \
    'grep -qE "tsc|hyperv%(clock)s" /sys/devices/system/clocksource/clocksource0/current_clocksource'
a=$(cut -d. -f1 /proc/uptime); sleep 2; b=$(cut -d. -f1 /proc/uptime)
check "two seconds last $((b - a))" '[ $((b - a)) -ge 2 ] && [ $((b - a)) -le 3 ]'
each() { for c in $(seq 0 $((%(cpus)d - 1))); do taskset -c $c true || return 1; done; }
check "each CPU works" each
check "year is $(date +%%Y)" '[ $(date +%%Y) -ge 2024 ]'
'''


def boot(t, flavour, cpus, append="", hyperv=True, end="", **kw):
    payload = CHECKS + (HYPERV if hyperv and ENGINE != "qemu" else "") + COMMON % {
        "cpus": cpus, "clock": "|hpet" if ENGINE == "qemu" else ""} + end
    if ENGINE == "qemu":
        kw["modules"] = []
    g = Guest(t, flavour, payload, cpus=cpus, append=append, **kw)
    g.verdicts()
    g.ends(0)
    g.no_complaints()


def disk(t):
    path = os.path.join(t.folder, "disk.raw")
    with open(path, "wb") as f:
        f.truncate(8 << 20)
    return path + ",bus=scsi"


@variants("boot_{}_with_{}_cpus", [("cloud-amd64", 1), ("cloud-amd64", 2), ("cloud-amd64", 4),
                                   ("amd64", 2), ("686-pae", 1), ("686-pae", 2)])
def boots(t, flavour, cpus):
    boot(t, flavour, cpus)


@variants("vmbus_{}_{}", [(5, 2), (5, 1), (4, 1), (4, 0), (3, 0)])
def older_vmbus(t, major, minor):
    """The driver as that of an older kernel, whose newest version this is."""
    g = Guest(t, "cloud-amd64", CHECKS + f'''
check "VMBus version {major}.{minor}" 'said "Vmbus version:{major}.{minor}"'
check "the disk is read" 'for i in $(seq 50); do [ -e /dev/sda ] && break; usleep 100000; done;
    dd if=/dev/sda of=/dev/null bs=1M 2>/dev/null'
check "heartbeat bound" 'bound 57164f39-9115-4e78-ab55-382f3bd5422d'
check "shutdown bound" 'bound 0e0b6031-5213-4934-818b-38d90ced39db'
check "time sync bound" 'bound 9527e630-d0ae-497b-adce-e80ab0175caf'
''', cpus=2, append=f"hv_vmbus.max_version={major << 16 | minor}", args=["--disk", disk(t)],
              modules=["hv_vmbus", "hv_utils", "hv_storvsc", "sd_mod"])
    g.verdicts()
    g.ends(0)
    g.no_complaints()


@variants("memory_of_{}", [("96M",), ("3G",), ("5G",)])
def memory(t, size):
    mib = int(size[:-1]) * (1024 if size[-1] == "G" else 1)
    payload = CHECKS + f'''
kib=$(awk '/MemTotal/ {{ print $2 }}' /proc/meminfo)
check "MemTotal $kib KiB" '[ $kib -gt $(({mib} * 1024 * 60 / 100)) ] && [ $kib -le $(({mib} * 1024)) ]'
check "memory can be written" 'dd if=/dev/urandom of=/tmp/f bs=1M count=4 2>/dev/null && cp /tmp/f /tmp/g && cmp /tmp/f /tmp/g'
'''
    g = Guest(t, "cloud-amd64", payload, memory=size)
    g.verdicts()
    g.ends(0)
    g.no_complaints()


@test
def without_acpi_by_the_mp_table(t):
    # Without ACPI there is no power-off.  (The cloud kernel does not read MP tables.)
    boot(t, "amd64", 2, append="acpi=off reboot=k", hyperv=False, modules=[],
         end="echo PAYLOAD ENDS; reboot -f", args=["--no-reboot"])


main()
