# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each series of a history as a trend: its levels, when they changed, what else changed then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

import numpy as np

from . import changepoint, machine
from .changepoint import Change
from .figures import METRICS, Figure
from .store import Entry, History

BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Trend:
    series: str
    medium: str
    metric: str
    entries: list[Entry]  # in the order of time
    figures: list[Figure]  # one per entry
    changes: list[Change] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        return [figure.value for figure in self.figures]

    def levels(self) -> list[tuple[int, int, float]]:
        """(first index, last index, median) of each stretch between changes."""
        ends = [0, *(change.index for change in self.changes), len(self.figures)]
        return [(start, end - 1, float(np.median(self.values[start:end])))
                for start, end in zip(ends, ends[1:])]

    def worse(self, change: Change) -> bool:
        return (change.ratio > 1) == METRICS[self.metric][1]

    def circumstances(self, change: Change) -> list[str]:
        """What else differs between the entry before the change and the first after it."""
        return machine.changes(self.entries[change.index - 1].circumstances,
                               self.entries[change.index].circumstances)


def trends(history: History, only_machine: str, metric: str, patterns: Sequence[str],
           alpha: float = changepoint.ALPHA,
           min_effect: float = changepoint.MIN_EFFECT) -> list[Trend]:
    """All series with the metric whose name holds one of the patterns; alpha is that of all
    together, so that many series raise no more false alarms than one."""
    grouped: dict[tuple[str, str], list[tuple[Entry, Figure]]] = {}
    for entry in history.entries(only_machine):
        for figure in history.figures(entry.id, metric):
            if figure.value > 0 and (not patterns or any(p in figure.series for p in patterns)):
                grouped.setdefault((figure.series, figure.medium), []).append((entry, figure))
    long_enough = sum(len(group) >= 2 * changepoint.LEAST for group in grouped.values())
    return [_trend(series, medium, metric, group, alpha / max(1, long_enough), min_effect)
            for (series, medium), group in sorted(grouped.items())]


def _trend(series: str, medium: str, metric: str, group: Sequence[tuple[Entry, Figure]],
           alpha: float, min_effect: float) -> Trend:
    entries, figures = [entry for entry, _ in group], [figure for _, figure in group]
    found = changepoint.changes([figure.value for figure in figures], alpha, min_effect)
    return Trend(series, medium, metric, entries, figures, found)


def sparkline(values: Sequence[float]) -> str:
    """▁▂▇: low to high, from 10 % below the middle to 10 % above it at least."""
    middle = float(np.median(values))
    low, high = min([0.9 * middle, *values]), max([1.1 * middle, *values])
    return "".join(BLOCKS[min(7, int((value - low) / (high - low) * 8))] for value in values)
