# SPDX-License-Identifier: MIT OR Apache-2.0
"""The profiles: how much of everything. What the steps are is said once, in plan.py; a profile only
gives the quantities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .steady import MOST_ROUNDS

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
LEAST_EXTENT = 16 * MIB  # less cannot be qualified


@dataclass(frozen=True)
class Profile:
    name: str
    summary: str
    file_size: int  # of a file that qualify makes
    most_extent: int | None  # of the device are used; None: all of it
    runtime_ms: int  # of one measurement
    ramp_ms: int
    most_rounds: int  # until a steady state is given up
    random_fill: float  # of the extent are overwritten at random
    iops_sizes: tuple[int, ...]
    iops_reads: tuple[int, ...]  # per cent of reads in each mix
    numjobs: int  # of the throughput-bound steps, at most one per CPU
    sequential_sizes: tuple[int, ...]
    depths: tuple[int, ...]
    curve_rounds: int  # of steps without a steady state to wait for
    saturation_windows: int
    saturation_ms: int  # each
    tail_rounds: int
    tail_ms: int  # each
    verify_bytes: int | None  # None: all
    driver_rounds: int


PROFILES = {profile.name: profile for profile in (
    Profile("smoke", "does everything once, on 256 MiB: minutes; its figures are a first look",
            file_size=256 * MIB, most_extent=256 * MIB, runtime_ms=400, ramp_ms=50, most_rounds=7,
            random_fill=0.1, iops_sizes=(4 * KIB, 64 * KIB), iops_reads=(100, 65, 0), numjobs=1,
            sequential_sizes=(128 * KIB,), depths=(1, 2, 4, 8, 16, 32), curve_rounds=2,
            saturation_windows=10, saturation_ms=500, tail_rounds=5, tail_ms=1000,
            verify_bytes=32 * MIB, driver_rounds=3),
    Profile("standard", "the whole device, half a day at most: for accepting one",
            file_size=8 * GIB, most_extent=None, runtime_ms=10000, ramp_ms=1000,
            most_rounds=MOST_ROUNDS, random_fill=0.5,
            iops_sizes=(4 * KIB, 8 * KIB, 64 * KIB, 128 * KIB), iops_reads=(100, 65, 35, 0),
            numjobs=4, sequential_sizes=(128 * KIB, MIB),
            depths=(1, 2, 4, 8, 16, 32, 64, 128), curve_rounds=3,
            saturation_windows=60, saturation_ms=30000, tail_rounds=20, tail_ms=30000,
            verify_bytes=8 * GIB, driver_rounds=7),
    Profile("full", "SNIA's quantities, a day or several: for comparing devices and publishing",
            file_size=32 * GIB, most_extent=None, runtime_ms=60000, ramp_ms=2000,
            most_rounds=MOST_ROUNDS, random_fill=2.0,
            iops_sizes=(512, 4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 128 * KIB, MIB),
            iops_reads=(100, 95, 65, 50, 35, 5, 0), numjobs=4,
            sequential_sizes=(128 * KIB, MIB),
            depths=(1, 2, 4, 8, 16, 32, 64, 128, 256), curve_rounds=5,
            saturation_windows=360, saturation_ms=60000, tail_rounds=60, tail_ms=60000,
            verify_bytes=None, driver_rounds=11),
)}

LEAST_MS = 20  # of one measurement, however much it is scaled down
SCALED_TIMES = ("runtime_ms", "ramp_ms", "saturation_ms", "tail_ms")
SCALED_SIZES = ("file_size", "most_extent", "verify_bytes")


def named(name: str, scale: float = 1.0) -> Profile:
    """The profile, with all its times and sizes scaled; the steps, workloads and rounds stay."""
    profile = PROFILES[name]
    if scale == 1:
        return profile
    times = {field: max(LEAST_MS, round(getattr(profile, field) * scale))
             for field in SCALED_TIMES}
    sizes = {field: max(LEAST_EXTENT, round(size * scale) // MIB * MIB)
             for field in SCALED_SIZES if (size := getattr(profile, field)) is not None}
    return replace(profile, **times, **sizes)


def scaled_extent(extent: int, scale: float) -> int:
    """So much of a device is used; what a profile or the user limits is scaled already."""
    return extent if scale == 1 else max(min(extent, LEAST_EXTENT), round(extent * scale))
