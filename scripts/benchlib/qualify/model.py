# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a qualification consists of. These classes are the schema of qualification.json, which
store.py reads and writes: exactly these fields. A change of meaning asks for a new SCHEMA number.

Times are nanoseconds unless the name says otherwise, sizes and rates are bytes and per second,
shares lie between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..result.model import Environment, Histogram, Interval, Within
from ..verdict import QUALIFY

SCHEMA = "libblkio-qualification/3"

# A check of the preflight, a step, a criterion and the whole each end in one of these.
CHECK_VERDICTS = ("ok", "warn", "refuse", "unknown")
STEP_STATES = ("planned", "running", "done", "partial", "failed", "skipped")
CRITERION_VERDICTS = ("pass", "fail", "unknown")
VERDICTS = QUALIFY.names


@dataclass(frozen=True)
class Device:
    """What is qualified; "" where the device does not say, with the reason in `unknown`."""

    path: str
    kind: str  # file, loop, nvme, virtio, scsi or block
    created: bool  # a file that qualify made
    name: str  # of the disk ("nvme0n1") or of the file
    medium: str  # "NVMe disk: MODEL", "ext4 on vda"
    model: str
    serial: str
    firmware: str
    size: int
    logical_block: int
    physical_block: int
    pci_address: str
    link: str  # "8.0 GT/s x4 of 16.0 GT/s x4"
    numa_node: int  # -1: none
    queue: dict[str, str]  # the /sys/block/*/queue settings that matter
    unknown: list[str]  # what could not be found out, and why


@dataclass(frozen=True)
class Health:
    """The device's own report; None for what it does not report."""

    taken: str  # UTC, ISO 8601
    source: str  # "NVMe SMART log", "ATA SMART, by smartctl", "hwmon", "none"
    unavailable: str  # why something is missing, or ""
    critical_warning: int | None = None  # bits of the NVMe SMART log
    temperature_c: float | None = None
    warning_temperature_c: float | None = None
    spare: int | None = None  # per cent
    spare_threshold: int | None = None
    percentage_used: int | None = None
    data_read: int | None = None  # bytes, by the device's own count
    data_written: int | None = None
    power_cycles: int | None = None
    power_on_hours: int | None = None
    unsafe_shutdowns: int | None = None
    media_errors: int | None = None
    error_log_entries: int | None = None
    throttled_seconds: int | None = None  # above its warning or critical temperature, since ever
    # of SATA and SAS disks
    failing: int | None = None  # 1: the disk predicts its own failure
    reallocated_sectors: int | None = None  # SAS: grown defects
    pending_sectors: int | None = None  # cannot be read, and are not reallocated yet
    link_errors: int | None = None  # CRC errors on the cable
    worn_attributes: int | None = None  # below their threshold now


@dataclass(frozen=True)
class Check:
    """One question of the preflight."""

    name: str  # as --accept takes it
    title: str
    value: str
    verdict: str  # one of CHECK_VERDICTS
    accepted: bool  # "refuse", but the user goes on: the figures carry a caveat
    why: str  # why it matters
    remedy: str  # what to do about it, "" when all is well


@dataclass(frozen=True)
class Workload:
    """What fio is to do in one measurement."""

    rw: str  # fio's; with the share of reads when it is not one half: randrw:65
    block_size: int  # of a mix of sizes, the smallest
    depth: int  # of each job
    numjobs: int = 1
    split: str = ""  # a mix of sizes, as fio's bssplit


@dataclass(frozen=True)
class Point:
    """One fio process."""

    at: float  # seconds since the qualification began
    round: int
    workload: Workload
    engine: str  # who did the I/O: a mode of scripts/bench compare
    ios: int
    iops: float
    bandwidth: float  # bytes per second
    mean: float  # latency
    stddev: float
    min: int
    max: int
    p99: float
    user_cpu: float  # per cent of one CPU
    system_cpu: float
    other_load: float  # share of the machine used by other programs
    temperature_c: float | None  # of the device, afterwards
    written: int  # bytes written or trimmed, without warm-up
    within: Within | None = None  # of a run that is long enough


@dataclass(frozen=True)
class Percentile:
    percent: float
    value: float | None  # None: too few I/Os to say
    needed: int  # so many I/Os it takes


@dataclass(frozen=True)
class Cell:
    """A workload's figures over the rounds that count (the steady window where there is one)."""

    workload: Workload
    engine: str
    rounds: int
    ios: int
    iops: float
    bandwidth: float
    mean: float
    max: int
    percentiles: list[Percentile]
    latency: Histogram  # of all these rounds, merged


@dataclass(frozen=True)
class Steady:
    """The SNIA test of one series: a window of rounds that neither scatters nor drifts."""

    subject: str  # "4 KiB random write, IOPS"
    workload: Workload
    metric: str  # iops, bandwidth or mean
    values: list[float]  # one per round, in the metric's unit
    reached: bool
    most_rounds: int  # allowed before giving up
    first: int  # index into values where the window begins; the last one tried if not reached
    rounds: int  # in the window
    mean: float
    spread: float  # (max - min) / mean in the window; limit in steady.py
    drift: float  # excursion of the fitted line over the window / mean
    slope: float  # of the fitted line, per round
    intercept: float  # its value at round index 0


@dataclass(frozen=True)
class DriverRow:
    """One way to reach the device, and how it does one workload."""

    workload: Workload
    engine: str
    label: str
    obstacle: str  # why it could not, or ""
    rounds: int
    iops: float
    mean: float
    p99: float
    ratio: Interval | None  # mean latency relative to fio's own engine, round by round


@dataclass(frozen=True)
class Step:
    """One step of the plan, and what came of it."""

    name: str  # unique
    kind: str  # purge, fill, iops, throughput, latency, depth, mixed, saturation, trim, qos,
    # integrity or drivers
    title: str
    purpose: str
    destructive: bool
    estimate_seconds: float  # when steady states are reached soon
    most_seconds: float  # when they are not
    estimate_written: int
    state: str = "planned"  # one of STEP_STATES
    reason: str = ""  # why it failed, was skipped or is partial
    started: str = ""
    seconds: float = 0.0
    written: int = 0
    notes: list[str] = field(default_factory=list)  # how to read it: "steady state not reached"
    points: list[Point] = field(default_factory=list)  # in the order of time
    steady: list[Steady] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    drivers: list[DriverRow] = field(default_factory=list)
    verified: int = 0  # integrity: bytes read back and compared
    corrupt: list[str] = field(default_factory=list)  # integrity: what differed


@dataclass(frozen=True)
class Criterion:
    """One requirement and how it was met."""

    name: str  # "integrity", "health.media_errors", "latency.4k.randread.p99"
    requirement: str
    value: str
    verdict: str  # one of CRITERION_VERDICTS
    detail: str


@dataclass(frozen=True)
class Plan:
    """What was asked for; a resumed run must ask for the same."""

    profile: str
    scale: float  # of its times and sizes; 1: as the profile has them
    engine: str  # a mode of scripts/bench compare
    engine_label: str
    engine_options: list[str]
    extent: int  # bytes of the device that are used, from its start
    read_only: bool
    cpus: list[int]  # that fio's jobs are pinned to
    seed: int


@dataclass(frozen=True)
class Qualification:
    schema: str
    verdict: str  # one of VERDICTS
    reasons: list[str]  # of the verdict, one sentence each
    complete: bool  # every planned step was done or skipped for a reason of the device's
    started: str  # UTC, ISO 8601
    seconds: float  # spent measuring, over all sittings
    sittings: list[str]  # when it was begun and resumed, UTC
    plan: Plan
    environment: Environment
    device: Device
    health_before: Health
    health_after: Health | None
    checks: list[Check]
    caveats: list[str]  # what a reader of any figure must know
    steps: list[Step]
    criteria: list[Criterion]
