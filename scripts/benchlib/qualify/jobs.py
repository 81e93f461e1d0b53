# SPDX-License-Identifier: MIT OR Apache-2.0
"""One measurement: from a Workload to fio's command line, and from fio's answer to a Point."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..errors import BenchError
from ..measure import fio, over_time
from ..measure.engines import Engine
from ..measure.targets import Target
from ..result.model import Histogram
from ..stats import histograms
from .model import Device, Point, Workload
from .place import Here, Place

LOGGED_MS, LEAST_LOG_MS, LOG_INTERVALS = 1000, 100, 60
LEAST_RATE = 1 << 20  # bytes per second: a device slower than this hangs


@dataclass(frozen=True)
class Extent:
    """How far a measurement goes: for a time, or over a stretch of the device."""

    runtime_ms: int = 0
    ramp_ms: int = 0
    offset: int = 0
    size: int = 0  # of the stretch; 0: the whole target
    ios: int = 0  # when set, so many, whatever time it takes


@dataclass
class Bench:
    """Where and with which engine to measure, and the clock of the measurements."""

    device: Device
    target: Target
    engine: Engine  # that does the I/O unless a step says otherwise
    cpus: list[int]
    place: Place = field(default_factory=Here)
    begin: float = field(default_factory=time.monotonic)  # of the qualification
    spent: float = 0.0  # in earlier sittings

    def now(self) -> float:
        """Seconds of measuring since the qualification began."""
        return self.spent + time.monotonic() - self.begin

    def command(self, work: Workload, extent: Extent, seed: int, engine: Engine,
                reach: list[str], more: list[str]) -> list[str]:
        job = fio.Job(rw=work.rw, block_size=work.block_size, depth=work.depth, direct=True,
                      size=extent.size or self.target.size, runtime_ms=extent.runtime_ms,
                      ramp_ms=extent.ramp_ms, cpus=tuple(self.cpus[-work.numjobs:]),
                      random_seed=seed, numjobs=work.numjobs, ios=extent.ios)
        split = [f"--bssplit={work.split}"] if work.split else []
        offset = [f"--offset={extent.offset}"] if extent.offset else []
        command = fio.command(job, engine.options, reach, engine.program or "fio")
        return [*command, *split, *offset, *more]

    def measure(self, work: Workload, extent: Extent, round_number: int, seed: int,
                engine: Engine | None = None,
                more: tuple[str, ...] = ()) -> tuple[Point, Histogram]:
        """Run fio once; BenchError when it fails."""
        who = engine or self.engine
        interval = log_interval(extent.runtime_ms) if self.place.keeps_logs else 0
        meter, at = self.place.meter(), self.now()
        with who.reach(self.target) as reach, over_time.logged(interval) as (logs, read):
            argv = self.command(work, extent, seed, who, reach, [*more, *logs])
            answer, words = self.place.answer(argv, _patience(work, extent))
            within = read()
        outcome = fio.outcome(answer, words)
        if not outcome.latency.counts:
            raise BenchError("fio told no latencies", "Try the command by hand.")
        point = Point(
            at=round(at, 3), round=round_number, workload=work, engine=who.name,
            ios=outcome.ios, iops=outcome.iops,
            bandwidth=float(sum(answer[side]["bw_bytes"] for side in fio.DIRECTIONS)),
            mean=outcome.mean, stddev=outcome.stddev, min=outcome.min, max=outcome.max,
            p99=histograms.percentile(outcome.latency, 99), user_cpu=outcome.user_cpu,
            system_cpu=outcome.system_cpu, other_load=round(meter.share(), 4),
            temperature_c=self.place.temperature(self.device),
            written=sum(answer[side]["io_bytes"] for side in ("write", "trim")), within=within)
        return point, outcome.latency


def log_interval(runtime_ms: int) -> int:
    """Of the logs within a run, in ms; 0 for a run that is too short."""
    return max(LEAST_LOG_MS, runtime_ms // LOG_INTERVALS) if runtime_ms >= LOGGED_MS else 0


def _patience(work: Workload, extent: Extent) -> float:
    """How long fio may take before it counts as hung."""
    if extent.ios:
        return extent.ios * work.block_size / LEAST_RATE
    return (extent.runtime_ms + extent.ramp_ms) / 1000
