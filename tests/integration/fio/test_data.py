#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The data is right: written, verified, trimmed, flushed, and as other engines see it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import support
from support import KIB, MIB


def write_cache_of(path: Path) -> str:
    """What the kernel says of the cache of the disk below a file, or "" where it does not say."""
    device = os.stat(path).st_dev
    node = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    for place in (node, node.parent):
        cache = place / "queue" / "write_cache"
        if cache.exists():
            return cache.read_text().strip()
    return ""


def disk_flushes(path: Path) -> int:
    """Flushes that the disk below a file has completed."""
    device = os.stat(path).st_dev
    stat = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    return int(stat[15])


class Verify(support.FioTest):
    def write_and_verify(self, **options: Any) -> None:
        result = support.run_job(rw="randwrite", bs="4k", iodepth=8, verify="crc32c",
                                 verify_fatal=1, **self.uring(**options))
        self.assert_succeeds(result)
        job = result.job
        self.assertEqual(job["write"]["total_ios"], self.FILE_SIZE // (4 * KIB))
        self.assertEqual(job["read"]["total_ios"], self.FILE_SIZE // (4 * KIB))

    def test_each_wait_mode(self) -> None:
        for mode in ("block", "eventfd", "loop"):
            for direct in (0, 1):
                with self.subTest(mode=mode, direct=direct):
                    self.write_and_verify(libblkio_wait_mode=mode, direct=direct)

    def test_thread_vectored_and_unregistered(self) -> None:
        for options in ({"thread": True}, {"libblkio_vectored": True}, {"verify_async": 2},
                        {"libblkio_pre_start_props": "register-buffers=false"},
                        {"libblkio_pre_start_props": "single-issuer=false"},
                        {"verify_backlog": 64}, {"bsrange": "4k-64k", "bs": None}):
            with self.subTest(options):
                kept = {name: value for name, value in options.items() if value is not None}
                result = support.run_job(rw="randwrite", iodepth=8, verify="crc32c",
                                         **{"bs": "4k", **self.uring(**kept)})
                self.assert_succeeds(result)

    def test_jobs_side_by_side(self) -> None:
        for thread in (False, True):
            with self.subTest(thread=thread):
                result = support.run_job(rw="randwrite", bs="4k", iodepth=4, verify="crc32c",
                                         numjobs=4, size="1m", offset_increment="1m",
                                         thread=thread, **self.uring())
                self.assert_succeeds(result)
                self.assertEqual([job["read"]["total_ios"] for job in result.jobs], [256] * 4)

    def test_corruption_is_found(self) -> None:
        """The verifying read really reads the file."""
        self.assert_succeeds(support.run_job(rw="write", bs="4k", verify="crc32c", do_verify=0,
                                             **self.uring()))
        with self.file.open("r+b") as file:
            file.seek(MIB)
            file.write(b"corrupt" * 100)
        result = support.run_job(rw="read", bs="4k", verify="crc32c", **self.uring())
        self.assert_fails(result, "verify: bad")

    def test_other_engines_agree(self) -> None:
        writer = {"rw": "randwrite", "bs": "4k", "iodepth": 8, "verify": "crc32c", "do_verify": 0}
        reader = {"rw": "read", "bs": "4k", "iodepth": 8, "verify": "crc32c"}
        other = {"ioengine": "psync", "filename": str(self.file), "iodepth": 1}
        self.assert_succeeds(support.run_job(**writer, **self.uring()))
        self.assert_succeeds(support.run_job(**{**reader, **other}))
        self.assert_succeeds(support.run_job(**{**writer, **other}))
        self.assert_succeeds(support.run_job(**reader, **self.uring()))


class Trim(support.FioTest):
    def test_trim_zeroes_a_file(self) -> None:
        for zeroes in (False, True):
            with self.subTest(write_zeroes=zeroes):
                self.file.write_bytes(os.urandom(self.FILE_SIZE))
                result = support.run_job(rw="trim", bs="64k", iodepth=4, offset="1m", size="1m",
                                         libblkio_write_zeroes_on_trim=zeroes, **self.uring())
                self.assert_succeeds(result)
                self.assertEqual(result.job["trim"]["total_ios"], 16)
                data = self.file.read_bytes()
                self.assertEqual(len(data), self.FILE_SIZE)
                self.assertEqual(data[MIB:2 * MIB], bytes(MIB))
                self.assertNotEqual(data[:MIB], bytes(MIB))
                self.assertNotEqual(data[2 * MIB:3 * MIB], bytes(MIB))

    def test_trim_and_write(self) -> None:
        result = support.run_job(rw="trimwrite", bs="64k", iodepth=4, **self.uring())
        self.assert_succeeds(result)
        self.assertEqual(result.job["trim"]["total_ios"], self.FILE_SIZE // (64 * KIB))


class Durability(support.FioTest):
    def test_flush_jobs(self) -> None:
        for kind in ("fsync=4", "fdatasync=4", "sync_file_range=write:4", "end_fsync=1"):
            name, value = kind.split("=")
            with self.subTest(kind):
                result = support.run_job(rw="randwrite", bs="4k", number_ios=100,
                                         **{name: value}, **self.uring())
                self.assert_succeeds(result)
                self.assertEqual(result.job["write"]["total_ios"], 100)
                if name != "end_fsync":
                    self.assertGreaterEqual(result.job["sync"]["lat_ns"]["N"], 24)

    def flushes(self, **options: Any) -> int:
        before = disk_flushes(self.file)
        self.assert_succeeds(support.run_job(rw="randwrite", bs="4k", number_ios=100, direct=1,
                                             **self.uring(**options)))
        return disk_flushes(self.file) - before

    def test_synchronous_writes_reach_the_disk(self) -> None:
        cache = write_cache_of(self.file)
        if cache != "write back":
            self.skipTest(f"only a disk with a write cache is told to flush; this one: {cache}")
        for sync in ("dsync", "sync"):
            with self.subTest(sync=sync):
                self.assertGreaterEqual(self.flushes(sync=sync), 50)


if __name__ == "__main__":
    support.main()
