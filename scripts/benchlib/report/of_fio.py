# SPDX-License-Identifier: MIT OR Apache-2.0
"""What fio's own JSON says, as a chapter. It claims no more than the files do: the gaps come first,
and nothing is called faster.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Sequence

from ..compare import figures, table
from ..compare.view import View
from ..page.page import (Chapter, Download, Fact, Figure, Notes, Table, TableCell, cells, present,
                         section, shown)
from ..result.model import Case, Result, left_out
from ..result.words import duration
from ..verdict import JOBS_FAILED, NOT_COMPARED, Headline, Shortfall, compose


def chapter(result: Result, downloads: list[Download]) -> Chapter:
    view = View(result)
    runs = len(result.samples)
    return Chapter(
        kind="fio", title=f"fio's results: {table.workload(result)}",
        subtitle=f"Measured {result.started[:16].replace('T', ' ')} UTC with "
                 f"{result.environment.fio}, not by scripts/bench",
        verdict=shown(_headline(result)), downloads=downloads,
        facts=[Fact(str(len(view.cases)), "case" if len(view.cases) == 1 else "cases"),
               Fact(str(runs), "run" if runs == 1 else "runs")],
        sections=present(
            section("What is not known", Notes(result.environment.notes)),
            section("More I/O in flight", *figures.depths(view)),
            section("Slow I/Os", _ladders(view)),
            section("Figures", *(_table(view, case) for case in view.cases)),
            section("Left out", Notes(left_out(result.skips)))))


def _headline(result: Result) -> Headline:
    failed = len(result.skips)
    falls = [Shortfall(f"{failed} {'job' if failed == 1 else 'jobs'} failed or did no I/O; the figures "
                       "are of the others", JOBS_FAILED)] if failed else []
    return compose(NOT_COMPARED, "These are the figures that fio wrote. What they do not say is "
                   "listed first.", falls)


def _ladders(view: View) -> Figure | None:
    found = figures.ladders(view)
    return found and replace(found, title="Latency at each percentile, as far as the files have it")


def _table(view: View, case: Case) -> Table:
    rows: list[Sequence[TableCell]] = []
    for row in view.rows(case):
        rows.append(cells(view.labels[row.engine], duration(row.mean), duration(row.p50),
                          duration(row.p99), f"{row.iops / 1000:.1f}", str(row.rounds)))
    return Table(view.title(case), ["Engine", "mean", "p50", "p99", "kIOPS", "runs"],
                 [list(row) for row in rows])
