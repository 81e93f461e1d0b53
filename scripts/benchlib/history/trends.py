# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each series of a history as a trend: its levels, when they changed, what else changed then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np

from . import changepoint, machine, metrics, power
from .changepoint import Change
from .figures import Reading
from .store import Entry, History

BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Trend:
    series: str
    medium: str
    metric: str
    entries: list[Entry]  # in the order of time
    figures: list[Reading]  # one per entry
    changes: list[Change]
    alpha: float  # chance of a false alarm in this series
    min_effect: float  # smaller changes are not told

    @property
    def values(self) -> list[float]:
        return [figure.value for figure in self.figures]

    def levels(self) -> list[tuple[int, int, float]]:
        """(first index, last index, median) of each stretch between changes."""
        ends = [0, *(change.index for change in self.changes), len(self.figures)]
        return [(start, end - 1, float(np.median(self.values[start:end])))
                for start, end in zip(ends, ends[1:])]

    def worse(self, change: Change) -> bool:
        return (change.ratio > 1) == metrics.of(self.metric).less_is_better

    def outlook(self, steps: Sequence[float]) -> power.Outlook:
        """After how many further entries steps of these sizes would be found."""
        since = self.changes[-1].index if self.changes else 0
        return power.outlook(self.values[since:], steps, self.alpha, self.min_effect,
                             metrics.of(self.metric).exact)

    def circumstances(self, change: Change) -> list[str]:
        """What else differs between the entry before the change and the first after it."""
        return machine.changes(self.entries[change.index - 1].circumstances,
                               self.entries[change.index].circumstances)


def trends(history: History, only_machine: str, names: Sequence[str] = (),
           patterns: Sequence[str] = (), alpha: float = changepoint.ALPHA,
           min_effect: float | None = None) -> list[Trend]:
    """All series of the machine whose name holds one of the patterns, of the metrics `names`, or of
    those that suit their kind of entry. alpha is that of all together, so that many series raise no
    more false alarms than one."""
    entries = history.entries(only_machine)
    readings = history.readings([entry.id for entry in entries], names)
    grouped: dict[tuple[str, str, str], list[tuple[Entry, Reading]]] = {}
    for entry in entries:
        for figure in readings.get(entry.id, []):
            if _wanted(entry, figure, names, patterns):
                key = (figure.metric, figure.series, figure.medium)
                grouped.setdefault(key, []).append((entry, figure))
    timed = sum(not metrics.of(metric).exact for metric, _, _ in grouped)
    return [_trend(key, grouped[key], alpha / max(1, timed), min_effect)
            for key in sorted(grouped, key=_place)]


def _wanted(entry: Entry, figure: Reading, names: Sequence[str], patterns: Sequence[str]) -> bool:
    if not names and figure.metric not in metrics.DEFAULT.get(entry.kind, ()):
        return False
    if figure.value <= 0 and not metrics.of(figure.metric).exact:
        return False
    return not patterns or any(pattern in figure.series for pattern in patterns)


def _place(key: tuple[str, str, str]) -> tuple[int, tuple[str, str, str]]:
    order = list(metrics.METRICS)
    return order.index(key[0]) if key[0] in order else len(order), key


def _trend(key: tuple[str, str, str], group: Sequence[tuple[Entry, Reading]], alpha: float,
           asked: float | None) -> Trend:
    metric, series, medium = key
    entries, figures = [entry for entry, _ in group], [figure for _, figure in group]
    values, exact = [figure.value for figure in figures], metrics.of(metric).exact
    least = asked if asked is not None else \
        changepoint.EXACT_EFFECT if exact else changepoint.MIN_EFFECT
    found = changepoint.exact_changes(values, least) if exact \
        else changepoint.changes(values, alpha, least)
    return Trend(series, medium, metric, entries, figures, found, alpha, least)


def sparkline(values: Sequence[float]) -> str:
    """▁▂▇: low to high, from 10 % below the middle to 10 % above it at least."""
    middle = float(np.median(values))
    low, high = min([0.9 * middle, *values]), max([1.1 * middle, *values])
    if low == high:  # zeroes
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[min(7, int((value - low) / (high - low) * 8))] for value in values)
