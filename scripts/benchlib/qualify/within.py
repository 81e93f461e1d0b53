# SPDX-License-Identifier: MIT OR Apache-2.0
"""Latency, IOPS and bandwidth within the longest runs of a qualification, from fio's logs."""

from __future__ import annotations

from typing import Sequence

from ..page import panels
from ..page.frame import key
from ..page.page import Figure
from .figures import work_name
from .model import Point, Qualification, Step

KINDS = ("qos", "saturation", "throughput")  # what lasts, one after the other
MOST_WORKLOADS = 4


def figures(found: Qualification) -> list[Figure]:
    """One figure per step: the last run of each workload."""
    made = [_figure(step, runs) for step in found.steps
            if step.kind in KINDS and (runs := _last_runs(step))]
    return [figure for figure in made if figure]


def _last_runs(step: Step) -> list[Point]:
    last = {point.workload: point for point in step.points if point.within}
    return list(last.values())[:MOST_WORKLOADS]


def _figure(step: Step, runs: Sequence[Point]) -> Figure | None:
    sides = [(key(work_name(point.workload), i), point.within)
             for i, point in enumerate(runs) if point.within]
    interval = max(within.interval_ms for _, within in sides)
    return panels.within(step.title.partition(":")[0], sides,
                         f"The last run of each workload, in intervals of {interval} ms.")
