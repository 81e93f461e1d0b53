# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a result consists of. These classes are the JSON schema: results.py reads and writes
exactly their fields. A change of meaning or a field removed asks for a new SCHEMA number.

Times are nanoseconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEMA = "libblkio-bench/4"


@dataclass(frozen=True, order=True)
class Case:
    """A cell of the matrix: all that decides what fio does, but for who does it.

    words.case_label() says it in words.
    """

    target: str
    rw: str  # fio's rw; with the share of reads when it is not one half: randrw:70
    block_size: int
    depth: int  # of each job
    numjobs: int


@dataclass(frozen=True)
class Settings:
    """What was asked for."""

    workloads: list[str]  # values of Case.rw
    block_sizes: list[int]
    depths: list[int]
    numjobs: list[int]
    modes: list[str]
    rounds: int  # of each case; the least when there is `until`
    until: float | None  # more rounds until half the interval of every ratio is narrower
    budget: float | None  # seconds, after which no such round is begun
    runtime_ms: int
    ramp_ms: int
    seed: int
    cpus: list[int]  # that fio's jobs are pinned to, one each as far as they go
    max_load: float  # a round in which others used more of the machine is run again
    log_ms: int = 0  # the interval of Sample.within; 0: none


@dataclass(frozen=True)
class TargetInfo:
    name: str
    label: str
    kind: str  # page-cache, direct-file or block-device
    direct: bool
    size: int
    medium: str  # what holds the data: "tmpfs", "ext4 on vda", "NVMe disk: MODEL"
    path: str  # "" for a scratch file
    queue: dict[str, str]  # the device's /sys/block/*/queue settings that matter


@dataclass(frozen=True)
class EngineInfo:
    name: str  # MODE, or MODE@VARIANT when several builds or fios are compared
    label: str
    against: str  # the engine that it is compared with; "" for one that is only that
    build: str  # libblkio's version, "" for fio's own engines
    fio: str  # fio's version
    options: list[str]  # fio's, without the target
    ring_flags: list[str] | None  # io_uring_setup flags seen; None: not known


@dataclass(frozen=True)
class Skip:
    target: str
    engine: str
    reason: str


def left_out(skips: list[Skip]) -> list[str]:
    """What was not run and why, one line for all engines with the same reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for skip in skips:
        grouped.setdefault((skip.target, skip.reason), []).append(skip.engine)
    return [f"{' and '.join(dict.fromkeys(names))} on {target}: {reason}" if all(names)
            else f"{target}: {reason}" for (target, reason), names in grouped.items()]


@dataclass(frozen=True)
class Histogram:
    """fio's latency histogram: the middle of each bin in ns, ascending, and its count."""

    bins: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Within:
    """What happened within a run, in intervals: fio's logs. Intervals without I/O are missing."""

    interval_ms: int
    at: list[int]  # ms since the run began, the end of each interval
    iops: list[int]
    bandwidth: list[int]  # bytes per second
    latency: list[int]  # mean


@dataclass(frozen=True)
class Sample:
    """One fio process: one engine, once, in one round."""

    case: Case
    engine: str
    at: float | None  # seconds from the start of the measurement to the end of the round
    round: int
    position: int  # 0: ran first in its round
    calm: bool  # False: others disturbed the round and the retries were used up
    other_load: float  # share of the machine used by others during the round
    ios: int
    iops: float
    mean: float
    stddev: float
    min: int
    max: int
    user_cpu: float  # per cent of one CPU
    system_cpu: float
    context_switches: int
    latency: Histogram
    within: Within | None = None  # where it was asked for


@dataclass(frozen=True)
class Interval:
    """A median with the ends of its bootstrap confidence interval."""

    median: float
    low: float
    high: float
    confidence: float
    samples: int


@dataclass(frozen=True)
class Summary:
    """One engine in one case, over all its rounds."""

    case: Case
    engine: str
    rounds: int
    disturbed: int  # of these rounds, how many were disturbed
    mean: float  # median over rounds of the rounds' mean latency
    p50: float  # percentiles of the merged histograms
    p99: float
    iops: float  # median over rounds
    ratio: Interval | None  # mean latency relative to that of `against` in the same round
    verdict: str  # one of stats.VERDICTS


@dataclass(frozen=True)
class SystemCalls:
    """How many system calls an I/O takes, all of fio's process counted."""

    case: Case
    engine: str
    per_io: float


@dataclass(frozen=True)
class Environment:
    """What a reader must know to compare these figures with others."""

    fio: str
    libblkio: str
    libblkio_build: str
    kernel: str
    distribution: str
    cpu: str
    cpus: int
    threads_per_core: int
    numa_nodes: int
    virtualised: str
    memory_mib: int
    governor: str
    idle_states: str
    cpu_latency_held: bool
    clock: str
    mitigations: str
    python: str
    notes: list[str]


@dataclass(frozen=True)
class Result:
    schema: str
    complete: bool
    started: str  # UTC, ISO 8601
    seconds: float
    settings: Settings
    environment: Environment
    targets: list[TargetInfo]
    engines: list[EngineInfo]
    skips: list[Skip]
    summaries: list[Summary]
    system_calls: list[SystemCalls]  # where they could be counted
    retried_rounds: int
    samples: list[Sample]
