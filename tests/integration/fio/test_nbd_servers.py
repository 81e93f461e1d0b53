#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What fio writes through the NBD servers of the distribution, and nbdkit's filters, it reads back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import support
from support import MIB

DISK = "disk"  # nbd-server has no other exports than named ones
TRIES = 1000


class NbdServers(support.FioTest):
    FILE_SIZE = 4 * MIB

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        support.need_driver("nbd")

    def setUp(self) -> None:
        super().setUp()
        self.socket = self.scratch / "socket"

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        for _ in range(TRIES):
            if condition():
                return
            time.sleep(0.01)
        self.fail(what)

    def listens(self) -> bool:
        """Someone accepts connections on the socket, or will."""
        listening = "00010000"  # __SO_ACCEPTCON
        sockets = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        return any(words[3] == listening and words[-1] == str(self.socket) for words in sockets)

    def nbdkit(self, *words: str) -> None:
        """It listens on the socket, until the test ends."""
        support.need_command("nbdkit")
        server = subprocess.Popen(["nbdkit", "-f", "-U", str(self.socket), *words],
                                  stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        self.wait_for(lambda: self.listens() or server.poll() is not None, "nbdkit does not listen")
        self.assertIsNone(server.poll(), "nbdkit ended at once")

    def verify(self, **options: Any) -> support.Run:
        return support.run_job(**{
            "libblkio_driver": "nbd", "libblkio_path": str(self.socket),
            "libblkio_pre_connect_props": f"export={DISK}", "rw": "randwrite", "bs": "4k",
            "size": "4m", "iodepth": 16, "verify": "crc32c", **options})

    def test_memory(self) -> None:
        self.nbdkit("memory", "4M")
        self.assert_succeeds(self.verify())

    def test_file(self) -> None:
        self.nbdkit("file", str(self.file))
        self.assert_succeeds(self.verify())

    def test_error(self) -> None:
        """Nothing fails until the trigger is there, and then all of it."""
        trigger = self.scratch / "trigger"
        self.nbdkit("--filter=error", "memory", "4M", "error=ENOSPC", "error-rate=100%",
                    f"error-file={trigger}")
        self.assert_succeeds(self.verify())
        trigger.touch()
        self.assert_fails(self.verify(), "No space left")

    def test_some_errors(self) -> None:
        """A request that fails is not done, and what it should have written is not verified."""
        self.nbdkit("--filter=error", "memory", "4M", "error=EIO", "error-pwrite-rate=20%")
        result = self.verify(ignore_error=",EIO", verify=0)
        self.assertEqual(result.status, 0, result.output)
        self.assertGreater(result.job["total_err"], 0)

    def test_delay(self) -> None:
        self.nbdkit("--filter=delay", "memory", "4M", "rdelay=1ms", "wdelay=1ms")
        self.assert_succeeds(self.verify())

    def test_blocksize_policy(self) -> None:
        self.nbdkit("--filter=blocksize-policy", "memory", "4M", "blocksize-minimum=4096",
                    "blocksize-preferred=16384", "blocksize-maximum=65536",
                    "blocksize-error-policy=error")
        self.assert_succeeds(self.verify(bs="64k"))
        self.assert_fails(self.verify(bs="512"), "request-alignment")

    def test_multi_conn(self) -> None:
        """Each thread has a connection of its own, if the server says that it may."""
        self.nbdkit("--filter=multi-conn", "memory", "4M", "multi-conn-mode=emulate")
        threads = {"thread": True, "numjobs": 2, "size": "2m", "offset_increment": "2m"}
        self.assert_succeeds(self.verify(**threads))

    def test_single_conn(self) -> None:
        self.nbdkit("--filter=multi-conn", "memory", "4M", "multi-conn-mode=disable")
        self.assert_succeeds(self.verify())
        self.assert_fails(self.verify(thread=True, numjobs=2), "max-queues")

    def test_nozero(self) -> None:
        self.nbdkit("--filter=nozero", "memory", "4M")
        self.assert_succeeds(self.verify(rw="randtrimwrite", verify=0))
        self.assert_succeeds(self.verify())

    def test_noextents(self) -> None:
        self.nbdkit("--filter=noextents", "file", str(self.file))
        self.assert_succeeds(self.verify())

    def test_nbd_server(self) -> None:
        """As a daemon: with -d, it ends with its first connection."""
        support.need_command("nbd-server")
        config, pid = self.scratch / "config", self.scratch / "pid"
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]  # it listens on one in any case
        config.write_text(f"[generic]\nunixsock = {self.socket}\nport = {port}\n"
                          f"[{DISK}]\nexportname = {self.file}\n")
        support.run(["nbd-server", "-C", str(config), "-p", str(pid)])
        self.wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"), "no pid file")
        self.addCleanup(os.kill, int(pid.read_text()), signal.SIGKILL)
        self.wait_for(self.listens, "nbd-server does not listen")
        self.assert_succeeds(self.verify())


if __name__ == "__main__":
    support.main(with_rings=False)
