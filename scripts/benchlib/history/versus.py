# SPDX-License-Identifier: MIT OR Apache-2.0
"""Two entries of a history against each other: how far apart, and may it be chance?

Their rounds were measured at different times, so what the machine did then is in the difference;
`scripts/bench gate` measures both in one run and decides better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

from ..stats import inference
from . import metrics
from .changepoint import EXACT_EFFECT, MIN_EFFECT
from .figures import Reading

ALPHA = 0.05
FEWEST = 5  # rounds on each side


@dataclass(frozen=True)
class Difference:
    """One series in both entries."""

    series: str
    medium: str
    metric: str
    before: float
    after: float
    ratio: float  # after / before: Hodges and Lehmann's shift of the logarithms
    low: float
    high: float
    p: float  # Mann and Whitney's, Holm-corrected over all series
    verdict: str  # better, worse, same, unclear, too few


def differences(first: Sequence[Reading], second: Sequence[Reading],
                min_effect: float = MIN_EFFECT) -> list[Difference]:
    """All series that both have, in the order of their names."""
    others = {(figure.series, figure.medium, figure.metric): figure for figure in second}
    both = [(figure, others[key]) for figure in first
            if (key := (figure.series, figure.medium, figure.metric)) in others]
    pairs = [pair for pair in both if all(map(_usable, pair))]
    chances = inference.holm([inference.rank_sum(after.rounds, before.rounds)
                              for before, after in pairs])
    return [_difference(before, after, p, min_effect)
            for (before, after), p in zip(pairs, chances)] + \
        [_counted(*pair) for pair in both if metrics.of(pair[0].metric).exact]


def _usable(figure: Reading) -> bool:
    return not metrics.of(figure.metric).exact and bool(figure.rounds) and min(figure.rounds) > 0


def _difference(before: Reading, after: Reading, p: float, min_effect: float) -> Difference:
    shift = inference.shift([math.log(value) for value in after.rounds],
                            [math.log(value) for value in before.rounds])
    ratio, low, high = (math.exp(end) for end in (shift.median, shift.low, shift.high))
    fewest = min(len(before.rounds), len(after.rounds))
    word = _verdict(ratio, low, high, p, min_effect, metrics.of(before.metric).less_is_better) \
        if fewest >= FEWEST else "too few"
    return Difference(before.series, before.medium, before.metric, before.value, after.value,
                      ratio, low, high, p, word)


def _counted(before: Reading, after: Reading) -> Difference:
    """Of what repeats exactly, any difference is one."""
    ratio = after.value / before.value if before.value else math.inf if after.value else 1.0
    near = 1 / (1 + EXACT_EFFECT) < ratio < 1 + EXACT_EFFECT
    word = "same" if near else "worse" if ratio > 1 else "better"
    return Difference(before.series, before.medium, before.metric, before.value, after.value, ratio,
                      ratio, ratio, 0.0, word)


def _verdict(ratio: float, low: float, high: float, p: float, min_effect: float,
             less_is_better: bool) -> str:
    if 1 / (1 + min_effect) <= low and high <= 1 + min_effect:
        return "same"
    if p > ALPHA or max(ratio, 1 / ratio) < 1 + min_effect:
        return "unclear"
    return "better" if (ratio < 1) == less_is_better else "worse"
