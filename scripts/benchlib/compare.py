# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench compare`: plan, measure, write, print."""

from __future__ import annotations

import argparse
import datetime
import time
from contextlib import ExitStack
from pathlib import Path

from . import environment, machine, plan, prepare, results, stats, targets
from .contenders import BASELINE
from .errors import BenchError, Exit, refuse
from .measure import Campaign
from .model import SCHEMA, ContenderInfo, Environment, Result
from .report import files


def compare(options: argparse.Namespace, campaign: Campaign) -> Exit:
    build = plan.build_folder(options)
    folder = _folder(options)
    if not options.no_build:
        prepare.build_library(build)
    prepare.check_engine(build)
    plan.announce(campaign)
    with ExitStack() as stack:
        for target in campaign.targets.values():
            if target.scratch:
                targets.make_scratch(target, stack, options.keep)
        code = _run(campaign, folder, build, stack)
    return code


def _run(campaign: Campaign, folder: Path, build: Path, stack: ExitStack) -> Exit:
    """Measure and report; what was measured before a failure or Ctrl-C is kept as partial."""
    results.prepare_folder(folder)
    stack.enter_context(machine.stay_off(campaign.settings.cpus))
    held = stack.enter_context(machine.no_deep_sleep())
    record = environment.record(prepare.ROOT, build, campaign.settings.cpus[-1], held)
    for note in record.notes:
        campaign.progress.say(f"note: {note}")
    started, begin = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    complete, code = _measure(campaign)
    if not campaign.samples:
        campaign.progress.say("no round was complete: there is nothing to keep")
        results.drop_if_empty(folder)
        return code
    result = Result(
        schema=SCHEMA, complete=complete, started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begin, 1), settings=campaign.settings,
        environment=record, targets=[target.info() for target in campaign.targets.values()],
        contenders=_infos(campaign, plan.engine_path(build), record), skips=campaign.skips,
        summaries=stats.summarise(campaign.samples, against(campaign),
                                  campaign.settings.seed),
        system_calls=campaign.system_calls, retried_rounds=campaign.retried,
        samples=campaign.samples)
    results.write(folder, result)
    files.write(folder, result)
    files.announce(folder, result)
    return code


def _measure(campaign: Campaign) -> tuple[bool, Exit]:
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


def _folder(options: argparse.Namespace) -> Path:
    """The folder for the results, which must not hold any yet."""
    name = f"compare-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    folder = Path(options.output) if options.output else prepare.ROOT / "results" / name
    if (folder / results.RESULT).exists():
        raise refuse(f"{folder} holds a result already", "Move it away or choose another --output.")
    return folder


def against(campaign: Campaign) -> dict[str, str]:
    """Whom each contender is compared with."""
    return {name: "" if name == BASELINE else BASELINE for name in campaign.contenders}


def _infos(campaign: Campaign, engine: str, record: Environment) -> list[ContenderInfo]:
    return [ContenderInfo(contender.name, contender.label, against(campaign)[contender.name],
                          "" if contender.name.startswith("native") else record.libblkio,
                          record.fio,
                          [option.replace(engine, "libblkio.so") for option in contender.options],
                          campaign.ring_flags.get(contender.name))
            for contender in campaign.contenders.values()]
