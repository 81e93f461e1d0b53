#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Latencies mean what they mean with fio's own engines, in every phase of a job."""

from __future__ import annotations

import unittest
from typing import Any

import support

IOS = 256
WAITS = ({}, {"libblkio_wait_mode": "eventfd"}, {"libblkio_wait_mode": "loop"})


class Latency(support.FioTest):
    def check_parts(self, direction: dict[str, Any], ios: int) -> None:
        """lat is slat and clat together, also in the mean."""
        for kind in ("slat_ns", "clat_ns", "lat_ns"):
            self.assertEqual(direction[kind]["N"], ios, kind)
        parts = direction["slat_ns"]["mean"] + direction["clat_ns"]["mean"]
        # both end at the same completion, and begin where the other does
        self.assertAlmostEqual(direction["lat_ns"]["mean"], parts, delta=2)
        self.assertGreaterEqual(direction["lat_ns"]["max"], direction["clat_ns"]["max"])

    def job(self, **options: Any) -> support.Run:
        result = support.run_job(bs="4k", size=4096 * IOS, **self.uring(**options))
        self.assert_succeeds(result)
        return result

    def test_parts_of_reads_and_writes(self) -> None:
        for wait in WAITS:
            for depth in (1, 16):
                for shown in (0, 1):
                    options = {"iodepth": depth, "slat_percentiles": shown, **wait}
                    with self.subTest(**options):
                        result = self.job(rw="randwrite", **options)
                        self.check_parts(result.job["write"], IOS)

    def test_verify(self) -> None:
        """The reads of the verify phase begin when they are issued, not when the write did."""
        for options in ({}, {"iodepth": 16}, {"verify_async": 1}, {"verify_backlog": 32},
                        {"libblkio_wait_mode": "loop"}, {"verify_only": True},
                        {"libblkio_wait_mode": "eventfd", "iodepth": 8}):
            with self.subTest(**options):
                result = self.job(rw="write", verify="crc32c", **options)
                self.check_parts(result.job["read"], IOS)

    def test_max_latency(self) -> None:
        """It fails a job for an I/O of its own, not for the time since the write that a read
        verifies: no read takes longer than all reads together."""
        for wait in WAITS:
            for options in ({}, {"iodepth": 16}):
                with self.subTest(**options, **wait):
                    job = self.job(rw="write", verify="crc32c", max_latency="60s",
                                   rate_iops=f",{4 * IOS}", **options, **wait).job
                    read = job["read"]
                    self.assertLessEqual(read["lat_ns"]["max"], (read["runtime"] + 2) * 1e6)
        result = support.run_job(rw="randread", direct=1, max_latency="1us", **self.uring())
        self.assert_fails(result, "exceed")

    def test_percentiles(self) -> None:
        result = self.job(rw="randread", slat_percentiles=1)
        self.assertGreater(result.job["read"]["slat_ns"]["percentile"]["50.000000"], 0)

    def test_logs(self) -> None:
        prefix = self.scratch / "log"
        for options in ({}, {"iodepth": 16}, {"iodepth": 16, "iodepth_batch": 8},
                        {"iodepth": 16, "iodepth_batch": 8, "iodepth_batch_complete_min": 0}):
            with self.subTest(**options):
                self.job(rw="randread", write_lat_log=str(prefix), **options)
                for kind in ("slat", "clat", "lat"):
                    lines = (self.scratch / f"log_{kind}.1.log").read_text().splitlines()
                    self.assertEqual(len(lines), IOS, kind)

    def test_shown_submission_latency_has_the_system_call(self) -> None:
        support.need_command("strace")
        calls = self.scratch / "calls"
        result = support.run_job(prefix=["strace", "-f", "-qq", "-e", "trace=io_uring_enter",
                                         "-o", str(calls)], bs="4k", rw="randread",
                                 slat_percentiles=1, number_ios=IOS, direct=1, **self.uring())
        if "ptrace" in result.output.lower():
            raise unittest.SkipTest(f"strace cannot trace here: {result.output}")
        self.assert_succeeds(result)
        # each of the job's submissions asks for no completion
        submissions = [line for line in calls.read_text().splitlines()
                       if ", 1, 0, " in line]
        self.assertGreaterEqual(len(submissions), IOS)

    def test_not_measured(self) -> None:
        read = self.job(rw="randread", disable_slat=1).job["read"]
        self.assertEqual((read["slat_ns"]["N"], read["clat_ns"]["N"], read["lat_ns"]["N"]),
                         (0, IOS, IOS))


if __name__ == "__main__":
    support.main()
