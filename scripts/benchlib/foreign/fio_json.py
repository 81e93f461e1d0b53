# SPDX-License-Identifier: MIT OR Apache-2.0
"""fio's JSON, of any fio from 2.1 on, as runs: what each job of each host did.

fio 2 writes microseconds and KiB, fio 3 nanoseconds and bytes. What fio did not write is a gap, not
a guess: the option that a job does not name has fio's default only where the file has options.
"""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import refuse
from ..result.codec import decode, encode
from ..result.model import Histogram
from ..stats.histograms import merge
from . import latency
from .latency import Tree

DIRECTIONS = ("read", "write", "trim", "mixed")
ALL_CLIENTS = "All clients"  # fio's own sum over hosts, without a histogram
DEFAULTS = {"rw": "read", "bs": "4k", "iodepth": "1", "numjobs": "1", "ioengine": "psync"}
AT_PERCENTILES = "latency is known at the percentiles that fio printed only (json, not json+)"
ALIASES = {"readwrite": "rw", "blocksize": "bs"}


@dataclass(frozen=True)
class JobRun:
    """One job, or all jobs of one name that ran at the same time."""

    file: str
    fio: str
    host: str  # of client/server, else ""
    job: str
    group: int  # jobs of a group ran at the same time
    started: str  # UTC, ISO 8601
    options: dict[str, str]
    error: int
    ios: int
    iops: float
    bytes: int
    runtime_ms: int
    mean: float  # ns
    stddev: float
    min: int
    max: int
    user_cpu: float
    system_cpu: float
    context_switches: int
    latency: Histogram
    gaps: list[str] = field(default_factory=list)


def parse(text: str) -> Tree | None:
    """fio's answer in a text that may have other lines before it; None when there is none."""
    start = 0 if text.lstrip().startswith("{") else text.find("\n{") + 1
    if "{" not in text[start:start + 1] and not text.lstrip().startswith("{"):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text[start:].lstrip())
    except ValueError:
        return None
    if isinstance(value, dict) and "fio version" in value and _jobs(value) is not None:
        return value
    return None


def _jobs(answer: Tree) -> list[Tree] | None:
    found = answer.get("jobs", answer.get("client_stats"))
    return found if isinstance(found, list) else None


def runs(file: Path, answer: Tree) -> list[JobRun]:
    """Every job in the answer, those that failed as well."""
    common = answer.get("global options", {})
    try:
        started = _started(answer) or _time(file.stat().st_mtime)
        missing = [] if _started(answer) else ["the file does not say when: its own time is used"]
        return [_checked(_run(file, answer["fio version"], started, common, job, missing))
                for job in _jobs(answer) or [] if job.get("jobname") != ALL_CLIENTS]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise refuse(f"{file} is not JSON as fio writes it: {error!r}") from error


def _checked(run: JobRun) -> JobRun:
    """The run, if everything in it is of its type, finite and not negative."""
    found = decode(JobRun, encode(run))
    figures = (run.ios, run.iops, run.bytes, run.runtime_ms, run.mean, run.min, run.max,
               *run.latency.bins, *run.latency.counts)
    if min(figures) < 0:
        raise ValueError(f"a figure of job {run.job} is negative")
    return found


def _started(answer: Tree) -> str:
    seconds = answer.get("timestamp")
    if not isinstance(seconds, (int, float)):
        return ""
    return _time(seconds)


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(
        timespec="seconds")


def _run(file: Path, version: str, started: str, common: Tree, job: Tree,
         missing: list[str]) -> JobRun:
    options = {**common, **job.get("job options", {})}
    options = {ALIASES.get(name, name): str(value) for name, value in options.items()}
    if options:
        options = {**DEFAULTS, **options}
    sides = [side for name in DIRECTIONS if _ios(side := job.get(name, {}))]
    gaps = list(missing)
    figures = [_latency(side, job, gaps) for side in sides]
    total = sum(_ios(side) for side in sides)
    mean, stddev = _pool([(_ios(side), item) for side, item in zip(sides, figures)])
    histogram = _histogram(sides, figures, job, gaps)
    return JobRun(
        file=str(file), fio=version, host=str(job.get("hostname", "")), job=job["jobname"],
        group=int(job.get("groupid", 0)), started=started, options=options,
        error=int(job.get("error", 0)), ios=total,
        iops=sum(float(side["iops"]) for side in sides), bytes=sum(map(_bytes, sides)),
        runtime_ms=max((int(side.get("runtime", 0)) for side in sides), default=0),
        mean=mean, stddev=stddev, min=min((item.min for item in figures), default=0),
        max=max((item.max for item in figures), default=0),
        user_cpu=float(job.get("usr_cpu", 0)), system_cpu=float(job.get("sys_cpu", 0)),
        context_switches=int(job.get("ctx", 0)), latency=histogram, gaps=gaps)


def _ios(side: Tree) -> int:
    """fio before 2.2 did not print it."""
    found = side.get("total_ios")
    if found is None:
        found = round(float(side.get("iops", 0)) * float(side.get("runtime", 0)) / 1000)
    return int(found)


def _bytes(side: Tree) -> int:
    return int(side["io_bytes"]) if "io_kbytes" in side else int(side.get("io_bytes", 0)) * 1024


@dataclass(frozen=True)
class _Latency:
    """Of one direction, in ns."""

    mean: float
    stddev: float
    min: int
    max: int
    bins: Tree
    percentiles: Tree
    unit: int


def _latency(side: Tree, job: Tree, gaps: list[str]) -> _Latency:
    """Total latency where fio measured it, else completion latency."""
    for unit, suffix in ((1, "_ns"), (1000, "")):
        total, completion = side.get(f"lat{suffix}", {}), side.get(f"clat{suffix}", {})
        if not total and not completion:
            continue
        known = total if total.get("mean") else completion
        if known is completion:
            gaps.append("the mean is of completion latency (clat): fio did not measure the total")
        detail = next((item for item in (total, completion)
                       if item.get("bins") or any(map(float, item.get("percentile", {}).values()))),
                      {})
        if detail is completion and known is total:
            gaps.append("percentiles are of completion latency (clat), the mean is of the total")
        return _Latency(float(known.get("mean", 0)) * unit, float(known.get("stddev", 0)) * unit,
                        round(float(known.get("min", 0)) * unit),
                        round(float(known.get("max", 0)) * unit), detail.get("bins", {}),
                        detail.get("percentile", {}), unit)
    raise KeyError(f"latency of job {job['jobname']}")


def _histogram(sides: list[Tree], figures: list[_Latency], job: Tree, gaps: list[str]) -> Histogram:
    found = []
    for side, item in zip(sides, figures):
        known = latency.from_bins(item.bins, item.unit)
        if not known.counts:
            known = latency.from_percentiles(item.percentiles, item.unit, _ios(side), item.max)
            gaps.append(AT_PERCENTILES)
        found.append(known)
    if all(known.counts for known in found):
        return merge(found)
    gaps[:] = [gap for gap in gaps if gap != AT_PERCENTILES]
    gaps.append("latency is known by fio's classes only: percentiles may be off by a factor of 2")
    return latency.from_classes(job, sum(map(_ios, sides)),
                                max((item.max for item in figures), default=0))


def _pool(sides: list[tuple[int, _Latency]]) -> tuple[float, float]:
    """Mean and standard deviation of several directions together."""
    total = sum(count for count, _ in sides)
    if not total:
        return 0.0, 0.0
    mean = sum(count * item.mean for count, item in sides) / total
    square = sum(count * (item.stddev ** 2 + item.mean ** 2) for count, item in sides) / total
    return mean, max(0.0, square - mean ** 2) ** 0.5


def target_of(options: dict[str, str]) -> str:
    """A short name of what was read or written, without folders."""
    for name in ("filename", "libblkio_path", "uri", "directory"):
        if options.get(name):
            return "+".join(os.path.basename(part.rstrip("/")) or part
                            for part in options[name].split(":" if name == "filename" else "\0"))
    return ""
