# SPDX-License-Identifier: MIT OR Apache-2.0
"""Bootstrap confidence intervals of medians: one way, the percentile bootstrap from a seed.

By numpy alone: scipy.stats, whose bootstrap() gives the same figures, takes longer to import than a
command such as report runs, in an emulated guest 10 s.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from ..result.model import Interval

CONFIDENCE = 0.95
RESAMPLES = 9999
Array = np.ndarray[Any, np.dtype[np.float64]]


def finite(values: Sequence[float]) -> Array:
    """The values as an array; ValueError when there are none, or one is not finite."""
    data = np.asarray(values, dtype=float)
    if data.size == 0 or not np.all(np.isfinite(data)):
        raise ValueError(f"need finite values, got {list(values)!r:.80}")
    return data


def median_interval(values: Sequence[float], seed: int = 1) -> Interval:
    """The median of `values` with its interval."""
    return _interval((finite(values),), np.median, seed)


def median_difference(ours: Sequence[float], others: Sequence[float], seed: int = 1) -> Interval:
    """The difference of two medians with its interval; both samples are resampled."""
    def difference(mine: Array, theirs: Array, axis: int = -1) -> Any:
        return np.median(mine, axis=axis) - np.median(theirs, axis=axis)

    return _interval((finite(ours), finite(others)), difference, seed)


def _interval(samples: tuple[Array, ...], statistic: Callable[..., Any], seed: int) -> Interval:
    """A sample of one value has no spread: where one is so small, the interval is the figure."""
    figure = low = high = float(statistic(*samples))
    fewest = min(sample.size for sample in samples)
    if fewest > 1:
        source = np.random.default_rng(seed)
        drawn = [sample[source.integers(0, sample.size, (RESAMPLES, sample.size))]
                 for sample in samples]
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = (float(end) for end in
                     np.percentile(statistic(*drawn, axis=-1), [tail, 100 - tail]))
    return Interval(figure, low, high, CONFIDENCE, int(fewest))
