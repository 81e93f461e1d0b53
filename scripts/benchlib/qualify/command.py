# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench qualify`: refuse or plan, measure, judge, write, print."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from .. import environment, inuse, machine, prepare, results
from ..errors import BenchError, refuse
from ..model import Environment
from ..progress import clock
from ..report import command as report
from . import health, limits, preflight, request, session, store, text
from .jobs import Bench
from .model import SCHEMA, Check, Health, Qualification
from .request import Request
from .session import Session
from .verdict import EXITS, QualifyExit

TEXT = "verdict.txt"


def qualify(options: argparse.Namespace) -> int:
    demanded = limits.read(options.limits) if options.limits else []
    asked = request.resumed(options) if options.resume else request.fresh(options)
    if asked.earlier and not options.limits:
        demanded = limits.again(asked.earlier.criteria)
    before = health.record(asked.device) if not asked.to_make else health.of_no_device()
    checks = _preflight(asked, before, options.accept)
    refused = preflight.refusals(checks)
    if options.dry_run:
        print(text.preflight(checks), text.plan(asked), sep="\n\n")
        return QualifyExit.REFUSED if refused else QualifyExit.QUALIFIED
    folder = _folder(options)
    if not options.no_build:
        prepare.build_library(request.build_folder(options))
    prepare.check_engine(request.build_folder(options))
    results.prepare_folder(folder)
    with ExitStack() as stack:
        held = stack.enter_context(machine.no_deep_sleep())
        record = environment.record(prepare.ROOT, request.build_folder(options),
                                    asked.plan.cpus[-1], held)
        if refused:
            code = _refuse(folder, asked, record, before, checks)
        else:
            stack.enter_context(machine.stay_off(asked.plan.cpus))
            asked = _ready(asked, options)
            stack.enter_context(inuse.claim(asked.device.path, not asked.plan.read_only))
            work = _session(asked, folder, record, before, checks, demanded, options)
            code = _run(work, options)
    return code


def _preflight(asked: Request, before: Health, accept: list[str]) -> list[Check]:
    where = preflight.site(asked.device, before, asked.plan.cpus[-1], not asked.plan.read_only,
                           "--hipri=1" in asked.contender.options)
    earlier = asked.earlier.checks if asked.earlier else []
    return preflight.run(where, [*accept, *(check.name for check in earlier if check.accepted)])


def _folder(options: argparse.Namespace) -> Path:
    if options.resume:
        path = Path(options.resume)
        return path if path.is_dir() else path.parent
    name = f"qualify-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    folder = Path(options.output) if options.output else prepare.ROOT / "results" / name
    if (folder / store.FILE).exists():
        raise refuse(f"{folder} holds a result already",
                     f"Go on with it: --resume {folder}\n  Or choose another --output.")
    return folder


def _ready(asked: Request, options: argparse.Namespace) -> Request:
    """With the file made, if one is to be made."""
    if not asked.to_make:
        return asked
    request.make_file(asked.device)
    try:
        return request.fresh_on_made(options, asked)
    except BaseException:
        os.unlink(asked.device.path)
        raise


def _refuse(folder: Path, asked: Request, record: Environment, before: Health,
            checks: list[Check]) -> int:
    """The preflight says no: keep its reasons, measure nothing."""
    found = Qualification(
        schema=SCHEMA, verdict="refused", complete=False, started=session.now(), seconds=0.0,
        reasons=[f"{check.title}: {check.value}" for check in preflight.refusals(checks)],
        sittings=[], plan=asked.plan, environment=record, device=asked.device,
        health_before=before, health_after=None, checks=checks, caveats=[], steps=asked.steps,
        criteria=[])
    if asked.earlier is None:
        store.write(folder, found)
        results.write_text(folder / TEXT, text.render(found))
    print(text.preflight(checks))
    for check in preflight.refusals(checks):
        print(f"bench: refused: {check.title}: {check.value}. {check.why}\n  {check.remedy}"
              + _acceptance(check), file=sys.stderr)
    return QualifyExit.REFUSED


def _acceptance(check: Check) -> str:
    if check.name in preflight.NEVER_ACCEPTED:
        return ""
    return f"\n  Or go on, with figures that say so: --accept {check.name}"


def _session(asked: Request, folder: Path, record: Environment, before: Health,
             checks: list[Check], demanded: list[limits.Limit],
             options: argparse.Namespace) -> Session:
    earlier = asked.earlier
    bench = Bench(asked.device, asked.target, asked.contender, asked.plan.cpus,
                  spent=earlier.seconds if earlier else 0.0)
    caveats = preflight.caveats(checks)
    if asked.plan.extent < asked.device.size * 0.9:
        caveats.append(f"Only {asked.plan.extent >> 20} MiB of {asked.device.size >> 20} MiB were "
                       "used: caches may hold all of that.")
    if asked.plan.read_only:
        caveats.append("Read only: nothing was filled, no write was measured, nothing verified.")
    if options.steps:
        caveats.append(f"Only some steps were asked for: {', '.join(options.steps)}.")
    if earlier:
        caveats = list(dict.fromkeys([*earlier.caveats, *caveats]))
    return Session(
        request=asked, folder=folder, bench=bench, environment=record,
        before=earlier.health_before if earlier else before, checks=checks, caveats=caveats,
        limits=demanded, sittings=[*(earlier.sittings if earlier else []), session.now()])


def _run(work: Session, options: argparse.Namespace) -> int:
    code: int | None = None
    about = sum(step.estimate_seconds for step in work.request.steps if step.state != "done")
    work.progress.say(f"qualifying {work.request.device.path} ({work.request.device.medium}), "
                      f"profile {work.request.plan.profile}: about {clock(about)}")
    try:
        work.run()
    except KeyboardInterrupt:
        code = QualifyExit.INTERRUPTED
        work.progress.say(f"stopped; go on with: --resume {work.folder}")
    except BenchError as error:
        code = QualifyExit.INCOMPLETE
        work.progress.say(f"bench: {error}")
    found = work.found()
    with contextlib.suppress(BenchError):  # when even this cannot be written, it is printed
        results.write_text(work.folder / TEXT, text.render(found))
        report.beside(work.folder)
    print(text.render(found))
    _tidy(work, options, found.complete)
    print(f"Result: {work.folder}")
    if code is not None and found.verdict == "incomplete":
        return code
    return EXITS[found.verdict]


def _tidy(work: Session, options: argparse.Namespace, complete: bool) -> None:
    """A file that was made goes, unless it is needed to go on."""
    device = work.request.device
    if not device.created:
        return
    if complete and not options.keep:
        Path(device.path).unlink(missing_ok=True)
    elif not complete:
        work.progress.say(f"{device.path} stays, for --resume; remove it otherwise")
