#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""storage.py [BUILD] [--rounds N] [--mode NAME] [--seconds S] [--no-write] - disks of guests, measured.

The same guest and image (raw, on tmpfs) through Verdin's synthetic SCSI controller, Verdin's legacy IDE
with DMA, and QEMU TCG's virtio-blk, by turns; medians of the rounds.  Prints the table and writes it
into docs/performance.md between its markers.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MARKS = ("<!-- guest storage: begin -->", "<!-- guest storage: end -->")
IMAGE_MIB = 512
LOADS = [("randread", 32), ("randwrite", 32), ("randread", 1), ("read", 32), ("write", 32)]
# Each with its device and its drivers, and no other's.
ENGINES = {
    "synthetic SCSI": ("sda", ["hv_vmbus", "hv_storvsc", "sd_mod"]),
    "legacy IDE": ("sda", ["ata_piix", "sd_mod"]),
    "QEMU virtio-blk": ("vda", ["virtio_pci", "virtio_blk"]),
}


def say(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, arg):
        self.arg = arg
        self.build = os.path.abspath(arg.build)
        self.folder = tempfile.mkdtemp(prefix="verdin-bench-",
                                       dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        subprocess.run([os.path.join(ROOT, "tools/fetch-guest"), "-b", self.build, "cloud-amd64",
                        "busybox-amd64"], check=True, stdout=sys.stderr)
        subprocess.run(["ninja", "-C", self.build, "tests/bench/iobench"], check=True,
                       stdout=subprocess.DEVNULL)
        self.kernel = os.path.join(self.build, "guests/cloud-amd64/vmlinuz")
        self.image = os.path.join(self.folder, "disk.raw")
        with open(self.image, "wb") as f: # all of it has space: nothing is allocated in a round
            for _ in range(IMAGE_MIB):
                f.write(os.urandom(1 << 20))

    def initrd(self, device, modules):
        payload = os.path.join(self.folder, "payload")
        with open(payload, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\ndmesg -n 1\n"
                    f"for i in $(seq 50); do [ -e /dev/{device} ] && break; usleep 200000; done\n"
                    f"readlink -f /sys/block/{device}/device | sed 's/^/AT /'\n")
            for load, depth in LOADS:
                f.write(f"/iobench /dev/{device} {load} {depth} {self.arg.seconds}\n")
        os.chmod(payload, 0o755)
        out = os.path.join(self.folder, "initrd")
        subprocess.run([os.path.join(ROOT, "tools/mkinitramfs"), "-o", out, "--init",
                        os.path.join(ROOT, "tests/guests/init"), "--busybox",
                        os.path.join(self.build, "guests/busybox-amd64/busybox"), "--guest",
                        os.path.dirname(self.kernel), "--add", f"{payload}:payload", "--add",
                        os.path.join(self.build, "tests/bench/iobench") + ":iobench",
                        *(a for m in modules for a in ("--module", m))], check=True)
        return out

    def command(self, engine):
        append = "console=ttyS0 quiet"
        initrd = self.initrd(*ENGINES[engine])
        if engine == "QEMU virtio-blk":
            return ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "512", "-kernel",
                    self.kernel, "-initrd", initrd, "-append", append, "-display", "none",
                    "-serial", "stdio", "-monitor", "none", "-no-reboot", "-drive",
                    f"file={self.image},format=raw,if=virtio,cache=writeback"]
        bus = "scsi"
        if engine == "legacy IDE": # the driver leaves disks of Hyper-V alone unless told not to
            bus, append = "ide", append + " ata_piix.prefer_ms_hyperv=0"
        return [os.path.join(self.build, "verdin"), "run", "--engine", "soft",
                *(["--soft-mode", self.arg.mode] if self.arg.mode else []), "--memory", "512M",
                "--kernel", self.kernel, "--initrd", initrd, "--append", append, "--disk",
                f"{self.image},bus={bus},format=raw"]

    def run(self, engine):
        p = subprocess.run(self.command(engine), stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, errors="replace", check=False)
        got = [(m.group(1), float(m.group(2)), float(m.group(3)))
               for m in re.finditer(r"^IO (\w+) (\d+) ([0-9.]+)", p.stdout, re.M)]
        if [g[0] for g in got] != [name for name, _ in LOADS]:
            raise SystemExit(f"bench: {engine}:\n" + p.stdout[-2000:] + p.stderr)
        want = {"synthetic SCSI": "MSFT1000", "legacy IDE": "/ata"}.get(engine)
        if want and want not in p.stdout:
            raise SystemExit(f"bench: {engine}: another driver took the disk:\n{p.stdout}")
        return got

    def measure(self):
        all_ = {e: [] for e in ENGINES}
        for i in range(self.arg.rounds):
            for engine, rounds in all_.items():
                say(f"storage: round {i + 1}, {engine}")
                rounds.append(self.run(engine))
        rows = [("", *ENGINES, "synthetic / IDE", "synthetic / virtio-blk")]
        for k, (load, depth) in enumerate(LOADS):
            small = load.startswith("rand")
            v = [statistics.median(r[k][1 if small else 2] for r in all_[e]) for e in ENGINES]
            rows.append((f"{'4K ' if small else '128K '}{load}, depth {depth}, "
                         f"{'requests' if small else 'MiB'} a second", *(f"{x:.0f}" for x in v),
                         f"{v[0] / v[1]:.2f}", f"{v[0] / v[2]:.2f}"))
        return rows


def write(rows):
    path = os.path.join(ROOT, "docs/performance.md")
    text = open(path, encoding="utf-8").read()
    begin, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    table = "".join("| " + " | ".join(r) + " |\n" + ("|---|" + "---:|" * (len(r) - 1) + "\n"
                                                    if r is rows[0] else "") for r in rows)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text[:begin] + "\n\n" + table + "\n" + text[end:])


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--mode")
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--no-write", action="store_true")
    arg = p.parse_args()
    b = Bench(arg)
    try:
        rows = b.measure()
    finally:
        subprocess.run(["rm", "-r", b.folder], check=False)
    print("Disks in the guest: one VP, raw image on tmpfs")
    for r in rows:
        print("  " + "  ".join(c.ljust(46) if i == 0 else c.rjust(16) for i, c in enumerate(r)))
    if not arg.no_write:
        write(rows)


main()
