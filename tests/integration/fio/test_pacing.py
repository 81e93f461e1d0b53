#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Jobs that pause between I/Os: what was submitted goes out at once, and rates are kept."""

from __future__ import annotations

from typing import Any

import support


TRIES = 5


class Pacing(support.FioTest):
    def paced(self, **options: Any) -> dict[str, Any]:
        result = support.run_job(rw="randread", bs="4k", norandommap=True, **self.uring(**options))
        self.assert_succeeds(result)
        return result.job["read"]

    def takes(self, least: int, most: int, **options: Any) -> None:
        """500 I/Os take so many milliseconds: never fewer, and not more in one of a few tries."""
        times = []
        while len(times) < TRIES and (not times or times[-1] > most):
            read = self.paced(number_ios=500, **options)
            self.assertEqual(read["total_ios"], 500)
            times.append(read["runtime"])
            self.assertGreaterEqual(times[-1], least)
        self.assertLessEqual(times[-1], most, times)

    def test_rate(self) -> None:
        for iodepth in (1, 8):
            with self.subTest(iodepth=iodepth):
                self.takes(450, 625, rate_iops=1000, iodepth=iodepth)

    def test_poisson_rate(self) -> None:
        self.takes(375, 725, rate_iops=1000, rate_process="poisson", iodepth=4)

    def test_thinktime(self) -> None:
        # No thinktime_spin: fio 3.33 sleeps for ever when a spin took longer than the thinktime.
        for options in ({"iodepth": 1}, {"iodepth": 8}, {"iodepth": 8, "thinktime_blocks": 4}):
            with self.subTest(options):
                read = self.paced(thinktime="2ms", number_ios=100, **options)
                self.assertEqual(read["total_ios"], 100)
                # what is in flight completes before the pause begins
                between = options.get("thinktime_blocks", 1) + options["iodepth"] - 1
                self.assertGreaterEqual(read["runtime"], 2 * (100 // between - 1))

    def test_requests_do_not_wait_for_the_pause(self) -> None:
        """Submitted late, each I/O would take as long as the pause."""
        for mode in ("block", "eventfd", "loop"):
            for iodepth in (1, 4):
                with self.subTest(mode=mode, iodepth=iodepth):
                    read = self.paced(rate_iops=50, number_ios=20, iodepth=iodepth, invalidate=0,
                                      lat_percentiles=1, libblkio_wait_mode=mode)
                    self.assertLess(read["lat_ns"]["percentile"]["50.000000"], 10e6)


if __name__ == "__main__":
    support.main()
