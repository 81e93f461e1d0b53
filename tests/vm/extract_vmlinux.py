#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Take the uncompressed kernel (an ELF file) out of a bzImage.

QEMU boots the ELF file directly, which saves the guest seconds of decompression under TCG. Where the
payload lies is in the boot header: Documentation/x86/boot.rst, payload_offset and payload_length.
"""
import gzip
import lzma
import struct
import subprocess
import sys


def payload(image: bytes) -> bytes:
    if image[0x202:0x206] != b"HdrS":
        raise ValueError("not a bzImage: no HdrS in the boot header")
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    return image[start:start + length]


def decompress(data: bytes) -> bytes:
    if data.startswith(b"\xfd7zXZ"):
        # Not lzma.decompress(): four bytes that are no xz stream (the size) follow.
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        # The same four bytes make zstd fail after it wrote everything.
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False).stdout
    raise ValueError(f"unknown compression, payload starts with {data[:6].hex()}")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("usage: extract_vmlinux.py BZIMAGE OUTPUT")
    try:
        with open(sys.argv[1], "rb") as image:
            kernel = decompress(payload(image.read()))
        if not kernel.startswith(b"\x7fELF"):
            raise ValueError("the payload is no ELF file")
    except (OSError, ValueError, lzma.LZMAError) as error:
        sys.exit(f"extract_vmlinux.py: {sys.argv[1]}: {error}")
    with open(sys.argv[2], "wb") as output:
        output.write(kernel)


if __name__ == "__main__":
    main()
