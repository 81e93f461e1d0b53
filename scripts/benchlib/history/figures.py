# SPDX-License-Identifier: MIT OR Apache-2.0
"""What of a result is worth following over time: named figures with the rounds behind them.

A gate's figures are those of its candidate. They were measured in another way than a comparison's
(shorter runs, other statistics), so their series have names of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Sequence

from ..foreign import results
from ..gate import counts, model as gate_model, store as gate_store
from ..gate.model import Count, Finding, GateResult
from ..qualify import store as qualify_store
from ..qualify.model import Cell, Qualification, Step
from ..result import contents, kinds, storage
from ..result.model import Environment, Result, Summary
from ..result.words import case_id
from ..stats import bootstrap, pairing
from ..stats.histograms import percentile
from ..stats.metrics import metric

@dataclass(frozen=True)
class Reading:
    """One figure of one entry. Series and medium together say what it is a figure of."""

    series: str  # page-cache/randread/512/qd1/j1/block
    medium: str  # what held the data
    metric: str  # one of metrics.METRICS, or a percentile
    value: float
    low: float
    high: float
    rounds: list[float]  # what the value is the median or mean of
    verdict: str = ""  # of the comparison or gate, on this figure


@dataclass(frozen=True)
class Measured:
    """A result, as far as a history is concerned."""

    kind: str
    started: str
    complete: bool
    environment: Environment
    figures: list[Reading]
    verdict: str = ""  # on the whole
    notes: list[str] = field(default_factory=list)  # what was left out


def measured(file: Path) -> Measured:
    """The figures of a result's file, whatever kind it is."""
    kind = kinds.kind(file)
    if kind == kinds.QUALIFY:
        return _of_qualification(qualify_store.read(file))
    if kind == kinds.GATE:
        return _of_gate(gate_store.read(file))
    if kind == kinds.FIO:
        found = results.read(file)
        return replace(_of_comparison(found), kind="fio", notes=found.environment.notes)
    return _of_comparison(storage.read(file))


# ---- Comparisons -----------------------------------------------------------------------------


def _of_comparison(result: Result) -> Measured:
    groups = pairing.grouped(result.samples)
    against = contents.against(result)
    media = {target.name: target.medium for target in result.targets}
    found: list[Reading] = []
    for row in result.summaries:
        own = pairing.usable(groups.get((row.case, row.engine), []))
        if not own:
            continue
        name = f"{case_id(row.case)}/{row.engine}"
        medium = media[row.case.target]
        base = pairing.usable(groups.get((row.case, against[row.engine]), []))
        found += _ratio(name, medium, row, pairing.round_ratios(own, base))
        seed = result.settings.seed
        for which, rounds in (("mean", [sample.mean for sample in own]),
                              ("p99", [percentile(sample.latency, 99) for sample in own]),
                              ("iops", [sample.iops for sample in own])):
            interval = bootstrap.median_interval(rounds, seed)
            found.append(Reading(name, medium, which, interval.median, interval.low, interval.high,
                                 rounds))
    return Measured("compare", result.started, result.complete, result.environment, found)


def _ratio(name: str, medium: str, row: Summary, rounds: Sequence[float]) -> list[Reading]:
    if row.ratio is None or not rounds:
        return []
    return [Reading(name, medium, "ratio", row.ratio.median, row.ratio.low, row.ratio.high,
                    list(rounds), row.verdict)]


# ---- Gates -----------------------------------------------------------------------------------


def _of_gate(result: GateResult) -> Measured:
    """The candidate's figures; `shift` alone is against the baseline of that day."""
    media = {target.name: target.medium for target in result.targets}
    candidates = [side.version for side in result.sides if side.name == gate_model.CANDIDATE]
    groups = pairing.grouped(result.samples)
    found: list[Reading] = []
    for item in result.items():
        name = f"gate/{case_id(item.case)}/{item.mode}"
        medium = media.get(item.case.target, "")
        if isinstance(item, Count):
            found += _of_count(name, medium, item)
        else:
            runs = groups.get((item.case, f"{item.mode}@{gate_model.CANDIDATE}"), [])
            found += _of_finding(name, medium, item, [metric(item.metric)(run) for run in runs],
                                 result.settings.seed)
    notes = [f"{item.what} of {case_id(item.case)}/{item.mode} do not repeat and are left out"
             for item in result.counts if not item.repeatable]
    environment = replace(result.environment,
                          libblkio=(candidates or [result.environment.libblkio])[0])
    return Measured("gate", result.started, result.complete, environment, found, result.verdict,
                    notes)


def _of_count(name: str, medium: str, count: Count) -> list[Reading]:
    """What repeats exactly has no interval."""
    if not count.repeatable:
        return []
    which = "instructions" if count.what == counts.INSTRUCTIONS else "calls"
    value = count.candidate
    return [Reading(name, medium, which, value, value, value, [], count.verdict)]


def _of_finding(name: str, medium: str, finding: Finding, rounds: list[float],
                seed: int) -> list[Reading]:
    shift = finding.shift
    found = [Reading(name, medium, f"shift-{finding.metric}", shift.median, shift.low, shift.high,
                     [], finding.verdict)]
    if rounds:
        interval = bootstrap.median_interval(rounds, seed)
        found.append(Reading(name, medium, finding.metric, interval.median, interval.low,
                             interval.high, rounds, finding.verdict))
    return found


# ---- Qualifications --------------------------------------------------------------------------


def _of_qualification(found: Qualification) -> Measured:
    device = found.device
    scaled = "" if found.plan.scale == 1 else f"(scaled by {found.plan.scale:g})"
    medium = " ".join(word for word in (device.medium, device.serial, scaled) if word)
    figures = [figure for step in found.steps for cell in step.cells
               for figure in _of_cell(step, cell, medium)]
    return Measured("qualify", found.started, found.complete, found.environment, figures,
                    found.verdict)


def _of_cell(step: Step, cell: Cell, medium: str) -> list[Reading]:
    work = cell.workload
    name = (f"{step.name}/{work.rw}/{work.block_size}/qd{work.depth}/j{work.numjobs}/"
            f"{cell.engine}")
    points = [point for point in step.points
              if point.workload == work and point.engine == cell.engine][-cell.rounds:]
    figures = []
    for which, value in (("mean", cell.mean), ("iops", cell.iops),
                         ("bandwidth", cell.bandwidth)):
        rounds = [float(getattr(point, which)) for point in points]
        figures.append(Reading(name, medium, which, value, min([value, *rounds]),
                               max([value, *rounds]), rounds))
    known = [item.value for item in cell.percentiles if item.percent == 99.0]
    if known and known[0] is not None:
        rounds = [point.p99 for point in points]
        figures.append(Reading(name, medium, "p99", known[0], min([known[0], *rounds]),
                               max([known[0], *rounds]), rounds))
    return figures
