# SPDX-License-Identifier: MIT OR Apache-2.0
"""The steps, in their order: what each does and why, how long it takes, how much it writes.

Order matters. What reads comes after what fills; trims come last, since reading what was trimmed
says nothing; integrity writes its own data.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace

from ..measure import fio
from ..result import words
from .model import Device, Plan, Step, Workload
from .profiles import GIB, KIB, MIB, Profile
from .steady import WINDOW

FIO_START_SECONDS = 0.4  # what a fio process takes beside its run time
DEPTH = 32  # of steps that want throughput
FILL_PASSES = 2
LEAST_CHUNK, MOST_CHUNK, CHUNKS = 64 * MIB, 16 * GIB, 32
# SNIA's composite of an OLTP-like load: many small, some large
MIXED_SPLIT = "4k/50:8k/20:16k/10:64k/15:128k/5"
NAMES = ("purge", "fill", "iops", "throughput", "fill-random", "latency", "depth", "mixed", "qos",
         "drivers", "saturation", "trim", "integrity")  # of all steps, in their order
READING = ("iops", "throughput", "latency", "depth", "qos", "drivers")  # with --read-only


@dataclass(frozen=True)
class Guess:
    """What a device may write, to tell how long a plan takes."""

    rate: float  # bytes per second, large blocks
    iops: float

    def of(self, workload: Workload) -> float:
        return min(self.rate, self.iops * workload.block_size)


GUESSES = {"nvme": Guess(2e9, 200e3), "scsi": Guess(400e6, 50e3)}
OTHERWISE = Guess(400e6, 25e3)


@dataclass(frozen=True)
class Timing:
    """Of a step that goes round by round."""

    runtime_ms: int = 0  # of one measurement
    ramp_ms: int = 0
    least_rounds: int = 1
    most_rounds: int = 1


@dataclass(frozen=True)
class StepSpec:
    """A step with all that it takes to do it."""

    name: str
    kind: str
    title: str
    purpose: str
    workloads: list[Workload]
    timing: Timing = Timing()
    amount: int = 0  # bytes to write, read back or trim, for steps that end with an amount
    track: list[tuple[Workload, str]] = field(default_factory=list)  # steady: metric of workload
    skip: str = ""  # why this device does without

    @property
    def destructive(self) -> bool:
        return any(fio.writes(workload.rw) for workload in self.workloads)

    def planned(self, guess: Guess, ways: int) -> Step:
        """The step with its estimates; `ways` is how many drivers there are to compare."""
        ways = ways if self.kind == "drivers" else 1
        least, written = self._cost(guess, self.timing.least_rounds, ways)
        most, _ = self._cost(guess, self.timing.most_rounds, ways)
        return Step(self.name, self.kind, self.title, self.purpose, self.destructive,
                    estimate_seconds=0.0 if self.skip else round(least, 1),
                    most_seconds=0.0 if self.skip else round(most, 1),
                    estimate_written=0 if self.skip else round(written),
                    state="skipped" if self.skip else "planned", reason=self.skip)

    def _cost(self, guess: Guess, rounds: int, ways: int) -> tuple[float, float]:
        """Seconds and bytes written."""
        if self.amount:
            directions = 2 if self.kind == "integrity" else 1
            parts = -(-self.amount // chunk_size(self.amount)) * directions * len(self.workloads)
            seconds = sum(self.amount * directions / guess.of(w) for w in self.workloads)
            return seconds + parts * FIO_START_SECONDS, self.amount * len(self.workloads)
        one = (self.timing.runtime_ms + self.timing.ramp_ms) / 1000
        processes = rounds * len(self.workloads) * ways
        written = rounds * one * sum(guess.of(w) * write_share(w) for w in self.workloads)
        return processes * (one + FIO_START_SECONDS), written


def title(plan: Plan) -> str:
    """The profile's name, with the scale where it is not done in full."""
    return plan.profile if plan.scale == 1 else f"{plan.profile} SCALED by {plan.scale:g}"


def guess_for(device: Device) -> Guess:
    return GUESSES.get(device.kind, OTHERWISE)


def chunk_size(amount: int) -> int:
    """Long work is done in chunks: progress to show, speed over time, an end on Ctrl-C."""
    wanted = max(LEAST_CHUNK, min(MOST_CHUNK, amount // CHUNKS))
    return wanted // MIB * MIB


def write_share(workload: Workload) -> float:
    kind, _, reads = workload.rw.partition(":")
    if not fio.writes(kind):
        return 0.0
    return 1 - int(reads or 50) / 100 if kind in fio.MIXED else 1.0


def label(workload: Workload) -> str:
    """4 KiB random reads, depth 32"""
    size = "mixed sizes," if workload.split else words.block_size(workload.block_size)
    jobs = f", {workload.numjobs} jobs" if workload.numjobs > 1 else ""
    return f"{size} {words.workload(workload.rw)}, depth {workload.depth}{jobs}"


def mix(reads: int, sequential: bool = False) -> str:
    """fio's rw for a percentage of reads."""
    if reads in (0, 100):
        return ("" if sequential else "rand") + ("read" if reads else "write")
    return f"{'rw' if sequential else 'randrw'}:{reads}"


def specs(profile: Profile, device: Device, extent: int, read_only: bool,
          no_trim: str) -> list[StepSpec]:
    """All steps for a device; `no_trim` says why trims are left out, or is empty."""
    everything = [*_preparation(profile, extent, no_trim), _iops(profile),
                  _throughput(profile), _random_fill(profile, extent), _latency(profile),
                  _curve(profile), _mixed(profile), _tail(profile), _drivers(profile),
                  _saturation(profile), _trim(profile, no_trim), _integrity(profile, extent)]
    possible = [_fitting(spec, device.logical_block) for spec in everything]
    return [_reading(spec) for spec in possible if _reading(spec).workloads] if read_only \
        else possible


def _fitting(spec: StepSpec, unit: int) -> StepSpec:
    """Without block sizes that the device cannot do."""
    return _only(spec, [w for w in spec.workloads if w.block_size % unit == 0])


def _reading(spec: StepSpec) -> StepSpec:
    return _only(spec, [w for w in spec.workloads if not fio.writes(w.rw)])


def _only(spec: StepSpec, workloads: list[Workload]) -> StepSpec:
    """The step with these of its workloads; a steady state is then looked for in one of them."""
    if workloads == spec.workloads:
        return spec
    track = [(w, metric) for w, metric in spec.track if w in workloads]
    if spec.track and not track and workloads:
        track = [(workloads[0], spec.track[0][1])]
    return replace(spec, workloads=workloads, track=track)


def _jobs(profile: Profile) -> int:
    return min(profile.numjobs, len(os.sched_getaffinity(0)))


def _until_steady(profile: Profile) -> Timing:
    return Timing(profile.runtime_ms, profile.ramp_ms, WINDOW, profile.most_rounds)


def _times(profile: Profile, rounds: int) -> Timing:
    return Timing(profile.runtime_ms, profile.ramp_ms, rounds, rounds)


def _preparation(profile: Profile, extent: int, no_trim: str) -> list[StepSpec]:
    return [
        StepSpec("purge", "purge", "Purge: trim everything",
                 "Begin from the same state whatever was done to the device before.",
                 [Workload("trim", MIB, 4)], amount=extent, skip=no_trim),
        StepSpec("fill", "fill", f"Fill: {FILL_PASSES} times, in sequence",
                 "Empty flash answers without working; SNIA asks for twice its capacity.",
                 [Workload("write", 128 * KIB, DEPTH)], amount=FILL_PASSES * extent),
    ]


def _random_fill(profile: Profile, extent: int) -> StepSpec:
    share = profile.random_fill
    amount = max(MIB, round(extent * share) // MIB * MIB)
    return StepSpec("fill-random", "fill", f"Fill: {share:g} times, at random",
                    "Scattered writes leave the map of the flash as small requests find it in use.",
                    [Workload("randwrite", 4 * KIB, DEPTH)], amount=amount)


def _iops(profile: Profile) -> StepSpec:
    jobs = _jobs(profile)
    cells = [Workload(mix(reads), size, DEPTH, jobs)
             for reads in profile.iops_reads for size in sorted(profile.iops_sizes, reverse=True)]
    return StepSpec("iops", "iops", "IOPS: sizes by mixes",
                    "What a saturated device does, in steady state.", cells,
                    _until_steady(profile),
                    track=[(Workload("randwrite", 4 * KIB, DEPTH, jobs), "iops")])


def _throughput(profile: Profile) -> StepSpec:
    cells = [Workload(rw, size, DEPTH) for size in profile.sequential_sizes
             for rw in ("write", "read")]
    return StepSpec("throughput", "throughput", "Throughput: large blocks in sequence",
                    "Copies, backups, scans.", cells, _until_steady(profile),
                    track=[(cell, "bandwidth") for cell in cells])


def _latency(profile: Profile) -> StepSpec:
    cells = [Workload(mix(reads), size, 1) for reads in (100, 65, 0)
             for size in (512, 4 * KIB, 8 * KIB)]
    return StepSpec("latency", "latency", "Latency: one request at a time",
                    "What a program waits for that does one thing after the other.", cells,
                    _until_steady(profile), track=[(Workload("randwrite", 4 * KIB, 1), "mean")])


def _curve(profile: Profile) -> StepSpec:
    return StepSpec("depth", "depth", "Depth: IOPS against latency",
                    "Where more requests at a time stop paying.",
                    [Workload("randread", 4 * KIB, depth) for depth in profile.depths],
                    _times(profile, profile.curve_rounds))


def _mixed(profile: Profile) -> StepSpec:
    cell = Workload("randrw:60", 4 * KIB, DEPTH, _jobs(profile), MIXED_SPLIT)
    return StepSpec("mixed", "mixed", "Mixed: five sizes, 60 % reads",
                    "Programs do not keep to one size.", [cell], _until_steady(profile),
                    track=[(cell, "iops")])


def _tail(profile: Profile) -> StepSpec:
    return StepSpec("qos", "qos", "Tail: the slowest of many",
                    "The rare slow answer is what users notice.",
                    [Workload("randread", 4 * KIB, 1), Workload("randrw:65", 4 * KIB, 8)],
                    Timing(profile.tail_ms, profile.ramp_ms, profile.tail_rounds, profile.tail_rounds))


def _drivers(profile: Profile) -> StepSpec:
    return StepSpec("drivers", "drivers", "Drivers: the ways to reach it",
                    "Which way of libblkio's suits this device, next to fio's own engine.",
                    [Workload("randread", 4 * KIB, depth) for depth in (1, DEPTH)],
                    _times(profile, profile.driver_rounds))


def _saturation(profile: Profile) -> StepSpec:
    cell = Workload("randwrite", 4 * KIB, DEPTH, _jobs(profile))
    return StepSpec("saturation", "saturation", "Write saturation: random writes without a pause",
                    "Shows when caches fill up and cleaning begins.", [cell],
                    Timing(profile.saturation_ms, 0, profile.saturation_windows,
                           profile.saturation_windows), track=[(cell, "iops")])


def _trim(profile: Profile, no_trim: str) -> StepSpec:
    return StepSpec("trim", "trim", "Trim: small, large, and before writes",
                    "Filesystems trim while programs wait.",
                    [Workload("randtrim", 4 * KIB, 1), Workload("trim", MIB, 1),
                     Workload("trimwrite", 64 * KIB, 4)],
                    _times(profile, profile.curve_rounds), skip=no_trim)


def _integrity(profile: Profile, extent: int) -> StepSpec:
    amount = min(extent, profile.verify_bytes or extent)
    return StepSpec("integrity", "integrity", "Integrity: write, read back, compare",
                    "Wrong data fast is worth nothing.",
                    [Workload("randwrite", 4 * KIB, 16), Workload("write", 128 * KIB, 8)],
                    amount=amount)
