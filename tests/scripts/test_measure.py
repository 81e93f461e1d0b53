#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A campaign's decisions about trials and about disturbed and failing rounds, with the machine's load made up.

Only the load meter and fio are replaced here; test_bench.py runs the whole with real ones.
"""

from __future__ import annotations

import os
import tempfile
import unittest
from dataclasses import replace
from typing import Any, Iterator
from unittest import mock

from support import main
from benchlib.errors import BenchError
from benchlib.machine import pagecache
from benchlib.measure import campaign as measure, fio, syscalls, targets
from benchlib.measure.engines import Engine
from benchlib.measure.targets import Target
from benchlib.measure.transport import naming
from benchlib.measure.variants import Variant, Build
from benchlib.progress import Progress
from benchlib.result.model import Case, Histogram, Settings
from benchlib.stats.bootstrap import median_interval

CASE = Case("t", "randread", 512, 1, 1)
BUSY, QUIET = 0.5, 0.0


def campaign(rounds: int, patience: float = 5.0) -> measure.Campaign:
    settings = Settings(["randread"], [512], [1], [1], ["native"], rounds, None, None, 100, 0, 1,
                        [0], 0.05)
    target = Target("t", "t", "page-cache", "/dev/null", False, 4096, None, scratch=False)
    native = Engine("native", "native", [], naming(lambda _target: []))
    return measure.Campaign(settings, {"t": target},
                            {"native": Variant(native, Build("", None, "fio"), "")},
                            Progress(1, quiet=True), {CASE: ["native"]}, count_calls=False,
                            patience=patience)


class Loads:
    """A load meter that gives the loads listed, then the last one for ever."""

    def __init__(self, *loads: float) -> None:
        self._loads = list(loads)

    def __call__(self) -> "Loads":
        return self

    def share(self) -> float:
        return self._loads.pop(0) if len(self._loads) > 1 else self._loads[0]


def outcomes(*means: float | None) -> Iterator[Any]:
    """What fio answers, one after the other; None: it fails."""
    for mean in means:
        if mean is None:
            yield BenchError("bang")
        else:
            yield fio.Outcome(10, 1e6, mean, 1.0, 1, 9, 1.0, 1.0, 0, Histogram([1], [10]))


class Rounds(unittest.TestCase):
    def run_rounds(self, plan: measure.Campaign, loads: Loads, *means: float | None) -> list[float]:
        with mock.patch.object(measure, "LoadMeter", loads), \
                mock.patch.object(measure, "LOOK_SECONDS", 0.01), \
                mock.patch.object(fio, "run", side_effect=outcomes(*means)):
            plan.rounds()
        return [sample.mean for sample in plan.samples]

    def test_calm_rounds_are_not_repeated(self) -> None:
        plan = campaign(3)
        self.assertEqual(self.run_rounds(plan, Loads(QUIET), 1.0, 2.0, 3.0), [1.0, 2.0, 3.0])
        self.assertEqual(plan.retried, 0)

    def test_a_disturbed_round_is_repeated_in_its_place_when_it_is_quiet(self) -> None:
        plan = campaign(3)
        # round 2 disturbed; then one look that finds others at work, one that does not
        means = self.run_rounds(plan, Loads(QUIET, BUSY, QUIET, BUSY, QUIET), 1.0, 2.0, 3.0, 2.5)
        self.assertEqual(means, [1.0, 2.5, 3.0])
        self.assertTrue(all(sample.calm for sample in plan.samples))
        self.assertEqual(plan.retried, 1)

    def test_the_calmer_attempt_is_kept(self) -> None:
        plan = campaign(1)
        # 0.3, then repeated: 0.5 is no better, 0.2 is, 0 is calm
        means = self.run_rounds(plan, Loads(0.3, QUIET, 0.5, QUIET, 0.2, QUIET, QUIET),
                                1.0, 2.0, 3.0, 4.0)
        self.assertEqual((means, plan.retried), ([4.0], 3))
        plan = campaign(1, patience=0.0)
        self.assertEqual(self.run_rounds(plan, Loads(BUSY), 1.0), [1.0])
        self.assertFalse(plan.samples[0].calm)

    def test_patience_ends(self) -> None:
        plan = campaign(2, patience=0.2)
        self.assertEqual(self.run_rounds(plan, Loads(BUSY), 1.0, 2.0), [1.0, 2.0])
        self.assertEqual(plan.retried, 0)

    def test_a_failure_costs_its_round_and_too_many_the_campaign(self) -> None:
        plan = campaign(3)
        self.assertEqual(self.run_rounds(plan, Loads(QUIET), 1.0, None, 3.0), [1.0, 3.0])
        self.assertEqual((plan.lost, len(plan.failures)), (1, 1))
        plan = campaign(9)
        with self.assertRaisesRegex(BenchError, "giving up"):
            self.run_rounds(plan, Loads(QUIET), 1.0, *[None] * 8)
        self.assertEqual([sample.mean for sample in plan.samples], [1.0])


class Trials(unittest.TestCase):
    """Like cases are tried at their ends; only where one of these fails is each of them."""

    def tried(self, *failing: int) -> tuple[list[int], list[int], measure.Campaign]:
        """The depths tried, the depths left, for a mode that fails at some."""
        plan = campaign(1)
        cases = [replace(CASE, depth=depth) for depth in (1, 2, 4, 8, 16)]
        plan.entries = {case: ["native"] for case in cases}
        seen = []

        def trial(case: Case, _name: str) -> list[str]:
            seen.append(case.depth)
            if case.depth in failing:
                raise BenchError("bang")
            return ["CQSIZE"]

        with mock.patch.object(plan, "_trial", trial):
            plan.trials()
        return seen, [case.depth for case in cases if plan.entries[case]], plan

    def test_who_passes_both_ends_passes(self) -> None:
        seen, left, plan = self.tried()
        self.assertEqual((seen, left), ([1, 16], [1, 2, 4, 8, 16]))
        self.assertEqual(plan.ring_flags, {"native": ["CQSIZE"]})

    def test_who_fails_at_one_end_is_tried_everywhere(self) -> None:
        for failing, left in (((16,), [1, 2, 4, 8]), ((8, 16), [1, 2, 4]),
                              ((1, 2, 4, 8, 16), [])):
            seen, there, plan = self.tried(*failing)
            self.assertEqual((sorted(seen), there), ([1, 2, 4, 8, 16], left))
            self.assertEqual(len(plan.failures), len(failing))

    def test_the_cost_of_starting_is_found_once(self) -> None:
        """Six calls to start, two per I/O: one run of each further case tells."""
        plan = campaign(1)
        plan.count_calls = True
        cases = [replace(CASE, depth=depth) for depth in (1, 2, 4)]
        plan.entries = {case: ["native"] for case in cases}
        plan.targets["t"] = replace(plan.targets["t"], size=1 << 20)
        runs = []

        def count(_tool: Any, argv: list[str], _read: Any) -> int:
            [ios] = [int(word.partition("=")[2]) for word in argv if "number_ios" in word]
            runs.append(ios)
            return 6 + 2 * ios

        with mock.patch.object(plan, "_trial", lambda *_: []), \
                mock.patch.object(syscalls, "_count", count), \
                mock.patch.object(syscalls.shutil, "which", lambda name: name):
            plan.trials()
        self.assertEqual(runs, [2048, 1024, 2048, 2048])
        self.assertEqual([calls.per_io for calls in plan.system_calls], [2.0] * 3)


class PageCache(unittest.TestCase):
    def test_a_hole_is_seen(self) -> None:
        with tempfile.NamedTemporaryFile(dir=os.environ.get("BUILD_DIR", ".")) as file:
            file.write(os.urandom(1 << 20))
            file.flush()
            os.fsync(file.fileno())
            if targets.mount_of(file.name).fstype == "tmpfs":
                self.skipTest("a file on tmpfs never leaves memory")
            self.assertTrue(pagecache.holds(file.name))
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertFalse(pagecache.holds(file.name))
            target = targets.Target("t", "t", "page-cache", file.name, False, 1 << 20, None, False)
            target.warm_up()
            self.assertTrue(pagecache.holds(file.name))


class Adaptive(unittest.TestCase):
    def run_until(self, until: float, budget: float, spread: float) -> int:
        """How many rounds a case of two engines takes; the second round is off by `spread`."""
        plan = campaign(4)
        other = replace(plan.variants["native"].engine, name="block")
        plan.settings = replace(plan.settings, until=until, budget=budget)
        plan.variants["block"] = replace(plan.variants["native"], engine=other,
                                         against="native")
        plan.entries[CASE] = ["native", "block"]

        def answer(case: Case, name: str, _seed: int) -> fio.Outcome:
            odd = len(plan.measured) == 1 and name == "block"
            return next(outcomes(100.0 + spread * odd))

        with mock.patch.object(measure, "LoadMeter", Loads(QUIET)), \
                mock.patch.object(plan, "_run", answer):
            plan.interval = median_interval
            plan.rounds()
        return len(plan.measured)

    def test_it_goes_on_until_the_interval_is_narrow(self) -> None:
        self.assertEqual(self.run_until(0.01, 60, 1.0), 4)
        # one of eight values off by 10 % no longer moves the median's interval, one of six does
        self.assertEqual(self.run_until(0.01, 60, 10.0), 8)

    def test_the_budget_ends_it(self) -> None:
        self.assertEqual(self.run_until(0.0001, 0.0, 50.0), 4)


if __name__ == "__main__":
    main()
