#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every job file in jobs/: fio understands it, it runs on a file, and it is what it says."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import ROOT, build_folder, main

JOBS = sorted((ROOT / "jobs").glob("*.fio"))
SIZE = 64 << 20


def parsed(job: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(allow_no_value=True, delimiters=("=",), interpolation=None)
    parser.read(job)
    return parser


def fio(arguments: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(["fio", *arguments], capture_output=True, text=True, timeout=120,
                              cwd=folder, env={**os.environ, **environment})


@unittest.skipIf(shutil.which("fio") is None, "fio is not installed")
class Jobs(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("BUILD_DIR"))
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.target = self.folder / "target"
        self.target.write_bytes(os.urandom(SIZE))

    def short(self, job: Path) -> list[str]:
        """The same job, ready to run here: short, and buffered where O_DIRECT is refused."""
        text = re.sub(r"^runtime=.*$", "runtime=200ms", job.read_text(), flags=re.MULTILINE)
        try:
            os.close(os.open(self.target, os.O_RDONLY | os.O_DIRECT))
        except OSError:
            text = text.replace("direct=1", "direct=0")
        copy = self.folder / job.name
        copy.write_text(text)
        return [str(copy), "--output-format=json"]

    def run_job(self, job: Path) -> "subprocess.CompletedProcess[str]":
        library = "" if job.name.startswith("native") else str(build_folder())
        return fio(self.short(job), TARGET=str(self.target), DRIVER="io_uring",
                   LD_LIBRARY_PATH=library)

    def test_each_job_runs(self) -> None:
        for job in JOBS:
            with self.subTest(job=job.name):
                if job.name.endswith("-poll.fio"):
                    continue  # below
                done = self.run_job(job)
                self.assertEqual(done.returncode, 0, done.stderr + done.stdout[-2000:])
                answer = json.loads(done.stdout[done.stdout.index("{"):])
                self.assertEqual({entry["jobname"] for entry in answer["jobs"]},
                                 set(parsed(job).sections()) - {"global"})
                for entry in answer["jobs"]:
                    ios = sum(entry[side]["total_ios"] for side in ("read", "write", "trim"))
                    self.assertEqual((entry["error"], ios > 0), (0, True), entry["jobname"])

    def test_polling_jobs_run_or_say_why_not(self) -> None:
        for job in JOBS:
            if not job.name.endswith("-poll.fio"):
                continue
            with self.subTest(job=job.name):
                done = self.run_job(job)
                if done.returncode:  # a file on most machines: the device has no poll queues
                    self.assertRegex(done.stderr + done.stdout, "(?i)not supported|poll")

    def test_each_job_needs_a_target(self) -> None:
        for job in JOBS:
            with self.subTest(job=job.name):
                environment = {k: v for k, v in os.environ.items() if k != "TARGET"}
                environment |= {"LD_LIBRARY_PATH": str(build_folder()), "DRIVER": "io_uring"}
                done = subprocess.run(["fio", "--parse-only", str(job)], env=environment,
                                      capture_output=True, text=True)
                self.assertNotEqual(done.returncode, 0)
                # the value where fio parses it itself, the option where the engine has it
                self.assertRegex(done.stderr,
                                 r"failed parsing (filename=\$\{TARGET\}|libblkio_path)")

    def test_verify_finds_damage(self) -> None:
        """The verify job is no formality: one damaged block and it fails."""
        job = ROOT / "jobs" / "libblkio-verify.fio"
        self.assertEqual(self.run_job(job).returncode, 0)
        with open(self.target, "r+b") as file:
            file.seek(SIZE // 2 + 100)
            file.write(b"damage")
        done = fio([*self.short(job), "--verify_only=1"], TARGET=str(self.target),
                   LD_LIBRARY_PATH=str(build_folder()))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("verify", done.stderr)


class Contents(unittest.TestCase):
    def test_compared_jobs_differ_in_the_engine_only(self) -> None:
        ours = re.compile(r"ioengine|filename|libblkio_\w+|hipri")
        reference = parsed(ROOT / "jobs" / "native.fio")
        for name in ("native-poll", "libblkio-block", "libblkio-eventfd", "libblkio-loop",
                     "libblkio-poll"):
            job = parsed(ROOT / "jobs" / f"{name}.fio")
            self.assertEqual(job.sections(), reference.sections())
            for section in job.sections():
                differing = set(job[section].items()) ^ set(reference[section].items())
                for option, _ in differing:
                    self.assertRegex(option, f"^({ours.pattern})$", name)

    def test_each_says_how_to_run_it_and_what_it_destroys(self) -> None:
        self.assertGreaterEqual(len(JOBS), 9)
        for job in JOBS:
            with self.subTest(job=job.name):
                text = job.read_text()
                self.assertTrue(text.startswith("# SPDX-License-Identifier:"))
                self.assertIn(f"jobs/{job.name}", text)
                sections = parsed(job)
                reads = all(sections[name].get("rw", sections["global"].get("rw")) == "randread"
                            for name in sections.sections() if name != "global")
                self.assertEqual("DESTROYS" in text, not reads)
                self.assertEqual("--readonly" in text, reads)
                if not job.name.startswith("native"):
                    self.assertIn("\nioengine=libblkio.so\n", text)


if __name__ == "__main__":
    main()
