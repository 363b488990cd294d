#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The same work in the guest and on the host gives the same results."""
import os
import subprocess
import tempfile

from guest import FLAVOURS, HERE, Guest, busybox, main, variants

SCRIPT = os.path.join(HERE, "workload.sh")


def on_host():
    """Lines 'name: sum' of the script under the guest's own busybox."""
    with tempfile.TemporaryDirectory() as d:
        bb = busybox()
        subprocess.run([bb, "--install", "-s", d], check=True)
        work = os.path.join(d, "work")
        os.mkdir(work)
        r = subprocess.run([bb, "sh", SCRIPT], cwd=work, capture_output=True, text=True,
                           env={"PATH": d}, check=True)
        return r.stdout.splitlines()


@variants("workload_{}_with_{}_cpus", [("cloud-amd64", 1), ("cloud-amd64", 2), ("686-pae", 1)])
def workload(t, flavour, cpus):
    want = on_host()
    g = Guest(t, flavour, "cd /tmp; dmesg -n 1; echo BEGIN; sh /workload; echo END\n", cpus=cpus,
              modules=[], files=[f"{SCRIPT}:workload"])
    g.expect(r"^BEGIN\n")
    begin = g.seen
    g.expect(r"^END\n")
    got = [line for line in g.text[begin:g.seen].splitlines() if line != "END"]
    g.ends(0)
    g.no_complaints()
    got = [line for line in got if ": " in line and len(line.split(": ")[1]) == 32]
    t.check(f"{len(want)} results", len(got) == len(want) and len(want) == 16)
    for w, result in zip(want, got):
        if w != result:
            t.failures.append(f"host {w}, guest {result}")


main()
