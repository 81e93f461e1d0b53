# SPDX-License-Identifier: MIT OR Apache-2.0
"""What an I/O costs where nothing has to be timed: instructions in the library, system calls.

Instructions are counted by valgrind in a run of fio with N, 2N and 3N I/Os; the differences are
free of starting and stopping, and where both are equal the figure repeats. Only the library's own
count: fio looks at the clock as often as it likes. That is 404 today and 404 tomorrow on any
machine with the same compiler, so that the smallest change shows.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from .. import prepare
from ..errors import BenchError
from ..measure import callgrind, fio, syscalls
from ..measure.campaign import Campaign
from ..result.model import Case
from . import verdict
from .model import BASELINE, CANDIDATE, Count, Limits

INSTRUCTIONS, CALLS = "instructions", "system calls"
IOS = 1000  # N
SECONDS = 300  # valgrind makes fio twenty times slower
REPEATABLE = 0.002  # by so much the two differences may differ: a buffer grows once in a while


def count(campaign: Campaign, mode: str, case: Case, limits: Limits) -> list[Count]:
    """All figures of a mode in a case that can be counted here."""
    found = []
    sides = [f"{mode}@{BASELINE}", f"{mode}@{CANDIDATE}"]
    if callgrind.present():
        (before, steady), (after, still) = (_instructions(campaign, case, name) for name in sides)
        found.append(_count(case, mode, INSTRUCTIONS, before, after, steady and still,
                            limits.instructions * before))
    calls = [_calls(campaign, case, name) for name in sides]
    if calls[0] is not None and calls[1] is not None:
        found.append(_count(case, mode, CALLS, calls[0], calls[1], True, limits.system_calls))
    return found


def _count(case: Case, mode: str, what: str, before: float, after: float, repeatable: bool,
           limit: float) -> Count:
    return Count(case, mode, what, before, after, repeatable,
                 verdict.of_count(before, after, repeatable, limit))


def _instructions(campaign: Campaign, case: Case, name: str) -> tuple[float, bool]:
    """Instructions per I/O in the library, and whether they repeat."""
    job = replace(campaign.job(case, random_seed=1), numjobs=1)
    with campaign.variants[name].engine.reach(campaign.targets[case.target]) as reach:
        costs = [_in_library([*campaign.command(name, replace(job, ios=ios), reach),
                              "--thread=1"]) for ios in (IOS, 2 * IOS, 3 * IOS)]
    steps = [(after - before) / IOS for before, after in zip(costs, costs[1:])]
    return steps[1], abs(steps[1] - steps[0]) <= REPEATABLE * steps[1]


def _in_library(command: list[str]) -> int:
    """Instructions of a whole run that were executed in libblkio.so."""
    with tempfile.NamedTemporaryFile("r") as profile:
        fio.run(callgrind.command(profile.name, command), SECONDS)
        return sum(cost for name, cost in callgrind.costs_by_object(profile).items()
                   if Path(name).name.startswith(prepare.LIBRARY))


def _calls(campaign: Campaign, case: Case, name: str) -> float | None:
    job = campaign.job(case, random_seed=1)
    with campaign.variants[name].engine.reach(campaign.targets[case.target]) as reach:
        calls = syscalls.per_io(lambda ios: campaign.command(name, replace(job, ios=ios), reach),
                                job.size // job.block_size)
    return None if calls is None else calls.per_io / case.numjobs


def all_counts(campaign: Campaign, modes: list[str], limits: Limits) -> tuple[list[Count],
                                                                              list[str]]:
    """Every mode in every case, and notes on what could not be counted."""
    found, notes = [], []
    for case, names in campaign.entries.items():
        for mode in modes:
            if not {f"{mode}@{BASELINE}", f"{mode}@{CANDIDATE}"} <= set(names):
                continue
            campaign.progress.note(f"counting {mode}")
            try:
                found += count(campaign, mode, case, limits)
            except BenchError as error:
                notes.append(f"{mode} could not be counted: {error.message}")
    for what in (INSTRUCTIONS, CALLS):
        if not any(item.what == what for item in found):
            notes.append(f"{what} were not counted: " + (
                "valgrind is not installed" if what == INSTRUCTIONS and not callgrind.present()
                else "neither perf nor strace may count here" if what == CALLS
                else "see the other notes"))
    return found, notes
