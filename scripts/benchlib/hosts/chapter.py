# SPDX-License-Identifier: MIT OR Apache-2.0
"""A qualification of many hosts as chapters: all of them together, then each by itself."""

from __future__ import annotations

from pathlib import Path

from ..page.page import (BAD, CAUTION, GOOD, Chapter, Download, Fact, Notes, Table, TableCell, cells,
                         present, section, shown)
from ..progress import clock
from ..qualify import chapter as of_one, figures, store
from ..qualify.limits import in_words
from ..result.words import counted, duration
from ..verdict import FAILED, QUALIFIED
from . import overview as of
from .overview import Overview

METHOD = [
    "All hosts did the same steps at the same time, each at its own pace: fio's client here, fio's "
    "server there.",
    "Together: IOPS and throughput added up, latencies pooled, over the hosts named.",
    "A host stands out when its figure is farther from the median of the hosts than 3.5 times their "
    "scatter and 5 %; it takes three hosts.",
]


def chapters(overview: Overview, folder: Path) -> list[Chapter]:
    """`folder` has what they are drawn from, which goes into them."""
    each = [of_one.chapter(overview.found[host.name],
                           [_raw(folder / host.folder / store.FILE, host.folder)], host.name)
            for host in overview.record.hosts if host.folder]
    return [_together(overview, [_raw(folder / of.FILE, "all")]), *each]


def _raw(file: Path, host: str) -> Download:
    return Download(f"{host}-{file.name}", file.read_bytes())


def _together(overview: Overview, downloads: list[Download]) -> Chapter:
    record, found = overview.record, overview.found
    qualified = sum(one.verdict == QUALIFIED for one in found.values())
    return Chapter(
        kind="Qualification",
        title=f"{record.path} on {counted(len(record.hosts), 'host', 'hosts')}",
        subtitle=f"Measured {record.started[:16].replace('T', ' ')} UTC",
        verdict=shown(of.headline(overview)),
        facts=[Fact(f"{qualified} of {len(record.hosts)}", "hosts qualified"),
               Fact(str(len(record.hosts) - len(found)), "hosts left out")],
        downloads=downloads,
        sections=present(
            section("Hosts that stand out", Notes(of.outliers(overview))),
            section("Hosts", _hosts(overview)),
            section("All hosts together", _figures(overview)),
            section("What the hosts are", Notes(record.notes)),
            section("How it was measured", Notes(METHOD))))


def _hosts(overview: Overview) -> Table:
    rows = []
    for host in overview.record.hosts:
        found = overview.found.get(host.name)
        if found is None:
            rows.append([TableCell(host.name), TableCell("left out", CAUTION),
                         *cells("–", "–", "–", host.lost)])
            continue
        mood = {QUALIFIED: GOOD, FAILED: BAD}.get(found.verdict, CAUTION)
        done = sum(step.state == "done" for step in found.steps)
        rows.append([
            TableCell(host.name), TableCell(found.verdict, mood),
            *cells(" ".join(filter(None, (found.device.medium, found.device.serial))),
                   f"{done} of {len(found.steps)}", clock(found.seconds),
                   host.lost or "; ".join(found.reasons))])
    return Table("What came of each host", ["Host", "verdict", "device", "steps done", "measured",
                                            "why"], rows, words=3, wordy_end=True)


def _figures(overview: Overview) -> Table:
    rows = [cells(row.step, figures.work_name(row.workload), str(len(row.hosts)),
                  f"{row.iops:,.0f}", f"{row.least:,.0f} to {row.most:,.0f}",
                  in_words("bandwidth", row.bandwidth), duration(row.mean), duration(row.p99))
            for row in of.together(overview)]
    return Table("Each workload, on all hosts that did it",
                 ["Step", "workload", "hosts", "IOPS", "of a host", "throughput", "mean", "p99"],
                 rows, words=2)
