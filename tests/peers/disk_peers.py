#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""disk_peers.py TOOL - other people's programs on our images, and our tool on theirs.

qemu-img (info, check, compare, convert both ways), libvhdi's vhdiinfo and its Python module.  A peer that is not
installed is skipped.  Known peculiarities of the peers are noted where a test goes around them."""
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

TOOL = os.path.abspath(sys.argv[1])
MIB = 1 << 20
rnd = random.Random(11)


def run(*a, code=0):
    p = subprocess.run([str(x) for x in a], capture_output=True, text=True, timeout=120)
    assert p.returncode == code, (a, p.returncode, p.stdout, p.stderr)
    return p.stdout


def raw_file(path, size, spots):
    with open(path, "wb") as f:
        f.truncate(size)
        for off, n in spots:
            f.seek(off)
            f.write(rnd.randbytes(n))


QEMU = {"vhd": "vpc", "vhdx": "vhdx", "raw": "raw"}
SIZE = 40 * MIB
SPOTS = [(0, 4096), (3 * MIB - 512, 1024), (9 * MIB, 7 * MIB), (SIZE - 4096, 4096)]


def ours(name):
    # qemu takes CHS for some creators; ours is not among them, but say it all the same
    return (f"driver=vpc,force_size_calc=current_size,file.filename={name}"
            if name.endswith(".vhd") else f"driver={QEMU[name.split('.')[-1]]},"
            f"file.filename={name}")


def qemu_reads_what_we_write():
    raw_file("a.raw", SIZE, SPOTS)
    for fmt in ("vhd", "vhdx"):
        for opt in ([], ["--fixed"], ["--block-size", "1M" if fmt == "vhdx" else "512K"]):
            if fmt == "vhd" and opt[:1] == ["--block-size"]:
                continue  # qemu 7.2 reads only 2 MiB blocks of dynamic VHD reliably
            n = f"q.{fmt}"
            run(TOOL, "convert", "a.raw", n, "--replace", *opt)
            i = json.loads(run("qemu-img", "info", "--output=json", "-f", QEMU[fmt], n))
            assert i["virtual-size"] == SIZE, i
            if fmt == "vhdx":
                run("qemu-img", "check", "-f", "vhdx", n)
            run("qemu-img", "compare", "--image-opts", ours("a.raw"), ours(n))
            run("qemu-img", "convert", "-f", QEMU[fmt], "-O", "raw", n, "back.raw")
            run("cmp", "a.raw", "back.raw")


def we_read_what_qemu_writes():
    raw_file("a.raw", SIZE, SPOTS)
    for fmt, opts in (("vpc", "subformat=dynamic,force_size=on"),
                      ("vpc", "subformat=fixed,force_size=on"), ("vhdx", "subformat=dynamic"),
                      ("vhdx", "subformat=fixed"), ("vhdx", "block_size=1M")):
        n = "w.vhdx" if fmt == "vhdx" else "w.vhd"
        run("qemu-img", "convert", "-f", "raw", "-O", fmt, "-o", opts, "a.raw", n)
        p = subprocess.run([TOOL, "check", n], capture_output=True, text=True)
        assert p.returncode in (0, 3), (opts, p.stdout)
        out = run(TOOL, "compare", n, "a.raw")
        assert "equal" in out, (opts, out)


def qemu_goes_on_with_our_image_and_we_with_its():
    for fmt in ("vhd", "vhdx"):
        raw_file("m.raw", SIZE, SPOTS)
        run(TOOL, "convert", "m.raw", f"m.{fmt}", "--replace")
        for k in range(3):
            off = (k * 11 + 1) * MIB
            for f, n in ((QEMU[fmt], f"m.{fmt}"), ("raw", "m.raw")):
                run("qemu-io", "-f", f, "-c", f"write -P {k + 65} {off} 1100k", n)
            run(TOOL, "check", f"m.{fmt}")
            p = subprocess.Popen([TOOL, "poke", f"m.{fmt}"], stdin=subprocess.PIPE)
            b = rnd.randbytes(8192)
            at = off + 5 * MIB
            p.communicate(at.to_bytes(8, "little") + len(b).to_bytes(8, "little") + b)
            assert p.returncode == 0
            with open("m.raw", "r+b") as f:
                f.seek(at)
                f.write(b)
            run("qemu-img", "compare", "--image-opts", ours("m.raw"), ours(f"m.{fmt}"))
        assert "equal" in run(TOOL, "compare", f"m.{fmt}", "m.raw")


def a_dirty_log_of_ours_is_replayed_by_qemu():
    raw_file("d.raw", SIZE, SPOTS)
    run(TOOL, "convert", "d.raw", "d.vhdx", "--replace")
    p = subprocess.Popen([TOOL, "poke", "d.vhdx"], stdin=subprocess.PIPE)
    b = rnd.randbytes(4096)
    p.stdin.write((20 * MIB).to_bytes(8, "little") + len(b).to_bytes(8, "little") + b)
    p.stdin.write((0).to_bytes(8, "little") + (0).to_bytes(8, "little"))  # flush
    p.stdin.flush()
    import time
    time.sleep(0.5)
    p.kill()
    p.wait()
    i = json.loads(run(TOOL, "info", "d.vhdx", "--json"))
    assert not i["closed_cleanly"], i
    with open("d.raw", "r+b") as f:
        f.seek(20 * MIB)
        f.write(b)
    shutil.copy("d.vhdx", "e.vhdx")
    assert "equal" in run(TOOL, "compare", "d.vhdx", "d.raw")  # seen through, not replayed
    run("qemu-img", "check", "-r", "all", "e.vhdx")
    run("qemu-img", "compare", "-f", "raw", "-F", "vhdx", "d.raw", "e.vhdx")
    assert "equal" in run(TOOL, "compare", "e.vhdx", "d.raw")


def libvhdi_knows_our_images():
    for n, opts, kind in (("l.vhd", [], "Dynamic"), ("lf.vhd", ["--fixed"], "Fixed"),
                          ("l.vhdx", [], "Dynamic"), ("lf.vhdx", ["--fixed"], "Fixed")):
        run(TOOL, "create", n, "--size", "40M", *opts)
        out = run("vhdiinfo", n)
        assert kind in out and "41943040 bytes" in out, (n, out)
        own = json.loads(run(TOOL, "info", n, "--json"))
        if n.endswith(".vhd"):
            assert own["id"] in out, (own, out)
    for fmt in ("vhd", "vhdx"):
        run(TOOL, "create", f"c.{fmt}", "--parent", f"l.{fmt}")
        out = run("vhdiinfo", f"c.{fmt}")
        assert "Differential" in out and f"l.{fmt}" in out, out


# Debian's python3 has libvhdi's module, others may not.  Arguments: OUT IMAGE PARENT ...
PYTHON = "/usr/bin/python3"
READ_BY_LIBVHDI = """
import pyvhdi, sys
files = []
for name in sys.argv[2:]:
    f = pyvhdi.file()
    f.open(name)
    files.append(f)
for child, parent in zip(files, files[1:]):
    child.set_parent(parent)
f, at = files[0], 0
with open(sys.argv[1], "wb") as out:
    while at < f.get_media_size():
        b = f.read_buffer_at_offset(min(1 << 20, f.get_media_size() - at), at)
        out.write(b)
        at += len(b)
"""


def has_pyvhdi():
    return subprocess.run([PYTHON, "-c", "import pyvhdi"], capture_output=True,
                          check=False).returncode == 0


def poke(name, raw, spots):
    """Random bytes at each (offset, length), in the image and in the raw file."""
    p = subprocess.Popen([TOOL, "poke", name], stdin=subprocess.PIPE)
    with open(raw, "r+b") as f:
        for off, n in spots:
            b = rnd.randbytes(n)
            p.stdin.write(off.to_bytes(8, "little") + n.to_bytes(8, "little") + b)
            f.seek(off)
            f.write(b)
    p.communicate()
    assert p.returncode == 0, name


def libvhdi_reads_what_we_write():
    raw_file("a.raw", SIZE, SPOTS)
    for fmt in ("vhd", "vhdx"):
        for opt in ([], ["--fixed"], ["--block-size", "2M"]):
            n = f"v.{fmt}"
            run(TOOL, "convert", "a.raw", n, "--replace", *opt)
            run(PYTHON, "-c", READ_BY_LIBVHDI, "back.raw", n)
            run("cmp", "a.raw", "back.raw")


def libvhdi_reads_our_chains():
    """Blocks that the child has in part, whole, and not at all; over two parents.

    In whole 4 KiB: of a byte of bitmap that is neither 0 nor 255 libvhdi 20210425 gets only the
    simplest right (VHD: it takes the rest behind a run as zeros; VHDX: it loses all runs but the
    last), and these show the order of the bits."""
    for fmt, run_of_bits in (("vhd", (3, 13)), ("vhdx", (1, 3))):
        raw_file("a.raw", SIZE, SPOTS)
        chain = [f"{i}.{fmt}" for i in range(3)]
        run(TOOL, "convert", "a.raw", chain[0], "--replace", "--block-size", "2M")
        for k in (1, 2):
            run(TOOL, "create", chain[k], "--parent", chain[k - 1], "--replace")
            poke(chain[k], "a.raw", [(4096 * k, 8192), (9 * MIB + k * 4096, 8192),
                                     (9 * MIB + (20 - 3 * k) * 4096, 4096),
                                     ((20 + 2 * k) * MIB, 2 * MIB), (SIZE - 4096 * k, 4096),
                                     ((28 + 4 * k) * MIB + 512 * run_of_bits[0],
                                      512 * run_of_bits[1])])
            assert "equal" in run(TOOL, "compare", chain[k], "a.raw")
            run(PYTHON, "-c", READ_BY_LIBVHDI, "back.raw", *reversed(chain[:k + 1]))
            run("cmp", "a.raw", "back.raw")


TESTS = [("qemu-img", qemu_reads_what_we_write), ("qemu-img", we_read_what_qemu_writes),
         ("qemu-io", qemu_goes_on_with_our_image_and_we_with_its),
         ("qemu-img", a_dirty_log_of_ours_is_replayed_by_qemu),
         ("vhdiinfo", libvhdi_knows_our_images),
         ("python3-libvhdi", libvhdi_reads_what_we_write),
         ("python3-libvhdi", libvhdi_reads_our_chains)]


def main():
    bad = 0
    for n, (peer, t) in enumerate(TESTS, 1):
        if not (has_pyvhdi() if peer == "python3-libvhdi" else shutil.which(peer)):
            print(f"ok {n} {t.__name__} # SKIP {peer} is not installed")
            continue
        top = os.getcwd()
        with tempfile.TemporaryDirectory(prefix="disk_peers.") as d:
            os.chdir(d)
            try:
                t()
                print(f"ok {n} {t.__name__}", flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as e:
                bad += 1
                print(f"# {str(e)[:1500]}\nnot ok {n} {t.__name__}", flush=True)
            os.chdir(top)
    print(f"1..{len(TESTS)}")
    return 1 if bad else 0


sys.exit(main())
