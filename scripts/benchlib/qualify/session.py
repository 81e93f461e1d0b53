# SPDX-License-Identifier: MIT OR Apache-2.0
"""A qualification under way: does the steps, keeps the result on disk up to date after each, and
knows what a failure means. A step that fails is one step less; a device that is gone, a full disk
or a fill that failed is the end of the sitting.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

from ..errors import BenchError
from ..progress import Progress, clock
from ..result import words
from ..result.model import Environment
from . import drivers, store, verdict
from .jobs import Bench
from .limits import Limit
from .model import SCHEMA, Check, Health, Point, Qualification, Step
from .plan import StepSpec, label
from .request import Request
from .steps import RUNNERS, Running, wrong_data

CHECKPOINT_SECONDS = 15.0
SIGN_OF_LIFE_SECONDS = 60.0  # where there is no terminal


@dataclass
class Session:
    request: Request
    folder: Path
    bench: Bench
    environment: Environment
    before: Health
    checks: list[Check]
    limits: Sequence[Limit]
    sittings: list[str]
    progress: Progress = field(default_factory=lambda: Progress(1))
    after: Health | None = None
    steps: list[Step] = field(default_factory=list)
    _saved: float = 0.0
    _told: float = 0.0

    def run(self) -> None:
        """All steps that are not done yet. KeyboardInterrupt and BenchError come through, with the
        result so far on disk."""
        self.steps = list(self.request.steps)
        specs = {spec.name: spec for spec in self.request.specs}
        try:
            for i, step in enumerate(self.steps):
                if step.state == "skipped":
                    self.progress.say(f"[{i + 1}/{len(self.steps)}] {step.title}: left out, "
                                      f"{step.reason}")
                elif step.state != "done":
                    self._one(i, specs[step.name])
        finally:
            self.progress.close()
            self.after = self.bench.place.health(self.request.device)
            self.save()

    def found(self) -> Qualification:
        """The whole, as known now."""
        found = Qualification(
            schema=SCHEMA, verdict="incomplete", reasons=[], complete=False,
            started=self.sittings[0], seconds=round(self.bench.now(), 1), sittings=self.sittings,
            plan=self.request.plan, environment=self.environment, device=self.request.device,
            health_before=self.before, health_after=self.after, checks=self.checks,
            caveats=[], steps=self.steps, criteria=[])
        return verdict.judged(dataclasses.replace(
            found, complete=verdict.complete(found),
            criteria=verdict.criteria(found, self.limits)))

    def save(self) -> None:
        store.write(self.folder, self.found())
        self._saved = time.monotonic()

    def _one(self, index: int, spec: StepSpec) -> None:
        planned = dataclasses.replace(
            self.steps[index], reason="", notes=[], points=[], steady=[], cells=[], drivers=[],
            verified=0, corrupt=[])
        running = Running(spec, planned, self.bench, self.request.plan.seed + 100000 * index,
                          lambda step: self._measured(index, step))
        try:
            self.progress.say(f"[{index + 1}/{len(self.steps)}] {spec.title} "
                              f"(about {clock(planned.estimate_seconds)})")
            if spec.kind == "drivers":
                drivers.compare(running, self.request.engines)
            else:
                RUNNERS[spec.kind](running)
        except KeyboardInterrupt:
            self.steps[index] = running.result("partial", "stopped by the user")
            raise
        except BenchError as error:
            self.steps[index] = running.result("failed", error.message)
            self._judge(spec, error)
        else:
            self.steps[index] = running.result("done")
            self._tell(self.steps[index])
        self.save()

    def _judge(self, spec: StepSpec, error: BenchError) -> None:
        """Is a failed step the end? Then raise, with the reason and the remedy."""
        self.progress.say(f"    failed: {error}")
        again = f"then go on: --resume {self.folder}"
        lost = self.bench.place.gone(self.request.device)
        if lost:
            raise BenchError(f"{self.request.device.path} is gone, or not what it was: {lost}",
                             f"Find out why; when it is back, {again}") from error
        if "No space left" in error.message:
            raise BenchError(f"the disk is full: {error.message}", f"Make room, {again}") from error
        if spec.kind == "fill" and not wrong_data(error.message):
            raise BenchError("the device could not be filled; figures of an empty one say nothing",
                             f"See the message above, {again}") from error

    def _measured(self, index: int, running: Running) -> None:
        now = time.monotonic()
        self.progress.note(f"    {_in_words(running.points[-1])}")
        if not sys.stderr.isatty() and now - max(self._told, running.begin) > SIGN_OF_LIFE_SECONDS:
            self.progress.say(f"    {_in_words(running.points[-1])}")
            self._told = now
        if now - self._saved > CHECKPOINT_SECONDS:
            self.steps[index] = running.result("running", "the run ended here")
            self.save()

    def _tell(self, step: Step) -> None:
        """What came of a step, as far as it cannot wait for the table."""
        for note in [*step.notes, *(f"WRONG DATA: {words}" for words in step.corrupt)]:
            self.progress.say(f"    {note}")


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _in_words(point: Point) -> str:
    hot = "" if point.temperature_c is None else f", {point.temperature_c:.0f} °C"
    return (f"round {point.round + 1}, {label(point.workload)}, {point.engine}: "
            f"{point.iops:,.0f} IOPS, {point.bandwidth / 1e6:,.0f} MB/s, "
            f"{words.duration(point.mean)}{hot}")
