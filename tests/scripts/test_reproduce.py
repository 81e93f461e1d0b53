#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The commands around the comparison: in the test VM, in QEMU, and reproductions with their index."""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from xml.etree import ElementTree as xml

from support import BENCH, ROOT, SKIPPED, build_folder, main
from benchlib import cli
from benchlib.errors import BenchError, Exit
from benchlib.measure.engines import all_engines
from benchlib.qemu import command as qemu_command
from benchlib.qemu.measure import DIFF, SIDES, Run
from benchlib.reproduce import answer, index, plan
from benchlib.reproduce.figures import FIGURES
from benchlib.result import storage
from benchlib.vm import plan as vm_plan
from benchlib.vm.guests import GUESTS


def parse(words: list[str]) -> argparse.Namespace:
    """As scripts/bench would; SystemExit for what it would not understand."""
    parser = argparse.ArgumentParser()
    cli.COMMANDS[words[0]].register(parser)
    return parser.parse_args(words[1:])


def bench(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([BENCH, *words], capture_output=True, text=True, timeout=120)


class Scratch(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)


class Figures(Scratch):
    def test_every_command_is_understood(self) -> None:
        known = all_engines("lib")
        for name, figure in FIGURES.items():
            for quick in (False, True):
                options = parse(["reproduce", name, *(["--quick"] if quick else [])])
                for step in figure.steps:
                    words = plan.command(step, options)
                    parsed = parse([*words, "--no-build", "--build-dir", "b", "--output", "o"])
                    self.assertEqual(parsed.quick, quick, words)
                    guests = vm_plan.chosen(getattr(parsed, "devices", []), count=False)
                    modes = set(getattr(parsed, "modes", [])) or \
                        {mode for guest in guests.values() for mode in guest.timed}
                    self.assertLessEqual(modes, set(known))
                    self.assertLessEqual({mode for pair in step.pairs for mode in pair}, modes)

    def test_the_users_target_replaces_scratch_files(self) -> None:
        options = parse(["reproduce", "--target", "/dev/x"])
        for name, targets in (("micro", ["/dev/x"]), ("vhost", ["tmpfs", "disk"])):
            words = plan.command(FIGURES[name].steps[0], options)
            self.assertEqual(parse(words).target, targets)

    def test_list_and_unknown_names(self) -> None:
        done = bench("reproduce", "--list")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name, figure in FIGURES.items():
            self.assertIn(f"{name}: {figure.title}\n  claim: {figure.claim}\n", done.stdout)
        done = bench("reproduce", "moon")
        self.assertEqual((done.returncode, "no figure moon" in done.stderr), (2, True))

    def test_index(self) -> None:
        good = self.folder / "bypass" / "vm" / "vfio"
        good.mkdir(parents=True)
        (good / "table.txt").write_text("head\n\nVerdict\n  vda: a | b is faster.\n")
        figures = plan.chosen(["bypass", "nvme", "qemu", "vhost"])
        done = [index.Done("bypass", "vm", "scripts/bench vm vfio", good.parent, 0, ""),
                index.Done("nvme", "vm", "scripts/bench vm nvme", self.folder / "nvme", Exit.USAGE,
                           "the test VM cannot run here"),
                index.Done("qemu", "host", "scripts/bench qemu", self.folder / "qemu", 1, "bang")]
        self.assertEqual([step.failed for step in done], [False, False, True])
        text = index.render(self.folder, "1.5", figures, done)
        self.assertIn("| vm: vda: a \\| b is faster. |", text)
        self.assertIn("cannot be measured here: the test VM cannot run here", text)
        self.assertIn("host: failed: bang", text)
        self.assertIn("| not yet |", text)
        self.assertIn("![bypass](<bypass/vm/vfio/chart.svg>)", text)
        self.assertNotIn(str(self.folder), text)

    def test_answers_are_those_of_the_result(self) -> None:
        """Where the second of a pair is the baseline, the result has the same ratio."""
        result = storage.read(ROOT / "results" / "reference")
        said = answer.answers(result, (("loop", "native"), ("loop", "nobody")))
        rows = [row for row in result.summaries if row.engine == "loop"]
        self.assertEqual(len(said), len(rows))
        for row in rows:
            assert row.ratio is not None
            found = answer.ratio(result, row.case, ("loop", "native"))
            assert found is not None
            self.assertAlmostEqual(found.median, row.ratio.median)
            turned = answer.ratio(result, row.case, ("native", "loop"))
            assert turned is not None
            self.assertAlmostEqual(turned.median * found.median, 1, delta=0.05)
        self.assertIn("against fio's io_uring", said[0])
        drawing = answer.chart(result, rows[0].case, (("loop", "native"), ("loop", "nobody")))
        said = [element.text for element in xml.fromstring(drawing).iter()]
        self.assertEqual((said.count("libblkio, busy loop"), said.count("fio's io_uring")), (1, 1))

    def test_one_for_real_and_one_that_cannot_be(self) -> None:
        """The index lists a step that is refused, which does not count as a failure."""
        build, output, empty = build_folder(), self.folder / "out", self.folder / "empty"
        empty.touch()
        done = bench("reproduce", "qemu", "--target", empty, "--no-build",
                     "--build-dir", build, "--output", output)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex((output / index.FILE).read_text(),
                         "cannot be measured here: .*is empty")
        done = bench("reproduce", "qemu", "--no-build", "--build-dir", build, "--output", output)
        self.assertEqual((done.returncode, "holds a result already" in done.stderr), (2, True))

    def test_interrupted(self) -> None:
        build, output, file = build_folder(), self.folder / "out", self.folder / "file"
        file.write_bytes(os.urandom(4 << 20))
        process = subprocess.Popen(
            [BENCH, "reproduce", "extended", "--target", file, "--no-build", "--build-dir", build,
             "--output", output], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True)
        self.addCleanup(process.communicate)
        assert process.stderr is not None
        while "rounds of" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn("interrupted", (output / index.FILE).read_text())


class InTheVm(unittest.TestCase):
    def test_commands_are_understood_in_the_guest(self) -> None:
        known = all_engines("lib")
        for way in ([], ["--count"]):
            options = parse(["vm", "all", "--rounds", "3", "--seed", "5", "--depth", "1,4", *way])
            guests = vm_plan.chosen(options.devices, options.count)
            self.assertIn("null_blk", guests)
            for name, guest in guests.items():
                argv = vm_plan.command(guest, options, Path("/b"), Path("/o"))
                self.assertEqual("--icount" in argv, options.count)
                inside = shlex.split(argv[-1].rpartition(" exec scripts/bench ")[2])
                parsed = parse(inside)
                self.assertEqual((parsed.target, parsed.rounds, parsed.seed, parsed.depth,
                                  parsed.no_build), ([guest.disk], 3, 5, [1, 4], True), name)
                self.assertLessEqual(set(parsed.modes), set(known))
                self.assertGreater(int(argv[argv.index("--timeout") + 1]), 100)

    def test_both_spellings(self) -> None:
        for words in (("--vm", "vfio", "--dry-run"), ("vm", "vfio", "--dry-run"),
                      ("--dry-run", "--vm", "vfio")):
            done = bench(*words)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("--profile viommu", done.stdout)
        done = bench("--vm", "--dry-run")
        self.assertEqual(len(done.stdout.splitlines()),
                         sum(bool(guest.timed) for guest in GUESTS.values()))

    def test_unknown_devices(self) -> None:
        for words, complaint in ((["moon"], "moon is no such device"),
                                 (["page-cache"], "page-cache can only be counted"),
                                 (["--count", "vfio"], "vfio cannot be counted")):
            done = bench("--vm", *words)
            self.assertEqual((done.returncode, complaint in done.stderr), (2, True), done.stderr)


class InQemu(Scratch):
    def runs(self, shift: float, calm: int) -> list[Run]:
        """Ten rounds in which the driver takes `shift` of the time; disturbed ones take twice."""
        return [Run(1, side, number, 0, 1000, (1.0 if side == "native" else shift)
                    * (1 + 0.01 * number) * (1 if number < calm else 2), number < calm)
                for number in range(10) for side in SIDES]

    def test_ratio(self) -> None:
        found = qemu_command.ratio(self.runs(0.8, 10), 1, seed=1)
        self.assertAlmostEqual(found.median, 0.8)
        self.assertEqual(len(qemu_command.usable(self.runs(0.8, 6), 1)), 12)  # calm ones only
        self.assertEqual(len(qemu_command.usable(self.runs(0.8, 4), 1)), 20)  # too few of them

    def test_for_real(self) -> None:
        made = subprocess.run([DIFF / "make-root"], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if made.returncode == SKIPPED:
            self.skipTest(made.stdout.splitlines()[-1])
        self.assertEqual(made.returncode, 0, made.stdout)
        file, output = self.folder / "da,ta", self.folder / "out"
        file.write_bytes(os.urandom(4 << 20))
        done = bench("qemu", "--target", file, "--rounds", "2", "--runtime", "0.05", "--depth", "1",
                     "--no-build", "--build-dir", build_folder(), "--output", output)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(output / qemu_command.RUNS, newline="") as runs:
            rows = list(csv.DictReader(runs))
        sides = [row["side"] for row in rows]
        self.assertEqual(set(sides[:2]), {"libblkio", "native"})
        self.assertEqual(sides[2:], sides[1::-1])  # the second round is the first in reverse
        self.assertIn("Verdict", (output / "table.txt").read_text())
        self.assertIn("QEMU", (output / "environment.txt").read_text())
        self.assertIn("<svg", (output / "chart.svg").read_text())

    def test_a_target_that_is_not_there(self) -> None:
        with self.assertRaises(BenchError) as caught:
            qemu_command.qemu(parse(["qemu", "--target", "/nowhere", "--no-build"]))
        self.assertEqual(caught.exception.code, Exit.USAGE)


if __name__ == "__main__":
    main()
