# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench qemu`: measure, write the runs, a table and a chart."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import random
from contextlib import ExitStack
from pathlib import Path
from typing import Sequence

import numpy as np

from .. import prepare
from ..errors import Exit, refuse
from ..machine import environment, quiet
from ..measure import plan, rings, targets
from ..page.bars import Bar, bars
from ..progress import Progress
from ..result import storage
from ..result.model import Interval, Skip
from ..result.words import block_size, duration
from ..stats import bootstrap, pairing, summaries
from .measure import SIDES, QemuImg, Run, make_root, version

RUNS = "runs.csv"
MAX_LOAD = 0.05
CHART_WIDTH = 760


def qemu(options: argparse.Namespace) -> Exit:
    if not rings.permitted():
        raise refuse("io_uring is not permitted here, and both of QEMU's ways are io_uring",
                     "See sysctl kernel.io_uring_disabled and the sandbox's seccomp filter.")
    build, folder = plan.build_folder(options), storage.new_folder("qemu", options.output, RUNS)
    target = _target(options, build)
    if not options.no_build:
        prepare.build_library(build)
    make_root()
    storage.prepare_folder(folder)
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    rounds = options.rounds or (plan.QUICK_ROUNDS if options.quick else plan.ROUNDS)
    runtime = options.runtime or (plan.QUICK_RUNTIME_MS if options.quick else plan.RUNTIME_MS)
    [cpu] = quiet.choose_cpus()
    progress = Progress(rounds * len(options.depth) * len(SIDES))
    with ExitStack() as stack:
        if target.scratch:
            targets.make_scratch(target, stack, keep=False)
        held = stack.enter_context(quiet.no_deep_sleep())
        record = environment.record(prepare.ROOT, build, cpu, held)
        bench = QemuImg(target, build, options.bs, cpu, MAX_LOAD)
        try:
            runs = bench.rounds(options.depth, rounds, runtime / 1000, seed, progress)
        finally:
            progress.close()
    text = _text(target, options.bs, runs, seed, record.libblkio)
    _write(folder, runs, text, _chart(runs, options.bs))
    lines = [("QEMU", version()), *environment.describe(record)]
    storage.write_text(folder / "environment.txt",
                       "".join(f"{name:12} {value}\n" for name, value in lines))
    print(text)
    print(f"Chart {folder / 'chart.svg'}, all runs in {folder / RUNS}")
    return Exit.OK


def _target(options: argparse.Namespace, build: Path) -> targets.Target:
    if options.target not in targets.SCRATCH:
        return targets.user_target(options.target, buffered=False, writes=False, destructive=False,
                                   warn=print)
    planned = targets.plan_scratch(options.target, build, options.size)
    if isinstance(planned, Skip):
        raise refuse(f"target {options.target}: {planned.reason}")
    return planned


# ---- What the runs say -----------------------------------------------------------------------


def usable(runs: Sequence[Run], depth: int) -> list[Run]:
    """Those of a depth in calm rounds, when there are enough of them, else all."""
    own = [run for run in runs if run.depth == depth]
    calm = [run for run in own if run.calm]
    return calm if len(calm) >= pairing.ENOUGH_ROUNDS * len(SIDES) else own


def ratio(runs: Sequence[Run], depth: int, seed: int) -> Interval:
    """libblkio's time per read relative to QEMU's own in the same round."""
    own = usable(runs, depth)
    base = {run.round: run.per_io for run in own if run.side == "native"}
    return bootstrap.median_interval([run.per_io / base[run.round] for run in own
                                      if run.side == "libblkio"], seed)


def _per_io(runs: Sequence[Run], depth: int, side: str) -> list[float]:
    return [run.per_io for run in usable(runs, depth) if run.side == side]


def _depths(runs: Sequence[Run]) -> list[int]:
    return sorted({run.depth for run in runs})


def _text(target: targets.Target, size: int, runs: Sequence[Run], seed: int, library: str) -> str:
    rounds = len({run.round for run in runs})
    lines = [f"{block_size(size)} reads scattered over a {target.size >> 20} MiB file, qemu-img "
             f"bench on one CPU, {rounds} interleaved rounds, seed {seed}, libblkio {library}",
             f"{target.label}: time per read, median over the rounds; ratio: median of the "
             "rounds' ratios with its 95% interval.", "",
             f"  {'depth':>5}  {SIDES['native']:>26}  {SIDES['libblkio']:>34}   ratio"]
    verdict = ["Verdict"]
    for depth in _depths(runs):
        own, theirs = (duration(float(np.median(_per_io(runs, depth, side)))) for side in SIDES)
        found = ratio(runs, depth, seed)
        word = summaries.VERDICTS[summaries.verdict(found)]
        lines.append(f"  {depth:>5}  {own:>26}  {theirs:>34}   {found.median:.3f} "
                     f"[{found.low:.3f}, {found.high:.3f}]  {word}")
        verdict.append(f"  depth {depth}: the libblkio driver takes {found.median:.3f} of the time "
                       f"[{found.low:.3f}, {found.high:.3f}]: {word}.")
    disturbed = sum(not run.calm for depth in _depths(runs) for run in usable(runs, depth))
    if disturbed:
        verdict.append("  Caution: other programs disturbed the runs; repeat on a quiet machine.")
    return "\n".join([*lines, "", *verdict, ""])


def _chart(runs: Sequence[Run], size: int) -> str:
    rows = []
    for depth in _depths(runs):
        for role, side in zip(("baseline", "series-0"), SIDES):
            values = _per_io(runs, depth, side)
            spread = bootstrap.median_interval(values, seed=1)
            rows.append(Bar(f"{SIDES[side]}, depth {depth}", role, spread.median, spread.low,
                            spread.high, duration(spread.median)))
    said = "; ".join(f"{row.name}: {row.words}" for row in rows)
    return bars(CHART_WIDTH, rows, f"Time per {block_size(size)} read in QEMU. {said}.").render(
        standalone=True)


def _write(folder: Path, runs: Sequence[Run], text: str, chart: str) -> None:
    storage.write_text(folder / "table.txt", text)
    storage.write_text(folder / "chart.svg", chart)
    with open(folder / RUNS, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in dataclasses.fields(Run))
        writer.writerows(dataclasses.astuple(run) for run in runs)
