#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""System calls for each I/O: submitting and waiting are one."""

from __future__ import annotations

import unittest
from typing import Any

import support

IOS = 1000


class Syscalls(support.FioTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        support.need_command("strace")

    def enters(self, **options: Any) -> float:
        """io_uring_enter calls for each I/O."""
        counts = self.scratch / "counts"
        job = {"rw": "randread", "bs": "512", "direct": 1, **self.uring(**options)}
        result = support.run_job(prefix=["strace", "-f", "-c", "-o", str(counts)],
                                 norandommap=True, number_ios=IOS, **job)
        if "ptrace" in result.output.lower():
            raise unittest.SkipTest(f"strace cannot trace here: {result.output}")
        self.assert_succeeds(result)
        # columns: % time, seconds, usecs/call, calls, perhaps errors, name
        calls = [int(line.split()[3]) for line in counts.read_text().splitlines()
                 if line.endswith(" io_uring_enter")]
        self.assertEqual(len(calls), 1, counts.read_text())
        return calls[0] / IOS

    def test_depth_1(self) -> None:
        for thread in (False, True):
            with self.subTest(thread=thread):
                self.assertLessEqual(self.enters(thread=thread), 1.01)

    def test_page_cache(self) -> None:
        self.assertLessEqual(self.enters(direct=0, invalidate=0), 1.01)

    def test_depth_32(self) -> None:
        self.assertLessEqual(self.enters(iodepth=32), 1.02)

    def test_batches(self) -> None:
        self.assertLessEqual(self.enters(iodepth=16, iodepth_batch=16,
                                         iodepth_batch_complete_min=16), 1.05 / 16)

    def test_flushes(self) -> None:
        self.assertLessEqual(self.enters(rw="randwrite", fsync=4), 1.26)

    def test_fewer_than_native(self) -> None:
        ours = self.enters()
        native = self.enters(ioengine="io_uring", libblkio_driver=False)
        self.assertLess(ours, native)


if __name__ == "__main__":
    support.main()
