#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A user's job file as the workload: what it says is done is done, by each engine, and no more."""

from __future__ import annotations

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import BENCH, ROOT, build_folder, main
from benchlib.errors import BenchError
from benchlib.measure import job_file
from benchlib.result import storage

OLTP = """
# the database's pages, and its log beside them
[global]
ioengine=libaio
filename=/dev/sdx
runtime=60
readwrite=randread
blocksize=8k
iodepth=16
[pages]
numjobs=2
random_distribution=zipf:1.1
[log]
rw=write
bs=4k
iodepth=1
rate_iops=500
; and then
[scan]
stonewall
rw=read
bs=64k
write_lat_log=x
"""


class Parser(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "my db.fio")

    def read(self, text: str) -> list[job_file.Group]:
        self.path.write_text(text)
        return job_file.read(self.path)[0]

    def test_groups(self) -> None:
        first, second = self.read(OLTP)
        self.assertEqual((first.name, second.name), ("my-db+pages+log", "my-db+scan"))
        self.assertEqual((first.writes, second.writes), (True, False))
        self.assertEqual((first.numjobs, first.depth, first.block_sizes()), (3, 16, [8192, 4096]))
        self.assertEqual(first.sections(), (
            ("pages", ("--rw=randread", "--bs=8k", "--iodepth=16", "--numjobs=2",
                       "--random_distribution=zipf:1.1")),
            ("log", ("--rw=write", "--bs=4k", "--iodepth=1", "--rate_iops=500"))))
        self.assertEqual(second.sections(), (("scan", ("--rw=read", "--bs=64k", "--iodepth=16")),))
        self.assertEqual(job_file.read(self.path)[1], [
            "filename", "ioengine", "runtime", "stonewall", "write_lat_log"])

    def test_global_options_hold_from_where_they_stand(self) -> None:
        group, = self.read("[a]\n[global]\nbs=16k\n[b]\n[global]\nbs=1m\n")
        self.assertEqual(group.block_sizes(), [4096, 16384])

    def test_the_project_s_own_job_files(self) -> None:
        for path in sorted((ROOT / "jobs").glob("*.fio")):
            with self.subTest(path.name):
                groups, _ = job_file.read(path)
                self.assertTrue(groups)
                self.assertNotIn("libblkio", str([group.sections() for group in groups]))

    def test_environment(self) -> None:
        os.environ["DEPTH_OF_TEST"] = "7"
        self.addCleanup(os.environ.pop, "DEPTH_OF_TEST")
        self.assertEqual(self.read("[a]\niodepth=${DEPTH_OF_TEST}\n")[0].depth, 7)

    def test_what_is_refused(self) -> None:
        for text, words in (
                ("rw=read\n", "in no section"), ("[global]\nrw=read\n", "no job in it"),
                ("[a]\nrw=dance\n", "no such workload"), ("[a]\ninclude x.fio\n", "include"),
                ("[a]\nbs=${NOT_SET_ANYWHERE}\n", "no NOT_SET_ANYWHERE"),
                ("[a]\niodepth=many\n[b]\n", "iodepth=many"),
                ("[a]\n--rw=x\n", "not an option of fio"),
                ("[a]\nrw=read\n[a]\nstonewall\n", "would be called")):
            with self.subTest(words), self.assertRaisesRegex(BenchError, words):
                group, *_ = self.read(text)
                self.assertTrue(group.depth)
        with self.assertRaisesRegex(BenchError, "cannot read"):
            job_file.read(self.path / "none")


class Compare(unittest.TestCase):
    def setUp(self) -> None:
        self.build = build_folder()
        folder = tempfile.TemporaryDirectory(dir=self.build)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.job = self.folder / "my.fio"
        self.job.write_text(OLTP)

    def bench(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([BENCH, "--job", self.job, "--build", self.build, "--no-build",
                               *map(str, arguments)], capture_output=True, text=True, timeout=240)

    def test_a_comparison(self) -> None:
        done = self.bench("--target", "page-cache", "--size", "4m", "--rounds", 2, "--runtime", 0.05,
                          "--modes", "native,block", "--patience", 0, "--output",
                          self.folder / "out")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("set by this comparison instead: filename, ioengine", done.stderr)
        made = storage.read(self.folder / "out")
        self.assertEqual({(s.case.rw, s.case.numjobs, s.engine) for s in made.samples}, {
            (name, jobs, engine) for name, jobs in (("my+pages+log", 3), ("my+scan", 1))
            for engine in ("native", "block")})
        self.assertEqual(len(made.samples), 8)
        self.assertTrue((self.folder / "out" / "report.html").exists())

    def test_the_same_command_but_for_the_engine(self) -> None:
        done = self.bench("--dry-run", "--target", "page-cache", "--modes", "native,block")
        lines = [line.split() for line in done.stdout.splitlines() if "--name=pages" in line]
        self.assertEqual(len(lines), 2, done.stdout + done.stderr)
        native, block = (set(line) for line in lines)
        self.assertTrue(all("ioengine" in word or "libblkio" in word or "filename" in word
                            for word in native ^ block), native ^ block)
        self.assertNotIn("--readonly", native)
        scans = [line for line in done.stdout.splitlines() if "--name=scan" in line]
        self.assertTrue(all("--readonly" in line for line in scans))

    def test_a_job_that_writes_spares_what_is_not_scratch(self) -> None:
        precious = self.folder / "precious"
        precious.write_bytes(b"x" * (1 << 20))
        done = self.bench("--dry-run", "--target", precious)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertIn("--destructive", done.stderr)
        self.assertEqual(precious.read_bytes(), b"x" * (1 << 20))

    def test_refusals(self) -> None:
        done = self.bench("--dry-run", "--bs", "4k")
        self.assertEqual(done.returncode, 2)
        self.assertIn("says what is done", done.stderr)


if __name__ == "__main__":
    main()
