# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs of fio as a comparison's result. What the result does not know is named in its notes.

Runs of the same workload in several files are rounds, in the order of time. Of client/server each
host is a target, and what all hosts did together is one more.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Sequence

from .. import options as sizes
from ..errors import refuse
from ..result.model import (SCHEMA, Case, EngineInfo, Environment, Result, Sample, Settings, Skip,
                            TargetInfo)
from ..stats.histograms import merge
from ..stats.summaries import summarise
from .fio_json import JobRun, target_of

UNKNOWN = "unknown"
ALL_HOSTS = "all hosts"
NOT_RECORDED = ("fio's JSON does not record the machine (CPU, kernel, memory), whether other programs "
                "disturbed the runs, and in which order they ran")
# bench-fio of fio-plot names its files so, for fios that print no options.
BENCH_FIO = re.compile(r"(?P<rw>[a-z]+)-(?P<iodepth>\d+)-(?P<numjobs>\d+)\.json")
Key = tuple[Case, str]


def result(runs: Sequence[JobRun], source: str) -> Result:
    """All runs as one result; refuses if none of them did any I/O."""
    good, skips = _usable(runs)
    if not good:
        reasons = "; ".join(skip.reason for skip in skips) or "no jobs"
        raise refuse(f"{source} has no job with figures: {reasons}")
    notes = _notes(good, source)
    merged = _hosts_together(_jobs_together(good))
    samples = _samples(merged)
    engines = list(dict.fromkeys(sample.engine for sample in samples))
    cases = list(dict.fromkeys(sample.case for sample in samples))
    least = min(Counter((sample.case, sample.engine) for sample in samples).values())
    versions = sorted({run.fio for run in good})
    return Result(
        schema=SCHEMA, complete=True, started=min(run.started for run in good) or UNKNOWN,
        seconds=sum(run.runtime_ms for run in good) / 1000, settings=_settings(cases, good, least),
        environment=_environment(", ".join(versions), notes),
        targets=[TargetInfo(name, name, UNKNOWN, False, 0, UNKNOWN, "", {})
                 for name in dict.fromkeys(case.target for case in cases)],
        engines=[EngineInfo(name, f"fio's {name}", "", "", ", ".join(versions), [], None)
                 for name in engines],
        skips=skips, summaries=summarise(samples, {}, 1), system_calls=[], retried_rounds=0,
        samples=samples)


def _usable(runs: Sequence[JobRun]) -> tuple[list[JobRun], list[Skip]]:
    good, skips = [], []
    for run in runs:
        reason = f"error {run.error}" if run.error \
            else "no I/O was measured" if not run.ios or run.mean <= 0 \
            else "" if run.latency.counts else "no latencies are in the file"
        if reason:
            where = f" on {run.host}" if run.host else ""
            skips.append(Skip(target_of(run.options) or UNKNOWN, run.options.get("ioengine", ""),
                              f"job {run.job}{where} in {Path(run.file).name}: {reason}"))
        else:
            good.append(run)
    return good, skips


def _notes(runs: Sequence[JobRun], source: str) -> list[str]:
    """Where this is from and what it lacks, each gap once."""
    files = {run.file for run in runs}
    gaps: Counter[str] = Counter()
    for run in runs:
        gaps.update(set(run.gaps) | set(_option_gaps(run)))
    for file, group in {(run.file, run.group) for run in runs}:
        names = {run.job for run in runs if (run.file, run.group) == (file, group)}
        if len(names) > 1:
            gaps[f"jobs {', '.join(sorted(names))} ran at the same time: their figures depend on "
                 "each other"] += 1
    said = [f"read from fio's JSON, {source}: {len(files)} {'file' if len(files) == 1 else 'files'}, "
            f"{len(runs)} jobs, not measured by scripts/bench", NOT_RECORDED]
    return said + [f"{gap} ({count} of {len(runs)} jobs)" if count < len(runs) else gap
                   for gap, count in sorted(gaps.items())]


def _option_gaps(run: JobRun) -> list[str]:
    found = []
    if not run.options:
        found.append("the file has no options: the workload is from its name or its figures")
    if not target_of(run.options):
        found.append("the file does not name what was read or written")
    if "bssplit" in run.options or "bsrange" in run.options or "," in run.options.get("bs", ""):
        found.append("there are several block sizes: the size given is the mean")
    return found


# ---- Cases -----------------------------------------------------------------------------------


def _key(run: JobRun) -> Key:
    """Who did what."""
    options = {**_from_name(run), **run.options}
    target = target_of(options) or UNKNOWN
    case = Case(f"{run.host}:{target}" if run.host else target, _workload(run, options),
                _block_size(run, options), _number(options.get("iodepth")),
                _number(options.get("numjobs")))
    engine = options.get("ioengine", UNKNOWN)
    return case, "libblkio" if "libblkio" in engine else engine


def _from_name(run: JobRun) -> dict[str, str]:
    if run.options:
        return {}
    match = BENCH_FIO.fullmatch(Path(run.file).name)
    return match.groupdict() if match else {}


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() and int(text) else 1


def _workload(run: JobRun, options: dict[str, str]) -> str:
    kind = options.get("rw", "").partition(":")[0] or UNKNOWN
    if kind not in ("randrw", "rw", "readwrite"):
        return kind
    reads = options.get("rwmixread") or str(100 - _number(options.get("rwmixwrite", "50")))
    return kind if reads == "50" else f"{kind}:{reads}"


def _block_size(run: JobRun, options: dict[str, str]) -> int:
    """As asked for; the mean where there are several or the file does not say."""
    try:
        if "bssplit" not in options and "bsrange" not in options:
            return sizes.size(options.get("bs", ""))
    except argparse.ArgumentTypeError:  # not one size
        pass
    return max(1, round(run.bytes / run.ios))


# ---- Together --------------------------------------------------------------------------------


def _jobs_together(runs: Sequence[JobRun]) -> list[tuple[Key, JobRun]]:
    """Jobs of one name that ran at the same time are one run; different jobs with the same workload
    are told apart by their names."""
    groups: dict[tuple[str, str, int, str], list[JobRun]] = {}
    for run in runs:
        groups.setdefault((run.file, run.host, run.group, run.job), []).append(run)
    joined = [_joined(group) for group in groups.values()]
    names: dict[Key, set[str]] = {}
    for run in joined:
        names.setdefault(_key(run), set()).add(run.job)
    found = []
    for run in joined:
        case, engine = _key(run)
        found.append(((case, engine if len(names[case, engine]) == 1 else f"{engine}/{run.job}"),
                      run))
    return found


def _joined(runs: Sequence[JobRun]) -> JobRun:
    """The runs as one: their rates add up, their latencies are pooled."""
    if len(runs) == 1:
        return runs[0]
    total = sum(run.ios for run in runs)
    mean = sum(run.ios * run.mean for run in runs) / total
    square = sum(run.ios * (run.stddev ** 2 + run.mean ** 2) for run in runs) / total
    return replace(
        runs[0], ios=total, iops=sum(run.iops for run in runs), bytes=sum(r.bytes for r in runs),
        mean=mean, stddev=max(0.0, square - mean ** 2) ** 0.5, min=min(run.min for run in runs),
        max=max(run.max for run in runs), user_cpu=sum(run.user_cpu for run in runs),
        system_cpu=sum(run.system_cpu for run in runs),
        context_switches=sum(run.context_switches for run in runs),
        runtime_ms=max(run.runtime_ms for run in runs),
        latency=merge(run.latency for run in runs))


def _hosts_together(runs: Sequence[tuple[Key, JobRun]]) -> list[tuple[Key, JobRun]]:
    """Besides each host, what all hosts did together."""
    groups: dict[tuple[str, Key], list[JobRun]] = {}
    for (case, engine), run in runs:
        if run.host:
            target = case.target.removeprefix(f"{run.host}:")
            merged = replace(case, target=f"{ALL_HOSTS}:{target}")
            groups.setdefault((run.file, (merged, engine)), []).append(run)
    return [*runs, *((key, _joined(group)) for (_, key), group in groups.items()
                     if len({run.host for run in group}) > 1)]


def _samples(runs: Sequence[tuple[Key, JobRun]]) -> list[Sample]:
    rounds: Counter[Key] = Counter()
    found = []
    for (case, engine), run in sorted(runs, key=lambda pair: (pair[1].started, pair[1].file)):
        found.append(Sample(
            case=case, engine=engine, at=None, round=rounds[case, engine], position=0, calm=True,
            other_load=0.0, ios=run.ios, iops=run.iops, mean=run.mean, stddev=run.stddev,
            min=run.min, max=run.max, user_cpu=run.user_cpu, system_cpu=run.system_cpu,
            context_switches=run.context_switches, latency=run.latency))
        rounds[case, engine] += 1
    return found


def _settings(cases: Sequence[Case], runs: Sequence[JobRun], rounds: int) -> Settings:
    def each(values: list[int]) -> list[int]:
        return sorted(set(values))

    return Settings(
        workloads=list(dict.fromkeys(case.rw for case in cases)),
        block_sizes=each([case.block_size for case in cases]),
        depths=each([case.depth for case in cases]), numjobs=each([case.numjobs for case in cases]),
        modes=[], rounds=rounds, until=None, budget=None,
        runtime_ms=max(run.runtime_ms for run in runs), ramp_ms=0, seed=1, cpus=[], max_load=0.0)


def _environment(fio: str, notes: list[str]) -> Environment:
    return Environment(
        fio=fio, libblkio=UNKNOWN, libblkio_build=UNKNOWN, kernel=UNKNOWN, distribution=UNKNOWN,
        cpu=UNKNOWN, cpus=0, threads_per_core=0, numa_nodes=0, virtualised=UNKNOWN, memory_mib=0,
        governor=UNKNOWN, idle_states=UNKNOWN, cpu_latency_held=False, clock=UNKNOWN,
        mitigations=UNKNOWN, python=UNKNOWN, notes=notes)
