#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""An iSCSI target: each thread has a session of its own, and the target may be killed meanwhile."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import support
from support import MIB

WITHOUT_RINGS = support.SOURCE_DIR / "tests" / "lib" / "without_rings.py"
NAME = "iqn.2024-01.test:disk"
WAYS = ({"libblkio_wait_mode": "block"}, {"libblkio_wait_mode": "eventfd"},
        {"libblkio_wait_mode": "loop"}, {"hipri": True})


class Tgtd:
    """A tgtd with one logical unit, always on the same port."""

    def __init__(self, file: Path, folder: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.file = file
        self.env = {**os.environ, "TGT_IPC_SOCKET": str(folder / "control")}

    def admin(self, *words: str) -> bool:
        return subprocess.run(["tgtadm", "--lld", "iscsi", *words], env=self.env,
                              capture_output=True).returncode == 0

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["tgtd", "-f", "--iscsi", f"portal=127.0.0.1:{self.port}"], env=self.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + support.SERVER_SECONDS
        while not self.admin("--op", "show", "--mode", "sys"):
            assert self.process.poll() is None, "tgtd ended at once"
            assert time.monotonic() < deadline, "tgtd does not answer"
            time.sleep(0.005)
        unit = ["--mode", "logicalunit", "--tid", "1", "--lun", "1"]
        assert self.admin("--op", "new", "--mode", "target", "--tid", "1", "-T", NAME)
        assert self.admin("--op", "new", *unit, "-b", str(self.file))
        assert self.admin("--op", "update", *unit, "--params", "thin_provisioning=1")
        assert self.admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Iscsi(support.FioTest):
    FILE_SIZE = 16 * MIB

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        support.need_driver("iscsi")
        support.need_command("tgtd")

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="tgt-", dir="/tmp")  # sockets' paths are short
        self.addCleanup(folder.cleanup)
        self.target = Tgtd(self.file, Path(folder.name))
        self.target.start()
        self.addCleanup(lambda: self.target.kill())
        self.uri = f"iscsi://127.0.0.1:{self.target.port}/{NAME}/1"

    def verified(self, prefix: list[str] | None = None, **options: Any) -> support.Run:
        """Write all of some MiB in random order, and read it back."""
        result = support.run_job(prefix=prefix, **{
            "libblkio_path": self.uri, "rw": "randwrite", "bs": "4k", "size": "2m", "iodepth": 8,
            "verify": "crc32c", "verify_fatal": 1, **options})
        self.assert_succeeds(result)
        self.assertEqual({job["read"]["io_bytes"] for job in result.jobs}, {2 * MIB})
        return result

    def test_wait_modes(self) -> None:
        for options in WAYS:
            with self.subTest(options):
                self.verified(**options)

    def test_depths_and_sizes(self) -> None:
        for options in ({"iodepth": 1}, {"iodepth": 64}, {"bs": "512k"}, {"bsrange": "512-64k"},
                        {"libblkio_vectored": True}, {"fdatasync": 4}, {"sync": "dsync"},
                        {"libblkio_pre_connect_props": "header-digest=crc32c"}):
            with self.subTest(options):
                self.verified(**options)

    def test_threads(self) -> None:
        self.verified(offset_increment="2m", thread=True, numjobs=2)

    def test_trim(self) -> None:
        self.assert_succeeds(support.run_job(libblkio_path=self.uri, rw="trim", bs="64k"))
        self.assertEqual(self.file.read_bytes(), bytes(self.FILE_SIZE))

    def test_names(self) -> None:
        for options in ({"libblkio_driver": "iscsi", "libblkio_path": self.uri},
                        {"filename": self.uri.replace(":", "\\:")}):
            with self.subTest(**options):
                self.assert_succeeds(support.run_job(rw="read", bs="4k", number_ios=10, **options))
        self.assert_fails(support.run_job(rw="read", libblkio_path=self.uri.replace("disk", "tape")),
                          "iqn.2024-01.test:tape")

    def test_in_a_sandbox(self) -> None:
        """Where io_uring is forbidden, nothing has to be said: the driver needs none."""
        for options in WAYS:
            with self.subTest(options):
                said = self.verified(prefix=[str(WITHOUT_RINGS), "EPERM"], **options).output
                self.assertNotIn("io_uring", said)

    def test_killed_under_load(self) -> None:
        """fio notices nothing but the time that it takes, in each wait mode."""
        for options in WAYS:
            with self.subTest(options):
                self.survives_kills(self.target, libblkio_path=self.uri, **options)

    def test_it_does_not_come_back(self) -> None:
        self.target.kill()
        self.assert_fails(support.run_job(libblkio_path=self.uri, rw="randread"), "cannot connect")


if __name__ == "__main__":
    support.main(with_rings=False)
