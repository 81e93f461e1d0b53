# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trends of a machine's history as a chapter: what changed, when, what else changed then, what the
gate said, and how soon the next change would be found.
"""

from __future__ import annotations

from typing import Callable, Sequence

from ..page import curves
from ..page.frame import key
from ..page.page import (BAD, GOOD, Chapter, Fact, Figure, Notes, Panel, Table, TableCell, present,
                         section, shown)
from ..page.scale import change as in_words, short_count, short_duration
from ..page.svg import Svg
from ..result.words import counted, number
from ..verdict import BETTER, STEADY, TOO_SHORT, WORSE, Headline, Shortfall, compose
from . import metrics, power, verdicts
from .changepoint import ALPHA, LEAST, Change
from .store import Entry
from .trends import Trend

MOST_PANELS = 24  # of each metric
METHOD = [
    "A change is a place where the values before and after differ by a rank test (Mann and "
    "Whitney's, largest over all places, its chance by permutations) and by the least effect asked "
    f"for. In all series together the chance of one false alarm is below {ALPHA:.0%}.".replace(
        "%", " %"),
    f"Such a change needs at least {LEAST} entries on either side. Instructions and system calls "
    "are counted and repeat exactly, so that the first entry that differs is a change.",
    "All entries are of one machine, by its fingerprint. What else changed is listed with each "
    "change; it need not be the cause.",
]
SOON = ("Entries after which a step is found in 9 of 10 histories, tried with this series: its "
        "length since the last change, its scatter, and the number of series looked at.")


def chapter(trends: Sequence[Trend], machine_words: str, entries: Sequence[Entry]) -> Chapter:
    used = {entry.id: entry for trend in trends for entry in trend.entries}
    dates = sorted(entry.started[:10] for entry in used.values())
    names = list(dict.fromkeys(trend.metric for trend in trends))
    changes = sum(len(trend.changes) for trend in trends)
    what = _capital(metrics.of(names[0]).words) if len(names) == 1 else "All series"
    return Chapter(
        kind="History", title=f"{what} over {counted(len(used), 'result', 'results')}",
        subtitle=f"{dates[0]} to {dates[-1]}, {machine_words}", verdict=shown(_headline(trends)),
        facts=[Fact(str(len(trends)), "series"), Fact(str(len(used)), "results"),
               Fact(str(changes), "change" if changes == 1 else "changes")],
        sections=present(
            section("Changes", _changes(trends)), section("What each result said", _said(entries)),
            section("Trends", *[_figure(name, [trend for trend in trends if trend.metric == name])
                                for name in names]),
            section("How soon a step is found", _soon(trends)),
            section("How changes are found", Notes(METHOD))))


def _capital(text: str) -> str:
    """With a capital letter first; I/O stays as it is."""
    return text[:1].upper() + text[1:]


def _headline(trends: Sequence[Trend]) -> Headline:
    last = [(trend, trend.changes[-1]) for trend in trends if trend.changes]
    worse = [pair for pair in last if pair[0].worse(pair[1])]
    short = sum(unknown(trend) for trend in trends)
    if short == len(trends):
        longest = max(len(trend.figures) for trend in trends)
        return compose(TOO_SHORT, f"With at most {counted(longest, 'entry', 'entries')} in a series no "
                       f"change can be told; it takes {2 * LEAST} or more")
    effects = " or ".join(f"{effect:.2g} %" for effect in
                          sorted({100 * trend.min_effect for trend in trends}))
    word, claim = STEADY, f"No change of {effects} was found"
    for found, which in ((worse, WORSE), (last, BETTER)):
        if found and word is STEADY:
            trend, change = max(found, key=lambda pair: abs(pair[1].ratio - 1))
            word, claim = which, (
                f"{len(found)} of {len(trends)} series got {which.text} at their last change, most "
                f"of all {_name(trend)}: {size(trend, change)} since {_since(trend, change)}")
    falls = [Shortfall(f"{short} of {len(trends)} series are too short to tell", word)] \
        if short else []
    if worse and len(last) > len(worse):
        falls.insert(0, Shortfall(f"{len(last) - len(worse)} got better", word))
    return compose(word, claim, falls)


def unknown(trend: Trend) -> bool:
    """Is the series too short for any change to be found?"""
    return len(trend.figures) < (2 if metrics.of(trend.metric).exact else 2 * LEAST)


def size(trend: Trend, change: Change) -> str:
    """+6.1 %; from 0 to 1 where there is no ratio."""
    if 0 < change.ratio < float("inf"):
        return in_words(change.ratio)
    return f"from {number(trend.values[change.index - 1])} to {number(trend.values[change.index])}"


def _name(trend: Trend) -> str:
    return f"{trend.series}, {metrics.of(trend.metric).title}"


def _since(trend: Trend, change: Change) -> str:
    entry = trend.entries[change.index]
    label = f" ({entry.label})" if entry.label else ""
    return f"entry {entry.id} of {entry.started[:10]}{label}"


def _changes(trends: Sequence[Trend]) -> Table:
    rows = []
    for trend in trends:
        for change in trend.changes:
            rows.append([TableCell(_name(trend)),
                         TableCell(size(trend, change), BAD if trend.worse(change) else GOOD),
                         TableCell(_since(trend, change)),
                         TableCell(f"{change.p:.2g}" if change.p else "counted"),
                         TableCell("; ".join(trend.circumstances(change)) or "nothing recorded")])
    return Table("Every change found",
                 ["Series", "change", "since", "chance", "changed at the same time"], rows, words=3,
                 wordy_end=True)


def _said(entries: Sequence[Entry]) -> Table | None:
    """The verdicts of gates and qualifications, the newest first."""
    told = [entry for entry in reversed(entries) if entry.verdict]
    rows = [[TableCell(str(entry.id)), TableCell(entry.started[:16].replace("T", " ")),
             TableCell(entry.kind), TableCell(entry.label or entry.circumstances.get("libblkio", "")),
             TableCell(entry.verdict, verdicts.mood(entry.verdict))]
            for entry in told[:verdicts.MOST]]
    left = len(told) - len(rows)
    caption = "The verdict of each gate and qualification, the newest first" + (
        f"; {left} older ones are not shown" if left else "")
    return Table(caption, ["Entry", "measured (UTC)", "kind", "label or version", "verdict"], rows,
                 words=5)


def _soon(trends: Sequence[Trend]) -> Table:
    rows = []
    for trend in trends[:MOST_PANELS]:
        found = trend.outlook(power.STEPS)
        scatter = "not known" if found.scatter is None else f"{100 * found.scatter:.2g} %"
        rows.append([TableCell(_name(trend)), TableCell(str(found.level)), TableCell(scatter),
                     *(TableCell(needed_words(found, needed)) for needed in found.needed)])
    left = len(trends) - len(rows)
    return Table(SOON + (f" {left} series are not shown." if left > 0 else ""),
                 ["Series", "entries since the last change", "scatter",
                  *(f"step of {step:.0%}".replace("%", " %") for step in power.STEPS)], rows)


def needed_words(found: power.Outlook, needed: int | None) -> str:
    if needed is not None:
        return str(needed)
    return "not known" if found.scatter is None else \
        "never: below the least effect" if found.scatter == 0 else f"over {power.MOST}"


def _figure(metric: str, trends: Sequence[Trend]) -> Figure:
    """Series with changes first."""
    ordered = sorted(trends, key=lambda trend: not trend.changes)
    changed = sum(bool(trend.changes) for trend in trends)
    left = len(ordered) - MOST_PANELS
    more = f" {left} series without changes are not drawn." if left > 0 else ""
    return Figure(f"{_capital(metrics.of(metric).words)}: {changed} of {len(trends)} series "
                  "changed their level",
                  "Points: results with their interval, in the order of time. Dotted: the level of "
                  "each stretch; shaded: every other stretch, so that a change is where the shade "
                  f"begins or ends. Hollow: interrupted runs.{more}",
                  [Panel(trend.series, lambda width, _legend, trend=trend:  # type: ignore[misc]
                         _draw(width, trend)) for trend in ordered[:MOST_PANELS]])


def _draw(width: float, trend: Trend) -> Svg:
    last = trend.changes[-1] if trend.changes else None
    series = curves.Series(
        key("results", 1 if last and trend.worse(last) else 0),
        [(i + 1.0, value) for i, value in enumerate(trend.values)],
        hollow=[not entry.complete for entry in trend.entries],
        spans=[(figure.low, figure.high) for figure in trend.figures])
    levels = trend.levels()
    marks = curves.Marks(
        spans=[(start + 0.5, end + 1.5) for start, end, _ in levels[1::2]],
        slopes=[((start + 0.6, value), (end + 1.4, value)) for start, end, value in levels])
    ends = [end for figure in trend.figures for end in (figure.low, figure.high)]
    axis = curves.near_axis(metrics.of(trend.metric).title, ends, _unit(trend.metric))
    said = "; ".join(f"{size(trend, change)} since {_since(trend, change)}"
                     for change in trend.changes) or "no change of level"
    alt = f"{_name(trend)} over {len(trend.values)} results: {said}."
    return curves.trend(width, [series], alt, axis, marks)


def _unit(metric: str) -> Callable[[float], str]:
    if metric in ("iops", "bandwidth"):
        return short_count
    if metric == "ratio" or metric.startswith("shift-") or metrics.of(metric).exact:
        return number
    return short_duration
