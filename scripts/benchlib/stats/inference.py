# SPDX-License-Identifier: MIT OR Apache-2.0
"""How large a difference is and whether it may be chance, for few samples of any distribution.

Two designs. Paired: the ratios of runs that followed each other directly, so that what the machine
was doing cancels out; the signed-rank test. Unpaired: two sets of runs of different times; the
rank-sum test of Mann and Whitney. The size of the difference is Hodges and Lehmann's in both: the
median over all pairs, with the interval that belongs to the test.
"""

from __future__ import annotations

from math import comb
import warnings
from typing import Sequence

import numpy as np
from scipy import stats as scipy_stats

from ..result.model import Interval
from .bootstrap import CONFIDENCE, Array, finite


def signed_rank(values: Sequence[float]) -> float:
    """Wilcoxon's two-sided p: are these symmetrical around 0?"""
    data = finite(values)
    if not np.any(data):
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with zeros it takes the normal approximation, and warns
        return float(scipy_stats.wilcoxon(data, zero_method="pratt").pvalue)


def rank_sum(ours: Sequence[float], others: Sequence[float]) -> float:
    """Mann and Whitney's two-sided p: do these two come from one distribution?"""
    return float(scipy_stats.mannwhitneyu(finite(ours), finite(others),
                                          alternative="two-sided").pvalue)


def least_p(pairs: int) -> float:
    """The smallest p that signed_rank() can give for so many values."""
    return 2.0 ** (1 - pairs)


def least_p_unpaired(ours: int, others: int) -> float:
    """The smallest p that rank_sum() can give."""
    return 2 / comb(ours + others, ours)


def centre(values: Sequence[float]) -> Interval:
    """Hodges and Lehmann's centre of one sample: the median of the means of all pairs, with the
    interval of all centres that the signed-rank test does not reject."""
    data = finite(values)
    first, second = np.triu_indices(data.size)
    walsh = np.sort((data[first] + data[second]) / 2)
    return _interval(walsh, _signed_rank_spread(data.size), data.size)


def shift(ours: Sequence[float], others: Sequence[float]) -> Interval:
    """Hodges and Lehmann's shift: the median of all differences ours - others, with the interval
    of all shifts that the rank-sum test does not reject."""
    mine, theirs = finite(ours), finite(others)
    differences = np.sort(np.subtract.outer(mine, theirs).ravel())
    m, n = mine.size, theirs.size
    spread = np.sqrt(m * n * (m + n + 1) / 12)
    return _interval(differences, float(spread), min(m, n))


def _signed_rank_spread(n: int) -> float:
    return float(np.sqrt(n * (n + 1) * (2 * n + 1) / 24))


def _interval(ordered: Array, spread: float, samples: int) -> Interval:
    """The interval between two order statistics, by the normal approximation of the test's
    distribution with its correction for continuity."""
    count = ordered.size
    reach = float(scipy_stats.norm.ppf(0.5 + CONFIDENCE / 2)) * spread
    index = max(0, int(np.floor(count / 2 - reach - 0.5)))
    low, high = float(ordered[index]), float(ordered[count - 1 - index])
    return Interval(float(np.median(ordered)), low, high, CONFIDENCE, samples)


def holm(chances: Sequence[float]) -> list[float]:
    """Holm's correction: p values made so much larger that, of all tests together, one rejects
    wrongly no more often than a single test would."""
    order = sorted(range(len(chances)), key=lambda i: chances[i])
    adjusted = [1.0] * len(chances)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, chances[i] * (len(chances) - rank)))
        adjusted[i] = largest
    return adjusted


def upper_rate(hits: int, trials: int) -> float:
    """The rate that `hits` in `trials` speak against at CONFIDENCE: Clopper and Pearson's upper
    limit, one-sided."""
    test = scipy_stats.binomtest(hits, trials, alternative="less")
    return float(test.proportion_ci(CONFIDENCE, method="exact").high)
