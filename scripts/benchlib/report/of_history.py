# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trends of a history as a chapter: what changed, when, and what else changed then."""

from __future__ import annotations

from typing import Sequence

from ..history.changepoint import LEAST, Change
from ..history.figures import METRICS
from ..history.trends import Trend
from . import curves
from .frame import key
from .page import (BAD, CAUTION, GOOD, NEUTRAL, Cell, Chapter, Fact, Figure, Notes, Panel, Table,
                   Verdict, present, section)
from .scale import change as in_words
from .scale import short_count, short_duration
from .svg import Svg

MOST_PANELS = 24
TITLES = {"ratio": "mean latency against the reference", "mean": "mean latency",
          "p99": "99th percentile of latency", "iops": "I/Os per second",
          "bandwidth": "bytes per second"}
METHOD = [
    "A change is a place where the values before and after differ by a rank test (Mann and "
    "Whitney's, largest over all places, its chance by permutations) and by the least effect asked "
    "for. In all series together the chance of one false alarm is below 1 %.",
    "A change with fewer than three entries behind it cannot be told from chance.",
    "All entries are of one machine, by its fingerprint. What else changed is listed with each "
    "change; it need not be the cause.",
]


def chapter(trends: Sequence[Trend], machine: str, min_effect: float) -> Chapter:
    metric = trends[0].metric
    entries = {entry.id: entry for trend in trends for entry in trend.entries}
    dates = sorted(entry.started[:10] for entry in entries.values())
    return Chapter(
        kind="History", title=f"{METRICS[metric][0].capitalize()} over {len(entries)} results",
        subtitle=f"{dates[0]} to {dates[-1]}, {machine}", verdict=_verdict(trends, min_effect),
        facts=[Fact(str(len(trends)), "series"), Fact(str(len(entries)), "results"),
               Fact(str(sum(len(trend.changes) for trend in trends)), "changes")],
        sections=present(section("Changes", _changes(trends)), section("Trends", _figure(trends)),
                         section("How changes are found", Notes(METHOD))))


def _verdict(trends: Sequence[Trend], min_effect: float) -> Verdict:
    last = [(trend, trend.changes[-1]) for trend in trends if trend.changes]
    worse = [pair for pair in last if pair[0].worse(pair[1])]
    for found, word, mood in ((worse, "worse", BAD), (last, "better", GOOD)):
        if found:
            trend, change = max(found, key=lambda pair: abs(pair[1].ratio - 1))
            return Verdict(mood, word, f"{len(found)} of {len(trends)} series got {word} at their "
                           f"last change, most of all {trend.series}: {in_words(change.ratio)} "
                           f"since {_since(trend, change)}.")
    longest = max(len(trend.figures) for trend in trends)
    if longest < 2 * LEAST:
        return Verdict(CAUTION, "too short", f"With at most {longest} entries in a series no "
                       f"change can be told; it takes {2 * LEAST} or more.")
    return Verdict(NEUTRAL, "steady",
                   f"No series changed by {min_effect:.0%} or more.".replace("%", " %"))


def _since(trend: Trend, change: Change) -> str:
    entry = trend.entries[change.index]
    label = f" ({entry.label})" if entry.label else ""
    return f"entry {entry.id} of {entry.started[:10]}{label}"


def _changes(trends: Sequence[Trend]) -> Table:
    rows = []
    for trend in trends:
        for change in trend.changes:
            worse = trend.worse(change)
            rows.append([Cell(trend.series),
                         Cell(in_words(change.ratio), BAD if worse else GOOD),
                         Cell(_since(trend, change)), Cell(f"{change.p:.2g}"),
                         Cell("; ".join(trend.circumstances(change)) or "nothing recorded")])
    return Table("Every change found", ["Series", "change", "since", "chance", "with it changed"],
                 rows, words=3, wordy_end=True)


def _figure(trends: Sequence[Trend]) -> Figure:
    """Series with changes first."""
    ordered = sorted(trends, key=lambda trend: not trend.changes)
    changed = sum(bool(trend.changes) for trend in trends)
    left = len(ordered) - MOST_PANELS
    more = f" {left} series without changes are not drawn." if left > 0 else ""
    return Figure(f"{changed} of {len(trends)} series changed their level",
                  "Points: results with their interval, in the order of time. Dotted: the level of "
                  "each stretch; shaded: every other stretch, so that a change is where the shade "
                  f"begins or ends. Hollow: interrupted runs.{more}",
                  [Panel(trend.series, lambda width, _legend, trend=trend:  # type: ignore[misc]
                         _draw(width, trend)) for trend in ordered[:MOST_PANELS]])


def _draw(width: float, trend: Trend) -> Svg:
    words = {"ratio": lambda value: f"{value:.4g}", "mean": short_duration, "p99": short_duration,
             "iops": short_count, "bandwidth": short_count}[trend.metric]
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
    axis = curves.near_axis(TITLES[trend.metric], ends, words)
    said = "; ".join(f"{in_words(change.ratio)} since {_since(trend, change)}"
                     for change in trend.changes) or "no change of level"
    alt = f"{trend.series} over {len(trend.values)} results: {said}."
    return curves.trend(width, [series], alt, axis, marks)
