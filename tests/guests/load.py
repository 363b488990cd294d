#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Under load the guest's clocks and timers keep step with the host's."""
import re
import time

from guest import Guest, main, variants

PAYLOAD = r'''
spin() { while :; do i=$((i + 1)); done; }
grind() { while :; do dd if=/dev/zero bs=64k count=64 2>/dev/null | sha256sum >/dev/null; done; }
files() { while :; do mkdir /tmp/d; for i in 1 2 3 4 5 6 7 8; do cp /bin/busybox /tmp/d/$i; done; rm -r /tmp/d; done; }
forks() { while :; do (true); (true) | (true); done; }
for w in spin grind files forks; do $w & done
for i in 1 2 3 4 5 6 7 8; do
    echo "TICK $i $(cut -d' ' -f1 /proc/uptime) $(date +%s)"
    sleep 2
done
kill $(jobs -p)
echo "TIMERS $(grep -c . /proc/interrupts)"
dmesg | tail -5
'''


@variants("timers_under_load_{}_with_{}_cpus", [("cloud-amd64", 1), ("cloud-amd64", 2)])
def load(t, flavour, cpus):
    g = Guest(t, flavour, PAYLOAD, cpus=cpus)
    ticks = []
    for i in range(1, 9):
        m = g.expect(rf"^TICK {i} ([0-9.]+) ([0-9]+)\n")
        ticks.append((time.monotonic(), float(m.group(1)), int(m.group(2)), time.time()))
    g.ends(0)
    g.no_complaints()
    host, guest = ticks[-1][0] - ticks[0][0], ticks[-1][1] - ticks[0][1]
    t.check(f"{guest:.2f} s of uptime in {host:.2f} s of the host", abs(guest - host) < 0.3)
    t.check(f"seven sleeps of 2 s took {guest:.2f} s", 14 <= guest < 18)
    wall = max(abs(w - at) for _, _, w, at in ticks)
    t.check(f"date is at most {wall:.1f} s off", wall < 2.5)


main()
