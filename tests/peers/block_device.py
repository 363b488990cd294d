#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""block_device.py TOOL - disks passed through: loop devices of 512 and 4096-byte sectors.

Needs root and losetup; skipped elsewhere."""
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

TOOL = os.path.abspath(sys.argv[1])
MIB = 1 << 20
rnd = random.Random(5)


def run(*a, code=0):
    p = subprocess.run([str(x) for x in a], capture_output=True, text=True, timeout=120)
    assert p.returncode == code, (a, p.returncode, p.stdout, p.stderr)
    return p.stderr if code else p.stdout


class Loop:
    """A file as block device."""

    def __init__(self, name, size, *options):
        self.file = name
        with open(name, "ab") as f:
            f.truncate(size)
        self.dev = run("losetup", "--find", "--show", *options, name).strip()

    def __enter__(self):
        return self.dev

    def __exit__(self, *_):
        run("losetup", "-d", self.dev)


def poke(dev, at, data):
    """Write through the tool; its exit status and words."""
    p = subprocess.run([TOOL, "poke", dev], input=struct.pack("<QQ", at, len(data)) + data,
                       capture_output=True, timeout=60)
    return p.returncode, p.stderr.decode()


def read(path, at, n):
    with open(path, "rb") as f:
        f.seek(at)
        return f.read(n)


def sizes_and_sectors_are_told_truly():
    for sector in (512, 4096):
        with Loop("a", 24 * MIB + 8192, "--sector-size", str(sector)) as dev:
            out = run(TOOL, "info", dev, "--json")
            assert f'"size":{24 * MIB + 8192}' in out.replace(" ", ""), out
            assert f"{sector} logical" in run(TOOL, "info", dev)
            data = rnd.randbytes(8192)
            assert poke(dev, 24 * MIB, data)[0] == 0  # up to the very end
            assert read("a", 24 * MIB, 8192) == data
            assert poke(dev, 24 * MIB + 8192, data)[0] == 1  # and not past it
            assert poke(dev, 512, bytes(512))[0] == (1 if sector == 4096 else 0)
        os.unlink("a")


def one_writer_and_no_mounted_device():
    with Loop("a", 16 * MIB) as dev:
        first = subprocess.Popen([TOOL, "poke", dev], stdin=subprocess.PIPE)
        first.stdin.write(struct.pack("<QQ", 0, 512) + bytes(512) + struct.pack("<QQ", 0, 0))
        first.stdin.flush()
        for _ in range(100):
            status, words = poke(dev, 0, bytes(512))
            if status:
                break
        assert status and "in use" in words, words
        first.communicate()
        assert first.returncode == 0
    if not shutil.which("mke2fs"):
        return
    with Loop("a", 16 * MIB) as dev:
        run("mke2fs", "-q", "-F", dev)
        os.mkdir("m")
        if subprocess.run(["mount", dev, "m"], capture_output=True, check=False).returncode:
            return  # a container may not
        try:
            status, words = poke(dev, 0, bytes(512))
            assert status and "used by the host" in words, words
            run(TOOL, "info", dev)  # looking is allowed
        finally:
            run("umount", "m")


def a_read_only_device_stays_as_it_is():
    with Loop("a", MIB, "--read-only") as dev:
        status, words = poke(dev, 0, b"x" * 512)
        assert status and "read-only" in words, words
        with open("a.raw", "wb") as f:
            f.truncate(MIB)
        assert "read-only" in run(TOOL, "convert", "a.raw", dev, "--replace", code=1)
        assert read("a", 0, 512) == bytes(512)


def images_go_to_a_device_and_back():
    want = rnd.randbytes(3 * MIB) + bytes(5 * MIB) + rnd.randbytes(MIB)
    with open("a.raw", "wb") as f:
        f.write(want)
    run(TOOL, "convert", "a.raw", "a.vhdx")
    with Loop("d", 16 * MIB) as dev:
        assert "would be lost" in run(TOOL, "convert", "a.vhdx", dev, code=1)
        run("dd", "if=/dev/urandom", f"of={dev}", "bs=1M", "count=16")  # what was there before
        run(TOOL, "convert", "a.vhdx", dev, "--replace", "--compare")
        assert read(dev, 0, len(want)) == want
        run(TOOL, "convert", dev, "b.vhdx", "--from", "raw")
        run(TOOL, "convert", "b.vhdx", "b.raw")
        assert read("b.raw", 0, len(want)) == want
        # The node itself is no file to be replaced, and has its own size.
        for verb in (["create", dev, "--size", "1M", "--format", "raw", "--replace"],
                     ["resize", dev, "1M"], ["compact", dev]):
            run(TOOL, *verb, code=1)
        assert os.stat(dev).st_rdev
    with Loop("s", MIB) as dev:
        assert "too small" in run(TOOL, "convert", "a.vhdx", dev, "--replace", code=1)


def zeros_free_space_below():
    with Loop("a", 16 * MIB) as dev:
        run("dd", "if=/dev/urandom", f"of={dev}", "bs=1M", "count=16", "conv=fsync")
        with open("z.raw", "wb") as f:
            f.truncate(16 * MIB)
        before = os.stat("a").st_blocks
        run(TOOL, "convert", "z.raw", dev, "--replace")
        assert read(dev, 0, 16 * MIB) == bytes(16 * MIB)
        assert os.stat("a").st_blocks < before / 4, (before, os.stat("a").st_blocks)


TESTS = [sizes_and_sectors_are_told_truly, one_writer_and_no_mounted_device,
         a_read_only_device_stays_as_it_is, images_go_to_a_device_and_back, zeros_free_space_below]


def can_loop():
    with open("probe", "wb") as f:
        f.truncate(MIB)
    p = subprocess.run(["losetup", "--find", "--show", "probe"], capture_output=True, text=True,
                       check=False)
    if p.returncode == 0:
        run("losetup", "-d", p.stdout.strip())
    return p.returncode == 0


def main():
    if os.geteuid() != 0 or not shutil.which("losetup"):
        print("1..0 # SKIP needs root and losetup")
        return 0
    bad = 0
    for n, t in enumerate(TESTS, 1):
        top = os.getcwd()
        with tempfile.TemporaryDirectory(prefix="block_device.") as d:
            os.chdir(d)
            try:
                if not can_loop():
                    print(f"ok {n} {t.__name__} # SKIP no loop devices here")
                    continue
                t()
                print(f"ok {n} {t.__name__}", flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as e:
                bad += 1
                print(f"# {str(e)[:1500]}\nnot ok {n} {t.__name__}", flush=True)
            finally:
                os.chdir(top)
    print(f"1..{len(TESTS)}")
    return 1 if bad else 0


sys.exit(main())
