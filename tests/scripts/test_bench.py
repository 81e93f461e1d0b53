#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench as a user runs it, with the library under test: short, but real throughout."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from support import BENCH, ROOT, bench_here, build_folder, main, program
from benchlib.result import storage

# --quick counts no system calls, which test_fio does; nobody waits for a quiet machine
FAST = ["--no-build", "--quick", "--patience", "0", "--rounds", "2", "--runtime", "0.1", "--depth", "1",
        "--size", "4m"]


class Bench(unittest.TestCase):
    def setUp(self) -> None:
        self.build = build_folder()
        folder = tempfile.TemporaryDirectory(dir=self.build)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.output = self.folder / "result"
        self.file = self.folder / "data"
        self.file.write_bytes(os.urandom(4 << 20))

    def arguments(self, *arguments: str) -> list[str]:
        return [str(BENCH), *FAST, "--build-dir", str(self.build), "--output", str(self.output),
                *arguments]

    def bench(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.arguments(*arguments), capture_output=True, text=True,
                              timeout=300)

    def left_behind(self) -> list[str]:
        return [path.name for path in self.build.glob("bench-scratch-*")]

    def test_scratch_file_to_chart(self) -> None:
        done = self.bench("--target", "page-cache", "--modes", "block,loop", "--seed", "7")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual({path.name for path in self.output.iterdir()},
                         {"result.json", "table.txt", "environment.txt", "chart.svg",
                          "report.html"})
        result = storage.read(self.output)
        self.assertTrue(result.complete)
        self.assertEqual((result.settings.seed, len(result.samples)), (7, 6))
        self.assertEqual([c.name for c in result.engines], ["native", "block", "loop"])
        self.assertIn("too few rounds", done.stdout)
        self.assertEqual((self.output / "table.txt").read_text() in done.stdout, True)
        self.assertEqual(self.left_behind(), [])
        self.tells_nothing_private()

    def tells_nothing_private(self) -> None:
        for file in self.output.iterdir():
            content = file.read_bytes()
            for private in (str(ROOT), str(self.build), socket.gethostname()):
                if len(private) > 3:  # a host called "vm" is a word of its own
                    self.assertFalse(private.encode() in content, (file.name, private))

    def test_show_reads_it_back(self) -> None:
        self.assertEqual(self.bench("--target", str(self.file), "--buffered", "--modes",
                                    "block").returncode, 0)
        (self.output / "chart.svg").unlink()
        done = subprocess.run([BENCH, "show", self.output], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Verdict", done.stdout)
        self.assertTrue((self.output / "chart.svg").exists())
        text = (self.output / "result.json").read_text()
        (self.output / "result.json").write_text(text.replace('"iops": ', '"iops": "x', 1))
        done = subprocess.run([BENCH, "show", self.output], capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertNotIn("Traceback", done.stderr)

    def without_rings(self, error: str, *more: str) -> "subprocess.CompletedProcess[str]":
        sandbox = ROOT / "tests" / "lib" / "without_rings.py"
        return subprocess.run([sandbox, error, *self.arguments("--quick", "--rounds", "1", *more)],
                              capture_output=True, text=True, timeout=300)

    def test_where_rings_are_forbidden(self) -> None:
        """What needs none is compared, and one line says so."""
        said = "io_uring is not permitted here: comparing driver posix (--posix)"
        for error in ("EPERM", "ENOSYS"):
            done = self.without_rings(error, "--dry-run")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stderr.count(said), 1, done.stderr)
            asked_for = self.bench("--quick", "--dry-run", "--posix")
            plans = [re.sub(r"page-cache-\d+", "", run.stdout) for run in (done, asked_for)]
            self.assertEqual(plans[0], plans[1])
        self.assertNotIn("io_uring", done.stdout)
        done = self.without_rings("EPERM")
        self.assertEqual(done.returncode, 0, done.stderr)
        compared = {engine.name: engine.against for engine in storage.read(self.output).engines}
        self.assertEqual(compared, {
            "libaio": "", "psync": "libaio", "posixaio": "libaio", "posix-block": "libaio",
            "posix-eventfd": "libaio", "posix-loop": "libaio"})
        for named in (("--modes", "native"), ("--baseline", "native")):
            self.assertNotIn(said, self.without_rings("EPERM", "--dry-run", *named).stderr)

    def test_results_are_not_overwritten(self) -> None:
        self.output.mkdir()
        (self.output / "result.json").write_text("precious")
        done = self.bench("--target", str(self.file), "--buffered")
        self.assertEqual((done.returncode, "holds a result already" in done.stderr), (2, True))
        self.assertEqual((self.output / "result.json").read_text(), "precious")

    def test_interrupted_runs_keep_what_they_have(self) -> None:
        process = subprocess.Popen(
            self.arguments("--target", "page-cache", "--modes", "block", "--rounds", "20"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stderr is not None
        while not re.search(r"round ([2-9]|\d\d)/20", process.stderr.readline()):
            self.assertIsNone(process.poll())
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        output, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("PARTIAL RESULT", output)
        result = storage.read(self.output)
        self.assertFalse(result.complete)
        rounds = {(s.round, s.engine) for s in result.samples}
        self.assertEqual(len(rounds), 2 * len({number for number, _ in rounds}))
        self.assertEqual(self.left_behind(), [])

    def test_interrupted_before_the_first_round(self) -> None:
        process = subprocess.Popen(
            self.arguments("--target", "page-cache", "--modes", "block", "--runtime", "30"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stderr is not None
        while "trial of" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, output), (130, ""), errors)
        self.assertIn("no round was complete", errors)
        self.assertEqual((self.left_behind(), self.output.exists()), ([], False))

    def test_terminated_during_set_up_leaves_nothing(self) -> None:
        process = subprocess.Popen(
            self.arguments("--target", "page-cache", "--size", "2g"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 20
        while not self.left_behind() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.terminate()
        _, errors = process.communicate(timeout=60)
        if "MiB needed" in errors:
            self.skipTest(errors.strip())
        self.assertEqual(process.returncode, 130, errors)
        self.assertEqual((self.left_behind(), self.output.exists()), ([], False))

    def test_a_mode_that_fails_is_reported_and_the_rest_measured(self) -> None:
        # fio's own engine cannot trim a file, libblkio can
        done = self.bench("--target", str(self.file), "--buffered", "--rw", "randtrim",
                          "--destructive", "--modes", "block")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("fio's io_uring cannot run data, 512-byte random trims", done.stderr)
        result = storage.read(self.output)
        self.assertEqual({sample.engine for sample in result.samples}, {"block"})
        self.assertIn("Left out: native on data", done.stdout)

    def bench_with_faults(self, first: int, last: int) -> "subprocess.CompletedProcess[str]":
        """Six rounds with a fio whose runs for measuring, numbers first to last, fail."""
        real = shutil.which("fio")
        count = shlex.quote(f"{self.folder}/count")
        wrapper = program(self, "fio", f"""
            case "$*" in *--ramp_time*)
                echo >> {count}
                n=$(wc -l < {count})
                [ $n -lt {first} ] || [ $n -gt {last} ] || {{ echo "fio: bang" >&2; exit 9; }}
            esac
            exec {real} "$@"
            """)
        path = f"{wrapper.parent}:{os.environ['PATH']}"
        return subprocess.run(
            self.arguments("--target", str(self.file), "--buffered", "--modes", "block",
                           "--rounds", "6", "--max-load", "100"),
            capture_output=True, text=True, env={**os.environ, "PATH": path})

    def test_one_failing_run_costs_one_round(self) -> None:
        done = self.bench_with_faults(4, 4)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "round 2 of data, 512-byte random reads, depth 1 is lost: .*: fio "
                         "failed: bang")
        self.assertRegex(done.stdout, "Left out: data: round 2 of data, 512-byte random reads, depth 1 "
                         "failed")
        result = storage.read(self.output)
        self.assertTrue(result.complete)
        self.assertEqual({s.round for s in result.samples}, {0, 2, 3, 4, 5})

    def test_many_failing_runs_end_it(self) -> None:
        done = self.bench_with_faults(3, 1000)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("4 rounds failed; giving up", done.stderr)
        self.assertIn("PARTIAL RESULT", done.stdout)
        self.assertEqual({s.round for s in storage.read(self.output).samples}, {0})

    def test_refusals_come_before_any_work(self) -> None:
        before = self.file.read_bytes()
        data, other = str(self.file), self.folder / "other" / "data"
        other.parent.mkdir()
        other.write_bytes(before)
        for arguments, words in (
                (["--rw", "randwrite", "--target", data], "--destructive"),
                (["--target", str(self.folder)], "neither a file nor a block device"),
                (["--target", data + "x"], f"There is: {data}"),
                (["--modes", "warp"], "no mode warp"), (["--rw", "dance"], "no such workload"),
                (["--bs", "8m", "--target", data, "--buffered"], "larger than"),
                (["--cpu", "4096"], "--cpu 4096"), (["--size", "1p"], "not a size"),
                (["--depth", "0"], "whole number"), (["--rounds", "-3"], "whole number"),
                (["--target", data, "--target", str(other)], "two targets are called data"),
                (["--target", "tmpfs", "--size", "900000g"], "MiB needed")):
            with self.subTest(arguments=arguments):
                code, errors = bench_here(self.arguments(*arguments)[1:])
                self.assertEqual(code, 2, errors)
                self.assertIn(words, errors)
                self.assertFalse(self.output.exists())
        self.assertEqual(self.file.read_bytes(), before)

    def test_dry_run_prints_commands_that_work(self) -> None:
        done = self.bench("--dry-run", "--target", str(self.file), "--buffered", "--modes", "block")
        self.assertEqual(done.returncode, 0, done.stderr)
        commands = done.stdout.splitlines()
        self.assertEqual(len(commands), 2)
        for command in commands:
            ran = subprocess.run(command, shell=True, capture_output=True, text=True)
            self.assertEqual(ran.returncode, 0, command + ran.stderr)
            self.assertGreater(json.loads(ran.stdout)["jobs"][0]["read"]["total_ios"], 0)
        self.assertFalse(self.output.exists())

    def test_a_library_without_engine_has_a_remedy(self) -> None:
        (self.folder / "libblkio.so").write_bytes(b"no library")
        done = subprocess.run([BENCH, "--no-build", "--build-dir", self.folder, "--target",
                               self.file], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("fio cannot load its engine from", done.stderr)
        self.assertIn("scripts/setup", done.stderr)

    def test_help_teaches(self) -> None:
        for arguments, words in ((["--help"], ("modes", "native-poll", "examples", "exit status")),
                                 (["compare", "--help"], ("scripts/bench compare",)),
                                 (["show", "--help"], ("result.json",))):
            done = subprocess.run([BENCH, *arguments], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0)
            for word in words:
                self.assertIn(word, done.stdout)


if __name__ == "__main__":
    main()
