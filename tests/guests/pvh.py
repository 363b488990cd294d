#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel once more, as the ELF file inside the bzImage, by its PVH entry."""
import lzma
import os

from guest import Guest, Skip, fetched, main, variants


def lz4_block(src):
    """One block of LZ4: literals and copies from what was written before."""
    out, i = bytearray(), 0
    while i < len(src):
        token = src[i]
        i += 1
        n = token >> 4
        if n == 15:
            while src[i] == 255:
                n, i = n + 255, i + 1
            n, i = n + src[i], i + 1
        out += src[i:i + n]
        i += n
        if i >= len(src):
            break
        back = src[i] | src[i + 1] << 8
        i += 2
        n = token & 15
        if n == 15:
            while src[i] == 255:
                n, i = n + 255, i + 1
            n, i = n + src[i], i + 1
        n += 4
        at = len(out) - back
        if n <= back:
            out += out[at:at + n]
        else:  # the copy runs into what it writes
            out += (out[at:] * (n // back + 1))[:n]
    return out


def lz4_legacy(payload):
    """The format of lz4 -l: a magic number, then blocks behind their lengths."""
    out, at = [], 4
    while at + 4 <= len(payload):
        n = int.from_bytes(payload[at:at + 4], "little")
        at += 4
        if n == 0x184c2102:
            continue
        if n > len(payload) - at:
            break  # the size of the whole, appended by the kernel's build
        out.append(lz4_block(payload[at:at + n]))
        at += n
    return b"".join(out)


def unpack(bzimage):
    """vmlinux from the payload of a bzImage."""
    with open(bzimage, "rb") as f:
        image = f.read()
    sects = image[0x1f1] or 4
    at = (sects + 1) * 512 + int.from_bytes(image[0x248:0x24c], "little")
    payload = image[at:at + int.from_bytes(image[0x24c:0x250], "little")]
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(payload)
    if payload[:4] == b"\x02\x21\x4c\x18":
        return lz4_legacy(payload)
    raise Skip("the kernel is packed neither by xz nor by lz4")


@variants("elf_by_pvh_{}", [("cloud-amd64",), ("686-pae",)])
def elf_by_pvh(t, flavour):
    kernel = os.path.join(t.folder, "vmlinux")
    with open(kernel, "wb") as f:
        f.write(unpack(os.path.join(fetched(flavour), "vmlinuz")))
    g = Guest(t, flavour, "echo VERDICT ok alive; dmesg | grep -i pvh\n", kernel=kernel,
              modules=[])
    g.verdicts()
    g.ends(0)
    g.no_complaints()


main()
