#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A vhost-user server that takes one connection and has two queues: threads must share it."""

from __future__ import annotations

import threading
import unittest
from typing import Any

import support
from support import MIB

QUEUES = 2


class VhostUser(support.FioTest):
    FILE_SIZE = 16 * MIB

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        support.need_driver("virtio-blk-vhost-user")
        support.need_command("qemu-storage-daemon")

    def setUp(self) -> None:
        super().setUp()
        self.socket = self.scratch / "socket"
        self.start_server()

    def start_server(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.server = self.start_storage_daemon(
            self.socket,
            "--blockdev", f"driver=file,node-name=file,filename={self.file},discard=unmap",
            "--export", "type=vhost-user-blk,id=export,node-name=file,writable=on,"
                        f"addr.type=unix,addr.path={self.socket},num-queues={QUEUES}")

    def vhost(self, **options: Any) -> dict[str, Any]:
        return {"libblkio_driver": "virtio-blk-vhost-user", "libblkio_path": str(self.socket),
                "bs": "4k", **options}

    def together(self, *sections: dict[str, Any]) -> support.Run:
        arguments = []
        for index, section in enumerate(sections):
            options = self.vhost(**{"thread": True, "rw": "randread", "number_ios": 200, **section})
            arguments += [f"--name=job{index}", *support.option_arguments(options)]
        return support.run_fio(*arguments)

    def test_wait_modes(self) -> None:
        for options in ({"libblkio_wait_mode": "block"}, {"libblkio_wait_mode": "eventfd"},
                        {"libblkio_wait_mode": "loop"}, {"hipri": True}):
            with self.subTest(options):
                self.assert_succeeds(support.run_job(
                    **self.vhost(rw="randwrite", size="4m", iodepth=8, verify="crc32c", **options)))

    def test_threads_share_the_connection(self) -> None:
        self.assert_succeeds(support.run_job(
            **self.vhost(rw="randwrite", size="4m", offset_increment="4m", thread=True, numjobs=2,
                         iodepth=8, verify="crc32c")))

    def test_queues_pass_from_job_to_job(self) -> None:
        result = self.together({}, {"number_ios": 2000, "iodepth": 16},
                               {"stonewall": True}, {}, {"stonewall": True})
        self.assert_succeeds(result)
        self.assertEqual([job["read"]["total_ios"] for job in result.jobs],
                         [200, 2000, 200, 200, 200])

    def test_poll_queue_beside_a_normal_one(self) -> None:
        self.assert_succeeds(self.together({"hipri": True}, {}))

    def test_more_jobs_than_queues(self) -> None:
        result = self.together(*[{"time_based": True, "runtime": "1s"}] * (QUEUES + 1))
        self.assert_fails(result, "max-queues is 2", "create_serialize=1")
        self.assertEqual(sorted(job["error"] == 0 for job in result.jobs), [False, True, True])

    def test_memory_is_refused_in_words(self) -> None:
        self.assert_fails(support.run_job(**self.vhost(rw="randread", mem="malloc")), "mem=")

    def messages(self, count: int, **options: Any) -> int:
        """How many messages a job of that many reads sends to the server."""
        support.need_command("strace")
        trace = self.scratch / "trace"
        result = support.run_job(prefix=["strace", "-f", "-qq", "-e", "trace=sendmsg",
                                         "-o", str(trace)],
                                 **self.vhost(rw="randread", number_ios=count, **options))
        if "PTRACE" in result.output or "ptrace" in result.output:
            raise unittest.SkipTest(f"strace cannot trace here: {result.output}")
        self.assert_succeeds(result)
        self.assertEqual(result.job["read"]["total_ios"], count)
        return len(trace.read_text().splitlines())

    def test_memory_is_mapped_once_or_for_each_io(self) -> None:
        fewer = self.messages(100)
        self.assertEqual(self.messages(300), fewer)
        self.assertEqual(self.messages(300, libblkio_mapping="temporary"), fewer - 2 + 2 * 300)

    def test_temporary_mapping(self) -> None:
        for options in ({"libblkio_wait_mode": "block"}, {"libblkio_wait_mode": "eventfd"},
                        {"libblkio_wait_mode": "loop"}, {"hipri": True},
                        {"libblkio_vectored": True}, {"bs": "512-8k", "size": "1m"},
                        {"thread": True, "numjobs": 2, "offset_increment": "4m"}):
            with self.subTest(options):
                self.assert_succeeds(support.run_job(**{
                    **self.vhost(rw="randwrite", size="4m", iodepth=8, verify="crc32c",
                                 libblkio_mapping="temporary"), **options}))

    def test_temporary_mapping_of_more_than_the_server_has_room_for(self) -> None:
        """QEMU 7.2 has room for 32 regions, QEMU 10 for 509."""
        self.assert_fails(support.run_job(**self.vhost(rw="randread", iodepth=1024,
                                                       libblkio_mapping="temporary")),
                          "max-mem-regions is", "iodepth=1024")

    def test_server_dies(self) -> None:
        """The job ends, and with an error, in every wait mode."""
        for options in ({"libblkio_wait_mode": "block"}, {"libblkio_wait_mode": "eventfd"},
                        {"libblkio_wait_mode": "loop"}, {"hipri": True}):
            with self.subTest(options):
                timer = threading.Timer(1.5, self.server.kill)
                timer.start()
                result = support.run_job(**self.vhost(rw="randread", iodepth=4, time_based=True,
                                                      runtime="20s", **options))
                timer.join()
                self.assert_fails(result, "libblkio")
                self.server.wait()
                self.start_server()

    def test_trim(self) -> None:
        result = support.run_job(**self.vhost(rw="randtrim", size="4m"))
        self.assert_succeeds(result)


if __name__ == "__main__":
    support.main(with_rings=False)
