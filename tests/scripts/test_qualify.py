#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""scripts/bench qualify as a user runs it: real files, loop devices and faults, few steps each."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import BENCH, ROOT, bench_here, build_folder, main, program, small_disk
from benchlib.qualify import store
from benchlib.qualify.model import Step

MIB = 1 << 20
EXTENT = "16m"  # the least
SCALE = ("--scale", "0.05")  # all steps, in a fraction of the time


class Qualify(unittest.TestCase):
    def setUp(self) -> None:
        self.build = build_folder()
        folder = tempfile.TemporaryDirectory(dir=self.build)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.output, self.file = self.folder / "result", self.folder / "disk"
        self.environment = dict(os.environ)

    def arguments(self, *arguments: str) -> list[str]:
        return [str(BENCH), "qualify", "--no-build", "--build-dir", str(self.build), *arguments]

    def qualify(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.arguments(*arguments), capture_output=True, text=True,
                              timeout=250, env=self.environment)

    def make_and_qualify(self, steps: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """On a file that qualify makes."""
        return self.qualify(str(self.file), "--size", EXTENT, "--output", str(self.output),
                            "--steps", steps, *SCALE, *arguments)

    def steps(self) -> dict[str, Step]:
        return {step.name: step for step in store.read(self.output).steps}

    def replace_fio(self, script: str) -> None:
        """A shell script that stands before the real fio, which it finds as $fio."""
        wrapper = program(self, "fio", f"fio={shutil.which('fio')}\n{script}\nexec $fio \"$@\"")
        self.environment["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"

    def loop_device(self) -> str:
        if os.geteuid():
            self.skipTest("loop devices take root")
        image = self.folder / "image"
        image.write_bytes(bytes(20 * MIB))
        done = subprocess.run(["losetup", "--find", "--show", image], capture_output=True,
                              text=True)
        if done.returncode:
            self.skipTest(f"no loop device: {done.stderr.strip()}")
        node = done.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", node], stderr=subprocess.DEVNULL)
        return node

    # ---- What it does ------------------------------------------------------------------------

    def test_a_file_from_purge_to_verdict(self) -> None:
        demanded = self.folder / "limits"
        demanded.write_text("fill 128k write bandwidth >= 1kB/s\nmixed 4k randrw:60 mean <= 1ns\n")
        done = self.make_and_qualify("purge,fill,mixed,integrity", "--limits", str(demanded))
        self.assertEqual(done.returncode, 3, done.stderr)
        found = store.read(self.output)
        self.assertEqual((found.verdict, found.complete), ("failed", True))
        self.assertEqual([c.verdict for c in found.criteria], ["pass", "pass", "fail"])
        steps = self.steps()
        self.assertEqual([step.state for step in steps.values()], ["done"] * 4)
        self.assertEqual((steps["purge"].written, steps["fill"].written), (16 * MIB, 32 * MIB))
        self.assertEqual(steps["integrity"].verified, 32 * MIB)
        state = steps["mixed"].steady[0]
        self.assertTrue(5 <= len(state.values) <= 7)
        self.assertEqual(state.reached, not steps["mixed"].notes)
        self.assertEqual(steps["mixed"].cells[0].rounds, 5)
        text = (self.output / "verdict.txt").read_text()
        self.assertIn(text, done.stdout)
        self.assertTrue(text.startswith("FAILED: "))
        self.assertFalse(self.file.exists())

    def test_reading_leaves_the_data_alone(self) -> None:
        self.file.write_bytes(os.urandom(16 * MIB))
        before = self.file.read_bytes()
        done = self.qualify(str(self.file), "--read-only", "--engine", "native", "--steps",
                            "drivers", "--output", str(self.output), *SCALE)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertEqual(self.file.read_bytes(), before)
        found = store.read(self.output)
        self.assertEqual((found.plan.engine, found.verdict), ("native", "measured"))
        self.assertRegex(done.stdout, "(?m)^MEASURED, NOT QUALIFIED: .*the run was read only;.*"
                         "scaled by 0.05; 5 steps of the profile were not asked for")
        self.assertIn("Read only", " ".join(found.caveats))
        rows = {row.engine: row for row in self.steps()["drivers"].drivers
                if row.workload.depth == 1}
        self.assertTrue(rows["block"].rounds == rows["native"].rounds == 3)
        assert rows["block"].ratio is not None
        self.assertGreater(rows["block"].ratio.median, 0)
        self.assertIsNone(rows["native"].ratio)

    def test_interrupted_and_resumed(self) -> None:
        demanded = self.folder / "limits"
        demanded.write_text("mixed 4k randrw:60 iops >= 1\n")
        process = subprocess.Popen(
            self.arguments(str(self.file), "--size", EXTENT, "--output", str(self.output),
                           "--steps", "fill,mixed,integrity", "--limits", str(demanded), *SCALE),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("[2/3]"):
            self.assertTrue(line or process.poll() is None)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("PARTIAL RESULT", output)
        self.assertIn("--resume", errors)
        before = self.steps()
        self.assertEqual([step.state for step in before.values()], ["done", "partial", "planned"])
        self.assertEqual(before["mixed"].reason, "stopped by the user")
        self.resume_refuses_another_device()
        done = self.qualify("--resume", str(self.output))
        self.assertEqual(done.returncode, 4, done.stderr)
        after, found = self.steps(), store.read(self.output)
        self.assertEqual([step.state for step in after.values()], ["done"] * 3)
        self.assertEqual(after["fill"], before["fill"])
        self.assertEqual((found.complete, len(found.sittings)), (True, 2))
        self.assertEqual([c.verdict for c in found.criteria], ["pass", "pass"])
        kinds = [re.sub(r"\d+", "", caveat.partition(":")[0]) for caveat in found.caveats]
        self.assertEqual(len(kinds), len(set(kinds)), found.caveats)
        self.assertIn("Resumed once", " ".join(found.caveats))
        self.assertFalse(self.file.exists())
        done = self.qualify("--resume", str(self.output))
        self.assertEqual((done.returncode, "all its steps are done" in done.stderr), (2, True))

    def resume_refuses_another_device(self) -> None:
        os.truncate(self.file, 17 * MIB)
        done = self.qualify("--resume", str(self.output))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("is not the device that the run began with", done.stderr)
        os.truncate(self.file, 16 * MIB)

    # ---- Faults ------------------------------------------------------------------------------

    def test_wrong_data_are_found(self) -> None:
        # what was written at random is spoilt before it is read back
        self.replace_fio(f"""case "$*" in *--rw=randread*--verify=*)
            dd if=/dev/urandom of={shlex.quote(str(self.file))} bs=1 seek=5000000 count=9 conv=notrunc ;; esac
            2>&-""")
        done = self.make_and_qualify("integrity")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("WRONG DATA", done.stderr)
        step = self.steps()["integrity"]
        self.assertRegex(step.corrupt[0], "verify failed at .* offset 4997120")
        self.assertEqual((len(step.corrupt), step.verified), (1, 16 * MIB))
        self.assertEqual(store.read(self.output).verdict, "failed")

    def test_a_failing_step_costs_that_step(self) -> None:
        self.replace_fio("""case "$*" in *--rw=trimwrite*) echo "fio: bang" >&2; exit 9 ;; esac""")
        done = self.make_and_qualify("trim,integrity")
        self.assertEqual(done.returncode, 1, done.stderr)
        steps = self.steps()
        self.assertEqual({name: step.state for name, step in steps.items()},
                         {"trim": "failed", "integrity": "done"})
        self.assertIn("bang", steps["trim"].reason)
        self.assertEqual(len(steps["trim"].points), 2)
        self.assertEqual(store.read(self.output).verdict, "incomplete")
        self.assertTrue(self.file.exists())  # to go on with

    def test_a_device_that_goes_ends_it(self) -> None:
        node = self.loop_device()
        self.replace_fio(f"""case "$*" in *--rw=randwrite*)
            : > {shlex.quote(str(self.folder))}/image; losetup --set-capacity {node} ;; esac""")
        done = self.qualify(node, "--destroy", os.path.basename(node), "--output",
                            str(self.output), "--steps", "fill,fill-random,mixed", *SCALE)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "is gone, or not what it was: .*\n.*--resume")
        self.assertEqual([step.state for step in self.steps().values()],
                         ["done", "failed", "planned"])

    def test_a_full_disk_ends_it(self) -> None:
        disk = self.folder / "small"
        small_disk(self, disk, "20m")
        self.file = disk / "disk"
        done = self.make_and_qualify("fill")
        self.assertEqual(done.returncode, 2)
        self.assertIn("MiB needed", done.stderr)
        self.file.touch()
        os.truncate(self.file, 32 * MIB)  # sparse: it cannot be filled
        done = self.qualify(str(self.file), "--destroy", "disk", "--output", str(self.output),
                            "--steps", "fill,mixed")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "the disk is full: .*\n.*Make room")
        self.assertEqual([step.state for step in self.steps().values()], ["failed", "planned"])

    # ---- Refusals ----------------------------------------------------------------------------

    def test_nothing_is_written_to_what_was_not_named(self) -> None:
        self.file.write_bytes(bytes(16 * MIB))
        small = self.folder / "small"
        small.write_bytes(bytes(MIB))
        for arguments, words in (
                ([], "which device"), ([str(self.file)], "--destroy 'disk'"),
                ([str(self.file), "--destroy", "other"], "is 'disk'"),
                ([str(self.file), "--destroy", "disk", "--read-only"], "contradict"),
                ([str(self.file), "--destroy", "disk", "--steps", "tea"], "no such step"),
                ([str(self.file), "--destroy", "disk", "--engine", "steam"], "no such engine"),
                ([str(self.file), "--destroy", "disk", "--accept", "tea"], "no such check"),
                ([str(self.file), "--destroy", "disk", "--accept", "holder"], "not be accepted"),
                ([str(self.file), "--destroy", "disk", "--size", "1g"], "a file to make"),
                ([str(self.file), "--destroy", "disk", "--engine", "nvme-block"], "cannot reach"),
                ([str(self.file), "--read-only", "--steps", "mixed"], "no such step"),
                ([str(small), "--destroy", "small"], "too little"),
                ([str(self.folder), "--destroy", "x"], "neither a file nor a block device"),
                ([str(self.folder / "no" / "disk")], "there is no folder"),
                (["/dev/nvme99n1", "--dry-run"], "there is no such device"),
                ([str(self.folder / "no"), "--read-only"], "does not exist"),
                (["--resume", str(self.folder)], "cannot read")):
            with self.subTest(arguments=arguments):
                code, errors = bench_here(self.arguments(*arguments)[1:])
                self.assertEqual(code, 2, errors)
                self.assertIn(words, errors)
        self.assertEqual(self.file.read_bytes(), bytes(16 * MIB))

    def test_the_preflight_refuses_what_others_use(self) -> None:
        self.file.write_bytes(bytes(16 * MIB))
        with open(self.file, "r+b"):
            done = self.qualify(str(self.file), "--destroy", "disk", "--output", str(self.output))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("refused: Used by others: open for writing in", done.stderr)
        self.assertNotIn("--accept", done.stderr)
        found = store.read(self.output)
        self.assertEqual((found.verdict, found.complete), ("refused", False))
        self.assertTrue(all(step.state == "planned" for step in found.steps))

    def test_a_refusal_can_be_accepted_and_is_told(self) -> None:
        os.truncate(os.open(self.file, os.O_CREAT | os.O_WRONLY), 16 * MIB)  # nothing but a hole
        arguments = [str(self.file), "--read-only", "--steps", "throughput"]
        done = self.qualify(*arguments, "--dry-run")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stdout, "refuse +Allocated")
        done = self.qualify(*arguments, "--dry-run", "--accept", "sparse")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, "accepted +Allocated")

    def test_dry_run_makes_nothing(self) -> None:
        done = self.make_and_qualify("fill,iops", "--dry-run", "--profile", "full", "--scale", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"fill +Fill: 2 times.* 33\.6 MB")
        self.assertRegex(done.stdout, r"all +\d+:\d\d h +\d+:\d\d h +\d")
        self.assertFalse(self.file.exists() or self.output.exists())

    def test_where_rings_are_forbidden(self) -> None:
        """The library's own choice is driver posix; a mode that is named stays."""
        said = "io_uring is not permitted here: using driver posix\n"
        sandbox = [ROOT / "tests" / "lib" / "without_rings.py", "EPERM"]
        for engine, lines in (("libblkio", said), ("block", "")):
            done = subprocess.run(
                [*sandbox, *self.arguments("--dry-run", "--size", EXTENT, "--engine", engine,
                                           str(self.file))], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, lines))
            self.assertEqual("posix" in done.stdout, engine == "libblkio", done.stdout)

    def test_help_teaches(self) -> None:
        done = self.qualify("--help")
        self.assertEqual(done.returncode, 0)
        for word in ("smoke", "--destroy S3Z8NB0K", "exit status", "limits", "--accept", "examples",
                     "p99.999", "--resume"):
            self.assertIn(word, done.stdout)
        self.assertFalse(re.search("Traceback|None", done.stdout))


if __name__ == "__main__":
    main()
