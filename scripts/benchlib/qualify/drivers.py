# SPDX-License-Identifier: MIT OR Apache-2.0
"""The step `drivers`: all the ways in which libblkio and fio can reach the device, side by side.

As in scripts/bench compare they take turns, in reverse order every second round, and only ratios
within a round are compared.
"""

from __future__ import annotations

import random
import statistics
from typing import Sequence

from .. import stats
from ..contenders import BASELINE, Contender, all_contenders
from ..errors import BenchError
from ..model import Histogram
from ..targets import Target
from .jobs import Extent
from .model import DriverRow, Point, Workload
from .steps import Running

Measured = dict[str, list[tuple[Point, Histogram]]]


def candidates(engine: str, target: Target) -> list[Contender]:
    """The contenders that belong on the target, able or not."""
    return [contender for contender in all_contenders(engine).values()
            if contender.default and contender.wanted(target)]


def able(contenders: Sequence[Contender], target: Target) -> list[Contender]:
    return [contender for contender in contenders if not contender.obstacle(target)]


def compare(step: Running, contenders: Sequence[Contender]) -> None:
    """Measure all of them and add their rows to the step."""
    target = step.bench.target
    obstacles = {who.name: who.obstacle(target) for who in contenders}
    for work in step.spec.workloads:
        measured: Measured = {}
        order = [who for who in contenders if not obstacles[who.name]]
        random.Random(step.seed).shuffle(order)
        for number in range(step.spec.timing.most_rounds):
            for who in order if number % 2 == 0 else order[::-1]:
                if obstacles[who.name]:
                    continue
                try:
                    found = _one(step, work, who, number)
                except BenchError as error:
                    obstacles[who.name] = f"round {number + 1} failed: {error.message}"
                else:
                    measured.setdefault(who.name, []).append(found)
        step.drivers += [_row(work, who, obstacles[who.name], measured, step.seed)
                         for who in contenders]
    if obstacles.get(BASELINE):
        step.notes.append("fio's own engine did not run: there is nothing to compare with")


def _one(step: Running, work: Workload, who: Contender, number: int) -> tuple[Point, Histogram]:
    extent = Extent(step.spec.timing.runtime_ms, step.spec.timing.ramp_ms)
    # the same offsets for all in a round
    point, latency = step.bench.measure(work, extent, number, step.seed + number, who)
    step.keep(point, latency)
    return point, latency


def _row(work: Workload, who: Contender, obstacle: str, measured: Measured,
         seed: int) -> DriverRow:
    own = measured.get(who.name, [])
    if not own:
        return DriverRow(work, who.name, who.label, obstacle, 0, 0.0, 0.0, 0.0, None)
    base = {point.round: point.mean for point, _ in measured.get(BASELINE, [])}
    ratios = [point.mean / base[point.round] for point, _ in own if point.round in base]
    latency = stats.merge(histogram for _, histogram in own)
    return DriverRow(
        work, who.name, who.label, obstacle, len(own),
        iops=statistics.median(point.iops for point, _ in own),
        mean=statistics.median(point.mean for point, _ in own), p99=stats.percentile(latency, 99),
        ratio=stats.median_interval(ratios, seed) if ratios and who.name != BASELINE else None)

