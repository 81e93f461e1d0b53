# SPDX-License-Identifier: MIT OR Apache-2.0
"""Keeping the machine steady: one CPU for fio's job, no deep sleep, an eye on other load."""

from __future__ import annotations

import os
import resource
import struct
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Collection, Iterator

from .blockdev import read_text

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
KERNEL_THREADS_PARENT = "2"
LATENCY_REQUEST = Path("/dev/cpu_dma_latency")


def allowed_cpus() -> set[int]:
    return os.sched_getaffinity(0)


def choose_cpus(jobs: int = 1) -> list[int]:
    """CPUs for fio's jobs: the last we may use, far from CPU 0 that serves most interrupts."""
    return sorted(allowed_cpus())[-jobs:]


@contextmanager
def stay_off(cpus: Collection[int]) -> Iterator[None]:
    """Keep this process, and what it starts, off `cpus` where others are left; fio moves its jobs
    there by itself."""
    allowed = allowed_cpus()
    if allowed - set(cpus):
        os.sched_setaffinity(0, allowed - set(cpus))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def no_deep_sleep() -> Iterator[bool]:
    """Ask the kernel for idle states that wake up at once, for as long as this is entered.

    Without it waking up takes one of two very different times, by chance. Gives False when not
    permitted (it takes root).
    """
    try:
        file = open(LATENCY_REQUEST, "wb", buffering=0)
    except OSError:
        yield False
        return
    with file:
        file.write(struct.pack("=i", 0))
        yield True


class LoadMeter:
    """How much of the machine others used since the meter was made.

    Others: user processes that are neither we nor our children nor of sessions that are named, and
    time stolen by a hypervisor. Kernel threads are left out, they may well be doing our I/O.
    """

    def __init__(self, *sessions: int) -> None:
        self._sessions = sessions
        self._start = _Usage(sessions)

    def share(self) -> float:
        """Others' share of all CPUs' time, 0 to 1."""
        end, start = _Usage(self._sessions), self._start
        elapsed = (end.time - start.time) * end.cpus
        others = ((end.busy - start.busy) - (end.ours - start.ours)
                  - (end.left_out - start.left_out))
        return min(1.0, max(0.0, others / elapsed)) if elapsed > 0 else 0.0


class _Usage:
    """CPU seconds used so far."""

    def __init__(self, sessions: tuple[int, ...]) -> None:
        self.time = time.monotonic()
        self.cpus = os.cpu_count() or 1
        self.busy = _busy_seconds()
        own, children = (resource.getrusage(who) for who in
                         (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        self.ours = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        self.left_out = _seconds_left_out(*sessions)


def _busy_seconds() -> float:
    fields = read_text(Path("/proc/stat")).split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, fields[:8])
    return (user + nice + system + steal) / TICKS_PER_SECOND


def _seconds_left_out(*sessions: int) -> float:
    """Of kernel threads; and of sessions, with their children that have ended."""
    ticks = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            # pid (command) state ppid pgrp session ...: the command may hold spaces and brackets
            fields = read_text(Path("/proc", name, "stat")).rpartition(")")[2].split()
            if fields and fields[1] == KERNEL_THREADS_PARENT:
                ticks += int(fields[11]) + int(fields[12])
            elif fields and int(fields[3]) and int(fields[3]) in sessions:
                ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS_PER_SECOND
