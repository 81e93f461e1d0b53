# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a gate's result consists of; the JSON schema, as ../model.py is for comparisons."""

from __future__ import annotations

from dataclasses import dataclass

from ..result.model import Case, Environment, Interval, Sample, Settings, TargetInfo

SCHEMA = "libblkio-gate/3"
BASELINE, CANDIDATE = "baseline", "candidate"


@dataclass(frozen=True)
class Limits:
    """What counts as a difference."""

    effect: float  # smaller shifts of latency do not count
    alpha: float  # the chance of a false alarm in a run in which nothing differs
    instructions: float  # relative
    system_calls: float  # per I/O


@dataclass(frozen=True)
class Side:
    name: str  # BASELINE or CANDIDATE
    asked_for: str  # a git revision, "build" or "results", or "source"
    version: str


@dataclass(frozen=True)
class Finding:
    """One mode in one case, by one metric."""

    case: Case
    mode: str
    metric: str
    paired: bool  # by rounds; False: the baseline is of another time
    samples: int  # pairs, or the smaller side's runs
    baseline: float  # ns, median of the runs
    candidate: float
    ratio: Interval  # candidate to baseline: the median, bootstrap interval
    shift: Interval  # the same by Hodges and Lehmann, with the interval of the test; this decides
    p: float  # signed-rank test when paired, else Mann and Whitney's
    p_holm: float  # corrected for the number of findings
    p_mann_whitney: float
    verdict: str  # one of verdict.VERDICTS


@dataclass(frozen=True)
class Count:
    """What one mode spends per I/O in one case, counted, not timed."""

    case: Case
    mode: str
    what: str  # counts.INSTRUCTIONS or counts.CALLS
    baseline: float
    candidate: float
    repeatable: bool  # did counting again give the same?
    verdict: str


Item = Finding | Count  # what has a verdict


@dataclass(frozen=True)
class GateResult:
    schema: str
    complete: bool
    started: str  # UTC, ISO 8601
    seconds: float
    verdict: str  # the worst of all, or "failed"
    exit_status: int
    tolerated: list[str]  # verdicts that do not show in the exit status
    limits: Limits
    settings: Settings
    sides: list[Side]
    environment: Environment
    targets: list[TargetInfo]
    other_load: float  # median over the rounds of what others used of the machine
    findings: list[Finding]
    counts: list[Count]
    notes: list[str]
    samples: list[Sample]  # engines are MODE@baseline and MODE@candidate

    def items(self) -> list[Item]:
        return [*self.findings, *self.counts]
