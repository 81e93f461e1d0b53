# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs of the programs, in turns."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from ..errors import BenchError
from ..machine.quiet import LoadMeter
from ..measure.schedule import Block, blocks
from ..progress import Progress
from . import pairs, programs

SECONDS = 600  # more than a run ever takes: then it hangs
TIME = "time"  # GNU's: how much memory a process had at most, without that of who started it
MAX_LOAD = 0.05
CHUNK = 1 << 20


@dataclass(frozen=True)
class Copy:
    """One process that copied."""

    pair: str
    content: str
    program: str
    round: int
    position: int
    seconds: float  # until the copy was on stable storage
    cpu_seconds: float
    peak_bytes: int
    calm: bool


@dataclass(frozen=True)
class Cost:
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def run(name: str, argv: list[str], ends: pairs.Ends) -> Cost:
    """Copy once."""
    ends.prepare()
    with tempfile.NamedTemporaryFile("r") as figures, tempfile.TemporaryFile("w+") as words:
        begin = time.monotonic()
        process = subprocess.Popen([TIME, "-f", "%M", "-o", figures.name, *argv], text=True,
                                   stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                                   start_new_session=True)
        usage = _wait(process)
        if process.returncode:
            words.seek(0)
            said = " ".join(words.read().split())[-400:]
            raise BenchError(f"{name} failed: {said or process.returncode}")
        _to_storage(ends.destination)
        seconds = time.monotonic() - begin
        return Cost(seconds, usage.ru_utime + usage.ru_stime, int(figures.read()) << 10)


def _wait(process: subprocess.Popen[str]) -> resource.struct_rusage:
    """What it used, with its children. It does not outlive us."""
    watch = threading.Timer(SECONDS, os.killpg, (process.pid, signal.SIGKILL))
    watch.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        watch.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _to_storage(path: str) -> None:
    """Some have done it already, and lose nothing here."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def check(name: str, ends: pairs.Ends) -> None:
    """A fast copy that differs is none."""
    with open(ends.source, "rb") as source, open(ends.destination, "rb") as copy:
        while block := source.read(CHUNK):
            if copy.read(len(block)) != block:
                raise BenchError(f"{name} made a copy that differs, within 1 MiB of offset "
                                 f"{source.tell() - len(block)}")


def case(pair: str, content: str, build: Path, size: int, rounds: int, seed: int,
         progress: Progress) -> list[Copy]:
    """All rounds of one pair and content, after a run of each program that does not count."""
    with pairs.made(pair, content, build, size) as ends:
        commands = programs.commands(ends, build)
        for name, argv in commands.items():
            run(name, argv, ends)
            check(name, ends)
        found: list[Copy] = []
        for block in blocks({(pair, content): list(commands)}, rounds, seed):
            found += _block(block, commands, ends, progress)
        return found


def _block(block: Block[tuple[str, str]], commands: dict[str, list[str]], ends: pairs.Ends,
           progress: Progress) -> list[Copy]:
    pair, content = block.case
    meter, costs = LoadMeter(*ends.sessions), []
    for name in block.order:
        costs.append(run(name, commands[name], ends))
        progress.step(f"{pair}, {content}: {name} {costs[-1].seconds * 1e3:.0f} ms")
    calm = meter.share() <= MAX_LOAD
    return [Copy(pair, content, name, block.round, place, cost.seconds, cost.cpu_seconds,
                 cost.peak_bytes, calm)
            for place, (name, cost) in enumerate(zip(block.order, costs))]
