# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a schedule: trial of every contender first, then round after round, and at the end
those again that other programs disturbed. Samples are added a whole block at a time, so whatever
interrupts leaves only blocks in which every contender has run.

With Settings.until a case goes on beyond its rounds until the intervals of all its ratios are
narrow; every even round it is asked again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Sequence

from . import fio, rings, stats, syscalls
from .errors import BenchError
from .machine import LoadMeter
from .model import Case, Interval, Sample, Settings, Skip, SystemCalls
from .progress import Progress
from .schedule import Block, blocks
from .targets import Target
from .variants import Entrant
from .words import case_label, duration

TRIAL_MS = 100
LOOK_SECONDS = 0.5  # so long is looked at other load before a round is repeated
MOST_FAILURES = 3  # rounds lost to a failing fio; the next failure ends the campaign


@dataclass
class Campaign:
    """One comparison under way; its lists are what is known so far."""

    settings: Settings
    targets: dict[str, Target]
    entrants: dict[str, Entrant]
    progress: Progress
    entries: dict[Case, list[str]]  # who takes part in which case
    count_calls: bool
    patience: float  # seconds to spend on repeating disturbed rounds
    figure: Callable[[Sample], float] = stats.mean  # what `until` looks at
    interval: Callable[[Sequence[float]], Interval] = stats.any_interval
    skips: list[Skip] = field(default_factory=list)
    failures: list[BenchError] = field(default_factory=list)
    ring_flags: dict[str, list[str] | None] = field(default_factory=dict)
    system_calls: list[SystemCalls] = field(default_factory=list)
    measured: dict[tuple[int, Case], list[Sample]] = field(default_factory=dict)
    begin: float = field(default_factory=time.monotonic)
    retried: int = 0
    lost: int = 0

    def trials(self) -> None:
        """Run everybody once, briefly; who fails is skipped, with fio's own words."""
        self.progress.start()
        for target in self.targets.values():
            target.warm_up()
        for case, names in self.entries.items():
            for name in list(names):
                try:
                    flags = self._trial(case, name)
                except BenchError as error:
                    names.remove(name)
                    self._failed(case, name, error)
                else:
                    self.ring_flags.setdefault(name, flags)
                    if self.count_calls:
                        self._count_calls(case, name)
                self.progress.step(f"trial of {self.entrants[name].contender.label}")

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
            (entrant.variant.build, entrant.variant.fio) for entrant in self.entrants.values()
            if entrant.variant.build is not None))

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
        groups = stats.grouped(sample for sample in self.samples if sample.case == case)
        widths = [self._half_width(groups, case, name) for name in self.entries[case]]
        if max(widths, default=0.0) <= until:
            return False
        self.progress.extend(2 * len(self.entries[case]))
        return True

    def _half_width(self, groups: dict[tuple[Case, str], list[Sample]], case: Case,
                    name: str) -> float:
        """Half the width of a ratio's interval; 0 for who is compared with nobody."""
        ratios = stats.round_ratios(groups.get((case, name), []),
                                    groups.get((case, self.entrants[name].against), []),
                                    self.figure)
        if not ratios:
            return 0.0
        found = self.interval(ratios)
        return (found.high - found.low) / 2

    def _attempt(self, block: Block) -> bool:
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

    def _block(self, block: Block) -> list[Sample]:
        """All contenders of a block once, and how much others disturbed them."""
        self.targets[block.case.target].warm_up()
        meter = LoadMeter()
        outcomes = []
        for name in block.order:
            outcome = self._run(block.case, name, block.random_seed)
            outcomes.append(outcome)
            rounds = max(block.round + 1, self.settings.rounds)
            self.progress.step(f"round {block.round + 1}/{rounds}  {case_label(block.case)}  "
                               f"{self.entrants[name].contender.label}: {duration(outcome.mean)}")
        load, at = meter.share(), round(time.monotonic() - self.begin, 2)
        return [Sample(case=block.case, contender=name, at=at,
                       round=block.round, position=position, calm=load <= self.settings.max_load,
                       other_load=round(load, 4), **vars(outcome))
                for position, (name, outcome) in enumerate(zip(block.order, outcomes))]

    def job(self, case: Case, random_seed: int) -> fio.Job:
        """What fio is to do in a case."""
        target, settings = self.targets[case.target], self.settings
        return fio.Job(rw=case.rw, block_size=case.block_size, depth=case.depth,
                       direct=target.direct, size=target.size, runtime_ms=settings.runtime_ms,
                       ramp_ms=settings.ramp_ms, cpus=tuple(settings.cpus[-case.numjobs:]),
                       random_seed=random_seed, numjobs=case.numjobs)

    def command(self, name: str, job: fio.Job, reach: list[str]) -> list[str]:
        """fio's command line for a contender."""
        entrant = self.entrants[name]
        return fio.command(job, entrant.contender.options, reach, entrant.variant.fio)

    def _run(self, case: Case, name: str, random_seed: int) -> fio.Outcome:
        contender, job = self.entrants[name].contender, self.job(case, random_seed)
        try:
            with contender.reach(self.targets[case.target]) as reach:
                return fio.run(self.command(name, job, reach), job.seconds())
        except BenchError as error:
            raise BenchError(f"{contender.label}: {error.message}", error.remedy) from error

    def _trial(self, case: Case, name: str) -> list[str] | None:
        contender, job = self.entrants[name].contender, self.job(case, random_seed=1)
        job = replace(job, runtime_ms=TRIAL_MS, ramp_ms=0)
        with contender.reach(self.targets[case.target]) as reach:
            return rings.trial(self.command(name, job, reach), job.seconds())

    def _count_calls(self, case: Case, name: str) -> None:
        contender, job = self.entrants[name].contender, self.job(case, random_seed=1)
        with contender.reach(self.targets[case.target]) as reach:
            calls = syscalls.per_io(
                lambda ios: self.command(name, replace(job, ios=ios), reach),
                job.size // job.block_size)
        if calls is not None:
            self.system_calls.append(SystemCalls(case, name, round(calls / case.numjobs, 2)))

    def _failed(self, case: Case, name: str, error: BenchError) -> None:
        self.failures.append(error)
        self.skips.append(Skip(case.target, name, error.message))
        self.progress.say(f"{self.entrants[name].contender.label} cannot run "
                          f"{case_label(case)}: {error}")
