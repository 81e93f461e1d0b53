# SPDX-License-Identifier: MIT OR Apache-2.0
"""A comparison as a chapter: verdict, figures, tables, and all that belongs to them."""

from __future__ import annotations

import re
from collections import Counter
from typing import Sequence

from .. import table
from ..model import Case, Result, Summary, left_out
from ..progress import clock
from ..stats import CONFIDENCE, VERDICTS
from ..words import duration
from . import compare_figures, surroundings
from .compare_view import View, best_rows
from .page import (BAD, CAUTION, GOOD, NEUTRAL, Cell, Chapter, Download, Fact, Facts, Notes,
                   Section, Table, Verdict, cells, present, section)
from .scale import change
from .tails import deepest, name

MOODS = {"faster": GOOD, "slower": BAD, "unclear": CAUTION, "too-few": CAUTION}
MOST_DETAILS = 8
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
        verdict=verdict(view), facts=_facts(view), downloads=downloads,
        sections=present(
            section("Overview", compare_figures.overview(view), *compare_figures.maps(view)),
            section("Mean latency", compare_figures.means(view)),
            section("More I/O in flight", *compare_figures.depths(view)),
            section("Slow I/Os", compare_figures.ladders(view)),
            section("Over time", compare_figures.rounds(view)),
            section("Figures", *(_table(view, case) for case in view.cases)),
            _left_out(result), _environment(result),
            section("How it was measured", Notes(METHOD))))


def _title(view: View) -> str:
    names = [view.labels[name] for name in dict.fromkeys(
        item.against for item in view.result.contenders if item.against)]
    others = [view.labels[item.name] for item in view.result.contenders
              if item.against and item.name in view.measured]
    subject = others[0] if len(others) == 1 else f"{len(others)} modes"
    return f"{subject} compared with {' and '.join(names)}" if names and others \
        else "Latency without a comparison"


def _date(started: str) -> str:
    return started[:16].replace("T", " ") + " UTC"


# ---- Verdict ---------------------------------------------------------------------------------


def verdict(view: View) -> Verdict:
    """One sentence on the best mode of each case, then a line per case."""
    best = best_rows(view)
    count = Counter(row.verdict for row in best)
    details = [_spaced(line.strip()) for line in table.verdict_lines(view.result)[1:]
               if not line.strip().startswith("Left out")]
    if len(details) > MOST_DETAILS:
        left = len(details) - MOST_DETAILS
        details[MOST_DETAILS:] = [f"and {left} more, in the figures below"]
    partial = "" if view.result.complete else " The run was stopped before its end."
    word, mood = _word(count, len(best), view.result.complete)
    return Verdict(mood, word, _sentence(view, best, count) + partial, details)


def _spaced(text: str) -> str:
    """9.0% as the rest of the report writes it: 9.0 %."""
    return re.sub(r"(\d)%", r"\1 %", text)


def _word(count: Counter[str], cases: int, complete: bool) -> tuple[str, str]:
    if not cases:
        return "nothing compared", CAUTION
    if not complete:
        return "partial result", CAUTION
    if count["too-few"] == cases:
        return "too few rounds", CAUTION
    if count["slower"]:
        return ("mixed", CAUTION) if count["faster"] else ("slower", BAD)
    if count["faster"]:
        return "faster", GOOD
    return "no difference" if count["same"] == cases else "no clear difference", NEUTRAL


def _sentence(view: View, best: Sequence[Summary], count: Counter[str]) -> str:
    if not best:
        return "There is nothing to compare: no mode ran together with its reference."
    parts = [_shift(view, [row for row in best if row.verdict == word], word, len(best))
             for word in ("faster", "slower") if count[word]]
    rest = {"same": "the same within 2 %", "unclear": "without a clear difference",
            "too-few": "measured in too few rounds to tell"}
    left = [f"{count[word]} {'is' if count[word] == 1 else 'are'} {text}"
            for word, text in rest.items() if count[word]]
    if not parts:
        same = count["same"] == len(best)
        first = "In all cases there is less than 2 %" if same else \
            "In no case is there a clear difference"
        subject = _subject(view)
        subject = subject.replace("The best", "the best", 1)
        return f"{first} between {subject} and {_reference(view)}."
    tail = f" Of the others, {' and '.join(left)}." if left else ""
    return f"{'; '.join(parts)}.{tail}"


def _shift(view: View, rows: Sequence[Summary], word: str, total: int) -> str:
    sizes = sorted(abs(1 - row.ratio.median) for row in rows if row.ratio)
    first, last = f"{sizes[0]:.1%}", f"{sizes[-1]:.1%}"
    size = first if first == last else f"{first.removesuffix('%')} to {last}"
    verb = "has" if word == "faster" else "even at its best has"
    direction = "less" if word == "faster" else "more"
    where = "in every case" if len(rows) == total else f"in {len(rows)} of {total} cases"
    return _spaced(f"{_subject(view)} {verb} {size} {direction} mean latency than "
                   f"{_reference(view)} {where}")


def _subject(view: View) -> str:
    names = {row.contender for case in view.cases for row in view.rows(case) if row.ratio}
    if len(names) == 1:
        return view.labels[names.pop()]
    return "The best mode of libblkio" if any(not table.is_native(name) for name in names) \
        else "The best mode"


def _reference(view: View) -> str:
    other = table.reference_name(view.result)
    return view.labels.get(other, other) if other else "its reference"


def _facts(view: View) -> list[Fact]:
    result = view.result
    proven = [row for row in result.summaries if row.ratio and row.verdict == "faster"]
    found = []
    if proven:
        top = min(proven, key=lambda row: row.ratio.median if row.ratio else 1.0)
        assert top.ratio is not None
        found.append(Fact(change(top.ratio.median), f"largest proven gain: "
                          f"{view.labels[top.contender]}, {view.title(top.case)}"))
    rounds = sorted({row.rounds for row in result.summaries})
    if rounds:
        low, high = rounds[0], rounds[-1]
        found.append(Fact(str(high) if low == high else f"{low}–{high}", "rounds behind a figure"))
    found.append(Fact(str(len(view.cases)), "case" if len(view.cases) == 1 else "cases"))
    found.append(Fact(clock(result.seconds), "measured"))
    found.append(Fact(_spaced(f"{table.disturbed_share(result):.0%}"),
                      "of the rounds disturbed by other programs, at worst"))
    return found


# ---- Tables ----------------------------------------------------------------------------------


def _table(view: View, case: Case) -> Table:
    rows = view.rows(case)
    tail = deepest([view.histogram(case, row.contender) for row in rows])
    tails = [percent for percent in (99.9, tail) if tail and percent and 99 < percent <= tail]
    tails = list(dict.fromkeys(tails))
    calls = {item.contender: item.per_io for item in view.result.system_calls if item.case == case}
    head = ["Mode", "mean", "p50", "p99", *map(name, tails), "kIOPS",
            *(["calls/IO"] if calls else []), "vs. reference", f"{CONFIDENCE:.0%} interval",
            "verdict"]
    body = []
    for row in rows:
        body.append([
            *cells(view.labels[row.contender], duration(row.mean), duration(row.p50),
                   duration(row.p99)),
            *(Cell(duration(view.percentile(case, row.contender, p))) for p in tails),
            Cell(f"{row.iops / 1000:.1f}"),
            *([Cell(f"{calls[row.contender]:.1f}" if row.contender in calls else "–")]
              if calls else []),
            *_ratio_cells(row)])
    return Table(table.case_title(view.result, case), head, body, wordy_end=True)


def _ratio_cells(row: Summary) -> list[Cell]:
    if row.ratio is None:
        return cells("reference" if row.verdict == "baseline" else "–", "–",
                     VERDICTS[row.verdict] or "–")
    words = VERDICTS[row.verdict]
    if row.disturbed:
        words += f"; {row.disturbed} of {row.rounds} rounds disturbed"
    return [Cell(f"{row.ratio.median:.3f}"), Cell(f"{row.ratio.low:.3f} to {row.ratio.high:.3f}"),
            Cell(words, MOODS.get(row.verdict, NEUTRAL))]


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


