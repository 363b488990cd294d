#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts by SeaBIOS: an installed Debian on a differencing VHDX, on a screen too, and a CD with GRUB.

The Debian disk is made once for each recipe (tools/mkdebian: debootstrap, so root is needed).
"""
import hashlib
import os
import re
import shutil
import subprocess
import time

from guest import PATIENCE, ROOT, Failed, Guest, Skip, build_dir, fetched, initramfs, main, test

STORAGE = ["hv_vmbus", "hv_utils", "hv_storvsc", "ata_piix", "sr_mod", "isofs"]
VERDIN = os.path.join(build_dir(), "verdin")


def need(*programs):
    for p in programs:
        if not shutil.which(p, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Skip(f"{p} is not installed: tools/install-deps test")


def succeeds(*command):
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if p.returncode:
        print("# " + p.stdout.decode(errors="replace").replace("\n", "\n# "))
    return p.returncode == 0


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def debian_disk(t):
    """The base image, made when it is not there yet."""
    need("debootstrap", "grub-mkimage", "sfdisk", "mke2fs")
    fetch = [os.path.join(ROOT, "tools/fetch-guest"), "-b", build_dir(), "debian"]
    if os.geteuid() == 0:
        begin = time.monotonic()
        if not succeeds(*fetch):
            raise Failed("no Debian disk could be made")
        t.note(f"the Debian disk was ready after {time.monotonic() - begin:.0f} s")
    return os.path.join(fetched("debian"), "base.vhdx")


def log_in(g):
    g.expect(r"login: ")
    g.send("root\n")
    g.expect(r":~# ")
    # A shell without a line editor, and no echo: what comes is what commands say.
    g.send("exec sh\n")
    g.expect(r"2004l# ")
    g.send("PS1=; stty -echo; echo rea''dy\n")
    g.expect(r"^ready\n")


def says(g, command):
    g.send(f"echo \"[$({command})]\"\n")
    return g.expect(r"^\[(.*)\]\n").group(1)


def check_child(t, child):
    t.check("verdin disk check is content", succeeds(VERDIN, "disk", "check", child))
    if shutil.which("vhdiinfo"):
        t.check("vhdiinfo reads the child", succeeds("vhdiinfo", child))
    # qemu knows no differencing VHDX: it looks at the child and its parent made one.
    one, raw = child + ".one.vhdx", child + ".raw"
    subprocess.run([VERDIN, "disk", "convert", "--quiet", child, one], check=True)
    subprocess.run([VERDIN, "disk", "convert", "--quiet", child, raw], check=True)
    if shutil.which("qemu-img"):
        t.check("qemu-img check is content", succeeds("qemu-img", "check", one))
        t.check("qemu-img reads the same bytes", succeeds("qemu-img", "compare", one, raw))
    t.check("the file system is clean",
            succeeds("/sbin/e2fsck", "-fn", raw + "?offset=1048576"))


@test
def debian_from_a_differencing_vhdx_to_login(t):
    base = debian_disk(t)
    before = digest(base)
    child = os.path.join(t.folder, "child.vhdx")
    subprocess.run([VERDIN, "disk", "create", "--quiet", child, "--parent", base], check=True)
    g = Guest(t, args=["--disk", f"{child},bus=ide"], cpus=2, memory="1G")
    g.expect(r"SeaBIOS")
    g.expect(r"Linux version")
    log_in(g)
    t.note(f"logged in after {time.monotonic() - g.begin:.0f} s")
    driver = says(g, "basename $(readlink -f /sys/block/sda/device/../../../driver)")
    t.check(f"{driver} drives sda", driver == "hv_storvsc")
    t.check("/ is on it", says(g, "findmnt -no SOURCE /") == "/dev/sda1")
    t.check("there is one disk, not two", says(g, "ls /sys/block | grep -c ^sd") == "1")
    t.check("two CPUs", says(g, "nproc") == "2")
    says(g, "mount -o remount,rw / && head -c 3M /dev/urandom >/root/noise && sync && echo fine")
    t.check("/ can be written", "[fine]" in g.text)
    g.send("poweroff\n")
    g.ends(0)
    g.no_complaints()
    t.check("the base is as it was", digest(base) == before)
    check_child(t, child)


class Screen:
    """The display of a machine on a terminal, read by the monitor."""

    def __init__(self, g):
        self.g = g

    def read(self):
        self.g.send("\x1dscreen\r\r")
        return self.g.expect(r"> screen\n((?:.*\n)*?)verdin> ", seconds=20).group(1)

    def shows(self, pattern, seconds=120):
        """The picture, once it shows 'pattern'."""
        end = time.monotonic() + seconds * PATIENCE
        while True:
            text = self.read()
            if m := re.search(pattern, text, re.M):
                return m
            if time.monotonic() > end:
                raise Failed(f"the screen does not show '{pattern}':\n{text}")
            time.sleep(0.5)

    def type(self, text):
        """No faster than a person: each key waits until the screen was drawn with it."""
        for i in range(0, len(text), 8):
            self.g.send(text[i:i + 8])
            time.sleep(0.2)


@test
def screen_and_keyboard_across_a_save(t):
    """No serial port: the VGA's text on the terminal, keys by the keyboard controller."""
    base, saved = debian_disk(t), os.path.join(t.folder, "saved")
    child = os.path.join(t.folder, "child.vhdx")
    subprocess.run([VERDIN, "disk", "create", "--quiet", child, "--parent", base], check=True)
    args = ["--disk", f"{child},bus=ide", "--console", "screen"]
    g = Guest(t, args=args, memory="512M", terminal=True)
    g.expect(r"SeaBIOS \(version")
    screen = Screen(g)
    screen.shows(r"^verdin-guest login:")
    screen.type("root\r")
    screen.shows(r"^root@verdin-guest:~# *$")
    screen.type("echo $((6*7))-$(tty)\r")
    screen.shows(r"^42-/dev/tty1$")
    t.note("logged in on tty1")
    screen.type("echo not\x7f\x7f\x7fA\x1b[DB")
    screen.shows(r"~# echo BA$")
    g.send(f"\x1dsave {saved}\r")
    g.expect(r"saved; the machine is paused", seconds=60)
    g.send("quit\r")
    g.ends(0)
    g = Guest(t, args=args, memory="512M", terminal=True, restore=saved)
    g.expect(r"verdin-guest login: root")  # drawn from the saved picture
    screen = Screen(g)
    screen.type("\x1b[F-$((7*9))\r")
    screen.shows(r"^BA-63$")
    t.note("the picture, the keyboard and the shell go on")
    screen.type("\x1bOP\x1b[15~\r")  # F1, F5: nothing bad
    g.send("\x1dkey ctrl-alt-delete\r\r")
    screen.shows(r"SeaBIOS|^verdin-guest login:$")
    t.note("Ctrl-Alt-Delete starts it anew")
    g.send("\x1dquit\r")
    g.ends(0)


GRUB = """
set timeout=0
serial --unit=0 --speed=115200
terminal_output serial
linux /linux console=ttyS0
initrd /initrd
boot
"""


@test
def cd_with_grub(t):
    need("grub-mkrescue", "xorriso")
    tree, iso = os.path.join(t.folder, "tree"), os.path.join(t.folder, "cd.iso")
    os.makedirs(os.path.join(tree, "boot/grub"))
    initrd = initramfs(t, "cloud-amd64", r'''
for i in $(seq 100); do [ -e /dev/sr0 ] && break; usleep 200000; done
mkdir -p /mnt && mount -t iso9660 -o ro /dev/sr0 /mnt && echo "VERDICT ok the CD is mounted"
[ "$(cat /mnt/marker)" = "from the CD" ] && echo "VERDICT ok it is the one" || echo "VERDICT not ok marker"
umount /mnt
''', STORAGE)
    shutil.copy(os.path.join(fetched("cloud-amd64"), "vmlinuz"), os.path.join(tree, "linux"))
    shutil.copy(initrd, os.path.join(tree, "initrd"))
    for name, text in (("marker", "from the CD\n"), ("boot/grub/grub.cfg", GRUB)):
        with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
            f.write(text)
    if not succeeds("grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "--locales=", "--fonts=",
                    "--themes=", "--compress=xz", "-o", iso, tree):
        raise Failed("grub-mkrescue")
    g = Guest(t, args=["--cdrom", iso])
    g.verdicts()
    g.ends(0)
    g.no_complaints()


main()
