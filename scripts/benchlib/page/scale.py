# SPDX-License-Identifier: MIT OR Apache-2.0
"""From values to places on the paper: linear, logarithmic and log-percentile axes, and their ticks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, Sequence

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)


class Scale(Protocol):
    """Places values between the pixels `start` and `end`."""

    def __call__(self, value: float) -> float: ...

    def ticks(self) -> list[float]: ...


@dataclass(frozen=True)
class Linear:
    low: float
    high: float
    start: float
    end: float
    most: int = 6  # ticks

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        step = _nice_step((self.high - self.low) / self.most)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Log:
    low: float
    high: float
    start: float
    end: float
    most: int = 6

    def __call__(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """1-2-5 of each decade, or 1 only, or each n-th decade: no more than `most`."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps, stride in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
            found = [step * 10.0 ** power for power in decades[::stride] for step in steps
                     if self.low * 0.999 <= step * 10.0 ** power <= self.high * 1.001]
            if len(found) <= self.most:
                break
        if len(found) < 2:  # less than a decade: linear ticks say more
            return [tick for tick in Linear(self.low, self.high, 0, 1, self.most).ticks()
                    if tick > 0]
        return found


@dataclass(frozen=True)
class PercentileScale:
    """Each further nine takes the same room: 90, 99, 99.9, ..."""

    high: float  # the last percentile shown, below 100
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = _nines(value) / _nines(self.high)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        return [percent for percent in PERCENTILES if percent <= self.high + 1e-9]


def _nines(percent: float) -> float:
    return -math.log10(1 - percent / 100)


def _nice_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10)
                if factor * power >= least * (1 - 1e-9))


def finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def from_zero(values: Sequence[float], room: float = 1.08) -> tuple[float, float]:
    """An axis from zero to a bit above the largest value."""
    highest = max(finite(values), default=0.0)
    return 0.0, highest * room if highest > 0 else 1.0


def around(values: Sequence[float], least: float = 0.04) -> tuple[float, float]:
    """An axis around the values, never so narrow that mere noise looks like mountains."""
    good = finite(values)
    if not good:
        return 0.0, 1.0
    low, high = min(good), max(good)
    middle = (low + high) / 2
    half = max((high - low) / 2 * 1.15, abs(middle) * least, 1e-9)
    low_end = middle - half
    return (max(0.0, low_end) if low >= 0 else low_end), middle + half


def log_range(values: Sequence[float]) -> tuple[float, float]:
    """A logarithmic axis around the positive values."""
    good = [value for value in finite(values) if value > 0]
    if not good:
        return 1.0, 10.0
    return min(good) / 1.15, max(good) * 1.15


# ---- Words for ticks -------------------------------------------------------------------------


def short_duration(nanoseconds: float) -> str:
    """For a tick: 0, 500 ns, 2.5 µs, 10 ms."""
    if nanoseconds == 0:
        return "0"
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size * 0.9999:
            return f"{nanoseconds / size:.4g} {unit}"
    return f"{nanoseconds:.4g} ns"


def short_count(value: float) -> str:
    """950, 12.5k, 1.2M"""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size * 0.9999:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def percent_name(percent: float) -> str:
    """50, 99.9, 99.999"""
    return f"{percent:.5f}".rstrip("0").rstrip(".")


def change(ratio: float) -> str:
    """A ratio as the difference it makes: -9.1 %, +12 %; above threefold, as a factor."""
    percent = (ratio - 1) * 100
    if abs(percent) < 0.05:
        return "±0 %"
    if ratio > 4:
        return f"×{ratio:.3g}"
    digits = 1 if abs(percent) < 9.95 else 0
    return f"{'+' if percent > 0 else '−'}{abs(percent):.{digits}f} %"
