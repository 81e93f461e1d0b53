#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A campaign's decisions about disturbed and failing rounds, with the machine's load made up.

Only the load meter and fio are replaced here; test_bench.py runs the whole with real ones.
"""

from __future__ import annotations

import unittest
from dataclasses import replace
from typing import Any, Iterator
from unittest import mock

from support import main
from benchlib import fio, measure
from benchlib.contenders import Contender
from benchlib.errors import BenchError
from benchlib.model import Case, Histogram, Settings
from benchlib.progress import Progress
from benchlib.reach import naming
from benchlib.targets import Target
from benchlib.variants import Entrant, Variant

CASE = Case("t", "randread", 512, 1, 1)
BUSY, QUIET = 0.5, 0.0


def campaign(rounds: int, patience: float = 5.0) -> measure.Campaign:
    settings = Settings(["randread"], [512], [1], [1], ["native"], rounds, None, None, 100, 0, 1,
                        [0], 0.05)
    target = Target("t", "t", "page-cache", "/dev/null", False, 4096, None, scratch=False)
    native = Contender("native", "native", [], naming(lambda _target: []))
    return measure.Campaign(settings, {"t": target},
                            {"native": Entrant(native, Variant("", None, "fio"), "")},
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


class Adaptive(unittest.TestCase):
    def run_until(self, until: float, budget: float, spread: float) -> int:
        """How many rounds a case of two contenders takes; the second round is off by `spread`."""
        plan = campaign(4)
        other = replace(plan.entrants["native"].contender, name="block")
        plan.settings = replace(plan.settings, until=until, budget=budget)
        plan.entrants["block"] = replace(plan.entrants["native"], contender=other,
                                         against="native")
        plan.entries[CASE] = ["native", "block"]

        def answer(case: Case, name: str, _seed: int) -> fio.Outcome:
            odd = len(plan.measured) == 1 and name == "block"
            return next(outcomes(100.0 + spread * odd))

        with mock.patch.object(measure, "LoadMeter", Loads(QUIET)), \
                mock.patch.object(plan, "_run", answer):
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
