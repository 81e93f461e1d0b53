# SPDX-License-Identifier: MIT OR Apache-2.0
"""A comparison's result as the figures need it: grouped once, looks and names decided once."""

from __future__ import annotations

import functools
import statistics
from typing import Sequence

from ..page import panels
from ..page.frame import Key, baseline_key, key
from ..result import contents
from ..result.model import Case, Histogram, Interval, Result, Sample, Summary
from ..stats import bootstrap, histograms, metrics, pairing, summaries
from . import headline, table


class View:
    def __init__(self, result: Result) -> None:
        self.result = result
        self.labels = contents.labels(result)
        self.cases = contents.cases(result)
        self.measured = {summary.engine for summary in result.summaries}
        self._groups = pairing.grouped(result.samples)
        self.keys = _keys(result, self.measured)

    @functools.cached_property
    def shown(self) -> list[Case]:
        """The cases that have panels of their own: those with the largest differences, proven ones
        first, in their usual order."""
        largest = list(dict.fromkeys(row.case for row in headline.ranked(self.result)))
        chosen = (largest or self.cases)[:panels.MOST]
        return [case for case in self.cases if case in chosen] \
            if len(self.cases) > panels.MOST else self.cases

    def rows(self, case: Case) -> list[Summary]:
        return contents.of_case(self.result, case)

    def title(self, case: Case) -> str:
        """The case, short enough to stand above a panel."""
        return table.case_title(self.result, case, medium=False)

    def samples(self, case: Case, engine: str) -> list[Sample]:
        """All rounds, in their order."""
        return sorted(self._groups.get((case, engine), []), key=lambda sample: sample.round)

    @functools.cache
    def histogram(self, case: Case, engine: str) -> Histogram:
        """Of the rounds behind the summary."""
        usable = pairing.usable(self._groups.get((case, engine), []))
        return histograms.merge(sample.latency for sample in usable)

    def percentile(self, case: Case, engine: str, percent: float) -> float:
        return histograms.percentile(self.histogram(case, engine), percent)

    @functools.cache
    def mean(self, case: Case, engine: str) -> Interval | None:
        """The median of the rounds' mean latencies with its interval."""
        usable = pairing.usable(self._groups.get((case, engine), []))
        if not usable:
            return None
        return bootstrap.median_interval([sample.mean for sample in usable],
                                         self.result.settings.seed)

    @functools.cache
    def least(self, case: Case, figure: metrics.Metric) -> str:
        """The engine that is proven to have less of a figure than all others, or ""."""
        names = [row.engine for row in self.rows(case)]
        sides = {name: self._groups.get((case, name), []) for name in names}
        middle = {name: statistics.median(map(figure, pairing.usable(side)))
                  for name, side in sides.items() if side}
        best = min(middle, key=lambda name: middle[name], default="")
        proven = len(middle) > 1 and all(
            summaries.compared(sides[best], side, figure) == "faster"
            for name, side in sides.items() if name != best)
        return best if proven else ""

    def legend(self, engines: Sequence[str]) -> list[Key]:
        return [look for name, look in self.keys.items() if name in engines]


def _keys(result: Result, measured: set[str]) -> dict[str, Key]:
    """References are grey; the others have a colour, marker and dash in the whole report."""
    keys: dict[str, Key] = {}
    others = 0
    for engine in result.engines:
        if engine.name not in measured:
            continue
        if engine.against:
            keys[engine.name] = key(engine.label, others)
            others += 1
        else:
            keys[engine.name] = baseline_key(engine.label)
    return keys
