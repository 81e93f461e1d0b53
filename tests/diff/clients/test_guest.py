#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A guest of Debian's qemu-system, whose disks are blkio nodes on our library, boots and does I/O."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from support import HERE, MIB, ClientTest, main

GUEST_SECONDS = 200
VM = HERE.parents[2] / ".deps" / "vm"
MODULES = ("virtio_pci", "virtio_blk")
APPLETS = ("sh", "mount", "insmod", "dd", "sha256sum", "cut", "head", "tr", "blkdiscard", "poweroff")
KERNEL_ARGS = ("console=ttyS0 panic=-1 loglevel=3 mitigations=off nokaslr nowatchdog "
               "cryptomgr.notests tsc=reliable no_timer_check random.trust_cpu=on")


def make_initramfs(folder: Path) -> Path:
    """The kernel's virtio modules, busybox, and what to do."""
    root, release = folder / "initramfs.d", (VM / "kernel" / "release").read_text().strip()
    for name in ("bin", "lib", "proc", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "busybox", root / "bin" / "busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    shutil.copy(HERE / "guest_init", root / "init")
    depends = subprocess.run(
        ["modprobe", "-d", VM / "kernel", "-S", release, "--show-depends", "-a", *MODULES],
        stdout=subprocess.PIPE, text=True, check=True).stdout
    modules = dict.fromkeys(re.findall(r"^insmod (\S+)", depends, re.MULTILINE))
    for number, module in enumerate(modules, 10):
        shutil.copy(module, root / "lib" / f"{number}-{Path(module).name}")
    names = "\n".join(str(p.relative_to(root)) for p in sorted(root.rglob("*")))
    archive = folder / "initramfs"
    with open(archive, "wb") as output:
        subprocess.run(["busybox", "cpio", "-o", "-H", "newc"], cwd=root, input=names.encode(),
                       stdout=output, stderr=subprocess.DEVNULL, check=True)
    return archive


class Guest(ClientTest):
    """One disk is io_uring, the other one virtio-blk-vhost-user, and the other way round."""

    @classmethod
    def setUpClass(cls) -> None:
        if not (VM / "kernel" / "vmlinux").exists():
            raise unittest.SkipTest("there is no kernel for the guest: run tests/vm/setup")
        super().setUpClass()

    def boot(self, *disks: str) -> str:
        """Boot, with these block devices as disks, until the guest powers off; what it said."""
        command: list[str | Path] = [
            "qemu-system-x86_64", "-L", self.root / "usr" / "share" / "qemu",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "256", "-bios", "qboot.rom",
            "-machine", "q35,memory-backend=ram",
            "-object", "memory-backend-memfd,id=ram,size=256M,share=on",
            "-kernel", VM / "kernel" / "vmlinux", "-initrd", make_initramfs(self.scratch),
            "-append", KERNEL_ARGS, "-serial", "stdio"]
        for number, disk in enumerate(disks):
            command += ["-blockdev", f"{disk},node-name=d{number},cache.direct=on,discard=unmap",
                        "-device", f"virtio-blk-pci,drive=d{number}"]
        said = self.run_client(*command, seconds=GUEST_SECONDS)
        self.assertIn("guest: done", said)
        return said

    def check(self, said: str, source: Path, target: Path) -> None:
        """What the guest read back is what the files hold, which is what it was to write."""
        original = self.file.read_bytes()
        changed = bytearray(original)
        changed[500_000:1_500_000] = b"\xa5" * 1_000_000
        self.assertEqual(source.read_bytes(), bytes(changed), said)
        copy = target.read_bytes()
        self.assertEqual(copy[:2 * MIB], original[:2 * MIB], said)
        self.assertEqual(copy[3 * MIB:], original[3 * MIB:], said)  # between: discarded
        for name, path in (("vda", source), ("vdb", target)):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.assertIn(f"guest: {name} {digest}", said)

    def test_io_uring_to_vhost_user(self) -> None:
        source, target = self.new_file("source", self.file.read_bytes()), self.new_file("target")
        said = self.boot(f"io_uring,filename={source}",
                         f"virtio-blk-vhost-user,path={self.serve_vhost_user(target)}")
        self.check(said, source, target)

    def test_vhost_user_to_io_uring(self) -> None:
        source, target = self.new_file("source", self.file.read_bytes()), self.new_file("target")
        said = self.boot(f"virtio-blk-vhost-user,path={self.serve_vhost_user(source)}",
                         f"io_uring,filename={target}")
        self.check(said, source, target)


if __name__ == "__main__":
    main()
