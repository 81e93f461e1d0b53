#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench copy`: pairs, programs, what the runs say, and a measurement for real."""

from __future__ import annotations

import csv
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import BENCH, bench_here, build_folder, main
from benchlib.copy import command, measure, pairs, programs, report
from benchlib.copy.options import PAIRS
from benchlib.errors import BenchError, Exit

MIB = 1 << 20


class Scratch(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Programs(Scratch):
    def test_who_copies_what(self) -> None:
        """dd and cp know no servers; only files are made, and have holes."""
        file = pairs.Ends("s", "d")
        device = pairs.Ends("s", "/dev/loop7", is_device=True)
        nbd = pairs.Ends("s", "d", served="/run/nbd")
        vhost = pairs.Ends("s", "d", served="/run/nbd", device="/run/vhost")
        told = {name: [one.command(ends, self.folder) for ends in (file, device, nbd, vhost)]
                for name, one in programs.PROGRAMS.items()}
        self.assertEqual({name: [bool(argv) for argv in argvs] for name, argvs in told.items()}, {
            "blkio-copy": [True, True, True, True], "qemu-img convert": [True, True, True, True],
            "nbdcopy": [True, True, True, True], "dd": [True, True, False, False],
            "cp": [True, True, False, False], "cp --sparse=always": [True, False, False, False]})
        own = [argv[1:] for argv in told["blkio-copy"] if argv]
        self.assertEqual(own, [
            ["--quiet", "--resize", "s", "d"], ["--quiet", "s", "/dev/loop7"],
            ["--quiet", "--resize", "nbd:path=/run/nbd", "d"],
            ["--quiet", "--resize", "virtio-blk-vhost-user:path=/run/vhost", "d"]])

    def test_contents(self) -> None:
        for content, holes in (("dense", 0), ("sparse", 14), ("zeroes", 0)):
            file = self.folder / content
            pairs.fill(file, content, 16 * MIB)
            self.assertEqual(file.stat().st_size, 16 * MIB)
            data = file.read_bytes()
            zero = sum(not any(data[at:at + MIB]) for at in range(0, len(data), MIB))
            self.assertEqual(zero, {"dense": 0, "sparse": 14, "zeroes": 16}[content])
            self.assertGreaterEqual(file.stat().st_blocks * 512, (16 - holes) * MIB)

    def test_a_copy_that_differs(self) -> None:
        source, copy = self.folder / "source", self.folder / "copy"
        source.write_bytes(b"a" * (2 * MIB))
        ends = pairs.Ends(str(source), str(copy))
        copy.write_bytes(source.read_bytes())
        measure.check("cp", ends)
        for wrong in (b"a" * (2 * MIB - 1) + b"b", b"a" * (2 * MIB - 1)):
            copy.write_bytes(wrong)
            with self.assertRaisesRegex(BenchError, "cp made a copy that differs"):
                measure.check("cp", ends)

    def test_a_program_that_fails(self) -> None:
        ends = pairs.Ends(str(self.folder / "none"), str(self.folder / "copy"))
        with self.assertRaisesRegex(BenchError, "cp failed: .*none"):
            measure.run("cp", ["cp", ends.source, ends.destination], ends)

    def test_memory_is_the_programs_own(self) -> None:
        """This process is larger than cp, which has none of its pages."""
        source = self.folder / "source"
        source.write_bytes(b"a" * MIB)
        ends = pairs.Ends(str(source), str(self.folder / "copy"))
        large = bytearray(b"a" * (64 * MIB))
        cost = measure.run("cp", ["cp", ends.source, ends.destination], ends)
        self.assertLess(cost.peak_bytes, len(large) // 2)
        self.assertGreater(cost.peak_bytes, 64 << 10)


class Words(unittest.TestCase):
    def runs(self, shift: float, calm: int = 10) -> list[measure.Copy]:
        """Ten rounds in which nbdcopy takes a second and more, blkio-copy `shift` of that, dd two
        seconds."""
        return [measure.Copy("tmpfs", "dense", name, number, 0, time * (1 + 0.01 * number), 0.5,
                             size * MIB, number < calm)
                for number in range(10)
                for name, time, size in (("dd", 2.0, 2), ("nbdcopy", 1.0, 20),
                                         ("blkio-copy", shift, 4))]

    def test_verdict(self) -> None:
        for shift, word in ((0.5, "faster"), (1.5, "slower"), (1.0, "same within 2%")):
            text = report.text(self.runs(shift), 1, ["head"])
            self.assertIn(f"blkio-copy takes {shift:.3f} of the time [{shift:.3f}, {shift:.3f}] of "
                          f"the fastest other, nbdcopy: {word}.", text)
        self.assertNotIn("Caution", text)
        self.assertIn("Caution", report.text(self.runs(1.0, calm=3), 1, []))
        self.assertEqual(len(report.usable(self.runs(1.0, calm=6), ("tmpfs", "dense"))), 18)

    def test_chart(self) -> None:
        drawn = report.chart(self.runs(0.5), 1)
        self.assertIn("file to file, tmpfs, dense: blkio-copy 522 ms, 4 MiB", drawn)
        self.assertIn("4.00  2.09 s, 2 MiB", drawn)


class Command(Scratch):
    def test_refused(self) -> None:
        for words, complaint in ((["--size", "100k"], "whole MiB"),
                                 (["--size", "1000t"], "MiB free in"),
                                 (["--build-dir", self.folder], "there is no "),
                                 (["--pairs", "moon"], "'moon' is none of")):
            code, said = bench_here(["copy", "--pairs", "tmpfs,disk", "--no-build", "--output",
                                     self.folder / "out", *words])
            self.assertEqual((code, complaint in said), (Exit.USAGE, True), said)

    def test_for_real(self) -> None:
        """Every pair that this machine can make, with data and holes."""
        build, output = build_folder(), self.folder / "out"
        done = subprocess.run([BENCH, "copy", "--size", "4m", "--contents", "sparse",
                               "--rounds", "2", "--no-build", "--build-dir", build, "--output",
                               output], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(output / command.RUNS, newline="") as runs:
            rows = list(csv.DictReader(runs))
        there = [name for name in PAIRS if not pairs.obstacle(name, build, 4 * MIB)]
        self.assertEqual({(row["pair"], row["content"]) for row in rows},
                         {(name, "sparse") for name in there})
        for name in there:
            order = [row["program"] for row in rows if row["pair"] == name]
            self.assertIn("blkio-copy", order)
            half = len(order) // 2
            self.assertEqual(order[half:], order[half - 1::-1])  # the second round is in reverse
        self.assertTrue(all(float(row["seconds"]) > 0 and int(row["peak_bytes"]) > 0
                            for row in rows))
        self.assertIn("Verdict", (output / "table.txt").read_text())
        self.assertIn("<svg", (output / "chart.svg").read_text())
        self.assertIn("kernel", (output / "environment.txt").read_text())


if __name__ == "__main__":
    main()
