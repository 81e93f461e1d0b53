#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""fio with the libblkio engine of its own source tree, on our library: data verified, in each of its
ways to wait."""

from __future__ import annotations

import os
import subprocess
import unittest
from pathlib import Path

from support import CLIENT_SECONDS, HERE, MIB, ClientTest, main

FIO = HERE.parents[2] / ".deps" / "fio-in-tree" / "fio"
BUILD = Path(os.environ["BUILD_DIR"])


class InTreeEngine(ClientTest):
    """Jobs of the engine that is called libblkio."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()  # vhost-user servers
        made = subprocess.run([HERE.parent / "make-fio", BUILD], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if made.returncode:
            raise unittest.SkipTest(made.stdout.splitlines()[-1])

    def run_fio(self, **options: object) -> str:
        """One job, on our library: the loader tells."""
        log = self.scratch / "loader"
        words = [f"--{name}={value}" for name, value in options.items()]
        done = subprocess.run(
            [FIO, "--name=job", "--ioengine=libblkio", "--thread=1", *words],
            env={**os.environ, "LD_LIBRARY_PATH": str(self.library_folder), "LD_DEBUG": "libs",
                 "LD_DEBUG_OUTPUT": str(log)},
            cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=CLIENT_SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("err= 0", done.stdout)
        self.assert_ours(self.loaded(log))
        return done.stdout

    def targets(self) -> dict[str, dict[str, object]]:
        """A file through each driver."""
        file, served = self.new_file("target"), self.new_file("served")
        uring = {"libblkio_driver": "io_uring", "libblkio_path": file}
        return {
            "io_uring": uring,
            "io_uring, direct": {**uring, "libblkio_pre_connect_props": "direct=true"},
            "vhost-user": {"libblkio_driver": "virtio-blk-vhost-user",
                           "libblkio_path": self.serve_vhost_user(served)},
        }

    def test_verify(self) -> None:
        for name, options in self.targets().items():
            for wait in ("block", "eventfd", "loop"):
                with self.subTest(name, wait=wait):
                    self.run_fio(**options, libblkio_wait_mode=wait, rw="randwrite", bs="4k",
                                 iodepth=16, verify="crc32c", do_verify=1)

    def test_vectored_with_flushes(self) -> None:
        for name, options in self.targets().items():
            with self.subTest(name):
                self.run_fio(**options, libblkio_vectored=1, libblkio_force_enable_completion_eventfd=1,
                             rw="randwrite", bsrange="4k-64k", iodepth=8, fsync=16,
                             verify="md5", size=2 * MIB)

    def test_several_jobs_share_an_instance(self) -> None:
        # jobs that overlap: the engine confuses queues when one ends before another begins
        for name, options in self.targets().items():
            with self.subTest(name):
                self.run_fio(**options, numjobs=2, rw="randread", iodepth=8, bs="4k", size=MIB,
                             time_based=1, runtime="500ms")

    def test_trim(self) -> None:
        targets = self.targets()
        del targets["vhost-user"]  # a job without buffers: the engine maps none, which this needs
        for name, options in targets.items():
            for zeroes in (0, 1):
                with self.subTest(name, zeroes=zeroes):
                    path = Path(str(options["libblkio_path"]))
                    path.write_bytes(b"\xff" * self.FILE_SIZE)
                    self.run_fio(**options, libblkio_write_zeroes_on_trim=zeroes, rw="trim",
                                 bs="64k", size=2 * MIB)
                    self.assertEqual(path.read_bytes(),
                                     bytes(2 * MIB) + b"\xff" * (self.FILE_SIZE - 2 * MIB))


if __name__ == "__main__":
    main()
