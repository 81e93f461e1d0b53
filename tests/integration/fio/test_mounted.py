#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is mounted is not written to: by whatever name, and where nothing tells fio that it is.
Partitions, volumes and NVMe namespaces: test_devices.py."""

from __future__ import annotations

import os
import subprocess

import support
from support import MIB

# A namespace of its own in which a folder is empty: no /etc/mtab, or no /proc.
WITHOUT = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
           'mount --bind "$1" "$2" && shift 2 && exec "$@"', "without"]


class Mounted(support.FioTest):
    FILE_SIZE = 16 * MIB

    def setUp(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can mount file systems")
        super().setUp()

    def test_by_whatever_name(self) -> None:
        device = self.loop_device()
        self.mount(device)
        link = self.scratch / "link"
        link.symlink_to(device)
        for path in (device, str(link)):
            self.refused_as_mounted(libblkio_path=path)
            self.refused_as_mounted(libblkio_path=path, rw="randtrim")
            self.refused_as_mounted(libblkio_pre_connect_props=f"path={path}")
        self.refused_as_mounted(filename=str(link))
        self.refused_as_mounted(libblkio_pre_connect_props="fd=9",
                                prefix=["sh", "-c", f'exec 9<>{device} "$@"', "with-fd"])

    def test_without_a_table_of_mounts(self) -> None:
        nothing = self.scratch / "nothing"
        nothing.mkdir()
        support.command(*WITHOUT, str(nothing), "/etc", "/bin/true")  # not in a chroot
        device = self.loop_device()
        self.mount(device)
        for folder in ("/etc", "/proc"):
            for name in ("libblkio_path", "filename"):
                self.refused_as_mounted(prefix=[*WITHOUT, str(nothing), folder],
                                        **{name: device})

    def test_what_is_allowed(self) -> None:
        device = self.loop_device()
        free = support.run_job(**self.uring(filename=device, rw="randwrite", number_ios=8))
        self.assert_succeeds(free)
        self.mount(device)
        self.assert_succeeds(support.run_job(**self.uring(filename=device, rw="randread",
                                                          number_ios=8)))
        forced = support.run_job(**self.uring(filename=device, rw="randwrite", number_ios=8,
                                              allow_mounted_write=1))
        self.assertNotIn("is mounted:", forced.output)  # the kernel may still say no


if __name__ == "__main__":
    support.main()
