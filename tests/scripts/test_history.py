#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The history: nothing is lost or mixed, changes are found, none is cried where there is none."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import json
import sqlite3
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path
from typing import Any, Callable

import numpy as np

from report_support import ENVIRONMENT, HOSTILE, comparison, gated, qualification
from support import BENCH, main
from benchlib import cli
from benchlib.errors import BenchError
from benchlib.history import changepoint, figures, machine, power, store, versus
from benchlib.history.figures import Reading
from benchlib.qualify import store as qualify_store
from benchlib.result import model, storage

SERIES, TRIES = 100, 20
LENGTH = 30
VERSION_1 = """
CREATE TABLE machines (id TEXT PRIMARY KEY, facts TEXT NOT NULL) STRICT;
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    started TEXT NOT NULL, added TEXT NOT NULL, label TEXT NOT NULL, complete INTEGER NOT NULL,
    machine TEXT NOT NULL REFERENCES machines, circumstances TEXT NOT NULL, raw BLOB NOT NULL
) STRICT;
CREATE TABLE figures (
    entry INTEGER NOT NULL REFERENCES entries ON DELETE CASCADE, series TEXT NOT NULL,
    medium TEXT NOT NULL, metric TEXT NOT NULL, value REAL NOT NULL, low REAL NOT NULL,
    high REAL NOT NULL, rounds TEXT NOT NULL, PRIMARY KEY (entry, series, medium, metric)
) STRICT;
"""


class ChangePoints(unittest.TestCase):
    """On series whose changes are known. Every seed is fixed: the figures are always the same."""

    def alarms(self, make: Callable[[np.random.Generator], Any]) -> int:
        """In how many of SERIES random series a change is found."""
        source = np.random.default_rng(3)
        return sum(bool(changepoint.changes(make(source))) for _ in range(SERIES))

    def test_it_does_not_cry_wolf(self) -> None:
        def noise(source: np.random.Generator, share: float) -> Any:
            return 1 + share * source.standard_normal(LENGTH)

        for name, make in (
                ("little noise", lambda s: noise(s, 0.01)),
                ("much noise", lambda s: noise(s, 0.05)),
                ("outliers", lambda s: noise(s, 0.01) + 0.5 * (s.random(LENGTH) < 0.1)),
                ("skewed", lambda s: np.exp(0.3 * s.standard_normal(LENGTH))),
                ("two values by chance", lambda s: s.choice((1.0, 1.5), LENGTH)),
                ("always the same", lambda s: np.full(LENGTH, 7.0))):
            with self.subTest(name):
                # ALPHA is 1 %: of 100 series 1; 6 or more would come by chance in 1 of 2000 runs
                self.assertLess(self.alarms(make), 6)

    def test_steps_are_found_where_they_are(self) -> None:
        def step(source: np.random.Generator, at: int, size: float, noise: float) -> Any:
            level = np.where(np.arange(LENGTH) >= at, 1 + size, 1)
            return level * (1 + noise * source.standard_normal(LENGTH))

        for at, size, noise, least in ((15, 0.05, 0.01, 98), (15, -0.05, 0.01, 98),
                                       (15, 0.05, 0.02, 85), (25, 0.05, 0.01, 80),
                                       (5, 0.5, 0.05, 80)):
            with self.subTest(at=at, size=size, noise=noise):
                self.assertGreaterEqual(self.alarms(lambda s: step(s, at, size, noise)), least)
        values = step(np.random.default_rng(1), 17, 0.05, 0.005)
        found, = changepoint.changes(values)
        self.assertEqual(found.index, 17)
        self.assertAlmostEqual(found.ratio, 1.05, delta=0.005)

    def test_several_steps(self) -> None:
        source = np.random.default_rng(2)
        level = np.repeat((1.0, 1.2, 0.9, 1.1), 12)
        found = changepoint.changes(level * (1 + 0.01 * source.standard_normal(level.size)))
        self.assertEqual([change.index for change in found], [12, 24, 36])
        for change, ratio in zip(found, (1.2, 0.75, 1.1 / 0.9)):
            self.assertAlmostEqual(change.ratio, ratio, delta=0.02)

    def test_small_steps_are_nobodys_concern(self) -> None:
        source = np.random.default_rng(4)
        values = np.repeat((1.0, 1.01), 50) * (1 + 0.001 * source.standard_normal(100))
        self.assertEqual(changepoint.changes(values), [])
        self.assertEqual(len(changepoint.changes(values, min_effect=0.005)), 1)

    def test_short_series_and_wrong_values(self) -> None:
        for values in ([], [1.0], [1.0] * 5, [1, 1, 1, 9, 9]):
            self.assertEqual(changepoint.changes(values), [])
        for values in ([1.0, float("nan")], [1.0, 0.0], [1.0, -1.0]):
            with self.assertRaises(ValueError):
                changepoint.changes(values)


class Exact(unittest.TestCase):
    """What is counted repeats: the first value that differs tells."""

    def places(self, values: list[float]) -> list[int]:
        return [change.index for change in changepoint.exact_changes(values, 0.005)]

    def test_the_first_value_tells(self) -> None:
        self.assertEqual(self.places([404.0] * 3), [])
        self.assertEqual(self.places([404.0, 404.0, 407.0]), [2])
        self.assertEqual(self.places([404.0, 500.0, 404.0]), [1, 2])
        self.assertEqual(self.places([404.0, 405.0]), [])  # below the least effect
        self.assertEqual(self.places([400.0, 401.0, 402.0, 403.0]), [2])  # small steps add up
        self.assertEqual(self.places([0.0, 0.0, 1.0, 0.0]), [2, 3])
        self.assertEqual(self.places([]), [])


class Outlook(unittest.TestCase):
    """What is promised of a history is what changepoint.py then does when the history goes on."""

    def test_the_promise_is_kept(self) -> None:
        for before, step, noise, series in ((12, 0.06, 0.01, 1), (20, 0.05, 0.02, 4)):
            with self.subTest(before=before, step=step, noise=noise, series=series):
                alpha, source = changepoint.ALPHA / series, np.random.default_rng(5)
                promised, hits, early = [], 0, 0
                for _ in range(TRIES):
                    values = list(1 + noise * source.standard_normal(before))
                    more = list((1 + step) * (1 + noise * source.standard_normal(power.MOST)))
                    needed = power.entries_needed(values, step, alpha, 0.02) or power.MOST
                    promised.append(needed)
                    hits += bool(changepoint.changes(values + more[:needed], alpha))
                    early += bool(changepoint.changes(values + more[:needed - 2], alpha))
                print(f"\n{before} entries, step {step}, noise {noise}, {series} series: after "
                      f"{min(promised)} to {max(promised)}, found {hits}, 2 earlier {early}", end=" ")
                self.assertGreaterEqual(hits / TRIES, 0.8)
                self.assertLess(early, hits)  # it is not promised later than need be
                self.assertLess(early / TRIES, 0.9)

    def test_what_cannot_be_promised(self) -> None:
        self.assertIsNone(power.outlook([1.0, 1.0], [0.05], 0.01, 0.02, False).scatter)
        noisy = list(1 + 0.2 * np.random.default_rng(1).standard_normal(12))
        self.assertEqual(power.outlook(noisy, [0.05], 0.01, 0.02, False).needed, [None])
        self.assertEqual(power.outlook([404.0] * 3, [0.05, 0.001], 0.01, 0.005, True).needed,
                         [1, None])
        self.assertIsNone(power.entries_needed([1.0, 1.001, 0.999] * 4, 0.01, 0.01, 0.02))


class Store(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.file = self.folder / "history.sqlite"

    def save(self, name: str, result: model.Result) -> Path:
        folder = self.folder / name
        folder.mkdir()
        storage.write(folder, result)
        return folder / storage.RESULT

    def add(self, history: store.History, name: str, **changes: Any) -> int | None:
        file = self.save(name, comparison(**changes))
        return history.add(figures.measured(file), file.read_bytes(), name)

    def test_everything_comes_back(self) -> None:
        file = self.save("one", comparison())
        with store.opened(str(self.file), create=True) as history:
            entry = history.add(figures.measured(file), file.read_bytes(), HOSTILE)
        with store.opened(str(self.folder)) as history:  # a folder means the file in it
            found, = history.entries()
            self.assertEqual((found.id, found.label, found.complete), (entry, HOSTILE, True))
            self.assertEqual(history.figures(found.id),
                             sorted(figures.measured(file).figures,
                                    key=lambda f: (f.series, f.medium, f.metric)))
            self.assertEqual(history.raw(found.id), file.read_bytes())
            self.assertEqual(history.machines(), {found.machine: machine.facts(ENVIRONMENT)})

    def test_the_same_result_is_kept_once(self) -> None:
        file = self.save("one", comparison())
        with store.opened(str(self.file), create=True) as history:
            self.assertEqual(history.add(figures.measured(file), file.read_bytes(), ""), 1)
            self.assertIsNone(history.add(figures.measured(file), file.read_bytes(), "again"))
            self.assertEqual(len(history.entries()), 1)

    def test_entries_are_in_the_order_of_time(self) -> None:
        with store.opened(str(self.file), create=True) as history:
            for name in ("03", "01", "02"):
                self.add(history, name, started=f"2026-01-{name}T00:00:00+00:00")
            self.assertEqual([entry.label for entry in history.entries()], ["01", "02", "03"])

    def test_foreign_and_newer_files_are_left_alone(self) -> None:
        other = self.folder / "other.sqlite"
        with sqlite3.connect(other) as database:
            database.execute("CREATE TABLE precious (x)")
        with store.opened(str(self.file), create=True):
            pass
        with sqlite3.connect(self.file) as database:
            database.execute("UPDATE libblkio_history SET version = 99")
        text = self.folder / "text.sqlite"
        text.write_text("this is not a database, but a letter\n" * 100)
        for file, words in ((other, "another program"), (self.file, "version 99"),
                            (text, "not a database"), (self.folder / "none", "there is no")):
            before = file.read_bytes() if file.exists() else None
            with self.subTest(words), self.assertRaises(BenchError) as caught:
                with store.opened(str(file)):
                    pass
            self.assertIn(words, str(caught.exception))
            self.assertEqual(file.read_bytes() if file.exists() else None, before)

    def test_qualifications_and_gates(self) -> None:
        folder = self.folder / "q"
        folder.mkdir()
        qualify_store.write(folder, qualification())
        found = figures.measured(folder / qualify_store.FILE)
        self.assertEqual(found.kind, "qualify")
        iops = [f for f in found.figures if f.metric == "iops" and f.series.startswith("iops/")]
        self.assertEqual(len(iops), 12)
        for figure in iops:
            self.assertEqual(len(figure.rounds), 5)  # of the steady window
            self.assertTrue(figure.low <= figure.value <= figure.high)
        plan = dataclasses.replace(qualification().plan, scale=0.01)
        qualify_store.write(folder, qualification(plan=plan))
        scaled = figures.measured(folder / qualify_store.FILE)
        self.assertEqual(scaled.verdict, "measured")
        self.assertFalse({(f.series, f.medium) for f in scaled.figures}
                         & {(f.series, f.medium) for f in found.figures})  # no trend mixes them
        storage.write_json(folder / storage.GATE, gated(1.05))
        found = figures.measured(folder / storage.GATE)
        self.assertEqual((found.kind, found.verdict), ("gate", "regress"))
        self.assertEqual(found.environment.libblkio, "1.5.1")  # the candidate's
        by_name = {(f.series, f.metric): f for f in found.figures}
        series = "gate/page-cache/randread/512/qd1/j1/block"
        self.assertEqual(by_name[series, "instructions"].value, 641.0)
        self.assertEqual(by_name[series, "calls"].verdict, "pass")
        typical = by_name[series, "typical"]
        self.assertEqual((len(typical.rounds), typical.verdict), (10, "regress"))
        self.assertAlmostEqual(typical.value, 1050, delta=50)
        self.assertEqual(by_name[series, "shift-typical"].value, 1.05)

    def test_counts_that_do_not_repeat_are_left_out_and_told(self) -> None:
        result = gated()
        result.counts[0] = dataclasses.replace(result.counts[0], repeatable=False)
        storage.write_json(self.folder / storage.GATE, result)
        found = figures.measured(self.folder / storage.GATE)
        self.assertNotIn("instructions", {f.metric for f in found.figures})
        self.assertEqual(found.notes, ["instructions of page-cache/randread/512/qd1/j1/block do not "
                                       "repeat and are left out"])

    def version_1(self) -> list[tuple[Any, ...]]:
        """A history as version 1 of this program wrote it; its figures."""
        with sqlite3.connect(self.file) as old:
            old.executescript(f"{VERSION_1} PRAGMA application_id = 1651206511;"
                              "PRAGMA user_version = 1;")
            name = machine.fingerprint(ENVIRONMENT)
            old.execute("INSERT INTO machines VALUES (?, ?)",
                        (name, json.dumps(machine.facts(ENVIRONMENT))))
            old.execute("INSERT INTO entries VALUES (1, 'digest', 'compare', '2025-01-01T00:00:00',"
                        " '2025', 'old', 1, ?, ?, ?)",
                        (name, json.dumps(machine.circumstances(ENVIRONMENT)), gzip.compress(b"{}")))
            rows = [(1, f"s{i}", "ext4", "ratio", 0.9, 0.8, 1.0, "[0.8,1.0]") for i in range(3)]
            old.executemany("INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return rows

    def test_an_older_history_is_migrated_when_told_to(self) -> None:
        rows = self.version_1()
        before = self.file.read_bytes()
        for create in (False, True):
            with self.assertRaisesRegex(BenchError, "history migrate"):
                with store.opened(str(self.file), create=create):
                    pass
        self.assertEqual(self.file.read_bytes(), before)
        self.assertEqual(store.migrated(str(self.file)), 1)
        with store.opened(str(self.file), create=True) as history:
            entry, = history.entries()
            self.assertEqual((entry.label, entry.complete, entry.figures, entry.verdict),
                             ("old", True, 3, ""))
            self.assertEqual(history.raw(1), b"{}")
            self.assertEqual([(f.series, f.value, f.rounds) for f in history.figures(1)],
                             [(row[1], 0.9, [0.8, 1.0]) for row in rows])
            self.assertEqual(self.add(history, "new"), 2)
            self.assertEqual(len(history.machines()), 1)

    def test_a_migration_is_made_whole_or_not_at_all(self) -> None:
        self.version_1()
        with sqlite3.connect(self.file) as old:  # the second ALTER TABLE fails
            old.execute("ALTER TABLE figures ADD COLUMN verdict TEXT NOT NULL DEFAULT ''")
        with self.assertRaisesRegex(BenchError, "duplicate column"):
            store.migrated(str(self.file))
        with sqlite3.connect(self.file) as old:
            self.assertEqual(old.execute("PRAGMA user_version").fetchone(), (1,))
            self.assertNotIn("verdict", str(old.execute(
                "SELECT sql FROM sqlite_master WHERE name = 'entries'").fetchone()))


class Machines(unittest.TestCase):
    def test_what_makes_a_machine(self) -> None:
        same = dataclasses.replace(ENVIRONMENT, kernel="Linux 9", fio="fio-4", memory_mib=8190,
                                   governor="powersave")
        self.assertEqual(machine.fingerprint(ENVIRONMENT), machine.fingerprint(same))
        for change in ({"cpu": "B CPU"}, {"cpus": 5}, {"memory_mib": 16384},
                       {"virtualised": "yes"}, {"numa_nodes": 2}, {"threads_per_core": 2}):
            other = dataclasses.replace(ENVIRONMENT, **change)
            self.assertNotEqual(machine.fingerprint(ENVIRONMENT), machine.fingerprint(other),
                                change)

    def test_changes_are_told(self) -> None:
        after = dataclasses.replace(ENVIRONMENT, kernel="Linux 9")
        told = machine.changes(machine.circumstances(ENVIRONMENT), machine.circumstances(after))
        self.assertEqual(told, ["kernel Linux 6.1 x86_64 → Linux 9"])


class Versus(unittest.TestCase):
    def figure(self, metric: str, rounds: list[float]) -> Reading:
        middle = float(np.median(rounds))
        return Reading("s", "m", metric, middle, min(rounds), max(rounds), rounds)

    def word(self, metric: str, first: list[float], second: list[float]) -> str:
        found, = versus.differences([self.figure(metric, first)], [self.figure(metric, second)])
        return found.verdict

    def test_verdicts(self) -> None:
        near = [1 + i / 1000 for i in range(10)]
        far = [1.1 * value for value in near]
        wild = [0.5, 2.0] * 5
        for metric, second, word in (("ratio", near, "same"), ("ratio", far, "worse"),
                                     ("iops", far, "better"), ("ratio", wild, "unclear"),
                                     ("ratio", near[:4], "too few")):
            with self.subTest(word):
                self.assertEqual(self.word(metric, near, second), word)

    def test_only_what_both_have(self) -> None:
        other = dataclasses.replace(self.figure("ratio", [1.0] * 5), medium="elsewhere")
        self.assertEqual(versus.differences([self.figure("ratio", [1.0] * 5)], [other]), [])
        zero = self.figure("iops", [0.0] * 5)
        self.assertEqual(versus.differences([zero], [zero]), [])


class CommandLine(unittest.TestCase):
    """As a user meets it, through scripts/bench."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = Path(cls.temporary.name)
        for day in range(1, 21):  # the block mode gets slower with the 13th
            storage.prepare_folder(cls.folder / f"{day:02}")
            storage.write(cls.folder / f"{day:02}", comparison(
                speed=0.9 * (1.06 if day > 12 else 1) * (1 + day % 3 / 500), rounds=6,
                started=f"2026-01-{day:02}T00:00:00+00:00",
                environment=dataclasses.replace(
                    ENVIRONMENT, kernel="Linux 6.2" if day > 12 else "Linux 6.1")))
        cls.bench("add", *(str(cls.folder / f"{day:02}") for day in range(1, 21)))

    @classmethod
    def bench(cls, *arguments: str, status: int = 0) -> str:
        """Run scripts/bench, in this process to save the time of loading scipy."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = cli.main(["history", arguments[0], "--history",
                             str(cls.folder / "history.sqlite"), *arguments[1:]])
        if code != status:
            raise AssertionError(f"exit status {code}: {output.getvalue()}")
        return output.getvalue()

    def test_help_teaches(self) -> None:
        done = subprocess.run([BENCH, "history", "--help"], capture_output=True, text=True,
                              timeout=60, check=True)
        for words in ("examples", "history add", "history trend", "history compare", "fingerprint"):
            self.assertIn(words, done.stdout)

    def test_list(self) -> None:
        lines = self.bench("list").splitlines()
        self.assertEqual(len(lines), 22)
        self.assertIn("A CPU, 4 CPUs, 8 GiB", lines[-1])

    def test_trend_finds_the_step_and_its_circumstances(self) -> None:
        text = self.bench("trend")
        self.assertRegex(text, r"qd1/j1/block.*\n  worse: \+[56]\.\d% from entry 13 on")
        self.assertIn("changed at the same time: kernel Linux 6.1 → Linux 6.2", text)
        self.assertNotRegex(text, r"/loop.*\n  (worse|better)")
        self.assertNotIn("qd1/", self.bench("trend", "qd32"))

    def test_trend_as_a_page(self) -> None:
        output = self.folder / "trend.html"
        self.bench("trend", "--output", str(output))
        text = output.read_text()
        xml.fromstring(text)
        self.assertIn("2 of 4 series got worse at their last change", text)
        self.assertIn("Linux 6.1 → Linux 6.2", text)

    def test_trend_says_how_soon(self) -> None:
        self.assertRegex(self.bench("trend", "qd1", "--step", "5"),
                         r"entries after which a step of 5 % is found in what is timed, 9 times of "
                         r"10: \d+ to \d+\n")

    def test_gates(self) -> None:
        """From gates' results to a page, with the one that got worse."""
        use = ("--history", str(self.folder / "gates.sqlite"))
        for day in range(1, 9):
            storage.prepare_folder(self.folder / f"gate-{day}")
            storage.write_json(self.folder / f"gate-{day}" / storage.GATE, gated(
                1.05 if day == 6 else 1.0, 641.0 if day < 6 else 655.0,
                started=f"2026-01-{day:02}T00:00:00+00:00"))
        self.bench("add", *(str(self.folder / f"gate-{day}") for day in range(1, 9)), *use)
        self.assertRegex(self.bench("list", *use), r"gate .*regress")
        page = self.folder / "gates.html"
        text = self.bench("trend", *use, "--output", str(page))
        self.assertRegex(text, r"instructions per I/O.*\n.*641 → 655 .*\n  worse: \+2.2% from entry 6 "
                               r"on \(2026-01-06 00:00, counted\)")
        self.assertIn("in what is counted, 9 times of 10: 1\n", text)
        written = page.read_text()
        xml.fromstring(written)
        for words in ("1 of 4 series got worse", "The verdict of each gate", "&#160;regress</td>",
                      "How soon a step is found"):
            self.assertIn(words, written)
        self.assertIn("+2.2%", self.bench("compare", "1", "8", *use, "--metric", "instructions"))
        self.assertIn("relative to the baseline of that day",
                      self.bench("trend", *use, "--metric", "shift-typical"))

    def test_compare(self) -> None:
        text = self.bench("compare", "1", "last")
        self.assertIn("changed: kernel Linux 6.1 → Linux 6.2", text)
        self.assertRegex(text, r"qd1/j1/block .*worse")
        self.assertRegex(text, r"qd1/j1/loop .*same")
        self.assertNotRegex(self.bench("compare", "1", "4"), r"worse|better")

    def test_machines_are_never_mixed_silently(self) -> None:
        own = self.folder / "mixed.sqlite"
        own.write_bytes((self.folder / "history.sqlite").read_bytes())
        storage.prepare_folder(self.folder / "other")
        storage.write(self.folder / "other", comparison(
            environment=dataclasses.replace(ENVIRONMENT, cpu="B CPU")))
        use = ("--history", str(own))
        self.bench("add", str(self.folder / "other"), *use)
        text = self.bench("trend", *use)
        name, other = machine.fingerprint(ENVIRONMENT), machine.fingerprint(
            dataclasses.replace(ENVIRONMENT, cpu="B CPU"))
        first, second = text.split(f"machine {other} ")
        self.assertIn(f"machine {name} ", first)
        self.assertIn("(20 entries", first)
        self.assertIn("(1 entry", second)
        self.assertNotIn("(1 entry", self.bench("trend", *use, "--machine", name))
        page = self.folder / "two.html"
        self.bench("trend", *use, "--output", str(page))
        self.assertIn("History of 2 machines", page.read_text())
        self.assertIn("different machines", self.bench("compare", "1", "21", *use, status=2))
        self.bench("compare", "1", "21", *use, "--across-machines")

    def test_refusals(self) -> None:
        partial = self.folder / "partial"
        storage.prepare_folder(partial)
        storage.write(partial, comparison(complete=False))
        broken = self.folder / "broken.json"
        broken.write_text(json.dumps({"schema": "libblkio-bench/1", "samples": 3}))
        for arguments, words in (
                (("add", str(partial)), "--partial"),
                (("add", str(broken)), "broken.json"),
                (("trend", "nothing-is-called-so"), "no series with nothing-is-called-so"),
                (("trend", "--machine", "none"), "not in this history"),
                (("compare", "1", "77"), "no entries are called 77"),
                (("list", "--history", str(self.folder / "no.sqlite")), "there is no history")):
            with self.subTest(words):
                self.assertIn(words, self.bench(*arguments, status=2))


if __name__ == "__main__":
    main()
