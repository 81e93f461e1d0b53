# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench compare`: plan, measure, write, print."""

from __future__ import annotations

import argparse
import datetime
import time
from contextlib import ExitStack
from pathlib import Path

from .. import prepare
from ..errors import Exit
from ..machine import environment, quiet
from ..measure import plan, targets
from ..measure.campaign import Campaign
from ..result import storage
from ..result.contents import is_native
from ..result.model import SCHEMA, EngineInfo, Environment, Result
from ..stats import summaries
from ..stats.bootstrap import median_interval
from . import output
from .unpaired import compare_stored


def compare(options: argparse.Namespace) -> Exit:
    if options.results:
        return compare_stored(options)
    campaign: Campaign = options.campaign  # by before.py
    folder = storage.new_folder("compare", options.output, storage.RESULT, storage.GATE)
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
    storage.prepare_folder(folder)
    stack.enter_context(quiet.stay_off(campaign.settings.cpus))
    held = stack.enter_context(quiet.no_deep_sleep())
    record = record_environment(campaign, held)
    for note in record.notes:
        campaign.progress.say(f"note: {note}")
    started, begin = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    complete, code = campaign.run(median_interval)
    if not campaign.samples:
        campaign.progress.say("no round was complete: there is nothing to keep")
        storage.drop_if_empty(folder)
        return code
    result = Result(
        schema=SCHEMA, complete=complete, started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begin, 1), settings=campaign.settings,
        environment=record, targets=[target.info() for target in campaign.targets.values()],
        engines=engine_infos(campaign), skips=campaign.skips,
        summaries=summaries.summarise(campaign.samples, against(campaign), campaign.settings.seed),
        system_calls=campaign.system_calls, retried_rounds=campaign.retried,
        samples=campaign.samples)
    folder = storage.keep(folder, storage.RESULT, result)
    if not raw:
        output.write(folder, result)
        output.announce(folder, result)
    return code


def record_environment(campaign: Campaign, latency_held: bool) -> Environment:
    """The machine, with the first build as the library."""
    builds = [folder for folder, _fio in campaign.libraries()]
    return environment.record(prepare.ROOT, builds[0] if builds else prepare.ROOT / "build",
                              campaign.settings.cpus[-1], latency_held)


def against(campaign: Campaign) -> dict[str, str]:
    """Whom each engine is compared with."""
    return {name: variant.against for name, variant in campaign.variants.items()}


def engine_infos(campaign: Campaign) -> list[EngineInfo]:
    fios = {fio: environment.fio_version(fio)
            for fio in {variant.fio for variant in campaign.variants.values()}}
    libraries = {folder: environment.library_version(folder, prepare.ROOT)
                 for folder, _fio in campaign.libraries()}
    infos = []
    for name, variant in campaign.variants.items():
        build, library = variant.build, variant.build.library()
        folder = None if is_native(name) else build.folder
        infos.append(EngineInfo(
            name, variant.engine.label, variant.against,
            libraries[folder] if folder else "", fios[variant.fio],
            [option.replace(library, "libblkio.so") if library else option
             for option in variant.engine.options],
            campaign.ring_flags.get(name)))
    return infos
