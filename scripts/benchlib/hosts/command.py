# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench --hosts`: check every host, start fio's servers, measure, write."""

from __future__ import annotations

import argparse
import datetime
import itertools
import random
import shlex
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from ..compare import output
from ..errors import BenchError, Exit, refuse
from ..machine import environment
from ..measure import fio, plan
from ..measure.engines import Engine, choose
from ..progress import Progress
from ..result import storage
from ..result.contents import is_native
from ..result.model import (SCHEMA, Case, EngineInfo, Environment, Result, Settings, Skip,
                            TargetInfo)
from ..stats.summaries import summarise
from . import job, merge, remote
from .measure import Rounds
from .remote import HostFacts


def hosts(options: argparse.Namespace) -> Exit:
    engines = _engines(options)
    for option, path in (("--target", options.path), ("--library", options.library)):
        if not path.startswith("/") and (option == "--target" or "/" in path):
            raise refuse(f"{option} {path}: it is a path on other machines", "Begin it with a /.")
    for rw in options.rw:
        fio.check_workload(rw)
        if fio.writes(rw):
            raise refuse(f"--rw {rw}: on other machines only reads are allowed",
                         "Choose randread or read; to write, run scripts/bench on that machine.")
    ssh = shlex.split(options.ssh)
    names = remote.names(options.hosts)
    folder = storage.new_folder("hosts", options.output, storage.RESULT, storage.GATE)
    storage.prepare_folder(folder)
    progress = Progress(options.rounds * len(engines) * _cells(options))
    known, lost = _ask(ssh, names, options, engines, progress)
    started, begin = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    complete = True
    with ExitStack() as stack:
        rounds = _prepare(stack, ssh, known, lost, options, engines, progress)
        try:
            rounds.run()
        except KeyboardInterrupt:
            progress.say("stopped")
            complete = False
        finally:
            progress.close()
    if not rounds.samples:
        storage.drop_if_empty(folder)
        raise BenchError("no round was complete: there is nothing to keep")
    result = _result(rounds, known, engines, options.baseline, complete,
                     started.isoformat(timespec="seconds"), time.monotonic() - begin)
    folder = storage.keep(folder, storage.RESULT, result)
    output.write(folder, result)
    output.announce(folder, result)
    for note in result.environment.notes:
        print(f"note: {note}")
    return Exit.INTERRUPTED if not complete else Exit.FAILED if rounds.lost else Exit.OK


def _engines(options: argparse.Namespace) -> dict[str, Engine]:
    """The modes by name; libblkio's may be named as the loader finds it."""
    chosen = choose(options.modes, options.library, options.baseline)
    unfit = [engine.name for engine in chosen if not job.remote(engine)]
    if unfit:
        raise refuse(f"--modes {', '.join(unfit)}: not on other machines",
                     "Choose modes that need no server or other device, such as native, block, loop.")
    return {engine.name: job.as_loaded(engine, options.library) for engine in chosen}


def _cells(options: argparse.Namespace) -> int:
    return len(options.rw) * len(options.bs) * len(options.depth) * len(options.numjobs)


def _ask(ssh: list[str], names: list[str], options: argparse.Namespace, engines: dict[str, Engine],
         progress: Progress) -> tuple[dict[str, HostFacts], dict[str, str]]:
    """What each host is, and why some cannot take part."""
    library = "" if all(map(is_native, engines)) else options.library
    ours = environment.fio_version()
    known: dict[str, HostFacts] = {}
    lost: dict[str, str] = {}
    for name in names:
        try:
            found = remote.facts(ssh, name, options.path, library, options.fio)
        except BenchError as error:
            lost[name] = error.message
            progress.say(f"{name} is left out: {error.message}")
            continue
        known[name] = found
        why = remote.unfit(found, ours)
        if why:
            lost[name] = why
            progress.say(f"{name} is left out: {why}")
    if len(lost) == len(names):
        raise BenchError("no host can take part: " + "; ".join(
            f"{name}: {why}" for name, why in lost.items()))
    return known, lost


def _prepare(stack: ExitStack, ssh: list[str], known: dict[str, HostFacts], lost: dict[str, str],
             options: argparse.Namespace, engines: dict[str, Engine],
             progress: Progress) -> Rounds:
    """Start the servers; a host whose server does not start is left out."""
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hosts-")))
    sockets: dict[str, Path] = {}
    for number, name in enumerate(name for name in known if name not in lost):
        socket = place / str(number)
        try:
            stack.enter_context(remote.server(ssh, name, options.fio, socket))
        except BenchError as error:
            lost[name] = error.message
            progress.say(f"{name} is left out: {error.message}")
        else:
            sockets[name] = socket
    seed = random.SystemRandom().randrange(1 << 31) if options.seed is None else options.seed
    settings = Settings(
        workloads=options.rw, block_sizes=options.bs, depths=options.depth,
        numjobs=options.numjobs, modes=list(engines), rounds=options.rounds, until=None,
        budget=None, runtime_ms=options.runtime, ramp_ms=plan.RAMP_MS, seed=seed, cpus=[],
        max_load=1.0)
    cases = [Case("", *cell) for cell in itertools.product(
        options.rw, options.bs, options.depth, options.numjobs)]
    progress.start()
    return Rounds(settings, cases, engines, sockets, {name: known[name].size for name in sockets},
                  options.path, not options.buffered, place, progress, lost=lost)


# ---- The result ------------------------------------------------------------------------------


def _result(rounds: Rounds, known: dict[str, HostFacts], engines: dict[str, Engine], baseline: str,
            complete: bool, started: str, seconds: float) -> Result:
    against = {name: "" if name == baseline else baseline for name in engines}
    samples = [*rounds.samples, *merge.together(rounds.samples, rounds.alive())]
    summaries = summarise(samples, against, rounds.settings.seed)
    measured = list(dict.fromkeys(sample.case.target for sample in samples))
    notes = [*merge.outliers(summaries), *_notes(known, rounds.alive())]
    return Result(
        schema=SCHEMA, complete=complete, started=started, seconds=round(seconds, 1),
        settings=rounds.settings, environment=_environment(known, notes),
        targets=[TargetInfo(name, name, "remote", rounds.direct,
                            rounds.sizes.get(name, sum(rounds.sizes.values())), "on its host",
                            rounds.path, {}) for name in measured],
        engines=[EngineInfo(name, engine.label, against[name], "", environment.fio_version(),
                            engine.options, None) for name, engine in engines.items()],
        skips=[Skip(name, "", why) for name, why in rounds.lost.items()], summaries=summaries,
        system_calls=[], retried_rounds=0, samples=samples)


def _notes(known: dict[str, HostFacts], alive: list[str]) -> list[str]:
    return [f"{merge.TOGETHER}: {', '.join(alive)}; those that were lost are not part of it",
            "other load on the hosts was not watched", *remote.described(known, alive)]


def _environment(known: dict[str, HostFacts], notes: list[str]) -> Environment:
    """Of the hosts, not of this machine; of the first where one value must do."""
    first = next(iter(known.values()))
    cpus = ", ".join(dict.fromkeys(found.cpu for found in known.values()))
    kernels = ", ".join(dict.fromkeys(found.kernel for found in known.values()))
    unknown = "unknown"
    return Environment(
        fio=first.fio, libblkio=unknown, libblkio_build=unknown, kernel=kernels,
        distribution=unknown, cpu=f"{len(known)} hosts: {cpus}", cpus=first.cpus,
        threads_per_core=0, numa_nodes=0, virtualised=unknown, memory_mib=first.memory_mib,
        governor=unknown, idle_states=unknown, cpu_latency_held=False, clock=unknown,
        mitigations=unknown, python=unknown, notes=notes)
