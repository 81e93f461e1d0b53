# SPDX-License-Identifier: MIT OR Apache-2.0
"""Instructions and system calls of a program per request: N and 2N requests are run, and what N more
cost is divided by N, so that starting and ending do not count."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from benchlib.measure import callgrind, syscalls  # noqa: E402


def instructions(command: list[str]) -> Optional[tuple[int, int]]:
    """User instructions of a whole run, and those in libblkio, by valgrind."""
    if not callgrind.present():
        return None
    with tempfile.NamedTemporaryFile("r") as profile:
        done = subprocess.run(callgrind.command(profile.name, command), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            return None
        costs = callgrind.costs_by_object(profile)
    return sum(costs.values()), sum(n for name, n in costs.items() if "libblkio" in name)


def calls(command: list[str]) -> Optional[tuple[int]]:
    """System calls of a whole run: by perf, at full speed, or else by strace."""
    for tool, read in ((syscalls.PERF, syscalls.parse), (syscalls.STRACE, syscalls.parse_summary)):
        if not shutil.which(tool[0]):
            continue
        with tempfile.NamedTemporaryFile("r") as log:
            done = subprocess.run([*tool, log.name, *command], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, check=False)
            count = None if done.returncode else read(log.read())
        if count is not None:
            return (count,)
    return None


def per_request(counter: Callable, command: Callable[[int], list[str]],
                n: int) -> tuple[Optional[float], ...]:
    """command(n) is the command line for n requests in one round."""
    once, twice = counter(command(n)), counter(command(2 * n))
    if once is None or twice is None:
        return None, None
    return tuple((b - a) / n for a, b in zip(once, twice))
