#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Driver posix in fio: named, and chosen by the engine where io_uring is forbidden."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import support
from support import KIB, MIB

WITHOUT_RINGS = Path(os.environ["SOURCE_DIR"]) / "tests" / "lib" / "without_rings.py"
SAYS = "io_uring is not permitted here: using driver posix"


class Posix(support.FioTest):
    def verified(self, prefix: list[str] | None = None, **options: Any) -> support.Run:
        """Write all of the file in random order, and read it back."""
        result = support.run_job(prefix=prefix, **{
            "rw": "randwrite", "bs": "4k", "iodepth": 8, "verify": "crc32c", "verify_fatal": 1,
            "filename": str(self.file), **options})
        self.assert_succeeds(result)
        self.assertEqual(sum(job["read"]["total_ios"] for job in result.jobs),
                         self.FILE_SIZE // (4 * KIB) * len(result.jobs))
        return result

    def test_each_wait_mode(self) -> None:
        for mode in ("block", "eventfd", "loop"):
            for direct in (0, 1):
                with self.subTest(mode=mode, direct=direct):
                    self.verified(libblkio_driver="posix", libblkio_wait_mode=mode, direct=direct)

    def test_depths_and_sizes(self) -> None:
        for options in ({"iodepth": 1}, {"iodepth": 64, "direct": 1}, {"libblkio_vectored": True},
                        {"libblkio_pre_start_props": "num-threads=1"}, {"fdatasync": 4},
                        {"sync": "dsync"}):
            with self.subTest(options):
                self.verified(libblkio_driver="posix", **options)

    def test_block_device(self) -> None:
        """fio's main process looks at its size; the job, another one, does the I/O."""
        device = self.loop_device()
        for options in ({"iodepth": 1}, {"iodepth": 32}, {"iodepth": 32, "direct": 1},
                        {"iodepth": 32, "direct": 1, "thread": True}):
            with self.subTest(options):
                self.verified(libblkio_driver="posix", filename=device, **options)

    def test_trim(self) -> None:
        result = support.run_job(rw="trim", bs="64k", size=str(self.FILE_SIZE),
                                 libblkio_driver="posix", filename=str(self.file))
        self.assert_succeeds(result)
        self.assertEqual(self.file.read_bytes(), bytes(self.FILE_SIZE))

    def test_file_is_laid_out(self) -> None:
        path = self.scratch / "new"
        self.assert_succeeds(support.run_job(rw="read", bs="4k", size="1m", filename=str(path),
                                             libblkio_driver="posix"))
        self.assertEqual(path.stat().st_size, MIB)

    def test_without_driver(self) -> None:
        self.assertNotIn(SAYS, self.verified().output)

    def test_chosen_in_a_sandbox(self) -> None:
        for error in ("EPERM", "ENOSYS"):
            with self.subTest(error):
                result = self.verified(prefix=[str(WITHOUT_RINGS), error], direct=1)
                self.assertEqual(result.output.count(SAYS), 1, result.output)

    def test_once_for_all_jobs(self) -> None:
        result = support.run_job(prefix=[str(WITHOUT_RINGS), "EPERM"], rw="randread", bs="4k",
                                 numjobs=3, filename=str(self.file))
        self.assert_succeeds(result)
        self.assertEqual(result.output.count(SAYS), 1, result.output)

    def test_io_uring_is_not_replaced(self) -> None:
        result = support.run_job(prefix=[str(WITHOUT_RINGS), "EPERM"],
                                 **{"rw": "randread", "bs": "4k", **self.uring()})
        self.assert_fails(result, "io_uring is not permitted")
        self.assertNotIn(SAYS, result.output)


if __name__ == "__main__":
    support.main()
