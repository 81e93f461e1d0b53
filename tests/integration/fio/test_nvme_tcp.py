#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""An NVMe/TCP target of our own: data verified, in each wait mode, and while the target is killed."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import support
from support import KIB, MIB

TARGET = os.environ["NVME_TARGET"]
SUBNQN = "nqn.2024-01.test:disk"
IN_CAPSULE = 16 * KIB
WAYS = ({"libblkio_wait_mode": "block"}, {"libblkio_wait_mode": "eventfd"},
        {"libblkio_wait_mode": "loop"}, {"hipri": True})


class Target:
    """The target, always on the same port."""

    def __init__(self, file: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.file = file

    def start(self, capsule_data: int = IN_CAPSULE) -> None:
        self.process = subprocess.Popen([TARGET, str(self.file), str(self.port), str(capsule_data)],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout and self.process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


class NvmeTcp(support.FioTest):
    FILE_SIZE = 16 * MIB

    def setUp(self) -> None:
        super().setUp()
        self.target = Target(self.file)
        self.target.start()
        self.addCleanup(lambda: self.target.kill())
        self.uri = f"nvme+tcp://127.0.0.1:{self.target.port}/{SUBNQN}/1"

    def verified(self, **options: Any) -> None:
        """Write all of some MiB in random order, and read it back."""
        result = support.run_job(**{
            "libblkio_path": self.uri, "rw": "randwrite", "bs": "4k", "size": "2m", "iodepth": 32,
            "verify": "crc32c", "verify_fatal": 1, **options})
        self.assert_succeeds(result)
        self.assertEqual({job["read"]["io_bytes"] for job in result.jobs}, {2 * MIB})

    def test_wait_modes(self) -> None:
        for options in WAYS:
            with self.subTest(options):
                self.verified(**options)

    def test_depths_and_sizes(self) -> None:
        for options in ({"iodepth": 1}, {"bs": "512k"}, {"bsrange": "512-64k"},
                        {"libblkio_pre_connect_props": "digests=both", "bsrange": "512-64k"},
                        {"offset_increment": "2m", "thread": True, "numjobs": 2}):
            with self.subTest(options):
                self.verified(**options)

    def test_nothing_in_capsules(self) -> None:
        """The target asks for the data of each write."""
        self.target.kill()
        self.target.start(capsule_data=0)
        self.verified(bsrange="512-64k")

    def test_trim(self) -> None:
        self.assert_succeeds(support.run_job(libblkio_path=self.uri, rw="trim", bs="64k"))
        self.assertEqual(self.file.read_bytes(), bytes(self.FILE_SIZE))

    def test_names(self) -> None:
        self.assert_succeeds(support.run_job(rw="read", bs="4k", number_ios=10,
                                             filename=self.uri.replace(":", "\\:")))
        self.assert_fails(support.run_job(rw="read", libblkio_path=self.uri.replace("disk", "tape")),
                          "nqn.2024-01.test:tape")

    def test_killed_under_load(self) -> None:
        """fio notices nothing but the time that it takes."""
        self.survives_kills(self.target, libblkio_path=self.uri,
                            libblkio_pre_connect_props="reconnect-timeout=50000")


if __name__ == "__main__":
    support.main()
