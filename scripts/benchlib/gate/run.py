# SPDX-License-Identifier: MIT OR Apache-2.0
"""One run of the gate: two libraries in turns, counted and judged."""

from __future__ import annotations

import argparse
import datetime
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Sequence

import numpy as np

from .. import prepare
from ..errors import Exit
from ..machine import quiet
from ..machine.environment import record
from ..measure import plan, targets
from ..measure.campaign import Campaign
from ..measure.variants import FIO, Build
from ..result.model import Environment, Sample, left_out
from ..stats import metrics
from . import counts, judge, verdict
from .model import CANDIDATE, SCHEMA, Count, GateResult, Limits, Side

RAMP_MS = 30
FAILED = "failed"


@dataclass(frozen=True)
class Library:
    """A side with the folder of its library."""

    side: Side
    folder: Path


def limits(options: argparse.Namespace) -> Limits:
    return Limits(options.effect, options.alpha, options.instructions, options.calls)


def campaign(options: argparse.Namespace, libraries: Sequence[Library]) -> Campaign:
    """What is to be measured of the libraries, which are staged."""
    builds = [Build(library.side.name, library.folder, FIO) for library in libraries]
    wanted = argparse.Namespace(**{**vars(options), "baseline": "", "quick": False,
                                   "target": options.target or ["page-cache"],
                                   "max_load": 1.0, "patience": 0.0})
    made = plan.campaign(wanted, builds)
    made.settings = replace(made.settings, ramp_ms=RAMP_MS)
    made.count_calls = False  # counts.py does, for both sides alike
    made.figure = metrics.metric(options.metric[0])
    return made


@dataclass
class Conclusion:
    """What a run gave; `code` is its exit status unless the verdict has a word in it."""

    result: GateResult
    code: Exit


def run(options: argparse.Namespace, libraries: Sequence[Library], build: Path,
        stored: Sequence[Sample] = (), notes: Sequence[str] = ()) -> Conclusion:
    """Measure and judge. `stored` are the baseline's samples when they are from a file; `build`
    is the folder that the environment tells about."""
    with ExitStack() as stack:
        planned = campaign(options, libraries)
        plan.announce(planned)
        for target in planned.targets.values():
            if target.scratch:
                targets.make_scratch(target, stack, options.keep)
        stack.enter_context(quiet.stay_off(planned.settings.cpus))
        held = stack.enter_context(quiet.no_deep_sleep())
        environment = record(prepare.ROOT, build, planned.settings.cpus[-1], held)
        started, begin = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
        complete, code = planned.run(judge.paired_interval)
        found: list[Count] = []
        said = [*notes, *environment.notes, *left_out(planned.skips)]
        if complete and len(planned.failures) == planned.lost:
            code = Exit.OK  # some rounds are lost, which the notes say: the others decide
        if complete and not stored and not options.no_counts:
            found, more = counts.all_counts(planned, options.modes, limits(options))
            said += more
        result = _result(options, planned, environment, libraries, found, complete,
                         [*stored, *planned.samples], paired=not stored)
        result = replace(result, started=started.isoformat(timespec="seconds"), notes=said,
                         seconds=round(time.monotonic() - begin, 1))
    return concluded(result, code, options.tolerate)


def _result(options: argparse.Namespace, planned: Campaign, environment: Environment,
            libraries: Sequence[Library], found: list[Count], complete: bool,
            samples: list[Sample], paired: bool) -> GateResult:
    loads = [sample.other_load for sample in planned.samples]
    return GateResult(
        schema=SCHEMA, complete=complete, started="", seconds=0.0, verdict=FAILED, exit_status=1,
        tolerated=options.tolerate, limits=limits(options), settings=planned.settings,
        sides=[library.side for library in libraries],
        environment=named(environment, [library.side for library in libraries]),
        targets=[target.info() for target in planned.targets.values()],
        other_load=float(np.median(loads)) if loads else 0.0,
        findings=judge.judge(samples, options.metric, limits(options), paired),
        counts=found, notes=[], samples=samples)


def named(environment: Environment, sides: Sequence[Side]) -> Environment:
    """With the candidate's version as the library's: the folder that was built may be a tree
    without a history, which says none."""
    return replace(environment, libblkio=next(
        (side.version for side in sides if side.name == CANDIDATE), environment.libblkio))


def concluded(result: GateResult, code: Exit, tolerated: Sequence[str]) -> Conclusion:
    """With the verdict over all and its status; a run that failed or found nothing has none."""
    words = [item.verdict for item in result.items()]
    if code == Exit.OK and words:
        status = verdict.exit_status(words, tolerated)
        return Conclusion(replace(result, verdict=verdict.worst(words), exit_status=int(status)),
                          status)
    code = code if code != Exit.OK else Exit.FAILED
    return Conclusion(replace(result, exit_status=int(code)), code)
