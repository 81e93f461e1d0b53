#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The files of a job come about as with fio's own engines, whatever names, numbers and sizes."""

from __future__ import annotations

import os
import unittest
from pathlib import Path
from typing import Any

import support
from support import KIB, MIB

BS = 4096


class Files(support.FioTest):
    """Jobs whose files are in a directory of their own, with no more than the engine changed."""

    def setUp(self) -> None:
        super().setUp()
        self.place = self.scratch / "place"
        self.place.mkdir()

    def job(self, name: str = "job", **options: Any) -> support.Run:
        arguments = {"bs": BS, **options}
        result = support.run_fio(f"--name={name}", *support.option_arguments(arguments),
                                 cwd=self.place)
        self.assert_succeeds(result)
        return result

    def sizes(self) -> dict[str, int]:
        return {str(path.relative_to(self.place)): path.stat().st_size
                for path in self.place.rglob("*") if path.is_file()}


class Names(Files):
    def test_job_name_alone(self) -> None:
        result = self.job(rw="randread", size="1m")
        self.assertEqual(self.sizes(), {"job.0.0": MIB})
        self.assertEqual(result.job["read"]["total_ios"], MIB // BS)

    def test_directory(self) -> None:
        self.job(rw="write", size="1m", directory=str(self.place), numjobs=2)
        self.assertEqual(self.sizes(), {"job.0.0": MIB, "job.1.0": MIB})

    def test_filename_format(self) -> None:
        self.job(rw="write", size="1m", filename_format="of-$jobname.$filenum", nrfiles=2)
        self.assertEqual(self.sizes(), {"of-job.0": MIB // 2, "of-job.1": MIB // 2})

    def test_directories_are_made(self) -> None:
        for serial in (0, 1):
            with self.subTest(create_serialize=serial):
                self.job(rw="randread", size="64k", filename=f"a/b{serial}/c",
                         create_serialize=serial)
                self.assertEqual(self.sizes()[f"a/b{serial}/c"], 64 * KIB)

    def test_files_of_a_directory(self) -> None:
        """fio learns their names only now; there may be none."""
        listed = self.place / "listed"
        listed.mkdir()
        result = self.job(rw="read", size="64k", opendir="listed")
        self.assertEqual(result.job["read"]["total_ios"], 0)
        for name in "ab":
            (listed / name).write_bytes(bytes(8 * KIB))
        result = self.job(rw="read", opendir="listed")
        self.assertEqual(result.job["read"]["io_bytes"], 16 * KIB)

    def test_driver_by_the_kind_of_file(self) -> None:
        self.job(rw="randread", filename=str(self.file))


class Several(Files):
    def test_each_is_written_and_read_back(self) -> None:
        for options in ({}, {"iodepth": 16}, {"iodepth": 16, "libblkio_wait_mode": "eventfd"},
                        {"iodepth": 8, "libblkio_wait_mode": "loop"}, {"thread": True},
                        {"iodepth": 16, "iodepth_batch": 8, "iodepth_batch_complete_min": 4},
                        {"iodepth": 16, "openfiles": 2}, {"iodepth": 4, "libblkio_vectored": True},
                        {"iodepth": 16, "slat_percentiles": 1},
                        {"iodepth": 8, "file_service_type": "random"},
                        {"iodepth": 8, "file_service_type": "sequential"},
                        {"iodepth": 8, "direct": 1, "fsync": 16}):
            with self.subTest(**options):
                result = self.job(rw="randwrite", size="1m", nrfiles=8, verify="crc32c",
                                  libblkio_driver="io_uring", **options)
                for direction in ("write", "read"):
                    self.assertEqual(result.job[direction]["total_ios"], MIB // BS)
                self.assertEqual(self.sizes(), {f"job.0.{n}": MIB // 8 for n in range(8)}
                                 | {"local-job-0-verify.state":
                                    self.sizes()["local-job-0-verify.state"]})

    def test_damage_is_found(self) -> None:
        job = {"rw": "write", "filename": "a:b", "size": "256k", "verify": "crc32c", "iodepth": 8}
        self.job(do_verify=0, **job)
        with open(self.place / "b", "r+b") as file:
            file.seek(5000)
            file.write(b"damage")
        result = support.run_fio("--name=job", *support.option_arguments(
            {"bs": BS, "verify_only": True, **job}), cwd=self.place)
        self.assert_fails(result)

    def test_more_than_may_be_open_at_first(self) -> None:
        result = self.job(rw="randread", size="2m", nrfiles=400, iodepth=16)
        self.assertEqual(result.job["read"]["total_ios"], 400)

    def test_the_rate_and_end_of_a_job(self) -> None:
        """fio then waits for a time, and not always for a completion."""
        for options in ({"rate_iops": 200}, {"thinktime": 2000}):
            result = self.job(rw="randread", size="1m", nrfiles=4, iodepth=8, runtime="400ms",
                              time_based=True, **options)
            self.assertGreater(result.job["read"]["total_ios"], 0)

    def test_depth_1_sleeps_in_the_call_that_submits(self) -> None:
        support.need_command("strace")
        calls = self.place / "calls"
        result = support.run_fio(
            "--name=job", *support.option_arguments({
                "bs": BS, "rw": "randread", "size": "1m", "nrfiles": 4, "direct": 1}),
            prefix=["strace", "-f", "-qq", "-e", "trace=io_uring_enter,ppoll", "-o", str(calls)],
            cwd=self.place)
        if "ptrace" in result.output.lower():
            raise unittest.SkipTest(f"strace cannot trace here: {result.output}")
        self.assert_succeeds(result)
        names = [line.split("(")[0].split()[-1] for line in calls.read_text().splitlines()
                 if "(" in line]
        self.assertLessEqual(names.count("io_uring_enter"), MIB // BS + 8)


class Sizes(Files):
    def test_new_file_is_laid_out(self) -> None:
        self.job(rw="randread", size="2m", offset="1m", filename="new")
        self.assertEqual(self.sizes(), {"new": 3 * MIB})
        self.assertNotEqual((self.place / "new").read_bytes()[:MIB], bytes(MIB))

    def test_short_file_is_extended(self) -> None:
        for rw in ("randread", "randrw", "randwrite"):
            with self.subTest(rw=rw):
                (self.place / "short").write_bytes(bytes(5000))
                result = self.job(rw=rw, size="1m", filename="short")
                done = result.job["read"]["total_ios"] + result.job["write"]["total_ios"]
                self.assertEqual((self.sizes()["short"], done), (MIB, MIB // BS))

    def test_long_file_is_left_alone(self) -> None:
        before = self.file.read_bytes()
        self.job(rw="randread", size="1m", filename=str(self.file))
        self.assertEqual(self.file.read_bytes(), before)

    def test_path_option_creates_and_extends_nothing(self) -> None:
        new = self.scratch / "new"
        options = {"rw": "randwrite", "bs": BS, "libblkio_driver": "io_uring"}
        result = support.run_job(size="1m", libblkio_path=str(new), **options)
        self.assert_fails(result, str(new), "No such file")
        self.assertFalse(new.exists())
        support.run_job(size="64m", libblkio_path=str(self.file), number_ios=9, **options)
        self.assertEqual(self.file.stat().st_size, self.FILE_SIZE)

    def test_jobs_that_create_the_same_file_at_once(self) -> None:
        for thread in (False, True):
            for round_ in range(2):
                with self.subTest(thread=thread, round=round_):
                    result = self.job(rw="randread", size="4m", filename=f"new{thread}{round_}",
                                      numjobs=4, create_serialize=0, thread=thread)
                    self.assertEqual([job["read"]["total_ios"] for job in result.jobs],
                                     [4 * MIB // BS] * 4)

    def test_written_file_grows(self) -> None:
        """Its blocks are allocated by the job's writes, not by a layout before them."""
        result = self.job(rw="write", size="8m", number_ios=16, fallocate="none", filename="new")
        self.assertEqual(result.job["write"]["total_ios"], 16)
        self.assertEqual(self.sizes()["new"], 16 * BS)

    def test_append(self) -> None:
        (self.place / "log").write_bytes(b"x" * MIB)
        self.job(rw="write", size="512k", file_append=1, filename="log")
        self.assertEqual(self.sizes()["log"], MIB + 512 * KIB)
        self.assertEqual((self.place / "log").read_bytes()[:MIB], b"x" * MIB)

    def test_created_when_opened(self) -> None:
        for nrfiles in (1, 3):
            with self.subTest(nrfiles=nrfiles):
                self.job(rw="write", size="768k", create_on_open=1, nrfiles=nrfiles,
                         fallocate="none", filename_format=f"c{nrfiles}-$filenum")
                self.assertEqual(self.sizes()[f"c{nrfiles}-0"], 768 * KIB // nrfiles)

    def test_deleted_between_loops(self) -> None:
        """The second loop writes to the new file, not to the one that is gone."""
        for nrfiles in (1, 2):
            with self.subTest(nrfiles=nrfiles):
                result = self.job(rw="write", size="512k", loops=3, unlink_each_loop=1,
                                  nrfiles=nrfiles, filename_format=f"u{nrfiles}-$filenum")
                self.assertEqual(result.job["write"]["total_ios"], 3 * 512 * KIB // BS)
                self.assertTrue(any((self.place / f"u{nrfiles}-0").read_bytes()[-BS:]))

    def test_full_device(self) -> None:
        if os.geteuid():
            self.skipTest("needs root, to mount a small file system")
        support.command("mount", "-t", "tmpfs", "-o", "size=2m", "none", str(self.place))
        self.addCleanup(support.run, ["umount", str(self.place)])
        result = self.job(rw="write", fill_device=1, filename="full", size="1g")
        self.assertGreater(result.job["write"]["total_ios"], 2 * MIB // BS * 9 // 10)
        (self.place / "full").unlink()
        for engine in ("io_uring", f"external:{support.LIBRARY}"):
            result = support.run_fio("--name=job", *support.option_arguments({
                "ioengine": engine, "bs": BS, "rw": "write", "ignore_error": ",ENOSPC",
                "filename": "full", "size": "3m", "fallocate": "none"}), cwd=self.place)
            self.assertEqual(result.job["write"]["total_ios"], 3 * MIB // BS)

    def test_read_before_the_job(self) -> None:
        for nrfiles in (1, 2):
            self.job(rw="randread", size="1m", pre_read=1, nrfiles=nrfiles)


class Replay(Files):
    def record(self, **options: Any) -> dict[str, Any]:
        log = self.place / "log"
        log.unlink(missing_ok=True)  # fio appends
        return self.job("recorder", rw="randrw", size="1m", write_iolog=str(log), **options).job

    def replay(self, **options: Any) -> dict[str, Any]:
        return self.job("player", read_iolog=str(self.place / "log"), **options).job

    def assert_same(self, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
        for direction in ("read", "write"):
            self.assertEqual(ours[direction]["total_ios"], theirs[direction]["total_ios"])

    def test_reads_and_writes(self) -> None:
        for options in ({}, {"nrfiles": 3}):
            with self.subTest(**options):
                recorded = self.record(**options)
                self.assert_same(recorded, self.replay())
                self.assert_same(recorded, self.replay(iodepth=8))

    def test_on_another_file(self) -> None:
        self.assert_same(self.record(), self.replay(replay_redirect=str(self.file)))


class Memory(Files):
    def test_of_fio(self) -> None:
        for mem in ("malloc", "shm", "mmap"):
            for rw in ("randread", "randwrite"):
                for options in ({"direct": 1}, {"nrfiles": 2, "iomem_align": 512}):
                    with self.subTest(mem=mem, rw=rw, **options):
                        self.job(rw=rw, size="256k", mem=mem, iodepth=4, **options)

    def test_of_huge_pages(self) -> None:
        if os.geteuid():
            self.skipTest("needs root, to reserve huge pages")
        setting = Path("/proc/sys/vm/nr_hugepages")
        before = setting.read_text()
        self.addCleanup(setting.write_text, before)
        setting.write_text(str(int(before) + 4))
        if int(setting.read_text()) < int(before) + 4:
            self.skipTest("no memory for four more huge pages")
        for mem in ("mmaphuge", "shmhuge"):
            with self.subTest(mem=mem):
                self.job(rw="randread", size="256k", mem=mem, iodepth=4)

    def test_aligned(self) -> None:
        for align in (1, 512, 4096, 65536):
            self.job(rw="randwrite", size="256k", iomem_align=align, iodepth=4, verify="crc32c")


if __name__ == "__main__":
    support.main()
