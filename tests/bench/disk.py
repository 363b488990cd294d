#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""disk.py DISK_BENCH TOOL [FOLDER] - the disk library against io_uring, qemu-img and cp.

Each comparison is taken in turns, medians of five; FOLDER (default /dev/shm) holds about 3 GiB.
The tables are written into docs/performance.md between its markers as well."""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BENCH, TOOL = (os.path.abspath(a) for a in sys.argv[1:3])
MIB = 1 << 20
DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/performance.md")
MARKS = ("<!-- disk library: begin -->", "<!-- disk library: end -->")
GOALS = {"raw": 0.95, "fixed": 0.95, "dynamic": 0.90, "chain5": 0.80} # of the bare loop at depth 32
ROUNDS = 5
document = []


def say(text):
    print(text, flush=True)


def table(head, rows):
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    document.append("\n".join([lines[0], "|---|" + "---:|" * (len(head) - 1), *lines[1:]]))


def run(*a):
    return subprocess.run([str(x) for x in a], check=True, capture_output=True, text=True).stdout


def run_shown(*a):
    """The same for what takes minutes: its lines appear as they come."""
    out = []
    with subprocess.Popen([str(x) for x in a], stdout=subprocess.PIPE, text=True) as p:
        for line in p.stdout:
            print(line, end="", flush=True)
            out.append(line)
    if p.returncode:
        raise SystemExit(f"disk.py: {a[0]} ended with {p.returncode}")
    return "".join(out)


def timed(*a):
    t = time.monotonic()
    run(*a)
    return time.monotonic() - t


def qemu_writes(path, fmt, n, step):
    out = run("qemu-img", "bench", "-w", "-c", n, "-d", 1, "-s", 4096, "-S", step, "-f", fmt, "-t",
              "writeback", path)
    return n / float(re.search(r"in ([0-9.]+) seconds", out).group(1))


def our_writes(kind, fmt, n):
    return float(re.search(r": ([0-9]+) writes", run(BENCH, kind, ".", fmt, n)).group(1))


def small_writes():
    rows = []
    for fmt, qemu in (("vhd", "vpc"), ("vhdx", "vhdx")):
        for kind, n in (("--alloc", 500), ("--small", 3000)):
            ours, theirs = [], []
            for _ in range(ROUNDS):
                ours.append(our_writes(kind, fmt, n * 10))
                run("qemu-img", "create", "-f", qemu, "q.img", "2G" if kind == "--alloc" else
                    "256M")
                if kind == "--small":
                    run("qemu-img", "bench", "-w", "-c", 256, "-d", 4, "-s", MIB, "-f", qemu, "-t",
                        "writeback", "q.img")
                theirs.append(qemu_writes("q.img", qemu, n, 2 * MIB if kind == "--alloc" else
                                          2 * MIB + (68 << 10)))
                os.unlink("q.img")
            a, b = statistics.median(ours), statistics.median(theirs)
            what = "new blocks" if kind == "--alloc" else "allocated blocks"
            say(f"4K writes, {what}, {fmt}: ours {a:.0f}/s  qemu {b:.0f}/s  ratio {a / b:.1f}")
            rows.append((f"{what} of a dynamic {fmt.upper()}", f"{a:.0f}", f"{b:.0f}",
                         f"{a / b:.1f}", "10"))
    table(("4K writes a second", "Verdin", "qemu-img bench", "ratio", "goal"), rows)


def convert():
    with open("s.raw", "wb") as f:
        f.truncate(4 << 30)
        b = os.urandom(16 * MIB)
        for k in range(64):
            f.seek(k * 64 * MIB + 4096 * k)
            f.write(b)
    ours, cp, qemu = [], [], []
    for _ in range(ROUNDS):
        for to, cmd in ((ours, (TOOL, "convert", "s.raw", "o.vhdx")),
                        (cp, ("cp", "--sparse=always", "s.raw", "o.vhdx")),
                        (qemu, ("qemu-img", "convert", "-t", "writeback", "-f", "raw", "-O", "vhdx",
                                "s.raw", "o.vhdx"))):
            if shutil.which(cmd[0]):
                to.append(timed(*cmd))
                os.unlink("o.vhdx")
    a = statistics.median(ours)
    rows = [("verdin disk convert to VHDX", f"{a:.2f}", "", "")]
    for what, times, goal in (("cp --sparse=always", cp, "1.2"), ("qemu-img convert", qemu, "1")):
        if times:
            t = statistics.median(times)
            say(f"convert 4 GiB raw (1 GiB data) to vhdx: ours {a:.2f} s  {what} {t:.2f} s  "
                f"ratio {a / t:.2f}")
            rows.append((what, f"{t:.2f}", f"{a / t:.2f}", f"at most {goal}"))
    table(("4 GiB sparse raw, 1 GiB of data", "seconds", "ours / theirs", "goal"), rows)


def library():
    """One row an image, one column a load: our requests a second by those of the bare loop."""
    loads, rates, ratios = [], {}, {}
    for image, load, bare, ratio in re.findall(
            r"^(\S+)\s+(\S.*?)\s+ours\s+\d+/s\s+bare\s+(\d+)/s\s+ratio ([\d.]+)$",
            run_shown(BENCH, ".", 256), re.M):
        if load not in loads:
            loads.append(load)
        rates.setdefault(load, []).append(float(bare))
        ratios.setdefault(image, {})[load] = ratio
    rows = [(image, *(r[l] for l in loads), f"{GOALS[image.split('.')[0]]:.2f}")
            for image, r in ratios.items()]
    rows.append(("bare loop, requests a second",
                 *(f"{statistics.median(rates[l]):.0f}" for l in loads), ""))
    table(("ours / bare loop", *loads, "goal at qd32"), rows)


def write():
    with open(DOCUMENT, encoding="utf-8") as f:
        text = f.read()
    begin, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    with open(DOCUMENT, "w", encoding="utf-8") as f:
        f.write(text[:begin] + "\n\n" + "\n\n".join(document) + "\n\n" + text[end:])


def main():
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else "/dev/shm") as d:
        os.chdir(d)
        convert()
        os.unlink("s.raw")
        if shutil.which("qemu-img"):
            small_writes()
        library()
        os.chdir("/")
    write()


main()
