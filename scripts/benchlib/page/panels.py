# SPDX-License-Identifier: MIT OR Apache-2.0
"""Panels that comparisons and gates have in common: runs of several sides of one case."""

from __future__ import annotations

from typing import Callable, Sequence

import numpy as np

from ..result.model import Histogram, Sample, Within
from ..result.words import duration
from ..stats.histograms import percentile
from . import curves, tails
from .frame import Key
from .page import Figure, Panel
from .svg import Svg

MOST = 6  # in one figure; more are not looked at, and the tables have all
FEWEST_ROUNDS = 3


def ladder(title: str, sides: Sequence[tuple[Key, Histogram]]) -> Panel | None:
    """Percentile ladders, one line per side."""
    series = [curves.Series(key, points) for key, latency in sides
              if (points := tails.ladder_points(latency))]
    if not series:
        return None
    said = "; ".join(f"{key.name}: p50 {duration(percentile(latency, 50))}, "
                     f"p99 {duration(percentile(latency, 99))}"
                     for key, latency in sides if latency.counts)
    return curve(title, curves.ladder, series, f"Latency at each percentile, {title}. {said}.")


def rounds(title: str, sides: Sequence[tuple[Key, Sequence[Sample]]]) -> Panel | None:
    """Each round's mean latency, one line per side; disturbed rounds are hollow."""
    series = [curves.Series(key, [(sample.round + 1, sample.mean) for sample in samples],
                            hollow=[not sample.calm for sample in samples])
              for key, samples in sides if len(samples) >= FEWEST_ROUNDS]
    if not series:
        return None
    return curve(title, curves.over_rounds, series, f"Mean latency in each round, {title}.")


def within(title: str, sides: Sequence[tuple[Key, Within]], caption: str) -> Figure | None:
    """Latency, IOPS and bandwidth over the time of a run, a line per side."""
    if not any(len(side.at) >= FEWEST_ROUNDS for _, side in sides):
        return None
    worst = max((_swing(side), key.name) for key, side in sides)
    made = []
    for name, pick, axis in (
            ("Mean latency", lambda side: side.latency, curves.near_latency_axis),
            ("I/Os per second", lambda side: side.iops, curves.count_axis),
            ("Bytes per second", lambda side: side.bandwidth, curves.count_axis)):
        series = [curves.Series(key, [(at / 1000, float(value))
                                      for at, value in zip(side.at, pick(side))])
                  for key, side in sides]
        y = axis("", [value for item in series for _, value in item.points])
        alt = f"{title}: {name.lower()} over the seconds of a run."
        made.append(Panel(name, lambda width, legend, series=series, y=y, alt=alt:
                          curves.timeline(width, series, alt, y, legend=legend)))
    return Figure(f"{title}: within a run of {worst[1]}, the slowest interval has "
                  f"{worst[0]:.2f} times the typical latency", caption, made,
                  [key for key, _ in sides])


def _swing(side: Within) -> float:
    """The slowest interval's latency relative to the median one."""
    return float(max(side.latency) / np.median(side.latency))


def spread(samples: Sequence[Sample]) -> float:
    """How far apart the middle half of the rounds lies, relative to the median."""
    low, middle, high = np.percentile([sample.mean for sample in samples], (25, 50, 75))
    return float((high - low) / middle)


def curve(title: str, chart: Callable[..., Svg], series: Sequence[curves.Series],
          alt: str) -> Panel:
    return Panel(title, lambda width, legend: chart(width, series, alt, legend=legend))


def more(cases: int) -> str:
    """What a caption says when there are more cases than panels."""
    return f" Shown are the {MOST} cases with the largest differences; the tables have " \
        f"{cases - MOST} more." if cases > MOST else ""
