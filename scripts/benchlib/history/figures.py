# SPDX-License-Identifier: MIT OR Apache-2.0
"""What of a result is worth following over time: named figures with the rounds behind them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

from .. import kinds, results, stats, table
from ..errors import refuse
from ..model import Environment, Result, Summary
from ..qualify import store as qualify_store
from ..qualify.model import Cell, Qualification, Step
from ..words import case_id

# metric: (what it is, is less better?)
METRICS = {"ratio": ("mean latency relative to the reference", True),
           "mean": ("mean latency in ns", True), "p99": ("99th percentile in ns", True),
           "iops": ("I/Os per second", False), "bandwidth": ("bytes per second", False)}


@dataclass(frozen=True)
class Figure:
    """One figure of one entry. Series and medium together say what it is a figure of."""

    series: str  # page-cache/randread/512/qd1/j1/block
    medium: str  # what held the data
    metric: str  # one of METRICS
    value: float
    low: float
    high: float
    rounds: list[float]  # what the value is the median or mean of


@dataclass(frozen=True)
class Measured:
    """A result, as far as a history is concerned."""

    kind: str
    started: str
    complete: bool
    environment: Environment
    figures: list[Figure]


def measured(file: Path) -> Measured:
    """The figures of a result's file, whatever kind it is."""
    kind = kinds.kind(file)
    if kind == kinds.QUALIFY:
        return _of_qualification(qualify_store.read(file))
    if kind == kinds.COMPARE:
        return _of_comparison(results.read(file))
    raise refuse(f"{file} is a gate's: it compares two builds and is no point of a trend",
                 "Keep results of compare and qualify.")


# ---- Comparisons -----------------------------------------------------------------------------


def _of_comparison(result: Result) -> Measured:
    groups = stats.grouped(result.samples)
    against = table.against(result)
    media = {target.name: target.medium for target in result.targets}
    found: list[Figure] = []
    for row in result.summaries:
        own = stats.usable(groups.get((row.case, row.contender), []))
        if not own:
            continue
        name = f"{case_id(row.case)}/{row.contender}"
        medium = media[row.case.target]
        base = stats.usable(groups.get((row.case, against[row.contender]), []))
        found += _ratio(name, medium, row, stats.round_ratios(own, base))
        seed = result.settings.seed
        for metric, rounds in (("mean", [sample.mean for sample in own]),
                               ("p99", [stats.percentile(sample.latency, 99) for sample in own]),
                               ("iops", [sample.iops for sample in own])):
            interval = stats.median_interval(rounds, seed)
            found.append(Figure(name, medium, metric, interval.median, interval.low, interval.high,
                                rounds))
    return Measured("compare", result.started, result.complete, result.environment, found)


def _ratio(name: str, medium: str, row: Summary, rounds: Sequence[float]) -> list[Figure]:
    if row.ratio is None or not rounds:
        return []
    return [Figure(name, medium, "ratio", row.ratio.median, row.ratio.low, row.ratio.high,
                   list(rounds))]


# ---- Qualifications --------------------------------------------------------------------------


def _of_qualification(found: Qualification) -> Measured:
    device = found.device
    medium = " ".join(word for word in (device.medium, device.serial) if word)
    figures = [figure for step in found.steps for cell in step.cells
               for figure in _of_cell(step, cell, medium)]
    return Measured("qualify", found.started, found.complete, found.environment, figures)


def _of_cell(step: Step, cell: Cell, medium: str) -> list[Figure]:
    work = cell.workload
    name = (f"{step.name}/{work.rw}/{work.block_size}/qd{work.depth}/j{work.numjobs}/"
            f"{cell.contender}")
    points = [point for point in step.points
              if point.workload == work and point.contender == cell.contender][-cell.rounds:]
    figures = []
    for metric, value in (("mean", cell.mean), ("iops", cell.iops),
                          ("bandwidth", cell.bandwidth)):
        rounds = [float(getattr(point, metric)) for point in points]
        figures.append(Figure(name, medium, metric, value, min([value, *rounds]),
                              max([value, *rounds]), rounds))
    known = [item.value for item in cell.percentiles if item.percent == 99.0]
    if known and known[0] is not None:
        rounds = [point.p99 for point in points]
        figures.append(Figure(name, medium, "p99", known[0], min([known[0], *rounds]),
                              max([known[0], *rounds]), rounds))
    return figures
