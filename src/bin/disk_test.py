#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""disk_test.py TOOL - 'verdin disk' from the outside: each verb, wrong use, damage, interruption.

Content is compared as raw bytes that this script makes itself."""
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

TOOL = os.path.abspath(sys.argv[1])
MIB = 1 << 20
tests = []
rnd = random.Random(4)


def test(f):
    tests.append(f)
    return f


def run(*args, ok=True, code=None):
    p = subprocess.run([TOOL, *map(str, args)], capture_output=True, text=True, timeout=120)
    if code is not None:
        assert p.returncode == code, (args, p.returncode, p.stdout, p.stderr)
    elif ok:
        assert p.returncode == 0, (args, p.returncode, p.stdout, p.stderr)
    else:
        assert p.returncode == 1 and p.stderr, (args, p.returncode, p.stdout, p.stderr)
    return p.stderr if not ok and code is None else p.stdout


def info(path):
    return json.loads(run("info", path, "--json"))


def raw_file(path, size, spots):
    """Random bytes at each (offset, length); returns all as bytes."""
    b = bytearray(size)
    for off, n in spots:
        b[off:off + n] = rnd.randbytes(n)
    with open(path, "wb") as f:
        f.truncate(size)
        for off, n in spots:
            f.seek(off)
            f.write(b[off:off + n])
    return bytes(b)


def poke(path, at, data):
    """Write through the image."""
    p = subprocess.run([TOOL, "poke", path], input=struct.pack("<QQ", at, len(data)) + data,
                       timeout=120)
    assert p.returncode == 0, (path, at)


def content(path, *args):
    run("convert", path, "out.raw", "--replace", *args)
    with open("out.raw", "rb") as f:
        return f.read()


SPOTS = [(0, 4096), (MIB - 512, 1024), (5 * MIB, 3 * MIB), (20 * MIB - 4096, 4096)]


@test
def formats_and_layouts_convert_into_each_other():
    want = raw_file("a.raw", 20 * MIB, SPOTS)
    names = []
    for fmt in ("vhd", "vhdx", "raw"):
        for fixed in ([], ["--fixed"]) if fmt != "raw" else ([],):
            name = f"a{''.join(fixed)}.{fmt}.x"
            run("convert", "a.raw", name, "--format", fmt, *fixed)
            names.append((name, fmt, bool(fixed)))
    for name, fmt, fixed in names:
        i = info(name)
        assert i["format"] == fmt and i["size"] == 20 * MIB, i
        if fmt != "raw":
            assert i["layout"] == ("fixed" if fixed else "dynamic"), i
        run("check", name)
        assert content(name) == want, name
    for a, _, _ in names:
        for fmt in ("vhd", "vhdx"):
            run("convert", a, "b", "--format", fmt, "--replace", "--compare")
            assert content("b") == want, (a, fmt)
    assert os.path.getsize("a.vhdx.x") < 14 * MIB


@test
def children_show_their_own_and_their_parents_data():
    for fmt in ("vhd", "vhdx"):
        want = raw_file("a.raw", 20 * MIB, SPOTS)
        run("convert", "a.raw", f"p.{fmt}", "--replace")
        os.makedirs("sub", exist_ok=True)
        run("create", f"sub/c.{fmt}", "--parent", f"p.{fmt}")
        assert content(f"sub/c.{fmt}") == want
        i = info(f"sub/c.{fmt}")
        assert i["layout"] == "differencing"
        assert i["parent_names"][0] == f"..\\p.{fmt}", i
        # moved as a folder
        shutil.rmtree("moved", ignore_errors=True)
        os.makedirs("moved/sub")
        shutil.move(f"p.{fmt}", f"moved/P.{fmt.upper()}")  # and with another case
        shutil.move(f"sub/c.{fmt}", f"moved/sub/c.{fmt}")
        assert content(f"moved/sub/c.{fmt}") == want
        e = run("info", f"moved/sub/c.{fmt}", "--chain", "--parent-root", "sub", ok=False)
        assert "not found under" in e, e
        # another file under the parent's name is not taken
        run("create", f"moved/P.{fmt.upper()}", "--size", "20M", "--replace", "--format", fmt)
        e = run("convert", f"moved/sub/c.{fmt}", "x.raw", ok=False)
        assert "not the parent" in e, e
        run("check", f"moved/sub/c.{fmt}", code=2)


@test
def resize_grows_and_shrinks_where_the_tail_is_free():
    want = raw_file("a.raw", 20 * MIB, [(0, 4096), (3 * MIB, 4096)])
    for name, opts in (("r.vhd", []), ("r.vhdx", []), ("f.vhd", ["--fixed"]),
                       ("f.vhdx", ["--fixed"]), ("r.raw", [])):
        run("convert", "a.raw", name, "--replace", *opts)
        for size in ("64M", "+1G", "-24M", "+24M", "3000M" if not opts else "2G"):
            if size[0] == "-" and (opts or name == "r.raw"):
                assert "force" in run("resize", name, size, ok=False)
                run("resize", name, "--force", size)
                continue
            run("resize", name, size)
            run("check", name)
        got = info(name)["size"]
        if not opts and name != "r.raw":
            run("resize", name, "100G")
            run("check", name)
            e = run("resize", name, "2M", ok=False)
            assert "holds data" in e, e
        elif name != "f.vhdx":
            assert "forced" in run("resize", name, "8M", ok=False)
        run("resize", name, "8M", *([] if not opts and name != "r.raw" else ["--force"]))
        c = run("check", name, code=None)
        b = content(name)
        assert len(b) == 8 * MIB and b == want[:8 * MIB], name
        assert got in (3000 * MIB, 2048 * MIB)


@test
def a_grown_disk_shows_zeros_behind_its_old_end():
    size = 3 * MIB + 512 * 5
    want = raw_file("a.raw", size, [(0, size)])
    for name in ("z.vhd", "z.vhdx"):
        run("convert", "a.raw", name, "--replace")
        run("resize", name, "9M")
        b = content(name)
        assert b[:size] == want and not any(b[size:]), name


@test
def compact_gives_space_back_and_keeps_the_content():
    want = raw_file("a.raw", 40 * MIB, [(k * 2 * MIB, 2 * MIB) for k in range(20)])
    for name in ("c.vhd", "c.vhdx"):
        run("convert", "a.raw", name, "--replace")
        # zeros where data was: patch the image through the place map
        ext = json.loads(run("map", name, "--json"))
        new = bytearray(want)
        with open(name, "r+b") as f:
            for k in (0, 1, 5, 7, 12, 18):
                off = k * 2 * MIB
                x = [e for e in ext if e["offset"] <= off < e["offset"] + e["length"]][0]
                assert x["kind"] == "data"
                left = 2 * MIB
                while left:
                    x = [e for e in ext if e["offset"] <= off < e["offset"] + e["length"]][0]
                    n = min(left, x["offset"] + x["length"] - off)
                    f.seek(x["file_offset"] + off - x["offset"])
                    f.write(bytes(n))
                    new[off:off + n] = bytes(n)
                    off += n
                    left -= n
        before = os.path.getsize(name)
        run("compact", name)
        run("check", name)
        assert os.path.getsize(name) <= before - 12 * MIB, (before, os.path.getsize(name))
        assert content(name) == bytes(new), name


@test
def compact_goes_around_a_table_that_a_resize_has_moved():
    want = raw_file("a.raw", 12 * MIB, [(k * 2 * MIB, MIB) for k in range(6)])
    for name in ("m.vhd", "m.vhdx"):
        run("convert", "a.raw", name, "--replace")
        run("resize", name, "1000G")  # the table becomes longer: it moves behind the blocks
        poke(name, 0, bytes(2 * MIB))
        poke(name, 4 * MIB, bytes(2 * MIB))
        poke(name, 700 << 30, b"far!" * 768)
        run("compact", name)
        run("check", name, code=0 if name == "m.vhd" else 3)  # the old table's place is too small
        run("resize", name, "12M", "--force")
        run("check", name, code=0 if name == "m.vhd" else 3)
        b = content(name)
        assert not any(b[:2 * MIB]) and not any(b[4 * MIB:6 * MIB]), name
        assert b[2 * MIB:4 * MIB] == want[2 * MIB:4 * MIB] and b[6 * MIB:] == want[6 * MIB:], name


@test
def merge_moves_the_childs_data_into_the_parent():
    for fmt in ("vhd", "vhdx"):
        base = raw_file("a.raw", 20 * MIB, SPOTS)
        top = raw_file("b.raw", 20 * MIB, SPOTS[:2] + [(12 * MIB, 5 * MIB)])
        run("convert", "a.raw", f"p.{fmt}", "--replace")
        run("create", f"c.{fmt}", "--parent", f"p.{fmt}", "--replace")
        write_over(f"c.{fmt}", base, top)
        assert content(f"c.{fmt}") == top
        run("create", f"other.{fmt}", "--parent", f"p.{fmt}", "--replace")
        assert "same parent" in run("merge", f"c.{fmt}", ok=False)
        os.unlink(f"other.{fmt}")
        run("merge", f"c.{fmt}")
        assert content(f"p.{fmt}") == top
        assert content(f"c.{fmt}") == top
        run("check", f"p.{fmt}")
        run("check", f"c.{fmt}")
        # the child is now as its parent: compact empties it
        run("compact", f"c.{fmt}")
        assert info(f"c.{fmt}")["blocks_allocated"] == 0
        assert content(f"c.{fmt}") == top


def write_over(child, base, top):
    """Make 'child' read as 'top': in runs of sectors that differ."""
    p = subprocess.Popen([TOOL, "poke", child], stdin=subprocess.PIPE)
    at = 0
    while at < len(top):
        if top[at:at + 512] == base[at:at + 512]:
            at += 512
            continue
        end = at
        while end < len(top) and end - at < MIB and top[end:end + 512] != base[end:end + 512]:
            end += 512
        p.stdin.write(struct.pack("<QQ", at, end - at) + top[at:end])
        at = end
    p.stdin.close()
    assert p.wait() == 0


@test
def rebase_takes_a_parent_of_equal_content_only():
    for fmt in ("vhd", "vhdx"):
        want = raw_file("a.raw", 20 * MIB, SPOTS)
        run("convert", "a.raw", f"p.{fmt}", "--replace")
        run("convert", "a.raw", f"q.{fmt}", "--replace")
        run("create", f"e.{fmt}", "--size", "20M", "--replace")
        run("create", f"c.{fmt}", "--parent", f"p.{fmt}", "--replace")
        assert "differs" in run("rebase", f"c.{fmt}", f"e.{fmt}", ok=False)
        run("rebase", f"c.{fmt}", f"q.{fmt}")
        os.unlink(f"p.{fmt}")
        assert content(f"c.{fmt}") == want
        run("check", f"c.{fmt}")


@test
def check_describes_damage_and_repair_mends_it():
    want = raw_file("a.raw", 20 * MIB, SPOTS)
    run("convert", "a.raw", "d.vhd", "--replace")
    good = open("d.vhd", "rb").read()

    def damage(name, data, off, b):
        with open(name, "wb") as f:
            f.write(data[:off] + b + data[off + len(b):])

    damage("d.vhd", good, len(good) - 512, bytes(512))         # end footer
    out = run("check", "d.vhd")
    assert "footer at the end" in out, out
    assert content("d.vhd") == want
    run("repair", "d.vhd")
    assert run("check", "d.vhd") == "d.vhd: good\n"
    damage("d.vhd", good, 0, bytes(512))                       # front copy
    assert "front" in run("check", "d.vhd")
    run("repair", "d.vhd")
    assert run("check", "d.vhd") == "d.vhd: good\n"
    assert content("d.vhd") == want
    damage("d.vhd", good, 1536, struct.pack(">I", 0x7fffffff))  # table entry
    assert "outside the file" in run("check", "d.vhd", code=2)
    run("convert", "d.vhd", "x.raw", ok=False)
    run("repair", "d.vhd", code=2)
    run("repair", "d.vhd", "--all")
    run("check", "d.vhd")

    run("convert", "a.raw", "d.vhdx", "--replace")
    good = open("d.vhdx", "rb").read()
    damage("d.vhdx", good, 0x10000 + 100, b"x")                # header 1
    assert "header" in run("check", "d.vhdx")
    run("repair", "d.vhdx")
    assert run("check", "d.vhdx") == "d.vhdx: good\n"
    damage("d.vhdx", good, 0x30000 + 20, b"x")                 # region table 1
    assert "region table 1" in run("check", "d.vhdx")
    assert info("d.vhdx")["size"] == 20 * MIB                  # the other table is enough
    run("repair", "d.vhdx")
    assert run("check", "d.vhdx") == "d.vhdx: good\n"
    assert content("d.vhdx") == want
    damage("d.vhdx", good, 3 * MIB, struct.pack("<Q", (9 << 40) | 6))
    assert "outside the file" in run("check", "d.vhdx", code=2)
    run("repair", "d.vhdx", "--all")
    run("check", "d.vhdx", code=3)                             # its block is lost space now
    damage("d.vhdx", good, 3 * MIB, bytes([255]) * 8)
    out = run("check", "d.vhdx", code=2)
    assert "reserved bits" in out and "by nobody" not in out, out
    assert "--all" in run("repair", "d.vhdx", code=2)
    run("repair", "d.vhdx", "--all")
    run("check", "d.vhdx", code=3)
    run("compact", "d.vhdx")
    assert run("check", "d.vhdx") == "d.vhdx: good\n"
    for cut in (10, 70000, 200000, 1 * MIB + 100, 2 * MIB, 3 * MIB + 9):
        with open("cut.vhdx", "wb") as f:
            f.write(good[:cut])
        run("check", "cut.vhdx", code=2)


@test
def identity_changes():
    for name in ("i.vhd", "i.vhdx"):
        run("create", name, "--size", "10M")
        run("identity", name, "--id", "00112233-4455-6677-8899-aabbccddeeff")
        assert info(name)["id"] == "00112233-4455-6677-8899-aabbccddeeff"
        run("check", name)


@test
def wrong_use_is_told_apart():
    run("create", "w.vhdx", "--size", "10M")
    run("create", "f.vhd", "--size", "10M", "--fixed")
    run("create", "w.raw", "--size", "10M")
    seen = set()
    for args in (["frob"], ["info"], ["info", "none"], ["create", "w.vhdx", "--size", "1G"],
                 ["create", "n.vhdx"], ["create", "n.vhdx", "--size", "abc"],
                 ["create", "n.vhdx", "--size", "1Q"], ["create", "n.vhdx", "--size", "1001"],
                 ["create", "n.vhd", "--size", "3T"], ["create", "n.vhdx", "--size", "65T"],
                 ["create", "n.foo", "--size", "1G"], ["create", "n.vhdx", "--format", "qcow2"],
                 ["create", "n.vhdx", "--size", "1G", "--block-size", "3M"],
                 ["create", "n.vhd", "--size", "1G", "--sector-size", "4096"],
                 ["create", "n.vhdx", "--parent", "none.vhdx"],
                 ["create", "n.vhd", "--parent", "w.vhdx"],
                 ["create", "n.raw", "--size", "1G", "--block-size", "1M"],
                 ["create", "n.vhdx", "--parent", "w.vhdx", "--fixed"],
                 ["info", "--force", "w.vhdx"], ["info", "w.vhdx", "--bogus"],
                 ["info", "w.vhdx", "other"], ["merge", "w.vhdx"], ["resize", "w.vhdx", "0"],
                 ["convert", "w.vhdx", "w.vhdx"], ["info", "."], ["resize", "w.vhdx", "-1G"],
                 ["compact", "f.vhd"], ["compact", "w.raw"], ["rebase", "w.vhdx"],
                 ["rebase", "w.vhdx", "--parent", "f.vhd"], ["resize", "w.vhdx"],
                 ["resize", "w.vhdx", "65T"], ["resize", "w.raw", "1001"], ["convert", "w.vhdx"],
                 ["convert", "w.vhdx", "no/such/folder/n.vhdx"], ["create"],
                 ["convert", "w.vhdx", "n.vhdx", "--fixed", "--block-size", "7"],
                 ["create", "n.vhdx", "--size", "0"], ["create", "n.vhdx", "--size", "-5"],
                 ["create", "n.vhdx", "--size", "1G", "--sector-size", "1024"]):
        e = run(*args, ok=False).splitlines()[0]
        assert e not in seen, (args, e)
        seen.add(e)
    assert not os.path.exists("n.vhdx") and not [n for n in os.listdir(".") if ".new-" in n]


@test
def a_killed_job_leaves_images_that_are_good():
    """kill -9 at any moment; what was to be read is still there, and the job can be done again."""
    base = raw_file("a.raw", 96 * MIB, [(k * 8 * MIB, 4 * MIB) for k in range(12)])
    top = bytearray(base)
    for k in range(12):
        top[k * 8 * MIB + MIB:k * 8 * MIB + 3 * MIB] = bytes(2 * MIB)  # compact frees some of it
        top[k * 8 * MIB + 5 * MIB:k * 8 * MIB + 7 * MIB] = rnd.randbytes(2 * MIB)
    top = bytes(top)
    for fmt in ("vhd", "vhdx"):
        parent, child = f"p.{fmt}", f"c.{fmt}"
        run("convert", "a.raw", parent, "--replace")
        run("create", child, "--parent", parent, "--replace")
        write_over(child, base, top)
        assert content(child) == top
        for verb, path in (("merge", child), ("compact", parent), ("resize", parent)):
            args = [TOOL, verb, path] + (["300M"] if verb == "resize" else [])
            for tries in range(12):
                p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                try:
                    err = p.communicate(timeout=0.004 + rnd.random() * 0.08)[1]
                    assert p.returncode == 0, err
                    break
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.communicate()
                for f in (parent, child) if verb == "merge" else (path,):
                    r = subprocess.run([TOOL, "check", f], capture_output=True, text=True)
                    assert "error" not in r.stdout.replace("no errors", ""), (verb, f, r.stdout)
                if tries % 4 == 0:
                    if verb == "merge":
                        assert content(child) == top, (verb, fmt)
                    else:
                        assert content(path)[:len(top)] == top, (verb, fmt)
            run(*args[1:])
            run("check", path, code=None)
            assert content(path)[:len(top)] == top, (verb, fmt)


@test
def an_interrupted_convert_leaves_the_old_file_and_nothing_else():
    raw_file("big.raw", 1 << 30, [(k * 64 * MIB, 32 * MIB) for k in range(12)])
    run("create", "t.vhdx", "--size", "10M")
    before = open("t.vhdx", "rb").read()
    for sig in (signal.SIGINT, signal.SIGTERM):
        p = subprocess.Popen([TOOL, "convert", "big.raw", "t.vhdx", "--replace"],
                             stderr=subprocess.PIPE)
        time.sleep(0.05)
        p.send_signal(sig)
        err = p.communicate()[1]
        assert p.returncode == 1 and b"stopped" in err or p.returncode == 0, (p.returncode, err)
        if p.returncode:
            assert open("t.vhdx", "rb").read() == before
        assert not [n for n in os.listdir(".") if ".new-" in n]


def main():
    bad = 0
    for n, t in enumerate(tests, 1):
        top = os.getcwd()
        with tempfile.TemporaryDirectory(prefix="disk_test.") as d:
            os.chdir(d)
            try:
                t()
                word = "ok"
            except (AssertionError, subprocess.TimeoutExpired) as e:
                word = "not ok"
                bad += 1
                tb = e.__traceback__
                while tb.tb_next and tb.tb_next.tb_frame.f_code.co_filename == __file__:
                    tb = tb.tb_next
                print(f"# line {tb.tb_lineno}: {str(e)[:2000]}")
            os.chdir(top)
        print(f"{word} {n} {t.__name__}", flush=True)
    print(f"1..{len(tests)}")
    return 1 if bad else 0


sys.exit(main())
