# SPDX-License-Identifier: MIT OR Apache-2.0
"""What `qualify --hosts` keeps: hosts.json, which names the hosts, and a folder for each with its
qualification. What it concludes follows from these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..qualify import store
from ..qualify.model import Cell, Qualification, Workload
from ..qualify.plan import label
from ..result import storage
from ..result.model import Histogram
from ..result.words import counted
from ..stats.histograms import merge, percentile
from ..verdict import INCOMPLETE, QUALIFIED, QUALIFY, Headline, Shortfall, compose
from .merge import far

FILE, SCHEMA = storage.HOSTS, "libblkio-hosts/1"


@dataclass(frozen=True)
class HostRecord:
    name: str
    folder: str  # of its qualification, below that of hosts.json; "" where nothing was measured
    lost: str  # why it is not, or not completely, measured; "" when nothing happened to it


@dataclass(frozen=True)
class HostsRecord:
    """hosts.json."""

    schema: str
    started: str  # UTC, ISO 8601
    path: str  # of the device, on each host
    hosts: list[HostRecord]
    notes: list[str]  # what each host is, and in what they differ


@dataclass
class Overview:
    record: HostsRecord
    found: dict[str, Qualification] = field(default_factory=dict)  # of each host that has one


@dataclass(frozen=True)
class Together:
    """A workload of a step on all hosts that did it: rates added up, latencies pooled."""

    step: str
    workload: Workload
    hosts: list[str]
    iops: float
    bandwidth: float
    mean: float
    latency: Histogram
    least: float  # IOPS of the slowest host
    most: float

    @property
    def p99(self) -> float:
        return percentile(self.latency, 99)


def write(folder: Path, record: HostsRecord) -> None:
    storage.write_json(folder / FILE, record)


def read(path: Path) -> Overview:
    file = path / FILE if path.is_dir() else path
    record = storage.read_as(file, HostsRecord, SCHEMA, lambda _record: None)
    return Overview(record, {host.name: store.read(file.parent / host.folder)
                             for host in record.hosts if host.folder})


def headline(overview: Overview) -> Headline:
    """The worst of all hosts; a lost host is one that cannot be judged."""
    hosts, found = overview.record.hosts, overview.found
    words = {host.name: found[host.name].verdict if host.name in found else INCOMPLETE
             for host in hosts}
    good = sum(word == QUALIFIED for word in words.values())
    out = [host.name for host in hosts if host.lost]
    falls = [Shortfall(f"lost or left out: {', '.join(out)}", QUALIFY[INCOMPLETE])] if out else []
    return compose(QUALIFY.worst(words.values()),
                   f"{overview.record.path} is qualified on {good} of "
                   f"{counted(len(hosts), 'host', 'hosts')}", falls,
                   [f"{host.name}: {outcome(overview, host)}" for host in hosts])


def outcome(overview: Overview, host: HostRecord) -> str:
    """What came of a host, and why."""
    found = overview.found.get(host.name)
    if found is None:
        return f"left out: {host.lost}"
    why = [host.lost] if host.lost else found.reasons
    return f"{QUALIFY[found.verdict].text}: {'; '.join(why)}"


def cells(overview: Overview) -> dict[tuple[str, Workload], dict[str, Cell]]:
    """The figures by step and workload, and there by host; without the step that compares engines."""
    groups: dict[tuple[str, Workload], dict[str, Cell]] = {}
    for name, found in overview.found.items():
        for step in found.steps:
            if step.kind != "drivers":
                for cell in step.cells:
                    groups.setdefault((step.name, cell.workload), {})[name] = cell
    return groups


def together(overview: Overview) -> list[Together]:
    rows = []
    for (step, work), own in cells(overview).items():
        if len(own) > 1:
            ios = sum(cell.ios for cell in own.values())
            rates = [cell.iops for cell in own.values()]
            rows.append(Together(
                step, work, list(own), sum(rates), sum(cell.bandwidth for cell in own.values()),
                sum(cell.mean * cell.ios for cell in own.values()) / ios,
                merge(cell.latency for cell in own.values()), min(rates), max(rates)))
    return rows


def outliers(overview: Overview) -> list[str]:
    """A line for each host whose figure is far from those of the others."""
    lines = []
    for (step, work), own in cells(overview).items():
        names = list(own)
        for what, values in (("mean latency", [cell.mean for cell in own.values()]),
                             ("IOPS", [cell.iops for cell in own.values()])):
            lines += [f"{names[place]} stands out: {what} {share:+.0%} from the median of the hosts "
                      f"({step}, {label(work)})" for place, share in far(values)]
    return lines
