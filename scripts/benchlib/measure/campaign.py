# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a schedule: trials of every engine first, then round after round, and at the end
those again that other programs disturbed. Samples are added a whole block at a time, so whatever
interrupts leaves only blocks in which every engine has run.

With Settings.until a case goes on beyond its rounds until the intervals of all its ratios are
narrow; every even round it is asked again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Sequence

from ..errors import BenchError, Exit
from ..machine.quiet import LoadMeter
from ..progress import Progress
from ..result.model import Case, Interval, Sample, Settings, Skip, SystemCalls
from ..result.words import case_label, duration
from ..stats import pairing
from . import fio, rings, syscalls
from .job_file import Group
from .schedule import Block, blocks
from .targets import Target
from .variants import Variant

TRIAL_MS = 100
LOOK_SECONDS = 0.5  # so long is looked at other load before a round is repeated
MOST_FAILURES = 3  # rounds lost to a failing fio; the next failure ends the campaign


@dataclass
class Campaign:
    """One comparison under way; its lists are what is known so far."""

    settings: Settings
    targets: dict[str, Target]
    variants: dict[str, Variant]
    progress: Progress
    entries: dict[Case, list[str]]  # who takes part in which case
    count_calls: bool
    patience: float  # seconds to spend on repeating disturbed rounds
    figure: Callable[[Sample], float] = pairing.mean  # what `until` looks at
    interval: Callable[[Sequence[float]], Interval] | None = None  # of ratios, for `until`
    groups: dict[str, Group] = field(default_factory=dict)  # of a user's job file, by Case.rw
    skips: list[Skip] = field(default_factory=list)
    failures: list[BenchError] = field(default_factory=list)
    ring_flags: dict[str, list[str] | None] = field(default_factory=dict)
    system_calls: list[SystemCalls] = field(default_factory=list)
    measured: dict[tuple[int, Case], list[Sample]] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)
    retried: int = 0
    lost: int = 0

    def run(self, interval: Callable[[Sequence[float]], Interval]) -> tuple[bool, Exit]:
        """Trials and rounds: (complete?, exit code). `interval` decides when ratios are narrow
        enough."""
        self.interval = interval
        try:
            self.trials()
            self.rounds()
        except KeyboardInterrupt:
            self.progress.say("stopped")
            return False, Exit.INTERRUPTED
        except BenchError as error:
            self.progress.say(f"bench: {error}")
            return False, Exit.FAILED
        finally:
            self.progress.close()
        return True, Exit.FAILED if self.failures else Exit.OK

    def trials(self) -> None:
        """Run everybody briefly; who fails is skipped, with fio's own words."""
        self.progress.start()
        for target in self.targets.values():
            target.warm_up()
        for cases in self._alike():
            for name in list(self.entries[cases[0]]):
                self._admit(cases, name)

    def _alike(self) -> list[list[Case]]:
        """Cases that differ in sizes and depths only: who can run the first and the last of them
        can run all, and starts alike."""
        groups: dict[tuple[str, str, int], list[Case]] = {}
        for case in self.entries:
            groups.setdefault((case.target, case.rw, case.numjobs), []).append(case)
        return list(groups.values())

    def _admit(self, cases: Sequence[Case], name: str) -> None:
        """Try an engine on like cases, and count its system calls in those that it can run."""
        ends = list(dict.fromkeys((cases[0], cases[-1])))
        if not all([self._passes(case, name) for case in ends]):
            for case in cases:
                if case not in ends:
                    self._passes(case, name)
        start: int | None = None
        for case in cases:
            if self.count_calls and name in self.entries[case]:
                start = self._count_calls(case, name, start)
            self.progress.step(f"trial of {self.variants[name].engine.label}")

    def _passes(self, case: Case, name: str) -> bool:
        """Can the engine run the case? Else it takes no part in it."""
        try:
            flags = self._trial(case, name)
        except BenchError as error:
            self.entries[case].remove(name)
            self._failed(case, name, error)
            return False
        self.ring_flags.setdefault(name, flags)
        return True

    def rounds(self) -> None:
        """The measurement itself: the whole schedule, then disturbed rounds again."""
        entries = {case: names for case, names in self.entries.items() if names}
        disturbed = []
        for block in blocks(entries, self.settings.rounds, self.settings.seed,
                            self._too_wide if self.settings.until is not None else None):
            if not self._attempt(block):
                disturbed.append(block)
        deadline = time.monotonic() + self.patience
        while disturbed and time.monotonic() < deadline:
            if not self._quiet():
                self.progress.note(f"waiting for a quiet moment: {len(disturbed)} rounds to repeat")
                continue
            block = disturbed.pop(0)
            self.retried += 1
            self.progress.extend(len(block.order))
            if not self._attempt(block):
                disturbed.append(block)

    def libraries(self) -> list[tuple[Path, str]]:
        """Every build folder with the fio that is to load it."""
        return list(dict.fromkeys(
            (variant.build.folder, variant.build.fio) for variant in self.variants.values()
            if variant.build.folder is not None))

    @property
    def samples(self) -> list[Sample]:
        """All samples, in the order of the schedule."""
        return [sample for samples in self.measured.values() for sample in samples]

    def _too_wide(self, case: Case) -> bool:
        """Is there need and time for two more rounds of a case?"""
        until, budget = self.settings.until, self.settings.budget
        assert until is not None
        if budget is not None and time.monotonic() - self.begin > budget:
            return False
        groups = pairing.grouped(sample for sample in self.samples if sample.case == case)
        widths = [self._half_width(groups, case, name) for name in self.entries[case]]
        if max(widths, default=0.0) <= until:
            return False
        self.progress.extend(2 * len(self.entries[case]))
        return True

    def _half_width(self, groups: dict[tuple[Case, str], list[Sample]], case: Case,
                    name: str) -> float:
        """Half the width of a ratio's interval; 0 for who is compared with nobody."""
        ratios = pairing.round_ratios(groups.get((case, name), []),
                                      groups.get((case, self.variants[name].against), []),
                                      self.figure)
        if not ratios:
            return 0.0
        assert self.interval is not None
        found = self.interval(ratios)
        return (found.high - found.low) / 2

    def _attempt(self, block: Block[Case]) -> bool:
        """Run a block; keep it unless a calmer attempt is there already. False: disturbed."""
        key = (block.round, block.case)
        try:
            samples = self._block(block)
        except BenchError as error:
            self._lost(block, error)
            return True  # not by other load: no reason to wait for a quiet moment
        before = self.measured.get(key)
        if before is None or samples[0].other_load < before[0].other_load:
            self.measured[key] = samples
        return samples[0].calm

    def _quiet(self) -> bool:
        meter = LoadMeter()
        time.sleep(LOOK_SECONDS)
        return meter.share() <= self.settings.max_load

    def _lost(self, block: Block, error: BenchError) -> None:
        """A round without figures: told, counted, and too many are the end."""
        self.failures.append(error)
        self.skips.append(Skip(block.case.target, "", f"round {block.round + 1} of "
                               f"{case_label(block.case)} failed: {error.message}"))
        self.progress.say(f"round {block.round + 1} of {case_label(block.case)} is lost: {error}")
        self.lost += 1
        if self.lost > MOST_FAILURES:
            raise BenchError(f"{self.lost} rounds failed; giving up")

    def _block(self, block: Block[Case]) -> list[Sample]:
        """All engines of a block once, and how much others disturbed them."""
        self.targets[block.case.target].warm_up()
        meter = LoadMeter()
        outcomes = []
        for name in block.order:
            outcome = self._run(block.case, name, block.random_seed)
            outcomes.append(outcome)
            rounds = max(block.round + 1, self.settings.rounds)
            self.progress.step(f"round {block.round + 1}/{rounds}  {case_label(block.case)}  "
                               f"{self.variants[name].engine.label}: {duration(outcome.mean)}")
        load, at = meter.share(), round(time.monotonic() - self.begin, 2)
        return [Sample(case=block.case, engine=name, at=at,
                       round=block.round, position=position, calm=load <= self.settings.max_load,
                       other_load=round(load, 4), **vars(outcome))
                for position, (name, outcome) in enumerate(zip(block.order, outcomes))]

    def job(self, case: Case, random_seed: int) -> fio.Job:
        """What fio is to do in a case."""
        target, settings = self.targets[case.target], self.settings
        group = self.groups.get(case.rw)
        return fio.Job(sections=group.sections() if group else (),
                       changes=bool(group and group.writes), rw=case.rw, block_size=case.block_size, depth=case.depth,
                       direct=target.direct, size=target.size, runtime_ms=settings.runtime_ms,
                       ramp_ms=settings.ramp_ms, cpus=tuple(settings.cpus[-case.numjobs:]),
                       random_seed=random_seed, numjobs=case.numjobs)

    def command(self, name: str, job: fio.Job, reach: list[str]) -> list[str]:
        """fio's command line for an engine."""
        variant = self.variants[name]
        return fio.command(job, variant.engine.options, reach, variant.fio)

    def _run(self, case: Case, name: str, random_seed: int) -> fio.Outcome:
        engine, job = self.variants[name].engine, self.job(case, random_seed)
        try:
            with engine.reach(self.targets[case.target]) as reach:
                return fio.run(self.command(name, job, reach), job.seconds(), self.settings.log_ms)
        except BenchError as error:
            raise BenchError(f"{engine.label}: {error.message}", error.remedy) from error

    def _trial(self, case: Case, name: str) -> list[str] | None:
        engine, job = self.variants[name].engine, self.job(case, random_seed=1)
        job = replace(job, runtime_ms=TRIAL_MS, ramp_ms=0)
        with engine.reach(self.targets[case.target]) as reach:
            return rings.trial(self.command(name, job, reach), job.seconds())

    def _count_calls(self, case: Case, name: str, start: int | None) -> int | None:
        """Count, and give what starting and stopping costs, if it is known."""
        engine, job = self.variants[name].engine, self.job(case, random_seed=1)
        with engine.reach(self.targets[case.target]) as reach:
            calls = syscalls.per_io(
                lambda ios: self.command(name, replace(job, ios=ios), reach),
                job.size // job.block_size, start)
        if calls is None:
            return start
        self.system_calls.append(SystemCalls(case, name, round(calls.per_io / case.numjobs, 2)))
        return calls.start

    def _failed(self, case: Case, name: str, error: BenchError) -> None:
        self.failures.append(error)
        self.skips.append(Skip(case.target, name, error.message))
        self.progress.say(f"{self.variants[name].engine.label} cannot run "
                          f"{case_label(case)}: {error}")
