# SPDX-License-Identifier: MIT OR Apache-2.0
"""System calls per I/O: the one cost that needs no quiet machine to be compared.

fio runs twice, the second time with twice as many I/Os; the difference is free of what starting
and stopping costs. perf counts at full speed, so nothing waits that would not wait otherwise.
"""

from __future__ import annotations

import shutil
import tempfile
from typing import Callable

from . import fio
from .errors import BenchError

EVENT = "raw_syscalls:sys_enter"
PERF = ("perf", "stat", "--field-separator", ",", "--event", EVENT, "--output")
IOS = 4000
FEWEST_IOS = 400  # with fewer, fio's own housekeeping shows
SECONDS = 60  # for so many I/Os, on the slowest of devices


def per_io(argv: Callable[[int], list[str]], most_ios: int) -> float | None:
    """System calls per I/O of argv(number of I/Os); None where they cannot be counted."""
    ios = min(IOS, most_ios // 2)
    if shutil.which(PERF[0]) is None or ios < FEWEST_IOS:
        return None
    try:
        few, many = _count(argv(ios)), _count(argv(2 * ios))
    except BenchError:
        return None  # perf is not permitted: who cannot run at all has been found by the trial
    return round((many - few) / ios, 2) if few is not None and many is not None else None


def _count(argv: list[str]) -> int | None:
    with tempfile.NamedTemporaryFile("r") as log:
        fio.run([*PERF, log.name, *argv], SECONDS)
        return parse(log.read())


def parse(log: str) -> int | None:
    """The count in perf's output, None when perf did not count."""
    for line in log.splitlines():
        fields = line.split(",")
        if EVENT in fields and fields[0].isdigit():
            return int(fields[0])
    return None
