# SPDX-License-Identifier: MIT OR Apache-2.0
"""From the points of a step to the figures that are quoted: which rounds count, and what they say.

Percentiles come from the merged histograms of these rounds, and only where at least BEYOND requests
were slower than them: with fewer, the next run would give another figure.
"""

from __future__ import annotations

from typing import Sequence

from ..result.model import Histogram
from ..stats.histograms import merge, percentile
from . import steady
from .model import Cell, Percentile, Point, Steady, Workload

PERCENTS = (50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)
BEYOND = 10


def needed(percent: float) -> int:
    """So many requests it takes for a percentile."""
    return round(BEYOND / (1 - percent / 100))


def percentiles(latency: Histogram) -> list[Percentile]:
    count = sum(latency.counts)
    return [Percentile(percent, percentile(latency, percent) if count >= needed(percent) else None,
                       needed(percent)) for percent in PERCENTS]


def series(points: Sequence[Point], work: Workload, metric: str) -> list[float]:
    """The metric of a workload, round by round."""
    return [float(getattr(point, metric)) for point in points if point.workload == work]


def look(points: Sequence[Point], work: Workload, metric: str, subject: str,
         most_rounds: int) -> Steady | None:
    """Is the workload's metric steady? None before there is anything to look at."""
    values = series(points, work, metric)
    if not values:
        return None
    found = steady.window(values)
    return Steady(subject=subject, workload=work, metric=metric, values=values,
                  reached=found.steady(), most_rounds=most_rounds,
                  **{name: value for name, value in vars(found).items()})


def cells(points: Sequence[Point], latencies: Sequence[Histogram], first_round: int) -> list[Cell]:
    """One cell per workload and engine, over the rounds from `first_round` on."""
    groups: dict[tuple[Workload, str], list[int]] = {}
    for i, point in enumerate(points):
        if point.round >= first_round:
            groups.setdefault((point.workload, point.engine), []).append(i)
    return [_cell([points[i] for i in own], [latencies[i] for i in own])
            for own in groups.values()]


def _cell(points: Sequence[Point], latencies: Sequence[Histogram]) -> Cell:
    ios = sum(point.ios for point in points)
    merged = merge(latencies)
    return Cell(workload=points[0].workload, engine=points[0].engine, rounds=len(points),
                ios=ios, iops=sum(point.iops for point in points) / len(points),
                bandwidth=sum(point.bandwidth for point in points) / len(points),
                mean=sum(point.mean * point.ios for point in points) / ios,
                max=max(point.max for point in points), percentiles=percentiles(merged),
                latency=merged)
