# SPDX-License-Identifier: MIT OR Apache-2.0
"""SNIA's test of steady state (Performance Test Specification, "Steady State Verification"): over a
window of five rounds the figures lie within 20 % of their mean, and the line fitted through them
rises or falls by no more than 10 % of it. Pure functions of a series.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

WINDOW = 5  # rounds
MOST_SPREAD = 0.20  # (max - min) / mean
MOST_DRIFT = 0.10  # |slope| * (WINDOW - 1) / mean
MOST_ROUNDS = 25


@dataclass(frozen=True)
class Window:
    """What a stretch of a series looks like."""

    first: int  # index into the series
    rounds: int
    mean: float
    spread: float
    drift: float
    slope: float
    intercept: float  # of the fitted line at index 0 of the series

    def steady(self) -> bool:
        return (self.rounds >= WINDOW and self.spread <= MOST_SPREAD
                and self.drift <= MOST_DRIFT)


def window(values: Sequence[float], rounds: int = WINDOW) -> Window:
    """The last `rounds` values of the series, or as many as there are."""
    recent = values[-rounds:]
    if not recent:
        raise ValueError("an empty series has no window")
    first, count = len(values) - len(recent), len(recent)
    mean = sum(recent) / count
    if mean <= 0:
        raise ValueError(f"a steady state needs a positive mean, got {mean}")
    slope, at_first = _fit(recent)
    return Window(first, count, mean, (max(recent) - min(recent)) / mean,
                  abs(slope) * (count - 1) / mean, slope, at_first - slope * first)


def _fit(values: Sequence[float]) -> tuple[float, float]:
    """Least squares over 0, 1, 2...: the slope, and the value at 0."""
    centre = (len(values) - 1) / 2
    mean = sum(values) / len(values)
    width = sum((x - centre) ** 2 for x in range(len(values)))
    slope = sum((x - centre) * y for x, y in enumerate(values)) / width if width else 0.0
    return slope, mean - slope * centre
