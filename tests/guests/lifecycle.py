#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Reboot, power-off, shutdown by the integration service, panic, triple fault, time-out."""
import os
import re

from guest import ENGINE, HV_MODULES, Guest, Skip, main, test, variants

# Says which boot this is by the kernel's random boot id, then does what the console is told.
ASK = r'''
echo "BOOT $(cat /proc/sys/kernel/random/boot_id)"
while read -r line; do
    case $line in
    reboot) reboot -f ;;
    off) poweroff -f ;;
    panic) echo c >/proc/sysrq-trigger ;;
    echo*) $line ;;
    esac
    sleep 1
done
'''


def only_verdin():
    if ENGINE == "qemu":
        raise Skip("not QEMU's business")


@variants("reboots_with_reboot={}", [("k",), ("a",), ("p",)])
def reboots(t, how):
    if ENGINE == "qemu" and how == "p":
        raise Skip("QEMU hangs here")
    g = Guest(t, "cloud-amd64", ASK, cpus=2, append=f"reboot={how}")
    ids = set()
    for _ in range(3):
        ids.add(g.expect(r"^BOOT ([0-9a-f-]{36})\n").group(1))
        if len(ids) < 3:
            g.send("reboot\n")
    t.check("three boots", len(ids) == 3)
    g.send("off\n")
    g.ends(0)
    g.no_complaints()


@test
def no_reboot_makes_it_an_end(t):
    g = Guest(t, "cloud-amd64", ASK, args=["--no-reboot"])
    g.expect(r"^BOOT ")
    g.send("reboot\n")
    g.ends(0)


@test
def shutdown_by_the_integration_service(t):
    only_verdin()
    g = Guest(t, "cloud-amd64", ASK, cpus=2, terminal=True)
    g.expect(r"^BOOT ")
    g.send("\x1dshutdown\r")
    g.expect(r"^ORDERLY POWEROFF", seconds=20)
    g.ends(0)
    g.no_complaints()


@test
def power_button(t):
    only_verdin()
    # The kernel tells user space by an input event: type 1, code 116, value 1.
    g = Guest(t, "cloud-amd64", r'''
for e in /sys/class/input/event*; do
    grep -q "Power Button" $e/device/name && dev=/dev/input/$(basename $e)
done
dd if=$dev of=/tmp/event bs=24 count=1 2>/dev/null &
sleep 1
echo "BOOT listening on $dev"
wait
od -t u2 /tmp/event
''', modules=HV_MODULES + ["evdev", "button"], terminal=True)
    g.expect(r"^BOOT listening on /dev/input/event")
    g.send("\x1dpower-button\r")
    g.expect(r"^0000020 +1 +116 +1 ", seconds=20)
    g.ends(0)


@test
def panic_reports_its_values(t):
    only_verdin()
    g = Guest(t, "cloud-amd64", ASK, cpus=2, append="panic=1", args=["--no-reboot"])
    g.expect(r"^BOOT ")
    g.send("panic\n")
    g.expect(r"Kernel panic - not syncing: sysrq triggered crash", seconds=20)
    g.ends(0)
    words = g.stderr()
    t.check("the five crash values are reported",
            re.search(r"(crash|panic).*(0x)?[0-9a-f]+ (0x)?[0-9a-f]+ (0x)?[0-9a-f]+ (0x)?[0-9a-f]+ "
                      r"(0x)?[0-9a-f]+", words, re.I | re.S) is not None)
    t.note(words.strip().split("\n")[0])


@test
def a_panic_that_waits_ends_by_timeout(t):
    only_verdin()
    g = Guest(t, "cloud-amd64", "echo c >/proc/sysrq-trigger", modules=[], args=["--timeout", "25"])
    g.expect(r"Kernel panic - not syncing: sysrq triggered crash")
    g.ends(3)


@test
def triple_fault_is_a_death_with_words(t):
    only_verdin()
    g = Guest(t, "cloud-amd64", ASK, append="reboot=t", args=["--no-reboot"], modules=[])
    g.expect(r"^BOOT ")
    g.send("reboot\n")
    g.ends(2)
    words = g.stderr()
    t.check("one line says what, where and in which mode",
            re.search(r"the guest died: VP 0: triple fault at RIP .*64-bit, CPL 0", words, re.I) is not None)
    t.note(words.strip())


@test
def monitor_pause_registers_continue(t):
    only_verdin()
    g = Guest(t, "cloud-amd64", ASK, cpus=2, terminal=True)
    g.expect(r"^BOOT ")
    g.send("\x1dpause\r")
    g.expect(r"\(paused\)> ", seconds=10)
    g.send("registers\r")
    g.expect(r"(?i)rip", seconds=10)
    g.send("counters\r")
    g.expect(r"\(paused\)> ", seconds=10)
    g.send("continue\r")
    g.send("echo alive\n")
    g.expect(r"^alive\n", seconds=10)
    g.send("off\n")
    g.ends(0)
    g.no_complaints()


@variants("saved_and_restored_with_{}_cpus", [(1,), (2,)])
def save_restore(t, cpus):
    only_verdin()
    # A program that computes across the save, and a timer.
    payload = r'''
echo BOOT
n=0
while [ $n -lt 12 ]; do
    n=$((n + 1))
    echo "COUNT $n $(head -c 100000 /bin/busybox | sha256sum | cut -c1-16)"
    usleep 300000
done
dmesg | grep -c COUNT
'''
    saved = os.path.join(t.folder, "saved")
    g = Guest(t, "cloud-amd64", payload, cpus=cpus, memory="256M", terminal=True)
    words = g.expect(r"^COUNT 3 (\w+)\n").group(1)
    g.send(f"\x1dsave {saved}\r")
    g.expect(r"saved; the machine is paused", seconds=30)
    g.send("quit\r")
    g.ends(0)
    g = Guest(t, "cloud-amd64", None, cpus=cpus, memory="256M", restore=saved)
    first = int(g.expect(r"^COUNT (\d+) ", seconds=20).group(1))
    t.check(f"goes on at {first}", 3 <= first <= 6)
    t.check("computes the same", g.expect(r"^COUNT 12 (\w+)\n").group(1) == words)
    g.ends(0)
    g.no_complaints()


main()
