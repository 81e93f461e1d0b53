# SPDX-License-Identifier: MIT OR Apache-2.0
"""How cases, workloads, sizes and times are called in everything that people read."""

from __future__ import annotations

from typing import Iterable

from .model import Case

WORKLOADS = {
    "randread": "random reads", "read": "sequential reads", "randwrite": "random writes",
    "write": "sequential writes", "randrw": "random reads and writes",
    "rw": "sequential reads and writes", "readwrite": "sequential reads and writes",
    "randtrim": "random trims", "trim": "sequential trims",
}


def duration(nanoseconds: float) -> str:
    """With a unit and three significant digits: 738 ns, 1.13 µs, 50.8 µs, 2.40 ms."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f} {unit}"
    return f"{nanoseconds:.0f} ns"


def number(value: float) -> str:
    """Four significant digits, and never an exponent for what is large: 0.9713, 342, 40,290."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def counted(count: int, one: str, many: str) -> str:
    """1 entry, 2 entries"""
    return f"{count} {one if count == 1 else many}"


def block_size(size: int) -> str:
    """512-byte, 4 KiB, 1 MiB"""
    for unit, factor in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size}-byte"


def workload(rw: str) -> str:
    """random reads; random reads and writes, 70 % reads"""
    kind, _, reads = rw.partition(":")
    return WORKLOADS.get(kind, kind) + (f", {reads} % reads" if reads else "")


def case_label(case: Case, target: str = "") -> str:
    """page-cache, 4 KiB random reads, depth 32; jobs only when there are several. `target` may
    name the target better."""
    jobs = f", {case.numjobs} jobs" if case.numjobs > 1 else ""
    return (f"{target or case.target}, {block_size(case.block_size)} {workload(case.rw)}, "
            f"depth {case.depth}{jobs}")


def case_id(case: Case) -> str:
    """Short, without spaces, unique: page-cache/randread/512/qd1/j1."""
    return f"{case.target}/{case.rw}/{case.block_size}/qd{case.depth}/j{case.numjobs}"


def same_workload(cases: Iterable[Case]) -> str:
    """"512-byte random reads" when all cases do the same, else "". """
    found = {f"{block_size(case.block_size)} {workload(case.rw)}" for case in cases}
    return found.pop() if len(found) == 1 else ""
