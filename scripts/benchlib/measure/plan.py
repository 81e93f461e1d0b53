# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a comparison will do, from the command line: who, where, how often, how long.

Standard library only, so that --dry-run works before the set-up.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shlex
from pathlib import Path
from typing import Sequence

from .. import prepare
from ..errors import refuse
from ..machine import quiet
from ..progress import Progress, clock, say
from ..result.model import Case, Settings, Skip, left_out
from . import fio, targets, variants
from .campaign import Campaign
from .engines import Engine
from .job_file import Group

ROUNDS, QUICK_ROUNDS = 11, 5
RUNTIME_MS, QUICK_RUNTIME_MS = 500, 300
RAMP_MS, LEAST_RAMP_MS = 100, 30
PATIENCE, QUICK_PATIENCE = 60.0, 5.0  # seconds
Cell = tuple[str, int, int, int]  # a Case without its target
FIO_START_SECONDS = 0.3  # what a fio process takes beside its run time


def build_folder(options: argparse.Namespace) -> Path:
    return Path(options.build_dir) if options.build_dir else prepare.ROOT / "build"


def campaign(options: argparse.Namespace,
             gated: Sequence[variants.Build] = (), groups: Sequence[Group] = ()) -> Campaign:
    """The campaign that the options ask for; what it needs is still to be made. `gated` are the
    builds where the options do not name them, `groups` the workloads of a job file."""
    among = gated or variants.builds(options.build, options.fio)
    possible = variants.variants(options.modes, options.baseline, among,
                                 several=bool(gated) or len(among) > 1)
    settings = _settings(options, [variant.engine.name for variant in possible], groups)
    writes = any(group.writes for group in groups) if groups \
        else any(map(fio.writes, settings.workloads))
    sizes = [size for group in groups for size in group.block_sizes()] or settings.block_sizes
    chosen, skips = _targets(options, writes, sizes, among[0].folder or prepare.ROOT)
    cells = [(group.name, group.block_sizes()[0], group.depth, group.numjobs)
             for group in groups] or _matrix(settings)
    entries, more = _entries(chosen, [variant.engine for variant in possible], cells)
    wanted = [variant for variant in possible if any(map(variant.engine.wanted, chosen))]
    return Campaign(settings, {target.name: target for target in chosen},
                    {variant.engine.name: variant for variant in wanted},
                    Progress(_processes(entries) * (settings.rounds + 1)), entries,
                    count_calls=not options.quick, patience=_patience(options),
                    groups={group.name: group for group in groups}, skips=skips + more)


def _patience(options: argparse.Namespace) -> float:
    if options.patience is not None:
        return float(options.patience)
    return QUICK_PATIENCE if options.quick else PATIENCE


def _settings(options: argparse.Namespace, modes: list[str], groups: Sequence[Group]) -> Settings:
    quick = options.quick
    numjobs = [group.numjobs for group in groups] or options.numjobs
    cpus = options.cpu or quiet.choose_cpus(max(numjobs))
    if not set(cpus) <= quiet.allowed_cpus():
        raise refuse(f"--cpu {','.join(map(str, cpus))}: this process may use "
                     f"{sorted(quiet.allowed_cpus())}")
    for rw in options.rw:
        fio.check_workload(rw)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    runtime = options.runtime or (QUICK_RUNTIME_MS if quick else RUNTIME_MS)
    return Settings(
        workloads=[group.name for group in groups] or options.rw,
        block_sizes=[group.block_sizes()[0] for group in groups] or options.bs,
        depths=[group.depth for group in groups] or options.depth, numjobs=numjobs, modes=modes,
        rounds=options.rounds or (QUICK_ROUNDS if quick else ROUNDS), until=options.until,
        budget=options.budget if options.until is not None else None,
        runtime_ms=runtime, ramp_ms=max(LEAST_RAMP_MS, min(RAMP_MS, runtime // 5)), seed=seed,
        cpus=cpus, max_load=options.max_load, log_ms=getattr(options, "log", None) or 0)


def _targets(options: argparse.Namespace, writes: bool, sizes: Sequence[int],
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
                name, buffered=options.buffered, writes=writes,
                destructive=options.destructive, warn=say)
        if isinstance(planned, Skip):
            if options.target:
                raise refuse(f"target {name}: {planned.reason}")
            skips.append(planned)
            continue
        for size in sizes:
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


def _entries(chosen: list[targets.Target], engines: list[Engine],
             cells: Sequence[Cell]) -> tuple[dict[Case, list[str]], list[Skip]]:
    """Who takes part in which case, and why the others do not."""
    entries: dict[Case, list[str]] = {}
    skips = []
    for target in chosen:
        obstacles = {engine.name: engine.obstacle(target) for engine in engines
                     if engine.wanted(target)}
        able = [name for name, obstacle in obstacles.items() if not obstacle]
        skips += [Skip(target.name, name, text) for name, text in obstacles.items() if text]
        entries.update({case: list(able) for case in (Case(target.name, *cell) for cell in cells)})
    return entries, skips


def _matrix(settings: Settings) -> list[Cell]:
    return list(itertools.product(settings.workloads, settings.block_sizes, settings.depths,
                                  settings.numjobs))


def _processes(entries: dict[Case, list[str]]) -> int:
    return sum(len(names) for names in entries.values())


def announce(plan: Campaign) -> None:
    """Say on stderr what is going to happen."""
    settings, processes = plan.settings, _processes(plan.entries)
    one = (settings.runtime_ms + settings.ramp_ms) / 1000 + FIO_START_SECONDS
    seconds = processes * (settings.rounds * one + plan.count_calls * FIO_START_SECONDS)
    say(f"{settings.rounds} rounds of {processes} fio runs on {', '.join(plan.targets)}: about "
        f"{clock(seconds)}, seed {settings.seed}")
    for line in left_out(plan.skips):
        say(f"leaving out {line}")


def print_commands(plan: Campaign) -> None:
    for case, names in plan.entries.items():
        for name in names:
            by_hand = plan.variants[name].engine.dry_run(plan.targets[case.target])
            fio_run = shlex.join(plan.command(name, plan.job(case, random_seed=1),
                                              by_hand.options))
            print("\n".join([*by_hand.before, fio_run, *by_hand.after]))
