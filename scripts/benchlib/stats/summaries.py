# SPDX-License-Identifier: MIT OR Apache-2.0
"""From samples to summaries and verdicts."""

from __future__ import annotations

import math
import statistics
from typing import Callable, Mapping, Sequence

from ..result.model import Interval, Sample, Summary
from .bootstrap import median_interval
from .histograms import merge, percentile
from .pairing import SAME_WITHIN, VERDICTS, grouped, round_ratios, usable, verdict

__all__ = ["SAME_WITHIN", "VERDICTS", "compared", "summarise", "verdict"]


def compared(own: Sequence[Sample], base: Sequence[Sample],
             figure: Callable[[Sample], float], seed: int = 1) -> str:
    """The verdict on any figure of two engines in a case, round by round; "faster" is less. A
    figure that a run is too short for is infinite."""
    own, base = ([sample for sample in usable(side) if math.isfinite(figure(sample))]
                 for side in (own, base))
    ratios = round_ratios(own, base, figure)
    return verdict(median_interval(ratios, seed)) if ratios else "too-few"


def summarise(samples: Sequence[Sample], against: Mapping[str, str], seed: int) -> list[Summary]:
    """One summary per case and engine; `against` names whom each engine is compared with."""
    groups = grouped(samples)
    summaries = []
    for (case, engine), own in groups.items():
        other = against.get(engine, "")
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
        case=first.case, engine=first.engine, rounds=len(own),
        disturbed=sum(not sample.calm for sample in own),
        mean=statistics.median(sample.mean for sample in own),
        p50=percentile(histogram, 50), p99=percentile(histogram, 99),
        iops=statistics.median(sample.iops for sample in own),
        ratio=ratio, verdict=word)
