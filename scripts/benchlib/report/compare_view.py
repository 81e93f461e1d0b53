# SPDX-License-Identifier: MIT OR Apache-2.0
"""A comparison's result as the figures need it: grouped once, looks and names decided once."""

from __future__ import annotations

import functools
from typing import Sequence

from .. import stats, table
from ..model import Case, Histogram, Interval, Result, Sample, Summary
from .frame import Key, baseline_key, key


class View:
    def __init__(self, result: Result) -> None:
        self.result = result
        self.labels = table.labels(result)
        self.cases = table.cases(result)
        self.measured = {summary.contender for summary in result.summaries}
        self._groups = stats.grouped(result.samples)
        self.keys = _keys(result, self.measured)

    def rows(self, case: Case) -> list[Summary]:
        return table.of_case(self.result, case)

    def title(self, case: Case) -> str:
        """The case, short enough to stand above a panel."""
        return table.case_title(self.result, case, medium=False)

    def samples(self, case: Case, contender: str) -> list[Sample]:
        """All rounds, in their order."""
        return sorted(self._groups.get((case, contender), []), key=lambda sample: sample.round)

    @functools.cache
    def histogram(self, case: Case, contender: str) -> Histogram:
        """Of the rounds behind the summary."""
        usable = stats.usable(self._groups.get((case, contender), []))
        return stats.merge(sample.latency for sample in usable)

    def percentile(self, case: Case, contender: str, percent: float) -> float:
        return stats.percentile(self.histogram(case, contender), percent)

    @functools.cache
    def mean(self, case: Case, contender: str) -> Interval | None:
        """The median of the rounds' mean latencies with its interval."""
        usable = stats.usable(self._groups.get((case, contender), []))
        if not usable:
            return None
        return stats.median_interval([sample.mean for sample in usable],
                                     self.result.settings.seed)

    def legend(self, contenders: Sequence[str]) -> list[Key]:
        return [look for name, look in self.keys.items() if name in contenders]


def _keys(result: Result, measured: set[str]) -> dict[str, Key]:
    """References are grey; the others have a colour, marker and dash in the whole report."""
    keys: dict[str, Key] = {}
    others = 0
    for contender in result.contenders:
        if contender.name not in measured:
            continue
        if contender.against:
            keys[contender.name] = key(contender.label, others)
            others += 1
        else:
            keys[contender.name] = baseline_key(contender.label)
    return keys


def best_rows(view: View) -> list[Summary]:
    """Of each case, the best mode that has a reference: what the verdict is about."""
    found = []
    for case in view.cases:
        rows = [row for row in view.rows(case) if row.ratio]
        own = [row for row in rows if not table.is_native(row.contender)] or rows
        if own:
            found.append(min(own, key=table.merit))
    return found
