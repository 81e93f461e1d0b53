# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench compare`: plan, measure, write, print."""

from __future__ import annotations

import argparse
import datetime
import time
from contextlib import ExitStack
from pathlib import Path

from . import environment, machine, plan, prepare, results, stats, targets
from .errors import BenchError, Exit, refuse
from .measure import Campaign
from .model import SCHEMA, ContenderInfo, Environment, Result
from .variants import is_native


def compare(options: argparse.Namespace, campaign: Campaign) -> Exit:
    folder = result_folder(options, "compare")
    make_ready(campaign, not options.no_build)
    plan.announce(campaign)
    with ExitStack() as stack:
        for target in campaign.targets.values():
            if target.scratch:
                targets.make_scratch(target, stack, options.keep)
        code = _run(campaign, folder, stack, options.raw)
    return code


def make_ready(campaign: Campaign, build: bool) -> None:
    """Have every library built and see it loaded by its fio."""
    for folder, fio in campaign.libraries():
        if build:
            prepare.build_library(folder)
        prepare.check_engine(folder, fio)


def _run(campaign: Campaign, folder: Path, stack: ExitStack, raw: bool) -> Exit:
    """Measure and report; what was measured before a failure or Ctrl-C is kept as partial."""
    results.prepare_folder(folder)
    stack.enter_context(machine.stay_off(campaign.settings.cpus))
    held = stack.enter_context(machine.no_deep_sleep())
    record = record_environment(campaign, held)
    for note in record.notes:
        campaign.progress.say(f"note: {note}")
    started, begin = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    complete, code = measure(campaign)
    if not campaign.samples:
        campaign.progress.say("no round was complete: there is nothing to keep")
        results.drop_if_empty(folder)
        return code
    result = Result(
        schema=SCHEMA, complete=complete, started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begin, 1), settings=campaign.settings,
        environment=record, targets=[target.info() for target in campaign.targets.values()],
        contenders=contender_infos(campaign), skips=campaign.skips,
        summaries=stats.summarise(campaign.samples, against(campaign), campaign.settings.seed),
        system_calls=campaign.system_calls, retried_rounds=campaign.retried,
        samples=campaign.samples)
    folder = results.keep(folder, results.RESULT, result)
    if not raw:
        from .report import files  # takes its time to load
        files.write(folder, result)
        files.announce(folder, result)
    return code


def measure(campaign: Campaign) -> tuple[bool, Exit]:
    """Run the campaign: (complete?, exit code)."""
    progress = campaign.progress
    try:
        campaign.trials()
        campaign.rounds()
    except KeyboardInterrupt:
        progress.say("stopped")
        return False, Exit.INTERRUPTED
    except BenchError as error:
        progress.say(f"bench: {error}")
        return False, Exit.FAILED
    finally:
        progress.close()
    return True, Exit.FAILED if campaign.failures else Exit.OK


def result_folder(options: argparse.Namespace, kind: str) -> Path:
    """The folder for the results, which must not hold any yet."""
    name = f"{kind}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    folder = Path(options.output) if options.output else prepare.ROOT / "results" / name
    if any((folder / name).exists() for name in (results.RESULT, results.GATE)):
        raise refuse(f"{folder} holds a result already", "Move it away or choose another --output.")
    return folder


def record_environment(campaign: Campaign, latency_held: bool) -> Environment:
    """The machine, with the first build as the library."""
    builds = [folder for folder, _fio in campaign.libraries()]
    return environment.record(prepare.ROOT, builds[0] if builds else prepare.ROOT / "build",
                              campaign.settings.cpus[-1], latency_held)


def against(campaign: Campaign) -> dict[str, str]:
    """Whom each contender is compared with."""
    return {name: entrant.against for name, entrant in campaign.entrants.items()}


def contender_infos(campaign: Campaign) -> list[ContenderInfo]:
    fios = {entrant.variant.fio for entrant in campaign.entrants.values()}
    versions = {fio: environment.fio_version(fio) for fio in fios}
    builds = {folder: environment.library_version(folder, prepare.ROOT)
              for folder, _fio in campaign.libraries()}
    infos = []
    for name, entrant in campaign.entrants.items():
        variant, engine = entrant.variant, entrant.variant.engine()
        build = None if is_native(name) else variant.build
        infos.append(ContenderInfo(
            name, entrant.contender.label, entrant.against,
            builds[build] if build else "", versions[variant.fio],
            [option.replace(engine, "libblkio.so") if engine else option
             for option in entrant.contender.options],
            campaign.ring_flags.get(name)))
    return infos
