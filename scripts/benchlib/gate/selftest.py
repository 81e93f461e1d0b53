# SPDX-License-Identifier: MIT OR Apache-2.0
"""The gate tried on itself: how often does it see a difference where there is none (A/A), and does
it see one that was put there?"""

from __future__ import annotations

import argparse
import datetime
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Sequence

import numpy as np
from scipy.stats import binom

from .. import prepare
from ..errors import Exit, refuse
from ..progress import say
from ..result import storage
from ..result.model import Environment
from ..result.words import case_label, duration
from ..stats import inference
from ..verdict import GATE, IMPROVED, REGRESS
from . import sides
from .model import BASELINE, CANDIDATE, GateResult, Limits, Side
from .run import Library, run
from .slow import slow_library

SCHEMA, FILE = "libblkio-gate-selftest/1", "selftest.json"
RUNS = 20
ALARMS = (REGRESS, IMPROVED)
CREDIBLE = 0.01  # more alarms than this chance allows: the gate is not what it says


@dataclass(frozen=True)
class GateRun:
    """One run of the gate, in short."""

    verdict: str
    shifts: list[float]  # of each finding
    half_widths: list[float]
    pairs: list[int]
    seed: int
    seconds: float
    other_load: float


@dataclass
class SelfTest:
    schema: str
    complete: bool
    started: str
    version: str
    limits: Limits
    cases: list[str]
    environment: Environment | None
    same: list[GateRun]  # the library against itself
    slow: list[GateRun]  # the slow build against the library
    delay_ns: int  # 0: no slow build was tried
    false_alarms: int = 0
    false_alarm_rate: float = 0.0
    false_alarm_rate_upper: float = 1.0  # the rate that the runs speak against, one-sided 95 %
    found: int = 0
    seconds: float = 0.0


@dataclass
class _Lab:
    """What all runs share."""

    options: argparse.Namespace
    side: Side
    build: Path
    record: SelfTest
    typical: list[float] = field(default_factory=list)  # ns, of the first finding

    def runs(self, number: int, folders: Sequence[Path], into: list[GateRun], name: str) -> None:
        """Gate runs of two libraries, noted one by one."""
        for i in range(number):
            options = argparse.Namespace(**vars(self.options))
            if options.seed is not None:
                options.seed += len(into)
            libraries = [Library(Side(side, self.side.asked_for, self.side.version), folder)
                         for side, folder in zip((BASELINE, CANDIDATE), folders)]
            outcome = run(options, libraries, self.build)
            if outcome.code == Exit.INTERRUPTED:
                raise KeyboardInterrupt
            self._note(outcome.result, into)
            say(f"{name} {i + 1}/{number}: {told(into[-1])}")

    def _note(self, result: GateResult, into: list[GateRun]) -> None:
        found = result.findings
        self.record.environment = result.environment
        self.record.cases = [f"{finding.mode} {finding.metric}, {case_label(finding.case)}"
                             for finding in found]
        self.typical += [finding.baseline for finding in found[:1]]
        into.append(GateRun(result.verdict, [f.shift.median for f in found],
                            [(f.shift.high - f.shift.low) / 2 for f in found],
                            [f.samples for f in found], result.settings.seed, result.seconds,
                            result.other_load))


def selftest(options: argparse.Namespace) -> Exit:
    """`gate --aa N` and `gate --self-test`."""
    spec = sides.spec(CANDIDATE, options.candidate)
    if spec.kind == sides.RESULTS:
        raise refuse(f"--candidate {options.candidate} is a stored result; here it is measured",
                     "Leave --candidate out (the working tree), or name a build or a git revision.")
    folder = storage.new_folder("gate-selftest", options.output, FILE)
    options.no_counts = True  # this is about timing
    build, side = sides.library(spec, options.setup, not options.no_build)
    prepare.check_engine(build)
    storage.prepare_folder(folder)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    record = SelfTest(SCHEMA, False, now, side.version, Limits(
        options.effect, options.alpha, options.instructions, options.calls), [], None, [], [], 0)
    lab, begin = _Lab(options, side, build, record), time.monotonic()
    code = Exit.OK
    try:
        _trials(lab)
        record.complete = True
    except KeyboardInterrupt:
        say("stopped")
        code = Exit.INTERRUPTED
    record.seconds = round(time.monotonic() - begin, 1)
    _conclude(record)
    print(render(record))
    storage.write_json(folder / FILE, record)
    storage.write_text(folder / "selftest.txt", render(record))
    say(f"Everything is in {folder}/")
    return code if code != Exit.OK else Exit.OK if sound(record) else Exit.FAILED


def _trials(lab: _Lab) -> None:
    number = lab.options.aa or RUNS
    with ExitStack() as stack:
        lab.runs(number, sides.stage([lab.build, lab.build], stack), lab.record.same, "A/A")
    if not lab.options.self_test:
        return
    lab.record.delay_ns = max(1, round(lab.options.slowdown * float(np.median(lab.typical))))
    slow = slow_library(lab.build, lab.record.delay_ns)
    prepare.check_engine(slow)
    with ExitStack() as stack:
        lab.runs(number, sides.stage([lab.build, slow], stack), lab.record.slow, "slowdown")


def _conclude(record: SelfTest) -> None:
    trials = len(record.same)
    record.false_alarms = sum(run.verdict in ALARMS for run in record.same)
    if trials:
        record.false_alarm_rate = record.false_alarms / trials
        record.false_alarm_rate_upper = inference.upper_rate(record.false_alarms, trials)
    record.found = sum(run.verdict == REGRESS for run in record.slow)


def sound(record: SelfTest) -> bool:
    """Not more false alarms than alpha allows, and every slowdown found."""
    likely = binom.sf(record.false_alarms - 1, max(1, len(record.same)), record.limits.alpha)
    return bool(likely > CREDIBLE) and record.found == len(record.slow)


def told(run: GateRun) -> str:
    """A run in a line."""
    shifts = ", ".join(f"{shift - 1:+.1%} (±{width:.1%}, {pairs} pairs)" for shift, width, pairs
                       in zip(run.shifts, run.half_widths, run.pairs))
    return f"{run.verdict}: {shifts}; {run.seconds:.0f} s, others {run.other_load:.0%}"


def render(record: SelfTest) -> str:
    lines = [] if record.complete else ["PARTIAL: stopped before its end."]
    lines.append(f"The gate on itself, {record.version}: {'; '.join(record.cases)}")
    lines.append(f"A/A: {record.false_alarms} false alarms in {len(record.same)} runs, rate "
                 f"{record.false_alarm_rate:.1%}, at most {record.false_alarm_rate_upper:.1%} "
                 f"(95 %); {_words(record.same)}")
    lines += [f"  {told(run)}" for run in record.same]
    if record.slow:
        lines.append(f"A delay of {duration(record.delay_ns)} in every read: found in "
                     f"{record.found} of {len(record.slow)} runs; {_words(record.slow)}")
        lines += [f"  {told(run)}" for run in record.slow]
    return "\n".join(lines) + "\n"


def _words(runs: Sequence[GateRun]) -> str:
    counts = {word: sum(run.verdict == word for run in runs) for word in GATE.names}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no runs"
