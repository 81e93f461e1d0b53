# SPDX-License-Identifier: MIT OR Apache-2.0
"""System calls per I/O: the one cost that needs no quiet machine to be compared.

fio runs twice, the second time with twice as many I/Os; the difference is free of what starting
and stopping costs. That is the same for like cases, so it is found once for them. perf counts at full speed, so nothing waits that would not wait otherwise; it
needs root. Else strace counts, slowly.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from typing import Callable

from ..errors import BenchError
from . import fio

STRACE = ("strace", "--follow-forks", "--summary-only", "--output")
EVENT = "raw_syscalls:sys_enter"
PERF = ("perf", "stat", "--field-separator", ",", "--event", EVENT, "--output")
IOS = 4000
FEWEST_IOS = 400  # with fewer, fio's own housekeeping shows
SECONDS = 60  # for so many I/Os, on the slowest of devices


@dataclass(frozen=True)
class Calls:
    per_io: float
    start: int  # that starting and stopping costs


def per_io(argv: Callable[[int], list[str]], most_ios: int,
           start: int | None = None) -> Calls | None:
    """System calls of argv(number of I/Os), with `start` known of a like case or not; None where
    they cannot be counted."""
    ios = min(IOS, most_ios // 2)
    if ios < FEWEST_IOS:
        return None
    for tool, read in ((PERF, parse), (STRACE, parse_summary)):
        if shutil.which(tool[0]) is None:
            continue
        try:
            many = _count(tool, argv(2 * ios), read)
            few = _count(tool, argv(ios), read) if start is None and many is not None else None
        except BenchError:
            continue  # not permitted: who cannot run at all has been found by the trial
        if many is not None and few is not None:
            start = 2 * few - many
        if many is not None and start is not None:
            return Calls(round((many - start) / (2 * ios), 2), start)
    return None


def _count(tool: tuple[str, ...], argv: list[str],
           read: Callable[[str], int | None]) -> int | None:
    with tempfile.NamedTemporaryFile("r") as log:
        fio.run([*tool, log.name, *argv], SECONDS)
        return read(log.read())


def parse_summary(log: str) -> int | None:
    """The count in strace's table: its last line, "100.00 seconds usecs calls errors total"."""
    fields = log.split("\n")[-2].split() if log.count("\n") else []
    if len(fields) < 5 or fields[-1] != "total":
        return None
    return int(fields[3])


def parse(log: str) -> int | None:
    """The count in perf's output, None when perf did not count."""
    for line in log.splitlines():
        fields = line.split(",")
        if EVENT in fields and fields[0].isdigit():
            return int(fields[0])
    return None
