#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""errors.py VERDIN GUEST - what 'verdin run' says and returns for what cannot be run.

GUEST is a small multiboot image that is fine; damaged images are made from bytes here.
"""
import os
import struct
import subprocess
import sys
import tempfile

VERDIN, GUEST = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])


def bzimage(code=4096, version=0x20f, init_size=1 << 20, cut=0, **patch):
    b = bytearray(1024 + code)
    b[0x1f1] = 1
    struct.pack_into("<I", b, 0x1f4, code // 16)
    struct.pack_into("<H", b, 0x1fe, 0xaa55)
    b[0x200:0x206] = b"\xeb\x66HdrS"
    struct.pack_into("<H", b, 0x206, version)
    b[0x211] = 1
    struct.pack_into("<I", b, 0x22c, 0x7fffffff)
    b[0x234] = 1
    struct.pack_into("<H", b, 0x236, 1)
    struct.pack_into("<I", b, 0x238, 255)
    struct.pack_into("<Q", b, 0x258, 0x1000000)
    struct.pack_into("<I", b, 0x260, init_size)
    b[1024 + 0x200:1024 + 0x203] = b"\xf4\xeb\xfd"  # hlt; jmp
    return bytes(b[:len(b) - cut] if cut else b)


def case(name, words, args, status=1):
    return name, words, args, status


def main():
    folder = tempfile.mkdtemp(prefix="verdin-cli-")

    def file(name, data=b"", size=None):
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.write(data)
            if size is not None:
                f.truncate(size)
        return path

    good = file("good", bzimage())
    with open(GUEST, "rb") as f:
        elf = f.read()
    k = ["--kernel", good]
    cases = [
        case("no arguments", "--kernel", []),
        case("missing kernel", "/nonexistent': cannot be opened: No such file", ["--kernel", "/nonexistent"]),
        case("unreadable folder in the path", "cannot be opened", ["--kernel", good + "/x"]),
        case("directory", "is a directory", ["--kernel", folder]),
        case("empty file", "is empty", ["--kernel", file("empty")]),
        case("text file", "neither a Linux bzImage", ["--kernel", file("text", b"hello\n" * 99)]),
        case("device", "is no regular file", ["--kernel", "/dev/zero"]),
        case("truncated bzImage", "cut off", ["--kernel", file("cut", bzimage(cut=1000))]),
        case("setup only", "cut off", ["--kernel", file("setup", bzimage()[:1024])]),
        case("header only", "cut off", ["--kernel", file("head", bzimage()[:0x240])]),
        case("greedy bzImage", "needs memory up to", ["--kernel", file("big", bzimage(init_size=0xfff00000))]),
        case("truncated ELF", "cut off", ["--kernel", file("elf", elf[:len(elf) // 2])]),
        case("foreign ELF", "only x86", ["--kernel", file("arm", elf[:18] + b"\xb7\x00" + elf[20:])]),
        case("oversized kernel", "more than the limit", ["--kernel", file("huge", b"", 3 << 30)]),
        case("missing initrd", "initrd '/nonexistent': cannot be opened", k + ["--initrd", "/nonexistent"]),
        case("initrd that does not fit", "do not fit", k + ["--memory", "64M", "--initrd", file("rd", b"", 60 << 20)]),
        case("initrd beyond memory", "more than the guest's memory", k + ["--memory", "64M", "--initrd", file("rd2", b"", 600 << 20)]),
        case("long command line", "this kernel takes 255", k + ["--append", "x" * 256]),
        case("0 CPUs", "--cpus 0", k + ["--cpus", "0"]),
        case("1000 CPUs", "--cpus 1000", k + ["--cpus", "1000"]),
        case("1M of memory", "--memory 1M", k + ["--memory", "1M"]),
        case("10T of memory", "--memory 10T", k + ["--memory", "10T"]),
        case("little memory", "needs memory up to", k + ["--memory", "8M"]),
        case("unknown engine", "--engine 'hv'", k + ["--engine", "hv"]),
        case("unknown option", "--frobnicate", k + ["--frobnicate"]),
        case("missing disk", "/nonexistent", ["--disk", "/nonexistent"]),
        case("halts for ever", "still ran after 1 s", k + ["--engine", "soft", "--timeout", "1"], 3),
    ]
    print(f"1..{len(cases)}")
    bad = 0
    for i, (name, words, args, status) in enumerate(cases):
        try:
            r = subprocess.run([VERDIN, "run", *args], stdin=subprocess.DEVNULL, timeout=60,
                               capture_output=True, text=True)
            fine = r.returncode == status and words in r.stderr and not r.stdout
            what = f"# status {r.returncode}, stdout {r.stdout!r}, stderr {r.stderr!r}"
        except subprocess.TimeoutExpired:
            fine, what = False, "# did not end"
        if not fine:
            bad += 1
            print(what)
        print(f"{'ok' if fine else 'not ok'} {i + 1} {name}", flush=True)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)
    return 1 if bad else 0


sys.exit(main())
