# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench qualify`: refuse or plan, measure, judge, write, print."""

from __future__ import annotations

import argparse
import contextlib
import sys
from contextlib import ExitStack
from pathlib import Path

from .. import prepare
from ..errors import BenchError
from ..machine import environment, inuse, quiet
from ..page.write import beside
from ..progress import clock
from ..result import storage
from ..result.model import Environment
from ..verdict import INCOMPLETE, QUALIFY, REFUSED
from . import chapter, plan, preflight, request, session, store, text
from .before import examine
from .jobs import Bench
from .limits import Limit
from .model import SCHEMA, Check, Health, Qualification
from .request import Request
from .session import Session
from .verdict import INTERRUPTED

TEXT = "verdict.txt"


def qualify(options: argparse.Namespace) -> int:
    found = examine(options, request.earlier(options))
    asked, checks, build = found.request, found.checks, request.build_folder(options)
    folder = _folder(options)
    if not options.no_build:
        prepare.build_library(build)
    prepare.check_engine(build)
    storage.prepare_folder(folder)
    with ExitStack() as stack:
        held = stack.enter_context(quiet.no_deep_sleep())
        record = environment.record(prepare.ROOT, build, asked.plan.cpus[-1], held)
        if preflight.refusals(checks):
            return _refuse(folder, asked, record, found.health, checks)
        stack.enter_context(quiet.stay_off(asked.plan.cpus))
        asked = request.ready(options, asked)
        stack.enter_context(inuse.claim(asked.device.path, not asked.plan.read_only))
        work = _session(asked, folder, record, found.health, checks, found.limits)
        return _run(work, options)


def _folder(options: argparse.Namespace) -> Path:
    if options.resume:
        path = Path(options.resume)
        return path if path.is_dir() else path.parent
    return storage.new_folder("qualify", options.output, store.FILE,
                              remedy="Resume it with --resume, or choose another --output.")


def _refuse(folder: Path, asked: Request, record: Environment, before: Health,
            checks: list[Check]) -> int:
    """The preflight says no: keep its reasons, measure nothing."""
    found = Qualification(
        schema=SCHEMA, verdict=REFUSED, complete=False, started=session.now(), seconds=0.0,
        reasons=[f"{check.title}: {check.value}" for check in preflight.refusals(checks)],
        sittings=[], plan=asked.plan, environment=record, device=asked.device,
        health_before=before, health_after=None, checks=checks, caveats=[], steps=asked.steps,
        criteria=[])
    if asked.earlier is None:
        store.write(folder, found)
        storage.write_text(folder / TEXT, text.render(found))
    print(text.preflight(checks))
    for check in preflight.refusals(checks):
        print(f"bench: refused: {check.title}: {check.value}. {check.why}\n  {check.remedy}"
              + _acceptance(check), file=sys.stderr)
    return QUALIFY[REFUSED].code


def _acceptance(check: Check) -> str:
    if check.name in preflight.NEVER_ACCEPTED:
        return ""
    return f"\n  Or go on, with figures that say so: --accept {check.name}"


def _session(asked: Request, folder: Path, record: Environment, before: Health,
             checks: list[Check], demanded: list[Limit]) -> Session:
    earlier = asked.earlier
    bench = Bench(asked.device, asked.target, asked.engine, asked.plan.cpus,
                  spent=earlier.seconds if earlier else 0.0)
    return Session(
        request=asked, folder=folder, bench=bench, environment=record,
        before=earlier.health_before if earlier else before, checks=checks, limits=demanded,
        sittings=[*(earlier.sittings if earlier else []), session.now()])


def _run(work: Session, options: argparse.Namespace) -> int:
    code: int | None = None
    about = sum(step.estimate_seconds for step in work.request.steps if step.state != "done")
    work.progress.say(f"qualifying {work.request.device.path} ({work.request.device.medium}), "
                      f"profile {plan.title(work.request.plan)}: about {clock(about)}")
    try:
        work.run()
    except KeyboardInterrupt:
        code = INTERRUPTED
        work.progress.say(f"stopped; go on with: --resume {work.folder}")
    except BenchError as error:
        code = QUALIFY[INCOMPLETE].code
        work.progress.say(f"bench: {error}")
    found = conclude(work)
    print(text.render(found))
    _tidy(work, options, found.complete)
    print(f"Result: {work.folder}")
    if code is not None and found.verdict == INCOMPLETE:
        return code
    return QUALIFY[found.verdict].code


def conclude(work: Session) -> Qualification:
    """The verdict, with its text and its page beside the result."""
    found = work.found()
    with contextlib.suppress(BenchError):  # when even this cannot be written, it is printed
        storage.write_text(work.folder / TEXT, text.render(found))
        beside(work.folder / store.FILE, lambda raw: chapter.chapter(found, raw))
    return found


def _tidy(work: Session, options: argparse.Namespace, complete: bool) -> None:
    """A file that was made goes, unless it is needed to go on."""
    device = work.request.device
    if not device.created:
        return
    if complete and not options.keep:
        Path(device.path).unlink(missing_ok=True)
    elif not complete:
        work.progress.say(f"{device.path} stays, for --resume; remove it otherwise")
