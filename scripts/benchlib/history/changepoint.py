# SPDX-License-Identifier: MIT OR Apache-2.0
"""When did a series change its level? A rank test of every place within many stretches, the best
place, and again on both sides of it.

The values are ranked. A place within a stretch splits it in two parts of at least LEAST values;
its statistic is the difference of the parts' mean ranks in units of its spread, Mann and Whitney's
for the whole series (Pettitt 1979). That of the series is the largest over all places of all seeded
stretches (Kovacs, Li, Buehlmann, Munk 2023: lengths shrink by half, overlapping by half): short
ones see what a longer one averages away, a step up soon followed by one down. Its chance comes from
permutations: under "nothing changed" every order of the values is as likely, whatever their
distribution, so outliers and skew raise no alarm. The permutations end early when the matter is
clear (Besag and Clifford 1991). In the end each change is tested once more between its neighbours.

A change must be significant and large enough: slow drift of a machine is always "significant"
sooner or later. With ALPHA one series in a hundred without any change raises a false alarm; trends
divides it by the number of series looked at. Figures that are counted, not timed, need no test.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np
from scipy.stats import rankdata

ALPHA = 0.01
MIN_EFFECT = 0.02  # relative
EXACT_EFFECT = 0.005  # of figures that repeat exactly
LEAST = 3  # values on each side of a change
ENOUGH = 10  # as extreme permutations settle the matter
BATCH = 200
MOST_PERMUTATIONS = 100_000
Array = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Change:
    """The values from `index` on differ from those before."""

    index: int
    ratio: float  # after / before: the median over all pairs; of counts, infinite after 0
    p: float  # 0 where figures repeat exactly


def changes(values: Sequence[float], alpha: float = ALPHA, min_effect: float = MIN_EFFECT,
            seed: int = 1) -> list[Change]:
    """The changes of level in a series of positive values, in their order."""
    data = np.asarray(values, dtype=float)
    if not np.all(np.isfinite(data)) or np.any(data <= 0):
        raise ValueError(f"need finite values above zero, got {list(values)!r:.80}")
    source = np.random.default_rng(seed)
    places = sorted(_search(data, 0, alpha, min_effect, source))
    ends = [0, *places, data.size]
    found = [_test(data[start:end], start, alpha, min_effect, source, place)
             for start, place, end in zip(ends, places, ends[2:])]
    return [change for change in found if change]


def exact_changes(values: Sequence[float], min_effect: float) -> list[Change]:
    """The same for figures that repeat exactly: every value tells. Each is compared with the first
    one of its level, so that small steps add up."""
    found: list[Change] = []
    level = values[0] if values else 0.0
    for index, value in enumerate(values):
        ratio = value / level if level else float("inf") if value else 1.0
        if not 1 / (1 + min_effect) < ratio < 1 + min_effect:
            found.append(Change(index, ratio, 0.0))
            level = value
    return found


def _search(data: Array, start: int, alpha: float, min_effect: float,
            source: np.random.Generator) -> list[int]:
    """The places found in a stretch that begins at `start`."""
    change = _test(data, start, alpha, min_effect, source)
    if change is None:
        return []
    cut = change.index - start
    return [*_search(data[:cut], start, alpha, min_effect, source), change.index,
            *_search(data[cut:], change.index, alpha, min_effect, source)]


def _test(data: Array, start: int, alpha: float, min_effect: float, source: np.random.Generator,
          place: int | None = None) -> Change | None:
    """The best place of a stretch, or the given one, if there is a change at all."""
    if data.size < 2 * LEAST:
        return None
    ranks = rankdata(data)
    places = splits(data.size)
    reached = statistics(ranks[np.newaxis, :], places)[0]
    best = int(np.argmax(reached))
    first, cut, last = (0, place - start, data.size) if place is not None else places[best]
    ratio = level_ratio(data[first:cut], data[cut:last])
    if max(ratio, 1 / ratio) < 1 + min_effect:
        return None
    p = _chance(ranks, places, float(reached[best]), alpha, source)
    return Change(start + int(cut), ratio, p) if p <= alpha else None


@functools.cache
def splits(size: int) -> Places:
    """Rows of (first, cut, last): all places in all seeded stretches of a series so long."""
    stretches = {(0, size)}
    length = size / 2
    while length >= 2 * LEAST:
        stretches |= {(int(first), int(first + length))
                      for first in np.arange(0, size - length + 1e-9, length / 2)}
        length /= 2
    return np.array([(first, cut, last) for first, last in sorted(stretches)
                     for cut in range(first + LEAST, last - LEAST + 1)])


def statistics(ranks: Array, places: Places) -> Array:
    """For each row of ranks and each split, how far apart the two parts are."""
    first, cut, last = places.T
    sums = np.concatenate((np.zeros((ranks.shape[0], 1)), np.cumsum(ranks, axis=1)), axis=1)
    left, right = cut - first, last - cut
    apart = (sums[:, cut] - sums[:, first]) / left - (sums[:, last] - sums[:, cut]) / right
    return np.asarray(np.abs(apart) / np.sqrt(1 / left + 1 / right))


def _chance(ranks: Array, places: Places, reached: float, alpha: float,
            source: np.random.Generator) -> float:
    """How often a random order is as extreme; as exact as the comparison with alpha needs."""
    tried = extreme = 0
    most = min(MOST_PERMUTATIONS, int(2 * ENOUGH / alpha))
    while tried < most and extreme < ENOUGH:
        shuffled = source.permuted(np.tile(ranks, (BATCH, 1)), axis=1)
        extreme += int(np.sum(statistics(shuffled, places).max(axis=1) >= reached - 1e-9))
        tried += BATCH
    return (extreme + 1) / (tried + 1)


def level_ratio(before: Array, after: Array) -> float:
    """Hodges and Lehmann's shift of the logarithms, as a ratio."""
    return float(np.exp(np.median(np.subtract.outer(np.log(after), np.log(before)))))
