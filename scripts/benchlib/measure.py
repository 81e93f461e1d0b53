# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a schedule: trial of every contender first, then round after round, undisturbed ones
preferred. Samples are added a whole block at a time, so whatever interrupts leaves only blocks in
which every contender has run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from . import fio, rings, syscalls
from .contenders import Contender
from .errors import BenchError
from .machine import LoadMeter
from .model import Sample, Settings, Skip, SystemCalls
from .progress import Progress
from .schedule import Block, Case, blocks
from .targets import Target

TRIAL_MS = 100
RETRIES_PER_BLOCK = 3
RETRIES_PER_BLOCKS = 5  # over the whole campaign, one retry for so many blocks
MOST_FAILURES = 3  # rounds lost to a failing fio; the next failure ends the campaign


@dataclass
class Campaign:
    """One comparison under way; its lists are what is known so far."""

    settings: Settings
    targets: dict[str, Target]
    contenders: dict[str, Contender]
    progress: Progress
    entries: dict[Case, list[str]]  # who takes part in which case
    count_calls: bool
    skips: list[Skip] = field(default_factory=list)
    failures: list[BenchError] = field(default_factory=list)
    ring_flags: dict[str, list[str] | None] = field(default_factory=dict)
    system_calls: list[SystemCalls] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
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
                self.progress.step(f"trial of {self.contenders[name].label}")

    def rounds(self) -> None:
        """The measurement itself."""
        planned = sum(1 for names in self.entries.values() if names) * self.settings.rounds
        retries = -(-planned // RETRIES_PER_BLOCKS)
        entries = {case: names for case, names in self.entries.items() if names}
        for block in blocks(entries, self.settings.rounds, self.settings.seed):
            try:
                self.samples += self._calmest(block, retries)
            except BenchError as error:
                self._lost(block, error)

    def _calmest(self, block: Block, retries: int) -> list[Sample]:
        """The block's samples, run again while others disturb it; `retries` in all blocks."""
        samples, load = self._block(block)
        for _ in range(RETRIES_PER_BLOCK):
            if load <= self.settings.max_load or self.retried >= retries:
                break
            self.retried += 1
            self.progress.extend(len(block.order))
            again, load_again = self._block(block)
            if load_again < load:
                samples, load = again, load_again
        return samples

    def _lost(self, block: Block, error: BenchError) -> None:
        """A round without figures: told, counted, and too many are the end."""
        self.failures.append(error)
        self.skips.append(Skip(block.case.target, "", f"round {block.round + 1} at depth "
                               f"{block.case.depth} failed: {error.message}"))
        self.progress.say(f"round {block.round + 1} on {block.case.target} at depth "
                          f"{block.case.depth} is lost: {error}")
        self.lost += 1
        if self.lost > MOST_FAILURES:
            raise BenchError(f"{self.lost} rounds failed; giving up")

    def _block(self, block: Block) -> tuple[list[Sample], float]:
        """All contenders of a block once, and the load that others put on the machine."""
        self.targets[block.case.target].warm_up()
        meter = LoadMeter()
        outcomes = []
        for name in block.order:
            outcome = self._run(block.case, name, block.random_seed)
            outcomes.append(outcome)
            self.progress.step(f"round {block.round + 1}/{self.settings.rounds}  "
                               f"{block.case.target} depth {block.case.depth}  "
                               f"{self.contenders[name].label}: {outcome.mean / 1000:.2f} µs")
        load = meter.share()
        calm = load <= self.settings.max_load
        samples = [Sample(target=block.case.target, depth=block.case.depth, contender=name,
                          round=block.round, position=position, calm=calm,
                          other_load=round(load, 4), **vars(outcome))
                   for position, (name, outcome) in enumerate(zip(block.order, outcomes))]
        return samples, load

    def job(self, case: Case, random_seed: int) -> fio.Job:
        """What fio is to do in a case."""
        target, settings = self.targets[case.target], self.settings
        return fio.Job(rw=settings.rw, block_size=settings.block_size, depth=case.depth,
                       direct=target.direct, size=target.size, runtime_ms=settings.runtime_ms,
                       ramp_ms=settings.ramp_ms, cpu=settings.cpu, random_seed=random_seed)

    def _run(self, case: Case, name: str, random_seed: int) -> fio.Outcome:
        contender, job = self.contenders[name], self.job(case, random_seed)
        try:
            with contender.reach(self.targets[case.target]) as reach:
                return fio.run(fio.command(job, contender.options, reach), job.seconds())
        except BenchError as error:
            raise BenchError(f"{contender.label}: {error.message}", error.remedy) from error

    def _trial(self, case: Case, name: str) -> list[str] | None:
        contender, job = self.contenders[name], self.job(case, random_seed=1)
        job = replace(job, runtime_ms=TRIAL_MS, ramp_ms=0)
        with contender.reach(self.targets[case.target]) as reach:
            return rings.trial(fio.command(job, contender.options, reach), job.seconds())

    def _count_calls(self, case: Case, name: str) -> None:
        contender, job = self.contenders[name], self.job(case, random_seed=1)
        with contender.reach(self.targets[case.target]) as reach:
            calls = syscalls.per_io(
                lambda ios: fio.command(replace(job, ios=ios), contender.options, reach),
                job.size // job.block_size)
        if calls is not None:
            self.system_calls.append(SystemCalls(case.target, case.depth, name, calls))

    def _failed(self, case: Case, name: str, error: BenchError) -> None:
        self.failures.append(error)
        self.skips.append(Skip(case.target, name, error.message))
        self.progress.say(f"{self.contenders[name].label} cannot run on {case.target} at depth "
                          f"{case.depth}: {error}")
