#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The same work in the guest and on the host gives the same results."""
import os

from guest import HERE, Guest, main, on_host, variants

SCRIPT = os.path.join(HERE, "workload.sh")


@variants("workload_{}_with_{}_cpus", [("cloud-amd64", 1), ("cloud-amd64", 2), ("686-pae", 1)])
def workload(t, flavour, cpus):
    want = on_host(SCRIPT)
    g = Guest(t, flavour, "cd /tmp; dmesg -n 1; echo BEGIN; sh /workload; echo END\n", cpus=cpus,
              modules=[], files=[f"{SCRIPT}:workload"])
    got = g.between("BEGIN", "END")
    g.ends(0)
    g.no_complaints()
    got = [line for line in got if ": " in line and len(line.split(": ")[1]) == 32]
    t.check(f"{len(want)} results", len(got) == len(want) and len(want) == 16)
    for w, result in zip(want, got):
        if w != result:
            t.failures.append(f"host {w}, guest {result}")


main()
