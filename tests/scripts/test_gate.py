#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The gate: its decision table, its findings on made-up machines, and short real runs.

Real runs here are too short for a verdict on latency, which they have to say. That slowdowns are
found and nothing else is, on a real machine: scripts/bench gate --self-test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any, Sequence
from xml.etree import ElementTree

import numpy as np

from support import BENCH, CASE, ROOT, bench_here, build_folder, main, sample, small_disk
import setuplib
from benchlib.errors import BenchError, Exit
from benchlib.gate import judge, output, sides, store, verdict
from benchlib.gate.counts import INSTRUCTIONS
from benchlib.gate.model import BASELINE, CANDIDATE, SCHEMA, Count, GateResult, Limits, Side
from benchlib.gate.selftest import SelfTest, sound
from benchlib.gate.verdict import IMPROVED, PASS, REGRESS, TOO_FEW, TOO_NOISY
from benchlib.result import codec, storage
from benchlib.result.model import Case, Histogram, Interval, Sample, Settings
from benchlib.verdict import GATE

LIMITS = Limits(effect=0.02, alpha=0.05, instructions=0.01, system_calls=0.05)
SHORT = ["--no-build", "--rounds", "2", "--until", "100", "--runtime", "0.05", "--depth", "1",
         "--size", "4m"]


class Table(unittest.TestCase):
    def test_every_kind_of_interval(self) -> None:
        for low, median, high, p, word in (
                (0.99, 1.00, 1.01, 0.9, PASS),
                (1.001, 1.01, 1.019, 0.001, PASS),     # proven, but too small to count
                (0.90, 1.00, 1.01, 0.6, PASS),         # perhaps faster, surely not slower
                (1.03, 1.05, 1.07, 0.001, REGRESS),
                (1.005, 1.02, 1.04, 0.01, REGRESS),    # at the least effect exactly
                (0.99, 1.05, 1.10, 0.2, TOO_NOISY),    # large, but may be chance
                (1.00, 1.01, 1.03, 0.04, TOO_NOISY),   # small, but may be more
                (0.93, 0.95, 0.97, 0.001, IMPROVED),
                (0.93, 0.95, 1.03, 0.07, TOO_NOISY)):
            shift = Interval(median, low, high, 0.95, 20)
            with self.subTest(shift=shift):
                self.assertEqual(verdict.of_shift(shift, p, 1e-6, LIMITS), word)

    def test_what_could_not_be_significant_is_too_few(self) -> None:
        shift = Interval(1.5, 1.4, 1.6, 0.95, 4)
        self.assertEqual(verdict.of_shift(shift, 0.125, 0.125, LIMITS), TOO_FEW)

    def test_counts_have_a_sharp_edge(self) -> None:
        for after, repeatable, word in ((404.0, True, PASS), (408.0, True, PASS),
                                        (408.2, True, REGRESS), (399.0, True, IMPROVED),
                                        (500.0, False, TOO_NOISY)):
            self.assertEqual(verdict.of_count(404.0, after, repeatable, 4.04), word)

    def test_exit_status_is_that_of_the_worst(self) -> None:
        self.assertEqual([int(word.code) for word in GATE.words.values()],
                         [0, 10, 11, 12, 13])
        for words, tolerated, code in (
                ([], [], Exit.OK), ([PASS, IMPROVED], [], Exit.IMPROVED),
                ([PASS, IMPROVED], [IMPROVED], Exit.OK),
                ([TOO_NOISY, REGRESS, TOO_FEW], [], Exit.REGRESS),
                ([TOO_NOISY, IMPROVED, TOO_FEW], [TOO_NOISY, TOO_FEW], Exit.IMPROVED),
                ([REGRESS, TOO_NOISY], [REGRESS], Exit.TOO_NOISY)):
            self.assertEqual(verdict.exit_status(words, tolerated), code)


def machine(source: np.random.Generator, factor: float, rounds: int = 30, case: Case = CASE,
            noise: float = 0.02, mode: str = "block") -> list[Sample]:
    """A machine that drifts and jumps, on which the candidate takes `factor` times as long."""
    made = []
    for number in range(rounds):
        drift = source.choice([1.0, 1.6]) * source.uniform(1, 1.3)
        for side, times in ((BASELINE, 1.0), (CANDIDATE, factor)):
            value = int(600_000 * drift * times * source.normal(1, noise))
            made.append(sample(case=case, engine=f"{mode}@{side}", round=number,
                               mean=float(value), latency=Histogram([value], [100])))
    return made


def words(samples: list[Sample], paired: bool = True) -> list[str]:
    return [finding.verdict for finding in judge.judge(samples, ["typical"], LIMITS, paired)]


class Findings(unittest.TestCase):
    def test_five_per_cent_are_found_through_drift_twelve_times_larger(self) -> None:
        source = np.random.default_rng(21)
        found = [words(machine(source, 1.05))[0] for _ in range(40)]
        self.assertGreaterEqual(found.count(REGRESS), 39)
        found = [words(machine(source, 0.95))[0] for _ in range(40)]
        self.assertGreaterEqual(found.count(IMPROVED), 39)

    def test_nothing_is_found_where_nothing_is(self) -> None:
        source = np.random.default_rng(22)
        found = [words(machine(source, 1.0))[0] for _ in range(100)]
        self.assertLessEqual(found.count(REGRESS) + found.count(IMPROVED), 2)
        self.assertGreater(found.count(PASS), 80)

    def test_noise_is_no_pass(self) -> None:
        source = np.random.default_rng(23)
        found = [words(machine(source, 1.0, rounds=12, noise=0.15))[0] for _ in range(40)]
        self.assertGreater(found.count(TOO_NOISY), 30)
        self.assertLess(found.count(REGRESS), 5)

    def test_unpaired_needs_a_larger_difference(self) -> None:
        source = np.random.default_rng(24)
        samples = machine(source, 1.05)
        self.assertEqual(words(samples), [REGRESS])
        self.assertEqual(words(samples, paired=False), [TOO_NOISY])
        self.assertEqual(words(machine(source, 3.0), paired=False), [REGRESS])

    def test_few_rounds(self) -> None:
        source = np.random.default_rng(25)
        self.assertEqual(words(machine(source, 2.0, rounds=5)), [TOO_FEW])
        self.assertEqual(words(machine(source, 2.0, rounds=8)), [REGRESS])
        # enough for one finding, not for ten together
        cases = [replace(CASE, depth=depth) for depth in range(1, 11)]
        many = [s for case in cases for s in machine(source, 2.0, rounds=7, case=case)]
        self.assertEqual(set(words(many)), {TOO_FEW})

    def test_the_matrix_is_corrected_together(self) -> None:
        source, cases = np.random.default_rng(26), [replace(CASE, depth=d) for d in range(1, 13)]
        samples = [s for case in cases for s in machine(source, 1.0, case=case)]
        findings = judge.judge(samples, ["typical", "mean"], LIMITS, True)
        self.assertEqual(len(findings), 24)
        least = min(findings, key=lambda finding: finding.p)
        self.assertAlmostEqual(least.p_holm, min(1.0, 24 * least.p))

    def test_a_round_without_its_partner_does_not_count(self) -> None:
        samples = machine(np.random.default_rng(27), 1.0)
        [finding] = judge.judge(samples[:-1], ["typical"], LIMITS, True)
        self.assertEqual(finding.samples, 29)


def result(factor: float = 1.0, **changes: Any) -> GateResult:
    from test_results import result as comparison  # its environment and targets do
    other = comparison()
    samples = machine(np.random.default_rng(31), factor, noise=0.005)
    findings = judge.judge(samples, ["typical"], LIMITS, True)
    counts = [Count(CASE, "block", INSTRUCTIONS, 404.0, 404.0, True, PASS)]
    fields: dict[str, Any] = {
        "schema": SCHEMA, "complete": True, "started": "2026-01-01T00:00:00+00:00",
        "seconds": 20.0, "verdict": verdict.worst(f.verdict for f in findings), "exit_status": 0,
        "tolerated": [], "limits": LIMITS,
        "settings": Settings(["randread"], [512], [1], [1], ["block"], 30, 0.01, 300.0, 100, 30, 1,
                             [1], 1.0),
        "sides": [Side(BASELINE, "main", "1.5-1"), Side(CANDIDATE, "source", "1.5-2")],
        "environment": other.environment, "targets": other.targets, "other_load": 0.1,
        "findings": findings, "counts": counts, "notes": ["mind the <gap> & more"],
        "samples": samples}
    return GateResult(**{**fields, **changes})


class Output(unittest.TestCase):
    def suite(self, made: GateResult) -> ElementTree.Element:
        return ElementTree.fromstring(output.junit(made).encode())[0]

    def test_junit_of_a_regression(self) -> None:
        suite = self.suite(result(1.05))
        self.assertEqual((suite.get("tests"), suite.get("failures"), suite.get("errors")),
                         ("2", "1", "0"))
        case = next(suite.iter("testcase"))
        self.assertEqual((case.get("classname"), case.get("name")),
                         ("page-cache/randread/512/qd1/j1", "block typical"))
        failure = case.find("failure")
        assert failure is not None
        self.assertEqual(failure.get("type"), "regress")

    def test_junit_of_what_is_tolerated_and_of_nothing(self) -> None:
        suite = self.suite(result(1.05, tolerated=[REGRESS]))
        self.assertEqual((suite.get("failures"), suite.get("skipped")), ("0", "1"))
        suite = self.suite(result(findings=[], counts=[], verdict="failed"))
        self.assertEqual(suite.get("errors"), "1")

    def test_markdown_is_a_table_with_the_verdict_first(self) -> None:
        lines = output.markdown(result(1.05)).splitlines()
        self.assertTrue(lines[0].startswith("### Latency gate: REGRESS"))
        table = [line for line in lines if line.startswith("|")]
        self.assertEqual(len({line.count("|") for line in table}), 1)
        self.assertIn("| **regress** | page-cache, 512-byte random reads, depth 1 | block |",
                      table[2])
        self.assertRegex(table[2], r"\| \+[45]\.\d% \|")
        self.assertIn("| 404.0 | 404.0 | +0.0% | counted | |", table[3])

    def test_text(self) -> None:
        text = output.render(result(complete=False))
        self.assertTrue(text.startswith("PARTIAL RESULT: No regression in any of 2 findings. The run "
                                        "was stopped before its end."))
        for part in ("baseline main (1.5-1) and candidate source (1.5-2)", "30 pairs",
                     "instructions per I/O: 404.0 -> 404.0", "note: mind the <gap> & more"):
            self.assertIn(part, text)


class Stored(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_round_trip(self) -> None:
        made = result(1.05)
        storage.keep(self.folder, store.FILE, made)
        self.assertEqual(store.read(self.folder), made)
        kept = store.baseline_samples(made)
        self.assertEqual({one.engine for one in kept}, {"block@candidate"})
        self.assertEqual(store.renamed(kept[0], BASELINE).engine, "block@baseline")

    def test_what_does_not_fit_is_refused(self) -> None:
        for way, value, words_of_it in (
                (["schema"], "libblkio-gate/9", "this program reads"),
                (["findings", 0, "p"], "small", "findings[0].p: must be a finite number"),
                (["findings", 0, "shift", "low"], None, "findings[0].shift.low"),
                (["counts", 0, "repeatable"], 1, "counts[0].repeatable: must be of type bool"),
                (["samples", 0, "engine"], "block@moon", "is of no side"),
                (["sides"], {}, "sides: must be a list")):
            tree = codec.encode(result())
            place = tree
            for step in way[:-1]:
                place = place[step]
            place[way[-1]] = value
            (self.folder / store.FILE).write_text(json.dumps(tree))
            with self.subTest(way=way), self.assertRaises(BenchError) as caught:
                store.read(self.folder)
            self.assertIn(words_of_it, str(caught.exception))

    def test_a_full_disk_loses_no_measurement(self) -> None:
        disk = self.folder / "disk"
        small_disk(self, disk, "8k")
        storage.prepare_folder(disk)
        other = storage.keep(disk, store.FILE, result())
        self.assertEqual(list(disk.iterdir()), [])
        self.addCleanup(other.rmdir)
        self.addCleanup((other / store.FILE).unlink)
        self.assertEqual(store.read(other), result())


class Specs(unittest.TestCase):
    def test_what_a_side_is(self) -> None:
        self.assertEqual(sides.spec("candidate", str(ROOT)).kind, sides.SOURCE)
        self.assertEqual(sides.spec("baseline", str(ROOT / "results" / "reference")).kind,
                         sides.RESULTS)
        self.assertEqual(sides.spec("baseline", str(build_folder())).kind, sides.BUILD)
        with self.assertRaisesRegex(BenchError, "neither a git revision nor"):
            sides.spec("baseline", "no-such-thing")

    def test_a_git_revision(self) -> None:
        if subprocess.run(setuplib.git(ROOT, "rev-parse", "HEAD"), capture_output=True).returncode:
            self.skipTest("this source tree is not a git repository")
        spec = sides.spec("baseline", "HEAD")
        self.assertEqual((spec.kind, spec.label(), len(spec.revision)), (sides.GIT, "HEAD", 40))


MESON = """project('stand-in', 'c')
configure_file(input: '{library}', output: 'libblkio.so', copy: true)
"""
OPTIONS = "\n".join(f"option('{name}', type: 'string')" for name in ("tests", "fio", "fio_source"))


class GitRevisions(unittest.TestCase):
    """The gate between two commits of a repository of its own, which has the real scripts. Its build
    is quick: it takes the library under test."""

    def setUp(self) -> None:
        build = build_folder()
        folder = tempfile.TemporaryDirectory(dir=build)
        self.addCleanup(folder.cleanup)
        self.tree = Path(folder.name) / "tree"
        shutil.copytree(ROOT / "scripts", self.tree / "scripts",
                        ignore=shutil.ignore_patterns("__pycache__"))
        (self.tree / ".deps").symlink_to((ROOT / ".deps").resolve())
        (self.tree / ".gitignore").write_text(".deps\n/build-gate\n__pycache__\n")
        library = os.path.realpath(build / "libblkio.so")
        (self.tree / "meson.build").write_text(MESON.format(library=library))
        (self.tree / "meson_options.txt").write_text(OPTIONS + "\n")
        self.git("init", "--quiet")
        self.commit("the first")
        self.git("tag", "first")
        (self.tree / "more").touch()
        self.commit("the second")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=gate", "-c", "user.email=gate@localhost"]
        return subprocess.run([*setuplib.git(self.tree), *identity, *arguments], check=True,
                              capture_output=True, text=True).stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def test_reports_name_both_versions(self) -> None:
        output = self.tree.parent / "out"
        done = subprocess.run(
            [self.tree / "scripts" / "bench", "gate", *SHORT[1:], "--no-counts",
             "--modes", "block", "--baseline", "first", "--candidate", "HEAD", "--output", output],
            capture_output=True, text=True, timeout=240)
        self.assertEqual(done.returncode, Exit.TOO_FEW, done.stdout + done.stderr)
        second = self.git("describe", "--tags")
        made = store.read(output)
        self.assertEqual([(side.asked_for, side.version) for side in made.sides],
                         [("first", "first"), ("HEAD", second)])
        self.assertEqual(made.environment.libblkio, second)
        said = f"baseline first (first) and candidate HEAD ({second})"
        self.assertIn(said, (output / "gate.txt").read_text())
        page = (output / "report.html").read_text()
        self.assertIn(second, page)
        self.assertNotIn("unknown (", page)  # a version


class SelfTests(unittest.TestCase):
    def test_when_the_gate_is_sound(self) -> None:
        from benchlib.gate.selftest import GateRun
        run = GateRun(REGRESS, [1.05], [0.01], [20], 1, 20.0, 0.0)
        record = SelfTest("", True, "", "", LIMITS, [], None, [run] * 20, [run] * 20, 30)
        for alarms, found, good in ((0, 20, True), (3, 20, True), (6, 20, False), (0, 19, False)):
            record.false_alarms, record.found = alarms, found
            self.assertEqual(sound(record), good)


class Real(unittest.TestCase):
    def setUp(self) -> None:
        self.build = str(build_folder())
        folder = tempfile.TemporaryDirectory(dir=self.build)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def command(self, name: str, *arguments: str) -> list[str]:
        return ["gate", *SHORT, "--candidate", self.build, "--output", str(self.folder / name),
                *arguments]

    def gate(self, name: str, *arguments: str,
             prefix: Sequence[str | Path] = ()) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*prefix, BENCH, *self.command(name, *arguments)],
                              capture_output=True, text=True, timeout=240)

    def test_two_builds_then_a_stored_result(self) -> None:
        done = self.gate("one", "--baseline", self.build, "--summary",
                         str(self.folder / "summary"), "--junit", str(self.folder / "junit"))
        self.assertEqual(done.returncode, Exit.TOO_FEW, done.stdout + done.stderr)
        self.assertIn("TOO-FEW", done.stdout)
        self.assertEqual({path.name for path in (self.folder / "one").iterdir()},
                         {"gate.json", "gate.txt", "summary.md", "junit.xml", "report.html"})
        made = store.read(self.folder / "one")
        self.assertEqual([finding.samples for finding in made.findings], [2])
        self.same_counts(made)
        self.assertIn("TOO-FEW", (self.folder / "summary").read_text())
        ElementTree.parse(self.folder / "junit")

        done = self.gate("two", "--baseline", str(self.folder / "one"), "--tolerate",
                         "too-few,too-noisy,improved,regress")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("UNPAIRED", done.stdout)
        made = store.read(self.folder / "two")
        self.assertFalse(made.findings[0].paired)
        self.assertEqual([side.asked_for for side in made.sides], ["results", "build"])
        self.trend_page("one", "two")

    def trend_page(self, *names: str) -> None:
        """The rest of docs/history.md: from the gate's results to a page."""
        page, kept = self.folder / "trend.html", str(self.folder / "history.sqlite")
        for arguments in (["add", *(str(self.folder / name) for name in names)],
                          ["trend", "--output", str(page)]):
            subprocess.run([BENCH, "history", "--history", kept, *arguments], check=True,
                           capture_output=True, timeout=240)
        written = page.read_text()
        series = "gate/page-cache/randread/512/qd1/j1/block"
        for words in (f"{series}, typical latency over 2 results", "&#160;too-few</td>"):
            self.assertIn(words, written)
        if store.read(self.folder / names[0]).counts:
            self.assertIn(f"{series}, system calls per I/O", written)

    def same_counts(self, made: GateResult) -> None:
        """A library needs as many instructions as itself."""
        for count in made.counts:
            if count.what == INSTRUCTIONS:
                self.assertEqual((count.baseline, count.verdict), (count.candidate, PASS))
                return
        self.assertTrue(any("instructions were not counted" in note for note in made.notes))

    def test_stopped_runs_keep_what_they_have(self) -> None:
        process = subprocess.Popen(
            [BENCH, "gate", *SHORT, "--rounds", "20", "--baseline", self.build, "--candidate",
             self.build, "--output", self.folder / "out"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stderr is not None
        while not re.search(r"round [2-9]/20", process.stderr.readline()):
            self.assertIsNone(process.poll())
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, Exit.INTERRUPTED, errors)
        self.assertIn("PARTIAL RESULT", said)
        self.assertFalse(store.read(self.folder / "out").complete)

    def test_where_rings_are_forbidden(self) -> None:
        """Driver posix takes the place of io_uring, unless a mode is named."""
        sandbox = [ROOT / "tests" / "lib" / "without_rings.py", "EPERM"]
        said = "io_uring is not permitted here: using driver posix"
        done = self.gate("one", "--baseline", self.build, "--no-counts", prefix=sandbox)
        self.assertEqual(done.returncode, Exit.TOO_FEW, done.stdout + done.stderr)
        self.assertEqual(done.stderr.count(said), 1, done.stderr)
        self.assertEqual(store.read(self.folder / "one").settings.modes,
                         ["posix-block@baseline", "posix-block@candidate"])
        done = self.gate("two", "--baseline", self.build, "--modes", "block", prefix=sandbox)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertNotIn(said, done.stderr)
        self.assertIn("io_uring is not permitted: see sysctl", done.stdout)

    def test_refusals_come_before_any_work(self) -> None:
        for arguments, text in (
                (["--baseline", "no-such-thing"], "neither a git revision"),
                (["--metric", "median"], "no metric median"),
                (["--tolerate", "noise"], "no verdict noise"),
                (["--modes", "native"], "the same on both sides"),
                (["--candidate", str(ROOT / "results" / "reference")], "is a stored result"),
                (["--self-test", "--candidate", str(ROOT / "results" / "reference")],
                 "is a stored result"),
                (["--count", "--aa", "3"], "ask about this machine's noise"),
                (["--count", "--target", "tmpfs"], "Choose one of null_blk, page-cache"),
                (["--rw", "dance", "--baseline", self.build], "no such workload")):
            with self.subTest(arguments=arguments):
                code, errors = bench_here(self.command("out", *arguments))
                self.assertEqual(code, 2, errors)
                self.assertIn(text, errors)

    def test_help_teaches(self) -> None:
        done = subprocess.run([BENCH, "gate", "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        for word in (*GATE.names, "examples", "exit status", "--aa", "Holm"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    main()
