# SPDX-License-Identifier: MIT OR Apache-2.0
"""From samples to findings: every mode in every case by every metric, corrected together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Sequence

import numpy as np

from ..result.model import Case, Interval, Sample
from ..stats import bootstrap, inference, pairing
from ..stats.metrics import metric
from ..verdict import TOO_FEW
from . import verdict
from .model import BASELINE, CANDIDATE, Finding, Limits


@dataclass(frozen=True)
class _Test:
    """A finding before it is known how many there are."""

    finding: Finding
    least_p: float


def judge(samples: Sequence[Sample], metrics: Sequence[str], limits: Limits,
          paired: bool) -> list[Finding]:
    """The findings of a run, with verdicts."""
    groups = pairing.grouped(samples)
    tests = []
    for case, name in groups:
        mode, _, side = name.partition("@")
        other = groups.get((case, f"{mode}@{CANDIDATE}"))
        if side == BASELINE and other:
            tests += [_test(case, mode, which, groups[case, name], other, paired)
                      for which in metrics]
    corrected = inference.holm([test.finding.p for test in tests])
    return [_judged(test, p, len(tests), limits) for test, p in zip(tests, corrected)]


def paired_interval(ratios: Sequence[float]) -> Interval:
    """The interval that decides, of ratios within rounds."""
    return _exponential(inference.centre([math.log(ratio) for ratio in ratios]))


def _test(case: Case, mode: str, which: str, base: list[Sample], ours: list[Sample],
          paired: bool) -> _Test:
    figure = metric(which)
    before = [math.log(figure(sample)) for sample in base]
    after = [math.log(figure(sample)) for sample in ours]
    p_mann_whitney = inference.rank_sum(after, before)
    if paired:
        ratios = pairing.round_ratios(ours, base, figure)
        logs = [math.log(ratio) for ratio in ratios]
        ratio, shift = bootstrap.median_interval(ratios), paired_interval(ratios)
        p, least = inference.signed_rank(logs), inference.least_p(len(logs))
    else:
        ratio = _unpaired_ratio(before, after)
        shift = _exponential(inference.shift(after, before))
        p, least = p_mann_whitney, inference.least_p_unpaired(len(after), len(before))
    return _Test(Finding(
        case=case, mode=mode, metric=which, paired=paired, samples=shift.samples,
        baseline=float(np.exp(np.median(before))), candidate=float(np.exp(np.median(after))),
        ratio=ratio, shift=shift, p=p, p_holm=p, p_mann_whitney=p_mann_whitney,
        verdict=TOO_FEW), least)


def _judged(test: _Test, p_holm: float, family: int, limits: Limits) -> Finding:
    least = min(1.0, test.least_p * family)
    word = verdict.of_shift(test.finding.shift, p_holm, least, limits)
    return replace(test.finding, p_holm=p_holm, verdict=word)


def _unpaired_ratio(before: Sequence[float], after: Sequence[float]) -> Interval:
    """The ratio of the medians with its bootstrap interval; both sides are resampled."""
    return _exponential(bootstrap.median_difference(after, before))


def _exponential(interval: Interval) -> Interval:
    return replace(interval, median=math.exp(interval.median), low=math.exp(interval.low),
                   high=math.exp(interval.high))
