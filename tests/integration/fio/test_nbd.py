#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""An NBD server that takes several connections: each thread has its own."""

from __future__ import annotations

from typing import Any

import support
from support import MIB


class Nbd(support.FioTest):
    FILE_SIZE = 16 * MIB

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        support.need_driver("nbd")
        support.need_command("qemu-storage-daemon")

    def setUp(self) -> None:
        super().setUp()
        self.socket = self.scratch / "socket"
        self.server = self.start_storage_daemon(
            self.socket,
            "--blockdev", f"driver=file,node-name=file,filename={self.file},discard=unmap",
            "--nbd-server", f"addr.type=unix,addr.path={self.socket}",
            "--export", "type=nbd,id=export,node-name=file,name=disk,writable=on")

    def nbd(self, **options: Any) -> dict[str, Any]:
        return {"libblkio_driver": "nbd", "libblkio_path": str(self.socket),
                "libblkio_pre_connect_props": "export=disk", "bs": "4k", **options}

    def test_wait_modes(self) -> None:
        for options in ({"libblkio_wait_mode": "block"}, {"libblkio_wait_mode": "eventfd"},
                        {"libblkio_wait_mode": "loop"}, {"hipri": True}):
            with self.subTest(options):
                self.assert_succeeds(support.run_job(
                    **self.nbd(rw="randwrite", size="4m", iodepth=8, verify="crc32c", **options)))

    def test_threads(self) -> None:
        self.assert_succeeds(support.run_job(
            **self.nbd(rw="randwrite", size="4m", offset_increment="4m", thread=True, numjobs=2,
                       iodepth=8, verify="crc32c")))

    def test_uri(self) -> None:
        """It names its driver. fio takes each colon of filename= that is not escaped for the end of
        a name, and would make files of these names."""
        uri = f"nbd+unix:///disk?socket={self.socket}"
        job = {"rw": "randwrite", "bs": "4k", "number_ios": 10}
        escaped = uri.replace(":", "\\:")
        for options in ({"libblkio_path": uri}, {"filename": escaped},
                        {"libblkio_driver": "nbd", "libblkio_path": uri}):
            with self.subTest(**options):
                result = support.run_job(**options, **job)
                self.assert_succeeds(result)
                self.assertEqual(result.job["write"]["total_ios"], 10)
        for name in (uri, "nbd\\://localhost:10809/disk"):
            with self.subTest(name):
                result = support.run_job(filename=name, size="1m", **job)
                self.assert_fails(result, "write each colon of a URI as \\:", name)
        self.assert_fails(support.run_job(libblkio_path="http://host/", size="1m", **job),
                          "no driver takes URIs of this kind")

    def test_unknown_export(self) -> None:
        self.assert_fails(support.run_job(**self.nbd(
            rw="randread", libblkio_pre_connect_props="export=nowhere")), "nowhere")

    def test_default_for_sockets(self) -> None:
        """It is not this one, and the message says what to set."""
        self.assert_fails(support.run_job(rw="read", filename=str(self.socket)),
                          "virtio-blk-vhost-user, by default: libblkio_driver= sets another")

    def test_server_dies(self) -> None:
        self.server.kill()
        self.server.wait()
        self.assert_fails(support.run_job(**self.nbd(rw="randread")), "cannot connect")


if __name__ == "__main__":
    support.main(with_rings=False)
