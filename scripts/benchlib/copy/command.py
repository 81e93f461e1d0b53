# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench copy`: measure, write the runs, a table and a chart."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import random
from pathlib import Path
from typing import Sequence

from .. import prepare
from ..errors import Exit, refuse
from ..machine import environment, quiet
from ..measure import plan
from ..progress import Progress, say
from ..result import storage
from . import measure, pairs, programs, report
from .measure import Copy

RUNS = "runs.csv"
ROUNDS, QUICK_ROUNDS = 15, 5
MIB = 1 << 20


def copy(options: argparse.Namespace) -> Exit:
    if options.size % MIB:
        raise refuse(f"--size {options.size} is not whole MiB", "Use a size such as 256m.")
    build, folder = plan.build_folder(options), storage.new_folder("copy", options.output, RUNS)
    skipped = {name: pairs.obstacle(name, build, options.size) for name in options.pairs}
    usable = [name for name, reason in skipped.items() if not reason]
    if not usable:
        raise refuse("; ".join(f"{name}: {reason}" for name, reason in skipped.items()))
    if not options.no_build:
        prepare.build_library(build)
    if not programs.own(build).exists():
        raise refuse(f"there is no {programs.own(build)}",
                     "Build it: leave --no-build out, or configure with -Dtools=true.")
    storage.prepare_folder(folder)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    notes = [f"{name} left out: {reason}" for name, reason in skipped.items() if reason]
    notes += [f"{name} left out: it is not installed" for name in programs.missing()]
    for note in notes:
        say(note)
    with quiet.no_deep_sleep() as held:
        record = environment.record(prepare.ROOT, build, quiet.choose_cpus()[0], held)
        runs = _measure(options, usable, build, rounds, seed)
    head = [f"{options.size // MIB} MiB copied, {rounds} interleaved rounds, seed {seed}, "
            f"libblkio {record.libblkio}", *notes]
    text = report.text(runs, seed, head)
    _write(folder, runs, text, report.chart(runs, seed))
    storage.write_text(folder / "environment.txt", "".join(
        f"{name:12} {value}\n" for name, value in environment.describe(record)))
    print(text)
    print(f"Chart {folder / 'chart.svg'}, all runs in {folder / RUNS}")
    return Exit.OK


def _measure(options: argparse.Namespace, names: Sequence[str], build: Path, rounds: int,
             seed: int) -> list[Copy]:
    cases = [(name, content) for name in names for content in options.contents]
    progress = Progress(rounds * len(cases) * len(programs.PROGRAMS))
    progress.start()
    try:
        return [run for pair, content in cases
                for run in measure.case(pair, content, build, options.size, rounds, seed, progress)]
    finally:
        progress.close()


def _write(folder: Path, runs: Sequence[Copy], text: str, chart: str) -> None:
    storage.write_text(folder / "table.txt", text)
    storage.write_text(folder / "chart.svg", chart)
    with open(folder / RUNS, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in dataclasses.fields(Copy))
        writer.writerows(dataclasses.astuple(run) for run in runs)
