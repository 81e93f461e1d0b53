# SPDX-License-Identifier: MIT OR Apache-2.0
"""`scripts/bench qualify --hosts`: each host examines its device and refuses what it would refuse if
asked there; then all are measured at the same time, each in a session of its own.
"""

from __future__ import annotations

import argparse
import random
import shlex
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from ..errors import BenchError, Exit, refuse
from ..machine import environment
from ..page.page import REPORT, Page
from ..page.write import write
from ..progress import Progress, say
from ..qualify import limits, preflight, store, text
from ..qualify.command import conclude
from ..qualify.jobs import Bench
from ..qualify.limits import Limit
from ..qualify.model import Qualification
from ..qualify.session import Session, now
from ..result import codec, storage
from ..result.contents import is_native
from ..verdict import QUALIFY, REFUSED
from . import chapter, overview, remote, there
from .agent import Seen
from .overview import HostRecord, HostsRecord, Overview


class Spoken(Progress):
    """Of one host among several."""

    def __init__(self, host: str) -> None:
        super().__init__(1)
        self._host = host

    def say(self, text: str) -> None:
        super().say(f"{self._host}: {text}")

    def note(self, text: str) -> None:
        super().note(f"{self._host}: {text}")


@dataclass
class Host:
    name: str
    earlier: Qualification | None
    lost: str = ""
    facts: remote.HostFacts | None = None
    connection: there.Connection | None = None
    seen: Seen | None = None
    work: Session | None = None


@dataclass
class Fleet:
    """All hosts, and what is held for them."""

    options: argparse.Namespace
    ssh: list[str]
    folder: Path
    demanded: list[Limit]
    hosts: list[Host]
    before: Overview | None  # when it is resumed
    started: str = field(default_factory=now)
    stop: threading.Event = field(default_factory=threading.Event)

    def on_each(self, what: Callable[[Host], None]) -> None:
        """Do it on all hosts that are not lost, at the same time; one that fails is lost."""
        hosts = [host for host in self.hosts if not host.lost]
        if not hosts:
            return
        with ThreadPoolExecutor(len(hosts)) as pool:
            running = [pool.submit(self._on_one, what, host) for host in hosts]
            try:
                for one in running:
                    one.result()
            except KeyboardInterrupt:
                self.stop.set()
                for host in hosts:
                    with suppress(BenchError):
                        if host.connection:
                            host.connection.ask("interrupt")
                raise

    def _on_one(self, what: Callable[[Host], None], host: Host) -> None:
        try:
            what(host)
        except BenchError as error:
            host.lost = error.message
            say(f"{host.name} {'is lost' if host.work else 'is left out'}: {error}")


def qualify(options: argparse.Namespace) -> int:
    fleet = _fleet(options)
    with ExitStack() as stack:
        fleet.on_each(lambda host: _examine(fleet, host, stack))
        if options.dry_run:
            return _dry_run(fleet)
        if all(host.lost for host in fleet.hosts):
            raise BenchError("no host can take part: " + "; ".join(
                f"{host.name}: {host.lost}" for host in fleet.hosts), code=Exit.USAGE)
        storage.prepare_folder(fleet.folder)
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hosts-")))
        fleet.on_each(lambda host: _begin(fleet, host, stack, place))
        stopped = False
        try:
            fleet.on_each(lambda host: _measure(fleet, host))
        except KeyboardInterrupt:
            stopped = True
        return _conclude(fleet, stopped)


def _fleet(options: argparse.Namespace) -> Fleet:
    if not options.path and not options.resume:
        raise refuse("which device? Name a block device or a file, of the same path on each host.")
    if options.path and not options.path.startswith("/"):
        raise refuse(f"{options.path}: it is a path on other machines", "Begin it with a /.")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 24)
    names = remote.names(options.hosts)
    before = overview.read(Path(options.resume)) if options.resume else None
    if before:
        folder = Path(options.resume)
        unknown = set(names) - before.found.keys()
        if unknown:
            raise refuse(f"{folder} has no measurements of {', '.join(sorted(unknown))}",
                         f"It has of {', '.join(before.found)}.")
        hosts = [Host(name, before.found[name]) for name in names]
    else:
        folder = storage.new_folder("qualify", options.output, store.FILE, overview.FILE)
        hosts = [Host(name, None) for name in names]
    return Fleet(options, shlex.split(options.ssh), folder.absolute(),
                    limits.read(options.limits) if options.limits else [], hosts, before)


# ---- One host ----------------------------------------------------------------------------------


def _examine(fleet: Fleet, host: Host, stack: ExitStack) -> None:
    options = fleet.options
    library = "" if is_native(options.engine) else options.library
    host.facts = remote.facts(fleet.ssh, host.name, "", library, options.fio)
    why = remote.unfit(host.facts, environment.fio_version())
    if why:
        raise BenchError(why)
    host.connection = stack.enter_context(there.connect(fleet.ssh, host.name))
    host.seen = host.connection.get(Seen, "examine", there.sent(options),
                                    codec.encode(host.earlier))
    found = preflight.refusals(host.seen.checks)
    if found and not options.dry_run:
        raise BenchError("; ".join(f"{check.title}: {check.value}" for check in found),
                         "\n  ".join(check.remedy for check in found))


def _begin(fleet: Fleet, host: Host, stack: ExitStack, place: Path) -> None:
    assert host.connection and host.seen
    number, options = fleet.hosts.index(host), fleet.options
    socket = place / str(number)
    session = stack.enter_context(remote.server(fleet.ssh, host.name, options.fio, socket))
    seen = host.seen = host.connection.get(Seen, "begin")
    where = there.There(host.connection, socket, session, place / f"{number}.fio", fleet.stop)
    asked, earlier = there.rebuilt(seen, options.library, host.earlier), host.earlier
    folder = fleet.folder / _folder(host)
    storage.prepare_folder(folder)
    bench = Bench(asked.device, asked.target, asked.engine, asked.plan.cpus, where,
                  spent=earlier.seconds if earlier else 0.0)
    demanded = fleet.demanded or limits.again(earlier.criteria if earlier else [])
    host.work = Session(
        request=asked, folder=folder, bench=bench, environment=where.environment(),
        before=earlier.health_before if earlier else seen.health, checks=seen.checks,
        limits=demanded, sittings=[*(earlier.sittings if earlier else []), now()],
        progress=Spoken(host.name))


def _folder(host: Host) -> str:
    return host.name.replace("/", "_")


def _measure(fleet: Fleet, host: Host) -> None:
    """Also takes back a file that was made, unless it is needed to go on."""
    assert host.work and host.connection
    host.work.run()
    if host.work.found().complete and not fleet.options.keep:
        host.connection.ask("remove")


# ---- All of them -------------------------------------------------------------------------------


def _dry_run(fleet: Fleet) -> int:
    for host in fleet.hosts:
        print(f"{host.name}")
        if host.seen:
            asked = there.rebuilt(host.seen, fleet.options.library, host.earlier)
            print(text.preflight(host.seen.checks), text.plan(asked), sep="\n\n", end="\n\n")
        else:
            print(f"  left out: {host.lost}\n")
    refused = any(not host.seen or preflight.refusals(host.seen.checks) for host in fleet.hosts)
    return QUALIFY[REFUSED].code if refused else int(Exit.OK)


def _conclude(fleet: Fleet, stopped: bool) -> int:
    """Write what is known of each and of all, and print it."""
    before = fleet.before or Overview(HostsRecord(overview.SCHEMA, fleet.started, "", [], []))
    again = {host.name for host in fleet.hosts}
    found = before.found | {host.name: conclude(host.work) for host in fleet.hosts if host.work}
    options, folder = fleet.options, fleet.folder
    facts = {host.name: host.facts for host in fleet.hosts if host.facts}
    path = options.path or next(iter(found.values())).device.path
    record = HostsRecord(
        overview.SCHEMA, before.record.started, path,
        [*(host for host in before.record.hosts if host.name not in again),
         *(HostRecord(host.name, _folder(host) if host.name in found else "", host.lost)
           for host in fleet.hosts)], remote.described(facts, list(found)) or before.record.notes)
    overview.write(folder, record)
    whole = Overview(record, found)
    write(Page(path, chapter.chapters(whole, folder)), folder / REPORT)
    said = overview.headline(whole)
    print(said.line, *(f"  {line}" for line in [*said.details, *overview.outliers(whole)]), sep="\n")
    print(f"Result: {folder}")
    return int(Exit.INTERRUPTED) if stopped else said.word.code
