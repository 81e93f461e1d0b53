# SPDX-License-Identifier: MIT OR Apache-2.0
"""What one figure a run is judged by.

    typical   the mean of the middle half of all latencies. What other programs do to a run is
              in its tail; this leaves the tail out and is not limited to the width of fio's bins
    mean      of all latencies: what throughput follows
    pNN       a percentile, p50, p99, p99.9: to the width of fio's bins (1.6 %)
"""

from __future__ import annotations

import re
from typing import Callable

import numpy as np

from ..errors import refuse
from ..result.model import Histogram, Sample
from .histograms import percentile

Metric = Callable[[Sample], float]
TYPICAL = "typical"


def metric(name: str) -> Metric:
    """The function for a name; refuses an unknown one."""
    if name == TYPICAL:
        return lambda sample: middle_mean(sample.latency)
    if name == "mean":
        return lambda sample: sample.mean
    match = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)", name)
    if not match or not 0 < float(match[1]) < 100:
        raise refuse(f"no metric {name}", "There are typical, mean and percentiles: p50, p99.9.")
    percent = float(match[1])
    return lambda sample: percentile(sample.latency, percent)


def tail(percent: float, least: int) -> Metric:
    """A percentile, infinite where fewer than `least` I/Os are beyond it: chance, not a figure."""
    def figure(sample: Sample) -> float:
        count = sum(sample.latency.counts)
        enough = count * (1 - percent / 100) >= least * (1 - 1e-9)
        return percentile(sample.latency, percent) if enough else float("inf")

    return figure


def middle_mean(histogram: Histogram, low: float = 0.25, high: float = 0.75) -> float:
    """The mean of the latencies between two quantiles."""
    bins = np.asarray(histogram.bins, dtype=float)
    ends = np.cumsum(histogram.counts, dtype=float)
    if ends.size == 0 or ends[-1] == 0:
        raise ValueError("an empty histogram has no mean")
    begins = ends - np.asarray(histogram.counts, dtype=float)
    inside = np.minimum(ends, high * ends[-1]) - np.maximum(begins, low * ends[-1])
    weights = np.clip(inside, 0, None)
    return float(np.sum(weights * bins) / np.sum(weights))
