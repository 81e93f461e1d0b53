# SPDX-License-Identifier: MIT OR Apache-2.0
"""When did a series change its level? A rank test at every place, the best place, and again in both
halves.

The statistic of a place is Mann and Whitney's, standardised; that of the series is the largest over
all places that leave LEAST values on both sides (Pettitt 1979, with the weights that give places
near the ends a fair chance). Its chance comes from permutations: under "nothing changed" every
order of the values is as likely, whatever their distribution, so outliers and skew raise no alarm.
The permutations end early when the matter is clear (Besag and Clifford 1991). Halves are searched
in turn (binary segmentation, Vostrikova 1981), then each change found is tested once more between
its neighbours.

A change must be significant and large enough: slow drift of a machine is always "significant"
sooner or later. With ALPHA one series in a hundred without any change raises a false alarm; trends
divides it by the number of series looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

import numpy as np
from scipy.stats import rankdata

ALPHA = 0.01
MIN_EFFECT = 0.02  # relative
LEAST = 3  # values on each side of a change
ENOUGH = 10  # as extreme permutations settle the matter
BATCH = 500
MOST_PERMUTATIONS = 100_000
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Change:
    """The values from `index` on differ from those before."""

    index: int
    ratio: float  # after / before: the median over all pairs
    p: float


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
    statistics = _statistics(ranks[np.newaxis, :])[0]
    best = int(np.argmax(statistics))
    cut = best + LEAST if place is None else place - start
    ratio = level_ratio(data[:cut], data[cut:])
    if max(ratio, 1 / ratio) < 1 + min_effect:
        return None
    p = _chance(ranks, float(statistics[best]), alpha, source)
    return Change(start + cut, ratio, p) if p <= alpha else None


def _statistics(ranks: Array) -> Array:
    """For each row and each place that leaves LEAST values on both sides, how unlike they are."""
    n = ranks.shape[1]
    first = np.arange(LEAST, n - LEAST + 1)
    sums = np.cumsum(ranks, axis=1)[:, LEAST - 1:n - LEAST]
    spread = np.sqrt(first * (n - first) * (n + 1) / 12)
    return np.asarray(np.abs(sums - first * (n + 1) / 2) / spread)


def _chance(ranks: Array, reached: float, alpha: float, source: np.random.Generator) -> float:
    """How often a random order is as extreme; as exact as the comparison with alpha needs."""
    tried = extreme = 0
    most = min(MOST_PERMUTATIONS, int(2 * ENOUGH / alpha))
    while tried < most:
        shuffled = source.permuted(np.tile(ranks, (BATCH, 1)), axis=1)
        extreme += int(np.sum(_statistics(shuffled).max(axis=1) >= reached - 1e-9))
        tried += BATCH
        if extreme >= ENOUGH:
            break
    return (extreme + 1) / (tried + 1)


def level_ratio(before: Array, after: Array) -> float:
    """Hodges and Lehmann's shift of the logarithms, as a ratio."""
    return float(np.exp(np.median(np.subtract.outer(np.log(after), np.log(before)))))
