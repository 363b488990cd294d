#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot to power-off, and some work of programs on the way, with translator and interpreter in lock-step."""
import re

from guest import Guest, main, on_host, variants

WORK = r'''
words() { awk 'BEGIN { x = 1; for (i = 0; i < 300; i++) { x = (x * 16807) % 2147483647; printf "%08x w%d\n", x, x % 97 } }'; }
floats() { awk 'BEGIN { for (i = 1; i < 100; i++) { s += i / 7 - s / 3; printf "%.6f %.3e %d\n", s, s * s * 1e9, s } }'; }
words >w
words | cut -d' ' -f2 | sort | uniq -c | sort -rn | sha256sum
gzip -c w | gunzip -c | cmp - w && sed 's/\(.*\) w\(.*\)/\2:\1/' w | sha512sum | cut -c1-64
floats | md5sum
(sort -r w | cat | tr a-f A-F | tail -n 50 | md5sum) & wait
'''


@variants("lockstep_{}", [("cloud-amd64",)])
def lockstep(t, flavour):
    want = on_host("-c", WORK)
    g = Guest(t, flavour, "cd /tmp; dmesg -n 1; echo BEGIN\n" + WORK + "echo END\n", modules=[],
              args=["--soft-mode", "lockstep"], seconds=600)
    got = g.between("BEGIN", "END")
    g.ends(0)
    g.no_complaints()
    t.check(f"{len(want)} results as on the host", got == want and len(want) == 4)
    m = re.search(r"lock-step: VP 0: (\d+) pieces compared", g.stderr())
    t.check(f"{m and m.group(1)} pieces compared", m and int(m.group(1)) > 5_000_000)


main()
