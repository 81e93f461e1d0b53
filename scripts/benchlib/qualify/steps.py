# SPDX-License-Identifier: MIT OR Apache-2.0
"""How each kind of step is done. RUNNERS is the table: a runner takes a Running and measures.

Whatever ends a step early, Running.result() gives what is known so far.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
from dataclasses import dataclass, field
from typing import Callable

from ..errors import BenchError
from ..result import words
from ..result.model import Histogram
from . import cells, plan, steady
from .jobs import Bench, Extent
from .model import DriverRow, Point, Steady, Step, Workload
from .plan import StepSpec
from .profiles import MIB

VERIFY = ("--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--norandommap=0")
MOST_CORRUPT = 20  # stretches; then the step ends


@dataclass
class Running:
    """A step under way."""

    spec: StepSpec
    planned: Step
    bench: Bench
    seed: int
    report: Callable[["Running"], None]  # called after every measurement
    started: str = field(default_factory=lambda: datetime.datetime.now(
        datetime.timezone.utc).isoformat(timespec="seconds"))
    begin: float = field(default_factory=time.monotonic)
    points: list[Point] = field(default_factory=list)
    latencies: list[Histogram] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    drivers: list[DriverRow] = field(default_factory=list)
    verified: int = 0
    corrupt: list[str] = field(default_factory=list)

    def measure(self, work: Workload, extent: Extent, number: int, seed: int | None = None,
                more: tuple[str, ...] = ()) -> Point:
        point, latency = self.bench.measure(work, extent, number,
                                            self.next_seed() if seed is None else seed, more=more)
        self.keep(point, latency)
        return point

    def keep(self, point: Point, latency: Histogram) -> None:
        self.points.append(point)
        self.latencies.append(latency)
        self.report(self)

    def next_seed(self) -> int:
        """fio's seed, another one for each measurement."""
        return self.seed + len(self.points)

    def steadiness(self) -> list[Steady]:
        found = [cells.look(self.points, work, metric, _subject(work, metric),
                            self.spec.timing.most_rounds) for work, metric in self.spec.track]
        return [item for item in found if item]

    def result(self, state: str, reason: str = "") -> Step:
        """The step as it is now."""
        states = self.steadiness()
        first = states[0].first if states else 0
        notes = [*self.notes, *(_unsteady(item) for item in states if not item.reached)]
        return dataclasses.replace(
            self.planned, state=state, reason=reason, started=self.started,
            seconds=round(time.monotonic() - self.begin, 1),
            written=sum(point.written for point in self.points), notes=notes, points=self.points,
            steady=states, cells=cells.cells(self.points, self.latencies, first),
            drivers=self.drivers, verified=self.verified, corrupt=self.corrupt)


def _subject(work: Workload, metric: str) -> str:
    name = {"iops": "IOPS", "bandwidth": "throughput", "mean": "mean latency"}[metric]
    return f"{name} of {words.block_size(work.block_size)} {words.workload(work.rw)}"


def _unsteady(state: Steady) -> str:
    return (f"no steady state after {len(state.values)} rounds: {state.subject} scatters by "
            f"{state.spread:.0%} (at most {steady.MOST_SPREAD:.0%}) and drifts by "
            f"{state.drift:.0%} (at most {steady.MOST_DRIFT:.0%}) of its mean")


# ---- Over the device: purge, fill -------------------------------------------------------------


def sweep(step: Running) -> None:
    """An amount of one workload, chunk by chunk."""
    whole = step.bench.target.size
    chunk = plan.chunk_size(step.spec.amount)
    for work in step.spec.workloads:
        done = 0
        while done < step.spec.amount:
            offset = done % whole
            length = min(chunk, step.spec.amount - done, whole - offset)
            ios = max(1, length // work.block_size)
            extent = Extent(ios=ios) if work.rw.startswith("rand") else \
                Extent(ios=ios, offset=offset, size=length)
            step.measure(work, extent, done // whole)
            done += length


# ---- Round by round ---------------------------------------------------------------------------


def rounds(step: Running) -> None:
    """All workloads, again and again, until what is tracked is steady or the rounds are used up."""
    spec, timing = step.spec, step.spec.timing
    extent = Extent(timing.runtime_ms, timing.ramp_ms)
    for number in range(timing.most_rounds):
        for work in spec.workloads:
            step.measure(work, extent, number)
        states = step.steadiness()
        if number + 1 >= timing.least_rounds and states and all(s.reached for s in states):
            return


# ---- Integrity --------------------------------------------------------------------------------


def integrity(step: Running) -> None:
    """Write stretches spread over the device, then read them back; fio compares. A seed of its own
    for each stretch tells old data from new."""
    amount, whole = step.spec.amount, step.bench.target.size
    chunk = min(plan.chunk_size(amount), whole)
    count = -(-amount // chunk)
    gap = (whole - chunk) // max(1, count - 1) // MIB * MIB
    for turn, work in enumerate(step.spec.workloads):
        stretches = [Extent(ios=chunk // work.block_size, offset=i * gap, size=chunk)
                     for i in range(count)]
        seeds = [step.seed + 1000 * (turn + 1) + i for i in range(count)]
        for extent, seed in zip(stretches, seeds):
            step.measure(work, extent, turn, seed, (*VERIFY, "--do_verify=0", "--end_fsync=1"))
        back = dataclasses.replace(work, rw=work.rw.replace("write", "read"))
        for extent, seed in zip(stretches, seeds):
            _compare(step, back, extent, turn, seed)


def _compare(step: Running, work: Workload, extent: Extent, turn: int, seed: int) -> None:
    try:
        step.measure(work, extent, turn, seed, VERIFY)
    except BenchError as error:
        if not wrong_data(error.message):
            raise
        step.corrupt.append(error.message.removeprefix("fio failed: "))
        if len(step.corrupt) >= MOST_CORRUPT:
            step.notes.append(f"stopped after {MOST_CORRUPT} stretches with wrong data")
            raise
    else:
        step.verified += extent.size


def wrong_data(message: str) -> bool:
    """Is this fio's complaint about what it read, rather than about not being able to read?"""
    return "verify failed" in message or "verify: bad" in message


RUNNERS: dict[str, Callable[[Running], None]] = {
    "purge": sweep, "fill": sweep, "iops": rounds, "throughput": rounds, "latency": rounds,
    "depth": rounds, "mixed": rounds, "qos": rounds, "saturation": rounds, "trim": rounds,
    "integrity": integrity,
}
