# SPDX-License-Identifier: MIT OR Apache-2.0
"""Figures of latency histograms. Percentiles come from merged histograms, never from averaged
percentiles.

Standard library only: planning needs this before anything is installed.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from typing import Iterable

from ..result.model import Histogram


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """One histogram of all the latencies in several."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        for value, count in zip(histogram.bins, histogram.counts, strict=True):
            total[value] += count
    bins = sorted(total)
    return Histogram(bins, [total[value] for value in bins])


def percentile(histogram: Histogram, percent: float) -> float:
    """The latency that `percent` of the I/Os did not exceed, to the width of fio's bins."""
    if not 0 < percent <= 100:
        raise ValueError(f"a percentile lies in (0, 100], got {percent}")
    if not histogram.counts or sum(histogram.counts) == 0:
        raise ValueError("an empty histogram has no percentiles")
    reached = list(itertools.accumulate(histogram.counts))
    return float(histogram.bins[bisect.bisect_left(reached, percent / 100 * reached[-1])])
