# SPDX-License-Identifier: MIT OR Apache-2.0
"""The step `drivers`: all the ways in which libblkio and fio can reach the device, side by side.

As in scripts/bench compare they take turns, in reverse order every second round, and only ratios
within a round are compared.
"""

from __future__ import annotations

import statistics
from typing import Sequence

from ..errors import BenchError
from ..measure.engines import Engine
from ..measure.schedule import Block, blocks
from ..result.contents import NATIVE
from ..result.model import Histogram
from ..stats import bootstrap, histograms
from .jobs import Extent
from .model import DriverRow, Point, Workload
from .steps import Running

Measured = dict[str, list[tuple[Point, Histogram]]]


def compare(step: Running, engines: Sequence[Engine]) -> None:
    """Measure all of them and add their rows to the step."""
    known = {who.name: who for who in engines}
    obstacles = {who.name: who.obstacle(step.bench.target) for who in engines}
    able = [name for name, obstacle in obstacles.items() if not obstacle]
    measured: dict[Workload, Measured] = {work: {} for work in step.spec.workloads}
    for block in blocks(dict.fromkeys(step.spec.workloads, able), step.spec.timing.most_rounds,
                        step.seed):
        for name in block.order:
            if obstacles[name]:
                continue
            try:
                found = _one(step, block, known[name])
            except BenchError as error:
                obstacles[name] = f"round {block.round + 1} failed: {error.message}"
            else:
                measured[block.case].setdefault(name, []).append(found)
    step.drivers += [_row(work, who, obstacles[who.name], own, step.seed)
                     for work, own in measured.items() for who in engines]
    if obstacles.get(NATIVE):
        step.notes.append("fio's own engine did not run: there is nothing to compare with")


def _one(step: Running, block: Block[Workload], who: Engine) -> tuple[Point, Histogram]:
    extent = Extent(step.spec.timing.runtime_ms, step.spec.timing.ramp_ms)
    point, latency = step.bench.measure(block.case, extent, block.round, block.random_seed, who)
    step.keep(point, latency)
    return point, latency


def _row(work: Workload, who: Engine, obstacle: str, measured: Measured,
         seed: int) -> DriverRow:
    own = measured.get(who.name, [])
    if not own:
        return DriverRow(work, who.name, who.label, obstacle, 0, 0.0, 0.0, 0.0, None)
    base = {point.round: point.mean for point, _ in measured.get(NATIVE, [])}
    ratios = [point.mean / base[point.round] for point, _ in own if point.round in base]
    latency = histograms.merge(histogram for _, histogram in own)
    return DriverRow(
        work, who.name, who.label, obstacle, len(own),
        iops=statistics.median(point.iops for point, _ in own),
        mean=statistics.median(point.mean for point, _ in own),
        p99=histograms.percentile(latency, 99),
        ratio=bootstrap.median_interval(ratios, seed) if ratios and who.name != NATIVE else None)
