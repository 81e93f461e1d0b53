# SPDX-License-Identifier: MIT OR Apache-2.0
"""After how many entries would a step be found, in the history at hand?

The answer depends on how long the series is since its last change, on how much it scatters, and on
how many series are looked at. So the step is tried: the entries there are, followed by more of them
drawn from their own scatter and moved by the step, SIMULATIONS times, with the very test of
changepoint.py. A step counts as found after so many entries when SHARE of these tries find it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from . import changepoint
from .changepoint import LEAST, Array

SIMULATIONS = 200
SHARE = 0.9
MOST = 60  # entries; what takes longer is "more"
STEPS = (0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Outlook:
    """What can be expected of a series."""

    level: int  # entries since the last change
    scatter: float | None  # standard deviation of these, relative; None: too few to say
    needed: list[int | None]  # per step: entries that it takes; None: more than MOST, or not known


def outlook(values: Sequence[float], steps: Sequence[float], alpha: float, min_effect: float,
            exact: bool) -> Outlook:
    """For a series since its last change; the first entry that differs tells with an exact one."""
    if exact:
        return Outlook(len(values), 0.0, [1 if step >= min_effect else None for step in steps])
    if len(values) < LEAST:
        return Outlook(len(values), None, [None for _ in steps])
    logs = np.log(np.asarray(values, dtype=float))
    scatter = float(np.std(logs, ddof=1))
    return Outlook(len(values), scatter,
                   [entries_needed(values, step, alpha, min_effect) for step in steps])


def entries_needed(values: Sequence[float], step: float, alpha: float,
                   min_effect: float) -> int | None:
    """The fewest entries after a step, with which it is found; None: over MOST."""
    low, high = LEAST, MOST
    if _found(values, step, high, alpha, min_effect) < SHARE:
        return None
    while low < high:
        middle = (low + high) // 2
        if _found(values, step, middle, alpha, min_effect) >= SHARE:
            high = middle
        else:
            low = middle + 1
    return high


def _found(values: Sequence[float], step: float, more: int, alpha: float,
           min_effect: float) -> float:
    """In which share of the tries the step is found after `more` entries."""
    size = len(values) + more
    if size < 2 * LEAST:
        return 0.0
    tries = _tries(np.log(np.asarray(values, dtype=float)), np.log1p(step), more)
    ranks = _ranks(tries)
    splits = changepoint.splits(size)
    statistics = changepoint.statistics(ranks, splits)
    best = statistics.argmax(axis=1)
    told = statistics.max(axis=1) > _critical(size, alpha)
    return float(np.mean([bool(sure) and _large(row, splits[place], min_effect)
                          for row, place, sure in zip(tries, best, told)]))


def _ranks(rows: Array) -> Array:
    """Of each row, ties sharing theirs: what rankdata does, for all rows at once."""
    below = (rows[:, :, np.newaxis] > rows[:, np.newaxis, :]).sum(axis=2)
    equal = (rows[:, :, np.newaxis] == rows[:, np.newaxis, :]).sum(axis=2)
    return np.asarray(below + (equal + 1) / 2)


def _large(logs: Array, split: Sequence[int], min_effect: float) -> bool:
    first, cut, last = split
    ratio = changepoint.level_ratio(np.exp(logs[first:cut]), np.exp(logs[cut:last]))
    return max(ratio, 1 / ratio) >= 1 + min_effect


def _tries(logs: Array, shift: float, more: int) -> Array:
    """The series with entries added, as rows of logarithms."""
    source = np.random.default_rng(1)
    middle, count = float(np.median(logs)), logs.size
    apart = (logs - logs.mean()) * np.sqrt(count / (count - 1))
    drawn = source.choice(apart, (SIMULATIONS, more))
    drawn += source.standard_normal(drawn.shape) * (0.1 * apart.std() + 1e-9)  # no ties
    return np.hstack((np.tile(logs, (SIMULATIONS, 1)), middle + shift + drawn))


@functools.cache
def _critical(size: int, alpha: float) -> float:
    """What the statistic of a series so long must exceed for a chance of half of alpha: the test
    knows its chance from permutations, and one that is close to alpha it may miss."""
    tries = min(changepoint.MOST_PERMUTATIONS, int(2 * changepoint.ENOUGH / alpha))
    source = np.random.default_rng(2)
    splits, ranks = changepoint.splits(size), np.arange(1.0, size + 1)
    largest = np.concatenate([
        changepoint.statistics(source.permuted(np.tile(ranks, (changepoint.BATCH, 1)), axis=1),
                               splits).max(axis=1)
        for _ in range(-(-tries // changepoint.BATCH))])
    allowed = int(alpha / 2 * (largest.size + 1)) - 1  # that may be as extreme
    return float(np.sort(largest)[::-1][max(0, allowed)])
