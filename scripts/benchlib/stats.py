# SPDX-License-Identifier: MIT OR Apache-2.0
"""Figures from samples: merged histograms, medians with bootstrap intervals, verdicts.

Percentiles come from merged histograms, never from averaged percentiles. Engines are compared by
the ratio of their mean latencies *within* a round, because a round's runs follow each other
directly and share whatever the machine was doing; the median of those ratios is the result.
"""

from __future__ import annotations

from collections import Counter
from typing import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy.stats import bootstrap

from .model import Case, Histogram, Interval, Sample, Summary

CONFIDENCE = 0.95
RESAMPLES = 9999
SAME_WITHIN = 0.02  # an interval inside 1 +- this means "no difference that matters"
ENOUGH_ROUNDS = 5  # with fewer, no verdict; calm rounds are preferred when there are as many

# What a verdict says, in words for the table.
VERDICTS = {
    "baseline": "",
    "alone": "the baseline was not measured",
    "faster": "faster",
    "slower": "slower",
    "same": f"same within {SAME_WITHIN:.0%}",
    "unclear": "unclear: the interval spans 1",
    "too-few": f"too few rounds (fewer than {ENOUGH_ROUNDS})",
}


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
    reached = np.cumsum(histogram.counts)
    index = int(np.searchsorted(reached, percent / 100 * reached[-1], side="left"))
    return float(histogram.bins[index])


def median_interval(values: Sequence[float], seed: int) -> Interval:
    """The median of `values` and its percentile-bootstrap confidence interval.

    Fewer than two values have no spread: the interval is then the value itself.
    """
    data = np.asarray(values, dtype=float)
    if data.size == 0 or not np.all(np.isfinite(data)):
        raise ValueError(f"need finite values, got {list(values)!r:.80}")
    median = float(np.median(data))
    low = high = median
    if data.size > 1:
        result = bootstrap((data,), np.median, n_resamples=RESAMPLES, vectorized=True,
                           confidence_level=CONFIDENCE, method="percentile",
                           random_state=np.random.default_rng(seed))
        low, high = (float(end) for end in result.confidence_interval)
    return Interval(median, low, high, CONFIDENCE, int(data.size))


def any_interval(values: Sequence[float]) -> Interval:
    """median_interval() where the exact numbers are not kept."""
    return median_interval(values, seed=1)


def verdict(ratio: Interval) -> str:
    """What an interval of latency ratios to the baseline says; see VERDICTS."""
    if ratio.samples < ENOUGH_ROUNDS:
        return "too-few"
    if 1 - SAME_WITHIN <= ratio.low and ratio.high <= 1 + SAME_WITHIN:
        return "same"
    if ratio.high < 1:
        return "faster"
    if ratio.low > 1:
        return "slower"
    return "unclear"


def usable(samples: Sequence[Sample]) -> list[Sample]:
    """The calm samples when there are enough of them, else all."""
    calm = [sample for sample in samples if sample.calm]
    return calm if len(calm) >= ENOUGH_ROUNDS else list(samples)


def mean(sample: Sample) -> float:
    return sample.mean


def round_ratios(samples: Sequence[Sample], baseline: Sequence[Sample],
                 figure: Callable[[Sample], float] = mean) -> list[float]:
    """Mean latency, or another figure, relative to the baseline's in the same round, for rounds
    that have both."""
    base = {sample.round: figure(sample) for sample in baseline}
    return [figure(sample) / base[sample.round] for sample in samples if sample.round in base]


def grouped(samples: Iterable[Sample]) -> dict[tuple[Case, str], list[Sample]]:
    """Samples by case and contender, in the order of first appearance."""
    groups: dict[tuple[Case, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.case, sample.contender), []).append(sample)
    return groups


def summarise(samples: Sequence[Sample], against: Mapping[str, str], seed: int) -> list[Summary]:
    """One summary per case and contender; `against` names whom each contender is compared with."""
    groups = grouped(samples)
    summaries = []
    for (case, contender), own in groups.items():
        other = against.get(contender, "")
        ratio = _ratio(usable(own), usable(groups.get((case, other), [])), seed)
        word = "baseline" if not other else verdict(ratio) if ratio else "alone"
        summaries.append(_summary(usable(own), ratio, word))
    return summaries


def _ratio(own: Sequence[Sample], base: Sequence[Sample], seed: int) -> Interval | None:
    ratios = round_ratios(own, base)
    return median_interval(ratios, seed) if ratios else None


def _summary(own: Sequence[Sample], ratio: Interval | None, word: str) -> Summary:
    first = own[0]
    histogram = merge(sample.latency for sample in own)
    return Summary(
        case=first.case, contender=first.contender, rounds=len(own),
        disturbed=sum(not sample.calm for sample in own),
        mean=float(np.median([sample.mean for sample in own])),
        p50=percentile(histogram, 50), p99=percentile(histogram, 99),
        iops=float(np.median([sample.iops for sample in own])),
        ratio=ratio, verdict=word)
