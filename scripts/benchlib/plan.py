# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a comparison will do, from the command line: who, where, how often, how long.

Standard library only, so that --dry-run works before the set-up.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shlex
import sys
from pathlib import Path
from typing import Sequence

from . import fio, machine, prepare, targets, variants
from .contenders import BASELINE, Contender
from .errors import refuse
from .measure import TRIAL_MS, Campaign
from .model import Case, Settings, Skip, left_out
from .progress import Progress, clock

ROUNDS, QUICK_ROUNDS = 11, 5
RUNTIME_MS, QUICK_RUNTIME_MS = 500, 300
RAMP_MS = 100
PATIENCE, QUICK_PATIENCE = 60.0, 5.0  # seconds
FIO_START_SECONDS = 0.3  # what a fio process takes beside its run time


def build_folder(options: argparse.Namespace) -> Path:
    return Path(options.build_dir) if options.build_dir else prepare.ROOT / "build"


def campaign(options: argparse.Namespace,
             gated: Sequence[variants.Variant] = ()) -> Campaign:
    """The campaign that the options ask for; what it needs is still to be made. `gated` are the
    builds where the options do not name them."""
    among = gated or variants.variants(options.build, options.fio)
    possible = variants.entrants(options.modes, BASELINE if gated else options.baseline, among,
                                 several=bool(gated) or len(among) > 1)
    settings = _settings(options, [entrant.contender.name for entrant in possible])
    chosen, skips = _targets(options, settings, among[0].build or prepare.ROOT)
    entries, more = _entries(chosen, [entrant.contender for entrant in possible], settings)
    wanted = [entrant for entrant in possible if any(map(entrant.contender.wanted, chosen))]
    return Campaign(settings, {target.name: target for target in chosen},
                    {entrant.contender.name: entrant for entrant in wanted},
                    Progress(_processes(entries) * (settings.rounds + 1)), entries,
                    count_calls=not options.quick, patience=_patience(options),
                    skips=skips + more)


def _patience(options: argparse.Namespace) -> float:
    if options.patience is not None:
        return float(options.patience)
    return QUICK_PATIENCE if options.quick else PATIENCE


def _settings(options: argparse.Namespace, modes: list[str]) -> Settings:
    quick = options.quick
    cpus = options.cpu or machine.choose_cpus(max(options.numjobs))
    if not set(cpus) <= machine.allowed_cpus():
        raise refuse(f"--cpu {','.join(map(str, cpus))}: this process may use "
                     f"{sorted(machine.allowed_cpus())}")
    for rw in options.rw:
        fio.check_workload(rw)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    return Settings(
        workloads=options.rw, block_sizes=options.bs, depths=options.depth,
        numjobs=options.numjobs, modes=modes,
        rounds=options.rounds or (QUICK_ROUNDS if quick else ROUNDS), until=options.until,
        budget=options.budget if options.until is not None else None,
        runtime_ms=options.runtime or (QUICK_RUNTIME_MS if quick else RUNTIME_MS),
        ramp_ms=RAMP_MS, seed=seed, cpus=cpus, max_load=options.max_load)


def _targets(options: argparse.Namespace, settings: Settings,
             build: Path) -> tuple[list[targets.Target], list[Skip]]:
    """The targets to measure; default ones that this machine cannot offer are skipped."""
    default = list(targets.SCRATCH)[:1] if options.quick else list(targets.SCRATCH)
    chosen: list[targets.Target] = []
    skips: list[Skip] = []
    for name in dict.fromkeys(options.target or default):
        if name in targets.SCRATCH:
            planned = targets.plan_scratch(name, build, options.size)
        else:
            planned = targets.user_target(
                name, buffered=options.buffered, writes=any(map(fio.writes, settings.workloads)),
                destructive=options.destructive, warn=_say)
        if isinstance(planned, Skip):
            if options.target:
                raise refuse(f"target {name}: {planned.reason}")
            skips.append(planned)
            continue
        for size in settings.block_sizes:
            targets.check_block_size(planned, size)
        chosen.append(planned)
    if not chosen:
        reasons = "; ".join(left_out(skips))
        raise refuse(f"no target can be measured: {reasons}", "Name one with --target PATH.")
    return _distinct(chosen), skips


def _distinct(chosen: list[targets.Target]) -> list[targets.Target]:
    names = [target.name for target in chosen]
    for name in names:
        if names.count(name) > 1:
            raise refuse(f"two targets are called {name}", "Measure them one at a time.")
    return chosen


def _entries(chosen: list[targets.Target], contenders: list[Contender],
             settings: Settings) -> tuple[dict[Case, list[str]], list[Skip]]:
    """Who takes part in which case, and why the others do not."""
    entries: dict[Case, list[str]] = {}
    skips = []
    for target in chosen:
        obstacles = {contender.name: contender.obstacle(target) for contender in contenders
                     if contender.wanted(target)}
        able = [name for name, obstacle in obstacles.items() if not obstacle]
        skips += [Skip(target.name, name, text) for name, text in obstacles.items() if text]
        entries.update({case: list(able) for case in _matrix(target.name, settings)})
    return entries, skips


def _matrix(target: str, settings: Settings) -> list[Case]:
    return [Case(target, *cell) for cell in itertools.product(
        settings.workloads, settings.block_sizes, settings.depths, settings.numjobs)]


def _processes(entries: dict[Case, list[str]]) -> int:
    return sum(len(names) for names in entries.values())


def announce(plan: Campaign) -> None:
    """Say on stderr what is going to happen."""
    settings, processes = plan.settings, _processes(plan.entries)
    one = (settings.runtime_ms + settings.ramp_ms) / 1000 + FIO_START_SECONDS
    trials = 1 + 2 * plan.count_calls
    seconds = processes * (settings.rounds * one + TRIAL_MS / 1000 + trials * FIO_START_SECONDS)
    _say(f"{settings.rounds} rounds of {processes} fio runs on {', '.join(plan.targets)}: about "
         f"{clock(seconds)}, seed {settings.seed}")
    for line in left_out(plan.skips):
        _say(f"leaving out {line}")


def print_commands(plan: Campaign) -> None:
    for case, names in plan.entries.items():
        for name in names:
            by_hand = plan.entrants[name].contender.rehearse(plan.targets[case.target])
            fio_run = shlex.join(plan.command(name, plan.job(case, random_seed=1),
                                              by_hand.options))
            print("\n".join([*by_hand.before, fio_run, *by_hand.after]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
