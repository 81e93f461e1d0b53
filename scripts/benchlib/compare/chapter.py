# SPDX-License-Identifier: MIT OR Apache-2.0
"""A comparison as a chapter: verdict, figures, tables, and all that belongs to them."""

from __future__ import annotations

from typing import Sequence

from ..page.page import (BAD, CAUTION, GOOD, NEUTRAL, Chapter, Download, Fact, Facts, Notes,
                         Section, Table, TableCell, cells, present, section, shown)
from ..page.scale import change
from ..page.tails import deepest, name
from ..progress import clock
from ..result import contents
from ..result.model import Case, Result, Summary, left_out
from ..result.words import duration
from ..stats.bootstrap import CONFIDENCE
from ..stats.summaries import VERDICTS
from . import figures, headline, surroundings, table
from .headline import spaced
from .view import View

MOODS = {"faster": GOOD, "slower": BAD, "unclear": CAUTION, "too-few": CAUTION}
MOST_TABLES = 12  # of one case each
METHOD = [
    "Every figure comes from many short fio processes. A round runs all modes directly after each "
    "other, in random order and then in reverse, so that drift of the machine favours nobody.",
    "Latency is submission to completion (fio's lat); lower is better. A mode's mean is the median "
    "over its rounds.",
    f"A ratio compares a mode with its reference within the same round. Its {CONFIDENCE:.0%} "
    "interval is a bootstrap of the median over the rounds.",
    "Percentiles come from the merged histograms of all rounds; averaged percentiles would be "
    "wrong. One is left out where fewer than ten I/Os were slower.",
    "Nanoseconds of two runs do not compare, least of all of two machines: only ratios do.",
]


def chapter(result: Result, downloads: list[Download]) -> Chapter:
    view = View(result)
    settings = result.settings
    jobs = "" if settings.numjobs == [1] else f", {'/'.join(map(str, settings.numjobs))} jobs"
    return Chapter(
        kind="Comparison", title=_title(view),
        subtitle=f"{table.workload(result).capitalize()}{jobs}, measured {_date(result.started)} "
                 f"on {result.environment.cpu}, {result.environment.kernel}",
        verdict=shown(headline.headline(result)), facts=_facts(view), downloads=downloads,
        sections=present(
            section("Overview", figures.overview(view), *figures.maps(view)),
            section("Mean latency", figures.means(view)),
            section("More I/O in flight", *figures.depths(view)),
            section("Slow I/Os", figures.ladders(view)),
            section("Over time", figures.rounds(view), *figures.within(view)),
            section("Figures", *_tables(view)),
            _left_out(result), _environment(result),
            section("How it was measured", Notes(METHOD))))


def _title(view: View) -> str:
    names = [view.labels[name] for name in dict.fromkeys(
        item.against for item in view.result.engines if item.against)]
    others = [view.labels[item.name] for item in view.result.engines
              if item.against and item.name in view.measured]
    subject = others[0] if len(others) == 1 else f"{len(others)} modes"
    return f"{subject} compared with {' and '.join(names)}" if names and others \
        else "Latency without a comparison"


def _date(started: str) -> str:
    return started[:16].replace("T", " ") + " UTC"


def _facts(view: View) -> list[Fact]:
    result = view.result
    proven = [row for row in result.summaries if row.ratio and row.verdict == "faster"]
    found = []
    if proven:
        top = min(proven, key=lambda row: row.ratio.median if row.ratio else 1.0)
        assert top.ratio is not None
        found.append(Fact(change(top.ratio.median), f"largest proven gain: "
                          f"{view.labels[top.engine]}, {view.title(top.case)}"))
    rounds = sorted({row.rounds for row in result.summaries})
    if rounds:
        low, high = rounds[0], rounds[-1]
        found.append(Fact(str(high) if low == high else f"{low}–{high}", "rounds behind a figure"))
    found.append(Fact(str(len(view.cases)), "case" if len(view.cases) == 1 else "cases"))
    found.append(Fact(clock(result.seconds), "measured"))
    found.append(Fact(spaced(f"{contents.disturbed_share(result):.0%}"),
                      "of the rounds disturbed by other programs, at worst"))
    return found


# ---- Tables ----------------------------------------------------------------------------------


def _tables(view: View) -> list[Table]:
    """A table per case; of a matrix, one per target, with the case as a column."""
    if len(view.cases) <= MOST_TABLES:
        return [_table(view, [case], table.case_title(view.result, case)) for case in view.cases]
    return [_table(view, [case for case in view.cases if case.target == target.name], target.label)
            for target in view.result.targets]


def _table(view: View, cases: Sequence[Case], caption: str) -> Table:
    rows = [row for case in cases for row in view.rows(case)]
    tail = deepest([view.histogram(row.case, row.engine) for row in rows])
    tails = [percent for percent in (99.9, tail) if tail and percent and 99 < percent <= tail]
    tails = list(dict.fromkeys(tails)) if len(cases) == 1 else []
    calls = {(item.case, item.engine): item.per_io for item in view.result.system_calls
             if item.case in cases}
    several = len(cases) > 1
    head = [*(["Case"] if several else []), "Mode", "mean", "p50", "p99", *map(name, tails), "kIOPS",
            *(["calls/IO"] if calls else []), "vs. reference", f"{CONFIDENCE:.0%} interval",
            "verdict"]
    body = []
    for row in rows:
        known = calls.get((row.case, row.engine))
        body.append([
            *cells(*([headline.shape(row.case)] if several else []), view.labels[row.engine],
                   duration(row.mean), duration(row.p50), duration(row.p99)),
            *(TableCell(duration(view.percentile(row.case, row.engine, p))) for p in tails),
            TableCell(f"{row.iops / 1000:.1f}"),
            *([TableCell("–" if known is None else f"{known:.1f}")] if calls else []),
            *_ratio_cells(row)])
    return Table(caption, head, body, words=2 if several else 1, wordy_end=True)


def _ratio_cells(row: Summary) -> list[TableCell]:
    if row.ratio is None:
        return cells("reference" if row.verdict == "baseline" else "–", "–",
                     VERDICTS[row.verdict] or "–")
    words = VERDICTS[row.verdict]
    if row.disturbed:
        words += f"; {row.disturbed} of {row.rounds} rounds disturbed"
    return [*cells(f"{row.ratio.median:.3f}", f"{row.ratio.low:.3f} to {row.ratio.high:.3f}"),
            TableCell(words, MOODS.get(row.verdict, NEUTRAL))]


def _left_out(result: Result) -> Section | None:
    lines = left_out(result.skips)
    if not result.complete:
        lines.insert(0, "The run was stopped before its end: later rounds are missing.")
    return section("Left out", Notes(lines))


def _environment(result: Result) -> Section | None:
    lines = surroundings.lines(result)
    notes = [value for name, value in lines if name == "note"]
    return section("Environment", Notes(notes),
                   Facts("", [line for line in lines if line[0] != "note"]))
