#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""fio with the libblkio engine of its own source tree, on our library: data verified, in each of its
ways to wait."""

from __future__ import annotations

import os
import subprocess
import unittest
from pathlib import Path

from support import CLIENT_SECONDS, HERE, MIB, ClientTest, Unreachable, main, make
from benchlib.result import storage

BENCH = HERE.parents[2] / "scripts" / "bench"
FIO = HERE.parents[2] / ".deps" / "fio-in-tree" / "fio"
BUILD = Path(os.environ["BUILD_DIR"])


class InTreeEngine(ClientTest):
    """Jobs of the engine that is called libblkio."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()  # vhost-user servers
        try:
            make(HERE.parent / "make-fio", BUILD)
        except Unreachable as reason:
            raise unittest.SkipTest(str(reason)) from reason

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

    def test_the_comparison_has_libblkio_1_5(self) -> None:
        """scripts/bench --modes native-vhost: both libraries and fio's nbd, on the same server."""
        output = self.scratch / "result"
        done = subprocess.run(
            [BENCH, "--no-build", "--build-dir", BUILD, "--quick", "--rounds", "1", "--runtime", "0.1",
             "--depth", "1", "--patience", "0", "--target", self.file, "--buffered", "--modes",
             "vhost-block,native-vhost", "--output", output],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CLIENT_SECONDS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        made = storage.read(output)
        self.assertEqual({sample.engine for sample in made.samples},
                         {"native-nbd", "vhost-block", "native-vhost"})
        fios = {engine.name: engine.fio for engine in made.engines}
        version = subprocess.run([FIO, "--version"], capture_output=True, text=True, check=True,
                                 env={**os.environ, "LD_LIBRARY_PATH": str(self.library_folder)})
        self.assertEqual(fios["native-vhost"], version.stdout.strip())


if __name__ == "__main__":
    main()
