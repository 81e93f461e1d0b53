# SPDX-License-Identifier: MIT OR Apache-2.0
"""What all hosts did together, and which of them stand out."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import Sequence

from ..result.model import Case, Sample, Summary
from ..result.words import case_label
from ..stats.histograms import merge

TOGETHER = "all hosts"
FEWEST = 3  # hosts: of two, neither is the one that stands out
FAR = 3.5  # times the scatter of the hosts (1.4826 times the median distance from the median)
LEAST = 0.05  # relative; a host that is closer does not stand out


def together(samples: Sequence[Sample], hosts: Sequence[str]) -> list[Sample]:
    """Of each case, mode and round: the rates added up, the latencies pooled, over these hosts."""
    groups: dict[tuple[Case, str, int], list[Sample]] = {}
    for sample in samples:
        if sample.case.target in hosts:
            case = replace(sample.case, target=TOGETHER)
            groups.setdefault((case, sample.engine, sample.round), []).append(sample)
    return [_pooled(case, group) for (case, _, _), group in groups.items()
            if len(group) == len(hosts) > 1]


def _pooled(case: Case, group: Sequence[Sample]) -> Sample:
    total = sum(sample.ios for sample in group)
    mean = sum(sample.ios * sample.mean for sample in group) / total
    square = sum(sample.ios * (sample.stddev ** 2 + sample.mean ** 2) for sample in group) / total
    return replace(
        group[0], case=case, ios=total, iops=sum(sample.iops for sample in group), mean=mean,
        stddev=max(0.0, square - mean ** 2) ** 0.5, min=min(sample.min for sample in group),
        max=max(sample.max for sample in group), user_cpu=sum(s.user_cpu for s in group),
        system_cpu=sum(s.system_cpu for s in group),
        context_switches=sum(s.context_switches for s in group),
        latency=merge(sample.latency for sample in group))


def outliers(summaries: Sequence[Summary]) -> list[str]:
    """A line for each host whose mean latency or IOPS are far from those of the others."""
    groups: dict[tuple[Case, str], list[Summary]] = {}
    for row in summaries:
        if row.case.target != TOGETHER:
            groups.setdefault((replace(row.case, target="each host"), row.engine), []).append(row)
    lines = []
    for (case, engine), rows in groups.items():
        for what, values in (("mean latency", [row.mean for row in rows]),
                             ("IOPS", [row.iops for row in rows])):
            lines += [f"{rows[place].case.target} stands out: {what} {share:+.0%} from the median of "
                      f"the hosts ({case_label(case)}, {engine})" for place, share in far(values)]
    return lines


def far(values: Sequence[float]) -> list[tuple[int, float]]:
    """Those that stand out, by the median and the median distance from it: their places, and how far
    they are from the median, as a share of it."""
    if len(values) < FEWEST:
        return []
    middle = statistics.median(values)
    scatter = 1.4826 * statistics.median(abs(value - middle) for value in values)
    return [(place, value / middle - 1) for place, value in enumerate(values)
            if abs(value - middle) > max(FAR * scatter, LEAST * middle)]
