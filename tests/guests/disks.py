# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of disks share: images made on the host, looked at there again afterwards."""
import os
import shutil
import subprocess

from guest import Skip, build_dir

VERDIN = os.path.join(build_dir(), "verdin")
STORAGE = ["hv_vmbus", "hv_utils", "hv_storvsc", "sd_mod", "ext4", "ata_piix", "sr_mod", "isofs"]
NO_VMBUS = ["ata_piix", "sd_mod", "ext4", "sr_mod", "isofs"]
HELPERS = r'''
check() { if eval "$2"; then echo "VERDICT ok $1"; else echo "VERDICT not ok $1"; fi; }
wait_for() { for i in $(seq 100); do [ -e $1 ] && return 0; usleep 200000; done; return 1; }
wait_gone() { for i in $(seq 100); do [ -e $1 ] || return 0; usleep 200000; done; return 1; }
# The name of the disk of so many sectors: which comes first is not certain.
by_size() {
    for i in $(seq 100); do
        for s in /sys/block/sd*; do [ "$(cat $s/size 2>/dev/null)" = $1 ] && basename $s && return 0; done
        usleep 100000
    done
    echo "VERDICT not ok no disk of $1 sectors" >&2
}
mkdir -p /mnt /mnt2
'''
PROGRAMS = ":/usr/sbin:/sbin"
MAKE = {"ext4": (["mke2fs", "-q", "-F", "-t", "ext4"], "e2fsprogs"),
        "xfs": (["mkfs.xfs", "-q", "-f"], "xfsprogs")}
CHECK = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n", "-f"]}


def run(*command):
    """(status, what it said)"""
    env = dict(os.environ, PATH=os.environ["PATH"] + PROGRAMS)
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                       check=False)
    return p.returncode, p.stdout.decode(errors="replace")


def image(t, name, size, fs="ext4", fmt="raw"):
    """A disk image in the test's folder, with a file system unless 'fs' is None."""
    raw = os.path.join(t.folder, name + ".raw")
    with open(raw, "wb") as f:
        f.truncate(size)
    if fs:
        command, package = MAKE[fs]
        if not shutil.which(command[0], path=os.environ["PATH"] + PROGRAMS):
            raise Skip(f"{command[0]} is not installed (package {package})")
        status, text = run(*command, raw)
        assert status == 0, text
    if fmt == "raw":
        return raw
    out = os.path.join(t.folder, f"{name}.{fmt}")
    subprocess.run([VERDIN, "disk", "convert", "--quiet", raw, out], check=True)
    os.unlink(raw)
    return out


def fsck(t, path, fs="ext4"):
    if not path.endswith(".raw"):
        raw = path + ".raw"
        subprocess.run([VERDIN, "disk", "convert", "--quiet", path, raw], check=True)
        path = raw
    status, text = run(*CHECK[fs], path)
    t.check(f"{CHECK[fs][0]} on the host finds nothing", status == 0)
    if status:
        print("# " + text.replace("\n", "\n# "))
