# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which percentiles a histogram supports, and the ladder made of them.

The k-th nine means something only if enough I/Os lie beyond it: with fewer than ENOUGH slower ones
the figure is chance, and is not drawn.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..result.model import Histogram
from .scale import percent_name

ENOUGH = 10
STEPS = (10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.995, 99.999, 99.9995,
         99.9999)


def supported(histogram: Histogram, percent: float) -> bool:
    return sum(histogram.counts) * (1 - percent / 100) >= ENOUGH


def needed(percent: float) -> int:
    """So many I/Os it takes for a percentile."""
    return round(ENOUGH / (1 - percent / 100))


def ladder_points(histogram: Histogram) -> list[tuple[float, float]]:
    """(percentile, latency) for each step that the histogram supports."""
    if not histogram.counts:
        return []
    reached = np.cumsum(histogram.counts)
    return [(percent, float(histogram.bins[int(np.searchsorted(
        reached, percent / 100 * reached[-1], side="left"))]))
        for percent in STEPS if supported(histogram, percent)]


def deepest(histograms: Sequence[Histogram]) -> float | None:
    """The highest whole nine that all of them support: 99, 99.9, ..."""
    return next((percent for percent in (99.9999, 99.999, 99.99, 99.9, 99.0)
                 if histograms and all(supported(item, percent) for item in histograms)), None)


def name(percent: float) -> str:
    """p99.9"""
    return f"p{percent_name(percent)}"
