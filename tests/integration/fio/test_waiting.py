#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every way of waiting completes every I/O: wait modes, numbers of jobs, threads, depths."""

from __future__ import annotations

from typing import Any

import support

MODES = ("block", "eventfd", "loop")
IOS = 500


class Waiting(support.FioTest):
    def check(self, numjobs: int = 1, ios: int = IOS, **options: Any) -> None:
        result = support.run_job(rw="randread", bs="4k", norandommap=True, number_ios=ios,
                                 numjobs=numjobs, **options)
        self.assert_succeeds(result)
        self.assertEqual([job["read"]["total_ios"] for job in result.jobs], [ios] * numjobs)

    def test_modes_jobs_and_threads(self) -> None:
        for mode in MODES:
            for numjobs in (1, 4):
                for thread in (False, True):
                    with self.subTest(mode=mode, numjobs=numjobs, thread=thread):
                        self.check(numjobs, libblkio_wait_mode=mode, thread=thread, iodepth=4,
                                   **self.uring())

    def test_null_driver(self) -> None:
        for mode in MODES:
            with self.subTest(mode=mode):
                self.check(libblkio_driver="null", size="1g", libblkio_wait_mode=mode)
        with self.subTest("hipri"):
            self.check(libblkio_driver="null", size="1g", hipri=True)

    def test_depths_and_batches(self) -> None:
        shapes: list[dict[str, Any]] = [
            {"iodepth": 1},
            {"iodepth": 200},  # more than the default num-entries
            {"iodepth": 16, "iodepth_batch": 16, "iodepth_batch_complete_min": 16},
            {"iodepth": 16, "iodepth_batch": 3, "iodepth_batch_complete_min": 2,
             "iodepth_batch_complete_max": 7, "iodepth_low": 5},
            # fio polls: getevents with min 0
            {"iodepth": 16, "iodepth_batch_complete_min": 0, "iodepth_batch_complete_max": 16},
            {"iodepth": 8, "libblkio_num_entries": 2},  # more in flight than the ring has room
        ]
        for mode in MODES:
            for shape in shapes:
                with self.subTest(mode=mode, **shape):
                    self.check(libblkio_wait_mode=mode, **shape, **self.uring())

    def test_vectored(self) -> None:
        self.check(libblkio_vectored=True, iodepth=8, **self.uring())

    def test_forced_completion_eventfd(self) -> None:
        self.check(libblkio_force_enable_completion_eventfd=True, **self.uring())

    def test_latency_target_varies_the_depth(self) -> None:
        result = support.run_job(rw="randread", bs="4k", iodepth=16, latency_target="50ms",
                                 latency_window="100ms", latency_percentile=99, time_based=True,
                                 runtime="600ms", **self.uring())
        self.assert_succeeds(result)
        self.assertGreater(result.job["read"]["total_ios"], 0)

    def test_submissions_are_counted(self) -> None:
        result = support.run_job(rw="randread", bs="4k", iodepth=16, iodepth_batch=16,
                                 iodepth_batch_complete_min=16, number_ios=320, norandommap=True,
                                 **self.uring())
        self.assert_succeeds(result)
        self.assertGreater(result.job["iodepth_submit"]["16"], 99)

    def test_completion_latency_counts_from_the_queue(self) -> None:
        """Fused or not, the wait includes the submission: clat is nearly all of lat."""
        result = support.run_job(rw="randread", bs="4k", number_ios=1000, norandommap=True,
                                 invalidate=0, clat_percentiles=1, lat_percentiles=1,
                                 **self.uring())
        self.assert_succeeds(result)
        read = result.job["read"]
        self.assertEqual(read["slat_ns"]["N"], 1000)
        self.assertEqual(read["clat_ns"]["N"], 1000)
        clat, lat = (read[kind]["percentile"]["50.000000"] for kind in ("clat_ns", "lat_ns"))
        self.assertGreater(clat, 0.6 * lat)


if __name__ == "__main__":
    support.main()
