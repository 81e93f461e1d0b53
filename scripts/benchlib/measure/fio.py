# SPDX-License-Identifier: MIT OR Apache-2.0
"""One fio process: its command line, its run, its answer or its own words on failure.

Why these options (DEFAULT_OPTIONS; of a user's job file, norandommap is the user's business):
    lat, not clat       engines stamp "submitted" at different places; only the total compares
    disable_slat        the same clock readings for every engine
    invalidate=0        fio drops the page cache for its own engines only
    norandommap         no bitmap lookups between I/Os
    allow_file_create   a wrong path is an error, not a new file
    disk_util=0         else fio reads all of /sys/block first, which takes as long as a short run
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BenchError, refuse
from ..result.model import Histogram, Within
from . import over_time

OUTPUT_OPTIONS = ("--output-format=json+", "--eta=never")
COMMON_OPTIONS = ("--invalidate=0", "--allow_file_create=0", "--disable_slat=1", "--disk_util=0",
                  "--lat_percentiles=1", "--clat_percentiles=0")
DEFAULT_OPTIONS = ("--name=bench", "--norandommap", *COMMON_OPTIONS, *OUTPUT_OPTIONS)
START_STOP_SECONDS = 60  # more than fio ever needs beyond the run time: then it hangs
KILL_AFTER_SECONDS = 5
DIRECTIONS = ("read", "write", "trim")
MIXED = ("randrw", "rw", "readwrite")
WRITES = ("write", "randwrite", "readwrite", "rw", "randrw", "trim", "randtrim", "trimwrite")
WORKLOADS = ("randread", "read", *WRITES)


def writes(rw: str) -> bool:
    """Does the workload change what is on its target?"""
    return rw.partition(":")[0] in WRITES


def check_workload(rw: str) -> None:
    """Refuse a workload that is not in WORKLOADS, or a mix that is not a percentage."""
    kind, colon, reads = rw.partition(":")
    if kind not in WORKLOADS:
        raise refuse(f"--rw {rw}: no such workload", f"Choose from {', '.join(WORKLOADS)}.")
    if colon and not (kind in MIXED and reads.isdigit() and 0 < int(reads) < 100):
        raise refuse(f"--rw {rw}: only {', '.join(MIXED)} take a share of reads, 1 to 99",
                     "For example --rw randrw:70")


@dataclass(frozen=True)
class Job:
    """What fio is to do, whoever does it."""

    rw: str
    block_size: int
    depth: int
    direct: bool
    size: int
    runtime_ms: int
    ramp_ms: int
    cpus: tuple[int, ...]  # each job on one of them
    random_seed: int
    numjobs: int = 1
    ios: int = 0  # when set, so many I/Os of each job instead of the run time
    # jobs that run at the same time, with options of their own: a user's job file
    sections: tuple[tuple[str, tuple[str, ...]], ...] = ()
    changes: bool = False  # with sections: whether one of them writes

    def options(self) -> list[str]:
        # fio reads --runtime=0.7 as 0: milliseconds. Sizes are whole blocks.
        own = [*self._workload(), f"--bs={self.block_size}", f"--iodepth={self.depth}"]
        options = [*([] if self.sections else own), f"--direct={int(self.direct)}",
                   f"--size={self.size // self.block_size * self.block_size}",
                   *self._extent(), f"--cpus_allowed={','.join(map(str, self.cpus))}",
                   f"--randseed={self.random_seed}"]
        if self.sections:
            return options if self.changes else [*options, "--readonly"]
        if self.numjobs > 1:
            options += [f"--numjobs={self.numjobs}", "--group_reporting",
                        "--cpus_allowed_policy=split"]
        return options if writes(self.rw) else [*options, "--readonly"]

    def _workload(self) -> list[str]:
        kind, _, reads = self.rw.partition(":")
        return [f"--rw={kind}", *([f"--rwmixread={reads}"] if reads else [])]

    def _extent(self) -> list[str]:
        if self.ios:
            return [f"--number_ios={self.ios}"]
        ramp = [f"--ramp_time={self.ramp_ms}ms"] if self.ramp_ms else []
        return [f"--runtime={self.runtime_ms}ms", "--time_based", *ramp]

    def seconds(self) -> float:
        return (self.runtime_ms + self.ramp_ms) / 1000


@dataclass(frozen=True)
class Outcome:
    """What fio measured in one process; times in ns."""

    ios: int
    iops: float
    mean: float
    stddev: float
    min: int
    max: int
    user_cpu: float
    system_cpu: float
    context_switches: int
    latency: Histogram
    within: Within | None = None


def command(job: Job, engine_options: list[str], target_options: list[str],
            program: str = "fio") -> list[str]:
    """fio's command line; the target has the last word."""
    if job.sections:
        return [program, *OUTPUT_OPTIONS, "--name=global", "--group_reporting", *COMMON_OPTIONS,
                *engine_options, *job.options(), *target_options,
                *(word for name, own in job.sections for word in (f"--name={name}", *own))]
    return [program, *DEFAULT_OPTIONS, *engine_options, *job.options(), *target_options]


def run(argv: list[str], seconds: float, log_ms: int = 0) -> Outcome:
    """Run fio and read its figures, and if asked what happened in each interval of the run;
    BenchError with fio's own message when it fails."""
    with over_time.logged(log_ms) as (options, read):
        # before the first --name, so that they are for all jobs
        found = outcome(*answer([argv[0], *options, *argv[1:]], seconds))
        return replace(found, within=read())


def answer(argv: list[str], seconds: float) -> tuple[dict[str, Any], str]:
    """Run fio: what it says of its job, unread, and what it printed besides."""
    status, output, errors = _run_process(argv, seconds + START_STOP_SECONDS)
    noise, answer = _split(output)
    words = _words(errors + "\n" + noise)
    if status != 0 or answer is None:
        raise BenchError(f"fio failed: {words or f'exit status {status}, no message'}",
                         _remedy(words))
    jobs = answer.get("jobs", answer.get("client_stats"))  # the latter of a client's server
    if not jobs:
        raise BenchError(f"fio failed: {words or 'there is no job in its answer'}", _remedy(words))
    job = jobs[0]
    if job["error"]:
        raise BenchError(f"fio failed: {words or os.strerror(job['error'])}", _remedy(words))
    return job, words


def _run_process(argv: list[str], timeout: float) -> tuple[int, str, str]:
    # In a session of its own: Ctrl-C comes to us alone, and we end fio in good order.
    try:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
    except OSError as error:
        raise BenchError(f"cannot run {argv[0]}: {error.strerror}", "Run scripts/setup.") from error
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise BenchError(f"fio did not end within {timeout:.0f} s: {' '.join(argv)}",
                         "Run this command by hand to see where it hangs.") from None
    except BaseException:
        _end(process)
        raise
    return process.returncode, output, errors


def _end(process: subprocess.Popen[str]) -> None:
    """End fio and its children: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.communicate(timeout=KILL_AFTER_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _split(output: str) -> tuple[str, dict[str, Any] | None]:
    """fio may print messages before its JSON: (messages, JSON value or None)."""
    start = 0 if output.startswith("{") else output.find("\n{") + 1
    if not output.startswith("{", start):
        return output, None
    try:
        return output[:start], json.loads(output[start:])
    except json.JSONDecodeError:
        return output[:start], None


def _words(text: str) -> str:
    """fio's message on one line, without its "fio:" prefixes and repetitions."""
    lines = [line.strip().removeprefix("fio: ") for line in text.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line))[:600]


def _remedy(words: str) -> str:
    if "bad ioops version" in words:
        return ("The library was built for another fio than the one in PATH: "
                "run scripts/setup, then rebuild.")
    if "not loadable" in words or "invalid external ioengine" in words:
        return "The engine is missing or built without fio: run scripts/setup, then rebuild."
    return ""


def outcome(job: dict[str, Any], words: str) -> Outcome:
    """The figures in fio's answer."""
    sides = [job[name] for name in DIRECTIONS if job.get(name, {}).get("lat_ns", {}).get("N")]
    if not sides:
        # An engine that fails after its set-up can leave exit status 0 and no I/O.
        raise BenchError(f"fio did no I/O{': ' + words if words else ''}",
                         "Run the command of --dry-run by hand to see more.")
    counts: dict[int, int] = {}
    for side in sides:
        for value, count in side["lat_ns"].get("bins", {}).items():
            counts[int(value)] = counts.get(int(value), 0) + count
    bins = sorted(counts)
    mean, stddev = _pool([side["lat_ns"] for side in sides])
    return Outcome(
        ios=sum(side["total_ios"] for side in sides), iops=sum(side["iops"] for side in sides),
        mean=mean, stddev=stddev,
        min=min(side["lat_ns"]["min"] for side in sides),
        max=max(side["lat_ns"]["max"] for side in sides),
        user_cpu=job["usr_cpu"], system_cpu=job["sys_cpu"], context_switches=job["ctx"],
        latency=Histogram(bins, [counts[value] for value in bins]))


def _pool(sides: list[dict[str, float]]) -> tuple[float, float]:
    """Mean and standard deviation over several directions, from those of each."""
    total = sum(side["N"] for side in sides)
    mean = sum(side["N"] * side["mean"] for side in sides) / total
    square = sum(side["N"] * (side["stddev"] ** 2 + side["mean"] ** 2) for side in sides) / total
    return mean, math.sqrt(max(0.0, square - mean ** 2))
