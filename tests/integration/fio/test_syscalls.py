#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""System calls for each I/O: submitting and waiting are one."""

from __future__ import annotations

import os
import unittest
from typing import Any

import support

IOS = 1000


class Syscalls(support.FioTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        support.need_command("strace")

    def calls(self, call: str = "io_uring_enter", **options: Any) -> list[str]:
        """strace's lines about a system call."""
        log = self.scratch / "calls"
        job = {"rw": "randread", "bs": "512", "direct": 1, **self.uring(**options)}
        result = support.run_job(prefix=["strace", "-f", "-qq", "-e", f"trace={call}",
                                         "-o", str(log)],
                                 norandommap=True, number_ios=IOS, **job)
        if "ptrace" in result.output.lower():
            raise unittest.SkipTest(f"strace cannot trace here: {result.output}")
        self.assert_succeeds(result)
        return [line for line in log.read_text().splitlines() if f"{call}(" in line]

    def enters(self, **options: Any) -> float:
        """io_uring_enter calls for each I/O."""
        calls = self.calls(**options)
        self.assertTrue(calls)
        return len(calls) / IOS

    def test_depth_1(self) -> None:
        for thread in (False, True):
            with self.subTest(thread=thread):
                self.assertLessEqual(self.enters(thread=thread), 1.01)

    def reads_at_once(self) -> bool:
        """Can the file system read from the page cache without a worker thread?"""
        with open(self.file, "rb", buffering=0) as file:
            file.read(512)
            try:
                return os.preadv(file.fileno(), [bytearray(512)], 0, os.RWF_NOWAIT) == 512
            except OSError:
                return False

    def test_page_cache(self) -> None:
        if not self.reads_at_once():
            self.skipTest("this file system does not read without waiting")
        for depth in (1, 32):
            with self.subTest(depth=depth):
                calls = self.calls(direct=0, invalidate=0, iodepth=depth)
                self.assertLessEqual(len(calls), 1.01 * IOS)
                # what is there at once is not asked for
                asking = [call for call in calls if "GETEVENTS" in call]
                self.assertLessEqual(len(asking), IOS / 10)

    def test_depth_32(self) -> None:
        self.assertLessEqual(self.enters(iodepth=32), 1.02)

    def test_batches(self) -> None:
        # the first batch is submitted by itself, before the buffers are registered
        self.assertLessEqual(self.enters(iodepth=16, iodepth_batch=16,
                                         iodepth_batch_complete_min=16), 1.07 / 16)

    def test_flushes(self) -> None:
        self.assertLessEqual(self.enters(rw="randwrite", fsync=4), 1.26)

    def test_options_of_io_uring(self) -> None:
        """Its job files have them: the first two change nothing here."""
        setups = self.calls("io_uring_setup", fixedbufs=1, registerfiles=1, sqthread_poll=1)
        self.assertTrue(setups)
        for setup in setups:
            self.assertIn("IORING_SETUP_SQPOLL", setup)
        self.assert_fails(support.run_job(libblkio_driver="null", size="1m", rw="read",
                                          sqthread_poll=True), "sqthread_poll", "sq-poll")

    def test_fewer_than_native(self) -> None:
        ours = self.enters()
        native = self.enters(ioengine="io_uring", libblkio_driver=False)
        self.assertLess(ours, native)


if __name__ == "__main__":
    support.main()
