# SPDX-License-Identifier: MIT OR Apache-2.0
"""Samples by case and round, and what the interval of their ratios says.

Engines are compared by the ratio of their latencies *within* a round, because a round's runs
follow each other directly and share whatever the machine was doing. The median of those ratios is
the result.

Standard library only: planning needs this before anything is installed.
"""

from __future__ import annotations

from typing import Callable, Iterable, Sequence

from ..result.model import Case, Interval, Sample

ENOUGH_ROUNDS = 5  # with fewer, no verdict; calm rounds are preferred when there are as many
SAME_WITHIN = 0.02  # an interval inside 1 +- this means "no difference that matters"

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
    """Samples by case and engine, in the order of first appearance."""
    groups: dict[tuple[Case, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.case, sample.engine), []).append(sample)
    return groups


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
